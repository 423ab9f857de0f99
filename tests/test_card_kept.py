"""What a user wrote into a card stays, whatever it is, and the changelog only grows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.card import add_changelog_entry, make_card
from builder.card.parts import CHANGELOG_END, CHANGELOG_START, END, START
from builder.errors import FolderError
from tests.cards import CARD, HOSTILE, LARGER, MANIFEST, body, edited, metadata


def test_a_card_written_by_hand_stays_above() -> None:
    hand = "---\nlicense: mit\ntags: portraits\n---\n\n# By hand\n\nRead me.\n"
    card = make_card(MANIFEST, hand)
    assert card.startswith("---\nlicense: mit\ntags:\n- portraits\n- background-removal\n")
    assert body(card).startswith("\n# By hand\n\nRead me.\n\n" + START)
    assert make_card(MANIFEST, "# By hand\n") == CARD.replace(START, f"# By hand\n\n{START}", 1)
    for nothing in (None, "", "\n", "---\n---\n"):
        assert make_card(MANIFEST, nothing) == CARD


@settings(max_examples=20)
@given(
    st.text("ab\n#`-~> <!", max_size=40).map(lambda text: text.strip("\n")),
    st.text("ab\n#`-~> <!", max_size=40).map(lambda text: text.strip("\n")),
    st.dictionaries(st.sampled_from("abc"), st.text("a:#-'\"\n ", max_size=9) | st.floats()),
)
def test_own_text_of_any_kind_stays(above: str, below: str, fields: dict[str, object]) -> None:
    previous = edited(CARD, above, below, **fields)
    try:
        card = make_card(MANIFEST, previous)
    except FolderError as error:
        assert "code block" in str(error)
        return
    assert body(card).startswith(f"\n{above}\n\n{START}" if above.strip() else f"\n{START}")
    assert card.endswith(f"{END}\n\n{below}\n" if below.strip() else f"{END}\n")
    # Not a number is not equal to itself.
    assert repr(metadata(card)) == repr(metadata(previous))
    assert make_card(MANIFEST, card) == card


def test_windows_line_ends_and_byte_order_marks_are_kept_off() -> None:
    mine = edited(CARD, "Ours.\n\nAll ours.", "Thanks.", license="mit")
    card = make_card(MANIFEST, mine)
    windows = make_card(MANIFEST, "\ufeff" + mine.replace("\n", "\r\n"))
    assert windows == card.replace("\n", "\r\n")
    assert make_card(MANIFEST, windows) == windows


def test_marks_in_code_are_text() -> None:
    example = f"```html\n{START}\nmy example\n{END}\n```\n\n~~~~\n```\n{END}\n~~~~"
    listed = f"- ```\n  {START}\n  ```\n\n    {END}\n\n> {END}"
    card = make_card(MANIFEST, f"{example}\n\n{listed}\n")
    assert card == CARD.replace(START, f"{example}\n\n{listed}\n\n{START}", 1)
    assert make_card(MANIFEST, card) == card


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        ("---\nlicense: [mit\n---\n", "front matter.*expected.*Correct or delete it"),
        ("---\nlicense: mit\n\n# Title\n", "no second line of --- ends it"),
        ("---\njust text\n---\n", "front matter.*does not give values to names"),
        (f"---\n{BOMB}\n---\n", "front matter.*aliases"),
        ("---\na: !!python/object/apply:os.system [ls]\n---\n", "could not determine a construct"),
        ("---\na: !%1b[31m x\n---\n", r"'!\\x1b\[31m'|'!\\x1b'"),
        ("---\na: 1\na: 2\n---\n", "a name of its own"),
        ("---\nno: 1\n---\n", "a name of its own that is text"),
        ("---\na: !!int ''\n---\n", "front matter.*cannot be used"),
        (f"---\na: {'[' * 500}\n---\n", "front matter.*cannot be used"),
        (f"---\na: {'[' * 99}{']' * 99}\n---\n", "nested more than 50 deep"),
        (f"---\na: {'9' * 5000}\n---\n", "front matter.*cannot be used"),
        ("---\nconfigs: data\n---\n", "configs has to list configs"),
        ("---\nconfigs: [{config_name: a}, {config_name: a}]\n---\n", "two entries for one"),
        (CARD + CARD, "2 lines <!-- human-segmentation:start -->"),
        (CARD.replace(END, ""), "0 lines <!-- human-segmentation:end -->"),
        (CARD.replace(START, END), "0 lines <!-- human-segmentation:start -->"),
        (CARD.replace(CHANGELOG_END, ""), "0 lines <!-- human-segmentation:changelog:end -->"),
        (CARD.replace(CHANGELOG_END, "").replace(CHANGELOG_START, ""), "around its changelog"),
        ("# Mine\n\n```sh\nls\n", "opens with '```sh' is never closed"),
        (CARD.replace(START, f"```sh\n{START}"), "0 lines <!-- human-segmentation:start -->"),
    ],
)
def test_what_cannot_be_taken_apart_is_an_error_not_a_guess(previous: str, message: str) -> None:
    with pytest.raises(FolderError, match=r"^README\.md: .*" + message):
        make_card(MANIFEST, previous)


def entries(card: str) -> list[str]:
    section = card.partition(CHANGELOG_START)[2].partition(CHANGELOG_END)[0]
    return re.findall(r"^### (.*)$", section, re.MULTILINE)


def test_the_changelog_grows_at_the_top_and_stays() -> None:
    card = add_changelog_entry(CARD, "v1", ["first"])
    assert "No version has been published yet." not in card
    card = add_changelog_entry(card, "v2", ["+3 humans", "second"])
    assert "### v2\n\n- +3 humans\n- second\n\n### v1\n\n- first\n" in card
    assert entries(make_card(LARGER, card)) == ["v2", "v1"]
    replaced = add_changelog_entry(card, "v2", ["third"])
    assert entries(replaced) == ["v2", "v1"]
    assert "- second\n" not in replaced
    assert entries(add_changelog_entry(card, "v1", [])) == ["v1", "v2", "v1"]
    with pytest.raises(FolderError, match="human-segmentation card DIR"):
        add_changelog_entry("# By hand\n", "v1", [])


@pytest.mark.parametrize(
    "words", [END, f"a\n{CHANGELOG_END}\n{END}", "```", HOSTILE, "# a", "### a"]
)
def test_words_in_the_changelog_are_only_words(words: str) -> None:
    card = add_changelog_entry(CARD, words, [words])
    assert make_card(MANIFEST, card) == card
    assert len(entries(card)) == 1
    assert add_changelog_entry(card, words, [words]) == card
    section = card.partition(CHANGELOG_START)[2].partition(CHANGELOG_END)[0]
    assert "<" not in section
    assert not re.search(r"(?<!\\)[`\[|]", section)


def test_front_matter_that_shares_lines_is_written_anew() -> None:
    card = make_card(MANIFEST, "---\n{license: mit, version: '1.10'}\n---\n")
    assert metadata(card)["version"] == "1.10"
    ended = make_card(MANIFEST, "---\nlicense: mit\n...\n---\n# Mine\n")
    assert metadata(ended)["license"] == "mit"
    assert metadata(ended)["pretty_name"] == "Human segmentation"


@pytest.mark.parametrize("nothing", ["tags: []", "tags:", "tags: null # none"])
def test_an_empty_list_stays_empty(nothing: str) -> None:
    previous = re.sub(r"^tags:\n(- .*\n)+", f"{nothing}\n", CARD, flags=re.MULTILINE)
    assert make_card(MANIFEST, previous) == previous
    assert "tags" not in metadata(make_card(MANIFEST, edited(CARD, tags=None)))
