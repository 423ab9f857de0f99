"""What `inspect` rejects is what `build` leaves out; what a person does with either."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.matte import clean_matte
from builder.measures import measure_human
from builder.recipe import CLASSIC
from tests.browser import Page, drive
from tests.building import build, run
from tests.kit import Pixels, jpeg, png, portrait, scenery, write

SIZE = (192, 256)
# These figures are as smooth as blurred pictures, and their edges as soft as haze.
SMOOTH = ("--set", "doubt_sharpness=0", "--set", "doubt_haze=100")
LEAVE_OUT = ("--set", 'leave_out=["see-through body", "has alpha"]')


def ghost(seed: int) -> Pixels:
    """Return a human, uint8 (H, W, 4), through whom everything shows."""
    figure = portrait(seed, SIZE)
    figure[..., 3] = figure[..., 3] // 3 * 2
    return figure


def fading(seed: int) -> Pixels:
    """Return a background, uint8 (H, W, 4), half of which is half transparent."""
    alpha = np.full((120, 160), 255, np.uint8)
    alpha[:60] = 128
    return np.dstack([scenery(seed), alpha])


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verdicts") / "layers"
    for number in range(3):
        write(folder / "humans" / f"human-{number}.png", png(portrait(number, SIZE)))
        write(folder / "backgrounds" / f"view-{number}.jpg", jpeg(scenery(number)))
    write(folder / "humans" / "ghost.png", png(ghost(5)))
    write(folder / "humans" / "twin #2.png", png(portrait(2, SIZE)))
    write(folder / "humans" / "twin.png", png(np.fliplr(portrait(0, SIZE))))
    write(folder / "humans" / "opaque.png", png(ghost(5) | np.uint8(255)))
    write(folder / "humans" / "no picture.png", b"none")
    write(folder / "backgrounds" / "fading.png", png(fading(7)))
    write(folder / "backgrounds" / "small.png", png(scenery(8, (50, 50))))
    return folder


def inspect(report: Path, *arguments: str | Path) -> str:
    done = run("inspect", "--report", report, *SMOOTH, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(report: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(report / "layers.parquet").to_pylist()
    return {Path(row["name"]).stem: row for row in rows}


def shown(report: Path) -> dict[str, dict[str, Any]]:
    layers = Page(report / "layers.html").data["layers"]
    return {Path(layer["name"]).stem: layer for layer in layers}


@pytest.fixture(scope="module")
def output() -> list[str]:
    return []


@pytest.fixture(scope="module")
def report(layers: Path, tmp_path_factory: pytest.TempPathFactory, output: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("verdicts") / "report"
    output.append(inspect(folder, "--source", layers))
    return folder


def test_doubts_leave_a_layer_out_only_where_the_recipe_says_so(
    layers: Path, report: Path, tmp_path: Path
) -> None:
    doubted = table(report)
    for name, reason in (("ghost", "see-through body"), ("fading", "has alpha")):
        assert (doubted[name]["verdict"], doubted[name]["reasons"]) == ("clean", reason)
    assert doubted["fading"]["transparent"] == 0.5
    built = build(tmp_path / "folder", "--source", layers, "--size", "128", *SMOOTH, *LEAVE_OUT)
    inspect(tmp_path / "report", "--source", layers, *LEAVE_OUT)
    left_out = json.loads((built / "manifest.json").read_text())["left_out"]
    rejected = {
        row["name"]: row["reasons"]
        for row in table(tmp_path / "report").values()
        if row["verdict"] == "reject"
    }
    assert {out["name"]: out["reason"] for out in left_out} == rejected
    assert rejected["humans/ghost.png"] == "see-through body"
    assert {"humans/opaque.png", "backgrounds/fading.png", "backgrounds/small.png"} < set(rejected)
    assert "| has alpha | 1 |" in (built / "README.md").read_text(encoding="utf-8")


def test_what_is_rejected_can_be_looked_at_as_far_as_it_can_be_decoded(report: Path) -> None:
    for name, size in (("opaque", SIZE), ("small", (50, 50)), ("twin #2", SIZE)):
        layer = shown(report)[name]
        assert layer["verdict"] == "reject"
        assert (layer["width"], layer["height"]) == size
        assert layer["src"].startswith("data:image/webp;base64,")
        assert len(layer["id"]) == 32
    assert shown(report)["no picture"]["src"] == ""


def test_what_looks_alike_is_named(report: Path) -> None:
    rows = table(report)
    assert rows["twin"]["reasons"] == "near-duplicate of humans/human-0.png"
    assert rows["human-0"]["reasons"] == "near-duplicate of humans/twin.png"
    assert rows["twin"]["alike"] == rows["human-0"]["alike"] == "humans/human-0.png"
    assert rows["human-1"]["alike"] is None


def test_the_end_counts_kinds_of_reasons(report: Path, output: list[str]) -> None:
    lines = [line.split(maxsplit=2) for line in output[0].splitlines()]
    assert ["reject", "1", "byte-identical duplicate"] in lines
    assert ["clean", "2", "near-duplicate"] in lines
    assert ["reject", "1", "too small"] in lines
    assert "Nobody looked for people" in output[0]


def test_duplicates_and_names_with_a_hash_can_be_excluded(
    layers: Path, report: Path, tmp_path: Path
) -> None:
    """A duplicate, a layer that is left out anyway, and an id before a comment."""
    human = table(report)["human-1"]["id"]
    lines = ["humans/twin #2.png", "backgrounds/small.png", f"{human}  # humans/human-1.png"]
    file = write(tmp_path / "eye.txt", "\n".join(lines).encode())
    inspect(tmp_path / "report", "--source", layers, "--exclude", file)
    rows = table(tmp_path / "report")
    excluded = {name for name, row in rows.items() if "excluded by eye.txt" in row["reasons"]}
    assert excluded == {"twin #2", "small", "human-1"}
    assert rows["human-2"]["verdict"] == "ok"
    # So that they go on being excluded, they are in the next file from the start.
    found = drive(
        tmp_path / "report" / "layers.html",
        """out.before = $("ticked").textContent;
        $("role").value = "background"; $("verdict").value = "ok";
        $("role").dispatchEvent(new Event("input")); $("tick").click();
        out.ticked = $("ticked").textContent; $("list").click(); out.lines = $("lines").value;
        $("close").click(); $("untick").click(); out.after = $("ticked").textContent;
        $("text").value = ""; $("role").value = $("verdict").value = "";
        $("text").dispatchEvent(new Event("input"));
        const twin = [...doc.querySelectorAll("article")].find((card) =>
          card.querySelector(".name").textContent === "humans/twin.png");
        twin.querySelector("button").click();
        out.alike = [...doc.querySelectorAll("article .name")].map((name) => name.textContent);""",
    )
    assert (found["before"], found["ticked"], found["after"]) == ("3", "6", "3")
    again = write(tmp_path / "again.txt", found["lines"].encode())
    assert f"{human}  # humans/human-1.png" in found["lines"].splitlines()
    inspect(tmp_path / "second", "--source", layers, "--exclude", again)
    rows = table(tmp_path / "second")
    after = {name for name, row in rows.items() if "excluded by again.txt" in row["reasons"]}
    # The bytes of `twin #2` are excluded now, whatever their name.
    assert after == {*excluded, "human-2", "view-0", "view-1", "view-2"}
    assert sorted(found["alike"]) == ["humans/human-0.png", "humans/twin.png"]


def test_no_cell_is_a_formula_whatever_divides_the_line(tmp_path: Path) -> None:
    names = ("=1+1.png", "a;=2.png", "b,\t@c.png", " -3.png", "＝4.png")  # noqa: RUF001
    for number, name in enumerate(names):
        write(tmp_path / "cutouts" / name, png(portrait(number, SIZE)))
    for number in range(2):
        write(tmp_path / "photos" / f"{number}.jpg", jpeg(scenery(number)))
    places = ("--humans", tmp_path / "cutouts", "--backgrounds", tmp_path / "photos")
    inspect(tmp_path / "report", *places)
    text = (tmp_path / "report" / "layers.csv").read_text(encoding="utf-8")
    for delimiter in (",", ";", "\t"):
        for line in csv.reader(text.splitlines(), delimiter=delimiter):
            assert not [cell for cell in line if cell.strip()[:1] in tuple("=+-@＝")]  # noqa: RUF001
    assert "=1+1" in table(tmp_path / "report")


def test_a_report_goes_over_no_other_files(layers: Path, report: Path, tmp_path: Path) -> None:
    own = write(tmp_path / "layers.csv", b"mine")
    done = run("inspect", "--source", layers, "--report", tmp_path)
    assert (done.returncode, own.read_bytes()) == (1, b"mine")
    assert "holds other files and no report" in done.stderr
    before = (report / "layers.html").read_bytes()
    inspect(report, "--source", layers)
    assert (report / "layers.html").read_bytes() == before


def see_through(alpha: Pixels) -> float:
    rgba = np.dstack([scenery(0, alpha.shape[::-1]), alpha])
    found = measure_human(rgba, clean_matte(alpha, CLASSIC), CLASSIC).see_through
    assert found is not None
    return found


def test_curls_are_not_seen_through_and_holes_are() -> None:
    solid = np.zeros((400, 400), np.uint8)
    cv2.circle(solid, (200, 200), 150, 255, -1)
    curls = np.random.default_rng(0).integers(60, 255, solid.shape).astype(np.uint8)
    inner = cv2.circle(np.zeros_like(solid), (200, 200), 138, 255, -1)
    assert see_through(np.where(inner > 0, solid, np.minimum(solid, curls))) < 0.01
    for level in (40, 200):
        hole = solid.copy()
        cv2.circle(hole, (200, 200), 60, level, -1)
        assert see_through(hole) == pytest.approx(60**2 / 138**2, abs=0.06)
    # What a border cuts goes on beyond it.
    assert see_through(np.full((100, 100), 255, np.uint8)) == 0
    assert see_through(np.full((100, 100), 200, np.uint8)) == 1
