"""What the server has of a plan's items: remembered from earlier looks, or looked at before anything is paid for.

A plan shows what was seen before, from the cache. An apply has the network: it looks at each content whose text it
would pay for or replace, and plans again with what it finds.
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
from contentops.planning.review import compare_file
from contentops.state.seen import seen_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from contentops.api.calls import ContentEntry
    from contentops.model import Change, Json, Plan, Record, Remote
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


def remembered(workspace: Workspace, inputs: PlanInputs) -> PlanInputs:
    """The sides of a plan, with the edits and deletions that earlier looks saw there and no save has answered since."""
    seen = seen_contents(workspace.cache, inputs.server)
    records = saved_records(inputs) if seen else ()
    remote = {record.id: one for record in records if (one := _remembered(workspace, record, seen)) is not None}
    if not remote:
        return inputs
    from contentops.operations.contents.recorded_texts import mark_recorded

    return structs.replace(inputs, remote=mark_recorded(workspace, inputs, remote))


def _remembered(workspace: Workspace, record: Record, seen: Mapping[str, Remote]) -> Remote | None:
    one, saved = seen.get(record.content_id), record.saved
    if one is None or saved is None or one.saved != saved.body:
        return None
    is_kept = one.is_lost or workspace.cache.body(one.body) is not None
    return one if is_kept and (one.is_lost or is_edited_on_server(one, record)) else None


def plan_of(
    workspace: Workspace,
    inputs: PlanInputs,
    reviewed: Mapping[str, Json] | None,
    refused: Callable[[Plan], object],
) -> tuple[PlanInputs, Plan]:
    """What an apply does, made with what the server has of the texts that it would pay for or replace.

    Asks only where there are any, and the plan is not `refused` anyway: for one list, and for each content that the
    list does not show to be as it was. What cannot be looked at is held back.

    Raises what planning raises, ApiError where the key is missing, and Refused where it may not go to the server.
    """
    look = _Look(workspace)
    if reviewed is not None and not inputs.choice.refresh:
        return _plan_of_file(look, inputs, reviewed, refused)
    made = make_plan(inputs) if reviewed is None else compare_file(inputs, reviewed)
    looked: set[ItemId] = set()
    while not (inputs.choice.refresh or refused(made) or look.trouble) and (ids := _in_question(inputs, made) - looked):
        looked |= ids
        others = {id_: one for id_, one in (inputs.remote or {}).items() if id_ not in ids}
        inputs = structs.replace(inputs, remote={**others, **look.at(inputs, ids)})
        # Another item may come in the place of one that is blocked now.
        made = make_plan(inputs)
    return inputs, look.held(made, looked)


def _plan_of_file(
    look: _Look, inputs: PlanInputs, reviewed: Mapping[str, Json], refused: Callable[[Plan], object]
) -> tuple[PlanInputs, Plan]:
    """The same for a plan file. What was edited there, and no one reviewed, blocks its item alone."""
    known = {change.id for change in plan_file(reviewed).changes if change.remote}
    ids = {record.id for record in saved_records(inputs) if record.id in known} if known else set()
    inputs = structs.replace(inputs, remote=look.at(inputs, ids) if ids else None)
    if look.trouble:
        raise ApiError(look.trouble, hint="run `contentops apply` again: the plan file acts on an edit in WriterzRoom")
    made = compare_file(inputs, reviewed)
    if refused(made):
        return inputs, made
    others = _in_question(inputs, made) - ids
    seen = look.at(inputs, others) if others else {}
    changes = [_left_out(one, seen.get(_record_id(one))) for one in made.changes]
    return inputs, look.held(structs.replace(made, changes=tuple(changes)), others)


class _Look:
    """Looks of one plan, the last of which may have failed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._listed: dict[str, ContentEntry] = {}
        self.trouble = ""

    def at(self, inputs: PlanInputs, ids: AbstractSet[ItemId]) -> Mapping[ItemId, Remote]:
        """What the server has of these records, where that is something else than was saved."""
        from contentops.operations.connection import credentials
        from contentops.operations.contents.refresh import refresh

        credentials(inputs.project.api, self._workspace.runtime)
        try:
            return refresh(self._workspace, inputs, only=ids, listed=self._listed).remote or {}
        except ApiError as error:
            self.trouble = error.message
            return {}

    def held(self, made: Plan, looked: AbstractSet[ItemId]) -> Plan:
        """The plan; where the server could not be asked, without what it would do to these records."""
        if not self.trouble:
            return made
        changes = (_unseen(one, self.trouble) if _record_id(one) in looked else one for one in made.changes)
        return structs.replace(made, changes=tuple(changes))


def _in_question(inputs: PlanInputs, made: Plan) -> AbstractSet[ItemId]:
    """The records whose text would be paid for, replaced, or held back because of what was seen before."""
    records = {record.id for record in saved_records(inputs)} if any(map(_touches, made.changes)) else set()
    return {id_ for one in made.changes if _touches(one) and (id_ := _record_id(one)) in records}


def _touches(change: Change) -> bool:
    restores = any(isinstance(step, Write) and isinstance(step.mode, Restore) for step in change.steps)
    return change.remote is not None or (change.has(Submit, Write) and not restores)


def _record_id(change: Change) -> ItemId:
    return change.record.id if change.record is not None else ItemId("")


def _unseen(change: Change, trouble: str) -> Change:
    content = change.record.content_id if change.record is not None else ""
    hint = f"whether content `{content}` was edited in WriterzRoom cannot be seen: {trouble}; "
    return block_change(change, "not-looked-at", f"{hint}run `contentops apply` again")


def _left_out(change: Change, remote: Remote | None) -> Change:
    """The change of a reviewed plan; held back where the content has words that no one reviewed."""
    if remote is None or change.record is None:
        return change
    content = f"content `{remote.content_id}`"
    if remote.problem:
        return block_change(change, "unreadable-there", f"{content} cannot be compared: {remote.problem}")
    if not is_edited_on_server(remote, change.record):
        return change
    hint = f"{content} was edited in WriterzRoom, and the plan file does not know it; make and review a new plan"
    return block_change(change, "edited-there", hint)
