"""Where the time of a worker goes: milliseconds a pair, by step."""

from __future__ import annotations

import cProfile
import dataclasses
import pstats
import time
from pathlib import Path

from benchmarks.options import Options
from benchmarks.paired import in_a_fresh_process
from benchmarks.results import Result, figure
from benchmarks.workload import Workload, as_in_the_data_set, plan_workload, write_shards
from builder.render import make_rows

# Functions that together are nearly all of the work; none calls another of them.
STEPS = {
    "decode": ("decode_human", "decode_background"),
    "clean the matte": ("clean_as_known",),
    "edges, cuts, sample points": ("decontaminate", "find_cuts", "_sample_points"),
    "place": ("place", "add_companions"),
    "resample": ("resize_background", "warp"),
    "background": ("alter_background",),
    "light": ("light",),
    "blend": ("blend",),
    "camera": ("alter_composite",),
    "encode the image": ("encode_image",),
    "encode the mask": ("encode_png",),
    "write and hash": ("write_shard",),
}
_RECIPES = ("plain", "classic", "realistic")
_MOST_PAIRS = 416


def measure_profile(options: Options) -> list[Result]:
    """Profile one worker on each recipe, as JPEG, in the data set's own proportions."""
    layers = as_in_the_data_set(options, min(options.pairs, _MOST_PAIRS))
    results = []
    for recipe in _RECIPES:
        work = plan_workload(layers, recipe, min(options.pairs, _MOST_PAIRS))
        place = options.place / recipe
        place.mkdir()
        total, steps = in_a_fresh_process(_profiled, work, place)
        options.say(f"{recipe}: {total:.1f} ms a pair")
        results += [
            Result(
                "profile",
                f"{recipe}, jpeg: {step}",
                f"{figure(milliseconds)} ms a pair",
                f"all: {figure(total)} ms",
                milliseconds / total,
            )
            for step, milliseconds in steps.items()
        ]
    return results


def _profiled(work: Workload, place: Path) -> tuple[float, dict[str, float]]:
    """Return the processor time of all and of each step, milliseconds a pair."""
    # What is imported or set up once is none of a pair's time.
    warm = [make_rows(task) for task in list(work.tasks(1))[:1]]
    write_shards(dataclasses.replace(work, shards=work.shards[:1]), warm, place)
    profile = cProfile.Profile(time.process_time)
    started = time.process_time()
    profile.enable()
    # Written when all are there: what is written while it is made would count as writing.
    rows = [make_rows(task) for task in work.tasks(1)]
    write_shards(work, rows, place)
    profile.disable()
    total = 1000 * (time.process_time() - started) / work.pairs
    spent = {
        name: cumulative
        for (_, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    }
    steps = {
        step: 1000 * sum(spent.get(name, 0.0) for name in names) / work.pairs
        for step, names in STEPS.items()
    }
    return total, {"rest": total - sum(steps.values()), **steps}
