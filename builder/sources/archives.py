"""Pictures in zip and tar archives, read in place; nothing is ever extracted.

A zip and a plain tar have random access. A compressed tar has none, so it is converted once to an
uncompressed zip in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import os
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from filelock import FileLock
from tqdm import tqdm

from builder.errors import SourceError
from builder.places import Place, open_place, reaching, storage_faults
from builder.sources.layer import MAX_PICTURE_BYTES, Content, printable
from builder.sources.roles import is_picture
from builder.sources.tar import StrictTarInfo, tar_infos

# Caps against archives made to exhaust memory, disk or time.
MAX_MEMBERS = 2_000_000
MAX_RATIO = 1_000
MAX_CONVERTED_BYTES = 512 * 1024**3

# What the readers were seen to raise on damaged archives, or are able to.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
)

_LINK = "a link or a device in the archive"
_TOO_LARGE = f"over {MAX_PICTURE_BYTES // 1024**2} MiB in the archive"
# Marks a member of a converted archive as one without bytes; the reason follows.
_REFUSED = b"human-segmentation: "


@dataclass(frozen=True)
class ZipMember:
    """A picture in a zip; `member` is its raw name, `position` tells members of one name apart."""

    archive: Place
    member: str
    position: int

    def read(self) -> bytes:
        """Return the member's bytes; raises `SourceError` where it is damaged or encrypted."""
        try:
            opened = _open_zip(self.archive, os.getpid(), _state_of(self.archive))
            info = opened.infolist()[self.position]
            if info.filename != self.member:
                raise SourceError("the archive was replaced by another")
            with opened.open(info) as stream:
                return _read_capped(stream, info.file_size)
        except _broken() as error:
            raise SourceError(f"damaged in the archive: {_said(error)}") from error


@dataclass(frozen=True)
class TarMember:
    """A picture in an uncompressed tar: `size` bytes from `offset` on."""

    archive: Place
    offset: int
    size: int

    def read(self) -> bytes:
        """Return the member's bytes; raises `SourceError` where the archive ends early."""
        try:
            with open_place(self.archive) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except storage_faults() as error:
            raise SourceError(f"its archive cannot be read: {_said(error)}") from error
        if len(data) != self.size:
            raise SourceError("truncated in the archive")
        return data


@dataclass(frozen=True)
class Unreadable:
    """A member that cannot be read, with the reason, which reading it raises."""

    reason: str

    def read(self) -> bytes:
        """Raise `SourceError` with the reason."""
        raise SourceError(self.reason)


def archive_members(path: Place, cache_dir: Path) -> Iterator[tuple[str, Content | None]]:
    """Yield (name, content) of the regular members, in the archive's order.

    `content` is None for a member that is not a picture by its name. Directories are skipped.
    Links and devices have a content that only tells why it is none. Names are data only and are
    never used as paths.

    Raises:
        SourceError: not an archive, damaged, or over one of the caps above.
        StorageError: a URL cannot be reached.
    """
    with reaching(path) if not isinstance(path, Path) else nullcontext():
        yield from _members(path, cache_dir)


def _members(path: Place, cache_dir: Path) -> Iterator[tuple[str, Content | None]]:
    try:
        if path.suffix.lower() == ".zip":
            yield from _zip_members(path)
        elif path.suffix.lower() == ".tar":
            yield from _tar_members(path)
        elif isinstance(path, Path):
            yield from _zip_members(_converted(path, cache_dir))
        else:
            raise SourceError(
                f"{path}: a compressed tar cannot be read in place. "
                "Make it a zip or a plain tar, or fetch it and give its path."
            )
    except _BROKEN as error:
        raise SourceError(
            f"{printable(str(path))}: is not a readable archive ({_said(error)}). "
            "Fetch or make it again, or take it out of the source."
        ) from error


