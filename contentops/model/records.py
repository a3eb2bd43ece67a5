"""Records, open entries, files and stored contents, and the names that they are made of."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, NewType, Protocol

from msgspec import Meta, Struct, field, structs

from contentops.digest import NOTHING, Digest
from contentops.tokens import PaidTokens

Json = Any
"""Any JSON value: None, bool, int, float, str, list or dict with string keys."""

ItemId = NewType("ItemId", str)
"""The stable identity of an item, chosen by a person."""

RequestId = NewType("RequestId", str)
"""uuid5 of (lineage, environment, item id, digest, attempt): our name for one paid submit."""


Count = Annotated[int, Meta(ge=0)]
"""A number of things."""


class Saved(Struct, frozen=True, kw_only=True, gc=False):
    """What the server last accepted for an item, and what it last gave back."""

    title: Digest = NOTHING
    body: Digest = NOTHING
    server_title: Digest = NOTHING
    server_body: Digest = NOTHING
    sent: Digest = NOTHING
    """Body digest of a save that was about to be sent: it may have arrived without a recorded answer."""
    stamp: str = ""
    """The server's name for the state of its content after this save; empty: not known. It has no order."""
    published: bool = False
    """Whether contentops gave the content the status `published`, as its text is approved."""

    @property
    def titles(self) -> frozenset[Digest]:
        """The titles that the server may have without an edit there."""
        return frozenset({self.title, self.server_title} - {NOTHING})

    @property
    def bodies(self) -> frozenset[Digest]:
        """The bodies that the server may have without an edit there."""
        return frozenset({self.body, self.server_body, self.sent} - {NOTHING})


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One line of the lock: what contentops knows it made for one item. The keys of the line are these fields."""

    id: Annotated[ItemId, Meta(min_length=1)]
    digest: Digest
    request: Mapping[str, Json]
    server: str
    dialect: str
    output: str
    title: str = ""
    """As last written."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """As last written."""
    generated: Digest = NOTHING
    """Body digest of the last text a job made for this item, with sections it made again; empty if adopted."""
    adopted: Digest = NOTHING
    """Body digest of the text that was adopted or imported; empty: none, not known, or a job made one since."""
    promoted: Digest = NOTHING
    """Body digest of another environment's text that was last taken; empty: none.

    In locks of earlier versions it may also be one that was declined."""
    outline: bool = False
    """The bundled server said that its text is a draft outline."""
    model: str = ""
    """The model that made its text, by the server's name; empty: not known."""
    promoted_from: str = ""
    """The environment its text was taken from, `default` for the settings without one; empty: none, or not known."""
    declined: Digest = NOTHING
    """Body digest of another environment's text in whose place a person kept the file since; empty: none."""
    saved: Saved | None = None
    content_id: str = ""
    superseded: tuple[str, ...] = ()
    """Content ids this item had before and that still exist on the server."""
    job_id: str = ""
    request_id: RequestId = RequestId("")
    attempt: Count = 0
    plan_id: str = ""
    credits: Count = 0
    """Credits of the last submit."""
    tokens: PaidTokens | None = None
    """What a model used in all calls of that submit, and the price of tokens then; None: not known."""
    generated_at: str = ""
    saved_at: str = ""
    protected: bool = False
    used: Mapping[str, str] = field(default_factory=dict)
    """Variables the request used and the start of their values' digests, to find the cause of a change."""
    frame: Digest = NOTHING
    """The digest of the request with placeholders for the texts of other items; empty: it used none."""
    sources: Mapping[str, Digest] = field(default_factory=dict)
    """By item id, the digest of the title and body that the request used."""
    moved_from: str = ""
    """The id this record had before it was renamed last; empty: it never was."""
    older_ids: tuple[str, ...] = ()
    """The ids it had before that one, the newest first."""
    addresses: tuple[str, ...] = ()
    """Addresses that lead to its page and that no manifest states: those it had before, and a person's beside them."""
    rev: Count = 0
    """Counts the changes of this record; the higher one wins a merge."""

    @property
    def former_ids(self) -> tuple[ItemId, ...]:
        """The ids it had before the one of today, the newest first."""
        return tuple(ItemId(each) for each in (self.moved_from, *self.older_ids) if each)

    def renamed(self, new: ItemId) -> Record:
        """The record under a new id, with the old one as the newest of its former ids."""
        return structs.replace(self, id=new).with_former(self.id)

    def with_former(self, old: ItemId) -> Record:
        """The record with `old` as the newest of its former ids, unless that is its id or one of them already."""
        others = [each for each in self.former_ids if each != self.id]
        former = others if old in (self.id, *others) else [old, *others]
        return structs.replace(self, moved_from=former[0] if former else "", older_ids=tuple(former[1:]))

    @property
    def bodies(self) -> tuple[Digest, ...]:
        """The body digests that it names: generated, promoted, saved, or returned by a save."""
        saved = (self.saved.body, self.saved.server_body) if self.saved is not None else ()
        return tuple(filter(None, (self.generated, self.promoted, *saved)))

    @property
    def is_promoted(self) -> bool:
        """Whether its text was taken from another environment, so that no job here made it."""
        return bool(self.promoted) and not self.request_id

    @property
    def restorable(self) -> tuple[Digest, ...]:
        """The body digests that may restore a file that is gone, the preferred one first.

        A promoted text is never restored from the generated one, which may have been edited before the promotion.
        """
        saved = self.saved.body if self.saved is not None else NOTHING
        ours = self.promoted if self.is_promoted else self.generated
        return tuple(dict.fromkeys(filter(None, (saved, ours))))


