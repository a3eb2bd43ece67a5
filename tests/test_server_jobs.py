"""Jobs of the embedded server: restarts, several processes, failing engines, time."""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contentops.server import contents, jobs
from contentops.server.contents import ContentChange
from contentops.server.engines.protocol import EngineError, ReportStage, SectionTask, WritingTask, WrittenText
from contentops.server.jobs import GenerationRequest, StoredJob
from contentops.server.store import Clock, Store
from tests.fakes.asgi import Bundled, Ticks, call

BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": {"topic": "Tides", "audience": "sailors"},
}


@dataclass
class Scripted:
    """An engine that does what it is told, after reporting every stage."""

    act: Any
    name: str = "scripted"
    model: str = ""

    async def probe(self) -> None:
        """There is no model."""

    async def write(self, task: WritingTask, report: ReportStage) -> WrittenText:
        """Report and act."""
        for stage in task.stages:
            await report(stage)
        result = self.act()
        assert isinstance(result, WrittenText)
        return result

    async def rewrite(self, task: WritingTask, section: SectionTask, report: ReportStage) -> str:
        """Report and act."""
        await report(task.stages[-1])
        assert section.heading == "A"
        return str(self.act())


def stored(store: Store) -> StoredJob:
    """The job `r`."""
    job = jobs.find(store, "r")
    assert job is not None
    return job


def test_a_job_goes_on_where_it_was_after_a_restart(bundled: Bundled, tmp_path: Path) -> None:
    """A closed and reopened store finishes the job; stages done before are not waited for again."""
    location = tmp_path / "store" / "db.sqlite3"
    slept, ticks = list[float](), Ticks()

    async def sleep(seconds: float) -> None:
        """The fourth one never ends, as if the process were killed there."""
        slept.append(seconds)
        await (asyncio.sleep(0) if len(slept) < 4 else asyncio.Event().wait())

    before = bundled(Store(location), clock=Clock(sleep=sleep), stage_seconds=5.0)
    before.submit({**BODY, "request_id": "r"})
    before.turns()
    status = before.get("/v1/generate/status/r").json
    assert (status["status"], status["stage"], status["progress"]) == ("processing", "writer", 44)
    assert slept == [5.0] * 4
    before.run(before.app.state.close())
    before.run(before.app.state.close())
    after = bundled(Store(location), clock=Clock(ticks.now, ticks.sleep), stage_seconds=5.0)
    assert (after.finished("r")["content"]["title"], ticks.slept) == ("Tides", [5.0] * 5)
    assert after.get("/v1/credits/usage").json["used"] == 4


def test_two_living_runners_never_work_on_the_same_job(tmp_path: Path) -> None:
    """A second process leaves a job alone while its runner lives, and takes it over once that is gone."""
    with Store(tmp_path / "db") as store:
        jobs.submit(store, StoredJob(id="r", request=GenerationRequest(), created_at=1.0))
        first, second = store.runner_lock(), store.runner_lock()
        first.acquire()
        first.acquire()
        second.acquire()
        assert jobs.claim(store, 1, first) is not None
        assert jobs.claim(store, 1, second) is None
        first.release()
        first.release()
        assert jobs.claim(store, 1, second) is not None
        jobs.release(store, 1, first.id)
        assert stored(store).runner == second.id
        second.release()
        assert jobs.claim(store, 99, second) is None


def test_a_killed_process_leaves_its_job_to_others(tmp_path: Path, processes: None) -> None:
    """The claim of a process that was killed outright does not hold."""
    path = tmp_path / "db"
    script = (
        "import os, sys\n"
        "from contentops.server import jobs\n"
        "from contentops.server.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "lock = store.runner_lock()\n"
        "lock.acquire()\n"
        "jobs.submit(store, jobs.StoredJob(id='r', request=jobs.GenerationRequest(), created_at=1.0))\n"
        "assert jobs.claim(store, 1, lock)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-c", script, str(path)], check=False, capture_output=True)
    assert process.returncode == -9, process.stderr
    with Store(path) as store:
        mine = store.runner_lock()
        assert stored(store).runner != mine.id
        assert jobs.claim(store, 1, mine) is not None
        assert not list((tmp_path / "db.runners").iterdir())


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(("act", "error"), [
    pytest.param(lambda: {"a": 1}["x"], "internal error in engine `scripted`", id="bug"),
    pytest.param(lambda: _raise(OSError("gone")), "internal error in engine `scripted`", id="os-error"),
    pytest.param(lambda: _raise(EngineError("the model said no")), "the model said no", id="refusal"),
])  # fmt: skip
def test_a_failing_engine_fails_the_job(bundled: Bundled, act: Any, error: str) -> None:
    """An engine's own words reach the client, what went wrong inside it does not; nothing is charged."""
    server = bundled(engine=Scripted(act))
    server.submit({**BODY, "request_id": "r"})
    assert (server.finished("r")["error"], server.get("/v1/credits/usage").json["used"]) == (error, 0)


