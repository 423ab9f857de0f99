"""Layers: every kind of picture that is used, and every kind that is left out, with its reason."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from builder.decoding import decode_background, decode_human
from builder.errors import LayerError, SourceError
from builder.hashing import MIRRORED_BITS, perceptual_hash
from builder.layers import LeftOut, admit, admit_all
from builder.recipe import CLASSIC
from builder.render import decode_figure
from builder.sources.layer import Layer, Role
from tests.kit import Pixels, candidate, encoded, jpeg, png, portrait, scenery
from tests.pictures import png16, png_header, stored_turned

LIMIT = CLASSIC.max_pixels
FIGURE = portrait(0)
VIEW = scenery(0)
GREY = np.asarray(Image.fromarray(VIEW).convert("L"))
FIGURE_GREY = np.dstack([FIGURE[..., 0]] * 3 + [FIGURE[..., 3]])
KEYED = np.where(FIGURE[..., 3:] >= 128, FIGURE[..., :3] | 1, 0).astype(np.uint8)


def opaque(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB")


def bits(pixels: Pixels) -> npt.NDArray[np.uint8]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash(pixels)), np.uint8))


def apart(first: Pixels, second: Pixels) -> int:
    return int(np.count_nonzero(bits(first) != bits(second)))


def reason(role: Role, data: bytes) -> str:
    result = admit(candidate(role, data), CLASSIC)
    assert isinstance(result, LeftOut)
    assert result.reason.isprintable()
    return result.reason


HUMANS = {
    "RGBA": (png(FIGURE), FIGURE),
    "RGBA, WebP": (encoded(FIGURE, "WEBP", lossless=True, exact=True), FIGURE),
    "RGBA, TIFF": (encoded(FIGURE, "TIFF", compression="tiff_lzw"), FIGURE),
    "LA": (png(Image.fromarray(FIGURE_GREY).convert("LA")), FIGURE_GREY),
    "RGBA, 16-bit": (png16(FIGURE), FIGURE),
    "LA, 16-bit": (png16(FIGURE[..., [0, 3]]), FIGURE_GREY),
}


@pytest.mark.parametrize("kind", HUMANS)
def test_humans_are_decoded_to_straight_rgba(kind: str) -> None:
    data, expected = HUMANS[kind]
    decoded = decode_human(data, LIMIT)
    assert decoded.dtype == np.uint8
    visible = expected[..., 3] > 0
    assert np.array_equal(decoded[..., 3], expected[..., 3])
    assert np.abs(decoded[visible].astype(int) - expected[visible]).max() <= 1
    assert isinstance(admit(candidate("human", data), CLASSIC), Layer)


@pytest.mark.parametrize(
    "data",
    [
        png(Image.fromarray(FIGURE).quantize(32)),
        encoded(FIGURE, "GIF"),
        encoded(opaque(KEYED), "PNG", transparency=(0, 0, 0)),
        png16(KEYED, transparent=(0, 0, 0)),
        encoded(opaque(KEYED).convert("L"), "PNG", transparency=0),
        png16(KEYED[..., :1], transparent=(0,)),
    ],
    ids=["palette", "GIF", "RGB key", "RGB key, 16-bit", "L key", "L key, 16-bit"],
)
def test_humans_may_have_a_transparent_colour_instead_of_an_alpha_channel(data: bytes) -> None:
    alpha = decode_human(data, LIMIT)[..., 3]
    assert np.mean((alpha >= 128) == (FIGURE[..., 3] >= 128)) > 0.9
    assert isinstance(admit(candidate("human", data), CLASSIC), Layer)


BACKGROUNDS: dict[str, tuple[bytes, Any]] = {
    "RGB": (png(VIEW), VIEW),
    "RGB, WebP": (encoded(VIEW, "WEBP", lossless=True), VIEW),
    "RGB, BMP": (encoded(VIEW, "BMP"), VIEW),
    "RGB, TIFF": (encoded(VIEW, "TIFF"), VIEW),
    "RGB, 16-bit": (png16(VIEW), VIEW),
    "RGB, JPEG": (jpeg(VIEW, quality=98), VIEW),
    "CMYK, JPEG": (jpeg(opaque(VIEW).convert("CMYK"), quality=98), VIEW),
    "L": (png(GREY), np.dstack([GREY] * 3)),
    "L, 16-bit": (png16(GREY[..., None]), np.dstack([GREY] * 3)),
    "L, 16-bit TIFF": (
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        np.dstack([GREY] * 3),
    ),
    "P": (png(opaque(VIEW).quantize(256)), VIEW),
    "RGBA": (png(np.dstack([VIEW, np.full_like(GREY, 255)])), VIEW),
    "RGBA, half": (png(np.dstack([VIEW, np.full_like(GREY, 128)])), VIEW // 2 + 64),
}


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds_are_decoded_to_rgb(kind: str) -> None:
    data, expected = BACKGROUNDS[kind]
    decoded = decode_background(data, LIMIT)
    assert decoded.shape == expected.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - expected).mean() < 12
    assert isinstance(admit(candidate("background", data), CLASSIC), Layer)


def test_mid_grey_shows_through_a_background_whatever_colour_hides_there() -> None:
    view = np.dstack([VIEW, np.where(np.arange(160) < 80, 0, 255) + np.zeros_like(GREY)])
    decoded = decode_background(png(view.astype(np.uint8)), LIMIT)
    assert (decoded[:, :80] == 128).all()
    assert np.array_equal(decoded[:, 80:], VIEW[:, 80:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_both_roles(orientation: int) -> None:
    human = admit(candidate("human", stored_turned(FIGURE, orientation)), CLASSIC)
    assert isinstance(human, Layer)
    assert (human.width, human.height) == (96, 128)
    for image_format in ("PNG", "WEBP", "TIFF"):
        turned = stored_turned(FIGURE, orientation, image_format)
        assert np.array_equal(decode_human(turned, LIMIT), FIGURE), image_format
    photo = decode_background(stored_turned(VIEW, orientation, "JPEG", quality=98), LIMIT)
    assert photo.shape == VIEW.shape
    assert np.abs(photo.astype(int) - VIEW).mean() < 8
    grey = stored_turned(GREY.astype(np.uint16) * 257, orientation)
    assert np.array_equal(decode_background(grey, LIMIT)[..., 0], GREY)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "GIF"])
def test_of_an_animation_the_first_frame_counts(image_format: str) -> None:
    others = [Image.fromarray(portrait(seed)) for seed in (1, 2)]
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    moving = encoded(FIGURE, image_format, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(moving)) as picture:
        assert picture.n_frames == 3
    still = decode_human(encoded(FIGURE, image_format, **options), LIMIT)
    visible = still[..., 3] > 0
    assert np.abs(decode_human(moving, LIMIT).astype(int) - still)[visible].mean() < 2


def sized(width: int, height: int) -> bytes:
    """Return a PNG whose middle is opaque."""
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : -height // 4 or None, width // 4 : -width // 4 or None] = 255
    return png(np.dstack([np.full((height, width, 3), 99, np.uint8), alpha]))


def with_alpha(alpha: Any) -> bytes:
    pixels = FIGURE.copy()
    pixels[..., 3] = alpha
    return png(pixels)


SPECK = np.pad(np.full((9, 90), 255, np.uint8), ((60, 59), (3, 3)))
LEFT_OUT: dict[str, tuple[Role, bytes, str]] = {
    "nothing": ("human", b"", "not a picture"),
    "text": ("human", b"no picture at all", "not a picture"),
    "SVG": ("background", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a picture"),
    "web page": ("background", b"<!DOCTYPE html><html></html>", "not a picture"),
    "PostScript": ("background", encoded(VIEW, "EPS"), "not a picture"),
    "cut PNG": ("human", png(FIGURE)[:2000], "broken picture"),
    "cut JPEG": ("background", jpeg(VIEW)[:2000], "broken picture"),
    "cut WebP": ("human", encoded(FIGURE, "WEBP")[:600], "broken picture"),
    "no alpha": ("human", png(VIEW), "no alpha channel"),
    "JPEG human": ("human", jpeg(VIEW), "no alpha channel"),
    "transparent": ("human", with_alpha(0), "alpha is empty"),
    "haze alone": ("human", with_alpha(20), "alpha is empty"),
    "opaque": ("human", with_alpha(255), "alpha is fully opaque"),
    "transparent background": ("background", with_alpha(0), "wholly transparent"),
    "one pixel": ("background", png(VIEW[:1, :1]), "too small: 1x1, under 64 px"),
    "one pixel, human": ("human", png(FIGURE[:1, :1]), "too small: 1x1, under 64 px"),
    "one column": ("background", png(np.zeros((30_000, 1, 3), np.uint8)), "too small: 1x30000"),
    "one row, human": ("human", sized(30_000, 3), "too small: 30000x3"),
    "small": ("human", sized(160, 63), "too small: 160x63, under 64 px"),
    "small figure": ("human", sized(100, 100), "too small: the figure is 50x50, under 64 px"),
    "thin figure": ("human", with_alpha(np.eye(128, 96, dtype=np.uint8) * 255), "too thin"),
    "flat figure": ("human", with_alpha(SPECK), "too narrow: 90x9, over 8 to 1"),
    "ribbon": ("background", png(np.zeros((64, 40_000, 3), np.uint8)), "too narrow: 40000x64"),
    "huge": ("background", png_header(10_000, 10_000), "over the limit of 80,000,000 pixels"),
    "bomb": ("human", png_header(60_000, 60_000), "over the limit of 80,000,000 pixels"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_cannot_be_used_is_left_out_with_its_reason(kind: str) -> None:
    role, data, said = LEFT_OUT[kind]
    assert reason(role, data).startswith(said)


@pytest.mark.filterwarnings("error")
def test_a_bomb_is_named_even_where_warnings_are_errors() -> None:
    assert reason("human", png_header(10_000, 10_000)).startswith("over the limit")


def test_postscript_never_reaches_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: called.append(args))
    reason("background", encoded(VIEW, "EPS"))
    assert not called


WHOLE: list[tuple[Role, bytes]] = [
    ("human", png(FIGURE)),
    ("human", encoded(FIGURE, "WEBP")),
    ("human", encoded(FIGURE, "TIFF", compression="tiff_lzw")),
    ("human", encoded(FIGURE, "GIF")),
    ("background", jpeg(VIEW)),
    ("background", jpeg(opaque(VIEW).convert("CMYK"))),
    ("background", encoded(VIEW, "BMP")),
]


@settings(max_examples=150)
@given(which=st.sampled_from(WHOLE), draw=st.data())
def test_damaged_pictures_are_used_or_left_out_and_nothing_else(
    which: tuple[Role, bytes], draw: st.DataObject
) -> None:
    role, whole = which
    data = bytearray(whole[: draw.draw(st.integers(0, len(whole)))])
    places = st.tuples(st.integers(0, max(0, len(data) - 1)), st.integers(0, 255))
    for place, value in draw.draw(st.lists(places, max_size=4)):
        data[place : place + 1] = [value]
    result = admit(candidate(role, bytes(data)), CLASSIC)
    assert isinstance(result, (Layer, LeftOut))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("role", "whole"), WHOLE)
def test_no_picture_that_ends_early_is_used(role: Role, whole: bytes, share: float) -> None:
    decode = decode_human if role == "human" else decode_background
    with pytest.raises(LayerError):
        decode(whole[: int(len(whole) * share)], LIMIT)


def test_of_identical_bytes_one_is_kept_and_a_human_rather_than_a_background() -> None:
    figure, view = png(FIGURE), png(VIEW)
    candidates = [
        candidate("background", figure, "0.png"),
        candidate("human", figure, "b.png"),
        candidate("human", figure, "a.png"),
        candidate("background", view, "view.png"),
    ]
    for order in (candidates, candidates[::-1]):
        admitted = admit_all(order, CLASSIC, threads=2, progress=False)
        assert [layer.name for layer in admitted.layers] == ["a.png", "view.png"]
        assert [(out.role, out.name, out.reason) for out in admitted.left_out] == [
            ("background", "0.png", "byte-identical duplicate of a.png"),
            ("human", "b.png", "byte-identical duplicate of a.png"),
        ]


def test_the_rest_goes_on_unless_strict() -> None:
    candidates = [
        candidate("human", png(FIGURE), "human.png"),
        candidate("human", b"", "empty.png"),
        candidate("background", png(VIEW), "view.png"),
    ]
    admitted = admit_all(candidates, CLASSIC, progress=False)
    assert [layer.role for layer in admitted.layers] == ["human", "background"]
    assert [out.name for out in admitted.left_out] == ["empty.png"]
    with pytest.raises(SourceError, match=r"1 pictures cannot be used.*empty\.png: not a picture"):
        admit_all(candidates, CLASSIC, strict=True, progress=False)
    assert not admit_all(candidates[::2], CLASSIC, strict=True, progress=False).left_out


def test_nothing_usable_left_is_an_error_that_says_what_was_found() -> None:
    human = candidate("human", png(FIGURE), "human.png")
    opaque_one = candidate("human", with_alpha(255), "opaque.png")
    view = candidate("background", png(VIEW), "view.png")
    with pytest.raises(SourceError, match=r"No usable human in 2 .*opaque\.png: alpha is fully"):
        admit_all([opaque_one, view], CLASSIC, progress=False)
    with pytest.raises(SourceError, match=r"No usable background in 1 .*No background was among"):
        admit_all([human], CLASSIC, progress=False)
    many = [candidate("human", b"", f"{index:02d}.png") for index in range(13)]
    with pytest.raises(SourceError, match=r"09\.png: not a picture [^;]*; and 3 more"):
        admit_all([*many, view], CLASSIC, progress=False)


def test_an_id_tells_bytes_not_names() -> None:
    first, second = (
        admit(candidate("human", png(FIGURE), name), CLASSIC) for name in ("a.png", "b.png")
    )
    other = admit(candidate("human", png(portrait(1))), CLASSIC)
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    assert isinstance(other, Layer)
    assert first.id == second.id != other.id


def test_a_perceptual_hash_hardly_changes_under_resizing_recompression_and_gain() -> None:
    view = scenery(5, (640, 480))
    small = np.asarray(Image.fromarray(view).resize((320, 240), Image.Resampling.LANCZOS))
    again = decode_background(jpeg(view, quality=60), LIMIT)
    darker = (view * 0.7).astype(np.uint8)
    assert max(apart(view, other) for other in (small, again, darker)) <= 20
    assert apart(view, scenery(6, (640, 480))) > 60


def test_mirroring_inverts_the_odd_columns_of_a_perceptual_hash() -> None:
    for pixels in (scenery(5, (640, 480)), portrait(5, (384, 512))):
        mirrored = np.ascontiguousarray(pixels[:, ::-1])
        assert np.count_nonzero(bits(mirrored) != (bits(pixels) ^ MIRRORED_BITS)) <= 4


def test_what_the_check_found_to_clean_is_what_a_build_takes_away() -> None:
    spotted = portrait(5, (300, 400))
    spotted[4:12, 4:12, 3] = 200
    spotted[20:40, 250:280, 3] = 7
    layer = admit(candidate("human", png(spotted)), CLASSIC)
    assert isinstance(layer, Layer)
    assert layer.cleaning is not None
    assert layer.cleaning.places
    known = decode_figure(layer, CLASSIC)
    looked_for = decode_figure(dataclasses.replace(layer, cleaning=None), CLASSIC)
    assert known.box == looked_for.box
    assert np.array_equal(known.pixels, looked_for.pixels)
    assert known.box[0] > 12
