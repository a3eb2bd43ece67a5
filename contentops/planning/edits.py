"""Decides what happens to a person's edits, in files or in WriterzRoom, that a new text would replace."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct

from contentops.digest import NO_TEXT, NOTHING
from contentops.documents.clean import title_digest
from contentops.documents.paths import collision_key
from contentops.documents.word_diff import Renewed, take_new, touched
from contentops.model import (
    Acknowledge,
    Action,
    Job,
    MergeEdit,
    Mode,
    Note,
    OnEdit,
    Reason,
    Record,
    Remote,
    Replace,
    Save,
    Saved,
    Step,
)
from contentops.planning.sides import ItemSides, PlanInputs, explain, is_draft, is_ours
from contentops.sections import Key, cut

# ---- Edits of a person that a new text would replace: what `on_edit` says, and when an item is blocked.

_SHOWN = 5
"""How many sections one message names."""


class Answer(Struct, frozen=True, kw_only=True):
    """A decision of the planner about an item: the item's next steps, or why the item is blocked.

    It is about the item's text, path, front matter or save.
    """

    action: Action = Action.NONE
    steps: tuple[Step, ...] = ()
    """The steps that fetch a text, which is then written, or only a record step."""
    reasons: tuple[Reason, ...] = ()
    job: Job | None = None
    """The open job that answers the spec."""
    blocked: str = ""
    hint: str = ""
    waits: bool = False
    """The text of another environment is not approved yet, so that nothing is done about the body."""
    mode: Mode = Replace()
    """How the text comes into the file."""

    @property
    def is_final(self) -> bool:
        """Return whether this decision blocks the item or has at least one step.

        Then no later row of the table decides.
        """
        return bool(self.blocked or self.steps)

    @property
    def writes(self) -> bool:
        """Return whether this decision writes another text to the item's file."""
        return any(not isinstance(step, Acknowledge) for step in self.steps)


def edit_choice(item: ItemSides, why: tuple[Reason, ...], job: Job | None = None) -> Answer | None:
    """Decide what to do with an edited file, by the item's `on_edit` rule. Return None if it may be overwritten."""
    record, path = item.record, item.file.path
    if record is not None and item.file.exists and not item.is_edited:
        return None
    if record is None and is_ours(item.inputs, item.spec, item.file):
        reason = Reason(kind="own-output", detail=f"`{path}` was already written for this request")
        # If its job is still open, it is collected, because it is not the job of this change.
        return Answer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=(*why, reason))
    choice = on_edit(item)
    reasons = (*why, *edit(item))
    if choice is OnEdit.OVERWRITE:
        return None
    if record is None:
        return block("foreign-file", occupied_hint(item, path), reasons=reasons, job=job)
    if not item.file.exists:
        hint = f"`{path}` is gone and its text was not saved; `--on-edit overwrite` generates the new one"
        return block("missing", hint, reasons=reasons, job=job)
    if choice is OnEdit.KEEP:
        return Answer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    if choice is OnEdit.MERGE:
        return merging(item, reasons, job)
    hint = f"`{path}` was edited by hand; `--on-edit keep`, `merge` or `overwrite`, or `on_edit` in the manifest"
    if job is not None and item.keeps_text:
        option = "--on-edit overwrite" if job.section else f"--replace {item.spec.id}"
        ways = f"`{option}` replaces it by the text being generated, `--on-edit keep` keeps the file"
        hint = f"`{path}` was edited by hand; {ways}"
    return block("edited", hint, reasons=reasons, job=job)


def is_emptied(item: ItemSides) -> bool:
    """Return whether the item's file lost its whole text, for example because a disk was full."""
    own = item.record
    if own is None or not item.file.exists or item.file.body != NO_TEXT:
        return False
    return bool({own.generated, own.saved.body if own.saved is not None else NOTHING} - {NOTHING, NO_TEXT})


