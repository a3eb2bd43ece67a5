"""Decides which front matter keys and which title are written. This is the planner's third question."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field, structs

from contentops.digest import is_same_json
from contentops.documents.blocks import address_of
from contentops.documents.front_matter import PROVENANCE_KEY, TITLE_KEY, provenance
from contentops.documents.preset import (
    apply_preset,
    as_list,
    redirects_key,
    title_for,
    uses_changed_at,
    with_addresses,
    with_changed_at,
)
from contentops.model import (
    Action,
    ApprovalState,
    Job,
    Json,
    Note,
    Observed,
    OnEdit,
    Project,
    Reason,
    Record,
    Spec,
    Step,
    Update,
)
from contentops.planning.approval import ComputedFront, coming_front, draft_mark, which_status
from contentops.planning.edits import Answer, on_edit
from contentops.planning.sides import ItemSides, PlanInputs

APPROVED_DRAFT = "approved-draft"
"""The note on an approved text whose file is a draft."""


class FrontAnswer(Struct, frozen=True, kw_only=True):
    """The title and the front matter keys to write. A key with the value None is removed."""

    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Note, ...] = ()
    """Edits of front matter that stay."""
    addresses: tuple[str, ...] = ()
    """The new `Record.addresses`."""
    approval: ApprovalState = ApprovalState.NONE
    """The approval state of the text that the file will have, if an approval or a disclosure is required."""


def wanted_front(
    inputs: PlanInputs, spec: Spec, without: frozenset[str] = frozenset()
) -> tuple[dict[str, Json], str | None]:
    """Return the front matter keys and the title that the manifest states, in the form of the project's preset.

    `without` has metadata keys that are left out.
    """
    metadata = {key: value for key, value in spec.metadata.items() if key not in without} if without else spec.metadata
    front = apply_preset(inputs.project.preset, metadata)
    title = front.pop(TITLE_KEY, None)
    return front, title if isinstance(title, str) else None


def dated(item: ItemSides, body: Answer) -> ItemSides:
    """Return the item with the real date in place of `changed_at` in its metadata.

    The date is the day on which its text last changed. While the day is not known, the keys keep their recorded values.
    A new text gets its day when it is written.
    """
    keys = frozenset(key for key, value in item.spec.metadata.items() if uses_changed_at(value))
    if not keys:
        return item
    if not (day := "" if body.writes else _changed_on(item)):
        return structs.replace(item, open_metadata=item.open_metadata | keys)
    return structs.replace(item, spec=structs.replace(item.spec, metadata=with_changed_at(item.spec.metadata, day)))


def _changed_on(item: ItemSides) -> str:
    """Return the day on which the body of an item's file last changed, or an empty text if it is not known.

    It is the day of the job that made the body, otherwise the day of the commit that added it.
    """
    record, file, inputs = item.record, item.file, item.inputs
    if not file.exists or file.problem:
        return ""
    made_by = inputs.state.made_by(record) if record is not None and file.body == record.generated else None
    return made_by.generated_at[:_DAY] if made_by is not None else inputs.changed_on(file.path, file.body)


_DAY = len("2026-03-01")


class DriftedKey(Struct, frozen=True, kw_only=True):
    """A front matter key, or `title`, that a person changed after contentops last wrote it."""

    key: str
    before: Json
    """The value that was last written."""
    after: Json
    """The value in the file, or None if the key was removed."""

    @property
    def words(self) -> str:
        """Return in words whether the key was changed or removed."""
        return f"`{self.key}` {'removed' if self.after is None else 'changed'}"


def drifted(
    project: Project, record: Record, file: Observed, made_by: Job | None, jobs: Iterable[Job] = ()
) -> tuple[DriftedKey, ...]:
    """Return the front matter keys that a person changed or removed after contentops last wrote them.

    They are in the order of the record. Added keys do not count. `made_by` is the job of the recorded text. `jobs` are
    the item's open jobs, whose text may be in the file already.
    """
    if jobs and (job := file.provenance.get("job")) is not None and any(job == order.job_id for order in jobs):
        return ()  # an interrupted run wrote the file, and the record does not know it yet
    front, written = dict(file.front.items()), dict(record.metadata.items())
    drift = [
        DriftedKey(key=key, before=value, after=front.get(key))
        for key, value in (() if is_same_json(front, written) else written.items())
        if not is_same_json(front.get(key), value)
    ]
    if file.title != record.title:
        drift.insert(0, DriftedKey(key=TITLE_KEY, before=record.title, after=file.title or None))
    if project.provenance and record.generated and _is_other_block(record, made_by, file):
        block = provenance_of(record, made_by, project.editor)
        drift.append(DriftedKey(key=PROVENANCE_KEY, before=block, after=dict(file.provenance) or None))
    return tuple(drift)


def _is_other_block(record: Record, made_by: Job | None, file: Observed) -> bool:
    """Return whether a file's `contentops` block names another job, time or item than the record.

    An unknown job counts as equal.
    """
    block, ours = dict(file.provenance.items()), provenance_of(record, made_by)
    other = any(key in ours and block.get(key) != ours[key] for key in ("job", "generated_at"))
    return other or (file.owner not in ("", record.id) and not is_block_of(record, made_by, file))


def is_block_of(record: Record, made_by: Job | None, file: Observed) -> bool:
    """Return whether the `contentops` block of a file belongs to the record's text.

    It may still name the old item, if a rename was interrupted.
    """
    block, ours = file.provenance, provenance_of(record, made_by)
    known = [key for key in ("job", "generated_at") if key in ours]
    same = all(block.get(key) == ours[key] for key in known)
    return same and (bool(known) or block.get("digest") == record.digest or file.body in record.bodies)


def provenance_of(record: Record, made_by: Job | None, editor: str = "") -> dict[str, Json]:
    """Return the `contentops` block of front matter for a record's text. `made_by` is None if its job is unknown."""
    made = {"generated_at": made_by.generated_at, "model": made_by.model} if made_by is not None else {}
    # A promoted text has no job of this environment.
    job = made_by.job_id if made_by is not None and not record.is_promoted else ""
    return provenance(
        item=record.id, digest=record.digest, job=job, promoted_from=record.promoted_from, editor=editor, **made
    )


