"""The process stops at every single thing it does; run again, nothing is paid twice and nothing is lost."""

from __future__ import annotations

import contextlib
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.api import FakeApi, Killed
from tests.fakes.death import Death, witnessed
from tests.fakes.ledger import SceneLedger
from tests.fakes.scene import Scene, blog

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@pytest.fixture(params=["journal", "ledger"])
def ledger(request: pytest.FixtureRequest) -> Iterator[SceneLedger | None]:
    """What a run records in: the journal of its checkout alone, or a ledger too."""
    if request.param == "journal":
        yield None
        return
    with contextlib.closing(SceneLedger(request.getfixturevalue("database"))) as made:
        yield made


def _stopped(root: Path, habits: dict[str, Any], ledger: SceneLedger | None = None) -> tuple[Scene, dict[str, Scene]]:
    """A scene that no one stopped, and what each stop would have left of it."""
    scene = Scene(root / "undisturbed", FakeApi(duration=30, **habits), ledger=ledger)
    scene.write("content/blog.yaml", blog(*ITEMS))
    stops = witnessed(scene, root, scene.apply)
    assert scene.api.credits == 12
    assert len(stops) > 30
    return scene, stops


@pytest.mark.parametrize("habits", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("clean", [False, True], ids=["", "without .contentops"])
def test_a_stop_at_every_step_costs_nothing_and_loses_nothing(
    root: Path, habits: dict[str, Any], *, clean: bool
) -> None:
    """Stopped anywhere and run again: the same files and the same charges as a run that was never stopped."""
    expected, stops = _stopped(root, habits)
    for where, scene in stops.items():
        if clean:
            shutil.rmtree(scene.root / ".contentops", ignore_errors=True)
        runs = [scene.apply() for _ in range(2)]
        assert _comparable(scene) == _comparable(expected), where
        assert scene.api.credits == expected.api.credits, (where, runs)
        assert [scene.api.charged(f"All about {item} in 2026") for item in ITEMS] == [1, 1, 1], where
        assert len(scene.api.contents) == len(expected.api.contents), where
        assert scene.plan().empty, (where, scene.plan().changes)


@pytest.mark.parametrize(
    ("kind", "elsewhere"),
    [("enveloped, nothing stored by itself", False), ("creates only", True)],
    ids=["here", "elsewhere"],
)
def test_a_stop_at_every_step_with_a_ledger(root: Path, database: str, kind: str, *, elsewhere: bool) -> None:
    """Also where the machine is gone with all that it had not pushed: another checkout goes on with the ledger."""
    with contextlib.closing(SceneLedger(database)) as ledger:
        expected, stops = _stopped(root, KINDS[kind], ledger)
        # What is here, with its journal, stands where a run without a ledger does, which is stopped at every step.
        for where, scene in list(stops.items())[:: 1 if elsewhere else 2]:
            if elsewhere:
                for name in (".contentops", "out"):
                    shutil.rmtree(scene.root / name, ignore_errors=True)
                (scene.root / "contentops.lock").unlink(missing_ok=True)
            runs = [scene.apply() for _ in range(2)]
            assert _comparable(scene) == _comparable(expected), (where, runs)
            assert scene.api.credits == expected.api.credits, (where, runs)
            assert len(scene.api.contents) == len(expected.api.contents), (where, runs)
            assert scene.plan().empty, (where, scene.plan().changes)


ASKED = "inputs: {topic: All about one in 2026, target_audience: readers}"
RENAMED = {
    "output": f"items: [{{id: one, output: new/x.md, {ASKED}}}]",
    "id": f"items: [{{id: uno, {ASKED}}}]",
    "moved": f"moved: [{{from: one, to: uno}}]\nitems: [{{id: uno, {ASKED}}}]",
}


def _written(root: Path) -> dict[str, Scene]:
    """What each stop after the file was written would have left of a run of one item."""
    scene = Scene(root / "undisturbed", FakeApi(duration=30))
    scene.write("content/blog.yaml", blog("one"))
    stops = witnessed(scene, root, scene.apply)
    found = {where: stop for where, stop in stops.items() if (stop.root / "out/one.md").exists()}
    assert len(found) > 3
    return found


@pytest.mark.parametrize("edited", [True, False], ids=["edited", "as written"])
@pytest.mark.parametrize("manifest", RENAMED.values(), ids=RENAMED)
def test_a_file_that_was_written_and_not_recorded_moves_along(root: Path, manifest: str, *, edited: bool) -> None:
    """Stopped anywhere, edited and renamed: no copy stays behind, no word is missing, and it is paid once."""
    for where, scene in _written(root).items():
        if edited:
            text = scene.read("out/one.md").replace("Closing", "MINE")
            # As editors save: what else has the old file's name keeps its time.
            (scene.root / "out/one.md").unlink()
            scene.write("out/one.md", text)
        scene.write("content/blog.yaml", manifest)
        runs = [scene.apply() for _ in range(2)]
        (text,) = scene.tree("out", "new").values()
        assert ("MINE" in text) == edited, (where, runs)
        assert scene.api.credits == 4, (where, runs)
        assert scene.plan().empty, (where, scene.plan().changes)
        assert scene.plan().notes == (), where


@pytest.mark.parametrize("habits", [{}, {"request_ids": "ignore", "auto_save": False}], ids=["", "ids of its own"])
def test_a_new_id_for_a_request_under_way_pays_nothing(root: Path, habits: dict[str, Any]) -> None:
    """Stopped anywhere and renamed without `moved`, twice: the job, or its lost submit, is that of the newest id."""
    scene = Scene(root / "undisturbed", FakeApi(duration=30, **habits))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    stops = witnessed(scene, root, scene.apply)
    assert len(stops) > 10
    for where, stop in stops.items():
        for name in ("uno", "eins"):
            stop.write("content/blog.yaml", RENAMED["id"].replace("uno", name))
            stop.apply(deadline=5)
            assert {entry.item for entry in stop.state.entries.values()} <= {name}, where
        runs = [stop.apply() for _ in range(2)]
        if left := stop.actions():
            # Where our id means nothing, a person has to say what became of a lost submit.
            assert ("request_ids" in habits, left) == (True, {"eins": "resolve"}), (where, runs)
            assert stop.api.credits <= 8, (where, runs)
        else:
            assert stop.api.credits == 8, (where, runs)
            assert list(stop.tree()) == ["out/eins.md", "out/first.md"], where
            assert stop.plan().notes == (), where


def test_a_file_of_a_request_that_is_gone_is_named(root: Path) -> None:
    """Written and not recorded, then asked for otherwise and elsewhere: it stays, and the plan says so."""
    scene = next(iter(_written(root).values()))
    scene.edit("out/one.md", "Closing", "MINE")
    scene.write("content/blog.yaml", RENAMED["output"].replace("2026", "2027"))
    (note,) = scene.plan().notes
    assert (note.kind, "`out/one.md`" in note.message, "`new/x.md`" in note.hint) == ("left-behind", True, True)
    scene.apply()
    assert "MINE" in scene.read("out/one.md")
    assert "in 2027" in scene.read("new/x.md")


def test_two_stops_in_a_row(root: Path, ledger: SceneLedger | None) -> None:
    """Stopped, run again and stopped again: still paid once."""
    _, stops = _stopped(root, {}, ledger)
    for where, scene in list(stops.items())[:: 2 if ledger is None else 5]:
        scene.death = Death(7)
        with contextlib.suppress(Killed):
            scene.apply()
        scene.death = None
        for _ in range(2):
            scene.apply()
        assert scene.api.credits == 12, where
        assert scene.plan().empty, where


def test_a_server_that_ignores_our_id_leaves_the_item_unknown(root: Path, ledger: SceneLedger | None) -> None:
    """Where our id means nothing, a submit whose answer was lost is never sent again unasked."""
    _, stops = _stopped(root, {"request_ids": "ignore", "auto_save": False}, ledger)
    for where, scene in list(stops.items())[:: 1 if ledger is None else 4]:
        for _ in range(2):
            scene.apply()
        assert scene.api.credits <= 12, where
        left = scene.actions()
        assert set(left.values()) <= {"resolve"}, where
        paid = sum(scene.api.charged(f"All about {item} in 2026") for item in ITEMS)
        assert paid >= 3 - len(left), where
