"""Tell `/content/save` what stands in the file, without overwriting anybody's edit and without storing it twice."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from contentops.api.calls import GetContent, PutContent, Save
from contentops.api.replies import Content, Failure, FailureKind, SavedReply
from contentops.digest import NOTHING
from contentops.document.clean import body_digest, clean_title, title_digest
from contentops.executor.context import FETCHES, RETRY_FOR, seconds_of
from contentops.executor.effects import Priority, Send, Sleep
from contentops.executor.files import base_record, note
from contentops.executor.item import Ended, ItemRun
from contentops.model import Result, Saved

if TYPE_CHECKING:
    from collections.abc import Generator

    from contentops.api.replies import ContentEntry
    from contentops.digest import Digest
    from contentops.executor.effects import Effect

SENDS = 4
"""Saves of one text whose answers are lost before its item gives up."""
SLACK = 900.0
"""Seconds our clock and the server's may differ when contents are matched by time."""


def save(run: ItemRun) -> Generator[Effect, object, None]:
    """Bring the server's content up to the file's title and body."""
    ctx, record, text = run.ctx, run.record, run.text
    assert record is not None
    if run.fresh and text is not None:
        title, body = record.title, text.body  # written a moment ago: what is in the file need not be read again
    else:
        seen = ctx.outputs.observe(run.path)
        if not seen.exists or seen.problem:
            raise Ended(Result.BLOCKED, seen.problem or f"`{run.path}` is gone", "run `contentops plan`")
        title, body = seen.title, _body(run)
    if text is not None and text.content_id and (title, body_digest(body)) == (text.title, body_digest(text.body)):
        _saved(run, text.content_id, title, body, given=True)
        return
    known = text.content_id if text is not None and text.content_id and not run.restored else record.content_id
    if known and (yield from _may_overwrite(run, known)):
        yield from _overwrite(run, known, title, body)
    else:
        # Not knowing yet whether the server stores finished jobs by itself is reason enough to look.
        yield from _create(run, title, body, careful=not _first(run) or ctx.traits.stores_jobs is not False)


def _body(run: ItemRun) -> str:
    from contentops.document.front_matter import split

    return split(run.ctx.outputs.read(run.path)).body


def _may_overwrite(run: ItemRun, content_id: str) -> Generator[Effect, object, bool]:
    """Whether the stored content is still what we last knew; False if it was deleted there.

    Raises Ended where a person edited it in WriterzRoom.
    """
    answer = yield from run.ctx.ask(GetContent(content_id), Priority.SAVE)
    if isinstance(answer, Content):
        known_titles, known_bodies = _known(run)
        body_there, title_there = body_digest(answer.body), title_digest(clean_title(answer.title))
        if body_there in known_bodies and (not answer.title or not known_titles or title_there in known_titles):
            return True
        raise Ended(
            Result.BLOCKED,
            f"content `{content_id}` was edited in WriterzRoom since it was last saved",
            f"take that text into `{run.path}` or delete the content there, then run `contentops apply` again",
        )
    assert isinstance(answer, Failure)
    if answer.kind is FailureKind.NOT_FOUND:
        return False
    raise _failed(run, answer)


def _known(run: ItemRun) -> tuple[set[Digest], set[Digest]]:
    """The titles and bodies on the server that are ours: saved, about to be saved, given back, or made by a job."""
    titles = {title_digest(run.ctx.outputs.observe(run.path).title)}
    bodies = {body_digest(_body(run))}
    for record in (run.change.record, run.record):
        if record is None:
            continue
        bodies.add(record.generated)
        titles.add(title_digest(record.title))
        if record.saved is not None:
            bodies |= {record.saved.body, record.saved.server_body, record.saved.sent}
            titles |= {record.saved.title, record.saved.server_title}
    if run.text is not None:
        bodies.add(body_digest(run.text.body))
        titles.add(title_digest(run.text.title))
    return titles - {NOTHING}, bodies - {NOTHING}


