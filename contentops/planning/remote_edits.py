"""Edits made in WriterzRoom, as a refresh found them: pulled, merged with an edit of the file, or blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.digest import NOTHING
from contentops.documents.clean import title_digest
from contentops.documents.merge import Renewed, merge_edits, merge_one, take_new
from contentops.errors import plural
from contentops.model import Acknowledge, Action, Fetch, MergeBoth, MergeEdit, Note, OnEdit, Pull, Reason, Replace, Save
from contentops.planning.edits import (
    BodyAnswer,
    block,
    edit,
    edit_choice,
    edited_text,
    emptied,
    is_emptied,
    merging,
    no_base,
    on_edit,
    replaced_edit,
    why_not_merged,
)
from contentops.planning.plan_inputs import is_retitled_on_server
from contentops.planning.renames import pair_renames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.digest import Digest
    from contentops.model import ItemId, OpenEntry, Record, Remote, Saved
    from contentops.planning.plan_inputs import ItemSides, PlanInputs


def edited_on_server(item: ItemSides, why: tuple[Reason, ...]) -> BodyAnswer | None:
    """The answer to an edit in WriterzRoom; None: there is none, or it is replaced as chosen.

    If no text is generated, the edit is pulled into the file, unless a person changed that since it was saved.
    """
    if not item.is_edited_on_server:
        return None
    remote = _remote(item)
    reasons = (*why, *edit(item), _server_edit(item))
    is_alike, choice = _has_server_text(item, remote), on_edit(item)
    if is_alike and (item.is_same or choice is OnEdit.KEEP):
        detail = f"`{item.file.path}` has the same text as WriterzRoom"
        alike = Reason(kind="edited-alike", detail=detail)
        step = Acknowledge(accepts=not item.is_same, remote=remote)
        return BodyAnswer(action=Action.KEEP, steps=(step,), reasons=(*why, alike))
    is_new_here = item.file.exists and not is_alike and not _is_saved(item)
    if item.is_same and not is_new_here:
        return None if item.file.exists and _keeps_text(item) else _pull(item, reasons)
    return _by_choice(item, reasons, both=is_new_here and _is_a_persons(item))


def _by_choice(item: ItemSides, reasons: tuple[Reason, ...], *, both: bool) -> BodyAnswer | None:
    """The answer by `on_edit`, where a text is generated or a person changed the file as well (`both`)."""
    remote, choice = _remote(item), on_edit(item)
    is_joined = both and (item.is_same or choice is OnEdit.KEEP) and not _keeps_text(item)
    if is_joined or (item.file.exists and not item.is_same and choice is OnEdit.MERGE):
        return merge_both(item, remote, reasons)
    if both:
        if choice is OnEdit.OVERWRITE and not item.is_same:
            return None
        return block("edited-on-both-sides", _both_hint(item), reasons=reasons)
    if choice is OnEdit.OVERWRITE:
        return None
    if choice is OnEdit.KEEP:
        return _pull(item, reasons)
    hint = f"{_where(item)} was edited in WriterzRoom; `--on-edit keep` or `overwrite`, or `on_edit` in the manifest"
    return block("edited-there", hint, reasons=reasons)


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


def pulled(body: BodyAnswer) -> Remote | None:
    """The server's text that is pulled into the file, if one is."""
    return body.mode.remote if isinstance(body.mode, Pull) else None


def keeps_title(item: ItemSides, body: BodyAnswer) -> bool:
    """Whether a pulled text has a person's title, which a manifest does not replace."""
    remote, record = pulled(body), item.own
    return remote is not None and record is not None and is_retitled_on_server(remote, record)


def as_pulled(item: ItemSides, body: BodyAnswer) -> ItemSides:
    """The item with its file as it will be after the pull or merge."""
    if body.both is not None:
        return structs.replace(item, file=structs.replace(item.file, title=body.both.title))
    remote = pulled(body)
    if remote is None or not item.file.exists:
        return item
    file = structs.replace(item.file, title=remote.title or item.file.title, body=remote.body)
    return structs.replace(item, file=file)


