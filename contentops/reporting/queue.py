"""The queue of a ledger, and what a detached apply queued, as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import to_builtins

from contentops.errors import plural
from contentops.reporting import FORMAT_VERSION
from contentops.reporting.layout import table
from contentops.sanitize import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentops.model import Cancelled, Detached, Json, Plan, Queue, QueuedShare, QueuedSubmit

HEAD = ("PROJECT", "ITEM", "STATE", "CREDITS", "AGE", "QUEUED BY", "RUNNER", "MESSAGE")
"""What the `cells` of a submit are."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def detached_text(detached: Detached) -> str:
    """What was queued, in a few lines."""
    queued = f"Queued {plural(len(detached.queued), 'submit')} for {plural(detached.credits, 'credit')}"
    lines = [f"{queued}: `contentops work` carries them out." if detached.queued else "Queued nothing."]
    if detached.withdrawn:
        lines.append(f"{plural(detached.withdrawn, 'submit')} removed from the queue: no longer needed.")
    if detached.known:
        lines.append(f"{plural(len(detached.known), 'submit')} already queued or paid for: not queued again.")
    if detached.queued or detached.known:
        lines.append("`contentops queue` shows their state; `contentops apply` writes their texts, for free.")
    if detached.waiting:
        lines.append(f"{plural(detached.waiting, 'change')} left to `contentops apply` in a checkout.")
    return "\n".join(lines)


def detached_json(plan: Plan, detached: Detached | None) -> dict[str, Json]:
    """The same as JSON; `detached` is null where nothing was done."""
    return {
        "format_version": FORMAT_VERSION,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        "plan": {"id": plan.id},
        "exit_code": 0,
        "detached": None if detached is None else to_builtins(detached),
    }


def queue_json(queue: Queue) -> dict[str, Json]:
    """The queue as JSON; `submits` may be the first ones only, `totals` count all."""
    document: dict[str, Json] = to_builtins(queue)
    return {**document, "size": queue.size}


def queue_text(queue: Queue) -> str:
    """Totals first, then a line for each submit."""
    return "\n".join(_lines(queue))


def _lines(queue: Queue) -> Iterator[str]:
    yield heading(queue)
    if not queue.totals:
        return
    rows = [
        (_project(one.project, one.environment), one.state, f"{one.submits:,}", f"{one.credits:,}")
        for one in queue.totals
    ]
    yield ""
    yield table(("PROJECT", "STATE", "SUBMITS", "CREDITS"), rows)
    yield ""
    yield table(HEAD, [*map(cells, queue.submits)])
    if len(queue.submits) < queue.size:
        yield f"and {queue.size - len(queue.submits):,} more"


def heading(queue: Queue) -> str:
    """Number and price of the submits, and the workers, in one line."""
    price = sum(total.credits for total in queue.totals)
    parts = [f"{plural(queue.size, 'submit')} queued or running, {plural(price, 'credit')}"]
    parts.append(plural(len(queue.workers), "worker") if queue.workers else "no worker is running")
    if queue.paid:
        parts.append(f"{plural(queue.paid, 'paid text')} for `contentops apply` to write")
    return "; ".join(parts)


def cells(one: QueuedSubmit) -> tuple[str, ...]:
    """One submit as the cells of a row, sanitized."""
    runner = f"{one.runner} ({one.kind})" if one.runner else ""
    values = (one.item, one.state, f"{one.credits:,}", age(one.seconds), one.who, runner, one.error)
    return (_project(one.project, one.environment), *map(visible, values))


def age(seconds: int) -> str:
    """A number of seconds in the largest unit that fits, such as `3 min`."""
    unit, name = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{max(0, seconds) // unit} {name}"


def cancelled_text(cancelled: Cancelled) -> str:
    """Which submits were cancelled, and which were not."""
    lines = [f"{plural(len(cancelled.removed), 'submit')} removed from the queue."]
    if cancelled.told:
        claimed = f"{plural(len(cancelled.told), 'submit')} claimed by a worker"
        lines.append(f"{claimed}, which skips it unless it is already sending it: {_some(cancelled.told)}")
    if cancelled.under_way:
        sent = plural(len(cancelled.under_way), "submit")
        lines.append(f"{sent} cannot be cancelled: the server has it already: {_some(cancelled.under_way)}")
    return "\n".join(lines)


def shares_text(shares: Sequence[QueuedShare]) -> str:
    """The submits to cancel by who queued them, as a table."""
    head = ("PROJECT", "QUEUED BY", "SUBMITS", "CREDITS")
    return table(
        head,
        [
            (_project(one.project, one.environment), visible(one.who), f"{one.submits:,}", f"{one.credits:,}")
            for one in shares
        ],
    )


def _some(items: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{visible(item)}`" for item in items[:5])
    return f"{shown} and {len(items) - 5:,} more" if len(items) > 5 else shown


def _project(name: str, environment: str) -> str:
    return visible(f"{name}/{environment}" if environment else name)
