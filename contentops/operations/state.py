"""`state` repairs or upgrades the recorded state; it generates no text and writes no output file."""

from __future__ import annotations

import contextlib
import itertools
import re
import uuid
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec import Struct, structs

from contentops.api.calls import Failure, FailureKind, GetStatus
from contentops.atomic_io import PUBLIC, Disk
from contentops.ci.results import locks_in_history
from contentops.digest import NOTHING, Digest
from contentops.documents.clean import body_digest
from contentops.documents.files import Outputs
from contentops.errors import (
    ContentopsError,
    InputError,
    Location,
    Refused,
    StateError,
    UsageError,
    did_you_mean,
    plural,
)
from contentops.execution.run_context import ServerCapabilities
from contentops.manifests.project import load_project, url_problem
from contentops.manifests.validate import id_hint, id_problem
from contentops.model import ApiSettings, Count, ItemId, Job, JobState, Project, Record, RequestId, State
from contentops.model.jobs import closed, stage
from contentops.operations.connection import converse, recorded_owners
from contentops.operations.opening import HERE, Runtime, open_cache, other_states
from contentops.operations.workspace import Workspace, hold_lock, no_item, open_workspace, shared_state, validate
from contentops.planning.sides import specs_by_id
from contentops.sanitize import clip
from contentops.state import jobs as files
from contentops.state import lock as locks
from contentops.state import state_dir
from contentops.state import store as journals
from contentops.state.codec import ONE_PROJECT, Drop, Fact, Forget, Header, add_rules, line_of, parse_as, read_lines
from contentops.state.state_dir import jobs_name, lock_name
from contentops.tokens import PaidTokens


def move_record(project: Project, old: str, new: str) -> str:
    """Rename the record and open jobs of item `old` to `new`, and return `new`.

    Raises UsageError if `old` is unknown, or if `new` is taken or invalid.
    """
    if problem := id_problem(new) if new else "is empty":
        shown = f"`{clip(new, 60)}`" if new else "the new id"
        raise UsageError(f"{shown} {problem}", code="bad-id", hint=id_hint(new))
    with _editing(project) as workspace:
        state = workspace.state
        record = state.records.get(ItemId(old))
        jobs = [job for job in state.open_jobs.values() if job.item == old]
        if record is None and not jobs:
            raise no_item(old, state.records)
        if ItemId(new) in state.records:
            raise UsageError(
                f"`{new}` has a record already", code="taken-id", hint=f"`contentops state rm {new}` forgets it"
            )
        facts: list[Fact] = [structs.replace(job, item=ItemId(new)) for job in jobs]
        if record is not None:
            facts += [structs.replace(record, id=ItemId(new)), Forget(ItemId(old))]
        _note(workspace, "state mv", *facts)
    return new


def forget_record(project: Project, item: str) -> None:
    """Delete the record of an item; the item's file and its text on the server stay."""
    with _editing(project) as workspace:
        if ItemId(item) not in workspace.state.records:
            raise no_item(item, workspace.state.records)
        _note(workspace, "state rm", Forget(ItemId(item)))


def move_server(project: Project, old: str, new: str) -> str:
    """Record that the server `old` now has the address `new`, and return the server's new name in records.

    Only scheme, host and port of an address count. Raises UsageError if no text was ordered from `old`, or if `new` is
    not an address.
    """
    if problem := url_problem(new):
        code, message, hint = problem
        raise UsageError(message.replace("`base_url`", "NEW"), code=code, hint=hint)
    new = ApiSettings(base_url=new).server
    with _editing(project) as workspace:
        state = workspace.state
        records = [structs.replace(one, server=new) for one in state.records.values() if one.server == old]
        servers = {one.server for one in state.records.values()} | {one.server for one in state.jobs}
        if old not in servers:
            hint = did_you_mean(old, servers, "known: " + (", ".join(sorted(servers)) or "none"))
            raise UsageError(f"no text was ordered from `{old}`", code="unknown-server", hint=hint)
        _note(workspace, "state mv --server", *records)
        workspace.store.move_server(old, new)
    return new


class OpenSubmit(Struct, frozen=True, kw_only=True):
    """A submit request without a known outcome; a person may have to say what happened to it."""

    job: Job
    wanted: bool | None
    """Whether the manifests still ask for its request; None: they cannot be read."""


def open_submits(project: Project, item: str = "") -> tuple[OpenSubmit, ...]:
    """Return the submit requests of an item whose outcome a person can state.

    Without an item, return all with an unknown outcome. Raises UsageError if the item has none.
    """
    jobs = shared_state(project)[0].open_jobs.values()
    if item:
        open_ones = _meant(project, jobs, item)
    else:
        open_ones = [job for job in jobs if _is_undecided(job) and job.state is not JobState.RUNNING]
    specs = None
    if open_ones:
        with contextlib.suppress(InputError):
            specs = specs_by_id(validate(project))

    def is_wanted(job: Job) -> bool | None:
        spec = specs.get(job.item) if specs is not None else None
        return None if specs is None else spec is not None and spec.digest == job.digest

    open_ones.sort(key=lambda job: (job.item, job.submitted_at, job.request_id))
    return tuple(OpenSubmit(job=job, wanted=is_wanted(job)) for job in open_ones)


