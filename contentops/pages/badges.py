"""Defines the badges that show an item's states: a shape, a word, and a colour that says who must act."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from contentops.errors import Severity
from contentops.model import ApprovalState
from contentops.operations.review import ReviewItem


class Badge(Struct, frozen=True):
    """A badge that shows one state of an item. `key` is the name of the state in URLs."""

    key: str
    shape: str
    word: str
    hue: str
    """`wait`: a reader. `stop`: it is stopped. `go`: finished. `note`: information. `idle`: nothing to do."""


FAILS: Final = Badge("check-fails", "triangle", "check fails", "stop")
WARNS: Final = Badge("check-warns", "triangle", "check warns", "wait")
_EDITED: Final = Badge("edited", "pencil", "edited by hand", "note")
_STALE: Final = Badge("stale", "again", "made from an earlier text", "note")
_PROTECTED: Final = Badge("protected", "padlock", "protected", "idle")
_ALL: Final = (
    Badge("blocked", "octagon", "blocked", "stop"),
    Badge("unknown", "diamond", "outcome unknown", "stop"),
    Badge("changed", "half", "changed since approval", "wait"),
    Badge("waiting", "dashed", "waiting for approval", "wait"),
    Badge("sent-back", "return", "sent back", "note"),
    Badge("gone", "bar", "file is gone", "idle"),
    Badge("no-text", "bar", "no text yet", "idle"),
    Badge("approved", "tick", "approved", "go"),
    Badge("unasked", "bar", "no approval required", "idle"),
    FAILS,
    WARNS,
    _EDITED,
    _STALE,
    _PROTECTED,
)
BADGES: Final[Mapping[str, Badge]] = {badge.key: badge for badge in _ALL}
"""The badges by key; the states that need a person come first."""


CHECKS: Final[Mapping[str, str]] = {
    "similar": "Too similar to another text",
    "grounded": "States what its brief does not",
    "leftovers": "Draft or placeholder words left",
    "excludes": "Words that the project excludes",
    "contains": "Required words are missing",
    "words": "Longer or shorter than asked",
    "headings": "Headings are missing",
    "links": "Links that lead nowhere",
    "not-matches": "An expression that is not allowed",
    "matches": "A required expression is missing",
    "front-matter": "Front matter against its schema",
}
"""What each check found, in words, by its code."""


class CheckKind(Struct, frozen=True):
    """A kind of check, and the number of texts in which this kind of check has findings."""

    key: str
    words: str
    severity: Severity
    texts: int


def kinds_of_checks(items: Iterable[ReviewItem]) -> list[CheckKind]:
    """Return the kinds of checks that have findings in these items.

    Failed checks come first, then warnings; each group starts with the most frequent kind.
    """
    counts = Counter(kind for item in items for kind in {(one.severity, one.code) for one in item.findings})
    kinds = (CheckKind(key, CHECKS.get(key, key), severity, count) for (severity, key), count in counts.items())
    return sorted(kinds, key=lambda kind: (kind.severity is not Severity.ERROR, -kind.texts, kind.key))


def badges(item: ReviewItem) -> tuple[Badge, ...]:
    """Return the badges of an item: its state, its approval, the result of its checks, and other marks."""
    checks = {Severity.ERROR: (FAILS,), Severity.WARNING: (WARNS,), None: ()}[item.severity]
    also = (*(_EDITED,) * item.edited, *(_STALE,) * (item.word == "stale"), *(_PROTECTED,) * item.protected)
    # A text that is blocked waits for approval too, and plan and status count it there.
    approval = () if item.approval.value in (ApprovalState.NONE, item.state.value) else (BADGES[item.approval.value],)
    return (BADGES[item.state.value], *approval, *checks, *also)
