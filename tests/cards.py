"""Cards as a user leaves them, and a manifest without a build."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from builder.card import make_card
from builder.manifest import Manifest, ManifestLayer
from builder.plan import SPLITS
from builder.recipe import CLASSIC
from builder.shards import ShardFile

MANIFEST = Manifest(
    version="1.2.3",
    sources=("files",),
    recipe=CLASSIC,
    seed=0,
    libraries={"numpy": "2.0.0"},
    layers=tuple(
        ManifestLayer(f"{role}-{split}", "name.png", role, split, 640, 480, "0" * 64)
        for role in ("background", "human")
        for split in SPLITS
    ),
    shards=tuple(
        ShardFile(
            name=f"{split}-00000.parquet",
            split=split,
            index=0,
            humans=(f"human-{split}",),
            backgrounds=(f"background-{split}",),
            rows=4,
            bytes=1000,
            data_bytes=900,
            coverage=(0, 1, 0, 3, 0, 0, 0, 0, 0, 0),
            sha256="0" * 64,
            fingerprint="0" * 64,
        )
        for split in SPLITS
    ),
    left_out=(),
    ignored={},
)

LARGER = replace(
    MANIFEST,
    shards=tuple(
        replace(shard, bytes=9000, rows=9000, coverage=(0, 0, 0, 0, 0, 0, 0, 0, 0, 9000))
        for shard in MANIFEST.shards
    ),
)
"""The same dataset after an update."""

CARD = make_card(MANIFEST)

HOSTILE = "</details>```<img src=x onerror=alert(1)>|[a](b)`"


def metadata(card: str) -> dict[str, Any]:
    """Return the front matter of a card as PyYAML reads it."""
    values = yaml.safe_load(card.split("---\n", 2)[1])
    assert isinstance(values, dict)
    return values


def body(card: str) -> str:
    """Return what comes after the front matter."""
    return card.split("---\n", 2)[2]


def edited(card: str, above: str = "", below: str = "", **fields: Any) -> str:
    """Return a card in which a user wrote text and changed fields; None removes a field."""
    values = {**metadata(card), **fields}
    # One by one, or PyYAML would name a value that comes twice, and refer to it.
    kept = [{name: value} for name, value in values.items() if value is not None]
    front = "".join(yaml.safe_dump(field, sort_keys=False) for field in kept)
    return f"---\n{front}---\n{above}\n\n{body(card).strip()}\n\n{below}\n"
