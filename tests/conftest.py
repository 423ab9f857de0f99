"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from builder.sources import drive as drive_module
from tests.drive_server import DriveServer, RemoteFolder

# Busy machines miss deadlines; and a test that fails should fail for everyone.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("repeatable")

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
