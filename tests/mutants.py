"""Damaged and hostile pictures, the same ones for the same seed: whole ones first, then changed.

`bases` holds whole pictures of every kind that decoders know, and a few that are none; `mutants`
changes them blindly and, where a format has parts, part by part, with checksums made right again,
so that the damage is met behind them too.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from builder.sources.layer import Role
from tests.kit import encoded, jpeg, png, portrait, scenery
from tests.pictures import any_png, png16, png_chunks, png_header, png_of, stored_turned

SIZE = (72, 80)
FIGURE = portrait(7, SIZE)
VIEW = scenery(7, SIZE)
GREY = np.asarray(Image.fromarray(VIEW).convert("L"))

_SUFFIXES = ("png", "jpg", "jpeg", "webp", "gif", "tif", "tiff", "bmp")
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Mutant:
    """A file: `suffix` may lie about its format."""

    role: Role
    suffix: str
    data: bytes


def bases() -> dict[str, bytes]:
    """Return whole pictures, by what they are."""
    return {**_pngs(), **_jpegs(), **_others(), **_none()}


def mutants(count: int, seed: int = 0) -> Iterator[Mutant]:
    """Yield each base as either role, then changed ones up to `count` in all."""
    rng = random.Random(seed)
    whole = list(bases().values())
    first = [(role, data) for data in whole for role in ("human", "background")]
    for number in range(count):
        if number < len(first):
            role, data = first[number]
        else:
            role, data = rng.choice(("human", "background")), rng.choice(whole)
            for _ in range(rng.choice((1, 1, 2, 4))):
                data = rng.choice(_CHANGES)(data, rng)
                if data.startswith(b"\x89PNG") and rng.random() < 0.5:
                    data = rng.choice(_PNG_CHANGES)(data, rng)
        yield Mutant(role, rng.choice(_SUFFIXES), data)


def _pngs() -> dict[str, bytes]:
    found = {}
    for colour, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16))):
        for depth in depths:
            for interlaced in (False, True):
                name = f"PNG, colour type {colour}, {depth} bits" + ", interlaced" * interlaced
                found[name] = any_png(FIGURE, colour, depth, interlaced=interlaced)
    for depth in (8, 16):
        for interlaced in (False, True):
            name = f"PNG, colour type 6, {depth} bits" + ", interlaced" * interlaced
            found[name] = any_png(FIGURE, 6, depth, interlaced=interlaced)
    moving = [Image.fromarray(portrait(seed, SIZE)) for seed in (1, 2)]
    found["APNG"] = encoded(FIGURE, "PNG", save_all=True, append_images=moving)
    found["PNG with a profile"] = encoded(FIGURE, "PNG", icc_profile=_profile())
    found["PNG with no profile"] = encoded(FIGURE, "PNG", icc_profile=b"no profile at all" * 9)
    header, *rest = png_chunks(png(FIGURE))
    unpacked = (b"iCCP", b"x\0\0" + zlib.compress(bytes(20_000_000), 9))
    nameless = (b"iCCP", zlib.compress(_profile()))
    found["PNG with a profile that is a bomb"] = png_of([header, unpacked, *rest])
    found["PNG with a profile without a name"] = png_of([header, nameless, *rest])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "\x1b[2J" * 1000, zip=True)
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    found["PNG with text"] = encoded(FIGURE, "PNG", pnginfo=text)
    found["PNG with a text that is a bomb"] = png_of(
        [header, (b"zTXt", b"x\0\0" + zlib.compress(bytes(20_000_000), 9)), *rest]
    )
    found["PNG, transparent colour"] = png16(FIGURE[..., :3], (0, 0, 0))
    return found


def _jpegs() -> dict[str, bytes]:
    found = {
        f"JPEG, orientation {number}": stored_turned(VIEW, number, "JPEG") for number in range(1, 9)
    }
    found["JPEG, orientation 77"] = stored_turned(VIEW, 77, "JPEG")
    for mode in ("L", "CMYK", "RGB"):
        picture = Image.fromarray(VIEW).convert(mode)
        found[f"JPEG, {mode}"] = encoded(picture, "JPEG")
        found[f"JPEG, {mode}, progressive"] = encoded(picture, "JPEG", progressive=True)
    found["JPEG, restarts"] = encoded(VIEW, "JPEG", restart_marker_rows=1)
    found["JPEG with a profile"] = encoded(VIEW, "JPEG", icc_profile=_profile())
    found["JPEG, subsampled"] = encoded(VIEW, "JPEG", subsampling=2)
    return found


def _others() -> dict[str, bytes]:
    moving = [Image.fromarray(portrait(seed, SIZE)) for seed in (1, 2)]
    float32 = Image.fromarray(GREY.astype(np.float32))
    holes = GREY.astype(np.float32)
    holes[::2] = np.nan
    holes[::3] = np.inf
    found = {
        "WebP": encoded(FIGURE, "WEBP"),
        "WebP, lossless": encoded(FIGURE, "WEBP", lossless=True),
        "WebP, moving": encoded(FIGURE, "WEBP", save_all=True, append_images=moving),
        "WebP with EXIF": stored_turned(FIGURE, 6, "WEBP"),
        "GIF": encoded(FIGURE, "GIF"),
        "GIF, moving": encoded(FIGURE, "GIF", save_all=True, append_images=moving),
        "GIF, interlaced": encoded(VIEW, "GIF", interlace=1),
        "BMP": encoded(VIEW, "BMP"),
        "BMP with alpha": encoded(FIGURE, "BMP"),
        "BMP, palette": encoded(Image.fromarray(VIEW).convert("P"), "BMP"),
        "TIFF": encoded(FIGURE, "TIFF"),
        "TIFF, floating point": encoded(float32, "TIFF"),
        "TIFF, no numbers": encoded(Image.fromarray(holes), "TIFF"),
        "TIFF, 16 bits": encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        "TIFF, CMYK": encoded(Image.fromarray(VIEW).convert("CMYK"), "TIFF"),
        "TIFF, pages": encoded(FIGURE, "TIFF", save_all=True, append_images=moving),
        "TIFF, turned": stored_turned(FIGURE, 6, "TIFF"),
        "TIFF, fax": encoded(Image.fromarray(GREY).convert("1"), "TIFF", compression="group4"),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        found[f"TIFF, {compression}"] = encoded(FIGURE, "TIFF", compression=compression)
    found["TIFF, jpeg"] = encoded(VIEW, "TIFF", compression="jpeg")
    return found


def _none() -> dict[str, bytes]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    return {
        "nothing": b"",
        "SVG": svg,
        "a page": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
        "PostScript": encoded(VIEW, "EPS"),
        "PDF": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF",
        "ICO": encoded(FIGURE, "ICO"),
        "PPM": encoded(VIEW, "PPM"),
        "1x1": png(FIGURE[:1, :1]),
        "1x30000": png(np.full((30_000, 1, 4), 255, np.uint8)),
        "30000x1": png(np.full((1, 30_000, 4), 255, np.uint8)),
        "0x0": png_header(0, 0),
        "PNG bomb": png_header(60_000, 60_000),
        "PNG bomb within the limit": png_header(9_000, 8_000),
        "PNG, endless": png_header(0x7FFFFFFF, 0x7FFFFFFF),
        "GIF bomb": b"GIF89a" + b"\xff" * 4 + b"\0\0\0," + bytes(4) + b"\xff" * 4 + b"\0\x02\0",
        "BMP bomb": encoded(VIEW, "BMP")[:18] + struct.pack("<ii", 60_000, -60_000) + bytes(99),
        "JPEG bomb": jpeg(VIEW).replace(struct.pack(">HH", *SIZE[::-1]), b"\xff\xff\xff\xff", 1),
        "WebP bomb": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\xff\xff\xff\xff\xff",
        "signatures": b"\x89PNG\r\n\x1a\nGIF89a\xff\xd8\xffRIFF....WEBPBM",
    }


def _profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Without the time at which it was made.
    return profile[:24] + bytes(12) + profile[36:]


Change = Callable[[bytes, random.Random], bytes]


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if changed else 0):
        changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 4)) if changed else 0):
        changed[_place(changed, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return bytes(changed)


def _number(data: bytes, rng: random.Random) -> bytes:
    if len(data) < 8:
        return data
    kind = rng.choice((">H", "<H", ">I", "<I"))
    packed = struct.pack(kind, rng.choice(_NUMBERS) & (0xFFFF if "H" in kind else 0xFFFFFFFF))
    place = min(_place(data, rng), len(data) - len(packed))
    return data[:place] + packed + data[place + len(packed) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: _place(data, rng)]


def _longer(data: bytes, rng: random.Random) -> bytes:
    return data + rng.randbytes(rng.choice((1, 7, 500)))


def _without(data: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 16, 300)) :]


def _twice(data: bytes, rng: random.Random) -> bytes:
    place = _place(data, rng)
    part = data[place : place + rng.choice((1, 4, 64, 900))]
    return data[:place] + part * rng.choice((2, 3, 50)) + data[place + len(part) :]


def _blank(data: bytes, rng: random.Random) -> bytes:
    place, length = _place(data, rng), rng.choice((2, 16, 300))
    return data[:place] + rng.choice((b"\0", b"\xff")) * length + data[place + length :]


def _noise(data: bytes, rng: random.Random) -> bytes:
    place, length = _place(data, rng), rng.choice((2, 16, 300))
    return data[:place] + rng.randbytes(length) + data[place + length :]


def _spliced(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(_PARENTS)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _place(data: bytes | bytearray, rng: random.Random) -> int:
    """Return a place in the data, often among the first bytes, where formats have their numbers."""
    return rng.randrange(max(1, min(len(data), rng.choice((64, 256, *[len(data)] * 4)))))


def _by_chunk(change: Callable[[list[tuple[bytes, bytes]], random.Random], object]) -> Change:
    def changed(data: bytes, rng: random.Random) -> bytes:
        try:
            parts = list(png_chunks(data))
        except struct.error:
            return data
        if parts:
            change(parts, rng)
        return png_of(parts)

    return changed


def _shuffle(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    rng.shuffle(parts)


def _drop(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    parts.pop(rng.randrange(len(parts)))


def _repeat(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    parts.insert(rng.randrange(len(parts)), rng.choice(parts))


def _rename(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    names = (b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"gAMA", b"eXIf", b"acTL", b"fcTL", b"IHDR")
    number = rng.randrange(len(parts))
    parts[number] = (rng.choice(names), parts[number][1])


def _redo(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    """Damage a chunk's content; its checksum is right."""
    number = rng.randrange(len(parts))
    name, body = parts[number]
    parts[number] = (name, rng.choice((_flip, _set, _number, _cut, _without))(body, rng))


def _repack(parts: list[tuple[bytes, bytes]], rng: random.Random) -> None:
    """Damage the rows of pixels inside of a stream that is whole."""
    for number, (name, body) in enumerate(parts):
        if name == b"IDAT":
            try:
                rows = zlib.decompress(body)
            except zlib.error:
                return
            parts[number] = (name, zlib.compress(rng.choice((_flip, _cut, _longer))(rows, rng)))
            return


_CHANGES = (_flip, _set, _number, _cut, _longer, _without, _twice, _blank, _noise, _spliced)
_PNG_CHANGES = tuple(map(_by_chunk, (_shuffle, _drop, _repeat, _rename, _redo, _redo, _repack)))
_PARENTS = (png(FIGURE), jpeg(VIEW), encoded(FIGURE, "WEBP"), encoded(FIGURE, "GIF"))
