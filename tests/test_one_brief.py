"""What a plan says before it pays for rows that differ in names alone; an apply compares no texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema

from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Note
    from tests.running import Run

NAMES = ("Aarhus", "Bergen", "Cork")


def manifest(*cities: str, similar: str = "{}", brief: str = "Desks in {{ each.city }}") -> str:
    """An item for each city, compared with the others."""
    rows = [{"slug": city.lower(), "city": city} for city in cities]
    inputs = {"topic": brief, "target_audience": "all"}
    checks = f'{{"similar": {similar}}}'
    return f'items:\n  - {{"id": "{{{{ each.slug }}}}", "for_each": {json.dumps(rows)}, "inputs": {json.dumps(inputs)}, "checks": {checks}}}\n'


def make(root: Path, **declared: str) -> Harness:
    """Three cities."""
    harness = Harness(root, FakeApi(duration=30))
    harness.write("content/a.yaml", manifest(*NAMES, **declared))
    return harness


def _notes(harness: Harness) -> list[Note]:
    return [note for note in harness.plan().notes if note.kind == "one-brief"]


def test_the_plan_names_rows_with_one_brief(tmp_path: Path, invoke: Run) -> None:
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


def test_an_apply_writes_similar_texts(tmp_path: Path, invoke: Run) -> None:
    """`check` finds them afterwards, and no text is paid for again because of them."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    page = "Desks, rooms and a locker, by the hour in the app, or for two days a week at the front desk of {}."
    harness.api.__dict__["_written"] = lambda job: (job.title, page.format(job.topic.split()[-1]))
    harness.write("content/a.yaml", manifest(*NAMES).replace('"similar": {}', '"similar": {}, "retries": 1'))
    assert harness.plan().credits_worst == 12
    assert results(harness.apply()) == dict.fromkeys(map(str.lower, NAMES), "done")
    assert harness.plan().empty
    assert "is too similar to `bergen` and 1 more text: 1.00" in invoke("check", cwd=harness.root).stdout
