"""The page of one item: its text, what changed in it, its brief, its history, and what is to be decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.errors import ContentopsError, Diagnostic
from contentops.model import Action, ApprovalState, Json, Note, Project
from contentops.operations.apply_part import PartAction, PlanPart
from contentops.operations.review import ReviewItem, ReviewState, Snapshot
from contentops.operations.texts.item_events import ItemEvent, item_events
from contentops.operations.texts.item_texts import item_texts, text_of_file
from contentops.pages.items import queue
from contentops.pages.site import PageContent, Site, explained
from contentops.pages.texts import TextView, changes_view, compared, sides_of, text_view
from contentops.planning.approval import draft_mark
from contentops.planning.model_price import generation_words
from contentops.reporting.brief import Brief, brief_of, value_words
from contentops.reporting.next_change import NextChange, next_change
from contentops.sections import headings

_LONGEST: Final = 500
"""Characters of the query of a list."""
_DIGITS: Final = 6


class ItemView(Struct, frozen=True, kw_only=True):
    """The page of an item."""

    item: ReviewItem
    listed: str
    """The query of the list that the person came from; empty: of the texts to read."""
    count: str
    """How many decisions were made since then."""
    place: str
    """Where the item is among those that wait for a person: `Text 1 of 9 to read`."""
    following: ReviewItem
    """The next one that does; the item itself: there is none."""
    planned: NextChange | None
    brief: Brief
    first: str
    """The view that is shown unless another one is asked for."""
    view: str
    """`text` or `changes`."""
    against: str
    sides: Sequence[tuple[str, str]]
    """What the text can be compared with: name and words."""
    shown: TextView
    history: Sequence[ItemEvent]
    marks: Mapping[str, object]
    """The draft mark, which goes with an approval."""
    front: Sequence[tuple[str, str, str]]
    """Key, value, and what becomes of it."""
    choices: Sequence[PlanPart]
    """The ways on where nothing happens until someone chooses."""
    price: str
    """Of those that are not free."""
    sections: Sequence[str]
    notes: Sequence[Note] = ()
    """What the plan says of it beside its change."""
    problem: Sequence[Diagnostic] = ()
    """Why a decision was not recorded."""
    said: str = ""
    """What it would have been, such as `approved`."""
    changed: TextView | None = None
    """What changed in the text since the person opened the page."""
    note: str = ""
    """The note that was typed."""


def not_decided(site: Site, form: Mapping[str, str], said: str, error: ContentopsError) -> PageContent:
    """The page of the item as it is now, with the note that was typed and why nothing was recorded."""
    seen = site.seen.get(form.get("text", ""))
    page = item(site, {name: form.get(name, "") for name in ("id", "list", "count")})
    assert isinstance(page.model, ItemView)
    one, changed = page.model.item, None
    now = text_of_file(site.project(), one.file.path) if seen is not None and one.text != form.get("text") else None
    if seen is not None and now is not None:
        changed = compared(seen, (now.title, now.body))
    note = form.get("note", "")
    model = structs.replace(page.model, problem=explained(error), said=said, changed=changed, note=note)
    return structs.replace(page, model=model, status=409)


def item(site: Site, query: Mapping[str, str]) -> PageContent:
    """One item; `view`, `against` and `unfold` say what is shown of its text."""
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
    shown = TextView()
    if now is not None and view == "changes":
        shown = changes_view(site, one, texts, against, unfold="unfold" in query)
    elif now is not None:
        shown = text_view(one, now)
    listed = query.get("list", "")[:_LONGEST]
    place, following = _following(snapshot, one, listed)
    marks, change = _marks(project, one), one.change
    ways = _WAYS.get(change.blocked or change.action.value, ()) if change is not None and one.spec is not None else ()
    model = ItemView(
        item=one,
        listed=listed,
        count=query.get("count", "")[:_DIGITS],
        place=place,
        following=following,
        planned=next_change(one.change, project.option)
        if one.change and one.change.action is not Action.NONE
        else None,
        brief=brief_of(one.spec.request.as_json() if one.spec else one.record.request if one.record else {}),
        first=first,
        view=view,
        against=against,
        sides=sides,
        shown=shown,
        history=item_events(one, texts),
        marks=marks,
        front=[*_front(one, marks)],
        choices=[PlanPart(action=action, item=one.id) for action in ways],
        price=_price(one, project),
        notes=[note for note in snapshot.plan.notes if note.id == one.id] if snapshot.plan is not None else (),
        sections=headings(now.body)[:100] if now is not None and one.spec and one.record else (),
    )
    return PageContent(template="item.html", title=one.title, tab="items", model=model)


def after(items: Sequence[ReviewItem], id_: str) -> tuple[ReviewItem, ...]:
    """Return the other items of a list: those after an item, then those before it."""
    at = next((at for at, each in enumerate(items) if each.id == id_), 0)
    return tuple(each for each in (*items[at:], *items[:at]) if each.id != id_)


def _following(snapshot: Snapshot, one: ReviewItem, listed: str) -> tuple[str, ReviewItem]:
    for items, name in (
        (queue(snapshot, listed) if listed else (), "Text {:,} of {:,} in the list"),
        (snapshot.to_read, "Text {:,} of {:,} to read"),
        (snapshot.to_choose, "Needs a choice: {:,} of {:,}"),
    ):
        if one in items:
            at = items.index(one) + 1
            return name.format(at, len(items)), items[at % len(items)]
    return "", next(iter(snapshot.to_read), one)


_WAYS: Final[Mapping[str, tuple[PartAction, ...]]] = {
    "edited": (PartAction.KEEP, PartAction.MERGE, PartAction.TAKE),
    "no-merge-base": (PartAction.KEEP, PartAction.TAKE),
    "unmergeable": (PartAction.KEEP, PartAction.TAKE),
    "emptied": (PartAction.TAKE,),
    "missing": (PartAction.TAKE,),
    Action.RESOLVE.value: (PartAction.APPLY,),
}
"""The ways on by what stops an item."""


def _price(one: ReviewItem, project: Project) -> str:
    return generation_words([one.spec] if one.spec is not None else [], project)


def _marks(project: Project, one: ReviewItem) -> Mapping[str, object]:
    """Return what of the front matter goes with an approval."""
    is_open = one.spec is not None and one.spec.approval.required and one.approval is not ApprovalState.APPROVED
    return {key: mark for key, mark in draft_mark(project.preset).items() if is_open and key in one.file.front}


def _front(one: ReviewItem, marks: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of the front matter, their values, and what becomes of them."""
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
    """Return a value of front matter in a few words, as a person would write it there."""
    return str(value).lower() if isinstance(value, bool) else value_words(value)
