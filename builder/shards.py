"""From rows to Parquet files, a shard at a time: written whole or not at all, and described."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from builder.errors import FolderError
from builder.places import Place, reaching
from builder.plan import Shard, Split
from builder.recipe import Recipe
from builder.render import RENDERING, Row, features_of
from builder.sources.layer import Layer
from builder.typed import from_json

if TYPE_CHECKING:
    from upath import UPath

# Arrow counts the bytes of a column in 31 bits.
_COLUMN_BYTES = 1024**3
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# Arrow fetches row groups that lie closer together than this in pieces of 32 MiB. The first row
# comes sooner if what it waits for ends with its own row group; all others go on as one.
_HOLE = bytes(8192 + 1)
OWN_METADATA = b"human-segmentation"
DESCRIPTION = ".json"
"""What follows a shard's name in that of its description."""


@dataclass(frozen=True)
class ShardFile:
    """A finished Parquet file.

    Attributes:
        name, split, index, humans, backgrounds, companions: as in `builder.plan.Shard`.
        rows: the number of its pairs.
        bytes: the size of the file.
        data_bytes: what its columns hold, compressed or not.
        coverage: how many of its masks cover 0 to 10 % of their frame, 10 to 20 %, and so on.
        sha256: of the file.
        fingerprint: of all that determines its pictures, apart from library versions.
    """

    name: str
    split: Split
    index: int
    humans: tuple[str, ...]
    backgrounds: tuple[str, ...]
    rows: int
    bytes: int
    data_bytes: int
    coverage: tuple[int, ...]
    sha256: str
    fingerprint: str
    companions: tuple[str, ...] = ()


def shard_fingerprint(shard: Shard, recipe: Recipe, seed: int) -> str:
    """Return a hash of all that determines a shard's pictures, apart from library versions."""
    values = [RENDERING, recipe.to_dict(), seed, asdict(shard)]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Work:
    """Shards to be made, with all that it takes to make them in any process of any machine.

    Attributes:
        shards: from the plan.
        layers: by id, those of all the shards.
        recipe, seed: of the dataset.
        folder: where the finished files go; it exists.
    """

    shards: tuple[Shard, ...]
    layers: Mapping[str, Layer]
    recipe: Recipe
    seed: int
    folder: Place

    @property
    def rows(self) -> int:
        """The number of pairs."""
        return sum(shard.rows for shard in self.shards)

    def of(self, shard: Shard) -> Work:
        """Return the work of one shard."""
        own = {*shard.humans, *shard.backgrounds, *shard.companions}
        layers = {layer: self.layers[layer] for layer in own}
        return replace(self, shards=(shard,), layers=layers)


def write_shard(
    shard: Shard, rows: Iterable[Row], folder: Place, recipe: Recipe, seed: int
) -> ShardFile:
    """Write one shard; its name appears only once all of it is there.

    Args:
        shard: names the file.
        rows: its rows, in order.
        folder: exists. Beside a shard that goes elsewhere than to the local disk lies its
            description, so that nobody has to fetch it to know it: `finished_shard` reads it.
        recipe: `row_group_rows` matters; all of it enters the fingerprint.
        seed: enters the fingerprint.

    Raises:
        FolderError: the disk is full or the folder cannot be written.
        StorageError: the URL cannot be reached.
    """
    if isinstance(folder, Path):
        return _write_local_shard(shard, rows, folder, recipe, seed)
    with tempfile.TemporaryDirectory(prefix="human-segmentation-") as local:
        file = _write_local_shard(shard, rows, Path(local), recipe, seed)
        target = folder / file.name
        with reaching(target):
            target.fs.put_file(str(Path(local) / file.name), target.path)
            _description_of(target).write_text(json.dumps(asdict(file)), encoding="utf-8")
    return file


def _write_local_shard(
    shard: Shard, rows: Iterable[Row], folder: Path, recipe: Recipe, seed: int
) -> ShardFile:
    target = folder / shard.file_name
    # Two machines may be at it for a while: one that was given up, and the one that took over.
    partial = folder / f".{shard.file_name}.{uuid.uuid4().hex}.partial"
    try:
        _write_parquet(
            partial, rows, _schema(recipe, shard_fingerprint(shard, recipe, seed)), recipe
        )
        partial.replace(target)
    except OSError as error:
        raise FolderError(
            f"{target}: cannot be written ({error.strerror or error}). Make room or choose another "
            "--output; run the same command again and it goes on where it stopped."
        ) from error
    finally:
        # Where it could not be written, it often cannot be removed either.
        with contextlib.suppress(OSError):
            partial.unlink()
    return describe_shard(target, shard)


def finished_shard(place: Place, shard: Shard, recipe: Recipe, seed: int) -> ShardFile | None:
    """Return the description of a shard that is there already, or None if it is not.

    Raises:
        FolderError: a file is there, but it was made from other layers, recipe or seed.
        StorageError: the URL cannot be reached.
    """
    described = None if isinstance(place, Path) else _described(place)
    if isinstance(place, Path) and place.exists():
        fingerprint = _fingerprint_in(place)
    elif described:
        fingerprint = described.fingerprint
    else:
        return None
    if fingerprint != shard_fingerprint(shard, recipe, seed):
        raise FolderError(
            f"{place}: was built from other layers, another recipe, seed or version. "
            "Choose another --output, or give --rebuild to replace the dataset."
        )
    return describe_shard(place, shard) if isinstance(place, Path) else described


