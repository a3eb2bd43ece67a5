"""One item's four sides, four questions in order: which body, which path, which front matter, which save.

Each question is a function that answers with steps; the change is their union. Nothing else in the program decides
what is done to an item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.digest import NOTHING, canonical
from contentops.document.clean import title_digest
from contentops.document.preset import apply_preset
from contentops.model import Action, Change, JobState, Note, Observed, OnEdit, Reason, Step
from contentops.planner.explain import explain
from contentops.planner.situation import key_of, pending, temporary_name, tombstones

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import ItemId, Json, OpenEntry, Record, Spec
    from contentops.planner.situation import Situation

GENERATE = (Step.SUBMIT, Step.POLL, Step.WRITE)
TRIES = 2
"""A digest that failed this often is not submitted again unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The answer to the first question."""

    action: Action = Action.NONE
    steps: tuple[Step, ...] = ()
    reasons: tuple[Reason, ...] = ()
    entry: OpenEntry | None = None
    attempt: int = 1
    blocked: str = ""
    hint: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
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


def compare(s: Situation, item: Item) -> tuple[Change | None, tuple[Note, ...]]:
    """What remains to be done for a declared item, or None; and what is worth knowing."""
    body = which_body(s, item)
    drains = tuple(
        entry
        for entry in pending(list(item.entries))
        if entry is not body.entry and entry.state is not JobState.UNKNOWN
    )
    notes = _unknown_notes(item)
    notes += _protection_notes(s, item)
    if body.blocked:
        return _change(s, item, body, steps=(), drains=_with_own_job(body, drains)), notes
    path = which_path(item, body)
    front, title, front_reasons, front_notes = which_front_matter(s, item, body)
    save = which_save(s, item, body, title)
    steps = _union(s, item, body, path, front, title, save, front_reasons)
    reasons = body.reasons + path.reasons + front_reasons + save.reasons + _id_reason(s, item)
    notes += front_notes
    if not steps and not drains:
        return None, notes
    action = next((found for found in (body.action, path.action) if found is not Action.NONE), Action.NONE)
    if action is Action.NONE:
        action = _light_action(steps)
    merged = Body(
        action=action,
        steps=steps,
        reasons=reasons,
        entry=body.entry,
        attempt=body.attempt,
        hint=body.hint,
        section=body.section,
    )
    return _change(s, item, merged, steps=steps, drains=drains, front=front, title=title), notes


def gone(
    s: Situation, record: Record | None, entries: Sequence[OpenEntry], *, shared: bool = False
) -> tuple[Change | None, Note | None]:
    """What remains for an item that no manifest declares any more: drain, and remove if asked.

    `shared`: a declared item owns the path now, so only the record may go.
    """
    file = s.observe(record.output) if record and not shared else Observed(path="")
    drains = tuple(pending(list(entries)))
    unknown = any(entry.state is JobState.UNKNOWN for entry in drains)
    id_ = record.id if record else entries[0].item
    note = None
    steps: tuple[Step, ...] = (Step.DRAIN,) if drains else ()
    action = Action.RESOLVE if unknown else Action.DRAIN
    reasons: tuple[Reason, ...] = (Reason(kind="gone", detail="no manifest declares it"),)
    blocked = ""
    hint = f"if it can not be found: `contentops state resolve {id_} --forget`" if unknown else ""
    if record is not None:
        if record.protected:
            note = Note(kind="orphan", id=id_, message=f"`{id_}` is in no manifest; protected, so it stays")
        elif not s.choice.prune:
            stays, removed = "its record stays", "its record"
            if file.exists:
                stays, removed = f"its file `{record.output}` stays", "its record and its file"
            note = Note(
                kind="orphan",
                id=id_,
                message=f"`{id_}` is in no manifest; {stays}",
                hint=f"`--prune` removes {removed}, `moved` gives it a new id",
            )
        elif file.exists and (file.problem or is_edited(file, record, entries)):
            blocked, hint = (
                "edited",
                f"`{record.output}` was edited by hand; remove the file yourself, or declare the item again",
            )
        else:
            steps, action = (*steps, Step.REMOVE), Action.REMOVE
    if blocked:
        action, steps = Action.BLOCKED, ()
    if not steps and not blocked:
        return None, note
    return (
        Change(
            id=id_,
            action=action,
            steps=steps,
            reasons=reasons,
            record=record,
            drains=drains,
            target=file.path,
            expected=file.file,
            blocked=blocked,
            hint=hint,
        ),
        note,
    )


# --- 1: which body -----------------------------------------------------------------------------------------


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


def _same(s: Situation, item: Item) -> bool:
    return item.own is not None and item.own.digest == item.spec.digest and not _by_local(s, item.own)


def _by_local(s: Situation, record: Record) -> bool:
    return record.server == "local" and s.server != "local"


def _held(s: Situation, item: Item) -> Body | None:
    """A protected item with a text keeps it, whatever its spec says now."""
    if item.own is not None and is_protected(item.spec, item.own) and not _same(s, item):
        return _missing(s, item) if not item.file.exists else Body()
    return None


def _replace(s: Situation, item: Item) -> Body | None:
    if item.spec.id not in s.choice.replace or item.own is None or is_protected(item.spec, item.own):
        return None
    if any(
        entry.digest == item.spec.digest and entry.attempt > item.own.attempt for entry in pending(list(item.entries))
    ):
        return None  # the replacement is under way already: it is finished, not paid for again
    attempt = 1 + max([item.own.attempt, *(entry.attempt for entry in item.entries)])
    reasons = (Reason(kind="replace", detail="asked for with `--replace`"), *_edit_reason(item))
    return Body(action=Action.REGENERATE, steps=GENERATE, reasons=reasons, attempt=attempt)


def _section(s: Situation, item: Item) -> Body | None:
    """One section generated anew, in the text the server has: so that text must be the one in the file."""
    heading = s.choice.sections.get(item.spec.id)
    if heading is None or any(entry.digest == item.spec.digest for entry in pending(list(item.entries))):
        return None  # one under way is finished, not paid for again
    record = item.record
    if record is None or not _same(s, item) or not item.file.exists:
        return _block(
            "no-text", "only a section of a text that is as its manifest says can be generated anew; apply first"
        )
    if is_protected(item.spec, record):
        return _block("protected", "it is protected; apply `protected: false` first to lift it")
    if not record.content_id or record.server != s.server or _saved(s, record) != item.file.body:
        return _block("not-saved", f"the server does not have the text of `{item.file.path}` as it is; apply first")
    reason = Reason(kind="section", detail=f"`{heading}` is generated anew, as asked for")
    attempt = 1 + max([record.attempt, *(entry.attempt for entry in item.entries)])
    return Body(action=Action.REGENERATE, steps=GENERATE, reasons=(reason,), attempt=attempt, section=heading)


def _open(s: Situation, item: Item) -> Body | None:
    """An open entry of this very digest answers the spec; nothing is submitted beside it."""
    entry = next((entry for entry in reversed(pending(list(item.entries))) if entry.digest == item.spec.digest), None)
    if entry is None:
        return None
    why = _why(s, item)
    lost = s.server == "local" and s.stored(entry.digest) is None
    if entry.state in (JobState.SUBMITTING, JobState.UNKNOWN) or lost:
        return _resolve(s, item, entry, why)
    foreign = item.file.exists and not _is_this_text(s, item, entry)
    if foreign and (held := _edit_choice(s, item, why, entry)) is not None:
        return held
    bring = Step.FETCH if entry.state is JobState.PAID else Step.POLL
    reason = Reason(
        kind="open-job", detail=f"job `{entry.job_id}` is {'paid for' if bring is Step.FETCH else 'running'}"
    )
    return Body(
        action=Action.FINISH, steps=(bring, Step.WRITE), reasons=(*why, reason), entry=entry, attempt=entry.attempt
    )


def _is_this_text(s: Situation, item: Item, entry: OpenEntry) -> bool:
    """Whether the file already holds what the entry brings: a write whose record was lost.

    Only where nobody knows that text any more does the provenance block decide: a person may have edited the body.
    """
    stored = s.stored(entry.digest)
    known = {entry.body, stored.body if stored is not None else NOTHING} - {NOTHING}
    return item.file.body in known if known else _is_ours(item)


def _resolve(s: Situation, item: Item, entry: OpenEntry, why: tuple[Reason, ...]) -> Body:
    foreign = item.file.exists and not _is_this_text(s, item, entry)
    if foreign and (held := _edit_choice(s, item, why, entry)) is not None:
        return held
    known = entry.state in (JobState.RUNNING, JobState.PAID)
    detail = f"job `{entry.job_id}` is open" if known else entry.error or "the answer to its submit was lost"
    reason = Reason(kind="open-job" if known else "unknown-outcome", detail=detail)
    attempt = entry.attempt
    if s.choice.resubmit_unknown:
        attempt += 1
        steps: tuple[Step, ...] = (Step.LOOKUP, *GENERATE)
        hint = "submitted again as asked if it can not be found"
    elif s.honours_ids is False:
        steps = (Step.LOOKUP, Step.POLL, Step.WRITE)
        hint = f"if it can not be found: `contentops state resolve {item.spec.id}` or `apply --resubmit-unknown`"
    else:
        steps = (Step.LOOKUP, *GENERATE)
        hint = "submitted again only if the server proves that it never arrived"
    return Body(
        action=Action.FINISH if known else Action.RESOLVE,
        steps=steps,
        reasons=(*why, reason),
        entry=entry,
        attempt=attempt,
        hint="" if known else hint,
    )


def _recorded_same(s: Situation, item: Item) -> Body | None:
    if not _same(s, item) or item.record is None:
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
        if not here and s.server == "local" and len(wanted) == 1 and _same(s, item):
            # Each clone has its own embedded server; what it does not have is made again, free.
            reason = Reason(kind="missing", detail=f"`{record.output}` is gone, and this clone's server never had it")
            return _generate(item, Action.REGENERATE, (reason,))
        there = record.server == s.server and bool(record.content_id or record.job_id) and bool(wanted)
        if here or there:
            reason = Reason(kind="missing", detail=f"`{record.output}` is gone")
            return Body(action=Action.RESTORE, steps=(Step.FETCH, Step.WRITE), reasons=(reason,))
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
    if item.orphan is None or not _same(s, item):
        return None
    reason = Reason(kind="renamed", before=item.orphan.id, after=item.spec.id, detail="same request, new id")
    if item.file.exists:
        return Body(action=Action.RENAME, steps=(Step.RECORD,), reasons=(reason,))
    found = _missing(s, item)
    return Body(
        action=found.action, steps=found.steps, reasons=(reason, *found.reasons), blocked=found.blocked, hint=found.hint
    )


def _stored(s: Situation, item: Item) -> Body | None:
    """A finished text of this server for this very request is in the cache: written without paying again."""
    stored = s.stored(item.spec.digest)
    if stored is None or (stored.item != item.spec.id and stored.item in {spec.id for spec in s.desired.specs}):
        return None
    why = _why(s, item)
    if item.file.exists and item.file.body != stored.body and (held := _edit_choice(s, item, why, None)) is not None:
        return held
    reason = Reason(kind="stored", detail="a finished text for this request is in the cache")
    return Body(action=Action.FINISH, steps=(Step.FETCH, Step.WRITE), reasons=(*why, reason))


def _new(s: Situation, item: Item) -> Body | None:
    if item.own is not None:
        return None
    why = _why(s, item)
    if item.file.exists:
        if (held := _edit_choice(s, item, why, None)) is not None:
            return held
        return _generate(item, Action.OVERWRITE, why)
    return _generate(item, Action.CREATE, why)


def _changed(s: Situation, item: Item) -> Body | None:
    why = _why(s, item)
    record = item.own
    assert record is not None
    if item.file.exists and not is_edited(item.file, record, item.entries):
        return _generate(item, Action.REGENERATE, why)
    if not item.file.exists and record.generated and _saved(s, record) == record.generated:
        return _generate(item, Action.REGENERATE, why)
    if (held := _edit_choice(s, item, why, None)) is not None:
        return held
    return _generate(item, Action.OVERWRITE, why)


def _generate(item: Item, action: Action, why: tuple[Reason, ...]) -> Body:
    failed = tombstones(list(item.entries), item.spec.digest)
    reasons = why + tuple(Reason(kind="failed-before", detail=entry.error) for entry in failed)
    attempt = 1 + max((entry.attempt for entry in failed), default=0)
    return Body(action=action, steps=GENERATE, reasons=reasons, attempt=attempt)


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
        return Body(action=Action.KEEP, steps=(Step.RECORD,), reasons=(*why, reason))
    choice = s.choice.on_edit or item.spec.on_edit
    reasons = (*why, *_edit_reason(item))
    if choice is OnEdit.OVERWRITE:
        return None
    if choice is OnEdit.KEEP and item.file.exists and record is not None:
        return Body(action=Action.KEEP, steps=(Step.RECORD,), reasons=reasons)
    if choice is OnEdit.MERGE:
        hint = "`on_edit: merge` is not available yet; use `keep` or `overwrite`"
        return _block("merge-unavailable", hint, reasons=reasons, entry=entry)
    if record is None:
        return _block("foreign-file", _foreign_hint(s, item.file.path), reasons=reasons, entry=entry)
    if not item.file.exists:
        hint = f"`{item.file.path}` is gone and its text was not saved; `--on-edit overwrite` generates the new one"
        return _block("missing", hint, reasons=reasons, entry=entry)
    hint = f"`{item.file.path}` was edited by hand; `--on-edit keep` or `overwrite`, or `on_edit` in the manifest"
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


def _why(s: Situation, item: Item) -> tuple[Reason, ...]:
    record = item.own
    if record is None:
        return (Reason(kind="new"),)
    made = (Reason(kind="made-by-local", detail="made by the embedded server"),) if _by_local(s, record) else ()
    return made + explain(item.spec, record)


def _block(kind: str, hint: str, *, reasons: tuple[Reason, ...] = (), entry: OpenEntry | None = None) -> Body:
    return Body(action=Action.BLOCKED, blocked=kind, hint=hint, reasons=reasons, entry=entry)


# --- 2: which path -----------------------------------------------------------------------------------------


def which_path(item: Item, body: Body) -> Body:
    """Whether the file moves; edited or not."""
    record = item.own
    if record is None or not item.file.exists:
        return Body()
    if record.output == item.spec.output and item.file.path == item.spec.output:
        return Body()
    reason = Reason(kind="moved", field="output", before=record.output, after=item.spec.output)
    action = Action.MOVE if body.action is Action.NONE else Action.NONE
    return Body(action=action, steps=(Step.MOVE,), reasons=(reason,))


# --- 3: which front matter ---------------------------------------------------------------------------------


def wanted_front(s: Situation, spec: Spec) -> tuple[dict[str, Json], str | None]:
    """The front matter keys the manifest states, by the project's preset, and the title if it states one."""
    front = dict(apply_preset(s.project.preset, spec.metadata))
    title = front.pop("title", None)
    return front, title if isinstance(title, str) else None


