"""Stores generation jobs, and runs them so that each one is finished exactly once.

A runner claims a job, and an engine writes its text in stages. All state is in the store, so a runner may die at any
point, and the next runner resumes its jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, convert, to_builtins
from msgspec.structs import asdict, replace

from contentops.pricing import price_of_request
from contentops.sections import Span
from contentops.server import catalog, contents
from contentops.server.engines.protocol import (
    Engine,
    EngineError,
    PausedError,
    ReportStage,
    SectionTask,
    TextRequest,
    TokenCount,
    WritingTask,
    WrittenText,
)
from contentops.server.store import Clock, RunnerLock, Store
from contentops.tokens import NO_TOKENS, Tokens

AT_ONCE = 256
"""The most jobs running at the same time; the others stay pending."""

_LOG = logging.getLogger(__name__)
_CHANGE = "UPDATE jobs SET {} WHERE number = ? AND runner = ? AND finished_at IS NULL"
"""Changes columns of an open job if it still belongs to its runner."""


class GenerationRequest(TextRequest, frozen=True, kw_only=True):
    """The request of a job, in the form in which requests are stored and compared.

    It asks for a text (`kind` is `content`), or for a new text of a section in a stored content (`kind` is `section`).
    With `topic_alone`, a topic is enough even if the template requires more inputs.
    """

    kind: str = "content"
    content_id: str = ""
    section: str = ""
    instructions: str = ""
    topic_alone: bool = False
    engine: str = ""
    """The engine that wrote the text; empty before that. It is not part of the comparison."""
    model: str = ""
    """The model of that engine; empty before that, and if the engine has no model."""
    tokens: Tokens | None = None
    """The tokens that the job has used; None if they are not known or no model was called."""

    @property
    def credits(self) -> int:
        """Return the credits that the job costs when it is completed."""
        return price_of_request(self.template, self.mode, self.inputs, is_section=self.kind == "section").credits

    def encoded(self) -> str:
        """Return the request as canonical JSON, which does not depend on the order of keys."""
        return json.dumps(to_builtins(self), ensure_ascii=False, allow_nan=False, sort_keys=True)

    @property
    def fingerprint(self) -> str:
        """Return a digest of the request, by which a repeated submit is recognised.

        It does not depend on the API (`/v1` or `/api`). For a section, it does not cover the request of the content,
        which may change between two submits.
        """
        request = replace(self, topic_alone=False, engine="", model="", tokens=None)
        if self.kind == "section":
            request = replace(request, **asdict(TextRequest(mode=request.mode)))
        return hashlib.sha256(request.encoded().encode()).hexdigest()


class StoredJob(Struct, frozen=True, kw_only=True):
    """A generation job, as it is stored in the database.

    `progress` is 0 to 100, and times are in seconds. `number` identifies the job in its store, and is 0 before the job
    is stored.
    """

    id: str
    request: GenerationRequest
    created_at: float
    status: Literal["pending", "processing", "completed", "failed"] = "pending"
    stage: str = ""
    progress: int = 0
    runner: str = ""
    error: str = ""
    title: str = ""
    body: str = ""
    """The text; while the job is open, the answers of the model until now, as JSON."""
    content_id: str = ""
    finished_at: float | None = None
    number: int = 0

    @property
    def open(self) -> bool:
        """Return whether the job is not finished yet."""
        return self.finished_at is None


class JobConflictError(Exception):
    """The request id was already used for a different request. The message names the id."""


class JobLostError(Exception):
    """The job is finished or belongs to another runner, so this runner must not change it."""


def find(store: Store, job_id: str | int) -> StoredJob | None:
    """Return the job with an id (a text) or a number, or None if there is none.

    Raises msgspec.MsgspecError if another program wrote the row.
    """
    by_id, by_number = "SELECT * FROM jobs WHERE id = ?", "SELECT * FROM jobs WHERE number = ?"
    row = store.row(by_id if isinstance(job_id, str) else by_number, (job_id,))
    return None if row is None else convert({**dict(row), "request": msgspec.json.decode(row["request"])}, StoredJob)


def unfinished(store: Store) -> list[int]:
    """Return the numbers of all unfinished jobs, oldest first."""
    # Ordered by number alone, SQLite would read every job.
    rows = store.rows("SELECT number FROM jobs WHERE finished_at IS NULL ORDER BY created_at, number")
    return [row["number"] for row in rows]


def submit(store: Store, new: StoredJob) -> tuple[StoredJob, bool]:
    """Store a new job, or find the stored job with the same id. The second value says whether the job is new.

    Raises JobConflictError if the id was used for a different request.
    """
    request, mark = new.request, new.request.fingerprint
    with store.write():
        if (known := find(store, new.id)) is not None:
            if known.request.fingerprint != mark:
                raise JobConflictError(f"`{new.id}` was already used for a different request")
            return known, False
        [(number,)] = store.rows(
            "INSERT INTO jobs (id, request, fingerprint, status, created_at, mode, credits)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number",
            (new.id, request.encoded(), mark, new.status, new.created_at, request.mode, request.credits),
        )
        return replace(new, number=number), True


def claim(store: Store, number: int, lock: RunnerLock) -> StoredJob | None:
    """Claim an open job for the runner that has `lock`, and return the job.

    Return None if the job is finished or another live runner has it. Raises msgspec.MsgspecError as `find` does.
    """
    job = find(store, number)
    if job is None or not job.open or (job.runner not in {"", lock.id} and lock.alive(job.runner)):
        return None
    # Two runners may try at the same time: the first update gets the job.
    taken = store.run(
        "UPDATE jobs SET runner = ?, status = 'processing' WHERE number = ? AND runner = ? AND finished_at IS NULL",
        (lock.id, number, job.runner),
    )
    return replace(job, runner=lock.id, status="processing") if taken else None


def release(store: Store, number: int, runner: str) -> None:
    """Release an open job, so that another runner can claim it."""
    store.run("UPDATE jobs SET runner = '' WHERE number = ? AND runner = ?", (number, runner))


def advance(store: Store, job: StoredJob, stage: str, progress: int) -> None:
    """Record that a stage of a job begins. Raises JobLostError if the job no longer belongs to its runner."""
    _change(store, job, stage=stage, progress=progress)


def fail(store: Store, job: StoredJob, error: str, at: float) -> None:
    """Mark a job as failed. A failed job has no text and costs nothing. Raises JobLostError as `advance` does."""
    _finish(store, job, at, status="failed", error=error, body="")


def drop(store: Store, number: int, at: float) -> None:
    """Mark an open job as failed because its row cannot be read."""
    store.run(
        "UPDATE jobs SET status = 'failed', error = 'the stored job cannot be read', runner = '', finished_at = ?"
        " WHERE number = ? AND finished_at IS NULL",
        (at, number),
    )


def complete(store: Store, job: StoredJob, make: Callable[[], contents.ContentChange], at: float) -> None:
    """Complete a job: store its text as new content and update the job, in one transaction.

    `make` builds the text inside the transaction. If the text has an `id`, that content is updated; otherwise a content
    is created. If the job is finished or no longer belongs to its runner, nothing changes, and JobLostError is raised.
    """
    with store.write():
        text = make()
        content_id = contents.save(store, text, at=at)
        title, body = text.title or "", text.body or ""
        _finish(store, job, at, status="completed", progress=100, title=title, body=body, content_id=content_id)


def _finish(store: Store, job: StoredJob, at: float, **values: Any) -> None:
    """Record that an open job is finished, and which engine wrote its text."""
    _change(store, job, **values, request=job.request.encoded(), runner="", finished_at=at)


def _change(store: Store, job: StoredJob, **values: Any) -> None:
    """Change columns of an open job. Raises JobLostError if it no longer belongs to its runner."""
    columns = ", ".join(f"{name} = ?" for name in values)
    if not store.run(_CHANGE.format(columns), (*values.values(), job.number, job.runner)):
        raise JobLostError


def counts(store: Store) -> dict[str, int]:
    """Return how many generations there are in total, and how many are completed, failed and unfinished."""
    by_status = {status: int(number) for status, number in store.rows("SELECT status, count(*) FROM jobs GROUP BY 1")}
    ended = {status: by_status.pop(status, 0) for status in ("completed", "failed")}
    under_way = sum(by_status.values())
    return {"total": sum(ended.values()) + under_way, **ended, "in_progress": under_way}


def usage(store: Store) -> dict[str, Any]:
    """Return the used credits and the number of completed generations, in total and by mode.

    A completed job is charged once, and a failed job is not charged.
    """
    # SQLite would choose the index by status, and sort.
    rows = store.rows(
        "SELECT mode, count(*), sum(credits) FROM jobs INDEXED BY jobs_charged WHERE status = 'completed' GROUP BY mode"
    )
    by_mode = {mode: {"generations": int(number), "credits": int(price)} for mode, number, price in rows}
    return {
        "used": sum(each["credits"] for each in by_mode.values()),
        "generations": sum(each["generations"] for each in by_mode.values()),
        "by_mode": by_mode,
    }


# --- the runner --------------------------------------------------------------------------------------------


class _KeptAnswers(Struct, frozen=True):
    """The answers of a model that are stored with an open job, so that no prompt is sent twice."""

    answers: dict[str, str] = {}
    """The answers by the digest of the prompt."""
    used: Tokens = NO_TOKENS
    """The tokens that count for the limit of the job, which stays the same when the job is resumed."""
    tokens: Tokens | None = None
    """The tokens that the calls have used, if the job was paused between two calls; None if they are not known."""
    limit: Tokens | None = None
    """The most tokens that the job may use, as the plan has priced them."""


def _kept_answers(job: StoredJob) -> _KeptAnswers:
    try:
        return msgspec.json.decode(job.body or "{}", type=_KeptAnswers)
    except (msgspec.MsgspecError, RecursionError):
        return _KeptAnswers()


_NO_TEMPLATE: Mapping[str, Any] = {"slug": "", "name": "Text", "inputs": [], "sections": [], "titles": []}
_NO_STYLE: Mapping[str, Any] = {"slug": "", "name": "General"}
_SHOWN: Mapping[str, str] = {"style": "style_profile", "mode": "generation_mode", "brand_voice": "brand_voice_id"}
"""Names in the metadata of a content that differ from those of the request."""


class JobRunner:
    """Runs the jobs of a store in this process.

    `by_slug` has the catalog's `templates` and `styles`; `stage_seconds` is the duration of each stage. With
    `on_request`, an unfinished job is resumed only by a request for its status. The runner belongs to one event loop;
    in another one (a second `asyncio.run` over the same app) it starts again.
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

    def wake(self) -> None:
        """Resume unfinished jobs. Only the first call in each event loop does this; later calls do nothing.

        Must be called in a running event loop.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop or self._engine is None:
            return
        self._loop, self._tasks, self._slots = loop, {}, asyncio.Semaphore(AT_ONCE)
        for number in () if self._on_request else unfinished(self._store):
            self.start(number)

    def start(self, number: int) -> None:
        """Start to work on an open job, if no live process is working on it already."""
        if self._engine is None or number in self._tasks:
            return
        tasks = self._tasks
        tasks[number] = asyncio.get_running_loop().create_task(self._run(number, self._engine))
        tasks[number].add_done_callback(lambda _: tasks.pop(number, None))

    def why_paused(self, number: int) -> str:
        """Return why an open job paused, or an empty text if it did not.

        The reason is returned only once. After that, `start` continues the job.
        """
        return self._paused.pop(number, "")

    async def close(self) -> None:
        """Stop working on all jobs. The next runner resumes the unfinished jobs."""
        self._engine = None
        if self._loop is asyncio.get_running_loop():
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._lock.release()

    async def _run(self, number: int, engine: Engine) -> None:
        job, done = None, False
        async with self._slots:
            try:
                self._lock.acquire()
                job = claim(self._store, number, self._lock)
                done = job is None or await self._finished(job, engine)
            except msgspec.MsgspecError as error:
                _LOG.warning("job %s is given up: %s", number, error)
                with contextlib.suppress(sqlite3.Error):
                    drop(self._store, number, self._clock.now())
            except JobLostError:
                _LOG.warning("job %s was given to another process", number)
            except (sqlite3.Error, OSError) as error:
                # The store is busy or the disk is full: the job stays open, and the next status request starts it.
                _LOG.warning("job %s was put aside: %s", number, error)
            finally:
                if job is not None and not done:
                    # If this fails, the end of this process frees the runner's lock.
                    with contextlib.suppress(sqlite3.Error):
                        release(self._store, number, job.runner)

    async def _finished(self, job: StoredJob, engine: Engine) -> bool:
        """Work on a job until it is finished or paused, and return whether it is finished.

        If the job is paused, the model's answers are stored.
        """
        kept, count = _kept_answers(job), TokenCount()

        def keep(tokens: Tokens | None = None) -> None:
            now = _KeptAnswers(kept.answers, count.used, tokens, count.limit)
            _change(self._store, job, body=msgspec.json.encode(now).decode())

        def used(**by: str) -> StoredJob:
            """Return the job with the number of tokens that its calls used. `by` has the engine and the model."""
            return replace(job, request=replace(job.request, tokens=count.tokens, **by))

        if job.stage:
            count.resume(kept.used, kept.tokens, kept.limit)
        if kept.tokens is not None:
            # If this process is killed, what the next call has used is not known.
            keep()
        try:
            task = WritingTask(
                id=job.id,
                request=job.request,
                template=self._catalog["templates"].get(job.request.template, _NO_TEMPLATE),
                style=self._catalog["styles"].get(job.request.style, _NO_STYLE),
                count=count,
                answers=kept.answers,
                keep=keep,
            )
            make = await self._write(job, engine, task)
            complete(self._store, used(engine=engine.name, model=engine.model), make, self._clock.now())
        except PausedError as paused:
            keep(count.tokens)
            self._paused[job.number] = str(paused)
            return False
        except EngineError as refused:
            fail(self._store, used(), str(refused), self._clock.now())
        except (sqlite3.Error, JobLostError):
            raise
        except Exception:  # noqa: BLE001 - an engine may fail in any way, and its job must end
            # The error of an engine may name secrets, so it goes to the log, not into the reply.
            _LOG.exception("engine `%s` failed on job `%s`", engine.name, job.id)
            fail(self._store, used(), f"internal error in engine `{engine.name}`", self._clock.now())
        return True

    async def _write(self, job: StoredJob, engine: Engine, task: WritingTask) -> Callable[[], contents.ContentChange]:
        """Let the engine write the text. Return a function that makes the content to store."""
        request, report = job.request, self._reporting(job, task.stages, is_slow=bool(engine.model))
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
        self, job: StoredJob, engine: Engine, task: WritingTask, report: ReportStage
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

    def _find_section(self, job: StoredJob) -> tuple[Span, contents.ContentRow]:
        request = job.request
        content = contents.find(self._store, request.content_id)
        span = None if content is None else contents.find_section(content.body, request.section)
        if content is None or span is None:
            raise EngineError(f"content `{request.content_id}` has no section `{request.section}` any more")
        return span, content

    def _reporting(self, job: StoredJob, stages: tuple[str, ...], *, is_slow: bool) -> ReportStage:
        """Return a function that records each new stage of a job.

        It skips stages that were finished before a restart. `is_slow` says that a model writes each stage.
        """
        # The stage in which a process was killed is repeated.
        done = stages.index(job.stage) - 1 if job.stage in stages else -1

        async def report(stage: str) -> None:
            nonlocal done
            position = stages.index(stage)
            if position > done:
                if self._stage_seconds or is_slow:  # otherwise no one can see it
                    advance(self._store, job, stage, round(100 * (position + 0.5) / len(stages)))
                    await self._clock.sleep(self._stage_seconds)
                done = position

        return report


def _storable(text: str) -> str:
    # A model may send a lone surrogate, which cannot be stored.
    return text.encode("utf-8", "replace").decode()


def _metadata(job: StoredJob, draft: WrittenText, engine: Engine) -> dict[str, Any]:
    metadata = {
        "request_id": job.id,
        "engine": engine.name,
        "model": engine.model or None,
        "word_count": len(draft.body.split()),
        **{_SHOWN.get(name, name): getattr(job.request, name) for name in TextRequest.__struct_fields__},
    }
    return {name: value for name, value in metadata.items() if value is not None and name != "inputs"}
