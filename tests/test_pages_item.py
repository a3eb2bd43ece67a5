"""The page of one item: what it shows of its text, its brief, its history and its plan, and what it offers."""

import re
import shutil
from pathlib import Path

import pytest

from contentops.documents.blocks import PARSED
from contentops.operations.opening import HERE
from contentops.operations.workspace import hold_lock
from tests import review_project
from tests.clones import git
from tests.pages import Browser, make_demo
from tests.running import Run
from tests.test_pages_acting import fields_of, file_of
from tests.test_pages_lists import missing

ITEM = "welcome"
PERSON = "The Editor <editor@example.com>"
BODY = "\n# One\n\nIt takes eight days.\n\n## Two\n\nNothing else changes, click here.\n"


@pytest.fixture
def shop(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in git whose four texts are written; `welcome` has to be approved, and has a few words."""
    rules = "  approval: required\n  checks: {excludes: {values: [click here], level: warn}}\n"
    return make_demo(invoke, tmp_path, tmp_path_factory, rules, person=PERSON)


@pytest.fixture
def browser(shop: Path) -> Browser:
    """The browser of the editor."""
    return Browser(shop, person=PERSON)


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
    line = 1 + file_of(shop).read_text("utf-8").partition("click here")[0].count("\n")
    assert (
        missing(
            page,
            "<strong>blog article</strong> in the style <strong>general blog</strong> on",
            "for <strong>first-time visitors</strong>",
            '<p dir="auto">It takes eight days.</p>',
            '<h3 dir="auto">One</h3>',
            "Nothing else changes, <mark>click here</mark>.",
            f"<strong>Line {line}:</strong> says <code>click here</code>. This is a warning; it blocks nothing.",
            "contentops approve welcome",
            "The text is then no longer a draft.",
            "The next apply saves the text to the server</strong>, for free.",
        )
        == []
    )
    assert "Text 3 of 4 to read" in page or "Text 4 of 4 to read" in page
    assert page.count("<h1") == 1
    # A check that blocks stops new texts; this one is there, and stays.
    manifest = shop / "content" / "articles.yaml"
    manifest.write_text(manifest.read_text("utf-8").replace("level: warn", "level: block"), "utf-8")
    blocks = "It stops a new text from being written; this one is in its file, and stays."
    assert blocks in shown(shop, f"{ITEM}&view=text")


def test_what_changed_since_the_approval_comes_first(shop: Path, invoke: Run) -> None:
    """An approved text that changed is compared with the words that were approved, though no commit has them.

    The server is asked for its text only on request.
    """
    put(shop, BODY)
    assert invoke("approve", ITEM, cwd=shop).code == 0
    form = 'action="/approve"'
    assert missing(shown(shop, ITEM), "Approved by The Editor today.", form) == [form]
    put(shop, BODY.replace("eight", "seven"))
    counted = ("What changed: 1 edit", "Compared with <strong>approved today</strong>", "1 word gone, 1 new.")
    words = (">[gone: </span>eight<", "1 paragraph as before, with \u201cOne\u201d")
    assert missing(shown(shop, ITEM), *counted, *words) == []
    assert "as before" not in shown(shop, f"{ITEM}&view=changes&unfold=1")
    generated = shown(shop, f"{ITEM}&view=changes&against=generated")
    assert missing(generated, "Compared with <a", "Draft outline") == []
    file_of(shop).write_text(file_of(shop).read_text("utf-8").replace("title: ", "title: New "), "utf-8")
    assert missing(shown(shop, ITEM), "What changed: 2 edits", "Title:</span> <ins>") == []
    page = shown(shop, f"{ITEM}&view=changes&against=server")
    assert missing(page, "<strong>on the server</strong>", "Draft outline") == []
    unknown = shown(shop, f"{ITEM}&view=changes&against=abcdef")
    assert "no text <code>abcdef</code> can be shown" in unknown


def test_whoever_edits_a_text_that_is_to_be_replaced_knows_it(shop: Path, browser: Browser) -> None:
    """The form says that a choice follows; where nothing else is planned, it does not."""
    warning = (
        "The next apply would write a new text, so after you save, choose on the page of this text which one stays."
    )
    assert warning not in browser.get(f"/edit?id={ITEM}").text
    manifest = shop / "content" / "articles.yaml"
    manifest.write_text(manifest.read_text("utf-8").replace("first-time visitors", "returning visitors"), "utf-8")
    assert warning in browser.get(f"/edit?id={ITEM}").text


@pytest.mark.parametrize("committed", [True, False])
def test_approved_words_come_from_git_or_are_said_to_be_missing(shop: Path, invoke: Run, *, committed: bool) -> None:
    """Without the cache, as in another clone: the approved text is found by its digest in the history of the file."""
    put(shop, BODY)
    assert invoke("approve", ITEM, cwd=shop).code == 0
    if committed:
        git(shop, "add", "-A")
        git(shop, "commit", "-qm", "approved")
    put(shop, BODY.replace("eight", "seven"))
    shutil.rmtree(shop / ".contentops" / "cache")
    page = shown(shop, f"{ITEM}&view=changes")
    assert ("Compared with <strong>approved today</strong>" in page) == committed
    assert ("The words that were approved are not on this machine" in page) != committed
    assert ("Compared with <strong>as generated</strong>" in page) != committed


def test_history_tells_who_did_what(shop: Path, invoke: Run) -> None:
    """One row a version: generated, edited, and sent back with a note; with what can be compared and restored."""
    put(shop, BODY)
    git(shop, "-c", "user.name=The Editor", "commit", "-qam", "edit")
    assert invoke("send-back", ITEM, "--note", "Too <b>short</b>", cwd=shop).code == 0
    put(shop, BODY.replace("eight", "seven"))
    page = shown(shop, ITEM)
    rows = re.findall(r"<tr><td>.*?</tr>", page[page.index('id="history"') :])
    words = [re.sub(r"<[^>]+>", "", row) for row in rows]
    assert [next(word for word in ("not committed", "Edited", "Generated") if word in row) for row in words] == [
        "not committed", "Edited", "Generated",
    ]  # fmt: skip
    assert [row.split()[0] for row in words] == ["3,", "2", "1"]
    assert ["Sent back by The Editor" in row for row in words] == [False, True, False]
    assert ["Committed by The Editor" in row for row in words] == [False, True, True]
    assert ("Too &lt;b&gt;short&lt;/b&gt;" in rows[1], "Compare" in rows[0]) == (True, False)
    assert all("Compare" in row for row in rows[1:])
    assert ["Restore" in row for row in rows] == [False, True, True]


def test_history_names_who_wrote_the_words(shop: Path, invoke: Run) -> None:
    """Not who approved them or changed the front matter later: each edit has its author, its commit and its time."""
    commits = []
    for name, old in (("Bea Writer", "eight"), ("Cay Writer", "nine"), ("Dan Approver", "")):
        if old:
            put(shop, BODY.replace("eight", old))
        else:
            assert invoke("approve", ITEM, cwd=shop).code == 0
            assert "draft" not in file_of(shop).read_text("utf-8")
        git(shop, "-c", f"user.name={name}", "commit", "-qam", name)
        commits.append((shop / ".git/refs/heads/main").read_text("ascii")[:8])
    page = shown(shop, ITEM)
    rows = re.findall(r"<tr><td>.*?</tr>", page[page.index('id="history"') :])
    edits = [re.sub(r"<[^>]+>", "", row) for row in rows if "Edited by hand" in row]
    assert len(edits) == 2
    for row, name, commit in zip(edits, ("Cay Writer", "Bea Writer"), commits[1::-1], strict=True):
        assert missing(row, f"by {name}", f"commit {commit}", "today") == []


def test_a_merge_that_brings_no_word_says_so_before_it_is_paid(shop: Path, browser: Browser) -> None:
    """Where every section was edited, the page with the price says it, and its end calls nothing new."""
    put(shop, BODY, "city-berlin")
    cities = shop / "data" / "cities.csv"
    cities.write_text(cities.read_text("utf-8").replace("freelancers", "founders"), "utf-8")
    asked = browser.get("/confirm?action=merge&id=city-berlin").text
    assert "every section stays as it was edited" in asked
    done = browser.follow(browser.press(action="merge", id="city-berlin")).text
    assert "What was edited stayed as it was" in done
    assert file_of(shop, "city-berlin").read_text("utf-8").endswith(BODY.lstrip())
    other = file_of(shop, "city-lisbon")
    other.write_text(other.read_text("utf-8") + "\nMine.\n", "utf-8")
    cities.write_text(cities.read_text("utf-8").replace("remote teams", "founders"), "utf-8")
    asked = browser.get("/confirm?action=merge&id=city-lisbon").text
    assert ("stays as it was edited" in asked, "every section" in asked) == (True, False)


def test_an_item_that_is_held_shows_the_ways_on(shop: Path) -> None:
    """An edit and a new brief: keep, merge, or take a new text, each with its price and its command."""
    put(shop, BODY, "city-berlin")
    cities = shop / "data" / "cities.csv"
    cities.write_text(cities.read_text("utf-8").replace("freelancers", "founders"), "utf-8")
    ways = [f"contentops apply --select city-berlin --on-edit {choice}" for choice in ("keep", "merge", "overwrite")]
    why = ("Blocked: this text was edited, and its brief changed", "Which text do you keep?", "Needs a choice: 1 of 1")
    form = 'action="/approve"'
    assert missing(shown(shop, "city-berlin"), *why, *ways, ">[gone: </span>freelancers<", form) == [form]


def test_each_state_says_what_can_be_done(tmp_path: Path) -> None:
    """A lost answer can be looked up, named or forgotten; a text that was sent back shows the note."""
    review_project.in_every_state(tmp_path, 30)
    unknown = ("What happened to the request?", "contentops state resolve docs/troubleshooting --forget")
    draft = "metadata.draft"
    assert missing(shown(tmp_path, "docs/troubleshooting"), *unknown, 'action="/resolve"', draft) == [draft]
    back = ("Sent back by Example Editor on", "Generated for 4 credits by api.writerzroom.com ")
    assert missing(shown(tmp_path, "blog/what-a-desk-costs"), *back) == []
    new = ("There is no text yet", "The next apply writes its first text, for 4 credits")
    assert missing(shown(tmp_path, "cities/turin"), *new, "See what it would do: 4 credits") == []


def test_hostile_words_change_no_page(shop: Path) -> None:
    """Markup in titles, bodies and front matter is shown as text; a long text is shown whole; what is none is said."""
    text = file_of(shop).read_text("utf-8")
    hostile = "<script>alert(1)</script>\u200b"
    front = text.replace("---\n", f'---\nnote: "{hostile}"\n', 1).replace("title: ", f"title: {hostile} ", 1)
    file_of(shop).write_text(front + f"\n{hostile} **bold\n\n" + "word " * (PARSED // 4), "utf-8")
    page = shown(shop, ITEM)
    assert re.findall(r"<script.*?>", page) == [f'<script src="/{name}.js" defer>' for name in ("keys", "drafts")]
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u200b") >= 3
    assert "This text is longer than 100,000 characters" in page
    file_of(shop).write_text("<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n", "utf-8")
    assert missing(shown(shop, ITEM), "The file cannot be read", "conflict markers") == []
    file_of(shop).unlink()
    assert "The file is gone" in shown(shop, ITEM)


def test_an_edit_writes_the_file_as_an_editor_would(shop: Path, browser: Browser) -> None:
    """Title and body change, and nothing else: other front matter, line endings and the final newline stay."""
    text = file_of(shop).read_text("utf-8").replace("---\n", "---\n# a comment\nown:   'kept'\n", 1)
    file_of(shop).write_bytes(text.replace("\n", "\r\n").encode())
    fields = fields_of(browser.get(f"/edit?id={ITEM}").text)
    done = browser.post("/edit", **{**fields, "title": 'A "new" title', "body": "One.\r\n\r\n<b>Two</b>"})
    assert "Saved: out/welcome.md has your text." in browser.follow(done).text
    data = file_of(shop).read_bytes().decode()
    assert missing(data, "# a comment\r\nown:   'kept'\r\n", 'title: "A \\"new\\" title"\r\n') == []
    assert data.endswith("---\r\n\r\nOne.\r\n\r\n<b>Two</b>\r\n")
    before = file_of(shop).stat().st_mtime_ns
    same = fields_of(browser.get(f"/edit?id={ITEM}").text)
    assert same["body"] == "One.\n\n<b>Two</b>\n"
    browser.post("/edit", **same)
    assert file_of(shop).stat().st_mtime_ns == before, "what is the same is not written"


def test_nothing_typed_is_lost_where_the_file_changed_meanwhile(shop: Path, browser: Browser) -> None:
    """Both texts are shown, with what changed in each; to save over the other one makes a copy of it first."""
    put(shop, BODY)
    fields = fields_of(browser.get(f"/edit?id={ITEM}").text)
    put(shop, BODY.replace("Nothing else", "Little else"))
    other = file_of(shop).read_text("utf-8")
    fields["body"] = BODY.replace("eight", "seven").strip() + "\n"
    answer = browser.post("/edit", **fields)
    assert (answer.status_code, file_of(shop).read_text("utf-8")) == (409, other)
    said = "Not saved: <code>out/welcome.md</code> changed while you were writing"
    both = ("[gone: </span>eight<", "[gone: </span>Nothing<", "It takes seven days.")
    assert missing(" ".join(answer.text.split()), said, *both) == []
    again = {**fields, **dict(re.findall(r'name="(file)" value="(.*?)"', answer.text))}
    assert again["file"] != fields["file"]
    said = browser.follow(browser.post("/edit", **again)).text
    assert "The text before it stays in the history." in said
    assert other in [path.read_text("utf-8") for path in shop.glob(".git/contentops/*/replaced/*/out/welcome.md")]
    assert "It takes seven days." in file_of(shop).read_text("utf-8")


def test_what_was_typed_survives_an_apply_that_works(browser: Browser) -> None:
    """While an apply has the lock nothing is written, and the form comes back with the words."""
    fields = fields_of(browser.get(f"/edit?id={ITEM}").text)
    with hold_lock(browser.site.project(), HERE):
        answer = browser.post("/edit", **{**fields, "body": "Typed words."})
    assert (answer.status_code, "Typed words." in answer.text) == (409, True)
    assert "Typed words." in browser.follow(browser.post("/edit", **{**fields, "body": "Typed words."})).text


@pytest.mark.parametrize(("field", "value", "said"), [
    ("body", "a\n\x07b", "line 2 of the text has the character U+0007"),
    ("body", "a \u202eb", "line 1 of the text has the character U+202E"),
    ("body", " \n", "the text is empty"),
    ("body", "Words.\n\n<<<<<<< HEAD\nOurs.\n=======\nTheirs.\n>>>>>>> main\n", "line 3 of the text is a git conflict marker"),
    ("body", "word " * 200_001, "the text has 1,000,005 characters, more than 1,000,000"),
    ("title", "", "the title is empty"),
    ("title", "t" * 301, "the title is longer than a line of 300 characters"),
])  # fmt: skip
def test_words_that_no_text_may_have_are_refused(
    shop: Path, browser: Browser, field: str, value: str, said: str
) -> None:
    """The form comes back with all that was typed and what is wrong with it; the file stays."""
    before = file_of(shop).read_bytes()
    answer = browser.post(
        "/edit",
        **{
            **fields_of(browser.get(f"/edit?id={ITEM}").text),
            "title": "Typed title",
            "body": "Typed words.",
            field: value,
        },
    )
    assert (answer.status_code, said in answer.text) == (409, True)
    assert ("Typed words." in answer.text) == (field != "body")
    assert ("Typed title" in answer.text, file_of(shop).read_bytes()) == (field != "title", before)


def test_a_protected_text_is_not_edited(shop: Path, browser: Browser, invoke: Run) -> None:
    """The page says so, and a form that was made by hand is refused too."""
    manifest = shop / "content" / "articles.yaml"
    manifest.write_text(
        manifest.read_text("utf-8").replace(f"id: {ITEM}\n", f"id: {ITEM}\n    protected: true\n"), "utf-8"
    )
    assert browser.get(f"/edit?id={ITEM}").status_code == 409
    assert "so nothing changes its file here" in browser.get(f"/item?id={ITEM}").text
    assert invoke("apply", "--yes", cwd=shop).code == 0
    before = file_of(shop).read_bytes()
    answer = browser.post("/edit", id=ITEM, title="t", body="b", file="x")
    assert (answer.status_code, "is protected, so its text is not changed" in answer.text) == (409, True)
    assert file_of(shop).read_bytes() == before


@pytest.mark.parametrize(("front", "attributes"), [
    ("lang: ar", 'lang="ar" dir="auto"'),
    ("language: pt-BR\ndir: rtl", 'lang="pt-BR" dir="rtl"'),
    ("lang: 'x\" onclick=\"y'\ndir: up", 'dir="auto"'),
])  # fmt: skip
def test_words_have_the_language_and_direction_of_their_front_matter(
    shop: Path, browser: Browser, front: str, attributes: str
) -> None:
    """On every title, in lists and in the text itself: a screen reader reads Arabic as Arabic."""
    file = file_of(shop)
    file.write_text(file.read_text("utf-8").replace("title:", f"{front}\ntitle:", 1), "utf-8")
    page = browser.get(f"/item?id={ITEM}&view=text").text
    assert f'<h1 id="title" tabindex="-1" {attributes}>' in page
    assert f'<div class="prose" {attributes}>' in page
    assert f"required {attributes} spellcheck" in browser.get(f"/edit?id={ITEM}").text
    for path in ("/", "/items", "/run"):
        assert f'{attributes} href="/item?id={ITEM}"' in browser.get(path).text
