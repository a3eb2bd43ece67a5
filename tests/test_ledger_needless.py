"""What waits in the queue and is needless by now: withdrawn, so that no worker pays for it beside an apply."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.processes import KEY, PROJECT, Served, blog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.running import Build, Run

MOVED = "moved: [{{from: {}, to: {}}}]\n"
PROMOTED = 'environments: {prod: {promote_from: default, output: "prod/{{ item.id }}.md"}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the whole module; each test has topics of its own."""
    with Served(tmp_path_factory.mktemp("served") / "store.db", stage_seconds=0.05) as served:
        yield served


def _renamed(root: Path, topic: str) -> None:
    (root / "content/blog.yaml").write_text(MOVED.format("a", "b") + blog("b", topic=topic.format("a")))


@pytest.mark.parametrize("again", [("apply", "--detach", "--yes"), ("apply", "--yes")])
def test_an_item_that_is_renamed_while_it_waits_is_paid_once(
    project: Build, invoke: Run, server: Served, database: str, again: tuple[str, ...]
) -> None:
    """Whoever submits it, under whichever name."""
    topic = f"{{}} ({len(again)} words)"
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog("a", topic=topic),
    }
    root, env = project(files, at="one"), {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    _renamed(root, topic)
    for command in (again, ("work", "--once"), ("apply", "--yes")):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    assert server.charges(topic.format("a")) == [topic.format("a")]
    assert [path.name for path in (root / "out").iterdir()] == ["b.md"]
    assert invoke("queue", "--json", env=env).json["size"] == 0
    assert not invoke("plan", "--json", cwd=root, env=env).json["changes"]


def test_a_further_take_is_left_to_those_who_asked_for_it(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """A checkout that stands at an older commit does not take it from them, and it is not paid for again."""
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    files = {"contentops.yaml": PROJECT.format(base_url=server.base_url, extra="")}
    old = project({**files, "content/blog.yaml": blog("a", topic="{} (older)")}, at="old")
    assert invoke("apply", "--yes", cwd=old, env=env).code == 0
    lock = (old / "contentops.lock").read_bytes()
    text = (old / "out/a.md").read_bytes()
    manifest = blog("a", topic="{} (newer)")
    new = project({**files, "content/blog.yaml": manifest, "contentops.lock": lock, "out/a.md": text}, at="new")
    for command in (("apply", "--yes", "--approve-changes"), ("apply", "--detach", "--replace", "a", "--yes")):
        assert invoke(*command, cwd=new, env=env).code == 0
    assert invoke("work", "--once", env=env).code == 0
    assert server.charges("a (newer)") == ["a (newer)"] * 2
    assert not invoke("plan", "--json", cwd=old, env=env).json["changes"]
    assert invoke("apply", "--yes", cwd=old, env=env).code == 0
    (change,) = invoke("plan", "--json", cwd=new, env=env).json["changes"]
    assert (change["id"], change["action"], change["credits"]) == ("a", "finish", 0)
    assert invoke("apply", "--yes", cwd=new, env=env).code == 0
    assert server.charges("a (newer)") == ["a (newer)"] * 2


@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_what_waits_for_a_text_that_was_promoted_meanwhile_is_withdrawn(
    project: Build, invoke: Run, server: Served, database: str, how: tuple[str, ...]
) -> None:
    """And what a worker brings all the same takes the place of no text that was reviewed."""
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    settings, topic = PROJECT.format(base_url=server.base_url, extra=PROMOTED), f"(promoted{''.join(how)})"
    files = {"contentops.yaml": settings, "content/blog.yaml": blog("a", "b", topic="{} " + topic)}
    root, prod = project(files, at="one"), ("--env", "prod")
    deposit = ("apply", *prod, "--generate", "--detach", "--yes")
    take = ("apply", *prod, "--drafts", "--select", "a", "--yes", *how)  # the server writes outlines
    for command in (deposit, ("apply", "--yes"), take, ("work", "--once")):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    assert server.charges(f"a {topic}") == [f"a {topic}"]
    assert server.charges(f"b {topic}") == [f"b {topic}"] * 2
    left = invoke("plan", *prod, "--drafts", "--json", cwd=root, env=env).json["changes"]
    assert {(one["id"], one["action"], one["credits"]) for one in left} >= {("b", "promote", 0)}
    assert invoke("apply", *prod, "--drafts", "--yes", cwd=root, env=env).code == 0
    assert not invoke("plan", *prod, "--json", cwd=root, env=env).json["changes"]


def test_no_file_is_adopted_for_an_item_that_waits_for_its_text(
    project: Build, invoke: Run, server: Served, database: str
) -> None:
    """A worker would pay for what no one needs by then; once it is taken out of the queue, the file is taken."""
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog("a", topic="{} (adopted)"),
    }
    root = project(files, at="one")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    (root / "out").mkdir()
    (root / "out/a.md").write_text("A person's.\n")
    refused = invoke("adopt", "out/a.md", "--yes", cwd=root, env=env)
    assert (refused.code, "contentops queue cancel a" in refused.stderr) == (3, True)
    for command in (("queue", "cancel", "a"), ("adopt", "out/a.md", "--yes"), ("work", "--once")):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    assert not server.charges("(adopted)")


@pytest.mark.parametrize("again", [("apply", "--detach", "--yes"), ("apply", "--yes")])
def test_a_further_take_follows_the_rename(
    project: Build, invoke: Run, server: Served, database: str, again: tuple[str, ...]
) -> None:
    """What was asked for with `--replace` is written under the new id, and paid for once."""
    topic = f"{{}} (taken along, {len(again)})"
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    files = {
        "contentops.yaml": PROJECT.format(base_url=server.base_url, extra=""),
        "content/blog.yaml": blog("a", topic=topic),
    }
    root = project(files, at="one")
    assert invoke("apply", "--yes", cwd=root, env=env).code == 0
    assert invoke("apply", "--detach", "--replace", "a", "--yes", cwd=root, env=env).code == 0
    job = re.compile("  job: .*")
    (first,) = job.findall((root / "out/a.md").read_text())
    _renamed(root, topic)
    for command in (again, ("work", "--once"), ("apply", "--yes"), ("apply", "--yes")):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    assert server.charges(topic.format("a")) == [topic.format("a")] * 2
    assert job.findall((root / "out/b.md").read_text()) not in ([], [first])
    assert not invoke("plan", "--json", cwd=root, env=env).json["changes"]


def _chain(topic: str) -> str:
    """`a` is called `b` now, and `b` is called `c`."""
    named = blog("b", "c", topic=topic).replace(topic.format("c"), "B!").replace(topic.format("b"), topic.format("a"))
    return "moved: [{from: a, to: b}, {from: b, to: c}]\n" + named.replace("B!", topic.format("b"))


def _exchange(topic: str) -> str:
    """Each asks for what the other one asked for."""
    named = blog("a", "b", topic=topic).replace(topic.format("a"), "A!").replace(topic.format("b"), topic.format("a"))
    return named.replace("A!", topic.format("b"))


@pytest.mark.parametrize("again", [("apply", "--detach", "--yes"), ("apply", "--yes")])
@pytest.mark.parametrize("change", [_chain, _exchange])
def test_what_waits_is_withdrawn_when_its_item_asks_for_something_else(
    project: Build, invoke: Run, server: Served, database: str, change: Callable[[str], str], again: tuple[str, ...]
) -> None:
    """Two texts are paid for, whichever items ask for them now."""
    topic = f"{{}} ({change.__name__}, {len(again)})"
    env = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_LEDGER": database}
    settings = PROJECT.format(base_url=server.base_url, extra="budget: {credits_per_apply: 8}")
    root = project({"contentops.yaml": settings, "content/blog.yaml": blog("a", "b", topic=topic)}, at="one")
    assert invoke("apply", "--detach", "--yes", cwd=root, env=env).code == 0
    (root / "content/blog.yaml").write_text(change(topic))
    for command in (again, ("work", "--once"), ("apply", "--yes")):
        ended = invoke(*command, cwd=root, env=env)
        assert ended.code == 0, ended.stderr
    paid = [topic.format("a"), topic.format("b")]
    assert (server.charges(paid[0]), server.charges(paid[1])) == (paid[:1], paid[1:])
    assert not invoke("plan", "--json", cwd=root, env=env).json["changes"]
