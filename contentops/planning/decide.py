"""The change of one item, by four questions in order: which body, which path, which front matter, which save.

The change is the union of the steps they answer with. For an item that no manifest declares any more, open jobs are
collected, and its file is removed with `--prune`. Nothing else in the program decides what is done to an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.documents.clean import title_digest
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Collect,
    Fetch,
    JobState,
    LookUp,
    Move,
    Note,
    Observed,
    Poll,
    Publish,
    Reason,
    Restore,
    Save,
    Update,
    Write,
)
from contentops.planning.approval import status_reason, waiting_note, which_status
from contentops.planning.body import which_body
from contentops.planning.differences import explain
from contentops.planning.edits import BodyAnswer
from contentops.planning.front_matter import differs, is_block_of, marked, which_front_matter
from contentops.planning.model_price import collecting
from contentops.planning.outlines import DRAFT_OUTLINE, not_saved_elsewhere, outline_notes
from contentops.planning.plan_inputs import is_ours, is_protected, resting_place, uncollected
from contentops.planning.remote_edits import (
    edit_notes,
    is_kept,
    is_overwritten,
    known_on_server,
    remote_notes,
    save_over,
)
from contentops.planning.sources import reference_reason, refers_differently, waiting_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentops.model import ItemId, OpenEntry, Record, Spec, Step
    from contentops.planning.front_matter import FrontAnswer
    from contentops.planning.plan_inputs import ItemSides, PlanInputs


def decide(item: ItemSides) -> tuple[Change | None, tuple[Note, ...]]:
    """The change of a declared item (None: there is nothing to do), and its notes."""
    is_refused = item.spec.id in item.inputs.choice.replace
    if item.waits and not (item.is_same or item.is_protected or item.under_way or is_refused):
        return waiting_change(item), ()
    return answers(item)


def answers(item: ItemSides) -> tuple[Change | None, tuple[Note, ...]]:
    """The change and notes of a declared item, as the four questions answer them."""
    body = which_body(item)
    collected = [entry for entry in uncollected(item.entries) if entry is not body.entry]
    notes = (
        *_unknown_notes(item, body),
        *_protection_notes(item),
        *remote_notes(item),
        *outline_notes(item),
        *_waiting_notes(item, body),
    )
    if body.blocked:
        return _blocked(item, body, collected), notes
    move, moved = which_path(item)
    front = which_front_matter(item, body)
    saved = which_save(item, body, front.title)
    save: Save | None = None
    if saved is None:
        notes += edit_notes(item, body)
    else:
        if hint := not_saved_elsewhere(item, body):
            return _blocked(
                item, structs.replace(body, blocked=DRAFT_OUTLINE, hint=hint), collected
            ), notes + front.notes
        over = save_over(item, body)
        if isinstance(over, BodyAnswer):
            others = tuple(note for note in (*notes, *front.notes) if note.kind != over.blocked)
            return _blocked(item, structs.replace(over, entry=body.entry), collected), others
        save, saved = over[0], (*saved, *over[1])
    publish = which_status(item, front.approval, is_saved=save is not None)
    steps = _union(item, body, move, front, save, publish)
    if not steps and not collected:
        return None, notes + front.notes
    if any(isinstance(step, Write | Update | Move) for step in steps) and (why := item.inputs.denied(item.spec.output)):
        # Nothing is paid for that could not be written afterwards. Protection keeps a file, but does not create one.
        hint = f"{why}; change that" + ", or set `protected: true` to keep the item as it is" * item.file.exists
        return _blocked(
            item, structs.replace(body, blocked="unwritable-file", hint=hint), collected
        ), notes + front.notes
    change = Change(
        id=item.spec.id,
        action=body.action if body.action is not Action.NONE else _action(steps),
        file=item.file,
        reasons=(
            *(*body.reasons, *moved, *front.reasons, *(saved or ())),
            *(*status_reason(publish), *_id_reason(item), *reference_reason(item, steps)),
        ),
        steps=(*collecting(item.inputs.project, collected), *steps),
        spec=item.spec,
        record=item.own,
        remote=item.remote,
        renamed_from=_renamed_from(item),
        addresses=front.addresses,
        open=item.open,
        hint=body.hint,
    )
    return change, notes + front.notes


_NOT_OURS = ("owned-elsewhere", "unwritable-file")
"""Blocks of an item whose file is not to be written at all."""


def _blocked(item: ItemSides, body: BodyAnswer, collected: Iterable[OpenEntry]) -> Change:
    """The blocked change of an item: it collects open jobs, so that paid texts are kept, and marks its text."""
    running = body.entry is not None and body.entry.state is JobState.RUNNING
    own = (body.entry,) if body.entry is not None and running else ()
    mark = marked(item) if body.blocked not in _NOT_OURS else BodyAnswer()
    return Change(
        id=item.spec.id,
        action=Action.BLOCKED,
        file=item.file,
        reasons=(*body.reasons, *mark.reasons),
        steps=(
            *collecting(item.inputs.project, (*own, *collected)),
            *mark.steps,
        ),
        spec=item.spec,
        record=item.own,
        remote=item.remote,
        renamed_from=_renamed_from(item),
        addresses=item.own.addresses if item.own is not None else (),
        blocked_entry=body.entry,
        blocked=body.blocked,
        hint=body.hint,
    )


def block_change(change: Change, kind: str, hint: str, *why: Reason) -> Change:
    """A blocked form of the change, with only those steps that collect open jobs."""
    return structs.replace(
        change,
        action=Action.BLOCKED,
        reasons=(*change.reasons, *why),
        steps=tuple(step for step in change.steps if isinstance(step, Collect)),
        blocked_entry=change.entry,
        blocked=kind,
        hint=hint,
    )


def _renamed_from(item: ItemSides) -> ItemId | None:
    return item.orphan.id if item.orphan is not None and item.record is None else None


# --- 2: which path -----------------------------------------------------------------------------------------


def which_path(item: ItemSides) -> tuple[Move | None, tuple[Reason, ...]]:
    """The move of the file, if its path changes, and why."""
    record, file, target = item.own, item.file, item.spec.output
    before = record.output if record is not None else file.path
    if not file.exists or before == file.path == target:
        return None, ()
    via = resting_place(file.path, target, item.spec.id) if file.path != target else ""
    reason = Reason(kind="moved", field="output", before=before, after=target)
    return Move(source=file.path, target=target, expects=file.file, via=via), (reason,)


def find_file(inputs: PlanInputs, spec: Spec, record: Record | None) -> Observed:
    """An item's file: at the recorded path, or where an interrupted run wrote or moved it."""
    if record is None:
        file = inputs.observe(spec.output)
        return file if file.exists else _written(inputs, spec) or file
    file = inputs.observe(record.output)
    if file.exists or record.output == spec.output:
        return file
    made = {record.generated, record.promoted} - {NOTHING}
    for path in (resting_place(record.output, spec.output, spec.id), spec.output):
        other = inputs.observe(path)
        is_named = other.owner in (record.id, spec.id, inputs.rekeyed.get(spec.id)) or other.body in made
        if other.exists and (is_named or is_block_of(record, inputs.state.made_by(record), other)):
            return other
    return file


