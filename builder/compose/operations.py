"""What photometric operations share: how values are drawn, applied and written down.

An operation owns the picture that it is given, and changes it in place where it can: another
picture takes memory that no cache of the processor holds, and two workers share the way there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import stringzilla

from builder.compose.seeds import Seeds
from builder.recipe import Range, Recipe

Pixels = npt.NDArray[np.uint8]
Values = dict[str, Any]
Step = TypeVar("Step")
Operation = Callable[[Pixels, Recipe, np.random.Generator], tuple[Pixels, Values]]

_MIDDLES = [NormalDist().inv_cdf((number + 0.5) / 256) for number in range(256)]
# Of a field of noise, in 8 bits: 0, and the steps of a deviation. The largest are at 1 and 255.
_ZERO, _STEPS = 128, 44
_QUANTILES = _ZERO + np.array(_MIDDLES) / np.std(_MIDDLES) * _STEPS

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G and B in luma, ITU-R BT.601."""


def apply_operations(
    operations: Mapping[str, Operation], pixels: Pixels, recipe: Recipe, seeds: Seeds
) -> tuple[Pixels, list[Values]]:
    """Apply operations in order, each with the chance that its knob `*_probability` gives it.

    Args:
        operations: by name.
        pixels: uint8 (H, W, 3), RGB, lying together in memory; it may be changed.
        recipe, seeds: each operation has a child of the seeds.

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
    low, high = values
    # `Generator.uniform` draws the same in four times as long.
    return round(low + (high - low) * rng.random(), 4)


def draw_count(values: Range, rng: np.random.Generator) -> int:
    """Draw a whole number, both ends included."""
    return int(rng.integers(int(values[0]), int(values[1]) + 1))


def lookup(pixels: Pixels, table: npt.NDArray[Any]) -> Pixels:
    """Return a picture with `table[v]`, rounded and clipped, for each value v of another.

    By StringZilla, which took a twelfth of the time of OpenCV's LUT on an AMD EPYC.

    Args:
        pixels: uint8, any shape, lying together in memory.
        table: (256,), numbers of any kind.
    """
    found = np.empty_like(pixels)
    stringzilla.translate(_flat(pixels), _levels(table), out=_flat(found))
    return found


def replace_levels(pixels: Pixels, table: npt.NDArray[Any]) -> Pixels:
    """Do what `lookup` does in place; return the same picture."""
    stringzilla.translate(_flat(pixels), _levels(table), inplace=True)
    return pixels


def _flat(pixels: Pixels) -> memoryview:
    if not pixels.flags.c_contiguous:
        raise ValueError("pixels have to lie together in memory")
    return pixels.reshape(-1).data


def _levels(table: npt.NDArray[Any]) -> bytes:
    return bytes(np.rint(np.clip(table, 0, 255)).astype(np.uint8))


def normal_field(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Return normally distributed values, each one of 256 quantiles, for `add_noise`.

    Ten times as fast as `Generator.standard_normal`, and under 2.9 deviations either way.

    Returns:
        uint8, from 1 to 255: 128 is the mean, and 44 a deviation.
    """
    count = math.prod(shape)
    # `rng.bytes` draws 4 at a time, and takes five times as long.
    words = rng.integers(0, 2**64 - 1, -(-count // 8), np.uint64, endpoint=True)
    chosen = words.astype("<u8", copy=False).view(np.uint8)[:count].reshape(shape)
    return replace_levels(chosen, _QUANTILES)


def add_noise(pixels: Pixels, field: Pixels, loudness: float, shares: Pixels) -> Pixels:
    """Add noise to a picture, rounded and clipped.

    Args:
        pixels: uint8, any shape.
        field: of the same shape, from `normal_field`, perhaps resized; its memory is used.
        loudness: the largest standard deviation, levels.
        shares: of the same shape: how much of it each value gets, of 255.
    """
    # Sizes and signs apart: in 16 bits the tables would take ten times as long.
    off = np.arange(256) - _ZERO
    sizes = lookup(field, 2 * np.abs(off))
    noise = cv2.multiply(sizes, shares, dst=sizes, scale=loudness / (255 * 2 * _STEPS))
    signs = replace_levels(field, 255 * (off > 0))
    added = cv2.bitwise_and(noise, signs, dst=signs)
    return _changed_by(pixels, added, cv2.subtract(noise, added, dst=sizes))


def add_even_noise(pixels: Pixels, field: Pixels, deviation: float) -> Pixels:
    """Do what `add_noise` does, with one standard deviation for all values."""
    levels = (np.arange(256) - _ZERO) * (deviation / _STEPS)
    added = lookup(field, levels)
    return _changed_by(pixels, added, replace_levels(field, -levels))


def _changed_by(pixels: Pixels, added: Any, taken: Any) -> Pixels:
    """Return the picture, brighter here and darker there, clipped; in the memory of `added`."""
    return as_pixels(cv2.subtract(cv2.add(pixels, added, dst=added), taken, dst=added))


def as_pixels(array: Any) -> Pixels:
    """Tell the type checker what OpenCV returned."""
    return np.asarray(array, dtype=np.uint8)
