"""Composites as they were when someone last looked at them.

The tolerance lets other versions of the libraries pass, and nothing a person would see. After a
change that is meant, look at what `python -m tests.test_golden` writes, then commit it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.compose import Composite, compose, composite_seeds, prepare_figure
from builder.recipe import RECIPES
from tests.figures import draw
from tests.kit import Pixels, scenery

FOLDER = Path(__file__).with_name("golden")
CASES = [("plain", 0), ("classic", 1), ("classic", 2), ("realistic", 3), ("realistic", 4)]


def made(recipe_name: str, number: int) -> Composite:
    recipe = RECIPES[recipe_name].replace({"size": 160})
    alpha = draw(150, 200, frozenset({"bottom"} if number else ()), 0, number).alpha
    figure = prepare_figure(np.dstack([scenery(number + 9, (150, 200)), alpha]), recipe)
    seeds = composite_seeds(0, "golden", number)
    return compose(figure, scenery(number, (200, 150)), recipe, seeds)


def stored(name: str, number: int, kind: str) -> Path:
    return FOLDER / f"{name}-{number}-{kind}.png"


def alike(one: Pixels, other: Pixels) -> bool:
    difference = np.abs(one.astype(int) - other)
    return bool(difference.mean() <= 0.5 and np.quantile(difference, 0.99) <= 4)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_composites_look_as_they_did(name: str, number: int) -> None:
    composite = made(name, number)
    for kind in ("image", "mask"):
        golden = np.asarray(Image.open(stored(name, number, kind)))
        assert alike(getattr(composite, kind), golden), kind


@pytest.mark.parametrize(("name", "number"), CASES)
@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_shift_by_one_pixel_would_be_noticed(name: str, number: int, kind: str) -> None:
    golden = np.asarray(Image.open(stored(name, number, kind)))
    assert not alike(np.roll(golden, 1, axis=0), golden)
    assert not alike(np.roll(golden, 1, axis=1), golden)


def test_a_slightly_other_tone_would_be_noticed() -> None:
    golden = np.asarray(Image.open(stored("plain", 0, "image")))
    assert not alike(np.clip(golden * 1.02, 0, 255).astype(np.uint8), golden)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        composite = made(*case)
        for kind in ("image", "mask"):
            Image.fromarray(getattr(composite, kind)).save(stored(*case, kind))