def text_after(item: ItemSides, body: BodyAnswer, title: str | None) -> tuple[str, Digest]:
    """The title and body digest that the file will have if nothing is generated; `title`: one that is written."""
    remote, last_title = pulled(body), item.own.title if item.own is not None else ""
    if remote is None:
        return item.title if title is None else title, item.file.body
    return title or remote.title or last_title, remote.body


def known_on_server(item: ItemSides, body: BodyAnswer) -> Saved | None:
    """The text that the server has of an item before this change saves it; None: none."""
    record = item.own
    if record is None or record.saved is None or record.server != item.inputs.server:
        return None
    remote = _taken(body)
    if remote is None and item.remote is not None and item.remote.recorded:
        remote = item.remote
    if remote is None:
        return record.saved
    title = title_digest(remote.title) if remote.title else record.saved.title
    return structs.replace(record.saved, title=title, body=remote.body)


def _taken(body: BodyAnswer) -> Remote | None:
    """The server's text that the file will have, pulled or there already."""
    if not body.steps:
        return None
    acknowledged = next((step.remote for step in body.steps if isinstance(step, Acknowledge)), None)
    return pulled(body) or acknowledged


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
    if remote is None or not item.is_edited_on_server or body.both is not None or _taken(body) is not None:
        return Save(path=path), ()
    is_replaced = item.spec.id in item.inputs.choice.replace
    if not is_replaced and not _has_server_text(item, remote) and on_edit(item) is not OnEdit.OVERWRITE:
        return block("edited-there", _both_hint(item), reasons=(*body.reasons, _server_edit(item)))
    is_reported = any(reason.kind == "edited-there" for reason in body.reasons)
    return Save(path=path, replaces=remote.body), () if is_reported else _replaced_on_server(item)


def remote_notes(item: ItemSides, body: BodyAnswer) -> tuple[Note, ...]:
    """Notes on what a refresh found and no step handles: unreadable contents, edits of protected items."""
    remote, id_ = item.remote, item.spec.id
    if remote is None:
        return ()
    if remote.problem:
        message = f"`{id_}`: content `{remote.content_id}` cannot be compared: {remote.problem}"
        return (Note(kind="unreadable-there", id=id_, message=message),)
    if remote.front:
        keys = ", ".join(f"`{key}`" for key in remote.front)
        message = f"`{id_}`: content `{remote.content_id}` begins with front matter ({keys}), which is not pulled"
        hint = "add it to `metadata` in the manifest or to the file; the next save removes it on the server"
        return (Note(kind="front-matter-there", id=id_, message=message, hint=hint),)
    if item.is_edited_on_server and item.is_protected and not body.steps and not body.blocked:
        message = f"`{id_}` is protected: an edit of content `{remote.content_id}` in WriterzRoom is not pulled"
        hint = "apply `protected: false` first"
        return (Note(kind="edited-there", id=id_, message=message, hint=hint),)
    return ()


# --- facts about an edit -----------------------------------------------------------------------------------


def _remote(item: ItemSides) -> Remote:
    assert item.remote is not None
    return item.remote


def _server_edit(item: ItemSides, more: str = "") -> Reason:
    saved = item.own.saved.body if item.own is not None and item.own.saved is not None else NOTHING
    detail = f"{_where(item)} was edited in WriterzRoom{more}"
    return Reason(kind="edited-there", before=saved, after=_remote(item).body, detail=detail)


def _where(item: ItemSides) -> str:
    return f"content `{_remote(item).content_id}`"


def _both_hint(item: ItemSides) -> str:
    shown = f"`contentops diff {item.spec.id} --remote` shows both"
    way = "merge both with `--on-edit merge` or `keep`; or delete the content, and the file is saved as new content"
    return f"`{item.file.path}` was changed, and {_where(item)} was edited in WriterzRoom; {shown}: {way}"


def _has_server_text(item: ItemSides, remote: Remote) -> bool:
    """Whether the file has the server's title and body."""
    same = not remote.title or title_digest(item.title) == title_digest(remote.title)
    return item.file.exists and item.file.body == remote.body and same


