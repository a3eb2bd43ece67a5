"""Every call of the API and every reply: one frozen type each, independent of the dialect.

Every call has a `name` (for messages and logs), the type of its `reply`, whether it `pays`, and whether it is
`repeatable`. A call that is not repeatable pays or creates, so a lost answer leaves its outcome unknown.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json


JobState = Literal["running", "completed", "failed"]
"""The state of a job; every unknown word of a server counts as running."""


class Accepted(Struct, frozen=True):
    """A submit was accepted. `echoed`: the job has the request id we sent. `done`: the job, if it is finished."""

    job_id: str
    echoed: bool
    done: JobStatus | None = None


class JobStatus(Struct, frozen=True):
    """The status of a job. `progress` is 0.0 to 1.0, `body` None where there is no text, `engine` what wrote it."""

    state: JobState
    progress: float | None = None
    stage: str = ""
    title: str = ""
    body: str | None = None
    """Without front matter."""
    content_id: str = ""
    error: str = ""
    """The server's words where it failed: one line, at most 500 characters, never the key."""
    request_id: str = ""
    """The request id the reply names, or empty."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """Its front matter without the title."""
    engine: str = ""


class ContentEntry(Struct, frozen=True):
    """One line of the content list. Times are as the server writes them (ISO 8601), or empty; `stamp`: see `stamps`."""

    id: str
    title: str = ""
    status: str = ""
    created_at: str = ""
    updated_at: str = ""
    stamp: str = ""


class ContentList(Struct, frozen=True):
    """The stored contents, in the server's order. `limit`: how many a page has at most; 0: the list is whole."""

    entries: tuple[ContentEntry, ...] = ()
    unnamed: tuple[ContentEntry, ...] = ()
    """Entries whose id cannot be used, without it."""
    limit: int = 0

    @property
    def size(self) -> int:
        """How many contents it has."""
        return len(self.entries) + len(self.unnamed)

    def after(self, call: ListContent) -> ListContent | None:
        """The call for the page after this reply to `call`, or None."""
        return ListContent(call.page + 1, self.limit) if 0 < self.limit <= self.size else None

    def joined(self, page: ContentList) -> ContentList:
        """The entries of both pages, each content once: a list may change between two pages."""
        known = {entry.id for entry in self.entries}
        new = tuple(entry for entry in page.entries if entry.id not in known)
        return ContentList((*self.entries, *new), tuple(dict.fromkeys((*self.unnamed, *page.unnamed))))


class Content(Struct, frozen=True):
    """One stored text. Where it begins with front matter, `body` is what follows that; `stamp`: see `stamps`."""

    id: str
    title: str = ""
    body: str = ""
    created_at: str = ""
    updated_at: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    whole: str = ""
    """The text with its front matter; empty where it has none."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """That front matter without the title."""
    stamp: str = ""


class ContentVersion(Struct, frozen=True):
    """One version of a content, by number from 1. `replaced_at` is empty for the current one."""

    number: int
    title: str = ""
    status: str = ""
    replaced_at: str = ""


class VersionList(Struct, frozen=True):
    """Every version of a content, newest first."""

    versions: tuple[ContentVersion, ...] = ()


class SavedReply(Struct, frozen=True):
    """The content of this id was saved, changed or deleted; `stamp`: see `stamps`, empty where the reply has none."""

    content_id: str
    stamp: str = ""


class CatalogReply(Struct, frozen=True):
    """Templates, styles, verticals or brand voices as the server describes them; one entry for a detail call."""

    entries: tuple[Mapping[str, Json], ...] = ()
    total: int | None = None
    limit: int = 0
    """How many entries there are on all pages, and at most on one, where the server says so."""


class Stats(Struct, frozen=True):
    """The numbers of the dashboard, or of the credits, in the server's words."""

    data: Mapping[str, Json] = field(default_factory=dict)


class FailureKind(enum.StrEnum):
    """What a failed call means for its caller."""

    NOT_SENT = "not-sent"
    """It certainly never arrived: no address, no connection, no TLS session."""
    THROTTLED = "throttled"
    """429: refused before any work."""
    QUOTA = "quota"
    """402: no credits left."""
    UNAUTHORIZED = "unauthorized"
    """401: the key is wrong."""
    FORBIDDEN = "forbidden"
    """403: the key is known but may not do this."""
    NOT_FOUND = "not-found"
    """The job, content, template or route does not exist. Never the answer to a submit."""
    REJECTED = "rejected"
    """The server refused the request; the same request gets the same answer."""
    UNAVAILABLE = "unavailable"
    """A repeatable call failed for a reason that may pass."""
    AMBIGUOUS = "ambiguous"
    """A call that pays or creates may or may not have happened."""
    UNNAMED = "unnamed"
    """A save succeeded, but its id cannot be used: the content has to be searched for."""
    UNUSABLE = "unusable"
    """The answer is not from the API; the message says what to change."""


_SERVER_ERROR, _TIMED_OUT = 500, 408
"""Statuses: from the first on, and the second, the server failed by itself."""
_DOWN = frozenset({None, 502, 503, 504})
"""Statuses of a gateway; None: no answer."""


