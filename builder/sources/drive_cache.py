"""Downloads on disk: one folder per file of Google Drive, and what each folder listed.

Names from Drive are data only; paths are made of ids and known suffixes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from builder.sources.layer import printable
from builder.sources.roles import ARCHIVE_SUFFIXES, is_archive, is_picture

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A line of a folder's listing; `name` is its `/`-separated path inside the folder."""

    id: str
    name: str

    @property
    def wanted(self) -> bool:
        """Whether it is an archive or a picture, by its name."""
        return is_archive(self.name) or is_picture(self.name)

    @property
    def suffix(self) -> str:
        """The suffix in lower case, one of those that `roles` knows."""
        name = self.name.lower()
        archive = max((s for s in ARCHIVE_SUFFIXES if name.endswith(s)), key=len, default="")
        return archive or PurePosixPath(name).suffix

    @property
    def label(self) -> str:
        """The name, fit for a terminal."""
        name = printable(self.name)
        return name if len(name) <= 80 else f"{name[:40]}…{name[-39:]}"


@dataclass(frozen=True)
class Slot:
    """The place of one file: unverified bytes, then its content, then the record of it."""

    folder: Path
    entry: Entry

    @property
    def content(self) -> Path:
        """The verified file, if `size` tells that it is complete."""
        return self.folder / f"content{self.entry.suffix}"

    @property
    def unverified(self) -> Path:
        """Where a download ends up before it is verified."""
        return self.folder / f"unverified{self.entry.suffix}"

    @property
    def _record(self) -> Path:
        return self.folder / "record.json"

    @property
    def size(self) -> int | None:
        """The content's size in bytes; None unless it is complete and as long as recorded."""
        record = _read_json(self._record)
        if not isinstance(record, dict) or record.get("id") != self.entry.id:
            return None
        size = record.get("size")
        with contextlib.suppress(FileNotFoundError):
            if isinstance(size, int) and self.content.stat().st_size == size:
                return size
        return None

    @property
    def arrived(self) -> int:
        """Bytes of an unfinished download."""
        return sum(part.stat().st_size for part in self._parts())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other processes and threads, waiting for as long as it takes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{self.entry.label}: waiting for another download of it.", file=sys.stderr)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def prepare(self) -> None:
        """Clear away content that does not match its record; keep what can still be used."""
        if self.content.exists() and not self._record.exists():
            # Verified, but stopped before the record was written.
            self.content.replace(self.unverified)
        self._record.unlink(missing_ok=True)
        self.content.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete everything that has not been verified."""
        self.unverified.unlink(missing_ok=True)
        self.discard_parts()

    def discard_parts(self) -> None:
        """Delete unfinished downloads."""
        for part in self._parts():
            part.unlink()

    def complete(self) -> None:
        """Make the unverified file the content. The record comes last: it means complete."""
        digest, size = _digest(self.unverified)
        # gdown's files are for their owner alone, which a cache that several people share is not.
        self.unverified.chmod((self.folder / "lock").stat().st_mode & 0o777)
        self.unverified.replace(self.content)
        record = {"id": self.entry.id, "name": self.entry.name, "size": size, "sha256": digest}
        _write_json(self._record, record)
        self.discard_parts()

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.part"))


@dataclass(frozen=True)
class Cache:
    """Everything from Google Drive below a cache directory."""

    root: Path

    def slot(self, entry: Entry) -> Slot:
        """Return the place of a file."""
        return Slot(self.root / "drive" / "files" / _directory_name(entry.id), entry)

    def missing(self, entries: list[Entry]) -> list[Entry]:
        """Return those that are not complete."""
        return [entry for entry in entries if self.slot(entry).size is None]

    def recorded_listing(self, folder_id: str) -> list[Entry]:
        """Return what the folder listed last time; empty if that is not known."""
        record = _read_json(self._listing(folder_id))
        try:
            return [Entry(str(file["id"]), str(file["name"])) for file in record["files"]]
        except (KeyError, TypeError):
            return []

    def record_listing(self, folder_id: str, entries: list[Entry]) -> None:
        """Keep what a folder lists, for when it cannot be asked."""
        if entries != self.recorded_listing(folder_id):
            files = [{"id": entry.id, "name": entry.name} for entry in entries]
            _write_json(self._listing(folder_id), {"folder": folder_id, "files": files})

    def _listing(self, folder_id: str) -> Path:
        return self.root / "drive" / "folders" / f"{_directory_name(folder_id)}.json"


def _directory_name(drive_id: str) -> str:
    """Return the id, or a hash where an id in a forged listing is unfit for a file name."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", drive_id):
        return drive_id
    return hashlib.sha256(drive_id.encode("utf-8", "backslashreplace")).hexdigest()


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _read_json(path: Path) -> Any:
    """Return what the file holds, or None if it is absent or not JSON, as after a power cut."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)
