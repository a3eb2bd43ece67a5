"""What every page gets, what it returns, and how it becomes HTML."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup
from msgspec import Struct

from contentops.operations.review import Review
from contentops.pages.words import FILTERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.pages.links import Links

FOLDER = Path(__file__).parent


class Site(Struct, frozen=True, kw_only=True, dict=True):
    """The project whose pages are shown, and for whom."""

    name: str
    """The name of the project, and of its environment if there is one."""
    project: Callable[[], Project]
    """Opens the project as it is now. Raises InputError, UsageError or OutputError."""
    runtime: Runtime
    links: Links
    person: str = ""
    """The name and address that approvals are recorded with; empty where git knows none."""
    commits: bool = False
    """Each action is committed."""
    form_token: str = ""
    """What every form carries; empty where there are no forms."""

    @functools.cached_property
    def review(self) -> Review:
        """The snapshot of the project, which every page shows: `site.review.snapshot()`."""
        return Review(self.project, self.runtime)

    @property
    def static(self) -> bool:
        """Whether the pages are files: without forms."""
        return not self.form_token

    @property
    def person_name(self) -> str:
        """The name without the address."""
        return self.person.partition(" <")[0]

    @property
    def tabs(self) -> list[tuple[str, str, str]]:
        """The parts of the navigation: name, title, address."""
        links = self.links
        tabs = [("overview", "Overview", links.overview), ("items", "Items", links.items), ("plan", "Plan", links.plan)]
        return tabs if self.static else [*tabs, ("run", "Run", links.run)]


class PageContent(Struct, frozen=True, kw_only=True):
    """A page before it is rendered."""

    template: str
    title: str
    model: object = None
    """The view model, which the template reads."""
    tab: str = ""
    """The part of the navigation that it belongs to: `overview`, `items`, `plan` or `run`."""
    status: int = 200


def render(site: Site, page: PageContent, said: str = "") -> str:
    """Return a page as HTML; `said`: the sentence about what was just done."""
    # The token is random letters and digits of our own.
    secret = Markup('<input type="hidden" name="form_token" value="{}">').format(site.form_token)
    template = templates().get_template(page.template)
    now = site.runtime.wall()
    return template.render(site=site, page=page, model=page.model, links=site.links, now=now, secret=secret, said=said)


def render_bare(template: str, **values: object) -> str:
    """Return a page that shows nothing of a project: no name, no navigation, no person."""
    return templates().get_template(template).render(values)


@functools.cache
def templates() -> jinja2.Environment:
    """Return the templates. A name that is missing in a view model is an error, not an empty text."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made
