"""Which blend is closer to what a camera would have taken, sRGB values or linear light?

A camera adds the light that falls on a pixel. So the truth here is a hard-edged figure over a
background at four times the resolution, averaged in linear light; against it stand the figure's
averaged alpha and colours, blended either way.

    python benchmarks/blend_light.py --layers ../shared/layers
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from builder.compose.blend import blend
from builder.compose.camera import linear_of, srgb_of
from builder.decoding import decode_background, decode_human
from builder.recipe import REALISTIC

_FACTOR = 4


def errors(human: Path, background: Path) -> dict[str, float]:
    """Return the mean error of each blend, in levels, where alpha is partial."""
    rgba = decode_human(human.read_bytes(), REALISTIC.max_pixels)
    height, width = (side // _FACTOR * _FACTOR for side in rgba.shape[:2])
    rgba = rgba[:height, :width].copy()
    rgba[..., 3] = np.where(rgba[..., 3] >= 128, 255, 0)
    behind = cv2.resize(
        decode_background(background.read_bytes(), REALISTIC.max_pixels), (width, height)
    )
    size = (width // _FACTOR, height // _FACTOR)
    scene = np.where(rgba[..., 3:] == 255, rgba[..., :3], behind)
    light = cv2.resize(linear_of(scene), size, interpolation=cv2.INTER_AREA)
    truth = srgb_of(light)
    premultiplied = cv2.cvtColor(rgba, cv2.COLOR_RGBA2mRGBA)
    figure = np.asarray(cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA), np.uint8)
    seen = srgb_of(cv2.resize(linear_of(behind), size, interpolation=cv2.INTER_AREA))
    edge = (figure[..., 3] > 0) & (figure[..., 3] < 255)
    made = {}
    for name, linear in (("srgb", False), ("linear", True)):
        canvas = np.rint(seen).astype(np.uint8)
        blend(canvas, figure, (0, 0), linear=linear)
        made[name] = float(np.abs(canvas[edge] - truth[edge]).mean())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=Path, required=True)
    layers = parser.parse_args().layers
    humans, backgrounds = (
        sorted(path for path in (layers / role).iterdir() if path.suffix in (".png", ".jpg"))
        for role in ("humans", "backgrounds")
    )
    found = [errors(human, background) for human in humans for background in backgrounds]
    print(f"{len(humans)} humans on {len(backgrounds)} backgrounds, {_FACTOR} x {_FACTOR} points")
    for name in ("srgb", "linear"):
        values = [one[name] for one in found]
        print(f"{name:<7} {np.mean(values):.2f} levels off at edges, at worst {max(values):.2f}")


if __name__ == "__main__":
    main()