def _fingerprint_in(path: Path) -> str:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise FolderError(
            f"{path}: is not a whole Parquet file. Delete it and run the command again."
        ) from error
    return str(json.loads(metadata.get(OWN_METADATA, b"{}")).get("fingerprint"))


def _described(place: UPath) -> ShardFile | None:
    """Return the description of a shard elsewhere; None where the shard is not as described."""
    place.fs.invalidate_cache()
    with reaching(place):
        try:
            described = json.loads(_description_of(place).read_text(encoding="utf-8"))
            file = from_json(ShardFile, described)
            return file if place.stat().st_size == file.bytes else None
        except (FileNotFoundError, ValueError, TypeError):
            return None


def _description_of(place: UPath) -> UPath:
    return place.with_name(f"{place.name}{DESCRIPTION}")


def describe_shard(path: Path, shard: Shard) -> ShardFile:
    """Measure and hash a finished shard."""
    parquet = pq.ParquetFile(path)
    groups = (parquet.metadata.row_group(n) for n in range(parquet.num_row_groups))
    own = json.loads(parquet.schema_arrow.metadata[OWN_METADATA])
    return ShardFile(
        name=path.name,
        split=shard.split,
        index=shard.index,
        humans=shard.humans,
        backgrounds=shard.backgrounds,
        companions=shard.companions,
        rows=parquet.metadata.num_rows,
        bytes=path.stat().st_size,
        data_bytes=sum(group.total_byte_size for group in groups),
        coverage=_coverage(parquet),
        sha256=sha256_of(path),
        fingerprint=own["fingerprint"],
    )


def _coverage(parquet: pq.ParquetFile) -> tuple[int, ...]:
    """Count masks by the tenth of the frame that they cover."""
    provenance = parquet.read(columns=["provenance"]).column("provenance")
    tenths = [min(9, int(json.loads(text)["coverage"] * 10)) for text in provenance.to_pylist()]
    return tuple(np.bincount(tenths, minlength=10).tolist())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024**2):
            digest.update(block)
    return digest.hexdigest()


def columns_of(recipe: Recipe) -> pa.Schema:
    """Return the columns of a shard, with their types and without metadata."""
    return pa.schema(
        [
            pa.field(name, _IMAGE if feature["_type"] == "Image" else pa.string())
            for name, feature in features_of(recipe).items()
        ]
    )


def _schema(recipe: Recipe, fingerprint: str) -> pa.Schema:
    metadata = {
        b"huggingface": json.dumps({"info": {"features": features_of(recipe)}}).encode(),
        OWN_METADATA: json.dumps({"fingerprint": fingerprint}).encode(),
    }
    return columns_of(recipe).with_metadata(metadata)


def _write_parquet(path: Path, rows: Iterable[Row], schema: pa.Schema, recipe: Recipe) -> None:
    with path.open("wb") as file:
        # Arrow counts what is written through itself alone.
        sink = pa.PythonFile(file, "w")
        with pq.ParquetWriter(
            sink,
            schema,
            # Encoded pictures do not compress, and a dictionary or bounds of them only cost.
            compression={
                column: "zstd" if column == "provenance" else "none" for column in _leaves(schema)
            },
            use_dictionary=["human", "background"],
            write_statistics=["id", "human", "background"],
            write_page_index=True,
            # No content-defined chunks: what is not compressed Xet finds again by itself. With
            # them what Xet stored of a changed shard was 1.2 to 22 times as much.
        ) as writer:
            for number, group in enumerate(_batched(rows, recipe.row_group_rows)):
                if number == 1:
                    sink.write(_HOLE)
                writer.write_table(_table(group, schema))
        file.flush()
        os.fsync(file.fileno())


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Return a table of rows, put together from buffers.

    What `pa.Table.from_pylist` does for values of any kind takes four times as long for pictures,
    and imports pandas, for half a second.
    """
    pictures = (cell["bytes"] for row in rows for cell in row.values() if isinstance(cell, dict))
    if len(rows) > 1 and sum(map(len, pictures)) > _COLUMN_BYTES:
        middle = len(rows) // 2
        return pa.concat_tables([_table(part, schema) for part in (rows[:middle], rows[middle:])])
    columns = [_column([row[field.name] for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(cells: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        parts = [_column([cell[part.name] for cell in cells], part.type) for part in kind]
        return pa.StructArray.from_arrays(parts, fields=list(kind))
    values = cells if pa.types.is_binary(kind) else [cell.encode() for cell in cells]
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(cells), buffers)


def _leaves(schema: pa.Schema) -> Iterator[str]:
    """Yield the columns of the file: a picture has two, its bytes and its path."""
    for field in schema:
        if pa.types.is_struct(field.type):
            yield from (f"{field.name}.{part.name}" for part in field.type)
        else:
            yield field.name


def _batched(rows: Iterable[Row], count: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, count)):
        yield batch
