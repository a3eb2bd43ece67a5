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
    "abs": ("a number without its sign", "{{ -3 | abs }}"),
    "batch": ("a list in pieces of a length", "{{ cities | batch(2) | list }}"),
    "capitalize": ("the first letter large, the others small", "{{ 'new YORK' | capitalize }}"),
    "center": ("a text in the middle of a width", "{{ company | center(8) }}"),
    "count, length": ("how many entries or characters", "{{ cities | count }}"),
    "d, default": (
        "another value for what is not defined, with `true` also for what is empty",
        "{{ note | d('-', true) }}",
    ),
    "dictsort": ("the entries of a map by key", "{{ {'b': 1, 'a': 2} | dictsort }}"),
    "e, escape": ("`<`, `>`, `&` and quotes as HTML", "{{ 'a < b' | e }}"),
    "filesizeformat": ("a number of bytes in words", "{{ 5000 | filesizeformat }}"),
    "first": ("the first entry", "{{ cities | first }}"),
    "float": ("a number of a text; without a default anything else is an error", "{{ '1.5' | float }}"),
    "format": ("a text with its `%` filled in", "{{ '%s: %d' | format(company, 3) }}"),
    "groupby": (
        "lists of the maps that have one value in common",
        "{{ rows | groupby('city') | map('first') | list }}",
    ),
    "indent": ("every line but the first moved in", "{{ 'a\\nb' | indent(2) }}"),
    "int": ("a whole number of a text; without a default anything else is an error", "{{ words | int }}"),
    "items": ("the entries of a map", "{{ {'a': 1} | items | list }}"),
    "join": ("a list as one text", "{{ cities | join(', ') }}"),
    "last": ("the last entry", "{{ cities | last }}"),
    "list": ("a list of what `map`, `select` and the like go through", "{{ 'abc' | list }}"),
    "lower": ("small letters", "{{ company | lower }}"),
    "map": ("each entry through a filter, or one part of each", "{{ rows | map(attribute='city') | list }}"),
    "max": ("the largest", "{{ [1, 3, 2] | max }}"),
    "min": ("the smallest", "{{ [1, 3, 2] | min }}"),
    "reject": ("the entries that do not pass a test", "{{ [1, 2, 3] | reject('odd') | list }}"),
    "rejectattr": ("the same by a part of each", "{{ rows | rejectattr('size', '>', 1) | list }}"),
    "replace": ("a text with a part exchanged", "{{ company | replace('A', 'a') }}"),
    "reverse": ("from the end", "{{ company | reverse }}"),
    "round": ("a number with so many digits", "{{ 2.567 | round(1) }}"),
    "select": ("the entries that pass a test", "{{ [1, 2, 3] | select('odd') | list }}"),
    "selectattr": ("the same by a part of each", "{{ rows | selectattr('city', '==', 'Oslo') | list }}"),
    "slice": ("a list in so many pieces", "{{ cities | slice(2) | list }}"),
    "slugify": ("small letters, digits and dashes; see below", "{{ 'Łódź: 50% off!' | slugify }}"),
    "sort": ("in order", "{{ cities | sort }}"),
    "string": ("a number or bool as text", "{{ 5 | string }}"),
    "striptags": ("a text without HTML", "{{ '<b>a</b>' | striptags }}"),
    "sum": ("numbers added", "{{ rows | sum(attribute='size') }}"),
    "title": ("each word with a large letter", "{{ 'fair coffee' | title }}"),
    "tojson": ("JSON on one line, keys in order", "{{ rows | first | tojson }}"),
    "trim": ("no white space around", "{{ '  a ' | trim }}"),
    "truncate": ("a text cut at a length", "{{ 'a long text of words' | truncate(12) }}"),
    "unique": ("each entry once", "{{ cities | unique | list }}"),
    "upper": ("large letters", "{{ company | upper }}"),
    "urlencode": ("a text for a URL", "{{ 'a b/c' | urlencode }}"),
    "wordcount": ("how many words", "{{ 'a long text' | wordcount }}"),
    "wordwrap": ("a text in lines of a length", "{{ 'a long text' | wordwrap(6) }}"),
}
"""Names of filters, meaning and example."""

TESTS: Final[Mapping[str, tuple[str, str]]] = {
    "boolean": ("a bool", "{{ true is boolean }}"),
    "callable": ("can be called", "{{ range is callable }}"),
    "defined": ("is known", "{{ nothing is defined }}"),
    "divisibleby": ("no rest", "{{ 6 is divisibleby 3 }}"),
    "eq, equalto, ==": ("equal", "{{ [1, 2] | select('eq', 1) | list }}"),
    "escaped": ("marked as HTML; nothing here is", "{{ company is escaped }}"),
    "even": ("an even number", "{{ 2 is even }}"),
    "false": ("is `false`", "{{ false is false }}"),
    "filter": ("the name of a filter", "{{ 'slugify' is filter }}"),
    "float": ("a number with a fraction", "{{ 1.5 is float }}"),
    "ge, >=": ("at least", "{{ [1, 2] | select('ge', 2) | list }}"),
    "gt, greaterthan, >": ("more than", "{{ [1, 2] | select('gt', 1) | list }}"),
    "in": ("an entry or a part of", "{{ 'Oslo' is in cities }}"),
    "integer": ("a whole number", "{{ 1 is integer }}"),
    "iterable": ("a loop can run over it", "{{ cities is iterable }}"),
    "le, <=": ("at most", "{{ [1, 2] | select('le', 1) | list }}"),
    "lower": ("small letters only", "{{ 'a' is lower }}"),
    "lt, lessthan, <": ("less than", "{{ [1, 2] | select('lt', 2) | list }}"),
    "mapping": ("a map", "{{ rows[0] is mapping }}"),
    "ne, !=": ("not equal", "{{ [1, 2] | select('ne', 1) | list }}"),
    "none": ("null", "{{ none is none }}"),
    "number": ("a number", "{{ words is number }}"),
    "odd": ("an odd number", "{{ 2 is odd }}"),
    "sameas": ("the very same value", "{{ true is sameas true }}"),
    "sequence": ("has a length and an order", "{{ cities is sequence }}"),
    "string": ("a text", "{{ words is string }}"),
    "test": ("the name of a test", "{{ 'odd' is test }}"),
    "true": ("is `true`", "{{ true is true }}"),
    "undefined": ("is not known", "{{ nothing is undefined }}"),
    "upper": ("large letters only", "{{ 'A' is upper }}"),
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
