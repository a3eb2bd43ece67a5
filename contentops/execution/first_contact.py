"""The start of a run on an account: one job until its server has completed one, and whether submits ask first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.execution.limiter import Admission

if TYPE_CHECKING:
    from collections.abc import Collection


def admit(
    most: int,
    endpoint: tuple[str, str],
    paid_at: Collection[tuple[str, str]] = (),
    *,
    proven: bool = False,
    honours_ids: bool | None = None,
) -> Admission:
    """Return the admission of submits at an endpoint, a server and a dialect: at most `most` jobs at a time.

    `paid_at`: the endpoints of which the ledger knows paid texts. `proven`: a record shows that a job has completed
    there. `honours_ids`: whether the server uses our request ids as those of its jobs; None: not known.
    """
    return Admission(
        max_in_flight=most,
        proven=proven or endpoint in paid_at,
        # Without a ledger, or with an empty one, another machine may have paid: a journal does not show whether the run
        # that began it has asked for all its ids.
        ask_first=honours_ids is not False and not paid_at,
    )
