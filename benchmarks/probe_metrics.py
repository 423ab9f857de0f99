"""How good mattes are, and whether two lists of scores differ. Needs NumPy and OpenCV alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Alpha = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TOLERANCE = 0.0075
"""How far two boundaries may lie apart, share of the diagonal: Csurka et al., see `boundary_f`."""

# The sign-flip test goes through two to the power of so many patterns.
MOST_SEEDS = 16


@dataclass(frozen=True)
class Scores:
    """Means over pictures: two shares from 0 to 1, higher is better, and an error, lower is."""

    iou: float
    mae: float
    boundary: float


def mean_scores(predicted: Alpha, true: Alpha) -> Scores:
    """Score mattes, float32 (n, H, W) from 0 to 1, picture by picture, and average."""
    each = [
        (
            iou(guess > 0.5, truth > 0.5),
            float(np.abs(guess - truth).mean(dtype=np.float64)),
            boundary_f(guess > 0.5, truth > 0.5),
        )
        for guess, truth in zip(predicted, true, strict=True)
    ]
    return Scores(*(float(value) for value in np.mean(each, axis=0)))


def iou(predicted: Mask, true: Mask) -> float:
    """Return the intersection over the union; 1 where both are empty."""
    union = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / union if union else 1.0


def boundary_f(predicted: Mask, true: Mask) -> float:
    """Return the F-measure of the boundary: 0 apart, 1 together, or both without any.

    Precision is the share of the predicted boundary within `TOLERANCE` of the true one, at least
    one pixel; recall is the reverse. After Csurka, Larlus and Perronnin, "What is a good evaluation
    measure for semantic segmentation?", BMVC 2013, who allow 0.75 % of the diagonal; Perazzi et
    al., "A benchmark dataset and evaluation methodology for video object segmentation", CVPR 2016,
    made it customary. The frame is no boundary.
    """
    found, wanted = _boundary(predicted), _boundary(true)
    if not found.any() or not wanted.any():
        return float(found.any() == wanted.any())
    reach = max(1.0, TOLERANCE * math.hypot(*true.shape))
    precision = np.count_nonzero(_distance(wanted)[found] <= reach) / np.count_nonzero(found)
    recall = np.count_nonzero(_distance(found)[wanted] <= reach) / np.count_nonzero(wanted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: Mask) -> Mask:
    """Return the pixels of the mask that have a neighbour outside of it."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return mask & (cv2.erode(mask.astype(np.uint8), cross) == 0)


def _distance(boundary: Mask) -> npt.NDArray[Any]:
    """Return each pixel's distance from the boundary, px."""
    return cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return how often chance signs give a mean at least as far from 0 as that of `differences`.

    Exact and two-sided, after Fisher, "The design of experiments", 1935: never under
    2 / 2 ** len(differences).
    """
    values = np.asarray(differences, np.float64)
    signs = np.array(list(itertools.product((-1, 1), repeat=len(values))))
    # A sum in another order may differ in its last bit.
    return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12))
