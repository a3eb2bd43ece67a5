"""Lines fitted to a terminal, and painted."""

from __future__ import annotations

import re

import pytest

from contentops.errors import Diagnostic, Location
from contentops.model import Action, Result
from contentops.reporting.diagnostics import diagnostics_text
from contentops.reporting.layout import fitted, unpainted
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import run_text
from tests.plans import make_change, make_outcome, make_plan, make_run


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        pytest.param("one two three four", ["one two", "three four"], id="plain"),
        pytest.param("  one two three", ["  one two", "  three"], id="indented"),
        pytest.param("  + one two three", ["  + one two", "    three"], id="after a sign"),
        pytest.param(
            "  \x1b[32m+\x1b[0m one two three", ["  \x1b[32m+\x1b[0m one two", "    three"], id="after a painted sign"
        ),
        pytest.param("a one two three", ["a one two", "three"], id="a word at the start is no sign"),
        pytest.param("and see `a b c` now", ["and see", "`a b c` now"], id="whole"),
    ],
)
def test_lines_break_between_words(line: str, lines: list[str]) -> None:
    """What follows stands under the first word, behind a sign if there is one; what is to be copied stays whole."""
    assert fitted(line, 12) == "\n".join(lines)
    assert fitted(line, 0) == line


@pytest.mark.parametrize(
    ("text", "painted"),
    [
        (
            diagnostics_text([Diagnostic(code="c", message="m", location=Location("a", 1), excerpt="x", hint="h")]),
            "\x1b[1;31merror[c]\x1b[0m",
        ),
        (
            plan_text(make_plan(make_change("a", Action.UPDATE), make_change("b", Action.BLOCKED)), verbose=False),
            "\x1b[33m~\x1b[0m",
        ),
        (run_text(make_run(make_outcome(result=Result.FAILED, hint="h"), stopped="x")), "\x1b[1;31mx\x1b[0m"),
    ],
    ids=["findings", "plan", "run"],
)
def test_color_is_only_paint(text: str, painted: str) -> None:
    """Each colour is ended, and what cannot show it gets the same words."""
    assert painted in text
    assert "\x1b" not in unpainted(text)
    assert len(re.findall(r"\x1b\[0m", text)) * 2 == len(re.findall(r"\x1b\[[0-9;]+m", text))
