"""Files: what the plan saw is what is written over, moves in any constellation, and runs that change nothing."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.model import JobState, OnEdit
from contentops.planning.guards import Overrides
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, before, blog, results
from tests.fakes.kills import EachKill


def _harness(root: Path, *items: str, extra: str = "", **habits: Any) -> Harness:
    return Harness(root, FakeApi(**({"duration": 30} | habits)), extra=extra).declared(*(items or ("one",)))


def _done(root: Path, *items: str, **kwargs: Any) -> Harness:
    harness = _harness(root, *items, **kwargs)
    assert set(results(harness.apply()).values()) == {"done"}
    return harness


# --- preconditions -------------------------------------------------------------------------------------------


def test_a_file_edited_between_plan_and_write(root: Path) -> None:
    """The edit stays, the item is blocked with its text kept as paid, and the next apply decides by `on_edit`."""
    harness = _done(root)
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    run = harness.ran(emit=before("write", lambda: harness.edit("out/one.md", "Closing", "My words")))
    assert (results(run), exit_code_of(run)) == ({"one": "blocked"}, 3)
    assert "My words" in harness.read("out/one.md")
    assert harness.open_job("one").state is JobState.PAID
    assert harness.actions() == {"one": "blocked"}
    assert results(harness.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert "2027" in harness.read("out/one.md")
    assert (harness.api.credits, harness.plan().empty) == (8, True)


def test_a_file_that_holds_the_text_already_is_only_recorded(root: Path) -> None:
    """A write whose record was lost is not an edit."""
    harness = _done(root)
    text = harness.read("out/one.md")
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    harness.apply()
    harness.edit("content/blog.yaml", "in 2027", "in 2026")
    assert results(harness.apply(emit=before("write", lambda: harness.write("out/one.md", text)))) == {"one": "done"}
    assert ("2026" in harness.read("out/one.md"), harness.plan().empty, harness.api.credits) == (True, True, 8)


def test_an_edit_of_a_text_that_a_lost_run_had_written(root: Path, each_kill: EachKill) -> None:
    """Killed right after the write, without cache, and edited: the words stay, the item is blocked, nothing is paid."""
    harness = _harness(root / "whole", duration=100)
    stops = each_kill(harness, root, harness.apply)
    (stopped,) = [stop for where, stop in stops.items() if where.endswith("after link")]
    assert stopped.open_job("one").state is JobState.PAID
    shutil.rmtree(stopped.root / ".contentops")
    stopped.edit("out/one.md", "Closing", "My words")
    assert results(stopped.apply()) == {"one": "blocked"}
    for _ in range(2):
        stopped.apply()
    assert ("My words" in stopped.read("out/one.md"), stopped.api.credits) == (True, 4)


@pytest.mark.parametrize(("key", "value", "old", "new"), [
    ("tags", "[x]", "Closing", "My words"),
    # `1` that a person wrote meanwhile is not the `true` that was to be written, so nothing is recorded of it.
    ("draft", "true", "title:", "draft: 1\ntitle:"),
])  # fmt: skip
def test_an_edit_before_an_update_of_the_front_matter(root: Path, key: str, value: str, old: str, new: str) -> None:
    """Front matter is not written into a file that was changed in the meantime; the next apply does it."""
    harness = _done(root)
    harness.edit("content/blog.yaml", "    inputs", f"    metadata: {{{key}: {value}}}\n    inputs")
    run = harness.apply(emit=before("update", lambda: harness.edit("out/one.md", old, new)))
    assert (results(run), key in harness.record("one").metadata) == ({"one": "blocked"}, False)
    assert (new in harness.read("out/one.md"), "tags" in harness.read("out/one.md")) == (True, False)
    if key == "tags":
        assert (results(harness.apply()), "tags" in harness.read("out/one.md")) == ({"one": "done"}, True)
    assert (new in harness.read("out/one.md"), harness.api.credits) == (True, 4)


def test_an_edit_before_a_removal(root: Path) -> None:
    """An orphan's file that was edited after the plan is not removed."""
    harness = _done(root, "one", "two")
    run = harness.declared("two").apply(
        prune=True,
        overrides=Overrides(changes=True),
        emit=before("remove", lambda: harness.edit("out/one.md", "Closing", "My words")),
    )
    assert (results(run), "My words" in harness.read("out/one.md")) == ({"one": "blocked"}, True)
    assert "one" in harness.state.records


def test_prune_removes_file_and_record_but_nothing_remote(root: Path) -> None:
    """`--prune` removes an unedited orphan here; its content on the server stays."""
    harness = _done(root, "one", "two")
    assert results(harness.declared("two").apply(prune=True, overrides=Overrides(changes=True))) == {"one": "done"}
    assert set(harness.tree()) == {"out/two.md"}
    assert "one" not in harness.state.records
    assert (len(harness.api.contents), harness.plan().empty) == (2, True)


# --- moves -------------------------------------------------------------------------------------------------------


