"""Reads a sheet of an Excel workbook as rows: the stored values alone, with limits, since the file may be hostile.

Formulas are not computed; macros, links, comments, formats, filters and hidden marks make no difference.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from contentops.errors import Diagnostic, Location, did_you_mean
from contentops.manifests.values import MAX_FINDINGS, DataRow
from contentops.yaml.positions import Source, finding_at
from contentops.yaml.read import MAX_BYTES
from contentops.yaml.syntax import UNWANTED

MAX_UNPACKED: Final = 128 * 1024 * 1024
"""Most bytes of a workbook when it is unpacked."""
MAX_CELLS: Final = 5_000_000
"""Most cells of a sheet, with those that it leaves empty on the left."""
MAX_ROW: Final = 1_048_576
"""The last row that Excel has."""

_OLE: Final = b"\xd0\xcf\x11\xe0"
_MERGED: Final = re.compile(
    rb"""<(?:\w+:)?mergeCell\s[^>]*?ref=["']([A-Z]{1,3}[0-9]{1,7}(?::[A-Z]{1,3}[0-9]{1,7})?)["']"""
)
_FORMULA: Final = re.compile(rb"<(?:\w+:)?f[\s/>]")
_BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,  # of XML
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a damaged file makes openpyxl raise."""


class _RefusedError(Exception):
    """A workbook or cell that is not read; `at` is its row and column."""

    def __init__(self, message: str, hint: str, code: str, at: tuple[int, int] = (1, 1)) -> None:
        super().__init__(message)
        self.message, self.hint, self.code, self.at = message, hint, code, at


def read_workbook(path: str, data: bytes, sheet: str) -> list[DataRow | Diagnostic]:
    """The rows of a sheet, which may be left out if the workbook has one, and findings up to the limit of a file."""
    entries: list[DataRow | Diagnostic] = []
    problems = 0
    try:
        with warnings.catch_warnings():  # about features that we do not read
            warnings.simplefilter("ignore")
            for entry in _Sheet(path, *_opened(path, data, sheet)).rows():
                entries.append(entry)
                problems += isinstance(entry, Diagnostic)
                if problems >= MAX_FINDINGS:
                    break
    except _RefusedError as error:
        entries.append(_finding(path, error))
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        entries.append(
            _finding(path, _RefusedError(f"`{path}` is not a readable workbook: {reason}", _SAVE_AGAIN, "bad-workbook"))
        )
    return entries


_SAVE_AGAIN: Final = "open it in Excel or LibreOffice, and save it as .xlsx"


def _finding(path: str, error: _RefusedError) -> Diagnostic:
    return finding_at(Source(path, ""), error.code, error.message, error.at, hint=error.hint)


def _opened(path: str, data: bytes, sheet: str) -> tuple[Any, Any, bytes]:
    """The sheet with its values, the same with its formulas (None if it has none), and its XML."""
    if len(data) > MAX_BYTES:
        raise _RefusedError(f"the file is larger than {MAX_BYTES >> 20} MiB", "split it", "file-too-large")
    if data.startswith(_OLE):
        message = f"`{path}` is protected with a password, or is an old .xls file"
        raise _RefusedError(message, "remove the password in Excel (File, Info), or save it as .xlsx", "bad-workbook")
    archive = zipfile.ZipFile(BytesIO(data))
    _check_parts(path, archive)
    values = _worksheets(data, formulas=False)
    if not sheet and len(values) > 1:
        names = ", ".join(f"`{name}`" for name in list(values)[:10])
        hint = f"name one: `{path}#{next(iter(values))}`"
        raise _RefusedError(f"`{path}` has {len(values)} sheets: {names}", hint, "unknown-sheet")
    name = sheet or next(iter(values), "")
    if name not in values:
        hint = did_you_mean(name, tuple(values), f"there are {', '.join(f'`{one}`' for one in list(values)[:10])}")
        raise _RefusedError(f"`{path}` has no sheet `{name[:80]}`", hint, "unknown-sheet")
    xml = archive.read(vars(values[name])["_worksheet_path"])
    formulas = _worksheets(data, formulas=True)[name] if _FORMULA.search(xml) else None
    return values[name], formulas, xml


def _check_parts(path: str, archive: zipfile.ZipFile) -> None:
    """Refuse what could fill memory, and what Excel never writes."""
    parts = archive.infolist()
    if sum(part.file_size for part in parts) > MAX_UNPACKED:
        message = f"`{path}` has more than {MAX_UNPACKED >> 20} MiB when it is unpacked"
        raise _RefusedError(message, "keep the rows that you need, or save the sheet as `CSV UTF-8`", "file-too-large")
    for part in parts:
        if part.flag_bits & 1:
            raise _RefusedError(f"`{path}` is encrypted", _SAVE_AGAIN, "bad-workbook")
        if part.filename.endswith((".xml", ".rels")):
            text = archive.read(part)
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text or text.startswith((b"\xff\xfe", b"\xfe\xff", b"\0")):
                raise _RefusedError(f"`{path}` has XML that no spreadsheet program writes", _SAVE_AGAIN, "bad-workbook")


def _worksheets(data: bytes, *, formulas: bool) -> dict[str, Any]:
    from openpyxl import load_workbook

    book = load_workbook(BytesIO(data), read_only=True, data_only=not formulas, keep_links=False)
    return {sheet.title: sheet for sheet in book.worksheets}


class _Sheet:
    """One sheet: its first row that is not empty has the names of columns."""

    def __init__(self, path: str, values: Any, formulas: Any, xml: bytes) -> None:
        self._path = path
        self._values = values
        self._formulas = formulas
        self._xml = xml
        self._names: dict[int, str] = {}
        """By column, from 1."""
        self._cells = 0

    def rows(self) -> Iterator[DataRow | Diagnostic]:
        """Every row that is not empty, and findings."""
        header, first = 0, True
        for number, cells in self._numbered():
            problems: list[Diagnostic] = []
            found = dict(self._row(number, cells, problems))
            yield from problems
            filled = sum(value not in {"", None} for value in found.values())
            if problems or not filled:
                continue
            if not header:
                header = number
                problems = list(self._read_header(number, found))
            elif first:
                first = False
                is_title = filled > len(self._names) == 1
                problems = [self._title(header, number)] if is_title else list(self._merged(header))
            yield from problems
            if problems:
                return
            if number != header:
                yield self._data_row(number, found)
        if not header:
            message = f"the sheet `{self._values.title}` is empty"
            yield _finding(self._path, _RefusedError(message, "name the columns in its first row", "no-header"))

    def _numbered(self) -> Iterator[tuple[int, Sequence[tuple[Any, Any]]]]:
        """The number of each row, and its cells with those of the formulas."""
        rows: Iterable[Any] = _plain(self._values)
        others: Iterable[Any] = _plain(self._formulas) if self._formulas is not None else iter(lambda: (), None)
        for number, (cells, formulas) in enumerate(zip(rows, others, strict=False), start=1):
            self._cells += len(cells)
            if self._cells > MAX_CELLS or number > MAX_ROW:
                message = f"the sheet `{self._values.title}` has more than {MAX_CELLS:,} cells"
                raise _RefusedError(message, "keep the rows and columns that you need", "file-too-large")
            yield number, list(zip(cells, formulas or [None] * len(cells), strict=True))

    def _row(
        self, number: int, cells: Sequence[tuple[Any, Any]], problems: list[Diagnostic]
    ) -> Iterator[tuple[int, Any]]:
        for column, (cell, formula) in enumerate(cells, start=1):
            try:
                yield column, _value(cell, formula)
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                at = number, column
                message = f"cell {_letters(column)}{number} of the sheet `{self._values.title}` {message}"
                problems.append(_finding(self._path, _RefusedError(message, hint, "bad-cell", at)))

    def _read_header(self, number: int, found: Mapping[int, Any]) -> Iterator[Diagnostic]:
        """Keep the names of columns; every problem with them."""
        seen: dict[str, int] = {}
        for column, value in found.items():
            name = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
            at = f"{_letters(column)}{number}"
            message, hint = "", ""
            if not name.strip():
                continue
            if name != name.strip():
                message, hint = f"the column name `{name}` in {at} has spaces around it", f"write `{name.strip()}`"
            elif name in seen:
                first = f"{_letters(seen[name])}{number}"
                message, hint = f"{first} and {at} have the same column name: `{name}`", "rename one of them"
            if message:
                yield _finding(self._path, _RefusedError(message, hint, "bad-header", (number, column)))
            self._names[column] = name
            seen.setdefault(name, column)

    def _data_row(self, number: int, found: Mapping[int, Any]) -> DataRow | Diagnostic:
        outside = next((column for column, value in found.items() if value != "" and column not in self._names), None)
        if outside is not None:
            message = f"cell {_letters(outside)}{number} has a value, but its column has no name"
            return _finding(
                self._path, _RefusedError(message, "name the column, or empty it", "ragged-row", (number, outside))
            )
        row = {name: found.get(column, "") for column, name in self._names.items()}
        return DataRow(row, Location(self._path, number, 1))

    def _title(self, header: int, number: int) -> Diagnostic:
        """The finding for a row above the names of columns."""
        message = f"row {header} looks like a title: it has one cell, and row {number} has more"
        hint = "the first row must have the names of the columns: remove the rows above it, or name each column"
        return _finding(self._path, _RefusedError(message, hint, "bad-header", (header, 1)))

    def _merged(self, header: int) -> Iterator[Diagnostic]:
        """Merged cells of the table, since all but the first of them are empty."""
        from openpyxl.utils import range_boundaries

        for match in _MERGED.finditer(self._xml):
            ref = match[1].decode()
            left, top, _, bottom = (edge or 1 for edge in range_boundaries(ref))  # whole columns have no rows
            if bottom >= header and left <= max(self._names, default=0):
                message = (
                    f"the cells {ref} of the sheet `{self._values.title}` are merged, so only the first has a value"
                )
                hint = "unmerge them, and fill in each"
                yield _finding(self._path, _RefusedError(message, hint, "bad-cell", (top, left)))


def _plain(sheet: Any) -> Iterator[Any]:
    sheet.reset_dimensions()  # a sheet may state a size that it does not have
    rows: Iterator[Any] = sheet.iter_rows()
    return rows


def _letters(column: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(column))


def _value(cell: Any, formula: Any) -> str | int | float | bool:
    """The value of a cell as in JSON, dates as ISO text; empty for an empty cell.

    Raises ValueError with a message and, after `; `, a hint.
    """
    value = cell.value
    if value is None:
        if formula is not None and formula.value is not None and cell.data_type != "str":
            raise ValueError(f"has a formula without a stored value; {_SAVE_AGAIN}")
        return ""
    if cell.data_type == "e":
        raise ValueError(f"has the error `{str(value)[:20]}`; correct its formula, or empty it")
    if isinstance(value, str):
        text = value.replace("_x000D_", "").replace("\r\n", "\n")
        if match := re.search(UNWANTED, text):
            raise ValueError(f"has the control character U+{ord(match.group()):04X}; remove it")
        return text
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    return _moment(value)


def _number(value: float) -> int | float:
    """A number with the 15 digits that Excel shows; whole ones without a fraction."""
    if not math.isfinite(value) or abs(value) >= 1e18:
        raise ValueError("has a number that is too large; format the cell as text, and type it again")
    rounded = float(f"{value:.15g}")
    if isinstance(value, int):
        return value
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _moment(value: dt.date | dt.time | dt.timedelta) -> str:
    """A date, time or duration; seconds are rounded, as Excel counts days."""
    if isinstance(value, dt.timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, dt.datetime):
        exact = (value + dt.timedelta(milliseconds=500)).replace(microsecond=0, tzinfo=None)
        return exact.date().isoformat() if exact.time() == dt.time() else exact.isoformat()
    if isinstance(value, dt.time):
        return value.isoformat(timespec="seconds")
    return value.isoformat()
