"""`human-segmentation inspect`: verdicts, tables, the page, and what a person excludes."""

from __future__ import annotations

import csv
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.compose.figure import Side
from human_segmentation import HumanSegmentation
from tests.building import build, rows, run
from tests.figures import draw
from tests.kit import Pixels, jpeg, png, portrait, scenery, write, write_layers

LARGE = (240, 320)


def human(seed: int, cut: frozenset[Side] = frozenset()) -> Pixels:
    """Return a sharp, solid human, uint8 (H, W, 4)."""
    alpha = draw(*LARGE, cut, 0, seed).alpha
    grain = np.random.default_rng(seed).integers(-60, 60, (*alpha.shape, 3))
    colours = np.clip(scenery(seed, LARGE).astype(int) + grain, 0, 255).astype(np.uint8)
    return np.dstack([colours, alpha])


def spoiled(kind: str) -> Pixels:
    """Return a human with one flaw, uint8 (H, W, 4)."""
    flawed = human(7)
    alpha = flawed[..., 3]
    if kind == "haze":
        alpha[alpha == 0] = 12
    elif kind == "see-through body":
        alpha[alpha == 255] = 150
    elif kind == "detached specks":
        for left in (4, 30, 56):
            alpha[4:12, left : left + 8] = 255
    elif kind == "blurred":
        flawed[..., :3] = cv2.GaussianBlur(flawed[..., :3], (0, 0), 25)
    elif kind == "cut at the top":
        flawed = human(7, frozenset({"top"}))
    return flawed


def holed() -> Pixels:
    """Return a human with a gap, through which the background is meant to be seen."""
    made = human(21)
    cv2.circle(made, (120, 160), 22, (0, 0, 0, 0), -1)
    return made


def view_of(seed: int) -> Pixels:
    """Return a sharp background, uint8 (300, 400, 3)."""
    grain = np.random.default_rng(seed).integers(-40, 40, (300, 400, 3))
    return np.clip(scenery(seed, (400, 300)).astype(int) + grain, 0, 255).astype(np.uint8)


