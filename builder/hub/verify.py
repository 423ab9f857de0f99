"""Reads back what was published: every hash, and the first rows of every split."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from builder.errors import HubError
from builder.hub.compare import LocalFile
from builder.hub.faults import patiently
from builder.hub.repository import Repository

_ROWS = 2
_SPLIT = re.compile(r"data/(.+)-\d+\.parquet")


def verify(
    repository: Repository, files: Mapping[str, LocalFile], commit: str, revision: str
) -> tuple[str, ...]:
    """Compare what a commit lists with the folder, and read the first rows of every split.

    Args:
        repository: to read from.
        files: all that it is to hold, by path.
        commit: whose files are listed.
        revision: at which rows are read: the commit, or the reference of a pull request.

    Returns:
        The splits that were read.

    Raises:
        HubError: a file is missing or differs, or rows cannot be read.
    """
    there = repository.state(commit).files
    for path, file in files.items():
        if path not in there or not file.equals(there[path]):
            raise HubError(
                f"{path}: the Hub holds something else at {commit[:12]} than was sent. Run the "
                "same command again."
            )
    splits = list(dict.fromkeys(match[1] for path in files if (match := _SPLIT.fullmatch(path))))
    for split in splits:
        patiently(
            lambda split=split: _read_rows(repository, split, revision),  # type: ignore[misc]
            f"read {split} of {repository.repo_id} back",
            tell=repository.tell,
        )
    return tuple(splits)


def _read_rows(repository: Repository, split: str, revision: str) -> None:
    # Takes a second to import, which nobody should pay for a publishing that is refused.
    import datasets

    try:
        found = datasets.load_dataset_builder(
            repository.repo_id, revision=revision, token=repository.token
        )
    except FileNotFoundError as error:
        # All that `datasets` says of a Hub that does not answer.
        raise ConnectionError(str(error)) from None
    # Not streamed: Arrow would still be reading when the process ends, and abort it
    # (https://github.com/apache/arrow/issues/34314, 45017).
    with (
        HfFileSystem(token=repository.token).open(found.config.data_files[split][0]) as file,
        pq.ParquetFile(file) as shard,
    ):
        table = shard.read_row_group(0, use_threads=False).slice(0, _ROWS)
    features = found.info.features
    for encoded in table.cast(features.arrow_schema).to_pylist():
        row = features.decode_example(encoded)
        if row["image"].size != row["mask"].size or row["mask"].mode != "L":
            raise HubError(
                f"{repository.repo_id}, {split}, {row['id']}: image and mask do not fit each "
                "other. Build the dataset again, then publish it."
            )
