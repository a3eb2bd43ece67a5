"""Front matter that is not as last written: noted, kept, or set right, as a person chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from contentops.model import OnEdit
from contentops.operations import plan as looking
from contentops.planning.front_matter import drifted
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results
from tests.fakes.sides import PROJECT, a_file, a_maker, a_record, a_spec

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Json

ITEM = """\
defaults: {{}}
items:
  - id: one
    inputs: {{topic: All about one, target_audience: readers}}
    metadata: {{title: Stated, tags: [tea, black], order: 1}}
    {more}
"""


def _harness(tmp_path: Path, more: str = "", extra: str = "") -> Harness:
    harness = Harness(tmp_path, FakeApi(duration=30), extra=extra)
    harness.write("content/blog.yaml", ITEM.format(more=more))
    harness.apply()
    assert harness.plan().empty
    assert harness.plan().notes == ()
    return harness


def _block_gone(text: str) -> str:
    """The file without its front matter."""
    return text.split("\n---\n", 1)[1].lstrip("\n")


EDITS: dict[str, tuple[Any, list[str]]] = {
    "a tag changed": (lambda text: text.replace("black", "green"), ["tags"]),
    "a tag without its text": (lambda text: text.replace("order: 1", "order: '1'"), ["order"]),
    "a key removed": (lambda text: text.replace("order: 1\n", ""), ["order"]),
    "a title changed": (lambda text: text.replace("title: Stated", "title: Mine"), ["title"]),
    "a title removed": (lambda text: text.replace("title: Stated\n", ""), ["title"]),
    "the block of where it comes from removed": (
        lambda text: "\n".join(
            line
            for line in text.split("\n")
            if not line.startswith(("contentops:", "  item:", "  digest:", "  job:", "  generated_at:"))
        ),
        ["contentops"],
    ),
    "the job changed": (lambda text: text.replace("  job: ", "  job: x"), ["contentops"]),
    "all of it removed": (_block_gone, ["title", "tags", "order", "contentops"]),
}


@pytest.mark.parametrize(("edit", "keys"), EDITS.values(), ids=EDITS)
def test_what_a_person_changed_is_noted_and_set_right_by_choice(tmp_path: Path, edit: Any, keys: list[str]) -> None:
    """A note in plan and status with an empty plan; `overwrite` asserts the manifest, and the body is not touched."""
    harness = _harness(tmp_path)
    before = harness.read("out/one.md")
    harness.write("out/one.md", edit(before))
    plan = harness.plan()
    changes = [change.names for change in plan.changes]
    assert changes == ([("save",)] if keys == ["title"] and "Mine" in edit(before) else [])
    (note,) = plan.notes
    assert (note.kind, note.id) == ("front-matter-drift", "one")
    assert [f"`{key}`" in note.message for key in keys] == [True] * len(keys)
    ((status,), _) = looking.status(harness.project, Choice())
    assert note.message == f"`one`: {status.note}"
    (change,) = harness.plan(on_edit=OnEdit.OVERWRITE).changes
    assert (change.action, change.names, change.credits) == ("update", ("update",), 0)
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert harness.plan().empty
    assert harness.plan().notes == ()
    assert sorted(harness.read("out/one.md").split("\n")) == sorted(before.split("\n"))


@pytest.mark.parametrize("where", ["item", "manifest", "project", "environment"])
def test_on_edit_says_so_for_good_at_every_level(tmp_path: Path, where: str) -> None:
    """`keep` keeps it without a note, `overwrite` sets it right: in the item, and in the defaults of each level."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "black", "green")
    for choice in ("keep", "overwrite"):
        stated = f"on_edit: {choice}"
        harness.write("content/blog.yaml", ITEM.format(more=stated if where == "item" else ""))
        if where == "manifest":
            harness.edit("content/blog.yaml", "defaults: {}", f"defaults: {{{stated}}}")
        environments = ""
        if where == "environment":
            environments = f"environments: {{live: {{defaults: {{{stated}}}}}}}"
        settings = harness.read("contentops.yaml").split("environments:")[0].replace(", on_edit: keep", "").rstrip()
        if where == "project":
            settings = settings.replace("style: general_blog", f"style: general_blog, {stated}")
        harness.write("contentops.yaml", f"{settings}\n{environments}\n")
        plan = _plan(harness, "live" if where == "environment" else "")
        assert plan == ([] if choice == "keep" else ["update"], ())


