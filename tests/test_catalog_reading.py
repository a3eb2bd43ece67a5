"""The catalog: from a server's words to an offer, to `catalog.lock.json` and back, and what changed between two."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.api.reading import catalog_entry, inputs_of, manner_of, slug_of, template
from contentops.errors import InputError
from contentops.manifests.catalog_lock import FILE, changes_between, encode, parse
from contentops.model import Catalog, CatalogEntry, Request, Template, TemplateInput
from contentops.schema_files import load_schema

SERVER = "https://api.example.test:443"


@pytest.mark.parametrize(("entry", "slug"), [
    ({"id": "a_b", "slug": "other"}, "a_b"), ({"slug": "a-b"}, "a-b"), ({"name": "fintech"}, "fintech"),
    ({"name": "Financial technology"}, ""), ({"id": "../x", "slug": "fine"}, ""), ({"id": 7}, ""),
    ({"id": "", "slug": "a"}, "a"), ({"id": None, "name": "n"}, "n"), ({"id": "x" * 201}, ""), ({}, ""),
])  # fmt: skip
def test_slugs(entry: dict[str, Any], slug: str) -> None:
    """The server's own `id` comes first, and a name no one could ask for is none."""
    assert slug_of(entry) == slug


@pytest.mark.parametrize(("spec", "expected"), [
    ({"required": True}, TemplateInput(name="x", required=True)),
    ({"required": "true"}, TemplateInput(name="x", required=True)),
    ({"required": True, "default": "a"}, TemplateInput(name="x", default="a")),
    ({"required": True, "default": ""}, TemplateInput(name="x", required=True)),
    ({"required": "perhaps"}, TemplateInput(name="x")),
    ({"default": False}, TemplateInput(name="x", default=False)),
    ({"default": []}, TemplateInput(name="x")),
    ({"default": "y" * 3000}, TemplateInput(name="x")),
    ({"type": "select", "options": ["a", "b", "a"]}, TemplateInput(name="x", kind="select", options=("a", "b"))),
    ({"type": "select", "options": [1, True]}, TemplateInput(name="x", kind="select", options=(1, True))),
    ({"type": "multiselect", "options": [{"value": "a", "label": "A"}, {"id": "b"}]}, TemplateInput(name="x", kind="multiselect", options=("a", "b"))),
    ({"type": "select", "options": ["a", None]}, TemplateInput(name="x")),
    ({"type": "select", "options": "abc"}, TemplateInput(name="x")),
    ({"type": "text", "options": ["a"]}, TemplateInput(name="x", kind="text")),
    ({"aliases": ["y", "y", 3, "n o"]}, TemplateInput(name="x", aliases=("y",))),
    ({"description": "a\x1b[31m\nb", "label": "L"}, TemplateInput(name="x", description="a[31m b")),
    ({"label": "L"}, TemplateInput(name="x", description="L")),
])  # fmt: skip
def test_inputs(spec: dict[str, Any], expected: TemplateInput) -> None:
    """What a server says of an input is taken where it makes sense and left out where it does not."""
    assert inputs_of({"parameters": {"x": spec}}) == (expected,)


@pytest.mark.parametrize("said", [
    {"parameters": {"b": {}, "a": {"required": True}}}, {"inputs": [{"name": "b"}, {"key": "a", "required": True}]},
    {"input_fields": [{"id": "b"}, {"id": "a", "required": True}]}, {"parameters": {"b": {}}, "required_inputs": ["a"]},
    {"parameters": {"b": None, "a": {"required": True}, "n o": {}, "": {}}},
], ids=["map", "list", "fields", "required names", "with junk"])  # fmt: skip
def test_every_shape_of_inputs(said: dict[str, Any]) -> None:
    """A map of specs, a list of them, and bare names are read alike, sorted by name."""
    assert inputs_of(said) == (TemplateInput(name="a", required=True), TemplateInput(name="b"))


def test_another_order_of_keys_is_no_other_manner() -> None:
    """A server may list the keys of a description in any order, at any depth."""
    one = {"tone": "plain", "output": {"format": "html", "length": 300}}
    other = {"output": {"length": 300, "format": " html "}, "tone": "plain", "rating": 5}
    assert manner_of(one) == manner_of(other) != manner_of({**one, "tone": "grand"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "type", "required", "default", "options", "aliases", "name", "id", "label", "x y"])
specs = st.dictionaries(names, json_values | st.sampled_from(["select", "text", "multiselect"]), max_size=6)
descriptions = st.dictionaries(
    st.sampled_from(["id", "name", "description", "parameters", "inputs", "required_inputs", "category", "tone"]),
    json_values | st.dictionaries(names, specs, max_size=4) | st.lists(specs, max_size=4),
)


@given(descriptions, descriptions)
def test_whatever_a_server_says_is_kept_and_read_back(entry: dict[str, Any], detail: dict[str, Any]) -> None:
    """Any description becomes a template that fits the schema and comes back the same from the file."""
    snapshot = Catalog(
        templates={"t": template("t", entry, detail)},
        styles={"s": catalog_entry({**entry, "id": "s"})},
        verticals={"v": catalog_entry({**detail, "id": "v"})},
    )
    text = encode({SERVER: snapshot})
    assert (parse(text.encode()), encode(parse(text.encode()))) == ({SERVER: snapshot}, text)
    jsonschema.validate(json.loads(text), load_schema("catalog"))
    assert set(snapshot.templates) == {"t"}


