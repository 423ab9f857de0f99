"""What commands print in the end: what was done, and what to do next."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from builder.export import ExportReport
    from builder.folder import BuildReport, Changes
    from builder.hub.compare import Kind
    from builder.hub.plan import PublishPlan
    from builder.hub.publish import PublishResult
    from builder.inspection import Row
    from builder.manifest import Manifest

_LISTED = 10
_SIGNS: dict[Kind, tuple[str, str]] = {
    "new": ("+", "green"),
    "changed": ("~", "yellow"),
    "renamed": (">", "cyan"),
    "deleted": ("-", "red"),
}


def print_build(report: BuildReport, *, publish_to: str | None) -> None:
    """Say what a build or an update wrote, and what to do next.

    With `publish_to`, the folder holds no more than what changed in that repository.
    """
    manifest = report.manifest
    work = f"{count_of(report.shards_written, 'shard')} written, {report.shards_kept:,} kept"
    click.secho(f"\n{report.folder}: {work}, in {report.seconds:.1f} s", bold=True)
    if report.changes:
        _print_changes(report.changes)
    for split in manifest.splits:
        own = [shard for shard in manifest.shards if shard.split == split]
        click.echo(
            f"  {split:<10} {manifest.rows(split):>9,} pairs of "
            f"{count_of(manifest.count('human', split), 'human')} on "
            f"{count_of(manifest.count('background', split), 'background')}, "
            f"{count_of(len(own), 'shard')}, {size_of(sum(shard.bytes for shard in own))}"
        )
    _print_left_out(manifest)
    place = shlex.quote(str(report.folder))
    if publish_to:
        click.echo(f"Next:  human-segmentation publish {publish_to} --from {place}")
        return
    if "://" in place:
        files = {split: f"{report.folder}/data/{split}-*.parquet" for split in manifest.splits}
        click.echo(f"Load:  datasets.load_dataset('parquet', data_files={files})")
        return
    click.echo(f"Look:  human-segmentation preview {place} --open")
    click.echo(f"Load:  datasets.load_dataset({str(report.folder)!r})")


def _print_changes(changes: Changes) -> None:
    click.echo(
        f"  humans +{changes.humans_added:,} -{changes.humans_removed:,}, "
        f"backgrounds +{changes.backgrounds_added:,} -{changes.backgrounds_removed:,}"
    )
    if changes.shards_removed:
        click.echo(f"  {count_of(changes.shards_removed, 'shard')} gone with all their humans")
    if changes.backgrounds_added and not changes.humans_added:
        click.echo("  new backgrounds wait for new humans: finished pairs stay as they are")


def _print_left_out(manifest: Manifest) -> None:
    left_out = manifest.left_out
    if left_out:
        click.secho(
            f"  left out {count_of(len(left_out), 'picture')} that cannot be used:", fg="yellow"
        )
    for out in left_out[:_LISTED]:
        click.echo(f"    {out['name']}: {out['reason']}")
    if len(left_out) > _LISTED:
        click.echo(f"    and {len(left_out) - _LISTED:,} more, all in manifest.json")
    for reason, count in Counter(manifest.ignored).most_common():
        click.echo(f"  ignored {count_of(count, 'file')}: {reason}")


def print_inspection(rows: Sequence[Row], page: Path, *, detector: str | None) -> None:
    """Say how many layers were judged how and for what, and what to do next.

    `detector` is what looked for people; None if nothing did.
    """
    for role in ("human", "background"):
        own = [row for row in rows if row.role == role]
        verdicts = Counter(row.verdict for row in own)
        counts = ", ".join(f"{verdicts[name]:,} {name}" for name in ("ok", "clean", "reject"))
        click.secho(f"{count_of(len(own), role)}: {counts}", bold=True)
        kinds = Counter((row.verdict, found.kind) for row in own for found in row.findings)
        for (verdict, kind), count in kinds.most_common(_LISTED):
            click.echo(f"  {verdict:<7} {count:>7,}  {kind}")
    if detector is None:
        click.echo("Nobody looked for people in backgrounds: --people-detector MODEL.onnx would")
    click.echo(f"Look:  {page}, and the tables beside it")
    click.echo("Next:  tick what you reject there, save the list, and give it to build --exclude")


def print_export(report: ExportReport) -> None:
    """Say what an export wrote."""
    work = f"{count_of(report.files_written, 'file')} written, {report.files_kept:,} kept"
    click.secho(f"\n{report.output}: {work}, in {report.seconds:.1f} s", bold=True)
    for split, pairs in report.pairs.items():
        click.echo(f"  {split:<10} {pairs:>9,} pairs, counted")


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it has to be."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_of(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def print_plan(plan: PublishPlan) -> None:
    """Show what publishing would do, like a diff."""
    state = "new" if plan.state.commit is None else f"at {plan.state.commit[:12]}"
    click.secho(f"{plan.repo_id}, branch {plan.branch} ({state})", bold=True)
    if plan.comparison.replaces:
        click.secho(
            "  The repository holds another dataset, of which this is no update; it is replaced.",
            fg="red",
        )
    for kind, (sign, colour) in _SIGNS.items():
        changes = plan.comparison.of(kind)
        for change in changes[:_LISTED]:
            former = f"  (was {change.origin})" if change.origin else ""
            click.secho(f"  {sign} {change.path}  {size_of(change.size)}{former}", fg=colour)
        if len(changes) > _LISTED:
            rest = changes[_LISTED:]
            size = size_of(sum(change.size for change in rest))
            click.secho(f"  {sign} and {count_of(len(rest), kind + ' file')}, {size}", fg=colour)
    same = plan.comparison.of("unchanged")
    if same:
        size = size_of(sum(change.size for change in same))
        click.echo(f"  = {count_of(len(same), 'file')} unchanged, {size}")
    click.echo(f"  to send: {size_of(plan.comparison.travelling_bytes)} at most")


def confirmed(plan: PublishPlan) -> bool:
    """Ask at a terminal before anything goes; elsewhere there is nobody to ask."""
    if not plan.comparison.needs_consent:
        return True
    if not sys.stdin.isatty():
        click.secho("Nobody is here to be asked; --yes goes on without asking.", fg="red", err=True)
        return False
    return click.confirm("Delete or replace what is marked above?")


def print_result(result: PublishResult) -> None:
    """Say what publishing did, and how to load it."""
    plan = result.plan
    if result.commit is None or result.revision is None:
        print_plan(plan)
        click.echo("Nothing was sent: this was a dry run.")
        return
    if plan.comparison.is_empty:
        click.secho(f"\nNothing changed: no commit, no bytes; {result.url}", bold=True)
    else:
        click.secho(f"\nPublished: {result.url}", bold=True)
        click.echo(
            f"  commit {result.commit[:12]}, {count_of(len(plan.files), 'file')} verified, "
            f"first rows of {' and '.join(result.verified)} read back"
        )
    revision = "" if result.revision == result.commit else f", revision={result.revision!r}"
    click.echo(f"Load:  datasets.load_dataset({plan.repo_id!r}{revision})")
