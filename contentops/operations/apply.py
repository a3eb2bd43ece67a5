"""`apply` makes a plan, shows it, asks for confirmation, and carries it out."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import math
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs, to_builtins

from contentops.api.calls import Call, Failure
from contentops.api.session import Client, MayLeave, always
from contentops.ci.git import REMOTE, in_repository, run_git
from contentops.ci.push import refuse_unfit_lock
from contentops.ci.runner import for_pull_request, in_ci
from contentops.digest import NOTHING, Digest, digest_json
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs, Stamp
from contentops.errors import OutputError, Refused, StateError, UsageError, plural
from contentops.execution.commands import run_on_text
from contentops.execution.primitives import Stop, iso
from contentops.model import (
    NO_APPROVALS,
    AcceptedTexts,
    Action,
    Change,
    Collect,
    Event,
    Fetch,
    ItemId,
    JobState,
    Json,
    LookUp,
    Move,
    Observed,
    OnEdit,
    OnSourceChange,
    Plan,
    Poll,
    Project,
    Publish,
    Reason,
    Result,
    RetryText,
    Run,
    Save,
    Spec,
    Submit,
)
from contentops.model.desired import Stage
from contentops.model.jobs import spent_words
from contentops.model.plan_file import PlanFile
from contentops.operations.catalog import look_at_server
from contentops.operations.commit import CommitOptions, check_waiting
from contentops.operations.connection import Credentials, connected, content_owners, read_credentials, try_model
from contentops.operations.opening import HERE, Runtime, open_outputs
from contentops.operations.plan import gathered, plan, section
from contentops.operations.refresh import plan_after_looks
from contentops.operations.runs import keep_report, keeping_events
from contentops.operations.unchanged import AskedInputs, LastPlan, forget_plan
from contentops.operations.workspace import Workspace, hold_lock, open_workspace, spending
from contentops.planning.guards import Overrides, check_guards, overridden
from contentops.planning.plan import FRONT, block_same, change_alone, declared_requests, submit_id, with_claims
from contentops.planning.review import beyond, check_ceiling
from contentops.planning.select import shard_in
from contentops.planning.sides import Choice, PlanInputs, paths
from contentops.reporting.plan_json import plain
from contentops.reporting.run import run_json
from contentops.reporting.summary import command
from contentops.sanitize import json_text
from contentops.state import approvals, state_dir

if TYPE_CHECKING:
    from contentops.execution.run_context import Edges
    from contentops.ledger.project import ProjectLedger

# ---- Claims the submits of a plan in the ledger, so that no other process pays for them.

_NEW_PRICE = "run `contentops apply` to see and confirm the new price"
_WORKING = frozenset({JobState.SUBMITTING, JobState.UNKNOWN, JobState.RUNNING})


def claim(shared: ProjectLedger, plan: Plan) -> Plan:
    """Reserve the jobs of a plan in the ledger, so that no other process pays for them.

    Returns the plan without steps that other processes have claimed.
    """
    wanted = {(plan.server, name) for change in plan.changes if (name := submit_id(plan.lineage, change)) is not None}
    jobs = (job for change in plan.changes for job in (change.job, *change.collected_jobs))
    wanted |= {(one.server, one.request_id) for one in jobs if one is not None and one.state in _WORKING}
    claimed = dict.fromkeys(shared.claim(wanted), "another process")
    return structs.replace(plan, changes=tuple(with_claims(claimed, plan.lineage, change) for change in plan.changes))


# ---- Plans an item again in its run.


class Following:
    """The planned items whose text or front matter is made from other items' texts."""

    def __init__(self, workspace: Workspace, inputs: PlanInputs, plan: Plan, outputs: Outputs) -> None:
        self._workspace = workspace
        self._inputs = inputs
        self._plan = plan
        self._outputs = outputs
        specs = inputs.specs
        self._gone = {id_: record for id_, record in inputs.records.items() if id_ not in specs}
        """The records of removed items, which a new one may take over."""
        self._declared = declared_requests(inputs.desired.specs)
        """The items that declare each request."""
        self._seen: dict[str, tuple[Observed, Stamp | None]] = {}
        """The files of sources, by path, as they were last read."""
        self._read: dict[ItemId, dict[str, Observed]] = {}
        """The files that each item was last rendered from, by path."""

    def change(self, planned: Change, coming: Mapping[ItemId, Stage]) -> Change | None:
        """Plan an item again with the current texts of its sources, and return its change.

        Returns None if there is nothing to do. `coming`: the stages that other items of the run have not reached yet.
        If the change would do or cost more than was confirmed, the item waits, with the reason. Raises StateError.
        """
        spec, workspace = self._rendered(planned), self._workspace
        inputs = self._inputs_of(spec)
        change = change_alone(inputs, spec, coming)
        if change is None:
            return None
        if change.renamed_from is not None:
            self._gone.pop(change.renamed_from, None)
        ids = self._declared.setdefault(spec.digest, [])
        ids += [] if spec.id in ids else [spec.id]
        if (same := block_same(self._inputs, change, self._declared)) is not change:
            return same
        if not planned.pays_later:
            # Its front matter alone follows: with its path and the server's copy, that is free.
            if not all(isinstance(step, (*FRONT, Move)) for step in change.steps):
                return None
        elif problem := beyond(change, planned):
            reasons, hint = (Reason(kind="waits", detail=problem),), _NEW_PRICE
            return structs.replace(planned, action=Action.WAIT, reasons=reasons, steps=(), pays_later=(), hint=hint)
        shared = workspace.working_ledger
        if shared is not None:
            (change,) = claim(shared, structs.replace(self._plan, changes=(change,))).changes
        return change

    def is_current(self, change: Change) -> bool:
        """Return whether an item's sources still have the texts that the plan expected."""
        spec = change.spec
        if spec is None or not spec.references:
            return True
        read = self._read.get(spec.id)
        if read is not None and all(self._observe(path) is file for path, file in read.items()):
            return True  # it was rendered from these very files
        return self._rendered(change).digest == spec.digest

    def _rendered(self, planned: Change) -> Spec:
        """Return the item, rendered with the current texts of its sources."""
        spec, workspace = planned.spec, self._workspace
        again = self._inputs.desired.again
        assert spec is not None
        assert again is not None
        read = {one for readings in spec.readings.values() for one in readings}
        ids = {one.id for one in read} | {spec.earlier_ids[one.id] for one in read if one.id in spec.earlier_ids}
        records = {id_: workspace.store.record(id_) for id_ in {*ids, spec.id}}
        root = Path(workspace.project.root)
        asked = any(one.approved for one in read)
        files: dict[str, Observed] = {}
        if not asked:
            self._read[spec.id] = files

        def observe(path: str) -> Observed:
            return files.setdefault(path, self._observe(path))

        accepted = AcceptedTexts(
            paths={id_: record.output for id_, record in records.items() if record is not None},
            approvals=approvals.load(root, workspace.runtime.disk) if asked else NO_APPROVALS,
            observe=observe,
            read=self._outputs.read,
        )
        return again(spec.id, accepted)

    def _observe(self, path: str) -> Observed:
        """Return what the file at a path contains now.

        An unchanged file is not read again, because many items may read the same text.
        """
        known = self._seen.get(path)
        if known is None or known[1] is None or [known[1]] != [*self._outputs.stamps([path])]:
            [known] = self._outputs.observe_all([path])
            self._seen[path] = known
        return known[0]

    def _inputs_of(self, spec: Spec) -> PlanInputs:
        """Return the plan's inputs, updated with this item's current record, jobs and file."""
        store, planned = self._workspace.store, self._inputs
        record = store.record(spec.id)
        digests = {spec.digest, record.digest if record is not None else NOTHING} - {NOTHING}
        known = {job.order: job for digest in digests for job in planned.jobs_of(digest)}
        known |= {job.order: job for digest in digests for job in store.jobs.known.jobs_of(planned.server, digest)}
        open_jobs = {
            job.request_id: order for job in known.values() if (order := store.open_job(job.request_id)) is not None
        }
        records = {spec.id: record} if record is not None else self._gone
        state = structs.replace(planned.state, records=records, open_jobs=open_jobs, jobs=tuple(known.values()))
        # The run has renamed all records at its start.
        moved = tuple(pair for pair in planned.desired.moved if pair.old not in records)
        desired = structs.replace(planned.desired, specs=(spec,), moved=moved)
        inputs = structs.replace(planned, desired=desired, state=state)
        return structs.replace(inputs, observed={path: self._outputs.observe(path) for path in {*inputs.paths}})


