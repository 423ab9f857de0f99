"""A dataset folder as publishing sees it: the files that a repository is to hold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from builder import card, examples, layer_files
from builder import manifest as manifests
from builder.errors import FolderError
from builder.hub.compare import LocalFile
from builder.manifest import Manifest, manifest_text, parse_manifest, read_manifest
from builder.shards import sha256_of
from builder.staging import DATA, PART, STAGING
from builder.whole import replacing

PUBLISHED = ".published"
"""Holds, for each repository, the card as this folder last left it there."""


@dataclass(frozen=True)
class Dataset:
    """A dataset folder, or what an update of a dataset on the Hub made of it.

    Attributes:
        folder: where it lies.
        manifest: of the whole dataset.
        files: all files but the card, by their path in a repository.
        is_part: whether shards that stay as they are lie on the Hub alone.
    """

    folder: Path
    manifest: Manifest
    files: dict[str, LocalFile]
    is_part: bool

    @property
    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of the manifest and of those that this dataset is an update of."""
        return (*self.manifest.history, self.files[manifests.FILE_NAME].sha256)

    def card(self) -> str | None:
        """Return the folder's own card, if there is one."""
        return _text(self.folder / card.FILE_NAME)

    def published_card(self, repo_id: str) -> str | None:
        """Return the card as this folder last left it in a repository."""
        return _text(self._published(repo_id))

    def remember_card(self, repo_id: str, text: str) -> None:
        """Keep what was published, for the folder and for the next merge.

        Raises:
            FolderError: the folder cannot be written.
        """
        place = self._published(repo_id)
        try:
            place.parent.mkdir(exist_ok=True)
            for path in (place, self.folder / card.FILE_NAME):
                with replacing(path) as partial:
                    partial.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise FolderError(
                f"{self.folder}: cannot be written ({error.strerror}). The dataset is published; "
                "make the folder writable and publish again, so that it knows the card by which "
                "the next merge tells your text from this tool's."
            ) from error

    def _published(self, repo_id: str) -> Path:
        return self.folder / PUBLISHED / f"{repo_id.replace('/', '--')}.md"


def read_dataset(folder: Path) -> Dataset:
    """Read what a folder has for publishing; shards are measured, not yet compared.

    Raises:
        FolderError: it holds no finished dataset, or a file is missing or has another size.
    """
    if (folder / STAGING / manifests.FILE_NAME).exists():
        raise FolderError(
            f"{folder}: its last build was interrupted. Run the same `human-segmentation build` "
            "again first."
        )
    is_part = not (folder / manifests.FILE_NAME).exists() and (folder / PART).exists()
    place = folder / PART if is_part else folder
    manifest = read_manifest(place)
    shards = {
        f"{DATA}/{file.name}": LocalFile(
            f"{DATA}/{file.name}",
            file.bytes,
            file.sha256,
            _shard(place / DATA / file.name, file.bytes, optional=is_part),
        )
        for file in manifest.shards
    }
    layers = {
        path: LocalFile(
            path,
            file.bytes,
            file.sha256,
            _shard(place / layer_files.FOLDER / file.name, file.bytes, optional=is_part),
        )
        for file in manifest.layer_files
        for path in [f"{layer_files.FOLDER}/{file.name}"]
    }
    described = LocalFile.of_bytes(manifests.FILE_NAME, manifest_text(manifest).encode())
    files = {**shards, **layers, manifests.FILE_NAME: described}
    if not is_part:
        path = folder / examples.FILE_NAME
        files[examples.FILE_NAME] = LocalFile.of_bytes(examples.FILE_NAME, _bytes(path))
    return Dataset(folder, manifest, files, is_part)


def owned_files(text: str, name: str) -> dict[str, str | None]:
    """Return what an earlier publishing wrote, by path, with the SHA-256 where it is known.

    Args:
        text: of the manifest in the repository.
        name: says in errors where it is from.

    Raises:
        FolderError: it is no manifest of this tool's.
    """
    manifest = parse_manifest(text, name)
    shards = {f"{DATA}/{file.name}": file.sha256 for file in manifest.shards}
    layers = {f"{layer_files.FOLDER}/{file.name}": file.sha256 for file in manifest.layer_files}
    others = (manifests.FILE_NAME, examples.FILE_NAME, card.FILE_NAME)
    return {**shards, **layers, **dict.fromkeys(others)}


def refuse_damage(file: LocalFile) -> None:
    """Refuse a file that is not what the manifest says.

    Raises:
        FolderError: it was changed since it was built.
    """
    if isinstance(file.content, Path) and sha256_of(file.content) != file.sha256:
        raise FolderError(
            f"{file.content}: was changed since it was built. Delete it and run the same "
            "`human-segmentation build` again; it is then made anew."
        )


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _shard(path: Path, size: int, *, optional: bool) -> Path | None:
    if optional and not path.exists():
        return None
    if not path.exists() or path.stat().st_size != size:
        raise FolderError(
            f"{path}: is missing or has another size than the manifest says. Run the same "
            "`human-segmentation build` again; it makes missing shards anew."
        )
    return path


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be read ({error.strerror}). Run the same `human-segmentation build` "
            "again."
        ) from error


def _text(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        return _bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FolderError(f"{path}: is no UTF-8 text. Correct it, or delete it.") from error