def _keeps_text(item: ItemSides) -> bool:
    """Whether protection keeps the text; without a template, an item is protected from generations alone."""
    return item.is_protected and bool(item.spec.request.template)


def _is_saved(item: ItemSides) -> bool:
    """Whether title and body of the file are what the server last accepted."""
    saved = item.own.saved if item.own is not None else None
    return saved is not None and (saved.title, saved.body) == (title_digest(item.title), item.file.body)


def _is_a_persons(item: ItemSides) -> bool:
    """Whether a person changed the title or the body of the file."""
    return item.is_edited or (item.own is not None and item.title != item.own.title)


def _pull(item: ItemSides, reasons: tuple[Reason, ...]) -> BodyAnswer:
    assert item.own is not None
    fetch = Fetch(digest=item.own.digest, remote=item.remote)
    steps = (fetch,) if item.is_same else (fetch, Acknowledge(accepts=True))
    return BodyAnswer(action=Action.PULL, steps=steps, reasons=reasons, mode=Pull(remote=_remote(item)))


# --- edited on both sides ----------------------------------------------------------------------------------


CONFLICT = "edit-conflict"
"""The reason an item is blocked whose edits conflict."""


def merge_both(item: ItemSides, remote: Remote, reasons: tuple[Reason, ...]) -> BodyAnswer:
    """The edits in the file and on the server merged into one text, and with a new text where one is wanted."""
    record, inputs = item.own, item.inputs
    assert record is not None
    saved = record.saved
    base = inputs.text(saved.body) if saved is not None and saved.body else None
    theirs = inputs.text(remote.body)
    if saved is None or base is None or theirs is None:
        text_name = f"what was saved of `{item.file.path}`"
        return no_base(item, text_name, reasons, None, existed=bool(saved and saved.body))
    merged = merge_edits(base, inputs.read(item.file.path), theirs)
    fetch = Fetch(digest=record.digest, remote=remote)
    if merged.body is None:
        detail = f"both edits change {plural(len(merged.conflicts), 'place')}"
        reasons = (*reasons, Reason(kind="conflict", field="text", detail=detail))
        return block(CONFLICT, _hint(item, remote), reasons=reasons)
    title = _title_of_both(item, record, saved, remote)
    if title is None:
        reasons = (*reasons, Reason(kind="conflict", field="title", detail="both titles were changed"))
        return block(CONFLICT, _hint(item, remote), reasons=reasons)
    both = MergeBoth(remote=remote, title=title, body=merged.body)
    if not item.is_same and on_edit(item) is OnEdit.MERGE:
        return merging(item, reasons, None, both)
    steps = (fetch,) if item.is_same else (fetch, Acknowledge(accepts=True))
    return BodyAnswer(action=Action.MERGE, steps=steps, reasons=reasons, mode=both)


def _title_of_both(item: ItemSides, record: Record, saved: Saved, remote: Remote) -> str | None:
    """The merged title; None: both sides changed it differently."""
    was = item.title if title_digest(item.title) == saved.title else record.title
    server_title = was if not remote.title or title_digest(remote.title) in saved.titles else remote.title
    return merge_one(was, item.title, server_title)


def conflict_folder(environment: str, id_: ItemId) -> str:
    """The folder under `.contentops` that keeps both texts of a conflict."""
    return "/".join(part for part in ("conflicts", environment, id_) if part)


def _hint(item: ItemSides, remote: Remote) -> str:
    id_ = item.spec.id
    folder = conflict_folder(item.inputs.project.environment, id_)
    return (
        f"`{item.file.path}` and content `{remote.content_id}` were both edited in the same section; "
        f"`contentops diff {id_} --remote` shows both; apply keeps the saved text and both edits under "
        f"`.contentops/{folder}`"
    )


def renewed(item: ItemSides, mode: MergeEdit, new: str) -> Renewed | None:
    """A new text merged with the edits; None: they cannot be merged."""
    return take_new(item.inputs.text(mode.base) or "", edited_text(item, mode.both), new)


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
