"""Defines a plan: what will be done, and why. It also defines the same data in a plan file.

A `Change` and a `ReviewedChange` have the same attributes, and so have a `Plan` and a `PlanFile`. Code that shows or
compares one of them works with both.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, Struct, convert, field, to_builtins

from contentops.digest import NOTHING, Digest, digest_json
from contentops.errors import Diagnostic
from contentops.model.approval import ApprovalState
from contentops.model.desired import BASE, NO_ENVIRONMENT, Reference, Spec
from contentops.model.records import Count, FileDigest, ItemId, Job, JobState, Json, Observed, Record, Remote, RequestId
from contentops.model.settings import NO_BUDGET, Budget, MonthSpend
from contentops.model.steps import (
    Acknowledge,
    Collect,
    Fetch,
    LookUp,
    Poll,
    Promote,
    RetryText,
    ReviewedText,
    Step,
    Submit,
    Update,
    Write,
    name_of,
)
from contentops.tokens import Amount, Currency, PaidTokens, add_money, counted_money, exact_money

Word = Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
"""A word in kebab case."""
_StepName = Annotated[str, Meta(pattern="^[a-z ]+$")]
CreditsAtMost = Annotated[
    bool,
    Meta(
        description="Whether the credits are an upper bound, because the inputs of a screenplay state no pages. "
        "Absent: they are exact."
    ),
]


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
    """A reason why an item changes: its kind, the changed field with its old and new value, and the cause."""

    kind: Annotated[Word, Meta(description="In kebab case.")]
    field: Annotated[str, Meta(description="Such as `inputs.topic`, or empty.")] = ""
    before: Annotated[Json, Meta(description="Any JSON value; null where there was none.")] = None
    after: Annotated[Json, Meta(description="Any JSON value; null where there is none.")] = None
    cause: Annotated[str, Meta(description="The shared cause, or empty.")] = ""
    detail: Annotated[str, Meta(description="More about the reason in words, or empty.")] = ""


class Change(Struct, frozen=True, kw_only=True):
    """The change that a plan makes to one item: its reasons and its steps.

    The steps are in order: collect, move, the steps of its text, update or record, save.
    """

    id: ItemId
    action: Action
    file: Observed
    """The item's file as the plan saw it. The path is empty for an orphan without a file."""
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Step, ...] = ()
    spec: Spec | None = None
    """The declared item, or None for an orphan."""
    record: Record | None = None
    """The item's record or that of the orphan it takes over, or None if the item is new."""
    remote: Remote | None = None
    """The stored content, if a refresh fetched it and the item is saved."""
    renamed_from: ItemId | None = None
    addresses: tuple[str, ...] = ()
    """The new `Record.addresses`."""
    blocked_job: Job | None = None
    """The open job for the request of a blocked item."""
    blocked: str = ""
    """The kebab-case reason the item is blocked, or empty."""
    claimed_by: str = ""
    """The process that has claimed the item, such as `apply on HOST`, or empty."""
    approval: ApprovalState = ApprovalState.NONE
    """The approval state of the text that the file has now."""
    waits: tuple[Reference, ...] = ()
    """The texts of other items that its own text waits for."""
    open_metadata: frozenset[str] = frozenset()
    """The metadata keys that keep their recorded values, because the texts that they use are not final."""
    updates_later: tuple[str, ...] = ()
    """The values that follow when the texts that they use are known, such as `output` or `metadata.title`."""
    pays_later: tuple[Submit | RetryText, ...] = ()
    """The steps that it pays for when these texts are known, as an upper limit. They are not in `steps`."""
    hint: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the change's steps in order, each name once."""
        return tuple(dict.fromkeys(name_of(step) for step in self.steps))

    @property
    def submit(self) -> Submit | None:
        """Return the submit step that this change pays for, if any."""
        return next((step for step in self.steps if isinstance(step, Submit)), None)

    @property
    def submits(self) -> int:
        """Return how many generations this change pays for."""
        return len(self._paid)

    @property
    def credits(self) -> int:
        """Return the price of the change in credits."""
        return sum(step.credits for step in self._paid)

    @property
    def credits_at_most(self) -> bool:
        """Return whether the price in credits is only an upper limit.

        The price can depend on the length of a text, or on source texts that are not known yet.
        """
        orders = (*self._paid, *self._retries)
        return any(order.at_most or (self.pays_later and order.credits) for order in orders)

    @property
    def retries(self) -> int:
        """Return how many more generations the change may pay for if its texts fail their checks."""
        return len(self._retries)

    @property
    def submits_worst(self) -> int:
        """Return the highest number of generations that this change may pay for."""
        return self.submits + self.retries

    @property
    def credits_worst(self) -> int:
        """Return the price of the change in credits if every retry is needed."""
        return self.credits + sum(step.credits for step in self._retries)

    @property
    def tokens(self) -> PaidTokens | None:
        """Return the most tokens that one generation may use, and their price, or None if not known."""
        own = [order.tokens for order in (*self._paid, *self._retries)]
        return next(iter(own or filter(None, (step.tokens for step in self._collects))), None)

    @property
    def has_no_price(self) -> bool:
        """Return whether a model writes the text, but the settings have no price for its tokens."""
        return self.tokens is not None and self.tokens.price is None

    @property
    def money(self) -> dict[str, int]:
        """Return the most that models may cost, by currency. It is empty if no model or no price is known."""
        bounds = [*(order.tokens for order in self._paid), *(step.tokens for step in self._collects)]
        return add_money(bound.money for bound in bounds if bound is not None)

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the most that models may cost if every retry is needed, by currency."""
        return add_money((self.money, *(step.tokens.money for step in self._retries if step.tokens is not None)))

    @property
    def job(self) -> Job | None:
        """Return the open job whose text this change uses or waits for, if any."""
        jobs = (step.job for step in self.steps if isinstance(step, LookUp | Poll | Fetch))
        open_ = (job for job in jobs if job is not None and job.state is not JobState.SETTLED)
        return next(open_, self.blocked_job)

    @property
    def promotion(self) -> Promote | None:
        """Return the step that promotes a text from another environment, if any."""
        return next((step for step in self.steps if isinstance(step, Promote)), None)

    @property
    def promoted_from(self) -> str:
        """Return the environment from which the text is promoted, or an empty text if it is not promoted."""
        step = self.promotion
        return (step.environment or BASE) if step is not None else ""

    @property
    def collected_jobs(self) -> tuple[Job, ...]:
        """Return the open jobs whose texts this change stores only in the cache, and not in a file."""
        return tuple(step.job for step in self._collects)

    @property
    def attempt(self) -> int:
        """Return the attempt number of the submit step or of the job. It is 0 if the text is promoted."""
        if self.submit is not None:
            return self.submit.attempt
        if self.promotion is not None:
            return 0
        return self.job.attempt if self.job is not None and not self.blocked else 1

    @property
    def target(self) -> str:
        """Return the path that the item's file will have. It is empty for an orphan without a file."""
        return self.file.path if self.spec is None else self.spec.output

    @property
    def source(self) -> str:
        """Return the present path of a declared item's file, or an empty text if there is no file."""
        return self.file.path if self.spec is not None and self.file.exists else ""

    @property
    def front(self) -> Mapping[str, Json]:
        """Return the front matter keys that the change writes. A key with the value None is removed."""
        return next((step.front for step in self._heads()), {})

    @property
    def title(self) -> str | None:
        """Return the title that the change writes, if the manifest states a title."""
        return next((step.title for step in self._heads()), None)

    @property
    def section(self) -> str:
        """Return the heading of the section that is generated again. It is empty for a whole text."""
        if self.job is not None:
            return self.job.section
        return self.submit.section if self.submit is not None else ""

    @property
    def digest(self) -> Digest:
        """Return the digest of the item's request. It is empty for an orphan."""
        return NOTHING if self.spec is None else self.spec.digest

    @property
    def frame(self) -> Digest:
        """Return the frame of a waiting item: the digest of its request without the texts that the item waits for.

        The frame is empty for an item that does not wait.
        """
        return self.spec.frame if self.spec is not None and self.waits else NOTHING

    @property
    def publish_on(self) -> str:
        """Return the day on which the item is due, or an empty text if it has no such day."""
        return "" if self.spec is None else self.spec.publish_on

    @property
    def record_digest(self) -> Digest:
        """Return the digest of the record that the plan was made from. It is empty if there was no record."""
        return record_digest(self.record)

    @property
    def file_digest(self) -> Digest:
        """Return the digest of the file that the plan was made from."""
        return self.file.file

    @property
    def body(self) -> Digest:
        """Return the digest of the body of the file that the plan was made from."""
        return self.file.body

    @property
    def remote_body(self) -> Digest:
        """Return the digest of the body that a refresh found on the server. It is empty without a refresh."""
        return NOTHING if self.remote is None else self.remote.body

    @property
    def exact_money(self) -> dict[str, str]:
        """Return the most that models may cost, by currency, as exact decimals."""
        return exact_money(self.money)

    @property
    def exact_money_worst(self) -> dict[str, str]:
        """Return the most that models may cost if every retry is needed, as exact decimals."""
        return exact_money(self.money_worst)

    def has(self, *kinds: type[Step]) -> bool:
        """Return whether the change has a step of one of the given kinds."""
        return any(isinstance(step, kinds) for step in self.steps)

    @property
    def _paid(self) -> list[Submit]:
        """Return the submit steps that the change certainly pays for.

        Some of these steps wait until the item's sources have their texts.
        """
        retries = (step.again for step in self._retry_steps if step.certain)
        return [*(step for step in (*self.steps, *self.pays_later) if isinstance(step, Submit)), *retries]

    @property
    def _retries(self) -> list[Submit]:
        """Return the submit steps that may be repeated if a text fails its checks.

        Each step appears as often as it may be repeated.
        """
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
    """The fields of a job that are written to a plan file."""

    request_id: Annotated[RequestId, Meta(description="The id of the submit.")]
    job_id: Annotated[str, Meta(description="The server's id for it, or empty.")]
    state: Annotated[JobState, Meta(description="The state of the job.")]
    digest: Annotated[FileDigest, Meta(description="The digest of its request.")]
    error: Annotated[str, Meta(description="The server's error message, or empty.")]
    submitted_at: Annotated[str, Meta(description="When it was ordered (UTC). Absent: not known.")] = ""


class ReviewedChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change in a plan file. Its attributes have the same names as those of `Change`.

    The file omits an empty attribute that has a default here.
    """

    id: Annotated[ItemId, Meta(description="The item.")]
    action: Annotated[Action, Meta(description="What the plan does with the item.")]
    names: Annotated[tuple[_StepName, ...], Meta(description="The remaining steps, in order.")] = field(name="steps")
    credits: Annotated[Count, Meta(description="The cost of the change in credits.")]
    credits_worst: Annotated[
        Count, Meta(description="The highest cost of the change in credits, with every allowed retry.")
    ]
    credits_at_most: CreditsAtMost = False
    exact_money: Annotated[
        Mapping[Currency, Amount],
        Meta(
            description="The most that models may cost, by currency, as exact decimals. Absent: no model, or no "
            "`price`."
        ),
    ] = field(name="money_at_most", default_factory=dict)
    exact_money_worst: Annotated[
        Mapping[Currency, Amount],
        Meta(description="The most that models may cost with every retry that `checks` allow."),
    ] = field(name="money_worst", default_factory=dict)
    tokens: Annotated[PaidTokens | None, Meta(description="The most tokens of one generation. Absent: no model.")] = (
        field(name="tokens_at_most", default=None)
    )
    submits: Annotated[Count, Meta(description="The number of submits that are paid for.")]
    retries: Annotated[
        Count, Meta(description="How many more generations the change may pay for if texts fail their checks.")
    ]
    attempt: Annotated[Count, Meta(description="The number of the submit, if there is one.")]
    reasons: Annotated[tuple[Reason, ...], Meta(description="Why the item changes. The reference lists the kinds.")]
    target: Annotated[str, Meta(description="The file that will be written.")]
    source: Annotated[str, Meta(description="The recorded file, if it differs from `target`.")]
    renamed_from: Annotated[ItemId | None, Meta(description="The old id.")]
    digest: Annotated[FileDigest, Meta(description="The digest of the request; empty for an orphan.")]
    publish_on: Annotated[str, Meta(description="The day the text is due. Absent: no day.")] = ""
    record_digest: Annotated[FileDigest, Meta(description="The digest of the record before the change, or empty.")] = (
        field(name="record")
    )
    file_digest: Annotated[FileDigest, Meta(description="The digest of the file before the change, or empty.")] = field(
        name="file"
    )
    body: Annotated[FileDigest, Meta(description="The digest of that file without its front matter.")]
    remote_body: Annotated[
        FileDigest, Meta(description="The digest of the text that a refresh found on the server, or empty.")
    ] = field(name="remote")
    front: Annotated[Mapping[str, Json], Meta(description="Front matter keys to write; null removes the key.")]
    title: Annotated[str | None, Meta(description="The title to write, if the manifest sets one.")]
    job: Annotated[ReviewedJob | None, Meta(description="The open job that answers the request.")] = field(name="entry")
    promotion: Annotated[ReviewedText | None, Meta(description="The text to promote from another environment.")] = (
        field(name="promotes")
    )
    collected_jobs: Annotated[tuple[ReviewedJob, ...], Meta(description="Other open jobs of the item.")] = field(
        name="drains"
    )
    blocked: Annotated[str, Meta(description="Why the item is blocked, in kebab case, or empty.")]
    claimed_by: Annotated[
        str,
        Meta(description="The process that works on a pending item, such as `apply on HOST`; otherwise empty."),
    ] = field(name="holder")
    hint: Annotated[str, Meta(description="What to do, or empty.")]
    approval: Annotated[
        ApprovalState,
        Meta(description="The approval state of the present text; absent: no approval needed, or no text."),
    ] = ApprovalState.NONE
    waits: Annotated[
        tuple[Reference, ...],
        Meta(
            description="The texts that the item waits for; its credits are then the maximum cost later. Absent: none."
        ),
    ] = ()
    frame: Annotated[
        FileDigest, Meta(description="If the item waits: the digest of its request, with placeholders for the texts.")
    ] = NOTHING

    @property
    def money(self) -> dict[str, int]:
        """Return the most that models may cost, by currency (see `Change.money`)."""
        return counted_money(self.exact_money)

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the most that models may cost if every retry is needed (see `Change.money_worst`)."""
        return counted_money(self.exact_money_worst)

    @property
    def has_no_price(self) -> bool:
        """Return whether the settings have no price for the model (see `Change.has_no_price`)."""
        return self.tokens is not None and self.tokens.price is None

    @property
    def submits_worst(self) -> int:
        """Return the highest number of generations that the change may pay for (see `Change.submits_worst`)."""
        return self.submits + self.retries


