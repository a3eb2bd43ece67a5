"""The values that the steps of an item pass to each other, and the ways in which the work on an item ends.

An item is a plain async function that waits, sends and records only through `DurableRun`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field, structs

from contentops.api.calls import JobStatus, Reply
from contentops.digest import Digest
from contentops.documents.front_matter import WrittenEntry
from contentops.execution.limiter import JobSlot
from contentops.loopback import is_loopback
from contentops.model import Change, Finding, ItemId, Job, JobState, Json, KeptWords, Record, Result, Spec

# ---- Learns from polls how long jobs take on one server, and says when to poll a job next.

KEEP = 50
"""How many jobs are remembered for each kind."""
USUAL = 150.0
"""The usual seconds of a generation as long as none is known: the vendor's troubleshooting page says 90 s to 4 min."""
LONGER = 1.3
"""A job that takes longer than all known ones is polled again after this much of the time that has passed."""
LONGEST_GAP = 30.0
"""The most seconds between two polls if no durations are known, while few jobs run."""

AT_ONCE = 0.1
"""Seconds that a request and its reply take: a job that is done at its first poll by then took no time."""

Seconds = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
"""How long a job took, as far as polls show."""


@dataclass(slots=True)
class Durations:
    """Knows how long recent jobs took on one server, for each kind of job.

    The kind is the template and the mode. This knowledge is kept between runs.
    """

    seen: dict[str, list[Seconds]] = dataclasses.field(default_factory=dict)
    quickest: float = 0.2
    """Seconds until the first poll of a job if no durations are known; on this machine polls cost nothing."""

    @classmethod
    def load(cls, stored: object, server: str) -> Durations:
        """Read the durations from the cache's JSON, and skip unreadable entries.

        `server` is an address or `local`.
        """
        is_here = server == "local" or is_loopback(urlsplit(server).hostname or "")
        try:
            seen = msgspec.convert(stored, dict[str, list[Seconds]])
        except msgspec.ValidationError:
            seen = {}
        known = {kind: values for kind, values in seen.items() if values}
        return cls(known, quickest=0.01) if is_here else cls(known)

    def learn(self, kind: str, *, after: float, by: float) -> None:
        """Remember how long a job took: it ended between `after` and `by` seconds after it was submitted.

        `after` is 0 if the job was never seen running.
        """
        values = self.seen.setdefault(kind, [])
        if values and not after:
            by = min(by, self.median(kind))  # the limit may have delayed the first poll
        earlier = 0.75 if by > AT_ONCE else 0.0
        seconds = math.sqrt(after * by) if after else by * earlier
        values.append(round(max(seconds, 0.001), 6))
        del values[:-KEEP]

    def median(self, kind: str, *, unfinished: float = 0.0) -> float:
        """Return how many seconds a job usually takes in total, if it has already run for `unfinished` seconds."""
        known = self.seen.get(kind) or [one for values in self.seen.values() for one in values]
        return median([one for one in known or [USUAL] if one > unfinished] or [unfinished * LONGER])


def kind_of(spec: Spec | None) -> str:
    """Return the kind of a job; usual durations are remembered for each kind.

    It is the template and the mode. All jobs that no item waits for are of one kind.
    """
    return f"{spec.request.template}/{spec.request.mode}" if spec is not None else "drained"


def next_poll(
    durations: Durations, kind: str, *, started: float, now: float, polls: int, per_minute: int, running: int = 1
) -> float:
    """Return when to poll a job next, as a time of the event loop. It is never before `now`.

    `running` jobs are polled in all. With known durations, it is the median of the jobs that took longer than this one
    has so far, so that each poll has an even chance to find it done. Otherwise the gaps double, up to `LONGEST_GAP`, or
    until all jobs together use half of the request limit.
    """
    gap = max(durations.quickest, 120.0 / per_minute) if per_minute else durations.quickest
    if durations.seen:
        elapsed = now - started if polls else 0.0
        return max(started + durations.median(kind, unfinished=elapsed), (now + gap / 2) if polls else now)
    longest = max(LONGEST_GAP, gap * running) if per_minute else LONGEST_GAP
    return max(now, started + gap) if polls == 0 else now + min(gap * 2 ** min(polls, 10), longest)


# ---- The values that pass between the steps of an item, and the ways in which it ends.


class Stop:
    """A person's request to end the run; a signal handler may set it."""

    requested = False
    wake: Callable[[], object] | None = None
    """What `request` calls while a run goes on."""

    def request(self) -> None:
        """Ask the run to submit nothing more, to store the texts that it has, and to end."""
        self.requested = True
        if self.wake is not None:
            self.wake()


R = TypeVar("R", bound=Reply)


class Priority(enum.IntEnum):
    """Says which calls are sent first when the request limit makes calls wait."""

    SAVE = 0
    LOOKUP = 1
    SUBMIT = 2
    POLL = 3


class Stopped(Exception):
    """Raised in a waiting item when the run ends early."""


class Withheld(Stopped):
    """Raised for a call that was recorded but never sent because the run stopped."""


@dataclass(eq=False)
class Ended(Exception):
    """Raised to end the work on an item in this run."""

    result: Result
    error: str = ""
    hint: str = ""
    gone: bool = False
    """Whether the server no longer knows the item's job, or the content with its text."""
    charged: bool = False
    """Whether the item's job was paid for, brought no text, and is closed."""
    findings: tuple[Finding, ...] = ()
    """What its checks found."""


