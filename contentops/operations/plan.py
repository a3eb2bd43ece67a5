"""Contains the commands `plan`, `plan --check`, `status`, `show` and `graph`, which change nothing.

A job whose reply was lost counts in each month in which it may have been accepted.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, structs, to_builtins

from contentops.ci.results import resolve, words_in, words_of
from contentops.digest import Digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import split
from contentops.errors import Diagnostic, InputError, OutputError, Severity, UsageError, did_you_mean
from contentops.model import (
    NO_APPROVAL,
    ApprovalState,
    Checks,
    CountedMonth,
    Desired,
    ItemId,
    Json,
    MonthSpend,
    Plan,
    Project,
    Record,
    Reference,
    Request,
    Spec,
    State,
)
from contentops.model.desired import GraphItem, ItemGraph
from contentops.model.jobs import count_month, fold_jobs
from contentops.model.plan_file import PlanFile
from contentops.operations.opening import HERE, Runtime, has_ledger, jobs_by_environment, read_state
from contentops.operations.refresh import refresh, remembered
from contentops.operations.unchanged import AskedInputs, LastPlan
from contentops.operations.workspace import Workspace, no_item, open_workspace, shared_state, unread, validate
from contentops.planning.approval import same_words
from contentops.planning.front_matter import APPROVED_DRAFT
from contentops.planning.plan import make_plan, plan_with_items
from contentops.planning.review import check_file
from contentops.planning.select import Candidate, check_selectors, dependants_of, in_order, selected
from contentops.planning.sides import Choice, PlanInputs, price_of, specs_by_id
from contentops.planning.sources import source_words
from contentops.reporting.next_change import brief_of
from contentops.reporting.plan_json import plain
from contentops.sections import bare, headings
from contentops.state.state_dir import who_runs

# ---- `plan`, `plan --check`, `status`, `show` and `check`: look at a project without changing it.


def gathered(workspace: Workspace, choice: Choice) -> PlanInputs:
    """Return the inputs of a plan, including the stored texts that contentops has read from the server.

    This command reads them with `--refresh`; otherwise, the texts that an earlier command read are used. Raises what
    `refresh` raises.
    """
    spent = functools.cache(functools.partial(month_spend, workspace))
    inputs = structs.replace(workspace.plan_inputs(choice), spent=spent)
    return refresh(workspace, inputs) if choice.refresh else remembered(workspace, inputs)


def plan(
    project: Project,
    choice: Choice,
    *,
    runtime: Runtime = HERE,
    last: LastPlan | None = None,
) -> Plan:
    """Return the plan of what `apply` would do; only the cache is changed.

    Only a refresh needs the network and a key. `last` remembers a plan without changes.
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
    reviewed: PlanFile,
    *,
    runtime: Runtime = HERE,
) -> Plan:
    """Return the current plan. Raises Refused if it does more than the reviewed plan."""
    with open_workspace(project, runtime) as workspace:
        return check_file(gathered(workspace, choice), reviewed)


def changed_outputs(project: Project, ref: str) -> tuple[str, ...]:
    """Return the recorded output files whose text differs from their text at a commit, sorted by path.

    Outputs that are new at their path are included. Raises UsageError if the ref is unknown or there is no repository,
    GitFailed, StateError.
    """
    commit, outputs = resolve(project.root, ref), Outputs(project.root)
    now: dict[str, Digest] = {}
    for path in sorted(record.output for record in read_state(project).records.values()):
        with contextlib.suppress(OutputError):  # a file that cannot be read has no words to tell of
            now[f"{commit}:./{path}"] = words_of(outputs.read(path).encode())
    before = words_in(project.root, now)
    return tuple(name.partition(":./")[2] for name, words in now.items() if words not in ("", before.get(name)))


# --- items -------------------------------------------------------------------------------------------------


_DRIFT = frozenset(
    {
        "front-matter-drift",
        "kept-front-matter",
        "unreadable-there",
        "edited-on-server",
        "waiting-for-approval",
        APPROVED_DRAFT,
    }
)
"""Kinds of notes that belong to the state of an item."""


class ItemStatus(Struct, frozen=True, kw_only=True):
    """The state of an item as `status` shows it: one word, a note, and details."""

    id: ItemId
    state: str
    output: str
    credits: int = 0
    generated_at: str = ""
    promoted_from: str = ""
    """The environment its text was taken from; empty: none, or not known."""
    holder: str = ""
    """The process that works on it elsewhere, such as `apply on HOST`; empty if there is none."""
    approval: ApprovalState = ApprovalState.NONE
    publish_on: str = ""
    """The day on which it is to be published; empty if there is none."""
    note: str = ""