def resolve(
    project: Project,
    item: str,
    *,
    request: str = "",
    job: str = "",
    content: str = "",
    forget: bool = False,
    runtime: Runtime = HERE,
) -> str:
    """Record what a person says about a submit request whose reply was lost.

    Returns a sentence about it. `request`: the start of its request id. Raises UsageError if no submit request or
    several match, if the content belongs to another item, or if the job belongs to another request or the server does
    not know it.
    """
    with _editing(project, runtime) as workspace:
        jobs = workspace.state.open_jobs.values()
        meant = _meant(project, jobs, item, request, forget=forget)
        if len(meant) > 1 and _is_undecided(meant[0]):
            each = ", ".join(f"`--request {order.short}`" for order in meant)
            hint = f"state one of {each}; `contentops state resolve {item}` shows which is which"
            raise UsageError(f"`{item}` has {plural(len(meant), 'open submit')}", code="several-submits", hint=hint)
        if forget:
            _note(workspace, "state resolve", *(Drop(order.request_id, lost=True) for order in meant))
            rest = sum(order.item == item for order in jobs) - len(meant)
            stays = f" ({rest:,} more {'is' if rest == 1 else 'are'} kept)" if rest else ""
            return f"forgot {plural(len(meant), 'open submit')} of `{item}`{stays}; the next apply may submit it again"
        _refuse_taken(project, workspace.state, meant[0], content)
        _refuse_other_job(project, workspace.state, meant[0], job)
        unchecked = _refuse_unknown_job(workspace, meant[0], job) if job else ""
        resolved = structs.replace(meant[0], state=JobState.RUNNING, job_id=job, error="")
        if not job:
            resolved = structs.replace(meant[0], state=JobState.PAID, content_id=content, body=NOTHING, error="")
        _note(workspace, "state resolve", resolved)
        result = f"job `{job}`" if job else f"content `{content}`"
        unsure = f" (whether the server knows the job was not checked: {unchecked})" if unchecked else ""
        return f"the submit of `{item}` became {result}; the next apply finishes it{unsure}"


def _refuse_taken(project: Project, state: State, job: Job, content: str) -> None:
    """Raise UsageError if a stored content belongs to another item than the job's item."""
    owner = recorded_owners(project, state).get(content)
    if owner is None or (not owner.lock and owner.item == job.item):
        return
    whose = f"of `{owner.item}`" + (f" in `{owner.lock}`" if owner.lock else "")
    hint = "`contentops content list` shows the item of each content"
    raise UsageError(f"content `{content}` is that {whose}, not of `{job.item}`", code="content-taken", hint=hint)


def _refuse_other_job(project: Project, state: State, order: Job, job: str) -> None:
    """Raise UsageError if the server's job `job` was started by another submit request than `order`."""
    for name, other_state in {**other_states(project), project.environment: state}.items() if job else ():
        for one in other_state.jobs:
            if one.lost or (one.server, one.job_id) != (order.server, job) or one.request_id == order.request_id:
                continue
            lock = "" if name == project.environment else lock_name(name)
            whose = "another text of " if not lock and one.item == order.item else ""
            message = f"job `{job}` is that of {whose}`{one.item}`{f' in `{lock}`' if lock else ''}, not of this submit"
            raise UsageError(message, code="job-taken", hint="`contentops state list` shows the item of each job")


def _refuse_unknown_job(workspace: Workspace, order: Job, job: str) -> str:
    """Raise UsageError if the server does not know a job.

    Returns why the server could not be asked, or an empty text.
    """
    project, cache = workspace.project, workspace.cache
    if order.server != project.api.server:
        return f"it is one of `{order.server}`"
    if ServerCapabilities.load(cache, workspace.state, order.server).hides_jobs:
        return "the server has denied a job before that it had accepted"
    call = GetStatus(job, ours=order.request_id)
    try:
        answer = converse(project, workspace.runtime, lambda caller: caller.ask_once(call), cache, workspace.limiter)
    except ContentopsError as error:
        return error.message
    if not isinstance(answer, Failure):
        return ""
    if answer.kind is not FailureKind.NOT_FOUND:
        return answer.full_message
    hint = "look at the account: if only its text is stored, use `--content ID`; if there is nothing, `--forget`"
    raise UsageError(f"`{order.server}` does not know job `{job}`; nothing was recorded", code="unknown-job", hint=hint)


