"""Dates, plurals and plain texts in templates."""

from typing import Any

import pytest

from contentops.manifests.compiled import Compiled
from contentops.manifests.values import MISSING, TemplateError
from contentops.manifests.words import _DAYS, _MONTHS


def rendered(template: str, **values: Any) -> Any:
    """What a template gives."""
    return Compiled(template).render(lambda name: values.get(name, MISSING))


@pytest.mark.parametrize(("template", "expected"), [
    ("{{ date('2026-03-01') }}", "2026-03-01"),
    ("on {{ date('2026-03-01T09:30:00') }}", "on 2026-03-01"),
    ("{{ date('01.03.2026', '%d.%m.%Y') }}", "2026-03-01"),
    ("{{ date('3/1/2026', '%m/%d/%Y') | format('%Y-%m-%d') }}", "2026-03-01"),
    ("{{ date('2026-03-01') | format('%d %B %Y', 'de') }}", "01 März 2026"),
    ("{{ date('2026-03-01') | format('%A, %-d %b %y: %-m %%') }}", "Sunday, 1 Mar 26: 3 %"),
    ("{{ date('2026-03-02') | format('%A %-d de %B', 'es') }}", "lunes 2 de marzo"),
    ("{{ date('2026-03-01') | format(form='%B', language='pt') }}", "março"),
    ("{{ date('2026-03-01') < date('2026-11-01') }}", True),
    ("{{ date(date('2024-02-29')).day + date('2024-02-29').month + date('2024-02-29').year }}", 2055),
    ("{{ [date('2026-03-02'), date('2026-03-01')] | sort | first }}", "2026-03-01"),
    ("{{ date }}", "mine"),
    ("{{ '%s' | format('x') }}", "x"),
    ("{{ ['city', 'day', 'box', 'City', 'API', 'landing page', 'series'] | map('plural') | join(' ') }}", "cities days boxes Cities APIs landing pages series"),
    ("{{ 'child' | plural(0) }} {{ 'Person' | plural(1.5) }} {{ 'wife' | plural(1) }}", "children People wife"),
    ("{{ 'Stadt' | plural(1, 'Städte') }} {{ 'Stadt' | plural(2, many='Städte') }} {{ 'Ö' | plural }}", "Stadt Städte Ö"),
    ("{{ ' a  b\nc d ' | truncate_words(3) }}", "a b c…"),
    ("{{ 'a b' | truncate_words(2) }}{{ 'a' | truncate_words(0, end='') }}", "a b"),
    ("{{ text | markdown_text }}", "Hi\n\nsome bold code and a link\n\none\n\ntwo\n\na\tb\n\n1\t2"),
    ("{{ '<b>x</b> &amp; {{ y' | markdown_text }}", "<b>x</b> & {{ y"),
    ("{{ 'Łódź!' | slug }}", "lodz"),
])  # fmt: skip
def test_words(template: str, expected: object) -> None:
    """The same on every machine and day; a date is its ISO text."""
    text = "# Hi\n\nsome **bold** `code`\nand a [link](/x)\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    values = {"date": "mine"} if template == "{{ date }}" else {}
    value = rendered(template, text=text, **values)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("template", "words"), [
    ("{{ date('2026-02-30') }}", "`2026-02-30` is not a date"),
    ("{{ date('0000-01-01') }}", "is not a date"),
    ("{{ date('1.3.2026') }}", "`1.3.2026` is not a date"),
    ("{{ date('2026-03-01x') }}", "is not a date"),
    ("{{ date('') }}", "an empty text is not a date"),
    ("{{ date(none) }}", "null cannot be part of a text"),
    ("{{ date(gone) }}", "`gone` is not defined"),
    ("{{ date('x', '%d') }}", "the form of a date has `%Y`, `%m` and `%d`"),
    ("{{ date('x', '(%d|%m|%Y)+%d') }}", "the form of a date has"),
    ("{{ date() }}", "missing"),
    ("{{ date }}", "gives a function"),
    ("{{ date('2026-03-01') | format('%H') }}", "dates have no `%H` here"),
    ("{{ date('2026-03-01') | format('%b', 'de') }}", "dates have no `%b` here"),
    ("{{ date('2026-03-01') | format('%d', 'xx') }}", "dates have no language `xx`"),
    ("{{ date('2026-03-01') | format('%B' * 300000) }}", "makes a text or list longer"),
    ("{{ date('2026-03-01') + 1 }}", "cannot add a text and a whole number"),
    ("{{ date('2026-03-01').today }}", "has no `today` here"),
    ("{{ 'day' | plural('3') }}", "`plural` takes a number, not a text"),
    ("{{ 'day' | plural(true) }}", "takes a number, not a bool"),
    ("{{ none | plural }}", "null cannot be part of a text"),
    ("{{ 'a b' | truncate_words('2') }}", "a text"),
    ("{{ [1] | truncate_words(2) }}", "cannot be part of a text"),
    ("{{ ('*a_' * 300000) | markdown_text }}", "needs too many steps"),
    ("{{ 'x' | markdown_text(1) }}", "argument"),
])  # fmt: skip
def test_words_that_are_refused(template: str, words: str) -> None:
    """A mistake is an error, never a guess, and all work is charged for."""
    with pytest.raises(TemplateError) as error:
        rendered(template)
    assert words in error.value.message


def test_each_language_has_every_name() -> None:
    """Twelve months and seven days."""
    assert {name: len(months.split()) for name, months in _MONTHS.items()} == dict.fromkeys(_DAYS, 12)
    assert {len(days.split()) for days in _DAYS.values()} == {7}
