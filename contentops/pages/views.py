"""Makes most review pages: an item, the overview, the plan, the spending, a person's day and a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from markupsafe import Markup
from msgspec import Struct, structs
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from contentops.digest import NOTHING, Digest
from contentops.documents.blocks import TextBlock, address_of
from contentops.documents.checks import refused_words
from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.documents.pictures import picture_path, pictures_in
from contentops.documents.word_diff import TextDiff, word_diff
from contentops.errors import ContentopsError, Diagnostic, FileChanged, Refused, plural
from contentops.model import Action, ApprovalState, Budget, Json, MonthSpend, Note, Plan, Project
from contentops.model.approval import Comment
from contentops.operations.apply import PartAction, PlanPart
from contentops.operations.approving import is_about
from contentops.operations.commit import CommitContents, CommitOptions, contents
from contentops.operations.plan import spent_this_month
from contentops.operations.review import ReviewDay, ReviewItem, ReviewState, Snapshot, review_day
from contentops.operations.spend import Spending, in_all_environments, spending
from contentops.operations.texts import (
    DraftKind,
    ItemTexts,
    ItemVersion,
    TextEdit,
    TextVersion,
    TypedDraft,
    draft_of,
    from_remote,
    item_texts,
    item_versions,
    protected,
    text_of_file,
)
from contentops.pages.lists import Chip, queue, whose
from contentops.pages.site import PageContent, Site, explained, macro, render
from contentops.planning.approval import draft_mark
from contentops.planning.guards import generation_words
from contentops.planning.sources import stage_coming
from contentops.reporting.next_change import Brief, NextChange, brief_of, next_change, value_words
from contentops.reporting.prose import Notes, ProsePart, SideRow, changed_words, prose, side_rows
from contentops.reporting.run import LiveRun
from contentops.reporting.spend import on_day
from contentops.sections import headings

# ---- Texts on pages: as they are, compared with another one, and in the form that edits them.

TitleAndBody = tuple[str, str]


class TextView(Struct, frozen=True, kw_only=True):
    """A text as a page shows it: without a comparison, or with its differences from another text."""

    parts: Sequence[ProsePart] = ()
    top: Sequence[Diagnostic] = ()
    """The findings that belong to no line of the text."""
    diff: TextDiff | None = None
    rows: Sequence[SideRow] = ()
    """Both texts side by side, if the person asked for this."""
    title: Markup | None = None
    """The changes of the title, if it has changed."""
    problem: str = ""
    """Why there is no comparison."""
    lost: Sequence[Comment] = ()
    """The comments whose words are not in the text any more."""

    @property
    def edits(self) -> int:
        """Return the number of visible changes in the body and the title."""
        return (self.diff.edits if self.diff is not None else 0) + (self.title is not None)


def compared(old: TitleAndBody, new: TitleAndBody, notes: Notes = lambda _: (), *, fold: bool = True) -> TextView:
    """Compare two texts, and return the second text with its differences from the first."""
    diff = word_diff(old[1], new[1])
    title = changed_words(old[0], new[0]) if old[0] != new[0] else None
    return TextView(diff=diff, parts=prose(diff, notes=notes, fold=fold), title=title)


def sides_of(one: ReviewItem, texts: ItemTexts, now: float) -> list[tuple[str, str]]:
    """Return the other texts with which an item's text can be compared, the default first.

    Each is a pair: the text's name in page addresses, and its label.
    """
    sides: list[tuple[str, str]] = []
    if texts.approved is not None and (before := one.approved_before) is not None:
        sides.append(("approved", f"approved {on_day(before.at, now)}"))
    elif one.approved_before is None and not one.edited and texts.before is not None:
        sides.append((texts.before.short, "the text before it"))
    if one.record is not None and any(text.digest == one.record.generated for text in texts.earlier):
        sides.append(("generated", "as generated"))
    if one.record is not None and one.record.content_id:
        sides.append(("server", "on the server"))
    return sides


def text_view(one: ReviewItem, now: TextVersion, comments: Sequence[Comment]) -> TextView:
    """Return a text with marks on words that fail a check, and with each comment below its passage."""
    notes = _Notes(one, now.first_line, comments)
    marks = refused_words(one.spec.checks, now.title, now.body) if one.spec is not None and one.findings else ()
    return TextView(
        parts=prose(word_diff(now.body, now.body), notes=notes.under, marks=marks), top=notes.rest, lost=notes.lost
    )


def as_readers_see(site: Site, one: ReviewItem, body: str) -> Sequence[ProsePart]:
    """Return a text as readers of the website see it, with its pictures."""
    saved, root = text_of_file(site.project(), one.file.path), site.project().root
    named = pictures_in(saved.body) if saved is not None else frozenset()

    def shows(address: str) -> str:
        is_here = address in named and picture_path(root, one.file.path, address)
        return site.links.to("/picture", id=one.id, name=address) if is_here else ""

    return prose(word_diff(body, body), shows=shows)


def on_site(project: Project, one: ReviewItem) -> str:
    """Return the address of a text in the preview of the website, or an empty text without a preview."""
    path = address_of(project.preset, one.output, one.file.front) or one.output.rpartition(".")[0]
    return project.review.preview.replace("{path}", quote(path.lstrip("/")))


def beside_source(snapshot: Snapshot, one: ReviewItem, source: ReviewItem) -> TextView:
    """Return a text side by side with its source. Marks show what changed in the source later."""
    made_from = one.record.sources if one.record is not None else {}
    then = next((made_from[id_] for id_ in source.ids if id_ in made_from), NOTHING)
    texts = item_texts(snapshot.project, source.id, source.file.path, None, snapshot.known)
    body = texts.now.body if texts.now is not None else ""
    before = texts.find(then) if then not in (NOTHING, source.text) else texts.now
    own = text_of_file(snapshot.project, one.file.path)
    diff, beside = word_diff(before.body if before is not None else body, body), own.body if own is not None else ""
    return TextView(diff=diff, rows=side_rows(diff, word_diff(beside, beside)), problem="" if before else _UNMARKED)


_UNMARKED: Final = "the words that it was made from are not on this machine, so what changed since is not marked"


def changes_view(
    site: Site, one: ReviewItem, texts: ItemTexts, against: str, *, unfold: bool, beside: bool
) -> TextView:
    """Return an item's text compared with another text.

    `against` names the other text: by its name in `sides_of`, or by the start of its digest.
    """
    assert texts.now is not None
    try:
        old = _other(site, one, texts, against)
    except ContentopsError as error:
        return TextView(problem=f"{error.message}; {error.hint}" if error.hint else error.message)
    notes = _Notes(one, texts.now.first_line)
    # A text without a title is compared by its body alone.
    new = (texts.now.title, texts.now.body)
    view = compared((old.title or new[0], old.body), new, notes.under, fold=not unfold)
    rows = side_rows(view.diff) if beside and view.diff is not None else ()
    return structs.replace(view, top=notes.rest, rows=rows)


def _other(site: Site, one: ReviewItem, texts: ItemTexts, against: str) -> TextVersion:
    """Return the other text, with which an item's text is compared. Raises ContentopsError if it is not available."""
    if against == "approved" and texts.approved is not None:
        return texts.approved
    if against == "server":
        stored = from_remote(site.project(), one.id, runtime=site.runtime)
        title = str(stored.front.get("title", ("", ""))[0] or "")
        return TextVersion(title=title, body=stored.before or "", digest=NOTHING)
    return texts.named(one.record.generated if against == "generated" and one.record is not None else against)


