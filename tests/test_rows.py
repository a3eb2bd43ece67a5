"""A `for_each` that is a map: `where` and `limit`."""

import datetime as dt
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from contentops.errors import Diagnostic, Location
from contentops.manifests import workbook
from contentops.manifests.data import read_rows
from contentops.manifests.values import MAX_FINDINGS, DataRow
from tests.desired import declared, desired, findings, lines
from tests.running import Build

FILES = {"cities.csv": "city,people\nOslo,700\nRome,2800\nBern,\nkyiv,2900\nYork,1e3\nLima,10000\n"}


def rooted(project: Build, for_each: str, settings: str = "") -> Path:
    """A project whose one item has this `for_each`."""
    item = f"{{id: '{{{{ each.city | slugify }}}}', for_each: {for_each}, inputs: {{topic: 'x {{{{ each.city }}}}'}}}}"
    return declared(project, f"items:\n  - {item}\n", FILES, settings=settings)


@pytest.mark.parametrize(("choice", "expected"), [
    ("", "bern kyiv lima oslo rome york"), ("where: each.people | int(0) > 1000", "kyiv lima rome"),
    ("where: each.people == ''", "bern"), ("limit: 2", "oslo rome"),
    ("where: each.people | int(0) > 700, limit: 2", "kyiv rome"),
])  # fmt: skip
def test_rows_are_filtered_and_limited(project: Build, choice: str, expected: str) -> None:
    """In this order, and they stay in the order of the file."""
    root = rooted(project, f"{{data: cities.csv, {choice}}}")
    assert " ".join(spec.id for spec in desired(root).specs) == expected


REFUSED = [
    ("where: each.people", "bad-where", "(cities.csv:2) has a `where` that gives a text instead of true or false; 5 more"),
    ("where: each.people | int > 5", "template-value", "(cities.csv:4) has a problem in `where`: an empty text is not a"),
    ("where: each.size > 5", "undefined-variable", "<size> item `{{ each.city | slugify }}` (cities.csv:2) has a"),
    ("where: each.city >", "template-syntax", "has a problem in `where`"),
    ("where: each.city = 'Oslo'", "template-syntax", "(hint: compare with `==`)"),
    ("where: '{{ each.city }}'", "bad-where", "has `{{` or `{%` in `where` (hint: write the expression alone"),
    ("where: 'each.city }} b'", "bad-where", "that gives a text"),
    ("where: city == 'Oslo'", "bad-where", "uses `city` in `where`, which knows only `each` (hint: the column is `each.city`)"),
    ("where: item.id == 'x'", "bad-where", "uses `item` in `where`"),
    ('where: ref("x").title == each.city', "bad-where", "uses `ref` in `where`"),
    ("where: company == each.city", "bad-where", "uses `company` in `where`"),
    ("where: '''x'' * 9999999 == each.city'", "template-limit", "(cities.csv:2)"),
    ("where: true", "wrong-type", "`where` must be a text"),
    ("where: each.city == '-'", "empty-for-each", "makes no items: its `for_each` chooses none of the rows"),
    ("limit: 0", "wrong-value", "`limit` must be at least 1"),
    ("limt: 1", "unknown-key", "unknown key `limt`"),
    ("sort_by: city", "unknown-key", "unknown key `sort_by`"),
    ("join: {data: prices.csv, by: city}", "unknown-key", "unknown key `join`"),
]  # fmt: skip


@pytest.mark.parametrize(("choice", "code", "words"), REFUSED)
def test_a_choice_that_cannot_be_made_is_an_error(project: Build, choice: str, code: str, words: str) -> None:
    """At its position, with the row."""
    root = rooted(project, f"{{data: cities.csv, {choice}}}", settings="vars: {company: x}\n")
    line = next(line for line in lines(findings(root)) if f"[{code}]" in line)
    assert words in line
    assert "content/a.yaml:2" in line


@pytest.mark.parametrize("for_each", ["{}", "{where: each.a}", "{data: 1}"])
def test_a_map_of_the_wrong_shape_is_left_to_the_schema(project: Build, for_each: str) -> None:
    """One finding of the schema, and no other about what follows from it."""
    [line] = lines(findings(rooted(project, for_each)))
    assert "for_each" in line or "`data`" in line


def test_where_may_use_shared_macros(project: Build) -> None:
    """A problem inside one is shown there."""
    root = rooted(project, "{data: cities.csv, where: big(each) == 'yes'}", settings="macros: m.jinja\n")
    project({"m.jinja": "{% macro big(row) %}{{ 'yes' if row.people | int(0) > 5000 }}{% endmacro %}\n"})
    assert [spec.id for spec in desired(root).specs] == ["lima"]
    project({"m.jinja": "{% macro big(row) %}{{ row.size }}{% endmacro %}\n"})
    assert "m.jinja:1" in lines(findings(root))[0]


