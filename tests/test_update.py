"""Updates of dataset folders: which files change, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from tests.building import build, digests, rows, run, stamps, start
from tests.kit import jpeg, png, portrait, scenery, write, write_layers

KNOBS = (
    *("--size", "128", "--per-human", "3", "--validation", "0.2"),
    *("--set", "shard_megabytes=0.1"),
)


@pytest.fixture(scope="module")
def start_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`layers` and the `folder` built from them."""
    base = tmp_path_factory.mktemp("update")
    write_layers(base / "layers", humans=10, backgrounds=8)
    build(base / "folder", "--source", base / "layers", *KNOBS)
    return base


@pytest.fixture
def desk(start_of_all: Path, tmp_path: Path) -> Path:
    """A copy of `layers` and `folder` of its own for each test."""
    shutil.copytree(start_of_all, tmp_path / "desk")
    return tmp_path / "desk"


def update(desk: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    options = ("--output", desk / "folder", "--source", desk / "layers", "--workers", "1")
    return run("build", "--update", *options, *arguments)


def manifest(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return values


def add_humans(desk: Path, *numbers: int) -> None:
    for number in numbers:
        write(desk / "layers" / "humans" / f"new-{number}.png", png(portrait(number)))


def id_of(folder: Path, name: str) -> str:
    return next(layer["id"] for layer in manifest(folder)["layers"] if layer["name"] == name)


def split_of(folder: Path, name: str) -> str:
    layers = manifest(folder)["layers"]
    return str(next(layer["split"] for layer in layers if layer["name"] == name))


def test_new_humans_go_into_new_shards_and_old_files_stay(desk: Path) -> None:
    before = stamps(desk / "folder" / "data")
    add_humans(desk, 50, 51, 52)
    done = update(desk)
    assert done.returncode == 0, done.stderr
    assert "humans +3 -0, backgrounds +0 -0" in done.stdout
    after = stamps(desk / "folder" / "data")
    assert after.items() > before.items()
    made = rows(desk / "folder")
    assert len({row["id"] for row in made}) == len(made) == 13 * 3
    assert sum(shard["rows"] for shard in manifest(desk / "folder")["shards"]) == 13 * 3
    loaded = load_dataset(str(desk / "folder"), cache_dir=str(desk / "cache"))
    assert sum(split.num_rows for split in loaded.values()) == 13 * 3


def test_an_update_is_the_same_with_any_number_of_workers(desk: Path, tmp_path: Path) -> None:
    other = shutil.copytree(desk, tmp_path / "other")
    for place, workers in ((desk, "1"), (other, "2")):
        add_humans(place, 50, 51, 52, 53)
        assert update(place, "--workers", workers).returncode == 0
    assert digests(desk / "folder") == digests(other / "folder")


def test_a_removed_human_takes_only_its_own_pairs_with_it(desk: Path) -> None:
    folder = desk / "folder"
    gone = id_of(folder, "humans/human-03.png")
    before, old = stamps(folder / "data"), rows(folder)
    (desk / "layers" / "humans" / "human-03.png").unlink()
    done = update(desk)
    assert "humans +0 -1" in done.stdout
    touched = {row["human"] for row in old} - {gone}
    assert [row for row in old if row["human"] in touched] == rows(folder)
    shards = [path.name for path in (folder / "data").iterdir()]
    holding = [s["name"] for s in manifest(desk / "folder")["shards"] if gone in s["humans"]]
    assert not holding
    unchanged = {name for name, stamp in stamps(folder / "data").items() if before[name] == stamp}
    assert len(unchanged) >= len(shards) - 1


def test_a_removed_background_is_replaced_in_its_own_pairs(desk: Path) -> None:
    folder = desk / "folder"
    name = next(
        layer["name"]
        for layer in manifest(folder)["layers"]
        if layer["role"] == "background" and layer["split"] == "train"
    )
    gone = id_of(folder, name)
    old = {row["id"]: row for row in rows(folder)}
    before = stamps(folder / "data")
    using = {s["name"] for s in manifest(folder)["shards"] if gone in s["backgrounds"]}
    (desk / "layers" / name).unlink()
    assert update(desk).returncode == 0
    after = {row["id"]: row for row in rows(folder)}
    assert set(after) == set(old)
    for row_id, row in after.items():
        assert row["background"] != gone
        assert (row == old[row_id]) is (old[row_id]["background"] != gone)
    changed = {name for name, stamp in stamps(folder / "data").items() if before[name] != stamp}
    assert changed == using


def test_a_layer_that_is_newly_rejected_is_removed_and_listed(desk: Path) -> None:
    broken = desk / "layers" / "humans" / "human-04.png"
    broken.write_bytes(broken.read_bytes()[:-300])
    done = update(desk)
    assert "humans +0 -1" in done.stdout
    assert "humans/human-04.png: " in done.stdout
    assert len(rows(desk / "folder")) == 9 * 3


def test_a_picture_that_looks_like_one_of_validation_stays_out_of_train(desk: Path) -> None:
    held = [
        number
        for number in range(10)
        if split_of(desk / "folder", f"humans/human-{number:02d}.png") == "validation"
    ]
    for number in held:
        twin = portrait(number, cut_bottom=number % 2 == 1)
        twin[..., :3] = twin[..., :3] // 8 * 8
        write(desk / "layers" / "humans" / f"twin-{number}.png", png(twin))
    add_humans(desk, 60, 61)
    assert update(desk).returncode == 0
    for number in held:
        assert split_of(desk / "folder", f"humans/twin-{number}.png") == "validation"


def test_new_backgrounds_wait_for_new_humans(desk: Path) -> None:
    before = digests(desk / "folder" / "data")
    write(desk / "layers" / "backgrounds" / "new.jpg", jpeg(scenery(70, (160, 120))))
    done = update(desk)
    assert "new backgrounds wait for new humans" in done.stdout
    assert digests(desk / "folder" / "data") == before
    new = id_of(desk / "folder", "backgrounds/new.jpg")
    split = split_of(desk / "folder", "backgrounds/new.jpg")
    add_humans(desk, 80, 81, 82, 83, 84, 85)
    assert update(desk).returncode == 0
    assert new in {row["background"] for row in rows(desk / "folder") if row["split"] == split}


def test_without_a_change_nothing_is_written(desk: Path) -> None:
    before = digests(desk / "folder"), stamps(desk / "folder" / "data")
    done = update(desk)
    assert "0 shards written" in done.stdout
    assert (digests(desk / "folder"), stamps(desk / "folder" / "data")) == before


def test_every_update_leaves_its_mark_in_the_history(desk: Path) -> None:
    add_humans(desk, 50)
    update(desk)
    add_humans(desk, 51)
    update(desk)
    assert len(set(manifest(desk / "folder")["history"])) == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--seed", "5"), "seed: 0 -> 5"),
        (("--per-human", "4"), "per_human: 3 -> 4"),
        (("--recipe", "plain"), "noise_probability"),
        (("--set", "rotation=[0, 0]"), "rotation"),
    ],
)
def test_another_recipe_or_seed_is_refused(desk: Path, change: tuple[str, str], named: str) -> None:
    add_humans(desk, 50)
    before = digests(desk / "folder")
    done = update(desk, *change)
    assert done.returncode == 1
    assert named in done.stderr
    assert "--rebuild" in done.stderr
    assert digests(desk / "folder") == before


