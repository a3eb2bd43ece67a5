"""The contents seen on a server, kept in the cache by content id: seeing one does not forget another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import ValidationError, convert, to_builtins

from contentops.model import Remote

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from contentops.state.cache import Cache


def seen_contents(cache: Cache, server: str) -> dict[str, Remote]:
    """Each content that was seen on a server, as it was then, by its id."""
    facts = cache.seen(server)
    try:
        return convert(facts, dict[str, Remote]) if facts else {}
    except ValidationError:
        return {}


def keep_seen_contents(cache: Cache, server: str, new: Mapping[str, Remote], looked: Container[str] = ()) -> bool:
    """Store new contents and forget older ones that were `looked` up; returns whether the cache changed."""
    before = seen_contents(cache, server)
    now = {id_: content for id_, content in before.items() if id_ not in looked} | {**new}
    if now == before:
        return False
    cache.put_seen(server, to_builtins(now))
    return True


def forget_seen_content(cache: Cache, server: str, content_id: str) -> None:
    """Forget a content that a save replaced."""
    if content_id in cache.seen(server):
        keep_seen_contents(cache, server, {}, (content_id,))
