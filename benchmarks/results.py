"""What was measured, as a table in Markdown with a bar chart beside it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chart import Bar, bar_chart
from benchmarks.paired import Ratio
from builder.engines import available_workers

FILE_NAME = "RESULTS.md"
CHART_NAME = "results.svg"

_SHOWN_VERSIONS = (
    "opencv-python-headless",
    "pillow",
    "numpy",
    "pyarrow",
    "datasets",
    "torch",
    "webdataset",
    "mosaicml-streaming",
)


@dataclass(frozen=True)
class Result:
    """A row of the table.

    Attributes:
        group: what was compared, as the name that `--only` takes.
        what: the case.
        ours, other: both figures with their units; `other` may be a limit.
        ratio: ours over the other's; None where nothing was measured, and `ours` says why.
        spread: the lowest and the highest ratio of a turn, where there were several.
        at_least, at_most: the target for the ratio, if there is one.
    """

    group: str
    what: str
    ours: str
    other: str
    ratio: float | None
    spread: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> float | None:
        """How much of the target is reached: 1 and more is all of it."""
        if self.ratio is None:
            return None
        if self.at_least is not None:
            return self.ratio / self.at_least
        return self.at_most / self.ratio if self.at_most is not None and self.ratio else None


def compared(
    group: str,
    what: str,
    other: str,
    ratio: Ratio,
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Result:
    """Return the row of a comparison in turns; `other` names what ours was compared with."""
    return Result(
        group,
        what,
        f"{figure(ratio.ours)} {unit}",
        f"{other}: {figure(ratio.other)} {unit}",
        ratio.ratio,
        (ratio.low, ratio.high),
        at_least,
        at_most,
    )


def limited(group: str, what: str, value: float, limit: float, unit: str) -> Result:
    """Return the row of a figure that has to stay under a limit."""
    shown = f"{figure(value)} {unit}", f"limit: {figure(limit)} {unit}"
    return Result(group, what, *shown, value / limit, at_most=1.0)


def not_run(group: str, why: str) -> Result:
    """Return the row of what could not be measured here."""
    return Result(group, "not run", why, "", None)


def figure(value: float) -> str:
    """Return three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2}f}"


def conditions(before: float) -> str:
    """Return a paragraph on the machine, the load and the versions; `before` is the load then."""
    versions = [f"Python {platform.python_version()}"]
    for name in _SHOWN_VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return (
        f"{_processor()}, {available_workers()} cores; load {before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after.\n{', '.join(versions)}."
    )


def _processor() -> str:
    """Return the processor as Linux names it: `platform` knows the architecture alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*names[:1], platform.machine()])


def table(results: Sequence[Result]) -> str:
    """Return the one table."""
    lines = ["| | case | ours | beside it | ratio | target | |", "|---|---|--:|--:|--:|--:|---|"]
    shown = ""
    for result in results:
        group = "" if result.group == shown else result.group
        shown = result.group
        cells = [group, result.what, result.ours, result.other]
        lines.append(f"| {' | '.join([*cells, _ratio(result), _target(result), _met(result)])} |")
    return "\n".join(lines)


def _ratio(result: Result) -> str:
    if result.ratio is None:
        return ""
    spread = result.spread and " to ".join(figure(value) for value in result.spread)
    return f"**{figure(result.ratio)}**" + (f" ({spread})" if spread else "")


def _target(result: Result) -> str:
    if result.at_least is not None:
        return f"≥ {result.at_least:g}"
    return "" if result.at_most is None else f"≤ {result.at_most:g}"


def _met(result: Result) -> str:
    return "" if result.reached is None else ("met" if result.reached >= 1 else "missed")


def write_results(results: Sequence[Result], about: str, command: str, folder: Path) -> Path:
    """Write the table and its chart, and return the path of the table."""
    bars = [
        Bar(f"{result.group}: {result.what}", result.reached, f"{_plain(result)}")
        for result in results
        if result.reached is not None
    ]
    (folder / CHART_NAME).write_text(bar_chart(bars), encoding="utf-8")
    path = folder / FILE_NAME
    path.write_text(
        f"# Benchmarks\n\nWritten by `{command}`; see CONTRIBUTING.md for what each case is.\n\n"
        f"{about}\n\nContenders took turns; figures are medians, and in brackets stand the lowest "
        f"and the highest ratio of a turn.\n\n![Each ratio beside its target]({CHART_NAME})\n\n"
        f"{table(results)}\n",
        encoding="utf-8",
    )
    return path


def _plain(result: Result) -> str:
    assert result.ratio is not None
    return f"{figure(result.ratio)}, target {_target(result)}"
