"""Each field of `Request` is carried by every stage between a manifest and the server that writes the text.

What is new in the struct is tested here without a further line, with a text as its value; `VALUES` has other values.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.api.calls import Generate
from contentops.api.dialects import DIALECTS, detected_dialect, spell
from contentops.model import REQUEST_FIELDS, Request
from contentops.operations.adopt import import_contents
from contentops.schema_files import load_schema
from contentops.server.engines.protocol import TextRequest
from tests.desired import desired
from tests.fakes.harness import Harness, know_server
from tests.running import Build, Run

BASE = Request(template="blog", style="general", inputs={"topic": "T"})
VALUES: Mapping[str, Any] = {
    "template": "bare", "style": "formal", "vertical": "legal", "mode": "quick", "inputs": {"topic": "Other"},
    "revision": 7,
}  # fmt: skip
"""A value of each field that is no free text."""
FULL = {name: VALUES.get(name, f"some {name}") for name in REQUEST_FIELDS}
FULL["template"], FULL["style"] = "blog_article_generator", "general_blog"
FULL["inputs"] = {"topic": "Tea", "target_audience": "readers"}
SETTINGS = "version: 1\nproject: acme\napi: {base_url: local}\n"
each_field = pytest.mark.parametrize("name", REQUEST_FIELDS)


def _manifest(**item: Any) -> str:
    return json.dumps({"items": [item]})


def test_a_field_is_absent_by_default() -> None:
    """A field with another default would give every item of today a new digest, and so a new text to pay for."""
    given = {one.name for one in structs.fields(Request) if not one.required and one.default is not None}
    assert given == {"mode"}
    assert BASE.as_json() == {"template": "blog", "style": "general", "mode": "standard", "inputs": {"topic": "T"}}


@each_field
@pytest.mark.parametrize("layer", ["item", "defaults", "settings", "environment"])
def test_a_field_of_every_layer_is_in_request_digest_and_templates(project: Build, name: str, layer: str) -> None:
    """What a manifest, its defaults, the settings or an environment say is sent, compared and known to templates."""
    value = VALUES.get(name, f"some {name}")
    item = {"id": "a", "inputs": BASE.inputs, "metadata": {"said": f"{{{{ item.{name} }}}}"}}
    settings: dict[str, Any] = {"version": 1, "project": "acme", "defaults": {"template": "blog", "style": "general"}}
    manifest = {"items": [item]}
    item.pop(name, None)
    {
        "item": item,
        "defaults": manifest.setdefault("defaults", {}),  # type: ignore[arg-type]
        "settings": settings["defaults"],
        "environment": settings.setdefault("environments", {"e": {"defaults": {}}})["e"]["defaults"],
    }[layer][name] = value
    root = project({"contentops.yaml": json.dumps(settings), "content/a.yaml": json.dumps(manifest)})
    spec = desired(root, environment="e" if layer == "environment" else "", catalog=None).specs[0]
    assert getattr(spec.request, name) == value == spec.metadata["said"]
    assert spec.request.as_json()[name] == value
    assert spec.digest == spec.request.digest != BASE.digest


@each_field
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("enveloped", [False, True])
def test_a_submit_of_every_dialect_carries_a_field(name: str, dialect: str, *, enveloped: bool) -> None:
    """Under each of its names; the revision alone is ours."""
    spelled = detected_dialect(DIALECTS[dialect], enveloped=enveloped)
    body = spell(Generate(structs.replace(BASE, **{name: FULL[name]}).as_json(), "req-1"), spelled).body
    assert body is not None
    sent = json.loads(body)
    assert bool(spelled.names_of(name)) == (name != "revision")
    assert all(sent[key] == FULL[name] for key in spelled.names_of(name))


@each_field
def test_a_field_is_in_every_schema(name: str) -> None:
    """Of manifests, settings, records and mappings; without the last for what no front matter tells."""
    manifest, settings, lock = (load_schema(one)["definitions"] for one in ("manifest", "project", "lock"))
    assert manifest[name] == settings[name]
    for keys in (manifest["item"], manifest["defaults"], settings["defaults"]):
        assert keys["properties"][name] == {"$ref": f"#/definitions/{name}"}
    assert name in lock["record"]["properties"]["request"]["properties"]
    assert name in load_schema("adopt")["properties"] or name == "revision"


def test_a_run_carries_every_field_to_the_text(project: Build, invoke: Run) -> None:
    """From the manifest over the lock and the job of the bundled server to the content and its words."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": _manifest(id="a", **FULL)})
    assert invoke("apply", "--yes", cwd=root).code == 0
    record = next(json.loads(line) for line in (root / "contentops.lock").read_text().splitlines() if '"id"' in line)
    assert record["request"] == FULL
    content = invoke("content", "get", record["content_id"], "--json", cwd=root).json
    shown = set(map(str, content["metadata"].values()))
    for name in set(REQUEST_FIELDS) - {"revision", "inputs"}:
        assert str(FULL[name]) in shown, name
    text = (root / "out/a.md").read_text()
    for name in set(REQUEST_FIELDS) - {"revision", "template", "style", "mode", "inputs"}:
        assert str(FULL[name]) in text, name


