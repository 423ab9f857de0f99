"""Properties of every update: what stays, what comes, and that nothing leaks."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.errors import PlanError
from builder.layers import Admitted
from builder.plan import Pair, Shard, Split, companions_of, make_plan
from builder.recipe import Recipe
from builder.replan import Replan, replan
from builder.sources.layer import Layer
from tests.planning import bits, flipped, layer, layers, recipe


@dataclasses.dataclass(frozen=True)
class Known:
    """A layer as the manifest of a dataset knows it."""

    layer: Layer
    split: Split

    def __getattr__(self, name: str) -> object:
        return getattr(self.layer, name)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What an update starts from."""

    known: tuple[Known, ...]
    shards: tuple[Shard, ...]
    recipe: Recipe
    seed: int

    @classmethod
    def planned(cls, members: list[Layer], own: Recipe, seed: int) -> Dataset:
        plan = make_plan(members, own, seed)
        split_of = plan.split_of()
        known = tuple(Known(one, split_of[one.id]) for one in members)
        return cls(known, tuple(plan.shards()), own, seed)

    def updated(self, members: list[Layer]) -> tuple[Dataset, Replan]:
        plan = replan(self.known, self.shards, members, self.recipe, self.seed)  # type: ignore[arg-type]
        split_of = plan.split_of()
        known = tuple(Known(one, split_of[one.id]) for one in members if one.id in split_of)
        return Dataset(known, plan.shards, self.recipe, self.seed), plan

    @property
    def layers(self) -> list[Layer]:
        return [known.layer for known in self.known]

    def pairs(self) -> dict[tuple[str, int], Pair]:
        return {(pair.human, pair.k): pair for shard in self.shards for pair in shard.pairs()}

    def company(self) -> dict[tuple[str, int], tuple[str, ...]]:
        return {
            (pair.human, pair.k): companions_of(shard, pair, self.recipe, self.seed)
            for shard in self.shards
            for pair in shard.pairs()
        }

    def uses(self, split: Split) -> Counter[str]:
        members = (k for k in self.known if k.split == split and k.layer.role == "background")
        uses = Counter(dict.fromkeys((known.layer.id for known in members), 0))
        for shard in self.shards:
            if shard.split == split:
                uses.update(pair.background for pair in shard.pairs())
        return uses


datasets = st.builds(
    lambda humans, backgrounds, per_human, validation, seed, megabytes, company: Dataset.planned(
        layers(humans, backgrounds),
        recipe(
            per_human,
            validation,
            shard_megabytes=megabytes,
            second_figure_probability=company,
        ),
        seed,
    ),
    humans=st.integers(4, 30),
    backgrounds=st.integers(4, 20),
    per_human=st.integers(1, 9),
    validation=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 2**40),
    megabytes=st.sampled_from([0.1, 3.0, 256.0]),
    company=st.sampled_from([0.0, 0.1, 1.0]),
)
numbers = st.sets(st.integers(0, 40), max_size=12)


def changed(dataset: Dataset, gone: set[int], new: set[int], new_backgrounds: int) -> list[Layer]:
    """Return the dataset's layers without some of them, and with humans and backgrounds added."""
    rest = [one for number, one in enumerate(dataset.layers) if number not in gone]
    added = [layer("human", 1000 + number) for number in new]
    return [*rest, *added, *(layer("background", 1000 + n) for n in range(new_backgrounds))]


def update(dataset: Dataset, members: list[Layer]) -> tuple[Dataset, Replan]:
    """Update, where that is possible."""
    try:
        return dataset.updated(members)
    except PlanError:
        assume(False)
        raise


@given(datasets, numbers, numbers, st.integers(0, 5))
def test_every_human_of_now_has_its_share_within_its_split(
    dataset: Dataset, gone: set[int], new: set[int], new_backgrounds: int
) -> None:
    members = changed(dataset, gone, new, new_backgrounds)
    after, _ = update(dataset, members)
    split_of = {known.layer.id: known.split for known in after.known}
    counts = Counter(pair.human for pair in after.pairs().values())
    humans = {one.id for one in members if one.role == "human"}
    assert counts == dict.fromkeys(humans, dataset.recipe.per_human)
    assert sum(shard.rows for shard in after.shards) == sum(counts.values())
    for shard in after.shards:
        for pair in shard.pairs():
            assert split_of[pair.human] == split_of[pair.background] == shard.split
    names = [shard.file_name for shard in after.shards]
    assert len(set(names)) == len(names)


