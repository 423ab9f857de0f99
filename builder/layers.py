"""Checks: what is wrong with a layer, and the decoding that the checks and the composer share."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from builder.errors import LayerError, SourceError
from builder.matte import bounding_box, clean_matte
from builder.recipe import Recipe
from builder.sources.exclusion import Exclusion
from builder.sources.layer import Candidate, Layer, Role, content_id, printable

Pixels = npt.NDArray[np.uint8]

# Pillow opens many more, PostScript among them, which it hands to a program of its own.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")

_OPAQUE = 250
_EMPTY_SHARE = 0.001
# Humans up to here were placed on every background up to here; beyond 10 some have no place.
_LONGEST_ASPECT = 8
_HASH_SIDE = 16
# The second is a warning, raised where Python runs with -W error.
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders were seen to raise on damaged files, struct.error and zlib.error included.
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


@dataclass(frozen=True)
class LeftOut:
    """A picture that is not used, with the reason."""

    name: str
    role: Role
    reason: str


@dataclass(frozen=True)
class Admitted:
    """The layers that can be used, in order of role and name, and what was left out."""

    layers: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]


def admit_all(
    candidates: Sequence[Candidate],
    recipe: Recipe,
    *,
    exclusion: Exclusion | None = None,
    threads: int = 1,
    strict: bool = False,
    progress: bool = True,
) -> Admitted:
    """Check all candidates.

    Args:
        candidates: in any order.
        recipe: the thresholds.
        exclusion: what a person rejected.
        threads: decoders release the interpreter, so threads are enough here.
        strict: whether a picture that cannot be used is an error.
        progress: whether to show a bar.

    Raises:
        SourceError: with `strict`, what is wrong with the pictures; else, no human or no
            background is left, and why; or an entry of `exclusion` excludes nothing.
    """
    layers: list[Layer] = []
    left_out: list[LeftOut] = []
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        # Sizes are checked here, and named; Pillow's warning would only come on top.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = pool.map(lambda candidate: admit(candidate, recipe), candidates)
        bar = tqdm(
            results, "Checking layers", len(candidates), unit=" layers", disable=not progress
        )
        for result in bar:
            if isinstance(result, LeftOut):
                left_out.append(result)
            else:
                layers.append(result)
    layers, duplicates = drop_duplicates(layers)
    layers, excluded = drop_excluded(layers, left_out, exclusion)
    left_out = sorted([*left_out, *duplicates, *excluded], key=lambda out: (out.role, out.name))
    if strict and len(left_out) > len(excluded):
        raise SourceError(
            f"{len(left_out)} pictures cannot be used, and --strict is on: {_listed(left_out)}."
        )
    for role in ("human", "background"):
        if not any(layer.role == role for layer in layers):
            raise SourceError(_none_left(role, len(candidates), left_out))
    return Admitted(tuple(layers), tuple(left_out))


def _none_left(role: Role, found: int, left_out: list[LeftOut]) -> str:
    own = [out for out in left_out if out.role == role]
    reasons = f" Left out: {_listed(own)}." if own else f" No {role} was among them."
    return f"No usable {role} in {found} pictures found.{reasons} A pair needs one of each role."


def _listed(left_out: list[LeftOut]) -> str:
    first = "; ".join(f"{out.name}: {out.reason}" for out in left_out[:10])
    return first + (f"; and {len(left_out) - 10} more" if len(left_out) > 10 else "")


def admit(candidate: Candidate, recipe: Recipe) -> Layer | LeftOut:
    """Check one candidate: read it, decode it fully, judge it.

    Returns:
        The layer, or what it is left out for. Byte-identical duplicates are found afterwards, by
        `drop_duplicates`, since that needs all layers.
    """
    result = examine(candidate, recipe)
    return result if isinstance(result, LeftOut) else result[0]


def examine(candidate: Candidate, recipe: Recipe) -> tuple[Layer, Pixels] | LeftOut:
    """Check one candidate as `admit` does; return its pixels as well, RGBA of a human, or RGB."""
    try:
        data = candidate.content.read()
        decode = decode_human if candidate.role == "human" else decode_background
        pixels = decode(data, recipe.max_pixels)
        height, width = pixels.shape[:2]
        if min(height, width) < recipe.min_side:
            raise LayerError(f"too small: {width}x{height}, under {recipe.min_side} px")
        _check_aspect(width, height)
        if candidate.role == "human":
            _check_matte(pixels[..., 3], recipe)
    except (LayerError, SourceError) as error:
        return LeftOut(candidate.name, candidate.role, str(error))
    layer = Layer(
        id=content_id(data),
        role=candidate.role,
        name=candidate.name,
        width=width,
        height=height,
        perceptual_hash=perceptual_hash(pixels),
        content=candidate.content,
    )
    return layer, pixels


def drop_duplicates(layers: list[Layer]) -> tuple[list[Layer], list[LeftOut]]:
    """Keep one of each set of byte-identical layers: the first by role and name.

    A file that is offered both as a human and as a background stays a human.
    """
    kept: dict[str, Layer] = {}
    left_out = []
    for layer in sorted(layers, key=lambda layer: (layer.role != "human", layer.name)):
        first = kept.setdefault(layer.id, layer)
        if first is not layer:
            reason = f"byte-identical duplicate of {first.name}"
            left_out.append(LeftOut(layer.name, layer.role, reason))
    return list(kept.values()), left_out


def drop_excluded(
    layers: list[Layer], left_out: Sequence[LeftOut], exclusion: Exclusion | None
) -> tuple[list[Layer], list[LeftOut]]:
    """Drop the layers that a person rejected, by id or name.

    Raises:
        SourceError: an entry excludes nothing.
    """
    if exclusion is None:
        return layers, []
    named = [*(layer.name for layer in layers), *(out.name for out in left_out)]
    exclusion.check({*named, *(layer.id for layer in layers)})
    kept = [layer for layer in layers if not {layer.id, layer.name} & exclusion.entries]
    gone = [layer for layer in layers if {layer.id, layer.name} & exclusion.entries]
    return kept, [LeftOut(layer.name, layer.role, exclusion.reason) for layer in gone]


def decode_human(data: bytes, max_pixels: int) -> Pixels:
    """Decode a picture with transparency.

    Returns:
        uint8 (H, W, 4), straight RGBA, EXIF rotation applied. 16-bit channels are cut to 8.

    Raises:
        LayerError: not a picture, truncated, over `max_pixels`, or without an alpha channel.
    """
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
    with _opened(data, max_pixels) as picture:
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return _loaded(picture, "RGB")
        rgba = _loaded(picture, "RGBA")
    if not rgba[..., 3].any():
        raise LayerError("wholly transparent")
    canvas = Image.new("RGBA", (rgba.shape[1], rgba.shape[0]), (128, 128, 128, 255))
    canvas.alpha_composite(Image.fromarray(rgba))
    return np.asarray(canvas.convert("RGB"))


def perceptual_hash(pixels: Pixels) -> str:
    """Return 256 bits, in hex, that stay nearly the same under resizing, recompression and gain.

    Each bit is the sign of one of the 16 x 16 lowest coefficients of the cosine transform of the
    64 x 64 grey picture (a human over mid-grey), after pHash: Zauner, "Implementation and
    benchmarking of perceptual image hash functions", 2010. Signs instead of comparisons with the
    median make mirroring exact: it inverts the bits of the odd columns; see `MIRRORED_BITS`.

    Args:
        pixels: uint8 (H, W, 3) RGB or (H, W, 4) straight RGBA.
    """
    # Shrinking first, one plane less and 64 times fewer pixels, makes the rest of the work free.
    small = cv2.resize(_over_grey(pixels), (64, 64), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = cv2.dct(grey - grey.mean())[:_HASH_SIDE, :_HASH_SIDE]
    return np.packbits(low > 0).tobytes().hex()


MIRRORED_BITS = np.arange(_HASH_SIDE * _HASH_SIDE) % _HASH_SIDE % 2 == 1
"""bool (256,): the bits of a perceptual hash that mirroring the picture inverts."""


def _over_grey(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 3:
        return pixels
    height, width = pixels.shape[:2]
    factor = 256 / max(height, width, 256)
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    premultiplied = cv2.resize(
        cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA), target, interpolation=cv2.INTER_AREA
    )
    alpha = premultiplied[..., 3:].astype(np.float32)
    return np.rint(premultiplied[..., :3] + 128 * (1 - alpha / 255)).astype(np.uint8)


def _check_matte(alpha: Pixels, recipe: Recipe) -> None:
    if int(alpha.min()) >= _OPAQUE:
        raise LayerError("alpha is fully opaque: nothing is cut out")
    if np.count_nonzero(alpha >= 128) < _EMPTY_SHARE * alpha.size:
        raise LayerError("alpha is empty")
    matte = clean_matte(alpha, recipe)
    left, top, right, bottom = bounding_box(matte)
    width, height = right - left, bottom - top
    if max(width, height) < recipe.min_side:
        raise LayerError(f"too small: the figure is {width}x{height}, under {recipe.min_side} px")
    _check_aspect(width, height)
    # Even a frame that just fits the figure has to be covered; cf. `Recipe.min_coverage`.
    covered = float(matte.sum(dtype=np.float64)) / 255 / (width * height)
    if covered < 1.5 * recipe.min_coverage:
        raise LayerError(f"too thin: the figure fills only {covered:.1%} of its own box")


def _check_aspect(width: int, height: int) -> None:
    if max(width, height) > _LONGEST_ASPECT * min(width, height):
        raise LayerError(f"too narrow: {width}x{height}, over {_LONGEST_ASPECT} to 1")


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
    width, height = picture.size
    if width * height > max_pixels:
        raise LayerError(f"over the limit of {max_pixels:,} pixels: {width}x{height}")
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
