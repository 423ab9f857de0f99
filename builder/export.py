"""A dataset folder in the layouts that trainers read: folders of pictures, or tar shards.

Pictures are copied as they are stored wherever the layout takes them. Whatever has its final name
is whole, so that an interrupted export goes on with what is missing.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from builder.decoding import decode_background
from builder.encoding import encode_png
from builder.engines import ordered_map
from builder.errors import FolderError, LayerError
from builder.manifest import Manifest, manifest_text, read_manifest
from builder.places import write_whole
from builder.plan import Split
from builder.recipe import Recipe
from builder.render import LABEL_COLUMNS, features_of
from builder.rows import small_batches
from builder.staging import DATA
from builder.version import __version__
from builder.whole import replacing

Layout = Literal["folder", "webdataset"]
LAYOUTS: tuple[Layout, ...] = ("folder", "webdataset")

MARKER = ".human-segmentation-export.json"
"""Says of which dataset a folder is the export."""

SPLIT_FOLDERS: dict[Split, str] = {"train": "training", "validation": "validation"}
_PICTURE_FOLDERS = {"image": "im", "mask": "gt"}
_GREY = ("mask", "trimap")
# Ids become names of files, and a dataset may come from anywhere.
_ID = re.compile(r"[0-9a-f]{32}-[0-9]{4,}")
_SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff", "webp": b"RIFF"}


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        output: the folder.
        pairs: how many there are of each split, counted in the end.
        files_written, files_kept: made now, and found whole.
        seconds: wall-clock time.
    """

    output: Path
    pairs: dict[Split, int]
    files_written: int
    files_kept: int
    seconds: float


@dataclass(frozen=True)
class Part:
    """What one worker exports at a time: a shard, or one row group of it."""

    shard: Path
    split: Split
    rows: int
    group: int | None
    output: Path
    recipe: Recipe


def export(
    folder: Path, output: Path, to: Layout, *, workers: int = 1, progress: bool = True
) -> ExportReport:
    """Export a dataset folder, or finish an export that was interrupted.

    Args:
        folder: what `build` wrote.
        output: made if it is not there.
        to: `folder` gives `training/im`, `training/gt`, `validation/im` and `validation/gt`, PNG of
            the same name in both, other labels beside them; `webdataset` gives a tar for each
            shard, with `ID.image.jpg` (or as it is stored), `ID.mask.png`, labels, and `ID.json`.
        workers: processes.
        progress: whether to show a bar.

    Raises:
        FolderError: there is no dataset, it is damaged, or the output cannot be written, or holds
            something else.
        WorkerLostError: a worker process was killed.
    """
    started = time.monotonic()
    manifest = read_manifest(folder)
    parts = _parts(folder, output, manifest, whole_shards=to == "webdataset")
    function = _write_tar if to == "webdataset" else _write_pictures
    written = kept = 0
    try:
        _open(output, manifest, to)
        total = sum(shard.rows for shard in manifest.shards)
        with (
            ordered_map(function, parts, workers) as results,
            tqdm(total=total, desc="Exporting", unit=" pairs", disable=not progress) as bar,
        ):
            for part, (new, old) in zip(parts, results, strict=True):
                written, kept = written + new, kept + old
                bar.update(part.rows)
        pairs = _counted(output, manifest, to)
    except OSError as error:
        raise FolderError(
            f"{output}: cannot be written ({error.strerror or error}). Make room, or choose "
            "another place; run the same command again and it goes on where it stopped."
        ) from error
    return ExportReport(output, pairs, written, kept, time.monotonic() - started)


def _parts(folder: Path, output: Path, manifest: Manifest, *, whole_shards: bool) -> list[Part]:
    parts = []
    columns = set(features_of(manifest.recipe))
    for file in manifest.shards:
        path = folder / DATA / file.name
        whole = Part(path, file.split, file.rows, None, output, manifest.recipe)
        try:
            metadata = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, str(error)) from error
        if metadata.num_rows != file.rows:
            raise _damaged(path, f"{metadata.num_rows:,} rows, not {file.rows:,}")
        missing = columns - set(metadata.schema.to_arrow_schema().names)
        if missing:
            raise _damaged(path, f"no column {', '.join(sorted(missing))}")
        groups = range(metadata.num_row_groups)
        parts += (
            [whole]
            if whole_shards
            else [
                dataclasses.replace(whole, group=n, rows=metadata.row_group(n).num_rows)
                for n in groups
            ]
        )
    return parts


def _open(output: Path, manifest: Manifest, to: Layout) -> None:
    """Refuse a folder that holds anything but this very export, and mark it as such."""
    own = {
        "manifest": sha256(manifest_text(manifest).encode()).hexdigest(),
        "to": to,
        "version": __version__,
    }
    marker = output / MARKER
    if marker.exists():
        if json.loads(marker.read_text(encoding="utf-8")) != own:
            raise FolderError(
                f"{output}: holds the export of another dataset, or another layout. Choose another "
                "place, or delete it."
            )
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FolderError(f"{output}: holds other files. Choose another place, or an empty folder.")
    output.mkdir(parents=True, exist_ok=True)
    write_whole(marker, json.dumps(own).encode())


