"""What was seen of contents on a server, kept in the cache by content: looks at one never forget another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import ValidationError, convert, to_builtins

from contentops.model import Remote

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from contentops.state.shared import RunCache


def seen_there(cache: RunCache, server: str) -> dict[str, Remote]:
    """Each content that was looked at, as it was then, by its id."""
    facts = cache.seen(server)
    try:
        return convert(facts, dict[str, Remote]) if facts else {}
    except ValidationError:
        return {}


def keep_seen_there(cache: RunCache, server: str, found: Mapping[str, Remote], looked: Container[str] = ()) -> bool:
    """Remember what was found, in place of what was known of the contents that were `looked` at; whether it is news."""
    before = seen_there(cache, server)
    now = {id_: one for id_, one in before.items() if id_ not in looked} | {**found}
    if now == before:
        return False
    cache.put_seen(server, to_builtins(now))
    return True


def forget_seen_there(cache: RunCache, server: str, content_id: str) -> None:
    """Forget what was seen of a content, since a save replaced it."""
    if content_id in cache.seen(server):
        keep_seen_there(cache, server, {}, (content_id,))