def _meant(project: Project, jobs: Collection[Job], item: str, request: str = "", *, forget: bool = False) -> list[Job]:
    """Return the submit requests of unknown outcome that belong to an item id.

    They are those under the id, and those for the item's current request. Raises UsageError if there is none.
    """
    wanted = NOTHING
    with contextlib.suppress(InputError):
        spec = specs_by_id(validate(project)).get(ItemId(item))
        wanted = spec.digest if spec is not None else NOTHING
    asked = [job for job in jobs if job.item == item or job.digest == wanted]
    named = [job for job in asked if job.request_id.startswith(request)]
    matches = [job for job in named if _is_undecided(job)]
    if forget and not matches:
        # All failed submits may go at once: nothing was paid for them.
        matches = [job for job in named if job.state is JobState.FAILED]
        # A text that was paid for is given up only by its request id.
        matches = matches or [job for job in named if request and job.state is JobState.PAID]
    if matches:
        return matches
    whose = f"whose request begins with `{clip(request, 60)}`" if request else "whose outcome is unknown"
    unknown = sorted({f"`{job.item}`" for job in jobs if job.state is JobState.UNKNOWN})
    hint = "unknown at the moment: " + (", ".join(unknown) or "none")
    raise UsageError(f"`{item}` has no submit {whose}", code="nothing-to-resolve", hint=hint)


def _is_undecided(job: Job) -> bool:
    """Return whether a person may state the outcome of a job.

    They may if the job or its paid text may be lost.
    """
    if job.state is JobState.PAID:
        return not job.job_id
    return job.state is not JobState.FAILED


def _note(workspace: Workspace, step: str, *facts: Fact) -> None:
    """Record changes of the state, unless another process works on the same jobs.

    Raises Refused, and records nothing, in that case.
    """
    ledger, open_ones = workspace.working_ledger, workspace.store.state.open_jobs
    meant = {fact.request_id for fact in facts if isinstance(fact, Job | Drop)}
    named = {(job.server, job.request_id) for id_, job in open_ones.items() if id_ in meant}
    if ledger is not None and (lost := ledger.claim(named)):
        raise Refused(
            f"another process works on `{open_ones[min(lost)].item}`; nothing was changed",
            code="ledger-changed",
            hint="`contentops status` shows which; wait for it or stop it, then run this again",
        )
    workspace.store.note(step, *facts)


@contextlib.contextmanager
def _editing(project: Project, runtime: Runtime = HERE) -> Iterator[Workspace]:
    """Open the state for a change while no other command changes it, and write the lock at the end."""
    with hold_lock(project, runtime), open_workspace(project, runtime, write=True) as workspace:
        yield workspace
        workspace.store.checkpoint()


# ---- `state upgrade`: read the files of the format before `contentops.jobs`, and write those of today.
#
# Format 1 had no jobs: the lock named open jobs, and what was paid for was found in locks, their history in git and the
# journal. All of these are read here once, and nothing else reads them.

_HEADER = "contentops_lock"
_OLD_HEADER = re.compile(rb'^\W*"contentops_lock": *1\b', re.MULTILINE)
_ATTEMPTS = 100
"""How many attempts at one request are tried to recognise a request id of format 1."""
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
    """The first line of a lock or journal, in the old or the current format."""

    oldest: ClassVar[int] = 1


class _OldRecord(Record, frozen=True, kw_only=True, gc=False):
    """A record from state files of format 1; it also describes the job that made its text."""

    model: str = ""
    job_id: str = ""
    attempt: Count = 0
    credits: Count = 0
    tokens: PaidTokens | None = None
    generated_at: str = ""
    moved_from: str = ""
    older_ids: tuple[str, ...] = ()


class _OldDrop(Struct, frozen=True):
    """A line of an old journal that closed an open job. Without a job, it marks a checkpoint."""

    drop: RequestId = RequestId("")


class _Line(NamedTuple):
    """A decoded line of a lock or journal, with all of its keys."""

    value: _OldRecord | Job | Forget | _OldDrop
    keys: Mapping[str, Any]


class Upgraded(Struct, frozen=True, kw_only=True):
    """The counts of records and jobs that an upgrade wrote for one environment."""

    environment: str
    records: int
    jobs: int


class _Old(Struct, frozen=True, kw_only=True):
    """The lock and journal of an environment, with their open and closed jobs."""

    environment: str
    lineage: str
    records: Mapping[ItemId, Record]
    jobs: Mapping[RequestId, Job]


class _Listed(NamedTuple):
    """A job found in a lock, a journal or git's history, with all ids that its item has had.

    `is_own`: its digest is certainly that of its request. A record may have got another digest by `on_edit: keep`.
    """

    environment: str
    job: Job
    names: tuple[str, ...]
    is_own: bool


