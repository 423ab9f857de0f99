"""Tar members, read with a distrust that the standard library lacks."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

MAX_HEADER_BYTES = 1024**2

# What `tarfile` reads into memory on its own: long names and extended headers.
_EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class StrictTarInfo(tarfile.TarInfo):
    """A header; `tarfile` on its own takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> StrictTarInfo:
        """Parse a header block; raises `tarfile.ReadError` for a damaged or enormous one."""
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # Nothing, or nothing but zeros, is how an archive does end.
            if any(buf):
                raise tarfile.ReadError(str(error)) from error
            raise
        if info.size < 0 or (info.type in _EXTENSIONS and info.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header announces {info.size:,} bytes")
        return info


def tar_infos(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members but directories, sure to come to an end.

    Args:
        archive: opened with `tarinfo=StrictTarInfo`.

    Raises:
        tarfile.TarError: a header is damaged, or members overlap.
    """
    last = -1
    for info in archive:
        # An extended header may give a size that leads back to an earlier member.
        if info.size < 0 or info.offset <= last:
            raise tarfile.ReadError("its members overlap")
        last = info.offset
        if not info.isdir():
            yield info