class Item(Struct, frozen=True, kw_only=True):
    """An item of a run, with its change in the plan, its slot, and the open jobs for its request."""

    change: Change
    slot: JobSlot
    """The item's slot for an unfinished job."""
    jobs: tuple[Job, ...] = ()
    """The open jobs and the failed attempts for its request; they are closed once there is a text."""

    @property
    def id(self) -> ItemId:
        """Return the item's id."""
        return self.change.id

    @property
    def spec(self) -> Spec:
        """Return the declared item. An orphan has none, and its steps do not need it."""
        assert self.change.spec is not None
        return self.change.spec

    @property
    def kind(self) -> str:
        """Return the kind of the item's jobs. Jobs of one kind take a similar time."""
        return kind_of(self.change.spec)

    @property
    def failed(self) -> list[Job]:
        """Return the failed jobs for the item's request."""
        return [job for job in self.jobs if job.state is JobState.FAILED]

    def wants(self, job: Job) -> bool:
        """Return whether this job makes the text of the item.

        The job may use the current words of the item's sources, or earlier ones.
        """
        spec = self.change.spec
        return spec is not None and (job.digest == spec.digest or job.frame in spec.frames)


class SentJob(Struct, frozen=True, kw_only=True):
    """A job that was sent to the server and is recorded.

    `sent` is the loop time at which this run submitted it, or None if an earlier run did.
    """

    job: Job
    sent: float | None = None
    done: JobStatus | None = None
    """Its final status, if the reply to its submit had it already."""


class Lost(Struct, frozen=True, kw_only=True):
    """A submit request that may or may not have arrived at the server. Times are loop times."""

    job: Job
    why: str
    sent: float
    """When it was sent, at the latest."""
    lost: float
    """When its answer was lost, at the latest."""
    ours: bool
    """This run sent it."""


class Text(Struct, frozen=True, kw_only=True):
    """A generated or fetched text, cleaned, that is not written into a file yet."""

    title: str
    body: str
    content_id: str = ""
    front: Mapping[str, Json] = field(default_factory=dict)
    """The front matter of the generated text, without its title."""
    job: Job | None = None
    """The job that made it, which is closed once the text is written; None: it is promoted, or restored."""
    paid_now: bool = False
    """Whether this run submitted the job: then no earlier save of its text can be lost."""
    made_now: bool = False
    """Whether this run submitted the job, or saw it running: then no one has had time to edit the stored text."""
    entries: tuple[WrittenEntry, ...] = ()
    """Front matter from another environment's file, as it is written there."""
    verbatim: bool = False
    """It comes from its stored content, so it is exactly what the server has."""
    from_earlier_run: bool = False
    """It is from the cache and has no open job: its content may have been deleted or changed meanwhile."""

    @staticmethod
    def of(made_by: Job, body: str, front: Mapping[str, Json]) -> Text:
        """Return the text that a job made."""
        return Text(
            title=made_by.title,
            body=body,
            content_id=made_by.content_id,
            front=front,
            job=made_by,
            from_earlier_run=made_by.state is JobState.SETTLED,
        )

    @property
    def job_id(self) -> str:
        """Return the server's id of the job that made the text, or an empty text if it is unknown."""
        return self.job.job_id if self.job is not None else ""


class MergedBody(Struct, frozen=True):
    """The body that results when a new text and a person's edits are merged."""

    body: str
    kept: tuple[KeptWords, ...] = ()
    """The sections of a person that stay in it."""
    generated: str = ""
    """For a new section: the generated text with that section in it; empty if that text is lost."""


class ItemState(Struct, frozen=True, kw_only=True):
    """The state of an item after the steps that were carried out so far."""

    record: Record | None
    path: str
    """The path of its file; empty: it has none."""
    job: SentJob | None = None
    """The job that was submitted or found in this run."""
    text: Text | None = None
    """The text that this run fetched or wrote."""
    fresh: bool = False
    """Whether this run has written that text, and it is new."""
    title: str = ""
    """The title of the file after this run wrote it, a person's or ours; empty if it wrote none."""
    copy: str = ""
    """The path of a copy of a person's words that were replaced; empty: there were none."""
    merged: MergedBody | None = None
    """The body that is written instead of the text's own body; None means its own."""
    findings: tuple[Finding, ...] | None = None
    """What its checks found in that text; None: they have not run."""

    def after(self, brought: SentJob | Text) -> ItemState:
        """Return the state after a job was submitted or a text was fetched."""
        if isinstance(brought, SentJob):
            return structs.replace(self, job=brought)
        return structs.replace(self, text=brought, merged=None, findings=None)

    @property
    def body(self) -> str:
        """Return the body that is written into the item's file."""
        assert self.text is not None
        return self.text.body if self.merged is None else self.merged.body

    @property
    def recorded(self) -> Record:
        """Return the record of the item. Raises an error if there is none yet."""
        assert self.record is not None
        return self.record


class Draft(Struct, frozen=True, kw_only=True):
    """The text of an item that is about to be saved on the server.

    `title` is cleaned; `digest` is the body's.
    """

    item: Item
    item_state: ItemState
    title: str
    body: str
    digest: Digest
    job_id: str = ""
    """The server's id of the job that made it; empty if there is none, or if it is unknown."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """The metadata of the content that it replaces."""


# ---- Times as texts: ISO 8601 in UTC, as the lock, events and the API have them.


def iso(seconds: float) -> str:
    """Return seconds since 1970 as an ISO time in UTC, in whole seconds."""
    return dt.datetime.fromtimestamp(math.floor(seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_exact(seconds: float) -> str:
    """Return seconds since 1970 as an ISO time in UTC, to the microsecond.

    It is compared with times of a server.
    """
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
