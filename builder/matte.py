"""The alpha matte of a human: cleaned of what LayerDiffuse leaves behind, and measured."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from builder.recipe import Recipe

Matte = npt.NDArray[np.uint8]

# Under 4 of 255 alpha shows nowhere, yet LayerDiffuse spreads it over half the picture.
_INVISIBLE = 4
# Strands fade below haze but not below this: parts that touch at this level belong together.
_CONNECTED = 8
_SOLID = 128


def clean_matte(alpha: Matte, recipe: Recipe) -> Matte:
    """Remove detached specks and faint haze, and leave hair as it is.

    A threshold on alpha alone cannot tell haze from the tip of a strand; distance can: a strand's
    faint pixels lie next to stronger ones, haze stretches far beyond. Haze is faded out between
    half of `haze_reach` and the whole of it, so that no new edge appears.

    Args:
        alpha: uint8 (H, W), 0 transparent to 255 opaque.
        recipe: `speck_area`, `haze_alpha` and `haze_reach` matter.

    Returns:
        uint8 (H, W). All zero only if no pixel of `alpha` is half opaque.
    """
    kept = _without_specks(alpha, recipe.speck_area)
    cleaned = _without_haze(kept, recipe)
    # Haze may have been all that held a speck, and what is left of it lies around the speck.
    loose = (cleaned > 0) & (_without_specks(cleaned, recipe.speck_area) == 0)
    if loose.any():
        cleaned = _without_haze(np.where(loose, 0, kept).astype(np.uint8), recipe)
    return cleaned


def _without_haze(kept: Matte, recipe: Recipe) -> Matte:
    reach = max(2.0, recipe.haze_reach * max(kept.shape))
    strong = kept >= max(recipe.haze_alpha, _INVISIBLE)
    if not strong.any():
        return np.zeros_like(kept)
    distance = cv2.distanceTransform((~strong).view(np.uint8), cv2.DIST_L2, 3)
    fade = np.clip(2 - distance * (2 / reach), 0, 1)
    faded: Matte = np.rint(kept * fade).astype(np.uint8)
    faded[faded < _INVISIBLE] = 0
    return faded


def _without_specks(alpha: Matte, speck_area: float) -> Matte:
    """Drop each connected part whose solid area is under `speck_area` of the largest part's."""
    parts, labels = cv2.connectedComponents((alpha >= _CONNECTED).view(np.uint8), connectivity=8)
    solid = np.bincount(labels[alpha >= _SOLID], minlength=parts)
    solid[0] = 0
    keep = solid >= max(1.0, speck_area * float(solid.max()))
    # Below the level of connection no part is told from another; distance decides later.
    keep[0] = True
    kept: Matte = np.where(keep[labels], alpha, 0).astype(np.uint8)
    return kept


def bounding_box(alpha: Matte) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the pixels above 0; right and bottom are exclusive.

    All zero where no pixel is above 0.
    """
    left, top, width, height = cv2.boundingRect((alpha > 0).view(np.uint8))
    return left, top, left + width, top + height
