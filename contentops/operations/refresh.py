"""`--refresh` reads the items' stored texts from the server before the plan is made.

It reads one list, and each content that may have changed since it was last saved or read. All requests are free.

A plan uses what the cache remembers. An apply reads each content whose text it would pay for or replace, and plans
again with what it reads.

`git revert` restores the record and the file of an earlier text. The text that the server still has is then in the
history of the file, and is replaced by the file.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec import Struct, structs

from contentops.api.calls import Content, ContentEntry, Failure, FailureKind, GetContent, Reply
from contentops.api.outcomes import is_about_one
from contentops.api.reading import has_stamp
from contentops.ci.history import had_text
from contentops.digest import NOTHING, Digest
from contentops.documents.clean import body_digest, clean_body, clean_title, known_bodies, title_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, replace_body, update
from contentops.errors import ApiError, OutputError
from contentops.execution.contents import ContentOwners, StoredContent
from contentops.execution.primitives import iso_exact
from contentops.model import Change, ItemId, Plan, Project, Record, Remote, Restore, Saved, Submit, Write
from contentops.model.plan_file import PlanFile
from contentops.operations.connection import Caller, content_owners, converse, read_credentials
from contentops.operations.opening import HERE, Runtime, open_outputs
from contentops.operations.unchanged import forget_plan
from contentops.operations.workspace import Workspace, hold_lock, no_item, open_workspace
from contentops.planning.edits import as_saved, has_server_text, is_saved, protects_text, saved_records
from contentops.planning.plan import declared_sides, make_plan
from contentops.planning.review import compare_file
from contentops.planning.sides import Choice, ItemSides, PlanInputs, is_edited_on_server
from contentops.planning.table import block_change
from contentops.state.cache import Cache

# ---- Recognise texts on the server that this project has recorded before: they are no new edits.


def mark_recorded(inputs: PlanInputs, remote: Mapping[ItemId, Remote]) -> dict[ItemId, Remote]:
    """Return the items' texts on the server, with a mark on each earlier text of this project.

    A marked text is no new edit. Git is asked only if that is necessary.
    """
    records = inputs.records
    marked = {
        id_: structs.replace(one, recorded=True)
        for id_, one in remote.items()
        if id_ in records and is_edited_on_server(one, records[id_]) and _is_known(inputs, records[id_], one)
    }
    return {**remote, **marked}


def _is_known(inputs: PlanInputs, record: Record, remote: Remote) -> bool:
    """Return whether the server's text is an earlier text of this project, and not the text of the item's file.

    A record, a job or the file's git history has that text.
    """
    if inputs.observe(record.output).body == remote.body:
        return False
    made = [job for job in inputs.state.jobs if job.body == remote.body and job.server == inputs.server]
    saved = record.saved or Saved()
    titles = saved.titles.union({title_digest(record.title)}, (title_digest(job.title) for job in made))
    if (made or remote.body in saved.bodies) and (not remote.title or title_digest(remote.title) in titles):
        return True
    return had_text(inputs.project.root, record.output, remote.body, remote.title)


# ---- `--refresh`: ask the server for the project's items before anything is planned.

_SERVER_ERROR = 500
"""The HTTP status of a server that fails at one content, or at every request."""


def refresh(
    workspace: Workspace,
    inputs: PlanInputs,
    *,
    only: Container[ItemId] | None = None,
    listed: dict[str, ContentEntry] | None = None,
) -> PlanInputs:
    """Read the stored texts that may have changed, and return the plan's inputs with these texts.

    `only`: the ids of the records to read; None means all. `listed`: the server's list by content id; the first refresh
    of a command fills it, and later ones use it.

    Raises ApiError if the server does not reply, or the key is missing; Refused if the key may not be sent there.
    """
    project, cache = inputs.project, workspace.cache
    records = [one for one in saved_records(inputs) if only is None or one.id in only]
    if not records:
        return structs.replace(inputs, remote={})
    entries = listed if listed is not None else {}
    reader = _Reader(cache, content_owners(project, inputs.state), cache.seen(inputs.server))

    async def story(caller: Caller) -> dict[ItemId, Remote]:
        if not entries:
            entries.update({entry.id: entry for entry in (await caller.listed()).entries})
        return await reader.read_all(caller, records, entries)

    remote = converse(project, workspace.runtime, story, cache, workspace.limiter)
    readable = {each.content_id: each for each in remote.values() if not each.problem}
    if cache.keep_seen(inputs.server, readable, {record.content_id for record in records}):
        forget_plan(project)
    return structs.replace(inputs, remote=mark_recorded(inputs, remote))


class _Reader(NamedTuple):
    """Reads stored contents from the server.

    `earlier` has what earlier commands read, by content id.
    """

    cache: Cache
    owners: ContentOwners
    earlier: Mapping[str, Remote]

    async def read_all(
        self, caller: Caller, records: Iterable[Record], entries: Mapping[str, ContentEntry]
    ) -> dict[ItemId, Remote]:
        """Read the stored contents that may have changed since contentops saved them. Raises ApiError.

        `entries` is the server's list.
        """
        remote: dict[ItemId, Remote] = {}
        failed_before = False
        for record in records:
            entry, earlier = entries.get(record.content_id), self.earlier.get(record.content_id)
            if earlier is not None and self._is_unchanged(earlier, entry):
                remote[record.id] = structs.replace(earlier, saved=_saved_body(record))
            elif entry is None or record.saved is None or not has_stamp(entry, record.saved.stamp):
                answer = await caller.ask(GetContent(record.content_id))
                failed = isinstance(answer, Failure) and answer.status == _SERVER_ERROR
                # A server that fails twice in a row is not well; one failure may be about that content alone.
                if isinstance(answer, Failure) and not (is_about_one(answer) or (failed and not failed_before)):
                    raise caller.error(answer)
                failed_before = failed
                remote[record.id] = self._remote(record, entry, answer)
        return remote

    def _is_unchanged(self, earlier: Remote, entry: ContentEntry | None) -> bool:
        """Return whether a stored content has not changed since it was read, and its text is still in the cache."""
        if entry is None or earlier.deleted:
            return entry is None and earlier.deleted
        return has_stamp(entry, earlier.stamp) and self.cache.body(earlier.body) is not None

    def _remote(self, record: Record, entry: ContentEntry | None, answer: Reply | Failure) -> Remote:
        """Return the current state of a stored content, and put its text into the cache."""
        content_id, saved = record.content_id, _saved_body(record)
        if isinstance(answer, Failure):
            deleted = answer.kind is FailureKind.NOT_FOUND
            problem = "" if deleted else answer.full_message
            return Remote(content_id=content_id, saved=saved, deleted=deleted, problem=problem)
        assert isinstance(answer, Content)
        self.owners.learn(StoredContent.of(answer))
        owner = self.owners.owner(answer.id)
        if owner is not None and owner.is_of_others:
            return Remote(content_id=content_id, taken=True, saved=saved)
        text, front = _text_of(record, answer)
        body = clean_body(text)
        if not body.strip():
            return Remote(content_id=content_id, problem="it has no text")
        digest = body_digest(body)
        self.cache.keep_body(digest, body)
        # The next list is compared with this one, so its stamp counts: a text that is newer is looked at again.
        stamp = entry.stamp if entry is not None else answer.stamp
        title = clean_title(answer.title)
        return Remote(content_id=content_id, title=title, body=digest, stamp=stamp, front=front, saved=saved)


def _saved_body(record: Record) -> Digest:
    return record.saved.body if record.saved is not None else NOTHING


def _text_of(record: Record, content: Content) -> tuple[str, tuple[str, ...]]:
    """Return the text of a stored content, and the keys of the front matter that the content has.

    The front matter is a part of the text only if it was saved as a part of it.
    """
    saved = record.saved
    ours = saved.bodies if saved is not None else ()
    if content.whole and body_digest(content.whole) in ours:
        return content.whole, ()
    return content.body, tuple(content.front)


# ---- Compare a plan's items with the texts stored on the server.


def remembered(workspace: Workspace, inputs: PlanInputs) -> PlanInputs:
    """Return the plan's inputs with the edits that earlier `--refresh` runs found on the server.

    Deletions are included. Edits that a save has replaced since are left out.
    """
    seen = workspace.cache.seen(inputs.server)
    records = saved_records(inputs) if seen else ()
    remote = {record.id: one for record in records if (one := _remembered(workspace, record, seen)) is not None}
    if not remote:
        return inputs

    return structs.replace(inputs, remote=mark_recorded(inputs, remote))


def _remembered(workspace: Workspace, record: Record, seen: Mapping[str, Remote]) -> Remote | None:
    remote = seen.get(record.content_id)
    if remote is None or record.saved is None or remote.saved != record.saved.body:
        return None
    if remote.is_lost:
        return remote
    return remote if workspace.cache.body(remote.body) is not None and is_edited_on_server(remote, record) else None


def plan_after_looks(
    workspace: Workspace,
    inputs: PlanInputs,
    reviewed: PlanFile | None,
    refused: Callable[[Plan], object],
) -> tuple[PlanInputs, Plan]:
    """Return the inputs and the plan of an apply, after reading the stored texts that the plan affects.

    The plan affects a stored text if it would pay for a new text, replace the stored text, or use an edit of it. The
    server is asked only if there are such texts and the plan is not `refused`; edits that the plan file contains are
    always read. Items whose content cannot be read are blocked. `reviewed` is a plan file, or None.

    Raises what planning raises, ApiError if the key is missing or a reviewed edit cannot be read, and Refused if the
    key may not be sent to the server.
    """

    def plan_of(inputs: PlanInputs) -> Plan:
        return make_plan(inputs) if reviewed is None else compare_file(inputs, reviewed)

    if inputs.choice.refresh:
        return inputs, plan_of(inputs)
    look = _Look(workspace)
    # A reviewed edit may be known to the plan file alone.
    edits = {change.id for change in reviewed.changes if change.remote_body} if reviewed is not None else set()
    looked: AbstractSet[ItemId] = {one.id for one in saved_records(inputs) if one.id in edits} if edits else set()
    inputs = look.at(inputs, looked, is_required=True) if looked else inputs
    while True:
        plan = plan_of(inputs)
        # Another item may replace one that the last look blocked.
        if refused(plan) or look.trouble or not (ids := _in_question(inputs, plan) - looked):
            return inputs, look.block_unseen(plan, looked)
        looked |= ids
        inputs = look.at(inputs, ids)


class _Look:
    """Reads stored contents from the server while one plan is made.

    `trouble` says why the last request failed.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._listed: dict[str, ContentEntry] = {}
        self.trouble = ""

    def at(self, inputs: PlanInputs, ids: AbstractSet[ItemId], *, is_required: bool = False) -> PlanInputs:
        """Ask the server about these items' stored texts, and return the plan's inputs with the current texts.

        Raises ApiError if `is_required` and the server does not reply.
        """
        read_credentials(inputs.project.api, self._workspace.runtime)
        others = {id_: remote for id_, remote in (inputs.remote or {}).items() if id_ not in ids}
        try:
            remote = refresh(self._workspace, inputs, only=ids, listed=self._listed).remote or {}
        except ApiError as error:
            if is_required:
                hint = "run `contentops apply` again: the plan file contains an edit from WriterzRoom"
                raise ApiError(error.message, hint=hint) from error
            self.trouble, remote = error.message, {}
        return structs.replace(inputs, remote={**others, **remote})

    def block_unseen(self, plan: Plan, ids: AbstractSet[ItemId]) -> Plan:
        """Return the plan; the changes of these items are blocked if their stored texts could not be read."""
        if not self.trouble:
            return plan
        changes = (self._block(one) if _record_id(one) in ids else one for one in plan.changes)
        return structs.replace(plan, changes=tuple(changes))

    def _block(self, change: Change) -> Change:
        content = change.record.content_id if change.record is not None else ""
        hint = f"whether content `{content}` was edited in WriterzRoom is unknown: {self.trouble}; "
        return block_change(change, "not-looked-at", f"{hint}run `contentops apply` again")


