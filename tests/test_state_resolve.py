"""A person's word on one submit touches no other of the item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.operations.records import resolve
from tests.fakes.api import FakeApi
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path


def test_forgetting_an_old_job_keeps_the_new_one(tmp_path: Path) -> None:
    """The job of an earlier request is given up; that of today's is not paid again."""
    scene = Scene(tmp_path, FakeApi(duration=600, auto_save=False))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.apply(deadline=100)
    scene.api.restart()  # the server forgets it
    scene.timeline.now += 4000
    scene.edit("content/blog.yaml", "All about one", "More about one")
    scene.apply(deadline=100)
    first, second = sorted(scene.state.entries.values(), key=lambda entry: entry.submitted_at)
    said = resolve(scene.project, "one", forget=True)
    assert said == "forgot 1 open submit of `one` (1 more is kept); the next apply may submit it again"
    assert [entry.request_id for entry in scene.state.entries.values()] == [second.request_id]
    assert first.digest != second.digest
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 12
    assert scene.plan().empty


def test_a_content_is_given_to_the_request_of_today(tmp_path: Path) -> None:
    """Not to the job of an earlier request, from which its text would go to the cache."""
    scene = Scene(tmp_path, FakeApi(duration=600, auto_save=False))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.apply(deadline=100)
    scene.api.restart()
    scene.timeline.now += 4000
    scene.edit("content/blog.yaml", "All about one", "More about one")
    scene.apply(deadline=100)
    resolve(scene.project, "one", content="cnt_x")
    wanted = max(scene.state.entries.values(), key=lambda entry: entry.submitted_at)
    assert (wanted.state.value, wanted.content_id) == ("paid", "cnt_x")
