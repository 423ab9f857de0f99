"""Head and face of a drawn person: built around (0, 0), one head high, then put on the neck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from builder.sources.drawing.canvas import Colour, Shape
from builder.sources.drawing.person import Person
from builder.sources.drawing.shapes import Point, Points, curve, ellipse, tube

HEAD_SCALE = 1.16
"""Heads are drawn a little larger than they are, as illustrators do: faces stay readable."""

CHIN = 1.12
"""Height of the chin in the figure's system."""


def on_neck(points: Points, person: Person) -> Points:
    """Map points (..., 2) of the head's own system to the figure's."""
    angle = person.pose.head_tilt
    cos, sin = np.cos(angle), np.sin(angle)
    chin = np.array([0.0, 0.5])
    turned = (points - chin) @ np.array([[cos, sin], [-sin, cos]]) * HEAD_SCALE
    mapped: Points = turned + np.array([person.pose.lean * 0.6, CHIN])
    return mapped


def head(person: Person) -> Iterator[Shape]:
    """Yield the head without hair, in the figure's system."""
    for shape in _parts(person):
        outlines = tuple(on_neck(line, person) for line in shape.outlines)
        yield replace(
            shape,
            outlines=outlines,
            volume=shape.volume * HEAD_SCALE,
            softness=shape.softness * HEAD_SCALE,
        )


def face_outline(person: Person) -> Points:
    """Return the outline of skull, cheeks and chin, in the head's own system."""
    jaw = 0.24 + 0.16 * (person.shoulder_width - 0.68)
    side = [(0.3, -0.33), (0.35, -0.1), (0.335, 0.1), (jaw, 0.34), (0.1, 0.48)]
    points = [(0.0, -0.5), (0.18, -0.46), *side, (0.0, 0.5)]
    left = [(-x, y) for x, y in reversed(points[1:-1])]
    return curve([*points, *left], 6, closed=True)


def _parts(person: Person) -> Iterator[Shape]:
    turn = person.pose.head_turn
    for sign in (-1, 1):
        # The far ear hides behind the head that turns away from it.
        x = sign * (0.355 - 0.05 * max(0.0, sign * turn))
        yield Shape((ellipse((x, 0.03), (0.055, 0.1), -sign * 0.15),), person.skin, volume=0.03)
        inner = ellipse((x - sign * 0.004, 0.03), (0.025, 0.06))
        yield Shape((inner,), _tinted(person.skin, 0.72), softness=0.008, inside=True)
    yield Shape((face_outline(person),), person.skin, volume=0.17, gloss=0.85)
    if person.beard:
        yield from _beard(person)
    yield from _soft_shading(person)
    for sign in (-1, 1):
        yield from _eye(person, sign)
        yield _brow(person, sign)
    yield from _nose(person)
    yield from _mouth(person)
    if person.glasses:
        yield from _glasses(person)


def _feature(person: Person, x: float, y: float) -> Point:
    """Return where a feature lies on the face that is turned aside: it wraps around the head."""
    angle = np.arcsin(np.clip(x / 0.36, -0.98, 0.98)) + 0.2 * person.pose.head_turn
    return float(0.36 * np.sin(angle)), y


def _soft_shading(person: Person) -> Iterator[Shape]:
    skin = person.skin
    blush: Colour = (min(255, skin[0] * 1.02), skin[1] * 0.76, skin[2] * 0.74)
    for sign in (-1, 1):
        cheek = ellipse(_feature(person, sign * 0.2, 0.17), (0.075, 0.06))
        yield Shape((cheek,), blush, opacity=0.5, softness=0.04, inside=True)
        socket = ellipse(_feature(person, sign * 0.15, -0.035), (0.08, 0.05))
        yield Shape((socket,), _tinted(skin, 0.74), opacity=0.55, softness=0.03, inside=True)
    chin = ellipse(_feature(person, 0, 0.385), (0.07, 0.014))
    yield Shape((chin,), _tinted(skin, 0.7), opacity=0.5, softness=0.015, inside=True)
    forehead = ellipse(_feature(person, -0.05, -0.25), (0.12, 0.07))
    yield Shape((forehead,), _lighter(skin), opacity=0.35, softness=0.05, inside=True)


def _eye(person: Person, sign: int) -> Iterator[Shape]:
    x, y = _feature(person, sign * 0.15, 0.0)
    narrow = 1 - 0.12 * max(0.0, sign * person.pose.head_turn)
    half, high = 0.068 * narrow, 0.034
    tail = -0.012
    lid = [(x - half, y + (tail if sign < 0 else 0.008)), (x - 0.5 * half, y - 0.8 * high),
           (x, y - high), (x + 0.5 * half, y - 0.8 * high),
           (x + half, y + (tail if sign > 0 else 0.008))]  # fmt: skip
    white = curve(
        [*lid, (x + 0.4 * half, y + 0.7 * high), (x - 0.4 * half, y + 0.7 * high)], 4, closed=True
    )
    yield Shape((white,), (236, 230, 226), inside=True, softness=0.003)
    gaze = x + 0.016 * person.pose.head_turn
    yield Shape((ellipse((gaze, y - 0.002), (0.03, 0.032)),), person.eyes, inside=True)
    yield Shape((ellipse((gaze, y - 0.002), (0.015, 0.016)),), (18, 14, 16), inside=True)
    yield Shape((ellipse((gaze + 0.01, y - 0.014), (0.007, 0.007)),), (250, 250, 250), inside=True)
    # The lid's skin hides what of the iris lies above it.
    above = [*lid, (x + half, y - 0.05), (x, y - 0.066), (x - half, y - 0.05)]
    yield Shape(
        (curve(above, 3, closed=True),), _tinted(person.skin, 0.86), inside=True, softness=0.004
    )
    lash = tube(lid, [0.003, 0.008, 0.009, 0.008, 0.003])
    yield Shape(lash, _tinted(person.hair, 0.45), inside=True, softness=0.002)
    lower = tube([lid[0], (x, y + 0.8 * high), lid[-1]], [0.002, 0.003, 0.002])
    yield Shape(lower, _tinted(person.skin, 0.55), inside=True, opacity=0.7)


