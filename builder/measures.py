"""Numbers that tell how good a layer is. Pure: arrays in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from builder.matte import Matte
from builder.recipe import Recipe

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_INVISIBLE = 4
_TOUCHED = 8
_SILHOUETTE = 32
_SOLID = 128
_SEE_THROUGH = 230
# Hair reaches this far in from the outline, share of the square root of the figure's area.
_OUTLINE = 0.06
# Sharpness depends on resolution: pictures are compared at this longer side, px.
_COMPARED_SIDE = 512


@dataclass(frozen=True)
class Measures:
    """What was measured of a layer; None where it does not apply.

    Attributes:
        coverage: share of the picture that the human covers, 0 to 1.
        haze: pixels of faint alpha (4 to `haze_alpha`) for each solid one (128 and more).
        see_through: share of the figure's inside, away from its outline, with alpha from 8 to 229.
        specks: share of the solid pixels that lie in detached parts which cleaning removes.
        sharpness: variance of the Laplacian of luma, levels squared, at a longer side of 512 px;
            Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000.
        contrast: standard deviation of luma, levels.
        transparent: share of a background that had alpha, through which mid-grey shows now.
        people: probability of people in a background, as a detector says; None without one.
    """

    coverage: float | None
    haze: float | None
    see_through: float | None
    specks: float | None
    sharpness: float
    contrast: float
    transparent: float | None = None
    people: float | None = None


def measure_human(rgba: Pixels, cleaned: Matte, recipe: Recipe) -> Measures:
    """Measure a human.

    Args:
        rgba: uint8 (H, W, 4), straight RGBA.
        cleaned: uint8 (H, W), what `builder.matte.clean_matte` left of its alpha.
        recipe: `haze_alpha` matters.
    """
    alpha = np.ascontiguousarray(rgba[..., 3])
    solid = alpha >= _SOLID
    solid_pixels = max(1, int(np.count_nonzero(solid)))
    faint = (alpha >= _INVISIBLE) & (alpha < max(recipe.haze_alpha, _INVISIBLE))
    removed = solid & (cleaned < _SOLID)
    sharpness, contrast = _detail(np.ascontiguousarray(rgba[..., :3]), solid)
    return Measures(
        coverage=float(alpha.mean(dtype=np.float64)) / 255,
        haze=float(np.count_nonzero(faint)) / solid_pixels,
        see_through=_see_through(cleaned),
        specks=float(np.count_nonzero(removed)) / solid_pixels,
        sharpness=sharpness,
        contrast=contrast,
    )


def measure_background(rgb: Pixels, transparent: float, people: float | None) -> Measures:
    """Measure a background: uint8 (H, W, 3), RGB; the rest is as `Measures` has it."""
    sharpness, contrast = _detail(rgb, None)
    return Measures(None, None, None, None, sharpness, contrast, transparent, people)


def _see_through(cleaned: Matte) -> float:
    """Return the share of the inside that shines through.

    The inside is that of the outermost outline, so that a body that has all but vanished counts;
    what is quite transparent there, as between arm and hip, is no part of the figure. It begins
    where hair has ended, which is a share of the figure's size and not of the picture's.
    """
    outlines, _ = cv2.findContours(
        (cleaned >= _SILHOUETTE).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    filled = np.zeros(cleaned.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    # What is quite transparent has an outline of its own.
    filled[cleaned < _TOUCHED] = 0
    reach = _OUTLINE * float(np.count_nonzero(filled)) ** 0.5
    # Beyond a border that cuts it the figure goes on: there is no outline.
    padded = cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1] > reach
    total = np.count_nonzero(inside)
    return float(np.count_nonzero(cleaned[inside] < _SEE_THROUGH)) / total if total else 0.0


def _detail(rgb: Pixels, solid: Mask | None) -> tuple[float, float]:
    """Return sharpness and contrast of a picture, or of its solid part."""
    height, width = rgb.shape[:2]
    factor = min(1.0, _COMPARED_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    luma = cv2.cvtColor(
        cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    ).astype(np.float32)
    response = cv2.Laplacian(luma, cv2.CV_32F)
    if solid is None:
        return float(response.var()), float(luma.std())
    small = cv2.resize(solid.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    # Colours beyond the outline are arbitrary, and so is what they make of an edge.
    inside = cv2.erode((small == 255).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    if not inside.any():
        return 0.0, 0.0
    return float(response[inside].var()), float(luma[inside].std())
