"""Headings that give a text its title."""

from __future__ import annotations

import pytest

from contentops.documents.clean import headings, main_heading


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
