"""Pure: from the arrays of a human and a background to a composite and its mask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from builder.compose.blend import Pixels, blend, resize_background, warp
from builder.compose.figure import Figure, prepare_figure
from builder.compose.photometric import alter_background, alter_composite
from builder.compose.placement import Placement, place
from builder.recipe import Recipe

__all__ = ["Composite", "compose", "composite_rng", "prepare_figure"]


@dataclass(frozen=True)
class Composite:
    """One training pair.

    Attributes:
        image: uint8 (H, W, 3), sRGB.
        mask: uint8 (H, W), the alpha matte of what is visible of the human, 0 to 255.
        provenance: JSON-ready values from which the pair can be understood and redone.
    """

    image: Pixels
    mask: Pixels
    provenance: dict[str, Any]


def composite_rng(seed: int, human: str, k: int) -> np.random.Generator:
    """Return the generator of everything random about the `k`-th composite of a human."""
    digest = hashlib.sha256(f"{seed}/{human}/{k}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def compose(
    figure: Figure, background: Pixels, recipe: Recipe, rng: np.random.Generator
) -> Composite:
    """Place, blend and alter.

    Args:
        figure: from `prepare_figure`.
        background: uint8 (H, W, 3), RGB; left as it is.
        recipe: the placement and photometric knobs matter.
        rng: from `composite_rng`.

    Raises:
        LayerError: the figure cannot be placed on this background as the recipe asks.
    """
    placement_rng, background_rng, composite_rng_ = rng.spawn(3)
    size = (background.shape[1], background.shape[0])
    figure, placement = place(figure, size, recipe, placement_rng)
    canvas = resize_background(background, placement)
    canvas, on_background = alter_background(canvas, recipe, background_rng)
    warped, position = warp(figure, placement)
    mask = blend(canvas, warped, position)
    image, on_composite = alter_composite(canvas, recipe, composite_rng_)
    provenance = {
        "geometry": _geometry(placement, position, warped),
        "background_operations": on_background,
        "operations": on_composite,
        "coverage": round(float(mask.mean(dtype=np.float64)) / 255, 4),
    }
    return Composite(image, mask, provenance)


def _geometry(placement: Placement, position: tuple[int, int], warped: Pixels) -> dict[str, Any]:
    left, top = position
    height, width = warped.shape[:2]
    return {
        "frame": list(placement.frame),
        "box": [left, top, left + width, top + height],
        "scale": round(placement.scale, 6),
        "rotation": round(placement.rotation, 4),
        "flip": placement.flip,
        "matrix": [[round(value, 6) for value in row] for row in placement.matrix.tolist()],
        "background_box": list(placement.background_box),
    }
