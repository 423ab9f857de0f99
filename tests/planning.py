"""Layers without pictures, for tests of plans."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from builder.recipe import CLASSIC, Recipe
from builder.sources.layer import Layer, Role
from builder.sources.sample import DrawnHuman

CONTENT = DrawnHuman(0, 0, 256)


def layer(role: Role, number: int, perceptual_hash: str | None = None) -> Layer:
    """Return a layer with an id and a perceptual hash of its own; no picture is behind it."""
    digest = hashlib.sha256(f"{role}/{number}".encode()).hexdigest()
    return Layer(
        id=digest[:32],
        role=role,
        name=f"{role}s/{number}.png",
        width=640,
        height=480,
        perceptual_hash=perceptual_hash or digest,
        content=CONTENT,
        checksum="",
    )


def layers(humans: int, backgrounds: int) -> list[Layer]:
    return [layer("human", n) for n in range(humans)] + [
        layer("background", n) for n in range(backgrounds)
    ]


def recipe(per_human: int, validation: float, **changes: object) -> Recipe:
    return CLASSIC.replace({"per_human": per_human, "validation": validation, **changes})


def flipped(perceptual_hash: str, positions: list[int]) -> str:
    """Return a hash that differs in some of its 256 bits."""
    value = bits(perceptual_hash)
    value[positions] ^= 1
    return np.packbits(value).tobytes().hex()


def bits(perceptual_hash: str) -> npt.NDArray[np.uint8]:
    """Return the 256 bits of a hash, each 0 or 1."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash), np.uint8))
