"""Whole builds: what lies on the disk, and that it is always the same."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from filelock import FileLock
from PIL import Image
from pyarrow.dataset import ParquetFileFormat

from builder import shards
from builder.cli import cli
from tests.building import SMALL, build, digests, rows, run, stamps
from tests.kit import png, portrait, write_layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("build") / "small", *SMALL)


def test_the_folder_holds_what_the_manifest_says(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    names = [f"data/{shard['name']}" for shard in manifest["shards"]]
    assert len([name for name in names if "train" in name]) > 1
    assert list(digests(folder)) == sorted(
        ["README.md", "assets/examples.jpg", "manifest.json", *names]
    )
    for shard in manifest["shards"]:
        path = folder / "data" / shard["name"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
        assert path.stat().st_size == shard["bytes"]
        assert pq.read_metadata(path).num_rows == shard["rows"]


def test_every_human_has_its_share_and_no_layer_is_in_two_splits(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    split_of = {layer["id"]: layer["split"] for layer in manifest["layers"]}
    made = rows(folder)
    assert {row["human"] for row in made} | {row["background"] for row in made} == set(split_of)
    for row in made:
        assert split_of[row["human"]] == split_of[row["background"]] == row["split"]
    assert len({row["id"] for row in made}) == len(made) == 30
    assert all(
        sum(row["human"] == human for row in made) == 3
        for human in split_of
        if any(row["human"] == human for row in made)
    )


def test_pictures_are_what_the_columns_promise(folder: Path) -> None:
    for row in rows(folder):
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        mask = Image.open(io.BytesIO(row["mask"]["bytes"]))
        assert (image.format, image.mode, mask.format, mask.mode) == ("JPEG", "RGB", "PNG", "L")
        assert image.size == mask.size
        assert max(image.size) <= 192
        # Quality 95 without chroma subsampling: all three components are sampled alike.
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
        assert np.asarray(mask).mean() >= 255 * 0.02
        assert set(json.loads(row["provenance"])) >= {"human_name", "background_name", "geometry"}


def test_row_groups_are_small_and_indexed(folder: Path) -> None:
    for path in (folder / "data").glob("*.parquet"):
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
        assert all(group.num_rows <= 4 for group in groups)
        assert all(group.column(0).has_offset_index for group in groups)


class _Watched(io.FileIO):
    """A file that knows what was read of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: list[tuple[int, int]] = []

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        self.reads.append((start, start + len(data)))
        return data


def test_a_stream_s_first_row_waits_for_its_own_row_group_alone(folder: Path) -> None:
    path = folder / "data" / "train-00000.parquet"
    groups = [pq.read_metadata(path).row_group(number) for number in (0, 1)]
    first, second = map(_start_of, groups)
    with _Watched(path) as file:
        batches = (
            ParquetFileFormat()
            .make_fragment(file)
            .to_batches(batch_size=groups[0].num_rows, batch_readahead=0, fragment_readahead=0)
        )
        assert next(batches).num_rows == groups[0].num_rows
        # What lies at the end of the file is asked for before.
        (end,) = [stop for start, stop in file.reads if start == first]
    assert end <= second
    assert second - end >= 8192


def _start_of(group: pq.RowGroupMetaData) -> int:
    column = group.column(0)
    return int(column.dictionary_page_offset or column.data_page_offset)


def test_a_row_group_that_no_column_of_arrow_could_hold_is_put_together_from_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_COLUMN_BYTES", 1)
    arguments = ("build", "--output", str(tmp_path / "parts"), "--workers", "1", *SMALL)
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert rows(tmp_path / "parts") == rows(folder)


@pytest.mark.parametrize("workers", ["2", "3"])
def test_more_workers_give_the_same_bytes(folder: Path, tmp_path: Path, workers: str) -> None:
    other = build(tmp_path / "other", *SMALL, "--workers", workers)
    assert digests(other) == digests(folder)


def test_another_seed_gives_other_pairs(folder: Path, tmp_path: Path) -> None:
    other = build(tmp_path / "other", *SMALL, "--seed", "1")
    images = {row["image"]["bytes"] for row in rows(folder)}
    assert not images & {row["image"]["bytes"] for row in rows(other)}


def test_a_second_run_writes_nothing(folder: Path) -> None:
    before = stamps(folder / "data"), digests(folder)
    done = run("build", "--output", folder, *SMALL)
    assert "0 shards written" in done.stdout
    assert (stamps(folder / "data"), digests(folder)) == before


