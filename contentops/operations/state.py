"""`state`: repair the recorded state as a person says; generates nothing and writes no output."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from msgspec import Struct, structs

from contentops.api.calls import Failure, FailureKind, GetStatus
from contentops.ci.results import lock_name
from contentops.digest import NOTHING
from contentops.errors import ContentopsError, InputError, Refused, UsageError, did_you_mean, plural
from contentops.execution.run_context import ServerCapabilities
from contentops.manifests.project import url_problem
from contentops.manifests.validate import id_hint, id_problem
from contentops.model import ApiSettings, ItemId, Job, JobState, Project, State
from contentops.operations.connection import converse, recorded_owners
from contentops.operations.opening import HERE, Runtime, other_states
from contentops.operations.workspace import Workspace, hold_lock, no_item, open_workspace, shared_state, validate
from contentops.planning.sides import specs_by_id
from contentops.sanitize import clip
from contentops.state.codec import Drop, Fact, Forget


def move_record(project: Project, old: str, new: str) -> str:
    """Rename the record and open jobs of item `old` to `new`; return `new`.

    Raises UsageError if `old` is unknown, and if `new` is taken or invalid.
    """
    if problem := id_problem(new) if new else "is empty":
        shown = f"`{clip(new, 60)}`" if new else "the new id"
        raise UsageError(f"{shown} {problem}", code="bad-id", hint=id_hint(new))
    with _editing(project) as workspace:
        state = workspace.state
        record = state.records.get(ItemId(old))
        jobs = [job for job in state.open_jobs.values() if job.item == old]
        if record is None and not jobs:
            raise no_item(old, state.records)
        if ItemId(new) in state.records:
            raise UsageError(
                f"`{new}` has a record already", code="taken-id", hint=f"`contentops state rm {new}` forgets it"
            )
        facts: list[Fact] = [structs.replace(job, item=ItemId(new)) for job in jobs]
        if record is not None:
            facts += [structs.replace(record, id=ItemId(new)), Forget(ItemId(old))]
        _note(workspace, "state mv", *facts)
    return new


def forget_record(project: Project, item: str) -> None:
    """Delete the record of an item; its file and its content on the server stay."""
    with _editing(project) as workspace:
        if ItemId(item) not in workspace.state.records:
            raise no_item(item, workspace.state.records)
        _note(workspace, "state rm", Forget(ItemId(item)))


def move_server(project: Project, old: str, new: str) -> str:
    """Record that the server `old` is now reached as `new`; return the server's name in records from now on.

    Of an address only scheme, host and port count. Raises UsageError if no record was made by `old`, or `new` is no
    address.
    """
    if problem := url_problem(new):
        code, message, hint = problem
        raise UsageError(message.replace("`base_url`", "NEW"), code=code, hint=hint)
    new = ApiSettings(base_url=new).server
    with _editing(project) as workspace:
        state = workspace.state
        records = [structs.replace(one, server=new) for one in state.records.values() if one.server == old]
        servers = {one.server for one in state.records.values()} | {one.server for one in state.jobs}
        if old not in servers:
            hint = did_you_mean(old, servers, "known: " + (", ".join(sorted(servers)) or "none"))
            raise UsageError(f"no text was ordered from `{old}`", code="unknown-server", hint=hint)
        _note(workspace, "state mv --server", *records)
        workspace.store.move_server(old, new)
    return new


class OpenSubmit(Struct, frozen=True, kw_only=True):
    """A submit whose outcome a person may have to state."""

    job: Job
    wanted: bool | None
    """Whether the manifests still ask for its request; None: they cannot be read."""


def open_submits(project: Project, item: str = "") -> tuple[OpenSubmit, ...]:
    """Return the submits of an item that a person can resolve; without an item, all whose outcome is unknown.

    Raises UsageError if the item has none.
    """
    jobs = shared_state(project)[0].open_jobs.values()
    if item:
        open_ones = _meant(project, jobs, item)
    else:
        open_ones = [job for job in jobs if _is_undecided(job) and job.state is not JobState.RUNNING]
    specs = None
    if open_ones:
        with contextlib.suppress(InputError):
            specs = specs_by_id(validate(project))

    def is_wanted(job: Job) -> bool | None:
        spec = specs.get(job.item) if specs is not None else None
        return None if specs is None else spec is not None and spec.digest == job.digest

    open_ones.sort(key=lambda job: (job.item, job.submitted_at, job.request_id))
    return tuple(OpenSubmit(job=job, wanted=is_wanted(job)) for job in open_ones)


def resolve(
    project: Project,
    item: str,
    *,
    request: str = "",
    job: str = "",
    content: str = "",
    forget: bool = False,
    runtime: Runtime = HERE,
) -> str:
    """Record the outcome of a submit whose answer was lost, as a person states it; return in words what was done.

    `request`: the start of its request id. Raises UsageError if no submit or several match. It also does so for a
    content of another item, and for a job of another submit or one that the server does not know.
    """
    with _editing(project, runtime) as workspace:
        jobs = workspace.state.open_jobs.values()
        meant = _meant(project, jobs, item, request, forget=forget)
        if len(meant) > 1 and _is_undecided(meant[0]):
            each = ", ".join(f"`--request {order.short}`" for order in meant)
            hint = f"state one of {each}; `contentops state resolve {item}` shows which is which"
            raise UsageError(f"`{item}` has {plural(len(meant), 'open submit')}", code="several-submits", hint=hint)
        if forget:
            _note(workspace, "state resolve", *(Drop(order.request_id, lost=True) for order in meant))
            rest = sum(order.item == item for order in jobs) - len(meant)
            stays = f" ({rest:,} more {'is' if rest == 1 else 'are'} kept)" if rest else ""
            return f"forgot {plural(len(meant), 'open submit')} of `{item}`{stays}; the next apply may submit it again"
        _refuse_taken(project, workspace.state, meant[0], content)
        _refuse_other_job(project, workspace.state, meant[0], job)
        unchecked = _refuse_unknown_job(workspace, meant[0], job) if job else ""
        resolved = structs.replace(meant[0], state=JobState.RUNNING, job_id=job, error="")
        if not job:
            resolved = structs.replace(meant[0], state=JobState.PAID, content_id=content, body=NOTHING, error="")
        _note(workspace, "state resolve", resolved)
        result = f"job `{job}`" if job else f"content `{content}`"
        unsure = f" (whether the server knows the job was not checked: {unchecked})" if unchecked else ""
        return f"the submit of `{item}` became {result}; the next apply finishes it{unsure}"


def _refuse_taken(project: Project, state: State, job: Job, content: str) -> None:
    """Raise UsageError if a content belongs to another item than a submit does."""
    owner = recorded_owners(project, state).get(content)
    if owner is None or (not owner.lock and owner.item == job.item):
        return
    whose = f"of `{owner.item}`" + (f" in `{owner.lock}`" if owner.lock else "")
    hint = "`contentops content list` shows the item of each content"
    raise UsageError(f"content `{content}` is that {whose}, not of `{job.item}`", code="content-taken", hint=hint)


def _refuse_other_job(project: Project, state: State, order: Job, job: str) -> None:
    """Raise UsageError if a job belongs to another submit."""
    for name, other_state in {**other_states(project), project.environment: state}.items() if job else ():
        for one in other_state.jobs:
            if one.lost or (one.server, one.job_id) != (order.server, job) or one.request_id == order.request_id:
                continue
            lock = "" if name == project.environment else lock_name(name)
            whose = "another text of " if not lock and one.item == order.item else ""
            message = f"job `{job}` is that of {whose}`{one.item}`{f' in `{lock}`' if lock else ''}, not of this submit"
            raise UsageError(message, code="job-taken", hint="`contentops state list` shows the item of each job")


def _refuse_unknown_job(workspace: Workspace, order: Job, job: str) -> str:
    """Raise UsageError if the server does not know a job; return why it could not be asked, or an empty text."""
    project, cache = workspace.project, workspace.cache
    if order.server != project.api.server:
        return f"it is one of `{order.server}`"
    if ServerCapabilities.load(cache, workspace.state, order.server).hides_jobs:
        return "the server has denied a job before that it had accepted"
    call = GetStatus(job, ours=order.request_id)
    try:
        answer = converse(project, workspace.runtime, lambda caller: caller.ask_once(call), cache, workspace.limiter)
    except ContentopsError as error:
        return error.message
    if not isinstance(answer, Failure):
        return ""
    if answer.kind is not FailureKind.NOT_FOUND:
        return answer.full_message
    hint = "look at the account: if only its text is stored, use `--content ID`; if there is nothing, `--forget`"
    raise UsageError(f"`{order.server}` does not know job `{job}`; nothing was recorded", code="unknown-job", hint=hint)


def _meant(project: Project, jobs: Collection[Job], item: str, request: str = "", *, forget: bool = False) -> list[Job]:
    """Return the submits that a person may mean by an item: those under its id, and those for its present request.

    Raises UsageError if there is none.
    """
    wanted = NOTHING
    with contextlib.suppress(InputError):
        spec = specs_by_id(validate(project)).get(ItemId(item))
        wanted = spec.digest if spec is not None else NOTHING
    asked = [job for job in jobs if job.item == item or job.digest == wanted]
    named = [job for job in asked if job.request_id.startswith(request)]
    matches = [job for job in named if _is_undecided(job)]
    if forget and not matches:
        # All failed submits may go at once: nothing was paid for them.
        matches = [job for job in named if job.state is JobState.FAILED]
        # A text that was paid for is given up only by its request id.
        matches = matches or [job for job in named if request and job.state is JobState.PAID]
    if matches:
        return matches
    whose = f"whose request begins with `{clip(request, 60)}`" if request else "whose outcome is unknown"
    unknown = sorted({f"`{job.item}`" for job in jobs if job.state is JobState.UNKNOWN})
    hint = "unknown at the moment: " + (", ".join(unknown) or "none")
    raise UsageError(f"`{item}` has no submit {whose}", code="nothing-to-resolve", hint=hint)


def _is_undecided(job: Job) -> bool:
    """Return whether a person may resolve it: its job may be lost, or no job has its paid text any more."""
    if job.state is JobState.PAID:
        return not job.job_id
    return job.state is not JobState.FAILED


def _note(workspace: Workspace, step: str, *facts: Fact) -> None:
    """Record facts. Raises Refused, and records none, if another process works on their submits."""
    ledger, open_ones = workspace.working_ledger, workspace.store.state.open_jobs
    meant = {fact.request_id for fact in facts if isinstance(fact, Job | Drop)}
    named = {(job.server, job.request_id) for id_, job in open_ones.items() if id_ in meant}
    if ledger is not None and (lost := ledger.claim(named)):
        raise Refused(
            f"another process works on `{open_ones[min(lost)].item}`; nothing was changed",
            code="ledger-changed",
            hint="`contentops status` shows which; wait for it or stop it, then run this again",
        )
    workspace.store.note(step, *facts)


@contextlib.contextmanager
def _editing(project: Project, runtime: Runtime = HERE) -> Iterator[Workspace]:
    """Open the state under the apply lock, and write a checkpoint at the end."""
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        yield workspace
        workspace.store.checkpoint()
