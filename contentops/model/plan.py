"""What remains to be done, and why; and a plan file as it is read back."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from msgspec import Struct, ValidationError, convert, to_builtins

from contentops.digest import NOTHING, Digest, digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model.desired import Budget, Spec
from contentops.model.records import ItemId, JobState, Json, Observed, OpenEntry, Record, Remote, RequestId
from contentops.model.steps import (
    Acknowledge,
    Drain,
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
    held: OpenEntry | None = None
    """The open entry that answers the spec of an item that is held back."""
    blocked: str = ""
    """The kebab-case reason the item is held back, or empty."""
    holder: str = ""
    """What works on the item instead, and where: `worker on HOST`; empty: nothing does."""
    withdraws: tuple[RequestId, ...] = ()
    """What is queued for the same request under another name, and is needless once this is carried out."""
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
        return sum(step.credits for step in self._paying)

    @property
    def credits_at_most(self) -> bool:
        """Whether its credits are an upper bound, as a price depends on how long the text becomes."""
        return any(step.at_most for step in self.steps if isinstance(step, Submit | RetryText))

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
        """What it costs at most."""
        steps = (step for step in self.steps if isinstance(step, RetryText))
        return self.credits + sum(step.credits * (step.times - step.certain) for step in steps)

    @property
    def entry(self) -> OpenEntry | None:
        """The open entry that answers the spec."""
        found = (step.entry for step in self.steps if isinstance(step, LookUp | Poll | Fetch))
        return next((entry for entry in found if entry is not None), self.held)

    @property
    def promotion(self) -> Promote | None:
        """The step that takes its text from another environment, if any."""
        return next((step for step in self.steps if isinstance(step, Promote)), None)

    @property
    def drains(self) -> tuple[OpenEntry, ...]:
        """The open entries no one waits for."""
        return tuple(step.entry for step in self.steps if isinstance(step, Drain))

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
    def _paying(self) -> list[Submit | RetryText]:
        return [
            step for step in self.steps if isinstance(step, Submit) or (isinstance(step, RetryText) and step.certain)
        ]

    def _heads(self) -> Iterator[Write | Update | Acknowledge]:
        return (step for step in reversed(self.steps) if isinstance(step, Write | Update | Acknowledge))


class Note(Struct, frozen=True, kw_only=True):
    """Something worth knowing that is no change: an orphan, a held-back item."""

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
    budget: Budget | None = None
    """What one apply may spend; None where a plan file of an earlier version does not say."""
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
    def credits_at_most(self) -> bool:
        """Whether its credits are an upper bound: of some change they are."""
        return any(change.credits_at_most for change in self.changes)

    @property
    def submits(self) -> int:
        """How many generations it pays for."""
        return sum(change.submits for change in self.changes)

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
        """Whether there is nothing to do and nothing held."""
        return not self.changes


CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""


class ReviewedJob(Struct, frozen=True, kw_only=True):
    """An open entry, as far as a plan tells of it."""

    request_id: RequestId
    job_id: str
    state: JobState
    digest: Digest
    error: str


class ReviewedText(Struct, frozen=True, kw_only=True):
    """The text that a change takes from another environment; the values are those of its `Promote` step."""

    environment: str
    path: str
    expects: Digest
    body: Digest
    generated: Digest
    generated_at: str
    carries: tuple[str, ...] = ()


class ReviewedChange(Struct, frozen=True, kw_only=True):
    """A change as it was reviewed; the values are those that `Change` has under the same names."""

    id: ItemId
    action: Action
    steps: tuple[str, ...]
    """The names of the steps, each once."""
    credits: int
    credits_worst: int | None = None
    """With every retry; None: as `credits`, where an older plan does not say."""
    credits_at_most: bool = False
    """Both are upper bounds; older plans lack it."""
    retries: int = 0
    attempt: int
    reasons: tuple[Reason, ...]
    target: str
    source: str
    renamed_from: ItemId | None
    digest: Digest
    """Of the request; empty for an orphan."""
    record: Digest
    """Of the record the change starts from."""
    file: Digest
    """Of the file the plan saw."""
    body: Digest = NOTHING
    """Of that file without its front matter; older plans lack it."""
    remote: Digest = NOTHING
    """Body digest of what a refresh found on the server; empty where it did not look, and in older plans."""
    front: Mapping[str, Json]
    title: str | None
    entry: ReviewedJob | None
    drains: tuple[ReviewedJob, ...]
    promotes: ReviewedText | None = None
    """Older plans lack it."""
    blocked: str
    holder: str = ""
    hint: str

    @property
    def worst(self) -> int:
        """What it costs at most."""
        return self.credits if self.credits_worst is None else self.credits_worst


class PlanSummary(Struct, frozen=True, kw_only=True):
    """The counts of a plan that its changes do not tell."""

    unchanged: int


class PlanFile(Struct, frozen=True, kw_only=True):
    """A plan as it was reviewed."""

    id: str
    project: str
    environment: str
    server: str
    budget: Budget | None = None
    lineage: str
    changes: tuple[ReviewedChange, ...]
    summary: PlanSummary
    notes: tuple[Note, ...]
    refusals: tuple[Refusal, ...]
    diagnostics: tuple[Diagnostic, ...]


def plan_file(document: Mapping[str, Json], path: str = "plan.json") -> PlanFile:
    """The plan of a document. Raises InputError where it is none; `path` is the name of its file."""
    try:
        return convert(document, PlanFile)
    except ValidationError as error:
        raise no_plan_file(f"`{path}` is no plan file: {error}") from error


def no_plan_file(message: str, hint: str = "make one with `contentops plan --out FILE`") -> InputError:
    """What a file that is no plan file is answered with."""
    return InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])


def checksum(document: Mapping[str, Json]) -> Digest:
    """The digest of everything but the checksum itself."""
    return digest_json({key: value for key, value in document.items() if key != CHECKSUM})


def check_seal(document: Mapping[str, Json], path: str) -> None:
    """Refuse a plan file that is none, is of a newer format, or was edited. Raises InputError or Refused."""
    version = document.get("format_version")
    if not isinstance(version, str) or not isinstance(document.get("changes"), list) or CHECKSUM not in document:
        raise no_plan_file(f"`{path}` is no plan file")
    if version.split(".")[0] != "1":
        message = f"`{path}` has format {version}, which this version does not know"
        raise InputError([Diagnostic(code="newer-plan-file", message=message, hint="update contentops")])
    if document[CHECKSUM] != checksum(document):
        raise Refused(
            f"`{path}` was edited after it was made",
            code="edited-plan",
            hint="change the manifests instead, and make a new plan with `contentops plan --out FILE`",
        )


def record_digest(record: Record | None) -> Digest:
    """The fingerprint of a record as a plan starts from it; empty where there is none."""
    return NOTHING if record is None else digest_json(to_builtins(record, enc_hook=dict))
