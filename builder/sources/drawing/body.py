"""Body and clothes of a drawn person, as shapes in the order in which they are painted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from builder.sources.drawing.canvas import Colour, Shape
from builder.sources.drawing.person import Person
from builder.sources.drawing.shapes import Point, Points, curve, ellipse, part_of_path, tube

_SIDES = (-1, 1)


def lower_body(person: Person) -> Iterator[Shape]:
    """Yield legs, shoes, and what is worn below the waist."""
    for side in (0, 1):
        yield from _leg(person, side)
    if person.legwear in ("trousers", "shorts"):
        yield _pelvis(person, person.leg_colour, 0.04)
    else:
        yield _pelvis(person, person.leg_colour, 0.02)
        yield from _skirt(person)


def upper_body(person: Person) -> Iterator[Shape]:
    """Yield torso, neck, arms, and what is worn above the waist."""
    tucked = person.legwear in ("skirt", "long skirt", "dress")
    colour = _top_colour(person)
    yield _top_cloth(person, (_torso(person, 2.95 if tucked else 3.72, 0.05),), colour)
    if tucked and person.legwear != "dress":
        yield _waistband(person)
    yield from _neck(person)
    if person.top == "jacket":
        yield from _jacket(person)
    if person.scarf:
        yield _scarf(person)
    for side in (0, 1):
        yield from _arm(person, side)


def _top_colour(person: Person) -> Colour:
    return person.leg_colour if person.legwear == "dress" else person.top_colour


def _top_cloth(person: Person, outlines: tuple[Points, ...], colour: Colour) -> Shape:
    plain = person.top == "jacket" or person.legwear == "dress"
    return Shape(
        outlines,
        colour,
        volume=0.2,
        folds=0.16,
        stretch=1.6,
        second=None if plain else person.top_second,
        period=person.top_period,
        check=person.top_check,
    )


def _torso(person: Person, hem: float, ease: float) -> Points:
    """Return the outline from the shoulders down to the hem's height."""
    lean = person.pose.lean
    girth = person.girth
    levels = [
        (0.15, 1.22, lean),
        (0.34, 1.33, lean),
        (person.shoulder_width - 0.06, 1.45, lean),
        (person.shoulder_width * 0.93 + ease, 1.68, lean),
        (person.shoulder_width * 0.84 * girth**0.5 + ease, 2.05, lean * 0.8),
        (person.waist * girth + ease, 2.75, lean * 0.35),
        (person.hip_width * girth + ease, 3.4, 0.0),
        (person.hip_width * girth + ease * 1.4, 3.72, 0.0),
        (person.hip_width * girth + ease * 1.4, 4.0, 0.0),
    ]
    kept = [level for level in levels if level[1] < hem - 0.1]
    widths, heights, shifts = np.transpose(levels)
    kept.append(tuple(float(np.interp(hem, heights, v)) for v in (widths, heights, shifts)))  # type: ignore[arg-type]
    drops = [person.pose.shoulders[1][1] - 1.56, person.pose.shoulders[0][1] - 1.56]
    right, left = (
        [(x + side * width, y + drop * max(0.0, 1 - abs(y - 1.5))) for width, y, x in kept]
        for side, drop in zip((1, -1), drops, strict=True)
    )
    bottom = [(kept[-1][2], hem + 0.07)]
    return curve([*right, *bottom, *left[::-1]], 6, closed=True)


def _pelvis(person: Person, colour: Colour, ease: float) -> Shape:
    girth = person.girth
    points = [
        (side * width * girth + side * ease, y)
        for side, order in ((1, 1), (-1, -1))
        for width, y in [
            (person.waist, 2.72),
            (person.hip_width, 3.3),
            (person.hip_width, 3.62),
            (person.hip_width * 0.5, 3.95),
        ][::order]
    ]
    return Shape((curve(points, 6, closed=True),), colour, volume=0.22, folds=0.1)


def _leg(person: Person, side: int) -> Iterator[Shape]:
    pose, girth = person.pose, person.girth
    hip, knee, ankle = pose.hips[side], pose.knees[side], pose.ankles[side]
    path = _bent_path(hip, knee, ankle)
    radii = np.array([0.3, 0.285, 0.205, 0.215, 0.12]) * (1, girth, 1, 1, 1)
    yield Shape(tube(path, radii.tolist()), person.skin, volume=0.14)
    yield from _shoe(person, side)
    if person.legwear == "trousers":
        wide = radii * 1.06 + (0.02, 0.02, 0.03, 0.03, 0.07)
        yield Shape(
            tube(path, wide.tolist(), blunt_end=True),
            person.leg_colour,
            volume=0.18,
            folds=0.2,
            stretch=0.7,
        )
    elif person.legwear == "shorts":
        short = [hip, _between(hip, knee, 0.4), _between(hip, knee, 0.8)]
        yield Shape(
            tube(short, [0.31, 0.31 * girth, 0.29], blunt_end=True),
            person.leg_colour,
            volume=0.18,
            folds=0.16,
        )


