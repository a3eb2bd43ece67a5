"""What text, Markdown and JSON say alike: signs, counts, shared causes and the next command."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import plural
from contentops.model import NO_ENVIRONMENT, Action
from contentops.model.cost import cost_words
from contentops.sanitize import ELLIPSIS, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contentops.model import Change, Plan, Reason, Refusal

SIGNS: dict[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "add"),
    Action.REGENERATE: ("~", "change"),
    Action.OVERWRITE: ("~", "change"),
    Action.MERGE: ("~", "change"),
    Action.UPDATE: ("~", "change"),
    Action.MOVE: (">", "move"),
    Action.RENAME: (">", "move"),
    Action.SAVE: ("^", "move"),
    Action.KEEP: ("=", "keep"),
    Action.FINISH: ("=", "keep"),
    Action.RESTORE: ("=", "keep"),
    Action.PROMOTE: ("=", "keep"),
    Action.PULL: ("<", "change"),
    Action.DRAIN: ("=", "keep"),
    Action.REMOVE: ("-", "remove"),
    Action.RESOLVE: ("?", "unknown"),
    Action.PENDING: (ELLIPSIS, "held"),
    Action.BLOCKED: ("!", "held"),
    Action.NONE: (" ", "plain"),
}
"""The sign of each action and the style it is painted in."""


STATES = (Action.PENDING, Action.BLOCKED)
"""Actions that say how an item stands, and not what is done."""
NARROWING = frozenset({"nothing-selected", "changed-from", "canary"})
"""Kinds of notes that say why a plan is about fewer items than are declared."""


SETTINGS = "settings"
"""The kind of notes about settings that a pull request changes; they stand at the top of a plan."""


def budget_words(plan: Plan) -> str:
    """What one apply may spend, as the end of a sentence with a comma before it; empty where that is not known."""
    stated = ((plan.budget.credits_per_apply, "credit"), (plan.budget.items_per_apply, "item"))
    limits = [plural(number, word) for number, word in stated if number is not None]
    return f", budget {' and '.join(limits)}" if limits else ", no budget"


def plan_counts(plan: Plan) -> dict[Action, int]:
    """How many changes of each action, in the order of `Action`; actions that do not occur are left out."""
    counted = Counter(change.action for change in plan.changes)
    return {action: counted[action] for action in Action if counted[action]}


def plan_sentence(plan: Plan) -> str:
    """The counts and the price: `2 to create, 1 blocked, 7 unchanged. 8 credits.`."""
    parts = [
        f"{number:,} {action.value if action in STATES else f'to {action.value}'}"
        for action, number in plan_counts(plan).items()
    ]
    parts.append(f"{plan.unchanged:,} unchanged")
    cost = cost_words(plan.changes)
    if plan.queued:
        verb = "is" if plan.queued == 1 else "are"
        cost += f"; {plural(plan.queued, 'submit')} {verb} queued already, for {plural(plan.queued_credits, 'credit')}"
    return f"{', '.join(parts)}. {begin(cost)}."


def begin(sentence: str) -> str:
    """Words as a sentence begins."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def action_words(change: Change) -> str:
    """The word for what is done, with who works on the item instead: `pending (worker on HOST)`."""
    return f"{change.action.value} ({visible(change.holder)})" if change.holder else change.action.value


def empty_sentence(plan: Plan) -> str:
    """What an empty plan says."""
    if not plan.unchanged:
        if any(note.kind in NARROWING for note in plan.notes):
            return "No changes. The selection matches no item."
        return "No changes. No items are declared."
    verb = "is" if plan.unchanged == 1 else "are"
    return f"No changes. {plural(plan.unchanged, 'item')} {verb} as declared."


class SharedCause(Struct, frozen=True):
    """A cause that several changes name, with what it costs: the blast radius of one line."""

    cause: str
    items: int
    credits: int


def shared_causes(plan: Plan) -> tuple[SharedCause, ...]:
    """The causes at least two changes name, the widest first."""
    items: Counter[str] = Counter()
    credit: Counter[str] = Counter()
    for change in plan.changes:
        for cause in {reason.cause for reason in change.reasons if reason.cause}:
            items[cause] += 1
            credit[cause] += change.credits
    found = (SharedCause(cause, number, credit[cause]) for cause, number in items.items() if number > 1)
    return tuple(sorted(found, key=lambda one: (-one.items, -one.credits, one.cause)))


def reason_words(reason: Reason) -> str:
    """A reason that is about no field, in words."""
    words = visible(reason.kind.replace("-", " "))
    return f"{words}: {visible(reason.detail)}" if reason.detail else words


def command(verb: str, environment: str, flags: Iterable[str] = ()) -> str:
    """A command line of ours that can be copied into a shell; `environment` is as in `Plan.option`."""
    parts = ["contentops", verb]
    if environment:
        parts.append(_option(environment))
    return " ".join([*parts, *flags])


_COMMAND = r"`contentops (?!init|serve|schema|completion)((?:(?:state|content|catalog) )?[a-z]+)"


def in_environment(text: str, environment: str) -> str:
    """Words with the commands they name as they are typed for an environment."""
    if not environment or "--env" in text:
        return text
    return re.sub(_COMMAND, lambda found: f"{found[0]} {_option(environment)}", text)


def _option(environment: str) -> str:
    return f"--env {environment if environment == NO_ENVIRONMENT else shlex.quote(visible(environment))}"


def next_apply(plan: Plan, flags: Iterable[str] = ()) -> str:
    """The apply that would do this plan, with the `flags` it was made with and those its guards ask for.

    Empty where no flag gets past a guard.
    """
    needed = dict.fromkeys(visible(refusal.flag) for refusal in plan.refusals if not is_review(refusal))
    if not all(flag.startswith("--") for flag in needed):
        return ""
    return command("apply", plan.option, [*(visible(flag) for flag in flags), *needed])


def is_review(refusal: Refusal) -> bool:
    """Whether a check of the plan refuses, and not the apply."""
    return refusal.guard.startswith("review-")


def who_refuses(refusal: Refusal) -> str:
    """What stands before the words of a refusal."""
    return "this review refuses" if is_review(refusal) else "apply would refuse"


def way_on(refusal: Refusal) -> str:
    """How to get past a guard: its flag, or the command to run first; empty where there is no way."""
    if not refusal.flag:
        return ""
    lead = "to go on all the same" if refusal.flag.startswith("--") else "first run"
    return f"{lead}: `{visible(refusal.flag)}`"
