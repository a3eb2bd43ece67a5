"""The types of API calls and of their replies. Each type is frozen and the same in every dialect.

A call has a `name` (for messages and logs), whether it `pays`, and whether it is `repeatable`. A call that is not
repeatable pays or creates, so its outcome is unknown when the answer is lost.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

from msgspec import Struct, field

from contentops.model import Json
from contentops.tokens import Tokens

JobState = Literal["running", "completed", "failed"]
"""The state of a job; an unknown word of a server counts as running."""


class Accepted(Struct, frozen=True):
    """The server's reply that it has accepted our request for a text.

    `echoed`: the job has the request id we sent. `done`: the job, if it is finished.
    """

    job_id: str
    echoed: bool
    done: JobStatus | None = None
    at: str = ""
    """The time of acceptance as the server states it, or empty."""


class JobStatus(Struct, frozen=True):
    """The status of a job on the server. `progress` is 0.0 to 1.0. `body` is None if there is no text yet.

    `engine` names the program that wrote the text.
    """

    state: JobState
    progress: float | None = None
    stage: str = ""
    title: str = ""
    body: str | None = None
    """Without front matter."""
    content_id: str = ""
    error: str = ""
    """The server's reason for a failure: one line, at most 500 characters, never the key."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """The front matter without the title."""
    engine: str = ""
    tokens: Tokens | None = None
    """The tokens that a model used for the text; None if the server does not say."""
    model: str = ""
    """The server's name for the model of that engine; empty if it is not known."""


class ContentEntry(Struct, frozen=True):
    """One entry in the server's list of stored contents. Times are in the server's form (ISO 8601), or empty.

    `reading.stamp_in` explains `stamp`.
    """

    id: str
    title: str = ""
    status: str = ""
    created_at: str = ""
    updated_at: str = ""
    stamp: str = ""


class ContentList(Struct, frozen=True):
    """A list of stored contents, in the server's order.

    `limit` is the most entries that a page has; 0 means that the list is complete.
    """

    entries: tuple[ContentEntry, ...] = ()
    unnamed: tuple[ContentEntry, ...] = ()
    """Entries whose id cannot be used."""
    limit: int = 0

    @property
    def size(self) -> int:
        """Return the number of stored contents in the list."""
        return len(self.entries) + len(self.unnamed)

    def after(self, call: ListContent) -> ListContent | None:
        """Return the call that requests the next page, or None after the last page.

        `call` is the call that this page answers.
        """
        return ListContent(call.page + 1, self.limit) if 0 < self.limit <= self.size else None

    def joined(self, page: ContentList) -> ContentList:
        """Return the entries of two pages as one list without duplicates.

        An entry can be on both pages if the server's list changes between two calls.
        """
        ids = {entry.id for entry in self.entries}
        new = tuple(entry for entry in page.entries if entry.id not in ids)
        return ContentList((*self.entries, *new), tuple(dict.fromkeys((*self.unnamed, *page.unnamed))))


class Content(Struct, frozen=True):
    """A text that the server stores. `body` has no front matter. `reading.stamp_in` explains `stamp`."""

    id: str
    title: str = ""
    body: str = ""
    created_at: str = ""
    updated_at: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    whole: str = ""
    """The text with its front matter; empty if it has none."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """The front matter without the title."""
    stamp: str = ""


class SavedReply(Struct, frozen=True):
    """The server's reply to a call that saved, changed or deleted stored content.

    `stamp` is the time of the last change. It is empty if the server gave none (see `reading.stamp_in`).
    """

    content_id: str
    stamp: str = ""


class CatalogReply(Struct, frozen=True):
    """A list of templates, styles, verticals or brand voices, as the server describes them.

    The reply to a call for one template has one entry.
    """

    entries: tuple[Mapping[str, Json], ...] = ()
    total: int | None = None
    """The number of entries on all pages, if the server states it."""
    limit: int = 0
    """The most entries of a page, if the server states it."""


class Stats(Struct, frozen=True):
    """The account's usage numbers or credits, with the names that the server gives them."""

    data: Mapping[str, Json] = field(default_factory=dict)


class FailureKind(enum.StrEnum):
    """The kinds of failed calls. Each kind tells the caller what it may do next."""

    NOT_SENT = "not-sent"
    """The call certainly never arrived: no address, no connection, no TLS session."""
    THROTTLED = "throttled"
    """429: refused before any work."""
    QUOTA = "quota"
    """402: no credits left."""
    UNAUTHORIZED = "unauthorized"
    """401: the key is wrong."""
    FORBIDDEN = "forbidden"
    """403: the key is known but may not do this."""
    NOT_FOUND = "not-found"
    """The job, content, template or route does not exist. Never for a submit."""
    REJECTED = "rejected"
    """The server refused the request, and would refuse the same request again."""
    UNAVAILABLE = "unavailable"
    """A repeatable call failed for a reason that may pass."""
    AMBIGUOUS = "ambiguous"
    """A call that pays or creates may or may not have happened."""
    UNNAMED = "unnamed"
    """A save succeeded, and its id cannot be used: the content has to be searched for."""
    UNUSABLE = "unusable"
    """The answer is not from the API; the message says what to change."""


_SERVER_ERROR, _TIMED_OUT = 500, 408
"""Statuses of a failed server: the first and above, and the second."""
_DOWN = frozenset({None, 502, 503, 504})
"""Statuses of a gateway; None: no answer."""


