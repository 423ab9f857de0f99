"""Checks a finished dataset against its manifest: every file, row and picture, and the splits."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from builder.engines import ordered_map
from builder.errors import FolderError
from builder.manifest import (
    FILE_NAME,
    Manifest,
    ManifestLayer,
    parse_manifest,
    read_text,
    was_edited,
)
from builder.plan import SPLITS, Shard, near_duplicates
from builder.recipe import Recipe
from builder.rows import small_batches
from builder.shards import OWN_METADATA, ShardFile, columns_of, sha256_of
from builder.sources.layer import printable
from builder.staging import DATA, STAGING
from builder.verify_rows import row_faults

_HASH = re.compile("[0-9a-f]{64}")
# What pyarrow was seen to raise on damaged files, besides its own errors.
_DAMAGED = (OSError, ValueError, KeyError, pa.ArrowException)


class Place(Protocol):
    """Where a dataset lies. Picklable, so that worker processes can read it."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
        ...

    def manifest(self) -> str:
        """Return the text of the manifest. Raises `HumanSegmentationError` where there is none."""
        ...

    def shards(self) -> list[str]:
        """Return the paths of all Parquet files below `data`, relative to it."""
        ...

    def shard(self, name: str) -> AbstractContextManager[Path]:
        """Give the local path of a shard while it is needed."""
        ...


@dataclass(frozen=True)
class FolderPlace:
    """A dataset folder on the local disk."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder as it was given."""
        return str(self.folder)

    def manifest(self) -> str:
        """Return the text of the manifest; raises `FolderError` where there is none to be used."""
        if (self.folder / STAGING / FILE_NAME).exists():
            raise FolderError(
                f"{self.folder}: its last build was interrupted. Run the same "
                "`human-segmentation build` again first."
            )
        return read_text(self.folder)

    def shards(self) -> list[str]:
        """Return the paths of all Parquet files below `data`, relative to it."""
        data = self.folder / DATA
        return sorted(path.relative_to(data).as_posix() for path in data.rglob("*.parquet"))

    @contextlib.contextmanager
    def shard(self, name: str) -> Iterator[Path]:
        """Give the path of a shard."""
        yield self.folder / DATA / name


@dataclass(frozen=True)
class Fault:
    """Something wrong: `file` is relative to the dataset; `row` counts from 0 in its file."""

    file: str
    row: int | None
    text: str

    def __str__(self) -> str:
        row = "" if self.row is None else f", row {self.row:,}"
        return f"{printable(self.file)}{row}: {self.text}"


@dataclass(frozen=True)
class Verification:
    """What was looked at and what is wrong, in the order of the manifest."""

    name: str
    manifest: Manifest
    rows: int
    faults: tuple[Fault, ...]
    seconds: float


@dataclass(frozen=True)
class _Task:
    place: Place
    file: ShardFile
    shard: Shard
    recipe: Recipe


def verify(place: Place, *, workers: int = 1, progress: bool = True) -> Verification:
    """Check everything that the manifest says.

    That is: the manifest's own checksum; which shards there are; the size, hash, columns and rows
    of each; ids, pictures, mask and provenance of each row; and that no layer, and nothing that
    looks like one, is in two splits.

    Args:
        place: where the dataset lies.
        workers: processes that read shards.
        progress: whether to show a bar.

    Raises:
        HumanSegmentationError: there is no manifest that can be used, or the place cannot be read.
    """
    started = time.monotonic()
    text = place.manifest()
    manifest = parse_manifest(text, f"{place.name}/{FILE_NAME}")
    present = set(place.shards())
    faults = [*_manifest_faults(text, manifest), *_presence_faults(present, manifest)]
    tasks = [
        _Task(place, file, shard, manifest.recipe)
        for file, shard in zip(manifest.shards, manifest.planned(), strict=True)
        if file.name in present
    ]
    total = sum(task.file.rows for task in tasks)
    with (
        ordered_map(_check_shard, tasks, workers) as results,
        tqdm(total=total, desc="Verifying", unit=" pairs", disable=not progress) as bar,
    ):
        for task, found in zip(tasks, results, strict=True):
            faults += found
            bar.update(task.file.rows)
    return Verification(place.name, manifest, total, tuple(faults), time.monotonic() - started)


def _manifest_faults(text: str, manifest: Manifest) -> Iterator[Fault]:
    if was_edited(text):
        yield Fault(FILE_NAME, None, "was edited since it was written: its checksum is another")
    for reason in _split_faults(manifest):
        yield Fault(FILE_NAME, None, reason)


