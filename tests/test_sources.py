"""Sources: folders, archives and folders of archives; which role a picture has, and why."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import SourceError
from builder.layers import admit
from builder.recipe import CLASSIC
from builder.sources import Sources, collect
from builder.sources.files import Found, find_pictures, signature
from builder.sources.layer import Layer, printable
from builder.sources.roles import role_of
from tests.kit import png, portrait, scenery, write, write_layers
from tests.packing import Members, tarred, zipped

FIGURE = png(portrait(0))
VIEW = png(scenery(0))


def seen(found: Found) -> list[tuple[str, str]]:
    return [(candidate.role, candidate.name) for candidate in found.candidates]


def collected(*sources: Path | str, cache: Path, **named: tuple[str, ...]) -> Found:
    own = tuple(str(source) for source in sources)
    return collect(Sources(sources=own, cache_dir=cache, **named), progress=False)


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("humans", "human"),
        ("human", "human"),
        ("HUMANS", "human"),
        ("Human", "human"),
        ("human_segmentation", "human"),
        ("human_segmentations", "human"),
        ("humans-20240502T101112Z-001", "human"),
        ("humans (1)", "human"),
        ("humans2", "human"),
        ("backgrounds", "background"),
        ("Background", "background"),
        ("background_images", "background"),
        ("data/humans/part 3", "human"),
        ("human_segmentation/backgrounds", "background"),
        ("backgrounds/humans", "human"),
        ("human_segmentations/gt", None),
        ("humans/GT", None),
        ("gt", None),
        ("im", None),
        ("humanoids", None),
        ("superhumans", None),
        ("backgroundless", None),
        ("", None),
    ],
)
def test_the_innermost_telling_folder_gives_the_role(path: str, role: str | None) -> None:
    assert role_of(path.split("/")) == role


TREE: Members = [
    ("humans/a.png", FIGURE),
    ("humans/deep/b.PNG", FIGURE),
    ("human_segmentations/gt/a.png", VIEW),
    ("Background/v.jpeg", VIEW),
    ("backgrounds/.hidden.png", VIEW),
    ("__MACOSX/humans/._a.png", b"\0"),
    ("humans/readme.txt", b"text"),
    ("other/c.png", VIEW),
    ("humans.png", FIGURE),
]
TREE_FOUND = [
    ("background", "Background/v.jpeg"),
    ("human", "humans/a.png"),
    ("human", "humans/deep/b.PNG"),
]
TREE_IGNORED = {"not a picture by its name": 3, "in no humans or backgrounds folder": 3}


def _folder(path: Path) -> Path:
    for name, data in TREE:
        write(path / name, data)
    return path


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (_folder, ""),
        (lambda path: zipped(path / "all.zip", TREE), "all.zip/"),
        (lambda path: zipped(path / "all.ZIP", TREE, zipfile.ZIP_DEFLATED), "all.ZIP/"),
        (lambda path: zipped(path / "all.zip", TREE, zipfile.ZIP_LZMA), "all.zip/"),
        (lambda path: tarred(path / "all.tar", TREE), "all.tar/"),
        (lambda path: tarred(path / "all.tar.gz", TREE), "all.tar.gz/"),
        (lambda path: tarred(path / "all.tar.bz2", TREE), "all.tar.bz2/"),
        (lambda path: tarred(path / "all.tar.xz", TREE), "all.tar.xz/"),
    ],
    ids=["folder", "zip", "ZIP", "lzma", "tar", "gz", "bz2", "xz"],
)
def test_folders_and_archives_offer_the_same(
    tmp_path: Path, make: Callable[[Path], Path], prefix: str
) -> None:
    found = collected(make(tmp_path / "source"), cache=tmp_path / "cache")
    assert sorted(seen(found)) == [(role, prefix + name) for role, name in TREE_FOUND]
    assert found.ignored == TREE_IGNORED
    data = dict(TREE)
    for candidate in found.candidates:
        assert candidate.content.read() == data[candidate.name.removeprefix(prefix)]


def test_a_folder_of_archives_tells_roles_by_their_names(tmp_path: Path) -> None:
    zipped(tmp_path / "s" / "humans-001.zip", [("x/a.png", FIGURE), ("gt/a.png", FIGURE)])
    tarred(tmp_path / "s" / "BACKGROUNDS.tar.gz", [("./v.png", VIEW)])
    tarred(tmp_path / "s" / "gt.tar", [("v.png", VIEW)])
    write(tmp_path / "s" / "rest.rar", b"Rar!")
    found = collected(tmp_path / "s", cache=tmp_path / "cache")
    assert seen(found) == [
        ("background", "BACKGROUNDS.tar.gz/./v.png"),
        ("human", "humans-001.zip/x/a.png"),
    ]
    assert found.ignored == {
        "in no humans or backgrounds folder": 2,
        "not a picture by its name": 1,
    }


def test_a_folder_named_for_its_role_needs_no_other_inside(tmp_path: Path) -> None:
    write(tmp_path / "Humans" / "a.png", FIGURE)
    write(tmp_path / "human-segmentation" / "v.png", VIEW)
    (tmp_path / "backgrounds").symlink_to("human-segmentation")
    assert seen(collected(tmp_path / "Humans", cache=tmp_path)) == [("human", "a.png")]
    assert seen(collected(tmp_path / "backgrounds", cache=tmp_path)) == [("background", "v.png")]
    with pytest.raises(SourceError, match="1 in no humans or backgrounds folder"):
        collected(tmp_path / "human-segmentation", cache=tmp_path)


def test_roles_may_be_named_outright(tmp_path: Path) -> None:
    write(tmp_path / "people" / "backgrounds" / "a.png", FIGURE)
    views = zipped(tmp_path / "humans.zip", [("v.png", VIEW)])
    found = collected(cache=tmp_path, humans=(str(tmp_path / "people"),), backgrounds=(str(views),))
    assert seen(found) == [("human", "backgrounds/a.png"), ("background", "humans.zip/v.png")]


def test_names_and_order_do_not_matter_to_layers(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "layers", humans=3, backgrounds=2)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    members = [(str(path.relative_to(folder)), path.read_bytes()) for path in files]
    renamed = [(f"x/{name}", data) for name, data in reversed(members)]
    archive = zipped(tmp_path / "other.zip", renamed)
    ids = []
    for source in (folder, archive):
        found = collected(source, cache=tmp_path)
        layers = [admit(candidate, CLASSIC) for candidate in found.candidates]
        assert all(isinstance(layer, Layer) for layer in layers)
        ids.append(sorted(layer.id for layer in layers if isinstance(layer, Layer)))
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 5


def test_nothing_found_is_an_error_that_says_what_was_ignored(tmp_path: Path) -> None:
    write(tmp_path / "pictures" / "a.png", FIGURE)
    write(tmp_path / "pictures" / "notes.txt", b"text")
    with pytest.raises(SourceError) as caught:
        collected(tmp_path / "pictures", cache=tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "pictures"))
    assert "1 in no humans or backgrounds folder; 1 not a picture by its name" in message
    assert "--humans PATH --backgrounds PATH" in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "there is no such file or folder"),
        ("picture.png", "is neither a folder nor an archive"),
        ("loop", "cannot be read"),
        ("x" * 300, "cannot be read"),
        ("nul\0", "cannot be read"),
    ],
)
def test_a_source_that_is_none_is_an_error_with_its_name(
    tmp_path: Path, name: str, said: str
) -> None:
    write(tmp_path / "picture.png", FIGURE)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match=said) as caught:
        find_pictures(tmp_path / name, tmp_path)
    assert str(caught.value).startswith(printable(str(tmp_path / name)))


def test_what_is_no_file_is_counted_and_never_waited_for(tmp_path: Path) -> None:
    humans = write(tmp_path / "s" / "humans" / "a.png", FIGURE).parent
    os.mkfifo(humans / "pipe.png")
    os.mkfifo(humans / "pipe.zip")
    (humans / "broken.png").symlink_to("nowhere.png")
    (humans / "round").symlink_to("..")
    (humans / "link.png").symlink_to("a.png")
    found = collected(tmp_path / "s", cache=tmp_path)
    assert [name for _, name in seen(found)] == ["humans/a.png", "humans/link.png"]
    assert found.ignored == {"not a file: a link to a folder, a broken link or a device": 4}


HOSTILE_NAMES = [b"quote'\"<b>.png", b"line\nbreak.png", b"\x1b[2Jclear.png", b"bytes\xff\xfe.png"]
RIGHT_TO_LEFT = "humans/\u202egnp.exe.png"


@pytest.mark.parametrize("raw", HOSTILE_NAMES)
def test_hostile_file_names_are_read_as_data_and_shown_escaped(tmp_path: Path, raw: bytes) -> None:
    write(tmp_path / "s" / "humans" / os.fsdecode(raw), FIGURE)
    (candidate,) = collected(tmp_path / "s", cache=tmp_path).candidates
    assert candidate.name.isprintable()
    candidate.name.encode()
    assert candidate.content.read() == FIGURE
    assert signature(tmp_path / "s") == signature(tmp_path / "s")


def test_reasons_name_no_path_since_they_are_published(tmp_path: Path) -> None:
    picture = write(tmp_path / "s" / "humans" / "a.png", FIGURE)
    archive = zipped(tmp_path / "s" / "humans.zip", [("b.png", FIGURE)])
    plain = tarred(tmp_path / "s" / "humans.tar", [("c.png", FIGURE)])
    candidates = collected(tmp_path / "s", cache=tmp_path).candidates
    for path in (picture, archive, plain):
        path.unlink()
    assert len(candidates) == 3
    for candidate in candidates:
        with pytest.raises(SourceError, match=r"cannot be read|damaged") as caught:
            candidate.content.read()
        assert str(tmp_path) not in str(caught.value)


def test_a_layer_that_goes_away_or_changes_later_is_an_error_with_its_name(tmp_path: Path) -> None:
    picture = write(tmp_path / "s" / "humans" / "a.png", FIGURE)
    (candidate,) = collected(tmp_path / "s", cache=tmp_path).candidates
    layer = admit(candidate, CLASSIC)
    assert isinstance(layer, Layer)
    assert layer.read() == FIGURE
    picture.write_bytes(VIEW)
    with pytest.raises(SourceError, match=r"^humans/a\.png: changed while"):
        layer.read()
    picture.unlink()
    with pytest.raises(SourceError, match=r"^humans/a\.png: cannot be read .*run the command"):
        layer.read()


def test_a_signature_changes_with_any_file_and_reads_none(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "s", humans=2, backgrounds=1)
    (folder / "gone.png").symlink_to("nowhere")
    before = signature(folder)
    assert signature(folder) == before
    write(folder / "humans" / "human-00.png", FIGURE + b"more")
    changed = signature(folder)
    (folder / "humans" / "human-01.png").rename(folder / "humans" / "renamed.png")
    assert len({before, changed, signature(folder)}) == 3
    assert signature(tmp_path / "missing") != signature(tmp_path / "other")
