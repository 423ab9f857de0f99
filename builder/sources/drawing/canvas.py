"""A canvas with straight alpha on which shaded, soft or translucent shapes are painted."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from builder.sources.drawing.shapes import Point, Points

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
Box = tuple[int, int, int, int]

_SHIFT = 4
_MIDDLE = 128
# Cells in a shape's radius of curvature: coarse shading is smooth, and a hundred times cheaper.
_CELLS = 2.5
_MOST_CELLS = 160


@dataclass(frozen=True)
class Shape:
    """A shape in the figure's units.

    Attributes:
        outlines: the shape is their union.
        colour: sRGB, 0 to 255, at middle tone.
        volume: radius over which the surface curves towards its edge; 0 is flat.
        opacity: 0 to 1.
        softness: standard deviation of the edge's blur.
        motion: way along which the shape moved during the exposure.
        folds: strength of the tone's variation, as in draped cloth.
        stretch: how much longer than wide folds are.
        inside: whether it colours only what is there, and leaves the alpha.
        second: colour of the pattern.
        period: width of the pattern's stripes; 0 is no pattern.
        check: whether the pattern is chequered instead of striped.
        gloss: gain of the shading.
        joined: outlines of what it grows out of, where no crease is shaded.
    """

    outlines: tuple[Points, ...]
    colour: Colour
    volume: float = 0.0
    opacity: float = 1.0
    softness: float = 0.0
    motion: Point = (0.0, 0.0)
    folds: float = 0.0
    stretch: float = 1.0
    inside: bool = False
    second: Colour | None = None
    period: float = 0.0
    check: bool = False
    gloss: float = 1.0
    joined: tuple[Points, ...] = ()

    @functools.cached_property
    def extent(self) -> Points:
        """Points that span everything the shape colours."""
        points = np.concatenate(self.outlines)
        if not self.softness and not any(self.motion):
            return points
        way = np.abs(np.asarray(self.motion)) + 3 * self.softness
        return np.concatenate([points - way, points + way])

    @functools.cached_property
    def corners(self) -> Points:
        """The corners of the box around the extent."""
        return _corners(self.extent)


@dataclass(frozen=True)
class Strands:
    """Fine hairs that taper in width and alpha towards their ends.

    Attributes:
        curves: float64 (strands, points, 2), from root to tip, in the figure's units.
        tones: uint8 (strands,): 128 is the middle tone.
        colour: sRGB at middle tone.
        width: of a strand, in the figure's units.
        opacity: at the root.
        taper: exponent of the alpha's fall towards the tip; 0 keeps it.
    """

    curves: npt.NDArray[np.float64]
    tones: Pixels
    colour: Colour
    width: float = 0.008
    opacity: float = 0.9
    taper: float = 1.0

    @functools.cached_property
    def extent(self) -> Points:
        """Points that span everything the strands colour."""
        flat: Points = self.curves.reshape(-1, 2)
        return np.concatenate([flat - self.width, flat + self.width])

    @functools.cached_property
    def corners(self) -> Points:
        """The corners of the box around the extent."""
        return _corners(self.extent)


@dataclass(frozen=True)
class View:
    """Maps the figure's units to pixels: `scale` px a unit, `origin` at the upper left corner."""

    scale: float
    origin: Point
    width: int
    height: int

    def to_pixels(self, points: Points) -> Points:
        """Return the points in px."""
        pixels: Points = (points - np.asarray(self.origin)) * self.scale
        return pixels


