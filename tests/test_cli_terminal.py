"""Streams, colours, questions, signals, displays."""

import io
import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import click
import pytest

from contentops.cli import terminal
from contentops.cli.carry_out import Moving, Plain, recorded, watching
from contentops.cli.commands.items import status_text
from contentops.cli.commands.state import listing
from contentops.cli.named_files import write_whole
from contentops.cli.options import duration
from contentops.errors import OutputError
from contentops.model import ItemId, State
from contentops.operations.plan import ItemStatus
from contentops.reporting.layout import outline, table, unpainted
from contentops.reporting.run import Progress
from tests.models import Model, shop
from tests.plans import make_event, make_job, make_record
from tests.running import Build
from tests.terminals import on_a_terminal

PROJECT = """
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
MANIFEST = """
items:
  - id: an-article-with-a-long-name
    inputs: {topic: First things, target_audience: everybody}
"""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "environ", "color", "moving"), [
    pytest.param(Terminal(), {}, True, True, id="terminal"),
    pytest.param(io.StringIO(), {}, False, False, id="file"),
    pytest.param(io.StringIO(), {"FORCE_COLOR": "1"}, True, False, id="forced"),
    pytest.param(Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, True, id="no color"),
    pytest.param(Terminal(), {"NO_COLOR": ""}, True, True, id="empty is unset"),
    pytest.param(Terminal(), {"TERM": "dumb"}, False, False, id="dumb"),
    pytest.param(Terminal(), {"CI": "true"}, True, False, id="ci"),
    pytest.param(Terminal(), {"CI": "false"}, True, True, id="no ci"),
    pytest.param(Terminal(), {"GITHUB_ACTIONS": "true"}, True, False, id="github"),
])  # fmt: skip
def test_colour_and_motion(stream: io.StringIO, environ: dict[str, str], color: bool, moving: bool) -> None:
    """Colour may be forced, motion may not; CI gets neither questions nor motion."""
    assert terminal.wants_color(stream, environ) is color
    assert terminal.can_animate(stream, environ) is moving


@pytest.mark.parametrize(("text", "seconds"), [
    ("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 d ", 172_800),
], ids=["bare", "s", "m", "h", "d"])  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """A number with a unit, or seconds."""
    assert duration(_CONTEXT, _OPTION, text) == seconds


_OPTION = click.Option(["--deadline"])
_CONTEXT = click.Context(click.Command("apply"))


def test_tables_stand_straight_whatever_they_hold() -> None:
    """Wide characters count double, hostile ones are shown, and no line ends in spaces; what says nothing if cut is whole."""
    assert table(("A", "B"), [("漢字", "x"), ("a\x1b", ""), ("abcdef", "y")]) == (
        "A       B\n漢字    x\na\\x1b\nabcdef  y"
    )
    rows = [("a", "x" * 30, "2026-03-01T10:00Z")]
    assert table(("ID", "PATH", "TIME"), rows, width=34, whole=("TIME",)).split("\n")[1] == (
        f"a   {'x' * 10}…  2026-03-01T10:00Z"
    )


def test_open_jobs_are_listed_after_the_records() -> None:
    """What is still on its way is a table of its own."""
    record, job = make_record(), make_job(job_id="job-1", submitted_at="2026-03-01T10:00:00Z")
    state = State(lineage="l", records={record.id: record}, open_jobs={job.request_id: job})
    assert listing(state) == (
        "ITEM   OUTPUT        REQUEST  SERVER\n"
        "guide  out/guide.md           local\n\n"
        "OPEN   STATE    JOB    SUBMITTED\n"
        "guide  running  job-1  2026-03-01T10:00:00Z\n\n"
        "1 record, 1 open."
    )
    assert listing(State(lineage="l")) == "0 records, 0 open."


def test_an_outline_keeps_line_breaks() -> None:
    """Nested values are indented; texts of several lines keep them; the rest is JSON."""
    values = {"request": {"topic": "a\nb\x1b", "points": ["x", 1], "empty": {}}, "digest": "d", "none": None, "no": ""}
    assert "\n".join(map(unpainted, outline(values))) == (
        'request:\n  topic: |\n    a\n    b\\x1b\n  points: ["x", 1]\n  empty: {}\ndigest: d\nnone: null\nno:'
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """An existing file is replaced; where that fails nothing is left behind."""
    path = tmp_path / "plan.json"
    write_whole(path, "one\n")
    write_whole(path, "two\n")
    assert path.read_text() == "two\n"
    (tmp_path / "folder").mkdir()
    for wrong in (tmp_path / "folder", tmp_path / "none" / "plan.json", path / "below"):
        with pytest.raises(OutputError, match="cannot be written"):
            write_whole(wrong, "x")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "plan.json"]


_ASK = """
from contentops.cli.confirmation import Confirmation
from contentops.model import Plan
confirmation = Confirmation(lambda: print("begun"), yes=False, as_json=False)
print("answer", confirmation(Plan(project="p", environment="", server="local", lineage="l")))
"""


@pytest.mark.parametrize(("typed", "answer"), [
    pytest.param(b"yes\n", True, id="yes"), pytest.param(b"Y\n", True, id="y"), pytest.param(b"no\n", False, id="no"),
    pytest.param(b"\n", False, id="return"), pytest.param(b"\x04", False, id="end of input"),
])  # fmt: skip
def test_a_person_is_asked(typed: bytes, answer: bool, processes: None) -> None:
    """Only a yes goes on."""
    seen = on_a_terminal(_ASK, typed)
    assert "Apply these changes? (yes/no)" in seen
    assert f"answer {answer}" in seen
    assert ("begun" in seen) is answer


def test_a_person_sees_the_plan_wherever_stdout_goes(processes: None) -> None:
    """With stdout redirected the plan goes to the terminal the question is asked on."""
    seen = on_a_terminal(f"import sys; sys.stdout = open('/dev/null', 'w')\n{_ASK}", b"no\n")
    assert seen.index("No changes.") < seen.index("Apply these changes? (yes/no)")


def test_ci_is_not_asked_evenon_a_terminal(processes: None) -> None:
    """CI systems that fake a terminal get the refusal, not a prompt no one answers."""
    seen = on_a_terminal(_ASK, b"yes\n", {"CI": "true"})
    assert "there is no terminal to ask on" in seen
    assert "Apply these changes?" not in seen


_APPLY = "import sys; from contentops.__main__ import main; print(main(['apply', *sys.argv[1:]]))"


@pytest.mark.parametrize(("typed", "texts", "code"), [
    pytest.param(b"yes\nyes\n", 3, 0, id="yes"), pytest.param(b"yes\nno\n", 1, 5, id="no"),
    pytest.param(b"no\n", 0, 4, id="not even one"),
])  # fmt: skip
def test_the_first_prose_of_a_project_is_read_before_the_rest(
    project: Build, processes: None, typed: bytes, texts: int, code: int
) -> None:
    """A model writes one text, a person reads its beginning, and only a yes pays for the others."""
    with Model() as model:
        root = shop(project, "one", "two", "three")
        seen = on_a_terminal(_APPLY, typed, model.env, cwd=root)
        assert seen.endswith(f"\n{code}\n"), seen
        assert len(list(root.glob("out/*.md"))) == texts
        assert ("  The Pull of the Moon\n\n  ## " in seen and "whole text is in `out/one.md`" in seen) is bool(texts)
        assert ("Paused: 2 texts not written. To go on: `contentops apply`" in seen) is (code == 5)
        assert (f"Apply: {texts} done. An unknown number of tokens spent" in seen) is bool(texts), seen
        paid = len(model.prompts)
        # What was read once is not asked about again, and nothing is paid for twice.
        if texts:
            seen = on_a_terminal(_APPLY, b"yes\n", model.env, cwd=root)
            assert "Write the other" not in seen
            assert seen.endswith("\n0\n")
            assert len(list(root.glob("out/*.md"))) == 3
            assert len(model.prompts) == 3 * (paid // texts)


@pytest.mark.parametrize("flags", ["'--yes'", "'--select', 'one'", "'--canary', '2'"])
def test_nothing_is_asked_about_one_text_or_with_a_yes(project: Build, processes: None, flags: str) -> None:
    """`--yes`, a single text and a number of one's own leave nothing to ask after the first text."""
    with Model() as model:
        root = shop(project, "one", "two")
        seen = on_a_terminal(_APPLY.replace("*sys.argv[1:]", flags), b"yes\n", model.env, cwd=root)
    assert "One text is written first" not in seen
    assert seen.endswith("\n0\n")