class Failure(Struct, frozen=True):
    """The reason why a call has no reply.

    `message` is one clean line of at most 500 characters and never contains the key.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    """The HTTP status, or None if no response came."""
    retry_after: float | None = None
    """Seconds that the server asks to wait, finite and not negative."""
    call: str = ""
    """The name of the call, such as `submit`."""
    endpoint: str = ""
    """Method and address of the request, such as `GET https://api.example.com/v1/templates`; empty if none was sent."""
    not_from_api: bool = False
    """The response is certainly not from the API: a web page, a redirect, a login, or an unknown certificate."""

    @property
    def server_failed(self) -> bool:
        """Return whether the server was unreachable, had an error, or did not answer.

        In these cases the server did not refuse the call.
        """
        if self.kind is FailureKind.AMBIGUOUS:
            return self.status is None or self.status >= _SERVER_ERROR or self.status == _TIMED_OUT
        return self.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)

    @property
    def is_inconclusive(self) -> bool:
        """Return whether the server may still know a job after a request for the job's status failed.

        For example, a successful reply that cannot be read may describe a running job.
        """
        passing = self.kind in (FailureKind.NOT_SENT, FailureKind.UNAVAILABLE)
        return self.not_from_api or (passing and (self.status in _DOWN or self.status in range(200, 300)))

    @property
    def full_message(self) -> str:
        """Return a message for people: the endpoint, the HTTP status and the reason."""
        where = self.endpoint or self.call
        status = f" ({self.status})" if self.status is not None else ""
        return f"`{where}`{status}: {self.message}" if where else self.message


Reply = Accepted | JobStatus | ContentList | Content | SavedReply | CatalogReply | Stats


R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Asks(Struct, Generic[R_co], frozen=True):
    """The base class of API calls. Its type parameter is the type of the reply."""

    name: ClassVar[str]
    pays: ClassVar[bool] = False

    @property
    def repeatable(self) -> bool:
        """Return whether it is safe to send the call twice."""
        return not self.pays


Call = Asks[Reply]
"""Any API call."""


class Generate(Asks[Accepted], frozen=True):
    """Start the generation of a text.

    `request` is the canonical mapping of `model.Request.as_json`. Its `revision` is only for the digest and is never
    sent.
    """

    name: ClassVar[str] = "submit"
    pays: ClassVar[bool] = True
    request: Mapping[str, Json]
    request_id: str


class GetStatus(Asks[JobStatus], frozen=True):
    """Ask the server for the status of a job. `ours` is the id that we sent with the submit."""

    name: ClassVar[str] = "status"
    job_id: str
    ours: str = ""


class ListContent(Asks[ContentList], frozen=True):
    """List the stored contents without their texts. The call lists all contents, or one page of the newest.

    Pages count from 1 and have `limit` entries.
    """

    name: ClassVar[str] = "list content"
    page: int = 1
    limit: int = 0


class GetContent(Asks[Content], frozen=True):
    """Fetch one stored text."""

    name: ClassVar[str] = "get content"
    content_id: str


class SaveContent(Asks[SavedReply], frozen=True):
    """Store a text as new content, or overwrite the stored content that has the id `content_id`."""

    name: ClassVar[str] = "save"
    title: str
    body: str
    content_id: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        """Return whether the call overwrites stored content. Only then is it safe to send it twice."""
        return bool(self.content_id)


class PutContent(Asks[SavedReply], frozen=True):
    """Overwrite one stored text."""

    name: ClassVar[str] = "put content"
    content_id: str
    title: str
    body: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


class SetStatus(Asks[SavedReply], frozen=True):
    """Change the status of one stored text, for example to `published`. Its words stay the same."""

    name: ClassVar[str] = "set status"
    content_id: str
    status: str


class DeleteContent(Asks[SavedReply], frozen=True):
    """Delete one stored text."""

    name: ClassVar[str] = "delete content"
    content_id: str


class RegenerateSection(Asks[Accepted], frozen=True):
    """Ask the server to write one section of a stored text again.

    `heading` names the section, and `mode` is the generation mode.
    """

    name: ClassVar[str] = "regenerate section"
    pays: ClassVar[bool] = True
    content_id: str
    heading: str
    mode: str
    request_id: str


class ListTemplates(Asks[CatalogReply], frozen=True):
    """List the templates of the server.

    If the server has pages, the call lists one page: pages count from 1 and have `limit` entries.
    """

    name: ClassVar[str] = "list templates"
    page: int = 1
    limit: int = 0


class GetTemplate(Asks[CatalogReply], frozen=True):
    """Ask for the description of one template, with its inputs."""

    name: ClassVar[str] = "get template"
    slug: str


class ListStyles(Asks[CatalogReply], frozen=True):
    """List the style profiles of the server. Pages work as for templates."""

    name: ClassVar[str] = "list styles"
    page: int = 1
    limit: int = 0


class ListVerticals(Asks[CatalogReply], frozen=True):
    """List the verticals (industries) that the server knows. Some servers do not have them."""

    name: ClassVar[str] = "list verticals"


class ListBrandVoices(Asks[CatalogReply], frozen=True):
    """List the brand voices of the account. Some servers do not show them, and no documentation describes this call."""

    name: ClassVar[str] = "list brand voices"


class DashboardStats(Asks[Stats], frozen=True):
    """Ask for the account's usage numbers (the dashboard)."""

    name: ClassVar[str] = "dashboard stats"


class CreditsUsage(Asks[Stats], frozen=True):
    """Ask for the account's credits. Some servers do not show them."""

    name: ClassVar[str] = "credits usage"
