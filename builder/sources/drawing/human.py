"""Humans drawn by code: a person in a pose, framed as photographers and generators frame them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np

from builder.sources.drawing.body import lower_body, upper_body
from builder.sources.drawing.canvas import (
    Canvas,
    Floats,
    Pixels,
    Shape,
    Strands,
    View,
    add_grain,
    octave_noise,
)
from builder.sources.drawing.hair import back_hair, front_hair
from builder.sources.drawing.head import head, on_neck
from builder.sources.drawing.person import Person, draw_person
from builder.sources.drawing.shapes import Points, curve

Side = Literal["left", "right", "bottom"]

_CUTS: tuple[tuple[float, tuple[Side, ...]], ...] = (
    (0.45, ()),
    (0.3, ("bottom",)),
    (0.15, ("left", "right", "bottom")),
    (0.025, ("left",)),
    (0.025, ("right",)),
    (0.025, ("left", "bottom")),
    (0.025, ("right", "bottom")),
)
_FLAWED_SHARE = 0.25
# A shorter side would be left out as too small, or nearly so.
_LEAST_SIDE = 68
_HAZE_ALPHA = 20
_HAZE_COLOUR = 225


def draw_human(rng: np.random.Generator, longest: int) -> Pixels:
    """Draw a human cut out of its picture.

    Args:
        rng: all that is random comes from it.
        longest: upper bound of the longer side, px, 128 and up.

    Returns:
        uint8 (H, W, 4), straight RGBA. Colour under alpha 0 is arbitrary.
    """
    cuts = draw_cuts(rng)
    person = draw_person(rng, arms_low=len(cuts) == 3)
    elements = list(_elements(person, rng))
    low, high = _window(elements, person, cuts, rng, longest / _LEAST_SIDE)
    view = _view(low, high, longest, rng)
    side = float(rng.choice([-1, 1]))
    canvas = Canvas(view, (side * float(rng.uniform(0.4, 0.9)), -0.6), rng)
    for element in elements:
        canvas.paint(element)
    alpha = canvas.alpha
    colour = canvas.colour
    if rng.random() < _FLAWED_SHARE:
        alpha = _flawed(alpha, colour, rng)
    colour = add_grain(rng, colour, 5)
    return np.dstack([colour, np.rint(alpha * 255).astype(np.uint8)])


def draw_cuts(rng: np.random.Generator) -> tuple[Side, ...]:
    """Draw the sides on which the picture's border will cut the figure.

    It is the first that `draw_human` draws, so that a test can foretell it.
    """
    shares, cuts = zip(*_CUTS, strict=True)
    sides: tuple[Side, ...] = cuts[int(rng.choice(len(cuts), p=shares))]
    return sides


def _elements(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    if person.veil:
        yield _veil(person)
    yield from back_hair(person, rng)
    yield from lower_body(person)
    yield from upper_body(person)
    yield from head(person)
    yield from front_hair(person, rng)


def _veil(person: Person) -> Shape:
    """Return translucent cloth that falls from the crown behind the body."""
    length = 2.4 + person.hair_length
    blown = person.wind
    right = [(0.0, -0.6), (0.42, -0.3), (0.7, 0.5), (0.95 + 0.3 * blown, 1.6)]
    left = [(-x + (0.6 * blown if y > 1 else 0), y) for x, y in reversed(right[1:])]
    hem = [
        (1.1 + blown, length),
        (0.3 + blown, length + 0.25),
        (-0.5 + blown, length - 0.1),
        (-1.1 + blown, length + 0.1),
    ]
    outline = on_neck(curve([*right, *hem, *left], 8, closed=True), person)
    return Shape(
        (outline,), (236, 232, 230), volume=0.3, folds=0.5, stretch=9.0, opacity=0.45, softness=0.01
    )


def _window(
    elements: list[Shape | Strands],
    person: Person,
    cuts: tuple[Side, ...],
    rng: np.random.Generator,
    steepest: float,
) -> tuple[Points, Points]:
    """Return the corners of the picture in the figure's units.

    `steepest` is how often the shorter side fits into the longer one at most.
    """
    points = np.concatenate([element.extent for element in elements])
    bottom = np.inf
    if "bottom" in cuts:
        bottom = float(rng.uniform(1.8, 2.3) if len(cuts) == 3 else rng.uniform(2.4, 4.8))
        points = points[points[:, 1] < bottom + 0.1]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = rng.uniform(0.05, 0.16, (2, 2)) * float(max(high - low))
    if len(cuts) == 3:
        margin *= 0.5
    low, high = low - margin[0], high + margin[1]
    high[1] = min(high[1], bottom)
    # Near enough to the middle to cut the body, far enough from it to leave half a person.
    nearest, farthest = (0.8, 0.95) if len(cuts) == 3 else (0.1, 0.5)
    reach = person.shoulder_width * rng.uniform(nearest, farthest, 2)
    if "left" in cuts:
        low[0] = person.pose.lean - reach[0]
    if "right" in cuts:
        high[0] = person.pose.lean + reach[1]
    if len(cuts) == 3:
        high[1] = min(high[1], low[1] + steepest * float(high[0] - low[0]))
    else:
        _widen(low, high, cuts, rng, steepest)
    return low, high


def _widen(
    low: Points,
    high: Points,
    cuts: tuple[Side, ...],
    rng: np.random.Generator,
    steepest: float,
) -> None:
    """Give the window the shape of a picture, by room above and on the sides that cut nothing."""
    wanted = max(float(rng.uniform(0.45, 0.85)), 1 / steepest) * float(high[1] - low[1])
    extra = max(0.0, wanted - float(high[0] - low[0]))
    share = float(rng.uniform(0.3, 0.7))
    if "left" in cuts:
        share = 0.0
    elif "right" in cuts:
        share = 1.0
    low[0] -= extra * share
    high[0] += extra * (1 - share)
    low[1] = min(low[1], high[1] - float(high[0] - low[0]) / steepest)


def _view(low: Points, high: Points, longest: int, rng: np.random.Generator) -> View:
    extent = high - low
    scale = longest * float(rng.uniform(0.6, 1.0)) / float(extent.max())
    least = _LEAST_SIDE / float(extent.min())
    scale = min(max(scale, least), longest / float(extent.max()))
    width, height = np.maximum(1, np.rint(extent * scale)).astype(int).tolist()
    return View(scale, (float(low[0]), float(low[1])), width, height)


def _flawed(alpha: Floats, colour: Pixels, rng: np.random.Generator) -> Floats:
    """Return the alpha with what LayerDiffuse leaves: a faint haze and detached specks."""
    height, width = alpha.shape
    small = cv2.resize(
        alpha, (max(8, width // 16), max(8, height // 16)), interpolation=cv2.INTER_AREA
    )
    spread = cv2.GaussianBlur(small, (0, 0), max(small.shape) * 0.06)
    noise = octave_noise(rng, small.shape[0], small.shape[1], 6, 2)
    haze = np.clip(spread * noise * 2.2 - 0.12, 0, 1) * (_HAZE_ALPHA / 255)
    haze = cv2.resize(haze, (width, height), interpolation=cv2.INTER_LINEAR)
    bare = (alpha == 0).view(np.uint8)
    cv2.add(colour, np.full_like(colour, _HAZE_COLOUR), dst=colour, mask=bare)
    return _with_specks(np.maximum(alpha, haze), colour, rng)


def _with_specks(alpha: Floats, colour: Pixels, rng: np.random.Generator) -> Floats:
    height, width = alpha.shape
    longer = max(height, width)
    edge = 0.06
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(edge, 1 - edge, 2) * (width, height)
        radius = max(1.0, float(rng.uniform(0.001, 0.004)) * longer)
        reach = int(radius * 3) + 1
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        around = alpha[top : int(y) + reach, left : int(x) + reach]
        # A speck on the figure would be no speck.
        if around.max() > 0.1:
            continue
        yy, xx = np.ogrid[top : top + around.shape[0], left : left + around.shape[1]]
        disc = np.clip(radius + 0.5 - np.hypot(xx - x, yy - y), 0, 1) * rng.uniform(0.4, 1.0)
        np.maximum(around, disc, out=around, casting="unsafe")
        colour[top : top + around.shape[0], left : left + around.shape[1]] = rng.integers(
            40, 230, 3
        )
    return alpha
