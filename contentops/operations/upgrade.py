"""`state upgrade`: read the files of the format before `contentops.jobs`, and write those of today.

Format 1 had no jobs: the lock named open jobs, and what was paid for was found in locks, their history in git and the
journal. All of these are read here once, and nothing else reads them.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Struct, structs

from contentops.atomic_io import PUBLIC, Disk
from contentops.ci.results import jobs_name, lock_name, locks_in_history
from contentops.digest import NOTHING, Digest
from contentops.documents.clean import body_digest
from contentops.documents.files import Outputs
from contentops.errors import Location, StateError
from contentops.manifests.project import load_project
from contentops.model import Count, ItemId, Job, JobState, Project, Record, RequestId
from contentops.model.jobs import closed, stage
from contentops.operations.opening import Runtime, open_cache
from contentops.operations.workspace import hold_lock
from contentops.state import jobs as files
from contentops.state import lock as locks
from contentops.state import state_dir
from contentops.state import store as journals
from contentops.state.codec import ONE_PROJECT, Forget, Header, add_rule, line_of, parse_as, read_lines
from contentops.tokens import PaidTokens

_HEADER = "contentops_lock"
_OLD_HEADER = re.compile(rb'^\W*"contentops_lock": *1\b', re.MULTILINE)
_ATTEMPTS = 100
"""The attempts at one request that a request id of format 1 is compared with."""
_ENTRY = {
    "open": "id",
    "digest": "request",
    "job_id": "job",
    "plan_id": "plan",
    "submitted_at": "at",
    "body": "text",
    "generated_at": "done",
    "section": "part",
    "content_id": "content",
}
"""The keys of an open job that have other names in a job."""


class _OldHeader(Header, frozen=True, kw_only=True):
    """The first line of a lock or a journal, in the old or the new format."""

    oldest: ClassVar[int] = 1


class _OldRecord(Record, frozen=True, kw_only=True, gc=False):
    """A record of format 1, which also said what the job of its text was."""

    model: str = ""
    job_id: str = ""
    attempt: Count = 0
    credits: Count = 0
    tokens: PaidTokens | None = None
    generated_at: str = ""
    moved_from: str = ""
    older_ids: tuple[str, ...] = ()


class _OldDrop(Struct, frozen=True):
    """The fact that an open job was closed; if it names no job, a checkpoint."""

    drop: RequestId = RequestId("")


class _Line(NamedTuple):
    """A decoded line, with all of its keys."""

    value: _OldRecord | Job | Forget | _OldDrop
    keys: Mapping[str, Any]


class Upgraded(Struct, frozen=True, kw_only=True):
    """What an upgrade wrote for one environment."""

    environment: str
    records: int
    jobs: int


class _Old(Struct, frozen=True, kw_only=True):
    """Lock and journal of one environment, with the jobs that they name: open ones, and those that were dropped."""

    environment: str
    lineage: str
    records: Mapping[ItemId, Record]
    jobs: Mapping[RequestId, Job]


class _Listed(NamedTuple):
    """A job as one source tells it, with the ids that its item had.

    `is_own`: its digest is sure to be that of its request; a record may have got another one by `on_edit: keep`.
    """

    environment: str
    job: Job
    names: tuple[str, ...]
    is_own: bool


def upgrade(project: Project, runtime: Runtime) -> tuple[Upgraded, ...]:
    """Write jobs and lock of every environment of format 1; no text changes and nothing is paid for.

    Raises StateError for files that cannot be read and in a shallow clone, and GitFailed, before anything is written;
    LockHeld while another command works.
    """
    names = ("", *(project.settings.get("environments") or {}))
    with hold_lock(project, runtime):
        old = [name for name in names if _is_old(project, name, runtime.disk)]
        projects = [load_project(Path(project.root), environment=name, variables=project.cli_vars) for name in old]
        found = [(one, _read(one, runtime.disk)) for one in projects]
        for one, state in found:
            _keep_texts(one, state.jobs.values())
        # After a merge, jobs of today may know an order better than the lock's history does.
        ordered = {
            job.request_id
            for name in map(jobs_name, names)
            if (data := runtime.disk.read(Path(project.root) / name)) is not None
            for job in files.read(data, name).lines.values()
        }
        jobs = _jobs_of(found, ordered)
        return tuple(_write(one, state, jobs[one.environment], runtime.disk) for one, state in found)


def _keep_texts(project: Project, jobs: Iterable[Job]) -> None:
    """Store the texts of the cache that are in no file yet as today. Raises StateError if that cannot be done."""
    with open_cache(project, write=True) as cache:
        for job in jobs:
            text = cache.recall(f"text {job.server} {job.digest}", dict[str, Any]) or {}
            if job.state is JobState.PAID and body_digest(body := str(text.get("body", ""))) == job.body:
                cache.put_text(body, text.get("front") or {}, item=job.item)


# --- reading -----------------------------------------------------------------------------------------------


def _files(project: Project, environment: str) -> tuple[Path, Path]:
    """Return the paths of lock and journal."""
    root = Path(project.root)
    journal = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
    return root / lock_name(environment), journal


def _is_old(project: Project, environment: str, disk: Disk) -> bool:
    """Return whether lock or journal has a header of format 1; a merge may have put one beside that of today."""
    return any(_OLD_HEADER.search(disk.read(path) or b"") for path in _files(project, environment))


def _read(project: Project, disk: Disk) -> _Old:
    """Return lock and journal of an environment. Raises StateError (DamagedState with every bad line)."""
    lock_path, journal_path = _files(project, project.environment)
    data, journal = disk.read(lock_path), disk.read(journal_path) or b""
    lineage, lines = read_lines(data or b"", lock_path.name, locks.FORMAT, _parse, torn=data is None)
    latest, facts = read_lines(journal, journal_path.name, journals.FORMAT, _parse, torn=True)
    if lineage and latest not in ("", lineage):
        message = f"`{lock_path.name}` and its journal have lines of different projects"
        raise StateError(message, code="mixed-lineages", hint=ONE_PROJECT, location=Location(lock_path.name))
    while facts and facts[-1][1].keys.get("more"):
        # The end of this group never became durable, so that none of it counts.
        facts.pop()
    records: defaultdict[ItemId, tuple[locks.LockLine, ...]] = defaultdict(tuple)
    for text, (value, _) in lines:
        if isinstance(value, Record):
            records[value.id] = (*records[value.id], locks.LockLine(value, text))
    known = [
        journals.JournalFact(fact=value, base=tuple(map(Digest, keys.get("base", "").split())))
        for _, (value, keys) in facts
        if isinstance(value, Record | Forget)
    ]
    jobs: dict[RequestId, Job] = {}
    for _, (value, _) in (*lines, *facts):
        if isinstance(value, Job):
            jobs[value.request_id] = value
        elif isinstance(value, _OldDrop) and value.drop in jobs:
            jobs[value.drop] = closed(jobs[value.drop])
    outputs = Outputs(project.root)
    return _Old(
        environment=project.environment,
        lineage=lineage or latest,
        records=journals.fold(locks.Lock(records=records), known, body_on_disk=lambda path: outputs.observe(path).body),
        jobs=jobs,
    )


def _parse(text: str) -> _Line | _OldHeader:
    """Return the content of a line; for an open job, its job. Raises ValueError with a message for people."""
    keys = parse_as(text, dict[str, Any])
    kinds: dict[str, type[Any]] = {"id": _OldRecord, "forget": Forget, "drop": _OldDrop, "checkpoint": _OldDrop}
    try:
        if _HEADER in keys and "id" not in keys:
            return msgspec.convert(keys, _OldHeader)
        if "open" in keys:
            renamed = {_ENTRY.get(key, key): value for key, value in keys.items()}
            return _Line(msgspec.convert({"dialect": "", "credits": 0} | renamed, Job), keys)
        return _Line(msgspec.convert(keys, next(kind for key, kind in kinds.items() if key in keys)), keys)
    except (msgspec.MsgspecError, StopIteration) as error:
        message = "cannot be read"
        raise ValueError(message) from error


# --- jobs --------------------------------------------------------------------------------------------------


def _jobs_of(found: Sequence[tuple[Project, _Old]], ordered: Container[RequestId]) -> dict[str, list[Job]]:
    """Return the jobs of each environment: each once, in the environment that ordered it.

    Of what several sources say about a job, the furthest counts; of equals, the last one.
    """
    listed: defaultdict[tuple[str, RequestId], list[_Listed]] = defaultdict(list)
    for project, old in found:
        for one in _listed(project, old, ordered):
            listed[one.job.server, one.job.request_id].append(one)
    lineages = {old.environment: old.lineage for _, old in found}
    jobs: dict[str, list[Job]] = {environment: [] for environment in lineages}
    for (_, request_id), lines in listed.items():
        if not request_id:
            # No job made this text: it was adopted or promoted.
            continue
        furthest = max(reversed(lines), key=lambda one: stage(one.job)).job
        environment, digest = _order_of(lines, lineages)
        section = next((one.job.section for one in lines if one.job.section), "")
        jobs[environment].append(structs.replace(furthest, digest=digest, section=section))
    return jobs


def _listed(project: Project, old: _Old, ordered: Container[RequestId]) -> Iterator[_Listed]:
    """Yield the closed jobs of an environment from git's history, then those of lock and journal."""
    for line in locks_in_history(project, old.environment):
        with contextlib.suppress(ValueError):
            match _parse(line):
                case _Line(_OldRecord() as record, _) if record.request_id not in ordered:
                    yield _of_record(old.environment, record)
                case _Line(Job() as job, _) if job.request_id not in ordered and job.request_id not in old.jobs:
                    yield _Listed(old.environment, closed(job), (job.item,), is_own=True)
    for job in old.jobs.values():
        yield _Listed(old.environment, job, (job.item,), is_own=True)
    yield from (_of_record(old.environment, one) for one in old.records.values() if isinstance(one, _OldRecord))


