"""A body cut at its headings; a new text and a hand edit, merged: no words of a person are lost."""

import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.documents.clean import clean_body
from contentops.documents.word_diff import Renewed, take_new
from contentops.sections import Key, cut
from tests.running import Clock, examples

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


# --- merged ---

WAS = "Hello.\n\n## Prices\n\nTen.\n\n## Places\n\nHere.\n\n## Times\n\nNow.\n"
NEW = "Hi.\n\n## Prices\n\nTwelve.\n\n## Places\n\nThere.\n\n## Times\n\nThen.\n"


def renewed_from(base: str, edited: str, new: str) -> Renewed:
    """What is made of a new text and an edited one."""
    renewed = take_new(base, edited, new)
    assert renewed is not None
    return renewed


@pytest.mark.parametrize(("edited", "body", "headings"), [
    (WAS, NEW, []),
    (WAS.replace("Ten.", "Eleven."), NEW.replace("Twelve.", "Eleven."), ["Prices"]),
    (WAS.replace("Hello.", "Dear all."), NEW.replace("Hi.", "Dear all."), [""]),
    (WAS.replace("## Places\n\nHere.\n\n", ""), NEW.replace("## Places\n\nThere.\n\n", ""), ["Places"]),
    (WAS.replace("## Places", "## Where"), NEW.replace("## Places\n\nThere.", "## Where\n\nHere."), ["Where", "Places"]),
    (WAS + "\n## More\n\nMine.\n", NEW + "\n## More\n\nMine.\n", ["More"]),
    ("Hello.\n\n## Times\n\nNow.\n\n## Prices\n\nTen.\n\n## Places\n\nHere.\n", "Hi.\n\n## Times\n\nNow.\n\n## Prices\n\nTwelve.\n\n## Places\n\nThere.\n", ["Times"]),
], ids=["nothing", "touched", "before the first heading", "removed", "renamed", "added", "moved"])  # fmt: skip
def test_what_a_person_made_stays(edited: str, body: str, headings: list[str]) -> None:
    """Every other section comes from the new text, and what was not taken is told."""
    renewed = renewed_from(WAS, edited, NEW)
    assert (renewed.body, [each.key.heading for each in renewed.kept]) == (body, headings)
    assert all(each.new == "" or each.new.strip() in NEW for each in renewed.kept)


@pytest.mark.parametrize(("edited", "new", "body"), [
    (
        WAS.replace("Here.", "Right here."),
        "Hi.\n\n## Prices\n\nTwelve.\n\n### Discounts\n\nNone.\n\n## Times\n\nThen.\n",
        "Hi.\n\n## Prices\n\nTwelve.\n\n### Discounts\n\nNone.\n\n## Places\n\nRight here.\n\n## Times\n\nThen.\n",
    ),
    (
        WAS.replace("Here.", "Right here."),
        "Hi.\n\n## Prices\n\nTwelve.\n\n## Other\n\nNew.\n\n## Times\n\nThen.\n",
        "Hi.\n\n## Prices\n\nTwelve.\n\n## Places\n\nRight here.\n\n## Other\n\nNew.\n\n## Times\n\nThen.\n",
    ),
    (WAS.replace("Ten.", "Eleven."), "Hi.\n\n## Times\n\nThen.\n\n## Prices\n\nTwelve.\n", "Hi.\n\n## Times\n\nThen.\n\n## Prices\n\nEleven.\n"),
], ids=["lacking in the new text", "before a new one of its level", "in the order of the new text"])  # fmt: skip
def test_where_a_kept_section_stands(edited: str, new: str, body: str) -> None:
    """Behind the one it followed, with only what lies below that one between them."""
    assert renewed_from(WAS, edited, new).body == body


PARAGRAPHS = st.sampled_from([f"{word} {number}\n\n" for word in ("one", "two") for number in range(4)])
HEADS = st.sampled_from(["# A\n\n", "## B\n\n", "## B\n", "C\n---\n\n", "## D\n\n", "### E\n", "### F\n\n"])
SECTIONS = st.tuples(HEADS, st.lists(PARAGRAPHS, max_size=3).map("".join)).map("".join)
TIDY = st.tuples(st.lists(PARAGRAPHS, max_size=2).map("".join), st.lists(SECTIONS, max_size=5).map("".join)).map(
    "".join
)
WILD = st.lists(st.sampled_from([*HOSTILE.split("\n"), "x", "y", "z"]), max_size=14).map("\n".join)
PLAIN = st.lists(st.sampled_from("abcdef"), max_size=6).map("\n\n".join)
BODIES = (TIDY | WILD | PLAIN).map(clean_body)


@st.composite
def edits(draw: st.DrawFn, number: int) -> tuple[str, ...]:
    """A text, and others that were made of it by taking lines away, putting in others and moving sections."""
    base = draw(BODIES)
    return (base, *(draw(BODIES | edited(base)) for _ in range(number)))


@st.composite
def edited(draw: st.DrawFn, base: str) -> str:
    """`base` after a few changes of a person."""
    sections = [section.text for section in cut(base)]
    if draw(st.booleans()):
        sections = draw(st.permutations(sections))
    lines = "".join(sections).split("\n")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines)))
        lines[at : at + draw(st.integers(0, 3))] = draw(
            st.lists(st.sampled_from(["p", "q", "## Q", "", "r"]), max_size=3)
        )
    return clean_body("\n".join(lines))


def lines(*texts: str) -> Counter[str]:
    """How often some texts have each line with words."""
    return Counter(line.strip() for text in texts for line in text.split("\n") if line.strip())


def paragraphs(*texts: str) -> Counter[str]:
    """How often some texts have each paragraph with words; a heading ends one."""
    pieces = (piece.strip() for text in texts for section in cut(text) for piece in section.text.split("\n\n"))
    return Counter(piece for piece in pieces if any(map(str.isalnum, piece)))


@settings(max_examples=examples(100))
@given(edits(2))
def test_no_line_of_a_person_is_lost_to_a_new_text(texts: tuple[str, str, str]) -> None:
    """All that the edited text has more than the generated one stands in the result, or there is none."""
    base, mine, new = texts
    renewed = take_new(base, mine, new)
    assert take_new(base, mine, new) == renewed
    if renewed is not None:
        assert lines(mine) - lines(base) <= lines(renewed.body)
        assert lines(renewed.body) <= lines(mine, new)
        assert paragraphs(renewed.body) <= paragraphs(mine, new)
        assert clean_body(renewed.body) == renewed.body
    else:
        assert any(sign in mine + new for sign in ("```", "~~~", "<"))


def test_long_texts_take_time_as_they_have_length(processor_time: Clock) -> None:
    """A merge of many sections, of which a person changed every second one.

    In the square of the length, eight times as much takes 64 times.
    """

    def text(number: int, mine: str, end: str) -> str:
        return "\n".join(
            f"## Part {at}\n\nWords.\n\n{mine if at % 2 == 0 else ''}{at}\n{end}\n" for at in range(number)
        )

    def seconds(number: int) -> float:
        began = processor_time()
        take_new(text(number, "", ""), text(number, "Mine. ", ""), text(number, "", "New."))
        return processor_time() - began

    assert seconds(1000) < 30 * max(seconds(125), 0.02)
