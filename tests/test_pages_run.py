"""The page of a run: what it shows of an apply that works, that ended, or that was killed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from contentops.errors import Refused
from contentops.pages.views import stream
from contentops.state.state_dir import ApplyLock
from tests.pages import Browser

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.execution.primitives import Stop
    from tests.running import Run


@pytest.fixture
def applied(invoke: Run, tmp_path: Path) -> Path:
    """A project of four items with its texts."""
    assert invoke("init", "demo").code == 0
    assert invoke("apply", "--yes", cwd=tmp_path / "demo").code == 0
    return tmp_path / "demo"


def apply_lock(root: Path) -> ApplyLock:
    """The lock of an apply in another process."""
    return ApplyLock(root, environment="", who="ann@build-1", now="2026-03-01T09:00:00Z")


def end_of(root: Path, *, lines: int) -> str:
    """Take the last lines of the events away; return them."""
    events = root / ".contentops" / "events.jsonl"
    kept = events.read_text("utf-8").splitlines(keepends=True)
    events.write_text("".join(kept[:-lines]), "utf-8")
    return "".join(kept[-lines:])


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


@pytest.mark.parametrize("note", ["left", "gone"])
def test_a_killed_run_is_not_called_running(applied: Path, note: str) -> None:
    """It left its note, and no lock: the page says so, and how to go on; none of its items is running."""
    events = applied / ".contentops/events.jsonl"
    lines = events.read_text("utf-8").splitlines(keepends=True)
    events.write_text("".join(line for line in lines if "city-lisbon" not in line)[: -len(lines[-1])], "utf-8")
    with events.open("a", encoding="utf-8") as file:
        file.write(next(line for line in lines if "city-lisbon" in line and "step-started" in line))
    if note == "left":
        (applied / ".contentops/apply.json").write_text("{}", "utf-8")
    browser = Browser(applied)
    run = browser.get("/run").text
    assert "The last run was stopped" in run
    assert "contentops apply" in run
    assert "stopped</span>" in run
    assert "running" not in run
    assert "An apply is running" not in browser.get("/").text


@pytest.mark.parametrize("path", ["/", "/plan", "/item?id=welcome"])
def test_other_pages_say_that_an_apply_is_running(applied: Path, path: str) -> None:
    """They lead to its page, and no command to start another one is shown."""
    end_of(applied, lines=3)
    manifest = applied / "content/articles.yaml"
    manifest.write_text(manifest.read_text("utf-8").replace("Five first steps", "Six first steps"), "utf-8")
    browser = Browser(applied)
    assert "An apply is running" not in browser.get(path).text
    with apply_lock(applied):
        page = browser.get(path).text
    assert "An apply is running: 3 of 4 done" in page
    assert '<a href="/run">Follow it</a>' in page
    assert "<pre><code>contentops apply" not in page


@pytest.mark.parametrize("earlier", [True, False])
def test_a_command_without_events_is_not_the_last_run(applied: Path, *, earlier: bool) -> None:
    """An apply that plans, or a commit that pushes: the run before it is not shown as what works now."""
    if not earlier:
        (applied / ".contentops/events.jsonl").unlink()
    browser = Browser(applied)
    with apply_lock(applied):
        run, overview = (browser.get(path).text for path in ("/run", "/"))
    assert "A command is running" in run
    assert "4 of 4 done" not in run
    assert "Started" not in run
    assert "A command is running: it has begun with no item yet" in overview
    assert ("4 of 4 done" in browser.get("/run").text) is earlier


def test_a_run_that_goes_on_is_followed_to_its_end(applied: Path) -> None:
    """What is added appears, without the page being asked again; a torn line is read once it is whole."""
    events, lock = applied / ".contentops" / "events.jsonl", apply_lock(applied)
    end, browser = end_of(applied, lines=3), Browser(applied)
    lock.__enter__()
    page = browser.get("/run").text
    assert "An apply is running" in page
    assert "3 of 4 done" in page
    assert "Look again" in page

    async def follow() -> list[str]:
        seen = []
        async for part in stream(browser.site):
            seen.append(part)
            if len(seen) == 1:
                with events.open("a", encoding="utf-8") as file:
                    file.write(end[:20])
                    file.flush()
                    file.write(end[20:])
                lock.__exit__(None, None, None)
        return seen

    first, second, last = asyncio.run(follow())
    assert "3 of 4 done" in json.loads(first.removeprefix("data: "))
    assert "4 of 4 done" in json.loads(second.removeprefix("data: "))
    assert last == "event: end\ndata: \n\n"


def test_a_server_that_ends_lets_go_of_its_browsers(applied: Path) -> None:
    """An open stream does not keep the server from ending."""
    end_of(applied, lines=2)
    browser = Browser(applied)
    browser.site.closing.set()
    with apply_lock(applied):
        assert browser.get("/run/events").text == ""


def test_what_an_action_came_to_is_said_where_no_other_page_said_it(applied: Path) -> None:
    """A slow action of the page ends while someone looks at the run."""
    browser = Browser(applied)
    task = browser.site.runner.start(lambda _: "Done: 1 item, <4> credits.")
    assert task.is_done(10)
    assert "Done: 1 item, &lt;4&gt; credits." in browser.get("/run").text

    def refuse(_: Stop) -> str:
        raise Refused("not <now>", code="refused", hint="later")

    assert browser.site.runner.start(refuse).is_done(10)
    page = browser.get("/run").text
    assert "not &lt;now&gt;" in page
    assert "later" in page
    browser.site.runner.close()
