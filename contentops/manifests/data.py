"""Rows for `for_each`: CSV, JSON, JSON Lines and YAML files.

Cells of a CSV file are text, and nothing is converted behind the author's back; JSON and YAML keep their types.
Every row knows its line, so that a finding about an item can name the row it was made from.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from contentops.errors import Diagnostic, Location
from contentops.manifests.build import MAX_DEPTH
from contentops.manifests.conflicts import conflict, conflict_at, whole_conflict
from contentops.manifests.places import Seq, Source, finding, place
from contentops.manifests.read import decode, read_yaml
from contentops.manifests.scalars import MAX_DIGITS, UNWANTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentops.manifests.places import Mark

MAX_FINDINGS = 100
"""After so many problems the rest of a file is not read."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN|[-+.0-9eE]+|[{}\[\],:]')
_OTHER_SEPARATORS = (";", "\t", "|")


class Row(Struct, frozen=True):
    """One row: a map or a scalar, where it starts, and the line that stands there."""

    value: Any
    location: Location
    excerpt: str


class _BadValueError(ValueError):
    """A JSON value that is well-formed but not accepted; the message says why."""

    def __init__(self, message: str, code: str, token: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.token = token
        """The token to point at; for a duplicate key, the key."""


def read_rows(path: str, data: bytes) -> tuple[list[Row], list[Diagnostic]]:
    """The rows of a data file, in order, and every finding.

    `path` is relative to the project root; its ending says what the file is: .csv, .json, .jsonl, .ndjson, .yaml
    or .yml. A row is a map or a scalar; rows with a finding are left out.
    """
    ending = path.rpartition(".")[2].lower() if "." in path else ""
    if ending in {"yaml", "yml"}:
        return _read_yaml_rows(path, data)
    reader = {"csv": _read_csv, "json": _read_json, "jsonl": _read_json_lines, "ndjson": _read_json_lines}.get(ending)
    if reader is None:
        hint = "use a file that ends in .csv, .json, .jsonl, .ndjson, .yaml or .yml"
        message = f"`{path}` is no data file: its ending does not say what it holds"
        return [], [Diagnostic(code="unknown-data", message=message, location=Location(path), hint=hint)]
    source, findings = decode(path, data)
    if not findings and (left := whole_conflict(source) if reader is _read_csv else conflict(source)):
        findings = [left]
    if findings:
        return [], findings
    rows: list[Row] = []
    for found in reader(source):
        if isinstance(found, Row):
            rows.append(found)
        else:
            findings.append(found)
            if len(findings) >= MAX_FINDINGS:
                break
    return rows, findings


def _row(source: Source, value: Any, at: Mark) -> Row:
    return Row(value, Location(source.path, *at), source.line(at[0]))


def _read_csv(source: Source) -> Iterator[Row | Diagnostic]:
    """The rows of a CSV file as RFC 4180 has it: commas, double quotes, a header."""
    if found := _CONTROL.search(source.text):
        message = f"the invisible character U+{ord(found.group()):04X} may not stand in a CSV file"
        yield place(source, "control-character", message, source.mark(found.start()), hint="remove it")
        return
    # A cell of several lines means the same whichever line ending git checked it out with.
    text = source.text.replace("\r\n", "\n").replace("\r", "\n")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            line, start = reader.line_num + 1, line
            if not cells:
                continue
            if left := conflict_at(source, start):
                yield left
                return
            if not header:
                header = cells
                problems = list(_check_header(source, header, start))
                yield from problems
                if problems:
                    return
            elif len(cells) == len(header):
                yield _row(source, dict(zip(header, cells, strict=True)), (start, 1))
            else:
                yield _ragged(source, len(cells), len(header), start)
    except csv.Error as error:
        yield _csv_error(source, str(error), line, reader.line_num)
        return
    if not header:
        yield place(
            source, "no-header", "the CSV file has no header", (1, 1), hint="name the columns in its first line"
        )


def _check_header(source: Source, header: list[str], line: int) -> Iterator[Diagnostic]:
    """Every problem of a header."""
    width = len(source.line(line))
    if len(header) == 1 and (other := next((sign for sign in _OTHER_SEPARATORS if sign in header[0]), "")):
        message = "the header is one single column"
        hint = f"separate columns by commas instead of `{other}`".replace("\t", "\\t")
        yield place(source, "bad-header", message, (line, 1), width=width, hint=hint)
        return
    seen: dict[str, int] = {}
    for number, name in enumerate(header, start=1):
        if not name.strip():
            message, hint = f"column {number} of the header has no name", "name it, or remove the column"
        elif name != name.strip():
            message, hint = f"the column name `{name}` has spaces around it", f"write `{name.strip()}`"
        elif name in seen:
            message, hint = f"the columns {seen[name]} and {number} have one name: `{name}`", "rename one of them"
        else:
            seen[name] = number
            continue
        yield place(source, "bad-header", message, (line, 1), width=width, hint=hint)


def _ragged(source: Source, found: int, expected: int, line: int) -> Diagnostic:
    message = f"the row has {found} cell{'' if found == 1 else 's'}, the header {expected}"
    hint = 'put cells that hold a comma in double quotes: `"a, b"`' if found > expected else "add the missing cells"
    return place(source, "ragged-row", message, (line, 1), width=len(source.line(line)), hint=hint)


def _csv_error(source: Source, error: str, start: int, line: int) -> Diagnostic:
    """The csv module's complaint in our words."""
    if "end of data" in error:
        message = "a quoted cell of this row is never closed"
        return place(source, "csv-syntax", message, (start, 1), hint="add the closing quote")
    if "expected after" in error:
        hint = 'double the quotes inside a quoted cell: `"say ""hi"""`'
        return place(source, "csv-syntax", "a cell goes on after its closing quote", (line, 1), hint=hint)
    hint = "look for a missing closing quote"
    return place(source, "csv-syntax", f"not valid CSV: {error}", (start, 1), hint=hint)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        message = f"the key `{key[:80]}` stands twice in one object"
        raise _BadValueError(message, "duplicate-key", key)
    return found


def _constant(text: str) -> NoReturn:
    message = f"`{text}` is no JSON number"
    raise _BadValueError(message, "bad-number", text)


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        message = f"the number has {len(text)} digits, more than {MAX_DIGITS}"
        raise _BadValueError(message, "bad-number", text)
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        message = f"the number `{text[:40]}` is too large"
        raise _BadValueError(message, "bad-number", text)
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_int, parse_float=_float)