def test_the_same_knobs_may_be_named_again(desk: Path) -> None:
    add_humans(desk, 50)
    done = update(desk, *KNOBS, "--seed", "0")
    assert done.returncode == 0, done.stderr


def test_rebuild_makes_all_of_it_anew(desk: Path, tmp_path: Path) -> None:
    add_humans(desk, 50)
    assert update(desk, *KNOBS, "--seed", "5", "--rebuild").returncode == 0
    fresh = build(tmp_path / "new", "--source", desk / "layers", *KNOBS, "--seed", "5")
    assert digests(desk / "folder") == digests(fresh)


def test_naming_only_the_new_layers_is_refused(desk: Path, tmp_path: Path) -> None:
    write_layers(tmp_path / "new", humans=3, backgrounds=8)
    before = digests(desk / "folder")
    done = run("build", "--update", "--output", desk / "folder", "--source", tmp_path / "new")
    assert done.returncode == 1
    assert "The sources lack 7 of the 10 humans" in done.stderr
    assert digests(desk / "folder") == before


def test_there_is_nothing_to_update_without_a_dataset(desk: Path) -> None:
    done = run("build", "--update", "--output", desk / "none", "--source", desk / "layers")
    assert done.returncode == 1
    assert "holds no manifest.json" in done.stderr


def test_a_shard_that_was_changed_is_named(desk: Path) -> None:
    path = desk / "folder" / "data" / "train-00000.parquet"
    path.write_bytes(path.read_bytes() + b"?")
    add_humans(desk, 50)
    done = update(desk)
    assert done.returncode == 1
    assert "train-00000.parquet: was changed since it was built" in done.stderr


def test_a_shard_that_was_deleted_is_made_again(desk: Path) -> None:
    before = digests(desk / "folder")
    (desk / "folder" / "data" / "train-00000.parquet").unlink()
    assert update(desk).returncode == 0
    assert digests(desk / "folder") == before


def test_a_file_of_the_user_stays(desk: Path) -> None:
    write(desk / "folder" / "data" / "notes.txt", b"mine")
    add_humans(desk, 50)
    assert update(desk).returncode == 0
    assert (desk / "folder" / "data" / "notes.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_update_leaves_the_old_dataset_and_goes_on(
    desk: Path, tmp_path: Path, workers: str
) -> None:
    undisturbed = shutil.copytree(desk, tmp_path / "undisturbed")
    before = digests(desk / "folder")
    for place in (desk, undisturbed):
        add_humans(place, *range(50, 62))
    assert update(undisturbed).returncode == 0
    options = ("--output", desk / "folder", "--source", desk / "layers", "--workers", workers)
    process = start("build", "--update", *options)
    staged = desk / "folder" / ".build" / "data"
    deadline = time.monotonic() + 60
    while not list(staged.glob("*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    now = digests(desk / "folder")
    assert {name: now[name] for name in before} == before
    done = update(desk)
    assert done.returncode == 0, done.stderr
    assert digests(desk / "folder") == digests(undisturbed / "folder")


@pytest.mark.parametrize("moment", ["staged", "moved away", "moved in", "described"])
def test_an_update_that_was_cut_while_put_in_place_is_finished(
    desk: Path, tmp_path: Path, moment: str
) -> None:
    """The folder is put into the states between the steps of `Staging.finish_installing`."""
    after = shutil.copytree(desk, tmp_path / "after")
    for place in (desk, after):
        add_humans(place, 50, 51)
    assert update(after).returncode == 0
    folder, area = desk / "folder", desk / "folder" / ".build"
    area.mkdir()
    shutil.copy(after / "folder" / "manifest.json", area)
    shutil.copytree(after / "folder" / "data", area / "data")
    if moment != "staged":
        (folder / "manifest.json").unlink()
        (folder / "data").rename(area / "replaced")
    if moment in ("moved in", "described"):
        (area / "data").rename(folder / "data")
    if moment == "described":
        shutil.copy(after / "folder" / "README.md", folder)
    done = update(desk)
    assert done.returncode == 0, done.stderr
    assert "0 shards written" in done.stdout
    assert digests(folder) == digests(after / "folder")
