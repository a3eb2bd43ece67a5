"""What a person does on the pages over a day: versions that are kept, drafts, and the list that she works through."""

import json
import re
import sys
from html import unescape
from pathlib import Path

import pytest

from contentops.model import ItemId
from contentops.operations.commit import CommitReport, pull_request_page
from contentops.operations.opening import HERE
from contentops.operations.workspace import hold_lock
from tests.clones import git
from tests.pages import Browser, make_demo
from tests.running import Run
from tests.test_pages_lists import missing

ITEM = "welcome"
GUIDE = Path(__file__).parents[1] / "docs/how-to/review-texts.md"
PERSON = "Ann Editor <ann@example.com>"


@pytest.fixture
def shop(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in git whose four texts are written and have to be approved."""
    return make_demo(invoke, tmp_path, tmp_path_factory, "  approval: required\n", person=PERSON)


@pytest.fixture
def browser(shop: Path) -> Browser:
    """Her browser."""
    return Browser(shop, person=PERSON)


def file_of(root: Path, item: str = ITEM) -> Path:
    """The file of an item."""
    return root / "out" / f"{item}.md"


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page, and the text of its form."""
    fields = re.findall(r'<input[^>]* name="(\w+)"[^>]* value="(.*?)"', page, re.DOTALL)
    fields += re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return {name: unescape(value) for name, value in fields if name != "form_token"}


def save(browser: Browser, **typed: str) -> None:
    """Open the form of the text, and save it with what is typed."""
    done = browser.post("/edit", **{**fields_of(browser.get(f"/edit?id={ITEM}").text), **typed})
    assert done.status_code == 303, done.text


def history(browser: Browser) -> list[str]:
    """The rows of the history of the item."""
    page = browser.get(f"/item?id={ITEM}").text
    return re.findall(r"<tr><td>.*?</tr>", page[page.index('id="history"') :], re.DOTALL)


def restores(browser: Browser) -> list[str]:
    """The pages that restore the copies in the history, the latest first."""
    rows = [row for row in history(browser) if "a copy" in row]
    links = [link for row in rows for link in re.findall(r'href="(/restore[^"]+)"', row)]
    return [browser.get(unescape(link)).text for link in links]


# --- versions ------------------------------------------------------------------------------------------------


def test_each_saved_version_stays_in_the_history_and_comes_back(shop: Path, browser: Browser) -> None:
    """With its title, after its difference was shown; whoever replaced it, and though no commit has it."""
    save(browser, title="One", body="First words.\n")
    save(browser, title="Two", body="Second words.\n")
    git(shop, "checkout", "--", "out")
    git(shop, "clean", "-xfdq")
    page, other = sorted(restores(browser), key=lambda each: "Second" not in each)
    assert "First" in other
    assert missing(page, "Restore the text of today", "Two") == []
    done = browser.follow(browser.post("/restore", **fields_of(page))).text
    assert missing(done, "nothing was paid", "The text before it stays in the history.") == []
    text = file_of(shop).read_text("utf-8")
    assert 'title: "Two"\n' in text or "title: Two\n" in text
    assert text.endswith("Second words.\n")


def test_what_a_restore_replaces_can_be_restored(shop: Path, browser: Browser) -> None:
    """Words of another editor, which no one saved on the page, are in the history afterwards."""
    file = file_of(shop)
    made, edited = file.read_text("utf-8"), file.read_text("utf-8") + "\nOf another editor.\n"
    file.write_text(edited, "utf-8")
    record = browser.site.review.snapshot().by_id[ItemId(ITEM)].record
    assert record is not None
    page = browser.get(f"/restore?id={ITEM}&to={record.generated}").text
    assert "Of another editor." in page
    assert browser.post("/restore", **fields_of(page)).status_code == 303
    assert file.read_text("utf-8") == made
    (page,) = restores(browser)
    assert browser.post("/restore", **fields_of(page)).status_code == 303
    assert file.read_text("utf-8") == edited


def test_a_restore_replaces_only_the_text_that_was_shown(shop: Path, browser: Browser) -> None:
    """Words that came meanwhile are shown first, and stay until the button is pressed again."""
    save(browser, body="First words.\n")
    save(browser, body="Second words.\n")
    page = restores(browser)[0]
    assert file_of(shop).read_text("utf-8").endswith("Second words.\n")
    file_of(shop).write_text(file_of(shop).read_text("utf-8") + "\nMeanwhile.\n", "utf-8")
    late = browser.post("/restore", **fields_of(page))
    assert (late.status_code, missing(late.text, "changed meanwhile", "Meanwhile.")) == (409, [])
    assert file_of(shop).read_text("utf-8").endswith("Meanwhile.\n")
    assert browser.post("/restore", **fields_of(late.text)).status_code == 303
    assert "Meanwhile." not in file_of(shop).read_text("utf-8")


def test_the_command_line_lists_what_people_wrote(shop: Path, browser: Browser, invoke: Run) -> None:
    """Each text with a digest that restores it, whether git or only a copy has it."""
    save(browser, title="One", body="First words.\n")
    git(shop, "commit", "-qam", "edited", "--date=2026-01-01T00:00:00Z")
    save(browser, title="Two", body="Second words.\n")
    git(shop, "checkout", "HEAD^", "--", "out")
    listed = invoke("restore", ITEM, "--json", cwd=shop).json["unpaid"]
    assert [one["where"] for one in listed] == ["copy of the file", "in git"]
    assert listed[0]["text"] in invoke("restore", ITEM, cwd=shop).stdout
    for one, words in zip(listed, ("Second", "First"), strict=True):
        done = invoke("restore", ITEM, "--to", one["text"][:19], "--on-edit", "overwrite", "--json", cwd=shop)
        assert (done.code, done.json["source"]) == (0, "copy")
        assert file_of(shop).read_text("utf-8").endswith(f"{words} words.\n")


# --- the list that she works through -------------------------------------------------------------------------


def test_the_time_of_a_form_can_not_be_forged(shop: Path, browser: Browser) -> None:
    """A decision needs the time that this server wrote, for this very text; without it nothing is recorded."""
    items = browser.site.review.snapshot().by_id
    text, other = items[ItemId(ITEM)].text, items[ItemId("getting-started")].text
    now = browser.site.runtime.wall()
    good = browser.site.stamp(text, now - 60)
    for forged in (
        "",
        "0",
        f"{round((now - 60) * 1000)}-{'0' * 64}",
        browser.site.stamp(other, now - 60),
        good + "\u20ac",
    ):
        answer = browser.post("/approve", id=ITEM, text=text, shown=forged)
        assert (answer.status_code, "the form has no time" in answer.text) == (409, True), forged
    assert not (shop / "contentops.approvals").exists()
    assert browser.post("/approve", id=ITEM, text=text, shown=good).status_code == 303


def test_the_last_text_of_a_list_leads_to_the_day(browser: Browser) -> None:
    """What was approved, sent back, edited and spent, and what waits; each verdict can be withdrawn there."""
    assert "Nothing decided yet today" in browser.get("/today").text
    save(browser, body="Edited words.\n")
    page = browser.get("/today").text
    texts = [item.id for item in browser.site.review.snapshot().to_read]
    count = ""
    for at, each in enumerate(texts):
        text = browser.site.review.snapshot().item(each).text
        path, note = ("/send-back", "Shorter.") if at == 1 else ("/approve", "")
        done = browser.post(path, id=each, text=text, note=note, count=count)
        count = str(at + 1)
        assert f"{at + 1} done, {len(texts) - at - 1} left." in browser.follow(done).text
        assert done.headers["location"].startswith("/today?") is (each == texts[-1])
    page = " ".join(browser.get("/today").text.split())
    counts = (f"<dt>Approved</dt><dd>{len(texts) - 1}</dd>", "<dt>Sent back</dt><dd>1</dd>", "0 credits", "“Shorter.”")
    assert missing(page, f"You decided about {len(texts)} texts today", *counts) == []
    edited = page[page.index("<dt>Edited</dt>") : page.index("<dt>Spent</dt>")]
    assert (f"id={ITEM}" in edited, edited.count("<a ")) == (True, 1)
    assert page.count('action="/withdraw"') >= len(texts)
    text = browser.site.review.snapshot().item(ITEM).text
    assert browser.post("/withdraw", id=ITEM, text=text).status_code == 303
    assert f"<dt>Approved</dt><dd>{len(texts) - 2}</dd>" in browser.get("/today").text


# --- drafts --------------------------------------------------------------------------------------------------


def draft_files(root: Path) -> list[Path]:
    """The files of the drafts."""
    return list(root.glob(".git/contentops/*/drafts/*"))


def test_an_edit_that_was_left_comes_back(shop: Path) -> None:
    """Also on a server that was started again; once it is saved or discarded, it is gone."""
    browser = Browser(shop, person=PERSON)
    form = {**fields_of(browser.get(f"/edit?id={ITEM}").text), "title": "Typed <title>", "body": "Typed words.\n"}
    before = file_of(shop).read_bytes()
    assert browser.post("/draft", **form, kind="edit", quiet="yes").status_code == 204
    assert (file_of(shop).read_bytes(), len(draft_files(shop))) == (before, 1)
    assert git(shop, "status", "--porcelain") == ""
    again = Browser(shop, person=PERSON)
    assert "your draft of today" in again.get(f"/item?id={ITEM}").text
    page = again.get(f"/edit?id={ITEM}").text
    typed = ('value="Typed &lt;title&gt;"', "\nTyped words.\n</textarea>")
    assert missing(page, "is back, not saved yet", *typed) == []
    assert again.post("/edit", **{**form, **fields_of(page)}).status_code == 303
    assert file_of(shop).read_text("utf-8").endswith("Typed words.\n")
    assert draft_files(shop) == []
    assert "is back" not in again.get(f"/edit?id={ITEM}").text
    again.post("/draft", **form, kind="edit")
    assert "The draft is discarded." in again.follow(again.post("/draft", id=ITEM, discard="edit")).text
    assert draft_files(shop) == []


def test_a_draft_is_found_after_its_item_was_renamed(shop: Path, browser: Browser, invoke: Run) -> None:
    """With its new id; once it is discarded, no file of it is left."""
    form = fields_of(browser.get(f"/edit?id={ITEM}").text)
    browser.post("/draft", **{**form, "body": "Typed words.\n"}, kind="edit")
    manifest = shop / "content" / "articles.yaml"
    declared = manifest.read_text("utf-8").replace(f"id: {ITEM}\n", "id: hello\n")
    manifest.write_text(f"moved: [{{from: {ITEM}, to: hello}}]\n{declared}", "utf-8")
    assert "Typed words." in browser.get("/edit?id=hello").text
    assert invoke("apply", "--yes", cwd=shop).code == 0
    page = browser.get("/edit?id=hello").text
    assert "Typed words." in page
    browser.post("/draft", **fields_of(page), kind="edit")
    assert len(draft_files(shop)) == 2
    browser.post("/draft", id="hello", discard="edit")
    assert draft_files(shop) == []


def test_a_draft_of_an_edit_meets_another_text(shop: Path, browser: Browser) -> None:
    """Both are shown, with what changed in each, and saving over the file is her choice."""
    form = fields_of(browser.get(f"/edit?id={ITEM}").text)
    browser.post("/draft", **{**form, "body": form["body"] + "\nMine.\n"}, kind="edit")
    file_of(shop).write_text(file_of(shop).read_text("utf-8") + "\nTheirs.\n", "utf-8")
    page = browser.get(f"/edit?id={ITEM}")
    assert (page.status_code, missing(page.text, "changed after this draft", "Mine.", "Theirs.")) == (200, [])
    assert browser.post("/edit", **fields_of(page.text)).status_code == 303
    assert file_of(shop).read_text("utf-8").endswith("Mine.\n")
    copies = shop.glob(".git/contentops/*/replaced/*/out/welcome.md")
    assert any("Theirs." in path.read_text("utf-8") for path in copies)


@pytest.mark.parametrize(("kind", "path", "typed"), [
    ("note", "/send-back", {"note": "Shorter, & <b>kinder</b>."}),
    ("comment", "/comment", {"quote": "words that are here", "note": "Say more."}),
])  # fmt: skip
def test_notes_are_kept_while_she_looks_elsewhere(
    shop: Path, browser: Browser, kind: str, path: str, typed: dict[str, str]
) -> None:
    """They are in the form of the page again, until they are recorded."""
    save(browser, body="Some words that are here.\n")
    text = browser.site.review.snapshot().by_id[ItemId(ITEM)].text
    said = browser.follow(browser.post("/draft", id=ITEM, text=text, kind=kind, **typed)).text
    assert "Your draft is kept, and not saved yet." in said
    fields = fields_of(browser.get(f"/item?id={ITEM}&view=changes").text)
    assert typed.items() <= {**fields, **({"note": fields["note"] or "Say more."} if kind == "comment" else {})}.items()
    done = browser.post(path, id=ITEM, text=text, **typed)
    assert done.status_code == 303, done.text
    assert (draft_files(shop), (shop / ".contentops" / "drafts").exists()) == ([], False)


def test_a_draft_is_kept_while_an_apply_works_and_only_of_an_item(shop: Path, browser: Browser) -> None:
    """It needs no lock, and a form that names something else keeps nothing."""
    with hold_lock(browser.site.project(), HERE):
        assert browser.post("/draft", id=ITEM, kind="note", note="Words.").status_code == 303
    assert len(draft_files(shop)) == 1
    assert browser.post("/draft", id="../x", kind="note", note="Words.").status_code == 404
    assert browser.post("/draft", id=ITEM, kind="../x", note="Words.").status_code == 404
    assert browser.post("/draft", id=ITEM, kind="note", note="").status_code == 303
    assert draft_files(shop) == []


# --- sending -------------------------------------------------------------------------------------------------


@pytest.fixture
def origin(shop: Path, tmp_path: Path) -> Path:
    """A remote that has the commits of the project."""
    bare = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    git(shop, "remote", "add", "origin", str(bare))
    git(shop, "push", "-q", "origin", "main")
    return bare


def a_day(shop: Path) -> Browser:
    """An edit, an approval, and a file of someone's that is no result."""
    browser = Browser(shop, person=PERSON)
    save(browser, body="Edited words.\n")
    text = browser.site.review.snapshot().item(ITEM).text
    assert browser.post("/approve", id=ITEM, text=text).status_code == 303
    (shop / "notes.txt").write_text("mine", "utf-8")
    return browser


def test_the_work_is_shown_before_it_is_pushed(shop: Path, origin: Path) -> None:
    """Verdicts and edits, and no other file, in the person's name; then there is nothing to send."""
    browser = a_day(shop)
    page = browser.get("/send").text
    assert missing(page, "<dt>Approved</dt><dd>1</dd>", "out/welcome.md", "1 other changed file") == []
    done = browser.follow(browser.post("/send", **fields_of(page), how="push")).text
    assert re.search(r"Sent: \d files as <code>\w{9}</code>, on <code>main</code>\.", done), done
    assert git(origin, "show", "-s", "--format=%an", "main") == "Ann Editor"
    assert "Edited words." in git(origin, "show", f"main:out/{ITEM}.md")
    assert "approved" in git(origin, "show", "main:contentops.approvals")
    assert "notes.txt" not in git(origin, "ls-tree", "-r", "--name-only", "main")
    assert git(shop, "status", "--porcelain") == "?? notes.txt"
    assert "There is nothing to send" in browser.get("/send").text


def test_for_a_pull_request_it_goes_to_a_branch(shop: Path, origin: Path) -> None:
    """The branch of the project stays as it is; the page leads to the host, if that is GitHub."""
    browser, before = a_day(shop), git(origin, "rev-parse", "main")
    page = browser.get("/send").text
    done = browser.follow(browser.post("/send", **fields_of(page), how="pull-request")).text
    (branch,) = re.findall(r"<code>(contentops-results/[^<]+)</code>", done)
    assert git(origin, "rev-parse", "main") == before
    assert "Edited words." in git(origin, "show", f"{branch}:out/{ITEM}.md")
    assert "Open a pull request for it." in done
    report = CommitReport(target="main", branch=branch)
    for address in ("https://github.com/acme/blog.git", "git@github.com:acme/blog.git"):
        git(shop, "remote", "set-url", "origin", address)
        assert pull_request_page(browser.site.project(), report).startswith(
            "https://github.com/acme/blog/compare/main..."
        )


def test_only_what_was_shown_is_sent(shop: Path, origin: Path) -> None:
    """Another edit in between is shown first; nothing was pushed or committed."""
    browser, before = a_day(shop), git(origin, "rev-parse", "main")
    fields = fields_of(browser.get("/send").text)
    save(browser, body="Other words.\n")
    late = browser.post("/send", **fields, how="push")
    assert (late.status_code, "the files changed" in late.text) == (409, True)
    assert git(origin, "rev-parse", "main") == before == git(shop, "rev-parse", "HEAD")
    assert fields_of(late.text)["tree"] != fields["tree"]
    assert browser.post("/send", **fields_of(late.text), how="push").status_code == 303
    assert "Other words." in git(origin, "show", f"main:out/{ITEM}.md")


def test_without_a_remote_it_is_committed(shop: Path) -> None:
    """And the page says that others do not see it; what is staged is a person's, and stops it."""
    browser = a_day(shop)
    page = browser.get("/send").text
    assert missing(page, "no remote", 'value="push"') == ['value="push"']
    git(shop, "add", "notes.txt")
    assert "you have staged changes" in browser.post("/send", **fields_of(page), how="commit").text
    git(shop, "restore", "--staged", ".")
    done = browser.follow(browser.post("/send", **fields_of(page), how="commit")).text
    assert missing(done, "Committed on this machine alone", "Undo") == ["Undo"]
    assert "Edited words." in git(shop, "show", f"HEAD:out/{ITEM}.md")


def tells(shop: Path, code: str) -> None:
    """Name a program in the settings, and commit them."""
    with (shop / "contentops.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\nreview: {json.dumps({'notify': [sys.executable, '-c', code]})}\n")
    git(shop, "commit", "-qam", "settings")


def test_a_program_gets_the_day_after_it_was_sent(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the documentation shows it, and no secret; a page that is only read runs nothing."""
    monkeypatch.setenv("WRITERZROOM_API_KEY", "planted")
    monkeypatch.setenv("GITHUB_TOKEN", "planted")
    tells(
        shop, "import os, sys; open('told.json', 'w').write(sys.stdin.read()); print(os.environ, file=open('env', 'w'))"
    )
    browser = a_day(shop)
    page = browser.get("/send").text
    assert "gets a summary of your day" in page
    assert not (shop / "told.json").exists()
    done = browser.follow(browser.post("/send", **fields_of(page), how="commit")).text
    assert "review.notify" not in done
    told = json.loads((shop / "told.json").read_text("utf-8"))
    assert "planted" not in (shop / "env").read_text("utf-8")
    assert (told["project"], told["person"], told["commit"]) == ("demo", PERSON, git(shop, "rev-parse", "HEAD"))
    assert [(one["id"], one["file"]) for one in told["approved"]] == [(ITEM, f"out/{ITEM}.md")]
    assert [one["id"] for one in told["edited"]] == [ITEM]
    assert told["waiting"] == [{"owner": "", "to_read": 3, "to_choose": 0, "sent_back": 0}]
    shown = GUIDE.read_text("utf-8").partition("```json")[2].partition("```")[0]
    assert json.loads(shown).keys() == told.keys()


@pytest.mark.parametrize(("code", "said"), [
    ("import sys; print('no one is there'); sys.exit(3)", "failed with code 3: no one is there"),
    ("", "changes that are not committed"),
])  # fmt: skip
def test_a_program_that_fails_loses_nothing(shop: Path, code: str, said: str) -> None:
    """The work is sent, and the page says what went wrong; settings that are not committed run nothing."""
    tells(shop, code or "open('told', 'w')")
    if not code:
        with (shop / "contentops.yaml").open("a", encoding="utf-8") as file:
            file.write("# changed\n")
    browser = a_day(shop)
    done = browser.follow(browser.post("/send", **fields_of(browser.get("/send").text), how="commit")).text
    assert missing(done, "this machine alone", said) == []
    assert not (shop / "told").exists()
    assert "approved" in git(shop, "show", "HEAD:contentops.approvals")


# --- generating again with the notes -------------------------------------------------------------------------


def test_a_text_is_generated_again_with_the_notes_on_it(shop: Path, browser: Browser) -> None:
    """They become the input that the settings name, in the manifest; the plan says the price, and a button pays it."""
    text = browser.site.review.snapshot().by_id[ItemId(ITEM)].text
    assert "Generate again with" not in browser.get(f"/item?id={ITEM}").text
    with (shop / "contentops.yaml").open("a", encoding="utf-8") as file:
        file.write("\nreview: {notes_input: objective}\n")
    quote = re.findall(r"(?m)^[A-Z][^\n#*`]{20,60}", file_of(shop).read_text("utf-8").rpartition("---\n")[2])[0]
    assert browser.post("/comment", id=ITEM, text=text, quote=quote, note="Say more.").status_code == 303
    page = browser.get(f"/item?id={ITEM}").text
    assert missing(page, 'formaction="/revise"', "Generate again with these notes") == []
    manifest = shop / "content" / "articles.yaml"
    before = manifest.read_text("utf-8")
    asked = browser.follow(browser.post("/revise", id=ITEM, text=text, note="Kinder, please.")).text
    assert missing(asked, "Your notes are in <code>content/articles.yaml</code>", "for free") == []
    now = manifest.read_text("utf-8")
    (added,) = set(now.splitlines()) - set(before.splitlines())
    assert added.strip() == f'objective: "\u201c{quote}\u201d: Say more.\\nKinder, please."'
    assert set(before.splitlines()) <= set(now.splitlines())
    old = file_of(shop).read_text("utf-8")
    assert browser.press(action="apply", id=ITEM).status_code == 303
    browser.site.runner.close()
    assert file_of(shop).read_text("utf-8") != old
    new = browser.site.review.snapshot().by_id[ItemId(ITEM)].text
    assert browser.post("/send-back", id=ITEM, text=new, note="Still too long.").status_code == 303
    assert "Your notes are" in browser.follow(browser.post("/revise", id=ITEM, text=new, note="")).text
    now = manifest.read_text("utf-8")
    assert 'objective: "Still too long."' in now.replace("objective: Still too long.", 'objective: "Still too long."')
    late = browser.post("/revise", id=ITEM, text=text, note="Shorter.")
    assert (late.status_code, "its text has changed" in late.text, "Shorter." in late.text) == (409, True, True)
    assert manifest.read_text("utf-8") == now
    row = browser.site.review.snapshot().by_id[ItemId("city-berlin")]
    refused = browser.post("/revise", id=row.id, text=row.text, note="Shorter.").text
    why = "Not written: <code>city-berlin</code> is not one entry of <code>content/articles.yaml</code>"
    assert missing(refused, why, "give the rows a column for the input <code>objective</code>") == []
    settings = shop / "contentops.yaml"
    settings.write_text(settings.read_text("utf-8").replace("objective", "no_such"), "utf-8")
    one = browser.site.review.snapshot().by_id[ItemId("getting-started")]
    refused = browser.post("/revise", id=one.id, text=one.text, note="Shorter.").text
    assert "sets <code>no_such</code>, which template <code>blog_article_generator</code> does not take" in refused
    assert manifest.read_text("utf-8") == now
