"""Defines what all pages share: their input, their content, their addresses, and their rendering as HTML."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup, escape
from msgspec import Struct, field

from contentops.ci.results import code_owners
from contentops.digest import Digest, short
from contentops.errors import ContentopsError, Diagnostic, LockHeld, plural
from contentops.model import Project
from contentops.model.approval import NOTE_LIMIT
from contentops.model.jobs import money_words
from contentops.operations.opening import Runtime
from contentops.operations.review import Review, ReviewItem
from contentops.operations.runs import BackgroundRunner, RunReader
from contentops.pages.badges import CHECKS, badges, kinds_of_checks
from contentops.reporting import spend, summary
from contentops.reporting.next_change import next_change, value_diff
from contentops.reporting.plan_text import note_line
from contentops.reporting.run import LiveRun
from contentops.reporting.spend import last_months, sure_text
from contentops.reporting.summary import cause_groups, command
from contentops.sanitize import one_line, visible

FOLDER = Path(__file__).parent
T = TypeVar("T")
_KEPT = 20
LANGUAGES: Final[Mapping[str, str]] = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nb": "Norwegian",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak",
    "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "th": "Thai", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""The names of languages; any other language is shown by its code."""
_DIGITS: Final = 15
"""The most digits of a time in milliseconds."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class Links:
    """The addresses of the pages on the server. The query names the item, so an item's id cannot change the path."""

    overview = "/"
    items = "/items"
    plan = "/plan"
    spend = "/spend"
    run = "/run"
    today = "/today"
    style = "/style.css"

    def item(self, item: str, **query: str) -> str:
        """Return the address of an item's page. Other arguments, such as `view="changes"`, go into its query."""
        return self.to("/item", id=item, **query)

    def of_items(self, query: Mapping[str, str], **changed: str) -> str:
        """Return the address of a list of items. `changed` replaces values of `query`; an empty value removes one."""
        return self.to("/items", **{**query, **changed})

    def to(self, path: str, **query: str) -> str:
        """Return an address with a query. Empty values are left out."""
        said = {name: value for name, value in query.items() if value}
        return f"{path}?{urlencode(said)}" if said else path


class NoLinks(Links):
    """The addresses in a page that is a single file. They are empty, because such a page has no links to others."""

    overview = items = plan = spend = run = today = style = ""

    def to(self, path: str, **query: str) -> str:
        """Return an empty address for every page."""
        return ""


class Recent(Generic[T]):
    """A small store in memory. It keeps the latest values, each under a key."""

    def __init__(self) -> None:
        self._values: dict[str, T] = {}
        self._lock = threading.Lock()

    def keep(self, key: str, value: T) -> None:
        """Store a value under a key. If the store is full, the oldest value is removed."""
        with self._lock:
            self._values.pop(key, None)
            self._values[key] = value
            if len(self._values) > _KEPT:
                del self._values[next(iter(self._values))]

    def get(self, key: str) -> T | None:
        """Return the value of a key, or None if the store has no value for it."""
        return self._values.get(key)


class LastDecision(Struct, frozen=True):
    """The last approval or send-back by a person, which can be undone for a short time."""

    item: str
    text: Digest
    at: float
    """Seconds since 1970."""
    said: str = ""
    """The sentence that reports the decision; only a page that shows this sentence has a button to undo it."""


UNDO: Final = 10.0
"""Seconds in which the next page offers to undo a decision; after that, only the page of its item does."""


