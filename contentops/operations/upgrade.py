"""`state upgrade`: read the files of the format before `contentops.jobs`, and write those of today.

Format 1 had no jobs: the lock named open jobs, and what was paid for was found in locks, their history in git, the
journal, the reports of runs and the cache. All of these are read here once, and nothing else reads them.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from contentops.atomic_io import PUBLIC, Disk
from contentops.ci.results import jobs_name, lock_name, locks_in_history
from contentops.digest import NOTHING, Digest
from contentops.documents.files import Outputs
from contentops.errors import ContentopsError, Diagnostic, InputError, Location, StateError
from contentops.json_reader import decode_json, load_json
from contentops.manifests.project import load_project
from contentops.model import Count, ItemId, Job, JobState, Project, Record, RequestId
from contentops.model.jobs import closed, is_further
from contentops.operations.opening import Runtime, open_cache
from contentops.operations.workspace import hold_lock, validate
from contentops.planning.guards import tokens_at_most
from contentops.state import jobs as files
from contentops.state import lock as locks
from contentops.state import state_dir
from contentops.state import store as journals
from contentops.state.cache import StoredText
from contentops.state.codec import DamagedState, Forget, Header, add_rule, damaged_line, line_of, numbered
from contentops.state.jobs import JobsStore
from contentops.state.lock import Lock, LockLine
from contentops.state.store import JournalFact
from contentops.tokens import PaidTokens

_HEADER = "contentops_lock"
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


_Value = _OldRecord | Job | Forget | Header


class Upgraded(Struct, frozen=True, kw_only=True):
    """What an upgrade wrote for one environment."""

    environment: str
    records: int
    jobs: int


class _Old(Struct, frozen=True, kw_only=True):
    """Lock and journal of one environment."""

    environment: str
    lineage: str
    records: Mapping[ItemId, Record]
    open_jobs: Mapping[RequestId, Job]
    """Those that are open."""
    closed: Mapping[RequestId, Job]
    """Those that the journal dropped."""


class _Line(NamedTuple):
    """A line of a file, with its keys and what it says."""

    text: str
    keys: Mapping[str, Any]
    value: _Value | None


class _Told(NamedTuple):
    """A job as one source tells it."""

    environment: str
    job: Job
    names: tuple[str, ...]
    """The ids that its item had."""
    is_own: bool
    """Whether its digest is sure to be that of its request: a record may have got another one by `on_edit: keep`."""


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
        if old:
            _name_texts_by_submit(project)
        jobs = _jobs_of(found, frozenset(_ordered(project, names, runtime.disk)))
        return tuple(_write(one, state, _bounded(one, jobs[one.environment]), runtime.disk) for one, state in found)


def _name_texts_by_submit(project: Project) -> None:
    """Store the paid texts of the cache as today. Raises StateError where that cannot be done."""
    with open_cache(project, write=True) as cache:
        for text in cache.paid_texts():
            about, body = text.about, text.about.body or cache.body(text.body)
            if body and text.row != f"text {text.server} {text.digest} {about.request_id}":
                cache.put_text(text.server, text.digest, structs.replace(about, body=body))
                cache.drop_texts([text])


def _ordered(project: Project, environments: Iterable[str], disk: Disk) -> Iterator[RequestId]:
    """Yield the orders that the jobs of today have, as after a merge: only lock and journal may know more of them."""
    for name in map(jobs_name, environments):
        if (data := disk.read(Path(project.root) / name)) is not None:
            yield from (job.request_id for job in files.read(data, name).lines.values())


# --- reading -----------------------------------------------------------------------------------------------


def _files(project: Project, environment: str) -> tuple[Path, Path]:
    """Return the paths of lock and journal."""
    root = Path(project.root)
    journal = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
    return root / lock_name(environment), journal


def _is_old(project: Project, environment: str, disk: Disk) -> bool:
    """Whether lock or journal has a header of format 1; a merge may have put one beside that of today."""
    return any(
        keys.get(_HEADER) == 1
        for path in _files(project, environment)
        for line in (disk.read(path) or b"").decode("utf-8", "replace").splitlines()
        if _HEADER in line and "id" not in (keys := _keys(line))
    )


def _read(project: Project, disk: Disk) -> _Old:
    lock_path, journal_path = _files(project, project.environment)
    lines, facts = _parsed(lock_path, disk), _parsed(journal_path, disk, is_journal=True)
    lineages = {one.value.lineage for one in (*lines, *facts) if isinstance(one.value, Header)}
    if len(lineages) != 1:
        message = f"`{lock_path.name}` and its journal have lines of different projects"
        hint = "keep the header and the lines of one project"
        raise StateError(message, code="mixed-lineages", hint=hint, location=Location(lock_path.name))
    records: defaultdict[ItemId, tuple[LockLine, ...]] = defaultdict(tuple)
    for line in lines:
        if isinstance(line.value, _OldRecord):
            records[line.value.id] = (*records[line.value.id], LockLine(line.value, line.text))
    known: list[JournalFact] = []
    jobs = {line.value.request_id: line.value for line in lines if isinstance(line.value, Job)}
    dropped: set[RequestId] = set()
    for line in facts:
        match line.value:
            case Record() | Forget():
                base = tuple(map(Digest, str(line.keys.get("base", "")).split()))
                known.append(JournalFact(fact=line.value, base=base))
            case Job():
                jobs[line.value.request_id] = line.value
                dropped.discard(line.value.request_id)
            case _:
                dropped.add(RequestId(str(line.keys.get("drop", ""))))
    outputs = Outputs(project.root)
    return _Old(
        environment=project.environment,
        lineage=next(iter(lineages)),
        records=journals.fold(Lock(records=records), known, body_on_disk=lambda path: outputs.observe(path).body),
        open_jobs={id_: job for id_, job in jobs.items() if id_ not in dropped},
        closed={id_: job for id_, job in jobs.items() if id_ in dropped},
    )


def _parsed(path: Path, disk: Disk, *, is_journal: bool = False) -> list[_Line]:
    """Return the lines of a file; the end of a journal may be incomplete. Raises DamagedState with every bad line."""
    data = disk.read(path) or b""
    form, restore = locks.FORMAT, f"restore it with `git checkout -- {path.name}`"
    if is_journal:
        data = data[: data.rfind(b"\n") + 1]
        form, restore = journals.FORMAT, "delete the line: only its content is lost"
    found: list[_Line] = []
    damaged: list[Diagnostic] = []
    for number, text in numbered(data.decode("utf-8", "replace")):
        keys = _keys(text)
        found.append(_Line(text, keys, _value(text, keys)))
        if found[-1].value is None and not {"drop", "checkpoint"} & keys.keys():
            damaged.append(damaged_line(text, number, path.name, "cannot be read", form, restore))
    if damaged:
        raise DamagedState(damaged)
    while is_journal and found and found[-1].keys.get("more"):
        # The end of this group never became durable, so that none of it counts.
        found.pop()
    return found


def _keys(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if isinstance(value := load_json(line), dict):
            return value
    return {}


def _value(line: str, keys: Mapping[str, Any]) -> _Value | None:
    """Return what a line says, an open job as its job; None where it is no such line, or cannot be used."""
    kinds: dict[str, type[_Value]] = {"id": _OldRecord, "forget": Forget, _HEADER: Header}
    with contextlib.suppress(ValueError, msgspec.MsgspecError):
        if "open" in keys:
            renamed = {_ENTRY.get(key, key): value for key, value in keys.items()}
            return msgspec.convert({"dialect": "", "credits": 0} | renamed, Job)
        for key, kind in kinds.items():
            if key in keys:
                return decode_json(line, kind)
    return None


# --- jobs --------------------------------------------------------------------------------------------------


def _jobs_of(found: Sequence[tuple[Project, _Old]], ordered: frozenset[RequestId]) -> dict[str, list[Job]]:
    """Return the jobs of each environment: each once, in the environment that ordered it.

    Of what several sources say about a job, the furthest counts; of equals, the last one.
    """
    told: defaultdict[tuple[str, RequestId], list[_Told]] = defaultdict(list)
    for project, old in found:
        past = (one for one in _past(project, old) if one.job.request_id not in ordered)
        for one in (*past, *_present(old)):
            told[one.job.server, one.job.request_id].append(one)
    for project, old in found:
        for one in _cached(project, old.environment):
            if one.job.request_id not in ordered and (one.job.server, one.job.request_id) not in told:
                told[one.job.server, one.job.request_id] = [one]
    jobs: dict[str, list[Job]] = {old.environment: [] for _, old in found}
    for (_, request_id), lines in told.items():
        if not request_id:
            # No job made this text: it was adopted or promoted.
            continue
        furthest = lines[0].job
        for one in lines:
            furthest = furthest if is_further(furthest, one.job) else one.job
        environment, digest = _order_of(lines, {old.environment: old.lineage for _, old in found})
        section = next((one.job.section for one in lines if one.job.section), "")
        jobs[environment].append(structs.replace(furthest, digest=digest, section=section))
    return jobs


def _past(project: Project, old: _Old) -> Iterator[_Told]:
    """Yield what git and the reports of runs say about the jobs of an environment; none of it is open any more."""
    environment = old.environment
    for line in locks_in_history(project, environment):
        value = _value(line, _keys(line))
        if isinstance(value, _OldRecord):
            yield _of_record(environment, value)
        elif isinstance(value, Job) and value.request_id not in old.open_jobs:
            yield _Told(environment, closed(value), (value.item,), is_own=True)
    for key, record in _reported(project):
        one = _of_record(environment, record)
        if key == "generations":
            yield one
        elif record.request_id not in old.open_jobs:
            yield one._replace(job=structs.replace(one.job, state=JobState.FAILED, lost=True, credits=0))


def _present(old: _Old) -> Iterator[_Told]:
    """Yield what lock and journal say about the jobs of an environment."""
    for is_closed, jobs in ((True, old.closed), (False, old.open_jobs)):
        for job in jobs.values():
            yield _Told(old.environment, closed(job) if is_closed else job, (job.item,), is_own=True)
    yield from (_of_record(old.environment, one) for one in old.records.values() if isinstance(one, _OldRecord))


def _bounded(project: Project, jobs: Sequence[Job]) -> Iterator[Job]:
    """Yield the jobs, with the most that a model can have used where that is not known: for a month's budget."""
    most: dict[Digest, PaidTokens] = {}
    if project.price is not None and any(_is_unmeasured(job) for job in jobs):
        with contextlib.suppress(InputError):
            bounds = ((spec.digest, tokens_at_most(spec, project)) for spec in validate(project).specs)
            most = {digest: tokens for digest, tokens in bounds if tokens is not None}
    highest = max(most.values(), key=project.price.of, default=None) if project.price is not None else None
    for job in jobs:
        yield structs.replace(job, bound=most.get(job.digest, highest)) if _is_unmeasured(job) else job


