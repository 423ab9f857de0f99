"""manifest.json: what a dataset folder holds and what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builder.errors import FolderError, RecipeError
from builder.layers import Admitted
from builder.plan import SPLITS, Shard, Split
from builder.recipe import Recipe, recipe_from_dict
from builder.shards import ShardFile
from builder.sources.layer import Role, printable
from builder.typed import from_json
from builder.version import __version__
from builder.whole import replacing

FORMAT = 1
FILE_NAME = "manifest.json"
_CHECKSUM = "checksum"

# Another version of one of these may encode or resample to other bytes.
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow")


@dataclass(frozen=True)
class ManifestLayer:
    """A layer in use; the fields are those of `builder.sources.layer.Layer`."""

    id: str
    name: str
    role: Role
    split: Split
    width: int
    height: int
    perceptual_hash: str


@dataclass(frozen=True)
class Manifest:
    """Everything about a dataset but its pictures. It names no time and no path.

    `sources` are kinds: `drive` for any folder on Google Drive, `files`, `sample`. `history` holds
    the SHA-256 of `manifest.json` before each update, oldest first.
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
    history: tuple[str, ...] = ()

    def rows(self, split: str) -> int:
        """Return the number of pairs of a split."""
        return sum(shard.rows for shard in self.shards if shard.split == split)

    def count(self, role: str, split: str) -> int:
        """Return the number of layers of a role in a split."""
        return sum(layer.role == role and layer.split == split for layer in self.layers)

    def planned(self) -> list[Shard]:
        """Return what the shards were planned to be, in the same order."""
        return [
            Shard(
                file.split,
                file.index,
                file.humans,
                file.backgrounds,
                self.recipe.per_human,
                file.companions,
            )
            for file in self.shards
        ]

    @property
    def splits(self) -> list[str]:
        """The splits that have shards, in order."""
        return list(dict.fromkeys(shard.split for shard in self.shards))


def make_manifest(
    sources: tuple[str, ...],
    admitted: Admitted,
    ignored: Mapping[str, int],
    split_of: Mapping[str, Split],
    shards: list[ShardFile],
    recipe: Recipe,
    seed: int,
) -> Manifest:
    """Describe a finished build."""
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
    with replacing(folder / FILE_NAME) as partial:
        partial.write_text(manifest_text(manifest), encoding="utf-8")


def manifest_text(manifest: Manifest) -> str:
    """Return what `manifest.json` holds."""
    values = {"format": FORMAT, **asdict(manifest), "recipe": manifest.recipe.to_dict()}
    values[_CHECKSUM] = _checksum(values)
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def was_edited(text: str) -> bool:
    """Tell whether the text of a `manifest.json` says something else than when it was written."""
    values = json.loads(text)
    return bool(values.pop(_CHECKSUM, None) != _checksum(values))


def _checksum(values: Mapping[str, Any]) -> str:
    """Return a hash against accidents; who wants to deceive can make it anew."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`.

    Raises:
        FolderError: there is none, it is damaged, or a later version wrote it.
    """
    return parse_manifest(read_text(folder), str(folder / FILE_NAME))


def read_text(folder: Path) -> str:
    """Return the text of `manifest.json`.

    Raises:
        FolderError: there is none, or it cannot be read as text.
    """
    path = folder / FILE_NAME
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FolderError(
            f"{folder}: holds no {FILE_NAME}, so it is no finished dataset. "
            f"Finish it with: human-segmentation build --output {folder}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{path}: cannot be read ({error}). Build the dataset again.") from error


def parse_manifest(text: str, name: str) -> Manifest:
    """Read the text of a `manifest.json`; `name` says in errors where it is from.

    Raises:
        FolderError: it is damaged, or a later version wrote it.
    """
    try:
        return _from_values(json.loads(text))
    except (ValueError, TypeError, RecursionError, RecipeError) as error:
        raise FolderError(
            f"{name}: cannot be used ({printable(str(error))}). Build the dataset again."
        ) from error


def _from_values(values: Any) -> Manifest:
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}; another version of this tool wrote it")
    values.pop(_CHECKSUM, None)
    if not isinstance(values.get("recipe"), dict):
        raise ValueError("it holds no recipe")
    values["recipe"] = recipe_from_dict(values["recipe"])
    manifest = from_json(Manifest, values)
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    """Refuse what no build writes: a manifest may come from the Hub, and names become paths."""
    for file, shard in zip(manifest.shards, manifest.planned(), strict=True):
        if shard.split not in SPLITS or file.name != shard.file_name or file.rows != shard.rows:
            raise ValueError(f"shard {file.name!r} does not fit what it says of itself")
        if not file.humans or not file.backgrounds:
            raise ValueError(f"shard {file.name!r} is of no humans or no backgrounds")
    if len({file.name for file in manifest.shards}) != len(manifest.shards):
        raise ValueError("two shards have one name")
