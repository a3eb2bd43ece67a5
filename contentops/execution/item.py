"""One item on its way through the steps of its change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.execution.durations import kind_of
from contentops.state.cache import StoredText

if TYPE_CHECKING:
    from contentops.digest import Digest
    from contentops.execution.context import Context
    from contentops.model import Change, OpenEntry, Record, Result, Spec


class Ended(Exception):
    """The item goes no further in this run."""

    def __init__(self, result: Result, error: str = "", hint: str = "") -> None:
        super().__init__(error)
        self.result = result
        self.error = error
        self.hint = hint


class Text(Struct, frozen=True, kw_only=True):
    """A cleaned text on its way to a file. `content_id`: the server has stored it under that id already."""

    title: str
    body: str
    content_id: str = ""
    generated_at: str = ""


@dataclass(slots=True)
class ItemRun:
    """What is known of one item while its steps run."""

    ctx: Context
    change: Change
    record: Record | None
    entry: OpenEntry | None
    expected: Digest
    """Digest of the file as the item's earlier steps left it; empty: no file."""
    path: str
    """Where its file stands now; empty: nowhere."""
    failed: tuple[OpenEntry, ...] = ()
    """Failed attempts at the same digest; a text makes an end of them."""
    text: Text | None = None
    source: StoredText | None = None
    """Where the text came from the cache: what it knows of the job that made it."""
    restored: bool = False
    """The text is one the server or a job gave before, not a new one."""
    fetched: bool = False
    """The text comes from its stored content, so it is what the server has to the letter."""
    admitted: bool = False
    running: bool = False
    """Its job counts among those the server works on."""
    intended: float | None = None
    """Loop time at which this run sent the submit."""
    may_submit: bool = False
    """The plan lists a submit for it."""
    resends: int = 0
    lost: float | None = None
    """Loop time by which the answer to its submit was lost."""
    not_there: bool = False
    candidates: str = ""
    credits: int = 0
    fresh: bool = False
    """The text was written by this very run, so no earlier save of it can be lost."""
    done: list[str] = field(default_factory=list)
    drained: list[tuple[OpenEntry, Ended]] = field(default_factory=list)
    """The jobs nobody waits for that brought no text, and why."""

    @property
    def spec(self) -> Spec:
        """The declared item; only orphans have none, and none of their steps asks."""
        assert self.change.spec is not None
        return self.change.spec

    @property
    def the_entry(self) -> OpenEntry:
        """The open entry, once there is one."""
        assert self.entry is not None
        return self.entry

    @property
    def kind(self) -> str:
        """What the durations of its jobs are learned by."""
        return kind_of(self.change.spec)

    def wants(self, entry: OpenEntry) -> bool:
        """Whether a text of this entry would answer the spec as it is now."""
        return self.change.spec is not None and entry.digest == self.change.spec.digest

    def leave(self) -> None:
        """The item's job takes no place among the unfinished ones any more."""
        if self.running:
            self.running = False
            self.ctx.gate.ended(self.ctx.now())
        if self.admitted:
            self.admitted = False
            self.ctx.gate.in_flight -= 1

    def begin(self) -> None:
        """Its job is known to be on the server."""
        if not self.running:
            self.running = True
            self.ctx.gate.began(self.ctx.now())

    def keep(self, text: Text, entry: OpenEntry) -> None:
        """Put a paid text where no crash reaches it."""
        self.ctx.cache.put_text(
            self.ctx.server,
            entry.digest,
            StoredText(
                title=text.title,
                body=text.body,
                content_id=text.content_id,
                job_id=entry.job_id,
                request_id=entry.request_id,
                item=entry.item,
                credits=entry.credits,
                generated_at=text.generated_at,
            ),
        )
