"""The queue of a ledger as text and as JSON, and what a detached apply put there."""

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

HEAD = ("PROJECT", "ITEM", "STATE", "CREDITS", "AGE", "BY", "WORKS ON IT", "SAYS")
"""What the `cells` of a submit are."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def detached_text(found: Detached) -> str:
    """What was queued, in a line or three."""
    queued = f"Queued {plural(len(found.queued), 'submit')} for {plural(found.credits, 'credit')}"
    lines = [f"{queued}: `contentops work` carries them out." if found.queued else "Queued nothing."]
    if found.withdrawn:
        lines.append(f"{plural(found.withdrawn, 'submit')} taken out of the queue: not needed any more.")
    if found.known:
        lines.append(f"{plural(len(found.known), 'submit')} queued or paid for before: not queued again.")
    if found.queued or found.known:
        lines.append("`contentops queue` shows how they stand; `contentops apply` writes their texts, for nothing.")
    if found.waiting:
        lines.append(f"{plural(found.waiting, 'change')} left to `contentops apply` at a checkout.")
    return "\n".join(lines)


def detached_json(plan: Plan, found: Detached | None) -> dict[str, Json]:
    """The same for programs; `detached` is null where nothing was done."""
    return {
        "format_version": FORMAT_VERSION,
        "project": plan.project,
        "environment": plan.environment,
        "server": plan.server,
        "plan": {"id": plan.id},
        "exit_code": 0,
        "detached": None if found is None else to_builtins(found),
    }


def queue_json(queue: Queue) -> dict[str, Json]:
    """Everything, for programs; `submits` may be the first ones only, `totals` count all."""
    found: dict[str, Json] = to_builtins(queue)
    return {**found, "size": queue.size}


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
    """All of it in a line."""
    price = sum(total.credits for total in queue.totals)
    parts = [f"{plural(queue.size, 'submit')} queued or under way, {plural(price, 'credit')}"]
    parts.append(plural(len(queue.workers), "worker") if queue.workers else "no worker is alive")
    if queue.paid:
        parts.append(f"{plural(queue.paid, 'paid text')} for `contentops apply` to write")
    return "; ".join(parts)


def cells(one: QueuedSubmit) -> tuple[str, ...]:
    """One submit as the cells of a line, harmless wherever they are shown."""
    runner = f"{one.runner} ({one.kind})" if one.runner else ""
    values = (one.item, one.state, f"{one.credits:,}", age(one.seconds), one.who, runner, one.error)
    return (_project(one.project, one.environment), *map(visible, values))


def age(seconds: int) -> str:
    """Some seconds in the largest unit that fits."""
    unit, name = next((each for each in _UNITS if seconds >= each[0]), (1, "s"))
    return f"{max(0, seconds) // unit} {name}"


def cancelled_text(found: Cancelled) -> str:
    """What became of what was to be cancelled."""
    lines = [f"{plural(len(found.removed), 'submit')} removed from the queue."]
    if found.told:
        held = plural(len(found.told), "submit")
        lines.append(
            f"{held} held by a worker, which leaves it out unless it is sending it right now: {_some(found.told)}"
        )
    if found.under_way:
        sent = plural(len(found.under_way), "submit")
        lines.append(f"{sent} cannot be cancelled, since the server has it: {_some(found.under_way)}")
    return "\n".join(lines)


def shares_text(shares: Sequence[QueuedShare]) -> str:
    """Whose submits are cancelled, a line for each."""
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
