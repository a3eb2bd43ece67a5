"""What the forms of `contentops review` do: each what its command does, and nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pages import Browser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

ITEM = "welcome"


@pytest.fixture
def demo(invoke: Run, tmp_path: Path) -> Path:
    """A project of four items without texts."""
    assert invoke("init", "demo").code == 0
    return tmp_path / "demo"


@pytest.fixture
def applied(demo: Path, invoke: Run) -> Path:
    """The same with its texts."""
    assert invoke("apply", "--yes", cwd=demo).code == 0
    return demo


def test_the_first_texts_are_made_from_the_page(demo: Path) -> None:
    """The price stands on the button; then the run page shows what was done, as after an apply in a terminal."""
    browser = Browser(demo)
    asked = browser.get("/confirm?action=first").text
    assert "Make the first texts?" in asked
    assert "contentops apply --canary 2" in asked
    done = browser.post("/apply", action="first", price="0")
    page = browser.follow(done)
    assert page.status_code == 200
    assert len([*(demo / "out").glob("*.md")]) == 2
    run = browser.get("/run").text
    assert "The last run" in run
    assert "2 of 2 done" in run


def test_a_run_of_a_terminal_is_shown_too(applied: Path) -> None:
    """Its items, its end, and who started it; events are sent once, and the stream ends with the run."""
    browser = Browser(applied)
    run = browser.get("/run").text
    assert "4 of 4 done" in run
    assert "Look again" not in run
    stream = browser.get("/run/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.count("data: ") == 2
    assert stream.text.endswith("event: end\ndata: \n\n")


def test_a_killed_run_is_not_called_running_for_good(applied: Path) -> None:
    """Without a recorded end the page says since when nothing was heard, and how to go on."""
    events = applied / ".contentops" / "events.jsonl"
    lines = events.read_text("utf-8").splitlines(keepends=True)
    events.write_text("".join(lines[:-2]) + '{"torn', "utf-8")
    run = Browser(applied).get("/run").text
    assert "The last run was stopped" in run
    assert "contentops apply" in run


def test_an_edited_text_is_kept_by_choice(applied: Path) -> None:
    """`Keep mine` does what `--on-edit keep` does: the text stays, and is no longer blocked."""
    file = applied / "out" / f"{ITEM}.md"
    file.write_text(file.read_text("utf-8") + "\nMy words.\n", "utf-8")
    manifest = next(path for path in applied.rglob("*.yaml") if f"id: {ITEM}" in path.read_text("utf-8"))
    text = manifest.read_text("utf-8")
    manifest.write_text(text.replace(f"id: {ITEM}\n", f"id: {ITEM}\n    revision: 2\n"), "utf-8")
    browser = Browser(applied)
    said = browser.follow(browser.post("/apply", action="keep", id=ITEM, price="0")).text
    assert "Done: 1 item, 0 credits." in said
    assert "My words." in file.read_text("utf-8")
    assert "There is nothing to do for it now" in browser.get(f"/confirm?action=apply&id={ITEM}").text


def test_an_earlier_text_is_restored(applied: Path) -> None:
    """An edited file is replaced only by choice, and a copy of it is named."""
    file = applied / "out" / f"{ITEM}.md"
    made = file.read_text("utf-8")
    file.write_text(made + "\nMy words.\n", "utf-8")
    browser = Browser(applied)
    record = browser.site.review.snapshot().by_id[ITEM].record
    assert record is not None
    digest = next(iter(record.bodies))
    refused = browser.post("/restore", id=ITEM, to=digest)
    assert refused.status_code == 409
    assert "was edited by hand" in refused.text
    said = browser.follow(browser.post("/restore", id=ITEM, to=digest, overwrite="yes")).text
    assert "nothing was paid" in said
    assert "A copy of the file" in said
    assert file.read_text("utf-8") == made


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"action": "nonsense", "id": ITEM, "price": "0"}, 404, "there is no action"),
        ({"action": "replace", "id": ITEM}, 404, "the form has no price"),
        ({"action": "replace", "id": ITEM, "price": "-1"}, 404, "the form has no price"),
        ({"action": "replace", "id": "nothing", "price": "0"}, 404, "nothing"),
        ({"action": "section", "id": ITEM, "heading": "No such", "price": "0"}, 404, "has no section"),
        ({"action": "section", "id": "../x", "heading": "x", "price": "0"}, 404, "there is no item"),
    ],
)
def test_a_wrong_form_is_said_so(applied: Path, fields: dict[str, str], status: int, words: str) -> None:
    """In words, without a traceback, and nothing is changed."""
    answer = Browser(applied).post("/apply", **fields)
    assert answer.status_code == status
    assert words in answer.text
