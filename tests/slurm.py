"""A Slurm of one machine: the real munged, slurmctld and slurmd, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=6000 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES State=UP
"""


def missing() -> str:
    """Return why it cannot be started here; empty if it can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        return f"{', '.join(absent)} are not installed"
    return "" if os.geteuid() == 0 else "Slurm's daemons are started by root alone"


@contextmanager
def running_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons, and yield the variables with which Slurm's commands find them."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    host = socket.gethostname().split(".")[0]
    configuration.write_text(
        _CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2)), encoding="utf-8"
    )
    key = folder / "munge.key"
    key.touch(mode=0o400)
    key.chmod(0o600)
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    environment = {"SLURM_CONF": str(configuration)}
    with contextlib.ExitStack() as daemons:
        for command in (
            ["munged", "--foreground", "--force", *_munge_files(folder, key)],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-c"],
        ):
            daemon = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            daemons.callback(_end, daemon)
            time.sleep(0.5)
        _wait_until_idle(environment)
        yield environment


def _munge_files(folder: Path, key: Path) -> list[str]:
    return [
        f"--socket={folder}/munge.socket",
        f"--key-file={key}",
        f"--log-file={folder}/munged.log",
        f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed",
    ]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as sockets:
        opened = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in opened]


def _wait_until_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.3)
    raise TimeoutError(f"Slurm did not start: {done.stdout} {done.stderr}")


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(10)
    daemon.kill()
