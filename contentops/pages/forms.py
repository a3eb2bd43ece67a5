"""The forms: what each one posts, and the operation that it calls.

| Path | Fields besides `form_token` | Does the same as |
|---|---|---|
| `/approve` | `id`, `text` (the digest of the text shown) | `contentops approve ID` |
| `/send-back` | `id`, `text`, `note` | `contentops send-back ID --note NOTE` |
| `/edit` | `id`, `title`, `body`, `file` (its digest), `was_title`, `was`, `aside` (`yes`) | an editor |
| `/restore` | `id`, `to` (a digest), `overwrite` (`yes`) | `contentops restore ID --to DIGEST` |
| `/resolve` | `id`, `job` (of the server) | `contentops state resolve ID --job JOB` |
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

from contentops.ci.results import lock_name
from contentops.digest import Digest
from contentops.errors import ContentopsError, InputError, UsageError, plural
from contentops.model import ItemId, Result, Verdict
from contentops.operations.apply_part import PartAction, apply_part, part_of, plan_part
from contentops.operations.commit_files import commit_files
from contentops.operations.records import resolve as resolve_submit
from contentops.operations.review import ReviewState
from contentops.operations.texts.approving import Decision, decide_texts
from contentops.operations.texts.diff_and_restore import restore as restore_text
from contentops.operations.texts.editing import edit_text
from contentops.pages.edit import edit_of, not_saved, stale
from contentops.pages.site import PageContent
from contentops.planning.plan_inputs import Choice
from contentops.state.approvals import FILE as APPROVALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contentops.execution.primitives import Stop
    from contentops.model import Plan, Project, Run
    from contentops.operations.apply_part import PlanPart
    from contentops.pages.site import Site

    Form = Callable[[Site, Mapping[str, str]], "FormResult | PageContent"]

QUICK = 2.0
"""Seconds that a browser waits for an action before it is led to the page of the run."""
MAX_BYTES = 16_000_000
"""Of a form: an edit carries a text twice, and each of its bytes as three where it is not ASCII."""
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


def approve(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Record that the person read the text that the form names, and lead to the next one."""
    return _decide(site, form, Verdict.APPROVED)


def send_back(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Record what is to change in the text that the form names."""
    return _decide(site, form, Verdict.SENT_BACK)


def _decide(site: Site, form: Mapping[str, str], verdict: Verdict) -> FormResult | PageContent:
    item, text = _id(form), form.get("text", "")
    if not text:
        raise UsageError("the form names no text", code="bad-form", hint="go back, and try again")
    before = site.review.snapshot()
    decision = Decision(verdict=verdict, note=form.get("note", ""), source="page", texts={ItemId(item): Digest(text)})
    project = site.project()
    try:
        decided = decide_texts(project, Choice(select=(item,)), decision, runtime=site.runtime)
    except InputError as error:
        if all(finding.code != "text-changed" for finding in error.findings):
            raise
        return stale(site, item, text, _STALE[verdict])
    title = before.by_id[item].title if item in before.by_id else item
    said = f"{_DECIDED[verdict]}: {title}." if not decided.skipped else f"Nothing was recorded: {title} has no text."
    if decided.warning:
        said += f" But {decided.warning}."
    elif verdict is Verdict.APPROVED:
        said += _still_waits(site, item)
    run = decided.run
    outputs = [one.output for one in run.outcomes] if run else []
    said += _committed(site, project, [APPROVALS, *outputs], f"{_SUBJECTS[verdict]} `{item}`")
    following = [one.id for one in before.to_read if one.id != item]
    return FormResult(to=site.links.item(following[0]) if following else site.links.overview, said=said)


def _still_waits(site: Site, item: str) -> str:
    """Say how many people have to approve a text still, if any."""
    after = site.review.snapshot().by_id.get(ItemId(item))
    if after is None or after.spec is None or after.state is not ReviewState.WAITING:
        return ""
    missing = after.spec.approval.count - sum(one.verdict is Verdict.APPROVED for one in after.verdicts)
    return f" {'One more person has' if missing == 1 else f'{missing} more people have'} to approve it."


_STALE = {
    Verdict.APPROVED: "Not approved: the text is another one now",
    Verdict.SENT_BACK: "Not sent back: the text is another one now",
}
_DECIDED = {Verdict.APPROVED: "Approved", Verdict.SENT_BACK: "Sent back"}
_SUBJECTS = {Verdict.APPROVED: "Approve the text of", Verdict.SENT_BACK: "Send back the text of"}


def restore(site: Site, form: Mapping[str, str]) -> FormResult:
    """Put an earlier text back."""
    item, overwrite = _id(form), form.get("overwrite") == "yes"
    project = site.project()
    done = restore_text(project, item, form.get("to", ""), overwrite=overwrite, runtime=site.runtime)
    said = f"Restored: the text {done.text.short} is back in {done.output}; nothing was paid."
    if done.copy:
        said += f" A copy of the file as it was: {done.copy}."
    said += _committed(site, project, [done.output], f"Restore an earlier text of `{item}`")
    return FormResult(to=site.links.item(item), said=said)


def save(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Write an edited text into its file, or show the form again with all that was typed."""
    item, edit = _id(form), edit_of(form)
    try:
        project = site.project()
        done = edit_text(project, item, edit, runtime=site.runtime)
    except ContentopsError as error:
        return not_saved(site, form, error)
    said = f"Saved: {done.output} has your text."
    if done.copy:
        said += f" A copy of the file as it was: {done.copy}."
    said += _committed(site, project, [done.output], f"Edit the text of `{item}`")
    return FormResult(to=site.links.item(item), said=said)


def resolve(site: Site, form: Mapping[str, str]) -> FormResult:
    """Record which job a lost answer was about; what is planned then finishes it for nothing."""
    item, job = _id(form), form.get("job", "").strip()
    if not job:
        raise UsageError("the form names no job", code="bad-form", hint="write the id of the job, as the server has it")
    said = resolve_submit(site.project(), item, job=job)
    return FormResult(to=site.links.item(item), said=f"Recorded: {said}.")


def _committed(site: Site, project: Project, files: Iterable[str], subject: str) -> str:
    """Commit what an action changed, where that was asked for; return a sentence about it, which begins with space.

    The action is done by then, so a commit that fails is no error of it.
    """
    if not site.commits:
        return ""
    names = [*files, lock_name(project.environment), ".gitattributes"]
    try:
        commit = commit_files(project, names, subject)
    except ContentopsError as error:
        return f" It is not committed: {error.message}."
    return f" Committed as {commit[:9]}." if commit else ""


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
    words: str
    """What the action does."""

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
        words=_QUESTIONS[part.action][1],
    )
    return PageContent(template="confirm.html", title=_QUESTIONS[part.action][0], tab="items", model=view)


