"""Titles and bodies are cleaned once, and compared by what is left."""

import pytest

from contentops.documents.clean import clean_body, clean_title


@pytest.mark.parametrize(("text", "clean"), [
    pytest.param("", "", id="empty"),
    pytest.param(" \n\t\r\n", "", id="only white space"),
    pytest.param("\x00\x1b\ufeff", "", id="only controls"),
    pytest.param("\u200b \u2060\n\u3164\ufe0f\u2800", "", id="only characters that no one sees"),
    pytest.param("\u200b!\n", "\u200b!\n", id="a sign is text"),
    pytest.param("a", "a\n", id="final newline added"),
    pytest.param("a\n\n \t\n", "a\n", id="blank lines behind dropped"),
    pytest.param("\n \n    code\n", "    code\n", id="blank lines before dropped, indent kept"),
    pytest.param("a  \nb  \n\n", "a  \nb  \n", id="trailing spaces kept"),
    pytest.param("a\r\nb\rc\n", "a\nb\nc\n", id="line endings"),
    pytest.param("\ufeffa\n", "a\n", id="byte order mark"),
    pytest.param("a\x1b[31mred\x07\x9b0m\x7f\x00\tb", "a[31mred0m\tb\n", id="terminal escapes"),
    pytest.param("a\u202eb\u2066c\u2069", "abc\n", id="direction marks"),
    pytest.param("a\u202eb\x85é", "abé\n", id="not only ASCII"),
    pytest.param("\ud83dx", "\ufffdx\n", id="lone surrogate"),
    pytest.param("👩\u200d💻 \u200f", "👩\u200d💻 \u200f\n", id="joiners and plain direction marks kept"),
    pytest.param("a\u2028b\u00a0c", "a\u2028b\u00a0c\n", id="other Unicode spaces kept"),
    pytest.param("---\na: b\n---\n", "---\na: b\n---\n", id="fences are text"),
])  # fmt: skip
def test_clean_body(text: str, clean: str) -> None:
    """A body keeps its words and Markdown's spaces, and loses what could deceive."""
    assert clean_body(text) == clean


@pytest.mark.parametrize(("text", "clean"), [
    pytest.param("", "", id="empty"),
    pytest.param("  Part 1:\n\tintro\u2028 end ", "Part 1: intro end", id="one line"),
    pytest.param("a\x00b\x1b[0mc\u202ed\ufeff", "ab[0mcd", id="controls"),
    pytest.param("a\x85b\x0bc", "a b c", id="control line breaks part words"),
    pytest.param("Qui\u202f? Moi\u00a0!\u00a0", "Qui\u202f? Moi\u00a0!", id="no-break spaces"),
    pytest.param("\u3000お茶\u3000\u3000の\u2003 時間", "お茶\u3000\u3000の 時間", id="ideographic spaces"),
    pytest.param("\udc00", "\ufffd", id="lone surrogate"),
    pytest.param("x" * 300, "x" * 300, id="as long as allowed"),
    pytest.param("x" * 301, "x" * 299 + "…", id="too long"),
    pytest.param("x" * 298 + " yy", "x" * 298 + "…", id="no space before the ellipsis"),
])  # fmt: skip
def test_clean_title(text: str, clean: str) -> None:
    """A title is one line of limited length."""
    assert clean_title(text) == clean