def _is_unmeasured(job: Job) -> bool:
    is_made = job.state is JobState.SETTLED
    return job.tokens is None and not job.is_failure and (bool(job.model) or (job.server == "local" and not is_made))


def _order_of(lines: Sequence[_Told], lineages: Mapping[str, str]) -> tuple[str, Digest]:
    """Return the environment that ordered a job, and the digest of its request; empty: it is not known.

    A request id of format 1 was made of lineage, environment, item, digest and attempt.
    """
    for one in lines:
        for environment, lineage in lineages.items():
            parts = ((environment, name, one.job.digest) for name in one.names)
            ids = (
                str(uuid.uuid5(uuid.UUID(lineage), "\n".join((*part, str(attempt)))))
                for part in parts
                for attempt in range(1, _ATTEMPTS + 1)
            )
            if one.job.request_id in ids:
                return environment, one.job.digest
    return lines[0].environment, next((one.job.digest for one in lines if one.is_own), NOTHING)


def _of_record(environment: str, record: _OldRecord) -> _Told:
    """Return the job whose text a record has."""
    asked = {name: value for name in ("template", "style") if isinstance(value := record.request.get(name), str)}
    job = _job(record, item=record.id, body=record.generated, **asked)
    return _Told(environment, job, (record.id, record.moved_from, *record.older_ids), is_own=False)


