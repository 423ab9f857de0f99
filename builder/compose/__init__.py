"""Pure: from the arrays of a human and a background to a composite and its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from builder.compose.blend import Pixels, blend, resize_background, warp
from builder.compose.figure import Figure, prepare_figure
from builder.compose.labels import straight_foreground, trimap
from builder.compose.light import Stage, light
from builder.compose.operations import draw_count
from builder.compose.photometric import alter_background, alter_composite
from builder.compose.placement import place
from builder.compose.scene import Placed, add_companions, join
from builder.compose.seeds import Seeds, composite_seeds
from builder.recipe import Recipe

__all__ = ["Composite", "compose", "composite_seeds", "prepare_figure"]

# The children of a composite's seeds. A new one gets a number of its own, so that recipes without
# it draw what they always drew.
_PLACEMENT, _BACKGROUND, _COMPOSITE, _LIGHT, _LABELS, _COMPANY, _NEGATIVE = range(7)


@dataclass(frozen=True)
class Composite:
    """One training pair.

    Attributes:
        image: uint8 (H, W, 3), sRGB.
        mask: uint8 (H, W), the alpha matte of what is visible of the human, 0 to 255.
        labels: those besides the mask that the recipe asks for, by name. `trimap`: uint8 (H, W);
            see `builder.compose.labels`. `foreground` F and `background` B: uint8 (H, W, 3), sRGB,
            with which alpha * F + (1 - alpha) * B is the composite before `operations` changed it,
            within 2 levels, unless light was blended linearly. F is black where alpha is 0.
        provenance: JSON-ready values from which the pair can be understood and redone.
    """

    image: Pixels
    mask: Pixels
    labels: dict[str, Pixels]
    provenance: dict[str, Any]


def compose(
    figure: Figure,
    background: Pixels,
    recipe: Recipe,
    seeds: Seeds,
    companions: Sequence[Figure] = (),
) -> Composite:
    """Place, light, blend and alter.

    Args:
        figure: from `prepare_figure`.
        background: uint8 (H, W, 3), RGB; left as it is.
        recipe: the placement, light and photometric knobs matter.
        seeds: from `composite_seeds`.
        companions: others for the same picture, from `prepare_figure`; the provenance tells by
            their numbers, from 1, which of them found room.

    Raises:
        LayerError: the figure cannot be placed on this background as the recipe asks.
    """
    size = (background.shape[1], background.shape[0])
    figure, placement = place(figure, size, recipe, seeds.child(_PLACEMENT).generator())
    canvas = resize_background(background, placement)
    canvas, on_background = alter_background(canvas, recipe, seeds.child(_BACKGROUND))
    shown = _keeps_human(recipe, seeds.child(_NEGATIVE))
    placed = [Placed(0, figure, placement)]
    if shown and companions:
        placed = add_companions(placed[0], companions, recipe, seeds.child(_COMPANY))
    stage, figures = _lit(canvas, placed if shown else [], recipe, seeds.child(_LIGHT))
    first = next((values for values in figures if not values["number"]), None)
    image = stage.canvas.copy() if "background" in recipe.labels else stage.canvas
    mask = blend(image, stage.figure, stage.position, linear=recipe.blend_light == "linear")
    labels, on_labels = _labels(stage, mask, recipe, seeds.child(_LABELS))
    image, on_composite = alter_composite(image, recipe, seeds.child(_COMPOSITE))
    provenance = {
        "geometry": first["geometry"] if first else None,
        "background_operations": on_background,
        "light": first["light"] if first else [],
        "figures": figures if len(figures) > 1 else [],
        "operations": on_composite,
        **on_labels,
        "coverage": round(cv2.sumElems(mask)[0] / mask.size / 255, 4),
    }
    return Composite(image, mask, labels, provenance)


def _keeps_human(recipe: Recipe, seeds: Seeds) -> bool:
    return seeds.chance() >= recipe.negatives


def _lit(
    canvas: Pixels, placed: Sequence[Placed], recipe: Recipe, seeds: Seeds
) -> tuple[Stage, list[dict[str, Any]]]:
    """Light all figures, furthest first, and join them; return what the provenance says of each."""
    joined, place = np.zeros((0, 0, 4), np.uint8), (0, 0)
    stands = False
    figures: list[dict[str, Any]] = []
    for each in placed:
        warped, position = warp(each.figure, each.placement)
        stands = _stands(each.figure, position, warped, canvas)
        # One scene has one sun: all of its figures draw the same values.
        stage, applied = light(Stage(canvas, warped, position, stands), recipe, seeds)
        canvas = stage.canvas
        lit = (stage.figure, stage.position)
        joined, place = join((joined, place), lit) if figures else lit
        geometry = _geometry(each, position, warped)
        figures.append({"number": each.number, "geometry": geometry, "light": applied})
    return Stage(canvas, joined, place, stands), figures


def _labels(
    stage: Stage, mask: Pixels, recipe: Recipe, seeds: Seeds
) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """Return the labels that the recipe asks for, and what the provenance says of them."""
    labels: dict[str, Pixels] = {}
    values: dict[str, Any] = {}
    if "trimap" in recipe.labels:
        values["trimap_radius"] = draw_count(recipe.trimap_radius, seeds.generator())
        labels["trimap"] = trimap(mask, values["trimap_radius"])
    if "foreground" in recipe.labels:
        frame = (mask.shape[1], mask.shape[0])
        labels["foreground"] = straight_foreground(stage.figure, stage.position, frame)
    if "background" in recipe.labels:
        labels["background"] = stage.canvas
    return labels, values


def _stands(figure: Figure, position: tuple[int, int], warped: Pixels, canvas: Pixels) -> bool:
    """Tell whether the figure's own lower end is in the frame: then it stands, or sits, on it."""
    ends_above = position[1] + warped.shape[0] < canvas.shape[0]
    return "bottom" not in figure.cuts and ends_above


def _geometry(placed: Placed, position: tuple[int, int], warped: Pixels) -> dict[str, Any]:
    placement = placed.placement
    left, top = position
    height, width = warped.shape[:2]
    return {
        "frame": list(placement.frame),
        "box": [left, top, left + width, top + height],
        "scale": round(placement.scale, 6),
        "rotation": round(placement.rotation, 4),
        "flip": placed.figure.flipped,
        "matrix": [[round(value, 6) for value in row] for row in placement.matrix.tolist()],
        "background_box": list(placement.background_box),
    }
