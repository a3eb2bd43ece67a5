"""`--refresh`: what was edited or deleted in WriterzRoom is found by one list, and comes home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.documents.clean import body_digest
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path

THEIRS = "## Introduction\n\nTheir words.\n"


def _scene(tmp_path: Path, *ids: str, **habits: Any) -> Scene:
    scene = Scene(tmp_path, FakeApi(duration=30, **habits))
    scene.write("content/blog.yaml", blog(*(ids or ("one", "two"))))
    scene.apply()
    assert scene.plan().empty
    return scene


def _edit(scene: Scene, item: str, body: str = THEIRS, **given: Any) -> None:
    scene.api.edit(scene.record(item).content_id, body, **given)


def _asked(scene: Scene, **choice: Any) -> tuple[int, int]:
    """Lists and fetches that a plan with a refresh asks for."""
    before = scene.api.count("list content"), scene.api.count("get content")
    scene.plan(refresh=True, **choice)
    return scene.api.count("list content") - before[0], scene.api.count("get content") - before[1]


def test_nothing_changed_there_is_one_list(tmp_path: Path) -> None:
    """What was saved and left alone is not fetched: one request says so for all of it."""
    scene = _scene(tmp_path)
    assert _asked(scene) == (1, 0)
    assert scene.plan(refresh=True).empty


def test_an_edit_there_is_pulled_and_stays_a_persons(tmp_path: Path) -> None:
    """Planned, pulled, recorded as saved and not as generated; nothing is saved again, and it is an edit from then on."""
    scene = _scene(tmp_path)
    generated = scene.record("one").generated
    _edit(scene, "one", title="Their title")
    assert scene.plan().empty
    assert _asked(scene) == (1, 1)
    assert _asked(scene) == (1, 0)
    (change,) = scene.plan(refresh=True).changes
    assert (change.id, change.action, change.names, change.credits) == ("one", "pull", ("fetch", "write"), 0)
    before = scene.api.count("save")
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    assert "Their words." in scene.read("out/one.md")
    assert "title: Their title" in scene.read("out/one.md")
    record = scene.record("one")
    assert record.saved is not None
    assert (record.generated, record.saved.body) == (generated, body_digest(THEIRS))
    assert scene.api.count("save") == before
    assert scene.plan(refresh=True).empty
    assert scene.plan().empty
    assert _asked(scene) == (1, 0)
    scene.write("content/blog.yaml", blog("one", "two", year=2027))
    assert scene.actions()["one"] == "blocked"
