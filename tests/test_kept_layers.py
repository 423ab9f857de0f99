"""Datasets that keep their layers: the configs `humans` and `backgrounds`, and builds from them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset

from builder.folder import build as build_folder
from builder.hub import publish, read_published_manifest
from builder.recipe import REALISTIC
from builder.sources import Sources
from human_segmentation import Compositor, HumanSegmentation
from tests.building import build, digests, run, stamps, start
from tests.hub import HubServer
from tests.kit import png, portrait, write, write_layers
from tests.publishing import KNOBS, REPO, manifest

KEEPING = (*KNOBS, "--config", "layers")


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layers(tmp_path_factory.mktemp("layers"), humans=7, backgrounds=6)


@pytest.fixture(scope="module")
def kept(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "folder"
    return build(folder, "--source", layers, *KEEPING)


def raw(folder: Path | str, config: str) -> list[dict[str, Any]]:
    """Return the layers of a config, undecoded, split after split."""
    splits = load_dataset(str(folder), config)
    undecoded = [s.cast_column("image", Image(decode=False)) for s in splits.values()]
    return [row for split in undecoded for row in split]


def test_the_configs_hold_the_original_bytes(layers: Path, kept: Path) -> None:
    for config in ("humans", "backgrounds"):
        rows = raw(kept, config)
        files = {f"{config}/{path.name}": path for path in (layers / config).iterdir()}
        assert {row["name"] for row in rows} == files.keys()
        for row in rows:
            assert row["image"]["bytes"] == files[row["name"]].read_bytes()
            assert row["image"]["path"] == f"{row['id']}{files[row['name']].suffix}"
    of_layer = {layer["id"]: layer for layer in manifest(kept)["layers"]}
    for row in (*raw(kept, "humans"), *raw(kept, "backgrounds")):
        known = of_layer.pop(row["id"])
        for name in ("name", "split", "width", "height", "perceptual_hash"):
            assert row[name] == known[name]
    assert not of_layer
    picture = load_dataset(str(kept), "humans", split="train")[0]["image"]
    assert picture.mode == "RGBA"


def test_the_default_config_stays_the_pairs(kept: Path, layers: Path, tmp_path: Path) -> None:
    pairs = build(tmp_path / "pairs", "--source", layers, *KNOBS)
    assert load_dataset(str(kept), split="train").column_names[:3] == ["id", "image", "mask"]
    assert digests(kept / "data") == digests(pairs / "data")


def test_measures_and_verdicts_are_those_of_inspect(
    kept: Path, layers: Path, tmp_path: Path
) -> None:
    assert run("inspect", "--source", layers, "--report", tmp_path / "report").returncode == 0
    inspected = {
        row["id"]: row for row in pq.read_table(tmp_path / "report/layers.parquet").to_pylist()
    }
    for row in (*raw(kept, "humans"), *raw(kept, "backgrounds")):
        expected = inspected[row["id"]]
        assert {name: row[name] for name in expected if name != "role"} == {
            name: value for name, value in expected.items() if name != "role"
        }


def test_a_build_from_kept_layers_is_the_build_from_the_files(kept: Path, tmp_path: Path) -> None:
    again = build(tmp_path / "again", "--source", kept, *KEEPING)
    assert digests(again) == digests(kept)
    from_layers = Compositor(source=kept, plan=kept, progress=False)
    assert [s["id"] for s in from_layers] == load_dataset(str(kept), split="train")["id"]


def test_the_round_trip_over_the_hub(
    hub: HubServer, kept: Path, layers: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "kept")
    publish(tmp_path / "kept", REPO, confirm=lambda _: True, progress=False)
    assert {n for n in hub.files(REPO, "main") if n.startswith("layers/")} == {
        f"layers/{path.name}" for path in (kept / "layers").iterdir()
    }
    assert raw(REPO, "humans") == raw(kept, "humans")
    streamed = load_dataset(REPO, "backgrounds", split="train", streaming=True)
    assert next(iter(streamed))["image"].mode == "RGB"
    assert load_dataset(REPO, split="train").column_names[:3] == ["id", "image", "mask"]
    recipe = REALISTIC.replace(
        {"size": 128, "per_human": 3, "validation": 0.2, "shard_megabytes": 0.1}
    )
    sources = Sources(sources=(f"hf://datasets/{REPO}",))
    build_folder(sources, recipe, tmp_path / "again", keep_layers=True, progress=False)
    # The card that was published names its repository.
    differing = {"README.md"}
    expected = {name: digest for name, digest in digests(kept).items() if name not in differing}
    assert {n: d for n, d in digests(tmp_path / "again").items() if n not in differing} == expected
    on_the_fly = Compositor(source=f"hf://datasets/{REPO}", plan=REPO, progress=False)
    assert on_the_fly[1]["id"] == load_dataset(REPO, split="train")[1]["id"]


@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
def test_an_update_of_a_dataset_on_the_hub_sends_the_changed_layers(
    hub: HubServer, kept: Path, layers: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "kept")
    shutil.copytree(layers, tmp_path / "layers")
    publish(tmp_path / "kept", REPO, confirm=lambda _: True, progress=False)
    write(tmp_path / "layers" / "humans" / "new.png", png(portrait(40)))
    source = ("--source", tmp_path / "layers")
    done = run("build", "--update-from", REPO, "--output", tmp_path / "changes", *source)
    assert done.returncode == 0, done.stderr
    here = {path.name for path in (tmp_path / "changes/.update/layers").iterdir()}
    assert len(here) == 1
    assert here <= {"humans-train-00000.parquet", "humans-validation-00000.parquet"}
    publish(tmp_path / "changes", REPO, confirm=lambda _: True, progress=False)
    assert len(raw(REPO, "humans")) == 8
    files = read_published_manifest(REPO).layer_files
    assert sum(file.rows for file in files if file.config == "humans") == 8


def test_an_update_goes_on_keeping_layers_and_leaves_other_files(
    kept: Path, layers: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "folder")
    shutil.copytree(layers, tmp_path / "layers")
    before = stamps(tmp_path / "folder/layers")
    next((tmp_path / "layers/backgrounds").glob("*")).unlink()
    done = run(
        "build", "--update", "--source", tmp_path / "layers", "--output", tmp_path / "folder"
    )
    assert done.returncode == 0, done.stderr
    after = stamps(tmp_path / "folder/layers")
    assert {name for name in before if before[name] != after.get(name)} <= {
        "backgrounds-train-00000.parquet",
        "backgrounds-validation-00000.parquet",
    }
    assert len(raw(tmp_path / "folder", "backgrounds")) == 5


def test_a_build_without_them_takes_them_away(kept: Path, layers: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(kept, folder)
    write(folder / "layers" / "mine.txt", b"mine")
    build(folder, "--source", layers, *KNOBS)
    assert [path.name for path in (folder / "layers").iterdir()] == ["mine.txt"]
    assert "config_name: humans" not in (folder / "README.md").read_text()
    assert manifest(folder)["layer_files"] == []


def test_a_build_killed_between_pairs_and_layers_goes_on(
    kept: Path, layers: Path, tmp_path: Path
) -> None:
    output = tmp_path / "killed"
    process = start("build", "--output", output, "--workers", "1", "--source", layers, *KEEPING)
    deadline = time.monotonic() + 60
    while not list((output / ".build").glob("layers/*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # Half a file under a final name is what a bad disk leaves.
    whole = next((kept / "layers").glob("humans-train*"))
    staged = output / ".build" / "layers" / whole.name
    if staged.exists():
        staged.write_bytes(whole.read_bytes()[:500])
    build(output, "--source", layers, *KEEPING)
    assert digests(output) == digests(kept)


def test_files_that_are_no_layers_are_refused(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(kept, folder)
    broken = folder / "layers" / "humans-train-00000.parquet"
    broken.write_bytes(b"PAR1 and no more")
    done = run("build", "--source", folder, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "humans-train-00000.parquet: is no file of layers" in done.stderr
    rows = [{"name": "../../evil\x1b[2J.png", "image": {"bytes": b"no picture", "path": None}}]
    pq.write_table(pa.Table.from_pylist(rows), broken)
    done = run("build", "--source", folder, "--output", tmp_path / "out", "--validation", "0")
    assert "not a picture" in done.stdout + done.stderr
    assert "\x1b[2J" not in done.stdout + done.stderr


@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
def test_a_repository_without_layers_is_refused(
    hub: HubServer, layers: Path, kept: Path, tmp_path: Path
) -> None:
    build(tmp_path / "pairs", "--source", layers, *KNOBS)
    publish(tmp_path / "pairs", REPO, progress=False)
    for repo_id, expected in (
        (REPO, "no usable picture was found"),
        ("me/none", "could not be downloaded"),
    ):
        source = f"hf://datasets/{repo_id}"
        done = run("build", "--source", source, "--output", tmp_path / "other")
        assert f"{source}: {expected}" in done.stderr
    # The cache of the builder class follows the repository.
    before = HumanSegmentation(source=f"hf://datasets/{REPO}", cache_dir=tmp_path).cache_dir
    shutil.copytree(kept, tmp_path / "kept")
    publish(tmp_path / "kept", REPO, confirm=lambda _: True, progress=False)
    after = HumanSegmentation(source=f"hf://datasets/{REPO}", cache_dir=tmp_path)
    assert after.cache_dir != before
    assert next(iter(after.as_streaming_dataset("train")))["mask"].mode == "L"
