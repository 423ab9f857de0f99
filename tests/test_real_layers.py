"""Real layers: eight humans, five of them made by LayerDiffuse, and twenty-four photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from builder.compose import compose, composite_seeds, prepare_figure
from builder.compose.figure import Figure
from builder.compose.placement import pixels_to_frame
from builder.cuts import find_cuts
from builder.decoding import decode_background, decode_human
from builder.matte import clean_as_known, clean_matte, cleaning_of
from builder.recipe import CLASSIC, REALISTIC
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
def test_what_cleaning_changes_is_little_enough_to_be_kept(name: str) -> None:
    alpha, cleaned = matte_of(name)
    cleaning = cleaning_of(alpha, cleaned, CLASSIC)
    assert cleaning is not None
    assert np.array_equal(clean_as_known(alpha, CLASSIC, cleaning), cleaned)


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


PAIRS = 504
CAMERA_OFF = {
    f"{name}_probability": 0.0
    for name in (
        *("vignette", "lens_blur", "exposure", "saturation", "greyscale", "tone_curve"),
        *("sensor_noise", "resampling", "compression", "detail_match", "tone_match"),
        *("cast_shadow", "contact_shadow", "light_wrap"),
    )
}


def layers(role: str) -> list[Path]:
    return sorted(path for path in (LAYERS / role).iterdir() if path.suffix in (".png", ".jpg"))


@pytest.mark.slow
def test_five_hundred_realistic_composites_have_no_cut_and_enough_of_a_figure() -> None:
    backgrounds = [decode_background(path.read_bytes(), 10**8) for path in layers("backgrounds")]
    humans = layers("humans")
    for human in humans:
        rgba = decode_human(human.read_bytes(), 10**8)
        figure = prepare_figure(rgba, REALISTIC)
        for k in range(PAIRS // len(humans)):
            seeds = composite_seeds(0, human.name, k)
            made = compose(figure, backgrounds[k % len(backgrounds)], REALISTIC, seeds)
            values = {"human_name": human.name, "geometry": made.provenance["geometry"]}
            assert_no_cut_inside(made.mask, values)
            assert made.mask.mean() >= 255 * 0.02
            shown = made.mask.sum() / 255 / values["geometry"]["scale"] ** 2
            assert shown >= 0.4 * 0.99 * clean_matte(rgba[..., 3], REALISTIC).sum() / 255


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (0, 255, 0)])
def test_edges_over_a_flat_background_have_no_fringe(colour: tuple[int, int, int]) -> None:
    """Colour errors where alpha is partial, against exact colours under the same alpha."""
    recipe = REALISTIC.replace({"size": 600, **CAMERA_OFF, "defocus_probability": 0.0})
    flat = np.full((600, 800, 3), colour, np.uint8)
    errors = []
    for path in layers("humans"):
        figure = prepare_figure(decode_human(path.read_bytes(), 10**8), recipe)
        for k in range(3):
            made = compose(figure, flat, recipe, composite_seeds(0, path.name, k))
            colours, sampled = exact_colours(figure, made.provenance["geometry"])
            alpha = made.mask[..., None] / 255
            band = (made.mask > 0) & (made.mask < 255) & (sampled > 0.004)
            exact = alpha * colours + (1 - alpha) * colour
            errors.append(np.abs(made.image[band] - exact[band]).mean())
    # Most of it is texture, which no two ways of sampling give alike.
    assert np.mean(errors) <= 2


def exact_colours(figure: Figure, geometry: dict[str, Any]) -> tuple[Any, Any]:
    """Return straight colours and alpha, 0 to 1, from 4 x 4 points a pixel, in floating point."""
    figure = figure.mirrored() if geometry["flip"] else figure
    width, height = geometry["frame"]
    matrix = pixels_to_frame(figure, np.array(geometry["matrix"]))
    fine = np.column_stack([4 * matrix[:, :2], 4 * matrix[:, 2]])
    fine[:, 2] += fine[:, :2] @ (0.5, 0.5) - 0.5
    premultiplied = figure.pixels.astype(np.float32)
    large = cv2.warpAffine(premultiplied, fine, (4 * width, 4 * height), flags=cv2.INTER_LINEAR)
    small = cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float64)
    alpha = small[..., 3] / 255
    return small[..., :3] / np.maximum(alpha[..., None], 1e-6), alpha
