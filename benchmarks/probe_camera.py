"""A camera for the stand-in, modelled apart from the recipes' own: lens, mosaic, film, file."""

from __future__ import annotations

import io
import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

_GAMMA = 2.2
# Doublings of the light, one deviation: a camera measures a scene, and is often wrong.
_EXPOSURE = 0.5
_WHITE_BALANCE = 0.15
# Radius of the disc into which a lens spreads a point, px.
_CONFUSION = (0.0, 1.6)
# What a pixel of white collects, from a telephone at night to a large sensor at noon.
_PHOTONS = (300.0, 20_000.0)
_WHITE = 65_535 / 4
_SHOULDER = (0.0, 0.6)
_QUALITY = (55, 96)


def photograph(scene: Pixels, rng: np.random.Generator) -> Pixels:
    """Take a picture of a scene; no edge of it moves.

    Exposure and white balance are off by log-normal factors; the lens blurs by a disc; each pixel
    counts photons of one colour, by Poisson's law, behind the filters of Bayer (US patent 3971065,
    1976), and is demosaiced; a film-like curve rolls the highlights off (Reinhard et al.,
    "Photographic tone reproduction for digital images", 2002); JPEG halves the colours' resolution.
    None of this code, nor of these values, is a recipe's. Yet it does what `realistic` imitates
    too: a recipe that alters pictures has an advantage here over one that does not.

    Args:
        scene: uint8 (H, W, 3), RGB.
        rng: drawn from a fixed number of times, and once for each pixel.

    Returns:
        uint8 (H, W, 3), RGB.
    """
    stops = rng.normal(0, _EXPOSURE) + rng.normal(0, _WHITE_BALANCE, 3)
    light = (scene / np.float64(255)) ** _GAMMA * 2**stops
    raw = _counted(_through_lens(light, rng.uniform(*_CONFUSION)), rng)
    return _filed(_developed(raw, rng.uniform(*_SHOULDER)), int(rng.integers(*_QUALITY)))


def _through_lens(light: Any, radius: float) -> Any:
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # Half a pixel within the disc's rim is half of it.
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)


def _counted(light: Any, rng: np.random.Generator) -> Any:
    """Return linear light, float64 (H, W, 3), from one noisy colour a pixel."""
    photons = float(np.exp(rng.uniform(*np.log(_PHOTONS))))
    mosaic = light[..., 1].copy()
    mosaic[::2, ::2] = light[::2, ::2, 0]
    mosaic[1::2, 1::2] = light[1::2, 1::2, 2]
    counted = rng.poisson(mosaic * photons) / photons
    raw = np.clip(np.rint(counted * _WHITE), 0, 65_535).astype(np.uint16)
    return cv2.demosaicing(raw, cv2.COLOR_BayerRGGB2RGB) / _WHITE


def _developed(light: Any, shoulder: float) -> Pixels:
    # Reinhard's curve, between none of it and all of it; white stays white.
    rolled = light * (1 + shoulder) / (1 + shoulder * light)
    return np.rint(255 * np.clip(rolled, 0, 1) ** (1 / _GAMMA)).astype(np.uint8)


def _filed(pixels: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(file))