class Canvas:
    """Straight colour and alpha, painted over by one shape after the other.

    Args:
        view: fixes the size.
        light: direction towards the light, a vector in the picture's plane.
        rng: draws the folds.
    """

    def __init__(self, view: View, light: Point, rng: np.random.Generator) -> None:
        self.colour: Pixels = np.zeros((view.height, view.width, 3), np.uint8)
        self.alpha: Floats = np.zeros((view.height, view.width), np.float32)
        self._view = view
        self._light = light
        self._rng = rng

    def paint(self, element: Shape | Strands) -> None:
        """Paint a shape or strands over what is there."""
        if isinstance(element, Shape):
            self._paint_shape(element)
        else:
            self._paint_strands(element)

    def _paint_shape(self, shape: Shape) -> None:
        low, high = self._view.to_pixels(shape.corners)
        box = self._box(low, high)
        # Features under two pixels only cost time.
        if box is None or (shape.inside and max(high - low) < 2):
            return
        tone = self._tone(shape, box)
        paint = as_pixels(cv2.applyColorMap(tone, _ramp(shape.colour)))
        if shape.second is not None and shape.period:
            pattern = self._pattern(shape, box)
            cv2.copyTo(cv2.applyColorMap(tone, _ramp(shape.second)), pattern, paint)
        self._blend(self._mask(shape, box), paint, box, inside=shape.inside)

    def _paint_strands(self, strands: Strands) -> None:
        box = self._box(*self._view.to_pixels(strands.corners))
        if box is None:
            return
        left, top, right, bottom = box
        width = strands.width * self._view.scale
        thickness = max(1, round(width))
        # Hairs much finer than a pixel can do with fewer lines, which are a pixel wide.
        thinned = slice(None, None, min(3, max(1, round(0.6 / width))))
        curves = self._view.to_pixels(strands.curves[thinned]) - (left, top)
        fixed = np.rint(curves * 2**_SHIFT).astype(np.int32)
        tones = strands.tones[thinned]
        tone = np.full((bottom - top, right - left), _MIDDLE, np.uint8)
        for value in np.unique(tones):
            lines = list(fixed[tones == value])
            cv2.polylines(tone, lines, False, int(value), thickness, cv2.LINE_8, _SHIFT)
        mask = np.zeros_like(tone)
        # From the tips to the roots: a faint line would thin a strong one that it crosses.
        spans = fixed.shape[1] - 1
        for span in reversed(range(spans)):
            fall = (1 - (span + 0.5) / spans) ** strands.taper
            level = 255 * strands.opacity * fall * min(1.0, max(0.4, width))
            lines = list(fixed[:, span : span + 2])
            cv2.polylines(mask, lines, False, round(level), thickness, cv2.LINE_AA, _SHIFT)
        paint = as_pixels(cv2.applyColorMap(tone, _ramp(strands.colour)))
        self._blend(as_floats(mask) / np.float32(255), paint, box, inside=False)

    def _blend(self, mask: Floats, paint: Pixels, box: Box, *, inside: bool) -> None:
        left, top, right, bottom = box
        alpha = self.alpha[top:bottom, left:right]
        colour = self.colour[top:bottom, left:right]
        if inside:
            colour[:] = cv2.blendLinear(paint, np.ascontiguousarray(colour), mask, 1 - mask)
            return
        behind = alpha * (1 - mask)
        colour[:] = cv2.blendLinear(paint, np.ascontiguousarray(colour), mask, behind)
        alpha[:] = mask + behind

    def _mask(self, shape: Shape, box: Box) -> Floats:
        left, top, right, bottom = box
        sigma = shape.softness * self._view.scale
        # What is blurred widely needs no fine pixels.
        cell = max(1, int(sigma / 2))
        rows, columns = -((top - bottom) // cell), -((left - right) // cell)
        mask: Pixels = np.zeros((rows, columns), np.uint8)
        self._fill(mask, shape.outlines, np.array([left, top]), cell)
        if sigma > 0.4:
            mask = as_pixels(cv2.GaussianBlur(mask, (0, 0), sigma / cell))
        if any(shape.motion):
            kernel = _line_kernel(np.asarray(shape.motion) * self._view.scale / cell)
            mask = as_pixels(cv2.filter2D(mask, -1, kernel))
        if cell > 1:
            size = (columns * cell, rows * cell)
            mask = as_pixels(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR))
        scaled: Floats = mask[: bottom - top, : right - left] * np.float32(shape.opacity / 255)
        return scaled

    def _tone(self, shape: Shape, box: Box) -> Pixels:
        left, top, right, bottom = box
        if not shape.volume and not shape.folds:
            return np.full((bottom - top, right - left), _MIDDLE, np.uint8)
        tones, cell, corner = self._coarse_tones(shape)
        shift = (np.array([left + 0.5, top + 0.5]) - corner) / cell - 0.5
        matrix = np.array([[1 / cell, 0, shift[0]], [0, 1 / cell, shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (right - left, bottom - top)
        border = cv2.BORDER_REPLICATE
        return as_pixels(cv2.warpAffine(tones, matrix, size, flags=flags, borderMode=border))

    def _coarse_tones(self, shape: Shape) -> tuple[Pixels, float, Points]:
        """Return tones, 128 in the middle, the px a cell of them takes, and their corner in px."""
        low, high = self._view.to_pixels(shape.corners)
        radius = shape.volume or 0.1
        reach = float(max(high - low)) + 4 * radius * self._view.scale
        cell = max(radius * self._view.scale / _CELLS, reach / _MOST_CELLS, 1e-3)
        corner = low - 2 * radius * self._view.scale
        columns, rows = np.ceil((high - corner) / cell + 2 * _CELLS).astype(int).tolist()
        tone = np.full((rows, columns), _MIDDLE, np.float32)
        if shape.volume:
            mask = np.zeros((rows, columns), np.uint8)
            self._fill(mask, shape.outlines + shape.joined, corner, cell)
            tone += as_floats(shape.gloss * self._relief(as_floats(mask) / np.float32(255)))
        if shape.folds:
            tone += 255 * shape.folds * (self._fold_noise(rows, columns, shape.stretch) - 0.5)
        return np.clip(tone, 0, 255).astype(np.uint8), cell, corner

    def _relief(self, mask: Floats) -> Floats:
        """Return what light from the side, and none in the creases, adds to the middle tone."""
        height = as_floats(cv2.GaussianBlur(mask, (0, 0), _CELLS))
        slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
        slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
        facing = -(slope_x * self._light[0] + slope_y * self._light[1]) * (_CELLS * 2.5)
        relief: Floats = 62 * facing - 70 * np.maximum(1 - height, 0) + 10
        return relief

    def _fold_noise(self, rows: int, columns: int, stretch: float) -> Floats:
        across, along = max(3, columns // 4), max(3, round(rows / 4 / stretch))
        grid = self._rng.random((along, across), dtype=np.float32)
        return as_floats(cv2.resize(grid, (columns, rows), interpolation=cv2.INTER_CUBIC))

    def _pattern(self, shape: Shape, box: Box) -> Pixels:
        left, top, right, bottom = box
        period = shape.period * self._view.scale
        origin_x, origin_y = np.asarray(self._view.origin) * self._view.scale
        y = (np.arange(top, bottom) + origin_y) / period % 2 < 1
        if not shape.check:
            rows: Pixels = np.repeat(y[:, None], right - left, axis=1).view(np.uint8)
            return rows
        x = (np.arange(left, right) + origin_x) / period % 2 < 1
        squares: Pixels = (y[:, None] ^ x).view(np.uint8)
        return squares

    def _fill(
        self, mask: Pixels, outlines: tuple[Points, ...], corner: Points, cell: float
    ) -> None:
        """Fill the union of the outlines in a mask of cells of `cell` px from `corner` px on."""
        unit = 2**_SHIFT / cell
        offset = (np.asarray(self._view.origin) * self._view.scale + corner) * unit
        scaled = np.concatenate(outlines) * (self._view.scale * unit) - (offset + 2 ** (_SHIFT - 1))
        fixed = np.rint(scaled).astype(np.int32)
        start = 0
        for outline in outlines:
            stop = start + len(outline)
            # One by one: among polygons of one call, where two overlap would be left out.
            cv2.fillPoly(mask, [fixed[start:stop]], (255,), cv2.LINE_AA, _SHIFT)
            start = stop

    def _box(self, low: Points, high: Points) -> Box | None:
        left, top = (max(0, int(x) - 3) for x in low.tolist())
        right, bottom = (
            min(side, int(x) + 3)
            for x, side in zip(high.tolist(), (self._view.width, self._view.height), strict=True)
        )
        return (left, top, right, bottom) if left < right and top < bottom else None


def _corners(points: Points) -> Points:
    x, y = points[:, 0], points[:, 1]
    return np.array([[x.min(), y.min()], [x.max(), y.max()]])


def as_pixels(array: npt.ArrayLike) -> Pixels:
    """Return the array as uint8, copied only where it is not; OpenCV's results have no dtype."""
    pixels: Pixels = np.asarray(array).astype(np.uint8, copy=False)
    return pixels


def as_floats(array: npt.ArrayLike) -> Floats:
    """Return the array as float32, copied only where it is not."""
    floats: Floats = np.asarray(array).astype(np.float32, copy=False)
    return floats


def fill(image: Pixels, points: Points, colour: float | Sequence[float]) -> None:
    """Fill a polygon, given in px, with antialiased edges."""
    fixed = np.rint((points - 0.5) * 2**_SHIFT).astype(np.int32)
    value = (colour,) if isinstance(colour, (int, float)) else tuple(float(c) for c in colour)
    cv2.fillPoly(image, [fixed], value, cv2.LINE_AA, _SHIFT)


def octave_noise(
    rng: np.random.Generator, height: int, width: int, cells: float, octaves: int
) -> Floats:
    """Return smooth noise, float32 (H, W), about 0 to 1, mean 0.5.

    Args:
        rng: draws it.
        height, width: px.
        cells: along the longer side in the coarsest octave; each further one has twice as many.
        octaves: how many.
    """
    total = np.full((height, width), 0.5, np.float32)
    longer = max(height, width)
    for octave in range(octaves):
        count = cells * 2**octave
        rows, columns = (max(2, round(count * side / longer)) for side in (height, width))
        grid = (rng.random((rows, columns), dtype=np.float32) - 0.5) * np.float32(0.62**octave)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def add_grain(rng: np.random.Generator, image: Pixels, strength: int) -> Pixels:
    """Return the picture with grey noise of up to `strength` levels, as a sensor leaves it."""
    height, width = image.shape[:2]
    raw = np.frombuffer(rng.bytes(height * width), np.uint8).reshape(height, width)
    values = np.arange(256)
    # The sum of two dice is rounder than one.
    levels = ((values & 15) * (strength + 1) >> 4) + ((values >> 4) * (strength + 1) >> 4)
    noise = cv2.merge([cv2.LUT(raw, levels.astype(np.uint8))] * 3)
    return as_pixels(cv2.addWeighted(image, 1, noise, 1, -strength))


@functools.lru_cache(maxsize=128)
def _ramp(colour: Colour) -> Pixels:
    """Return uint8 (256, 1, 3): the colour from its deepest shade to its highlight."""
    base = np.asarray(colour, dtype=np.float64)
    # Shade keeps some blue of the sky, and light some warmth: plain grey shading looks dead.
    knots = [base * (0.22, 0.2, 0.27), base, base + (255 - base) * (0.55, 0.52, 0.46)]
    tones = [np.interp(np.arange(256), [0, _MIDDLE, 255], [k[c] for k in knots]) for c in range(3)]
    return as_pixels(np.rint(np.stack(tones, axis=-1))[:, None])


def _line_kernel(way: Points) -> Floats:
    """Return a kernel that averages along a straight way, given in px."""
    reach = max(1, int(np.ceil(np.abs(way).max() / 2)))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    middle = np.array([reach, reach])
    start, stop = (np.rint(middle + sign * way / 2).astype(int) for sign in (-1, 1))
    cv2.line(kernel, start.tolist(), stop.tolist(), 255, 1, cv2.LINE_AA)
    total = float(kernel.sum()) or 1.0
    weights: Floats = kernel.astype(np.float32) / np.float32(total)
    return weights
