"""What the tests of downloads share: archives to serve, and a call that must fail well."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from builder.errors import DownloadError
from builder.sources.drive import (
    DEFAULT_FOLDER,
    DriveFile,
    default_cache_dir,
    fetch_folder,
    folder_url,
)

MIB = 1024**2
CHUNK = 512 * 1024
"""gdown keeps whole chunks of this size of a transfer that was cut."""


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def picture(colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


LARGE = zip_of({"a.png": noise(3 * MIB)})
CHANGED = zip_of({"a.png": noise(3 * MIB, seed=1)})
SMALL = zip_of({"a.png": noise(1000)})


def fetch() -> list[DriveFile]:
    return fetch_folder(DEFAULT_FOLDER, cache_dir=default_cache_dir(), progress=False)


def fetch_failing(kind: type[DownloadError] = DownloadError) -> str:
    """Return the message, after checking what every message has."""
    with pytest.raises(kind) as caught:
        fetch()
    message = str(caught.value)
    assert folder_url(DEFAULT_FOLDER) in message
    assert "--source FOLDER" in message
    assert "same command again" in message
    for secret in ("a-one-time-token", "confirm=", "127.0.0.1"):
        assert secret not in message
    return message


def parts() -> list[Path]:
    return sorted(default_cache_dir().rglob("*.part"))
