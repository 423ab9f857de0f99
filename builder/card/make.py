"""README.md of a dataset folder: the metadata that the Hub and `datasets` read, and the numbers.

What a user wrote is kept: text outside of the marks, fields of the front matter, the changelog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from builder.card.metadata import (
    BY_CONFIG,
    MEASURED,
    OWN_CONFIG,
    changed_fields,
    set_field,
    user_changes,
)
from builder.card.parts import (
    Entry,
    card_text,
    changelog,
    parse_card,
    recorded_defaults,
    with_changelog,
)
from builder.card.text import UNKNOWN_LICENSE, generated_text
from builder.errors import FolderError
from builder.layer_files import FOLDER, layer_features
from builder.manifest import Manifest
from builder.places import Place, write_whole
from builder.render import features_of
from builder.sources.layer import printable

FILE_NAME = "README.md"

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)

# The Hub's list of licences is longer every year; this is how its ids look.
_LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.+-]{1,63}")
_REPO_ID = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?")
# What Markdown acts on within a line, and at its start.
_MARKDOWN = re.compile(r"([\\`*_\[\]{}|#!~$>])")
_MARKDOWN_START = re.compile(r"^(\d*)([-+=.)])(?=\s|$)")


def write_card(manifest: Manifest, folder: Place, *, license_id: str | None = None) -> Place:
    """Write `README.md` and return its path. It holds no name that came with a layer.

    What is the user's in a `README.md` that is there already is kept; see `make_card`.

    Raises:
        FolderError: what is there cannot be read or taken apart, `license_id` is none, or the file
            cannot be written.
    """
    path = folder / FILE_NAME
    try:
        previous = path.read_bytes().decode("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(
            f"{path}: cannot be read as text in UTF-8 ({error}). Save it as such, or delete it."
        ) from error
    text = _make(manifest, previous, str(path), None, license_id)
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be written ({error.strerror}). Make room, or make the folder "
            "writable, and run the same command again."
        ) from error
    return path


def make_card(
    manifest: Manifest,
    previous: str | None = None,
    *,
    repo_id: str | None = None,
    license_id: str | None = None,
) -> str:
    """Return the card of a dataset. The same arguments give the same text.

    Args:
        manifest: of the dataset.
        previous: the card so far. Kept of it are the text before and after the generated part, the
            fields of the front matter that the user added, changed or removed, and the changelog.
            Without a generated part all of its text is kept, above the new one.
        repo_id: the repository that the snippets load; None for the folder.
        license_id: the `license` field from now on; None leaves it to the user and the sources.

    Raises:
        FolderError: `previous` cannot be taken apart, or an id is none.
    """
    if repo_id is not None and not _REPO_ID.fullmatch(repo_id):
        raise FolderError(f"{repo_id!r} is not the id of a repository, such as name/dataset.")
    return _make(manifest, previous, FILE_NAME, repo_id, license_id)


def add_changelog_entry(card: str, title: str, lines: Sequence[str]) -> str:
    """Return the card with one more entry at the top of its changelog.

    An entry of the same title at the top is replaced. One further down stays, and the new one is
    added: whoever wants titles to be unique has to look first.

    Args:
        card: with a generated part.
        title: of the entry; plain text, in one line.
        lines: its points; plain text.

    Raises:
        FolderError: the card cannot be taken apart, or has no changelog.
    """
    parts = parse_card(card, FILE_NAME)
    if parts.generated is None:
        raise FolderError(
            f"{FILE_NAME}: has no generated part, which holds the changelog. "
            "Write it with: human-segmentation card DIR"
        )
    entries = changelog(parts.generated, FILE_NAME)
    heading = _inline(title)
    if entries and entries[0].title == heading:
        entries = entries[1:]
    points = "\n".join(f"- {_inline(line)}" for line in lines)
    entry = Entry(heading, f"### {heading}\n\n{points}".strip())
    return card_text(with_changelog(parts, [entry, *entries], FILE_NAME))


def _make(
    manifest: Manifest,
    previous: str | None,
    where: str,
    repo_id: str | None,
    license_id: str | None,
) -> str:
    old = parse_card(previous or "", where)
    entries = changelog(old.generated, where) if old.generated is not None else []
    defaults = _metadata(manifest)
    changes = user_changes(old.fields, recorded_defaults(old), defaults)
    if license_id is not None:
        changes |= set_field("license", _checked_license(license_id))
    fields = changed_fields(changes, defaults, old.fields)
    recorded = {n: v for n, v in defaults.items() if n not in (*BY_CONFIG, *MEASURED)}
    generated = generated_text(manifest, fields, entries, recorded, repo_id)
    return card_text(replace(old, fields=fields, generated=generated))


def _checked_license(license_id: str) -> str:
    if not _LICENSE_ID.fullmatch(license_id):
        raise FolderError(
            f"{license_id!r} is not the id of a licence on the Hub. Examples: apache-2.0, "
            "cc-by-4.0, cc0-1.0, other, unknown."
        )
    return license_id


def _inline(text: str) -> str:
    """Return text on one line that Markdown and HTML show as it is."""
    line = printable(" ".join(text.split()))
    line = _MARKDOWN.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;")
    return _MARKDOWN_START.sub(r"\1\\\2", line)


def _metadata(manifest: Manifest) -> dict[str, Any]:
    """Return the front matter that the tool would write by itself."""
    rows = sum(shard.rows for shard in manifest.shards)
    # Only of what it drew itself does the tool know the licence.
    drawn = manifest.sources == ("sample",)
    pairs = _dataset_info(manifest)
    kept = dict.fromkeys(file.config for file in manifest.layer_files)
    return {
        "license": "apache-2.0" if drawn else UNKNOWN_LICENSE,
        "pretty_name": "Human segmentation",
        "task_categories": ["image-segmentation"],
        "size_categories": [_size_category(rows)],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": ["background-removal", "human-segmentation", "image-matting", "synthetic"],
        "configs": [
            {
                "config_name": OWN_CONFIG,
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"} for split in manifest.splits
                ],
            },
            *(_layer_config(config, manifest) for config in kept),
        ],
        "dataset_info": (
            [pairs, *(_layer_info(config, manifest) for config in kept)] if kept else pairs
        ),
    }


def _layer_config(config: str, manifest: Manifest) -> dict[str, Any]:
    files = [file for file in manifest.layer_files if file.config == config]
    return {
        "config_name": config,
        "data_files": [
            {"split": split, "path": f"{FOLDER}/{config}-{split}-*.parquet"}
            for split in dict.fromkeys(file.split for file in files)
        ],
    }


def _layer_info(config: str, manifest: Manifest) -> dict[str, Any]:
    files = [file for file in manifest.layer_files if file.config == config]
    splits = [
        {
            "name": split,
            "num_bytes": sum(file.data_bytes for file in files if file.split == split),
            "num_examples": sum(file.rows for file in files if file.split == split),
        }
        for split in dict.fromkeys(file.split for file in files)
    ]
    return {
        "config_name": config,
        "features": [_feature(name, feature) for name, feature in layer_features().items()],
        "splits": splits,
        "download_size": sum(file.bytes for file in files),
        "dataset_size": sum(split["num_bytes"] for split in splits),
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
        "config_name": OWN_CONFIG,
        "features": [
            _feature(name, feature) for name, feature in features_of(manifest.recipe).items()
        ],
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
    return next((name for limit, name in _SIZES if rows < limit), "n>1T")
