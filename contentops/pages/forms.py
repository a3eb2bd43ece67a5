"""Handles the forms of the pages; each form calls one operation.

| Path | Fields other than `form_token` | Does the same as |
|---|---|---|
| `/approve` | `id`, `text` (digest), `list` (query), `count`, `shown` (when, signed) | `contentops approve ID` |
| `/send-back` | the same, and `note` | `contentops send-back ID --note NOTE` |
| `/comment` | `id`, `text`, `quote`, `note` | a line of `contentops.approvals` |
| `/revise` | `id`, `text`, `note` | an editor, in the manifest |
| `/withdraw` | `id`, `text` | `contentops approve ID --withdraw` |
| `/edit` | `id`, `title`, `body`, `file` (its digest), `was_title`, `was` | an editor |
| `/preview` | the same | |
| `/restore` | `id`, `to` (a digest), `file` (its digest) | `contentops restore ID --to DIGEST --on-edit overwrite` |
| `/draft` | `id`, the fields of the form, and `kind` (`edit`, `note`, `comment`) or `discard` (the same) | |
| `/resolve` | `id`, `job` (of the server) | `contentops state resolve ID --job JOB` |
| `/apply` | `action` (`PartAction`), `id`, `heading`, `plan` | `contentops apply --select ID`, `regenerate ID` |
| `/send` | `tree`, `how` (`pull-request`, `push`, `commit`) | `contentops commit --edits --no-skip-ci` |
| `/stop` | | Ctrl-C in the terminal of an apply that a page started |

`plan` is the `form_digest` of the plan that was shown.
`GET /confirm?action=...&id=...&heading=...` is the page with the price; its button posts to `/apply`.
A form is a `<form method="post">` with `{{ secret }}` in it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from markupsafe import Markup
from msgspec import Struct, structs

from contentops.digest import Digest
from contentops.errors import ContentopsError, Diagnostic, FileChanged, Refused, UsageError, plural
from contentops.execution.primitives import Stop
from contentops.model import ItemId, Plan, Verdict
from contentops.operations.apply import PartAction, PlanPart, apply_part, form_digest, part_of, plan_part
from contentops.operations.approving import Decision, comment_on, decide_texts, write_notes
from contentops.operations.commit import commit as commit_results
from contentops.operations.commit import pull_request_page
from contentops.operations.review import notify
from contentops.operations.state import resolve as resolve_submit
from contentops.operations.texts import DraftKind, draft_kind, drop_draft, edit_text, keep_draft
from contentops.operations.texts import restore as restore_text
from contentops.pages.lists import queue
from contentops.pages.site import LastDecision, PageContent, Site, coded, explained, owner
from contentops.pages.views import SENDING, after, edit_of, not_decided, not_saved, preview
from contentops.pages.views import restore as restore_page
from contentops.pages.views import send as send_page
from contentops.planning.sides import Choice
from contentops.reporting.summary import cause_groups

Form = Callable[[Site, Mapping[str, str]], "FormResult | PageContent"]

TOO_SOON: Final = 2.0
"""Seconds for which a text is on the screen before someone can have read it: a double click meets the next one."""
_DIGITS: Final = 6
"""Of the number of decisions: Python refuses to read the longest."""
QUICK = 2.0
"""Seconds that a browser waits for an action before it is led to the page of the run."""


class FormResult(Struct, frozen=True, kw_only=True):
    """The result of a form: the address of the next page, and a sentence that this page shows.

    If the address is empty, the browser stays on the page.
    """

    to: str
    said: str = ""
    at: str = ""
    """The id of the element that gets the focus."""


def has_token(site: Site, form: Mapping[str, str]) -> bool:
    """Return whether a form has the secret token of this server. Only pages of this server have the token."""
    return bool(site.form_token) and hmac.compare_digest(form.get("form_token", "").encode(), site.form_token.encode())


# --- texts -------------------------------------------------------------------------------------------------


def decide(site: Site, form: Mapping[str, str], verdict: Verdict) -> FormResult | PageContent:
    """Record that the person approves a text or sends it back, and return the address of the next text.

    If the decision cannot be recorded, the page of the item shows why, and keeps the note.
    """
    item, text, done = _named(form, "id"), Digest(_named(form, "text")), verdict.value.replace("-", " ").capitalize()
    before, project = site.review.snapshot(), site.project()
    one, only = before.item(item), Choice(only=frozenset({ItemId(item)}))
    note = form.get("note", "")
    if verdict is Verdict.SENT_BACK and not note.strip() and (own := before.known.approvals.comments_on(text)):
        note = plural(len(own), "comment")
    decision = Decision(verdict=verdict, note=note, source="page", texts={ItemId(item): text})
    try:
        shown = site.shown_at(form.get("shown", ""), text)
        if shown is None:
            raise Refused("the form has no time", code="bad-form", hint="read the text, then press the button again")
        if 0 <= site.runtime.wall() - shown < TOO_SOON:
            message = "this text was shown less than two seconds ago"
            raise Refused(message, code="too-soon", hint="read it, then press the button again")
        decided = decide_texts(project, only, decision, runtime=site.runtime)
    except ContentopsError as error:
        return not_decided(site, form, done.lower(), error)
    if verdict is Verdict.SENT_BACK:
        drop_draft(project, one.ids, DraftKind.NOTE)
    said = f"{done}: {one.title}." if not decided.skipped else f"Nothing was recorded: {one.title} has no text."
    if decided.also:
        said += f" This counts for {', '.join(decided.also)} too: the same words."
    if decided.warning:
        said += f" But {decided.warning}."
    listed, count = form.get("list", ""), form.get("count", "")[:_DIGITS]
    others = after(queue(site, before, listed), item)
    done_now = str(int(count) + 1 if count.isascii() and count.isdigit() else 1)
    said += f" {done_now} done, {len(others):,} left."
    # To withdraw it is to undo it only where no verdict counted before.
    is_first = before.known.approvals.last(text) is None
    site.decided.keep("last", LastDecision(item, text, site.runtime.wall() if is_first else 0.0, said))
    to = site.links.item(others[0].id, list=listed, count=done_now) if others else site.links.today
    return FormResult(to=to, said=said, at="title")


def comment(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Record a comment on some words of a text. A comment neither approves the text nor sends it back."""
    item, text, project = _named(form, "id"), Digest(_named(form, "text")), site.project()
    one = site.review.snapshot().item(item)
    said = form.get("quote", ""), form.get("note", "")
    try:
        comment_on(project, one.id, one.file, text, said, runtime=site.runtime)
    except ContentopsError as error:
        return not_decided(site, form, "noted", error)
    drop_draft(project, one.ids, DraftKind.COMMENT)
    done = "Noted. It goes with the text when you send it back."
    to = site.links.item(item, list=form.get("list", ""), count=form.get("count", ""))
    return FormResult(to=to, said=done, at="title")


