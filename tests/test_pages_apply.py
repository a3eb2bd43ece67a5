"""What is planned is carried out from the page: as a whole, by its causes, or only what is free."""

import re
import threading
from html import unescape
from pathlib import Path

import pytest

from tests.fakes.harness import Harness, blog
from tests.pages import Browser

BUTTON = re.compile(r'href="(/confirm\?[^"]+)">([^<]+)…</a>')


def buttons(page: str) -> dict[str, str]:
    """What each button with a price says, and where it leads."""
    return {words: unescape(address) for address, words in reversed(BUTTON.findall(page))}


def pressed(browser: Browser, address: str) -> dict[str, str]:
    """What the form of a page with a price sends."""
    page = browser.get(address).text
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    return {name: unescape(value) for name, value in fields if name != "form_token"}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Four texts, of which two get another brief, one moves, and a fifth is new."""
    made = Harness(tmp_path)
    made.write("content/blog.yaml", blog("one", "two", "three", "four"))
    made.apply()
    made.write("content/blog.yaml", blog("one", "two", year=2027))
    made.write(
        "content/more.yaml", blog("three", "five").replace("id: three\n", "id: three\n    output: out/moved.md\n")
    )
    made.write("content/rest.yaml", blog("four"))
    return made


def test_a_plan_says_its_price_and_is_carried_out(harness: Harness, tmp_path: Path) -> None:
    """The whole of it, with its ceiling on the button; a form that is sent again pays nothing."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    page = browser.get("/plan").text
    said = buttons(page)
    assert said["Spend 12 credits on 3 texts"] == "/confirm?action=plan"
    assert said["Do 1 change, for free"] == "/confirm?action=free"
    assert buttons(browser.get("/").text).items() <= said.items()
    asked = browser.get(said["Spend 12 credits on 3 texts"]).text
    assert "<h1>Spend 12 credits on 3 texts?</h1>" in asked
    assert '<button class="settle">Spend 12 credits</button>' in asked
    assert "Same as <code>contentops apply</code>" in asked
    form = pressed(browser, said["Spend 12 credits on 3 texts"])
    done = browser.post("/apply", **form)
    assert "Done: 4 items, 12 credits." in browser.follow(done).text
    assert len(harness.api.generations) - before == 3
    assert harness.plan().empty
    browser.post("/apply", **form)
    assert len(harness.api.generations) - before == 3
    assert not buttons(browser.get("/plan").text)
    assert "Start reading" not in browser.get("/run").text  # no text needs an approval


def test_only_what_is_free_or_of_one_cause_is_carried_out(harness: Harness, tmp_path: Path) -> None:
    """The other changes stay planned."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    form = pressed(browser, "/confirm?action=free")
    assert "Done: 1 item" in browser.follow(browser.post("/apply", **form)).text
    assert (len(harness.api.generations), (tmp_path / "out/moved.md").is_file()) == (before, True)
    page = browser.get("/plan").text
    (address,) = (where for words, where in buttons(page).items() if words == "Spend 8 credits on 2 texts")
    form = pressed(browser, address)
    assert "Done: 2 items, 8 credits." in browser.follow(browser.post("/apply", **form)).text
    assert [change.id for change in harness.plan().changes] == ["five"]
    assert browser.post("/apply", **form).status_code in (303, 409)
    assert len(harness.api.generations) - before == 2


@pytest.mark.parametrize("action", ["plan", "cause", "free"])
def test_a_plan_that_is_another_one_by_now_spends_nothing(harness: Harness, tmp_path: Path, action: str) -> None:
    """The page shows the new price."""
    browser, before = Browser(tmp_path, runtime=harness.runtime()), len(harness.api.generations)
    form = pressed(browser, f"/confirm?action={action}&id=one")
    harness.write("content/blog.yaml", blog("one", "two", year=2028))
    harness.write(
        "content/more.yaml", blog("three", "five").replace("id: three\n", "id: three\n    output: out/else.md\n")
    )
    answer = browser.post("/apply", **form)
    assert (answer.status_code, "the project changed" in answer.text) == (409, True)
    assert len(harness.api.generations) == before


def test_what_a_guard_stops_has_no_button(tmp_path: Path) -> None:
    """The whole plan is more than an apply may spend; one cause of it, or what is free, may be less."""
    harness = Harness(tmp_path, extra="budget: {credits_per_apply: 4}")
    harness.write("content/blog.yaml", blog("one", "two"))
    browser = Browser(tmp_path, runtime=harness.runtime())
    assert not buttons(browser.get("/plan").text)
    refused = browser.post("/apply", action="plan", plan="x")
    assert (refused.status_code, harness.api.generations) == (409, [])


def test_a_run_of_the_page_is_stopped_there(harness: Harness, tmp_path: Path) -> None:
    """Asked once: nothing more is submitted, and the page says so; a terminal's run is stopped in the terminal."""
    browser = Browser(tmp_path, runtime=harness.runtime())
    asked = threading.Event()

    def work(stop: object) -> str:
        asked.wait(10)
        return "stopped"

    task = browser.site.runner.start(work)
    page = browser.get("/run").text
    assert 'action="/stop"' in page
    said = browser.follow(browser.post("/stop")).text
    assert "nothing more is submitted" in said
    assert task.stop.requested
    asked.set()
    assert task.is_done(10)
    assert 'action="/stop"' not in browser.get("/run").text
