"""The page of one item, and the pages around its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.operations.plan import known_ids, no_item
from contentops.pages.site import PageContent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.pages.site import Site


def item(site: Site, query: Mapping[str, str]) -> PageContent:
    """One item: its text, its brief, what changed, and what is to be decided."""
    name = query.get("id", "")
    if name not in (ids := known_ids(site.project())):
        raise no_item(name, ids)
    return PageContent(template="item.html", title=name, tab="items", model=name)
