"""Tell `/content/save` what stands in the file, without overwriting anybody's edit and without storing it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.api.backoff import RETRY_FOR
from contentops.api.calls import GetContent, PutContent, SaveContent
from contentops.api.replies import Content, Failure, FailureKind, SavedReply
from contentops.digest import NOTHING
from contentops.documents.clean import body_digest, clean_title, title_digest
from contentops.documents.typography import words_digest
from contentops.execution.effects import Priority, Send
from contentops.execution.files import base_record, note
from contentops.execution.given_back import is_restyled, look_back
from contentops.execution.item import Ended, ItemRun
from contentops.execution.searching import find, not_saved
from contentops.execution.shelf import BODY_KEY, ITEM_KEY, SPEC_KEY, Stored
from contentops.model import Result, Saved

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from contentops.digest import Digest
    from contentops.execution.effects import Effect

SENDS = 4
"""Saves of one text whose answers are lost before its item gives up."""


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
        if not run.fetched:
            yield from look_back(run, title, body)
        return
    known = text.content_id if text is not None and text.content_id and not run.restored else record.content_id
    if known and (yield from _may_overwrite(run, known)):
        yield from _overwrite(run, known, title, body)
    else:
        yield from _create(run, title, body, careful=_may_be_stored(run))


def _body(run: ItemRun) -> str:
    from contentops.documents.front_matter import split

    return split(run.ctx.outputs.read(run.path)).body


def _may_overwrite(run: ItemRun, content_id: str) -> Generator[Effect, object, bool]:
    """Whether the stored content is still what we last knew; False if it was deleted there.

    Raises Ended where a person edited it in WriterzRoom.
    """
    ctx = run.ctx
    answer = yield from ctx.ask(GetContent(content_id), Priority.SAVE)
    if isinstance(answer, Content):
        titles, bodies = _known(run)
        stored = Stored.of(answer)
        same_body = bool(stored.bodies & bodies)
        same_title = not stored.title or not titles or title_digest(stored.title) in titles
        if (same_body and same_title) or is_restyled(run, stored, bodies, same_body=same_body, same_title=same_title):
            return True
        raise _edited_there(run, content_id)
    assert isinstance(answer, Failure)
    if answer.kind is FailureKind.NOT_FOUND:
        return False
    raise not_saved(run, answer)


def _edited_there(run: ItemRun, content_id: str) -> Ended:
    return Ended(
        Result.BLOCKED,
        f"content `{content_id}` was edited in WriterzRoom since it was last saved",
        f"`contentops content get {content_id}` shows it. Make that the text of `{run.path}`, or delete the content"
        " in WriterzRoom and the file is saved as new; then run `contentops apply` again",
    )


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


def _overwrite(
    run: ItemRun, content_id: str, title: str, body: str, *, beside: Sequence[str] = ()
) -> Generator[Effect, object, None]:
    """Store over a content we own; where the server only creates, put, and where it cannot, store as new.

    `beside`: contents this very save has tried to store over in vain.
    """
    ctx = run.ctx
    metadata = _metadata(run, body)
    if ctx.traits.creates_only:
        answer = yield from ctx.ask(PutContent(content_id, title, body, metadata), Priority.SAVE)
        if isinstance(answer, SavedReply):
            _saved(run, content_id, title, body, supersedes=beside)
            yield from look_back(run, title, body)
            return
        missing = isinstance(answer, Failure) and (
            answer.kind is FailureKind.NOT_FOUND or answer.status in (404, 405, 501)
        )
        if not missing:
            raise not_saved(run, answer)
        yield from _create(run, title, body, careful=_may_be_stored(run), supersedes=(*beside, content_id))
        return
    patience = _Patience(run)
    digest = body_digest(body)
    saved = run.record.saved if run.record is not None else None
    if saved is not None and saved.sent == digest and (found := (yield from _arrived(run, content_id, title, body))):
        # An earlier run was about to save this very text, and did.
        _overwritten(run, content_id, found.id, title, body, there=found)
        return
    while True:
        reply = yield Send(
            SaveContent(title, body, content_id, metadata), Priority.SAVE, lambda: _about_to_send(run, digest)
        )
        if isinstance(reply, SavedReply):
            _overwritten(run, content_id, reply.content_id, title, body)
            yield from look_back(run, title, body)
            return
        lost = yield from patience.bear(reply)
        if lost and (found := (yield from _arrived(run, content_id, title, body))):
            _overwritten(run, content_id, found.id, title, body, there=found)
            return


def _about_to_send(run: ItemRun, digest: Digest) -> None:
    """Record that this body may stand on the server from now on."""
    record = run.record
    if record is not None and record.saved is not None and record.saved.sent != digest:
        sent = structs.replace(record.saved, sent=digest)
        note(run, "saving", structs.replace(record, saved=sent, plan_id=run.ctx.plan.id))


def _overwritten(
    run: ItemRun, content_id: str, answered: str, title: str, body: str, *, there: Stored | None = None
) -> None:
    if answered != content_id:
        run.ctx.traits.creates_only = True
    _saved(run, answered, title, body, there=there, supersedes=(content_id,) if answered != content_id else ())


def _arrived(run: ItemRun, content_id: str, title: str, body: str) -> Generator[Effect, object, Stored | None]:
    """Where a save with an id and a lost answer went: over that content, or, on a server that only creates, beside."""
    answer = yield from run.ctx.ask(GetContent(content_id), Priority.SAVE)
    if isinstance(answer, Content):
        stored = Stored.of(answer)
        if stored.is_of(run.spec.id, body) and stored.is_titled(title):
            return stored
    # The same text under its old title is what was there before: the new title may have gone into another content.
    return (yield from find(run, title, body, titled=True, beside=(content_id,)))


def _may_be_stored(run: ItemRun) -> bool:
    """Whether this text may be on the server already: by an earlier save, or because the server stores what jobs make.

    No earlier save can have been lost where this very run has paid for the text. Not knowing yet whether the server
    stores finished jobs by itself is reason enough to look.
    """
    first = run.fresh and run.intended is not None
    return not first or run.ctx.traits.stores_jobs is not False


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
            raise not_saved(run, answer)
        if answer.kind is FailureKind.THROTTLED:
            if not ctx.may_wait(answer, self._began):
                raise Ended(Result.PENDING)
            return False
        passing = answer.kind in (FailureKind.NOT_SENT, FailureKind.AMBIGUOUS, FailureKind.UNAVAILABLE)
        self._tries += 1
        lost = answer.kind is not FailureKind.NOT_SENT
        if not passing or ctx.now() - self._began > RETRY_FOR or (lost and self._tries >= SENDS):
            raise not_saved(run, answer)
        yield ctx.pause(self._tries, answer)
        return lost


def _create(
    run: ItemRun, title: str, body: str, *, careful: bool, supersedes: Sequence[str] = ()
) -> Generator[Effect, object, None]:
    """Store as new; look first where an earlier save may have arrived, and again where the answer is lost."""
    patience = _Patience(run)
    while True:
        found = (yield from find(run, title, body, beside=supersedes)) if careful else None
        if careful and run.intended is not None and run.ctx.traits.stores_jobs is None:
            # Nobody but the server itself can have stored a text that this run has only just paid for.
            run.ctx.traits.stores_jobs = found is not None
        if found is not None:
            if found.is_titled(title):
                _saved(run, found.id, title, body, there=found, supersedes=supersedes)
            else:
                yield from _is_still_ours(run, found, body)
                yield from _overwrite(run, found.id, title, body, beside=supersedes)
            return
        answer = yield Send(SaveContent(title, body, "", _metadata(run, body)), Priority.SAVE)
        if isinstance(answer, SavedReply):
            _saved(run, answer.content_id, title, body, supersedes=supersedes)
            yield from look_back(run, title, body)
            return
        careful = (yield from patience.bear(answer)) or careful


def _is_still_ours(run: ItemRun, found: Stored, body: str) -> Generator[Effect, object, None]:
    """Look once more at a content before it is stored over, since it may have been found a while ago. Raises Ended."""
    answer = yield from run.ctx.ask(GetContent(found.id), Priority.SAVE)
    if not isinstance(answer, Content):
        raise not_saved(run, answer)
    stored = Stored.of(answer)
    if body_digest(body) not in stored.bodies and stored.words != words_digest(body):
        raise _edited_there(run, found.id)


def _metadata(run: ItemRun, body: str) -> dict[str, object]:
    """What makes a stored content findable again."""
    record = run.record
    found = {ITEM_KEY: run.spec.id, SPEC_KEY: run.spec.digest, BODY_KEY: body_digest(body)}
    if record is not None and record.request_id:
        found["request_id"] = record.request_id
    return dict(found)


def _saved(
    run: ItemRun,
    content_id: str,
    title: str,
    body: str,
    *,
    given: bool = False,
    there: Stored | None = None,
    supersedes: Sequence[str] = (),
) -> None:
    """Record what the server has now. `given`: it gave this very text itself. `there`: it was found there like this."""
    ctx, record = run.ctx, run.record
    assert record is not None
    body_now: Digest = body_digest(body)
    title_now = title_digest(clean_title(title))
    old = dict.fromkeys((*record.superseded, *supersedes, record.content_id))
    ctx.owned.add(content_id)
    ctx.shelf.forget(content_id)
    saved = Saved(
        title=title_now,
        body=body_now,
        server_title=title_now if given else NOTHING,
        server_body=body_now if given else NOTHING,
    )
    if there is not None and body_now not in there.bodies and there.words == words_digest(body):
        saved = structs.replace(saved, server_title=title_digest(there.title), server_body=there.body)
    done = structs.replace(
        base_record(run),
        saved=saved,
        content_id=content_id,
        superseded=tuple(each for each in old if each not in ("", content_id)),
        saved_at=ctx.iso(),
    )
    note(run, "save", done)
    if body_now != record.generated:
        # No job's text, which the cache has anyway: kept, so that it is known for ours again.
        ctx.cache.put_server_text(ctx.server, content_id, body)
    ctx.event("step-done", run.spec.id, "save", content=content_id)
