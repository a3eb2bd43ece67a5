"""A process that works over a ledger: alive as long as its session lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contentops.ledger import schema
from contentops.ledger.live_runners import RUNNER
from contentops.state.state_dir import user_at_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.ledger.session import LedgerSession


def awake() -> float:
    """Return seconds of a clock that also counts while the process is stopped or the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Runner:
    """One process that applies, known by the number of an advisory lock that ends with its session."""

    def __init__(
        self, session: LedgerSession, *, page: str = "", clock: Callable[[], float] = awake, who: str = ""
    ) -> None:
        """`page`: the address of the CI run, if there is one. Raises as `LedgerSession.run` does."""
        schema.prepare(session)
        self.session, self.clock, self.who = session, clock, who or user_at_host()
        self.number = _next_number(session)
        # A replica that was promoted may give a number twice.
        while not session.lock(RUNNER, self.number):
            self.number = _next_number(session)
        session.run(
            "INSERT INTO contentops.runner (number, who, page) VALUES (%s, %s, %s)"
            " ON CONFLICT (number) DO UPDATE SET who = excluded.who, page = excluded.page, started_at = now()",
            (self.number, self.who, page),
        )


def _next_number(session: LedgerSession) -> int:
    return int(session.run("SELECT nextval('contentops.runner_number')")[0][0])
