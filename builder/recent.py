"""What was decoded last, kept for as long as it does not take too much memory."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


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
    """
    copy = np.frombuffer(mmap.mmap(-1, pixels.nbytes), np.uint8).reshape(pixels.shape)
    copy[...] = pixels
    return copy
