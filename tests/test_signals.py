"""Ctrl-C and SIGTERM at awkward moments, and more than once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.building import SMALL, build, digests, start, workers

WHEN_A_WORKER_STARTS = """
import multiprocessing.util, os, signal, threading, time

# As those of libraries: signals reach any thread that does not hold them back.
other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()
started = multiprocessing.util.spawnv_passfds

def stopped(path, arguments, passed):
    pid = started(path, arguments, passed)
    if any(b"spawn_main" in os.fsencode(argument) for argument in arguments):
        signal.pthread_kill(other.ident, int(os.environ["SIGNAL"]))
        time.sleep(0.1)
    return pid

multiprocessing.util.spawnv_passfds = stopped
"""

WHILE_A_FUTURE_IS_LOCKED = """
import multiprocessing.process, os, sys, threading

def enter(condition):
    entered = condition._lock.__enter__()
    caller = sys._getframe(1).f_code.co_name
    # Once there are workers; before, layers are checked.
    if multiprocessing.process._children and caller == "result":
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    return entered

threading.Condition.__enter__ = enter
"""

WHILE_WORKERS_END = """
import concurrent.futures, os, time

shutdown = concurrent.futures.ProcessPoolExecutor.shutdown

def slow(*arguments, **options):
    os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    time.sleep(1.2)
    shutdown(*arguments, **options)

concurrent.futures.ProcessPoolExecutor.shutdown = slow
"""

WHILE_AN_ERROR_IS_SHOWN = """
import builder.sources.layer, os

def disturbed(text):
    os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    return text

builder.sources.layer.printable = disturbed
"""

WHERE_A_LAYER_HANGS = """
import builder.layers, os, time

def hanging(*_, **__):
    os.write(1, b"hangs\\n")
    time.sleep(60)

builder.layers.examine = hanging
"""


def start_prepared(
    preparation: str, *arguments: str | Path, stderr: int = subprocess.PIPE, **more: str
) -> subprocess.Popen[str]:
    """Start the command line after other lines of Python, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{preparation}\nfrom builder.cli import main\nmain()", *arguments],
        env={**os.environ, **more},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("moment", [WHEN_A_WORKER_STARTS, WHILE_A_FUTURE_IS_LOCKED])
def test_a_build_that_is_stopped_at_an_awkward_moment_says_how_to_go_on(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    process = start_prepared(
        moment,
        *("build", "--output", tmp_path / "stopped", "--workers", "2", *SMALL),
        SIGNAL=str(int(number)),
    )
    assert_stopped_once(process, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_signal_that_waits_for_workers_to_end_is_not_taken_for_a_later_one(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "temporary").mkdir()
    process = start_prepared(
        WHILE_WORKERS_END,
        *("build", "--output", tmp_path / "stopped", "--workers", "2", *SMALL),
        SIGNAL=str(int(number)),
        TMPDIR=str(tmp_path / "temporary"),
    )
    wait_for_worker(process)
    process.send_signal(number)
    assert_stopped_once(process, number)
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_signal_while_an_error_is_shown_is_a_signal(number: signal.Signals) -> None:
    process = start_prepared(
        WHILE_AN_ERROR_IS_SHOWN, "preview", "no-such-folder", SIGNAL=str(int(number))
    )
    assert_stopped_once(process, number)


def assert_stopped_once(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        _, messages = process.communicate(timeout=30)
    finally:
        # Whoever hangs shall not do so beside other tests.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, messages
    said = {signal.SIGINT: "Interrupted", signal.SIGTERM: "Terminated"}[number]
    assert messages.count(f"{said}. Run the same command again") == 1
    assert messages.count("Run the same command again") == 1
    assert "Traceback" not in messages


def wait_for_worker(process: subprocess.Popen[str]) -> None:
    while not workers(process.pid):
        assert process.poll() is None
        time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("undisturbed") / "folder", *SMALL)


@pytest.mark.parametrize("pause", [0, 0.01, 0.1])
def test_ctrl_c_again_and_again_ends_a_build_as_once_does(
    undisturbed: Path, tmp_path: Path, pause: float
) -> None:
    output = tmp_path / "stopped"
    process = start("build", "--output", output, "--workers", "2", *SMALL)
    wait_for_worker(process)
    for _ in range(4):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(pause)
    assert_stopped_once(process, signal.SIGINT)
    assert digests(build(output, *SMALL)) == digests(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("reader", ["reads", "is slow", "is gone"])
def test_what_hangs_is_ended_by_a_second_signal(
    tmp_path: Path, reader: str, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    process = start_prepared(
        WHERE_A_LAYER_HANGS, "build", "--output", tmp_path / "out", *SMALL, stderr=writing
    )
    assert process.stdout
    assert process.stdout.readline() == "hangs\n"
    # For the main thread to wait, too.
    time.sleep(0.5)
    if reader == "is slow":
        fill(writing)
    if reader == "is gone":
        os.close(reading)
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(number)
    assert process.wait(5) == 128 + number
    os.close(writing)
    if reader != "is gone":
        with os.fdopen(reading) as messages:
            told = "Ended at once. Run the same command again" in messages.read()
        assert told == (reader == "reads")


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, bytes(4096))
    os.set_blocking(pipe, True)
