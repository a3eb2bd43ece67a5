"""What is queued for workers: what one apply has queued, and how everything that is queued or under way stands."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from contentops.model.records import ItemId, RequestId
from contentops.model.run import Result


class Detached(Struct, frozen=True, kw_only=True):
    """What an apply that does not wait has queued."""

    queued: tuple[ItemId, ...] = ()
    """The items whose submits are queued now."""
    credits: int = 0
    """What these cost."""
    known: tuple[ItemId, ...] = ()
    """The items whose submits someone has asked for before."""
    withdrawn: int = 0
    """Submits that were taken out of the queue, as no one needs them any more."""
    waiting: int = 0
    """Changes of the plan that only an apply at a checkout carries out."""


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
    """Who works on it; empty: no one that is alive."""
    kind: str
    """What that is: `apply`, `worker`, or empty."""
    error: str
    """The server's words, where it was refused or is unknown."""


class QueueTotal(Struct, frozen=True, kw_only=True):
    """How many submits of a project are in one state, and what they cost."""

    project: str
    environment: str
    state: str
    submits: int
    credits: int


class QueuedShare(Struct, frozen=True, kw_only=True):
    """How many submits of a project someone has queued, of which nothing was sent, and what they cost."""

    project: str
    environment: str
    who: str
    submits: int
    credits: int


class Queue(Struct, frozen=True, kw_only=True):
    """Everything that is queued or under way."""

    totals: tuple[QueueTotal, ...] = ()
    submits: tuple[QueuedSubmit, ...] = ()
    """Those under way first, then in the order in which workers take them; the first ones, where there are many."""
    workers: tuple[str, ...] = ()
    """The workers that are alive."""
    paid: int = 0
    """Texts that are paid for and that no record in git carries yet."""

    @property
    def size(self) -> int:
        """How many submits there are in all."""
        return sum(total.submits for total in self.totals)


class Cancelled(Struct, frozen=True, kw_only=True):
    """What became of what was to be cancelled: the items."""

    removed: tuple[str, ...] = ()
    """They are queued no more."""
    told: tuple[str, ...] = ()
    """A worker holds them, which leaves them out unless it submits them in this very moment."""
    under_way: tuple[str, ...] = ()
    """They were submitted already, which cannot be taken back."""


class AccountWork(Struct, frozen=True, kw_only=True):
    """What a worker did for one account."""

    account: str
    results: Mapping[Result, int]
    """How many submits ended how."""
    credits: int
    requests: int
    stopped: str = ""
    """Why it ended early, or empty; as in `Run`."""
    message: str = ""
    """What stopped it, in words."""
    hint: str = ""
