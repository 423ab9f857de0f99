"""README.md of a dataset folder: made from its manifest, and merged with the one on the Hub."""

from builder.card.make import FILE_NAME, add_changelog_entry, make_card, write_card
from builder.card.merge import merge_cards

__all__ = ["FILE_NAME", "add_changelog_entry", "make_card", "merge_cards", "write_card"]
