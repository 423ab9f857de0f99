"""The alpha matte of a human: cleaned of what LayerDiffuse leaves behind, and measured."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from builder.recipe import Recipe
from builder.sources.layer import Cleaning

Matte = npt.NDArray[np.uint8]
Box = tuple[slice, slice]

# Under 4 of 255 alpha shows nowhere, yet LayerDiffuse spreads it over half the picture.
_INVISIBLE = 4
# Strands fade below haze but not below this: parts that touch at this level belong together.
_CONNECTED = 8
_SOLID = 128
# From background to figure and back along all rows: a head of hair has a tenth of them.
_MOST_TURNS = 100_000
# Side of the squares, px, in which haze is looked for.
_CELL = 8
# How far OpenCV counts one step of a distance, along a side and along a diagonal.
_STRAIGHT_STEP = 0.955
_DIAGONAL_STEP = 1.3693
# Of most mattes cleaning changes some hundred pixels, each kept in 5 bytes for as long as a build
# lasts. A matte of which more change is cleaned anew.
_MOST_CHANGES = 4096


def clean_matte(alpha: Matte, recipe: Recipe) -> Matte:
    """Remove detached specks and faint haze, and leave hair as it is.

    A threshold on alpha alone cannot tell haze from the tip of a strand; distance can: a strand's
    faint pixels lie next to stronger ones, haze stretches far beyond. Haze is faded out between
    half of `haze_reach` and the whole of it, so that no new edge appears.

    Args:
        alpha: uint8 (H, W), 0 transparent to 255 opaque.
        recipe: `speck_area`, `haze_alpha` and `haze_reach` matter.

    Returns:
        uint8 (H, W). All zero only if no pixel of `alpha` is half opaque.
    """
    kept = _visible(_without_specks(alpha, recipe.speck_area))
    reach = max(2.0, recipe.haze_reach * max(alpha.shape))
    cleaned = _without_haze(kept, reach, recipe)
    # Haze may have been all that held a speck, and what is left of it lies around the speck.
    if cleaned is kept or np.array_equal(cleaned >= _CONNECTED, kept >= _CONNECTED):
        return cleaned
    loose = cleaned != _without_specks(cleaned, recipe.speck_area)
    room = _room(reach)
    around = _box_around(loose, 2 * room)
    if around is None:
        return cleaned
    # A pixel within reach of what is loose may lose what kept it; no other sees any of it.
    affected = _box_around(loose, room)
    again = kept.copy()
    again[around] = _without_haze(np.where(loose[around], 0, kept[around]), reach, recipe)
    cleaned[affected] = again[affected]
    return cleaned


def cleaning_of(alpha: Matte, cleaned: Matte, recipe: Recipe) -> Cleaning | None:
    """Return what `clean_matte` changed, or None where that is too much to be kept.

    Args:
        alpha, cleaned: uint8 (H, W), before and after.
        recipe: with which it was cleaned.
    """
    changed = np.asarray(cv2.absdiff(_visible(alpha), cleaned), np.uint8)
    if cv2.countNonZero(changed) > _MOST_CHANGES:
        return None
    places = np.flatnonzero(changed).astype(np.int32)
    return Cleaning(_knobs(recipe), places.tobytes(), cleaned.ravel()[places].tobytes())


def clean_as_known(alpha: Matte, recipe: Recipe, cleaning: Cleaning | None) -> Matte:
    """Return what `clean_matte` does, in a tenth of the time where the changes are known.

    Args:
        alpha, recipe: as in `clean_matte`.
        cleaning: of the very same alpha, with whatever recipe; None if nothing is known.
    """
    if cleaning is None or cleaning.knobs != _knobs(recipe):
        return clean_matte(alpha, recipe)
    cleaned = _visible(alpha)
    places = np.frombuffer(cleaning.places, np.int32)
    cleaned.reshape(-1)[places] = np.frombuffer(cleaning.values, np.uint8)
    return cleaned


def _knobs(recipe: Recipe) -> tuple[float, ...]:
    return recipe.speck_area, recipe.haze_alpha, recipe.haze_reach


def _without_haze(kept: Matte, reach: float, recipe: Recipe) -> Matte:
    """Return the same array where there is no haze to fade."""
    least = max(recipe.haze_alpha, _INVISIBLE)
    strong = np.asarray(cv2.threshold(kept, least - 1, 255, cv2.THRESH_BINARY)[1], np.uint8)
    # Within half of the reach nothing fades, and a square tells that sooner than distances do.
    side = 2 * int(reach / 2 / _DIAGONAL_STEP) + 1
    near = cv2.dilate(strong, np.ones((side, side), np.uint8))
    # What is near is 255 there, and no difference is below 0.
    hazy = np.asarray(cv2.subtract(kept, near), np.uint8)
    room = _room(reach)
    cleaned = kept
    for rows, columns in _clusters(hazy, room):
        cleaned = kept.copy() if cleaned is kept else cleaned
        top, left = max(0, rows.start - room), max(0, columns.start - room)
        around = slice(top, rows.stop + room), slice(left, columns.stop + room)
        distance = cv2.distanceTransform(cv2.bitwise_not(strong[around]), cv2.DIST_L2, 3)
        # What keeps a pixel further out may lie outside.
        distance = distance[_shifted((rows, columns), -top, -left)]
        # From 2 at no distance to 0 at `reach`, clipped to 1; 8 bits clip by themselves.
        fade = cv2.addWeighted(distance, -2 * 255 / reach, distance, 0, 2 * 255, dtype=cv2.CV_8U)
        faded = cv2.multiply(kept[rows, columns], fade, scale=1 / 255)
        cleaned[rows, columns] = _visible(faded)
    return cleaned


def _clusters(flags: Matte, room: int) -> Iterator[Box]:
    """Yield boxes that hold all that is not 0: haze is little, but all over a picture.

    What lies nearer than `room` together is in one of them, so that none is looked at often.
    """
    whole = _box_around(flags, 0)
    if whole is None:
        return
    marked = cv2.threshold(flags[whole], 0, 255, cv2.THRESH_BINARY)[1]
    below, beside = (-length % _CELL for length in marked.shape)
    marked = cv2.copyMakeBorder(marked, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=0)
    # One pixel of a cell makes an average of 4 already.
    size = (marked.shape[1] // _CELL, marked.shape[0] // _CELL)
    cells = cv2.resize(marked, size, interpolation=cv2.INTER_AREA)
    side = 2 * math.ceil(room / _CELL) + 1
    joined = cv2.dilate(cells, np.ones((side, side), np.uint8))
    for cell_box in cv2.connectedComponentsWithStats(joined)[2][1:, :4] * _CELL:
        around = _shifted(_box_of(cell_box.tolist()), whole[0].start, whole[1].start)
        inside = _box_around(flags[around], 0)
        if inside is not None:
            yield _shifted(inside, around[0].start, around[1].start)


def _shifted(box: Box, down: int, right: int) -> Box:
    rows, columns = box
    return (
        slice(rows.start + down, rows.stop + down),
        slice(columns.start + right, columns.stop + right),
    )


def _visible(alpha: Any) -> Matte:
    return np.asarray(cv2.threshold(alpha, _INVISIBLE - 1, 0, cv2.THRESH_TOZERO)[1], np.uint8)


def _room(reach: float) -> int:
    """Return how far a distance is looked for, px: OpenCV counts some as shorter than they are."""
    return math.ceil(reach / _STRAIGHT_STEP)


def _without_specks(alpha: Matte, speck_area: float) -> Matte:
    """Drop each connected part whose solid area is under `speck_area` of the largest part's.

    Below the level of connection no part is told from another; distance decides later.
    """
    visible = alpha >= _CONNECTED
    near = _box_around(visible, 0)
    if near is None:
        return alpha
    solid = alpha[near] >= _SOLID
    solid_area = int(np.count_nonzero(solid))
    parts = _parts(visible[near].view(np.uint8))
    if len(parts) == 1 and solid_area:
        return alpha
    # The part with the largest box has nearly all of the area, and takes longest to look at.
    parts.sort(key=lambda part: part.extent)
    areas = [int(np.count_nonzero(part.pixels() & solid[part.box])) for part in parts[:-1]]
    areas.append(solid_area - sum(areas))
    least = max(1.0, speck_area * max(areas))
    kept: Matte = alpha.copy()
    for part, area in zip(parts, areas, strict=True):
        if area < least:
            kept[near][part.box][part.pixels()] = 0
    return kept


@dataclass(frozen=True)
class _Part:
    """What hangs together: its rows and columns, and what tells its pixels there, bool (h, w)."""

    box: Box
    pixels: Callable[[], npt.NDArray[np.bool_]]

    @property
    def extent(self) -> int:
        rows, columns = self.box
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _parts(visible: npt.NDArray[np.uint8]) -> list[_Part]:
    """Return the parts, connected along sides and diagonals, of uint8 (H, W), 0 or 1."""
    if cv2.countNonZero(cv2.bitwise_xor(visible[:, 1:], visible[:, :-1])) > _MOST_TURNS:
        return _labelled_parts(visible)
    outlines, above = cv2.findContours(visible, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline, (_, _, _, parent) in zip(outlines, above[0], strict=True):
        # Those with a parent go round holes.
        if parent < 0:
            box = _box_of(cv2.boundingRect(outline))
            column, row = outline[0, 0].tolist()
            place = (row - box[0].start, column - box[1].start)
            found.append(_Part(box, functools.partial(_connected, visible[box], place)))
    return found


def _connected(visible: npt.NDArray[np.uint8], place: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which pixels hang together with the one at a row and column."""
    _, labels = cv2.connectedComponents(visible, connectivity=8)
    return np.asarray(labels == labels[place])


