"""Furnished rooms for drawn backgrounds."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from builder.sources.drawing.canvas import Colour, Pixels, fill
from builder.sources.drawing.perspective import (
    ACCENTS,
    WALLS,
    WOODS,
    Perspective,
    flat,
    gained,
    varied,
)
from builder.sources.drawing.shapes import Point


def draw_room(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a furnished room; uint8 (H, W, 3), RGB."""
    centre = (width * float(rng.uniform(0.3, 0.7)), height * float(rng.uniform(0.38, 0.55)))
    room = Perspective(width, height, centre, float(rng.uniform(0.4, 0.72)))
    image = np.zeros((height, width, 3), np.uint8)
    wall = varied(rng, WALLS)
    flat(image, room.quad([(-1, -1, 0), (1, -1, 0), (1, -1, 1), (-1, -1, 1)]), gained(wall, 1.12))
    flat(image, room.quad([(-1, -1, 0), (-1, -1, 1), (-1, 1, 1), (-1, 1, 0)]), gained(wall, 0.78))
    flat(image, room.quad([(1, -1, 0), (1, -1, 1), (1, 1, 1), (1, 1, 0)]), gained(wall, 0.88))
    flat(image, room.quad([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)]), wall)
    _floor(rng, image, room)
    back = [(x, float(rng.uniform(0.22, 0.42))) for x in _slots(rng)]
    for x, half in back:
        _back_wall_piece(rng, image, room, x, half)
    for sign in (-1, 1):
        if rng.random() < 0.6:
            _side_wall_window(rng, image, room, sign)
    for _ in range(int(rng.integers(1, 4))):
        _furniture(rng, image, room)
    return image


def _slots(rng: np.random.Generator) -> list[float]:
    count = int(rng.integers(1, 4))
    edges = np.linspace(-0.85, 0.85, count + 1)
    return [float(rng.uniform(low + 0.2, high - 0.2) if high - low > 0.45 else (low + high) / 2)
            for low, high in itertools.pairwise(edges.tolist())]  # fmt: skip


def _floor(rng: np.random.Generator, image: Pixels, room: Perspective) -> None:
    wood = varied(rng, WOODS)
    tiled = rng.random() < 0.35
    columns, rows = (int(n) for n in (rng.integers(6, 14), rng.integers(5, 10)))
    xs = np.linspace(-1, 1, columns + 1)
    depths = np.linspace(0, 1, rows + 1) ** 1.3
    for i in range(columns):
        offset = rng.uniform(0, 0.1)
        for j in range(rows):
            near, far = depths[j] + offset * (j > 0), depths[j + 1] + offset * (j + 1 < rows)
            quad = room.quad(
                [(xs[i], 1, near), (xs[i + 1], 1, near), (xs[i + 1], 1, far), (xs[i], 1, far)]
            )
            gain = (0.82 if (i + j) % 2 else 1.12) if tiled else rng.uniform(0.82, 1.1)
            flat(image, quad, gained(wood, gain))
    if rng.random() < 0.5:
        rug = varied(rng, ACCENTS)
        x = rng.uniform(-0.4, 0.4)
        for margin, gain in ((0.0, 1.0), (0.06, 1.3), (0.1, 0.85)):
            half, near, far = 0.5 - margin, 0.3 + margin, 0.85 - margin
            corners = [
                (x - half, 1, near),
                (x + half, 1, near),
                (x + half, 1, far),
                (x - half, 1, far),
            ]
            flat(image, room.quad(corners), gained(rug, gain))


def _back_wall_piece(
    rng: np.random.Generator, image: Pixels, room: Perspective, x: float, half: float
) -> None:
    kind = rng.integers(4)
    if kind == 0:
        _window(rng, image, room, x, half)
    elif kind == 1:
        _picture_frame(rng, image, room, x, half)
    elif kind == 2:
        _shelf(rng, image, room, x, half)
    else:
        _door(rng, image, room, x, half)


def _on_back(
    room: Perspective, left: float, top: float, right: float, bottom: float
) -> list[Point]:
    return room.quad([(left, top, 1), (right, top, 1), (right, bottom, 1), (left, bottom, 1)])


