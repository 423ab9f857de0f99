"""One-point perspective for drawn rooms and streets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builder.sources.drawing.canvas import Colour, Pixels, fill
from builder.sources.drawing.shapes import Point

WALLS: tuple[Colour, ...] = (
    (214, 206, 192),
    (176, 190, 188),
    (200, 172, 150),
    (120, 136, 150),
    (226, 222, 216),
    (146, 154, 126),
    (168, 130, 120),
    (92, 98, 110),
)
WOODS: tuple[Colour, ...] = ((150, 108, 70), (110, 76, 50), (186, 150, 108), (84, 64, 52))
ACCENTS: tuple[Colour, ...] = (
    (160, 66, 54),
    (56, 84, 116),
    (206, 160, 70),
    (72, 104, 84),
    (120, 80, 110),
    (60, 60, 66),
    (220, 212, 200),
)


@dataclass(frozen=True)
class Perspective:
    """A view into a box: x and y from -1 to 1 across its front, depth from 0 in front to 1 behind.

    Attributes:
        width, height: of the picture, which the front fills, px.
        centre: the vanishing point, px.
        shrink: how large the back shows, as a share of the front.
    """

    width: int
    height: int
    centre: Point
    shrink: float

    def at(self, x: float, y: float, depth: float) -> Point:
        """Return where a point shows, px."""
        scale = 1 / (1 + depth * (1 / self.shrink - 1))
        cx, cy = self.centre
        front_x, front_y = (x + 1) / 2 * self.width, (y + 1) / 2 * self.height
        return cx + (front_x - cx) * scale, cy + (front_y - cy) * scale

    def quad(self, corners: Sequence[tuple[float, float, float]]) -> list[Point]:
        """Return where the corners show, px."""
        return [self.at(*corner) for corner in corners]


def flat(image: Pixels, corners: Sequence[Point], colour: Sequence[float]) -> None:
    """Fill a polygon, given in px, with one colour."""
    fill(image, np.asarray(corners, dtype=np.float64), [min(255.0, max(0.0, c)) for c in colour])


def gained(colour: Colour, gain: float) -> Colour:
    """Return the colour brighter or darker."""
    red, green, blue = (min(255.0, shade * gain) for shade in colour)
    return red, green, blue


def varied(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """Draw one of the colours and vary it a little."""
    colour = np.asarray(colours[int(rng.integers(len(colours)))]) + rng.uniform(-14, 14, 3)
    red, green, blue = np.clip(colour, 0, 255).tolist()
    return red, green, blue
