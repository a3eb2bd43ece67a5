"""Reads CSV files, also as Excel saves them: with semicolons or tabs, a byte order mark, or in UTF-16."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING, Final

from msgspec import structs

from contentops.errors import Diagnostic, Location, plural
from contentops.manifests.data_rows import MAX_FINDINGS, DataRow
from contentops.yaml.positions import Source, finding_at
from contentops.yaml.read import MAX_BYTES, decode
from contentops.yaml.syntax import conflict_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_STATED: Final = re.compile(r"sep=([,;\t])\n")
_TITLE: Final = "the first line must have the names of the columns: remove the lines above it, or name each column"
_SAVE: Final = "in Excel, save it as `CSV UTF-8`; elsewhere, save it as UTF-8"


def decode_csv(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """The text of a CSV file, also in UTF-16 as Excel saves `Unicode Text`; other encodings cannot be recognised."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and len(data) <= MAX_BYTES:
        try:
            return Source(path, data.decode("utf-16")), []
        except UnicodeDecodeError:
            source = Source(path, "")
            return source, [finding_at(source, "not-utf8", "the file is broken UTF-16", (1, 1), hint=_SAVE)]
    source, findings = decode(path, data)
    if findings and findings[0].code == "not-utf8":
        message = f"{findings[0].message}; Excel's `CSV` without `UTF-8` in its name is Windows-1252 or the like"
        findings = [structs.replace(findings[0], message=message, hint=_SAVE)]
    return source, findings


def _separator(text: str) -> tuple[str, bool]:
    """What separates the cells of a CSV file, and whether its first line only says so, as Excel writes it (`sep=;`).

    It is a comma where that gives a header without problems, else the sign that gives most columns.
    """
    import csv

    if match := _STATED.match(text):
        return match[1], True
    headers: dict[str, list[str]] = {}
    for sign in ",;\t":
        try:
            rows = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=sign)
            headers[sign] = next(filter(None, rows), [])
        except csv.Error:
            headers[sign] = []
    plain = (sign for sign, names in headers.items() if len(names) > 1 and not any(_header_problems(names)))
    return next(plain, max(headers, key=lambda sign: len(headers[sign]))), False


def read_csv(source: Source) -> Iterator[DataRow | Diagnostic]:
    """The rows of a CSV file according to RFC 4180, with a header; cells may be separated by `;` or tabs."""
    import csv  # start-up: most manifests name no data

    if match := _CONTROL.search(source.text):
        message = f"the invisible character U+{ord(match.group()):04X} is not allowed in a CSV file"
        yield finding_at(source, "control-character", message, source.mark(match.start()), hint="remove it")
        return
    # A cell of several lines is the same text with any line ending that git checks out.
    text = source.text.replace("\r\n", "\n").replace("\r", "\n")
    separator, is_stated = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            line, start = reader.line_num + 1, line
            if not cells or (is_stated and start == 1):
                continue
            if marker := conflict_at(source, start):
                yield marker
                return
            if not header:
                header = cells
                problems = list(
                    itertools.islice(_check_header(source, header, start, _widths(text, separator)), MAX_FINDINGS)
                )
                yield from problems
                if problems:
                    return
            elif len(cells) == len(header):
                yield DataRow(dict(zip(header, cells, strict=True)), Location(source.path, start, 1))
            else:
                yield _ragged(source, len(cells), len(header), start)
    except csv.Error as error:
        yield _csv_error(source, str(error), line, reader.line_num)
        return
    if not header:
        hint = "name the columns in its first line"
        yield finding_at(source, "no-header", "the CSV file has no header", (1, 1), hint=hint)


def _widths(text: str, separator: str) -> list[int]:
    """Return the number of cells of the first rows."""
    import csv

    with contextlib.suppress(csv.Error):
        rows = filter(None, csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator))
        return [len(cells) for cells in itertools.islice(rows, 2)]
    return []


def _check_header(source: Source, header: list[str], line: int, widths: list[int]) -> Iterator[Diagnostic]:
    """Yield every problem of a header; `widths`: the cells of the first rows."""
    width = len(source.line(line))
    if len(header) == 1 and "|" in header[0]:
        hint = "separate columns by commas, semicolons or tabs instead of `|`"
        yield finding_at(source, "bad-header", "the header has only one column", (line, 1), width=width, hint=hint)
        return
    named = sum(bool(name.strip()) for name in header)
    if named == 1 and (len(header) > 2 or any(len(header) < other for other in widths[1:])):
        message = f"line {line} looks like a title: it has one cell"
        yield finding_at(source, "bad-header", message, (line, 1), width=width, hint=_TITLE)
        return
    for message, hint in _header_problems(header):
        yield finding_at(source, "bad-header", message, (line, 1), width=width, hint=hint)


def _header_problems(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Message and hint of every problem with the names of columns."""
    seen: dict[str, int] = {}
    for number, name in enumerate(header, start=1):
        if not name.strip():
            yield f"column {number} of the header has no name", "name it, or remove the column"
        elif name != name.strip():
            yield f"the column name `{name}` has spaces around it", f"write `{name.strip()}`"
        elif name in seen:
            yield f"columns {seen[name]} and {number} have the same name: `{name}`", "rename one of them"
        else:
            seen[name] = number


def _ragged(source: Source, cells: int, expected: int, line: int) -> Diagnostic:
    message = f"the row has {plural(cells, 'cell')}, the header {expected}"
    hint = (
        'put cells that contain the separator in double quotes: `"a, b"`'
        if cells > expected
        else "add the missing cells"
    )
    return finding_at(source, "ragged-row", message, (line, 1), width=len(source.line(line)), hint=hint)


def _csv_error(source: Source, error: str, start: int, line: int) -> Diagnostic:
    """A finding for an error of the csv module."""
    at, message, hint = start, f"not valid CSV: {error}", "look for a missing closing quote"
    if "end of data" in error:
        message, hint = "a quoted cell of this row is never closed", "add the closing quote"
    elif "expected after" in error:
        at, message = line, "there is text after the closing quote of a cell"
        hint = 'double the quotes inside a quoted cell: `"say ""hi"""`'
    return finding_at(source, "csv-syntax", message, (at, 1), hint=hint)
