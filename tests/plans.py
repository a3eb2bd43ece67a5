"""Builders for plans, changes and runs: every field has a plain default, a test states what it is about."""

import json
from collections.abc import Mapping
from typing import Any

from contentops.digest import NOTHING, Digest
from contentops.model import (
    Action,
    AnyPlan,
    Change,
    Collect,
    Event,
    ItemId,
    Job,
    JobState,
    Json,
    LookUp,
    Move,
    Observed,
    Outcome,
    Plan,
    Poll,
    Reason,
    Record,
    Request,
    RequestId,
    Result,
    Run,
    Save,
    Spec,
    Step,
    Submit,
    Update,
    Write,
)
from contentops.model.plan_file import CHECKSUM, PlanFile, checksum, plan_file
from contentops.reporting.plan_json import plan_pieces

GENERATE = ("submit", "poll", "write", "save")
NEW = (Reason(kind="new"),)


def make_spec(name: str = "guide", **fields: Any) -> Spec:
    """A spec of one input."""
    request = Request(template="blog_article_generator", style="general_blog", inputs={"topic": name})
    stated: dict[str, Any] = {
        "id": ItemId(name), "request": request, "digest": request.digest, "output": f"out/{name}.md",
    }  # fmt: skip
    return Spec(**stated | fields)


def make_record(name: str = "guide", **fields: Any) -> Record:
    """The record of `make_spec`."""
    spec = make_spec(name)
    stated: dict[str, Any] = {
        "id": spec.id, "digest": spec.digest, "request": spec.request.as_json(), "server": "local", "dialect": "v1",
        "output": spec.output,
    }  # fmt: skip
    return Record(**stated | fields)


def make_job(**fields: Any) -> Job:
    """A running job."""
    stated: dict[str, Any] = {
        "request_id": RequestId("request-1"), "item": ItemId("guide"), "digest": make_spec().digest, "attempt": 1,
        "state": JobState.RUNNING, "server": "local", "dialect": "v1", "credits": 4,
    }  # fmt: skip
    return Job(**stated | fields)


def make_change(name: str = "guide", action: Action = Action.CREATE, **fields: Any) -> Change:
    """A change; a create of four credits unless stated.

    `steps` are names, and `drains` and `job` open jobs: the steps are made of them and of `target`, `source`,
    `file` (the digest of the file at `source`), `credits`, `attempt`, `front` and `title`.
    """
    taken = ("target", "source", "file", "credits", "attempt", "front", "title", "job", "drains", "steps")
    given = {key: fields.pop(key) for key in taken if key in fields}
    spec = make_spec(name, output=given.get("target", f"out/{name}.md"))
    source, digest = given.get("source", ""), given.get("file", NOTHING)
    file = Observed(path=source, file=digest or a_digest("f") if source else NOTHING)
    names = given.get("steps", GENERATE if action is Action.CREATE or "credits" in given else ())
    drains = tuple(Collect(job=job) for job in given.get("drains", ()))
    steps = tuple(_step(each, spec, file, given) for each in names if each != "drain")
    stated: dict[str, Any] = {"id": ItemId(name), "action": action, "spec": spec, "blocked_job": given.get("job")}
    if action is Action.CREATE:
        stated["reasons"] = NEW
    return Change(**{"file": file, "steps": (*drains, *steps), **stated, **fields})


def _step(name: str, spec: Spec, file: Observed, given: dict[str, Any]) -> Step:
    job, front, title = given.get("job"), given.get("front", {}), given.get("title")
    attempt, price = given.get("attempt", 1), given.get("credits", 4)
    made: dict[str, Step] = {
        "submit": Submit(request=spec.request, digest=spec.digest, attempt=attempt, credits=price),
        "look up": LookUp(job=job or make_job()),
        "poll": Poll(job=job),
        "move": Move(source=file.path, target=spec.output, expects=file.file),
        "write": Write(target=spec.output, expects=file.file, front=front, title=title),
        "update": Update(target=spec.output, expects=file.file, front=front, title=title),
        "save": Save(path=spec.output),
    }
    return made[name]


def make_plan(*changes: Change, **fields: Any) -> Plan:
    """A plan of these changes."""
    stated: dict[str, Any] = {
        "project": "acme-blog", "environment": "", "server": "local", "lineage": "l-1", "id": "p-1",
    }  # fmt: skip
    return Plan(changes=changes, **stated | fields)


def plan_document(plan: AnyPlan, *, inputs: Mapping[str, Json] | None = None) -> dict[str, Any]:
    """A plan as a program reads it, without its checksum."""
    found: dict[str, Any] = json.loads("".join(plan_pieces(plan, inputs=inputs)))
    del found[CHECKSUM]
    return found


def plan_inputs(**given: Any) -> dict[str, Any]:
    """What a plan file says of how it was made: with no flag unless stated."""
    lists: dict[str, Any] = {name: list(given.get(name, ())) for name in ("variables", "select", "exclude", "replace")}
    flags = dict.fromkeys(("prune", "refresh", "drafts"), False)
    return {"on_edit": None, "on_source_change": None, **flags, **given, **lists}


def read_back(document: Mapping[str, Any]) -> PlanFile:
    """The plan in a document, whatever inputs it was made with."""
    return plan_file({CHECKSUM: "", **document, "inputs": {**plan_inputs(), **document["inputs"]}})


def sealed(document: Mapping[str, Json]) -> dict[str, Any]:
    """A document with the checksum over all its other keys."""
    return {**document, CHECKSUM: checksum(document)}


def make_outcome(name: str = "guide", result: Result = Result.DONE, **fields: Any) -> Outcome:
    """The end of a create."""
    stated: dict[str, Any] = {"id": ItemId(name), "action": Action.CREATE, "result": result}
    return Outcome(**stated | fields)


def make_run(*outcomes: Outcome, **fields: Any) -> Run:
    """A run of 63 seconds."""
    stated: dict[str, Any] = {
        "id": "r-1", "plan_id": "p-1", "environment": "", "server": "local",
        "started_at": "2026-03-01T10:00:00+00:00", "ended_at": "2026-03-01T10:01:03+00:00", "requests": 12,
    }  # fmt: skip
    return Run(outcomes=outcomes, **stated | fields)


def make_event(kind: str, item: str = "", step: str = "", second: int = 0, **data: Any) -> Event:
    """An event, `second` seconds into the run."""
    minutes, seconds = divmod(second, 60)
    return Event(kind=kind, at=f"2026-03-01T10:{minutes:02}:{seconds:02}+00:00", item=item, step=step, data=data)


def a_digest(letter: str) -> Digest:
    """A digest of one repeated digit."""
    return Digest(f"sha256:{letter * 64}") if letter else NOTHING
