"""The lock under which one process at a time applies an environment of a project; it ends with its session."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import LockHeld, StateError
from contentops.ledger.rows import utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentops.ledger.entries import EntryOwner
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession

APPLYING = 0x636F7232
"""The class of the advisory locks of applies."""

_GRANTED = f"""
SELECT objid::int FROM pg_locks WHERE locktype = 'advisory' AND classid = {APPLYING} AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_HOLDER = f"""
SELECT who, page, {utc("since")} FROM contentops.applying
WHERE lineage = %s AND environment = %s"""


class ApplyHolder(Struct, frozen=True, kw_only=True):
    """The process that applies an environment of a project now. `since` is UTC."""

    lineage: str
    environment: str
    who: str
    page: str
    since: str


@contextlib.contextmanager
def applying(
    runner: Runner, owner: EntryOwner, *, page: str = "", wait: Callable[[LockHeld], bool] = lambda _: False
) -> Iterator[None]:
    """Hold the lock as long as the block runs; `wait` says whether to try again while another process has it.

    Raises LockHeld with who, where and since when.
    """
    session, number = runner.session, _number(owner.lineage, owner.environment)
    whose = (owner.lineage, owner.environment)
    while not session.lock(APPLYING, number):
        error = _lock_held(session.run(_HOLDER, whose), owner)
        if not wait(error):
            raise error
    session.run(
        "INSERT INTO contentops.applying (lineage, environment, who, page, since) VALUES (%s, %s, %s, %s, now())"
        " ON CONFLICT (lineage, environment) DO UPDATE SET who = excluded.who, page = excluded.page, since = now()",
        (*whose, runner.who, page),
    )
    try:
        yield
    finally:
        # A session that has ended has released it already.
        with contextlib.suppress(StateError):
            session.unlock(APPLYING, number)


@contextlib.contextmanager
def spending(session: LedgerSession, lineage: str, wait: Callable[[LockHeld], bool]) -> Iterator[None]:
    """Let one command of a project at a time plan and pay while the block runs, in whatever environment.

    Raises LockHeld where another one does.
    """
    number = _number(lineage, "/")  # no environment has this name
    while not session.lock(APPLYING, number):
        error = LockHeld(
            "another `contentops` command of this project spends from the budget of the month",
            hint="wait for it to end: the budget is one for all environments",
        )
        if not wait(error):
            raise error
    try:
        yield
    finally:
        with contextlib.suppress(StateError):
            session.unlock(APPLYING, number)


def who_apply(session: LedgerSession) -> tuple[ApplyHolder, ...]:
    """Return every apply that runs now."""
    granted = {number for (number,) in session.run(_GRANTED)}
    rows = session.run(
        f"SELECT lineage, environment, who, page, {utc('since')} FROM contentops.applying ORDER BY since"
    )
    return tuple(
        ApplyHolder(lineage=lineage, environment=environment, who=who, page=page, since=since)
        for lineage, environment, who, page, since in rows
        if _number(lineage, environment) in granted
    )


def _lock_held(rows: list[tuple[object, ...]], owner: EntryOwner) -> LockHeld:
    who = ""
    if rows:
        name, page, since = rows[0]
        who = f": {name}{f' ({page})' if page else ''}, since {since}"
    named = f" for environment `{owner.environment}`" if owner.environment else ""
    return LockHeld(
        f"another `contentops` command works on this project{named}, on another machine or in another folder{who}",
        hint="wait for it to end, or end that process: the lock ends with the process",
    )


def _number(lineage: str, environment: str) -> int:
    name = f"{lineage}/{environment}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
