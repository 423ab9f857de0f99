"""Encoded pictures that Pillow does not write: 16-bit colour, turned by EXIF, a header alone."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.kit import Pixels, encoded

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
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


def _header(width: int, height: int, depth: int, colour_type: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