def apply(site: Site, form: Mapping[str, str]) -> FormResult:
    """Start what a button asks for, and wait a moment for it."""
    part = part_of(form.get("action", ""), form.get("id", ""), form.get("heading", ""))
    price = form.get("price", "")
    if not (price.isascii() and price.isdecimal() and len(price) < 9):
        raise UsageError("the form has no price", code="bad-form", hint="go back, and try again")

    def work(stop: Stop) -> str:
        project = site.project()
        plan, run = apply_part(project, part, int(price), stop=stop, runtime=site.runtime)
        if run is None:
            return _said(plan, run)
        files = {path for change in plan.changes for path in (change.source, change.target)}
        return _said(plan, run) + _committed(site, project, files, f"Apply: {part.action.value} `{part.item}`")

    task = site.runner.start(work)
    if not task.is_done(QUICK):
        return FormResult(to=site.links.run)
    said, error = task.taken()
    if error is None:
        return FormResult(to=_back(site, part), said=said)
    if error.code == "price-changed":
        to = site.links.to("/confirm", action=part.action.value, id=part.item, heading=part.heading)
        return FormResult(to=to, said=f"Nothing was done: {error.message}.")
    raise error


def _said(plan: Plan, run: Run | None) -> str:
    if run is None:
        return "Nothing is left to do." if plan.empty else "Nothing was done: see what the item waits for."
    failed = [one for one in run.outcomes if one.result is not Result.DONE]
    if failed:
        return f"Not done: {failed[0].error or failed[0].hint or failed[0].result.value}"
    return f"Done: {plural(len(run.outcomes), 'item')}, {plural(run.credits, 'credit')}."


def _back(site: Site, part: PlanPart) -> str:
    return site.links.item(part.item) if part.item else site.links.overview


_QUESTIONS: Mapping[PartAction, tuple[str, str]] = {
    PartAction.KEEP: ("Keep this text?", "Nothing is generated: your text answers the new brief."),
    PartAction.MERGE: ("Merge this text with a new one?", "A new text is made. Sections that you edited stay."),
    PartAction.TAKE: ("Replace this text by a new one?", "A new text replaces yours. A copy of yours is kept."),
    PartAction.REPLACE: ("Make a new text?", "A new text replaces this one, which stays in its history."),
    PartAction.SECTION: ("Make one section again?", "The other sections stay. This text stays in its history."),
    PartAction.APPLY: ("Do what is planned for this item?", ""),
    PartAction.RESUBMIT: (
        "Submit it again?",
        "The answer to the first submit was lost: if the server took it, it is paid for twice.",
    ),
    PartAction.FIRST: ("Make the first texts?", "Read them here before the others are paid for."),
}
"""The title of the page with the price, and what the action does."""


def _id(form: Mapping[str, str]) -> str:
    if not (item := form.get("id", "")):
        raise UsageError("the form names no item", code="bad-form", hint="go back, and try again")
    return item


FORMS: Mapping[str, Form] = {
    "/approve": approve,
    "/send-back": send_back,
    "/restore": restore,
    "/edit": save,
    "/resolve": resolve,
    "/apply": apply,
}
"""What each form does."""
