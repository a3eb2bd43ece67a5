"""Runs, findings, commits and times in words, and as JSON."""

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.errors import Diagnostic, ExitCode, Location, Severity
from contentops.model import Change, Event, Job, JobState, Record, Result, Run, State
from contentops.model.jobs import open_jobs
from contentops.reporting import spend
from contentops.reporting.commit_message import commit_message, summarize
from contentops.reporting.diagnostics import diagnostics_json, diagnostics_text, window
from contentops.reporting.layout import fitted, unpainted
from contentops.reporting.run import Progress, as_typed, duration, exit_code_of, run_json, run_text
from contentops.sanitize import json_text
from contentops.schema_files import load_schema
from tests.plans import make_change, make_job, make_outcome, make_plan, make_record, make_run
from tests.test_report_plan import strict

DONE = make_outcome("done", credits=4)


def _text(run: Run) -> str:
    return unpainted(run_text(run))


def _report(run: Run | None, *changes: Change) -> Any:
    """The report as a program reads it; every key is described, and every described key is there."""
    document = json.loads(json_text(run_json(run, make_plan(*changes))))
    jsonschema.validate(document, strict(load_schema("report")))
    return document


def test_troubles_are_told_with_the_servers_words() -> None:
    """Failures first, then what is blocked, unknown and late, each with its hint."""
    run = make_run(
        DONE,
        make_outcome("l", Result.LATE),
        make_outcome("u", Result.UNKNOWN),
        make_outcome("b", Result.BLOCKED, error="edited", hint="decide"),
        make_outcome("f", Result.FAILED, error="Missing required input field: audience\x1b[2J"),
        environment="staging",
    )
    assert _text(run) == (
        "  x f  failed: Missing required input field: audience\\x1b[2J\n"
        "  ! b  blocked: edited\n"
        "      hint: decide\n"
        "  ? u  unknown\n"
        "  … l  late\n"
        "\n"
        "Apply: 1 done, 1 failed, 1 blocked, 1 unknown, 1 late. 4 credits spent, 12 requests, 1m 3s.\n"
        "Next: `contentops state resolve --env staging` shows unknown submits and what to do,"
        " then `contentops apply --env staging`"
    )


def test_the_way_on_for_a_blocked_item_names_the_environment() -> None:
    """A person copies it; what a server said stays as it is."""
    said = "`contentops apply --select b` generates it again"
    made = (make_outcome("b", Result.BLOCKED, error=said), make_outcome("f", Result.FAILED, error=said))
    blocked, failed = as_typed(make_run(*made, environment="staging"), "contentops apply --env staging").outcomes
    assert blocked.error == "`contentops apply --env staging --select b` generates it again"
    assert failed.error == said


@pytest.mark.parametrize(
    ("lost", "words"),
    [([4], "0 credits spent, up to 4 more if the server took it"), ([4, 1], "up to 5 more if the server took them")],
    ids=["one", "two"],
)
def test_what_may_have_been_spent_is_told(lost: list[int], words: str) -> None:
    """A submit whose answer was lost may have been paid for: the summary and the JSON say how much that is."""
    run = make_run(*[make_outcome(f"i{at}", Result.UNKNOWN, credits_unknown=credit) for at, credit in enumerate(lost)])
    assert words in _text(run)
    document = _report(run)["run"]
    assert document["credits_unknown"] == sum(lost)
    assert [one["credits_unknown"] for one in document["outcomes"]] == lost


def test_a_run_that_stopped_says_why_and_how_to_go_on() -> None:
    """The reason, once, the words, the hint and the next command."""
    run = make_run(
        DONE, make_outcome("p", Result.PENDING), make_outcome("w", Result.PENDING, steps=("submit", "poll", "write")),
        stopped="credits", message="credits; no credits left", hint="buy some",
    )  # fmt: skip
    assert _text(run) == (
        "stopped (credits): no credits left\n"
        "hint: buy some\n"
        "\n"
        "Apply: 1 done, 1 not finished, 1 not reached. 4 credits spent, 12 requests, 1m 3s.\n"
        "Next: `contentops apply` continues where this run stopped"
    )


