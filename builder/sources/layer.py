"""What a source yields: candidates, which become layers once their bytes have been checked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

import xxhash

from builder.errors import SourceError
from builder.places import Place, storage_faults

Role = Literal["human", "background"]

ID_LENGTH = 32
"""Hex digits of a layer id: 128 bits of the SHA-256 of its bytes."""


MAX_PICTURE_BYTES = 512 * 1024**2
"""No encoded picture is read beyond this size."""


class Content(Protocol):
    """Where a picture's encoded bytes are. Picklable, so that worker processes can read it."""

    def read(self) -> bytes:
        """Return the encoded picture. Raises `SourceError`, with the reason alone, if it fails."""
        ...


@dataclass(frozen=True)
class FileContent:
    """A picture in a file of its own."""

    path: Place

    def read(self) -> bytes:
        """Return the file's bytes; raises `SourceError` where that fails, or over the cap."""
        try:
            if self.path.stat().st_size > MAX_PICTURE_BYTES:
                raise SourceError(f"over {MAX_PICTURE_BYTES // 1024**2} MiB")
            return self.path.read_bytes()
        except storage_faults() as error:
            # Without the path: the reason ends up in the manifest, which is published.
            said = getattr(error, "strerror", None) or type(error).__name__
            raise SourceError(f"cannot be read ({said})") from error


@dataclass(frozen=True)
class Candidate:
    """A picture that a source offers. `name` is its printable path relative to the source."""

    role: Role
    name: str
    content: Content


@dataclass(frozen=True)
class Cleaning:
    """What cleaning changes in a matte, found by the check, so that a build need not look again.

    Attributes:
        knobs: those of the recipe on which it depends, as `builder.matte` lists them.
        places: int32 (n,), as bytes: flat indices of the pixels that change. All others keep their
            alpha, but for what no eye sees.
        values: uint8 (n,), as bytes: their alpha afterwards.
    """

    knobs: tuple[float, ...]
    places: bytes
    values: bytes


@dataclass(frozen=True)
class Layer:
    """A usable picture. `id` is a hash of its bytes, so names and order never matter.

    `width` and `height` are in pixels, after EXIF rotation. `perceptual_hash` is 64 hex digits;
    see `builder.hashing.perceptual_hash`. `checksum` is from `checksum_of`. `cleaning` is of a
    human, None where it is not known or too much.
    """

    id: str
    role: Role
    name: str
    width: int
    height: int
    perceptual_hash: str
    content: Content
    checksum: str
    cleaning: Cleaning | None = None

    def read(self) -> bytes:
        """Return the encoded picture; raises `SourceError` if it changed since it was checked."""
        try:
            data = self.content.read()
        except SourceError as error:
            raise SourceError(
                f"{self.name}: {error}, though it could be when the build began. "
                "Leave the sources alone and run the command again."
            ) from error
        if checksum_of(data) != self.checksum:
            raise SourceError(
                f"{self.name}: changed while the dataset was being built. "
                "Leave the sources alone and run the command again."
            )
        return data


def content_id(data: bytes) -> str:
    """Return the id of a layer with these bytes."""
    return hashlib.sha256(data).hexdigest()[:ID_LENGTH]


def checksum_of(data: bytes) -> str:
    """Return what tells that bytes are no longer those that had an id, in a tenth of the time.

    XXH3 finds accidents. Who could forge it could as well replace a file before the build.
    """
    return xxhash.xxh3_128_hexdigest(data)


def printable(name: str) -> str:
    """Return `name` on one line, every control, bidirectional or undecodable character escaped.

    Names come from archives and web pages; unescaped they could rewrite a terminal or a page.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in name
    )
