"""Reads back what was published: every hash, and the first rows of every split."""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder.errors import HubError
from builder.hub.compare import LocalFile
from builder.hub.faults import patiently
from builder.hub.repository import Repository

_ROWS = 2
_SPLIT = re.compile(r"data/(.+)-\d+\.parquet")


def verify(
    repository: Repository, files: Mapping[str, LocalFile], commit: str, revision: str
) -> tuple[str, ...]:
    """Compare what a commit lists with the folder, and stream the first rows of every split.

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
        rows = datasets.load_dataset(
            repository.repo_id,
            split=split,
            streaming=True,
            revision=revision,
            token=repository.token,
        )
    except FileNotFoundError as error:
        # All that `datasets` says of a Hub that does not answer.
        raise ConnectionError(str(error)) from None
    for row in rows.take(_ROWS):
        if row["image"].size != row["mask"].size or row["mask"].mode != "L":
            raise HubError(
                f"{repository.repo_id}, {split}, {row['id']}: image and mask do not fit each "
                "other. Build the dataset again, then publish it."
            )
