"""The list of items: filtered, sorted and in pages as the query says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import plural
from contentops.operations.review import ReviewState
from contentops.pages.badges import BADGES, FAILS, ORDER, STATES, WARNS, Badge, badges
from contentops.pages.site import PageContent
from contentops.reporting.summary import SIGNS, action_words, change_cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from contentops.errors import Diagnostic
    from contentops.operations.review import ReviewItem
    from contentops.pages.site import Site

ROWS: Final = 50
"""Items of a page."""
_OPTIONS: Final = 200
"""Templates or tags that can be chosen: those of the most items."""
_LONGEST: Final = 200
"""Characters of a search."""
_STATES: Final[Mapping[str, frozenset[str]]] = {
    **{key: frozenset({key}) for key in BADGES},
    "to-read": frozenset({"changed", "waiting"}),
    "to-choose": frozenset({"blocked", "unknown"}),
    "checks": frozenset({FAILS.key, WARNS.key}),
}
"""The badges that each value of `state` asks for."""
_SORTS: Final[Mapping[str, Callable[[ReviewItem], object]]] = {
    "state": lambda item: (ORDER[item.state], not item.findings, item.since, item.id),
    "title": lambda item: (item.title.casefold(), item.id),
    "words": lambda item: (item.words, item.id),
    "credits": lambda item: (item.credits, item.id),
    "made": lambda item: (item.generated_at, item.id),
}
"""What each value of `sort` compares; a minus before it turns the order round."""
ORDERS: Final = (
    ("state", "what needs someone"),
    ("title", "title"),
    ("-words", "longest"),
    ("-credits", "dearest"),
    ("-made", "newest"),
)
"""The orders that the form offers."""
HEADINGS: Final = (
    ("title", "Item", ""),
    ("state", "State", ""),
    ("", "Next apply", ""),
    ("-words", "Words", "number"),
    ("-credits", "Spent", "number"),
    ("-made", "Made", "number"),
)
"""The columns: by what a heading sorts, its words, its class."""


class ItemsQuery(Struct, frozen=True, kw_only=True):
    """A query of the list, checked; the names of its fields are those in addresses."""

    q: str = ""
    state: str = ""
    template: str = ""
    tag: str = ""
    sort: str = "state"
    page: int = 1

    @property
    def said(self) -> dict[str, str]:
        """What it says besides the page, as an address has it."""
        sort = "" if self.sort == "state" else self.sort
        fields = {"q": self.q, "state": self.state, "template": self.template, "tag": self.tag, "sort": sort}
        return {name: value for name, value in fields.items() if value}


class ItemRow(Struct, frozen=True, kw_only=True):
    """A row of the list."""

    item: ReviewItem
    badges: tuple[Badge, ...]
    sign: str
    action: str
    cost: str


class ItemsView(Struct, frozen=True, kw_only=True):
    """A page of the list."""

    lead: str
    query: ItemsQuery
    ignored: tuple[str, ...]
    findings: tuple[Diagnostic, ...]
    everything: int
    chips: tuple[tuple[Badge, int], ...]
    templates: tuple[str, ...]
    tags: tuple[str, ...]
    rows: tuple[ItemRow, ...]
    pages: int
    orders: tuple[tuple[str, str], ...] = ORDERS
    headings: tuple[tuple[str, str, str], ...] = HEADINGS

    def turned(self, key: str) -> str:
        """What `sort` becomes after a click on the heading that sorts by `key`."""
        return key if self.query.sort != key else key[1:] if key.startswith("-") else f"-{key}"

    def order(self, key: str) -> str:
        """The value of `aria-sort` of the heading that sorts by `key`; empty: by something else."""
        if not key or self.query.sort.lstrip("-") != key.lstrip("-"):
            return ""
        return "descending" if self.query.sort.startswith("-") else "ascending"


def items(site: Site, query: Mapping[str, str]) -> PageContent:
    """Every item with its state, a page at a time."""
    snapshot = site.review.snapshot()
    every = snapshot.items
    templates = _common(item.template for item in every)
    tags = _common(tag for item in every for tag in item.tags)
    asked, ignored = read_query(query, templates, tags)
    narrowed = [item for item in every if _matches(item, asked)]
    with_badges = [(item, badges(item)) for item in narrowed]
    counts = Counter(badge.key for _, all_ in with_badges for badge in all_)
    wanted = _STATES.get(asked.state)
    found = [(item, all_) for item, all_ in with_badges if wanted is None or any(one.key in wanted for one in all_)]
    compare = _SORTS[asked.sort.removeprefix("-")]
    found.sort(key=lambda pair: compare(pair[0]), reverse=asked.sort.startswith("-"))  # type: ignore[arg-type,return-value]
    pages = max(-(-len(found) // ROWS), 1)
    number = min(asked.page, pages)
    rows = found[(number - 1) * ROWS : number * ROWS]
    view = ItemsView(
        lead=_lead(len(found), len(every), asked),
        query=ItemsQuery(**asked.said, page=number),
        ignored=ignored,
        findings=snapshot.findings,
        everything=len(narrowed),
        chips=tuple((badge, counts[badge.key]) for badge in BADGES.values() if counts[badge.key]),
        templates=templates[:_OPTIONS],
        tags=tags[:_OPTIONS],
        rows=tuple(_row(*pair) for pair in rows),
        pages=pages,
    )
    title = "Items" if pages == 1 else f"Items, page {number:,} of {pages:,}"
    return PageContent(template="items.html", title=title, tab="items", model=view)


def read_query(
    query: Mapping[str, str], templates: Sequence[str], tags: Sequence[str]
) -> tuple[ItemsQuery, tuple[str, ...]]:
    """Return a query with what can be used of it, and a sentence for each value that names nothing."""
    said = {name: query.get(name, "").strip()[:_LONGEST] for name in ("q", "state", "template", "tag", "sort")}
    known: Mapping[str, Iterable[str]] = {
        "state": _STATES,
        "template": templates,
        "tag": tags,
        "sort": {*_SORTS, *(f"-{name}" for name in _SORTS)},
    }
    wrong = [name for name, values in known.items() if said[name] and said[name] not in set(values)]
    usable = {name: value for name, value in said.items() if value and name not in wrong}
    page = query.get("page", "")
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
    ignored = tuple(f"there is no {name} `{said[name]}`, so it is ignored" for name in wrong)
    return ItemsQuery(**usable, page=max(number, 1)), ignored


def _common(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without the empty one, those of the most items first."""
    counts = Counter(names)
    return tuple(sorted(filter(None, counts), key=lambda name: (-counts[name], name)))


def _matches(item: ReviewItem, query: ItemsQuery) -> bool:
    words = query.q.casefold()
    return (
        (not words or words in item.title.casefold() or words in item.id.casefold())
        and query.template in ("", item.template)
        and (not query.tag or query.tag in item.tags)
    )


def _lead(found: int, every: int, query: ItemsQuery) -> str:
    first = ", those that need someone first" if query.sort == "state" and found > 1 else ""
    return f"{plural(every, 'item')}{first}." if found == every else f"{found:,} of {plural(every, 'item')}{first}."


def _row(item: ReviewItem, all_: tuple[Badge, ...]) -> ItemRow:
    change = item.change
    shown = tuple(badge for badge in all_ if badge is not STATES[ReviewState.UNASKED])
    if change is None:
        return ItemRow(item=item, badges=shown, sign="", action="stays", cost="")
    cost = change_cost(change) or ("" if change.blocked or change.holder else "free")
    return ItemRow(
        item=item, badges=shown, sign=SIGNS[change.action][0].strip(), action=action_words(change), cost=cost
    )