class _Notes:
    """Places each finding and each comment below the block of the text that it is about.

    A finding that belongs to no block is shown above the text, and such a comment below the text.
    """

    def __init__(self, one: ReviewItem, first_line: int, comments: Sequence[Comment] = ()) -> None:
        self.rest, self.lost = list(one.findings), list(comments)
        self._item, self._first = one.id, first_line

    def under(self, block: TextBlock) -> Iterator[Markup]:
        start, end = block.line + self._first, block.end + self._first
        for each in [one for one in self.rest if one.location is not None and start <= one.location.line < end]:
            self.rest.remove(each)
            yield macro("note", each, self._item)
        for comment in [one for one in self.lost if is_about(block, one.quote)]:
            self.lost.remove(comment)
            yield macro("comment", comment)


# --- the form of an edit -----------------------------------------------------------------------------------


class EditView(Struct, frozen=True, kw_only=True):
    """The form in which a person edits a text."""

    item: ReviewItem
    typed: TextEdit
    was: tuple[str, str]
    """The title and the body as they were when the page was opened."""
    kept: str = ""
    """The time at which the typed words were stored as a draft; empty if they were not stored."""
    problem: Sequence[Diagnostic] = ()
    """Why it was not saved."""
    preview: Sequence[ProsePart] = ()
    """The typed text as readers see it."""
    mine: TextView | None = None
    """The person's changes, if the file has changed meanwhile; `theirs` then has the changes in the file."""
    theirs: TextView | None = None
    now: TextVersion | None = None