class Site(Struct, frozen=True, kw_only=True, dict=True):
    """The project whose pages are shown, and the person who sees them."""

    name: str
    """The name of the project, and of its environment if there is one."""
    project: Callable[[], Project]
    """Opens the project as it is now. Raises InputError, UsageError or OutputError."""
    runtime: Runtime
    links: Links
    person: str = ""
    """The name and e-mail address that approvals are recorded with; empty if git has none."""
    form_token: str = ""
    """The secret token in every form; empty if the pages have no forms."""
    option: str = ""
    """The value of `--env` in commands for the same environment; empty if they need no `--env`."""
    flags: tuple[str, ...] = ()
    """The variables, as options of the commands that pages show."""
    closing: threading.Event = field(default_factory=threading.Event)
    """Set when the server stops, so that event streams end."""
    runner: BackgroundRunner = field(default_factory=BackgroundRunner)
    runs: RunReader = field(default_factory=RunReader)
    notices: Recent[str] = field(default_factory=Recent)
    """The sentences that report what forms did; an address names one by its key, so that no one can invent one."""
    decided: Recent[LastDecision] = field(default_factory=Recent)
    """The last decision, under the key `last`."""
    seen: Recent[tuple[str, str]] = field(default_factory=Recent)
    """The titles and bodies that were shown, by digest; a reader may decide about a text that has changed since."""

    def command(self, verb: str, *words: str) -> str:
        """Return a shell command for this environment that a person can copy. `words` are quoted for the shell."""
        return command(verb, self.option, (*map(shlex.quote, words), *self.flags))

    @functools.cached_property
    def review(self) -> Review:
        """Return the `Review`, from which every page gets its snapshot of the project."""
        return Review(self.project, self.runtime, once=self.static)

    @functools.cached_property
    def code_owner(self) -> Callable[[str], str]:
        """Return a function that returns a file's owners from `CODEOWNERS`, separated by commas."""
        owners = code_owners(self.project().root)
        return functools.cache(lambda path: ", ".join(owners(path)))

    def stamp(self, text: str, at: float) -> str:
        """Return a signed time stamp that proves when a text was shown, in milliseconds."""
        shown = str(round(at * 1000))
        signature = hmac.new(self.form_token.encode(), f"{shown} {text}".encode(), "sha256").hexdigest()
        return f"{shown}-{signature}"

    def shown_at(self, stamp: str, text: str) -> float | None:
        """Return the time in a time stamp, in seconds since 1970, or None if its signature is wrong."""
        shown = stamp.partition("-")[0][:_DIGITS]
        at = int(shown) / 1000 if shown.isascii() and shown.isdigit() else 0.0
        return at if hmac.compare_digest(stamp.encode(), self.stamp(text, at).encode()) else None

    def undoable(self, said: str) -> LastDecision | None:
        """Return the last decision if the page reports it and a person can still undo it. Otherwise return None."""
        last = self.decided.get("last")
        return last if last and last.said == said and 0 <= self.runtime.wall() - last.at < UNDO else None

    def running(self) -> LiveRun | None:
        """Return the running apply, or None if none is running or the pages are files."""
        return None if self.static else self.runs.running(self.project())

    @property
    def static(self) -> bool:
        """Return whether the pages are files, which have no forms."""
        return not self.form_token


class PageContent(Struct, frozen=True, kw_only=True):
    """The content of a page before it becomes HTML."""

    template: str
    title: str
    model: object = None
    """The view model, which the template reads."""
    tab: str = ""
    """The tab that the navigation marks: `overview`, `items`, `plan`, `spend`, `run` or `today`."""
    status: int = 200
    typed: Sequence[str] = ()
    """The words that a person typed and that were not used."""


def explained(error: ContentopsError) -> tuple[Diagnostic, ...]:
    """Return the findings for an error page, without hints that make sense only in a terminal."""
    if isinstance(error, LockHeld):
        message = "an apply or another command is running in this project"
        return (Diagnostic(code=error.code, message=message, hint="wait until it is done, then try again"),)
    return error.diagnostics()


def render(site: Site, page: PageContent, said: str = "", *, block: str = "") -> str:
    """Return a page as HTML. With `block`, return only this block of the page's template.

    `said` is the sentence that reports what the last form did.
    """
    # The token is random letters and digits of our own.
    secret = Markup('<input type="hidden" name="form_token" value="{}">').format(site.form_token)
    template, now = templates().get_template(page.template), site.runtime.wall()
    values = {"site": site, "page": page, "model": page.model, "links": site.links, "now": now, "secret": secret}
    if block:
        return "".join(template.blocks[block](template.new_context(values)))
    return template.render(values, said=said)


