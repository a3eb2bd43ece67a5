"""The third question: which keys of the front matter, and which title, are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from contentops.digest import is_same_json
from contentops.documents.preset import apply_preset, title_for
from contentops.model import Action, Note, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Observed, Spec
    from contentops.planning.edits import BodyAnswer
    from contentops.planning.inputs import ItemSides, PlanInputs


class FrontAnswer(Struct, frozen=True, kw_only=True):
    """The answer to the third question: the keys to write (None removes one), and the title if one is written."""

    front: Mapping[str, Json] = field(default_factory=dict)
    title: str | None = None
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Note, ...] = ()
    """Which values of a person stay."""


def wanted_front(inputs: PlanInputs, spec: Spec) -> tuple[dict[str, Json], str | None]:
    """The front matter keys the manifest states, by the project's preset, and the title if it states one."""
    front = dict(apply_preset(inputs.project.preset, spec.metadata))
    title = front.pop("title", None)
    return front, title if isinstance(title, str) else None


def which_front_matter(item: ItemSides, body: BodyAnswer) -> FrontAnswer:
    """Which keys and title are written, and why: those that differ from the record, but for values of a person."""
    wanted, title = wanted_front(item.inputs, item.spec)
    record, file, id_ = item.own, item.file, item.spec.id
    offer = item.offer if title is None else None
    if offer is not None and (body.action is Action.PROMOTE or file.body == offer.file.body):
        title = title_for(item.inputs.project.preset, offer.file.title) or None
    if record is None or not file.exists:
        return FrontAnswer(front=wanted, title=title)
    front: dict[str, Json] = {}
    reasons: list[Reason] = []
    kept: list[str] = []
    same = is_same_json(wanted, record.metadata)
    for key in () if same else sorted(wanted.keys() | record.metadata.keys()):
        before, after = record.metadata.get(key), wanted.get(key)
        if is_same_json(before, after) and (key in wanted) == (key in record.metadata):
            continue
        found = file.front.get(key)
        if is_same_json(found, before) or is_same_json(found, after):
            front[key] = after
            reasons.append(_rewritten(f"metadata.{key}", before, after))
        else:
            kept.append(key)
    if file.owner not in ("", id_) and file.owner in (record.id, record.moved_from):
        front["contentops"] = {**file.provenance, "item": id_}
        reasons.append(_rewritten("contentops.item", file.owner, id_))
    if title is not None and file.title not in (record.title, title):
        kept.append("title")
        title = None
    elif title is not None and title != record.title:
        reasons.append(_rewritten("metadata.title", record.title, title))
    elif not body.writes:
        title = None
    notes = tuple(
        Note(kind="kept-front-matter", id=id_, message=f"`{id_}`: `{key}` was changed in the file and stays as it is")
        for key in kept
    )
    return FrontAnswer(front=front, title=title, reasons=tuple(reasons), notes=notes)


def _rewritten(name: str, before: Json, after: Json) -> Reason:
    return Reason(kind="front-matter", field=name, before=before, after=after)


def differs(file: Observed, front: FrontAnswer) -> bool:
    """Whether the file has other front matter than is wanted."""
    other = any(not is_same_json(file.front.get(key), value) for key, value in front.front.items())
    return other or front.title not in (None, file.title)
