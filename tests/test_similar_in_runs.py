"""`checks.similar` between plan and save: which of several texts is written, and what a plan says before it is paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from contentops.execution.primitives import Stop
from contentops.model import Action, JobState
from contentops.reporting.layout import unpainted
from contentops.reporting.run import run_text
from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import state_after_each_kill

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Change, Event, Note
    from tests.fakes.api import Generation
    from tests.running import Run as Invoke

PAGE = (
    "Acme has desks and rooms in {city}. Each desk has fast fibre, light from a window and a locker. Rooms are booked by "
    "the hour, in the app or at the front desk of {city}. Whoever works there two days a week pays for two days.\n"
)
NAMES = ("Aarhus", "Bergen", "Cork")


class Pages(FakeApi):
    """A server that writes one page for every city, until a take that is about the city."""

    good = 99

    def _written(self, job: Generation) -> tuple[str, str]:
        city = job.topic.split()[-1]
        own = " ".join(f"{city}{number} {job.take}" for number in range(40))
        return job.title, own if job.take >= self.good else PAGE.format(city=city)


def manifest(*cities: str, similar: str = "{}", retries: int = 0, brief: str = "Desks in {{ each.city }}") -> str:
    """An item for each city, compared with the others."""
    rows = [{"slug": city.lower(), "city": city} for city in cities]
    inputs = {"topic": brief, "target_audience": "all"}
    checks = f'{{"similar": {similar}, "retries": {retries}}}'
    return f'items:\n  - {{"id": "{{{{ each.slug }}}}", "for_each": {json.dumps(rows)}, "inputs": {json.dumps(inputs)}, "checks": {checks}}}\n'


def make(root: Path, *, good: int = 99, duration: Any = 30, **declared: Any) -> Harness:
    """Three cities."""
    api = Pages(duration=duration)
    api.good = good
    harness = Harness(root, api)
    harness.write("content/a.yaml", manifest(*NAMES, **declared))
    return harness


def _one(harness: Harness, item: str = "bergen") -> Change:
    return next(change for change in harness.plan().changes if change.id == item)


# --- block, warn, retry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", [1, 2, 3])
def test_the_first_by_id_is_written_whichever_comes_first(tmp_path: Path, slow: int) -> None:
    """The others are blocked, kept and not paid for again; the next plan says why."""
    harness = make(tmp_path, duration=lambda number: 300 if number == slow else 30)
    run = harness.apply()
    assert results(run) == {"aarhus": "done", "bergen": "blocked", "cork": "blocked"}
    assert set(harness.tree()) == {"out/aarhus.md"}
    assert run is not None
    assert "similar: is too similar to `aarhus`: 1.00, at most 0.8" in unpainted(run_text(run))
    change = _one(harness)
    assert (change.action, change.credits_worst) == (Action.FINISH, 0)
    assert "similar: is too similar to `aarhus`: 1.00, at most 0.8" in {each.detail for each in change.reasons}
    assert results(harness.apply()) == {"bergen": "blocked", "cork": "blocked"}
    assert harness.api.credits == 12


def test_what_is_different_by_now_is_written_for_nothing(tmp_path: Path) -> None:
    """A person edits the text that was written, and the next one passes."""
    harness = make(tmp_path)
    harness.apply()
    harness.write("out/aarhus.md", "All of this is about the harbour.\n")
    assert results(harness.apply()) == {"aarhus": "done", "bergen": "done", "cork": "blocked"}
    harness.write("content/a.yaml", manifest(*NAMES, similar='{"level": "warn"}'))
    run = harness.apply()
    assert results(run) == {"cork": "done"}
    assert run is not None
    assert "! cork  similar: is too similar to `bergen`" in unpainted(run_text(run))
    assert harness.plan().empty
    assert harness.api.credits == 12


def test_a_text_is_paid_for_again_as_planned(tmp_path: Path) -> None:
    """Each retry is checked in its turn; the first text of a group needs none."""
    harness = make(tmp_path, good=2, retries=1)
    assert harness.plan().credits_worst == 24
    assert results(harness.apply()) == dict.fromkeys(map(str.lower, NAMES), "done")
    assert harness.api.credits == 20
    assert harness.plan().empty


def test_another_text_is_asked_for_by_name(tmp_path: Path) -> None:
    """Of an item whose text was too similar, though no text of it was written."""
    harness = make(tmp_path)
    harness.apply()
    harness.api.good = 2  # type: ignore[attr-defined]
    assert results(harness.apply(replace=("bergen",))) == {"bergen": "done", "cork": "blocked"}
    assert harness.api.credits == 16


def test_an_interrupt_writes_no_text_before_its_turn(tmp_path: Path) -> None:
    """The first text is still to come when a person stops the run; the others are kept as paid."""
    stop, harness = Stop(), make(tmp_path, duration=lambda number: 900 if number == 2 else 30)
    harness.write("content/b.yaml", blog("a"))  # proves the server

    def emit(event: Event) -> None:
        if event.kind == "waiting" and harness.timeline.now > 300:
            stop.request()

    harness.apply(stop=stop, emit=emit)
    assert set(harness.tree()) == {"out/a.md"}
    assert {harness.entry(city).state for city in ("bergen", "cork")} == {JobState.PAID}
    assert results(harness.apply()) == {"aarhus": "done", "bergen": "blocked", "cork": "blocked"}
    assert harness.api.credits == 16


def test_texts_to_come_are_compared_only_once_they_are_there(tmp_path: Path) -> None:
    """Another brief for all: a text that is about to be replaced blocks none."""
    harness = make(tmp_path, good=1)
    harness.apply()
    harness.api.good = 99  # type: ignore[attr-defined]
    harness.write("content/a.yaml", manifest(*NAMES, brief="Rooms in {{ each.city }}"))
    assert results(harness.apply()) == {"aarhus": "done", "bergen": "blocked", "cork": "blocked"}


def test_an_item_that_fails_lets_the_next_one_go_on(tmp_path: Path) -> None:
    """And what is blocked by a file in its way keeps no one waiting."""

    class Failing(Pages):
        def _submit(self, seen: Any) -> Any:
            answer = super()._submit(seen)
            if len(self.generations) == 2:
                self.generations[1].error = "model overloaded"
            return answer

    harness = make(tmp_path, duration=lambda number: 300 if number == 2 else 30)
    harness.write("out/aarhus.md", "Someone's words.\n")
    harness.write("content/b.yaml", blog("first"))
    harness.api.__class__ = Failing
    assert results(harness.apply()) == {"aarhus": "blocked", "bergen": "done", "cork": "failed", "first": "done"}


def test_a_killed_run_ends_as_one_that_was_not(root: Path) -> None:
    """Killed at any step, the next apply writes the same text, blocks the same ones, and pays no more."""
    harness = make(root / "start", duration=lambda number: 100 - 30 * number)
    harness.write("content/a.yaml", manifest(*NAMES[:2]))
    stops = state_after_each_kill(harness, root, harness.apply)
    assert len(stops) > 20
    for where, stop in stops.items():
        stop.settle()
        assert (set(stop.tree()), stop.api.credits) == ({"out/aarhus.md"}, 8), where


@pytest.mark.parametrize("within", ["tag:pages", "all"])
def test_groups_across_declarations(tmp_path: Path, within: str) -> None:
    """A text is compared with those of items that have no such check."""
    harness = Harness(tmp_path, Pages(duration=30))
    of = '"inputs": {"topic": "Desks in Oslo", "target_audience": "all"}, "tags": ["pages"]'
    harness.write(
        "content/a.yaml",
        f'items: [{{"id": "b", {of}}}, {{"id": "a", {of}, "checks": {{"similar": {{"within": "{within}"}}}}}}]',
    )
    assert results(harness.apply()) == {"a": "done", "b": "done"}
    assert results(harness.apply(replace=("a",))) == {"a": "blocked"}


# --- before anything is paid -------------------------------------------------------------------------------------


def _notes(harness: Harness) -> list[Note]:
    return [note for note in harness.plan().notes if note.kind == "one-brief"]


def test_the_plan_names_rows_with_one_brief(tmp_path: Path, invoke: Invoke) -> None:
    """In text, Markdown and JSON, with their price and line; never where nothing is compared."""
    harness = make(tmp_path)
    said = "`aarhus`, `bergen` and `cork` have one brief, and differ only in values of their rows (content/a.yaml:2)"
    text = invoke("plan", "--out", "plan.json", cwd=harness.root).stdout
    assert f"{said}: 3 generations, 12 credits" in text
    assert "add what is different about each" in text
    assert (
        "have one brief, and differ only in values" in invoke("plan", "--format", "markdown", cwd=harness.root).stdout
    )
    document = json.loads(harness.read("plan.json"))
    jsonschema.validate(document, load_schema("plan"))
    (note,) = document["notes"]
    assert (note["kind"], note["items"], note["credits"]) == ("one-brief", ["aarhus", "bergen", "cork"], 12)
    harness.write("content/a.yaml", manifest(*NAMES, similar="null"))
    assert not _notes(harness)


def test_a_new_row_beside_texts_with_the_same_brief(tmp_path: Path) -> None:
    """It alone is paid for; a plan without generations has no note."""
    harness = make(tmp_path, similar='{"level": "warn"}')
    harness.apply()
    assert not _notes(harness)
    harness.write("content/a.yaml", manifest(*NAMES, "Delft", similar='{"level": "warn"}'))
    (note,) = _notes(harness)
    assert note.message.startswith("`aarhus`, `bergen` and 2 more have one brief")
    assert note.message.endswith(": 1 generation, 4 credits")


def test_rows_that_say_what_is_different_have_a_brief_each(tmp_path: Path) -> None:
    """A column of facts; so has a template that asks each row something else."""
    harness = make(
        tmp_path, brief="{{ each.city }}: " + "{% if each.city == 'Cork' %}harbour{% else %}hills{% endif %}"
    )
    assert [note.items for note in _notes(harness)] == [("aarhus", "bergen")]
    fact = " ".join(f"{{{{ each.city }}}}{number}" for number in range(40))
    harness.write("content/a.yaml", manifest(*NAMES, brief=fact))
    assert not _notes(harness)


def test_equal_requests_are_named_once(tmp_path: Path) -> None:
    """Rows that nothing in the request uses are the same request, which has its own note."""
    harness = make(tmp_path, brief="Desks")
    assert {note.kind for note in harness.plan().notes} == {"same-request"}
