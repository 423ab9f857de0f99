"""What engines of more than one machine share: the work of one shard, as a machine gets it."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from builder.engines.local import keep_freed_memory, make_shards
from builder.errors import EngineError, FolderError
from builder.render import RENDERING
from builder.shards import ShardFile, Work
from builder.version import __version__, library_versions

# CPU_AVX2 of OpenCV, to which its Python module gives no name.
_AVX2 = 11


@dataclass(frozen=True)
class Errand:
    """The work of one shard, and the versions and the processor that give the same bytes."""

    work: Work
    versions: Mapping[str, str]

    def run(self) -> ShardFile:
        """Make the shard, on whatever machine this is.

        Raises:
            EngineError: this machine has other versions of a library, or of this package, or
                another kind of processor.
            FolderError: this machine does not see the folder.
            PlanError, SourceError, FolderError, StorageError: as in `make_shards`.
        """
        _refuse_other_versions(self.versions)
        keep_freed_memory()
        folder = self.work.folder
        if isinstance(folder, Path) and not folder.is_dir():
            raise FolderError(
                f"{folder}: is not there on {socket.gethostname()}. --output has to be on a file "
                "system that all machines share, or a URL such as s3://bucket/folder."
            )
        return next(make_shards(self.work))


def errand(work: Work) -> Errand:
    """Return the work of one shard for another machine."""
    if isinstance(work.folder, Path):
        work = replace(work, folder=work.folder.absolute())
    return Errand(work, _versions())


def _versions() -> dict[str, str]:
    return {
        **library_versions(),
        "human-segmentation": f"{__version__}, rendering {RENDERING}",
        "processor": _processor(),
    }


def _processor() -> str:
    """Return what kind it is; within one, `builder.portable` sees to the same bytes."""
    return platform.machine() + (" with AVX2" if cv2.checkHardwareSupport(_AVX2) else "")


def _refuse_other_versions(expected: Mapping[str, str]) -> None:
    own = _versions()
    differing = [name for name in own if own[name] != expected.get(name)]
    other = [f"{name} {own[name]} for {expected.get(name)}" for name in differing]
    if other:
        raise EngineError(
            f"{socket.gethostname()}: has {', '.join(other)}, which may give other bytes. "
            "Have the same versions, and the same kind of processor, on all machines."
        )
