"""The catalog: from a server's words to an offer, to `catalog.lock.json` and back, and what changed between two."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops.catalog.differences import differences
from contentops.catalog.lockfile import FILE, compose, parse
from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate, catalog
from contentops.catalog.reading import choice, inputs_of, slug_of, template
from contentops.errors import InputError
from contentops.model import Request
from contentops.schema_files import load_schema

SERVER = "https://api.example.test:443"


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "slug"),
    [
        ({"id": "a_b", "slug": "other"}, "a_b"),
        ({"slug": "a-b"}, "a-b"),
        ({"name": "fintech"}, "fintech"),
        ({"name": "Financial technology"}, ""),
        ({"id": "../x", "slug": "fine"}, ""),
        ({"id": 7}, ""),
        ({"id": "", "slug": "a"}, "a"),
        ({"id": None, "name": "n"}, "n"),
        ({"id": "x" * 201}, ""),
        ({}, ""),
    ],
)
def test_slugs(entry: dict[str, Any], slug: str) -> None:
    """The server's own `id` comes first, and a name nobody could ask for is none."""
    assert slug_of(entry) == slug


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("text", "text"),
        ("Textarea ", "textarea"),
        ("number", "number"),
        ("boolean", "checkbox"),
        ("checkbox", "checkbox"),
        ("array", "list"),
        ("string", "any"),
        ("hologram", "any"),
        (None, "any"),
        (["text"], "any"),
        ("select", "any"),
    ],
)
def test_kinds(word: Any, kind: str) -> None:
    """Known words are kept; `string`, unknown ones, and a choice without options take anything."""
    (found,) = inputs_of({"parameters": {"topic": {"type": word}}}) or ()
    assert found.kind == kind


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"required": True}, OfferedInput(name="x", required=True)),
        ({"required": "true"}, OfferedInput(name="x", required=True)),
        ({"required": True, "default": "a"}, OfferedInput(name="x", default="a")),
        ({"required": True, "default": ""}, OfferedInput(name="x", required=True)),
        ({"required": "perhaps"}, OfferedInput(name="x")),
        ({"default": False}, OfferedInput(name="x", default=False)),
        ({"default": []}, OfferedInput(name="x")),
        ({"default": "y" * 3000}, OfferedInput(name="x")),
        ({"type": "select", "options": ["a", "b", "a"]}, OfferedInput(name="x", kind="select", options=("a", "b"))),
        ({"type": "select", "options": [1, True]}, OfferedInput(name="x", kind="select", options=(1, True))),
        (
            {"type": "multiselect", "options": [{"value": "a", "label": "A"}, {"id": "b"}]},
            OfferedInput(name="x", kind="multiselect", options=("a", "b")),
        ),
        ({"type": "select", "options": ["a", None]}, OfferedInput(name="x")),
        ({"type": "select", "options": "abc"}, OfferedInput(name="x")),
        ({"type": "text", "options": ["a"]}, OfferedInput(name="x", kind="text")),
        ({"aliases": ["y", "y", 3, "n o"]}, OfferedInput(name="x", aliases=("y",))),
        ({"description": "a\x1b[31m\nb", "label": "L"}, OfferedInput(name="x", description="a[31m b")),
        ({"label": "L"}, OfferedInput(name="x", description="L")),
    ],
)
def test_inputs(spec: dict[str, Any], expected: OfferedInput) -> None:
    """What a server says of an input is taken where it makes sense and left out where it does not."""
    assert inputs_of({"parameters": {"x": spec}}) == (expected,)


@pytest.mark.parametrize(
    "said",
    [
        {"parameters": {"b": {}, "a": {"required": True}}},
        {"inputs": [{"name": "b"}, {"key": "a", "required": True}]},
        {"parameters": {"b": {}}, "required_inputs": ["a"]},
        {"parameters": {"b": None, "a": {"required": True}, "n o": {}, "": {}}},
    ],
    ids=["map", "list", "required names", "with junk"],
)
def test_every_shape_of_inputs(said: dict[str, Any]) -> None:
    """A map of specs, a list of them, and bare names are read alike, sorted by name."""
    assert inputs_of(said) == (OfferedInput(name="a", required=True), OfferedInput(name="b"))


