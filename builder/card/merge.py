"""Merges a folder's card into the one on the Hub, so that what anybody wrote there stays.

A three-way merge: what only one side changed since the card was last published is taken from that
side. What both changed, each in its own way, is for the user to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from builder.card.metadata import (
    Changes,
    Fields,
    Values,
    always_ours,
    changed_fields,
    user_changes,
)
from builder.card.parts import (
    Card,
    Entry,
    card_text,
    changelog,
    parse_card,
    recorded_defaults,
    with_changelog,
)
from builder.card.text import with_license
from builder.errors import FolderError
from builder.sources.layer import printable

T = TypeVar("T")

_HERE = "README.md of the folder"
_THERE = "README.md on the Hub"
_BASE = "README.md as it was published last"


def merge_cards(local: str, remote: str | None, base: str | None) -> str:
    """Return the card to publish.

    The generated part is the folder's, with its licence line and its changelog brought up to the
    merge: every entry of both sides is there, the Hub's wording first. Text outside of the marks
    and fields of the front matter are merged three ways, lists such as tags element by element.
    The sizes, and the entries of the default config, are always the folder's.

    Args:
        local: the folder's card, with a generated part.
        remote: the card on the Hub; None or blank if there is none. One without a generated part
            was written by hand: all of it is kept, above the generated part.
        base: the card as this folder last published it. None: then neither side changed what is
            as the tool generates it, and there was no text of anybody's own.

    Raises:
        FolderError: a card cannot be taken apart, or both sides changed the same thing.
    """
    ours = parse_card(local, _HERE)
    recorded = recorded_defaults(ours)
    if ours.generated is None or recorded is None:
        raise FolderError(
            f"{_HERE}: its generated part is missing or damaged. "
            "Write it anew with: human-segmentation card DIR"
        )
    if remote is None or not remote.strip():
        return local
    theirs = parse_card(remote, _THERE)
    seen = None if base is None else parse_card(base, _BASE)
    fields = _merged_fields(ours, theirs, seen, {**recorded, **always_ours(ours.fields)})
    merged = replace(
        ours,
        fields=fields,
        before=_merged_text("before", ours, theirs, seen),
        generated=with_license(ours.generated, fields),
        after=_merged_text("after", ours, theirs, seen),
        newline=theirs.newline,
    )
    if theirs.generated is None:
        return card_text(merged)
    entries = _merged_entries(changelog(ours.generated, _HERE), changelog(theirs.generated, _THERE))
    return card_text(with_changelog(merged, entries, _HERE))


def _merged_fields(ours: Card, theirs: Card, seen: Card | None, defaults: Values) -> Fields:
    here, there = (
        user_changes(card.fields, recorded_defaults(card), defaults) for card in (ours, theirs)
    )
    was = user_changes(seen.fields, recorded_defaults(seen), defaults) if seen else {}
    changes: Changes = {}
    for key in dict.fromkeys((*there, *here)):
        # An absent key says that the field is as the tool would have it, None that it was removed.
        mine, other, before = (
            {key: side[key]} if key in side else {} for side in (here, there, was)
        )
        changes |= _three_way(
            mine, other, before, f"the field {printable(key[0])} of the front matter"
        )
    untouched = seen is not None and theirs.fields == seen.fields
    cards = (ours.fields, theirs.fields) if untouched else (theirs.fields, ours.fields)
    return changed_fields(changes, defaults, *cards)


def _merged_text(
    part: Literal["before", "after"], ours: Card, theirs: Card, seen: Card | None
) -> str:
    mine, other = str(getattr(ours, part)), str(getattr(theirs, part))
    before = str(getattr(seen, part)) if seen else ""
    place = "above" if part == "before" else "below"
    return _three_way(mine, other, before, f"the text {place} the generated part")


def _three_way(mine: T, other: T, before: T, what: str) -> T:
    if mine == before:
        return other
    if other in (mine, before):
        return mine
    raise FolderError(
        f"README.md: {what} was changed both in the folder and on the Hub, each in its own way. "
        "Write into the README.md of the folder what it is to be, copy the same to the Hub's, and "
        "run the command again."
    )


def _merged_entries(ours: Sequence[Entry], theirs: Sequence[Entry]) -> list[Entry]:
    """Return the Hub's entries, and each of ours that it lacks below the one it followed here."""
    merged = list(theirs)
    place = 0
    for entry in ours:
        titles = [other.title for other in merged]
        if entry.title in titles:
            place = max(place, titles.index(entry.title) + 1)
        else:
            merged.insert(place, entry)
            place += 1
    return merged
