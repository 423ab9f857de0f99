"""What a worker made, on its way to its parent: pictures through a file, the rest through a pipe.

A pipe takes 64 KiB at a time, and two processes take turns at it; through it a build of JPEG takes
2 % longer.
"""

from __future__ import annotations

import io
import itertools
import mmap
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from builder.errors import FolderError

Item = TypeVar("Item")
Result = TypeVar("Result")

# What is shorter takes less time in the pipe than to be looked for in a file.
_LONG = 16 * 1024


@dataclass(frozen=True)
class Handed(Generic[Result]):
    """A result: pickled, but for its long bytes, which lie one after the other in a file.

    Attributes:
        pickled: refers to them by their numbers.
        lengths: of the bytes in the file.
        file: None where there are none.
    """

    pickled: bytes
    lengths: tuple[int, ...]
    file: Path | None

    def taken(self) -> Result:
        """Return the result, once; its long bytes are read-only views of the file, which goes.

        Raises:
            FolderError: somebody removed the file.
        """
        whole = memoryview(b"") if self.file is None else _mapped(self.file)
        ends = itertools.accumulate(self.lengths)
        parts = [whole[end - own : end] for end, own in zip(ends, self.lengths, strict=True)]
        result: Result = _Unpickler(io.BytesIO(self.pickled), parts).load()
        return result


def hand_over(function: Callable[[Item], Result], folder: str, item: Item) -> Handed[Result]:
    """Call a function in a worker.

    Raises:
        FolderError: there is no room for the result in the folder, one for temporary files.
    """
    parts: list[bytes] = []
    pickled = io.BytesIO()
    _Pickler(pickled, parts).dump(function(item))
    if not parts:
        return Handed(pickled.getvalue(), (), None)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.writelines(parts)
    except OSError as error:
        raise no_room(folder, error) from error
    return Handed(pickled.getvalue(), tuple(map(len, parts)), Path(file.name))


def no_room(folder: str, error: OSError) -> FolderError:
    """Return what tells the user that there is no room for what workers hand over."""
    return FolderError(
        f"{folder}: workers cannot leave there what they made ({error.strerror or error}). Make "
        "room, name another place in the variable TMPDIR, or give --workers 1; run the same "
        "command again and it goes on where it stopped."
    )


def _mapped(path: Path) -> memoryview:
    """Return what a file holds, and remove its name: the bytes stay while anyone looks at them."""
    try:
        with path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink()
    except OSError as error:
        raise no_room(str(path.parent), error) from error
    return memoryview(whole)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, parts: list[bytes]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._parts = parts

    def persistent_id(self, value: Any) -> int | None:
        """Return the number of long bytes, which are not pickled, and None for all else."""
        if type(value) is not bytes or len(value) < _LONG:
            return None
        self._parts.append(value)
        return len(self._parts) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, parts: list[memoryview]) -> None:
        super().__init__(file)
        self._parts = parts

    def persistent_load(self, number: int) -> memoryview:
        """Return long bytes."""
        return self._parts[number]