AnyChange = Change | ReviewedChange


def change_json(change: AnyChange) -> dict[str, Json]:
    """Return a change as JSON for a plan file."""
    found: dict[str, Json] = to_builtins(convert(change, ReviewedChange, from_attributes=True), enc_hook=dict)
    return found


def record_digest(record: Record | None) -> Digest:
    """Return the digest of a record, or an empty digest if there is no record."""
    return NOTHING if record is None else digest_json(to_builtins(record, enc_hook=dict))


class Note(Struct, frozen=True, kw_only=True):
    """A message in a plan about something that is not a change, such as an orphan."""

    kind: Annotated[Word, Meta(description="In kebab case.")]
    id: Annotated[ItemId | None, Meta(description="The item, or empty.")] = None
    message: Annotated[str, Meta(description="The note in words.")]
    hint: Annotated[str, Meta(description="What to do, or empty.")] = ""
    items: Annotated[
        tuple[ItemId, ...],
        Meta(description="The items of a note about several items, such as `same-request`; the first 20."),
    ] = ()
    credits: Annotated[Count, Meta(description="The cost of these items.")] = 0


class Refusal(Struct, frozen=True, kw_only=True):
    """A guard's refusal of a plan, with a message and the option that overrides the guard."""

    guard: Annotated[Word, Meta(description="In kebab case.")]
    message: Annotated[str, Meta(description="Why the guard refuses.")]
    flag: Annotated[str, Meta(description="The flag that overrides it, or the command to run first, or empty.")] = ""


