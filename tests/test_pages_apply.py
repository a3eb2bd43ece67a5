"""What is planned is carried out from the page: as a whole, by its causes, or only what is free."""

import re
import threading
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from tests.fakes.harness import Harness, blog
from tests.pages import Browser
from tests.test_pages_lists import missing

BUTTON = re.compile(r'href="(/confirm\?[^"]+)">([^<]+)…</a>')


def buttons(page: str) -> dict[str, str]:
    """What each button with a price says, and where it leads."""
    return {words: unescape(address) for address, words in reversed(BUTTON.findall(page))}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Four texts, of which two get another brief, one moves, and a fifth is new."""
    made = Harness(tmp_path).applied("one", "two", "three", "four")
    made.write("content/blog.yaml", blog("one", "two", year=2027))
    made.write(
        "content/more.yaml", blog("three", "five").replace("id: three\n", "id: three\n    output: out/moved.md\n")
    )
    made.write("content/rest.yaml", blog("four"))
    return made


def test_a_plan_says_its_price_and_is_carried_out(harness: Harness, tmp_path: Path) -> None:
    """The whole of it, with its ceiling on the button; a form that is sent again pays nothing."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    said = buttons(browser.get("/plan").text)
    assert said["Spend 12 credits on 3 texts"] == "/confirm?action=plan"
    assert said["Do 1 change, for free"] == "/confirm?action=free"
    assert buttons(browser.get("/").text).items() <= said.items()
    asked = browser.get(said["Spend 12 credits on 3 texts"]).text
    button = '<button class="settle">Spend 12 credits</button>'
    title = "<h1>Spend 12 credits on 3 texts?</h1>"
    assert missing(asked, title, button, "Same as <code>contentops apply</code>") == []
    form = browser.form(action="plan")
    assert "Done: 4 items, 12 credits." in browser.follow(browser.post("/apply", **form)).text
    assert len(harness.api.generations) - before == 3
    assert harness.plan().empty
    browser.post("/apply", **form)
    assert len(harness.api.generations) - before == 3
    assert not buttons(browser.get("/plan").text)
    assert "Start reading" not in browser.get("/run").text  # no text needs an approval


def test_only_what_is_free_or_of_one_cause_is_carried_out(harness: Harness, tmp_path: Path) -> None:
    """The other changes stay planned."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    form = browser.form(action="free")
    assert "Done: 1 item" in browser.follow(browser.post("/apply", **form)).text
    assert (len(harness.api.generations), (tmp_path / "out/moved.md").is_file()) == (before, True)
    page = browser.get("/plan").text
    (address,) = (where for words, where in buttons(page).items() if words == "Spend 8 credits on 2 texts")
    form = browser.form(**dict(parse_qsl(address.partition("?")[2])))
    assert "Done: 2 items, 8 credits." in browser.follow(browser.post("/apply", **form)).text
    assert [change.id for change in harness.plan().changes] == ["five"]
    assert browser.post("/apply", **form).status_code in (303, 409)
    assert len(harness.api.generations) - before == 2


@pytest.mark.parametrize("action", ["plan", "cause", "free"])
def test_a_plan_that_is_another_one_by_now_spends_nothing(harness: Harness, tmp_path: Path, action: str) -> None:
    """The page shows the new price."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    form = browser.form(action=action, id="one")
    harness.write("content/blog.yaml", blog("one", "two", year=2028))
    harness.write(
        "content/more.yaml", blog("three", "five").replace("id: three\n", "id: three\n    output: out/else.md\n")
    )
    answer = browser.post("/apply", **form)
    price = {"plan": "Spend 12 credits", "cause": "Spend 8 credits"}.get(action, "for free")
    assert (answer.status_code, missing(answer.text, "this was done already, or the project changed", price)) == (
        409,
        [],
    )
    assert len(harness.api.generations) == before


def test_what_a_guard_stops_has_no_button(tmp_path: Path) -> None:
    """The page names the option of the terminal that passes it; one cause of the plan, or what is free, may be less."""
    harness = Harness(tmp_path, extra="budget: {credits_per_apply: 4}").declared("one", "two")
    browser = Browser(tmp_path, runtime=harness.runtime())
    assert not buttons(browser.get("/plan").text)
    asked = browser.get("/confirm?action=first").text
    assert missing(asked, "--approve-credits", "<button class=") == ["<button class="]
    for action in ("plan", "first"):
        assert browser.post("/apply", action=action, plan="x").status_code == 409
    assert not harness.api.generations


def test_a_run_of_the_page_is_stopped_there(harness: Harness, tmp_path: Path) -> None:
    """Asked once: nothing more is submitted, and the page says so; a terminal's run is stopped in the terminal."""
    browser = Browser(tmp_path, runtime=harness.runtime())
    asked = threading.Event()

    def work(stop: object) -> str:
        asked.wait(10)
        return "stopped"

    task = browser.site.runner.start(work)
    assert 'action="/stop"' in browser.get("/run").text
    assert "nothing more is submitted" in browser.follow(browser.post("/stop")).text
    assert task.stop.requested
    asked.set()
    assert task.is_done(10)
    assert 'action="/stop"' not in browser.get("/run").text
