"""Makes what the items of a run share: for an apply in a checkout, and for a worker without one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contentops.api.calls import GetStatus, ListTemplates
from contentops.api.fence import always
from contentops.execution.durable_run import DurableRun
from contentops.execution.durations import Durations
from contentops.execution.limiter import Outage
from contentops.execution.run_context import Context

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from contentops.api.calls import Call, Failure, Reply
    from contentops.api.fence import MayLeave, Send
    from contentops.digest import Digest
    from contentops.documents.files import Outputs
    from contentops.errors import ContentopsError
    from contentops.execution.content_index import ContentIndex
    from contentops.execution.limiter import AccountLimiter, Admission
    from contentops.execution.primitives import RunState
    from contentops.execution.run_context import ServerCapabilities
    from contentops.model import Event, Finding, ItemId, Listed, Plan, Project
    from contentops.state.paid_texts import StoredText
    from contentops.state.shared import RunCache


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEdges:
    """What items use beyond the program itself: state, cache, files, network and clock."""

    store: RunState
    cache: RunCache
    outputs: Outputs
    send: Send
    fence: Callable[[], MayLeave] = lambda: always
    """Called when a call leaves; gives the check that runs directly before its bytes do."""
    stop_on: tuple[type[ContentopsError], ...] = ()
    """Errors that stop the run, so that what is under way is still recorded, instead of ending it."""
    emit: Callable[[Event], None]
    wall: Callable[[], float]
    random: random.Random
    dialect: Callable[[], str]
    """The dialect of the server: `auto` as long as none is known."""
    exists: Callable[[str], bool] = lambda _path: True
    """Whether a path of the project exists, or will."""
    commands: Callable[[Listed, str, str], tuple[Finding, ...]] = lambda *_: ()
    """What the commands of `checks` find in a file, by its path and text; may take its time."""
    limiter: AccountLimiter
    text: Callable[[Digest], str | None] = lambda _digest: None
    """A text that a record names, by its body digest, where this machine has it."""
    earlier: Callable[[Iterable[ItemId], Digest], StoredText | None] = lambda _ids, _digest: None
    """A text of an item that was paid for before, by its request, from elsewhere than the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKnowledge:
    """What is known of the server at the start; items add to it."""

    admission: Admission
    durations: Durations
    capabilities: ServerCapabilities
    index: ContentIndex


def learned_durations(cache: RunCache, server: str) -> Durations:
    """The durations of a server's jobs that the cache knows."""
    return Durations.load(cache.durations().get(server), server)


def assemble(
    project: Project, plan: Plan, edges: ItemEdges, knowledge: ServerKnowledge, on_turn: Callable[[], None]
) -> Context:
    """Make the context of a run and its items. `on_turn` is called before anything is sent."""
    outage = Outage(edges.random)
    run = DurableRun(
        edges.store,
        edges.limiter,
        knowledge.admission,
        knowledge.durations,
        outage,
        send=lambda call, may_leave: _sent(ctx, edges, call, may_leave),
        fence=edges.fence,
        on_turn=on_turn,
        stop_on=edges.stop_on,
    )
    ctx = Context(
        project=project,
        plan=plan,
        run=run,
        cache=edges.cache,
        outputs=edges.outputs,
        admission=knowledge.admission,
        durations=knowledge.durations,
        capabilities=knowledge.capabilities,
        index=knowledge.index,
        outage=outage,
        emit=edges.emit,
        wall=edges.wall,
        random=edges.random,
        dialect=edges.dialect,
        text=edges.text,
        earlier=edges.earlier,
        exists=edges.exists,
        run_commands=lambda listed, output, text: asyncio.to_thread(edges.commands, listed, output, text),
    )
    return ctx


async def _sent(ctx: Context, edges: ItemEdges, call: Call, may_leave: MayLeave) -> Reply | Failure:
    """Send a call; returns its answer. A failure that belongs to an outage may end the run."""
    answer = await edges.send(call, may_leave)
    failure = ctx.heard(answer)
    if failure is not None and isinstance(call, GetStatus) and not call.accepted and not failure.is_inconclusive:
        # A server may stumble over every id that it does not know, and be well.
        ctx.run.count_request()
        failure = ctx.heard(await edges.send(ListTemplates(), always))
    if failure is not None:
        ctx.end_outage(failure)
    return answer
