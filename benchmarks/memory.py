"""The peak of a worker's memory after a thousand pairs, and after many more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.paired import in_a_fresh_process
from benchmarks.results import Result, figure, limited
from benchmarks.workload import (
    Workload,
    as_in_the_data_set,
    plan_workload,
    write_shards,
)
from builder.engines import ordered_map
from builder.render import make_rows

_FIRST = 1_000
# With the data set's four pairs of each human so many have more layers than workers keep decoded.
_LAYERS_FOR = 2_000


def measure_memory(options: Options) -> list[Result]:
    """Watch the workers of one build, at the default size, realistic."""
    layers = as_in_the_data_set(options, min(options.memory_pairs, _LAYERS_FOR))
    work = plan_workload(layers, "realistic", options.memory_pairs, size=1024)
    marks = [min(_FIRST, work.pairs // 2), work.pairs]
    peaks = in_a_fresh_process(_peaks, work, options.workers, marks, options.place)
    for pairs, peak in zip(marks, peaks, strict=True):
        options.say(f"after {pairs:,} pairs: {peak:.0f} MB")
    first, last = peaks
    pairs = f"{marks[1]:,} pairs"
    return [
        limited("memory", f"largest worker, size 1024, {pairs}", last, 500, "MB"),
        Result(
            "memory",
            f"the same, {pairs}",
            f"{figure(last)} MB",
            f"{marks[0]:,} pairs: {figure(first)} MB",
            last / first,
            at_most=1.1,
        ),
    ]


def _peaks(work: Workload, workers: int, marks: list[int], place: Path) -> list[float]:
    """Return the peak of the largest worker when so many pairs were made, in megabytes."""
    peaks: list[float] = []
    data = place / "memory-shards"
    data.mkdir()
    with ordered_map(make_rows, work.tasks(workers), workers) as results:
        write_shards(work, _watched(results, marks, peaks), data)
    return peaks


def _watched(
    results: Iterable[list[Any]], marks: list[int], peaks: list[float]
) -> Iterator[list[Any]]:
    """Pass rows on, and note the peak at each mark."""
    left = [*marks]
    made = 0
    for rows in results:
        made += len(rows)
        if left and made >= left[0]:
            peaks.append(_largest_child())
            left.pop(0)
        yield rows


def _largest_child() -> float:
    """Return the largest peak among this process's children, or its own if it has none."""
    children = [
        process for process in Path("/proc").glob("[0-9]*") if _parent(process) == os.getpid()
    ]
    return max(map(_peak, children or [Path("/proc/self")]))


def _parent(process: Path) -> int | None:
    return _status(process).get("PPid")


def _peak(process: Path) -> float:
    return _status(process).get("VmHWM", 0) / 1000


def _status(process: Path) -> dict[str, int]:
    """Return the numbers of a process's status; memory is in kB there."""
    try:
        lines = (process / "status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines)
    values = {name: value.split() for name, value in pairs}
    return {name: int(words[0]) for name, words in values.items() if words and words[0].isdigit()}
