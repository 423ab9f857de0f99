"""A hash of what a picture looks like."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_HASH_SIDE = 16


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
