"""Lines fitted to a terminal."""

from __future__ import annotations

import pytest

from contentops.reporting.layout import fitted


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        pytest.param("one two three four", ["one two", "three four"], id="plain"),
        pytest.param("  one two three", ["  one two", "  three"], id="indented"),
        pytest.param("  + one two three", ["  + one two", "    three"], id="after a sign"),
        pytest.param(
            "  \x1b[32m+\x1b[0m one two three", ["  \x1b[32m+\x1b[0m one two", "    three"], id="after a painted sign"
        ),
        pytest.param("a one two three", ["a one two", "three"], id="a word at the start is no sign"),
        pytest.param("and see `a b c` now", ["and see", "`a b c` now"], id="whole"),
    ],
)
def test_lines_break_between_words(line: str, lines: list[str]) -> None:
    """What follows stands under the first word, behind a sign if there is one; what is to be copied stays whole."""
    assert fitted(line, 12) == "\n".join(lines)
    assert fitted(line, 0) == line