def _written(inputs: PlanInputs, spec: Spec) -> Observed | None:
    """The file that an interrupted run wrote for this request under another path, if there is one."""
    for entry in inputs.written.get(spec.digest, ()):
        file = inputs.observe(entry.output)
        ours = file.problem or file.body in {inputs.body_of(entry)} - {NOTHING} or is_ours(inputs, spec, file)
        if file.exists and ours and (entry.item == spec.id or entry.item not in inputs.specs):
            return file
    return None


# --- 4: which save -----------------------------------------------------------------------------------------


def which_save(item: ItemSides, body: BodyAnswer, title: str | None) -> tuple[Reason, ...] | None:
    """The reasons to save title and body of the file to the server; None: nothing is saved."""
    record, file, remote = item.own, item.file, item.remote
    if not item.inputs.saves(item.spec):
        return None
    needed = is_overwritten(item, body) or (remote is not None and remote.is_lost)
    if isinstance(body.mode, Restore) and record is not None:
        saved = record.saved
        retitled = saved is not None and saved.title != title_digest(record.title if title is None else title)
        return () if needed or retitled or not item.inputs.saved_body(record) else None
    if body.writes:
        return ()
    if not file.exists or is_kept(item, body):
        return None
    on_server = known_on_server(item, body)
    title_now = item.title if title is None else title
    if on_server is not None and (on_server.title, on_server.body) == (title_digest(title_now), file.body):
        return () if needed else None
    why = "never saved to this server" if on_server is None else "not what was last saved"
    if on_server is not None and item.is_edited:
        why = "edited by hand"
    return (Reason(kind="save", detail=why),)


