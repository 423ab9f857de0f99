"""Labels beside the mask, all derived from what was blended."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

UNKNOWN = 128
# Mattes made by networks are hardly anywhere quite opaque, nor quite transparent.
_OPAQUE = 250
_TRANSPARENT = 4


def trimap(mask: Pixels, radius: int) -> Pixels:
    """Divide the frame into background, unknown and figure.

    The unknown band is where alpha is partial, from 5 to 249, widened by a disc: Xu et al., "Deep
    image matting", 2017, who draw its radius at random.

    Args:
        mask: uint8 (H, W), alpha.
        radius: px.

    Returns:
        uint8 (H, W): 0 background, 128 unknown, 255 figure.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    # Beyond the frame nothing changes: its border alone is no edge of a figure.
    figure, background = (
        cv2.erode(area.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE)
        for area in (mask >= _OPAQUE, mask <= _TRANSPARENT)
    )
    labels = np.full(mask.shape, UNKNOWN, dtype=np.uint8)
    labels[figure > 0] = 255
    labels[background > 0] = 0
    return labels


def straight_foreground(
    figure: Pixels, position: tuple[int, int], frame: tuple[int, int]
) -> Pixels:
    """Return the colours of a figure, freed of its alpha.

    Args:
        figure: uint8 (h, w, 4), premultiplied RGBA, wholly inside of the frame.
        position: (left, top) of the figure.
        frame: (width, height), px.

    Returns:
        uint8 (H, W, 3), RGB, black where alpha is 0.
    """
    left, top = position
    height, width = figure.shape[:2]
    colours = np.zeros((frame[1], frame[0], 3), dtype=np.uint8)
    if height and width:
        straight = cv2.cvtColor(figure, cv2.COLOR_mRGBA2RGBA)
        straight[figure[..., 3] == 0] = 0
        colours[top : top + height, left : left + width] = straight[..., :3]
    return colours