def upgrade(project: Project, runtime: Runtime) -> tuple[Upgraded, ...]:
    """Write jobs and lock in the current format for each environment whose state files use format 1.

    No text changes and nothing is paid for. Raises StateError if files cannot be read and in a shallow clone, and
    GitFailed, before anything is written; LockHeld while another command works.
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
            for job in files.read(data, name)[1].values()
        }
        jobs = _jobs_of(found, ordered)
        return tuple(_write(one, state, jobs[one.environment], runtime.disk) for one, state in found)


def _keep_texts(project: Project, jobs: Iterable[Job]) -> None:
    """Convert cached texts that were not yet written into a file to the current format.

    Raises StateError if that is not possible.
    """
    with open_cache(project, write=True) as cache:
        for job in jobs:
            text = cache.recall(f"text {job.server} {job.digest}", dict[str, Any]) or {}
            if job.state is JobState.PAID and body_digest(body := str(text.get("body", ""))) == job.body:
                cache.put_text(body, text.get("front") or {}, item=job.item)


# --- reading -----------------------------------------------------------------------------------------------


def _files(project: Project, environment: str) -> tuple[Path, Path]:
    """Return the paths of the lock and the journal of an environment."""
    root = Path(project.root)
    journal = root / state_dir.FOLDER / state_dir.named("journal", environment, "jsonl")
    return root / lock_name(environment), journal


def _is_old(project: Project, environment: str, disk: Disk) -> bool:
    """Return whether a lock or journal has a header of format 1.

    After a merge, it may have a current header too.
    """
    return any(_OLD_HEADER.search(disk.read(path) or b"") for path in _files(project, environment))


def _read(project: Project, disk: Disk) -> _Old:
    """Return the records and jobs in an environment's lock and journal. Raises StateError.

    For bad lines it is DamagedState, with all of them.
    """
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
    """Return the decoded content of one line of a lock or journal.

    If the line describes an open job, return this job. Raises ValueError with a message for people.
    """
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
    """Return the jobs, grouped by environment. Each job is only in the environment that ordered it.

    If several sources have a job, the one in the latest state counts; if these are equal, the last one.
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
    """Yield the closed jobs of an environment from git's history, then those from its lock and journal."""
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
    """Return the environment that ordered a job, and the digest of its request (empty if unknown).

    A request id of format 1 was made of lineage, environment, item, digest and attempt.
    """
    for one, (environment, lineage) in itertools.product(lines, lineages.items()):
        for name, attempt in itertools.product(one.names, range(1, _ATTEMPTS + 1)):
            parts = (environment, name, one.job.digest, str(attempt))
            if one.job.request_id == str(uuid.uuid5(uuid.UUID(lineage), "\n".join(parts))):
                return environment, one.job.digest
    return lines[0].environment, next((one.job.digest for one in lines if one.is_own), NOTHING)


def _of_record(environment: str, record: _OldRecord) -> _Listed:
    """Return the job that made the text of a record."""
    said: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__ if name in _SAME}
    said |= {name: value for name in ("template", "style") if isinstance(value := record.request.get(name), str)}
    at = record.generated_at
    job = Job(**said, item=record.id, body=record.generated, state=JobState.SETTLED, submitted_at=at)
    return _Listed(environment, job, (record.id, record.moved_from, *record.older_ids), is_own=False)


_SAME = {*Job.__struct_fields__} - {"plan_id", "frame", "sources", "rev"}
"""The fields of a job that a record of format 1 has under the same name."""


# --- writing -----------------------------------------------------------------------------------------------


def _write(project: Project, old: _Old, jobs: Iterable[Job], disk: Disk) -> Upgraded:
    """Write the jobs, then the lock, then delete the journal. After a kill, another upgrade completes it."""
    root, (path, journal) = Path(project.root), _files(project, project.environment)
    store = files.JobsStore(root, old.environment, old.lineage, disk)
    known = {(job.server, job.request_id): job for job in store.known.jobs}
    for job in jobs:
        before = known.get((job.server, job.request_id))
        if before is None or stage(job) > stage(before):
            at = job.submitted_at if before is None else before.submitted_at
            store.known.put(structs.replace(job, submitted_at=at))
    store.checkpoint()
    add_rules(root, disk, files.RULED)
    lines = (line_of(_of_today(record)) for _, record in sorted(old.records.items()))
    disk.replace(path, locks.join(old.lineage, lines), PUBLIC)
    journal.unlink(missing_ok=True)
    return Upgraded(environment=old.environment, records=len(old.records), jobs=len(store.known.jobs))


def _of_today(record: Record) -> Record:
    """Return an old record in the current format, without the fields that are now stored in its job."""
    made = isinstance(record, _OldRecord) and record.server == "local" and record.generated_at and not record.model
    today = msgspec.convert(record, Record, from_attributes=True)
    return structs.replace(today, outline=True) if made else today
