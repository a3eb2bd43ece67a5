"""A body cut at its headings, and the heading that gives a text its title."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.sections import Key, cut

HOSTILE = """\
# One
## Two
## Two
###
Title
===
---

text
```
~~~
    # code
> # quoted
- # listed
  text in a list
<!--
-->
<div>
</div>
[a]: b
"""
LINES = st.sampled_from([*HOSTILE.split("\n"), "\t", "### ", "\u2028# x", "# a\x0c", "x  ", "\r"])


def test_sections_have_an_identity() -> None:
    """Level, heading, and which of several equal ones; the text before the first heading is one too."""
    sections = cut("Hello.\n\n## Tips\n\na\n## Tips ##\nb\n\nTips\n----\n```\n## Tips\n```\n# Tips\n")
    assert [section.key for section in sections] == [
        Key(0, "", 1), Key(2, "Tips", 1), Key(2, "Tips", 2), Key(2, "Tips", 3), Key(1, "Tips", 1),
    ]  # fmt: skip
    assert [section.text for section in sections] == [
        "Hello.\n\n", "## Tips\n\na\n", "## Tips ##\nb\n\n", "Tips\n----\n```\n## Tips\n```\n", "# Tips\n",
    ]  # fmt: skip
    assert cut("") == ()


@given(st.lists(LINES).map("\n".join) | st.text())
def test_sections_join_to_the_body(body: str) -> None:
    """No byte is lost or written anew, and no two sections are the same one."""
    sections = cut(body)
    assert "".join(section.text for section in sections) == body
    assert len({section.key for section in sections}) == len(sections)
    assert all(section.text for section in sections)


@pytest.mark.parametrize("piece", [
    "## A heading\n\n" + "some words on a line\n" * 10, "a\n=\n", "[a\n", "> - a\n\n", "- a\n\n  b\n", "<!--\n",
    "> a\nb\n", "`\n```\n", "\\\n" + "> " * 40 + "- " * 40 + "a\n",
])  # fmt: skip
def test_twice_the_size_takes_twice_the_steps(piece: str) -> None:
    """Texts meant to be slow are not: the parser's steps grow with the size alone."""
    small, large = (_steps(piece * times) for times in (40, 80))
    assert large < 3 * small


def _steps(body: str) -> int:
    """How many calls finding the sections takes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    cut("")
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        cut(body)
    finally:
        sys.setprofile(before)
    return calls
