"""What passes from one step of an item to the next: frozen values, each made by the function that found it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.execution.durations import kind_of
from contentops.model import RequestId

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.model import Change, ItemId, OpenEntry, Record, Spec
    from contentops.state.cache import StoredText


class Item(Struct, frozen=True, kw_only=True):
    """One change of the plan, and what the state knows beside it."""

    change: Change
    failed: tuple[OpenEntry, ...] = ()
    """Failed attempts at the same digest; a text makes an end of them."""

    @property
    def id(self) -> ItemId:
        """The item's id."""
        return self.change.id

    @property
    def spec(self) -> Spec:
        """The declared item; only orphans have none, and none of their steps asks."""
        assert self.change.spec is not None
        return self.change.spec

    @property
    def kind(self) -> str:
        """What the durations of its jobs are learned by."""
        return kind_of(self.change.spec)

    def wants(self, entry: OpenEntry) -> bool:
        """Whether a text of this entry would answer the spec as it is now."""
        return self.change.spec is not None and entry.digest == self.change.spec.digest


class Job(Struct, frozen=True, kw_only=True):
    """A job on the server, on record. `sent`: loop time at which this run submitted it; None: an earlier run did."""

    entry: OpenEntry
    sent: float | None = None


class Lost(Struct, frozen=True, kw_only=True):
    """A submit of which nobody knows whether it arrived. Times are loop times."""

    entry: OpenEntry
    why: str
    sent: float
    """When it was sent, at the latest."""
    lost: float
    """When its answer was lost, at the latest."""
    ours: bool
    """This run sent it."""


class Text(Struct, frozen=True, kw_only=True):
    """A cleaned text on its way to a file, and the job that made it."""

    title: str
    body: str
    content_id: str = ""
    """The server has stored it under that id already."""
    generated_at: str = ""
    entry: OpenEntry | None = None
    """The open entry that it makes an end of."""
    job_id: str = ""
    request_id: RequestId = RequestId("")
    credits: int = 0
    paid_now: bool = False
    """This very run submitted the job, so no earlier save of it can be lost."""
    verbatim: bool = False
    """It comes from its stored content, so it is what the server has to the letter."""

    @staticmethod
    def of(stored: StoredText, entry: OpenEntry | None = None) -> Text:
        """A text from the cache."""
        return Text(
            title=stored.title,
            body=stored.body,
            content_id=stored.content_id,
            generated_at=stored.generated_at,
            entry=entry,
            job_id=entry.job_id if entry else stored.job_id,
            request_id=entry.request_id if entry else RequestId(stored.request_id),
            credits=entry.credits if entry else stored.credits,
        )


class Standing(Struct, frozen=True, kw_only=True):
    """Where an item stands as its steps so far have left it."""

    record: Record | None
    path: str
    """Where its file is; empty: nowhere."""
    job: Job | None = None
    """The job that was submitted or found in this run."""
    text: Text | None = None
    """The text that was brought or written in this run."""
    fresh: bool = False
    """That text is new and was written by this very run."""

    def after(self, found: Job | Text) -> Standing:
        """With a job or a text that was found."""
        if isinstance(found, Job):
            return structs.replace(self, job=found)
        return structs.replace(self, text=found)

    @property
    def recorded(self) -> Record:
        """The record, once there is one."""
        assert self.record is not None
        return self.record


class Draft(Struct, frozen=True, kw_only=True):
    """What the server is to have of an item. `title` is cleaned; `digest` is the body's."""

    item: Item
    standing: Standing
    title: str
    body: str
    digest: Digest
