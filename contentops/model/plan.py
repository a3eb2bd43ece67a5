"""What remains to be done, and why."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from msgspec import Struct

from contentops.errors import Diagnostic
from contentops.model.desired import NO_ENVIRONMENT, Budget, Spec
from contentops.model.records import ItemId, Json, Observed, OpenEntry, Record, Remote, RequestId
from contentops.model.steps import (
    Acknowledge,
    Collect,
    Fetch,
    LookUp,
    Poll,
    Promote,
    RetryText,
    Step,
    Submit,
    Update,
    Write,
    name_of,
)


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
    PROMOTE = "promote"
    PULL = "pull"
    MOVE = "move"
    RENAME = "rename"
    UPDATE = "update"
    SAVE = "save"
    DRAIN = "drain"
    REMOVE = "remove"
    PENDING = "pending"
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
    remote: Remote | None = None
    """The remote side, where a refresh looked at it and the item is saved."""
    renamed_from: ItemId | None = None
    addresses: tuple[str, ...] = ()
    """What `Record.addresses` is to be."""
    blocked_entry: OpenEntry | None = None
    """The open entry that answers the spec of an item that is blocked."""
    blocked: str = ""
    """The kebab-case reason the item is blocked, or empty."""
    holder: str = ""
    """What works on the item instead, and where: `worker on HOST`; empty: nothing does."""
    withdraws: tuple[RequestId, ...] = ()
    """What is queued for the same request under another name, and is needless once this is carried out."""
    queued: bool = False
    """What it submits waits in the queue: its price was counted when it was queued, and is in no other sum, but that of
    further texts, should its checks fail."""
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
        return len(self._paying)

    @property
    def credits(self) -> int:
        """What it costs."""
        return 0 if self.queued else self._credits

    @property
    def queued_credits(self) -> int:
        """What it costs, where that was counted when it was queued."""
        return self._credits if self.queued else 0

    @property
    def credits_at_most(self) -> bool:
        """Whether its credits are an upper bound, as a price depends on how long the text becomes."""
        return not self.queued and any(step.at_most for step in self.steps if isinstance(step, Submit | RetryText))

    @property
    def retries(self) -> int:
        """How often more it may be paid for, if the text fails its checks each time."""
        return sum(step.times - step.certain for step in self.steps if isinstance(step, RetryText))

    @property
    def submits_worst(self) -> int:
        """How many generations this change pays for at most."""
        return self.submits + self.retries

    @property
    def credits_worst(self) -> int:
        """What it costs at most; also of what is queued, whose retries are paid for by an apply alone."""
        steps = (step for step in self.steps if isinstance(step, RetryText))
        return self.credits + sum(step.credits * (step.times - step.certain) for step in steps)

    @property
    def entry(self) -> OpenEntry | None:
        """The open entry that answers the spec."""
        entries = (step.entry for step in self.steps if isinstance(step, LookUp | Poll | Fetch))
        return next((entry for entry in entries if entry is not None), self.blocked_entry)

    @property
    def promotion(self) -> Promote | None:
        """The step that takes its text from another environment, if any."""
        return next((step for step in self.steps if isinstance(step, Promote)), None)

    @property
    def collected_entries(self) -> tuple[OpenEntry, ...]:
        """The open entries no one waits for."""
        return tuple(step.entry for step in self.steps if isinstance(step, Collect))

    @property
    def attempt(self) -> int:
        """The attempt number of the submit, or of the entry that is finished; 0: no job made it here."""
        if self.submit is not None:
            return self.submit.attempt
        if self.promotion is not None:
            return 0
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

    @property
    def _credits(self) -> int:
        return sum(step.credits for step in self._paying)

    @property
    def _paying(self) -> list[Submit | RetryText]:
        return [
            step for step in self.steps if isinstance(step, Submit) or (isinstance(step, RetryText) and step.certain)
        ]

    def _heads(self) -> Iterator[Write | Update | Acknowledge]:
        return (step for step in reversed(self.steps) if isinstance(step, Write | Update | Acknowledge))


class Note(Struct, frozen=True, kw_only=True):
    """Something worth knowing that is no change: an orphan, a blocked item."""

    kind: str
    message: str
    id: ItemId | None = None
    hint: str = ""
    items: tuple[ItemId, ...] = ()
    """Of one about several items: the first of them."""
    credits: int = 0
    """What is paid for these."""


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
    budget: Budget = Budget()
    """What one apply may spend."""
    lineage: str
    changes: tuple[Change, ...] = ()
    """Sorted by id, without items that need nothing."""
    notes: tuple[Note, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    unchanged: int = 0
    findings: tuple[Diagnostic, ...] = ()
    id: str = ""
    """Digest of the changes: names the plan in records."""
    beside_default: bool = False
    """Whether it is made without an environment although the settings name a default one."""

    @property
    def option(self) -> str:
        """What `--env` says in a command that is about the same environment; empty: nothing."""
        return NO_ENVIRONMENT if self.beside_default else self.environment

    @property
    def credits(self) -> int:
        """What applying it costs."""
        return sum(change.credits for change in self.changes)

    @property
    def credits_at_most(self) -> bool:
        """Whether its credits are an upper bound: of some change they are."""
        return any(change.credits_at_most for change in self.changes)

    @property
    def submits(self) -> int:
        """How many generations it pays for, without those that are queued already."""
        return sum(change.submits for change in self.changes if not change.queued)

    @property
    def queued(self) -> int:
        """How many of its submits are queued already."""
        return sum(change.queued for change in self.changes)

    @property
    def queued_credits(self) -> int:
        """What those cost."""
        return sum(change.queued_credits for change in self.changes)

    @property
    def credits_worst(self) -> int:
        """What applying it costs at most: with every retry that `checks` allow."""
        return sum(change.credits_worst for change in self.changes)

    @property
    def submits_worst(self) -> int:
        """How many generations it pays for at most."""
        return sum(change.submits_worst for change in self.changes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do and nothing blocked."""
        return not self.changes