def test_many_outcomes_are_counted() -> None:
    """Beyond fifty of a kind the rest is a number; of two runs of one apply each item counts once, with both costs."""
    text = _text(make_run(*[make_outcome(f"i{number}", Result.FAILED) for number in range(60)]))
    assert ("  x … 10 more failed" in text, "i49" in text, "i50" in text) == (True, True, False)
    first = make_run(make_outcome("a", credits=4), started_at="2026-03-01T09:59:00+00:00")
    run = make_run(make_outcome("a", steps=("update",)), make_outcome("b", credits=4)).after(first)
    assert _text(run) == "Apply: 2 done. 8 credits spent, 24 requests, 2m 3s."


@pytest.mark.parametrize(("start", "end", "words"), [
    pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:01.25Z", "1.2s", id="seconds"),
    pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:04:12Z", "4m 12s", id="minutes"),
    pytest.param("2026-03-01T10:00:00Z", "2026-03-01T12:04:12Z", "2h 4m", id="hours"),
    pytest.param("2026-03-01T10:00:00Z", "2026-03-01T09:00:00Z", "under a second", id="clock set back"),
    pytest.param("2026-03-01T10:00:00Z", "", "", id="no end"),
    pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:00", "", id="no time zone"),
])  # fmt: skip
def test_durations(start: str, end: str, words: str) -> None:
    """Times a person reads; nothing where they cannot be compared."""
    assert duration(start, end) == words


@pytest.mark.parametrize(("run", "code"), [
    pytest.param(make_run(), ExitCode.DONE, id="nothing"),
    pytest.param(make_run(DONE), ExitCode.DONE, id="done"),
    *[pytest.param(make_run(DONE, make_outcome(result=result)), ExitCode.INCOMPLETE, id=result) for result in Result if result is not Result.DONE],
    pytest.param(make_run(stopped="interrupted"), ExitCode.INTERRUPTED, id="interrupted"),
    pytest.param(make_run(stopped="deadline"), ExitCode.PAUSED, id="deadline"),
    pytest.param(make_run(make_outcome(result=Result.PENDING), stopped="credits"), ExitCode.PAUSED, id="credits"),
    pytest.param(make_run(make_outcome(result=Result.FAILED), stopped="credits"), ExitCode.PAUSED, id="5 beats 3"),
    pytest.param(make_run(stopped="unauthorized"), ExitCode.INCOMPLETE, id="unauthorized"),
    pytest.param(make_run(stopped="first-contact"), ExitCode.INCOMPLETE, id="first contact"),
    pytest.param(make_run(stopped="refused-submits"), ExitCode.INCOMPLETE, id="refused submits"),
    pytest.param(make_run(stopped="something new"), ExitCode.INCOMPLETE, id="not known"),
])  # fmt: skip
def test_exit_codes(run: Run, code: ExitCode) -> None:
    """A run is done only if all of it is."""
    assert exit_code_of(run) is code


def test_a_report_counts_what_happened() -> None:
    """Counts, credits and outcomes are those of the run; without one there is none."""
    assert _report(None, make_change())["run"] is None
    found = _report(make_run(DONE, make_outcome("f", Result.FAILED, error="words"), stopped="deadline", hint="h"))
    assert (found["exit_code"], found["run"]["credits"]) == (5, 4)
    assert found["run"]["counts"] == {"done": 1, "failed": 1, "blocked": 0, "unknown": 0, "late": 0, "pending": 0}
    assert [one["error"] for one in found["run"]["outcomes"]] == ["", "words"]


def _finding(**fields: Any) -> Diagnostic:
    stated: dict[str, Any] = {"code": "some-code", "message": "something is wrong"}
    return Diagnostic(**stated | fields)


