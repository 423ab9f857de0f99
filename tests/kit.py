"""Layers small enough to make in every test: figures with soft edges, sceneries, files of both."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from builder.sources.layer import Candidate, Role

Pixels = npt.NDArray[np.uint8]


def portrait(seed: int = 0, size: tuple[int, int] = (96, 128), cut_bottom: bool = False) -> Pixels:
    """Return uint8 (H, W, 4), straight RGBA: a head on a body, softer than a pixel at its edge.

    No two seeds look alike, to a perceptual hash either. `size` is (width, height). With
    `cut_bottom` the figure runs out of the picture's lower border, as a half-length portrait does;
    without, it touches no border.
    """
    rng = np.random.default_rng([1, seed])
    width, height = size
    x, unit = width * rng.uniform(0.42, 0.58), min(width * 1.2, height) / 8
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, ((x, unit * 1.9), (unit * 1.5, unit * 1.9), 0), 255, -1, cv2.LINE_AA)
    body = rng.uniform(2.2, 3.2) * unit
    cv2.rectangle(alpha, _point(x - body / 2, unit * 2.8), _point(x + body / 2, height), 255, -1)
    if not cut_bottom:
        alpha[int(height - unit) :] = 0
    alpha = cv2.GaussianBlur(alpha, (0, 0), max(0.6, unit / 12))
    return np.dstack([_texture(rng, size, cells=5), alpha])


def scenery(seed: int = 0, size: tuple[int, int] = (160, 120)) -> Pixels:
    """Return uint8 (H, W, 3), RGB: coarse noise, another for each seed. `size` is (w, h)."""
    return _texture(np.random.default_rng([2, seed]), size, cells=8)


def _texture(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Pixels:
    grid = rng.integers(0, 256, (cells, cells, 3), np.uint8)
    return np.asarray(cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC))


def _point(x: float, y: float) -> tuple[int, int]:
    return round(x), round(y)


def encoded(pixels: npt.NDArray[Any] | Image.Image, image_format: str, **options: Any) -> bytes:
    """Return `pixels` in a format of Pillow's; `options` go to `Image.save`."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def png(pixels: npt.NDArray[Any] | Image.Image) -> bytes:
    """Return `pixels` as a PNG."""
    return encoded(pixels, "PNG")


def jpeg(pixels: npt.NDArray[Any] | Image.Image, quality: int = 92) -> bytes:
    """Return `pixels` as a JPEG."""
    return encoded(pixels, "JPEG", quality=quality)


def write_layers(
    folder: Path,
    humans: int = 6,
    backgrounds: int = 6,
    human_size: tuple[int, int] = (96, 128),
    background_size: tuple[int, int] = (160, 120),
) -> Path:
    """Write `humans/*.png` and `backgrounds/*.jpg` below `folder`, and return it.

    Every other human is cut by its picture's lower border. Sizes are (width, height).
    """
    for index in range(humans):
        figure = portrait(index, human_size, cut_bottom=index % 2 == 1)
        write(folder / "humans" / f"human-{index:02d}.png", png(figure))
    for index in range(backgrounds):
        view = scenery(index, background_size)
        write(folder / "backgrounds" / f"background-{index:02d}.jpg", jpeg(view))
    return folder


def write(path: Path, data: bytes) -> Path:
    """Write a file, making its folder, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@dataclass(frozen=True)
class Held:
    """The content of a candidate, held in memory."""

    data: bytes

    def read(self) -> bytes:
        return self.data


def candidate(role: Role, data: bytes, name: str = "picture") -> Candidate:
    """Return a candidate with these bytes."""
    return Candidate(role, name, Held(data))
