"""Reads and writes `contentops.jobs`, the committed list of everything that was ordered and paid for.

The file is JSON Lines: a constant header with the lineage, then one line for each job, sorted by id. Git's union merge
may leave lines in any order, and one order twice.

A second file is in the git folder, where `git clean -xfd` does not delete it. So another branch, a revert or a reset
forgets no payment. This file gets each line before the request is sent. The committed file gets the lines together with
the lock.

A job changes with three facts of the state: something new is known about its submit, a record has its text, or it is
dropped. Invariant: after any facts, the lines in memory equal the result of `fold_orders` on all lines that were read
or written. The cost of a fact does not depend on the number of jobs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from msgspec import field, structs

from contentops.atomic_io import PRIVATE, PUBLIC, Disk
from contentops.digest import Digest
from contentops.errors import Location, StateError
from contentops.model import Count, Job, JobState, Record, RequestId
from contentops.model.jobs import BY_TIME, closed, fold_jobs, fold_orders, open_jobs, stage
from contentops.model.records import UNDECIDED, made_by
from contentops.state import lock, state_dir
from contentops.state.codec import (
    ONE_PROJECT,
    Drop,
    Fact,
    FileHeader,
    Format,
    Lineage,
    add_rules,
    line_of,
    parser,
    read_lines,
)

# ---- Reads and writes `contentops.jobs`, the committed list of everything that was ordered and paid for.

FORMAT: Final = Format(pattern="contentops*.jobs", code="damaged-jobs")
RULED: Final = (lock.FORMAT, FORMAT)
"""The files of every apply, in the order of their rules in `.gitattributes`."""
_HEADER_KEY: Final = "contentops_jobs"


class JobsHeader(FileHeader, frozen=True, kw_only=True):
    """The first line of `contentops.jobs`."""

    lineage: Lineage
    version: Count = field(default=1, name=_HEADER_KEY)


def read(data: bytes, path: str, *, torn: bool = False) -> tuple[str, dict[str, Job]]:
    """Return the lineage (the project's UUID) in a file of jobs, and the jobs, each with its line as the key.

    The lineage is empty without a header. `path` names the file in messages. `torn` means that the file is only
    appended to: a last line without its end is ignored, and the header may be missing. Raises StateError (DamagedState
    with every damaged line) if the file cannot be used.
    """
    lineage, found = read_lines(data, path, FORMAT, _parse, torn=torn)
    lines: dict[str, Job] = {}
    for line, job in found:
        lines.pop(line, None)
        lines[line] = job  # the last one counts, in a file that is only appended to
    return lineage, lines


def join(lineage: str, lines: Iterable[str]) -> bytes:
    """Return the content of a file of jobs as bytes. `lines` are sorted already."""
    return "\n".join((line_of(JobsHeader(lineage=lineage)), *lines, "")).encode()


_KINDS: Final[Mapping[str, type[Job | JobsHeader]]] = {"id": Job, _HEADER_KEY: JobsHeader}
_parse = parser(_KINDS)


# ---- The jobs of one environment in memory: pure; `JobsStore` reads and writes them.

_Key = tuple["RequestId", str, str, str, str]
"""The identity of a line: request id, time of the intent, server, file of the bundled server, and the server's job id.
"""


class KnownJobs:
    """All jobs of an environment that this checkout knows. Some of them may not be on disk yet."""

    def __init__(self, lines: Mapping[str, Job]) -> None:
        """Start with the jobs of a file. `lines` has each job by the text of its line."""
        self.open_jobs: dict[RequestId, Job] = {}
        """The open jobs by request id."""
        self.waiting: list[str] = []
        """Lines that are not durable yet."""
        self.settled: list[str] = []
        """Lines of jobs whose text is in a file; they become durable after the record."""
        self._changed: list[Job] = []
        """The lines that the last facts changed."""
        self._orders: dict[RequestId, dict[_Key, Job]] = {}
        """The lines of each request id, the earliest order first."""
        self._texts: dict[_Key, str] = {}
        """The text of lines, as read from a file or rendered."""
        self._jobs: dict[RequestId, list[Job]] = {}
        """The jobs of each request id."""
        self._attempts: dict[tuple[str, Digest, str], dict[RequestId, None]] = {}
        """The request ids of each request, by server."""
        self.see(lines)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Return all jobs, the earliest first."""
        return tuple(sorted(itertools.chain.from_iterable(self._jobs.values()), key=BY_TIME))

    def jobs_of(self, server: str, digest: Digest) -> list[Job]:
        """Return all known jobs of one request on a server. Jobs for a section are left out."""
        ids = self._attempts.get((server, digest, ""), ())
        return [job for request_id in ids for job in self._jobs[request_id]]

    def see(self, lines: Mapping[str, Job]) -> None:
        """Add jobs that were read from a file.

        A line that does not change keeps its bytes.
        """
        by_id: dict[RequestId, list[Job]] = {}
        for line in lines.values():
            by_id.setdefault(line.request_id, []).append(line)
        texts = {id(line): text for text, line in lines.items()}
        for request_id, new in by_id.items():
            known = [*self._orders.get(request_id, {}).values(), *new]
            self._replace(request_id, fold_orders(known) if len(known) > 1 else known, texts)
        self._reopen(by_id)

    def _replace(self, request_id: RequestId, orders: Sequence[Job], texts: Mapping[int, str]) -> None:
        """Replace all known orders of one request with `orders`.

        An order that was known already keeps the text of its line. `texts` has the lines of new orders, by `id`.
        """
        before = self._orders.get(request_id, {})  # keeps the lines, and so their ids, until the end
        kept = {id(line): self._texts.pop(key) for key, line in before.items() if key in self._texts}
        self._orders[request_id] = {_key(line): line for line in orders}
        for key, line in self._orders[request_id].items():
            text = kept.get(id(line)) or texts.get(id(line))
            if text is not None:
                self._texts[key] = text
        self._jobs[request_id] = fold_jobs(orders) if len(orders) > 1 else [*orders]
        for line in orders:
            self._attempts.setdefault(_request(line), {})[request_id] = None

    def _reopen(self, ids: Iterable[RequestId]) -> None:
        """Work out again which jobs of these requests are open. All attempts of a request count."""
        requests = {_request(line): None for id_ in ids for line in self._orders[id_].values()}
        attempts = {id_: None for request in requests for id_ in self._attempts[request]}
        for id_ in attempts:
            self.open_jobs.pop(id_, None)
        self.open_jobs |= open_jobs(itertools.chain.from_iterable(self._jobs[id_] for id_ in attempts))

    def made_by(self, record: Record) -> Job | None:
        """Return the job that made the text of a record, or None."""
        return made_by(record, (job for job in self._jobs.get(record.request_id, ()) if job.server == record.server))

    def texts(self) -> list[str]:
        """Return the lines that the file of jobs needs for all orders, sorted by id and time."""
        lines = {key: line for orders in self._orders.values() for key, line in orders.items()}
        self._texts |= {key: line_of(lines[key]) for key in lines.keys() - self._texts.keys()}
        return [self._texts[key] for key in sorted(lines)]

    def note(self, facts: Sequence[Fact]) -> list[Job]:
        """Apply the changes of a step to the jobs. Return the jobs that changed."""
        self._changed = []
        for fact in facts:
            match fact:
                case Job(state=JobState.SUBMITTING):
                    self._intend(fact)
                case Job():
                    self._advance(fact)
                case Record():
                    self._settle(fact)
                case Drop():
                    self._drop(fact)
                case _:
                    pass
        return self._changed

    def move(self, old: str, new: str) -> list[Job]:
        """Give each job of the server `old` the server's new address. Return the jobs that changed."""
        moved = [
            structs.replace(job, server=new, former_servers=(*job.former_servers, old))
            for orders in self._orders.values()
            for job in orders.values()
            if job.server == old
        ]
        lines = {line_of(job): job for job in moved}
        self.waiting += lines
        self.see(lines)
        return moved

    def put(self, job: Job) -> None:
        """Record the new state of a job, unless this state or a later one is known already.

        The job gets a new line in the file of jobs.
        """
        orders = self._orders.get(job.request_id, {})
        job = _revised(job, orders)
        lines = fold_orders((*orders.values(), job))
        if job not in lines or job == orders.get(_key(job)):
            return
        text = line_of(job)
        (self.settled if job.state is JobState.SETTLED else self.waiting).append(text)
        self._changed.append(job)
        self._replace(job.request_id, lines, {id(job): text})
        self._reopen([job.request_id])

    def _line_for(self, job: Job) -> Job | None:
        """Return the known order whose new state `job` reports.

        It is the one with the same server job, otherwise the open one, otherwise the last submit.
        """
        orders = self._orders.get(job.request_id, {}).values()
        lines = [line for line in orders if (line.server, line.store) == (job.server, job.store)]
        # At a bundled server each order has a job under the same id.
        named = [line for line in lines if job.job_id and line.job_id == job.job_id and job.server != "local"]
        opened = self.open_jobs.get(job.request_id)
        if not named and opened in lines:
            return opened
        return max(named or lines, key=lambda line: line.submitted_at, default=None)

    def _intend(self, job: Job) -> None:
        """Record that a request is about to be sent.

        It is a new submit, unless exactly this one is recorded already.
        """
        lines = [line for line in self._orders.get(job.request_id, {}).values() if line.server == job.server]
        before = max(lines, key=lambda line: line.submitted_at, default=None)
        if before is not None:
            at = before.submitted_at
            if before.state is not JobState.SUBMITTING or job.submitted_at > at:
                for line in lines:
                    # The bundled server of this clone does not know its job, so it is ordered again.
                    if line.state in UNDECIDED or (line.server == "local" and line.state is JobState.RUNNING):
                        self.put(closed(line))
                at = _after(at, job.submitted_at)
            job = structs.replace(job, submitted_at=at, former_servers=before.former_servers)
        self.put(structs.replace(job, job_id=""))

    def _advance(self, job: Job) -> None:
        before = self._line_for(job)
        if before is not None:
            at, former = before.submitted_at, before.former_servers
            job = structs.replace(job, submitted_at=at, former_servers=former, job_id=job.job_id or before.job_id)
            if before.job_id and before.job_id != job.job_id:
                # A person has named the wrong job before: that one is not of this order.
                self.put(structs.replace(closed(before), state=JobState.FAILED, lost=True, credits=0))
        self.put(job)

    def _settle(self, record: Record) -> None:
        """Record that a file has the text of a paid job now."""
        orders = self._orders.get(record.request_id, {})
        paid = (job for job in orders.values() if job.server == record.server and job.state is JobState.PAID)
        for job in [job for job in paid if job.section or job.body == record.generated]:
            self.put(structs.replace(job, state=JobState.SETTLED, error="", output=record.output))

    def _drop(self, drop: Drop) -> None:
        """Close a job although no record has its text."""
        job = self.open_jobs.get(drop.request_id)
        if job is not None and not drop.never:
            self.put(closed(job, lost=drop.lost))
        elif job is not None and job.state in UNDECIDED:
            self.put(structs.replace(closed(job), state=JobState.NEVER))


def _revised(job: Job, orders: Mapping[_Key, Job]) -> Job:
    """Return a job with the current address of its server and with its next revision number."""
    for line in orders.values():
        same = (line.submitted_at, line.store) == (job.submitted_at, job.store)
        if same and job.server in line.former_servers:
            job = structs.replace(job, server=line.server, former_servers=line.former_servers)
    if (before := orders.get(_key(job))) is None:
        return job
    job = structs.replace(job, rev=before.rev)
    return job if job == before else structs.replace(job, rev=before.rev + 1 if stage(before) == stage(job) else 0)


def _key(job: Job) -> _Key:
    return job.request_id, job.submitted_at, job.server, job.store, job.job_id


def _request(job: Job) -> tuple[str, Digest, str]:
    return job.server, job.digest, job.section


def _after(before: str, at: str) -> str:
    """Return a time for a new order that is later than the time `before` of the previous order.

    Each submit of a request id needs a different time. Both times are whole seconds, so that they compare as texts.
    """
    try:
        later = datetime.fromisoformat(before).astimezone(UTC) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return at if at > before else f"{before} "
    return max(at, later.strftime("%Y-%m-%dT%H:%M:%SZ"))


# ---- The jobs of one environment on disk.

SLACK = 1_000
"""The number of lines that the file of this checkout may have beyond one for each order. Then it is written again."""


class JobsStore:
    """The jobs of one environment, in memory and in their files."""

    def __init__(self, root: Path, environment: str, lineage: str, disk: Disk) -> None:
        """Read the files of jobs. Raises StateError if a file cannot be used, or belongs to another project."""
        self._root, self._lineage, self._disk = root, lineage, disk
        self.path = root / state_dir.jobs_name(environment)
        """The committed file."""
        self.kept = kept_file(root, environment, lineage, disk)
        """The file of this checkout."""
        self._data = disk.read(self.path)
        """The committed file as it was last read or written."""
        known = {**self._committed(self._data)}
        image = disk.read(self.kept) or b""
        kept = self._lines(image, str(self.kept), torn=True)
        self._size = image.rfind(b"\n") + 1
        self._written = {*kept}
        """The lines in the file of this checkout."""
        self._is_complete = False
        """Whether that file has everything that was read."""
        known |= kept
        # Before `git init`, the file of this checkout was here.
        outside = root / state_dir.FOLDER / self.kept.name
        if outside != self.kept and (data := disk.read(outside)) is not None:
            known |= self._lines(data, str(outside), torn=True)
        self.known = KnownJobs(known)
        """The jobs in memory."""

    def _lines(self, data: bytes, path: str, *, torn: bool = False) -> Mapping[str, Job]:
        lineage, lines = read(data, path, torn=torn)
        if lineage not in ("", self._lineage):
            message = f"`{path}` belongs to another project (lineage `{lineage}`)"
            raise StateError(message, code="mixed-lineages", hint=ONE_PROJECT, location=Location(path))
        return lines

    def _committed(self, data: bytes | None) -> Mapping[str, Job]:
        return {} if data is None else self._lines(data, self.path.name)

    @property
    def is_committed(self) -> bool:
        """Return whether the committed file of jobs has all jobs.

        The next apply adds those that are missing.
        """
        return self._committed(self._data).keys() >= {*self.known.texts()}

    def see(self, lines: Iterable[Job]) -> None:
        """Add jobs from another file or a ledger. The next flush writes those that are in no file of this checkout."""
        self.known.see({line_of(line): line for line in lines})
        self._is_complete = False

    def flush(self, *, settled: bool = True) -> None:
        """Write all new lines to the file of jobs in the git folder.

        Without `settled`, leave out jobs whose text is in a file. Raises StateError; the next flush tries again.
        """
        waiting = [*self.known.waiting, *(self.known.settled if settled else ())]
        if not settled and not waiting:
            return
        lines = waiting if self._is_complete else [*self._missing(), *waiting]
        if lines:
            if self._disk.size(self.kept) < self._size:
                # Someone deleted it meanwhile: it gets everything that is known.
                self._rewrite()
            else:
                self._append(lines)
            self.known.waiting.clear()
            if settled:
                self.known.settled.clear()
        self._is_complete = True

    def checkpoint(self) -> bool:
        """Add missing lines to the committed file of jobs. Return whether the file was written.

        A pull may have changed the file in the meantime; its lines stay. Raises StateError.
        """
        data = self._disk.read(self.path)
        if data != self._data:
            self.known.see(self._committed(data))
            self._data, self._is_complete = data, False
        self.flush()
        lines = self.known.texts()
        if not lines:
            return False
        if len(self._written) > len(lines) + SLACK or self._disk.size(self.kept) < self._size:
            self._rewrite()
        target = join(self._lineage, lines)
        if target == data:
            return False
        add_rules(self._root, self._disk, RULED)
        self._disk.replace(self.path, target, PUBLIC)
        self._data = target
        return True

    def rehearse(self, room: int) -> None:
        """Test that both files of jobs can be written, and that the disk has `room` free bytes. Raises StateError."""
        state_dir.make_kept(self._root, self.kept.parent)
        self._disk.try_room(self.kept, room)
        if self._size <= self._disk.size(self.kept):
            self._disk.append(self.kept, b"", self._size)
        if self._data is not None and self._disk.read(self.path) == self._data:
            self._disk.replace(self.path, self._data, PUBLIC)

    def _missing(self) -> list[str]:
        """Return the lines that this checkout's own file of jobs lacks.

        Another branch's committed file may lack them too.
        """
        found = {*self._written, *self.known.waiting, *self.known.settled}
        return [text for text in self.known.texts() if text not in found]

    def _append(self, lines: list[str]) -> None:
        if not self._size:
            state_dir.make_kept(self._root, self.kept.parent)
        header = [] if self._size else [line_of(JobsHeader(lineage=self._lineage))]
        data = "".join(f"{line}\n" for line in (*header, *lines)).encode()
        self._disk.append(self.kept, data, self._size)
        self._size += len(data)
        self._written.update(lines)

    def _rewrite(self) -> None:
        """Write this checkout's own file of jobs again, with one line for each order."""
        lines = self.known.texts()
        data = join(self._lineage, lines)
        state_dir.make_kept(self._root, self.kept.parent)
        self._disk.replace(self.kept, data, PRIVATE)
        self._size, self._written = len(data), {*lines}


def kept_file(root: Path, environment: str, lineage: str, disk: Disk) -> Path:
    """Return the path of this checkout's file of jobs. All work trees of a repository share it. Raises StateError."""
    return state_dir.kept_folder(root, lineage, disk) / state_dir.named("jobs", environment, "jsonl")


def lineage_in(root: Path, environment: str, disk: Disk) -> str:
    """Return the lineage (the project's UUID) in the file of jobs. It is empty without such a file.

    Raises StateError.
    """
    path = root / state_dir.jobs_name(environment)
    if (data := disk.read(path)) is not None:
        return read(data, path.name)[0]
    outside = root / state_dir.FOLDER / state_dir.named("jobs", environment, "jsonl")
    return read(disk.read(outside) or b"", str(outside), torn=True)[0]
