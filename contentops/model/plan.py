"""What remains to be done, and why."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from msgspec import Struct, field

from contentops.digest import NOTHING, Digest
from contentops.errors import Diagnostic
from contentops.model.desired import Spec
from contentops.model.names import ItemId, Json
from contentops.model.records import OpenEntry, Record


class Action(enum.StrEnum):
    """What a change is, in one word."""

    CREATE = "create"
    REGENERATE = "regenerate"
    OVERWRITE = "overwrite"
    MERGE = "merge"
    KEEP = "keep"
    FINISH = "finish"
    RESOLVE = "resolve"
    RESTORE = "restore"
    MOVE = "move"
    RENAME = "rename"
    UPDATE = "update"
    SAVE = "save"
    DRAIN = "drain"
    REMOVE = "remove"
    BLOCKED = "blocked"
    NONE = "none"


class Step(enum.StrEnum):
    """One thing the executor does; the plan lists them in order."""

    DRAIN = "drain"
    """Poll an open job of another digest, or of a gone item, into the cache."""
    LOOKUP = "look up"
    """Find out what became of a submit whose answer was lost."""
    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"
    """Bring a text that exists already: from the cache, the job, or the server's content."""
    MOVE = "move"
    WRITE = "write"
    """Write title, metadata and body."""
    UPDATE = "update"
    """Write changed front matter keys into the file as it is."""
    SAVE = "save"
    REMOVE = "remove"
    """Remove an orphan's file and record."""
    RECORD = "record"
    """Only the record changes."""


class Reason(Struct, frozen=True, kw_only=True):
    """Why: a kebab-case kind, the field it is about, the values before and after, and the shared cause."""

    kind: str
    field: str = ""
    before: Json = None
    after: Json = None
    cause: str = ""
    """Such as: var `year` in contentops.yaml:12:9."""
    detail: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """One item's difference and the steps that remain, in order.

    `spec` is None for an orphan, `record` None for a new item. `entry` is the open entry that answers the spec,
    `drains` the others. `target` is the file that will be written, `source` the recorded one if it differs.
    """

    id: ItemId
    action: Action
    steps: tuple[Step, ...] = ()
    reasons: tuple[Reason, ...] = ()
    spec: Spec | None = None
    record: Record | None = None
    entry: OpenEntry | None = None
    drains: tuple[OpenEntry, ...] = ()
    attempt: int = 1
    """The attempt number of the submit, if there is one."""
    target: str = ""
    source: str = ""
    expected: Digest = NOTHING
    """Digest of the file at `source` (or `target`) that the plan saw; empty: no file."""
    body: Digest = NOTHING
    """Body digest of that file."""
    front: Mapping[str, Json] = field(default_factory=dict)
    """Front matter keys to write in an update; a value of None removes the key."""
    title: str | None = None
    """The title to write, where the manifest states one."""
    renamed_from: ItemId | None = None
    section: str = ""
    """The heading of the one section to generate anew, or empty: the whole text."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Template and style as the catalog has them, where the change submits or accepts a text: `Definitions.of`."""
    credits: int = 0
    hint: str = ""
    blocked: str = ""
    """The kebab-case reason the item is held back, or empty."""

    @property
    def submits(self) -> int:
        """How many generations this change pays for."""
        return self.steps.count(Step.SUBMIT)


class Note(Struct, frozen=True, kw_only=True):
    """Something worth knowing that is no change: an orphan, a held-back item."""

    kind: str
    message: str
    id: ItemId | None = None
    hint: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """A guard that would refuse this plan: its numbers, and the flag that overrides it."""

    guard: str
    message: str
    flag: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """The full ordered list of changes, not yet done. Same inputs, same plan, same bytes."""

    project: str
    environment: str
    server: str
    lineage: str
    changes: tuple[Change, ...] = ()
    """Sorted by id, without items that need nothing."""
    notes: tuple[Note, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unchanged: int = 0
    findings: tuple[Diagnostic, ...] = ()
    id: str = ""
    """Digest of the changes: names the plan in records."""

    @property
    def credits(self) -> int:
        """What applying it costs."""
        return sum(change.credits for change in self.changes)

    @property
    def submits(self) -> int:
        """How many generations it pays for."""
        return sum(change.submits for change in self.changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing held."""
        return not self.changes
