"""The process stops at every single thing it does; run again, nothing is paid twice and nothing is lost."""

from __future__ import annotations

import contextlib
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.api import FakeApi, Killed
from tests.fakes.death import Death
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = ("one", "two", "three")
KINDS: dict[str, dict[str, Any]] = {
    "kind server": {},
    "enveloped, nothing stored by itself": {"envelope": True, "auto_save": False},
    "creates only": {"create_only": True, "auto_save": False},
}


def _comparable(scene: Scene) -> dict[str, str]:
    """The tree without what depends on the time of day and the order of takes."""
    return {path: re.sub(r"generated_at: .*|Take \d+\.", "", text).strip() for path, text in scene.tree().items()}


def _undisturbed(root: Path, habits: dict[str, Any]) -> Scene:
    scene = Scene(root, FakeApi(duration=30, **habits))
    scene.write("content/blog.yaml", blog(*ITEMS))
    run = scene.apply()
    assert run is not None
    assert run.credits == 12
    return scene


def _steps(root: Path, habits: dict[str, Any]) -> int:
    scene = Scene(root, FakeApi(duration=30, **habits))
    scene.write("content/blog.yaml", blog(*ITEMS))
    scene.death = Death(10**9)
    scene.apply()
    return scene.death.steps


def _die(scene: Scene, at: int) -> str:
    scene.death = Death(at)
    with pytest.raises(Killed):
        scene.apply()
    last = scene.death.last
    scene.death = None
    return last


@pytest.mark.parametrize("habits", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("clean", [False, True], ids=["", "without .contentops"])
def test_a_stop_at_every_step_costs_nothing_and_loses_nothing(
    tmp_path: Path, habits: dict[str, Any], *, clean: bool
) -> None:
    """Stopped anywhere and run again: the same files and the same charges as a run that was never stopped."""
    expected = _undisturbed(tmp_path / "undisturbed", habits)
    steps = _steps(tmp_path / "count", habits)
    assert steps > 30
    for at in range(1, steps + 1):
        scene = Scene(tmp_path / f"at-{at}", FakeApi(duration=30, **habits))
        scene.write("content/blog.yaml", blog(*ITEMS))
        where = f"died at step {at}, {_die(scene, at)}"
        if clean:
            shutil.rmtree(scene.root / ".contentops", ignore_errors=True)
        runs = [scene.apply() for _ in range(2)]
        assert _comparable(scene) == _comparable(expected), where
        assert scene.api.credits == expected.api.credits, (where, runs)
        assert [scene.api.charged(f"All about {item} in 2026") for item in ITEMS] == [1, 1, 1], where
        assert len(scene.api.contents) == len(expected.api.contents), where
        assert scene.plan().empty, (where, scene.plan().changes)


ASKED = "inputs: {topic: All about one in 2026, target_audience: readers}"
RENAMED = {
    "output": f"items: [{{id: one, output: new/x.md, {ASKED}}}]",
    "id": f"items: [{{id: uno, {ASKED}}}]",
    "moved": f"moved: [{{from: one, to: uno}}]\nitems: [{{id: uno, {ASKED}}}]",
}


@pytest.mark.parametrize("edited", [True, False], ids=["edited", "as written"])
@pytest.mark.parametrize("manifest", RENAMED.values(), ids=RENAMED)
def test_a_file_that_was_written_and_not_recorded_moves_along(tmp_path: Path, manifest: str, *, edited: bool) -> None:
    """Stopped anywhere, edited and renamed: no copy stays behind, no word is missing, and it is paid once."""
    written = 0
    for at in range(1, 99):
        scene = Scene(tmp_path / f"at-{at}", FakeApi(duration=30))
        scene.write("content/blog.yaml", blog("one"))
        scene.death = Death(at)
        with contextlib.suppress(Killed):
            scene.apply()
        last, scene.death = scene.death.last, None
        if not last:
            break
        if not (scene.root / "out/one.md").exists():
            continue
        written += 1
        if edited:
            scene.edit("out/one.md", "Closing", "MINE")
        scene.write("content/blog.yaml", manifest)
        runs = [scene.apply() for _ in range(2)]
        where = f"died at step {at}, {last}: {runs}"
        (text,) = scene.tree("out", "new").values()
        assert ("MINE" in text) == edited, where
        assert scene.api.credits == 4, where
        assert scene.plan().empty, (where, scene.plan().changes)
        assert scene.plan().notes == (), where
    assert written > 3


def test_a_file_of_a_request_that_is_gone_is_named(tmp_path: Path) -> None:
    """Written and not recorded, then asked for otherwise and elsewhere: it stays, and the plan says so."""

    def stopped(at: int) -> Scene:
        scene = Scene(tmp_path / f"at-{at}", FakeApi(duration=30))
        scene.write("content/blog.yaml", blog("one"))
        _die(scene, at)
        return scene

    scene = next(scene for scene in map(stopped, range(1, 99)) if (scene.root / "out/one.md").exists())
    scene.edit("out/one.md", "Closing", "MINE")
    scene.write("content/blog.yaml", RENAMED["output"].replace("2026", "2027"))
    (note,) = scene.plan().notes
    assert (note.kind, "`out/one.md`" in note.message, "`new/x.md`" in note.hint) == ("left-behind", True, True)
    scene.apply()
    assert "MINE" in scene.read("out/one.md")
    assert "in 2027" in scene.read("new/x.md")


def test_two_stops_in_a_row(tmp_path: Path) -> None:
    """Stopped, run again and stopped again: still paid once."""
    steps = _steps(tmp_path / "count", {})
    for at in range(1, steps + 1, 3):
        scene = Scene(tmp_path / f"at-{at}", FakeApi(duration=30))
        scene.write("content/blog.yaml", blog(*ITEMS))
        _die(scene, at)
        scene.death = Death(7)
        with contextlib.suppress(Killed):
            scene.apply()
        scene.death = None
        for _ in range(2):
            scene.apply()
        assert scene.api.credits == 12, at
        assert scene.plan().empty, at


def test_a_server_that_ignores_our_id_leaves_the_item_unknown(tmp_path: Path) -> None:
    """Where our id means nothing, a submit whose answer was lost is never sent again unasked."""
    habits = {"request_ids": "ignore", "auto_save": False}
    steps = _steps(tmp_path / "count", habits)
    for at in range(1, steps + 1):
        scene = Scene(tmp_path / f"at-{at}", FakeApi(duration=30, **habits))
        scene.write("content/blog.yaml", blog(*ITEMS))
        where = f"died at step {at}, {_die(scene, at)}"
        for _ in range(2):
            scene.apply()
        assert scene.api.credits <= 12, where
        left = scene.actions()
        assert set(left.values()) <= {"resolve"}, where
        paid = sum(scene.api.charged(f"All about {item} in 2026") for item in ITEMS)
        assert paid >= 3 - len(left), where
