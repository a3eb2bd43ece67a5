"""The plan: what an apply would do, by cause and cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.digest import Digest, short
from contentops.errors import plural
from contentops.model import Action
from contentops.pages.site import PageContent
from contentops.reporting.causes import cause_groups
from contentops.reporting.plan_text import note_line
from contentops.reporting.summary import (
    SIGNS,
    action_words,
    approval_sentence,
    begin,
    budget_words,
    change_cost,
    count_words,
    empty_sentence,
    in_environment,
    next_apply,
    plan_cost,
    reason_words,
    unsaid_hint,
    way_on,
    who_refuses,
)
from contentops.sanitize import short_pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.errors import Diagnostic
    from contentops.model import Change, Json, Plan, Reason
    from contentops.pages.site import Site
    from contentops.reporting.causes import CauseGroup

_SHOWN: Final = 20
"""Changes of a group that are shown; the rest is folded."""
_FOLDED: Final = 480
"""Changes that a fold has; more are counted."""
_NOTES: Final = 50
_ATTENTION: Final = (Action.BLOCKED, Action.RESOLVE)
_VALUE: Final = 300


class PlanDifference(Struct, frozen=True):
    """A field that differs, with its values; or, without a field, a reason in words."""

    field: str
    before: str = ""
    after: str = ""
    words: str = ""


class ChangeRow(Struct, frozen=True, kw_only=True):
    """One change, as a row of its group."""

    id: str
    sign: str
    action: str
    cost: str
    needs_choice: bool
    differences: tuple[PlanDifference, ...] = ()
    path: str = ""
    hint: str = ""


class PlanGroup(Struct, frozen=True, kw_only=True):
    """The changes of one cause."""

    title: str
    items: int
    credits: int
    cost: str
    differences: tuple[PlanDifference, ...] = ()
    """Those that all its changes have."""
    rows: tuple[ChangeRow, ...] = ()
    folded: tuple[ChangeRow, ...] = ()

    @property
    def more(self) -> int:
        """How many changes are only counted."""
        return self.items - len(self.rows) - len(self.folded)


class PlanView(Struct, frozen=True, kw_only=True):
    """A plan in words; None stands for the plan where manifests have errors."""

    plan: Plan | None
    findings: tuple[Diagnostic, ...] = ()
    short_id: str = ""
    cost: str = ""
    paying: str = ""
    """For how many items: `for 12 items`."""
    counts: str = ""
    approval: str = ""
    budget: str = ""
    groups: tuple[PlanGroup, ...] = ()
    choices: tuple[ChangeRow, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    """Each with its hint."""
    more_notes: int = 0
    command: str = ""


def plan(site: Site, query: Mapping[str, str]) -> PageContent:  # noqa: ARG001 - as every view
    """What an apply would do."""
    snapshot = site.review.snapshot()
    return plan_page(snapshot.plan, site, snapshot.findings)


def plan_page(plan: Plan | None, site: Site, findings: tuple[Diagnostic, ...] = ()) -> PageContent:
    """Return the page of a plan; None where manifests have errors."""
    view = PlanView(plan=None, findings=findings) if plan is None else view_of(plan, findings, site.flags)
    return PageContent(template="plan.html", title=f"Plan of {site.name}", tab="plan", model=view)


def view_of(plan: Plan, findings: tuple[Diagnostic, ...] = (), flags: Sequence[str] = ()) -> PlanView:
    """Return a plan in words; `flags` are those that it was made with."""
    notes = [(note_line(note), in_environment(note.hint, plan.option)) for note in plan.notes]
    ways = [(refusal, in_environment(way_on(refusal), plan.option)) for refusal in plan.refusals]
    counts = empty_sentence(plan) if plan.empty else f"{count_words(plan)}."
    paying = sum(change.submits_worst > 0 for change in plan.changes)
    return PlanView(
        plan=plan,
        findings=findings,
        short_id=short(Digest(plan.id))[:8] if plan.id else "",
        cost=plan_cost(plan),
        paying=f"for {plural(paying, 'item')}" if paying else "",
        counts=counts,
        approval=approval_sentence(plan),
        budget=f"{begin(budget_words(plan).removeprefix(', '))}.",
        groups=groups(plan),
        choices=tuple(_row(change, plan) for change in plan.changes if change.action in _ATTENTION),
        refusals=tuple(f"{who_refuses(one)}: {one.message}{f' ({way})' if way else ''}" for one, way in ways),
        notes=tuple(notes[:_NOTES]),
        more_notes=max(len(notes) - _NOTES, 0),
        command=next_apply(plan, flags) if any(change.steps for change in plan.changes) else "",
    )


def groups(plan: Plan) -> tuple[PlanGroup, ...]:
    """Return the changes by cause, the dearest first."""
    by_cost = sorted(cause_groups(plan), key=lambda group: (-group.credits, -len(group.changes)))
    return tuple(_group(one, plan) for one in by_cost)


def _group(group: CauseGroup, plan: Plan) -> PlanGroup:
    every = [_differences(_of_cause(change, group)) for change in group.changes]
    shared = every[0] if len(every) > 1 and all(each == every[0] for each in every) else ()
    rows = [_row(change, plan, group, hide=shared) for change in group.changes[: _SHOWN + _FOLDED]]
    free = any(change.submits_worst for change in group.changes) or not group.credits
    return PlanGroup(
        title=_heading(group),
        items=len(group.changes),
        credits=group.credits,
        cost=plural(group.credits, "credit") if group.credits else "free" if free else "",
        differences=shared,
        rows=tuple(rows[:_SHOWN]),
        folded=tuple(rows[_SHOWN:]),
    )


def _of_cause(change: Change, group: CauseGroup) -> Iterable[Reason]:
    return (one for one in change.reasons if not group.is_cause or one.cause == group.title)


def _row(
    change: Change, plan: Plan, group: CauseGroup | None = None, *, hide: tuple[PlanDifference, ...] = ()
) -> ChangeRow:
    reasons = change.reasons if group is None else _of_cause(change, group)
    moves = change.source and change.target and change.source != change.target
    return ChangeRow(
        id=change.id,
        sign=SIGNS[change.action][0].strip(),
        action=action_words(change),
        cost=change_cost(change) or ("" if change.blocked else "free"),
        needs_choice=change.action in _ATTENTION,
        differences=tuple(one for one in _differences(reasons) if one not in hide),
        path=f"{change.source} → {change.target}" if moves else change.target or change.source,
        hint=in_environment(unsaid_hint(change), plan.option),
    )


def _differences(reasons: Iterable[Reason]) -> tuple[PlanDifference, ...]:
    return tuple(_difference(one) for one in reasons if one.kind != "new" or one.field or one.detail)


def _difference(reason: Reason) -> PlanDifference:
    if not reason.field:
        return PlanDifference("", words=reason_words(reason))
    pair = zip((reason.before, reason.after), short_pair(reason.before, reason.after, _VALUE), strict=True)
    before, after = (_value(value, shown) for value, shown in pair)
    words = "" if before or after else reason.kind.replace("-", " ")
    return PlanDifference(reason.field, before, after, f"{words} ({reason.detail})".strip() if reason.detail else words)


def _value(value: Json, shown: str) -> str:
    """Return a value as it is shown, a text without its quotation marks."""
    return "" if value is None else shown.removeprefix('"').removesuffix('"') if isinstance(value, str) else shown


def _heading(group: CauseGroup) -> str:
    """Return the title of a group, with the place of a variable or a default as code."""
    title = re.sub(r" in ([^ `]+:\d+:\d+)$", r" in `\1`", group.title)
    return f"Variable{title.removeprefix('var')}" if title.startswith("var `") else begin(title)
