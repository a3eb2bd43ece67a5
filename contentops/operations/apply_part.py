"""Plan and apply the part of a plan that one button of a page asks for: shown first, then exactly that."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Callable

from msgspec import Struct, structs, to_builtins

from contentops.digest import Digest, digest_json
from contentops.errors import Refused, UsageError, plural
from contentops.execution.primitives import Stop
from contentops.model import (
    Event,
    ItemId,
    OnEdit,
    OnSourceChange,
    Plan,
    Project,
    Result,
    Run,
)
from contentops.model.jobs import spent_words
from contentops.operations.apply import ApplyOptions, apply
from contentops.operations.opening import HERE, Runtime
from contentops.operations.plan import plan, section
from contentops.planning.sides import Choice
from contentops.reporting.summary import command

FIRST = 2
"""How many texts are made first, to be read before the others are."""


class PartAction(enum.StrEnum):
    """The action that a person asks for; the values are those of forms."""

    KEEP = "keep"
    """Keep an edited text though its request changed."""
    MERGE = "merge"
    """Merge an edited text with a new one, by section."""
    TAKE = "take"
    """Replace an edited text by a new one."""
    ACCEPT = "accept"
    """Keep a text though the texts that it was made from changed."""
    REPLACE = "replace"
    """Generate a text again."""
    SECTION = "section"
    """Generate one section of a text again."""
    APPLY = "apply"
    """Do what is planned for an item: also looks up an unknown outcome."""
    FIRST = "first"
    """Make the first texts of a project."""
    PLAN = "plan"
    """Do all that is planned."""
    CAUSE = "cause"
    """Do what is planned for one cause."""
    FREE = "free"
    """Do what is planned and costs nothing."""


class PlanPart(Struct, frozen=True, kw_only=True):
    """A part of a plan: an action, its item, and for `section` the heading."""

    action: PartAction
    item: str = ""
    """For `cause`: any of its items."""
    heading: str = ""
    ids: frozenset[ItemId] | None = None
    """The items of an action that is about several; None: it is about `item`, or all."""

    def choice(self) -> Choice:
        """Return the options that plan this part alone."""
        if self.action is PartAction.FIRST:
            return Choice(canary=FIRST)
        if self.is_of_many:
            return Choice(only=self.ids)
        return Choice(
            select=(self.item,),
            only=frozenset({ItemId(self.item)}),  # whatever the name of the item means as a pattern
            on_edit=_ON_EDIT.get(self.action),
            on_source_change=OnSourceChange.KEEP if self.action is PartAction.ACCEPT else None,
            replace=(self.item,) if self.action is PartAction.REPLACE else (),
            sections={self.item: self.heading} if self.action is PartAction.SECTION else {},
        )

    @property
    def is_of_many(self) -> bool:
        """Return whether the part is about more than one item."""
        return self.action in (PartAction.PLAN, PartAction.CAUSE, PartAction.FREE)

    def command(self, option: str, flags: tuple[str, ...] = ()) -> str:
        """Return the command that applies the same part; empty if it would be too long.

        `option`: as in `Plan.option`, `flags`: the variables.
        """
        item = shlex.quote(self.item)
        if self.action is PartAction.SECTION:
            return command("regenerate", option, (item, f"--section {shlex.quote(self.heading)}", *flags))
        if self.action is PartAction.FIRST:
            return command("apply", option, (f"--canary {FIRST}", *flags))
        if self.is_of_many:
            chosen = [f"--select {shlex.quote(id_)}" for id_ in sorted(self.ids or ())]
            return command("apply", option, (*chosen, *flags)) if len(chosen) <= _NAMED else ""
        more = {PartAction.REPLACE: f"--replace {item}", PartAction.ACCEPT: "--on-source-change keep"}
        more |= {action: f"--on-edit {choice.value}" for action, choice in _ON_EDIT.items()}
        return command("apply", option, (f"--select {item}", *filter(None, (more.get(self.action),)), *flags))

    def said(self, run: Run, title: str) -> str:
        """Return in words the result of this run for the text with this `title`, and its cost."""
        failed = next((one for one in run.outcomes if one.result is not Result.DONE), None)
        if failed is not None:
            return f"Not done: {failed.error or failed.hint or failed.result.value}"
        if self.action not in _DONE:
            return f"Done: {plural(len(run.outcomes), 'item')}, {spent_words(run.credits, run.tokens)}."
        done, now = _DONE[self.action]
        paid = run.credits or run.tokens.is_known
        cost = f"it cost {spent_words(run.credits, run.tokens)}" if paid else "nothing was paid"
        return f"{done}: {title}. {now}; {cost}."


_NAMED = 5
"""So many items are named in a command that is shown."""
_DONE = {
    PartAction.KEEP: ("Kept", "The edited text answers the new brief now"),
    PartAction.ACCEPT: ("Kept", "The text answers the present words of its source now"),
    PartAction.MERGE: ("Merged", "What was edited stayed as it was"),
    PartAction.TAKE: ("Replaced", "A new text replaced the edited one"),
    PartAction.REPLACE: ("Generated again", "The earlier text is in its history"),
    PartAction.SECTION: ("Generated again", "One section is new, and the others stayed"),
}
"""What an action did to its text, and what is the case now."""
_ON_EDIT = {PartAction.KEEP: OnEdit.KEEP, PartAction.MERGE: OnEdit.MERGE, PartAction.TAKE: OnEdit.OVERWRITE}


def part_of(action: str, item: str, heading: str = "") -> PlanPart:
    """Return the part that a form names. Raises UsageError for an unknown action."""
    try:
        return PlanPart(action=PartAction(action), item=item, heading=heading)
    except ValueError:
        raise UsageError(f"there is no action `{action}`", code="bad-form", hint="go back, and try again") from None


def plan_part(project: Project, part: PlanPart, *, runtime: Runtime = HERE) -> Plan:
    """Plan a part, for its price. Raises what `plan` does, and UsageError for a section that is not there."""
    return plan(project, _with_heading(project, part).choice(), runtime=runtime)


def state_of(plan: Plan) -> Digest:
    """Return a digest that changes with each run: over a plan, its model, its cost, and the submits it finishes.

    The id alone stays where the answer to a submit is lost again, and where the settings have another price or model.
    """
    jobs = [change.job for change in plan.changes if change.job is not None]
    submitted = [[job.request_id, job.plan_id, job.submitted_at] for job in jobs]
    return digest_json([plan.id, to_builtins(plan.writer), plan.money_worst, plan.submits_worst, submitted])


def apply_part(
    project: Project, part: PlanPart, shown: str, *, stop: Stop, runtime: Runtime = HERE
) -> tuple[Plan, Run | None]:
    """Apply a part whose plan has the `state_of` that was `shown`, so that a form that is sent twice pays once.

    Raises Refused (`plan-changed`) if it has another one by now, and what `apply` and `plan_part` raise.
    """

    def confirm(planned: Plan) -> bool:
        if state_of(planned) != shown:
            message = "nothing was done: this was done already, or the project changed"
            raise Refused(message, code="plan-changed", hint="look at the price again")
        return True

    def ignore(_: Event) -> None:
        """Ignore an event: the page reads the events that every apply stores."""

    part = _with_heading(project, part)
    options = ApplyOptions(stop=stop, inputs={"variables": [], "page": part.action.value, "item": part.item})
    emit: Callable[[Event], None] = ignore
    return apply(project, part.choice(), options, confirm=confirm, emit=emit, runtime=runtime)


def _with_heading(project: Project, part: PlanPart) -> PlanPart:
    """Return the part, with the heading of a section spelled as in the text."""
    if part.action is not PartAction.SECTION:
        return part
    return structs.replace(part, heading=section(project, part.item, part.heading))
