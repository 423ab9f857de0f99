"""Random figures of which is known where they were cut, and how they would have gone on there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from hypothesis import strategies as st

from builder.cuts import SIDES, Side
from tests.kit import Pixels


@dataclass(frozen=True)
class Person:
    """A figure on a canvas of three by three times its picture, which is the middle ninth.

    Attributes:
        whole: uint8 (3 H, 3 W), the alpha matte of all of the figure.
        width, height: size of the picture, px.
        padding: px of transparency that were added to the picture after it was cut.
        cut: the sides on which the picture's border cuts the figure.
        seed: of the colours.
    """

    whole: Pixels
    width: int
    height: int
    padding: int
    cut: frozenset[Side]
    seed: int

    @property
    def alpha(self) -> Pixels:
        """The matte as the picture holds it, uint8 (height + 2 padding, width + 2 padding)."""
        inside = self.whole[self.height : 2 * self.height, self.width : 2 * self.width]
        return np.pad(inside, self.padding)

    @property
    def rgba(self) -> Pixels:
        """The picture, with garbage for colours where nothing shows."""
        alpha = self.alpha
        colours = np.random.default_rng(self.seed).integers(0, 256, (*alpha.shape, 3), np.uint8)
        return np.dstack([colours, alpha])

    def whole_in_frame(
        self, matrix: list[list[float]], frame: tuple[int, int], flip: bool
    ) -> Pixels:
        """Return the matte of the whole figure, uint8, placed as the picture was."""
        whole = self.whole[:, ::-1] if flip else self.whole
        to_frame = np.array(matrix)
        # Pixel centres lie at +0.5, and the picture's corner at (width, height) of the canvas.
        corner = np.array([self.width - self.padding, self.height - self.padding]) - 0.5
        to_frame[:, 2] -= to_frame[:, :2] @ corner + 0.5
        # Beyond the canvas the figure goes on as it does at its border.
        return np.asarray(
            cv2.warpAffine(
                np.ascontiguousarray(whole),
                to_frame,
                frame,
                flags=cv2.INTER_AREA,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )


def draw(width: int, height: int, cut: frozenset[Side], padding: int, seed: int) -> Person:
    """Draw a body in the middle of the picture with a limb out of each side that is to be cut."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((3 * height, 3 * width), np.uint8)
    centre = np.array([1.5 * width, 1.5 * height])
    size = (width * rng.uniform(0.3, 0.75), height * rng.uniform(0.3, 0.75))
    cv2.ellipse(whole, (centre.tolist(), size, 0), 255, -1, cv2.LINE_AA)
    ends = {"left": (0, 1.5), "right": (3, 1.5), "top": (1.5, 0), "bottom": (1.5, 3)}
    for side in cut:
        end = np.array(ends[side]) * (width, height)
        across = size[1] if side in ("left", "right") else size[0]
        half = max(16.0, across * rng.uniform(0.3, 0.45))
        # Limbs widen: an edge along an axis would be a cut itself, for all that anyone can tell.
        sideways = np.array([0.0, 1.0] if side in ("left", "right") else [1.0, 0.0])
        corners = [
            centre - half * sideways,
            centre + half * sideways,
            end + 2 * half * sideways,
            end - 2 * half * sideways,
        ]
        cv2.fillPoly(whole, [np.rint(corners).astype(np.int32)], 255, cv2.LINE_AA)
    return Person(cv2.GaussianBlur(whole, (0, 0), 0.8), width, height, padding, cut, seed)


persons = st.builds(
    draw,
    width=st.integers(100, 360),
    height=st.integers(100, 360),
    cut=st.frozensets(st.sampled_from(SIDES)),
    padding=st.sampled_from([0, 0, 1, 7]),
    seed=st.integers(0, 2**32),
)