def _overwrite(run: ItemRun, content_id: str, title: str, body: str) -> Generator[Effect, object, None]:
    """Store over a content we own; where the server only creates, put, and where it can not, store as new."""
    ctx = run.ctx
    metadata = _metadata(run)
    if ctx.traits.creates_only:
        answer = yield from ctx.ask(PutContent(content_id, title, body, metadata), Priority.SAVE)
        if isinstance(answer, SavedReply):
            _saved(run, content_id, title, body)
            return
        missing = isinstance(answer, Failure) and (
            answer.kind is FailureKind.NOT_FOUND or answer.status in (404, 405, 501)
        )
        if not missing:
            raise _failed(run, answer)
        yield from _create(run, title, body, careful=not _first(run), supersedes=content_id)
        return
    patience = _Patience(run)
    digest = body_digest(body)
    saved = run.record.saved if run.record is not None else None
    if saved is not None and saved.sent == digest and (found := (yield from _arrived(run, content_id, title, body))):
        # An earlier run was about to save this very text, and did.
        _overwritten(run, content_id, found, title, body)
        return
    while True:
        reply = yield Send(Save(title, body, content_id, metadata), Priority.SAVE, lambda: _about_to_send(run, digest))
        if isinstance(reply, SavedReply):
            _overwritten(run, content_id, reply.content_id, title, body)
            return
        lost = yield from patience.bear(reply)
        if lost and (found := (yield from _arrived(run, content_id, title, body))):
            _overwritten(run, content_id, found, title, body)
            return


def _about_to_send(run: ItemRun, digest: Digest) -> None:
    """Record that this body may stand on the server from now on."""
    record = run.record
    if record is not None and record.saved is not None and record.saved.sent != digest:
        note(run, "saving", dataclasses.replace(record, saved=dataclasses.replace(record.saved, sent=digest)))


def _overwritten(run: ItemRun, content_id: str, answered: str, title: str, body: str) -> None:
    if answered != content_id:
        run.ctx.traits.creates_only = True
    _saved(run, answered, title, body, supersedes=content_id if answered != content_id else "")


def _arrived(run: ItemRun, content_id: str, title: str, body: str) -> Generator[Effect, object, str]:
    """Where a save with an id and a lost answer went: over that content, or, on a server that only creates, beside."""
    answer = yield from run.ctx.ask(GetContent(content_id), Priority.SAVE)
    if isinstance(answer, Content) and body_digest(answer.body) == body_digest(body):
        # With another title it has not arrived, and sending it again does no harm.
        return content_id if clean_title(answer.title) == clean_title(title) else ""
    found = yield from _find_saved(run, body)
    return found.id if found is not None else ""


def _first(run: ItemRun) -> bool:
    """Whether no earlier save of this text can have been lost: only where this very run has paid for it."""
    return run.fresh and run.intended is not None


class _Patience:
    """How long a save is tried again."""

    def __init__(self, run: ItemRun) -> None:
        self._run, self._tries = run, 0
        self._began: float | None = None

    def bear(self, answer: object) -> Generator[Effect, object, bool]:
        """Wait until the save may be tried again; whether it may have arrived. Raises Ended if there is no point."""
        run, ctx = self._run, self._run.ctx
        self._began = ctx.now() if self._began is None else self._began
        if not isinstance(answer, Failure):
            raise _failed(run, answer)
        if answer.kind is FailureKind.THROTTLED:
            if not ctx.may_wait(answer, self._began):
                raise Ended(Result.PENDING)
            return False
        passing = answer.kind in (FailureKind.NOT_SENT, FailureKind.AMBIGUOUS, FailureKind.UNAVAILABLE)
        self._tries += 1
        lost = answer.kind is not FailureKind.NOT_SENT
        if not passing or ctx.now() - self._began > RETRY_FOR or (lost and self._tries >= SENDS):
            raise _failed(run, answer)
        yield Sleep(ctx.now() + max(ctx.backoff(self._tries), min(answer.retry_after or 0.0, RETRY_FOR)))
        return lost