# --- putting it together -----------------------------------------------------------------------------------


def _union(
    item: ItemSides, body: BodyAnswer, move: Move | None, front: FrontAnswer, save: Save | None, publish: Publish | None
) -> tuple[Step, ...]:
    expects, target = item.file.file, item.spec.output
    steps: list[Step] = [move] if move is not None else []
    if body.writes:
        write = Write(
            target=target,
            expects=expects,
            front=front.front,
            title=front.title,
            mode=body.mode,
        )
        # Without a record, the open entry says where the file is.
        fetches = [_with_output(step, target) for step in body.steps] if item.own is None else body.steps
        steps += [*fetches, write]
    elif front.reasons and differs(item.file, front):
        steps += [*body.steps, Update(target=target, expects=expects, front=front.front, title=front.title)]
    elif front.reasons or body.steps or (not steps and _record_lags(item)):
        accepts = item.is_exact and refers_differently(item)
        record_step = next((step for step in body.steps if isinstance(step, Acknowledge)), Acknowledge(accepts=accepts))
        steps.append(structs.replace(record_step, front=front.front, title=front.title))
    if publish is not None and not publish.published:
        steps.append(publish)  # before words that no one approved are saved
    if save is not None:
        steps.append(save)
    if publish is not None and publish.published:
        steps.append(publish)
    return tuple(steps)


def _with_output(step: Step, target: str) -> Step:
    """The step with `target` as the output of its open entry."""
    if isinstance(step, LookUp | Poll | Fetch) and step.entry is not None:
        return structs.replace(step, entry=structs.replace(step.entry, output=target))
    return step


def _record_lags(item: ItemSides) -> bool:
    """Whether the record is out of date in its id or its protection."""
    record = item.record
    if record is None:
        return False
    is_renamed = item.spec.id in item.inputs.rekeyed
    return is_renamed or is_protected(item.spec, record) != record.protected or refers_differently(item)


def _action(steps: Sequence[Step]) -> Action:
    """The action of a change without a new text."""
    kinds = (
        (Move, Action.MOVE),
        (Update, Action.UPDATE),
        (Acknowledge, Action.UPDATE),
        (Save, Action.SAVE),
        (Publish, Action.SAVE),
    )
    return next((action for kind, action in kinds if any(isinstance(step, kind) for step in steps)), Action.DRAIN)


def _id_reason(item: ItemSides) -> tuple[Reason, ...]:
    old = item.inputs.rekeyed.get(item.spec.id)
    if old is None:
        return ()
    return (Reason(kind="renamed", before=old, after=item.spec.id, detail="by `moved`"),)


def _unknown_notes(item: ItemSides, body: BodyAnswer) -> tuple[Note, ...]:
    return tuple(
        Note(
            kind="unknown-outcome",
            id=item.spec.id,
            message=f"`{item.spec.id}`: the outcome of an earlier submit is unknown",
            hint=f"`contentops state resolve {item.spec.id} --forget --request {entry.short}` drops it",
        )
        for entry in item.entries
        if entry.state is JobState.UNKNOWN and entry is not body.entry
    )


def _waiting_notes(item: ItemSides, body: BodyAnswer) -> tuple[Note, ...]:
    source = item.source_text if body.waits else None
    return (waiting_note(item, source),) if source is not None else ()


def _protection_notes(item: ItemSides) -> tuple[Note, ...]:
    if item.own is None or not item.is_protected or item.is_same:
        return ()
    fields = ", ".join(f"`{reason.field}`" for reason in explain(item.spec, item.own)) or "its server"
    return (
        Note(
            kind="protected",
            id=item.spec.id,
            message=f"`{item.spec.id}` is protected: changes of {fields} are ignored",
            hint="apply `protected: false` first",
        ),
    )
