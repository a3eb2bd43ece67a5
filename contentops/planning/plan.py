"""All items at once: pair renames, compare each, keep what was selected, free the targets, guard, and count."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import digest_json
from contentops.errors import UsageError, nearest
from contentops.model import Change, ItemId, JobState, Move, Note, Observed, Plan, Reason, Record, Spec, Write
from contentops.planning.body import Item
from contentops.planning.compare import compare, find_file, gone, hold
from contentops.planning.guards import refusals
from contentops.planning.select import candidate, check_selectors, is_selected
from contentops.planning.situation import is_made_by_local, key_of, open_entries, pending, specs_by_id, tombstones

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import OpenEntry
    from contentops.planning.situation import Situation


def make_plan(s: Situation) -> Plan:
    """What remains to be done, and why, for the whole project or the selected part of it.

    Raises UsageError for selectors or `--replace` ids that name nothing.
    """
    specs = specs_by_id(s.desired)
    check_selectors((*s.choice.select, *s.choice.exclude))
    _check_replace(s, specs)
    entries = open_entries(s.state, s.server)
    orphans = pair_renames(s, specs, entries)
    found: list[tuple[Change | None, Spec | None]] = []
    notes: list[Note] = []
    leaving = _leaving(s, specs)
    for spec in s.desired.specs:
        record, orphan = s.state.records.get(spec.id), orphans.get(spec.id)
        file = find_file(s, spec, record or orphan)
        if record is None and orphan is None and key_of(spec.output) in leaving:
            file = Observed(path=spec.output)
        item = Item(spec=spec, record=record, orphan=orphan, entries=entries.get(spec.id, ()), file=file)
        change, said = compare(s, item)
        found.append((change, spec))
        notes += said
    for change, note in _gone(s, specs, entries, {orphan.id for orphan in orphans.values()}):
        found.append((change, None))
        notes += [note] if note else []
    chosen = [
        (change, spec)
        for change, spec in found
        if (spec or change) and is_selected(s.choice, candidate(change, spec, failed=_has_failed(spec, entries)))
    ]
    changes = free_targets(s, [change for change, _ in chosen if change is not None])
    changes.sort(key=lambda change: change.id)
    if s.choice.select and not chosen:
        notes.append(_nothing_selected(s, specs))
    notes += [*s.choice.notes, *_other_servers(s)]
    declared = sum(change.spec is not None for change in changes)
    if s.choice.canary is not None:
        changes, note = first_submits(s, changes, s.choice.canary)
        notes.append(note)
    selected = sum(spec is not None for _, spec in chosen)
    plan = Plan(
        project=s.project.name,
        environment=s.project.environment,
        server=s.server,
        lineage=s.state.lineage,
        changes=tuple(changes),
        notes=tuple(sorted(notes, key=lambda note: (note.id or "", note.kind, note.message))),
        refusals=refusals(s, changes),
        unchanged=selected - declared,
        findings=(*s.project.warnings, *s.desired.findings),
    )
    return structs.replace(plan, id=plan_id(plan))


def plan_id(plan: Plan) -> str:
    """The name of a plan: equal for equal changes from equal records, whatever the machine."""
    return digest_json(
        [plan.project, plan.environment, plan.server, plan.lineage, [_essence(change) for change in plan.changes]]
    )


def _essence(change: Change) -> list[object]:
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
        change.credits,
    ]


def pair_renames(
    s: Situation, specs: Mapping[ItemId, Spec], entries: Mapping[ItemId, list[OpenEntry]]
) -> dict[ItemId, Record]:
    """New items, each with the gone item whose record answers the same request; in id order on both sides."""
    free: dict[str, list[Record]] = defaultdict(list)
    for id_ in sorted(s.state.records.keys() - specs.keys(), reverse=True):
        record = s.state.records[id_]
        if not is_made_by_local(s, record):
            free[record.digest].append(record)
    pairs: dict[ItemId, Record] = {}
    for spec in s.desired.specs:
        busy = any(entry.digest == spec.digest for entry in pending(entries.get(spec.id, [])))
        if spec.id not in s.state.records and not busy and free.get(spec.digest):
            pairs[spec.id] = free[spec.digest].pop()
    return pairs


def _leaving(s: Situation, specs: Mapping[ItemId, Spec]) -> set[str]:
    """Recorded paths whose item now declares another one: free for a new item once the moves are done."""
    return {
        key_of(record.output)
        for id_, record in s.state.records.items()
        if id_ in specs and specs[id_].output != record.output
    }


def _gone(
    s: Situation, specs: Mapping[ItemId, Spec], entries: Mapping[ItemId, list[OpenEntry]], renamed: set[ItemId]
) -> list[tuple[Change | None, Note | None]]:
    shared = {key_of(spec.output) for spec in s.desired.specs} | {
        key_of(record.output) for id_, record in s.state.records.items() if id_ in specs
    }
    ids = sorted((s.state.records.keys() | entries.keys()) - specs.keys() - renamed)
    found = []
    for id_ in ids:
        record = s.state.records.get(id_)
        held = entries.get(id_, [])
        if record is None and not pending(held):
            continue
        found.append(gone(s, record, held, shared=record is not None and key_of(record.output) in shared))
    return found


def free_targets(s: Situation, changes: list[Change]) -> list[Change]:
    """`changes` with those blocked whose target holds a file that does not move away."""
    while True:
        leaving = {key_of(change.source) for change in changes if change.has(Move) and change.source}
        blocked = {
            change.id
            for change in changes
            if change.has(Move, Write) and change.source != change.target and _occupied(s, change, leaving)
        }
        if not blocked:
            return changes
        changes = [_block_target(change) if change.id in blocked else change for change in changes]


def _occupied(s: Situation, change: Change, leaving: set[str]) -> bool:
    there = s.observe(change.target)
    if not there.exists or key_of(change.target) in leaving:
        return False
    # The very file: under another spelling where the system folds case, or linked by a move that was cut short.
    same = bool(change.source) and there.file == change.file.file
    inside = bool(change.source) and key_of(change.target).startswith(f"{key_of(change.source)}/")
    return not (same or inside)


def _block_target(change: Change) -> Change:
    reason = Reason(kind="occupied", field="output", after=change.target)
    return hold(change, "foreign-file", f"`{change.target}` exists and is not this item's file; move it away", reason)


def first_submits(s: Situation, changes: Sequence[Change], number: int) -> tuple[list[Change], Note]:
    """The first `number` changes that submit and can be carried out without the others; a note says what waits."""
    submits = [change for change in changes if change.submits]
    while True:
        kept = submits[:number]
        # A target that only another change would free is not free while that one waits.
        held = {change.id for change in free_targets(s, kept) if not change.submits}
        if not held:
            break
        submits = [change for change in submits if change.id not in held]
    total = sum(bool(change.submits) for change in changes)
    message = f"canary: {len(kept)} of {_counted(total, 'generation')}; {total - len(kept)} wait"
    others = len(changes) - total
    message += f", and so {'does' if others == 1 else 'do'} {_counted(others, 'other change')}" if others else ""
    return kept, Note(kind="canary", message=message, hint="apply without `--canary` to go on with all of it")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _has_failed(spec: Spec | None, entries: Mapping[ItemId, list[OpenEntry]]) -> bool:
    return spec is not None and bool(tombstones(entries.get(spec.id, []), spec.digest))


def _other_servers(s: Situation) -> list[Note]:
    return [
        Note(
            kind="other-server",
            id=entry.item,
            message=f"`{entry.item}` has an open job on `{entry.server}`, which this plan does not speak to",
        )
        for entry in s.state.entries.values()
        if entry.server != s.server and entry.state is not JobState.FAILED
    ]


def _nothing_selected(s: Situation, specs: Mapping[ItemId, Spec]) -> Note:
    """Says that no item was meant, and which plain ids may be misspelt."""
    known = {*specs, *s.state.records}
    plain = [selector for selector in s.choice.select if not set(selector) & set("*?[:")]
    close = [found for selector in plain if selector not in known and (found := nearest(selector, known))]
    names = " or ".join(f"`{name}`" for name in dict.fromkeys(close))
    hint = f"did you mean {names}?" if names else "`contentops status` lists the items"
    return Note(kind="nothing-selected", message="the selection matches no item", hint=hint)


def _check_replace(s: Situation, specs: Mapping[ItemId, Spec]) -> None:
    for id_ in s.choice.replace:
        if ItemId(id_) in specs:
            continue
        close = nearest(id_, specs)
        raise UsageError(
            f"`--replace {id_}`: no manifest declares it",
            code="unknown-item",
            hint=f"did you mean `{close}`?" if close else "`contentops status` lists the items",
        )
