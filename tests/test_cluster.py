"""Builds on clusters of this machine: Ray with several nodes, and Slurm, with losses on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.engines.cluster import errand
from builder.errors import EngineError, FolderError
from builder.plan import Shard
from builder.recipe import PLAIN
from builder.shards import Work
from tests.building import PROGRAM, SMALL, build, digests, run
from tests.kit import write_layers
from tests.s3 import SECRET, Storage, running_storage
from tests.slurm import missing, running_slurm

SLOW = (*SMALL, "--set", "shard_megabytes=0.1", "--per-human", "8", "--size", "640")
"""One human a shard, and ten of them."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("local") / "folder", *SLOW)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with running_storage(monkeypatch) as storage:
        yield storage


class RayCluster:
    """A head without processors, and two nodes with one each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        sizes = {"object_store_memory": 80 * 1024**2, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **sizes})
        self._nodes = [
            self._cluster.add_node(num_cpus=1, object_store_memory=80 * 1024**2) for _ in range(2)
        ]
        self.options = ("--engine", "ray", "--address", self._cluster.address)

    def kill_node(self) -> None:
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def ray_cluster() -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    cluster = RayCluster()
    yield cluster
    cluster.shutdown()


def start_build(output: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "build", "--output", str(output), *SLOW, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_shards(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while len(list((output / ".build" / "data").glob("*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_with(text: str) -> list[int]:
    """Return the processes in whose command line a text stands."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if text in (entry / "cmdline").read_bytes().decode("utf-8", "replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill_a_worker(_: RayCluster) -> None:
    # Between two shards a worker is called something else.
    deadline = time.monotonic() + 20
    while not (busy := processes_with("ray::_run")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(busy[0], signal.SIGKILL)


def kill_a_node(cluster: RayCluster) -> None:
    cluster.kill_node()


@pytest.mark.slow
@pytest.mark.parametrize("lose", [kill_a_worker, kill_a_node])
def test_a_lost_worker_or_node_costs_only_its_running_shards(
    undisturbed: Path, tmp_path: Path, ray_cluster: RayCluster, lose: Callable[[RayCluster], None]
) -> None:
    output = tmp_path / "out"
    process = start_build(output, *ray_cluster.options)
    wait_for_shards(output, 2, process)
    lose(ray_cluster)
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert "10 shards written, 0 kept" in said
    assert digests(output) == digests(undisturbed)


@pytest.mark.slow
def test_after_a_killed_driver_the_next_run_goes_on(
    undisturbed: Path, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    output = tmp_path / "out"
    process = start_build(output, *ray_cluster.options)
    wait_for_shards(output, 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (output / "manifest.json").exists()
    done = run("build", "--output", output, *SLOW, *ray_cluster.options)
    assert done.returncode == 0, done.stderr
    assert "10 shards written" not in done.stdout
    assert digests(output) == digests(undisturbed)


@pytest.mark.slow
def test_ray_builds_from_and_to_a_storage(
    undisturbed: Path, storage: Storage, request: pytest.FixtureRequest
) -> None:
    # Started after the storage, whose variables its nodes inherit.
    cluster: RayCluster = request.getfixturevalue("ray_cluster")
    done = run("build", "--output", storage.url("pairs"), *SLOW, *cluster.options)
    assert done.returncode == 0, done.stderr
    built = storage.files("pairs")
    assert built.keys() == digests(undisturbed).keys()
    assert all(data == (undisturbed / name).read_bytes() for name, data in built.items())
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.slow
def test_what_a_node_says_is_what_the_user_reads(
    tmp_path: Path, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_layers(tmp_path / "layers")
    # Leads every process to its own working directory: a disk that is not shared.
    (tmp_path / "link").symlink_to("/proc/self/cwd/layers")
    monkeypatch.chdir(tmp_path)
    done = run("build", "--source", "link", "--output", "out", *ray_cluster.options)
    assert done.returncode == 1
    assert ".png: cannot be read (No such file or directory), though it could be" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("datatrove", reason="the extra `cluster` is not installed")
    if missing():
        pytest.skip(missing())
    monkeypatch.chdir(tmp_path)
    with running_slurm(tmp_path / "slurm") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


ON_SLURM = ("--engine", "slurm", "--partition", "cpu", "--memory-gb", "1")


@pytest.mark.slow
def test_slurm_gives_the_same_bytes_though_a_job_is_cancelled_and_the_driver_killed(
    undisturbed: Path, tmp_path: Path, slurm: None
) -> None:
    output = tmp_path / "out"
    process = start_build(output, *ON_SLURM)
    wait_for_shards(output, 2, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (output / "manifest.json").exists()
    done = run("build", "--output", output, *SLOW, *ON_SLURM)
    assert done.returncode == 0, done.stderr
    assert digests(output) == digests(undisturbed)
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout == b""
    # Nothing is left of a run that succeeded; the killed one could not tidy up.
    assert len(list((tmp_path / "human-segmentation-slurm").iterdir())) == 1


@pytest.mark.slow
def test_ctrl_c_takes_the_jobs_out_of_slurm(tmp_path: Path, slurm: None) -> None:
    output = tmp_path / "out"
    process = start_build(output, *ON_SLURM, "--tasks", "1")
    wait_for_shards(output, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again" in errors
    queued = subprocess.run(["squeue", "-h", "--states=PD,R"], capture_output=True, check=True)
    assert queued.stdout == b""


@pytest.mark.slow
def test_shards_that_slurm_does_not_make_are_an_error(
    tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "sitecustomize.py"
    module.write_text("import builder.engines.slurm as s; s.GRACE_SECONDS = s.POLL_SECONDS = 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = start_build(tmp_path / "out", *ON_SLURM, "--tasks", "1")
    wait_for_shards(tmp_path / "out", 1, process)
    subprocess.run(["scancel", "--me"], check=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "shards were not made" in errors
    assert "Run the same command again" in errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "slurm"), "needs a --partition"),
        (("--engine", "slurm", "--partition", "nosuch"), "sbatch refused the job"),
    ],
)
def test_what_slurm_refuses_is_told(
    tmp_path: Path, slurm: None, options: tuple[str, ...], message: str
) -> None:
    done = run("build", "--output", tmp_path / "out", *SMALL, *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tasks", "3"), "--tasks means nothing to --engine local"),
        (("--engine", "ray", "--partition", "cpu"), "--partition means nothing to --engine ray"),
        (("--memory-gb", "3"), "--memory-gb means nothing to --engine local"),
    ],
)
def test_an_option_of_another_engine_is_wrong_usage(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run("build", "--output", tmp_path / "out", *SMALL, *options)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    address = ("--engine", "ray", "--address", "127.0.0.1:1")
    done = run("build", "--output", tmp_path / "out", *SMALL, *address)
    assert done.returncode == 1
    assert "127.0.0.1:1: no Ray cluster could be reached" in done.stderr
    assert "Traceback" not in done.stderr


def one_shard(folder: Path) -> Work:
    shard = Shard("train", 0, ("h",), ("b",), 1)
    layers: dict[str, Any] = {"h": None, "b": None}
    return Work((shard,), layers, PLAIN, 0, folder)


@pytest.mark.parametrize("name", ["numpy", "zlib-ng", "human-segmentation", "processor"])
def test_a_machine_with_other_versions_makes_nothing(tmp_path: Path, name: str) -> None:
    own = errand(one_shard(tmp_path))
    other = replace(own, versions={**own.versions, name: "1.0"})
    with pytest.raises(EngineError, match=rf"{name} .* for 1\.0, which may give other bytes"):
        other.run()
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="a file system that all machines share"):
        errand(one_shard(tmp_path / "elsewhere")).run()
