"""Who is drawn: build, colours, clothes, pose. Lengths are in heads, y downwards, crown at 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from builder.sources.drawing.canvas import Colour
from builder.sources.drawing.shapes import Point

HairStyle = Literal["short", "bob", "long", "curly", "ponytail", "bun", "buzz"]
Legwear = Literal["trousers", "shorts", "skirt", "long skirt", "dress"]
Topwear = Literal["tank", "tee", "long", "jacket"]

LEGWEAR: tuple[Legwear, ...] = ("trousers", "shorts", "skirt", "long skirt", "dress")
TOPWEAR: tuple[Topwear, ...] = ("tank", "tee", "long", "jacket")
_Option = TypeVar("_Option")

HAIR_STYLES: tuple[HairStyle, ...] = ("short", "bob", "long", "curly", "ponytail", "bun", "buzz")

_SKINS: tuple[Colour, ...] = (
    (243, 206, 183),
    (233, 188, 158),
    (222, 170, 134),
    (200, 144, 108),
    (172, 118, 84),
    (134, 88, 62),
    (102, 66, 48),
    (78, 52, 40),
)
_HAIRS: tuple[Colour, ...] = (
    (34, 28, 28),
    (52, 38, 32),
    (84, 56, 38),
    (120, 80, 48),
    (150, 76, 40),
    (196, 158, 98),
    (222, 196, 146),
    (152, 148, 146),
    (60, 44, 40),
)
_CLOTHS: tuple[Colour, ...] = (
    (236, 232, 224),
    (40, 44, 52),
    (58, 82, 128),
    (150, 44, 52),
    (52, 108, 92),
    (206, 150, 60),
    (122, 92, 140),
    (196, 110, 118),
    (96, 104, 72),
    (86, 148, 178),
    (182, 164, 138),
    (222, 120, 74),
    (132, 138, 146),
    (74, 60, 52),
)


@dataclass(frozen=True)
class Pose:
    """Where the joints are, sides in the order left of the picture, right of the picture."""

    shoulders: tuple[Point, Point]
    elbows: tuple[Point, Point]
    wrists: tuple[Point, Point]
    hips: tuple[Point, Point]
    knees: tuple[Point, Point]
    ankles: tuple[Point, Point]
    lean: float
    head_tilt: float
    head_turn: float


@dataclass(frozen=True)
class Person:
    """All that fixes a figure, but for the noise in its cloth and hair."""

    pose: Pose
    skin: Colour
    hair: Colour
    hair_style: HairStyle
    hair_length: float
    wind: float
    lips: Colour
    eyes: Colour
    beard: bool
    glasses: bool
    shoulder_width: float
    waist: float
    hip_width: float
    girth: float
    top: Topwear
    top_colour: Colour
    top_second: Colour | None
    top_period: float
    top_check: bool
    legwear: Legwear
    leg_colour: Colour
    shoe_colour: Colour
    sheer: float
    veil: bool
    scarf: bool
    moving_hand: int


def draw_person(rng: np.random.Generator, *, arms_low: bool) -> Person:
    """Draw a person; `arms_low` keeps the hands off the head and the arms by the body."""
    feminine = rng.random() < 0.55
    shoulder_width = rng.uniform(0.68, 0.8) if feminine else rng.uniform(0.82, 0.98)
    hip_width = rng.uniform(0.52, 0.64) if feminine else rng.uniform(0.48, 0.56)
    waist = rng.uniform(0.38, 0.46) if feminine else rng.uniform(0.46, 0.6)
    skin = _varied(rng, _SKINS[rng.integers(len(_SKINS))], 8)
    legwears = (0.36, 0.1, 0.16, 0.19, 0.19) if feminine else (0.8, 0.2, 0.0, 0.0, 0.0)
    styles = (
        (0.06, 0.2, 0.32, 0.14, 0.14, 0.12, 0.02) if feminine else (0.5, 0, 0.1, 0.2, 0, 0, 0.2)
    )
    patterned = rng.random() < 0.35
    return Person(
        pose=_draw_pose(rng, shoulder_width, hip_width, arms_low),
        skin=skin,
        hair=_varied(rng, _HAIRS[rng.integers(len(_HAIRS))], 3),
        hair_style=_chosen(rng, HAIR_STYLES, styles),
        hair_length=float(rng.uniform(1.0, 2.4)),
        wind=float(rng.choice([0.0, rng.uniform(-0.9, 0.9)], p=[0.55, 0.45])),
        lips=_lips(skin, strong=feminine and rng.random() < 0.6),
        eyes=_varied(rng, ((84, 56, 38), (70, 110, 140), (84, 112, 72))[rng.integers(3)], 10),
        beard=not feminine and rng.random() < 0.4,
        glasses=bool(rng.random() < 0.2),
        shoulder_width=float(shoulder_width),
        waist=float(waist),
        hip_width=float(hip_width),
        girth=float(rng.uniform(0.88, 1.2)),
        top=_chosen(rng, TOPWEAR, (0.15, 0.3, 0.3, 0.25)),
        top_colour=_cloth(rng),
        top_second=_cloth(rng) if patterned else None,
        top_period=float(rng.uniform(0.05, 0.2)),
        top_check=bool(rng.random() < 0.4),
        legwear=_chosen(rng, LEGWEAR, legwears),
        leg_colour=_cloth(rng),
        shoe_colour=_cloth(rng),
        sheer=float(rng.choice([1.0, rng.uniform(0.35, 0.75)], p=[0.35, 0.65])),
        veil=feminine and bool(rng.random() < 0.15),
        scarf=bool(rng.random() < 0.12),
        moving_hand=int(rng.integers(2)) if rng.random() < 0.25 else -1,
    )


def _draw_pose(
    rng: np.random.Generator, shoulder_width: float, hip_width: float, arms_low: bool
) -> Pose:
    lean = float(rng.uniform(-0.18, 0.18))
    drop = float(rng.uniform(-0.08, 0.08))
    shoulders = tuple(
        (side * (shoulder_width - 0.14) + lean, 1.56 + side * drop) for side in (-1, 1)
    )
    hips = tuple((side * hip_width * 0.52, 3.55 - side * drop * 0.6) for side in (-1, 1))
    arms = [_draw_arm(rng, shoulders[i], (-1, 1)[i], arms_low) for i in (0, 1)]
    spread = rng.uniform(2, 11)
    legs = [_draw_leg(rng, hips[i], (-1, 1)[i], spread) for i in (0, 1)]
    return Pose(
        shoulders=(shoulders[0], shoulders[1]),
        elbows=(arms[0][0], arms[1][0]),
        wrists=(arms[0][1], arms[1][1]),
        hips=(hips[0], hips[1]),
        knees=(legs[0][0], legs[1][0]),
        ankles=(legs[0][1], legs[1][1]),
        lean=lean,
        head_tilt=float(rng.uniform(-0.16, 0.16)),
        head_turn=float(rng.uniform(-1, 1)),
    )


# Ranges of degrees from hanging straight down, outwards: of the upper arm, then of the forearm.
_ARMS: dict[str, tuple[Point, Point]] = {
    "down": ((9, 17), (2, 8)),
    "akimbo": ((38, 52), (-62, -48)),
    "folded": ((12, 22), (-82, -62)),
    "aside": ((50, 85), (60, 115)),
    "raised": ((105, 150), (160, 195)),
    "to the chin": ((16, 30), (-165, -150)),
}


def _draw_arm(
    rng: np.random.Generator, shoulder: Point, side: int, arms_low: bool
) -> tuple[Point, Point]:
    weights = (0.6, 0, 0.4, 0, 0, 0) if arms_low else (0.3, 0.26, 0.12, 0.12, 0.14, 0.06)
    upper, fore = _ARMS[_chosen(rng, tuple(_ARMS), weights)]
    elbow = _away(shoulder, rng.uniform(*upper), 1.34, side)
    return elbow, _away(elbow, rng.uniform(*fore), 1.12, side)


def _draw_leg(
    rng: np.random.Generator, hip: Point, side: int, spread: float
) -> tuple[Point, Point]:
    knee = _away(hip, spread * rng.uniform(0.7, 1.3), 1.68, side)
    bent = rng.random() < 0.3
    # A lower leg that points away from the viewer is foreshortened.
    length = rng.uniform(1.3, 1.5) if bent else rng.uniform(1.64, 1.72)
    degrees = rng.uniform(-16, -4) if bent else rng.uniform(-2, 5)
    return knee, _away(knee, degrees, length, side)


def _away(start: Point, degrees: float, length: float, side: int) -> Point:
    angle = np.deg2rad(degrees)
    return (
        float(start[0] + side * np.sin(angle) * length),
        float(start[1] + np.cos(angle) * length),
    )


def _chosen(
    rng: np.random.Generator, options: tuple[_Option, ...], weights: tuple[float, ...]
) -> _Option:
    return options[int(rng.choice(len(options), p=weights))]


def _cloth(rng: np.random.Generator) -> Colour:
    return _varied(rng, _CLOTHS[rng.integers(len(_CLOTHS))], 18)


def _varied(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + rng.uniform(-spread, spread, 3), 8, 247)
    return float(red), float(green), float(blue)


def _lips(skin: Colour, *, strong: bool) -> Colour:
    red, green, blue = skin
    if strong:
        return 0.55 * red + 70, 0.3 * green + 14, 0.35 * blue + 22
    return 0.9 * red, 0.68 * green, 0.7 * blue
