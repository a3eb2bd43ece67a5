"""Chooses the rows of a `for_each` that is a map: it joins a second file, filters, sorts and limits, in this order.

Every problem is reported where it was written. The rules are those of docs/how-to/use-spreadsheets.md.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from contentops.errors import Location, plural, suggest
from contentops.manifests.templates import root_of
from contentops.manifests.values import FUNCTIONS, MISSING, TemplateError, is_template, kind_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.manifests.data_rows import DataRow
    from contentops.manifests.problems import Problems
    from contentops.manifests.templates import Templates
    from contentops.manifests.values import Written
    from contentops.model import Json
    from contentops.yaml.positions import Pointer

_SHOWN: Final = 3
"""So many rows of a problem are named."""
_OPEN: Final = "{{ "
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_LAST: Final = 2, Decimal(0), ""


class EachRow(Struct, frozen=True):
    """One row of `for_each` or one value of an axis, with its location and its name in messages."""

    value: Json
    location: Location | None
    label: str
    locations: Mapping[str, Location | None] = field(default_factory=dict)
    """By column, where it is in another file."""

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

    def choose(self, rows: list[EachRow], joined: list[EachRow] | None) -> list[EachRow] | None:
        """The chosen rows; None after a problem. `joined` are the rows of `join`, None without that."""
        query = self._query.value
        chosen: list[EachRow] | None = rows
        if joined is not None and rows:
            chosen = self._join(self._query.below("join"), rows, joined)
        if chosen and isinstance(query.get("where"), str):
            chosen = self._where(self._query.below("where"), chosen)
        if chosen and isinstance(query.get("sort_by"), str):
            chosen = self._sort(self._query.below("sort_by"), chosen)
        limit = query.get("limit")
        return chosen[:limit] if chosen and isinstance(limit, int) and limit > 0 else chosen

    def _report(self, at: Written, code: str, core: str, hint: str = "") -> None:
        self._problems.about(self._label, at, code, core, hint=hint)

    # --- join ------------------------------------------------------------------------------------------------

    def _join(self, join: Written, left: list[EachRow], right: list[EachRow]) -> list[EachRow] | None:
        """Each row with the columns of the row of the other file that has the same key."""
        by = join.value.get("by")
        if not isinstance(by, str):
            return None  # the schema reports it
        here, there = _name(self._query.below("data")), _name(join.below("data"))
        ours, theirs = _columns(left), _columns(right)
        if not right:
            self._report(join.below("data"), "bad-join", f"joins {there}, which has no rows")
            return None
        for name, columns in ((here, ours), (there, theirs)):
            if by not in columns:
                core = f"joins by `{by[:80]}`, which is no column of {name}"
                self._report(join.below("by"), "unknown-column", core, suggest(by, tuple(columns)))
                return None
        added = [column for column in theirs if column != by]
        if clash := next((column for column in added if column in ours), None):
            core = f"joins two files that both have the column `{clash}`"
            self._report(join.below("data"), "bad-join", core, "rename it in one of them, or remove it there")
            return None
        matches = self._by_key(join, by, right)
        return None if matches is None else self._matched(join, left, matches, added)

    def _by_key(self, join: Written, by: str, rows: list[EachRow]) -> dict[str, EachRow] | None:
        """The rows by their key; None if a key is there twice."""
        found: dict[str, EachRow] = {}
        again: list[str] = []
        for row in rows:
            key = _key(row.columns.get(by))
            first = found.setdefault(key, row) if key else row
            if first is not row:
                again.append(f"`{key[:40]}` ({first.label} and {row.label})")
        if again:
            core = f"joins {_name(join.below('data'))}, where rows have the same `{by}`: {_listed(again)}"
            hint = "keep one row each; or name this file under `data`, and join the other one to it"
            self._report(join.below("data"), "bad-join", core, hint)
        return None if again else found

    def _matched(
        self, join: Written, left: list[EachRow], matches: dict[str, EachRow], added: list[str]
    ) -> list[EachRow] | None:
        by, unmatched = join.value["by"], join.value.get("unmatched", "error")
        pairs = [(row, matches.get(_key(row.columns.get(by)))) for row in left]
        alone = [row for row, match in pairs if match is None]
        there = _name(join.below("data"))
        keys = (f"`{_key(row.columns.get(by))[:40]}` ({row.label})" for row in alone)
        if len(alone) == len(left):
            core = f"joins {there}, where no row has a `{by}` of {_name(self._query.below('data'))}"
            example = next(iter(matches), "")
            hint = f"they have {next(keys)} and `{example[:40]}`: capital letters and spaces count"
            self._report(join, "bad-join", core, hint)
            return None
        if alone and unmatched == "error":
            noun = f"{plural(len(alone), 'row')} {'has' if len(alone) == 1 else 'have'}"
            core = f"joins {there}, where {noun} no match for `{by}`: {_listed(list(keys))}"
            hint = "add them there, or set `unmatched` to `drop` (omit these rows) or `keep` (with empty cells)"
            self._report(join, "bad-join", core, hint)
            return None
        return [
            _merged(row, match, added)
            for row, match in pairs
            if match is not None or unmatched not in {"drop", "error"}
        ]

    # --- where, sort_by --------------------------------------------------------------------------------------

    def _where(self, written: Written, rows: list[EachRow]) -> list[EachRow] | None:
        """The rows for which the expression is true."""
        text = str(written.value)
        if is_template(text):
            hint = "write the expression alone: `where: each.population | int > 1000`"
            self._report(written, "bad-where", "has `{{` or `{%` in `where`", hint)
            return None
        template = self._templates.get(f"{_OPEN}{text} }}}}")
        if template.problem is not None:
            self._failed(self._label, written, template.problem)
            return None
        file = self._templates.macros
        known = FUNCTIONS | (file.macros.names if file and file.macros else frozenset())
        other = next((name for name in template.names if root_of(name) != "each" and name not in known), None)
        if other is not None:
            core = f"uses `{root_of(other)}` in `where`, which knows only `each`"
            column = root_of(other) in _columns(rows)
            self._report(written, "bad-where", core, f"the column is `each.{root_of(other)}`" if column else "")
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

    def _failed(self, subject: str, written: Written, error: TemplateError) -> None:
        file, offset = self._templates.macros, max(0, error.offset - len(_OPEN))
        if error.in_macros and file:
            written, offset = file.written(), error.offset
        core = f"has a problem in `where`: {error.message}"
        self._problems.about(subject, written, error.code, core, hint=error.hint, offset=offset)

    def _sort(self, written: Written, rows: list[EachRow]) -> list[EachRow] | None:
        """The rows in order; equal ones, and empty ones at the end, stay in the order of the file."""
        columns, column = _columns(rows), str(written.value)
        down = column not in columns and column.startswith("-")
        column = column[1:] if down else column
        if column not in columns:
            core = f"is sorted by `{column[:80]}`, which is no column"
            self._report(written, "unknown-column", core, suggest(column, tuple(columns)))
            return None
        keys = [(_order(row.columns.get(column)), row) for row in rows]
        filled = [pair for pair in keys if pair[0] is not _LAST]
        filled.sort(key=lambda pair: pair[0], reverse=down)
        return [row for _, row in (*filled, *(pair for pair in keys if pair[0] is _LAST))]


def _look_up(columns: Mapping[str, Json], name: str) -> Any:
    return columns if name == "each" else MISSING


def _name(source: Written) -> str:
    """A source of rows in messages."""
    return f"`{source.value[:200]}`" if isinstance(source.value, str) else "the list"


def _columns(rows: Sequence[EachRow]) -> dict[str, None]:
    """Every column of some rows, in order."""
    return {column: None for row in rows for column in row.columns}


def _key(value: Json) -> str:
    """A key as text, so that `1` of a CSV file is the number 1; empty for what matches nothing."""
    return text_of(value) if isinstance(value, str | int | float) else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _merged(row: EachRow, match: EachRow | None, added: Sequence[str]) -> EachRow:
    """A row with the columns of its match; they are empty texts without one."""
    found = match.columns if match else {}
    value = {**row.columns, **{column: found.get(column, "") for column in added}}
    return EachRow(value, row.location, row.label, dict.fromkeys(added, match.location) if match else {})


def _order(value: Json) -> tuple[int, Decimal, str]:
    """The key of a value: numbers by size, also as text; then texts; `_LAST` for what has no order."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, Decimal(str(value)), ""
    if isinstance(value, str | bool):
        text = text_of(value)
        if _NUMBER.fullmatch(text):
            return 0, Decimal(text), ""
        if text.strip():
            return 1, Decimal(0), text.casefold()
    return _LAST
