"""Landscapes, foliage and lights out of focus for drawn backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from builder.sources.drawing.canvas import Colour, Pixels, as_floats, as_pixels, fill, octave_noise

_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((70, 124, 190), (206, 222, 232)),
    ((120, 140, 164), (220, 216, 206)),
    ((54, 60, 110), (246, 172, 110)),
    ((96, 110, 160), (244, 200, 190)),
    ((140, 150, 158), (204, 206, 206)),
    ((26, 34, 66), (120, 96, 130)),
)
_GROUNDS: tuple[Colour, ...] = (
    (92, 120, 62),
    (140, 130, 76),
    (196, 172, 128),
    (116, 96, 74),
    (226, 230, 236),
    (74, 98, 66),
)
_LEAVES: tuple[Colour, ...] = (
    (70, 106, 44),
    (46, 84, 50),
    (120, 134, 56),
    (176, 120, 44),
    (96, 64, 70),
    (160, 70, 44),
)


def draw_horizon(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw hills, plains or a sea under a sky; uint8 (H, W, 3), RGB."""
    horizon = round(height * float(rng.uniform(0.3, 0.68)))
    high, low = (np.array(colour) for colour in _SKIES[rng.integers(len(_SKIES))])
    image = _sky(rng, height, width, horizon, (high, low))
    ground = np.array(_GROUNDS[rng.integers(len(_GROUNDS))]) + rng.uniform(-16, 16, 3)
    sea = rng.random() < 0.35
    near = 0.4 * high + np.array([10, 30, 40]) if sea else ground
    _plain(rng, image, horizon, near, low, waves=sea)
    ridges = int(rng.integers(1, 5))
    for ridge in range(ridges):
        # Air between takes the contrast of what is far.
        far = 1 - (ridge + 1) / (ridges + 0.6)
        colour = (1 - 0.75 * far) * ground * rng.uniform(0.5, 0.8) + 0.75 * far * low
        base = horizon + height * (0.02 if sea else 0.05 * ridge / ridges)
        _ridge(rng, image, base, float(rng.uniform(0.04, 0.2)) * (0.5 + far), colour)
    if not sea and rng.random() < 0.7:
        _trees(rng, image, horizon, ground)
    return image


