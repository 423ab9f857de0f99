"""Several figures in one picture: where the others go, and how the layers join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from builder.compose.blend import Pixels
from builder.compose.figure import Figure
from builder.compose.operations import as_pixels
from builder.compose.placement import Matrix, Placement, moved, pixels_to_frame, place_at
from builder.compose.seeds import Seeds
from builder.recipe import Recipe

_ATTEMPTS = 12
# Beside the first figure: how tall a person is, how far away, and how far below or above the feet.
_STATURES = (0.88, 1.12)
_APART = (0.55, 1.05)
_DEPTHS = (-0.07, 0.07)
_HORIZONS = (0.3, 0.45)
_HEADS = (-0.06, 0.1)
# Where only one of the two goes on below the frame: how much of the nearer one is shown, and how
# tall the other one is beside it.
_SHOWN_OF_NEARER = (0.8, 1.0)
_FURTHER_AWAY = (0.55, 0.8)
# A whole figure that is less tall beside its width sits or kneels.
_STANDING_ASPECT = 1.8
_SEATED = 0.75
# The cuts of a figure may force another scale, up to here; then it would be a giant.
_LARGEST_CHANGE = 1.25
_LEAST_COVERAGE = 0.005
_SLACK = 1.1


@dataclass(frozen=True)
class Placed:
    """A figure, mirrored or not, and its place. `number` is 0 for the first, who chose the frame.

    The companions count from 1, in the order in which they were offered.
    """

    number: int
    figure: Figure
    placement: Placement

    @property
    def lower_end(self) -> float:
        """The row of the frame, or of what is below it, where the figure ends."""
        return float(moved(self.placement.matrix, self.figure.points)[:, 1].max())


def add_companions(
    first: Placed, others: Sequence[Figure], recipe: Recipe, seeds: Seeds
) -> list[Placed]:
    """Place companions beside a figure; one without room is left out.

    Two whole figures stand on one floor: with feet at row y and a horizon at row h, both are as
    tall as y - h says (Hoiem et al., "Putting objects in perspective", 2008). Of two that go on
    below the frame the heads are side by side. Whoever ends lower is nearer.

    Args:
        first: where the first figure is.
        others: the companions, not mirrored.
        recipe: `flip_probability`, `min_visible` and `max_upscale` matter.
        seeds: each companion has a child of them.

    Returns:
        All figures of the scene, the furthest first. Of each at least `min_visible` can be seen.
    """
    scene = [first]
    for number, other in enumerate(others, start=1):
        own_rng = seeds.child(number - 1).generator()
        figure = other.mirrored() if own_rng.random() < recipe.flip_probability else other
        for _ in range(_ATTEMPTS):
            placement = _beside(first, figure, recipe, own_rng)
            if placement is None:
                continue
            tried = [*scene, Placed(number, figure, placement)]
            tried.sort(key=lambda placed: placed.lower_end)
            if all(share >= _SLACK * recipe.min_visible for share in _visible_shares(tried)):
                scene = tried
                break
    return scene


def join(
    behind: tuple[Pixels, tuple[int, int]], front: tuple[Pixels, tuple[int, int]]
) -> tuple[Pixels, tuple[int, int]]:
    """Lay one premultiplied figure over another: the "over" of Porter and Duff, 1984.

    Args:
        behind, front: uint8 (h, w, 4), premultiplied RGBA, and their (left, top) in the frame.

    Returns:
        uint8, premultiplied RGBA, of the box around both, and its (left, top). Its alpha is that of
        the union.
    """
    boxes = [_box(*behind), _box(*front)]
    left, top = (min(box[axis] for box in boxes) for axis in (0, 1))
    right, bottom = (max(box[axis] for box in boxes) for axis in (2, 3))
    joined = np.zeros((bottom - top, right - left, 4), np.uint8)
    for pixels, (own_left, own_top) in (behind, front):
        height, width = pixels.shape[:2]
        if not pixels.size:
            continue
        y, x = own_top - top, own_left - left
        region = joined[y : y + height, x : x + width]
        uncovered = cv2.merge([cv2.bitwise_not(cv2.extractChannel(pixels, 3))] * 4)
        region[:] = cv2.add(pixels, cv2.multiply(region, uncovered, scale=1 / 255))
    return as_pixels(joined), (left, top)


def _box(pixels: Pixels, position: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = position
    return left, top, left + pixels.shape[1], top + pixels.shape[0]


def _beside(
    first: Placed, figure: Figure, recipe: Recipe, rng: np.random.Generator
) -> Placement | None:
    """Return a drawn place for another figure, or None where the rules allow none there."""
    width, height = first.placement.frame
    x, y = moved(first.placement.matrix, first.figure.points).T
    left, right, top, bottom = (float(edge) for edge in (x.min(), x.max(), y.min(), y.max()))
    upper, lower = _vertical_extent(first, (top, bottom), figure, height, rng)
    own_height = figure.box[3] - figure.box[1]
    scale = (lower - upper) / own_height
    half_widths = (right - left + scale * (figure.box[2] - figure.box[0])) / 2
    side = 1 if rng.random() < _room_on_the_right(left, right, width) else -1
    centre = (left + right) / 2 + side * float(rng.uniform(*_APART)) * half_widths
    placement = place_at(figure, first.placement, scale, (centre, upper), recipe, _LEAST_COVERAGE)
    if placement is None or placement.scale > _LARGEST_CHANGE * scale:
        return None
    return placement


def _vertical_extent(
    first: Placed,
    extent: tuple[float, float],
    figure: Figure,
    frame_height: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the rows of the frame, or below it, from which to which another figure reaches."""
    top, bottom = extent
    stature = float(rng.uniform(*_STATURES))
    head = top + float(rng.uniform(*_HEADS)) * frame_height
    first_is_whole = "bottom" not in first.figure.cuts
    if "bottom" not in figure.cuts and first_is_whole:
        horizon = min(float(rng.uniform(*_HORIZONS)) * frame_height, (top + bottom) / 2)
        feet = bottom + float(rng.uniform(*_DEPTHS)) * frame_height
        if bottom < frame_height:
            feet = min(feet, 0.99 * frame_height)
        nearness = (feet - horizon) / (bottom - horizon)
        posture = _posture(figure) / _posture(first.figure)
        return feet - stature * nearness * posture * (bottom - top), feet
    if "bottom" in figure.cuts and not first_is_whole:
        return head, head + stature * (bottom - top)
    if "bottom" in figure.cuts:
        return head, head + (frame_height - head) / float(rng.uniform(*_SHOWN_OF_NEARER))
    feet = float(rng.uniform(0.8, 0.95)) * frame_height
    tall = float(rng.uniform(*_FURTHER_AWAY)) * (frame_height - top) * _posture(figure)
    return feet - tall, feet


