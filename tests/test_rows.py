"""A `for_each` that is a map: `join`, `where`, `sort_by` and `limit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import Location
from tests.desired import declared, desired, findings, lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

FILES = {
    "cities.csv": "city,people\nOslo,700\nRome,2800\nBern,\nkyiv,2900\nYork,1e3\nLima,10000\n",
    "prices.csv": "city,price\nRome,9\nOslo,7\nBonn,3\n",
    "headed.csv": "city,price\n",
    "twice.csv": "city,price\na,1\nOslo,2\na,3\nOslo,4\n",
    "other.csv": "city,people\nOslo,7\n",
    "apart.csv": "city,price\noslo,7\n",
}


def rooted(project: Build, for_each: str, topic: str = "x", settings: str = "") -> Path:
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
        ("sort_by: people, limit: 3", "kyiv oslo rome"),
        ("sort_by: -people, limit: 2", "lima york"),
        ("sort_by: -people, limit: 5", "kyiv lima oslo rome york"),
        ("sort_by: city, limit: 2", "bern kyiv"),
        ("where: each.people | int(0) > 700, sort_by: people, limit: 1", "rome"),
        ("join: {data: prices.csv, by: city, unmatched: drop}", "oslo rome"),
        ("join: {data: prices.csv, by: city, unmatched: keep}, where: each.price == ''", "bern kyiv lima york"),
        ("join: {data: prices.csv, by: city, unmatched: drop}, sort_by: -price, limit: 1", "rome"),
        ("join: {data: [{city: Rome, price: 9}], by: city, unmatched: drop}, where: each.price == 9", "rome"),
    ],
)
def test_rows_are_joined_filtered_sorted_and_limited(project: Build, choice: str, expected: str) -> None:
    """In this order; numbers sort by size although they are texts, before texts, and empty cells come last."""
    root = rooted(project, f"{{data: cities.csv, {choice}}}")
    assert " ".join(spec.id for spec in desired(root).specs) == expected


def test_equal_rows_keep_their_order(project: Build) -> None:
    """Also in the reverse order, and capital letters make no difference."""
    for sign in ("", "-"):
        rows = "[{city: a, k: X}, {city: b, k: x}, {city: c, k: X}]"
        root = rooted(project, f"{{data: {rows}, sort_by: {sign}k, limit: 2}}")
        assert [spec.id for spec in desired(root).specs] == ["a", "b"]


def test_a_joined_value_has_the_location_of_its_row(project: Build) -> None:
    """The causes of a plan name the row of the second file; with `keep`, a missing one has that of the first."""
    root = rooted(
        project, "{data: cities.csv, join: {data: prices.csv, by: city, unmatched: keep}}", "{{ each.price }}x"
    )
    origins = {str(spec.id): spec.variables for spec in desired(root).specs}
    assert origins["rome"]["each.price"].location == Location("prices.csv", 2, 1)
    assert origins["rome"]["each.city"].location == Location("cities.csv", 3, 1)
    assert origins["bern"]["each.price"].location == Location("cities.csv", 4, 1)
    assert desired(root).inputs == ("cities.csv", "content/a.yaml", "prices.csv")


def test_an_axis_is_combined_with_the_chosen_rows(project: Build) -> None:
    """`matrix` multiplies what `where` leaves, and a joined column keeps its location."""
    item = "{id: '{{ each.city }}{{ each.a }}', for_each: {data: cities.csv, join: {data: prices.csv, by: city,"
    item += " unmatched: drop}}, matrix: {a: [1, 2]}, inputs: {topic: '{{ each.price }} x'}}"
    specs = desired(declared(project, f"items: [{item}]\n", FILES)).specs
    assert [spec.id for spec in specs] == ["Oslo1", "Oslo2", "Rome1", "Rome2"]
    assert specs[0].variables["each.price"].location == Location("prices.csv", 3, 1)


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
    ("sort_by: peeple", "unknown-column", "is sorted by `peeple`, which is no column (hint: did you mean `people`?)"),
    ("limit: 0", "wrong-value", "`limit` must be at least 1"),
    ("limt: 1", "unknown-key", "unknown key `limt`"),
    ("join: {data: prices.csv}", "missing-key", "`join` has no `by`"),
    ("join: {data: nope.csv, by: city}", "no-data-file", "`join` names `nope.csv`, which does not exist"),
    ("join: {data: headed.csv, by: city}", "bad-join", "joins `headed.csv`, which has no rows"),
    ("join: {data: prices.csv, by: town}", "unknown-column", "joins by `town`, which is no column of `cities.csv`"),
    ("join: {data: prices.csv, by: people}", "unknown-column", "joins by `people`, which is no column of `prices.csv`"),
    ("join: {data: other.csv, by: city}", "bad-join", "joins two files that both have the column `people`"),
    (
        "join: {data: twice.csv, by: city}",
        "bad-join",
        "where rows have the same `city`: `a` (twice.csv:2 and twice.csv:4), `Oslo` (twice.csv:3 and twice.csv:5) (hint",
    ),
    (
        "join: {data: prices.csv, by: city}",
        "bad-join",
        "where 4 rows have no match for `city`: `Bern` (cities.csv:4), `kyiv` (cities.csv:5), `York` (cities.csv:6) and 1",
    ),
    (
        "join: {data: apart.csv, by: city, unmatched: drop}",
        "bad-join",
        "where no row has a `city` of `cities.csv` (hint: they have `Oslo` (cities.csv:2) and `oslo`: capital letters",
    ),
    ("join: {data: ['{{ x }}'], by: city}", "template-in-data", "has Jinja in its data"),
    ("join: {data: [[1]], by: city, unmatched: all}", "wrong-value", "`unmatched` must be"),
]


@pytest.mark.parametrize(("choice", "code", "words"), REFUSED)
def test_a_choice_that_cannot_be_made_is_an_error(project: Build, choice: str, code: str, words: str) -> None:
    """At its position, with the row."""
    root = rooted(project, f"{{data: cities.csv, {choice}}}", settings="vars: {company: x}\n")
    line = next(line for line in lines(findings(root)) if f"[{code}]" in line)
    assert words in line
    assert "content/a.yaml:2" in line


@pytest.mark.parametrize("for_each", ["{}", "{where: each.a}", "{data: 1}", "{data: cities.csv, join: 1}"])
def test_a_map_of_the_wrong_shape_is_left_to_the_schema(project: Build, for_each: str) -> None:
    """One finding of the schema, and no other about what follows from it."""
    [line] = lines(findings(rooted(project, for_each)))
    assert "for_each" in line or "`data`" in line or "`join`" in line


def test_where_may_use_shared_macros(project: Build) -> None:
    """A problem inside one is shown there."""
    root = rooted(project, "{data: cities.csv, where: big(each) == 'yes'}", settings="macros: m.jinja\n")
    project({"m.jinja": "{% macro big(row) %}{{ 'yes' if row.people | int(0) > 5000 }}{% endmacro %}\n"})
    assert [spec.id for spec in desired(root).specs] == ["lima"]
    project({"m.jinja": "{% macro big(row) %}{{ row.size }}{% endmacro %}\n"})
    assert "m.jinja:1" in lines(findings(root))[0]