def edit(site: Site, query: Mapping[str, str]) -> PageContent:
    """Return the form in which a person edits a text.

    Raises Refused if the item is protected or has no text.
    """
    one = site.review.snapshot().item(query.get("id", ""))
    if one.protected:
        raise protected(one.id)
    text = text_of_file(site.project(), one.file.path)
    if text is None or one.record is None:
        message = one.file.problem or f"`{one.id}` has no text that can be edited"
        raise Refused(message, code="not-edited", hint="see `contentops plan`")
    draft = draft_of(site.project(), one.ids, DraftKind.EDIT)
    if draft.at and draft.words["file"] != one.file.file:
        error = FileChanged(f"`{one.output}` changed after this draft", hint="copy what you want from the other text")
        return structs.replace(not_saved(site, {**draft.words, "id": one.id}, error, draft.at), status=200)
    typed = TextEdit(title=text.title, body=text.body, expect=one.file.file)
    typed = edit_of(draft.words) if draft.at else typed
    preview = as_readers_see(site, one, typed.body)
    return _page(EditView(item=one, typed=typed, was=(text.title, text.body), kept=draft.at, preview=preview))


def preview(site: Site, form: Mapping[str, str]) -> PageContent:
    """Return the edit form with the typed words and their preview. Nothing is saved."""
    one, typed = site.review.snapshot().item(form.get("id", "")), edit_of(form)
    was, kept = (form.get("was_title", ""), form.get("was", "")), draft_of(site.project(), one.ids, DraftKind.EDIT).at
    shown = as_readers_see(site, one, typed.body)
    return _page(EditView(item=one, typed=typed, was=was, kept=kept, preview=shown))


def edit_of(form: Mapping[str, str]) -> TextEdit:
    """Return the edit that a form contains: title, body, and the digest that the file had before the edit."""
    return TextEdit(title=form.get("title", ""), body=form.get("body", ""), expect=Digest(form.get("file", "")))


def not_saved(site: Site, form: Mapping[str, str], error: ContentopsError, kept: str = "") -> PageContent:
    """Return the edit form with the typed words and the error. It also shows the text of a changed file."""
    one, typed = site.review.snapshot().item(form.get("id", "")), edit_of(form)
    was = form.get("was_title", ""), form.get("was", "")
    view = EditView(item=one, typed=typed, was=was, kept=kept, problem=explained(error))
    now = text_of_file(site.project(), one.file.path) if isinstance(error, FileChanged) else None
    if now is not None:
        view = structs.replace(
            view,
            typed=structs.replace(typed, expect=one.file.file),
            mine=compared(was, (typed.title, typed.body)),
            theirs=compared(was, (now.title, now.body)),
            now=now,
        )
    return _page(view, status=409)


def _page(view: EditView, status: int = 200) -> PageContent:
    return PageContent(template="edit.html", title=f"Edit: {view.item.title}", tab="items", model=view, status=status)


class RestoreView(Struct, frozen=True, kw_only=True):
    """An earlier text of an item, and the changes in the file if it is restored."""

    item: ReviewItem
    to: str
    at: str
    change: TextView
    problem: Sequence[Diagnostic] = ()


def restore(site: Site, query: Mapping[str, str], problem: Sequence[Diagnostic] = ()) -> PageContent:
    """Return the page that shows how restoring an earlier text would change the file."""
    snapshot = site.review.snapshot()
    one, to = snapshot.item(query.get("id", "")), query.get("to", "")
    texts = item_texts(snapshot.project, one.id, one.file.path, None, snapshot.known)
    earlier, now = texts.named(to), (one.file.title, texts.now.body if texts.now is not None else "")
    # The text of a job comes without a title.
    is_paid = to != earlier.text and any(each.job.body == earlier.digest for each in texts.history.texts)
    change = compared(now, (now[0] if is_paid else earlier.title, earlier.body))
    at = next((each.at for each in item_versions(one, texts) if each.named == to), earlier.at)
    view = RestoreView(item=one, to=to, at=at, change=change, problem=problem)
    status = 409 if problem else 200
    return PageContent(template="restore.html", title=one.title, tab="items", model=view, status=status)