def _in_question(inputs: PlanInputs, plan: Plan) -> AbstractSet[ItemId]:
    """Return the items whose text the plan pays for or replaces, or that were edited on the server."""
    ids = {_record_id(change) for change in plan.changes if _touches(change)}
    return {record.id for record in saved_records(inputs) if record.id in ids} if ids else ids


def _touches(change: Change) -> bool:
    restores = any(isinstance(step, Write) and isinstance(step.mode, Restore) for step in change.steps)
    return change.remote is not None or bool(change.pays_later) or (change.has(Submit, Write) and not restores)


def _record_id(change: Change) -> ItemId:
    return change.record.id if change.record is not None else ItemId("")


# ---- `pull`: write words that were edited in WriterzRoom into the unedited files of their items, as edits.


class PulledItem(Struct, frozen=True, kw_only=True):
    """An item that was edited in WriterzRoom, and what `pull` did with the edit."""

    id: ItemId
    output: str
    content: str
    """The id of its content."""
    refused: str = ""
    """Why its file was not changed; empty if it has the edit now."""
    copy: str = ""
    """The path of a copy of other words that the file had; empty: none."""


def pull(project: Project, items: Sequence[str] = (), *, runtime: Runtime = HERE) -> tuple[PulledItem, ...]:
    """Write the edits of these items, or of all items, from the server into their files.

    A file with words that the server does not have is not changed. Raises UsageError if an item is unknown, ApiError if
    the server does not reply, LockHeld, StateError.
    """
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        inputs = workspace.plan_inputs(Choice())
        for item in items:
            if ItemId(item) not in inputs.specs:
                raise no_item(item, inputs.specs)
        wanted = frozenset(map(ItemId, items)) or None
        inputs = refresh(workspace, inputs, only=wanted)
        edited = [item for item in declared_sides(inputs) if item.is_edited_on_server]
        outputs = open_outputs(project, workspace.store.lineage, runtime, known_bodies(inputs.state))
        outputs.sweep({item.file.path.rpartition("/")[0] for item in edited}, before=runtime.wall())
        done = tuple(
            _pulled(workspace, outputs, item, runtime) for item in edited if not wanted or item.spec.id in wanted
        )
        workspace.store.checkpoint()
    return done


