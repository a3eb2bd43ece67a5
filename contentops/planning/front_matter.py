"""The third question: which keys of the front matter, and which title, are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.digest import is_same_json
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, provenance
from contentops.documents.preset import apply_preset, title_for
from contentops.model import Action, Note, OnEdit, Reason
from contentops.planning.edits import on_edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.model import Json, Observed, OpenEntry, Project, Record, Spec
    from contentops.planning.edits import BodyAnswer
    from contentops.planning.inputs import ItemSides, PlanInputs


class FrontAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the third question: the keys to write (None removes one), and the title if one is written."""

    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Note, ...] = ()
    """Which values of a person stay."""


def wanted_front(inputs: PlanInputs, spec: Spec) -> tuple[dict[str, Json], str | None]:
    """The front matter keys the manifest states, by the project's preset, and the title if it states one."""
    front = dict(apply_preset(inputs.project.preset, spec.metadata))
    title = front.pop(TITLE_KEY, None)
    return front, title if isinstance(title, str) else None


class DriftedKey(Struct, frozen=True, kw_only=True):
    """A key of a file's front matter, or `title`, whose value is not the one that was last written."""

    key: str
    before: Json
    """As last written."""
    after: Json
    """In the file; None: the key was removed."""

    @property
    def words(self) -> str:
        """What happened to it."""
        return f"`{self.key}` {'removed' if self.after is None else 'changed'}"


def drifted(
    project: Project, record: Record, file: Observed, entries: Iterable[OpenEntry] = ()
) -> tuple[DriftedKey, ...]:
    """The keys whose values a person changed or removed since they were last written, in the order of the record.

    A key that a person added is none. `entries`: those of the item, whose text may be in the file already.
    """
    job = file.provenance.get("job")
    if job is not None and entries and any(job == entry.job_id for entry in entries):
        return ()  # a run that was cut short wrote it, and nothing of it is recorded yet
    found = [
        DriftedKey(key=key, before=value, after=file.front.get(key))
        for key, value in record.metadata.items()
        if not is_same_json(file.front.get(key), value)
    ]
    if file.title != record.title:
        found.insert(0, DriftedKey(key=TITLE_KEY, before=record.title, after=file.title or None))
    if project.provenance and record.generated and _is_other_block(record, file):
        found.append(DriftedKey(key=PROVENANCE_KEY, before=provenance_of(record), after=dict(file.provenance) or None))
    return tuple(found)


def _is_other_block(record: Record, file: Observed) -> bool:
    job, made = file.provenance.get("job"), file.provenance.get("generated_at")
    other = job != record.job_id != "" or made != record.generated_at != ""
    return other or file.owner not in ("", record.id, record.moved_from)


def provenance_of(record: Record) -> dict[str, Json]:
    """The `contentops` block of a record's text."""
    return provenance(item=record.id, digest=record.digest, job=record.job_id, generated_at=record.generated_at)


