"""Local processes: what becomes of a build whose worker is killed at the worst moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import time
from collections.abc import Iterator
from concurrent.futures.process import _ThreadWakeup
from multiprocessing.connection import Connection
from typing import Any

import pytest

from builder.engines import ordered_map
from builder.errors import WorkerLostError


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


def timing_out(number: int) -> int:
    raise TimeoutError(f"number {number}")


def test_an_error_of_the_function_itself_is_raised() -> None:
    with pytest.raises(TimeoutError, match="number 0"), ordered_map(timing_out, [0], 2) as results:
        list(results)
