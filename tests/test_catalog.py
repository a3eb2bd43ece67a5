"""`catalog pull`: what it asks, what it keeps, what it writes and reads back, and how it fails."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.api.outcomes import RETRY
from contentops.api.reading import catalog_entry, inputs_of, manner_of, slug_of, template
from contentops.errors import ApiError, InputError
from contentops.manifests.catalog_lock import FILE, changes_between, encode, parse
from contentops.model import Catalog, CatalogEntry, Request, Template, TemplateInput
from contentops.operations import catalog as catalogs
from contentops.operations import doctor as doctor_operation
from contentops.operations import plan as plan_operation
from contentops.operations import workspace
from contentops.operations.catalog import Pulled
from contentops.planning import sides as planning_inputs
from contentops.schema_files import load_schema
from tests.fakes.harness import Harness, blog
from tests.shop import Shop

SERVER = "https://api.example.test:443"
DOWN = httpx.Response(503, json={"detail": "maintenance"})


def harness_of(root: Path, shop: Shop, *, rpm: int = 0, api: str = "") -> Harness:
    """A project whose server is `shop`."""
    harness = Harness(root, shop, rpm=rpm)  # type: ignore[arg-type]  # only its transport is used
    harness.write("content/blog.yaml", blog("tea", "coffee"))
    harness.edit("contentops.yaml", "requests_per_minute", f"{api or 'dialect: v1'}, requests_per_minute")
    return harness


def pull(harness: Harness, said: list[str] | None = None) -> Pulled:
    """Pull on virtual time."""
    return catalogs.pull(
        harness.project, runtime=structs.replace(harness.runtime(), notify=([] if said is None else said).append)
    )


def many(count: int) -> dict[str, Any]:
    """Templates with one required input each."""
    return {f"t{number:03}": {"topic": {"type": "text", "required": True}} for number in range(count)}


def test_a_second_pull_changes_no_byte(tmp_path: Path) -> None:
    """The same catalog is the same file, not even written again, whatever order the server lists it in."""
    shop = Shop(many(3))
    harness = harness_of(tmp_path, shop)
    assert pull(harness).written
    before = harness.bytes()
    shop.templates = dict(reversed(shop.templates.items()))
    again = pull(harness)
    assert (again.first, again.written, again.changes) == (False, False, ())
    assert (harness.bytes(), shop.paths.count("/templates/t000")) == (before, 2)


@pytest.mark.parametrize(("habit", "pages"), [("enveloped", 3), ("flat", 2), ("repeating", 2)])
def test_pages(habit: str, pages: int, tmp_path: Path) -> None:
    """Pages over 100 are asked for until nothing new comes, also where a server does not know pages."""
    shop = Shop(many(3), styles=tuple(f"s{number:03}" for number in range(250)), habit=habit)
    pulled = pull(harness_of(tmp_path, shop))
    assert len(pulled.snapshot.styles) == (100 if habit == "repeating" else 250)
    assert len([path for path in shop.paths if path.startswith("/style-profiles")]) == pages
    short = "the server shows 100 of its 250 styles; the others are not in `catalog.lock.json`"
    assert pulled.notes == ((short,) if habit == "repeating" else ())


def _paging(path: str, says: str) -> httpx.Response | None:
    """Seventy styles in pages of twenty, of a server that says so in one way or another."""
    route, _, query = path.partition("?")
    if route != "/style-profiles":
        return None
    asked = httpx.QueryParams(query)
    page, limit = int(asked.get("page", 1)), 20 if says == "fixed" else int(asked.get("limit", 20))
    if page > 4 and says == "refusing":
        return httpx.Response(422, json={"detail": "no such page"})
    items = [{"id": f"s{number:03}"} for number in range(70)][(page - 1) * limit : page * limit]
    more = {"total": {"total": 70}, "limit": {"page": page, "limit": limit}, "counting": {"count": len(items)}}
    return httpx.Response(200, json={"style_profiles": items, **more.get(says, {})})


@pytest.mark.parametrize("says", ["nothing", "fixed", "total", "limit", "counting", "refusing"])
def test_small_pages_are_read_to_the_end(says: str, tmp_path: Path) -> None:
    """Whatever a server says of them: they are asked for in the size of the first."""
    shop = Shop(when=lambda path, _: _paging(path, says))
    pulled = pull(harness_of(tmp_path, shop))
    assert (len(pulled.snapshot.styles), pulled.notes) == (70, ())
    assert len([path for path in shop.paths if path.startswith("/style-profiles")]) <= 5


def test_a_server_without_descriptions_is_not_asked_for_all(tmp_path: Path) -> None:
    """After three templates in a row without one, the rest is not asked for."""
    shop = Shop(dict.fromkeys(many(40)))
    pulled = pull(harness_of(tmp_path, shop))
    assert len([path for path in shop.paths if path.startswith("/templates/")]) == 3
    assert {one.inputs_known for one in pulled.snapshot.templates.values()} == {False}
    assert pulled.notes[0].endswith("`t000`, `t001`, `t002`, `t003`, `t004`, ..., so they are not checked")


@pytest.mark.parametrize(("path", "answer"), [
    ("/verticals", httpx.Response(403, json={})), ("/verticals", httpx.Response(501, json={})),
    ("/brand-voices", httpx.Response(400, json={})), ("/brand-voices", httpx.Response(404, html="<html>")),
    ("/brand-voices", httpx.Response(200, html="<html>home")), ("/brand-voices", httpx.Response(200, json={"hello": 1})),
], ids=str)  # fmt: skip
def test_verticals_and_brand_voices_may_be_absent(path: str, answer: httpx.Response, tmp_path: Path) -> None:
    """Whatever stands at an address that no one documents; those of a server that does not tell them are unchecked."""
    harness = harness_of(tmp_path, Shop(when=lambda asked, _: answer if asked == path else None))
    pulled = pull(harness)
    said = "the server does not list its verticals, so they are not checked"
    assert (pulled.written, pulled.notes) == (True, (said,) if path == "/verticals" else ())
    catalog = workspace.catalog_of(harness.project)
    assert catalog is not None
    assert (catalog.verticals if path == "/verticals" else catalog.brand_voices) is None


def test_brand_voices_that_a_server_lists_are_kept_and_checked(tmp_path: Path) -> None:
    """They are in the file, and an item that names another one is an error with a hint."""
    listed = {"brand_voices": [{"id": "bv_acme", "name": "Acme", "tone": "warm"}, {"id": "bv_dry", "tone": "dry"}]}
    shop = Shop(when=lambda path, _: httpx.Response(200, json=listed) if path == "/brand-voices" else None)
    harness = harness_of(tmp_path, shop)
    assert pull(harness).written
    document = json.loads(harness.read(FILE))
    jsonschema.validate(document, load_schema("catalog"))
    told = document["servers"][SERVER]["brand_voices"]
    assert [(one["slug"], one["tone"]) for one in told] == [("bv_acme", "warm"), ("bv_dry", "dry")]
    harness.write("content/blog.yaml", "items: [{id: tea, brand_voice: bv_acne, inputs: {topic: Tea}}]\n")
    with pytest.raises(InputError) as raised:
        workspace.validate(harness.project)
    finding = next(one for one in raised.value.findings if one.code == "unknown-brand-voice")
    assert "did you mean `bv_acme`" in finding.hint
    harness.edit("content/blog.yaml", "bv_acne", "bv_acme")
    assert workspace.validate(harness.project).findings == ()


EMPTY = httpx.Response(200, json={"templates": [], "style_profiles": []})


@pytest.mark.parametrize(("path", "answer", "words"), [
    ("/templates/t004", DOWN, "`GET https://api.example.test/v1/templates/t004` (503): maintenance (`catalog.lock.json` is as it was)"),
    ("/templates", EMPTY, "lists no"), ("/style-profiles", EMPTY, "lists no"),
])  # fmt: skip
def test_a_failure_keeps_the_file(path: str, answer: httpx.Response, words: str, tmp_path: Path) -> None:
    """The old file stands until all is there, also where a server suddenly lists nothing; the next pull fetches all."""
    shop = Shop(many(6))
    harness = harness_of(tmp_path, shop)
    pull(harness)
    before = harness.read(FILE)
    shop.templates |= {"t999": {"x": {}}}
    shop.when = lambda asked, _: answer if asked == path else None
    with pytest.raises(ApiError, match=re.escape(words)):
        pull(harness)
    assert harness.read(FILE) == before
    shop.when = lambda _path, _n: None
    shop.log.clear()
    assert [(one.how, one.slug) for one in pull(harness).changes] == [("added", "t999")]
    assert len([path for path in shop.paths if path.startswith("/templates/")]) == 7


def throttling(seconds: str) -> httpx.Response:
    """A 429 that asks to wait."""
    return httpx.Response(429, json={"error": "quota"}, headers={"Retry-After": seconds})


@pytest.mark.parametrize(("path", "answer", "words", "hint", "least", "most"), [
    pytest.param("", DOWN, "maintenance", "try again later", RETRY.total, RETRY.total + RETRY.longest, id="down"),
    pytest.param("", throttling("3600"), "quota", "requests_per_minute", 0, 1, id="a long wait"),
    pytest.param("", throttling("20"), "quota", "", 300, 400, id="short waits without end"),
    pytest.param("/style-profiles?page=2", DOWN, "maintenance", "", 0, 100, id="half a list"),
    pytest.param("/brand-voices", DOWN, "maintenance", "", 0, 100, id="what may be absent"),
])  # fmt: skip
def test_what_ends_a_pull(
    tmp_path: Path, path: str, answer: httpx.Response, words: str, hint: str, least: float, most: float
) -> None:
    """Tries are bounded in time, a long wait is not waited for, and nothing that is half there is taken over."""
    harness = harness_of(tmp_path, Shop(when=lambda asked, _: answer if asked.startswith(path) else None))
    with pytest.raises(ApiError, match=words) as raised:
        pull(harness)
    assert hint in raised.value.hint
    assert least <= harness.timeline.now <= most
    assert not (tmp_path / FILE).exists()


def test_a_broken_file_is_written_anew(tmp_path: Path) -> None:
    """It is said, and it is the cure the error names."""
    harness = harness_of(tmp_path, Shop())
    harness.write(FILE, "<<<<<<< HEAD\n")
    with pytest.raises(InputError) as raised:
        plan_operation.plan(harness.project, planning_inputs.Choice())
    assert "contentops catalog pull" in raised.value.findings[0].hint
    assert "is replaced" in pull(harness).notes[0]
    assert workspace.catalog_of(harness.project) is not None


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    """An old program does not overwrite what a newer one wrote."""
    harness = harness_of(tmp_path, Shop())
    newer = harness.write(FILE, '{"format_version": "2.0", "servers": {}}').read_text()
    with pytest.raises(InputError, match="error"):
        pull(harness)
    assert harness.read(FILE) == newer


def test_broken_manifests_do_not_stop_a_pull(tmp_path: Path) -> None:
    """What changed is told all the same."""
    shop = Shop(many(1))
    harness = harness_of(tmp_path, shop)
    pull(harness)
    harness.write("content/blog.yaml", "items: [")
    shop.templates = many(2)
    pulled = pull(harness)
    assert [one.items for one in pulled.changes] == [()]
    assert "manifests have errors" in pulled.notes[-1]


@pytest.mark.parametrize(("text", "ok", "words"), [
    ("{", False, "catalog.lock.json: the file is cut off or is not JSON"),
    (encode({"https://other.example:443": Catalog()}), None, "was made for `https://other.example:443`"),
    (encode({}), None, "names no server"),
])  # fmt: skip
def test_doctor_looks_at_the_file(text: str, ok: bool | None, words: str, tmp_path: Path) -> None:
    """Broken, foreign and empty files are told apart."""
    harness = harness_of(tmp_path, Shop())
    harness.write(FILE, text)
    found = next(one for one in doctor_operation.doctor(harness.project, harness.runtime()) if one.name == "catalog")
    assert found.ok is ok
    assert words in found.message
    if ok is None:
        with pytest.raises(ApiError, match="there is no catalog of") as raised:
            catalogs.known_catalog(harness.project)
        assert words in raised.value.message


# --- from a server's words to `catalog.lock.json` and back, and what changed between two ---


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
    inputs = (TemplateInput(name="x", default=False), TemplateInput(name="y", kind="text", required=True))
    templates = {"z": Template(slug="z", inputs_known=False), "a": Template(slug="a", name="Ä", inputs=inputs)}
    snapshot = Catalog(templates=templates, styles={"s": CatalogEntry(slug="s", tone="calm")})
    x, y = {"name": "x", "kind": "any", "default": False}, {"name": "y", "kind": "text", "required": True}
    text = encode({"b": Catalog(), "a": snapshot})
    assert json.loads(text) == {
        "format_version": "1.0",
        "servers": {
            "a": {
                "templates": [{"slug": "a", "name": "Ä", "inputs": [x, y]}, {"slug": "z", "inputs": None}],
                "styles": [{"slug": "s", "tone": "calm"}],
                "verticals": None,
            },
            "b": {"templates": [], "styles": [], "verticals": None},
        },
    }
    assert text.startswith('{\n  "format_version": "1.0",\n  "servers": {\n    "a": {')
    assert (text.endswith("}\n"), "Ä" in text) == (True, True)


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


def offered(**inputs: tuple[TemplateInput, ...] | None) -> dict[str, Template]:
    """Templates with these inputs; None: a server that does not tell them."""
    return {
        slug: Template(slug=slug, inputs=found or (), inputs_known=found is not None) for slug, found in inputs.items()
    }


BEFORE = Catalog(
    templates=offered(
        gone=None, told=None, silent=(),
        other=(
            TemplateInput(name="a"), TemplateInput(name="b", kind="select", options=("x",)),
            TemplateInput(name="c", required=True), TemplateInput(name="d", default=1),
        ),
    ) | {"same": Template(slug="same", name="Old name", inputs=(TemplateInput(name="a"),))},
    styles={"s1": CatalogEntry(slug="s1"), "s2": CatalogEntry(slug="s2")},
    verticals={"v1": CatalogEntry(slug="v1")},
)  # fmt: skip
AFTER = Catalog(
    templates=offered(
        new=None, told=(), silent=None,
        other=(
            TemplateInput(name="a", kind="text", required=True),
            TemplateInput(name="b", kind="select", options=("y",)), TemplateInput(name="c"),
            TemplateInput(name="d", default=2), TemplateInput(name="e", required=True), TemplateInput(name="f"),
        ),
    ) | {"same": Template(slug="same", name="New name", inputs=(TemplateInput(name="a"),))},
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
