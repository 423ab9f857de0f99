"""Reads back some rows of a dataset folder, spread evenly over its splits and shards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.errors import FolderError
from builder.places import Place, open_place

_COLUMNS = ("id", "image.bytes", "mask.bytes", "human", "background", "provenance")
_SHARD_NAME = re.compile(r"(?P<split>[^.].*?)-\d+(-of-\d+)?\.parquet")
_BATCH_ROWS = 8
_BUILD_HINT = "Run `human-segmentation build` to build the dataset first."


@dataclass(frozen=True)
class _Shard:
    path: Place
    split: str
    rows: int


def spread_rows(folder: Place, limit: int) -> tuple[dict[str, int], Iterator[dict[str, Any]]]:
    """Choose up to `limit` rows, spread evenly over the shards; at least one of each split.

    The same folder always gives the same rows. Only row groups that hold a chosen row are read.

    Args:
        folder: what `human-segmentation build` wrote, with shards in its `data`.
        limit: 1 and more.

    Returns:
        The number of rows of each split, and the chosen rows: `split`, `id`, `image` and `mask`
        (encoded bytes or None), `human`, `background`, `provenance`. Values are as found in the
        file, and may be hostile.

    Raises:
        FolderError: there are no rows, or a shard cannot be read.
    """
    shards = _find_shards(folder)
    totals: dict[str, int] = {}
    for shard in shards:
        totals[shard.split] = totals.get(shard.split, 0) + shard.rows
    if not any(totals.values()):
        raise FolderError(f"{folder}: its shards hold no pairs. {_BUILD_HINT}")
    return totals, _chosen_rows(shards, _share_out(totals, limit))


def _find_shards(folder: Place) -> list[_Shard]:
    if not folder.is_dir():
        raise FolderError(f"{folder}: there is no such folder. {_BUILD_HINT}")
    data = folder / "data"
    names = sorted(path.name for path in data.glob("*.parquet"))
    paths: list[Place] = [data / name for name in names]
    matches = [(path, _SHARD_NAME.fullmatch(path.name)) for path in paths]
    shards = [_open_shard(path, match["split"]) for path, match in matches if match]
    if not shards:
        raise FolderError(
            f"{folder}: holds no dataset, as there is no data/train-00000.parquet "
            f"or other shard in it. {_BUILD_HINT}"
        )
    return shards


def _open_shard(path: Place, split: str) -> _Shard:
    try:
        with open_place(path) as file:
            metadata = pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    columns = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    present = {column.path for column in columns if column.physical_type == "BYTE_ARRAY"}
    # A flat column may have a dot in its name, where a picture has a field.
    flat = set(metadata.schema.to_arrow_schema().names)
    missing = [name for name in _COLUMNS if name not in present or ("." in name and name in flat)]
    if missing:
        raise FolderError(
            f"{path}: is not a shard of such a dataset; it lacks {', '.join(missing)}. "
            f"{_BUILD_HINT}"
        )
    return _Shard(path, split, metadata.num_rows)


def _unreadable(path: Place, error: Exception) -> FolderError:
    return FolderError(
        f"{path}: cannot be read ({error}). "
        "If it is damaged, delete it and run `human-segmentation build` again."
    )


def _share_out(totals: dict[str, int], limit: int) -> dict[str, int]:
    """Return how many rows of each split to take.

    One after the other goes to the split that is furthest behind, so all get a first one early.
    """
    shares = {split: 0 for split, rows in totals.items() if rows}
    for _ in range(min(limit, sum(totals.values()))):
        behind = min(shares, key=lambda split: (shares[split] / totals[split], -totals[split]))
        shares[behind] += 1
    return shares


def _chosen_rows(shards: list[_Shard], shares: dict[str, int]) -> Iterator[dict[str, Any]]:
    for split, share in shares.items():
        members = [shard for shard in shards if shard.split == split]
        total = sum(shard.rows for shard in members)
        chosen = [(2 * index + 1) * total // (2 * share) for index in range(share)]
        start = 0
        for shard in members:
            wanted = [row - start for row in chosen if start <= row < start + shard.rows]
            start += shard.rows
            for batch in _read_rows(shard.path, wanted):
                yield {"split": split, **_values(batch)}


def _read_rows(path: Place, wanted: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield the wanted rows one by one, reading nothing but the row groups that hold them."""
    try:
        with open_place(path) as opened, pq.ParquetFile(opened) as file:
            start = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                inside = [row - start for row in wanted if start <= row < start + rows]
                start += rows
                yield from _read_group(file, group, inside)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def small_batches(
    file: pq.ParquetFile, groups: Iterable[int], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of some row groups, a few at a time: one group at most is held in memory.

    Arrow keeps all groups of one iteration until it ends.
    """
    for group in groups:
        yield from file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns)


def _read_group(file: pq.ParquetFile, group: int, wanted: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield rows of a row group. Small batches bound the memory that a huge row group takes."""
    if not wanted:
        return
    start = 0
    for batch in small_batches(file, [group], list(_COLUMNS)):
        yield from (
            batch.slice(row - start, 1) for row in wanted if start <= row < start + batch.num_rows
        )
        start += batch.num_rows
        if start > wanted[-1]:
            return


def _values(batch: pa.RecordBatch) -> dict[str, Any]:
    """Return a batch of one row as Python values; pictures become their bytes, or None."""
    row = {name: _value(batch.column(name)[0]) for name in batch.schema.names}
    for name in ("image", "mask"):
        row[name] = (row[name] or {}).get("bytes")
    return row


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return "(not valid UTF-8)"
