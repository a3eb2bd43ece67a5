"""Finding and replacing one section of a Markdown text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.sections import bare, cut, spans
from contentops.server import contents

TEXT = """intro

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


def test_replacing_changes_only_the_section() -> None:
    """The new words stand between blank lines; the rest of the text is as it was."""
    span = contents.find_section(TEXT, "Why now")
    assert span is not None
    new = contents.replace_section(TEXT, span, "\nnew words\n")
    head, tail = TEXT.split("## Why now ##", maxsplit=1)[0], TEXT[TEXT.index("## R") :]
    assert new == f"{head}## Why now ##\n\nnew words\n\n{tail}"
    last = contents.find_section(new, "R&D {it}")
    assert last is not None
    assert contents.replace_section(new, last, "end").endswith("## R\\&D {it}\n\nend\n")
    assert contents.find_section("## R&amp;D &#123;it&#125;\n\nlast\n", "R&D {it}") is not None
    empty = contents.replace_section(TEXT, span, "\n\n")
    assert empty == f"{head}## Why now ##\n\n{tail}"


PRICES = "## Prices\n\nTen.\n\n## Refunds\n\nNone.\n"


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        pytest.param(f"## Intro\n\n``` b ``` begins this line\n\n{PRICES}", "Intro", id="code in a line"),
        pytest.param(f"Intro\n-----\n\nold\n\nPrices\n------\n\nTen.\n\n{PRICES}", "Intro", id="underlined"),
        pytest.param(f"Intro\nof two lines\n---\n\nold\n\n{PRICES}", "Intro of two lines", id="two lines"),
        pytest.param(f"## Intro\n\n<!--\n## Intro\n```\n-->\n\n{PRICES}", "Intro", id="comment"),
        pytest.param(f"<!--\n## Intro\n-->\n\n## Intro\n\nold\n\n{PRICES}", "Intro", id="comment before"),
        pytest.param(f"## Intro\n\n- ```\n  open in a list\n\n{PRICES}", "Intro", id="fence in a list"),
        pytest.param(f"---\n\n## Intro\n\nold\n\n---\n\n{PRICES}", "Intro", id="rules"),
        pytest.param(f"## Intro\r\n\r\n```\r\n# x\r\n```\r\n{PRICES}", "Intro", id="line ends"),
    ],
)
def test_only_the_section_is_replaced(text: str, heading: str) -> None:
    """Whatever Markdown is around it: the sections after it are there, byte for byte."""
    span = contents.find_section(text, heading)
    assert span is not None
    after = contents.replace_section(text, span, "new words")
    rest = [section for section in cut(text) if section.key.heading != heading]
    assert [section for section in cut(after) if section.key.heading != heading] == rest
    assert contents.body(after, spans(after, heading)[0]) == "new words"


LINES = st.sampled_from(
    [
        *("# A", "## B", "### B", "x", "```", "``` x ``` y", "~~~~", "", "---", "===", "Title", "- item", "> quote"),
        *("<!-- x", "-->", "<div>", "<pre>", "    code", "* * *", "1. one", "  ## B ##", "<!X", "<?x", "[a]: b"),
    ]
)
MARKDOWN = st.lists(LINES, max_size=14).map("\n".join)


@given(MARKDOWN, MARKDOWN | st.text(max_size=20))
def test_server_and_client_cut_alike(text: str, new: str) -> None:
    """Of any text, each section that the client knows is the server's, and a new one leaves all others as they are."""
    seen = {""}
    for section in cut(text):
        name = section.key.heading
        if bare(name) in seen:
            continue  # a server takes the first of several
        seen.add(bare(name))
        span = contents.find_section(text, name)
        assert span is not None
        assert text[span.start : span.below] == section.text
        after = contents.replace_section(text, span, contents.nested(new, span.level))
        assert after.startswith(text[: span.text])
        assert after.endswith(text[span.end :])
        assert cut(after[: span.start]) == cut(text[: span.start])
        again = contents.find_section(after, name)
        assert again is not None
        assert (again.start, after[again.end :]) == (span.start, text[span.end :])


@pytest.mark.parametrize(
    ("text", "level", "nested"),
    [
        pytest.param("words", 2, "words", id="plain"),
        pytest.param("# A\n## B\n# C", 2, "### A\n#### B\n### C", id="order-of-depth"),
        pytest.param("#### A", 2, "#### A", id="deep-enough"),
        pytest.param("# A\n#\n## B", 5, "###### A\n######\n\n**B**", id="no-room"),
        pytest.param("# A\n#\n## B", 6, "**A**\n\n**B**", id="none-at-all"),
        pytest.param("Title\n===\nSub\n-", 1, "## Title\n\n### Sub\n", id="underlined"),
        pytest.param("- item\n---\n\n---\n> quote\n===", 1, "- item\n---\n\n---\n> quote\n===", id="rules-and-lists"),
        pytest.param("```\n# code\n===\n", 2, "```\n# code\n===\n\n```", id="open-fence"),
        pytest.param("<!-- note\n\n# A", 2, "<!-- note\n\n# A\n-->", id="open-comment"),
        pytest.param("<script>\n\n# A", 2, "<script>\n\n# A\n</script>", id="open-script"),
        pytest.param("# A\n===\nb", 6, "**A**\n\n===\nb", id="bold-over-a-rule"),
        pytest.param("---\na: 1\n---\n# A", 2, "#### a: 1\n\n### A", id="front-matter"),
        pytest.param("---\n", 2, "", id="nothing"),
        pytest.param("# A\r\nb", 1, "## A\nb", id="line-ends"),
    ],
)
def test_texts_are_made_to_fit_under_a_heading(text: str, level: int, nested: str) -> None:
    """Headings go below the one above them, in their own order; what would reach beyond the section is closed."""
    assert contents.nested(text, level) == nested


@given(st.text(st.sampled_from("#`~=-+>* \n\tab1.<!"), max_size=40) | MARKDOWN, st.integers(1, 6))
def test_no_text_breaks_out_of_its_section(text: str, level: int) -> None:
    """Whatever is put into a section, the sections around it are found with their texts as they were."""
    marks = "#" * level
    whole = f"{marks} First\n\none\n\n{marks} Second\n\ntwo\n\n{marks} Third\n\nthree\n"
    second = contents.find_section(whole, "Second")
    assert second is not None
    assert second.level == level
    after = contents.replace_section(whole, second, contents.nested(text, level))
    for heading, body in (("First", "one"), ("Third", "three")):
        span = contents.find_section(after, heading)
        assert span is not None
        assert contents.body(after, span) == body
