"""Options that several commands have, and what they choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from builder.engines import Engine
    from builder.recipe import Recipe
    from builder.sources import Sources

_DRIVE = (
    click.option(
        "--drive-folder",
        metavar="ID|URL",
        help="A Google Drive folder of your own instead of the original one.",
    ),
    click.option(
        "--cache-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where downloads are kept.  [default: $HUMAN_SEGMENTATION_CACHE, or "
        "human-segmentation in $HF_HOME]",
    ),
)
_SOURCES = (
    click.option(
        "--source",
        "sources",
        multiple=True,
        metavar="drive|sample|PATH|hf://datasets/NAME",
        help="Where layers come from; may be given more than once. PATH is a folder or an archive "
        "in which folders (or archives) named humans and backgrounds tell the roles; or, as NAME "
        "on the Hub, a dataset built with --config layers.  [default: drive]",
    ),
    click.option(
        "--humans", multiple=True, metavar="PATH", help="A folder or archive of nothing but humans."
    ),
    click.option(
        "--backgrounds", multiple=True, metavar="PATH", help="The same, of nothing but backgrounds."
    ),
    *_DRIVE,
    click.option(
        "--sample-humans", default=24, show_default=True, help="Humans that `sample` draws."
    ),
    click.option(
        "--sample-backgrounds", default=24, show_default=True, help="Backgrounds it draws."
    ),
    click.option(
        "--sample-size", default=1024, show_default=True, help="Longer side of what it draws, px."
    ),
    click.option(
        "--exclude",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Layers not to use: ids or names, one a line.",
    ),
)
_RECIPE = (
    click.option(
        "--recipe",
        "recipe_name",
        metavar="NAME|FILE.toml",
        help="realistic, classic, plain, or a file; see `human-segmentation recipe`.  "
        "[default: realistic]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set one knob of the recipe, for example --set 'rotation=[0, 0]'.",
    ),
)

_ENGINE = (
    click.option(
        "--engine",
        type=click.Choice(["local", "ray", "slurm"]),
        default="local",
        show_default=True,
        help="Where pairs are made: here, or on a cluster, whose machines have to see the sources "
        "and --output.",
    ),
    click.option("--address", help="Of a Ray cluster.  [default: RAY_ADDRESS, or the one here]"),
    click.option("--partition", help="Of Slurm."),
    click.option("--tasks", type=click.IntRange(1), help="Shards that a cluster makes at once."),
    click.option("--time", help="Slurm's limit for a shard.  [default: 04:00:00]"),
    click.option("--memory-gb", type=float, help="Reserved for a shard.  [default: 2]"),
    click.option(
        "--sbatch",
        multiple=True,
        metavar="NAME=VALUE",
        help="A further option of sbatch, for example --sbatch account=vision.",
    ),
)
_KNOWN: dict[str, set[str]] = {
    "local": set(),
    "ray": {"address", "tasks", "memory_gb"},
    "slurm": {"partition", "tasks", "time", "memory_gb", "sbatch"},
}


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all that says where pairs are made; see `chosen_engine`."""
    return _with(_ENGINE, command)


def chosen_engine(name: str, *, sbatch: tuple[str, ...], **options: Any) -> Engine | None:
    """Return the engine of a cluster, as `engine_options` said; None for this machine.

    Raises:
        click.UsageError: an option that the engine does not know.
        EngineError: the packages for it are not installed.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if sbatch:
        given["sbatch"] = tuple(_name_and_value(text) for text in sbatch)
    unknown = sorted(given.keys() - _KNOWN[name])
    if unknown:
        option = f"--{unknown[0].replace('_', '-')}"
        raise click.UsageError(f"{option} means nothing to --engine {name}.")
    if name == "local":
        return None
    from builder.engines import ClusterOptions, cluster_engine

    return cluster_engine(name, ClusterOptions(**given))


def _name_and_value(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.removeprefix("--"), value


def drive_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what tells a folder on Google Drive, and where to keep it."""
    return _with(_DRIVE, command)


def source_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all that says where layers come from; see `sources_of`."""
    return _with(_SOURCES, command)


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command a recipe and its changes; see `chosen_recipe`."""
    return _with(_RECIPE, command)


def _with(options: Any, command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def sources_of(options: Mapping[str, Any]) -> Sources:
    """Return where the layers come from, as `source_options` said."""
    from builder.sources import DEFAULT_FOLDER, Sources

    drive_folder = options["drive_folder"] or DEFAULT_FOLDER
    return Sources(**{**options, "drive_folder": drive_folder})


def chosen_recipe(name: str, settings: tuple[str, ...], options: dict[str, Any]) -> Recipe:
    """Return the named recipe, changed by `--set` and by the options that are given."""
    from builder.recipe import load_recipe

    return load_recipe(name).replace(chosen_knobs(None, settings, options))


def chosen_knobs(
    name: str | None, settings: tuple[str, ...], options: dict[str, Any]
) -> dict[str, Any]:
    """Return the knobs that are given: all of a named recipe, those of `--set` and of options."""
    from builder.recipe import load_recipe, parse_settings

    base = load_recipe(name).to_dict() if name else {}
    given = {name: value for name, value in options.items() if value is not None}
    return {**base, **parse_settings(settings), **given}