def test_what_changes_while_the_first_text_is_read_is_refused(project: Build, processes: None) -> None:
    """The yes after the first text counts for the plan that was shown, and for nothing more."""
    script = """
import pathlib, sys
from contentops.cli import terminal
from contentops.__main__ import main
class In:
    def __init__(self, stream):
        self.stream, self.lines = stream, 0
    def readline(self):
        self.lines += 1
        if self.lines == 2:
            path = pathlib.Path("content/blog.yaml")
            path.write_text(path.read_text().replace("All about two", "All about four"))
        return self.stream.readline()
    def __getattr__(self, name):
        return getattr(self.stream, name)
sys.stdin = In(sys.stdin)
print(main(["apply"]))
"""
    with Model() as model:
        root = shop(project, "one", "two")
        seen = on_a_terminal(script, b"yes\nyes\n", model.env, cwd=root)
    assert "error[unreviewed]" in seen
    assert seen.endswith("\n4\n")
    assert [path.name for path in root.glob("out/*.md")] == ["one.md"]


_STOP = """
import signal, sys
from contentops.cli.carry_out import stopping
before = signal.getsignal(signal.SIGINT)
asked = []
with stopping(lambda: asked.append(1)):
    print("ready", flush=True)
    sys.stdin.readline()
    print("asked", len(asked), flush=True)
    sys.stdin.readline()
print("restored", signal.getsignal(signal.SIGINT) is before, flush=True)
"""


