"""About how long the rest of a run takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from contentops.execution.durations import kind_of
from contentops.model import Poll, Submit

if TYPE_CHECKING:
    from collections.abc import Container

    from contentops.execution.context import Context
    from contentops.model import ItemId

REQUESTS = 3
"""Requests an item takes: submit, poll, save."""


def seconds_left(ctx: Context, per_minute: int, ended: Container[ItemId]) -> float | None:
    """Seconds until the items that have not ended are done, or None where nothing tells.

    The requests through the limit or the jobs, whichever takes longer. The first job of a server runs alone.
    """
    left = [change for change in ctx.plan.changes if change.id not in ended]
    requests = REQUESTS * len(left) * 60.0 / per_minute if per_minute else 0.0
    jobs = [change for change in left if change.has(Submit, Poll)]
    if not jobs:
        return round(requests) or None
    one = max(_median(ctx, kind) for kind in {kind_of(change.spec) for change in jobs})
    alone = 0 if ctx.gate.proven else 1
    turns = alone + math.ceil((len(jobs) - alone) / ctx.gate.max_in_flight)
    since = ctx.now() - ctx.gate.progress_at if ctx.gate.running else 0.0
    if since > one and turns * one > requests:
        return None  # the jobs take longer than what is known of them
    return round(max(requests, turns * one - min(since, one))) or None


def _median(ctx: Context, kind: str) -> float:
    """Seconds a job of a kind takes; the embedded server's take no time worth naming before one has shown it."""
    return 0.0 if ctx.server == "local" and ctx.durations.of(kind) is None else ctx.durations.median(kind)
