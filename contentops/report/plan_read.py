"""A plan back from its JSON, as much of it as is shown.

The document may come from a stranger's pull request: it is held against the schema of plans first, and nothing of it
is trusted beyond its shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.errors import Diagnostic, InputError
from contentops.model import Action, Change, ItemId, Note, Plan, Reason, Refusal, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json


def plan_of(document: Mapping[str, Json], path: str) -> Plan:
    """The plan that `plan_json` wrote, without specs, records and entries. Raises InputError where it is none."""
    from jsonschema import Draft7Validator

    from contentops.schema_files import load_schema

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        message = f"`{path}` is no plan file: `{at}` is not as it should be" if at else f"`{path}` is no plan file"
        hint = "make one with `contentops plan --out FILE`"
        raise InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])
    return Plan(
        project=document["project"],
        environment=document["environment"],
        server=document["server"],
        lineage=document["lineage"],
        id=document["id"],
        changes=tuple(_change(change) for change in document["changes"]),
        notes=tuple(
            Note(kind=note["kind"], message=note["message"], id=_item(note["id"]), hint=note["hint"])
            for note in document["notes"]
        ),
        refusals=tuple(
            Refusal(guard=one["guard"], message=one["message"], flag=one["flag"]) for one in document["refusals"]
        ),
        unchanged=document["summary"]["unchanged"],
    )


def _item(name: str | None) -> ItemId | None:
    return None if name is None else ItemId(name)


def _change(change: Mapping[str, Any]) -> Change:
    return Change(
        id=ItemId(change["id"]),
        action=Action(change["action"]),
        steps=tuple(Step(step) for step in change["steps"]),
        reasons=tuple(Reason(**{key: reason[key] for key in _REASON}) for reason in change["reasons"]),
        attempt=change["attempt"],
        target=change["target"],
        source=change["source"],
        renamed_from=_item(change["renamed_from"]),
        title=change["title"],
        credits=change["credits"],
        blocked=change["blocked"],
        hint=change["hint"],
    )


_REASON = ("kind", "field", "before", "after", "cause", "detail")
