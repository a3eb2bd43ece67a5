"""Makes the plan of a project: decides the change of each item, selects items and runs the guards.

It also handles items that no manifest declares any more, claims of other processes, and items with equal requests.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import structs

from contentops.digest import NOTHING, Digest, digest_json, is_same_json
from contentops.documents.clean import title_digest
from contentops.documents.paths import collision_key
from contentops.documents.preset import uses_changed_at
from contentops.errors import UsageError, did_you_mean, plural
from contentops.model import (
    Acknowledge,
    Action,
    ApprovalState,
    Change,
    Collect,
    Fetch,
    ItemId,
    JobState,
    Move,
    Note,
    Observed,
    OnSourceChange,
    Plan,
    Publish,
    Reason,
    Record,
    Reference,
    Remove,
    RequestId,
    Save,
    Spec,
    Update,
    Write,
    request_id,
    text_digest,
)
from contentops.model.desired import Stage
from contentops.model.plan import Writer
from contentops.planning.approval import approval_state, new_drafts, noted_approvals, texts_in_review
from contentops.planning.guards import collecting, month_spent, refusals, usual_cost
from contentops.planning.promote import is_about_promotion
from contentops.planning.select import Candidate, in_order, selected
from contentops.planning.sides import ItemSides, PlanInputs, find_rings, is_edited, missed, pending
from contentops.planning.similar import same_briefs
from contentops.planning.sources import (
    draft_notes,
    followers,
    named,
    open_keys,
    settle_waits,
    stage_coming,
    stale_notes,
    waits_of,
)
from contentops.planning.table import block_change, decide, find_file

# ---- The plan of all items: pair renames, decide each, select, block occupied targets, guard and count.


def make_plan(inputs: PlanInputs) -> Plan:
    """Return the plan of all items, or of the selected items.

    Raises UsageError for selectors or `--replace` ids that name nothing.
    """
    return plan_with_items(inputs)[0]


def plan_with_items(
    inputs: PlanInputs, known: Mapping[ItemId, Candidate] = MappingProxyType({})
) -> tuple[Plan, list[Candidate]]:
    """Return the plan, and a list of all items with their changes. See `make_plan`.

    `known`: the items that `still_unchanged` returned for an earlier plan, if there was one.
    """
    choice = inputs.choice
    _check_replace(inputs)
    notes: list[Note] = [
        *choice.notes,
        *_other_servers(inputs),
        *draft_notes(inputs),
    ]
    candidates = list(_candidates(inputs, notes, known))
    chosen = selected(choice, candidates)
    if choice.select and not chosen:
        notes.append(Note(kind="nothing-selected", message="the selection matches no item"))
    changes = _chosen_changes(inputs, chosen)
    if choice.only_promoted:
        others = sum(item.change is not None for item in chosen) - len(changes)
        notes += ignoring_existing(others, "no other environment has texts for them")
    notes += stale_notes(inputs, chosen)
    waiting = {note.id for note in notes if note.kind == "waiting-for-approval"}
    changing = waiting | {change.id for change in changes}
    unchanged = sum(item.spec is not None and item.change is None and item.id not in changing for item in chosen)
    if choice.canary is not None:
        changes, note = first_submits(inputs, changes, choice.canary)
        notes.append(note)
    notes += [*same_briefs(inputs, changes), *usual_cost(inputs, changes)]
    notes += [*new_drafts(changes, inputs.project.preset), *noted_approvals(chosen)]
    api = inputs.project.api
    approvals: Counter[ApprovalState] = Counter(
        item.approval for item in chosen if item.approval is not ApprovalState.NONE
    )
    plan = Plan(
        beside_default=inputs.project.beside_default,
        first_prose=api.has_model and _is_first_prose(inputs, changes),
        project=inputs.project.name,
        environment=inputs.project.environment,
        server=inputs.server,
        writer=Writer(model=api.model, passes=api.passes, max_tokens=api.max_tokens) if api.has_model else None,
        budget=inputs.project.budget,
        spent=month_spent(inputs, changes),
        lineage=inputs.state.lineage,
        changes=tuple(changes),
        notes=tuple(sorted(notes, key=lambda note: (note.id or "", note.kind, note.message))),
        refusals=refusals(inputs, changes),
        unchanged=unchanged,
        approvals={state: approvals[state] for state in ApprovalState if approvals[state]},
        approves=tuple(texts_in_review(inputs, chosen, waiting)) if choice.in_review else (),
        findings=(*inputs.project.warnings, *inputs.desired.findings, *missed(inputs)),
    )
    planned = {change.id: change for change in changes}
    items = [structs.replace(item, change=planned.get(item.id)) for item in candidates]
    return structs.replace(plan, id=plan_id(plan)), sorted(items, key=lambda item: item.id)


def _chosen_changes(inputs: PlanInputs, chosen: Sequence[Candidate]) -> list[Change]:
    """Return the changes of the selected items, sorted by id.

    Their target paths are checked, and it is decided which of them wait for texts of other items.
    """
    choice = inputs.choice
    changes = [item.change for item in chosen if item.change is not None]
    if choice.only_front:
        changes = [alone for each in changes if (alone := front_alone(each)) is not None]
    if choice.only_promoted:
        # What becomes of an item that waits is decided below.
        changes = [change for change in changes if change.waits or is_about_promotion(change)]
    changes = free_targets(inputs, changes)
    if not choice.only_front:
        changes = settle_waits(chosen, changes)
    if choice.only_promoted:
        changes = [change for change in changes if change.pays_later or is_about_promotion(change)]
    declared = declared_requests(inputs.desired.specs)
    return sorted((block_same(inputs, change, declared) for change in changes), key=lambda change: change.id)


FRONT = (Update, Acknowledge, Save, Publish)
"""The kinds of steps that write no new text."""


def front_alone(change: Change) -> Change | None:
    """Return a change of front matter or the record, without its steps that save to the server.

    Return None for all other changes, and for a change that only saves to the server.
    """
    steps = tuple(step for step in change.steps if not isinstance(step, Save | Publish))
    if not steps or not is_about_front(change):
        return None
    return structs.replace(change, action=Action.UPDATE, steps=steps, blocked="", hint="")


def is_about_front(change: Change) -> bool:
    """Return whether all steps of a change update front matter or the record, or save the file."""
    return bool(change.steps) and all(isinstance(step, FRONT) for step in change.steps)


def plan_id(plan: Plan) -> str:
    """Return the digest of a plan. Equal changes and records give equal digests on every machine."""
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
    """Return the change of the only item in `inputs`, or None if there is nothing to do.

    `coming` has the other items that this plan still changes, each with the first stage that changes.
    """
    (item,) = declared_sides(inputs)
    item = structs.replace(item, open_metadata=open_keys(spec, coming))
    waits = waits_of(spec, coming)
    change = _candidate(waiting_for(item, waits))[0].change
    return None if change is None else free_targets(inputs, [change])[0]


# --- every item --------------------------------------------------------------------------------------------


def still_unchanged(items: Iterable[Candidate], before: PlanInputs, now: PlanInputs) -> dict[ItemId, Candidate]:
    """Return the items that were up to date in an earlier plan and whose inputs have not changed since.

    `items` must have no notes, because a note is made only when its item is planned. Items that depend on other items
    or have open jobs are left out, so that they are planned again.
    """
    if not _differ_only_by_item(before, now) or now.written:
        return {}
    verdicts = frozenset(before.approvals.lines) ^ frozenset(now.approvals.lines)
    judged, texts = {line.item for line in verdicts}, {line.text for line in verdicts}

    def is_same(item: Candidate) -> bool:
        spec, record, file = item.spec, item.record, item.file
        if spec is None or record is None or file is None or item.change is not None or item.open_jobs:
            return False
        is_alone = not (spec.references or spec.mentions or item.stale or record.is_promoted)
        is_alone = is_alone and not uses_changed_at(spec.metadata)  # a commit may say its day
        is_read = now.records.get(item.id) == record and now.observe(record.output) == file
        return is_alone and is_read and item.id not in judged and text_digest(file.title, file.body) not in texts

    return {item.id: item for item in items if is_same(item)}


_BY_ITEM = {"desired", "state", "observed", "approvals"}
"""The inputs that are compared item by item, or separately."""
_ASKED = {"cached", "text", "read", "why_no_text", "exists", "denied", "spent", "changed_on", "committed"}
"""The inputs that are read only for items that have something to do."""


def _differ_only_by_item(before: PlanInputs, now: PlanInputs) -> bool:
    """Return whether the inputs of two plans differ only in the records, files and approvals of items."""
    names = set(PlanInputs.__struct_fields__) - _BY_ITEM - _ASKED
    same = all(getattr(before, name) == getattr(now, name) for name in names)
    jobs = [(each.state.jobs, each.state.open_jobs, each.state.lineage) for each in (before, now)]
    return same and jobs[0] == jobs[1] and before.desired is now.desired and now.source is None


def _candidates(inputs: PlanInputs, notes: list[Note], known: Mapping[ItemId, Candidate]) -> Iterator[Candidate]:
    """Yield every declared item and then every removed item, each with its change. Their notes are added to `notes`."""
    sides = list(declared_sides(inputs, known))
    made: dict[ItemId, tuple[Candidate, tuple[Note, ...]]] = {id_: (item, ()) for id_, item in known.items()}
    coming: dict[ItemId, Stage] = {}
    asked: Sequence[ItemSides] = sides
    while asked:
        for item in asked:
            waits = waits_of(item.spec, coming) if item.spec.references else ()
            made[item.spec.id] = _candidate(waiting_for(item, waits))
            if (stage := stage_coming(made[item.spec.id][0].change)) is not None:
                coming[item.spec.id] = min(stage, coming.get(item.spec.id, stage))
        # Titles and front matter that follow a text come later than this plan; so do texts that are made from them.
        followed = followers(inputs.desired.specs, coming)
        coming |= followed
        asked = [item for item in sides if any(one.id in followed for one in item.spec.references)]
    for item in sides:
        # The items that metadata uses may form a ring. So they are looked at when all changes are known.
        if any(one.id in coming for one in item.spec.mentions):
            waits = made[item.spec.id][0].waits
            opened = structs.replace(item, open_metadata=open_keys(item.spec, coming))
            made[item.spec.id] = _candidate(waiting_for(opened, waits))
    for spec in inputs.desired.specs:
        candidate, more = made[spec.id]
        notes += more
        yield candidate
    yield from _gone(inputs, notes)


def declared_sides(inputs: PlanInputs, known: Container[ItemId] = ()) -> Iterator[ItemSides]:
    """Yield each declared item with the data that a plan needs for it, sources first. Omit items in `known`."""
    records, specs = inputs.records, inputs.specs
    # Recorded paths whose items move to other paths. After the moves they are free for new items.
    leaving = {
        collision_key(record.output)
        for id_, record in records.items()
        if id_ in specs and specs[id_].output != record.output
    }
    for spec in _sources_first([spec for spec in inputs.desired.specs if spec.id not in known]):
        record = records.get(spec.id)
        file = find_file(inputs, spec, record)
        if record is None and leaving and collision_key(spec.output) in leaving:
            file = Observed(path=spec.output)
        yield ItemSides(
            inputs=inputs,
            spec=spec,
            record=record,
            open_jobs=inputs.open_jobs.get(spec.id, ()),
            file=file,
            open_metadata=frozenset(spec.open_metadata),
        )


def _gone(inputs: PlanInputs, notes: list[Note]) -> Iterator[Candidate]:
    """Yield the recorded items that no manifest declares any more. With `--prune` their change deletes them."""
    records, specs, jobs = inputs.records, inputs.specs, inputs.open_jobs
    gone = (records.keys() | jobs.keys()) - specs.keys()
    if not gone:
        return
    # Where a declared item has the path now, only the record may be removed.
    shared = {collision_key(spec.output) for spec in inputs.desired.specs}
    shared |= {collision_key(record.output) for id_, record in records.items() if id_ in specs}
    for id_ in sorted(gone):
        record, own_jobs = records.get(id_), jobs.get(id_, ())
        file = inputs.observe(record.output) if record is not None else None
        collected = [job for job in pending(own_jobs) if job.state is not JobState.PAID]
        unknown = any(job.state is JobState.UNKNOWN for job in collected)
        is_own = file is not None and collision_key(file.path) not in shared
        change = Change(
            id=id_,
            action=Action.RESOLVE if unknown else Action.DRAIN,
            file=file if file is not None and is_own else Observed(path=""),
            reasons=(Reason(kind="gone", detail="not declared in any manifest"),),
            steps=collecting(inputs.project, collected),
            record=record,
            hint=f"if it cannot be found: `contentops state resolve {id_}`" if unknown else "",
        )
        if record is not None and inputs.choice.prune and not record.protected:
            change = _removed(inputs, change, record)
        elif record is not None:
            notes.append(_orphan_note(record, change.file))
        has_work = bool(change.steps or change.blocked)
        if record is not None or has_work:
            yield Candidate(
                id=id_,
                spec=None,
                change=with_claims(inputs.claimed, inputs.state.lineage, change) if has_work else None,
                open_jobs=own_jobs,
                record=record,
                made_by=inputs.state.made_by(record) if record is not None else None,
                file=file,
                is_edited=_is_edited_since(inputs, record, file),
            )


def _is_edited_since(inputs: PlanInputs, record: Record | None, file: Observed | None) -> bool:
    """Return whether a person changed the body of a file after the text was generated, promoted or adopted.

    `ItemSides.is_edited` counts edits before a promotion or adoption too.
    """
    if record is None or file is None:
        return False
    known = {record.adopted, record.promoted if record.is_promoted else NOTHING} - {NOTHING}
    return bool(record.generated or known) and is_edited(file, record, inputs.made, *known)


_UNDECLARED = "is made by no manifest and no chosen row"


def _orphan_note(record: Record, file: Observed) -> Note:
    if record.protected:
        return Note(kind="orphan", id=record.id, message=f"`{record.id}` {_UNDECLARED}; protected, it stays")
    stays, removed = "its record stays", "its record"
    if file.exists:
        stays, removed = f"its file `{record.output}` stays", "its record and its file"
    return Note(
        kind="orphan",
        id=record.id,
        message=f"`{record.id}` {_UNDECLARED}; {stays}",
        hint=f"`--prune` removes {removed}, `moved` renames it",
    )


def _removed(inputs: PlanInputs, change: Change, record: Record) -> Change:
    """Return the change that removes an item's record and file.

    It is blocked if a person edited the file or its front matter.
    """
    file = change.file
    is_written = title_digest(file.title) == title_digest(record.title) and is_same_json(file.front, record.metadata)
    if file.exists and (file.problem or is_edited(file, record, inputs.made) or not is_written):
        hint = f"`{record.output}` was edited by hand; remove the file yourself, or declare the item again"
        return structs.replace(change, action=Action.BLOCKED, blocked="edited", hint=hint)
    remove = Remove(target=file.path, expects=file.file)
    return structs.replace(change, action=Action.REMOVE, steps=(*change.steps, remove))


def _sources_first(specs: Sequence[Spec]) -> Sequence[Spec]:
    """Sort items so that each one comes after its sources. The order of other items stays."""
    referring = {spec.id: {one.id for one in spec.references} for spec in specs if spec.references}
    if not referring:
        return specs
    rank = {id_: number for number, id_ in enumerate(in_order(referring))}
    return sorted(specs, key=lambda spec: rank.get(spec.id, -1))


def waiting_for(item: ItemSides, waits: tuple[Reference, ...]) -> ItemSides:
    """Return the item with the texts that it waits for. If its path depends on these, it keeps the recorded path."""
    spec, record = item.spec, item.record
    if not waits:
        return item
    if record is not None and "output" in spec.readings:
        spec = structs.replace(spec, output=record.output)
    return structs.replace(item, spec=spec, waits=waits)


def _candidate(item: ItemSides) -> tuple[Candidate, tuple[Note, ...]]:
    """Return a declared item with its change, and the notes about it."""
    inputs, spec = item.inputs, item.spec
    change, notes = decide(item)
    change = change and with_claims(inputs.claimed, inputs.state.lineage, change)
    approval = approval_state(inputs, spec, item.record, item.file)
    if change is not None and approval is not ApprovalState.NONE:
        change = structs.replace(change, approval=approval)
    rule = item.stale_rule if spec.references or spec.frame else None
    made = Candidate(
        id=spec.id,
        spec=spec,
        change=change,
        open_jobs=item.open_jobs,
        record=item.record,
        made_by=inputs.state.made_by(item.record) if item.record is not None else None,
        file=item.file if item.record is not None else None,
        approval=approval,
        # What waits to be made again is not stale, but waiting.
        stale=rule is not None and (not item.waits or rule is OnSourceChange.NOTE),
        keeps=rule is OnSourceChange.NOTE,
        waits=item.waits,
        is_edited=_is_edited_since(inputs, item.record, item.file),
        is_edited_there=item.is_edited_on_server,
    )
    return made, notes


# --- moves -------------------------------------------------------------------------------------------------


def free_targets(inputs: PlanInputs, changes: list[Change]) -> list[Change]:
    """Return all changes, and block those whose target path another file still occupies.

    Changes whose moves form a ring are blocked too.
    """
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
    # Its own file is no obstacle: in another letter case, linked by an interrupted move, or below its own folder.
    is_same_file = occupant.file == change.file.file
    is_inside_source = collision_key(target).startswith(f"{collision_key(source)}/")
    return not (source and (is_same_file or is_inside_source))


def _blocked_by_file(change: Change) -> Change:
    hint = f"`{change.target}` exists but does not belong to this item; move it away"
    is_explained = any(reason.field == "output" for reason in change.reasons)
    why = () if is_explained else (Reason(kind="occupied", field="output", after=change.target),)
    return block_change(change, "foreign-file", hint, *why)


def _is_first_prose(inputs: PlanInputs, changes: Sequence[Change]) -> bool:
    """Return whether the plan orders several texts, although no model has yet written a text for the project.

    A person can then try one text first.
    """
    orders = [change for change in changes if change.submits]
    is_new = not any(job.model for job in (*inputs.state.jobs, *inputs.state.open_jobs.values()))
    return is_new and len(orders) > 1 and any(not change.pays_later for change in orders)


# --- part of it --------------------------------------------------------------------------------------------


def first_submits(inputs: PlanInputs, changes: Sequence[Change], number: int) -> tuple[list[Change], Note]:
    """Return the first `number` changes that generate a text without waiting for others, and a note about the rest."""
    submits = (change for change in changes if change.submits_worst and not change.pays_later)
    # A target stays occupied while the change that would free it waits.
    alone = (change for change in submits if free_targets(inputs, [change])[0].submits_worst)
    first = list(itertools.islice(alone, number))
    total = sum(bool(change.submits_worst) for change in changes)
    message = f"canary: {len(first)} of {plural(total, 'generation')}; {total - len(first)} wait"
    others = len(changes) - total
    message += f", and so {'does' if others == 1 else 'do'} {plural(others, 'other change')}" if others else ""
    return first, Note(kind="canary", message=message, hint="to do the rest, apply without `--canary`")


def ignoring_existing(number: int, why: str) -> tuple[Note, ...]:
    """Return a note about the changes that the plan leaves out, if there are any."""
    message = f"left alone, as {why}: {number} of today's changes"
    return (Note(kind="left-alone", message=message),) if number else ()


def _other_servers(inputs: PlanInputs) -> list[Note]:
    return [
        Note(
            kind="other-server",
            id=job.item,
            message=f"`{job.item}` has an open job on `{job.server}`, which this plan does not use",
        )
        for job in inputs.state.open_jobs.values()
        if job.server != inputs.server and job.state is not JobState.FAILED
    ]


def _check_replace(inputs: PlanInputs) -> None:
    for id_ in inputs.choice.replace:
        if id_ in inputs.specs:
            continue
        hint = did_you_mean(id_, inputs.specs, "`contentops status` lists the items")
        raise UsageError(f"`--replace {id_}`: not declared in any manifest", code="unknown-item", hint=hint)


# ---- Submits that other processes have claimed: these are left to them.

CLAIMED = "held"
"""The kind of the reason that another process has claimed an item."""


def with_claims(claimed: Mapping[RequestId, str], lineage: str, change: Change) -> Change:
    """Return the change without the steps that other processes have claimed.

    `claimed` maps requests to these processes. If a live process has claimed the submit of its text, the whole change
    is left to that process. If it has claimed an earlier job, only the step that collects this job is left out.
    """
    if not claimed or change.claimed_by:
        return change
    steps = tuple(step for step in change.steps if not (isinstance(step, Collect) and step.job.request_id in claimed))
    requests = (change.job.request_id if change.job is not None else None, submit_id(lineage, change))
    claim = next((claimed[id_] for id_ in requests if id_ is not None and id_ in claimed), None)
    if claim is None and not steps and change.steps:
        claim = claimed[change.collected_jobs[0].request_id]  # it only collects, and all of that is claimed
    if claim is None or change.blocked:
        return structs.replace(change, steps=steps)
    return structs.replace(
        change,
        action=Action.PENDING,
        steps=(),
        reasons=(*change.reasons, Reason(kind=CLAIMED, detail=f"{claim} is working on it")),
        claimed_by=claim,
        blocked_job=change.job,
        hint="",
    )


def submit_id(lineage: str, change: Change) -> RequestId | None:
    """Return the request id of the change's submit step, or None if the change submits nothing."""
    step = change.submit
    return None if step is None else request_id(lineage, step.digest, step.attempt, step.section)