# ---- The page of one item: its text, what changed in it, its brief, its history, and what is to be decided.

_NO_DRAFT: Final = TypedDraft(words={"quote": "", "note": ""})
_LONGEST_LIST: Final = 500
"""Characters of the query of a list."""
_DIGITS: Final = 6


class ItemView(Struct, frozen=True, kw_only=True):
    """The data of an item's page."""

    item: ReviewItem
    listed: str
    """The query of the list that the person came from; empty if it was the list of texts to read."""
    count: str
    """The number of decisions that were made since then."""
    place: str
    """The position of the item in its list: `Text 1 of 9 to read`."""
    following: ReviewItem
    """The next item in the list, or the item itself if there is no other."""
    preceding: ReviewItem
    """The item before it in the list."""
    planned: NextChange | None
    brief: Brief
    first: str
    """The name of the view that is shown by default."""
    view: str
    """`text` or `changes`."""
    against: str
    sides: Sequence[tuple[str, str]]
    """The texts to compare with, each as its name and its label."""
    shown: TextView
    history: Sequence[ItemVersion]
    marks: Mapping[str, object]
    """The draft mark, which an approval removes."""
    front: Sequence[tuple[str, str, str]]
    """The key, the value and the next change of each front matter entry."""
    choices: Sequence[PlanPart]
    """The actions that a person can choose if the item is blocked."""
    is_stale: bool
    price: str
    """The price of a new text, in words."""
    sections: Sequence[str]
    made_from: Sequence[ReviewItem]
    """The sources of the item that have a text."""
    on_site: str
    """The address of the text on this machine's preview of its site, or empty."""
    notes: Sequence[Note] = ()
    """The notes of the plan about the item."""
    problem: Sequence[Diagnostic] = ()
    """Why a decision was not recorded."""
    said: str = ""
    """The decision that was not recorded, such as `approved`."""
    changed: TextView | None = None
    """What changed in the text since the person opened the page."""
    note: TypedDraft
    """The note that was typed."""
    remark: TypedDraft
    """The comment that was typed."""
    edited_at: str
    """The time at which the draft of an edit was stored; empty if there is none."""
    comments: int = 0
    """The number of comments on exactly this text."""


def not_decided(site: Site, form: Mapping[str, str], said: str, error: ContentopsError) -> PageContent:
    """Return an item's page that shows why a decision was not recorded. The page keeps the typed note."""
    seen = site.seen.get(form.get("text", ""))
    page = item(site, {name: form.get(name, "") for name in ("id", "list", "count")})
    assert isinstance(page.model, ItemView)
    one, changed = page.model.item, None
    now = text_of_file(site.project(), one.file.path) if seen is not None and one.text != form.get("text") else None
    if seen is not None and now is not None:
        changed = compared(seen, (now.title, now.body))
    typed = {name: form[name] for name in ("quote", "note") if name in form}
    drafts = {"remark" if "quote" in form else "note": TypedDraft(words={"note": "", **typed})} if typed else {}
    model = structs.replace(page.model, problem=explained(error), said=said, changed=changed, **drafts)
    return structs.replace(page, model=model, status=409)