@given(datasets, numbers, numbers, st.integers(0, 5))
def test_only_pairs_of_layers_that_are_gone_change(
    dataset: Dataset, gone: set[int], new: set[int], new_backgrounds: int
) -> None:
    after, _ = update(dataset, changed(dataset, gone, new, new_backgrounds))
    lost = {one.id for one in dataset.layers} - {one.id for one in after.layers}
    before_pairs, after_pairs = dataset.pairs(), after.pairs()
    before_company, after_company = dataset.company(), after.company()
    for key, pair in before_pairs.items():
        if pair.human not in lost and pair.background not in lost:
            assert after_pairs[key] == pair
        if pair.human not in lost and not lost & {*before_company[key]}:
            assert after_company[key] == before_company[key]
    assert not lost & {other for others in after_company.values() for other in others}
    by_name = {shard.file_name: shard for shard in after.shards}
    for shard in dataset.shards:
        used = {
            layer_id
            for pair in shard.pairs()
            for layer_id in (pair.human, pair.background, *before_company[pair.human, pair.k])
        }
        if not used & lost:
            assert by_name[shard.file_name] == shard
        else:
            assert by_name.get(shard.file_name) != shard


@given(datasets, numbers, numbers)
def test_new_humans_are_in_new_shards(dataset: Dataset, gone: set[int], new: set[int]) -> None:
    after, plan = update(dataset, changed(dataset, gone, new, 0))
    old_names = {shard.file_name for shard in dataset.shards}
    added = {one.id for one in plan.humans.new}
    assert added == {layer("human", 1000 + number).id for number in new}
    for shard in after.shards:
        assert bool(added & set(shard.humans)) == (shard.file_name not in old_names)


@given(datasets, st.lists(numbers, min_size=1, max_size=4))
def test_backgrounds_stay_used_equally_often_as_humans_are_added(
    dataset: Dataset, additions: list[set[int]]
) -> None:
    for number, new in enumerate(additions):
        more = [layer("human", 1000 * (number + 1) + n) for n in new]
        dataset, _ = update(dataset, [*dataset.layers, *more])
    for split in {shard.split for shard in dataset.shards}:
        uses = dataset.uses(split).values()
        assert max(uses) - min(uses) <= 1


@given(datasets, numbers, numbers, st.integers(1, 5))
def test_no_human_meets_a_background_twice_while_another_is_unused(
    dataset: Dataset, gone: set[int], new: set[int], new_backgrounds: int
) -> None:
    after, plan = update(dataset, changed(dataset, gone, new, new_backgrounds))
    ordered = sorted(after.pairs().values(), key=lambda pair: pair.human)
    split_of = plan.split_of()
    before = dataset.pairs()
    for human, own in itertools.groupby(ordered, key=lambda pair: pair.human):
        met = [pair.background for pair in own]
        choice = len(after.uses(split_of[human]))
        kept = {before[human, k].background for k in range(len(met)) if (human, k) in before}
        # Pairs made when there were fewer backgrounds stay as they are.
        if len(kept) in (0, len(met)):
            assert len(set(met)) == min(len(met), choice)


def test_new_backgrounds_are_taken_first() -> None:
    dataset = Dataset.planned(layers(10, 5), recipe(2, 0.0), 0)
    after, _ = dataset.updated(
        [*dataset.layers, layer("human", 99), layer("background", 98), layer("background", 99)]
    )
    met = {pair.background for pair in after.shards[-1].pairs()}
    assert met == {layer("background", 98).id, layer("background", 99).id}


@given(datasets, numbers, numbers, st.randoms(use_true_random=False))
def test_order_and_names_change_nothing(
    dataset: Dataset, gone: set[int], new: set[int], random: object
) -> None:
    members = changed(dataset, gone, new, 2)
    renamed = [dataclasses.replace(one, name=f"x/{n}") for n, one in enumerate(members)]
    random.shuffle(renamed)  # type: ignore[attr-defined]
    assert update(dataset, renamed)[0].shards == update(dataset, members)[0].shards


@given(datasets, numbers, numbers)
def test_an_update_to_the_same_layers_changes_nothing(
    dataset: Dataset, gone: set[int], new: set[int]
) -> None:
    after, _ = update(dataset, changed(dataset, gone, new, 2))
    again, plan = after.updated(after.layers)
    assert again.shards == after.shards
    assert not plan.humans.new
    assert not plan.backgrounds.gone


