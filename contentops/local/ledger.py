"""Credits: one charge for each completed job, none for a failed one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.local.clock import iso

if TYPE_CHECKING:
    from contentops.local.store import Store
    from contentops.local.submission import Submission


def charge(store: Store, job_id: str, key_id: str, submission: Submission, at: float) -> None:
    """Book the price of a job, inside the caller's transaction; a job is charged at most once."""
    store.run(
        "INSERT OR IGNORE INTO charges (job_id, key_id, mode, credits, charged_at) VALUES (?, ?, ?, ?, ?)",
        (job_id, key_id, submission.mode, submission.credits, at),
    )


def usage(store: Store) -> dict[str, Any]:
    """Credits used in all and by mode, and how many generations they paid for."""
    rows = store.rows("SELECT mode, count(*) AS n, sum(credits) AS credits FROM charges GROUP BY mode ORDER BY mode")
    return {
        "used": sum(row["credits"] for row in rows),
        "generations": sum(row["n"] for row in rows),
        "by_mode": {row["mode"]: {"generations": row["n"], "credits": row["credits"]} for row in rows},
    }


def history(store: Store) -> list[dict[str, Any]]:
    """Every charge, newest first."""
    rows = store.rows("SELECT job_id, mode, credits, charged_at FROM charges ORDER BY number DESC")
    return [
        {
            "request_id": row["job_id"],
            "mode": row["mode"],
            "credits": row["credits"],
            "timestamp": iso(row["charged_at"]),
        }
        for row in rows
    ]
