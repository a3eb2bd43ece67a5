"""`contentops watch`: plans again as files are saved, draws in place, applies nothing, ends with Ctrl-C."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select as selecting
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from contentops.cli.commands.queue import follow as watch_queue
from contentops.cli.commands.watch import follow, shown
from contentops.cli.output.screen import Screen
from contentops.errors import UsageError
from contentops.model import Queue
from contentops.operations.opening import Runtime, open_project
from contentops.operations.watched_plan import WatchedPlan, Watcher
from contentops.planning.plan_inputs import Choice

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = "project: x\napi: {base_url: local}\ndefaults: {template: blog_article_generator, style: general_blog}\n"
MANIFEST = """\
items:
  - {id: "a-{{ each.name }}", for_each: data/names.csv, inputs: {topic: "Of {{ each.name }}", target_audience: readers}}
"""
LATER = 10**10
"""Nanoseconds by which the clock is ahead of the files, so that their stamps can be trusted at once."""


@pytest.fixture
def site(project: Build) -> Path:
    """A project with a data file."""
    return project({"contentops.yaml": SETTINGS, "content/a.yaml": MANIFEST, "data/names.csv": "name\nx\ny\n"})


def _watcher(root: Path, *select: str) -> Watcher:
    runtime = Runtime(disk_time=lambda: time.time_ns() + LATER, wall=lambda: 0.0)
    return Watcher(lambda: open_project(str(root), "", ()), str(root), Choice(select=select), runtime=runtime)


def _is_due(watcher: Watcher) -> tuple[bool, ...]:
    return watcher.is_due(), watcher.is_due()


def _created(made: WatchedPlan) -> list[str]:
    assert made.plan is not None
    return [change.id for change in made.plan.changes]


def test_each_kind_of_file_is_planned_again(site: Path, invoke: Run) -> None:
    """Once it is quiet between two looks; files that no plan reads do not count."""
    (site / "notes").mkdir()
    watcher = _watcher(site)
    assert _created(watcher.plan()) == ["a-x", "a-y"]
    watcher.plan()  # the first one made our folder in the root
    (site / "notes/other.txt").write_text("x")
    assert _is_due(watcher) == (False, False)
    (site / "data/names.csv").write_text("name\nx\n")
    assert _is_due(watcher) == (False, True)
    assert _created(watcher.plan()) == ["a-x"]
    (site / "content/b.yaml").write_text(MANIFEST.replace("a-", "b-"))
    assert _is_due(watcher) == (False, True)
    assert _created(watcher.plan()) == ["a-x", "b-x"]
    (site / "contentops.yaml").write_text(SETTINGS + "vars: {unused: 1}\n")
    assert _is_due(watcher) == (False, True)
    assert watcher.plan().plan is not None
    assert not (site / "contentops.lock").exists()
    assert invoke("apply", "--yes", cwd=site).code == 0
    assert _is_due(watcher) == (False, True)
    assert _created(watcher.plan()) == []
    (site / "out/a-x.md").unlink()
    assert _is_due(watcher) == (False, True)
    assert _created(watcher.plan()) == ["a-x"]


def test_saves_that_go_on_are_waited_for(site: Path) -> None:
    """A look that finds other stamps than the last one waits for the next; what is taken back is no change."""
    watcher = _watcher(site)
    watcher.plan()
    watcher.plan()
    for rows in range(3):
        (site / "data/names.csv").write_text("name\n" + "z\n" * (rows + 1))
        assert not watcher.is_due()
    assert watcher.is_due()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("content/a.yaml", "items: [{id: a, inptus: {}}]\n"),
        ("content/a.yaml", "items: [\n"),
        ("contentops.yaml", "project: [\n"),
        ("contentops.lock", "nothing\n"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_errors_are_shown_until_they_are_mended(site: Path, name: str, text: str, *, is_first: bool) -> None:
    """From the start, or after a plan; a file that did not exist goes again."""
    watcher, path = _watcher(site), site / name
    before = path.read_text("utf-8") if path.exists() else None
    if not is_first:
        watcher.plan()
    path.write_text(text, "utf-8")
    made = watcher.plan()
    assert made.plan is None
    assert "error[" in shown(made, [])
    while any(_is_due(watcher)):
        watcher.plan()
    path.unlink() if before is None else path.write_text(before, "utf-8")
    assert any(_is_due(watcher))
    assert _created(watcher.plan()) == ["a-x", "a-y"]


def test_a_wrong_selector_ends_the_start_and_not_the_watch(site: Path) -> None:
    """A name that is misspelt will not be there later; one that is renamed may come back."""
    with pytest.raises(UsageError, match="matches no item"):
        _watcher(site, "zzz").plan()
    watcher = _watcher(site, "a-y")
    assert _created(watcher.plan()) == ["a-y"]
    (site / "data/names.csv").write_text("name\nx\n")
    assert watcher.plan().plan is None
    (site / "data/names.csv").write_text("name\nx\ny\n")
    assert _created(watcher.plan()) == ["a-y"]


def test_the_loop_draws_each_plan_once(site: Path) -> None:
    """Between two looks nothing runs; the same drawing is not written again."""
    watcher, stream = _watcher(site), io.StringIO()
    saves = iter([None, lambda: (site / "data/names.csv").write_text("name\nx\n"), None, None, None])
    written: list[int] = []

    def pause() -> None:
        written.append(len(stream.getvalue()))
        try:
            save = next(saves)
        except StopIteration:
            raise KeyboardInterrupt from None
        if save is not None:
            save()

    made = watcher.plan()
    watcher.plan()
    with contextlib.suppress(KeyboardInterrupt), Screen(stream) as screen:
        follow(watcher, made, lambda made, foot: screen.draw(shown(made, []), foot), pause)
    assert written[0] == written[1] == written[2]
    assert written[-1] == written[-2]
    opened, *frames = stream.getvalue().split("\x1b[H")
    assert opened.startswith("\x1b[?1049h")
    assert [("2 to create" in frame, "1 to create" in frame) for frame in frames] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert "Planning \u2026" in frames[1]
    assert "\x1b[2J" not in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?1049l")


def test_the_queue_is_drawn_in_place_too() -> None:
    """`queue --watch` clears no screen between two drawings, which would flicker."""
    stream, pauses = io.StringIO(), iter([None, None])

    def pause() -> None:
        if next(pauses, 0) == 0:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt), Screen(stream) as screen:
        watch_queue(Queue, screen.draw, pause)
    assert "no worker is running" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[?1049l")


def test_a_plan_that_is_too_high_keeps_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a plan is what it costs."""
    monkeypatch.setenv("LINES", "12")
    stream = io.StringIO()
    with Screen(stream) as screen:
        screen.draw("\n".join(f"line {number}" for number in range(100)), "foot")
    lines = stream.getvalue().split("\x1b[H")[1].split("\x1b[K\r\n")
    assert lines[:4] == ["line 0", "line 1", "line 2", "line 3"]
    assert lines[4] == "\u2026 91 more lines"
    assert lines[5:10] == [f"line {number}" for number in range(95, 100)]
    assert lines[11].startswith("foot")


