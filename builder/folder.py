"""The dataset folder: build it, or bring it up to the layers that there are now."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.engines import Engine, LocalEngine
from builder.errors import FolderError
from builder.layer_files import plan_layer_files
from builder.layers import Admitted, Survey, admit_all
from builder.manifest import Manifest, make_manifest, manifest_text, read_manifest
from builder.places import Place
from builder.plan import Shard, make_plan
from builder.recipe import Recipe
from builder.remote import RemoteStaging, open_remote_staging
from builder.replan import Replan, replan
from builder.shards import ShardFile
from builder.sources import Found, Sources, collect
from builder.staging import Staging, open_local_staging


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        folder: the dataset folder.
        manifest: what it holds now.
        shards_written: made now; of an update, the new and the changed ones.
        shards_kept: found finished.
        seconds: wall-clock time.
        changes: what an update found; None for a build.
    """

    folder: Place
    manifest: Manifest
    shards_written: int
    shards_kept: int
    seconds: float
    changes: Changes | None = None


@dataclass(frozen=True)
class Changes:
    """How many layers came and went, and how many shards went because all their humans did."""

    humans_added: int
    humans_removed: int
    backgrounds_added: int
    backgrounds_removed: int
    shards_removed: int


def build(
    sources: Sources,
    recipe: Recipe,
    output: Place,
    *,
    seed: int = 0,
    workers: int = 1,
    engine: Engine | None = None,
    strict: bool = False,
    rebuild: bool = False,
    keep_layers: bool = False,
    progress: bool = True,
) -> BuildReport:
    """Build a dataset folder, or finish one that was interrupted.

    The same sources, recipe, seed and library versions give the same bytes. Interrupted at any
    moment, the same call goes on after the last finished shard.

    Args:
        sources: where the layers come from.
        recipe: every knob.
        output: the folder; made if it is not there. A path, or a `UPath` of another storage.
        seed: another seed gives other splits, pairs and composites.
        workers: processes that make pairs, and threads that check layers. They are spawned: with
            more than one, a script needs the usual `if __name__ == "__main__"`.
        engine: where pairs are made instead; see `builder.engines`.
        strict: whether a picture that cannot be used is an error.
        rebuild: whether to replace a dataset that was built from something else.
        keep_layers: whether the dataset holds its layers too, as `builder.layer_files` has them.
        progress: whether to show bars.

    Raises:
        SourceError: a source cannot be read, or offers nothing usable.
        PlanError: the layers do not suffice for the recipe.
        FolderError: the folder holds something else, cannot be written, or is being built already.
        WorkerLostError: a worker process was killed.
        EngineError: the cluster cannot be used.
        StorageError: a URL cannot be reached.
    """
    started = time.monotonic()
    engine = engine or LocalEngine(workers)
    with _open_staging(output, progress=progress) as staging:
        sources = sources if isinstance(engine, LocalEngine) else sources.absolute()
        found, admitted = _layers(
            sources, recipe, workers, strict=strict, measured=keep_layers, progress=progress
        )
        plan = make_plan(admitted.layers, recipe, seed)
        shards = plan.shards()
        reuse = staging.finished_anew if rebuild else staging.finished
        kept = reuse(shards, recipe, seed)
        written = _write_missing(staging, shards, kept, admitted, recipe, seed, engine)
        files = _in_order(shards, [*kept, *written])
        split_of = plan.split_of()
        kept_layers = (
            staging.write_layers(plan_layer_files(admitted, split_of, recipe))
            if keep_layers
            else ()
        )
        manifest = make_manifest(
            sources.kinds, admitted, found.ignored, split_of, files, recipe, seed, kept_layers
        )
        staging.install(manifest)
    return BuildReport(output, manifest, len(written), len(kept), time.monotonic() - started)


