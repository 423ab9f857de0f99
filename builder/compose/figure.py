"""A human made ready for placement: cleaned, premultiplied, its cut sides found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.edges import decontaminate
from builder.matte import Matte, bounding_box, clean_matte
from builder.recipe import Recipe

Side = Literal["left", "top", "right", "bottom"]
SIDES: tuple[Side, ...] = ("left", "top", "right", "bottom")
Points = npt.NDArray[np.float64]

# A border pixel this opaque is part of the figure, not haze.
_TOUCHING = 16
_SOLID = 128
_OPAQUE = 250
# LayerDiffuse lets alpha fall off over the last pixels before a border.
_FALL_OFF = 4
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
    alpha = clean_matte(rgba[..., 3], recipe)
    left, top, right, bottom = box = bounding_box(alpha)
    cropped = rgba[top:bottom, left:right].copy()
    cropped[..., 3] = alpha[top:bottom, left:right]
    premultiplied = np.asarray(cv2.cvtColor(cropped, cv2.COLOR_RGBA2mRGBA), dtype=np.uint8)
    points, weights = _sample_points(cropped[..., 3], left, top)
    return Figure(
        pixels=decontaminate(premultiplied, recipe.decontamination),
        box=box,
        width=width,
        height=height,
        cuts=find_cuts(alpha),
        points=points,
        weights=weights,
    )


def find_cuts(alpha: Matte) -> dict[Side, Points]:
    """Find the sides on which a figure was cut by a border of its picture.

    A side counts as cut where the figure touches the border, or where it ends in a straight,
    axis-aligned, opaque line inside of it, as a cropped picture does that was padded later.

    Args:
        alpha: uint8 (H, W), a cleaned matte.

    Returns:
        For each cut side float64 (2, 2): the ends (x, y) of the cut, in continuous coordinates,
        where the figure is first at its full opacity.
    """
    height, width = alpha.shape
    views: dict[Side, Matte] = {
        "top": alpha,
        "bottom": alpha[::-1],
        "left": alpha.T,
        "right": alpha.T[::-1],
    }
    cuts: dict[Side, Points] = {}
    for side, view in views.items():
        cut = _cut_at_top(np.ascontiguousarray(view))
        if cut is None:
            continue
        depth, start, stop = cut
        ends = {
            "top": [(start, depth), (stop, depth)],
            "bottom": [(start, height - depth), (stop, height - depth)],
            "left": [(depth, start), (depth, stop)],
            "right": [(width - depth, start), (width - depth, stop)],
        }[side]
        cuts[side] = np.array(ends, dtype=np.float64)
    return cuts


def _cut_at_top(alpha: Matte) -> tuple[int, int, int] | None:
    """Return (depth, start, stop) of the cut along the top border, or None."""
    touching = np.flatnonzero(alpha[0] >= _TOUCHING)
    straight = _straight_top(alpha)
    if straight is not None:
        depth, start, stop = straight
    elif touching.size:
        depth, start, stop = 0, int(touching[0]), int(touching[-1]) + 1
    else:
        return None
    if touching.size:
        start, stop = min(start, int(touching[0])), max(stop, int(touching[-1]) + 1)
    return _past_fall_off(alpha, depth, start, stop), start, stop


def _straight_top(alpha: Matte) -> tuple[int, int, int] | None:
    """Return (depth, start, stop) of a straight opaque line that ends the figure at the top.

    It is the longest run of columns that turn solid at the same depth, give or take a pixel. It has
    to be long beside the figure, so that a flat heel does not count, and to end in corners: a round
    outline of any size is 1.6 times as wide 3 px further down.
    """
    solid = alpha >= _SOLID
    columns = np.flatnonzero(solid.any(axis=0))
    if not columns.size:
        return None
    first = np.full(alpha.shape[1], -9)
    first[columns] = solid[:, columns].argmax(axis=0)
    highest = int(first[columns].min())
    flat = (first >= highest) & (first <= highest + 1)
    near = (first >= highest) & (first <= highest + _FALL_OFF)
    behind = alpha[min(highest + _FALL_OFF, alpha.shape[0] - 1)] >= _OPAQUE
    length = _longest_run(flat & behind)
    extent = int(columns[-1] - columns[0]) + 1
    if length < max(12.0, 3.0 * extent**0.5) or _longest_run(near) > 1.2 * length + 3:
        return None
    # Past folds and haze the same line may go on: all of it has to leave the frame.
    line = np.flatnonzero(near)
    return highest, int(line[0]), int(line[-1]) + 1


def _past_fall_off(alpha: Matte, depth: int, start: int, stop: int) -> int:
    """Return the first depth at which most of the cut is as opaque as it gets nearby."""
    rows = alpha[depth : depth + _FALL_OFF + 1, start:stop].astype(np.int64).sum(axis=1)
    return depth + int(np.argmax(rows >= 0.97 * rows.max()))


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


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
