"""Encoded pictures to arrays: what the checks and the composer share.

Pictures are hostile input: formats are a short list, sizes are known before anything is decoded,
and whatever a decoder raises becomes a `LayerError`.
"""

from __future__ import annotations

import ctypes
import io
import struct
import zlib
from collections.abc import Iterator

import cv2
import imagecodecs
import kornia_rs.io
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError, _imaging

from builder.errors import LayerError
from builder.sources.layer import printable

Pixels = npt.NDArray[np.uint8]

# Pillow opens many more, PostScript among them, which it hands to a program of its own.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")

LARGEST = 178_956_970
"""Pixels of the largest picture that Pillow opens, and so the most that a recipe may allow."""

# The second is a warning, raised where Python runs with -W error.
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What decoders were seen to raise on damaged files, struct.error and zlib.error included.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_IHDR_BYTES = 25
# Of the colour types that layers mostly have: grey, RGB and RGBA.
_PNG_CHANNELS = {0: 1, 2: 3, 6: 4}
_KORNIA_MODES = {1: "mono", 3: "rgb", 4: "rgba"}
# What changes how a picture looks: an animation, a transparent colour, a rotation in EXIF or XMP,
# which Pillow looks for in any text whose name says so.
_PNG_MEANING = (b"acTL", b"tRNS", b"eXIf")
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ROTATING = (b"exif", b"xmp")
# libpng warns on the terminal of more.
_LONGEST_SIDE = 1_000_000


def _silence_libtiff() -> None:
    """Keep what libtiff says of broken pictures off the terminal: Pillow raises for it anyway."""
    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        setter = getattr(library, name, None)
        if setter is not None:
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)


_silence_libtiff()


def decode_human(data: bytes, max_pixels: int, *, among_threads: bool = False) -> Pixels:
    """Decode a picture with transparency.

    Args:
        data: encoded.
        max_pixels: a picture of more is refused before it is decoded.
        among_threads: whether other threads have work to do meanwhile: slower, but it leaves them
            the interpreter. The result is the same.

    Returns:
        uint8 (H, W, 4), straight RGBA, EXIF rotation applied. 16-bit channels are cut to 8.

    Raises:
        LayerError: not a picture, truncated, over `max_pixels`, or without an alpha channel.
    """
    plain = _plain_png(data, max_pixels, among_threads)
    if plain is not None and plain.shape[2] == 4:
        return plain
    with _opened(data, max_pixels) as picture:
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            raise LayerError("no alpha channel")
        return _loaded(picture, "RGBA")


def decode_background(data: bytes, max_pixels: int) -> Pixels:
    """Decode a background.

    Returns:
        uint8 (H, W, 3), RGB, EXIF rotation applied. Where a background is transparent, mid-grey
        shows, since the colours under transparent pixels are arbitrary.

    Raises:
        LayerError: not a picture, truncated, over `max_pixels`, or wholly transparent.
    """
    return decode_with_transparency(data, max_pixels)[0]


def decode_with_transparency(
    data: bytes, max_pixels: int, *, among_threads: bool = False
) -> tuple[Pixels, float]:
    """Return what `decode_background` does, and the share of the pixels that are transparent.

    `among_threads`: as in `decode_human`.
    """
    pixels = _plain_png(data, max_pixels, among_threads)
    if pixels is None:
        with _opened(data, max_pixels) as picture:
            opaque = "A" not in picture.getbands() and "transparency" not in picture.info
            pixels = _loaded(picture, "RGB" if opaque else "RGBA")
    if pixels.shape[2] == 3:
        return pixels, 0.0
    if not pixels[..., 3].any():
        raise LayerError("wholly transparent")
    canvas = Image.new("RGBA", (pixels.shape[1], pixels.shape[0]), (128, 128, 128, 255))
    canvas.alpha_composite(Image.fromarray(pixels))
    return np.asarray(canvas.convert("RGB")), float(np.mean(pixels[..., 3] < 255))


def decode_made(data: bytes, image_format: str, mode: str) -> Pixels:
    """Decode a picture of a finished dataset, which has one format and one mode, and no other.

    Args:
        data: encoded.
        image_format: of `builder.recipe.IMAGE_FORMATS`.
        mode: Pillow's: RGB or L.

    Returns:
        uint8 (H, W, 3) or (H, W).

    Raises:
        LayerError: it is broken, or something else.
    """
    picture = _opened(data, LARGEST)
    with picture:
        if (picture.format, picture.mode) != (image_format.upper(), mode):
            raise LayerError(
                f"is {picture.format} of mode {picture.mode}, not {image_format.upper()} of {mode}"
            )
        return _loaded(picture, mode)


