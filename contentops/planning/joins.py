"""Two people's edits of one text, here and in WriterzRoom: brought together, or kept apart for a person to settle."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from contentops.documents.clean import title_digest
from contentops.documents.merge import Merged, merge_edits, merge_keys, take_new
from contentops.errors import plural
from contentops.model import Acknowledge, Action, Fetch, OnEdit, Reason
from contentops.planning.edits import BodyAnswer, block, is_strict, merging, no_base, on_edit, why_not_merged

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import ItemId, OpenEntry, Remote
    from contentops.planning.inputs import ItemSides

CONFLICT = "edit-conflict"
"""The reason an item is held back for whose two edits meet in one place."""


class Joined(NamedTuple):
    """What became of two edits."""

    text: Merged
    title: str
    conflicts: bool
    """Whether a person has to settle something: of the text, or which title it has."""


def joined(item: ItemSides, remote: Remote) -> Joined | None:
    """Both edits in one; None where the text that was saved, or one of them, is not at hand."""
    record, inputs = item.own, item.inputs
    assert record is not None
    saved = record.saved
    base = inputs.text(saved.body) if saved is not None and saved.body else None
    theirs = inputs.text(remote.body)
    if saved is None or base is None or theirs is None:
        return None
    text = merge_edits(base, inputs.read(item.file.path), theirs)
    was = item.title if title_digest(item.title) == saved.title else record.title
    there = remote.title or was
    if title_digest(there) in (saved.title, saved.server_title):
        there = was
    titles, both = merge_keys({"title": was}, {"title": item.title}, {"title": there})
    return Joined(text, titles["title"], text.body is None or bool(both))


def join(item: ItemSides, remote: Remote, reasons: tuple[Reason, ...], entry: OpenEntry | None = None) -> BodyAnswer:
    """What becomes of an edit here and one there: one text, under which a new one comes where that was asked for."""
    record = item.own
    assert record is not None
    found = joined(item, remote)
    if found is None:
        what = f"what was saved of `{item.file.path}`"
        return no_base(item, what, reasons, entry, known=bool(record.saved and record.saved.body))
    fetch = Fetch(digest=record.digest, remote=remote)
    if found.conflicts:
        reasons = (*reasons, *_conflicts(found))
        if item.inputs.choice.markers and found.text.body is None and found.text.conflicts:
            return BodyAnswer(action=Action.MERGE, steps=(fetch,), reasons=reasons, joins=remote, marks=True)
        return block(CONFLICT, _hint(item, remote), reasons=reasons, entry=entry)
    if not item.is_same and on_edit(item) is OnEdit.MERGE:
        answer = merging(item, reasons, entry, edited=found.text.body)
        return answer if answer.blocked else BodyAnswer(reasons=answer.reasons, merges=answer.merges, joins=remote)
    steps = (fetch,) if item.is_same else (fetch, Acknowledge(accepts=True))
    return BodyAnswer(action=Action.MERGE, steps=steps, reasons=reasons, joins=remote)


def _conflicts(found: Joined) -> tuple[Reason, ...]:
    titles = (Reason(kind="conflict", field="title", detail="both titles were changed"),) if found.text.body else ()
    places = len(found.text.conflicts)
    detail = f"both edits meet in {plural(places, 'place')}"
    text = (Reason(kind="conflict", field="text", after=places, detail=detail),)
    return titles or text


def conflict_folder(environment: str, id_: ItemId) -> str:
    """Where both texts of a conflict are kept, in the folder of contentops: of each environment its own."""
    return "/".join(part for part in ("conflicts", environment, id_) if part)


def _hint(item: ItemSides, remote: Remote) -> str:
    id_ = item.spec.id
    folder = conflict_folder(item.inputs.project.environment, id_)
    return (
        f"`{item.file.path}` and content `{remote.content_id}` were both edited, in one place; "
        f"`contentops diff {id_} --remote` shows both; apply keeps what was saved and both edits under "
        f"`.contentops/{folder}`; `apply --refresh --conflicts markers` writes both into the file, for a "
        "person to settle"
    )


def title_after(item: ItemSides, body: BodyAnswer) -> str:
    """The title of the file once another's edit is in it."""
    found = joined(item, body.joins) if body.joins is not None else None
    return item.title if found is None or body.marks else found.title


def edited_text(item: ItemSides, body: BodyAnswer) -> str:
    """The text of the file as people left it, with the edit made in WriterzRoom where that comes into it."""
    found = joined(item, body.joins) if body.joins is not None else None
    return item.inputs.read(item.file.path) if found is None or found.text.body is None else found.text.body


def merge_trouble(item: ItemSides, words: BodyAnswer, new: Digest, entry: OpenEntry | None = None) -> BodyAnswer | None:
    """What holds back a merge with a text that is here already; None: nothing, or that is not known yet."""
    if not words.merges or (text := item.inputs.text(new)) is None:
        return None
    found = take_new(item.inputs.text(words.merges) or "", edited_text(item, words), text)
    trouble = why_not_merged(item.spec.id, found, strict=is_strict(item))
    return None if trouble is None else block(*trouble, reasons=words.reasons, entry=entry)
