"""`apply --detach`: plan, show the plan, ask, and queue its submits. Workers send them; a later apply writes files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import StateError
from contentops.ledger.account import account_of
from contentops.ledger.queue import Deposited, QueuedWork
from contentops.model import Detached, LookUp, request_id
from contentops.operations.apply import check_allowed, open_refusals, plan_for_apply
from contentops.operations.apply_lock import spending
from contentops.operations.before_submit import look_at_server
from contentops.operations.claiming import needless
from contentops.operations.connection import connected, read_credentials
from contentops.operations.ledger import ledger_access
from contentops.operations.lineage import check_lineage
from contentops.operations.opening import Runtime, has_ledger, open_store
from contentops.operations.plan import gathered
from contentops.operations.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.model import Change, Plan, Project, State, Submit
    from contentops.operations.apply import ApplyOptions
    from contentops.operations.connection import Credentials
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import Choice


def detach(
    project: Project,
    choice: Choice,
    options: ApplyOptions,
    *,
    confirm: Callable[[Plan], bool],
    show: Callable[[Plan], None],
    runtime: Runtime,
) -> tuple[Plan, Detached | None]:
    """Plan, show the plan, ask, and queue its submits; None where the answer is no, or there is nothing to do.

    Nothing in the checkout changes, but that a first lock is written. The server is asked what an apply asks before it
    pays. Raises what `apply` raises, and StateError where the project has no ledger.
    """
    if not has_ledger(project, runtime.environ):
        raise _no_ledger(project)
    with open_workspace(project, runtime) as workspace, spending(workspace):
        inputs, plan = plan_for_apply(workspace, gathered(workspace, choice), options)
        planned = structs.replace(plan, refusals=open_refusals(plan, options.overrides))
        if planned.empty and not planned.refusals:
            return planned, None
        show(planned)
        check_allowed(project, planned, options, runtime)
        if workspace.store.is_first:
            check_lineage(project)
        rows, gone = submits_of(planned, project.api.job_timeout), needless(planned)
        waiting = sum(bool(change.steps) and _submit(change) is None for change in planned.changes)
        if not (rows or gone):
            return planned, Detached(waiting=waiting)
        credentials = read_credentials(project.api, runtime)
        if not confirm(planned):
            return planned, None
        account = account_of(project.api, credentials.key)
        with ledger_access.depositing(project, workspace.store, account, runtime, options.priority) as queue:
            if rows:
                _look_at_server(workspace, planned, inputs.state, credentials)
            if workspace.store.is_first:
                # The lock has the lineage by which a later apply finds the submits, even if the project is renamed.
                with open_store(project, runtime, write=True) as store:
                    store.begin()
            lost = queue.withdraw(gone)
            # Others work on these by now, so they are not queued again.
            begun = {change.id for change in planned.changes if not lost.isdisjoint(change.withdraws)}
            queued = queue.deposit([row for row in rows if row.item not in begun])
    return planned, Detached(
        queued=tuple(row.item for row in rows if row.request_id in queued),
        credits=sum(row.credits for row in rows if row.request_id in queued),
        known=tuple(row.item for row in rows if row.request_id not in queued),
        withdrawn=len(gone) - len(lost),
        waiting=waiting,
    )


def _look_at_server(workspace: Workspace, plan: Plan, state: State, credentials: Credentials) -> None:
    """Ask the server about the submits to queue. Raises what `look_at_server` raises."""
    import asyncio

    queued = structs.replace(plan, changes=tuple(change for change in plan.changes if _submit(change) is not None))
    project, runtime = workspace.project, workspace.runtime

    async def look() -> None:
        async with connected(project, credentials, runtime, workspace.cache) as client:
            await look_at_server(workspace, queued, state, client, bool(credentials.user), runtime.stopped)

    (runtime.run or asyncio.run)(look())


def submits_of(plan: Plan, job_timeout: float) -> tuple[Deposited, ...]:
    """Return the submits of a plan that a worker can send, in its order; `job_timeout` in seconds."""
    submits = ((change, step) for change in plan.changes if (step := _submit(change)) is not None)
    return tuple(
        Deposited(
            request_id=request_id(plan.lineage, plan.environment, change.id, step.digest, step.attempt),
            item=change.id,
            digest=step.digest,
            work=QueuedWork(
                request=step.request,
                attempt=step.attempt,
                credits=step.credits,
                retry=step.retry,
                output=change.target,
                job_timeout=job_timeout,
            ),
            credits=step.credits,
            plan_id=plan.id,
            place=slot,
        )
        for slot, (change, step) in enumerate(submits)
    )


def _submit(change: Change) -> Submit | None:
    """Return the submit if it needs no checkout: not that of a section, and not one that may be paid for already."""
    step = change.submit
    return None if step is None or step.section or change.has(LookUp) else step


def _no_ledger(project: Project) -> StateError:
    if project.api.base_url == "local":
        message = "the bundled server (`api.base_url: local`) has no ledger, so there is no queue"
        return StateError(message, code="no-ledger", hint="run `contentops apply` without `--detach`: it costs nothing")
    hint = "set `ledger: postgresql://...` in `contentops.yaml`, or `CONTENTOPS_LEDGER`"
    return StateError("the project has no ledger, so there is no queue", code="no-ledger", hint=hint)
