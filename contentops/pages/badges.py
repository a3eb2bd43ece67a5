"""The states of an item as the pages draw them: a shape, a word, and a hue that says who must act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import Severity
from contentops.operations.review import ReviewState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.operations.review import ReviewItem


class Badge(Struct, frozen=True):
    """A state of an item; `key` names it in addresses."""

    key: str
    shape: str
    word: str
    hue: str
    """`wait`: a reader. `stop`: it is stopped. `go`: settled. `note`: information. `idle`: nothing to do."""


STATES: Final[Mapping[ReviewState, Badge]] = {
    ReviewState.BLOCKED: Badge("blocked", "octagon", "blocked", "stop"),
    ReviewState.UNKNOWN: Badge("unknown", "diamond", "outcome unknown", "stop"),
    ReviewState.CHANGED: Badge("changed", "half", "changed since approval", "wait"),
    ReviewState.WAITING: Badge("waiting", "dashed", "waiting for approval", "wait"),
    ReviewState.SENT_BACK: Badge("sent-back", "return", "sent back", "note"),
    ReviewState.GONE: Badge("gone", "bar", "file is gone", "idle"),
    ReviewState.NO_TEXT: Badge("no-text", "bar", "no text yet", "idle"),
    ReviewState.APPROVED: Badge("approved", "tick", "approved", "go"),
    ReviewState.UNASKED: Badge("unasked", "bar", "no approval required", "idle"),
}
"""What needs someone first."""
FAILS: Final = Badge("check-fails", "triangle", "check fails", "stop")
WARNS: Final = Badge("check-warns", "triangle", "check warns", "wait")
EDITED: Final = Badge("edited", "pencil", "edited by hand", "note")
PROTECTED: Final = Badge("protected", "padlock", "protected", "idle")
BADGES: Final[Mapping[str, Badge]] = {badge.key: badge for badge in (*STATES.values(), FAILS, WARNS, EDITED, PROTECTED)}
"""All of them by key."""
ORDER: Final = {state: at for at, state in enumerate(STATES)}


def badges(item: ReviewItem) -> tuple[Badge, ...]:
    """Return the state of an item, and what else is to be known of it."""
    beside = (
        (FAILS, item.severity is Severity.ERROR),
        (WARNS, item.severity is Severity.WARNING),
        (EDITED, item.edited),
        (PROTECTED, item.protected),
    )
    return (STATES[item.state], *(badge for badge, holds in beside if holds))
