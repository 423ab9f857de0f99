"""Streets for drawn backgrounds."""

from __future__ import annotations

import cv2
import numpy as np

from builder.sources.drawing.canvas import Colour, Pixels, as_pixels, octave_noise
from builder.sources.drawing.perspective import WALLS, Perspective, flat, gained, varied


def draw_street(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a street between two rows of houses; uint8 (H, W, 3), RGB."""
    horizon = height * float(rng.uniform(0.4, 0.62))
    centre = (width * float(rng.uniform(0.25, 0.75)), horizon)
    street = Perspective(width, height, centre, 0.06)
    image = _street_sky(rng, height, width)
    flat(image, [(0, horizon), (width, horizon), (width, height), (0, height)], (112, 110, 108))
    road = float(rng.uniform(0.3, 0.7))
    asphalt = gained((78, 78, 82), rng.uniform(0.7, 1.3))
    for left, right, colour in (
        (-1.6, -road, (150, 146, 140)),
        (road, 1.6, (150, 146, 140)),
        (-road, road, asphalt),
    ):
        flat(image, street.quad([(left, 1, 0), (right, 1, 0), (right, 1, 1), (left, 1, 1)]), colour)
    for depth in np.linspace(0, 0.9, 9) ** 2:
        dash = [
            (-0.015, 1, depth),
            (0.015, 1, depth),
            (0.015, 1, depth + 0.04),
            (-0.015, 1, depth + 0.04),
        ]
        flat(image, street.quad([(x, float(y), float(z)) for x, y, z in dash]), (214, 210, 196))
    for sign in (-1, 1):
        _house_row(rng, image, street, sign)
    texture = octave_noise(rng, height, width, 50, 3)
    gain = cv2.merge([0.93 + 0.14 * texture] * 3)
    return as_pixels(cv2.multiply(image, gain, dtype=cv2.CV_8U))


def _street_sky(rng: np.random.Generator, height: int, width: int) -> Pixels:
    high = np.array(
        ((120, 160, 210), (170, 176, 184), (60, 70, 110), (220, 150, 120))[rng.integers(4)]
    )
    low = np.array([226, 222, 214])
    share = np.linspace(0, 1, height)[:, None, None]
    sky = high * (1 - share) + low * share
    return np.ascontiguousarray(np.broadcast_to(sky, (height, width, 3)).astype(np.uint8))


def _house_row(rng: np.random.Generator, image: Pixels, street: Perspective, sign: int) -> None:
    count = int(rng.integers(3, 7))
    edges = (np.linspace(0, 1, count + 1) ** 2.2 * 0.98).tolist()
    for i in reversed(range(count)):
        near, far = edges[i], edges[i + 1]
        wall = gained(varied(rng, (*WALLS, (150, 82, 66), (170, 120, 90))), rng.uniform(0.6, 1.05))
        top = float(rng.uniform(-2.6, -0.6))

        def pane(low: float, high: float, upper: float, lower: float, colour: Colour) -> None:
            corners = [
                (sign, upper, low),
                (sign, upper, high),
                (sign, lower, high),
                (sign, lower, low),
            ]
            flat(image, street.quad([(float(x), y, z) for x, y, z in corners]), colour)

        front = street.quad(
            [(sign, top, far), (sign * 3.0, top, far), (sign * 3.0, 1, far), (sign, 1, far)]
        )
        flat(image, front, gained(wall, 0.6))
        pane(near, far, top, 1, wall)
        floors = max(2, round((1 - top) / float(rng.uniform(0.38, 0.6))))
        axes = max(2, round(6 / (i + 1)))
        lit = rng.random((floors, axes))
        for floor in range(floors):
            upper = top + (1 - top) * (floor + 0.25) / floors
            lower = top + (1 - top) * (floor + 0.8) / floors
            for axis in range(axes):
                low = near + (far - near) * (axis + 0.22) / axes
                high = near + (far - near) * (axis + 0.78) / axes
                glass = (236, 208, 140) if lit[floor, axis] < 0.15 else (62, 76, 92)
                pane(low, high, upper, lower, gained(wall, 1.25))
                pane(
                    low + (high - low) * 0.1,
                    high - (high - low) * 0.1,
                    upper + 0.02,
                    lower - 0.02,
                    glass,
                )
