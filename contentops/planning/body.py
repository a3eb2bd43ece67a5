"""The first question: which body. The first row of the table that fits an item's four sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.digest import NOTHING
from contentops.model import Acknowledge, Action, Fetch, JobState, LookUp, Observed, OnEdit, Poll, Reason, Submit
from contentops.planning.explain import explain
from contentops.planning.situation import is_made_by_local, key_of, pending, price_of, saves, tombstones

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contentops.digest import Digest
    from contentops.model import OpenEntry, Record, Spec, Step
    from contentops.planning.situation import Situation

TRIES = 2
"""A digest that failed this often is not submitted again unasked."""


class Body(Struct, frozen=True, kw_only=True):
    """The answer to the first question."""

    action: Action = Action.NONE
    steps: tuple[Step, ...] = ()
    """Those that bring a text, which is then written; or only a record."""
    reasons: tuple[Reason, ...] = ()
    entry: OpenEntry | None = None
    """The open entry that answers the spec."""
    blocked: str = ""
    hint: str = ""

    @property
    def writes(self) -> bool:
        """Whether the file gets another text."""
        return any(not isinstance(step, Acknowledge) for step in self.steps)


class Item(Struct, frozen=True, kw_only=True):
    """One item with everything known of it. `file` is its file where it stands now, `source` that path."""

    spec: Spec
    record: Record | None
    entries: Sequence[OpenEntry]
    file: Observed
    orphan: Record | None = None
    """A gone item's record with this very digest, to be renamed."""

    @property
    def own(self) -> Record | None:
        """The record to compare with: its own, or the orphan's it takes over."""
        return self.record or self.orphan


def which_body(s: Situation, item: Item) -> Body:
    """The first row of the table that fits."""
    rows = (
        _foreign,
        _problem,
        _section,
        _replace,
        _held,
        _open,
        _recorded_same,
        _renamed,
        _stored,
        _failed,
        _new,
        _changed,
    )
    for row in rows:
        if (found := row(s, item)) is not None:
            return found
    raise AssertionError("the table covers every case")


def _foreign(s: Situation, item: Item) -> Body | None:
    owner = s.foreign.get(key_of(item.spec.output))
    if owner is None:
        return None
    hint = f"`{item.spec.output}` belongs to `{owner}`; give this environment an `output` of its own"
    return _block("owned-elsewhere", hint)


def _problem(_: Situation, item: Item) -> Body | None:
    if not item.file.problem:
        return None
    return _block("unreadable-file", item.file.problem)


def is_protected(spec: Spec, record: Record | None) -> bool:
    """Whether an item is protected: by its manifest, or by its record until `protected: false` is applied."""
    origin = spec.origins.get("protected")
    stated = origin is not None and origin.layer != "built-in"
    return spec.protected or (not stated and record is not None and record.protected)


def is_same(s: Situation, item: Item) -> bool:
    """Whether the record answers the very request that is declared."""
    return item.own is not None and item.own.digest == item.spec.digest and not is_made_by_local(s, item.own)


def _held(s: Situation, item: Item) -> Body | None:
    """A protected item with a text keeps it, whatever its spec says now."""
    if item.own is not None and is_protected(item.spec, item.own) and not is_same(s, item):
        return _missing(s, item) if not item.file.exists else Body()
    return None


def _replace(s: Situation, item: Item) -> Body | None:
    if item.spec.id not in s.choice.replace or item.own is None or is_protected(item.spec, item.own):
        return None
    if any(
        entry.digest == item.spec.digest and entry.attempt > item.own.attempt for entry in pending(list(item.entries))
    ):
        return None  # the replacement is under way already: it is finished, not paid for again
    if s.interrupted and is_same(s, item) and _is_unsaved(s, item, item.own):
        # Its text came just before the stop: the same command again is there to finish, not to pay for another.
        return Body(hint=f"the text that came before the stop; `--replace {item.spec.id}` again for another one")
    attempt = 1 + max([item.own.attempt, *(entry.attempt for entry in item.entries)])
    reasons = (Reason(kind="replace", detail="asked for with `--replace`"), *_lost_words(item))
    return Body(action=Action.REGENERATE, steps=_generation(s, item, attempt), reasons=reasons)


def _is_unsaved(s: Situation, item: Item, own: Record) -> bool:
    """Whether the text the record brought stands in the file and has not reached the server yet."""
    return saves(s, item.spec) and item.file.body == own.generated != saved_body(s, own)