def _plan(harness: Harness, environment: str) -> tuple[list[str], tuple[object, ...]]:
    from contentops.operations import opening, plan

    if environment:
        (harness.root / "contentops.live.lock").write_bytes((harness.root / "contentops.lock").read_bytes())
        (harness.root / "contentops.lock").unlink(missing_ok=True)
    found = plan.plan(opening.open_project(str(harness.root), environment, ()), Choice())
    if environment:
        (harness.root / "contentops.lock").write_bytes((harness.root / "contentops.live.lock").read_bytes())
        (harness.root / "contentops.live.lock").unlink()
    return [str(change.action) for change in found.changes], found.notes


def test_keys_that_a_person_added_are_no_drift(tmp_path: Path) -> None:
    """They stay, unasked and unsaid, whatever is asserted."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "order: 1\n", "order: 1\nauthor: me\n")
    assert harness.plan().notes == ()
    assert harness.plan(on_edit=OnEdit.OVERWRITE).empty
    harness.edit("out/one.md", "black", "green")
    harness.apply(on_edit=OnEdit.OVERWRITE)
    assert "author: me" in harness.read("out/one.md")
    assert "black" in harness.read("out/one.md")


def test_a_protected_item_keeps_what_a_person_made_of_it(tmp_path: Path) -> None:
    """It is noted, and nothing is asserted."""
    harness = _harness(tmp_path, "protected: true")
    harness.edit("out/one.md", "black", "green")
    plan = harness.plan(on_edit=OnEdit.OVERWRITE)
    assert (plan.changes, [note.kind for note in plan.notes]) == ((), ["front-matter-drift"])


def test_a_value_that_the_manifest_changed_too_is_kept_and_said_once(tmp_path: Path) -> None:
    """A person's value stays, with one note; `overwrite` writes the manifest's new one."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "black", "green")
    harness.edit("content/blog.yaml", "black", "white")
    assert [note.kind for note in harness.plan().notes] == ["kept-front-matter"]
    harness.apply(on_edit=OnEdit.OVERWRITE)
    assert "white" in harness.read("out/one.md")
    assert (harness.plan().changes, harness.plan().notes) == ((), ())


@pytest.mark.parametrize("again", [False, True], ids=["front matter alone", "with a new text"])
def test_what_is_asserted_against_a_person_leaves_a_copy(tmp_path: Path, *, again: bool) -> None:
    """As a text does whose place another one takes; a value that no person changed leaves none."""
    harness = _harness(tmp_path)
    if again:
        harness.edit("content/blog.yaml", "topic: ", "topic: More of ")
    harness.edit("content/blog.yaml", "black", "white")
    harness.edit("out/one.md", "black", "green")
    before = harness.read("out/one.md")
    run = harness.apply(on_edit=OnEdit.OVERWRITE)
    assert run is not None
    assert harness.read(run.outcomes[0].copy) == before
    harness.edit("content/blog.yaml", "white", "red")
    run = harness.apply(on_edit=OnEdit.OVERWRITE)
    assert run is not None
    assert (run.outcomes[0].result, run.outcomes[0].copy) == ("done", "")


def test_drifted_keys_tell_what_was_and_what_is() -> None:
    """By key, in the order in which they are written; a run that was cut short is not a person."""
    record = a_record(a_spec(metadata={"tags": ["a"], "order": 1}))
    file = structs.replace(a_file("out/a.md", title="Mine"), front={"tags": ["b"], "more": 1}, provenance={"job": "x"})
    found: list[tuple[str, Json, Json]] = [
        (one.key, one.before, one.after) for one in drifted(PROJECT, record, file, a_maker(record))
    ]
    assert found == [
        ("title", "T", "Mine"),
        ("tags", ["a"], ["b"]),
        ("order", 1, None),
        ("contentops", {"item": "a", "digest": record.digest, "job": "job_1"}, {"job": "x"}),
    ]
    assert (
        drifted(structs.replace(PROJECT, provenance=False), record, a_file("out/a.md", front=record.metadata), None)
        == ()
    )


def test_a_title_of_a_person_outlives_every_new_text(tmp_path: Path) -> None:
    """What was last written is the manifest's title: the one in the file stays, and is saved, from text to text."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "title: Stated", "title: Mine")
    for take in (2, 3):
        harness.write("content/blog.yaml", ITEM.format(more=f"revision: {take}"))
        assert results(harness.apply()) == {"one": "done"}
        assert "title: Mine" in harness.read("out/one.md")
        assert harness.api.contents[harness.record("one").content_id].title == "Mine"
        assert harness.plan().empty
