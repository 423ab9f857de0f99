"""Datasets and layers behind URLs: on S3, served on this machine by moto to the real s3fs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import load_dataset

from human_segmentation import HumanSegmentation
from tests.building import SMALL, build, rows, run, start
from tests.kit import png, portrait, write, write_layers
from tests.s3 import SECRET, Storage, running_storage


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    with running_storage(monkeypatch) as storage:
        yield storage


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return contents(build(tmp_path_factory.mktemp("local") / "pairs", *SMALL))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def shard_count(files: dict[str, bytes]) -> int:
    return sum(name.startswith("data/") for name in files)


def build_at(url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run("build", "--output", url, "--workers", "1", *SMALL, *arguments)


def test_a_folder_behind_a_url_has_the_bytes_of_a_local_one(
    storage: Storage, local: dict[str, bytes]
) -> None:
    url = storage.url("some/pairs")
    done = build_at(url)
    assert done.returncode == 0, done.stderr
    assert storage.files("some/pairs") == local
    files = {split: f"{url}/data/{split}-*.parquet" for split in ("train", "validation")}
    assert f"data_files={files}" in done.stdout
    loaded = load_dataset("parquet", data_files=files, streaming=True)
    assert sum(1 for _ in loaded["train"]) == 24

    again = build_at(url)
    assert f"0 shards written, {shard_count(local)} kept" in again.stdout
    assert SECRET not in done.stdout + done.stderr + again.stdout + again.stderr


def test_another_dataset_is_refused_and_replaced_on_demand(
    storage: Storage, local: dict[str, bytes], tmp_path: Path
) -> None:
    url = storage.url("pairs")
    assert build_at(url).returncode == 0
    larger = ("--seed", "3", "--set", "shard_megabytes=1")
    refused = build_at(url, *larger)
    assert refused.returncode == 1
    assert "was built from other layers or another recipe" in refused.stderr
    assert storage.files("pairs") == local
    # It has fewer shards: the others must go.
    assert build_at(url, *larger, "--rebuild").returncode == 0
    other = contents(build(tmp_path / "other", *SMALL, *larger))
    assert storage.files("pairs") == other
    assert shard_count(other) < shard_count(local)


def test_shards_of_another_build_on_their_way_are_refused(
    storage: Storage, local: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "train-00077.parquet").write_bytes(local["data/train-00000.parquet"])
    storage.put(tmp_path, "pairs/.build/data")
    refused = build_at(storage.url("pairs"))
    assert refused.returncode == 1
    assert "train-00077.parquet: was built from other layers" in refused.stderr


def test_other_files_are_left_alone(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    url = storage.put(tmp_path, "pairs")
    refused = build_at(url)
    assert refused.returncode == 1
    assert "holds other files and no dataset" in refused.stderr
    assert storage.files("pairs") == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(
    "seconds", [0.15, *(pytest.param(other, marks=pytest.mark.slow) for other in (0.0, 0.4))]
)
def test_a_killed_build_goes_on_to_the_same_bytes(
    storage: Storage, local: dict[str, bytes], seconds: float
) -> None:
    process = start("build", "--output", storage.url("pairs"), "--workers", "2", *SMALL)
    deadline = time.monotonic() + 60
    while not any(name.endswith(".parquet") for name in storage.files("pairs")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert build_at(storage.url("pairs")).returncode == 0
    assert storage.files("pairs") == local


def test_a_shard_that_is_not_whole_is_made_anew(
    storage: Storage, local: dict[str, bytes], tmp_path: Path
) -> None:
    # What a killed machine may leave where a storage is no storage of objects.
    name = "train-00000.parquet"
    (tmp_path / name).write_bytes(local[f"data/{name}"][:1000])
    shards = json.loads(local["manifest.json"])["shards"]
    described = next(shard for shard in shards if shard["name"] == name)
    (tmp_path / f"{name}.json").write_text(json.dumps(described))
    storage.put(tmp_path, "pairs/.build/data")
    done = build_at(storage.url("pairs"))
    assert f"{shard_count(local)} shards written" in done.stdout
    assert storage.files("pairs") == local


def test_an_interrupted_installation_is_finished(
    storage: Storage, local: dict[str, bytes], tmp_path: Path
) -> None:
    half = tmp_path / "half"
    for name, data in local.items():
        moved = name.endswith("00000.parquet")
        if name.endswith(".parquet"):
            place = half / ("" if moved else ".build") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    (half / ".build" / "manifest.json").write_bytes(local["manifest.json"])
    storage.put(half, "pairs")
    again = build_at(storage.url("pairs"))
    assert f"0 shards written, {shard_count(local)} kept" in again.stdout
    assert storage.files("pairs") == local


def test_layers_behind_urls_give_the_same_pairs(storage: Storage, tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers")
    write(layers / "humans" / ".hidden" / "not-me.png", png(portrait(99)))
    with zipfile.ZipFile(tmp_path / "humans.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((layers / "humans").glob("*.png")):
            archive.write(path, path.name)
    with tarfile.open(tmp_path / "backgrounds.tar", "w") as tar:
        tar.add(layers / "backgrounds", "backgrounds")
    options = ("--set", "per_human=2", "--size", "128")
    local = rows(build(tmp_path / "local", "--source", layers, *options))
    folder = storage.put(layers, "in/layers")
    archives = (
        *("--humans", storage.put_file(tmp_path / "humans.zip", "in/humans.zip")),
        *("--backgrounds", storage.put_file(tmp_path / "backgrounds.tar", "in/backgrounds.tar")),
    )
    assert rows(build(tmp_path / "folder", "--source", folder, *options)) == local
    manifests = [tmp_path / name / "manifest.json" for name in ("local", "folder")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    from_archives = rows(build(tmp_path / "archives", *archives, "--workers", "2", *options))
    assert [row["image"] for row in from_archives] == [row["image"] for row in local]

    streamed = HumanSegmentation(source=folder, per_human=2, size=128).as_streaming_dataset("train")
    assert [row["id"] for row in streamed] == [r["id"] for r in local if r["split"] == "train"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://bucket/nothing", "s3://bucket/nothing: there is no such folder or file"),
        ("s3://nobucket/layers", "s3://nobucket/layers: cannot be reached"),
        ("s3://bucket/layers.tar.gz", "cannot be read in place"),
        ("s3://bucket/notes.txt", "is neither a folder nor an archive"),
        ("s3://bucket/broken.zip", "is not a readable archive"),
        ("s3://key:pass-word@bucket/layers", "holds credentials"),
        ("nosuch://bucket/layers", "Install what opens nosuch:// URLs"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(
    storage: Storage, tmp_path: Path, source: str, message: str
) -> None:
    for name in ("layers.tar.gz", "notes.txt", "broken.zip"):
        (tmp_path / name).write_bytes(b"no archive")
        storage.put_file(tmp_path / name, name)
    done = run("build", "--source", source, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "pass-word" not in done.stdout + done.stderr


def test_a_layer_that_goes_away_stops_the_build_with_its_name(
    storage: Storage, tmp_path: Path
) -> None:
    layers = write_layers(tmp_path / "layers", humans=3, backgrounds=3)
    builder = HumanSegmentation(source=storage.put(layers, "in"), validation=0.0)
    stream = iter(builder.as_streaming_dataset("train"))
    for name in storage.files("in"):
        storage.delete(f"in/{name}")
    with pytest.raises(Exception, match="though it could be when the build began"):
        list(stream)


def test_an_update_behind_a_url_is_refused(storage: Storage) -> None:
    done = build_at(storage.url("pairs"), "--update")
    assert done.returncode == 1
    assert "an update needs a folder of the local disk" in done.stderr


def test_layers_are_kept_behind_a_url_as_they_are_here(storage: Storage, tmp_path: Path) -> None:
    url = storage.url("pairs")
    assert build_at(url, "--config", "layers").returncode == 0
    here = contents(build(tmp_path / "here", *SMALL, "--config", "layers"))
    assert any(name.startswith("layers/humans-train-") for name in here)
    assert storage.files("pairs") == here
    again = build_at(url, "--config", "layers")
    assert f"0 shards written, {shard_count(here)} kept" in again.stdout
    assert storage.files("pairs") == here