def _shoe(person: Person, side: int) -> Iterator[Shape]:
    x, y = person.pose.ankles[side]
    out = _SIDES[side] * 0.16
    toe = (x + out, y + 0.3)
    sole = tuple(shade * 0.5 + 60 for shade in person.shoe_colour)
    yield Shape(tube([(x + 0.1 * out, y + 0.2), (toe[0], toe[1] + 0.03)], [0.14, 0.17]), sole, 0.1)  # type: ignore[arg-type]
    yield Shape(
        tube([(x, y - 0.02), (x + 0.4 * out, y + 0.16), toe], [0.13, 0.165, 0.16]),
        person.shoe_colour,
        volume=0.12,
        gloss=1.3,
    )


def _skirt(person: Person) -> Iterator[Shape]:
    long = person.legwear == "long skirt" or (
        person.legwear == "dress" and person.hair_length > 1.6
    )
    hem = 6.7 if long else 4.9
    flare = 0.32 + 0.5 * (person.girth - 0.88) + (0.3 if long else 0.12)
    if person.sheer < 1:
        yield Shape(
            (_skirt_outline(person, 4.5, 0.14, 0.0),), person.leg_colour, volume=0.2, folds=0.1
        )
    yield Shape(
        (_skirt_outline(person, hem, flare, person.wind * 0.3),),
        person.leg_colour,
        volume=0.25,
        opacity=person.sheer,
        folds=0.34,
        stretch=7.0,
        softness=0.004 if person.sheer < 1 else 0.0,
    )


def _skirt_outline(person: Person, hem: float, flare: float, blown: float) -> Points:
    waist = person.waist * person.girth + 0.06
    hip = person.hip_width * person.girth + 0.07
    bottom = hip + flare
    right = [(waist, 2.85), (hip, 3.45), (hip + 0.45 * flare + 0.3 * blown, (3.45 + hem) / 2)]
    waves = np.linspace(1, -1, 9)
    hem_line = [
        (bottom * s + blown, hem - 0.18 * s * s + 0.05 * np.cos(s * 14 + 7 * person.waist))
        for s in waves
    ]
    left = [(-x + (0.6 * blown if i == 2 else 0), y) for i, (x, y) in enumerate(right)]
    return curve([*right, *hem_line, *left[::-1]], 5, closed=True)


def _waistband(person: Person) -> Shape:
    width = person.waist * person.girth + 0.07
    outline = curve(
        [
            (width, 2.8),
            (width + 0.02, 2.96),
            (0, 3.03),
            (-width - 0.02, 2.96),
            (-width, 2.8),
            (0, 2.86),
        ],
        5,
        closed=True,
    )
    dark = tuple(shade * 0.7 for shade in person.leg_colour)
    return Shape((outline,), dark, volume=0.12)  # type: ignore[arg-type]


def _neck(person: Person) -> Iterator[Shape]:
    x = person.pose.lean
    depth = {"tank": 0.34, "tee": 0.12, "long": 0.16, "jacket": 0.26}[person.top]
    width = 0.36 if person.top == "tank" else 0.25
    collar = [(x + width, 1.3), (x + 0.13, 1.38 + depth), (x, 1.44 + depth)]
    collar += [(x - 0.13, 1.38 + depth), (x - width, 1.3)]
    neckline = curve([(x - 0.17, 1.2), (x + 0.17, 1.2), *collar], 6, closed=True)
    yield Shape((neckline,), person.skin, volume=0.2, gloss=0.6)
    throat = tube([(x * 0.6, 0.9), (x * 0.85, 1.15), (x, 1.36)], [0.18, 0.185, 0.24])
    yield Shape(throat, person.skin, volume=0.14)
    shadow = ellipse((x * 0.75, 1.17), (0.22, 0.1))
    yield Shape((shadow,), _shade(person.skin), opacity=0.6, softness=0.05, inside=True)


