"""The graph of items that are made from others: as text, JSON, Mermaid and dot, in `show`, and in selectors."""

import json
from pathlib import Path

import pytest

from contentops.model import ItemId
from contentops.model.desired import GraphItem, ItemGraph
from contentops.planning.select import in_order
from contentops.reporting.graph import graph_text
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.running import Run
from tests.test_references import items

TOPICS = {
    "guide": "Guide", "guide.de": "{{ ref('guide').body }}",
    "guide.fr": "fr: {{ ref('guide').body }}",
    "news": "{{ ref('guide.de').title }} {{ ref('other').title }}",
    "other": "Other", "alone": "Alone", "c+": "C", "c": "{{ ref('c+').title }}",
}  # fmt: skip


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """A guide with two translations, news of two texts, and an id that ends with a plus."""
    made = Harness(tmp_path / "project", FakeApi())
    made.write("content/a.yaml", items(TOPICS, tags=["all"]))
    return made


@pytest.mark.parametrize(("select", "exclude", "found"), [
    (["guide+"], [], ["guide", "guide.de", "guide.fr", "news"]), (["+news"], [], ["guide", "guide.de", "news", "other"]),
    (["+guide.de+"], [], ["guide", "guide.de", "news"]), (["guide.*+"], [], ["guide.de", "guide.fr", "news"]),
    (["+guide.fr", "alone+"], [], ["alone", "guide", "guide.fr"]), (["guide+"], ["guide.de+"], ["guide", "guide.fr"]),
    (["tag:all"], ["+news+"], ["alone", "c", "c+", "guide.fr"]),
    (["c+"], [], ["c+"]),  # the item of this very id
    (["c++"], [], ["c", "c+"]), (["+[c]+"], [], ["c", "c+"]), (["state:new+"], ["+tag:al?+"], []),
])  # fmt: skip
def test_selectors_follow_sources(harness: Harness, select: list[str], exclude: list[str], found: list[str]) -> None:
    """`+` before and after a pattern; an exact id wins."""
    plan = harness.plan(select=tuple(select), exclude=tuple(exclude))
    assert [change.id for change in plan.changes] == found


def test_the_graph_as_text_and_json(harness: Harness, invoke: Run) -> None:
    """Sources stand before what is made from them; items without references only count."""
    harness.apply(select=("other",))
    text = invoke("graph", cwd=harness.root).stdout
    assert [" ".join(line.split()) for line in text.splitlines()] == [
        "ITEM STATE MADE FROM", "c+ new", "guide new", "other as generated", "c waiting c+", "guide.de waiting guide",
        "guide.fr waiting guide", "news waiting guide.de, other", "",
        "7 items, 5 references. 1 other item without references.",
    ]  # fmt: skip
    document = invoke("graph", "--select", "guide.de+", "--json", cwd=harness.root).json
    assert document["items"] == [
        {"id": "guide.de", "state": "waiting", "output": "out/guide.de.md", "sources": ["guide"]},
        {"id": "news", "state": "waiting", "output": "out/news.md", "sources": ["guide.de", "other"]},
    ]
    assert invoke("graph", "--json", cwd=harness.root).json["alone"] == 1
    harness.write("content/a.yaml", items({"a": "A"}))
    assert invoke("graph", cwd=harness.root).stdout == "No item uses the text of another one.\n"


def test_the_graph_of_broken_manifests_is_that_of_the_records(harness: Harness, invoke: Run) -> None:
    """As in `status`."""
    harness.apply()
    harness.write("content/a.yaml", "items: [")
    shown = invoke("graph", "--select", "+guide.de", "--json", cwd=harness.root)
    assert [(one["id"], one["sources"]) for one in shown.json["items"]] == [("guide", []), ("guide.de", ["guide"])]


def _graph(sources: dict[str, list[str]]) -> ItemGraph:
    by_id = {ItemId(id_): [ItemId(one) for one in its] for id_, its in sources.items()}
    return ItemGraph(
        items=tuple(
            GraphItem(id=id_, state="as generated", output="", sources=tuple(by_id[id_])) for id_ in in_order(by_id)
        )
    )


def test_a_huge_graph_is_cut_with_a_statement_and_a_ring_of_records_has_an_order() -> None:
    """The text shows its start; a long chain is ordered without recursion."""
    text = graph_text(_graph({f"i{at:04}": [f"i{at - 1:04}"] * (at > 0) for at in range(1_000)}))
    assert len(text.splitlines()) == 204
    assert text.endswith("\n800 more: `--select` shows a part, `--json` all of them.")
    assert "s0, s1, s2, s3, s4 and 4 more" in graph_text(_graph({"z": [f"s{at}" for at in range(9)]}))
    ring = {ItemId("b"): [ItemId("a")], ItemId("a"): [ItemId("b")], ItemId("c"): []}
    assert in_order(ring) == ["c", "a", "b"]


def test_the_graph_reads_with_a_broken_selection(harness: Harness, invoke: Run) -> None:
    """A wrong selector is a mistake of the command line."""
    assert json.loads(invoke("graph", "--select", "nope", "--json", cwd=harness.root).stdout)["diagnostics"]
