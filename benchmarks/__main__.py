"""All benchmarks in minutes: one table, printed and written to `benchmarks/RESULTS.md`.

    python -m benchmarks                    # on ../shared/layers
    python -m benchmarks --only build,memory --layers LAYERS

Contenders take turns within one run, and medians are compared: only ratios can be trusted on
machines whose speed changes. Full matrices: `python -m benchmarks.streaming`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import build_speed, memory, on_the_fly, planning, profile, startup, streaming
from benchmarks.options import Options
from benchmarks.results import Result, conditions, table, write_results
from builder.engines import available_workers

BENCHMARKS: Mapping[str, Callable[[Options], list[Result]]] = {
    "start-up": startup.measure_startup,
    "planning": planning.measure_planning,
    "scaling": build_speed.measure_scaling,
    "build": build_speed.measure_build,
    "profile": profile.measure_profile,
    "many-layers": build_speed.measure_many_layers,
    "memory": memory.measure_memory,
    "on-the-fly": on_the_fly.measure_on_the_fly,
    "reading": streaming.measure_reading,
}


def main() -> None:
    """Run what was asked for, print the table and write it."""
    options = _options()
    load, started = os.getloadavg()[0], time.monotonic()
    results: list[Result] = []
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as place:
        for number, name in enumerate(options.only, 1):
            results += BENCHMARKS[name](_for_one(name, options, Path(place)))
            about = f"{conditions(load)}\n{time.monotonic() - started:.0f} s in all."
            left = ", ".join(options.only[number:])
            if options.results:
                # What took long to measure is not lost when a later case is cut short.
                unfinished = f"\nUnfinished: {left} did not run." if left else ""
                written = write_results(results, about + unfinished, command, options.results)
    print(f"\n{about}\n\n{table(results)}")
    if options.results:
        print(f"\nWritten to {written}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--layers", type=Path, default=Path("../shared/layers"))
    parser.add_argument("--only", type=_names, default=list(BENCHMARKS), help=", ".join(BENCHMARKS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=832, help="of a turn of a build")
    parser.add_argument("--memory-pairs", type=int, default=3_000, help="100000 takes an hour")
    parser.add_argument("--workers", type=int, default=available_workers())
    parser.add_argument("--results", type=Path, help="folder of RESULTS.md; this one by default")
    options = parser.parse_args()
    if not (options.layers / "humans").is_dir():
        parser.error(f"{options.layers}: holds no `humans`; give --layers.")
    # A part of the table would look like all of it.
    if options.results is None and options.only == list(BENCHMARKS):
        options.results = Path(__file__).parent
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: not one of {', '.join(BENCHMARKS)}"
        )
    return names


def _for_one(name: str, options: argparse.Namespace, place: Path) -> Options:
    started = time.monotonic()

    def say(text: str) -> None:
        seconds = time.monotonic() - started
        print(f"{name} {seconds:4.0f} s, load {os.getloadavg()[0]:.1f}: {text}", flush=True)

    folder = place / name
    folder.mkdir()
    return Options(
        layers=options.layers,
        workers=options.workers,
        turns=options.turns,
        pairs=options.pairs,
        memory_pairs=options.memory_pairs,
        place=folder,
        say=say,
    )


if __name__ == "__main__":
    main()
