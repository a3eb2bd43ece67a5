"""One section generated again: planned, priced, paid once, and the rest of the text stays."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import TYPE_CHECKING

import pytest

from contentops.model import Action, JobState
from contentops.sections import headings
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import state_after_each_kill
from tests.fakes.sides import a_file, a_job, a_record, a_spec, only_change, plan_of, stated

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run

HEADING = "What to know"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("# A\n\ntext\n\n## B ##\n", ("A", "B")),
        ("```\n# no\n```\n# yes\n", ("yes",)),
        ("~~~\n```\n# no\n~~~\n# yes\n", ("yes",)),
        ("#no\n####### no\n    # no\n#\n", ()),
        ("   ### three spaces\n", ("three spaces",)),
    ],
)
def test_headings_are_those_a_reader_sees(body: str, found: tuple[str, ...]) -> None:
    """Marks, closing marks and fenced code are told apart."""
    assert headings(body) == found


def test_without_a_section_it_says_how_to_make_the_whole_text_again(tmp_path: Path, invoke: Run) -> None:
    """A command to copy."""
    ended = invoke("regenerate", "a b", "--env", "live", cwd=tmp_path)
    assert (ended.code, "`regenerate` makes one section again" in ended.stderr) == (64, True)
    assert "to make the whole text again: `contentops apply --env live --replace 'a b'`" in ended.stderr


def test_a_section_is_a_submit_of_its_own() -> None:
    """It costs the tier's price, as the next attempt."""
    spec = a_spec()
    change = only_change([spec], [a_record(spec)], [a_file(spec.output)], sections={"a": HEADING})
    assert (change.action, change.credits, change.attempt, change.section) == (Action.REGENERATE, 4, 2, HEADING)
    assert change.names == ("submit", "poll", "write", "save")


def test_a_section_under_way_is_finished() -> None:
    """Asking twice pays once."""
    spec = a_spec()
    entry = a_job(spec, JobState.RUNNING, attempt=2, section=HEADING)
    change = only_change([spec], [a_record(spec)], [a_file(spec.output)], open_jobs=[entry], sections={"a": HEADING})
    assert (change.action, change.submits, change.section) == (Action.FINISH, 0, HEADING)


@pytest.mark.parametrize("case", ["unsaved edit", "changed spec", "no content", "missing", "protected"])
def test_a_section_needs_the_text_the_server_has(case: str) -> None:
    """Only the text in the file, as the server has it, can have a section written again."""
    spec = a_spec()
    record, file = a_record(spec), a_file(spec.output)
    match case:
        case "unsaved edit":
            file = a_file(spec.output, body="By hand.\n")
        case "changed spec":
            record = a_record(a_spec(topic="other"))
        case "no content":
            record = a_record(spec, content_id="")
        case "protected":
            spec = stated(a_spec(protected=True), "protected")
            record = a_record(spec, protected=True)
        case _:
            assert case == "missing"
    files = [] if case == "missing" else [file]
    change = plan_of([spec], [record], files, sections={"a": HEADING}).changes[0]
    assert change.blocked
    assert change.submits == 0


def _harness(root: Path) -> Harness:
    harness = Harness(root, base_url="local")
    harness.write("content/blog.yaml", blog("one", "two"))
    harness.apply()
    return harness


def _jobs(harness: Harness) -> int:
    with contextlib.closing(sqlite3.connect(harness.root / ".contentops" / "local.db")) as store:
        (count,) = store.execute("SELECT count(*) FROM jobs").fetchone()
        return int(count)


def _rest(text: str) -> str:
    """The body without the section and without what every generation changes."""
    return re.sub(rf"## {HEADING}\n.*?(?=\n## )", "", text.split("---\n", 2)[2], flags=re.DOTALL)


def test_the_rest_of_the_text_stays(tmp_path: Path) -> None:
    """The section is written again by the server; everything else is byte for byte the same, and nothing is left to do."""
    harness = _harness(tmp_path)
    before = harness.read("out/one.md")
    run = harness.apply(select=("one",), sections={"one": HEADING})
    assert run is not None
    assert [outcome.result for outcome in run.outcomes] == ["done"]
    assert _rest(harness.read("out/one.md")) == _rest(before)
    assert _jobs(harness) == 3
    assert harness.plan().empty


