"""What concerns layers and recipes before a build: `download`, `inspect`, `recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from builder.options import (
    chosen_recipe,
    drive_options,
    recipe_options,
    source_options,
    sources_of,
)
from builder.report import count_of, size_of

# Nothing heavy is imported up here: `--help` should not wait for OpenCV and Arrow.


@click.command()
@drive_options
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
    click.echo(f"{count_of(len(files), 'file')}, {size_of(total)}: all in {cache}.")
    click.echo("Next:  human-segmentation build")


@click.command()
@source_options
@recipe_options
@click.option(
    "--people-detector",
    type=click.Path(path_type=Path),
    metavar="MODEL.onnx",
    help="Looks for people in backgrounds: float32 (1, 3, 224, 224), RGB from 0 to 1, to one "
    "probability.  [default: nobody looks]",
)
@click.option(
    "--report",
    default="layer-report",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the page and the tables.",
)
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: one a processor]")
def inspect(
    recipe_name: str | None,
    settings: tuple[str, ...],
    people_detector: Path | None,
    report: Path,
    workers: int | None,
    **sources: Any,
) -> None:
    """Judge every layer, changing nothing: ok, clean (usable, but look at it) or reject.

    Rejected is what `build` leaves out. Thresholds for doubt are the recipe's doubt_* knobs; its
    leave_out names the doubts that are reason enough, for `build` too.

    \b
    Examples:
      human-segmentation inspect --source my-layers
      human-segmentation inspect --source my-layers --set doubt_see_through=0.02
      human-segmentation inspect --source my-layers --set 'leave_out=["blurred"]'
      human-segmentation build --source my-layers --exclude exclude.txt
    """
    from builder.engines import available_workers
    from builder.inspection import check_report_folder, inspect_layers, write_report
    from builder.people import PeopleDetector
    from builder.recipe import DEFAULT_RECIPE
    from builder.report import print_inspection
    from builder.sources import collect

    check_report_folder(report)
    chosen = chosen_recipe(recipe_name or DEFAULT_RECIPE, settings, {})
    detector = PeopleDetector(people_detector) if people_detector else None
    found = collect(sources_of(sources))
    threads = workers or available_workers()
    rows = inspect_layers(found, chosen, detector=detector, threads=threads)
    name = detector.name if detector else None
    page = write_report(rows, report, chosen, detector=name)
    print_inspection(rows, page, detector=name)


@click.command()
@click.argument("name", default="realistic", metavar="[NAME|FILE.toml]")
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
    click.echo(chosen_recipe(name, settings, {}).to_toml(), nl=False)
