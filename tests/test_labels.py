"""Labels beside the mask, as columns of a dataset and as arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from builder.compose.labels import trimap
from human_segmentation import HumanSegmentation
from tests.building import SMALL, build, rows, run

ALL = ("--labels", "mask,trimap,foreground,background")
# What is left of the composite is what was blended, to the level.
NO_CAMERA = tuple(
    part
    for name in (
        *("vignette", "lens_blur", "exposure", "saturation", "greyscale"),
        *("tone_curve", "sensor_noise", "resampling", "compression"),
    )
    for part in ("--set", f"{name}_probability=0")
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("labels") / "folder"
    scenes = ("--set", "second_figure_probability=0.5")
    return build(output, *SMALL, *ALL, *NO_CAMERA, *scenes, "--image-format", "png")


def pixels(cell: dict[str, Any]) -> Any:
    return np.asarray(Image.open(io.BytesIO(cell["bytes"])))


def test_foreground_and_background_make_the_composite(folder: Path) -> None:
    made = rows(folder)
    assert made
    for row in made:
        alpha = pixels(row["mask"])[..., None] / 255
        mixed = alpha * pixels(row["foreground"]) + (1 - alpha) * pixels(row["clean_background"])
        assert np.abs(mixed - pixels(row["image"])).max() <= 2
        assert not pixels(row["foreground"])[alpha[..., 0] == 0].any()


def test_the_trimap_has_the_radius_that_the_provenance_says(folder: Path) -> None:
    for row in rows(folder):
        labels, mask = pixels(row["trimap"]), pixels(row["mask"])
        assert set(np.unique(labels)) <= {0, 128, 255}
        assert (mask[labels == 255] >= 250).all()
        assert (mask[labels == 0] <= 4).all()
        radius = json.loads(row["provenance"])["trimap_radius"]
        assert 5 <= radius <= 25
        assert np.array_equal(labels, trimap(mask, radius))


def test_what_a_network_leaves_of_nothing_is_background_and_nearly_all_is_figure() -> None:
    levels = {level: trimap(np.full((9, 9), level, np.uint8), 2) for level in range(256)}
    assert all((labels == labels[0, 0]).all() for labels in levels.values())
    expected = {level: 0 if level <= 4 else 128 if level < 250 else 255 for level in levels}
    assert {level: int(labels[0, 0]) for level, labels in levels.items()} == expected


@given(st.integers(1, 30), st.integers(0, 2**32))
def test_the_unknown_band_reaches_its_radius_and_no_further(radius: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((160, 160), np.uint8)
    cv2.circle(mask, (80, 80), int(rng.integers(40, 60)), 255, -1, cv2.LINE_AA)
    partial = ((mask > 4) & (mask < 250)).astype(np.uint8)
    distance = cv2.distanceTransform(1 - partial, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    labels = trimap(mask, radius)
    assert (labels[distance <= radius - 1] == 128).all()
    assert (labels[distance > radius + 1.5] != 128).all()


def test_columns_come_with_their_types_and_a_line_in_the_card(folder: Path) -> None:
    pairs = load_dataset(str(folder), split="train")
    assert list(pairs.features)[:5] == ["id", "image", "mask", "trimap", "foreground"]
    assert pairs.features["trimap"].mode == "L"
    pair = pairs[0]
    assert pair["trimap"].mode == "L"
    assert pair["foreground"].mode == pair["clean_background"].mode == "RGB"
    card = (folder / "README.md").read_text()
    for column in ("trimap", "foreground", "clean_background"):
        assert f"| `{column}` |" in card


def test_the_builder_class_has_the_same_labels(folder: Path) -> None:
    builder = HumanSegmentation(
        source="sample",
        sample_humans=10,
        sample_backgrounds=7,
        sample_size=256,
        size=192,
        per_human=3,
        validation=0.2,
        labels=["mask", "trimap"],
    )
    row = next(iter(builder.as_streaming_dataset("train")))
    assert set(row) == {"id", "image", "mask", "trimap", "human", "background", "provenance"}


def test_labels_that_are_none_are_refused(tmp_path: Path) -> None:
    for labels in ("mask,depth", "trimap"):
        done = run("build", *SMALL, "--labels", labels, "--output", tmp_path / "no")
        assert done.returncode == 1
        assert "mask, trimap, foreground, background; mask among them" in done.stderr


def test_negatives_show_no_human_and_say_so(tmp_path: Path) -> None:
    folder = build(tmp_path / "folder", *SMALL, "--set", "negatives=0.5", "--per-human", "6")
    made = rows(folder)
    negatives = [row for row in made if not row["human"]]
    assert 0.3 * len(made) < len(negatives) < 0.7 * len(made)
    for row in made:
        provenance = json.loads(row["provenance"])
        assert pixels(row["mask"]).any() == bool(row["human"])
        assert (provenance["geometry"] is None) == (not row["human"])
        assert (provenance["human_name"] == "") == (not row["human"])
    assert len({row["id"] for row in made}) == len(made)
