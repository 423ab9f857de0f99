"""Files of a public Google Drive folder, downloaded once, through gdown, into a cache."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from tqdm import tqdm

from builder.errors import DownloadError
from builder.sources.drive_cache import Cache, Entry, Slot
from builder.sources.layer import printable

DEFAULT_FOLDER = "1K1lK6nSoaQ7PLta-bcfol3XSGZA1b9nt"

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes on it."""

RETRIES = 3
"""How often a cut or stalled transfer goes on within one call."""

RESERVE_BYTES = 256 * 1024**2
"""A download stops before the disk has less free than this."""

_ID = re.compile(r"[A-Za-z0-9_-]{15,128}")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


class DiskFullError(DownloadError):
    """The disk with the cache has too little room; what has arrived is kept."""


@dataclass(frozen=True)
class DriveFile:
    """A verified file: `name` is its `/`-separated path inside the folder, `size` in bytes."""

    name: str
    path: Path
    size: int


def folder_url(folder: str) -> str:
    """Return the address of a folder, given that or its id.

    Raises:
        DownloadError: it is neither.
    """
    return f"https://drive.google.com/drive/folders/{_folder_id(folder)}"


def default_cache_dir() -> Path:
    """Return where downloads are kept: next to the Hugging Face caches, unless told otherwise."""
    own = os.environ.get("HUMAN_SEGMENTATION_CACHE")
    if own:
        return Path(own).expanduser()
    huggingface = os.environ.get("HF_HOME")
    if huggingface:
        return Path(os.path.expandvars(huggingface)).expanduser() / "human-segmentation"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return caches / "huggingface" / "human-segmentation"


def fetch_folder(folder: str, *, cache_dir: Path, progress: bool = True) -> list[DriveFile]:
    """Download the archives and pictures of a public folder and its sub-folders.

    What is complete in the cache is never downloaded again, not even if it changed on Google Drive:
    delete `drive` in the cache for that. What was interrupted goes on from there. Without a
    network, or in offline mode, a complete cache is enough.

    Args:
        folder: the folder's id or address.
        cache_dir: where the files are kept.
        progress: show bars on standard error.

    Raises:
        DownloadError: the folder cannot be listed or a file not be downloaded; the message says
            why, what is still missing, and the ways round.
        DiskFullError: the disk has too little room.
    """
    job = _Job(_folder_id(folder), Cache(cache_dir), progress)
    with _disk_errors(job):
        wanted = job.offline_entries() if offline_variable() else job.entries()
        for position, entry in enumerate(wanted, start=1):
            job.fetch(entry, f"{position}/{len(wanted)}")
        return [_drive_file(job.cache.slot(entry)) for entry in wanted]


def offline_variable() -> str | None:
    """Return the assignment that turns offline mode on, or None."""
    for name in _OFFLINE_VARIABLES:
        value = os.environ.get(name, "")
        if value.upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={value}"
    return None


class _Job:
    """One call of `fetch_folder`."""

    def __init__(self, folder_id: str, cache: Cache, progress: bool) -> None:
        self.folder_id = folder_id
        self.url = folder_url(folder_id)
        self.cache = cache
        self.progress = progress

    def entries(self) -> list[Entry]:
        """List the folder, or fall back, aloud, on a complete cache if Drive is out of reach."""
        import gdown
        import requests

        from builder.sources.drive_faults import explain_listing, is_temporary

        try:
            listed = gdown.download_folder(
                id=self.folder_id,
                output=".",
                quiet=True,
                use_cookies=False,
                skip_download=True,
                timeout=TIMEOUT,
            )
        except (
            gdown.DownloadError,
            requests.RequestException,
            RecursionError,
            KeyError,
            ValueError,
        ) as error:
            recorded = self._complete_entries() if is_temporary(error) else []
            if not recorded:
                raise self.failure(f"{self.url}: {explain_listing(error)}") from None
            self._notice(f"{self.url}: {explain_listing(error)}. Using the complete copy in")
            return recorded
        entries = [
            Entry(file.id, file.path.replace(os.sep, "/"))
            for file in listed
            if not isinstance(file, str)
        ]
        self._require_wanted(entries)
        self.cache.record_listing(self.folder_id, entries)
        return [entry for entry in entries if entry.wanted]

    def offline_entries(self) -> list[Entry]:
        """Return the recorded listing if all of it is in the cache; no request is made."""
        entries = self._complete_entries()
        if entries:
            return entries
        raise self.failure(
            f"{self.url}: offline mode is on ({offline_variable()}) and {self.cache.root} does not "
            "hold the whole folder. Unset the variable to download it"
        )

    def fetch(self, entry: Entry, position: str) -> None:
        """Download one file unless it is complete."""
        slot = self.cache.slot(entry)
        if slot.size is not None:
            return
        with slot.locked():
            if slot.size is None:
                slot.prepare()
                self._fetch_verified(slot, position)
                slot.complete()

    def failure(self, what: str, kind: type[DownloadError] = DownloadError) -> DownloadError:
        """Return an error that adds what is missing and the ways round."""
        recorded = self._recorded_entries()
        missing = self.cache.missing(recorded)
        expected = ", ".join(entry.label for entry in missing[:10])
        if len(missing) > 10:
            expected += f" and {len(missing) - 10} more"
        if not recorded:
            expected = "not known yet"
        elif not missing:
            expected = f"nothing, {self.cache.root} is complete and HF_HUB_OFFLINE=1 uses it as is"
        return kind(
            f"{what}. Still expected from {self.url}: {expected}. "
            "Run the same command again later, it goes on from what has arrived; or download the "
            "files by hand in a browser and pass the folder they are in as --source FOLDER."
        )

    def _fetch_verified(self, slot: Slot, position: str) -> None:
        from builder.sources.drive_check import WrongContentError, has_checksums
        from builder.sources.drive_faults import PartRefusedError

        if not has_checksums(slot.entry.suffix):
            slot.discard_parts()
        try:
            self._attempt(slot, position)
        except (PartRefusedError, WrongContentError):
            # The remote file changed under a resumed download, or the `.part` is of no use.
            slot.discard()
            try:
                self._attempt(slot, position)
            except (PartRefusedError, WrongContentError) as error:
                slot.discard()
                raise self.failure(f"{slot.entry.label}: {error}") from error

    def _attempt(self, slot: Slot, position: str) -> None:
        from builder.sources.drive_check import check_content
        from builder.sources.drive_faults import PartRefusedError

        with _Transfer(self, slot, position) as transfer:
            try:
                self._download(slot, transfer)
            except PartRefusedError:
                # An overloaded server looks the same. Gigabytes are worth asking twice.
                self._download(slot, transfer)
            transfer.checking()
            check_content(slot.unverified, slot.entry.suffix)

    def _download(self, slot: Slot, transfer: _Transfer) -> None:
        import gdown
        import requests

        from builder.sources.drive_faults import PartRefusedError, explain_file, is_part_refused

        if slot.unverified.exists():
            return
        try:
            gdown.download(
                id=slot.entry.id,
                output=str(slot.unverified),
                quiet=True,
                use_cookies=False,
                resume=True,
                retries=RETRIES,
                timeout=TIMEOUT,
                progress=transfer,
            )
        except (gdown.DownloadError, requests.RequestException, KeyError, ValueError) as error:
            what = explain_file(error)
            if is_part_refused(error):
                raise PartRefusedError(what) from None
            kept = f" ({slot.arrived:,} bytes of it are kept)" if slot.arrived else ""
            raise self.failure(f"{slot.entry.label}: {what}{kept}") from None

    def _recorded_entries(self) -> list[Entry]:
        entries = self.cache.recorded_listing(self.folder_id)
        return [entry for entry in entries if entry.wanted]

    def _complete_entries(self) -> list[Entry]:
        entries = self._recorded_entries()
        return [] if self.cache.missing(entries) else entries

    def _require_wanted(self, entries: list[Entry]) -> None:
        if not entries:
            raise self.failure(
                f"{self.url}: lists no file: it is empty, or not shared with everyone, so that "
                "Google asks to sign in"
            )
        if not any(entry.wanted for entry in entries):
            names = ", ".join(entry.label for entry in entries[:10])
            raise self.failure(f"{self.url}: holds no archive and no picture, only {names}")

    def _notice(self, text: str) -> None:
        print(f"{text} {self.cache.root}.", file=sys.stderr)


