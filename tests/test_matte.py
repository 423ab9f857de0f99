"""Mattes: haze and specks go, hair stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from builder.matte import bounding_box, clean_as_known, clean_matte, cleaning_of
from builder.recipe import CLASSIC
from tests.kit import Pixels, portrait

REAL = Path(__file__).parents[2] / "shared" / "layers" / "humans"
REACH = round(CLASSIC.haze_reach * 512)

mattes = arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)))


def figure() -> Pixels:
    """Return a matte of 512 x 384 px whose figure fills the middle and touches no border."""
    return portrait(3, (384, 512))[..., 3].copy()


def outside(alpha: Pixels, distance: float) -> npt.NDArray[np.bool_]:
    """Tell which pixels lie farther than `distance` px from anything stronger than haze."""
    away = cv2.distanceTransform((alpha < CLASSIC.haze_alpha).view(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away > distance)


def threshold_at_160(alpha: Pixels) -> Pixels:
    """Return what the data set's original script made of a matte."""
    return np.where(alpha >= 160, alpha, 0).astype(np.uint8)


def test_a_clean_matte_stays_as_it_is_but_for_what_no_eye_sees() -> None:
    alpha = figure()
    cleaned = clean_matte(alpha, CLASSIC)
    assert np.array_equal(cleaned[alpha >= 4], alpha[alpha >= 4])
    assert not cleaned[alpha < 4].any()


def test_strands_keep_their_faint_tips_where_a_threshold_cuts_them() -> None:
    alpha = figure()
    left = bounding_box(alpha)[0]
    # A strand from well inside the figure to the border, ever fainter, a pixel and a half thin.
    tip = np.linspace(255, 9, left + 40).astype(np.uint8)[::-1]
    strand = np.zeros_like(alpha)
    strand[400, : left + 40] = tip
    strand[401, : left + 40] = tip // 2
    alpha = np.maximum(alpha, strand)
    cleaned = clean_matte(alpha, CLASSIC)
    faint = (strand >= 32) & (strand < 160)
    assert np.array_equal(cleaned[faint], alpha[faint])
    assert cleaned[400][strand[400] >= 16].all()
    assert not threshold_at_160(alpha)[faint & (alpha < 160)].any()


def test_haze_goes_and_leaves_no_edge_behind() -> None:
    alpha = np.maximum(figure(), 14)
    cleaned = clean_matte(alpha, CLASSIC).astype(int)
    assert not cleaned[outside(alpha, REACH + 1)].any()
    beyond = outside(alpha, 1)
    steps = np.abs(np.diff(cleaned, axis=1))[beyond[:, 1:] & beyond[:, :-1]]
    # A cut would step down by all 14 at once.
    assert steps.max() <= 7


@pytest.mark.parametrize("apart", [40, pytest.param(2, marks=pytest.mark.slow)])
def test_specks_go_whether_there_are_few_or_noise_all_over(apart: int) -> None:
    clean = cv2.resize(figure(), (768, 1024), interpolation=cv2.INTER_CUBIC)
    cv2.circle(clean, (100, 100), 70, 255, -1)
    clean = clean_matte(clean, CLASSIC)
    alpha = clean.copy()
    # Of a hole in the figure, a speck is a part of its own.
    cv2.circle(alpha, (384, 700), 40, 0, -1)
    holed = clean_matte(alpha, CLASSIC)
    alpha[::apart, ::apart] = np.where(
        cv2.dilate(alpha, np.ones((5, 5)))[::apart, ::apart], alpha[::apart, ::apart], 200
    )
    alpha[15:185, 15:185] = clean[15:185, 15:185]
    alpha[700, 384] = 200
    # What stays lies in the midst of what goes.
    cv2.circle(alpha, (100, 100), 80, 200, 1)
    assert (alpha != holed).any()
    assert np.array_equal(clean_matte(alpha, CLASSIC), holed)


def test_specks_go_and_a_second_person_stays() -> None:
    alpha = figure()
    speck, person = alpha.copy(), alpha.copy()
    speck[20:30, 20:30] = 255
    person[60:160, 10:40] = 255
    assert np.array_equal(clean_matte(speck, CLASSIC), clean_matte(alpha, CLASSIC))
    assert np.array_equal(clean_matte(person, CLASSIC)[60:160, 10:40], person[60:160, 10:40])


def test_a_speck_goes_though_haze_ties_it_to_the_figure() -> None:
    alpha = np.maximum(figure(), 20)
    alpha[20:30, 20:30] = 255
    assert not clean_matte(alpha, CLASSIC)[:60, :60].any()


@pytest.mark.parametrize("place", [(3, 3), (200, 12), (505, 370), (30, 300)])
def test_a_speck_that_haze_tied_to_the_figure_leaves_no_trace(place: tuple[int, int]) -> None:
    alpha = np.maximum(figure(), 20)
    row, column = place
    assert outside(alpha, 2 * REACH)[row, column]
    tied = alpha.copy()
    tied[row : row + 4, column : column + 4] = 255
    assert np.array_equal(clean_matte(tied, CLASSIC), clean_matte(alpha, CLASSIC))


