"""Where shards are made: in local processes, or on a cluster. All call `local.make_shards`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from builder.engines.local import (
    LocalEngine,
    available_workers,
    keep_freed_memory,
    ordered_map,
)
from builder.engines.options import ClusterOptions
from builder.errors import EngineError
from builder.shards import ShardFile, Work

__all__ = [
    "ClusterOptions",
    "Engine",
    "LocalEngine",
    "available_workers",
    "cluster_engine",
    "keep_freed_memory",
    "ordered_map",
]


class Engine(Protocol):
    """Makes shards. What it yields lies whole in the work's folder."""

    def make(self, work: Work, made: Callable[[int], object]) -> Iterator[ShardFile]:
        """Yield the shards as they are finished, in any order.

        Args:
            work: what to make.
            made: told of pairs that are made, a few at a time.

        Raises:
            WorkerLostError: processes or machines were lost; what was finished is kept.
            EngineError: there is no such cluster, or its machines are not like this one.
            PlanError, SourceError, FolderError, StorageError: of one of the machines.
        """
        ...


def cluster_engine(name: str, options: ClusterOptions) -> Engine:
    """Return the engine of a cluster, `ray` or `slurm`. Nothing is asked of it yet.

    Raises:
        EngineError: the packages for it are not installed.
    """
    # Not above: whoever has no cluster need not have what reaches it.
    try:
        if name == "ray":
            from builder.engines.ray import RayEngine

            return RayEngine(options)
        from builder.engines.slurm import SlurmEngine

        return SlurmEngine(options)
    except ImportError as error:
        raise EngineError(
            f"--engine {name} needs more than is installed ({error}), here and on all machines: "
            "pip install 'human-segmentation[cluster]'."
        ) from error
