"""The plan: what an apply would do, by cause and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.model import Action
from contentops.pages.site import PageContent
from contentops.reporting.causes import cause_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Diagnostic
    from contentops.model import Change, Plan
    from contentops.pages.site import Site
    from contentops.reporting.causes import CauseGroup


class PlanView(Struct, frozen=True, kw_only=True):
    """A plan with its changes by cause; None where manifests have errors."""

    plan: Plan | None
    groups: tuple[CauseGroup, ...]
    """The dearest first."""
    choices: tuple[Change, ...]
    """What stops until someone chooses."""
    findings: tuple[Diagnostic, ...]


def plan(site: Site, _query: Mapping[str, str]) -> PageContent:
    """What an apply would do."""
    snapshot = site.review.snapshot()
    return plan_page(snapshot.plan, site, snapshot.findings)


def plan_page(plan: Plan | None, site: Site, findings: tuple[Diagnostic, ...] = ()) -> PageContent:
    """Return the page of a plan; None where manifests have errors."""
    title = f"Plan of {site.name}"
    return PageContent(template="plan.html", title=title, tab="plan", model=plan_view(plan, findings))


def plan_view(plan: Plan | None, findings: tuple[Diagnostic, ...] = ()) -> PlanView:
    """Return a plan with its changes by cause."""
    groups = () if plan is None else cause_groups(plan)
    changes = () if plan is None else plan.changes
    return PlanView(
        plan=plan,
        groups=tuple(sorted(groups, key=lambda group: (-group.credits, -len(group.changes)))),
        choices=tuple(change for change in changes if change.action in (Action.BLOCKED, Action.RESOLVE)),
        findings=findings,
    )
