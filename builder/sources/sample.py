"""Layers drawn by code, for trying the tool, for tests and for benchmarks: no download, any number.

A drawing depends on its seed, role, index and size alone: the third of five is the third of ten.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from builder.errors import SourceError
from builder.portable import portable
from builder.sources.drawing.background import draw_background
from builder.sources.drawing.human import draw_human
from builder.sources.layer import Candidate

MIN_LONGEST = 128
"""Smaller drawings would fall under the least size of a layer."""

# Spelled out, since the order of an enumeration must never change a drawing.
_HUMAN_STREAM = 1
_BACKGROUND_STREAM = 2


@dataclass(frozen=True)
class DrawnHuman:
    """A human that is drawn each time it is read; `longest` bounds its longer side, px."""

    index: int
    seed: int
    longest: int

    @portable
    def read(self) -> bytes:
        """Return a PNG with an alpha channel, the same bytes each time."""
        rng = np.random.default_rng([self.seed, _HUMAN_STREAM, self.index])
        return _png(draw_human(rng, self.longest))


@dataclass(frozen=True)
class DrawnBackground:
    """A background that is drawn each time it is read; `longest` bounds its longer side, px."""

    index: int
    seed: int
    longest: int

    @portable
    def read(self) -> bytes:
        """Return an opaque PNG, the same bytes each time."""
        rng = np.random.default_rng([self.seed, _BACKGROUND_STREAM, self.index])
        return _png(draw_background(rng, self.longest))


def sample_candidates(
    humans: int = 24, backgrounds: int = 24, *, seed: int = 0, longest: int = 1024
) -> list[Candidate]:
    """Return drawn humans, then drawn backgrounds. Nothing is drawn before it is read.

    Args:
        humans, backgrounds: how many of each, 0 and up.
        seed: 0 and up; another seed gives other drawings.
        longest: upper bound of the drawings' longer sides, px, 128 and up.

    Raises:
        SourceError: an argument is out of its range.
    """
    if min(humans, backgrounds) < 0:
        raise SourceError(
            f"{humans} humans and {backgrounds} backgrounds cannot be drawn: give 0 or more."
        )
    if seed < 0:
        raise SourceError(f"The sample's seed cannot be {seed}: give 0 or more.")
    if longest < MIN_LONGEST:
        raise SourceError(
            f"The sample cannot be drawn at {longest} px: give {MIN_LONGEST} px or more."
        )
    return [
        Candidate("human", f"sample/humans/{index:05d}.png", DrawnHuman(index, seed, longest))
        for index in range(humans)
    ] + [
        Candidate(
            "background",
            f"sample/backgrounds/{index:05d}.png",
            DrawnBackground(index, seed, longest),
        )
        for index in range(backgrounds)
    ]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W, 3 or 4) as a PNG, uncompressed: made anew at each reading, never kept."""
    order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    uncompressed = [cv2.IMWRITE_PNG_COMPRESSION, 0]
    done, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, order), uncompressed)
    if not done:
        raise SourceError("OpenCV could not encode a drawing as PNG.")
    return encoded.tobytes()
