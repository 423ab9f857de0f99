"""What a person rejected by eye: a text file of ids and names, one a line."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.errors import SourceError
from builder.sources.layer import printable

_SHOWN = 5


@dataclass(frozen=True)
class Exclusion:
    """Layers that must not be used.

    Attributes:
        file_name: of the file that says so.
        lines: what each line may mean. In `photo #2.png` a name is read, and a comment after one.
    """

    file_name: str
    lines: tuple[tuple[str, ...], ...]

    @cached_property
    def _entries(self) -> frozenset[str]:
        return frozenset(entry for line in self.lines for entry in line)

    def covers(self, name: str, layer_id: str) -> bool:
        """Tell whether a layer with this name, or with this id, is listed."""
        return name in self._entries or layer_id in self._entries

    def check(self, known: Set[str]) -> None:
        """Refuse entries that exclude nothing, which are misspelt more often than not.

        Args:
            known: the ids and names of all layers.

        Raises:
            SourceError: it names some of them.
        """
        unknown = [line[0] for line in self.lines if not set(line) & known]
        if unknown:
            first = ", ".join(repr(entry) for entry in unknown[:_SHOWN])
            more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
            raise SourceError(
                f"{self.file_name}: no layer has the id or the name {first}{more}. Take the line "
                "out, or write the name as `human-segmentation inspect` shows it."
            )


def read_exclusion(path: Path) -> Exclusion:
    """Read such a file; a # at the start of a line, or after a space, begins a comment.

    Raises:
        SourceError: it cannot be read as text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path}: cannot be read ({error}). It has to be text, an id or a name on each line."
        ) from error
    meant = (
        (line.strip(), line.partition(" #")[0].strip())
        for line in lines
        if line.strip() and not line.lstrip().startswith("#")
    )
    return Exclusion(printable(path.name), tuple(tuple(dict.fromkeys(both)) for both in meant))
