"""What `verify` notices: files, rows, pictures, masks, provenance and splits that are not right."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.errors import HubError
from builder.hub import open_place
from builder.manifest import Manifest, read_manifest, write_manifest
from builder.shards import sha256_of
from builder.verify import FolderPlace, verify
from tests.building import build, flip, run
from tests.hub import READ_TOKEN, TOKEN, Fault, HubServer
from tests.hub_case import lfs_alone
from tests.kit import encoded, jpeg, png
from tests.publishing import REPO, send

SHARD = "data/train-00000.parquet"
OPTIONS = (
    *("--source", "sample", "--sample-humans", "10", "--sample-backgrounds", "7"),
    *("--sample-size", "192", "--size", "128", "--per-human", "3", "--validation", "0.3"),
    *("--labels", "mask,trimap,foreground,background", "--set", "shard_megabytes=0.3"),
    *("--set", "second_figure_probability=1", "--set", "negatives=0.2"),
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with every label, negatives and company, in several shards."""
    return build(tmp_path_factory.mktemp("verify") / "folder", *OPTIONS)


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "folder")


def faults(folder: Path) -> list[str]:
    return [str(fault) for fault in verify(FolderPlace(folder), progress=False).faults]


def change_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Change a manifest as someone would who knows of its checksum."""
    write_manifest(change(read_manifest(folder)), folder)


def forge(folder: Path, change: Callable[[list[Row]], object]) -> None:
    """Change the rows of a shard, and let the manifest tell the new size and hash."""
    path = folder / SHARD
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)

    def described(manifest: Manifest) -> Manifest:
        first, *others = manifest.shards
        own = dataclasses.replace(first, bytes=path.stat().st_size, sha256=sha256_of(path))
        return dataclasses.replace(manifest, shards=(own, *others))

    change_manifest(folder, described)


def shown(rows: list[Row]) -> Row:
    """The first row that shows a human."""
    return next(row for row in rows if row["human"])


def recode(row: Row, column: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with Image.open(pa.BufferReader(row[column]["bytes"])) as picture:
        pixels = np.array(picture)
    row[column]["bytes"] = (jpeg if column == "image" else png)(change(pixels))


def retell(row: Row, **values: Any) -> None:
    told = {**json.loads(row["provenance"]), **values}
    row["provenance"] = json.dumps({name: value for name, value in told.items() if value != "gone"})


def test_a_sound_dataset_has_no_faults(built: Path) -> None:
    done = run("verify", built, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "all as it was built" in done.stdout
    assert "30 pairs, 17 layers" in done.stdout
    manifest = read_manifest(built)
    assert len(manifest.shards) > 2
    rows = [row for path in built.glob("data/*") for row in pq.read_table(path).to_pylist()]
    assert any(not row["human"] for row in rows)
    assert any(json.loads(row["provenance"])["figures"] for row in rows)


def _swap(path: Path) -> None:
    other = path.with_name("train-00001.parquet")
    held = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(held)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: flip(path, 0.0), "holds other bytes"),
        (lambda path: flip(path, 0.5), "holds other bytes"),
        (lambda path: flip(path, 0.9999), "holds other bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has "),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "has "),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"PAR1" * 9), "cannot be read"),
        (_swap, "was made from something else"),
        (Path.unlink, "is missing"),
        (lambda path: path.rename(path.with_name("a.parquet")), "is missing"),
    ],
)
def test_damaged_files_are_named(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder / SHARD)
    found = faults(folder)
    assert any(fault.startswith(f"{SHARD}: {said}") for fault in found), found


@pytest.mark.parametrize("name", ["train-00009.parquet", "more/x.parquet", "\x1b[2J.parquet"])
def test_a_shard_too_many_is_named(folder: Path, name: str) -> None:
    (folder / "data" / name).parent.mkdir(exist_ok=True)
    shutil.copy(folder / SHARD, folder / "data" / name)
    (fault,) = faults(folder)
    assert "is not in the manifest" in fault
    assert fault.isprintable()


ROW_FAULTS: dict[str, tuple[Callable[[list[Row]], object], str]] = {
    "mask empty": (lambda rows: recode(shown(rows), "mask", np.zeros_like), "mask is empty"),
    "mask of 0 and 1": (
        lambda rows: recode(shown(rows), "mask", lambda mask: (mask > 9).astype(np.uint8)),
        "mask ends at 1 of 255",
    ),
    "mask turned round": (
        lambda rows: recode(shown(rows), "mask", lambda mask: 255 - mask),
        "provenance tells of a coverage of",
    ),
    "mask smaller": (lambda rows: recode(shown(rows), "mask", lambda mask: mask[1:]), "mask is "),
    "mask of colours": (
        lambda rows: recode(shown(rows), "mask", lambda mask: np.dstack([mask] * 3)),
        "mask: is PNG of mode RGB, not PNG of L",
    ),
    "mask gone": (lambda rows: shown(rows).update(mask=None), "mask is named None"),
    "image smaller": (
        lambda rows: recode(shown(rows), "image", lambda image: image[:, 1:]),
        "provenance tells of a frame",
    ),
    "image cut": (
        lambda rows: shown(rows)["image"].update(bytes=shown(rows)["image"]["bytes"][:-900]),
        "image: broken picture",
    ),
    "image of another kind": (
        lambda rows: shown(rows)["image"].update(bytes=encoded(Image.new("RGB", (9, 9)), "BMP")),
        "image: is BMP of mode RGB, not JPEG of RGB",
    ),
    "image of no kind": (
        lambda rows: shown(rows)["image"].update(bytes=b"<svg/>"),
        "image: not a picture",
    ),
    "image renamed": (
        lambda rows: shown(rows)["image"].update(path="../../x.jpg"),
        "image is named '../../x.jpg'",
    ),
    "trimap grey": (
        lambda rows: recode(shown(rows), "trimap", lambda trimap: trimap // 2),
        "trimap has other values",
    ),
    "foreground smaller": (
        lambda rows: recode(shown(rows), "foreground", lambda pixels: pixels[2:]),
        "foreground is ",
    ),
    "row doubled": (lambda rows: rows.__setitem__(1, rows[0]), "id is "),
    "rows swapped": (lambda rows: rows.reverse(), "id is "),
    "row gone": (lambda rows: rows.pop(), "rows, the manifest says"),
    "row too many": (lambda rows: rows.append(rows[0]), "rows, the manifest says"),
    "human of nobody": (lambda rows: shown(rows).update(human="0" * 32), "human is "),
    "human hidden": (lambda rows: shown(rows).update(human=""), "the row has no human"),
    "other background": (lambda rows: rows[0].update(background="x\n"), "background is 'x\\n'"),
    "provenance of nothing": (lambda rows: rows[0].update(provenance=None), "is no JSON"),
    "provenance of text": (lambda rows: rows[0].update(provenance="{"), "is no JSON"),
    "provenance of a list": (lambda rows: rows[0].update(provenance="[]"), "no JSON object"),
    "provenance incomplete": (
        lambda rows: retell(shown(rows), operations="gone"),
        "provenance lacks operations",
    ),
    "provenance of another kind": (
        lambda rows: retell(shown(rows), light="bright"),
        "provenance has a light of another kind",
    ),
    "coverage wrong": (lambda rows: retell(shown(rows), coverage=0.5), "a coverage of 0.5"),
    "geometry gone": (lambda rows: retell(shown(rows), geometry=None), "whether a human is shown"),
    "a stranger": (
        lambda rows: retell(shown(rows), figures=[{"human": "0" * 32}]),
        "a figure that is not of this shard",
    ),
}


@pytest.mark.parametrize("change", ROW_FAULTS)
def test_faults_in_rows_are_named_though_every_hash_is_right(folder: Path, change: str) -> None:
    forge(folder, lambda _: None)
    assert faults(folder) == []
    edit, said = ROW_FAULTS[change]
    forge(folder, edit)
    found = faults(folder)
    assert any(said in fault for fault in found), found
    assert all(fault.startswith(SHARD) and fault.isprintable() for fault in found)
    assert any(", row " in fault for fault in found) or "manifest says" in said


def test_other_columns_are_named(folder: Path) -> None:
    path = folder / SHARD
    table = pq.read_table(path)
    numbers = pa.array(range(table.num_rows))
    for other in (table.drop_columns("mask"), table.set_column(2, "mask", numbers)):
        pq.write_table(other, path)
        assert any("has other columns" in fault for fault in faults(folder))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seed": 0', '"seed": 1'),
        ('"split": "train"', '"split": "validation"'),
        ('"numpy": "', '"numpy": "0'),
        ('"max_pixels": 80000000', '"max_pixels": 80000001'),
        ("sample/humans/", "sample/people/"),
    ],
)
def test_a_manifest_that_was_edited_is_noticed(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert faults(folder)[0].startswith("manifest.json: was edited")


def _leak_by_id(manifest: Manifest) -> Manifest:
    layers = [
        dataclasses.replace(layer, split="train") if layer.split == "validation" else layer
        for layer in manifest.layers
    ]
    return dataclasses.replace(manifest, layers=tuple(layers))


def _leak_by_looks(manifest: Manifest) -> Manifest:
    shared = manifest.layers[0].perceptual_hash
    layers = [dataclasses.replace(layer, perceptual_hash=shared) for layer in manifest.layers]
    return dataclasses.replace(manifest, layers=tuple(layers))


def _human_in_two_shards(manifest: Manifest) -> Manifest:
    first, second, *others = manifest.shards
    second = dataclasses.replace(second, humans=(first.humans[0], *second.humans[1:]))
    return dataclasses.replace(manifest, shards=(first, second, *others))


def _strange_company(manifest: Manifest) -> Manifest:
    first, *others = manifest.shards
    first = dataclasses.replace(first, companions=(others[-1].humans[0],))
    return dataclasses.replace(manifest, shards=(first, *others))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_leak_by_id, "which is a human of train"),
        (_leak_by_id, "which is a background of train"),
        (_leak_by_looks, "has humans in two splits that look alike"),
        (_leak_by_looks, "has backgrounds in two splits that look alike"),
        (_human_in_two_shards, "has human "),
        (_strange_company, "takes company from elsewhere"),
        (lambda m: dataclasses.replace(m, layers=m.layers[1:]), "which is not listed"),
        (lambda m: dataclasses.replace(m, layers=(*m.layers, m.layers[0])), "twice"),
        (
            lambda m: dataclasses.replace(
                m, layers=tuple(dataclasses.replace(x, perceptual_hash="no") for x in m.layers)
            ),
            "has no perceptual hash",
        ),
    ],
)
def test_leaks_between_splits_are_found(
    folder: Path, change: Callable[[Manifest], Manifest], said: str
) -> None:
    change_manifest(folder, change)
    found = faults(folder)
    assert any(fault.startswith("manifest.json: ") and said in fault for fault in found), found


def test_every_fault_is_listed_and_the_exit_code_is_1(folder: Path) -> None:
    flip(folder / SHARD, 0.5)
    (folder / "data" / "validation-00000.parquet").unlink()
    done = run("verify", folder)
    assert done.returncode == 1
    assert f"  {SHARD}: holds other bytes" in done.stdout
    assert "  data/validation-00000.parquet: is missing" in done.stdout
    assert "in 2 files" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "\x1b[2J"])
def test_what_is_no_dataset_is_an_error(tmp_path: Path, name: str) -> None:
    done = run("verify", name, cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no such folder" in done.stderr
    (tmp_path / name).mkdir(parents=True)
    done = run("verify", name, cwd=tmp_path)
    assert done.returncode == 1
    assert "is no finished dataset" in done.stderr


def test_a_half_built_dataset_is_not_verified(folder: Path) -> None:
    (folder / ".build").mkdir()
    shutil.copy(folder / "manifest.json", folder / ".build")
    done = run("verify", folder)
    assert done.returncode == 1
    assert "last build was interrupted" in done.stderr


def test_a_dataset_on_the_hub_is_verified_at_any_revision(
    hub: HubServer, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(desk, tag="v1")
    place = tmp_path / "fetched"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    assert verify(open_place(REPO, "v1", TOKEN), progress=False).faults == ()
    damaged = bytearray((desk / "folder" / SHARD).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    hub.commit(REPO, {SHARD: bytes(damaged), "data/train-00077.parquet": b"PAR1"})
    hub.commit(REPO, {"data/validation-00000.parquet": None})
    found = [str(fault) for fault in verify(open_place(REPO, None, None), progress=False).faults]
    assert any(fault.startswith(f"{SHARD}: holds other bytes") for fault in found)
    assert any(fault.startswith("data/train-00077.parquet: is not in") for fault in found)
    assert any(fault.startswith("data/validation-00000.parquet: is missing") for fault in found)
    assert verify(open_place(REPO, "v1", None), progress=False).faults == ()
    assert list(place.iterdir()) == []


@lfs_alone
def test_a_dataset_on_the_hub_is_verified_by_workers_that_tell_no_token(
    hub: HubServer, desk: Path
) -> None:
    send(desk)
    environment = {"PATH": "/usr/bin:/bin", **hub.environment}
    del environment["HF_TOKEN"]
    arguments = ("verify", REPO, "--workers", "2", "--token", TOKEN)
    done = run(*arguments, env=environment, cwd=desk)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as it was built" in done.stdout
    hub.faults.append(Fault("HEAD", r"/resolve/.*train", status=403, times=None))
    refused = run(*arguments, env=environment, cwd=desk)
    assert refused.returncode == 1
    assert "the token may not do that" in refused.stderr
    assert not any(TOKEN in text for text in (done.stderr, refused.stdout, refused.stderr))


def test_what_is_not_on_the_hub_is_an_error(hub: HubServer) -> None:
    hub.create("me/empty")
    with pytest.raises(HubError, match="holds no dataset of this tool"):
        verify(open_place("me/empty", None, READ_TOKEN), progress=False)
    for name, revision in (("me/none", None), ("me/empty", "v9")):
        with pytest.raises(HubError, match="no such dataset or revision"):
            open_place(name, revision, READ_TOKEN)
    with pytest.raises(HubError, match="no name of a repository"):
        open_place("me/..", None, READ_TOKEN)