class TextInReview(Struct, frozen=True, kw_only=True):
    """A text that a pull request changes and that waits for approval."""

    id: Annotated[ItemId, Meta(description="The item.")]
    output: Annotated[str, Meta(description="The file with its text.")]


class Writer(Struct, frozen=True, kw_only=True):
    """The model that writes the texts of a plan, and its settings under `api`."""

    model: Annotated[str, Meta(description="Its name on its server.")]
    passes: Annotated[str, Meta(description="How it writes: `one` or `staged`.")]
    max_tokens: Annotated[
        int, Meta(ge=0, description="The most tokens of one answer, or 0 if mode and length of the text decide.")
    ]


class PlanFacts(Struct, frozen=True, kw_only=True):
    """The data that both a plan and a plan file have, and the sums over all changes."""

    project: Annotated[str, Meta(description="The project's name.")]
    environment: Annotated[str, Meta(description="The environment, or empty.")]
    server: Annotated[str, Meta(description="Scheme, host and port, or `local`.")]
    writer: Annotated[
        Writer | None, Meta(description="The model of the settings that writes the texts; absent without one.")
    ] = None
    budget: Annotated[Budget, Meta(description="Limits of what applies spend.")] = NO_BUDGET
    spent: Annotated[
        MonthSpend | None,
        Meta(
            description="What all environments have spent this month; absent if no budget limits a month, or the plan "
            "costs nothing."
        ),
    ] = None
    lineage: Annotated[str, Meta(description="Identifies the state the plan starts from.")]
    changes: Annotated[tuple[AnyChange, ...], Meta(description="Sorted by id, without items that are up to date.")] = ()
    notes: Annotated[tuple[Note, ...], Meta(description="Notes that are not changes.")] = ()
    refusals: Annotated[tuple[Refusal, ...], Meta(description="The guards that would refuse an apply.")] = ()
    findings: Annotated[tuple[Diagnostic, ...], Meta(description="Warnings and notes about the manifests.")] = field(
        name="diagnostics", default=()
    )
    id: Annotated[str, Meta(description="The digest of its changes; jobs name the plan by it.")] = ""
    approves: Annotated[
        tuple[TextInReview, ...],
        Meta(description="Changed texts of a pull request that wait for approval; absent: none."),
    ] = ()

    @property
    def credits(self) -> int:
        """Return the price of the plan in credits."""
        return sum(change.credits for change in self.changes)

    @property
    def credits_at_most(self) -> bool:
        """Return whether the price of at least one change in credits is only an upper limit."""
        return any(change.credits_at_most for change in self.changes)

    @property
    def submits(self) -> int:
        """Return how many generations the plan pays for."""
        return sum(change.submits for change in self.changes)

    @property
    def credits_worst(self) -> int:
        """Return the price of the plan in credits if every retry that `checks` allow is needed."""
        return sum(change.credits_worst for change in self.changes)

    @property
    def money(self) -> dict[str, int]:
        """Return the most that models may cost, by currency. It is empty if no model or no price is known."""
        return add_money(change.money for change in self.changes)

    @property
    def money_worst(self) -> dict[str, int]:
        """Return the most that models may cost, by currency, if every retry that `checks` allow is needed."""
        return add_money(change.money_worst for change in self.changes)

    @property
    def has_no_price(self) -> bool:
        """Return whether a model writes texts of the plan, but the settings have no price for its tokens."""
        return any(change.has_no_price for change in self.changes)

    @property
    def submits_worst(self) -> int:
        """Return the highest number of generations that the plan may pay for."""
        return sum(change.submits_worst for change in self.changes)

    @property
    def not_promoted(self) -> int:
        """Return how many texts of another environment are not promoted because they wait for approval."""
        return sum(note.kind == "waiting-for-approval" for note in self.notes)

    @property
    def empty(self) -> bool:
        """Return whether the plan has no change, not even a blocked one."""
        return not self.changes


class Plan(PlanFacts, frozen=True, kw_only=True):
    """A plan: the changes to make, in order. The same inputs give the same plan and the same bytes."""

    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    approvals: Mapping[ApprovalState, int] = {}
    """The number of texts in each approval state, without the state `none`."""
    beside_default: bool = False
    """The plan is made without an environment, although the settings name a default one."""
    first_prose: bool = False
    """A model writes several texts, and no earlier text of a model is recorded."""

    @property
    def option(self) -> str:
        """Return the value of `--env` for a command in the same environment, or an empty text if none is needed."""
        return NO_ENVIRONMENT if self.beside_default else self.environment
