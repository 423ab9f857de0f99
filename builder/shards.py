"""From the plan to Parquet files: rows are composed by human, written by shard."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.compose import compose, composite_rng, prepare_figure
from builder.compose.figure import Figure
from builder.decoding import decode_background, decode_human
from builder.errors import FolderError, LayerError, PlanError
from builder.plan import Pair, Shard, Split, companions_of
from builder.recent import Recent
from builder.recipe import Recipe
from builder.sources.layer import Layer

Pixels = npt.NDArray[np.uint8]
Row = dict[str, Any]

_FEATURES: dict[str, Any] = {
    "id": {"dtype": "string", "_type": "Value"},
    "image": {"_type": "Image"},
    "mask": {"mode": "L", "_type": "Image"},
    "human": {"dtype": "string", "_type": "Value"},
    "background": {"dtype": "string", "_type": "Value"},
    "provenance": {"dtype": "string", "_type": "Value"},
}
# The name `background` is taken by the id of the layer.
LABEL_COLUMNS = {
    "trimap": "trimap",
    "foreground": "foreground",
    "background": "clean_background",
}
"""The column of each label besides the mask."""

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
RENDERING = 1
"""Raised whenever a new version of this package makes other pictures from the same plan."""

_OWN_METADATA = b"human-segmentation"
_SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
# Enough for 40 backgrounds of 1360x768 and for the companions of a shard at 1024 px, and a fraction
# of what a worker may use.
_BACKGROUND_CACHE_BYTES = 128 * 1024**2
_COMPANION_CACHE_BYTES = 64 * 1024**2


def features_of(recipe: Recipe) -> dict[str, Any]:
    """Return the columns of a dataset, as `datasets` describes them in JSON."""
    labels = {
        column: {"mode": "L", "_type": "Image"} if name == "trimap" else {"_type": "Image"}
        for name, column in LABEL_COLUMNS.items()
        if name in recipe.labels
    }
    first = ("id", "image", "mask")
    return {**{name: _FEATURES[name] for name in first}, **labels, **_FEATURES}


@dataclass(frozen=True)
class Task:
    """Some pairs, human after human, with all that is needed to make them in any process.

    `humans`, `backgrounds` and `companions` are those of each pair.
    """

    humans: tuple[Layer, ...]
    pairs: tuple[Pair, ...]
    backgrounds: tuple[Layer, ...]
    companions: tuple[tuple[Layer, ...], ...]
    recipe: Recipe
    seed: int


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


TaskRunner = Callable[[Callable[[Task], list[Row]], Iterable[Task]], Iterator[list[Row]]]
"""Applies a function to every task and yields the results in order, like `map`."""


def shard_tasks(
    shard: Shard, layers: Mapping[str, Layer], recipe: Recipe, seed: int, *, humans: int = 1
) -> Iterator[Task]:
    """Yield the work of one shard.

    Args:
        shard: from the plan.
        layers: by id.
        recipe, seed: of the dataset.
        humans: how many a task has; more of them share decoded backgrounds. Of a human with more
            pairs than a row group a task has a row group's at most.
    """
    pairs = list(shard.pairs())
    together = max(1, min(humans, recipe.row_group_rows * 2 // shard.per_human)) * shard.per_human
    for first in range(0, len(pairs), together):
        own = pairs[first : first + together]
        size = len(own) if together > shard.per_human else recipe.row_group_rows
        for start in range(0, len(own), size):
            part = tuple(own[start : start + size])
            yield Task(
                humans=tuple(layers[pair.human] for pair in part),
                pairs=part,
                backgrounds=tuple(layers[pair.background] for pair in part),
                companions=tuple(
                    tuple(layers[other] for other in companions_of(shard, pair, recipe, seed))
                    for pair in part
                ),
                recipe=recipe,
                seed=seed,
            )


def make_rows(task: Task) -> list[Row]:
    """Make the rows of one task; each human is decoded and cleaned once for all of its pairs.

    Raises:
        PlanError: a human cannot be placed as the recipe asks; the message names it.
        SourceError: a layer changed or went away since it was checked.
    """
    rows = []
    figure: Figure | None = None
    decoded = ""
    for pair, human, background, others in zip(
        task.pairs, task.humans, task.backgrounds, task.companions, strict=True
    ):
        if figure is None or decoded != human.id:
            figure, decoded = _figure(human, task.recipe), human.id
        rows.append(_row(pair, figure, human, background, others, task))
    return rows


def _row(
    pair: Pair,
    figure: Figure,
    human: Layer,
    background: Layer,
    others: tuple[Layer, ...],
    task: Task,
) -> Row:
    recipe = task.recipe
    companions = [_companion(other, recipe) for other in others]
    rng = composite_rng(task.seed, pair.human, pair.k)
    try:
        made = compose(figure, _background(background, recipe), recipe, rng, companions)
    except LayerError as error:
        raise PlanError(
            f"{human.name} on {background.name}: {error}. "
            "Take the human out, or lower min_visible or min_coverage in the recipe."
        ) from error
    # A negative shows no human: whose turn it was says nothing of it.
    shown = bool(made.provenance["geometry"])
    names = {"human_name": human.name if shown else "", "background_name": background.name}
    figures = _named(made.provenance["figures"], (human, *others))
    provenance = {**names, **made.provenance, "figures": figures}
    return {
        "id": pair.id,
        "image": _image_cell(made.image, pair.id, recipe),
        "mask": {"bytes": encode_png(made.mask), "path": f"{pair.id}.png"},
        **_label_cells(made.labels, pair.id),
        "human": pair.human if shown else "",
        "background": pair.background,
        "provenance": json.dumps(provenance, ensure_ascii=False),
    }


def _named(figures: list[Row], layers: tuple[Layer, ...]) -> list[Row]:
    """Return what is known of the figures of a scene, the furthest first, with who they are."""
    return [
        {
            "human": layers[figure["number"]].id,
            "human_name": layers[figure["number"]].name,
            "geometry": figure["geometry"],
            "light": figure["light"],
        }
        for figure in figures
    ]


def encode_image(pixels: Pixels, recipe: Recipe) -> bytes:
    """Encode a composite, uint8 (H, W, 3) RGB; JPEG without chroma subsampling."""
    if recipe.image_format == "png":
        return encode_png(pixels)
    if recipe.image_format == "webp":
        buffer = io.BytesIO()
        # Method 0 is the fastest, and at this quality no larger than 1 or 2.
        Image.fromarray(pixels).save(buffer, "WEBP", quality=recipe.jpeg_quality, method=0)
        return buffer.getvalue()
    return bytes(imagecodecs.jpeg8_encode(pixels, level=recipe.jpeg_quality, subsampling="444"))


def encode_png(pixels: Pixels) -> bytes:
    """Encode a mask, uint8 (H, W), or a picture, uint8 (H, W, 3) RGB, losslessly.

    A mask is runs of 0 and 255: by run lengths alone it takes a fifth of the time of deflate at
    level 4, and no more room. So does a picture that Paeth's predictor went over first; both
    measured on the layers of the original.
    """
    predictor = cv2.IMWRITE_PNG_FILTER_NONE
    if pixels.ndim == 3:
        predictor = cv2.IMWRITE_PNG_FILTER_PAETH
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    how = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, encoded = cv2.imencode(".png", pixels, [*how, cv2.IMWRITE_PNG_FILTER, predictor])
    if not done:
        raise FolderError("OpenCV could not encode a picture as PNG.")
    return encoded.tobytes()


def _image_cell(pixels: Pixels, pair_id: str, recipe: Recipe) -> Row:
    path = f"{pair_id}.{_SUFFIXES[recipe.image_format]}"
    return {"bytes": encode_image(pixels, recipe), "path": path}


def _label_cells(labels: Mapping[str, Pixels], pair_id: str) -> Row:
    """Encode labels without loss: what they say has to hold to the level."""
    cells: Row = {}
    for name, pixels in labels.items():
        encoded = encode_png(pixels)
        cells[LABEL_COLUMNS[name]] = {"bytes": encoded, "path": f"{pair_id}-{name}.png"}
    return cells


def shard_fingerprint(shard: Shard, recipe: Recipe, seed: int) -> str:
    """Return a hash of all that determines a shard's pictures, apart from library versions."""
    values = [RENDERING, recipe.to_dict(), seed, asdict(shard)]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def write_shard(
    shard: Shard, rows: Iterable[Row], folder: Path, recipe: Recipe, seed: int
) -> ShardFile:
    """Write one shard under a temporary name, and rename it once all of it is on the disk.

    Args:
        shard: names the file.
        rows: its rows, in order.
        folder: exists.
        recipe: `row_group_rows` matters; all of it enters the fingerprint.
        seed: enters the fingerprint.

    Raises:
        FolderError: the disk is full or the folder cannot be written.
    """
    target = folder / shard.file_name
    partial = folder / f".{shard.file_name}.{os.getpid()}.partial"
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
        partial.unlink(missing_ok=True)
    return describe_shard(target, shard)


