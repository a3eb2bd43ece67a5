import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.manifests.compiled import Compiled, Macros
from contentops.manifests.templates import TextTemplate
from contentops.manifests.values import MISSING, Lazy, TemplateError, as_json, is_template, slug_of
from contentops.manifests.words import _DAYS, _MONTHS
from tests.desired import PROJECT, declared, desired, findings, lines
from tests.running import Build

ITEM = Lazy(("id", "tags"), lambda name: {"id": "guide"}.get(name, MISSING))
NAMES: dict[str, Any] = {
    "company": "Acme", "year": 2026, "share": 1.5, "open": True, "nothing": None, "people": ["Ada", "Bo"],
    "place": {"city": "Oslo", "items": "two", "size": {"km": 4}},
    "each": {"city": "Bergen", "words": " 900 ", "note": "", "Long Name": "x"},
    "item": ITEM,
    "markdown": "# Hi\n\nsome **bold** `code`\nand a [link](/x)\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "rows": [{"n": 1, "kind": "a"}, {"n": 2, "kind": "b"}, {"n": 3, "kind": "a"}],
}  # fmt: skip


def look_up(name: str) -> Any:
    """What the templates of these tests know."""
    return NAMES.get(name, MISSING)


def render(source: str) -> Any:
    """What a template gives with NAMES."""
    return TextTemplate(source).render(look_up)


def failure(source: str) -> TemplateError:
    """The error a template ends in."""
    with pytest.raises(TemplateError) as caught:
        render(source)
    return caught.value


@pytest.mark.parametrize(("source", "expected"), [
    ("plain", "plain"), ("AI at {{ company }}", "AI at Acme"), ("{{company}}-{{ year }}!", "Acme-2026!"),
    ("{{ share }} and {{ open }}", "1.5 and true"), ("{{ year }}", 2026), ("{{ open }}", True), ("{{ share }}", 1.5),
    ("{{ nothing }}", None), ("{{ people }}", ["Ada", "Bo"]),
    ("{{ place }}", {"city": "Oslo", "items": "two", "size": {"km": 4}}), ("{{ place.size.km }}", 4),
    ("{{ place.items }}", "two"), ("{% for key in place.size.keys() %}{{ key }}{% endfor %}", "km"),
    ("{{ place['city'] }}", "Oslo"), ("{{ each['Long Name'] }}", "x"), ("{{ each.words | int }}", 900),
    ("{{ each.note | int(7) }}", 7), ("{{ each.words | float }}", 900.0), ("{{ each.note | float(0.5) }}", 0.5),
    ("{{ share | int }}", 1), ("{{ company }}\n", "Acme\n"), ("{{- company -}}", "Acme"), ("{# why #}{{ year }}", 2026),
    ("{{ '}}' }}", "}}"), ("{{ year }}{{ year }}", "20262026"), ("{% if open %}yes{% else %}no{% endif %}", "yes"),
    ("{% for name in people %}{{ loop.index }}{{ name }}{{ '' if loop.last else ', ' }}{% endfor %}", "1Ada, 2Bo"),
    ("{% for row in rows | groupby('kind') %}{{ row.grouper }}{{ row.list | length }}{% endfor %}", "a2b1"),
    ("{% set name = company ~ year %}{{ name }}", "Acme2026"), ("{% raw %}{{ company }}{% endraw %}", "{{ company }}"),
    ("{{ people | join(', ') }}", "Ada, Bo"), ("{{ rows | map(attribute='n') | list }}", [1, 2, 3]),
    ("{{ rows | join('-', attribute='n') }}", "1-2-3"), ("{{ people | map('upper') }}", ["ADA", "BO"]),
    ("{{ ' '.join(people | map('upper')) }}", "ADA BO"), ("{{ place.size.items() }}", [["km", 4]]),
    ("{{ place.size | tojson }}", '{"km":4}'), ("{{ 'a<b' | e }}", "a&lt;b"),
    ("{{ company.upper() | replace('C', 'k') }}", "AkME"), ("{{ company | replace('A', 'a', 1) }}", "acme"),
    ("{{ company.replace('A', 'a') }}", "acme"), ("{{ '-'.join(people) }}", "Ada-Bo"),
    ("{{ '%.2f' | format(share) }}", "1.50"), ("{{ '%(a)s!' | format(a=company) }}", "Acme!"),
    ("{{ '%s-%s' % (company, year) }}", "Acme-2026"),
    ("{{ '%(a-b)5s|%%9999(%(a-b)s)' % {'a-b': 'x'} }}", "    x|%9999(x)"), ("{{ 7 % 4 + 2 * 3 ** 2 }}", 21),
    ("{{ people + ['Cy'] }}", ["Ada", "Bo", "Cy"]), ("{{ people * 2 }}", ["Ada", "Bo", "Ada", "Bo"]),
    ("{{ company | center(8) }}", "  Acme  "), ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
    ("{{ 'one two' | wordwrap(3) }}", "one\ntwo"), ("{{ [1, 2, 3] | batch(2, 0) | list }}", [[1, 2], [3, 0]]),
    ("{{ year | string }}", "2026"), ("{{ missing_one | default('none') }}", "none"),
    ("{{ missing_one is defined }}", False), ("{{ range(3) | list }}", [0, 1, 2]),
    ("{{ company[0] ~ people[1] }}", "ABo"), ("{{ company[1:] ~ people[:1][0] }}", "cmeAda"),
    ("{{ 1 < year <= 2026 and 'c' in company }}", True),
    ("{{ year is divisibleby(2) and year is not odd and company is in(['Acme']) }}", True),
    ("{{ nothing is none }}", True), ("{{ 1 if 'Ada' in people else 2 }}", 1), ("{{ item.id }}", "guide"),
    ("{{ item['id'] ~ '!' }}", "guide!"), ("{{ (1, 2) }}", [1, 2]), ("{{ 'x' if false else company }}", "Acme"),
    ("{% set a %}{{ company }}!{% endset %}{{ a | upper }}", "ACME!"),
    ("{% set a, b = people %}{{ b }}{{ a }}", "BoAda"),
    ("{% with a = year, b = a | default(1) %}{{ a }}/{{ b }}{% endwith %}", "2026/1"),
    ("{% macro m(who, sign='!') %}Hi {{ who }}{{ sign }}{% endmacro %}{{ m(company) }}{{ m('x', sign='?') }}", "Hi Acme!Hi x?"),
    ("{% macro m() %}{{ varargs | join('-') }}{{ kwargs.a }}{% endmacro %}{{ m('x', 'y', a=company) }}", "x-yAcme"),
    ("{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}{{ company }}{% endcall %}", "<Acme>"),
    ("{% filter upper %}a{{ company }}{% endfilter %}", "AACME"),
    ("{% filter replace('a', 'b') | upper %}a{% endfilter %}", "B"),
    ("{% macro fib(n) %}{{ n if n | int < 2 else fib(n - 1) | int + fib(n - 2) | int }}{% endmacro %}{{ fib(9) }}", "34"),
    ("{{ (year if not open) | int(3) }}", 3), ("{{ place[gone] | default('x') }}", "x"),
    ("{{ [[1], [2]] | sum(start=[]) }}", [1, 2]), ("{{ rows | sum(attribute='n') }}", 6),
    ("{{ 1.456 | round(precision=2, method='floor') }}", 1.45), ("{{ 'a b' | wordwrap(1, wrapstring='|') }}", "a|b"),
    ("{{ 'a b' | wordwrap(width=1) }}", "a\nb"), ("{{ [1, 2, 3] | slice(2, fill_with=0) | list }}", [[1, 2], [3, 0]]),
    ("{{ [1, 2] | batch(linecount=1) | list }}", [[1], [2]]),
    ("{{ 'a\nb' | indent(width='> ', first=true) }}", "> a\n> b"),
    ("{{ people | select('in', ['Bo']) | list }}", ["Bo"]),
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
    ("{{ '%s' | format('x') }}", "x"),
    ("{{ ['city', 'day', 'box', 'City', 'API', 'landing page', 'series'] | map('plural') | join(' ') }}", "cities days boxes Cities APIs landing pages series"),
    ("{{ 'child' | plural(0) }} {{ 'Person' | plural(1.5) }} {{ 'wife' | plural(1) }}", "children People wife"),
    ("{{ 'Stadt' | plural(1, 'Städte') }} {{ 'Stadt' | plural(2, many='Städte') }} {{ 'Ö' | plural }}", "Stadt Städte Ö"),
    ("{{ ' a  b\nc d ' | truncate_words(3) }}", "a b c…"),
    ("{{ 'a b' | truncate_words(2) }}{{ 'a' | truncate_words(0, end='') }}", "a b"),
    ("{{ markdown | markdown_text }}", "Hi\n\nsome bold code and a link\n\none\n\ntwo\n\na\tb\n\n1\t2"),
    ("{{ '<b>x</b> &amp; {{ y' | markdown_text }}", "<b>x</b> & {{ y"),
    ("{{ 'Łódź!' | slug }}", "lodz"),
])  # fmt: skip
def test_what_a_template_gives(source: str, expected: object) -> None:
    """A whole expression keeps its JSON type; anything around it makes a text."""
    given_back = render(source)
    assert given_back == expected
    assert type(given_back) is type(expected)