def _decode(source: Source, start: int) -> tuple[Any, int] | Diagnostic:
    """The JSON value at an index and the index behind it, or why there is none."""
    text = source.text
    try:
        value, end = _DECODER.raw_decode(text, start)
        _check_value(value, 1)
    except json.JSONDecodeError as error:
        return _json_error(source, error.msg, error.pos)
    except _BadValueError as error:
        at = source.mark(_find(text, start, error))
        return place(source, error.code, str(error), at, width=len(error.token))
    except RecursionError:
        message = f"lists and objects are nested more than {MAX_DEPTH} deep"
        return place(source, "too-deep", message, source.mark(start))
    return value, end


def _json_error(source: Source, problem: str, index: int) -> Diagnostic:
    """The json module's complaint, with what is usually wrong there."""
    text = source.text
    hint = ""
    if text[:index].rstrip().endswith(",") and text[index : index + 1] in {"]", "}", ""}:
        hint = "remove the comma before it"
    elif text[index : index + 1] == "'":
        hint = "JSON has double quotes"
    elif text[index : index + 2] in {"//", "/*"} or text[index : index + 1] == "#":
        hint = "JSON has no comments"
    message = f"not valid JSON: {problem[:1].lower()}{problem[1:]}"
    return place(source, "json-syntax", message, source.mark(index), hint=hint)


def _check_value(value: Any, depth: int) -> None:
    """Refuse what JSON allows and the rest of the program cannot carry."""
    if isinstance(value, str):
        if found := UNWANTED.search(value):
            message = f"a text holds the control character U+{ord(found.group()):04X}"
            raise _BadValueError(message, "control-character")
    elif isinstance(value, (dict, list)):
        if depth > MAX_DEPTH:
            raise RecursionError
        for key in value if isinstance(value, dict) else ():
            _check_value(key, depth + 1)
        for entry in value.values() if isinstance(value, dict) else value:
            _check_value(entry, depth + 1)


