"""The page of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.pages.site import PageContent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.pages.site import Site


def run(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """The apply that works now, or the last one."""
    return PageContent(template="run.html", title="Run", tab="run")
