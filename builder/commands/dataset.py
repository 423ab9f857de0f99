"""What is done with a dataset folder: `preview`, `card`, `publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.report import size_of

if TYPE_CHECKING:
    from builder.hub import PublishPlan

# Nothing heavy is imported up here: `--help` should not wait for OpenCV and Arrow.


@click.command()
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


@click.command()
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


@click.command()
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
