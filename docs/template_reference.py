"""The reference of templates: every filter, test and method of the sandbox, with what each example gives.

The results are worked out when the page is written, by the sandbox itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from contentops.manifests.compiled import Compiled
from contentops.manifests.sandbox import METHODS
from contentops.manifests.values import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES: Final[Mapping[str, object]] = {
    "company": "Acme",
    "cities": ["Oslo", "Bergen", "Oslo"],
    "rows": [{"city": "Oslo", "size": 2}, {"city": "Bergen", "size": 1}],
    "words": "900",
    "note": "",
}
"""What the examples of the page know."""

FILTERS: Final[Mapping[str, tuple[str, str]]] = {
    "abs": ("the absolute value", "{{ -3 | abs }}"),
    "batch": ("pieces of a list, by length", "{{ cities | batch(2) | list }}"),
    "capitalize": ("first letter upper case, others lower case", "{{ 'new YORK' | capitalize }}"),
    "center": ("a centred text", "{{ company | center(8) }}"),
    "count, length": ("number of entries or characters", "{{ cities | count }}"),
    "d, default": (
        "a value for undefined names, with `true` also for empty ones",
        "{{ note | d('-', true) }}",
    ),
    "dictsort": ("the entries of a map, sorted by key", "{{ {'b': 1, 'a': 2} | dictsort }}"),
    "e, escape": ("`<`, `>`, `&` and quotes as HTML", "{{ 'a < b' | e }}"),
    "filesizeformat": ("a readable number of bytes", "{{ 5000 | filesizeformat }}"),
    "first": ("the first entry", "{{ cities | first }}"),
    "float": ("a number from a text; otherwise the default or an error", "{{ '1.5' | float }}"),
    "format": ("a text with `%` placeholders filled", "{{ '%s: %d' | format(company, 3) }}"),
    "groupby": (
        "groups of maps with one equal value",
        "{{ rows | groupby('city') | map('first') | list }}",
    ),
    "indent": ("indents every line but the first", "{{ 'a\\nb' | indent(2) }}"),
    "int": ("a whole number from a text; otherwise the default or an error", "{{ words | int }}"),
    "items": ("the entries of a map", "{{ {'a': 1} | items | list }}"),
    "join": ("a list as one text", "{{ cities | join(', ') }}"),
    "last": ("the last entry", "{{ cities | last }}"),
    "list": ("a list of the results of `map`, `select` and others", "{{ 'abc' | list }}"),
    "lower": ("lower case", "{{ company | lower }}"),
    "map": ("applies a filter to each entry, or takes one part of each", "{{ rows | map(attribute='city') | list }}"),
    "max": ("the largest", "{{ [1, 3, 2] | max }}"),
    "min": ("the smallest", "{{ [1, 3, 2] | min }}"),
    "reject": ("the entries that fail a test", "{{ [1, 2, 3] | reject('odd') | list }}"),
    "rejectattr": ("the same by a part of each", "{{ rows | rejectattr('size', '>', 1) | list }}"),
    "replace": ("a text with one part replaced", "{{ company | replace('A', 'a') }}"),
    "reverse": ("in reverse order", "{{ company | reverse }}"),
    "round": ("a number rounded to some digits", "{{ 2.567 | round(1) }}"),
    "select": ("the entries that pass a test", "{{ [1, 2, 3] | select('odd') | list }}"),
    "selectattr": ("the same by a part of each", "{{ rows | selectattr('city', '==', 'Oslo') | list }}"),
    "slice": ("pieces of a list, by number", "{{ cities | slice(2) | list }}"),
    "slugify": ("lower case, digits and dashes; see above", "{{ 'Łódź: 50% off!' | slugify }}"),
    "sort": ("sorted", "{{ cities | sort }}"),
    "string": ("a number or bool as text", "{{ 5 | string }}"),
    "striptags": ("a text without HTML", "{{ '<b>a</b>' | striptags }}"),
    "sum": ("the sum of numbers", "{{ rows | sum(attribute='size') }}"),
    "title": ("each word with an upper case letter", "{{ 'fair coffee' | title }}"),
    "tojson": ("JSON on one line, keys sorted", "{{ rows | first | tojson }}"),
    "trim": ("without white space around", "{{ '  a ' | trim }}"),
    "truncate": ("a text shortened to a length", "{{ 'a long text of words' | truncate(12) }}"),
    "unique": ("each entry once", "{{ cities | unique | list }}"),
    "upper": ("upper case", "{{ company | upper }}"),
    "urlencode": ("a text for a URL", "{{ 'a b/c' | urlencode }}"),
    "wordcount": ("number of words", "{{ 'a long text' | wordcount }}"),
    "wordwrap": ("a text wrapped at a width", "{{ 'a long text' | wordwrap(6) }}"),
}
"""Names of filters, meaning and example."""

TESTS: Final[Mapping[str, tuple[str, str]]] = {
    "boolean": ("a bool", "{{ true is boolean }}"),
    "callable": ("can be called", "{{ range is callable }}"),
    "defined": ("is defined", "{{ nothing is defined }}"),
    "divisibleby": ("can be divided without rest", "{{ 6 is divisibleby 3 }}"),
    "eq, equalto, ==": ("equal", "{{ [1, 2] | select('eq', 1) | list }}"),
    "escaped": ("marked as HTML; never true here", "{{ company is escaped }}"),
    "even": ("an even number", "{{ 2 is even }}"),
    "false": ("is `false`", "{{ false is false }}"),
    "filter": ("the name of a filter", "{{ 'slugify' is filter }}"),
    "float": ("a number with a fraction", "{{ 1.5 is float }}"),
    "ge, >=": ("at least", "{{ [1, 2] | select('ge', 2) | list }}"),
    "gt, greaterthan, >": ("more than", "{{ [1, 2] | select('gt', 1) | list }}"),
    "in": ("is an entry or a part of", "{{ 'Oslo' is in cities }}"),
    "integer": ("a whole number", "{{ 1 is integer }}"),
    "iterable": ("can be used in a loop", "{{ cities is iterable }}"),
    "le, <=": ("at most", "{{ [1, 2] | select('le', 1) | list }}"),
    "lower": ("lower case only", "{{ 'a' is lower }}"),
    "lt, lessthan, <": ("less than", "{{ [1, 2] | select('lt', 2) | list }}"),
    "mapping": ("a map", "{{ rows[0] is mapping }}"),
    "ne, !=": ("not equal", "{{ [1, 2] | select('ne', 1) | list }}"),
    "none": ("null", "{{ none is none }}"),
    "number": ("a number", "{{ words is number }}"),
    "odd": ("an odd number", "{{ 2 is odd }}"),
    "sameas": ("the identical value", "{{ true is sameas true }}"),
    "sequence": ("has a length and an order", "{{ cities is sequence }}"),
    "string": ("a text", "{{ words is string }}"),
    "test": ("the name of a test", "{{ 'odd' is test }}"),
    "true": ("is `true`", "{{ true is true }}"),
    "undefined": ("is not defined", "{{ nothing is undefined }}"),
    "upper": ("upper case only", "{{ 'A' is upper }}"),
}
"""Names of tests, meaning and example."""


_KINDS: Final = {"dict": "Maps", "list": "Lists", "str": "Texts", "tuple": "Groups of `groupby`"}


def result(example: str) -> object:
    """What an example gives. Raises TemplateError."""
    return Compiled(example).render(lambda name: NAMES.get(name, MISSING))


def lines() -> Iterator[str]:
    """The generated part of the page."""
    yield "The examples know these names:"
    yield ""
    yield "```yaml"
    yield from (f"{name}: {json.dumps(value)}" for name, value in NAMES.items())
    yield "```"
    yield ""
    yield "## Filters"
    yield ""
    yield from _table("Filter", FILTERS)
    yield ""
    yield "## Tests"
    yield ""
    yield "`{% if value is test %}`, and by name for `select`, `reject`, `selectattr` and `rejectattr`."
    yield ""
    yield from _table("Test", TESTS)
    yield ""
    yield "## Methods"
    yield ""
    for kind, names in METHODS:
        what = _KINDS.get(kind.__name__, "`loop`, inside `{% for %}`")
        yield f"- {what}: {', '.join(f'`{name}`' for name in sorted(names))}"


def _table(title: str, entries: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield f"| {title} | Meaning | Example | Gives |"
    yield "|---|---|---|---|"
    for names, (meaning, example) in entries.items():
        named = ", ".join(f"`{name}`" for name in names.split(", "))
        given = json.dumps(result(example), ensure_ascii=False)
        yield f"| {named} | {meaning} | {_code(example)} | {_code(given)} |"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
