"""The values that all items of a run share: knowledge about the server, and access to disk and network."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Protocol

import msgspec

from contentops.api.calls import Asks, Call, ContentList, Failure, FailureKind, ListContent, Reply
from contentops.api.outcomes import RETRY
from contentops.api.session import MayLeave, Send, always
from contentops.digest import NOTHING, Digest
from contentops.documents.files import Outputs
from contentops.execution.contents import ContentIndex, ContentOwners
from contentops.execution.durable_run import DurableRun
from contentops.execution.limiter import REFUSALS, AccountLimiter, Admission, Outage
from contentops.execution.primitives import Durations, Priority, R, iso
from contentops.model import Change, Event, Finding, ItemId, Job, Json, Listed, Plan, Project, Record, RequestId, State
from contentops.model.desired import Stage
from contentops.model.records import seconds_of
from contentops.planning.sides import honours_ids
from contentops.state.cache import Cache
from contentops.state.store import StateStore
from contentops.tokens import PaidTokens

# ---- Sends one call again, by the policy of `api.backoff`.

PASSING = frozenset({FailureKind.NOT_SENT, FailureKind.UNAVAILABLE, FailureKind.AMBIGUOUS})
"""Temporary failures: after them, a call that is safe to repeat is sent again."""


class Retrier(Protocol):
    """Sends calls and waits between attempts. Times are in seconds of the loop's clock."""

    random: random.Random

    def now(self) -> float:
        """Return the current time."""

    def may_wait(self, failure: Failure, began: float) -> bool:
        """Return whether to wait after a 429 reply.

        `began` is the time of the first reply to this call.
        """

    async def pause(self, failure: Failure, seconds: float) -> None:
        """Wait before a failed call is sent again."""


class Attempts:
    """The attempts to send one call. Their total time is limited; after a 429, they wait as the server asks."""

    def __init__(self, caller: Retrier) -> None:
        self._caller = caller
        self._began: float | None = None
        """When the call got its first reply."""
        self._failing: float | None = None
        """When the call first failed after the last 429; a 429 is a reply, not a failure."""
        self.failed = 0
        """The number of failures, without 429s."""

    async def again(self, failure: Failure, passing: Container[FailureKind] = PASSING) -> bool:
        """Wait until the call may be sent again. Return False if it should not be sent again."""
        caller, now = self._caller, self._caller.now()
        # Counted from the first answer: while a call waits for its turn, nothing fails.
        self._began = now if self._began is None else self._began
        if failure.kind is FailureKind.THROTTLED:
            self._failing = None
            return caller.may_wait(failure, self._began)
        self._failing = now if self._failing is None else self._failing
        if failure.kind not in passing or not RETRY.goes_on(self._failing, now):
            return False
        self.failed += 1
        await caller.pause(failure, RETRY.wait(caller.random, self.failed, failure.retry_after))
        return True


# ---- The context that the items of one run share: knowledge of the server, and the outside.


@dataclass(slots=True)
class ServerCapabilities:
    """What is known about how a server treats request ids, jobs and texts."""

    honours_ids: bool | None = None
    """Whether the server uses our request ids as job ids; None if unknown."""
    hides_jobs: bool = False
    """Whether the server replied 404 for a job that it had accepted: then a 404 proves nothing."""
    shows_after: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """The fewest seconds between a submit and a poll that found the job by its id; None if not seen yet."""
    stores_jobs: bool | None = None
    """Whether the server stores the texts of finished jobs itself; None if not seen yet."""
    creates_only: bool = False
    """Whether a save that should replace a content made a new one."""
    alters_texts: bool | None = None
    """Whether the server changes texts that are saved; None if not seen yet."""

    @classmethod
    def load(cls, cache: Cache, state: State, server: str) -> ServerCapabilities:
        """Read what the cache and the records say about a server; an unreadable cache counts as empty."""
        known = cache.recall(f"facts {server}", cls) or cls()
        proven = honours_ids(state, server)
        known.honours_ids = known.honours_ids if proven is None else proven
        known.alters_texts = _alters_texts(state, server, known.alters_texts)
        return known

    def keep(self, cache: Cache, server: str) -> None:
        """Store this knowledge about the server in the cache, for the next run.

        Called at once if that run must know them even after this run is killed.
        """
        cache.remember(f"facts {server}", asdict(self))


def _alters_texts(state: State, server: str, cached: bool | None) -> bool | None:
    """Return whether the server changes texts that it stores, or None if that is unknown.

    The cache knows it, or one record proves it.
    """
    saves = (record.saved for record in state.records.values() if record.server == server)
    if cached or any(saved.server_body not in (NOTHING, saved.body) for saved in saves if saved is not None):
        return True
    return False if cached is False or server == "local" else None


NOTE_AGAIN = 60.0
"""Seconds after which a run reports again that it is trying again, and why."""