def test_a_variable_hides_the_function_of_its_name() -> None:
    """No function that is added later changes what a template gives."""
    assert TextTemplate("{{ date }}").render({"date": "mine"}.__getitem__) == "mine"


def test_each_language_has_every_name() -> None:
    """Twelve months and seven days."""
    assert {name: len(months.split()) for name, months in _MONTHS.items()} == dict.fromkeys(_DAYS, 12)
    assert {len(days.split()) for days in _DAYS.values()} == {7}


@pytest.mark.parametrize(("source", "code", "words", "hint"), [
    ("Hi {{ compny }}", "undefined-variable", "`compny` is not defined", ""),
    ("{{ each.ctiy }}", "undefined-variable", "`each` has no `ctiy`", "did you mean `city`?"),
    ("{{ item.tags }}", "undefined-variable", "`item` has no `tags`", "does not set it"),
    ("{{ place.size.mm }}", "undefined-variable", "a map has no `mm`", "there are `km`"),
    ("{{ company.nope }}", "undefined-variable", "a text has no `nope`", ""),
    ("{{ people[9] }}", "undefined-variable", "a list has no `9`", ""),
    ("{{ missing_one.a.b }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ missing_one() }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ missing_one + 1 }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ 1 + missing_one }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ missing_one ~ 'x' }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ [missing_one] }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ missing_one | tojson }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ missing_one | int }}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{% if missing_one %}{% endif %}", "undefined-variable", "`missing_one` is not defined", ""),
    ("{{ place[gone] }}", "undefined-variable", "`gone` is not defined", ""),
    ("{{ (year if not open) + 1 }}", "template-error", "the inline if-expression", ""),
    ("{{ rows | sort(attribute='q') }}", "undefined-variable", "a map has no `q`", "there are `n`, `kind`"),
    ("{{ company", "template-syntax", "a `{{` is not closed", "close it with `}}`"),
    ("Hi {{ company and {{ year }}", "template-syntax", "a `{{` is not closed", "close it with `}}`"),
    ("Hi {{ company }, and more", "template-syntax", "a `{{` is not closed", "close it with `}}`"),
    ("{% if company yes", "template-syntax", "a `{%` is not closed", "close it with `%}`"),
    ("{# {{ old }} #} {{ company + }}", "template-syntax", "unexpected `}}`", ""),
    ("{{ company company }}", "template-syntax", "expected `}}`, got 'company'", ""),
    ("{% if company company %}{% endif %}", "template-syntax", "expected `%}`, got 'company'", ""),
    ("{% if company %}", "template-syntax", "the `{% if %}` is not closed", "end it with `{% endif %}`"),
    ("{% if company %}{% endfor %}", "template-syntax", "unknown tag `endfor`", "end it with `{% endif %}`"),
    ("{% for %}", "template-syntax", "expected an expression", ""),
    ("{{ company | uper }}", "template-syntax", "there is no filter `uper`", "did you mean `upper`?"),
    ("{% if company %}{{ company | uper }}{% endif %}", "template-syntax", "no filter `uper`", "`upper`"),
    ("{{ company is mising }}", "template-syntax", "there is no test `mising`", "did you mean"),
    ("{{ company | random }}", "template-syntax", "there is no filter `random`", "there are"),
    ("{{ company | int }}", "template-value", "`Acme` is not a whole number", "`int(0)`"),
    ("{{ each.note | int }}", "template-value", "an empty text is not a whole number", "`int(0)`"),
    ("{{ people | int }}", "template-value", "a list is not a whole number", "`int(0)`"),
    ("{{ company | float }}", "template-value", "`Acme` is not a number", "`float(0)`"),
    ("a {{ nothing }}", "template-value", "null cannot be part of a text", "default"),
    ("a {{ people }}", "template-value", "a list cannot be part of a text", "join"),
    ("a {{ place }}", "template-value", "a map cannot be part of a text", "such as `.city`"),
    ("{{ people | float }}", "template-value", "a list is not a number", "`float(0)`"),
    ("{{ [none] | join }}", "template-value", "null cannot be part", ""),
    ("{{ company.upper }}", "template-value", "a function", "only texts"),
    ("{{ {1: 2} }}", "template-value", "a key that is not text", ""),
    ("{{ item }}", "template-value", "gives a map", "only texts"),
    ("{{ 2 ** 70 }}", "template-value", "more than 64 bits", ""),
    ("{{ '1e999' | float }}", "template-value", "not finite", ""),
    ("{{ 1e999 }}", "template-value", "a number is not finite", ""),
    ("a {{ [-1e999, 1] | first }}", "template-value", "a number is not finite", ""),
    ("{{ 1" + "0" * 5000 + " }}", "template-limit", "a number has too many digits", ""),
    ("{{ ['x' * 100000] * 9000 }}", "template-limit", "needs too many steps", ""),
    ("{% include 'x' %}", "template-unsupported", "`{% include %}` is not available", "`macros` names"),
    ("{% extends 'x' %}", "template-unsupported", "`{% extends %}` is not available", ""),
    ("{% import 'x' as x %}", "template-unsupported", "`{% import %}` is not available", "`macros` names"),
    ("{% from 'x' import y %}", "template-unsupported", "`{% from %}` is not available", "`macros` names"),
    ("{% block a %}{% endblock %}", "template-unsupported", "`{% block %}` is not available", ""),
    ("{% set item.x = 1 %}", "template-unsupported", "`{% set name.attribute %}` is not available", ""),
    ("{% for a in people recursive %}{% endfor %}", "template-unsupported", "recursive %}` is not available", ""),
    ("{{ self }}", "template-unsupported", "`self` is not available", ""),
    ("{{ company | int(base=2) }}", "template-error", "a filter or call got an unexpected keyword", ""),
    ("{{ company | upper(1) }}", "template-error", "a filter or call takes 1 positional argument", ""),
    ("{{ '\\x00' }}", "template-value", "U+0000", ""),
    ("{{ '\\ud800' }}", "template-value", "U+D800", ""),
    ("{{ place | tojson(indent=2) }}", "template-error", "got an unexpected keyword argument 'indent'", ""),
    ("{% for letter in company %}{% endfor %}", "template-value", "cannot be looped over", "split"),
    ("{{ 1 / 0 }}", "template-error", "division by zero", ""),
    ("{{ 'a' + 1 }}", "template-value", "cannot add a text and a whole number", "`~` joins texts"),
    ("{{ year - each.words }}", "template-value", "cannot subtract a text from a whole number", "`| int`"),
    ("{{ people * share }}", "template-value", "cannot multiply a list by a number", ""),
    ("{{ place / 2 }}", "template-value", "cannot divide a map by a whole number", ""),
    ("{{ nothing ** 2 }}", "template-value", "cannot raise a null to the power of a whole number", ""),
    ("{{ -company }}", "template-value", "cannot write `-` before a text", ""),
    ("{{ each.words > 5 }}", "template-value", "cannot compare a text and a whole number", "convert"),
    ("{{ [2, 'a'] | sort }}", "template-value", "cannot compare a text and a whole number", "convert"),
    ("{{ year() }}", "template-error", "a whole number is not callable", ""),
    ("{{ 1 | join }}", "template-error", "a whole number is not iterable", ""),
    ("{{ 7 | wordwrap(1) }}", "template-value", "`wordwrap` does not accept this value: a whole number", ""),
    ("{{ people | indent }}", "template-value", "`indent` does not accept this value: a list", ""),
    ("{{ people | upper }}", "template-value", "a list cannot be part of a text", "join"),
    ("{{ company.upper | trim }}", "template-value", "a function cannot be part of a text", ""),
    ("{{ nothing | upper }}", "template-value", "null cannot be part of a text", "default"),
    ("{{ company | dictsort }}", "template-value", "`dictsort` does not accept this value: a text", ""),
    ("{{ company | truncate(2) }}", "template-value", "`truncate` does not accept this value: expected length >= 3, got 2", ""),
    ("{{ company | truncate(9, leeway=-1) }}", "template-value", "expected leeway >= 0, got -1", ""),
    ("{{ date('2026-02-30') }}", "template-value", "`2026-02-30` is not a date", ""),
    ("{{ date('0000-01-01') }}", "template-value", "is not a date", ""),
    ("{{ date('1.3.2026') }}", "template-value", "`1.3.2026` is not a date", ""),
    ("{{ date('2026-03-01x') }}", "template-value", "is not a date", ""),
    ("{{ date('') }}", "template-value", "an empty text is not a date", ""),
    ("{{ date(none) }}", "template-value", "null cannot be part of a text", ""),
    ("{{ date(gone) }}", "undefined-variable", "`gone` is not defined", ""),
    ("{{ date('x', '%d') }}", "template-value", "the form of a date has `%Y`, `%m` and `%d`", ""),
    ("{{ date('x', '(%d|%m|%Y)+%d') }}", "template-value", "the form of a date has", ""),
    ("{{ date() }}", "template-error", "missing", ""),
    ("{{ date }}", "template-value", "gives a function", ""),
    ("{{ date('2026-03-01') | format('%H') }}", "template-value", "dates have no `%H` here", ""),
    ("{{ date('2026-03-01') | format('%b', 'de') }}", "template-value", "dates have no `%b` here", ""),
    ("{{ date('2026-03-01') | format('%d', 'xx') }}", "template-value", "dates have no language `xx`", ""),
    ("{{ date('2026-03-01') | format('%B' * 300000) }}", "template-limit", "makes a text or list longer", ""),
    ("{{ date('2026-03-01') + 1 }}", "template-value", "cannot add a text and a whole number", ""),
    ("{{ date('2026-03-01').today }}", "undefined-variable", "has no `today` here", ""),
    ("{{ 'day' | plural('3') }}", "template-value", "`plural` takes a number, not a text", ""),
    ("{{ 'day' | plural(true) }}", "template-value", "takes a number, not a bool", ""),
    ("{{ none | plural }}", "template-value", "null cannot be part of a text", ""),
    ("{{ 'a b' | truncate_words('2') }}", "template-error", "a text", ""),
    ("{{ [1] | truncate_words(2) }}", "template-value", "cannot be part of a text", ""),
    ("{{ ('*a_' * 300000) | markdown_text }}", "template-limit", "needs too many steps", ""),
    ("{{ 'x' | markdown_text(1) }}", "template-error", "argument", ""),
])  # fmt: skip
def test_template_errors(source: str, code: str, words: str, hint: str) -> None:
    """Each mistake has a code, a sentence about what is wrong, and a hint where there is one."""
    error = failure(source)
    assert (error.code, words in error.message, hint in error.hint) == (code, True, True), (error.message, error.hint)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(9999) %}{% for b in range(9999) %}long text here{% endfor %}{% endfor %}",
        "{{ range(10 ** 9) | list }}",
        "{{ range(100000) | list | length + range(100000) | list | length + range(100000) | list | length }}",
        "{{ 'x' * 10 ** 9 }}", "{{ 10 ** 9 * 'x' }}", "{{ [1] * 10 ** 9 }}", "{{ 9 ** (9 ** 9) }}",
        "{{ (2 ** 4000) * (2 ** 4000) }}", "{{ 'x' | center(10 ** 9) }}", "{{ 'x' | center(width=10 ** 9) }}",
        "{{ 'x' | indent(10 ** 9, true) }}", "{{ ('a\n' * 200000) | indent(900) }}",
        "{{ 'x' | indent('y' * 100000, true) }}", "{{ [1] | batch(10 ** 9, 0) | list }}",
        "{{ [1] | slice(10 ** 9) | list }}", "{{ '%999999999d' % 1 }}", "{{ '%*d' | format(999999999, 1) }}",
        "{{ '%(a-b)9999999999999s' % {'a-b': 'x'} }}",
        "{{ '%()-9999999999999s' % {'': 'x'} }}",
        "{{ '%%%(a b).999999999f' % {'a b': 1.0} }}",
        "{{ '%(a\\n)*d' % {'a\\n': 1} }}", "{{ '%.999999999f' | format(1.0) }}",
        "{{ ('%s' * 1000) | format(*['x' * 1000000] * 1000) }}",
        "{{ ('a' * 1000) | replace('a', 'b' * 100000) }}",
        "{{ ('a' * 1000).replace('a', 'b' * 100000) }}",
        "{{ ('a' * 3000) | replace('', 'b' * 3000) }}",
        "{{ ('a' * 1000000).join(['b'] * 1000) }}",
        "{{ (['a' * 1000] * 100000) | join }}", "{{ ['b', 'c'] | join('a' * 1048576) }}",
        "{% set a = 'x' * 1000 %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
        "{% set a = 'x' * 1000 %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
        "{% set a = 'x' * 500000 %}{{ a }}{{ a }}{{ a }}",
        "{% set a = 'x' * 1000000 %}{% for b in range(20000) %}{{ (a | upper)[0] }}{% endfor %}",
        "{% set a = 'x' * 1000000 %}{% for b in range(20000) %}{{ a.upper()[0] }}{% endfor %}",
        "{% set l = [1] * 1000 %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}",
        "{% set l = [1] * 1000000 %}{% for a in range(9999) %}{{ 2 in l }}{% endfor %}",
        "{% set l = [1] * 1000000 %}{% for a in range(9999) %}{% set m = l[1:] %}{% endfor %}",
        "{% set l = [1] * 1000000 %}{% for a in range(9999) %}{{ 2 is in(l) }}{% endfor %}",
        "{% set l = [1] * 1000000 %}{% for a in range(9999) %}{{ l is eq([1] * 1000000) }}{% endfor %}",
        "{{ [[[1] * 1000] * 1000] * 1000 }}",
        "{{ [[[1] * 1000] * 1000] * 1000 == [[[1] * 1000] * 1000] * 1000 }}",
        "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a == a }}",
        "{% set a = [1, 1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a | upper }}",
        "{% set a = {'x': 1} %}" + "{% set a = {'x': a, 'y': a} %}" * 40 + "{{ a | tojson }}",
        "{% set a = 'x' * 1000000 %}" + "{{ [" + "a, " * 1000 + "] | map('upper') | list | length }}",
        "{% set a = (1, 1) %}" + "{% set a = (a, a) %}" * 40 + "{{ {a: 1} }}",
        "{% set a = (1, 1) %}" + "{% set a = (a, a) %}" * 40 + "{{ {}[a] }}",
        "{% set a = (1, 1) %}" + "{% set a = (a, a) %}" * 40 + "{{ {}.get(a) }}",
        "{{ 1 | round(10 ** 9, 'ceil') }}",
        "{{ ([[]] * 4000) | sum(start=[1] * 1000000) }}",
        "{{ range(9999) | select('in', [-1] * 100000) | list }}",
        "{{ 'x y' | wordwrap(1, wrapstring='z' * 1000000) }}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m0() %}x{% endmacro %}"
        + "".join(f"{{% macro m{n + 1}() %}}{{{{ m{n}() }}}}{{{{ m{n}() }}}}{{% endmacro %}}" for n in range(40))
        + "{{ m40() }}",
        "{% macro d(a) %}{{ a }}{{ a }}{% endmacro %}{% set a = 'x' * 1000 %}" + "{% set a = d(a) %}" * 40 + "{{ a }}",
        "{% macro c() %}{{ caller() }}{{ caller() }}{% endmacro %}"
        + "{% call c() %}" * 30
        + "x"
        + "{% endcall %}" * 30,
        "{% set x = 'y' * 1000000 %}{% set b %}{% for i in range(9999) %}{{ x }}{% endfor %}{% endset %}",
        "{% set b %}{% for i in range(9999) %}" + "z" * 100000 + "{% endfor %}{% endset %}{{ b }}",
        "{% filter upper %}{% for i in range(9999) %}" + "z" * 100000 + "{% endfor %}{% endfilter %}",
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{{ " + "[" * 150 + "1" + "]" * 150 + " }}",
        "{% if 1 %}" * 150 + "{% endif %}" * 150, "{{ 'x' * 1000 }}" + " " * (1024 * 1024),
    ],
)  # fmt: skip
def test_bombs_are_refused_quickly(source: str) -> None:
    """What would take long or fill memory is stopped by the budget, not by patience."""
    started = time.process_time()
    error = failure(source)
    assert error.code in {"template-limit", "template-value"}
    assert time.process_time() - started < 5