# ---- `apply`: plan, show the plan, ask, and carry it out.

GENERATING = (Collect, LookUp, Submit, Poll, RetryText)
"""Steps in which the server works on a job."""
NETWORK = (*GENERATING, Fetch, Save, Publish)
"""Steps that may need the server."""


class ApplyOptions(Struct, frozen=True, kw_only=True):
    """The options of `contentops apply`, for example the reviewed plan and the deadline."""

    overrides: Overrides = Overrides()
    reviewed: PlanFile | None = None
    """A plan file, exactly which is carried out; None without one."""
    is_bound: bool = False
    """Whether an apply that would do more than `ceiling` is refused."""
    ceiling: PlanFile | None = None
    """The plan that was reviewed, or None."""
    inputs: Mapping[str, Json] = field(default_factory=dict)
    """The options of the command line, kept in the report of the run."""
    stop: Stop = field(default_factory=Stop)
    """Set when a person wants to stop."""
    deadline: float | None = None
    """Seconds after which nothing more is submitted."""
    last: LastPlan | None = None
    """Remembers a plan with nothing to do."""


def apply(
    project: Project,
    choice: Choice,
    options: ApplyOptions,
    *,
    confirm: Callable[[Plan], bool],
    emit: Callable[[Event], None],
    show: Callable[[Plan], None] | None = None,
    runtime: Runtime = HERE,
) -> tuple[Plan, Run | None]:
    """Make a plan, show it, ask for confirmation, and carry it out.

    There is no run if nothing is to be done, or if the person does not confirm. Raises InputError before anything is
    changed, and LockHeld if another apply runs. Raises Refused if a guard refuses the plan, Git LFS would take the
    lock, or results could not be pushed. Raises ApiError if the key is missing or the server speaks another dialect,
    StateError if nothing can be recorded.
    """
    until = math.inf if options.deadline is None else time.monotonic() + options.deadline
    wall = runtime.wall

    def notify(message: str) -> None:
        emit(Event(kind="note", at=iso(wall()), data={"message": message}))

    runtime = structs.replace(runtime, notify=notify, stopped=_asking_to_stop(options.stop, notify), until=until)
    with (
        hold_lock(project, runtime),
        open_workspace(project, runtime, write=True, shard=shard_in(choice)) as workspace,
        spending(workspace),
    ):
        _sweep(workspace)
        watched = AskedInputs(gathered(workspace, choice))
        refused = functools.partial(_is_refused, project, options)
        inputs, plan = plan_after_looks(workspace, watched.inputs, options.reviewed, refused)
        planned = overridden(plan, options.overrides)
        if planned.empty and not planned.refusals:
            workspace.store.checkpoint()
            if options.last is not None and options.reviewed is None:
                # With the refusals that only the options of this command override.
                options.last.remember(plan, workspace, watched)
            return planned, None
        if show is not None:
            show(planned)
        check_allowed(project, planned, options, runtime)
        credentials = _credentials(planned, project, runtime)
        if any(change.steps for change in planned.changes) and not confirm(planned):
            return planned, None
        if planned.submits_worst:
            workspace.store.rehearse(planned.submits_worst)
        # The draft marks of an approval are no run that a person waits for.
        keeping = contextlib.nullcontext(emit) if choice.only_front else keeping_events(project, planned, emit, runtime)
        with keeping as kept:
            run = _carry_out(workspace, planned, inputs, credentials, options, kept)
        # A save may have seen an edit that is in no file.
        forget_plan(project)
        _write_report(workspace, planned, run, options.inputs, emit)
    return planned, run


