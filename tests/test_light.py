"""Light that a figure shares with its scene: matched tone and detail, shadows, light wrap."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.compose import Composite, compose, composite_seeds, prepare_figure
from builder.compose.edges import decontaminate
from builder.compose.light import Stage, light
from builder.compose.seeds import Seeds
from builder.recipe import PLAIN, REALISTIC
from tests.figures import draw
from tests.kit import Pixels, scenery

STEPS = ("tone_match", "detail_match", "cast_shadow", "contact_shadow", "light_wrap")


def disc(colour: tuple[int, int, int], size: int = 120) -> Pixels:
    """Return a premultiplied figure: a soft disc of one colour."""
    alpha = np.zeros((size, size), np.uint8)
    cv2.circle(alpha, (size // 2, size // 2), size // 3, 255, -1, cv2.LINE_AA)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 2), np.uint8)
    straight = np.dstack([np.full((size, size, 3), colour, np.uint8), alpha])
    return np.asarray(cv2.cvtColor(straight, cv2.COLOR_RGBA2mRGBA), np.uint8)


def lit(step: str, stage: Stage, seed: int = 0, **knobs: Any) -> tuple[Stage, list[Any]]:
    """Apply one step alone."""
    recipe = PLAIN.replace({f"{step}_probability": 1.0, **knobs})
    own = Stage(stage.canvas.copy(), stage.figure.copy(), stage.position, stage.stands)
    return light(own, recipe, Seeds(str(seed)))


def stage_on(level: int, colour: tuple[int, int, int] = (150, 120, 100)) -> Stage:
    canvas = np.full((240, 320, 3), level, np.uint8)
    return Stage(canvas, disc(colour), (100, 90), stands=True)


def mean_luma(figure: Pixels) -> float:
    solid = figure[..., 3] == 255
    return float(figure[solid][:, :3].mean())


@given(st.sampled_from(STEPS), st.integers(0, 2**32), st.integers(0, 255))
def test_no_step_makes_a_colour_exceed_its_alpha(step: str, seed: int, level: int) -> None:
    before = Stage(scenery(seed, (320, 240)), disc((200, 90, level)), (100, 90), stands=True)
    canvas, figure = before.canvas.copy(), before.figure.copy()
    after, applied = lit(step, before, seed)
    assert [values["operation"] for values in applied] == [step]
    assert (after.figure[..., :3].max(axis=2) <= after.figure[..., 3]).all()
    assert after.canvas.shape == before.canvas.shape
    assert np.array_equal(before.canvas, canvas)
    assert np.array_equal(before.figure, figure)


@given(st.sampled_from(STEPS), st.integers(0, 2**32))
def test_only_detail_changes_the_matte_and_only_shadows_the_scene(step: str, seed: int) -> None:
    before = Stage(scenery(seed, (320, 240)), disc((90, 120, 200)), (100, 90), stands=True)
    after, _ = lit(step, before, seed)
    if step != "detail_match":
        assert np.array_equal(after.figure[..., 3], before.figure[..., 3])
    assert np.array_equal(after.canvas, before.canvas) == (not step.endswith("shadow"))


@pytest.mark.parametrize(("level", "brighter"), [(10, False), (250, True)])
def test_the_figure_moves_towards_the_light_around_it(level: int, brighter: bool) -> None:
    before = stage_on(level)
    after, (values,) = lit("tone_match", before, tone_match=[0.5, 0.5])
    change = mean_luma(after.figure) - mean_luma(before.figure)
    assert (change > 15) is brighter
    assert (change < -15) is not brighter
    assert abs(values["shift"]) <= 60


def test_the_light_that_counts_is_the_light_nearby() -> None:
    canvas = np.full((240, 1200, 3), 250, np.uint8)
    canvas[:, :400] = 10
    before = Stage(canvas, disc((150, 120, 100)), (100, 90), stands=True)
    after, _ = lit("tone_match", before, tone_match=[0.5, 0.5])
    assert mean_luma(after.figure) < mean_luma(before.figure) - 15


def test_a_scene_in_warm_light_warms_the_figure() -> None:
    canvas = np.empty((240, 320, 3), np.uint8)
    canvas[:] = (220, 150, 90)
    before = Stage(canvas, disc((130, 130, 130)), (100, 90), stands=True)
    after, _ = lit("tone_match", before, tone_match=[0.6, 0.6])
    red, _, blue, _ = after.figure[60, 60].astype(int)
    assert red > blue + 15


def test_noise_and_softness_of_the_scene_come_onto_the_figure() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(128, 9, (240, 320, 3)), 0, 255).astype(np.uint8)
    after, _ = lit("detail_match", Stage(noisy, disc((128, 128, 128)), (100, 90), stands=True))
    assert after.figure[40:80, 40:80, :3].astype(float).std() > 2
    soft = np.asarray(cv2.GaussianBlur(scenery(1, (320, 240)), (0, 0), 4), np.uint8)
    checks = disc((128, 128, 128))
    checks[::4, :, :3] //= 2
    sharp = Stage(soft, checks, (100, 90), stands=True)
    blurred, _ = lit("detail_match", sharp, detail_match=[0.9, 0.9])
    inside = blurred.figure[44:84, 44:84, 0].astype(float)
    assert inside.std() < 0.8 * checks[40:80, 40:80, 0].astype(float).std()


def test_noise_counts_as_much_as_alpha() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(rng.normal(128, 9, (240, 320, 3)), 0, 255).astype(np.uint8)
    figure = np.full((120, 160, 4), (128, 128, 128, 255), np.uint8)
    figure[:, 120:] = 64 * figure[:, 120:].astype(int) // 255
    after, (values,) = lit("detail_match", Stage(noisy, figure, (100, 90), stands=True))
    assert values["noise"] > 2
    opaque, faint = (
        after.figure[10:110, columns, 0].astype(float).std()
        for columns in (slice(14, 114), slice(134, 154))
    )
    assert 0.2 * opaque < faint < 0.4 * opaque


def test_a_figure_that_fills_its_box_is_blurred_beyond_it_but_not_beyond_the_frame() -> None:
    soft = np.asarray(cv2.GaussianBlur(scenery(1, (320, 240)), (0, 0), 4), np.uint8)
    checks = np.full((120, 120, 4), 255, np.uint8)
    checks[::4, :, :3] = 60
    before = Stage(soft, checks, (100, 120), stands=False)
    after, (values,) = lit("detail_match", before, detail_match=[0.9, 0.9])
    assert values["sigma"] >= 0.4
    assert (after.position, after.figure.shape) == ((96, 116), (124, 128, 4))
    alpha = after.figure[..., 3]
    assert 0 < alpha[3, 60] < 255
    assert alpha[0].max() == 0 < alpha[-1, 60] == 255


@pytest.mark.parametrize("seed", range(5))
def test_the_shadow_of_who_stands_begins_at_the_feet_and_lies_behind(seed: int) -> None:
    before = stage_on(200)
    after, (values,) = lit("cast_shadow", before, seed, cast_shadow=[0.3, 0.3])
    lost = 200 - after.canvas[..., 0].astype(float)
    feet, middle = 90 + 100, 160
    assert lost[:feet].sum() > 2 * lost[feet:].sum()
    at_feet = lost[feet - 4 : feet].sum(axis=0)
    assert abs(np.average(np.arange(320), weights=at_feet) - middle) < 12
    head = lost[: feet - int(60 * values["squash"])].sum(axis=0)
    leaning = np.average(np.arange(320), weights=head) - middle
    assert np.sign(leaning) == np.sign(values["shear"]) or abs(values["shear"]) < 0.3


@pytest.mark.parametrize("stands", [True, False])
def test_shadows_fall_softly_near_the_figure_and_take_no_more_light_than_asked(
    stands: bool,
) -> None:
    plain = stage_on(200)
    before = Stage(plain.canvas, plain.figure, plain.position, stands)
    after, _ = lit("cast_shadow", before, cast_shadow=[0.3, 0.3])
    shadow = after.canvas[..., 0].astype(int)
    assert 140 - 1 <= shadow.min() < 190
    assert (shadow == 200).mean() > 0.4
    assert np.abs(np.diff(shadow, axis=0)).max() <= 12
    assert np.abs(np.diff(shadow, axis=1)).max() <= 12


def test_the_floor_is_darkest_under_the_feet() -> None:
    before = stage_on(200)
    after, _ = lit("contact_shadow", before, contact_shadow=[0.6, 0.6])
    rows = after.canvas[..., 0].astype(float).min(axis=1)
    feet = 90 + 100
    assert abs(int(rows.argmin()) - feet) < 16
    assert rows[: feet - 60].min() == 200
    floating = Stage(before.canvas, before.figure, before.position, stands=False)
    untouched, applied = lit("contact_shadow", floating)
    assert applied == []
    assert np.array_equal(untouched.canvas, before.canvas)


def test_light_wraps_around_the_edge_alone() -> None:
    before = stage_on(255, (20, 20, 20))
    after, _ = lit("light_wrap", before, light_wrap=[0.5, 0.5])
    change = after.figure[..., 0].astype(int) - before.figure[..., 0]
    assert change[60, 60] <= 2
    rim = (before.figure[..., 3] > 100) & (before.figure[..., 3] < 255)
    assert change[rim].mean() > 15


def test_light_wraps_alike_around_a_figure_that_fills_its_box() -> None:
    canvas = np.full((240, 320, 3), 255, np.uint8)
    shown = []
    for room in (0, 20):
        side = 80 + 2 * room
        figure = np.zeros((side, side, 4), np.uint8)
        figure[room : room + 80, room : room + 80] = (20, 20, 20, 255)
        stage = Stage(canvas, figure, (100 - room, 60 - room), stands=True)
        after, _ = lit("light_wrap", stage, light_wrap=[0.5, 0.5])
        shown.append(after.figure[room : room + 80, room : room + 80, 0].astype(int))
    assert shown[1][0].mean() > 40
    assert np.abs(shown[0] - shown[1]).max() <= 8


def test_light_of_the_figures_own_colour_changes_nothing() -> None:
    before = stage_on(180, (180, 180, 180))
    after, _ = lit("light_wrap", before, light_wrap=[0.5, 0.5])
    assert np.abs(after.figure.astype(int) - before.figure).max() <= 3


def contaminated() -> tuple[Pixels, Pixels]:
    """Return a premultiplied red disc whose edge has the green of its old background, and alpha."""
    figure = disc((200, 30, 30), 640)
    alpha = figure[..., 3:].astype(float) / 255
    straight = alpha * (200, 30, 30) + (1 - alpha) * (0, 220, 0)
    return np.rint(np.dstack([straight * alpha, alpha * 255])).astype(np.uint8), figure


def test_the_old_background_goes_from_the_edge() -> None:
    dirty, clean = contaminated()
    mended = decontaminate(dirty.copy(), 1.0)
    edge = (clean[..., 3] > 20) & (clean[..., 3] < 235)
    before, after = (
        np.abs(one[edge][:, :3].astype(int) - clean[edge][:, :3]).mean() for one in (dirty, mended)
    )
    assert after < 0.35 * before
    assert np.array_equal(mended[..., 3], dirty[..., 3])
    assert np.array_equal(mended[clean[..., 3] == 255], dirty[clean[..., 3] == 255])
    assert np.array_equal(decontaminate(dirty.copy(), 0.0), dirty)


def test_the_more_transparent_a_pixel_the_more_of_its_colour_goes() -> None:
    figure = np.zeros((200, 200, 4), np.uint8)
    figure[:] = (200, 0, 0, 255)
    strands = {50: 40, 100: 160, 150: 240}
    for column, alpha in strands.items():
        figure[:, column] = (0, 0, 200 * alpha // 255, alpha)
    mended = decontaminate(figure.copy(), 1.0)
    kept = [mended[100, column, 2] / figure[100, column, 2] for column in strands]
    assert kept[0] < 0.1
    assert 0.15 < kept[1] < 0.4
    assert kept[2] > 0.75


def realistic(seed: int, cut: bool = False, **knobs: Any) -> Composite:
    person = draw(240, 300, frozenset({"bottom"} if cut else ()), 0, seed)
    recipe = REALISTIC.replace({"size": 320, **knobs})
    figure = prepare_figure(np.dstack([scenery(seed, (240, 300)), person.alpha]), recipe)
    return compose(figure, scenery(seed + 1, (400, 300)), recipe, composite_seeds(0, "h", seed))


@given(st.integers(0, 2**32))
def test_whole_figures_stand_in_the_lower_part(seed: int) -> None:
    shares = {"close_up_share": 0.0, "half_body_share": 0.0, "framing_probability": 1.0}
    composite = realistic(seed, **shares)
    height = composite.mask.shape[0]
    rows = np.flatnonzero((composite.mask > 128).any(axis=1))
    assert 0.8 * height <= rows[-1] < height
    assert rows[0] > 0


def test_close_ups_have_the_head_near_the_top_and_go_on_below() -> None:
    shares = {"close_up_share": 1.0, "framing_probability": 1.0, "max_upscale": 4.0}
    close = 0
    for seed in range(40):
        height, _ = realistic(seed, **shares).mask.shape
        rows = np.flatnonzero((realistic(seed, **shares).mask > 128).any(axis=1))
        assert rows[-1] >= 0.8 * height
        close += bool(rows[0] < 0.25 * height and rows[-1] == height - 1)
    # The others are too wide to be seen any closer.
    assert close >= 36


@given(st.integers(0, 2**32), st.sampled_from([(640, 360), (480, 360), (300, 400)]))
def test_who_is_cut_off_at_both_sides_does_not_end_at_the_eyes(
    seed: int, size: tuple[int, int]
) -> None:
    person = draw(240, 300, frozenset({"left", "right", "bottom"}), 0, seed)
    recipe = REALISTIC.replace({"size": 320})
    figure = prepare_figure(person.rgba, recipe)
    made = compose(figure, scenery(seed, size), recipe, composite_seeds(0, "h", seed))
    _, top, _, bottom = made.provenance["geometry"]["box"]
    shown = (bottom - top) / made.provenance["geometry"]["scale"]
    assert shown >= 0.6 * (figure.box[3] - figure.box[1])


@given(st.integers(0, 2**32), st.booleans())
def test_a_realistic_pair_says_all_that_was_done(seed: int, cut: bool) -> None:
    composite = realistic(seed, cut)
    again = realistic(seed, cut)
    assert np.array_equal(composite.image, again.image)
    assert composite.provenance == again.provenance
    assert {values["operation"] for values in composite.provenance["light"]} <= set(STEPS)
    assert composite.mask.mean() >= 0.97 * 0.02 * 255


def test_linear_light_differs_at_the_edge_alone() -> None:
    mixed = {
        blend: compose(
            prepare_figure(draw(200, 200, frozenset(), 0, 3).rgba, PLAIN),
            np.zeros((300, 300, 3), np.uint8),
            PLAIN.replace({"blend_light": blend}),
            composite_seeds(0, "h", 3),
        )
        for blend in ("srgb", "linear")
    }
    mask = mixed["srgb"].mask
    assert np.array_equal(mask, mixed["linear"].mask)
    edge = (mask > 0) & (mask < 255)
    srgb, linear = (mixed[blend].image.astype(int) for blend in ("srgb", "linear"))
    assert np.array_equal(srgb[~edge], linear[~edge])
    # Half of the light of a bright strand looks brighter than half of its value.
    assert (linear[edge] - srgb[edge]).mean() > 5
