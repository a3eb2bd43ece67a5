"""`pull`: write words that were edited in WriterzRoom into the unedited files of their items, as edits."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from contentops.documents.clean import known_bodies, title_digest
from contentops.documents.files import Outputs
from contentops.documents.front_matter import TITLE_KEY, replace_body, update
from contentops.errors import OutputError
from contentops.execution.primitives import iso_exact
from contentops.model import ItemId, Project, Remote
from contentops.operations.opening import HERE, Runtime, open_outputs
from contentops.operations.plan import no_item
from contentops.operations.refresh import refresh
from contentops.operations.workspace import Workspace, hold_lock, open_workspace
from contentops.planning.edits import as_saved, has_server_text, is_saved, protects_text
from contentops.planning.plan import declared_sides
from contentops.planning.sides import Choice, ItemSides


class PulledItem(Struct, frozen=True, kw_only=True):
    """An item that was edited in WriterzRoom, and what became of that."""

    id: ItemId
    output: str
    content: str
    """The id of its content."""
    refused: str = ""
    """Why its file was left alone; empty: it has the words now."""
    copy: str = ""
    """The path of a copy of other words that the file had; empty: none."""


def pull(project: Project, items: Sequence[str] = (), *, runtime: Runtime = HERE) -> tuple[PulledItem, ...]:
    """Pull the edits of these items, or of all. A file with words that the server does not have is left alone.

    Raises UsageError for an unknown item, ApiError where the server does not answer, LockHeld, StateError.
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
    """Write the words of one item into its file, then record that the server has them."""
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
            # Words of a person that were saved before are in no job.
            copy = outputs.set_aside(file.path, before) if file.body not in item.inputs.made else ""
            made = replace_body(before, body)
            if saved.title != title_digest(item.title):
                made = update(made, {TITLE_KEY: remote.title})
            outputs.write(file.path, made, expect=file.file)
        except OutputError as error:
            return structs.replace(found, refused=error.message)
    workspace.store.note("pull", structs.replace(record, saved=saved, saved_at=iso_exact(runtime.wall())))
    workspace.store.flush()
    return structs.replace(found, copy=copy)


def _refusal(item: ItemSides, remote: Remote, body: str | None) -> str:
    """Return why the file is left alone; empty: it is not."""
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