AWAY = 15.0
"""Seconds between two notices that a run waits for the ledger."""


def _asking_to_stop(stop: Stop, notify: Callable[[str], None]) -> Callable[[], bool]:
    """Return a function that reports that the ledger cannot be reached, and returns whether to stop the run.

    The function is called again and again until the ledger can be reached. It reports from time to time. Its result is
    true if a person asked to stop the run.
    """
    last_notice = -AWAY

    def stopped() -> bool:
        nonlocal last_notice
        if (now := time.monotonic()) - last_notice >= AWAY:
            last_notice = now
            notify("the ledger cannot be reached; nothing is paid for until it is back")
        return stop.requested

    return stopped


def _sweep(workspace: Workspace) -> None:
    """Delete the half-written files that a killed run left in the output folders."""
    runtime = workspace.runtime
    folders = {path.rpartition("/")[0] for path in paths(workspace.desired, workspace.state)}
    Outputs(workspace.project.root, system=runtime.system).sweep(sorted(folders), before=runtime.wall())
    # An apply of another environment may be at work.
    state_dir.sweep(Path(workspace.project.root), before=runtime.wall() - 3600)


def _is_refused(project: Project, options: ApplyOptions, plan: Plan) -> bool:
    """Return whether a guard refuses a plan, or the plan goes beyond the reviewed plan.

    The server need not be asked about a refused plan.
    """
    try:
        _check_refusals(project, options, overridden(plan, options.overrides))
    except Refused:
        return True
    return False


