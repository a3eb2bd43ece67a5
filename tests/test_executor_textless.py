"""Jobs that complete without a text of their own, and what is looked for in the store instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fakes.api import FakeApi, Stored, on
from tests.fakes.harness import Harness, blog, results

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
    harness = Harness(tmp_path, _Blank(duration=40, status_body="absent"))
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    before = harness.read("out/one.md")
    harness.write("content/blog.yaml", blog("one", year=2027))
    assert results(harness.apply()) == {"one": "failed"}
    assert harness.read("out/one.md") == before


def test_a_key_that_may_not_list_stops_no_one_else(tmp_path: Path) -> None:
    """The store is looked into for the sake of one job; the others need it not."""
    api = _Textless(duration=40, auto_save=False, names_content=False)
    harness = Harness(tmp_path, api)
    harness.edit("contentops.yaml", "api: {", 'api: {save: "off", max_in_flight: 2, ')
    harness.write("content/blog.yaml", blog("first"))
    harness.apply()
    api.fault(on("list content"), 403)
    harness.write("content/blog.yaml", blog("first", "bare", "p", "q", "r"))
    assert results(harness.apply()) == {"bare": "failed", "p": "done", "q": "done", "r": "done"}


def test_a_collected_job_whose_content_is_gone_ends(tmp_path: Path) -> None:
    """No one waits for a text that someone deleted."""
    harness = Harness(tmp_path, _Deleting(duration=40, status_body="absent"))
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/blog.yaml", blog("one"))
    harness.api.fault(on("get content"), 503)
    assert results(harness.apply()) == {"one": "late"}
    harness.api.heal()
    harness.api.contents.popitem()
    harness.write("content/blog.yaml", blog("one", year=2027))
    harness.apply()
    harness.apply()
    assert "2027" in harness.read("out/one.md")
    assert harness.plan().empty


def test_the_counter_of_a_server_is_no_proof(tmp_path: Path) -> None:
    """After a restart a job of someone else may have the id that ours had."""
    harness = Harness(tmp_path, FakeApi(duration=40, request_ids="ignore"))
    harness.edit("contentops.yaml", "api: {", "api: {job_timeout: 100, ")
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.api.habits.duration = 5000
    harness.write("content/blog.yaml", blog("one"))
    harness.apply()
    (entry,) = harness.state.entries.values()
    harness.api.restart()
    at = harness.timeline.now
    harness.api._create("Stranger", "The text of a stranger.", {"request_id": entry.job_id}, at=at + 10)
    harness.timeline.now += 200
    assert results(harness.apply()) == {"one": "late"}
    assert "out/one.md" not in harness.tree()
