"""Jobs in the store: submitted, claimed by a runner, moved through their stages, finished exactly once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import asdict, replace

from contentops.pricing import CREDITS, price_of_request
from contentops.server import contents
from contentops.server.store import EVERY_ROW, RowRefusedError, iso
from contentops.tokens import NO_TOKENS, Tokens

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from contentops.server.engines.protocol import TokenCount
    from contentops.server.store import RunnerLock, Store


class TextRequest(Struct, frozen=True, kw_only=True):
    """The fields that shape a text; they are read from a submit, stored with the job and shown with its content.

    `bodies.NAMES` has the keys of a submit that differ from the field's name.
    """

    template: str = ""
    style: str = ""
    mode: str = "standard"
    inputs: Mapping[str, Any] = {}
    vertical: str | None = None
    brand_voice: str | None = None


class GenerationRequest(TextRequest, frozen=True, kw_only=True):
    """A submit in the form in which jobs are stored and compared, independent of the names of its keys.

    A text to generate (`kind` content), or a section of a stored one to write again (`kind` section). With
    `topic_alone` a topic is enough, even if the template requires more.
    """

    kind: str = "content"
    content_id: str = ""
    section: str = ""
    instructions: str = ""
    topic_alone: bool = False
    engine: str = ""
    """The engine that wrote the text, which is not part of the request; empty until then."""
    model: str = ""
    """The model of that engine; empty until then, and where the engine has none."""
    tokens: Tokens | None = None
    """What its calls of a model used, which is not part of the request either; None: not known, or no model."""

    @property
    def credits(self) -> int:
        """The price of the completed job."""
        return price_of_request(self.template, self.mode, self.inputs, is_section=self.kind == "section").credits

    def encoded(self) -> str:
        """Canonical JSON: equal requests give equal text, whatever the order of keys."""
        values = asdict(self)
        # Left out where empty, so that the fingerprint of a request stays the same.
        model, tokens = values.pop("model"), values.pop("tokens")
        values |= {"model": model} if model else {}
        values |= {} if tokens is None else {"tokens": to_builtins(tokens)}
        return json.dumps(values, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))

    @property
    def fingerprint(self) -> str:
        """Equal for a repeated submit, different for another one under the same id.

        Without the surface, and of a section without the request of its content, which may change in between.
        """
        request = replace(self, topic_alone=False, engine="", model="", tokens=None)
        if self.kind == "section":
            request = replace(request, **asdict(TextRequest(mode=request.mode)))
        return hashlib.sha256(request.encoded().encode()).hexdigest()


_STATUSES = frozenset({"pending", "processing", "completed", "failed"})


class WrittenBy(Struct, frozen=True, kw_only=True):
    """What wrote a text: engine and model, and the tokens of its calls; None: not known, or no model."""

    engine: str = ""
    model: str = ""
    tokens: Tokens | None = None


class StoredJob(Struct, frozen=True, kw_only=True):
    """One job. `status`: pending, processing, completed or failed; `progress` 0 to 100; times in seconds.

    `number` identifies it in its store; 0 before it is stored.
    """

    id: str
    request: GenerationRequest
    created_at: float
    idempotency_key: str | None = None
    status: str = "pending"
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
        """Whether it is not finished."""
        return self.finished_at is None


class JobConflictError(Exception):
    """The id or key was used before, for another request; the message says which."""


class JobLostError(Exception):
    """The job is finished or has another runner, so that this runner must not write."""


def find(store: Store, job_id: str) -> StoredJob | None:
    """The job of that id, or None. Raises RowRefusedError."""
    return _job(store.row("SELECT * FROM jobs WHERE id = ?", (job_id,)))


def numbered(store: Store, number: int) -> StoredJob | None:
    """The job of that number, or None. Raises RowRefusedError."""
    return _job(store.row("SELECT * FROM jobs WHERE number = ?", (number,)))


def _job(row: sqlite3.Row | None) -> StoredJob | None:
    if row is None:
        return None
    values = {name: row[name] for name in StoredJob.__struct_fields__}
    try:
        job = convert({**values, "request": json.loads(row["request"])}, StoredJob)
    except (ValidationError, ValueError, RecursionError) as error:
        raise RowRefusedError(f"row {row['number']} of the table `jobs` cannot be read: {error}") from error
    if job.request.mode not in CREDITS or job.status not in _STATUSES:
        raise RowRefusedError(f"row {row['number']} of the table `jobs` has an unknown mode or status")
    return job


def unfinished(store: Store) -> list[int]:
    """The numbers of all open jobs, oldest first."""
    # Ordered by number alone, SQLite would read every job.
    rows = store.rows("SELECT number FROM jobs WHERE finished_at IS NULL ORDER BY created_at, number")
    return [row["number"] for row in rows]


def submit(store: Store, new: StoredJob) -> tuple[StoredJob, bool]:
    """Store a job, or find the one this submit repeats; the second value says whether it is new.

    Raises JobConflictError if id or key belong to another request.
    """
    request, key = new.request, new.idempotency_key
    with store.write():
        by_id = find(store, new.id)
        by_key = _job(store.row("SELECT * FROM jobs WHERE idempotency_key = ?", (key,)))
        if by_key is not None and by_id is not None and by_key.id != by_id.id:
            raise JobConflictError(f"the idempotency key belongs to another request than `{new.id}`")
        repeated = by_id or by_key
        if repeated is not None:
            if repeated.request.fingerprint != request.fingerprint:
                raise JobConflictError(f"`{new.id if by_id else key}` was already used for a different request")
            return repeated, False
        number = store.number(
            "INSERT INTO jobs (id, request, fingerprint, idempotency_key, status, created_at, mode, credits)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            (
                new.id,
                request.encoded(),
                request.fingerprint,
                key,
                new.status,
                new.created_at,
                request.mode,
                request.credits,
            ),
        )
        return replace(new, number=number), True


def claim(store: Store, number: int, lock: RunnerLock) -> StoredJob | None:
    """Give an open job to the runner of `lock`; None if it is finished or another living runner has it.

    Raises RowRefusedError.
    """
    job = numbered(store, number)
    if job is None or not job.open or (job.runner not in {"", lock.id} and lock.alive(job.runner)):
        return None
    # Two runners may try at the same time: the first update gets the job.
    taken = store.run(
        "UPDATE jobs SET runner = ?, status = 'processing' WHERE number = ? AND runner = ? AND finished_at IS NULL",
        (lock.id, number, job.runner),
    )
    return replace(job, runner=lock.id, status="processing") if taken else None


def release(store: Store, number: int, runner: str) -> None:
    """Leave an open job to the next runner."""
    store.run("UPDATE jobs SET runner = '' WHERE number = ? AND runner = ?", (number, runner))


def advance(store: Store, job: StoredJob, stage: str, progress: int) -> None:
    """Record that a stage begins. Raises JobLostError if the job is no longer that of its runner."""
    mine = store.run(
        "UPDATE jobs SET stage = ?, progress = ? WHERE number = ? AND runner = ? AND finished_at IS NULL",
        (stage, progress, job.number, job.runner),
    )
    if not mine:
        raise JobLostError


class _KeptAnswers(Struct, frozen=True):
    """What the row of an open job keeps of its model."""

    answers: dict[str, str] = {}
    used: Tokens = NO_TOKENS
    """What counts for the limit of the job."""
    tokens: Tokens | None = None
    """What its calls have used, if it was paused between two of them; None: not known."""


class StoredAnswers:
    """The answers of the model for one open job, in its row: each is durable before the next prompt is sent.

    Beside them is what they have used, so that a job keeps to one limit, however often it is resumed.
    """

    def __init__(self, store: Store, job: StoredJob, count: TokenCount) -> None:
        self._store, self._job, self._count = store, job, count
        try:
            kept = convert(json.loads(job.body or "{}"), _KeptAnswers)
        except (ValidationError, ValueError, RecursionError):
            kept = _KeptAnswers()
        self._answers = kept.answers
        if job.stage:
            count.resume(kept.used, kept.tokens)
        if kept.tokens is not None:
            # If this process is killed, what the next call has used is not known.
            self._write()

    def find(self, prompt: str) -> str | None:
        """The kept answer to a prompt, by its digest, or None."""
        return self._answers.get(prompt)

    def keep(self, prompt: str, answer: str) -> None:
        """Keep an answer. Raises JobLostError if the job is no longer that of its runner."""
        self._answers[prompt] = answer.encode("utf-8", "replace").decode()
        self._write()

    def pause(self) -> None:
        """Keep what the calls have used, as none is under way. Raises JobLostError as `keep` does."""
        self._write(self._count.tokens)

    def _write(self, tokens: Tokens | None = None) -> None:
        kept = {"answers": self._answers, "used": to_builtins(self._count.used)}
        kept |= {} if tokens is None else {"tokens": to_builtins(tokens)}
        mine = self._store.run(
            "UPDATE jobs SET body = ? WHERE number = ? AND runner = ? AND finished_at IS NULL",
            (json.dumps(kept, ensure_ascii=False), self._job.number, self._job.runner),
        )
        if not mine:
            raise JobLostError


def fail(store: Store, job: StoredJob, error: str, at: float, *, tokens: Tokens | None = None) -> None:
    """End a job without a text and without a charge, if it is still its runner's; its calls used `tokens` though."""
    request = replace(job.request, tokens=tokens).encoded()
    with store.write():
        if _end(store, job, "failed", at):
            store.run(
                "UPDATE jobs SET error = ?, request = ?, body = '' WHERE number = ?", (error, request, job.number)
            )


