"""Claim queued submits, as the stream of programs that a worker's run carries out."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Self

from msgspec import structs

from contentops.digest import NOTHING
from contentops.execution.first_contact import ask_after_restore
from contentops.execution.primitives import Item, ItemState
from contentops.execution.program import carry_out
from contentops.execution.run_context import ServerCapabilities
from contentops.ledger.account import history_of
from contentops.ledger.entries import release
from contentops.ledger.queue import UnusableRow, claim_work, drop_cancelled, others_work
from contentops.model import (
    Action,
    Change,
    Event,
    JobState,
    LookUp,
    Observed,
    Plan,
    Poll,
    Request,
    Result,
    Spec,
    State,
    Step,
    Submit,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from contentops.execution.run_context import Context
    from contentops.ledger.queue import ClaimedSubmit
    from contentops.ledger.runner import Runner
    from contentops.ledger.work_state import WorkState
    from contentops.model import Outcome, RequestId

FIRST = 0x636F7233
"""The class of the advisory locks under which one worker at a time submits, until a job of the account completed."""
TICK = 0.05
"""Seconds between two claims while more is queued than there is room for."""
IDLE = 0.5
"""Seconds between two claims while nothing is queued: the work of a runner that dies is taken over by then."""
QUIET = 10.0
"""Seconds between two claims while no one else works for the account: a deposit wakes the worker."""
RESTORED = 5.0
"""Seconds between two checks whether the ledger was restored."""
REST = 300.0
"""Seconds after which a job that was given up as late is polled again."""
UNCLEAR = "the outcome of this account's canary job is unknown, so nothing else is submitted"
RESOLVE = "`contentops state resolve` in a checkout of its project resolves it; `contentops queue` names the project"
UNUSABLE = "its ledger entry is not usable by workers"


def change_of(claimed: ClaimedSubmit) -> Change:
    """Return the remaining steps of a submit as a change, such as an apply would plan, without its files."""
    work, entry = claimed.work, claimed.entry
    # Where an apply began it, only the digest of its request is known here.
    request = Request(template="", style="", inputs={}) if work is None else work.request
    output = (work.output if work is not None else "") or (entry.output if entry is not None else "")
    steps: list[Step] = []
    lost = entry is not None and entry.state is not JobState.RUNNING
    if entry is not None and lost:
        steps.append(LookUp(entry=entry))
    if work is not None and (entry is None or lost):
        steps.append(
            Submit(
                request=request,
                digest=claimed.digest,
                attempt=work.attempt,
                credits=work.credits,
                retry=work.retry,
            )
        )
    steps.append(Poll(entry=entry if entry is not None and entry.state is JobState.RUNNING else None))
    return Change(
        id=claimed.item,
        action=Action.CREATE if entry is None else Action.FINISH,
        file=Observed(path=output, file=NOTHING),
        steps=tuple(steps),
        spec=Spec(id=claimed.item, request=request, digest=claimed.digest, output=output),
    )


def shared_capabilities(state: WorkState, server: str) -> ServerCapabilities:
    """Read what all runners have learned about a server. Raises as `LedgerSession.run` does."""
    return ServerCapabilities.load(state, State(lineage=""), server)


class Claims:
    """An iterator over the programs of what this runner claims; None where nothing is queued at the moment.

    With `once` it ends when nothing is left to claim or to do.
    """

    def __init__(self, runner: Runner, account: str, ctx: Context, state: WorkState, *, once: bool) -> None:
        self._runner, self._account = runner, account
        self._ctx, self._run, self._state, self._once = ctx, ctx.run, state, once
        self.results: Counter[Result] = Counter()
        self.credits = 0
        self._ready: deque[ClaimedSubmit] = deque()
        self._tasks: dict[RequestId, asyncio.Task[None] | None] = {}
        """The tasks of the submits that it works on."""
        self._resting: deque[tuple[float, RequestId]] = deque()
        self._ask_at = self._cancelled_at = self._restored_at = 0.0
        self._renewed = runner.session.renewed
        self._first = int.from_bytes(hashlib.sha256(account.encode()).digest()[:4], "big", signed=True)
        self._has_first_lock = self._idle = self._full = False
        self._unclear = False
        """No job of the account has completed yet, and the outcome of a submit is unknown."""

    @property
    def working(self) -> int:
        """How many submits are worked on."""
        return len(self._tasks)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Coroutine[None, None, None] | None:
        """The next program. Raises StateError as claiming does."""
        if self._run.stopped:
            raise StopIteration
        now = self._run.now()
        if not self._ready and now >= self._ask_at:
            self._look(now)
        if self._ready:
            claimed = self._ready.popleft()
            self._tasks[claimed.request_id] = None
            return self._program(claimed)
        if self._once and self._idle:
            raise StopIteration
        return None

    def look(self) -> None:
        """Claim as soon as there is room: something was queued."""
        self._ask_at = 0.0

    def close(self) -> None:
        """Release all claims, and the right to submit the first job. Raises StateError."""
        release(self._runner, self._account)
        if self._has_first_lock:
            self._runner.session.unlock(FIRST, self._first)
            self._has_first_lock = False

    # --- claiming ------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Claim as many submits as there is room for."""
        self._wake_resting(now)
        self._leave_out_cancelled(now)
        self._prove(now)
        most = self._ctx.admission.max_in_flight if self._ctx.admission.proven else 1
        room = most - len(self._tasks)
        self._ask_at, self._full = now + IDLE, room <= 0
        if room <= 0 or not (self._ctx.admission.proven or self._has_first_lock):
            return
        rows = claim_work(self._runner, self._account, self._ctx.server, room, self._state.claimed)
        if self._runner.session.renewed != self._renewed:
            # A replica may have taken over while it claimed.
            self._prove(now)
        for claimed in rows:
            if isinstance(claimed, UnusableRow):
                self._state.leave(claimed.request_id, UNUSABLE)
            elif claimed.entry is None and self._unclear:
                self._state.leave(claimed.request_id)
                self._run.stop("first-contact", UNCLEAR, RESOLVE, at_once=False)
            else:
                self._state.begin(claimed)
                self._ready.append(claimed)
        self._idle = not (rows or self._tasks)
        if (
            self._idle
            and self._ctx.admission.proven
            and self._runner.session.heeded
            and not others_work(self._runner, self._account)
        ):
            self._ask_at = now + QUIET
        if len(rows) == room:
            self._ask_at = now + TICK

    def _prove(self, now: float) -> None:
        """Let one worker at a time submit, until a job of the account has completed anywhere."""
        admission, session = self._ctx.admission, self._runner.session
        renewed = session.renewed
        if not admission.proven or now >= self._restored_at or renewed != self._renewed:
            self._restored_at, self._renewed = now + RESTORED, renewed
            history = history_of(session, self._account)
            endpoint = (self._ctx.server, self._ctx.dialect())
            if not admission.proven and endpoint in history.proven:
                admission.proven = True
                # What the first job has shown about the server was published before it counted as completed.
                self._ctx.capabilities.learn(shared_capabilities(self._state, self._ctx.server))
            self._unclear = history.unclear and not admission.proven
            ask_after_restore(admission, history, honours_ids=self._ctx.capabilities.honours_ids)
        if not admission.proven and not self._has_first_lock:
            self._has_first_lock = session.lock(FIRST, self._first)
        elif admission.proven and self._has_first_lock:
            session.unlock(FIRST, self._first)
            self._has_first_lock = False

    def _wake_resting(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._state.leave(self._resting.popleft()[1])

    def _leave_out_cancelled(self, now: float) -> None:
        """Stop work on submits that a person cancelled before they were sent."""
        if now < self._cancelled_at:
            return
        self._cancelled_at = now + IDLE
        begun = (request_id for request_id, task in self._tasks.items() if task is not None)
        unsent = [request_id for request_id in begun if self._state.entry(request_id) is None]
        for request_id in drop_cancelled(self._runner.session, unsent) if unsent else ():
            if (task := self._tasks[request_id]) is not None:
                task.cancel()

    # --- carrying out --------------------------------------------------------------------------------------

    async def _program(self, claimed: ClaimedSubmit) -> None:
        self._tasks[claimed.request_id] = asyncio.current_task()
        outcome: Outcome | None = None
        try:
            change = change_of(claimed)
            ctx = self._context(claimed, change)
            outcome = await carry_out(ctx, Item(change=change), ItemState(record=None, path=""))
        finally:
            del self._tasks[claimed.request_id]
            if self._full or not self._tasks:
                # There is room now, or nothing left to do.
                self._ask_at = min(self._ask_at, self._run.now() + TICK)
            self._end(claimed, outcome)

    def _context(self, claimed: ClaimedSubmit, change: Change) -> Context:
        """Return the context of one submit: its project, and counts of its own."""
        ctx, owner, work = self._ctx, claimed.owner, claimed.work
        timeout = work.job_timeout if work is not None else ctx.project.api.job_timeout
        project = structs.replace(
            ctx.project,
            name=owner.project,
            environment=owner.environment,
            api=structs.replace(ctx.project.api, job_timeout=timeout),
        )
        plan = Plan(
            project=owner.project,
            environment=owner.environment,
            server=ctx.server,
            lineage=owner.lineage,
            changes=(change,),
            id=claimed.plan_id,
        )
        label = "/".join(part for part in (owner.project, owner.environment, claimed.item) if part)

        def emit(event: Event) -> None:
            # A worker writes no output.
            data = {key: value for key, value in event.data.items() if key != "output"}
            ctx.emit(structs.replace(event, item=label, data=data) if event.item else event)

        return dataclasses.replace(ctx, project=project, plan=plan, emit=emit, spent=Counter(), unsettled=Counter())

    def _end(self, claimed: ClaimedSubmit, outcome: Outcome | None) -> None:
        """Count the outcome, and release the submit."""
        request_id, entry = claimed.request_id, self._state.entry(claimed.request_id)
        if outcome is None:
            self._state.forget(request_id)
            return
        self.results[outcome.result] += 1
        self.credits += outcome.credits
        failed = outcome.result is Result.FAILED and not self._run.stopped
        if entry is not None and entry.state is JobState.UNKNOWN and self._run.stopped == "interrupted":
            # There was no time to find out: the next worker looks it up.
            self._state.note("interrupted", structs.replace(entry, state=JobState.SUBMITTING))
        if entry is None:
            # A submit that the server refused is not sent again.
            self._state.leave(request_id, (outcome.error or "it failed") if failed else "")
        elif entry.state in (JobState.SUBMITTING, JobState.RUNNING) and not self._run.stopped:
            self._state.forget(request_id)
            if not self._once:
                self._resting.append((self._run.now() + REST, request_id))
        else:
            self._state.leave(request_id)