def which_front_matter(
    s: Situation, item: Item, body: Body
) -> tuple[dict[str, Json], str | None, tuple[Reason, ...], tuple[Note, ...]]:
    """The keys to rewrite (None removes one), the title to write, why, and which values of a person stay."""
    wanted, title = wanted_front(s, item.spec)
    record = item.own
    if record is None or not item.file.exists:
        return wanted, title, (), ()
    changes: dict[str, Json] = {}
    reasons: list[Reason] = []
    notes: list[Note] = []
    for key in sorted(wanted.keys() | record.metadata.keys()):
        before, after = record.metadata.get(key), wanted.get(key)
        if _equal(before, after) and (key in wanted) == (key in record.metadata):
            continue
        found = item.file.front.get(key)
        if _equal(found, before) or _equal(found, after):
            changes[key] = after
            reasons.append(Reason(kind="front-matter", field=f"metadata.{key}", before=before, after=after))
        else:
            notes.append(_kept(item.spec.id, key))
    if item.file.owner not in ("", item.spec.id) and item.file.owner in (record.id, record.moved_from):
        changes["contentops"] = {**item.file.provenance, "item": item.spec.id}
        reasons.append(Reason(kind="front-matter", field="contentops.item", before=item.file.owner, after=item.spec.id))
    if title is not None and item.file.title not in (record.title, title):
        notes.append(_kept(item.spec.id, "title"))
        title = None
    elif title is not None and title != record.title:
        reasons.append(Reason(kind="front-matter", field="metadata.title", before=record.title, after=title))
    elif Step.WRITE not in body.steps:
        title = None
    return changes, title, tuple(reasons), tuple(notes)


