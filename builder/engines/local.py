"""Shards made in this process, or in others of this machine."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

import cv2

from builder.engines.handover import hand_over, no_room
from builder.errors import WorkerLostError
from builder.render import Row, Task, make_rows, shard_tasks
from builder.shards import ShardFile, Work, write_shard

# From glibc's malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
_MALLOPT = {-1: 512 * 1024**2, -2: 64 * 1024**2, -3: 32 * 1024**2}

_HUMANS_AT_ONCE = 8
_LOOK_SECONDS = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class LocalEngine:
    """Processes of this machine; see `builder.engines.Engine`."""

    workers: int = 1

    def make(self, work: Work, made: Callable[[int], object]) -> Iterator[ShardFile]:
        """Yield the shards, in order; all workers are at the same one."""
        return make_shards(work, made, workers=self.workers)


def make_shards(
    work: Work, made: Callable[[int], object] = lambda pairs: None, *, workers: int = 1
) -> Iterator[ShardFile]:
    """Compose, encode and write shards, one after the other.

    Args:
        work: what to make.
        made: told of pairs that are made, a few at a time.
        workers: processes that make pairs; 1 is this process.

    Raises:
        PlanError: a human cannot be placed as the recipe asks; the message names it.
        SourceError: a layer changed or went away since it was checked.
        FolderError, StorageError: a shard cannot be written.
        WorkerLostError: a worker was killed, for example for want of memory.
    """
    with ordered_map(make_rows, tasks_of(work, workers), workers) as results:
        rows = itertools.chain.from_iterable(_counted(results, made))
        for shard in work.shards:
            own = itertools.islice(rows, shard.rows)
            yield write_shard(shard, own, work.folder, work.recipe, work.seed)


def tasks_of(work: Work, workers: int) -> Iterator[Task]:
    """Yield the tasks of all shards, of a size that suits so many workers.

    Many humans of a task share backgrounds; few leave no worker idle at the end. So a task has a
    worker's share of those that are left: Polychronopoulos and Kuck, "Guided self-scheduling",
    IEEE Transactions on Computers, 1987.
    """
    later = sum(len(shard.humans) for shard in work.shards)
    for shard in work.shards:
        later -= len(shard.humans)
        at_once = functools.partial(_humans_at_once, later, workers)
        yield from shard_tasks(shard, work.layers, work.recipe, work.seed, at_once=at_once)


def _humans_at_once(later: int, workers: int, left: int) -> int:
    return max(1, min(_HUMANS_AT_ONCE, (left + later) // workers))


def _counted(results: Iterator[list[Row]], made: Callable[[int], object]) -> Iterator[list[Row]]:
    for rows in results:
        # Who takes the last rows asks for no more: told afterwards, nobody would count them.
        made(len(rows))
        yield rows


def available_workers() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """Apply a picklable function to items, at most a few ahead, and give the results in order.

    Long bytes in them may arrive as read-only views of a file.

    Args:
        function: importable by name, since workers are spawned, not forked.
        items: picklable; consumed lazily, so memory does not grow with their number.
        workers: processes; 1 runs in this process.

    Raises:
        WorkerLostError: a worker was killed, for example for want of memory, or none can start.
        FolderError: there is no room for temporary files.
    """
    if workers == 1:
        _one_thread_each()
        yield map(function, items)
        return
    with _temporary_folder() as folder:
        pool = _started_pool(workers, folder)
        handed = functools.partial(hand_over, function, folder)
        unfinished = True
        try:
            results = _ordered_results(pool, handed, items, ahead=2 * workers)
            yield (result.taken() for result in results)
            unfinished = False
        finally:
            with _undisturbed():
                if unfinished:
                    _end_workers(pool)
                pool.shutdown(wait=True, cancel_futures=True)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="human-segmentation-")
    except OSError as error:
        raise no_room("Folder for temporary files", error) from error


def _started_pool(workers: int, folder: str) -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(folder,),
        )
    except OSError as error:
        raise WorkerLostError(
            f"Worker processes cannot be started ({error.strerror}): they need shared memory, as "
            "in /dev/shm. Provide some, or give --workers 1."
        ) from error


def _ordered_results(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    iterator = iter(items)
    running: deque[SimpleQueue[Future[Result]]] = deque()
    try:
        for item in itertools.islice(iterator, ahead):
            running.append(_submitted(pool, function, item))
        while running:
            result = _result_of(running.popleft(), pool)
            for item in itertools.islice(iterator, 1):
                running.append(_submitted(pool, function, item))
            yield result
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "A worker process was killed, most often for want of memory. Run the same command "
            "again, perhaps with fewer --workers: it goes on where it stopped."
        ) from error


def _submitted(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], item: Item
) -> SimpleQueue[Future[Result]]:
    """Submit an item, and return where its future comes once it is done.

    A signal that raises while a future is waited for may leave it locked, and the pool waits for it
    ever after. A queue of C is left whole.
    """
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    try:
        with _undisturbed():
            pool.submit(function, item).add_done_callback(done.put)
    except OSError as error:
        # The system's errors have a number. Without one it is Python's "handle is closed": a pool
        # that breaks closes its own pipe a moment before it says so.
        if error.errno is not None:
            raise
        raise BrokenProcessPool(str(error)) from error
    return done


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM while workers start or end, and have them act afterwards.

    A worker that is started and not told what to do ends with a traceback, and a pool that is half
    shut down waits for ever. To block signals is not enough: they reach another thread then, and
    Python raises in the main one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        with _interrupts_blocked():
            yield
        return
    came: list[int] = []
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    raising = {each: handler for each, handler in handlers.items() if callable(handler)}
    try:
        for each in raising:
            signal.signal(each, lambda number, _: came.append(number))
        with _interrupts_blocked():
            yield
    finally:
        # Ctrl-C last: it raises from then on.
        for each, handler in reversed(raising.items()):
            signal.signal(each, handler)
        # Who is stopping already need not be told again, later than it was sent.
        if isinstance(sys.exc_info()[1], Exception | None):
            for number in came:
                signal.raise_signal(number)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C, for the sake of workers that start meanwhile, until they can ignore it.

    It reaches the whole process group, and one that still imports would end with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result_of(done: SimpleQueue[Future[Result]], pool: ProcessPoolExecutor) -> Result:
    """Return a result, looking now and then whether it can still come.

    The pool notices a worker that was killed, but for one: who is killed while it hands over a
    result leaves half of it in the pipe, and the pool reads on for ever, since others could write.
    """
    while True:
        try:
            future = done.get(timeout=_LOOK_SECONDS)
        except Empty:
            with _undisturbed():
                if any(worker.exitcode is not None for worker in list(pool._processes.values())):
                    _end_workers(pool)
        else:
            with _undisturbed():
                return future.result()


def _end_workers(pool: ProcessPoolExecutor) -> None:
    """End all who could write into the pipe of results: then the pool sees that it is broken."""
    for worker in list(pool._processes.values()):
        worker.kill()
    pool._result_queue._writer.close()  # type: ignore[attr-defined]


def _start_worker(folder: str) -> None:
    # Ctrl-C reaches the whole process group, and the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Of the metadata of pictures that were checked before.
    warnings.filterwarnings("ignore", module="PIL")
    _one_thread_each()
    keep_freed_memory()
    # Nobody needs what an interpreter tidies up at its end, which takes a tenth of a second. Nor
    # does anybody look at the exit code, which is always 0 then.
    atexit.register(os._exit, 0)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()


def _end_with_parent(folder: str) -> None:
    """Wait for the parent to die, and die: a worker of one that was killed waits for ever else.

    Nor would anyone remove the folder of what was handed over.
    """
    parent = multiprocessing.parent_process()
    assert parent
    multiprocessing.connection.wait([parent.sentinel])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def keep_freed_memory() -> None:
    """Have glibc keep what pictures leave, instead of handing it back for the next one's sake.

    A tenth of a worker's time went into pages that the kernel cleared and mapped anew, and 3 % of a
    build's into those of its parent. It is for good, so only for processes that are ours alone.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        allocator = ctypes.CDLL(None).mallopt
        for option, size in _MALLOPT.items():
            allocator(option, size)


def _one_thread_each() -> None:
    cv2.setNumThreads(1)