def _stopped(numbers: list[signal.Signals]) -> tuple[int, str, str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _STOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child:
        out = child.stdout.readline()
        err = ""
        for number in numbers:
            child.send_signal(number)
            # The handler writes before it does anything else: its words are the proof that it ran.
            err += child.stderr.readline() + child.stderr.readline()
        rest, more = child.communicate("\n\n", timeout=30)
        return child.returncode, out + rest, err + more


GENTLY = "\nstopping: nothing new is submitted, progress is kept; press Ctrl-C again to exit at once\n"
AT_ONCE = "\nexit at once; `contentops apply` continues what is running\n"


@pytest.mark.parametrize(("signals", "code", "said", "told"), [
    ([signal.SIGINT], 0, "ready\nasked 1\nrestored True\n", GENTLY),
    ([signal.SIGTERM], 0, "ready\nasked 1\nrestored True\n", GENTLY),
    ([signal.SIGINT, signal.SIGTERM], 130, "ready\n", GENTLY + AT_ONCE),
])  # fmt: skip
def test_a_signal_stops_gently_and_a_second_one_at_once(
    signals: list[signal.Signals], code: int, said: str, told: str, processes: None
) -> None:
    """The first asks once, says so, and the old handlers come back; the second ends whatever the first one began."""
    assert _stopped(signals) == (code, said, told)


_IMPATIENT = """
import os, signal, sys
from contentops.__main__ import main
class Out:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        if text.startswith("Apply:"):
            os.kill(os.getpid(), signal.SIGINT)
        return self.stream.write(text)
    def __getattr__(self, name):
        return getattr(self.stream, name)
sys.stdout = Out(sys.stdout)
sys.exit(main(["apply", "--yes"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_what_happened_is_said_to_whoever_presses_twice(project: Build, processes: None) -> None:
    """A Ctrl-C that comes when the run has ended takes nothing away from its summary."""
    root = project({"contentops.yaml": PROJECT, "content/a.yaml": MANIFEST})
    ended = subprocess.run(
        [sys.executable, "-c", _IMPATIENT], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, "Apply: 1 done." in ended.stdout) == (0, True), ended.stderr


def test_a_plan_fits_the_terminal(project: Build, processes: None) -> None:
    """No line is wider than the terminal, so that none is broken within a word."""
    root = project({"contentops.yaml": PROJECT, "content/a.yaml": MANIFEST})
    script = "from contentops.__main__ import main; main(['plan'])"
    environ = {"COLUMNS": "40", "CI": "", "GITHUB_ACTIONS": "", "NO_COLOR": "1"}
    lines = on_a_terminal(script, b"", environ, cwd=root).splitlines()
    assert "    out/an-article-with-a-long-name.md" in lines
    assert max(map(len, lines)) <= 40


def test_a_log_has_one_line_per_change_of_state() -> None:
    """Starting, submitting and ending are told; stages in between are not."""
    progress = Progress()
    events = [
        make_event("run-started", items=2, submits=2, credits=8), make_event("item-started", "a", action="create"),
        make_event("step-started", "a", "submit"), make_event("step-done", "a", "submit", job="job-1"),
        make_event("step-done", "a", "submit"), make_event("step-done", "a", "poll"),
        make_event("progress", "a", "poll", stage="writer\x1b", progress=0.6), make_event("something-new", "a"),
        make_event("item-done", "a", result="done", credits=4, output="out/a.md"),
        make_event("item-done", "b", result="failed", error="server's\nwords"),
        make_event("note", "b", message="look"), make_event("note", message="all"), make_event("run-done"),
    ]  # fmt: skip
    assert [unpainted(line) for event in events for line in progress.take(event)] == [
        "apply: 2 items, 2 submits, 8 credits", "a: submitted", "[1/2] a: done, 4 credits -> out/a.md",
        "[2/2] b: failed: server's\\nwords", "note: b: look", "note: all",
    ]  # fmt: skip


def test_advice_works_in_the_folder_where_it_is_read() -> None:
    """Only the advice has `-C`: a text may quote any command."""
    plan = "  topic: `contentops plan`\n  hint: `contentops show a`, `--prune`\nNext: `contentops apply`"
    assert terminal.in_folder(plan, "my site").splitlines() == [
        "  topic: `contentops plan`", "  hint: `contentops -C 'my site' show a`, `--prune`",
        "Next: `contentops -C 'my site' apply`",
    ]  # fmt: skip
    assert terminal.in_folder(terminal.in_folder(plan, "a"), "a") == terminal.in_folder(plan, "a")
    assert terminal.in_folder(plan, ".") == plan


def test_a_log_is_never_silent_for_long() -> None:
    """After 30 s without a line any event gives a sign of life, which says what is waited for."""
    progress = Progress()
    progress.take(make_event("run-started", items=3, second=0))
    progress.take(make_event("step-started", "a", "poll", second=1))
    assert progress.take(make_event("waiting", second=29, on="the rate limit", seconds=12.4)) == ()
    assert progress.take(make_event("waiting", second=30, on="the rate limit", seconds=12.4)) == (
        "0 of 3 done, 1 running; waiting for the rate limit (12 s)",
    )
    assert progress.take(make_event("progress", "a", second=59)) == ()
    assert progress.take(make_event("waiting", second=61)) == ("0 of 3 done, 1 running; waiting for the server",)


def test_an_item_in_work_says_where_it_is() -> None:
    """Step, stage and share, each as far as it is known and sane."""
    progress = Progress()
    progress.take(make_event("item-started", "a"))
    assert progress.active["a"].words() == "waiting"
    progress.take(make_event("step-started", "a", "poll"))
    progress.take(make_event("progress", "a", "poll", stage="writer", progress=0.61))
    assert progress.active["a"].words() == "generating: writer 61%"
    for wrong in (None, True, 7, "x", float("nan")):
        progress.take(make_event("progress", "a", "poll", stage=3, progress=wrong))
        assert progress.active["a"].words() == "generating"
    progress.take(make_event("item-done", "a", result="late", credits="many"))
    assert progress.totals() == "1 of 1 done, 1 late"


_RUN = [
    make_event("run-started", items=14, submits=14, credits=56),
    *[make_event("step-started", f"item-{number:02}", "poll") for number in range(14)],
    make_event("progress", "item-00", "poll", stage="[red]writer", progress=0.5),
    make_event("item-done", "item-01", result="done", credits=4, output="[bold]x"),
]


def test_plain_lines_reach_the_stream_at_once() -> None:
    """A log sees each line as it happens; a stream that was closed does not stop the run."""
    stream = io.StringIO()
    display = Plain(stream)
    display.start()
    for event in _RUN:
        display.show(event)
    assert stream.getvalue().splitlines() == [
        "apply: 14 items, 14 submits, 56 credits",
        "[1/14] item-01: done, 4 credits -> [bold]x",
    ]
    stream.close()
    display.show(make_event("note", message="x"))
    display.close()


def test_a_moving_line_shows_the_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sees the finished items, and one line that is written again, never wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    display = Moving(stream, clock=lambda: datetime.fromisoformat(make_event("note", second=42).at).timestamp())
    display.show(make_event("note", message="before the start"))
    display.start()
    for event in _RUN:
        display.show(event)
    display.close()
    *drawn, last = stream.getvalue().split("\r\x1b[2K")[1:]
    assert drawn[-1] == (
        "[1/14] item-01: done, 4 credits -> [bold]x\n1 of 14 done, 13 running, 4 credits, 42s; item-00: gener…"
    )
    assert drawn[1] == "0 of 14 done, 1 running, 42s; item-00: generating, 42s"
    assert (last, max(len(line) for text in drawn for line in text.splitlines()) <= 57) == ("", True)


def test_the_line_says_what_runs_how_long_and_what_it_cost() -> None:
    """In credits or money; an amount that is none is not counted."""
    progress = Progress()
    for event in (
        make_event("run-started", items=20),
        make_event("item-started", "oslo", second=1),
        make_event("step-started", "oslo", "poll", second=5),
        make_event("item-started", "rome", action="create", second=39),
        make_event("item-done", "a", credits=4, money={"USD": "0.0125"}),
        make_event("item-done", "b", money={"USD": "0.01", "EUR": "9e999999", "X": 7}),
    ):
        progress.take(event)
    now = datetime.fromisoformat(make_event("note", second=41).at).timestamp()
    assert progress.line(now) == (
        "2 of 20 done, 2 running, 4 credits, 0.0225 USD, 41s; oslo: generating, 40s; rome: create, 2s"
    )


def test_events_are_recorded_one_a_line(tmp_path: Path) -> None:
    """The file has every event at once, also those the display does not show; a folder is no file for events."""
    path = tmp_path / "events.ndjson"
    with watching(io.StringIO()) as display, recorded(display.show, str(path)) as show:
        display.start()
        show(make_event("waiting", "a", on="x\u2028"))
        line = path.read_text()
        assert (json.loads(line)["data"], line.count("\n")) == ({"on": "x\u2028"}, 1)
        show(make_event("note", message="y"))
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["waiting", "note"]
    with pytest.raises(OutputError, match="cannot be written"), recorded(print, str(tmp_path)):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_ends_the_events_not_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said once, and the display goes on."""
    stream = io.StringIO()
    with recorded(Plain(stream).show, "/dev/full") as show:
        show(make_event("note", message="one"))
        show(make_event("note", message="two"))
    assert stream.getvalue() == "note: one\nnote: two\n"
    assert capsys.readouterr().err.count("warning[events]: `/dev/full` cannot be written any more") == 1


def test_a_status_in_a_narrow_terminal_keeps_the_ids() -> None:
    """The time and the file go first; a wide one has every column."""
    at = "2026-12-02T16:45:00Z"
    items = [
        ItemStatus(id=ItemId(name), state="as generated", output=f"content/{name}.md", generated_at=at)
        for name in ("newsletter/2027-01", "newsletter/2027-02")
    ]
    heads = {width: unpainted(status_text(items, width=width)).split("\n")[0].split() for width in (0, 70, 40)}
    columns = ["ITEM", "STATE", "OUTPUT", "GENERATED"]
    assert heads == {0: columns, 70: columns[:3], 40: columns[:2]}
    assert "newsletter/2027-02  as generated" in status_text(items, width=40)
