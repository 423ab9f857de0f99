"""Ctrl-C and SIGTERM at awkward moments, and more than once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.building import SMALL, build, digests, start

WHEN_A_WORKER_STARTS = """
import multiprocessing.util, os, threading

# As those of libraries: a signal reaches any thread that does not hold it back.
threading.Thread(target=threading.Event().wait, daemon=True).start()
started = multiprocessing.util.spawnv_passfds

def stopped(path, arguments, passed):
    pid = started(path, arguments, passed)
    if any(b"spawn_main" in os.fsencode(argument) for argument in arguments):
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    return pid

multiprocessing.util.spawnv_passfds = stopped
"""

WHERE_A_LAYER_HANGS = """
import builder.layers, os, time

def hanging(*_, **__):
    os.write(1, b"hangs\\n")
    time.sleep(60)

builder.layers.examine = hanging
"""


def start_prepared(preparation: str, *arguments: str | Path, **more: str) -> subprocess.Popen[str]:
    """Start the command line after other lines of Python, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", f"{preparation}\nfrom builder.cli import main\nmain()", *arguments],
        env={**os.environ, **more},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_build_that_is_stopped_just_as_a_worker_starts_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    process = start_prepared(
        WHEN_A_WORKER_STARTS,
        *("build", "--output", tmp_path / "stopped", "--workers", "2", *SMALL),
        SIGNAL=str(int(number)),
    )
    _, messages = process.communicate(timeout=60)
    assert process.returncode == expected, messages
    assert messages.count("Run the same command again") == 1
    assert "Traceback" not in messages


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("undisturbed") / "folder", *SMALL)


@pytest.mark.parametrize("pause", [0, 0.01, 0.1])
def test_ctrl_c_again_and_again_ends_a_build_as_once_does(
    undisturbed: Path, tmp_path: Path, pause: float
) -> None:
    output = tmp_path / "stopped"
    process = start("build", "--output", output, "--workers", "2", *SMALL)
    while not (output / ".build").exists():
        assert process.poll() is None
        time.sleep(0.005)
    # The first tasks are out by then, and workers start.
    time.sleep(0.3)
    for _ in range(4):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(pause)
    _, messages = process.communicate(timeout=20)
    assert process.returncode == 130, messages
    assert messages.count("Run the same command again") == 1
    assert "Traceback" not in messages
    assert digests(build(output, *SMALL)) == digests(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_hangs_is_ended_by_a_second_signal(tmp_path: Path, number: signal.Signals) -> None:
    process = start_prepared(WHERE_A_LAYER_HANGS, "build", "--output", tmp_path / "out", *SMALL)
    assert process.stdout
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.2)
    process.send_signal(number)
    _, messages = process.communicate(timeout=5)
    assert process.returncode == 128 + number
    assert "Ended at once. Run the same command again" in messages
