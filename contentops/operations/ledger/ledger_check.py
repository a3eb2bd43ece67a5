"""Check a project's ledger for `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.errors import Check, Refused, StateError
from contentops.ledger.address import shown
from contentops.operations.ledger.ledger_access import address
from contentops.operations.ledger.ledger_overview import overview_of

if TYPE_CHECKING:
    from contentops.model import Project
    from contentops.operations.opening import Runtime


def ledger_check(project: Project, runtime: Runtime) -> Check:
    """Return whether the ledger of a project is reached, has tables that this program knows, and can be written."""
    try:
        url = address(project, runtime)
        overview = overview_of(url)
    except (StateError, Refused) as error:
        return Check(name="ledger", ok=False, message=error.message, hint=error.hint)
    head = f"`{shown(url)}`, PostgreSQL {overview.postgresql}"
    if overview.read_only:
        hint = "use the address of the primary, or let the role write"
        return Check(name="ledger", ok=False, message=f"{head}, is read-only: runs cannot record anything", hint=hint)
    if overview.version == 0:
        message = f"{head}, has no tables yet; the first run or `contentops ledger migrate` creates them"
        return Check(name="ledger", ok=None, message=message)
    who = ", ".join(f"{one.who} since {one.started_at}" for one in overview.runners)
    return Check(name="ledger", ok=True, message=f"{head}, version {overview.version}; applying now: {who or 'no one'}")
