"""Defines records, jobs, files and stored contents, and the types of their ids."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NewType

from msgspec import Meta, Struct, field

from contentops.digest import NOTHING, Digest
from contentops.tokens import PaidTokens

CLOCKS = 300.0
"""Seconds by which the clock of a server may be behind ours."""


Json = Any
"""Any JSON value: None, bool, int, float, str, list or dict with string keys."""

ItemId = NewType("ItemId", str)
"""The stable identity of an item, chosen by a person."""

RequestId = NewType("RequestId", str)
"""The uuid5 of lineage, request digest, attempt and part. It identifies a request and names no item."""


Count = Annotated[int, Meta(ge=0, le=10**12)]
"""A number of things."""
FileDigest = Annotated[Digest, Meta(pattern="^(sha256:[0-9a-f]{64})?$")]
"""The digest of a file or a request, or empty."""
FormatVersion = Annotated[
    str,
    Meta(
        pattern=r"^1\.[0-9]+$",
        description="A new minor version adds keys, a new major version changes their meaning. Ignore unknown keys.",
    ),
]
"""The format version of a document that a command prints."""


class Saved(Struct, frozen=True, kw_only=True, gc=False):
    """Digests of an item's title and body, as the server last accepted them and as it last returned them."""

    title: Annotated[Digest, Meta(description="Digest of the title that the server last accepted.")] = NOTHING
    body: Annotated[Digest, Meta(description="Digest of the body that the server last accepted.")] = NOTHING
    server_title: Annotated[Digest, Meta(description="Digest of the title that the server returned.")] = NOTHING
    server_body: Annotated[Digest, Meta(description="Digest of the body that the server returned.")] = NOTHING
    sent: Annotated[
        Digest, Meta(description="Digest of a body that the server may have saved: its reply was lost.")
    ] = NOTHING
    stamp: Annotated[
        str,
        Meta(description="The server's stamp of the content after the save. Absent: unknown."),
    ] = ""
    published: Annotated[bool, Meta(description="Whether contentops set the status `published`.")] = False

    @property
    def titles(self) -> frozenset[Digest]:
        """Return the digests that a title on the server can have if no person edited it there."""
        return frozenset({self.title, self.server_title} - {NOTHING})

    @property
    def bodies(self) -> frozenset[Digest]:
        """Return the digests that a body on the server can have if no person edited it there."""
        return frozenset({self.body, self.server_body, self.sent} - {NOTHING})


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """A record: one line of the lock file. It describes everything that contentops has made for one item.

    The keys of the line are these fields.
    """

    id: Annotated[ItemId, Meta(min_length=1, description="The item.")]
    digest: Annotated[Digest, Meta(description="Digest of the request.")]
    request: Annotated[Mapping[str, Json], Meta(description="The rendered request of the text, in no dialect.")]
    server: Annotated[str, Meta(description="Where the text was made: scheme, host and port, or `local`.")]
    dialect: Annotated[str, Meta(description="The dialect of the request.")]
    output: Annotated[str, Meta(description="The file, relative to the folder of the project.")]
    title: Annotated[str, Meta(description="The title as last written.")] = ""
    metadata: Annotated[Mapping[str, Json], Meta(description="The front matter as last written.")] = field(
        default_factory=dict
    )
    generated: Annotated[
        Digest,
        Meta(description="Body digest of the last generated text, with its regenerated sections."),
    ] = NOTHING
    adopted: Annotated[
        Digest,
        Meta(description="Body digest of the adopted or imported text, until a job makes one."),
    ] = NOTHING
    promoted: Annotated[
        Digest,
        Meta(description="Body digest of the last text promoted from another environment."),
    ] = NOTHING
    outline: Annotated[
        bool,
        Meta(description="Whether the text is a draft outline of the bundled server."),
    ] = False
    promoted_from: Annotated[
        str, Meta(description="The environment of `promoted`; `default` is the project without one.")
    ] = ""
    declined: Annotated[Digest, Meta(description="Body digest of a text that a person chose not to promote.")] = NOTHING
    saved: Annotated[Saved | None, Meta(description="What the server last accepted and returned.")] = None
    content_id: Annotated[str, Meta(description="The server's id of the stored content.")] = ""
    superseded: Annotated[
        tuple[str, ...], Meta(description="Older contents of the item that still exist on the server.")
    ] = ()
    request_id: Annotated[
        RequestId,
        Meta(description="The `id` of the job that made the text. Absent: no job of this server did."),
    ] = RequestId("")
    saved_at: Annotated[str, Meta(description="The time of the last save, UTC.")] = ""
    protected: Annotated[bool, Meta(description="Protects the item until `protected: false` is applied.")] = False
    used: Annotated[
        Mapping[str, str],
        Meta(description="Variables of the request, each with the start of its value's digest."),
    ] = field(default_factory=dict)
    frame: Annotated[
        Digest,
        Meta(description="Digest of the request without words of texts and rows. Absent: it used none."),
    ] = NOTHING
    sources: Annotated[
        Mapping[str, Digest], Meta(description="The digests of title and body of the texts that were used, by item id.")
    ] = field(default_factory=dict)
    addresses: Annotated[
        tuple[str, ...],
        Meta(description="Old addresses of the item's page, also those that a person added."),
    ] = ()
    rev: Annotated[Count, Meta(description="Counts the changes of the record; the higher one wins a merge.")] = 0

    @property
    def bodies(self) -> tuple[Digest, ...]:
        """Return the body digests in this record: generated, promoted, saved, or returned by a save."""
        saved = (self.saved.body, self.saved.server_body) if self.saved is not None else ()
        return tuple(filter(None, (self.generated, self.promoted, *saved)))

    @property
    def is_promoted(self) -> bool:
        """Return whether the record's text was promoted from another environment. No job of this one made it then."""
        return bool(self.promoted) and not self.request_id

    @property
    def restorable(self) -> tuple[Digest, ...]:
        """Return the digests of the bodies that can restore a missing file, the preferred body first.

        A promoted text is never restored from the generated one, which may have been edited before the promotion.
        """
        saved = self.saved.body if self.saved is not None else NOTHING
        ours = self.promoted if self.is_promoted else self.generated
        return tuple(dict.fromkeys(filter(None, (saved, ours))))