@pytest.mark.parametrize(
    "said", [{}, {"parameters": None}, {"parameters": "x"}, {"parameters": {"n o": {}}}, {"inputs": [3]}]
)
def test_unknown_inputs_are_not_none_at_all(said: dict[str, Any]) -> None:
    """A server that does not tell its inputs is not one whose template takes none."""
    assert inputs_of(said) is None
    assert inputs_of({"parameters": {}}) == ()


def test_a_detail_completes_its_line() -> None:
    """The slug is that of the list, whatever the description calls itself."""
    found = template("data_driven", {"id": "data_driven", "name": "N"}, {"slug": "other", "template_type": "report"})
    assert found == OfferedTemplate(slug="data_driven", name="N", category="report")


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
    offer = Offer(
        templates={"t": template("t", entry, detail)},
        styles={"s": choice({**entry, "id": "s"})},
        verticals={"v": choice({**detail, "id": "v"})},
    )
    text = compose({SERVER: offer})
    assert parse(text.encode()) == {SERVER: offer}
    assert compose(parse(text.encode())) == text
    jsonschema.validate(json.loads(text), load_schema("catalog"))
    assert catalog(offer).templates["t"].inputs_known == (offer.templates["t"].inputs is not None)


# --- the file ----------------------------------------------------------------------------------------------


