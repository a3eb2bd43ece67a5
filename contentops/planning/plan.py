"""The plan of all items: pair renames, decide each, select, block occupied targets, guard and count."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING, digest_json
from contentops.documents.paths import collision_key
from contentops.errors import UsageError, did_you_mean, plural
from contentops.model import (
    Acknowledge,
    Action,
    ApprovalState,
    JobState,
    Move,
    Note,
    Observed,
    Plan,
    Publish,
    Reason,
    Save,
    Update,
    Write,
)
from contentops.planning.approval import approval_state, texts_in_review
from contentops.planning.claimed_items import with_claims
from contentops.planning.data_files import row_notes
from contentops.planning.decide import block_change, decide, find_file
from contentops.planning.gone import collected_of, decide_gone
from contentops.planning.guards import month_spent, refusals
from contentops.planning.outlines import draft_notes
from contentops.planning.plan_inputs import ItemSides
from contentops.planning.promote import is_about_promotion
from contentops.planning.renames import find_rings, missed, pair_renames
from contentops.planning.same_request import block_same_requests, same_briefs
from contentops.planning.select import Candidate, selected
from contentops.planning.sources import with_open_front, with_waits
from contentops.planning.stale import stale_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from contentops.model import Change, ItemId
    from contentops.planning.plan_inputs import Choice, PlanInputs


def make_plan(inputs: PlanInputs) -> Plan:
    """The plan of the whole project, or of the selected part of it.

    Raises UsageError for selectors or `--replace` ids that name nothing.
    """
    choice = inputs.choice
    _check_replace(inputs)
    notes: list[Note] = [
        *choice.notes,
        *_other_servers(inputs),
        *draft_notes(inputs),
    ]
    candidates = list(_candidates(inputs, notes))
    chosen = selected(choice, candidates)
    if choice.select and not chosen:
        notes.append(Note(kind="nothing-selected", message="the selection matches no item"))
    changes = [item.change for item in chosen if item.change is not None]
    if choice.only_promoted:
        promoted = [change for change in changes if is_about_promotion(change)]
        notes += ignoring_existing(len(changes) - len(promoted), "no other environment has texts for them")
        changes = promoted
    if choice.only_front or choice.only_front_of:
        chosen_changes = (_front_alone(each) if _is_front_alone(choice, each.id) else each for each in changes)
        changes = [each for each in chosen_changes if each is not None]
    changes = with_open_front(inputs, chosen, with_waits(inputs, chosen, free_targets(inputs, changes)))
    notes += [*stale_notes(inputs, chosen), *row_notes(chosen)]
    changes = block_same_requests(inputs, changes)
    changes.sort(key=lambda change: change.id)
    waiting = {note.id for note in notes if note.kind == "waiting-for-approval"}
    changing = waiting | {change.id for change in changes}
    unchanged = sum(item.spec is not None and item.change is None and item.id not in changing for item in chosen)
    if choice.canary is not None:
        changes, note = first_submits(inputs, changes, choice.canary)
        notes.append(note)
    notes += same_briefs(inputs, changes)
    plan = Plan(
        beside_default=inputs.project.beside_default,
        project=inputs.project.name,
        environment=inputs.project.environment,
        server=inputs.server,
        budget=inputs.project.budget,
        spent=month_spent(inputs, changes),
        lineage=inputs.state.lineage,
        changes=tuple(changes),
        notes=tuple(sorted(notes, key=lambda note: (note.id or "", note.kind, note.message))),
        refusals=refusals(inputs, changes),
        unchanged=unchanged,
        approvals=_approvals(chosen),
        approves=tuple(texts_in_review(inputs, chosen, waiting)) if choice.in_review else (),
        findings=(*inputs.project.warnings, *inputs.desired.findings, *missed(inputs)),
    )
    return structs.replace(plan, id=plan_id(plan))


def _is_front_alone(choice: Choice, item: ItemId) -> bool:
    """Whether a plan updates only the front matter of an item."""
    return choice.only_front or item in choice.only_front_of


def _front_alone(change: Change) -> Change | None:
    """The change without what the server is told after it; None where it is about more than front matter."""
    steps = tuple(step for step in change.steps if not isinstance(step, Save | Publish))
    if not steps or not is_about_front(change):
        return None
    return structs.replace(change, action=Action.UPDATE, steps=steps, blocked="", hint="")


def is_about_front(change: Change) -> bool:
    """Whether a change updates front matter or tells the server of a text, and does nothing else."""
    return bool(change.steps) and all(isinstance(step, Update | Acknowledge | Save | Publish) for step in change.steps)


def _approvals(items: Iterable[Candidate]) -> dict[ApprovalState, int]:
    counted = Counter(item.approval for item in items)
    return {state: counted[state] for state in ApprovalState if state is not ApprovalState.NONE and counted[state]}


def plan_id(plan: Plan) -> str:
    """The digest of a plan: equal for equal changes from equal records, on every machine."""
    return digest_json(
        [plan.project, plan.environment, plan.server, plan.lineage, [_essence(change) for change in plan.changes]]
    )


def _essence(change: Change) -> list[object]:
    other_sides = [change.remote.body, change.remote.title] if change.remote is not None else []
    other_sides += [change.promotion.expects] if change.promotion is not None else []
    return [
        change.id,
        change.action,
        list(change.names),
        change.spec.digest if change.spec else "",
        change.record.digest if change.record else "",
        change.record.rev if change.record else 0,
        change.attempt,
        change.target,
        change.source,
        change.file.file,
        change.credits_worst,
        *other_sides,
    ]


# --- every item --------------------------------------------------------------------------------------------


def _candidates(inputs: PlanInputs, notes: list[Note]) -> Iterator[Candidate]:
    """Every declared item, then every removed one, each with its change; adds their notes to `notes`."""
    records, specs, entries = inputs.state.records, inputs.specs, inputs.entries
    orphans = pair_renames(inputs)
    # Recorded paths whose item now declares another one: free for a new item once the moves are done.
    leaving = {
        collision_key(record.output)
        for id_, record in records.items()
        if id_ in specs and specs[id_].output != record.output
    }
    item_paths: set[str] = set()
    for spec in inputs.desired.specs:
        record, orphan = records.get(spec.id), orphans.get(spec.id)
        file = find_file(inputs, spec, record or orphan)
        if record is None and orphan is None and leaving and collision_key(spec.output) in leaving:
            file = Observed(path=spec.output)
        if inputs.written:
            item_paths.add(collision_key(file.path))
        own_entries = entries.get(spec.id, ())
        item = ItemSides(inputs=inputs, spec=spec, record=record, orphan=orphan, entries=own_entries, file=file)
        change, more = decide(item)
        change = change and with_claims(inputs, change)
        notes += more
        approval = approval_state(inputs, spec, item.own, file)
        if change is not None and approval is not ApprovalState.NONE:
            change = structs.replace(change, approval=approval)
        yield Candidate(
            id=spec.id,
            spec=spec,
            change=change,
            entries=own_entries,
            record=item.own,
            file=file,
            approval=approval,
            stale=spec.id in inputs.stale,
            made=inputs.made,
        )
    notes += _leftover_files(inputs, item_paths)
    gone = (records.keys() | entries.keys()) - specs.keys() - {orphan.id for orphan in orphans.values()}
    if not gone:
        return
    shared = {collision_key(spec.output) for spec in inputs.desired.specs}
    shared |= {collision_key(record.output) for id_, record in records.items() if id_ in specs}
    for id_ in sorted(gone):
        record, own_entries = records.get(id_), entries.get(id_, ())
        if record is None and not collected_of(own_entries):
            continue
        is_shared = record is not None and collision_key(record.output) in shared
        change, note = decide_gone(inputs, record, own_entries, shared=is_shared)
        change = change and with_claims(inputs, change)
        notes += [note] if note else []
        path = record.output if record is not None else ""
        gone_file = inputs.observe(path) if path else None
        yield Candidate(
            id=id_,
            spec=None,
            change=change,
            entries=own_entries,
            path=path,
            record=record,
            file=gone_file,
            made=inputs.made,
        )


def _leftover_files(inputs: PlanInputs, item_paths: set[str]) -> Iterator[Note]:
    """Notes about files that an interrupted run wrote for a request that no item declares any more."""
    for digest, entries in inputs.written.items():
        for entry in entries:
            file = inputs.observe(entry.output)
            ours = file.provenance.get("digest") == digest or file.body in {inputs.body_of(entry)} - {NOTHING}
            if ours and collision_key(entry.output) not in item_paths:
                spec = inputs.specs.get(entry.item)
                keep = f"copy what you need to `{spec.output}`, then remove it" if spec else "remove it, or keep it"
                message = (
                    f"`{entry.output}` was written for an earlier request of `{entry.item}`; it belongs to no item now"
                )
                yield Note(kind="left-behind", id=entry.item, message=message, hint=keep)


# --- moves -------------------------------------------------------------------------------------------------


def free_targets(inputs: PlanInputs, changes: list[Change]) -> list[Change]:
    """The changes, those blocked whose target path stays occupied, or that move in a ring."""
    changes = _without_rings(changes)
    leaving = Counter(collision_key(change.source) for change in changes if change.has(Move))
    todo = [change for change in changes if change.has(Move, Write)]
    coming: dict[str, list[Change]] = defaultdict(list)
    for change in todo:
        coming[collision_key(change.target)].append(change)
    blocked: set[ItemId] = set()
    while todo:
        change = todo.pop()
        if change.id not in blocked and _is_taken(inputs, change, leaving):
            blocked.add(change.id)
            if change.has(Move):  # its own path stays occupied
                key = collision_key(change.source)
                leaving[key] -= 1
                todo += coming[key]
    return [_blocked_by_file(change) if change.id in blocked else change for change in changes] if blocked else changes


def _without_rings(changes: list[Change]) -> list[Change]:
    moves = {change.id: step for change in changes for step in change.steps if isinstance(step, Move)}
    hints: dict[ItemId, str] = {}
    for ring in find_rings(moves):
        start = ring.index(min(ring))
        sources = [moves[id_].source for id_ in (*ring[start:], *ring[:start])]
        shown = " -> ".join(f"`{source}`" for source in (*sources, sources[0]))
        hint = f"the outputs swap paths in a cycle: {shown}; first give one of them another `output` and apply"
        hints |= dict.fromkeys(ring, hint)
    return [
        block_change(change, "output-ring", hints[change.id]) if change.id in hints else change for change in changes
    ]


def _is_taken(inputs: PlanInputs, change: Change, leaving: Counter[str]) -> bool:
    source, target = change.source, change.target
    occupant = inputs.observe(target)
    if source == target or not occupant.exists or leaving[collision_key(target)]:
        return False
    # The same file: under another case of letters, or linked by an interrupted move.
    same = bool(source) and occupant.file == change.file.file
    inside = bool(source) and collision_key(target).startswith(f"{collision_key(source)}/")
    return not (same or inside)


def _blocked_by_file(change: Change) -> Change:
    hint = f"`{change.target}` exists but does not belong to this item; move it away"
    is_explained = any(reason.field == "output" for reason in change.reasons)
    why = () if is_explained else (Reason(kind="occupied", field="output", after=change.target),)
    return block_change(change, "foreign-file", hint, *why)


# --- part of it --------------------------------------------------------------------------------------------


def first_submits(inputs: PlanInputs, changes: Sequence[Change], number: int) -> tuple[list[Change], Note]:
    """The first `number` submitting changes that can go without the rest, and a note of what waits."""
    submits = [change for change in changes if change.submits_worst and not change.later]
    while True:
        first = submits[:number]
        # A target stays occupied while the change that would free it waits.
        blocked = {change.id for change in free_targets(inputs, first) if not change.submits_worst}
        if not blocked:
            break
        submits = [change for change in submits if change.id not in blocked]
    total = sum(bool(change.submits_worst) for change in changes)
    message = f"canary: {len(first)} of {plural(total, 'generation')}; {total - len(first)} wait"
    others = len(changes) - total
    message += f", and so {'does' if others == 1 else 'do'} {plural(others, 'other change')}" if others else ""
    return first, Note(kind="canary", message=message, hint="to do the rest, apply without `--canary`")


def ignoring_existing(number: int, why: str) -> tuple[Note, ...]:
    """The note of the changes that a plan leaves out, if there are any."""
    message = f"left alone, as {why}: {number} of today's changes"
    return (Note(kind="left-alone", message=message),) if number else ()


def _other_servers(inputs: PlanInputs) -> list[Note]:
    return [
        Note(
            kind="other-server",
            id=entry.item,
            message=f"`{entry.item}` has an open job on `{entry.server}`, which this plan does not use",
        )
        for entry in inputs.state.entries.values()
        if entry.server != inputs.server and entry.state is not JobState.FAILED
    ]


def _check_replace(inputs: PlanInputs) -> None:
    for id_ in inputs.choice.replace:
        if id_ in inputs.specs:
            continue
        hint = did_you_mean(id_, inputs.specs, "`contentops status` lists the items")
        raise UsageError(f"`--replace {id_}`: not declared in any manifest", code="unknown-item", hint=hint)
