"""A reviewed plan against today's: what it names is applied, what it does not name is left alone, and no step is new.

The plan is made again and compared change by change. Fewer steps or credits are fine; more, or others, are refused by
name. `check_file` and `check_ceiling` ask about the whole tree: there a change that was not reviewed is refused too.
What this very plan has done already (its id stands in records and open entries, and a file may already be what
one of its steps leaves) is no difference, so a run that was killed can be run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from contentops.errors import Refused
from contentops.model import Action, Drain, Fetch, LookUp, Poll, Remove, RetryText, Submit, name_of
from contentops.model.cost import cost_words
from contentops.model.plan_file import plan_file
from contentops.planning.decide import hold
from contentops.planning.plan import free_targets, left_alone, make_plan, refusals
from contentops.planning.plan_inputs import TRIES
from contentops.planning.reviewed_item import ANOTHER_REQUEST, ReviewedItem, dearer, difference, is_done

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.model import Change, Guards, ItemId, Json, Plan
    from contentops.model.plan_file import PlanFile, ReviewedChange
    from contentops.planning.plan_inputs import PlanInputs

_SHOWN = 20
"""How many items one message names."""


def compare_file(inputs: PlanInputs, document: Mapping[str, Json]) -> Plan:
    """Today's plan, made with the choice of the reviewed one but its selection, cut down to what that names.

    Raises Refused, naming every change that is not as reviewed, and where nothing is left; InputError for a document
    that is no plan.
    """
    file = plan_file(document)
    found = _compare(inputs, file)
    if found.named and not found.kept:
        raise Refused("the plan is already applied: nothing of it is left to do", code="already-applied")
    notes = (
        *found.today.notes,
        *left_alone(len(found.unnamed), "the plan file does not name them"),
        *left_alone(len(found.finished), "the plan is done with them"),
    )
    guarded = refusals(inputs, found.kept)
    return structs.replace(found.today, id=file.id, changes=tuple(found.kept), notes=notes, refusals=guarded)


def check_file(inputs: PlanInputs, document: Mapping[str, Json]) -> Plan:
    """Today's plan of the whole tree, made with the choice of the reviewed one but its selection.

    Raises Refused, naming every change that is not as reviewed or, unless the project allows that, was not reviewed;
    InputError for a document that is no plan.
    """
    found = _compare(inputs, plan_file(document))
    others = [*found.finished, *found.unnamed]
    _refuse_unreviewed(inputs.project.guards, others, {})
    changes = sorted((*found.kept, *others), key=lambda change: change.id)
    return structs.replace(found.today, changes=tuple(changes), refusals=refusals(inputs, changes))


def check_ceiling(plan: Plan, guards: Guards, document: Mapping[str, Json]) -> None:
    """Refuse a plan that pays for more than a reviewed one names; of an empty document, nothing was reviewed.

    Raises Refused, naming every change that goes beyond it, unless the project allows that; InputError for a document
    that is no plan.
    """
    named: dict[ItemId, ReviewedChange] = {}
    if document:
        file = plan_file(document)
        _check_project(plan, file)
        named = {reviewed.id: reviewed for reviewed in file.changes}
    _refuse_unreviewed(guards, plan.changes, named)


class _Compared(NamedTuple):
    """Today's changes, apart: those of items that the file names and those of others."""

    today: Plan
    named: int
    """How many items the file names."""
    kept: list[Change]
    finished: list[Change]
    """Of named items with which the plan is done: what is left of them is something else."""
    unnamed: list[Change]


def _compare(inputs: PlanInputs, file: PlanFile) -> _Compared:
    # An item that is gone since is named by the comparison.
    replace = tuple(id_ for id_ in inputs.choice.replace if id_ in inputs.specs)
    inputs = structs.replace(inputs, choice=structs.replace(inputs.choice, replace=replace))
    today = make_plan(inputs)
    _check_project(today, file)
    items = _items(inputs, today, file)
    kept: list[Change] = []
    finished: list[Change] = []
    wrong: dict[ItemId, str] = {}
    for id_, item in items.items():
        if is_done(item):
            finished += [item.change] if item.change is not None else []
        elif problem := difference(item):
            wrong[id_] = problem
        elif item.change is not None:
            kept.append(_unless_spent(item, item.change))
    kept.sort(key=lambda change: change.id)
    for before, after in zip(kept, free_targets(inputs, kept), strict=True):
        if after.blocked and not before.blocked:
            wrong[after.id] = f"it is blocked now: {after.hint}"
    if wrong:
        raise _stale(wrong)
    return _Compared(today, len(items), kept, finished, [one for one in today.changes if one.id not in items])


