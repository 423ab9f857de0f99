"""Archives for tests, well made and hostile."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

Members = Sequence[tuple[str, bytes]]

_CENTRAL = b"PK\x01\x02"
_LOCAL = b"PK\x03\x04"


def zipped(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip; a name may occur twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members:
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: Members) -> Path:
    """Write a tar, compressed as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.name.split(".tar")[-1].lstrip(".")
    with tarfile.open(path, f"w:{suffix}") as archive:  # type: ignore[call-overload]
        for name, data in members:
            archive.addfile(tar_header(name, len(data)), io.BytesIO(data))
    return path


def tar_header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """Return a tar header as one writes it."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.type = kind
    return info


def raw_tar(path: Path, *blocks: bytes) -> Path:
    """Write a tar from its headers and contents, padded to whole blocks, and its end."""
    padded = (block + bytes(-len(block) % 512) for block in blocks)
    path.write_bytes(b"".join(padded) + bytes(1024))
    return path


def patch_zip(path: Path, *, offset: int, value: bytes, local: int | None = None) -> Path:
    """Overwrite a field of each central header, and of each local one where it has the field."""
    data = bytearray(path.read_bytes())
    for signature, start in ((_CENTRAL, offset), (_LOCAL, local)):
        found = data.find(signature)
        while start is not None and found >= 0:
            data[found + start : found + start + len(value)] = value
            found = data.find(signature, found + 1)
    path.write_bytes(data)
    return path


def encrypted(path: Path) -> Path:
    """Mark all members of a zip as encrypted."""
    return patch_zip(path, offset=8, value=b"\x01\x00", local=6)


def announcing(path: Path, size: int) -> Path:
    """Make each member of a zip announce this many bytes."""
    return patch_zip(path, offset=24, value=size.to_bytes(4, "little"), local=22)