def render_bare(**values: object) -> str:
    """Return the HTML of a page that has no navigation and names neither the project nor a person."""
    return templates().get_template("bare.html").render(values)


def macro(name: str, *values: object) -> Markup:
    """Call a macro of the templates, and return its HTML."""
    drawn: Markup = getattr(templates().get_template("macros.html").module, name)(*values)
    return drawn


def coded(message: str) -> Markup:
    """Return a message as HTML. Text in backticks becomes code. A message that is already HTML is not changed."""
    if isinstance(message, Markup):
        return message
    parts = visible(message).split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = [f"{parts[-2]}`{parts[-1]}"]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def language(item: ReviewItem) -> str:
    """Return the language of a text, such as `pt-BR`, from its front matter or its manifest.

    The result is empty if neither states a language.
    """
    return next((one for one in _stated(item, "lang", "language") if _LANGUAGE.fullmatch(one)), "")


def owner(site: Site, item: ReviewItem) -> str:
    """Return a text's owner from front matter, manifest or `CODEOWNERS`. Without an owner, return an empty text."""
    return next(_stated(item, "owner"), "") or site.code_owner(item.output)


def _stated(item: ReviewItem, *keys: str) -> Iterator[str]:
    """Yield the values of some keys: first from a text's front matter, then from the item's metadata."""
    for front in (item.file.front, item.spec.metadata if item.spec is not None else {}):
        for value in filter(None, map(front.get, keys)):
            yield value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else ""


def is_owned_by(name: str, person: str) -> bool:
    """Return whether an owner is this person, by name, e-mail address, or the user name in the address."""
    own, _, address = person.casefold().rstrip(">").partition(" <")
    own_names = {own, address, address.partition("@")[0].rpartition("+")[2]} - {""}
    said = name.casefold()
    return not own_names.isdisjoint({*said.split(", "), *(one.lstrip("@") for one in said.replace(",", " ").split())})


def spoken(item: ReviewItem | None) -> Markup:
    """Return the HTML attributes `lang` and `dir` for an element that shows an item's words."""
    lang = language(item) if item is not None else ""
    side = next(_stated(item, "dir"), "") if item is not None else ""
    known = Markup('lang="{}" ').format(lang) if lang else Markup()
    return known + Markup('dir="{}"').format(side if side in ("ltr", "rtl") else "auto")


def number(value: int) -> str:
    """Return a number with commas between the thousands."""
    return f"{value:,}"


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "visible": visible,
    "one_line": one_line,
    "coded": coded,
    "spoken": spoken,
    "number": number,
    "money": money_words,
    "minutes": spend.minutes,
    "on_day": spend.on_day,
    "date": spend.short_date,
    "moment": spend.day_and_time,
    "age": spend.age,
    "plural": plural,
    "short": short,
    "note_line": note_line,
    "value_diff": value_diff,
    "next_change": next_change,
    "cause_groups": cause_groups,
    "kinds_of_checks": kinds_of_checks,
    "last_months": last_months,
    "sure_text": sure_text,
}
"""The filters of the templates."""


@functools.cache
def inline_style() -> tuple[str, str]:
    """Return the stylesheet for a page that is a single file, and its hash for the security policy."""
    text = (FOLDER / "style.css").read_text("utf-8")
    return text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def templates() -> jinja2.Environment:
    """Return the Jinja environment of the pages. It raises an error if a view model lacks a name."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals |= {
        "note_limit": NOTE_LIMIT,
        "signs": summary.SIGNS,
        "summary": summary,
        "inline_style": inline_style,
        "badges": badges,
        "checks": CHECKS,
        "languages": LANGUAGES,
        "language": language,
        "owner": owner,
        "is_owned_by": is_owned_by,
    }
    return made
