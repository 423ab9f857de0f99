"""Tables of a card, and the ways in which numbers and names get into it."""

from __future__ import annotations

import dataclasses
from collections import Counter

from builder.manifest import Manifest
from builder.recipe import COMPOSITION, DOUBTS, Recipe

_BARS = " ▏▎▍▌▋▊▉█"
_BAR_WIDTH = 32

_REASONS = (
    "alpha is empty",
    "alpha is fully opaque",
    "broken picture",
    "byte-identical duplicate",
    "cannot be read",
    "excluded by",
    "floating-point pixels",
    "looks like",
    "no alpha channel",
    "not a picture",
    "over",
    "too narrow",
    "too small",
    "too thin",
    "wholly transparent",
    *DOUBTS,
)
_REASON_TEXTS = {
    "excluded by": "excluded by a person",
    "looks like": "looks like layers of both splits",
    "over": "over a limit of size",
}


def plain(text: object) -> str:
    """Return text without what Markdown, HTML or TOML would act on."""
    return "".join(char if char.isalnum() or char in " -_." else "_" for char in str(text))[:100]


def counts_table(manifest: Manifest) -> str:
    """Return a table with a row for each split, and one for all of them if there are several."""
    rows = [_count_row(split, manifest, [split]) for split in manifest.splits]
    if len(rows) > 1:
        rows.append(_count_row("all", manifest, manifest.splits))
    return "\n".join(rows)


def _count_row(name: str, manifest: Manifest, splits: list[str]) -> str:
    shards = [shard for shard in manifest.shards if shard.split in splits]
    pairs, humans, backgrounds = (
        sum(count(split) for split in splits)
        for count in (
            manifest.rows,
            lambda split: manifest.count("human", split),
            lambda split: manifest.count("background", split),
        )
    )
    size = _size(sum(shard.bytes for shard in shards))
    return f"| {name} | {pairs:,} | {humans:,} | {backgrounds:,} | {len(shards):,} | {size} |"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def coverage_plot(manifest: Manifest) -> str:
    """Return plain text with a line for each tenth of the frame: pairs by split, and a bar."""
    columns = [_tenths(manifest, split) for split in manifest.splits]
    totals = [sum(counts) for counts in zip(*columns, strict=True)]
    widths = [max(len(split), 9) for split in manifest.splits]
    lines = [_plot_line("mask covers", manifest.splits, widths)]
    for tenth, total in enumerate(totals):
        share = f"{tenth * 10:>2} to {tenth * 10 + 10:>3} %"
        line = _plot_line(share, [f"{counts[tenth]:,}" for counts in columns], widths)
        lines.append(f"{line}  {_bar(total / max(*totals, 1))}".rstrip())
    return "\n".join(lines)


def _plot_line(head: str, cells: list[str], widths: list[int]) -> str:
    padded = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([f"{head:<11}", *padded])


def _tenths(manifest: Manifest, split: str) -> list[int]:
    shards = [shard.coverage for shard in manifest.shards if shard.split == split]
    return [sum(counts) for counts in zip(*shards, strict=True)]


def _bar(share: float) -> str:
    """Return a bar in eighths of a character; whatever is not nothing shows."""
    eighths = max(round(share * _BAR_WIDTH * 8), int(share > 0))
    return "█" * (eighths // 8) + _BARS[eighths % 8].strip()


def operations_table(recipe: Recipe) -> str:
    """Return a table of what happens to light and colours, in the words of the recipe."""
    rows = [
        f"| {field.metadata['text']} | {percent(getattr(recipe, field.name))} |"
        for field in dataclasses.fields(recipe)
        if field.name.endswith("_probability")
        and field.name.removesuffix("_probability") not in COMPOSITION
        and getattr(recipe, field.name)
    ]
    if not rows:
        return "Nothing else: the recipe has no such operation."
    return "\n".join(["| operation | chance |", "|---|--:|", *rows])


def left_out_table(manifest: Manifest) -> str:
    """Return how many pictures were left out for which kind of reason, without their names."""
    if not manifest.left_out:
        return "Nothing: every picture that was found could be used."
    counts = Counter(_reason(str(out.get("reason"))) for out in manifest.left_out)
    rows = [
        f"| {reason} | {count:,} |"
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    head = "Pictures that could not be used; `manifest.json` names each of them."
    return "\n".join([head, "", "| reason | pictures |", "|---|--:|", *rows])


def _reason(text: str) -> str:
    """Return the kind of a reason, which goes on with values and names."""
    kind = next((kind for kind in _REASONS if text.startswith(kind)), "another reason")
    return _REASON_TEXTS.get(kind, kind)


def percent(share: float) -> str:
    """Return a share of 1 as a card shows it."""
    return f"{share * 100:.4g} %"
