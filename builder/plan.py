"""Pure: which human meets which background, in which split and shard, and with which seed.

Nothing here reads a file or depends on the order or the names of the layers. A plan holds two
arrays of layer ids a split; the pairs follow from them by arithmetic, so a plan of ten million
composites takes no more memory than its layers.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from builder.errors import PlanError
from builder.hashing import MIRRORED_BITS
from builder.recipe import Recipe
from builder.sources.layer import Layer, Role

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")

# Encoded image and mask, upper estimates in bytes a pixel (measured: benchmarks/encoded_size.py).
# A shard's rows are fixed before a byte of it exists, so that no shard depends on another.
BYTES_PER_PIXEL = {"jpeg": 0.8, "webp": 0.5, "png": 2.6}
_LABEL_BYTES_PER_PIXEL = {"mask": 0.0, "trimap": 0.05, "foreground": 1.0, "background": 2.2}
_HASH_BLOCK = 1024
# So few stay decoded while a shard is made; see `builder.shards`.
_COMPANIONS = 24
_FEW_BACKGROUNDS = 8


@dataclass(frozen=True)
class Pair:
    """One composite to be made: the `k`-th of `human`, on `background`, both layer ids."""

    human: str
    background: str
    k: int

    @property
    def id(self) -> str:
        """The row's id, unique within a dataset."""
        return f"{self.human}-{self.k:04d}"


@dataclass(frozen=True)
class Shard:
    """The humans of one Parquet file, each with its whole share of `per_human` pairs.

    `backgrounds` are in the order in which the pairs take them, round and round. `companions` are
    those who may join the shard's humans in a picture; see `companions_of`.
    """

    split: Split
    index: int
    humans: tuple[str, ...]
    backgrounds: tuple[str, ...]
    per_human: int
    companions: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The name within the data folder. It holds no total, so adding shards renames none."""
        return f"{self.split}-{self.index:05d}.parquet"

    @property
    def rows(self) -> int:
        """The number of pairs."""
        return len(self.humans) * self.per_human

    def parts(self, humans: int) -> list[Shard]:
        """Return shards of fewer humans each, which together have the same pairs, in order."""
        parts = []
        for first in range(0, len(self.humans), humans):
            start = first * self.per_human % len(self.backgrounds)
            turned = (*self.backgrounds[start:], *self.backgrounds[:start])
            own = self.humans[first : first + humans]
            met = turned[: len(own) * self.per_human]
            parts.append(dataclasses.replace(self, humans=own, backgrounds=met))
        return parts

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs, one human after the other, so that each is decoded once."""
        return map(self.pair, range(self.rows))

    def pair(self, slot: int) -> Pair:
        """Return one of the pairs, of which there are `rows`."""
        human, k = divmod(slot, self.per_human)
        return Pair(self.humans[human], self.backgrounds[slot % len(self.backgrounds)], k)