def request_id(lineage: str, environment: str, item: ItemId, digest: Digest, attempt: int) -> RequestId:
    """The id of one paid submit: the same on every machine, so that it can be found again without a journal.

    Raises ValueError if `lineage` is no UUID.
    """
    return RequestId(str(uuid.uuid5(uuid.UUID(lineage), "\n".join((environment, item, digest, str(attempt))))))


def is_day(text: str) -> bool:
    """Whether a text is a day of the calendar, as `2026-12-01`."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


ATTEMPTS = 100
"""The most attempts at one request that are considered, whatever a lock says."""


def is_answer(record: Record, lineage: str, environment: str, ids: Iterable[ItemId] = ()) -> bool:
    """Whether a job made the record's text for the very request it names; `keep` gives an older text another request.

    `ids`: more ids that its item has had. Raises ValueError if `lineage` is no UUID.
    """
    names = {record.id, *record.former_ids, *ids}
    # Attempts never fall, so an earlier one may be the text's.
    attempts = range(1, min(record.attempt, ATTEMPTS) + 1)
    return record.request_id in {
        request_id(lineage, environment, name, record.digest, one) for name in names for one in attempts
    }


class JobState(enum.StrEnum):
    """The last known state of an open entry."""

    SUBMITTING = "submitting"
    RUNNING = "running"
    UNKNOWN = "unknown"
    PAID = "paid"
    FAILED = "failed"


class OpenEntry(Struct, frozen=True, kw_only=True):
    """One submit whose result no record has yet. The keys of its line are these fields."""

    request_id: Annotated[RequestId, Meta(min_length=1)] = field(name="open")
    item: ItemId
    digest: Digest
    attempt: Count
    state: JobState
    server: str
    dialect: str
    credits: Count
    tokens: PaidTokens | None = None
    """As in a record, once its job is done; of a failed one too."""
    job_id: str = ""
    plan_id: str = ""
    submitted_at: str = ""
    title: str = ""
    """Of a paid text."""
    body: Digest = NOTHING
    """Body digest of a paid text."""
    generated_at: str = ""
    """Of a paid text."""
    section: str = ""
    """The heading of the one section it writes again, or empty."""
    retry: Count = 0
    """How many texts before it failed their checks, and were paid for as `checks.retries` allows."""
    output: str = ""
    """The path of its text: the file is written before its record."""
    content_id: str = ""
    """Named by the server with a paid text."""
    outline: bool = False
    """The server says of a paid text that it is a draft outline."""
    model: str = ""
    """The model that made a paid text, by the server's name."""
    error: str = ""
    """The server's words, where it failed or is unknown; of a paid text, what `checks` found when it arrived."""

    @property
    def short(self) -> str:
        """The start of its request id, by which a person names it among those of its item."""
        return self.request_id[:8]


class HasCost(Protocol):
    """What says the cost of one submit."""

    @property
    def credits(self) -> int:
        """Its price in credits."""

    @property
    def tokens(self) -> PaidTokens | None:
        """What its model used."""


def cost_of(paid: HasCost) -> dict[str, Any]:
    """What a submit cost, as the fields of another value about it."""
    return {"credits": paid.credits, "tokens": paid.tokens}


class LockedLine(NamedTuple):
    """A record or an open entry of the lock of an environment."""

    environment: str
    line: Record | OpenEntry


class HasModel(HasCost, Protocol):
    """What says which model wrote a text."""

    @property
    def model(self) -> str:
        """Its name; empty: none, or not known."""


def tokens_of_all(texts: Iterable[HasModel]) -> Iterator[PaidTokens | None]:
    """The tokens of texts; None: a model wrote the text, and its tokens are not known."""
    return (text.tokens for text in texts if text.model or text.tokens is not None)


class PendingSubmit(Struct, frozen=True, kw_only=True):
    """A submit that another process works on."""

    state: str
    """As a `JobState`."""
    since: str
    """When it was submitted, ISO time, UTC."""
    holder: str
    """The process that has claimed it, for people: `apply on HOST`; or that its row cannot be used."""


class State(Struct, frozen=True, kw_only=True):
    """Lock and journal folded into one: records by id, open entries by request id."""

    lineage: str
    records: Mapping[ItemId, Record] = field(default_factory=dict)
    entries: Mapping[RequestId, OpenEntry] = field(default_factory=dict)


class Observed(Struct, frozen=True, kw_only=True, gc=False):
    """The file at a path as it is on disk now. A file that is not there has `file` empty."""

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
    owner: str = ""
    """The item id its provenance block names, or empty."""
    provenance: Mapping[str, Json] = field(default_factory=dict)
    """The `contentops` block of its front matter as it stands."""
    labelled: bool = False
    """Its text has the label of a draft outline of the bundled server."""
    hidden: bool = False
    """It has characters that its title and body digest leave out, such as marks that turn the direction of words."""

    @property
    def exists(self) -> bool:
        """Whether something is at the path."""
        return bool(self.file or self.problem)


class Remote(Struct, frozen=True, kw_only=True):
    """The content that the server has stored for an item, from a refresh. Its body is in the cache by its digest."""

    content_id: str
    title: str = ""
    """Cleaned."""
    body: Digest = NOTHING
    """Body digest without front matter; empty where the content was deleted or could not be read."""
    deleted: bool = False
    """The server answers 404 for it."""
    stamp: str = ""
    """The server's name for this state of it; empty: not known."""
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
        """Whether the item has no content any more, so that its text is to be saved as new."""
        return self.deleted or self.taken