def _section(s: Situation, item: Item) -> Body | None:
    """One section generated anew, in the text the server has: so that text must be the one in the file."""
    heading = s.choice.sections.get(item.spec.id)
    if heading is None or any(entry.digest == item.spec.digest for entry in pending(list(item.entries))):
        return None  # one under way is finished, not paid for again
    record = item.record
    if record is None or not is_same(s, item) or not item.file.exists:
        return _block(
            "no-text", "only a section of a text that is as its manifest says can be generated anew; apply first"
        )
    if is_protected(item.spec, record):
        return _block("protected", "it is protected; apply `protected: false` first to lift it")
    if not record.content_id or record.server != s.server or saved_body(s, record) != item.file.body:
        return _block("not-saved", f"the server does not have the text of `{item.file.path}` as it is; apply first")
    reason = Reason(kind="section", detail=f"`{heading}` is generated anew, as asked for")
    attempt = 1 + max([record.attempt, *(entry.attempt for entry in item.entries)])
    return Body(action=Action.REGENERATE, steps=_generation(s, item, attempt, heading), reasons=(reason,))


def _open(s: Situation, item: Item) -> Body | None:
    """An open entry of this very digest answers the spec; nothing is submitted beside it."""
    entry = next((entry for entry in reversed(pending(list(item.entries))) if entry.digest == item.spec.digest), None)
    if entry is None or _given_up(s, item, entry):
        return None
    why = _why(s, item)
    lost = s.server == "local" and s.stored(entry.digest) is None
    if entry.state in (JobState.SUBMITTING, JobState.UNKNOWN) or lost:
        return _resolve(s, item, entry, why)
    held, why = _weighed(s, item, why, entry)
    if held is not None:
        return held
    paid = entry.state is JobState.PAID
    bring = Fetch(digest=entry.digest, entry=entry) if paid else Poll(entry=entry)
    reason = Reason(kind="open-job", detail=f"job `{entry.job_id}` is {'paid for' if paid else 'running'}")
    return Body(action=Action.FINISH, steps=(bring,), reasons=(*why, reason), entry=entry)


def _given_up(s: Situation, item: Item, entry: OpenEntry) -> bool:
    """Whether a person kept the file in place of what a lost submit may have brought."""
    unclear = entry.state in (JobState.SUBMITTING, JobState.UNKNOWN)
    return unclear and item.own is not None and is_same(s, item) and entry.attempt <= item.own.attempt


def _weighed(
    s: Situation, item: Item, why: tuple[Reason, ...], entry: OpenEntry
) -> tuple[Body | None, tuple[Reason, ...]]:
    """What holds the text of an open entry back from the file, or None; and why it is written, with what is lost."""
    if not item.file.exists or _is_this_text(s, item, entry):
        return None, why
    if not _asked_for(s, item, entry) and (held := _edit_choice(s, item, why, entry)) is not None:
        return held, why
    return None, (*why, *(_edit_reason(item) if entry.section else _lost_words(item)))


def _asked_for(s: Situation, item: Item, entry: OpenEntry) -> bool:
    """Whether the entry is what this very command asks for in place of the file as it is, edited or not."""
    if item.own is None or entry.attempt <= item.own.attempt:
        return False
    if item.spec.id in s.choice.sections:
        # All but the section stays, so the rest of the file must be what the server has.
        return bool(entry.section) and saved_body(s, item.own) == item.file.body
    return item.spec.id in s.choice.replace


def _is_this_text(s: Situation, item: Item, entry: OpenEntry) -> bool:
    """Whether the file already holds what the entry brings: a write whose record was lost.

    Only where nobody knows that text any more does the provenance block decide: a person may have edited the body.
    """
    stored = s.stored(entry.digest)
    known = {entry.body, stored.body if stored is not None else NOTHING} - {NOTHING}
    return item.file.body in known if known else _is_ours(item)


def _resolve(s: Situation, item: Item, entry: OpenEntry, why: tuple[Reason, ...]) -> Body:
    held, why = _weighed(s, item, why, entry)
    if held is not None:
        return held
    known = entry.state in (JobState.RUNNING, JobState.PAID)
    detail = f"job `{entry.job_id}` is open" if known else entry.error or "the answer to its submit was lost"
    reason = Reason(kind="open-job" if known else "unknown-outcome", detail=detail)
    steps: tuple[Step, ...] = (LookUp(entry=entry), *_generation(s, item, entry.attempt, entry.section))
    if s.choice.resubmit_unknown:
        steps = (LookUp(entry=entry), *_generation(s, item, entry.attempt + 1, entry.section))
        hint = "submitted again as asked if it cannot be found"
    elif s.honours_ids is False:
        steps = (LookUp(entry=entry), Poll())
        hint = f"if it cannot be found: `contentops state resolve {item.spec.id}` or `apply --resubmit-unknown`"
    else:
        hint = "submitted again only if the server proves that it never arrived"
    return Body(
        action=Action.FINISH if known else Action.RESOLVE,
        steps=steps,
        reasons=(*why, reason),
        entry=entry,
        hint="" if known else hint,
    )


