"""Compare a plan's items with the texts stored on the server: by earlier looks, or by a look before anything is paid.

A plan uses what the cache remembers. An apply reads each content whose text it would pay for or replace, and plans
again with what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.errors import ApiError
from contentops.model import ItemId, Restore, Submit, Write
from contentops.model.plan_file import plan_file
from contentops.planning.decide import block_change
from contentops.planning.plan import make_plan
from contentops.planning.plan_inputs import is_edited_on_server
from contentops.planning.remote_edits import saved_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from contentops.api.calls import ContentEntry
    from contentops.model import Change, Json, Plan, Record, Remote
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


def remembered(workspace: Workspace, inputs: PlanInputs) -> PlanInputs:
    """Return the inputs with the edits and deletions on the server that earlier looks saw and no save has answered."""
    seen = workspace.cache.seen(inputs.server)
    records = saved_records(inputs) if seen else ()
    remote = {record.id: one for record in records if (one := _remembered(workspace, record, seen)) is not None}
    if not remote:
        return inputs
    from contentops.operations.contents.recorded_texts import mark_recorded

    return structs.replace(inputs, remote=mark_recorded(workspace, inputs, remote))


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
    reviewed: Mapping[str, Json] | None,
    refused: Callable[[Plan], object],
) -> tuple[PlanInputs, Plan]:
    """Plan what an apply does, with what the server has of the texts that it would pay for or replace.

    `reviewed`: the document of a plan file. The server is asked only where there are such texts and the plan is not
    `refused`. Items that cannot be looked at are blocked.

    Raises what planning raises, ApiError where the key is missing, and Refused where it may not go to the server.
    """
    if inputs.choice.refresh and reviewed is None:
        return inputs, make_plan(inputs)
    if reviewed is not None:
        return _plan_of_file(_Look(workspace), inputs, reviewed, refused)
    look = _Look(workspace)
    looked: AbstractSet[ItemId] = set()
    while True:
        plan = make_plan(inputs)
        # Another item may come in the place of one that the last look blocked.
        if refused(plan) or look.trouble or not (ids := _in_question(inputs, plan) - looked):
            return inputs, look.block_unseen(plan, looked)
        looked |= ids
        others = {id_: remote for id_, remote in (inputs.remote or {}).items() if id_ not in ids}
        inputs = structs.replace(inputs, remote={**others, **look.at(inputs, ids)})


def _plan_of_file(
    look: _Look, inputs: PlanInputs, reviewed: Mapping[str, Json], refused: Callable[[Plan], object]
) -> tuple[PlanInputs, Plan]:
    """Plan a plan file. An edit on the server that no one reviewed blocks its item alone."""
    from contentops.planning.review import compare_file  # start-up: a plan compares none

    if inputs.choice.refresh:
        return inputs, compare_file(inputs, reviewed)
    reviewed_edits = {change.id for change in plan_file(reviewed).changes if change.remote}
    ids = {record.id for record in saved_records(inputs) if record.id in reviewed_edits} if reviewed_edits else set()
    inputs = structs.replace(inputs, remote=look.at(inputs, ids) if ids else None)
    if look.trouble:
        raise ApiError(
            look.trouble, hint="run `contentops apply` again: the plan file contains an edit from WriterzRoom"
        )
    plan = compare_file(inputs, reviewed)
    if refused(plan):
        return inputs, plan
    others = _in_question(inputs, plan) - ids
    remote = look.at(inputs, others) if others else {}
    changes = tuple(_block_unreviewed(change, remote.get(_record_id(change))) for change in plan.changes)
    return inputs, look.block_unseen(structs.replace(plan, changes=changes), others)


class _Look:
    """The looks of one plan. `trouble`: why the last one failed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._listed: dict[str, ContentEntry] = {}
        self.trouble = ""

    def at(self, inputs: PlanInputs, ids: AbstractSet[ItemId]) -> Mapping[ItemId, Remote]:
        """Ask the server about these records; return what differs from what was saved."""
        from contentops.operations.connection import read_credentials
        from contentops.operations.contents.refresh import refresh

        read_credentials(inputs.project.api, self._workspace.runtime)
        try:
            return refresh(self._workspace, inputs, only=ids, listed=self._listed).remote or {}
        except ApiError as error:
            self.trouble = error.message
            return {}

    def block_unseen(self, plan: Plan, ids: AbstractSet[ItemId]) -> Plan:
        """Return the plan; after a look that failed, its changes to these records are blocked."""
        if not self.trouble:
            return plan
        changes = (self._block(one) if _record_id(one) in ids else one for one in plan.changes)
        return structs.replace(plan, changes=tuple(changes))

    def _block(self, change: Change) -> Change:
        content = change.record.content_id if change.record is not None else ""
        hint = f"whether content `{content}` was edited in WriterzRoom is unknown: {self.trouble}; "
        return block_change(change, "not-looked-at", f"{hint}run `contentops apply` again")


def _in_question(inputs: PlanInputs, plan: Plan) -> AbstractSet[ItemId]:
    """Return the records whose text would be paid for, replaced, or blocked because of an earlier look."""
    ids = {_record_id(change) for change in plan.changes if _touches(change)}
    return {record.id for record in saved_records(inputs) if record.id in ids} if ids else ids


def _touches(change: Change) -> bool:
    restores = any(isinstance(step, Write) and isinstance(step.mode, Restore) for step in change.steps)
    return change.remote is not None or bool(change.later) or (change.has(Submit, Write) and not restores)


def _record_id(change: Change) -> ItemId:
    return change.record.id if change.record is not None else ItemId("")


def _block_unreviewed(change: Change, remote: Remote | None) -> Change:
    """Return a reviewed change, blocked where the content has words that no one reviewed."""
    if remote is None or change.record is None:
        return change
    content = f"content `{remote.content_id}`"
    if remote.problem:
        return block_change(change, "unreadable-there", f"{content} cannot be compared: {remote.problem}")
    if not is_edited_on_server(remote, change.record):
        return change
    hint = f"{content} was edited in WriterzRoom after the plan file was made; make and review a new plan"
    return block_change(change, "edited-on-server", hint)