def _jacket(person: Person) -> Iterator[Shape]:
    body = _torso(person, 3.95, 0.1)
    x, colour = person.pose.lean, person.leg_colour
    if person.legwear == "dress":
        colour = person.top_colour
    gap = 0.12 + 0.25 * (person.girth - 0.88)
    for sign in _SIDES:
        half = body.copy()
        limit = np.interp(half[:, 1], [1.2, 1.5, 2.6, 4.0], [0.22, 0.24, gap, gap + 0.16])
        centre = np.interp(half[:, 1], [1.4, 3.4], [x, 0.0])
        offset = sign * (half[:, 0] - centre)
        half[:, 0] = centre + sign * np.maximum(offset, limit)
        yield Shape((half,), colour, volume=0.16, folds=0.14, stretch=1.6)
        lapel = [(x + sign * 0.2, 1.27), (x + sign * 0.42, 1.62), (x + sign * (gap + 0.1), 2.25)]
        lapel += [(x * 0.8 + sign * gap, 2.3), (x + sign * 0.2, 1.7)]
        yield Shape((curve(lapel, 5, closed=True),), colour, volume=0.06, gloss=1.4)


def _scarf(person: Person) -> Shape:
    x = person.pose.lean
    band = tube([(x - 0.3, 1.28), (x, 1.46), (x + 0.3, 1.26)], [0.1, 0.17, 0.1])
    tail = tube(
        [(x + 0.14, 1.45), (x + 0.22, 2.0), (x + 0.16 + 0.2 * person.wind, 2.7)], [0.1, 0.15, 0.2]
    )
    return Shape(
        (*tail, *band), person.shoe_colour, volume=0.1, folds=0.3, stretch=3.0, opacity=0.92
    )


def _arm(person: Person, side: int) -> Iterator[Shape]:
    pose = person.pose
    path = _bent_path(pose.shoulders[side], pose.elbows[side], pose.wrists[side])
    radii = np.array([0.17, 0.165, 0.125, 0.13, 0.085]) * person.girth**0.4
    yield from _hand(person, side)
    motion = _hand_motion(person, side)
    x, y = pose.shoulders[side]
    # Without it the arm would look stuck on.
    shoulder = (ellipse((x - _SIDES[side] * 0.17, y + 0.06), (0.3, 0.36)),)
    bare = Shape(tube(path, radii.tolist()), person.skin, volume=0.1)
    yield replace(bare, joined=shoulder if person.top == "tank" else ())
    colour = person.leg_colour if person.top == "jacket" else _top_colour(person)
    if person.top == "jacket" and person.legwear == "dress":
        colour = person.top_colour
    if person.top == "tank":
        return
    share = 0.36 if person.top == "tee" else 0.96
    sleeve = part_of_path(curve(path, 4), share)
    t = np.linspace(0, share, len(sleeve))
    width = np.interp(t, np.linspace(0, 1, 5), radii) * 1.1 + 0.03 + 0.02 * t
    moving = motion if person.top != "tee" else (0.0, 0.0)
    cloth = _top_cloth(person, tube(sleeve, width.tolist(), blunt_end=True), colour)
    yield replace(cloth, joined=shoulder, motion=(moving[0] * 0.3, moving[1] * 0.3))


def _hand(person: Person, side: int) -> Iterator[Shape]:
    elbow, wrist = np.asarray(person.pose.elbows[side]), np.asarray(person.pose.wrists[side])
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    across = np.array([-along[1], along[0]]) * _SIDES[side]
    motion = _hand_motion(person, side)
    palm = wrist + 0.24 * along

    def at(forward: float, aside: float) -> Point:
        x, y = wrist + forward * along + aside * across
        return float(x), float(y)

    spread = 0.5 + 0.5 * person.girth
    thumb = tube([at(0.12, -0.07), at(0.26, -0.17), at(0.38, -0.17)], [0.05, 0.048, 0.034])
    yield Shape(thumb, person.skin, volume=0.035, motion=motion)
    for place, length in ((-0.095, 0.27), (-0.032, 0.31), (0.032, 0.29), (0.092, 0.22)):
        tip = at(0.34 + length, place * 1.5 * spread)
        middle = at(0.36 + length * 0.5, place * 1.35 * spread)
        finger = tube([at(0.3, place), middle, tip], [0.045, 0.042, 0.03])
        yield Shape(finger, person.skin, volume=0.035, motion=motion)
    palm_shape = tube([tuple(wrist), tuple(palm), at(0.36, 0)], [0.085, 0.125, 0.12])
    yield Shape(palm_shape, person.skin, volume=0.07, motion=motion, gloss=0.8)


def _hand_motion(person: Person, side: int) -> Point:
    if person.moving_hand != side:
        return 0.0, 0.0
    (ex, ey), (wx, wy) = person.pose.elbows[side], person.pose.wrists[side]
    # A hand swings around the elbow, across the forearm.
    return 0.22 * (ey - wy), 0.22 * (wx - ex)


def _bent_path(start: Point, joint: Point, end: Point) -> list[Point]:
    return [start, _between(start, joint, 0.5), joint, _between(joint, end, 0.4), end]


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _shade(colour: Colour) -> Colour:
    red, green, blue = colour
    return red * 0.55, green * 0.48, blue * 0.5
