"""The same pairs, byte for byte, as our Parquet, as webdataset's tar files, as MosaicML's MDS."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.workload import Workload, write_shards
from builder.engines import ordered_map
from builder.render import Row, make_rows

TEXTS = ("id", "human", "background", "provenance")


def compose_rows(workload: Workload, workers: int) -> list[Row]:
    """Compose all rows, and keep them in memory."""
    with ordered_map(make_rows, workload.tasks(workers), workers) as results:
        return list(itertools.chain.from_iterable(results))


def write_parquet(workload: Workload, rows: Sequence[Row], folder: Path) -> None:
    """Write the shards that a build would, from rows in any order."""
    folder.mkdir(parents=True)
    by_id = {row["id"]: row for row in rows}
    pairs = itertools.chain.from_iterable(shard.pairs() for shard in workload.shards)
    write_shards(workload, ([by_id[pair.id]] for pair in pairs), folder)


def write_webdataset(rows: Sequence[Row], folder: Path, shard_rows: int) -> None:
    """Write tar files with three members a pair."""
    import webdataset

    folder.mkdir(parents=True)
    pattern = str(folder / "train-%05d.tar")
    with webdataset.ShardWriter(pattern, maxcount=shard_rows, verbose=0) as writer:
        for row in rows:
            writer.write(
                {
                    "__key__": row["id"],
                    f"image.{_suffix(row)}": bytes(row["image"]["bytes"]),
                    "mask.png": bytes(row["mask"]["bytes"]),
                    "json": json.dumps({name: row[name] for name in TEXTS}).encode(),
                }
            )


def write_mds(rows: Sequence[Row], folder: Path, shard_bytes: int) -> None:
    """Write MDS; pictures as bytes, since its own columns for pictures would encode them anew."""
    from streaming import MDSWriter

    columns = {"image": "bytes", "mask": "bytes", **dict.fromkeys(TEXTS, "str")}
    with MDSWriter(out=str(folder), columns=columns, size_limit=shard_bytes) as writer:
        for row in rows:
            pictures = {name: bytes(row[name]["bytes"]) for name in ("image", "mask")}
            writer.write({**pictures, **{name: row[name] for name in TEXTS}})


def _suffix(row: Row) -> str:
    return str(row["image"]["path"].rpartition(".")[2])


def files_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the path within a folder and the content of each of its files."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