def update(
    sources: Sources,
    output: Place,
    *,
    knobs: Mapping[str, Any] | None = None,
    seed: int | None = None,
    published: Manifest | None = None,
    workers: int = 1,
    engine: Engine | None = None,
    strict: bool = False,
    keep_layers: bool = False,
    progress: bool = True,
) -> BuildReport:
    """Bring a dataset up to the layers that the sources hold now.

    New humans go into new shards. A layer that is gone, or that cannot be used any more, changes
    the shards that used it; all other shards keep their bytes. See `builder.replan`.

    Args:
        sources: where all layers come from, the old ones too.
        output: the folder of the dataset.
        knobs, seed: what the caller takes for the dataset's; None for whatever it has.
        published: the manifest of a dataset that is on the Hub and not in `output`; then `output`
            gets a hidden `.update` with what changed, which only publishing understands.
        workers, engine, strict, progress: as in `build`.
        keep_layers: as in `build`; a dataset that keeps them goes on doing so.

    Raises:
        FolderError: as in `build`; or there is no dataset, or its recipe or seed is another one.
        RecipeError: an unknown knob.
        SourceError, PlanError, WorkerLostError: as in `build`; most layers are gone.
    """
    started = time.monotonic()
    engine = engine or LocalEngine(workers)
    if not isinstance(output, Path):
        raise FolderError(
            f"{output}: an update needs a folder of the local disk. Build it anew with --rebuild, "
            "or from a copy of it here."
        )
    with open_local_staging(output, progress=progress) as staging:
        before = published or read_manifest(output)
        if published:
            staging.refuse_whole()
        _refuse_change(output, before, knobs or {}, seed)
        sources = sources if isinstance(engine, LocalEngine) else sources.absolute()
        keep_layers = keep_layers or bool(before.layer_files)
        found, admitted = _layers(
            sources, before.recipe, workers, strict=strict, measured=keep_layers, progress=progress
        )
        plan = replan(before.layers, before.planned(), admitted.layers, before.recipe, before.seed)
        kept = _kept(staging, plan, before, in_place=not published)
        anew = [shard for shard in plan.shards if shard.file_name not in {k.name for k in kept}]
        staged = staging.finished_anew(anew, before.recipe, before.seed)
        written = _write_missing(
            staging, anew, staged, admitted, before.recipe, before.seed, engine
        )
        in_use, split_of = plan.without_leaking(admitted), plan.split_of()
        kept_layers = (
            staging.write_layers(
                plan_layer_files(in_use, split_of, before.recipe),
                published.layer_files if published else (),
            )
            if keep_layers
            else ()
        )
        manifest = _updated(
            before,
            make_manifest(
                sources.kinds,
                in_use,
                found.ignored,
                split_of,
                _in_order(plan.shards, [*kept, *staged, *written]),
                before.recipe,
                before.seed,
                kept_layers,
            ),
        )
        if published:
            staging.install_part(manifest)
        else:
            staging.install(manifest)
    return BuildReport(
        output,
        manifest,
        len(written) + len(staged),
        len(kept),
        time.monotonic() - started,
        _changes(plan, before),
    )


def _open_staging(
    output: Place, *, progress: bool
) -> AbstractContextManager[Staging | RemoteStaging]:
    if isinstance(output, Path):
        return open_local_staging(output, progress=progress)
    return open_remote_staging(output, progress=progress)


def _layers(
    sources: Sources,
    recipe: Recipe,
    workers: int,
    *,
    strict: bool,
    measured: bool,
    progress: bool,
) -> tuple[Found, Admitted]:
    found = collect(sources, progress=progress)
    admitted = admit_all(
        found.candidates,
        recipe,
        exclusion=found.exclusion,
        survey=Survey() if measured else None,
        threads=workers,
        strict=strict,
        progress=progress,
    )
    return found, admitted


def _write_missing(
    staging: Staging | RemoteStaging,
    shards: Sequence[Shard],
    finished: list[ShardFile],
    admitted: Admitted,
    recipe: Recipe,
    seed: int,
    engine: Engine,
) -> list[ShardFile]:
    names = {file.name for file in finished}
    missing = [shard for shard in shards if shard.file_name not in names]
    layers = {layer.id: layer for layer in admitted.layers}
    return staging.write(missing, layers, recipe, seed, engine)


def _in_order(shards: Sequence[Shard], files: list[ShardFile]) -> list[ShardFile]:
    by_name = {file.name: file for file in files}
    return [by_name[shard.file_name] for shard in shards]


def _kept(staging: Staging, plan: Replan, before: Manifest, *, in_place: bool) -> list[ShardFile]:
    """Return the shards of the dataset that stay, byte for byte."""
    planned = set(plan.shards)
    staying = [
        file
        for file, shard in zip(before.shards, before.planned(), strict=True)
        if shard in planned
    ]
    if not in_place:
        return staying
    staging.refuse_strangers({file.name for file in before.shards})
    return staging.untouched(staying)


def _refuse_change(
    output: Path, before: Manifest, knobs: Mapping[str, Any], seed: int | None
) -> None:
    """Refuse knobs other than those that the other shards were made with."""
    old, new = before.recipe.to_dict(), before.recipe.replace(knobs).to_dict()
    changed = [f"{name}: {old[name]} -> {new[name]}" for name in old if old[name] != new[name]]
    if seed is not None and seed != before.seed:
        changed.append(f"seed: {before.seed} -> {seed}")
    if changed:
        raise FolderError(
            f"{output}: was built with another recipe or seed ({'; '.join(changed)}), and an "
            "update leaves finished shards as they are. Leave these options out, or give "
            "--rebuild to make all of it anew."
        )


def _updated(before: Manifest, now: Manifest) -> Manifest:
    """Return the manifest with its history; the one of before if nothing else differs."""
    same = dataclasses.replace(now, history=before.history, version=before.version)
    if same == dataclasses.replace(before, libraries=now.libraries):
        return before
    digest = hashlib.sha256(manifest_text(before).encode()).hexdigest()
    return dataclasses.replace(now, history=(*before.history, digest))


def _changes(plan: Replan, before: Manifest) -> Changes:
    names = {shard.file_name for shard in plan.shards}
    return Changes(
        humans_added=len(plan.humans.new),
        humans_removed=len(plan.humans.gone),
        backgrounds_added=len(plan.backgrounds.new),
        backgrounds_removed=len(plan.backgrounds.gone),
        shards_removed=sum(file.name not in names for file in before.shards),
    )