class _Transfer:
    """gdown's progress callback: moves the bar and stops before the disk is full."""

    def __init__(self, job: _Job, slot: Slot, position: str) -> None:
        self._job = job
        self._slot = slot
        self._name = f"{position} {slot.entry.label}"
        self._bar = tqdm(
            desc=self._name,
            initial=slot.arrived,
            unit="B",
            unit_scale=True,
            disable=not job.progress,
            # A log file gets a line now and then, not one every tenth of a second.
            mininterval=0.1 if sys.stderr.isatty() else 30,
        )

    def __call__(self, arrived: int, total: int | None) -> None:
        free = shutil.disk_usage(self._slot.folder).free
        needed = (total or arrived) - arrived
        if free - needed < RESERVE_BYTES:
            raise self._job.failure(
                f"{self._slot.entry.label}: {needed / 1e9:.2f} GB are still to come, and the disk "
                f"of {self._job.cache.root} has {free / 1e9:.2f} GB free; "
                f"{RESERVE_BYTES / 1e9:.2f} GB are to stay free. "
                "Make room, or set HUMAN_SEGMENTATION_CACHE to a folder on a larger disk",
                DiskFullError,
            )
        self._bar.total = total
        self._bar.update(arrived - self._bar.n)

    def __enter__(self) -> _Transfer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def checking(self) -> None:
        """Show that the file is being verified, which takes a while for a large one."""
        self._bar.set_description(f"{self._name} (checking)")


def _drive_file(slot: Slot) -> DriveFile:
    size = slot.size
    if size is None:
        raise DownloadError(f"{slot.content}: vanished. Leave the cache alone and run again.")
    return DriveFile(slot.entry.name, slot.content, size)


@contextlib.contextmanager
def _disk_errors(job: _Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise job.failure(
                f"{job.cache.root}: the disk is full. "
                "Make room, or set HUMAN_SEGMENTATION_CACHE to a folder on a larger disk",
                DiskFullError,
            ) from error
        raise DownloadError(
            f"{job.cache.root}: cannot be used as a cache ({error.strerror or error}). "
            "Set HUMAN_SEGMENTATION_CACHE to a folder that can be written."
        ) from error


def _folder_id(folder: str) -> str:
    folder = folder.strip()
    if _ID.fullmatch(folder):
        return folder
    with contextlib.suppress(ValueError):
        address = urlsplit(folder if "://" in folder else f"https://{folder}")
        in_path = re.search(r"/folders/([^/]+)", address.path)
        ids = [in_path[1]] if in_path else parse_qs(address.query).get("id", [])
        if address.hostname == "drive.google.com" and len(ids) == 1 and _ID.fullmatch(ids[0]):
            return ids[0]
    raise DownloadError(
        f"{printable(folder)[:200]}: is neither the id nor the address of a Google Drive folder. "
        "An address looks like https://drive.google.com/drive/folders/"
        f"{DEFAULT_FOLDER}; copy it from the browser."
    )
