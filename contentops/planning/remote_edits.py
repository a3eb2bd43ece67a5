"""Edits made in WriterzRoom, as a refresh found them: noted, already in the file, or blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.documents.clean import title_digest
from contentops.documents.merge import Renewed, take_new
from contentops.model import Acknowledge, Action, MergeEdit, Note, OnEdit, Reason, Replace, Save, Saved
from contentops.planning.edits import (
    BodyAnswer,
    block,
    edit,
    edit_choice,
    emptied,
    is_emptied,
    on_edit,
    replaced_edit,
    why_not_merged,
)
from contentops.planning.renames import pair_renames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.digest import Digest
    from contentops.model import OpenEntry, Record, Remote
    from contentops.planning.plan_inputs import ItemSides, PlanInputs


EDITED = "edited-on-server"
"""The kind of reasons, notes and blocks about an edit in WriterzRoom."""


def edited_on_server(item: ItemSides, why: tuple[Reason, ...]) -> BodyAnswer | None:
    """The answer to an edit in WriterzRoom; None: there is none, or nothing is paid for or saved over it.

    Words written there are never merged: `contentops pull` writes them into the file.
    """
    if not item.is_edited_on_server:
        return None
    remote, choice = _remote(item), on_edit(item)
    if has_server_text(item, remote) and (item.is_same or choice is OnEdit.KEEP):
        detail = f"`{item.file.path}` has the same text as WriterzRoom"
        alike = Reason(kind="edited-alike", detail=detail)
        step = Acknowledge(accepts=not item.is_same, remote=remote)
        return BodyAnswer(action=Action.KEEP, steps=(step,), reasons=(*why, alike))
    if item.is_same or choice is OnEdit.OVERWRITE:
        return None
    reasons = (*why, *edit(item), _server_edit(item))
    if choice is OnEdit.KEEP:
        return BodyAnswer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    return block(EDITED, _way(item), reasons=reasons)


def protect_edits(item: ItemSides, why: tuple[Reason, ...], entry: OpenEntry | None = None) -> BodyAnswer | None:
    """The answer of `on_edit` to edits in the file or on the server; None: go on and overwrite."""
    answer = edited_on_server(item, why)
    if answer is None:
        return edit_choice(item, why, entry)
    return structs.replace(answer, entry=entry) if answer.blocked else answer


def replaced(item: ItemSides) -> tuple[Reason, ...]:
    """The reasons that the new text replaces edits in the file or on the server."""
    return (*replaced_edit(item), *_replaced_on_server(item))


def _replaced_on_server(item: ItemSides) -> tuple[Reason, ...]:
    return (_server_edit(item, ", and that text is replaced"),) if item.is_edited_on_server else ()


def overwriting(item: ItemSides, why: tuple[Reason, ...]) -> BodyAnswer:
    """The answer that overwrites the file, with the edits that it replaces as reasons."""
    return BodyAnswer(reasons=(*why, *replaced(item)), mode=Replace(over_edit=item.is_edited))


def known_on_server(item: ItemSides, body: BodyAnswer) -> Saved | None:
    """The text that the server has of an item before this change saves it; None: none."""
    record = item.own
    if record is None or record.saved is None or record.server != item.inputs.server:
        return None
    remote = _acknowledged(body)
    if remote is None and item.remote is not None and item.remote.recorded:
        remote = item.remote
    return record.saved if remote is None else as_saved(record, remote)


def as_saved(record: Record, remote: Remote) -> Saved:
    """A stored text as what was saved, where the file has the same words; a later stamp means a new edit."""
    before = record.saved or Saved()
    stored = title_digest(remote.title) if remote.title else before.title
    title = before.title if stored in before.titles else stored  # the server may have changed ours
    saved = Saved(title=title, body=remote.body, server_title=stored, server_body=remote.body, stamp=remote.stamp)
    return structs.replace(saved, published=before.published)


def _acknowledged(body: BodyAnswer) -> Remote | None:
    """The server's text that the file has already."""
    return next((step.remote for step in body.steps if isinstance(step, Acknowledge)), None)


def save_over(item: ItemSides, body: BodyAnswer) -> tuple[Save, tuple[Reason, ...]] | BodyAnswer:
    """The save, with the reasons for what it replaces on the server; or the answer that blocks it."""
    remote, path = item.remote, item.spec.output
    if is_emptied(item) and not body.writes:
        then = "remove the file, and a text is written again; a save would leave none on the server either"
        return emptied(item, then, body.reasons)
    if remote is not None and remote.problem:
        return block("unreadable-there", f"{_where(item)} cannot be compared: {remote.problem}", reasons=body.reasons)
    if remote is not None and remote.is_lost:
        event, kind = ("was deleted in WriterzRoom", "deleted-there")
        if remote.taken:
            event, kind = ("belongs to another project", "taken-there")
        detail = f"content `{remote.content_id}` {event}, so the text is saved as new content"
        return Save(path=path), (Reason(kind=kind, detail=detail),)
    if remote is not None and remote.recorded:
        detail = f"content `{remote.content_id}` has an earlier text, which the file replaces"
        return Save(path=path, replaces=remote.body), (Reason(kind="recorded-before", detail=detail),)
    if remote is None or not item.is_edited_on_server or _acknowledged(body) is not None:
        return Save(path=path), ()
    is_replaced = item.spec.id in item.inputs.choice.replace
    if not is_replaced and not has_server_text(item, remote) and on_edit(item) is not OnEdit.OVERWRITE:
        return block(EDITED, _way(item), reasons=(*body.reasons, _server_edit(item)))
    is_reported = any(reason.kind == EDITED for reason in body.reasons)
    return Save(path=path, replaces=remote.body), () if is_reported else _replaced_on_server(item)


