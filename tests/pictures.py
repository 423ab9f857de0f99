"""Encoded pictures that Pillow does not write: 16-bit colour, turned by EXIF, a header alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.kit import Pixels, encoded

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
# Left, top, and the steps across and down, of each pass.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
# How a picture is to be turned before it is stored, so that its orientation turns it back.
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def png16(pixels: Pixels, transparent: tuple[int, ...] | None = None) -> bytes:
    """Return a 16-bit PNG of uint8 (H, W, 1 to 4); `transparent` is a 16-bit colour."""
    height, width, channels = pixels.shape
    wide = pixels.astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    key = b"" if transparent is None else struct.pack(f">{channels}H", *transparent)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", _header(width, height, 16, _COLOUR_TYPES[channels]))
        + (_chunk(b"tRNS", key) if key else b"")
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of few bytes that promises this many RGBA pixels."""
    header = _chunk(b"IHDR", _header(width, height, 8, 6))
    return _SIGNATURE + header + _chunk(b"IDAT", zlib.compress(bytes(100))) + _chunk(b"IEND", b"")


def any_png(pixels: Pixels, colour: int, depth: int, *, interlaced: bool = False) -> bytes:
    """Return uint8 (H, W, 4) as a PNG of a colour type and a depth in bits, with its alpha if the
    type has some; colour type 3 gets a palette of greys, of which one is transparent."""
    height, width = pixels.shape[:2]
    grey, alpha = pixels[..., :1], pixels[..., 3:]
    planes = {0: grey, 2: pixels[..., :3], 3: grey, 4: np.dstack([grey, alpha]), 6: pixels}[colour]
    parts = [(b"IHDR", _header(width, height, depth, colour, interlaced=interlaced))]
    if colour == 3:
        greys = np.linspace(0, 255, 2**depth).astype(np.uint8)
        parts += [(b"PLTE", np.repeat(greys, 3).tobytes()), (b"tRNS", b"\0")]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + _packed_row(row, depth)
        for left, top, across, down in passes
        for row in planes[top::down, left::across]
        if row.size
    )
    return png_of([*parts, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def _packed_row(row: Pixels, depth: int) -> bytes:
    if depth == 16:
        return (row.astype(np.uint16) * 257).astype(">u2").tobytes()
    if depth == 8:
        return row.tobytes()
    bits = np.unpackbits((row.reshape(-1, 1) >> (8 - depth)).astype(np.uint8), axis=1)
    return np.packbits(bits[:, 8 - depth :]).tobytes()


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk of a PNG that is whole."""
    position = len(_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length


def png_of(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG of these chunks; all checksums are right."""
    return _SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)


def stored_turned(
    pixels: npt.NDArray[Any], orientation: int, image_format: str = "PNG", **options: Any
) -> bytes:
    """Return a picture stored turned, with the EXIF orientation that shows it upright again."""
    picture = Image.fromarray(pixels)
    if orientation in _STORED:
        picture = picture.transpose(_STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    if image_format == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    return encoded(picture, image_format, exif=exif, **options)


def _header(
    width: int, height: int, depth: int, colour_type: int, *, interlaced: bool = False
) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
