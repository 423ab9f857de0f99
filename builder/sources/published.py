"""Layers that a dataset keeps beside its pairs: in a folder, or in a repository on the Hub."""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.errors import SourceError
from builder.recent import Recent
from builder.sources.files import Found
from builder.sources.layer import MAX_PICTURE_BYTES, Candidate, Role, printable

HUB = "hf://datasets/"
"""How the URL of a dataset on the Hub begins; NAMESPACE/NAME follows, and @REVISION may."""

_FILES = "layers/*.parquet"
_NAME = re.compile(r"(?P<role>human|background)s-(?:train|validation)-\d+\.parquet")
_REPOSITORY = re.compile(HUB + r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_CACHE_BYTES = 64 * 1024**2
_BROKEN = (OSError, pa.ArrowException, ValueError, LookupError, TypeError)


@dataclass(frozen=True)
class ParquetRow:
    """A picture in a Parquet file: row `row` of its row group `group`."""

    file: Path
    group: int
    row: int

    def read(self) -> bytes:
        """Return the encoded picture; raises `SourceError` where there is none."""
        try:
            status = self.file.stat()
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            opened = _opened(self.file, os.getpid(), threading.get_ident(), state)
            pictures = _recent(os.getpid(), threading.get_ident()).get(
                (self.file, state, self.group), lambda: _pictures(opened, self.group)
            )
            data = pictures[self.row].as_py()
        except _BROKEN as error:
            raise SourceError(f"damaged in its file: {printable(str(error))[:200]}") from error
        if not data:
            raise SourceError("a row without a picture")
        return bytes(data)


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder is a dataset of this tool's that keeps its layers."""
    return (folder / "manifest.json").is_file() and any(folder.glob(_FILES))


def find_kept_layers(folder: Path) -> Found:
    """Find the layers that a dataset keeps, under the names that they had.

    Raises:
        SourceError: a file is damaged.
    """
    found = Found()
    for path in sorted(folder.glob(_FILES)):
        match = _NAME.fullmatch(path.name)
        if match:
            role: Role = "human" if match["role"] == "human" else "background"
            found.candidates += _candidates(path, role)
    return found


def is_repository(source: str) -> bool:
    """Tell whether a source names a whole dataset on the Hub, and not something in it."""
    return _REPOSITORY.fullmatch(source) is not None


def fetch_kept_layers(url: str, *, progress: bool) -> Path | None:
    """Download the layers of a dataset on the Hub into its cache, and return their folder.

    Returns:
        None where it keeps none: there may be folders and archives of pictures in it.

    Raises:
        SourceError: there is no such dataset, or the Hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        """A bar that is shown where ours are."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": not progress})  # type: ignore[no-untyped-call]

    repo_id, revision = _repository(url)
    with _explained(url):
        folder = snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[_FILES, "manifest.json"],
            tqdm_class=Bar,
        )
    return Path(folder) if is_dataset(Path(folder)) else None


def commit_of(url: str) -> str:
    """Return the commit that a dataset on the Hub is at.

    Raises:
        SourceError: there is no such dataset, or the Hub cannot be reached.
    """
    from huggingface_hub import dataset_info

    repo_id, revision = _repository(url)
    with _explained(url):
        return str(dataset_info(repo_id, revision=revision).sha)


def _repository(url: str) -> tuple[str, str | None]:
    match = _REPOSITORY.fullmatch(url)
    assert match
    return match["id"], match["revision"]


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    # The client raises what its HTTP library does, and more. Its messages may hold signed URLs.
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        what = type(error).__name__ + (f", status {status}" if status else "")
        raise SourceError(
            f"{url}: could not be downloaded ({what}). Check the name, the connection and "
            "`hf auth whoami`; what has arrived is kept."
        ) from error


def _candidates(path: Path, role: Role) -> Iterator[Candidate]:
    try:
        opened = pq.ParquetFile(path)
        for group in range(opened.num_row_groups):
            names = opened.read_row_group(group, columns=["name"]).column("name").to_pylist()
            for row, name in enumerate(names):
                yield Candidate(role, printable(str(name)), ParquetRow(path, group, row))
    except _BROKEN as error:
        raise SourceError(
            f"{path}: is no file of layers ({printable(str(error))[:200]}). Fetch the dataset "
            "again, or build it again with --config layers."
        ) from error


def _pictures(opened: pq.ParquetFile, group: int) -> Any:
    size = opened.metadata.row_group(group).total_byte_size
    if size > 2 * MAX_PICTURE_BYTES:
        raise ValueError(f"a row group of {size:,} bytes")
    read = opened.read_row_group(group, columns=["image.bytes"], use_threads=False)
    return read.column("image").combine_chunks().field("bytes")


@functools.lru_cache(maxsize=64)
def _opened(path: Path, process: int, thread: int, state: tuple[int, ...]) -> pq.ParquetFile:
    # A reader is neither to be shared by threads nor across a fork.
    del process, thread, state
    return pq.ParquetFile(path, memory_map=True)


@functools.lru_cache(maxsize=64)
def _recent(process: int, thread: int) -> Recent[Any]:
    # Neighbours in a file are often asked for one after the other.
    del process, thread
    return Recent(_CACHE_BYTES, lambda pictures: pictures.nbytes)
