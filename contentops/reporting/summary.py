"""Makes the parts of a plan that all its formats show: signs, counts, causes and the next command."""

from __future__ import annotations

import functools
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from contentops.errors import plural, price
from contentops.model import (
    NO_ENVIRONMENT,
    Action,
    AnyChange,
    AnyPlan,
    ApprovalState,
    Budget,
    Change,
    MonthSpend,
    Reason,
    Refusal,
)
from contentops.model.jobs import NO_PRICE, bound_words, cost_words, money_words
from contentops.sanitize import ELLIPSIS, visible
from contentops.tokens import add_money, counted, counted_money

# ---- The parts that text, Markdown and JSON share: signs, counts, causes and the next command.

SIGNS: dict[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "add"),
    Action.REGENERATE: ("~", "change"),
    Action.OVERWRITE: ("~", "change"),
    Action.MERGE: ("~", "change"),
    Action.UPDATE: ("~", "change"),
    Action.MOVE: (">", "keep"),
    Action.RENAME: (">", "keep"),
    Action.SAVE: ("^", "keep"),
    Action.KEEP: ("=", "keep"),
    Action.FINISH: ("=", "keep"),
    Action.RESTORE: ("=", "keep"),
    Action.PROMOTE: ("=", "keep"),
    Action.DRAIN: ("=", "keep"),
    Action.REMOVE: ("-", "remove"),
    Action.RESOLVE: ("?", "unknown"),
    Action.WAIT: (ELLIPSIS, "dim"),
    Action.PENDING: (ELLIPSIS, "dim"),
    Action.BLOCKED: ("!", "held"),
    Action.NONE: (" ", "plain"),
}
"""The sign of each action, and the style of its colour."""


STATES = (Action.WAIT, Action.PENDING, Action.BLOCKED)
"""Actions that are a state of the item, not something to do."""
NARROWING = frozenset({"nothing-selected", "changed-from", "canary"})
"""Kinds of notes that say why a plan is about fewer items than are declared."""


SETTINGS = "settings"
"""The kind of notes about settings that a pull request changes; they come first in a plan."""


_WORDS: Final = {
    "drain": "collect",
    "wait": "waiting",
    "held": "claimed",
    "foreign-file": "unmanaged file",
    "own-output": "already written",
    "made-by-local": "draft outline",
}
"""The words that people read instead of those that JSON has."""


def words_of(code: str) -> str:
    """Return the words that people see for an action, a step or a kind of reason."""
    return _WORDS.get(code, code.replace("-", " "))


def budget_words(plan: AnyPlan) -> str:
    """Return the budget as the end of a sentence, such as `, budget 20 credits`."""
    budget = plan.budget
    numbers = (
        (budget.credits_per_apply, "credit", ""),
        (budget.items_per_apply, "item", ""),
        (budget.credits_per_month, "credit", " a month"),
    )
    limits = [f"{plural(number, word)}{when}" for number, word, when in numbers if number is not None]
    amounts = ((budget.money_per_apply, ""), (budget.money_per_month, " a month"))
    limits += [f"{_money(amount, budget.currency)}{when}" for amount, when in amounts if amount is not None]
    if not limits:
        return ", no budget"
    *first, last = limits
    return f", budget {', '.join(first)}{' and ' if first else ''}{last}"


def _money(amount: str, currency: str) -> str:
    return money_words({currency: counted(amount)})


def month_sentence(spent: MonthSpend | None, budget: Budget) -> str:
    """Return a sentence about the used part of the month's budget, or an empty text if the spending was not counted."""
    if spent is None:
        return ""
    clock = f" {plural(spent.ahead, 'text')} of later months {'is' if spent.ahead == 1 else 'are'} included: "
    clock += "check the clock of this machine."
    parts = []
    if budget.credits_per_month is not None:
        parts.append(f"{spent.credits:,} of {plural(budget.credits_per_month, 'credit')}")
    if budget.money_per_month is not None:
        paid = spent.money.get(budget.currency, "0")
        parts.append(f"{_money(paid, budget.currency)} of {_money(budget.money_per_month, budget.currency)}")
    others = {name: amount for name, amount in counted_money(spent.money).items() if name != budget.currency and amount}
    beside = f", and {money_words(others)}, which this budget does not count" if others else ""
    words = f"{' and '.join(parts)} of this month ({spent.month}, all environments)"
    return f"Spent: {words}{beside}.{_sure(spent, budget)}{clock if spent.ahead else ''}"


