"""`build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from builder.options import (
    chosen_engine,
    chosen_knobs,
    chosen_recipe,
    engine_options,
    recipe_options,
    source_options,
    sources_of,
)
from builder.report import print_build

if TYPE_CHECKING:
    from builder.manifest import Manifest

# Nothing heavy is imported up here: `--help` should not wait for OpenCV and Arrow.


@click.command()
@source_options
@click.option("--per-human", type=int, help="Composites made from each human.  [recipe: 4]")
@click.option(
    "--validation",
    type=float,
    help="Share of the humans, and of the backgrounds, set apart.  [recipe: 0.1]",
)
@click.option(
    "--size",
    type=int,
    help="Longer side of a composite, px; 0 keeps the background's own.  [recipe: 1024]",
)
@click.option(
    "--image-format",
    type=click.Choice(["jpeg", "png", "webp"]),
    help="Encoding of the composites.  [recipe: jpeg]",
)
@click.option(
    "--labels",
    metavar="NAME,NAME",
    help="What each pair comes with: mask,trimap,foreground,background.  [recipe: mask]",
)
@recipe_options
@click.option(
    "--config",
    type=click.Choice(["pairs", "layers"]),
    help="layers: keep the layers beside the pairs, as the configs humans and backgrounds, so that "
    "others can build from them.  [default: pairs; of an update, as before]",
)
@click.option("--seed", type=int, help="Another seed, other pairs.  [default: 0]")
@click.option(
    "--output",
    default="human-segmentation",
    show_default=True,
    metavar="PATH|URL",
    help="The dataset folder, here or behind a URL such as s3://bucket/folder.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
@engine_options
@click.option("--strict", is_flag=True, help="Stop at a picture that cannot be used.")
@click.option("--rebuild", is_flag=True, help="Replace a dataset that was built differently.")
@click.option(
    "--update",
    is_flag=True,
    help="Bring a dataset up to the layers there are now, leaving finished shards as they are.",
)
@click.option(
    "--update-from",
    metavar="REPO_ID",
    help="The same for a dataset on the Hub: writes to --output only what changes, for publishing.",
)
def build(
    per_human: int | None,
    validation: float | None,
    size: int | None,
    image_format: str | None,
    labels: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    config: str | None,
    seed: int | None,
    output: str,
    workers: int | None,
    engine: str,
    address: str | None,
    partition: str | None,
    tasks: int | None,
    time: str | None,
    memory_gb: float | None,
    sbatch: tuple[str, ...],
    strict: bool,
    rebuild: bool,
    update: bool,
    update_from: str | None,
    **sources: Any,
) -> None:
    """Build a dataset folder that load_dataset opens, or finish one that was interrupted.

    \b
    Examples:
      human-segmentation build                          from the original Google Drive folder
      human-segmentation build --source sample          drawn layers, no network
      human-segmentation build --source my-layers       my-layers/humans, my-layers/backgrounds.zip
      human-segmentation build --humans h.zip --backgrounds photos --size 2048 --output wide
      human-segmentation build --recipe plain --per-human 10 --set 'scale=[0.8, 1.2]'
      human-segmentation build --source my-layers --config layers   keeps the layers in it, too
      human-segmentation build --source hf://datasets/me/pairs      from layers kept that way
      human-segmentation build --update --source my-layers          after adding or removing some
      human-segmentation build --source s3://me/layers --output s3://me/pairs --engine ray
      human-segmentation build --source my-layers --engine slurm --partition cpu --tasks 64
    """
    from builder import folder
    from builder.engines import available_workers, keep_freed_memory
    from builder.places import place_of
    from builder.recipe import DEFAULT_RECIPE

    keep_freed_memory()
    layers = sources_of(sources)
    options = {
        "per_human": per_human,
        "validation": validation,
        "size": size,
        "image_format": image_format,
        "labels": labels,
    }
    workers = workers or available_workers()
    cluster = chosen_engine(
        engine,
        address=address,
        partition=partition,
        tasks=tasks,
        time=time,
        memory_gb=memory_gb,
        sbatch=sbatch,
    )
    place = place_of(output)
    published = _published_manifest(update_from) if update_from and not rebuild else None
    if (update or update_from) and not rebuild:
        report = folder.update(
            layers,
            place,
            knobs=chosen_knobs(recipe_name, settings, options),
            seed=seed,
            published=published,
            workers=workers,
            engine=cluster,
            strict=strict,
            keep_layers=config == "layers",
        )
    else:
        report = folder.build(
            layers,
            chosen_recipe(recipe_name or DEFAULT_RECIPE, settings, options),
            place,
            seed=seed or 0,
            workers=workers,
            engine=cluster,
            strict=strict,
            rebuild=rebuild,
            keep_layers=config == "layers",
        )
    print_build(report, publish_to=update_from if published else None)


def _published_manifest(repo_id: str) -> Manifest:
    from builder.hub import read_published_manifest

    return read_published_manifest(repo_id)
