"""Options that several commands have, and what they choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
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
