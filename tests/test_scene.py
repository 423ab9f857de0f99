"""Properties of every scene of several figures: order, union, room, and who joins whom."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.compose import Composite, compose, composite_seeds, prepare_figure
from builder.compose.scene import join
from builder.matte import clean_matte
from builder.plan import companions_of, make_plan
from builder.recipe import PLAIN, REALISTIC, Recipe
from human_segmentation import HumanSegmentation
from tests.building import build, rows
from tests.figures import Person, draw
from tests.kit import Pixels, scenery
from tests.planning import layers, recipe

SIZE = (500, 340)
PASTE = PLAIN.replace({"size": 400, "framing_probability": 1.0, "close_up_share": 0.0})
SCENES = st.sampled_from(
    [PASTE, PASTE.replace({"half_body_share": 0.0}), REALISTIC.replace({"size": 400})]
)
CUTS = st.lists(st.sampled_from(["", "bottom", "left", "right"]), min_size=3, max_size=3)


def cast(cuts: list[str], seed: int) -> list[Person]:
    """Draw three people, tall and opaque, each cut off on one side or whole."""
    sides: list[Any] = [frozenset({cut} if cut else ()) for cut in cuts]
    return [draw(150, 330, cut, 0, seed + number) for number, cut in enumerate(sides)]


def coloured(person: Person, level: int) -> Pixels:
    """Return a picture of one colour, so that it can be told who is in front."""
    return np.dstack([np.full((*person.alpha.shape, 3), level, np.uint8), person.alpha])


def scene(people: list[Person], own: Recipe, seed: int) -> Composite:
    figures = [prepare_figure(coloured(p, 60 + 80 * n), own) for n, p in enumerate(people)]
    background = scenery(seed, SIZE)
    return compose(figures[0], background, own, composite_seeds(seed, "h", 0), figures[1:])


def rebuilt(person: Person, own: dict[str, Any], used: Recipe) -> Any:
    """Return float (H, W): the alpha of one figure of a scene, by what the provenance says."""
    cleaned = clean_matte(person.alpha, used)
    cleaned = np.ascontiguousarray(cleaned[:, ::-1]) if own["flip"] else cleaned
    matrix = np.array(own["matrix"])
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    alpha = cv2.warpAffine(cleaned, matrix, tuple(own["frame"]), flags=cv2.INTER_LINEAR)
    return alpha.astype(np.float64) / 255


@settings(max_examples=40)
@given(CUTS, SCENES, st.integers(0, 2**32))
def test_the_mask_is_the_union_and_everyone_can_be_seen(
    cuts: list[str], used: Recipe, seed: int
) -> None:
    people = cast(cuts, seed)
    made = scene(people, used, seed)
    figures = made.provenance["figures"]
    if not figures:
        return
    alphas = [rebuilt(people[one["number"]], one["geometry"], used) for one in figures]
    union = 1 - np.prod([1 - alpha for alpha in alphas], axis=0)
    # Matching sharpness blurs a matte a little.
    assert np.abs(union * 255 - made.mask).mean() < 4
    for place, (one, alpha) in enumerate(zip(figures, alphas, strict=True)):
        seen = alpha * np.prod([1 - nearer for nearer in alphas[place + 1 :]], axis=0)
        person = people[one["number"]]
        whole = one["geometry"]["scale"] ** 2 * person.alpha.sum() / 255
        assert seen.sum() >= 0.4 * 0.97 * whole


@settings(max_examples=40)
@given(CUTS, SCENES, st.integers(0, 2**32))
def test_no_cut_of_any_figure_shows(cuts: list[str], used: Recipe, seed: int) -> None:
    people = cast(cuts, seed)
    made = scene(people, used, seed)
    window = np.ones((9, 9), np.uint8)
    for one in made.provenance["figures"]:
        own = one["geometry"]
        person = people[one["number"]]
        whole = person.whole_in_frame(own["matrix"], tuple(own["frame"]), own["flip"])
        assert made.mask[cv2.erode(whole, window) == 255].min(initial=255) >= 245


@settings(max_examples=40)
@given(CUTS, st.integers(0, 2**32))
def test_whoever_ends_lower_is_in_front(cuts: list[str], seed: int) -> None:
    people = cast(cuts, seed)
    upright = PASTE.replace({"rotation": [0, 0]})
    made = scene(people, upright, seed)
    figures = made.provenance["figures"]
    alphas = [rebuilt(people[one["number"]], one["geometry"], upright) for one in figures]
    for place, (one, alpha) in enumerate(zip(figures, alphas, strict=True)):
        covered = cv2.dilate(np.max([0 * alpha, *alphas[place + 1 :]], axis=0), np.ones((5, 5)))
        own = (cv2.erode(alpha, np.ones((5, 5))) == 1) & (covered == 0)
        assert np.abs(made.image[own].astype(int) - (60 + 80 * one["number"])).max(initial=0) < 15
    ends = [
        own["matrix"][1][1] * people[one["number"]].alpha.any(axis=1).nonzero()[0][-1]
        + own["matrix"][1][2]
        for one in figures
        for own in [one["geometry"]]
    ]
    assert all(upper <= lower + 3 for upper, lower in itertools.pairwise(ends))


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_two_who_stand_on_one_floor_are_of_one_kind(seed: int) -> None:
    people = [draw(120, 330, frozenset(), 0, 1), draw(90, 250, frozenset(), 0, 1)]
    made = scene(people, PASTE.replace({"half_body_share": 0.0}), seed)
    heights, feet = [], []
    for one in made.provenance["figures"]:
        own, person = one["geometry"], people[one["number"]]
        y = np.flatnonzero(person.alpha.any(axis=1))
        heights.append(own["scale"] * (y[-1] + 1 - y[0]))
        feet.append(own["matrix"][1][1] * (y[-1] + 1) + own["matrix"][1][2])
    if heights:
        frame_height = made.mask.shape[0]
        assert 0.6 < heights[1] / heights[0] < 1.65
        assert feet[1] - feet[0] < 0.08 * frame_height
        # Whoever is so near that the head would be above the frame ends a little below it.
        assert max(feet) < 1.1 * frame_height


def test_most_companions_find_room() -> None:
    own = PASTE.replace({"half_body_share": 0.0})
    people = [draw(110, 330, frozenset(), 0, number) for number in range(2)]
    joined = [len(scene(people, own, seed).provenance["figures"]) for seed in range(40)]
    assert joined.count(2) > 30


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_company_changes_nothing_about_the_first_figure(seed: int) -> None:
    people = cast(["", "bottom", ""], seed)
    alone, together = (scene(group, PASTE, seed) for group in (people[:1], people))
    assert alone.provenance["geometry"] == together.provenance["geometry"]
    assert alone.provenance["figures"] == []


@given(st.integers(0, 2**32))
def test_joined_layers_show_what_laying_one_after_the_other_shows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    straight = rng.integers(0, 256, (2, 30, 40, 4), np.uint8)
    straight[..., 3] = np.where(rng.random((2, 30, 40)) < 0.5, 255, straight[..., 3])
    behind, front = (cv2.cvtColor(one, cv2.COLOR_RGBA2mRGBA) for one in straight)
    joined, position = join((np.asarray(behind), (5, 9)), (np.asarray(front), (20, 2)))
    assert (position, joined.shape) == ((5, 2), (37, 55, 4))
    assert (joined[..., :3] <= joined[..., 3:]).all()
    expected = np.zeros(joined.shape)
    expected[7:37, :40] = behind
    region = expected[:30, 15:55]
    region[:] = front + region * (1 - front[..., 3:] / 255)
    assert np.abs(joined - expected).max() <= 1


@settings(max_examples=40)
@given(st.integers(2, 60), st.integers(1, 6), st.sampled_from([0.1, 1.0]), st.integers(0, 99))
def test_companions_are_of_the_same_split_and_nobody_joins_himself(
    humans: int, per_human: int, probability: float, seed: int
) -> None:
    own = recipe(per_human, 0.2, second_figure_probability=probability, shard_megabytes=20.0)
    plan = make_plan(layers(humans, 4), own, seed)
    for split in plan.splits:
        for shard in split.shards():
            for pair in shard.pairs():
                company = companions_of(shard, pair, own, seed)
                assert len({pair.human, *company}) == 1 + len(company)
                assert set(company) <= set(shard.humans)
                if probability == 1.0 and len(shard.humans) > 1:
                    assert company


@settings(max_examples=5)
@given(st.integers(0, 99))
def test_as_many_have_company_as_the_recipe_says(seed: int) -> None:
    own = recipe(
        20, 0.0, second_figure_probability=0.3, third_figure_probability=0.5, shard_megabytes=50.0
    )
    shards = make_plan(layers(100, 4), own, seed).shards()
    counts = [
        len(companions_of(shard, pair, own, seed)) for shard in shards for pair in shard.pairs()
    ]
    assert abs(np.mean(np.array(counts) > 0) - 0.3) < 0.05
    assert abs(np.mean(np.array(counts) == 2) - 0.15) < 0.04


SAMPLE = {"sample_humans": 8, "sample_backgrounds": 6, "sample_size": 256}


def test_a_built_scene_names_its_figures_and_streams_alike(tmp_path: Path) -> None:
    output = tmp_path / "folder"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SAMPLE.items()]
    changes = ("--set", "second_figure_probability=1.0", "--set", "validation=0.4")
    build(output, "--source", "sample", "--size", "160", *options, *changes)
    manifest = json.loads((output / "manifest.json").read_text())
    layer_of = {layer["id"]: layer for layer in manifest["layers"]}
    scenes = 0
    built = rows(output)
    for row in built:
        figures = json.loads(row["provenance"])["figures"]
        scenes += bool(figures)
        if figures:
            assert row["human"] in [figure["human"] for figure in figures]
        for figure in figures:
            assert layer_of[figure["human"]]["split"] == row["split"]
            assert layer_of[figure["human"]]["name"] == figure["human_name"]
    assert scenes > len(built) / 4
    knobs = {"second_figure_probability": 1.0, "validation": 0.4}
    builder = HumanSegmentation(
        source="sample", size=160, settings=knobs, cache_dir=str(tmp_path / "cache"), **SAMPLE
    )
    for split in ("train", "validation"):
        streamed = builder.as_streaming_dataset(split)
        streamed = streamed.cast_column("image", datasets.Image(decode=False))
        own = [(row["id"], row["image"]["bytes"], row["provenance"]) for row in streamed]
        assert own == [
            (row["id"], row["image"]["bytes"], row["provenance"])
            for row in built
            if row["split"] == split
        ]
