"""Credits: one charge for each completed job, none for a failed one, and what a key's allowance leaves.

What jobs under way will cost is set aside when they are taken, so that an allowance is never overdrawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contentops.server.clock import iso

if TYPE_CHECKING:
    from contentops.server.keys import Key
    from contentops.server.store import Store
    from contentops.server.submission import Submission


@dataclass(frozen=True, slots=True)
class Account:
    """Where a key stands, in credits. `allowance` None is unlimited, and so is `balance` then."""

    allowance: int | None
    used: int
    reserved: int

    @property
    def balance(self) -> int | None:
        """What is left for new jobs; never below 0, whatever an allowance was lowered to."""
        return None if self.allowance is None else max(0, self.allowance - self.used - self.reserved)


def charge(store: Store, job_id: str, key_id: str, submission: Submission, at: float) -> None:
    """Book the price of a job, inside the caller's transaction; a job is charged at most once."""
    store.run(
        "INSERT OR IGNORE INTO charges (job_id, key_id, mode, credits, charged_at) VALUES (?, ?, ?, ?, ?)",
        (job_id, key_id, submission.mode, submission.credits, at),
    )


def account(store: Store, key: Key) -> Account:
    """Where `key` stands now."""
    used = _sum(store, "SELECT sum(credits) AS total FROM charges WHERE key_id = ?", key.id)
    reserved = _sum(store, "SELECT sum(credits) AS total FROM jobs WHERE key_id = ? AND finished_at IS NULL", key.id)
    return Account(key.credits, used, reserved)


def _sum(store: Store, statement: str, key_id: str) -> int:
    row = store.row(statement, (key_id,))
    return (row["total"] or 0) if row else 0


def usage(store: Store, key: Key | None = None) -> dict[str, Any]:
    """Credits used in all and by mode, and how many generations they paid for; of `key`, with what it has left."""
    rows = store.rows(
        "SELECT mode, count(*) AS n, sum(credits) AS credits FROM charges WHERE ? IS NULL OR key_id = ?"
        " GROUP BY mode ORDER BY mode",
        _of(key),
    )
    found: dict[str, Any] = {
        "used": sum(row["credits"] for row in rows),
        "generations": sum(row["n"] for row in rows),
        "by_mode": {row["mode"]: {"generations": row["n"], "credits": row["credits"]} for row in rows},
    }
    if key is None:
        return found
    stands = account(store, key)
    left = {"allowance": stands.allowance, "reserved": stands.reserved, "balance": stands.balance}
    return {"plan": key.plan, **left, **found}


def history(store: Store, key: Key | None = None) -> list[dict[str, Any]]:
    """Every charge, or those of `key`, newest first."""
    rows = store.rows(
        "SELECT job_id, mode, credits, charged_at FROM charges WHERE ? IS NULL OR key_id = ? ORDER BY number DESC",
        _of(key),
    )
    return [
        {
            "request_id": row["job_id"],
            "mode": row["mode"],
            "credits": row["credits"],
            "timestamp": iso(row["charged_at"]),
        }
        for row in rows
    ]


def _of(key: Key | None) -> tuple[str | None, str | None]:
    return (None, None) if key is None else (key.id, key.id)
