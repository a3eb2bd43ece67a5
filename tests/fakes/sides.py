"""The four sides of a comparison, built by hand: what a planner test needs."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import structs

from contentops.digest import NOTHING, digest_text
from contentops.documents.clean import body_digest, title_digest
from contentops.model import (
    ApiSettings,
    Change,
    Desired,
    ItemId,
    Job,
    JobState,
    Moved,
    Observed,
    Origin,
    Plan,
    Project,
    Record,
    Remote,
    Request,
    RequestId,
    Saved,
    Spec,
    State,
)
from contentops.planning.plan import make_plan
from contentops.planning.sides import Choice, PlanInputs, honours_ids

SERVER = "https://api.example.test:443"
PROJECT = Project(name="acme", root="/p", api=ApiSettings(base_url="https://api.example.test/v1"))
TEXT = "Generated text.\n"


def a_spec(id_: str = "a", *, topic: str = "x", output: str = "", **fields: Any) -> Spec:
    """A declared item."""
    request = Request(
        template="blog_article_generator",
        style="general_blog",
        inputs={"topic": topic},
        **{key: fields.pop(key) for key in ("mode", "revision") if key in fields},
    )
    return Spec(id=ItemId(id_), request=request, digest=request.digest, output=output or f"out/{id_}.md", **fields)


def a_record(spec: Spec, *, body: str = TEXT, saved: str | None = TEXT, **fields: Any) -> Record:
    """The record of a spec that was generated, and saved unless `saved` is None."""
    given: dict[str, Any] = {
        "id": spec.id,
        "digest": spec.digest,
        "request": spec.request.as_json(),
        "server": SERVER,
        "dialect": "v1",
        "output": spec.output,
        "title": "T",
        "metadata": {key: value for key, value in spec.metadata.items() if key != "title"},
        "generated": body_digest(body) if body else NOTHING,
        "saved": Saved(title=title_digest("T"), body=body_digest(saved)) if saved is not None else None,
        "content_id": "cnt_1" if saved is not None else "",
        "request_id": RequestId("job_1"),
        "used": spec.used,
        "rev": 1,
    }
    return Record(**{**given, **fields})


def a_job(spec: Spec, state: JobState = JobState.RUNNING, **fields: Any) -> Job:
    """An open job for a spec."""
    given: dict[str, Any] = {
        "request_id": RequestId(f"req-{spec.id}-{fields.get('attempt', 1)}-{spec.digest[-6:]}"), "item": spec.id,
        "digest": spec.digest, "attempt": 1, "state": state, "server": SERVER, "dialect": "v1", "credits": 4,
        "job_id": "" if state in (JobState.SUBMITTING, JobState.UNKNOWN) else "job_9",
    }  # fmt: skip
    return Job(**{**given, **fields})


def a_finished(spec: Spec, body: str = TEXT, **fields: Any) -> Job:
    """The job that made a text for a spec, which was in a file once."""
    return a_job(spec, JobState.SETTLED, body=body_digest(body), **fields)


def a_maker(record: Record) -> Job:
    """The job that made the text of a record."""
    return Job(
        request_id=record.request_id, item=record.id, digest=record.digest, attempt=1, state=JobState.SETTLED,
        server=record.server, dialect="v1", credits=4, job_id=record.request_id, body=record.generated,
    )  # fmt: skip


def a_file(path: str, *, body: str = TEXT, title: str = "T", **fields: Any) -> Observed:
    """A file on disk, with the provenance block of the job that `a_record` names."""
    file, block = digest_text(f"{title}{body}{fields}"), {"job": "job_1"}
    values = {"path": path, "file": file, "title": title, "body": body_digest(body), "provenance": block}
    return Observed(**{**values, **fields})


def a_remote(*, body: str = TEXT, title: str = "T", **fields: Any) -> Remote:
    """What a refresh found of the content that `a_record` is saved as."""
    return Remote(**{"content_id": "cnt_1", "title": title, "body": body_digest(body), **fields})


def stated(spec: Spec, *names: str) -> Spec:
    """The spec, with fields that the item itself states."""
    return structs.replace(spec, origins={**spec.origins, **{name: Origin(layer="item") for name in names}})


def a_situation(
    specs: Iterable[Spec] = (),
    records: Iterable[Record] = (),
    files: Iterable[Observed] = (),
    *,
    open_jobs: Iterable[Job] = (),
    jobs: Iterable[Job] = (),
    project: Project = PROJECT,
    moved: Mapping[str, str] | None = None,
    claimed_paths: Mapping[str, str] | None = None,
    remote: Mapping[str, Remote] | None = None,
    **choice: Any,
) -> PlanInputs:
    """All sides at once."""
    pairs = tuple(Moved(old=ItemId(old), new=ItemId(new)) for old, new in (moved or {}).items())
    desired = Desired(specs=tuple(sorted(specs, key=lambda spec: spec.id)), moved=pairs)
    known = {record.id: record for record in records}
    made = (a_maker(record) for record in known.values() if record.generated and record.request_id)
    state = State(
        lineage="8a4f2c3e-6b1d-5e7f-9a0b-1c2d3e4f5a6b",
        records=known,
        open_jobs={job.request_id: job for job in open_jobs},
        jobs=(*made, *jobs),
    )
    return PlanInputs(
        project=project, desired=desired, state=state, observed={file.path: file for file in files},
        claimed_paths=claimed_paths or {},
        remote=None if remote is None else {ItemId(id_): each for id_, each in remote.items()},
        choice=Choice(**choice), honours_ids=honours_ids(state, project.api.server),
    )  # fmt: skip


def plan_of(*args: Any, **kwargs: Any) -> Plan:
    """The plan of such a situation."""
    return make_plan(a_situation(*args, **kwargs))


def only_change(*args: Any, **kwargs: Any) -> Change:
    """The one change of such a plan."""
    plan = plan_of(*args, **kwargs)
    assert len(plan.changes) == 1, plan.changes
    return plan.changes[0]