def _equal(one: Json, other: Json) -> bool:
    """Whether two values are written alike: `1`, `1.0` and `true` are not."""
    return canonical(one) == canonical(other)


def _kept(id_: ItemId, key: str) -> Note:
    return Note(
        kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and stays as it is"
    )


# --- 4: which save -----------------------------------------------------------------------------------------


def saves(s: Situation, spec: Spec) -> bool:
    """Whether the item's text is told to `/content/save`."""
    return spec.save and s.project.api.save == "auto"


def which_save(s: Situation, item: Item, body: Body, title: str | None) -> Body:
    """Whether the server has the title and body that will stand on disk."""
    if not saves(s, item.spec):
        return Body()
    record = item.own
    if body.action is Action.RESTORE and record is not None:
        saved = _saved(s, record)
        return Body() if saved else Body(steps=(Step.SAVE,))
    if Step.WRITE in body.steps:
        return Body(steps=(Step.SAVE,))
    if not item.file.exists:
        return Body()
    known = record.saved if record is not None and record.server == s.server else None
    title_now = title if title is not None else item.file.title
    if known is not None and known.body == item.file.body and known.title == title_digest(title_now):
        return Body()
    edited = record is not None and is_edited(item.file, record, item.entries)
    why = "never saved to this server" if known is None else "edited by hand" if edited else "not what was last saved"
    return Body(steps=(Step.SAVE,), reasons=(Reason(kind="save", detail=why),))