def _window(
    rng: np.random.Generator, image: Pixels, room: Perspective, x: float, half: float
) -> None:
    top, bottom = float(rng.uniform(-0.8, -0.6)), float(rng.uniform(0.0, 0.35))
    flat(
        image,
        _on_back(room, x - half - 0.03, top - 0.03, x + half + 0.03, bottom + 0.05),
        (236, 232, 226),
    )
    sky, ground = np.array([222, 234, 246]), np.array([150, 172, 130])
    panes = 10
    for i in range(panes):
        share = i / (panes - 1)
        low, high = (top + (bottom - top) * (i + n) / panes for n in (0, 1))
        colour = sky * (1 - share**2) + ground * share**2
        flat(image, _on_back(room, x - half, low, x + half, high), colour.tolist())
    bars = int(rng.integers(1, 4))
    for i in range(1, bars + 1):
        at = x - half + 2 * half * i / (bars + 1)
        flat(image, _on_back(room, at - 0.01, top, at + 0.01, bottom), (228, 224, 218))
    middle = 0.6 * top + 0.4 * bottom
    flat(image, _on_back(room, x - half, middle - 0.01, x + half, middle + 0.01), (228, 224, 218))
    if rng.random() < 0.6:
        cloth = varied(rng, ACCENTS)
        for sign in (-1, 1):
            for fold in range(7):
                left = x + sign * (half - 0.08 + 0.035 * fold)
                gain = (0.85, 1.1, 1.0)[fold % 3]
                flat(
                    image, _on_back(room, left, top - 0.08, left + 0.036, 0.9), gained(cloth, gain)
                )


def _picture_frame(
    rng: np.random.Generator, image: Pixels, room: Perspective, x: float, half: float
) -> None:
    half *= 0.7
    y = float(rng.uniform(-0.45, -0.15))
    tall = half * float(rng.uniform(0.8, 1.6))
    flat(
        image,
        _on_back(room, x - half, y - tall, x + half, y + tall),
        gained(varied(rng, WOODS), 0.7),
    )
    flat(
        image,
        _on_back(room, x - half * 0.9, y - tall * 0.9, x + half * 0.9, y + tall * 0.9),
        (232, 228, 220),
    )
    for _ in range(6):
        left, right = np.sort(rng.uniform(-0.7, 0.7, 2)) * half + x
        upper, lower = np.sort(rng.uniform(-0.7, 0.7, 2)) * tall + y
        flat(image, _on_back(room, left, upper, right, lower), varied(rng, ACCENTS))


def _shelf(
    rng: np.random.Generator, image: Pixels, room: Perspective, x: float, half: float
) -> None:
    wood = varied(rng, WOODS)
    top = float(rng.uniform(-0.75, -0.2))
    flat(image, _on_back(room, x - half, top, x + half, 1), gained(wood, 0.5))
    boards = int(rng.integers(3, 6))
    step = (1 - top) / boards
    for i in range(boards):
        floor = top + (i + 1) * step
        at = x - half + 0.02
        while at < x + half - 0.05:
            thick, tall = rng.uniform(0.02, 0.06), step * rng.uniform(0.5, 0.85)
            book = gained(varied(rng, ACCENTS), rng.uniform(0.6, 1.1))
            flat(image, _on_back(room, at, floor - tall, at + thick * 0.9, floor), book)
            at += thick * (1 if rng.random() < 0.85 else 3)
        flat(image, _on_back(room, x - half, floor - 0.02, x + half, floor + 0.01), wood)
    for at in (x - half, x + half):
        flat(image, _on_back(room, at - 0.015, top, at + 0.015, 1), gained(wood, 1.1))


