"""What a camera does to a whole picture at once, so that figure and background share it.

In the order of light: lens, sensor, development, storage. None of these moves an edge.
"""

from __future__ import annotations

import functools
import math

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt

from builder.compose.operations import (
    LUMA,
    Operation,
    Pixels,
    Values,
    add_noise,
    as_pixels,
    draw,
    draw_count,
    lookup,
    normal_field,
    replace_levels,
)
from builder.compose.resample import shrink
from builder.recipe import Recipe

Light = npt.NDArray[np.float64]

_LEVELS = np.arange(256, dtype=np.float64)


def defocus(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Blur a background as if the lens was focused on the figure before it.

    A tent of random radius, a share of the longer side: two box averages, one after the other
    (Heckbert, "Filtering by repeated integration", 1986). Close to a Gaussian, as fast for any
    radius, and twice as fast as OpenCV's stack blur, which is the same tent.
    """
    radius = draw(recipe.defocus, rng)
    side = max(1, round(radius * max(pixels.shape[:2]))) + 1
    average = functools.partial(cv2.blur, ksize=(side, side), borderType=cv2.BORDER_REPLICATE)
    # The two shifts of an even box cancel out.
    once = average(pixels, anchor=(side // 2, side // 2))
    twice = average(once, anchor=((side - 1) // 2, (side - 1) // 2), dst=pixels)
    return as_pixels(twice), {"radius": radius}


def vignette(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Darken the corners, by a share of the light that grows with the square of the distance.

    The first term of the cosine-fourth law: Goldman, "Vignette and exposure calibration and
    compensation", 2010.
    """
    strength = draw(recipe.vignette, rng)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1:1:16j, -1:1:16j]
    gain = 255 * (1 - strength * (x**2 + y**2) / 2)
    smooth = cv2.resize(gain.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    three = cv2.cvtColor(cv2.convertScaleAbs(smooth), cv2.COLOR_GRAY2RGB)
    return as_pixels(cv2.multiply(pixels, three, pixels, scale=1 / 255)), {"strength": strength}


def lens_blur(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Blur by a Gaussian, as lenses, diffraction and small movements together do."""
    sigma = draw(recipe.lens_blur, rng)
    return as_pixels(cv2.GaussianBlur(pixels, (0, 0), sigma)), {"sigma": sigma}


def exposure(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Change exposure and white balance, as gains in linear light.

    Gains of red and blue against each other are what the von Kries model makes of another colour of
    the light; sRGB is decoded and encoded as IEC 61966-2-1 says.
    """
    stops = draw(recipe.exposure, rng)
    warmth = draw(recipe.warmth, rng)
    tint = draw(recipe.tint, rng)
    gains = 2.0**stops * np.exp2([warmth / 2, tint / 2, -warmth / 2])
    channels = [as_pixels(channel) for channel in cv2.split(pixels)]
    for channel, gain in zip(channels, gains, strict=True):
        replace_levels(channel, srgb_of(linear_of(_LEVELS) * gain))
    return as_pixels(cv2.merge(channels, pixels)), {"stops": stops, "warmth": warmth, "tint": tint}


def saturation(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Scale the distance of all colours from grey."""
    gain = draw(recipe.saturation, rng)
    matrix = gain * np.eye(3) + (1 - gain) * np.tile(LUMA, (3, 1))
    return as_pixels(cv2.transform(pixels, matrix.astype(np.float32))), {"gain": gain}


def greyscale(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Remove all colour."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return as_pixels(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB, pixels)), {"luma": "BT.601"}


def sensor_noise(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Add noise whose variance is a + b * v for a pixel of value v.

    Read noise and shot noise: Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting
    for single-image raw-data", 2008. Drawn coarsely, so that it has grains as developed pictures
    have, where `grain` is over 1 px.
    """
    read = draw(recipe.read_noise, rng)
    shot = draw(recipe.shot_noise, rng)
    grain = draw(recipe.noise_grain, rng)
    deviation = np.sqrt(read**2 + shot * _LEVELS)
    height, width = pixels.shape[:2]
    coarse = (max(1, math.ceil(height / grain)), max(1, math.ceil(width / grain)), 3)
    field = normal_field(coarse, rng)
    if coarse[:2] != (height, width):
        field = as_pixels(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))
    loudness = max(1.0, float(deviation[-1]))
    shares = lookup(pixels, deviation * (255 / loudness))
    noisy = add_noise(pixels, field, loudness, shares)
    return noisy, {"read": read, "shot": shot, "grain": grain}


def resampling(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Shrink the picture and enlarge it again, as pictures from the web were."""
    scale = draw(recipe.resampling, rng)
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = shrink(pixels, size)
    large = cv2.resize(small, (width, height), pixels, interpolation=cv2.INTER_LINEAR)
    return as_pixels(large), {"scale": scale}


def compression(pixels: Pixels, recipe: Recipe, rng: np.random.Generator) -> tuple[Pixels, Values]:
    """Encode and decode as JPEG, once or twice, as pictures are that went from hand to hand."""
    qualities = [
        draw_count(recipe.compression_quality, rng)
        for _ in range(draw_count(recipe.compression_generations, rng))
    ]
    for quality in qualities:
        # OpenCV's takes the same library, and half as long again to swap red and blue.
        data = imagecodecs.jpeg8_encode(pixels, level=quality, subsampling="420")
        imagecodecs.jpeg8_decode(data, out=pixels)
    return pixels, {"qualities": qualities}


CAMERA_OPERATIONS: dict[str, Operation] = {
    "vignette": vignette,
    "lens_blur": lens_blur,
    "exposure": exposure,
    "saturation": saturation,
    "greyscale": greyscale,
    "sensor_noise": sensor_noise,
    "resampling": resampling,
    "compression": compression,
}


def linear_of(levels: npt.ArrayLike) -> Light:
    """Return linear light, 0 to 1, of sRGB values, 0 to 255; IEC 61966-2-1."""
    share = np.asarray(levels, dtype=np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def srgb_of(light: npt.ArrayLike) -> Light:
    """Return sRGB values, 0 to 255, of linear light, which is clipped to 0 to 1."""
    share = np.clip(np.asarray(light, dtype=np.float64), 0, 1)
    return 255 * np.where(share <= 0.0031308, share * 12.92, 1.055 * share ** (1 / 2.4) - 0.055)
