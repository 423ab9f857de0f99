"""Properties of every composite: no cut inside the frame, enough of the figure, a true mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.compose import Composite, compose, composite_seeds, prepare_figure
from builder.compose.resample import enlarge, soften
from builder.cuts import find_cuts
from builder.errors import LayerError
from builder.layers import admit
from builder.matte import clean_matte
from builder.recipe import CLASSIC, PLAIN, REALISTIC, Recipe
from builder.sources.layer import Layer
from tests.figures import Person, draw, persons
from tests.kit import Pixels, candidate, png, scenery

ALWAYS = PLAIN.replace({"geometry_probability": 1.0, "size": 320})
"""Nothing but geometry, and that always drawn."""


def _always(recipe: Recipe) -> dict[str, float]:
    chances = {name: value for name, value in recipe.to_dict().items() if "_probability" in name}
    return {name: 1.0 for name, chance in chances.items() if chance}


sizes = st.tuples(st.integers(80, 500), st.integers(80, 500))
recipes = st.sampled_from(
    [
        ALWAYS,
        PLAIN.replace({"size": 320}),
        ALWAYS.replace({"rotation": [-20, 20], "scale": [0.3, 3.0], "max_upscale": 4.0}),
        ALWAYS.replace({"shift_x": [-1, 1], "shift_y": [-1, 1]}),
        ALWAYS.replace({"size": 0}),
        ALWAYS.replace({"min_coverage": 0.25, "shift_x": [-1, 1], "shift_y": [-1, 1]}),
    ]
)

EVERYTHING = [
    recipe.replace({**_always(recipe), "labels": labels, "max_upscale": 2.0})
    for recipe in (CLASSIC, REALISTIC)
    for labels in (("mask",), ("mask", "foreground", "background"))
]
"""All that a recipe ever does, at once."""


def made(person: Person, size: tuple[int, int], recipe: Recipe, seed: int) -> Composite:
    figure = prepare_figure(person.rgba, recipe)
    return compose(figure, scenery(seed, size), recipe, composite_seeds(seed, "human", 0))


def geometry(composite: Composite) -> dict[str, Any]:
    values: dict[str, Any] = composite.provenance["geometry"]
    return values


@given(persons)
def test_cuts_are_found_on_the_sides_where_they_are(person: Person) -> None:
    assert set(find_cuts(clean_matte(person.alpha, CLASSIC))) == person.cut


@given(persons, sizes, recipes, st.integers(0, 2**32))
def test_the_frame_shows_no_cut(
    person: Person, size: tuple[int, int], recipe: Recipe, seed: int
) -> None:
    composite = made(person, size, recipe, seed)
    own = geometry(composite)
    whole = person.whole_in_frame(own["matrix"], tuple(own["frame"]), own["flip"])
    # Away from its edge the figure must look as if it had never been cut.
    window = np.ones((7, 7), np.uint8)
    assert composite.mask[cv2.erode(whole, window) == 255].min(initial=255) >= 250
    assert composite.mask[cv2.dilate(whole, window) == 0].max(initial=0) <= 5


@given(persons, sizes, recipes, st.integers(0, 2**32))
def test_enough_of_the_figure_is_in_the_frame_and_covers_it(
    person: Person, size: tuple[int, int], recipe: Recipe, seed: int
) -> None:
    composite = made(person, size, recipe, seed)
    own = geometry(composite)
    shown = composite.mask.sum() / 255
    assert shown >= 0.4 * 0.98 * own["scale"] ** 2 * person.alpha.sum() / 255
    assert shown >= 0.97 * recipe.min_coverage * composite.mask.size
    assert shown >= 0.02 * composite.mask.size


@given(persons, sizes, recipes, st.integers(0, 2**32))
def test_the_frame_has_the_aspect_of_its_background_and_nothing_is_enlarged_too_far(
    person: Person, size: tuple[int, int], recipe: Recipe, seed: int
) -> None:
    composite = made(person, size, recipe, seed)
    own = geometry(composite)
    width, height = own["frame"]
    assert composite.image.shape == (height, width, 3)
    assert composite.mask.shape == (height, width)
    left, top, right, bottom = own["background_box"]
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]
    spans = {"left", "right"} <= person.cut or {"top", "bottom"} <= person.cut
    if not spans and recipe.min_coverage == PLAIN.min_coverage:
        assert (left, top, right, bottom) == (0, 0, *size)
    # Rounded to the recipe's size, then down to what the figure can fill: 1.5 px a side at most.
    assert abs(width * (bottom - top) - height * (right - left)) <= 2 * max(right, bottom)
    assert own["scale"] <= recipe.max_upscale * (1 + 1e-6)
    assert width <= (right - left) * recipe.max_upscale + 1
    assert recipe.size == 0 or max(width, height) <= recipe.size


@given(persons, sizes, st.integers(0, 2**32))
def test_the_mask_can_be_rebuilt_from_the_provenance(
    person: Person, size: tuple[int, int], seed: int
) -> None:
    composite = made(person, size, ALWAYS.replace({"scale": [1.0, 1.5]}), seed)
    own = geometry(composite)
    cleaned = clean_matte(person.alpha, ALWAYS)
    cleaned = np.ascontiguousarray(cleaned[:, ::-1]) if own["flip"] else cleaned
    matrix = np.array(own["matrix"])
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    rebuilt = cv2.warpAffine(cleaned, matrix, tuple(own["frame"]), flags=cv2.INTER_LINEAR)
    difference = np.abs(rebuilt.astype(int) - composite.mask)
    # Shrinking averages areas, which plain interpolation does not: edges differ a little.
    assert difference.mean() < 2.0
    left, top, right, bottom = own["box"]
    outside = composite.mask.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any()


@given(persons, sizes, recipes, st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_composite(
    person: Person, size: tuple[int, int], recipe: Recipe, seed: int
) -> None:
    one, other = (made(person, size, recipe, seed) for _ in range(2))
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.mask, other.mask)
    assert one.provenance == other.provenance


@given(persons, sizes, st.integers(0, 2**32))
def test_operations_on_colours_never_touch_the_mask(
    person: Person, size: tuple[int, int], seed: int
) -> None:
    plain, classic = (
        made(person, size, recipe.replace({"size": 256}), seed) for recipe in (PLAIN, CLASSIC)
    )
    assert np.array_equal(plain.mask, classic.mask)


@given(persons, sizes, st.integers(0, 2**32), st.sampled_from([0, 255]))
def test_no_fringe_shows_where_figure_and_background_have_one_colour(
    person: Person, size: tuple[int, int], seed: int, level: int
) -> None:
    rgba = person.rgba
    rgba[rgba[..., 3] > 0, :3] = level
    background = np.full((size[1], size[0], 3), level, np.uint8)
    recipe = ALWAYS.replace({"rotation": [-20, 20]})
    figure = prepare_figure(rgba, recipe)
    composite = compose(figure, background, recipe, composite_seeds(seed, "human", 0))
    assert np.abs(composite.image.astype(int) - level).max() <= 2


@given(persons, sizes, st.integers(0, 2**32))
def test_the_image_is_the_blend_that_the_mask_promises(
    person: Person, size: tuple[int, int], seed: int
) -> None:
    rgba = person.rgba
    rgba[..., :3] = (200, 30, 90)
    recipe = ALWAYS
    background = np.full((size[1], size[0], 3), (10, 250, 120), np.uint8)
    figure = prepare_figure(rgba, recipe)
    composite = compose(figure, background, recipe, composite_seeds(seed, "human", 0))
    alpha = composite.mask[..., None] / 255
    expected = alpha * (200, 30, 90) + (1 - alpha) * (10, 250, 120)
    # Five roundings to whole levels on the way, of half a level each.
    assert np.abs(composite.image - expected).max() <= 2.5


@given(
    st.integers(64, 700),
    st.integers(64, 700),
    st.frozensets(st.sampled_from(["left", "top", "right", "bottom"])),
    st.integers(0, 2**32),
    st.tuples(st.integers(64, 512), st.integers(64, 512)),
)
@settings(max_examples=250)
def test_whatever_is_admitted_has_a_place_on_every_background(
    width: int, height: int, cut: frozenset[Any], seed: int, size: tuple[int, int]
) -> None:
    person = draw(width, height, cut, 0, seed)
    if not isinstance(admit(candidate("human", png(person.rgba)), CLASSIC), Layer):
        return
    if max(size) > 8 * min(size):
        return
    recipe = PLAIN.replace({"size": 128})
    try:
        made(person, size, recipe, seed)
    except LayerError as error:
        raise AssertionError("admitted, but without a place") from error


def test_shrinking_averages_instead_of_picking() -> None:
    stripes: npt.NDArray[np.uint8] = np.zeros((800, 800, 4), np.uint8)
    stripes[100:700, 100:700, 3] = 255
    stripes[:, ::2, :3] = 255
    recipe = PLAIN.replace({"size": 100, "flip_probability": 0.0, "geometry_probability": 0.0})
    figure = prepare_figure(stripes, recipe)
    composite = compose(
        figure, np.zeros((100, 100, 3), np.uint8), recipe, composite_seeds(0, "human", 0)
    )
    inside = composite.image[composite.mask == 255]
    assert inside.size
    assert np.abs(inside.astype(int) - 128).max() <= 6


@pytest.mark.parametrize("times", [1.1, 1.5, 2.3])
def test_enlarging_keeps_as_much_as_cubic_interpolation(times: float) -> None:
    rng = np.random.default_rng(0)
    # As photographs do, it has less of what is finer, in proportion.
    across, down = np.meshgrid(np.fft.rfftfreq(400), np.fft.fftfreq(300))
    waves = np.fft.rfft2(rng.normal(size=(300, 400, 3)), axes=(0, 1))
    waves /= np.hypot(across, down).clip(1 / 400)[..., None]
    original = np.fft.irfft2(waves, (300, 400), axes=(0, 1))
    original = np.clip(128 + 40 * original / original.std(), 0, 255)
    small = cv2.resize(
        original.astype(np.uint8), None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA
    )

    def error(enlarged: Any) -> float:
        return float(np.abs(enlarged - original).mean())

    cubic = cv2.resize(small, (400, 300), interpolation=cv2.INTER_CUBIC)
    bilinear = cv2.resize(small, (400, 300), interpolation=cv2.INTER_LINEAR)
    assert error(enlarge(small, (400, 300))) < 1.03 * error(cubic) < error(bilinear)
    plain = np.full((20, 30, 3), 200, np.uint8)
    assert np.array_equal(enlarge(plain, (45, 33)), np.full((33, 45, 3), 200))


@pytest.mark.parametrize("side", [70, 301, 3000])
def test_sample_points_stand_for_all_of_a_figure_whatever_its_size(side: int) -> None:
    rgba = np.full((side, side, 4), 255, np.uint8)
    figure = prepare_figure(rgba, CLASSIC)
    # Of the largest the sum of alpha passes 31 bits.
    assert figure.area == side**2
    spread = side / 64
    assert np.all(figure.points.min(axis=0) <= spread)
    assert np.all(figure.points.max(axis=0) >= side - spread)


def test_sample_points_lie_where_a_figure_does() -> None:
    rgba = np.zeros((400, 300, 4), np.uint8)
    rgba[37:391, 102:233] = 255
    figure = prepare_figure(rgba, CLASSIC)
    assert figure.box == (102, 37, 233, 391)
    assert np.allclose(figure.weights @ figure.points / figure.area, (167.5, 214))
    mirrored = figure.mirrored()
    assert mirrored.box == (67, 37, 198, 391)
    assert np.allclose(mirrored.weights @ mirrored.points / mirrored.area, (132.5, 214))


def test_a_background_may_lie_in_memory_in_any_order() -> None:
    person = draw(200, 200, frozenset({"bottom"}), 0, 2)
    figure = prepare_figure(person.rgba, PLAIN)
    background = scenery(1, (300, 200))
    planes = np.ascontiguousarray(background.transpose(2, 0, 1)).transpose(1, 2, 0)
    first, second = (
        compose(figure, one, PLAIN.replace({"size": 0}), composite_seeds(0, "order", 0))
        for one in (background, planes)
    )
    assert np.array_equal(first.image, second.image)


def test_another_k_or_human_or_seed_gives_another_composite() -> None:
    person = draw(200, 300, frozenset({"bottom"}), 0, 1)
    figure = prepare_figure(person.rgba, CLASSIC)
    background: Pixels = scenery(1, (300, 200))
    images = {
        compose(figure, background, CLASSIC, composite_seeds(*source)).image.tobytes()
        for source in [(0, "a", 0), (0, "a", 1), (0, "b", 0), (1, "a", 0)]
    }
    assert len(images) == 4


@settings(max_examples=40)
@given(st.sampled_from(EVERYTHING), st.sampled_from([160, 0, 400]), st.integers(0, 2**32))
def test_layers_are_left_as_they_are(recipe: Recipe, size: int, seed: int) -> None:
    figures = [
        prepare_figure(draw(200, 300, frozenset({"bottom"}), 0, number).rgba, recipe)
        for number in (1, 2)
    ]
    background = scenery(seed, (300, 200))
    before = [figure.pixels.copy() for figure in figures], background.copy()
    seeds = composite_seeds(seed, "human", 0)
    compose(figures[0], background, recipe.replace({"size": size}), seeds, figures[1:])
    for figure, pixels in zip(figures, before[0], strict=True):
        assert np.array_equal(figure.pixels, pixels)
    assert np.array_equal(background, before[1])


def test_a_recipe_that_no_place_satisfies_is_an_error() -> None:
    ring = np.zeros((300, 300), np.uint8)
    cv2.circle(ring, (150, 150), 120, 255, 12)
    rgba = np.dstack([np.full((300, 300, 3), 99, np.uint8), ring])
    recipe = PLAIN.replace({"min_coverage": 0.5, "min_visible": 0.9})
    figure = prepare_figure(rgba, recipe)
    with pytest.raises(LayerError, match="no place in the frame"):
        compose(figure, scenery(0, (400, 300)), recipe, composite_seeds(0, "a", 0))


def test_a_softening_that_is_left_out_would_change_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (64, 64, 4)).astype(np.uint8) * 255
    assert np.array_equal(soften(noise, 0.715)[0], noise)
    assert np.array_equal(cv2.GaussianBlur(noise, (3, 3), 0.28), noise)
    assert not np.array_equal(soften(noise, 0.7)[0], noise)