def status(
    project: Project, choice: Choice, *, runtime: Runtime = HERE
) -> tuple[tuple[ItemStatus, ...], tuple[Diagnostic, ...]]:
    """Return the state of each selected item, and the findings.

    If manifests have errors, the states come from records and files, with a warning. The findings begin with a note if
    another command is changing the state now. Raises UsageError if selectors are invalid or match nothing. With a
    refresh, raises what that raises.
    """
    looked, candidates, findings = looked_at(project, choice, runtime)
    items = selected(choice, candidates)
    return tuple(_status(item, looked(item)) for item in items), findings


def looked_at(
    project: Project, choice: Choice, runtime: Runtime
) -> tuple[Callable[[Candidate], str], list[Candidate], tuple[Diagnostic, ...]]:
    """Return what `status` shows: a function that describes an item's state, all items, and the findings."""
    looking = Choice(refresh=choice.refresh)
    check_selectors((*choice.select, *choice.exclude))
    with open_workspace(project, runtime, keep_stamps=choice.refresh) as workspace:
        inputs, error = gathered_or_recorded(workspace, looking)
        findings = (*running(project), *workspace.unread, *([unread(error)] if error is not None else []))
        plan, candidates = plan_with_items(inputs)
    notes = {note.id: note.message.removeprefix(f"`{note.id}`: ") for note in plan.notes if note.kind in _DRIFT}
    twins = same_words(candidates)

    def noted(item: Candidate) -> str:
        others = twins.get(item.id, ()) if item.approval is not ApprovalState.NONE else ()
        said = f"the same words and verdicts as `{'`, `'.join(others)}`" if others else ""
        return notes.get(item.id) or source_words(inputs, item) or said

    return noted, candidates, findings


def running(project: Project) -> tuple[Diagnostic, ...]:
    """Return a note if another command is changing the state of this environment.

    Raises StateError if the state folder cannot be trusted.
    """
    if not (words := who_runs(Path(project.root), project.environment)):
        return ()
    hint = "this is its state so far: a request without an answer yet is `unknown`. Wait until it ends before you apply"
    return (Diagnostic(code="lock-held", message=words, severity=Severity.NOTE, hint=hint),)


def gathered_or_recorded(workspace: Workspace, choice: Choice) -> tuple[PlanInputs, InputError | None]:
    """Return the inputs of a plan, and the error if manifests have errors.

    In that case the inputs have the items of the records.
    """
    try:
        return gathered(workspace, choice), None
    except InputError as error:
        # Recorded front matter has the keys of the preset already.
        workspace.project = structs.replace(workspace.project, preset="")
        specs = tuple(map(_as_recorded, workspace.state.records.values()))
        workspace.desired = Desired(specs=specs, looked_at=error.looked_at)
        return gathered(workspace, choice), error


def _as_recorded(record: Record) -> Spec:
    """Return an item made from its record, with the values that the record has."""
    said = {name: str(record.request.get(name) or "") for name in ("template", "style", "mode")}
    return Spec(
        id=record.id,
        request=Request(inputs={}, **said),
        digest=record.digest,
        output=record.output,
        metadata={**record.metadata, "title": record.title},
        protected=record.protected,
        save=record.saved is not None,
        references=tuple(Reference(id=ItemId(id_), text=text) for id_, text in sorted(record.sources.items())),
    )


def _status(item: Candidate, drift: str) -> ItemStatus:
    change, record = item.change, item.record
    promoted_from, made_by = record.promoted_from if record else "", item.made_by
    return ItemStatus(
        id=item.id,
        state=item.word.value,
        output=item.path,
        credits=made_by.credits if made_by is not None and not promoted_from else 0,
        generated_at=made_by.generated_at if made_by is not None else "",
        holder=change.claimed_by if change else "",
        promoted_from=promoted_from,
        approval=item.approval,
        publish_on=item.spec.publish_on if item.spec is not None else "",
        note=(change.hint if change else "") or drift or (f"from `{promoted_from}`" if promoted_from else ""),
    )


def _checks(checks: Checks) -> Json:
    """Return an item's checks in the form of a manifest.

    The text of the front matter schema and the text of the brief are left out.
    """
    stated: dict[str, Json] = to_builtins(checks)
    if checks.front_matter is not None:
        del stated["front_matter"]["text"]
    if checks.grounded is not None:
        stated["grounded"].pop("brief", None)
    return stated


