"""Planning alone: thousands of layers, and ten million pairs, with the memory that they take."""

from __future__ import annotations

import hashlib
import resource
import statistics
import time
from dataclasses import dataclass

from benchmarks.options import Options
from benchmarks.paired import in_a_fresh_process
from benchmarks.results import Result, figure, limited
from builder.plan import make_plan
from builder.recipe import load_recipe
from builder.sources.layer import Layer, Role

_LAYERS = 5_000
_MANY_PAIRS = 10_000_000


@dataclass(frozen=True)
class _Planned:
    """What planning took: seconds, and the peak of the process's memory in megabytes."""

    seconds: float
    megabytes: float
    pairs: int


@dataclass(frozen=True)
class _NoContent:
    """Planning reads no picture."""

    def read(self) -> bytes:
        raise NotImplementedError


def measure_planning(options: Options) -> list[Result]:
    """Plan the data set's own size, and as many pairs of as many layers as make ten millions."""
    usual = [in_a_fresh_process(_plan, 4) for _ in range(options.turns)]
    options.say(f"planning {usual[0].pairs:,} pairs: {', '.join(map(_shown, usual))}")
    many = in_a_fresh_process(_plan, _MANY_PAIRS // _LAYERS)
    options.say(f"planning {many.pairs:,} pairs: {_shown(many)}")
    few = statistics.median(planned.megabytes for planned in usual)
    seconds = statistics.median(planned.seconds for planned in usual)
    size = f"{_LAYERS:,} x {_LAYERS:,} layers"
    return [
        limited("planning", f"{size}, 4 pairs a human", seconds, 2, "s"),
        limited("planning", f"{size}, {many.pairs:,} pairs", many.seconds, 60, "s"),
        Result(
            "planning",
            f"peak memory, {many.pairs:,} pairs",
            f"{figure(many.megabytes)} MB",
            f"{usual[0].pairs:,} pairs: {figure(few)} MB",
            many.megabytes / few,
            at_most=1.1,
        ),
    ]


def _shown(planned: _Planned) -> str:
    return f"{planned.seconds:.2f} s and {planned.megabytes:.0f} MB"


def _plan(per_human: int) -> _Planned:
    """Plan, and go through every pair of every shard."""
    layers = [_layer(role, number) for role in ("human", "background") for number in range(_LAYERS)]
    recipe = load_recipe("realistic").replace({"per_human": per_human})
    started = time.perf_counter()
    plan = make_plan(layers, recipe, 0)
    pairs = sum(1 for split in plan.splits for shard in split.shards() for _ in shard.pairs())
    seconds = time.perf_counter() - started
    # Linux gives kilobytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return _Planned(seconds, peak, pairs)


def _layer(role: Role, number: int) -> Layer:
    """Return a layer that looks like no other."""
    digest = hashlib.sha256(f"{role} {number}".encode()).hexdigest()
    return Layer(digest[:16], role, digest, 1360, 768, digest, _NoContent(), "")