def _plain_png(data: bytes, max_pixels: int, among_threads: bool) -> Pixels | None:
    """Decode what layers mostly are, or return None for all else.

    That is a PNG of 8-bit RGB or RGBA; one of 8-bit greys is returned as RGB.

    Only the chunks that hold the pixels are handed over, so that none of the others can do any
    harm.

    Raises:
        LayerError: such a PNG, but broken or over `max_pixels`.
    """
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    shape = (0, 0, 0)
    for name, chunk in _png_chunks(data):
        if name == b"IHDR":
            if len(kept) > 1 or len(chunk) != _IHDR_BYTES:
                return None
            width, height, depth, colour, *methods = struct.unpack(">IIBBBBB", chunk[8:21])
            # Interlaced ones, too: libpng complains of them on the terminal, in no one's name.
            plain = depth == 8 and colour in _PNG_CHANNELS and not any(methods)
            if not (plain and 0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
                return None
            _refuse_size(width, height, max_pixels)
            shape = (height, width, _PNG_CHANNELS[colour])
        elif len(kept) == 1 or name in _PNG_MEANING or _may_rotate(name, chunk):
            return None
        if name in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(chunk)
    if len(kept) < 4:
        return None
    stripped = b"".join(kept)
    pixels = None if among_threads else _quickly_decoded(stripped, shape)
    pixels = _by_libpng(stripped) if pixels is None else pixels
    if shape[2] > 1:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _quickly_decoded(png: bytes, shape: tuple[int, int, int]) -> Pixels | None:
    """Return what libpng would, in half of its time; None for what it is for libpng to judge.

    Checks go by libpng, which leaves the interpreter to other threads. What they admitted must
    not be refused here.
    """
    try:
        pixels = kornia_rs.io.decode_image_png_u8(png, shape[:2], _KORNIA_MODES[shape[2]])
    except Exception:  # noqa: BLE001 - it raises nothing narrower
        return None
    return np.asarray(pixels, dtype=np.uint8)


def _by_libpng(png: bytes) -> Pixels:
    try:
        return np.asarray(imagecodecs.png_decode(png), dtype=np.uint8)
    except _DECODING_ERRORS as error:
        # It gives back a None that it never took. Before Python 3.12 some ten thousand broken
        # pictures would end the process; one None too many never does.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))
        raise LayerError(f"broken picture: {printable(str(error))}") from error


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the (name, whole chunk) of a PNG until its end; nothing of anything else."""
    view = memoryview(data)
    if not data.startswith(PNG_SIGNATURE):
        return
    position, name = len(PNG_SIGNATURE), b""
    while name != b"IEND" and position + 12 <= len(data):
        (length,) = struct.unpack(">I", view[position : position + 4])
        name = bytes(view[position + 4 : position + 8])
        yield name, view[position : position + 12 + length]
        position += 12 + length


def _may_rotate(name: bytes, chunk: memoryview) -> bool:
    """Tell whether a chunk is text whose keyword, of 79 bytes at most, names EXIF or XMP."""
    if name not in _PNG_TEXTS:
        return False
    keyword = bytes(chunk[8:88]).partition(b"\0")[0].lower()
    return any(word in keyword for word in _ROTATING)


def _refuse_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise LayerError(f"over the limit of {max_pixels:,} pixels: {width}x{height}")


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header alone, so that a decompression bomb is refused before it is decoded."""
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except _BOMBS as error:
        raise LayerError(f"over the limit of {max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise LayerError(f"not a picture of a known kind ({', '.join(FORMATS)})") from error
    except _DECODING_ERRORS as error:
        raise LayerError(f"broken picture: {printable(str(error))}") from error
    _refuse_size(*picture.size, max_pixels)
    return picture


def _loaded(picture: Image.Image, mode: str) -> Pixels:
    """Decode every pixel; a picture that ends early is refused here."""
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("I;16", "I;16B", "I;16L", "I"):
            upright = _in_8_bits(upright)
        elif upright.mode == "F":
            raise LayerError("floating-point pixels")
        return np.array(upright.convert(mode))
    except _BOMBS as error:
        raise LayerError("over the limit of pixels") from error
    except _DECODING_ERRORS as error:
        raise LayerError(f"broken picture: {printable(str(error))}") from error


def _in_8_bits(picture: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits as one of 8, with alpha if one of its greys means none."""
    grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
    small = (grey * 255 // 65535).astype(np.uint8)
    key = picture.info.get("transparency")
    if not isinstance(key, int):
        return Image.fromarray(small)
    return Image.fromarray(np.dstack([small, np.where(grey == key, 0, 255).astype(np.uint8)]))
