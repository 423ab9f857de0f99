"""Backgrounds drawn by code: rooms, horizons, streets, foliage and lights out of focus."""

from __future__ import annotations

import cv2
import numpy as np

from builder.sources.drawing.canvas import Pixels, add_grain, as_pixels, octave_noise
from builder.sources.drawing.outdoors import draw_foliage, draw_horizon, draw_lights
from builder.sources.drawing.room import draw_room
from builder.sources.drawing.street import draw_street

_ASPECTS = (16 / 9, 3 / 2, 4 / 3, 1.0, 3 / 4, 2 / 3, 9 / 16)
_SCENES = (draw_room, draw_horizon, draw_street, draw_foliage, draw_lights)
_SCENE_SHARES = (0.28, 0.26, 0.22, 0.14, 0.1)
# A shorter side would be left out as too small, or nearly so.
_LEAST_SIDE = 76


def draw_background(rng: np.random.Generator, longest: int) -> Pixels:
    """Draw a scene without people.

    Args:
        rng: all that is random comes from it.
        longest: upper bound of the longer side, px, 128 and up.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    aspect = float(rng.choice(_ASPECTS))
    longer = longest * float(rng.uniform(0.72, 1.0))
    narrowing = min(aspect, 1 / aspect)
    longer = min(float(longest), max(longer, _LEAST_SIDE / narrowing))
    shorter = max(_LEAST_SIDE, round(longer * narrowing))
    height, width = (shorter, round(longer)) if aspect >= 1 else (round(longer), shorter)
    scene = _SCENES[rng.choice(len(_SCENES), p=_SCENE_SHARES)]
    picture = scene(rng, height, width)
    return _photographed(rng, picture)


def _photographed(rng: np.random.Generator, picture: Pixels) -> Pixels:
    """Return the picture with uneven light, a tint, some blur, and a sensor's noise."""
    height, width = picture.shape[:2]
    if rng.random() < 0.5:
        sigma = float(rng.uniform(0.0006, 0.0025)) * max(height, width)
        picture = as_pixels(cv2.GaussianBlur(picture, (0, 0), max(0.4, sigma)))
    rows, columns = 24, 24
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    light = 1.03 - rng.uniform(0.04, 0.16) * (x**2 + y**2)
    light += 0.16 * (octave_noise(rng, rows, columns, 2, 2) - 0.5)
    tint = 1 + rng.uniform(-0.05, 0.05, 3)
    gain = (light[..., None] * tint).astype(np.float32)
    full = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    lit = as_pixels(cv2.multiply(picture, full, dtype=cv2.CV_8U))
    return add_grain(rng, lit, int(rng.integers(3, 9)))
