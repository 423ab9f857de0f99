"""What was decoded last, kept for as long as it does not take too much memory."""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

# Seven backgrounds of 1360x768; what is larger goes back to the kernel at once.
_SPARE_BYTES = 22 * 1024**2
_spare: deque[mmap.mmap] = deque()


class Recent(Generic[T]):
    """What was made last, up to a number of bytes."""

    def __init__(self, max_bytes: int, bytes_of: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._bytes_of = bytes_of
        self._bytes = 0
        self._made: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made for a key, or make it."""
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        made = make()
        self._made[key] = made
        self._bytes += self._bytes_of(made)
        while self._bytes > self._max_bytes and len(self._made) > 1:
            self._bytes -= self._bytes_of(self._made.popitem(last=False)[1])
        return made

    def forget(self, key: Hashable) -> None:
        """Drop what was made for a key, if it is still there."""
        if key in self._made:
            self._bytes -= self._bytes_of(self._made.pop(key))


def apart(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a copy in memory of its own.

    What is kept for long would lie on the heap between what is not, with holes that nothing fits.
    Memory of which nobody holds an array any more takes the next picture of about its size: to be
    handed pages by the kernel takes four times as long as to copy into them.
    """
    # Private, since a forked process must not write into what its parent reads.
    memory = _spare_memory(pixels.nbytes) or mmap.mmap(-1, pixels.nbytes, access=mmap.ACCESS_COPY)
    # The base of all views of it: none of them outlives it.
    whole = np.frombuffer(memory, np.uint8, pixels.nbytes)
    weakref.finalize(whole, _give_back, memory).atexit = False
    copy = whole.reshape(pixels.shape)
    copy[...] = pixels
    return copy


def _spare_memory(size: int) -> mmap.mmap | None:
    """Take out memory of so many bytes, or up to an eighth more."""
    for spare in _spare.copy():
        if size <= len(spare) <= size + size // 8:
            # Another thread may have been faster.
            with contextlib.suppress(ValueError):
                _spare.remove(spare)
                return spare
    return None


def _give_back(memory: mmap.mmap) -> None:
    _spare.append(memory)
    while sum(map(len, _spare.copy())) > _SPARE_BYTES:
        with contextlib.suppress(IndexError):
            _spare.popleft()
