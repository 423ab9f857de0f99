"""A dataset on the Hub, as `builder.verify` reads it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from builder import manifest as manifests
from builder.errors import HubError
from builder.hub.repository import DEFAULT_BRANCH, Repository
from builder.staging import DATA


@dataclass(frozen=True)
class HubPlace:
    """One commit of a dataset repository.

    Attributes:
        repo_id: `namespace/name`.
        commit: all is read at it, whatever happens to the branch meanwhile.
        paths: of all files.
        token: None for the one of `hf auth login` or HF_TOKEN.
    """

    repo_id: str
    commit: str
    paths: tuple[str, ...]
    token: str | None = field(repr=False)

    @property
    def name(self) -> str:
        """The repository and the commit."""
        return f"{self.repo_id} at {self.commit[:12]}"

    def manifest(self) -> str:
        """Return the text of the manifest; raises `HubError` where there is none."""
        text = self._repository.read(manifests.FILE_NAME, self.commit)
        if text is None:
            raise HubError(f"{self.name}: holds no dataset of this tool. Check the name.")
        return text

    def shards(self) -> list[str]:
        """Return the paths of all Parquet files below `data`, relative to it."""
        return sorted(
            path.removeprefix(f"{DATA}/")
            for path in self.paths
            if path.startswith(f"{DATA}/") and path.endswith(".parquet")
        )

    @contextlib.contextmanager
    def shard(self, name: str) -> Iterator[Path]:
        """Fetch a shard into a folder of its own, which is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="human-segmentation-") as folder:
            yield self._repository.fetch(f"{DATA}/{name}", self.commit, Path(folder))

    @property
    def _repository(self) -> Repository:
        return Repository(self.repo_id, token=self.token, tell=_tell)


def open_place(repo_id: str, revision: str | None, token: str | None) -> HubPlace:
    """Look up a dataset on the Hub.

    Args:
        repo_id: `namespace/name`, or a name alone in the user's own namespace.
        revision: a branch, a tag or a commit; None for the default branch.
        token: None for the one of `hf auth login` or HF_TOKEN.

    Raises:
        HubError: there is none, or the Hub cannot be reached.
    """
    repository = Repository(repo_id, token=token, tell=_tell)
    if "/" not in repo_id:
        repository.log_in()
    state = repository.state(revision or DEFAULT_BRANCH)
    if state.commit is None:
        raise HubError(
            f"{repository.repo_id}: there is no such dataset or revision on the Hub, or the token "
            "may not see it. Check both names, and `hf auth whoami`."
        )
    return HubPlace(repository.repo_id, state.commit, tuple(state.files), token)


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
