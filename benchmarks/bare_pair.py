"""The least that is still a dataset: decode, one warp, one blend, encode, and the shard.

What our builder does beyond it, `build` pays for: clean mattes, cuts that leave the frame, checked
placements, resampling without aliasing, provenance. `decided_pair.py` has the pixels of that.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np

from builder.compose import composite_seeds
from builder.compose.blend import blend
from builder.decoding import decode_background, decode_human
from builder.encoding import IMAGE_SUFFIXES, encode_image, encode_png
from builder.render import Task
from builder.sources.layer import Layer


def make_bare_rows(task: Task) -> list[dict[str, Any]]:
    """Make the rows of one task, each human decoded once for all of its pairs."""
    suffix = IMAGE_SUFFIXES[task.recipe.image_format]
    decoded, figure = "", np.zeros((0, 0, 4), np.uint8)
    rows = []
    for pair, human, background in zip(task.pairs, task.humans, task.backgrounds, strict=True):
        if human.id != decoded:
            straight = decode_human(human.read(), task.recipe.max_pixels)
            decoded, figure = human.id, cv2.cvtColor(straight, cv2.COLOR_RGBA2mRGBA)
        image = scene(background, task.recipe.max_pixels).copy()
        mask = _pasted(image, figure, composite_seeds(task.seed, pair.human, pair.k).generator())
        rows.append(
            {
                "id": pair.id,
                "image": {
                    "bytes": encode_image(image, task.recipe),
                    "path": f"{pair.id}.{suffix}",
                },
                "mask": {"bytes": encode_png(mask), "path": f"{pair.id}.png"},
                "human": pair.human,
                "background": pair.background,
                "provenance": '{"coverage": 0}',
            }
        )
    return rows


# As many of 1360x768 as our own workers keep.
@functools.lru_cache(maxsize=40)
def scene(layer: Layer, max_pixels: int) -> np.ndarray:
    """Return a decoded background, uint8 (H, W, 3), RGB; not to be written to."""
    return decode_background(layer.read(), max_pixels)


def _pasted(image: np.ndarray, figure: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay a figure over a picture at a scale and a place drawn as the original drew them."""
    height, width = image.shape[:2]
    scale = min(width / figure.shape[1], height / figure.shape[0]) * rng.uniform(0.3, 1.5)
    wide, tall = round(figure.shape[1] * scale), round(figure.shape[0] * scale)
    x = round((width - wide) / 2 + rng.uniform(-0.3, 0.3) * width)
    y = round((height - tall) / 2 + rng.uniform(0, 0.5) * height)
    left, top = max(0, x), max(0, y)
    size = (min(width, x + wide) - left, min(height, y + tall) - top)
    matrix = np.array([[scale, 0, x - left], [0, scale, y - top]])
    return blend(image, cv2.warpAffine(figure, matrix, size), (left, top))