def is_kept(item: ItemSides, body: BodyAnswer) -> bool:
    """Whether `keep` answers a changed request, so that file and stored content stay as they are."""
    chosen = not item.is_same and on_edit(item) is OnEdit.KEEP and not is_emptied(item)
    return chosen and item.is_edited_on_server and _acknowledged(body) is None


def is_overwritten(item: ItemSides, body: BodyAnswer) -> bool:
    """Whether the command line asks to save the file, even as it was saved, over an edit in WriterzRoom."""
    chosen = item.inputs.choice.on_edit is OnEdit.OVERWRITE
    return chosen and item.is_edited_on_server and _acknowledged(body) is None


def remote_notes(item: ItemSides) -> tuple[Note, ...]:
    """Notes on contents that cannot be read, or begin with front matter."""
    remote, id_ = item.remote, item.spec.id
    if remote is None:
        return ()
    if remote.problem:
        message = f"`{id_}`: content `{remote.content_id}` cannot be compared: {remote.problem}"
        return (Note(kind="unreadable-there", id=id_, message=message),)
    if remote.front:
        keys = ", ".join(f"`{key}`" for key in remote.front)
        message = f"`{id_}`: content `{remote.content_id}` begins with front matter ({keys}), which `pull` leaves out"
        hint = "add it to `metadata` in the manifest or to the file; the next save removes it on the server"
        return (Note(kind="front-matter-there", id=id_, message=message, hint=hint),)
    return ()


def edit_notes(item: ItemSides, body: BodyAnswer) -> tuple[Note, ...]:
    """The note on an edit in WriterzRoom that no step replaces or records."""
    if not item.is_edited_on_server or _acknowledged(body) is not None:
        return ()
    message = f"`{item.spec.id}`: {_where(item)} was edited in WriterzRoom"
    return (Note(kind=EDITED, id=item.spec.id, message=message, hint=_way(item)),)


# --- facts about an edit -----------------------------------------------------------------------------------


def _remote(item: ItemSides) -> Remote:
    assert item.remote is not None
    return item.remote


def _server_edit(item: ItemSides, more: str = "") -> Reason:
    saved = item.own.saved.body if item.own is not None and item.own.saved is not None else NOTHING
    detail = f"{_where(item)} was edited in WriterzRoom{more}"
    return Reason(kind=EDITED, before=saved, after=_remote(item).body, detail=detail)


def _where(item: ItemSides) -> str:
    return f"content `{_remote(item).content_id}`"


def _way(item: ItemSides) -> str:
    """What to do about an edit in WriterzRoom."""
    id_, edited = item.spec.id, f"{_where(item)} was edited in WriterzRoom"
    way = f"`contentops pull {id_}` writes it into the file"
    if item.file.exists and not is_saved(item):
        edited, way = f"`{item.file.path}` was changed, and {edited}", "put what you need into the file"
    elif keeps_text(item):
        way = f"apply `protected: false`, then {way}"
    choice = "`--on-edit overwrite` saves the file over it"
    if not item.is_same and not item.is_protected:
        choice = "`--on-edit keep` leaves both as they are and generates nothing, `overwrite` generates over it"
    return f"{edited}; `contentops diff {id_} --remote` shows it; {way}; {choice}"


def keeps_text(item: ItemSides) -> bool:
    """Whether protection keeps the text; without a template, an item is protected from generations alone."""
    return item.is_protected and bool(item.spec.request.template)


def has_server_text(item: ItemSides, remote: Remote) -> bool:
    """Whether the file has the server's title and body."""
    if item.own is None or not item.file.exists or item.file.body != remote.body:
        return False
    return title_digest(item.title) == as_saved(item.own, remote).title


def is_saved(item: ItemSides) -> bool:
    """Whether title and body of the file are what the server last accepted."""
    saved = item.own.saved if item.own is not None else None
    return saved is not None and (saved.title, saved.body) == (title_digest(item.title), item.file.body)


def renewed(item: ItemSides, mode: MergeEdit, new: str) -> Renewed | None:
    """A new text merged with the edits; None: they cannot be merged."""
    return take_new(item.inputs.text(mode.base) or "", item.inputs.read(item.file.path), new)


def merge_trouble(item: ItemSides, words: BodyAnswer, new: Digest, entry: OpenEntry | None = None) -> BodyAnswer | None:
    """The answer that blocks a merge with an existing text; None: it may be written, or is not known."""
    mode = words.mode
    if not isinstance(mode, MergeEdit) or (text := item.inputs.text(new)) is None:
        return None
    trouble = why_not_merged(item.spec.id, renewed(item, mode, text), strict=mode.strict)
    return None if trouble is None else block(*trouble, reasons=words.reasons, entry=entry)


def saved_records(inputs: PlanInputs) -> Iterator[Record]:
    """The records of declared items that are saved on this server, with orphans that items take over."""
    specs = dict(inputs.specs)
    specs |= {orphan.id: inputs.specs[id_] for id_, orphan in pair_renames(inputs).items()}
    for id_, record in inputs.state.records.items():
        is_saved = record.server == inputs.server and record.content_id and record.saved is not None
        if is_saved and id_ in specs and inputs.saves(specs[id_]):
            yield record
