"""From the plan to rows: pairs composed human after human, encoded and told of."""

from __future__ import annotations

import bisect
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from builder.compose import Composite, compose, composite_seeds, prepare_figure
from builder.compose.figure import Figure
from builder.decoding import decode_background, decode_human
from builder.encoding import IMAGE_SUFFIXES, encode_image, encode_png
from builder.errors import LayerError, PlanError
from builder.plan import Pair, Shard, companions_of
from builder.portable import portable
from builder.recent import Recent, apart
from builder.recipe import Recipe
from builder.sources.layer import Layer

Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]

_FEATURES: dict[str, Any] = {
    "id": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "mask": {"mode": "L", "_type": "Image"},
    "human": {"dtype": "string", "_type": "Value"},
    "background": {"dtype": "string", "_type": "Value"},
    "provenance": {"dtype": "string", "_type": "Value"},
}
# The name `background` is taken by the id of the layer.
LABEL_COLUMNS = {
    "trimap": "trimap",
    "foreground": "foreground",
    "background": "clean_background",
}
"""The column of each label besides the mask."""

RENDERING = 9
"""Raised whenever a new version of this package makes other pictures from the same plan."""

# `json.dumps` would set one up for each row.
_ENCODER = json.JSONEncoder(ensure_ascii=False)

# Enough for 40 backgrounds of 1360x768 and for the companions of a shard at 1024 px, and a fraction
# of what a worker may use.
_BACKGROUND_CACHE_BYTES = 128 * 1024**2
_COMPANION_CACHE_BYTES = 64 * 1024**2


def features_of(recipe: Recipe) -> dict[str, Any]:
    """Return the columns of a dataset, as `datasets` describes them in JSON."""
    labels = {
        column: {"mode": "L", "_type": "Image"} if name == "trimap" else {"_type": "Image"}
        for name, column in LABEL_COLUMNS.items()
        if name in recipe.labels
    }
    first = ("id", "image", "mask")
    return {**{name: _FEATURES[name] for name in first}, **labels, **_FEATURES}


@dataclass(frozen=True)
class Cast:
    """A pair with its layers; `companions` are who may join the human, in their order."""

    pair: Pair
    human: Layer
    background: Layer
    companions: tuple[Layer, ...]


@dataclass(frozen=True)
class Task:
    """Some pairs, human after human, with all that is needed to make them in any process.

    `humans`, `backgrounds` and `companions` are those of each pair; `last_met` are the backgrounds
    that no later task of the shard needs.
    """

    humans: tuple[Layer, ...]
    pairs: tuple[Pair, ...]
    backgrounds: tuple[Layer, ...]
    companions: tuple[tuple[Layer, ...], ...]
    last_met: tuple[Layer, ...]
    recipe: Recipe
    seed: int


