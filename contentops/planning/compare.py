"""One item's four sides, four questions in order: which body, which path, which front matter, which save.

Each question is a function that answers with steps; the change is their union. Nothing else in the program decides
what is done to an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import is_same_json
from contentops.documents.clean import title_digest
from contentops.documents.preset import apply_preset
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Drain,
    JobState,
    Move,
    Note,
    Observed,
    Reason,
    Remove,
    Save,
    Update,
    Write,
)
from contentops.planning.body import Body, Item, is_edited, is_protected, is_same, saved_body, which_body
from contentops.planning.explain import explain
from contentops.planning.situation import pending, saves, temporary_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import ItemId, Json, OpenEntry, Record, Spec, Step
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
        return _held(item, body, drains), notes
    move, action, path_reasons = which_path(item, body)
    front, title, front_reasons, front_notes = which_front_matter(s, item, body)
    save, save_reasons = which_save(s, item, body, title)
    steps = _union(s, item, body, move, front, title, save, why=front_reasons)
    notes += front_notes
    if not steps and not drains:
        return None, notes
    if any(isinstance(step, Write | Update | Move) for step in steps) and (why := s.denied(item.spec.output)):
        return _held(item, _unwritable(body, why), drains), notes
    if action is Action.NONE:
        action = _light_action(steps)
    return (
        Change(
            id=item.spec.id,
            action=action,
            file=item.file,
            reasons=body.reasons + path_reasons + front_reasons + save_reasons + _id_reason(s, item),
            steps=(*(Drain(entry=entry) for entry in drains), *steps),
            spec=item.spec,
            record=item.own,
            renamed_from=_renamed_from(item),
            hint=body.hint,
        ),
        notes,
    )


def _held(item: Item, body: Body, drains: Sequence[OpenEntry]) -> Change:
    """A blocked item: it only drains, its own job included, so that what was paid for is kept."""
    running = body.entry is not None and body.entry.state is JobState.RUNNING
    own = (body.entry,) if body.entry is not None and running else ()
    return Change(
        id=item.spec.id,
        action=Action.BLOCKED,
        file=item.file,
        reasons=body.reasons,
        steps=tuple(Drain(entry=entry, keep=entry.digest == item.spec.digest) for entry in (*own, *drains)),
        spec=item.spec,
        record=item.own,
        renamed_from=_renamed_from(item),
        held=body.entry,
        blocked=body.blocked,
        hint=body.hint,
    )


def hold(change: Change, kind: str, hint: str, *why: Reason) -> Change:
    """The change with its item held back: of its steps only the drains are left."""
    digest = change.spec.digest if change.spec is not None else ""
    return structs.replace(
        change,
        action=Action.BLOCKED,
        reasons=(*change.reasons, *why),
        steps=tuple(Drain(entry=entry, keep=entry.digest == digest) for entry in change.drains),
        held=change.entry,
        blocked=kind,
        hint=hint,
    )


def _renamed_from(item: Item) -> ItemId | None:
    return item.orphan.id if item.orphan is not None and item.record is None else None


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
    steps: tuple[Step, ...] = tuple(Drain(entry=entry) for entry in drains)
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
            steps, action = (*steps, Remove(target=file.path, expects=file.file)), Action.REMOVE
    if blocked:
        action = Action.BLOCKED
    if not steps and not blocked:
        return None, note
    return (
        Change(
            id=id_,
            action=action,
            file=file,
            reasons=reasons,
            steps=steps,
            record=record,
            blocked=blocked,
            hint=hint,
        ),
        note,
    )


# --- 2: which path -----------------------------------------------------------------------------------------


def which_path(item: Item, body: Body) -> tuple[Move | None, Action, tuple[Reason, ...]]:
    """Whether the file moves, edited or not; what the change is then, and why."""
    record = item.own
    if record is None or not item.file.exists:
        return None, body.action, ()
    if record.output == item.spec.output and item.file.path == item.spec.output:
        return None, body.action, ()
    reason = Reason(kind="moved", field="output", before=record.output, after=item.spec.output)
    move = Move(source=item.file.path, target=item.spec.output, expects=item.file.file)
    return move, Action.MOVE if body.action is Action.NONE else body.action, (reason,)


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
    elif not body.writes:
        title = None
    return changes, title, tuple(reasons), tuple(notes)


def _kept(id_: ItemId, key: str) -> Note:
    return Note(
        kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and stays as it is"
    )


# --- 4: which save -----------------------------------------------------------------------------------------


def which_save(s: Situation, item: Item, body: Body, title: str | None) -> tuple[bool, tuple[Reason, ...]]:
    """Whether the server is told the title and body that will stand on disk, and why."""
    record = item.own
    if not saves(s, item.spec):
        return False, ()
    if body.action is Action.RESTORE and record is not None:
        return not saved_body(s, record), ()
    if body.writes:
        return True, ()
    if not item.file.exists:
        return False, ()
    known = record.saved if record is not None and record.server == s.server else None
    title_now = title if title is not None else item.file.title
    if known is not None and known.body == item.file.body and known.title == title_digest(title_now):
        return False, ()
    edited = record is not None and is_edited(item.file, record, item.entries)
    why = "never saved to this server" if known is None else "edited by hand" if edited else "not what was last saved"
    return True, (Reason(kind="save", detail=why),)


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
    move: Move | None,
    front: Mapping[str, Json],
    title: str | None,
    save: bool,
    *,
    why: tuple[Reason, ...],
) -> tuple[Step, ...]:
    file, target = item.file, item.spec.output
    steps: list[Step] = [move] if move is not None else []
    if body.writes:
        write = Write(
            target=target,
            expects=file.file,
            front=front,
            title=title,
            restores=body.action is Action.RESTORE,
            replaces_edit=any(reason.kind == "edited" for reason in body.reasons),
        )
        steps += [*body.steps, write]
    elif why and _differs(file, front, title):
        steps += [*body.steps, Update(target=target, expects=file.file, front=front, title=title)]
    elif why or body.steps or (not steps and _record_lags(s, item)):
        accepts = any(isinstance(step, Acknowledge) and step.accepts for step in body.steps)
        steps.append(Acknowledge(accepts=accepts, front=front, title=title))
    if save:
        steps.append(Save(path=target))
    return tuple(steps)


def _differs(file: Observed, front: Mapping[str, Json], title: str | None) -> bool:
    return any(not is_same_json(file.front.get(key), value) for key, value in front.items()) or title not in (
        None,
        file.title,
    )


def _light_action(steps: tuple[Step, ...]) -> Action:
    if any(isinstance(step, Update | Acknowledge) for step in steps):
        return Action.UPDATE
    return Action.SAVE if any(isinstance(step, Save) for step in steps) else Action.DRAIN


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
