"""Pure: from the plan that a dataset was built with to one for the layers that there are now.

Shards whose layers are all still there stay as they are. New humans go into new shards and meet the
backgrounds that were used least. A removed layer changes the shards that used it, and of these only
the pairs that it was part of.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from builder.errors import PlanError
from builder.layers import Admitted, LeftOut
from builder.plan import (
    SPLITS,
    Shard,
    Split,
    candidates,
    choose_groups,
    group_alike,
    humans_per_shard,
    near_duplicates,
    seeded_key,
    seeded_order,
)
from builder.recipe import Recipe
from builder.sources.layer import Layer, Role

# Whoever names only the new layers as sources would have most of a dataset removed.
_MOST_REMOVED = 0.5


class KnownLayer(Protocol):
    """A layer of the dataset as it was built; see `builder.sources.layer.Layer`."""

    @property
    def id(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def name(self) -> str: ...
    @property
    def split(self) -> Split: ...
    @property
    def perceptual_hash(self) -> str: ...


@dataclass(frozen=True)
class RoleChange:
    """What became of the layers of one role.

    Attributes:
        used: the layers of now, without those that would leak.
        new: those of `used` that the dataset did not have, in seeded order.
        gone: ids of those that it had and that are not there any more.
        split_of: the split of each of `used`, by id.
        leaking: new layers that look like layers of both splits.
    """

    used: tuple[Layer, ...]
    new: tuple[Layer, ...]
    gone: frozenset[str]
    split_of: dict[str, Split]
    leaking: tuple[LeftOut, ...]

    def of(self, split: Split) -> list[Layer]:
        """Return the layers in use of a split."""
        return [layer for layer in self.used if self.split_of[layer.id] == split]


@dataclass(frozen=True)
class Replan:
    """What a dataset is to hold: all shards, split after split, and what became of the layers."""

    shards: tuple[Shard, ...]
    humans: RoleChange
    backgrounds: RoleChange

    def split_of(self) -> dict[str, Split]:
        """Return the split of each layer id."""
        return {**self.humans.split_of, **self.backgrounds.split_of}

    def without_leaking(self, admitted: Admitted) -> Admitted:
        """Return the layers in use, and all that are left out."""
        leaking = (*self.humans.leaking, *self.backgrounds.leaking)
        left_out = sorted((*admitted.left_out, *leaking), key=lambda out: (out.role, out.name))
        used = (*self.humans.used, *self.backgrounds.used)
        return Admitted(used, tuple(left_out), admitted.examined)


def replan(
    known: Sequence[KnownLayer],
    shards: Sequence[Shard],
    layers: Sequence[Layer],
    recipe: Recipe,
    seed: int,
) -> Replan:
    """Plan an update.

    Args:
        known: the layers of the dataset as it was built.
        shards: what it was built with.
        layers: all usable layers of now, in any order, without byte-identical duplicates.
        recipe: that of the dataset.
        seed: that of the dataset.

    Raises:
        PlanError: most layers are gone, or a split is left without a human or a background.
    """
    humans = _change("human", known, layers, recipe, seed)
    backgrounds = _change("background", known, layers, recipe, seed)
    planned: list[Shard] = []
    for split in SPLITS:
        old = [shard for shard in shards if shard.split == split]
        joining = [layer.id for layer in humans.new if humans.split_of[layer.id] == split]
        if old or joining:
            planned += _update_split(
                split, old, humans.gone, joining, backgrounds.of(split), recipe, seed
            )
    return Replan(tuple(planned), humans, backgrounds)


def _change(
    role: Role,
    known: Sequence[KnownLayer],
    layers: Sequence[Layer],
    recipe: Recipe,
    seed: int,
) -> RoleChange:
    before = {layer.id: layer for layer in known if layer.role == role}
    now = [layer for layer in layers if layer.role == role]
    gone = frozenset(before) - {layer.id for layer in now}
    _refuse_mass_removal(role, len(gone), len(before))
    new = seeded_order([layer for layer in now if layer.id not in before], seed)
    split_of = {layer_id: layer.split for layer_id, layer in before.items() if layer_id not in gone}
    free, leaking = _follow_lookalikes(new, list(before.values()), gone, split_of, recipe)
    _share_out(role, free, split_of, recipe)
    _refuse_empty_split(role, split_of, recipe)
    return RoleChange(
        used=tuple(layer for layer in now if layer.id in split_of),
        new=tuple(layer for layer in new if layer.id in split_of),
        gone=gone,
        split_of=split_of,
        leaking=tuple(leaking),
    )


def _refuse_mass_removal(role: Role, gone: int, before: int) -> None:
    if gone > _MOST_REMOVED * before:
        raise PlanError(
            f"The sources lack {gone:,} of the {before:,} {role}s that the dataset was built from, "
            "and an update would remove their pairs. Name all sources, the old ones and the new "
            "ones; or give --rebuild to start anew."
        )


def _follow_lookalikes(
    new: list[Layer],
    before: Sequence[KnownLayer],
    gone: Collection[str],
    split_of: dict[str, Split],
    recipe: Recipe,
) -> tuple[list[list[Layer]], list[LeftOut]]:
    """Put new layers that look like known ones into their split, adding to `split_of`.

    Returns:
        The groups that look like none, and the layers that look like layers of both splits.
    """
    if not new or not before:
        return group_alike(new, recipe.near_duplicate_bits) if new else [], []
    alike: dict[str, list[KnownLayer]] = {}
    for one, other in near_duplicates(
        [layer.perceptual_hash for layer in new],
        [layer.perceptual_hash for layer in before],
        recipe.near_duplicate_bits,
    ):
        alike.setdefault(new[one].id, []).append(before[other])
    free: list[list[Layer]] = []
    leaking: list[LeftOut] = []
    for group in group_alike(new, recipe.near_duplicate_bits):
        known = [other for layer in group for other in alike.get(layer.id, [])]
        splits = {other.split for other in known if other.id not in gone}
        if not known:
            free.append(group)
        elif len(splits) == 2:
            leaking += [_leaking(layer, known) for layer in group]
        else:
            # A layer that only replaces another version of itself stays where that one was.
            split = splits.pop() if splits else max(other.split for other in known)
            split_of.update(dict.fromkeys((layer.id for layer in group), split))
    return free, leaking


def _leaking(layer: Layer, alike: Sequence[KnownLayer]) -> LeftOut:
    first = {other.split: other.name for other in reversed(alike)}
    return LeftOut(
        layer.name,
        layer.role,
        f"looks like {first['train']} of train and {first['validation']} of validation",
    )


def _share_out(
    role: Role, groups: list[list[Layer]], split_of: dict[str, Split], recipe: Recipe
) -> None:
    """Set new groups apart until validation has its share again, adding to `split_of`."""
    total = len(split_of) + sum(len(group) for group in groups)
    counts = Counter(split_of.values())
    target = round(total * recipe.validation) - counts["validation"]
    if recipe.validation and not counts["validation"]:
        target = max(target, 1)
    if not counts["train"]:
        target = min(target, total - counts["validation"] - 1)
    chosen = choose_groups(groups, target)
    if recipe.validation and not counts["validation"] and not chosen and len(groups) > 1:
        chosen = {min(range(len(groups)), key=lambda number: len(groups[number]))}
    for number, group in enumerate(groups):
        split: Split = "validation" if number in chosen else "train"
        split_of.update(dict.fromkeys((layer.id for layer in group), split))


def _refuse_empty_split(role: Role, split_of: dict[str, Split], recipe: Recipe) -> None:
    needed = SPLITS if recipe.validation else SPLITS[:1]
    for split in needed:
        if split not in split_of.values():
            raise PlanError(
                f"The update leaves {split} without a {role}. Keep one of its {role}s among the "
                "sources, add unlike ones, or give --rebuild to split all layers anew."
            )


def _update_split(
    split: Split,
    old: Sequence[Shard],
    gone_humans: Collection[str],
    joining: Sequence[str],
    backgrounds: Sequence[Layer],
    recipe: Recipe,
    seed: int,
) -> list[Shard]:
    """Return the shards of a split: old ones, with gaps closed, then those of the new humans."""
    present = {layer.id for layer in backgrounds}
    staying = [_without_gone_company(shard, gone_humans) for shard in old]
    remaining = [_Remaining.of(shard, gone_humans, present) for shard in staying]
    uses = Counter(dict.fromkeys(present, 0))
    for shard in remaining:
        uses.update(shard.kept_backgrounds())
    least_used = _LeastUsed(uses, seed)
    shards = [shard.filled(least_used) for shard in remaining if shard.humans]
    size = humans_per_shard(backgrounds, recipe)
    company = recipe.second_figure_probability > 0
    next_index = max((shard.index for shard in old), default=-1) + 1
    for number, first in enumerate(range(0, len(joining), size)):
        humans = tuple(joining[first : first + size])
        taken = [b for _ in humans for b in least_used.take(recipe.per_human, ())]
        others = candidates(humans, company)
        index = next_index + number
        shards.append(Shard(split, index, humans, tuple(taken), recipe.per_human, others))
    return shards


def _without_gone_company(shard: Shard, gone: Collection[str]) -> Shard:
    """Return the shard without companions that are gone: they are of its humans, so it changes."""
    remaining = tuple(other for other in shard.companions if other not in gone)
    return dataclasses.replace(shard, companions=remaining)


@dataclass(frozen=True)
class _Remaining:
    """An old shard without what is gone; `backgrounds` of the pairs of each human, None for gaps.

    `untouched` is the shard itself if it lost nothing.
    """

    old: Shard
    humans: tuple[str, ...]
    backgrounds: tuple[tuple[str | None, ...], ...]

    @classmethod
    def of(cls, shard: Shard, gone_humans: Collection[str], present: Collection[str]) -> _Remaining:
        own: dict[str, list[str | None]] = {}
        for pair in shard.pairs():
            if pair.human not in gone_humans:
                background = pair.background if pair.background in present else None
                own.setdefault(pair.human, []).append(background)
        return cls(shard, tuple(own), tuple(tuple(backgrounds) for backgrounds in own.values()))

    def kept_backgrounds(self) -> list[str]:
        """Return the backgrounds in use, as often as they are."""
        return [b for own in self.backgrounds for b in own if b is not None]

    def filled(self, least_used: _LeastUsed) -> Shard:
        """Return the shard with its gaps closed; itself if it lost nothing."""
        if len(self.kept_backgrounds()) == self.old.rows:
            return self.old
        filled: list[str] = []
        for own in self.backgrounds:
            substitutes = iter(least_used.take(own.count(None), [b for b in own if b is not None]))
            filled += [next(substitutes) if b is None else b for b in own]
        return dataclasses.replace(self.old, humans=self.humans, backgrounds=tuple(filled))


class _LeastUsed:
    """Hands out backgrounds, those that were used least first."""

    def __init__(self, uses: Counter[str], seed: int) -> None:
        self._heap = [(count, seeded_key(seed, layer), layer) for layer, count in uses.items()]
        heapq.heapify(self._heap)

    def take(self, count: int, avoid: Collection[str]) -> list[str]:
        """Return so many unlike ones, none of `avoid`; where there are not so many, some again."""
        taken: list[str] = []
        while len(taken) < count:
            avoided = {*avoid, *taken}
            passed = []
            while self._heap and self._heap[0][2] in avoided:
                passed.append(heapq.heappop(self._heap))
            entry = heapq.heappop(self._heap) if self._heap else passed.pop(0)
            taken.append(entry[2])
            for used in passed:
                heapq.heappush(self._heap, used)
            heapq.heappush(self._heap, (entry[0] + 1, *entry[1:]))
        return taken