def test_the_server_reads_what_the_client_sends() -> None:
    """Two tables, since the server imports nothing of the client: one has no field that the other lacks."""
    assert set(TextRequest.__struct_fields__) == set(REQUEST_FIELDS) - {"revision"}


@pytest.mark.parametrize("told", ["options", "map"])
def test_adopt_takes_every_field(project: Build, invoke: Run, told: str) -> None:
    """By an option or the `defaults` for all texts, or by a key of each text's front matter."""
    fields = {name: value for name, value in FULL.items() if name not in {"inputs", "revision"}}
    front = {f"its_{name}": value for name, value in (fields | FULL["inputs"]).items()} if told == "map" else {}
    mapping = {**{name: f"its_{name}" for name in fields}, "inputs": {name: f"its_{name}" for name in FULL["inputs"]}}
    text = f"---\n{json.dumps({'title': 'T', **front})}\n---\nBody\n"
    named = ("template", "style")
    rest = {name: value for name, value in fields.items() if name not in named} if told == "options" else {}
    settings = f"{SETTINGS}\ndefaults: {json.dumps(rest)}\n"
    root = project({"contentops.yaml": settings, "map.yaml": json.dumps(mapping), "docs/a.md": text})
    options = [f"--{name}={fields[name]}" for name in named]
    options += [f"--input={name}={value}" for name, value in FULL["inputs"].items()]
    assert invoke("adopt", "docs", "--yes", *(options if told == "options" else ["--map=map.yaml"]), cwd=root).code == 0
    request = invoke("show", "docs/a", "--json", cwd=root).json["request"]
    assert request == {**fields, "inputs": FULL["inputs"]}


def test_import_declares_every_field_of_a_known_request(tmp_path: Path) -> None:
    """A content without an owner whose request a lock knows becomes an item that asks for the same."""
    harness = Harness(tmp_path)
    know_server(tmp_path, "https://api.example.test/v1")
    harness.write("content/a.yaml", _manifest(id="a", **FULL))
    harness.apply()
    record = harness.record("a")
    for table in (tmp_path / "contentops.lock", tmp_path / "contentops.jobs"):
        table.write_text(table.read_text().replace(record.content_id, "cnt_lost"))
    harness.api.contents[record.content_id].metadata |= {"contentops_item": "a", "contentops_digest": record.digest}
    # No other item may request the same text.
    harness.write("content/a.yaml", _manifest(id="a", **FULL | {"revision": 99}))
    given: dict[str, Any] = {"confirm": lambda _: True, "runtime": harness.runtime()}
    found = import_contents(harness.project, [record.content_id], **given)
    (taken,) = found.taken
    assert harness.record(taken.id).request == FULL
    assert [str(change.id) for change in harness.plan().changes] == ["a"]
