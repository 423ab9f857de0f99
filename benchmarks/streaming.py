"""Reading pairs back: our Parquet, webdataset and MosaicML MDS, each with its own loader.

    python -m benchmarks.streaming --layers ../shared/layers

The same encoded pictures, raw or decoded, from the disk or from a Hub on the loopback interface,
by one or two workers of a DataLoader: rows a second, time to the first row, bytes read. Prints a
table in Markdown. `python -m benchmarks` runs the few cases of it that have a target.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.formats import compose_rows, write_mds, write_parquet, write_webdataset
from benchmarks.loopback import Loopback, loopback_hub
from benchmarks.options import Options
from benchmarks.paired import in_turns, ratio_of
from benchmarks.results import Result, compared, conditions, limited, not_run
from benchmarks.workload import checked_layers, plan_workload
from builder.engines import available_workers
from builder.recipe import load_recipe
from builder.render import Row
from builder.sources.layer import Layer

NEEDED = ("torch", "webdataset", "streaming")
ROW_GROUPS = (4, 8, 16, 32, 64, 100)
# So that a benchmark's few pairs make more files than workers; the matrix needs 100 rows in a file.
_FEW_MEGABYTES, _MEGABYTES = 16.0, 64.0
_OTHER_SHARDS = (16.0, 256.0)
# Fewer are read within a second, and one worker's last file is much of that.
_LEAST_PAIRS = 832
_COMMON = ("raw", "own", "opencv")
"""Decoders that there are for all formats."""
_COLUMNS = (
    ("rows/s", "rows_per_second", 1),
    ("CPU, ms a row", "cpu_per_row", 1e3),
    ("first row, ms", "first_row", 1e3),
    ("MB read", "bytes_read", 1e-6),
    ("MB sent by the Hub", "sent", 1e-6),
)


@dataclass(frozen=True)
class Stored:
    """The pairs in one format.

    Attributes:
        name: of the format, with its knobs.
        reader: of `benchmarks.readers.READERS`.
        folder: holds its files.
    """

    name: str
    reader: str
    folder: Path

    @property
    def repository(self) -> str:
        """The name on the Hub."""
        return f"me/{self.folder.name}"


def measure_reading(options: Options) -> list[Result]:
    """Compare ours, as built by default, with the better of the other two."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return [not_run("reading", f"needs {', '.join(missing)}: the extra `bench`")]
    options.say("composing and writing pairs in three formats")
    usual = load_recipe("realistic").row_group_rows
    pairs = max(options.pairs, _LEAST_PAIRS)
    rows, layers = _rows(options.layers, pairs, options.workers)
    ours = _as_parquet(rows, layers, pairs, options.place, usual, _FEW_MEGABYTES)
    stored = [ours, *_as_others(rows, ours)]
    results = []
    with loopback_hub({each.repository: each.folder for each in stored}) as hub:
        for where, decoder in (("local", "opencv"), ("local", "own"), ("Hub", "opencv")):
            results += _compared(stored, where, decoder, hub, options)
    return results


def _compared(
    stored: Sequence[Stored], where: str, decoder: str, hub: Loopback, options: Options
) -> list[Result]:
    reads: dict[str, list[dict[str, Any]]] = {each.reader: [] for each in stored}

    def measure(each: Stored) -> float:
        read = read_once(each, decoder, where, options.workers, hub)
        reads[each.reader].append(read)
        return float(read["rows_per_second"])

    contenders = {each.reader: (lambda each=each: measure(each)) for each in stored}
    options.say(f"{where}, decoded: {decoder}")
    measured = in_turns(contenders, options.turns, options.say)
    ours = measured.pop("parquet")
    best = max(measured, key=lambda name: statistics.median(measured[name]))
    ratio = ratio_of(ours, measured[best])
    how = {"opencv": "OpenCV in all", "own": "each in its own way"}[decoder]
    case = f"{where}, decoded by {how}, {options.workers} workers"
    results = [compared("reading", case, best, ratio, "rows/s", at_least=1)]
    if where == "local" and decoder == "own":
        first = statistics.median(read["first_row"] for read in reads["parquet"])
        results.append(limited("reading", "first row, local", 1000 * first, 100, "ms"))
    return results


