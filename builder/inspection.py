"""Every layer judged, nothing changed: a table of measures and verdicts, and a page to look at.

What a build leaves out is rejected, by the very same checks. What it uses, but cleans, or what a
person should look at, is called `clean`: usable, with reasons for doubt.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.errors import FolderError
from builder.layers import Examined, Pixels, Survey, examine_all
from builder.measures import Measures
from builder.pages import data_uri, write_page
from builder.people import PeopleDetector
from builder.plan import near_duplicate_groups
from builder.recipe import Recipe
from builder.sources import Found
from builder.sources.layer import Role
from builder.verdicts import Finding, Verdict, verdict_of

VERDICTS: tuple[Verdict, ...] = ("reject", "clean", "ok")

TABLE_FIELDS = {
    **dict.fromkeys(("role", "name", "id"), "string"),
    **dict.fromkeys(("width", "height"), "int64"),
    **dict.fromkeys(("verdict", "reasons", "cuts"), "string"),
    "near_duplicates": "int64",
    "alike": "string",
    **dict.fromkeys((field.name for field in dataclasses.fields(Measures)), "float64"),
}
"""What a table holds of a layer, and the type of each."""

PAGE, PARQUET, CSV = "layers.html", "layers.parquet", "layers.csv"
_TEMPLATE = "inspection.html"
_THUMBNAIL = 96
# A spreadsheet takes what starts like this for a formula, some also in full width; and what follows
# a separator starts a cell where another separator is the custom of the country.
_FORMULA = re.compile(r"(^|[,;|\t])(\s*[=+@\-\t\r＝＋－＠])")  # noqa: RUF001


@dataclass(frozen=True)
class Row:
    """A layer with its verdict.

    Attributes:
        examined: what was found of it.
        alike: the name of the first of the layers that look alike; empty if no other does.
        near_duplicates: how many others look like it, directly or through others.
    """

    examined: Examined
    alike: str = ""
    near_duplicates: int = 0

    @property
    def role(self) -> Role:
        """Of the picture."""
        return self.examined.candidate.role

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with it; of what is left out, what a build leaves it out for."""
        rejecting = tuple(finding for finding in self.examined.findings if finding.rejects)
        return rejecting[:1] or self.examined.findings

    @property
    def verdict(self) -> Verdict:
        """`ok`; `clean`, usable but cleaned or doubtful; `reject`, left out by a build."""
        return verdict_of(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what the table holds of it."""
        names = [field.name for field in dataclasses.fields(Measures)]
        measures = self.examined.measures
        measured = dataclasses.asdict(measures) if measures else dict.fromkeys(names)
        return {
            "role": self.role,
            "name": self.examined.candidate.name,
            "id": self.examined.id or None,
            "width": self.examined.width,
            "height": self.examined.height,
            "verdict": self.verdict,
            "reasons": "; ".join(finding.text for finding in self.findings),
            "cuts": " ".join(self.examined.cuts),
            "near_duplicates": self.near_duplicates,
            "alike": self.alike or None,
            **{
                name: None if value is None else round(value, 6) for name, value in measured.items()
            },
        }


def inspect_layers(
    found: Found,
    recipe: Recipe,
    *,
    detector: PeopleDetector | None = None,
    threads: int = 1,
    progress: bool = True,
) -> list[Row]:
    """Judge every layer that the sources offer, worst first.

    Args:
        found: from `builder.sources.collect`.
        recipe: the thresholds, of the checks and of `doubt_*`.
        detector: looks for people in backgrounds; without one nobody does.
        threads: decoders release the interpreter, so threads are enough here.
        progress: whether to show a bar.

    Raises:
        SourceError: an entry of the exclusion excludes nothing.
    """
    examined = examine_all(
        found.candidates,
        recipe,
        exclusion=found.exclusion,
        survey=Survey(_thumbnail, detector.probability if detector else None),
        threads=threads,
        progress=progress,
    )
    return sorted(with_alike(examined, recipe), key=_worst_first)


def _worst_first(row: Row) -> tuple[int, int, str, str]:
    order = VERDICTS.index(row.verdict), -len(row.findings)
    return *order, row.role, row.examined.candidate.name


def _thumbnail(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    factor = min(1.0, _THUMBNAIL / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if pixels.shape[2] == 3:
        return data_uri(Image.fromarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))
    premultiplied = cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA)
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    return data_uri(Image.fromarray(cv2.cvtColor(small, cv2.COLOR_mRGBA2RGBA), "RGBA"))


def with_alike(examined: Sequence[Examined], recipe: Recipe) -> list[Row]:
    """Doubt the layers of a role that look alike, as a build keeps them in one split.

    Args:
        examined: with a survey.
        recipe: `near_duplicate_bits` matters.
    """
    rows = [Row(each) for each in examined if each.reason]
    for role in ("human", "background"):
        own = sorted(
            (each for each in examined if each.candidate.role == role and not each.reason),
            key=lambda each: each.candidate.name,
        )
        groups: dict[int, list[Examined]] = {}
        if own:
            hashes = [each.perceptual_hash for each in own]
            roots = near_duplicate_groups(hashes, recipe.near_duplicate_bits)
            for root, each in zip(roots, own, strict=True):
                groups.setdefault(int(root), []).append(each)
        for group in groups.values():
            rows += _alike(group) if len(group) > 1 else [Row(group[0])]
    return rows


def _alike(group: list[Examined]) -> Iterator[Row]:
    first, second, *_ = names = [each.candidate.name for each in group]
    for name, each in zip(names, group, strict=True):
        other = second if name == first else first
        doubted = each.found(Finding("near-duplicate", f"near-duplicate of {other}"))
        yield Row(doubted, first, len(group) - 1)


def write_report(
    rows: Sequence[Row], folder: Path, recipe: Recipe, *, detector: str | None
) -> Path:
    """Write the tables and the page, and return the page's path.

    Args:
        rows: from `inspect_layers`.
        folder: made if there is none; an older report in it is replaced.
        recipe: the thresholds, for the page.
        detector: what looked for people, for the page; None if nothing did.

    Raises:
        FolderError: it cannot be written, or holds other files.
    """
    check_report_folder(folder)
    cells = [row.to_dict() for row in rows]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(cells, _schema()), folder / PARQUET)
        with (folder / CSV).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(TABLE_FIELDS), quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(
                {name: _harmless(value) for name, value in row.items()} for row in cells
            )
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be written ({error.strerror}). Choose another --report."
        ) from error
    items = (
        {
            **cell,
            "reasons": [finding.text for finding in row.findings],
            "kinds": [finding.kind for finding in row.findings],
            "src": row.examined.thumbnail,
        }
        for cell, row in zip(cells, rows, strict=True)
    )
    measures = [field.name for field in dataclasses.fields(Measures)]
    header = {
        "measures": measures,
        "verdicts": VERDICTS,
        "detector": detector,
        "thresholds": {
            "haze": (recipe.doubt_haze, "over"),
            "see_through": (recipe.doubt_see_through, "over"),
            "specks": (recipe.doubt_specks, "over"),
            "sharpness": (recipe.doubt_sharpness, "under"),
            "contrast": (recipe.doubt_contrast, "under", "background"),
            "transparent": (0, "over"),
            "people": (recipe.doubt_people, "over"),
        },
    }
    write_page(folder / PAGE, _TEMPLATE, header, "layers", items)
    return folder / PAGE


def check_report_folder(folder: Path) -> None:
    """Refuse a folder in which a report would lie, or write, over other files.

    Raises:
        FolderError: it holds something, and no report.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # The first that is written: half a report may be replaced too.
    if names and PARQUET not in names:
        raise FolderError(
            f"{folder}: holds other files and no report. Choose another --report, or an empty "
            "folder."
        )


def _schema() -> pa.Schema:
    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    return pa.schema([(name, types[kind]) for name, kind in TABLE_FIELDS.items()])


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula, wherever it divides the line."""
    return _FORMULA.sub(r"\1'\2", value) if isinstance(value, str) else value
