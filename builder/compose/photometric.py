"""Photometric operations: they change colours, never the mask, and move no edge.

Each operation draws its values from `rng` and returns the picture with what it drew, for the
provenance. Those here are of the data set's original script, which used Albumentations; each
docstring names what it follows. Those of `builder.compose.camera` come after them.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.camera import CAMERA_OPERATIONS, defocus
from builder.compose.operations import (
    LUMA,
    Operation,
    Pixels,
    Values,
    add_even_noise,
    apply_operations,
    as_pixels,
    draw,
    draw_count,
    normal_field,
    replace_levels,
)
from builder.compose.seeds import Seeds
from builder.recipe import Recipe

Matrix = npt.NDArray[np.float64]


def alter_background(pixels: Pixels, recipe: Recipe, seeds: Seeds) -> tuple[Pixels, list[Values]]:
    """Apply the operations on a background alone, before the blend.

    Args:
        pixels: uint8 (H, W, 3), RGB, lying together in memory; it may be changed.
        recipe: the `background_*` and `defocus*` knobs.
        seeds: each operation has a child of them, whichever others apply.

    Returns:
        uint8 (H, W, 3), and the operations applied, with their values.
    """
    return apply_operations(_BACKGROUND_OPERATIONS, pixels, recipe, seeds)


def alter_composite(pixels: Pixels, recipe: Recipe, seeds: Seeds) -> tuple[Pixels, list[Values]]:
    """Apply the operations on the whole composite, after the blend; otherwise as above."""
    return apply_operations(_COMPOSITE_OPERATIONS, pixels, recipe, seeds)


def background_tone(
    pixels: Pixels, recipe: Recipe, rng: np.random.Generator
) -> tuple[Pixels, Values]:
    """Change brightness and contrast, as Albumentations' RandomBrightnessContrast."""
    brightness = draw(recipe.background_brightness, rng)
    contrast = draw(recipe.background_contrast, rng)
    table = np.arange(256) * (1 + contrast) + 255 * brightness
    return replace_levels(pixels, table), {"brightness": brightness, "contrast": contrast}


def background_shadow(
    pixels: Pixels, recipe: Recipe, rng: np.random.Generator
) -> tuple[Pixels, Values]:
    """Darken polygons in the lower part of the frame; see `shadow`."""
    count = draw_count(recipe.background_shadow_polygons, rng)
    top = 1 - recipe.background_shadow_height
    return _darken_polygons(pixels, count, top, recipe.shadow_darkness, rng)


