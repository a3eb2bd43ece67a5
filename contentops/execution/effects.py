"""What an item's program asks of the scheduler; a program is a generator that yields these and gets answers.

A program never waits, sends or sleeps by itself, so that thousands of items cost a heap entry each and the same
program runs on a virtual clock.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from contentops.api.calls import Call
    from contentops.model import OpenEntry


class Priority(enum.IntEnum):
    """Which call goes first when requests are scarce."""

    SAVE = 0
    LOOKUP = 1
    SUBMIT = 2
    POLL = 3


class Send(Struct, frozen=True):
    """Send one call when the limiter allows it. Answered with a Reply or a Failure.

    `before` runs when the call's turn has come: what it records is durable before the call leaves.
    """

    call: Call
    priority: Priority
    before: Callable[[], None] | None = None


class Watch(Struct, frozen=True):
    """Ask where a job stands when that is worth a request. Answered with a JobStatus or a Failure.

    `started` is the loop time of the submit, `kind` the template and mode whose durations are alike. Where `until`, a
    loop time, lies ahead, the question is asked by then.
    """

    entry: OpenEntry
    kind: str
    started: float
    polls: int
    until: float = math.inf


class Sleep(Struct, frozen=True):
    """Go on at this loop time."""

    until: float


class Admit(Struct, frozen=True):
    """Ask leave to submit. Answered with True, or False once the run submits nothing more."""


class AtEnd(Struct, frozen=True):
    """Go on when no other program can: the run's last look."""


Effect = Send | Watch | Sleep | Admit | AtEnd
Program = Generator[Effect, Any, None]


class Stopped(Exception):
    """Thrown into a program that waits when the run ends early."""
