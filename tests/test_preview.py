"""The preview page on disk: what it holds, and that nothing hostile gets a hold of it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.errors import FolderError
from builder.preview import write_preview
from tests.browser import Page, browse, drive
from tests.building import SMALL, build, rows
from tests.kit import jpeg, png, scenery

PWN = "document.documentElement.setAttribute('pwned',1);window.pwned=1"
ATTACKS = [
    f"</script><script>{PWN}</script>",
    f'<img src=x onerror="{PWN}">',
    "</script ",
    "<!--<script ",
    f"\"'><svg onload={PWN}>",
    "\u202egnp.exe\u0000\r\n\u2066\u200f",
    "&lt;b&gt;&#x3c;",
    "{{data}}{{policy}}",
]
SIZE = (120, 80)
PICTURES = ("image", "mask")


def row(name: str, provenance: str | None = "{}", **pictures: bytes | None) -> dict[str, Any]:
    image = pictures.get("image", jpeg(scenery(len(name), SIZE)))
    mask = pictures.get("mask", png(scenery(1, SIZE)[..., 0]))
    return {
        "id": name,
        "image": {"bytes": image, "path": f"{name}.jpg"},
        "mask": {"bytes": mask, "path": f"{name}.png"},
        "human": f"human of {name}",
        "background": f"background of {name}",
        "provenance": provenance,
    }


def write_folder(folder: Path, **splits: list[dict[str, Any]]) -> Path:
    (folder / "data").mkdir(parents=True)
    for split, made in splits.items():
        pq.write_table(pa.Table.from_pylist(made), folder / "data" / f"{split}-00000.parquet")
    return folder


def decoded(picture: dict[str, Any]) -> Image.Image:
    kind, _, data = picture["src"].partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("preview") / "folder", *SMALL)


def test_the_page_shows_every_pair_of_a_small_data_set(built: Path, tmp_path: Path) -> None:
    page = Page(write_preview(built, output=tmp_path / "page.html"))
    assert page.data["totals"] == {"train": 24, "validation": 6}
    assert len(page.pairs) == len(rows(built)) == 30
    for pair, own in zip(page.pairs, rows(built), strict=True):
        for name in ("split", "id", "human", "background"):
            assert pair[name] == own[name]
        assert pair["provenance"] == json.loads(own["provenance"])
        for name in PICTURES:
            expected = Image.open(io.BytesIO(own[name]["bytes"])).size
            assert (pair[name]["width"], pair[name]["height"]) == expected
            shown = decoded(pair[name]).size
            assert shown[0] / shown[1] == pytest.approx(expected[0] / expected[1], rel=0.03)


def test_pictures_are_reduced_in_their_own_shape_and_masks_kept_exactly(tmp_path: Path) -> None:
    tall = scenery(0, (200, 800))
    made = [row("a"), row("b", image=jpeg(tall), mask=png(tall[..., 0]))]
    folder = write_folder(tmp_path / "folder", train=made)
    small, large = Page(write_preview(folder, thumbnail=100)).pairs
    assert decoded(small["image"]).size == SIZE
    # The matte is the alpha of a white picture, which is what CSS masks work with.
    alpha = np.asarray(decoded(small["mask"]).getchannel("A"))
    np.testing.assert_array_equal(alpha, scenery(1, SIZE)[..., 0])
    for name in PICTURES:
        assert (large[name]["width"], large[name]["height"]) == (200, 800)
        width, height = decoded(large[name]).size
        assert (100 <= height <= 200, height / width) == (True, pytest.approx(4, rel=0.03))


def test_the_page_asks_for_nothing_from_elsewhere(built: Path, tmp_path: Path) -> None:
    page = Page(write_preview(built, output=tmp_path / "page.html"))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "base", "embed"), tag
        assert not {"src", "href", "srcset", "action", "style"} & set(attributes), attributes
    assert not re.search(r"https?://|@import|url\((?!\"\$\{mask\.src\}\"\))", page.text)


def test_the_policy_lets_nothing_but_the_pages_own_script_run(built: Path, tmp_path: Path) -> None:
    page = Page(write_preview(built, output=tmp_path / "page.html"))
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a) or ""
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    for tag in ("script", "style"):
        digest = hashlib.sha256(page.content(tag).encode()).digest()
        assert directives[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    order = [tag for tag, _ in page.tags]
    assert order.index("meta") < order.index("style") < order.index("script")


def test_a_few_pairs_are_spread_over_splits_and_humans(built: Path, tmp_path: Path) -> None:
    page = Page(write_preview(built, output=tmp_path / "page.html", limit=6))
    assert [pair["split"] for pair in page.pairs] == ["train"] * 5 + ["validation"]
    assert len({pair["human"] for pair in page.pairs}) == 6
    assert page.data["totals"] == {"train": 24, "validation": 6}
    made = [row(str(index)) for index in range(60)]
    uneven = write_folder(tmp_path / "uneven", train=made, validation=made[:1])
    splits = [pair["split"] for pair in Page(write_preview(uneven, limit=4)).pairs]
    assert splits == ["train"] * 3 + ["validation"]


def test_a_second_page_replaces_the_first_with_the_same_bytes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", train=[row("a")])
    elsewhere = write_preview(folder, output=tmp_path / "page.html").read_bytes()
    assert [path.name for path in folder.iterdir()] == ["data"]
    (folder / "preview.html").write_text("old")
    assert write_preview(folder) == folder / "preview.html"
    assert (folder / "preview.html").read_bytes() == elsewhere
    assert sorted(path.name for path in folder.iterdir()) == ["data", "preview.html"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_text_stays_text(attack: str, tmp_path: Path) -> None:
    clean = Page(write_preview(write_folder(tmp_path / "clean", train=[row("a"), row("b")])))
    provenance = json.dumps({"human_name": attack, attack: [attack]})
    image = jpeg(scenery(0, SIZE)) + attack.encode()
    made = [row(attack, provenance, image=image), row("b", attack)]
    hostile = Page(write_preview(write_folder(tmp_path / "hostile", train=made)))
    assert hostile.tags == clean.tags
    assert hostile.pairs[0]["id"] == attack
    assert hostile.pairs[0]["provenance"] == json.loads(provenance)
    assert hostile.pairs[1]["provenance"] == attack
    assert hostile.content("script") == clean.content("script")
    assert attack.encode() not in base64.b64decode(hostile.pairs[0]["image"]["src"][23:])
    # ASCII alone, so that neither an encoding nor a line separator changes what is read.
    text = hostile.content("script", type="application/json", id="data")
    assert (text.isascii(), set(text) & set("<>&")) == (True, set())


@pytest.mark.parametrize(
    ("provenance", "shown"),
    [
        ('{"a": NaN}', {"a": "NaN"}),
        ('{"a": -1e999}', {"a": "-1e999"}),
        ('{"a": 12345678901234567890}', {"a": "12345678901234567890"}),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
        ("[" * 13 + "]" * 13, "[" * 13 + "]" * 13),
        ("x" * 30_000, "x" * 20_000 + "…"),
        ('{"a": "\\ud800"}', {"a": "\ud800"}),
        ("", ""),
        (None, ""),
    ],
    ids=lambda value: str(value)[:16].encode("ascii", "replace").decode(),
)
def test_odd_provenance_is_kept_as_text(provenance: str | None, shown: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", train=[row("a", provenance), row("b")])
    assert [pair["provenance"] for pair in Page(write_preview(folder)).pairs] == [shown, {}]


def test_text_that_is_not_utf8_and_rows_without_anything_are_shown(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", train=[row("a"), dict.fromkeys(row("b"))])
    shard = folder / "data" / "train-00000.parquet"
    table = pq.read_table(shard)
    ids = pa.array([b"\xff\xfe", None], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(0, "id", ids), shard)
    broken, empty = Page(write_preview(folder)).pairs
    assert broken["id"] == "(not valid UTF-8)"
    assert (empty["id"], empty["human"], empty["image"]) == ("", "", {"problem": "no bytes"})


def test_a_broken_picture_is_named_and_the_rest_shown(tmp_path: Path) -> None:
    broken = {
        "not a JPEG": b"<svg onload=alert(1)>",
        "cannot be decoded": jpeg(scenery(0, SIZE))[:200],
        "no bytes": b"",
        "are too many": png(Image.new("1", (10_000, 9_000))),
    }
    made = [row(problem, **{name: data}) for problem, data in broken.items() for name in PICTURES]
    pairs = Page(write_preview(write_folder(tmp_path / "folder", train=made))).pairs
    assert len(pairs) == 8
    for pair, name in zip(pairs, PICTURES * 4, strict=True):
        assert pair["id"] in pair[name].pop("problem")
        assert pair.pop(name) == {}
        assert decoded(pair["image" if name == "mask" else "mask"]).size == SIZE


def test_what_is_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"no such folder.*human-segmentation build"):
        write_preview(tmp_path / "nowhere")
    with pytest.raises(FolderError, match=r"holds no dataset.*human-segmentation build"):
        write_preview(tmp_path)
    other = write_folder(tmp_path / "other", train=[{"text": "a", "id": 1}])
    with pytest.raises(FolderError, match=r"lacks id, image\.bytes, .*human-segmentation build"):
        write_preview(other)
    shard = other / "data" / "train-00000.parquet"
    pq.write_table(pa.Table.from_pylist([row("a")]).slice(0, 0), shard)
    with pytest.raises(FolderError, match=r"hold no pairs.*human-segmentation build"):
        write_preview(other)
    shard.write_bytes(b"PAR1 not really")
    with pytest.raises(FolderError, match=r"(?s)train-00000\.parquet: cannot be read.*delete it"):
        write_preview(other)
    assert [path.name for path in other.iterdir()] == ["data"]


def test_a_shard_damaged_inside_leaves_the_older_page_alone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", train=[row(str(index)) for index in range(20)])
    before = write_preview(folder).read_bytes()
    shard = folder / "data" / "train-00000.parquet"
    data = shard.read_bytes()
    shard.write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    with pytest.raises(FolderError, match=r"train-00000\.parquet: cannot be read"):
        write_preview(folder)
    assert (folder / "preview.html").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["data", "preview.html"]


@pytest.mark.parametrize("name", ["missing/page.html", "a file/page.html", "n" * 252, "a folder"])
def test_a_page_that_cannot_be_written_is_an_error(name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", train=[row("a")])
    (tmp_path / "a file").touch()
    (tmp_path / "a folder").mkdir()
    with pytest.raises(FolderError, match="cannot be written"):
        write_preview(folder, output=tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "a folder", "folder"]


def test_sizes_that_are_too_small_are_refused(tmp_path: Path) -> None:
    for options in ({"limit": 0}, {"thumbnail": 15}):
        with pytest.raises(ValueError, match="must be 1 or more"):
            write_preview(tmp_path, **options)


def test_in_a_browser_hostile_text_runs_nothing(tmp_path: Path) -> None:
    made = [row(attack, json.dumps({attack: attack})) for attack in ATTACKS]
    page = write_preview(write_folder(tmp_path / "<b>name", train=made, validation=made[:1]))
    shown = browse(page)
    assert ("html", {"lang": "en"}) in shown.tags
    assert not {tag for tag, _ in shown.tags} & {"b", "svg"}
    pictures = [a["src"] or "" for tag, a in shown.tags if tag == "img"]
    assert len(pictures) == 2 * (len(ATTACKS) + 1)
    assert all(src.startswith("data:image/webp;base64,") for src in pictures)
    details = drive(
        page,
        """for (const button of open) { button.click(); $("close").click(); }
        out.pwned = [win.pwned, window.pwned, doc.documentElement.hasAttribute("pwned")];
        open[0].click(); out.text = $("facts").textContent;
        out.shown = [shown(), doc.title.slice(0, 8)];
        out.bidi = /[\u0000\u200f\u202e\u2066]/.test(doc.body.textContent);
        out.wide = $("facts").scrollWidth > $("facts").clientWidth;""",
    )
    assert details["pwned"] == [None, None, False]
    assert details["shown"] == [len(ATTACKS) + 1, "<b>name "]
    assert details["text"].count(ATTACKS[0]) == 5
    assert (details["bidi"], details["wide"]) == (False, False)


def test_in_a_browser_without_the_escapes_the_attacks_would_run(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<script type=application/json>{ATTACKS[0]}")
    assert "pwned" in dict(browse(page).tags)["html"]


def test_in_a_browser_hundreds_of_pairs_can_be_filtered_and_opened(tmp_path: Path) -> None:
    provenance = json.dumps({"human_name": "ann.png", "geometry": {"box": [1, 2]}})
    ids = [f"{human:032x}-{index:04}" for human in range(20) for index in range(20)]
    made = [row(name, provenance) | {"human": name[:32]} for name in ids]
    folder = write_folder(tmp_path / "folder", train=made[:380], validation=[*made[380:], row("")])
    page = write_preview(folder, limit=401)
    found = drive(
        page,
        """out.start = [shown(), $("dialog").open, $("summary").textContent];
        win.scrollTo(0, 9000); pick("split", 2); out.split = [shown(), win.scrollY];
        pick("split", 0); pick("human", 3); out.human = [shown(), $("count").textContent];
        const display = (layer) => win.getComputedStyle(doc.querySelector(layer)).display;
        out.overlay = [display(".card .tint"), display(".card .mask")];
        doc.querySelector("[value=mask]").click();
        out.mask = [display(".card .tint"), display(".card .mask")];
        const end = open[40].querySelector("code").lastChild.getBoundingClientRect();
        out.end = [open[40].querySelector("code").lastChild.textContent, end.width > 20];
        open[40].click(); press("ArrowRight");
        out.details = [$("dialog").open, $("position").textContent, win.location.hash];
        out.facts = [...$("facts").querySelectorAll("th")].map((cell) => cell.textContent);
        press("ArrowLeft"); press("ArrowLeft"); out.left = $("position").textContent;
        pick("split", 2); out.empty = [shown(), $("empty").hidden]; $("reset").click();
        out.reset = shown();""",
    )
    assert found["start"] == [401, False, "All 401 pairs (train 380, validation 21)"]
    assert (found["split"], found["human"]) == ([21, 0], [20, "20 of 401 shown"])
    assert (found["overlay"], found["mask"]) == (["block", "none"], ["none", "block"])
    assert found["end"] == ["-0000", True]
    assert found["details"] == [True, "2 of 20", f"#{ids[41]}"]
    assert found["facts"][:3] == ["Id", "Split", "Human"]
    assert found["facts"][-3:] == ["human_name", "geometry", "box"]
    assert (found["left"], found["empty"], found["reset"]) == ("1 of 20", [0, False], 401)


def test_in_a_browser_as_narrow_as_a_phone_nothing_is_cut(tmp_path: Path) -> None:
    page = write_preview(write_folder(tmp_path / "folder", train=[row("f" * 32 + "-0000")] * 3))
    found = drive(
        page,
        """open[1].click(); out.title = $("pair").clientWidth;
        const parts = [doc.documentElement, $("dialog")];
        out.fits = parts.map((part) => part.scrollWidth <= win.innerWidth);""",
        width=420,
    )
    assert (found["title"] > 300, found["fits"]) == (True, [True, True])
