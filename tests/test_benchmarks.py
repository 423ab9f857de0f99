"""What the benchmarks report: ratios of turns, and the table and the chart made from them.

Speed itself is never asserted in a test.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.naive_pool import pool_of_processes
from benchmarks.paired import in_turns, ratio_of
from benchmarks.results import Result, compared, limited, not_run, table, write_results
from benchmarks.workload import checked_layers, copy_layers, pairs_per_second, plan_workload
from tests.kit import write_layers


def test_contenders_take_turns() -> None:
    order: list[str] = []
    contenders = {name: (lambda name=name: order.append(name) or 1.0) for name in "ab"}
    assert in_turns(contenders, 2, lambda _: None) == {"a": [1, 1], "b": [1, 1]}
    assert order == ["a", "b", "a", "b"]


def test_a_machine_that_slows_down_between_turns_changes_no_ratio() -> None:
    ratio = ratio_of([10, 5, 1], [5, 2.5, 0.5])
    assert (ratio.ratio, ratio.low, ratio.high) == (2, 2, 2)
    assert (ratio.ours, ratio.other) == (5, 2.5)


RESULTS = [
    compared("build", "plain", "pool", ratio_of([10.0], [2.0]), "pairs/s", at_least=4),
    compared("build", "classic", "pool", ratio_of([6.0], [2.0]), "pairs/s", at_least=4),
    limited("start-up", "--help", 0.45, 0.3, "s"),
    Result("memory", "no target", "1 MB", "2 MB", 0.5),
    not_run("reading", "needs torch"),
]


def test_the_table_says_what_was_met_and_what_was_not() -> None:
    rows = [line.split(" | ") for line in table(RESULTS).splitlines()[2:]]
    assert [row[-1].strip(" |") for row in rows] == ["met", "missed", "missed", "", ""]
    assert rows[0][2:6] == ["10.0 pairs/s", "pool: 2.00 pairs/s", "**5.00** (5.00 to 5.00)", "≥ 4"]


def test_the_chart_has_a_bar_for_each_target(tmp_path: Path) -> None:
    path = write_results(RESULTS, "Conditions.", "python -m benchmarks", tmp_path)
    assert "](results.svg)" in path.read_text(encoding="utf-8")
    chart = ElementTree.parse(tmp_path / "results.svg").getroot()
    assert len(chart.findall("{*}rect")) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_measured_is_a_whole_plan(tmp_path: Path, workers: int) -> None:
    originals = write_layers(tmp_path / "few", humans=2, backgrounds=2)
    layers = checked_layers(copy_layers(originals, tmp_path / "many", 3, 5))
    assert len(layers) == 8
    work = plan_workload(layers, "plain", 7, shard_megabytes=0.1)
    assert work.pairs == 9
    (tmp_path / "shards").mkdir()
    assert pairs_per_second(work, workers, tmp_path / "shards") > 0
    assert len(list((tmp_path / "shards").iterdir())) == len(work.shards) > 0


def test_the_pool_writes_an_image_and_a_mask_a_pair(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=2, backgrounds=3)
    (tmp_path / "made").mkdir()
    assert pool_of_processes(layers, 5, "webp", 1, tmp_path / "made") > 0
    assert len(list((tmp_path / "made").iterdir())) == 10


@pytest.mark.slow
def test_all_benchmarks_of_builds_run(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=3, backgrounds=3)
    only = "start-up,scaling,build,profile,many-layers,memory"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--layers", str(layers), "--only", only),
            *("--pairs", "8", "--memory-pairs", "64", "--turns", "1", "--workers", "2"),
            *("--results", str(tmp_path)),
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    for group in only.split(","):
        assert f"\n| {group.replace('-', ' ') if group == 'many-layers' else group} | " in written
    assert "realistic, webp" in written
    assert "clean the matte" in written


@pytest.mark.slow
def test_two_versions_are_compared(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=2, backgrounds=2)
    root, other = Path(__file__).parents[1], tmp_path / "other"
    for package in ("builder", "benchmarks"):
        shutil.copytree(root / package, other / package)
    command = [
        *(sys.executable, "benchmarks/two_versions.py", str(other), "--layers", str(layers)),
        *("--recipe", "plain", "--turns", "1"),
    ]
    run = functools.partial(
        subprocess.run, command, cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("plain, jpeg: ")
    render = other / "builder" / "render.py"
    render.write_text(f"{render.read_text()}\nraise RuntimeError('the other one')\n")
    done = run()
    assert done.returncode != 0
    assert "the other one" in done.stderr