def _sure(spent: MonthSpend, budget: Budget) -> str:
    """Return a sentence with the spending that is certain, or an empty text if all spending is certain."""
    money, unsure = (counted_money(each).get(budget.currency, 0) for each in (spent.money, spent.money_unsure))
    parts = []
    if budget.credits_per_month is not None and spent.credits_unsure:
        parts.append(plural(spent.credits - spent.credits_unsure, "credit"))
    if budget.money_per_month is not None and unsure:
        parts.append(money_words({budget.currency: money - unsure}))
    if not parts:
        return ""
    return f" Sure: {' and '.join(parts)}; the rest is for lost answers, and for jobs without token counts or a price."


def plan_counts(plan: AnyPlan) -> dict[Action, int]:
    """Return the number of changes for each action, in the order of `Action`. Unused actions are left out."""
    counted = Counter(change.action for change in plan.changes)
    return {action: counted[action] for action in Action if counted[action]}


def plan_sentence(plan: AnyPlan) -> str:
    """Return the counts and the price of a plan in words.

    Example: `2 to create, 1 blocked, 7 unchanged. 8 credits.`
    """
    return f"{counts_text(plan)}. {begin(cost_words(plan.changes))}."


def counts_text(plan: AnyPlan) -> str:
    """Return the number of changes for each action in words, such as `2 to create, 1 blocked, 7 unchanged`."""
    parts = [
        f"{number:,} {words_of(action) if action in STATES else f'to {words_of(action)}'}"
        for action, number in plan_counts(plan).items()
    ]
    parts.append(f"{plan.unchanged:,} unchanged")
    parts += [f"{plan.not_promoted:,} waiting for approval"] if plan.not_promoted else []
    return ", ".join(parts)


def change_cost(change: AnyChange) -> str:
    """Return the price of a change in words. It is empty if the change generates nothing."""
    if change.money_worst:
        return bound_words(change.money, change.money_worst, change.retries)
    if change.has_no_price:
        return NO_PRICE
    if not change.credits_worst:
        return "free" if change.submits_worst else ""
    return price(change.credits, change.credits_worst, change.retries, at_most=change.credits_at_most)


def spend_words(changes: Iterable[AnyChange]) -> str:
    """Return the label of a button that carries out changes, such as `Spend 48 credits on 12 texts`."""
    todo = [change for change in changes if change.names]
    paying = [change for change in todo if change.submits_worst]
    if not paying:
        return f"Do {plural(len(todo), 'change')}, for free"
    texts = plural(len(paying), "text")
    if money := add_money(change.money_worst for change in paying):
        return f"Spend up to {money_words(money, is_bound=True)} on {texts}"
    worst = sum(change.credits_worst for change in paying)
    if not worst:
        return (
            f"Make {texts}: {NO_PRICE}" if any(change.has_no_price for change in paying) else f"Make {texts}, for free"
        )
    is_bound = worst > sum(change.credits for change in paying) or any(change.credits_at_most for change in paying)
    return f"Spend {'up to ' * is_bound}{plural(worst, 'credit')} on {texts}"


def unsaid_hint(change: AnyChange) -> str:
    """Return a change's hint, without the words that are already in the change's reasons."""
    hint = change.hint
    for reason in change.reasons:
        hint = hint.removeprefix(f"{reason.detail}; ")
    return hint


def approval_sentence(plan: AnyPlan) -> str:
    """Return in words how many texts are in each approval state.

    The text is empty if every text is approved or needs no approval.
    """
    if not plan.approvals.keys() - {ApprovalState.APPROVED}:
        return ""
    return f"Approval: {', '.join(f'{number:,} {state.words}' for state, number in plan.approvals.items())}."


