"""What is encoded as PNG is read back to the level by decoders that share no code."""

from __future__ import annotations

import io

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from builder.encoding import encode_png
from tests.kit import scenery


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([(), (3,)]),
    st.sampled_from([1, 2, 255]),
    st.integers(0, 2**32 - 1),
)
def test_any_picture_is_read_back(
    width: int, height: int, channels: tuple[int, ...], levels: int, seed: int
) -> None:
    shape = (height, width, *channels)
    pixels = np.random.default_rng(seed).integers(0, levels, shape, dtype=np.uint8)
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.mode == ("RGB" if channels else "L")
        assert np.array_equal(np.asarray(picture), pixels)
    assert np.array_equal(imagecodecs.png_decode(data).reshape(shape), pixels)
    opencv = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(opencv[..., ::-1] if channels else opencv, pixels)


def test_a_part_of_a_larger_picture_is_read_back() -> None:
    part = scenery(4, (120, 90))[10:50, 20:90][:, ::-1]
    assert np.array_equal(imagecodecs.png_decode(encode_png(part)), part)


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_takes_little_more_room_than_libpng_makes_of_it(seed: int) -> None:
    view = scenery(seed, (320, 240))
    held = io.BytesIO()
    Image.fromarray(view).save(held, "PNG")
    assert len(encode_png(view)) < 1.3 * len(held.getvalue())