def _find(text: str, start: int, error: _BadValueError) -> int:
    """The index of the token an error is about, looking from `start`; `start` if it cannot be told."""
    if not error.token:
        return start
    levels: list[set[str]] = [set()]
    for found in _TOKEN.finditer(text, start):
        token = found.group()
        if error.code == "bad-number":
            if token == error.token:
                return found.start()
        elif token in {"{", "["}:
            levels.append(set())
        elif token in {"}", "]"}:
            levels.pop()
        elif token[0] == '"' and text.startswith(":", _skip(text, found.end())):
            key = json.loads(token, strict=False)
            if key == error.token and key in levels[-1]:
                return found.start()
            levels[-1].add(key)
    return start


def _checked(source: Source, value: Any, start: int) -> Row | Diagnostic:
    """A decoded value as a row: a map or a scalar."""
    at = source.mark(start)
    if value is None or isinstance(value, list):
        kind = "a list" if isinstance(value, list) else "null"
        return place(source, "bad-row", f"a row is a map or a single value, not {kind}", at)
    return _row(source, value, at)


def _skip(text: str, index: int) -> int:
    """The index of the next character that is no white space."""
    found = _SPACE.match(text, index)
    return found.end() if found else index


def _read_json(source: Source) -> Iterator[Row | Diagnostic]:
    """The entries of a JSON list, one by one, so that each knows where it starts."""
    text = source.text
    index = _skip(text, 0)
    if text[index : index + 1] != "[":
        message = "a data file holds a list of rows" + ("" if index < len(text) else "; this one is empty")
        yield place(source, "bad-data", message, source.mark(index), hint="write `[{...}, {...}]`")
        return
    index = _skip(text, index + 1)
    more = text[index : index + 1] != "]"
    while more:
        decoded = _decode(source, index)
        if isinstance(decoded, Diagnostic):
            yield decoded
            return
        yield _checked(source, decoded[0], index)
        index = _skip(text, decoded[1])
        more = text[index : index + 1] == ","
        if more:
            index = _skip(text, index + 1)
        elif text[index : index + 1] != "]":
            yield _json_error(source, "expecting ',' or ']' after a row", index)
            return
    index = _skip(text, index + 1)
    if index < len(text):
        yield _json_error(source, "something stands after the end of the list", index)


def _read_json_lines(source: Source) -> Iterator[Row | Diagnostic]:
    """One JSON value per line; a broken line does not hide the problems of the others."""
    text = source.text
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        index = _skip(text, start)
        if index < end:
            line = Source(source.path, text[start:end])
            yield _shifted(source, _json_line(line, index - start), start)
        start = end + 1


def _json_line(line: Source, index: int) -> Row | Diagnostic:
    decoded = _decode(line, index)
    if isinstance(decoded, Diagnostic):
        return decoded
    after = _skip(line.text, decoded[1])
    if after < len(line.text):
        return _json_error(line, "more than one value in the line", after)
    return _checked(line, decoded[0], index)


def _shifted(source: Source, found: Row | Diagnostic, start: int) -> Row | Diagnostic:
    """What was found in a line of its own, moved to its place in the file."""
    line = source.mark(start)[0]
    column = found.location.column if found.location else 1
    if isinstance(found, Row):
        return _row(source, found.value, (line, column))
    return place(source, found.code, found.message, (line, column), width=found.width, hint=found.hint)


def _read_yaml_rows(path: str, data: bytes) -> tuple[list[Row], list[Diagnostic]]:
    """The entries of a YAML list."""
    document, findings = read_yaml(path, data)
    if findings:
        return [], findings
    root = document.root
    if not isinstance(root, Seq):
        message = "a data file holds a list of rows" + ("" if root is not None else "; this one is empty")
        return [], [finding(document, "bad-data", message, hint="write each row as `- key: value`")]
    rows: list[Row] = []
    for index, (value, at) in enumerate(zip(root, root.values_at, strict=True)):
        if value is None or isinstance(value, list):
            kind = "a list" if isinstance(value, list) else "null"
            findings.append(finding(document, "bad-row", f"a row is a map or a single value, not {kind}", (index,)))
        else:
            rows.append(_row(document.source, value, at))
    return rows, findings
