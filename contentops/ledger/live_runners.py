"""The live processes of a ledger: each holds the advisory lock of its number as long as its session lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.ledger.rows import utc

if TYPE_CHECKING:
    from contentops.ledger.session import LedgerSession

RUNNER = 0x636F7231
"""The class of the advisory locks by which runners are alive."""
COMING_BACK = 5
"""Seconds after a start of the database in which earlier runners count as alive: each takes its locks again."""
ALIVE = f"""(SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = {RUNNER} AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT number FROM contentops.runner WHERE started_at < pg_postmaster_start_time()
  AND pg_postmaster_start_time() > now() - interval '{COMING_BACK} s')"""
"""SQL: the numbers of the runners that are alive."""


class RunnerRow(Struct, frozen=True, kw_only=True):
    """A process that is alive."""

    number: int
    who: str
    page: str
    started_at: str
    entries: int


def live_runners(session: LedgerSession) -> tuple[RunnerRow, ...]:
    """Return the processes that are alive."""
    rows = session.run(
        f"""
SELECT number, who, page, {utc("started_at")}, (SELECT count(*) FROM contentops.claim c JOIN contentops.job j
  USING (lineage, server, request_id) WHERE c.runner = r.number AND j.state IN ('submitting', 'running'))
FROM contentops.runner r WHERE number IN {ALIVE} ORDER BY number"""
    )
    return tuple(
        RunnerRow(number=number, who=who, page=page, started_at=started_at, entries=entries)
        for number, who, page, started_at, entries in rows
    )