def _saved(s: Situation, record: Record) -> Digest:
    """Body digest this server has for the record; under another server it has nothing."""
    return record.saved.body if record.saved and record.server == s.server else NOTHING


# --- putting it together -----------------------------------------------------------------------------------


def _id_reason(s: Situation, item: Item) -> tuple[Reason, ...]:
    if item.record is None or item.spec.id not in s.rekeyed:
        return ()
    return (Reason(kind="renamed", before=item.record.moved_from, after=item.spec.id, detail="by `moved`"),)


def _record_lags(s: Situation, item: Item) -> bool:
    """Whether the record alone has something to learn: a new id, protection set or lifted."""
    record = item.record
    return record is not None and (item.spec.id in s.rekeyed or is_protected(item.spec, record) != record.protected)


def _union(
    s: Situation,
    item: Item,
    body: Body,
    path: Body,
    front: Mapping[str, Json],
    title: str | None,
    save: Body,
    front_reasons: tuple[Reason, ...],
) -> tuple[Step, ...]:
    steps = [*path.steps, *body.steps]
    if Step.WRITE not in steps and front_reasons:
        steps.append(Step.UPDATE if _differs(item.file, front, title) else Step.RECORD)
    if not steps and _record_lags(s, item):
        steps.append(Step.RECORD)
    steps += save.steps
    return tuple(dict.fromkeys(steps))


