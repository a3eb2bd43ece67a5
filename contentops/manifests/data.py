"""Reads the data files of `for_each` and `matrix`: CSV, JSON, JSON Lines, YAML and Excel workbooks.

Cells of a CSV file are always text; JSON and YAML keep their types. Every row has its location, for findings about the
item that is made from it.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from typing import Any, Final, NoReturn

from msgspec import Struct, structs

from contentops.conflict_markers import SIDE, WHOLE
from contentops.errors import Diagnostic, Location, plural
from contentops.json_reader import DeepJson, bounded
from contentops.manifests.values import MAX_FINDINGS, TITLE_HINT, DataRow, header_problems, texts_in
from contentops.yaml.positions import Mark, Seq, Source, YamlDocument, finding, finding_at
from contentops.yaml.read import MAX_BYTES, MAX_DEPTH, decode, read_yaml
from contentops.yaml.syntax import UNWANTED, conflict, conflict_at, plain_scalar


class DataFile(Struct, frozen=True, kw_only=True):
    """A data file with its content, or with the problem if it cannot be used."""

    path: str
    exists: bool = True
    content: bytes = b""
    problem: Diagnostic | None = None


_OTHER_SHEETS: Final = frozenset({"xls", "xlsb", "xlsm", "xltx", "ods", "numbers"})
_SHEET: Final = re.compile(r"(?is)(.*\.xlsx)#(.+)")
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def without_sheet(written: str) -> tuple[str, str]:
    """Split a path such as `book.xlsx#Sheet` into the path of the file and the name of the sheet.

    The name is empty if the path names no sheet.
    """
    match = _SHEET.fullmatch(written)
    return (match[1], match[2]) if match else (written, "")


def read_rows(path: str, data: bytes, sheet: str = "") -> tuple[list[DataRow], list[Diagnostic]]:
    """Return the rows of a data file in order, and all findings.

    `path` is relative to the project root; its ending gives the format: .csv, .json, .jsonl, .ndjson, .xlsx, .yaml or
    .yml. `sheet` is one of a workbook. A row is a map or a scalar; rows with a finding are omitted.
    """
    ending = path.rpartition(".")[2].lower() if "." in path else ""
    reader = {"csv": read_csv, "json": _read_json, "jsonl": _read_json_lines, "ndjson": _read_json_lines}.get(ending)
    findings: list[Diagnostic]
    if ending == "xlsx":
        from contentops.manifests.workbook import read_workbook  # start-up: few projects have workbooks

        entries, findings = read_workbook(path, data, sheet), []
    elif ending in {"yaml", "yml"}:
        document, findings = read_yaml(path, data)
        entries = _yaml_entries(document)
    elif reader is None:
        hint = "use a file that ends in .csv, .json, .jsonl, .ndjson, .xlsx, .yaml or .yml"
        if ending in _OTHER_SHEETS:
            hint = "save it as .xlsx or as `CSV UTF-8`"
        message = f"`{path}` is not a known kind of data file: its name ends in none of these"
        return [], [Diagnostic(code="unknown-data", message=message, location=Location(path), hint=hint)]
    else:
        source, findings = decode_csv(path, data) if reader is read_csv else decode(path, data)
        if not findings and (marker := conflict(source, WHOLE if reader is read_csv else SIDE)):
            findings = [marker]
        entries = reader(source)
    if findings:
        return [], findings
    rows: list[DataRow] = []
    for row in entries:
        if isinstance(row, DataRow):
            rows.append(row)
        else:
            findings.append(row)
            if len(findings) >= MAX_FINDINGS:
                break
    return rows, findings


def _row(source: Source, value: Any, at: Mark) -> DataRow | Diagnostic:
    """Return a value as a row of data. Return a finding if the value is a list or null."""
    if value is None or isinstance(value, list):
        kind = "a list" if isinstance(value, list) else "null"
        return finding_at(source, "bad-row", f"a row must be a map or a single value, not {kind}", at)
    return DataRow(value, Location(source.path, *at))


# --- JSON --------------------------------------------------------------------------------------------------


class _BadValueError(ValueError):
    """The error for a JSON value that has valid syntax but is not accepted."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:at]))
        raise _BadValueError(f"the key `{twice[:80]}` appears twice in one object", "duplicate-key")
    _check_texts(values)
    return values


