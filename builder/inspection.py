"""Every layer judged, nothing changed: a table of measures and verdicts, and a page to look at.

What a build leaves out is rejected, by the very same checks. What it uses, but cleans, or what a
person should look at, is called `clean`: usable, with reasons for doubt.
"""

from __future__ import annotations

import csv
import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from builder.compose.figure import find_cuts
from builder.errors import FolderError
from builder.layers import LeftOut, Pixels, drop_duplicates, drop_excluded, examine
from builder.matte import clean_matte
from builder.measures import Measures, measure_background, measure_human
from builder.pages import data_uri, write_page
from builder.people import PeopleDetector
from builder.plan import near_duplicates
from builder.recipe import Recipe
from builder.sources import Found
from builder.sources.layer import Candidate, Layer, Role

Verdict = Literal["ok", "clean", "reject"]
VERDICTS: tuple[Verdict, ...] = ("reject", "clean", "ok")

PAGE, PARQUET, CSV = "layers.html", "layers.parquet", "layers.csv"
_TEMPLATE = "inspection.html"
_THUMBNAIL = 96
# A spreadsheet takes what starts like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Judged:
    """A layer with its verdict.

    Attributes:
        role, name: of the picture.
        id, width, height: None where it could not be used.
        verdict: `ok`; `clean`, usable but cleaned or doubtful; `reject`, left out by a build.
        reasons: for the verdict; none for `ok`.
        cuts: the sides on which the border of its picture cuts a human.
        near_duplicates: how many others look like it.
        measures: None where it could not be used.
        thumbnail: a data URI; empty where it could not be used.
    """

    role: Role
    name: str
    id: str | None
    width: int | None
    height: int | None
    verdict: Verdict
    reasons: tuple[str, ...]
    cuts: tuple[str, ...]
    near_duplicates: int
    measures: Measures | None
    thumbnail: str

    def row(self) -> dict[str, Any]:
        """Return what the table holds of it."""
        names = [field.name for field in dataclasses.fields(Measures)]
        measured = dataclasses.asdict(self.measures) if self.measures else dict.fromkeys(names)
        return {
            "role": self.role,
            "name": self.name,
            "id": self.id,
            "width": self.width,
            "height": self.height,
            "verdict": self.verdict,
            "reasons": "; ".join(self.reasons),
            "cuts": " ".join(self.cuts),
            "near_duplicates": self.near_duplicates,
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
) -> list[Judged]:
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
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        results = pool.map(lambda one: _examined(one, recipe, detector), found.candidates)
        bar = tqdm(
            results,
            "Inspecting layers",
            len(found.candidates),
            unit=" layers",
            disable=not progress,
        )
        examined = list(bar)
    # A file may be offered in both roles, and is judged in the one that a build gives it.
    usable = {(one.layer.id, one.layer.role): one for one in examined if one.layer}
    layers, duplicates = drop_duplicates([one.layer for one in examined if one.layer])
    left_out = [one.left_out for one in examined if one.left_out]
    layers, excluded = drop_excluded(layers, left_out, found.exclusion)
    alike = _alike(layers, recipe)
    judged = [
        _judged(usable[layer.id, layer.role], layer, alike[layer.id], recipe) for layer in layers
    ]
    judged += [_rejected(out) for out in (*left_out, *duplicates, *excluded)]
    return sorted(judged, key=_worst_first)


def _worst_first(one: Judged) -> tuple[int, int, str, str]:
    return VERDICTS.index(one.verdict), -len(one.reasons), one.role, one.name


@dataclass(frozen=True)
class _Examined:
    """What is kept of a picture: it is decoded once, and only a thumbnail stays."""

    layer: Layer | None
    left_out: LeftOut | None
    measures: Measures | None = None
    cuts: tuple[str, ...] = ()
    thumbnail: str = ""


def _examined(candidate: Candidate, recipe: Recipe, detector: PeopleDetector | None) -> _Examined:
    result = examine(candidate, recipe)
    if isinstance(result, LeftOut):
        return _Examined(None, result)
    layer, pixels = result
    if candidate.role == "background":
        measures = measure_background(pixels)
        if detector:
            measures = dataclasses.replace(measures, people=detector.probability(pixels))
        return _Examined(layer, None, measures, thumbnail=_thumbnail(pixels))
    matte = clean_matte(pixels[..., 3], recipe)
    cuts = tuple(find_cuts(matte))
    return _Examined(layer, None, measure_human(pixels, recipe), cuts, thumbnail=_thumbnail(pixels))