def test_the_file_is_golden() -> None:
    """Sorted, without times, and with nothing said twice."""
    offer = Offer(
        templates={
            "z": OfferedTemplate(slug="z"),
            "a": OfferedTemplate(
                slug="a",
                name="Ä",
                inputs=(OfferedInput(name="x", default=False), OfferedInput(name="y", kind="text", required=True)),
            ),
        },
        styles={"s": OfferedChoice(slug="s", tone="calm")},
    )
    assert json.loads(compose({"b": Offer(), "a": offer})) == {
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
    text = compose({"b": Offer(), "a": offer})
    assert text.startswith('{\n  "format_version": "1.0",\n  "servers": {\n    "a": {')
    assert text.endswith("}\n")
    assert "Ä" in text


GOOD = compose({SERVER: Offer(templates={"t": OfferedTemplate(slug="t")})})


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (GOOD[: len(GOOD) // 2], "damaged-catalog", "not whole JSON"),
        ("", "damaged-catalog", "not whole JSON"),
        (f"{{\n<<<<<<< HEAD\n{GOOD}=======\n", "damaged-catalog", "unfinished git merge"),
        ("[" * 100_000, "damaged-catalog", "no usable JSON"),
        ('{"a": ' + "9" * 5000 + "}", "damaged-catalog", "no usable JSON"),
        (b"\xff", "not-utf8", "not UTF-8"),
        (GOOD.replace('"1.0"', '"2.0"'), "newer-catalog", "newer version"),
        (GOOD.replace('"1.0"', '"x"'), "wrong-value", "format_version"),
        ('{"format_version": "1.0"}', "missing-key", "servers"),
        ("[]", "wrong-type", ""),
        (GOOD.replace('"slug": "t"', '"slug": "../t"'), "wrong-value", "slug"),
        (GOOD.replace('"inputs": null', '"inputs": [{"name": "x", "kind": "hologram"}]'), "wrong-value", "kind"),
    ],
)
def test_a_file_that_can_not_be_used(data: str | bytes, code: str, words: str) -> None:
    """Every damage is named with its place, never a traceback."""
    with pytest.raises(InputError) as raised:
        parse(data if isinstance(data, bytes) else data.encode())
    first = raised.value.findings[0]
    assert first.code == code
    assert words in first.message
    assert first.location is not None
    assert first.location.file == FILE


def test_a_newer_minor_is_read() -> None:
    """Keys this version does not know are ignored."""
    text = GOOD.replace('"1.0"', '"1.7", "more": 1').replace('"slug": "t"', '"slug": "t", "later": [1]')
    assert list(parse(text.encode())[SERVER].templates) == ["t"]


# --- differences -------------------------------------------------------------------------------------------

BEFORE = Offer(
    templates={
        "gone": OfferedTemplate(slug="gone"),
        "same": OfferedTemplate(slug="same", name="Old name", inputs=(OfferedInput(name="a"),)),
        "other": OfferedTemplate(
            slug="other",
            inputs=(
                OfferedInput(name="a"),
                OfferedInput(name="b", kind="select", options=("x",)),
                OfferedInput(name="c", required=True),
                OfferedInput(name="d", default=1),
            ),
        ),
        "told": OfferedTemplate(slug="told"),
        "silent": OfferedTemplate(slug="silent", inputs=()),
    },
    styles={"s1": OfferedChoice(slug="s1"), "s2": OfferedChoice(slug="s2")},
    verticals={"v1": OfferedChoice(slug="v1")},
)
AFTER = Offer(
    templates={
        "new": OfferedTemplate(slug="new"),
        "same": OfferedTemplate(slug="same", name="New name", inputs=(OfferedInput(name="a"),)),
        "other": OfferedTemplate(
            slug="other",
            inputs=(
                OfferedInput(name="a", kind="text", required=True),
                OfferedInput(name="b", kind="select", options=("y",)),
                OfferedInput(name="c"),
                OfferedInput(name="d", default=2),
                OfferedInput(name="e", required=True),
                OfferedInput(name="f"),
            ),
        ),
        "told": OfferedTemplate(slug="told", inputs=()),
        "silent": OfferedTemplate(slug="silent"),
    },
    styles={"s2": OfferedChoice(slug="s2", tone="loud"), "s3": OfferedChoice(slug="s3")},
    verticals={},
)


def test_differences_name_what_changed_and_who_uses_it() -> None:
    """Added, removed and changed, down to the input, with the items concerned."""
    used = [
        ("two", Request(template="other", style="s1", inputs={}, vertical="v1")),
        ("one", Request(template="other", style="s2", inputs={})),
    ]
    found = {(one.kind, one.slug): one for one in differences(BEFORE, AFTER, used)}
    assert {key: one.how for key, one in found.items()} == {
        ("template", "gone"): "removed",
        ("template", "new"): "added",
        ("template", "other"): "changed",
        ("template", "silent"): "changed",
        ("template", "told"): "changed",
        ("style", "s1"): "removed",
        ("style", "s3"): "added",
        ("vertical", "v1"): "removed",
    }
    assert found["template", "other"].details == (
        "input `a` is now required",
        "input `a` takes `text` instead of `any`",
        "input `b` has other options",
        "input `c` is no longer required",
        "input `d` has another default",
        "input `e` is new, and required",
        "input `f` is new",
    )
    assert found["template", "told"].details == ("its inputs are known now",)
    assert found["template", "silent"].details == ("its inputs are no longer told",)
    assert found["template", "other"].items == ("one", "two")
    assert found["style", "s1"].items == ("two",)
    assert found["vertical", "v1"].items == ("two",)


def test_a_gone_input_is_told() -> None:
    """The other direction names what is no longer taken."""
    (other,) = [one for one in differences(AFTER, BEFORE, ()) if one.slug == "other"]
    assert "input `e` is gone" in other.details


def test_a_first_pull_has_no_differences() -> None:
    """Nothing changed where nothing was known, nor where a server stops telling its verticals."""
    assert differences(None, AFTER, ()) == ()
    assert differences(AFTER, AFTER, ()) == ()
    assert differences(Offer(verticals={"v": OfferedChoice(slug="v")}), Offer(), ()) == ()