def _check_refusals(project: Project, options: ApplyOptions, plan: Plan) -> None:
    if options.is_bound:
        check_ceiling(plan, project.guards, options.ceiling)
    check_guards(plan)


def check_allowed(project: Project, plan: Plan, options: ApplyOptions, runtime: Runtime) -> None:
    """Raise Refused if a guard or Git LFS forbids the plan, or if the plan goes beyond the reviewed plan.

    Also raises what `check_waiting` raises.
    """
    _check_refusals(project, options, plan)
    if plan.submits_worst:
        # Only lock and jobs keep in git what was paid for.
        refuse_unfit_lock(project.root, project.environment, ignored=False)
        _look_ahead(project, plan, runtime)


def _look_ahead(project: Project, plan: Plan, runtime: Runtime) -> None:
    """Check in CI that the results of the run can be pushed. Raises what `check_waiting` raises."""
    environ = runtime.environ
    # The results of a preview that costs nothing are not pushed.
    has_model = bool(plan.money_worst) or plan.has_no_price
    preview = for_pull_request(environ) and not (plan.credits_worst or has_model)
    if preview or not in_ci(environ) or not in_repository(project.root):
        return
    if REMOTE in run_git(project.root, "remote").split():
        check_waiting(project, CommitOptions(), runtime=runtime)


def _credentials(plan: Plan, project: Project, runtime: Runtime) -> Credentials | None:
    """Return the credentials for the plan's server, or None if no step can need the server."""
    if not any(change.pays_later or change.has(*NETWORK) for change in plan.changes):
        return None
    writes = any(change.pays_later or change.has(*GENERATING) for change in plan.changes)
    return read_credentials(project.api, runtime, writes=writes)


def _carry_out(
    workspace: Workspace,
    plan: Plan,
    inputs: PlanInputs,
    credentials: Credentials | None,
    options: ApplyOptions,
    emit: Callable[[Event], None],
) -> Run:
    from contentops.execution.run import execute  # start-up: an apply with nothing to do runs nothing

    project, shared, runtime = workspace.project, workspace.working_ledger, workspace.runtime
    plan = plan if shared is None else claim(shared, plan)
    stop = options.stop

    async def run() -> Run:
        reaching = (
            contextlib.nullcontext()
            if credentials is None
            else connected(project, credentials, runtime, workspace.cache)
        )
        async with reaching as client:
            if client is not None and credentials is not None and not stop.requested:
                # A job that no engine writes would never end.
                assert credentials.engine is not None or not (project.api.has_model and plan.submits_worst)
                if credentials.engine is not None and plan.submits_worst:
                    await try_model(credentials.engine)
                has_user = bool(credentials.user)
                await look_at_server(workspace, plan, inputs.state, client, has_user, lambda: stop.requested)
            edges = _edges(workspace, plan, inputs, client, emit)
            chosen = inputs.choice
            is_partial = bool(chosen.select or chosen.exclude or chosen.canary or chosen.only is not None)
            return await execute(
                project,
                plan,
                inputs.state,
                edges,
                stop=stop,
                renamed=inputs.moved,
                deadline=options.deadline,
                is_partial=is_partial or options.reviewed is not None,
            )

    return (runtime.run or asyncio.run)(run())


def _edges(
    workspace: Workspace, plan: Plan, inputs: PlanInputs, client: Client | None, emit: Callable[[Event], None]
) -> Edges:
    """Return the state, files, network and clock that the run of a plan uses.

    `client` is None if no step needs the server.
    """
    from contentops.execution.run_context import Edges

    project, shared, runtime = workspace.project, workspace.working_ledger, workspace.runtime
    outputs = open_outputs(project, workspace.store.lineage, runtime, known_bodies(inputs.state))
    following = Following(workspace, inputs, plan, outputs)
    return Edges(
        store=workspace.store,
        cache=workspace.cache,
        outputs=outputs,
        again=following.change,
        is_current=following.is_current,
        send=client.send if client is not None else _nowhere,
        emit=emit,
        wall=runtime.wall,
        random=runtime.random,
        dialect=lambda: project.api.dialect if client is None else client.dialect,
        local_store=client.local_store if client is not None else "",
        text=inputs.text,
        owners=content_owners(project, structs.replace(inputs.state, records=inputs.records)),
        exists=inputs.exists,
        commands=lambda listed, output, text: run_on_text(listed, Path(project.root), output, text),
        requests=client.requests if client is not None else 0,
        limiter=workspace.limiter,
        fence=(lambda: always) if shared is None else shared.fence,
        knows_texts=shared is not None and shared.has_texts,
    )


