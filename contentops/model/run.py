"""Defines the results of an apply, and the history of items."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, field, structs

from contentops.digest import short
from contentops.model.approval import Approval
from contentops.model.plan import Action, CreditsAtMost
from contentops.model.plan_file import PlanSummary
from contentops.model.records import FormatVersion, ItemId, Job, Json
from contentops.model.settings import Finding
from contentops.tokens import TokenSum, add_sums


class Result(enum.StrEnum):
    """The result of one item in a run."""

    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    LATE = "late"
    """The job still runs on the server; the next apply polls it."""
    PENDING = "pending"
    """The run stopped before the item was finished. If its job still runs, the next apply polls it."""


class KeptWords(Struct, frozen=True, kw_only=True):
    """A section of a text in which a merge kept a person's edit."""

    heading: Annotated[str, Meta(description="The heading with its `#`.")]
    new: Annotated[str, Meta(description="The unused new text of this section, or empty.")] = ""


class Outcome(Struct, frozen=True, kw_only=True):
    """The outcome of one item in a run."""

    id: Annotated[ItemId, Meta(description="The item.")]
    action: Annotated[Action, Meta(description="What the plan did with the item.")]
    result: Annotated[
        Result, Meta(description="`late`: the job still runs; `pending`: not finished, or another process has it.")
    ]
    steps: Annotated[tuple[str, ...], Meta(description="The steps that were carried out.")] = ()
    credits: Annotated[int, Meta(ge=0, description="Credits spent on the item in this run.")] = 0
    credits_unknown: Annotated[
        int,
        Meta(
            ge=0,
            description="Credits that are also spent on the item if the server accepted a submit whose reply was lost.",
        ),
    ] = 0
    output: Annotated[str, Meta(description="The file, or empty.")] = ""
    copy: Annotated[str, Meta(description="A copy of the edited text that was replaced, or empty.")] = ""
    kept: Annotated[tuple[KeptWords, ...], Meta(description="Edited sections that a merge kept.")] = ()
    left_out: Annotated[Mapping[str, Json], Meta(description="Front matter of the new text that was not written.")] = (
        field(default_factory=dict)
    )
    findings: Annotated[
        tuple[Finding, ...], Meta(description="Findings of the checks in the written or blocked text.")
    ] = ()
    error: Annotated[str, Meta(description="The server's error message, or empty.")] = ""
    hint: Annotated[str, Meta(description="What to do, or empty.")] = ""
    credits_at_most: CreditsAtMost = False
    tokens: TokenSum = TokenSum()
    """The tokens of models whose answers arrived in this run, also of failed jobs."""


def _both(first: Outcome | None, later: Outcome) -> Outcome:
    """Return the later of two outcomes of an item. Its costs are the costs of both outcomes."""
    if first is None:
        return later
    tokens = add_sums((first.tokens, later.tokens))
    return structs.replace(later, credits=first.credits + later.credits, tokens=tokens)


class Run(Struct, frozen=True, kw_only=True):
    """A run of `contentops apply`, with the outcomes of its items."""

    id: str
    plan_id: str
    environment: str
    server: str
    started_at: str
    ended_at: str = ""
    outcomes: tuple[Outcome, ...] = ()
    requests: int = 0
    stopped: str = ""
    """Why the run stopped early, or empty; `RunReport` has the words."""
    message: str = ""
    """The reason why it stopped, in words."""
    hint: str = ""

    def after(self, first: Run) -> Run:
        """Combine this run with the run that it continues. The later outcome of each item counts."""
        begun = {outcome.id: outcome for outcome in first.outcomes}
        later = [_both(begun.pop(outcome.id, None), outcome) for outcome in self.outcomes]
        return structs.replace(
            self,
            started_at=first.started_at,
            requests=first.requests + self.requests,
            outcomes=(*begun.values(), *later),
        )

    def count(self, result: Result) -> int:
        """Return the number of items whose result is `result`."""
        return sum(outcome.result is result for outcome in self.outcomes)

    @property
    def counts(self) -> ResultCounts:
        """Return the number of items with each result."""
        return ResultCounts(**{result.value: self.count(result) for result in Result})

    @property
    def credits(self) -> int:
        """Return the credits that this run spent."""
        return sum(outcome.credits for outcome in self.outcomes)

    @property
    def tokens(self) -> TokenSum:
        """Return the tokens of all texts that models wrote and that arrived in this run."""
        return add_sums(outcome.tokens for outcome in self.outcomes)

    @property
    def credits_at_most(self) -> bool:
        """Return whether the run's credits are only an upper limit."""
        return any(outcome.credits_at_most for outcome in self.outcomes)

    @property
    def credits_unknown(self) -> int:
        """Return the credits of requests whose replies were lost. If the server got a request, they are spent."""
        return sum(outcome.credits_unknown for outcome in self.outcomes)


_Number = Annotated[int, Meta(ge=0)]


class ResultCounts(Struct, frozen=True, kw_only=True):
    """The number of items with each result."""

    done: Annotated[_Number, Meta(description="Items that are done.")]
    failed: Annotated[_Number, Meta(description="Items that failed; `error` has the server's words.")]
    blocked: Annotated[_Number, Meta(description="Items that are blocked.")]
    unknown: Annotated[_Number, Meta(description="Items whose submit had no answer.")]
    late: Annotated[_Number, Meta(description="Items whose job still runs on the server.")]
    pending: Annotated[_Number, Meta(description="Items that were not finished when the run stopped or paused.")]


