"""Where a figure stands in the frame: scale, rotation and position that hide every cut."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from builder.compose.figure import Figure
from builder.cuts import Points, Side
from builder.errors import LayerError
from builder.recipe import Recipe

Matrix = npt.NDArray[np.float64]
_Point = tuple[float, float]
Shot = Literal["close-up", "half", "full"]
_SHOTS: tuple[Shot, ...] = ("close-up", "half", "full")

# Interpolation softens the last pixel of a cut; this far outside of the frame nothing shows.
_MARGIN = 1.5
# Coverage and visibility are estimated on sample points; the estimate errs by less than this.
_SLACK = 1.1
_ATTEMPTS = 16
# A frame as wide as the figure between two cuts would allow neither rotation nor another scale.
_TURNING_ROOM = 0.92
# Tried in turn when no drawn pose fits: scales, then, since the cuts of a figure may span an aspect
# quite unlike the background's, shares of the way from the background's aspect to the figure's.
_UPRIGHT_SCALES = (1.0, 0.7, 0.5, 0.35)
_ASPECT_STEPS = (0.25, 0.5, 0.75, 1.0)
# Shares of the frame: how tall a whole figure is and where its feet are, room over a head, distance
# from the middle; and the share of a figure's height that the frame shows.
_FULL_HEIGHT = (0.45, 0.92)
_FEET = (0.86, 0.98)
_HEADROOM = (0.03, 0.16)
_ASIDE = {"full": (-0.3, 0.3), "half": (-0.2, 0.2), "close-up": (-0.12, 0.12)}
_SHOWN = {"half": (0.55, 0.75), "close-up": (0.36, 0.55)}
# Of a figure that its picture cut off already: there is less of it below the head.
_SHOWN_OF_CUT = {"half": (0.92, 1.0), "close-up": (0.8, 0.95)}
# And of one whose own picture ends at both shoulders: a wide frame has to become narrower for it.
_SHOWN_BETWEEN_CUTS = (0.75, 1.0)


@dataclass(frozen=True)
class Placement:
    """How a figure is put onto a background.

    Attributes:
        frame: (width, height) of the composite, px.
        background_box: (left, top, right, bottom) of the part of the background that fills the
            frame, px of the background; all of it, unless the figure's cuts ask for another aspect.
        scale: px of the frame for one px of the human's picture.
        rotation: degrees, counter-clockwise.
        matrix: float64 (2, 3), from continuous coordinates of the figure, mirrored or not, to those
            of the frame.
    """

    frame: tuple[int, int]
    background_box: tuple[int, int, int, int]
    scale: float
    rotation: float
    matrix: Matrix


@dataclass(frozen=True)
class _Pose:
    """A drawn wish; the cuts may force a larger scale and another position."""

    scale: float
    rotation: float
    shift: tuple[float, float]


def place(
    figure: Figure, background_size: tuple[int, int], recipe: Recipe, rng: np.random.Generator
) -> tuple[Figure, Placement]:
    """Choose a frame, and a place in it for the figure.

    Every cut lies outside of the frame, the figure's top inside (unless it is cut off itself), at
    least `min_visible` of the figure's area is in the frame and covers at least `min_coverage` of
    it. Where the figure is too small for that at `max_upscale`, the frame becomes smaller.

    Args:
        figure: not mirrored.
        background_size: (width, height), px.
        recipe: the geometry knobs matter.
        rng: drawn from a varying number of times.

    Returns:
        The figure, mirrored or not, and its placement.

    Raises:
        LayerError: no place satisfies the recipe, for example a coverage of 0.5 by a thin figure.
    """
    if rng.random() < recipe.flip_probability:
        figure = figure.mirrored()
    for pose, aspect_step in _poses(figure, background_size, recipe, rng):
        crop = _crop(background_size, figure, aspect_step)
        frame = _frame(crop, figure, recipe)
        matrix = _fit(figure, frame, pose, recipe, recipe.min_coverage)
        if matrix is not None:
            box = _centred_box(background_size, crop)
            scale = math.hypot(matrix[0, 0], matrix[0, 1])
            return figure, Placement(frame, box, scale, pose.rotation, matrix)
    raise LayerError(
        f"no place in the frame shows {recipe.min_visible:.0%} of it and lets it cover "
        f"{recipe.min_coverage:.0%}"
    )


def place_at(
    figure: Figure,
    beside: Placement,
    scale: float,
    middle_of_top: tuple[float, float],
    recipe: Recipe,
    min_coverage: float,
) -> Placement | None:
    """Return the place nearest to a wish, upright and in the frame of another figure.

    Args:
        figure: mirrored already, if it is to be.
        beside: its frame and background are taken over.
        scale: px of the frame for one px of the human's picture.
        middle_of_top: (x, y) in the frame of the middle of the upper side of the figure's box.
        recipe: `min_visible` and `max_upscale` matter.
        min_coverage: share of the frame that the figure has to cover.

    Returns:
        None where a cut would show, or too little of the figure.
    """
    left, top, right, _ = figure.box
    x = middle_of_top[0] + scale * (figure.width / 2 - (left + right) / 2)
    y = middle_of_top[1] + scale * (figure.height / 2 - top)
    width, height = beside.frame
    fitted = max(width, height) / max(figure.width, figure.height)
    pose = _Pose(scale / fitted, 0.0, (x / width - 0.5, y / height - 0.5))
    matrix = _fit(figure, beside.frame, pose, recipe, min_coverage)
    if matrix is None:
        return None
    actual = math.hypot(matrix[0, 0], matrix[0, 1])
    return Placement(beside.frame, beside.background_box, actual, 0.0, matrix)


def moved(matrix: Matrix, points: Points) -> Points:
    """Return points, float64 (n, 2), where a matrix takes them."""
    x, y = points.T
    # A product of matrices is rounded by each processor in its own way.
    taken: Points = np.stack([a * x + b * y + c for a, b, c in matrix.tolist()]).T
    return taken


def pixels_to_frame(figure: Figure, matrix: Matrix) -> Matrix:
    """Return float64 (2, 3): where a matrix of a figure takes coordinates of its `pixels`."""
    left, top, right, _ = figure.box
    across, start = (-1, right) if figure.flipped else (1, left)
    return np.array([[a * across, b, a * start + b * top + c] for a, b, c in matrix.tolist()])


def _visible_share(
    figure: Figure, turned: _Turned, frame: tuple[int, int], scale: float, centre: _Point
) -> float:
    """Return the estimated share, 0 to 1, of the figure's area that lies in the frame."""
    inside = np.ones(len(figure.weights), dtype=bool)
    for along, length, middle in zip((turned.x, turned.y), frame, centre, strict=True):
        inside &= along >= -middle / scale
        inside &= along < (length - middle) / scale
    return float(figure.weights[inside].sum() / figure.area)


