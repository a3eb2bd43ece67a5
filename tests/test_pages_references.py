"""The pages of items that are made from the texts of others: sources, dependants, waiting and stale ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.pages import Browser
from tests.test_references import items

if TYPE_CHECKING:
    from pathlib import Path


def test_an_item_links_to_its_sources_and_dependants(tmp_path: Path) -> None:
    """A waiting item says what its text comes after, a stale one that it is."""
    harness = Harness(tmp_path / "project", FakeApi())
    topics = {"guide": "Guide", "news": "{{ ref('guide').body }}", "teaser": "{{ ref('news').title }}"}
    harness.write("content/a.yaml", items(topics))

    def page(path: str) -> str:
        return " ".join(Browser(harness.root).get(path).text.split())

    waits = page("/item?id=news")
    assert '<p class="fact">Made from <a href="/item?id=guide"><bdi>guide</bdi></a></p>' in waits
    assert '<p class="fact">Used by <a href="/item?id=teaser"><bdi>teaser</bdi></a></p>' in waits
    assert "The next apply writes its text after those that it uses, for at most 4 credits" in waits
    assert "<code>guide</code> has no text yet" in waits
    assert "Waiting for other texts" in page("/plan")
    harness.apply()
    harness.edit("out/guide.md", "Introduction", "Start")
    assert "made from an earlier text" in page("/item?id=news")
    assert "made from an earlier text" in page("/items?state=stale")
    assert "Made from" not in page("/item?id=guide")
    assert "guide</code> was edited by hand" in page("/plan")
