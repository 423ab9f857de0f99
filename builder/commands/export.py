"""`export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.report import print_export

if TYPE_CHECKING:
    from builder.export import Layout

# Nothing heavy is imported up here: `--help` should not wait for OpenCV and Arrow.


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--to",
    required=True,
    type=click.Choice(["folder", "webdataset"]),
    help="folder: training/im, training/gt, validation/im, validation/gt, PNG; webdataset: tar "
    "shards with ID.image.jpg, ID.mask.png and ID.json.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
def export(folder: Path, output: Path, to: Layout, workers: int | None) -> None:
    """Write the pairs of a dataset folder DIR into OUT, in a layout that trainers read.

    Interrupted at any moment, the same command goes on with what is missing.

    \b
    Examples:
      human-segmentation export human-segmentation --to folder exported
      human-segmentation export human-segmentation --to webdataset shards
    """
    from builder.engines import available_workers
    from builder.export import export as export_folder

    print_export(export_folder(folder, output, to, workers=workers or available_workers()))
