"""`build` beside the original's way, a well-written pool, and what the codecs alone take.

Pairs per second once workers run: start-up is a case of its own (`startup`), and checks, which
come once a layer, are in the case `many layers`. All contenders have the same number of processes
with one thread each, but for the original, whose shell script started one after the other.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import codec_floor, naive_pool, workload
from benchmarks.bare_pair import make_bare_rows
from benchmarks.decided_pair import keep_decisions, make_decided_rows
from benchmarks.options import Options
from benchmarks.paired import in_a_fresh_process, in_turns, ratio_of
from benchmarks.results import Result, compared
from benchmarks.workload import as_in_the_data_set, copy_layers, plan_workload
from builder.folder import build
from builder.recipe import IMAGE_FORMATS, load_recipe
from builder.render import Row, Task
from builder.sources import Sources
from builder.sources.layer import Layer

RECIPES = ("plain", "classic", "realistic")
UNIT = "pairs/s"
# A process a pair is so slow that a few tell, as do fewer pairs of the pool: both are even.
_ORIGINAL_SHARE, _POOL_SHARE = 24, 2
_PICTURES = 104
_LESS_THAN_PLAIN = {
    "bare": "the least that is a dataset",
    "decided": "plain, all decided before",
}
# The last task leaves a worker idle for up to a second, which only a long turn makes little of.
_SCALING_PAIRS = 832


def measure_build(options: Options) -> list[Result]:
    """Compare all recipes with all image formats, in the data set's own proportions.

    A background a human and four pairs of each: layers are copies, each decoded once.
    """
    layers = as_in_the_data_set(options, options.pairs)
    pictures = {recipe: _pictures(layers, recipe, options) for recipe in RECIPES}
    # The same for all formats.
    decisions = options.place / "decisions"
    keep_decisions(plan_workload(layers, "plain", options.pairs), options.workers, decisions)
    results = []
    for image_format in IMAGE_FORMATS:
        contenders = _contenders(layers, image_format, pictures, decisions, options)
        measured = in_turns(contenders, options.turns, options.say)
        for recipe in RECIPES:
            case, ours = f"{recipe}, {image_format}", measured[f"build {recipe}"]
            original = ratio_of(ours, measured["original"])
            pool = ratio_of(ours, measured["pool"])
            floor = ratio_of(ours, measured[f"floor {recipe}"])
            results += [
                compared("build", case, "original, PNG", original, UNIT, at_least=40),
                compared("build", case, "pool", pool, UNIT, at_least=5),
                compared("build", case, "codecs alone", floor, UNIT, at_least=0.7),
            ]
        # What could be reached at all.
        for other in ("original", "pool"):
            floor = ratio_of(measured["floor plain"], measured[other])
            results.append(
                compared("build", f"codecs alone, plain, {image_format}", other, floor, UNIT)
            )
        for name, what in _LESS_THAN_PLAIN.items():
            less = ratio_of(measured[name], measured["floor plain"])
            results.append(compared("build", f"{what}, {image_format}", "codecs alone", less, UNIT))
        plain = ratio_of(measured["build plain"], measured["build realistic"])
        results.append(
            compared("build", f"plain, {image_format}", "realistic", plain, UNIT, at_most=2)
        )
    return results


def _contenders(
    layers: tuple[Layer, ...],
    image_format: str,
    pictures: dict[str, list[Path]],
    decisions: Path,
    options: Options,
) -> dict[str, Callable[[], float]]:
    folder, workers, pairs = options.layers, options.workers, options.pairs
    few, half = max(4, pairs // _ORIGINAL_SHARE), max(8, pairs // _POOL_SHARE)
    contenders = {
        "original": _somewhere(naive_pool.one_process_a_pair, folder, few, 1),
        "pool": _somewhere(naive_pool.pool_of_processes, folder, half, image_format, workers),
    }
    for recipe in RECIPES:
        work = plan_workload(layers, recipe, pairs, image_format=image_format)
        contenders[f"floor {recipe}"] = functools.partial(
            codec_floor.floor_pairs_per_second, work, pictures[recipe], workers
        )
        contenders[f"build {recipe}"] = _somewhere(workload.pairs_per_second, work, workers)
        if recipe == "plain":
            less: dict[str, Callable[[Task], list[Row]]] = {
                "bare": make_bare_rows,
                "decided": functools.partial(make_decided_rows, decisions),
            }
            for name, rows_of in less.items():
                make = functools.partial(workload.pairs_per_second, rows_of=rows_of)
                contenders[name] = _somewhere(make, work, workers)
    return contenders


def _somewhere(function: Callable[..., float], *args: object) -> Callable[[], float]:
    """Let a function write into a folder that goes afterwards."""

    def measure() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return function(*args, Path(folder))

    return measure


def _pictures(layers: tuple[Layer, ...], recipe: str, options: Options) -> list[Path]:
    options.say(f"composing what the codecs alone will encode, {recipe}")
    folder = options.place / f"pictures-{recipe}"
    folder.mkdir()
    work = plan_workload(layers, recipe, options.pairs, image_format="png")
    return codec_floor.keep_pictures(work, options.workers, folder, _PICTURES)


def measure_scaling(options: Options) -> list[Result]:
    """Compare all workers with one."""
    if options.workers < 2:
        return []
    pairs = max(options.pairs, _SCALING_PAIRS)
    work = plan_workload(as_in_the_data_set(options, pairs), "realistic", pairs)
    contenders: dict[str, Callable[[], float]] = {
        f"{count} workers": _in_a_fresh_process_somewhere(work, count)
        for count in (1, options.workers)
    }
    measured = in_turns(contenders, options.turns, options.say)
    ratio = ratio_of(measured[f"{options.workers} workers"], measured["1 workers"])
    target = 0.925 * options.workers
    case = f"{options.workers} workers, realistic, jpeg"
    return [compared("scaling", case, "1 worker", ratio, UNIT, at_least=target)]


def _in_a_fresh_process_somewhere(work: workload.Workload, workers: int) -> Callable[[], float]:
    """One worker is the process itself, which would remember layers from turn to turn."""
    return _somewhere(
        functools.partial(in_a_fresh_process, workload.pairs_per_second), work, workers
    )


def measure_many_layers(options: Options) -> list[Result]:
    """Compare whole builds in the data set's own proportions: a background a human, four pairs.

    Everything is in it: start-up, the check of each layer, the card. Layers are copies, too many
    for a cache. The pool's start-up is not in its time, which is to its advantage.
    """
    humans = max(2, options.pairs // 4)
    folder = copy_layers(options.layers, options.place / "many-layers", humans, humans)
    contenders = {
        "original, at once": _somewhere(
            naive_pool.one_process_a_pair,
            *(folder, max(4, options.pairs // 16), options.workers),
        ),
        "pool": _somewhere(
            naive_pool.pool_of_processes, folder, 4 * humans, "jpeg", options.workers
        ),
        "whole build": _somewhere(_whole_build, folder, options.workers),
    }
    measured = in_turns(contenders, options.turns, options.say)
    case = f"whole build of {humans} + {humans} layers, realistic, jpeg"
    original = ratio_of(measured["whole build"], measured["original, at once"])
    pool = ratio_of(measured["whole build"], measured["pool"])
    beside = f"original, {options.workers} at once"
    return [
        compared("many layers", case, beside, original, UNIT),
        compared("many layers", case, "pool", pool, UNIT),
    ]


def _whole_build(layers: Path, workers: int, folder: Path) -> float:
    recipe = load_recipe("realistic").replace({"size": 0})
    sources = Sources(sources=(str(layers),))
    started = time.perf_counter()
    report = build(sources, recipe, folder / "dataset", workers=workers, progress=False)
    seconds = time.perf_counter() - started
    return sum(shard.rows for shard in report.manifest.shards) / seconds