def _sky(
    rng: np.random.Generator,
    height: int,
    width: int,
    horizon: int,
    colours: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> Pixels:
    share = np.clip(np.arange(height) / max(1, horizon), 0, 1)[:, None] ** 1.3
    rows = colours[0] * (1 - share) + colours[1] * share
    image = np.repeat(np.clip(rows, 0, 255).astype(np.uint8)[:, None], width, axis=1)
    clouds = octave_noise(rng, height, max(2, width // 3), float(rng.uniform(3, 7)), 5)
    clouds = as_floats(cv2.resize(clouds, (width, height), interpolation=cv2.INTER_LINEAR))
    cover = float(rng.uniform(0.35, 0.62))
    weight = np.clip((clouds - cover) * 3.2, 0, 0.9)
    white = np.empty_like(image)
    white[:] = np.clip(0.35 * colours[1] + 146, 0, 255).astype(np.uint8)
    image = as_pixels(cv2.blendLinear(white, image, weight, 1 - weight))
    if rng.random() < 0.5:
        _sun(rng, image, horizon)
    return image


def _sun(rng: np.random.Generator, image: Pixels, horizon: int) -> None:
    height, width = image.shape[:2]
    x, y = float(rng.uniform(0.1, 0.9)) * width, float(rng.uniform(0.2, 0.95)) * horizon
    rows, columns = np.ogrid[0:1:64j, 0:1:64j]
    distance = np.hypot((rows - y / height) * height, (columns - x / width) * width) / max(
        height, width
    )
    glow = (170 * np.exp(-distance * 16) + 60 * np.exp(-distance * 4)).astype(np.float32)
    full = cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
    light = cv2.merge([full, 0.88 * full, 0.66 * full])
    cv2.add(image, light, dst=image, dtype=cv2.CV_8U)


def _plain(
    rng: np.random.Generator,
    image: Pixels,
    horizon: int,
    near: npt.NDArray[np.float64],
    far: npt.NDArray[np.float64],
    *,
    waves: bool,
) -> None:
    height, width = image.shape[:2]
    depth = height - horizon
    share = np.linspace(0, 1, depth)[:, None] ** 0.6
    rows = far * 0.7 * (1 - share) + near * share
    # Noise on the ground plane: rows crowd towards the horizon.
    texture = octave_noise(rng, max(8, depth), width, 24 if waves else 60, 4)
    lookup = (depth - 1) * (1 - 1 / (1 + 2 * np.linspace(0, 1, depth))) * 3 / 2
    stretched = texture[np.clip(lookup, 0, depth - 1).astype(int)]
    if waves:
        stretched = cv2.blur(stretched, (max(3, width // 30), 1))
    gain = (0.75 + 0.5 * stretched).astype(np.float32)
    plain = np.repeat(np.clip(rows, 0, 255).astype(np.uint8)[:, None], width, axis=1)
    image[horizon:] = cv2.multiply(plain, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def _ridge(
    rng: np.random.Generator,
    image: Pixels,
    base: float,
    rise: float,
    colour: npt.NDArray[np.float64],
) -> None:
    height, width = image.shape[:2]
    count = 96
    profile = np.zeros(count)
    for octave in range(5):
        knots = rng.random(3 * 2**octave + 1) * 0.55**octave
        profile += np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(knots)), knots)
    profile /= profile.max()
    x = np.linspace(-2, width + 2, count)
    top = np.column_stack([x, base - rise * height * profile])
    outline = np.concatenate([top, [[width + 2, base + 1], [-2, base + 1]]])
    fill(image, outline, np.clip(colour, 0, 255).tolist())


def _trees(
    rng: np.random.Generator, image: Pixels, horizon: int, ground: npt.NDArray[np.float64]
) -> None:
    height, width = image.shape[:2]
    leaf = np.array(_LEAVES[rng.integers(len(_LEAVES))])
    for depth in np.sort(rng.uniform(0.02, 1, int(rng.integers(3, 12)))):
        foot = horizon + (height - horizon) * depth * 0.7
        tall = height * (0.06 + 0.4 * depth) * rng.uniform(0.6, 1.2)
        x = float(rng.uniform(0, width))
        trunk = [[x - tall * 0.03, foot], [x - tall * 0.02, foot - tall * 0.5],
                 [x + tall * 0.02, foot - tall * 0.5], [x + tall * 0.03, foot]]  # fmt: skip
        fill(image, np.array(trunk), (64, 50, 40))
        count = 60
        spread = np.clip(rng.normal(0, 1, (count, 2)), -1.7, 1.7) * (tall * 0.16, tall * 0.17)
        for dx, dy in spread[np.argsort(-spread[:, 1])]:
            gain = 0.75 - 0.9 * dy / tall + rng.uniform(-0.15, 0.15)
            colour = np.clip((0.85 * leaf + 0.15 * ground) * gain, 0, 255)
            _disc(image, x + dx, foot - tall * 0.65 + dy, tall * rng.uniform(0.03, 0.09), colour)


def draw_foliage(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw leaves before blurred bushes; uint8 (H, W, 3), RGB."""
    leaf = np.array(_LEAVES[rng.integers(len(_LEAVES))]) + rng.uniform(-10, 10, 3)
    noise = octave_noise(rng, height, width, float(rng.uniform(3, 8)), 7)
    tones = np.clip(noise * 230 - 5, 0, 255).astype(np.uint8)
    image = as_pixels(cv2.applyColorMap(tones, _leaf_ramp(leaf)))
    longer = max(height, width)
    image = as_pixels(cv2.blur(image, (max(1, longer // 90), max(1, longer // 90))))
    for layer in range(3):
        size = longer * float(rng.uniform(0.012, 0.045)) * (0.6 + 0.4 * layer)
        _scatter_leaves(rng, image, leaf, size, (120, 90, 60)[layer])
    return image


def _leaf_ramp(leaf: npt.NDArray[np.float64]) -> Pixels:
    knots = (leaf * 0.12, leaf * 0.6, leaf * 1.25 + 10, leaf * 0.9 + 60)
    tones = [
        np.interp(np.arange(256), (0, 90, 190, 255), [knot[c] for knot in knots]) for c in range(3)
    ]
    return as_pixels(np.clip(np.stack(tones, axis=-1), 0, 255)[:, None])


def _scatter_leaves(
    rng: np.random.Generator,
    image: Pixels,
    leaf: npt.NDArray[np.float64],
    size: float,
    count: int,
) -> None:
    height, width = image.shape[:2]
    clusters = rng.random((5, 2)) * (width, height)
    heading = float(rng.uniform(0, 6.3))
    along = np.linspace(0, np.pi, 9)
    blade = np.column_stack([np.cos(along), 0.32 * np.sin(along) ** 1.5])
    outline = np.concatenate([blade, blade[::-1] * (1, -1)])
    for _ in range(count):
        centre = clusters[rng.integers(5)] + rng.normal(0, 0.14, 2) * max(height, width)
        angle = heading + float(rng.normal(0, 0.7))
        cos, sin = np.cos(angle), np.sin(angle)
        points = (
            outline @ np.array([[cos, sin], [-sin, cos]]) * size * rng.uniform(0.6, 1.3) + centre
        )
        gain = float(rng.uniform(0.45, 1.5))
        fill(image, points, np.clip(leaf * gain + 12 * gain, 0, 255).tolist())


def draw_lights(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Draw a dim place with lights far out of focus; uint8 (H, W, 3), RGB."""
    noise = octave_noise(rng, height // 4, width // 4, float(rng.uniform(2, 5)), 4)
    dark, bright = rng.uniform(8, 40, 3), rng.uniform(50, 150, 3)
    tones = np.clip(noise, 0, 1)[..., None]
    small = np.clip(dark * (1 - tones) + bright * tones, 0, 255).astype(np.uint8)
    _blocks(rng, small)
    small = as_pixels(cv2.GaussianBlur(small, (0, 0), max(0.6, max(small.shape) * 0.008)))
    image = as_pixels(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    longer = max(height, width)
    palette = rng.uniform(90, 255, (4, 3)) * (1.0, 0.85, 0.65)
    level = height * rng.uniform(0.3, 0.7)
    for _ in range(int(rng.integers(30, 90))):
        x, y = rng.uniform(0, width), rng.normal(level, height * 0.2)
        radius = longer * float(rng.uniform(0.006, 0.045))
        _glow(image, x, y, radius, palette[rng.integers(4)] * float(rng.uniform(0.25, 0.8)))
    return image


def _blocks(rng: np.random.Generator, image: Pixels) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(4, 10))):
        x, y = rng.uniform(0, width), rng.uniform(0.3, 1.0) * height
        half, tall = rng.uniform(0.03, 0.15) * width, rng.uniform(0.1, 0.7) * height
        corners = np.array(
            [[x - half, y - tall], [x + half, y - tall], [x + half, height], [x - half, height]]
        )
        fill(image, corners, rng.uniform(10, 110, 3).tolist())


def _glow(image: Pixels, x: float, y: float, radius: float, light: npt.NDArray[np.float64]) -> None:
    reach = int(radius) + 3
    left, top = max(0, int(x) - reach), max(0, int(y) - reach)
    part = image[top : max(top, int(y) + reach), left : max(left, int(x) + reach)]
    if not part.size:
        return
    disc = np.zeros_like(part)
    _disc(disc, x - left, y - top, radius, light)
    # Lenses leave a disc a brighter rim.
    _disc(disc, x - left, y - top, radius * 0.88, light * 0.8)
    part[:] = cv2.add(part, disc)


def _disc(
    image: Pixels, x: float, y: float, radius: float, colour: npt.NDArray[np.float64]
) -> None:
    centre = (round(x * 16), round(y * 16))
    cv2.circle(image, centre, max(8, round(radius * 16)), colour.tolist(), -1, cv2.LINE_AA, 4)