@pytest.mark.parametrize("source", [
    "{{ ().__class__.__bases__ }}", "{{ '{0.__class__}'.format('') }}", "{{ company | shell }}",
    "{% set x = [] %}{{ x.append(x) }}", "{{ company.__class__ }}", "{{ company['__class__'] }}",
    "{{ company.format }}", "{{ company.format_map }}", "{{ company.encode() }}", "{{ company.ljust(9) }}",
    "{{ people.append(1) }}", "{{ place.update }}", "{{ (people | map('upper')).gi_frame }}", "{{ range.__self__ }}",
    "{{ loop }}", "{{ lipsum() }}", "{{ cycler }}", "{{ namespace() }}", "{{ dict(a=1) }}", "{{ joiner }}",
    "{{ rows | map(attribute='__class__') | list }}", "{{ company | attr('__class__') }}", "{{ now() }}",
    "{{ company | pprint }}", "{{ {} | xmlattr }}", "{{ caller }}",
])  # fmt: skip
def test_nothing_else_can_be_reached(source: str) -> None:
    """Python's inside, clocks, random numbers and Jinja's own extras are not there."""
    assert failure(source).code in {"undefined-variable", "template-syntax", "template-value"}


@pytest.mark.parametrize(("source", "at"), [
    ("{{ compny }}", "compny"), ("first\nsecond {{ company }} and {{ compny }}\nthird", "compny"),
    ("company: {{ each.ctiy }}", "ctiy"), ("a\n{{ company | int }}", "int }}"), ("a\nb {% include 'x' %}", "include"),
    ("a\n\n{{ company company }}", "company }}"),
    ("{{ company | upper }} {{ 1 + (company | length) + (year - each.words) }}", "1 + (company"),
    ("{{ 1 + (company | length + people) }}", "1 + (company"), ("{{ 3 + each.words + 2 }}", "3 + each"),
    ("{{ [1, 2 * share, 'é' ~ people] }}", "[1, 2"), ("{% if year > 1 and each.words > 5 %}x{% endif %}", "if year"),
    ("a {{ people }} b {{ place }}", "people }} b"), ("a {{ company }} b {{ place }}", "place }}"),
    ("{{ company.replace(1, 'x') }}", "company.replace"), ("{{ company\n   | title\n   | float }}", "float }}"),
    ("{% for one in people -%}\n  {{ one }}\n  {{- one + 1 }}{% endfor %}", "one + 1"),
    ("{% raw %}{{ x }}{% endraw %}{{ year + company }}", "year + company"),
    ("{% if year %}{% endif %}{% if company %}", "if company"), ("{% set a = compny %}{{ a }}", "compny"),
    ("{{ company | uper }}", "uper"), ("{% if company %}\n{{ compny }}{% endif %}", "compny"), ("{{", "{{"),
])  # fmt: skip
def test_errors_point_into_the_template(source: str, at: str) -> None:
    """An error points to the filter or the name that it is about, or else to the start of its tag."""
    assert source[failure(source).offset :].startswith(at)