def read_once(
    stored: Stored, decoder: str, where: str, workers: int, hub: Loopback
) -> dict[str, Any]:
    """Read all pairs in a process of its own; `sent` is what the Hub sent, first row included."""
    over_http = where == "Hub"
    spec = {
        "reader": stored.reader,
        "decoder": decoder,
        "where": stored.repository if over_http else str(stored.folder),
        "hub": hub.url if over_http else "",
        "workers": workers,
        "files": sorted(path.name for path in stored.folder.glob("*.tar")),
    }
    hub.received()
    with _empty_home() as home:
        environment = {**os.environ, **hub.environment, **home}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.readers", json.dumps(spec)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{stored.name}, {decoder}, {where}: {done.stderr[-3000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "sent": hub.received()}


@contextmanager
def _empty_home() -> Iterator[Mapping[str, str]]:
    """Let nothing be found in a cache."""
    with tempfile.TemporaryDirectory() as home:
        folders = {"HF_HOME": "", "HF_HUB_CACHE": "hub", "HF_DATASETS_CACHE": "datasets"}
        yield {"TMPDIR": home, **{name: f"{home}/{place}" for name, place in folders.items()}}


def _rows(layers: Path, pairs: int, workers: int) -> tuple[list[Row], tuple[Layer, ...]]:
    checked = checked_layers(layers)
    work = plan_workload(checked, "realistic", pairs, size=1024)
    return compose_rows(work, workers), checked


def _as_parquet(
    rows: Sequence[Row],
    layers: tuple[Layer, ...],
    pairs: int,
    place: Path,
    row_group: int,
    megabytes: float,
) -> Stored:
    knobs = {"size": 1024, "row_group_rows": row_group, "shard_megabytes": megabytes}
    folder = place / f"parquet-{row_group}-{megabytes:g}"
    work = plan_workload(layers, "realistic", pairs, **knobs)
    write_parquet(work, rows, folder)
    return Stored(f"Parquet, {row_group} rows, {megabytes:g} MB", "parquet", folder)


def _as_others(rows: Sequence[Row], parquet: Stored) -> list[Stored]:
    """Write shards as large as the first one of a Parquet, beside it."""
    place, first = parquet.folder.parent, min(parquet.folder.iterdir())
    count = pq.read_metadata(first).num_rows
    write_webdataset(rows, place / "webdataset", count)
    write_mds(rows, place / "mds", first.stat().st_size)
    return [
        Stored("webdataset", "webdataset", place / "webdataset"),
        Stored("MDS", "mds", place / "mds"),
    ]


def main() -> None:
    """Measure the whole matrix."""
    options = _options()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        rows, layers = _rows(options.layers, options.pairs, available_workers())
        sizes = [(group, _MEGABYTES) for group in options.row_groups]
        sizes += [(load_recipe("realistic").row_group_rows, size) for size in _OTHER_SHARDS]
        stored = [
            _as_parquet(rows, layers, options.pairs, place, group, size) for group, size in sizes
        ]
        stored += _as_others(rows, stored[0])
        total = sum(len(row["image"]["bytes"]) + len(row["mask"]["bytes"]) for row in rows)
        print(f"{len(rows)} pairs, {total / 1e6:.0f} MB of pictures; {options.turns} turn(s)\n")
        with loopback_hub({each.repository: each.folder for each in stored}) as hub:
            _print_matrix(stored, hub, options)
    print(f"\n{conditions(load)}")


def _print_matrix(stored: Sequence[Stored], hub: Loopback, options: argparse.Namespace) -> None:
    heads = ("from", "decoded by", "workers", "format", *(head for head, _, _ in _COLUMNS))
    _print_row(heads)
    _print_row(["---"] * 4 + ["--:"] * len(_COLUMNS))
    cases = itertools.product(options.places, options.decoders, options.workers)
    for where, decoder, workers in cases:
        able = [each for each in stored if each.reader == "parquet" or decoder in _COMMON]
        reads: dict[str, list[dict[str, Any]]] = {each.name: [] for each in able}
        for _, each in itertools.product(range(options.turns), able):
            reads[each.name].append(read_once(each, decoder, where, workers, hub))
        for name, found in reads.items():
            values = {key: statistics.median(one[key] for one in found) for key in found[0]}
            shown = [f"{values[key] * factor:,.1f}" for _, key, factor in _COLUMNS]
            _print_row([where, decoder, str(workers), name, *shown])


def _print_row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=Path, default=Path("../shared/layers"))
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--row-groups", type=_numbers, default=list(ROW_GROUPS))
    parser.add_argument("--workers", type=_numbers, default=[1, 2])
    parser.add_argument("--places", type=_words, default=["local", "Hub"])
    parser.add_argument("--decoders", type=_words, default=["raw", "own", "opencv"])
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
