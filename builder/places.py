"""Where layers and datasets lie: on the local disk, or wherever fsspec reaches by a URL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from builder.errors import StorageError
from builder.whole import replacing

if TYPE_CHECKING:
    from upath import UPath

Place: TypeAlias = "Path | UPath"

# What clients of storages raise besides OSError, by the module that has it once it is in use.
_FAULTS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "gcsfs.retry": ("HttpError",),
    "azure.core.exceptions": ("AzureError",),
    "huggingface_hub.errors": ("HfHubHTTPError",),
}
# A picture in an archive is about as large; fsspec's own 5 to 50 MB would be read for each.
_BLOCK_BYTES = 1024**2


def place_of(text: str | Path) -> Place:
    """Return the place that a user names: a path, or a URL such as `s3://bucket/folder`.

    Raises:
        StorageError: a URL holds a password, or needs a package that is not installed.
    """
    if isinstance(text, Path) or "://" not in text:
        return Path(text)
    url = urlsplit(text)
    if url.scheme in ("file", "local"):
        return Path(unquote(url.path))
    if url.password or "@" in url.netloc:
        raise StorageError(
            f"{url.scheme}://{url.hostname}: holds credentials, which would end up in messages. "
            "Give them in the environment, as the storage's own tools take them."
        )
    from upath import UPath

    try:
        place = UPath(text)
        place.fs  # noqa: B018  Made when it is asked for, of a package of its own.
    except (ImportError, ValueError) as error:
        raise StorageError(f"{text}: {error}. Install what opens {url.scheme}:// URLs.") from error
    return place


@contextmanager
def reaching(place: Place) -> Iterator[None]:
    """Say which place could not be reached, whatever the client of its storage raises.

    Raises:
        StorageError: in place of the client's error.
    """
    try:
        yield
    except storage_faults() as error:
        said = str(error).strip() or type(error).__name__
        raise StorageError(
            f"{place}: cannot be reached ({said[:300]}). Check the URL, the credentials in the "
            "environment and the network; the same command goes on where it stopped."
        ) from error


def storage_faults() -> tuple[type[BaseException], ...]:
    """Return what clients of storages raise."""
    found: list[type[BaseException]] = [OSError]
    for module, names in _FAULTS.items():
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def open_place(place: Place) -> IO[bytes]:
    """Open for reading here and there, not from end to end."""
    if isinstance(place, Path):
        return place.open("rb")
    opened: Any = place.open("rb", block_size=_BLOCK_BYTES, cache_type="readahead")
    return opened  # type: ignore[no-any-return]


def files_below(place: UPath) -> dict[str, dict[str, Any]]:
    """Return what a storage says of each file below a place, by its relative name, in order."""
    root = place.path.rstrip("/")
    # Other machines write there too, and clients remember what they saw.
    place.fs.invalidate_cache()
    with reaching(place):
        listed = place.fs.find(place.path, detail=True)
    return {
        path.removeprefix(root).lstrip("/"): info
        for path, info in sorted(listed.items())
        if path.startswith(f"{root}/")
    }


def write_whole(place: Place, data: bytes) -> None:
    """Write a file that has its name only once all of it is there.

    Raises:
        OSError, or what the client of a storage raises: it cannot be written.
    """
    if not isinstance(place, Path):
        # A storage of objects shows an object only when it is whole.
        place.write_bytes(data)
        return
    place.parent.mkdir(exist_ok=True)
    with replacing(place) as partial:
        partial.write_bytes(data)
