"""Check a project's ledger for `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import Check, Refused, StateError, plural
from contentops.ledger.address import shown
from contentops.ledger.examine import examine
from contentops.operations.ledger.ledger_access import address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.ledger.examine import Examination
    from contentops.model import Project
    from contentops.operations.opening import Runtime

CLOCK = 3.0
"""Seconds by which two clocks may differ."""


def ledger_checks(project: Project, runtime: Runtime) -> Iterator[Check]:
    """Check that the ledger is reached and up to date, keeps sessions, and gives its role exactly the needed rights."""
    try:
        url = address(project, runtime)
        examination = examine(url, runtime.wall)
    except (StateError, Refused) as error:
        yield Check(name="ledger", ok=False, message=error.message, hint=error.hint)
        return
    yield from judged(examination, shown(url))


def judged(examination: Examination, url: str) -> Iterator[Check]:
    """Return the checks of an examination."""
    yield _tables(examination, url)
    if examination.standby or examination.read_only:
        kind = "a standby" if examination.standby else "read-only (`default_transaction_read_only`)"
        hint = "give the address of the primary" if examination.standby else "allow the role to write"
        yield Check(
            name="ledger writes", ok=False, message=f"the database is {kind}: runs cannot record anything", hint=hint
        )
    yield _sessions(examination)
    yield from _role(examination)
    yield _clock(examination)


def _tables(examination: Examination, url: str) -> Check:
    head = f"`{url}`, PostgreSQL {examination.server}"
    if examination.version is None:
        message = f"{head}; which version its tables have, role `{examination.role}` may not read"
        return Check(name="ledger", ok=False, message=message)
    if examination.version == 0:
        hint = (
            ""
            if examination.may_create
            else f"role `{examination.role}` may not create them: ask their owner to run `ledger migrate`"
        )
        message = f"{head}, has no tables yet; the first run or `contentops ledger migrate` creates them"
        return Check(name="ledger", ok=None if examination.may_create else False, message=message, hint=hint)
    if examination.version != examination.newest:
        older = examination.version < examination.newest
        hint = (
            "let the runs of the older version end, then `contentops ledger migrate`"
            if older
            else "update contentops here"
        )
        message = f"{head}, has tables of version {examination.version}; this program needs {examination.newest}"
        return Check(name="ledger", ok=False, message=message, hint=hint)
    if examination.lacks:
        return Check(name="ledger", ok=True, message=f"{head}, version {examination.version}")
    who = [f"{one.kind} by {one.who} since {one.started_at}" for one in examination.runners]
    who += [
        f"{f'environment `{one.environment}` of' if one.environment else 'project'} {one.lineage}"
        f" is applied by {one.who} since {one.since}"
        for one in examination.applies
    ]
    working = f"; at work: {'; '.join(who)}" if who else "; no one works"
    return Check(name="ledger", ok=True, message=f"{head}, version {examination.version}{working}")


def _sessions(examination: Examination) -> Check:
    if not examination.ends_silent:
        message = "silent sessions are not ended (`idle_session_timeout` has no effect)"
        hint = "a frozen process would keep its work forever: connect to PostgreSQL directly"
        return Check(name="ledger sessions", ok=False, message=message, hint=hint)
    if examination.pooled:
        message = "there is a pooler in front of PostgreSQL; it seems to keep sessions"
        hint = "give the address of PostgreSQL itself: runs always use their sessions, so a pool saves nothing"
        return Check(name="ledger sessions", ok=None, message=message, hint=hint)
    return Check(name="ledger sessions", ok=True, message="sessions are kept, and silent ones are ended")


def _role(examination: Examination) -> Iterator[Check]:
    name = f"role `{examination.role}`"
    if examination.attributes or examination.schemas:
        more = [f"is {attribute}" for attribute in examination.attributes]
        more += [f"owns the schema `{schema}`" for schema in examination.schemas]
        hint = "use a role that may only log in, and `contentops ledger grant ROLE`: who has the address has its rights"
        message = f"{name} has more rights than a run needs: it {', '.join(more)}"
        yield Check(name="ledger role", ok=False, message=message, hint=hint)
    if examination.lacks:
        message = f"{name} lacks {plural(len(examination.lacks), 'right')} that runs need"
        grants = "; ".join(f"GRANT {one.granted} TO {examination.role}" for one in examination.lacks)
        hint = f"as the owner of the tables: `contentops ledger grant {examination.role}`, or in SQL: {grants}"
        yield Check(name="ledger role", ok=False, message=message, hint=hint)
    if not (examination.attributes or examination.schemas or examination.lacks):
        yield Check(name="ledger role", ok=True, message=f"{name} has the rights that runs need")


def _clock(examination: Examination) -> Check:
    if abs(examination.clock) <= CLOCK:
        return Check(name="ledger clock", ok=True, message="as this machine's")
    way = "ahead of" if examination.clock > 0 else "behind"
    message = f"the database's clock is {abs(examination.clock):.0f} s {way} this machine's"
    hint = "set both by NTP: contentops uses the time to decide whether a lost submit arrived"
    return Check(name="ledger clock", ok=False, message=message, hint=hint)
