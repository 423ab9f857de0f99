"""One pair as a careful first script makes it: decode both layers, compose, encode, two files.

`python benchmarks/naive_pair.py HUMAN BACKGROUND IMAGE MASK SEED` makes one in a process of its
own, as the data set's original script made each of its pairs; `benchmarks/naive_pool.py` calls
the same function in a pool. The operations are the original's that cost time, in a few lines of
OpenCV, which is lighter to import than what the original used.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

# The quality and the sampling of our own pictures; for PNG OpenCV's defaults, which are fast.
_OPTIONS = {
    ".jpg": (
        *(cv2.IMWRITE_JPEG_QUALITY, 95),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ),
    ".webp": (cv2.IMWRITE_WEBP_QUALITY, 95),
    ".png": (),
}


def make_pair(human_path: str, background_path: str, image_path: str, mask: str, seed: int) -> None:
    """Write an image and its mask, both of the background's size."""
    rng = np.random.default_rng(seed)
    human = cv2.imread(human_path, cv2.IMREAD_UNCHANGED)
    background = cv2.imread(background_path, cv2.IMREAD_COLOR)
    size = (background.shape[1], background.shape[0])
    human[human[..., 3] < 160] = 0
    placed = cv2.warpAffine(human, _placement(human.shape, size, rng), size)
    alpha = placed[..., 3:].astype(np.float32) / 255
    blended = placed[..., :3] * alpha + background * (1 - alpha)
    image = _altered(blended, rng)
    suffix = image_path[image_path.rindex(".") :]
    cv2.imwrite(image_path, image, list(_OPTIONS[suffix]))
    cv2.imwrite(mask, placed[..., 3])


def _placement(
    shape: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    height, width = shape[:2]
    scale = max(size) / max(height, width) * rng.uniform(0.3, 1.5)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-5, 5), scale)
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return matrix


def _altered(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Darken, add noise and take colour away, each as often as `classic` does."""
    if rng.random() < 0.5:
        image *= rng.uniform(0.6, 1.0)
    if rng.random() < 0.2:
        noise = np.empty(image.shape, np.float32)
        image += cv2.randn(noise, 0, rng.uniform(1, 10) ** 0.5)
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV)
        hsv[..., 1] = cv2.multiply(hsv[..., 1], rng.uniform(0.3, 1.0))
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if rng.random() < 0.5:
        curve = np.clip(np.linspace(0, 255, 256) * rng.uniform(0.9, 1.1), 0, 255)
        pixels = cv2.LUT(pixels, curve.astype(np.uint8))
    return pixels


if __name__ == "__main__":
    make_pair(*sys.argv[1:5], int(sys.argv[5]))  # type: ignore[misc]
