"""What `doctor` says of a project's ledger."""

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
    """Whether runs can rely on the ledger: reached, kept up, by a role that may do what it must and no more."""
    try:
        place = address(project, runtime)
        found = examine(place, runtime.wall)
    except (StateError, Refused) as error:
        yield Check(name="ledger", ok=False, message=error.message, hint=error.hint)
        return
    yield from judged(found, shown(place))


def judged(found: Examination, place: str) -> Iterator[Check]:
    """The findings of an examination."""
    yield _tables(found, place)
    if found.standby or found.read_only:
        what = "a standby" if found.standby else "read-only (`default_transaction_read_only`)"
        hint = "give the address of the primary" if found.standby else "let the role write"
        yield Check(name="ledger writes", ok=False, message=f"the database is {what}: no run can record", hint=hint)
    yield _sessions(found)
    yield from _role(found)
    yield _clock(found)


def _tables(found: Examination, place: str) -> Check:
    head = f"`{place}`, PostgreSQL {found.server}"
    if found.version is None:
        message = f"{head}; which version its tables have, role `{found.role}` may not see"
        return Check(name="ledger", ok=False, message=message)
    if found.version == 0:
        hint = "" if found.may_create else f"role `{found.role}` may not make them: let their owner `ledger migrate`"
        message = f"{head}, has no tables yet; the first run makes them, or `contentops ledger migrate`"
        return Check(name="ledger", ok=None if found.may_create else False, message=message, hint=hint)
    if found.version != found.newest:
        older = found.version < found.newest
        hint = "let the runs of the older version end, then `contentops ledger migrate`" if older else "update it here"
        message = f"{head}, has tables of version {found.version}; this program needs {found.newest}"
        return Check(name="ledger", ok=False, message=message, hint=hint)
    if found.lacks:
        return Check(name="ledger", ok=True, message=f"{head}, version {found.version}")
    who = [f"{one.kind} by {one.who} since {one.started_at}" for one in found.runners]
    who += [
        f"{f'environment `{one.environment}` of' if one.environment else 'project'} {one.lineage}"
        f" is applied by {one.who} since {one.since}"
        for one in found.applies
    ]
    working = f"; at work: {'; '.join(who)}" if who else "; no one works"
    return Check(name="ledger", ok=True, message=f"{head}, version {found.version}{working}")


def _sessions(found: Examination) -> Check:
    if not found.ends_silent:
        message = "a session that says nothing is not ended (`idle_session_timeout` has no effect)"
        hint = "what froze would hold its work for ever: use PostgreSQL itself, not something that speaks like it"
        return Check(name="ledger sessions", ok=False, message=message, hint=hint)
    if found.pooled:
        message = "a pooler stands before PostgreSQL; it keeps sessions, as far as could be seen"
        hint = "give the address of PostgreSQL itself: a run holds its sessions all the time, so a pool saves nothing"
        return Check(name="ledger sessions", ok=None, message=message, hint=hint)
    return Check(name="ledger sessions", ok=True, message="each is kept, and one that says nothing is ended")


def _role(found: Examination) -> Iterator[Check]:
    name = f"role `{found.role}`"
    if found.attributes or found.schemas:
        more = [f"is {attribute}" for attribute in found.attributes]
        more += [f"owns the schema `{schema}`" for schema in found.schemas]
        hint = "make one that may only log in, and `contentops ledger grant ROLE`: whoever has the address has its role"
        message = f"{name} may do more than a run needs: it {', '.join(more)}"
        yield Check(name="ledger role", ok=False, message=message, hint=hint)
    if found.lacks:
        message = f"{name} lacks {plural(len(found.lacks), 'right')} that runs need"
        grants = "; ".join(f"GRANT {one.granted} TO {found.role}" for one in found.lacks)
        hint = f"as the owner of the tables: `contentops ledger grant {found.role}`, or in SQL: {grants}"
        yield Check(name="ledger role", ok=False, message=message, hint=hint)
    if not (found.attributes or found.schemas or found.lacks):
        yield Check(name="ledger role", ok=True, message=f"{name} may do what runs need")


def _clock(found: Examination) -> Check:
    if abs(found.clock) <= CLOCK:
        return Check(name="ledger clock", ok=True, message="as this machine's")
    way = "ahead of" if found.clock > 0 else "behind"
    message = f"the database's clock is {abs(found.clock):.0f} s {way} this machine's"
    hint = "set both by NTP: whether a lost submit arrived is judged by the time since it left"
    return Check(name="ledger clock", ok=False, message=message, hint=hint)