def _brow(person: Person, sign: int) -> Shape:
    path = [
        _feature(person, sign * x, y) for x, y in ((0.075, -0.088), (0.15, -0.118), (0.23, -0.085))
    ]
    thick = 0.9 if person.lips[0] > person.skin[0] else 1.15
    outline = tube(path, [0.014 * thick, 0.015 * thick, 0.004])
    return Shape(outline, _tinted(person.hair, 0.7), inside=True, softness=0.006, opacity=0.85)


def _nose(person: Person) -> Iterator[Shape]:
    skin = person.skin
    bridge = tube([_feature(person, 0.035, -0.02), _feature(person, 0.042, 0.14)], [0.012, 0.028])
    yield Shape(bridge, _tinted(skin, 0.78), inside=True, softness=0.018, opacity=0.6)
    ridge = tube([_feature(person, 0, -0.02), _feature(person, 0, 0.15)], [0.01, 0.022])
    yield Shape(ridge, _lighter(skin), inside=True, softness=0.014, opacity=0.6)
    under = ellipse(_feature(person, 0, 0.195), (0.06, 0.016))
    yield Shape((under,), _tinted(skin, 0.6), inside=True, softness=0.012, opacity=0.75)
    for sign in (-1, 1):
        nostril = ellipse(_feature(person, sign * 0.03, 0.187), (0.014, 0.008), sign * 0.3)
        yield Shape((nostril,), _tinted(skin, 0.35), inside=True, softness=0.004)


def _mouth(person: Person) -> Iterator[Shape]:
    smile = 0.022 + 0.02 * np.sin(person.girth * 40)
    corners = [_feature(person, sign * 0.105, 0.3 - smile) for sign in (-1, 1)]
    middle, peak = _feature(person, 0, 0.303), _feature(person, 0, 0.28)
    bows = [_feature(person, sign * 0.03, 0.27) for sign in (-1, 1)]
    belly = [_feature(person, x, y) for x, y in ((0.055, 0.335), (0.0, 0.348), (-0.055, 0.335))]
    lips = curve([corners[0], bows[0], peak, bows[1], corners[1], *belly], 5, closed=True)
    yield Shape((lips,), person.lips, volume=0.03, inside=True, softness=0.004)
    gap = tube([corners[0], middle, corners[1]], [0.003, 0.006, 0.003])
    yield Shape(gap, _tinted(person.lips, 0.35), inside=True, softness=0.003, opacity=0.85)
    shine = ellipse(_feature(person, 0.012, 0.325), (0.026, 0.005))
    yield Shape((shine,), _lighter(person.lips), inside=True, softness=0.006, opacity=0.7)


def _beard(person: Person) -> Iterator[Shape]:
    outline = face_outline(person)
    jaw = outline[outline[:, 1] > 0.12]
    jaw = jaw[np.argsort(np.arctan2(jaw[:, 0], jaw[:, 1]))]
    inner = [(0.26, 0.2), (0.15, 0.24), (0.0, 0.225), (-0.15, 0.24), (-0.26, 0.2)]
    wrapped = [_feature(person, x, y) for x, y in inner]
    ends = np.concatenate([jaw * (1.0, 1.015), curve(wrapped, 5)])
    yield Shape((ends,), person.hair, inside=False, softness=0.009, opacity=0.88, folds=0.3)


def _glasses(person: Person) -> Iterator[Shape]:
    frame: Colour = (28, 26, 30)
    for sign in (-1, 1):
        x, y = _feature(person, sign * 0.155, 0.005)
        rim = ellipse((x, y), (0.098, 0.078))
        yield Shape((rim,), (232, 240, 246), inside=True, opacity=0.13)
        yield Shape(tube(np.concatenate([rim, rim[:1]]), [0.009] * 29), frame, inside=True)
        temple = tube([(x + sign * 0.095, y - 0.02), (sign * 0.345, y - 0.03)], [0.008, 0.008])
        yield Shape(temple, frame, inside=True)
    left, right = _feature(person, -0.06, -0.01), _feature(person, 0.06, -0.01)
    yield Shape(
        tube([left, (0.5 * (left[0] + right[0]), -0.024), right], [0.008] * 3), frame, inside=True
    )


def _tinted(colour: Colour, gain: float) -> Colour:
    red, green, blue = colour
    return red * gain**0.8, green * gain, blue * gain


def _lighter(colour: Colour) -> Colour:
    red, green, blue = (shade + 0.4 * (255 - shade) for shade in colour)
    return red, green, blue
