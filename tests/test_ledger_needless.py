"""What waits in the queue and is needless by now: withdrawn, so that no worker pays for it beside an apply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.processes import Served, blog

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ledgers import Checkout, Go

STAGE_SECONDS = 0.05
DEPOSIT = ("apply", "--detach", "--yes")
AGAIN = pytest.mark.parametrize("again", [DEPOSIT, ("apply", "--yes")], ids=["detached", "applied"])
MOVED = "moved: [{{from: {}, to: {}}}]\n"
PROMOTED = 'environments: {prod: {promote_from: default, output: "prod/{{ item.id }}.md"}}'


@AGAIN
@pytest.mark.parametrize("replaced", [False, True], ids=["a first attempt", "an extra attempt"])
def test_an_item_that_is_renamed_while_it_waits_is_paid_once(
    checkout: Checkout, go: Go, served: Served, again: tuple[str, ...], *, replaced: bool
) -> None:
    """Whoever submits it, under whichever name; also what was requested with `--replace`, beside the text before."""
    topic = f"{{}} ({len(again)} words, {replaced})"
    root, job, texts = checkout(topic, "a"), re.compile("  job: .*"), 1
    if replaced:
        go("apply", "--yes", cwd=root)
        go(*DEPOSIT, "--replace", "a", cwd=root)
        texts, first = 2, job.findall((root / "out/a.md").read_text())
    else:
        go(*DEPOSIT, cwd=root)
        first = []
    (root / "content/blog.yaml").write_text(MOVED.format("a", "b") + blog("b", topic=topic.format("a")))
    for command in (again, ("work", "--once"), ("apply", "--yes"), ("apply", "--yes")):
        go(*command, cwd=root)
    assert served.charges(topic.format("a")) == [topic.format("a")] * texts
    assert [path.name for path in (root / "out").iterdir()] == ["b.md"]
    assert job.findall((root / "out/b.md").read_text()) not in ([], first)
    assert go("queue", "--json").json["size"] == 0
    assert not go("plan", "--json", cwd=root).json["changes"]


def test_an_extra_attempt_is_left_to_those_who_asked_for_it(checkout: Checkout, go: Go, served: Served) -> None:
    """A checkout that stands at an older commit does not take it from them, and it is not paid for again."""
    old = checkout("{} (older)", "a", at="old")
    go("apply", "--yes", cwd=old)
    new = checkout("{} (newer)", "a", at="new")
    for path in ("contentops.lock", "out/a.md"):
        (new / path).parent.mkdir(exist_ok=True)
        (new / path).write_bytes((old / path).read_bytes())
    for command in (("apply", "--yes", "--approve-changes"), (*DEPOSIT, "--replace", "a"), ("work", "--once")):
        go(*command, cwd=new)
    assert served.charges("a (newer)") == ["a (newer)"] * 2
    assert not go("plan", "--json", cwd=old).json["changes"]
    go("apply", "--yes", cwd=old)
    (change,) = go("plan", "--json", cwd=new).json["changes"]
    assert (change["id"], change["action"], change["credits"]) == ("a", "finish", 0)
    go("apply", "--yes", cwd=new)
    assert served.charges("a (newer)") == ["a (newer)"] * 2


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_what_waits_for_a_text_that_was_promoted_meanwhile_is_withdrawn(
    checkout: Checkout, go: Go, served: Served, how: tuple[str, ...]
) -> None:
    """And what a worker brings all the same takes the place of no text that was reviewed."""
    topic, prod = f"(promoted{''.join(how)})", ("--env", "prod")
    root = checkout(f"{{}} {topic}", "a", "b", extra=PROMOTED)
    promote = ("apply", *prod, "--drafts", "--select", "a", "--yes", *how)  # the server writes outlines
    for command in ((*DEPOSIT, *prod, "--generate"), ("apply", "--yes"), promote, ("work", "--once")):
        go(*command, cwd=root)
    assert served.charges(f"a {topic}") == [f"a {topic}"]
    assert served.charges(f"b {topic}") == [f"b {topic}"] * 2
    left = go("plan", *prod, "--drafts", "--json", cwd=root).json["changes"]
    assert {(one["id"], one["action"], one["credits"]) for one in left} >= {("b", "promote", 0)}
    go("apply", *prod, "--drafts", "--yes", cwd=root)
    assert not go("plan", *prod, "--json", cwd=root).json["changes"]


def test_no_file_is_adopted_for_an_item_that_waits_for_its_text(checkout: Checkout, go: Go, served: Served) -> None:
    """A worker would pay for what no one needs by then; once it is taken out of the queue, the file is taken."""
    root = checkout("{} (adopted)", "a")
    go(*DEPOSIT, cwd=root)
    (root / "out").mkdir()
    (root / "out/a.md").write_text("A person's.\n")
    assert "contentops queue cancel a" in go("adopt", "out/a.md", "--yes", cwd=root, code=3).stderr
    for command in (("queue", "cancel", "a"), ("adopt", "out/a.md", "--yes"), ("work", "--once")):
        go(*command, cwd=root)
    assert not served.charges("(adopted)")


def _chain(topic: str) -> str:
    """`a` is called `b` now, and `b` is called `c`."""
    named = blog("b", "c", topic=topic).replace(topic.format("c"), "B!").replace(topic.format("b"), topic.format("a"))
    return "moved: [{from: a, to: b}, {from: b, to: c}]\n" + named.replace("B!", topic.format("b"))


def _exchange(topic: str) -> str:
    """Each asks for what the other one asked for."""
    named = blog("a", "b", topic=topic).replace(topic.format("a"), "A!").replace(topic.format("b"), topic.format("a"))
    return named.replace("A!", topic.format("b"))


@AGAIN
@pytest.mark.parametrize("change", [_chain, _exchange])
def test_what_waits_is_withdrawn_when_its_item_asks_for_something_else(
    checkout: Checkout, go: Go, served: Served, change: Callable[[str], str], again: tuple[str, ...]
) -> None:
    """Two texts are paid for, whichever items ask for them now."""
    topic = f"{{}} ({change.__name__}, {len(again)})"
    root = checkout(topic, "a", "b", extra="budget: {credits_per_apply: 8}")
    go(*DEPOSIT, cwd=root)
    (root / "content/blog.yaml").write_text(change(topic))
    for command in (again, ("work", "--once"), ("apply", "--yes")):
        go(*command, cwd=root)
    paid = [topic.format("a"), topic.format("b")]
    assert (served.charges(paid[0]), served.charges(paid[1])) == (paid[:1], paid[1:])
    assert not go("plan", "--json", cwd=root).json["changes"]