def test_a_busy_store_puts_a_job_aside(bundled: Bundled, tmp_path: Path) -> None:
    """While the runner cannot announce itself, a job is put aside; the next status request starts it again."""
    (tmp_path / "db.runners").write_text("a file where the folder of runners should be")
    server = bundled(Store(tmp_path / "db"))
    server.submit({**BODY, "request_id": "r"})
    server.turns()
    assert server.get("/v1/generate/status/r").json["status"] == "pending"
    (tmp_path / "db.runners").unlink()
    assert server.finished("r")["status"] == "completed"


def test_a_section_that_vanished_fails_the_job(bundled: Bundled) -> None:
    """If the section or the content is gone when the text is ready, nothing is overwritten."""
    server = bundled(engine=Scripted(lambda: "new"))
    saved = server.post("/v1/content/save", {"content": "## A\n\nold"}).json["contentId"]

    async def changed(ask: dict[str, str], method: str) -> None:
        await call(server.app, "POST", "/v1/content/regenerate-section", ask)
        await call(server.app, method, f"/v1/content/{saved}", {"content": "## B\n"})

    for number, method in enumerate(("PUT", "DELETE")):
        server.run(changed({"content_id": saved, "section": "A", "request_id": f"s{number}"}, method))
        assert server.finished(f"s{number}")["error"] == f"content `{saved}` has no section `A` any more"
        server.post("/v1/content/save", {"id": saved, "content": "## A\n\nold"})


def test_a_store_that_fails_while_a_text_is_written_leaves_the_job_open(bundled: Bundled, tmp_path: Path) -> None:
    """The text could not be stored, so the job is neither completed nor failed: the next start does it again."""
    location = tmp_path / "db"
    store = Store(location)

    def unplug() -> WrittenText:
        store.close()
        return WrittenText(title="T", body="b")

    jobs.submit(store, StoredJob(id="r", request=GenerationRequest(mode="quick"), created_at=1.0))
    first = bundled(store, engine=Scripted(unplug))
    first.get("/v1/content")
    first.turns()
    first.run(first.app.state.close())
    with Store(location) as again:
        assert stored(again).status == "processing"
    second = bundled(Store(location), engine=Scripted(lambda: WrittenText(title="T", body="b")))
    second.get("/v1/content")
    second.turns()
    assert (stored(second.store).status, stored(second.store).title) == ("completed", "T")


def test_a_job_is_finished_once() -> None:
    """Whoever comes second changes nothing: one content, one charge, no late failure."""
    with Store() as store:
        job, _ = jobs.submit(store, StoredJob(id="r", request=GenerationRequest(), created_at=1.0))
        jobs.complete(store, job, lambda: ContentChange(title="A", body="a"), 2.0)
        with pytest.raises(jobs.JobLostError):
            jobs.complete(store, job, lambda: ContentChange(title="B", body="b"), 3.0)
        with pytest.raises(jobs.JobLostError):
            jobs.fail(store, job, "late", 4.0)
        with pytest.raises(jobs.JobLostError):
            jobs.advance(store, job, "planner", 100)
        finished = stored(store)
        assert (finished.status, finished.title, finished.error, finished.finished_at) == ("completed", "A", "", 2.0)
        assert len(contents.entries(store)) == jobs.usage(store)["generations"] == 1


@pytest.mark.parametrize("at", ["stage", "text"])
def test_a_job_that_is_given_away_while_it_is_written_is_done_once(bundled: Bundled, at: str) -> None:
    """Whoever has it no longer says nothing of it, whether a stage begins or the text is there; the next one does it."""
    store, given, texts = Store(), list[str](), list[str]()

    def give_away(when: str) -> None:
        if at == when and not given:
            given.append("away")
            store.run("UPDATE jobs SET runner = 'another'")

    async def sleep(_: float) -> None:
        await asyncio.sleep(0)
        give_away("stage")

    def write() -> WrittenText:
        give_away("text")
        texts.append(f"T{len(texts)}")
        return WrittenText(title=texts[-1], body="b")

    server = bundled(store, engine=Scripted(write), clock=Clock(sleep=sleep))
    server.submit({**BODY, "request_id": "r"})
    while (status := server.get("/v1/generate/status/r").json)["status"] != "completed":
        server.run(asyncio.sleep(0.001))
    assert status["content"]["title"] == texts[-1]
    assert len(contents.entries(store)) == jobs.usage(store)["generations"] == 1
    assert len(texts) == (2 if at == "text" else 1)
