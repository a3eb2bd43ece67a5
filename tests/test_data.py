"""Rows for `for_each`: CSV, JSON, JSON Lines and YAML, with the line of each row."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from contentops.errors import Diagnostic, Location
from contentops.manifests.data import read_rows
from contentops.manifests.values import MAX_FINDINGS, DataRow


def rows_of(path: str, text: str | bytes) -> list[DataRow]:
    """The rows of a file that has no findings."""
    rows, findings = read_rows(path, text.encode() if isinstance(text, str) else text)
    assert findings == []
    return rows


def findings_of(path: str, text: str | bytes) -> list[Diagnostic]:
    """The findings of a file."""
    return read_rows(path, text.encode() if isinstance(text, str) else text)[1]


def line_of(entry: Diagnostic | DataRow) -> int:
    """The line of a row or a finding."""
    assert entry.location is not None
    return entry.location.line


@pytest.mark.parametrize(
    ("text", "line"),
    [("id;name\n1;2,5\n", 2), ("sep=;\nid;name\n1;2,5\n", 3), ("id\tname\n1\t2,5\n", 2), ('id;"name"\n1;"2,5"\n', 2)],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_is_read_as_excel_saves_it(text: str, line: int, encoding: str) -> None:
    """Semicolons, tabs and byte order marks; a decimal comma stays text."""
    (row,) = rows_of("a.csv", text.replace("\n", "\r\n").encode(encoding))
    assert (row.value, line_of(row)) == ({"id": "1", "name": "2,5"}, line)


@pytest.mark.parametrize(("path", "text", "code", "line", "word"), [
    ("a.csv", "", "no-header", 1, "no header"),
    ("a.csv", "\n\n", "no-header", 1, "no header"),
    ("a.csv", "id,id\n", "bad-header", 1, "1 and 2 have the same name: `id`"),
    ("a.csv", "id,\n", "bad-header", 1, "column 2"),
    ("a.csv", "Sales,\nid,name\n", "bad-header", 1, "column 2 of the header has no name"),
    ("a.csv", "Sales 2026\nid,name\n", "ragged-row", 2, "2 cells, the header 1"),
    ("a.csv", "id, name\n", "bad-header", 1, "spaces"),
    ("a.csv", "id|name\n1|2\n", "bad-header", 1, "only one column"),
    ("a.csv", "id;id\n", "bad-header", 1, "1 and 2 have the same name: `id`"),
    ("a.csv", "id;name\n1;2;3\n", "ragged-row", 2, "3 cells"),
    ("a.csv", b"\xff\xfei", "not-utf8", 1, "broken UTF-16"),
    ("a.csv", b"\xff\xfe\x00\x00i\x00\x00\x00", "control-character", 1, "U+0000"),
    ("a.csv", "k\u00f6rper;n\n1;2\n".encode("cp1252"), "not-utf8", 1, "Windows-1252"),
    ("a.csv", "id,name\n1\n", "ragged-row", 2, "1 cell, the header 2"),
    ("a.csv", 'id,name\n1,"a\nb"\n1,2,3\n', "ragged-row", 4, "3 cells"),
    ("a.csv", 'id\n1\n"x\ny', "csv-syntax", 3, "never closed"),
    ("a.csv", 'id\n"a"b\n', "csv-syntax", 2, "after the closing quote"),
    ("a.csv", "id\na\x00b\n", "control-character", 2, "U+0000"),
    ("a.csv", "id\n\x1b[31m\n", "control-character", 2, "U+001B"),
    ("a.csv", "id\n" + "x" * 200_000 + "\n", "csv-syntax", 2, "field limit"),
    *((path, b"a\n\xe9", "not-utf8", 2, "UTF-8") for path in ("a.csv", "a.json", "a.jsonl", "a.yaml")),
    *((path, "a\n1\n", "unknown-data", 1, "not a known kind of data file") for path in ("cities.xlsm", "cities.xls", "cities", "csv", "a.csv/b")),
    ("a.yaml", "a: 1\n", "bad-data", 1, "list of rows"),
    ("a.yaml", "", "bad-data", 1, "empty"),
    ("a.yaml", "- 1\n- \n", "bad-row", 2, "not null"),
    ("a.yaml", "- 1\n- [2]\n", "bad-row", 2, "not a list"),
    ("a.yaml", "- @x\n", "yaml-syntax", 1, "cannot start with"),
    ("a.yaml", "- {a: 1, a: 2}\n", "duplicate-key", 1, "appears twice"),
], ids=lambda value: repr(value)[:30])  # fmt: skip
def test_wrong_data_is_an_error_at_its_line(path: str, text: str | bytes, code: str, line: int, word: str) -> None:
    """Each mistake is one finding that names the line; where the fix is clear, the hint says it."""
    (problem,) = findings_of(path, text)
    assert (problem.code, line_of(problem), word in problem.message) == (code, line, True)
    assert problem.hint or code in {"bad-row", "bad-data"}


def test_endless_problems_end() -> None:
    """After a hundred problems the rest of a file is not read."""
    assert len(findings_of("a.csv", "a,b\n" + "1\n" * 500)) == MAX_FINDINGS
    assert len(findings_of("a.csv", "," * 100_000)) == MAX_FINDINGS
    assert len(findings_of("a.yaml", "[" + "[]," * 100_000 + "]")) == MAX_FINDINGS


def test_json_keeps_types_and_places() -> None:
    """Entries of a list are rows; each knows where it starts."""
    rows = rows_of("a.json", '[{"a": 1, "b": [true, null, 1.5]},\n  "x", 2,\n\n  false]\n')
    assert [row.value for row in rows] == [{"a": 1, "b": [True, None, 1.5]}, "x", 2, False]
    assert [row.location for row in rows] == [Location("a.json", *at) for at in ((1, 2), (2, 3), (2, 8), (4, 3))]
    assert rows_of("a.json", " [ ] ") == []


@pytest.mark.parametrize(("text", "code", "at", "word"), [
    ("", "bad-data", (1, 1), "empty"), ('{"a": 1}', "bad-data", (1, 1), "list of rows"),
    ('[{"a": 1},\n {"a": NaN}]', "bad-number", (2, 2), "NaN"), ("[-Infinity]", "bad-number", (1, 2), "-Infinity"),
    ('["NaN", NaN]', "bad-number", (1, 9), "NaN"), ("[1e999]", "bad-number", (1, 2), "too large"),
    ("[1, " + "9" * 5000 + "]", "bad-number", (1, 5), "5000 digits"),
    ('[{"a": {"b": 1,\n "b": 2}}]', "duplicate-key", (1, 2), "`b`"),
    ('[{"x": {"a": 1}, "a": [{"a": 1}], "a": 2}]', "duplicate-key", (1, 2), "`a`"),
    ('[{"\\u0061": 1, "a": 2}]', "duplicate-key", (1, 2), "`a`"), ("[1,\n]", "json-syntax", (2, 1), "remove the comma before it"),
    ("[1 2]", "json-syntax", (1, 4), "','"), ("[1", "json-syntax", (1, 3), "','"),
    ("[1] x", "json-syntax", (1, 5), "after the end"), ("[{'a': 1}]", "json-syntax", (1, 3), "JSON has double quotes"),
    ("[1, // no\n 2]", "json-syntax", (1, 5), "not valid JSON"), ("[1, # x\n2]", "json-syntax", (1, 5), "JSON has no comments"),
    ('["a\nb"]', "json-syntax", (1, 4), "control character"), ('[\n"\\u001b"]', "control-character", (2, 1), "U+001B"),
    ('["\\ud800"]', "control-character", (1, 2), "U+D800"), ('[{"\\u0000": 1}]', "control-character", (1, 2), "U+0000"),
    ("[[1]]", "bad-row", (1, 2), "not a list"), ("[null]", "bad-row", (1, 2), "not null"),
    ("[" * 5001 + "]" * 5001, "too-deep", (1, 2), "100 deep"),
    ('[{"a":' + "[" * 120 + "]" * 120 + "}]", "too-deep", (1, 2), "100 deep"),
], ids=lambda value: repr(value)[:30])  # fmt: skip
def test_wrong_json_is_an_error_at_its_place(text: str, code: str, at: tuple[int, int], word: str) -> None:
    """Broken JSON, and JSON that cannot be carried on, is a finding with line and column; usual mistakes have a hint."""
    (problem,) = findings_of("a.json", text)
    assert (problem.code, problem.location) == (code, Location("a.json", *at))
    assert word in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize("path", ["a.jsonl", "a.ndjson"])
def test_json_lines_are_rows(path: str) -> None:
    """Each line is a row, blank lines are skipped, line endings do not matter."""
    rows = rows_of(path, '{"a": 1}\r\n\r\n  "x"\n\n3')
    assert [row.value for row in rows] == [{"a": 1}, "x", 3]
    assert [row.location for row in rows] == [Location(path, *at) for at in ((1, 1), (3, 3), (5, 1))]


def test_broken_lines_do_not_hide_each_other() -> None:
    """Every broken line is reported with its own line and column, and the others are read."""
    rows, findings = read_rows("a.jsonl", b'{"a": 1}\n{"a":\n1 2\nnull\n{"a": 1, "a": 2}\n7\n')
    assert [row.value for row in rows] == [{"a": 1}, 7]
    assert [(str(problem.location), problem.code) for problem in findings] == [
        ("a.jsonl:2:6", "json-syntax"),
        ("a.jsonl:3:3", "json-syntax"),
        ("a.jsonl:4:1", "bad-row"),
        ("a.jsonl:5:1", "duplicate-key"),
    ]
    assert findings[2].excerpt == "null"


@hypothesis.given(
    st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.yaml"]),
    st.text(st.sampled_from("[]{}\",:'\\u0dN1e \n\r\tabé\ufeff\u2028"), max_size=40) | st.binary(max_size=30),
)
def test_any_data_gives_rows_or_findings(path: str, text: str | bytes) -> None:
    """Whatever stands in a data file, reading it raises nothing, and what it gives can be encoded."""
    rows, findings = read_rows(path, text if isinstance(text, bytes) else text.encode())
    for row in rows:
        assert not isinstance(row.value, list)
        json.dumps(row.value, allow_nan=False, ensure_ascii=False).encode()
        assert row.location
        assert row.location.line >= 1
    assert all(problem.location and problem.location.line >= 1 for problem in findings)