def _beyond(change: Change, reviewed: ReviewedChange | None) -> str:
    """How a change does more than was reviewed, in words; empty: it does not.

    What was paid for already is fetched, whoever asked for it.
    """
    if not change.steps or (not change.submits_worst and change.has(LookUp, Poll, Fetch, Drain)):
        return ""
    if reviewed is None:
        cost = f" for {cost_words([change])}" if change.credits_worst else ""
        return f"{change.action}{cost}, which it does not say"
    for kind in (Submit, RetryText, Remove):
        if change.has(kind) and name_of(kind) not in reviewed.steps:
            return f"it would {name_of(kind)}, which it does not say"
    if change.credits_worst > reviewed.worst:
        return dearer(change, reviewed)
    if change.submits_worst and change.spec is not None and change.spec.digest != reviewed.digest:
        return ANOTHER_REQUEST
    return ""


def _refuse_unreviewed(guards: Guards, changes: Sequence[Change], named: Mapping[ItemId, ReviewedChange]) -> None:
    found = [(change, words) for change in changes if (words := _beyond(change, named.get(change.id)))]
    if not found or guards.unreviewed == "allow":
        return
    number = f"{len(found)} change{'s go' if len(found) > 1 else ' goes'}"
    cost = cost_words(change for change, _ in found)
    listed = _listed({change.id: words for change, words in found})
    raise Refused(
        f"{number} beyond the plan that was reviewed, for {cost}: {listed}",
        code="unreviewed",
        hint="review a plan of what is there now, or let such changes through with `guards: {unreviewed: allow}`",
    )


def _check_project(today: Plan, file: PlanFile) -> None:
    for name in ("project", "environment", "server", "lineage"):
        theirs, ours = getattr(file, name), getattr(today, name)
        if theirs != ours:
            raise Refused(
                f"the plan was made for another {name}: `{theirs}`, and this is `{ours}`",
                code="other-plan",
                hint="use `--env`, or make a new plan here",
            )


def _stale(wrong: Mapping[ItemId, str]) -> Refused:
    return Refused(
        f"the plan is stale: {_listed(wrong)}",
        code="stale-plan",
        hint="make and review a new plan with `contentops plan --out FILE`",
    )


def _listed(wrong: Mapping[ItemId, str]) -> str:
    shown = [f"`{id_}`: {problem}" for id_, problem in sorted(wrong.items())]
    rest = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
    return "; ".join([*shown[:_SHOWN], *rest])


def _items(inputs: PlanInputs, today: Plan, file: PlanFile) -> dict[ItemId, ReviewedItem]:
    """The items the file names, each with what remains of it today: without what this plan has asked for already."""
    changes = {change.id: change for change in today.changes}
    items = {
        reviewed.id: ReviewedItem(
            inputs=inputs,
            plan_id=file.id,
            reviewed=reviewed,
            spec=inputs.specs.get(reviewed.id),
            # A record that a rename takes over is still under its old id.
            record=change.record if change is not None else inputs.state.records.get(reviewed.id),
            entries=inputs.entries.get(reviewed.id, ()),
            change=change,
        )
        for reviewed in file.changes
        # What another process had then was not to be done: what is left of it now is not in the file.
        if reviewed.action is not Action.PENDING
        for change in (changes.get(reviewed.id),)
    }
    choice = inputs.choice
    paid = {id_ for id_, item in items.items() if id_ in choice.replace and item.has_paid}
    asked = {id_ for id_, item in items.items() if choice.resubmit_unknown and item.has_submitted}
    if paid or asked:
        replace = tuple(id_ for id_ in choice.replace if id_ not in paid)
        choice = structs.replace(choice, replace=replace, resubmit_unknown=False)
        others = {change.id: change for change in make_plan(structs.replace(inputs, choice=choice)).changes}
        for id_ in paid | asked:
            items[id_] = structs.replace(items[id_], change=others.get(id_))
    return items


def _unless_spent(item: ReviewedItem, change: Change) -> Change:
    """The change; held back where the plan has tried as often as is allowed, though `--replace` would let it go on."""
    if not change.submits or item.failed < TRIES:
        return change
    hint = f"its jobs failed; see `contentops state show {change.id}`, or make a new plan"
    return hold(change, "failed-twice", hint)
