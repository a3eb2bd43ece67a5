"""Chooses the rows of a `for_each` that is a map: it filters and limits, in this order.

Every problem is reported where it was written. The rules are those of docs/how-to/use-spreadsheets.md.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from contentops.manifests.templates import root_of
from contentops.manifests.values import FUNCTIONS, MISSING, TemplateError, is_template, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.errors import Location
    from contentops.manifests.data_rows import DataRow
    from contentops.manifests.problems import Problems
    from contentops.manifests.templates import Templates
    from contentops.manifests.values import Written
    from contentops.model import Json
    from contentops.yaml.positions import Pointer

_OPEN: Final = "{{ "
_ASSIGNED: Final = re.compile(r"(?<![=!<>])=(?!=)")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")


class EachRow(Struct, frozen=True, gc=False):
    """One row of `for_each` or one value of an axis, with its location and its name in messages."""

    value: Json
    location: Location | None
    label: str

    @property
    def columns(self) -> Mapping[str, Json]:
        """The entries of `each`: a map itself, anything else as `each.value`."""
        return self.value if isinstance(self.value, dict) else {"value": self.value}


def raw_rows(source: Written, data: Mapping[Pointer, Sequence[DataRow]]) -> Sequence[Any] | None:
    """The rows of a `for_each` or the values of an axis; None where it is no list and names no file."""
    return source.value if isinstance(source.value, list) else data.get(source.pointer)


def located(source: Written, rows: Sequence[Any]) -> list[EachRow]:
    """The rows or values with their locations."""
    if not isinstance(source.value, list):
        return [EachRow(row.value, row.location, f"{row.location.file}:{row.location.line}") for row in rows]
    locations = [source.below(index).location for index in range(len(rows))]
    return [EachRow(value, at, str(at)) for value, at in zip(rows, locations, strict=True)]


class RowChoice:
    """One `for_each` that is a map; `label` is its item in messages."""

    def __init__(self, query: Written, label: str, templates: Templates, problems: Problems) -> None:
        self._query = query
        self._label = label
        self._templates = templates
        self._problems = problems

    def choose(self, rows: list[EachRow]) -> list[EachRow] | None:
        """The chosen rows; None after a problem."""
        query = self._query.value
        chosen: list[EachRow] | None = rows
        if rows and isinstance(query.get("where"), str):
            chosen = self._where(self._query.below("where"), rows)
        limit = query.get("limit")
        return chosen[:limit] if chosen and isinstance(limit, int) and limit > 0 else chosen

    def _report(self, at: Written, core: str, hint: str) -> None:
        self._problems.about(self._label, at, "bad-where", core, hint=hint)

    def _where(self, written: Written, rows: list[EachRow]) -> list[EachRow] | None:
        """The rows for which the expression is true."""
        text = str(written.value)
        if is_template(text):
            hint = "write the expression alone: `where: each.population | int > 1000`"
            self._report(written, "has `{{` or `{%` in `where`", hint)
            return None
        template = self._templates.get(f"{_OPEN}{text} }}}}")
        if template.problem is not None:
            hint = "compare with `==`" if _ASSIGNED.search(_QUOTED.sub("''", text)) else ""
            self._failed(self._label, written, template.problem, hint)
            return None
        file = self._templates.macros
        known = FUNCTIONS | (file.macros.names if file and file.macros else frozenset())
        other = next((name for name in template.names if root_of(name) != "each" and name not in known), None)
        if other is not None:
            core = f"uses `{root_of(other)}` in `where`, which knows only `each`"
            column = any(root_of(other) in row.columns for row in rows)
            self._report(written, core, f"the column is `each.{root_of(other)}`" if column else "")
            return None
        failed = False
        chosen: list[EachRow] = []
        for row in rows:
            subject = f"{self._label} ({row.label})"
            try:
                value = template.render(functools.partial(_look_up, row.columns))
            except TemplateError as error:
                self._failed(subject, written, error)
                failed = True
                if error.code == "template-limit":
                    break  # it would take as long for each row
                continue
            if not isinstance(value, bool):
                core = f"has a `where` that gives {kind_of(value)} instead of true or false"
                self._problems.about(subject, written, "bad-where", core, hint='compare it: `each.open == "yes"`')
                failed = True
            elif value:
                chosen.append(row)
        return None if failed else chosen

    def _failed(self, subject: str, written: Written, error: TemplateError, hint: str = "") -> None:
        file, offset = self._templates.macros, max(0, error.offset - len(_OPEN))
        if error.in_macros and file:
            written, offset = file.written(), error.offset
        core = f"has a problem in `where`: {error.message}"
        self._problems.about(subject, written, error.code, core, hint=hint or error.hint, offset=offset)


def _look_up(columns: Mapping[str, Json], name: str) -> Any:
    return columns if name == "each" else MISSING