def _check_texts(texts: Iterable[Any]) -> None:
    """Raise an error if a text contains a control character. JSON itself allows such characters."""
    if match := next(filter(None, (re.search(UNWANTED, text) for text in texts if isinstance(text, str))), None):
        message = f"a text contains the control character U+{ord(match.group()):04X}"
        raise _BadValueError(message, "control-character")


def _constant(text: str) -> NoReturn:
    raise _BadValueError(f"`{text}` is not a JSON number", "bad-number")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=plain_scalar, parse_float=plain_scalar
)


def _decode(source: Source, text: str, start: int) -> tuple[Any, int] | Diagnostic:
    """Return the JSON value that starts at an index of a text, and the index after the value.

    Return a finding if the JSON is invalid.
    """
    try:
        value, end = _DECODER.raw_decode(text, start)
        bounded(len, text[start:end], deepest=MAX_DEPTH)
        _check_texts(texts_in(value))
    except json.JSONDecodeError as error:
        return _json_error(source, error.msg, error.pos)
    except (DeepJson, RecursionError):
        message = f"lists and objects are nested more than {MAX_DEPTH} deep"
        return finding_at(source, "too-deep", message, source.mark(start))
    except ValueError as error:
        code = error.code if isinstance(error, _BadValueError) else "bad-number"
        return finding_at(source, code, str(error), source.mark(start))
    return value, end


def _json_error(source: Source, problem: str, index: int) -> Diagnostic:
    """Return a finding for a syntax error in JSON, with a hint for frequent mistakes."""
    text = source.text
    hint = ""
    if text[:index].rstrip().endswith(",") and text[index : index + 1] in {"]", "}", ""}:
        hint = "remove the comma before it"
    elif text[index : index + 1] == "'":
        hint = "JSON has double quotes"
    elif text[index : index + 2] in {"//", "/*"} or text[index : index + 1] == "#":
        hint = "JSON has no comments"
    message = f"not valid JSON: {problem[:1].lower()}{problem[1:]}"
    return finding_at(source, "json-syntax", message, source.mark(index), hint=hint)


def _skip(text: str, index: int) -> int:
    """Return the index of the next character that is not white space."""
    match = _SPACE.match(text, index)
    return match.end() if match else index


def _read_json(source: Source) -> Iterator[DataRow | Diagnostic]:
    """Yield the entries of a JSON list. They are decoded one by one to keep the location of each."""
    text = source.text
    index = _skip(text, 0)
    if text[index : index + 1] != "[":
        message = "a data file is a list of rows" + ("" if index < len(text) else "; this one is empty")
        yield finding_at(source, "bad-data", message, source.mark(index), hint="write `[{...}, {...}]`")
        return
    index = _skip(text, index + 1)
    more = text[index : index + 1] != "]"
    while more:
        decoded = _decode(source, text, index)
        if isinstance(decoded, Diagnostic):
            yield decoded
            return
        yield _row(source, decoded[0], source.mark(index))
        index = _skip(text, decoded[1])
        more = text[index : index + 1] == ","
        if more:
            index = _skip(text, index + 1)
        elif text[index : index + 1] != "]":
            yield _json_error(source, "expecting ',' or ']' after a row", index)
            return
    index = _skip(text, index + 1)
    if index < len(text):
        yield _json_error(source, "there is text after the end of the list", index)