SHEET = "xl/worksheets/sheet1.xml"
ITEM = "items: [{{id: '{{{{ each.name | slug }}}}', for_each: {path}, inputs: {{topic: '{{{{ each.size }}}} x'}}}}]\n"


def book(*rows: Sequence[Any], edit: Callable[[Any], object] = lambda _: None, **sheets: Sequence[Any]) -> bytes:
    """A workbook with a sheet `Cities` of these rows, and other sheets with one row each."""
    made = Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.title = "Cities"
    for row in rows:
        sheet.append(list(row))
    for name, row in sheets.items():
        made.create_sheet(name).append(list(row))
    edit(sheet)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def changed(data: bytes, *, add: dict[str, bytes] | None = None, **replaced: str) -> bytes:
    """A workbook with parts added, and texts of the sheet replaced: `old` by `new`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            part = before.read(name)
            if name == SHEET and replaced:
                assert replaced["old"].encode() in part
                part = part.replace(replaced["old"].encode(), replaced["new"].encode())
            after.writestr(name, part)
        for name, part in (add or {}).items():
            after.writestr(name, part)
    return out.getvalue()


def rows_of(data: bytes, sheet: str = "") -> list[DataRow]:
    """The rows of a workbook without findings."""
    rows, problems = read_rows("b.xlsx", data, sheet)
    assert problems == []
    return rows


def refused(data: bytes, sheet: str = "") -> Diagnostic:
    """The one finding of a workbook."""
    rows, (problem,) = read_rows("b.xlsx", data, sheet)
    assert isinstance(rows, list)
    return problem


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("x", "x"), (" a\nb ", " a\nb "), ("007", "007"), ("1,5", "1,5"), (None, ""), (True, True), (5, 5), (1.0, 1),
        (0.1 + 0.2, 0.3), (1234567890123456, 1234567890123456), (-2.5, -2.5),
        (dt.datetime(2026, 3, 1), "2026-03-01"),  # noqa: DTZ001 - Excel has no time zones
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.datetime(2026, 3, 1, 9, 30, 15), "2026-03-01T09:30:15"),  # noqa: DTZ001
        (dt.time(9, 30), "09:30:00"),
        (dt.timedelta(hours=36, minutes=5), "36:05:00"),
        ("{{ x }}", "{{ x }}"),
    ],
)  # fmt: skip
def test_values_of_cells(cell: Any, expected: object) -> None:
    """Numbers and bools keep their type, dates are ISO text, and an empty cell is an empty text."""
    [row] = rows_of(book(["id", "value"], ["a", cell]))
    assert row.value == {"id": "a", "value": expected}
    assert type(row.value["value"]) is type(expected)


def test_rows_have_the_number_that_excel_shows() -> None:
    """Empty rows and columns are skipped, hidden rows are read, and columns without a name must be empty."""

    def edit(sheet: Any) -> None:
        sheet.row_dimensions[5].hidden = True
        sheet.column_dimensions["B"].hidden = True

    rows = rows_of(
        book([], ["name", None, "size", None], ["Oslo", None, 7], [None, "", None], ["Rome", None, 9], edit=edit)
    )
    assert [row.value for row in rows] == [{"name": "Oslo", "size": 7}, {"name": "Rome", "size": 9}]
    assert [row.location for row in rows] == [Location("b.xlsx", 3, 1), Location("b.xlsx", 5, 1)]
    assert rows_of(book(["name"])) == []


FORMULA = book(["k", "n"], ["a", "=1+1"])
UNREADABLE: list[tuple[bytes, str, tuple[int, int], str]] = [
    (FORMULA, "bad-cell", (2, 2), "cell B2 of the sheet `Cities` has a formula without a stored value"),
    (book(["k"], ["#REF!"]), "bad-cell", (2, 1), "cell A2 of the sheet `Cities` has the error `#REF!`"),
    (book(["k"], [1e300]), "bad-cell", (2, 1), "too large"),
    (book(["k"], ["a\x7f"]), "bad-cell", (2, 1), "control character U+007F"),
    (book(["k", "n"], ["a", 1], edit=lambda sheet: sheet.merge_cells("A2:A3")), "bad-cell", (2, 1), "A2:A3 of the sheet"),
    (book(["k", "l"], ["a", 1, 2]), "ragged-row", (2, 3), "cell C2 has a value, but its column has no name"),
    (book(["k", "k"], ["a", 1]), "bad-header", (1, 2), "columns A and B have the same name: `k`"),
    (book(["k "], ["a"]), "bad-header", (1, 1), "spaces around it"),
    (book(["Sales 2026"], [], ["name", "size"]), "ragged-row", (3, 2), "cell B3 has a value, but its column has no name"),
    (book(["Sales"], ["name", "size"], edit=lambda sheet: sheet.merge_cells("A1:B1")), "bad-cell", (1, 1), "the cells A1:B1 of the sheet `Cities` are merged"),
    (book(), "no-header", (1, 1), "the sheet `Cities` is empty"),
    (b"", "bad-workbook", (1, 1), "is not a readable workbook"),
    (b"PK\x03\x04" + b"\0" * 90, "bad-workbook", (1, 1), "is not a readable workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "bad-workbook", (1, 1), "protected with a password, or is an old"),
    (changed(book(["k"]), add={"xl/a.xml": b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'}), "bad-workbook", (1, 1), "no spreadsheet"),
    (changed(book(["k"]), add={"xl/media/a.bin": b"\0" * (workbook.MAX_UNPACKED + 1)}), "file-too-large", (1, 1), "MiB"),
    (changed(book(["k"]), old="</sheetData>", new="</sheet"), "bad-workbook", (1, 1), "is not a readable workbook"),
    (changed(book(["k"], [5]), old="<v>5</v>", new="<v>NaN</v>"), "bad-workbook", (1, 1), "is not a readable"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "code", "at", "words"), UNREADABLE, ids=[words[:30] for *_, words in UNREADABLE])
def test_what_cannot_be_read_is_an_error_at_its_cell(data: bytes, code: str, at: tuple[int, int], words: str) -> None:
    """Never a guess, and never a traceback."""
    problem = refused(data)
    assert (problem.code, problem.location) == (code, Location("b.xlsx", *at))
    assert words in problem.message
    assert problem.hint


def test_wide_and_many_problems_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells are counted with the empty ones before them, and after a hundred problems reading stops."""
    monkeypatch.setattr(workbook, "MAX_CELLS", 1_000)
    data = changed(book(["k"], ["a"]), old='r="A2"', new='r="XFD2"')
    assert refused(data).code == "file-too-large"
    assert len(read_rows("b.xlsx", book(["k"], *[["#N/A"]] * 500))[1]) == MAX_FINDINGS