async def _nowhere(call: Call, _: MayLeave) -> Failure:
    """Raise AssertionError for every call, because no step of the plan needs the server."""
    raise AssertionError(f"{call.name} was not in the plan")


def _write_report(
    workspace: Workspace, plan: Plan, run: Run, inputs: Mapping[str, Json], emit: Callable[[Event], None]
) -> None:
    """Write the report of the run as JSON into `.contentops/runs/`."""
    name = f"{run.started_at.replace(':', '').replace('-', '')}-{run.id[:8]}.json"
    document = {**run_json(run, plan), "inputs": plain(inputs)}
    try:
        keep_report(workspace.project, name, f"{json_text(document)}\n".encode())
    except (OSError, StateError, OutputError) as error:
        why = error.strerror or error if isinstance(error, OSError) else error.message
        words = f"the report of this run is not kept: `{state_dir.FOLDER}/runs/{name}`: {why}"
        emit(Event(kind="note", at=run.ended_at, data={"message": words}))


# ---- Plan and apply the part of a plan that one button of a page asks for: shown first, then exactly that.

FIRST = 2
"""How many texts are made first, to be read before the others are."""


class PartAction(enum.StrEnum):
    """The actions that a person can choose on a review page; the page's forms send these values."""

    KEEP = "keep"
    """Keep an edited text though its request changed."""
    MERGE = "merge"
    """Merge an edited text with a new one, by section."""
    TAKE = "take"
    """Replace an edited text by a new one."""
    ACCEPT = "accept"
    """Keep a text though the texts that it was made from changed."""
    REPLACE = "replace"
    """Generate a text again."""
    SECTION = "section"
    """Generate one section of a text again."""
    APPLY = "apply"
    """Do what is planned for an item: also looks up an unknown outcome."""
    FIRST = "first"
    """Make the first texts of a project."""
    PLAN = "plan"
    """Do all that is planned."""
    CAUSE = "cause"
    """Do what is planned for one cause."""
    FREE = "free"
    """Do what is planned and costs nothing."""


class PlanPart(Struct, frozen=True, kw_only=True):
    """The part of a plan that a person chose: an action on one item, on a section of its text, or on several items."""

    action: PartAction
    item: str = ""
    """For `cause`: any of its items."""
    heading: str = ""
    ids: frozenset[ItemId] | None = None
    """The items of an action that is about several items; None means `item`, or all items."""

    def choice(self) -> Choice:
        """Return the options that limit a plan to this part."""
        if self.action is PartAction.FIRST:
            return Choice(canary=FIRST)
        if self.is_of_many:
            return Choice(only=self.ids)
        return Choice(
            select=(self.item,),
            only=frozenset({ItemId(self.item)}),  # whatever the name of the item means as a pattern
            on_edit=_ON_EDIT.get(self.action),
            on_source_change=OnSourceChange.KEEP if self.action is PartAction.ACCEPT else None,
            replace=(self.item,) if self.action is PartAction.REPLACE else (),
            sections={self.item: self.heading} if self.action is PartAction.SECTION else {},
        )

    @property
    def is_of_many(self) -> bool:
        """Return whether this part of the plan is about more than one item."""
        return self.action in (PartAction.PLAN, PartAction.CAUSE, PartAction.FREE)

    def command(self, option: str, flags: tuple[str, ...] = ()) -> str:
        """Return the command line that applies this part of the plan. It is empty if it would be too long.

        `option` is as in `Plan.option`, and `flags` has the variables.
        """
        item = shlex.quote(self.item)
        if self.action is PartAction.SECTION:
            return command("regenerate", option, (item, f"--section {shlex.quote(self.heading)}", *flags))
        if self.action is PartAction.FIRST:
            return command("apply", option, (f"--canary {FIRST}", *flags))
        if self.is_of_many:
            chosen = [f"--select {shlex.quote(id_)}" for id_ in sorted(self.ids or ())]
            return command("apply", option, (*chosen, *flags)) if len(chosen) <= _NAMED else ""
        more = {PartAction.REPLACE: f"--replace {item}", PartAction.ACCEPT: "--on-source-change keep"}
        more |= {action: f"--on-edit {choice.value}" for action, choice in _ON_EDIT.items()}
        return command("apply", option, (f"--select {item}", *filter(None, (more.get(self.action),)), *flags))

    def said(self, run: Run, title: str) -> str:
        """Return a sentence with the result and the cost of this run, for the text with this `title`."""
        failed = next((one for one in run.outcomes if one.result is not Result.DONE), None)
        if failed is not None:
            return f"Not done: {failed.error or failed.hint or failed.result.value}"
        if self.action not in _DONE:
            return f"Done: {plural(len(run.outcomes), 'item')}, {spent_words(run.credits, run.tokens)}."
        done, now = _DONE[self.action]
        paid = run.credits or run.tokens.is_known
        cost = f"it cost {spent_words(run.credits, run.tokens)}" if paid else "nothing was paid"
        return f"{done}: {title}. {now}; {cost}."


