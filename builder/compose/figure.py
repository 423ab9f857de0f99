"""A human made ready for placement: cleaned, premultiplied, its cut sides found."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.edges import decontaminate
from builder.cuts import Points, Side, find_cuts
from builder.matte import Matte, bounding_box, clean_matte
from builder.recipe import Recipe

_GRID = 64


@dataclass(frozen=True)
class Figure:
    """A human's visible part.

    Coordinates are continuous, in px of the source picture: its corners are (0, 0) and
    (width, height), a pixel's centre lies at +0.5.

    Attributes:
        pixels: uint8 (h, w, 4), premultiplied RGBA, cropped to the figure.
        box: (left, top, right, bottom) of `pixels` in the source picture.
        width, height: size of the source picture, px.
        cuts: for each side on which the picture's border cuts the figure, float64 (2, 2): the
            ends (x, y) of the cut.
        points: float64 (n, 2): sample points (x, y) spread over the figure.
        weights: float64 (n,): the area, in px, of fully opaque figure that a point stands for.
    """

    pixels: npt.NDArray[np.uint8]
    box: tuple[int, int, int, int]
    width: int
    height: int
    cuts: dict[Side, Points]
    points: Points
    weights: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """The figure's area, px of full opacity."""
        return float(self.weights.sum())

    def mirrored(self) -> Figure:
        """Return the figure seen in a mirror, left for right."""
        left, top, right, bottom = self.box
        swap: dict[Side, Side] = {"left": "right", "right": "left"}
        return Figure(
            pixels=np.asarray(cv2.flip(self.pixels, 1), dtype=np.uint8),
            box=(self.width - right, top, self.width - left, bottom),
            width=self.width,
            height=self.height,
            cuts={swap.get(side, side): self._mirror(ends) for side, ends in self.cuts.items()},
            points=self._mirror(self.points),
            weights=self.weights,
        )

    def _mirror(self, points: Points) -> Points:
        return np.column_stack([self.width - points[:, 0], points[:, 1]])


def prepare_figure(rgba: npt.NDArray[np.uint8], recipe: Recipe) -> Figure:
    """Clean, crop and premultiply a human, and find where it is cut.

    Args:
        rgba: uint8 (H, W, 4), straight alpha, with at least one half opaque pixel.
        recipe: the haze and speck knobs, and `decontamination`, matter.
    """
    height, width = rgba.shape[:2]
    alpha = clean_matte(np.asarray(cv2.extractChannel(rgba, 3), dtype=np.uint8), recipe)
    left, top, right, bottom = box = bounding_box(alpha)
    cropped = rgba[top:bottom, left:right].copy()
    cv2.insertChannel(alpha[top:bottom, left:right], cropped, 3)
    premultiplied = np.asarray(cv2.cvtColor(cropped, cv2.COLOR_RGBA2mRGBA), dtype=np.uint8)
    points, weights = _sample_points(alpha[top:bottom, left:right], left, top)
    return Figure(
        pixels=decontaminate(premultiplied, recipe.decontamination),
        box=box,
        width=width,
        height=height,
        cuts=find_cuts(alpha),
        points=points,
        weights=weights,
    )


def _sample_points(alpha: Matte, left: int, top: int) -> tuple[Points, npt.NDArray[np.float64]]:
    """Return points and the opaque area each stands for, from a grid of at most 64 x 64 cells."""
    height, width = alpha.shape
    rows, columns = min(_GRID, height), min(_GRID, width)
    cells = cv2.resize(
        alpha.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
    ).astype(np.float64)
    y, x = np.nonzero(cells > 0)
    cell_width, cell_height = width / columns, height / rows
    points = np.column_stack([left + (x + 0.5) * cell_width, top + (y + 0.5) * cell_height])
    return points, cells[y, x] / 255 * cell_width * cell_height
