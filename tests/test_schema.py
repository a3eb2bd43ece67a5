"""What a file's JSON Schema allows, and how we say that something does not fit."""

import textwrap
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from contentops.errors import Diagnostic
from contentops.manifests.schema import check_schema, field_tests, fits_schema
from contentops.manifests.values import RESERVED
from contentops.schema_files import SCHEMA_NAMES, load_schema, schema_path
from contentops.yaml.positions import Source, YamlDocument
from contentops.yaml.read import MAX_FINDINGS, read_yaml
from tests.test_read import underlined

MANIFEST, PROJECT = "manifest", "project"


def findings_of(text: str, schema: str = MANIFEST) -> list[Diagnostic]:
    """The findings of a YAML text that has no syntax problems."""
    document, findings = read_yaml("a.yaml", textwrap.dedent(text).encode())
    assert findings == []
    return check_schema(document, schema)


def parts_of(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path."""
    if isinstance(node, dict):
        yield path, node
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from parts_of(value, f"{path}/{key}")


def named(part: dict[str, Any], schema: dict[str, Any]) -> Any:
    """What a reference names; anything else is itself."""
    return schema["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


@pytest.mark.parametrize("name", ["project", "manifest"])
def test_examples_and_defaults_fit_their_own_schema(name: str) -> None:
    """What the schema shows as an example is allowed by it; it is a valid draft 07, by which editors know it."""
    root = load_schema(name)
    assert root["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(root)
    for _, part in parts_of({key: root[key] for key in ("properties", "definitions")}):
        examples = [part[key] for key in ("default",) if key in part] + list(part.get("examples", []))
        validator = jsonschema.Draft7Validator({**part, "definitions": root["definitions"]})
        assert all(map(validator.is_valid, examples)), part


def test_both_schemas_agree_on_defaults_and_vars() -> None:
    """They mean the same in `contentops.yaml` and in a manifest; all that an item takes can be a default, if sensible."""
    manifest, project = load_schema(MANIFEST), load_schema(PROJECT)
    for schema in (manifest, project):  # no variable has a name that means something else in every template
        assert set(schema["definitions"]["vars"]["propertyNames"]["not"]["enum"]) >= RESERVED
    defaults = set(manifest["definitions"]["defaults"]["properties"])
    assert set(manifest["definitions"]["item"]["properties"]) - defaults == {"id", "for_each", "matrix", "uses", "vars"}
    shared = set(manifest["definitions"]) & set(project["definitions"])
    assert {"defaults", "vars", "mode", "on_edit"} <= shared
    for name in shared:
        ours, theirs = manifest["definitions"][name], project["definitions"][name]
        if name == "checks":  # whoever may propose a manifest could run anything
            named = {key: each for key, each in theirs["properties"].items() if key != "commands"}
            theirs = {**theirs, "properties": named}
        assert ours == theirs


def test_schema_files_are_found_by_name() -> None:
    """Schemas are looked up by name; an unknown name is a KeyError, the same name the same object."""
    assert {"project", "manifest", "lock", "plan", "report", "event"} <= set(SCHEMA_NAMES)
    assert load_schema("project") is load_schema(PROJECT)
    assert schema_path("project").is_file()
    with pytest.raises(KeyError):
        load_schema("../project")


IN_MANIFESTS = [
    ("items: [{id: x, checks: {retries: 11}}]", "wrong-value", "11", "`retries` must be at most 10, not 11", ""),
    ("items: [{id: x, checks: {retries: -1}}]", "wrong-value", "-1", "`retries` must be at least 0, not -1", ""),
    ("items: [{id: x, templte: t}]", "unknown-key", "templte", "item `x`: unknown key `templte`", "`template`"),
    ("items: [{id: x, zzz: t}]", "unknown-key", "zzz", "`zzz`", "go under `inputs`"),
    ("itms: []", "unknown-key", "itms", "unknown key `itms`", "`items`"),
    ("defaults: {id: x}", "unknown-key", "id", "unknown key `id` in `defaults`", "known keys"),
    ("items: [{template: t}]", "missing-key", "{", "an item has no `id`", "id: ai-adoption-guide"),
    ("moved: [{from: a}]", "missing-key", "{", "an entry of `moved` has no `to`", "to:"),
    ("- a", "wrong-type", "-", "the file must be a map, not a list", ""),
    ("abc", "wrong-type", "abc", "the file must be a map, not the text `abc`", ""),
    ("items: [3]", "wrong-type", "3", "an entry of `items` must be a map, not the number `3`", ""),
    ("items: {a: 1}", "wrong-type", "{", "`items` must be a list, not a map", ""),
    ("items: [{id: 7}]", "wrong-type", "7", "`id` must be a text, not the number `7`", '`"7"`'),
    ("items: [{id: x, style: true}]", "wrong-type", "true", "must be a text, not `true`", '`"true"`'),
    ("items: [{id: x, protected: yes}]", "wrong-type", "yes", "must be `true` or `false`", "write `true`"),
    ("items: [{id: x, save: off}]", "wrong-type", "off", "not the text `off`", "write `false`"),
    ("items: [{id: x, tags: a}]", "wrong-type", "a", "`tags` must be a list", "write `[a]`"),
    ("items: [{id: x, tags: {a: 1}}]", "wrong-type", "{", "`tags` must be a list, not a map", ""),
    ("items: [{id: x, tags: [1]}]", "wrong-type", "1", "an entry of `tags` must be a text", '`"1"`'),
    ("items: [{id: x, tags: [~]}]", "wrong-type", "~", "it is empty", "give it a value"),
    ("items: [{id: }]", "wrong-type", "}", "`id` must be a text; it is empty", "give it a value"),
    ("items: [{id: ''}]", "wrong-value", "''", "`id` is an empty text", "give it a value"),
    ("items: [{id: x, mode: premum}]", "wrong-value", "premum", "`quick`, `standard` or `premium`", "`premium`"),
    ("items: [{id: x, on_edit: Block}]", "wrong-value", "Block", "`block`", "`block`"),
    ("items: [{id: x, mode: zzz}]", "wrong-value", "zzz", "not the text `zzz`", ""),
    ("version: 2", "wrong-value", "2", "`version` must be `1`, not the number `2`", "update it"),
    ("version: '1'", "wrong-value", "'1'", "`version` must be `1`", "remove the quotes"),
    ("version: true", "wrong-value", "true", "not `true`", ""),
    ("items: [{id: x, revision: [1]}]", "wrong-type", "[", "a whole number or a text, not a list", ""),
    ("items: [{id: x, revision: ''}]", "wrong-value", "''", "`revision` is an empty text", ""),
    ("items:\n  id: x\n", "wrong-type", "i", "`items` must be a list, not a map", "`- `"),
    ("items: []\nid: x\n", "unknown-key", "id", "unknown key `id`", "`- id: ...`"),
    ("items: [{id: x, matrix: {}}]", "wrong-value", "{", "`matrix` is an empty map", ""),
    ("items: [{id: x, matrix: {a-b: []}}]", "bad-name", "a-b", "`a-b` is not a valid name in `matrix`", "letters"),
    ("items: [{id: x, matrix: {a: 1}}]", "wrong-type", "1", "`a` must be a text or a list", "write `[1]`"),
    ("vars: {a-b: 1}", "bad-name", "a-b", "`a-b` is not a valid name in `vars`", "letters"),
    ("vars: {each: 1}", "bad-name", "each", "`each` is not a valid name in `vars`", "taken"),
    ("items: [{id: x, vars: {not: 1}}]", "bad-name", "not", "item `x`: `not` is not", "taken"),
    (f"moved: [{{from: {'x' * 201}, to: b}}]", "wrong-value", "x" * 201, "longer than 200", ""),
]
"""Text, code, what is underlined, and parts of message and hint."""
IN_SETTINGS = [
    ("api: {urls: x}", "unknown-key", "urls", "in `api`", "known keys: `base_url`"),
    ("provenance: 1", "wrong-type", "1", "not the number `1`", ""),
    ("api: {max_in_flight: '5'}", "wrong-type", "'5'", "a whole number, not the text `5`", "remove the quotes"),
    ("budget: {credits_per_apply: 1.5}", "wrong-type", "1.5", "a whole number", ""),
    ("api: {max_in_flight: 0}", "wrong-value", "0", "must be at least 1, not 0", ""),
    ("guards: {max_changed_ratio: 2}", "wrong-value", "2", "must be at most 1, not 2", ""),
    ("api: {dialect: }", "wrong-value", "}", "not nothing", ""),
    ("api: {save: false}", "wrong-value", "false", "`auto` or `off`, not `false`", "write `off`"),
    ("api: {save: true}", "wrong-value", "true", "`auto` or `off`, not `true`", "write `auto`"),
    ("guards: {from_items: 1_000}", "wrong-type", "1_000", "whole number", "`1000`"),
    ("environments: {Prod: {}}", "bad-name", "Prod", "`Prod` is not a valid name in `environments`", "small letters"),
    ("environments: {prod: {project: x}}", "unknown-key", "project", "unknown key `project` in `prod`", ""),
    ("api: {job_timeout: soon}", "wrong-value", "soon", "`job_timeout` cannot be the text `soon`", "`15m`"),
    ("api: {job_timeout: 0}", "wrong-value", "0", "`job_timeout` cannot be the number `0`", "`15m`"),
    ("manifests: []", "wrong-value", "[", "`manifests` is an empty list", ""),
    ("review: {preview: 'http://a.b/{path}'}", "wrong-value", "'http://a.b/{path}'", "`preview`", "127.0.0.1"),
    ("review: {preview: 'http://127.0.0.1:1313/'}", "wrong-value", "'http://127.0.0.1:1313/'", "`preview`", "{path}"),
    (
        "review: {preview: 'http://127.0.0.1.b/{path}'}",
        "wrong-value",
        "'http://127.0.0.1.b/{path}'",
        "`preview`",
        "127",
    ),
]
"""The same, of a file that is complete with `project: p`."""


@pytest.mark.parametrize(("schema", "text", "code", "part", "message", "hint"), [
    *((MANIFEST, *case) for case in IN_MANIFESTS),
    *((PROJECT, f"{text}\nproject: p", *case) for text, *case in IN_SETTINGS),
    (PROJECT, "version: 1", "missing-key", "v", "the file has no `project`", "project: acme-blog"),
])  # fmt: skip
def test_problem_is_said_in_our_words_at_its_place(
    schema: str, text: str, code: str, part: str, message: str, hint: str
) -> None:
    """Each kind of problem is one finding that underlines the culprit and says what to write."""
    (problem,) = findings_of(text, schema)
    assert (problem.code, underlined(problem)) == (code, part)
    assert message in problem.message
    assert hint in problem.hint
    assert bool(problem.hint) >= bool(hint)


@pytest.mark.parametrize("key", ["access_token", "key", "api_key", "token", "Secret"])
def test_literal_key_is_refused_and_not_shown(key: str) -> None:
    """An API key in the file is answered with `key_env`, and shown neither here nor by a neighbour in its line."""
    problems = findings_of(f"project: p\napi: {{{key}: sk-123456, dialect: v9}}\n", PROJECT)
    assert {entry.code for entry in problems} == {"unknown-key", "wrong-value"}
    assert "set `key_env`" in problems[0].hint
    assert all("sk-123456" not in f"{entry.excerpt}{entry.message}{entry.hint}" for entry in problems)
    assert underlined(problems[0]) == key


def test_flood_of_problems_is_capped() -> None:
    """A file with endless problems does not give endless findings."""
    text = "items: [" + "3, " * 3000 + "]"
    assert MAX_FINDINGS <= len(findings_of(text)) <= MAX_FINDINGS + 1
    keys = "{" + "".join(f"k{number}: 1, " for number in range(3000)) + "}"
    assert len(findings_of(keys)) == MAX_FINDINGS


@pytest.mark.parametrize("name", ["manifest", "project"])
def test_editors_say_what_a_key_means_and_what_is_wrong_with_it(name: str) -> None:
    """An editor shows the words of the schema it found last, so every key has a description and nothing inside it.

    It also shows an `errorMessage` for whatever is wrong below: a map of keys with one would hide a misspelt key.
    """
    schema = load_schema(name)
    for path, part in parts_of(schema):
        for key, own in part.get("properties", {}).items() if not path.endswith("/properties") else ():
            described = {**named(own, schema), **own}
            assert described.get("description"), f"{path}/{key}"
            inner = [named(branch, schema) for branch in described.get("anyOf", ())]
            assert not any("description" in branch for branch in inner), f"{path}/{key}"
        assert not ("properties" in part and "errorMessage" in part), path


FITTING = ("project", "manifest", "catalog", "adopt")
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 1.5, -1, "", "a", "A_B", "{{ x }}", "1.0", "block", "x" * 300])


def _values(schema: Any, definitions: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values near to a schema: each part as it is asked for, or another value in its place."""
    if isinstance(schema, bool) or depth > 6:
        return SCALARS
    if "$ref" in schema:
        return _values(definitions[schema["$ref"].removeprefix("#/definitions/")], definitions, depth)
    fitting = [st.sampled_from(schema["enum"])] if "enum" in schema else []
    fitting += [st.just(schema["const"])] if "const" in schema else []
    fitting += [st.just(each) for each in schema.get("examples", [])]
    fitting += [_values(part, definitions, depth + 1) for part in schema.get("anyOf", ())]
    if "items" in schema:
        fitting.append(st.lists(_values(schema["items"], definitions, depth + 1), max_size=3))
    if "properties" in schema or "additionalProperties" in schema:
        known = {key: _values(part, definitions, depth + 1) for key, part in schema.get("properties", {}).items()}
        needed = {key: known.pop(key) for key in schema.get("required", ()) if key in known}
        others = st.dictionaries(SCALARS.filter(lambda key: isinstance(key, str)), SCALARS, max_size=1)
        whole = st.fixed_dictionaries(needed, optional=known)
        fitting += [whole, whole, st.builds(lambda one, other: {**one, **other}, whole, others)]
    return st.one_of(*fitting, SCALARS)


@pytest.mark.parametrize("name", FITTING)
@given(data=st.data())
def test_it_is_what_jsonschema_says(name: str, data: st.DataObject, takes_seconds: None) -> None:
    """Of values that fit, nearly fit, and do not: these have findings, and each is a proper sentence."""
    schema = load_schema(name)
    value = data.draw(_values(schema, schema.get("definitions", {})))
    is_valid = Draft7Validator(schema).is_valid(value)
    assert fits_schema(value, name) == is_valid
    problems = check_schema(YamlDocument(Source("a.yaml", ""), value), name) if value is not None else []
    assert bool(problems) == (not is_valid and value is not None)
    for entry in problems:
        assert entry.location is not None
        assert entry.message == entry.message.strip()
        assert entry.code
        assert "None" not in entry.message.replace("`None`", "")


def test_rendered_fields_are_the_written_ones_without_templates() -> None:
    """What a field may be is said once: a rendered value fits if it is no null and fits without being a template."""
    for name, test in field_tests().items():
        for value in (
            "{{ x }}",
            "{% x %}",
            None,
            1,
            1.0,
            True,
            "quick",
            "a",
            [],
            ["a"],
            [1],
            {},
            {"words": {"min": 1}},
        ):
            item = {"id": "x", name: value}
            template = isinstance(value, str) and "{" in value and not test("any text")
            assert test(value) == (value is not None and not template and fits_schema({"items": [item]}, "manifest"))
