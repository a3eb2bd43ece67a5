"""What happened in one apply."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from msgspec import Struct, field

from contentops.model.checks import Finding
from contentops.model.plan import Action
from contentops.model.records import ItemId, Json


class Result(enum.StrEnum):
    """How one item ended in a run."""

    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    LATE = "late"
    """The job still runs on the server; the next apply polls it."""
    PENDING = "pending"
    """Not finished, as the run stopped: not reached, or its job still runs and the next apply polls it."""


class KeptWords(Struct, frozen=True, kw_only=True):
    """A section that stayed as a person left it when a new text came."""

    heading: str
    """With its marks; of the text before the first heading those very words."""
    new: str = ""
    """What the new text has there, which was not taken; empty: nothing."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One item's end in a run."""

    id: ItemId
    action: Action
    result: Result
    steps: tuple[str, ...] = ()
    """The names of the steps that were carried out."""
    credits: int = 0
    """Spent on it in this run."""
    credits_unknown: int = 0
    """Spent on it too if the server took a submit of this run whose answer was lost."""
    output: str = ""
    copy: str = ""
    """Where the words of a person that a new text took the place of are kept, or empty."""
    kept: tuple[KeptWords, ...] = ()
    """The sections of the file that stayed as a person left them, beside the new text that was not taken."""
    left_out: Mapping[str, Json] = field(default_factory=dict)
    """What the front matter said that the new text itself began with, but for its title and the manifest's own keys."""
    findings: tuple[Finding, ...] = ()
    """What its checks found in the text that was written, or held back."""
    error: str = ""
    hint: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """One apply: what happened, not what was hoped."""

    id: str
    plan_id: str
    environment: str
    server: str
    started_at: str
    ended_at: str = ""
    outcomes: tuple[Outcome, ...] = ()
    requests: int = 0
    stopped: str = ""
    """Why the run ended early, or empty.

    One of: interrupted, deadline, credits, throttled, unauthorized, first-contact, refused-submits.
    """
    message: str = ""
    """What stopped it, in words."""
    hint: str = ""

    def count(self, result: Result) -> int:
        """How many items ended like this."""
        return sum(outcome.result is result for outcome in self.outcomes)

    @property
    def credits(self) -> int:
        """Credits spent by this run."""
        return sum(outcome.credits for outcome in self.outcomes)

    @property
    def credits_unknown(self) -> int:
        """Credits spent as well if the server took every submit of this run whose answer was lost."""
        return sum(outcome.credits_unknown for outcome in self.outcomes)


class Event(Struct, frozen=True, kw_only=True):
    """What just happened to which item; feeds the progress display and `--events`.

    `kind`: run-started, item-started, step-started, step-done, progress, waiting, item-done, note, run-done.
    """

    kind: str
    at: str
    """ISO time, UTC."""
    item: str = ""
    step: str = ""
    data: Mapping[str, Json] = field(default_factory=dict)
