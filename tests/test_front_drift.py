"""Front matter that is not as last written: noted, kept, or set right, as a person chooses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.documents.clean import clean_title
from contentops.documents.front_matter import split
from contentops.model import OnEdit
from contentops.operations import plan as looking
from contentops.planning.sides import Choice
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, quick_folder, results
from tests.running import examples

ITEM = """\
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
    "all of it removed": (
        lambda text: text.split("\n---\n", 1)[1].lstrip("\n"),
        ["title", "tags", "order", "contentops"],
    ),
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
    assert (results(harness.apply(on_edit=OnEdit.OVERWRITE)), harness.plan().empty) == ({"one": "done"}, True)
    assert harness.plan().notes == ()
    assert sorted(harness.read("out/one.md").split("\n")) == sorted(before.split("\n"))


def test_on_edit_says_so_for_good(tmp_path: Path) -> None:
    """In a manifest, `keep` keeps it without a note, `overwrite` sets it right."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "black", "green")
    for choice, actions in (("keep", {}), ("overwrite", {"one": "update"})):
        harness.write("content/blog.yaml", ITEM.format(more=f"on_edit: {choice}"))
        assert (harness.actions(), harness.plan().notes) == (actions, ())


def test_keys_that_a_person_added_are_no_drift(tmp_path: Path) -> None:
    """They stay, unasked and unsaid, whatever is asserted."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "order: 1\n", "order: 1\nauthor: me\n")
    assert harness.plan().notes == ()
    assert harness.plan(on_edit=OnEdit.OVERWRITE).empty
    harness.edit("out/one.md", "black", "green")
    harness.apply(on_edit=OnEdit.OVERWRITE)
    assert ("author: me" in harness.read("out/one.md"), "black" in harness.read("out/one.md")) == (True, True)


@pytest.mark.parametrize("again", [False, True], ids=["front matter alone", "with a new text"])
def test_what_is_asserted_against_a_person_leaves_a_copy(tmp_path: Path, *, again: bool) -> None:
    """As a text does whose place another one takes; a value that no person changed leaves none."""
    harness = _harness(tmp_path)
    if again:
        harness.edit("content/blog.yaml", "topic: ", "topic: More of ")
    harness.edit("content/blog.yaml", "black", "white")
    harness.edit("out/one.md", "black", "green")
    before = harness.read("out/one.md")
    run = harness.ran(on_edit=OnEdit.OVERWRITE)
    assert harness.read(run.outcomes[0].copy) == before
    harness.edit("content/blog.yaml", "white", "red")
    run = harness.ran(on_edit=OnEdit.OVERWRITE)
    assert (run.outcomes[0].result, run.outcomes[0].copy) == ("done", "")


def test_a_title_of_a_person_outlives_every_new_text(tmp_path: Path) -> None:
    """What was last written is the manifest's title: the one in the file stays, and is saved, from text to text."""
    harness = _harness(tmp_path)
    harness.edit("out/one.md", "title: Stated", "title: Mine")
    for take in (2, 3):
        harness.write("content/blog.yaml", ITEM.format(more=f"revision: {take}"))
        assert (results(harness.apply()), "title: Mine" in harness.read("out/one.md")) == ({"one": "done"}, True)
        assert harness.api.contents[harness.record("one").content_id].title == "Mine"
        assert harness.plan().empty


@pytest.mark.parametrize("lost", [(), ("contents",), ("cache",)], ids=["", "gone there", "no cache"])
def test_one_apply_restores_a_file_with_another_title(tmp_path: Path, lost: tuple[str, ...], processes: None) -> None:
    """The title that a person had saved, where someone still has it, else the one that was last written."""
    harness = Harness(tmp_path, FakeApi(duration=30)).applied("one")
    ours = harness.record("one").title
    harness.edit("out/one.md", f"title: {ours}", "title: Mine")
    harness.apply()
    assert harness.api.contents[harness.record("one").content_id].title == "Mine"
    if "contents" in lost:
        harness.api.contents.clear()
    if "cache" in lost:
        shutil.rmtree(harness.root / ".contentops/cache")
    (harness.root / "out/one.md").unlink()
    assert results(harness.apply()) == {"one": "done"}
    title = split(harness.read("out/one.md")).title
    assert title == (ours if "contents" in lost else "Mine")
    assert harness.plan().empty, harness.plan().changes
    assert harness.api.contents[harness.record("one").content_id].title == title


def _manifest(*titles: str) -> str:
    items = [
        {"id": f"i{at}", "inputs": {"topic": f"Tea {at}", "target_audience": "all"}, "metadata": {"title": title}}
        for at, title in enumerate(titles)
    ]
    return json.dumps({"items": items}, ensure_ascii=False)


ANY_TITLE = st.text(
    # Without what a manifest refuses by itself, and without expressions.
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"), exclude_characters="{\ufeff")
    | st.sampled_from("\u00a0\u202f\u3000\u2009 \n\t")
).filter(clean_title)


@settings(max_examples=examples(6))
@given(st.lists(ANY_TITLE | st.text("ab \u00a0\u3000", min_size=290, max_size=310).filter(clean_title), min_size=1))
def test_after_an_apply_no_title_is_left_to_write(titles: list[str]) -> None:
    """New items, and items whose titles change."""
    with quick_folder() as root:
        harness = Harness(root, FakeApi(duration=30))
        for stated in (titles, titles[::-1]):
            harness.write("content/a.yaml", _manifest(*stated))
            harness.apply()
            assert [harness.record(f"i{at}").title for at in range(len(stated))] == [clean_title(one) for one in stated]
            assert harness.plan().empty, harness.plan().changes


def test_what_a_person_changed_in_a_protected_file_is_accepted_by_keep(tmp_path: Path) -> None:
    """The note says so, and nothing else of the file changes."""
    harness = _harness(tmp_path)
    harness.write("content/blog.yaml", ITEM.format(more="protected: true"))
    harness.apply()
    harness.edit("out/one.md", "black", "green")
    (note,) = harness.plan().notes
    assert (note.kind, "`on_edit: keep` accepts it" in note.hint) == ("front-matter-drift", True)
    before = harness.read("out/one.md")
    harness.write("content/blog.yaml", ITEM.format(more="protected: true\n    on_edit: keep"))
    plan = harness.plan()
    assert (plan.empty, plan.notes) == (True, ())
    harness.apply()
    assert harness.read("out/one.md") == before