def begin(sentence: str) -> str:
    """Return a sentence with a capital first letter."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def action_words(change: AnyChange) -> str:
    """Return the action of a change in words. For a claimed item the process is added: `pending (apply on HOST)`."""
    word = words_of(change.action)
    return f"{word} ({visible(change.claimed_by)})" if change.claimed_by else word


def empty_sentence(plan: AnyPlan) -> str:
    """Return the sentence for a plan without changes."""
    waiting = plan.not_promoted
    if waiting:
        verb = "waits" if waiting == 1 else "wait"
        others = f" {plan.unchanged:,} unchanged." if plan.unchanged else ""
        return f"No changes. {plural(waiting, 'item')} {verb} for approval.{others}"
    if not plan.unchanged:
        if any(note.kind in NARROWING for note in plan.notes):
            return "No changes. The selection matches no item."
        return (
            "No changes. No items are declared. "
            "Next: add items to a manifest, or run `contentops adopt DIR` for texts that you have."
        )
    every, verb = ("", "is") if plan.unchanged == 1 else ("All ", "are")
    return f"No changes. {every}{plural(plan.unchanged, 'item')} {verb} up to date."


def reason_words(reason: Reason) -> str:
    """Return in words a reason that is not about a changed field."""
    words = visible(words_of(reason.kind))
    return f"{words}: {visible(reason.detail)}" if reason.detail else words


def command(verb: str, environment: str, flags: Iterable[str] = ()) -> str:
    """Return a `contentops` command to copy into a shell. `environment` is as in `Plan.option`."""
    parts = ["contentops", verb]
    if environment:
        parts.append(_option(environment))
    return " ".join([*parts, *flags])


_COMMAND = r"`contentops (?!init|serve|schema|completion)((?:(?:state|content|catalog) )?[a-z]+)"


def in_environment(text: str, environment: str) -> str:
    """Return a text in which the `contentops` commands have the option `--env`."""
    if not environment or "--env" in text:
        return text
    return re.sub(_COMMAND, lambda match: f"{match[0]} {_option(environment)}", text)


def _option(environment: str) -> str:
    return f"--env {environment if environment == NO_ENVIRONMENT else shlex.quote(visible(environment))}"


def next_apply(plan: AnyPlan, flags: Iterable[str] = ()) -> str:
    """Return the next apply command, with `flags` and the options that override the guards.

    It is empty if no option helps. Only `plan` has `--changed-from`, so the apply of such a plan needs a plan file.
    """
    needed = dict.fromkeys(visible(refusal.flag) for refusal in plan.refusals if not is_review(refusal))
    if not all(flag.startswith("--") for flag in needed):
        return ""
    shown = [visible(flag) for flag in flags]
    if any(flag.startswith("--changed-from ") for flag in shown):
        first = command("plan", plan.option, [*shown, "--out plan.json"])
        return f"{first} && {command('apply', plan.option, ['plan.json', *needed])}"
    return command("apply", plan.option, [*shown, *needed])


def is_review(refusal: Refusal) -> bool:
    """Return whether an option of `contentops plan`, such as `--max-credits`, refuses the plan."""
    return refusal.guard.startswith("review-")


def who_refuses(refusal: Refusal) -> str:
    """Return the beginning of a sentence about a refusal, such as `apply would refuse`."""
    return "this review refuses" if is_review(refusal) else "apply would refuse"


def way_on(refusal: Refusal) -> str:
    """Return in words how to override a guard: by an option, or by a command to run first.

    The text is empty if there is no such option or command.
    """
    if not refusal.flag:
        return ""
    lead = "to continue anyway" if refusal.flag.startswith("--") else "first run"
    return f"{lead}: `{visible(refusal.flag)}`"


# ---- The causes of a plan's changes: text, Markdown and JSON count them, and the pages group changes by them.

_LOCATION: Final = re.compile(r" in ([^ `]+:\d+:\d+)$")


class CauseGroup(Struct, frozen=True, kw_only=True, dict=True):
    """The changes of a plan that have a cause in common. A change with several causes is in several groups."""

    title: str
    changes: tuple[AnyChange, ...]
    is_cause: bool
    """Whether the title is the `cause` of a reason: a variable or a default, with its location."""

    @property
    def credits(self) -> int:
        """Return the credits that these changes cost."""
        return sum(change.credits for change in self.changes)

    @property
    def money(self) -> dict[str, int]:
        """Return the most that models may cost for these changes, by currency."""
        return add_money(change.money for change in self.changes)

    @property
    def has_no_price(self) -> bool:
        """Return whether a model writes at least one of these texts although the settings have no price."""
        return any(change.has_no_price for change in self.changes)

    @property
    def cost(self) -> str:
        """Return the cost of these changes in words."""
        if self.money:
            return bound_words(self.money, self.money)
        return NO_PRICE if self.has_no_price else plural(self.credits, "credit") if self.credits else "free"

    @property
    def heading(self) -> str:
        """Return the title of the shared cause as a heading. The location of a variable or default is shown as code."""
        title = _LOCATION.sub(r" in `\1`", self.title)
        return f"Variable{title.removeprefix('var')}" if title.startswith("var `") else begin(title)

    @functools.cached_property
    def shared(self) -> tuple[Reason, ...]:
        """Return the reasons that all these changes have in common. For a single change there are none."""
        first, *others = (self.reasons_of(change) for change in self.changes)
        return first if others and all(each == first for each in others) else ()

    def reasons_of(self, change: AnyChange) -> tuple[Reason, ...]:
        """Return the reasons of a change that belong to this cause. The reason `new` is left out."""
        reasons = (one for one in change.reasons if not self.is_cause or one.cause == self.title)
        return tuple(one for one in reasons if one.kind != "new" or one.field or one.detail)


def cause_groups(plan: AnyPlan) -> tuple[CauseGroup, ...]:
    """Group all changes by cause, the largest group first.

    Changes that no variable or default caused are grouped by what happened to them.
    """
    groups: dict[tuple[str, bool], list[AnyChange]] = {}
    for change in plan.changes:
        causes = dict.fromkeys(reason.cause for reason in change.reasons if reason.cause)
        alone = [_TITLES[reason.kind] for reason in change.reasons if reason.kind in _ALONE]
        keys = [*((cause, True) for cause in causes), *((title, False) for title in dict.fromkeys(alone))]
        for key in keys or [(_title(change), False)]:
            groups.setdefault(key, []).append(change)
    made = (CauseGroup(title=key[0], changes=tuple(changes), is_cause=key[1]) for key, changes in groups.items())
    return tuple(sorted(made, key=lambda one: (-len(one.changes), -one.credits, one.title)))


def shared_causes(plan: AnyPlan) -> tuple[CauseGroup, ...]:
    """Return the groups of at least two changes that have a cause in common, the largest group first."""
    alone = {_TITLES[kind] for kind in _ALONE}
    groups = cause_groups(plan)
    return tuple(one for one in groups if (one.is_cause or one.title in alone) and len(one.changes) > 1)


def _title(change: AnyChange) -> str:
    kind = change.reasons[0].kind if change.reasons else change.blocked or change.action.value
    if kind == "new":
        return _origin(change)
    location = change.spec.location if isinstance(change, Change) and change.spec is not None else None
    if kind in _BY_ITEM and location is not None:
        return f"changed in `{location.file}`"
    return _TITLES.get(kind, words_of(kind))


def _origin(change: AnyChange) -> str:
    """Return in words which data file or manifest declares a new item."""
    spec = change.spec if isinstance(change, Change) else None
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
"""Kinds of reasons by the title that they share. Any other kind is its own title."""
_ALONE: Final = frozenset({"made-by-local", "replace", "section"})
"""Kinds of reasons that always ask for a new text, so that they count as a cause, like variables and defaults."""
_TITLES: Final = {kind: title for title, kinds in _KINDS.items() for kind in kinds}