def _read_json_lines(source: Source) -> Iterator[DataRow | Diagnostic]:
    """Yield the JSON value of each line as a row. Lines after an invalid line are still read."""
    text = source.text.replace("\n", "\v")  # no value goes on in the next line, as JSON has no such sign
    stop = -1
    for line in source.text.split("\n"):
        start, stop = _skip(text, stop + 1), stop + 1 + len(line)
        decoded = _decode(source, text, start) if start < stop else None
        if isinstance(decoded, Diagnostic):
            yield decoded
        elif decoded is not None and (after := _skip(text, decoded[1])) < stop:
            yield _json_error(source, "more than one value in the line", after)
        elif decoded is not None:
            yield _row(source, decoded[0], source.mark(start))


# --- YAML --------------------------------------------------------------------------------------------------


def _yaml_entries(document: YamlDocument) -> Iterator[DataRow | Diagnostic]:
    """Yield the entries of a YAML list."""
    root = document.root
    if not isinstance(root, Seq):
        message = "a data file is a list of rows" + ("" if root is not None else "; this one is empty")
        yield finding(document, "bad-data", message, hint="write each row as `- key: value`")
        return
    for value, at in zip(root, root.positions, strict=True):
        yield _row(document.source, value, at)


# --- CSV ---------------------------------------------------------------------------------------------------


_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_STATED: Final = re.compile(r"sep=([,;\t])\n")
_SAVE: Final = "in Excel, save it as `CSV UTF-8`; elsewhere, save it as UTF-8"


def decode_csv(path: str, data: bytes) -> tuple[Source, list[Diagnostic]]:
    """Return the text of a CSV file that is encoded in UTF-8 or UTF-16, and the findings.

    Excel writes UTF-16 for `Unicode Text`. Other encodings cannot be recognised.
    """
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
    """Return the separator of a CSV file, and whether the first line only states it (as in `sep=;`).

    Excel reads such a line. Without it, the separator is the character that gives the most columns. If several give as
    many, a comma is preferred.
    """
    import csv

    def columns(sign: str) -> int:
        try:
            rows = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=sign)
            return len(next(filter(None, rows), []))
        except csv.Error:
            return 0

    stated = _STATED.match(text)
    return (stated[1], True) if stated else (max(",;\t", key=columns), False)


def read_csv(source: Source) -> Iterator[DataRow | Diagnostic]:
    """Yield the rows of a CSV file with a header (RFC 4180). Its cells may also be separated by `;` or tabs."""
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
                problems = list(itertools.islice(_check_header(source, header, start), MAX_FINDINGS))
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


def _check_header(source: Source, header: list[str], line: int) -> Iterator[Diagnostic]:
    """Yield every problem in the header of a CSV file."""
    problems = [(message, hint) for _, message, hint in header_problems(dict(enumerate(header, start=1)))]
    if len(header) == 1 and "|" in header[0]:
        hint = "separate columns by commas, semicolons or tabs instead of `|`"
        problems = [("the header has only one column", hint)]
    for message, hint in problems:
        yield finding_at(source, "bad-header", message, (line, 1), width=len(source.line(line)), hint=hint)


def _ragged(source: Source, cells: int, expected: int, line: int) -> Diagnostic:
    message = f"the row has {plural(cells, 'cell')}, the header {expected}"
    hint = 'put cells that contain the separator in double quotes: `"a, b"`' if cells > expected else ""
    hint = TITLE_HINT if cells > expected == 1 else hint or "add the missing cells"
    return finding_at(source, "ragged-row", message, (line, 1), width=len(source.line(line)), hint=hint)


def _csv_error(source: Source, error: str, start: int, line: int) -> Diagnostic:
    """Return a finding for a syntax error in a CSV file."""
    at, message, hint = start, f"not valid CSV: {error}", "look for a missing closing quote"
    if "end of data" in error:
        message, hint = "a quoted cell of this row is never closed", "add the closing quote"
    elif "expected after" in error:
        at, message = line, "there is text after the closing quote of a cell"
        hint = 'double the quotes inside a quoted cell: `"say ""hi"""`'
    return finding_at(source, "csv-syntax", message, (at, 1), hint=hint)