def shard_tasks(
    shard: Shard,
    layers: Mapping[str, Layer],
    recipe: Recipe,
    seed: int,
    *,
    at_once: Callable[[int], int] = lambda left: 1,
) -> Iterator[Task]:
    """Yield the work of one shard.

    Args:
        shard: from the plan.
        layers: by id.
        recipe, seed: of the dataset.
        at_once: how many humans a task has at most, where so many of the shard are left; more of
            them share decoded backgrounds. Of a human with more pairs than a row group a task has a
            row group's at most.
    """
    pairs = list(shard.pairs())
    last = {pair.background: pair for pair in pairs}
    most = max(1, recipe.row_group_rows * 2 // shard.per_human)
    for own in _sharing_backgrounds(pairs, shard.per_human, lambda left: min(most, at_once(left))):
        size = len(own) if len(own) > shard.per_human else recipe.row_group_rows
        for start in range(0, len(own), size):
            part = tuple(own[start : start + size])
            yield Task(
                humans=tuple(layers[pair.human] for pair in part),
                pairs=part,
                backgrounds=tuple(layers[pair.background] for pair in part),
                companions=tuple(
                    tuple(layers[other] for other in companions_of(shard, pair, recipe, seed))
                    for pair in part
                ),
                last_met=tuple(
                    layers[pair.background] for pair in part if last[pair.background] is pair
                ),
                recipe=recipe,
                seed=seed,
            )


def _sharing_backgrounds(
    pairs: Sequence[Pair], per_human: int, at_once: Callable[[int], int]
) -> Iterator[Sequence[Pair]]:
    """Yield the pairs of some whole humans, of no more than `at_once` says.

    They end, where they can, where no background is met again: who goes on may be another worker,
    and would decode it once more.
    """
    last = {pair.background: slot for slot, pair in enumerate(pairs)}
    until, ends = 0, []
    for slot, pair in enumerate(pairs):
        until = max(until, last[pair.background])
        if until == slot and (slot + 1) % per_human == 0:
            ends.append(slot + 1)
    start = 0
    while start < len(pairs):
        furthest = start + per_human * max(1, at_once((len(pairs) - start) // per_human))
        within = bisect.bisect_right(ends, furthest) - 1
        stop = ends[within] if within >= 0 and ends[within] > start else furthest
        yield pairs[start:stop]
        start = stop


@portable
def make_rows(task: Task) -> list[Row]:
    """Make the rows of one task; each human is decoded and cleaned once for all of its pairs.

    Raises:
        PlanError: a human cannot be placed as the recipe asks; the message names it.
        SourceError: a layer changed or went away since it was checked.
    """
    rows = []
    figure: Figure | None = None
    decoded = ""
    for cast in map(Cast, task.pairs, task.humans, task.backgrounds, task.companions):
        if figure is None or decoded != cast.human.id:
            figure, decoded = decode_figure(cast.human, task.recipe), cast.human.id
        rows.append(_row(cast, figure, task))
    for layer in task.last_met:
        _recent_backgrounds().forget(_background_key(layer, task.recipe))
    return rows


def _row(cast: Cast, figure: Figure, task: Task) -> Row:
    recipe, pair = task.recipe, cast.pair
    companions = [_companion(other, recipe) for other in cast.companions]
    background = _background(cast.background, recipe)
    made = make_composite(cast, figure, background, companions, recipe, task.seed)
    return {
        "id": pair.id,
        "image": _image_cell(made.image, pair.id, recipe),
        "mask": {"bytes": encode_png(made.mask), "path": f"{pair.id}.png"},
        **_label_cells(made.labels, pair.id),
        **described(cast, made),
    }


def make_composite(
    cast: Cast,
    figure: Figure,
    background: Pixels,
    companions: Sequence[Figure],
    recipe: Recipe,
    seed: int,
) -> Composite:
    """Compose one pair from decoded layers; its provenance also names them.

    Args:
        cast: the pair and its layers.
        figure: of its human, from `decode_figure`.
        background: uint8 (H, W, 3), RGB, from `decode_scene`, or a part of it.
        companions: those of `cast`, in their order.
        recipe, seed: of the dataset.

    Raises:
        PlanError: the human cannot be placed as the recipe asks; the message names it.
    """
    seeds = composite_seeds(seed, cast.pair.human, cast.pair.k)
    try:
        made = compose(figure, background, recipe, seeds, companions)
    except LayerError as error:
        raise PlanError(
            f"{cast.human.name} on {cast.background.name}: {error}. "
            "Take the human out, or lower min_visible or min_coverage in the recipe."
        ) from error
    names = {
        "human_name": cast.human.name if _shows_human(made) else "",
        "background_name": cast.background.name,
    }
    figures = _named(made.provenance["figures"], (cast.human, *cast.companions))
    return replace(made, provenance={**names, **made.provenance, "figures": figures})


def described(cast: Cast, made: Composite) -> Row:
    """Return the columns of a row that hold text: ids of the layers, and the provenance."""
    return {
        "human": cast.pair.human if _shows_human(made) else "",
        "background": cast.pair.background,
        "provenance": _ENCODER.encode(made.provenance),
    }


def _shows_human(made: Composite) -> bool:
    # A negative shows no human: whose turn it was says nothing of it.
    return bool(made.provenance["geometry"])


def _named(figures: list[Row], layers: tuple[Layer, ...]) -> list[Row]:
    """Return what is known of the figures of a scene, the furthest first, with who they are."""
    return [
        {
            "human": layers[figure["number"]].id,
            "human_name": layers[figure["number"]].name,
            "geometry": figure["geometry"],
            "light": figure["light"],
        }
        for figure in figures
    ]


def _image_cell(pixels: Pixels, pair_id: str, recipe: Recipe) -> Row:
    path = f"{pair_id}.{IMAGE_SUFFIXES[recipe.image_format]}"
    return {"bytes": encode_image(pixels, recipe), "path": path}


def _label_cells(labels: Mapping[str, Pixels], pair_id: str) -> Row:
    """Encode labels without loss: what they say has to hold to the level."""
    cells: Row = {}
    for name, pixels in labels.items():
        encoded = encode_png(pixels)
        cells[LABEL_COLUMNS[name]] = {"bytes": encoded, "path": f"{pair_id}-{name}.png"}
    return cells


def decode_figure(layer: Layer, recipe: Recipe) -> Figure:
    """Decode and clean a human; raises `SourceError` if it changed since it was checked."""
    return prepare_figure(decode_human(layer.read(), recipe.max_pixels), recipe, layer.cleaning)


def decode_scene(layer: Layer, recipe: Recipe) -> Pixels:
    """Decode a background, uint8 (H, W, 3) RGB; raises `SourceError` if it changed."""
    return decode_background(layer.read(), recipe.max_pixels)


def _companion(layer: Layer, recipe: Recipe) -> Figure:
    """Return a figure that several humans of a shard meet; not to be written to."""

    def decode() -> Figure:
        figure = decode_figure(layer, recipe)
        return replace(figure, pixels=apart(figure.pixels))

    return _recent_companions().get((layer.id, recipe), decode)


def _background(layer: Layer, recipe: Recipe) -> Pixels:
    """Return a decoded background, uint8 (H, W, 3) RGB; not to be written to."""
    key = _background_key(layer, recipe)
    return _recent_backgrounds().get(key, lambda: apart(decode_scene(layer, recipe)))


def _background_key(layer: Layer, recipe: Recipe) -> tuple[str, int]:
    # To hash the whole recipe would take longer than to look a background up.
    return layer.id, recipe.max_pixels


@functools.cache
def _recent_backgrounds() -> Recent[Pixels]:
    return Recent(_BACKGROUND_CACHE_BYTES, lambda pixels: pixels.nbytes)


@functools.cache
def _recent_companions() -> Recent[Figure]:
    return Recent(_COMPANION_CACHE_BYTES, lambda figure: figure.pixels.nbytes)