@pytest.mark.parametrize(("text", "slug"), [
    ("Oslo", "oslo"), ("  Coworking in Łódź -- 50% off! ", "coworking-in-lodz-50-off"),
    ("Über Straße, Ærø & Þór", "uber-strasse-aero-thor"), ("It's what\u2019s new", "its-whats-new"),
    ("Việt Nam", "viet-nam"), ("\u0130stanbul D\u0131yarbak\u0131r", "istanbul-diyarbakir"), ("東京 Tokyo", "tokyo"),
    ("ﬁle\u2460 x²", "file1-x2"),
])  # fmt: skip
def test_slugify(text: str, slug: str) -> None:
    """Small letters, digits and single dashes, the same with every Python; accents are taken off."""
    assert slug_of(text) == slug


@given(st.text(max_size=40))
def test_a_slug_is_plain(text: str) -> None:
    """Whatever the text, a slug holds nothing else, and is its own slug."""
    slug = slug_of(f"{text} 1")
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert (slug_of(slug), failure("{{ '' | slugify }}").message) == (slug, "an empty text gives no slug")
    assert failure("{{ '東京' | slugify }}").message == "`東京` has no letter or digit for a slug"


def test_inputs_in_metadata(project: Build) -> None:
    """The rendered inputs are known as `inputs` outside of them; what they use counts as used by the item."""
    root = declared(
        project,
        """
        vars: {city: Oslo}
        items:
          - id: one
            output: "{{ inputs.topic | slugify }}.md"
            inputs: {topic: "In {{ city }}"}
            metadata: {title: "{{ inputs.topic }}!", words: "{{ inputs.words if inputs.words is defined }}"}
          - id: two
            vars: {inputs: {topic: mine}}
            inputs: {topic: "{{ inputs.topic }}"}
          - {id: "x-{{ each.id }}", for_each: rows.csv, inputs: {topic: "{{ each.t }}"}}
        """,
        {"rows.csv": "id,t\n1,{{ item.id }}\n"},
    )
    one, two, row = desired(root).specs
    assert row.request.inputs == {"topic": "{{ item.id }}"}, "data is never a template"
    assert (one.output, one.metadata) == ("in-oslo.md", {"title": "In Oslo!"})
    assert one.origins["metadata.title"].variables == ("city",)
    assert two.request.inputs == {"topic": "mine"}