def revise(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Write a person's review notes on a text into the manifest, and show what a new text would cost."""
    item, text, project = _named(form, "id"), Digest(_named(form, "text")), site.project()
    one = site.review.snapshot().item(item)
    try:
        path = write_notes(project, one.spec, one.file, text, form.get("note", ""), runtime=site.runtime)
    except ContentopsError as error:
        return not_decided(site, form, "written", error)
    drop_draft(project, one.ids, DraftKind.NOTE)
    change = site.review.snapshot().item(item).change
    to = site.links.item(item) if change and change.blocked else site.links.to("/confirm", action="apply", id=item)
    return FormResult(to=to, said=f"Your notes are in `{path}`, as the input `{project.review.notes_input}`.")


def withdraw(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Withdraw the approval or send-back of a text, so that the text waits for a reader again.

    The withdrawn decision stays in the history.
    """
    item, text, project = _named(form, "id"), Digest(_named(form, "text")), site.project()
    decision = Decision(verdict=Verdict.WITHDRAWN, source="page", texts={ItemId(item): text})
    try:
        decided = decide_texts(project, Choice(only=frozenset({ItemId(item)})), decision, runtime=site.runtime)
    except ContentopsError as error:
        return not_decided(site, form, "withdrawn", error)
    one = site.review.snapshot().item(item)
    said = f"Withdrawn: no verdict on {one.title} counts now." if decided.lines else f"{one.title} has no verdict."
    if decided.warning:
        said += f" But {decided.warning}."
    site.decided.keep("last", LastDecision(item, text, 0.0))
    return FormResult(to=site.links.item(item), said=said, at="title")


def restore(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Restore an earlier text, if the file has not changed since the person saw it."""
    item, expect, project = _named(form, "id"), Digest(form.get("file", "")), site.project()
    try:
        done = restore_text(project, item, form.get("to", ""), expect=expect, runtime=site.runtime)
    except FileChanged as error:
        return restore_page(site, form, explained(error))
    said = f"Restored: the text {done.text.short} is back in {done.output}; nothing was paid."
    said += " The text before it stays in the history." if done.copy else ""
    return FormResult(to=site.links.item(item), said=said)


def save(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Write an edited text into its file. If that fails, show the form again with the typed words."""
    item, edit = _named(form, "id"), edit_of(form)
    try:
        project = site.project()
        done = edit_text(project, item, edit, runtime=site.runtime)
    except ContentopsError as error:
        return not_saved(site, form, error)
    drop_draft(project, _ids(site, item), DraftKind.EDIT)
    said = f"Saved: {done} has your text. The text before it stays in the history."
    return FormResult(to=site.links.item(item), said=said)


def draft(site: Site, form: Mapping[str, str]) -> FormResult:
    """Store or discard a draft: the words that a person has typed but not sent.

    With `quiet`, a script sent the form, and the browser stays on the page.
    """
    item, is_wanted, project = _named(form, "id"), not form.get("discard"), site.project()
    kind, to = draft_kind(form.get("discard") or form.get("kind", "")), site.links.item(item)
    ids = _ids(site, item)
    if not is_wanted:
        drop_draft(project, ids, kind)
        return FormResult(to=to, said="The draft is discarded.", at="title")
    keep_draft(project, ids, kind, form, runtime=site.runtime)
    return (
        FormResult(to="")
        if form.get("quiet")
        else FormResult(to=to, said="Your draft is kept, and not saved yet.", at="title")
    )


def _ids(site: Site, item: str) -> Sequence[str]:
    """Return the current id and the earlier ids of an item. Raises UsageError for an unknown id."""
    return (site.review.latest or site.review.snapshot()).item(item).ids


def resolve(site: Site, form: Mapping[str, str]) -> FormResult:
    """Record which job belongs to a submit whose reply was lost. Then the job's text can be fetched for free."""
    item = _named(form, "id")
    said = resolve_submit(site.project(), item, job=_named(form, "job"), runtime=site.runtime)
    return FormResult(to=site.links.item(item), said=f"Recorded: {said}.")


# --- parts of the plan -------------------------------------------------------------------------------------


class Confirm(Struct, frozen=True, kw_only=True):
    """The data of the page that asks for confirmation: a button's action, and its plan with the price."""

    part: PlanPart
    plan: Plan
    state: Digest
    """What the form sends, so that it is carried out once."""
    problem: Sequence[Diagnostic] = ()
    """Why nothing was done."""


def confirm(site: Site, query: Mapping[str, str], problem: Sequence[Diagnostic] = ()) -> PageContent:
    """Return the page that shows the price of an action and asks for confirmation."""
    part = _part(site, query)
    plan = plan_part(site.project(), part, runtime=site.runtime)
    title = site.review.snapshot().item(part.item).title if part.item and not part.is_of_many else ""
    view = Confirm(part=part, plan=plan, state=form_digest(plan), problem=problem)
    return PageContent(template="confirm.html", title=title, tab="items", model=view, status=409 if problem else 200)


def apply(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Start the apply that a button asks for. Return its result, or the address of the run's page."""
    part, shown = _part(site, form), _named(form, "plan")

    def work(stop: Stop) -> str:
        project = site.project()
        plan, run = apply_part(project, part, shown, stop=stop, runtime=site.runtime)
        if run is None:
            return "Nothing is left to do." if plan.empty else "Nothing was done: see what the item waits for."
        is_of_one = part.item and not part.is_of_many
        return part.said(run, site.review.snapshot().item(part.item).title if is_of_one else "")

    task = site.runner.start(work)
    if not task.is_done(QUICK):
        return FormResult(to=site.links.run)
    said, error = task.taken()
    if error is None:
        to = site.links.item(part.item) if part.item and not part.is_of_many else site.links.overview
        return FormResult(to=to, said=said)
    if error.code == "plan-changed":
        return confirm(site, form, error.diagnostics())
    raise error


def stop(site: Site, _form: Mapping[str, str]) -> FormResult:
    """Stop the apply that a page started. The apply then submits nothing more."""
    site.runner.stop()
    return FormResult(to=site.links.run, said="Asked to stop: nothing more is submitted, and what runs is collected.")


def send(site: Site, form: Mapping[str, str]) -> FormResult | PageContent:
    """Commit the changes that the page showed, and push them if the person chose a button that pushes."""
    how, project = _named(form, "how"), site.project()
    options = structs.replace(
        SENDING, shown=_named(form, "tree"), push=how != "commit", direct=how == "push", apart=how == "pull-request"
    )
    try:
        done = commit_results(project, options, pause=time.sleep, runtime=site.runtime)
    except Refused as error:
        if error.code != "commit-changed":
            raise
        return send_page(site, form, error.diagnostics())
    sent = Markup("Sent: {} as <code>{}</code>, on <code>{}</code>.")
    alone = Markup("Committed on this machine alone, so others do not see it: {} as <code>{}</code>.")
    said = (sent if done.branch else alone).format(plural(len(done.files), "file"), done.commit[:9], done.branch)
    if not done.files:
        said = Markup("There was nothing to send.")
    elif done.why:
        page = pull_request_page(project, done)
        way = Markup(' <a href="{}">Open its pull request</a>') if page else Markup(" Open a pull request for it.")
        said += way.format(page)
    if done.files and (why := notify(site.review.snapshot(), done, site.person, partial(owner, site), site.runtime)):
        said += Markup(" The program of <code>review.notify</code> failed: {}.").format(coded(why))
    return FormResult(to=site.links.today, said=said, at="title")


def _part(site: Site, form: Mapping[str, str]) -> PlanPart:
    """Return the part of the plan that a form names, such as all free changes, and the ids of its items.

    Raises UsageError.
    """
    part = part_of(form.get("action", ""), form.get("id", ""), form.get("heading", ""))
    if part.action not in (PartAction.CAUSE, PartAction.FREE):
        return part
    plan = site.review.snapshot().plan
    groups = [{change.id for change in group.changes} for group in cause_groups(plan)] if plan is not None else []
    ids = next((group for group in groups if part.item in group), set())
    if part.action is PartAction.FREE and plan is not None:
        ids = {change.id for change in plan.changes if not change.submits_worst}
    return structs.replace(part, ids=frozenset(ids))


def _named(form: Mapping[str, str], field: str) -> str:
    """Return the value of a required form field. Raises UsageError if it is missing or empty."""
    if not (value := form.get(field, "").strip()):
        raise UsageError(f"the form has no `{field}`", code="bad-form", hint="go back, and try again")
    return value


FORMS: Final[Mapping[str, Form]] = {
    "/approve": lambda site, form: decide(site, form, Verdict.APPROVED),
    "/send-back": lambda site, form: decide(site, form, Verdict.SENT_BACK),
    "/comment": comment,
    "/revise": revise,
    "/withdraw": withdraw,
    "/restore": restore,
    "/edit": save,
    "/draft": draft,
    "/preview": preview,
    "/resolve": resolve,
    "/apply": apply,
    "/stop": stop,
    "/send": send,
}
"""What each form does."""
