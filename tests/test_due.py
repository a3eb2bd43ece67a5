"""Texts that are due on a day: the day is stated, never read from a clock."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import InputError, UsageError
from tests.fakes.harness import Harness
from tests.running import Build, Run

DAYS = {"spring": "2026-03-01", "summer": "2026-06-01", "any": None}


def items(days: Mapping[str, Any]) -> str:
    """An item for each day."""
    made = [
        {"id": id_, "inputs": {"topic": id_, "target_audience": "all"}, **({"publish_on": day} if day else {})}
        for id_, day in days.items()
    ]
    return json.dumps({"items": made})


BARE = "version: 1\nproject: x\napi: {base_url: local}\n"


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Three items, two of them with a day."""
    made = Harness(tmp_path)
    made.write("content/a.yaml", items(DAYS))
    return made


@pytest.mark.parametrize(("options", "ids"), [
    ({"select": ("due<=2026-03-01",)}, ["spring"]), ({"select": ("due<2026-03-01",)}, []),
    ({"select": ("due>2026-03-01",)}, ["summer"]), ({"select": ("due>=2026-03-01",)}, ["spring", "summer"]),
    ({"exclude": ("due>2026-03-01",)}, ["any", "spring"]),
    ({"select": ("due<=2026-12-31",), "exclude": ("spring",)}, ["summer"]),
])  # fmt: skip
def test_what_is_due_is_selected_by_a_stated_day(harness: Harness, options: Mapping[str, Any], ids: list[str]) -> None:
    """An item without a day is never due."""
    assert [change.id for change in harness.plan(**options).changes] == ids


@pytest.mark.parametrize("selector", ["due<=tomorrow", "due<=", "due<=2026-13-01", "due<=20260301", "due>1.3.2026"])
def test_a_day_that_is_none_is_refused(harness: Harness, selector: str) -> None:
    """With the form it has."""
    with pytest.raises(UsageError, match="no such day") as caught:
        harness.plan(select=(selector,))
    assert "2026-12-01" in caught.value.hint


@pytest.mark.parametrize("day", ["soon", "2026-02-30", 20260301, "01.03.2026", True])
def test_a_wrong_publish_on_is_reported(harness: Harness, day: object) -> None:
    """At its position in the manifest."""
    harness.write("content/a.yaml", items({"spring": day}))
    with pytest.raises(InputError) as caught:
        harness.plan()
    assert any("publish_on" in str(one) for one in caught.value.diagnostics())


@pytest.mark.parametrize(("preset", "metadata", "written"), [
    ("hugo", {}, "publishDate: 2026-03-01"), ("hugo", {"publishDate": "2026-02-01"}, "publishDate: 2026-02-01"),
    ("hugo", {"publish_on": "2026-02-01"}, "publishDate: 2026-02-01"), ("astro", {}, "pubDate: 2026-03-01"),
    ("astro", {"pubDate": "2026-02-01"}, "pubDate: 2026-02-01"), ("jekyll", {}, "date: 2026-03-01"),
    ("docusaurus", {"Date": "2026-02-01"}, "Date: 2026-02-01"), ("", {}, ""),
])  # fmt: skip
def test_the_day_is_shown_and_is_the_date_of_the_page(
    project: Build, invoke: Run, preset: str, metadata: dict[str, str], written: str
) -> None:
    """In the words of the site generator, unless it is set; nothing is added for a site that is not known."""
    settings = f"version: 1\nproject: x\napi: {{base_url: local}}\npreset: {preset}\n" if preset else BARE
    shared = "defaults: {template: blog_article_generator, style: general_blog}\n"
    item = {"id": "a", "inputs": {"topic": "T", "target_audience": "all"}, "publish_on": "2026-03-01"}
    made = json.dumps({"items": [{**item, "metadata": metadata}]})
    root = project({"contentops.yaml": settings + shared, "content/a.yaml": made})
    assert invoke("plan", cwd=root).stdout.count("  out/a.md  due 2026-03-01\n") == 1
    assert "create, due `2026-03-01` |" in invoke("plan", "--format", "markdown", cwd=root).stdout
    assert invoke("plan", "--json", cwd=root).json["changes"][0]["publish_on"] == "2026-03-01"
    assert invoke("apply", "--yes", cwd=root).code == 0
    dates = [line for line in (root / "out/a.md").read_text().splitlines() if "date:" in line.lower()]
    assert [line.replace("'", "").replace('"', "") for line in dates] == ([written] if written else [])
    assert "DUE" in invoke("status", cwd=root).stdout
    assert invoke("status", "--json", cwd=root).json["items"][0]["publish_on"] == "2026-03-01"
    assert invoke("plan", "--detailed-exitcode", cwd=root).code == 0
