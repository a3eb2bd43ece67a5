"""What remains to be done, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from msgspec import Struct

from contentops.errors import Diagnostic
from contentops.model.desired import Spec
from contentops.model.names import ItemId, Json
from contentops.model.records import Observed, OpenEntry, Record
from contentops.model.steps import Acknowledge, Drain, Fetch, LookUp, Poll, Step, Submit, Update, Write, name_of


class Action(enum.StrEnum):
    """What a change is, in one word."""

    CREATE = "create"
    REGENERATE = "regenerate"
    OVERWRITE = "overwrite"
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
    """One item's difference and the steps that remain, in order: drains, move, the text's, update or record, save."""

    id: ItemId
    action: Action
    file: Observed
    """The item's file where it stood when the plan saw it; of an orphan without a file of its own, a path of ""."""
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Step, ...] = ()
    spec: Spec | None = None
    """The desired side; None: an orphan."""
    record: Record | None = None
    """The recorded side, of the orphan it takes over for a rename; None: new."""
    renamed_from: ItemId | None = None
    held: OpenEntry | None = None
    """The open entry that answers the spec of an item that is held back."""
    blocked: str = ""
    """The kebab-case reason the item is held back, or empty."""
    hint: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the steps in order, each once: one `drain` stands for all of them."""
        return tuple(dict.fromkeys(name_of(step) for step in self.steps))

    @property
    def submit(self) -> Submit | None:
        """The generation this change pays for, if any."""
        return next((step for step in self.steps if isinstance(step, Submit)), None)

    @property
    def submits(self) -> int:
        """How many generations this change pays for."""
        return sum(isinstance(step, Submit) for step in self.steps)

    @property
    def credits(self) -> int:
        """What it costs."""
        return sum(step.credits for step in self.steps if isinstance(step, Submit))

    @property
    def entry(self) -> OpenEntry | None:
        """The open entry that answers the spec."""
        found = (step.entry for step in self.steps if isinstance(step, LookUp | Poll | Fetch))
        return next((entry for entry in found if entry is not None), self.held)

    @property
    def drains(self) -> tuple[OpenEntry, ...]:
        """The open entries no one waits for."""
        return tuple(step.entry for step in self.steps if isinstance(step, Drain))

    @property
    def attempt(self) -> int:
        """The attempt number of the submit, or of the entry that is finished."""
        if self.submit is not None:
            return self.submit.attempt
        return self.entry.attempt if self.entry is not None and not self.blocked else 1

    @property
    def target(self) -> str:
        """The path the file is to have; empty: an orphan without a file of its own."""
        return self.file.path if self.spec is None else self.spec.output

    @property
    def source(self) -> str:
        """The path of a declared item's file as it stands; empty: there is none."""
        return self.file.path if self.spec is not None and self.file.exists else ""

    @property
    def front(self) -> Mapping[str, Json]:
        """Front matter keys that are written; a value of None removes the key."""
        return next((step.front for step in self._heads()), {})

    @property
    def title(self) -> str | None:
        """The title that is written, where the manifest states one."""
        return next((step.title for step in self._heads()), None)

    @property
    def section(self) -> str:
        """The heading of the one section that is generated again, or empty: the whole text."""
        if self.entry is not None:
            return self.entry.section
        return self.submit.section if self.submit is not None else ""

    def has(self, *kinds: type[Step]) -> bool:
        """Whether any step is of one of these kinds."""
        return any(isinstance(step, kinds) for step in self.steps)

    def _heads(self) -> Iterator[Write | Update | Acknowledge]:
        return (step for step in reversed(self.steps) if isinstance(step, Write | Update | Acknowledge))


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
