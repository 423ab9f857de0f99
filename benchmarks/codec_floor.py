"""The time that no composer can save: decoding the layers, encoding the very images and masks.

Each worker decodes every layer once and keeps it for ever, which no build with a bounded memory
can do for thousands of layers: this floor is as low as one can argue it. Nothing is composed,
handed over, written or hashed.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.workload import Workload, timed_map, warm_up
from builder.decoding import decode_background, decode_human
from builder.engines import ordered_map
from builder.recipe import Recipe
from builder.render import Task, encode_image, encode_png, make_rows
from builder.sources.layer import Layer


@dataclass(frozen=True)
class _Floor:
    """The layers of one task, and where the pixels of its pairs lie."""

    task: Task
    pictures: tuple[Path, ...]


def keep_pictures(workload: Workload, workers: int, folder: Path) -> list[Path]:
    """Compose all pairs, and keep the pixels of each, image and mask, as NumPy's files."""
    assert workload.recipe.image_format == "png", "anything else would alter the pixels"
    with ordered_map(make_rows, workload.tasks(), workers) as results:
        rows = list(itertools.chain.from_iterable(results))
    paths = []
    for number, row in enumerate(rows):
        paths.append(folder / f"{number:05d}")
        paths[-1].mkdir()
        for name in ("image", "mask"):
            np.save(paths[-1] / f"{name}.npy", _pixels(row[name]["bytes"]))
    return paths


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def floor_pairs_per_second(workload: Workload, pictures: list[Path], workers: int) -> float:
    """Return how many pairs a second the codecs alone would allow."""
    return workload.pairs / timed_map(_codecs, _floors(workload, pictures), workers)


def _floors(workload: Workload, pictures: list[Path]) -> Iterator[_Floor]:
    endless = itertools.cycle(pictures)
    for task in workload.tasks():
        yield _Floor(task, tuple(itertools.islice(endless, len(task.pairs))))


def _codecs(floor: _Floor | None) -> None:
    if floor is None:
        warm_up()
        return
    recipe = floor.task.recipe
    for layer in floor.task.humans:
        _decoded_human(layer, recipe)
    for layer in floor.task.backgrounds:
        _decoded_background(layer, recipe)
    for path in floor.pictures:
        encode_image(np.load(path / "image.npy"), recipe)
        encode_png(np.load(path / "mask.npy"))


@functools.cache
def _decoded_human(layer: Layer, recipe: Recipe) -> np.ndarray:
    return decode_human(layer.read(), recipe.max_pixels)


@functools.cache
def _decoded_background(layer: Layer, recipe: Recipe) -> np.ndarray:
    return decode_background(layer.read(), recipe.max_pixels)
