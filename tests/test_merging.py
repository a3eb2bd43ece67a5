"""`on_edit: merge`: a person's sections stay, the rest comes from the new text, and it is paid once."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.documents.clean import body_digest
from contentops.model import Change, OnEdit
from contentops.planning.plan import make_plan
from contentops.reporting.run import run_json, run_text
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import EachKill
from tests.fakes.sides import a_file, a_finished, a_job, a_record, a_situation, a_spec

WAS = "## Introduction\n\nAll about x.\n\n## Closing\n\nBye.\n"
MINE = WAS.replace("Bye.", "My own words.")
NEW = "## Introduction\n\nAll about y.\n\n## Closing\n\nSee you.\n"


def change_of(*, generated: str = WAS, texts_here: tuple[str, ...] = (WAS,), **given: Any) -> Change:
    """The change of an edited item whose topic became another one, with the texts that are at hand."""
    spec = a_spec(topic="y", on_edit=OnEdit.MERGE)
    record = a_record(a_spec(topic="x"), body=generated)
    if "job" in given:
        given["open_jobs"] = [a_job(spec, **given.pop("job"))]
    if given.pop("stored", False):
        given["jobs"] = [a_finished(spec, NEW)]
    situation = a_situation([spec], [record], [a_file(spec.output, body=MINE)], **given)
    texts = {body_digest(text): text for text in texts_here}
    situation = structs.replace(situation, text=texts.get, read=lambda _path: MINE)
    (change,) = make_plan(situation).changes
    return change


def test_without_the_text_that_was_edited_nothing_is_merged() -> None:
    """No one can tell then what a person changed; and an adopted text was never generated."""
    change = change_of(texts_here=())
    assert (change.blocked, change.steps, "--on-edit keep" in change.hint) == ("no-merge-base", (), True)
    assert "adopted" in change_of(generated="").hint


# --- carried out -----------------------------------------------------------------------------------------------


def edited_harness(root: Path, **habits: Any) -> Harness:
    """One item, generated, with a section of a person's in its file, and another request in its manifest."""
    harness = Harness(root, FakeApi(duration=30, **habits))
    harness.edit("contentops.yaml", "style: general_blog", "style: general_blog, on_edit: merge")
    harness.applied("one")
    harness.edit("out/one.md", "Take 1.", "My own words.")
    harness.write("content/blog.yaml", blog("one", year=2027))
    return harness


@pytest.mark.parametrize("stores", [True, False], ids=["the server stores jobs", "it stores saves alone"])
def test_a_merge_is_written_and_saved(tmp_path: Path, *, stores: bool) -> None:
    """The person's section stays, the other one is the new text's, the server has the same, and nothing is left."""
    harness = edited_harness(tmp_path, auto_save=stores)
    assert harness.actions() == {"one": "merge"}
    run = harness.ran()
    assert results(run) == {"one": "done"}
    text = harness.read("out/one.md")
    assert ("All about All about one in 2027." in text, "My own words." in text) == (True, True)
    assert "Take 1." not in text
    assert harness.api.credits == 8
    record = harness.record("one")
    assert set(harness.api.contents) == {record.content_id, *record.superseded}
    assert len(harness.api.contents) == (2 if stores else 1)
    assert record.saved is not None
    assert record.saved.body == body_digest(harness.api.contents[record.content_id].body) != record.generated
    assert harness.plan().empty
    (outcome,) = run.outcomes
    assert [(kept.heading, kept.new) for kept in outcome.kept] == [("## Closing", "## Closing\n\nTake 1.\n\n")]
    assert outcome.copy == ""
    assert run_json(run, harness.plan())["run"]["outcomes"][0]["kept"] == [
        {"heading": "## Closing", "new": "## Closing\n\nTake 1.\n\n"}
    ]
    assert "`## Closing` stays as it was edited; left out: " in run_text(run)


def test_a_file_that_was_emptied_is_not_merged(tmp_path: Path) -> None:
    """Nothing would be left of the new text: it is not paid for."""
    harness = edited_harness(tmp_path)
    stored = harness.api.contents[harness.record("one").content_id].body
    harness.write("out/one.md", "")
    assert (results(harness.apply()), harness.plan().changes[0].blocked) == ({"one": "blocked"}, "emptied")
    assert (harness.api.credits, harness.api.contents[harness.record("one").content_id].body) == (4, stored)
    assert "`--on-edit overwrite`" in harness.plan().changes[0].hint
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert "in 2027" in harness.read("out/one.md")


def test_line_endings_and_front_matter_of_the_file_stay(tmp_path: Path) -> None:
    """A file with CRLF and a key of a person's is merged as it is."""
    harness = edited_harness(tmp_path)
    text = harness.read("out/one.md").replace("---\n", "---\nmine: 1\n", 1).replace("\n", "\r\n")
    (tmp_path / "out/one.md").write_bytes(text.encode())
    assert results(harness.apply()) == {"one": "done"}
    data = (tmp_path / "out/one.md").read_bytes()
    assert (data.count(b"\n"), b"mine: 1\r\n" in data) == (data.count(b"\r\n"), True)
    assert (b"My own words." in data, b"in 2027" in data) == (True, True)
    assert harness.plan().empty


def test_a_base_that_is_nowhere_blocks(tmp_path: Path, processes: None) -> None:
    """Nothing is paid for what could not be merged."""
    harness = edited_harness(tmp_path)
    shutil.rmtree(tmp_path / ".contentops" / "cache")
    (change,) = harness.plan().changes
    assert (change.blocked, change.credits) == ("no-merge-base", 0)


@pytest.mark.parametrize("provenance", [True, False], ids=["with the block", "without it"])
def test_a_stopped_merge_is_merged_once(root: Path, *, provenance: bool, processes: None, each_kill: EachKill) -> None:
    """Run again, it ends in the same file and is paid once, also where the file was written and not recorded."""
    harness = edited_harness(root / "undisturbed")
    if not provenance:
        harness.write("contentops.yaml", harness.read("contentops.yaml") + "provenance: false\n")
    stops = each_kill(harness, root, harness.apply)
    assert len(stops) > 5
    body = harness.read("out/one.md").split("---\n", 2)[2]
    for where, stop in stops.items():
        left = stop.settle()
        assert left.empty, (where, left.changes)
        assert stop.read("out/one.md").split("---\n", 2)[2] == body, where
        assert stop.api.credits == harness.api.credits == 8, where
        assert len(stop.api.contents) == len(harness.api.contents), where
