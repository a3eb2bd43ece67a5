"""What happened to the text of an item: generated, edited, approved and sent back."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.digest import NOTHING, Digest
from contentops.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model.run import Generation
    from contentops.operations.review import ReviewItem
    from contentops.operations.texts.item_texts import ItemTexts


class ItemEventKind(enum.StrEnum):
    """What happened."""

    GENERATED = "generated"
    OPEN = "open"
    """A job whose text did not come into the file: `outcome` says why."""
    EDITED = "edited"
    APPROVED = "approved"
    SENT_BACK = "sent-back"


class ItemEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened to the text of an item."""

    kind: ItemEventKind
    at: str
    """ISO time; empty where it is not known."""
    by: str = ""
    """A person, or the server that made the text."""
    credits: int = 0
    job: str = ""
    commit: str = ""
    """Empty: of an edit, it is in the working tree alone."""
    note: str = ""
    outcome: str = ""
    """As of a `Generation`."""
    body: Digest = NOTHING
    """The digest of the text after it, if its words are here; empty where they are not, or it is the present one."""
    is_paid_text: bool = False
    """It can be restored."""


def item_events(one: ReviewItem, texts: ItemTexts) -> tuple[ItemEvent, ...]:
    """Return what happened to an item's text, the newest first."""
    now = texts.now.digest if texts.now is not None else NOTHING
    events = [
        *(_generation(each, texts, now) for each in texts.history.generations),
        *_edits(one, texts, now),
        *_verdicts(one, texts, now),
    ]
    return tuple(sorted(events, key=lambda event: (_instant(event.at), _rank(event)), reverse=True))


def _generation(one: Generation, texts: ItemTexts, now: Digest) -> ItemEvent:
    text = next((each for each in texts.history.texts if each.request_id == one.request_id), None)
    body = text.body if text is not None and text.body != now else NOTHING
    return ItemEvent(
        kind=ItemEventKind.GENERATED if one.outcome in ("generated", "elsewhere") else ItemEventKind.OPEN,
        at=one.at,
        by=one.server,
        credits=one.credits,
        job=one.job_id,
        outcome=one.outcome,
        note=one.error,
        body=body if any(each.digest == body for each in texts.earlier) else NOTHING,
        is_paid_text=body != NOTHING and text is not None and bool(text.where),
    )


def _edits(one: ReviewItem, texts: ItemTexts, now: Digest) -> Iterator[ItemEvent]:
    """Yield the texts of the file that no job made: the present one if it is not committed, and those of commits."""
    made = {each.body for each in texts.history.texts}
    committed = [each for each in texts.earlier if each.commit]
    if texts.now is not None and now not in made and texts.now.text not in {each.text for each in committed}:
        yield ItemEvent(kind=ItemEventKind.EDITED, at=one.since)
    for each in committed:
        if each.digest not in made:
            yield ItemEvent(
                kind=ItemEventKind.EDITED,
                at=each.at,
                by=each.author,
                commit=each.commit,
                body=NOTHING if each.digest == now else each.digest,
            )


def _verdicts(one: ReviewItem, texts: ItemTexts, now: Digest) -> Iterator[ItemEvent]:
    by_text = {each.text: each.digest for each in texts.earlier}
    for line in (*one.verdicts, *one.earlier):
        body = by_text.get(line.text, NOTHING)
        yield ItemEvent(
            kind=ItemEventKind.APPROVED if line.verdict is Verdict.APPROVED else ItemEventKind.SENT_BACK,
            at=line.at,
            by=line.name,
            note=line.note,
            body=NOTHING if body == now else body,
        )


def _rank(event: ItemEvent) -> int:
    """Return which of several things in one second came later: a text is made, edited, committed and then read."""
    is_uncommitted = event.kind is ItemEventKind.EDITED and not event.commit
    return len(ItemEventKind) if is_uncommitted else list(ItemEventKind).index(event.kind)


def _instant(at: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(at).timestamp()
    except (ValueError, OverflowError):
        return 0
