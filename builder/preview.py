"""One self-contained HTML page that shows pairs of a built dataset folder.

Ids, names, provenance and picture bytes may come from anyone. The page gets them as escaped JSON,
pictures are decoded and encoded anew; see `builder.pages`.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from builder.pages import data_uri, write_page
from builder.rows import spread_rows

FILE_NAME = "preview.html"

MAX_PIXELS = 80_000_000
"""Larger pictures are named on the page, not decoded."""

DETAIL = 1.5
"""Pictures are stored larger than the grid shows them, for the details panel and dense screens."""

MAX_TEXT = 1_000
"""Characters kept of an id."""

MAX_PROVENANCE = 20_000
"""Characters of provenance that are shown as a table; longer ones are shown cut, as text."""

MAX_DEPTH = 12
"""Provenance nested deeper is shown as text."""

_FORMATS = ("JPEG", "PNG", "WEBP")
_THREADS = 4


def write_preview(
    folder: Path, *, output: Path | None = None, limit: int = 200, thumbnail: int = 320
) -> Path:
    """Write a page that shows up to `limit` pairs of a dataset folder, and return its path.

    The pairs are spread evenly over the shards; each split has one at least, if `limit` allows.
    The page opens from the file system, needs no network and replaces an older one at once.

    Args:
        folder: what `human-segmentation build` wrote, with shards in its `data`.
        output: the page's path, `preview.html` in the folder by default.
        limit: number of pairs, 1 and more.
        thumbnail: longer side of a picture in the grid, px, 16 and more.

    Raises:
        FolderError: there are no pairs, a shard cannot be read, or the page cannot be written.
        ValueError: `limit` or `thumbnail` is too small.
    """
    if limit < 1 or thumbnail < 16:
        raise ValueError(f"limit = {limit} must be 1 or more, thumbnail = {thumbnail} 16 or more.")
    totals, rows = spread_rows(folder, limit)
    header = {"folder": folder.resolve().name, "thumbnail": thumbnail, "totals": totals}
    path = output or folder / FILE_NAME
    with warnings.catch_warnings():
        # Too large pictures are named on the page.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        write_page(path, FILE_NAME, header, "pairs", _pairs(rows, round(thumbnail * DETAIL)))
    return path


def _pairs(rows: Iterator[dict[str, Any]], side: int) -> Iterator[dict[str, Any]]:
    """Yield what the page shows of each row. Few rows at a time, so that memory stays bounded."""
    with ThreadPoolExecutor(_THREADS) as pool:
        while chunk := list(islice(rows, 2 * _THREADS)):
            yield from pool.map(lambda row: _pair(row, side), chunk)


def _pair(row: dict[str, Any], side: int) -> dict[str, Any]:
    return {
        "split": row["split"],
        **{name: _shortened(row[name], MAX_TEXT) for name in ("id", "human", "background")},
        "provenance": _provenance(row["provenance"]),
        "image": _picture(row["image"], "RGB", side),
        "mask": _picture(row["mask"], "L", side),
    }


def _shortened(value: Any, length: int) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= length else text[:length] + "…"


def _provenance(value: Any) -> Any:
    """Return the parsed provenance, or text where it is not JSON or too much for a table."""
    text = "" if value is None else str(value)
    if len(text) > MAX_PROVENANCE:
        return _shortened(text, MAX_PROVENANCE)
    try:
        # A browser's JSON.parse knows no NaN and rounds long integers; as text they stay exact.
        parsed = json.loads(
            text, parse_constant=str, parse_float=_finite_or_text, parse_int=_short_or_text
        )
    except (ValueError, RecursionError):
        return text
    return parsed if _is_shallow(parsed, MAX_DEPTH) else text


def _finite_or_text(literal: str) -> float | str:
    return float(literal) if math.isfinite(float(literal)) else literal


def _short_or_text(literal: str) -> int | str:
    return int(literal) if len(literal) <= 15 else literal


def _is_shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    children = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(child, depth - 1) for child in children)


def _picture(data: bytes | None, mode: str, side: int) -> dict[str, Any]:
    """Return a data URI with the size in px, or the problem that stands in its place."""
    if not data:
        return {"problem": "no bytes"}
    try:
        picture, (width, height) = _decode(data, mode, side)
    except UnidentifiedImageError:
        return {"problem": "not a JPEG, PNG or WebP picture"}
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        return {"problem": f"cannot be decoded: {error or type(error).__name__}"}
    return {"src": data_uri(picture), "width": width, "height": height}


def _decode(data: bytes, mode: str, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return the picture reduced to `side` px, and the size that it has itself."""
    picture: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
    size = picture.size
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"{size[0]} x {size[1]} px are too many for a preview")
    picture.draft(mode, (side, side))
    picture = picture.convert(mode)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture, size
