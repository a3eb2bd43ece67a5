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
    OnSourceChange,
    Plan,
    Publish,
    Reason,
    Save,
    Update,
    Write,
)
from contentops.model.plan import Writer
from contentops.planning.approval import approval_state, new_drafts, texts_in_review
from contentops.planning.claimed_items import with_claims
from contentops.planning.data_files import row_notes
from contentops.planning.decide import block_change, decide, find_file
from contentops.planning.dependants import in_order
from contentops.planning.gone import collected_of, decide_gone
from contentops.planning.guards import month_spent, refusals
from contentops.planning.model_price import usual_cost
from contentops.planning.outlines import draft_notes
from contentops.planning.plan_inputs import ItemSides
from contentops.planning.promote import is_about_promotion
from contentops.planning.renames import find_rings, missed, pair_renames
from contentops.planning.same_request import block_same_requests, same_briefs
from contentops.planning.select import Candidate, selected
from contentops.planning.sources import followers, open_keys, settle_waits, stage_coming, stale_notes, waits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentops.model import Change, ItemId, Record, Reference, Spec
    from contentops.model.references import Stage
    from contentops.planning.plan_inputs import PlanInputs


def make_plan(inputs: PlanInputs) -> Plan:
    """The plan of the whole project, or of the selected part of it.

    Raises UsageError for selectors or `--replace` ids that name nothing.
    """
    return plan_with_items(inputs)[0]