def test_a_missing_shard_is_made_again_and_the_rest_left_alone(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "data" / "train-00001.parquet").unlink()
    before = stamps(copy / "data")
    done = run("build", "--output", copy, "--workers", "1", *SMALL)
    assert "Composing: 100%" in done.stderr
    assert digests(copy) == digests(folder)
    assert stamps(copy / "data").items() >= before.items()


@pytest.mark.parametrize(
    "change", [("--seed", "1"), ("--set", "rotation=[0, 0]"), ("--sample-humans", "12")]
)
def test_a_dataset_built_from_something_else_is_refused(
    folder: Path, change: tuple[str, str]
) -> None:
    before = digests(folder)
    done = run("build", "--output", folder, *SMALL, *change)
    assert done.returncode == 1
    assert "--rebuild" in done.stderr
    assert digests(folder) == before


def test_a_shard_too_many_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.copy(copy / "data" / "train-00000.parquet", copy / "data" / "train-00099.parquet")
    done = run("build", "--output", copy, *SMALL)
    assert done.returncode == 1
    assert "train-00099.parquet: was built from other layers" in done.stderr


def test_rebuild_replaces_a_dataset(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert run("preview", copy).returncode == 0
    build(copy, *SMALL, "--seed", "1", "--rebuild")
    assert digests(copy) == digests(build(tmp_path / "fresh", *SMALL, "--seed", "1"))


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    done = run("build", "--output", tmp_path, *SMALL)
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert list(digests(tmp_path)) == ["thesis.txt"]


def test_a_second_build_into_one_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".build").mkdir()
    with FileLock(tmp_path / ".build" / "lock"):
        done = run("build", "--output", tmp_path, *SMALL)
    assert done.returncode == 1
    assert "being built by another process" in done.stderr


def test_names_and_order_of_files_change_no_picture(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=5, backgrounds=5)
    renamed = tmp_path / "renamed"
    for role in ("humans", "backgrounds"):
        (renamed / role).mkdir(parents=True)
        for number, path in enumerate(sorted((layers / role).iterdir(), reverse=True)):
            shutil.copy(path, renamed / role / f"{number:03d}{path.suffix}")
    options = ("--size", "128", "--validation", "0.2")
    one, other = (
        build(tmp_path / f"from-{source.name}", "--source", source, *options)
        for source in (layers, renamed)
    )

    def pictures(folder: Path) -> list[tuple[str, bytes, bytes]]:
        return [(row["id"], row["image"]["bytes"], row["mask"]["bytes"]) for row in rows(folder)]

    assert pictures(one) == pictures(other)


def test_bad_layers_are_listed_and_change_nothing_else(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=5, backgrounds=5)
    clean = build(tmp_path / "clean", "--source", layers, "--size", "128")
    (layers / "humans" / "not a picture.png").write_bytes(b"<html>")
    (layers / "humans" / "cut short.png").write_bytes(png(portrait(1))[:-500])
    (layers / "humans" / "opaque.png").write_bytes(png(np.full((99, 99, 4), 255, np.uint8)))
    (layers / "backgrounds" / "tiny.png").write_bytes(png(np.zeros((9, 9, 3), np.uint8)))
    (layers / "notes.txt").write_text("ignored")
    dirty = build(tmp_path / "dirty", "--source", layers, "--size", "128")

    assert digests(dirty / "data") == digests(clean / "data")
    manifest = json.loads((dirty / "manifest.json").read_text())
    assert {out["name"] for out in manifest["left_out"]} == {
        "humans/not a picture.png",
        "humans/cut short.png",
        "humans/opaque.png",
        "backgrounds/tiny.png",
    }
    assert all(out["reason"] for out in manifest["left_out"])
    assert manifest["ignored"] == {"not a picture by its name": 1}
    strict = run("build", "--source", layers, "--output", tmp_path / "strict", "--strict")
    assert strict.returncode == 1
    assert "humans/opaque.png" in strict.stderr
    assert not (tmp_path / "strict" / "manifest.json").exists()


def test_nothing_usable_is_an_error_that_says_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "layers" / "humans").mkdir(parents=True)
    (tmp_path / "layers" / "humans" / "a.png").write_bytes(b"?")
    done = run("build", "--source", tmp_path / "layers", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "humans/a.png: not a picture" in done.stderr
