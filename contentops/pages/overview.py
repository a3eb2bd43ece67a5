"""The overview, the list of items, and the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.pages.site import PageContent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.pages.site import Site


def overview(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """What waits for whom, and what it costs."""
    return PageContent(template="overview.html", title="Overview", tab="overview", model=site.project())


def items(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """Every item with its state: filtered, sorted and in pages as the query says."""
    return PageContent(template="items.html", title="Items", tab="items", model=site.project())


def plan(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """What an apply would do, by cause and cost."""
    return PageContent(template="plan.html", title="Plan", tab="plan", model=site.project())
