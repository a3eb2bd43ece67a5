"""Plan files as documents: their format, their seal, and the plan in them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import ValidationError, convert

from contentops.digest import Digest, digest_json
from contentops.errors import Diagnostic, InputError, Refused
from contentops.model.plan import PlanFile
from contentops.model.records import Json

FORMAT_VERSION = "1.0"
"""Of plan files; one of another format is not read."""
CHECKSUM = "checksum"
"""The key of a plan file that seals the others."""


def plan_file(document: Mapping[str, Json], path: str = "plan.json") -> PlanFile:
    """The plan of a document. Raises InputError where it is none; `path` is the name of its file."""
    try:
        return convert(document, PlanFile)
    except ValidationError as error:
        raise no_plan_file(f"`{path}` is not a plan file: {error}") from error


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
