"""Pure: what publishing would change in a repository, like a diff."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from builder.errors import HubError

Kind = Literal["new", "changed", "renamed", "deleted", "unchanged"]
KINDS: tuple[Kind, ...] = ("new", "changed", "renamed", "deleted", "unchanged")
_FOUND_BY_DATASETS = tuple(
    f"{place}-{split}-" if place != "data" else f"{place}/{split}-"
    for place in ("data", "layers/humans", "layers/backgrounds")
    for split in ("train", "validation")
)


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository: `sha256` if it is kept by LFS or Xet, else its git blob id."""

    path: str
    size: int
    sha256: str | None
    blob_id: str


@dataclass(frozen=True)
class LocalFile:
    """A file as it is to be in the repository.

    Attributes:
        path: in the repository.
        size: bytes.
        sha256: of the content.
        content: the file, its bytes, or None for a shard that an update did not need here.
    """

    path: str
    size: int
    sha256: str
    content: Path | bytes | None

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> LocalFile:
        """Describe a file that is held in memory."""
        return cls(path, len(data), hashlib.sha256(data).hexdigest(), data)

    def equals(self, remote: RemoteFile) -> bool:
        """Tell whether the repository holds this content."""
        if remote.sha256 is not None:
            return remote.sha256 == self.sha256
        return remote.size == self.size and self._blob_id == remote.blob_id

    @cached_property
    def _blob_id(self) -> str | None:
        if self.content is None:
            return None
        data = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Change:
    """What happens to one file; `origin` is the former path of a renamed one."""

    kind: Kind
    path: str
    size: int
    origin: str | None = None


@dataclass(frozen=True)
class Comparison:
    """What publishing would do.

    Attributes:
        changes: one for each file that is or will be ours, by path.
        replaces: whether the repository holds a dataset of which this is no update.
    """

    changes: tuple[Change, ...]
    replaces: bool

    def of(self, kind: Kind) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def is_empty(self) -> bool:
        """Whether the repository holds all of it already."""
        return all(change.kind == "unchanged" for change in self.changes)

    @property
    def travelling_bytes(self) -> int:
        """How much is to be sent, at most: the transport may know parts of it already."""
        return sum(change.size for change in self.of("new") + self.of("changed"))

    @property
    def needs_consent(self) -> bool:
        """Whether something that is there would be gone."""
        return self.replaces or bool(self.of("deleted"))


def compare(
    local: Mapping[str, LocalFile],
    remote: Mapping[str, RemoteFile],
    owned: Mapping[str, str | None],
    *,
    replaces: bool,
) -> Comparison:
    """Compare a dataset with what a repository holds.

    Args:
        local: what the repository is to hold, by path.
        remote: what it holds, by path.
        owned: the paths that an earlier publishing wrote, with their SHA-256 where it is known.
        replaces: whether the dataset is no update of the one in the repository.

    Raises:
        HubError: a file that somebody else wrote, or changed, would be overwritten or deleted; or a
            shard that is not here is not in the repository either.
    """
    changes = []
    gone = {path: remote[path] for path in owned if path in remote and path not in local}
    for former in gone.values():
        _refuse_stranger(former, owned)
    free = {file.sha256: path for path, file in gone.items() if file.sha256}
    for path, file in local.items():
        there = remote.get(path)
        if there is not None and file.equals(there):
            changes.append(Change("unchanged", path, file.size))
            continue
        if there is not None:
            _refuse_stranger(there, owned)
        origin = free.pop(file.sha256, None)
        if origin is not None and there is None:
            del gone[origin]
            changes.append(Change("renamed", path, file.size, origin))
        elif file.content is None:
            raise HubError(
                f"{path} is neither in this folder nor, as it was, in the repository: the update "
                "does not fit any more. Run `human-segmentation build --update-from` again."
            )
        else:
            changes.append(Change("new" if there is None else "changed", path, file.size))
    changes += [Change("deleted", path, file.size) for path, file in gone.items()]
    return Comparison(tuple(sorted(changes, key=lambda change: change.path)), replaces)


def _refuse_stranger(there: RemoteFile, owned: Mapping[str, str | None]) -> None:
    if there.path not in owned:
        raise HubError(
            f"{there.path}: the repository holds such a file already, and this tool did not write "
            "it. Rename or delete it there, or publish to another repository."
        )
    written = owned[there.path]
    if written is not None and written != there.sha256:
        raise HubError(
            f"{there.path}: was changed in the repository by somebody else. Restore or delete it "
            "there, or publish to another repository."
        )


def refuse_mixing(remote: Collection[str], owned: Collection[str], local: Collection[str]) -> None:
    """Refuse a repository in which `load_dataset` would find other shards among ours.

    Raises:
        HubError: it names one of them.
    """
    for path in sorted(set(remote) - set(owned) - set(local)):
        if path.startswith(_FOUND_BY_DATASETS) and path.endswith(".parquet"):
            raise HubError(
                f"{path}: the repository holds this shard of another dataset, and load_dataset "
                "would mix it into this one. Move or delete it there, or publish to another "
                "repository."
            )
