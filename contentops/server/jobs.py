"""Jobs in the store: taken, claimed by a runner, moved through their stages, finished exactly once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from contentops.server import contents, ledger
from contentops.server.submission import Submission, decoded

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from typing import Any

    from contentops.server.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. `status`: pending, processing, completed or failed; `progress` 0 to 100; times in seconds."""

    id: str
    owner: str
    key_id: str
    submission: Submission
    fingerprint: str
    status: str
    stage: str
    progress: int
    runner: str
    error: str
    title: str
    body: str
    content_id: str
    created_at: float
    finished_at: float | None

    @property
    def open(self) -> bool:
        """Whether it is still to be worked on."""
        return self.finished_at is None


class Conflict(Exception):
    """The id or key was used before, for another request; the message says which."""


def _job(row: sqlite3.Row) -> Job:
    values = {field.name: row[field.name] for field in fields(Job) if field.name != "submission"}
    return Job(submission=decoded(row["request"]), **values)


def find(store: Store, job_id: str) -> Job | None:
    """The job of that id, or None."""
    row = store.row("SELECT * FROM jobs WHERE id = ?", (job_id,))
    return None if row is None else _job(row)


def unfinished(store: Store) -> list[str]:
    """The ids of all jobs still to be worked on, oldest first."""
    return [row["id"] for row in store.rows("SELECT id FROM jobs WHERE finished_at IS NULL ORDER BY created_at, rowid")]


def submit(
    store: Store,
    submission: Submission,
    *,
    job_id: str,
    key: str | None,
    owner: str,
    key_id: str,
    at: float,
    admit: Callable[[], None] | None = None,
) -> tuple[Job, bool]:
    """Take a job, or find the one this submit repeats; the second value says whether it is new.

    `key` is the idempotency key. `admit` is asked about a new job while the store is held still: what it raises keeps
    the job out. Raises Conflict if id or key belong to another request or another account.
    """
    with store.write():
        known = find(store, job_id)
        keyed = _by_key(store, key, owner, key_id)
        if keyed is not None and known is not None and keyed.id != known.id:
            message = f"the idempotency key belongs to another request than `{job_id}`"
            raise Conflict(message)
        found = known or keyed
        if found is not None:
            if (found.fingerprint, found.owner, found.key_id) != (submission.fingerprint, owner, key_id):
                message = f"`{job_id if known else key}` was already used for a different request"
                raise Conflict(message)
            return found, False
        if admit is not None:
            admit()
        asked = submission.kind, owner, key_id, submission.encoded(), submission.fingerprint
        store.run(
            "INSERT INTO jobs (id, kind, owner, key_id, request, fingerprint, idempotency_key, status, created_at,"
            " credits) VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)",
            (job_id, *asked, key, at, submission.credits),
        )
        made = find(store, job_id)
        assert made is not None  # inserted in this transaction
        return made, True


def _by_key(store: Store, key: str | None, owner: str, key_id: str) -> Job | None:
    row = store.row("SELECT * FROM jobs WHERE idempotency_key = ? AND owner = ? AND key_id = ?", (key, owner, key_id))
    return None if row is None else _job(row)


def claim(store: Store, job_id: str, runner: str, alive: Callable[[str], bool]) -> Job | None:
    """Give an open job to `runner`, unless another one that is alive has it; None if it is not to be had."""
    with store.write():
        job = find(store, job_id)
        if job is None or not job.open or (job.runner not in {"", runner} and alive(job.runner)):
            return None
        store.run("UPDATE jobs SET runner = ?, status = 'processing' WHERE id = ?", (runner, job_id))
        return job


def release(store: Store, job_id: str, runner: str) -> None:
    """Leave an open job to whoever comes next."""
    with store.write():
        store.run("UPDATE jobs SET runner = '' WHERE id = ? AND runner = ?", (job_id, runner))


def advance(store: Store, job_id: str, stage: str, progress: int) -> None:
    """Record that a stage begins; an earlier one never takes progress back."""
    with store.write():
        store.run(
            "UPDATE jobs SET stage = ?, progress = ? WHERE id = ? AND finished_at IS NULL AND progress <= ?",
            (stage, progress, job_id, progress),
        )


def fail(store: Store, job_id: str, error: str, at: float) -> None:
    """End an open job without a text and without a charge."""
    with store.write():
        store.run(
            "UPDATE jobs SET status = 'failed', error = ?, runner = '', finished_at = ?"
            " WHERE id = ? AND finished_at IS NULL",
            (error, at, job_id),
        )


def complete(store: Store, job: Job, make: Callable[[], contents.Text], at: float) -> bool:
    """End a job with its text: stored content, charge and job change together or not at all.

    `make` builds the text inside the transaction; its `id` names the content to update, else one is created.
    False if the job was finished already, by another runner.
    """
    with store.write():
        now = find(store, job.id)
        if now is None or not now.open:
            return False
        text = make()
        content_id = contents.save(store, text, owner=job.owner, at=at)
        ledger.charge(store, job.id, job.key_id, job.submission, at)
        store.run(
            "UPDATE jobs SET status = 'completed', progress = 100, runner = '', title = ?, body = ?, content_id = ?,"
            " finished_at = ? WHERE id = ?",
            (text.title or "", text.body or "", content_id, at, job.id),
        )
        return True


def active(store: Store, key_id: str) -> int:
    """How many generations of an account are under way."""
    row = store.row("SELECT count(*) AS n FROM jobs WHERE finished_at IS NULL AND key_id = ?", (key_id,))
    return row["n"] if row else 0


def counts(store: Store, owner: str) -> Mapping[str, Any]:
    """How many generations there are, and how they ended; with an owner, only theirs and those of nobody."""
    row = store.row(
        "SELECT count(*) AS total, sum(status = 'completed') AS completed, sum(status = 'failed') AS failed,"
        " sum(finished_at IS NULL) AS in_progress FROM jobs WHERE ? = '' OR owner IN ('', ?)",
        (owner, owner),
    )
    return {name: row[name] or 0 for name in ("total", "completed", "failed", "in_progress")} if row else {}
