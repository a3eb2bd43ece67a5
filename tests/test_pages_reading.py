"""The reading side of the review page: what is shown where, what is found, and how a text looks to its readers."""

import re
from pathlib import Path

import pytest

from tests import review_project
from tests.pages import Browser
from tests.test_pages_lists import ids, words


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in every state."""
    folder: Path = tmp_path_factory.mktemp("reading")
    review_project.disturb(review_project.build(folder, 60))
    return folder


@pytest.fixture(scope="module")
def pages(root: Path) -> Browser:
    """Its pages, in a browser."""
    return Browser(root, person=review_project.EDITOR)


# --- quieter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/plan", "/item?id=blog/quiet-rooms", "/item?id=blog/hybrid-work-guide"])
def test_commands_are_behind_one_switch(pages: Browser, path: str) -> None:
    """What a terminal would do is marked, and the stylesheet hides it until the switch in the foot is open."""
    html = pages.get(path).text
    assert '<details id="commands"><summary>Show commands</summary>' in html
    shown = re.sub(r'<(p|span|pre|code|h2) class="[^"]*\bcommand\b[^"]*".*?</\1>', "", html.partition("<footer")[0])
    assert "contentops apply" not in shown
    assert "Same as" not in shown
    assert "body:has(#commands:not([open])) .command { display: none }" in pages.get("/style.css").text


def test_digests_jobs_and_commits_are_in_the_history_alone(pages: Browser) -> None:
    """The head of a text and the plan have none; on a narrow page the decision is above history and front matter."""
    html = pages.get("/item?id=blog/quiet-rooms").text
    head, _, history = html.partition('id="history"')
    assert "text <code>" not in head
    assert "job " not in words(head)
    assert re.search(r"job [0-9a-f]{8}", words(history))
    assert html.index('id="decision"') < html.index('id="history"') < html.index("Front matter</h2>")
    assert "plan <code>" not in pages.get("/plan").text
    assert '<a class="button" href="/item?' in html.partition('<div class="acts">')[2]


def test_each_kind_of_check_has_one_line(pages: Browser) -> None:
    """The overview counts texts by what their checks find, and each count leads to these texts."""
    html = pages.get("/").text
    checks = html.partition("<h2>Checks</h2>")[2].partition("</section>")[0]
    assert checks.count("<li>") == 2
    number = re.search(r"Too similar to another text (\d+) texts warn", words(checks))
    assert "Words that the project excludes 1 text warns" in words(checks)
    assert number is not None
    assert len(ids(pages.get("/items?check=similar").text)) == min(int(number[1]), 50)
    assert ids(pages.get("/items?check=excludes").text) == ["blog/quiet-rooms"]
    assert "there is no check <code>none</code>" in pages.get("/items?check=none").text


def test_nothing_that_is_empty_has_a_card(tmp_path: Path) -> None:
    """No spend, no checks, nothing that waits: no card of zeros and no column of them."""
    project = review_project.build(tmp_path, 3)
    lines = (tmp_path / "contentops.jobs").read_text("utf-8")
    (tmp_path / "contentops.jobs").write_text(re.sub(r'"credits":\s*\d+,?', "", lines), "utf-8")
    assert project.name
    pages = Browser(tmp_path)
    overview = pages.get("/").text
    assert "<h2>Spend</h2>" not in overview
    assert "<h2>Checks</h2>" not in overview
    assert ">Credits</th>" not in pages.get("/spend").text
    assert "Spent" not in pages.get("/items").text
