"""What the forms of `contentops review` do: each what its command does, and nothing twice."""

import contextlib
import json
import re
from html import unescape
from pathlib import Path

import pytest
from msgspec import structs

from contentops.model import ApiSettings, Checks, ItemId, JobState, WordLimits, text_digest
from contentops.operations.apply import form_digest
from contentops.operations.opening import HERE
from contentops.operations.review import ReviewState
from contentops.operations.workspace import hold_lock
from contentops.tokens import TokenPrice
from tests.clones import git
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.fakes.sides import PROJECT, a_job, a_spec, plan_of
from tests.pages import Browser, make_demo
from tests.running import Run
from tests.test_pages_lists import missing

ITEM = "welcome"
PERSON = "Ann Editor <ann@example.com>"


@pytest.fixture
def demo(invoke: Run, tmp_path: Path) -> Path:
    """A project of four items without texts."""
    assert invoke("init", "demo").code == 0
    return tmp_path / "demo"


@pytest.fixture
def applied(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its texts."""
    return make_demo(invoke, tmp_path, tmp_path_factory)


@pytest.fixture
def in_git(invoke: Run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a repository, with a person, and committed."""
    return make_demo(invoke, tmp_path, tmp_path_factory, person=PERSON)


@pytest.fixture
def browser(in_git: Path) -> Browser:
    """The browser of the person."""
    return Browser(in_git, person=PERSON)


def text_of(browser: Browser, item: str = ITEM) -> str:
    """The digest of an item's text, as its page shows it."""
    file = browser.site.review.snapshot().by_id[ItemId(item)].file
    return text_digest(file.title, file.body)


def with_approvals(root: Path) -> tuple[Browser, list[float]]:
    """A browser where every text has to be approved, and its clock."""
    clock, settings = [1.8e9], root / "contentops.yaml"
    settings.write_text(settings.read_text("utf-8").replace("mode: standard", "mode: standard\n  approval: required"))
    return Browser(root, person=PERSON, runtime=structs.replace(HERE, wall=lambda: clock[0])), clock


def test_a_text_is_approved_and_the_next_one_follows(in_git: Path) -> None:
    """One line for the digest that was shown, under the name that git has, from the page, whatever else is posted."""
    browser = Browser(in_git)
    done = browser.post("/approve", id=ITEM, text=text_of(browser), count="9" * 5000)
    assert "Approved: " in browser.follow(done).text
    line = json.loads((in_git / "contentops.approvals").read_text("utf-8").splitlines()[1])
    assert line["text"] == text_of(browser)
    assert (line["item"], line["verdict"], line["by"], line["from"]) == (ITEM, "approved", PERSON, "page")
    assert git(in_git, "status", "--porcelain") != ""  # nothing is committed by itself
    # The same form from another window adds no line, and is no error.
    before = (in_git / "contentops.approvals").read_bytes()
    assert Browser(in_git).post("/approve", id=ITEM, text=text_of(browser)).status_code == 303
    assert (in_git / "contentops.approvals").read_bytes() == before


def test_the_next_text_is_that_of_the_list_she_came_from(in_git: Path) -> None:
    """In its order, with what is done and left; a second click meets the next text, and decides nothing about it."""
    browser, clock = with_approvals(in_git)
    page = browser.get("/items?state=to-read&sort=-title").text
    order = re.findall(r'href="(/item\?id=([^"&]+)[^"]*)"', unescape(page))
    ids = [id_ for _, id_ in order]
    assert len(ids) == 4
    here = browser.get(unescape(order[1][0])).text
    for done, id_ in enumerate((*ids[1:], ids[0])):
        fields = dict(re.findall(r'name="(list|count|shown)" value="([^"]*)"', unescape(here)))
        clock[0] += 0.5
        soon = browser.post("/approve", id=id_, text=text_of(browser, id_), **fields)
        assert (soon.status_code, "was shown less than two seconds ago" in soon.text) == (409, True)
        clock[0] += 2
        answer = browser.post("/approve", id=id_, text=text_of(browser, id_), **fields)
        here = browser.follow(answer).text
        assert f"{done + 1} done, {3 - done} left." in here
        assert answer.headers["location"].endswith("#title")
    assert "You decided about 4 texts today" in here


def test_a_decision_that_replaced_another_one_is_not_undone(in_git: Path, browser: Browser) -> None:
    """To withdraw it would leave an approved text without its approval."""
    text = text_of(browser)
    assert 'action="/withdraw"' in browser.follow(browser.post("/approve", id=ITEM, text=text)).text
    git(in_git, "config", "user.email", "ben@example.com")
    page = browser.follow(browser.post("/send-back", id=ITEM, text=text, note="shorter")).text
    assert ("Sent back: " in page, "Undo</button>" in page) == (True, False)
    assert 'action="/withdraw"' in browser.get(f"/item?id={ITEM}").text


@pytest.mark.parametrize(("path", "done"), [("/approve", "Approved: "), ("/send-back", "Sent back: ")])
def test_a_decision_is_undone_for_a_moment_and_withdrawn_later(in_git: Path, path: str, done: str) -> None:
    """The next page offers it for ten seconds, and the page of the text as long as the verdict counts."""
    browser, clock = with_approvals(in_git)
    text = text_of(browser)
    answer = browser.post(path, id=ITEM, text=text, note="shorter")
    page = browser.follow(answer).text
    assert (done in page, 'action="/withdraw"' in page) == (True, True)
    other = browser.follow(browser.post("/draft", id=ITEM, kind="note", note="Words.")).text
    assert ("Your draft is kept" in other, "Undo</button>" in other) == (True, False)
    assert ("Generate again: free" in other) is (path == "/send-back")
    clock[0] += 11
    assert "Undo" not in browser.get(answer.headers["location"]).text
    assert "Withdraw this" in browser.get(f"/item?id={ITEM}").text
    again = browser.follow(browser.post("/withdraw", id=ITEM, text=text)).text
    assert "Withdrawn: no verdict on" in again
    assert ("Withdraw this" in again, "Withdrawn by" in again, ">Approve</button>" in again) == (False, True, True)
    assert browser.site.review.snapshot().by_id[ItemId(ITEM)].state is ReviewState.WAITING
    assert "draft: true" in (in_git / "out" / f"{ITEM}.md").read_text("utf-8")
    assert "has no verdict." in browser.follow(browser.post("/withdraw", id=ITEM, text=text)).text
    stale = browser.post("/withdraw", id=ITEM, text="sha256:" + "0" * 64)
    assert (stale.status_code, "its text has changed" in stale.text) == (409, True)


def test_comments_stand_beside_their_words_and_go_with_the_text(in_git: Path, browser: Browser) -> None:
    """Recorded for the words that were shown; an edit elsewhere keeps them, and words that are gone are said to be."""
    file, text = in_git / "out" / f"{ITEM}.md", text_of(browser)
    words = next(
        line for line in file.read_text("utf-8").splitlines()[8:] if len(line.split()) > 8 and line[0].isalpha()
    )
    quote = " ".join(words.split()[:4])
    noted = browser.post("/comment", id=ITEM, text=text, quote=f"  {quote}\n", note="Say <b>why</b>.")
    page = browser.follow(noted).text
    assert missing(page, "Noted.", "Say &lt;b&gt;why&lt;/b&gt;.", "Send back with 1 comment") == []
    line = json.loads((in_git / "contentops.approvals").read_text("utf-8").splitlines()[1])
    assert (line["verdict"], line["quote"], line["note"], line["text"]) == ("comment", quote, "Say <b>why</b>.", text)
    assert browser.site.review.snapshot().by_id[ItemId(ITEM)].verdicts == ()
    for fields, why in (
        ({"quote": "words that are nowhere", "note": "x"}, "these words are not in the text"),
        ({"quote": quote, "note": " "}, "a comment has words of the text and a note"),
        ({"quote": quote, "note": "kept & shown", "text": "sha256:" + "0" * 64}, "its text has changed"),
    ):
        refused = browser.post("/comment", **{"id": ITEM, "text": text, **fields})
        assert (refused.status_code, f"Not noted: {why}" in unescape(refused.text)) == (409, True)
        assert fields["note"].strip() in unescape(refused.text)
    assert "Sent back: " in browser.follow(browser.post("/send-back", id=ITEM, text=text, note="")).text
    sent = browser.site.review.snapshot().by_id[ItemId(ITEM)].sent_back
    assert (sent is not None and sent.note) == "1 comment"
    file.write_text(file.read_text("utf-8") + "\nAnother paragraph.\n", "utf-8")
    assert "do not have" not in (page := browser.get(f"/item?id={ITEM}&view=text").text)
    assert "Say &lt;b&gt;why&lt;/b&gt;." in page
    file.write_text(file.read_text("utf-8").replace(words, "Other words."), "utf-8")
    assert "1 comment on words that the text does not have any more" in browser.get(f"/item?id={ITEM}&view=text").text


@pytest.mark.parametrize("path", ["/approve", "/send-back"])
def test_a_text_that_changed_under_the_open_page_is_not_decided(in_git: Path, browser: Browser, path: str) -> None:
    """A yes is for the words that were seen: the page shows what changed, and nothing is recorded."""
    text = text_of(browser)
    browser.get(f"/item?id={ITEM}")
    file = in_git / "out" / f"{ITEM}.md"
    file.write_text(file.read_text("utf-8") + "\nAnother word.\n", "utf-8")
    answer = browser.post(path, id=ITEM, text=text, note="shorter")
    shown = ("its text has changed", "What changed since you opened it", f'name="text" value="{text_of(browser)}"')
    assert (answer.status_code, missing(answer.text, *shown)) == (409, [])
    assert not (in_git / "contentops.approvals").exists()


@pytest.mark.parametrize("why", ["changed", "apply", "long", "gone", "no name"])
def test_a_note_that_is_not_recorded_is_in_the_form_again(in_git: Path, browser: Browser, why: str) -> None:
    """Whatever stops it: a person's words are not lost."""
    text, file = text_of(browser), in_git / "out" / f"{ITEM}.md"
    note = "Shorter & <b>kinder</b>." * (100 if why == "long" else 1)
    if why == "changed":
        file.write_text(file.read_text("utf-8") + "\nAnother word.\n", "utf-8")
    elif why == "gone":
        file.write_text("", "utf-8")
    elif why == "no name":
        git(in_git, "config", "user.name", "")
        git(in_git, "config", "user.email", "")
    with hold_lock(browser.site.project(), HERE) if why == "apply" else contextlib.nullcontext():
        answer = browser.post("/send-back", id=ITEM, text=text, note=note)
    assert (answer.status_code, "Not sent back: " in answer.text) == (409, True)
    assert ("Not sent back: an apply or another command is running" in answer.text) is (why == "apply")
    assert ('maxlength="2000"' in answer.text) is (why != "gone")  # then there is a field to copy from
    typed = re.findall(r"<textarea[^>]*>\n(.*)</textarea>", unescape(answer.text))
    assert [*filter(None, typed)] == [note]
    assert not (in_git / "contentops.approvals").exists()


def test_a_text_is_sent_back_with_a_note(in_git: Path, browser: Browser) -> None:
    """The note is needed, and is kept with LF at the ends of its lines."""
    assert "sent back with a note" in browser.post("/send-back", id=ITEM, text=text_of(browser), note=" ").text
    done = browser.post("/send-back", id=ITEM, text=text_of(browser), note="Shorter.\r\nAnd <b>kinder</b>.")
    assert "Sent back: " in browser.follow(done).text
    line = json.loads((in_git / "contentops.approvals").read_text("utf-8").splitlines()[1])
    assert line["note"] == "Shorter.\nAnd <b>kinder</b>."


def test_a_text_whose_approval_needs_a_note_has_a_field_for_it(in_git: Path) -> None:
    """Without one nothing is recorded."""
    assert "What you checked" not in Browser(in_git).get(f"/item?id={ITEM}").text
    manifest = in_git / "content/articles.yaml"
    noted = "approval: {note: required}"
    manifest.write_text(manifest.read_text("utf-8").replace("# approval: required", noted), "utf-8")
    browser = Browser(in_git, person=PERSON)
    assert "What you checked" in browser.get(f"/item?id={ITEM}").text
    assert "its approval needs a note" in browser.post("/approve", id=ITEM, text=text_of(browser)).text
    done = browser.post("/approve", id=ITEM, text=text_of(browser), note="Figures")
    assert "Approved: " in browser.follow(done).text
    assert json.loads((in_git / "contentops.approvals").read_text("utf-8").splitlines()[1])["note"] == "Figures"


def test_an_edited_text_is_decided_without_a_wrong_warning(in_git: Path, browser: Browser, invoke: Run) -> None:
    """What is left is a save; the draft mark stays after *Send back*, and is gone after each *Approve*."""
    manifest, file = in_git / "content/articles.yaml", in_git / "out" / f"{ITEM}.md"
    manifest.write_text(manifest.read_text("utf-8").replace("# approval", "approval"), "utf-8")
    for path in ("/send-back", "/approve", "/approve"):
        assert invoke("apply", "--yes", cwd=in_git).code == 0
        file.write_text(file.read_text("utf-8") + "\nMine.\n", "utf-8")
        done = browser.follow(browser.post(path, id=ITEM, text=text_of(browser), note="Shorter."))
        assert "But" not in re.findall('role="status">(.+?)</p>', done.text)[0]
        assert ("draft: true" in file.read_text("utf-8")) is (path == "/send-back")
    file.write_text(file.read_text("utf-8") + "\nMine.\n", "utf-8")
    words = ("because of", "approval: changed since approval", "save: edited by hand")
    assert missing(browser.get(f"/item?id={ITEM}").text, *words) == ["save: edited by hand"]


def test_without_a_name_in_git_nothing_is_recorded(applied: Path) -> None:
    """The page says what to do, and why."""
    browser = Browser(applied)
    answer = browser.post("/approve", id=ITEM, text=text_of(browser))
    assert (answer.status_code, "not in a git repository" in answer.text) == (409, True)


def test_the_first_texts_are_made_from_the_page(demo: Path) -> None:
    """The price stands on the button; then the run page shows what was done, as after an apply in a terminal."""
    browser = Browser(demo)
    asked = browser.get("/confirm?action=first").text
    assert missing(asked, "Generate the first texts?", "contentops apply --canary 2") == []
    page = browser.follow(browser.press(action="first"))
    assert (page.status_code, len([*(demo / "out").glob("*.md")])) == (200, 2)
    assert missing(browser.get("/run").text, "The last run", "2 of 2 done") == []


def test_an_edited_text_is_kept_by_choice(applied: Path) -> None:
    """`Keep the edited text` does what `--on-edit keep` does: the text stays, and is no longer blocked."""
    file = applied / "out" / f"{ITEM}.md"
    file.write_text(file.read_text("utf-8") + "\nMy words.\n", "utf-8")
    manifest = next(path for path in applied.rglob("*.yaml") if f"id: {ITEM}" in path.read_text("utf-8"))
    text = manifest.read_text("utf-8")
    manifest.write_text(text.replace(f"id: {ITEM}\n", f"id: {ITEM}\n    revision: 2\n"), "utf-8")
    browser = Browser(applied)
    said = browser.follow(browser.press(action="keep", id=ITEM)).text
    assert missing(said, "Kept: ", "The edited text answers the new brief now; nothing was paid.") == []
    assert "My words." in file.read_text("utf-8")
    assert "There is nothing to do for it now" in browser.get(f"/confirm?action=apply&id={ITEM}").text


@pytest.mark.parametrize(("fields", "status", "words"), [
    ({"action": "nonsense", "id": ITEM, "plan": "x"}, 404, "there is no action"),
    ({"action": "replace", "id": ITEM}, 404, "the form has no <code>plan</code>"),
    ({"action": "replace", "id": ITEM, "plan": "x"}, 409, "this was done already, or the project changed"),
    ({"action": "replace", "id": "nothing", "plan": "x"}, 404, "nothing"),
    ({"action": "apply", "id": "tag:x", "plan": "x"}, 404, "tag:x"),
    ({"action": "section", "id": ITEM, "heading": "No such", "plan": "x"}, 404, "has no section"),
    ({"action": "section", "id": "../x", "heading": "x", "plan": "x"}, 404, "there is no item"),
])  # fmt: skip
def test_a_wrong_form_is_said_so(applied: Path, fields: dict[str, str], status: int, words: str) -> None:
    """In words, without a traceback, and nothing is changed."""
    answer = Browser(applied).post("/apply", **fields)
    assert (answer.status_code, words in answer.text) == (status, True)


def test_a_form_is_about_the_cost_that_its_page_showed() -> None:
    """Another price of tokens, or one more retry, is another form, though the plan has the same id."""
    project = structs.replace(PROJECT, api=ApiSettings(base_url="local", engine="openai", model="m", max_tokens=9_000))
    costs = [(price, retries) for price in (None, 1, 2) for retries in (1, 2)]
    plans = [
        plan_of(
            [a_spec(checks=Checks(words=WordLimits(min=1), retries=retries))],
            project=structs.replace(project, price=price and TokenPrice(input=price, output=price, currency="USD")),
        )
        for price, retries in costs
    ]
    assert (len({plan.id for plan in plans}), len(set(map(form_digest, plans)))) == (1, len(costs))


def test_a_form_is_about_the_submit_that_its_page_showed() -> None:
    """If the reply is lost again, the plan stays the same, but the form that paid for it is over."""
    times = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")
    lost = [a_job(a_spec(), JobState.UNKNOWN, submitted_at=at) for at in times]
    plans = [plan_of([a_spec()], open_jobs=[job]) for job in lost]
    assert (len({plan.id for plan in plans}), len(set(map(form_digest, plans)))) == (1, len(times))


@pytest.mark.parametrize("action", [
    {"action": "first"},
    {"action": "replace", "id": "one"},
    {"action": "section", "id": "one", "heading": "Closing"},
    {"action": "take", "id": "one"},
], ids=lambda action: action["action"])  # fmt: skip
def test_a_form_that_is_sent_again_pays_once(tmp_path: Path, action: dict[str, str]) -> None:
    """A page that is loaded again sends its form again: long after the run, it is refused."""
    harness = Harness(tmp_path).declared("one", "two", "three", "four")
    if action["action"] != "first":
        harness.apply(select=("one",))
    if action["action"] == "take":
        harness.edit("out/one.md", "## Closing", "## The end")
        harness.write("content/blog.yaml", blog("one", "two", "three", "four", year=2027))
    browser = Browser(tmp_path, runtime=harness.runtime())
    before, form = len(harness.api.generations), browser.form(**action)
    said = {"replace": "Generated again: ", "section": "Generated again: ", "take": "Replaced: "}
    assert said.get(action["action"], "Done: ") in browser.follow(browser.post("/apply", **form)).text
    paid = len(harness.api.generations) - before
    assert paid == (2 if action["action"] == "first" else 1)
    again = browser.post("/apply", **form)
    assert len(harness.api.generations) - before == paid
    assert again.status_code == (303 if action["action"] == "take" else 409)  # nothing is left of that


def test_one_apply_at_a_time(applied: Path) -> None:
    """While another command works here, the page says so and does nothing."""
    browser = Browser(applied)
    with hold_lock(browser.site.project(), HERE):
        answer = browser.press(action="replace", id=ITEM)
    said = ("an apply or another command is running in this project", "process")
    assert (answer.status_code, missing(answer.text, *said)) == (409, ["process"])


@pytest.mark.parametrize("way", ["looked up", "job"])
def test_an_unknown_outcome_is_settled_as_a_person_says(tmp_path: Path, way: str) -> None:
    """Looked up for nothing, or found by its job."""
    harness = Harness(tmp_path, FakeApi(request_ids="ignore", auto_save=False)).declared("one", "two")
    harness.apply(select=("two",))
    harness.api.fault(lambda name, count: name == "submit" and count == 2, "reset")
    harness.apply()
    browser = Browser(tmp_path, runtime=harness.runtime())
    assert browser.site.review.snapshot().by_id[ItemId("one")].state is ReviewState.UNKNOWN
    before = len(harness.api.generations)
    if way == "looked up":
        assert "Not done: " in browser.follow(browser.press(action="apply", id="one")).text
    else:
        job = next(job for job in harness.api.jobs if job not in {order.job_id for order in harness.state.jobs})
        assert "Recorded: " in browser.follow(browser.post("/resolve", id="one", job=job)).text
        assert "Done: 1 item" in browser.follow(browser.press(action="apply", id="one")).text
    assert len(harness.api.generations) == before
    assert browser.post("/resolve", id="one", job=" ").status_code == 404


def test_a_renamed_item_keeps_its_verdicts_and_comments_on_its_page(tmp_path: Path) -> None:
    """Under the id of then: a person sees which words were approved, and what was noted beside the present ones."""
    harness = Harness(tmp_path).applied("one")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Ann Editor")
    git(tmp_path, "config", "user.email", "ann@example.com")
    browser = Browser(tmp_path, runtime=harness.runtime(), person=PERSON)
    assert browser.post("/approve", id="one", text=text_of(browser, "one")).status_code == 303
    harness.write("content/blog.yaml", "moved: [{from: one, to: two}]\n" + blog("one").replace("id: one", "id: two"))
    harness.apply()
    harness.edit("out/two.md", "All about", "Nearly all about")
    noted = browser.post("/comment", id="two", text=text_of(browser, "two"), quote="Nearly all", note="Why not all?")
    assert noted.status_code == 303
    assert "Ann Editor approved an earlier text" in browser.get("/item?id=two").text
    harness.write(
        "content/blog.yaml", "moved: [{from: two, to: three}]\n" + blog("one").replace("id: one", "id: three")
    )
    harness.apply()
    assert "Why not all?" in browser.get("/item?id=three&view=text").text
    assert "Send back with 1 comment" in browser.get("/item?id=three").text
