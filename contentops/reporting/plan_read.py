"""A plan back from its JSON, as much of it as is shown.

The document may come from a stranger's pull request: it is held against the schema of plans before anything is made of
it, and nothing of it is trusted beyond its shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentops.model import (
    Acknowledge,
    Change,
    Drain,
    Fetch,
    LookUp,
    Move,
    Observed,
    OpenEntry,
    Plan,
    Poll,
    Remove,
    Request,
    Save,
    Spec,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.model.planfile import no_plan_file, plan_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Step
    from contentops.model.planfile import PlanFile, ReviewedChange, ReviewedJob


def check_shape(document: Mapping[str, Json], path: str) -> None:
    """Holds a document against the schema of plans. Raises InputError, naming the first part that does not fit."""
    from jsonschema import Draft7Validator

    from contentops.schema_files import load_schema

    problem = next(Draft7Validator(load_schema("plan")).iter_errors(document), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path)[:100]
        where = f": `{at}` is not as it should be" if at else ""
        raise no_plan_file(f"`{path}` is no plan file{where}")


def plan_of(document: Mapping[str, Json]) -> Plan:
    """The plan that `plan_json` wrote, of a document that passed `check_shape`.

    Without records; of specs, steps and open entries only what a plan says about them.
    """
    file = plan_file(document)
    return Plan(
        project=file.project,
        environment=file.environment,
        server=file.server,
        lineage=file.lineage,
        id=file.id,
        changes=tuple(_change(change, file) for change in file.changes),
        notes=file.notes,
        refusals=file.refusals,
        unchanged=file.summary.unchanged,
        findings=file.diagnostics,
    )


def _change(change: ReviewedChange, file: PlanFile) -> Change:
    def entry(job: ReviewedJob) -> OpenEntry:
        return OpenEntry(
            request_id=job.request_id,
            item=change.id,
            digest=job.digest,
            attempt=change.attempt,
            state=job.state,
            server=file.server,
            dialect="",
            credits=0,
            job_id=job.job_id,
            error=job.error,
        )

    # A plan tells the digest of a request, not the request.
    request = Request(template="", style="", inputs={})
    spec = Spec(id=change.id, request=request, digest=change.digest, output=change.target) if change.digest else None
    held = entry(change.entry) if change.entry is not None else None
    steps: tuple[Step, ...] = (
        Submit(request=request, digest=change.digest, attempt=change.attempt, credits=change.credits),
        LookUp(entry=held) if held is not None else Poll(),
        Poll(entry=held),
        Fetch(digest=change.digest, entry=held),
        Move(source=change.source, target=change.target, expects=change.file),
        Write(target=change.target, front=change.front, title=change.title),
        Update(target=change.target, expects=change.file, front=change.front, title=change.title),
        Acknowledge(front=change.front, title=change.title),
        Save(path=change.target),
        Remove(target=change.target),
    )
    known = {name_of(step): step for step in steps}
    drains = tuple(Drain(entry=entry(one)) for one in change.drains)
    return Change(
        id=change.id,
        action=change.action,
        file=Observed(path=change.source or ("" if spec else change.target), file=change.file, body=change.body),
        reasons=change.reasons,
        steps=(*drains, *(known[name] for name in change.steps if name in known)),
        spec=spec,
        renamed_from=change.renamed_from,
        held=held,
        blocked=change.blocked,
        hint=change.hint,
    )
