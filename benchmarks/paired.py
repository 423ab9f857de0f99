"""Comparisons on machines that are noisy: contenders take turns, and medians are compared."""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Measured = dict[str, list[float]]
"""What each contender reached, turn by turn."""


@dataclass(frozen=True)
class Ratio:
    """Ours over the other's.

    Attributes:
        ours, other: medians over the turns.
        ratio: the median of the ratios within a turn, which a change of the machine's speed
            between two turns leaves alone.
        low, high: the smallest and the largest of them.
    """

    ours: float
    other: float
    ratio: float
    low: float
    high: float


def in_turns(
    contenders: Mapping[str, Callable[[], float]], turns: int, say: Callable[[str], None]
) -> Measured:
    """Measure A B C A B C and so on; what is measured is the same unit for all."""
    measured: Measured = {name: [] for name in contenders}
    for turn in range(turns):
        for name, measure in contenders.items():
            value = measure()
            measured[name].append(value)
            say(f"turn {turn + 1} of {turns}: {name}: {value:.3g}")
    return measured


def ratio_of(ours: Sequence[float], other: Sequence[float]) -> Ratio:
    """Compare what two contenders reached in the same turns."""
    ratios = [mine / theirs for mine, theirs in zip(ours, other, strict=True)]
    return Ratio(
        statistics.median(ours),
        statistics.median(other),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def in_a_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function where nothing is cached yet, and give back all memory afterwards."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(function, *args, **kwargs).result()
