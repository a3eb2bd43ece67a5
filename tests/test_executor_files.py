"""Files: what the plan saw is what is written over, moves in any constellation, and runs that change nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from contentops.model import ItemId, JobState, OnEdit
from contentops.operations import apply as apply_operation
from contentops.operations import plan as plan_operation
from contentops.operations.apply import ApplyOptions, Approval
from contentops.operations.opening import Runtime
from contentops.planning.plan_inputs import Choice
from contentops.reporting.run import exit_code_of
from tests.fakes.api import FakeApi, Killed
from tests.fakes.death import Death
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Event


def _scene(root: Path, *items: str, extra: str = "", **habits: Any) -> Scene:
    scene = Scene(root, FakeApi(**({"duration": 30} | habits)), extra=extra)
    scene.write("content/blog.yaml", blog(*(items or ("one",))))
    return scene


def _done(root: Path, *items: str, **kwargs: Any) -> Scene:
    scene = _scene(root, *items, **kwargs)
    assert set(results(scene.apply()).values()) == {"done"}
    return scene


def _before(step: str, act: Any, item: str = "") -> Any:
    """Do something just before a step of an item begins, once."""
    waiting = [act]

    def emit(event: Event) -> None:
        if event.kind == "step-started" and event.step == step and item in ("", event.item) and waiting:
            waiting.pop()()

    return emit


# --- preconditions -------------------------------------------------------------------------------------------


def test_a_file_edited_between_plan_and_write(root: Path) -> None:
    """The edit stays, the item is blocked with its text kept as paid, and the next apply decides by `on_edit`."""
    scene = _done(root)
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    run = scene.apply(emit=_before("write", lambda: scene.edit("out/one.md", "Closing", "My words")))
    assert run is not None
    assert results(run) == {"one": "blocked"}
    assert exit_code_of(run) == 3
    assert "My words" in scene.read("out/one.md")
    assert scene.entry("one").state is JobState.PAID
    assert scene.actions() == {"one": "blocked"}
    assert results(scene.apply(on_edit=OnEdit.OVERWRITE)) == {"one": "done"}
    assert "2027" in scene.read("out/one.md")
    assert scene.api.credits == 8
    assert scene.plan().empty


def test_a_file_that_appears_between_plan_and_write(root: Path) -> None:
    """Someone's new file at the target is not overwritten; once it is gone the kept text is written for free."""
    scene = _scene(root)
    run = scene.apply(emit=_before("write", lambda: scene.write("out/one.md", "Mine\n")))
    assert results(run) == {"one": "blocked"}
    assert scene.read("out/one.md") == "Mine\n"
    (scene.root / "out/one.md").unlink()
    assert scene.actions() == {"one": "finish"}
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 4


def test_a_file_that_vanishes_between_plan_and_write(root: Path) -> None:
    """Gone is not what the plan saw either."""
    scene = _done(root)
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    run = scene.apply(emit=_before("write", (scene.root / "out/one.md").unlink))
    assert results(run) == {"one": "blocked"}
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 8


def test_a_file_that_holds_the_text_already_is_only_recorded(root: Path) -> None:
    """A write whose record was lost is not an edit."""
    scene = _done(root)
    text = scene.read("out/one.md")
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    scene.apply()
    new = scene.read("out/one.md")
    scene.edit("content/blog.yaml", "in 2027", "in 2026")
    assert results(scene.apply(emit=_before("write", lambda: scene.write("out/one.md", text)))) == {"one": "done"}
    assert new != scene.read("out/one.md")
    assert scene.plan().empty
    assert scene.api.credits == 8


def test_an_edit_of_a_text_that_a_lost_run_had_written(root: Path) -> None:
    """Killed right after the write, without cache, and edited: the words stay, the item is blocked, nothing is paid."""
    scene, last, at = _scene(root / "at-0", duration=100), "", 0
    while last != "after link":
        at += 1
        scene = _scene(root / f"at-{at}", duration=100)
        scene.death = Death(at)
        with contextlib.suppress(Killed):
            scene.apply()
        last, scene.death = scene.death.last, None
        assert last, "the write was never reached"
    assert scene.entry("one").state is JobState.RUNNING
    shutil.rmtree(scene.root / ".contentops")
    scene.edit("out/one.md", "Closing", "My words")
    assert results(scene.apply()) == {"one": "blocked"}
    for _ in range(2):
        scene.apply()
    assert "My words" in scene.read("out/one.md")
    assert scene.api.credits == 4


