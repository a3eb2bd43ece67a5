"""What all items of one run share: the edges, what is known of the server, and why the run stops."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contentops.api.backoff import RETRY_FOR, backoff
from contentops.api.calls import ListContent
from contentops.api.replies import ContentList, Failure, FailureKind
from contentops.execution.effects import Priority, Send, Sleep
from contentops.execution.shelf import Shelf
from contentops.model import Event

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator

    from contentops.api.calls import Call
    from contentops.api.replies import ContentEntry, Reply
    from contentops.documents.files import Outputs
    from contentops.execution.durations import Durations
    from contentops.execution.effects import Effect
    from contentops.execution.scheduler import Gate
    from contentops.model import Plan, Project
    from contentops.state.cache import Cache
    from contentops.state.store import StateStore

REFUSALS = 5
"""Refused submits in a row that stop a run."""
TOLD_AGAIN = 60.0
"""Seconds after which a run says once more that it tries again, and why."""


@dataclass(slots=True)
class Traits:
    """What is known of the server; learned from its answers and kept in the cache."""

    honours_ids: bool | None = None
    """Its job ids are our request ids."""
    hides_jobs: bool = False
    """It answered 404 for a job it had accepted, so a 404 proves nothing."""
    shows_after: float | None = None
    """Seconds after its submit at which an accepted job was known under its id, the fewest seen; None: not seen."""
    stores_jobs: bool | None = None
    """It stores finished jobs as content by itself; None: not seen yet."""
    creates_only: bool = False
    """`/content/save` with an id made another content."""
    alters_texts: bool | None = None
    """It gave back a text otherwise than it was saved; None: not seen yet."""

    def as_json(self) -> dict[str, bool | float | None]:
        """What is worth keeping for the next run."""
        return {
            "hides_jobs": self.hides_jobs,
            "shows_after": self.shows_after,
            "stores_jobs": self.stores_jobs,
            "creates_only": self.creates_only,
            "alters_texts": self.alters_texts,
        }

    def saw_job(self, age: float) -> None:
        """A job was known under its id `age` seconds after its submit."""
        self.shows_after = round(min(age, self.shows_after if self.shows_after is not None else age), 1)


@dataclass(slots=True)
class Context:
    """The run. `now` is loop time, `wall` seconds since the epoch."""

    project: Project
    plan: Plan
    store: StateStore
    cache: Cache
    outputs: Outputs
    durations: Durations
    gate: Gate
    traits: Traits
    emit: Callable[[Event], None]
    now: Callable[[], float]
    wall: Callable[[], float]
    random: random.Random
    halt: Callable[[], None]
    """Ends every program that waits."""
    stopped: str = ""
    message: str = ""
    hint: str = ""
    refused: int = 0
    fetched: int = 0
    deadline: float | None = None
    """Loop time after which nothing new is started."""
    owned: set[str] = field(default_factory=set)
    """Content ids on this server that belong to some item."""
    shelf: Shelf = field(default_factory=Shelf)
    """The stored contents this run has seen."""
    reached: bool = False
    """Something answered at the server's address in this run, whatever it said."""
    unreached_since: float | None = None
    """Loop time of the first call that found no connection since something answered."""
    last_done: tuple[str, str] = ("", "")
    """Item and step of the latest `step-done`."""
    _trouble_told: float = -math.inf

    @property
    def server(self) -> str:
        """The server this run speaks to."""
        return self.plan.server

    @property
    def dialect(self) -> str:
        """The dialect this run speaks."""
        return self.project.api.dialect

    def iso(self) -> str:
        """Now, as written into records."""
        return iso(self.wall())

    def event(self, kind: str, item: str = "", step: str = "", **data: object) -> None:
        """Tell the display and the events file what just happened."""
        if kind == "step-done":
            self.last_done = (item, step)
        self.emit(Event(kind=kind, at=self.iso(), item=item, step=step, data=data))

    def stop(self, reason: str, message: str, hint: str = "", *, at_once: bool) -> None:
        """End the run early: no submit any more, and `at_once` no waiting either. The first reason stays."""
        self.gate.closed = True
        if not self.stopped:
            self.stopped, self.message, self.hint = reason, message, hint
        if at_once:
            self.halt()

    # --- calls -------------------------------------------------------------------------------------------

    def ask(
        self, call: Call, priority: Priority = Priority.LOOKUP, before: Callable[[], None] | None = None
    ) -> Generator[Effect, object, Reply | Failure]:
        """Send a call that may be repeated, again and again for a while if it fails for a passing reason."""
        began: float | None = None
        tries = 0
        while True:
            answer = yield Send(call, priority, before)
            if not isinstance(answer, Failure):
                return answer  # type: ignore[return-value]  # the scheduler answers a Send with a Reply or a Failure
            # Counted from the first answer: the time a call waits for its turn is nobody's failure.
            began = self.now() if began is None else began
            if answer.kind is FailureKind.UNAUTHORIZED:
                self.stop("unauthorized", answer.told, self.key_hint(), at_once=True)
                return answer
            passing = answer.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)
            if answer.kind is FailureKind.AMBIGUOUS and call.repeatable:
                passing = True
            if answer.kind is FailureKind.THROTTLED:
                if not self.may_wait(answer, began):
                    return answer
                continue
            if not passing or self.now() - began > RETRY_FOR:
                return answer
            tries += 1
            yield self.pause(tries, answer)

    def pause(self, tries: int, failure: Failure) -> Sleep:
        """The wait before the next try; tells why, once a minute at most."""
        self._tell_trouble(f"{failure.told}; trying again")
        seconds = backoff(self.random, tries, failure.retry_after)
        if not self.gate.running:
            self.event("waiting", on="retry", seconds=round(seconds, 1), left=None)
        return Sleep(self.now() + seconds)

    def _tell_trouble(self, message: str) -> None:
        if self.now() - self._trouble_told >= TOLD_AGAIN:
            self._trouble_told = self.now()
            self.event("note", message=message)

    def heard(self, answer: Reply | Failure) -> None:
        """Take in whether anything answered at all; a run that reaches nobody ends after `RETRY_FOR` seconds.

        Until then one question at a time finds out whether somebody answers again.
        """
        if not (isinstance(answer, Failure) and answer.unreached):
            self.reached, self.unreached_since = True, None
            self.gate.reached()
            return
        now = self.now()
        if self.unreached_since is None:
            self.unreached_since = now
        if now >= self.gate.ask_at:
            self.gate.unreached(now + backoff(self.random, self.gate.unanswered + 1))
        if now - self.unreached_since <= RETRY_FOR:
            self._tell_trouble(f"{answer.told}; trying again for {RETRY_FOR:.0f} s, one request at a time")
            return
        silent = f"nothing was reached for {RETRY_FOR:.0f} s" if self.reached else "nothing was reached in this run"
        self.stop(
            "refused-submits",
            f"{silent}: {answer.told}",
            f"check that a server answers at `{self.project.api.base_url}` (`api.base_url`), and the network; "
            "then run `contentops apply` again",
            at_once=True,
        )

    def may_wait(self, failure: Failure, began: float) -> bool:
        """Whether a 429 is worth waiting for; pauses the run if the server asks for longer than a job may take."""
        patience = self.project.api.job_timeout
        wait = failure.retry_after or 0.0
        until = self.now() + wait
        # As long as jobs come and go, the server is busy, not closed.
        stuck = self.now() - max(began, self.gate.progress_at) > patience
        if wait > patience or stuck or (self.deadline is not None and until > self.deadline):
            asked = f"; it asks to wait {_lasting(wait)}" if wait else ""
            self.stop(
                "throttled",
                f"the server allows no more requests for now: {failure.told}{asked}",
                "run `contentops apply` again later",
                at_once=True,
            )
            return False
        return True

    def key_hint(self) -> str:
        """What to do about a refused key."""
        return f"check the key in the environment variable `{self.project.api.key_env}`, and the plan of the account"

    def list_content(self, *, needed: bool = True) -> Generator[Effect, object, tuple[ContentEntry, ...] | Failure]:
        """Everything the account has stored, asked afresh; a key that may not even list ends the submits."""
        answer = yield from self.ask(ListContent())
        if needed and isinstance(answer, Failure) and answer.kind is FailureKind.FORBIDDEN:
            self.stop("unauthorized", answer.told, self.key_hint(), at_once=False)
        if isinstance(answer, ContentList):
            return answer.entries
        return answer if isinstance(answer, Failure) else ()


def _lasting(seconds: float) -> str:
    """Some seconds as a person says them, in the largest unit that fits at least twice."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO time, UTC, whole seconds."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float | None:
    """ISO time as seconds since the epoch; a time without a zone counts as UTC. None for anything else."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()