def _placed(root: Path, **outputs: str) -> Harness:
    """Items whose outputs are stated."""
    harness = _harness(root, *outputs)
    _place(harness, **outputs)
    harness.apply()
    return harness


def _place(harness: Harness, **outputs: str) -> None:
    text = blog(*outputs)
    for item, output in outputs.items():
        text = text.replace(f"  - id: {item}\n", f"  - id: {item}\n    output: {output}\n")
    harness.write("content/blog.yaml", text)


MOVES: dict[str, dict[str, str]] = {
    "plain": {"a": "new/place.md", "b": "out/b.md", "c": "out/c.md"},
    "chain": {"a": "out/b.md", "b": "out/c.md", "c": "out/d.md"},
    "case only": {"a": "out/A.md", "b": "out/b.md", "c": "out/c.md"},
    "into a folder": {"a": "out/a.md/index.md", "b": "out/b.md", "c": "out/c.md"},
}


def _bodies(harness: Harness) -> dict[str, str]:
    """Which item's text each file holds."""
    return {path: text.split("All about ")[1].split(" ")[0] for path, text in harness.tree("out", "new").items()}


@pytest.mark.parametrize("outputs", MOVES.values(), ids=MOVES)
def test_moves_killed_anywhere_end_in_the_same_tree(root: Path, outputs: dict[str, str], each_kill: EachKill) -> None:
    """Killed at every single step of the moves and run again: the same tree, no text lost, nothing paid."""
    harness = _placed(root / "whole", a="out/a.md", b="out/b.md", c="out/c.md")
    harness.edit("out/a.md", "Closing", "Edited closing")
    harness.apply()
    _place(harness, **outputs)
    stops = each_kill(harness, root, harness.apply)
    assert len(stops) > 5
    for where, stop in {**stops, "never": harness}.items():
        assert stop.settle().empty, where
        assert _bodies(stop) == {output: item for item, output in outputs.items()}, where
        assert "Edited closing" in stop.read(outputs["a"]), where
        assert stop.api.credits == 12, where


def test_an_edit_between_plan_and_move(root: Path) -> None:
    """A file that changed after the plan is not moved either; the next apply moves it with the edit."""
    harness = _placed(root, a="out/a.md", b="out/b.md")
    _place(harness, a="new/a.md", b="out/b.md")

    run = harness.apply(emit=before("", lambda: harness.edit("out/a.md", "Closing", "My words")))
    assert (results(run), results(harness.apply())) == ({"a": "blocked"}, {"a": "done"})
    assert "My words" in harness.read("new/a.md")


def test_another_file_at_the_target_of_a_move_is_not_taken_for_the_moved_one(root: Path) -> None:
    """Its own file is gone since the plan; the words of another one are not written over."""
    harness = _done(root)
    harness.edit("content/blog.yaml", "id: one", "id: one\n    output: out/new.md")

    def swap() -> None:
        (root / "out/one.md").rename(root / "elsewhere.md")
        harness.write("out/new.md", "My words.\n")

    assert results(harness.ran(emit=before("", swap))) == {"one": "blocked"}
    assert (harness.read("out/new.md"), harness.record("one").output) == ("My words.\n", "out/one.md")


def test_a_new_id_for_an_equal_request_is_a_rename(root: Path, each_kill: EachKill) -> None:
    """An item that only got another id takes its text along, killed anywhere or not."""
    harness = _done(root / "whole", "a", "b")
    harness.edit("content/blog.yaml", "id: a\n", "id: z\n")
    for where, stop in {**each_kill(harness, root, harness.apply), "never": harness}.items():
        assert stop.settle().empty, where
        assert set(stop.tree()) == {"out/b.md", "out/z.md"}, where
        assert ("item: z" in stop.read("out/z.md"), stop.api.credits) == (True, 8), where


# --- runs that change nothing -------------------------------------------------------------------------------------


def test_a_no_op_apply_changes_no_byte(root: Path) -> None:
    """After a clean apply the plan is empty, and another apply touches no file, the lock included."""
    harness = _done(root, "one", "two")
    before, requests = harness.bytes(), len(harness.api.requests)
    assert harness.apply() is None
    assert (harness.bytes(), len(harness.api.requests)) == (before, requests)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_plan_of_a_read_only_project(root: Path) -> None:
    """A checkout that no one may write to can be planned."""
    harness = _done(root, "one")
    (harness.root / ".contentops").chmod(0o500)
    try:
        assert harness.plan().empty
    finally:
        (harness.root / ".contentops").chmod(0o700)


LONG = {"Korean": "한" * 35, "dots": "ü" * 100, "longer in capitals": "ŉ" * 100, "the longest": "é" * 126}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_a_name_that_only_another_spelling_makes_too_long_is_fine(root: Path, name: str) -> None:
    """No file can be spelled so, decomposed or in capitals, and none is looked for once it is paid."""
    harness = _done(root, name)
    assert harness.plan().empty
    harness.edit(f"out/{name}.md", "Closing", "MINE")
    assert (results(harness.apply()), harness.plan().empty) == ({name: "done"}, True)
