"""What a person rejected by eye: a text file of ids and names, one a line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from builder.errors import SourceError
from builder.sources.layer import printable

_SHOWN = 5


@dataclass(frozen=True)
class Exclusion:
    """Layers that must not be used.

    Attributes:
        file_name: of the file that says so.
        entries: ids and names of layers.
    """

    file_name: str
    entries: frozenset[str]

    @property
    def reason(self) -> str:
        """Why such a layer is left out."""
        return f"excluded by {self.file_name}"

    def check(self, known: Collection[str]) -> None:
        """Refuse entries that exclude nothing, which are misspelt more often than not.

        Args:
            known: the ids and names of all layers.

        Raises:
            SourceError: it names some of them.
        """
        unknown = sorted(self.entries - set(known))
        if unknown:
            first = ", ".join(repr(entry) for entry in unknown[:_SHOWN])
            more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
            raise SourceError(
                f"{self.file_name}: no layer has the id or the name {first}{more}. Take the line "
                "out, or write the name as `human-segmentation inspect` shows it."
            )


def read_exclusion(path: Path) -> Exclusion:
    """Read such a file; what follows a # at the start of a line or after a space is a comment.

    Raises:
        SourceError: it cannot be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path}: cannot be read ({error}). It has to be text, an id or a name on each line."
        ) from error
    entries = ((" " + line).partition(" #")[0].strip() for line in lines)
    return Exclusion(printable(path.name), frozenset(entry for entry in entries if entry))
