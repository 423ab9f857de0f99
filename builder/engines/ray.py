"""Shards made on a Ray cluster: a task a shard, made again elsewhere where a machine is lost.

Ray's tasks directly, not datatrove's executor for Ray: that one forks a pool in an actor and waits
for it for ever where the forked process is killed, as for want of memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray

from builder.engines.cluster import Errand, errand
from builder.engines.options import ClusterOptions
from builder.errors import EngineError, HumanSegmentationError, WorkerLostError
from builder.plan import Shard
from builder.shards import ShardFile, Work

_ATTEMPTS = 5
_LEAST_AHEAD = 16


@dataclass(frozen=True)
class RayEngine:
    """A Ray cluster; see `builder.engines.Engine`."""

    options: ClusterOptions

    def make(self, work: Work, made: Callable[[int], object]) -> Iterator[ShardFile]:
        """Yield the shards as they are finished."""
        with _connected(self.options.address):
            shards = iter(work.shards)
            running: dict[Any, Shard] = {}
            while True:
                for shard in shards:
                    running[self._start(work.of(shard))] = shard
                    if len(running) >= self._ahead():
                        break
                if not running:
                    return
                for done in ray.wait(list(running))[0]:
                    shard = running.pop(done)
                    yield _result(done, shard)
                    made(shard.rows)

    def _start(self, work: Work) -> Any:
        memory = int(self.options.memory_gb * 1e9)
        options = {"num_cpus": 1, "memory": memory, "max_retries": _ATTEMPTS - 1}
        return ray.remote(_run).options(**options).remote(errand(work))

    def _ahead(self) -> int:
        """Return how many shards to hand to Ray: no processor waits, and nothing piles up."""
        if self.options.tasks:
            return self.options.tasks
        return max(_LEAST_AHEAD, 2 * int(ray.cluster_resources().get("CPU", 0)))


def _run(own: Errand) -> ShardFile:
    return own.run()


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    if ray.is_initialized():  # By a program that calls `build`, and goes on after it.
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    try:
        _refuse_silence(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(
            f"{address}: no Ray cluster could be reached ({str(error)[:300]}). Start one with "
            "`ray start --head`, or give its --address."
        ) from error
    try:
        yield
    finally:
        # Ray ends what is still running for a driver that has gone.
        ray.shutdown()


def _refuse_silence(address: str) -> None:
    """Raise OSError where nobody listens: Ray would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _result(done: Any, shard: Shard) -> ShardFile:
    try:
        file: ShardFile = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, HumanSegmentationError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise WorkerLostError(
            f"{shard.file_name}: its process or machine was lost {_ATTEMPTS} times, most often for "
            f"want of memory ({type(error).__name__}). Run the same command again, perhaps with "
            "more --memory-gb: it goes on where it stopped."
        ) from error
    return file