def request_id(lineage: str, digest: Digest, attempt: int, part: str = "") -> RequestId:
    """Return the id of a request. Every machine computes the same id, so no file is needed to find it again.

    `part` is the heading of the section to generate again, or empty for a whole text. Raises ValueError if `lineage` is
    no UUID.
    """
    return RequestId(str(uuid.uuid5(uuid.UUID(lineage), "\n".join((digest, str(attempt), part)))))


def is_day(text: str) -> bool:
    """Return whether a text is a date such as `2026-12-01`."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def seconds_of(text: str) -> float | None:
    """Return an ISO time as seconds since the epoch, or None for any other text. Without a zone it counts as UTC."""
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()


class JobState(enum.StrEnum):
    """The state of a job. Each state is later than the one before."""

    SUBMITTING = "submitting"
    """The intent is recorded before the request leaves."""
    UNKNOWN = "unknown"
    """The answer was lost."""
    NEVER = "never"
    """The server refused it, or has proved that it does not know it: it cost nothing."""
    GIVEN_UP = "given-up"
    """A person gave it up, and it may have been paid for."""
    RUNNING = "running"
    FAILED = "failed"
    PAID = "paid"
    """Its text is in no file yet."""
    SETTLED = "settled"
    """Its text was written into a file, or dropped on purpose."""


class Job(Struct, frozen=True, kw_only=True):
    """An order for one text from a server. It is a line of `contentops.jobs`, and its fields are the keys of that line.

    No line names an owner. An order is identified by its request id and the time of its intent: a request may be sent
    again if the server has proved that the first one never arrived.
    """

    request_id: Annotated[
        RequestId,
        Meta(
            min_length=1,
            description="The request id: uuid5 of lineage, request digest, attempt and part.",
        ),
    ] = field(name="id")
    item: Annotated[ItemId, Meta(description="The id that the item had then.")]
    digest: Annotated[Digest, Meta(description="Digest of the request.")] = field(name="request")
    attempt: Annotated[Count, Meta(description="The number of the attempt at this request.")]
    state: Annotated[
        JobState, Meta(description="The job's state. If one order has several lines, the latest state counts.")
    ]
    server: Annotated[str, Meta(description="Scheme, host and port, or `local`.")]
    store: Annotated[str, Meta(description="With `local`, the id of the `local.db` that has the job.")] = ""
    dialect: Annotated[str, Meta(description="The dialect of the request.")]
    credits: Annotated[Count, Meta(description="The price in credits.")]
    tokens: Annotated[
        PaidTokens | None,
        Meta(description="The tokens that a model used, and the `price` of that time. Absent: not known."),
    ] = None
    bound: Annotated[
        PaidTokens | None,
        Meta(description="The maximum tokens that the model may use. Absent: `tokens` is known."),
    ] = None
    job_id: Annotated[str, Meta(description="The server's id of the job.")] = field(name="job", default="")
    plan_id: Annotated[str, Meta(description="The plan that ordered the job.")] = field(name="plan", default="")
    submitted_at: Annotated[str, Meta(description="The time just before the request was sent, UTC.")] = field(
        name="at", default=""
    )
    accepted: Annotated[str, Meta(description="When the server accepted it, by the server's clock.")] = ""
    title: Annotated[str, Meta(description="The title of the job's text.")] = ""
    body: Annotated[Digest, Meta(description="Body digest of the job's text.")] = field(name="text", default=NOTHING)
    checks: Annotated[
        Digest,
        Meta(description="Digest of the checks that the job's text failed."),
    ] = NOTHING
    generated_at: Annotated[str, Meta(description="When contentops received the text, UTC.")] = field(
        name="done", default=""
    )
    template: Annotated[str, Meta(description="The template of the request.")] = ""
    style: Annotated[str, Meta(description="The style of the request.")] = ""
    section: Annotated[
        str, Meta(description="The heading of the section that the job generates again. Absent: the whole text.")
    ] = field(name="part", default="")
    retry: Annotated[Count, Meta(description="The number of earlier paid texts that failed checks.")] = 0
    output: Annotated[
        str,
        Meta(description="The file for the job's text, which is written before the record."),
    ] = ""
    content_id: Annotated[str, Meta(description="The server's id of the stored text.")] = field(
        name="content", default=""
    )
    outline: Annotated[bool, Meta(description="Whether the job's text is a draft outline.")] = False
    model: Annotated[str, Meta(description="The model that made its text, by the server's name.")] = ""
    error: Annotated[str, Meta(description="The server's error. For a paid text: what `checks` found.")] = ""
    lost: Annotated[bool, Meta(description="Whether the server lost the job, or a person gave it up.")] = False
    frame: Annotated[Digest, Meta(description="As in a record of the lock.")] = NOTHING
    sources: Annotated[Mapping[str, Digest], Meta(description="As in a record of the lock.")] = field(
        default_factory=dict
    )
    former_servers: Annotated[
        tuple[str, ...], Meta(description="Earlier addresses of the job's server, the oldest first.")
    ] = ()
    rev: Annotated[Count, Meta(description="Counts the changes in one state; the higher one wins a merge.")] = 0

    @property
    def short(self) -> str:
        """Return the first characters of the request id. With them, people can tell the jobs of an item apart."""
        return self.request_id[:8]

    @property
    def is_sure(self) -> bool:
        """Return whether it is certain that the server accepted the job."""
        return bool(self.job_id) or self.state in ACCEPTED

    @property
    def order(self) -> Order:
        """Return the key of this order: the id and the time of its request. An id may be sent more than once."""
        return self.request_id, self.submitted_at

    @property
    def time(self) -> str:
        """Return the time at which the job's text arrived, or the time of the request if there is no text."""
        return self.generated_at or self.submitted_at

    @property
    def is_spent(self) -> bool:
        """Return whether the job was paid for, even if the server lost its text."""
        return self.has_text or (self.state is JobState.FAILED and self.lost and bool(self.credits))

    @property
    def is_written(self) -> bool:
        """Return whether the text of the job was written to a file."""
        return self.state is JobState.SETTLED and bool(self.output)

    @property
    def outcome(self) -> str:
        """Return the result of the job in one word, such as `generated`, `unwritten` or `lost`.

        `generated`: its text was written to a file. `unwritten`: the text was paid for, and no file is known to have
        it. Its item was gone, its request had changed, its checks failed, or its run was killed. `lost`: the text was
        paid for, and the server lost it. For any other job it is the state.
        """
        if self.has_text:
            return "generated" if self.is_written else "unwritten"
        return "lost" if self.is_spent else self.state.value

    @property
    def since(self) -> str:
        """Return the time at which the server accepted the job, or the time of the request if that is not known."""
        return self.accepted or self.submitted_at

    @property
    def cost(self) -> int:
        """Return the credits that the job may cost.

        A job costs 0 if it never arrived, or if it failed and the server did not lose its text.
        """
        is_free = self.state is JobState.NEVER or (self.state is JobState.FAILED and not self.lost)
        return 0 if is_free else self.credits

    @property
    def why_unknown(self) -> str:
        """Return why it is unknown whether the submit request of this job arrived."""
        return self.error or "the answer to its submit was lost"

    @property
    def may_be_paid(self) -> bool:
        """Return whether the job may have been paid for, although the server's reply to the request was lost."""
        return not self.is_sure and self.state is not JobState.NEVER

    @property
    def is_by_model(self) -> bool:
        """Return whether it is known that a model wrote the text of the job."""
        return bool(self.model) or self.tokens is not None

    @property
    def is_failure(self) -> bool:
        """Return whether the job finished without a text and without credits."""
        return self.state is JobState.FAILED and not self.is_spent

    @property
    def has_text(self) -> bool:
        """Return whether the job has a text. Such a text is paid for."""
        return self.state in {JobState.PAID, JobState.SETTLED}