@dataclass(frozen=True)
class SplitPlan:
    """One split: layer ids in their seeded order.

    Slot `n` of the split is pair `n % per_human` of human `n // per_human`. Every background is
    used equally often, give or take one, and no human gets the same one twice before it has met all
    of them. Where backgrounds are used several times, a few of them serve all of their pairs before
    the next few do, so that each is decoded once.
    """

    split: Split
    humans: tuple[str, ...]
    backgrounds: tuple[str, ...]
    per_human: int
    humans_per_shard: int
    company: bool = False

    @property
    def rows(self) -> int:
        """The number of pairs."""
        return len(self.humans) * self.per_human

    def shards(self) -> list[Shard]:
        """Return the shards, in order."""
        return [
            self._shard(index, first)
            for index, first in enumerate(range(0, len(self.humans), self.humans_per_shard))
        ]

    def _shard(self, index: int, first: int) -> Shard:
        humans = self.humans[first : first + self.humans_per_shard]
        return Shard(
            split=self.split,
            index=index,
            humans=humans,
            backgrounds=self._backgrounds_from(first),
            per_human=self.per_human,
            companions=candidates(humans, self.company),
        )

    def _backgrounds_from(self, first: int) -> tuple[str, ...]:
        """Return the backgrounds as the humans of the shard from `first` on meet them.

        Where all of them go round and round, one round is enough.
        """
        total = len(self.backgrounds)
        start = first * self.per_human
        if total // self._few < 2:
            needed = min(total, self.humans_per_shard * self.per_human)
            return tuple(self.backgrounds[(start + n) % total] for n in range(needed))
        end = min(start + self.humans_per_shard * self.per_human, self.rows)
        return tuple(self.backgrounds[self._background_at(slot)] for slot in range(start, end))

    @property
    def _few(self) -> int:
        """How many backgrounds serve their pairs together: more than one human meets."""
        return max(_FEW_BACKGROUNDS, self.per_human + 1)

    def _background_at(self, slot: int) -> int:
        """Return the number of the background of a slot, where there are twice `_few` or more.

        A round of a few begins one further on than the round before, so that the next humans meet
        another choice of them. What is left after all have served equally often is shared out
        singly.
        """
        total, few = len(self.backgrounds), self._few
        uses = self.rows // total
        if slot >= uses * total:
            return slot - uses * total
        turn = min(slot // (uses * few), total // few - 1)
        first = turn * few
        # The last few take in those that would not make another few.
        count = few if turn < total // few - 1 else total - first
        own = slot - first * uses
        return first + (own + own // count) % count


@dataclass(frozen=True)
class Plan:
    """The splits of a dataset; a split without humans is absent."""

    splits: tuple[SplitPlan, ...]

    @property
    def rows(self) -> int:
        """The number of pairs over all splits."""
        return sum(split.rows for split in self.splits)

    def shards(self) -> list[Shard]:
        """Return all shards, split after split."""
        return [shard for split in self.splits for shard in split.shards()]

    def split_of(self) -> dict[str, Split]:
        """Return the split of each layer id."""
        return {
            layer_id: split.split
            for split in self.splits
            for layer_id in (*split.humans, *split.backgrounds)
        }


def make_plan(layers: Sequence[Layer], recipe: Recipe, seed: int) -> Plan:
    """Split and pair the layers.

    Args:
        layers: usable layers of both roles, in any order, without byte-identical duplicates.
        recipe: `per_human`, `validation`, `near_duplicate_bits`, `size`, `image_format`,
            `shard_megabytes` and `second_figure_probability` matter.
        seed: any integer; another seed gives other splits, pairs and composites.

    Raises:
        PlanError: no human or no background, or too few unlike ones to set some apart.
    """
    humans = _split_role("human", layers, recipe, seed)
    backgrounds = _split_role("background", layers, recipe, seed)
    return Plan(
        tuple(
            SplitPlan(
                split=split,
                humans=tuple(layer.id for layer in humans[split]),
                backgrounds=tuple(layer.id for layer in backgrounds[split]),
                per_human=recipe.per_human,
                humans_per_shard=humans_per_shard(backgrounds[split], recipe),
                company=recipe.second_figure_probability > 0,
            )
            for split in SPLITS
            if humans[split]
        )
    )


def candidates(humans: Sequence[str], company: bool) -> tuple[str, ...]:
    """Return who of a shard may join its other humans, so that one who goes changes it alone."""
    return tuple(humans[:_COMPANIONS]) if company and len(humans) > 1 else ()


def companions_of(shard: Shard, pair: Pair, recipe: Recipe, seed: int) -> tuple[str, ...]:
    """Return who joins the human of a pair in its picture: no other human, one, or two.

    A candidate's rank depends on the seed, the pair and itself alone, so that one who is gone
    changes the pairs that showed it, and no other (rendezvous hashing: Thaler and Ravishankar,
    "Using name-based mappings to increase hit rates", 1998).

    Args:
        shard: of the pair.
        pair: from `Shard.pairs`.
        recipe: `second_figure_probability` and `third_figure_probability` matter.
        seed: of the dataset.
    """
    if not shard.companions:
        return ()
    drawn = int.from_bytes(seeded_key(seed, f"{pair.id}/company")[:8], "big") / 2**64
    if drawn >= recipe.second_figure_probability:
        return ()
    third = drawn < recipe.second_figure_probability * recipe.third_figure_probability
    others = (other for other in shard.companions if other != pair.human)
    ranked = sorted(others, key=lambda other: seeded_key(seed, f"{pair.id}/{other}"))
    return tuple(ranked[: 1 + third])


def near_duplicate_groups(hashes: Sequence[str], max_bits: int) -> npt.NDArray[np.intp]:
    """Group perceptual hashes that are close, directly or through others, mirrored or not.

    Args:
        hashes: perceptual hashes of 64 hex digits.
        max_bits: largest Hamming distance that counts as close.

    Returns:
        intp (len(hashes),): for each hash, the smallest index of its group.
    """
    group = np.arange(len(hashes))
    for start in range(0, len(hashes), _HASH_BLOCK):
        block = hashes[start : start + _HASH_BLOCK]
        for one, other in near_duplicates(block, hashes[start:], max_bits):
            _join(group, start + one, start + other)
    return np.array([_root(group, index) for index in range(len(hashes))], dtype=np.intp)


def near_duplicates(
    hashes: Sequence[str], others: Sequence[str], max_bits: int
) -> Iterator[tuple[int, int]]:
    """Yield the (index, index of others) of perceptual hashes that are close, mirrored or not."""
    signs, other_signs = _signs(hashes), _signs(others)
    mirrored = other_signs * np.where(MIRRORED_BITS, np.float32(-1), np.float32(1))
    least_agreement = len(MIRRORED_BITS) - 2 * max_bits
    for start in range(0, len(hashes), _HASH_BLOCK):
        block = signs[start : start + _HASH_BLOCK]
        near = np.maximum(block @ other_signs.T, block @ mirrored.T) >= least_agreement
        for one, other in np.argwhere(near):
            yield start + int(one), int(other)


def _signs(hashes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the bits as +-1: a matrix product counts agreements, exactly and as fast as BLAS."""
    packed = np.frombuffer(bytes.fromhex("".join(hashes)), np.uint8)
    bits = np.unpackbits(packed).reshape(len(hashes), len(MIRRORED_BITS))
    return bits.astype(np.float32) * 2 - 1


def _root(group: npt.NDArray[np.intp], index: int) -> int:
    while group[index] != index:
        group[index] = group[group[index]]
        index = int(group[index])
    return index


def _join(group: npt.NDArray[np.intp], one: int, other: int) -> None:
    low, high = sorted((_root(group, one), _root(group, other)))
    group[high] = low


def _split_role(
    role: Role, layers: Sequence[Layer], recipe: Recipe, seed: int
) -> dict[Split, list[Layer]]:
    """Set whole groups of near-duplicates apart for validation; both results in seeded order."""
    ordered = seeded_order([layer for layer in layers if layer.role == role], seed)
    if not ordered:
        raise PlanError(f"There is no usable {role}: a pair needs a human and a background.")
    groups = group_alike(ordered, recipe.near_duplicate_bits)
    target = round(len(ordered) * recipe.validation)
    if recipe.validation:
        # Whatever the share, each split needs a layer.
        target = min(max(target, 1), len(ordered) - 1)
    chosen = choose_groups(groups, target)
    if target and not chosen:
        chosen = {min(range(len(groups)), key=lambda number: len(groups[number]))}
    if recipe.validation and (not chosen or len(chosen) == len(groups)):
        alike = "" if len(ordered) == 1 else ", and all look alike"
        raise PlanError(
            f"validation = {recipe.validation:g} needs two unlike {role}s, one for each split; "
            f"there are {len(ordered)}{alike}. Add layers, or set validation to 0."
        )
    return {
        "train": [layer for n, group in enumerate(groups) if n not in chosen for layer in group],
        "validation": [layer for n, group in enumerate(groups) if n in chosen for layer in group],
    }


def seeded_order(layers: Sequence[Layer], seed: int) -> list[Layer]:
    """Return the layers in the order in which splits and pairs take them."""
    return sorted(layers, key=lambda layer: seeded_key(seed, layer.id))


def seeded_key(seed: int, layer_id: str) -> bytes:
    """Return what sorts layers in an order that depends on nothing but the seed and their bytes."""
    return hashlib.sha256(f"{seed}/{layer_id}".encode()).digest()


def group_alike(ordered: list[Layer], max_bits: int) -> list[list[Layer]]:
    """Return the groups of near-duplicates, in the order of their first members."""
    roots = near_duplicate_groups([layer.perceptual_hash for layer in ordered], max_bits)
    groups: dict[int, list[Layer]] = {}
    for root, layer in zip(roots, ordered, strict=True):
        groups.setdefault(int(root), []).append(layer)
    return list(groups.values())


def choose_groups(groups: list[list[Layer]], target: int) -> set[int]:
    """Return the numbers of the groups, taken in order, that fit into `target` layers."""
    chosen: set[int] = set()
    room = target
    for number, group in enumerate(groups):
        if len(group) <= room:
            chosen.add(number)
            room -= len(group)
    return chosen


def humans_per_shard(backgrounds: Sequence[Layer], recipe: Recipe) -> int:
    """Return how many humans' pairs make a shard of about `shard_megabytes`."""
    frames = (recipe.frame_size(layer.width, layer.height) for layer in backgrounds)
    pixels = sum(width * height for width, height in frames) / len(backgrounds)
    per_pixel = BYTES_PER_PIXEL[recipe.image_format]
    per_pixel += sum(_LABEL_BYTES_PER_PIXEL[label] for label in recipe.labels)
    human_bytes = recipe.per_human * pixels * per_pixel
    return max(1, int(recipe.shard_megabytes * 1e6 / human_bytes))
