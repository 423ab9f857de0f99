"""The command line: reads options, calls the rest of the package, prints what came of it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.errors import HumanSegmentationError
from builder.version import __version__

if TYPE_CHECKING:
    from builder.folder import BuildReport, Changes
    from builder.manifest import Manifest
    from builder.recipe import Recipe

# Nothing else is imported up here: `--help` should not wait for OpenCV and Arrow.

_INTERRUPTED = 130
_TERMINATED = 143
_LISTED = 10


def main() -> None:
    """Run the command line; the exit code is 0, 1 for an error, 2 for wrong usage, or 130."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli.main(prog_name="human-segmentation", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HumanSegmentationError as error:
        click.secho(f"error: {error}", err=True, fg="red")
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. Run the same command again: it goes on from here.", err=True)
        sys.exit(_INTERRUPTED)


def _terminate(*_: object) -> None:
    click.echo("\nTerminated. Run the same command again: it goes on from here.", err=True)
    sys.exit(_TERMINATED)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Build image/mask pairs for training background removers, from transparent humans and
    backgrounds.

    \b
    Try it, without network:
      human-segmentation build --source sample
      human-segmentation preview human-segmentation --open
    """


def _drive_options(command: Any) -> Any:
    command = click.option(
        "--cache-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where downloads are kept.  [default: $HUMAN_SEGMENTATION_CACHE, or "
        "human-segmentation in $HF_HOME]",
    )(command)
    return click.option(
        "--drive-folder",
        metavar="ID|URL",
        help="A Google Drive folder of your own instead of the original one.",
    )(command)


@cli.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="drive|sample|PATH",
    help="Where layers come from; may be given more than once. PATH is a folder or an archive in "
    "which folders (or archives) named humans and backgrounds tell the roles.  [default: drive]",
)
@click.option(
    "--humans", multiple=True, metavar="PATH", help="A folder or archive of nothing but humans."
)
@click.option(
    "--backgrounds", multiple=True, metavar="PATH", help="The same, of nothing but backgrounds."
)
@_drive_options
@click.option("--sample-humans", default=24, show_default=True, help="Humans that `sample` draws.")
@click.option("--sample-backgrounds", default=24, show_default=True, help="Backgrounds it draws.")
@click.option(
    "--sample-size", default=1024, show_default=True, help="Longer side of what it draws, px."
)
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
    "--recipe",
    "recipe_name",
    metavar="NAME|FILE.toml",
    help="classic, plain, or a file; see `human-segmentation recipe`.  [default: classic]",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set one knob of the recipe, for example --set 'rotation=[0, 0]'.",
)
@click.option("--seed", type=int, help="Another seed, other pairs.  [default: 0]")
@click.option(
    "--output",
    default="human-segmentation",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The dataset folder.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
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
    sources: tuple[str, ...],
    humans: tuple[str, ...],
    backgrounds: tuple[str, ...],
    drive_folder: str | None,
    cache_dir: Path | None,
    sample_humans: int,
    sample_backgrounds: int,
    sample_size: int,
    per_human: int | None,
    validation: float | None,
    size: int | None,
    image_format: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    output: Path,
    workers: int | None,
    strict: bool,
    rebuild: bool,
    update: bool,
    update_from: str | None,
) -> None:
    """Build a dataset folder that load_dataset opens, or finish one that was interrupted.

    \b
    Examples:
      human-segmentation build                          from the original Google Drive folder
      human-segmentation build --source sample          drawn layers, no network
      human-segmentation build --source my-layers       my-layers/humans, my-layers/backgrounds.zip
      human-segmentation build --humans h.zip --backgrounds photos --size 2048 --output wide
      human-segmentation build --recipe plain --per-human 10 --set 'scale=[0.8, 1.2]'
      human-segmentation build --update --source my-layers          after adding or removing some
    """
    from builder import folder
    from builder.engines import available_workers
    from builder.sources import DEFAULT_FOLDER, Sources

    layers = Sources(
        sources=sources,
        humans=humans,
        backgrounds=backgrounds,
        drive_folder=drive_folder or DEFAULT_FOLDER,
        cache_dir=cache_dir,
        sample_humans=sample_humans,
        sample_backgrounds=sample_backgrounds,
        sample_size=sample_size,
    )
    options = {
        "per_human": per_human,
        "validation": validation,
        "size": size,
        "image_format": image_format,
    }
    workers = workers or available_workers()
    if (update or update_from) and not rebuild:
        published = _published_manifest(update_from) if update_from else None
        report = folder.update(
            layers,
            output,
            knobs=_knobs(recipe_name, settings, options),
            seed=seed,
            published=published,
            workers=workers,
            strict=strict,
        )
    else:
        report = folder.build(
            layers,
            _recipe(recipe_name or "classic", settings, options),
            output,
            seed=seed or 0,
            workers=workers,
            strict=strict,
            rebuild=rebuild,
        )
    _print_report(report)


@cli.command()
@_drive_options
def download(drive_folder: str | None, cache_dir: Path | None) -> None:
    """Download the Google Drive folder into the cache, resuming where it stopped.

    \b
    Examples:
      human-segmentation download
      human-segmentation download --drive-folder https://drive.google.com/drive/folders/ID
    """
    from builder.sources.drive import DEFAULT_FOLDER, default_cache_dir, fetch_folder

    cache = cache_dir or default_cache_dir()
    files = fetch_folder(drive_folder or DEFAULT_FOLDER, cache_dir=cache)
    total = sum(file.size for file in files)
    click.echo(f"{_count(len(files), 'file')}, {_size(total)}: all in {cache}.")
    click.echo("Next:  human-segmentation build")


@cli.command()
@click.argument("name", default="classic", metavar="[NAME|FILE.toml]")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Set a knob; as in `build`."
)
def recipe(name: str, settings: tuple[str, ...]) -> None:
    """Print a recipe as TOML: every knob with its meaning, value and allowed range.

    \b
    Examples:
      human-segmentation recipe plain
      human-segmentation recipe classic > my.toml
      human-segmentation build --recipe my.toml
    """
    click.echo(_recipe(name, settings, {}).to_toml(), nl=False)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default="human-segmentation")
@click.option(
    "--limit", default=200, show_default=True, type=click.IntRange(1), help="Pairs to show."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: DIR/preview.html]"
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
def preview(folder: Path, limit: int, output: Path | None, open_page: bool) -> None:
    """Write one self-contained HTML page that shows pairs of a dataset folder.

    \b
    Example:
      human-segmentation preview human-segmentation --open
    """
    from builder.preview import write_preview

    path = write_preview(folder, output=output, limit=limit)
    click.echo(f"Wrote {path} ({_size(path.stat().st_size)}).")
    if open_page:
        click.launch(str(path))


def _recipe(name: str, settings: tuple[str, ...], options: dict[str, Any]) -> Recipe:
    """Return the named recipe, changed by `--set` and by the options that are given."""
    from builder.recipe import load_recipe

    return load_recipe(name).replace(_knobs(None, settings, options))


def _knobs(name: str | None, settings: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Return the knobs that are given: all of a named recipe, those of `--set` and of options."""
    from builder.recipe import load_recipe, parse_settings

    base = load_recipe(name).to_dict() if name else {}
    given = {name: value for name, value in options.items() if value is not None}
    return {**base, **parse_settings(settings), **given}


