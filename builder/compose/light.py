"""Light that a figure shares with the scene: matched tone, shadows, and light around its edge.

All of it happens before the blend. Averages and shadows are worked out on small pictures, since
they hold nothing that is sharp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.operations import (
    LUMA,
    Pixels,
    Values,
    add_noise,
    as_pixels,
    chosen,
    draw,
    normal_field,
)
from builder.compose.resample import STRIP, block_average, enlarge_blocks
from builder.compose.seeds import Seeds
from builder.matte import bounding_box
from builder.recipe import Recipe

_SMALL = 64
_SHRINKING = 4
# A figure without these limits would be lit as nobody would take a picture of.
_LARGEST_SHIFT = 60.0
_CONTRASTS = (0.75, 1.3)
_CASTS = (0.85, 1.18)
_SOFTEST = 1.2
_ROOM = 4
_LOUDEST = 8.0
_SOLID = 250
_SAMPLE = 224
# Along rows and columns: blind to edges as well as to flat parts.
_IMMERKAER = np.array([1, -2, 1], np.float32)


@dataclass(frozen=True)
class Stage:
    """A figure and where it stands, both about to be blended.

    Attributes:
        canvas: uint8 (H, W, 3), RGB, the frame without the figure.
        figure: uint8 (h, w, 4), premultiplied RGBA, wholly inside of the frame.
        position: (left, top) of the figure in the frame.
        stands: whether the figure ends above the lower edge of the frame, on its own feet.
    """

    canvas: Pixels
    figure: Pixels
    position: tuple[int, int]
    stands: bool


def light(stage: Stage, recipe: Recipe, seeds: Seeds) -> tuple[Stage, list[Values]]:
    """Match the figure to the scene and give it its shadows, as the recipe says.

    Args:
        stage: its canvas and figure may be changed.
        recipe: the light knobs matter.
        seeds: each step has a child of them, whichever others apply.

    Returns:
        The stage as it is to be blended, and what was applied, with its values.
    """
    applied: list[Values] = []
    steps = {
        "tone_match": match_tone,
        "detail_match": match_detail,
        "cast_shadow": cast_shadow,
        "contact_shadow": contact_shadow,
        "light_wrap": wrap_light,
    }
    for name, step, own_rng in chosen(steps, recipe, seeds):
        if stage.figure.size:
            stage, values = step(stage, recipe, own_rng)
            if values:
                applied.append({"operation": name, **values})
    return stage, applied


def match_tone(stage: Stage, recipe: Recipe, rng: np.random.Generator) -> tuple[Stage, Values]:
    """Move the figure's luminance and contrast towards those around it, and its light's colour.

    Mean and deviation as Reinhard et al., "Color transfer between images", 2001, on luma and only
    by a drawn share, since a dark coat is no dark light. The colour of the light is estimated from
    the whole background by shades of grey (Finlayson and Trezzi, 2004) and applied as a gain for
    each channel (von Kries).
    """
    share = draw(recipe.tone_match, rng)
    scene, own = _luma_around(stage), _luma_of(stage.figure)
    if own is None:
        return stage, {}
    shift = float(np.clip(share * (scene[0] - own[0]), -_LARGEST_SHIFT, _LARGEST_SHIFT))
    contrast = (max(scene[1], 1.0) / max(own[1], 1.0)) ** (share / 2)
    contrast = float(np.clip(contrast, *_CONTRASTS))
    cast = np.clip(_light_colour(stage.canvas) ** share, *_CASTS)
    offset = cast * (own[0] + shift - contrast * own[0])
    # Premultiplied: what is added to a colour counts as much as its alpha, and none exceeds it.
    *colours, alpha = cv2.split(stage.figure)
    for colour, gain, added in zip(colours, cast, offset, strict=True):
        cv2.addWeighted(colour, float(gain) * contrast, alpha, float(added) / 255, 0, colour)
        cv2.min(colour, alpha, colour)
    values = {
        "share": share,
        "shift": round(shift, 2),
        "contrast": round(contrast, 4),
        "cast": [round(float(gain), 4) for gain in cast],
    }
    return _with(stage, figure=cv2.merge([*colours, alpha], stage.figure)), values


def match_detail(stage: Stage, recipe: Recipe, rng: np.random.Generator) -> tuple[Stage, Values]:
    """Blur the figure where it is sharper than the scene, and give it the scene's noise.

    Sharpness is the energy of a picture's Laplacian beside that of its gradient; noise is measured
    as Immerkaer, "Fast noise variance estimation", 1996, in the calmest quarter of the pixels. The
    mask is that of the blurred figure.
    """
    share = draw(recipe.detail_match, rng)
    own, scene = _detail(_middle(stage.figure)), _detail(_middle(stage.canvas))
    if own is None or scene is None:
        return stage, {}
    sigma = round(
        min(_SOFTEST, share * math.sqrt(max(0.0, own.sharpness / scene.sharpness - 1))), 2
    )
    figure = stage.figure
    if sigma >= 0.4:
        stage = _padded(stage)
        blurred = cv2.GaussianBlur(stage.figure, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        figure = as_pixels(blurred)
    noise = round(min(_LOUDEST, share * math.sqrt(max(0.0, scene.noise**2 - own.noise**2))), 2)
    if noise >= 0.5:
        alpha = cv2.extractChannel(figure, 3)
        field = normal_field((*figure.shape[:2], 3), rng)
        opaque = cv2.merge([alpha] * 3)
        colours = as_pixels(cv2.cvtColor(figure, cv2.COLOR_RGBA2RGB))
        figure = _joined(add_noise(colours, field, noise, as_pixels(opaque)), opaque)
    return _with(stage, figure=figure), {"sigma": sigma, "noise": noise}


def cast_shadow(stage: Stage, recipe: Recipe, rng: np.random.Generator) -> tuple[Stage, Values]:
    """Darken the floor, or the wall behind, by the figure's own outline, blurred.

    A figure that stands casts its outline sheared and squashed about the line of its feet, as
    Zhang et al., "ShadowGAN", 2019, describe the shadow of an upright object; one that is cut off
    casts it on the wall behind, moved a little.
    """
    darkness = draw(recipe.cast_shadow, rng)
    shear = draw((-1.2, 1.2), rng)
    squash = draw((0.12, 0.45), rng)
    alpha = _small_alpha(stage)
    height, width = alpha.shape
    figure_height = stage.figure.shape[0] / _SHRINKING
    if stage.stands:
        feet = _feet(stage)
        matrix = np.array(
            [[1, -shear * squash, shear * squash * feet], [0, squash, feet - squash * feet]]
        )
        blur = 0.03 * figure_height
    else:
        matrix = np.array([[1, 0, 0.08 * shear * figure_height], [0, 1, 0.03 * figure_height]])
        blur = 0.07 * figure_height
    moved = cv2.warpAffine(alpha, matrix, (width, height), flags=cv2.INTER_LINEAR)
    _darken(stage.canvas, moved, max(1.0, blur), darkness)
    return stage, {
        "darkness": darkness,
        "shear": shear,
        "squash": squash if stage.stands else None,
    }


def contact_shadow(stage: Stage, recipe: Recipe, rng: np.random.Generator) -> tuple[Stage, Values]:
    """Darken the floor right under the feet of a figure that stands, where no light gets to."""
    darkness = draw(recipe.contact_shadow, rng)
    if not stage.stands:
        return stage, {}
    alpha = _small_alpha(stage)
    feet = _feet(stage)
    reach = max(2.0, 0.06 * stage.figure.shape[0] / _SHRINKING)
    rows = np.arange(alpha.shape[0], dtype=np.float32)[:, None] + np.float32(0.5)
    lowest = (alpha * (rows > feet - reach)).astype(np.float32)
    matrix = np.array([[1.0, 0, 0], [0, 0.4, 0.6 * feet + 0.1 * reach]])
    flat = cv2.warpAffine(lowest, matrix, alpha.shape[::-1], flags=cv2.INTER_LINEAR)
    _darken(stage.canvas, flat, max(0.8, 0.35 * reach), darkness)
    return stage, {"darkness": darkness}


def wrap_light(stage: Stage, recipe: Recipe, rng: np.random.Generator) -> tuple[Stage, Values]:
    """Let the light of the background spill over the figure's edge, as lenses do.

    The blurred background is mixed into the figure's colours by how much background there is
    nearby: "light wrap", Brinkmann, "The art and science of digital compositing", 2nd ed., 2008.
    """
    strength = draw(recipe.light_wrap, rng)
    # A blur repeats what is at the border: there it has to be background, or the frame's.
    tight, stage = stage, _padded(stage)
    left, top = stage.position
    height, width = stage.figure.shape[:2]
    sigma = max(0.8, 0.012 * max(stage.canvas.shape[:2]) / _SHRINKING)
    alpha = cv2.extractChannel(stage.figure, 3)
    # Beyond the frame there is no light that could be known of.
    nearby = cv2.GaussianBlur(
        cv2.bitwise_not(block_average(alpha, _SHRINKING)),
        (0, 0),
        sigma,
        borderType=cv2.BORDER_REPLICATE,
    )
    share = cv2.convertScaleAbs(nearby, alpha=strength)
    region = stage.canvas[top : top + height, left : left + width]
    glow = cv2.GaussianBlur(block_average(region, _SHRINKING), (0, 0), 2 * sigma)
    spilt = enlarge_blocks(
        cv2.multiply(glow, cv2.merge([share] * 3), scale=1 / 255), _SHRINKING, alpha.shape
    )
    kept = cv2.merge([enlarge_blocks(cv2.bitwise_not(share), _SHRINKING, alpha.shape)] * 3)
    opaque = cv2.merge([alpha] * 3)
    mixed = cv2.add(
        cv2.multiply(cv2.cvtColor(stage.figure, cv2.COLOR_RGBA2RGB), kept, scale=1 / 255),
        cv2.multiply(spilt, opaque, scale=1 / 255),
    )
    down, across = tight.position[1] - top, tight.position[0] - left
    height, width = tight.figure.shape[:2]
    figure = _joined(mixed, opaque)[down : down + height, across : across + width]
    return _with(tight, figure=np.ascontiguousarray(figure)), {"strength": strength}


def _with(stage: Stage, *, canvas: Pixels | None = None, figure: Any = None) -> Stage:
    return Stage(
        stage.canvas if canvas is None else canvas,
        stage.figure if figure is None else as_pixels(figure),
        stage.position,
        stage.stands,
    )


def _padded(stage: Stage) -> Stage:
    """Return the stage with room around the figure for a blur, as far as the frame goes."""
    left, top = stage.position
    height, width = stage.figure.shape[:2]
    frame_height, frame_width = stage.canvas.shape[:2]
    before = (min(_ROOM, top), min(_ROOM, left))
    after = (min(_ROOM, frame_height - top - height), min(_ROOM, frame_width - left - width))
    figure = cv2.copyMakeBorder(
        stage.figure, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT, value=0
    )
    position = (left - before[1], top - before[0])
    return Stage(stage.canvas, as_pixels(figure), position, stage.stands)


def _joined(colours: Any, opaque: Any) -> Pixels:
    """Return a premultiplied figure none of whose colours exceeds its alpha: no fringe.

    `opaque` is the alpha, three times.
    """
    figure = cv2.cvtColor(cv2.min(colours, opaque), cv2.COLOR_RGB2RGBA)
    return as_pixels(cv2.mixChannels([opaque], [figure], [0, 3])[0])


def _luma_around(stage: Stage) -> tuple[float, float]:
    """Return mean and deviation of luma in the canvas around the figure."""
    left, top = stage.position
    height, width = stage.figure.shape[:2]
    frame_height, frame_width = stage.canvas.shape[:2]
    y0, y1 = max(0, top - height // 4), min(frame_height, top + height + height // 4)
    x0, x1 = max(0, left - width // 2), min(frame_width, left + width + width // 2)
    small = _small_copy(stage.canvas[y0:y1, x0:x1])
    luma = small.astype(np.float64) @ LUMA
    return float(luma.mean()), float(luma.std())


def _luma_of(figure: Pixels) -> tuple[float, float] | None:
    """Return mean and deviation of the luma of the opaque part of a figure, if there is any."""
    small = _small_copy(figure).astype(np.float64)
    alpha = small[..., 3]
    opaque = alpha > 128
    if np.count_nonzero(opaque) < 8:
        return None
    luma = (small[..., :3] @ LUMA)[opaque] * 255 / alpha[opaque]
    return float(luma.mean()), float(luma.std())


def _light_colour(canvas: Pixels) -> npt.NDArray[np.float64]:
    """Return the gains that the colour of the light gives R, G and B, 1 on average."""
    small = _small_copy(canvas).reshape(-1, 3).astype(np.float64) + 1
    # NumPy multiplies for squares alone; for any other power it takes logarithms.
    norm = ((small * small * small) ** 2).mean(axis=0) ** (1 / 6)
    gains: npt.NDArray[np.float64] = norm / norm.mean()
    return gains


def _small_copy(pixels: Pixels) -> Pixels:
    # Every few pixels are enough for an average: each lies in a line of memory of its own.
    height, width = pixels.shape[:2]
    block = max(1, min(2, width // _SMALL, height // _SMALL))
    few = (min(width, block * _SMALL), min(height, block * _SMALL))
    return block_average(cv2.resize(pixels, few, interpolation=cv2.INTER_NEAREST), block)


@dataclass(frozen=True)
class _Detail:
    """How sharp a picture is, and its noise in levels."""

    sharpness: float
    noise: float


def _middle(pixels: Pixels) -> Pixels:
    """Return the middle of a picture: enough to tell its sharpness."""
    height, width = pixels.shape[:2]
    y, x = max(0, height // 2 - _SAMPLE // 2), max(0, width // 2 - _SAMPLE // 2)
    return pixels[y : y + _SAMPLE, x : x + _SAMPLE]


def _detail(part: Pixels) -> _Detail | None:
    """Measure a picture, RGB or premultiplied RGBA, where it is opaque; None if that is too little.

    The outline of a figure is no detail of it.
    """
    inside = np.ones(part.shape[:2], np.uint8)
    if part.shape[2] == 4:
        inside = (cv2.extractChannel(part, 3) >= _SOLID).view(np.uint8)
    inside = as_pixels(cv2.erode(inside, np.ones((7, 7), np.uint8)))
    count = cv2.countNonZero(inside)
    if count < 400:
        return None
    grey = cv2.cvtColor(part, cv2.COLOR_RGBA2GRAY if part.shape[2] == 4 else cv2.COLOR_RGB2GRAY)
    across, down = cv2.spatialGradient(grey)
    gradient = cv2.add(np.abs(across), np.abs(down))
    laplacian = _total(cv2.Laplacian(grey, cv2.CV_16S), inside)
    sharpness = laplacian / (_total(gradient, inside) + count)
    # In 8 bits histograms take a third of the time. Where the calmest quarter ends beyond 255, all
    # of it counts as calm, but its noise is far above the most that is added anyway.
    steepness = cv2.convertScaleAbs(gradient)
    levels = cv2.calcHist([steepness], [0], inside, [256], [0, 256])
    calmest = int(np.searchsorted(np.cumsum(levels), count / 4))
    calm = as_pixels(cv2.bitwise_and(inside, (steepness <= calmest).view(np.uint8)))
    response = cv2.sepFilter2D(grey, cv2.CV_16S, _IMMERKAER, _IMMERKAER)
    noise = math.sqrt(math.pi / 2) / 6 * _total(response, calm)
    return _Detail(max(sharpness, 1e-3), noise / cv2.countNonZero(calm))


def _total(values: Any, inside: Pixels) -> float:
    """Return the sum of absolute values, int16, where a mask is 1.

    OpenCV's norm with a mask takes four times as long.
    """
    masked = cv2.bitwise_and(values, np.negative(inside, dtype=np.int16))
    return float(cv2.norm(masked, cv2.NORM_L1))


def _small_alpha(stage: Stage) -> npt.NDArray[np.float32]:
    """Return the figure's alpha in the frame at a quarter of its size, 0 to 1."""
    whole = np.zeros(stage.canvas.shape[:2], np.uint8)
    left, top = stage.position
    own = cv2.extractChannel(stage.figure, 3)
    whole[top : top + own.shape[0], left : left + own.shape[1]] = own
    return np.asarray(block_average(whole, _SHRINKING) / np.float32(255), dtype=np.float32)


