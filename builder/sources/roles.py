"""Which role a picture has, told by its path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from builder.sources.layer import Role

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# `humans`, `Human`, `human_segmentations`, `backgrounds-2`, but not `humanoids`.
_ROLE = re.compile(r"(human|background)s?(?![a-z])", re.IGNORECASE)
_GROUND_TRUTH = frozenset({"gt", "mask", "masks"})


def role_of(components: Sequence[str]) -> Role | None:
    """Return the role that the innermost telling component gives, or None.

    Args:
        components: the names of the folders and archives around a picture, outermost first,
            without the picture's own name. Archives count with their stem.
    """
    for component in reversed(components):
        if component.lower() in _GROUND_TRUTH:
            return None
        match = _ROLE.match(component)
        if match:
            return "human" if match[1].lower() == "human" else "background"
    return None


def is_picture(name: str) -> bool:
    """Tell whether a file is meant as a picture, by its name; hidden files never are."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part != ".."]
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return path.suffix.lower() in PICTURE_SUFFIXES and not hidden


def is_archive(name: str) -> bool:
    """Tell whether a file is an archive that can be read, by its name."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(name: str) -> str:
    """Return an archive's name without its suffix, which may be double."""
    suffix = max((s for s in ARCHIVE_SUFFIXES if name.lower().endswith(s)), key=len, default="")
    return name[: len(name) - len(suffix)]
