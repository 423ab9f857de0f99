"""How long a user waits for `--help`, and for the first shard of a build."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.options import Options
from benchmarks.results import Result, limited

_PROGRAM = str(Path(sys.executable).with_name("human-segmentation"))
_HELP_RUNS = 7


def measure_startup(options: Options) -> list[Result]:
    """Measure both, as a shell sees them."""
    helps = [_seconds_of_help() for _ in range(_HELP_RUNS)]
    shards = [_seconds_to_first_shard(options) for _ in range(options.turns)]
    options.say(f"--help: {_all(helps)}; first shard: {_all(shards)}")
    case = f"first shard, {options.workers} workers, realistic"
    return [
        limited("start-up", "--help", statistics.median(helps), 0.3, "s"),
        limited("start-up", case, statistics.median(shards), 2.0, "s"),
    ]


def _all(seconds: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in seconds) + " s"


def _seconds_of_help() -> float:
    started = time.perf_counter()
    subprocess.run([_PROGRAM, "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def _seconds_to_first_shard(options: Options) -> float:
    """Return the time until a shard of one human's four pairs lies there, whole.

    It holds the start of Python and of the workers, and the check of all layers.
    """
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        data = Path(folder) / "dataset" / ".build" / "data"
        command = [_PROGRAM, "build", "--source", str(options.layers), "--size", "0"]
        command += ["--set", "shard_megabytes=0.1", "--workers", str(options.workers)]
        command += ["--output", str(data.parents[1])]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while not _shards(data) and process.poll() is None:
            time.sleep(0.005)
        seconds = time.perf_counter() - started
        _, said = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the build failed: {said}")
    return seconds


def _shards(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".parquet")]  # noqa: PTH208
    except FileNotFoundError:
        return []