def merging(item: ItemSides, reasons: tuple[Reason, ...], job: Job | None) -> Answer:
    """Decide how to merge a new text with a person's edits.

    The item is blocked if its file is empty, or if the text before the edits is missing.
    """
    record = item.record
    assert record is not None
    if is_emptied(item):
        then = "`--on-edit overwrite` writes the new text; a merge would leave the file empty"
        return block("emptied", f"`{item.file.path}` is empty now: {then}", reasons=reasons, job=job)
    base = item.inputs.text(record.generated) if record.generated else None
    if base is None:
        no_text = "it was adopted, so there is no generated text"
        lost = item.inputs.why_no_text() if record.generated else no_text
        hint = f"what was generated for `{item.file.path}` is missing, so the edits cannot be determined"
        hint += (f"; {lost}" if lost else "") + "; otherwise use `--on-edit keep` or `overwrite`"
        return block("no-merge-base", hint, reasons=reasons, job=job)
    edited = item.inputs.read(item.file.path)
    keys = touched(base, edited)
    names = [heading_of(key) for key in keys]
    detail = f"stays as it was edited: {listed(names)}"
    if not {section.key for section in cut(edited) if section.text.strip()} - {*keys}:
        detail = f"every section {detail}; the new text adds only sections with other headings, if it has any"
    reason = Reason(kind="kept-sections", after=names, detail=detail)
    return Answer(reasons=(*reasons, reason), mode=MergeEdit(base=record.generated))


UNMERGEABLE = (
    "its sections cannot be merged, because a code block or comment in one of them is not closed; "
    "close it, or use `--on-edit keep` or `overwrite`"
)
"""The hint if a new text and a person's edits cannot be merged."""


def heading_of(key: Key) -> str:
    """Return the name of a section, such as `## Price (2)` for the second section with this heading."""
    times = f" ({key.number})" if key.number > 1 else ""
    return f"{'#' * key.level} {key.heading}{times}".strip() if key.level else "the text before the first heading"


def listed(names: Sequence[str]) -> str:
    """Join the first names with commas, and add how many more there are."""
    shown = [f"`{name}`" if name.startswith("#") else name for name in names[:_SHOWN]]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)


def on_edit(item: ItemSides) -> OnEdit:
    """Return the `on_edit` value for an item: from the command line, otherwise from its manifest.

    If one of its sections is generated again, the command line only counts for that section.
    """
    choice = item.inputs.choice
    return (choice.on_edit if item.spec.id not in choice.sections else None) or item.spec.on_edit


def occupied_hint(item: ItemSides, path: str) -> str:
    """Return a hint about a file at `path` that belongs to another item or to no item."""
    owner = item.inputs.owners.get(collision_key(path))
    if owner in item.inputs.specs:
        return f"`{path}` belongs to `{owner}`, which moves to another path; apply that first"
    rest = ", `--on-edit overwrite` replaces it, or move it away" if item.spec.request.template else ", or move it away"
    if owner is not None:
        moved = f"`moved: [{{from: {owner}, to: {item.spec.id}}}]` transfers the file and its record"
        return f"`{path}` belongs to `{owner}`, which no manifest declares; {moved}{rest}; `--prune` leaves it there"
    adopt = f"`contentops adopt {shlex.quote(path)}` adopts it unchanged"
    return f"`{path}` exists but is unmanaged; {adopt}{rest}"


def edit(item: ItemSides, detail: str = "was edited by hand") -> tuple[Reason, ...]:
    """Return a reason of kind `edited` if a person edited the item's file, otherwise nothing."""
    return (Reason(kind="edited", detail=f"`{item.file.path}` {detail}"),) if item.is_edited else ()


def why_changed(item: ItemSides) -> tuple[Reason, ...]:
    """Return why an item needs another text: it is new, it has only a draft outline, or its request changed."""
    record = item.record
    if record is None:
        return (Reason(kind="new"),)
    is_made_here = is_draft(record, item.inputs.server)
    draft = (Reason(kind="made-by-local", detail="made by the bundled server"),) if is_made_here else ()
    return draft + explain(item.spec, record)


def block(kind: str, hint: str, *, reasons: tuple[Reason, ...] = (), job: Job | None = None) -> Answer:
    """Return the decision that an item is blocked until a person resolves the problem.

    `kind` is in kebab case, and is part of the plan's format.
    """
    return Answer(action=Action.BLOCKED, blocked=kind, hint=hint, reasons=reasons, job=job)


# ---- Edits made in WriterzRoom, as a refresh found them: noted, already in the file, or blocking.

EDITED = "edited-on-server"
"""The kind of reasons, notes and blocks about an edit in WriterzRoom."""


def edited_on_server(item: ItemSides, why: tuple[Reason, ...], job: Job | None = None) -> Answer | None:
    """Decide what to do about an edit in WriterzRoom. Return None if it does not stop this change.

    An edit in WriterzRoom is never merged: `contentops pull` writes it into the file.
    """
    if not item.is_edited_on_server:
        return None
    remote, choice = _remote(item), on_edit(item)
    if has_server_text(item, remote) and (item.keeps_text or choice is OnEdit.KEEP):
        detail = f"`{item.file.path}` has the same text as WriterzRoom"
        alike = Reason(kind="edited-alike", detail=detail)
        step = Acknowledge(accepts=not item.keeps_text, remote=remote)
        return Answer(action=Action.KEEP, steps=(step,), reasons=(*why, alike))
    if item.keeps_text or choice is OnEdit.OVERWRITE:
        return None
    reasons = (*why, *edit(item), _server_edit(item))
    if choice is OnEdit.KEEP:
        return Answer(action=Action.KEEP, steps=(Acknowledge(accepts=True),), reasons=reasons)
    return block(EDITED, server_edit_hint(item), reasons=reasons, job=job)


