"""Hair of a drawn person: a mass that is opaque, and hundreds of strands that fade to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from builder.sources.drawing.canvas import Shape, Strands
from builder.sources.drawing.head import on_neck
from builder.sources.drawing.person import Person
from builder.sources.drawing.shapes import Points, curve, ellipse

Curves = npt.NDArray[np.float64]
_STEPS = 9


def back_hair(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    """Yield what hangs or stands behind the head and the body."""
    style = person.hair_style
    if style in ("long", "bob"):
        yield from _curtain(person, rng)
    elif style == "curly":
        yield from _curls(person, rng)
    elif style == "ponytail":
        yield from _tail(person, rng)
    elif style == "bun":
        yield from _bun(person, rng)


def front_hair(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    """Yield what covers the skull above the hairline."""
    thin = person.hair_style == "buzz"
    lift = {"buzz": 0.012, "short": 0.07, "curly": 0.1}.get(person.hair_style, 0.045)
    part = float(rng.uniform(-0.16, 0.16))
    yield _placed(person, _cap(person, lift, part))
    if person.hair_style == "curly":
        yield _curly_strands(person, rng, _arc_roots(rng, 260, 0.36, 0.47), 0.05)
        return
    if thin:
        return
    yield _combed(person, rng, lift, part)
    if person.hair_style == "short":
        yield _tufts(person, rng, lift)
    else:
        yield _flyaways(person, rng, lift)
    if person.hair_style in ("long", "bob"):
        yield from _front_locks(person, rng)


def _placed(person: Person, shape: Shape) -> Shape:
    return replace(shape, outlines=tuple(on_neck(line, person) for line in shape.outlines))


def _strands(
    person: Person,
    rng: np.random.Generator,
    curves: Curves,
    width: float,
    opacity: float,
    taper: float,
) -> Strands:
    tones = rng.choice(np.array([84, 104, 128, 150, 172], np.uint8), len(curves))
    placed = on_neck(curves, person)
    return Strands(placed, tones.astype(np.uint8), person.hair, width, opacity, taper)


def _cap(person: Person, lift: float, part: float) -> Shape:
    """Return the hair on the skull: outside an arc over the crown, inside the hairline."""
    angle = np.linspace(0, np.pi, 17)
    outer = np.column_stack(
        [np.cos(angle) * (0.36 + lift * 0.8), -0.06 - np.sin(angle) * (0.44 + lift)]
    )
    low = {"buzz": -0.05, "short": 0.02, "curly": 0.0}.get(person.hair_style, 0.1)
    turn = 0.05 * person.pose.head_turn
    inner = [(-0.35, low), (-0.315, -0.14), (-0.24, -0.24), (part + turn, -0.31), (0.24, -0.24),
             (0.315, -0.14), (0.35, low)]  # fmt: skip
    soft = 0.02 if person.hair_style == "buzz" else 0.008
    opacity = 0.8 if person.hair_style == "buzz" else 1.0
    outline = np.concatenate([outer, curve(inner, 5)])
    return Shape((outline,), person.hair, volume=0.14, softness=soft, opacity=opacity, folds=0.12)


def _combed(person: Person, rng: np.random.Generator, lift: float, part: float) -> Strands:
    """Return strands over the cap, from the parting to the sides."""
    count = 260
    side = rng.choice([-1.0, 1.0], count)
    depth = rng.random(count)
    start = np.column_stack([part + 0.02 * side, -0.5 - lift + 0.17 * depth])
    end_angle = rng.uniform(0.0, 0.5, count)
    end = np.column_stack(
        [
            side * (0.35 + lift * 0.7) * np.cos(end_angle),
            -0.02 - 0.4 * np.sin(end_angle) * (1 - depth),
        ]
    )
    middle = np.column_stack([side * rng.uniform(0.2, 0.3, count), -0.5 - lift * 0.8 + 0.2 * depth])
    return _strands(person, rng, _bezier(start, middle, end), 0.009, 0.7, 0.4)


def _tufts(person: Person, rng: np.random.Generator, lift: float) -> Strands:
    """Return the short hairs that break the outline of a short cut."""
    roots = _arc_roots(rng, 420, 0.3, 0.4 + lift * 0.7)
    outwards = roots - (0, -0.06)
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    length = rng.uniform(0.04, 0.15, (420, 1)) * np.clip(0.4 - outwards[:, 1:], 0.3, 1.2)
    lean = np.array([[0.6 * person.wind + 0.35 * np.sign(person.pose.head_turn), -0.2]])
    tips = roots + (outwards + lean + rng.normal(0, 0.3, roots.shape)) * length
    middle = roots + outwards * length * 0.6
    return _strands(person, rng, _bezier(roots, middle, tips), 0.01, 0.9, 0.8)


def _flyaways(person: Person, rng: np.random.Generator, lift: float) -> Strands:
    """Return single hairs that stand off combed hair."""
    count = 90
    roots = _arc_roots(rng, count, 0.34, 0.38 + lift)
    outwards = roots - (0, -0.06)
    drift = rng.normal(0, 0.09, (count, 2)) + np.array([0.12 * person.wind, 0.05])
    return _strands(
        person,
        rng,
        _bezier(roots, roots + outwards * 0.3, roots + outwards * 0.2 + drift),
        0.006,
        0.7,
        1.0,
    )


def _arc_roots(rng: np.random.Generator, count: int, low: float, high: float) -> Points:
    angle = rng.uniform(-0.05, np.pi + 0.05, count)
    radius = rng.uniform(low, high, count)
    return np.column_stack([np.cos(angle) * radius * 0.92, -0.08 - np.sin(angle) * radius * 1.04])


def _curtain_points(person: Person, s: Curves, t: Curves, phase: Curves) -> Curves:
    """Return where hair from side `s` (-1 to 1) is after the share `t` of its length."""
    length = 0.95 if person.hair_style == "bob" else person.hair_length + 0.45
    skull = np.sqrt(np.clip(1 - s * s, 0, 1))
    fall = -0.06 - 0.47 * skull + t * (length + 0.4 * skull)
    flare = 0.42 + (0.12 if person.hair_style == "bob" else 0.2) * np.sin(np.clip(t, 0, 1) * 2.2)
    wave = 0.035 * np.sin(t * (4 + 3 * person.girth) + phase)
    x = s * flare + wave * (0.3 + t) + person.wind * 0.8 * t**2
    lift = -abs(person.wind) * 0.35 * t**2 * length
    return np.stack([x, fall + lift], axis=-1)


def _curtain(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    t = np.linspace(0, 0.93, 14)
    phase = float(rng.uniform(0, 6))
    right = _curtain_points(person, np.ones(14), t, np.full(14, phase))
    left = _curtain_points(person, -np.ones(14), t, np.full(14, phase))
    s = np.linspace(1, -1, 17)[1:-1]
    jagged = 0.9 + 0.06 * np.cos(np.arange(15) * 2.4 + phase)
    bottom = _curtain_points(person, s, jagged, np.full(15, phase))
    top = _curtain_points(person, -s, np.zeros(15), np.full(15, phase))
    mass = curve(np.concatenate([right, bottom, left[::-1], top]), 3, closed=True)
    dark = tuple(shade * 0.8 for shade in person.hair)
    yield _placed(person, Shape((mass,), dark, volume=0.2, folds=0.2, stretch=8.0, softness=0.012))  # type: ignore[arg-type]
    yield _hanging(person, rng, rng.uniform(-1.04, 1.04, 520), phase, 0.05)
    yield _hanging(person, rng, rng.choice([-1, 1], 110) * rng.uniform(0.9, 1.03, 110), phase, 0.2)


def _hanging(
    person: Person, rng: np.random.Generator, s: Curves, phase: float, spread: float
) -> Strands:
    """Return hanging strands that stray from their side `s` by about `spread` at their tips."""
    t = np.linspace(0, 1, _STEPS) * rng.uniform(0.85, 1.12, (len(s), 1))
    strayed = s[:, None] * (1 + np.abs(rng.normal(0, spread, (len(s), 1))) * t**1.5)
    phases = phase + rng.normal(0, 0.5, (len(s), 1)) + 0 * t
    return _strands(person, rng, _curtain_points(person, strayed, t, phases), 0.008, 0.85, 0.55)


def _front_locks(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    """Yield the hair that falls beside the face and before the shoulders."""
    reach = 0.8 if person.hair_style == "bob" else 0.55 + 0.25 * person.girth
    phase = float(rng.uniform(0, 6))
    t = np.linspace(0.0, reach, 9)
    for sign in (-1, 1):
        outer = _curtain_points(person, np.full(9, 0.99 * sign), t, np.full(9, phase))
        inner = _curtain_points(person, np.full(9, 0.8 * sign), t * 0.93, np.full(9, phase))
        inner[:, 1] += 0.2 * (1 - t / reach)
        lock = curve(np.concatenate([outer, inner[::-1]]), 3, closed=True)
        shape = Shape((lock,), person.hair, volume=0.08, folds=0.2, stretch=8.0, softness=0.01)
        yield _placed(person, shape)
        s = sign * rng.uniform(0.76, 1.02, 110)
        steps = np.linspace(0.05, 1, _STEPS) * reach * rng.uniform(0.75, 1.15, (110, 1))
        phases = phase + rng.normal(0, 0.4, (110, 1)) + 0 * steps
        points = _curtain_points(person, s[:, None] + 0 * steps, steps, phases)
        yield _strands(person, rng, points, 0.008, 0.8, 0.5)


def _curls(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    radius = 0.42 + 0.14 * person.hair_length / 2.4
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    bumps = radius * (1 + 0.05 * np.cos(angle * 9) + rng.normal(0, 0.03, 30))
    mass = np.column_stack([np.cos(angle) * bumps * 1.06, -0.14 + np.sin(angle) * bumps])
    shape = Shape(
        (curve(mass, 4, closed=True),), person.hair, volume=0.2, folds=0.25, softness=0.012
    )
    yield _placed(person, shape)
    around = rng.uniform(-0.6, np.pi + 0.6, 380)
    distance = radius * rng.uniform(0.7, 1.06, 380)
    roots = np.column_stack([np.cos(around) * distance * 1.06, -0.14 - np.sin(around) * distance])
    yield _curly_strands(person, rng, roots, 0.075)


def _curly_strands(person: Person, rng: np.random.Generator, roots: Points, size: float) -> Strands:
    count = len(roots)
    turn = rng.uniform(0, 2 * np.pi, (count, 1)) + np.linspace(0, 1, _STEPS) * rng.choice(
        [-7, 7], (count, 1)
    )
    radius = size * rng.uniform(0.3, 0.8, (count, 1)) * np.linspace(0.4, 1, _STEPS)
    drift = (roots - (0, -0.1))[:, None] * np.linspace(0, 0.22, _STEPS)[:, None]
    curls = roots[:, None] + drift + np.stack([np.cos(turn) * radius, np.sin(turn) * radius], -1)
    return _strands(person, rng, curls, 0.011, 0.85, 0.5)


def _tail(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    """Yield a ponytail that swings to the side."""
    side = 1.0 if person.pose.head_turn < 0 else -1.0
    length = 0.7 + 0.5 * person.hair_length
    t = np.linspace(0, 1, _STEPS)
    spine_x = side * (0.2 + 0.5 * np.sin(t * 2.0)) + person.wind * 0.5 * t**2
    spine_y = -0.42 - 0.16 * np.sin(t * 3.0) + length * t**1.5
    width = 0.05 + 0.17 * np.sin(np.clip(t * 1.15, 0, 1) * np.pi) ** 0.8
    outline = np.concatenate(
        [
            np.column_stack([spine_x + width, spine_y]),
            np.column_stack([spine_x - width, spine_y])[::-1],
        ]
    )
    mass = curve(outline, 4, closed=True)
    yield _placed(
        person, Shape((mass,), person.hair, volume=0.1, folds=0.2, stretch=5.0, softness=0.01)
    )
    count = 420
    across = rng.normal(0, 0.62, (count, 1))
    late = rng.uniform(0.9, 1.15, (count, 1))
    wobble = 0.03 * np.sin(t * 7 + rng.uniform(0, 6, (count, 1)))
    x = spine_x + across * (width + 0.05 * t) + wobble * t
    y = -0.42 + (spine_y + 0.42) * late + 0.05 * across
    yield _strands(person, rng, np.stack([x, y], axis=-1), 0.008, 0.85, 0.6)


def _bun(person: Person, rng: np.random.Generator) -> Iterator[Shape | Strands]:
    centre = np.array([0.08 * person.pose.head_turn, -0.62])
    knot = ellipse((float(centre[0]), float(centre[1])), (0.21, 0.18))
    yield _placed(person, Shape((knot,), person.hair, volume=0.1, folds=0.15))
    count = 200
    start = rng.uniform(0, 2 * np.pi, (count, 1))
    turn = start + np.linspace(0, 1.6, _STEPS)
    radius = rng.uniform(0.3, 1.02, (count, 1)) + np.linspace(0, 1, _STEPS) ** 3 * rng.exponential(
        0.12, (count, 1)
    )
    loops = centre + np.stack([np.cos(turn) * radius * 0.21, np.sin(turn) * radius * 0.18], -1)
    yield _strands(person, rng, loops, 0.008, 0.8, 0.5)


def _bezier(start: Points, middle: Points, end: Points) -> Curves:
    t = np.linspace(0, 1, _STEPS)[None, :, None]
    return (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * end[:, None]