def shadow(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Darken polygons in the lower half, as Albumentations' RandomShadow: five corners each."""
    count = draw_count(recipe.shadow_polygons, rng)
    return _darken_polygons(pixels, count, 0.5, recipe.shadow_darkness, rng)


def motion_blur(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Blur along a line, as Albumentations' MotionBlur, with a kernel symmetric about its centre.

    An asymmetric kernel would shift the edges of the picture against those of the mask.
    """
    length = draw_count(recipe.motion_blur_kernel, rng) // 2 * 2 + 1
    angle = float(rng.uniform(0, math.pi))
    reach = length // 2
    end = (round(reach * math.cos(angle)), round(reach * math.sin(angle)))
    line = np.zeros((length, length), dtype=np.uint8)
    cv2.line(line, (reach, reach), (reach + end[0], reach + end[1]), 1)
    symmetric = np.maximum(line, line[::-1, ::-1]).astype(np.float32)
    kernel = symmetric / symmetric.sum()
    blurred = cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return as_pixels(blurred), {"kernel": length, "degrees": round(math.degrees(angle), 1)}


def noise(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Add independent Gaussian noise to every channel, as Albumentations' GaussNoise."""
    variance = draw(recipe.noise_variance, rng)
    noisy = add_even_noise(pixels, normal_field(pixels.shape, rng), math.sqrt(variance))
    return noisy, {"variance": variance}


def jitter(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Change brightness, contrast, saturation and hue, in torchvision's ColorJitter's terms.

    All four are linear in RGB here, hue by the luma-preserving rotation of the W3C's Filter
    Effects Module (hueRotate), so that one matrix does them at once.
    """
    brightness = draw(recipe.jitter_brightness, rng)
    contrast = draw(recipe.jitter_contrast, rng)
    saturation = draw(recipe.jitter_saturation, rng)
    hue = draw(recipe.jitter_hue, rng)
    mean_luma = float(np.dot(cv2.mean(pixels)[:3], LUMA)) * brightness
    grey = np.tile(LUMA, (3, 1))
    saturate = saturation * np.eye(3) + (1 - saturation) * grey
    linear = contrast * brightness * _hue_rotation(hue) @ saturate
    offset = np.full((3, 1), (1 - contrast) * mean_luma)
    altered = cv2.transform(pixels, np.hstack([linear, offset]).astype(np.float32))
    values = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    return as_pixels(altered), values


def fog(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Mix in white, more in some places than in others: half of `thickness` up to all of it.

    After Albumentations' RandomFog, with a smooth random field instead of its blurred discs.
    """
    thickness = draw(recipe.fog, rng)
    height, width = pixels.shape[:2]
    coarse = rng.uniform(0.5, 1.0, (4, 4)).astype(np.float32) * np.float32(255 * thickness)
    density = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    three = cv2.cvtColor(cv2.convertScaleAbs(density), cv2.COLOR_GRAY2RGB)
    white = cv2.multiply(cv2.bitwise_not(pixels), three, three, scale=1 / 255)
    return as_pixels(cv2.add(pixels, white, pixels)), {"thickness": thickness}


def tone_curve(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Apply a cubic Bezier tone curve with two random control points.

    As Albumentations' RandomToneCurve, which follows Afifi and Brown, "What else can fool deep
    learning?", arXiv 1912.06960, and draws the points around 1/4 and 3/4.
    """
    low = float(np.clip(rng.normal(0.25, recipe.tone_curve), 0, 1))
    high = float(np.clip(rng.normal(0.75, recipe.tone_curve), 0, 1))
    t = np.linspace(0, 1, 256)
    table = 255 * (3 * (1 - t) ** 2 * t * low + 3 * (1 - t) * t**2 * high + t**3)
    return replace_levels(pixels, table), {"low": round(low, 4), "high": round(high, 4)}


_BACKGROUND_OPERATIONS: dict[str, Operation] = {
    "background_tone": background_tone,
    "background_shadow": background_shadow,
    "defocus": defocus,
}
_COMPOSITE_OPERATIONS: dict[str, Operation] = {
    "motion_blur": motion_blur,
    "noise": noise,
    "jitter": jitter,
    "fog": fog,
    "shadow": shadow,
    "tone_curve": tone_curve,
    **CAMERA_OPERATIONS,
}


def _darken_polygons(
    pixels: Pixels, count: int, top: float, darkness: float, rng: np.random.Generator
) -> tuple[Pixels, Values]:
    height, width = pixels.shape[:2]
    corners = rng.random((count, 5, 2)) * (1, 1 - top) + (0, top)
    polygons = np.rint(corners * (width, height)).astype(np.int32)
    if count:
        left, upper = map(int, polygons.min(axis=(0, 1)))
        right, lower = map(int, polygons.max(axis=(0, 1)))
        part = pixels[upper : lower + 1, left : right + 1]
        shaded = np.zeros(part.shape[:2], dtype=np.uint8)
        for polygon in polygons:
            cv2.fillPoly(shaded, [polygon], 255, offset=(-left, -upper))
        darker = replace_levels(part.copy(), np.arange(256) * (1 - darkness))
        cv2.copyTo(darker, shaded, part)
    values = {"polygons": np.round(corners, 3).tolist(), "darkness": darkness}
    return pixels, values


def _hue_rotation(turns: float) -> Matrix:
    cos, sin = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    grey = np.tile([0.213, 0.715, 0.072], (3, 1))
    turn = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    rotation: Matrix = grey + cos * (np.eye(3) - grey) + sin * turn
    return rotation
