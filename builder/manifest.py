"""manifest.json: what a dataset folder holds and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from builder.errors import FolderError, RecipeError
from builder.layer_files import LayerFile, is_name
from builder.layers import Admitted
from builder.places import Place, write_whole
from builder.plan import SPLITS, Shard, Split
from builder.recipe import Recipe, recipe_from_dict
from builder.shards import ShardFile, shard_file
from builder.sources.layer import Role
from builder.version import __version__, library_versions

FORMAT = 1
FILE_NAME = "manifest.json"


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
    the SHA-256 of `manifest.json` before each update, oldest first. `layer_files` are there if the
    dataset keeps its layers.
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
    layer_files: tuple[LayerFile, ...] = ()

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
    layer_files: Sequence[LayerFile] = (),
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
        libraries=library_versions(),
        layers=tuple(sorted(layers, key=lambda layer: (layer.role, layer.id))),
        shards=tuple(shards),
        left_out=tuple(asdict(out) for out in admitted.left_out),
        ignored=dict(sorted(ignored.items())),
        layer_files=tuple(layer_files),
    )


def write_manifest(manifest: Manifest, folder: Place) -> None:
    """Write `manifest.json`; the name appears only once all of it is on the disk."""
    write_whole(folder / FILE_NAME, manifest_text(manifest).encode())


def manifest_text(manifest: Manifest) -> str:
    """Return what `manifest.json` holds."""
    values = {"format": FORMAT, **asdict(manifest), "recipe": manifest.recipe.to_dict()}
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Place) -> Manifest:
    """Read `manifest.json`.

    Raises:
        FolderError: there is none, it is damaged, or a later version wrote it.
    """
    path = folder / FILE_NAME
    try:
        return parse_manifest(path.read_text(encoding="utf-8"), str(path))
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
    except (ValueError, TypeError, KeyError, RecipeError) as error:
        raise FolderError(f"{name}: cannot be used ({error}). Build the dataset again.") from error


def _from_values(values: dict[str, Any]) -> Manifest:
    if values.pop("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}; another version of this tool wrote it")
    values["sources"] = tuple(values["sources"])
    values["recipe"] = recipe_from_dict(values["recipe"])
    values["layers"] = tuple(ManifestLayer(**layer) for layer in values["layers"])
    values["shards"] = tuple(shard_file(shard) for shard in values["shards"])
    # Manifests of before there were any have none.
    values["layer_files"] = tuple(LayerFile(**file) for file in values.get("layer_files", ()))
    for name in ("left_out", "history"):
        values[name] = tuple(values[name])
    manifest = Manifest(**values)
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    """Refuse what no build writes: a manifest may come from the Hub, and names become paths."""
    for file, shard in zip(manifest.shards, manifest.planned(), strict=True):
        if shard.split not in SPLITS or file.name != shard.file_name or file.rows != shard.rows:
            raise ValueError(f"shard {file.name!r} does not fit what it says of itself")
    if len({file.name for file in manifest.shards}) != len(manifest.shards):
        raise ValueError("two shards have one name")
    for layers in manifest.layer_files:
        begins = f"{layers.config}-{layers.split}-"
        if not is_name(layers.name) or not layers.name.startswith(begins):
            raise ValueError(f"file {layers.name!r} does not fit what it says of itself")