def _pulled(workspace: Workspace, outputs: Outputs, item: ItemSides, runtime: Runtime) -> PulledItem:
    """Write the server's text of one item into its file, then record that the server has this text."""
    record, remote, file = item.record, item.remote, item.file
    assert record is not None
    assert remote is not None
    found = PulledItem(id=item.spec.id, output=file.path, content=remote.content_id)
    body = workspace.cache.body(remote.body)
    if refused := _refusal(item, remote, body):
        return structs.replace(found, refused=refused)
    assert body is not None
    saved, copy = as_saved(record, remote), ""
    if not has_server_text(item, remote):  # else a pull was stopped after the write
        try:
            before = outputs.read(file.path)
            is_retitled = saved.title != title_digest(item.title)
            # Words of a person that were saved before are in no job.
            if is_retitled or file.body not in item.inputs.made:
                copy = outputs.set_aside(file.path, before)
            made = replace_body(before, body)
            if is_retitled:
                made = update(made, {TITLE_KEY: remote.title})
            outputs.write(file.path, made, expect=file.file)
        except OutputError as error:
            return structs.replace(found, refused=error.message)
    workspace.store.note("pull", structs.replace(record, saved=saved, saved_at=iso_exact(runtime.wall())))
    workspace.store.flush()
    return structs.replace(found, copy=copy)


def _refusal(item: ItemSides, remote: Remote, body: str | None) -> str:
    """Return why the item's file must not be changed, or an empty string if it may be changed."""
    path = item.file.path
    if not item.file.exists:
        return f"`{path}` is gone: `contentops apply` restores it first"
    if item.file.problem:
        return item.file.problem
    if protects_text(item):
        return "it is protected; apply `protected: false` first"
    if not is_saved(item) and not has_server_text(item, remote):
        shown = f"`contentops diff {item.spec.id} --remote` shows both"
        return (
            f"`{path}` was changed too; {shown}: put what you need into the file, then `--on-edit overwrite` saves it"
        )
    return "" if body is not None else "its text is not kept here: run this again"
