"""Pairs per second of `build` beside one process a pair, in turns, on the same layers.

    python benchmarks/pairs_per_second.py --layers LAYERS --pairs 200

LAYERS holds `humans` and `backgrounds` as loose files. Both make pictures of the background's own
size. Prints its conditions, every turn, and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from builder.engines import available_workers
from builder.folder import build
from builder.recipe import load_recipe
from builder.sources import Sources


def one_process_a_pair(layers: Path, pairs: int, at_once: int) -> float:
    """Return pairs per second of the original's way, `at_once` processes side by side."""
    humans = sorted((layers / "humans").iterdir())
    backgrounds = sorted((layers / "backgrounds").iterdir())
    script = Path(__file__).with_name("one_pair.py")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:

        def make(number: int, human: Path, background: Path) -> None:
            outputs = [f"{folder}/{number}-{kind}.png" for kind in ("im", "gt")]
            command = [sys.executable, str(script), str(human), str(background), *outputs]
            subprocess.run([*command, str(number)], check=True)

        started = time.perf_counter()
        inputs = zip(range(pairs), itertools.cycle(humans), itertools.cycle(backgrounds))
        for result in [pool.submit(make, *values) for values in inputs]:
            result.result()
        return pairs / (time.perf_counter() - started)


def built(layers: Path, pairs: int, recipe_name: str, workers: int) -> float:
    """Return pairs per second of a whole build: scan, plan, compose, shards, card."""
    humans = len(list((layers / "humans").iterdir()))
    per_human = -(-pairs // humans)
    recipe = load_recipe(recipe_name).replace({"size": 0, "per_human": per_human})
    with tempfile.TemporaryDirectory() as folder:
        report = build(
            Sources(sources=(str(layers),)),
            recipe,
            Path(folder) / "dataset",
            workers=workers,
            progress=False,
        )
    return sum(shard.rows for shard in report.manifest.shards) / report.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=200, help="pairs of a turn of `build`")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=available_workers())
    parser.add_argument("--recipe", default="classic")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {available_workers()} processors, load {load:.1f} at the start")
    rates: dict[str, list[float]] = {}
    few = max(4, options.pairs // 10)
    for turn in range(options.turns):
        measured = {
            "one process a pair, one at a time": one_process_a_pair(options.layers, few, 1),
            f"one process a pair, {options.workers} at once": one_process_a_pair(
                options.layers, few, options.workers
            ),
            f"build, {options.recipe}, {options.workers} workers": built(
                options.layers, options.pairs, options.recipe, options.workers
            ),
        }
        for name, rate in measured.items():
            rates.setdefault(name, []).append(rate)
            print(f"turn {turn + 1}: {name}: {rate:.2f} pairs/s")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ours = list(medians.values())[-1]
    for name, median in medians.items():
        print(f"median: {name}: {median:.2f} pairs/s; build is {ours / median:.1f} times that")


if __name__ == "__main__":
    main()
