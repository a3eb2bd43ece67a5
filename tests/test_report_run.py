"""A run, told to people and to programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from contentops.errors import ExitCode
from contentops.model import Action, Result, Run
from contentops.reporting.layout import unpainted
from contentops.reporting.run import (
    as_typed,
    duration,
    event_json,
    exit_code_of,
    exit_code_without_run,
    run_json,
    run_text,
)
from contentops.sanitize import json_text
from contentops.schema_files import load_schema
from tests.plans import make_change, make_event, make_outcome, make_plan, make_run
from tests.test_report_plan_json import strict

if TYPE_CHECKING:
    from contentops.model import Change

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
        DONE,
        make_outcome("p", Result.PENDING),
        make_outcome("w", Result.PENDING, steps=("submit", "poll", "write")),
        stopped="credits",
        message="credits; no credits left",
        hint="buy some",
    )
    assert _text(run) == (
        "stopped (credits): no credits left\n"
        "hint: buy some\n"
        "\n"
        "Apply: 1 done, 1 not finished, 1 not reached. 4 credits spent, 12 requests, 1m 3s.\n"
        "Next: `contentops apply` continues where this run stopped"
    )


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (
            make_run(stopped="unauthorized"),
            "Next: fix what stopped the run, then `contentops apply`; paid texts are kept",
        ),
        (
            make_run(make_outcome(result=Result.FAILED)),
            "Next: fix what made it fail (see above), then `contentops apply`, which tries again",
        ),
        (make_run(make_outcome(result=Result.LATE)), "Next: see the hints for late items, then `contentops apply`"),
        (
            make_run(make_outcome(result=Result.BLOCKED)),
            "Next: resolve the blocked items (see the hints), then `contentops apply`",
        ),
    ],
    ids=["unauthorized", "failed", "late", "blocked"],
)
def test_the_next_command_fits_the_end(run: Run, line: str) -> None:
    """Each end has its way on."""
    assert _text(run).split("\n")[-1] == line


def test_many_failures_are_counted() -> None:
    """Beyond fifty of a kind the rest is a number."""
    text = _text(make_run(*[make_outcome(f"i{number}", Result.FAILED) for number in range(60)]))
    assert "  x … 10 more failed" in text
    assert "i49" in text
    assert "i50" not in text


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:01.25Z", "1.2s", id="seconds"),
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:04:12Z", "4m 12s", id="minutes"),
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T12:04:12Z", "2h 4m", id="hours"),
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T09:00:00Z", "under a second", id="clock set back"),
        pytest.param("2026-03-01T10:00:00Z", "", "", id="no end"),
        pytest.param("2026-03-01T10:00:00Z", "2026-03-01T10:00:00", "", id="no time zone"),
    ],
)
def test_durations(start: str, end: str, words: str) -> None:
    """Times a person reads; nothing where they cannot be compared."""
    assert duration(start, end) == words


@pytest.mark.parametrize(
    ("run", "code"),
    [
        pytest.param(make_run(), ExitCode.DONE, id="nothing"),
        pytest.param(make_run(DONE), ExitCode.DONE, id="done"),
        *[
            pytest.param(make_run(DONE, make_outcome(result=result)), ExitCode.INCOMPLETE, id=result)
            for result in Result
            if result is not Result.DONE
        ],
        pytest.param(make_run(stopped="interrupted"), ExitCode.INTERRUPTED, id="interrupted"),
        pytest.param(make_run(stopped="deadline"), ExitCode.PAUSED, id="deadline"),
        pytest.param(make_run(make_outcome(result=Result.PENDING), stopped="credits"), ExitCode.PAUSED, id="credits"),
        pytest.param(make_run(make_outcome(result=Result.FAILED), stopped="credits"), ExitCode.PAUSED, id="5 beats 3"),
        pytest.param(make_run(stopped="unauthorized"), ExitCode.INCOMPLETE, id="unauthorized"),
        pytest.param(make_run(stopped="first-contact"), ExitCode.INCOMPLETE, id="first contact"),
        pytest.param(make_run(stopped="refused-submits"), ExitCode.INCOMPLETE, id="refused submits"),
        pytest.param(make_run(stopped="something new"), ExitCode.INCOMPLETE, id="not known"),
    ],
)
def test_exit_codes(run: Run, code: ExitCode) -> None:
    """A run is done only if all of it is."""
    assert exit_code_of(run) is code


def test_nothing_carried_out_is_done_unless_items_are_held() -> None:
    """An empty plan is a success, a blocked one is not."""
    assert exit_code_without_run(make_plan()) is ExitCode.DONE
    assert exit_code_without_run(make_plan(make_change("x", Action.BLOCKED))) is ExitCode.INCOMPLETE


def test_a_report_counts_what_happened() -> None:
    """Counts, credits and outcomes are those of the run; without one there is none."""
    assert _report(None, make_change())["run"] is None
    found = _report(make_run(DONE, make_outcome("f", Result.FAILED, error="words"), stopped="deadline", hint="h"))
    assert found["exit_code"] == 5
    assert found["run"]["credits"] == 4
    assert found["run"]["counts"] == {"done": 1, "failed": 1, "blocked": 0, "unknown": 0, "late": 0, "pending": 0}
    assert [one["error"] for one in found["run"]["outcomes"]] == ["", "words"]


def test_an_event_fits_its_schema_exactly() -> None:
    """One event is one flat object with free data."""
    found = event_json(make_event("item-done", "a", "save", result="done"))
    jsonschema.validate(found, strict(load_schema("event")))
    assert found["data"] == {"result": "done"}


def test_hints_are_typed_as_the_run_was() -> None:
    """What goes on with a run has its environment and its choice; other commands of a hint have the environment."""
    outcome = make_outcome("u", Result.UNKNOWN, hint="`contentops state resolve u`, or run `contentops apply` again")
    run = make_run(outcome, stopped="interrupted", hint="run `contentops apply` again", environment="staging")
    again = "contentops apply --env staging --var year=2027"
    text = unpainted(run_text(as_typed(run, again), again=again))
    assert f"hint: `contentops state resolve --env staging u`, or run `{again}` again\n" in text
    assert f"hint: run `{again}` again\n" in text
    assert "Next:" not in text
    assert as_typed(run, "contentops apply plan.json").hint == "run `contentops apply plan.json` again"
