"""What goes wrong between gdown, the network and Google Drive, and what is said about it."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import gdown
import pytest
import requests

from builder.errors import DownloadError
from builder.sources.drive import (
    DEFAULT_FOLDER,
    default_cache_dir,
    folder_url,
)
from builder.sources.drive_faults import explain_file
from tests.building import start
from tests.drive_case import (
    CHUNK,
    LARGE,
    MIB,
    SMALL,
    fetch,
    fetch_failing,
    picture,
)
from tests.drive_server import DriveServer, RemoteFolder


def http_response(status: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    return response


def test_quota(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    drive.add_file(drive_folder, "backgrounds.zip", SMALL).refusal = "quota"
    drive.add_file(drive_folder, "more.zip", SMALL)
    message = fetch_failing()
    assert message.startswith("backgrounds.zip: Google refuses it for now")
    assert "24 hours" in message
    assert "backgrounds.zip, more.zip." in message


@pytest.mark.parametrize("refusal", ["private", 404, 503, 429])
def test_file_without_a_public_link(
    drive: DriveServer, drive_folder: RemoteFolder, refusal: int
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL).refusal = refusal
    message = fetch_failing()
    assert message.startswith("humans.zip: Google gives no public link")
    assert "not shared with everyone" in message


def test_answer_without_content_type(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", SMALL)
    remote.content_type = None
    assert "Content-Type" in fetch_failing()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (requests.HTTPError(response=http_response(503)), "the server answered with HTTP 503"),
        (gdown.DownloadError("Response exceeds the announced byte range"), "not send the rest"),
        (gdown.FileURLRetrievalError("url:\n\tToo many\n\tusers have\n\nYou"), "24 hours"),
        (gdown.FileURLRetrievalError("file url: Gone\x1b You may still"), 'saying "Gone\\x1b"'),
        (requests.ConnectTimeout("http://user:password@proxy"), "no network"),
        (requests.ConnectionError("reset by http://user:password@proxy"), "cut"),
        (ValueError("http://user:password@proxy"), "not of Google Drive's form (ValueError)"),
    ],
)
def test_words_for_rare_errors(error: Exception, said: str) -> None:
    assert said in explain_file(error)
    assert "password" not in explain_file(error)


def test_stall(drive: DriveServer, drive_folder: RemoteFolder) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.stall_after = CHUNK
    assert "stalled" in fetch_failing()
    remote.stall_after = None
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE


@pytest.mark.parametrize("after", [0, 100_000, CHUNK, 2 * MIB])
def test_a_reset_in_the_middle_costs_nothing_that_arrived(
    drive: DriveServer, drive_folder: RemoteFolder, after: int
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.cuts, remote.resets = [after, after], True
    try:
        (file,) = fetch()
    except DownloadError as error:
        assert "Run the same command again" in str(error)
        (file,) = fetch()
    assert file.path.read_bytes() == LARGE


@pytest.mark.parametrize("announced", [-1000, 1000])
def test_a_wrong_length_is_never_taken_for_the_file(
    drive: DriveServer, drive_folder: RemoteFolder, announced: int
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.announced = announced
    fetch_failing()
    assert not [path for path in default_cache_dir().rglob("content*") if "part" not in path.name]
    remote.announced = 0
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE


@pytest.mark.parametrize("after", [10_000, CHUNK + 5, 2 * MIB])
def test_a_killed_download_goes_on_with_what_it_has(
    drive: DriveServer, drive_folder: RemoteFolder, tmp_path: Path, after: int
) -> None:
    remote = drive.add_file(drive_folder, "humans.zip", LARGE)
    remote.stall_after = after
    process = start("download")
    deadline = time.monotonic() + 60
    while not any(request.sent >= after for request in drive.transfers):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not [path for path in default_cache_dir().rglob("content*") if "part" not in path.name]
    remote.stall_after = None
    before = len(drive.transfers)
    (file,) = fetch()
    assert file.path.read_bytes() == LARGE
    # gdown first asks for the whole, and hangs up when the headers are there.
    resumed = [request for request in drive.transfers[before:] if request.range]
    assert bool(resumed) == (after >= CHUNK)
    assert sum(request.sent for request in resumed) <= len(LARGE) - after // CHUNK * CHUNK


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"garbage", "not a whole .zip file"),
        (LARGE[: 2 * MIB], "not a whole .zip file"),
        (LARGE[:MIB] + b"!" + LARGE[MIB + 1 :], "not a whole .zip file"),
    ],
)
def test_wrong_bytes_are_refused(
    drive: DriveServer, drive_folder: RemoteFolder, data: bytes, reason: str
) -> None:
    drive.add_file(drive_folder, "humans.zip", data)
    message = fetch_failing()
    assert message.startswith("humans.zip: ")
    assert reason in message
    assert len(drive.transfers) == 2
    assert {path.name for path in default_cache_dir().rglob("files/*/*")} <= {"lock"}


def test_broken_picture_does_not_hold_up_the_folder(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "a.png", b"garbage")
    drive.add_file(drive_folder, "b.png", picture())
    assert [file.path.read_bytes() for file in fetch()] == [b"garbage", picture()]


def test_wrong_bytes_once_are_fetched_afresh(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL).bodies = [b"garbage"]
    (file,) = fetch()
    assert file.path.read_bytes() == SMALL


def test_no_network_by_proxy_and_by_name(
    drive: DriveServer, drive_folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.stop()
    assert "no network: the proxy in HTTPS_PROXY" in fetch_failing()

    def no_names(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    assert "no network: Google Drive cannot be reached" in fetch_failing()


def test_certificate_of_a_stranger(
    drive: DriveServer, drive_folder: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    assert "certificate" in fetch_failing()


def test_complete_cache_serves_while_drive_is_out_of_reach(
    drive: DriveServer, drive_folder: RemoteFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    files = fetch()
    drive_folder.status = 503
    assert fetch() == files
    drive.stop()
    assert fetch() == files
    assert "Using the complete copy" in capsys.readouterr().err


def test_withdrawn_folder_is_an_error_in_spite_of_a_complete_cache(
    drive: DriveServer, drive_folder: RemoteFolder
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    fetch()
    drive_folder.status = 404
    assert "no such folder" in fetch_failing()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "true"), ("TRANSFORMERS_OFFLINE", "Yes")],
)
def test_offline_mode(
    drive: DriveServer,
    drive_folder: RemoteFolder,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
) -> None:
    drive.add_file(drive_folder, "humans.zip", SMALL)
    remote = drive.add_file(drive_folder, "backgrounds.zip", SMALL)
    monkeypatch.setenv(variable, value)
    assert "not known yet" in fetch_failing()
    assert drive.requests == []

    monkeypatch.setenv(variable, "0")
    remote.refusal = "quota"
    fetch_failing()
    drive.requests.clear()
    monkeypatch.setenv(variable, value)
    message = fetch_failing()
    assert f"offline mode is on ({variable}={value})" in message
    assert f"{folder_url(DEFAULT_FOLDER)}: backgrounds.zip." in message
    assert drive.requests == []

    monkeypatch.setenv(variable, "off")
    remote.refusal = None
    files = fetch()
    drive.requests.clear()
    monkeypatch.setenv(variable, value)
    assert fetch() == files
    assert drive.requests == []
