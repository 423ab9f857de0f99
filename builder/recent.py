"""What was decoded last, kept for as long as it does not take too much memory."""

from __future__ import annotations

import mmap
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

_SPARE_PICTURES = 4
_spare: deque[mmap.mmap] = deque(maxlen=_SPARE_PICTURES)


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


def apart(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a copy in memory of its own.

    What is kept for long would lie on the heap between what is not, with holes that nothing fits.
    Memory of which nobody holds an array any more takes the next picture of about its size: to be
    handed pages by the kernel takes four times as long as to copy into them.
    """
    room = range(pixels.nbytes, pixels.nbytes + pixels.nbytes // 8 + 1)
    memory = next((spare for spare in _spare if len(spare) in room), None)
    if memory is None:
        # Private, since a forked process must not write into what its parent reads.
        memory = mmap.mmap(-1, pixels.nbytes, access=mmap.ACCESS_COPY)
    else:
        _spare.remove(memory)
    # The base of all views of it: none of them outlives it.
    whole = np.frombuffer(memory, np.uint8, pixels.nbytes)
    weakref.finalize(whole, _spare.append, memory).atexit = False
    copy = whole.reshape(pixels.shape)
    copy[...] = pixels
    return copy
