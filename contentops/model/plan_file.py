"""Plan files as documents: their format, their seal, and the plan in them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert

from contentops.digest import Digest, digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model.approval import ApprovalState
from contentops.model.desired import OnEdit, OnSourceChange
from contentops.model.plan import Plan, PlanFacts, ReviewedChange
from contentops.model.records import Count, ItemId, Json
from contentops.model.settings import MonthSpend

_MOST_MONEY = Decimal(10) ** 15
FORMAT_VERSION = "1.0"
"""Of plan files; one of another format is not read."""
CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""


class PlanOptions(Struct, frozen=True, kw_only=True):
    """The options of the command line that a plan was made with."""

    variables: Annotated[tuple[str, ...], Meta(description="`--var`, as given.")]
    select: Annotated[tuple[str, ...], Meta(description="`--select`, as given, with dates in full.")]
    exclude: Annotated[tuple[str, ...], Meta(description="`--exclude`, the same.")]
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
        Annotated[int, Meta(ge=1)] | None, Meta(description="Only the first generations, this many; null: all.")
    ] = None


class PlanCounts(Struct, frozen=True, kw_only=True):
    """The counts in a plan file that cannot be computed from its changes."""

    unchanged: Count
    approvals: Mapping[ApprovalState, Count] = {}


class PlanFile(PlanFacts, frozen=True, kw_only=True):
    """A plan as it was reviewed; the keys of its file are in `schemas/plan.schema.json`."""

    changes: tuple[ReviewedChange, ...]
    inputs: PlanOptions
    summary: PlanCounts
    checksum: Digest

    def __post_init__(self) -> None:
        """Raise ValueError for an amount of money that is none: its exponent may be larger than memory."""
        spent = self.spent or MonthSpend()
        amounts = (self.budget.money_per_apply, self.budget.money_per_month)
        known = (*filter(None, amounts), *spent.money.values(), *spent.money_unsure.values())
        if not all(amount.is_finite() and 0 <= amount < _MOST_MONEY for amount in known):
            message = "an amount of money is too large"
            raise ValueError(message)

    @property
    def option(self) -> str:
        """Return the same as `Plan.option`."""
        return self.environment

    @property
    def unchanged(self) -> int:
        """Return the same as `Plan.unchanged`."""
        return self.summary.unchanged

    @property
    def approvals(self) -> Mapping[ApprovalState, int]:
        """Return the same as `Plan.approvals`."""
        return self.summary.approvals


AnyPlan = Plan | PlanFile


def plan_file(document: Mapping[str, Json], path: str = "plan.json") -> PlanFile:
    """Return the plan of a document. Raises InputError if it is none; `path` is the name of its file."""
    try:
        return convert(document, PlanFile)
    except ValidationError as error:
        raise no_plan_file(f"`{path}` is not a plan file: {error}") from error


def no_plan_file(message: str, hint: str = "make one with `contentops plan --out FILE`") -> InputError:
    """Return the error for a file that is no plan file."""
    return InputError([Diagnostic(code="no-plan-file", message=message, hint=hint)])


def checksum(document: Mapping[str, Json]) -> Digest:
    """Return the digest of everything but the checksum itself."""
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
