"""Whether a download is what its name says: Drive answers 200 with a web page when it refuses."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from builder.errors import DownloadError
from builder.sources.archives import MAX_CONVERTED_BYTES, MAX_RATIO
from builder.sources.layer import printable
from builder.sources.tar import StrictTarInfo, tar_infos

_CHUNK = 1 << 20
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    struct.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class WrongContentError(DownloadError):
    """What arrived is not the file that was asked for; the message is the reason alone."""


def has_checksums(suffix: str) -> bool:
    """Tell whether damage inside such a file shows, and so whether pieces may be joined.

    gdown joins a `.part` to whatever the server holds now. Where nothing in the file would give
    a changed remote file away, the only safe way is to begin again.
    """
    return suffix in (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def check_content(path: Path, suffix: str) -> None:
    """Read an archive through and compare what checksums it has.

    A picture has none; one that is broken is a layer to be left out, not a folder to be refused.

    Raises:
        WrongContentError: it is a web page, cut, damaged, or of another kind than its suffix.
    """
    if _is_web_page(path):
        raise WrongContentError("a web page arrived in its place")
    try:
        if suffix == ".zip":
            _check_zip(path)
        elif suffix.startswith((".tar", ".tgz")):
            _check_tar(path, suffix)
    except _BROKEN as error:
        reason = printable(str(error).replace(str(path), "it"))[:200]
        raise WrongContentError(f"what arrived is not a whole {suffix} file ({reason})") from error


def _is_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head"))


def _check_zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            # Reading the archive later refuses both kinds, so their bytes never matter.
            encrypted = info.flag_bits & 0x1
            bomb = info.file_size > MAX_RATIO * max(info.compress_size, 1)
            if encrypted or bomb:
                continue
            # An unknown compression, too, only spoils the member that has it.
            with contextlib.suppress(NotImplementedError), archive.open(info) as member:
                while member.read(_CHUNK):
                    pass


def _check_tar(path: Path, suffix: str) -> None:
    with _decompressed(path, suffix) as stream:
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=StrictTarInfo) as archive:
            for info in tar_infos(archive):
                if info.offset_data + info.size > MAX_CONVERTED_BYTES:
                    raise ValueError(f"unpacks to over {MAX_CONVERTED_BYTES // 1024**3} GiB")
        # The checksum of a compressed stream stands behind the last member.
        for _ in range(MAX_CONVERTED_BYTES // _CHUNK):
            if not stream.read(_CHUNK):
                return
        raise ValueError(f"unpacks to over {MAX_CONVERTED_BYTES // 1024**3} GiB")


def _decompressed(path: Path, suffix: str) -> IO[bytes]:
    if suffix in (".tar.gz", ".tgz"):
        return cast(IO[bytes], gzip.open(path))
    if suffix == ".tar.bz2":
        return bz2.open(path)
    if suffix == ".tar.xz":
        return lzma.open(path)
    return path.open("rb")
