"""Findings as text and JSON."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.errors import Diagnostic, Location, Severity
from contentops.reporting.diagnostics import diagnostics_json, diagnostics_text, window
from contentops.reporting.layout import unpainted
from contentops.sanitize import columns
from contentops.schema_files import load_schema


def _finding(**fields: Any) -> Diagnostic:
    stated: dict[str, Any] = {"code": "some-code", "message": "something is wrong"}
    return Diagnostic(**stated | fields)


def test_a_finding_shows_its_place_and_the_way_out() -> None:
    """Severity, code, message, place, source line, caret and hint, as the design has it."""
    finding = Diagnostic(
        code="unknown-input",
        message="item `ai-adoption-guide` sets `audiance`, which template `blog_article_generator` does not take",
        location=Location("content/blog.yaml", 9, 11),
        excerpt='          audiance: "{{ persona }}"',
        width=8,
        hint="did you mean `target_audience`?",
    )
    assert unpainted(diagnostics_text([finding])) == (
        "error[unknown-input]: item `ai-adoption-guide` sets `audiance`, which template `blog_article_generator`"
        " does not take\n"
        "  --> content/blog.yaml:9:11\n"
        "   |\n"
        ' 9 |           audiance: "{{ persona }}"\n'
        "   |           ^^^^^^^^\n"
        "hint: did you mean `target_audience`?"
    )


def test_beyond_the_limit_errors_come_first() -> None:
    """A flood is cut, its errors last, and the count is that of all."""
    findings = [_finding(severity=Severity.WARNING, message=f"w{number}") for number in range(3)]
    text = unpainted(diagnostics_text([*findings, _finding(message="the error")], limit=2))
    assert text == (
        "error[some-code]: the error\n\nwarning[some-code]: w0\n\n… and 2 more; `--json` lists them all\n\n"
        "1 error, 3 warnings"
    )


def test_a_hint_of_several_lines_can_not_pose_as_a_finding() -> None:
    """Further lines of a hint are indented."""
    text = unpainted(diagnostics_text([_finding(hint="one\nerror[x]: two")]))
    assert text == "error[some-code]: something is wrong\nhint: one\n      error[x]: two"


@given(st.text(), st.text(), st.text(), st.text())
def test_no_finding_can_command_the_terminal(code: str, message: str, excerpt: str, file: str) -> None:
    """Whatever a finding holds, its text has no control character but line feeds."""
    finding = _finding(code=code, message=message, excerpt=excerpt, location=Location(file, 3, 5), hint=message)
    text = unpainted(diagnostics_text([finding]))
    assert all(character == "\n" or (character >= " " and character != "\x7f") for character in text)
    text.encode()


@pytest.mark.parametrize(
    ("line", "column", "width", "expected"),
    [
        pytest.param("key: value", 6, 5, ("key: value", 5, 5), id="plain"),
        pytest.param("\tkey: 1", 2, 3, ("    key: 1", 4, 3), id="tab before"),
        pytest.param("ab\tkey: 1", 4, 3, ("ab  key: 1", 4, 3), id="tab to its stop"),
        pytest.param("漢字: x", 5, 1, ("漢字: x", 6, 1), id="wide before"),
        pytest.param("k: 漢字", 4, 2, ("k: 漢字", 3, 4), id="wide marked"),
        pytest.param("k: e\u0301x", 6, 1, ("k: e\u0301x", 4, 1), id="combining before"),
        pytest.param("a\x1bb", 3, 1, ("a\\x1bb", 5, 1), id="escape before"),
        pytest.param("abc", 10, 4, ("abc", 3, 1), id="beyond the end"),
        pytest.param("abc", 2, 50, ("abc", 1, 2), id="mark beyond the end"),
        pytest.param("abc", 0, 0, ("abc", 0, 1), id="before the start"),
    ],
)
def test_the_caret_stands_below_its_word(line: str, column: int, width: int, expected: tuple[str, int, int]) -> None:
    """Columns are those of the terminal, not characters."""
    assert window(line, column, width) == expected


@pytest.mark.parametrize("column", [1, 50, 5_000, 1_000_000], ids=str)
def test_a_long_line_is_shown_around_its_mark(column: int) -> None:
    """A line of a megabyte is cut to what fits, with ellipses where something is missing."""
    line = "x" * (column - 1) + "WORD" + "y" * 1_000_000
    text, offset, length = window(line, column, 4)
    assert text[offset : offset + length] == "WORD"
    assert columns(text) <= 102
    assert text.endswith("…")
    assert text.startswith("…") == (column > 60)


def test_json_holds_everything_and_fits_the_schema() -> None:
    """Every field of every finding is there, and the counts."""
    place = Location("a.yaml", 2, 3)
    found = diagnostics_json(
        [_finding(location=place, excerpt="  x", width=1, hint="h"), _finding(severity=Severity.NOTE)]
    )
    jsonschema.validate(found, load_schema("diagnostics"))
    assert (found["errors"], found["warnings"], found["notes"]) == (1, 0, 1)
    assert found["diagnostics"][0] == {
        "severity": "error",
        "code": "some-code",
        "message": "something is wrong",
        "location": {"file": "a.yaml", "line": 2, "column": 3},
        "excerpt": "  x",
        "width": 1,
        "hint": "h",
    }
    assert found["diagnostics"][1]["location"] is None
