"""Make the reference of template filters, tests and methods. Each filter has an example with its result.

The sandbox computes these results when the page is generated.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from contentops.manifests.compiled import Compiled
from contentops.manifests.sandbox import METHODS, sandbox
from contentops.manifests.values import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES: Final[Mapping[str, object]] = {
    "company": "Acme",
    "cities": ["Oslo", "Bergen", "Oslo"],
    "rows": [{"city": "Oslo", "size": 2}, {"city": "Bergen", "size": 1}],
    "words": "900",
}
"""What the examples of the page know."""

FILTERS: Final[Mapping[str, tuple[str, str]]] = {
    "e, escape": ("the text with `<`, `>`, `&` and quotes escaped for HTML", "{{ 'a < b' | e }}"),
    "float": ("the number in a text; a text without a number gives the default or an error", "{{ '1.5' | float }}"),
    "format": (
        "a text with values instead of its `%` placeholders. For dates, see above",
        "{{ '%s: %d' | format(company, 3) }}",
    ),
    "int": ("the whole number in a text; a text without a number gives the default or an error", "{{ words | int }}"),
    "join": ("a list as one text", "{{ cities | join(', ') }}"),
    "markdown_text": ("a Markdown text as plain text", "{{ '# Hi\\n**a** [b](/c)' | markdown_text }}"),
    "plural": (
        "the plural of an English word, or the given plural; the number 1 gives the singular",
        "{{ ['city' | plural, 'city' | plural(1), 'Stadt' | plural(3, 'Städte')] }}",
    ),
    "replace": ("a text with a phrase replaced", "{{ company | replace('A', 'a') }}"),
    "slug, slugify": ("a text in lower case with dashes ([rules](#slugify))", "{{ 'Łódź: 50% off!' | slug }}"),
    "string": ("a number or bool as text", "{{ 5 | string }}"),
    "sum": ("the sum of numbers", "{{ rows | sum(attribute='size') }}"),
    "tojson": ("JSON on one line, keys sorted", "{{ rows | first | tojson }}"),
    "truncate_words": (
        "the first words of a text, followed by the given ending if words are left out",
        "{{ 'some long text' | truncate_words(2, ' ...') }}",
    ),
}
"""The filters that Jinja does not have, or that work otherwise there: names, meaning and example."""

_FILTERS_OF_JINJA: Final = "https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-filters"
_TESTS_OF_JINJA: Final = "https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-tests"

_KINDS: Final = {"Day": "Dates", "dict": "Maps", "list": "Lists", "str": "Texts", "tuple": "Groups of `groupby`"}


def result(example: str) -> object:
    """Return the value of an example template. Raise TemplateError if it cannot be rendered."""
    return Compiled(example).render(lambda name: NAMES.get(name, MISSING))


def filters_of_jinja() -> list[str]:
    """Return the names of the filters that work exactly as in Jinja."""
    own = {name for names in FILTERS for name in names.split(", ")}
    return sorted(name for name in sandbox().filters if " " not in name and name not in own)


def lines() -> Iterator[str]:
    """Yield the lines of the generated part of the page about templates."""
    yield "The examples use these names:"
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
    yield f"These filters work as [in Jinja]({_FILTERS_OF_JINJA}): {_named(', '.join(filters_of_jinja()))}."
    yield ""
    yield "## Tests"
    yield ""
    yield "Use a test as in `{% if value is odd %}`, or by its name in a filter such as `select('odd')`."
    yield f"All [tests of Jinja]({_TESTS_OF_JINJA}) work."
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