def test_without_a_terminal_it_says_so(site: Path, invoke: Run) -> None:
    """A log cannot be redrawn."""
    ended = invoke("watch", cwd=site)
    assert (ended.code, ended.stdout) == (64, "")
    assert ended.stderr.startswith("error[no-terminal]: `watch` needs a terminal to draw on\nhint: `contentops plan`")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_real_terminal(site: Path) -> None:
    """A saved file shows in the plan; Ctrl-C restores the screen and ends with 0."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "contentops", "watch"]
    env = {**os.environ, "TERM": "xterm", "CI": ""}
    child = subprocess.Popen(command, cwd=site, stdin=follower, stdout=follower, stderr=follower, env=env)
    os.close(follower)
    try:
        assert "2 to create" in _read_until(leader, "Ctrl-C ends")
        (site / "data/names.csv").write_text("name\nx\n")
        _read_until(leader, "1 to create")
        (site / "content/a.yaml").write_text("items: [\n")
        _read_until(leader, "error[")
        child.send_signal(signal.SIGINT)
        assert _read_until(leader, "\x1b[?1049l").endswith("\x1b[?7h\x1b[?25h\x1b[?1049l")
        assert child.wait(timeout=30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(leader)


def _read_until(terminal: int, words: str) -> str:
    """What the terminal shows until it has these words, without colours."""
    seen = ""
    while words not in seen:
        assert selecting.select([terminal], [], [], 30)[0], seen
        seen = re.sub(r"\x1b\[[0-9;]*m", "", seen + os.read(terminal, 4096).decode())
    return seen