def which_front_matter(item: ItemSides, body: Answer) -> FrontAnswer:
    """Return the front matter keys and the title to write, with the reasons.

    They are those whose wanted value differs from the record. Keys that a person edited stay.
    """
    wanted, stated = wanted_front(item.inputs, item.spec, item.open_metadata)
    record, file, id_ = item.record, item.file, item.spec.id
    title = stated if stated is not None else _promoted_title(item, body)
    if record is None:
        return _of_new_file(item, body, wanted, title)
    addresses, notes = which_addresses(item, wanted)
    wanted = with_addresses(item.inputs.project.preset, wanted, addresses)
    if not file.exists:
        as_recorded = {key: value for key, value in record.metadata.items() if key in _open_keys(item)}
        return structs.replace(_of_new_file(item, body, {**as_recorded, **wanted}, title), addresses=addresses)
    asserts = on_edit(item) is OnEdit.OVERWRITE and not item.is_protected
    new_title, title_reasons = _which_title(item, title, body, asserts=asserts)
    computed = coming_front(item, body, new_title)
    wanted |= computed.keys
    ours = {_merged_key(item, record, addresses), *computed.keys}
    front, reasons, kept = _changed_keys(item, wanted, computed, is_ours=lambda key: asserts or key in ours)
    notes += _still_a_draft(item, computed, {*front, *kept, *wanted})
    drift = _drift(item, record, stated)
    if _has_earlier_id(item, record):
        block = next((one.before for one in drift if asserts and one.key == PROVENANCE_KEY), file.provenance)
        front[PROVENANCE_KEY] = {**block, "item": id_}
        reasons.append(_rewritten("contentops.item", file.owner, id_))
    again = [one for one in drift if asserts and one.key not in {TITLE_KEY, *front, *kept}]
    front |= {one.key: one.before for one in again}
    fields = [one.key if one.key == PROVENANCE_KEY else f"metadata.{one.key}" for one in again]
    reasons += [_asserted(name, one.after, one.before) for name, one in zip(fields, again, strict=True)]
    reasons += title_reasons
    if new_title is None and title not in (None, record.title, file.title):
        kept.append(TITLE_KEY)
    notes += [
        Note(kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and is kept")
        for key in kept
    ]
    answered = {*front, *kept, *([TITLE_KEY] if new_title is not None else [])}
    drift = [one for one in drift if one.key not in answered]
    if drift and on_edit(item) is not OnEdit.KEEP:
        notes.append(_drift_note(item, drift))
    return FrontAnswer(
        front=front,
        title=new_title,
        reasons=tuple(reasons),
        notes=tuple(notes),
        addresses=addresses,
        approval=computed.state,
    )


def _changed_keys(
    item: ItemSides, wanted: Mapping[str, Json], computed: ComputedFront, *, is_ours: Callable[[str], bool]
) -> tuple[dict[str, Json], list[Reason], list[str]]:
    """Return the front matter keys to write, the reasons, and the keys that keep a person's value.

    They are keys whose wanted value is not the one that was last written. `is_ours` says whether a key is written over
    a person's value.
    """
    written = dict(item.record.metadata.items()) if item.record is not None else {}
    in_file, preset = dict(item.file.front.items()), item.inputs.project.preset
    keys: list[str] = []
    if not is_same_json(wanted, written):
        alike = {key for key in wanted.keys() & written.keys() if is_same_json(wanted[key], written[key])}
        keys = sorted((wanted.keys() | written.keys()) - alike - _open_keys(item))
    keys += [key for key, value in computed.keys.items() if not (key in keys or is_same_json(in_file.get(key), value))]
    front: dict[str, Json] = {}
    reasons: list[Reason] = []
    kept: list[str] = []
    for key in keys:
        before, after, current = written.get(key), wanted.get(key), in_file.get(key)
        is_written = is_same_json(current, after)
        if is_written or is_ours(key) or is_same_json(current, before):
            front[key] = after
            was = before if is_written or key not in computed.keys else current
            reasons.append(_rewritten(f"metadata.{key}", was, after, computed.why(key, preset)))
        else:
            kept.append(key)
    return front, reasons, kept


def _open_keys(item: ItemSides) -> set[str]:
    """Return the front matter keys that stay unchanged, because their new values are not known yet."""
    return {*item.open_metadata, *apply_preset(item.inputs.project.preset, dict.fromkeys(item.open_metadata, ""))}


def _has_earlier_id(item: ItemSides, record: Record) -> bool:
    """Return whether the `contentops` block of the item's file names an earlier id of the item."""
    owner, id_ = item.file.owner, item.spec.id
    if owner in ("", id_):
        return False
    return owner == item.inputs.earlier_id(id_) or is_block_of(record, item.inputs.state.made_by(record), item.file)


def _of_new_file(item: ItemSides, body: Answer, wanted: Mapping[str, Json], title: str | None) -> FrontAnswer:
    computed = coming_front(item, body, title)
    return FrontAnswer(front={**wanted, **computed.keys}, title=title, approval=computed.state)


def which_addresses(item: ItemSides, wanted: Mapping[str, Json]) -> tuple[tuple[str, ...], list[Note]]:
    """Return the old addresses that must redirect to the item's page, and a note if an address is unknown.

    Addresses that the manifest states are left out. When the page moves, those that a person added in the file are
    included.
    """
    record, file, spec, project = item.record, item.file, item.spec, item.inputs.project
    assert record is not None
    key = redirects_key(project.preset)
    if not (key and project.redirects) or (
        record.output == spec.output and is_same_json(wanted, dict(record.metadata.items()))
    ):
        return record.addresses, []
    old = address_of(project.preset, record.output, file.front)
    new = address_of(project.preset, spec.output, {**file.front, **wanted})
    if old == new and old is not None:
        return record.addresses, []
    if old is None or new is None:
        return record.addresses, [_no_address(item, key)] if record.output != spec.output else []
    in_file, written = as_list(file.front.get(key)), as_list(record.metadata.get(key))
    ours = [each for each in record.addresses if each in in_file or each not in written]
    theirs = [each for each in in_file if isinstance(each, str) and each not in written]
    stated = {*map(str, as_list(wanted.get(key))), new}
    return tuple(dict.fromkeys(each for each in (*ours, *theirs, old) if each not in stated)), []


def _merged_key(item: ItemSides, record: Record, addresses: tuple[str, ...]) -> str:
    """Return the front matter key for redirects if its addresses must be written, otherwise an empty text."""
    key = redirects_key(item.inputs.project.preset)
    if addresses == record.addresses == ():
        return ""
    written = as_list(record.metadata.get(key))
    return key if addresses != record.addresses or any(each not in written for each in addresses) else ""


def _no_address(item: ItemSides, key: str) -> Note:
    message = f"`{item.spec.id}` moves, but its old address is unknown here, so it is missing from `{key}`"
    hint = "state it in the manifest: `metadata: {redirects: [/old/address/]}`"
    return Note(kind="old-address", id=item.spec.id, message=message, hint=hint)


def _promoted_title(item: ItemSides, body: Answer) -> str | None:
    """Return the title of the text to promote, from its file in the other environment.

    Return None if the item's file does not have this text and does not get it.
    """
    source_text = item.source_text
    if source_text is None or (body.action is not Action.PROMOTE and item.file.body != source_text.file.body):
        return None
    return title_for(item.inputs.project.preset, source_text.file.title) or None


def _drift(item: ItemSides, record: Record, title: str | None) -> list[DriftedKey]:
    """Return the front matter keys that a person changed and that the plan reports.

    The title is left out if it is compared as a part of the text.
    """
    keys = drifted(item.inputs.project, record, item.file, item.inputs.state.made_by(record), item.open_jobs)
    if not keys:
        return []
    is_text = title is None and bool(item.file.title) and item.inputs.saves(item.spec)
    return [one for one in keys if one.key != TITLE_KEY or not is_text]


def _which_title(
    item: ItemSides, title: str | None, body: Answer, *, asserts: bool
) -> tuple[str | None, tuple[Reason, ...]]:
    """Return the title to write, with the reasons.

    The title is None if the manifest states none, if a person changed it in the file, or if the file has it already.
    """
    record, file = item.record, item.file
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
    message = f"`{item.spec.id}`: front matter was changed in the file: {', '.join(one.words for one in drift)}"
    hint = "`--on-edit overwrite` writes what the manifest says; `on_edit: keep` keeps it without this note"
    if item.is_protected:
        hint = "it is protected, so it stays as it is; `on_edit: keep` accepts it, without this note"
    return Note(kind="front-matter-drift", id=item.spec.id, message=message, hint=hint)


def _still_a_draft(item: ItemSides, computed: ComputedFront, written: Container[str]) -> Iterator[Note]:
    """Yield a note if an approved text is still marked as a draft, for example after a revert.

    No apply removes such a mark.
    """
    id_, file, mark = item.spec.id, item.file, draft_mark(item.inputs.project.preset)
    is_approved = item.spec.approval.required and computed.state is ApprovalState.APPROVED
    for key, value in file.front.items() if is_approved else ():
        if (name := key.casefold()) in mark and name not in written and is_same_json(value, mark[name]):
            message = f"`{id_}`: approved, but its file is still a draft: a person or git put `{key}` there"
            hint = f"delete `{key}` from `{file.path}`, or take the approval back with `contentops send-back {id_}`"
            yield Note(kind=APPROVED_DRAFT, id=id_, message=message, hint=hint)


def _rewritten(name: str, before: Json, after: Json, detail: str = "") -> Reason:
    return Reason(kind="front-matter", field=name, before=before, after=after, detail=detail)


def _asserted(name: str, before: Json, after: Json) -> Reason:
    """Return the reason to write a key again after a person changed it in the file."""
    return Reason(kind="front-matter-drift", field=name, before=before, after=after)


def marked(item: ItemSides) -> Answer:
    """Return the steps that update the draft mark, disclosure and status of a blocked item."""
    record, file = item.record, item.file
    if record is None or not file.exists or file.problem or item.inputs.denied(file.path):
        return Answer()
    computed = coming_front(item, Answer(), None)
    stated, _ = wanted_front(item.inputs, item.spec)
    preset = item.inputs.project.preset
    is_free = item.spec.approval.required and computed.state is ApprovalState.APPROVED
    unmarked = {key: stated.get(key) for key in draft_mark(preset) if is_free and key in record.metadata}
    keys = {**unmarked, **computed.keys}
    wanted = {key: value for key, value in keys.items() if not is_same_json(file.front.get(key), value)}
    steps: list[Step] = [Update(target=file.path, expects=file.file, front=wanted)] if wanted else []
    steps += (
        () if computed.state is ApprovalState.APPROVED else which_status(item, computed.state, is_saved=False).steps
    )
    reasons = (
        _rewritten(f"metadata.{key}", file.front.get(key), value, computed.why(key, preset))
        for key, value in wanted.items()
    )
    return Answer(steps=tuple(steps), reasons=tuple(reasons))


def differs(file: Observed, front: FrontAnswer) -> bool:
    """Return whether the title or front matter to write differs from the file."""
    other = any(not is_same_json(file.front.get(key), value) for key, value in front.front.items())
    return other or front.title not in (None, file.title)