TEXTS = st.text(alphabet="ab {}%#\n-|'\"é", max_size=12)
LOOKUPS = (
    "{{ company }}", "{{year}}", "{{ place.city }}", "{{ each.note }}", "{{ gone }}", "{{ place.gone }}", "{{ open }}",
    "{{ people }}", "{{ true }}", "{{ nothing }}", "{{ not }}",
)  # fmt: skip


@given(st.lists(TEXTS | st.sampled_from(LOOKUPS), max_size=5).map("".join))
def test_plain_lookups_give_what_jinja_gives(source: str) -> None:
    """The way around Jinja for plain look-ups never changes what a template gives."""
    if not is_template(source):
        return
    assert outcome(lambda: TextTemplate(source).render(look_up)) == outcome(lambda: Compiled(source).render(look_up))


def outcome(make: Any) -> object:
    """A value with its type, or an error with its place, so that two ways can be compared."""
    try:
        value = make()
    except TemplateError as error:
        return error.code, error.message, error.offset
    return type(value), value


CHAIN = ", ".join(f"v{n}: '{{{{ v{n + 1} }}}}'" for n in range(300))


@pytest.mark.parametrize(("variables", "inputs", "expected"), [
    ("{a: '{{ b }}', b: '{{ a }}'}", "{topic: '{{ b }}'}", "`a` -> `b` -> `a`"),
    ("{a: '{{ a }}'}", "{topic: '{{ a }}'}", "`a` -> `a`"),
    ("{a: '{{ item.inputs.topic }}'}", "{topic: '{{ a }}'}", "`a` -> `item.inputs` -> `a`"),
    (f"{{{CHAIN}, v300: end}}", "{topic: '{{ v0 }}'}", "`item.inputs` depends on a chain of more than 50 other values"),
], ids=["two", "one", "inputs", "endless"])  # fmt: skip
def test_circles_and_endless_chains_are_named(project: Build, variables: str, inputs: str, expected: str) -> None:
    """Values that need each other are an error that names the whole circle, once; so is a chain without end."""
    root = declared(
        project,
        f"items: [{{id: one, inputs: {inputs}}}, {{id: two, inputs: {inputs}}}]\n",
        settings=f"vars: {variables}\n",
    )
    [line] = lines(findings(root))
    assert line.startswith(("error[variable-cycle]", "error[template-limit]"))
    assert expected in line


