"""What a reader approves, merges or regenerates is all of the text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contentops.documents.blocks import parse_blocks
from contentops.documents.checks import CheckedText, check_text
from contentops.documents.clean import clean_body
from contentops.documents.front_edits import update
from contentops.documents.front_matter import split
from contentops.documents.word_diff import word_diff
from contentops.errors import InputError
from contentops.model import Checks, Level
from contentops.reporting.prose import prose
from contentops.sections import MAX_NESTING, nests_too_deep
from tests.test_approving import decide, states, with_approval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentops.documents.blocks import TextBlock

PIECES = (
    "W", "W W", "# W", "W\n===", "> W", "> > W", "- W", "  - W", "    - W", "1. W", "- [ ] W", "- [x] W", "    W", "**W** *W* ~~W~~ `W`",
    "[W](W)", '[W W](W "W")', "[](W)", '![W](W "W")', "<W>", "<div W>W</div>", "<!-- W -->", "<!--\n\nW", "W[^W]", "[^W]: W", "[^W]: W W",
    "[W]: W", '[W]: W "W"', "[W][W]", "```W W\nW\n```", "~~~ W\nW", "| W | W |\n|---|---|\n| W | W | W |", "> | W |\n> |---|\n> | W | W", "&amp;W",
    "W | W\n--|--\nW | W | W | W |", "---", "<b>W</b> W", "<https://W>", "- - - W", "> - W", "W  \nW", "\\W", "W\\\nW",
)  # fmt: skip
SOURCES = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(("\n", "\n\n"))), max_size=12)


def words_of(block: TextBlock) -> Iterator[str]:
    """All that a block holds, in the order of its source: words, then the address and title around them."""
    seen: list[object] = []
    for word in block.words:
        styles = [style for style in word.styles if style.address or style.title]
        for ended in [style for style in seen if style not in styles]:
            yield f"{ended.address} {ended.title}"
        seen = styles
        yield word.text
    yield from (f"{style.address} {style.title}" for style in seen)


@given(SOURCES)
@example([(f"{'  ' * depth}- W", "\n") for depth in range(MAX_NESTING // 2 - 2)] + [("W", "\n")])
def test_blocks_hold_the_words_of_the_source_in_order(pieces: list[tuple[str, str]]) -> None:
    """No word of a text is left out, whatever Markdown is around it; addresses and titles are there too."""
    numbers = iter(range(10_000))
    body = clean_body(re.sub("W", lambda _: f"w{next(numbers)}w", "".join(map("".join, pieces))))
    found = re.findall(r"w\d+w", " ".join(part for block in parse_blocks(body) for part in words_of(block)))
    assert list(dict.fromkeys(found)) == re.findall(r"w\d+w", body)


@pytest.mark.parametrize("opener", ["- ", "> ", "1. ", "> - "])
def test_a_text_beyond_the_bound_is_known(opener: str) -> None:
    """What is nested so deeply that the parser would drop it is known as such; all that is less deep is read."""
    deep = [f"{opener * depth}w\n\nlast\n" for depth in range(1, MAX_NESTING + 5)]
    whole = ["".join(word.text for block in parse_blocks(body) for word in block.words) == "wlast" for body in deep]
    known = [nests_too_deep(body) for body in deep]
    assert not any(known[: MAX_NESTING // 4])
    assert all(known[MAX_NESTING:])
    assert all(one or other for one, other in zip(whole, known, strict=True))


def test_a_text_beyond_the_bound_is_refused_by_name(tmp_path: Path, processes: None) -> None:
    """It is not approved, and no section of it and no merge with it is paid for: the parser would leave out the rest."""
    harness = with_approval(tmp_path)
    harness.write(
        "out/one.md", harness.read("out/one.md") + "\n" + "> " * MAX_NESTING + "deep\n\nA person wrote this.\n"
    )
    with pytest.raises(InputError) as refused:
        decide(harness, "one")
    assert [one.code for one in refused.value.diagnostics()] == ["unreadable-file"]
    (change,) = harness.plan().changes
    assert (change.blocked, "flatten them" in change.hint, change.submits_worst) == ("unreadable-file", True, 0)
    assert states(harness) == {"one": "none"}


# --- front matter in any letters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["Title", "TITLE", "Draft", "sLug", "Contentops"])
def test_a_key_in_other_letters_is_the_same_key(key: str) -> None:
    """A second one is an error of the file; the first one is edited, whatever its letters are."""
    twice = f"---\n{key}: a\n{key.lower()}: b\n---\n\nx\n"
    assert f"`{key}` and `{key.lower()}`" in split(twice).problem
    once = update(f"---\n{key}: a\n---\n\nx\n", {key.lower(): "b"})
    assert once == f"---\n{key.lower()}: b\n---\n\nx\n"


def test_a_title_is_read_in_any_letters(tmp_path: Path, processes: None) -> None:
    """What a site shows as the title is approved as the title."""
    harness = with_approval(tmp_path)
    decide(harness, "one")
    harness.edit("out/one.md", "title:", "Title:")
    assert split(harness.read("out/one.md")).title == "On All about one in 2026"
    assert states(harness) == {"one": "approved"}
    harness.edit("out/one.md", "On All about one in 2026", "Another title")
    assert states(harness) == {"one": "changed"}


def test_a_second_title_is_named_by_plan_and_approve(tmp_path: Path, processes: None) -> None:
    """No one approves a text under whose title a site shows another one."""
    harness = with_approval(tmp_path)
    harness.edit("out/one.md", "draft: true\n", "draft: true\nTitle: Another one\n")
    with pytest.raises(InputError) as refused:
        decide(harness, "one")
    assert "`title` and `Title`" in refused.value.diagnostics()[0].message
    (change,) = harness.plan().changes
    assert (change.blocked, "`title` and `Title`" in change.hint) == ("unreadable-file", True)


# --- what Markdown does not show as words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("```sh\na\n```", "```yaml run\na\n```", "yaml run"),
        ('[a](/b "c")', '[a](/b "d")', "\u201cd\u201d"),
        ('![a](/b "c")', '![a](/b "d")', "\u201cd\u201d"),
        ("a [](/b)", "a [](/c)", "[link without words: <code>/c</code>]"),
        ("a", "a [](/c)", "[link without words: <code>/c</code>]"),
        ("a[^1]\n\n[^1]: b", "a[^1]\n\n[^1]: c", "[^1]:"),
        ("[a][b]\n\n[b]: /c", "[a][b]\n\n[b]: /d", "[b]: /"),
        ("- [ ] a", "- [x] a", "x"),
        ("a <b>c</b>", "a <i>c</i>", "&lt;i&gt;"),
        ("a &lt;b&gt;", "a <b>", "<code>&lt;b&gt;</code>"),
        ("<!-- a -->", "<!-- b -->", "b"),
        ("|a|\n|-|\n|b|c|", "|a|\n|-|\n|b|d|", "d"),
    ],
)
def test_a_change_that_a_site_hides_is_shown(old: str, new: str, shown: str) -> None:
    """A reader sees each of them on the page, as text and as a change."""
    diff = word_diff(clean_body(old), clean_body(new))
    assert diff.edits
    assert shown in "".join(part.html for part in prose(diff))
    assert shown in "".join(part.html for part in prose(word_diff(clean_body(new), clean_body(new))))


def test_a_footnote_is_no_broken_link() -> None:
    """Its words are no path; the target of a definition still is one."""
    body = "a[^1] [b]\n\n[^1]: Words of a note.\n[b]: gone.md\n"
    found = check_text(Checks(links=Level.BLOCK), CheckedText(title="", body=body), lambda _: False)
    assert [(one.line, "`gone.md`" in one.message) for one in found] == [(4, True)]
