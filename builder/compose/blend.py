"""Resampling on premultiplied alpha, and the blend."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from builder.compose.camera import linear_of, srgb_of
from builder.compose.figure import Figure
from builder.compose.placement import Placement, pixels_to_frame
from builder.compose.resample import STRIP, enlarge, shrink, soften

Pixels = npt.NDArray[np.uint8]


def resize_background(background: Pixels, placement: Placement) -> Pixels:
    """Return the part of the background that fills the frame, at the frame's size.

    Args:
        background: uint8 (H, W, 3), RGB.
        placement: `background_box` and `frame` matter.

    Returns:
        uint8 (frame height, frame width, 3), a new array.
    """
    left, top, right, bottom = placement.background_box
    part = background[top:bottom, left:right]
    width, height = placement.frame
    if part.shape[:2] == (height, width):
        return np.array(part, order="C")
    if width * height < part.shape[0] * part.shape[1]:
        return shrink(part, (width, height))
    return enlarge(part, (width, height))


def warp(figure: Figure, placement: Placement) -> tuple[Pixels, tuple[int, int]]:
    """Resample the figure into the frame.

    Works on premultiplied colours with non-negative weights only (averages, then bilinear), so a
    colour never exceeds its alpha and no fringe can appear; see Porter and Duff, "Compositing
    digital images", 1984. Shrinking averages first: bilinear sampling alone would alias.

    Returns:
        uint8 (h, w, 4), premultiplied RGBA, the part of the figure inside the frame, and the
        (left, top) of that part in the frame.
    """
    softened, block = soften(figure.pixels, min(placement.scale, 1.0))
    height, width = softened.shape[:2]
    (a, b, x), (c, d, y) = pixels_to_frame(figure, placement.matrix).tolist()
    wide, tall = block * width, block * height
    left, right = _extent(x, a * wide, b * tall, placement.frame[0])
    top, bottom = _extent(y, c * wide, d * tall, placement.frame[1])
    # OpenCV puts pixel centres at whole numbers; ours lie at +0.5.
    to_part = [
        [block * a, block * b, x + block * (a + b) / 2 - 0.5 - left],
        [block * c, block * d, y + block * (c + d) / 2 - 0.5 - top],
    ]
    warped = cv2.warpAffine(
        softened,
        np.array(to_part),
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    return np.asarray(warped, dtype=np.uint8), (left, top)


def _extent(start: float, one: float, other: float, length: int) -> tuple[int, int]:
    """Return from where to where a moved picture reaches along one side of the frame.

    `one` and `other` are how far its own sides take it.
    """
    least = start + min(one, 0) + min(other, 0)
    most = start + max(one, 0) + max(other, 0)
    return max(math.floor(least) - 1, 0), min(math.ceil(most) + 1, length)


def blend(
    background: Pixels, figure: Pixels, position: tuple[int, int], *, linear: bool = False
) -> Pixels:
    """Lay a premultiplied figure over a background, in place.

    Mixes 8-bit sRGB values, as alpha mattes of pictures are mostly defined; or linear light, as a
    lens mixes what lies on one pixel. The two differ where alpha is partial alone.

    Args:
        background: uint8 (H, W, 3), RGB; changed.
        figure: uint8 (h, w, 4), premultiplied RGBA, wholly inside.
        position: (left, top) of the figure.
        linear: whether to mix linear light.

    Returns:
        uint8 (H, W): the mask, 255 where only the figure is visible.
    """
    left, top = position
    height, width = figure.shape[:2]
    mask = np.zeros(background.shape[:2], dtype=np.uint8)
    if not height or not width:
        return mask
    alpha = mask[top : top + height, left : left + width]
    region = background[top : top + height, left : left + width]
    for start in range(0, height, STRIP):
        rows = slice(start, start + STRIP)
        cv2.extractChannel(figure[rows], 3, dst=alpha[rows])
        x, _, wide, _ = cv2.boundingRect(alpha[rows])
        part = rows, slice(x, x + wide)
        if wide:
            _lay_over(region[part], figure[part], alpha[part], linear=linear)
    return mask


def _lay_over(region: Pixels, figure: Pixels, alpha: Pixels, *, linear: bool) -> None:
    mixed = _mixed_light(region, figure, alpha) if linear else None
    covered = cv2.cvtColor(cv2.bitwise_not(alpha), cv2.COLOR_GRAY2RGB)
    cv2.multiply(region, covered, covered, scale=1 / 255)
    cv2.add(cv2.cvtColor(figure, cv2.COLOR_RGBA2RGB), covered, region)
    if mixed is not None:
        region[(alpha > 0) & (alpha < 255)] = mixed


def _mixed_light(region: Pixels, figure: Pixels, alpha: Pixels) -> Pixels:
    """Return uint8 (n, 3): the pixels of partial alpha, mixed in linear light."""
    partial = (alpha > 0) & (alpha < 255)
    share = alpha[partial][:, None] / 255
    own = np.minimum(figure[partial][:, :3] / share, 255)
    light = share * linear_of(own) + (1 - share) * linear_of(region[partial])
    return np.rint(srgb_of(light)).astype(np.uint8)