def _poses(
    figure: Figure, background_size: tuple[int, int], recipe: Recipe, rng: np.random.Generator
) -> Iterator[tuple[_Pose, float]]:
    """Yield drawn poses, then upright ones in frames ever closer to the figure's own aspect."""
    if recipe.framing_probability and rng.random() < recipe.framing_probability:
        shot = _drawn_shot(recipe, rng)
        step = _step_to_show(figure, background_size, rng)
        frame = _frame(_crop(background_size, figure, step), figure, recipe)
        # What does not fit closely, for its shape or for want of pixels, does from further away.
        for wider in _SHOTS[_SHOTS.index(shot) :]:
            for _ in range(_ATTEMPTS // 2):
                yield _framed(figure, frame, wider, recipe, rng), step
    if rng.random() < recipe.geometry_probability:
        for _ in range(_ATTEMPTS):
            scale = float(rng.uniform(*recipe.scale))
            rotation = float(rng.uniform(*recipe.rotation))
            shift = (float(rng.uniform(*recipe.shift_x)), float(rng.uniform(*recipe.shift_y)))
            yield _Pose(scale, rotation, shift), 0.0
    for scale in _UPRIGHT_SCALES:
        yield _Pose(scale, 0.0, (0.0, 0.0)), 0.0
    for step in _ASPECT_STEPS:
        yield _Pose(1.0, 0.0, (0.0, 0.0)), step


def _step_to_show(figure: Figure, background: tuple[int, int], rng: np.random.Generator) -> float:
    """Return the share of the way to the figure's aspect at which a frame shows enough of it.

    A figure that is cut off at both sides fills the frame's width: in a wide one a portrait would
    end at its eyes.
    """
    if not {"left", "right"} <= figure.cuts.keys():
        return 0.0
    left, top, right, bottom = _uncut_box(figure)
    if right <= left or bottom <= top:
        return 0.0
    shown = float(rng.uniform(*_SHOWN_BETWEEN_CUTS))
    own = math.log(background[0] / background[1])
    aspect = math.log((right - left) / (bottom - top))
    wanted = aspect - math.log(shown)
    return (wanted - own) / (aspect - own) if wanted < own else 0.0


def _drawn_shot(recipe: Recipe, rng: np.random.Generator) -> Shot:
    if rng.random() < recipe.close_up_share:
        return "close-up"
    return "half" if rng.random() < recipe.half_body_share else "full"


def _framed(
    figure: Figure,
    frame: tuple[int, int],
    shot: Shot,
    recipe: Recipe,
    rng: np.random.Generator,
) -> _Pose:
    """Return a pose in which a photographer would take the picture.

    A close-up and a half-length portrait have the head near the upper edge and go on below the
    lower one, as far as `min_visible` lets them; a whole figure stands in the lower part.
    """
    width, height = frame
    left, top, right, bottom = _uncut_box(figure)
    upper, feet = float(rng.uniform(*_HEADROOM)), float(rng.uniform(*_FEET))
    if shot == "full":
        wanted = float(rng.uniform(*_FULL_HEIGHT))
    else:
        shares = _SHOWN_OF_CUT if "bottom" in figure.cuts else _SHOWN
        wanted = (1 - upper) / float(rng.uniform(*shares[shot]))
    scale = min(wanted * height / (bottom - top), recipe.max_upscale)
    tall = scale * (bottom - top) / height
    if upper + tall < 1:
        # All of it is shown, be it for want of pixels: then its feet are on the ground.
        upper = feet - tall
    middle = width * (0.5 + float(rng.uniform(*_ASIDE[shot])))
    centre_x = middle + scale * (figure.width / 2 - (left + right) / 2)
    centre_y = upper * height + scale * (figure.height / 2 - top)
    rotation = float(rng.uniform(*recipe.rotation)) if shot != "full" else 0.0
    fitted = max(width, height) / max(figure.width, figure.height)
    return _Pose(scale / fitted, rotation, (centre_x / width - 0.5, centre_y / height - 0.5))


def _crop(background: tuple[int, int], figure: Figure, step: float) -> tuple[int, int]:
    """Return the size of the part of the background that has the wanted aspect."""
    width, height = background
    left, top, right, bottom = _uncut_box(figure)
    own = width / height
    aspect = own * (((right - left) / (bottom - top)) / own) ** step
    if aspect < own:
        return max(1, round(height * aspect)), height
    return width, max(1, round(width / aspect))


def _uncut_box(figure: Figure) -> tuple[float, float, float, float]:
    """Return the figure's box, cut sides moved inwards to where the figure is fully opaque."""
    left, top, right, bottom = (float(edge) for edge in figure.box)
    cuts = figure.cuts
    left = max([left, *cuts["left"][:, 0]]) if "left" in cuts else left
    right = min([right, *cuts["right"][:, 0]]) if "right" in cuts else right
    top = max([top, *cuts["top"][:, 1]]) if "top" in cuts else top
    bottom = min([bottom, *cuts["bottom"][:, 1]]) if "bottom" in cuts else bottom
    return left, top, right, bottom


def _frame(crop: tuple[int, int], figure: Figure, recipe: Recipe) -> tuple[int, int]:
    """Return the frame's size: the recipe's, or smaller where the figure could not fill it."""
    width, height = recipe.frame_size(*crop)
    left, top, right, bottom = _uncut_box(figure)
    largest = recipe.max_upscale
    limits = [1.0]
    if {"left", "right"} <= set(figure.cuts):
        limits.append(((right - left) * largest * _TURNING_ROOM - 2 * _MARGIN) / width)
    if {"top", "bottom"} <= set(figure.cuts):
        limits.append(((bottom - top) * largest * _TURNING_ROOM - 2 * _MARGIN) / height)
    if recipe.min_coverage:
        needed = _SLACK * recipe.min_coverage * width * height
        limits.append(math.sqrt(figure.area * largest**2 / needed))
    factor = min(limits)
    if factor == 1.0:
        return width, height
    return max(1, math.floor(width * factor)), max(1, math.floor(height * factor))


def _fit(
    figure: Figure, frame: tuple[int, int], pose: _Pose, recipe: Recipe, min_coverage: float
) -> Matrix | None:
    """Return the matrix closest to the pose that satisfies all rules, or None."""
    width, height = frame
    turned = _turned(figure, pose.rotation)
    least = _least_scale(figure, turned, frame, min_coverage)
    if least is None or least > recipe.max_upscale * (1 + 1e-9):
        return None
    fitted = max(width, height) / max(figure.width, figure.height)
    scale = min(max(pose.scale * fitted, least), recipe.max_upscale)
    wish = (width * (0.5 + pose.shift[0]), height * (0.5 + pose.shift[1]))
    x, y = _position(turned, scale, frame, wish)
    visible = _visible_share(figure, turned, frame, scale, (x, y))
    covered = visible * figure.area * scale**2 / (width * height)
    if visible < min(recipe.min_visible * _SLACK, 0.98) or covered < min_coverage:
        return None
    cos, sin = scale * turned.cos, scale * turned.sin
    across, down = figure.width / 2, figure.height / 2
    return np.array(
        [
            [cos, sin, x - cos * across - sin * down],
            [-sin, cos, y + sin * across - cos * down],
        ]
    )


@dataclass(frozen=True)
class _Turned:
    """A figure turned around its picture's centre, which is the origin; px of its picture.

    Attributes:
        cos, sin: of the rotation.
        x, y: float64 (n,): the figure's sample points.
        cuts: for each cut side how far inside the figure it reaches: x, or y of a top or bottom.
    """

    cos: float
    sin: float
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    cuts: dict[Side, float]


def _turned(figure: Figure, degrees: float) -> _Turned:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    middle_x, middle_y = figure.width / 2, figure.height / 2
    x, y = figure.points[:, 0] - middle_x, figure.points[:, 1] - middle_y
    cuts: dict[Side, float] = {}
    for side, ends in figure.cuts.items():
        own = [(end_x - middle_x, end_y - middle_y) for end_x, end_y in ends.tolist()]
        if side in ("left", "right"):
            along = [cos * end_x + sin * end_y for end_x, end_y in own]
        else:
            along = [cos * end_y - sin * end_x for end_x, end_y in own]
        cuts[side] = max(along) if side in ("left", "top") else min(along)
    return _Turned(cos, sin, cos * x + sin * y, cos * y - sin * x, cuts)


def _least_scale(
    figure: Figure, turned: _Turned, frame: tuple[int, int], min_coverage: float
) -> float | None:
    """Return the least scale at which opposite cuts span the frame and coverage can suffice."""
    width, height = frame
    least = math.sqrt(_SLACK * min_coverage * width * height / figure.area)
    for low, high, length in (("left", "right", width), ("top", "bottom", height)):
        if low in turned.cuts and high in turned.cuts:
            span = turned.cuts[high] - turned.cuts[low]
            if span <= 0:
                return None
            least = max(least, (length + 2 * _MARGIN) / span)
    return least


def _position(turned: _Turned, scale: float, frame: tuple[int, int], wish: _Point) -> _Point:
    """Return where the picture's centre goes: the wish, moved as little as the rules need."""
    x, y = wish
    cuts = turned.cuts
    # A head above the frame is no use to anyone; only a cut top may lie there.
    y = max(y, -float(turned.y.min()) * scale)
    if "left" in cuts:
        x = min(x, -_MARGIN - scale * cuts["left"])
    if "right" in cuts:
        x = max(x, frame[0] + _MARGIN - scale * cuts["right"])
    if "top" in cuts:
        y = min(y, -_MARGIN - scale * cuts["top"])
    if "bottom" in cuts:
        y = max(y, frame[1] + _MARGIN - scale * cuts["bottom"])
    return x, y


def _centred_box(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
    return left, top, left + crop[0], top + crop[1]
