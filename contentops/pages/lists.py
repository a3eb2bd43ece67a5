"""Makes the list of items. The query in the list's address sets search, filters, order and page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from msgspec import Struct, structs

from contentops.errors import plural
from contentops.operations.review import ReviewItem, Snapshot, fold
from contentops.operations.texts import text_of_file
from contentops.pages.badges import BADGES, CHECKS, FAILS, WARNS, Badge, badges
from contentops.pages.site import LANGUAGES, PageContent, Site, is_owned_by, language, owner
from contentops.sanitize import one_line

_ROWS: Final = 50
_HITS: Final = 20
"""Rows on a page of a search; the file of each row is read to show sentences."""
_SENTENCES: Final = 3
"""The most sentences that are shown of a text."""
_AROUND: Final = 160
"""Characters of a sentence before and after the words that were found."""
_END: Final = re.compile(r"(?<=[.!?\u2026])\s+|(?<=[\u3002\uff01\uff1f])|\n\s*\n|\n(?=\s*(?:[#>|+*-]|\d{1,3}[.)]\s))")
"""Ends a sentence, a paragraph, or a line that is none."""
_SIGNS: Final = re.compile(r"\]\([^)\s]{0,500}\)|[\[\]*`]|^[#>|\s+-]+|^\d{1,3}[.)]\s")
"""What a site does not show of a sentence in Markdown."""
_OPTIONS: Final = 200
"""Names in a field of the form: those of the most items."""
_LONGEST: Final = 200
"""Characters of a value of the query."""
_PAGE: Final = 9
"""Digits of the number of a page."""
_STATES: Final[Mapping[str, frozenset[str]]] = {
    **{key: frozenset({key}) for key in BADGES},
    "to-read": frozenset({"changed", "waiting"}),
    "to-choose": frozenset({"blocked", "unknown"}),
    "open": frozenset({"changed", "waiting", "blocked", "unknown", "sent-back"}),
    "checks": frozenset({FAILS.key, WARNS.key}),
}
"""The badges that each value of `state` asks for."""
_ORDER: Final = {key: at for at, key in enumerate(BADGES)}
_SORTS: Final[Mapping[str, Callable[[ReviewItem], tuple[object, ...]]]] = {
    "state": lambda item: (_ORDER[item.state.value], not item.findings, item.since, item.id),
    "title": lambda item: (item.title.casefold(), item.id),
    "words": lambda item: (item.words, item.id),
    "credits": lambda item: (item.cost.credits, item.id),
    "made": lambda item: (item.generated_at, item.id),
}
"""What each value of `sort` compares; a minus sign before the value reverses the order."""
_MINE: Final = "me"
_NO_ONE: Final = "none"


class ItemsQuery(Struct, frozen=True, kw_only=True):
    """The valid fields of a list's query."""

    q: str = ""
    state: str = ""
    template: str = ""
    tag: str = ""
    check: str = ""
    owner: str = ""
    """`me`, `none`, or a name."""
    lang: str = ""
    folder: str = ""
    sort: str = "state"

    @property
    def said(self) -> dict[str, str]:
        """Return the query fields for an address. Empty fields and the default order are left out."""
        fields = structs.asdict(self)
        return {name: value for name, value in fields.items() if value and (name, value) != ("sort", "state")}

    def turned(self, key: str) -> str:
        """Return the new value of `sort` after a click on a column heading."""
        return key if self.sort != key else key[1:] if key.startswith("-") else f"-{key}"

    def order(self, key: str) -> str:
        """Return the `aria-sort` value of a column heading, or an empty text if another column sorts the list."""
        if not key or self.sort.lstrip("-") != key.lstrip("-"):
            return ""
        return "descending" if self.sort.startswith("-") else "ascending"


class Sentence(NamedTuple):
    """A sentence that contains the searched words: the text before them, the words, the text after them."""

    before: str
    words: str
    after: str


class Hit(NamedTuple):
    """An item whose text contains the searched words, and the first sentences that contain these words."""

    item: ReviewItem
    sentences: Sequence[Sentence]
    more: int
    """The number of further sentences that contain the words."""