def _door(
    rng: np.random.Generator, image: Pixels, room: Perspective, x: float, half: float
) -> None:
    half *= 0.75
    wood = varied(rng, (*WOODS, (226, 222, 214)))
    top = float(rng.uniform(-0.6, -0.4))
    flat(image, _on_back(room, x - half - 0.04, top - 0.05, x + half + 0.04, 1), gained(wood, 1.2))
    flat(image, _on_back(room, x - half, top, x + half, 1), wood)
    for low, high in ((0.08, 0.45), (0.53, 0.92)):
        upper, lower = (top + (1 - top) * share for share in (low, high))
        for left, right in ((-0.8, -0.1), (0.1, 0.8)):
            flat(
                image,
                _on_back(room, x + left * half, upper, x + right * half, lower),
                gained(wood, 0.85),
            )
    handle = room.at(x + 0.85 * half, top + 0.55 * (1 - top), 1)
    cv2.circle(
        image,
        (round(handle[0]), round(handle[1])),
        max(1, image.shape[0] // 120),
        (210, 190, 120),
        -1,
        cv2.LINE_AA,
    )


def _side_wall_window(
    rng: np.random.Generator, image: Pixels, room: Perspective, sign: int
) -> None:
    near, far = float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.5, 0.85))
    top, bottom = float(rng.uniform(-0.75, -0.5)), float(rng.uniform(0.0, 0.3))

    def pane(low: float, high: float, upper: float, lower: float, colour: Colour) -> None:
        corners = [(sign, upper, low), (sign, upper, high), (sign, lower, high), (sign, lower, low)]
        flat(image, room.quad([(float(x), y, z) for x, y, z in corners]), colour)

    pane(near - 0.02, far + 0.02, top - 0.03, bottom + 0.03, (224, 220, 214))
    panes = int(rng.integers(2, 5))
    edges = np.linspace(near, far, panes + 1)
    for low, high in itertools.pairwise(edges.tolist()):
        pane(low + 0.01, high - 0.01, top, bottom, (226, 238, 250))
    # The light that the window throws on the floor.
    bright = image.copy()
    spot = [
        (sign * 0.7, 1, near),
        (sign * 0.7, 1, far),
        (-sign * 0.1, 1, far - 0.1),
        (-sign * 0.1, 1, near - 0.04),
    ]
    fill(
        bright,
        np.array(room.quad([(x, float(y), max(z, 0.0)) for x, y, z in spot])),
        (255, 244, 220),
    )
    cv2.addWeighted(bright, 0.22, image, 0.78, 0, dst=image)


def _furniture(rng: np.random.Generator, image: Pixels, room: Perspective) -> None:
    """Draw a block with a front, a top and a side: a sofa, a table or a cupboard."""
    colour = varied(rng, (*ACCENTS, *WOODS))
    x, half = float(rng.uniform(-0.75, 0.75)), float(rng.uniform(0.14, 0.4))
    near = float(rng.uniform(0.2, 0.6))
    far, top = near + float(rng.uniform(0.15, 0.35)), float(rng.uniform(0.25, 0.72))
    left, right = x - half, x + half
    shadow = room.quad(
        [
            (left - 0.04, 1, near - 0.05),
            (right + 0.04, 1, near - 0.05),
            (right + 0.04, 1, far),
            (left - 0.04, 1, far),
        ]
    )
    flat(image, shadow, (52, 44, 40))
    side = right if room.at(x, 0, near)[0] < room.centre[0] else left
    if rng.random() < 0.4:
        flat(
            image,
            room.quad(
                [(left, top - 0.3, far), (right, top - 0.3, far), (right, 1, far), (left, 1, far)]
            ),
            gained(colour, 0.9),
        )
    flat(
        image,
        room.quad([(side, top, near), (side, top, far), (side, 1, far), (side, 1, near)]),
        gained(colour, 0.6),
    )
    flat(
        image,
        room.quad([(left, top, near), (right, top, near), (right, top, far), (left, top, far)]),
        gained(colour, 1.2),
    )
    flat(
        image,
        room.quad([(left, top, near), (right, top, near), (right, 0.97, near), (left, 0.97, near)]),
        gained(colour, 0.85),
    )
    parts = int(rng.integers(1, 4))
    for i in range(parts):
        low, high = (left + (right - left) * (i + n) / parts for n in (0.05, 0.95))
        panel = room.quad(
            [
                (low, top + 0.05, near),
                (high, top + 0.05, near),
                (high, 0.92, near),
                (low, 0.92, near),
            ]
        )
        flat(image, panel, gained(colour, 0.95))
