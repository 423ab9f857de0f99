"""What the tests of the loopback Hub share: a client, contents, and each transport alone."""

from __future__ import annotations

import random

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

REPO = "me/pairs"
# How each transport sends contents.
UPLOADS = {"lfs": ("PUT", "/upload/"), "xet": ("POST", "/v1/xorbs/")}
lfs_alone = pytest.mark.parametrize("hub", ["lfs"], indirect=True)
xet_alone = pytest.mark.parametrize("hub", ["xet"], indirect=True)


class Client(HfApi):
    """HfApi whose repositories are datasets, and mostly the same one."""

    def add(self, files: dict[str, bytes], message: str = "Add", **arguments: object):
        """Commit files."""
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        return self.do(operations, message, **arguments)

    def do(self, operations: list, message: str = "Change", **arguments: object):
        """Commit."""
        return self.create_commit(
            REPO, operations, commit_message=message, repo_type="dataset", **arguments
        )


def noise(size: int, seed: int = 0) -> bytes:
    """What no compression makes smaller."""
    return random.Random(seed).randbytes(size)
