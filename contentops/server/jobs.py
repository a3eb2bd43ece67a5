"""Jobs in the store: submitted, claimed by a runner, moved through their stages, finished exactly once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, ValidationError, convert
from msgspec.structs import asdict, replace

from contentops.pricing import CREDITS, price_of_request
from contentops.server import contents
from contentops.server.database import RowRefusedError
from contentops.tokens import NO_TOKENS, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.server.database import RunnerLock, Store, StoredRow
    from contentops.server.engines.protocol import TokenCount


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
        values |= {} if tokens is None else {"tokens": asdict(tokens)}
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

    `key_id` is its account, in which `id` is unique, and `owner` its user; either may be empty. `number` identifies it
    in its store; 0 before it is stored.
    """

    id: str
    request: GenerationRequest
    created_at: float
    owner: str = ""
    key_id: str = ""
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


def find(store: Store, job_id: str, key_id: str = "") -> StoredJob | None:
    """The job of that id in an account, or None. Raises RowRefusedError."""
    return _job(store.row("SELECT * FROM jobs WHERE key_id = ? AND id = ?", (key_id, job_id)))


def numbered(store: Store, number: int) -> StoredJob | None:
    """The job of that number, or None. Raises RowRefusedError."""
    return _job(store.row("SELECT * FROM jobs WHERE number = ?", (number,)))


def _job(row: StoredRow | None) -> StoredJob | None:
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


def submit(store: Store, new: StoredJob, admit: Callable[[], None] | None = None) -> tuple[StoredJob, bool]:
    """Store a job, or find the one this submit repeats; the second value says whether it is new.

    `admit` is called for a new job inside the transaction: if it raises, nothing is stored. Raises JobConflictError
    if id or key belong to another request or another user of the account.
    """
    request, key = new.request, new.idempotency_key
    with store.write(new.key_id):
        by_id = find(store, new.id, new.key_id)
        statement = "SELECT * FROM jobs WHERE key_id = ? AND owner = ? AND idempotency_key = ?"
        by_key = _job(store.row(statement, (new.key_id, new.owner, key)))
        if by_key is not None and by_id is not None and by_key.id != by_id.id:
            raise JobConflictError(f"the idempotency key belongs to another request than `{new.id}`")
        repeated = by_id or by_key
        if repeated is not None:
            if (repeated.request.fingerprint, repeated.owner) != (request.fingerprint, new.owner):
                raise JobConflictError(f"`{new.id if by_id else key}` was already used for a different request")
            return repeated, False
        if admit is not None:
            admit()
        number = store.number(
            "INSERT INTO jobs (id, kind, owner, key_id, request, fingerprint, idempotency_key, status, created_at,"
            " credits) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number",
            (
                new.id,
                request.kind,
                new.owner,
                new.key_id,
                request.encoded(),
                request.fingerprint,
                key,
                new.status,
                new.created_at,
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
        count.resume(kept.used)

    def find(self, prompt: str) -> str | None:
        """The kept answer to a prompt, by its digest, or None."""
        return self._answers.get(prompt)

    def keep(self, prompt: str, answer: str) -> None:
        """Keep an answer. Raises JobLostError if the job is no longer that of its runner."""
        self._answers[prompt] = answer.encode("utf-8", "replace").decode()
        kept = {"answers": self._answers, "used": asdict(self._count.used)}
        mine = self._store.run(
            "UPDATE jobs SET body = ? WHERE number = ? AND runner = ? AND finished_at IS NULL",
            (json.dumps(kept, ensure_ascii=False), self._job.number, self._job.runner),
        )
        if not mine:
            raise JobLostError


def fail(store: Store, job: StoredJob, error: str, at: float, *, tokens: Tokens | None = None) -> None:
    """End a job without a text and without a charge, if it is still its runner's; its calls used `tokens` though."""
    request = replace(job.request, tokens=tokens).encoded()
    with store.write(job.key_id):
        if _end(store, job, "failed", at):
            store.run(
                "UPDATE jobs SET error = ?, request = ?, body = '' WHERE number = ?", (error, request, job.number)
            )
            store.tally(job.key_id, "job", "failed", 1, job.owner)


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
    """Complete a job with the text of an engine: content, charge and job in one transaction.

    `make` builds the text inside the transaction; its `id` names the content to update, else one is created. Returns
    False, and changes nothing, if the job has another runner or is finished.
    """
    by = by or WrittenBy()
    request = replace(job.request, engine=by.engine, model=by.model, tokens=by.tokens)
    with store.write(job.key_id):
        if not _end(store, job, "completed", at):
            return False
        text = make()
        content_id = contents.save(store, text, owner=job.owner, key_id=job.key_id, at=at)
        charge(store, job.id, job.key_id, job.request, at)
        store.tally(job.key_id, "job", "completed", 1, job.owner)
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


def charge(store: Store, job_id: str, key_id: str, request: GenerationRequest, at: float) -> None:
    """Book the price of a job, inside the caller's transaction; a job is charged at most once."""
    booked = store.run(
        "INSERT INTO charges (job_id, key_id, mode, credits, charged_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key_id, job_id) DO NOTHING",
        (job_id, key_id, request.mode, request.credits, at),
    )
    if booked:
        store.tally(key_id, "generations", request.mode, 1)
        store.tally(key_id, "credits", request.mode, request.credits)


def counts(store: Store, key_id: str, owner: str) -> dict[str, int]:
    """The numbers of an account's generations by result; with an owner, only theirs and those without an owner."""
    by_outcome = store.tallied(key_id, "job", owner)
    under_way = store.number(
        "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND key_id = ? AND (? = '' OR owner IN ('', ?))",
        (key_id, owner, owner),
    )
    completed, failed = by_outcome.get("completed", 0), by_outcome.get("failed", 0)
    return {
        "total": completed + failed + under_way,
        "completed": completed,
        "failed": failed,
        "in_progress": under_way,
    }