Order = tuple[RequestId, str]
"""The request id and the time of intent of an order."""
UNDECIDED = frozenset({JobState.SUBMITTING, JobState.UNKNOWN})
"""The states of an order without an answer."""
OPEN = UNDECIDED | {JobState.RUNNING, JobState.PAID}
"""The states of a job whose text is in no file yet."""
ACCEPTED = frozenset({JobState.RUNNING, JobState.FAILED, JobState.PAID, JobState.SETTLED})
"""The states that only a server's answer can set."""


class State(Struct, frozen=True, kw_only=True, dict=True):
    """The recorded state: the record of each item, and its jobs."""

    lineage: str
    records: Mapping[ItemId, Record] = field(default_factory=dict)
    open_jobs: Mapping[RequestId, Job] = field(default_factory=dict)
    """The open jobs of this environment."""
    jobs: Sequence[Job] = ()
    """Every order of all environments, the earliest first."""

    @functools.cached_property
    def _by_order(self) -> Mapping[tuple[str, str], list[Job]]:
        """Return a map that finds a job by two keys: server and request id, or the digests of request and text."""
        found: dict[tuple[str, str], list[Job]] = {}
        for job in (*self.jobs, *self.open_jobs.values()):
            found.setdefault((job.server, job.request_id), []).append(job)
            if job.body:
                found.setdefault((job.digest, job.body), []).append(job)
        return found

    @functools.cached_property
    def _by_request(self) -> Mapping[tuple[str, Digest], list[Job]]:
        """Return the jobs by server and request digest."""
        found: dict[tuple[str, Digest], list[Job]] = {}
        for job in (*self.jobs, *self.open_jobs.values()):
            found.setdefault((job.server, job.digest), []).append(job)
        return found

    def jobs_of(self, server: str, digest: Digest) -> Sequence[Job]:
        """Return all jobs for a request on a server. An open job is listed twice."""
        return self._by_request.get((server, digest), ())

    def made_by(self, record: Record) -> Job | None:
        """Return the job that made the text of a record, or None if no job is known, as for an adopted text.

        A promoted text was made in another environment.
        """
        promoted = self._by_order.get((record.digest, record.generated), ()) if record.is_promoted else ()
        return made_by(record, self._by_order.get((record.server, record.request_id), promoted))


