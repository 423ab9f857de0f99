"""The time that no composer can save: decoding the layers, encoding the very images and masks.

Each layer is decoded once, by whichever worker needs it first: no plan and no cache could ask for
less. Nothing is composed, handed over, written or hashed.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.workload import Workload, timed_map, warm_up
from builder.decoding import decode_background, decode_human
from builder.encoding import encode_image, encode_png
from builder.engines import ordered_map
from builder.recipe import Recipe
from builder.render import make_rows
from builder.sources.layer import Layer


@dataclass(frozen=True)
class _Floor:
    """Layers that no task before this one needed, and where the pixels of its pairs lie."""

    layers: tuple[Layer, ...]
    pictures: tuple[Path, ...]
    recipe: Recipe


def keep_pictures(workload: Workload, workers: int, folder: Path, count: int) -> list[Path]:
    """Compose all pairs, and keep the pixels of so many, image and mask, as NumPy's files.

    They are spread over all pairs: the first ones alone were an eighth smaller as PNG.
    """
    assert workload.recipe.image_format == "png", "anything else would alter the pixels"
    every = max(1, workload.pairs // count)
    with ordered_map(make_rows, workload.tasks(workers), workers) as results:
        rows = list(itertools.islice(itertools.chain.from_iterable(results), 0, None, every))
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
    floors = _floors(workload, pictures, workers)
    return workload.pairs / timed_map(_codecs, floors, workers)


def _floors(workload: Workload, pictures: list[Path], workers: int) -> Iterator[_Floor]:
    endless = itertools.cycle(pictures)
    seen: set[str] = set()
    for task in workload.tasks(workers):
        needed = {layer.id: layer for layer in (*task.humans, *task.backgrounds)}
        new = tuple(layer for layer in needed.values() if layer.id not in seen)
        seen.update(needed)
        yield _Floor(new, tuple(itertools.islice(endless, len(task.pairs))), task.recipe)


def _codecs(floor: _Floor | None) -> None:
    if floor is None:
        warm_up()
        return
    for layer in floor.layers:
        decode = decode_human if layer.role == "human" else decode_background
        decode(layer.read(), floor.recipe.max_pixels)
    for path in floor.pictures:
        encode_image(np.load(path / "image.npy"), floor.recipe)
        encode_png(np.load(path / "mask.npy"))
