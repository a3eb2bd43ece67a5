"""Carries jobs through their stages: started by a submit, resumed after a restart, finished exactly once.

Everything it knows is in the store, so a runner may die at any point. It belongs to the event loop it runs on;
on another loop (a second `asyncio.run` over the same app) it starts afresh.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

from contentops.server import catalog, contents, jobs, sections
from contentops.server.engines import EngineError, Section
from contentops.server.engines import Job as Task
from contentops.server.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from contentops.server.clock import Clock
    from contentops.server.engines import Draft, Engine, Report
    from contentops.server.store import Store

AT_ONCE = 256
"""Jobs worked on at the same time; the others stay pending."""

_LOG = logging.getLogger(__name__)
_NO_TEMPLATE: Mapping[str, Any] = {"slug": "", "name": "Text", "inputs": [], "sections": [], "titles": []}
_NO_STYLE: Mapping[str, Any] = {"slug": "", "name": "General"}


class Runner:
    """The jobs of one store that this process works on. `stage_seconds` is how long each stage takes."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        clock: Clock,
        *,
        templates: Mapping[str, Mapping[str, Any]],
        styles: Mapping[str, Mapping[str, Any]],
        stage_seconds: float,
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._templates = templates
        self._styles = styles
        self._stage_seconds = stage_seconds
        self._presence = Presence(store)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    def wake(self) -> None:
        """Go on with unfinished jobs; cheap once that was done on this loop. Needs a running loop."""
        loop = asyncio.get_running_loop()
        if loop is self._loop or self._closed:
            return
        self._loop, self._tasks, self._room = loop, {}, asyncio.Semaphore(AT_ONCE)
        for job_id in jobs.unfinished(self._store):
            self.start(job_id)

    def start(self, job_id: str) -> None:
        """Work on an open job, unless it is being worked on here or in a living process."""
        if self._closed or job_id in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(self._run(job_id))
        tasks = self._tasks
        tasks[job_id] = task
        task.add_done_callback(lambda _: tasks.pop(job_id, None))

    async def close(self) -> None:
        """Stop working; unfinished jobs are left to the next runner."""
        self._closed = True
        if self._loop is asyncio.get_running_loop() and self._tasks:
            waiting = list(self._tasks.values())
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        self._tasks = {}
        self._presence.leave()

    async def _run(self, job_id: str) -> None:
        async with self._room:
            try:
                self._presence.announce()
                job = jobs.claim(self._store, job_id, self._presence.id, self._presence.alive)
                if job is not None:
                    await self._finish(job)
            except asyncio.CancelledError:
                self._release(job_id)
                raise
            except (sqlite3.Error, OSError) as error:
                # The store is busy or the disk full: the job stays open, and the next request for it starts it again.
                _LOG.warning("job `%s` was put aside: %s", job_id, error)
                self._release(job_id)

    def _release(self, job_id: str) -> None:
        try:
            jobs.release(self._store, job_id, self._presence.id)
        except sqlite3.Error:
            # Presence will tell the others once this process is gone.
            _LOG.warning("job `%s` could not be released", job_id)

    async def _finish(self, job: jobs.Job) -> None:
        try:
            make = await self._work(job)
            jobs.complete(self._store, job, make, self._clock.now())
        except EngineError as error:
            jobs.fail(self._store, job.id, str(error), self._clock.now())
        except sqlite3.Error:
            raise
        except Exception:  # noqa: BLE001 - an engine may fail in any way, and its job must end
            # What went wrong inside an engine may name secrets: the log gets it, the reply does not.
            _LOG.exception("engine `%s` failed on job `%s`", self._engine.name, job.id)
            jobs.fail(self._store, job.id, f"internal error in engine `{self._engine.name}`", self._clock.now())

    async def _work(self, job: jobs.Job) -> Callable[[], contents.Text]:
        """Have the engine write; gives what builds the text to store, once the store is held still."""
        asked = job.submission
        task = Task(
            id=job.id,
            template=self._templates.get(asked.template, _NO_TEMPLATE),
            style=self._styles.get(asked.style, _NO_STYLE),
            inputs=asked.inputs,
            mode=asked.mode,
            vertical=asked.vertical,
            brand_voice=asked.brand_voice,
        )
        report = _Progress(job, task.stages, self._reach)
        await report(task.stages[0])
        if asked.kind == "section":
            return await self._section(job, task, report)
        if missing := catalog.missing(dict(task.template), dict(asked.inputs)):
            fields = "fields" if len(missing) > 1 else "field"
            message = f"Missing required input {fields}: {', '.join(missing)}"
            raise EngineError(message)
        draft = await self._engine.write(task, report)
        text = contents.Text(
            title=_text_of(draft.title),
            body=_text_of(draft.body),
            status="completed",
            type=str(task.template.get("template_type") or "article"),
            metadata=_metadata(job, draft),
        )
        return lambda: text

    async def _section(self, job: jobs.Job, task: Task, report: Report) -> Callable[[], contents.Text]:
        found, content = self._place(job)
        section = Section(
            heading=found.heading,
            level=found.level,
            text=sections.body(content.body, found),
            document=content.body,
            instructions=job.submission.instructions,
        )
        # Whatever the engine wrote stays inside the section, so that the sections after it can still be found.
        new = sections.nested(_text_of(await self._engine.rewrite(task, section, report)), found.level)

        def make() -> contents.Text:
            # The content may have been saved while the engine wrote: only this section of its newest text changes.
            found, content = self._place(job)
            return contents.Text(id=content.id, title=content.title, body=sections.replace(content.body, found, new))

        return make

    def _place(self, job: jobs.Job) -> tuple[sections.Found, contents.Content]:
        asked = job.submission
        content = contents.find(self._store, asked.content_id)
        found = None if content is None else sections.find(content.body, asked.section)
        if content is None or found is None:
            message = f"content `{asked.content_id}` has no section `{asked.section}` any more"
            raise EngineError(message)
        return found, content

    async def _reach(self, job: jobs.Job, stage: str, progress: int) -> None:
        jobs.advance(self._store, job.id, stage, progress)
        await self._clock.sleep(self._stage_seconds)


class _Progress:
    """The report of one job: passes each stage on once, and skips those finished before a restart."""

    def __init__(
        self, job: jobs.Job, stages: tuple[str, ...], reach: Callable[[jobs.Job, str, int], Awaitable[None]]
    ) -> None:
        self._job = job
        self._stages = stages
        self._reach = reach
        # The stage a killed process was in is done again; the ones before it are not.
        self._done = stages.index(job.stage) - 1 if job.stage in stages else -1

    async def __call__(self, stage: str) -> None:
        position = self._stages.index(stage)
        if position <= self._done:
            return
        await self._reach(self._job, stage, round(100 * (position + 0.5) / len(self._stages)))
        self._done = position


def _text_of(value: str) -> str:
    # An engine may hand on what a model sent: half a character pair would not fit into the store.
    return value.encode("utf-8", "replace").decode()


def _metadata(job: jobs.Job, draft: Draft) -> dict[str, Any]:
    asked = job.submission
    found = {
        "request_id": job.id,
        "template": asked.template,
        "style_profile": asked.style,
        "generation_mode": asked.mode,
        "word_count": len(draft.body.split()),
    }
    optional = {"vertical": asked.vertical, "brand_voice_id": asked.brand_voice}
    return {**found, **{name: value for name, value in optional.items() if value}}
