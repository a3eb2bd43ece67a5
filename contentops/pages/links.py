"""The addresses of the pages: paths of the server, or relative names of files in the static export."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode


class Links:
    """The addresses on the server. An item is named in the query, so that no id can change the path."""

    overview = "/"
    items = "/items"
    plan = "/plan"
    spend = "/spend"
    run = "/run"
    style = "/style.css"

    def item(self, item: str, **query: str) -> str:
        """Return the address of an item's page, such as with `view="changes"`."""
        return self.to("/item", id=item, **query)

    def of_items(self, query: Mapping[str, str], **changed: str) -> str:
        """Return the address of the list of items: `query` with what is `changed`; an empty value removes a key."""
        return self.to("/items", **{**query, **changed})

    def to(self, path: str, **query: str) -> str:
        """Return an address of the server with a query; empty values are left out."""
        said = {name: value for name, value in query.items() if value}
        return f"{path}?{urlencode(said)}" if said else path


class NoLinks(Links):
    """A page that stands alone: its stylesheet is in it, and nothing is linked to."""

    overview = items = plan = spend = run = style = ""

    def to(self, path: str, **query: str) -> str:
        """Return no address."""
        return ""