def made_by(record: Record, jobs: Iterable[Job]) -> Job | None:
    """Return the job whose text is in the record.

    If there is none, return the latest job that has a text, or else the latest job.
    """
    return max(jobs, key=lambda job: (job.body == record.generated, job.has_text, job.submitted_at), default=None)


class Observed(Struct, frozen=True, kw_only=True, gc=False):
    """A file as it is on disk now. `file` is empty if the file does not exist."""

    path: str
    file: Digest = NOTHING
    """Digest of the raw bytes: the precondition of a write."""
    title: str = ""
    body: Digest = NOTHING
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter without the `contentops` block."""
    problem: str = ""
    """Why the file cannot be used (not UTF-8, broken front matter, an unresolved merge, a pointer), or empty.

    It names the path and says what to do."""
    problem_line: int = 1
    owner: str = ""
    """The item id that its `contentops` block names, or empty."""
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """The `contentops` block of its front matter, unchanged."""
    labelled: bool = False
    """Its text has the label of a draft outline of the bundled server."""
    hidden: bool = False
    """It has characters that its title and body digest leave out, such as marks that turn the direction of words."""

    @property
    def exists(self) -> bool:
        """Return whether a file or anything else exists at the path."""
        return bool(self.file or self.problem)


class Remote(Struct, frozen=True, kw_only=True):
    """The stored content of an item, as a refresh found it on the server. Its body is in the cache by its digest."""

    content_id: str
    title: str = ""
    """The cleaned title."""
    body: Digest = NOTHING
    """Body digest without front matter. It is empty if the content was deleted or could not be read."""
    deleted: bool = False
    """The server answers 404 for it."""
    stamp: str = ""
    """The server's name for this state of the content, or empty if not known."""
    taken: bool = False
    """Its metadata says that it belongs to another project."""
    saved: Digest = NOTHING
    """The saved body digest of the record at the time of the refresh."""
    recorded: bool = False
    """It is a text that was recorded for the item before, so it is no new edit."""
    front: tuple[str, ...] = ()
    """Keys of the front matter that its text begins with."""
    problem: str = ""
    """Why it could not be read (another owner's, an unusable reply), or empty."""

    @property
    def is_lost(self) -> bool:
        """Return whether the item's stored content is gone. The text must then be saved as a new content."""
        return self.deleted or self.taken
