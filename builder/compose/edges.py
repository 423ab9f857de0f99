"""Colours at the edge of a figure, where its old background may still shine through."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

# Averages are taken at a quarter of the resolution, over about 1.2 % of the longer side.
_SHRINKING = 4
_REACH = 0.012


def decontaminate(premultiplied: Pixels, strength: float) -> Pixels:
    """Move the colours of partly transparent pixels towards those of the opaque figure nearby.

    The nearby colour is an average weighted by the square of alpha (normalised convolution:
    Knutsson and Westin, 1993), as in Forte, "Approximate fast foreground colour estimation", 2021,
    which would need the picture from which the figure was cut out. The more transparent a pixel,
    the more of its colour is replaced; an opaque one keeps its own.

    Args:
        premultiplied: uint8 (H, W, 4), premultiplied RGBA.
        strength: 0 leaves all as it is, 1 replaces the colour of the most transparent pixels.

    Returns:
        uint8 (H, W, 4), premultiplied RGBA with the same alpha.
    """
    if not strength:
        return premultiplied
    alpha = np.asarray(cv2.extractChannel(premultiplied, 3))
    nearby = cv2.cvtColor(_nearby_colour(premultiplied), cv2.COLOR_RGB2RGBA)
    nearby = cv2.multiply(nearby, cv2.merge([alpha] * 4), scale=1 / 255)
    # Half transparent, a colour is half of somebody else's: it goes nearly at once.
    shares = strength * (1 - (np.arange(256, dtype=np.float32) / 255) ** 3)
    replaced = cv2.LUT(alpha, shares)
    mixed = cv2.blendLinear(nearby, premultiplied, replaced, 1 - replaced)
    # Rounding must not make a colour exceed its alpha: that would be a fringe.
    mixed = cv2.min(mixed, cv2.merge([alpha] * 4))
    return np.asarray(cv2.insertChannel(alpha, mixed, 3), dtype=np.uint8)


def _nearby_colour(premultiplied: Pixels) -> Pixels:
    """Return uint8 (H, W, 3), RGB: the alpha-weighted average around each pixel."""
    height, width = premultiplied.shape[:2]
    small_size = (max(1, width // _SHRINKING), max(1, height // _SHRINKING))
    small = cv2.resize(premultiplied, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = max(0.6, _REACH * max(height, width) / _SHRINKING)
    # Weighted by alpha once more: what is nearly opaque knows the colour best.
    small *= small[..., 3:] / 255
    averaged = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma))
    colour = averaged[..., :3] * (255 / np.maximum(averaged[..., 3:], 1e-3))
    colour = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR))