def protect_edits(item: ItemSides, why: tuple[Reason, ...], job: Job | None = None) -> Answer | None:
    """Decide what to do about a person's edits in the file or on the server. Return None if they may be overwritten."""
    return edited_on_server(item, why, job) or edit_choice(item, why, job)


def _replaced_on_server(item: ItemSides) -> tuple[Reason, ...]:
    return (_server_edit(item, ", and that text is replaced"),) if item.is_edited_on_server else ()


def overwriting(item: ItemSides, why: tuple[Reason, ...]) -> Answer:
    """Decide that a new text overwrites the item's file.

    The reasons of the decision name the edits that are lost.
    """
    in_file = edit(item, "was edited by hand, and that text is replaced")
    return Answer(reasons=(*why, *in_file, *_replaced_on_server(item)), mode=Replace(over_edit=item.is_edited))


def known_on_server(item: ItemSides, body: Answer) -> Saved | None:
    """Return the digests of the text that the server has before this change, or None if they are not known."""
    record = item.record
    if record is None or record.saved is None or record.server != item.inputs.server:
        return None
    remote = _acknowledged(body)
    if remote is None and item.remote is not None and item.remote.recorded:
        remote = item.remote
    return record.saved if remote is None else as_saved(record, remote)


def as_saved(record: Record, remote: Remote) -> Saved:
    """Return a `saved` entry of a record that describes the server's text as saved by contentops."""
    before = record.saved or Saved()
    stored = title_digest(remote.title) if remote.title else before.title
    title = before.title if stored in before.titles else stored  # the server may have changed the title that we sent
    return Saved(
        title=title,
        body=remote.body,
        server_title=stored,
        server_body=remote.body,
        stamp=remote.stamp,
        published=before.published,
    )


def _acknowledged(body: Answer) -> Remote | None:
    """Return the server's text if this change records it as equal to the item's file, otherwise None."""
    return next((step.remote for step in body.steps if isinstance(step, Acknowledge)), None)


def save_over(item: ItemSides, body: Answer) -> Answer:
    """Return the step that overwrites the server's text with the file, or the reason why the item is blocked."""
    remote, path = item.remote, item.spec.output
    if is_emptied(item) and not body.writes:
        then = "remove the file, and a text is written again; a save would leave none on the server either"
        return block("emptied", f"`{item.file.path}` is empty now: {then}", reasons=body.reasons)
    if remote is not None and remote.problem:
        return block("unreadable-there", f"{_where(item)} cannot be compared: {remote.problem}", reasons=body.reasons)
    if remote is not None and remote.is_lost:
        event, kind = ("was deleted in WriterzRoom", "deleted-there")
        if remote.taken:
            event, kind = ("belongs to another project", "taken-there")
        detail = f"content `{remote.content_id}` {event}, so the text is saved as new content"
        return Answer(steps=(Save(path=path),), reasons=(Reason(kind=kind, detail=detail),))
    if remote is not None and remote.recorded:
        detail = f"content `{remote.content_id}` has an earlier text, which the file replaces"
        step = Save(path=path, replaces=remote.body)
        return Answer(steps=(step,), reasons=(Reason(kind="recorded-before", detail=detail),))
    if remote is None or not is_open_edit(item, body):
        return Answer(steps=(Save(path=path),))
    is_replaced = item.spec.id in item.inputs.choice.replace
    if not is_replaced and not has_server_text(item, remote) and on_edit(item) is not OnEdit.OVERWRITE:
        others = (reason for reason in body.reasons if reason.kind != EDITED)
        return block(EDITED, server_edit_hint(item), reasons=(*others, _server_edit(item)))
    is_reported = any(reason.kind == EDITED for reason in body.reasons)
    why = () if is_reported else _replaced_on_server(item)
    return Answer(steps=(Save(path=path, replaces=remote.body),), reasons=why)


def is_open_edit(item: ItemSides, body: Answer) -> bool:
    """Return whether the server's text has a person's edit that this plan does not put into the record."""
    return item.is_edited_on_server and _acknowledged(body) is None


