"""Several items with the very same request: the plan says that one brief is paid for more than once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest

from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Note
    from tests.running import Run


def _items(**topics: str) -> str:
    listed = [{"id": id_, "inputs": {"topic": topic, "target_audience": "all"}} for id_, topic in topics.items()]
    return json.dumps({"items": listed})


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """No item yet."""
    return Harness(tmp_path, FakeApi(duration=30))


def _notes(harness: Harness) -> list[Note]:
    return [note for note in harness.plan().notes if note.kind == "same-request"]


def test_the_plan_names_the_items_and_the_credits(harness: Harness, invoke: Run) -> None:
    """In text, Markdown and JSON; items that differ in anything are not named."""
    harness.write("content/a.yaml", _items(may="News", june="News", july="Other", april="News", march="News"))
    text = invoke("plan", "--out", "plan.json", cwd=harness.root).stdout
    said = "`april`, `june` and 2 more request exactly the same text: 4 generations, 16 credits"
    assert said in text
    assert "hint: change their `inputs`" in text
    assert said.partition(" and ")[2] in invoke("plan", "--format", "markdown", cwd=harness.root).stdout
    document = json.loads(harness.read("plan.json"))
    jsonschema.validate(document, load_schema("plan"))
    (note,) = document["notes"]
    assert (note["kind"], note["items"], note["credits"]) == ("same-request", ["april", "june", "march", "may"], 16)
    assert said in invoke("show", "plan.json", cwd=harness.root).stdout


def test_one_that_is_paid_for_already_counts_as_one(harness: Harness) -> None:
    """The next item with its request is named beside it; what was paid for is not named again."""
    harness.write("content/a.yaml", _items(may="News"))
    harness.apply()
    assert not _notes(harness)
    harness.write("content/a.yaml", _items(may="News", june="News"))
    (note,) = _notes(harness)
    assert note.message == "`june` and `may` request exactly the same text: 1 generation, 4 credits"
    harness.apply()
    assert harness.plan().empty
    assert not _notes(harness)


def test_thousands_of_items_have_a_few_notes(harness: Harness, processes: None) -> None:
    """The most expensive requests are named with the first of their items, the others counted."""
    topics = {f"i{number:04}": f"Of {number % 30}" for number in range(3_000)} | {"i9999": "Of 7"}
    harness.write("content/a.yaml", _items(**topics))
    notes = _notes(harness)
    assert len(notes) == 21
    assert {len(note.items) for note in notes} == {0, 20}
    assert "`i0007`, `i0037` and 99 more request exactly the same text: 101 generations, 404 credits" in {
        note.message for note in notes
    }
    assert "10 more requests of several items each: 1,000 generations, 4,000 credits" in {
        note.message for note in notes
    }
