"""Photometric operations, one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.compose.operations import lookup, replace_levels
from builder.compose.photometric import alter_background, alter_composite, motion_blur
from builder.compose.seeds import Seeds
from builder.recipe import CLASSIC, COMPOSITION, PLAIN, Recipe
from tests.kit import Pixels, scenery

ON_BACKGROUND = ("background_tone", "background_shadow", "defocus")
OF_THE_CAMERA = (
    *("vignette", "lens_blur", "exposure", "saturation", "greyscale"),
    *("sensor_noise", "resampling", "compression"),
)
ON_COMPOSITE = ("motion_blur", "noise", "jitter", "fog", "shadow", "tone_curve", *OF_THE_CAMERA)
ON_FIGURE = ("tone_match", "detail_match", "cast_shadow", "contact_shadow", "light_wrap")


def only(operation: str, **knobs: Any) -> Recipe:
    """Return a recipe in which one operation always happens, and no other."""
    return PLAIN.replace({f"{operation}_probability": 1.0, **knobs})


def altered(operation: str, pixels: Pixels, seed: int, **knobs: Any) -> tuple[Pixels, Any]:
    alter = alter_background if operation in ON_BACKGROUND else alter_composite
    return alter(pixels.copy(), only(operation, **knobs), Seeds(str(seed)))


def test_every_operation_has_its_knob() -> None:
    names = {
        field.name.removesuffix("_probability")
        for field in dataclasses.fields(Recipe)
        if field.name.endswith("_probability")
    }
    assert names - {*COMPOSITION} == {*ON_BACKGROUND, *ON_COMPOSITE, *ON_FIGURE}


@given(st.integers(0, 2**32), st.sampled_from((*ON_BACKGROUND, *ON_COMPOSITE)))
def test_an_operation_changes_the_picture_and_says_so(seed: int, operation: str) -> None:
    pixels = scenery(seed, (90, 70))
    # A gain of 1.000, which the recipe's own range allows, changes nothing.
    knobs = {"saturation": (1.1, 1.5)} if operation == "saturation" else {}
    after, applied = altered(operation, pixels, seed, **knobs)
    assert (after.shape, after.dtype) == (pixels.shape, np.uint8)
    assert [values["operation"] for values in applied] == [operation]
    assert len(applied[0]) > 1
    assert not np.array_equal(after, pixels)


@given(st.integers(0, 2**32))
def test_no_operation_leaves_the_picture_alone(seed: int) -> None:
    pixels = scenery(seed, (90, 70))
    for alter in (alter_background, alter_composite):
        after, applied = alter(pixels.copy(), PLAIN, Seeds(str(seed)))
        assert np.array_equal(after, pixels)
        assert applied == []


def test_operations_happen_as_often_as_their_knobs_say_and_not_together() -> None:
    pixels = scenery(0, (8, 8))
    recipe = PLAIN.replace({"exposure_probability": 0.3, "saturation_probability": 0.5})
    exposed, saturated, both = 0, 0, 0
    for seed in range(2000):
        _, applied = alter_composite(pixels, recipe, Seeds(str(seed)))
        names = {values["operation"] for values in applied}
        exposed += "exposure" in names
        saturated += "saturation" in names
        both += len(names) == 2
    # Five standard deviations.
    assert abs(exposed / 2000 - 0.3) < 0.052
    assert abs(saturated / 2000 - 0.5) < 0.056
    assert abs(both / 2000 - 0.15) < 0.04


@given(st.integers(0, 2**32), st.sampled_from(ON_COMPOSITE))
def test_switching_one_operation_off_leaves_the_values_of_the_others(
    seed: int, operation: str
) -> None:
    pixels = scenery(seed, (60, 60))
    everything = CLASSIC.replace({f"{name}_probability": 1.0 for name in ON_COMPOSITE})
    fewer = everything.replace({f"{operation}_probability": 0.0})
    _, all_applied = alter_composite(pixels, everything, Seeds(str(seed)))
    _, fewer_applied = alter_composite(pixels, fewer, Seeds(str(seed)))
    assert [v for v in all_applied if v["operation"] != operation] == fewer_applied


@given(st.integers(0, 2**32), st.sampled_from([3, 5, 9, 11]), st.booleans())
def test_motion_blur_moves_no_edge(seed: int, kernel: int, upright: bool) -> None:
    step = np.zeros((61, 61), np.uint8)
    step[:, 31:] = 240
    pixels = np.dstack([step.T if upright else step] * 3)
    recipe = PLAIN.replace({"motion_blur_kernel": [kernel, kernel]})
    blurred, _ = motion_blur(pixels, recipe, np.random.default_rng(seed))
    profile = blurred[..., 0].mean(axis=1 if upright else 0)
    # Where a step lies that has as much light behind it as the blurred one has.
    assert abs(profile.sum() / 240 - 30) < 0.05
    assert abs(float(blurred.mean()) - float(pixels.mean())) < 0.5


@pytest.mark.parametrize("gain", [0.6, 1.0])
def test_jitter_is_what_its_values_say(gain: float) -> None:
    same = {"jitter_contrast": [1, 1], "jitter_saturation": [1, 1], "jitter_hue": [0, 0]}
    pixels = scenery(3, (50, 50))
    after, applied = altered("jitter", pixels, 0, jitter_brightness=[gain, gain], **same)
    assert applied[0]["brightness"] == gain
    assert np.abs(after - pixels * gain).max() <= 0.51


def test_jitter_without_saturation_is_grey() -> None:
    after, _ = altered("jitter", scenery(3, (50, 50)), 0, jitter_saturation=[0, 0])
    assert np.ptp(after.astype(int), axis=2).max() <= 1


@pytest.mark.parametrize("variance", [4.0, 100.0])
def test_noise_has_its_variance(variance: float) -> None:
    grey = np.full((400, 400, 3), 128, np.uint8)
    after, _ = altered("noise", grey, 0, noise_variance=[variance, variance])
    # Rounding to whole levels adds a twelfth.
    assert np.var(after.astype(float)) == pytest.approx(variance + 1 / 12, rel=0.03)


def test_fog_only_brightens_and_by_no_more_than_its_thickness() -> None:
    pixels = scenery(3, (50, 50)).astype(int)
    after, applied = altered("fog", pixels.astype(np.uint8), 0, fog=[0.2, 0.2])
    added = after.astype(int) - pixels
    assert added.min() >= 0
    assert (added <= 0.2 * (255 - pixels) + 1.01).all()
    assert applied[0]["thickness"] == 0.2


@pytest.mark.parametrize(("operation", "top"), [("shadow", 0.5), ("background_shadow", 0.7)])
def test_shadows_lie_low_and_take_their_share_of_light(operation: str, top: float) -> None:
    white = np.full((200, 200, 3), 200, np.uint8)
    shaded = np.zeros((200, 200), bool)
    for seed in range(20):
        after, _ = altered(operation, white, seed)
        assert set(np.unique(after)) <= {100, 200}
        shaded |= after[..., 0] == 100
    rows = np.flatnonzero(shaded.any(axis=1))
    assert rows[0] >= 200 * top - 1
    assert rows[-1] >= 190


def test_a_tone_curve_keeps_the_order_of_levels() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for seed in range(20):
        after, _ = altered("tone_curve", ramp, seed)
        curve = after[0, :, 0].astype(int)
        assert (curve[0], curve[-1]) == (0, 255)
        assert (np.diff(curve) >= 0).all()


@given(st.integers(0, 2**32), st.sampled_from(("lens_blur", "resampling", "compression")))
def test_what_a_camera_softens_moves_no_edge(seed: int, operation: str) -> None:
    step = np.zeros((64, 64), np.uint8)
    step[:, 32:] = 240
    after, _ = altered(operation, np.dstack([step] * 3), seed)
    profile = after[..., 0].astype(float).mean(axis=0)
    # Where it passes through the middle: between two pixels, as before.
    crossing = np.interp(120, profile[28:37], np.arange(28, 37))
    assert abs(crossing - 31.5) < 0.3


@given(st.integers(0, 2**32), st.integers(10, 240))
def test_sensor_noise_grows_with_the_light_and_adds_none(seed: int, level: int) -> None:
    flat = np.full((120, 120, 3), level, np.uint8)
    fixed = {"read_noise": [1.5, 1.5], "shot_noise": [0.05, 0.05], "noise_grain": [1.0, 1.0]}
    after, _ = altered("sensor_noise", flat, seed, **fixed)
    expected = np.sqrt(1.5**2 + 0.05 * level + 1 / 12)
    assert abs(after.astype(float).std() / expected - 1) < 0.08
    assert abs(after.astype(float).mean() - level) < 0.15


@given(st.integers(0, 2**32), st.floats(1, 200), st.integers(40, 215))
def test_noise_has_its_variance_and_adds_no_light(seed: int, variance: float, level: int) -> None:
    flat = np.full((120, 120, 3), level, np.uint8)
    after, (values,) = altered("noise", flat, seed, noise_variance=[variance, variance])
    change = after.astype(float) - level
    assert abs(change.var() / (values["variance"] + 1 / 12) - 1) < 0.06
    # Five standard errors.
    assert abs(change.mean()) < 5 * (variance / flat.size) ** 0.5
    assert (change < 0).mean() == pytest.approx((change > 0).mean(), abs=0.03)


@given(st.integers(0, 2**32), st.sampled_from([(0, 3, 3), (1,), (70, 50), (33, 21, 3)]))
def test_a_lookup_is_what_indexing_does(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    pixels, table = rng.integers(0, 256, shape, np.uint8), rng.uniform(-60, 320, 256)
    expected = np.clip(np.rint(table), 0, 255)[pixels]
    before = pixels.copy()
    assert np.array_equal(lookup(pixels, table), expected)
    assert np.array_equal(pixels, before)
    assert replace_levels(pixels, table) is pixels
    assert np.array_equal(pixels, expected)


def test_levels_are_not_replaced_in_a_copy_that_nobody_sees() -> None:
    with pytest.raises(ValueError, match="together in memory"):
        replace_levels(scenery(0, (20, 20))[:, ::2], np.arange(256))


def test_a_stop_doubles_the_light() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    fixed = {"exposure": [1.0, 1.0], "warmth": [0.0, 0.0], "tint": [0.0, 0.0]}
    after, _ = altered("exposure", grey, 0, **fixed)
    light = np.array([((v / 255 + 0.055) / 1.055) ** 2.4 for v in (100, int(after[0, 0, 0]))])
    assert abs(light[1] / light[0] - 2) < 0.02


def test_warmth_is_red_against_blue() -> None:
    grey = np.full((8, 8, 3), 120, np.uint8)
    fixed = {"exposure": [0.0, 0.0], "warmth": [0.5, 0.5], "tint": [0.0, 0.0]}
    red, green, blue = altered("exposure", grey, 0, **fixed)[0][0, 0].tolist()
    assert red > green == 120 > blue


def test_corners_are_darker_and_the_middle_is_not() -> None:
    white = np.full((90, 120, 3), 250, np.uint8)
    after, _ = altered("vignette", white, 0, vignette=[0.3, 0.3])
    assert after[45, 60].min() >= 248
    assert np.abs(after[[0, 0, -1, -1], [0, -1, 0, -1]].astype(float) / 250 - 0.7).max() < 0.03


@pytest.mark.parametrize(
    ("operation", "knobs"), [("greyscale", {}), ("saturation", {"saturation": [0, 0]})]
)
def test_grey_is_luma(operation: str, knobs: dict[str, Any]) -> None:
    for colour, weight in (((200, 0, 0), 0.299), ((0, 200, 0), 0.587), ((0, 0, 200), 0.114)):
        after, _ = altered(operation, np.full((8, 8, 3), colour, np.uint8), 0, **knobs)
        assert np.abs(after - 200 * weight).max() <= 1


def test_defocus_is_a_share_of_the_longer_side() -> None:
    softness = []
    for width in (400, 800):
        step = np.zeros((40, width, 3), np.uint8)
        step[:, width // 2 :] = 200
        after, _ = altered("defocus", step, 0, defocus=[0.02, 0.02])
        softness.append(np.count_nonzero((after[20, :, 0] > 20) & (after[20, :, 0] < 180)))
    assert 8 <= softness[0] <= 0.6 * softness[1] <= 20


@pytest.mark.parametrize(("scale", "kept"), [(0.9, (0.7, 1)), (0.5, (0.3, 0.8)), (0.2, (0, 0.4))])
def test_resampling_takes_what_a_picture_of_its_size_cannot_hold(
    scale: float, kept: tuple[float, float]
) -> None:
    wave = 128 + 90 * np.sin(np.arange(240) * 2 * np.pi / 8)
    pixels = np.repeat(np.tile(wave, (80, 1))[..., None], 3, axis=2).astype(np.uint8)
    after, _ = altered("resampling", pixels, 0, resampling=[scale, scale])
    assert kept[0] <= float(after[10:-10, 10:-10].std() / pixels.std()) <= kept[1]


def test_compression_is_what_its_values_say() -> None:
    pixels = scenery(3, (96, 64))
    knobs = {"compression_quality": [30, 90], "compression_generations": [2, 2]}
    after, applied = altered("compression", pixels, 1, **knobs)
    first, second = applied[0]["qualities"]
    assert first != second
    for quality in (first, second):
        data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(after, pixels)