def show(project: Project, item: str, runtime: Runtime = HERE) -> tuple[dict[str, Json], tuple[Diagnostic, ...]]:
    """Return one item with its request, the origins of its values, its record and its open jobs.

    The second result is a warning if the ledger could not be read.
    """
    desired = validate(project)
    specs = specs_by_id(desired)
    state, away = shared_state(project, runtime)
    spec, record = specs.get(ItemId(item)), state.records.get(ItemId(item))
    if spec is None and record is None:
        raise no_item(item, [*specs, *state.records])
    request = spec.request.as_json() if spec is not None else record.request if record is not None else {}
    values: dict[str, Json] = {"id": item, "brief": brief_of(request).words}
    if spec is not None:
        values |= {
            "request": request,
            "digest": spec.digest,
            **price_of(spec, project.api.server).as_json(),
            "output": spec.output,
            **_kin(spec, specs),
            "metadata": dict(spec.metadata),
            "tags": list(spec.tags),
            "checks": _checks(spec.checks),
            **({} if spec.approval == NO_APPROVAL else {"approval": structs.asdict(spec.approval)}),
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
        values["record"] = plain(record)
    if jobs := [plain(job) for job in state.open_jobs.values() if job.item == item]:
        values["open"] = jobs
    return values, away


def mentions_of(spec: Spec | None) -> tuple[ItemId, ...]:
    """Return the items that this item uses in its front matter, but not in its text."""
    if spec is None:
        return ()
    sources = {spec.id, *(one.id for one in spec.references)}
    return tuple(one.id for one in spec.mentions if one.id not in sources)


def _kin(spec: Spec, specs: Mapping[ItemId, Spec]) -> dict[str, Json]:
    """Return the items that this item uses, and the items that use its text.

    They are its sources, its dependants and its mentions; an empty list is left out.
    """
    made = dependants_of({id_: [one.id for one in each.references] for id_, each in specs.items()})
    sources, mentions = [one.id for one in spec.references], list(mentions_of(spec))
    kin = {"sources": sources, "dependants": sorted(made.get(spec.id, ())), "mentions": mentions}
    return {name: ids for name, ids in kin.items() if ids}


def section(project: Project, item: str, heading: str) -> str:
    """Return the heading that matches `heading`, spelled as in the item's text.

    Raises UsageError if there is no such heading or item, or if several sections have it.
    """
    _, record = recorded(project, item)
    all_headings = headings(split(Outputs(project.root).read(record.output)).body)
    matches = [one for one in all_headings if bare(heading) and bare(one) == bare(heading)]
    if len(matches) > 1:
        message = f"`{record.output}` has {len(matches)} sections `{matches[0]}`, and servers use the first of them"
        hint = "give one of them another heading and apply"
        raise UsageError(message, code="ambiguous-section", hint=hint)
    if not matches:
        hint = did_you_mean(
            heading, all_headings, f"its headings: {', '.join(f'`{one}`' for one in all_headings) or 'none'}"
        )
        raise UsageError(f"`{record.output}` has no section `{heading}`", code="unknown-section", hint=hint)
    return matches[0]


def recorded(project: Project, item: str) -> tuple[State, Record]:
    """Return the project's state, and one item's record.

    Raises UsageError if the item is unknown or has no record.
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


# ---- Count what all environments of a project have spent in the calendar month of the clock: a sum over their jobs.


def month_spend(workspace: Workspace) -> CountedMonth:
    """Return what was spent in the current month. Raises StateError."""
    project, ledger = workspace.project, workspace.ledger
    jobs = [job for each in jobs_by_environment(project, workspace.state).values() for job in each]
    gaps: tuple[str, ...] = ()
    if ledger is not None:
        jobs = fold_jobs((*jobs, *ledger.jobs()))
    elif has_ledger(project, workspace.runtime.environ):
        gaps = ("the ledger cannot be read",)
    now = datetime.fromtimestamp(workspace.runtime.wall(), UTC)
    return count_month(jobs, now, project.api.job_timeout, project.price, gaps)


def spent_this_month(project: Project, runtime: Runtime = HERE) -> MonthSpend | None:
    """Return what was spent in the current month, or None if no monthly budget is set. Raises StateError."""
    if not project.budget.is_monthly:
        return None
    with open_workspace(project, runtime) as workspace:
        return month_spend(workspace)


# ---- `graph`: the items, their states, and which is made from the texts of which.


def graph(project: Project, choice: Choice, *, runtime: Runtime = HERE) -> tuple[ItemGraph, tuple[Diagnostic, ...]]:
    """Return the selected items in the order in which their texts are made, and the findings.

    Without a selection, items without references are left out. Raises what `looked_at` and `selected` raise.
    """
    _, candidates, findings = looked_at(project, choice, runtime)
    chosen = {item.id: item for item in selected(choice, candidates)}
    sources = {id_: item.sources for id_, item in chosen.items()}
    mentions = {id_: mentions_of(item.spec) for id_, item in chosen.items()}
    if not (choice.select or choice.exclude):
        linked = {id_ for id_ in chosen if sources[id_] or mentions[id_]}
        linked.update(one for its in (*sources.values(), *mentions.values()) for one in its)
        sources = {id_: its for id_, its in sources.items() if id_ in linked}
    items = tuple(
        GraphItem(
            id=id_,
            state=chosen[id_].word.value,
            output=chosen[id_].path,
            sources=sources[id_],
            mentions=mentions[id_],
        )
        for id_ in in_order(sources)
    )
    return ItemGraph(items=items, alone=len(chosen) - len(items)), findings
