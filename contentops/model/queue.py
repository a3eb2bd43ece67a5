"""The queue for workers: what one apply has queued, and the state of all submits that are queued or under way."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.model.records import ItemId, RequestId
from contentops.model.run import Result


class Detached(Struct, frozen=True, kw_only=True):
    """What a detached apply has queued."""

    queued: tuple[ItemId, ...] = ()
    """Items whose submits it queued."""
    credits: int = 0
    """The price of these."""
    known: tuple[ItemId, ...] = ()
    """Items whose submits were queued or paid for before."""
    withdrawn: int = 0
    """Submits that were removed from the queue, since no one needs them any more."""
    waiting: int = 0
    """Changes that only an apply at a checkout carries out."""


class QueuedSubmit(Struct, frozen=True, kw_only=True):
    """One submit that is queued or under way."""

    request_id: RequestId
    project: str
    environment: str
    item: str
    state: str
    """`queued`, `cancelled`, `refused` (`error`: why no worker submits it), `submitting`, `running` or `unknown`."""
    credits: int
    seconds: int
    """How long ago it was deposited or begun."""
    who: str
    """Who deposited or began it."""
    runner: str
    """The live process that has claimed it; empty: none."""
    kind: str
    """The kind of that process: `apply`, `worker`, or empty."""
    error: str
    """The server's words, where it was refused or is unknown."""


class QueueTotal(Struct, frozen=True, kw_only=True):
    """The number and price of a project's submits in one state."""

    project: str
    environment: str
    state: str
    submits: int
    credits: int


class QueuedShare(Struct, frozen=True, kw_only=True):
    """The number and price of a project's submits that someone has queued and that were not sent."""

    project: str
    environment: str
    who: str
    submits: int
    credits: int


class Queue(Struct, frozen=True, kw_only=True):
    """Everything that is queued or under way."""

    totals: tuple[QueueTotal, ...] = ()
    submits: tuple[QueuedSubmit, ...] = ()
    """Those under way, then in the order in which workers claim them; of many, only the first."""
    workers: tuple[str, ...] = ()
    """The workers that are alive."""
    paid: int = 0
    """Paid texts that no record in git has yet."""

    @property
    def size(self) -> int:
        """How many submits there are in all."""
        return sum(total.submits for total in self.totals)


class Cancelled(Struct, frozen=True, kw_only=True):
    """The items of submits that were to be cancelled, by outcome."""

    removed: tuple[str, ...] = ()
    """Removed from the queue."""
    told: tuple[str, ...] = ()
    """Claimed by a worker, which was notified and skips them, unless it is sending them right now."""
    under_way: tuple[str, ...] = ()
    """Submitted already."""


class AccountWork(Struct, frozen=True, kw_only=True):
    """What a worker did for one account."""

    account: str
    results: Mapping[Result, int]
    """The number of submits by result."""
    credits: int
    requests: int
    stopped: str = ""
    """Why it stopped early, or empty; as in `Run`."""
    message: str = ""
    """What stopped it, in words."""
    hint: str = ""
