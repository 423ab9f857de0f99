"""What is wrong with the rows of a shard: pictures, masks, ids and provenance, each decoded."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import Any

import numpy as np

from builder.decoding import Pixels, decode_made
from builder.encoding import IMAGE_SUFFIXES
from builder.errors import LayerError
from builder.plan import Pair, Shard
from builder.recipe import Recipe
from builder.render import LABEL_COLUMNS
from builder.sources.layer import printable

_PROVENANCE = {
    "human_name": str,
    "background_name": str,
    "geometry": (dict, type(None)),
    "background_operations": list,
    "light": list,
    "figures": list,
    "operations": list,
    "coverage": (int, float),
}
# No figure is nowhere opaque: a matte whose values end below was scaled or thresholded wrongly.
_OPAQUE = 128
_TRIMAP = (0, 128, 255)
_LONGEST = 100


def row_faults(row: Mapping[str, Any], pair: Pair, shard: Shard, recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with a row.

    Args:
        row: as Parquet holds it; its values may be hostile.
        pair: what the row is to show.
        shard: it is in.
        recipe: of the dataset.
    """
    if row["id"] != pair.id:
        # Of another pair nothing else can be expected to fit.
        yield f"id is {_shown(row['id'])}, where the manifest means {pair.id}"
        return
    yield from _layer_faults(row, pair, recipe)
    image, mask, labels = yield from _decoded(row, pair, recipe)
    for name, pixels in (("mask", mask), *labels.items()):
        if image is not None and pixels is not None and pixels.shape[:2] != image.shape[:2]:
            yield f"{name} is {_size(pixels)}, the image {_size(image)}"
    trimap = labels.get("trimap")
    if trimap is not None and not np.isin(trimap, _TRIMAP).all():
        yield "trimap has other values than 0, 128 and 255"
    if mask is not None:
        yield from _mask_faults(mask, row)
    yield from _provenance_faults(row, pair, shard, recipe, image, mask)


def _layer_faults(row: Mapping[str, Any], pair: Pair, recipe: Recipe) -> Iterator[str]:
    humans = ("", pair.human) if recipe.negatives else (pair.human,)
    for name, allowed in (("human", humans), ("background", (pair.background,))):
        if row[name] not in allowed:
            yield f"{name} is {_shown(row[name])}, where the manifest means {allowed[-1]}"


def _decoded(
    row: Mapping[str, Any], pair: Pair, recipe: Recipe
) -> Generator[str, None, tuple[Pixels | None, Pixels | None, dict[str, Pixels | None]]]:
    """Yield what is wrong with the encoded pictures; return those that could be decoded."""
    formats = {"image": (recipe.image_format, "RGB"), "mask": ("png", "L")}
    for label, column in LABEL_COLUMNS.items():
        if label in recipe.labels:
            formats[column] = ("png", "L" if label == "trimap" else "RGB")
    names = {column: label for label, column in LABEL_COLUMNS.items()}
    decoded: dict[str, Pixels | None] = {}
    for column, (image_format, mode) in formats.items():
        cell = row[column] or {}
        part = f"-{names[column]}" if column in names else ""
        path = f"{pair.id}{part}.{IMAGE_SUFFIXES[image_format]}"
        if cell.get("path") != path:
            yield f"{column} is named {_shown(cell.get('path'))}, not {path}"
        try:
            decoded[column] = decode_made(cell.get("bytes") or b"", image_format, mode)
        except LayerError as error:
            decoded[column] = None
            yield f"{column}: {error}"
    return decoded.pop("image"), decoded.pop("mask"), decoded


def _mask_faults(mask: Pixels, row: Mapping[str, Any]) -> Iterator[str]:
    highest = int(mask.max())
    if not row["human"] and highest:
        yield "mask shows something, and the row has no human"
    elif row["human"] and not highest:
        yield "mask is empty"
    elif row["human"] and highest < _OPAQUE:
        yield f"mask ends at {highest} of 255"


def _provenance_faults(
    row: Mapping[str, Any],
    pair: Pair,
    shard: Shard,
    recipe: Recipe,
    image: Pixels | None,
    mask: Pixels | None,
) -> Iterator[str]:
    try:
        values = json.loads(row["provenance"])
    except (TypeError, ValueError, RecursionError):
        yield "provenance is no JSON"
        return
    wrong = list(_type_faults(values, recipe))
    yield from wrong
    if wrong:
        return
    if (values["geometry"] is None) != (not row["human"]):
        yield "provenance and the column human differ on whether a human is shown"
    frame = _of(values["geometry"], "frame")
    if image is not None and values["geometry"] and frame != [image.shape[1], image.shape[0]]:
        yield f"provenance tells of a frame of {_shown(frame)}, the image is {_size(image)}"
    covered = None if mask is None else round(float(mask.mean(dtype=np.float64)) / 255, 4)
    if covered is not None and values["coverage"] != covered:
        yield f"provenance tells of a coverage of {values['coverage']}, the mask's is {covered}"
    known = {pair.human, *shard.companions}
    if strangers := [each for each in values["figures"] if not _is_known(each, known)]:
        yield f"provenance shows a figure that is not of this shard: {_shown(strangers[0])}"


def _type_faults(values: Any, recipe: Recipe) -> Iterator[str]:
    if not isinstance(values, dict):
        yield "provenance is no JSON object"
        return
    expected: dict[str, Any] = dict(_PROVENANCE)
    if "trimap" in recipe.labels:
        expected["trimap_radius"] = int
    for name, kind in expected.items():
        if name not in values:
            yield f"provenance lacks {name}"
        elif not isinstance(values[name], kind):
            yield f"provenance has a {name} of another kind: {_shown(values[name])}"


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _is_known(figure: Any, known: Collection[str]) -> bool:
    human = _of(figure, "human")
    return isinstance(human, str) and human in known


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _shown(value: Any) -> str:
    text = printable(repr(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
