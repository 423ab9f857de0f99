"""Downloads from Google Drive: the real gdown, over sockets, against a Drive on this machine."""

from __future__ import annotations

import errno
import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.errors import DownloadError
from builder.sources import drive as drive_module
from builder.sources.drive import (
    DEFAULT_FOLDER,
    DiskFullError,
    default_cache_dir,
    fetch_folder,
)
from tests.drive_case import (
    CHANGED,
    CHUNK,
    LARGE,
    MIB,
    SMALL,
    fetch,
    fetch_failing,
    noise,
    parts,
    picture,
)
from tests.drive_server import DriveServer, RemoteFile, RemoteFolder


def test_more_than_fifty_files_and_subfolders_arrive(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    humans = drive.add_subfolder(drive_folder, "humans")
    for number in range(60):
        drive.add_file(humans, f"{number}.png", picture(number))
    drive.add_file(drive.add_subfolder(humans, "more"), "backgrounds.zip", SMALL)
    drive.add_file(drive_folder, "notes.txt", b"not wanted")
    files = fetch()
    assert [file.name for file in files] == [
        *(f"humans/{number}.png" for number in range(60)),
        "humans/more/backgrounds.zip",
    ]
    assert [file.path.read_bytes() for file in files[:60]] == [picture(n) for n in range(60)]
    assert files[-1].path.read_bytes() == SMALL
    assert files[-1].size == len(SMALL)
    assert len(drive.transfers) == 61


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "not shared with everyone"), (404, "no such folder"), (429, "too many requests")],
)
def test_folder_that_answers_with_an_error(
    drive_folder: RemoteFolder, status: int, reason: str
) -> None:
    drive_folder.status = status
    message = fetch_failing()
    assert reason in message
    assert str(status) in message


@pytest.mark.parametrize("sign_in", [True, False])
def test_sign_in_page_and_empty_folder_are_errors(
    drive_folder: RemoteFolder, sign_in: bool
) -> None:
    drive_folder.sign_in = sign_in
    assert "lists no file" in fetch_failing()


def test_folder_with_nothing_of_use_names_what_it_has(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "notes.txt", b"hello")
    assert "only notes.txt" in fetch_failing()


def test_folder_inside_itself(drive_folder: RemoteFolder) -> None:
    drive_folder.entries.append(drive_folder)
    limit = sys.getrecursionlimit()
    # Deep enough for one listing, and soon over.
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        message = fetch_failing()
    finally:
        sys.setrecursionlimit(limit)
    assert "contains itself" in message


