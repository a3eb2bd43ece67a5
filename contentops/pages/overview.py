"""The overview: what waits for whom, and what it costs; and the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from contentops.errors import Diagnostic, plural
from contentops.model import Plan
from contentops.operations.review import ReviewState, Snapshot
from contentops.pages.site import PageContent, Site
from contentops.reporting.spend import Row

_MONTHS: Final = 6


class OverviewPage(Struct, frozen=True):
    """A project, and what was spent in each of the last months."""

    snapshot: Snapshot
    months: tuple[Row, ...]


def overview(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What waits for whom, and what it costs."""
    snapshot = site.review.snapshot()
    view = OverviewPage(snapshot, tuple(_months(snapshot.spend.groups["month"], site.runtime.wall())))
    if all(item.state is ReviewState.NO_TEXT for item in snapshot.items):
        return PageContent(template="empty.html", title="No texts yet", tab="overview", model=view)
    count = len(snapshot.to_read)
    title = f"{plural(count, 'text')} {'waits' if count == 1 else 'wait'} for a reader"
    title = title if count else "Nothing waits for a reader"
    return PageContent(template="overview.html", title=title, tab="overview", model=view)


def _months(rows: Sequence[Row], now: float) -> Iterator[Row]:
    """Yield the last months, those without a text too; the last one is the present one."""
    by_name = {row.name: row for row in rows}
    today = datetime.fromtimestamp(now, UTC)
    for back in reversed(range(_MONTHS)):
        year, month = divmod(today.year * 12 + today.month - 1 - back, 12)
        first = datetime(year, month + 1, 1, tzinfo=UTC)
        row = by_name.get(f"{first:%Y-%m}", Row("", 0, 0))
        yield Row(f"{first:%b}", row.texts, row.credits)


class PlanView(Struct, frozen=True):
    """A plan, and what is wrong in manifests; None where those have errors."""

    plan: Plan | None
    findings: tuple[Diagnostic, ...]


def plan(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What an apply would do."""
    snapshot = site.review.snapshot()
    return plan_page(site, snapshot.plan, snapshot.findings)


def plan_page(site: Site, plan: Plan | None, findings: tuple[Diagnostic, ...]) -> PageContent:
    """Return the page of a plan."""
    return PageContent(template="plan.html", title=f"Plan of {site.name}", tab="plan", model=PlanView(plan, findings))
