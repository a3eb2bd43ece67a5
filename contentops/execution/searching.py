"""Find a text of ours among everything the account has stored, fetching each content once in a run at most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from contentops.api.calls import GetContent
from contentops.api.replies import Content, Failure, FailureKind
from contentops.execution.context import seconds_of
from contentops.execution.effects import Priority, Sleep
from contentops.execution.item import Ended, ItemRun
from contentops.execution.shelf import Stored, is_same_title
from contentops.model import Result

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from contentops.api.replies import ContentEntry
    from contentops.execution.effects import Effect

SLACK = 900.0
"""Seconds our clock and the server's may differ when contents are matched by time."""
PAUSE = 0.5
"""Seconds between looks for a content that another item is fetching."""
STRANGERS = 200
"""Contents of nobody that a run fetches at most, besides two for each change of its plan."""

_NOT_FOR_US = frozenset({FailureKind.NOT_FOUND, FailureKind.FORBIDDEN, FailureKind.REJECTED, FailureKind.UNUSABLE})


def find(
    run: ItemRun, title: str, body: str, *, titled: bool = False, beside: Sequence[str] = ()
) -> Generator[Effect, object, Stored | None]:
    """A stored content that no other item owns and whose body is ours, or None; it is ours from now on.

    `titled`: only one with our title too. `beside`: contents that are not meant. Raises Ended where there is no
    telling: the server does not answer, or there are too many to look at.
    """
    ctx = run.ctx
    entries = yield from ctx.list_content()
    if isinstance(entries, Failure):
        raise not_saved(run, entries)
    left = _likely(run, entries, title, beside)
    while left:
        unknown = []
        for entry in left:
            if not ctx.shelf.knows(entry):
                unknown.append(entry)
                continue
            stored = ctx.shelf.get(entry)
            if stored is None or not stored.is_of(run.spec.id, body) or (titled and not stored.is_titled(title)):
                continue
            if not stored.is_titled(title) and any(is_same_title(each.title, title) for each in unknown):
                # Another item is fetching one that may be this very text under our own title.
                unknown.append(entry)
                continue
            # Another item with the same words may have taken it while we asked.
            if _is_free(run, entry.id):
                ctx.owned.add(entry.id)
                return stored
        left = [entry for entry in unknown if _is_free(run, entry.id)]
        mine = next((entry for entry in left if entry.id not in ctx.shelf.asking and not ctx.shelf.knows(entry)), None)
        if mine is not None:
            yield from _fetch(run, mine)
        elif left:
            yield Sleep(ctx.now() + PAUSE)
    return None


def _fetch(run: ItemRun, entry: ContentEntry) -> Generator[Effect, object, None]:
    ctx, shelf = run.ctx, run.ctx.shelf
    most = STRANGERS + 2 * len(ctx.plan.changes)
    if shelf.fetched >= most:
        raise Ended(
            Result.BLOCKED,
            f"not saved: more than {most} stored contents that belong to no item could be its text already",
            "`contentops content list` shows them; delete those nobody needs, then run `contentops apply` again",
        )
    shelf.fetched += 1
    shelf.asking.add(entry.id)
    try:
        answer = yield from ctx.ask(GetContent(entry.id), Priority.SAVE)
    finally:
        shelf.asking.discard(entry.id)
    if isinstance(answer, Content):
        shelf.put(entry, Stored.of(answer))
    elif isinstance(answer, Failure) and answer.kind in _NOT_FOR_US:
        shelf.put(entry, None)
    else:
        # What it holds is not known, so saving could store the text twice.
        raise not_saved(run, answer)


def _is_free(run: ItemRun, content_id: str) -> bool:
    own = run.record.content_id if run.record else ""
    return content_id == own or content_id not in run.ctx.owned


def _likely(run: ItemRun, entries: Sequence[ContentEntry], title: str, beside: Sequence[str]) -> list[ContentEntry]:
    """The contents worth a fetch, likeliest first: titled as ours, then made soonest after the text may have been."""
    since = _since(run)
    ranked = []
    for place, entry in enumerate(entries):
        if entry.id in beside or not _is_free(run, entry.id):
            continue
        made = seconds_of(entry.created_at)
        ours = bool(entry.title) and is_same_title(entry.title, title)
        if ours or _in_time(entry, made, since):
            away = abs(made - since) if made is not None and since is not None else math.inf
            ranked.append((not ours, away, place, entry))
    ranked.sort(key=lambda each: each[:3])
    return [entry for *_, entry in ranked]


def _in_time(entry: ContentEntry, made: float | None, since: float | None) -> bool:
    """Whether a content under another title may be ours: made since the text can have been stored."""
    if since is None:
        return not entry.title
    return made is None or made >= since - SLACK


def _since(run: ItemRun) -> float | None:
    """When the text can first have been stored: at its submit, else after the save on record. None: no telling."""
    record = run.record
    times = [run.entry.submitted_at] if run.entry is not None else []
    times += [record.saved_at, record.generated_at] if record is not None else []
    return next((when for text in times if (when := seconds_of(text)) is not None), None)


def not_saved(run: ItemRun, answer: object) -> Ended:
    """How an item ends whose save, or a look that must come before it, got no good answer."""
    ctx = run.ctx
    if not isinstance(answer, Failure):
        return Ended(Result.FAILED, "the server's answer to the save is not one")
    if answer.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", answer.told, ctx.key_hint(), at_once=True)
    if answer.kind is FailureKind.QUOTA:
        ctx.stop("credits", f"no credits left: {answer.told}", "run `contentops apply` again later", at_once=False)
        return Ended(Result.PENDING, answer.told)
    if answer.kind is FailureKind.THROTTLED:
        return Ended(Result.PENDING, answer.told)
    return Ended(
        Result.FAILED, f"not saved: {answer.told}", "its file is written; run `contentops apply` again to save it"
    )
