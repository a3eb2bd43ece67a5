"""The causes of a plan's changes: what text, Markdown and JSON count, and what the pages group changes by."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.errors import plural
from contentops.model.cost import NO_PRICE, bound_words
from contentops.reporting.summary import begin, words_of
from contentops.tokens import add_money

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Change, Plan, Reason


_LOCATION: Final = re.compile(r" in ([^ `]+:\d+:\d+)$")


class CauseGroup(Struct, frozen=True, kw_only=True, dict=True):
    """The changes of one cause; a change with several causes is in several groups."""

    title: str
    changes: tuple[Change, ...]
    is_cause: bool
    """The title is a `cause` of reasons: a variable or a default, with its location."""

    @property
    def credits(self) -> int:
        """What these changes cost."""
        return sum(change.credits for change in self.changes)

    @property
    def money(self) -> dict[str, int]:
        """The most that models may cost for these changes, by currency."""
        return add_money(change.money for change in self.changes)

    @property
    def has_no_price(self) -> bool:
        """Whether a model writes any of these texts, and the settings do not say what its tokens cost."""
        return any(change.has_no_price for change in self.changes)

    @property
    def cost(self) -> str:
        """What these changes cost, in words."""
        if self.money:
            return bound_words(self.money, self.money)
        return NO_PRICE if self.has_no_price else plural(self.credits, "credit") if self.credits else "free"

    @property
    def heading(self) -> str:
        """The title as a heading, with the location of a variable or a default as code."""
        title = _LOCATION.sub(r" in `\1`", self.title)
        return f"Variable{title.removeprefix('var')}" if title.startswith("var `") else begin(title)

    @functools.cached_property
    def shared(self) -> tuple[Reason, ...]:
        """Return the reasons of its changes if there are several changes and all have the same reasons."""
        first, *others = (self.reasons_of(change) for change in self.changes)
        return first if others and all(each == first for each in others) else ()

    def reasons_of(self, change: Change) -> tuple[Reason, ...]:
        """The reasons of a change that belong to this cause, but for the plain one that the item is new."""
        reasons = (one for one in change.reasons if not self.is_cause or one.cause == self.title)
        return tuple(one for one in reasons if one.kind != "new" or one.field or one.detail)


class SharedCause(Struct, frozen=True):
    """A cause of several changes, and what these cost."""

    cause: str
    items: int
    credits: int
    money: Mapping[str, int] = {}
    """The most that models may cost; empty: not known, or without a price."""
    has_no_price: bool = False
    """As of the group."""

    @property
    def cost(self) -> str:
        """What these changes cost, in words."""
        if self.money:
            return bound_words(self.money, self.money)
        return NO_PRICE if self.has_no_price else plural(self.credits, "credit")


def cause_groups(plan: Plan) -> tuple[CauseGroup, ...]:
    """All changes by cause, the most items first; those that no variable or default caused by what happened to them."""
    groups: dict[tuple[str, bool], list[Change]] = {}
    for change in plan.changes:
        causes = dict.fromkeys(reason.cause for reason in change.reasons if reason.cause)
        alone = [_TITLES[reason.kind] for reason in change.reasons if reason.kind in _ALONE]
        keys = [*((cause, True) for cause in causes), *((title, False) for title in dict.fromkeys(alone))]
        for key in keys or [(_title(change), False)]:
            groups.setdefault(key, []).append(change)
    made = (CauseGroup(title=key[0], changes=tuple(changes), is_cause=key[1]) for key, changes in groups.items())
    return tuple(sorted(made, key=lambda one: (-len(one.changes), -one.credits, one.title)))


def shared_causes(plan: Plan) -> tuple[SharedCause, ...]:
    """The causes of at least two changes, the most items first."""
    alone = {_TITLES[kind] for kind in _ALONE}
    groups = (one for one in cause_groups(plan) if (one.is_cause or one.title in alone) and len(one.changes) > 1)
    return tuple(
        SharedCause(group.title, len(group.changes), group.credits, group.money, group.has_no_price) for group in groups
    )


def _title(change: Change) -> str:
    kind = change.reasons[0].kind if change.reasons else change.blocked or change.action.value
    if kind == "new":
        return _origin(change)
    if kind in _BY_ITEM and change.spec is not None and change.spec.location is not None:
        return f"changed in `{change.spec.location.file}`"
    return _TITLES.get(kind, words_of(kind))


def _origin(change: Change) -> str:
    """Where a new item comes from: a file with its data, else a manifest."""
    spec = change.spec
    files = () if spec is None else (one.location for one in spec.variables.values() if one.layer == "data")
    for location in filter(None, files):
        return f"new rows in `{location.file}`"
    return f"new in `{spec.location.file}`" if spec is not None and spec.location is not None else "new"


_BY_ITEM: Final = frozenset({"added", "changed", "removed"})


_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "edited or missing": ("edited", "edited-alike", "missing", "save", "kept-sections", "recorded-before"),
    "edited on the server": ("edited-on-server",),
    "front matter": ("front-matter", "front-matter-drift"),
    "moved or renamed": ("moved", "renamed"),
    "started by an earlier apply": ("open-job", "unknown-outcome", "stored", "own-output", "held"),
    "failed before": ("failed", "failed-before", "failed-twice", "checks-failed"),
    "no longer in a manifest": ("gone",),
    "made by the bundled server": ("made-by-local",),
    "from another environment": ("promoted",),
    "requested again": ("replace", "section"),
    "waiting for other texts": ("waits",),
    "made from a text that has changed": ("stale-source",),
}
"""Kinds of reasons by what they say together; any other kind says it itself."""
_ALONE: Final = frozenset({"made-by-local", "replace", "section"})
"""Kinds of reasons that ask for a new text whatever else changed, so they are a cause beside variables and defaults."""
_TITLES: Final = {kind: title for title, kinds in _KINDS.items() for kind in kinds}