def test_an_edit_before_an_update_of_the_front_matter(root: Path) -> None:
    """Front matter is not written into a file that changed meanwhile; the next apply does it."""
    scene = _done(root)
    scene.edit("content/blog.yaml", "    inputs", "    metadata: {tags: [x]}\n    inputs")
    run = scene.apply(emit=_before("update", lambda: scene.edit("out/one.md", "Closing", "My words")))
    assert results(run) == {"one": "blocked"}
    assert "tags" not in scene.read("out/one.md")
    assert results(scene.apply()) == {"one": "done"}
    assert "tags" in scene.read("out/one.md")
    assert "My words" in scene.read("out/one.md")
    assert scene.api.credits == 4


def test_a_value_that_only_looks_alike_is_not_taken_for_written(root: Path) -> None:
    """`1` that a person wrote meanwhile is not the `true` that was to be written, so nothing is recorded of it."""
    scene = _done(root)
    scene.edit("content/blog.yaml", "    inputs", "    metadata: {draft: true}\n    inputs")
    run = scene.apply(emit=_before("update", lambda: scene.edit("out/one.md", "title:", "draft: 1\ntitle:")))
    assert results(run) == {"one": "blocked"}
    assert "draft" not in scene.state.records[ItemId("one")].metadata


def test_an_edit_before_a_removal(root: Path) -> None:
    """An orphan's file that was edited after the plan is not removed."""
    scene = _done(root, "one", "two")
    scene.write("content/blog.yaml", blog("two"))
    run = scene.apply(
        prune=True,
        approval=Approval(changes=True),
        emit=_before("remove", lambda: scene.edit("out/one.md", "Closing", "My words")),
    )
    assert results(run) == {"one": "blocked"}
    assert "My words" in scene.read("out/one.md")
    assert "one" in scene.state.records


def test_prune_removes_file_and_record_but_nothing_remote(root: Path) -> None:
    """`--prune` removes an unedited orphan here; its content on the server stays."""
    scene = _done(root, "one", "two")
    scene.write("content/blog.yaml", blog("two"))
    assert results(scene.apply(prune=True, approval=Approval(changes=True))) == {"one": "done"}
    assert set(scene.tree()) == {"out/two.md"}
    assert "one" not in scene.state.records
    assert len(scene.api.contents) == 2
    assert scene.plan().empty


# --- isolated failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("obstacle", ["a file", "a link out", "a folder"])
def test_a_path_that_can_not_be_written_stops_no_one(root: Path, obstacle: str) -> None:
    """One item fails, the others are done, nothing outside is touched, and its text is kept for the next apply."""
    outside = root / "outside"
    outside.mkdir()
    scene = _scene(root / "project", "one", "two", "three")
    scene.edit("content/blog.yaml", "  - id: two\n", "  - id: two\n    output: sub/two.md\n")
    folder, target = scene.root / "sub", scene.root / "sub/two.md"

    def obstruct() -> None:
        if obstacle == "a folder":
            target.mkdir(parents=True)
        elif obstacle == "a file":
            folder.write_text("a file\n")
        else:
            folder.symlink_to(outside)

    run = scene.apply(emit=_before("write", obstruct, "two"))
    assert run is not None
    ends = results(run)
    assert ends.pop("two") in {"failed", "blocked"}
    assert ends == {"one": "done", "three": "done"}
    assert exit_code_of(run) == 3
    assert scene.entry("two").state is JobState.PAID
    assert not list(outside.iterdir())
    target.rmdir() if obstacle == "a folder" else folder.unlink()
    assert results(scene.apply()) == {"two": "done"}
    assert scene.api.credits == 12


# --- moves -------------------------------------------------------------------------------------------------------


def _placed(root: Path, **outputs: str) -> Scene:
    """Items whose outputs are stated."""
    scene = _scene(root, *outputs)
    _place(scene, **outputs)
    scene.apply()
    return scene


def _place(scene: Scene, **outputs: str) -> None:
    text = blog(*outputs)
    for item, output in outputs.items():
        text = text.replace(f"  - id: {item}\n", f"  - id: {item}\n    output: {output}\n")
    scene.write("content/blog.yaml", text)


