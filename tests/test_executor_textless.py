"""Jobs that complete without a text of their own, and what is looked for in the store instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fakes.api import FakeApi, Stored, on
from tests.fakes.scene import Scene, blog, results

if TYPE_CHECKING:
    from pathlib import Path


class _Blank(FakeApi):
    """Writes nothing but white space about 2027."""

    def _written(self, job: Any) -> tuple[str, str]:
        return ("T", " \n") if "2027" in job.topic else super()._written(job)


class _Textless(FakeApi):
    """Completes one kind of job without a text and without the id of a content."""

    def _content_of(self, job: Any) -> dict[str, Any]:
        content: dict[str, Any] = super()._content_of(job)
        if "bare" in job.topic:
            content.pop("body", None)
            content.pop("id", None)
        return content


class _Deleting(FakeApi):
    """Never uses an id of a content again."""

    made = 0

    def _create(self, title: str, body: str, metadata: dict[str, Any], *, at: float) -> Stored:
        self.made += 1
        stored = Stored(f"cnt_{self.made}", title, body, at, at, metadata)
        self.contents[stored.id] = stored
        return stored


def test_a_blank_text_in_the_store_is_no_text(tmp_path: Path) -> None:
    """It does not take the place of an article."""
    scene = Scene(tmp_path, _Blank(duration=40, status_body="absent"))
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    before = scene.read("out/one.md")
    scene.write("content/blog.yaml", blog("one", year=2027))
    assert results(scene.apply()) == {"one": "failed"}
    assert scene.read("out/one.md") == before


def test_a_key_that_may_not_list_stops_no_one_else(tmp_path: Path) -> None:
    """The store is looked into for the sake of one job; the others need it not."""
    api = _Textless(duration=40, auto_save=False, names_content=False)
    scene = Scene(tmp_path, api)
    scene.edit("contentops.yaml", "api: {", 'api: {save: "off", max_in_flight: 2, ')
    scene.write("content/blog.yaml", blog("first"))
    scene.apply()
    api.fault(on("list content"), 403)
    scene.write("content/blog.yaml", blog("first", "bare", "p", "q", "r"))
    assert results(scene.apply()) == {"bare": "failed", "p": "done", "q": "done", "r": "done"}


def test_a_collected_job_whose_content_is_gone_ends(tmp_path: Path) -> None:
    """No one waits for a text that someone deleted."""
    scene = Scene(tmp_path, _Deleting(duration=40, status_body="absent"))
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.write("content/blog.yaml", blog("one"))
    scene.api.fault(on("get content"), 503)
    assert results(scene.apply()) == {"one": "late"}
    scene.api.heal()
    scene.api.contents.popitem()
    scene.write("content/blog.yaml", blog("one", year=2027))
    scene.apply()
    scene.apply()
    assert "2027" in scene.read("out/one.md")
    assert scene.plan().empty


def test_the_counter_of_a_server_is_no_proof(tmp_path: Path) -> None:
    """After a restart a job of someone else may have the id that ours had."""
    scene = Scene(tmp_path, FakeApi(duration=40, request_ids="ignore"))
    scene.edit("contentops.yaml", "api: {", "api: {job_timeout: 100, ")
    scene.write("content/first.yaml", blog("first"))
    scene.apply()
    scene.api.habits.duration = 5000
    scene.write("content/blog.yaml", blog("one"))
    scene.apply()
    (entry,) = scene.state.entries.values()
    scene.api.restart()
    at = scene.timeline.now
    scene.api._create("Stranger", "The text of a stranger.", {"request_id": entry.job_id}, at=at + 10)
    scene.timeline.now += 200
    assert results(scene.apply()) == {"one": "late"}
    assert "out/one.md" not in scene.tree()
