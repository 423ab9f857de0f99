"""`Compositor` beside the same loop over pairs that were made before.

Square pairs of 512 px, `realistic`, as a trainer's worker makes them: one process, arrays in the
end. There are too many layers to keep decoded. Pairs per second of processor time, so that other
work on the machine does not count.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import Options
from benchmarks.paired import in_a_fresh_process, in_turns, ratio_of
from benchmarks.results import Result, compared, figure
from benchmarks.workload import copy_layers
from builder.compositor import Compositor
from builder.folder import build
from builder.recipe import load_recipe
from builder.sources import Sources

_SIDE = 512
_UNIT = "pairs/s a core"
_LEAST = 20.0


def measure_on_the_fly(options: Options) -> list[Result]:
    """Compare both ways to mix humans with made pairs read back, and ours with its target."""
    humans = max(2, options.pairs // 2)
    layers = copy_layers(options.layers, options.place / "layers", humans, humans)
    options.say("making pairs to read back")
    made = options.place / "made"
    knobs = {"size": _SIDE, "validation": 0.0, "per_human": 2}
    recipe = load_recipe("realistic").replace(knobs)
    source = Sources(sources=(str(layers),))
    build(source, recipe, made, workers=options.workers, progress=False)
    contenders: dict[str, Callable[[], float]] = {
        name: functools.partial(in_a_fresh_process, function, place, options.pairs)
        for name, function, place in (
            ("stream", _stream, layers),
            ("drawn", _at_random, layers),
            ("made", _read_back, made),
        )
    }
    measured = in_turns(contenders, options.turns, options.say)
    stream = ratio_of(measured["stream"], measured["made"])
    drawn = ratio_of(measured["drawn"], measured["made"])
    reached = Result(
        "on-the-fly",
        f"stream, realistic, {_SIDE} px, {humans} + {humans} layers",
        f"{figure(stream.ours)} {_UNIT}",
        f"target: {figure(_LEAST)} {_UNIT}",
        stream.ours / _LEAST,
        at_least=1,
    )
    return [
        reached,
        compared("on-the-fly", "stream", "made pairs, JPEG", stream, _UNIT),
        compared("on-the-fly", "by number, drawn at random", "made pairs, JPEG", drawn, _UNIT),
    ]


def _stream(layers: Path, pairs: int) -> float:
    return _per_second(itertools.islice(_compositor(layers).stream(), pairs))


def _at_random(layers: Path, pairs: int) -> float:
    compositor = _compositor(layers)
    drawn = np.random.default_rng(0).permutation(len(compositor))[:pairs]
    return _per_second(compositor[number] for number in drawn)


def _compositor(layers: Path) -> Compositor:
    return Compositor(source=layers, size=(_SIDE, _SIDE), split=None, progress=False)


def _read_back(folder: Path, pairs: int) -> float:
    import datasets

    rows = datasets.load_dataset(str(folder), split="train", streaming=True)
    shuffled = rows.shuffle(seed=0, buffer_size=64)
    return _per_second(
        (np.asarray(row["image"]), np.asarray(row["mask"]))
        for row in itertools.islice(shuffled, pairs)
    )


def _per_second(samples: Iterable[Any]) -> float:
    """Return how many there are for each second that this process and its threads worked."""
    started = time.process_time()
    count = sum(1 for _ in samples)
    return count / (time.process_time() - started)
