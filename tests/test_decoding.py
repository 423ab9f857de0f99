"""PNGs of 8 bits, which Pillow does not decode: the same values as its, and no less strict.

What checks admit, with other threads beside them, is decoded to the same values in builds.
"""

from __future__ import annotations

import io
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from builder.decoding import decode_background, decode_human, decode_with_transparency
from builder.errors import LayerError
from tests.kit import Pixels, encoded, png, portrait, scenery
from tests.mutants import mutants
from tests.pictures import png_chunks, png_of

LIMIT = 10_000_000
FIGURE = portrait(3)
VIEW = scenery(3, (120, 90))
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def with_rows(data: bytes, rows: bytes) -> bytes:
    """Return a PNG with other encoded rows; all its checksums are right."""
    header = next(png_chunks(data))
    return png_of([header, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def rows_of(data: bytes) -> bytes:
    return zlib.decompress(b"".join(body for name, body in png_chunks(data) if name == b"IDAT"))


def by_pillow(data: bytes, mode: str) -> Pixels:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert(mode), dtype=np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_any_picture_is_decoded_as_pillow_does(
    width: int, height: int, level: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    figure = encoded(pixels, "PNG", compress_level=level)
    for among in (False, True):
        decoded = decode_human(figure, LIMIT, among_threads=among)
        assert np.array_equal(decoded, by_pillow(figure, "RGBA"))
    view = encoded(pixels[..., :3], "PNG", compress_level=level, dpi=(72, 72))
    assert np.array_equal(decode_background(view, LIMIT), by_pillow(view, "RGB"))
    grey = encoded(pixels[..., 0], "PNG", compress_level=level)
    for among in (False, True):
        decoded = decode_with_transparency(grey, LIMIT, among_threads=among)[0]
        assert np.array_equal(decoded, by_pillow(grey, "RGB"))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_checks_admit_is_decoded_alike_without_them() -> None:
    """The one may be stricter: it reads all checksums. The other must not be."""
    admitted = 0
    for mutant in mutants(3000):
        try:
            if mutant.role == "human":
                checked = decode_human(mutant.data, LIMIT, among_threads=True)
            else:
                checked, _ = decode_with_transparency(mutant.data, LIMIT, among_threads=True)
        except LayerError:
            continue
        admitted += 1
        decode = decode_human if mutant.role == "human" else decode_background
        assert np.array_equal(decode(mutant.data, LIMIT), checked)
    assert admitted > 100


@given(st.floats(0, 1, exclude_max=True))
def test_a_png_that_ends_early_is_refused_wherever_it_does(share: float) -> None:
    data = png(FIGURE)
    # Without its last chunk and the checksums before that it still holds every pixel.
    with pytest.raises(LayerError):
        decode_human(data[: int(share * (len(data) - 12 - 12))], LIMIT)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: with_rows(data, rows_of(data)[:-1]),
        lambda data: with_rows(data, rows_of(data)[: len(rows_of(data)) // 2]),
        lambda data: with_rows(data, b"\x09" + rows_of(data)[1:]),
        lambda data: data[:300] + bytes([data[300] ^ 1]) + data[301:],
        lambda data: png_of([part for part in png_chunks(data) if part[0] != b"IDAT"]),
        lambda data: png_of(
            [(b"IHDR", next(png_chunks(data))[1][:9]), *list(png_chunks(data))[1:]]
        ),
        lambda data: SIGNATURE,
    ],
    ids=["a byte short", "half", "no such filter", "checksum", "no pixels", "header", "nothing"],
)
@pytest.mark.parametrize("pixels", [FIGURE, VIEW, VIEW[..., 0]], ids=["rgba", "rgb", "grey"])
def test_a_damaged_png_is_refused(pixels: Pixels, damage: object) -> None:
    data = damage(png(pixels))  # type: ignore[operator]
    with pytest.raises(LayerError):
        (decode_human if pixels.shape[2:] == (4,) else decode_background)(data, LIMIT)


def test_no_broken_png_takes_what_is_not_its_own() -> None:
    """A decoder that gives back too many references to None ends the process before long."""
    data = png(FIGURE)
    damaged = data[:300] + bytes([data[300] ^ 1]) + data[301:]
    before = sys.getrefcount(None)
    for _ in range(200):
        with pytest.raises(LayerError):
            decode_human(damaged, LIMIT, among_threads=True)
    assert sys.getrefcount(None) > before - 100


def test_a_size_over_the_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(LayerError, match="over the limit of 1,000 pixels: 96x128"):
        decode_human(png(FIGURE), 1000)


@pytest.mark.parametrize("place", ["exif", "text", "xmp"])
def test_a_rotation_is_applied_wherever_it_is_written(place: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    options: dict[str, object] = {"pnginfo": text}
    if place == "exif":
        options["exif"] = exif
    elif place == "text":
        raw = exif.tobytes().hex()
        text.add_text("Raw profile type exif", f"\nexif\n{len(raw) // 2:8}\n{raw}\n")
    else:
        text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    turned = encoded(FIGURE, "PNG", **options)
    assert np.array_equal(decode_human(turned, LIMIT), np.rot90(FIGURE, -1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize(
    "keyword", [b"Raw profile type exif", b"XML:com.adobe.xmp", b"exif", b"xmp", b"Comment"]
)
@pytest.mark.parametrize("pixels", [VIEW, VIEW[..., 0]], ids=["rgb", "grey"])
def test_text_turns_a_picture_where_pillow_turns_it(
    kind: bytes, keyword: bytes, pixels: Pixels
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes()
    text = b'<x tiff:Orientation="6"/>'
    if b"exif" in keyword:
        text = f"\nexif\n{len(raw) // 2:8}\n{raw.hex()}\n".encode()
    content = {
        b"tEXt": keyword + b"\0" + text,
        b"zTXt": keyword + b"\0\0" + zlib.compress(text),
        b"iTXt": keyword + b"\0\0\0\0\0" + text,
    }[kind]
    header, *rest = png_chunks(png(pixels))
    data = png_of([header, (kind, content), *rest])
    try:
        with Image.open(io.BytesIO(data)) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, SyntaxError, TypeError, AttributeError):
        with pytest.raises(LayerError):
            decode_background(data, LIMIT)
        return
    assert np.array_equal(decode_background(data, LIMIT), expected)


def test_what_surrounds_the_pixels_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A profile that libpng would warn of, on the terminal, and text of a stranger."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "\x1b[31m" * 100)
    noisy = encoded(VIEW, "PNG", icc_profile=b"no profile" * 20, pnginfo=text)
    too_long = with_rows(png(VIEW), rows_of(png(VIEW)) + b"more")
    for data in (noisy, too_long):
        assert np.array_equal(decode_background(data, LIMIT), VIEW)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("among_threads", [False, True])
def test_a_side_that_libpng_refuses_is_read_silently(
    among_threads: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    line = np.arange(1_000_001, dtype=np.uint8)[None]
    pixels, _ = decode_with_transparency(png(line), LIMIT, among_threads=among_threads)
    assert np.array_equal(pixels[..., 1], line)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_broken_tiffs_are_refused_silently(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    held = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(held, "TIFF", compression=compression)
    data = bytearray(held.getvalue())
    data[500:540] = bytes(range(200, 240))
    with pytest.raises(LayerError, match="broken picture"):
        decode_background(bytes(data), 10_000)
    assert capfd.readouterr() == ("", "")
