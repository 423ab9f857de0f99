"""A card in its parts: front matter, the user's own text, and what stands between our marks.

---
front matter: some fields are the tool's, some the user's
---
own text
<!-- human-segmentation:start -->
generated; the changelog in it, between marks of its own, only grows
<!-- human-segmentation:end -->
own text
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from builder.card.metadata import BY_CONFIG, Fields, Values, read_fields, write_fields
from builder.errors import FolderError

START = "<!-- human-segmentation:start -->"
END = "<!-- human-segmentation:end -->"
CHANGELOG_START = "<!-- human-segmentation:changelog:start -->"
CHANGELOG_END = "<!-- human-segmentation:changelog:end -->"
NO_ENTRIES = "No version has been published yet."

# As on the Hub, but the block may be empty.
_FRONT_MATTER = re.compile(r"\A\s*---\n(?:(.*?)\n)??---[ \t]*(?:\n|\Z)", re.DOTALL)
_UNCLOSED = re.compile(r"\s*---[ \t]*\n")
_DEFAULTS = re.compile(r"^<!-- human-segmentation:defaults (\{.*\}) -->$", re.MULTILINE)
_ENTRY = re.compile(r"^(?=### )", re.MULTILINE)
# A mark starts its line, so of the code blocks around it only those count that do so as well.
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
_FENCE_END = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")


@dataclass(frozen=True)
class Card:
    """The parts of a card, with newlines of one character.

    Attributes:
        fields: the front matter.
        before, after: the user's own text around the generated part.
        generated: what stands between the marks; None if there are none, then all is `before`.
        newline: how lines end in the file.
    """

    fields: Fields
    before: str
    generated: str | None
    after: str
    newline: str


@dataclass(frozen=True)
class Entry:
    """A section of the changelog: the text of its heading, and all of its Markdown."""

    title: str
    text: str


def parse_card(text: str, where: str) -> Card:
    """Take a card apart; `where` names it in errors.

    Raises:
        FolderError: the front matter cannot be used, or the marks do not come in one pair.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front = _FRONT_MATTER.match(text)
    if not front and _UNCLOSED.match(text):
        raise FolderError(
            f"{where}: starts with ---, as front matter does, but no second line of --- ends it. "
            "Add that line, or delete the first one."
        )
    fields = read_fields(front[1] or "", where) if front else {}
    before, generated, after = _around(text[front.end() :] if front else text, START, END, where)
    return Card(fields, _own(before), generated, _own(after), newline)


def card_text(card: Card) -> str:
    """Return a card in one piece. `generated` must not be None."""
    parts = [f"---\n{write_fields(card.fields)}---", card.before]
    parts += [f"{START}\n{card.generated}\n{END}", card.after]
    return ("\n\n".join(filter(None, parts)) + "\n").replace("\n", card.newline)


def changelog(generated: str, where: str) -> list[Entry]:
    """Return the entries in a generated part, newest first.

    Raises:
        FolderError: the marks around them do not come in one pair.
    """
    _, section, _ = _around(generated, CHANGELOG_START, CHANGELOG_END, where)
    if section is None:
        raise FolderError(
            f"{where}: the generated part lacks the marks {CHANGELOG_START} and {CHANGELOG_END} "
            "around its changelog. Put them back, or delete the generated part, marks included."
        )
    texts = [text.strip() for text in _ENTRY.split(section)[1:]]
    return [Entry(text.partition("\n")[0].removeprefix("### ").strip(), text) for text in texts]


def changelog_text(entries: Sequence[Entry]) -> str:
    """Return the section of the changelog, marks included."""
    body = "\n\n".join(entry.text for entry in entries) or NO_ENTRIES
    return f"{CHANGELOG_START}\n{body}\n{CHANGELOG_END}"


def with_changelog(card: Card, entries: Sequence[Entry], where: str) -> Card:
    """Return the card with these entries in its generated part, which must be there."""
    generated = card.generated or ""
    before, _, after = _around(generated, CHANGELOG_START, CHANGELOG_END, where)
    return replace(card, generated=f"{before}{changelog_text(entries)}\n{after}")


def defaults_line(defaults: Values) -> str:
    """Return a comment that says which fields the tool filled in, and how."""
    return f"<!-- human-segmentation:defaults {json.dumps(defaults)} -->"


def recorded_defaults(card: Card) -> dict[str, Any] | None:
    """Return what `defaults_line` said in a card, or None if nothing legible says it."""
    found = _DEFAULTS.search(card.generated or "")
    try:
        defaults = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(defaults, dict):
        return None
    return {name: value for name, value in defaults.items() if name not in BY_CONFIG}


def _around(text: str, start: str, end: str, where: str) -> tuple[str, str | None, str]:
    """Return what stands before, between and after two marks; all is before if there are none."""
    offsets, unclosed = _find(text, (start, end))
    marks = [mark for mark, _ in offsets]
    if not marks and unclosed is not None:
        raise FolderError(
            f"{where}: the code block that opens with {unclosed!r} is never closed, so what comes "
            "after it would be shown as code. Close it."
        )
    if not marks:
        return text, None, ""
    if marks != [start, end]:
        raise FolderError(
            f"{where}: outside of code blocks it has {marks.count(start)} lines {start} and "
            f"{marks.count(end)} lines {end}, where one of each belongs, in this order. Leave only "
            "those around the generated part, and indent those in an example of your own."
        )
    first, last = (offset for _, offset in offsets)
    inside = text[first:last].partition("\n")[2]
    return text[:first], inside.removesuffix("\n"), text[last:].partition("\n")[2]


def _find(text: str, marks: Sequence[str]) -> tuple[list[tuple[str, int]], str | None]:
    """Return the marks outside of code blocks with their offsets, and what opens an open block."""
    found, offset, fence, opening = [], 0, "", None
    for line in text.split("\n"):
        closing = _FENCE_END.fullmatch(line)
        if fence and closing and closing[1].startswith(fence):
            fence, opening = "", None
        elif not fence and (match := _FENCE.fullmatch(line)):
            fence, opening = match[1] or match[2], line[:40]
        elif not fence and line.rstrip() in marks:
            found.append((line.rstrip(), offset))
        offset += len(line) + 1
    return found, opening


def _own(text: str) -> str:
    return text.strip("\n") if text.strip() else ""
