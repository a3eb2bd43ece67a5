"""What every page gets, what it returns, and how it becomes HTML."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup
from msgspec import Struct, field

from contentops.operations.review import Review
from contentops.operations.run_events import RunReader
from contentops.pages.runner import BackgroundRunner
from contentops.pages.words import FILTERS
from contentops.reporting import summary
from contentops.reporting.summary import command

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Project
    from contentops.operations.opening import Runtime
    from contentops.pages.links import Links

FOLDER = Path(__file__).parent
_MESSAGES = 20
_TEXTS = 20


class Notices:
    """The last sentences about what forms did, by number: an address names one, so that none can be made up."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, said: str) -> str:
        """Keep a sentence; return its number."""
        with self._lock:
            number = str(next(self._numbers))
            self._said[number] = said
            self._said.pop(str(int(number) - _MESSAGES), None)
            return number

    def get(self, number: str) -> str:
        """Return a sentence; empty for one that is not known."""
        return self._said.get(number, "")


class SeenTexts:
    """The titles and bodies that pages showed last, by digest: a reader may decide about one that has changed since."""

    def __init__(self) -> None:
        self._texts: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def add(self, digest: str, title: str, body: str) -> None:
        """Remember a text."""
        with self._lock:
            self._texts.pop(digest, None)
            self._texts[digest] = (title, body)
            while len(self._texts) > _TEXTS:
                del self._texts[next(iter(self._texts))]

    def get(self, digest: str) -> tuple[str, str] | None:
        """Return the title and the body; None where they are not remembered."""
        return self._texts.get(digest)


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
    option: str = ""
    """What `--env` says in a command that is about the same environment; empty: nothing."""
    flags: tuple[str, ...] = ()
    """The variables, as flags of commands that are shown."""
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends, so that what waits for events ends too."""

    def command(self, verb: str, *words: str) -> str:
        """Return a command to copy into a shell, for this environment: `words` are quoted where they have to be."""
        return command(verb, self.option, (*map(shlex.quote, words), *self.flags))

    @functools.cached_property
    def review(self) -> Review:
        """The snapshot of the project, which every page shows: `site.review.snapshot()`."""
        return Review(self.project, self.runtime, once=self.static)

    @functools.cached_property
    def runs(self) -> RunReader:
        """The events of the last run."""
        return RunReader()

    @functools.cached_property
    def runner(self) -> BackgroundRunner:
        """Carries out what a page started."""
        return BackgroundRunner()

    @functools.cached_property
    def notices(self) -> Notices:
        """What was done, each shown once on the page after a form."""
        return Notices()

    @functools.cached_property
    def seen(self) -> SeenTexts:
        """The texts that pages showed last."""
        return SeenTexts()

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
        if not links.overview:
            return []
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
def inline_style() -> tuple[Markup, str]:
    """Return the stylesheet for a page that stands alone, and the hash by which its policy allows it."""
    text = (FOLDER / "style.css").read_text("utf-8")
    return Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()  # noqa: S704 - our own file


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
    made.globals |= {"signs": summary.SIGNS, "summary": summary, "inline_style": inline_style}
    return made
