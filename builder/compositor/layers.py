"""What a compositor is made of: the layers of a split, and the shards that say who meets whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from builder.engines import available_workers
from builder.errors import SourceError
from builder.layers import admit_all
from builder.manifest import Manifest, ManifestLayer, read_manifest
from builder.plan import SPLITS, Shard, make_plan
from builder.recipe import DEFAULT_RECIPE, Recipe, load_recipe
from builder.sources import Found, Sources, collect
from builder.sources.layer import Candidate, Layer, Role, checksum_of, content_id
from builder.sources.published import HUB
from builder.sources.tables import Spool, table_candidates


def chosen_recipe(
    recipe: str | os.PathLike[str] | Recipe | None,
    settings: Mapping[str, Any] | None,
    split: str | None,
) -> Recipe:
    base = recipe if isinstance(recipe, Recipe) else load_recipe(Path(recipe or DEFAULT_RECIPE))
    """Return the recipe with all changes; without a split, one that sets nothing apart."""
    all_in_one = {} if split else {"validation": 0.0}
    return base.replace({**(settings or {}), **all_in_one})


def read_plan(plan: str | os.PathLike[str] | Manifest) -> Manifest:
    """Return the manifest of a dataset: given, in a folder, or on the Hub."""
    if isinstance(plan, Manifest):
        return plan
    if Path(plan).is_dir():
        return read_manifest(Path(plan))
    # Where nothing is read from the Hub, its client need not be of a version that can publish.
    from builder.hub import read_published_manifest

    return read_published_manifest(os.fspath(plan).removeprefix(HUB))


def find_layers(
    source: Any, humans: Any, backgrounds: Any, spool: Spool, *, progress: bool
) -> Found:
    """Return the candidates of both roles, wherever they are."""
    if (humans is None) != (backgrounds is None):
        raise SourceError("Give humans and backgrounds, or a source of both with source=.")
    found = Found()
    paths: dict[Role, tuple[str, ...]] = {"human": (), "background": ()}
    given: dict[Role, Any] = {"human": humans, "background": backgrounds}
    for role, layers in given.items():
        if layers is None or isinstance(layers, (str, os.PathLike, list, tuple)):
            paths[role] = _paths(layers or ())
        else:
            found.candidates += table_candidates(layers, role, spool)
    sources = Sources(_paths(source), paths["human"], paths["background"])
    if not found.candidates or sources.sources or any(paths.values()):
        found.merge(collect(sources, progress=progress))
    return found


def _paths(value: Any) -> tuple[str, ...]:
    if isinstance(value, (str, os.PathLike)):
        return (os.fspath(value),)
    return tuple(os.fspath(path) for path in value)


def plan_split(
    found: Found, recipe: Recipe, seed: int, split: str | None, *, progress: bool
) -> tuple[list[Shard], dict[str, Layer]]:
    """Check the layers and plan, as a build does."""
    threads = available_workers()
    admitted = admit_all(found.candidates, recipe, threads=threads, progress=progress)
    plan = make_plan(admitted.layers, recipe, seed)
    shards = [shard for shard in plan.shards() if shard.split == (split or "train")]
    return shards, {layer.id: layer for layer in admitted.layers}


def published_split(
    found: Found, manifest: Manifest, split: str | None
) -> tuple[list[Shard], dict[str, Layer]]:
    """Return the shards of a dataset, and those of its layers that they need."""
    splits = (split,) if split else SPLITS
    shards = [shard for shard in manifest.planned() if shard.split in splits]
    if not shards:
        raise SourceError(f"The plan has no pairs of {split}.")
    wanted = {layer.id: layer for layer in manifest.layers if layer.split in splits}
    with ThreadPoolExecutor(available_workers()) as pool:
        identified = pool.map(_identified, found.candidates)
        layers = {
            known.id: _layer(known, candidate, checksum)
            for candidate, (identity, checksum) in zip(found.candidates, identified, strict=True)
            if (known := wanted.get(identity))
        }
    missing = [layer.name for layer in wanted.values() if layer.id not in layers]
    if missing:
        raise SourceError(
            f"{len(missing):,} of the {len(wanted):,} layers of the plan are not among those "
            f"given: {', '.join(missing[:5])}. Give all that the dataset was built from."
        )
    return shards, layers


def _identified(candidate: Candidate) -> tuple[str, str]:
    """Return id and checksum of a layer; empty for one that cannot be read, which is of no plan."""
    try:
        data = candidate.content.read()
    except SourceError:
        return "", ""
    return content_id(data), checksum_of(data)


def _layer(known: ManifestLayer, candidate: Candidate, checksum: str) -> Layer:
    return Layer(
        known.id,
        known.role,
        known.name,
        known.width,
        known.height,
        known.perceptual_hash,
        candidate.content,
        checksum,
    )
