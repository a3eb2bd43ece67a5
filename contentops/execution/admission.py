"""Who may submit: a cap on unfinished jobs, one until the server is proven, and as many as the server takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ASK_FIRST = 5
"""Submits that first ask for their id, until this many ids in a row are not known to the server."""
REFUSALS = 5
"""Refused submits in a row that stop a run."""


@dataclass(slots=True)
class Admission:
    """A cap on unfinished jobs, one at a time until the server has completed one.

    While `ask_first` holds, a submit first asks for its id; no more ask at once than it takes to stop asking.
    """

    max_in_flight: int
    proven: bool
    ask_first: bool = False
    closed: bool = False
    """Nothing is submitted any more."""
    in_flight: int = 0
    refused: int = 0
    """Submits in a row that brought no job."""
    asking: int = 0
    strangers: int = 0
    """Ids in a row that the server did not know."""
    running: int = 0
    """Jobs the server has accepted and not ended."""
    room: float = math.inf
    """Unfinished jobs the server seems to allow; learned from submits it turned away."""
    held_until: float = 0.0
    """Loop time before which no submit goes out."""
    progress_at: float = -math.inf
    """Loop time at which a job was last accepted or ended."""
    _smooth: int = 0

    def open(self, *, asks: bool = True) -> bool:
        """Whether one more submit may get ready now; one that `asks` goes through the first questions."""
        if asks and self.ask_first and self.asking >= ASK_FIRST - self.strangers:
            return False
        return self.in_flight < (self.max_in_flight if self.proven else 1)

    def enter(self, *, asks: bool = True) -> None:
        """One more submit gets ready."""
        self.in_flight += 1
        self.asking += asks and self.ask_first

    def answered(self, *, known: bool | None) -> None:
        """The answer to a question for an id, None if there was none; enough unknown ones in a row end the asking."""
        self.asking -= 1
        if known is None:
            return
        self.strangers = 0 if known else self.strangers + 1
        if self.strangers >= ASK_FIRST:
            self.ask_first = False

    def may_send(self, flying: int, likely_ended: float, now: float) -> bool:
        """Whether a submit may leave while `flying` others are under way.

        `likely_ended` of the running jobs have ended without our knowing: a submit finds that out as well as a poll.
        """
        return now >= self.held_until and self.running + flying + 1 - likely_ended <= self.room

    def began(self, now: float) -> None:
        """A job was accepted; enough of them in a row and there may be room for one more."""
        self.running += 1
        self.progress_at = now
        self._smooth += 1
        if self._smooth >= 2 * self.room:
            self.room += 1
            self._smooth = 0

    def ended(self, now: float) -> None:
        """A job is not worth waiting for any more, or has brought its text."""
        self.running -= 1
        self.progress_at = now

    def crowded(self, running: int, until: float) -> None:
        """A submit was turned away while jobs run: the server takes no more of them at once."""
        self.room = min(self.room, running)
        self.held_until = max(self.held_until, until)
        self._smooth = 0


class Place:
    """One item's place among the unfinished jobs. A context: it is left at the latest when the block ends.

    `left` is called when it is free again: whoever leaves it may do nothing else that lets another one in.
    """

    def __init__(
        self,
        admission: Admission,
        admit: Callable[[bool], Awaitable[bool]],
        now: Callable[[], float],
        left: Callable[[], None],
    ) -> None:
        self._admission, self._admit, self._now, self._left = admission, admit, now, left
        self._taken = self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def enter(self, *, asks: bool) -> bool:
        """Wait for it in order; False once the run submits nothing more. `asks`: its id is still to be asked for."""
        if not self._taken:
            self._taken = await self._admit(asks)
        return self._taken

    def take(self) -> None:
        """Take it without waiting: the job is on the server, or may be."""
        if not self._taken:
            self._taken = True
            self._admission.enter(asks=False)

    def begin(self) -> None:
        """The job is known to be on the server."""
        if not self._running:
            self._running = True
            self._admission.began(self._now())

    def leave(self) -> None:
        """The job takes no place any more."""
        if self._running:
            self._running = False
            self._admission.ended(self._now())
        if self._taken:
            self._taken = False
            self._admission.in_flight -= 1
            self._left()
