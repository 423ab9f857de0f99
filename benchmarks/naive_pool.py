"""Two ways without this package: one process a pair, and a well-written pool of processes."""

from __future__ import annotations

import itertools
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2

from benchmarks.naive_pair import make_pair
from benchmarks.workload import warm_up

_SCRIPT = Path(__file__).with_name("naive_pair.py")
_SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
# Enough to make the hand-over cheap, and few enough for both workers to end together.
_CHUNK = 4

Job = tuple[str, str, str, str, int]


def one_process_a_pair(layers: Path, pairs: int, at_once: int, folder: Path) -> float:
    """Return pairs per second, start-up of each process included, as the original pays for it.

    The original is a shell script: with `at_once` 1 one process follows the other, as there.
    """
    jobs = _jobs(layers, pairs, "png", folder)
    with ThreadPoolExecutor(at_once) as pool:
        started = time.perf_counter()
        for done in [pool.submit(_run, job) for job in jobs]:
            done.result()
        return pairs / (time.perf_counter() - started)


def pool_of_processes(
    layers: Path, pairs: int, image_format: str, workers: int, folder: Path
) -> float:
    """Return pairs per second of a pool that runs already: one thread of OpenCV's each."""
    jobs = list(_jobs(layers, pairs, _SUFFIXES[image_format], folder))
    # Not forked: OpenCV's threads, once they were used, hang in a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start) as pool:
        for warming in [pool.submit(warm_up) for _ in range(2 * workers)]:
            warming.result()
        started = time.perf_counter()
        for _ in pool.map(_make, jobs, chunksize=_CHUNK):
            pass
        return pairs / (time.perf_counter() - started)


def _jobs(layers: Path, pairs: int, suffix: str, folder: Path) -> Iterator[Job]:
    humans, backgrounds = (
        [str(path) for path in sorted((layers / role).iterdir())]
        for role in ("humans", "backgrounds")
    )
    inputs = zip(range(pairs), itertools.cycle(humans), itertools.cycle(backgrounds))
    for number, human, background in inputs:
        outputs = str(folder / f"{number}-im.{suffix}"), str(folder / f"{number}-gt.png")
        yield (human, background, *outputs, number)


def _start() -> None:
    cv2.setNumThreads(1)


def _make(job: Job) -> None:
    make_pair(*job)


def _run(job: Job) -> None:
    subprocess.run([sys.executable, str(_SCRIPT), *map(str, job)], check=True)
