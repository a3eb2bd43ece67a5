"""The page of one item: what it shows of its text, its brief, its history and its plan, and what it offers."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from contentops.documents.blocks import PARSED
from tests.pages import Browser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

ITEM = "welcome"
PERSON = "The Editor <editor@example.com>"
BODY = "\n# One\n\nIt takes eight days.\n\n## Two\n\nNothing else changes, click here.\n"


@pytest.fixture
def shop(invoke: Run, tmp_path: Path) -> Path:
    """A project in git whose four texts are written; `welcome` has to be approved, and has a few words."""
    assert invoke("init", "demo").code == 0
    root = tmp_path / "demo"
    manifest = root / "content" / "articles.yaml"
    rules = "\n  approval: required\n  checks: {excludes: {values: [click here], level: warn}}\n"
    manifest.write_text(manifest.read_text("utf-8").replace("generator\n", f"generator{rules}", 1), "utf-8")
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "The Editor")
    git(root, "config", "user.email", "editor@example.com")
    assert invoke("apply", "--yes", cwd=root).code == 0
    git(root, "add", "-A")
    git(root, "commit", "-qm", "made")
    return root


def git(root: Path, *words: str) -> None:
    """Run git in a project."""
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


def file_of(root: Path, item: str = ITEM) -> Path:
    """The file of an item."""
    return root / "out" / f"{item}.md"


def put(root: Path, body: str, item: str = ITEM) -> None:
    """Write another body into a file, as an editor does."""
    text = file_of(root, item).read_text("utf-8")
    file_of(root, item).write_text(text[: text.index("---\n", 4) + 4] + body, "utf-8")


def shown(root: Path, query: str) -> str:
    """The page of an item, its white space in one."""
    answer = Browser(root, person=PERSON).get(f"/item?id={query}")
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def test_a_text_is_read_with_its_brief_and_its_findings(shop: Path) -> None:
    """The text as it is, the brief in words, findings under their lines, and what a decision does."""
    put(shop, BODY)
    page = shown(shop, ITEM)
    assert "<strong>blog article</strong> in the style <strong>general blog</strong> on" in page
    assert "for <strong>first-time visitors</strong>" in page
    assert '<p dir="auto">It takes eight days.</p>' in page
    assert '<h3 dir="auto">One</h3>' in page
    assert "Nothing else changes, <mark>click here</mark>." in page
    line = 1 + file_of(shop).read_text("utf-8").partition("click here")[0].count("\n")
    assert f"<strong>Line {line}:</strong> says <code>click here</code>. A warning: it stops nothing." in page
    assert "contentops approve welcome" in page
    assert "The draft mark goes, for free." in page
    assert "The next apply saves the text to the server</strong>, for free." in page
    assert "Text 3 of 4 to read" in page or "Text 4 of 4 to read" in page
    assert page.count("<h1") == 1


def test_what_changed_since_the_approval_comes_first(shop: Path, invoke: Run) -> None:
    """An approved text that changed is compared with the words that were approved, though no commit has them."""
    put(shop, BODY)
    assert invoke("approve", ITEM, cwd=shop).code == 0
    approved = shown(shop, ITEM)
    assert "Approved by The Editor today." in approved
    assert 'action="/approve"' not in approved
    put(shop, BODY.replace("eight", "seven"))
    page = shown(shop, ITEM)
    assert "What changed: 1 edit" in page
    assert "Compared with <strong>approved today</strong>" in page
    assert "1 word gone, 1 new." in page
    assert ">[gone: </span>eight<" in page
    assert "1 paragraph as before, with \u201cOne\u201d" in page
    whole = shown(shop, f"{ITEM}&view=changes&unfold=1")
    assert "as before" not in whole
    generated = shown(shop, f"{ITEM}&view=changes&against=generated")
    assert "Compared with <a" in generated
    assert "Draft outline" in generated


def test_the_text_on_the_server_is_read_on_request(shop: Path) -> None:
    """Only then is the server asked."""
    put(shop, BODY)
    page = shown(shop, f"{ITEM}&view=changes&against=server")
    assert "<strong>on the server</strong>" in page
    assert "Draft outline" in page
    unknown = shown(shop, f"{ITEM}&view=changes&against=abcdef")
    assert "no text <code>abcdef</code> can be shown" in unknown


def test_history_tells_who_did_what(shop: Path, invoke: Run) -> None:
    """Generated, edited, approved and sent back, with what can be compared and restored."""
    put(shop, BODY)
    git(shop, "commit", "-qam", "edit")
    assert invoke("send-back", ITEM, "--note", "Too <b>short</b>", cwd=shop).code == 0
    put(shop, BODY.replace("eight", "seven"))
    page = shown(shop, ITEM)
    history = page[page.index('id="history"') :]
    rows = re.findall(r"<tr><td>.*?</tr>", history)
    words = [re.sub(r"<[^>]+>", "", row) for row in rows]
    assert [next(word for word in ("in the working tree", "Sent back", "Edited", "Generated") if word in row) for row in words] == [
        "in the working tree", "Sent back", "Edited", "Generated",
    ]  # fmt: skip
    assert "Too &lt;b&gt;short&lt;/b&gt;" in rows[1]
    assert "Compare" not in rows[0]
    assert all("Compare" in row for row in rows[1:])
    assert ["Restore" in row for row in rows] == [False, False, False, True]


def test_an_item_that_is_held_shows_the_ways_on(shop: Path) -> None:
    """An edit and a new brief: keep, merge, or take a new text, each with its price and its command."""
    put(shop, BODY, "city-berlin")
    cities = shop / "data" / "cities.csv"
    cities.write_text(cities.read_text("utf-8").replace("freelancers", "founders"), "utf-8")
    page = shown(shop, "city-berlin")
    assert "Held: this text was edited, and then its brief changed" in page
    assert "Which text shall stand?" in page
    for choice in ("keep", "merge", "overwrite"):
        assert f"contentops apply --select city-berlin --on-edit {choice}" in page
    assert ">[gone: </span>freelancers<" in page
    assert "Needs a choice: 1 of 1" in page
    assert 'action="/approve"' not in page


def test_hostile_words_change_no_page(shop: Path) -> None:
    """Markup in titles, bodies and front matter is shown as text; a long text is shown whole."""
    text = file_of(shop).read_text("utf-8")
    hostile = "<script>alert(1)</script>\u200b"
    front = text.replace("---\n", f'---\nnote: "{hostile}"\n', 1).replace("title: ", f"title: {hostile} ", 1)
    file_of(shop).write_text(front + f"\n{hostile} **bold\n\n" + "word " * (PARSED // 4), "utf-8")
    page = shown(shop, ITEM)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u200b") >= 3
    assert "This text is long." in page


def test_an_unreadable_file_is_said_so(shop: Path) -> None:
    """A file with conflict markers has no text to read, and the page says why."""
    file_of(shop).write_text("<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n", "utf-8")
    page = shown(shop, ITEM)
    assert "The file cannot be read" in page
    assert "conflict markers" in page
    file_of(shop).unlink()
    assert "The file is gone" in shown(shop, ITEM)


def test_an_unknown_item_has_no_page(shop: Path) -> None:
    """The page says that there is no such item, and what is meant."""
    answer = Browser(shop).get("/item?id=welcom")
    assert answer.status_code == 404
    assert "did you mean <code>welcome</code>" in answer.text


def test_copies_have_no_buttons(shop: Path) -> None:
    """Without forms the page shows the state and the command."""
    browser = Browser(shop, person=PERSON)
    browser.site = type(browser.site)(
        name="acme", project=browser.site.project, runtime=browser.site.runtime, links=browser.site.links
    )
    from contentops.pages.item import item
    from contentops.pages.site import render

    page = render(browser.site, item(browser.site, {"id": ITEM}))
    assert "<form" not in page
    assert "<button" not in page
    assert "contentops approve welcome" in page