FLAWS = ("haze", "see-through body", "detached specks", "blurred", "cut at the top")


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers of which each file name says what is wrong with it."""
    folder = tmp_path_factory.mktemp("inspect") / "layers"
    for number in range(3):
        made = human(number, frozenset({"bottom"} if number == 1 else ()))
        write(folder / "humans" / f"human-{number:02d}.png", png(made))
    for number in range(4):
        write(folder / "backgrounds" / f"background-{number:02d}.jpg", jpeg(view_of(number)))
    write(folder / "humans" / "arm on the hip.png", png(holed()))
    for kind in FLAWS:
        write(folder / "humans" / f"{kind}.png", png(spoiled(kind)))
    write(folder / "humans" / "no alpha.png", png(scenery(1, LARGE)))
    write(folder / "humans" / "broken.png", png(human(1))[:500])
    write(folder / "backgrounds" / "nearly flat.jpg", jpeg(np.full((300, 400, 3), 90, np.uint8)))
    write(folder / "backgrounds" / "twin.jpg", jpeg(cv2.convertScaleAbs(view_of(0), alpha=0.9)))
    # A human in the wrong folder too: it stays a human.
    write(folder / "backgrounds" / "no view.png", png(human(0)))
    write(folder / "backgrounds" / "other.jpg", jpeg(view_of(40)))
    return folder


def inspected(layers: Path, report: Path, *arguments: str | Path) -> dict[str, dict[str, Any]]:
    done = run("inspect", "--source", layers, "--report", report, *arguments)
    assert done.returncode == 0, done.stderr
    return read_table(report)


def read_table(report: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(report / "layers.parquet").to_pylist()
    return {Path(row["name"]).stem: row for row in table}


@pytest.fixture(scope="module")
def report(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    inspected(layers, folder)
    return folder


@pytest.fixture(scope="module")
def table(report: Path) -> dict[str, dict[str, Any]]:
    return read_table(report)


@pytest.mark.parametrize("kind", [*FLAWS, "nearly flat"])
def test_each_flaw_is_found_and_named(table: dict[str, dict[str, Any]], kind: str) -> None:
    assert kind in table[kind]["reasons"].split("; ")
    assert table[kind]["verdict"] == "clean"


def test_sound_layers_are_ok(table: dict[str, dict[str, Any]]) -> None:
    for name in ("human-00", "human-01", "human-02", "arm on the hip", "background-01"):
        assert table[name]["verdict"] == "ok", table[name]
        assert table[name]["reasons"] == ""
    assert table["human-01"]["cuts"] == "bottom"
    assert table["human-00"]["cuts"] == ""


def test_near_duplicates_are_counted_on_both_sides(table: dict[str, dict[str, Any]]) -> None:
    for name in ("twin", "background-00"):
        assert table[name]["near_duplicates"] == 1
        assert "near-duplicate" in table[name]["reasons"]


def test_rejected_is_what_a_build_leaves_out(
    layers: Path, table: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder = build(tmp_path / "folder", "--source", layers, "--size", "128")
    left_out = json.loads((folder / "manifest.json").read_text())["left_out"]
    rejected = [row for row in table.values() if row["verdict"] == "reject"]
    assert {(out["name"], out["reason"]) for out in left_out} == {
        (row["name"], row["reasons"]) for row in rejected
    }
    assert {Path(out["name"]).stem for out in left_out} == {"no alpha", "broken", "no view"}


def test_thresholds_are_knobs(layers: Path, tmp_path: Path) -> None:
    settings = ("--set", "doubt_haze=100", "--set", "doubt_see_through=1")
    table = inspected(layers, tmp_path / "report", *settings)
    assert "haze" not in table["haze"]["reasons"]
    assert "see-through" not in table["see-through body"]["reasons"]
    assert "detached specks" in table["detached specks"]["reasons"]


def test_the_csv_says_the_same(report: Path, table: dict[str, dict[str, Any]]) -> None:
    with (report / "layers.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(next(iter(table.values())))
    assert {row["name"]: row["verdict"] for row in read} == {
        row["name"]: row["verdict"] for row in table.values()
    }


def test_no_spreadsheet_takes_a_name_for_a_formula(tmp_path: Path) -> None:
    write(tmp_path / "humans" / "@SUM(A1).png", png(human(1)))
    write(tmp_path / "views" / "=1+1.jpg", jpeg(view_of(1)))
    options = ("--humans", tmp_path / "humans", "--backgrounds", tmp_path / "views")
    assert run("inspect", *options, "--report", tmp_path / "report").returncode == 0
    with (tmp_path / "report" / "layers.csv").open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert sorted(names) == ["'=1+1.jpg", "'@SUM(A1).png"]


def test_nothing_is_changed_and_the_end_says_what_to_do(layers: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in layers.rglob("*") if path.is_file()}
    done = run("inspect", "--source", layers, "--report", tmp_path / "report")
    assert {path: path.read_bytes() for path in layers.rglob("*") if path.is_file()} == before
    assert "11 humans: 4 ok, 5 clean, 2 reject" in done.stdout
    assert "layers.html" in done.stdout
    assert "--exclude" in done.stdout


def page_of(folder: Path) -> tuple[str, dict[str, Any]]:
    page = (folder / "layers.html").read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return page, json.loads(text)


def test_the_page_has_the_worst_first_and_stands_alone(
    report: Path, table: dict[str, dict[str, Any]]
) -> None:
    page, data = page_of(report)
    verdicts = [layer["verdict"] for layer in data["layers"]]
    assert verdicts == sorted(verdicts, key=["reject", "clean", "ok"].index)
    assert len(verdicts) == len(table)
    assert data["detector"] is None
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    used = [layer for layer in data["layers"] if layer["verdict"] != "reject"]
    assert all(layer["src"].startswith("data:image/webp;base64,") for layer in used)


def test_hostile_names_are_text_in_the_page(tmp_path: Path) -> None:
    layers = write_layers(tmp_path / "layers", humans=2, backgrounds=2, human_size=LARGE)
    name = "<img src=x onerror=alert(1)>.png"
    write(layers / "humans" / name, png(portrait(9, LARGE)))
    inspected(layers, tmp_path / "report")
    page, data = page_of(tmp_path / "report")
    assert "<img src=x" not in page
    assert any(name in layer["name"] for layer in data["layers"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_in_a_browser_the_layers_can_be_seen_and_filtered(report: Path, tmp_path: Path) -> None:
    page, _ = page_of(report)
    # The policy lets no other script run: what a person would do is done before it looks.
    probe = page.replace('<option value="">all</option><option>human', "<option>human", 1)
    copy = write(tmp_path / "page.html", probe.encode())
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    for path, expected in ((report / "layers.html", 19), (copy, 11)):
        done = subprocess.run(
            [*command, "--virtual-time-budget=3000", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.count("<article") == expected
        assert f"{expected} of {expected} shown" in done.stdout


def onnx_model(outputs: int) -> bytes:
    """Encode, by hand, a model that averages `outputs` mixtures of R, G and B over the picture."""

    def field(number: int, value: bytes | str | int) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        data = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(data)) + data

    def varint(value: int) -> bytes:
        digits = bytearray()
        while value > 127:
            digits.append(value & 127 | 128)
            value >>= 7
        return bytes([*digits, value])

    def tensor_type(name: str, shape: tuple[int, ...]) -> bytes:
        dimensions = b"".join(field(1, field(1, size)) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))

    def node(kind: str, inputs: tuple[str, ...], output: str) -> bytes:
        return b"".join(field(1, one) for one in inputs) + field(2, output) + field(4, kind)

    weights = struct.pack(f"<{3 * outputs}f", *[1.0, 0.0, 0.0] * outputs)
    shape = b"".join(field(1, size) for size in (outputs, 3, 1, 1))
    initializer = shape + field(2, 1) + field(8, "weights") + field(9, weights)
    graph = (
        field(1, node("Conv", ("picture", "weights"), "mixed"))
        + field(1, node("GlobalAveragePool", ("mixed",), "people"))
        + field(2, "detector")
        + field(5, initializer)
        + field(11, tensor_type("picture", (1, 3, 224, 224)))
        + field(12, tensor_type("people", (1, outputs, 1, 1)))
    )
    return field(1, 7) + field(7, graph) + field(8, field(2, 11))


def test_a_detector_of_the_users_own_looks_for_people(tmp_path: Path) -> None:
    """Here red is people: the model averages the red channel."""
    layers = write_layers(tmp_path / "layers", humans=2, backgrounds=0, human_size=LARGE)
    rng = np.random.default_rng(0)
    for name, red in (("red", 230), ("dark", 20)):
        view = rng.integers(0, 160, (300, 400, 3)).astype(np.uint8)
        view[..., 0] = rng.integers(red - 20, red + 20, (300, 400))
        write(layers / "backgrounds" / f"{name}.png", png(view))
    model = write(tmp_path / "red.onnx", onnx_model(1))
    table = inspected(layers, tmp_path / "report", "--people-detector", model)
    assert table["red"]["people"] > 0.8
    assert "people" in table["red"]["reasons"]
    assert table["dark"]["people"] < 0.2
    assert table["dark"]["verdict"] == "ok"
    assert table["human-00"]["people"] is None
    assert page_of(tmp_path / "report")[1]["detector"] == "red.onnx"


def test_a_model_of_another_kind_is_refused(layers: Path, tmp_path: Path) -> None:
    for data, message in ((onnx_model(3), "gives 3 numbers"), (b"no model", "as an ONNX model")):
        model = write(tmp_path / "model.onnx", data)
        done = run("inspect", "--source", layers, "--people-detector", model, cwd=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr


class TestExclude:
    def test_ids_and_names_are_left_out_with_the_reason(
        self, layers: Path, table: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        lines = f"# by eye\n{table['haze']['id']}\n\n{table['twin']['name']}  # a copy\n"
        file = write(tmp_path / "exclude.txt", lines.encode())
        folder = build(tmp_path / "f", "--source", layers, "--exclude", file, "--size", "128")
        manifest = json.loads((folder / "manifest.json").read_text())
        excluded = {o["name"] for o in manifest["left_out"] if o["reason"].startswith("excluded")}
        assert excluded == {table["haze"]["name"], table["twin"]["name"]}
        assert all(
            "exclude.txt" in o["reason"] for o in manifest["left_out"] if "haze" in o["name"]
        )
        used = {row["human"] for row in rows(folder)} | {row["background"] for row in rows(folder)}
        assert not used & {table["haze"]["id"], table["twin"]["id"]}

    def test_an_update_removes_what_is_excluded(
        self, layers: Path, table: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        small = ("--size", "128", "--validation", "0")
        folder = build(tmp_path / "folder", "--source", layers, *small)
        file = write(tmp_path / "exclude.txt", table["haze"]["id"].encode())
        done = run(
            *("build", "--update", "--source", layers, "--exclude", file, "--output", folder)
        )
        assert done.returncode == 0, done.stderr
        assert table["haze"]["id"] not in {row["human"] for row in rows(folder)}

    def test_inspect_and_the_builder_class_know_it_too(
        self, layers: Path, table: dict[str, dict[str, Any]], tmp_path: Path
    ) -> None:
        file = write(tmp_path / "exclude.txt", table["haze"]["id"].encode())
        after = inspected(layers, tmp_path / "report", "--exclude", file)
        assert after["haze"]["verdict"] == "reject"
        assert after["haze"]["reasons"] == "excluded by exclude.txt"
        builder = HumanSegmentation(source=str(layers), exclude=str(file), size=128)
        streamed = [
            row["human"]
            for split in ("train", "validation")
            for row in builder.as_streaming_dataset(split)
        ]
        assert table["haze"]["id"] not in streamed
        assert table["human-00"]["id"] in streamed

    def test_an_entry_that_excludes_nothing_is_an_error(self, layers: Path, tmp_path: Path) -> None:
        file = write(tmp_path / "exclude.txt", b"humans/nobody.png\n")
        for command in ("build", "inspect"):
            done = run(command, "--source", layers, "--exclude", file, cwd=tmp_path)
            assert done.returncode == 1
            assert "'humans/nobody.png'" in done.stderr
        missing = run("inspect", "--source", layers, "--exclude", tmp_path / "none.txt")
        assert missing.returncode == 1
        assert "none.txt" in missing.stderr
