"""Shards made by Slurm: datatrove submits an array of jobs, a rank a shard, and this waits."""

from __future__ import annotations

import hashlib
import math
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatrove.executor.slurm import SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from builder.engines.cluster import errand
from builder.engines.options import ClusterOptions
from builder.errors import EngineError, WorkerLostError
from builder.places import files_below
from builder.plan import Shard
from builder.shards import ShardFile, Work, finished_shard

LOGS = Path("human-segmentation-slurm")
"""Where jobs log, below the working directory, which Slurm expects on all machines."""

POLL_SECONDS = 5.0
# Shared file systems show a file late to machines that have looked for it before.
GRACE_SECONDS = 60.0
_LISTED = 5


class ShardStep(PipelineStep):  # type: ignore[misc]
    """A step of datatrove that makes the shard with the number of its rank."""

    name = "Shard"
    type = "human-segmentation"

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.errands = [errand(work.of(shard)) for shard in work.shards]

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Make the shard; the other arguments are datatrove's."""
        del data, world_size
        self.errands[rank].run()


class _Executor(SlurmPipelineExecutor):  # type: ignore[misc]
    def launch_merge_stats(self) -> None:
        """Submit no further job: there are no statistics, and it would wait for ever for one."""


@dataclass(frozen=True)
class SlurmEngine:
    """A cluster that Slurm runs; see `builder.engines.Engine`."""

    options: ClusterOptions

    def make(self, work: Work, made: Callable[[int], object]) -> Iterator[ShardFile]:
        """Yield the shards as their files appear."""
        if self.options.partition is None:
            raise EngineError("--engine slurm needs a --partition; `sinfo` lists them.")
        name = _job_name(work)
        logs = (LOGS / uuid.uuid4().hex[:8]).absolute()
        # Those that an earlier run of this build left behind: it was killed, they were not.
        _slurm("scancel", "--me", f"--name={name}")
        missing = {shard.file_name: shard for shard in work.shards}
        try:
            self._submit(work, name, logs)
            for file in _appearing(work, missing, name, logs):
                made(missing.pop(file.name).rows)
                yield file
        finally:
            if missing:
                _slurm("scancel", "--me", f"--name={name}")
        shutil.rmtree(logs, ignore_errors=True)

    def _submit(self, work: Work, name: str, logs: Path) -> None:
        logger.disable("datatrove")
        executor = _Executor(
            [ShardStep(work)],
            tasks=len(work.shards),
            time=self.options.time,
            partition=self.options.partition,
            workers=self.options.tasks or -1,
            mem_per_cpu_gb=math.ceil(self.options.memory_gb),
            job_name=name,
            qos="",
            env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            sbatch_args=dict(self.options.sbatch),
            logging_dir=str(logs),
            slurm_logs_folder=str(logs / "slurm"),
        )
        try:
            executor.run()
        except FileNotFoundError as error:
            raise _no_slurm(error) from error
        except subprocess.CalledProcessError as error:
            raise EngineError(
                f"sbatch refused the job (exit code {error.returncode}); its reason is above. "
                "Look at --partition, --time, --tasks and --sbatch."
            ) from error


def _job_name(work: Work) -> str:
    """Return a name that another run of the same build knows its jobs by."""
    folder = work.folder.absolute() if isinstance(work.folder, Path) else work.folder
    return f"human-segmentation-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def _appearing(work: Work, missing: dict[str, Shard], name: str, logs: Path) -> Iterator[ShardFile]:
    """Yield shards whose files are there; the caller takes them out of `missing`."""
    last_seen = time.monotonic()
    while missing:
        # Asked first: a job may end between two questions.
        if _slurm("squeue", "--noheader", "--me", f"--name={name}", "--format=%i").strip():
            last_seen = time.monotonic()
        for found in sorted(missing.keys() & _names_in(work)):
            file = finished_shard(work.folder / found, missing[found], work.recipe, work.seed)
            if file:
                yield file
        if missing and time.monotonic() - last_seen > GRACE_SECONDS:
            listed = ", ".join(sorted(missing)[:_LISTED])
            raise WorkerLostError(
                f"{len(missing)} shards were not made ({listed}, ...), and no job is left. "
                f"{logs} says why. Run the same command again: it goes on where it stopped."
            )
        if missing:
            time.sleep(POLL_SECONDS)


def _names_in(work: Work) -> set[str]:
    if isinstance(work.folder, Path):
        return {path.name for path in work.folder.iterdir()}
    return set(files_below(work.folder))


def _slurm(*command: str) -> str:
    """Run one of Slurm's commands and return what it prints."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise _no_slurm(error) from error
    except subprocess.CalledProcessError as error:
        raise EngineError(
            f"{shlex.join(command)}: failed ({error.stderr.strip()[:300]}). Run the same command "
            "again once Slurm answers: it goes on where it stopped."
        ) from error


def _no_slurm(error: FileNotFoundError) -> EngineError:
    return EngineError(
        f"{error.filename}: is not here. Run the command where jobs can be submitted to Slurm."
    )