def drop(store: Store, number: int, at: float) -> None:
    """End an open job whose row cannot be read."""
    store.run(
        "UPDATE jobs SET status = 'failed', error = 'the stored job cannot be read', runner = '', finished_at = ?"
        " WHERE number = ? AND finished_at IS NULL",
        (at, number),
    )


def complete(
    store: Store,
    job: StoredJob,
    make: Callable[[], contents.ContentChange],
    at: float,
    *,
    by: WrittenBy | None = None,
) -> bool:
    """Complete a job with the text of an engine: content and job in one transaction.

    `make` builds the text inside the transaction; its `id` names the content to update, else one is created. Returns
    False, and changes nothing, if the job has another runner or is finished.
    """
    by = by or WrittenBy()
    request = replace(job.request, engine=by.engine, model=by.model, tokens=by.tokens)
    with store.write():
        if not _end(store, job, "completed", at):
            return False
        text = make()
        content_id = contents.save(store, text, at=at)
        store.run(
            "UPDATE jobs SET progress = 100, title = ?, body = ?, content_id = ?, request = ? WHERE number = ?",
            (text.title or "", text.body or "", content_id, request.encoded(), job.number),
        )
        return True


def _end(store: Store, job: StoredJob, status: str, at: float) -> bool:
    """Finish a job; False if it has another runner or is finished. The transaction keeps others from claiming it."""
    changed = store.run(
        "UPDATE jobs SET status = ?, runner = '', finished_at = ?"
        " WHERE number = ? AND runner = ? AND finished_at IS NULL",
        (status, at, job.number, job.runner),
    )
    return changed > 0


def counts(store: Store) -> dict[str, int]:
    """The numbers of generations by result."""
    rows = store.rows("SELECT status, count(*) FROM jobs GROUP BY status")
    by_status = {status: int(number) for status, number in rows}
    completed, failed = by_status.pop("completed", 0), by_status.pop("failed", 0)
    under_way = sum(by_status.values())
    return {
        "total": completed + failed + under_way,
        "completed": completed,
        "failed": failed,
        "in_progress": under_way,
    }


def usage(store: Store) -> dict[str, Any]:
    """Credits used and generations, in all and by mode. A completed job is charged once, a failed one never."""
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


def charges(store: Store, *, skip: int = 0, limit: int = EVERY_ROW) -> list[dict[str, Any]]:
    """The completed jobs with their prices, newest first: at most `limit` after the first `skip`."""
    rows = store.rows(
        "SELECT id AS request_id, mode, credits, finished_at AS timestamp FROM jobs WHERE status = 'completed'"
        " ORDER BY finished_at DESC, number DESC LIMIT ? OFFSET ?",
        (limit, skip),
    )
    return [{**dict(row), "timestamp": iso(row["timestamp"])} for row in rows]
