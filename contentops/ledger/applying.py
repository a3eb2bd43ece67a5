"""The lock under which one process at a time applies an environment or a shard of it; it ends with its session."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from contentops.errors import LockHeld, StateError
from contentops.ledger.rows import utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.ledger.jobs import LedgerScope
    from contentops.ledger.runner import Runner
    from contentops.ledger.session import LedgerSession

APPLYING = 0x636F7232
"""The class of the advisory locks of applies."""

_HOLDER = f"""
SELECT who, page, {utc("since")} FROM contentops.applying
WHERE lineage = %s AND environment = %s"""


@contextlib.contextmanager
def applying(runner: Runner, scope: LedgerScope, *, page: str = "", shard: str = "") -> Iterator[None]:
    """Hold the lock as long as the block runs. Raises LockHeld with who, where and since when.

    Applies of different shards run at once; an apply of all items runs alone.
    """
    session, whose = runner.session, (scope.lineage, scope.environment)
    locks = [(_number(*whose), bool(shard)), *([(_number(*whose, shard), False)] if shard else [])]
    with contextlib.ExitStack() as held:
        for number, shared in locks:
            if not session.lock(APPLYING, number, shared=shared):
                raise _lock_held(session.run(_HOLDER, whose), scope)
            held.callback(_unlock, session, number, shared=shared)
        session.run(
            "INSERT INTO contentops.applying (lineage, environment, who, page, since) VALUES (%s, %s, %s, %s, now())"
            " ON CONFLICT (lineage, environment) DO UPDATE SET who = excluded.who, page = excluded.page, since = now()",
            (*whose, runner.who, page),
        )
        yield


@contextlib.contextmanager
def spending(session: LedgerSession, lineage: str) -> Iterator[None]:
    """Let one command of a project at a time plan and pay while the block runs, in whatever environment.

    Raises LockHeld where another one does.
    """
    number = _number(lineage, "/")  # no environment has this name
    if not session.lock(APPLYING, number):
        raise LockHeld(
            "another `contentops` command of this project spends from the budget of the month",
            hint="wait for it to end: the budget is one for all environments",
        )
    try:
        yield
    finally:
        _unlock(session, number)


def _unlock(session: LedgerSession, number: int, *, shared: bool = False) -> None:
    # A session that has ended has released it already.
    with contextlib.suppress(StateError):
        session.unlock(APPLYING, number, shared=shared)


def _lock_held(rows: list[tuple[object, ...]], scope: LedgerScope) -> LockHeld:
    who = ""
    if rows:
        name, page, since = rows[0]
        who = f": {name}{f' ({page})' if page else ''}, since {since}"
    named = f" for environment `{scope.environment}`" if scope.environment else ""
    return LockHeld(
        f"another `contentops` command works on this project{named}, on another machine or in another folder{who}",
        hint="wait for it to end, or end that process: the lock ends with the process",
    )


def _number(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(names).encode()).digest()[:4], "big", signed=True)
