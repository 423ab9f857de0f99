"""Where the generators of a composite come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence


@dataclass(frozen=True)
class Seeds:
    """A seed with children, and children of these: each is a text, and its hash a seed.

    `numpy.random.SeedSequence` makes such trees, too, but a generator from it takes eight times as
    long to set up, and a composite has some ten.

    Attributes:
        path: the seed of the tree, and the numbers of the children that lead here.
    """

    path: str

    def child(self, number: int) -> Seeds:
        """Return one of the children, numbered from 0."""
        return Seeds(f"{self.path}/{number}")

    def chance(self) -> float:
        """Return a number, from 0 to below 1, that decides whether something happens.

        A generator takes twice as long, and what does not happen needs none.
        """
        digest = hashlib.shake_256(f"{self.path}?".encode()).digest(8)
        # As many bits as a float holds: 1 is never reached.
        return (int.from_bytes(digest, "big") >> 11) / 2**53

    def generator(self) -> np.random.Generator:
        """Return a new generator; it draws what each other of the same path does."""
        # NumPy's own types do not name this interface of theirs.
        seed: Any = _Hashed(self.path)
        return np.random.Generator(np.random.SFC64(seed))


class _Hashed(ISeedSequence):
    """What a generator asks for its first state."""

    def __init__(self, path: str) -> None:
        self._path = path

    def generate_state(
        self, n_words: int, dtype: npt.DTypeLike = np.uint32
    ) -> npt.NDArray[np.uint32 | np.uint64]:
        """Return so many words that no other path has."""
        size = np.dtype(dtype).itemsize
        digest = hashlib.shake_256(self._path.encode()).digest(n_words * size)
        # The same on any machine.
        return np.frombuffer(digest, f"<u{size}").astype(dtype, copy=False)


def composite_seeds(seed: int, human: str, k: int) -> Seeds:
    """Return the seeds of everything random about the `k`-th composite of a human."""
    return Seeds(f"{seed}/{human}/{k}")