def test_the_file_is_golden() -> None:
    """Sorted, without times, and with nothing said twice."""
    snapshot = Catalog(
        templates={
            "z": Template(slug="z", inputs_known=False),
            "a": Template(
                slug="a",
                name="Ä",
                inputs=(TemplateInput(name="x", default=False), TemplateInput(name="y", kind="text", required=True)),
            ),
        },
        styles={"s": CatalogEntry(slug="s", tone="calm")},
    )
    assert json.loads(encode({"b": Catalog(), "a": snapshot})) == {
        "format_version": "1.0",
        "servers": {
            "a": {
                "templates": [
                    {
                        "slug": "a",
                        "name": "Ä",
                        "inputs": [
                            {"name": "x", "kind": "any", "default": False},
                            {"name": "y", "kind": "text", "required": True},
                        ],
                    },
                    {"slug": "z", "inputs": None},
                ],
                "styles": [{"slug": "s", "tone": "calm"}],
                "verticals": None,
            },
            "b": {"templates": [], "styles": [], "verticals": None},
        },
    }
    text = encode({"b": Catalog(), "a": snapshot})
    assert text.startswith('{\n  "format_version": "1.0",\n  "servers": {\n    "a": {')
    assert text.endswith("}\n")
    assert "Ä" in text


GOOD = encode({SERVER: Catalog(templates={"t": Template(slug="t", inputs_known=False)})})


@pytest.mark.parametrize(("data", "code", "words"), [
    (GOOD[: len(GOOD) // 2], "damaged-catalog", "is not JSON"), ("", "damaged-catalog", "is not JSON"),
    (f"{{\n<<<<<<< HEAD\n{GOOD}=======\n", "damaged-catalog", "unfinished git merge"),
    ("[" * 100_000, "damaged-catalog", "not usable JSON"),
    ('{"a": ' + "9" * 5000 + "}", "damaged-catalog", "not usable JSON"),
    ('{"a": "\\ud800"}', "damaged-catalog", "not usable JSON"), ('{"a": NaN}', "damaged-catalog", "not usable JSON"),
    (b"\xff", "not-utf8", "not UTF-8"), (GOOD.replace('"1.0"', '"2.0"'), "newer-catalog", "newer version"),
    (GOOD.replace('"1.0"', '"x"'), "wrong-value", "format_version"),
    ('{"format_version": "1.0"}', "missing-key", "servers"), ("[]", "wrong-type", ""),
    (GOOD.replace('"slug": "t"', '"slug": "../t"'), "wrong-value", "slug"),
    (GOOD.replace('"inputs": null', '"inputs": [{"name": "x", "kind": "hologram"}]'), "wrong-value", "kind"),
])  # fmt: skip
def test_a_file_that_can_not_be_used(data: str | bytes, code: str, words: str) -> None:
    """Every damage is named with its place, never a traceback."""
    with pytest.raises(InputError) as raised:
        parse(data if isinstance(data, bytes) else data.encode())
    first = raised.value.findings[0]
    assert (first.code, words in first.message) == (code, True)
    assert first.location is not None
    assert first.location.file == FILE


BEFORE = Catalog(
    templates={
        "gone": Template(slug="gone", inputs_known=False),
        "same": Template(slug="same", name="Old name", inputs=(TemplateInput(name="a"),)),
        "other": Template(
            slug="other",
            inputs=(
                TemplateInput(name="a"),
                TemplateInput(name="b", kind="select", options=("x",)),
                TemplateInput(name="c", required=True),
                TemplateInput(name="d", default=1),
            ),
        ),
        "told": Template(slug="told", inputs_known=False),
        "silent": Template(slug="silent", inputs=()),
    },
    styles={"s1": CatalogEntry(slug="s1"), "s2": CatalogEntry(slug="s2")},
    verticals={"v1": CatalogEntry(slug="v1")},
)
AFTER = Catalog(
    templates={
        "new": Template(slug="new", inputs_known=False),
        "same": Template(slug="same", name="New name", inputs=(TemplateInput(name="a"),)),
        "other": Template(
            slug="other",
            inputs=(
                TemplateInput(name="a", kind="text", required=True),
                TemplateInput(name="b", kind="select", options=("y",)), TemplateInput(name="c"),
                TemplateInput(name="d", default=2), TemplateInput(name="e", required=True), TemplateInput(name="f"),
            ),
        ),
        "told": Template(slug="told", inputs=()),
        "silent": Template(slug="silent", inputs_known=False),
    },
    styles={"s2": CatalogEntry(slug="s2", tone="loud"), "s3": CatalogEntry(slug="s3")},
    verticals={},
)  # fmt: skip


def test_differences_name_what_changed_and_who_uses_it() -> None:
    """Added, removed and changed, down to the input, with the items concerned."""
    used = [
        ("two", Request(template="other", style="s1", inputs={}, vertical="v1")),
        ("one", Request(template="other", style="s2", inputs={})),
    ]
    found = {(one.kind, one.slug): one for one in changes_between(BEFORE, AFTER, used)}
    assert {key: one.how for key, one in found.items()} == {
        ("template", "gone"): "removed", ("template", "new"): "added", ("template", "other"): "changed",
        ("template", "silent"): "changed", ("template", "told"): "changed", ("style", "s1"): "removed",
        ("style", "s3"): "added", ("vertical", "v1"): "removed",
    }  # fmt: skip
    assert found["template", "other"].details == (
        "input `a` is now required", "input `a` takes `text` instead of `any`", "input `b` has other options",
        "input `c` is no longer required", "input `d` has another default", "input `e` is new, and required",
        "input `f` is new",
    )  # fmt: skip
    assert found["template", "told"].details == ("its inputs are known now",)
    assert found["template", "silent"].details == ("its inputs are no longer listed",)
    assert found["template", "other"].items == ("one", "two")
    assert found["style", "s1"].items == ("two",)
    assert found["vertical", "v1"].items == ("two",)