def test_one_reason_at_one_place_is_one_finding(project: Build) -> None:
    """Rows and items that fail alike are counted in the finding of the first."""
    root = declared(
        project,
        """
        items:
          - id: "c-{{ each.id }}"
            for_each: rows.csv
            inputs: {topic: "{{ each.tpic }}"}
          - {id: one, inputs: {topic: "{{ v }}"}}
          - {id: two, inputs: {topic: "{{ v }}"}}
        """,
        {
            "content/b.yaml": "items: [{id: three, inputs: {topic: '{{ v }}'}}]\n",
            "rows.csv": "id,topic\n1,x\n2,y\n3,z\n",
        },
        settings="  \nvars: {v: '{{ wrong }}'}\n",
    )
    assert lines(findings(root)) == [
        (
            "error[undefined-variable] content/a.yaml:5:30 <tpic> item `c-{{ each.id }}` (rows.csv:2) has a problem in "
            "`inputs.topic`: `each` has no `tpic`; 2 more items have the same problem (hint: did you mean `topic`?)"
        ),
        (
            "error[undefined-variable] contentops.yaml:6:15 <wrong> variable `v`: `wrong` is not defined; "
            "1 more file has the same problem (hint: there are `environment`, `inputs`, `item`, `project`, `v`; others are declared under `vars`)"
        ),
    ]


