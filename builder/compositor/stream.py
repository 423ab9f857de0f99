"""Samples one after the other, shared out over those that train together, and gone on with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from builder.errors import RecipeError, StateError
from builder.passes import Passes

Sample = dict[str, Any]


class Maker(Protocol):
    """What makes samples: a `Compositor`."""

    @property
    def passes(self) -> Passes: ...
    def __len__(self) -> int: ...
    def make(self, number: int) -> Sample: ...


class Stream:
    """Samples one after the other; see `Compositor.stream`.

    Each worker of each rank is a consumer. It has humans of its own for a while, so that each is
    decoded once for all of its pairs. The order depends on the number of consumers; what a sample
    shows does not.
    """

    def __init__(
        self, maker: Maker, epochs: int | None, shuffle: bool, rank: int, world_size: int
    ) -> None:
        if not 0 <= rank < world_size:
            raise RecipeError(f"rank {rank} of {world_size} is none: ranks count from 0.")
        self._maker = maker
        self._epochs = epochs
        self._shuffle = shuffle
        self._rank, self._world_size = rank, world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0 on, with which the next iteration begins."""
        self.load_state_dict({"epoch": epoch, "taken": {}, "turn": 0})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, with as many workers and ranks as it was taken with."""
        self._epoch = int(state["epoch"])
        self._taken = dict(state["taken"])
        self._turn = int(state["turn"])

    def state_dict(self) -> dict[str, Any]:
        """Return how far this object was iterated, as values that JSON has too.

        `taken` is the number of samples that each consumer took since the epoch began. Where the
        workers of a DataLoader iterate copies, `torchdata`'s `StatefulDataLoader` asks them; else
        see `state_after`.
        """
        return {"epoch": self._epoch, "taken": dict(self._taken), "turn": self._turn}

    def state_after(self, batches: int, batch_size: int, workers: int = 0) -> dict[str, Any]:
        """Return how far a DataLoader has come whose workers iterate copies of this object.

        Args:
            batches: it has given since its iteration began, from the state that this object has.
            batch_size, workers: its own.
        """
        workers = max(1, workers)
        taken = {}
        for place in range(workers):
            name = self._name((place + self._turn) % workers, workers)
            given = batches // workers + (place < batches % workers)
            taken[name] = self._begun(name) + given * batch_size
        turn = (self._turn + batches) % workers
        return {"epoch": self._epoch, "taken": taken, "turn": turn}

    def __iter__(self) -> Iterator[Sample]:
        """Make samples, from where the state says.

        Raises:
            StateError: the state was taken with another number of workers or ranks.
        """
        place, workers = self._worker()
        # A DataLoader asks its first worker first, whoever's turn it was.
        worker = (place + self._turn) % workers
        name = self._name(worker, workers)
        taken = self._begun(name)
        own = len(self._maker) // self._world_size
        share = own // workers + (worker < own % workers)
        left = None if self._epochs is None else max(0, self._epochs * share - taken)
        consumer, consumers = map(int, name.split("/"))
        numbers = self._numbers(consumer, consumers, self._epoch * share + taken)
        for number in itertools.islice(numbers, left):
            taken += 1
            # Before it is given: whoever asks for the state has it already.
            self._taken = {name: taken}
            yield self._maker.make(number)

    def _name(self, worker: int, workers: int) -> str:
        """Return which consumer of how many a worker of this rank is."""
        return f"{self._rank * workers + worker}/{self._world_size * workers}"

    def _begun(self, name: str) -> int:
        if self._taken and name not in self._taken:
            raise StateError(
                f"Consumer {name} cannot go on from a state of {', '.join(self._taken)}: samples "
                "are shared out by number. Use as many workers and ranks as before."
            )
        return int(self._taken.get(name, 0))

    def _numbers(self, consumer: int, consumers: int, skipped: int) -> Iterator[int]:
        """Yield the numbers of all samples of a consumer, without the first ones."""
        passes = self._maker.passes
        for chunk in itertools.count(consumer, consumers):
            rows = passes.chunk_rows(chunk, shuffle=self._shuffle)
            if skipped >= rows:
                skipped -= rows
                continue
            yield from passes.chunk(chunk, shuffle=self._shuffle)[skipped:]
            skipped = 0

    def _worker(self) -> tuple[int, int]:
        """Return which worker of how many this process is."""
        return 0, 1