def _create(
    run: ItemRun, title: str, body: str, *, careful: bool, supersedes: str = ""
) -> Generator[Effect, object, None]:
    """Store as new; look first where an earlier save may have arrived, and again where the answer is lost."""
    patience = _Patience(run)
    while True:
        found = (yield from _find_saved(run, body)) if careful else None
        if careful and run.intended is not None and run.ctx.traits.stores_jobs is None:
            # Nobody but the server itself can have stored a text that this run has only just paid for.
            run.ctx.traits.stores_jobs = found is not None
        if found is not None:
            if clean_title(found.title) == clean_title(title):
                _saved(run, found.id, title, body, supersedes=supersedes)
            else:
                yield from _overwrite(run, found.id, title, body)
            return
        answer = yield Send(Save(title, body, "", _metadata(run)), Priority.SAVE)
        if isinstance(answer, SavedReply):
            _saved(run, answer.content_id, title, body, supersedes=supersedes)
            return
        careful = (yield from patience.bear(answer)) or careful


def _find_saved(run: ItemRun, body: str) -> Generator[Effect, object, Content | None]:
    """A stored content that no other item owns and whose body is ours, or None; it is ours from now on."""
    ctx = run.ctx
    entries = yield from ctx.list_content()
    if isinstance(entries, Failure):
        raise _failed(run, entries)
    title = run.record.title if run.record is not None else ""
    # Those titled as ours first: many items may have been stored since.
    likely = sorted(
        (entry for entry in entries if _may_be_ours(run, entry)), key=lambda entry: clean_title(entry.title) != title
    )
    for entry in likely[:FETCHES]:
        content = yield from ctx.ask(GetContent(entry.id), Priority.SAVE)
        # Another item with the same words may have taken it while we asked.
        if isinstance(content, Content) and body_digest(content.body) == body_digest(body) and _free(run, content.id):
            ctx.owned.add(content.id)
            return content
    return None


def _free(run: ItemRun, content_id: str) -> bool:
    own = run.record.content_id if run.record else ""
    return content_id == own or content_id not in run.ctx.owned


def _may_be_ours(run: ItemRun, entry: ContentEntry) -> bool:
    """Whether a stored content is worth a fetch: no other item's, and made since the submit or titled as ours."""
    record, open_ = run.record, run.entry
    made = seconds_of(entry.created_at)
    if not _free(run, entry.id):
        return False
    if made is None or (record is not None and entry.title and clean_title(entry.title) == record.title):
        return True
    sent = seconds_of(open_.submitted_at) if open_ is not None else None
    since = sent if sent is not None else seconds_of(record.generated_at) if record is not None else None
    return since is None or made >= since - SLACK


def _metadata(run: ItemRun) -> dict[str, object]:
    """What makes a stored content findable again."""
    record = run.record
    found = {"contentops_item": run.spec.id, "contentops_digest": run.spec.digest}
    if record is not None and record.request_id:
        found["request_id"] = record.request_id
    return dict(found)


def _saved(run: ItemRun, content_id: str, title: str, body: str, *, given: bool = False, supersedes: str = "") -> None:
    """Record what the server has now. `given`: it gave this very text itself."""
    ctx, record = run.ctx, run.record
    assert record is not None
    body_now: Digest = body_digest(body)
    title_now = title_digest(clean_title(title))
    old = supersedes or (record.content_id if record.content_id != content_id else "")
    superseded = record.superseded
    if old and old not in superseded:
        superseded = (*superseded, old)
    ctx.owned.add(content_id)
    saved = Saved(
        title=title_now,
        body=body_now,
        server_title=title_now if given else NOTHING,
        server_body=body_now if given else NOTHING,
    )
    done = dataclasses.replace(
        base_record(run), saved=saved, content_id=content_id, superseded=superseded, saved_at=ctx.iso()
    )
    note(run, "save", done)
    ctx.event("step-done", run.spec.id, "save", content=content_id)


def _failed(run: ItemRun, answer: object) -> Ended:
    ctx = run.ctx
    if not isinstance(answer, Failure):
        return Ended(Result.FAILED, "the server's answer to the save is not one")
    if answer.kind is FailureKind.UNAUTHORIZED:
        ctx.stop("unauthorized", answer.message, ctx.key_hint(), at_once=True)
    if answer.kind is FailureKind.QUOTA:
        ctx.stop("credits", f"no credits left: {answer.message}", "run `contentops apply` again later", at_once=False)
        return Ended(Result.PENDING, answer.message)
    if answer.kind is FailureKind.THROTTLED:
        return Ended(Result.PENDING, answer.message)
    return Ended(
        Result.FAILED, f"not saved: {answer.message}", "its file is written; run `contentops apply` again to save it"
    )
