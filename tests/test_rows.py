"""A `for_each` that is a map: `where` and `limit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import Location
from tests.desired import declared, desired, findings, lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

FILES = {"cities.csv": "city,people\nOslo,700\nRome,2800\nBern,\nkyiv,2900\nYork,1e3\nLima,10000\n"}


def rooted(project: Build, for_each: str, topic: str = "x {{ each.city }}", settings: str = "") -> Path:
    """A project whose one item has this `for_each`."""
    item = f"{{id: '{{{{ each.city | slugify }}}}', for_each: {for_each}, inputs: {{topic: '{topic}'}}}}"
    return declared(project, f"items:\n  - {item}\n", FILES, settings=settings)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", "bern kyiv lima oslo rome york"),
        ("where: each.people | int(0) > 1000", "kyiv lima rome"),
        ("where: each.people == ''", "bern"),
        ("limit: 2", "oslo rome"),
        ("where: each.people | int(0) > 700, limit: 2", "kyiv rome"),
    ],
)
def test_rows_are_filtered_and_limited(project: Build, choice: str, expected: str) -> None:
    """In this order, and they stay in the order of the file."""
    root = rooted(project, f"{{data: cities.csv, {choice}}}")
    assert " ".join(spec.id for spec in desired(root).specs) == expected


def test_an_axis_is_combined_with_the_chosen_rows(project: Build) -> None:
    """`matrix` multiplies what `where` leaves, and each value keeps its location."""
    item = "{id: '{{ each.city }}{{ each.a }}', for_each: {data: cities.csv, where: each.city < 'P', limit: 2},"
    item += " matrix: {a: [1, 2]}, inputs: {topic: '{{ each.people }} x {{ each.a }}'}}"
    specs = desired(declared(project, f"items: [{item}]\n", FILES)).specs
    assert [spec.id for spec in specs] == ["Bern1", "Bern2", "Oslo1", "Oslo2"]
    assert specs[0].variables["each.people"].location == Location("cities.csv", 4, 1)
    assert specs[0].variables["each.a"].location == Location("content/a.yaml", 1, 122)


REFUSED = [
    (
        "where: each.people",
        "bad-where",
        "(cities.csv:2) has a `where` that gives a text instead of true or false; 5 more",
    ),
    (
        "where: each.people | int > 5",
        "template-value",
        "(cities.csv:4) has a problem in `where`: an empty text is not a",
    ),
    ("where: each.size > 5", "undefined-variable", "<size> item `{{ each.city | slugify }}` (cities.csv:2) has a"),
    ("where: each.city >", "template-syntax", "has a problem in `where`"),
    ("where: each.city = 'Oslo'", "template-syntax", "(hint: compare with `==`)"),
    ("where: '{{ each.city }}'", "bad-where", "has `{{` or `{%` in `where` (hint: write the expression alone"),
    ("where: 'each.city }} b'", "bad-where", "that gives a text"),
    (
        "where: city == 'Oslo'",
        "bad-where",
        "uses `city` in `where`, which knows only `each` (hint: the column is `each.city`)",
    ),
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
]


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
