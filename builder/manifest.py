"""manifest.json: what a dataset folder holds and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builder.errors import FolderError, RecipeError
from builder.layers import Admitted
from builder.plan import Plan
from builder.recipe import Recipe, recipe_from_dict
from builder.shards import ShardFile
from builder.version import __version__

FORMAT = 1
FILE_NAME = "manifest.json"

# Another version of one of these may encode or resample to other bytes.
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow")


@dataclass(frozen=True)
class ManifestLayer:
    """A layer in use; the fields are those of `builder.sources.layer.Layer`."""

    id: str
    name: str
    role: str
    split: str
    width: int
    height: int
    perceptual_hash: str


@dataclass(frozen=True)
class Manifest:
    """Everything about a dataset but its pictures. It names no time and no path.

    `sources` are kinds: `drive` for any folder on Google Drive, `files`, `sample`.
    """

    version: str
    sources: tuple[str, ...]
    recipe: Recipe
    seed: int
    libraries: dict[str, str]
    layers: tuple[ManifestLayer, ...]
    shards: tuple[ShardFile, ...]
    left_out: tuple[dict[str, str], ...]
    ignored: dict[str, int]

    def rows(self, split: str) -> int:
        """Return the number of pairs of a split."""
        return sum(shard.rows for shard in self.shards if shard.split == split)

    def count(self, role: str, split: str) -> int:
        """Return the number of layers of a role in a split."""
        return sum(layer.role == role and layer.split == split for layer in self.layers)

    @property
    def splits(self) -> list[str]:
        """The splits that have shards, in order."""
        return list(dict.fromkeys(shard.split for shard in self.shards))


def make_manifest(
    sources: tuple[str, ...],
    admitted: Admitted,
    ignored: Mapping[str, int],
    plan: Plan,
    shards: list[ShardFile],
    recipe: Recipe,
    seed: int,
) -> Manifest:
    """Describe a finished build."""
    split_of = plan.split_of()
    layers = [
        ManifestLayer(
            id=layer.id,
            name=layer.name,
            role=layer.role,
            split=split_of[layer.id],
            width=layer.width,
            height=layer.height,
            perceptual_hash=layer.perceptual_hash,
        )
        for layer in admitted.layers
    ]
    return Manifest(
        version=__version__,
        sources=sources,
        recipe=recipe,
        seed=seed,
        libraries={name: version(name) for name in _LIBRARIES},
        layers=tuple(sorted(layers, key=lambda layer: (layer.role, layer.id))),
        shards=tuple(shards),
        left_out=tuple(asdict(out) for out in admitted.left_out),
        ignored=dict(sorted(ignored.items())),
    )


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json`; the name appears only once all of it is on the disk."""
    values = {"format": FORMAT, **asdict(manifest), "recipe": manifest.recipe.to_dict()}
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    partial = folder / f".{FILE_NAME}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / FILE_NAME)


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`.

    Raises:
        FolderError: there is none, it is damaged, or a later version wrote it.
    """
    path = folder / FILE_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return _from_values(values)
    except FileNotFoundError as error:
        raise FolderError(
            f"{folder}: holds no {FILE_NAME}, so it is no finished dataset. "
            f"Finish it with: human-segmentation build --output {folder}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, RecipeError) as error:
        raise FolderError(f"{path}: cannot be used ({error}). Build the dataset again.") from error


def _from_values(values: dict[str, Any]) -> Manifest:
    if values.pop("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}; another version of this tool wrote it")
    values["sources"] = tuple(values["sources"])
    values["recipe"] = recipe_from_dict(values["recipe"])
    values["layers"] = tuple(ManifestLayer(**layer) for layer in values["layers"])
    values["shards"] = tuple(_shard(shard) for shard in values["shards"])
    values["left_out"] = tuple(values["left_out"])
    return Manifest(**values)


def _shard(values: dict[str, Any]) -> ShardFile:
    lists = ("humans", "backgrounds", "coverage")
    return ShardFile(**{**values, **{name: tuple(values[name]) for name in lists}})
