"""Read a list of a server's catalog page by page.

Servers have pages of any size, and some do not state it: a list is whole once a page brings nothing new, or once it has
as many entries as the server says. Later pages are asked for in the size of the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.api.calls import CatalogReply, Failure, ListTemplates
from contentops.api.catalog import slug_of
from contentops.api.outcomes import is_about_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from contentops.api.calls import Call, ListStyles, Reply
    from contentops.model import Json

PAGE = 100
"""Entries of a page of the known servers."""


class ReadList(Struct, frozen=True):
    """The entries of a list by slug, and how many had none. `total`: as the server says; None if it does not."""

    entries: Mapping[str, Mapping[str, Json]]
    unusable: int
    total: int | None
    is_whole: bool
    """Nothing is known to be missing."""
    is_cut: bool = False
    """Pages were left unread."""


def read_page(answer: CatalogReply) -> ReadList:
    """Return a list that has one page."""
    entries = {slug: entry for entry in answer.entries if (slug := slug_of(entry))}
    unusable = sum(not slug_of(entry) for entry in answer.entries)
    size, total = len(answer.entries), answer.total
    return ReadList(entries, unusable, total, is_whole=size < PAGE if total is None else size >= total)


async def read_list(
    kind: type[ListTemplates | ListStyles],
    ask: Callable[[Call], Awaitable[Reply | Failure | None]],
    *,
    pages: int,
    first: CatalogReply | None = None,
    enough: Callable[[Mapping[str, Mapping[str, Json]]], bool] = lambda _: False,
) -> ReadList | Failure | None:
    """Read at most `pages` pages, until `enough`; return a failure or None that `ask` returns.

    `first`: the first page, if it was just read.
    """
    entries: dict[str, Mapping[str, Json]] = {}
    answer: Reply | Failure | None = first if first is not None else await ask(kind())
    if not isinstance(answer, CatalogReply):
        assert answer is None or isinstance(answer, Failure)
        return answer
    size, limit = len(answer.entries), answer.limit or len(answer.entries)
    # Some servers count the entries of a page alone.
    total = None if answer.total == size >= limit else answer.total
    unusable = 0
    for page in range(1, pages + 1):
        named = [(slug_of(entry), entry) for entry in answer.entries]
        before = len(entries)
        for slug, entry in named:
            if slug:
                entries.setdefault(slug, entry)
        # Some servers answer every page with the first, which may be all that they have.
        is_new = len(entries) > before
        unusable += sum(not slug for slug, _ in named) if is_new or page == 1 else 0
        if total is not None and len(entries) + unusable >= total:
            return ReadList(entries, unusable, total, is_whole=True)
        if not is_new or len(named) < answer.limit:
            is_whole = total is None and (size < PAGE or len(named) < limit)
            return ReadList(entries, unusable, total, is_whole)
        if enough(entries) or page == pages:
            break
        answer = await ask(kind(page + 1, limit))
        # A server may refuse the query of a page that it does not know.
        if answer is None or (isinstance(answer, Failure) and not is_about_one(answer)):
            return answer
        if not isinstance(answer, CatalogReply):
            answer = CatalogReply()
    return ReadList(entries, unusable, total, is_whole=False, is_cut=True)
