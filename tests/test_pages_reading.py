"""The reading side of the review page: what is shown where, what is found, and how a text looks to its readers."""

import os
import re
from pathlib import Path

import pytest

from contentops.atomic_io import Disk
from contentops.digest import Digest
from contentops.model import Approval, ItemId, Verdict
from contentops.pages.site import is_owned_by
from contentops.state import approvals
from tests import review_project
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.pages import Browser
from tests.running import Clock
from tests.test_pages_lists import ids, words
from tests.test_references import items


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


# --- found ------------------------------------------------------------------------------------------------


def put(root: Path, item: str, front: str, body: str = "") -> None:
    """Add lines to the front matter of a text, and replace its body."""
    path = root / f"out/{item}.md"
    head, _, rest = path.read_text("utf-8").removeprefix("---\n").partition("---\n")
    path.write_text(f"---\n{front}{head}---\n{body or rest}", "utf-8")
    os.utime(path, (0, 0))


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Ten texts: one in German that belongs to the editor, one in Hebrew, and one that `CODEOWNERS` gives to a team."""
    review_project.build(tmp_path, 10)
    (tmp_path / ".git").mkdir()
    put(
        tmp_path,
        "blog/desk-booking",
        "lang: de\nowner: Example Editor\n",
        "\nEine **Monats\nkarte** gilt.\n\nWas? Nichts.\n",
    )
    put(tmp_path, "blog/quiet-rooms", "lang: he\n")
    (tmp_path / "CODEOWNERS").write_text("* @all\n/out/ \n/out/docs/ @docs-team @writers\n", "utf-8")
    return tmp_path


def test_a_search_shows_the_sentences(shelf: Path) -> None:
    """Words across a line and emphasis are found in any case; each sentence leads to its place in the text."""
    pages = Browser(shelf, person=review_project.EDITOR)
    html = pages.get("/items?q=MONATS+Karte").text
    assert "“MONATS Karte”: 1 place in 1 text" in words(html)
    assert '<p class="sentence" lang="de" dir="auto">' in html
    assert 'view=text#:~:text=Monats%20karte">Eine <mark>Monats karte</mark> gilt.</a>' in html
    many = words(pages.get("/items?q=rooms").text)
    assert re.search(r"“rooms”: \d\d places in 9 texts", many)
    assert "No text says “dya pass”" in words(pages.get("/items?q=dya+pass").text)


@pytest.mark.parametrize(("query", "found"), [
    ("owner=me", {"blog/desk-booking"}), ("lang=he", {"blog/quiet-rooms"}), ("lang=xx", None),
    ("owner=%40docs-team%2C+%40writers", {"docs/getting-started"}), ("owner=none&lang=he", {"blog/quiet-rooms"}),
    ("folder=out/docs", {"docs/getting-started"}), ("folder=out/none", None), ("q=karte&lang=he", set()),
    ("q=karte&owner=me&state=waiting", {"blog/desk-booking"}), ("state=open&lang=de", {"blog/desk-booking"}),
])  # fmt: skip
def test_a_list_is_narrowed_by_its_address(shelf: Path, query: str, found: set[str] | None) -> None:
    """By owner, language and folder, each with the others; an unknown value is ignored and named."""
    html = Browser(shelf, person=review_project.EDITOR).get(f"/items?{query}").text
    seen = {one.replace("%2F", "/") for one in re.findall(r'class="name[^>]* href="/item\?id=([^&"]+)', html)}
    if found is None:
        assert "so it is ignored" in html
    elif "docs/getting-started" in found:
        assert seen
        assert {one.partition("/")[0] for one in seen} == {"docs"}
    else:
        assert seen == found


def test_the_overview_says_whose_a_text_is_and_in_which_language(shelf: Path) -> None:
    """Chips lead to the parts of what waits; a title is spoken in its language."""
    html = Browser(shelf, person=review_project.EDITOR).get("/").text
    said = words(html)
    for chip in ("All ", "Yours 1", "German 1", "Hebrew 1"):
        assert chip in said
    assert "German, yours" in said
    assert '<a href="/items?state=open&amp;owner=me">' in html
    assert '<a class="name clip" lang="he" dir="auto"' in html


@pytest.mark.parametrize(("name", "person", "theirs"), [
    ("Ann Bee", "Ann Bee <ann@example.com>", True), ("ann@example.com", "A <Ann@example.com>", True),
    ("@ann, @bob", "A <ann@example.com>", True), ("@ann", "A <12+ann@users.noreply.example>", True),
    ("Ann", "Ann Bee <a@example.com>", False), ("", "Ann <ann@example.com>", False), ("@x", "", False),
    ("Bob, Ann Bee", "ann bee <x@example.com>", True),
])  # fmt: skip
def test_an_owner_is_a_person_by_name_or_address(name: str, person: str, *, theirs: bool) -> None:
    """The name, the address, or what stands before its @."""
    assert is_owned_by(name, person) is theirs


def test_a_search_of_ten_thousand_texts_takes_a_moment(tmp_path: Path, processor_time: Clock) -> None:
    """The words are in memory, and only the files of one page are read: here a tenth of the texts in a tenth of it."""
    review_project.build(tmp_path, 1_000)
    pages = Browser(tmp_path)
    pages.get("/")
    before = processor_time()
    assert "in 1,000 texts" in pages.get("/items?q=small+rooms+").text
    assert processor_time() - before < 0.3


# --- as readers see it ------------------------------------------------------------------------------------

SHOWN = """
A floor[^1]. ![The floor](/img/floor.png "From above") ![far](https://a.example/x.png)

- [ ] Count `[^1]`

```python
x = "[^2]"
```

[^1]: Since November. ![up](../../secret.png) ![text](plan.txt) ![gone](gone.png) ![link](linked.png) ![script](bad.svg)
"""


@pytest.fixture
def gallery(tmp_path: Path) -> Browser:
    """A text with pictures, some of which are not to be shown."""
    review_project.build(tmp_path, 3)
    put(tmp_path, "blog/desk-booking", "language: de\nowner: editor@example.com\n", SHOWN)
    for path in ("static/img/floor.png", "out/blog/other.png", "secret.png", "out/blog/plan.txt", "out/blog/bad.svg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"<svg><script>1</script></svg>")
    (tmp_path / "out/blog/linked.png").symlink_to("/etc/passwd")
    return Browser(tmp_path, person=review_project.EDITOR)


def test_a_preview_shows_a_text_as_readers_see_it(gallery: Browser) -> None:
    """Pictures of the project, footnotes and tasks; not in code, and nothing from elsewhere."""
    html = gallery.get("/item?id=blog/desk-booking&view=preview").text
    address = "/picture?id=blog%2Fdesk-booking&amp;name="
    assert f'<img src="{address}%2Fimg%2Ffloor.png" alt="The floor" loading="lazy">' in html
    assert "German, yours" in words(html)
    assert "A floor<sup>1</sup>." in html
    assert '<p dir="auto"><sup>1</sup> Since November.' in html
    assert "\u2610 Count <code>[^1]</code>" in html
    assert '<code>x = "[^2]"</code>'.replace('"', "&#34;") in html
    assert "[image: far <code>https://a.example/x.png</code>]" in html
    assert html.count("<img ") == 4  # the floor, the secret of the project itself, the link, and the drawing
    assert "<img" not in gallery.get("/item?id=blog/desk-booking&view=text").text


@pytest.mark.parametrize(("name", "kind"), [
    ("/img/floor.png", "image/png"), ("bad.svg", "image/svg+xml"), ("../../secret.png", "image/png"),
    ("other.png", ""), ("plan.txt", ""), ("gone.png", ""), ("linked.png", ""), ("../../../secret.png", ""),
    ("/etc/passwd", ""),
    ("https://a.example/x.png", ""), ("", ""),
])  # fmt: skip
def test_only_pictures_that_the_text_names_are_served(gallery: Browser, name: str, kind: str) -> None:
    """From the project alone, and behind no link, with the type of the ending; one is a download without scripts."""
    answer = gallery.send("GET", "/picture", params={"id": "blog/desk-booking", "name": name})
    assert answer.status_code == (200 if kind else 404)
    if kind:
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"] == "attachment"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_the_editor_has_the_preview_beside_it(gallery: Browser, tmp_path: Path) -> None:
    """What is typed is shown and not saved; the form keeps it, and a later save is still bound to the text it saw."""
    form = gallery.get("/edit?id=blog/desk-booking").text
    assert "A floor<sup>1</sup>." in form
    fields = dict(re.findall(r'<input type="hidden" name="(file|was_title|was)" value="([^"]*)">', form))
    path = tmp_path / "out/blog/desk-booking.md"
    before = path.read_bytes()
    typed = gallery.post("/preview", id="blog/desk-booking", title="New", body="*Typed* <b>", **fields).text
    assert "<em>Typed</em>" in typed
    assert "*Typed* &lt;b&gt;</textarea>" in typed
    assert f'name="file" value="{fields["file"]}"' in typed
    assert path.read_bytes() == before


@pytest.mark.parametrize(("preset", "address"), [("", "out/blog/desk-booking"), ("hugo", "desk/")])
def test_a_preview_leads_to_the_site_on_this_machine(
    gallery: Browser, tmp_path: Path, preset: str, address: str
) -> None:
    """At the address that the preset says, else at the path of the file; without the setting there is no link."""
    path = "/item?id=blog/desk-booking&view=preview"
    assert "Open it on your site" not in gallery.get(path).text
    settings = tmp_path / "contentops.yaml"
    more = "review: {preview: 'http://localhost:1313/{path}'}\n" + (f"preset: {preset}\n" if preset else "")
    settings.write_text(settings.read_text("utf-8") + more, "utf-8")
    if preset:
        put(tmp_path, "blog/desk-booking", "url: /desk/\n")
    html = gallery.get(path).text
    assert f'<a href="http://localhost:1313/{address}" target="_blank" rel="noopener noreferrer">' in html


# --- side by side -----------------------------------------------------------------------------------------


def cells(html: str) -> list[str]:
    """The words of each cell of two columns, in order."""
    return [words(one) for one in re.findall(r'(?s)<div class="cell">(.*?)</div>(?=<div class="cell">|</div>)', html)]


def test_before_and_after_are_side_by_side(tmp_path: Path) -> None:
    """What is gone is on the left alone and what is new on the right alone; what is as before is folded."""
    harness = Harness(tmp_path / "project", FakeApi())
    harness.write("content/a.yaml", items({"guide": "Guide"}))
    harness.apply()
    harness.edit("out/guide.md", "All about", "Most about")
    pages = Browser(harness.root, person=review_project.EDITOR)
    one = pages.get("/item?id=guide&view=changes").text
    [address] = re.findall(r'href="([^"]+beside=1)">Side by side', one)
    html = pages.get(address.replace("&amp;", "&")).text
    assert "In one column" in html
    pairs = zip(cells(html)[::2], cells(html)[1::2], strict=True)
    left, right = next(pair for pair in pairs if "[gone:" in pair[0])
    assert (left, right) == ("[gone: All ] about Guide.", "[new: Most ] about Guide.")
    assert html.count('<details class="fold">') >= 1


def test_a_text_is_beside_the_one_that_it_was_made_from(tmp_path: Path) -> None:
    """What changed in the source since is marked there; a paragraph that the text lacks is named."""
    harness = Harness(tmp_path / "project", FakeApi())
    harness.write("content/a.yaml", items({"guide": "Guide", "news": "{{ ref('guide').body }}"}))
    harness.apply()
    path = "/item?id=news&view=source"
    html = Browser(harness.root, person=review_project.EDITOR).get(path).text
    assert "The source is as it was when this text was made." in words(html)
    assert "Beside its source" in html
    old = (harness.root / "out/guide.md").read_text("utf-8")
    (harness.root / "out/guide.md").write_text(old + "\nA third house opens.\n", "utf-8")
    html = Browser(harness.root, person=review_project.EDITOR).get(path).text
    assert "The source has 1 edit that this text does not have yet." in words(html)
    assert "[new: A third house opens. ]" in words(html)
    assert "This text has nothing for it." in html
    browser = Browser(harness.root, person=review_project.EDITOR, runtime=harness.runtime())
    assert "Its source has changed since this text was made." in browser.get("/item?id=news").text
    assert "--on-source-change keep" in browser.get("/confirm?action=accept&id=news").text
    assert "Spend 4 credits" in browser.get("/confirm?action=replace&id=news").text
    said = browser.follow(browser.press(action="accept", id="news")).text
    assert "Kept: On" in said
    assert "nothing was paid" in said
    assert "Its source has changed" not in said
    assert len(harness.api.generations) == 2
    assert "view=source" not in Browser(harness.root).get("/item?id=guide").text


# --- versions ---------------------------------------------------------------------------------------------


def test_the_history_has_one_row_a_version(tmp_path: Path) -> None:
    """A version that was approved and then edited keeps its reader; one whose words are not here is named."""
    harness = Harness(tmp_path / "project", FakeApi())
    harness.write("content/a.yaml", items({"guide": "Guide"}))
    harness.apply()
    pages = Browser(harness.root, person=review_project.EDITOR)
    text = pages.site.review.snapshot().item("guide").text
    harness.edit("out/guide.md", "All about", "Most about")
    for by, of in (("Example Editor", text), ("Ann Bee", Digest("sha256:" + "0" * 64))):
        line = Approval(item=ItemId("guide"), text=of, verdict=Verdict.APPROVED, by=by, at="2026-03-02T09:00:00Z")
        approvals.record(harness.root, Disk(), [line])
    page = pages.get("/item?id=guide").text
    rows = [words(one) for one in re.findall(r"(?s)<tr><td>.*?</tr>", page[page.index('id="history"') :])]
    assert "3 versions" in words(page)
    assert sum(row.startswith("3 , now Edited by hand") for row in rows) == 1
    assert sum("Generated for 4 credits" in row and "Approved by Example Editor" in row for row in rows) == 1
    assert sum("Its words are not on this machine" in row and "Approved by Ann Bee" in row for row in rows) == 1
    assert ["Restore" in row for row in rows] == ["Generated" in row for row in rows]