MOVES: dict[str, dict[str, str]] = {
    "plain": {"a": "new/place.md", "b": "out/b.md", "c": "out/c.md"},
    "chain": {"a": "out/b.md", "b": "out/c.md", "c": "out/d.md"},
    "case only": {"a": "out/A.md", "b": "out/b.md", "c": "out/c.md"},
    "into a folder": {"a": "out/a.md/index.md", "b": "out/b.md", "c": "out/c.md"},
}


def _bodies(scene: Scene) -> dict[str, str]:
    """Which item's text each file holds."""
    return {path: text.split("All about ")[1].split(" ")[0] for path, text in scene.tree("out", "new").items()}


def _wanted(outputs: dict[str, str]) -> dict[str, str]:
    return {output: item for item, output in outputs.items()}


@pytest.mark.parametrize("outputs", MOVES.values(), ids=MOVES)
def test_moves_bring_every_text_to_its_place(root: Path, outputs: dict[str, str]) -> None:
    """Chains, case-only renames and paths below the old one end with each text where its manifest says, for free."""
    scene = _placed(root, a="out/a.md", b="out/b.md", c="out/c.md")
    scene.edit("out/a.md", "Closing", "Edited closing")
    scene.apply()
    _place(scene, **outputs)
    assert scene.plan().submits == 0
    assert set(results(scene.apply(approval=Approval(changes=True))).values()) == {"done"}
    assert _bodies(scene) == _wanted(outputs)
    assert "Edited closing" in scene.read(outputs["a"])
    assert scene.plan().empty
    assert scene.api.credits == 12


@pytest.mark.parametrize("outputs", MOVES.values(), ids=MOVES)
def test_moves_killed_anywhere_end_in_the_same_tree(root: Path, outputs: dict[str, str]) -> None:
    """Killed at every single step of the moves and run again: the same tree, no text lost, nothing paid."""
    scene = _placed(root / "first", a="out/a.md", b="out/b.md", c="out/c.md")
    for at in itertools.count(1):
        copy = _copy(scene, root / f"at-{at}")
        _place(copy, **outputs)
        copy.death = Death(at)
        try:
            copy.apply()
        except Killed:
            where = f"died at {at}, {copy.death.last}"
            copy.death = None
            for _ in range(2):
                copy.apply()
            assert _bodies(copy) == _wanted(outputs), where
            assert copy.plan().empty, where
            shutil.rmtree(copy.root)
        else:
            assert at > 5
            break
    assert scene.api.credits == 12


def _copy(scene: Scene, root: Path) -> Scene:
    shutil.copytree(scene.root, root)
    copy = Scene(root, scene.api, timeline=scene.timeline)
    copy.write("contentops.yaml", scene.read("contentops.yaml"))
    return copy


def test_a_move_and_another_text_at_once(root: Path) -> None:
    """The file moves first, then the new text is written into it where it is now."""
    scene = _placed(root, a="out/a.md", b="out/b.md")
    scene.write("content/blog.yaml", blog("a", "b", year=2027).replace("id: a\n", "id: a\n    output: new/a.md\n"))
    changes = {str(change.id): change for change in scene.plan().changes}
    assert changes["a"].names[:2] == ("move", "submit")
    assert set(results(scene.apply()).values()) == {"done"}
    assert "2027" in scene.read("new/a.md")
    assert not (scene.root / "out/a.md").exists()
    assert scene.plan().empty


def test_a_move_onto_a_file_that_appeared(root: Path) -> None:
    """A move never covers a file that no one planned for; the item is blocked, both files stay."""
    scene = _placed(root, a="out/a.md", b="out/b.md")
    _place(scene, a="new/a.md", b="out/b2.md")

    def emit(event: Event) -> None:
        if event.kind == "run-started":
            scene.write("new/a.md", "Mine\n")

    run = scene.apply(emit=emit)
    assert results(run) == {"a": "blocked", "b": "done"}
    assert scene.read("new/a.md") == "Mine\n"
    assert "All about a" in scene.read("out/a.md")


def test_an_edit_between_plan_and_move(root: Path) -> None:
    """A file that changed after the plan is not moved either; the next apply moves it with the edit."""
    scene = _placed(root, a="out/a.md", b="out/b.md")
    _place(scene, a="new/a.md", b="out/b.md")

    def emit(event: Event) -> None:
        if event.kind == "run-started":
            scene.edit("out/a.md", "Closing", "My words")

    assert results(scene.apply(emit=emit)) == {"a": "blocked"}
    assert results(scene.apply()) == {"a": "done"}
    assert "My words" in scene.read("new/a.md")