def remote_notes(item: ItemSides) -> Iterator[Note]:
    """Yield a note if the stored content cannot be read, or if it begins with front matter."""
    remote, id_ = item.remote, item.spec.id
    if remote is not None and remote.problem:
        message = f"`{id_}`: content `{remote.content_id}` cannot be compared: {remote.problem}"
        yield Note(kind="unreadable-there", id=id_, message=message)
    elif remote is not None and remote.front:
        keys = ", ".join(f"`{key}`" for key in remote.front)
        message = f"`{id_}`: content `{remote.content_id}` begins with front matter ({keys}), which `pull` leaves out"
        hint = "add it to `metadata` in the manifest or to the file; the next save removes it on the server"
        yield Note(kind="front-matter-there", id=id_, message=message, hint=hint)


def edit_notes(item: ItemSides, body: Answer) -> Iterator[Note]:
    """Yield a note if the server's text has a person's edit that this plan does not put into the record."""
    if is_open_edit(item, body):
        message = f"`{item.spec.id}`: {_where(item)} was edited in WriterzRoom"
        yield Note(kind=EDITED, id=item.spec.id, message=message, hint=server_edit_hint(item))


# --- facts about an edit -----------------------------------------------------------------------------------


def _remote(item: ItemSides) -> Remote:
    assert item.remote is not None
    return item.remote


def _server_edit(item: ItemSides, more: str = "") -> Reason:
    saved = item.record.saved.body if item.record is not None and item.record.saved is not None else NOTHING
    detail = f"{_where(item)} was edited in WriterzRoom{more}"
    return Reason(kind=EDITED, before=saved, after=_remote(item).body, detail=detail)


def _where(item: ItemSides) -> str:
    return f"content `{_remote(item).content_id}`"


def server_edit_hint(item: ItemSides) -> str:
    """Return a hint about an edit in WriterzRoom."""
    id_, edited = item.spec.id, f"{_where(item)} was edited in WriterzRoom"
    way = f"`contentops pull {id_}` writes it into the file"
    kept = "leaves both as they are and generates nothing"
    if item.file.exists and not is_saved(item):
        kept = "generates nothing, and blocks the next save until `overwrite` saves the file over it"
        edited, way = f"`{item.file.path}` was changed, and {edited}", "put what you need into the file"
    elif protects_text(item):
        way = f"apply `protected: false`, then {way}"
    choice = "`--on-edit overwrite` saves the file over it"
    if not item.keeps_text and not item.is_protected:
        choice = f"`--on-edit keep` {kept}; `overwrite` generates over it"
    return f"{edited}; `contentops diff {id_} --remote` shows it; {way}; {choice}"


def protects_text(item: ItemSides) -> bool:
    """Return whether the item keeps its text because it is protected.

    For an item without a template, protection only forbids generations.
    """
    return item.is_protected and bool(item.spec.request.template)


def has_server_text(item: ItemSides, remote: Remote) -> bool:
    """Return whether the item's file has the same title and body as its stored content on the server."""
    if item.record is None or not item.file.exists or item.file.body != remote.body:
        return False
    return title_digest(item.title) == as_saved(item.record, remote).title


def is_saved(item: ItemSides) -> bool:
    """Return whether the present title and body of the item's file are the last ones that the server accepted."""
    saved = item.record.saved if item.record is not None else None
    return saved is not None and (saved.title, saved.body) == (title_digest(item.title), item.file.body)


def renewed(item: ItemSides, mode: MergeEdit, new: str) -> Renewed | None:
    """Merge a new text with a person's edits. Return None if they cannot be merged."""
    return take_new(item.inputs.text(mode.base) or "", item.inputs.read(item.file.path), new)


def merge_trouble(item: ItemSides, edits: Answer, job: Job) -> Answer | None:
    """Block the item if a job's text cannot be merged with the edits. Return None if the merge may be tried."""
    mode = edits.mode
    if not isinstance(mode, MergeEdit) or (text := item.inputs.text(job.body)) is None:
        return None
    if renewed(item, mode, text) is not None:
        return None
    return block("unmergeable", UNMERGEABLE, reasons=edits.reasons, job=job)


def saved_records(inputs: PlanInputs) -> Iterator[Record]:
    """Yield the records of declared items whose texts are saved on this server."""
    for id_, record in inputs.records.items():
        is_saved = record.server == inputs.server and record.content_id and record.saved is not None
        if is_saved and id_ in inputs.specs and inputs.saves(inputs.specs[id_]):
            yield record