def which_front_matter(item: ItemSides, body: BodyAnswer) -> FrontAnswer:
    """Which keys and title are written, and why: those that differ from the record, but for values of a person."""
    wanted, stated = wanted_front(item.inputs, item.spec)
    record, file, id_ = item.own, item.file, item.spec.id
    title = stated if stated is not None else _promoted_title(item, body)
    if record is None or not file.exists:
        return FrontAnswer(front=wanted, title=title)
    asserts = on_edit(item) is OnEdit.OVERWRITE and not item.is_protected
    front: dict[str, Json] = {}
    reasons: list[Reason] = []
    kept: list[str] = []
    same = is_same_json(wanted, record.metadata)
    for key in () if same else sorted(wanted.keys() | record.metadata.keys()):
        before, after = record.metadata.get(key), wanted.get(key)
        if is_same_json(before, after) and (key in wanted) == (key in record.metadata):
            continue
        found = file.front.get(key)
        if asserts or is_same_json(found, before) or is_same_json(found, after):
            front[key] = after
            reasons.append(_rewritten(f"metadata.{key}", before, after))
        else:
            kept.append(key)
    if file.owner not in ("", id_) and file.owner in (record.id, record.moved_from):
        front[PROVENANCE_KEY] = {**file.provenance, "item": id_}
        reasons.append(_rewritten("contentops.item", file.owner, id_))
    drift = [one for one in _drift(item, record, stated) if one.key not in front and one.key not in kept]
    if asserts and drift:
        front |= {one.key: one.before for one in drift if one.key != TITLE_KEY}
        reasons += [_asserted(_field(one.key), one.after, one.before) for one in drift if one.key != TITLE_KEY]
        drift = [one for one in drift if one.key == TITLE_KEY]
    written, why = _which_title(item, title, body, asserts=asserts)
    reasons += why
    if written is None and title not in (None, record.title, file.title):
        kept.append(TITLE_KEY)
    if written is not None or TITLE_KEY in kept:
        drift = [one for one in drift if one.key != TITLE_KEY]
    notes = [
        Note(kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and stays as it is")
        for key in kept
    ]
    if drift and on_edit(item) is not OnEdit.KEEP:
        notes.append(_drift_note(item, drift))
    return FrontAnswer(front=front, title=written, reasons=tuple(reasons), notes=tuple(notes))


def _promoted_title(item: ItemSides, body: BodyAnswer) -> str | None:
    """The title that another environment's file has for the text that is taken from it, or was."""
    offer = item.offer
    if offer is None or (body.action is not Action.PROMOTE and item.file.body != offer.file.body):
        return None
    return title_for(item.inputs.project.preset, offer.file.title) or None


def _drift(item: ItemSides, record: Record, title: str | None) -> list[DriftedKey]:
    """What of the front matter is noted: a title that no manifest states is a text like the body, where it is saved."""
    found = drifted(item.inputs.project, record, item.file, item.entries)
    if not found:
        return []
    is_text = title is None and bool(item.file.title) and item.inputs.saves(item.spec)
    return [one for one in found if one.key != TITLE_KEY or not is_text]


def _which_title(
    item: ItemSides, title: str | None, body: BodyAnswer, *, asserts: bool
) -> tuple[str | None, tuple[Reason, ...]]:
    """The title to write, if the manifest states one and no person's stands in the file; and why."""
    record, file = item.own, item.file
    if title is None or record is None:
        return None, ()
    if asserts and file.title != title:
        why = _asserted if file.title != record.title else _rewritten
        return title, (why("metadata.title", file.title, title),)
    if file.title not in (record.title, title):
        return None, ()
    if title != record.title:
        return title, (_rewritten("metadata.title", record.title, title),)
    return (title if body.writes else None), ()


def _drift_note(item: ItemSides, drift: Sequence[DriftedKey]) -> Note:
    message = f"`{item.spec.id}`: front matter is not as last written: {', '.join(one.words for one in drift)}"
    hint = "`--on-edit overwrite` writes what the manifest says; `on_edit: keep` keeps it without a note"
    if item.is_protected:
        hint = "it is protected, so it stays"
    return Note(kind="front-matter-drift", id=item.spec.id, message=message, hint=hint)


def _field(key: str) -> str:
    return key if key == PROVENANCE_KEY else f"metadata.{key}"


def _rewritten(name: str, before: Json, after: Json) -> Reason:
    return Reason(kind="front-matter", field=name, before=before, after=after)


def _asserted(name: str, before: Json, after: Json) -> Reason:
    """Why a key that a person changed is written again, though no manifest says otherwise than before."""
    return Reason(kind="front-matter-drift", field=name, before=before, after=after)


def differs(file: Observed, front: FrontAnswer) -> bool:
    """Whether the file has other front matter than is wanted."""
    other = any(not is_same_json(file.front.get(key), value) for key, value in front.front.items())
    return other or front.title not in (None, file.title)
