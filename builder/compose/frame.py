"""Frames of a size that is asked for, whatever the background's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import cv2
import numpy as np

from builder.compose.blend import Pixels

# Labels whose values must not be mixed.
_CLASSES = ("trimap",)
_HEADROOM = 0.03


def crop_to_aspect(background: Pixels, size: tuple[int, int], key: str) -> Pixels:
    """Return the largest part of a background with the aspect of a frame, at a drawn place.

    Args:
        background: uint8 (H, W, 3).
        size: (height, width) of the frame.
        key: whatever the place is to depend on.
    """
    height, width = background.shape[:2]
    scale = min(height / size[0], width / size[1])
    tall = min(height, max(1, round(size[0] * scale)))
    wide = min(width, max(1, round(size[1] * scale)))
    digest = hashlib.sha256(key.encode()).digest()
    drawn = int.from_bytes(digest[:8], "big") / 2**64
    top, left = (int(drawn * (room + 1)) for room in (height - tall, width - wide))
    return background[top : top + tall, left : left + wide]


def fit(pictures: Mapping[str, Pixels], size: tuple[int, int]) -> dict[str, Pixels]:
    """Bring pictures of one frame to a size: scaled until they fill it, then cropped.

    Only a human that its picture's borders cut on two sides, or that has too few pixels, leaves
    anything to do. Where there is room, the part with the most of the human is kept, but a head is
    kept before all else.

    Args:
        pictures: uint8 (h, w) or (h, w, 3), by name; `mask` among them.
        size: (height, width).
    """
    height, width = pictures["mask"].shape
    if (height, width) == size:
        return dict(pictures)
    scale = max(size[0] / height, size[1] / width)
    shape = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    grown = {name: _resized(pixels, shape, name) for name, pixels in pictures.items()}
    rows, columns = (grown["mask"].sum(axis=axis, dtype=np.int64) for axis in (1, 0))
    over_the_head = max(0, int(np.argmax(rows > 0)) - round(_HEADROOM * size[0]))
    top = min(_best_start(rows, size[0]), over_the_head)
    left = _best_start(columns, size[1])
    return {
        name: pixels[top : top + size[0], left : left + size[1]] for name, pixels in grown.items()
    }


def _resized(pixels: Pixels, shape: tuple[int, int], name: str) -> Pixels:
    if pixels.shape[:2] == shape:
        return pixels
    smaller = shape[0] < pixels.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    how = cv2.INTER_NEAREST if name in _CLASSES else how
    return np.asarray(cv2.resize(pixels, shape[::-1], interpolation=how), dtype=np.uint8)


def _best_start(mass: np.ndarray[tuple[int], np.dtype[np.int64]], length: int) -> int:
    """Return where a window of a length holds the most."""
    before = np.concatenate([[0], np.cumsum(mass)])
    return int(np.argmax(before[length:] - before[:-length]))
