"""Builds that are killed, stopped or run out of room, and what a second run makes of them."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import SMALL, build, digests, flip, run, stamps, start

# One pair a shard and slower pictures, so that there is a half way to be killed at.
SLOW = (*SMALL, "--set", "shard_megabytes=0.1", "--per-human", "6", "--size", "512")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("undisturbed") / "folder", *SLOW)


def wait_for_shards(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while len(list((output / ".build" / "data").glob("*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stop(output: Path, shards: int, how: Callable[[int], None]) -> tuple[int, str]:
    """Start a build, stop it after some shards, and return its exit code and messages."""
    process = start("build", "--output", output, "--workers", "2", *SLOW)
    wait_for_shards(output, shards, process)
    how(process.pid)
    _, messages = process.communicate(timeout=60)
    return process.returncode, messages


def assert_half_built(output: Path) -> None:
    assert not (output / "manifest.json").exists()
    assert not (output / "data").exists()


@pytest.mark.parametrize("shards", [1, 4])
def test_a_killed_build_goes_on_to_the_same_bytes(
    undisturbed: Path, tmp_path: Path, shards: int
) -> None:
    output = tmp_path / "killed"
    code, _ = stop(output, shards, lambda pid: os.killpg(pid, signal.SIGKILL))
    assert code == -signal.SIGKILL
    assert_half_built(output)
    before = stamps(output / ".build" / "data")
    build(output, *SLOW)
    assert digests(output) == digests(undisturbed)
    assert stamps(output / "data").items() >= before.items()


def test_a_killed_worker_is_an_error_and_the_next_run_goes_on(
    undisturbed: Path, tmp_path: Path
) -> None:
    def kill_worker(pid: int) -> None:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        # The first child may be multiprocessing's resource tracker.
        os.kill(int(children[-1]), signal.SIGKILL)

    output = tmp_path / "killed"
    code, messages = stop(output, 1, kill_worker)
    assert code == 1
    assert "worker process was killed" in messages
    assert "Traceback" not in messages
    assert_half_built(output)
    assert digests(build(output, *SLOW)) == digests(undisturbed)


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_stopped_build_says_how_to_go_on(
    undisturbed: Path, tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    output = tmp_path / "stopped"
    # A terminal sends Ctrl-C to the whole group.
    code, messages = stop(output, 1, lambda pid: os.killpg(pid, number))
    assert code == expected
    assert "Run the same command again" in messages
    assert "Traceback" not in messages
    assert_half_built(output)
    assert not list(output.rglob("*.partial"))
    assert digests(build(output, *SLOW)) == digests(undisturbed)


def test_a_disk_that_will_not_take_a_shard_is_an_error(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    output = tmp_path / "full"
    done = run("build", "--output", output, "--workers", "1", *SLOW, preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(output.rglob("*.parquet"))


def test_a_build_that_fails_on_its_last_step_goes_on_from_there(
    undisturbed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    (output / ".build").mkdir(parents=True)
    # A file where a folder belongs stands for whatever may go wrong there.
    (output / "assets").write_text("in the way")
    failed = run("build", "--output", output, *SLOW)
    assert failed.returncode == 1
    assert "cannot be written" in failed.stderr
    assert not (output / "manifest.json").exists()
    (output / "assets").unlink()
    done = run("build", "--output", output, *SLOW)
    assert "0 shards written" in done.stdout
    assert digests(output) == digests(undisturbed)


def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    done = run("build", "--output", tmp_path / "out", "--source", "sample", "--sample-humans", "0")
    assert done.returncode == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_shard_is_named_and_not_kept(undisturbed: Path, tmp_path: Path) -> None:
    staged = tmp_path / "out" / ".build" / "data"
    staged.mkdir(parents=True)
    whole = (undisturbed / "data" / "train-00000.parquet").read_bytes()
    (staged / "train-00000.parquet").write_bytes(whole[: len(whole) // 2])
    done = run("build", "--output", tmp_path / "out", *SLOW)
    assert done.returncode == 1
    assert "train-00000.parquet: is not a whole Parquet file" in done.stderr


def test_a_shard_that_was_changed_is_not_described_as_if_it_were_right(
    undisturbed: Path, tmp_path: Path
) -> None:
    output = shutil.copytree(undisturbed, tmp_path / "out")
    shard = output / "data" / "train-00000.parquet"
    flip(shard, 0.5)
    before = digests(output)
    done = run("build", "--output", output, *SLOW)
    assert done.returncode == 1
    assert "train-00000.parquet: was changed since it was built. Delete it" in done.stderr
    assert digests(output) == before
    shard.unlink()
    assert digests(build(output, *SLOW)) == digests(undisturbed)