def test_a_stop_anywhere_pays_for_one_section(tmp_path: Path) -> None:
    """Killed at every durable step and run again: one more job, the same tree, an empty plan."""
    whole = _harness(tmp_path / "whole")
    stops = state_after_each_kill(whole, tmp_path, lambda: whole.apply(select=("one",), sections={"one": HEADING}))
    assert len(stops) > 10
    for where, harness in stops.items():
        if harness.plan().empty:
            # Nothing had begun, or all was done: requested again, it is done once.
            if _jobs(harness) == 2:
                harness.apply(select=("one",), sections={"one": HEADING})
        else:
            harness.apply()
        assert _jobs(harness) == 3, where
        assert harness.plan().empty, where


def test_a_section_whose_id_is_taken_is_looked_for(tmp_path: Path) -> None:
    """A 409 tells that the request may run already: it is sent again only once the server proves that it does not."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    harness.api.fault(on("section", 1), 409)
    run = harness.apply(select=("one",), sections={"one": "Closing"})
    assert results(run) == {"one": "done"}
    assert harness.api.count("section") == 2
    assert (harness.api.credits, harness.state.open_jobs) == (8, {})


def test_the_command_names_the_nearest_heading(invoke: Run, tmp_path: Path) -> None:
    """A typo is told before anything is planned; the right name is planned, asked for and applied."""
    harness = _harness(tmp_path)
    result = invoke("regenerate", "one", "--section", "What to kno", "--yes", cwd=harness.root)
    assert (result.code, f"did you mean `{HEADING}`?" in result.stderr) == (64, True)
    result = invoke("regenerate", "on", "--section", HEADING, "--yes", cwd=harness.root)
    assert (result.code, "did you mean `one`?" in result.stderr) == (64, True)
    result = invoke("regenerate", "one", "--section", HEADING, cwd=harness.root)
    assert result.code == 4
    result = invoke("regenerate", "one", "--section", f"## {HEADING.lower()}", "--yes", cwd=harness.root)
    assert result.code == 0
    assert "is generated again" in result.stdout


@pytest.mark.parametrize("named", ["named", "nameless"])
@pytest.mark.parametrize("envelope", [False, True])
def test_a_server_may_answer_at_once(tmp_path: Path, named: str, envelope: bool) -> None:
    """A submit that is answered with its text is done: nothing is asked for, and nothing is paid for again."""
    harness = Harness(tmp_path, FakeApi(at_once=named, envelope=envelope))
    harness.write("content/blog.yaml", blog("one"))
    assert results(harness.apply()) == {"one": "done"}
    run = harness.apply(select=("one",), sections={"one": "Closing"})
    assert results(run) == {"one": "done"}
    assert "Section 2." in harness.read("out/one.md")
    # Each submit asked first whether its id is known; none was polled.
    assert (harness.api.count("status"), harness.api.credits, harness.state.open_jobs) == (2, 8, {})
    assert harness.plan().empty


@pytest.mark.parametrize("name", ["submit", "section"])
def test_an_answer_at_once_that_is_lost_is_not_paid_for_again(tmp_path: Path, name: str) -> None:
    """Jobs that no one could ask for prove nothing by their ids: what became of a lost one stays open."""
    harness = Harness(tmp_path, FakeApi(at_once="named", names_request=False))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    harness.api.fault(on(name), "504")
    harness.write("content/blog.yaml", blog("one", "two"))
    sections = {"one": "Closing"} if name == "section" else {}
    run = harness.apply(select=tuple(sections), sections=sections)
    assert set(results(run).values()) == {"unknown"}
    assert len(harness.api.generations) == 2


def test_a_failure_may_be_answered_at_once(tmp_path: Path) -> None:
    """It is told in the server's words, and tried once more as ever."""
    harness = Harness(tmp_path, FakeApi(at_once="nameless", fails=lambda _: "no topic of ours"))
    harness.write("content/blog.yaml", blog("one"))
    run = harness.apply()
    assert run is not None
    assert [(outcome.result, outcome.error) for outcome in run.outcomes] == [("failed", "no topic of ours")]
    assert harness.open_job("one").state is JobState.FAILED
