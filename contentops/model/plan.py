"""A plan: what is to be done, and why; and the same as a plan file has it.

A `Change` and a `ReviewedChange` have the same attributes, and so have a `Plan` and a `PlanFile`: what shows one, or
compares it, works with both.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, convert, field, to_builtins

from contentops.digest import NOTHING, Digest, digest_json
from contentops.errors import Diagnostic
from contentops.model.approval import ApprovalState
from contentops.model.desired import (
    BASE,
    NO_ENVIRONMENT,
    Reference,
    Spec,
)
from contentops.model.records import Count, ItemId, Job, JobState, Json, Observed, Record, Remote, RequestId
from contentops.model.settings import Budget, MonthSpend, as_counted
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
from contentops.tokens import Currency, PaidTokens, add_money, exact_money

Word = Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
"""A word in kebab case."""
_StepName = Annotated[str, Meta(pattern="^[a-z ]+$")]
_FileDigest = Annotated[Digest, Meta(pattern="^(sha256:[0-9a-f]{64})?$")]
_Amount = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=40)]


class Action(enum.StrEnum):
    """The kind of a change, in one word."""

    CREATE = "create"
    REGENERATE = "regenerate"
    OVERWRITE = "overwrite"
    MERGE = "merge"
    KEEP = "keep"
    FINISH = "finish"
    RESOLVE = "resolve"
    RESTORE = "restore"
    PROMOTE = "promote"
    MOVE = "move"
    RENAME = "rename"
    UPDATE = "update"
    SAVE = "save"
    DRAIN = "drain"
    REMOVE = "remove"
    WAIT = "wait"
    PENDING = "pending"
    BLOCKED = "blocked"
    NONE = "none"


class Reason(Struct, frozen=True, kw_only=True):
    """Why an item changes: a kebab-case kind, the field, its values before and after, and the cause."""

    kind: Word
    field: str = ""
    before: Json = None
    after: Json = None
    cause: str = ""
    """Such as: var `year` in contentops.yaml:12:9."""
    detail: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """One item's difference and the steps that remain.

    The steps are in order: collects, move, those of its text, update or record, save.
    """

    id: ItemId
    action: Action
    file: Observed
    """The item's file as the plan saw it; the path is empty for an orphan without a file."""
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Step, ...] = ()
    spec: Spec | None = None
    """The desired side; None: an orphan."""
    record: Record | None = None
    """The recorded side: its own, or of the orphan it takes over; None: new."""
    remote: Remote | None = None
    """The remote side, if a refresh fetched it and the item is saved."""
    renamed_from: ItemId | None = None
    addresses: tuple[str, ...] = ()
    """The new `Record.addresses`."""
    blocked_job: Job | None = None
    """The open job that answers the spec of an item that is blocked."""
    blocked: str = ""
    """The kebab-case reason the item is blocked, or empty."""
    claimed_by: str = ""
    """The process that has claimed the item: `apply on HOST`; empty: none."""
    approval: ApprovalState = ApprovalState.NONE
    """Of the text that the file has now."""
    waits: tuple[Reference, ...] = ()
    """The texts of other items that its own text waits for."""
    open_metadata: frozenset[str] = frozenset()
    """The keys of metadata that stay as they are recorded, as the texts that they mention are not final."""
    updates_later: tuple[str, ...] = ()
    """The values that follow once the texts that they mention are there: `output`, `metadata.title` and others."""
    pays_later: tuple[Submit | RetryText, ...] = ()
    """What it pays for once these are there, as an upper bound; `steps` has none of it."""
    hint: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the steps in order, each once, also if several jobs are collected."""
        return tuple(dict.fromkeys(name_of(step) for step in self.steps))

    @property
    def submit(self) -> Submit | None:
        """Return the generation this change pays for, if any."""
        return next((step for step in self.steps if isinstance(step, Submit)), None)

    @property
    def submits(self) -> int:
        """Return how many generations this change pays for."""
        return len(self._paid)

    @property
    def credits(self) -> int:
        """Return its price."""
        return sum(step.credits for step in self._paid)

    @property
    def credits_at_most(self) -> bool:
        """Return whether the credits are an upper bound, because the price depends on the length of the text."""
        orders = (*self._paid, *self._retries)
        return any(order.at_most or (self.pays_later and order.credits) for order in orders)

    @property
    def retries(self) -> int:
        """Return how many more generations it may pay for, if the text fails its checks each time."""
        return len(self._retries)

    @property
    def submits_worst(self) -> int:
        """Return how many generations this change pays for at most."""
        return self.submits + self.retries

    @property
    def credits_worst(self) -> int:
        """Return the price of the change with every retry."""
        return self.credits + sum(step.credits for step in self._retries)

    @property
    def tokens(self) -> PaidTokens | None:
        """Return the most tokens of each of its generations, at the price of the settings; None: not known."""
        own = [order.tokens for order in (*self._paid, *self._retries)]
        return next(iter(own or filter(None, (step.tokens for step in self._collects))), None)

    @property
    def has_no_price(self) -> bool:
        """Return whether a model of the settings writes its text, and these do not say what its tokens cost."""
        return self.tokens is not None and self.tokens.price is None

    @property
    def money(self) -> dict[str, int]:
        """Return the most that its models may cost, by currency; empty: not known, or without a price."""
        bounds = [*(order.tokens for order in self._paid), *(step.tokens for step in self._collects)]
        return add_money(bound.money for bound in bounds if bound is not None)

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the same with every retry."""
        return add_money((self.money, *(step.tokens.money for step in self._retries if step.tokens is not None)))

    @property
    def job(self) -> Job | None:
        """Return the open job that answers the spec."""
        jobs = (step.job for step in self.steps if isinstance(step, LookUp | Poll | Fetch))
        open_ = (job for job in jobs if job is not None and job.state is not JobState.SETTLED)
        return next(open_, self.blocked_job)

    @property
    def promotion(self) -> Promote | None:
        """Return the step that takes its text from another environment, if any."""
        return next((step for step in self.steps if isinstance(step, Promote)), None)

    @property
    def promoted_from(self) -> str:
        """Return the environment that its text is taken from; empty: none."""
        step = self.promotion
        return (step.environment or BASE) if step is not None else ""

    @property
    def collected_jobs(self) -> tuple[Job, ...]:
        """Return the open jobs whose texts are only collected."""
        return tuple(step.job for step in self._collects)

    @property
    def attempt(self) -> int:
        """Return the attempt number of the submit, or of the job that is finished; 0: no job made it here."""
        if self.submit is not None:
            return self.submit.attempt
        if self.promotion is not None:
            return 0
        return self.job.attempt if self.job is not None and not self.blocked else 1

    @property
    def target(self) -> str:
        """Return the path that the file will have; empty: an orphan without a file."""
        return self.file.path if self.spec is None else self.spec.output

    @property
    def source(self) -> str:
        """Return the path of a declared item's file now; empty: there is none."""
        return self.file.path if self.spec is not None and self.file.exists else ""

    @property
    def front(self) -> Mapping[str, Json]:
        """Front matter keys that are written; a value of None removes the key."""
        return next((step.front for step in self._heads()), {})

    @property
    def title(self) -> str | None:
        """Return the title to write, if the manifest states one."""
        return next((step.title for step in self._heads()), None)

    @property
    def section(self) -> str:
        """Return the heading of the one section that is generated again, or empty: the whole text."""
        if self.job is not None:
            return self.job.section
        return self.submit.section if self.submit is not None else ""

    @property
    def digest(self) -> Digest:
        """Return the digest of its request; empty for an orphan."""
        return NOTHING if self.spec is None else self.spec.digest

    @property
    def frame(self) -> Digest:
        """Return the digest of a waiting item's request without the texts of its sources; empty for other items."""
        return self.spec.frame if self.spec is not None and self.waits else NOTHING

    @property
    def publish_on(self) -> str:
        """Return the day the item is due; empty: none."""
        return "" if self.spec is None else self.spec.publish_on

    @property
    def record_digest(self) -> Digest:
        """Return the digest of the record that it starts from; empty: it is new."""
        return record_digest(self.record)

    @property
    def file_digest(self) -> Digest:
        """Return the digest of the file that the plan saw."""
        return self.file.file

    @property
    def body(self) -> Digest:
        """Return the digest of that file without its front matter."""
        return self.file.body

    @property
    def remote_body(self) -> Digest:
        """Return the body digest of what a refresh found on the server; empty if it did not look."""
        return NOTHING if self.remote is None else self.remote.body

    @property
    def exact_money(self) -> dict[str, str]:
        """Return the money of the change as decimals."""
        return exact_money(self.money)

    @property
    def exact_money_worst(self) -> dict[str, str]:
        """Return the money of the change with every retry, as decimals."""
        return exact_money(self.money_worst)

    def has(self, *kinds: type[Step]) -> bool:
        """Return whether any step is of one of these kinds."""
        return any(isinstance(step, kinds) for step in self.steps)

    @property
    def _paid(self) -> list[Submit]:
        """Return the orders that it pays for in any case, now or later."""
        retries = (step.again for step in self._retry_steps if step.certain)
        return [*(step for step in (*self.steps, *self.pays_later) if isinstance(step, Submit)), *retries]

    @property
    def _retries(self) -> list[Submit]:
        """Return the submits that the change may pay for again if a text fails its checks, each as often as allowed."""
        return [step.again for step in self._retry_steps for _ in range(step.times - step.certain)]

    @property
    def _retry_steps(self) -> list[RetryText]:
        return [step for step in (*self.steps, *self.pays_later) if isinstance(step, RetryText)]

    @property
    def _collects(self) -> list[Collect]:
        return [step for step in self.steps if isinstance(step, Collect)]

    def _heads(self) -> Iterator[Write | Update | Acknowledge]:
        return (step for step in reversed(self.steps) if isinstance(step, Write | Update | Acknowledge))


class ReviewedJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job, as far as a plan file has it."""

    request_id: RequestId
    job_id: str
    state: JobState
    digest: _FileDigest
    error: str
    submitted_at: str = ""


class ReviewedText(Struct, frozen=True, kw_only=True):
    """A `Promote` step, as far as a plan file has it."""

    environment: str
    path: str
    expects: _FileDigest
    body: _FileDigest
    generated: _FileDigest
    generated_at: str
    carries: tuple[str, ...] = ()


class ReviewedChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change as a plan file has it: each attribute is that of `Change` with the same name.

    The file omits an empty attribute that has a default here.
    """

    id: ItemId
    action: Action
    names: tuple[_StepName, ...] = field(name="steps")
    credits: Count
    credits_worst: Count
    credits_at_most: bool = False
    exact_money: Mapping[Currency, _Amount] = field(name="money_at_most", default_factory=dict)
    exact_money_worst: Mapping[Currency, _Amount] = field(name="money_worst", default_factory=dict)
    tokens: PaidTokens | None = field(name="tokens_at_most", default=None)
    submits: Count
    retries: Count
    attempt: Count
    reasons: tuple[Reason, ...]
    target: str
    source: str
    renamed_from: ItemId | None
    digest: _FileDigest
    publish_on: str = ""
    record_digest: _FileDigest = field(name="record")
    file_digest: _FileDigest = field(name="file")
    body: _FileDigest
    remote_body: _FileDigest = field(name="remote")
    front: Mapping[str, Json]
    title: str | None
    job: ReviewedJob | None = field(name="entry")
    promotion: ReviewedText | None = field(name="promotes")
    collected_jobs: tuple[ReviewedJob, ...] = field(name="drains")
    blocked: str
    claimed_by: str = field(name="holder")
    hint: str
    approval: ApprovalState = ApprovalState.NONE
    waits: tuple[Reference, ...] = ()
    frame: _FileDigest = NOTHING

    @property
    def money(self) -> dict[str, int]:
        """Return the same as `Change.money`."""
        return {currency: as_counted(Decimal(amount)) for currency, amount in self.exact_money.items()}

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the same as `Change.money_worst`."""
        return {currency: as_counted(Decimal(amount)) for currency, amount in self.exact_money_worst.items()}

    @property
    def has_no_price(self) -> bool:
        """Return the same as `Change.has_no_price`."""
        return self.tokens is not None and self.tokens.price is None

    @property
    def submits_worst(self) -> int:
        """Return the same as `Change.submits_worst`."""
        return self.submits + self.retries


AnyChange = Change | ReviewedChange


def change_json(change: AnyChange) -> dict[str, Json]:
    """Return a change as a plan file has it."""
    found: dict[str, Json] = to_builtins(convert(change, ReviewedChange, from_attributes=True), enc_hook=dict)
    return found


def record_digest(record: Record | None) -> Digest:
    """Return the digest of a record; empty if there is none."""
    return NOTHING if record is None else digest_json(to_builtins(record, enc_hook=dict))


class Note(Struct, frozen=True, kw_only=True):
    """A note of a plan that is no change, such as an orphan."""

    kind: Word
    message: str
    id: ItemId | None = None
    hint: str = ""
    items: tuple[ItemId, ...] = ()
    """The first items, if it is about several."""
    credits: Count = 0
    """The price of these."""


class Refusal(Struct, frozen=True, kw_only=True):
    """A guard that refuses this plan: its numbers, and the flag that overrides it."""

    guard: Word
    message: str
    flag: str = ""


class TextInReview(Struct, frozen=True, kw_only=True):
    """A text that a pull request changes and that waits for approval."""

    id: ItemId
    output: str


class Writer(Struct, frozen=True, kw_only=True):
    """The model of the settings that writes the texts of a plan, and how, as `api` has it."""

    model: str
    passes: str
    max_tokens: int
    """The most tokens of one answer; 0: by the mode and the length of the text."""


class PlanFacts(Struct, frozen=True, kw_only=True):
    """The common part of a plan and a plan file, with the sums over their changes."""

    project: str
    environment: str
    server: str
    writer: Writer | None = None
    """Who writes its texts; None: the server, without a model of the settings."""
    budget: Budget = Budget()
    """What applies may spend."""
    spent: MonthSpend | None = None
    """What was spent this month; None where no budget asks for it, or the plan costs nothing."""
    lineage: str
    changes: tuple[AnyChange, ...] = ()
    """Sorted by id, without items that need nothing."""
    notes: tuple[Note, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    findings: tuple[Diagnostic, ...] = field(name="diagnostics", default=())
    id: str = ""
    """Digest of the changes: names the plan in records."""
    approves: tuple[TextInReview, ...] = ()
    """The texts that whoever approves the pull request of the plan approves with it; none elsewhere."""

    @property
    def credits(self) -> int:
        """Return its price."""
        return sum(change.credits for change in self.changes)

    @property
    def credits_at_most(self) -> bool:
        """Return whether the credits of the plan are an upper bound: those of at least one change are."""
        return any(change.credits_at_most for change in self.changes)

    @property
    def submits(self) -> int:
        """Return how many generations it pays for."""
        return sum(change.submits for change in self.changes)

    @property
    def credits_worst(self) -> int:
        """Return the price of the plan with every retry that `checks` allow."""
        return sum(change.credits_worst for change in self.changes)

    @property
    def money(self) -> dict[str, int]:
        """Return the most that its models may cost, by currency; empty: not known, or without a price."""
        return add_money(change.money for change in self.changes)

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the same with every retry that `checks` allow."""
        return add_money(change.money_worst for change in self.changes)

    @property
    def has_no_price(self) -> bool:
        """Return whether a model writes any of its texts, and the settings do not say what its tokens cost."""
        return any(change.has_no_price for change in self.changes)

    @property
    def submits_worst(self) -> int:
        """Return how many generations it pays for at most."""
        return sum(change.submits_worst for change in self.changes)

    @property
    def not_promoted(self) -> int:
        """Return how many texts of another environment are not promoted, as they are waiting for approval."""
        return sum(note.kind == "waiting-for-approval" for note in self.notes)

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to do and nothing blocked."""
        return not self.changes


class Plan(PlanFacts, frozen=True, kw_only=True):
    """The changes to do, in order. The same inputs give the same plan and the same bytes."""

    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    approvals: Mapping[ApprovalState, int] = {}
    """How many of its items' texts are in each state of approval; those in none are left out."""
    beside_default: bool = False
    """It is made without an environment although the settings name a default one."""
    first_prose: bool = False
    """A model writes several texts, and none of it was recorded before."""

    @property
    def option(self) -> str:
        """Return the value of `--env` for a command on the same environment; empty: the option is not needed."""
        return NO_ENVIRONMENT if self.beside_default else self.environment
