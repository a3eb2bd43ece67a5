"""The durable primitives: the only ways in which an item waits, sends and records; and what passes between its steps.

Items are plain async functions over these. `DurableRun` is the implementation, over the journal of a checkout or the
rows of a ledger; whatever offers the same can run the same items.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct, field, structs

from contentops.execution.durations import kind_of
from contentops.model import RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.api.calls import Failure, JobStatus, Reply
    from contentops.digest import Digest
    from contentops.documents.front_edits import WrittenEntry
    from contentops.execution.limiter import JobSlot
    from contentops.model import Change, Finding, ItemId, Json, KeptWords, OpenEntry, Record, Result, Spec
    from contentops.state.codec import Fact
    from contentops.state.paid_texts import StoredText


class Stop:
    """A person's wish to end the run; may be asked for from a signal handler."""

    def __init__(self) -> None:
        self.requested = False
        self._wake: Callable[[], object] | None = None

    def request(self) -> None:
        """Submit nothing more, keep what there is, and end."""
        self.requested = True
        if self._wake is not None:
            self._wake()

    def bind(self, wake: Callable[[], object] | None) -> None:
        """Whom to tell at once."""
        self._wake = wake


R = TypeVar("R", bound="Reply")
R_co = TypeVar("R_co", bound="Reply", covariant=True)


class Priority(enum.IntEnum):
    """Which call goes first when requests are scarce."""

    SAVE = 0
    LOOKUP = 1
    SUBMIT = 2
    POLL = 3


class Stopped(Exception):
    """Raised where an item waits when the run ends early."""


class Withheld(Stopped):
    """The run stopped after what a call was about to do had been recorded: it never left."""


class Ended(Exception):
    """The item goes no further in this run.

    `gone`: the server does not know its job, or the content with its text, any more. `findings`: what its checks found.
    `charged`: its job was paid for and brought nothing, and is closed.
    """

    def __init__(
        self,
        result: Result,
        error: str = "",
        hint: str = "",
        *,
        gone: bool = False,
        charged: bool = False,
        findings: tuple[Finding, ...] = (),
    ) -> None:
        super().__init__(error)
        self.result = result
        self.error = error
        self.hint = hint
        self.gone = gone
        self.charged = charged
        self.findings = findings


class Asks(Protocol[R_co]):
    """A call of `api.calls`, by the reply that it brings."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""

    @property
    def reply(self) -> type[R_co]:
        """The type of its reply."""


class Watch(Struct, frozen=True):
    """A job to ask for when that is worth a request.

    `started` is the loop time of its submit, `kind` the template and mode whose durations are alike, `polls` how often
    it was found running. Where `until`, a loop time, lies ahead, it is asked for by then.
    """

    job_id: str
    kind: str
    started: float
    polls: int
    until: float = math.inf
    request_id: str = ""
    """The request that began it, by which a reply may name it."""


class Primitives(Protocol):
    """What an item may do. Whatever waits here raises `Stopped` once the run ends early."""

    @property
    def stopped(self) -> str:
        """Why the run ends early, or empty; nothing is submitted any more."""

    @property
    def halted(self) -> bool:
        """Whether nothing is waited for any more either."""

    def now(self) -> float:
        """Seconds of a clock that never goes back (loop time)."""

    def record(self, step: str, *facts: Fact) -> None:
        """Take in what a step brought about: all facts or none, durable before anything else is sent."""

    def entry(self, request_id: RequestId) -> OpenEntry | None:
        """An open entry as it was recorded last."""

    def is_recorded(self, item: ItemId) -> bool:
        """Whether there is a record under this id."""

    async def send(self, call: Asks[R], priority: Priority, intend: Callable[[], None] | None = None) -> R | Failure:
        """Send one call when its turn has come: the one place where anything leaves.

        `intend` runs at that moment; what it records is durable before the call leaves. The answer of a call that pays
        or creates is waited for even if the item is cancelled meanwhile.
        """

    async def poll(self, watch: Watch) -> JobStatus | Failure:
        """Ask where a job stands, once that is worth a request."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def last_look(self) -> None:
        """Go on when no other item can."""

    def slot(self) -> JobSlot:
        """A slot among the unfinished jobs, not taken yet."""

    def stop(self, reason: str, message: str, hint: str = "", *, at_once: bool) -> None:
        """End the run early: no submit any more, and `at_once` no waiting either. The first reason stays."""


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
    done: JobStatus | None = None
    """How it ended, where the answer to its submit said so."""


class Lost(Struct, frozen=True, kw_only=True):
    """A submit of which no one knows whether it arrived. Times are loop times."""

    entry: OpenEntry
    why: str
    sent: float
    """When it was sent, at the latest."""
    lost: float
    """When its answer was lost, at the latest."""
    ours: bool
    """This run sent it."""
    refused: bool = False
    """The server said no to it, perhaps as its id was used before."""


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
    front: Mapping[str, Json] = field(default_factory=dict)
    """What its own front matter said besides the title."""
    entries: tuple[WrittenEntry, ...] = ()
    """Front matter that comes with it as it is written in another environment's file."""
    verbatim: bool = False
    """It comes from its stored content, so it is what the server has to the letter."""
    from_earlier_run: bool = False
    """It was kept since an earlier run and answers no open entry: its content may be gone by now, or another one."""
    outline: bool = False
    """The server that made it says that it is a draft outline."""

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
            front=stored.front,
            from_earlier_run=entry is None,
            outline=stored.outline or (entry is not None and entry.outline),
        )


class MergedBody(Struct, frozen=True):
    """A body in which a person's words stay."""

    body: str
    kept: tuple[KeptWords, ...] = ()
    """The sections of a person that stay in it."""
    generated: str = ""
    """Of a section made again: the generated text with that section in it; empty: that text is not at hand."""


class CheckedBody(Struct, frozen=True):
    """A body, and what the checks found in it."""

    body: str
    findings: tuple[Finding, ...]


class ItemState(Struct, frozen=True, kw_only=True):
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
    title: str = ""
    """The title that stands in the file since this run wrote it, a person's or ours; empty: it wrote none."""
    copy: str = ""
    """Where the words of a person that it took the place of are kept; empty: there were none."""
    merged: MergedBody | None = None
    """What is written in place of the text's own body; None: that one."""
    checked: CheckedBody | None = None
    """What was held against the checks last; None: nothing."""

    def after(self, brought: Job | Text) -> ItemState:
        """With a job or a text that was found."""
        if isinstance(brought, Job):
            return structs.replace(self, job=brought)
        return structs.replace(self, text=brought, merged=None)

    @property
    def body(self) -> str:
        """The body that is written."""
        assert self.text is not None
        return self.text.body if self.merged is None else self.merged.body

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the checks found in the body that was held against them last."""
        return self.checked.findings if self.checked is not None else ()

    @property
    def former_ids(self) -> tuple[ItemId, ...]:
        """The ids that the item had before, as its record says."""
        return self.record.former_ids if self.record is not None else ()

    @property
    def recorded(self) -> Record:
        """The record, once there is one."""
        assert self.record is not None
        return self.record


class Draft(Struct, frozen=True, kw_only=True):
    """What the server is to have of an item. `title` is cleaned; `digest` is the body's."""

    item: Item
    item_state: ItemState
    title: str
    body: str
    digest: Digest
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """What the content that it is saved over was seen to carry."""
