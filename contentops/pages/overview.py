"""The overview: what waits for whom, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import plural
from contentops.model import Verdict
from contentops.operations.review import ReviewState
from contentops.pages.badges import FAILS, STATES, WARNS, Badge
from contentops.pages.plan import PlanView, plan_view
from contentops.pages.site import PageContent
from contentops.reporting.history import Row
from contentops.reporting.next_change import next_change
from contentops.reporting.times import age, day_and_time, minutes, on_day

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contentops.model import Approval
    from contentops.operations.review import ReviewItem, Snapshot
    from contentops.pages.site import Site

_SHOWN: Final = 6
"""Items of a card, and months; the rest is a number with a link."""


class WaitingItem(Struct, frozen=True):
    """An item that waits for something: why, and the note of the person who said so."""

    item: ReviewItem
    badge: Badge
    detail: str
    note: str = ""


class WaitingItems(Struct, frozen=True):
    """The first items that wait for the same thing; `key` names the list of all of them."""

    title: str
    fact: str
    key: str
    size: int
    first: tuple[WaitingItem, ...]


class OverviewPage(Struct, frozen=True, kw_only=True):
    """The overview in words."""

    snapshot: Snapshot
    lead: str
    waiting: tuple[WaitingItems, ...]
    plan: PlanView
    months: tuple[Row, ...]


def overview(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What waits for whom, and what it costs."""
    snapshot, now = site.review.snapshot(), site.runtime.wall()
    empty = all(item.state is ReviewState.NO_TEXT for item in snapshot.items)
    view = OverviewPage(
        snapshot=snapshot,
        lead=_declared(snapshot) if empty else _lead(snapshot, now),
        waiting=tuple(each for each in _waiting(snapshot, now) if each.size),
        plan=plan_view(snapshot.plan),
        months=_months(snapshot.spend.groups["month"], now),
    )
    if empty:
        return PageContent(template="empty.html", title="No texts yet", tab="overview", model=view)
    count = len(snapshot.to_read)
    title = f"{plural(count, 'text')} {'waits' if count == 1 else 'wait'} for a reader"
    title = title if count else "Nothing waits for a reader"
    return PageContent(template="overview.html", title=title, tab="overview", model=view)


def _lead(snapshot: Snapshot, now: float) -> str:
    approved, run = snapshot.counts.get(ReviewState.APPROVED, 0), snapshot.last_run
    ended = f" The last run ended {day_and_time(run.ended_at or run.started_at, now)}." if run else ""
    return f"{plural(len(snapshot.items), 'item')}, {approved:,} of them approved.{ended}"


def _declared(snapshot: Snapshot) -> str:
    if not (count := len(snapshot.items)):
        return "No items are declared."
    files = {item.spec.location.file for item in snapshot.items if item.spec is not None and item.spec.location}
    declared = f"{plural(count, 'item')} {'is' if count == 1 else 'are'} declared in {plural(len(files), 'manifest')}."
    return f"{declared} None has been made, so there is nothing to read."


def _waiting(snapshot: Snapshot, now: float) -> Iterator[WaitingItems]:
    words = sum(item.words for item in snapshot.to_read)
    reading = [_to_read(item, now) for item in snapshot.to_read[:_SHOWN]]
    fact = f"{plural(words, 'word')}, about {minutes(words)}"
    yield WaitingItems("To read", fact, "to-read", len(snapshot.to_read), tuple(reading))
    choosing = tuple(_to_choose(item, snapshot.project.option) for item in snapshot.to_choose[:_SHOWN])
    yield WaitingItems("Needs a choice", "nothing happens until then", "to-choose", len(snapshot.to_choose), choosing)
    back = tuple(_sent_back(item, now) for item in snapshot.sent_back[:_SHOWN])
    yield WaitingItems("Sent back", "waits for a new text or an edit", "sent-back", len(snapshot.sent_back), back)
    found = tuple(map(_found, snapshot.with_findings[:_SHOWN]))
    fact = f"in {plural(len(snapshot.with_findings), 'text')}"
    title = "Checks that fail" if any(one.badge is FAILS for one in found) else "Checks that warn"
    yield WaitingItems(title, fact, "checks", len(snapshot.with_findings), found)


def _to_read(item: ReviewItem, now: float) -> WaitingItem:
    parts = ["edited by hand" if item.edited else "new text" if item.earlier else "first text"]
    if item.state is ReviewState.CHANGED and (before := item.approved_before) is not None:
        parts = [f"{_who(before)} approved an earlier text {on_day(before.at, now)}"]
    elif item.earlier and item.earlier[-1].verdict is Verdict.SENT_BACK:
        parts = [f"{parts[0]} after {_who(item.earlier[-1])} sent one back"]
    parts += [f"approved by {_who(one)}" for one in item.verdicts]
    detail = ", ".join([*parts, plural(item.words, "word"), f"waits {age(item.since, now)}"])
    return WaitingItem(item, STATES[item.state], detail)


def _to_choose(item: ReviewItem, option: str) -> WaitingItem:
    words = next_change(item.change, option) if item.change is not None else None
    lead = f"{words.lead.removeprefix('Held: ')}; {words.hint}" if words is not None else ""
    return WaitingItem(item, STATES[item.state], lead.removesuffix("; "))


def _sent_back(item: ReviewItem, now: float) -> WaitingItem:
    last = next(one for one in reversed(item.verdicts) if one.verdict is Verdict.SENT_BACK)
    return WaitingItem(item, STATES[item.state], f"by {_who(last)} {on_day(last.at, now)}", last.note)


def _found(item: ReviewItem) -> WaitingItem:
    first, *others = item.findings
    line = f"line {first.location.line} " if first.location else ""
    more = f", and {len(others):,} more" if others else ""
    detail = f"{line}{first.message.removeprefix(f'item `{item.id}`: ')}{more}"
    return WaitingItem(item, FAILS if item.severity == "error" else WARNS, detail)


def _who(one: Approval) -> str:
    return one.by.partition(" <")[0]


def _months(rows: Sequence[Row], now: float) -> tuple[Row, ...]:
    """Return the last months, those without a text too; the last one is the present one."""
    by_name = {row.name: row for row in rows}
    today = datetime.fromtimestamp(now, UTC)
    months = []
    for back in reversed(range(_SHOWN)):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        first = datetime(year, month + 1, 1, tzinfo=UTC)
        row = by_name.get(f"{first:%Y-%m}", Row("", 0, 0))
        months.append(Row(f"{first:%b}", row.texts, row.credits))
    return tuple(months)