def test_a_finding_shows_its_place_and_the_way_out() -> None:
    """Severity, code, message, place, line, caret and hint; a flood is cut, errors first, and the count is that of all."""
    flood = [_finding(severity=Severity.WARNING, message=f"w{number}") for number in range(3)]
    assert unpainted(diagnostics_text([*flood, _finding(message="the error")], limit=2)) == (
        "error[some-code]: the error\n\nwarning[some-code]: w0\n\n… and 2 more; `--json` lists them all\n\n"
        "1 error, 3 warnings"
    )
    finding = Diagnostic(
        code="unknown-input",
        message="item `ai-adoption-guide` sets `audiance`, which template `blog_article_generator` does not take",
        location=Location("content/blog.yaml", 9, 11),
        excerpt='          audiance: "{{ persona }}"',
        width=8,
        hint="did you mean `target_audience`?",
    )
    assert unpainted(diagnostics_text([finding])) == (
        "error[unknown-input]: item `ai-adoption-guide` sets `audiance`, which template `blog_article_generator`"
        " does not take\n"
        "  --> content/blog.yaml:9:11\n"
        "   |\n"
        ' 9 |           audiance: "{{ persona }}"\n'
        "   |           ^^^^^^^^\n"
        "hint: did you mean `target_audience`?"
    )


@given(st.text(), st.text(), st.text(), st.text())
def test_no_finding_can_command_the_terminal(code: str, message: str, excerpt: str, file: str) -> None:
    """Whatever a finding holds, its text has no control character but line feeds."""
    finding = _finding(code=code, message=message, excerpt=excerpt, location=Location(file, 3, 5), hint=message)
    text = unpainted(diagnostics_text([finding]))
    assert all(character == "\n" or (character >= " " and character != "\x7f") for character in text)
    text.encode()


@pytest.mark.parametrize(("line", "column", "width", "expected"), [
    pytest.param("key: value", 6, 5, ("key: value", 5, 5), id="plain"),
    pytest.param("\tkey: 1", 2, 3, ("    key: 1", 4, 3), id="tab before"),
    pytest.param("ab\tkey: 1", 4, 3, ("ab  key: 1", 4, 3), id="tab to its stop"),
    pytest.param("漢字: x", 5, 1, ("漢字: x", 6, 1), id="wide before"),
    pytest.param("k: 漢字", 4, 2, ("k: 漢字", 3, 4), id="wide marked"),
    pytest.param("k: e\u0301x", 6, 1, ("k: e\u0301x", 4, 1), id="combining before"),
    pytest.param("a\x1bb", 3, 1, ("a\\x1bb", 5, 1), id="escape before"),
    pytest.param("abc", 10, 4, ("abc", 3, 1), id="beyond the end"),
    pytest.param("abc", 2, 50, ("abc", 1, 2), id="mark beyond the end"),
    pytest.param("abc", 0, 0, ("abc", 0, 1), id="before the start"),
])  # fmt: skip
def test_the_caret_stands_below_its_word(line: str, column: int, width: int, expected: tuple[str, int, int]) -> None:
    """Columns are those of the terminal, not characters."""
    assert window(line, column, width) == expected


def test_json_holds_everything_and_fits_the_schema() -> None:
    """Every field of every finding is there, and the counts."""
    place = Location("a.yaml", 2, 3)
    found = diagnostics_json(
        [_finding(location=place, excerpt="  x", width=1, hint="h"), _finding(severity=Severity.NOTE)]
    )
    jsonschema.validate(found, load_schema("diagnostics"))
    assert (found["errors"], found["warnings"], found["notes"]) == (1, 0, 1)
    assert found["diagnostics"][0] == {
        "severity": "error", "code": "some-code", "message": "something is wrong",
        "location": {"file": "a.yaml", "line": 2, "column": 3}, "excerpt": "  x", "width": 1, "hint": "h",
    }  # fmt: skip
    assert found["diagnostics"][1]["location"] is None


