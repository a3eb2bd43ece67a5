"""The reference of templates: every filter, test and method of the sandbox, and what the examples of filters give.

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
    "batch": ("splits a list into pieces of a length", "{{ cities | batch(2) | list }}"),
    "capitalize": ("first letter upper case, others lower case", "{{ 'new YORK' | capitalize }}"),
    "center": ("a centred text", "{{ company | center(8) }}"),
    "count, length": ("number of entries or characters", "{{ cities | count }}"),
    "d, default": (
        "a value for undefined names; with `true`, also for empty ones",
        "{{ note | d('-', true) }}",
    ),
    "dictsort": ("the entries of a map, sorted by key", "{{ {'b': 1, 'a': 2} | dictsort }}"),
    "e, escape": ("`<`, `>`, `&` and quotes as HTML", "{{ 'a < b' | e }}"),
    "filesizeformat": ("a readable number of bytes", "{{ 5000 | filesizeformat }}"),
    "first": ("the first entry", "{{ cities | first }}"),
    "float": ("a number from a text; otherwise the default or an error", "{{ '1.5' | float }}"),
    "format": ("a text with `%` placeholders filled; for dates, see above", "{{ '%s: %d' | format(company, 3) }}"),
    "groupby": (
        "groups maps by the value of a key",
        "{{ rows | groupby('city') | map('first') | list }}",
    ),
    "indent": ("indents every line but the first", "{{ 'a\\nb' | indent(2) }}"),
    "int": ("a whole number from a text; otherwise the default or an error", "{{ words | int }}"),
    "items": ("the entries of a map", "{{ {'a': 1} | items | list }}"),
    "join": ("a list as one text", "{{ cities | join(', ') }}"),
    "last": ("the last entry", "{{ cities | last }}"),
    "list": ("a list of the results of `map`, `select` and others", "{{ 'abc' | list }}"),
    "lower": ("lower case", "{{ company | lower }}"),
    "map": ("applies a filter to each entry, or takes one key of each", "{{ rows | map(attribute='city') | list }}"),
    "markdown_text": ("the words of a Markdown text", "{{ '# Hi\\n**a** [b](/c)' | markdown_text }}"),
    "max": ("the largest", "{{ [1, 3, 2] | max }}"),
    "min": ("the smallest", "{{ [1, 3, 2] | min }}"),
    "plural": (
        "the plural, for a number other than 1; other languages than English state it",
        "{{ ['city' | plural, 'city' | plural(1), 'Stadt' | plural(3, 'Städte')] }}",
    ),
    "reject": ("the entries that fail a test", "{{ [1, 2, 3] | reject('odd') | list }}"),
    "rejectattr": ("`reject`, by a key of each entry", "{{ rows | rejectattr('size', '>', 1) | list }}"),
    "replace": ("a text with one part replaced", "{{ company | replace('A', 'a') }}"),
    "reverse": ("in reverse order", "{{ company | reverse }}"),
    "round": ("a number rounded to some digits", "{{ 2.567 | round(1) }}"),
    "select": ("the entries that pass a test", "{{ [1, 2, 3] | select('odd') | list }}"),
    "selectattr": ("`select`, by a key of each entry", "{{ rows | selectattr('city', '==', 'Oslo') | list }}"),
    "slice": ("splits a list into a number of pieces", "{{ cities | slice(2) | list }}"),
    "slug, slugify": ("lower case, digits and dashes; see above", "{{ 'Łódź: 50% off!' | slug }}"),
    "sort": ("sorted", "{{ cities | sort }}"),
    "string": ("a number or bool as text", "{{ 5 | string }}"),
    "striptags": ("a text without HTML", "{{ '<b>a</b>' | striptags }}"),
    "sum": ("the sum of numbers", "{{ rows | sum(attribute='size') }}"),
    "title": ("each word with an upper case letter", "{{ 'fair coffee' | title }}"),
    "tojson": ("JSON on one line, keys sorted", "{{ rows | first | tojson }}"),
    "trim": ("without white space at both ends", "{{ '  a ' | trim }}"),
    "truncate": ("a text shortened to a length", "{{ 'a long text of words' | truncate(12) }}"),
    "truncate_words": (
        "the first words, with single spaces and another end",
        "{{ 'a long text of words' | truncate_words(3, ' ...') }}",
    ),
    "unique": ("each entry once", "{{ cities | unique | list }}"),
    "upper": ("upper case", "{{ company | upper }}"),
    "urlencode": ("a text for a URL", "{{ 'a b/c' | urlencode }}"),
    "wordcount": ("number of words", "{{ 'a long text' | wordcount }}"),
    "wordwrap": ("a text wrapped at a width", "{{ 'a long text' | wordwrap(6) }}"),
}
"""Names of filters, meaning and example."""

TESTS: Final[Mapping[str, str]] = {
    "boolean": "a bool",
    "callable": "can be called",
    "defined": "is defined",
    "divisibleby": "can be divided without a remainder",
    "eq, equalto, ==": "equal",
    "escaped": "is marked as HTML; never true here",
    "even": "an even number",
    "false": "is `false`",
    "filter": "the name of a filter",
    "float": "a number with a fraction",
    "ge, >=": "at least",
    "gt, greaterthan, >": "more than",
    "in": "is an entry of a list or a part of a text",
    "integer": "a whole number",
    "iterable": "can be used in a loop",
    "le, <=": "at most",
    "lower": "lower case only",
    "lt, lessthan, <": "less than",
    "mapping": "a map",
    "ne, !=": "not equal",
    "none": "null",
    "number": "a number",
    "odd": "an odd number",
    "sameas": "the identical value",
    "sequence": "has a length and an order",
    "string": "a text",
    "test": "the name of a test",
    "true": "is `true`",
    "undefined": "is not defined",
    "upper": "upper case only",
}
"""Names of tests and meaning."""


_KINDS: Final = {"Day": "Dates", "dict": "Maps", "list": "Lists", "str": "Texts", "tuple": "Groups of `groupby`"}


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
    yield from ("| Filter | Meaning | Example | Gives |", "|---|---|---|---|")
    for names, (meaning, example) in FILTERS.items():
        given = json.dumps(result(example), ensure_ascii=False)
        yield f"| {_named(names)} | {meaning} | {_code(example)} | {_code(given)} |"
    yield ""
    yield "## Tests"
    yield ""
    yield "Use them as `{% if value is odd %}`, or by name: `{{ [1, 2, 3] | select('odd') | list }}` gives `[1, 3]`."
    yield ""
    yield from ("| Test | Meaning |", "|---|---|")
    yield from (f"| {_named(names)} | {meaning} |" for names, meaning in TESTS.items())
    yield ""
    yield "## Methods"
    yield ""
    for kind, methods in METHODS:
        what = _KINDS.get(kind.__name__, "`loop`, inside `{% for %}`")
        yield f"- {what}: {', '.join(f'`{name}`' for name in sorted(methods))}"


def _named(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"
