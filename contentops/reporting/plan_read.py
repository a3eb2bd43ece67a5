"""A plan back from its JSON, as much of it as is shown.

The document may come from a stranger's pull request: it is held against the schema of plans before anything is made of
it, and nothing of it is trusted beyond its shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentops.digest import Digest
from contentops.errors import Diagnostic, InputError, Location, Severity
from contentops.model import (
    Acknowledge,
    Action,
    Change,
    Drain,
    Fetch,
    ItemId,
    JobState,
    LookUp,
    Move,
    Note,
    Observed,
    OpenEntry,
    Plan,
    Poll,
    Reason,
    Refusal,
    Remove,
    Request,
    RequestId,
    Save,
    Spec,
    Submit,
    Update,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Step


def check_shape(document: Mapping[str, Json], path: str) -> None:
    """Holds a document against the schema of plans. Raises InputError, naming the first part that does not fit."""
    from jsonschema import Draft7Validator

    from contentops.schema_files import load_schema

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        where = f": `{at}` is not as it should be" if at else ""
        raise no_plan_file(f"`{path}` is no plan file{where}")


def no_plan_file(message: str) -> InputError:
    """What a file that is no plan file is answered with."""
    hint = "make one with `contentops plan --out FILE`"
    return InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])


def plan_of(document: Mapping[str, Json]) -> Plan:
    """The plan that `plan_json` wrote, of a document that passed `check_shape`.

    Without specs and records; of open entries only what a plan says about them. JSON has no integers of its own (`4.0`
    is one to the schema), so that numbers are made integers here.
    """
    return Plan(
        project=document["project"],
        environment=document["environment"],
        server=document["server"],
        lineage=document["lineage"],
        id=document["id"],
        changes=tuple(_change(change, document["server"]) for change in document["changes"]),
        notes=tuple(
            Note(kind=note["kind"], message=note["message"], id=_item(note["id"]), hint=note["hint"])
            for note in document["notes"]
        ),
        refusals=tuple(
            Refusal(guard=one["guard"], message=one["message"], flag=one["flag"]) for one in document["refusals"]
        ),
        unchanged=int(document["summary"]["unchanged"]),
        findings=tuple(_finding(one) for one in document["diagnostics"]),
    )


def _item(name: str | None) -> ItemId | None:
    return None if name is None else ItemId(name)


def _change(change: Mapping[str, Any], server: str) -> Change:
    def entry(stated: Mapping[str, Any]) -> OpenEntry:
        return OpenEntry(
            request_id=RequestId(stated["request_id"]),
            item=ItemId(change["id"]),
            digest=Digest(stated["digest"]),
            attempt=int(change["attempt"]),
            state=JobState(stated["state"]),
            server=server,
            dialect="",
            credits=0,
            job_id=stated["job_id"],
            error=stated["error"],
        )

    stated = None if change["entry"] is None else entry(change["entry"])
    drains = tuple(Drain(entry=entry(one)) for one in change["drains"])
    spec = None
    if change["digest"]:
        # A plan tells the digest of a request, not the request.
        request = Request(template="", style="", inputs={})
        spec = Spec(id=ItemId(change["id"]), request=request, digest=change["digest"], output=change["target"])
    path = change["source"] or ("" if spec else change["target"])
    return Change(
        id=ItemId(change["id"]),
        action=Action(change["action"]),
        file=Observed(path=path, file=Digest(change["file"]), body=Digest(change["body"])),
        reasons=tuple(Reason(**{key: reason[key] for key in _REASON}) for reason in change["reasons"]),
        steps=(*drains, *(_step(name, change, stated) for name in change["steps"] if name != "drain")),
        spec=spec,
        renamed_from=_item(change["renamed_from"]),
        held=stated,
        blocked=change["blocked"],
        hint=change["hint"],
    )


def _step(name: str, change: Mapping[str, Any], entry: OpenEntry | None) -> Step:  # noqa: PLR0911
    target, file, digest = change["target"], Digest(change["file"]), Digest(change["digest"])
    match name:
        case "look up" if entry is not None:
            return LookUp(entry=entry)
        case "submit":
            return Submit(
                request=Request(template="", style="", inputs={}),
                digest=digest,
                attempt=int(change["attempt"]),
                credits=int(change["credits"]),
            )
        case "poll":
            return Poll(entry=entry)
        case "move":
            return Move(source=change["source"], target=target, expects=file)
        case "write":
            return Write(target=target, front=change["front"], title=change["title"])
        case "update":
            return Update(target=target, expects=file, front=change["front"], title=change["title"])
        case "save":
            return Save(path=target)
        case "remove":
            return Remove(target=target)
        case "record":
            return Acknowledge()
        case _:
            return Fetch(digest=digest, entry=entry)


_REASON = ("kind", "field", "before", "after", "cause", "detail")


def _finding(finding: Mapping[str, Any]) -> Diagnostic:
    place = finding["location"]
    return Diagnostic(
        code=finding["code"],
        message=finding["message"],
        severity=Severity(finding["severity"]),
        location=None if place is None else Location(place["file"], int(place["line"]), int(place["column"])),
        excerpt=finding["excerpt"],
        width=int(finding["width"]),
        hint=finding["hint"],
    )