def _zip_members(path: Place) -> Iterator[tuple[str, Content | None]]:
    with open_place(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    _check_count(path, len(members))
    for position, info in enumerate(members):
        if not info.is_dir():
            picture = is_picture(info.filename)
            yield info.filename, _zip_content(path, info, position) if picture else None


def _zip_content(path: Place, info: zipfile.ZipInfo, position: int) -> Content:
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return Unreadable(_LINK)
    if info.comment.startswith(_REFUSED):
        return Unreadable(printable(info.comment[len(_REFUSED) :].decode("ascii", "replace")))
    if info.flag_bits & 0x1:
        return Unreadable("encrypted in the archive")
    if info.file_size > MAX_PICTURE_BYTES:
        return Unreadable(_TOO_LARGE)
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        return Unreadable(f"compressed over {MAX_RATIO:,} times, as only a bomb is")
    return ZipMember(path, info.filename, position)


def _tar_members(path: Place) -> Iterator[tuple[str, Content | None]]:
    with (
        open_place(path) as file,
        tarfile.open(fileobj=file, mode="r:", tarinfo=StrictTarInfo) as archive,
    ):
        for count, info in enumerate(tar_infos(archive)):
            _check_count(path, count)
            reason = _tar_refusal(info)
            content = Unreadable(reason) if reason else TarMember(path, info.offset_data, info.size)
            yield info.name, content if is_picture(info.name) else None


def _tar_refusal(info: tarfile.TarInfo) -> str | None:
    if not info.isreg():
        return _LINK
    if info.issparse():
        return "a file with holes in the archive"
    return _TOO_LARGE if info.size > MAX_PICTURE_BYTES else None


def _converted(path: Path, cache_dir: Path) -> Path:
    """Return the stored zip with the pictures of a compressed tar, made if it is not there yet."""
    status = path.stat()
    key = f"{path.resolve()}/{status.st_size}/{status.st_mtime_ns}"
    folder = cache_dir / "converted"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.zip"
    with FileLock(target.with_suffix(".lock")):
        if not target.exists():
            partial = target.with_suffix(".partial")
            try:
                _convert(path, partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    return target


def _convert(path: Path, target: Path) -> None:
    most = min(MAX_CONVERTED_BYTES, MAX_RATIO * path.stat().st_size)
    with (
        path.open("rb") as file,
        tqdm.wrapattr(
            file, "read", path.stat().st_size, desc=f"Reading {printable(path.name)}", delay=2
        ) as watched,
        tarfile.open(fileobj=cast(IO[bytes], watched), mode="r:*", tarinfo=StrictTarInfo) as source,
        zipfile.ZipFile(target, "w") as stored,
        warnings.catch_warnings(),
    ):
        # Two members may well have one name; their positions tell them apart.
        warnings.filterwarnings("ignore", "Duplicate name")
        for count, info in enumerate(tar_infos(source)):
            _check_count(path, count)
            if info.offset_data + info.size > most:
                raise tarfile.ReadError(f"it unpacks to over {most:,} bytes, as only a bomb does")
            _store(source, info, stored)


def _store(source: tarfile.TarFile, info: tarfile.TarInfo, stored: zipfile.ZipFile) -> None:
    # A date of its own would make two conversions of one archive differ.
    member = zipfile.ZipInfo(_zip_name(info.name))
    data = b""
    if is_picture(info.name):
        reason = _tar_refusal(info)
        stream = None if reason else source.extractfile(info)
        data = _read_capped(stream, info.size) if stream else b""
        member.comment = _REFUSED + reason.encode("ascii") if reason else b""
    stored.writestr(member, data)


def _zip_name(name: str) -> str:
    """Return a name that a zip can hold: escaped, and within 65,535 bytes of UTF-8."""
    return printable(name)[:16_000]


@functools.lru_cache(maxsize=16)
def _open_zip(path: Place, process: int, state: tuple[int, ...]) -> zipfile.ZipFile:
    # Keyed by process: a file position shared across a fork garbled one read in eight.
    # Keyed by state: an archive that was replaced must not be read by its old directory.
    del process, state
    return zipfile.ZipFile(open_place(path))


def _state_of(archive: Place) -> tuple[int, ...]:
    """Return what changes when an archive is replaced; elsewhere that costs more than it tells."""
    if not isinstance(archive, Path):
        return ()
    status = archive.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_capped(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size + 1)
    if len(data) != size:
        raise SourceError(f"holds {len(data):,} bytes or more, where {size:,} were announced")
    return data


def _said(error: BaseException) -> str:
    """Return what an error says, without the path that one of the system's ends with."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(said or type(error).__name__)[:200]


def _broken() -> tuple[type[BaseException], ...]:
    return *_BROKEN, *storage_faults()


def _check_count(path: Place, count: int) -> None:
    if count > MAX_MEMBERS:
        raise SourceError(
            f"{printable(str(path))}: holds over {MAX_MEMBERS:,} members; split the archive."
        )


def member_folders(name: str) -> tuple[str, ...]:
    """Return the folders in a member's name, outermost first."""
    return PurePosixPath(name.replace("\\", "/")).parts[:-1]