def test_a_new_id_for_an_equal_request_is_a_rename(root: Path) -> None:
    """An item that only got another id takes its text along, killed anywhere or not."""
    scene = _done(root / "first", "a", "b")
    for at in (*range(1, 30, 2), 10**9):
        copy = _copy(scene, root / f"at-{at}")
        copy.edit("content/blog.yaml", "id: a\n", "id: z\n")
        copy.death = Death(at)
        with contextlib.suppress(Killed):
            copy.apply()
        copy.death = None
        for _ in range(2):
            copy.apply()
        assert set(copy.tree()) == {"out/b.md", "out/z.md"}, at
        assert "item: z" in copy.read("out/z.md")
        assert copy.plan().empty, at
        shutil.rmtree(copy.root)
    assert scene.api.credits == 8


# --- runs that change nothing -------------------------------------------------------------------------------------


def test_a_no_op_apply_changes_no_byte(root: Path) -> None:
    """After a clean apply the plan is empty, and another apply touches no file, the lock included."""
    scene = _done(root, "one", "two")
    before, requests = scene.bytes(), len(scene.api.requests)
    assert scene.apply() is None
    assert scene.bytes() == before
    assert len(scene.api.requests) == requests


def test_a_blocked_apply_changes_no_byte(root: Path) -> None:
    """An item that is held back leaves everything as it is, however often one applies."""
    scene = _done(root)
    scene.edit("out/one.md", "Closing", "My words")
    scene.apply()
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    scene.apply()
    before = scene.bytes()
    for _ in range(2):
        assert results(scene.apply()) == {"one": "blocked"}
    assert scene.bytes() == before


def test_planning_is_pure(root: Path) -> None:
    """Two plans are equal, write nothing but a parse cache, send nothing, and need no key."""
    scene = _done(root, "one", "two")
    scene.edit("content/blog.yaml", "about one in 2026", "about one in 2027")
    before, requests = scene.bytes(), len(scene.api.requests)
    journal = (scene.root / ".contentops").rglob("journal*")
    logs = {path: path.read_bytes() for path in journal}
    plans = [plan_operation.plan(scene.project, Choice()) for _ in range(2)]
    assert plans[0] == plans[1]
    assert plans[0].id == plans[1].id
    assert scene.bytes() == before
    assert len(scene.api.requests) == requests
    assert {path: path.read_bytes() for path in logs} == logs


def test_a_plan_on_another_machine_is_the_same(root: Path) -> None:
    """Nothing of the folder's name or place is in a plan's id."""
    scene = _done(root / "here", "one")
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    copy = _copy(scene, root / "there")
    assert copy.plan().id == scene.plan().id


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_plan_of_a_read_only_project(root: Path) -> None:
    """A checkout that no one may write to can be planned."""
    scene = _done(root, "one")
    (scene.root / ".contentops").chmod(0o500)
    try:
        assert scene.plan().empty
    finally:
        (scene.root / ".contentops").chmod(0o700)


LONG = {"Korean": "한" * 35, "dots": "ü" * 100, "longer in capitals": "ŉ" * 100, "the longest": "é" * 126}


@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_a_name_that_only_another_spelling_makes_too_long_is_fine(root: Path, name: str) -> None:
    """No file can be spelled so, decomposed or in capitals, and none is looked for once it is paid."""
    scene = _done(root, name)
    assert scene.plan().empty
    scene.edit(f"out/{name}.md", "Closing", "MINE")
    assert results(scene.apply()) == {name: "done"}
    assert scene.plan().empty


def test_moves_need_no_key(root: Path) -> None:
    """A plan without network steps is applied without a key."""
    scene = _placed(root, a="out/a.md")
    _place(scene, a="new/a.md")
    _, run = apply_operation.apply(
        scene.project,
        Choice(),
        ApplyOptions(),
        confirm=lambda _: True,
        emit=lambda _: None,
        runtime=Runtime(environ={}, transport=scene.api, run=scene.runtime().run, wall=scene.timeline.wall),
    )
    assert results(run) == {"a": "done"}