@pytest.mark.parametrize(("item", "expected"), [
    ("id: one, vars: {v: '{{ nope }}'}, inputs: {topic: '{% if false %}{{ v }}{% endif %}x'}", ["variable `v`: `nope` is not defined"]),
    ("id: one, vars: {v: '{{ nope }}'}, inputs: {topic: '{% for a in [] %}{{ v }}{% endfor %}x'}", ["variable `v`: `nope` is not defined"]),
    (
        "id: one, inputs: {topic: x, points: ['{{ no1 }}', {deep: '{{ no2 }}'}, fine]}",
        ["item `one` has a problem in `inputs.points`: `no1` is not defined", "`no2` is not defined"],
    ),
    (
        "id: 'a{{ each.value }}', for_each: [1], vars: {v: '{{ each.nope }}'}, inputs: {topic: '{{ v }}'}",
        ["item `a{{ each.value }}` (content/a.yaml:1:46) uses the variable `v`: `each` has no `nope`"],
    ),
    ("id: one, inputs: {topic: x}, metadata: {a: '{{ inputs.tpic }}'}", ["<tpic> item `one` has a problem in `metadata.a`: `inputs` has no `tpic` (hint: did you mean `topic`?)"]),
    ("id: one, inputs: {topic: x, words: '{{ inputs.topic }}'}", ["error[variable-cycle]"]),
    ("id: one, inputs: {topic: '{{ 1 + company }}'}, metadata: {a: '{{ inputs.topic }}'}", ["`company` is not defined"]),
    ("id: one, inputs: {topic: '{{ inpts.topic }}'}", ["`inpts` is not defined (hint: did you mean `inputs`?)"]),
    ("id: '{{ item.id }}', inputs: {topic: x}", ["`item.id` -> `item.id`"]),
    ("id: '{{ item.mode ~ item.output }}', inputs: {topic: x}", ["`item` has no `output`"]),
])  # fmt: skip
def test_problems_of_items(project: Build, item: str, expected: list[str]) -> None:
    """Each broken template is reported once, whoever asks for it, with the name of what it stands in."""
    root = declared(project, f"items: [{{{item}}}]\n")
    assert all(words in line for words, line in zip(expected, lines(findings(root)), strict=True))


MACROS = """\
{# names and signs #}
{% set sign = '!' %}
{% macro greet(who) %}{{ _polite(who) }}{{ sign }}{% endmacro %}
{% macro _polite(who) %}Dear {{ who }} of {{ company }}{% endmacro %}
{% macro row() -%}
  {{ each.city }}
{%- endmacro %}
{% macro broken(what) %}
  {{ what }} {{ nowhere }}
{% endmacro %}
"""


def with_macros(source: str) -> Compiled:
    """A template that knows the macros of a file."""
    return Compiled(source, Macros(MACROS))


@pytest.mark.parametrize(("source", "expected", "names"), [
    ("{{ greet('Ada') }}", "Dear Ada of Acme!", ("company", "greet")),
    ("{% for who in people %}{{ greet(who) }} {% endfor %}", "Dear Ada of Acme! Dear Bo of Acme! ", ("company", "greet", "people")),
    ("{{ row() | upper }}", "BERGEN", ("each.city", "row")),
    ("{% macro greet(who) %}Yo {{ who }}{% endmacro %}{{ greet(company) }}", "Yo Acme", ("company",)),
    ("{{ company }}", "Acme", ("company",)), ("{{ place.city }} or {{ each.city }}", "Oslo or Bergen", ("each.city", "place")),
    ("{{ greet is defined }}", True, ("company", "greet")),
])  # fmt: skip
def test_shared_macros(source: str, expected: object, names: tuple[str, ...]) -> None:
    """A macro reads the variables of its caller, which count as used; its own names do not."""
    compiled = with_macros(source)
    assert (compiled.names, compiled.render(look_up)) == (names, expected)