def _recorded_same(s: Situation, item: Item) -> Body | None:
    if not is_same(s, item) or item.record is None:
        return None
    return Body() if item.file.exists else _missing(s, item)


def _missing(s: Situation, item: Item) -> Body:
    """The file is gone and its text is still wanted."""
    record = item.own
    assert record is not None
    if item.spec.output == record.output or not s.observe(item.spec.output).exists:
        stored = s.stored(record.digest) if record.server == s.server else None
        wanted = {record.saved.body if record.saved else NOTHING, record.generated} - {NOTHING}
        here = stored is not None and stored.body in wanted
        if not here and s.server == "local" and len(wanted) == 1 and is_same(s, item):
            # Each clone has its own embedded server; what it does not have is made again, free.
            reason = Reason(kind="missing", detail=f"`{record.output}` is gone, and this clone's server never had it")
            return _generate(s, item, Action.REGENERATE, (reason,))
        there = record.server == s.server and bool(record.content_id or record.job_id) and bool(wanted)
        if here or there:
            reason = Reason(kind="missing", detail=f"`{record.output}` is gone")
            fetch = Fetch(digest=record.digest, recorded=True)
            return Body(action=Action.RESTORE, steps=(fetch,), reasons=(reason,))
        hint = f"neither cache nor server has its text; `--replace {item.spec.id}` generates it again"
        return _block("text-lost", hint)
    return _block("foreign-file", _foreign_hint(s, item.spec.output))


def _failed(s: Situation, item: Item) -> Body | None:
    failed = tombstones(list(item.entries), item.spec.digest)
    if len(failed) < TRIES or item.spec.id in s.choice.replace:
        return None
    said = failed[-1].error
    return _block(
        "failed-twice",
        f"the server said: {said}; change its spec, bump `revision`, or `--replace {item.spec.id}`",
        reasons=(Reason(kind="failed", detail=said),),
    )


def _renamed(s: Situation, item: Item) -> Body | None:
    """A gone item's record answers this very request: the file moves, nothing is generated."""
    if item.orphan is None or not is_same(s, item):
        return None
    reason = Reason(kind="renamed", before=item.orphan.id, after=item.spec.id, detail="same request, new id")
    if item.file.exists:
        return Body(action=Action.RENAME, steps=(Acknowledge(),), reasons=(reason,))
    found = _missing(s, item)
    return structs.replace(found, reasons=(reason, *found.reasons))


def _stored(s: Situation, item: Item) -> Body | None:
    """A finished text of this server for this very request is in the cache: written without paying again."""
    stored = s.stored(item.spec.digest)
    if stored is None or (stored.item != item.spec.id and stored.item in {spec.id for spec in s.desired.specs}):
        return None
    why = _why(s, item)
    if item.file.exists and item.file.body != stored.body:
        if (held := _edit_choice(s, item, why, None)) is not None:
            return held
        why = (*why, *_lost_words(item))
    reason = Reason(kind="stored", detail="a finished text for this request is in the cache")
    return Body(action=Action.FINISH, steps=(Fetch(digest=item.spec.digest),), reasons=(*why, reason))


def _new(s: Situation, item: Item) -> Body | None:
    if item.own is not None:
        return None
    why = _why(s, item)
    if item.file.exists:
        if (held := _edit_choice(s, item, why, None)) is not None:
            return held
        return _generate(s, item, Action.OVERWRITE, why)
    return _generate(s, item, Action.CREATE, why)


def _changed(s: Situation, item: Item) -> Body | None:
    why = _why(s, item)
    record = item.own
    assert record is not None
    if item.file.exists and not is_edited(item.file, record, item.entries):
        return _generate(s, item, Action.REGENERATE, why)
    if not item.file.exists and record.generated and saved_body(s, record) == record.generated:
        return _generate(s, item, Action.REGENERATE, why)
    if (held := _edit_choice(s, item, why, None)) is not None:
        return held
    return _generate(s, item, Action.OVERWRITE, (*why, *_lost_words(item)))


def _generate(s: Situation, item: Item, action: Action, why: tuple[Reason, ...]) -> Body:
    failed = tombstones(list(item.entries), item.spec.digest)
    reasons = why + tuple(Reason(kind="failed-before", detail=entry.error) for entry in failed)
    attempt = 1 + max((entry.attempt for entry in failed), default=0)
    return Body(action=action, steps=_generation(s, item, attempt), reasons=reasons)