@dataclass(slots=True, kw_only=True)
class Edges:
    """Gives a run access to everything outside of it: state, cache, files, network and clock."""

    store: StateStore
    cache: Cache
    outputs: Outputs
    send: Send
    fence: Callable[[], MayLeave] = lambda: always
    """Called when a call leaves; returns the check that runs directly before its bytes are sent."""
    emit: Callable[[Event], None]
    wall: Callable[[], float]
    """The time in seconds since 1970."""
    random: random.Random
    dialect: Callable[[], str]
    """Returns the dialect of the server, or `auto` if it is not known yet."""
    local_store: str = ""
    """The id of the bundled server's database; empty for another server."""
    again: Callable[[Change, Mapping[ItemId, Stage]], Change | None] = lambda change, _: change
    """Plans an item again with its current sources, within its planned change; see `Following.change`."""
    is_current: Callable[[Change], bool] = lambda _change: True
    """Returns whether the texts that an item is made from are those that the plan expected."""
    exists: Callable[[str], bool] = lambda _path: True
    """Returns whether a path of the project exists, or will exist."""
    commands: Callable[[Listed, str, str], tuple[Finding, ...]] = lambda *_: ()
    """Runs the commands of `checks` on a file, by its path and text, and returns the findings; it may be slow."""
    limiter: AccountLimiter
    text: Callable[[Digest], str | None] = lambda _digest: None
    """Returns a recorded text by its body digest, or None if this machine does not have it."""
    owners: ContentOwners = field(default_factory=ContentOwners)
    """The owners of the contents on the server."""
    requests: int = 0
    """Requests sent before the run, to find out the dialect of the server."""
    knows_texts: bool = False
    """Whether the ledger knows paid texts of the project, and so those of other machines."""