def _order_of(lines: Sequence[_Listed], lineages: Mapping[str, str]) -> tuple[str, Digest]:
    """Return the environment that ordered a job, and the digest of its request; empty: it is not known.

    A request id of format 1 was made of lineage, environment, item, digest and attempt.
    """
    for one, (environment, lineage) in itertools.product(lines, lineages.items()):
        for name, attempt in itertools.product(one.names, range(1, _ATTEMPTS + 1)):
            parts = (environment, name, one.job.digest, str(attempt))
            if one.job.request_id == str(uuid.uuid5(uuid.UUID(lineage), "\n".join(parts))):
                return environment, one.job.digest
    return lines[0].environment, next((one.job.digest for one in lines if one.is_own), NOTHING)


def _of_record(environment: str, record: _OldRecord) -> _Listed:
    """Return the job whose text a record has."""
    said: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__ if name in _SAME}
    said |= {name: value for name in ("template", "style") if isinstance(value := record.request.get(name), str)}
    at = record.generated_at
    job = Job(**said, item=record.id, body=record.generated, state=JobState.SETTLED, submitted_at=at)
    return _Listed(environment, job, (record.id, record.moved_from, *record.older_ids), is_own=False)


_SAME = {*Job.__struct_fields__} - {"plan_id", "frame", "sources", "rev"}
"""What a record of format 1 says of its job under the same name."""


