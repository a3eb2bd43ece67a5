"""`plan`: what an apply would do, and whether a reviewed plan still holds; `status` and `show`: how items stand.

`check`: the checks of every item, on the files that are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs, to_builtins

from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import Diagnostic, InputError, Location, OutputError, Severity, UsageError, did_you_mean
from contentops.model import NO_CHECKS, Action, Checked, CheckedFile, Desired, ItemId, Level, Move, Request, Spec
from contentops.operations.contents.look_first import remembered
from contentops.operations.opening import HERE, read_state
from contentops.operations.texts.clean_texts import CleanTexts
from contentops.operations.unchanged import AskedInputs
from contentops.operations.workspace import open_workspace, shared_state, unread, validate
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import Choice, price_of, specs_by_id
from contentops.planning.review import check_file
from contentops.planning.select import Candidate, check_selectors, selected
from contentops.reporting.plan_json import plain
from contentops.sections import bare, headings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contentops.model import Change, Checks, Finding, Json, Plan, Project, Record, State
    from contentops.operations.opening import Runtime
    from contentops.operations.unchanged import LastPlan
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


def gathered(workspace: Workspace, choice: Choice) -> PlanInputs:
    """The sides of a plan; with what the server has, where the choice says to look, else with what earlier looks saw.

    Raises what `refresh` raises.
    """
    found = workspace.plan_inputs(choice)
    if not choice.refresh:
        return remembered(workspace, found)
    from contentops.operations.contents.refresh import refresh

    return refresh(workspace, found)


def plan(
    project: Project,
    choice: Choice,
    *,
    runtime: Runtime = HERE,
    last: LastPlan | None = None,
) -> Plan:
    """What `apply` would do. Needs no network and no key, but for a refresh; writes nothing but the cache.

    Where there is nothing to do, `last` remembers it.
    """
    with open_workspace(project, runtime) as workspace:
        watched = AskedInputs(gathered(workspace, choice))
        planned = make_plan(watched.inputs)
    if last is not None:
        last.remember(planned, workspace, watched)
    return planned


def check(
    project: Project,
    choice: Choice,
    reviewed: Mapping[str, Json],
    *,
    runtime: Runtime = HERE,
) -> Plan:
    """What an apply would do today, if it is no more than the reviewed plan document says. Raises Refused if not."""
    with open_workspace(project, runtime) as workspace:
        return check_file(gathered(workspace, choice), reviewed)


# --- items -------------------------------------------------------------------------------------------------


_DRIFT = frozenset({"front-matter-drift", "kept-front-matter", "unreadable-there", "edited-there"})
"""Kinds of notes that say how an item stands."""


class ItemStatus(Struct, frozen=True, kw_only=True):
    """How one item stands, in one word and a note."""

    id: ItemId
    state: str
    output: str
    credits: int = 0
    generated_at: str = ""
    promoted_from: str = ""
    """The environment its text was taken from; empty: none, or not known."""
    holder: str = ""
    """What works on it, and where: `worker on HOST`; empty: nothing does, but for this machine."""
    note: str = ""


def status(
    project: Project, choice: Choice, *, runtime: Runtime = HERE
) -> tuple[tuple[ItemStatus, ...], tuple[Diagnostic, ...]]:
    """How every selected item stands; where manifests have errors, how its record and its file do, and a warning.

    Raises UsageError for selectors that cannot mean anything, or match nothing; with a refresh what that raises.
    """
    looking = Choice(refresh=choice.refresh)
    check_selectors((*choice.select, *choice.exclude))
    findings: tuple[Diagnostic, ...] = ()
    with open_workspace(project, runtime, parse_cache=choice.refresh) as workspace:
        try:
            found = gathered(workspace, looking)
        except InputError as error:
            findings = (unread(error),)
            # What was recorded is front matter in the words of the preset already.
            workspace.project = structs.replace(project, preset="")
            workspace.desired = Desired(specs=tuple(map(_as_recorded, workspace.state.records.values())))
            found = gathered(workspace, looking)
        findings = (*workspace.unread, *findings)
    plan = make_plan(found)
    changes = {change.id: change for change in plan.changes}
    notes = {note.id: note.message.removeprefix(f"`{note.id}`: ") for note in plan.notes if note.kind in _DRIFT}
    known = sorted({*found.specs, *found.state.records, *changes})
    items = selected(choice, [candidate(id_, found, changes) for id_ in known])
    return tuple(_status(item, notes.get(item.id, "")) for item in items), findings


def _as_recorded(record: Record) -> Spec:
    """The item as it was declared when its record was made, as far as the record tells."""
    said = {name: str(record.request.get(name) or "") for name in ("template", "style", "mode")}
    return Spec(
        id=record.id,
        request=Request(inputs={}, **said),
        digest=record.digest,
        output=record.output,
        metadata={**record.metadata, "title": record.title},
        protected=record.protected,
        save=record.saved is not None,
    )


def candidate(id_: ItemId, found: PlanInputs, changes: Mapping[ItemId, Change]) -> Candidate:
    """What selectors see of an item, by the sides that were gathered and the changes that follow."""
    change, record, spec = changes.get(id_), found.state.records.get(id_), found.specs.get(id_)
    output = record.output if record else spec.output if spec else change.target if change else ""
    file = found.observe(record.output) if record else None
    entries = found.entries.get(id_, ())
    return Candidate(id=id_, spec=spec, change=change, entries=entries, path=output, record=record, file=file)


def _status(item: Candidate, drift: str) -> ItemStatus:
    change, record = item.change, item.record
    return ItemStatus(
        id=item.id,
        state=_word(change, record, item.states),
        output=item.path,
        credits=record.credits if record else 0,
        generated_at=record.generated_at if record else "",
        holder=change.holder if change else "",
        promoted_from=record.promoted_from if record else "",
        note=(change.hint if change else "") or drift or _origin(record),
    )


def _origin(record: Record | None) -> str:
    return f"from `{record.promoted_from}`" if record is not None and record.promoted_from else ""


def _word(change: Change | None, record: Record | None, states: frozenset[str]) -> str:
    for word in ("orphan", "blocked", "pending", "unknown", "open", "new", "missing", "changed"):
        if word in states:
            return word
    if change is not None and change.action is Action.PROMOTE:
        return "promotable"
    if change is not None and change.action is Action.PULL:
        return "edited there"
    if "edited" in states:
        return "edited"
    if change is not None and change.action not in (Action.NONE, Action.DRAIN):
        return "moved" if change.has(Move) else "unsaved" if change.names == ("save",) else "changed"
    if record is not None and record.is_promoted:
        return "promoted"
    return "as generated" if record is None or record.generated else "adopted"


def _checks(checks: Checks) -> Json:
    """The checks of an item as a person would state them, but for the text of a schema."""
    found: dict[str, Json] = to_builtins(checks)
    if checks.front_matter is not None:
        del found["front_matter"]["text"]
    return found


def show(project: Project, item: str, runtime: Runtime = HERE) -> tuple[dict[str, Json], tuple[Diagnostic, ...]]:
    """One item: the exact request, its digest and output, where each value came from, its record and what is open.

    And a warning where the ledger cannot be reached.
    """
    desired = validate(project)
    specs = specs_by_id(desired)
    state, away = shared_state(project, runtime)
    spec, record = specs.get(ItemId(item)), state.records.get(ItemId(item))
    if spec is None and record is None:
        raise no_item(item, [*specs, *state.records])
    found: dict[str, Json] = {"id": item}
    if spec is not None:
        found |= {
            "request": spec.request.as_json(),
            "digest": spec.digest,
            **price_of(spec, project.api.server).as_json(),
            "output": spec.output,
            "metadata": dict(spec.metadata),
            "tags": list(spec.tags),
            "checks": _checks(spec.checks),
            "origins": {
                name: {
                    "layer": origin.layer,
                    "place": str(origin.location) if origin.location else "",
                    "variables": list(origin.variables),
                }
                for name, origin in sorted(spec.origins.items())
            },
            "variables": {
                name: str(origin.location) if origin.location else origin.layer
                for name, origin in sorted(spec.variables.items())
            },
        }
    if record is not None:
        found["record"] = plain(record)
    if entries := [plain(entry) for entry in state.entries.values() if entry.item == item]:
        found["open"] = entries
    return found, away


def section(project: Project, item: str, heading: str) -> str:
    """The heading of an item's text that `heading` names, as it is written there.

    Raises UsageError, naming the nearest, where there is no such heading or item, and where several sections have it.
    """
    _, record = recorded(project, item)
    known = headings(split(Outputs(project.root).read(record.output)).body)
    found = [one for one in known if bare(heading) and bare(one) == bare(heading)]
    if len(found) > 1:
        message = f"`{record.output}` has {len(found)} sections `{found[0]}`, and a server takes the first of them"
        hint = "give one of them another heading, and apply, so that its own name tells which is meant"
        raise UsageError(message, code="ambiguous-section", hint=hint)
    if not found:
        hint = did_you_mean(heading, known, f"its headings: {', '.join(f'`{one}`' for one in known) or 'none'}")
        raise UsageError(f"`{record.output}` has no section `{heading}`", code="unknown-section", hint=hint)
    return found[0]


def recorded(project: Project, item: str) -> tuple[State, Record]:
    """The state, and the record of an item.

    Raises UsageError where the item is declared and nothing was generated yet, or the id names nothing.
    """
    state = read_state(project)
    record = state.records.get(ItemId(item))
    if record is not None:
        return state, record
    specs = specs_by_id(validate(project))
    if ItemId(item) not in specs:
        raise no_item(item, [*specs, *state.records])
    message = f"nothing was generated for `{item}` yet"
    raise UsageError(message, code="not-generated", hint="`contentops apply` generates it")


def known_ids(project: Project) -> set[str]:
    """The id of every item that a manifest declares or the lock knows. Raises InputError, StateError."""
    return {*read_state(project).records, *specs_by_id(validate(project))}


def no_item(item: str, known: Iterable[str]) -> UsageError:
    """The error for an id that names nothing, with the nearest one that does."""
    hint = did_you_mean(item, known, "`contentops status` lists the items")
    return UsageError(f"there is no item `{item}`", code="unknown-item", hint=hint)


# --- checks ------------------------------------------------------------------------------------------------


_ROOM = 2_000
"""Characters of a line that a finding quotes."""


def check_files(project: Project, choice: Choice, *, commands: bool = False) -> Checked:
    """What the checks of the selected items find in their files. Needs no network and changes nothing.

    Without `commands`, the programs that settings name are not run. Raises InputError where manifests have errors,
    UsageError for selectors that cannot mean anything, or match nothing.
    """
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project) as workspace:
        found = workspace.plan_inputs(Choice())
        changes = {change.id: change for change in make_plan(found).changes}
        items = selected(choice, [candidate(id_, found, changes) for id_ in sorted(found.specs)])
        clean = CleanTexts(workspace.cache)
        done = _checked(project, items, found, clean, commands=commands)
        clean.keep(whole=len(items) == len(found.specs))
    return done


def _checked(
    project: Project, items: Iterable[Candidate], found: PlanInputs, clean: CleanTexts, *, commands: bool
) -> Checked:
    records = found.state.records
    files: list[CheckedFile] = []
    missing = unchecked = 0
    for spec in filter(None, (item.spec for item in items)):
        path = records[spec.id].output if spec.id in records else spec.output
        observed = found.observe(path)
        if spec.checks == NO_CHECKS:
            unchecked += 1
        elif not observed.exists and not observed.problem:
            missing += 1
        else:
            findings: tuple[Diagnostic, ...] = ()
            if not clean.is_clean(spec.checks, observed) or (commands and spec.checks.commands is not None):
                findings = _findings_of(project, spec, path, found.exists, commands=commands)
                if not findings:
                    clean.add(spec.checks, observed)
            files.append(CheckedFile(item=spec.id, output=path, findings=findings))
    return Checked(files=tuple(files), missing=missing, unchecked=unchecked)


def _findings_of(
    project: Project, spec: Spec, path: str, exists: Callable[[str], bool], *, commands: bool
) -> tuple[Diagnostic, ...]:
    from contentops.documents.checks import check_text, checked_text

    outputs = Outputs(project.root)
    subject = f"item `{spec.id}`: "
    try:
        text = outputs.read(path)
    except OutputError as error:
        return (Diagnostic(code=error.code, message=subject + error.message, location=Location(path), hint=error.hint),)
    problem = outputs.observe(path).problem
    if problem:
        return (Diagnostic(code=OutputError.code, message=subject + problem, location=Location(path)),)
    found = [*check_text(spec.checks, checked_text(text, path), exists)]
    found += _found_by_commands(project, spec.checks, path) if commands else ()
    lines = text.split("\n") if found else []
    return tuple(_diagnostic(one, subject, path, lines) for one in found)


def _found_by_commands(project: Project, checks: Checks, path: str) -> Iterable[Finding]:
    if checks.commands is None:
        return ()
    from contentops.execution.commands import run_commands

    return run_commands(checks.commands, Path(project.root), path)


def _diagnostic(found: Finding, subject: str, path: str, lines: list[str]) -> Diagnostic:
    excerpt = lines[found.line - 1].rstrip()[:_ROOM] if 0 < found.line <= len(lines) else ""
    return Diagnostic(
        code=found.check.replace("_", "-"),
        message=subject + found.message,
        severity=Severity.ERROR if found.level is Level.BLOCK else Severity.WARNING,
        location=Location(path, max(found.line, 1)),
        excerpt=excerpt,
        width=max(len(excerpt), 1),
        hint=found.hint,
    )