def item(site: Site, query: Mapping[str, str]) -> PageContent:
    """Return an item's page. The query fields `view`, `against` and `unfold` choose how its text is shown."""
    snapshot = site.review.snapshot()
    project, one = snapshot.project, snapshot.item(query.get("id", ""))
    texts = item_texts(project, one.id, one.file.path, one.approved_before, snapshot.known)
    now, before = texts.now, one.approved_before
    if one.text and now is not None and not site.static:
        site.seen.keep(one.text, (one.file.title, now.body))
    is_changed = before is not None or (one.state is ReviewState.BLOCKED and one.edited)
    first = "changes" if is_changed and now is not None and texts.earlier else "text"
    view = query.get("view") or first
    sides = sides_of(one, texts, site.runtime.wall())
    if site.static:
        # No page that is a file asks the server, and texts as they were made have no second file.
        sides = [side for side in sides if side[0] != "server" and (one.edited or before is not None)]
    against = query.get("against") or (sides[0][0] if sides else "")
    made_from = [snapshot.by_id[id_] for id_ in one.sources if id_ in snapshot.by_id and snapshot.by_id[id_].text]
    shown = TextView()
    if now is not None and view == "changes":
        shown = changes_view(site, one, texts, against, unfold="unfold" in query, beside="beside" in query)
    elif now is not None and view == "source" and made_from:
        source = next((each for each in made_from if each.id == against), made_from[0])
        sides, against = [(each.id, each.title) for each in made_from], source.id
        shown = beside_source(snapshot, one, source)
    elif now is not None and view == "preview":
        shown = TextView(parts=as_readers_see(site, one, now.body))
    elif now is not None:
        shown = text_view(one, now, snapshot.known.approvals.comments_on(one.text, one.ids))
    listed = query.get("list", "")[:_LONGEST_LIST]
    place, preceding, following = _beside(site, snapshot, one, listed)
    drafts = {kind: _NO_DRAFT if site.static else draft_of(project, one.ids, kind) for kind in DraftKind}
    marks, change = _marks(project, one), one.change
    ways = _WAYS.get(change.blocked or change.action.value, ()) if change is not None and one.spec is not None else ()
    model = ItemView(
        item=one,
        listed=listed,
        count=query.get("count", "")[:_DIGITS],
        place=place,
        following=following,
        preceding=preceding,
        planned=next_change(one.change, project.option)
        if one.change and one.change.action is not Action.NONE
        else None,
        brief=brief_of(one.spec.request.as_json() if one.spec else one.record.request if one.record else {}),
        first=first,
        view=view,
        against=against,
        sides=sides,
        shown=shown,
        history=item_versions(one, texts),
        marks=marks,
        front=[*_front(one, marks)],
        note=drafts[DraftKind.NOTE],
        remark=drafts[DraftKind.COMMENT],
        edited_at=drafts[DraftKind.EDIT].at,
        comments=len(snapshot.known.approvals.comments_on(one.text)),
        choices=[PlanPart(action=action, item=one.id) for action in ways],
        is_stale=_is_stale(one, made_from),
        price=generation_words([one.spec] if one.spec is not None else [], project),
        notes=[note for note in snapshot.plan.notes if note.id == one.id] if snapshot.plan is not None else (),
        on_site=on_site(project, one),
        made_from=made_from,
        sections=headings(now.body)[:100] if now is not None and one.spec and one.record else (),
    )
    return PageContent(template="item.html", title=one.title, tab="items", model=model)


def after(items: Sequence[ReviewItem], id_: str) -> tuple[ReviewItem, ...]:
    """Return all other items of a list: first those after the given item, then those before it."""
    at = next((at for at, each in enumerate(items) if each.id == id_), 0)
    return tuple(each for each in (*items[at:], *items[:at]) if each.id != id_)


def _beside(site: Site, snapshot: Snapshot, one: ReviewItem, listed: str) -> tuple[str, ReviewItem, ReviewItem]:
    """Return an item's position in the list that the person reads, and the items before and after this item."""
    for items, name in (
        (queue(site, snapshot, listed) if listed else (), "Text {:,} of {:,} in the list"),
        (snapshot.to_read, "Text {:,} of {:,} to read"),
        (snapshot.to_choose, "Needs a choice: {:,} of {:,}"),
    ):
        if one in items:
            at = items.index(one) + 1
            return name.format(at, len(items)), items[at - 2], items[at % len(items)]
    return "", one, next(iter(snapshot.to_read), one)


def _is_stale(one: ReviewItem, made_from: Sequence[ReviewItem]) -> bool:
    """Return whether a text is outdated after a change of its source, and the next apply does not update it."""
    is_known = one.word == "stale" and one.spec is not None and not any(each.wait for each in one.spec.references)
    return is_known and all(stage_coming(each.change) is None for each in (one, *made_from))


