"""Finding and replacing one section of a Markdown text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.local import sections

TEXT = """---
# not a heading: front matter
title: x
---

intro

## Why now ##

reasons

```sh
## not a heading
```

### Deeper

more

## R\\&D {it}

last
"""


@pytest.mark.parametrize("name", ["Why now", "  why   NOW ", "## Why now", "# Why now #"])
def test_a_section_runs_to_the_next_heading_of_its_level(name: str) -> None:
    """Whatever the case, spaces or marks of the name; deeper headings and fences belong to it."""
    found = sections.find(TEXT, name)
    assert found is not None
    assert found.heading == "Why now"
    assert sections.body(TEXT, found) == "reasons\n\n```sh\n## not a heading\n```\n\n### Deeper\n\nmore"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("Deeper", "more", id="inner"),
        pytest.param("R&D {it}", "last", id="escapes"),
    ],
)
def test_other_sections(name: str, text: str) -> None:
    """An inner section ends at any higher heading; escapes in a heading do not matter."""
    found = sections.find(TEXT, name)
    assert found is not None
    assert sections.body(TEXT, found) == text


@pytest.mark.parametrize("name", ["not a heading", "not a heading: front matter", "Why", "intro"])
def test_what_is_no_heading_is_not_found(name: str) -> None:
    """Lines in fences and front matter are no headings, nor is a part of one."""
    assert sections.find(TEXT, name) is None


def test_replacing_changes_only_the_section() -> None:
    """The new words stand between blank lines; the rest of the text is as it was."""
    found = sections.find(TEXT, "Why now")
    assert found is not None
    new = sections.replace(TEXT, found, "\nnew words\n")
    head, tail = TEXT.split("## Why now ##", maxsplit=1)[0], TEXT[TEXT.index("## R") :]
    assert new == f"{head}## Why now ##\n\nnew words\n\n{tail}"
    last = sections.find(new, "R&D {it}")
    assert last is not None
    assert sections.replace(new, last, "end").endswith("## R\\&D {it}\n\nend\n")
    empty = sections.replace(TEXT, found, "\n\n")
    assert empty == f"{head}## Why now ##\n\n{tail}"


def test_an_open_fence_hides_the_rest() -> None:
    """A fence that is never closed runs to the end; a shorter or other mark does not close it."""
    text = "````\n```\n~~~\n## A\n"
    assert sections.find(text, "A") is None
    assert sections.find("````\n`````\n## A\n", "A") is not None
    assert sections.find("---\nno end\n## A\n", "A") is not None


@given(st.lists(st.sampled_from(["# A", "## B", "### B", "x", "```", "", "---"]), max_size=12), st.text(max_size=20))
def test_replacing_keeps_everything_outside(lines: list[str], new: str) -> None:
    """For any text: lines before and after the section are kept, and the section holds the new words."""
    text = "\n".join(lines)
    found = sections.find(text, "B")
    if found is None:
        return
    result = sections.replace(text, found, new.replace("\r", " ")).split("\n")
    assert result[: found.start] == lines[: found.start]
    after = lines[found.end :]
    assert result[len(result) - len(after) :] == after
