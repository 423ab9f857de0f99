"""What the probe learns from and is judged by: composites of a recipe, photographs, a stand-in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.probe_camera import photograph
from builder.compose import prepare_figure
from builder.compose.blend import resize_background, warp
from builder.compose.figure import Figure
from builder.compose.placement import Placement
from builder.decoding import decode_background, decode_human
from builder.errors import PlanError, SourceError
from builder.layers import admit_all
from builder.plan import choose_groups, group_alike, make_plan, seeded_order
from builder.recipe import PLAIN, Recipe
from builder.render import make_rows, shard_tasks
from builder.sources import Sources, collect
from builder.sources.layer import Layer

Pixels = npt.NDArray[np.uint8]

COMPOSED = 4
"""Composites are made so many times larger than the network sees them, then shrunk."""

STAND_INS = 48
"""How many composites stand in for photographs."""

# Hashes of unrelated pictures differ in 128 bits, give or take 8. Two men of one pose and one suit
# differ in 75: more than the recipe's threshold, yet one of them shown in training helps the other.
_ALIKE_BITS = 80
# Three halvings: light crosses the edge by some 2 % of the frame; alpha still says what is seen.
_PYRAMID_LEVELS = 3
_HEIGHT = (0.55, 0.95)


@dataclass(frozen=True)
class Pairs:
    """Pictures with their mattes, all squeezed to a square.

    Attributes:
        images: uint8 (n, size, size, 3), RGB.
        masks: uint8 (n, size, size), 0 to 255.
    """

    images: Pixels
    masks: Pixels

    def shifted(self, share: float) -> Pairs:
        """Return the pairs with their masks moved right and down by a share of the frame."""
        by = round(share * self.masks.shape[1])
        masks = np.zeros_like(self.masks)
        end = self.masks.shape[1] - by
        masks[:, by:, by:] = self.masks[:, :end, :end]
        return replace(self, masks=masks)


def read_layers(folder: Path) -> tuple[Layer, ...]:
    """Return the usable layers of a folder, by the checks of `build`.

    Raises:
        SourceError: the folder cannot be read, or has no usable human or background.
    """
    found = collect(Sources(sources=(str(folder),)), progress=False)
    return admit_all(found.candidates, PLAIN, progress=False).layers


def hold_out(
    layers: Sequence[Layer], share: float, seed: int
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return the layers to train on and those held out, whole groups of look-alikes each.

    Raises:
        PlanError: one of the two would have no human or no background.
    """
    out: list[Layer] = []
    for role in ("human", "background"):
        ordered = seeded_order([layer for layer in layers if layer.role == role], seed)
        groups = group_alike(ordered, _ALIKE_BITS)
        chosen = choose_groups(groups, max(1, round(share * len(ordered))))
        if not 0 < len(chosen) < len(groups):
            raise PlanError(f"Too few unlike {role}s to hold {share:.0%} of {len(ordered)} out.")
        out += [layer for number in sorted(chosen) for layer in groups[number]]
    ids = {layer.id for layer in out}
    return tuple(layer for layer in layers if layer.id not in ids), tuple(out)