def _write_pictures(part: Part) -> tuple[int, int]:
    """Write the pictures of some rows as PNG; return how many are new, and how many were there."""
    written = kept = 0
    place = part.output / SPLIT_FOLDERS[part.split]
    for row in _rows(part):
        for column in _pictures(row):
            folder = place / _PICTURE_FOLDERS.get(column, column)
            path = folder / f"{row['id']}.png"
            if path.exists():
                kept += 1
                continue
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, _as_png(row, column, part))
            written += 1
    return written, kept


def _write_tar(part: Part) -> tuple[int, int]:
    """Write a shard as a tar; return how many files are new, and how many were there."""
    target = part.output / f"{part.shard.stem}.tar"
    if target.exists():
        return 0, 1
    with replacing(target) as partial, partial.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for row in _rows(part):
                for name, data in _members(row, part).items():
                    # No time and no owner: the same dataset gives the same bytes.
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        file.flush()
        os.fsync(file.fileno())
    return 1, 0


def _members(row: dict[str, Any], part: Part) -> dict[str, bytes]:
    """Return the files of a pair; everything before the first dot is its key."""
    told = {name: row[name] for name in ("id", "human", "background")}
    try:
        told["provenance"] = json.loads(row["provenance"])
    except (TypeError, ValueError) as error:
        raise _damaged(part.shard, f"{row['id']}, provenance: {error}") from error
    files = {}
    for column in _pictures(row):
        data, suffix = _picture(row, column, part)
        files[f"{row['id']}.{column}.{suffix}"] = data
    return {**files, f"{row['id']}.json": json.dumps(told, ensure_ascii=False).encode()}


def _picture(row: dict[str, Any], column: str, part: Part) -> tuple[bytes, str]:
    """Return a picture as it is stored, and the suffix that suits it."""
    data: bytes = (row[column] or {}).get("bytes") or b""
    for suffix, signature in _SIGNATURES.items():
        if data.startswith(signature):
            return data, suffix
    raise _damaged(part.shard, f"{row['id']}, {column}: no picture")


def _as_png(row: dict[str, Any], column: str, part: Part) -> bytes:
    data, suffix = _picture(row, column, part)
    if suffix == "png":
        return data
    try:
        pixels = decode_background(data, part.recipe.max_pixels)
    except LayerError as error:
        raise _damaged(part.shard, f"{row['id']}, {column}: {error}") from error
    if column in _GREY:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return encode_png(pixels)


def _rows(part: Part) -> Iterator[dict[str, Any]]:
    """Yield rows of which the id is fit to be the name of a file."""
    try:
        with pq.ParquetFile(part.shard) as file:
            groups = range(file.num_row_groups) if part.group is None else [part.group]
            for batch in small_batches(file, groups):
                for row in batch.to_pylist():
                    if not _ID.fullmatch(str(row["id"])):
                        raise _damaged(part.shard, "the id of a row is none of this tool's")
                    yield row
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise _damaged(part.shard, str(error)) from error


def _pictures(row: dict[str, Any]) -> list[str]:
    return [name for name in ("image", "mask", *LABEL_COLUMNS.values()) if name in row]


def _counted(output: Path, manifest: Manifest, to: Layout) -> dict[Split, int]:
    """Count what is there, and clear away what a killed export left.

    Raises:
        FolderError: pairs are missing, or there are others.
    """
    for partial in output.rglob(".*.partial"):
        partial.unlink(missing_ok=True)
    splits = dict.fromkeys(shard.split for shard in manifest.shards)
    count = functools.partial(_tar_pairs if to == "webdataset" else _folder_pairs, output)
    pairs = {split: count(split, manifest) for split in splits}
    for split, found in pairs.items():
        if found != manifest.rows(split):
            raise FolderError(
                f"{output}: holds not the {manifest.rows(split):,} pairs of {split} that the "
                "dataset has: something else wrote into it, or took from it. Delete it, and export "
                "again."
            )
    return pairs


def _folder_pairs(output: Path, split: Split, manifest: Manifest) -> int:
    """Return the number of names that all of the folders of a split have."""
    columns = ("image", *(LABEL_COLUMNS.get(name, name) for name in manifest.recipe.labels))
    folders = [output / SPLIT_FOLDERS[split] / _PICTURE_FOLDERS.get(name, name) for name in columns]
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    return len(names[0]) if all(other == names[0] for other in names) else -1


def _tar_pairs(output: Path, split: Split, manifest: Manifest) -> int:
    pairs = 0
    for shard in manifest.shards:
        if shard.split == split:
            with tarfile.open(output / f"{Path(shard.name).stem}.tar") as archive:
                pairs += sum(member.name.endswith(".json") for member in archive)
    return pairs


def _damaged(path: Path, what: str) -> FolderError:
    return FolderError(
        f"{path}: cannot be exported ({what}). If it is damaged, delete it and run "
        "`human-segmentation build` again."
    )