def _generation(s: Situation, item: Item, attempt: int, section: str = "") -> tuple[Step, ...]:
    """The steps that pay for a text and bring it."""
    spec = item.spec
    price = price_of(spec, s.server)
    submit = Submit(request=spec.request, digest=spec.digest, attempt=attempt, credits=price, section=section)
    return submit, Poll()


def is_edited(file: Observed, record: Record, entries: Sequence[OpenEntry] = ()) -> bool:
    """Whether the body on disk is not the last text a job made for this item.

    A paid text that no record carries yet counts too: its file may have been written just before a stop.
    """
    ours = {record.generated, *(entry.body for entry in entries if entry.state is JobState.PAID)}
    return file.exists and file.body not in ours


def _edit_choice(s: Situation, item: Item, why: tuple[Reason, ...], entry: OpenEntry | None) -> Body | None:
    """What `on_edit` says where a person's words stand in the way; None: go on and overwrite."""
    record = item.own
    if record is not None and item.file.exists and not is_edited(item.file, record, item.entries):
        return None
    if record is None and _is_ours(item):
        reason = Reason(kind="own-output", detail=f"`{item.file.path}` was written for this very request")
        # Its job, if it is still open, is drained: the entry is not this change's own.
        return Body(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=(*why, reason))
    choice = s.choice.on_edit or item.spec.on_edit
    reasons = (*why, *_edit_reason(item))
    if choice is OnEdit.OVERWRITE:
        return None
    if choice is OnEdit.KEEP and item.file.exists and record is not None:
        return Body(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    if choice is OnEdit.MERGE:
        hint = "`on_edit: merge` is not available yet; use `keep` or `overwrite`"
        return _block("merge-unavailable", hint, reasons=reasons, entry=entry)
    if record is None:
        return _block("foreign-file", _foreign_hint(s, item.file.path), reasons=reasons, entry=entry)
    if not item.file.exists:
        hint = f"`{item.file.path}` is gone and its text was not saved; `--on-edit overwrite` generates the new one"
        return _block("missing", hint, reasons=reasons, entry=entry)
    hint = f"`{item.file.path}` was edited by hand; `--on-edit keep` or `overwrite`, or `on_edit` in the manifest"
    if entry is not None and is_same(s, item):
        take = "--on-edit overwrite" if entry.section else f"--replace {item.spec.id}"
        hint = f"`{item.file.path}` was edited by hand; `{take}` puts the text under way in its place, `--on-edit keep`"
        hint += " keeps the file"
    return _block("edited", hint, reasons=reasons, entry=entry)


def _is_ours(item: Item) -> bool:
    """Whether a file nobody recorded says that it was written for this item and this request."""
    return item.file.owner == item.spec.id and item.file.provenance.get("digest") == item.spec.digest


def _foreign_hint(s: Situation, path: str) -> str:
    owner = next((record.id for record in s.state.records.values() if key_of(record.output) == key_of(path)), None)
    if owner is not None:
        return f"`{path}` belongs to `{owner}`; `--prune` removes it where no manifest declares that item any more"
    return f"`{path}` exists and no record owns it; move it away, or `--on-edit overwrite` to replace it"


def _edit_reason(item: Item) -> tuple[Reason, ...]:
    record = item.own
    if record is None or not item.file.exists or not is_edited(item.file, record, item.entries):
        return ()
    return (Reason(kind="edited", detail=f"`{item.file.path}` was edited by hand"),)


def _lost_words(item: Item) -> tuple[Reason, ...]:
    """The reason that tells of a person's words which the new text takes the place of."""
    return tuple(
        structs.replace(reason, detail=f"{reason.detail}, and that text is replaced") for reason in _edit_reason(item)
    )


def _why(s: Situation, item: Item) -> tuple[Reason, ...]:
    record = item.own
    if record is None:
        return (Reason(kind="new"),)
    made = (Reason(kind="made-by-local", detail="made by the embedded server"),) if is_made_by_local(s, record) else ()
    return made + explain(item.spec, record)


def _block(kind: str, hint: str, *, reasons: tuple[Reason, ...] = (), entry: OpenEntry | None = None) -> Body:
    return Body(action=Action.BLOCKED, blocked=kind, hint=hint, reasons=reasons, entry=entry)


def saved_body(s: Situation, record: Record) -> Digest:
    """Body digest this server has for the record; under another server it has nothing."""
    return record.saved.body if record.saved and record.server == s.server else NOTHING
