"""Local processes: what becomes of a build whose worker is killed at the worst moment."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import _ThreadWakeup
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from builder.engines import ordered_map
from builder.errors import FolderError, WorkerLostError


def killed_while_handing_over(number: int) -> int:
    """Die with half of a result written, as a worker may that is out of memory."""
    if number:
        time.sleep(0.2)
        return number

    def half(self: Connection, data: Any) -> None:
        os.write(self.fileno(), struct.pack("!i", len(data)) + bytes(data)[:-1])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send_bytes = half  # type: ignore[method-assign]
    return number


def test_a_worker_that_is_killed_while_it_hands_over_a_result_is_noticed() -> None:
    started = time.monotonic()
    with (
        pytest.raises(WorkerLostError, match="A worker process was killed"),
        ordered_map(killed_while_handing_over, range(8), 2) as results,
    ):
        list(results)
    assert time.monotonic() - started < 30


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def slowly_after_the_first() -> Iterator[int]:
    yield 0
    while multiprocessing.active_children():
        time.sleep(0.05)
    # The pool needs a moment more to know that it is broken.
    time.sleep(0.5)
    yield 1


def test_a_worker_that_is_killed_while_work_is_still_handed_out_is_noticed() -> None:
    with (
        pytest.raises(WorkerLostError, match="A worker process was killed"),
        ordered_map(killed, slowly_after_the_first(), 2) as results,
    ):
        list(results)


def test_a_pool_that_closes_its_pipe_before_it_says_that_it_broke_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wakeup = _ThreadWakeup.wakeup

    def closed(self: _ThreadWakeup) -> None:
        monkeypatch.setattr(_ThreadWakeup, "wakeup", wakeup)
        raise OSError("handle is closed")

    monkeypatch.setattr(_ThreadWakeup, "wakeup", closed)
    with (
        pytest.raises(WorkerLostError, match="A worker process was killed"),
        ordered_map(abs, range(4), 2) as results,
    ):
        list(results)


def long_and_short(number: int) -> dict[str, Any]:
    return {
        "long": bytes([number % 256]) * 100_000,
        "none": b"",
        "short": [b"abc", number],
        "end": b"x" * 17_000,
    }


def test_results_arrive_as_they_are_and_leave_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ordered_map(long_and_short, range(9), 2) as results:
        for number, result in enumerate(results):
            assert result == long_and_short(number)
            # Those that are on their way.
            assert sum(path.is_file() for path in tmp_path.rglob("*")) <= 4
    assert list(tmp_path.iterdir()) == []


def without_a_folder(folder: Path) -> bytes:
    shutil.rmtree(folder)
    return b"long" * 10_000


def test_a_worker_without_room_for_what_it_made_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(FolderError, match=r"gone.*No such file or directory.*TMPDIR"),
        ordered_map(without_a_folder, [tmp_path / "gone"], 2) as results,
    ):
        list(results)
    with pytest.raises(FolderError, match="TMPDIR"), ordered_map(abs, [1], 2) as results:
        list(results)


def test_a_file_that_somebody_removed_on_its_way_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        pytest.raises(FolderError, match="No such file or directory"),
        ordered_map(long_and_short, range(9), 2) as results,
    ):
        next(results)
        while not (on_their_way := list(tmp_path.glob("*/*"))):
            time.sleep(0.01)
        on_their_way[0].unlink()
        list(results)


ENDLESS = """
import itertools
from builder.engines import ordered_map
from tests.test_engines import long_and_short
with ordered_map(long_and_short, itertools.count(), 2) as results:
    for result in results:
        print(flush=True)
"""


def test_a_build_that_is_killed_leaves_no_files_of_its_workers(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    for _ in range(20):
        assert process.stdout.readline()
    assert list(tmp_path.iterdir())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def first_and_then_none(number: int) -> int:
    if number:
        time.sleep(60)
    return number


def test_what_workers_are_at_is_not_waited_for_when_the_work_is_given_up() -> None:
    with (
        pytest.raises(KeyError),
        ordered_map(first_and_then_none, range(9), 2) as results,
    ):
        assert next(results) == 0
        given_up = time.monotonic()
        raise KeyError
    assert time.monotonic() - given_up < 30
    assert not multiprocessing.active_children()


WAITING = """
from builder.engines import ordered_map
from tests.test_engines import first_and_then_none
with ordered_map(first_and_then_none, range(9), 2) as results:
    print(next(results), flush=True)
    next(results)
"""

WITH_EACH_KILL = """
import multiprocessing.process, os, signal
kill = multiprocessing.process.BaseProcess.kill
def disturbed(process):
    os.kill(os.getpid(), signal.SIGINT)
    kill(process)
multiprocessing.process.BaseProcess.kill = disturbed
"""


@pytest.mark.parametrize(("program", "times"), [(WAITING, 4), (WITH_EACH_KILL + WAITING, 1)])
def test_ctrl_c_again_and_again_ends_workers_without_the_command_line_too(
    program: str, times: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "0\n"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in messages


def interrupt_starting_workers(count: int) -> None:
    """Send each worker an interrupt while it still imports."""
    interrupted: set[int] = set()
    while len(interrupted) < count:
        for child in multiprocessing.active_children():
            command = Path(f"/proc/{child.pid}/cmdline")
            # Before that it is a copy of this very process.
            if child.pid not in interrupted and b"spawn_main" in command.read_bytes():
                os.kill(child.pid, signal.SIGINT)
                interrupted.add(child.pid)
        time.sleep(0.001)


def test_workers_that_are_interrupted_while_they_start_go_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupting = threading.Thread(target=interrupt_starting_workers, args=(2,), daemon=True)
    interrupting.start()
    with ordered_map(abs, range(4), 2) as results:
        assert list(results) == [0, 1, 2, 3]
    interrupting.join(20)
    assert not interrupting.is_alive()
    assert "Traceback" not in capfd.readouterr().err


def timing_out(number: int) -> int:
    raise TimeoutError(f"number {number}")


def test_an_error_of_the_function_itself_is_raised() -> None:
    with pytest.raises(TimeoutError, match="number 0"), ordered_map(timing_out, [0], 2) as results:
        list(results)