class ItemsView(Struct, frozen=True, kw_only=True):
    """The data of one page of the list of items."""

    snapshot: Snapshot
    query: ItemsQuery
    ignored: Sequence[str]
    names: Mapping[str, Sequence[str]]
    """The values that each form field offers, the most frequent first."""
    narrowed: int
    """The number of items that fit the query, whatever their state."""
    chips: Sequence[tuple[Badge, int]]
    found: int
    rows: Sequence[ReviewItem]
    page: int
    pages: int
    hits: Sequence[Hit] = ()
    """The rows with their sentences, if words were searched."""


def items(site: Site, query: Mapping[str, str]) -> PageContent:
    """Return one page of the list of items. The page of a search also shows sentences with the searched words."""
    snapshot = site.review.snapshot()
    names = _names(site, snapshot)
    asked, ignored = read_query(query, names)
    narrowed = [(item, badges(item)) for item in _narrowed(site, snapshot, asked)]
    counts = Counter(badge.key for _, all_ in narrowed for badge in all_)
    found = _found(narrowed, asked)
    rows = _HITS if asked.q else _ROWS
    pages = max(-(-len(found) // rows), 1)
    page = min(max(_number(query.get("page", "")), 1), pages)
    shown = found[(page - 1) * rows : page * rows]
    view = ItemsView(
        snapshot=snapshot,
        query=asked,
        ignored=ignored,
        names={name: values[:_OPTIONS] for name, values in names.items()},
        narrowed=len(narrowed),
        chips=[(badge, counts[badge.key]) for badge in BADGES.values() if counts[badge.key]],
        found=len(found),
        rows=shown,
        page=page,
        pages=pages,
        hits=[_hit(snapshot, item, fold(asked.q)) for item in shown] if asked.q else (),
    )
    title = "Items"
    if asked.q:
        times = sum(item.folded.count(fold(asked.q)) for item in found)
        places = f": {plural(times, 'place')} in {plural(len(found), 'text')}"
        title = f"\u201c{one_line(asked.q)}\u201d{places}" if found else f"No text says \u201c{one_line(asked.q)}\u201d"
    title += f", page {page:,} of {pages:,}" if pages > 1 else ""
    return PageContent(template="items.html", title=title, tab="items", model=view)


def _hit(snapshot: Snapshot, item: ReviewItem, needle: str) -> Hit:
    """Read an item's file again, and return its first sentences that contain the searched words."""
    text = text_of_file(snapshot.project, item.file.path) if needle in item.folded else None
    found = [each for each in _END.split(text.body) if each and needle in fold(each)] if text is not None else []
    return Hit(item, [_sentence(each, needle) for each in found[:_SENTENCES]], len(found[_SENTENCES:]))


def _sentence(markdown: str, needle: str) -> Sentence:
    said = " ".join(_SIGNS.sub("", markdown.strip()).split())
    at = said.casefold().find(needle)
    if at < 0:  # the words are in an address, or beside signs
        return Sentence(said[: 2 * _AROUND], "", "")
    end = at + len(needle)
    before, after = said[max(at - _AROUND, 0) : at], said[end : end + _AROUND]
    return Sentence("\u2026" * (at > _AROUND) + before, said[at:end], after + "\u2026" * (len(said) > end + _AROUND))


def _found(narrowed: Iterable[tuple[ReviewItem, Sequence[Badge]]], asked: ItemsQuery) -> list[ReviewItem]:
    """Return the items whose state is the one in the query, in the order of the list."""
    wanted = _STATES.get(asked.state, BADGES.keys())
    # What is blocked is read after a choice, though it waits for approval as well.
    last = 1 if asked.state == "to-read" else None
    found = [item for item, all_ in narrowed if any(one.key in wanted for one in all_[:last])]
    return sorted(found, key=_SORTS[asked.sort.removeprefix("-")], reverse=asked.sort.startswith("-"))


class Chip(NamedTuple):
    """A filter link for waiting texts: its label, the number of texts, and the query that lists these texts."""

    words: str
    texts: int
    query: Mapping[str, str]


def whose(site: Site, open_: Sequence[ReviewItem]) -> Sequence[Chip]:
    """Return filter links for the waiting texts by owner and by language.

    There are none if no text has an owner and the texts name fewer than two languages.
    """
    owners, languages = (Counter(values) for values in ((owner(site, item) for item in open_), map(language, open_)))
    mine = sum(count for name, count in owners.items() if is_owned_by(name, site.person))
    chips = [Chip("Yours", mine, {"owner": _MINE}), Chip("No owner", owners.pop("", 0), {"owner": _NO_ONE})]
    spoken = [(lang, count) for lang, count in languages.most_common(12) if lang]
    named = [Chip(LANGUAGES.get(lang, lang), count, {"lang": lang}) for lang, count in spoken]
    shown = [chip for chip in (*chips * bool(owners), *named * (len(named) > 1)) if chip.texts]
    return [Chip("All", len(open_), {}), *shown] if shown else ()


def queue(site: Site, snapshot: Snapshot, listed: str) -> Sequence[ReviewItem]:
    """Return the items that a person reads one after another, from the list with the query `listed`.

    These are the listed items that wait for a reader, or all listed items if none waits. Without a query, they are all
    items that wait for a reader.
    """
    if not listed:
        return snapshot.to_read
    asked, _ = read_query(dict(parse_qsl(listed)), {})
    found = _found(((item, badges(item)) for item in _narrowed(site, snapshot, asked)), asked)
    waiting = {item.id for item in snapshot.to_read}
    return [item for item in found if item.id in waiting] or found


def read_query(query: Mapping[str, str], names: Mapping[str, Iterable[str]]) -> tuple[ItemsQuery, tuple[str, ...]]:
    """Return the valid fields of a query, and a sentence for each unknown value.

    `names` has the known values of each field; a field that is not in `names` is not checked.
    """
    said = {name: query.get(name, "").strip()[:_LONGEST] for name in ItemsQuery.__struct_fields__}
    known = {**names, "state": _STATES, "check": CHECKS, "sort": [*_SORTS, *(f"-{name}" for name in _SORTS)]}
    wrong = [name for name, values in known.items() if said[name] and said[name] not in set(values)]
    usable = {name: value for name, value in said.items() if value and name not in wrong}
    return ItemsQuery(**usable), tuple(f"there is no {name} `{said[name]}`, so it is ignored" for name in wrong)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _PAGE else 1


def _names(site: Site, snapshot: Snapshot) -> Mapping[str, Sequence[str]]:
    """Return the values by which each query field can filter the items, the most frequent value first."""
    return {
        "template": _common(item.template for item in snapshot.items),
        "tag": _common(tag for item in snapshot.items for tag in item.tags),
        "lang": _common(map(language, snapshot.items)),
        "owner": (_MINE, _NO_ONE, *_common(owner(site, item) for item in snapshot.items)),
        "folder": _common(folder for item in snapshot.items for folder in _folders(item.output)),
    }


def _folders(path: str) -> Iterator[str]:
    """Yield the folders that contain a path, the deepest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _common(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct names, the most frequent first. An empty name is left out."""
    counts = Counter(names)
    return tuple(sorted(filter(None, counts), key=lambda name: (-counts[name], name)))


def _narrowed(site: Site, snapshot: Snapshot, query: ItemsQuery) -> Iterator[ReviewItem]:
    """Yield the items that fit all fields of the query except the state."""
    needle = fold(query.q)
    for item in snapshot.items:
        if needle and not (needle in item.folded or needle in fold(item.title) or needle in item.id.casefold()):
            continue
        fits = query.template in ("", item.template) and (not query.tag or query.tag in item.tags)
        fits = fits and (not query.check or any(one.code == query.check for one in item.findings))
        fits = fits and (not query.lang or query.lang == language(item))
        fits = fits and (not query.folder or query.folder in _folders(item.output))
        if fits and (not query.owner or _is_owned(owner(site, item), query.owner, site.person)):
            yield item


def _is_owned(name: str, asked: str, person: str) -> bool:
    if asked == _MINE:
        return is_owned_by(name, person)
    return not name if asked == _NO_ONE else name == asked