def test_haze_beside_a_figure_takes_nothing_of_its_rim() -> None:
    alpha = np.zeros((400, 400), np.uint8)
    alpha[100:300, 110:300] = 255
    alpha[100:300, 109] = rim = 12
    alpha[150:250, 90:101] = 6
    cleaned = clean_matte(alpha, CLASSIC)
    assert (cleaned[100:300, 109] == rim).all()
    assert not cleaned[:, :109].any()


@given(seed=st.integers(0, 10**6))
def test_patches_of_haze_fade_as_if_each_were_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = np.zeros((300, 260), np.uint8)
    person[90:220, 70:200] = 255
    patches = []
    for _ in range(12):
        top, left = int(rng.integers(0, 299)), int(rng.integers(0, 259))
        patches.append(np.zeros_like(person))
        tall, wide = rng.integers(1, 30, 2)
        patches[-1][top : top + tall, left : left + wide] = 7
    together = clean_matte(np.maximum.reduce([person, *patches]), CLASSIC)
    alone = [clean_matte(np.maximum(person, patch), CLASSIC) for patch in patches]
    assert np.array_equal(together, np.maximum.reduce(alone))


def test_the_knobs_turn_each_step_off() -> None:
    alpha = np.maximum(figure(), 14)
    alpha[20:30, 20:30] = 255
    no_specks = CLASSIC.replace({"speck_area": 0.0})
    assert (clean_matte(alpha, no_specks)[20:30, 20:30] == 255).all()
    no_haze = CLASSIC.replace({"haze_alpha": 0})
    assert (clean_matte(alpha, no_haze)[40:50] >= 14).all()


@given(alpha=mattes)
def test_cleaning_only_takes_away_and_leaves_a_figure_where_there_was_one(alpha: Pixels) -> None:
    cleaned = clean_matte(alpha, CLASSIC)
    assert cleaned.shape == alpha.shape
    assert cleaned.dtype == np.uint8
    assert (cleaned <= alpha).all()
    assert cleaned.any() == (alpha >= 128).any()


@given(alpha=mattes)
def test_cleaning_a_mirrored_matte_mirrors_the_cleaned_one(alpha: Pixels) -> None:
    mirrored = np.ascontiguousarray(alpha[:, ::-1])
    assert np.array_equal(clean_matte(mirrored, CLASSIC), clean_matte(alpha, CLASSIC)[:, ::-1])


@given(alpha=mattes)
def test_known_changes_give_the_same_matte(alpha: Pixels) -> None:
    cleaned = clean_matte(alpha, CLASSIC)
    cleaning = cleaning_of(alpha, cleaned, CLASSIC)
    assert cleaning is not None
    assert np.array_equal(clean_as_known(alpha, CLASSIC, cleaning), cleaned)


def test_changes_that_another_recipe_made_are_not_taken_for_its_own() -> None:
    alpha = figure()
    alpha[20:30, 20:30] = 255
    cleaning = cleaning_of(alpha, clean_matte(alpha, CLASSIC), CLASSIC)
    no_specks = CLASSIC.replace({"speck_area": 0.0})
    kept = clean_as_known(alpha, no_specks, cleaning)
    assert (kept[20:30, 20:30] == 255).all()
    assert np.array_equal(kept, clean_matte(alpha, no_specks))


def test_more_changes_than_are_worth_their_room_are_not_kept() -> None:
    hazy = np.maximum(figure(), 20)
    cleaned = clean_matte(hazy, CLASSIC)
    assert cleaning_of(hazy, cleaned, CLASSIC) is None
    assert np.array_equal(clean_as_known(hazy, CLASSIC, None), cleaned)


@given(alpha=mattes)
def test_the_bounding_box_holds_all_that_is_visible(alpha: Pixels) -> None:
    left, top, right, bottom = bounding_box(alpha)
    rows, columns = np.nonzero(alpha)
    if not rows.size:
        assert (left, top, right, bottom) == (0, 0, 0, 0)
    else:
        assert (left, top) == (columns.min(), rows.min())
        assert (right, bottom) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/layers/humans, real layers")
def test_layers_of_layerdiffuse_keep_their_hair_and_lose_their_haze() -> None:
    for path in sorted(REAL.glob("layerdiffuse_*.png")):
        with Image.open(path) as picture:
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        cleaned = clean_matte(alpha, CLASSIC)
        soft = (alpha >= 32) & (alpha < 160) & ~outside(alpha, 10)
        assert np.mean(cleaned[soft] == alpha[soft]) > 0.98, path.name
        assert not threshold_at_160(alpha)[soft].any()
        strong = cv2.distanceTransform((cleaned < 32).view(np.uint8), cv2.DIST_L2, 3)
        assert strong[cleaned > 0].max() <= CLASSIC.haze_reach * max(alpha.shape), path.name
