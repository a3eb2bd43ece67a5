"""Defines the format of plan files and their checksum, and reads the plan in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert, field

from contentops.digest import Digest, digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model.approval import ApprovalState
from contentops.model.desired import OnEdit, OnSourceChange
from contentops.model.plan import Action, CreditsAtMost, Plan, PlanFacts, ReviewedChange
from contentops.model.records import Count, FileDigest, FormatVersion, ItemId, Json
from contentops.tokens import Amount, Currency

_Some = Annotated[int, Meta(ge=1)]
FORMAT_VERSION = "1.0"
"""The format of plan files. A file of another format is not read."""
CHECKSUM = "checksum"
"""The key of a plan file with the digest of all other keys."""


class PlanOptions(Struct, frozen=True, kw_only=True):
    """The command-line options with which a plan was made."""

    variables: Annotated[tuple[str, ...], Meta(description="`--var`, as given.")]
    select: Annotated[tuple[str, ...], Meta(description="`--select`, as given, with dates in full.")]
    exclude: Annotated[tuple[str, ...], Meta(description="`--exclude`, as given, with dates in full.")]
    replace: Annotated[tuple[ItemId, ...], Meta(description="The items to generate again.")]
    on_edit: Annotated[OnEdit | None, Meta(description="What happens to edited texts; null: as the manifests say.")]
    on_source_change: Annotated[
        OnSourceChange | None,
        Meta(description="What happens to texts whose sources changed; null: as the manifests say."),
    ]
    prune: Annotated[bool, Meta(description="Whether records and unedited files of items in no manifest are removed.")]
    refresh: Annotated[bool, Meta(description="Whether the server was checked for edits.")]
    drafts: Annotated[bool, Meta(description="Whether draft outlines are also promoted and saved to other servers.")]
    changed_from: Annotated[str, Meta(description="The commit, or empty. Only `plan` has it.")] = ""
    canary: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="The maximum number of generations; null means all.")
    ] = None


class PlanSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sums of a plan's changes, as they are written to plan files and reports."""

    has_changes: Annotated[bool, Meta(description="Whether the plan has any change.")] = field(name="changes")
    credits: Annotated[Count, Meta(description="The cost of the plan.")]
    credits_worst: Annotated[Count, Meta(description="The highest cost, with every retry that `checks` allow.")]
    credits_at_most: CreditsAtMost = False
    exact_money: Annotated[
        Mapping[Currency, Amount],
        Meta(description="The most that models may cost, by currency. Absent: no model, or no `price`."),
    ] = field(name="money_at_most", default_factory=dict)
    exact_money_worst: Annotated[
        Mapping[Currency, Amount],
        Meta(description="The most that models may cost with every retry that `checks` allow."),
    ] = field(name="money_worst", default_factory=dict)
    submits: Annotated[Count, Meta(description="The number of submits that are paid for.")]
    unchanged: Annotated[Count, Meta(description="Items that are up to date.")]
    approvals: Annotated[
        Mapping[ApprovalState, _Some],
        Meta(description="How many texts are in each approval state; absent without approvals."),
    ] = {}
    not_promoted: Annotated[
        _Some, Meta(description="How many texts wait for approval before they are promoted; absent: none.")
    ] = 0
    refused: Annotated[bool, Meta(description="Whether a guard would refuse the plan.")]
    actions: Annotated[
        Mapping[Action, _Some],
        Meta(description="How many changes of each action; actions that do not occur are left out."),
    ]


class Cause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cause that several changes of a plan share."""

    cause: Annotated[str, Meta(description="The cause, such as: var `year` in contentops.yaml:12:9.")]
    items: Annotated[int, Meta(ge=2, description="The number of these changes.")]
    credits: Annotated[Count, Meta(description="The cost of the changes with this cause.")]
    exact_money: Annotated[
        Mapping[Currency, Amount],
        Meta(description="The most that models may cost for them, by currency. Absent as in a change."),
    ] = field(name="money_at_most", default_factory=dict)


class PlanFile(PlanFacts, frozen=True, kw_only=True):
    """The content of a plan file. `make docs` writes `schemas/plan.schema.json` from this."""

    format_version: FormatVersion
    inputs: Annotated[
        PlanOptions,
        Meta(description="Variables, selection and flags of the command line. A plan file has all of them."),
    ]
    summary: Annotated[PlanSummary, Meta(description="The sums of the changes.")]
    changes: Annotated[tuple[ReviewedChange, ...], Meta(description="Sorted by id, without items that are up to date.")]
    causes: Annotated[tuple[Cause, ...], Meta(description="Causes of at least two changes, the most frequent first.")]
    checksum: Annotated[
        FileDigest, Meta(description="Covers all other keys; `apply` refuses a file with another checksum.")
    ]

    @property
    def option(self) -> str:
        """Return the value of `--env` for commands in the plan's environment (see `Plan.option`)."""
        return self.environment

    @property
    def unchanged(self) -> int:
        """Return the number of items without a change (see `Plan.unchanged`)."""
        return self.summary.unchanged

    @property
    def approvals(self) -> Mapping[ApprovalState, int]:
        """Return the number of texts in each approval state (see `Plan.approvals`)."""
        return self.summary.approvals


AnyPlan = Plan | PlanFile


def plan_file(document: Mapping[str, Json], path: str = "plan.json") -> PlanFile:
    """Return the plan in a JSON document. Raises InputError if it has none. `path` is the name of its file."""
    try:
        return convert(document, PlanFile)
    except ValidationError as error:
        raise no_plan_file(f"`{path}` is not a plan file: {error}") from error


def no_plan_file(message: str, hint: str = "make one with `contentops plan --out FILE`") -> InputError:
    """Return the error for a file that is not a plan file."""
    return InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])


def checksum(document: Mapping[str, Json]) -> Digest:
    """Return the digest of a plan file's content without its checksum."""
    return digest_json({key: value for key, value in document.items() if key != CHECKSUM})


def check_seal(document: Mapping[str, Json], path: str) -> None:
    """Check that a document is a plan file of this format, and that it was not edited. Raises InputError or Refused."""
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
