"""Names, addresses and contents that are not what they should be."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from builder.errors import DownloadError
from builder.sources.drive import (
    DEFAULT_FOLDER,
    default_cache_dir,
    folder_url,
)
from builder.sources.drive_cache import Entry
from builder.sources.drive_check import WrongContentError, check_content
from tests.drive_case import (
    LARGE,
    MIB,
    SMALL,
    fetch,
    fetch_failing,
    noise,
)
from tests.drive_server import DriveServer, RemoteFolder


def test_two_files_of_one_name_both_survive(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    drive.add_file(drive_folder, "humans.zip", LARGE)
    first, second = fetch()
    assert first.name == second.name == "humans.zip"
    assert first.path.read_bytes() == SMALL
    assert second.path.read_bytes() == LARGE


def test_hostile_names_never_become_paths(
    drive: DriveServer, drive_folder: RemoteFolder, tmp_path: Path
) -> None:
    names = ["../../../escape.zip", "/etc/escape.zip", "..\\escape.zip", "\x1b[2J\u202egnp.zip"]
    names += ["n" * 5000 + ".zip", "line\nbreak.zip", "-rf.ZIP", "con.zip"]
    for name in names:
        drive.add_file(drive_folder, name, SMALL)
    files = fetch()
    assert len(files) == len(names)
    cache = default_cache_dir()
    assert {path.parent.name for path in cache.rglob("content*")} == set(drive.files)
    assert {path.name for path in cache.rglob("content*")} == {"content.zip"}
    assert {path.name for path in tmp_path.iterdir()} == {"authority.pem", "cache", "home"}
    for file in drive.files.values():
        file.refusal = "private"
    shutil.rmtree(cache / "drive" / "files")
    message = fetch_failing()
    assert message.isprintable()
    assert "n" * 81 not in message


def test_hostile_ids_never_become_paths(tmp_path: Path) -> None:
    from builder.sources.drive_cache import Cache

    for forged in ("\uff41" * 30, "x" * 5000, "../../etc/passwd", "\ud800" * 30):
        folder = Cache(tmp_path).slot(Entry(forged, "a.zip")).folder
        assert folder.parent == tmp_path / "drive" / "files"
        assert folder.name.isalnum()


@pytest.mark.parametrize(
    "folder",
    [
        DEFAULT_FOLDER,
        f"https://drive.google.com/drive/folders/{DEFAULT_FOLDER}?usp=sharing",
        f"https://drive.google.com/drive/u/0/folders/{DEFAULT_FOLDER}/",
        f"drive.google.com/drive/folders/{DEFAULT_FOLDER}",
        f"https://drive.google.com/open?id={DEFAULT_FOLDER}",
        f" https://drive.google.com/embeddedfolderview?id={DEFAULT_FOLDER}#list\n",
    ],
)
def test_folder_addresses(folder: str) -> None:
    assert folder_url(folder) == f"https://drive.google.com/drive/folders/{DEFAULT_FOLDER}"


@pytest.mark.parametrize(
    "folder",
    [
        "",
        "humans",
        "https://[",
        "https://example.com/drive/folders/" + DEFAULT_FOLDER,
        f"https://drive.google.com/file/d/{DEFAULT_FOLDER}/view",
        "https://drive.google.com/drive/folders/../../etc",
        "\x1b[2J",
    ],
)
def test_what_is_no_folder(folder: str) -> None:
    with pytest.raises(DownloadError, match="neither the id nor the address") as caught:
        folder_url(folder)
    assert str(caught.value).isprintable()


def test_default_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HUMAN_SEGMENTATION_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "huggingface" / "human-segmentation"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir() == tmp_path / "xdg" / "huggingface" / "human-segmentation"
    monkeypatch.setenv("HF_HOME", "~/hf")
    assert default_cache_dir() == tmp_path / "hf" / "human-segmentation"
    monkeypatch.setenv("HUMAN_SEGMENTATION_CACHE", "~/own")
    assert default_cache_dir() == tmp_path / "own"


def tar_of(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for number in range(3):
            info = tarfile.TarInfo(f"{number}.png")
            info.size = 20_000
            archive.addfile(info, io.BytesIO(noise(20_000, seed=number)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".tar", "w"),
        (".tar.gz", "w:gz"),
        (".tgz", "w:gz"),
        (".tar.bz2", "w:bz2"),
        (".tar.xz", "w:xz"),
    ],
)
def test_tars_are_read_through(tmp_path: Path, suffix: str, mode: str) -> None:
    whole = tar_of(mode)
    path = tmp_path / f"content{suffix}"
    path.write_bytes(whole)
    check_content(path, suffix)
    middle = 512 + 20_480  # where the second header of an uncompressed one begins
    for damaged in (
        b"garbage",
        whole[: len(whole) // 3],
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(WrongContentError):
            check_content(path, suffix)


def test_members_that_are_refused_later_do_not_spoil_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "content.zip"
    encrypted = bytearray(SMALL)
    encrypted[6] |= 1
    encrypted[SMALL.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(encrypted)
    check_content(path, ".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(20 * MIB))
    check_content(path, ".zip")