def plan_with_items(inputs: PlanInputs) -> tuple[Plan, Mapping[ItemId, Candidate]]:
    """The plan, as `make_plan` has it, and every item by id, with the change that it has by itself."""
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
    if choice.only_front:
        changes = [alone for each in changes if (alone := front_alone(each)) is not None]
    changes = free_targets(inputs, changes)
    if not (choice.only_promoted or choice.only_front):
        changes = settle_waits(chosen, changes)
    notes += [*stale_notes(inputs, chosen), *row_notes(chosen)]
    changes = block_same_requests(inputs, changes)
    changes.sort(key=lambda change: change.id)
    waiting = {note.id for note in notes if note.kind == "waiting-for-approval"}
    changing = waiting | {change.id for change in changes}
    unchanged = sum(item.spec is not None and item.change is None and item.id not in changing for item in chosen)
    if choice.canary is not None:
        changes, note = first_submits(inputs, changes, choice.canary)
        notes.append(note)
    notes += [*same_briefs(inputs, changes), *usual_cost(inputs, changes)]
    notes += new_drafts(changes, inputs.project.preset)
    plan = Plan(
        beside_default=inputs.project.beside_default,
        project=inputs.project.name,
        environment=inputs.project.environment,
        server=inputs.server,
        writer=_writer(inputs),
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
    return structs.replace(plan, id=plan_id(plan)), {item.id: item for item in candidates}


def _writer(inputs: PlanInputs) -> Writer | None:
    api = inputs.project.api
    return Writer(model=api.model, passes=api.passes, max_tokens=api.max_tokens) if api.has_model else None


def front_alone(change: Change) -> Change | None:
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


def change_alone(inputs: PlanInputs, spec: Spec, coming: Mapping[ItemId, Stage]) -> Change | None:
    """The change of the one item whose sides `inputs` has; `coming`: what the changes of other items still bring."""
    (item,) = declared_sides(inputs)
    item = structs.replace(item, open=open_keys(spec, coming))
    waits = waits_of(spec, coming)
    change = _candidate(waiting_for(item, waits) if waits else item)[0].change
    return None if change is None else free_targets(inputs, [change])[0]


# --- every item --------------------------------------------------------------------------------------------


def _candidates(inputs: PlanInputs, notes: list[Note]) -> Iterator[Candidate]:
    """Every declared item, then every removed one, each with its change; adds their notes to `notes`."""
    orphans = pair_renames(inputs)
    sides = list(declared_sides(inputs, orphans))
    made: dict[ItemId, tuple[Candidate, tuple[Note, ...]]] = {}
    coming: dict[ItemId, Stage] = {}
    asked: Sequence[ItemSides] = sides
    while asked:
        for item in asked:
            waits = waits_of(item.spec, coming) if item.spec.references else ()
            made[item.spec.id] = _candidate(waiting_for(item, waits) if waits else item)
            if (stage := stage_coming(made[item.spec.id][0].change)) is not None:
                coming[item.spec.id] = min(stage, coming.get(item.spec.id, stage))
        # Titles and front matter that follow a text come later than this plan; so do texts that are made from them.
        followed = followers(inputs.desired.specs, coming)
        coming |= followed
        asked = [item for item in sides if any(one.id in followed for one in item.spec.references)]
    for item in sides:
        # What metadata mentions may be in a ring, so that it is looked at when all changes are known.
        if any(one.id in coming for one in item.spec.mentions):
            waits = made[item.spec.id][0].waits
            opened = structs.replace(item, open=open_keys(item.spec, coming))
            made[item.spec.id] = _candidate(waiting_for(opened, waits) if waits else opened)
    for spec in inputs.desired.specs:
        candidate, more = made[spec.id]
        notes += more
        yield candidate
    notes += _leftover_files(inputs, {collision_key(item.file.path) for item in sides} if inputs.written else set())
    yield from _gone(inputs, notes, {orphan.id for orphan in orphans.values()})


def declared_sides(inputs: PlanInputs, orphans: Mapping[ItemId, Record] | None = None) -> Iterator[ItemSides]:
    """Every declared item with its sides, after those that its own text is made from.

    `orphans`: the records that new items take over, if they are known already.
    """
    orphans = pair_renames(inputs) if orphans is None else orphans
    records, specs = inputs.state.records, inputs.specs
    # Recorded paths whose item now declares another one: free for a new item once the moves are done.
    leaving = {
        collision_key(record.output)
        for id_, record in records.items()
        if id_ in specs and specs[id_].output != record.output
    }
    for spec in _sources_first(inputs.desired.specs):
        record, orphan = records.get(spec.id), orphans.get(spec.id)
        file = find_file(inputs, spec, record or orphan)
        if record is None and orphan is None and leaving and collision_key(spec.output) in leaving:
            file = Observed(path=spec.output)
        yield ItemSides(
            inputs=inputs,
            spec=spec,
            record=record,
            orphan=orphan,
            entries=inputs.entries.get(spec.id, ()),
            file=file,
            open=frozenset(spec.open_metadata),
        )


def _gone(inputs: PlanInputs, notes: list[Note], taken_over: set[ItemId]) -> Iterator[Candidate]:
    """Every item that no manifest declares any more, without those whose records others take over."""
    records, specs, entries = inputs.state.records, inputs.specs, inputs.entries
    gone = (records.keys() | entries.keys()) - specs.keys() - taken_over
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


def _sources_first(specs: Sequence[Spec]) -> Sequence[Spec]:
    """The items, each after those that its own text is made from, else in their order."""
    referring = {spec.id: {one.id for one in spec.references} for spec in specs if spec.references}
    if not referring:
        return specs
    rank = {id_: number for number, id_ in enumerate(in_order(referring))}
    return sorted(specs, key=lambda spec: rank.get(spec.id, -1))


def waiting_for(item: ItemSides, waits: tuple[Reference, ...]) -> ItemSides:
    """An item that waits for texts; if its path is made from one, it stays where it is."""
    spec, record = item.spec, item.record
    if record is not None and "output" in spec.readings:
        spec = structs.replace(spec, output=record.output)
    return structs.replace(item, spec=spec, waits=waits)


def _candidate(item: ItemSides) -> tuple[Candidate, tuple[Note, ...]]:
    """A declared item with its change, and its notes."""
    inputs, spec = item.inputs, item.spec
    change, notes = decide(item)
    change = change and with_claims(inputs, change)
    approval = approval_state(inputs, spec, item.own, item.file)
    if change is not None and approval is not ApprovalState.NONE:
        change = structs.replace(change, approval=approval)
    rule = item.stale_rule if spec.references or spec.frame else None
    made = Candidate(
        id=spec.id,
        spec=spec,
        change=change,
        entries=item.entries,
        record=item.own,
        file=item.file,
        approval=approval,
        stale=rule is not None and (not item.waits or rule is OnSourceChange.NOTE),
        keeps=rule is OnSourceChange.NOTE,
        waits=item.waits,
        edited_there=item.is_edited_on_server,
        made=inputs.made,
    )
    return made, notes


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