_NAMED = 5
"""The most items that a shown command names."""
_DONE = {
    PartAction.KEEP: ("Kept", "The edited text answers the new brief now"),
    PartAction.ACCEPT: ("Kept", "The text answers the present words of its source now"),
    PartAction.MERGE: ("Merged", "What was edited stayed as it was"),
    PartAction.TAKE: ("Replaced", "A new text replaced the edited one"),
    PartAction.REPLACE: ("Generated again", "The earlier text is in its history"),
    PartAction.SECTION: ("Generated again", "One section is new, and the others stayed"),
}
"""What an action did to its text, and a sentence about the result."""
_ON_EDIT = {PartAction.KEEP: OnEdit.KEEP, PartAction.MERGE: OnEdit.MERGE, PartAction.TAKE: OnEdit.OVERWRITE}


def part_of(action: str, item: str, heading: str = "") -> PlanPart:
    """Return the part of a plan that a form on a review page describes. Raises UsageError if the action is unknown."""
    try:
        return PlanPart(action=PartAction(action), item=item, heading=heading)
    except ValueError:
        raise UsageError(f"there is no action `{action}`", code="bad-form", hint="go back, and try again") from None


def plan_part(project: Project, part: PlanPart, *, runtime: Runtime = HERE) -> Plan:
    """Return the plan for one part of the project, for example to show its price.

    Raises what `plan` raises, and UsageError if the text has no section with the heading.
    """
    return plan(project, _with_heading(project, part).choice(), runtime=runtime)


def form_digest(plan: Plan) -> Digest:
    """Return a digest of a plan and its cost, by which a form that was sent twice is recognised.

    It differs after each run. The plan's id alone would stay the same if the reply to a submit is lost again, or if the
    settings have another price or model.
    """
    jobs = [change.job for change in plan.changes if change.job is not None]
    submitted = [[job.request_id, job.plan_id, job.submitted_at] for job in jobs]
    return digest_json([plan.id, to_builtins(plan.writer), plan.money_worst, plan.submits_worst, submitted])


def apply_part(
    project: Project, part: PlanPart, shown: str, *, stop: Stop, runtime: Runtime = HERE
) -> tuple[Plan, Run | None]:
    """Apply a part of a plan if the plan is still the one that was shown to the person.

    `shown` is the `form_digest` of that plan, so that a form that is sent twice pays only once. Raises Refused
    (`plan-changed`) if the plan is another one now, and what `apply` and `plan_part` raise.
    """

    def confirm(planned: Plan) -> bool:
        if form_digest(planned) != shown:
            message = "nothing was done: this was done already, or the project changed"
            raise Refused(message, code="plan-changed", hint="look at the price again")
        return True

    part = _with_heading(project, part)
    options = ApplyOptions(stop=stop, inputs={"variables": [], "page": part.action.value, "item": part.item})
    # The page reads the events that every apply stores.
    return apply(project, part.choice(), options, confirm=confirm, emit=lambda _: None, runtime=runtime)


def _with_heading(project: Project, part: PlanPart) -> PlanPart:
    """Return the chosen part of the plan, with its section heading spelled as in the item's text."""
    if part.action is not PartAction.SECTION:
        return part
    return structs.replace(part, heading=section(project, part.item, part.heading))
