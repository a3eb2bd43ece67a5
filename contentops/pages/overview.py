"""The overview: what waits for whom, and what it costs; the plan; and what was spent."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.errors import Diagnostic, plural
from contentops.model import Budget, MonthSpend, Plan, Project
from contentops.operations.month_spend import spent_this_month
from contentops.operations.review import ReviewState
from contentops.operations.spend import Spending, in_all_environments, spending
from contentops.pages.site import PageContent, Site


def overview(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What waits for whom, and what it costs."""
    snapshot = site.review.snapshot()
    if all(item.state is ReviewState.NO_TEXT for item in snapshot.items):
        return PageContent(template="empty.html", title="No texts yet", tab="overview", model=snapshot)
    count = len(snapshot.to_read)
    title = f"{plural(count, 'text')} {'waits' if count == 1 else 'wait'} for a reader"
    title = title if count else "Nothing waits for a reader"
    return PageContent(template="overview.html", title=title, tab="overview", model=snapshot)


class PlanView(Struct, frozen=True):
    """A plan, and what is wrong in manifests; None where those have errors."""

    plan: Plan | None
    findings: tuple[Diagnostic, ...]


def plan(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What an apply would do."""
    snapshot = site.review.snapshot()
    return plan_page(site, PlanView(snapshot.plan, snapshot.findings))


def plan_page(site: Site, view: PlanView) -> PageContent:
    """Return the page of a plan."""
    return PageContent(template="plan.html", title=f"Plan of {site.name}", tab="plan", model=view)


class SpendView(Struct, frozen=True):
    """What was spent, since when (empty: ever), and how much of this month's budget; None: there is none."""

    found: Spending
    since: str
    budget: Budget
    month: MonthSpend | None


def spend(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What the texts of all environments have cost."""
    project, snapshot = site.project(), site.review.snapshot()
    projects = in_all_environments(project)
    if snapshot.plan is None or [one.environment for one in projects] != [project.environment]:
        return spend_page(site, project, spending(projects))
    # The snapshot has counted this environment, and there is no other one.
    found = Spending(spend=snapshot.spend, approved=snapshot.cost_of_approved)
    return spend_page(site, project, found)


def spend_page(site: Site, project: Project, found: Spending, since: str = "") -> PageContent:
    """Return the page of what was spent."""
    view = SpendView(found, since, project.budget, spent_this_month(project, site.runtime))
    return PageContent(template="spend.html", title=f"Spend of {project.name}", tab="spend", model=view)
