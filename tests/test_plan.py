"""Properties of every plan: who meets whom, and that nothing but seed and layers decides it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import PlanError
from builder.hashing import MIRRORED_BITS
from builder.plan import Pair, Plan, SplitPlan, make_plan, near_duplicate_groups
from builder.sources.layer import Layer
from tests.planning import flipped, layer, layers, recipe


def pairs(split: SplitPlan) -> list[Pair]:
    return [pair for shard in split.shards() for pair in shard.pairs()]


plans = st.builds(
    lambda humans, backgrounds, per_human, validation, seed, megabytes: make_plan(
        layers(humans, backgrounds), recipe(per_human, validation, shard_megabytes=megabytes), seed
    ),
    humans=st.integers(2, 40),
    backgrounds=st.integers(2, 40),
    per_human=st.integers(1, 12),
    validation=st.sampled_from([0.0, 0.1, 0.3, 0.9]),
    seed=st.integers(-5, 2**40),
    megabytes=st.sampled_from([0.1, 3.0, 256.0]),
)


@given(plans)
def test_no_layer_is_in_two_splits(plan: Plan) -> None:
    members = [{*split.humans, *split.backgrounds} for split in plan.splits]
    assert all(not one & other for one, other in itertools.combinations(members, 2))


@given(plans)
def test_every_human_has_exactly_its_share(plan: Plan) -> None:
    for split in plan.splits:
        counts = Counter(pair.human for pair in pairs(split))
        assert counts == dict.fromkeys(split.humans, split.per_human)


@given(plans)
def test_backgrounds_are_used_equally_often_give_or_take_one(plan: Plan) -> None:
    for split in plan.splits:
        counts = Counter(dict.fromkeys(split.backgrounds, 0))
        counts.update(pair.background for pair in pairs(split))
        assert set(counts) == set(split.backgrounds)
        assert max(counts.values()) - min(counts.values()) <= 1


@given(plans)
def test_no_pair_comes_twice_while_another_is_unused(plan: Plan) -> None:
    for split in plan.splits:
        for human, own in itertools.groupby(pairs(split), key=lambda pair: pair.human):
            met = Counter(pair.background for pair in own)
            rounds = split.per_human / len(split.backgrounds)
            assert max(met.values()) <= np.ceil(rounds), human
            if rounds >= 1:
                assert len(met) == len(split.backgrounds)


@given(st.integers(40, 200), st.integers(20, 60), st.integers(1, 5), st.integers(0, 9))
def test_a_few_backgrounds_serve_all_of_their_pairs_before_the_next_few(
    humans: int, backgrounds: int, per_human: int, seed: int
) -> None:
    (split,) = make_plan(layers(humans, backgrounds), recipe(per_human, 0.0), seed).splits
    decoded: dict[str, None] = {}
    decodings = 0
    for pair in pairs(split):
        decodings += pair.background not in decoded
        decoded.pop(pair.background, None)
        decoded[pair.background] = None
        if len(decoded) > 2 * 8:
            decoded.pop(next(iter(decoded)))
    # Once each, and once more each for those that are used once more than the others.
    assert decodings <= backgrounds + split.rows % backgrounds


@given(plans)
def test_shards_hold_whole_humans_and_row_ids_are_unique(plan: Plan) -> None:
    names = [shard.file_name for shard in plan.shards()]
    assert len(set(names)) == len(names)
    ids = []
    for split in plan.splits:
        humans = [human for shard in split.shards() for human in shard.humans]
        assert humans == list(split.humans)
        assert sum(shard.rows for shard in split.shards()) == split.rows
        ids += [pair.id for pair in pairs(split)]
    assert len(set(ids)) == len(ids) == plan.rows


@given(st.randoms(use_true_random=False), st.integers(0, 9))
def test_order_and_names_of_layers_change_nothing(random: object, seed: int) -> None:
    known = layers(12, 9)
    renamed = [dataclasses.replace(one, name=f"other/{n}") for n, one in enumerate(known)]
    random.shuffle(renamed)  # type: ignore[attr-defined]
    own = recipe(3, 0.2)
    assert make_plan(renamed, own, seed) == make_plan(known, own, seed)


def test_another_seed_gives_other_splits_and_pairs() -> None:
    one, other = (make_plan(layers(40, 40), recipe(4, 0.25), seed) for seed in (0, 1))
    assert set(one.splits[1].humans) != set(other.splits[1].humans)
    assert set(pairs(one.splits[0])) != set(pairs(other.splits[0]))


@pytest.mark.parametrize(("humans", "expected"), [(2, 1), (10, 1), (20, 2), (200, 20)])
def test_the_share_of_validation_is_met(humans: int, expected: int) -> None:
    plan = make_plan(layers(humans, 30), recipe(4, 0.1), 0)
    assert len(plan.splits[1].humans) == expected
    assert len(plan.splits[1].backgrounds) == 3


@given(st.integers(0, 30), st.sets(st.integers(0, 255), max_size=20), st.booleans())
def test_near_duplicates_share_a_split(seed: int, bits: set[int], mirror: bool) -> None:
    known = layers(12, 12)
    original = known[seed % 12]
    alike = flipped(original.perceptual_hash, sorted(bits))
    if mirror:
        alike = flipped(alike, list(np.flatnonzero(MIRRORED_BITS)))
    twin = layer("human", 99, alike)
    split_of = make_plan([*known, twin], recipe(2, 0.3), seed).split_of()
    assert split_of[twin.id] == split_of[original.id]


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    chain = ["0" * 64]
    for step in range(10):
        chain.append(flipped(chain[-1], list(range(20 * step, 20 * step + 20))))
    groups = near_duplicate_groups([*chain[::-1], "f0" * 32], 20)
    assert set(groups[:-1]) == {0}
    assert groups[-1] == 11


def test_hashes_one_bit_further_apart_are_not_near() -> None:
    one = hashlib.sha256(b"a picture").hexdigest()
    for bits, same in ((20, True), (21, False)):
        groups = near_duplicate_groups([one, flipped(one, list(range(bits)))], 20)
        assert (len(set(groups.tolist())) == 1) is same


def test_groups_reach_across_blocks_of_the_comparison() -> None:
    hashes = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2500)]
    hashes[2400] = flipped(hashes[7], [1, 2, 3])
    groups = near_duplicate_groups(hashes, 20)
    assert groups[2400] == 7
    assert len(set(groups.tolist())) == 2499


def test_a_million_pairs_are_planned_without_being_listed() -> None:
    plan = make_plan(layers(500, 300), recipe(2000, 0.1), 0)
    assert plan.rows == 1_000_000
    last = plan.splits[0].shards()[-1]
    assert next(last.pairs()).human in last.humans
    assert len(last.backgrounds) == 270


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (layers(0, 5), "no usable human"),
        (layers(5, 0), "no usable background"),
        (layers(1, 5), "two unlike humans"),
        ([layer("human", n, "0" * 64) for n in range(5)] + layers(0, 5), "all look alike"),
    ],
)
def test_too_few_layers_are_an_error(known: list[Layer], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        make_plan(known, recipe(4, 0.1), 0)


def test_without_validation_one_layer_of_each_role_is_enough() -> None:
    plan = make_plan(layers(1, 1), recipe(4, 0.0), 0)
    assert [split.split for split in plan.splits] == ["train"]
