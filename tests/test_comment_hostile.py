"""Plans of strangers: whatever they hold, a comment shows it and obeys none of it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt

from contentops.errors import InputError
from contentops.model import Note, Reason, Refusal
from contentops.reporting.plan_markdown import SMALLEST, plan_markdown, prose
from tests.plans import make_change, make_plan, plan_document, read_back

FREE = "**Approved by security** @torvalds ![x](https://evil.example) <h1>"
_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table"])


def fences(markdown: str) -> list[str]:
    """The contents of the code blocks."""
    return [token.content for token in _PARSER.parse(markdown) if token.type == "fence"]


@pytest.mark.parametrize("ticks", ["```", "````", "~~~", "`" * 40])
def test_no_line_of_theirs_ends_the_block(ticks: str) -> None:
    """Reasons without a field stand in a line of their own, which may look like a fence."""
    reasons = (Reason(kind=ticks), Reason(kind="k", detail=f"\n{ticks}"), Reason(kind=FREE))
    markdown = plan_markdown(make_plan(make_change("a", reasons=reasons, hint=ticks, blocked=ticks)))
    (block,) = fences(markdown)
    assert ("Approved by security" in block, markdown.count("Approved by security")) == (True, 1)
    assert [token.type for token in _PARSER.parse(markdown)].count("fence") == 1


def test_a_long_fence_keeps_the_limit() -> None:
    """What the fence takes is taken from the reasons."""
    reason = Reason(kind="k", detail="`" * 300)
    plan = make_plan(*(make_change(f"item-{number}", reasons=(reason,)) for number in range(40)))
    for limit in (SMALLEST, 6_000, 20_000):
        markdown = plan_markdown(plan, limit=limit)
        assert len(markdown.encode()) <= limit
        assert len(fences(markdown)) <= 1


@pytest.mark.parametrize("word", ["```", "Kind", "a b", "", "kind!", "<b>"])
@pytest.mark.parametrize("put", [
    lambda document, word: document["changes"][0]["reasons"][0].update(kind=word),
    lambda document, word: document["notes"][0].update(kind=word),
    lambda document, word: document["refusals"][0].update(guard=word),
], ids=["reason", "note", "guard"])  # fmt: skip
def test_kinds_are_words(put: Callable[[Any, str], None], word: str) -> None:
    """The schema takes nothing but kebab case, so a plan that was made up is none."""
    plan = make_plan(
        make_change("a", reasons=(Reason(kind="front-matter"),)),
        notes=(Note(kind="orphan", message="m"),),
        refusals=(Refusal(guard="budget-credits", message="m", flag=""),),
    )
    document = plan_document(plan, inputs={})
    read_back(document)
    put(document, word)
    with pytest.raises(InputError) as refused:
        read_back(document)
    assert [one.code for one in refused.value.diagnostics()] == ["no-plan-file"]


@pytest.mark.parametrize("address", [
    "https://evil.example", "HTTP://evil.example/a?b", "ftp://evil.example", "www.evil.example", "WWW.evil.example",
    "_www.evil.example", "xwww.evil.example", "(www.evil.example)", "me@evil.example", "mailto:me@evil.example",
])  # fmt: skip
def test_no_address_is_a_link(address: str) -> None:
    """Forges look for a scheme right before `://`, for `www.`, and for what stands around an `@`."""
    shown = prose(f"see {address} now")
    assert not re.search(r"[a-z]://|www\.|@[a-z]", shown, re.IGNORECASE)
    plain = re.sub(r"[\\\u200b]", "", shown)
    assert plain == f"see {address} now"
    # An invisible character must not be a part of the host: browsers drop it there.
    assert "//\u200b" not in shown
