"""Texts that differ in nothing but typography, and headings that give a text its title."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.documents.sections import headings, main_heading
from contentops.documents.typography import plain, words_digest

SAME = {
    "quotes": ('"It\'s"', "\u201cIt\u2019s\u201d"),
    "dots": ("Well...", "Well\u2026"),
    "dashes": ("so -- there", "so \u2014 there"),
    "trailing blanks": ("one  \ntwo", "one\ntwo"),
    "doubled blanks": ("one  two", "one two"),
    "blanks that do not break": ("one\u00a0two", "one two"),
    "empty lines": ("one\n\n\n\ntwo\n\n", "one\n\ntwo"),
    "line endings": ("one\r\ntwo", "one\ntwo"),
    "entities": ("R&D <b>", "R&amp;D &lt;b&gt;"),
    "composed letters": ("caf\u00e9", "cafe\u0301"),
}
OTHER = {
    "word": ("one two", "one too"),
    "comma": ("one, two", "one two"),
    "case": ("One", "one"),
    "paragraph": ("one\ntwo", "one\n\ntwo"),
    "joined lines": ("one\ntwo", "one two"),
    "exponent": ("x\u00b2", "x2"),
    "nothing": ("one", ""),
    "heading": ("# One", "## One"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_the_same_words(one: str, other: str) -> None:
    """What servers do to a text on their own leaves it the same words."""
    assert words_digest(one) == words_digest(other)


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_other_words(one: str, other: str) -> None:
    """What only a person would change makes it another text."""
    assert words_digest(one) != words_digest(other)


@pytest.mark.parametrize("text", [f"&#{'9' * 5000};", "&" * 50_000, "&#xD800;", "-" * 100_000], ids=len)
def test_hostile_texts(text: str) -> None:
    """No text is too strange to be compared."""
    assert words_digest(text) == words_digest(f"{text}  \n")


@given(st.text(alphabet="ab'\"-. \n\u2019\u201c\u2014\u2026\u00a0"))
def test_plain_text_stays_plain(text: str) -> None:
    """Making plain what is plain changes nothing."""
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("# One\n\nText.\n", "One"),
        ("Text.\n\n## Two\n\n# One #\n", "One"),
        ("```sh\n# a comment\n```\n\n# One\n", "One"),
        ("   # One ##\n", "One"),
        ("    # code\n", ""),
        ("#One\n#\n# \n", ""),
        ("# C#\n", "C#"),
        ("# #\n# One\n", "One"),
        ("## Two\n", ""),
        ("", ""),
    ],
)
def test_the_main_heading(body: str, title: str) -> None:
    """The first heading of the first level, fenced and indented code left out."""
    assert main_heading(body) == title


def test_a_heading_of_a_million_blanks() -> None:
    """The time it takes grows with the length of the line alone."""
    assert main_heading(f"# a{' ' * 1_000_000}b #\n").endswith("b")
    assert headings("# One\n## Two\n") == ("One", "Two")
