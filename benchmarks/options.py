"""What all benchmarks of `python -m benchmarks` are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The size of a run.

    Attributes:
        layers: a folder with `humans` and `backgrounds`, loose files.
        workers: processes of ours and of what ours is compared with.
        turns: how often contenders take turns.
        pairs: of each turn.
        memory_pairs: up to which memory is watched.
        place: an empty folder for all that is written.
        say: tells how far it is.
    """

    layers: Path
    workers: int
    turns: int
    pairs: int
    memory_pairs: int
    place: Path
    say: Callable[[str], None]
