"""`human-segmentation export`: what trainers find in it, and what becomes of interruptions."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.building import SMALL, build, digests, rows, run, start

LABELLED = (*SMALL, "--labels", "mask,trimap,foreground,background", "--image-format", "png")
FOLDERS = {"train": "training", "validation": "validation"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built") / "folder", *SMALL)


def export(folder: Path, output: Path, to: str, *options: str | Path) -> str:
    done = run("export", folder, "--to", to, output, "--workers", "1", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load_im_gt(folder: Path) -> dict[str, tuple[Image.Image, Image.Image]]:
    """Read a split as trainers of the DIS family do: names of `im`, and the same in `gt`."""
    pairs = {}
    for path in (folder / "im").glob("*.png"):
        pairs[path.stem] = (
            Image.open(path).convert("RGB"),
            Image.open(folder / "gt" / f"{path.stem}.png"),
        )
    return pairs


def test_a_trainer_of_im_and_gt_reads_every_pair(built: Path, tmp_path: Path) -> None:
    said = export(built, tmp_path / "out", "folder")
    assert "pairs, counted" in said
    by_split = {split: load_im_gt(tmp_path / "out" / name) for split, name in FOLDERS.items()}
    for row in rows(built):
        image, mask = by_split[row["split"]].pop(row["id"])
        assert mask.mode == "L"
        assert image.size == mask.size
        stored = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert np.array_equal(np.asarray(image), np.asarray(stored))
        gt = tmp_path / "out" / FOLDERS[row["split"]] / "gt" / f"{row['id']}.png"
        assert gt.read_bytes() == row["mask"]["bytes"]
    assert not any(by_split.values())


def read_tars(folder: Path) -> dict[tuple[str, str], dict[str, bytes]]:
    """Group members as webdataset does: the key is what stands before the first dot."""
    pairs: dict[tuple[str, str], dict[str, bytes]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, name = member.name.partition(".")
                file = archive.extractfile(member)
                assert file
                pairs.setdefault((path.name.split("-")[0], key), {})[name] = file.read()
    return pairs


def test_tar_shards_hold_the_stored_bytes(built: Path, tmp_path: Path) -> None:
    export(built, tmp_path / "out", "webdataset")
    pairs = read_tars(tmp_path / "out")
    for row in rows(built):
        pair = pairs.pop((row["split"], row["id"]))
        assert pair.keys() == {"image.jpg", "mask.png", "json"}
        assert pair["image.jpg"] == row["image"]["bytes"]
        assert pair["mask.png"] == row["mask"]["bytes"]
        told = json.loads(pair["json"])
        assert told.pop("provenance") == json.loads(row["provenance"])
        assert told == {name: row[name] for name in ("id", "human", "background")}
    assert not pairs


def test_webdataset_itself_reads_them(built: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    export(built, tmp_path / "out", "webdataset")
    urls = [str(path) for path in sorted((tmp_path / "out").glob("train-*.tar"))]
    pairs = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert [pair["__key__"] for pair in pairs] == [
        row["id"] for row in rows(built) if row["split"] == "train"
    ]
    assert pairs[0]["image.jpg"].size == pairs[0]["mask.png"].size


def test_stored_png_and_all_labels_are_copied(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *LABELLED)
    export(folder, tmp_path / "pictures", "folder")
    export(folder, tmp_path / "tars", "webdataset")
    pairs = read_tars(tmp_path / "tars")
    places = {"image": "im", "mask": "gt"}
    for row in rows(folder):
        for column in ("image", "mask", "trimap", "foreground", "clean_background"):
            place = tmp_path / "pictures" / FOLDERS[row["split"]] / places.get(column, column)
            assert (place / f"{row['id']}.png").read_bytes() == row[column]["bytes"]
            stored = pairs[row["split"], row["id"]][f"{column}.png"]
            assert stored == row[column]["bytes"]


@pytest.mark.parametrize("to", ["folder", "webdataset"])
def test_workers_change_no_byte_and_a_second_run_writes_nothing(
    built: Path, tmp_path: Path, to: str
) -> None:
    export(built, tmp_path / "one", to)
    export(built, tmp_path / "two", to, "--workers", "2")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert " 0 files written" in f" {export(built, tmp_path / 'two', to)}".replace("two:", "")


@pytest.mark.parametrize("to", ["folder", "webdataset"])
def test_a_killed_export_goes_on(built: Path, tmp_path: Path, to: str) -> None:
    export(built, tmp_path / "undisturbed", to)
    whole = digests(tmp_path / "undisturbed")
    output = tmp_path / "killed"
    process = start("export", built, output, "--to", to, "--workers", "2")
    deadline = time.monotonic() + 60
    while not [path for path in output.rglob("*") if path.suffix in (".png", ".tar")]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # What has its name is whole already.
    here = {n: d for n, d in digests(output).items() if not n.endswith(".partial")}
    assert here.items() <= whole.items()
    (output / ".train-00000.tar.1.partial").write_bytes(b"half")
    said = export(built, output, to)
    assert digests(output) == whole
    assert " 0 kept" not in said


def test_what_cannot_be_exported_is_refused(built: Path, tmp_path: Path) -> None:
    def refused(folder: Path, output: Path, to: str = "folder") -> str:
        done = run("export", folder, output, "--to", to, "--workers", "1")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    assert "holds other files" in refused(built, tmp_path / "mine")
    assert "so it is no finished dataset" in refused(tmp_path / "mine", tmp_path / "out")
    export(built, tmp_path / "out", "folder")
    assert "or another layout" in refused(built, tmp_path / "out", "webdataset")
    next((tmp_path / "out/training/gt").iterdir()).rename(tmp_path / "out/training/gt/other.png")
    assert "something else wrote into it" in refused(built, tmp_path / "out")
    copy = tmp_path / "copy"
    shutil.copytree(built, copy)
    (copy / "data" / "train-00000.parquet").unlink()
    assert "train-00000.parquet: cannot be exported" in refused(copy, tmp_path / "other")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("id", "../../../evil-0000", "the id of a row is none of this tool's"),
        ("image", {"bytes": b"<script>", "path": None}, "image: no picture"),
        ("image", {"bytes": b"\xff\xd8\xff and no more", "path": None}, "image: "),
        ("mask", None, "mask: no picture"),
    ],
)
def test_hostile_rows_are_refused(
    built: Path, tmp_path: Path, column: str, value: Any, said: str
) -> None:
    folder = tmp_path / "a" / "b" / "folder"
    shutil.copytree(built, folder)
    path = folder / "data" / "train-00000.parquet"
    table = pq.read_table(path)
    changed = [{**row, column: value} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(changed, table.schema), path)
    done = run("export", folder, tmp_path / "a" / "out", "--to", "folder", "--workers", "1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert not list(tmp_path.rglob("*evil*"))
