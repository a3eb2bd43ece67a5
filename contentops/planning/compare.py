"""One item's four sides, four questions in order: which body, which path, which front matter, which save.

Each question is a function that answers with steps; the change is their union. Nothing else in the program decides
what is done to an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.digest import is_same_json
from contentops.documents.clean import title_digest
from contentops.documents.preset import apply_preset
from contentops.model import Action, Change, JobState, Note, Observed, Reason, Step
from contentops.planning.body import Body, Item, is_edited, is_protected, is_same, saved_body, which_body
from contentops.planning.explain import explain
from contentops.planning.situation import pending, price_of, saves, temporary_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import ItemId, Json, OpenEntry, Record, Spec
    from contentops.planning.situation import Situation


def compare(s: Situation, item: Item) -> tuple[Change | None, tuple[Note, ...]]:
    """What remains to be done for a declared item, or None; and what is worth knowing."""
    body = which_body(s, item)
    drains = tuple(
        entry
        for entry in pending(list(item.entries))
        if entry is not body.entry and entry.state is not JobState.UNKNOWN
    )
    notes = _unknown_notes(item, body)
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
    if {Step.WRITE, Step.UPDATE, Step.MOVE} & set(steps) and (why := s.denied(item.spec.output)):
        held = _unwritable(body, why)
        return _change(s, item, held, steps=(), drains=_with_own_job(held, drains)), notes
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


def _unwritable(body: Body, why: str) -> Body:
    """Nothing is paid for that could not be written afterwards."""
    return Body(
        action=Action.BLOCKED,
        blocked="unwritable-file",
        hint=f"{why}; change its permissions, or set `protected: true` to keep the item as it is",
        reasons=body.reasons,
        entry=body.entry,
    )


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
    hint = f"if it cannot be found: `contentops state resolve {id_} --forget`" if unknown else ""
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
            body=file.body,
            blocked=blocked,
            hint=hint,
        ),
        note,
    )


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
        if is_same_json(before, after) and (key in wanted) == (key in record.metadata):
            continue
        found = item.file.front.get(key)
        if is_same_json(found, before) or is_same_json(found, after):
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


def _kept(id_: ItemId, key: str) -> Note:
    return Note(
        kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and stays as it is"
    )


# --- 4: which save -----------------------------------------------------------------------------------------


def which_save(s: Situation, item: Item, body: Body, title: str | None) -> Body:
    """Whether the server has the title and body that will stand on disk."""
    if not saves(s, item.spec):
        return Body()
    record = item.own
    if body.action is Action.RESTORE and record is not None:
        saved = saved_body(s, record)
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
    return any(not is_same_json(file.front.get(key), value) for key, value in front.items()) or title not in (
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
        body=item.file.body,
        front=dict(front or {}),
        title=title,
        section=body.entry.section if body.entry is not None else body.section,
        renamed_from=item.orphan.id if item.orphan is not None and item.record is None else None,
        definitions=_definitions(s, item, body, steps),
        credits=price_of(item.spec, s.server) if Step.SUBMIT in steps else 0,
        hint=body.hint,
        blocked=body.blocked,
    )


def _definitions(s: Situation, item: Item, body: Body, steps: tuple[Step, ...]) -> Mapping[str, str]:
    """What a text is made, or taken for made, from; an edit that is kept answers the request as it is now."""
    if Step.SUBMIT not in steps and body.action is not Action.KEEP:
        return {}
    request = item.spec.request
    return s.definitions.of(request.template, request.style)


def _unknown_notes(item: Item, body: Body) -> tuple[Note, ...]:
    return tuple(
        Note(
            kind="unknown-outcome",
            id=item.spec.id,
            message=f"`{item.spec.id}`: what became of an earlier submit is not known",
            hint=f"`contentops state resolve {item.spec.id} --forget` drops it",
        )
        for entry in item.entries
        if entry.state is JobState.UNKNOWN and entry is not body.entry
    )


def _protection_notes(s: Situation, item: Item) -> tuple[Note, ...]:
    if item.own is None or not is_protected(item.spec, item.own) or is_same(s, item):
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