def _differs(file: Observed, front: Mapping[str, Json], title: str | None) -> bool:
    return any(not _equal(file.front.get(key), value) for key, value in front.items()) or title not in (
        None,
        file.title,
    )


def _light_action(steps: tuple[Step, ...]) -> Action:
    if Step.UPDATE in steps or Step.RECORD in steps:
        return Action.UPDATE
    return Action.SAVE if Step.SAVE in steps else Action.DRAIN


def _with_own_job(body: Body, drains: tuple[OpenEntry, ...]) -> tuple[OpenEntry, ...]:
    """A blocked item still polls its own job into the cache, so that what was paid for is kept."""
    if body.entry is not None and body.entry.state is JobState.RUNNING:
        return (body.entry, *drains)
    return drains


def _change(
    s: Situation,
    item: Item,
    body: Body,
    *,
    steps: tuple[Step, ...],
    drains: tuple[OpenEntry, ...],
    front: Mapping[str, Json] | None = None,
    title: str | None = None,
) -> Change:
    record = item.own
    return Change(
        id=item.spec.id,
        action=body.action,
        steps=((Step.DRAIN,) if drains else ()) + steps,
        reasons=body.reasons,
        spec=item.spec,
        record=record,
        entry=body.entry,
        drains=drains,
        attempt=body.attempt,
        target=item.spec.output,
        source=item.file.path if item.file.exists else "",
        expected=item.file.file,
        front=dict(front or {}),
        title=title,
        section=body.entry.section if body.entry is not None else body.section,
        renamed_from=item.orphan.id if item.orphan is not None and item.record is None else None,
        credits=item.spec.request.credits if Step.SUBMIT in steps and s.server != "local" else 0,
        hint=body.hint,
        blocked=body.blocked,
    )


def _unknown_notes(item: Item) -> tuple[Note, ...]:
    return tuple(
        Note(
            kind="unknown-outcome",
            id=item.spec.id,
            message=f"`{item.spec.id}`: what became of a submit of an earlier spec is not known",
            hint=f"`contentops state resolve {item.spec.id} --forget` drops it",
        )
        for entry in item.entries
        if entry.state is JobState.UNKNOWN and entry.digest != item.spec.digest
    )


def _protection_notes(s: Situation, item: Item) -> tuple[Note, ...]:
    if item.own is None or not is_protected(item.spec, item.own) or _same(s, item):
        return ()
    fields = ", ".join(f"`{reason.field}`" for reason in explain(item.spec, item.own)) or "its server"
    return (
        Note(
            kind="protected",
            id=item.spec.id,
            message=f"`{item.spec.id}` is protected: a change of {fields} is not carried out",
            hint="apply `protected: false` first to lift it",
        ),
    )


def find_file(s: Situation, spec: Spec, record: Record | None) -> Observed:
    """An item's file where it stands: the recorded path, or where a move that was cut short left it."""
    if record is None:
        return s.observe(spec.output)
    here = s.observe(record.output)
    if here.exists or record.output == spec.output:
        return here
    for path in (temporary_name(spec.output, spec.id), spec.output):
        there = s.observe(path)
        if there.exists and (there.owner in (record.id, record.moved_from, spec.id) or there.body == record.generated):
            return there
    return here
