"""A recipe without operations, all of whose decisions are known: what its pixels alone take.

The placements of a build, to the six digits that its provenance has, and its decoding, resampling,
blend, pictures and shards. Nothing is cleaned, measured, drawn or described.
"""

from __future__ import annotations

import functools
import itertools
import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bare_pair import scene
from benchmarks.workload import Workload
from builder.compose.blend import blend, resize_background, warp
from builder.compose.figure import Figure
from builder.compose.placement import Placement
from builder.decoding import decode_human
from builder.encoding import IMAGE_SUFFIXES, encode_image, encode_png
from builder.engines import ordered_map
from builder.portable import portable
from builder.render import Row, Task, decode_figure, make_rows

_TEXTS = ("id", "human", "background", "provenance")


@dataclass(frozen=True)
class _Decision:
    """Of one pair: its figure's box, whether it is mirrored, its place, the columns of text."""

    figure: Figure
    flipped: bool
    placement: Placement
    texts: Row


def keep_decisions(workload: Workload, workers: int, path: Path) -> None:
    """Make all pairs, and keep in a file how each was made."""
    with ordered_map(_decisions_of, workload.tasks(workers), workers) as results:
        decisions = {one.texts["id"]: one for one in itertools.chain.from_iterable(results)}
    path.write_bytes(pickle.dumps(decisions))


def _decisions_of(task: Task) -> list[_Decision]:
    figures: dict[str, Figure] = {}
    decisions = []
    for human, row in zip(task.humans, make_rows(task), strict=True):
        if human.id not in figures:
            figures[human.id] = _box_alone(decode_figure(human, task.recipe))
        geometry = json.loads(row["provenance"])["geometry"]
        placement = Placement(
            frame=tuple(geometry["frame"]),
            background_box=tuple(geometry["background_box"]),
            scale=geometry["scale"],
            rotation=geometry["rotation"],
            matrix=np.array(geometry["matrix"]),
        )
        texts = {name: row[name] for name in _TEXTS}
        decisions.append(_Decision(figures[human.id], geometry["flip"], placement, texts))
    return decisions


def _box_alone(figure: Figure) -> Figure:
    pixels, points = np.zeros((0, 0, 4), np.uint8), np.zeros((0, 2))
    return replace(figure, pixels=pixels, cuts={}, points=points, weights=points[:, 0])


@portable
def make_decided_rows(decisions: Path, task: Task) -> list[Row]:
    """Make the rows of one task as `keep_decisions` saw them made, each human decoded once."""
    known = _known(decisions)
    decoded, pixels = "", np.zeros((0, 0, 4), np.uint8)
    rows = []
    for pair, human, background in zip(task.pairs, task.humans, task.backgrounds, strict=True):
        decision = known[pair.id]
        if human.id != decoded:
            left, top, right, bottom = decision.figure.box
            straight = decode_human(human.read(), task.recipe.max_pixels)[top:bottom, left:right]
            decoded, pixels = human.id, cv2.cvtColor(straight, cv2.COLOR_RGBA2mRGBA)
        figure = replace(decision.figure, pixels=pixels)
        figure = figure.mirrored() if decision.flipped else figure
        image = resize_background(scene(background, task.recipe.max_pixels), decision.placement)
        mask = blend(image, *warp(figure, decision.placement))
        path = f"{pair.id}.{IMAGE_SUFFIXES[task.recipe.image_format]}"
        rows.append(
            {
                **decision.texts,
                "image": {"bytes": encode_image(image, task.recipe), "path": path},
                "mask": {"bytes": encode_png(mask), "path": f"{pair.id}.png"},
            }
        )
    return rows


@functools.cache
def _known(decisions: Path) -> dict[str, _Decision]:
    known: dict[str, _Decision] = pickle.loads(decisions.read_bytes())
    return known
