"""The layers drawn by code: seeded, varied, cut as intended, and fit for use."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from builder.cuts import find_cuts
from builder.decoding import Pixels, decode_background, decode_human
from builder.errors import SourceError
from builder.layers import admit_all
from builder.matte import clean_matte
from builder.plan import near_duplicate_groups
from builder.recipe import CLASSIC
from builder.sources.drawing.human import draw_cuts
from builder.sources.layer import Candidate, content_id
from builder.sources.sample import sample_candidates

_DRAWN = 50
_LONGEST = 256


@dataclass(frozen=True)
class _Kept:
    """What was drawn, so that it is drawn once for all tests."""

    data: bytes

    def read(self) -> bytes:
        return self.data


@pytest.fixture(scope="module")
def drawn() -> list[Candidate]:
    candidates = sample_candidates(_DRAWN, _DRAWN, longest=_LONGEST)
    return [replace(one, content=_Kept(one.content.read())) for one in candidates]


@pytest.fixture(scope="module")
def humans(drawn: list[Candidate]) -> list[Pixels]:
    return [decode_human(c.content.read(), CLASSIC.max_pixels) for c in drawn if c.role == "human"]


@pytest.fixture(scope="module")
def backgrounds(drawn: list[Candidate]) -> list[Pixels]:
    contents = [c.content.read() for c in drawn if c.role == "background"]
    return [decode_background(data, CLASSIC.max_pixels) for data in contents]


def _ids(candidates: list[Candidate]) -> dict[str, str]:
    return {candidate.name: content_id(candidate.content.read()) for candidate in candidates}


def test_bytes_are_the_same_in_another_process_and_whatever_else_is_drawn() -> None:
    few = sample_candidates(4, 4, seed=3, longest=160)
    many = sample_candidates(6, 5, seed=3, longest=160)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.apply(_ids, (pickle.loads(pickle.dumps(many))[::-1],))
    assert _ids(few).items() < elsewhere.items()
    assert "sample/humans/00003.png" in elsewhere
    assert "sample/backgrounds/00003.png" in elsewhere


def test_bytes_do_not_depend_on_threads() -> None:
    candidates = sample_candidates(4, 4, longest=400)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        alone = _ids(candidates)
        cv2.setNumThreads(4)
        assert _ids(candidates) == alone
    finally:
        cv2.setNumThreads(threads)


def test_another_seed_index_or_role_gives_another_drawing() -> None:
    drawn = [*sample_candidates(5, 5, longest=128), *sample_candidates(5, 5, seed=1, longest=128)]
    assert len({content_id(candidate.content.read()) for candidate in drawn}) == 20


def test_each_human_is_cut_as_intended_and_every_framing_occurs(
    humans: list[Pixels],
) -> None:
    seen = []
    for index, pixels in enumerate(humans):
        intended = draw_cuts(np.random.default_rng([0, 1, index]))
        found = find_cuts(clean_matte(pixels[..., 3], CLASSIC))
        assert set(found) == set(intended), index
        seen.append(intended)
    assert {(), ("bottom",), ("left", "right", "bottom")} <= set(seen)
    assert any(len({"left", "right"} & set(cuts)) == 1 for cuts in seen)
    assert 0.3 < seen.count(()) / len(seen) < 0.6


def test_humans_have_soft_edges_around_an_opaque_body(
    humans: list[Pixels],
) -> None:
    for pixels in humans:
        alpha = pixels[..., 3]
        solid = np.count_nonzero(alpha >= 250)
        soft = np.count_nonzero((alpha > 20) & (alpha < 235))
        assert 0.02 < soft / solid < 1.5
        assert not alpha[0].max() > 40, "no head is cut"


def test_soft_edges_keep_the_colour_of_the_figure(humans: list[Pixels]) -> None:
    soft: list[int] = []
    for pixels in humans:
        alpha, light = pixels[..., 3], pixels[..., :3].max(axis=2)
        window = np.ones((7, 7), np.uint8)
        darkest_near = cv2.erode(np.where(alpha > 250, light, 255).astype(np.uint8), window)
        opaque_near = cv2.dilate((alpha > 250).astype(np.uint8), window) > 0
        edge = (alpha > 40) & (alpha < 200) & opaque_near & (darkest_near > 120)
        soft += light[edge].tolist()
    assert len(soft) > 2000
    assert np.mean(np.array(soft) < 60) < 0.01, "dark fringe"


def test_some_humans_carry_the_flaws_of_a_generator(humans: list[Pixels]) -> None:
    def hazy_share(pixels: Pixels) -> float:
        alpha = pixels[..., 3]
        far = cv2.distanceTransform((alpha < 32).astype(np.uint8), cv2.DIST_L2, 3) > 8
        return float(np.count_nonzero(far & (alpha > 0)) / alpha.size)

    hazy = sum(hazy_share(pixels) > 0.005 for pixels in humans)
    assert 0.1 < hazy / len(humans) < 0.45
    specked = sum(_specks(pixels[..., 3]) > 0 for pixels in humans)
    assert 0.05 < specked / len(humans) < 0.45


def _specks(alpha: Pixels) -> int:
    """Return how many pixels are visible and far from the figure, the largest connected part."""
    visible = (alpha >= 64).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(visible)
    figure = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    distance = cv2.distanceTransform((~figure).astype(np.uint8), cv2.DIST_L2, 3)
    return int(np.count_nonzero((visible > 0) & (distance > 12)))


def test_backgrounds_have_structure_and_grain(
    backgrounds: list[Pixels],
) -> None:
    for pixels in backgrounds:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        coarse = cv2.resize(grey, (16, 16), interpolation=cv2.INTER_AREA)
        assert coarse.std() > 8
        assert np.abs(np.diff(grey, axis=1)).mean() > 0.8
        assert np.count_nonzero(np.diff(grey, axis=1)) > 0.3 * grey.size


def test_sizes_vary_up_to_the_longest(humans: list[Pixels], backgrounds: list[Pixels]) -> None:
    for drawn in (humans, backgrounds):
        longer = [max(pixels.shape[:2]) for pixels in drawn]
        aspects = [pixels.shape[1] / pixels.shape[0] for pixels in drawn]
        assert max(longer) <= _LONGEST
        assert min(longer) < 0.85 * max(longer)
        assert max(aspects) > 1.3 * min(aspects)
    assert any(pixels.shape[1] > pixels.shape[0] for pixels in backgrounds)
    assert any(pixels.shape[1] < pixels.shape[0] for pixels in backgrounds)


def test_all_are_admitted_and_hardly_two_look_alike(drawn: list[Candidate]) -> None:
    admitted = admit_all(drawn, CLASSIC, strict=True, progress=False)
    assert len(admitted.layers) == 2 * _DRAWN
    for role in ("human", "background"):
        hashes = [layer.perceptual_hash for layer in admitted.layers if layer.role == role]
        groups = near_duplicate_groups(hashes, CLASSIC.near_duplicate_bits)
        assert len(set(groups.tolist())) >= _DRAWN - 2


def test_even_the_smallest_are_admitted() -> None:
    candidates = sample_candidates(20, 12, seed=5, longest=128)
    assert len(admit_all(candidates, CLASSIC, strict=True, progress=False).layers) == 32


@pytest.mark.parametrize(
    "bad", [{"humans": -1}, {"backgrounds": -2}, {"seed": -1}, {"longest": 127}]
)
def test_arguments_out_of_range_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(SourceError, match=str(next(iter(bad.values())))):
        sample_candidates(**bad)


def test_none_may_be_asked_for() -> None:
    assert sample_candidates(0, 0) == []
