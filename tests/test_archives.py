"""Hostile and damaged archives: read as data, or left out with a reason, and never unpacked."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import SourceError
from builder.sources import archives
from builder.sources.files import Found, find_pictures
from builder.sources.layer import Candidate
from tests.kit import png, portrait, scenery
from tests.packing import announcing, encrypted, patch_zip, raw_tar, tar_header, tarred, zipped

FIGURE = png(portrait(0))
VIEW = png(scenery(0))
PAIR = [("humans/a.png", FIGURE), ("backgrounds/v.png", VIEW)]


def opened(path: Path) -> Found:
    return find_pictures(path, path.parent / "cache")


def reason(candidate: Candidate) -> str:
    with pytest.raises(SourceError) as caught:
        candidate.content.read()
    assert str(caught.value).isprintable()
    return str(caught.value)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


SLIPS = ["../humans/a.png", "/humans/b.png", "C:\\humans\\c.png", "humans/../../d.png"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_names_are_never_used_as_paths(tmp_path: Path, suffix: str) -> None:
    box = tmp_path / "deep" / "box"
    pack = zipped if suffix == ".zip" else tarred
    path = pack(box / f"all{suffix}", [(name, FIGURE) for name in SLIPS])
    found = opened(path)
    assert [candidate.role for candidate in found.candidates] == ["human"] * 4
    assert all(candidate.content.read() == FIGURE for candidate in found.candidates)
    left = {name for name in everything(tmp_path) if "cache" not in name}
    assert left == {"deep", "deep/box", f"deep/box/all{suffix}"}
    assert not any(name.endswith(".png") for name in everything(tmp_path))


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize(
    "name", ["\u202egnp.png", "a'\"<b>.png", "a\nb.png", "\x1b[2J.png", "ä" * 120 + ".png"]
)
def test_hostile_names_are_shown_on_one_escaped_line(
    tmp_path: Path, suffix: str, name: str
) -> None:
    pack = zipped if suffix == ".zip" else tarred
    (candidate,) = opened(pack(tmp_path / f"humans{suffix}", [(name, FIGURE)])).candidates
    assert candidate.name.isprintable()
    assert candidate.content.read() == FIGURE


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_names_in_no_encoding_and_endless_ones_are_data_too(tmp_path: Path, suffix: str) -> None:
    names = [os.fsdecode(b"\xff\xfe.png"), "𝄞" * 30_000 + ".png"]
    path = tarred(tmp_path / f"humans{suffix}", [(name, FIGURE) for name in names])
    candidates = opened(path).candidates
    assert candidates[0].name == f"humans{suffix}/\\udcff\\udcfe.png"
    assert all(candidate.content.read() == FIGURE for candidate in candidates)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
@pytest.mark.filterwarnings("error")
def test_members_of_one_name_are_each_read(tmp_path: Path, suffix: str) -> None:
    members = [("humans/a.png", FIGURE), ("humans/a.png", VIEW)]
    pack = zipped if suffix == ".zip" else tarred
    first, second = opened(pack(tmp_path / f"all{suffix}", members)).candidates
    assert (first.content.read(), second.content.read()) == (FIGURE, VIEW)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_links_and_devices_in_a_tar_are_left_out_with_a_reason(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"humans{suffix}"
    with tarfile.open(path, f"w:{suffix[5:]}") as archive:  # type: ignore[call-overload]
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tar_header("a.png", kind=kind)
            info.linkname = "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tar_header("folder.png", kind=tarfile.DIRTYPE))
    found = opened(path)
    assert [reason(candidate) for candidate in found.candidates] == [
        "a link or a device in the archive"
    ] * 4


def test_links_in_a_zip_are_left_out_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "humans.zip"
    link = zipfile.ZipInfo("a.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder.png/", "")
    (candidate,) = opened(path).candidates
    assert reason(candidate) == "a link or a device in the archive"


def test_encrypted_members_are_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    locked = encrypted(zipped(tmp_path / "s" / "humans.zip", [("a.png", FIGURE)]))
    zipped(tmp_path / "s" / "backgrounds.zip", [("v.png", VIEW)])
    view, human = opened(locked.parent).candidates
    assert reason(human) == "encrypted in the archive"
    assert view.content.read() == VIEW


@pytest.mark.parametrize("size", [1, len(FIGURE) - 1, len(FIGURE) + 1, 10_000_000])
def test_a_member_that_lies_about_its_size_is_left_out(tmp_path: Path, size: int) -> None:
    path = announcing(zipped(tmp_path / "humans.zip", [("a.png", FIGURE)], zipfile.ZIP_LZMA), size)
    (candidate,) = opened(path).candidates
    assert "announced" in reason(candidate) or "damaged" in reason(candidate)


def test_bombs_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(8_000_000)
    bomb = zipped(tmp_path / "humans.zip", [("a.png", zeros)], zipfile.ZIP_LZMA)
    assert "as only a bomb" in reason(opened(bomb).candidates[0])
    monkeypatch.setattr(archives, "MAX_PICTURE_BYTES", 1000)
    monkeypatch.setattr(archives, "MAX_RATIO", 1e9)
    for large in (bomb, tarred(tmp_path / "humans.tar", [("a.png", zeros)])):
        assert reason(opened(large).candidates[0]).startswith("over ")
    packed = tarred(tmp_path / "humans.tar.xz", [("a.png", zeros), ("b.png", b"small")])
    large_one, small = opened(packed).candidates
    assert reason(large_one).startswith("over ")
    assert small.content.read() == b"small"


def test_a_compressed_tar_that_is_a_bomb_fills_no_disk(tmp_path: Path) -> None:
    members = [(f"{index}.png", bytes(4_000_000)) for index in range(4)]
    with pytest.raises(SourceError, match=r"humans\.tar\.xz.*as only a bomb does"):
        opened(tarred(tmp_path / "humans.tar.xz", members))
    assert not [name for name in everything(tmp_path) if name.endswith((".partial", "zip"))]


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 3)
    members = [(f"{index}.png", FIGURE) for index in range(5)]
    for path in (zipped(tmp_path / "humans.zip", members), tarred(tmp_path / "h.tar", members)):
        with pytest.raises(SourceError, match=r"holds over 3 members; split"):
            opened(path)


def test_a_tar_that_leads_back_into_itself_comes_to_an_end(tmp_path: Path) -> None:
    info = tar_header("a.png")
    # Three blocks of headers, and a size that leads back over them.
    info.pax_headers = {"size": "-1536"}
    header = info.tobuf(tarfile.PAX_FORMAT)
    with pytest.raises(SourceError, match=r"members overlap"):
        opened(raw_tar(tmp_path / "humans.tar", header))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_header_cannot_fill_the_memory(tmp_path: Path, kind: bytes) -> None:
    header = tar_header("a.png", 8 * 1024**3 - 1, kind).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(SourceError, match=r"a header announces 8,589,934,591 bytes"):
        opened(raw_tar(tmp_path / "humans.tar", header))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(
    tmp_path: Path, suffix: str
) -> None:
    plain = tarred(tmp_path / "humans.tar", [(f"{index}.png", FIGURE) for index in range(3)])
    data = bytearray(plain.read_bytes())
    block = 512 + len(FIGURE) + -len(FIGURE) % 512
    data[block + 3] ^= 1
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(data if suffix == ".tar" else gzip.compress(bytes(data)))
    with pytest.raises(SourceError, match=r"damaged\.tar.*is not a readable archive"):
        opened(path)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_an_archive_that_ends_early_is_an_error_with_its_name(
    tmp_path: Path, suffix: str, share: float
) -> None:
    pack = zipped if suffix == ".zip" else tarred
    path = pack(tmp_path / f"all{suffix}", PAIR)
    data = path.read_bytes()
    # A tar ends in zeros that nobody misses.
    end = len(FIGURE) + len(VIEW) if suffix == ".tar" else len(data)
    path.write_bytes(data[: int(end * share)])
    with pytest.raises(SourceError, match=rf"all{suffix}: is not a readable archive .*Fetch"):
        opened(path)
    assert not [name for name in everything(tmp_path) if name.endswith(".partial")]


def _damaged(data: bytes, draw: st.DataObject) -> bytes:
    changed = bytearray(data)
    places = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    for place, value in draw.draw(st.lists(places, min_size=1, max_size=6)):
        changed[place] = value
    return bytes(changed)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    packing=st.sampled_from(["stored.zip", "lzma.zip", "bz2.zip", "a.tar", "a.tar.gz", "a.tar.xz"]),
    draw=st.data(),
)
def test_damaged_archives_are_read_or_refused_and_nothing_else(
    tmp_path: Path, packing: str, draw: st.DataObject
) -> None:
    small = [("humans/a.png", b"12345"), ("backgrounds/b.png", b"678")]
    methods = {"lzma.zip": zipfile.ZIP_LZMA, "bz2.zip": zipfile.ZIP_BZIP2}
    path = tmp_path / packing
    if packing.endswith(".zip"):
        zipped(path, small, methods.get(packing, zipfile.ZIP_STORED))
    else:
        tarred(path, small)
    path.write_bytes(_damaged(path.read_bytes(), draw))
    try:
        candidates = opened(path).candidates
    except SourceError as error:
        assert str(error).startswith(str(path))
        return
    for candidate in candidates:
        try:
            candidate.content.read()
        except SourceError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz"])
def test_damaged_lzma_data_is_an_error_of_ours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"humans{suffix}"
    noise = [("a.png", random.Random(0).randbytes(100_000))]
    if suffix == ".zip":
        zipped(path, noise, zipfile.ZIP_LZMA)
    else:
        tarred(path, noise)
    data = bytearray(path.read_bytes())
    data[2000:3000] = bytes(1000)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged in the archive|is not a readable archive"):
        opened(path).candidates[0].content.read()


def test_an_unknown_compression_leaves_the_member_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "humans.zip", [("a.png", FIGURE)])
    patch_zip(path, offset=10, value=b"\x63\x00", local=8)
    assert "compression" in reason(opened(path).candidates[0])


def test_a_zip_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = zipped(tmp_path / "humans.zip", [("a.png", FIGURE)])
    (before,) = opened(path).candidates
    assert before.content.read() == FIGURE
    other = zipped(tmp_path / "other.zip", [("new.png", VIEW), ("a.png", VIEW)])
    other.replace(path)
    assert [candidate.content.read() for candidate in opened(path).candidates] == [VIEW, VIEW]
    assert reason(before) == "the archive was replaced by another"
    zipped(path, [])
    assert reason(before).startswith("damaged in the archive")


def test_a_compressed_tar_is_converted_once_and_to_the_same_bytes(tmp_path: Path) -> None:
    path = tarred(tmp_path / "all.tar.gz", [*PAIR, ("notes.txt", b"text" * 1000)])
    converted = []
    for cache in (tmp_path / "one", tmp_path / "two"):
        find_pictures(path, cache)
        (zip_path,) = (cache / "converted").glob("*.zip")
        converted.append(zip_path.read_bytes())
        before = zip_path.stat().st_mtime_ns
        find_pictures(path, cache)
        assert zip_path.stat().st_mtime_ns == before
    assert converted[0] == converted[1]
    assert b"texttext" not in converted[0]


def test_members_are_read_from_other_processes(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    zipped(folder / "one.zip", PAIR)
    tarred(folder / "two.tar", PAIR)
    tarred(folder / "three.tar.gz", PAIR)
    contents = [candidate.content for candidate in opened(folder).candidates]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert sorted(pool.map(_read, contents)) == sorted([FIGURE, VIEW] * 3)


def _read(content: archives.Content) -> bytes:
    return content.read()
