"""Bytes a pixel of encoded pairs, for each image format; `plan.BYTES_PER_PIXEL` rests on it.

python benchmarks/encoded_size.py --layers LAYERS
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from builder.folder import build
from builder.plan import BYTES_PER_PIXEL
from builder.recipe import IMAGE_FORMATS, load_recipe
from builder.rows import spread_rows
from builder.sources import Sources


def main() -> None:
    """Build the layers in each format and print the mean and the largest row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("--size", type=int, default=1024)
    options = parser.parse_args()
    for image_format in IMAGE_FORMATS:
        recipe = load_recipe("classic").replace(
            {"image_format": image_format, "size": options.size}
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "dataset"
            report = build(
                Sources(sources=(str(options.layers),)), recipe, folder, workers=2, progress=False
            )
            sizes = [_bytes_a_pixel(row) for row in spread_rows(folder, 10**9)[1]]
            groups = [
                pq.read_metadata(folder / "data" / shard.name).row_group(0).total_byte_size
                for shard in report.manifest.shards
            ]
        print(
            f"{image_format}: mean {sum(sizes) / len(sizes):.2f}, largest {max(sizes):.2f} bytes a "
            f"pixel over {len(sizes)} pairs; planned with {BYTES_PER_PIXEL[image_format]}; "
            f"largest first row group {max(groups) / 1e6:.1f} MB"
        )


def _bytes_a_pixel(row: dict[str, bytes]) -> float:
    with Image.open(io.BytesIO(row["image"])) as picture:
        width, height = picture.size
    return (len(row["image"]) + len(row["mask"])) / (width * height)


if __name__ == "__main__":
    main()
