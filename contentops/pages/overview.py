"""The overview: what waits for whom, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import plural
from contentops.model import Verdict
from contentops.operations.review import ReviewState
from contentops.pages.badges import FAILS, STATES, WARNS, Badge
from contentops.pages.plan import PlanView, view_of
from contentops.pages.site import PageContent
from contentops.pages.words import age, day, minutes, moment
from contentops.reporting.summary import unsaid_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.errors import Diagnostic
    from contentops.model import Approval
    from contentops.operations.review import ReviewItem, Snapshot
    from contentops.pages.site import Site
    from contentops.reporting.history import Row

_SHOWN: Final = 6
"""Items of a section, causes, and templates; the rest is a number with a link."""
_MONTHS: Final = 6


class WaitingItem(Struct, frozen=True):
    """An item that waits for something: why, and the words of the person who said so."""

    id: str
    title: str
    badge: Badge
    detail: str
    quote: str = ""


class WaitingItems(Struct, frozen=True, kw_only=True):
    """A card of items that wait for the same thing."""

    title: str
    fact: str
    entries: tuple[WaitingItem, ...]
    more: int = 0
    state: str = ""
    """The key of the list with all of them."""


class Month(Struct, frozen=True):
    """What was spent in a month."""

    name: str
    credits: int
    texts: int


class OverviewView(Struct, frozen=True, kw_only=True):
    """The overview in words."""

    lead: str
    findings: tuple[Diagnostic, ...]
    sections: tuple[WaitingItems, ...]
    plan: PlanView | None
    spent: str
    months: tuple[Month, ...]
    templates: tuple[Row, ...]
    gaps: tuple[str, ...]


class EmptyView(Struct, frozen=True, kw_only=True):
    """A project without texts: what is declared, what it costs, and how to begin."""

    lead: str
    findings: tuple[Diagnostic, ...]
    plan: PlanView | None
    first: str
    """The command that makes the first two; empty: there are no more."""


def overview(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """What waits for whom, and what it costs."""
    snapshot, now = site.review.snapshot(), site.runtime.wall()
    plan = view_of(snapshot.plan, flags=site.flags) if snapshot.plan is not None else None
    if all(item.state is ReviewState.NO_TEXT for item in snapshot.items):
        first = site.command("apply", "--canary", "2")
        model: object = _empty(snapshot, plan, first)
        return PageContent(template="empty.html", title="No texts yet", tab="overview", model=model)
    waiting = len(snapshot.to_read)
    verb = "waits" if waiting == 1 else "wait"
    title = f"{plural(waiting, 'text')} {verb} for a reader" if waiting else "Nothing waits for a reader"
    approved = snapshot.counts.get(ReviewState.APPROVED, 0)
    lead = f"{plural(len(snapshot.items), 'item')}, {approved:,} of them approved."
    if run := snapshot.last_run:
        lead += f" The last run ended {moment(run.ended_at or run.started_at, now)}."
    months = _months(snapshot.spend.groups["month"], now)
    model = OverviewView(
        lead=lead,
        findings=snapshot.findings,
        sections=tuple(section for section in _sections(snapshot, now) if section.entries),
        plan=plan,
        spent=f"{plural(snapshot.spend.credits, 'credit')} for {plural(snapshot.spend.texts, 'text')}",
        months=months,
        templates=snapshot.spend.groups["template"][:_SHOWN],
        gaps=snapshot.gaps,
    )
    return PageContent(template="overview.html", title=title, tab="overview", model=model)


def _empty(snapshot: Snapshot, plan: PlanView | None, first: str) -> EmptyView:
    count = len(snapshot.items)
    manifests = {item.spec.location.file for item in snapshot.items if item.spec is not None and item.spec.location}
    declared = (
        f"{plural(count, 'item')} {'is' if count == 1 else 'are'} declared in {plural(len(manifests), 'manifest')}."
    )
    return EmptyView(
        lead=f"{declared} None has been made, so there is nothing to read." if count else "No items are declared.",
        findings=snapshot.findings,
        plan=plan if count else None,
        first=first if count > 2 else "",
    )


# --- what waits --------------------------------------------------------------------------------------------


def _sections(snapshot: Snapshot, now: float) -> Iterator[WaitingItems]:
    to_read, failing = snapshot.to_read, snapshot.with_findings
    words = sum(item.words for item in to_read)
    fact = f"{plural(words, 'word')}, about {minutes(words)}"
    yield _section("To read", fact, to_read, lambda item: _to_read(item, now), "to-read")
    yield _section("Needs a choice", "until then nothing happens to them", snapshot.to_choose, _to_choose, "to-choose")
    yield _section(
        "Sent back",
        "waits for a new text or an edit",
        snapshot.sent_back,
        lambda item: _sent_back(item, now),
        "sent-back",
    )
    title = "Checks that fail" if any(_badge(item) is FAILS for item in failing) else "Checks that warn"
    texts = sum(item.words > 0 for item in snapshot.items)
    yield _section(title, f"{len(failing):,} of {plural(texts, 'text')}", failing, _found, "checks")


def _section(
    title: str, fact: str, items: Sequence[ReviewItem], entry: Callable[[ReviewItem], WaitingItem], state: str
) -> WaitingItems:
    entries = tuple(map(entry, items[:_SHOWN]))
    return WaitingItems(title=title, fact=fact, entries=entries, more=len(items) - len(entries), state=state)


def _to_read(item: ReviewItem, now: float) -> WaitingItem:
    waits = f"waits {age(item.since, now)}" if item.since else "waits"
    before = item.approved_before
    if item.state is ReviewState.CHANGED and before is not None:
        detail = f"{_who(before)} approved an earlier text, {_on(before, now)}; {waits}"
    else:
        kind = "Edited by hand" if item.edited else "New text" if item.earlier else "First text"
        if item.earlier and item.earlier[-1].verdict is Verdict.SENT_BACK:
            kind = f"{kind} after {_who(item.earlier[-1])} sent one back"
        said = [f"approved by {_who(one)}" for one in item.verdicts]
        detail = ", ".join([kind, plural(item.words, "word"), *said, waits])
    return WaitingItem(item.id, item.title, STATES[item.state], detail)


def _to_choose(item: ReviewItem) -> WaitingItem:
    change = item.change
    why = change.blocked.replace("-", " ") if change is not None else ""
    details = [why, unsaid_hint(change) if change is not None else ""]
    return WaitingItem(item.id, item.title, STATES[item.state], "; ".join(filter(None, details)))


def _sent_back(item: ReviewItem, now: float) -> WaitingItem:
    last = next(one for one in reversed(item.verdicts) if one.verdict is Verdict.SENT_BACK)
    return WaitingItem(item.id, item.title, STATES[item.state], f"by {_who(last)}, {_on(last, now)}", last.note)


def _found(item: ReviewItem) -> WaitingItem:
    first, *others = item.findings
    line = f"line {first.location.line}: " if first.location else ""
    more = f", and {len(others):,} more" if others else ""
    return WaitingItem(
        item.id, item.title, _badge(item), f"{line}{first.message.removeprefix(f'item `{item.id}`: ')}{more}"
    )


def _badge(item: ReviewItem) -> Badge:
    return FAILS if item.severity == "error" else WARNS


def _who(one: Approval) -> str:
    return one.by.partition(" <")[0]


def _on(one: Approval, now: float) -> str:
    return day(one.at, now)


# --- what it costs -----------------------------------------------------------------------------------------


def _months(rows: Sequence[Row], now: float) -> tuple[Month, ...]:
    """Return the last months, those without a text too; the last one is the present one."""
    by_name = {row.name: row for row in rows}
    today = datetime.fromtimestamp(now, UTC)
    months = []
    for back in reversed(range(_MONTHS)):
        years, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        row = by_name.get(f"{years}-{month + 1:02d}")
        name = datetime(years, month + 1, 1, tzinfo=UTC).strftime("%b")
        months.append(Month(name, row.credits if row else 0, row.texts if row else 0))
    return tuple(months)