def _labelled_parts(visible: npt.NDArray[np.uint8]) -> list[_Part]:
    """Do without outlines, which take a tenth of the time, but of noise all memory."""
    # This algorithm counts parts in half of the time of the default one.
    _, labels, stats, _ = cv2.connectedComponentsWithStatsWithAlgorithm(
        visible, 8, cv2.CV_32S, cv2.CCL_BBDT
    )
    boxes = enumerate(map(_box_of, stats[1:].tolist()), 1)
    return [_Part(box, functools.partial(np.equal, labels[box], part)) for part, box in boxes]


def _box_around(flags: npt.NDArray[Any], room: int) -> Box | None:
    """Return rows and columns of all that is not 0, with some room around; None if nothing is.

    `flags`: bool or uint8 (H, W).
    """
    left, top, width, height = cv2.boundingRect(flags.view(np.uint8))
    if not width:
        return None
    rows = slice(max(0, top - room), top + height + room)
    return rows, slice(max(0, left - room), left + width + room)


def _box_of(stats: Sequence[int]) -> Box:
    """Return the rows and columns of OpenCV's left, top, width and height, and what follows."""
    left, top, width, height = stats[:4]
    return slice(top, top + height), slice(left, left + width)


def bounding_box(alpha: Matte) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the pixels above 0; right and bottom are exclusive.

    All zero where no pixel is above 0.
    """
    left, top, width, height = cv2.boundingRect(alpha)
    return left, top, left + width, top + height
