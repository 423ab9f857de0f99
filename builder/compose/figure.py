"""A human made ready for placement: cleaned, premultiplied, its cut sides found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.edges import decontaminate
from builder.compose.resample import STRIP
from builder.cuts import Points, Side, find_cuts
from builder.matte import Matte, bounding_box, clean_as_known
from builder.recipe import Recipe
from builder.sources.layer import Cleaning

_GRID = 64


@dataclass(frozen=True)
class Figure:
    """A human's visible part, mirrored or not.

    Coordinates are continuous, in px of the picture that it came in, mirrored where the figure is:
    its corners are (0, 0) and (width, height), a pixel's centre lies at +0.5.

    Attributes:
        pixels: uint8 (h, w, 4), premultiplied RGBA, cropped to the figure; never mirrored, since
            the warp does that for nothing.
        box: (left, top, right, bottom) of the figure.
        width, height: size of the source picture, px.
        cuts: for each side on which the picture's border cuts the figure, float64 (2, 2): the
            ends (x, y) of the cut.
        points: float64 (n, 2): sample points (x, y) spread over the figure; all x lie together in
            memory, which makes arithmetic with them several times as fast.
        weights: float64 (n,): the area, in px, of fully opaque figure that a point stands for.
        flipped: whether it is seen in a mirror, left for right.
    """

    pixels: npt.NDArray[np.uint8]
    box: tuple[int, int, int, int]
    width: int
    height: int
    cuts: dict[Side, Points]
    points: Points
    weights: npt.NDArray[np.float64]
    flipped: bool = False

    @cached_property
    def area(self) -> float:
        """The figure's area, px of full opacity."""
        return float(self.weights.sum())

    def mirrored(self) -> Figure:
        """Return the figure seen in a mirror, left for right."""
        left, top, right, bottom = self.box
        swap: dict[Side, Side] = {"left": "right", "right": "left"}
        return replace(
            self,
            box=(self.width - right, top, self.width - left, bottom),
            cuts={swap.get(side, side): self._mirror(ends) for side, ends in self.cuts.items()},
            points=self._mirror(self.points),
            flipped=not self.flipped,
        )

    def _mirror(self, points: Points) -> Points:
        mirrored: Points = np.stack([self.width - points[:, 0], points[:, 1]]).T
        return mirrored


def prepare_figure(
    rgba: npt.NDArray[np.uint8], recipe: Recipe, cleaning: Cleaning | None = None
) -> Figure:
    """Clean, crop and premultiply a human, and find where it is cut.

    Args:
        rgba: uint8 (H, W, 4), straight alpha, with at least one half opaque pixel.
        recipe: the haze and speck knobs, and `decontamination`, matter.
        cleaning: what the check found; only time depends on it.
    """
    height, width = rgba.shape[:2]
    own_alpha = np.asarray(cv2.extractChannel(rgba, 3), dtype=np.uint8)
    alpha = clean_as_known(own_alpha, recipe, cleaning)
    left, top, right, bottom = box = bounding_box(alpha)
    own = alpha[top:bottom, left:right]
    premultiplied = _premultiplied(rgba[top:bottom, left:right], own)
    points, weights = _sample_points(own, left, top)
    return Figure(
        pixels=decontaminate(premultiplied, recipe.decontamination),
        box=box,
        width=width,
        height=height,
        cuts=find_cuts(alpha),
        points=points,
        weights=weights,
    )


def _premultiplied(rgba: npt.NDArray[np.uint8], alpha: Matte) -> npt.NDArray[np.uint8]:
    """Return uint8 (h, w, 4): colours times another alpha than their own."""
    premultiplied = np.empty_like(rgba, order="C")
    for start in range(0, len(rgba), STRIP):
        rows = slice(start, start + STRIP)
        straight = rgba[rows].copy()
        cv2.insertChannel(alpha[rows], straight, 3)
        cv2.cvtColor(straight, cv2.COLOR_RGBA2mRGBA, dst=premultiplied[rows])
    return premultiplied


def _sample_points(alpha: Matte, left: int, top: int) -> tuple[Points, npt.NDArray[np.float64]]:
    """Return points and the opaque area each stands for, from a grid of at most 64 x 64 cells."""
    rows, columns = (_cell_borders(length) for length in alpha.shape)
    # Sums of whole rectangles take a quarter of the time that averages of cells do. Of a huge
    # picture they pass 31 bits, and wrap; differences come out right all the same.
    sums = np.asarray(cv2.integral(alpha), np.int32)[np.ix_(rows, columns)]
    cells = np.diff(np.diff(sums, axis=0), axis=1)
    y, x = np.nonzero(cells)
    middles = [(borders[:-1] + borders[1:]) / 2 for borders in (columns, rows)]
    points = np.stack([left + middles[0][x], top + middles[1][y]]).T
    return points, cells[y, x] / 255


def _cell_borders(length: int) -> npt.NDArray[np.intp]:
    """Return where cells of the grid begin and end, in whole px."""
    cells = min(_GRID, length)
    return np.arange(cells + 1) * length // cells
