"""Reads a sheet of an Excel workbook as rows.

Only stored values are read, and within limits, because the file may be hostile. Formulas are not computed; macros,
links, comments, formats, filters and hidden marks make no difference.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from contentops.errors import Diagnostic, Location, did_you_mean
from contentops.manifests.values import TITLE_HINT, DataRow, header_problems
from contentops.yaml.positions import Source, StopReading, finding_at
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
_UNSTORED: Final = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f(?:\s[^>]*)?(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)
"""A cell with a formula and no value."""
_AT: Final = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
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


def read_workbook(path: str, data: bytes, sheet: str) -> Iterator[DataRow | Diagnostic]:
    """Yield the rows of a sheet, and findings. `sheet` may be empty if the workbook has only one sheet."""
    try:
        with warnings.catch_warnings():  # about features that we do not read
            warnings.simplefilter("ignore")
            yield from _Sheet(path, *_opened(path, data, sheet)).rows()
    except StopReading as stop:
        yield stop.finding
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        yield _finding(path, f"`{path}` is not a readable workbook: {reason}", _SAVE_AGAIN, "bad-workbook")


_SAVE_AGAIN: Final = "open it in Excel or LibreOffice, and save it as .xlsx"


def _finding(path: str, message: str, hint: str, code: str, at: tuple[int, int] = (1, 1)) -> Diagnostic:
    """Return a finding about one cell (row, column) of a workbook. Without a cell it is about the first one."""
    return finding_at(Source(path, ""), code, message, at, hint=hint)


def _opened(path: str, data: bytes, sheet: str) -> tuple[Any, bytes]:
    """Open a workbook. Return the sheet to read, and the XML of the sheet. Raises StopReading."""
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES >> 20} MiB"
        raise StopReading(_finding(path, message, "split it", "file-too-large"))
    if data.startswith(_OLE):
        message = f"`{path}` is protected with a password, or is an old .xls file"
        hint = "remove the password in Excel (File, Info), or save it as .xlsx"
        raise StopReading(_finding(path, message, hint, "bad-workbook"))
    archive = zipfile.ZipFile(BytesIO(data))
    _check_parts(path, archive)
    from openpyxl import load_workbook

    book = load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
    sheets = {each.title: each for each in book.worksheets}
    shown = ", ".join(f"`{name}`" for name in list(sheets)[:10])
    if not sheet and len(sheets) > 1:
        message, hint = f"`{path}` has {len(sheets)} sheets: {shown}", f"name one: `{path}#{next(iter(sheets))}`"
        raise StopReading(_finding(path, message, hint, "unknown-sheet"))
    name = sheet or next(iter(sheets), "")
    if name not in sheets:
        hint = did_you_mean(name, tuple(sheets), f"there are {shown}")
        raise StopReading(_finding(path, f"`{path}` has no sheet `{name[:80]}`", hint, "unknown-sheet"))
    return sheets[name], archive.read(vars(sheets[name])["_worksheet_path"])


def _check_parts(path: str, archive: zipfile.ZipFile) -> None:
    """Refuse a workbook that could fill the memory, or that has parts which Excel never writes. Raises StopReading."""
    parts = archive.infolist()
    if sum(part.file_size for part in parts) > MAX_UNPACKED:
        message = f"`{path}` has more than {MAX_UNPACKED >> 20} MiB when it is unpacked"
        hint = "keep the rows that you need, or save the sheet as `CSV UTF-8`"
        raise StopReading(_finding(path, message, hint, "file-too-large"))
    for part in parts:
        if part.flag_bits & 1:
            raise StopReading(_finding(path, f"`{path}` is encrypted", _SAVE_AGAIN, "bad-workbook"))
        if part.filename.endswith((".xml", ".rels")):
            text = archive.read(part)
            if b"<!DOCTYPE" in text or b"<!ENTITY" in text or text.startswith((b"\xff\xfe", b"\xfe\xff", b"\0")):
                message = f"`{path}` has XML that no spreadsheet program writes"
                raise StopReading(_finding(path, message, _SAVE_AGAIN, "bad-workbook"))


class _Sheet:
    """One sheet of a workbook. Its first row that is not empty has the names of the columns."""

    def __init__(self, path: str, values: Any, xml: bytes) -> None:
        self._path = path
        self._values = values
        self._xml = xml
        self._names: dict[int, str] = {}
        """By column, from 1."""

    def rows(self) -> Iterator[DataRow | Diagnostic]:
        """Yield every row that is not empty, and a finding for each mistake in the sheet."""
        yield from self._unstored()
        for number, cells in self._numbered():
            problems: list[Diagnostic] = []
            found = dict(self._row(number, cells, problems))
            is_header = not self._names
            if not problems and any(value != "" for value in found.values()):
                if is_header:
                    problems += [*self._read_header(number, found), *self._merged(number)]
                else:
                    yield self._data_row(number, found)
            yield from problems
            if problems and is_header:
                return
        if not self._names:
            message = f"the sheet `{self._values.title}` is empty"
            yield _finding(self._path, message, "name the columns in its first row", "no-header")

    def _numbered(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the number of each row, and its cells. Raises StopReading if there are too many."""
        self._values.reset_dimensions()  # a sheet may state a size that it does not have
        count = 0
        for number, cells in enumerate(self._values.iter_rows(), start=1):
            count += len(cells)
            if count > MAX_CELLS or number > MAX_ROW:
                message = f"the sheet `{self._values.title}` has more than {MAX_CELLS:,} cells"
                hint = "keep the rows and columns that you need"
                raise StopReading(_finding(self._path, message, hint, "file-too-large"))
            yield number, cells

    def _row(self, number: int, cells: Sequence[Any], problems: list[Diagnostic]) -> Iterator[tuple[int, Any]]:
        for column, cell in enumerate(cells, start=1):
            try:
                yield column, _value(cell)
            except ValueError as error:
                message, _, hint = str(error).partition("; ")
                problems.append(self._bad_cell(number, column, message, hint))

    def _bad_cell(self, number: int, column: int, message: str, hint: str) -> Diagnostic:
        whole = f"cell {_letters(column)}{number} of the sheet `{self._values.title}` {message}"
        return _finding(self._path, whole, hint, "bad-cell", (number, column))

    def _unstored(self) -> Iterator[Diagnostic]:
        """Yield a finding for each cell with a formula that was never computed. A formula may give an empty text."""
        from openpyxl.utils import column_index_from_string

        for match in _UNSTORED.finditer(self._xml):
            at = _AT.search(match[1])
            if at is not None and b't="str"' not in match[1]:
                column = column_index_from_string(at[1].decode())
                yield self._bad_cell(int(at[2]), column, "has a formula without a stored value", _SAVE_AGAIN)

    def _read_header(self, number: int, found: Mapping[int, Any]) -> Iterator[Diagnostic]:
        """Store the names of the columns, and yield every problem with them."""
        names = {column: str(value) for column, value in found.items()}
        names |= {column: names[column].lower() for column, value in found.items() if isinstance(value, bool)}
        self._names = {column: name for column, name in names.items() if name.strip()}
        for column, message, hint in header_problems(self._names, _letters):
            yield _finding(self._path, message, hint, "bad-header", (number, column))

    def _data_row(self, number: int, found: Mapping[int, Any]) -> DataRow | Diagnostic:
        outside = next((column for column, value in found.items() if value != "" and column not in self._names), None)
        if outside is not None:
            message = f"cell {_letters(outside)}{number} has a value, but its column has no name"
            hint = TITLE_HINT if len(self._names) == 1 else "name the column, or empty it"
            return _finding(self._path, message, hint, "ragged-row", (number, outside))
        row = {name: found.get(column, "") for column, name in self._names.items()}
        return DataRow(row, Location(self._path, number, 1))

    def _merged(self, header: int) -> Iterator[Diagnostic]:
        """Yield a finding for merged cells in the table, because only the first of them has a value."""
        from openpyxl.utils import range_boundaries

        for match in _MERGED.finditer(self._xml):
            ref = match[1].decode()
            left, top, _, bottom = (edge or 1 for edge in range_boundaries(ref))  # whole columns have no rows
            if bottom >= header and left <= max(self._names, default=0):
                sheet = f"the sheet `{self._values.title}`"
                message = f"the cells {ref} of {sheet} are merged, so only the first has a value"
                yield _finding(self._path, message, "unmerge them, and fill in each", "bad-cell", (top, left))


def _letters(column: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(column))


def _value(cell: Any) -> str | int | float | bool:
    """Return the value of a cell as a JSON value. Dates become ISO texts, and an empty cell becomes an empty text.

    Raises ValueError with a message and, after `; `, a hint.
    """
    value = cell.value
    if value is None:
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
    """Return a number with the 15 digits that Excel shows. Whole numbers have no fraction."""
    if not math.isfinite(value) or abs(value) >= 1e18:
        raise ValueError("has a number that is too large; format the cell as text, and type it again")
    rounded = float(f"{value:.15g}")
    if isinstance(value, int):
        return value
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _moment(value: dt.datetime | dt.time | dt.timedelta) -> str:
    """Return a date, time or duration as text. Seconds are rounded, because Excel stores fractions of days."""
    if isinstance(value, dt.timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, dt.datetime):
        exact = (value + dt.timedelta(milliseconds=500)).replace(microsecond=0, tzinfo=None)
        return exact.date().isoformat() if exact.time() == dt.time() else exact.isoformat()
    return value.isoformat(timespec="seconds")
