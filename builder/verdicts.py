"""Verdicts on a layer, given in one place: what `inspect` rejects is what `build` leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from builder.cuts import Side, find_cuts
from builder.errors import LayerError
from builder.matte import Matte, bounding_box, clean_matte, cleaning_of
from builder.measures import Measures, Pixels, measure_background, measure_human
from builder.recipe import DOUBTS, Recipe
from builder.sources.layer import Cleaning, Role

Verdict = Literal["ok", "clean", "reject"]

DUPLICATE = "byte-identical duplicate"
EXCLUDED = "excluded"

_OPAQUE = 250
_EMPTY_SHARE = 0.001
# Humans up to here were placed on every background up to here; beyond 10 some have no place.
_LONGEST_ASPECT = 8
# How the reasons for rejections begin, but for those that a source gives.
_KINDS = (
    "too small",
    "too narrow",
    "too thin",
    "no alpha channel",
    "alpha is fully opaque",
    "alpha is empty",
    "wholly transparent",
    "floating-point pixels",
    "over the limit",
    "not a picture",
    "broken picture",
    DUPLICATE,
    EXCLUDED,
    *DOUBTS,
)


@dataclass(frozen=True)
class Finding:
    """Something wrong with a layer.

    Attributes:
        kind: one of a few words, the same for all findings alike.
        text: what a person reads; mostly it begins with the kind.
        rejects: whether the layer is left out for it.
    """

    kind: str
    text: str
    rejects: bool = False


def rejection(text: str) -> Finding:
    """Return what a layer is left out for."""
    return Finding(kind_of(text), text, rejects=True)


def kind_of(reason: str) -> str:
    """Return the kind of a reason for leaving a layer out."""
    return next((kind for kind in _KINDS if reason.startswith(kind)), "cannot be read")


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return `reject` for what is not used, `clean` for what is used with doubts, else `ok`."""
    rejects = [finding.rejects for finding in findings]
    return "reject" if any(rejects) else "clean" if rejects else "ok"


@dataclass(frozen=True)
class Judged:
    """What was found of a decoded layer: see `judge`."""

    findings: tuple[Finding, ...]
    measures: Measures | None = None
    cuts: tuple[Side, ...] = ()
    cleaning: Cleaning | None = None


def judge(
    role: Role,
    pixels: Pixels,
    recipe: Recipe,
    *,
    transparent: float = 0.0,
    doubts: bool = False,
    people: Callable[[Pixels], float] | None = None,
) -> Judged:
    """Measure a decoded layer and say what is wrong with it.

    What is doubtful also leaves the layer out if its kind is among the recipe's `leave_out`.

    A human that is cut at the top may have lost its head: that is all a matte can tell. A whole one
    whose hair or raised hand just leaves the picture is doubted too; and a head that was cut away
    along a curve, or is hidden, looks like any other outline and is not found.

    Args:
        role: what the picture is meant for.
        pixels: uint8, (H, W, 4) straight RGBA of a human or (H, W, 3) RGB of a background.
        recipe: the thresholds.
        transparent: of a background, the share, 0 to 1, that had alpha.
        doubts: whether to look also for what does not leave the layer out.
        people: with `doubts`, gives the probability, 0 to 1, that a background shows people.

    Returns:
        The findings, and what was measured for them: nothing of what cannot be used anyway, or
        where without `doubts` nothing depends on it. Of a human also how it is cleaned.
    """
    height, width = pixels.shape[:2]
    try:
        _check_size(width, height, recipe)
        checked = _checked_matte(pixels, recipe) if role == "human" else (None, None)
    except LayerError as error:
        return Judged((rejection(str(error)),))
    cleaned, cleaning = checked
    if not (doubts or recipe.leave_out):
        return Judged((), cleaning=cleaning)
    cuts: tuple[Side, ...] = ()
    if cleaned is None:
        score = people(pixels) if people and doubts else None
        measures = measure_background(pixels, transparent, score)
    else:
        measures = measure_human(pixels, cleaned, recipe)
        cuts = tuple(find_cuts(cleaned))
    kinds = _doubtful(role, measures, cuts, recipe)
    findings = [Finding(kind, kind, kind in recipe.leave_out) for kind in kinds]
    told = tuple(finding for finding in findings if doubts or finding.rejects)
    return Judged(told, measures, cuts, cleaning)


def _doubtful(
    role: Role, measures: Measures, cuts: tuple[Side, ...], recipe: Recipe
) -> Iterator[str]:
    """Yield what a person should look at; all but people are of `builder.recipe.DOUBTS`."""
    if measures.haze is not None and measures.haze > recipe.doubt_haze:
        yield "haze"
    if measures.see_through is not None and measures.see_through > recipe.doubt_see_through:
        yield "see-through body"
    if measures.specks is not None and measures.specks > recipe.doubt_specks:
        yield "detached specks"
    if "top" in cuts:
        yield "cut at the top"
    if measures.sharpness < recipe.doubt_sharpness:
        yield "blurred"
    if role == "background" and measures.contrast < recipe.doubt_contrast:
        yield "nearly flat"
    if measures.transparent:
        yield "has alpha"
    if measures.people is not None and measures.people > recipe.doubt_people:
        yield "people"


def _check_size(width: int, height: int, recipe: Recipe) -> None:
    if min(height, width) < recipe.min_side:
        raise LayerError(f"too small: {width}x{height}, under {recipe.min_side} px")
    _check_aspect(width, height)


def _checked_matte(rgba: Pixels, recipe: Recipe) -> tuple[Matte, Cleaning | None]:
    """Return the cleaned matte, and how; raises `LayerError` where there is no figure in it."""
    alpha = np.asarray(cv2.extractChannel(rgba, 3), dtype=np.uint8)
    if int(alpha.min()) >= _OPAQUE:
        raise LayerError("alpha is fully opaque: nothing is cut out")
    if np.count_nonzero(alpha >= 128) < _EMPTY_SHARE * alpha.size:
        raise LayerError("alpha is empty")
    matte = clean_matte(alpha, recipe)
    left, top, right, bottom = bounding_box(matte)
    width, height = right - left, bottom - top
    if max(width, height) < recipe.min_side:
        raise LayerError(f"too small: the figure is {width}x{height}, under {recipe.min_side} px")
    _check_aspect(width, height)
    # Even a frame that just fits the figure has to be covered; cf. `Recipe.min_coverage`.
    covered = cv2.sumElems(matte)[0] / 255 / (width * height)
    if covered < 1.5 * recipe.min_coverage:
        raise LayerError(f"too thin: the figure fills only {covered:.1%} of its own box")
    return matte, cleaning_of(alpha, matte, recipe)


def _check_aspect(width: int, height: int) -> None:
    if max(width, height) > _LONGEST_ASPECT * min(width, height):
        raise LayerError(f"too narrow: {width}x{height}, over {_LONGEST_ASPECT} to 1")
