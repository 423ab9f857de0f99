"""What a user tells of a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClusterOptions:
    """What a user tells of a cluster.

    Attributes:
        tasks: how many shards are made at once; None leaves it to the cluster.
        address: of a Ray cluster; None is `RAY_ADDRESS`, or the one that runs on this machine.
        partition: of Slurm; None is its default one.
        time: limit for a shard, as Slurm writes it.
        memory_gb: reserved for a shard.
        sbatch: further options of Slurm's `sbatch`, by name.
    """

    tasks: int | None = None
    address: str | None = None
    partition: str | None = None
    time: str = "04:00:00"
    memory_gb: float = 2.0
    sbatch: tuple[tuple[str, str], ...] = ()
