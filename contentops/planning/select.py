"""Which items a command is about: id globs, `tag:`, `template:`, `path:`, `state:` and `result:` selectors."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import UsageError, nearest
from contentops.model import Action, Move, Save, Write
from contentops.planning.body import is_edited

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Change, ItemId, Spec
    from contentops.planning.situation import Choice

METHODS = ("tag", "template", "style", "path", "state", "result")
STATES = ("new", "changed", "edited", "missing", "moved", "orphan", "open", "unknown", "blocked", "failed")


class Candidate(Struct, frozen=True, kw_only=True):
    """What selectors can see of an item."""

    id: ItemId
    tags: tuple[str, ...] = ()
    template: str = ""
    style: str = ""
    path: str = ""
    states: frozenset[str] = frozenset()
    failed: bool = False


def candidate(change: Change | None, spec: Spec | None, *, failed: bool) -> Candidate:
    """The selectable view of an item and of what remains for it."""
    id_ = spec.id if spec is not None else change.id if change is not None else None
    assert id_ is not None
    return Candidate(
        id=id_,
        tags=spec.tags if spec else (),
        template=spec.request.template if spec else "",
        style=spec.request.style if spec else "",
        path=spec.output if spec else change.target if change else "",
        states=states_of(change, spec) | ({"failed"} if failed else set()),
        failed=failed,
    )


def states_of(change: Change | None, spec: Spec | None) -> frozenset[str]:
    """The `state:` words that hold for a change."""
    found = {"orphan"} if spec is None else set()
    if change is None:
        return frozenset(found)
    kinds = {reason.kind for reason in change.reasons}
    rules = {
        "new": change.record is None and spec is not None,
        "changed": bool(kinds & {"changed", "added", "removed", "made-by-local"}),
        "edited": "edited" in kinds or _saves_an_edit(change),
        "missing": change.action is Action.RESTORE or change.blocked in ("missing", "text-lost"),
        "moved": change.has(Move),
        "open": change.entry is not None or bool(change.drains),
        "unknown": change.action is Action.RESOLVE,
        "blocked": change.action is Action.BLOCKED,
    }
    return frozenset(found | {name for name, holds in rules.items() if holds})


def _saves_an_edit(change: Change) -> bool:
    """Whether the change tells the server of a text that a person edited and it had in another form."""
    record = change.record
    if record is None or record.saved is None or not change.has(Save) or change.has(Write):
        return False
    return is_edited(change.file, record)


def check_selectors(selectors: Iterable[str]) -> None:
    """Refuse selectors that cannot mean anything. Raises UsageError."""
    for selector in selectors:
        method, colon, value = selector.partition(":")
        if not colon:
            continue
        if method not in METHODS:
            close = nearest(method, METHODS)
            raise UsageError(
                f"`{selector}`: no such selector",
                code="unknown-selector",
                hint=f"did you mean `{close}:`?"
                if close
                else "known: an id glob, " + ", ".join(f"`{name}:`" for name in METHODS),
            )
        known = {"state": STATES, "result": ("failed",)}.get(method)
        if known and value not in known:
            close = nearest(value, known)
            raise UsageError(
                f"`{selector}`: no such {method}",
                code="unknown-selector",
                hint=f"did you mean `{method}:{close}`?" if close else "known: " + ", ".join(known),
            )


def is_selected(choice: Choice, item: Candidate) -> bool:
    """Whether the command is about this item.

    It is among `only` (None means all), any `--select` (none means all) matches, and no `--exclude` does.
    """
    if choice.only is not None and item.id not in choice.only:
        return False
    wanted = not choice.select or any(_matches(selector, item) for selector in choice.select)
    return wanted and not any(_matches(selector, item) for selector in choice.exclude)


def _matches(selector: str, item: Candidate) -> bool:
    method, colon, value = selector.partition(":")
    if not colon:
        return fnmatch.fnmatchcase(item.id, selector)
    match method:
        case "tag":
            return any(fnmatch.fnmatchcase(tag, value) for tag in item.tags)
        case "template":
            return fnmatch.fnmatchcase(item.template, value)
        case "style":
            return fnmatch.fnmatchcase(item.style, value)
        case "path":
            return fnmatch.fnmatchcase(item.path, value)
        case "state":
            return value in item.states
        case _:
            return item.failed
