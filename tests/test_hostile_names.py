"""Hostile names all the way: from archives and files to the terminal, the tables and the pages."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest
import yaml

from builder.sources.files import find_pictures
from tests.browser import browse
from tests.building import run
from tests.kit import png, portrait, scenery, write
from tests.packing import tarred, zipped

PWN = "document.documentElement.setAttribute('pwned',1)"
NAMES = [
    f"</script><script>{PWN}<!--.png",
    f"<img src=x onerror={PWN}>.png",
    f"\"'><svg onload={PWN}>.png",
    f"](javascript:{PWN})![x](x).png",
    "| a | b |\n|---|---|\n.png",
    "---\nlicense: mit\n---.png",
    "\x1b]0;pwned\x07\x1b[2J\x1b[31m.png",
    "\u202egnp.exe\u2066\u200f.png",
    "$(touch pwned)`touch pwned`;touch pwned.png",
    "=cmd|' /C calc'!A0.png",
    "-rf.png",
    "%s%n%x{0}{{data}}{{policy}}.png",
    "n" * 300 + ".png",
    "ä" * 150 + ".png",
    "\ud7ff\ue000\uffff\U0001f600.png",
    "&lt;b&gt;&#x3c;.png",
    "a\r\nb\tc.png",
]
OPTIONS = ("--size", "64", "--per-human", "1", "--validation", "0.3", "--workers", "1")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built dataset and an inspection of layers whose names are all hostile, in `folder` and
    `report`; what was printed is in `printed`."""
    desk = tmp_path_factory.mktemp("names")
    size = (64, 80)
    members = {}
    for number, name in enumerate(NAMES):
        members[f"humans/{name}"] = png(portrait(number, size))
        members[f"backgrounds/{name}"] = png(scenery(number, size))
        members[f"humans/broken/{name}"] = b"no picture"
    # What writes and reads zips cuts a name at a NUL; this one gets its own afterwards.
    members["humans/NUL.png"] = png(portrait(91, size))
    path = zipped(desk / "source" / "<b>all</b>.zip", list(members.items()))
    path.write_bytes(path.read_bytes().replace(b"NUL.png", b"N\0L.png"))
    loose = desk / "source" / "humans" / os.fsdecode(b"\xff\xfe\x1b[31m.png")
    write(loose, png(portrait(90, size)))
    tarred(desk / "source" / "backgrounds.tar", [("\x1b[2J<i>.png", png(scenery(90, size)))])
    (desk / "cwd").mkdir()
    (desk / "home").mkdir()
    where = {"cwd": desk / "cwd", "env": {**os.environ, "HOME": str(desk / "home")}}
    layers = ("--source", desk / "source", "--cache-dir", desk / "cache")
    commands = [
        ("inspect", *layers, "--report", desk / "report"),
        ("build", *layers, "--output", desk / "folder", *OPTIONS),
        ("preview", desk / "folder"),
        ("card", desk / "folder"),
        ("verify", desk / "folder", "--workers", "1"),
    ]
    printed = []
    for command in commands:
        done = run(*command, **where)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout + done.stderr)
    refused = run("build", *layers, "--strict", "--output", desk / "no", **where)
    assert refused.returncode == 1
    printed.append(refused.stderr)
    (desk / "printed").write_text("\n".join(printed))
    return desk


def test_every_layer_is_used_or_listed(desk: Path) -> None:
    manifest = json.loads((desk / "folder" / "manifest.json").read_text())
    assert len(manifest["layers"]) == 2 * len(NAMES) + 2
    assert len(manifest["left_out"]) == len(NAMES)
    assert manifest["ignored"] == {"not a picture by its name": 1}


def test_nothing_is_written_but_where_it_belongs(desk: Path) -> None:
    known = {"source", "cwd", "home", "cache", "folder", "report", "no", "printed"}
    assert {path.name for path in desk.iterdir()} <= known
    assert list((desk / "cwd").iterdir()) == []
    assert list((desk / "home").rglob("*")) == []
    assert len(list((desk / "source").rglob("*"))) == 5


def test_the_terminal_gets_nothing_that_it_would_act_upon(desk: Path) -> None:
    for line in re.split(r"[\r\n]", (desk / "printed").read_text()):
        # tqdm moves up a line after a bar that it does not leave.
        assert line.replace("\x1b[A", "").isprintable(), repr(line)


def test_the_tables_hold_names_as_text(desk: Path) -> None:
    with (desk / "report" / "layers.csv").open(encoding="utf-8-sig", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert len(names) == 3 * len(NAMES) + 2
    assert all(name.isprintable() and name[0] not in "=+-@" for name in names)


def test_the_card_holds_no_name_and_is_still_yaml(desk: Path) -> None:
    text = (desk / "folder" / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "unknown"
    assert not re.search("pwned|<script|<svg|<b>|onerror", body)
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize("page", ["folder/preview.html", "report/layers.html"])
def test_in_a_browser_no_name_runs_anything(desk: Path, page: str) -> None:
    shown = browse(desk / page)
    tags = [tag for tag, _ in shown.tags]
    assert "pwned" not in dict(shown.tags)["html"]
    assert "svg" not in tags
    # As many as the page has pictures: none came out of a name.
    assert tags.count("img") > len(NAMES)
    sources = [attributes.get("src") or "" for tag, attributes in shown.tags if tag == "img"]
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert tags.count("script") == 2


def test_archives_in_archives_stay_closed(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", [("humans/a.png", png(portrait(0)))]).read_bytes()
    for level in range(3):
        inner = zipped(tmp_path / "s" / "humans.zip", [(f"{level}.zip", inner)] * 9).read_bytes()
    zipped(tmp_path / "s" / "backgrounds.zip", [("v.png", png(scenery(0)))])
    done = run("build", "--source", tmp_path / "s", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "No usable human in 1 pictures found" in done.stderr


def test_a_zip_of_a_name_in_no_encoding_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "humans.zip", [("aXXb.png", png(portrait(0)))])
    path.write_bytes(path.read_bytes().replace(b"aXXb", b"a\xff\x80b"))
    (found,) = find_pictures(path, tmp_path).candidates
    assert found.content.read() == png(portrait(0))
    assert found.name.isprintable()