_WAYS: Final[Mapping[str, tuple[PartAction, ...]]] = {
    "edited": (PartAction.KEEP, PartAction.MERGE, PartAction.TAKE),
    "no-merge-base": (PartAction.KEEP, PartAction.TAKE),
    "unmergeable": (PartAction.KEEP, PartAction.TAKE),
    "emptied": (PartAction.TAKE,),
    "missing": (PartAction.TAKE,),
    "stale-source": (PartAction.ACCEPT, PartAction.REPLACE),
    Action.RESOLVE.value: (PartAction.APPLY,),
}
"""The actions that a person can choose, by the reason why an item is blocked."""


def _marks(project: Project, one: ReviewItem) -> Mapping[str, object]:
    """Return the draft mark that an approval would remove from the front matter, if there is one."""
    is_open = one.spec is not None and one.spec.approval.required and one.approval is not ApprovalState.APPROVED
    return {key: mark for key, mark in draft_mark(project.preset).items() if is_open and key in one.file.front}


def _front(one: ReviewItem, marks: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield each front matter key with its value and its planned change."""
    now = {**({"title": one.file.title} if one.file.title else {}), **one.file.front}
    front = one.change.front if one.change is not None else {}
    planned = {key: value for key, value in front.items() if key != PROVENANCE_KEY}
    for key in dict.fromkeys((*now, *planned)):
        then, after = "deleted by the approval" if key in marks else "", planned.get(key)
        if after is not None:
            then = f"the next apply writes {_yaml(after)}"
        elif key in planned:
            then = "the next apply removes it"
        if key in now or after is not None:
            yield key, _yaml(now[key]) if key in now else "", then


def _yaml(value: Json) -> str:
    """Return a front matter value as short text, in the way a person would write it."""
    return str(value).lower() if isinstance(value, bool) else value_words(value)


# ---- The overview: what waits for whom, and what it costs; the plan; and what was spent.


class OverviewPage(Struct, frozen=True):
    """The data of the overview: the items that wait for a person."""

    snapshot: Snapshot
    open: Sequence[ReviewItem]
    """The items that wait for someone."""
    chips: Sequence[Chip]
    """Filter links for the waiting items, by owner and by language."""


def overview(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the overview, which shows the items that need a person, and the cost."""
    snapshot = site.review.snapshot()
    if all(item.state is ReviewState.NO_TEXT for item in snapshot.items):
        return PageContent(template="empty.html", title="No texts yet", tab="overview", model=snapshot)
    count = len(snapshot.to_read)
    title = f"{plural(count, 'text')} {'waits' if count == 1 else 'wait'} for a reader"
    title = title if count else "Nothing waits for a reader"
    open_ = (*snapshot.to_read, *snapshot.to_choose, *snapshot.sent_back)
    view = OverviewPage(snapshot, open_, whose(site, open_))
    return PageContent(template="overview.html", title=title, tab="overview", model=view)


class PlanView(Struct, frozen=True):
    """A plan, and the findings in the manifests. If the manifests have errors, there is no plan."""

    plan: Plan | None
    findings: tuple[Diagnostic, ...]


def plan(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the page with the changes that an apply would make now."""
    snapshot = site.review.snapshot()
    return plan_page(site, PlanView(snapshot.plan, snapshot.findings))


def plan_page(site: Site, view: PlanView) -> PageContent:
    """Return the page that shows a given plan."""
    return PageContent(template="plan.html", title=f"Plan of {site.name}", tab="plan", model=view)


class SpendView(Struct, frozen=True):
    """The spending of the project, its budget, and the spending of this month."""

    found: Spending
    budget: Budget
    month: MonthSpend | None
    """None without a budget."""


def spend(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the page that shows the cost of all texts in all environments."""
    project, snapshot = site.project(), site.review.snapshot()
    projects = in_all_environments(project)
    if snapshot.plan is None or [one.environment for one in projects] != [project.environment]:
        found = spending(projects)
    else:
        # The snapshot has counted this environment, and there is no other one.
        found = Spending(spend=snapshot.spend)
    view = SpendView(found, project.budget, spent_this_month(project, site.runtime))
    return PageContent(template="spend.html", title=f"Spend of {project.name}", tab="spend", model=view)


# ---- The page of the day: what was decided, edited and spent today, and what is sent.


class DayView(Struct, frozen=True, kw_only=True):
    """The data of the page *Today*: the person's decisions of this day, and what is left to do."""

    day: ReviewDay
    snapshot: Snapshot


def today(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the page *Today* with the person's decisions. The page also follows the last text of a list."""
    snapshot = site.review.snapshot()
    day = review_day(snapshot, site.person, site.runtime)
    count = len(day.verdicts)
    title = f"You decided about {plural(count, 'text')} today" if count else "Nothing decided yet today"
    return PageContent(template="today.html", title=title, tab="today", model=DayView(day=day, snapshot=snapshot))


SENDING: Final = CommitOptions(edits=True, skip=False)
"""The options of a commit from the pages: it includes people's edits, and workflows run for it."""


class SendView(Struct, frozen=True, kw_only=True):
    """The files and changes that a commit would contain."""

    found: CommitContents
    problem: Sequence[Diagnostic] = ()
    """Why nothing was sent."""


def send(site: Site, _query: Mapping[str, str], problem: Sequence[Diagnostic] = ()) -> PageContent:
    """Return the page that shows what a commit would contain. Raises the exceptions of `contents`."""
    view = SendView(found=contents(site.project(), SENDING, runtime=site.runtime), problem=problem)
    status = 409 if problem else 200
    return PageContent(template="send.html", title="Send my work", tab="today", model=view, status=status)


# ---- The page of a run, which shows what happens in an apply wherever it was started.

PAUSE = 0.5
"""Seconds between two looks at the events of a run."""
ALIVE = 15.0
"""Seconds after which a comment is sent, so that a connection that is gone is noticed."""


class RunPage(Struct, frozen=True, kw_only=True):
    """The data of the run page: a running or finished run, and the result of the last task from a page."""

    run: LiveRun | None = None
    known: Mapping[str, ReviewItem] = {}
    to_read: Sequence[ReviewItem] = ()
    """The texts that wait for a reader, once the run is over."""
    said: str = ""
    error: ContentopsError | None = None

    @property
    def title(self) -> str:
        """Return the title of the page, which says whether a run is running, done or stopped."""
        if self.run is None:
            return "No run"
        if self.run.working:
            return "An apply is running" if self.run.started_at else "A command is running"
        return "The last run" if self.run.ended else "The last run was stopped"


def run(site: Site, _query: Mapping[str, str]) -> PageContent:
    """Return the page of the running apply, or of the last apply if none is running."""
    return _content(_last_run(site))


def _last_run(site: Site) -> RunPage:
    found, task = site.runs.read(site.project()), site.runner.task
    # A run changes files all the time: their titles are not worth a look at all of them.
    by_id = (site.review.latest or site.review.snapshot()).by_id
    known = {one.id: by_id[one.id] for one in (found.items if found else ()) if one.id in by_id}
    is_over = site.runner.is_idle and not (found is not None and found.working)
    to_read = site.review.snapshot().to_read if is_over else ()
    if task is None or not task.is_done():
        return RunPage(run=found, known=known, to_read=to_read)
    return RunPage(run=found, known=known, to_read=to_read, said=task.said, error=task.error)


def _content(view: RunPage) -> PageContent:
    return PageContent(template="run.html", title=view.title, tab="run", model=view)


async def events(site: Site, _: Request) -> StreamingResponse:
    """Send an update of the run page after each change, until the run ends or the browser disconnects."""
    return StreamingResponse(stream(site), media_type="text/event-stream")


async def stream(site: Site) -> AsyncIterator[str]:
    """Yield server-sent events with the HTML of the changing part of the run page. The last event is `end`."""
    sent, quiet = "", 0.0
    while not site.closing.is_set():
        html, working = await run_in_threadpool(_moving_part, site)
        if html != sent:
            sent, quiet = html, 0.0
            yield f"data: {json.dumps(html)}\n\n"
        elif quiet >= ALIVE:
            quiet = 0.0
            yield ": \n\n"
        if not working:
            # A browser that loses the stream asks again, unless it gets this answer.
            yield "event: end\ndata: \n\n"
            return
        await asyncio.sleep(PAUSE)
        quiet += PAUSE


def _moving_part(site: Site) -> tuple[str, bool]:
    """Return the HTML of the changing part of the run page, and whether the run continues."""
    try:
        view = _last_run(site)
    except ContentopsError as error:
        view = RunPage(error=error)
    working = (view.run is not None and view.run.working) or not site.runner.is_idle
    return render(site, _content(view), block="live"), working
