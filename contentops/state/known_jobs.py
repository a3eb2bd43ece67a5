"""The jobs of one environment in memory: pure; `jobs_store` reads and writes them.

A job follows the facts of the state: what is recorded of a submit, that a record has its text, or that it is dropped.
Invariant: after any facts, the lines in memory are what `fold_orders` makes of every line that was read or written. The
cost of a fact does not depend on the number of jobs.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.model import JobState, OpenEntry, Record
from contentops.model.jobs import BY_TIME, OrderEnd, fold_jobs, fold_orders, is_further, open_jobs, stage
from contentops.model.records import UNDECIDED, made_by
from contentops.state.codec import Drop, line_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.digest import Digest
    from contentops.model import RequestId
    from contentops.state.codec import Fact

_Key = tuple["RequestId", str, str, str]
"""What names a line: request id, time of the intent, server, and the job of the server."""
_DROPPED: Final = {JobState.RUNNING: JobState.FAILED, JobState.PAID: JobState.SETTLED, JobState.FAILED: JobState.FAILED}
"""What becomes of a job that is dropped."""


class KnownJobs:
    """What this checkout knows of the jobs of one environment, and what of it is not durable yet."""

    def __init__(self, lines: Mapping[str, OpenEntry]) -> None:
        """`lines`: jobs by the text of their line."""
        self.entries: dict[RequestId, OpenEntry] = {}
        """The open jobs by request id."""
        self.waiting: list[str] = []
        """Lines that are not durable yet."""
        self.settled: list[str] = []
        """Those of jobs whose text is in a file, which become durable after its record."""
        self._changed: list[OpenEntry] = []
        """The lines that the last facts changed."""
        self._lines: dict[_Key, OpenEntry] = {}
        self._texts: dict[_Key, str] = {}
        """Lines as they are in a file, or were rendered."""
        self._orders: dict[RequestId, dict[_Key, OpenEntry]] = {}
        """The lines of each request id, the earliest order first."""
        self._jobs: dict[RequestId, list[OpenEntry]] = {}
        """The jobs of each request id."""
        self._attempts: dict[tuple[str, Digest, str], dict[RequestId, None]] = {}
        """The request ids of each request, by server."""
        self.see(lines)

    @property
    def jobs(self) -> tuple[OpenEntry, ...]:
        """Every job, the earliest first."""
        return tuple(sorted(itertools.chain.from_iterable(self._jobs.values()), key=BY_TIME))

    def jobs_of(self, server: str, digest: Digest) -> list[OpenEntry]:
        """Every order of a request for a whole text on a server."""
        ids = self._attempts.get((server, digest, ""), ())
        return [job for request_id in ids for job in self._jobs[request_id]]

    def see(self, lines: Mapping[str, OpenEntry]) -> None:
        """Add lines that are in a file already; a line that needs no change keeps its bytes."""
        texts = {id(line): text for text, line in lines.items()}
        texts |= {id(self._lines[key]): text for key, text in self._texts.items()}
        folded = fold_orders((*self._lines.values(), *lines.values()))
        self._lines = {_key(line): line for line in folded}
        self._texts = {key: texts[id(line)] for key, line in self._lines.items() if id(line) in texts}
        self._orders, self._jobs, self._attempts = {}, {}, {}
        for key, line in self._lines.items():
            self._orders.setdefault(line.request_id, {})[key] = line
            self._attempts.setdefault(_request(line), {})[line.request_id] = None
        for request_id, orders in self._orders.items():
            self._jobs[request_id] = [*orders.values()] if len(orders) == 1 else fold_jobs(orders.values())
        self.entries = open_jobs(self.jobs)

    def made_by(self, record: Record) -> OpenEntry | None:
        """Return the job that made the text of a record."""
        return made_by(record, (job for job in self._jobs.get(record.request_id, ()) if job.server == record.server))

    def texts(self) -> list[str]:
        """Return the line of each order, sorted by id and time."""
        for key in self._lines.keys() - self._texts.keys():
            self._texts[key] = line_of(self._lines[key])
        return [self._texts[key] for key in sorted(self._lines)]

    def note(self, facts: Sequence[Fact | OrderEnd]) -> list[OpenEntry]:
        """Follow the facts of a step; return the lines that changed."""
        self._changed = []
        for fact in facts:
            match fact:
                case OpenEntry(state=JobState.SUBMITTING):
                    self._intend(fact)
                case OpenEntry():
                    self._advance(fact)
                case Record():
                    self._settle(fact)
                case Drop(request_id, lost):
                    self._drop(request_id, lost=lost)
                case OrderEnd(request_id, state):
                    self._end(self.entries.get(request_id), state)
                case _:
                    pass
        return self._changed

    def learn(self, jobs: Iterable[OpenEntry]) -> None:
        """Add jobs that are in no file of jobs yet."""
        for job in jobs:
            self._put(job)

    def move(self, old: str, new: str) -> list[OpenEntry]:
        """Name a server by its new address in every job; return the lines that changed."""
        moved = [
            structs.replace(job, server=new, former_servers=(*job.former_servers, old))
            for job in self._lines.values()
            if job.server == old
        ]
        lines = {line_of(job): job for job in moved}
        self.waiting += lines
        self.see(lines)
        return moved

    def _put(self, job: OpenEntry) -> None:
        """Write a line, unless nothing changes, or the line that is there is further."""
        orders = self._orders.get(job.request_id, {})
        for line in orders.values():
            if line.submitted_at == job.submitted_at and job.server in line.former_servers:
                job = structs.replace(job, server=line.server, former_servers=line.former_servers)
        if not job.job_id and any(_order(line) == _order(job) and line.job_id for line in orders.values()):
            return
        before = orders.get(_key(job))
        job = structs.replace(job, rev=before.rev if before is not None else 0)
        if before == job or (before is not None and is_further(before, job)):
            return
        if before is not None:
            job = structs.replace(job, rev=before.rev + 1 if stage(before) == stage(job) else 0)
        elif job.job_id:
            self._forget((*_key(job)[:3], ""))
        self._store(job)

    def _store(self, job: OpenEntry) -> None:
        key, request_id = _key(job), job.request_id
        self._lines[key] = job
        self._texts[key] = text = line_of(job)
        (self.settled if job.state is JobState.SETTLED else self.waiting).append(text)
        self._changed.append(job)
        self._orders.setdefault(request_id, {})[key] = job
        attempts = self._attempts.setdefault(_request(job), {})
        attempts[request_id] = None
        self._jobs[request_id] = fold_jobs(self._orders[request_id].values())
        opened = open_jobs(itertools.chain.from_iterable(self._jobs[each] for each in attempts))
        for each in attempts:
            if each in opened:
                self.entries[each] = opened[each]
            else:
                self.entries.pop(each, None)

    def _forget(self, key: _Key) -> None:
        """Leave a line out; one that takes its place follows."""
        if self._lines.pop(key, None) is not None:
            self._orders[key[0]].pop(key)
            self._texts.pop(key, None)

    def _line_for(self, request_id: RequestId, server: str, job_id: str) -> OpenEntry | None:
        """Return the line that a fact is about: of its job, else the open one, else that of the last order."""
        lines = [line for line in self._orders.get(request_id, {}).values() if line.server == server]
        # At a bundled server each order has a job under the same id.
        named = [line for line in lines if job_id and line.job_id == job_id and server != "local"]
        opened = self.entries.get(request_id)
        if not named and opened is not None and opened.server == server:
            return opened
        return max(named or lines, key=lambda line: line.submitted_at, default=None)

    def _intend(self, entry: OpenEntry) -> None:
        """A request is about to leave: a new order, unless this one is known already."""
        lines = [line for line in self._orders.get(entry.request_id, {}).values() if line.server == entry.server]
        before = max(lines, key=lambda line: line.submitted_at, default=None)
        if before is not None:
            at = before.submitted_at
            if before.state is not JobState.SUBMITTING or entry.submitted_at > at:
                for line in lines:
                    self._end(line, JobState.GIVEN_UP)
                    if line.server == "local" and line.state is JobState.RUNNING:
                        # The bundled server of this clone does not know it, so it is ordered again.
                        self._put(structs.replace(_without_words(line), state=JobState.FAILED, lost=True))
                at = _after(at, entry.submitted_at)
            entry = structs.replace(entry, submitted_at=at, former_servers=before.former_servers)
        self._put(structs.replace(entry, job_id=""))

    def _advance(self, entry: OpenEntry) -> None:
        before = self._line_for(entry.request_id, entry.server, entry.job_id)
        if before is not None:
            at, former = before.submitted_at, before.former_servers
            entry = structs.replace(entry, submitted_at=at, former_servers=former, job_id=entry.job_id or before.job_id)
            if before.job_id and before.job_id != entry.job_id:
                # A person has named the wrong job before: that one is not of this order.
                self._put(structs.replace(_without_words(before), state=JobState.FAILED, lost=True, credits=0))
        self._put(entry)

    def _settle(self, record: Record) -> None:
        """The text of a paid job is in a file."""
        orders = self._orders.get(record.request_id, {})
        paid = (job for job in orders.values() if job.server == record.server and job.state is JobState.PAID)
        for job in [job for job in paid if job.section or job.body == record.generated]:
            self._put(structs.replace(job, state=JobState.SETTLED, error="", output=record.output))

    def _drop(self, request_id: RequestId, *, lost: bool) -> None:
        """A job is closed without a record of its text."""
        job = self.entries.get(request_id)
        self._end(job, JobState.GIVEN_UP)
        if job is not None and (state := _DROPPED.get(job.state)) is not None:
            is_lost = lost or state is JobState.FAILED
            # What the server itself ended as failed costs nothing.
            credits_ = 0 if job.state is JobState.FAILED else job.credits
            self._put(structs.replace(_without_words(job), state=state, lost=is_lost, credits=credits_))

    def _end(self, job: OpenEntry | None, state: JobState) -> None:
        """An order whose answer is not known came to an end."""
        if job is not None and job.state in UNDECIDED:
            self._put(structs.replace(_without_words(job), state=state))


def _key(job: OpenEntry) -> _Key:
    return job.request_id, job.submitted_at, job.server, job.job_id


def _order(job: OpenEntry) -> tuple[str, str]:
    return job.submitted_at, job.server


def _request(job: OpenEntry) -> tuple[str, Digest, str]:
    return job.server, job.digest, job.section


def _without_words(job: OpenEntry) -> OpenEntry:
    """The job without what is needed only while it is open."""
    return structs.replace(job, output="", error="")


def _after(before: str, at: str) -> str:
    """The time of an intent, which is later than that of the order before: two orders of one id never have the same.

    Both are whole seconds, so that they compare as texts.
    """
    try:
        later = datetime.fromisoformat(before).astimezone(UTC) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return at if at > before else f"{before} "
    return max(at, later.strftime("%Y-%m-%dT%H:%M:%SZ"))
