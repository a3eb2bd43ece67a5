"""The rows that `for_each` and `matrix` of a manifest choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contentops.errors import InputError, Severity, UsageError
from contentops.manifests.load import Loader
from contentops.operations.plan import no_item
from contentops.operations.workspace import validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.model import Json, Project

FIRST = 10
"""So many rows are shown."""


class ChosenRows(Struct, frozen=True, kw_only=True):
    """The first rows of one declaration, as its templates get them, and how many it has."""

    item: str
    """The declaration in messages: `item` and the id as it is written."""
    rows: tuple[tuple[str, Mapping[str, Json]], ...]
    """The file and line of each, and its columns."""
    count: int


def chosen_rows(project: Project, what: str) -> list[ChosenRows]:
    """Return the rows of an item's declaration, or of each in a manifest (a path below the root).

    Raises InputError for what is wrong with the manifest, and UsageError where there are no rows.
    """
    line, path = 0, what
    if not (what.endswith((".yaml", ".yml")) and Path(project.root, what).is_file()):
        specs = {str(spec.id): spec for spec in validate(project).specs}
        if what not in specs:
            raise no_item(what, specs)
        location = specs[what].location
        path, line = (location.file, location.line) if location else ("", 0)
    declared, findings = Loader(project, None).declarations(path)
    if any(one.severity is Severity.ERROR for one in findings):
        raise InputError(findings)
    found = [
        ChosenRows(
            item=one.label,
            rows=tuple((each.label, each.values) for each in one.each[:FIRST]),
            count=len(one.each),
        )
        for one in declared
        if one.each is not None and line in {0, one.location.line}
    ]
    if not found:
        message = f"`{what}` has no rows: nothing in it is declared with `for_each` or `matrix`"
        raise UsageError(message, code="no-rows", hint="name an item that is made from a row, or its manifest")
    return found
