"""What may be asked of the server: one frozen type per call, independent of dialect.

Every call has a `name` (for messages and logs), the type of its `reply`, and `repeatable`: whether sending it twice
does no harm. A call that is not repeatable pays or creates, so a lost answer leaves its outcome unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct, field

from contentops.api.replies import (
    Accepted,
    CatalogReply,
    Content,
    ContentList,
    JobStatus,
    SavedReply,
    Stats,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json


class _Harmless(Struct, frozen=True):
    """A call that only asks or overwrites."""

    repeatable: ClassVar[bool] = True


class Generate(Struct, frozen=True):
    """Start a generation. Pays.

    `request` is the canonical mapping of `model.Request.as_json`; its `revision` is ours alone and never sent.
    """

    name: ClassVar[str] = "submit"
    reply: ClassVar[type[Accepted]] = Accepted
    repeatable: ClassVar[bool] = False
    request: Mapping[str, Json]
    request_id: str


class GetStatus(_Harmless, frozen=True):
    """Ask where a job stands."""

    name: ClassVar[str] = "status"
    reply: ClassVar[type[JobStatus]] = JobStatus
    job_id: str


class ListContent(_Harmless, frozen=True):
    """List every stored content, without texts."""

    name: ClassVar[str] = "list content"
    reply: ClassVar[type[ContentList]] = ContentList


class GetContent(_Harmless, frozen=True):
    """Fetch one stored content."""

    name: ClassVar[str] = "get content"
    reply: ClassVar[type[Content]] = Content
    content_id: str


class SaveContent(Struct, frozen=True):
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


class PutContent(_Harmless, frozen=True):
    """Overwrite one stored content by its id."""

    name: ClassVar[str] = "put content"
    reply: ClassVar[type[SavedReply]] = SavedReply
    content_id: str
    title: str
    body: str
    metadata: Mapping[str, Json] = field(default_factory=dict)


class RegenerateSection(Struct, frozen=True):
    """Write one section of a stored content again. Pays. `heading` names the section, `mode` the tier."""

    name: ClassVar[str] = "regenerate section"
    reply: ClassVar[type[Accepted]] = Accepted
    repeatable: ClassVar[bool] = False
    content_id: str
    heading: str
    mode: str
    request_id: str


class ListTemplates(_Harmless, frozen=True):
    """List the templates; a server that pages gives up to 100 at a time (`page` counts from 1)."""

    name: ClassVar[str] = "list templates"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    page: int = 1


class GetTemplate(_Harmless, frozen=True):
    """Describe one template with its inputs."""

    name: ClassVar[str] = "get template"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    slug: str


class ListStyles(_Harmless, frozen=True):
    """List the style profiles; paged like templates."""

    name: ClassVar[str] = "list styles"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    page: int = 1


class GetStyle(_Harmless, frozen=True):
    """Describe one style profile."""

    name: ClassVar[str] = "get style"
    reply: ClassVar[type[CatalogReply]] = CatalogReply
    slug: str


class ListVerticals(_Harmless, frozen=True):
    """List the verticals, where the server has them."""

    name: ClassVar[str] = "list verticals"
    reply: ClassVar[type[CatalogReply]] = CatalogReply


class DashboardStats(_Harmless, frozen=True):
    """Ask for the account's numbers."""

    name: ClassVar[str] = "dashboard stats"
    reply: ClassVar[type[Stats]] = Stats


class CreditsUsage(_Harmless, frozen=True):
    """Ask for the account's credits, where the server shows them."""

    name: ClassVar[str] = "credits usage"
    reply: ClassVar[type[Stats]] = Stats


Call = (
    Generate
    | GetStatus
    | ListContent
    | GetContent
    | SaveContent
    | PutContent
    | RegenerateSection
    | ListTemplates
    | GetTemplate
    | ListStyles
    | GetStyle
    | ListVerticals
    | DashboardStats
    | CreditsUsage
)
"""Every call there is."""
