"""How to load what a card describes: snippets that run as they are."""

from __future__ import annotations

from builder.manifest import Manifest
from builder.sources.published import HUB

FOLDER = "human-segmentation"
"""Stands for the path of the dataset folder, and is what `build` calls it by default."""

_LOADING = """\
{where}

```python
import numpy as np
from datasets import load_dataset

pairs = load_dataset("{name}", split="{split}")
pair = pairs[0]
image = np.asarray(pair["image"])  # uint8 (height, width, 3), sRGB
alpha = np.asarray(pair["mask"]) / 255  # float (height, width), 0 to 1
inside = alpha > 0.5  # where a mask of yes and no is wanted
```

Streaming. The pairs of one human lie side by side, so shuffle with a buffer:

```python
from datasets import load_dataset

stream = load_dataset("{name}", split="{split}", streaming=True)
for pair in stream.shuffle(seed=0, buffer_size=1_000).take(8):
    print(pair["id"], pair["image"].size)
```

Training on it with several workers of a `DataLoader`, under `datasets` 5: share out row groups,
since `shuffle` by itself leaves all workers idle but the first where there are fewer than 20 files:
`stream.reshard().shuffle(seed=0, buffer_size=1_000, max_buffer_input_shards=1)`.

A part of a split; and some columns, without reading any picture:

```python
import json
from datasets import load_dataset

some = load_dataset("{name}", split="{split}[:10%]")
table = load_dataset("{name}", split="{split}", columns=["id", "provenance"])
large = [row["id"] for row in table if json.loads(row["provenance"])["coverage"] > 0.3]
```
"""

_LAYERS = """
## The layers themselves

The configs `humans` and `backgrounds` hold the layers that the pairs were made of, in their
original bytes, each with its split, its measures and the verdict of an inspection:

```python
from datasets import load_dataset

humans = load_dataset("{name}", "humans", split="{split}")
humans.filter(lambda sharpness: sharpness > 100, input_columns="sharpness")
```

Other pairs of the same layers: `human-segmentation build --source {where}`
"""

_REVISION = """
The same data tomorrow: note the revision that you used, a tag or the hash of a commit.

```python
from datasets import load_dataset
from huggingface_hub import dataset_info

revision = dataset_info("{name}").sha
pairs = load_dataset("{name}", split="{split}", revision=revision)
```"""

_POLARS = """
Without `datasets`, as a table:

```python
import polars

files = "{name}/data/{split}-*.parquet"
print(polars.read_parquet(files, columns=["id", "human", "background"]).head())
```"""


def loading(manifest: Manifest, repo_id: str | None) -> str:
    """Return how to load the pairs: from a repository, or from the folder."""
    where = f"`{FOLDER}` stands for the path of this folder. A whole split, and arrays of a pair:"
    return (_LOADING + (_REVISION if repo_id else _POLARS)).format(
        where="A whole split, and arrays of a pair:" if repo_id else where,
        name=repo_id or FOLDER,
        split=manifest.splits[0],
    )


def kept_layers(manifest: Manifest, repo_id: str | None) -> str:
    """Return a section on the layers that the dataset keeps; empty if it keeps none."""
    if not manifest.layer_files:
        return ""
    name = repo_id or FOLDER
    where = f"{HUB}{repo_id}" if repo_id else FOLDER
    return _LAYERS.format(name=name, split=manifest.layer_files[0].split, where=where)
