"""The layers of a dataset as Parquet, for the configs `humans` and `backgrounds`.

Original bytes, with what was measured and found, so that datasets can be built from them anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.errors import FolderError
from builder.inspection import TABLE_FIELDS, Row, with_alike
from builder.layers import Admitted
from builder.plan import SPLITS, Split
from builder.recipe import Recipe
from builder.shards import OWN_METADATA, sha256_of
from builder.sources.layer import Layer, Role
from builder.sources.roles import PICTURE_SUFFIXES

FOLDER = "layers"
CONFIGS: dict[str, Role] = {"humans": "human", "backgrounds": "background"}
"""The configs of `datasets`, and the role of the layers in each."""

_MEGABYTE = 1_000_000
_FILE_BYTES = 256 * _MEGABYTE
# Layers are read one by one, in no order: the less lies around each, the better.
_GROUP_BYTES, _GROUP_ROWS = 8 * _MEGABYTE, 16
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
_NAME = re.compile(rf"({'|'.join(CONFIGS)})-({'|'.join(SPLITS)})-\d{{5}}\.parquet")


@dataclass(frozen=True)
class LayerFile:
    """A finished Parquet file of layers.

    Attributes:
        name: within the folder `layers`.
        config, split: of `datasets`.
        rows: the number of layers.
        bytes: the size of the file.
        data_bytes: what its columns hold.
        sha256: of the file.
        fingerprint: of all that determines it, apart from library versions.
    """

    name: str
    config: str
    split: Split
    rows: int
    bytes: int
    data_bytes: int
    sha256: str
    fingerprint: str


@dataclass(frozen=True)
class LayerShard:
    """What a file of layers is to hold: `cells` are its rows without the pictures."""

    name: str
    config: str
    split: Split
    layers: tuple[Layer, ...]
    cells: tuple[dict[str, Any], ...]

    @property
    def fingerprint(self) -> str:
        """A hash of all that determines the file, apart from library versions."""
        return hashlib.sha256(json.dumps(self.cells, sort_keys=True).encode()).hexdigest()


def is_name(name: str) -> bool:
    """Tell whether a file of layers may have this name."""
    return _NAME.fullmatch(name) is not None


def layer_features() -> dict[str, Any]:
    """Return the columns of both configs, as `datasets` describes them in JSON."""
    first = {"id": "string", "image": "image", "name": "string", "split": "string"}
    kinds = {**first, **TABLE_FIELDS, "perceptual_hash": "string"}
    return {
        name: {"_type": "Image"} if kind == "image" else {"dtype": kind, "_type": "Value"}
        for name, kind in kinds.items()
        # Both are told by the config.
        if name != "role"
    }


def plan_layer_files(
    admitted: Admitted, split_of: Mapping[str, Split], recipe: Recipe
) -> list[LayerShard]:
    """Share the layers in use out over files of about 256 MB, in the order of their ids.

    Args:
        admitted: with all that was measured.
        split_of: the split of each layer id.
        recipe: `near_duplicate_bits` matters.
    """
    by_id = {layer.id: layer for layer in admitted.layers}
    used = [each for each in admitted.examined if each.id in by_id and not each.reason]
    sizes = {each.id: each.size for each in used}
    rows = sorted(with_alike(used, recipe), key=lambda row: row.examined.id)
    return [
        LayerShard(
            name=f"{config}-{split}-{index:05d}.parquet",
            config=config,
            split=split,
            layers=tuple(by_id[row.examined.id] for row in part),
            cells=tuple(_cells(row, split) for row in part),
        )
        for config, role in CONFIGS.items()
        for split in SPLITS
        for index, part in enumerate(
            _parts([r for r in rows if r.role == role and split_of[r.examined.id] == split], sizes)
        )
    ]


def _parts(rows: Sequence[Row], sizes: Mapping[str, int]) -> Iterator[list[Row]]:
    part: list[Row] = []
    total = 0
    for row in rows:
        size = sizes[row.examined.id]
        if part and total + size > _FILE_BYTES:
            yield part
            part, total = [], 0
        part.append(row)
        total += size
    if part:
        yield part


def _cells(row: Row, split: Split) -> dict[str, Any]:
    measured = {name: value for name, value in row.to_dict().items() if name != "role"}
    return {**measured, "split": split, "perceptual_hash": row.examined.perceptual_hash}


def write_layer_file(shard: LayerShard, folder: Path) -> LayerFile:
    """Write one file under a temporary name, and rename it once all of it is on the disk.

    Raises:
        FolderError: the disk is full or the folder cannot be written.
        SourceError: a layer changed or went away since it was checked.
    """
    target = folder / shard.name
    partial = folder / f".{shard.name}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            _write(shard, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise FolderError(
            f"{target}: cannot be written ({error.strerror or error}). Make room or choose another "
            "--output; run the same command again and it goes on where it stopped."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return _described(target, shard)


def finished_layer_file(path: Path, shard: LayerShard) -> LayerFile | None:
    """Return the description of a file that holds just this already, or None."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    own = json.loads(metadata.get(OWN_METADATA, b"{}"))
    return _described(path, shard) if own.get("fingerprint") == shard.fingerprint else None


def _described(path: Path, shard: LayerShard) -> LayerFile:
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return LayerFile(
        name=shard.name,
        config=shard.config,
        split=shard.split,
        rows=metadata.num_rows,
        bytes=path.stat().st_size,
        data_bytes=sum(group.total_byte_size for group in groups),
        sha256=sha256_of(path),
        fingerprint=shard.fingerprint,
    )


def _write(shard: LayerShard, file: Any) -> None:
    schema = _schema(shard)
    pictures = ("image.bytes", "image.path")
    columns = [*pictures, *(field.name for field in schema if field.name != "image")]
    with pq.ParquetWriter(
        file,
        schema,
        compression={name: "none" if name in pictures else "zstd" for name in columns},
        use_dictionary=["split", "verdict", "reasons", "cuts"],
        write_statistics=["id", "split", "verdict"],
        write_page_index=True,
    ) as writer:
        for group in _groups(shard):
            writer.write_table(pa.Table.from_pylist(group, schema))


def _groups(shard: LayerShard) -> Iterable[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    total = 0
    for layer, cells in zip(shard.layers, shard.cells, strict=True):
        data = layer.read()
        group.append({**cells, "image": {"bytes": data, "path": _file_name(layer)}})
        total += len(data)
        if total >= _GROUP_BYTES or len(group) >= _GROUP_ROWS:
            yield group
            group, total = [], 0
    if group:
        yield group


def _file_name(layer: Layer) -> str:
    """Return a name for the picture: what a layer is called may lead anywhere as a path."""
    suffix = PurePosixPath(layer.name).suffix.lower()
    return layer.id + (suffix if suffix in PICTURE_SUFFIXES else "")


def _schema(shard: LayerShard) -> pa.Schema:
    features = layer_features()
    fields = [
        pa.field(name, _IMAGE if kind["_type"] == "Image" else _TYPES[kind["dtype"]])
        for name, kind in features.items()
    ]
    metadata = {
        b"huggingface": json.dumps({"info": {"features": features}}).encode(),
        OWN_METADATA: json.dumps({"fingerprint": shard.fingerprint}).encode(),
    }
    return pa.schema(fields, metadata)
