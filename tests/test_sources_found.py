"""Which texts a template reads is found before they exist, whatever its branches, scopes and rows are."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contentops.manifests.compiled import Compiled
from contentops.manifests.sandbox import MAX_STEPS
from contentops.manifests.values import MISSING, UNKNOWN, Guesses, Lazy, TemplateError, Unknown, unclear
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness
from tests.running import examples
from tests.test_made_from_texts import manifest
from tests.test_references import refused


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """An empty project."""
    return Harness(tmp_path / "project", FakeApi(duration=30))


def found(template: str, steps: int = MAX_STEPS, **known: Any) -> set[str]:
    """The items that a template reads, each with its part; raises TemplateError."""
    read: dict[str, set[str]] = {}

    def ref(name: Any = "") -> Lazy:
        if name is UNKNOWN or not isinstance(name, str):
            raise unclear()
        parts = read.setdefault(name, set())
        assert Guesses.now is not None
        Guesses.now.note(name)

        def part(part: str) -> Unknown:
            parts.add(part)
            return UNKNOWN

        return Lazy((), part, is_open=True)

    values = {"ref": ref, "texts": lambda name: [ref(name)], **known}
    Compiled(template, steps=steps).explore(lambda name: values.get(name, MISSING))
    return {f"{name}.{part}" if part else name for name, parts in read.items() for part in parts or {""}}


@pytest.mark.parametrize(
    ("template", "read"),
    [
        # a name that one branch or an inner scope replaces
        ("{% set x = ref('a').title %}{% if no %}{% set x = 'c' %}{% endif %}{{ x }}", "a.title"),
        ("{% set x = ref('a').title %}{% for i in [1] %}{% set x = 'c' %}{% endfor %}{{ x }}", "a.title"),
        ("{% set x = ref('a').title %}{% with x = 'c' %}{{ x }}{% endwith %}{{ x }}", "a.title"),
        ("{% set x = ref('a').title %}{% macro m() %}{% set x = 'c' %}{% endmacro %}{{ x }}{{ m() }}", "a.title"),
        (
            "{% for t in ref('a').headings %}{% set x = 'c' %}{% endfor %}{% set x = 'd' %}{{ ref(x).id }}",
            "a.headings d.id",
        ),
        ("{% set x = 'b' %}{% for x in ref('a').headings %}{{ x }}{% endfor %}{{ ref(x).id }}", "a.headings b.id"),
        (
            "{% if ref('a').title %}{% set x = 'c' %}{{ ref(x).id }}{% else %}{{ ref(each).id }}{% endif %}",
            "a.title c.id b.id",
        ),
        ("{% set x = ref('a').title %}{% set x = 'c' %}{{ ref(x).id }}", "a.title c.id"),
        # a text with a name
        ("{% set t = ref('a') %}{% if no %}{% set t = ref('b') %}{% endif %}{{ t.title }}", "a.title"),
        ("{% if no %}{% set t = ref('a') %}{% else %}{% set t = ref('b') %}{% endif %}{{ t.url }}", "b.url"),
        (
            "{% if ref('c').id %}{% set t = ref('a') %}{% else %}{% set t = ref('b') %}{% endif %}{{ t.url }}",
            "c.id a.url b.url",
        ),
        ("{% set x = 'a' %}{% set t = ref(x) %}{% set x = 'b' %}{{ t.title }}", "a.title"),
        ("{% set x = 'a' %}{% set x = ref(x) %}{{ x.title }}", "a.title"),
        (
            "{% for t in texts('x') %}{{ t.title }}{% endfor %}{% for t in texts('y') %}{{ t.url }}{% endfor %}",
            "x.title y.url",
        ),
        ("{% set t = ref('a') %}{% macro m() %}{{ t.url }}{% endmacro %}{% set t = ref('b') %}{{ m() }}", "a b.url"),
        ("{% set t = ref('a') %}{% macro m(t) %}{{ t }}{% endmacro %}{{ m('k') }}{{ t.url }}", "a.url"),
        # places that are easily missed
        ("{% for i in [] if ref('a').title %}{% else %}{{ ref('b').id }}{% endfor %}", "b.id"),
        ("{% for i in [1] if ref('a').title %}{% else %}{{ ref('b').id }}{% endfor %}", "a.title b.id"),
        ("{% for t in texts('x') if t.url and ref('a').title %}{% endfor %}", "x.url a.title"),
        ("{% macro m(t=ref('a').title) %}{{ t }}{% endmacro %}{{ m() }}", "a.title"),
        ("{% macro m() %}{{ ref(x).title }}{% endmacro %}{% set x = 'b' %}{{ m() }}", "b.title"),
        ("{% macro m() %}{{ ref(varargs[0]).title }}{% endmacro %}{{ m('b') }}", "b.title"),
        ("{% macro m() %}{{ caller('b') }}{% endmacro %}{% call(x) m() %}{{ ref(x).title }}{% endcall %}", "b.title"),
        (
            "{% for x in 'bc' | list if ref('a').title %}{{ ref(loop.index ~ '').title }}{% endfor %}",
            "a.title 1.title 2.title",
        ),
        (
            "{% for x in each.split() %}{% if not ref('a').title %}{{ ref(x).id }}{% endif %}{% endfor %}",
            "a.title b.id",
        ),
        (
            "{{ texts('x') | map(attribute='title') | join(', ') }}{{ ref('a').body[:9] ~ '.' | upper }}",
            "x.title a.body",
        ),
        (
            "{% set n = texts('x') | map(attribute='title') | join %}{% if n %}{% else %}{{ ref('a').id }}{% endif %}",
            "x.title a.id",
        ),
    ],
)
def test_a_name_means_what_it_means_where_it_is_used(template: str, read: str) -> None:
    """Scopes and branches count; what is not sure is read too."""
    assert found(template, no=False, each="b") == {*read.split()}


@pytest.mark.parametrize("template", [
    "{% set x = 'b' %}{% if 'z' in ref('a').body %}{% set x = 'c' %}{% endif %}{{ ref(x).title }}",
    "{% if ref('a').title %}{% set x = 'b' %}{% else %}{% set x = 'c' %}{% endif %}{{ ref(x).title }}",
    "{% if no %}{% elif ref('a').title %}{% set x = 'c' %}{% endif %}{{ ref(x).title }}",
    "{% for h in ref('a').headings %}{{ ref(loop.index ~ '').title }}{% endfor %}",
    "{% set x %}{{ ref('a').title }}{% endset %}{{ ref(x).title }}",
    "{{ ref(ref('a').title | lower).title }}",
    "{{ ref('x-%s' % ref('a').title).title }}",
])  # fmt: skip
def test_what_depends_on_a_text_is_refused_with_a_hint(template: str) -> None:
    """Before anything is paid, and never as a name that is not defined."""
    with pytest.raises(TemplateError) as caught:
        found(template, no=False)
    assert (caught.value.code, caught.value.hint) == ("reference-unclear", "name the items: `uses: [ID, ...]`")
    # A template of many tests is refused, not run many times.
    with pytest.raises(TemplateError, match="too many steps"):
        found("{% if ref('a').title %}{% endif %}" * 100, 2_000)


@pytest.mark.parametrize(("topic", "said"), [
    ("{{ ref('a', part='body') }}", "`ref` has no argument `part`"),
    ("{{ ref('a', part='body').title }}", "`ref` has no argument `part`"),
    ("{% for t in texts('tag:x', approved=true) %}{{ t.id }}{% endfor %}", "`texts` has no argument `approved`"),
    ("{{ ref('a', approved=true, approved=false).title }}", "an argument is given twice"),
])  # fmt: skip
def test_a_wrong_argument_is_named(harness: Harness, topic: str, said: str) -> None:
    """The part is read of the text, not asked for."""
    harness.write("content/a.yaml", manifest({"a": "A", "b": topic}))
    assert any(said in line for line in refused(harness)), refused(harness)


# --- what is read is what was found ------------------------------------------------------------------------

_IDS = st.sampled_from(["'a'", "'b'", "n", "x", "'a' if n == 'a' else 'b'"])
_VALUES = st.one_of(
    st.sampled_from(["n", "x", "'k'", "no", "[1, 2]"]),
    st.builds("ref({}).title".format, _IDS),
    st.builds("ref({}).headings".format, _IDS),
    st.builds("(ref({}).title ~ 'b')[:1] | lower".format, _IDS),
    st.builds("texts('c') | map(attribute='title') | join({})".format, st.sampled_from(["','", "n"])),
)
_TESTS = st.one_of(_VALUES, st.builds("not {}".format, _VALUES), st.builds("{} == {}".format, _VALUES, _VALUES))
_PIECES = st.recursive(
    st.one_of(
        st.builds("{{{{ {} }}}}".format, _VALUES),
        st.builds("{{% set x = {} %}}".format, _VALUES),
        st.builds("{{% set t = ref({}) %}}{{{{ t.url }}}}".format, _IDS),
    ),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, _TESTS, inner, inner),
        st.builds("{{% for x in {} %}}{}{{% else %}}{}{{% endfor %}}".format, _VALUES, inner, inner),
        st.builds("{{% for n in ['a', 'b'] if {} %}}{}{{% endfor %}}".format, _TESTS, inner),
        st.builds("{{% set x %}}{}{{% endset %}}".format, inner),
        st.builds("{{% macro m(x) %}}{}{{% endmacro %}}{{{{ m({}) }}}}".format, inner, _VALUES),
        st.builds("{{% with x = {} %}}{}{{% endwith %}}".format, _VALUES, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=examples(300))
@given(_PIECES, st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=3, max_size=3))
def test_nothing_else_is_read_than_was_found(template: str, titles: list[str]) -> None:
    """Whatever the texts say, a template reads no item that was not found before they were there."""
    known: dict[str, Any] = {"n": "b", "x": "c", "no": False}
    try:
        sources = {name.partition(".")[0] for name in found(template, **known)}
    except TemplateError:
        return
    words = dict(zip("abc", titles, strict=True))
    read: set[str] = set()

    def ref(name: str) -> Lazy:
        read.add(str(name))
        title = words.get(name, "")
        parts = {"title": title, "url": f"/{title}", "headings": [*title]}
        return Lazy((), parts.__getitem__, is_open=True)

    values = {"ref": ref, "texts": lambda name: [ref(name)], **known}
    with contextlib.suppress(TemplateError):
        Compiled(template).render(lambda name: values.get(name, MISSING))
    assert read <= sources