def _thumbnail(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    factor = min(1.0, _THUMBNAIL / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if pixels.shape[2] == 3:
        return data_uri(Image.fromarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))
    premultiplied = cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA)
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    return data_uri(Image.fromarray(cv2.cvtColor(small, cv2.COLOR_mRGBA2RGBA), "RGBA"))


def _alike(layers: Sequence[Layer], recipe: Recipe) -> Counter[str]:
    """Count for each layer id the others of its role that look like it."""
    counts: Counter[str] = Counter()
    for role in ("human", "background"):
        own = [layer for layer in layers if layer.role == role]
        hashes = [layer.perceptual_hash for layer in own]
        if own:
            pairs = near_duplicates(hashes, hashes, recipe.near_duplicate_bits)
            counts.update(own[one].id for one, other in pairs if one != other)
    return counts


def _judged(examined: _Examined, layer: Layer, alike: int, recipe: Recipe) -> Judged:
    assert examined.measures
    reasons = tuple(_doubts(examined, layer.role, alike, recipe))
    return Judged(
        role=layer.role,
        name=layer.name,
        id=layer.id,
        width=layer.width,
        height=layer.height,
        verdict="clean" if reasons else "ok",
        reasons=reasons,
        cuts=examined.cuts,
        near_duplicates=alike,
        measures=examined.measures,
        thumbnail=examined.thumbnail,
    )


def _doubts(examined: _Examined, role: Role, alike: int, recipe: Recipe) -> Iterator[str]:
    """Yield why a person should look at a layer that can be used."""
    measures = examined.measures
    assert measures
    if measures.haze is not None and measures.haze > recipe.doubt_haze:
        yield "haze"
    if measures.see_through is not None and measures.see_through > recipe.doubt_see_through:
        yield "see-through body"
    if measures.specks is not None and measures.specks > recipe.doubt_specks:
        yield "detached specks"
    # Where the top of the picture cuts a figure, it is the head that is missing, or a raised arm.
    if "top" in examined.cuts:
        yield "cut at the top"
    if measures.sharpness < recipe.doubt_sharpness:
        yield "blurred"
    if role == "background" and measures.contrast < recipe.doubt_contrast:
        yield "nearly flat"
    if measures.people is not None and measures.people > recipe.doubt_people:
        yield "people"
    if alike:
        yield "near-duplicate"


def _rejected(out: LeftOut) -> Judged:
    return Judged(out.role, out.name, None, None, None, "reject", (out.reason,), (), 0, None, "")


def write_report(judged: Sequence[Judged], folder: Path, *, detector: str | None) -> Path:
    """Write the tables and the page, and return the page's path.

    Args:
        judged: from `inspect_layers`.
        folder: made if there is none; older reports in it are replaced.
        detector: what looked for people, for the page; None if nothing did.

    Raises:
        FolderError: it cannot be written.
    """
    rows = [one.row() for one in judged]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, _schema()), folder / PARQUET)
        with (folder / CSV).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in _schema()])
            writer.writeheader()
            writer.writerows(
                {name: _harmless(value) for name, value in row.items()} for row in rows
            )
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be written ({error.strerror}). Choose another --report."
        ) from error
    measures = [field.name for field in dataclasses.fields(Measures)]
    items = (
        {**row, "reasons": list(one.reasons), "src": one.thumbnail}
        for row, one in zip(rows, judged, strict=True)
    )
    header = {"measures": measures, "verdicts": VERDICTS, "detector": detector}
    write_page(folder / PAGE, _TEMPLATE, header, "layers", items)
    return folder / PAGE


def _schema() -> pa.Schema:
    texts = ("role", "name", "id", "verdict", "reasons", "cuts")
    numbers = ("width", "height", "near_duplicates")
    order = ["role", "name", "id", "width", "height", "verdict", "reasons", "cuts"]
    order += ["near_duplicates", *(field.name for field in dataclasses.fields(Measures))]
    return pa.schema(
        [
            (
                name,
                pa.string() if name in texts else pa.int64() if name in numbers else pa.float64(),
            )
            for name in order
        ]
    )


def _harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