def training_pairs(
    layers: Sequence[Layer], recipe: Recipe, count: int, size: int, seed: int
) -> Pairs:
    """Compose at least `count` pairs as `build` does, as many of one human as of another.

    Another recipe gets the same humans on the same backgrounds. JPEG is passed through, too.
    """
    humans = seeded_order([layer for layer in layers if layer.role == "human"], seed)[:count]
    backgrounds = [layer for layer in layers if layer.role == "background"]
    recipe = recipe.replace(
        {
            "per_human": -(-count // len(humans)),
            "validation": 0.0,
            "size": COMPOSED * size,
            "labels": ("mask",),
        }
    )
    by_id = {layer.id: layer for layer in layers}
    shards = make_plan([*humans, *backgrounds], recipe, seed).shards()
    tasks = (task for shard in shards for task in shard_tasks(shard, by_id, recipe, seed))
    rows = (row for task in tasks for row in make_rows(task))
    return _gathered((_decoded(row["image"]["bytes"], row["mask"]["bytes"]) for row in rows), size)


def photo_pairs(folder: Path, size: int) -> Pairs:
    """Read `images/` and `masks/`, matched by stem; masks are grey, 255 where the human is.

    Raises:
        SourceError: a picture has no mask, or the reverse; cannot be read; or differs in size.
    """
    images, masks = (_by_stem(folder / kind) for kind in ("images", "masks"))
    if alone := sorted(images.keys() ^ masks.keys()):
        raise SourceError(f"{folder}: not both in images/ and in masks/: {', '.join(alone[:10])}.")
    pairs = _gathered((_read_photo(images[stem], masks[stem]) for stem in sorted(images)), size)
    if pairs.masks.max() < 128:
        raise SourceError(f"{folder / 'masks'}: no mask reaches 128; a human is 255, not 1.")
    return pairs


def stand_in(layers: Sequence[Layer], size: int, seed: int) -> Pairs:
    """Composite humans on backgrounds, `STAND_INS` times, in a way that is no recipe's.

    A human stands on the frame's lower edge, at a drawn size and place, and is blended by Laplacian
    pyramids: Burt and Adelson, "A multiresolution spline with application to image mosaics", 1983.
    So there is neither the hard paste of `plain` and `classic` nor any light or shadow of
    `realistic`. Then a camera takes the picture, as one took every photograph: `probe_camera` says
    how. Frames, poses and people are still no photographer's.
    """
    rng = np.random.default_rng([seed, size])
    figures, backgrounds = _first_decoded(layers)
    met = list(itertools.product(range(len(figures)), range(len(backgrounds))))
    order = itertools.islice(itertools.cycle(rng.permutation(met)), STAND_INS)
    scenes = (
        _composite(figures[one], backgrounds[other], COMPOSED * size, rng) for one, other in order
    )
    camera_rng = np.random.default_rng([seed, size, 1])
    return _gathered(((photograph(scene, camera_rng), mask) for scene, mask in scenes), size)


def _first_decoded(layers: Sequence[Layer]) -> tuple[list[Figure], list[Pixels]]:
    """Decode as many layers of each role as could be needed; thousands would fill the memory."""
    humans = [layer for layer in layers if layer.role == "human"][:STAND_INS]
    backgrounds = [layer for layer in layers if layer.role == "background"][:STAND_INS]
    return (
        [prepare_figure(decode_human(one.read(), PLAIN.max_pixels), PLAIN) for one in humans],
        [decode_background(one.read(), PLAIN.max_pixels) for one in backgrounds],
    )


def _composite(
    figure: Figure, background: Pixels, longest: int, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    height, width = background.shape[:2]
    frame = PLAIN.replace({"size": longest}).frame_size(width, height)
    figure = figure.mirrored() if rng.random() < 0.5 else figure
    placement = _standing(figure, frame, (width, height), rng)
    canvas = resize_background(background, placement).astype(np.float32)
    part, (left, top) = warp(figure, placement)
    pasted = np.zeros((*canvas.shape[:2], 4), np.float32)
    pasted[top : top + part.shape[0], left : left + part.shape[1]] = part
    alpha = pasted[..., 3:] / 255
    # A pyramid mixes colours from beyond the edge, where a figure has none: it goes on, blurred.
    blurred = cv2.GaussianBlur(pasted, (0, 0), longest / 24)
    beyond = (blurred[..., :3] + 1e-3 * canvas) / (blurred[..., 3:] / 255 + 1e-3)
    own = pasted[..., :3] + (1 - alpha) * beyond
    image = _pyramid_blend(own, canvas, alpha[..., 0], _PYRAMID_LEVELS)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), pasted[..., 3].astype(np.uint8)


def _standing(
    figure: Figure, frame: tuple[int, int], background: tuple[int, int], rng: np.random.Generator
) -> Placement:
    """Place the figure upright on the frame's lower edge, none of its cuts inside the frame."""
    left, top, right, bottom = figure.box
    width, height = right - left, bottom - top
    scale = rng.uniform(*_HEIGHT) * frame[1] / height
    if {"left", "right"} <= figure.cuts.keys():
        scale = max(scale, frame[0] / width)
    if {"top", "bottom"} <= figure.cuts.keys():
        scale = max(scale, frame[1] / height)
    room, above = frame[0] - scale * width, frame[1] - scale * height
    x = rng.uniform(min(room, 0), max(room, 0))
    if ("left" in figure.cuts) != ("right" in figure.cuts):
        x = 0 if "left" in figure.cuts else room
    # Where it is taller than the frame, its head is what shows.
    y = 0 if "top" in figure.cuts else max(above, 0)
    matrix = np.array([[scale, 0, x - scale * left], [0, scale, y - scale * top]])
    return Placement(frame, (0, 0, *background), scale, 0.0, matrix)


def _pyramid_blend(one: Any, other: Any, alpha: Any, levels: int) -> Any:
    """Blend each band of detail over a width of its own; float32, (H, W, 3) twice and (H, W)."""
    if not levels:
        return alpha[..., None] * one + (1 - alpha[..., None]) * other
    size = (alpha.shape[1], alpha.shape[0])
    coarse = [cv2.pyrDown(values) for values in (one, other, alpha)]
    fine = one - cv2.pyrUp(coarse[0], dstsize=size), other - cv2.pyrUp(coarse[1], dstsize=size)
    below = cv2.pyrUp(_pyramid_blend(*coarse, levels - 1), dstsize=size)
    return _pyramid_blend(*fine, alpha, 0) + below


def _gathered(pictures: Iterator[tuple[Pixels, Pixels]], size: int) -> Pairs:
    small = [
        [cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA) for pixels in pair]
        for pair in pictures
    ]
    return Pairs(np.stack([image for image, _ in small]), np.stack([mask for _, mask in small]))


def _decoded(image: bytes, mask: bytes) -> tuple[Pixels, Pixels]:
    grey = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise SourceError("a mask is not a picture")
    return decode_background(image, PLAIN.max_pixels), grey


def _by_stem(folder: Path) -> dict[str, Path]:
    files = sorted(path for path in folder.glob("*") if path.is_file() and path.name[0] != ".")
    stems = {path.stem: path for path in files}
    if not files or len(stems) < len(files):
        raise SourceError(f"{folder}: has no files, or two of one stem.")
    return stems


def _read_photo(image: Path, mask: Path) -> tuple[Pixels, Pixels]:
    try:
        pixels, alpha = _decoded(image.read_bytes(), mask.read_bytes())
    except Exception as error:
        raise SourceError(f"{image} and {mask}: {error}.") from error
    if pixels.shape[:2] != alpha.shape:
        raise SourceError(f"{image} and {mask}: differ in size.")
    return pixels, alpha
