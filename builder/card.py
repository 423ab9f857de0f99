"""README.md of a dataset folder: the metadata that the Hub and `datasets` read, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.examples import FILE_NAME as EXAMPLES
from builder.manifest import Manifest
from builder.shards import FEATURES

FILE_NAME = "README.md"

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)

_TEXT = """
# Human segmentation

Pictures of people with their alpha mattes, for training background removers. Each picture is a
composite: a human with transparency on a background, made by `human-segmentation {version}`.

![Composites beside their masks]({examples})

| split | pairs | humans | backgrounds | shards | size |
|---|--:|--:|--:|--:|--:|
{table}

No human and no background is in two splits, and neither is a near-duplicate of one.

```python
from datasets import load_dataset

pairs = load_dataset("path/of/this/folder", split="train", streaming=True)
pair = next(iter(pairs))
pair["image"], pair["mask"]
```

| column | holds |
|---|---|
| `id` | unique name of the pair |
| `image` | the composite, {image_format} |
| `mask` | 8-bit alpha matte of the visible human, lossless PNG, mode L, exactly aligned |
| `human`, `background` | ids of the two layers: hashes of their bytes |
| `provenance` | JSON: source names, geometry, and every operation with its values |

## How it was made

Recipe `{recipe}`, seed {seed}, {libraries}. `manifest.json` holds every knob of the recipe, every
layer with its split, every shard with its hash, and {left_out} that could not be used, with the
reasons. The same layers, recipe, seed and library versions give the same bytes.
"""


def write_card(manifest: Manifest, folder: Path) -> None:
    """Write `README.md`. It holds no name that came with a layer.

    Raises:
        OSError: the file cannot be written.
    """
    # Takes a second to import, which commands that write no card should not pay.
    from huggingface_hub import DatasetCardData

    metadata = DatasetCardData(**_metadata(manifest)).to_yaml()
    text = f"---\n{metadata}\n---\n{_text(manifest)}"
    partial = folder / f".{FILE_NAME}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / FILE_NAME)


def _metadata(manifest: Manifest) -> dict[str, Any]:
    rows = sum(shard.rows for shard in manifest.shards)
    return {
        "license": "apache-2.0",
        "pretty_name": "Human segmentation",
        "task_categories": ["image-segmentation"],
        "size_categories": [_size_category(rows)],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": ["background-removal", "human-segmentation", "image-matting", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in manifest.splits
                ],
            }
        ],
        "dataset_info": _dataset_info(manifest),
    }


def _dataset_info(manifest: Manifest) -> dict[str, Any]:
    """Return what `DatasetInfo` calls so; `num_bytes` is the size of the columns' data."""
    splits = [
        {
            "name": split,
            "num_bytes": sum(s.data_bytes for s in manifest.shards if s.split == split),
            "num_examples": manifest.rows(split),
        }
        for split in manifest.splits
    ]
    return {
        "config_name": "default",
        "features": [_feature(name, feature) for name, feature in FEATURES.items()],
        "splits": splits,
        "download_size": sum(shard.bytes for shard in manifest.shards),
        "dataset_size": sum(split["num_bytes"] for split in splits),
    }


def _feature(name: str, feature: Mapping[str, str]) -> dict[str, Any]:
    """Write a feature in the way of `datasets.Features._to_yaml_list`."""
    if feature["_type"] == "Value":
        return {"name": name, "dtype": feature["dtype"]}
    if "mode" in feature:
        return {"name": name, "dtype": {"image": {"mode": feature["mode"]}}}
    return {"name": name, "dtype": "image"}


def _size_category(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "n>100M")


def _text(manifest: Manifest) -> str:
    recipe = manifest.recipe
    quality = f" quality {recipe.jpeg_quality}" if recipe.image_format != "png" else ""
    subsampling = " 4:4:4" if recipe.image_format == "jpeg" else ""
    left_out = len(manifest.left_out)
    return _TEXT.format(
        version=manifest.version,
        examples=EXAMPLES,
        table="\n".join(_table_row(manifest, split) for split in manifest.splits),
        image_format=f"{recipe.image_format.upper()}{quality}{subsampling}",
        recipe=_plain(recipe.name),
        seed=manifest.seed,
        libraries=", ".join(f"{name} {version}" for name, version in manifest.libraries.items()),
        left_out=f"{left_out:,} picture{'' if left_out == 1 else 's'}",
    )


def _table_row(manifest: Manifest, split: str) -> str:
    shards = [shard for shard in manifest.shards if shard.split == split]
    size = sum(shard.bytes for shard in shards) / 1e6
    return (
        f"| {split} | {manifest.rows(split):,} | {manifest.count('human', split):,} "
        f"| {manifest.count('background', split):,} | {len(shards):,} | {size:,.1f} MB |"
    )


def _plain(name: str) -> str:
    """Return a recipe's name without what Markdown or HTML would act on."""
    return "".join(char if char.isalnum() or char in " -_." else "_" for char in name)
