"""Works on jobs: a submit starts them, a restart resumes them, and each is finished exactly once.

All state is in the store, so a runner may die at any point. It belongs to one event loop; on another loop (a second
`asyncio.run` over the same app) it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

from contentops.server import catalog, contents, jobs
from contentops.server.engines.protocol import EngineError, PausedError, SectionTask, TokenCount, WritingTask
from contentops.server.store import RowRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.sections import Span
    from contentops.server.engines.protocol import Engine, ReportStage, WrittenText
    from contentops.server.store import Clock, Store

AT_ONCE = 256
"""The most jobs running at the same time; the others stay pending."""

_LOG = logging.getLogger(__name__)
_LOST = "job %s was given to another process meanwhile"
_NO_TEMPLATE: Mapping[str, Any] = {"slug": "", "name": "Text", "inputs": [], "sections": [], "titles": []}
_SHOWN: Mapping[str, str] = {"style": "style_profile", "mode": "generation_mode", "brand_voice": "brand_voice_id"}
"""Names in the metadata of a content that differ from those of the request."""
_OTHER_FIELDS = tuple(name for name in jobs.TextRequest.__struct_fields__ if name not in WritingTask.__struct_fields__)
"""Fields of a request that are not fields of a task."""
_NO_STYLE: Mapping[str, Any] = {"slug": "", "name": "General"}


class JobRunner:
    """The jobs of one store that this process works on.

    `by_slug` has the catalog's `templates` and `styles`; `stage_seconds` is the duration of each stage. With
    `on_request` an unfinished job is resumed only when its status is asked for.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine | None,
        clock: Clock,
        by_slug: Mapping[str, Mapping[str, Mapping[str, Any]]],
        *,
        stage_seconds: float,
        on_request: bool = False,
    ) -> None:
        self._store = store
        self._on_request = on_request
        self._engine = engine
        self._clock = clock
        self._catalog = by_slug
        self._stage_seconds = stage_seconds
        self._lock = store.runner_lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._paused: dict[int, str] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._closed = False

    def wake(self) -> None:
        """Resume unfinished jobs; cheap after the first call on this loop. Needs a running loop."""
        loop = asyncio.get_running_loop()
        if loop is self._loop or self._closed:
            return
        self._loop, self._tasks, self._slots = loop, {}, asyncio.Semaphore(AT_ONCE)
        if self._on_request:
            return
        for number in jobs.unfinished(self._store):
            self.start(number)

    def start(self, number: int) -> None:
        """Work on the open job of that number, unless this or another living process does."""
        if self._closed or self._engine is None or number in self._tasks:
            return
        tasks = self._tasks
        tasks[number] = asyncio.get_running_loop().create_task(self._run(number, self._engine))
        tasks[number].add_done_callback(lambda _: tasks.pop(number, None))

    def why_paused(self, number: int) -> str:
        """Return once why work on an open job paused; empty: it did not. After that, `start` goes on with it."""
        return self._paused.pop(number, "")

    async def close(self) -> None:
        """Stop working; the next runner resumes unfinished jobs."""
        self._closed = True
        if self._loop is asyncio.get_running_loop():
            tasks = [*self._tasks.values()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
        self._tasks = {}
        self._lock.release()

    async def _run(self, number: int, engine: Engine) -> None:
        async with self._slots:
            try:
                self._lock.acquire()
                job = jobs.claim(self._store, number, self._lock)
            except RowRefusedError as error:
                _LOG.warning("job %s is given up: %s", number, error)
                with contextlib.suppress(sqlite3.Error):
                    jobs.drop(self._store, number, self._clock.now())
            except (sqlite3.Error, OSError) as error:
                _LOG.warning("job %s was put aside: %s", number, error)
            else:
                if job is not None:
                    await self._attempt(job, engine)

    async def _attempt(self, job: jobs.StoredJob, engine: Engine) -> None:
        done = False
        try:
            done = await self._finish(job, engine)
        except jobs.JobLostError:
            _LOG.warning(_LOST, job.number)
        except (sqlite3.Error, OSError) as error:
            # The store is busy or the disk is full: the job stays open, and the next status request starts it again.
            _LOG.warning("job %s was put aside: %s", job.number, error)
        finally:
            if not done:
                # If this fails, the end of this process frees the runner's lock.
                with contextlib.suppress(sqlite3.Error):
                    jobs.release(self._store, job.number, job.runner)

    async def _finish(self, job: jobs.StoredJob, engine: Engine) -> bool:
        """Finish a job; False where it pauses, with all answers kept."""
        count = TokenCount()
        answers = jobs.StoredAnswers(self._store, job, count)
        try:
            make, now = await self._work(job, engine, count, answers), self._clock.now()
            by = jobs.WrittenBy(engine=engine.name, model=engine.model, tokens=count.tokens)
            if not jobs.complete(self._store, job, make, now, by=by):
                _LOG.warning(_LOST, job.number)
        except PausedError as error:
            answers.pause()
            self._paused[job.number] = str(error)
            return False
        except EngineError as error:
            jobs.fail(self._store, job, str(error), self._clock.now(), tokens=count.tokens)
        except (sqlite3.Error, jobs.JobLostError):
            raise
        except Exception:  # noqa: BLE001 - an engine may fail in any way, and its job must end
            # The error of an engine may name secrets, so it goes to the log, not into the reply.
            _LOG.exception("engine `%s` failed on job `%s`", engine.name, job.id)
            message = f"internal error in engine `{engine.name}`"
            jobs.fail(self._store, job, message, self._clock.now(), tokens=count.tokens)
        return True

    async def _work(
        self, job: jobs.StoredJob, engine: Engine, count: TokenCount, answers: jobs.StoredAnswers
    ) -> Callable[[], contents.ContentChange]:
        """Let the engine write; returns the function that builds the text to store, inside the transaction."""
        request = job.request
        task = WritingTask(
            id=job.id,
            template=self._catalog["templates"].get(request.template, _NO_TEMPLATE),
            style=self._catalog["styles"].get(request.style, _NO_STYLE),
            inputs=request.inputs,
            mode=request.mode,
            vertical=request.vertical,
            brand_voice=request.brand_voice,
            other_fields={name: value for name in _OTHER_FIELDS if (value := getattr(request, name))},
            count=count,
            answers=answers,
        )
        report = self._reporting(job, task.stages)
        await report(task.stages[0])
        if request.kind == "section":
            return await self._section(job, engine, task, report)
        missing = catalog.missing(task.template, request.inputs)
        if missing and not (request.topic_alone and catalog.has_topic(request.inputs)):
            fields = "fields" if len(missing) > 1 else "field"
            raise EngineError(f"Missing required input {fields}: {', '.join(missing)}")
        draft = await engine.write(task, report)
        text = contents.ContentChange(
            title=_storable(draft.title),
            body=_storable(draft.body),
            status="completed",
            type=str(task.template.get("template_type") or "article"),
            metadata=_metadata(job, draft, engine),
        )
        return lambda: text

    async def _section(
        self, job: jobs.StoredJob, engine: Engine, task: WritingTask, report: ReportStage
    ) -> Callable[[], contents.ContentChange]:
        span, content = self._find_section(job)
        section = SectionTask(
            heading=span.heading,
            level=span.level,
            text=contents.body(content.body, span),
            document=content.body,
            instructions=job.request.instructions,
        )
        # The text is nested, so that the sections after it stay sections.
        new = contents.nested(_storable(await engine.rewrite(task, section, report)), span.level)

        def make() -> contents.ContentChange:
            # The content may have changed while the engine wrote: replace the section in its newest text.
            span, content = self._find_section(job)
            body = contents.replace_section(content.body, span, new)
            return contents.ContentChange(id=content.id, title=content.title, body=body)

        return make

    def _find_section(self, job: jobs.StoredJob) -> tuple[Span, contents.ContentRow]:
        request = job.request
        content = contents.find(self._store, request.content_id)
        span = None if content is None else contents.find_section(content.body, request.section)
        if content is None or span is None:
            raise EngineError(f"content `{request.content_id}` has no section `{request.section}` any more")
        return span, content

    def _reporting(self, job: jobs.StoredJob, stages: tuple[str, ...]) -> ReportStage:
        """A function that reports each stage once, and skips those finished before a restart."""
        # The stage in which a process was killed is repeated.
        done = stages.index(job.stage) - 1 if job.stage in stages else -1

        async def report(stage: str) -> None:
            nonlocal done
            position = stages.index(stage)
            if position > done:
                jobs.advance(self._store, job, stage, round(100 * (position + 0.5) / len(stages)))
                await self._clock.sleep(self._stage_seconds)
                done = position

        return report


def _storable(text: str) -> str:
    # A model may send a lone surrogate, which cannot be stored.
    return text.encode("utf-8", "replace").decode()


def _metadata(job: jobs.StoredJob, draft: WrittenText, engine: Engine) -> dict[str, Any]:
    metadata = {
        "request_id": job.id,
        "engine": engine.name,
        "model": engine.model or None,
        "word_count": len(draft.body.split()),
        **{_SHOWN.get(name, name): getattr(job.request, name) for name in jobs.TextRequest.__struct_fields__},
    }
    return {name: value for name, value in metadata.items() if value is not None and name != "inputs"}
