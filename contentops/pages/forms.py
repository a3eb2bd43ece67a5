"""The forms: what each one posts, and the operation that it calls.

| Path | Fields besides `form_token` | Does the same as |
|---|---|---|
| `/approve` | `id`, `text` (the digest of the text shown) | `contentops approve ID` |
| `/send-back` | `id`, `text`, `note` | `contentops send-back ID --note NOTE` |
| `/restore` | `id`, `to` (a digest), `overwrite` (`yes`) | `contentops restore ID --to DIGEST` |
| `/apply` | `action` (of `PartAction`), `id`, `heading`, `price` | `contentops apply --select ID`, `regenerate ID` |

`price` is the number of credits that was shown; 0 where it is free.
`GET /confirm?action=...&id=...&heading=...` is the page with the price; its button posts to `/apply`.
A form is a `<form method="post">` with `{{ secret }}` in it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from msgspec import Struct

from contentops.errors import UsageError, plural
from contentops.model import Result
from contentops.operations.apply_part import PartAction, apply_part, part_of, plan_part
from contentops.operations.texts.diff_and_restore import restore as restore_text
from contentops.pages.site import PageContent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.execution.primitives import Stop
    from contentops.model import Plan, Run
    from contentops.operations.apply_part import PlanPart
    from contentops.pages.site import Site

    Form = Callable[[Site, Mapping[str, str]], "FormResult | PageContent"]

QUICK = 2.0
"""Seconds that a browser waits for an action before it is led to the page of the run."""
MAX_BYTES = 16_000_000
"""Of a form: a text of 1 MB is three times as long in it, and more in some scripts."""
_FIELDS = 50


class FormResult(Struct, frozen=True, kw_only=True):
    """What a form did: the address that shows it, and a sentence."""

    to: str
    said: str = ""


def fields_of(site: Site, data: bytes) -> Mapping[str, str] | None:
    """Return the fields of a form with LF at the ends of lines; None where it is not one of our forms."""
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
    except ValueError:
        return None
    form = {name: value.replace("\r\n", "\n") for name, value in pairs}
    token = form.get("form_token", "").encode()
    return form if site.form_token and hmac.compare_digest(token, site.form_token.encode()) else None


# --- texts -------------------------------------------------------------------------------------------------


def restore(site: Site, form: Mapping[str, str]) -> FormResult:
    """Put an earlier text back."""
    item, overwrite = _id(form), form.get("overwrite") == "yes"
    done = restore_text(site.project(), item, form.get("to", ""), overwrite=overwrite, runtime=site.runtime)
    said = f"Restored: the text {done.text.short} is back in {done.output}; nothing was paid."
    if done.copy:
        said += f" A copy of the file as it was: {done.copy}."
    return FormResult(to=site.links.item(item), said=said)


# --- parts of the plan -------------------------------------------------------------------------------------


class Confirm(Struct, frozen=True, kw_only=True):
    """What an action would do and cost."""

    part: PlanPart
    plan: Plan
    command: str
    back: str
    """The address of the page that it was asked for on."""
    title: str
    """Of the text."""

    @property
    def possible(self) -> bool:
        """Whether there is something to do that no guard refuses."""
        return not self.plan.refusals and any(change.steps for change in self.plan.changes)

    @property
    def button(self) -> str:
        """What the button says: the sum that it spends."""
        worst = self.plan.credits_worst
        if not worst:
            return "Do it: it is free"
        most = "up to " if worst > self.plan.credits or self.plan.credits_at_most else ""
        return f"Spend {most}{plural(worst, 'credit')}"


def confirm(site: Site, query: Mapping[str, str]) -> PageContent:
    """The page that shows the price of an action before it is paid."""
    part = part_of(query.get("action", ""), query.get("id", ""), query.get("heading", ""))
    plan = plan_part(site.project(), part, runtime=site.runtime)
    shown = site.review.snapshot().by_id.get(part.item)
    view = Confirm(
        part=part,
        plan=plan,
        command=part.command(site.option, site.flags),
        back=_back(site, part),
        title=shown.title if shown else part.item,
    )
    return PageContent(template="confirm.html", title=_TITLES[part.action], tab="items", model=view)


def apply(site: Site, form: Mapping[str, str]) -> FormResult:
    """Start what a button asks for, and wait a moment for it."""
    part = part_of(form.get("action", ""), form.get("id", ""), form.get("heading", ""))
    price = form.get("price", "")
    if not (price.isascii() and price.isdecimal() and len(price) < 9):
        raise UsageError("the form has no price", code="bad-form", hint="go back, and try again")

    def work(stop: Stop) -> str:
        project = site.project()
        return _said(*apply_part(project, part, int(price), stop=stop, runtime=site.runtime))

    task = site.runner.start(work)
    if not task.is_done(QUICK):
        return FormResult(to=site.links.run)
    if task.error is not None:
        if task.error.code == "price-changed":
            to = site.links.to("/confirm", action=part.action.value, id=part.item, heading=part.heading)
            return FormResult(to=to, said=f"Nothing was done: {task.error.message}.")
        raise task.error
    return FormResult(to=_back(site, part), said=task.said)


def _said(plan: Plan, run: Run | None) -> str:
    if run is None:
        return "Nothing is left to do." if plan.empty else "Nothing was done: see what the item waits for."
    failed = [one for one in run.outcomes if one.result is not Result.DONE]
    if failed:
        return f"Not done: {failed[0].error or failed[0].hint or failed[0].result.value}"
    return f"Done: {plural(len(run.outcomes), 'item')}, {plural(run.credits, 'credit')}."


def _back(site: Site, part: PlanPart) -> str:
    return site.links.item(part.item) if part.item else site.links.overview


_TITLES: Mapping[PartAction, str] = {
    PartAction.KEEP: "Keep this text?",
    PartAction.MERGE: "Merge this text with a new one?",
    PartAction.TAKE: "Replace this text by a new one?",
    PartAction.REPLACE: "Make a new text?",
    PartAction.SECTION: "Make one section again?",
    PartAction.APPLY: "Do what is planned for this item?",
    PartAction.RESUBMIT: "Submit it again?",
    PartAction.FIRST: "Make the first texts?",
}


def _id(form: Mapping[str, str]) -> str:
    if not (item := form.get("id", "")):
        raise UsageError("the form names no item", code="bad-form", hint="go back, and try again")
    return item


FORMS: Mapping[str, Form] = {"/restore": restore, "/apply": apply}
"""What each form does."""