def _presence_faults(present: Collection[str], manifest: Manifest) -> Iterator[Fault]:
    expected = {file.name for file in manifest.shards}
    for name in sorted(expected.difference(present)):
        yield Fault(f"{DATA}/{name}", None, "is missing")
    for name in sorted(set(present) - expected):
        reason = "is not in the manifest, and load_dataset would read it"
        yield Fault(f"{DATA}/{name}", None, reason)


def _split_faults(manifest: Manifest) -> Iterator[str]:
    """Yield where a layer, or what looks like one, is in two splits; and what is not listed."""
    layers: dict[str, ManifestLayer] = {}
    for layer in manifest.layers:
        if layer.id in layers:
            yield f"lists layer {_short(layer.id)} twice"
        layers[layer.id] = layer
    homes: dict[str, str] = {}
    for file in manifest.shards:
        for human in file.humans:
            if homes.setdefault(human, file.name) != file.name:
                yield f"has human {_short(human)} in {homes[human]} and in {file.name}"
        yield from _use_faults(file, layers)
    for role in ("human", "background"):
        yield from _alike_faults(role, manifest)


def _use_faults(file: ShardFile, layers: Mapping[str, ManifestLayer]) -> Iterator[str]:
    """Yield what a shard uses that is of another role or split."""
    for role, own in (("human", file.humans), ("background", file.backgrounds)):
        for layer_id in dict.fromkeys(own):
            layer = layers.get(layer_id)
            if layer is None or (layer.role, layer.split) != (role, file.split):
                known = f"a {layer.role} of {layer.split}" if layer else "not listed"
                yield f"{file.name} uses {_short(layer_id)} as a {role}, which is {known}"
    for other in dict.fromkeys(file.companions):
        if other not in file.humans:
            yield f"{file.name} takes company from elsewhere: {_short(other)}"


def _alike_faults(role: str, manifest: Manifest) -> Iterator[str]:
    own = [layer for layer in manifest.layers if layer.role == role]
    hashed = [layer for layer in own if _HASH.fullmatch(layer.perceptual_hash)]
    for layer in own:
        if layer not in hashed:
            yield f"has no perceptual hash of {_short(layer.id)}"
    train, others = ([layer for layer in hashed if layer.split == name] for name in SPLITS)
    if not (train and others):
        return
    for one, other in near_duplicates(
        [layer.perceptual_hash for layer in train],
        [layer.perceptual_hash for layer in others],
        manifest.recipe.near_duplicate_bits,
    ):
        names = " and ".join(printable(each.name) for each in (train[one], others[other]))
        yield f"has {role}s in two splits that look alike: {names}"


def _check_shard(task: _Task) -> list[Fault]:
    """Return what is wrong with one shard; runs in a worker."""
    name = f"{DATA}/{task.file.name}"
    with task.place.shard(task.file.name) as path:
        faults = [Fault(name, None, reason) for reason in _file_faults(path, task.file)]
        try:
            faults += [Fault(name, row, reason) for row, reason in _content_faults(path, task)]
        except _DAMAGED as error:
            faults.append(Fault(name, None, f"cannot be read ({printable(str(error))[:200]})"))
    return faults


def _file_faults(path: Path, file: ShardFile) -> Iterator[str]:
    size = path.stat().st_size
    if size != file.bytes:
        yield f"has {size:,} bytes, the manifest says {file.bytes:,}"
    if sha256_of(path) != file.sha256:
        yield "holds other bytes than the manifest says: its SHA-256 is another"


def _content_faults(path: Path, task: _Task) -> Iterator[tuple[int | None, str]]:
    file = task.file
    with pq.ParquetFile(path) as parquet:
        schema = parquet.schema_arrow
        own = json.loads((schema.metadata or {}).get(OWN_METADATA, b"{}"))
        if own != {"fingerprint": file.fingerprint}:
            yield None, "was made from something else: its fingerprint is another"
        if not schema.equals(columns_of(task.recipe)):
            yield None, f"has other columns: {printable(', '.join(schema.names))}"
            return
        if parquet.metadata.num_rows != file.rows:
            yield None, f"has {parquet.metadata.num_rows:,} rows, the manifest says {file.rows:,}"
        batches = small_batches(parquet, range(parquet.num_row_groups))
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, (row, pair) in enumerate(zip(rows, task.shard.pairs(), strict=False)):
            for reason in row_faults(row, pair, task.shard, task.recipe):
                yield number, reason


def _short(layer_id: str) -> str:
    return printable(layer_id)[:12]
