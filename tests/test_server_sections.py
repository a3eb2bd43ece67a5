"""Finding and replacing one section of a Markdown text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.server import contents

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
    found = contents.find_section(TEXT, name)
    assert found is not None
    assert found.heading == "Why now"
    assert contents.body(TEXT, found) == "reasons\n\n```sh\n## not a heading\n```\n\n### Deeper\n\nmore"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("Deeper", "more", id="inner"),
        pytest.param("R&D {it}", "last", id="escapes"),
    ],
)
def test_other_sections(name: str, text: str) -> None:
    """An inner section ends at any higher heading; escapes in a heading do not matter."""
    found = contents.find_section(TEXT, name)
    assert found is not None
    assert contents.body(TEXT, found) == text


@pytest.mark.parametrize("name", ["not a heading", "not a heading: front matter", "Why", "intro"])
def test_what_is_no_heading_is_not_found(name: str) -> None:
    """Lines in fences and front matter are no headings, nor is a part of one."""
    assert contents.find_section(TEXT, name) is None


def test_replacing_changes_only_the_section() -> None:
    """The new words stand between blank lines; the rest of the text is as it was."""
    found = contents.find_section(TEXT, "Why now")
    assert found is not None
    new = contents.replace_section(TEXT, found, "\nnew words\n")
    head, tail = TEXT.split("## Why now ##", maxsplit=1)[0], TEXT[TEXT.index("## R") :]
    assert new == f"{head}## Why now ##\n\nnew words\n\n{tail}"
    last = contents.find_section(new, "R&D {it}")
    assert last is not None
    assert contents.replace_section(new, last, "end").endswith("## R\\&D {it}\n\nend\n")
    assert contents.find_section("## R&amp;D &#123;it&#125;\n\nlast\n", "R&D {it}") is not None
    empty = contents.replace_section(TEXT, found, "\n\n")
    assert empty == f"{head}## Why now ##\n\n{tail}"


def test_an_open_fence_hides_the_rest() -> None:
    """A fence that is never closed runs to the end; a shorter or other mark does not close it."""
    text = "````\n```\n~~~\n## A\n"
    assert contents.find_section(text, "A") is None
    assert contents.find_section("````\n`````\n## A\n", "A") is not None
    assert contents.find_section("---\nno end\n## A\n", "A") is not None


@given(st.lists(st.sampled_from(["# A", "## B", "### B", "x", "```", "", "---"]), max_size=12), st.text(max_size=20))
def test_replacing_keeps_everything_outside(lines: list[str], new: str) -> None:
    """For any text: lines before and after the section are kept, and the section holds the new words."""
    text = "\n".join(lines)
    found = contents.find_section(text, "B")
    if found is None:
        return
    result = contents.replace_section(text, found, new.replace("\r", " ")).split("\n")
    assert result[: found.start] == lines[: found.start]
    after = lines[found.end :]
    assert result[len(result) - len(after) :] == after


@pytest.mark.parametrize(
    ("text", "level", "nested"),
    [
        pytest.param("words", 2, "words", id="plain"),
        pytest.param("# A\n## B\n# C", 2, "### A\n#### B\n### C", id="order-of-depth"),
        pytest.param("#### A", 2, "#### A", id="deep-enough"),
        pytest.param("# A\n#\n## B", 5, "###### A\n######\n**B**", id="no-room"),
        pytest.param("# A\n#\n## B", 6, "**A**\n\n**B**", id="none-at-all"),
        pytest.param("Title\n===\nSub\n-", 1, "## Title\n\n### Sub\n", id="underlined"),
        pytest.param("- item\n---\n\n---\n> quote\n===", 1, "- item\n---\n\n---\n> quote\n===", id="rules-and-lists"),
        pytest.param("```\n# code\n===\n", 2, "```\n# code\n===\n\n```", id="open-fence"),
        pytest.param("---\na: 1\n---\n# A", 2, "#### a: 1\n\n### A", id="front-matter"),
        pytest.param("---\n", 2, "", id="nothing"),
        pytest.param("# A\r\nb", 1, "## A\nb", id="line-ends"),
    ],
)
def test_texts_are_made_to_fit_under_a_heading(text: str, level: int, nested: str) -> None:
    """Headings go below the one above them, in their own order; what would reach beyond the section is closed."""
    assert contents.nested(text, level) == nested


@given(st.text(st.sampled_from("#`~=-+>* \n\tab1."), max_size=40), st.integers(1, 6))
def test_no_text_breaks_out_of_its_section(text: str, level: int) -> None:
    """Whatever is put into a section, the sections around it are found with their texts as they were."""
    marks = "#" * level
    whole = f"{marks} First\n\none\n\n{marks} Second\n\ntwo\n\n{marks} Third\n\nthree\n"
    second = contents.find_section(whole, "Second")
    assert second is not None
    assert second.level == level
    after = contents.replace_section(whole, second, contents.nested(text, level))
    for heading, body in (("First", "one"), ("Third", "three")):
        found = contents.find_section(after, heading)
        assert found is not None
        assert contents.body(after, found) == body
