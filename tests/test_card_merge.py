"""Merging the card of a folder into the one on the Hub: the whole three-way table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.card import add_changelog_entry, make_card, merge_cards
from builder.card.parts import END, START
from builder.errors import FolderError
from tests.cards import CARD, LARGER, MANIFEST, body, edited, metadata

HAND = "---\nlicense: mit\ntags: [portraits]\n---\n\n# By hand\n\nRead me.\n"
CONFLICT = "changed both in the folder and on the Hub"

KNOWN: dict[str, str] = {}


def card(above: str = "", below: str = "", **fields: Any) -> str:
    """Return a card that the tool wrote after a user had edited it."""
    key = repr((above, below, fields))
    if key not in KNOWN:
        KNOWN[key] = make_card(MANIFEST, edited(CARD, above, below, **fields))
    return KNOWN[key]


def titles(text: str) -> list[str]:
    return re.findall(r"^### (.*)$", text, re.MULTILINE)


TABLE = [
    # base, folder, Hub -> what is published; None: a conflict
    ("A", "A", "A", "A"),
    ("A", "B", "A", "B"),
    ("A", "A", "B", "B"),
    ("A", "B", "B", "B"),
    ("A", "B", "C", None),
    ("A", "", "A", ""),
    ("A", "A", "", ""),
    ("A", "", "", ""),
    ("A", "", "B", None),
    ("A", "B", "", None),
    ("", "A", "", "A"),
    ("", "", "A", "A"),
    ("", "A", "B", None),
]


@pytest.mark.parametrize("place", ["above", "below"])
@pytest.mark.parametrize(("base", "local", "remote", "merged"), TABLE)
def test_own_text(place: str, base: str, local: str, remote: str, merged: str | None) -> None:
    cards = [card(**{place: text}) for text in (local, remote, base)]
    if merged is None:
        with pytest.raises(FolderError, match=rf"^README\.md: the text {place} .*{CONFLICT}"):
            merge_cards(*cards)
        return
    assert merge_cards(*cards) == card(**{place: merged})
    if not base:
        assert merge_cards(cards[0], cards[1], None) == card(**{place: merged})


@pytest.mark.parametrize("name", ["pretty_name", "license", "homepage"])
@pytest.mark.parametrize(("base", "local", "remote", "merged"), TABLE)
def test_fields(name: str, base: str, local: str, remote: str, merged: str | None) -> None:
    cards = [card(**{name: value or None}) for value in (local, remote, base)]
    if merged is None:
        with pytest.raises(FolderError, match=rf"^README\.md: the field {name} .*{CONFLICT}"):
            merge_cards(*cards)
        return
    assert metadata(merge_cards(*cards)) == metadata(card(**{name: merged or None}))


@pytest.mark.parametrize(
    ("base", "local", "remote", "merged"),
    [
        ("abc", "abcd", "abc", "abcd"),
        ("abc", "abc", "dabc", "dabc"),
        ("abc", "abcx", "yabc", "yabcx"),
        ("abc", "bc", "abc", "bc"),
        ("abc", "abc", "ab", "ab"),
        ("abc", "bc", "abd", "bd"),
        ("abc", "cba", "abc", "cba"),
        ("abc", "", "abc", ""),
        ("", "a", "b", "ba"),
    ],
)
def test_lists_are_merged_element_by_element(
    base: str, local: str, remote: str, merged: str
) -> None:
    cards = [card(tags=list(value) or None) for value in (local, remote, base)]
    assert metadata(merge_cards(*cards)).get("tags", []) == list(merged)


def test_without_a_base_what_is_generated_is_unchanged() -> None:
    tags = metadata(CARD)["tags"]
    mine = card(pretty_name="Mine", tags=[*tags, "mine"], license="mit")
    theirs = card(language=["de"], tags=[*tags[1:], "theirs"], license="mit")
    merged = metadata(merge_cards(mine, theirs, None))
    assert (merged["pretty_name"], merged["license"]) == ("Mine", "mit")
    assert merged["language"] == ["de"]
    assert merged["tags"] == [*tags[1:], "theirs", "mine"]
    with pytest.raises(FolderError, match=f"the field license .*{CONFLICT}"):
        merge_cards(mine, card(license="cc0-1.0"), None)


def test_what_a_tool_generated_otherwise_is_nobodys_change() -> None:
    drawn = make_card(LARGER, None, license_id=None).replace(
        '"license": "unknown"', '"license": "apache-2.0"'
    )
    drawn = edited(drawn, license="apache-2.0")
    for base in (None, drawn):
        assert metadata(merge_cards(CARD, drawn, base))["license"] == "unknown"
        chosen = edited(drawn, license="cc-by-4.0")
        assert metadata(merge_cards(CARD, chosen, base))["license"] == "cc-by-4.0"


def test_numbers_and_generated_text_are_the_folders() -> None:
    remote = edited(CARD, size_categories=["n>1T"], dataset_info={"dataset_size": 1}, configs=None)
    remote = remote.replace("# Human segmentation", "# Something else")
    local = make_card(LARGER)
    for base in (CARD, remote, None):
        merged = merge_cards(local, remote, base)
        assert metadata(merged) == metadata(local)
        assert body(merged) == body(local)


def test_configs_of_others_stay() -> None:
    default = metadata(CARD)["configs"]
    mine = {"config_name": "mine", "data_files": "mine.csv"}
    theirs = {"config_name": "theirs", "data_files": "theirs.csv"}
    local = make_card(LARGER, edited(CARD, configs=[*default, mine]))
    remote = edited(CARD, configs=[theirs, {"config_name": "default", "data_files": "lost"}])
    assert metadata(merge_cards(local, remote, CARD))["configs"] == [theirs, *default, mine]
    gone = merge_cards(make_card(MANIFEST, remote), edited(CARD, configs=None), remote)
    assert metadata(gone)["configs"] == default
    info = [{"config_name": "extra", "dataset_size": 1}, metadata(CARD)["dataset_info"]]
    merged = metadata(merge_cards(local, edited(CARD, dataset_info=info), CARD))
    assert merged["dataset_info"] == [info[0], metadata(local)["dataset_info"]]


def test_the_licence_line_follows_the_licence() -> None:
    merged = merge_cards(CARD, edited(CARD, license="cc-by-4.0"), CARD)
    assert merged == make_card(MANIFEST, CARD, license_id="cc-by-4.0")


def test_a_card_written_by_hand_is_kept_whole() -> None:
    merged = merge_cards(CARD, HAND, None)
    assert body(merged) == body(card("# By hand\n\nRead me.", license="mit"))
    assert metadata(merged)["license"] == "mit"
    assert metadata(merged)["tags"] == ["portraits", *metadata(CARD)["tags"]]
    assert merge_cards(merged, merged, None) == merged
    with pytest.raises(FolderError, match=f"the text above the generated part was {CONFLICT}"):
        merge_cards(card("Mine."), HAND, None)


@pytest.mark.parametrize("nothing", [None, "", "\n\n"])
def test_an_empty_card_is_no_card(nothing: str | None) -> None:
    local = card("Mine.", license="mit")
    for base in (None, CARD, local):
        assert merge_cards(local, nothing, base) == local


def test_the_words_of_the_hub_stay_as_they_are_written() -> None:
    remote = CARD.replace("license: unknown", "# asked them\nlicense: 'mit' # yes\nversion: 1.10")
    local = make_card(LARGER)
    remote = remote.replace("annotations_creators", "# nobody drew\nannotations_creators")
    merged = merge_cards(local, remote, CARD)
    assert "- 10K<n<100K\n# nobody drew\nannotations_creators:" in merged
    assert "---\n# asked them\nlicense: 'mit' # yes\nversion: 1.10\npretty_name:" in merged
    assert metadata(merged)["dataset_info"] == metadata(local)["dataset_info"]


def test_line_ends_are_those_of_the_hub_and_no_change() -> None:
    remote = CARD.replace("\n", "\r\n")
    assert merge_cards(card("Mine."), remote, CARD) == card("Mine.").replace("\n", "\r\n")
    assert merge_cards(remote, card("Mine."), CARD) == card("Mine.")


def test_changelogs_are_united_newest_first() -> None:
    first = add_changelog_entry(CARD, "v1", ["one"])
    local = add_changelog_entry(add_changelog_entry(first, "v3", ["mine"]), "v4", ["mine"])
    remote = add_changelog_entry(first, "v2", ["theirs"]).replace("- one", "- one, as they say")
    merged = merge_cards(local, remote, first)
    assert titles(merged) == ["v4", "v3", "v2", "v1"]
    assert "- one, as they say" in merged
    older = CARD
    for title in ("v1", "v1.5", "v2"):
        older = add_changelog_entry(older, title, [])
    assert titles(merge_cards(older, remote, None)) == ["v2", "v1.5", "v1"]
    assert titles(merge_cards(CARD, remote, remote)) == ["v2", "v1"]


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        (("# By hand\n", CARD, None), "README.md of the folder: .*human-segmentation card DIR"),
        ((CARD.replace(":defaults", ""), CARD, None), "README.md of the folder: .*damaged"),
        ((CARD, CARD + CARD, None), "README.md on the Hub: .*2 lines"),
        ((CARD, "---\na: [\n---\n", None), "README.md on the Hub: its front matter"),
        ((CARD, CARD, "```\n"), "README.md as it was published last: .*never closed"),
    ],
)
def test_a_card_that_cannot_be_taken_apart_is_named(
    cards: tuple[str, str, str | None], message: str
) -> None:
    with pytest.raises(FolderError, match=f"^{message}"):
        merge_cards(*cards)


words = st.sampled_from(["", "One.", "Two.\n\n- a\n- b", "    code", "> three", "<p>\nfour"])
values = st.sampled_from([None, "x", 1, True, [], ["a"], {"a": 1.5}, "no", "1.10"])
cards = st.builds(
    card,
    above=words,
    below=words,
    tags=st.lists(st.sampled_from("abcd"), max_size=4, unique=True),
    license=st.sampled_from([None, "unknown", "mit"]),
    homepage=values,
    version=values,
)


@settings(max_examples=15)
@given(cards, cards)
def test_what_one_side_alone_changed_is_taken(base: str, changed: str) -> None:
    assert merge_cards(changed, base, base) == changed
    assert merge_cards(base, changed, base) == changed
    assert merge_cards(changed, changed, base) == changed


@settings(max_examples=25)
@given(cards, cards, st.none() | cards)
def test_nothing_of_anybodys_is_lost(local: str, remote: str, base: str | None) -> None:
    try:
        merged = merge_cards(local, remote, base)
    except FolderError as error:
        assert CONFLICT in str(error)
        return
    for mark, side in ((START, 0), (END, 2)):
        for own in (body(text).partition(mark)[side] for text in (local, remote)):
            assert own in merged or own in (base or "")
    assert merge_cards(merged, remote, base) == merged
    assert merge_cards(merged, merged, merged) == merged
    assert make_card(MANIFEST, merged) == merged
