"""Builds that are killed, stopped or run out of room anywhere, and end in the same bytes.

Three ways: at random moments, with real processes; before each change of a file, one after the
other; and in file systems of every size that is too small.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builder.manifest import read_manifest
from tests.building import PROGRAM, build, digests, run, start, workers

QUICK = (
    *("--source", "sample", "--sample-humans", "12", "--sample-backgrounds", "7"),
    *("--sample-size", "128", "--size", "96", "--per-human", "2", "--validation", "0.2"),
    *("--set", "shard_megabytes=0.1", "--image-format", "png"),
)
"""Options of a build of several shards that takes little more than the start of Python."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("undisturbed") / "folder", *QUICK)


def assert_nothing_looks_whole_but_is_not(output: Path, undisturbed: Path) -> None:
    """What carries a final name holds its final bytes."""
    for path in output.rglob("*.parquet"):
        pq.read_table(path)
        assert path.read_bytes() == (undisturbed / "data" / path.name).read_bytes()
    if (output / "manifest.json").exists():
        assert read_manifest(output) == read_manifest(undisturbed)
        assert digests(output / "data") == digests(undisturbed / "data")


def victims(process: subprocess.Popen[str], who: str) -> list[int]:
    last = workers(process.pid)[-1:]
    return {"parent": [process.pid], "worker": last, "all": [process.pid, *last]}[who]


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long a build takes here from its beginning on."""
    process = begun(tmp_path_factory.mktemp("timed") / "folder")
    started = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 0
    return time.monotonic() - started


def begun(output: Path) -> subprocess.Popen[str]:
    """Start a build and wait until it has begun."""
    process = start("build", "--output", output, "--workers", "2", *QUICK)
    deadline = time.monotonic() + 60
    while not (output / ".build").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process


def stopped_at_random(
    output: Path, rng: random.Random, number: signal.Signals, who: str, seconds: float
) -> Any:
    """Start a build, send a signal some time after it has begun, and return how it ended."""
    process = begun(output)
    # The last part of a build is short, and more can be broken there.
    time.sleep(seconds * rng.choice((rng.uniform(0, 0.5), rng.uniform(0.3, 1.2))))
    for pid in victims(process, who):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    _, messages = process.communicate(timeout=60)
    return process.returncode, messages


ROUNDS = [
    pytest.param(seed, marks=[] if seed == 0 else pytest.mark.slow, id=f"round {seed}")
    for seed in range(10)
]


@pytest.mark.parametrize("seed", ROUNDS)
def test_killed_at_random_moments_a_build_ends_in_the_same_bytes(
    undisturbed: Path, tmp_path: Path, seconds: float, seed: int
) -> None:
    rng = random.Random(seed)
    times = 1 if seed == 0 else 11
    ends: Counter[int] = Counter()
    for number in range(times):
        output = tmp_path / str(number)
        who = rng.choice(("parent", "worker", "all")) if number else "parent"
        code, messages = stopped_at_random(output, rng, signal.SIGKILL, who, seconds)
        ends[code] += 1
        assert code in (0, 1, -signal.SIGKILL), messages
        # What multiprocessing's own tracker says to the death of its parent is not ours.
        from_tracker = code == -signal.SIGKILL and "resource_tracker.py" in messages
        assert "Traceback" not in messages or from_tracker
        assert code != 1 or "A worker process was killed" in messages
        assert_nothing_looks_whole_but_is_not(output, undisturbed)
        assert digests(build(output, *QUICK)) == digests(undisturbed)
        shutil.rmtree(output)
    assert times < 10 or ends.total() - ends[0] > times / 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_at_random_moments_a_build_says_how_to_go_on(
    undisturbed: Path, tmp_path: Path, seconds: float, number: signal.Signals
) -> None:
    rng = random.Random(number)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    for turn in range(12):
        output = tmp_path / str(turn)
        code, messages = stopped_at_random(output, rng, number, "parent", seconds)
        assert code in (0, expected), messages
        assert "Traceback" not in messages
        assert code == 0 or "Run the same command again" in messages
        assert_nothing_looks_whole_but_is_not(output, undisturbed)
        assert digests(build(output, *QUICK)) == digests(undisturbed)
        shutil.rmtree(output)


def swept(how: str, base: Path, first: int, step: int) -> list[dict[str, Any]]:
    """Fail before every `step`-th change of a file; see `tests.crashing`."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.crashing", how, base, str(first), str(step)),
            *("build", "--workers", "1", *QUICK),
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


STEPS = [
    pytest.param("kill", 9, 17),
    *(
        pytest.param(how, first, 3, marks=pytest.mark.slow)
        for how in ("kill", "full")
        for first in range(3)
    ),
]


@pytest.mark.parametrize(("how", "first", "step"), STEPS)
def test_failing_before_any_change_of_a_file_a_build_goes_on_to_the_same_bytes(
    undisturbed: Path, tmp_path: Path, how: str, first: int, step: int
) -> None:
    cases = swept(how, tmp_path / how, first, step)
    assert len(cases) > 30 / step
    for case in cases:
        told = f"{case['number']}: {case['said']}"
        if how == "kill":
            assert case["status"] == -signal.SIGKILL, told
        else:
            assert case["status"] in (0, 1), told
            assert "Traceback" not in case["said"], told
            # Where it does not matter, as when something old is removed, nobody need know.
            assert case["status"] == 0 or "cannot be" in case["said"], told
            assert not [name for name in case["left"] if name.endswith(".partial")], told
        assert case["again"] == 0, case["said_again"]
        assert digests(tmp_path / how / str(case["number"])) == digests(undisturbed), told


ROOM = """
mount -t tmpfs -o size="$1"k none "$2" || exit 77
shift; place=$1; shift
"$@"; echo "first $?"
find "$place" -name '*.partial' -o -name '*.tmp'
mount -o remount,size=64m "$place" || exit 77
"$@" || exit 78
cp -a "$place/." "$place.kept"
"""


@pytest.mark.parametrize(
    "kilobytes",
    [64, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, *range(100, 1300, 100)))],
)
def test_on_a_disk_that_is_too_small_a_build_says_so_and_goes_on_when_there_is_room(
    undisturbed: Path, tmp_path: Path, kilobytes: int
) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    (tmp_path / "disk.kept").mkdir()
    command = (PROGRAM, "build", "--output", place / "out", "--workers", "1", *QUICK)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", ROOM, "sh", str(kilobytes), place, *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode in (1, 77):
        pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ".partial" not in done.stdout
    if "first 0" not in done.stdout:
        assert "first 1" in done.stdout
        assert "cannot be written (No space left on device)" in done.stderr
        assert "Make room" in done.stderr or "Choose another --output" in done.stderr
    assert digests(tmp_path / "disk.kept" / "out") == digests(undisturbed)


def test_two_builds_into_one_folder_do_not_meet(undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    processes = [start("build", "--output", output, "--workers", "1", *QUICK) for _ in range(3)]
    ends = []
    for process in processes:
        messages = process.communicate(timeout=60)[1]
        ends.append((process.returncode, messages))
    assert {code for code, _ in ends} <= {0, 1}
    assert any(code == 0 for code, _ in ends)
    assert all("is being built by another process" in said for code, said in ends if code)
    assert digests(output) == digests(undisturbed)
    assert run("build", "--output", output, *QUICK).returncode == 0
