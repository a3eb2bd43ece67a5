"""The durable primitives: the only ways in which an item waits, sends and records.

Items are plain async functions over these. `LocalRun` is the implementation over the journal of one machine; whatever
offers the same can run the same items.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.api.replies import Failure, JobStatus, Reply
    from contentops.execution.admission import Place
    from contentops.model import ItemId, OpenEntry, RequestId, Result
    from contentops.state.lines import Fact

R = TypeVar("R", bound="Reply")
R_co = TypeVar("R_co", bound="Reply", covariant=True)


class Priority(enum.IntEnum):
    """Which call goes first when requests are scarce."""

    SAVE = 0
    LOOKUP = 1
    SUBMIT = 2
    POLL = 3


class Stopped(Exception):
    """Raised where an item waits when the run ends early."""


class Ended(Exception):
    """The item goes no further in this run.

    `gone`: the server does not know its job, or the content with its text, any more.
    """

    def __init__(self, result: Result, error: str = "", hint: str = "", *, gone: bool = False) -> None:
        super().__init__(error)
        self.result = result
        self.error = error
        self.hint = hint
        self.gone = gone


class Asks(Protocol[R_co]):
    """A call of `api.calls`, by the reply that it brings."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""

    @property
    def reply(self) -> type[R_co]:
        """The type of its reply."""


class Watch(Struct, frozen=True):
    """A job to ask for when that is worth a request.

    `started` is the loop time of its submit, `kind` the template and mode whose durations are alike, `polls` how often
    it was found running. Where `until`, a loop time, lies ahead, it is asked for by then.
    """

    job_id: str
    kind: str
    started: float
    polls: int
    until: float = math.inf


class Primitives(Protocol):
    """What an item may do. Whatever waits here raises `Stopped` once the run ends early."""

    @property
    def stopped(self) -> str:
        """Why the run ends early, or empty; nothing is submitted any more."""

    @property
    def halted(self) -> bool:
        """Whether nothing is waited for any more either."""

    def now(self) -> float:
        """Seconds of a clock that never goes back (loop time)."""

    def record(self, step: str, *facts: Fact) -> None:
        """Take in what a step brought about; durable before anything else is sent, as one with all facts of the call."""

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """An open entry as it was recorded last."""

    def is_recorded(self, item: ItemId) -> bool:
        """Whether there is a record under this id."""

    async def send(
        self, call: Asks[R], priority: Priority, intend: Callable[[], None] | None = None
    ) -> R | Failure:
        """Send one call when its turn has come: the one place where anything leaves.

        `intend` runs at that moment; what it records is durable before the call leaves. The answer of a call that pays
        or creates is waited for even if the item is cancelled meanwhile.
        """

    async def poll(self, watch: Watch) -> JobStatus | Failure:
        """Ask where a job stands, once that is worth a request."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def last_look(self) -> None:
        """Go on when no other item can."""

    def place(self) -> Place:
        """A place among the unfinished jobs, not taken yet."""

    def stop(self, reason: str, message: str, hint: str = "", *, at_once: bool) -> None:
        """End the run early: no submit any more, and `at_once` no waiting either. The first reason stays."""
