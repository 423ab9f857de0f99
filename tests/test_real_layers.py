"""Real layers: eight humans, five of them made by LayerDiffuse, and twenty-four photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from builder.compose.figure import find_cuts
from builder.layers import decode_human
from builder.matte import clean_matte
from builder.recipe import CLASSIC
from tests.building import build, rows

LAYERS = Path(__file__).parents[2] / "shared" / "layers"

pytestmark = pytest.mark.skipif(
    not LAYERS.is_dir(), reason="needs ../shared/layers, which is not part of the repository"
)

# Looked at, one by one.
CUTS = {
    "canvas_example01.png": set(),
    "canvas_example02.png": {"bottom"},
    "canvas_example03.png": {"bottom"},
    "layerdiffuse_armour.png": {"left", "right", "bottom"},
    "layerdiffuse_baby.png": {"top", "bottom"},
    "layerdiffuse_man.png": {"left", "right", "bottom"},
    "layerdiffuse_man2.png": {"left", "right", "bottom"},
    "layerdiffuse_oldman.png": set(),
}


def matte_of(name: str) -> tuple[Any, Any]:
    """Return the matte as it came and as it is cleaned."""
    data = (LAYERS / "humans" / name).read_bytes()
    alpha = decode_human(data, CLASSIC.max_pixels)[..., 3]
    return alpha, clean_matte(alpha, CLASSIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("real") / "folder"
    return build(output, "--source", LAYERS, "--recipe", "plain", "--size", "512")


@pytest.mark.parametrize("name", CUTS)
def test_the_sides_on_which_a_figure_was_cut_are_found(name: str) -> None:
    assert set(find_cuts(matte_of(name)[1])) == CUTS[name]


@pytest.mark.parametrize("name", CUTS)
def test_cleaning_keeps_hair_that_a_threshold_cuts(name: str) -> None:
    alpha, cleaned = matte_of(name)
    strands = (alpha >= 32) & (alpha < 160)
    kept = np.minimum(cleaned, alpha)[strands].sum() / alpha[strands].sum()
    assert kept > 0.97


def test_every_layer_is_used_and_every_pair_is_sound(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["left_out"] == []
    made = rows(folder)
    assert len(made) == 32
    for row in made:
        mask = decoded(row["mask"]["bytes"])
        assert mask.mean() >= 255 * 0.02
        assert_no_cut_inside(mask, json.loads(row["provenance"]))


def assert_no_cut_inside(mask: Any, provenance: dict[str, Any]) -> None:
    """Follow the ends of each cut of the source into the frame, and look at the mask there."""
    geometry = provenance["geometry"]
    name = Path(provenance["human_name"]).name
    cleaned = matte_of(name)[1]
    if geometry["flip"]:
        cleaned = cleaned[:, ::-1]
    width, height = geometry["frame"]
    assert mask.shape == (height, width)
    matrix = np.array(geometry["matrix"])
    for side, ends in find_cuts(np.ascontiguousarray(cleaned)).items():
        x, y = (ends @ matrix[:, :2].T + matrix[:, 2]).T
        beyond = {"left": x <= 0, "right": x >= width, "top": y <= 0, "bottom": y >= height}
        assert beyond[side].all(), (name, side)


def decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
