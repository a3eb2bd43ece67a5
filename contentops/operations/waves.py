"""The waves of an apply: after each, items whose texts waited for others are planned again and carried out.

All waves stay inside the total that was confirmed, and do no more than the items that waited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import ContentopsError, Severity, plural
from contentops.model import Action, Outcome, Result, WaitReason
from contentops.planning.sources import ComingTexts
from contentops.tokens import add_sums

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from contentops.model import Change, ItemId, Json, Plan, Run
    from contentops.planning.plan_inputs import Choice


def first_wave(plan: Plan) -> Plan:
    """Return the plan of what can be done now: without items that only wait."""
    changes = tuple(change for change in plan.changes if change.steps or change.action is not Action.WAIT)
    return structs.replace(plan, changes=changes)


def next_choice(choice: Choice, plan: Plan) -> Choice | None:
    """Return the options that plan the next wave: of the items that wait for texts of this one; None where none does.

    An item waits for its own text, or for texts that its front matter uses.
    """
    coming = ComingTexts.of(plan.changes)
    waiting = frozenset(change.id for change in plan.changes if change.later)
    finished = (change for change in plan.changes if not (change.later or change.blocked))
    # These were paid for, or are up to date: they get their front matter, and no further request.
    with_front = frozenset(change.id for change in finished if coming.mentioned_by(change.spec))
    if not (waiting or with_front):
        return None
    return structs.replace(
        choice,
        only=waiting | with_front,
        only_front_of=with_front,
        select=(),
        exclude=(),
        replace=tuple(id_ for id_ in choice.replace if id_ in waiting),
        canary=None,
        sections={},
        prune=False,
        notes=(),
    )


def carry_out_waves(
    plan: Plan, choice: Choice, carry_out: Callable[[Plan], Run], plan_again: Callable[[Choice], Plan] | None
) -> tuple[Run, tuple[Change, ...]]:
    """Carry a plan out wave by wave; return all of it as one run, and the changes of all waves.

    `plan_again` plans the items that wait; None: there is one wave. What it raises, or a later wave, ends the run: the
    waves before it are done. Raises what `carry_out` does for the first wave.
    """
    room, money, wave = plan.credits_worst, plan.money_worst, plan
    run = carry_out(first_wave(plan))
    runs, changes = [run], [*plan.changes]
    while plan_again is not None and not run.stopped and (again := next_choice(choice, wave)) is not None:
        room -= run.credits + run.credits_unknown
        money = {currency: sum_ - _now(wave).get(currency, 0) for currency, sum_ in money.items()}
        try:
            wave = plan_again(again)
            changes += wave.changes
            if wave.credits_worst > room or any(money.get(each, 0) < sum_ for each, sum_ in wave.money_worst.items()):
                runs[-1] = structs.replace(run, **_too_dear(wave, room))
                break
            if (other := _changed_since(plan, wave)) is not None:
                runs[-1] = structs.replace(run, **_other_request(other))
                break
            if not any(change.steps for change in wave.changes):
                break
            run = carry_out(first_wave(wave))
        except ContentopsError as error:
            runs[-1] = structs.replace(run, **_not_planned(error))
            break
        runs.append(run)
    return _joined(plan, runs, wave), tuple(changes)


def _now(wave: Plan) -> dict[str, int]:
    """Return the most money that a wave itself costs, by currency."""
    return structs.replace(wave, changes=tuple(one for one in wave.changes if not one.later)).money_worst


def after_plan_file(run: Run, reviewed: Mapping[str, Json]) -> Run:
    """Return the run of a plan file, with what to do about the items that waited in it."""
    waiting = sum("waits" in change for change in reviewed["changes"])
    if run.stopped or not waiting:
        return run
    verb = "waits" if waiting == 1 else "wait"
    hint = f"{plural(waiting, 'item')} of the plan {verb} for these texts: make the next plan with `contentops plan`"
    return structs.replace(run, hint=hint)


def _too_dear(wave: Plan, room: int) -> dict[str, str]:
    message = "the next items cost more than was confirmed"
    if wave.credits_worst > room:
        cost = plural(wave.credits_worst, "credit")
        message = f"the next items cost {cost} now, and {room} of those confirmed are left"
    return {"stopped": "price", "message": message, "hint": "run `contentops apply` to see and confirm the new price"}


def _changed_since(plan: Plan, wave: Plan) -> ItemId | None:
    """Return the first item that a wave would pay for with another request than the confirmed plan showed.

    The texts in a request are not known beforehand; its frame is.
    """
    shown = {change.id: change.spec.frame for change in plan.changes if change.spec is not None}
    paid = (change for change in wave.changes if change.spec is not None and (change.submits or change.later))
    return next((change.id for change in paid if change.spec and change.spec.frame != shown.get(change.id)), None)


def _other_request(item: ItemId) -> dict[str, str]:
    message = f"the manifest of `{item}` changed while this ran, so what waited was not begun"
    return {"stopped": "plan", "message": message, "hint": "run `contentops apply` to see and confirm the change"}


def _not_planned(error: ContentopsError) -> dict[str, str]:
    found = [one for one in error.diagnostics() if one.severity is Severity.ERROR]
    first = found[0] if found else error
    more = f" (and {plural(len(found) - 1, 'other error')})" if len(found) > 1 else ""
    message = f"the items that waited were not begun: {first.message}{more}"
    return {"stopped": "plan", "message": message, "hint": first.hint or "`contentops plan` shows what is wrong"}


def _joined(plan: Plan, runs: Sequence[Run], last: Plan) -> Run:
    """Return all waves as one run, with the items that still wait."""
    outcomes: dict[ItemId, Outcome] = {}
    for run in runs:
        for outcome in run.outcomes:
            before = outcomes.get(outcome.id)
            outcomes[outcome.id] = outcome if before is None else _after(before, outcome)
    for change in last.changes:
        if change.waits and (change.id not in outcomes or outcomes[change.id].result is Result.DONE):
            outcomes[change.id] = _waiting(change, outcomes.get(change.id))
        elif change.steps and change.id not in outcomes:
            # Its wave was not begun.
            outcomes[change.id] = Outcome(id=change.id, action=change.action, result=Result.PENDING)
    ordered = [*(change.id for change in plan.changes), *outcomes]
    ended = runs[-1]
    if not ended.stopped and (elsewhere := _not_selected(plan, last, outcomes.values())):
        message = f"{plural(elsewhere, 'item')} {'waits' if elsewhere == 1 else 'wait'} for texts of items that are not"
        hint = "apply again once these have their texts, or select them too"
        ended = structs.replace(ended, stopped="sources", message=f"{message} selected", hint=hint)
    return structs.replace(
        runs[0],
        ended_at=runs[-1].ended_at,
        outcomes=tuple(outcomes[id_] for id_ in dict.fromkeys(ordered) if id_ in outcomes),
        requests=sum(run.requests for run in runs),
        stopped=ended.stopped,
        message=ended.message,
        hint=ended.hint,
    )


def _not_selected(plan: Plan, last: Plan, outcomes: Collection[Outcome]) -> int:
    """Return how many items wait for texts of items that are not in the plan; 0 if others are unfinished too."""
    known = {change.id for change in plan.changes}
    elsewhere = {
        change.id
        for change in last.changes
        if change.waits and all(one.wait is WaitReason.NO_TEXT and one.id not in known for one in change.waits)
    }
    waiting = [outcome for outcome in outcomes if outcome.result is not Result.DONE]
    others = any(outcome.result is not Result.PENDING or outcome.id not in elsewhere for outcome in waiting)
    return 0 if others else len(waiting)


def _after(before: Outcome, outcome: Outcome) -> Outcome:
    return structs.replace(
        outcome,
        steps=(*before.steps, *outcome.steps),
        credits=before.credits + outcome.credits,
        credits_at_most=before.credits_at_most or outcome.credits_at_most,
        credits_unknown=before.credits_unknown + outcome.credits_unknown,
        tokens=add_sums((before.tokens, outcome.tokens)),
    )


def _waiting(change: Change, before: Outcome | None) -> Outcome:
    """Return the outcome of an item whose text still waits."""
    why = "; ".join(reason.detail for reason in change.reasons if reason.kind == "waits")
    base = before or Outcome(id=change.id, action=Action.WAIT, result=Result.PENDING, output=change.target)
    return structs.replace(base, action=Action.WAIT, result=Result.PENDING, error=why, hint=change.hint)