def test_confirm_page_of_a_big_file(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    drive.add_file(drive_folder, "humans.zip", LARGE).confirm = True
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert [request.path for request in drive.transfers] == ["/uc", "/download"]


def test_second_run_fetches_nothing(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    first = fetch()
    asked = len(drive.transfers)
    assert fetch() == first
    assert len(drive.transfers) == asked == 1


def test_record_holds_name_size_and_hash(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    (file,) = fetch()
    assert json.loads((file.path.parent / "record.json").read_text()) == {
        "id": file.path.parent.name,
        "name": "humans.zip",
        "size": len(SMALL),
        "sha256": hashlib.sha256(SMALL).hexdigest(),
    }


def test_file_that_lost_its_size_is_fetched_again(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    (file,) = fetch()
    file.path.write_bytes(SMALL[:-1])
    (again,) = fetch()
    assert again.path.read_bytes() == SMALL
    assert len(drive.transfers) == 2


@pytest.mark.parametrize("record", [b"", b"[]", b"null", b'{"size": "big"}'])
def test_spoilt_record_means_incomplete(
    drive: DriveServer, drive_folder: RemoteFolder, record: bytes
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    (file,) = fetch()
    (file.path.parent / "record.json").write_bytes(record)
    assert fetch() == [file]
    assert len(drive.transfers) == 2


def test_stopped_before_the_record_verifies_instead_of_fetching(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    (file,) = fetch()
    (file.path.parent / "record.json").unlink()
    assert fetch() == [file]
    assert len(drive.transfers) == 1
    (file.path.parent / "record.json").unlink()
    file.path.write_bytes(b"garbage")
    (again,) = fetch()
    assert again.path.read_bytes() == SMALL
    assert len(drive.transfers) == 2


def test_cut_transfer_goes_on_within_one_call(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.cuts = [2 * CHUNK + 1000]
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    first, second = drive.transfers
    assert second.range == f"bytes={2 * CHUNK}-"
    assert (first.sent, second.sent) == (2 * CHUNK + 1000, len(LARGE) - 2 * CHUNK)


def test_interrupted_download_goes_on_in_the_next_call(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.cuts, remote.always = [2 * CHUNK + 1000], True
    message = fetch_failing()
    assert "cut" in message
    assert f"{4 * CHUNK:,} bytes of it are kept" in message
    assert [part.stat().st_size for part in parts()] == [4 * CHUNK]
    remote.cuts = []
    drive.requests.clear()
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert parts() == []
    # gdown first asks for the whole, and hangs up when the headers are there.
    probe, resumed = drive.transfers
    assert resumed.range == f"bytes={4 * CHUNK}-"
    assert resumed.sent == len(LARGE) - 4 * CHUNK
    assert probe.sent < MIB


def test_ctrl_c_keeps_what_arrived(
    drive: DriveServer, drive_folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add_file(drive_folder, "humans.zip", LARGE)

    def interrupt(path: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "disk_usage", interrupt)
        fetch()
    assert [part.stat().st_size for part in parts()] == [CHUNK]
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert drive.transfers[-1].range == f"bytes={CHUNK}-"


def interrupt_midway(drive: DriveServer, remote: RemoteFile) -> None:
    remote.cuts, remote.always = [2 * CHUNK], True
    fetch_failing()
    assert parts()
    remote.cuts = []
    drive.requests.clear()


def test_file_changed_between_two_calls_is_not_spliced(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    remote.data = CHANGED
    (file,) = fetch()
    assert file.path.read_bytes() == CHANGED
    assert [request.range is None for request in drive.transfers] == [True, False, True]


def test_picture_changed_between_two_calls_is_not_spliced(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "a.png", picture(1) + noise(3 * MIB))
    interrupt_midway(drive, remote)
    remote.data = picture(2) + noise(3 * MIB, seed=2)
    (file,) = fetch()
    assert file.path.read_bytes() == remote.data


def test_server_that_ignores_ranges(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    remote.ranges = False
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE


def test_part_that_is_complete_already(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    parts()[0].write_bytes(LARGE)
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert 416 in [request.status for request in drive.transfers]


def test_two_parts(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    parts()[0].with_name("unverified.zipabcdefgh.part").write_bytes(b"other")
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert parts() == []


def test_part_is_not_given_up_for_one_refused_range(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    remote.refused_ranges = 1
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert [request.status for request in drive.transfers] == [200, 503, 200, 206]


def test_overload_in_the_middle_does_not_cost_what_arrived(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    interrupt_midway(drive, remote)
    remote.refusal = 503
    fetch_failing()
    assert [part.stat().st_size for part in parts()] == [4 * CHUNK]


def test_disk_that_would_fill_up(
    drive: DriveServer, drive_folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add_file(drive_folder, "humans.zip", LARGE)
    usage = shutil.disk_usage(default_cache_dir().parent)._replace(
        free=drive_module.RESERVE_BYTES + MIB
    )
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        message = fetch_failing(DiskFullError)
    assert "HUMAN_SEGMENTATION_CACHE" in message
    assert [part.stat().st_size for part in parts()] == [CHUNK]
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    assert drive.transfers[-1].range == f"bytes={CHUNK}-"


def test_disk_that_is_full(
    drive: DriveServer, drive_folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)

    def full(path: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "disk_usage", full)
    assert "the disk is full" in fetch_failing(DiskFullError)


def test_cache_that_cannot_be_written(
    drive: DriveServer, drive_folder: RemoteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("HUMAN_SEGMENTATION_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(DownloadError, match="cannot be used as a cache"):
        fetch()


def fetch_in_a_process(folder: Path) -> subprocess.Popen[bytes]:
    script = (
        "from builder.sources.drive import *\n"
        "fetch_folder(DEFAULT_FOLDER, cache_dir=default_cache_dir())"
    )
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )


def test_nothing_is_written_outside_the_cache(
    drive: DriveServer, drive_folder: RemoteFolder, tmp_path: Path
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL).confirm = True
    # gdown looks up the home folder when it is imported, so this takes a process of its own.
    process = fetch_in_a_process(tmp_path / "home")
    errors = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 0, errors
    assert list((tmp_path / "home").rglob("*")) == []
    assert {path.name for path in tmp_path.iterdir()} == {"authority.pem", "cache", "home"}


def test_threads_and_processes_at_once_fetch_once(
    drive: DriveServer, drive_folder: RemoteFolder, tmp_path: Path
) -> None:
    drive.add_file(drive_folder, "humans.zip", LARGE)
    processes = [fetch_in_a_process(tmp_path) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(fetch) for _ in range(4)]]
    errors = [process.communicate(timeout=30)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert all(result == results[0] for result in results)
    assert results[0][0].path.read_bytes() == LARGE
    assert len(drive.transfers) == 1


def test_progress_shows_bytes_and_position(
    drive: DriveServer, drive_folder: RemoteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    drive.add_file(drive_folder, "backgrounds.zip", LARGE)
    fetch_folder(DEFAULT_FOLDER, cache_dir=default_cache_dir())
    err = capsys.readouterr().err
    assert "2/2 backgrounds.zip" in err
    assert "3.15M/3.15M" in err
    assert "B/s" in err
