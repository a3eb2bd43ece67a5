"""Recognise texts on the server that this project has recorded before: they are no new edits.

`git revert` brings the record and the file of an earlier text back. The text that the server still has is then in the
history of the lock, and the file replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from contentops.ci.results import RecordedTexts, recorded_texts
from contentops.documents.clean import title_digest
from contentops.model import ItemId
from contentops.planning.plan_inputs import is_edited_on_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Record, Remote
    from contentops.operations.workspace import Workspace
    from contentops.planning.plan_inputs import PlanInputs


def mark_recorded(workspace: Workspace, inputs: PlanInputs, remote: Mapping[ItemId, Remote]) -> dict[ItemId, Remote]:
    """Return what the server has, with texts that were recorded before marked so. Asks git only where needed."""
    records = inputs.state.records
    edits = {id_: one for id_, one in remote.items() if _is_in_question(inputs, records.get(id_), one)}
    past = recorded_texts(inputs.project, {one.content_id for one in edits.values()}) if edits else {}
    made = _made(workspace, inputs, edits) if edits else {}
    marked = {
        id_: structs.replace(one, recorded=True)
        for id_, one in edits.items()
        if _is_known(one, records[id_], (past.get(one.content_id), made.get(id_)))
    }
    return {**remote, **marked}


def _is_in_question(inputs: PlanInputs, record: Record | None, remote: Remote) -> bool:
    """Tell whether it looks like an edit, and the file has another text."""
    if record is None or not is_edited_on_server(remote, record):
        return False
    return inputs.observe(record.output).body != remote.body


def _made(workspace: Workspace, inputs: PlanInputs, edits: Mapping[ItemId, Remote]) -> dict[ItemId, RecordedTexts]:
    """Return the texts that jobs made for these items, as far as the cache has them."""
    records = inputs.state.records
    jobs = ((id_, job.item) for id_ in edits for job in inputs.jobs_of(records[id_].digest))
    # What a job of its request was called then; an id that another item has by now is that one's.
    names = {name: id_ for id_, name in jobs if name not in records} | {id_: id_ for id_ in edits}
    texts: dict[ItemId, RecordedTexts] = {}
    for text in workspace.cache.paid_texts():
        id_ = names.get(ItemId(text.about.item))
        if id_ is not None and text.server == inputs.server:
            recorded = texts.get(id_, RecordedTexts())
            titles, bodies = recorded.titles | {title_digest(text.about.title)}, recorded.bodies | {text.body}
            texts[id_] = RecordedTexts(titles=titles, bodies=bodies)
    return texts


def _is_known(remote: Remote, record: Record, past: tuple[RecordedTexts | None, ...]) -> bool:
    saved = record.saved
    recorded = [one for one in past if one is not None]
    if saved is None or not recorded:
        return False
    bodies = saved.bodies.union(*(one.bodies for one in recorded))
    titles = saved.titles.union({title_digest(record.title)}, *(one.titles for one in recorded))
    return remote.body in bodies and (not remote.title or title_digest(remote.title) in titles)
