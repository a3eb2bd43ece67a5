"""A plan file as it is read back, and its checksum."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, ValidationError, convert, field, to_builtins

from contentops.digest import NOTHING, Digest, digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model.approval import ApprovalState
from contentops.model.desired import Reference
from contentops.model.plan import Action, Note, Reason, Refusal, TextInReview, Writer
from contentops.model.records import ItemId, JobState, Json, Record, RequestId
from contentops.model.settings import Budget, MonthSpend
from contentops.tokens import PaidTokens

FORMAT_VERSION = "1.0"
"""Of plan files; one of another format is not read."""
CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""


class ReviewedJob(Struct, frozen=True, kw_only=True):
    """An open job, as far as a plan file contains it."""

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
    credits_worst: int
    """With every retry."""
    credits_at_most: bool = False
    """Both are upper bounds."""
    tokens_at_most: PaidTokens | None = None
    """The most tokens of one generation, and the price of the settings."""
    money_at_most: Mapping[str, str] = {}
    """What these and all certain generations cost at most, by currency."""
    money_worst: Mapping[str, str] = {}
    """The same with every retry."""
    retries: int
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
    body: Digest
    """Of that file without its front matter."""
    remote: Digest
    """Body digest of what a refresh found on the server; empty where it did not look."""
    front: Mapping[str, Json]
    title: str | None
    job: ReviewedJob | None = field(name="entry")
    drains: tuple[ReviewedJob, ...]
    promotes: ReviewedText | None
    blocked: str
    holder: str
    hint: str
    approval: ApprovalState = ApprovalState.NONE
    waits: tuple[Reference, ...] = ()
    frame: Digest = NOTHING
    """Of an item that waits: of its request without the texts."""


class PlanSummary(Struct, frozen=True, kw_only=True):
    """The counts of a plan that do not follow from its changes."""

    unchanged: int
    approvals: Mapping[ApprovalState, int] = {}


class PlanFile(Struct, frozen=True, kw_only=True):
    """A plan as it was reviewed."""

    id: str
    project: str
    environment: str
    server: str
    writer: Writer | None = None
    budget: Budget
    spent: MonthSpend | None = None
    lineage: str
    changes: tuple[ReviewedChange, ...]
    summary: PlanSummary
    approves: tuple[TextInReview, ...] = ()
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
    """The error for a file that is no plan file."""
    return InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])


def checksum(document: Mapping[str, Json]) -> Digest:
    """The digest of everything but the checksum itself."""
    return digest_json({key: value for key, value in document.items() if key != CHECKSUM})


def check_seal(document: Mapping[str, Json], path: str) -> None:
    """Check that a document is a plan file of this format that was not edited. Raises InputError or Refused."""
    version = document.get("format_version")
    if not isinstance(version, str) or not isinstance(document.get("changes"), list) or CHECKSUM not in document:
        raise no_plan_file(f"`{path}` is no plan file")
    if version != FORMAT_VERSION:
        message = f"`{path}` has format {version}, and this version of contentops reads format {FORMAT_VERSION}"
        hint = "make a new plan with `contentops plan --out FILE`"
        raise InputError([Diagnostic(code="newer-plan-file", message=message, hint=hint)])
    if document[CHECKSUM] != checksum(document):
        raise Refused(
            f"`{path}` was edited after it was made",
            code="edited-plan",
            hint="change the manifests instead, and make a new plan with `contentops plan --out FILE`",
        )


def record_digest(record: Record | None) -> Digest:
    """The digest of a record; empty where there is none."""
    return NOTHING if record is None else digest_json(to_builtins(record, enc_hook=dict))