@dataclass(slots=True, kw_only=True)
class Context(Edges):
    """Everything that the steps of a run need: the plan, disk and network, and knowledge about the server."""

    project: Project
    plan: Plan
    state: State
    run: DurableRun
    admission: Admission
    durations: Durations
    capabilities: ServerCapabilities
    index: ContentIndex
    outage: Outage
    made: frozenset[Digest]
    """The body digests of all texts that known jobs made: every other body is a person's."""
    deadline: float | None = None
    """The loop time after which nothing new is started."""
    spent: Counter[ItemId] = field(default_factory=Counter)
    """Credits that this run spent, by item."""
    used: dict[ItemId, list[PaidTokens | None]] = field(default_factory=dict)
    """The tokens of the models' replies in this run, by item; None if unknown."""
    unsettled: Counter[ItemId] = field(default_factory=Counter)
    """Credits of this run's submits with an outcome that is not known yet, by item."""
    latest: dict[ItemId, RequestId] = field(default_factory=dict)
    """The last request of each item that this run submitted or found."""
    orders: dict[str, ItemId] = field(default_factory=dict)
    """The item of each job that is open or from this run, by its request id and by its job id."""
    _noted_at: float = -math.inf

    @property
    def server(self) -> str:
        """Return the server of this run."""
        return self.plan.server

    def made_by(self, record: Record) -> Job | None:
        """Return the job that made the text of a record, or None if it is unknown.

        It may be a job of any environment.
        """
        return self.store.jobs.known.made_by(record) or self.state.made_by(record)

    def iso(self) -> str:
        """Return the current time in ISO format, as records contain it."""
        return iso(self.wall())

    def event(self, kind: str, item: str = "", step: str = "", **data: Json) -> None:
        """Report an event to the display and the events file."""
        self.emit(Event(kind=kind, at=self.iso(), item=item, step=step, data=data))

    # --- calls -------------------------------------------------------------------------------------------

    async def ask(self, call: Asks[R], priority: Priority = Priority.LOOKUP) -> R | Failure:
        """Send a call that is safe to repeat, and repeat it for a limited time after temporary failures."""
        attempts = Attempts(self)
        while isinstance(answer := await self.run.send(call, priority), Failure):
            if answer.kind is FailureKind.UNAUTHORIZED:
                self.stop_unauthorized(answer, at_once=True)
            if not await attempts.again(answer):
                break
        return answer

    async def list_content(self, since: float | None = None, *, needed: bool = True) -> ContentList | Failure:
        """Return the list of stored contents, as the server has them now.

        If the key may not even list them, nothing more is submitted. `since` is as in `list_all`.
        """
        answer = await list_all(self.ask, since)
        if needed and isinstance(answer, Failure) and answer.kind is FailureKind.FORBIDDEN:
            self.stop_unauthorized(answer, at_once=False)
        return answer

    def may_wait(self, failure: Failure, began: float) -> bool:
        """Return whether to wait after a 429 reply. If the wait would be too long, stop the run.

        It is too long if it exceeds the time that a job may take, or the deadline.
        """
        patience, now = self.project.api.job_timeout, self.run.now()
        wait = failure.retry_after or 0.0
        # As long as jobs come and go, the server is busy, not closed.
        stuck = now - max(began, self.admission.progress_at) > patience
        if wait > patience or stuck or (self.deadline is not None and now + wait > self.deadline):
            asked = f"; it asks to wait {_lasting(wait)}" if wait else ""
            self.run.stop(
                "throttled",
                f"the server allows no more requests for now: {failure.full_message}{asked}",
                "run `contentops apply` again later",
                at_once=True,
            )
            return False
        return True

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""
        return self.run.now()

    async def pause(self, failure: Failure, seconds: float) -> None:
        """Wait until a failed call may be sent again."""
        self.trouble(f"{failure.full_message}; trying again")
        await self.run.sleep(seconds)

    def stop_with_others(self, reason: str, until: float) -> None:
        """Stop the run if the server asked another process of this account to wait for too long.

        It is too long if it exceeds the time that a job may take.
        """
        wait = until - self.run.now()
        if reason == "limit" and wait > self.project.api.job_timeout:
            message = f"the server asked another process of this account to wait for another {_lasting(wait)}"
            self.run.stop("throttled", message, "run `contentops apply` again later", at_once=True)

    # --- trouble -----------------------------------------------------------------------------------------

    async def deliver(self, call: Call, may_leave: MayLeave) -> Reply | Failure:
        """Send a call and return the server's reply.

        The run stops once every call has failed for `RETRY.total` seconds.
        """
        answer = await self.send(call, may_leave)
        if not (isinstance(answer, Failure) and answer.server_failed):
            self.outage.answered()
        elif self.outage.failed(answer.full_message, self.run.now()):
            self.trouble(f"{answer.full_message}; trying again for {RETRY.total:.0f} s, one request at a time")
        else:
            unreached = answer.kind is FailureKind.NOT_SENT and answer.status is None
            met = "nothing was reached" if unreached else "every request failed"
            lasting = f"for {RETRY.total:.0f} s" if self.outage.reached else "in this run"
            self.run.stop(
                "refused-submits" if answer.status else "no-connection",
                f"{met} {lasting}: {answer.full_message}",
                f"check that a server answers at `{self.project.api.server}` (`api.base_url`), and the network; "
                "then run `contentops apply` again: running jobs are kept and continue",
                at_once=True,
            )
        return answer

    def trouble(self, message: str) -> None:
        """Report what delays the run, at most once a minute."""
        if self.run.now() - self._noted_at >= NOTE_AGAIN:
            self._noted_at = self.run.now()
            self.event("note", message=message)

    def count_refusal(self, message: str) -> None:
        """Count a submit request that brought no job, and stop the run after too many such requests.

        It was refused, lost or not sent. After `REFUSALS` in a row, nothing more is submitted.
        """
        self.admission.refused += 1
        if self.admission.refused >= REFUSALS:
            self.run.stop(
                "refused-submits",
                f"{REFUSALS} submits in a row were refused; the last one: {message}",
                "check `api.base_url`, the key and the manifests",
                at_once=False,
            )

    def stop_after_first(self, message: str, hint: str) -> None:
        """Submit nothing more if the server has not completed any job yet.

        Its first job failed, is not done in time, or has an unknown outcome.
        """
        if not self.admission.proven:
            self.run.stop("first-contact", message, hint, at_once=False)

    def stop_unauthorized(self, failure: Failure, *, at_once: bool) -> None:
        """Submit nothing more, because a refused key affects every item."""
        self.run.stop("unauthorized", failure.full_message, self.key_hint(), at_once=at_once)

    def pauses(self, failure: Failure) -> bool:
        """Stop the run if the key was refused or no credits are left.

        Returns whether the failure is only temporary: no credits, or too many requests.
        """
        if failure.kind is FailureKind.UNAUTHORIZED:
            self.stop_unauthorized(failure, at_once=True)
        if failure.kind is FailureKind.QUOTA:
            message = f"no credits left: {failure.full_message}"
            self.run.stop("credits", message, "add credits, then run `contentops apply` again", at_once=False)
        return failure.kind in (FailureKind.QUOTA, FailureKind.THROTTLED)

    def key_hint(self) -> str:
        """Return a hint for a person whose key was refused."""
        return f"check the key in the environment variable `{self.project.api.key_env}`, and the plan of the account"


async def list_all(
    ask: Callable[[ListContent], Awaitable[Reply | Failure]], since: float | None = None
) -> ContentList | Failure:
    """Return all stored contents of the account, even if the server lists them in pages.

    With `since`, in seconds since 1970, it stops after the first page that has an older content.
    """
    contents = ContentList()
    call: ListContent | None = ListContent()
    while call is not None:
        answer = await ask(call)
        if isinstance(answer, Failure):
            return answer
        assert isinstance(answer, ContentList)
        size, contents = contents.size, contents.joined(answer)
        oldest = seconds_of(answer.entries[-1].created_at) if answer.entries else None
        past = since is not None and oldest is not None and oldest < since
        # A server may give the same page again and again.
        call = None if past or contents.size == size else answer.after(call)
    return contents


def _lasting(seconds: float) -> str:
    """Return a duration in words, for example "3 hours".

    It uses the largest unit that fits at least twice.
    """
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