def _posture(figure: Figure) -> float:
    """Return how tall a figure is beside itself when standing."""
    left, top, right, bottom = figure.box
    return 1.0 if bottom - top >= _STANDING_ASPECT * (right - left) else _SEATED


def _room_on_the_right(left: float, right: float, width: int) -> float:
    """Return the share, 0 to 1, of the room beside a figure that is on its right."""
    before, after = max(0.0, left), max(0.0, width - right)
    return after / (before + after) if before + after else 0.5


def _visible_shares(scene: Sequence[Placed]) -> list[float]:
    """Return what share of each figure is in the frame with none of those after it in front."""
    shares = []
    for place, placed in enumerate(scene):
        width, height = placed.placement.frame
        points = moved(placed.placement.matrix, placed.figure.points)
        x, y = points.T
        seen = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).astype(np.float64)
        for nearer in scene[place + 1 :]:
            seen *= 1 - _alpha_at(nearer, points)
        shares.append(float((seen * placed.figure.weights).sum() / placed.figure.area))
    return shares


def _alpha_at(placed: Placed, points: Matrix) -> Matrix:
    """Return the alpha, 0 to 1, that a placed figure has at points of the frame."""
    to_frame = pixels_to_frame(placed.figure, placed.placement.matrix)
    from_frame = np.asarray(cv2.invertAffineTransform(to_frame), np.float64)
    x, y = np.floor(moved(from_frame, points).T).astype(int)
    height, width = placed.figure.pixels.shape[:2]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    alpha = np.zeros(len(points))
    alpha[inside] = placed.figure.pixels[y[inside], x[inside], 3] / 255
    return alpha
