"""`verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.errors import FolderError

if TYPE_CHECKING:
    from builder.verify import Place

# Nothing heavy is imported up here: `--help` should not wait for OpenCV and Arrow.


@click.command()
@click.argument("dataset", default="human-segmentation", metavar="[DIR|REPO_ID]")
@click.option(
    "--revision",
    metavar="V",
    help="Branch, tag or commit of a dataset on the Hub.  [default: main]",
)
@click.option("--token", help="[default: HF_TOKEN, or that of `hf auth login`]")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
def verify(dataset: str, revision: str | None, token: str | None, workers: int | None) -> None:
    """Check every file, row, picture and mask of a dataset, and that its splits share nothing.

    Each fault is listed with its file and row; then the exit code is 1. NAMESPACE/NAME is a dataset
    on the Hub unless such a folder is there: its shards are fetched one by one, and not kept.

    \b
    Examples:
      human-segmentation verify human-segmentation
      human-segmentation verify me/human-segmentation --revision v1.0.0
    """
    from builder.engines import available_workers
    from builder.report import print_verification
    from builder.verify import verify as verify_place

    place = _place(dataset, revision, token)
    done = verify_place(place, workers=workers or available_workers())
    print_verification(done)
    if done.faults:
        raise click.exceptions.Exit(1)


def _place(dataset: str, revision: str | None, token: str | None) -> Place:
    from builder.verify import FolderPlace

    folder = Path(dataset)
    if revision is None and folder.is_dir():
        return FolderPlace(folder)
    if revision is None and dataset.count("/") != 1:
        raise FolderError(
            f"{folder}: there is no such folder. Run `human-segmentation build` first; a dataset "
            "on the Hub is named NAMESPACE/NAME."
        )
    from builder.hub import open_place

    return open_place(dataset, revision, token)
