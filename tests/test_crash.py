"""The process stops at every single thing it does; run again, nothing is paid twice and nothing is lost."""

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.fakes.kills import EachKill
from tests.fakes.ledger import HarnessLedger

ITEMS = ("one", "two")
KINDS: dict[str, dict[str, Any]] = {
    "kind server": {},
    "enveloped, nothing stored by itself": {"envelope": True, "auto_save": False},
    "creates only": {"create_only": True, "auto_save": False},
}


def _comparable(harness: Harness) -> dict[str, str]:
    """The tree without what depends on the time of day and the order of takes."""
    return {path: re.sub(r"generated_at: .*|Take \d+\.", "", text).strip() for path, text in harness.tree().items()}


def _ends_alike(harness: Harness, expected: Harness, where: str) -> None:
    """Run again, a stopped harness has the same files, charges and contents as one that no one stopped."""
    left = harness.settle()
    assert left.empty, (where, left.changes)
    assert _comparable(harness) == _comparable(expected), where
    assert [harness.api.charged(f"All about {item} in 2026") for item in ITEMS] == [1, 1], where
    assert harness.api.credits == expected.api.credits, where
    assert len(harness.api.contents) == len(expected.api.contents), where


def _stopped(
    each_kill: EachKill, root: Path, habits: dict[str, Any], ledger: HarnessLedger | None = None, every: int = 1
) -> tuple[Harness, dict[str, Harness]]:
    """A harness that no one stopped, and what each stop would have left of it."""
    harness = Harness(root / "undisturbed", FakeApi(duration=30, **habits), ledger=ledger).declared(*ITEMS)
    stops = each_kill(harness, root, harness.apply, every)
    assert harness.api.credits == 8
    assert len(stops) * every > 20
    return harness, stops


@pytest.mark.parametrize(
    ("kind", "clean", "every"),
    [
        ("kind server", False, 1),
        ("kind server", True, 2),
        ("enveloped, nothing stored by itself", False, 2),
        ("creates only", True, 1),
    ],
)
def test_a_stop_at_every_step_costs_nothing_and_loses_nothing(
    root: Path, kind: str, every: int, each_kill: EachKill, *, clean: bool
) -> None:
    """Stopped anywhere and run again: the same files and the same charges as a run that was never stopped.

    `clean`: what is in `.contentops` is lost too.
    """
    expected, stops = _stopped(each_kill, root, KINDS[kind], every=every)
    for where, harness in stops.items():
        if clean:
            shutil.rmtree(harness.root / ".contentops", ignore_errors=True)
        _ends_alike(harness, expected, where)


def test_a_stop_at_every_step_with_a_ledger(root: Path, database: str, each_kill: EachKill) -> None:
    """Mostly the machine is gone with all that it had not pushed: another checkout goes on with the ledger."""
    with contextlib.closing(HarnessLedger(database)) as ledger:
        expected, stops = _stopped(each_kill, root, KINDS["creates only"], ledger)
        for number, (where, harness) in enumerate(stops.items()):
            # What is here, with its journal, stands where a run without a ledger does, which is stopped at every step.
            if number % 3:
                for name in (".contentops", "out"):
                    shutil.rmtree(harness.root / name, ignore_errors=True)
                for name in ("contentops.lock", "contentops.jobs"):
                    (harness.root / name).unlink(missing_ok=True)
            _ends_alike(harness, expected, where)


ASKED = "inputs: {topic: All about one in 2026, target_audience: readers}"
RENAMED = {
    "output": f"items: [{{id: one, output: new/x.md, {ASKED}}}]",
    "id": f"items: [{{id: uno, {ASKED}}}]",
    "moved": f"moved: [{{from: one, to: uno}}]\nitems: [{{id: uno, {ASKED}}}]",
}


def _written(each_kill: EachKill, root: Path) -> dict[str, Harness]:
    """What each stop after the file was written would have left of a run of one item."""
    harness = Harness(root / "undisturbed", FakeApi(duration=30)).declared("one")
    stops = each_kill(harness, root, harness.apply)
    found = {where: stop for where, stop in stops.items() if (stop.root / "out/one.md").exists()}
    assert len(found) > 3
    return found


@pytest.mark.parametrize(("name", "edited"), [("output", True), ("id", True), ("moved", True), ("output", False)])
def test_a_file_that_was_written_and_not_recorded_moves_along(
    root: Path, name: str, each_kill: EachKill, *, edited: bool
) -> None:
    """Stopped anywhere, edited and renamed: no copy stays behind, no word is missing, and it is paid once."""
    for where, harness in _written(each_kill, root).items():
        if edited:
            text = harness.read("out/one.md").replace("Closing", "MINE")
            # As editors save: what else has the old file's name keeps its time.
            (harness.root / "out/one.md").unlink()
            harness.write("out/one.md", text)
        harness.write("content/blog.yaml", RENAMED[name])
        left = harness.settle()
        assert (left.changes, left.notes) == ((), ()), where
        (text,) = harness.tree("out", "new").values()
        assert ("MINE" in text) == edited, where
        assert harness.api.credits == 4, where


@pytest.mark.parametrize("habits", [{}, {"request_ids": "ignore", "auto_save": False}], ids=["", "ids of its own"])
def test_a_new_id_for_a_request_under_way_pays_nothing(root: Path, habits: dict[str, Any], each_kill: EachKill) -> None:
    """Stopped anywhere and renamed without `moved`, twice: the job, or its lost submit, is that of the newest id."""
    harness = Harness(root / "undisturbed", FakeApi(duration=30, **habits))
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("one"))
    stops = each_kill(harness, root, harness.apply, 2)
    assert len(stops) > 5
    for where, stop in stops.items():
        for id_ in ("uno", "eins"):
            stop.write("content/blog.yaml", RENAMED["id"].replace("uno", id_))
            stop.apply(deadline=5)
        left = stop.settle()
        if not left.empty:
            # Where our id means nothing, a person has to say what became of a lost submit.
            assert "request_ids" in habits, where
            assert [(change.id, change.action) for change in left.changes] == [("eins", "resolve")], where
            assert stop.api.credits <= 8, where
        else:
            assert stop.api.credits == 8, where
            assert list(stop.tree()) == ["out/eins.md", "out/first.md"], where
            assert left.notes == (), where


def test_a_file_of_a_request_that_is_gone_stays(root: Path, each_kill: EachKill) -> None:
    """Written and not recorded, then asked for otherwise and elsewhere: its words are still there."""
    harness = next(iter(_written(each_kill, root).values()))
    harness.edit("out/one.md", "Closing", "MINE")
    harness.write("content/blog.yaml", RENAMED["output"].replace("2026", "2027"))
    harness.apply()
    assert "MINE" in harness.read("out/one.md")
    assert "in 2027" in harness.read("new/x.md")


def test_a_server_that_ignores_our_id_leaves_the_item_unknown(root: Path, each_kill: EachKill) -> None:
    """Where our id means nothing, a submit whose answer was lost is never sent again unasked."""
    _, stops = _stopped(each_kill, root, {"request_ids": "ignore", "auto_save": False}, every=2)
    for where, harness in stops.items():
        left = harness.settle().changes
        assert harness.api.credits <= 8, where
        assert {change.action for change in left} <= {"resolve"}, where
        paid = sum(harness.api.charged(f"All about {item} in 2026") for item in ITEMS)
        assert paid >= 2 - len(left), where