_SAME = {*Job.__struct_fields__} - {"plan_id", "frame", "sources", "rev"}
"""What a record or a kept text of format 1 says of its job under the same name."""


def _job(source: Record | StoredText, **stated: Any) -> Job:
    """Return the job that made the text of a record or of the cache, with what is stated beside."""
    same = {name: getattr(source, name) for name in source.__struct_fields__ if name in _SAME}
    return Job(**{**same, "state": JobState.SETTLED, "submitted_at": same["generated_at"], **stated})


def _reported(project: Project) -> Iterator[tuple[str, _OldRecord]]:
    """Yield the records of texts, and of failed jobs that used tokens, in the reports of runs on this machine."""
    for path in sorted((Path(project.root) / state_dir.FOLDER / "runs").glob("*.json")):
        with contextlib.suppress(OSError, ContentopsError, ValueError, msgspec.MsgspecError):
            report = load_json(path.read_bytes())
            if report.get("environment", "") == project.environment:
                for key in ("generations", "failed"):
                    yield from ((key, msgspec.convert(one, _OldRecord)) for one in report.get(key, ()))


def _cached(project: Project, environment: str) -> Iterator[_Told]:
    """Yield a job for each paid text of the cache, as after a run that was killed."""
    with open_cache(project, write=False) as cache:
        for text in cache.paid_texts():
            about, asked = text.about, {"digest": text.digest, "server": text.server, "dialect": "", "attempt": 1}
            job = _job(about, body=text.body, lost=about.given_up, **asked)
            yield _Told(environment, job, (ItemId(about.item),), is_own=True)


# --- writing -----------------------------------------------------------------------------------------------


def _write(project: Project, old: _Old, jobs: Iterable[Job], disk: Disk) -> Upgraded:
    """Write jobs, then the lock, then delete the journal; after a kill, another upgrade goes on."""
    root, (path, journal) = Path(project.root), _files(project, project.environment)
    store = JobsStore(root, old.environment, old.lineage, disk)
    known = {(job.server, job.request_id): job for job in store.known.jobs}
    for job in jobs:
        before = known.get((job.server, job.request_id))
        if before is None or is_further(job, before):
            at = job.submitted_at if before is None else before.submitted_at
            store.known.learn([structs.replace(job, submitted_at=at)])
    store.checkpoint()
    add_rule(root, disk, locks.FORMAT)
    lines = (line_of(_of_today(record)) for _, record in sorted(old.records.items()))
    disk.replace(path, locks.join(old.lineage, lines), PUBLIC)
    with contextlib.suppress(FileNotFoundError):
        journal.unlink()
    return Upgraded(environment=old.environment, records=len(old.records), jobs=len(store.known.jobs))


def _of_today(record: Record) -> Record:
    """Return a record without what its job says."""
    made = isinstance(record, _OldRecord) and record.server == "local" and record.generated_at and not record.model
    today = msgspec.convert(record, Record, from_attributes=True)
    return structs.replace(today, outline=True) if made else today
