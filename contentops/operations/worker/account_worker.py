"""Work for one account: its limiter, its run, and what it learns about the server."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

from contentops.documents.files import Outputs
from contentops.errors import StateError
from contentops.execution.assemble_run import ItemEdges, ServerKnowledge, assemble, learned_durations
from contentops.execution.content_index import ContentIndex
from contentops.execution.first_contact import admit
from contentops.ledger.account import history_of, limiter_of
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.work_state import WorkState
from contentops.model import Plan, Project
from contentops.operations.connection import connected, find_in_turn
from contentops.operations.worker.claims import TICK, Claims, shared_capabilities
from contentops.operations.worker.worker_metrics import Done

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.execution.durable_run import DurableRun
    from contentops.execution.primitives import Stop
    from contentops.execution.run_context import Context
    from contentops.ledger.account import Account
    from contentops.ledger.runner import Runner
    from contentops.model import ApiSettings, Event
    from contentops.operations.connection import Credentials
    from contentops.operations.opening import Runtime

SHARE = 15.0
"""Seconds between two exchanges of what was learned, and between two signs of life."""
LAST_LOOK = 60.0
"""Seconds after which a lost submit is looked up for the last time, though other items go on."""
STOPPING = 20.0
"""Seconds for which a worker that was asked to stop still polls running jobs."""
START_AGAIN = "start a worker again: what is queued stays queued, and jobs that run are polled"


class AccountWorker:
    """Claims and carries out what is queued for one account. For one event loop."""

    def __init__(
        self,
        runner: Runner,
        account: Account,
        credentials: Credentials,
        stop: Stop,
        emit: Callable[[Event], None],
        runtime: Runtime,
    ) -> None:
        self._runner, self._account, self._credentials = runner, account, credentials
        self._stop, self._emit, self._runtime = stop, emit, runtime
        self.claims: Claims | None = None
        """Its claims; None before it has begun."""
        self.run: DurableRun | None = None
        self._limiter: SharedLimiter | None = None
        self._stopping = False
        self._submits = 0

    def adopt(self, api: ApiSettings) -> None:
        """Use the limit of the last deposit."""
        if self._limiter is not None:
            self._limiter.limit = api.requests_per_minute

    def wake(self) -> None:
        """Check whether it is to stop."""
        if self.run is not None:
            self.run.wake()

    @property
    def numbers(self) -> Done:
        """Its numbers until now."""
        run, claims = self.run, self.claims
        return Done(
            account=self._account.id,
            submits=self._submits,
            requests=run.requests if run is not None else 0,
            credits=claims.credits if claims is not None else 0,
            results={str(result): count for result, count in claims.results.items()} if claims is not None else {},
            waits_for=run.waiting_for()[0] if run is not None else "",
        )

    def _emitted(self, event: Event) -> None:
        self._submits += event.step == "submit" and "job" in event.data
        self._emit(event)

    def heard(self) -> None:
        """Something was queued: claim at once."""
        if self.run is not None and self.claims is not None:
            self.claims.look()
            self.run.feed()

    async def work(self, *, once: bool) -> None:
        """Work until something stops it; `once`: until nothing is left to do. Raises StateError."""
        api = self._account.api
        project = Project(name="work", root=os.devnull, api=api)
        state = WorkState(self._runner, self._account.id)
        name = limiter_of(self._runner.session, self._account)
        limiter = self._limiter = SharedLimiter(self._runner.session, name, api.requests_per_minute)
        async with connected(project, self._credentials, self._runtime, state) as client:
            await find_in_turn(client, limiter, lambda: self._stop.requested)
            edges = ItemEdges(
                store=state,
                cache=state,
                outputs=Outputs(project.root),
                send=client.send,
                emit=self._emitted,
                wall=self._runtime.wall,
                random=self._runtime.random,
                dialect=lambda: client.dialect,
                limiter=limiter,
                fence=state.fence,
            )
            await self._serve(project, edges, state, once=once)

    async def _serve(self, project: Project, edges: ItemEdges, state: WorkState, *, once: bool) -> None:
        server = project.api.server
        capabilities = shared_capabilities(state, server)
        history = history_of(self._runner.session, self._account.id)
        endpoint = (server, edges.dialect())
        learned_facts = ServerKnowledge(
            admission=admit(project.api.max_in_flight, endpoint, history, honours_ids=capabilities.honours_ids),
            durations=learned_durations(state, server),
            capabilities=capabilities,
            index=ContentIndex(),
        )
        learned = Learned(state, server, learned_facts)
        plan = Plan(project=project.name, environment="", server=server, lineage="")
        ctx = assemble(project, plan, edges, learned_facts, lambda: self._turn(learned))
        run = ctx.run
        run.last_look_in = LAST_LOOK
        claims = Claims(self._runner, self._account.id, ctx, state, once=once)
        self.run, self.claims = run, claims
        run.every(TICK, run.feed)
        run.every(SHARE, lambda: _share(ctx, learned, claims))
        try:
            await run.carry_out(claims, most=project.api.max_in_flight)
        finally:
            with contextlib.suppress(StateError):  # a session that is gone holds nothing
                claims.close()
            learned.share()

    def _turn(self, learned: Learned) -> None:
        """Run before anything is sent."""
        learned.publish()
        run = self.run
        if self._stop.requested and run is not None and not self._stopping:
            self._stopping, run.stopped = True, ""
            run.stop("interrupted", "interrupted; nothing more was submitted", START_AGAIN, at_once=False)
            run.at(run.now() + STOPPING, functools.partial(run.stop, "interrupted", "", at_once=True))
            run.at(run.now(), run.feed)


def _share(ctx: Context, learned: Learned, claims: Claims) -> None:
    """Share what was learned, and give a sign of life."""
    learned.share()
    # A content that was stored since may be the text of another lost submit; and the index must not grow for ever.
    ctx.index = ContentIndex()
    if claims.working:
        event, until = ctx.run.waiting_for()
        ctx.stop_with_others(event, until)
        why = ctx.outage.why if event == "retry" else ""
        ctx.event("waiting", on=event, seconds=round(max(0.0, until - ctx.now()), 1) if until else None, why=why)


class Learned:
    """What was learned about a server, exchanged over the ledger with all who use it."""

    def __init__(self, state: WorkState, server: str, known: ServerKnowledge) -> None:
        self._state, self._server, self._known = state, server, known
        self._published = self._urgent

    @property
    def _urgent(self) -> tuple[bool | None, bool]:
        """Whether the server keeps our ids, and whether it is known when it shows a job."""
        capabilities = self._known.capabilities
        return capabilities.honours_ids, capabilities.shows_after is not None

    def publish(self) -> None:
        """Publish at once what others need to take over from a runner that dies."""
        if self._urgent != self._published:
            self._published = self._urgent
            self._known.capabilities.keep(self._state, self._server)

    def share(self) -> None:
        """Read what others have learned, and publish the rest."""
        state, server, durations = self._state, self._server, self._known.durations
        self._known.capabilities.learn(shared_capabilities(state, server))
        self._known.capabilities.keep(state, server)
        theirs = state.durations()
        durations.learn_from(learned_durations(state, server))
        state.put_durations({**theirs, server: durations.seen})