@pytest.mark.parametrize(("times", "added"), [(1, 1), (1, 40), (20, 1)])
def test_validation_keeps_its_share(times: int, added: int) -> None:
    dataset = Dataset.planned(layers(40, 10), recipe(2, 0.1), 3)
    for time in range(times):
        more = [layer("human", 100 + time * added + n) for n in range(added)]
        dataset, _ = dataset.updated([*dataset.layers, *more])
    held = sum(k.split == "validation" and k.layer.role == "human" for k in dataset.known)
    assert held == round(0.1 * (40 + times * added))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("role", ["human", "background"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_near_duplicate_follows_its_original(split: Split, role: str, replaced: bool) -> None:
    dataset = Dataset.planned(layers(30, 30), recipe(2, 0.3), 1)
    originals = [k.layer for k in dataset.known if k.split == split and k.layer.role == role]
    twins = [
        layer(one.role, 500 + n, flipped(one.perceptual_hash, [1, 2, 3]))
        for n, one in enumerate(originals[:4])
    ]
    rest = [one for one in dataset.layers if not (replaced and one in originals[:4])]
    _, plan = dataset.updated([*rest, *twins])
    assert {plan.split_of()[twin.id] for twin in twins} == {split}


def test_a_near_duplicate_of_both_splits_is_left_out_with_the_reason() -> None:
    dataset = Dataset.planned(layers(30, 30), recipe(2, 0.3), 1)
    first: dict[str, Layer] = {}
    for known in dataset.known:
        first.setdefault(known.split, known.layer)
    # New humans, each like the next, from one like a human of train to one of validation.
    one, other = (bits(first[split].perceptual_hash) for split in ("train", "validation"))
    unlike = [int(bit) for bit in np.flatnonzero(one != other)]
    chain = [
        layer("human", 600 + n, flipped(first["train"].perceptual_hash, unlike[: 20 * n]))
        for n in range(len(unlike) // 20 + 1)
    ]
    alone = layer("human", 700)
    _, plan = dataset.updated([*dataset.layers, *chain, alone])
    assert sorted(out.name for out in plan.humans.leaking) == [new.name for new in chain]
    reason = f"looks like {first['train'].name} of train and {first['validation'].name} of valid"
    assert reason in plan.humans.leaking[0].reason
    in_use = plan.without_leaking(Admitted((*dataset.layers, *chain, alone), ()))
    assert {one.id for one in in_use.layers} == {one.id for one in (*dataset.layers, alone)}
    assert {out.name for out in in_use.left_out} == {one.name for one in chain}
    assert alone.id in plan.split_of()
    assert not {new.id for new in chain} & set(plan.split_of())


def test_a_layer_that_changed_its_role_leaves_the_old_one() -> None:
    dataset = Dataset.planned(layers(10, 10), recipe(2, 0.2), 0)
    moved = next(one for one in dataset.layers if one.role == "background")
    rest = [one for one in dataset.layers if one != moved]
    after, _ = dataset.updated([*rest, dataclasses.replace(moved, role="human")])
    pairs = after.pairs().values()
    assert moved.id in {pair.human for pair in pairs}
    assert moved.id not in {pair.background for pair in pairs}


def test_a_split_that_would_be_left_without_a_layer_is_an_error() -> None:
    dataset = Dataset.planned(layers(5, 5), recipe(2, 0.2), 0)
    only = next(k.layer for k in dataset.known if k.split == "validation")
    with pytest.raises(PlanError, match="leaves validation without a human"):
        dataset.updated([one for one in dataset.layers if one != only])
    after, _ = dataset.updated(
        [*(one for one in dataset.layers if one != only), layer("human", 50)]
    )
    assert {shard.split for shard in after.shards} == {"train", "validation"}


def test_naming_only_the_new_layers_is_an_error() -> None:
    dataset = Dataset.planned(layers(10, 10), recipe(2, 0.2), 0)
    with pytest.raises(PlanError, match=r"lack 10 of the 10 humans.*Name all sources"):
        dataset.updated([layer("human", 99), *dataset.layers[10:]])


def test_a_new_shard_never_takes_the_name_of_one_that_stays() -> None:
    before = Dataset.planned(layers(12, 6), recipe(2, 0.0, shard_megabytes=1.0), 0)
    assert len(before.shards) >= 3
    first = before.shards[0].humans
    left = [one for one in before.layers if one.id not in first]
    smaller, _ = before.updated(left)
    assert smaller.shards[0].index == 1
    more = [layer("human", number) for number in range(50, 53)]
    larger, _ = smaller.updated([*left, *more])
    names = [shard.file_name for shard in larger.shards]
    assert len(set(names)) == len(names) > len(smaller.shards)