@pytest.mark.parametrize(("source", "message", "at", "in_macros"), [
    ("x {{ broken(company) }}", "`nowhere` is not defined", "nowhere", True),
    ("x\n{{ broken(gone) }}", "`gone` is not defined", "gone", False),
    ("x {{ _polite(1) }}", "`_polite` is not defined", "_polite", False),
    ("x {{ greet(1, 2) }}", "macro 'greet' takes not more than 1 argument(s)", "greet(", False),
    ("x {{ greet([1]) }}", "a list cannot be part of a text", "who }} of", True),
])  # fmt: skip
def test_errors_in_macros_are_told_apart(source: str, message: str, at: str, in_macros: bool) -> None:
    """An error inside a macro points into its file, one in what was handed to it into the template."""
    with pytest.raises(TemplateError) as caught:
        with_macros(source).render(look_up)
    assert (caught.value.message, caught.value.in_macros) == (message, in_macros)
    assert (MACROS if in_macros else source)[caught.value.offset :].startswith(at)


@pytest.mark.parametrize(("macros", "code", "words"), [
    ("{% macro a() %}", "template-syntax", "is not closed"),
    ("{% macro a() %}{% endmacro %}\n{% macro a() %}{% endmacro %}", "bad-name", "`a` is defined twice"),
    ("{% macro item() %}{% endmacro %}", "bad-name", "`item` has the name of a variable"),
    ("Hello", "template-unsupported", "only `{% macro %}` and `{% set %}`"),
    ("{{ company }}", "template-unsupported", "only"),
    ("{% import 'x' as x %}", "template-unsupported", "{% import %}"),
    ("{% macro a() %}{{ 1 | nope }}{% endmacro %}", "template-syntax", "no filter `nope`"),
])  # fmt: skip
def test_files_of_macros_are_checked(macros: str, code: str, words: str) -> None:
    """What is wrong with the file itself is told once, before any template uses it."""
    with pytest.raises(TemplateError) as caught:
        Macros(macros, {"item"})
    assert (caught.value.code, words in caught.value.message) == (code, True), caught.value.message


def test_depth_of_values_is_bounded() -> None:
    """A value nested without end is refused rather than walked."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TemplateError, match="nested"):
        as_json(value)


@pytest.mark.parametrize(("macros", "topic", "expected"), [
    (MACROS, "{{ broken(1) }}", "error[undefined-variable] templates/macros.j2:9:17 <nowhere> item `one` has a problem in `inputs.topic`"),
    (MACROS, "{{ gret(1) }}", "error[undefined-variable] content/a.yaml:1:39 <gret(1)> item `one` has a problem in `inputs.topic`: `gret`"),
    ("{% macro company() %}{% endmacro %}", "{{ company }}", "error[bad-name] templates/macros.j2:1:4 <macro> the file of macros has an error: the macro `company` has the name"),
    ("{% macro a() %}\n{{ a() }}{% endmacro %}", "{{ a() }}{{ company }}", "error[template-limit] templates/macros.j2:2:4 <a()> item `one` has a problem in `inputs.topic`: is too d"),
], ids=["inside", "misspelt", "variable", "endless"])  # fmt: skip
def test_problems_with_macros(project: Build, macros: str, topic: str, expected: str) -> None:
    """Each names the file, line and column a person has to change; one inside a macro is found for each call of it."""
    files = {
        "contentops.yaml": PROJECT + "macros: templates/macros.j2\nvars: {company: Acme}\n",
        "templates/macros.j2": macros,
        "content/a.yaml": f"items: [{{id: one, inputs: {{topic: '{topic}'}}}}]\n",
    }
    [line] = lines(findings(project(files)))
    assert line.startswith(expected)
    if topic.startswith("{{ broken"):
        project({"content/a.yaml": f"items: [{{id: one, inputs: {{topic: '{topic}', points: ['{topic}']}}}}]\n"})
        assert [line.count(expected[:80]) for line in lines(findings(project({})))] == [1, 1]


@pytest.mark.parametrize(("path", "expected"), [
    ("templates/gone.j2", "error[no-macros] contentops.yaml:5:9 <templates/gone.j2> `macros` names `templates/gone.j2`"),
    ("../macros.j2", "error[bad-path] contentops.yaml:5:9 <../macros.j2> the path `../macros.j2` points outside the project"),
    ("/etc/passwd", "error[bad-path] contentops.yaml:5:9 </etc/passwd> the path `/etc/passwd` is not relative"),
    ("linked.j2", "error[outside-project] linked.j2:1:1 <> `linked.j2` is a link that points outside the project"),
    ("content", "error[unreadable-file] content:1:1 <> `content` is not a file"),
])  # fmt: skip
def test_where_macros_may_lie(project: Build, path: str, expected: str) -> None:
    """Inside the project, as a file of its own."""
    root = project(
        {
            "contentops.yaml": f"{PROJECT}macros: {path}\n",
            "content/a.yaml": "items: [{id: one, inputs: {topic: '{{ greet() }}'}}]\n",
            "content/b.yaml": "items: [{id: two, inputs: {topic: '{{ greet() }}'}}]\n",
        }
    )
    (root / "linked.j2").symlink_to("/etc/hosts")
    [line] = lines(findings(root))
    assert line.startswith(expected)


def test_a_manifest_that_is_named_as_macros_is_not_passed_over(project: Build) -> None:
    """Its items would count as gone."""
    root = project(
        {"contentops.yaml": f"{PROJECT}macros: content/a.yaml\n", "content/a.yaml": "items: [{id: one, inputs: {}}]\n"}
    )
    line = lines(findings(root))[0]
    assert "a file of macros may contain only `{% macro %}` and `{% set %}`" in line