# --- writing -----------------------------------------------------------------------------------------------


def _write(project: Project, old: _Old, jobs: Iterable[Job], disk: Disk) -> Upgraded:
    """Write jobs, then the lock, then delete the journal; after a kill, another upgrade goes on."""
    root, (path, journal) = Path(project.root), _files(project, project.environment)
    store = files.JobsStore(root, old.environment, old.lineage, disk)
    known = {(job.server, job.request_id): job for job in store.known.jobs}
    for job in jobs:
        before = known.get((job.server, job.request_id))
        if before is None or stage(job) > stage(before):
            at = job.submitted_at if before is None else before.submitted_at
            store.known.put(structs.replace(job, submitted_at=at))
    store.checkpoint()
    add_rule(root, disk, locks.FORMAT)
    lines = (line_of(_of_today(record)) for _, record in sorted(old.records.items()))
    disk.replace(path, locks.join(old.lineage, lines), PUBLIC)
    journal.unlink(missing_ok=True)
    return Upgraded(environment=old.environment, records=len(old.records), jobs=len(store.known.jobs))


def _of_today(record: Record) -> Record:
    """Return a record without the fields that its job has."""
    made = isinstance(record, _OldRecord) and record.server == "local" and record.generated_at and not record.model
    today = msgspec.convert(record, Record, from_attributes=True)
    return structs.replace(today, outline=True) if made else today