def _published_manifest(repo_id: str) -> Manifest:
    from builder.hub import read_published_manifest

    return read_published_manifest(repo_id)


def _print_report(report: BuildReport) -> None:
    manifest = report.manifest
    work = f"{_count(report.shards_written, 'shard')} written, {report.shards_kept:,} kept"
    click.secho(f"\n{report.folder}: {work}, in {report.seconds:.1f} s", bold=True)
    if report.changes:
        _print_changes(report.changes)
    for split in manifest.splits:
        own = [shard for shard in manifest.shards if shard.split == split]
        click.echo(
            f"  {split:<10} {manifest.rows(split):>9,} pairs of "
            f"{_count(manifest.count('human', split), 'human')} on "
            f"{_count(manifest.count('background', split), 'background')}, "
            f"{_count(len(own), 'shard')}, {_size(sum(shard.bytes for shard in own))}"
        )
    _print_left_out(manifest)
    click.echo(f"Look:  human-segmentation preview {shlex.quote(str(report.folder))} --open")
    click.echo(f"Load:  datasets.load_dataset({str(report.folder)!r})")


def _print_changes(changes: Changes) -> None:
    click.echo(
        f"  humans +{changes.humans_added:,} -{changes.humans_removed:,}, "
        f"backgrounds +{changes.backgrounds_added:,} -{changes.backgrounds_removed:,}"
    )
    if changes.shards_removed:
        click.echo(f"  {_count(changes.shards_removed, 'shard')} gone with all their humans")
    if changes.backgrounds_added and not changes.humans_added:
        click.echo("  new backgrounds wait for new humans: finished pairs stay as they are")


def _print_left_out(manifest: Manifest) -> None:
    left_out = manifest.left_out
    if left_out:
        click.secho(
            f"  left out {_count(len(left_out), 'picture')} that cannot be used:", fg="yellow"
        )
    for out in left_out[:_LISTED]:
        click.echo(f"    {out['name']}: {out['reason']}")
    if len(left_out) > _LISTED:
        click.echo(f"    and {len(left_out) - _LISTED:,} more, all in manifest.json")
    for reason, count in Counter(manifest.ignored).most_common():
        click.echo(f"  ignored {_count(count, 'file')}: {reason}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