@pytest.mark.parametrize(("line", "lines"), [
    pytest.param("one two three four", ["one two", "three four"], id="plain"),
    pytest.param("  one two three", ["  one two", "  three"], id="indented"),
    pytest.param("  + one two three", ["  + one two", "    three"], id="after a sign"),
    pytest.param("  \x1b[32m+\x1b[0m one two three", ["  \x1b[32m+\x1b[0m one two", "    three"], id="after a painted sign"),
    pytest.param("a one two three", ["a one two", "three"], id="a word at the start is no sign"),
    pytest.param("and see `a b c` now", ["and see", "`a b c` now"], id="whole"),
])  # fmt: skip
def test_lines_break_between_words(line: str, lines: list[str]) -> None:
    """What follows stands under the first word, behind a sign if there is one; what is to be copied stays whole."""
    assert (fitted(line, 12), fitted(line, 0)) == ("\n".join(lines), line)


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("at", "day", "moment", "age"), [
    ("2026-11-29T06:44:00Z", "today", "today at 06:44", "since today"),
    ("2026-11-12T10:14:00Z", "on 12 November", "12 November at 10:14", "17 days"),
    ("2025-01-02T00:00:00+00:00", "on 2 January 2025", "2 January 2025 at 00:00", "696 days"),
    ("2027-01-01T00:00:00Z", "on 1 January 2027", "1 January 2027 at 00:00", "since today"),
    ("never\u202e", "on never\\u202e", "never\\u202e", "since today"),
    ("", "on ", "", "since today"),
    ("0001-01-01T00:00:00+23:59", "on 0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00+23:59", "since today"),
])  # fmt: skip
def test_times_in_words(at: str, day: str, moment: str, age: str) -> None:
    """Of this year, of another, in the future; and what is no time."""
    assert (spend.on_day(at, NOW), spend.day_and_time(at, NOW), spend.age(at, NOW)) == (day, moment, age)


def _state(records: dict[Any, Record], *jobs: Job) -> State:
    return State(lineage="l", records=records, open_jobs=open_jobs(jobs), jobs=jobs)


@pytest.mark.parametrize(("before", "after", "expected"), [
    ({}, {"a": {}}, {"created": ("a",)}), ({"a": {}}, {}, {"removed": ("a",)}),
    ({"a": {}}, {"a": {"request_id": "r2"}}, {"rewritten": ("a",)}),
    ({"a": {}}, {"a": {"output": "b.md"}}, {"moved": ("a",)}),
    ({"a": {}}, {"b": {"output": "out/a.md"}}, {"moved": ("b",)}),
    ({"a": {}}, {"a": {"content_id": "c"}}, {"saved": ("a",)}),
    ({"a": {}}, {"a": {"metadata": {"x": 1}}}, {"updated": ("a",)}), ({"a": {}}, {"a": {}}, {}),
], ids=["created", "removed", "rewritten", "moved", "renamed", "saved", "updated", "same"])  # fmt: skip
def test_what_was_made(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], expected: dict[str, tuple[str, ...]]
) -> None:
    """Each record is counted once, as what happened to it, and so are the credits of each job."""

    def records(stated: dict[str, dict[str, Any]]) -> dict[Any, Record]:
        return {name: make_record(name, **fields) for name, fields in stated.items()}

    assert summarize(_state(records(before)), _state(records(after))).items == expected
    # A job that was committed while it ran is not paid again when its text comes.
    entry = make_job(credits=4)
    running, settled = _state({}, entry), structs.replace(entry, state=JobState.SETTLED)
    done = _state({"guide": make_record(request_id=entry.request_id)}, settled)
    assert (summarize(_state({}), running).credits, summarize(running, done).credits) == (4, 0)
    assert summarize(_state({}), done).credits == 4


def test_a_long_message_is_cut() -> None:
    """Fifty ids, then how many more; a hostile id stays on its line and starts or stops no workflow."""
    names = ("a\n[skip ci] @all", *(f"item-{number:03}" for number in range(60)))
    jobs = [make_job(request_id=f"r{number}", credits=number * 244) for number in range(2)]
    after = _state(dict.fromkeys(names, make_record()), *jobs)
    text = commit_message(_state({}), after, environment="", run="")
    assert text.startswith("content: 61 created, 2 open (244 credits)\n\n+ a\\n(skip ci] @all\n")
    assert text.endswith("and 11 more\n")
    assert len(text.splitlines()) == 53


# --- what a run waits for --------------------------------------------------------------------------------------------


def test_the_display_names_the_wait() -> None:
    """The reason, and the seconds until it ends."""
    progress = Progress()
    progress.take(Event(kind="waiting", at="2026-03-01T10:00:00Z", data={"on": "limit", "seconds": 5.0}))
    assert progress.waits == "waiting for the rate limit (5 s)"
