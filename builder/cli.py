"""The command line: reads options, calls the rest of the package, prints what came of it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.errors import HumanSegmentationError
from builder.options import (
    chosen_knobs,
    chosen_recipe,
    drive_options,
    recipe_options,
    source_options,
    sources_of,
)
from builder.report import count_of, print_build, size_of
from builder.version import __version__

if TYPE_CHECKING:
    from builder.hub import PublishPlan
    from builder.manifest import Manifest

# Nothing else is imported up here: `--help` should not wait for OpenCV and Arrow.

_INTERRUPTED = 130
_TERMINATED = 143


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


@cli.command()
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
    per_human: int | None,
    validation: float | None,
    size: int | None,
    image_format: str | None,
    labels: str | None,
    recipe_name: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    output: Path,
    workers: int | None,
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
      human-segmentation build --update --source my-layers          after adding or removing some
    """
    from builder import folder
    from builder.engines import available_workers
    from builder.recipe import DEFAULT_RECIPE

    layers = sources_of(sources)
    options = {
        "per_human": per_human,
        "validation": validation,
        "size": size,
        "image_format": image_format,
        "labels": labels,
    }
    workers = workers or available_workers()
    published = _published_manifest(update_from) if update_from and not rebuild else None
    if (update or update_from) and not rebuild:
        report = folder.update(
            layers,
            output,
            knobs=chosen_knobs(recipe_name, settings, options),
            seed=seed,
            published=published,
            workers=workers,
            strict=strict,
        )
    else:
        report = folder.build(
            layers,
            chosen_recipe(recipe_name or DEFAULT_RECIPE, settings, options),
            output,
            seed=seed or 0,
            workers=workers,
            strict=strict,
            rebuild=rebuild,
        )
    print_build(report, publish_to=update_from if published else None)


@cli.command()
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


@cli.command()
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


@cli.command()
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
    click.echo(f"Wrote {path} ({size_of(path.stat().st_size)}).")
    if open_page:
        click.launch(str(path))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default="human-segmentation")
@click.option(
    "--license",
    "license_id",
    metavar="ID",
    help="The licence of the pictures, by its id on the Hub.  [default: as it was; at first "
    "apache-2.0 for what this tool drew, and unknown for all else]",
)
def card(folder: Path, license_id: str | None) -> None:
    """Write README.md of a dataset folder anew, keeping what you wrote into it: text outside of the
    marked part, and fields of the YAML.

    \b
    Examples:
      human-segmentation card human-segmentation
      human-segmentation card human-segmentation --license cc-by-4.0
    """
    from builder.card import write_card
    from builder.manifest import read_manifest

    path = write_card(read_manifest(folder), folder, license_id=license_id)
    click.echo(f"Wrote {path} ({size_of(path.stat().st_size)}).")


@cli.command()
@click.argument("repo_id")
@click.option(
    "--from",
    "folder",
    default="human-segmentation",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The dataset folder.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of moving the branch.")
@click.option("--branch", default="main", show_default=True, help="Made if there is none.")
@click.option("--tag", metavar="V", help="Tag the commit, for load_dataset(..., revision=V).")
@click.option("--message", help="Of the commit.  [default: what changed]")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--token", help="[default: HF_TOKEN, or that of `hf auth login`]")
@click.option("--yes", is_flag=True, help="Do not ask before deleting or replacing.")
def publish(
    repo_id: str,
    folder: Path,
    dry_run: bool,
    create_pr: bool,
    branch: str,
    tag: str | None,
    message: str | None,
    private: bool,
    token: str | None,
    yes: bool,
) -> None:
    """Bring a dataset folder to the Hub, sending only what it does not hold.

    The branch moves in one commit, or not at all. Interrupted at any moment, the same command goes
    on. What somebody else wrote into the repository stays as it is.

    \b
    Examples:
      human-segmentation publish me/human-segmentation --dry-run
      human-segmentation publish me/human-segmentation --tag v1.1.0
      human-segmentation publish me/human-segmentation --from wide --create-pr
    """
    from builder.hub import publish as publish_folder
    from builder.report import confirmed, print_plan, print_result

    def confirm(plan: PublishPlan) -> bool:
        print_plan(plan)
        return yes or confirmed(plan)

    result = publish_folder(
        folder,
        repo_id,
        branch=branch,
        tag=tag,
        message=message,
        create_pr=create_pr,
        private=private,
        token=token,
        dry_run=dry_run,
        confirm=confirm,
    )
    print_result(result)


def _published_manifest(repo_id: str) -> Manifest:
    from builder.hub import read_published_manifest

    return read_published_manifest(repo_id)
