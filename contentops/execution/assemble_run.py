"""Makes what the items of a run share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contentops.api.calls import GetStatus, ListTemplates
from contentops.api.fence import always
from contentops.execution.content_owners import ContentOwners
from contentops.execution.durable_run import DurableRun
from contentops.execution.limiter import Outage
from contentops.execution.run_context import Context

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Mapping

    from contentops.api.calls import Call, Failure, Reply
    from contentops.api.fence import MayLeave, Send
    from contentops.digest import Digest
    from contentops.documents.files import Outputs
    from contentops.execution.content_index import ContentIndex
    from contentops.execution.durations import Durations
    from contentops.execution.limiter import AccountLimiter, Admission
    from contentops.execution.run_context import ServerCapabilities
    from contentops.model import Change, Event, Finding, ItemId, Listed, Plan, Project, State
    from contentops.model.references import Stage
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """What a run uses beyond the program itself: state, cache, files, network and clock."""

    store: StateStore
    cache: Cache
    outputs: Outputs
    send: Send
    fence: Callable[[], MayLeave] = lambda: always
    """Called when a call leaves; gives the check that runs directly before its bytes do."""
    emit: Callable[[Event], None]
    wall: Callable[[], float]
    random: random.Random
    dialect: Callable[[], str]
    """The dialect of the server: `auto` as long as none is known."""
    again: Callable[[Change, Mapping[ItemId, Stage]], Change | None] = lambda change, _: change
    """The change of an item as its sources are now, within its planned one; the stages that others still bring."""
    is_current: Callable[[Change], bool] = lambda _change: True
    """Whether the texts that an item is made from are as they were planned."""
    exists: Callable[[str], bool] = lambda _path: True
    """Whether a path of the project exists, or will."""
    commands: Callable[[Listed, str, str], tuple[Finding, ...]] = lambda *_: ()
    """What the commands of `checks` find in a file, by its path and text; may take its time."""
    limiter: AccountLimiter
    text: Callable[[Digest], str | None] = lambda _digest: None
    """A text that a record names, by its body digest, where this machine has it."""
    owners: ContentOwners = field(default_factory=ContentOwners)
    """The owners of the contents on the server."""
    requests: int = 0
    """Requests sent before the run, to find out the dialect of the server."""
    paid_at: Collection[tuple[str, str]] = ()
    """The servers and dialects of which the ledger knows paid texts of the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKnowledge:
    """What is known of the server at the start; items add to it."""

    admission: Admission
    durations: Durations
    capabilities: ServerCapabilities
    index: ContentIndex


def assemble(
    project: Project, plan: Plan, state: State, edges: Edges, knowledge: ServerKnowledge, on_turn: Callable[[], None]
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
        made_by=lambda record: edges.store.made_by(record) or state.made_by(record),
        exists=edges.exists,
        again=edges.again,
        is_current=edges.is_current,
        run_commands=lambda listed, output, text: asyncio.to_thread(edges.commands, listed, output, text),
    )
    return ctx


async def _sent(ctx: Context, edges: Edges, call: Call, may_leave: MayLeave) -> Reply | Failure:
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