class RunReport(Struct, frozen=True, kw_only=True):
    """A run, as JSON reports show it. Its attributes have the same names as those of `Run`."""

    id: Annotated[str, Meta(description="The id of the run.")]
    started_at: Annotated[str, Meta(description="ISO time, UTC.")]
    ended_at: Annotated[str, Meta(description="ISO time, UTC.")]
    requests: Annotated[_Number, Meta(description="How many requests were sent.")]
    credits: Annotated[_Number, Meta(description="Credits spent.")]
    credits_at_most: CreditsAtMost
    credits_unknown: Annotated[
        _Number,
        Meta(description="Credits that are also spent if the server accepted the submits whose reply was lost."),
    ]
    tokens: TokenSum
    counts: Annotated[ResultCounts, Meta(description="The number of items by result.")]
    stopped: Annotated[
        str,
        Meta(
            description="Why the run ended early: interrupted, deadline, credits, throttled (the server allows no more "
            "requests for now), model (it answers no prompt now), unauthorized, first-contact, refused-submits, "
            "no-connection (no request was answered for a minute), ledger (it cannot be reached), price (items that "
            "waited cost more than was confirmed), plan (items that waited could not be planned or begun) or sources "
            "(all that is left waits for texts of items that are not selected); else empty."
        ),
    ]
    message: Annotated[str, Meta(description="Why the run stopped, in words, or empty.")]
    hint: Annotated[str, Meta(description="What to do, or empty.")]
    outcomes: Annotated[tuple[Outcome, ...], Meta(description="The outcome of each change that was started.")]


class AppliedPlan(Struct, frozen=True, kw_only=True):
    """The plan that a run carried out."""

    id: Annotated[str, Meta(description="The digest of its changes.")]
    summary: Annotated[PlanSummary, Meta(description="The sums of its changes.")]


class ApplyReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of an apply, as JSON reports show it."""

    format_version: FormatVersion
    project: Annotated[str, Meta(description="The project's name.")]
    environment: Annotated[str, Meta(description="The environment, or empty.")]
    server: Annotated[str, Meta(description="Scheme, host and port, or `local`.")]
    plan: Annotated[AppliedPlan, Meta(description="The plan that was applied, and its sums.")]
    exit_code: Annotated[
        int,
        Meta(
            description="0 done, 3 some items not done, 5 paused, 130 interrupted.",
            extra_json_schema={"enum": [0, 3, 5, 130]},
        ),
    ]
    run: Annotated[RunReport | None, Meta(description="The results; null if there was nothing to do.")]
    inputs: Annotated[
        Mapping[str, Json],
        Meta(description="Variables, selection and flags of the command line. Only in `.contentops/runs/`."),
    ] = {}


class Event(Struct, frozen=True, kw_only=True):
    """An event of a run: something that just happened to an item. It feeds the progress display and `--events`.

    `kind`: run-started, item-started, step-started, step-done, progress, waiting, item-done, note, run-done.
    """

    kind: Annotated[
        str,
        Meta(
            description="run-started, item-started, step-started, step-done, progress, waiting, item-done, note or "
            "run-done; ignore what you do not know."
        ),
    ]
    at: Annotated[str, Meta(description="ISO time, UTC.")]
    item: Annotated[str, Meta(description="The item, or empty.")] = ""
    step: Annotated[str, Meta(description="The step, or empty.")] = ""
    data: Annotated[Mapping[str, Json], Meta(description="More about the event; the keys depend on `kind`.")] = field(
        default_factory=dict
    )


# --- history -------------------------------------------------------------------------------------------------


class KeptOutcome(Struct, frozen=True):
    """The outcome of an item in an earlier run."""

    id: str
    result: str
    credits: int = 0


class KeptRun(Struct, frozen=True, kw_only=True):
    """The record of an earlier run on this machine."""

    id: str
    started_at: str
    ended_at: str = ""
    credits: int = 0
    credits_unknown: int = 0
    counts: Mapping[str, int] = {}
    stopped: str = ""
    outcomes: tuple[KeptOutcome, ...] = ()


class KeptReport(Struct, frozen=True, kw_only=True):
    """The content of a file in `.contentops/runs/`."""

    environment: str
    exit_code: int
    run: KeptRun


class PaidText(Struct, frozen=True, kw_only=True):
    """A text that a job made for an item, and the sources from which the text can be restored."""

    item: str
    """The item's present id."""
    job: Job
    where: tuple[str, ...] = ()
    """The sources, the quickest first: `cache`, `git` (the history of the file), `server` (which may still have it)."""
    stands: bool = False
    """Whether it is the text of the file now."""
    generated: bool = False
    """Whether it is the last text that a job made: with it, the file is as generated."""

    @property
    def short(self) -> str:
        """Return the first characters of the text's digest. People name the text by them."""
        return short(self.job.body)

    @property
    def is_local(self) -> bool:
        """Return whether the cache or git has the text."""
        return bool({"cache", "git"}.intersection(self.where))


class History(Struct, frozen=True, kw_only=True):
    """The runs, generations and texts of a project or item, the newest first."""

    runs: tuple[KeptReport, ...]
    generations: tuple[Job, ...]
    """The jobs, without orders that never arrived."""
    texts: tuple[PaidText, ...] = ()
    """The texts of the item that was asked for."""
    verdicts: tuple[Approval, ...] = ()
    """The verdicts on any text of that item, the newest first."""
    gaps: tuple[str, ...] = ()
    """Why something may be missing, each a sentence."""
