"""Smooth outlines for drawings, as arrays of points (x, y): float64 (n, 2), y downwards."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Point = tuple[float, float]

_TURN = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_CAP = np.linspace(0.2, np.pi - 0.2, 7)[:, None]
_QUARTER_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
_TUBE_SAMPLES = 6
_CAP_COS, _CAP_SIN = np.cos(_CAP), np.sin(_CAP)


def curve(points: Sequence[Point] | Points, per_span: int = 8, *, closed: bool = False) -> Points:
    """Return a Catmull-Rom spline through the points, `per_span` samples between two of them."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    count = len(padded) - 3
    windows = np.stack([padded[i : count + i] for i in range(4)], axis=1)
    smooth: Points = (_basis(per_span) @ windows).reshape(-1, knots.shape[1])
    return smooth if closed else np.concatenate([smooth, knots[-1:]])


@functools.cache
def _basis(per_span: int) -> npt.NDArray[np.float64]:
    t = np.arange(per_span) / per_span
    powers = np.stack([np.ones_like(t), t, t**2, t**3], axis=1)
    knots = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return np.asarray(powers @ knots)


def ellipse(centre: Point, radii: Point, tilt: float = 0.0) -> Points:
    """Return an ellipse's outline; `tilt` in radians, clockwise as seen."""
    points: Points = _CIRCLE * np.asarray(radii)
    if tilt:
        points = turned(points, tilt)
    return np.asarray(points + np.asarray(centre))


def turned(points: Points, angle: float, centre: Point = (0.0, 0.0)) -> Points:
    """Return the points turned by `angle` radians around `centre`, clockwise as seen."""
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]])
    rotated: Points = (points - np.asarray(centre)) @ matrix + np.asarray(centre)
    return rotated


def tube(
    path: Sequence[Point] | Points, radii: Sequence[float], *, blunt_end: bool = False
) -> tuple[Points, ...]:
    """Return outlines whose union is a limb along a path.

    Args:
        path: knots of the centre line.
        radii: half the width at each knot.
        blunt_end: whether the far end is nearly flat, as a cuff is, instead of round.
    """
    knots = np.column_stack([np.asarray(path, dtype=np.float64), radii])
    samples = curve(knots, _TUBE_SAMPLES)
    along = np.empty((len(samples), 2))
    along[1:-1] = samples[2:, :2] - samples[:-2, :2]
    along[0], along[-1] = samples[1, :2] - samples[0, :2], samples[-1, :2] - samples[-2, :2]
    along /= np.hypot(along[:, :1], along[:, 1:]) + 1e-9
    # A limb bent so far would run into itself, and what is covered twice counts as outside.
    steps = np.diff(knots[:, :2], axis=0)
    bends = np.flatnonzero((steps[:-1] * steps[1:]).sum(axis=1) < 0) + 1
    stops = [0, *(bends * _TUBE_SAMPLES).tolist(), len(samples) - 1]
    pieces = [
        _strip(samples[start : stop + 1], along[start : stop + 1], blunt_end)
        for start, stop in itertools.pairwise(stops)
    ]
    joints = knots[1:-1, None, :2] + knots[1:-1, None, 2:] * _CIRCLE
    return (*pieces, *joints)


def _strip(samples: Points, along: Points, blunt_end: bool) -> Points:
    """Return the outline around samples (x, y, radius), with a cap at each end."""
    centre, radius = samples[:, :2], samples[:, 2:]
    across = along @ _QUARTER_TURN
    bulge = 0.35 if blunt_end else 1.0
    end = _cap(centre[-1], along[-1] * bulge, across[-1], float(radius[-1, 0]))
    start = _cap(centre[0], -along[0], -across[0], float(radius[0, 0]))
    sides = centre + across * radius, (centre - across * radius)[::-1]
    return np.concatenate([sides[0], end, sides[1], start])


def _cap(end: Points, along: Points, across: Points, radius: float) -> Points:
    cap: Points = end + radius * (_CAP_COS * across + _CAP_SIN * along)
    return cap


def part_of_path(path: Sequence[Point] | Points, share: float) -> Points:
    """Return the first `share` of a polyline, by length."""
    knots = np.asarray(path, dtype=np.float64)
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(knots, axis=0), axis=1).cumsum()])
    stop = share * lengths[-1]
    inside = knots[lengths < stop]
    last = [np.interp(stop, lengths, knots[:, axis]) for axis in (0, 1)]
    return np.concatenate([inside, [last]])
