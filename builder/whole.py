"""Files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside the file to write to; what is there takes the file's place in the end.

    Whatever fails on the way leaves the file as it was, and nothing beside it. After SIGKILL what
    is beside it is written over by the next attempt.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        # Where it could not be written, it often cannot be removed either.
        with contextlib.suppress(OSError):
            partial.unlink()
