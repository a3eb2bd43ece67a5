"""Two Markdown texts compared as a reader sees them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.blocks import parse_blocks
from contentops.documents.clean import clean_body
from contentops.documents.word_diff import Side, TextDiff, word_diff

if TYPE_CHECKING:
    from tests.running import Clock

PIECES = (
    "word", "eight", "seven", " ", " ", "\n", "\n\n", "\n- ", "\n1. ", "\n# ", "\n> ", "**", "*", "`", "\n```\n", "|", "\n|-|-|\n",
    "[a](b)", "![alt](c.png)", "<b>", "~~", "\\", "  \n", ".", "\u202e", "\u0e01\u0e02", "e\u0301", "👩‍👧", "---\n", "[x]: y\n",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=60)


def marked(diff: TextDiff) -> list[str]:
    """The changed blocks, with `[-gone-]` and `{+new+}`."""
    form = {Side.BOTH: "{}", Side.GONE: "[-{}-]", Side.NEW: "{{+{}+}}"}
    return [
        "".join(form[part.side].format("".join(word.text for word in part.words)) for part in each.parts)
        for each in diff.blocks
        if not each.is_same
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("It takes eight days.", "It takes seven days.", ["It takes [-eight-]{+seven+} days."]),
        ("Only in part. That is why.", "That is why.", ["[-Only in part. -]That is why."]),
        # One equal word between two changes joins them ...
        ("We use a plain rule: more.", "Our rule is plain: more.", ["[-We use a plain rule-]{+Our rule is plain+}: more."]),
        # ... but never across a sentence's end, and two words keep them apart.
        ("Rooms are red. Go on then now.", "Rooms are blue. Run on then now.", ["Rooms are [-red-]{+blue+}. [-Go-]{+Run+} on then now."]),
        ("a red big room b c", "a blue big room d c", ["a [-red-]{+blue+} big room [-b-]{+d+} c"]),
        # A mark or an address is part of a word: who adds one sees it.
        ("a b c d e", "a **b** c d e", ["a [-b-]{+b+} c d e"]),
        ("see [here](x) for more", "see [here](y) for more", ["see [-here-]{+here+} for more"]),
        # Items of lists and rows of tables come and go by themselves.
        ("- one\n- two and a half\n", "- two and a bit\n", ["[-one-]", "two and a [-half-]{+bit+}"]),
        ("|a|b|\n|-|-|\n|x|yes|\n", "|a|b|\n|-|-|\n|x|no|\n", ["x\t[-yes-]{+no+}"]),
        ("|a|b|\n|-|-|\n|x y|z|\n", "|a|b|\n|-|-|\n|x|y z|\n", ["[-x y\tz-]", "{+x\ty z+}"]),
        ("Same words here.", "## Same words here.", ["[-Same words here.-]", "{+Same words here.+}"]),
        ("Something else altogether.", "No word of it.", ["[-Something else altogether.-]", "{+No word of it.+}"]),
        ("```\na = 1\nb = 2\n```", "```\na = 1\nb = 3\n```", ["a = 1\nb = [-2-]{+3+}"]),
        ("\u56db\u4e2a\u623f\u95f4\u5f88\u5c0f", "\u4e94\u4e2a\u623f\u95f4\u5f88\u5c0f", ["[-\u56db-]{+\u4e94+}\u4e2a\u623f\u95f4\u5f88\u5c0f"]),
    ],
)  # fmt: skip
def test_edits_are_phrases_in_their_blocks(old: str, new: str, expected: list[str]) -> None:
    """What is gone and new is marked in phrases; blocks that have little in common are replaced."""
    assert marked(word_diff(clean_body(old), clean_body(new))) == expected


def test_words_and_edits_are_counted() -> None:
    """Words are counted, not white space and signs; words that are gone and those in their place are one edit."""
    diff = word_diff("One, two, three four five.\n\nGone here.\n", "One, too, three four - six!\n\n- New\n")
    assert (diff.edits, diff.count(Side.GONE), diff.count(Side.NEW)) == (4, 4, 3)
    hidden = word_diff("3. a\n", "4. a\n")
    assert (hidden.edits, hidden.is_same) == (0, False), "what Markdown does not show is no edit, and is not hidden"


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_from_a_difference(old: str, new: str) -> None:
    """Equal and new words make the blocks of the new text, equal and gone ones those of the old."""
    old, new = clean_body(old), clean_body(new)
    diff = word_diff(old, new)
    for text, side in ((old, Side.GONE), (new, Side.NEW)):
        sides = [(each, each.old if side is Side.GONE else each.new) for each in diff.blocks]
        ours = [(each, block) for each, block in sides if block is not None]
        assert tuple(block for _, block in ours) == parse_blocks(text)
        for each, block in ours:
            words = [word for part in each.parts if part.side in (Side.BOTH, side) for word in part.words]
            assert tuple(words) == block.words
    for each in diff.blocks:
        assert all(part.words or not each.block.words for part in each.parts)
        assert all(len([*run]) == 1 for _, run in groupby(part.side for part in each.parts))


HOSTILE = {
    "one word": ("a " * 60_000, "a b " * 30_000),
    "one letter": ("a" * 120_000, "b" * 120_000),
    "paragraphs": ("a b\n\n" * 24_000, "b a\n\n" * 24_000),
    "lists": ("- a\n" * 30_000, "- a\n- b\n" * 15_000),
    "brackets": ("[" * 120_000, "![ " * 40_000),
    "accents": ("a" + "\u0301" * 119_999, "b\u0301" * 60_000),
    "turned around": (" ".join(map(str, range(20_000))), " ".join(map(str, range(20_000, 0, -1)))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_long_hostile_texts_are_compared(name: str, processor_time: Clock) -> None:
    """No text makes a difference take long: a step whose time grows with the square of a length would take minutes."""
    began = processor_time()
    assert word_diff(*HOSTILE[name]).edits
    assert processor_time() - began < 20