# ---- Items that declare the same request.

KIND = "same-request"


def declared_requests(specs: Iterable[Spec]) -> dict[Digest, list[ItemId]]:
    """Return for each request the ids of the items that declare it."""
    items: dict[Digest, list[ItemId]] = {}
    for spec in specs:
        if spec.digest and spec.request.template:
            items.setdefault(spec.digest, []).append(spec.id)
    return items


def block_same(inputs: PlanInputs, change: Change, declared: Mapping[Digest, Sequence[ItemId]]) -> Change:
    """Return the change, or block it if several items would pay for the same request.

    Equal requests in manifests are an error before. These became equal when the texts of their sources were known.
    """
    ids = declared.get(change.digest, ())
    if len(ids) < 2 or not _takes_text(inputs, change):
        return change
    return block_change(change, KIND, f"{named(ids)} request exactly the same text: {_HINT}")


def _takes_text(inputs: PlanInputs, change: Change) -> bool:
    """Return whether a change pays for a whole text, or uses a text that another item paid for."""
    if change.submit is not None:
        return not change.submit.section
    jobs = (change.job, *(step.job for step in change.steps if isinstance(step, Fetch)))
    others = (job for job in jobs if job is not None and not job.section and job.item != change.id)
    return any(job.item in inputs.specs for job in others)


_HINT = "give one of them `revision: 2`, change their `inputs`, or declare one item"
