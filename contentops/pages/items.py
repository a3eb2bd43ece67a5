"""The list of items: filtered, sorted and in pages as the query says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct, structs

from contentops.operations.review import ReviewItem, Snapshot
from contentops.pages.badges import BADGES, FAILS, WARNS, Badge, badges
from contentops.pages.site import PageContent, Site

_ROWS: Final = 50
_OPTIONS: Final = 200
"""Templates or tags that the form offers: those of the most items."""
_LONGEST: Final = 200
"""Characters of a value of the query."""
_PAGE: Final = 9
"""Digits of the number of a page."""
_STATES: Final[Mapping[str, frozenset[str]]] = {
    **{key: frozenset({key}) for key in BADGES},
    "to-read": frozenset({"changed", "waiting"}),
    "to-choose": frozenset({"blocked", "unknown"}),
    "checks": frozenset({FAILS.key, WARNS.key}),
}
"""The badges that each value of `state` asks for."""
_ORDER: Final = {key: at for at, key in enumerate(BADGES)}
_SORTS: Final[Mapping[str, Callable[[ReviewItem], tuple[object, ...]]]] = {
    "state": lambda item: (_ORDER[item.state.value], not item.findings, item.since, item.id),
    "title": lambda item: (item.title.casefold(), item.id),
    "words": lambda item: (item.words, item.id),
    "credits": lambda item: (item.credits, item.id),
    "made": lambda item: (item.generated_at, item.id),
}
"""What each value of `sort` compares; a minus before it turns the order round."""


class ItemsQuery(Struct, frozen=True, kw_only=True):
    """The query of a list, checked."""

    q: str = ""
    state: str = ""
    template: str = ""
    tag: str = ""
    sort: str = "state"

    @property
    def said(self) -> dict[str, str]:
        """What it says, as an address has it."""
        fields = structs.asdict(self)
        return {name: value for name, value in fields.items() if value and (name, value) != ("sort", "state")}

    def turned(self, key: str) -> str:
        """What `sort` becomes after a click on the heading that sorts by `key`."""
        return key if self.sort != key else key[1:] if key.startswith("-") else f"-{key}"

    def order(self, key: str) -> str:
        """The value of `aria-sort` of the heading that sorts by `key`; empty: the list is sorted by something else."""
        if not key or self.sort.lstrip("-") != key.lstrip("-"):
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"


class ItemsView(Struct, frozen=True, kw_only=True):
    """A page of the list."""

    snapshot: Snapshot
    query: ItemsQuery
    ignored: Sequence[str]
    templates: Sequence[str]
    tags: Sequence[str]
    narrowed: int
    """How many items there are of all states."""
    chips: Sequence[tuple[Badge, int]]
    found: int
    rows: Sequence[ReviewItem]
    page: int
    pages: int


def items(site: Site, query: Mapping[str, str]) -> PageContent:
    """Every item with its state, a page at a time."""
    snapshot = site.review.snapshot()
    templates = _common(item.template for item in snapshot.items)
    tags = _common(tag for item in snapshot.items for tag in item.tags)
    asked, ignored = read_query(query, {"template": templates, "tag": tags})
    narrowed = [(item, badges(item)) for item in snapshot.items if _matches(item, asked)]
    counts = Counter(badge.key for _, all_ in narrowed for badge in all_)
    found = _found(narrowed, asked)
    pages = max(-(-len(found) // _ROWS), 1)
    page = min(max(_number(query.get("page", "")), 1), pages)
    view = ItemsView(
        snapshot=snapshot,
        query=asked,
        ignored=ignored,
        templates=templates[:_OPTIONS],
        tags=tags[:_OPTIONS],
        narrowed=len(narrowed),
        chips=[(badge, counts[badge.key]) for badge in BADGES.values() if counts[badge.key]],
        found=len(found),
        rows=found[(page - 1) * _ROWS : page * _ROWS],
        page=page,
        pages=pages,
    )
    title = "Items" if pages == 1 else f"Items, page {page:,} of {pages:,}"
    return PageContent(template="items.html", title=title, tab="items", model=view)


def _found(narrowed: Iterable[tuple[ReviewItem, Sequence[Badge]]], asked: ItemsQuery) -> list[ReviewItem]:
    """Return the items of a list in its order; `narrowed`: those of all states, with their badges."""
    wanted = _STATES.get(asked.state, BADGES.keys())
    found = [item for item, all_ in narrowed if any(one.key in wanted for one in all_)]
    return sorted(found, key=_SORTS[asked.sort.removeprefix("-")], reverse=asked.sort.startswith("-"))


def queue(snapshot: Snapshot, listed: str) -> Sequence[ReviewItem]:
    """Return the items of the list whose query is `listed`, as a page of an item has it; empty: those to read.

    Where some of a list wait for a reader, it is these.
    """
    if not listed:
        return snapshot.to_read
    tags = [tag for item in snapshot.items for tag in item.tags]
    names = {"template": [item.template for item in snapshot.items], "tag": tags}
    asked, _ = read_query(dict(parse_qsl(listed)), names)
    found = _found(((item, badges(item)) for item in snapshot.items if _matches(item, asked)), asked)
    waiting = {item.id for item in snapshot.to_read}
    return [item for item in found if item.id in waiting] or found


def read_query(query: Mapping[str, str], names: Mapping[str, Iterable[str]]) -> tuple[ItemsQuery, tuple[str, ...]]:
    """Return what can be used of a query, and a sentence for each value that names nothing.

    `names`: the templates and tags that there are.
    """
    said = {name: query.get(name, "").strip()[:_LONGEST] for name in ItemsQuery.__struct_fields__}
    known = {**names, "state": _STATES, "sort": [*_SORTS, *(f"-{name}" for name in _SORTS)]}
    wrong = [name for name, values in known.items() if said[name] and said[name] not in set(values)]
    usable = {name: value for name, value in said.items() if value and name not in wrong}
    return ItemsQuery(**usable), tuple(f"there is no {name} `{said[name]}`, so it is ignored" for name in wrong)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _PAGE else 1


def _common(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without the empty one, those of the most items first."""
    counts = Counter(names)
    return tuple(sorted(filter(None, counts), key=lambda name: (-counts[name], name)))


def _matches(item: ReviewItem, query: ItemsQuery) -> bool:
    words = query.q.casefold()
    found = not words or words in item.title.casefold() or words in item.id.casefold()
    return found and query.template in ("", item.template) and (not query.tag or query.tag in item.tags)