def test_items_come_from_a_sheet(project: Build) -> None:
    """The path names the sheet, the origin its row, and the digest is that of the whole file."""
    data = book(["name", "size"], ["Oslo", 7], Other=["k"])
    root = declared(project, ITEM.format(path="data/b.xlsx#Cities"), {"data/b.xlsx": data})
    [spec] = desired(root).specs
    assert (spec.id, spec.request.inputs["topic"]) == ("oslo", "7 x")
    assert spec.variables["each.size"].location == Location("data/b.xlsx", 2, 1)
    assert desired(root).inputs == ("content/a.yaml", "data/b.xlsx")
    project({"data/b.xlsx": book(["name", "size"], ["Oslo", 8], Other=["k"])})
    assert desired(root).specs[0].request.inputs["topic"] == "8 x"
    [line] = lines(findings(declared(project, ITEM.format(path="data/b.xlsx"))))
    assert "error[unknown-sheet] data/b.xlsx:1:1" in line
    assert "name one: `data/b.xlsx#Cities`" in line
    data = book(["k"], ["a"], Prices=["k", "price"])
    assert (rows_of(data, "Cities")[0].value, rows_of(data, "Prices")) == ({"k": "a"}, [])
    assert "has 2 sheets: `Cities`, `Prices`" in refused(data).message
    assert refused(data, "cities").hint == "did you mean `Cities`?"


def test_a_row_far_below_is_refused(takes_seconds: None) -> None:
    """Excel has no such row, and all those above it would be read."""
    assert refused(changed(book(["k"], ["a"]), old='<row r="2"', new='<row r="99999999999"')).code == "file-too-large"


def test_a_missing_package_is_named(project: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Itself, as anyone may have the name of an extra's project on an index; the finding is at the path."""
    root = declared(project, ITEM.format(path="b.xlsx"), {"b.xlsx": book(["name", "size"], ["a", 1])})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    [line] = lines(findings(root))
    assert "error[no-openpyxl] content/a.yaml:1:" in line
    assert "needs `openpyxl`: install it into the environment of contentops" in line
