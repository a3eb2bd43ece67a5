"""The page of one item: its text, what changed in it, its brief, its history, and what is to be decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.digest import short
from contentops.documents.front_matter import PROVENANCE_KEY
from contentops.errors import Severity, plural, price
from contentops.model import Action, ApprovalState, Verdict
from contentops.operations.apply_part import PartAction, PlanPart
from contentops.operations.review import ReviewState
from contentops.operations.texts.item_events import ItemEvent, item_events
from contentops.operations.texts.item_texts import item_texts
from contentops.pages.badges import badges
from contentops.pages.site import PageContent
from contentops.pages.text_view import TextView, changes_view, sides_of, text_view
from contentops.planning.approval import draft_mark
from contentops.planning.plan_inputs import price_of
from contentops.reporting.brief import Brief, brief_of, value_words
from contentops.reporting.next_change import NextChange, next_change
from contentops.reporting.times import on_day
from contentops.sections import headings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contentops.model import Json, Project
    from contentops.operations.review import ReviewItem, Snapshot
    from contentops.pages.badges import Badge
    from contentops.pages.site import Site


class NextItem(Struct, frozen=True):
    """A text to read or choose before or after this one: what it is called, and where it is."""

    place: str = ""
    """`Text 1 of 9 to read`."""
    title: str = ""
    address: str = ""


class ItemChoice(Struct, frozen=True, kw_only=True):
    """One way on for an item that stops until someone chooses."""

    part: PlanPart
    label: str
    cost: str
    does: str
    command: str
    settles: bool = False


class ItemView(Struct, frozen=True, kw_only=True):
    """The page of an item."""

    item: ReviewItem
    badges: Sequence[Badge]
    text: str
    """The digest that an approval of this text is bound to; empty: there is no text."""
    short_text: str
    following: NextItem
    planned: NextChange | None
    brief: Brief
    is_new: bool
    """No one said anything of any of its texts."""
    first: str
    """The view that is shown unless another one is asked for."""
    view: str
    """`text` or `changes`."""
    against: str
    sides: Sequence[tuple[str, str]]
    """What the text can be compared with: name and words."""
    shown: TextView
    unfold: bool
    history: Sequence[ItemEvent]
    front: Sequence[tuple[str, str, str]]
    """Key, value, and what becomes of it."""
    state: str
    """Where the decision is: what was said and found, in a sentence or two."""
    choices: Sequence[ItemChoice]
    sections: Sequence[str]
    approve: str
    send_back: str
    goes: str
    """What follows from an approval besides its line."""


def item(site: Site, query: Mapping[str, str]) -> PageContent:
    """One item; `view`, `against` and `unfold` say what is shown of its text."""
    snapshot = site.review.snapshot()
    one = snapshot.item(query.get("id", ""))
    project, now = snapshot.project, site.runtime.wall()
    approval = one.approved_before
    texts = item_texts(project, one.id, one.file.path, approval, snapshot.known)
    is_changed = approval is not None or (one.state is ReviewState.BLOCKED and one.edited)
    first = "changes" if is_changed and texts.now and texts.earlier else "text"
    view = query.get("view") or first
    sides = sides_of(one, texts, now)
    if site.static:
        # No page that is a file asks the server, and texts as they were made have no second file.
        sides = [side for side in sides if side[0] != "server" and (one.edited or approval is not None)]
    against = query.get("against") or (sides[0][0] if sides else "")
    unfold = "unfold" in query
    shown = TextView()
    if texts.now is not None and view == "changes":
        shown = changes_view(site, one, texts, against, unfold=unfold)
    elif texts.now is not None:
        shown = text_view(one, texts.now)
    record_request = one.record.request if one.record is not None else {}
    request = one.spec.request.as_json() if one.spec is not None else record_request
    if one.text and texts.now is not None and not site.static:
        site.seen.keep(one.text, (one.file.title, texts.now.body))
    option = snapshot.plan.option if snapshot.plan is not None else ""
    model = ItemView(
        item=one,
        badges=badges(one),
        text=one.text,
        short_text=short(one.text)[:8],
        following=_following(site, snapshot, one),
        planned=next_change(one.change, option) if one.change and one.change.action is not Action.NONE else None,
        brief=brief_of(request),
        is_new=not one.verdicts and not one.earlier,
        first=first,
        view=view,
        against=against,
        sides=sides,
        shown=shown,
        unfold=unfold,
        history=item_events(one, texts),
        front=[*_front(project, one)],
        state=_state(one, now),
        choices=[*_choices(site, project, one)],
        sections=headings(texts.now.body)[:100] if texts.now and one.spec and one.record else (),
        approve=site.command("approve", one.id),
        send_back=site.command("send-back", one.id, "--note", "\u2026"),
        goes=_goes(project, one),
    )
    return PageContent(template="item.html", title=one.title, tab="items", model=model)


def _following(site: Site, snapshot: Snapshot, one: ReviewItem) -> NextItem:
    for items, name in (
        (snapshot.to_read, "Text {:,} of {:,} to read"),
        (snapshot.to_choose, "Needs a choice: {:,} of {:,}"),
    ):
        ids = [other.id for other in items]
        if one.id in ids:
            at = ids.index(one.id)
            place, after = name.format(at + 1, len(ids)), items[(at + 1) % len(ids)]
            break
    else:
        place, after = "", next(iter(snapshot.to_read), one)
    return NextItem(place) if after.id == one.id else NextItem(place, after.title, site.links.item(after.id))


# --- what is planned ---------------------------------------------------------------------------------------


def _choices(site: Site, project: Project, one: ReviewItem) -> Iterator[ItemChoice]:
    """The ways on for an item that stops until someone chooses; each but the free ones shows a price first."""
    if one.change is None or one.spec is None:
        return
    cost = price_of(one.spec, project.api.server)
    paid = price(cost.credits, cost.credits, at_most=cost.at_most) if cost.credits else "free"
    for action, label, words, is_paid in _WAYS.get(one.change.blocked or one.change.action.value, ()):
        part = PlanPart(action=action, item=one.id)
        yield ItemChoice(
            part=part,
            label=label,
            cost=paid if is_paid else "free",
            does=words,
            command=part.command(site.option, site.flags),
            settles=not is_paid,
        )


_COPIED: Final = "A new text replaces yours. Yours is copied to `.contentops/replaced/` first."
_KEEP: Final = (PartAction.KEEP, "Keep mine", "Your text stays and answers the new brief. Nothing is generated.", False)
_TAKE: Final = (PartAction.TAKE, "Take a new one\u2026", _COPIED, True)
_MERGE_WORDS: Final = (
    "A new text is made. The sections you edited stay as you left them; the others are the new text's."
)
_WAYS: Final[Mapping[str, tuple[tuple[PartAction, str, str, bool], ...]]] = {
    "edited": (_KEEP, (PartAction.MERGE, "Merge by section\u2026", _MERGE_WORDS, True), _TAKE),
    "no-merge-base": (_KEEP, _TAKE),
    "unmergeable": (_KEEP, _TAKE),
    "emptied": (_TAKE,),
    "missing": (_TAKE,),
    Action.RESOLVE.value: (
        (
            PartAction.APPLY,
            "Look it up",
            "Asks the server for the submit by its id, and finishes what it finds.",
            False,
        ),
        (
            PartAction.RESUBMIT,
            "Submit again\u2026",
            "If the lost submit arrived after all, the text is paid for a second time.",
            True,
        ),
    ),
}


def _goes(project: Project, one: ReviewItem) -> str:
    rule = one.spec.approval if one.spec is not None else None
    if rule is None or not rule.required:
        return ""
    marks = draft_mark(project.preset)
    return "The draft mark goes, for free." if marks.keys() & one.file.front.keys() else ""


def _state(one: ReviewItem, now: float) -> str:
    """What was said and found, in a sentence or two."""
    said: list[str] = []
    if one.state is ReviewState.APPROVED:
        names = [line.name for line in one.verdicts if line.verdict is Verdict.APPROVED]
        said.append(f"Approved by {' and '.join(names)} {on_day(one.verdicts[-1].at, now)}.")
    elif one.approval is ApprovalState.SENT_BACK:
        line = next(line for line in reversed(one.verdicts) if line.verdict is Verdict.SENT_BACK)
        said.append(f"Sent back by {line.name} {on_day(line.at, now)}: \u201c{line.note}\u201d")
    elif (before := one.approved_before) is not None:
        said.append(f"{before.name} approved an earlier text {on_day(before.at, now)}.")
    else:
        said.append("No one has approved this text yet.")
    wanted = one.spec.approval.count if one.spec is not None and one.spec.approval.required else 1
    given = sum(line.verdict is Verdict.APPROVED for line in one.verdicts)
    if wanted > 1 and given < wanted:
        said.append(f"{given} of {plural(wanted, 'approval')}.")
    fails = sum(finding.severity is Severity.ERROR for finding in one.findings)
    warns = len(one.findings) - fails
    said += [f"{plural(fails, 'check')} {'fails' if fails == 1 else 'fail'}."] if fails else []
    said += [f"{plural(warns, 'check')} {'warns' if warns == 1 else 'warn'}."] if warns else []
    return " ".join(said)


def _front(project: Project, one: ReviewItem) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of the front matter, their values, and what becomes of them."""
    change, is_required = one.change, one.spec is not None and one.spec.approval.required
    marks = draft_mark(project.preset) if is_required and one.approval is not ApprovalState.APPROVED else {}
    planned = {
        key: value for key, value in (change.front if change is not None else {}).items() if key != PROVENANCE_KEY
    }
    now = {**({"title": one.file.title} if one.file.title else {}), **one.file.front}
    for key in dict.fromkeys((*now, *planned)):
        value, after = now.get(key), planned.get(key)
        then = "goes with the approval" if key in marks and key in now else ""
        if key in planned and (key in now or after is not None):
            then = "the next apply removes it" if after is None else f"the next apply writes {_yaml(after)}"
        if key in now or then:
            yield key, "" if key not in now else _yaml(value), then


def _yaml(value: Json) -> str:
    """Return a value of front matter in a few words, as a person would write it there."""
    return str(value).lower() if isinstance(value, bool) else value_words(value)