class Failure(Struct, frozen=True):
    """Why a call has no reply. `message` is one clean line of at most 500 characters that never holds the key."""

    kind: FailureKind
    message: str
    status: int | None = None
    """The HTTP status, or None where no answer came."""
    retry_after: float | None = None
    """Seconds the server asks us to wait, finite and not negative."""
    call: str = ""
    """The name of the call, such as `submit`."""
    endpoint: str = ""
    """Method and address that were asked, such as `GET https://api.example.com/v1/templates`; empty if none was."""
    not_from_api: bool = False
    """The answer is certainly not from the API: a page, a redirect, a login, an unknown certificate."""

    @property
    def unreached(self) -> bool:
        """Whether no one was there to be asked."""
        return self.kind is FailureKind.NOT_SENT and self.status is None

    @property
    def server_failed(self) -> bool:
        """Whether the server was not reached, failed by itself or did not answer: it refused nothing."""
        if self.kind is FailureKind.AMBIGUOUS:
            return self.status is None or self.status >= _SERVER_ERROR or self.status == _TIMED_OUT
        return self.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)

    @property
    def is_inconclusive(self) -> bool:
        """Whether it leaves open if the id is known: a success that cannot be read may have been the job."""
        passing = self.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)
        return self.not_from_api or (passing and (self.status in _DOWN or self.status in range(200, 300)))

    @property
    def full_message(self) -> str:
        """The message after the endpoint and the status, for the person who has to act."""
        where = self.endpoint or self.call
        status = f" ({self.status})" if self.status is not None else ""
        return f"`{where}`{status}: {self.message}" if where else self.message


Reply = Accepted | JobStatus | ContentList | Content | VersionList | SavedReply | CatalogReply | Stats


class Call(Struct, frozen=True):
    """A call of the API."""

    name: ClassVar[str]
    reply: ClassVar[type[Reply]]
    pays: ClassVar[bool] = False

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice."""
        return not self.pays


class Generate(Call, frozen=True):
    """Start a generation.

    `request` is the canonical mapping of `model.Request.as_json`; its `revision` is ours alone and never sent.
    """

    name: ClassVar[str] = "submit"
    reply: ClassVar[type[Accepted]] = Accepted
    pays: ClassVar[bool] = True
    request: Mapping[str, Json]
    request_id: str


class GetStatus(Call, frozen=True):
    """Ask for the status of a job. `known`: the server has named this job itself. `ours`: the request that began it."""

    name: ClassVar[str] = "status"
    reply: ClassVar[type[JobStatus]] = JobStatus
    job_id: str
    known: bool = True
    ours: str = ""


class ListContent(Call, frozen=True):
    """List stored contents, without texts: all of them, or the newest `limit` and then page after page (from 1)."""

    name: ClassVar[str] = "list content"
    reply: ClassVar[type[ContentList]] = ContentList
    page: int = 1
    limit: int = 0


class GetContent(Call, frozen=True):
    """Fetch one stored content, as it is now (0) or was in a version."""

    name: ClassVar[str] = "get content"
    reply: ClassVar[type[Content]] = Content
    content_id: str
    version: int = 0


class SaveContent(Call, frozen=True):
    """Store a text: over `content_id` where one is given, else as new (then it creates)."""

    name: ClassVar[str] = "save"
    reply: ClassVar[type[SavedReply]] = SavedReply
    title: str
    body: str
    content_id: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        """Whether it only overwrites."""
        return bool(self.content_id)


class PutContent(Call, frozen=True):
    """Overwrite one stored content by its id."""

    name: ClassVar[str] = "put content"
    reply: ClassVar[type[SavedReply]] = SavedReply
    content_id: str
    title: str
    body: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


class SetStatus(Call, frozen=True):
    """Give one stored content another status, such as `published`; its text stays."""

    name: ClassVar[str] = "set status"
    reply: ClassVar[type[SavedReply]] = SavedReply
    content_id: str
    status: str


class DeleteContent(Call, frozen=True):
    """Delete one stored content."""

    name: ClassVar[str] = "delete content"
    reply: ClassVar[type[SavedReply]] = SavedReply
    content_id: str


class ListVersions(Call, frozen=True):
    """List the versions of one stored content, without texts."""

    name: ClassVar[str] = "list versions"
    reply: ClassVar[type[VersionList]] = VersionList
    content_id: str


class RegenerateSection(Call, frozen=True):
    """Write one section of a stored content again. `heading` names the section, `mode` the tier."""

    name: ClassVar[str] = "regenerate section"
    reply: ClassVar[type[Accepted]] = Accepted
    pays: ClassVar[bool] = True
    content_id: str
    heading: str
    mode: str
    request_id: str


class ListTemplates(Call, frozen=True):
    """List the templates; where the server has pages, those of one page (from 1) of `limit` entries."""

    name: ClassVar[str] = "list templates"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    page: int = 1
    limit: int = 0


class GetTemplate(Call, frozen=True):
    """Describe one template with its inputs."""

    name: ClassVar[str] = "get template"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    slug: str


class ListStyles(Call, frozen=True):
    """List the style profiles; paged like templates."""

    name: ClassVar[str] = "list styles"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    page: int = 1
    limit: int = 0


class ListVerticals(Call, frozen=True):
    """List the verticals, where the server has them."""

    name: ClassVar[str] = "list verticals"
    reply: ClassVar[type[CatalogReply]] = CatalogReply


class ListBrandVoices(Call, frozen=True):
    """List the brand voices, where the server shows them; no source documents that."""

    name: ClassVar[str] = "list brand voices"
    reply: ClassVar[type[CatalogReply]] = CatalogReply


class DashboardStats(Call, frozen=True):
    """Ask for the account's numbers."""

    name: ClassVar[str] = "dashboard stats"
    reply: ClassVar[type[Stats]] = Stats


class CreditsUsage(Call, frozen=True):
    """Ask for the account's credits, where the server shows them."""

    name: ClassVar[str] = "credits usage"
    reply: ClassVar[type[Stats]] = Stats
