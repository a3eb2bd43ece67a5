"""The plan: what an apply would do, by cause and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.pages.site import PageContent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Diagnostic
    from contentops.model import Plan
    from contentops.pages.site import Site


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
