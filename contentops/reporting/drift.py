"""Drift: what of a plan no change of a manifest and no unfinished apply explains; and the page that tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import plural
from contentops.reporting.plan_markdown import LIMIT, about, code, marker_of, plan_markdown
from contentops.reporting.summary import command
from contentops.sanitize import clip, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.model import Change, Plan

_EXPLAINED = frozenset(
    {
        *("new", "added", "changed", "removed", "front-matter", "moved", "renamed", "gone"),
        *("made-by-local", "replace", "section"),
        *("open-job", "stored", "failed", "failed-before", "own-output"),
    }
)
"""Kinds of reasons that follow from manifests, from what was asked for, or from an apply that is not done.

Any other is drift: a kind that is not known here is rather told once too often.
"""
_NO_DRIFT = frozenset({"orphan", "protected", "left-behind", "other-server"})
"""Kinds of notes about an item of which the same is true."""


def drift_of(plan: Plan) -> Plan:
    """The plan with nothing in it but drift: such changes, all that is blocked, and notes about items that differ."""
    return structs.replace(
        plan,
        changes=tuple(change for change in plan.changes if _drifts(change)),
        notes=tuple(note for note in plan.notes if note.id is not None and note.kind not in _NO_DRIFT),
        refusals=(),
    )


def _drifts(change: Change) -> bool:
    return bool(change.blocked) or any(reason.kind not in _EXPLAINED for reason in change.reasons)


def drift_count(plan: Plan) -> int:
    """How many items the drift in a plan is about."""
    found = drift_of(plan)
    return len({change.id for change in found.changes} | {note.id for note in found.notes})


def drift_marker(plan: Plan) -> str:
    """The hidden first line by which the issue of this project and environment is found again."""
    return marker_of(plan.project, plan.environment, "drift")


def drift_title(plan: Plan) -> str:
    """The title of that issue."""
    return clip(visible(f"contentops drift: {plan.project}{f' ({plan.environment})' if plan.environment else ''}"), 200)


def drift_markdown(plan: Plan, *, limit: int = LIMIT) -> str:
    """The page of that issue, of at most `limit` bytes: items that differ, or that none does any more."""
    return plan_markdown(drift_of(plan), limit=limit, head=_head(plan))


def _head(plan: Plan) -> Iterator[str]:
    yield drift_marker(plan)
    yield from about("drift", plan)
    count = drift_count(plan)
    verb = "differs" if count == 1 else "differ"
    yield (
        f"**{plural(count, 'item')} {verb}, though no manifest says so.**" if count else "**Nothing differs any more.**"
    )
    waiting = sum(not _drifts(change) for change in plan.changes)
    if waiting:
        yield f"\n{plural(waiting, 'other change')} {'waits' if waiting == 1 else 'wait'} for an apply."
    if count:
        yield f"\n{code(command('plan', plan.environment, ['--refresh']))} says what an apply would do about it."