def _feet(stage: Stage) -> float:
    """Return the lowest row of the figure that is solid, in rows of `_small_alpha`."""
    height = int(stage.figure.shape[0])
    for start in reversed(range(0, height, STRIP)):
        alpha = cv2.extractChannel(stage.figure[start : start + STRIP], 3)
        solid = np.flatnonzero((alpha >= 128).any(axis=1))
        if solid.size:
            height = start + int(solid[-1]) + 1
            break
    return (stage.position[1] + height) / _SHRINKING


def _darken(canvas: Pixels, shadow: Any, sigma: float, darkness: float) -> None:
    """Take a share of the light where a small picture, 0 to 1, says so, after blurring it."""
    soft = cv2.GaussianBlur(np.asarray(shadow, np.float32), (0, 0), sigma)
    gain = np.rint(255 * (1 - darkness * np.clip(soft, 0, 1))).astype(np.uint8)
    left, top, right, bottom = bounding_box(as_pixels(cv2.bitwise_not(gain)))
    if right:
        # Smoothly up to the first block that stays as it is.
        left, top = max(0, left - 1), max(0, top - 1)
        part = gain[top : bottom + 1, left : right + 1]
        corner = canvas[_SHRINKING * top :, _SHRINKING * left :]
        shaded = corner[: _SHRINKING * part.shape[0], : _SHRINKING * part.shape[1]]
        three = cv2.merge([enlarge_blocks(part, _SHRINKING, shaded.shape)] * 3)
        cv2.multiply(shaded, three, shaded, scale=1 / 255)
