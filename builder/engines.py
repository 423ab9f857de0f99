"""Where the work runs: in this process, or in local processes. All run the same function."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import cv2

from builder.errors import WorkerLostError

# From glibc's malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
_MALLOPT = {-1: 512 * 1024**2, -2: 64 * 1024**2, -3: 32 * 1024**2}

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_workers() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """Apply a picklable function to items, at most a few ahead, and give the results in order.

    Args:
        function: importable by name, since workers are spawned, not forked.
        items: picklable; consumed lazily, so memory does not grow with their number.
        workers: processes; 1 runs in this process.

    Raises:
        WorkerLostError: a worker was killed, for example for want of memory, or none can start.
    """
    if workers == 1:
        _one_thread_each()
        yield map(function, items)
        return
    try:
        pool = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )
    except OSError as error:
        raise WorkerLostError(
            f"Worker processes cannot be started ({error.strerror}): they need shared memory, as "
            "in /dev/shm. Provide some, or give --workers 1."
        ) from error
    try:
        yield _ordered_results(pool, function, items, ahead=2 * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ordered_results(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    iterator = iter(items)
    running: deque[Future[Result]] = deque(
        pool.submit(function, item) for item in itertools.islice(iterator, ahead)
    )
    try:
        while running:
            result = running.popleft().result()
            for item in itertools.islice(iterator, 1):
                running.append(pool.submit(function, item))
            yield result
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "A worker process was killed, most often for want of memory. Run the same command "
            "again, perhaps with fewer --workers: it goes on where it stopped."
        ) from error


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent decides, workers only finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Of the metadata of pictures that were checked before.
    warnings.filterwarnings("ignore", module="PIL")
    _one_thread_each()
    _keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent to die, and die: a worker of one that was killed waits for ever else."""
    parent = multiprocessing.parent_process()
    assert parent
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _keep_freed_memory() -> None:
    """Have glibc keep what pictures leave, instead of handing it back for the next one's sake.

    A tenth of a worker's time went into pages that the kernel cleared and mapped anew.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        allocator = ctypes.CDLL(None).mallopt
        for option, size in _MALLOPT.items():
            allocator(option, size)


def _one_thread_each() -> None:
    cv2.setNumThreads(1)
