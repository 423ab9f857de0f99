"""Fixtures that several test files share."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from builder.sources import drive as drive_module
from tests.drive_server import DriveServer, RemoteFolder
from tests.hub import HubServer
from tests.hub_case import REPO, Client
from tests.publishing import make_desk

# Busy machines miss deadlines; and a test that fails should fail for everyone.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("repeatable")

# What fails on purpose fails for ever: the Xet client, patient by default, need not wait for it.
os.environ["HF_XET_CLIENT_RETRY_MAX_ATTEMPTS"] = "1"
os.environ["HF_XET_CLIENT_RETRY_BASE_DELAY"] = "20ms"

# What runs in the background of a shell ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DriveServer]:
    """A Google Drive on this machine that this process and its children use; nothing else is asked.

    The home folder and the cache are empty folders: `tmp_path/home` and `tmp_path/cache`.
    """
    server = DriveServer(tmp_path / "authority.pem")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in (*OFFLINE_VARIABLES, "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HUMAN_SEGMENTATION_CACHE", str(tmp_path / "cache"))
    # What fails here fails at once or never.
    monkeypatch.setattr(drive_module, "TIMEOUT", (2.0, 0.5))
    monkeypatch.setattr(drive_module, "RETRIES", 1)
    with server.running():
        yield server
    assert server.refused == []
    assert list(home.rglob("*")) == []


@pytest.fixture
def drive_folder(drive: DriveServer) -> RemoteFolder:
    """The default folder on that Drive, still empty."""
    return drive.add_folder(drive_module.DEFAULT_FOLDER)


@pytest.fixture(params=["lfs", "xet"])
def hub(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    """A Hugging Face Hub on this machine that this process and its children use, by each transport.

    What its clients keep is in `tmp_path/hf-home`.
    """
    if "drive" in request.fixturenames:
        # Set after it: its proxy would take what is meant for this server.
        request.getfixturevalue("drive")
    server = HubServer(tmp_path / "hf-home", transport=request.param)
    with server.running():
        server.redirect(monkeypatch)
        yield server
    assert server.errors == []


@pytest.fixture(scope="session")
def first_desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_desk(tmp_path_factory.mktemp("publish"))


@pytest.fixture
def desk(first_desk: Path, tmp_path: Path) -> Path:
    """`layers` and the `folder` built from them, a copy for each test that publishes."""
    shutil.copytree(first_desk, tmp_path / "desk")
    return tmp_path / "desk"


@pytest.fixture
def api(hub: HubServer) -> Client:
    """A client, and an empty repository."""
    client = Client()
    client.create_repo(REPO, repo_type="dataset")
    return client
