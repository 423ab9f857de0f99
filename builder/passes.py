"""Pure: an endless sequence of pairs from the shards of a split, each found by its number alone.

The first pass is the plan itself. Each later one takes its humans and its backgrounds in another
order, so that they meet anew, and counts the composites of a human on from where the last one
ended: nothing is ever made twice. Every pass uses humans and backgrounds as equally as the plan.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from builder.plan import Pair, Shard
from builder.sources.layer import Role

Order = npt.NDArray[np.intp]

# Humans whose pairs are mixed with each other in a shuffled pass. So many stay decoded until all
# of their pairs are made; and a batch of a usual size sees as many different ones.
_TOGETHER = 16


class Passes:
    """The pairs of a split, without end.

    Args:
        shards: of one split, with the same `per_human`; not empty.
        seed: of the dataset.
    """

    def __init__(self, shards: Sequence[Shard], seed: int) -> None:
        self._shards = tuple(shards)
        self._seed = seed
        self._per_human = shards[0].per_human
        self._starts = [0, *itertools.accumulate(shard.rows for shard in shards)]
        self._humans = [(shard, human) for shard in shards for human in shard.humans]
        self._backgrounds = list(dict.fromkeys(b for shard in shards for b in shard.backgrounds))
        self._place = {background: n for n, background in enumerate(self._backgrounds)}

    @property
    def rows(self) -> int:
        """How many pairs a pass has."""
        return self._starts[-1]

    @property
    def chunks(self) -> int:
        """How many parts a shuffled pass is cut into."""
        return -(-self.rows // self._chunk_rows)

    @property
    def _chunk_rows(self) -> int:
        return min(_TOGETHER, len(self._humans)) * self._per_human

    def pair(self, number: int) -> tuple[Shard, Pair]:
        """Return a pair, and the shard of which its company is; `number` counts from 0 on."""
        turn, slot = divmod(number, self.rows)
        index = bisect.bisect_right(self._starts, slot) - 1
        shard = self._shards[index]
        planned = shard.pair(slot - self._starts[index])
        if turn == 0:
            return shard, planned
        shard, human = self._humans[self._moved("human", turn, slot // self._per_human)]
        place = self._place[planned.background]
        background = self._backgrounds[self._moved("background", turn, place)]
        return shard, Pair(human, background, turn * self._per_human + planned.k)

    def _moved(self, role: Role, turn: int, place: int) -> int:
        """Return whose place another layer of the role takes in a later pass."""
        count = len(self._humans if role == "human" else self._backgrounds)
        return int(_permutation(self._seed, f"{role}s/{turn}", count)[place])

    def chunk(self, number: int, *, shuffle: bool) -> Sequence[int]:
        """Return numbers of pairs that belong together.

        The chunks 0, 1, 2 and so on hold every number once, those of a pass before those of the
        next one.

        Args:
            number: of the chunk, from 0 on.
            shuffle: whether chunks come in a drawn order, and what is in them too.
        """
        numbers = self._numbers(number, shuffle=shuffle)
        if not shuffle:
            return numbers
        return [numbers[n] for n in _permutation(self._seed, f"chunk/{number}", len(numbers))]

    def chunk_rows(self, number: int, *, shuffle: bool) -> int:
        """Return how many numbers a chunk has, without drawing their order."""
        return len(self._numbers(number, shuffle=shuffle))

    def _numbers(self, number: int, *, shuffle: bool) -> range:
        turn, place = divmod(number, self.chunks)
        if shuffle:
            place = int(_permutation(self._seed, f"chunks/{turn}", self.chunks)[place])
        first = turn * self.rows + place * self._chunk_rows
        return range(first, min(first + self._chunk_rows, (turn + 1) * self.rows))


# Whoever goes through passes needs three orders at a time, and seldom those of another pass.
@functools.lru_cache(maxsize=8)
def _permutation(seed: int, what: str, count: int) -> Order:
    digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest, "big")).permutation(count)
    order.flags.writeable = False
    return order
