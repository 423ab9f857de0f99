"""Where the border of its picture cut a figure off."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from builder.matte import Matte

Side = Literal["left", "top", "right", "bottom"]
SIDES: tuple[Side, ...] = ("left", "top", "right", "bottom")
Points = npt.NDArray[np.float64]

# A border pixel this opaque is part of the figure, not haze.
_TOUCHING = 16
_SOLID = 128
_OPAQUE = 250
# LayerDiffuse lets alpha fall off over the last pixels before a border.
_FALL_OFF = 4


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
    x, y, solid_width, solid_height = cv2.boundingRect((alpha >= _SOLID).view(np.uint8))
    starts = {"top": y, "bottom": height - y - solid_height}
    starts |= {"left": x, "right": width - x - solid_width}
    cuts: dict[Side, Points] = {}
    for side, view in views.items():
        extent = solid_width if side in ("top", "bottom") else solid_height
        cut = _cut_at_top(view, starts[side], extent)
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


def _cut_at_top(alpha: Matte, highest: int, extent: int) -> tuple[int, int, int] | None:
    """Return (depth, start, stop) of the cut along the top border, or None.

    `highest` is the first row with a solid pixel; solid pixels span `extent` columns.
    """
    touching = np.flatnonzero(alpha[0] >= _TOUCHING)
    straight = _straight_top(alpha, highest, extent) if extent else None
    if straight is not None:
        depth, start, stop = straight
    elif touching.size:
        depth, start, stop = 0, int(touching[0]), int(touching[-1]) + 1
    else:
        return None
    if touching.size:
        start, stop = min(start, int(touching[0])), max(stop, int(touching[-1]) + 1)
    return _past_fall_off(alpha, depth, start, stop), start, stop


def _straight_top(alpha: Matte, highest: int, extent: int) -> tuple[int, int, int] | None:
    """Return (depth, start, stop) of a straight opaque line that ends the figure at the top.

    It is the longest run of columns that turn solid at the same depth, give or take a pixel. It has
    to be long beside the figure, so that a flat heel does not count, and to end in corners: a round
    outline of any size is 1.6 times as wide 3 px further down.
    """
    solid = alpha[highest : highest + _FALL_OFF + 1] >= _SOLID
    flat = np.asarray(solid[:2].any(axis=0))
    near = np.asarray(solid.any(axis=0))
    behind = alpha[min(highest + _FALL_OFF, alpha.shape[0] - 1)] >= _OPAQUE
    line, least = flat & behind, max(12.0, 3.0 * extent**0.5)
    if np.count_nonzero(line) < least:
        return None
    length = _longest_run(line)
    if length < least or _longest_run(near) > 1.2 * length + 3:
        return None
    # Past folds and haze the same line may go on: all of it has to leave the frame.
    columns = np.flatnonzero(near)
    return highest, int(columns[0]), int(columns[-1]) + 1


def _past_fall_off(alpha: Matte, depth: int, start: int, stop: int) -> int:
    """Return the first depth at which most of the cut is as opaque as it gets nearby."""
    rows = alpha[depth : depth + _FALL_OFF + 1, start:stop].astype(np.int64).sum(axis=1)
    return depth + int(np.argmax(rows >= 0.97 * rows.max()))


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
