"""What the server makes of a text it stores: looked at after a save, and told apart from what a person made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.calls import GetContent
from contentops.api.replies import Content
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, title_digest
from contentops.documents.typography import words_digest
from contentops.execution.context import seconds_of
from contentops.execution.effects import Priority, Sleep, Stopped
from contentops.execution.files import note
from contentops.execution.searching import PAUSE, SLACK
from contentops.execution.shelf import Stored, is_same_title

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from contentops.digest import Digest
    from contentops.execution.context import Context
    from contentops.execution.effects import Effect
    from contentops.execution.item import ItemRun

SOON = 10.0
"""Seconds after a save within which what the server gives back is its own doing, however different it is."""


def look_back(run: ItemRun, title: str, body: str) -> Generator[Effect, object, None]:
    """Fetch what was saved a moment ago, and record it where it is not what was sent.

    One look tells for a server that keeps texts as they are: it is not asked again. Nothing that happens here is a
    failure of the save, which is on record.
    """
    ctx, traits, shelf = run.ctx, run.ctx.traits, run.ctx.shelf
    if traits.alters_texts is False:
        return
    saved_at = ctx.now()
    try:
        while traits.alters_texts is None and shelf.looking_back:
            yield Sleep(ctx.now() + PAUSE)
        stored = yield from _look(run)
    except Stopped:
        return
    if stored is None:
        return
    if body_digest(body) in stored.bodies and stored.title in ("", title):
        if traits.alters_texts is None:
            _learn(ctx, alters=False)
    elif ctx.now() - saved_at <= SOON or (stored.words == words_digest(body) and stored.is_titled(title)):
        _learn(ctx, alters=True)
        _remember(run, stored)
    elif traits.alters_texts is None:
        # Somebody may have edited it already.
        shelf.blind = True


def _look(run: ItemRun) -> Generator[Effect, object, Stored | None]:
    ctx, traits, shelf = run.ctx, run.ctx.traits, run.ctx.shelf
    first = traits.alters_texts is None
    if traits.alters_texts is False or (first and shelf.blind) or run.record is None:
        return None
    shelf.looking_back = first
    try:
        answer = yield from ctx.ask(GetContent(run.record.content_id), Priority.SAVE)
    finally:
        shelf.looking_back = False
    if isinstance(answer, Content):
        return Stored.of(answer)
    shelf.blind |= first
    return None


def _remember(run: ItemRun, stored: Stored) -> None:
    record = run.record
    assert record is not None
    assert record.saved is not None
    server_title = title_digest(stored.title) if stored.title else NOTHING
    saved = structs.replace(record.saved, server_title=server_title, server_body=stored.body)
    note(run, "given back", structs.replace(record, saved=saved))


def _learn(ctx: Context, *, alters: bool) -> None:
    if ctx.traits.alters_texts is not alters:
        ctx.traits.alters_texts = alters
        # A kill must not make the next run ask again, or not ask.
        ctx.cache.put_server_facts(ctx.server, ctx.traits.as_json())


def is_restyled(run: ItemRun, stored: Stored, known: set[Digest], *, same_body: bool, same_title: bool) -> bool:
    """Whether a content is a text of ours in which the server alone changed the typography.

    `known` are the digests of our texts. Only where it is not on record what the server gave back, and no later than
    our save by the server's own word.
    """
    record = run.record
    if record is not None and record.content_id == stored.id:
        saved, changed, ours = record.saved, seconds_of(stored.updated_at), seconds_of(record.saved_at)
        if saved is not None and saved.server_body not in (NOTHING, saved.body):
            return False
        if changed is not None and ours is not None and changed > ours + SLACK:
            return False
    if not (same_title or any(is_same_title(stored.title, title) for title in _titles(run))):
        return False
    if not (same_body or any(stored.words == words_digest(text) for text in _texts(run, stored.id, known))):
        return False
    _learn(run.ctx, alters=True)
    return True


def _titles(run: ItemRun) -> Iterator[str]:
    yield run.ctx.outputs.observe(run.path).title
    for holder in (run.change.record, run.record, run.text):
        if holder is not None:
            yield holder.title


def _texts(run: ItemRun, content_id: str, known: set[Digest]) -> Iterator[str]:
    """Those of our texts that are at hand in full."""
    from contentops.documents.front_matter import split

    ctx = run.ctx
    yield split(ctx.outputs.read(run.path)).body
    found = [ctx.cache.server_text(ctx.server, content_id), run.text.body if run.text is not None else None]
    digests = {run.spec.digest, *(record.digest for record in (run.change.record, run.record) if record is not None)}
    texts = (ctx.cache.get_text(ctx.server, digest) for digest in sorted(digests))
    found += [text.body for text in texts if text is not None]
    yield from (body for body in found if body is not None and body_digest(body) in known)
