"""What photometric operations share: how values are drawn, applied and written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.seeds import Seeds
from builder.recipe import Range, Recipe

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Values = dict[str, Any]
Step = TypeVar("Step")
Operation = Callable[[Pixels, Recipe, np.random.Generator], tuple[Pixels, Values]]

STEPS = 256
"""Steps of a level in which noise is worked out."""

_MIDDLES = [NormalDist().inv_cdf((number + 0.5) / 256) for number in range(256)]
_QUANTILES = np.rint(np.array(_MIDDLES) / np.std(_MIDDLES) * STEPS).astype(np.int16)

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in luma, ITU-R BT.601."""


def apply_operations(
    operations: Mapping[str, Operation], pixels: Pixels, recipe: Recipe, seeds: Seeds
) -> tuple[Pixels, list[Values]]:
    """Apply operations in order, each with the chance that its knob `*_probability` gives it.

    Returns:
        The picture, and for each operation that was applied its name and values.
    """
    applied = []
    for name, operation, own_rng in chosen(operations, recipe, seeds):
        pixels, values = operation(pixels, recipe, own_rng)
        applied.append({"operation": name, **values})
    return pixels, applied


def chosen(
    steps: Mapping[str, Step], recipe: Recipe, seeds: Seeds
) -> Iterator[tuple[str, Step, np.random.Generator]]:
    """Yield the steps that happen, each with the chance of its knob, and their generators.

    A generator for each step: switching one off leaves the values of the others alone.
    """
    for number, (name, step) in enumerate(steps.items()):
        probability = getattr(recipe, f"{name}_probability")
        if probability:
            own_seeds = seeds.child(number)
            if own_seeds.chance() < probability:
                yield name, step, own_seeds.generator()


def draw(values: Range, rng: np.random.Generator) -> float:
    """Draw uniformly; rounded to what the provenance states, so that it states the truth."""
    return round(float(rng.uniform(*values)), 4)


def draw_count(values: Range, rng: np.random.Generator) -> int:
    """Draw a whole number, both ends included."""
    return int(rng.integers(int(values[0]), int(values[1]) + 1))


def lookup(pixels: Pixels, table: Floats) -> Pixels:
    """Replace each value v of a picture by `table[v]`, rounded and clipped.

    Args:
        pixels: uint8, any shape.
        table: (256,), or (1, 256, channels) for a table for each channel.
    """
    return as_pixels(cv2.LUT(pixels, np.rint(np.clip(table, 0, 255)).astype(np.uint8)))


def normal_field(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Return normally distributed values, of mean 0 and variance 1, each one of 256 quantiles.

    Ten times as fast as `Generator.standard_normal`, and under 2.9 either way.

    Returns:
        int16, in steps of 1 / `STEPS`: half of the memory of float32, and of the time.
    """
    count = math.prod(shape)
    # `rng.bytes` draws 4 at a time, and takes five times as long.
    words = rng.integers(0, 2**64 - 1, -(-count // 8), np.uint64, endpoint=True)
    chosen = words.astype("<u8", copy=False).view(np.uint8)[:count].reshape(shape)
    return np.asarray(cv2.LUT(chosen, _QUANTILES), dtype=np.int16)


def in_steps(values: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Return levels, up to 127, as int16 in steps of 1 / `STEPS`."""
    return np.asarray(np.rint(np.asarray(values) * STEPS), dtype=np.int16)


def add_noise(pixels: Pixels, field: npt.NDArray[np.int16], deviation: Any) -> Pixels:
    """Add noise to a picture, rounded and clipped.

    Args:
        pixels: uint8, any shape.
        field: of the same shape, from `normal_field`.
        deviation: of the noise, from `in_steps`; of the same shape, or one value for all.
    """
    noise = cv2.multiply(field, deviation, scale=1 / STEPS**2)
    return as_pixels(cv2.add(pixels, noise, dtype=cv2.CV_8U))


def as_pixels(array: Any) -> Pixels:
    """Tell the type checker what OpenCV returned."""
    return np.asarray(array, dtype=np.uint8)