def finished_shard(path: Path, shard: Shard, recipe: Recipe, seed: int) -> ShardFile | None:
    """Return the description of a shard that is there already, or None if it is not.

    Raises:
        FolderError: a file is there, but it was made from other layers, recipe or seed.
    """
    if not path.exists():
        return None
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise FolderError(
            f"{path}: is not a whole Parquet file. Delete it and run the command again."
        ) from error
    own = json.loads(metadata.get(_OWN_METADATA, b"{}"))
    if own.get("fingerprint") != shard_fingerprint(shard, recipe, seed):
        raise FolderError(
            f"{path}: was built from other layers, another recipe, seed or version. "
            "Choose another --output, or give --rebuild to replace the dataset."
        )
    return describe_shard(path, shard)


def describe_shard(path: Path, shard: Shard) -> ShardFile:
    """Measure and hash a finished shard."""
    parquet = pq.ParquetFile(path)
    groups = (parquet.metadata.row_group(n) for n in range(parquet.num_row_groups))
    own = json.loads(parquet.schema_arrow.metadata[_OWN_METADATA])
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


def _schema(recipe: Recipe, fingerprint: str) -> pa.Schema:
    features = features_of(recipe)
    fields = [
        pa.field(name, _IMAGE if feature["_type"] == "Image" else pa.string())
        for name, feature in features.items()
    ]
    own = {"fingerprint": fingerprint}
    metadata = {
        b"huggingface": json.dumps({"info": {"features": features}}).encode(),
        _OWN_METADATA: json.dumps(own).encode(),
    }
    return pa.schema(fields, metadata)


