"""The overview, the list of items and the plan as pages: what they say, and what they make of a query."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from contentops.atomic_io import Disk
from contentops.model import Approval, ItemId, Verdict, text_digest
from contentops.operations.opening import HERE, open_project
from contentops.pages.app import ROUTES, problem
from contentops.pages.site import Links, Site, render
from contentops.state import approvals
from tests import review_project

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in every state."""
    folder: Path = tmp_path_factory.mktemp("review")
    project = review_project.build(folder, 60)
    review_project.disturb(project)
    return folder


def site_of(root: Path) -> Site:
    """The pages of the project at `root`, with forms."""
    return Site(
        name="acme", project=lambda: open_project(str(root), "", ()), runtime=HERE, links=Links(), form_token="token"
    )


def page(root: Path, path: str, **query: str) -> str:
    """A page as a browser gets it."""
    site = site_of(root)
    return render(site, ROUTES[path](site, query))


def words(html: str) -> str:
    """The words of a page, without marks."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def ids(html: str) -> list[str]:
    """The ids in the rows of a list."""
    return [unescape(one) for one in re.findall(r'<span class="path" dir="auto">([^<]+)</span>', html)]


def test_the_overview_says_what_waits_for_whom(root: Path) -> None:
    """The title is the answer; each card names items with the reason, and the plan has causes and a price."""
    said = words(page(root, "/"))
    assert "6 texts wait for a reader" in said
    for part in (
        "Changed since approval : Example Editor approved an earlier text",
        "edited by hand after Example Editor sent back the last text",
        "Blocked : this text was edited, and its brief changed",
        "Outcome unknown : The outcome of a submit is unknown: its answer was lost",
        "“The sum for ten people is missing. Show the break-even month.”",
        "Check warns : line 16 says click here",
        "48 credits for 12 items",
        "New rows in data/cities.csv 6 24",
        "Total 14 48",
    ):
        assert part in said


def test_the_plan_has_every_change_under_its_cause(root: Path) -> None:
    """Signs stand beside their words, and what all changes of a group share is said once."""
    html = page(root, "/plan")
    said = words(html)
    assert "Variable year in contentops.yaml:11:59 2 items, 4 credits" in said
    assert "mode [gone: quick ] [new: standard ]" in said
    assert html.count("newsletter/weekly-members") == 1
    assert "+ create 4 credits" in said
    assert "contentops apply" in said


@pytest.mark.parametrize(
    ("query", "first", "count"),
    [
        ({}, "blog/hybrid-work-guide", 50),
        ({"page": "2"}, "", 16),
        ({"page": "99999"}, "", 16),
        ({"state": "to-read"}, "blog/quiet-rooms", 6),
        ({"state": "no-text", "sort": "title"}, "cities/turin", 6),
        ({"state": "edited"}, "blog/hybrid-work-guide", 3),
        ({"q": "ZÜRICH"}, "cities/zurich", 1),
        ({"q": "nothing like that"}, "", 0),
        ({"template": "press_release_generator"}, "", 0),
        ({"tag": "pillar", "sort": "-title"}, "blog/hybrid-work-guide", 2),
        ({"sort": "-words"}, "", 50),
    ],
)
def test_a_query_narrows_and_sorts_the_list(root: Path, query: dict[str, str], first: str, count: int) -> None:
    """What needs someone is first; a page after the last one is the last one."""
    if query.get("template"):
        query, count = {"template": "blog_article_generator"}, 50
    found = ids(page(root, "/items", **query))
    assert len(found) == count
    assert not first or found[0] == first


@pytest.mark.parametrize(
    "query",
    [
        {"state": "<script>"},
        {"sort": "--words"},
        {"template": "none"},
        {"tag": "\u202eno"},
        {"page": "²"},
        {"page": "-1"},
    ],
)
def test_a_query_that_names_nothing_is_ignored_and_named(root: Path, query: dict[str, str]) -> None:
    """Every item is listed, and a sentence says which value names nothing; no value comes back as markup."""
    html = page(root, "/items", **query)
    assert len(ids(html)) == 50
    assert "<script>" not in html
    assert ("so it is ignored" in html) == ("page" not in query)


def test_a_project_without_texts_says_how_to_begin(project: Build) -> None:
    """What is declared, what it costs, and the commands; without items, how to declare one."""
    settings = {"contentops.yaml": "version: 1\nproject: acme\napi: {base_url: 'https://a.example/v1'}\n"}
    items = "\n".join(f"  - {{id: item-{at}, inputs: {{topic: T{at}}}}}" for at in range(3))
    manifest = f"defaults: {{template: blog_article_generator, style: general_blog}}\nitems:\n{items}\n"
    root = project({**settings, "content/a.yaml": manifest})
    said = words(page(root, "/"))
    assert "3 items are declared in 1 manifest. None has been made" in said
    assert "contentops apply --canary 2" in said
    assert "12 credits" in said
    (root / "content/a.yaml").unlink()
    assert "No items are declared." in words(page(root, "/"))


def test_a_plan_that_is_refused_says_how_to_get_past_it(project: Build) -> None:
    """A guard, a note and its hint are named; of many changes of one cause 20 are shown, and the others folded."""
    root = project({}, at="refused")
    review_project.build(root, 3, declared=60)
    settings = root / "contentops.yaml"
    settings.write_text(settings.read_text("utf-8").replace("credits_per_apply: 700", "credits_per_apply: 5"), "utf-8")
    (root / "content/blog.yaml").unlink()
    html = page(root, "/plan")
    said = words(html)
    assert "Apply would refuse: " in said
    assert re.search(r"to continue anyway: --approve-credits \d+", said)
    assert "`" not in said
    assert "contentops apply --approve-credits" in said
    assert "Notes" in said
    assert re.search(r"<summary>\d+ more</summary>", html)
    assert "No guard stops this plan" not in said


def test_errors_in_manifests_stand_on_each_page(root: Path, project: Build) -> None:
    """The finding has its place, and the texts that were made are still there."""
    broken = project({}, at="broken")
    review_project.build(broken, 3)
    (broken / "content/wrong.yaml").write_text("items:\n  - {id: new, inputz: {}}\n")
    pages = [words(page(broken, path)) for path in ("/", "/items", "/plan")]
    assert all("content/wrong.yaml:2:15" in said for said in pages)
    assert len(ids(page(broken, "/items"))) == 3
    assert "There is no plan: the manifests have errors." in pages[-1]
    (broken / "contentops.yaml").write_text("version: 1\n")
    site = site_of(root)
    with pytest.raises(Exception, match="error") as caught:
        ROUTES["/"](site_of(broken), {})
    assert "project" in render(site, problem(caught.value))  # type: ignore[arg-type]


def test_hostile_titles_and_notes_stay_words(project: Build) -> None:
    """Markup, scripts and marks of direction in titles and notes come out as text."""
    root = project({}, at="hostile")
    review_project.build(root, 3)
    path = root / "out/blog/desk-booking.md"
    title = "</a><script>alert(1)</script>"
    path.write_text(re.sub(r"(?m)^title: .*$", f'title: "{title}"', path.read_text("utf-8")), "utf-8")
    file = next(item.file for item in site_of(root).review.snapshot().items if item.id == "blog/desk-booking")
    note = Approval(
        item=ItemId("blog/desk-booking"),
        text=text_digest(file.title, file.body),
        verdict=Verdict.SENT_BACK,
        by="<b>Mallory <m@example.com>",
        at="2026-11-20T10:00:00Z",
        note="<img src=x onerror=alert(1)> \u202egnp.exe",
    )
    approvals.record(root, Disk(), [note])
    for each in ("/", "/items", "/plan"):
        html = page(root, each)
        assert not re.search("<script|<img|<b>|\u202e", html)
    assert "&lt;/a&gt;&lt;script&gt;" in page(root, "/items")
    assert "“&lt;img src=x onerror=alert(1)&gt;" in page(root, "/")