def _write_parquet(path: Path, rows: Iterable[Row], schema: pa.Schema, recipe: Recipe) -> None:
    with path.open("wb") as file:
        with pq.ParquetWriter(
            file,
            schema,
            # Encoded pictures do not compress, and a dictionary or bounds of them only cost.
            compression={
                column: "zstd" if column == "provenance" else "none" for column in _leaves(schema)
            },
            use_dictionary=["human", "background"],
            write_statistics=["id", "human", "background"],
            write_page_index=True,
            use_content_defined_chunking=True,
        ) as writer:
            for group in _batched(rows, recipe.row_group_rows):
                writer.write_table(pa.Table.from_pylist(group, schema))
        file.flush()
        os.fsync(file.fileno())


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


def _figure(layer: Layer, recipe: Recipe) -> Figure:
    return prepare_figure(decode_human(layer.read(), recipe.max_pixels), recipe)


def _companion(layer: Layer, recipe: Recipe) -> Figure:
    """Return a figure that several humans of a shard meet; not to be written to."""
    return _recent_companions().get((layer.id, recipe), lambda: _figure(layer, recipe))


def _background(layer: Layer, recipe: Recipe) -> Pixels:
    """Return a decoded background, uint8 (H, W, 3) RGB; not to be written to."""
    return _recent_backgrounds().get(
        (layer.id, recipe), lambda: decode_background(layer.read(), recipe.max_pixels)
    )


@functools.cache
def _recent_backgrounds() -> Recent[Pixels]:
    return Recent(_BACKGROUND_CACHE_BYTES, lambda pixels: pixels.nbytes)


@functools.cache
def _recent_companions() -> Recent[Figure]:
    return Recent(_COMPANION_CACHE_BYTES, lambda figure: figure.pixels.nbytes)
