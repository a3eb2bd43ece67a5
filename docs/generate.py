"""Generate schemas and parts of the documentation from the program's code.

    python docs/generate.py           writes docs/reference/{manifest,project}.md, and parts of other pages
    python docs/generate.py --check   writes nothing; exit code 1 names the pages that are not fresh

A test runs the check, so each new key needs a line in these pages. Only the site has pages of the command line and of
the error codes. In the repository, read `contentops COMMAND --help` and docs/reference/errors.yaml.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import msgspec
import yaml
from msgspec import Meta, structs

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from contentops.cli.entry import cli  # noqa: E402 - the checkout comes first on the path
from contentops.digest import PREFIX, Digest  # noqa: E402
from contentops.documents.preset import NEUTRAL, PRESETS, Form, Rule  # noqa: E402
from contentops.manifests.render import ITEM_FIELDS  # noqa: E402
from contentops.model import (  # noqa: E402
    REQUEST_FIELDS,
    ApiSettings,
    Approval,
    Budget,
    Event,
    Guards,
    Job,
    JobState,
    Note,
    Outcome,
    Record,
    Saved,
)
from contentops.model.approval import ApprovalState, Comment  # noqa: E402
from contentops.model.plan import ReviewedChange, ReviewedJob, Writer  # noqa: E402
from contentops.model.plan_file import PlanFile, PlanOptions, PlanSummary  # noqa: E402
from contentops.model.records import FormatVersion  # noqa: E402
from contentops.model.run import ApplyReport, RunReport  # noqa: E402
from contentops.model.settings import Findings, MonthSpend  # noqa: E402
from contentops.model.steps import Step, name_of  # noqa: E402
from contentops.schema_files import load_schema  # noqa: E402
from contentops.state.approvals import ApprovalsHeader  # noqa: E402
from contentops.state.codec import FileHeader, Header  # noqa: E402
from contentops.state.jobs import JobsHeader  # noqa: E402
from contentops.tokens import TokenSum, WrittenSum  # noqa: E402
from docs import command_reference, error_reference, template_reference  # noqa: E402
from docs.command_reference import cell, prose  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Schema = Mapping[str, Any]

REFERENCE: Final = ROOT / "docs" / "reference"
SCHEMAS: Final = ROOT / "schemas"
NOTICE: Final = "<!-- Made by docs/generate.py. Edit its source, then run `make docs`. -->"


class SitePage(NamedTuple):
    """A page that only the website has. There, a link to the page's source file leads to the page."""

    source: Path
    path: str
    """Relative to docs/."""
    text: str


def site_pages() -> list[SitePage]:
    """Return the pages that only the site has."""
    commands = _page("Command line", command_reference.INTRODUCTION, command_reference.lines(cli))
    errors = _page("Errors", error_reference.INTRODUCTION, error_reference.lines(error_texts()))
    return [
        SitePage(ROOT / "contentops" / "cli" / "entry.py", "reference/cli.md", commands),
        SitePage(REFERENCE / "errors.yaml", "reference/errors.md", errors),
    ]


def error_texts() -> dict[str, dict[str, str]]:
    """Return the explanation of every error code, by group."""
    found: dict[str, dict[str, str]] = yaml.safe_load(_read(REFERENCE / "errors.yaml"))
    return found


def pages() -> dict[str, str]:
    """Return the text of every generated file in the repository, by its path relative to the repository root."""
    project = _with_settings(_with_presets(_with_item_keys(_read(SCHEMAS / "project.schema.json"))))
    seen = _Seen({}, set())
    return {
        "docs/reference/manifest.md": _page(
            "Manifests", _MANIFEST_INTRODUCTION, _schema(load_schema("manifest"), seen)
        ),
        "docs/reference/project.md": _page(
            "`contentops.yaml`", _PROJECT_INTRODUCTION, _schema(json.loads(project), seen.from_page("manifest.md"))
        ),
        "docs/reference/output.md": _between(_read(REFERENCE / "output.md"), _presets()),
        "docs/reference/templates.md": _with_item_names(
            _between(_read(REFERENCE / "templates.md"), template_reference.lines())
        ),
        "schemas/adopt.schema.json": _with_mapped_keys(_read(SCHEMAS / "adopt.schema.json")),
        **{f"schemas/{name}.schema.json": _lines(name) for name in _FILES},
        **{f"schemas/{name}.schema.json": _document(name) for name in _DOCUMENTS},
        "schemas/project.schema.json": project,
    }


def stale() -> list[str]:
    """Return the paths of the generated files that are out of date."""
    return [name for name, text in pages().items() if _read(ROOT / name) != text]


def main(arguments: list[str]) -> int:
    """Write or check the generated files, and return the exit code."""
    outdated = stale()
    if "--check" in arguments:
        for name in outdated:
            print(f"{name} is not fresh; run `make docs`", file=sys.stderr)
        return 1 if outdated else 0
    fresh = pages()
    for name in outdated:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(fresh[name], encoding="utf-8", newline="\n")
        print(f"wrote {name}")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _page(title: str, introduction: str, lines: Iterator[str]) -> str:
    return "\n".join([NOTICE, "", f"# {title}", "", introduction, "", *lines]).rstrip() + "\n"


# --- presets ---------------------------------------------------------------------------------------------------

_START: Final = "<!-- Made by docs/generate.py; run `make docs`. -->\n"
_END: Final = "<!-- End of what is made. -->"


def _between(text: str, *parts: Iterable[str]) -> str:
    """Return a page in which each generated part is replaced by new lines.

    Two comments mark the start and the end of a generated part.
    """
    done = ""
    for lines in parts:
        before, start, rest = text.partition(_START)
        _, end, text = rest.partition(_END)
        done += "".join([before, start, "\n", *(f"{line}\n" for line in lines), "\n", end])
    return done + text


def _presets() -> Iterator[str]:
    yield f"| `metadata` | {' | '.join(map(str.capitalize, PRESETS))} |"
    yield "|---" * (len(PRESETS) + 1) + "|"
    for key in NEUTRAL:
        yield f"| `{key}` | {' | '.join(_rule(rules.get(key)) for rules in PRESETS.values())} |"


def _rule(rule: Rule | None) -> str:
    if rule is None:
        return ""
    return f"`{rule.name}`" if rule.form is Form.SAME else f"`{rule.name}` ({rule.form})"


def _with_presets(text: str) -> str:
    """Return the schema of `contentops.yaml` with the current names of the presets."""
    names = [*(f'"{name}"' for name in PRESETS), "null"]

    def listed(found: re.Match[str]) -> str:
        return found[1] + ",".join(f"\n{found[2]}  {name}" for name in names) + f"\n{found[2]}]"

    return re.sub(r'("preset": \{\n( *)"enum": \[)[^\]]*\]', listed, text)


def _with_settings(text: str) -> str:
    """Return the schema of `contentops.yaml`, with the keys of `api`, `budget` and `guards` from their types."""
    schema = json.loads(text)
    for name, kind in _SETTINGS.items():
        schema["properties"][name]["properties"] = {
            one.name: _setting(one) for one in structs.fields(kind) if _described(one.type)
        }
    return _json(schema)


_SETTINGS: Final[Mapping[str, type[msgspec.Struct]]] = {"api": ApiSettings, "budget": Budget, "guards": Guards}


def _described(kind: Any) -> Meta | None:
    """Return the annotation that describes a setting, or None if the field is not a setting."""
    metas = [one for one in getattr(kind, "__metadata__", ()) if isinstance(one, Meta)]
    return next((one for one in metas if one.description), None)


def _setting(one: structs.FieldInfo) -> Schema:
    """Return the schema of one setting. An empty default is left out."""
    meta = _described(one.type)
    also = (meta and meta.extra_json_schema) or {}
    found = msgspec.json.schema(one.type)
    if not {"type", "enum", "anyOf"}.isdisjoint(also):
        found = {key: value for key, value in found.items() if key not in {"type", "enum", "anyOf"}}
    default = {"default": one.default} if one.default and not one.required else {}
    return {**found, **default, **also}


# --- item keys -------------------------------------------------------------------------------------------------


def _json(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _with_item_keys(text: str) -> str:
    """Return the schema of `contentops.yaml`, with the item keys of the manifest schema.

    In `contentops.yaml`, `checks` also has `commands`.
    """
    project, manifest = json.loads(text), load_schema("manifest")["definitions"]
    shared = {name: one for name, one in manifest.items() if name not in {"id", "item"}}
    own = {name: one for name, one in project["definitions"].items() if name not in shared}
    commands = project["definitions"]["checks"]["properties"]["commands"]
    checks = {**shared["checks"], "properties": {**shared["checks"]["properties"], "commands": commands}}
    return _json({**project, "definitions": {**shared, "checks": checks, **own}})


def _with_mapped_keys(text: str) -> str:
    """Return the schema of a mapping for `contentops adopt`, with a key for each field of a request."""
    schema = json.loads(text)
    known = schema["properties"]
    mapped = {
        name: {
            "type": "string",
            "minLength": 1,
            "description": f"The key whose value is the item's {name.replace('_', ' ')}.",
            "examples": known.get(name, {}).get("examples", [name]),
        }
        for name in REQUEST_FIELDS
        if name not in {"inputs", "revision"}
    }
    last = {name: known[name] for name in ("inputs", "metadata")}
    first = {name: one for name, one in known.items() if name not in mapped and name not in last}
    return _json({**schema, "properties": {**first, **mapped, **last}})


# --- the state files -------------------------------------------------------------------------------------------

_FILES: Final[Mapping[str, tuple[type[FileHeader], tuple[type[msgspec.Struct], ...]]]] = {
    "jobs": (JobsHeader, (Job,)),
    "lock": (Header, (Record,)),
    "approvals": (ApprovalsHeader, (Approval, Comment)),
}
"""By the name of its schema, the types of the header and of the other lines of a state file."""


def _lines(name: str) -> str:
    """Return the schema of one line of a state file, made from the types of its lines."""
    header, kinds = _FILES[name]
    (version,) = (one.encode_name for one in structs.fields(header) if one.name == "version")
    _, found = msgspec.json.schema_components([*kinds])
    for kind in kinds:
        found[kind.__name__]["not"] = {"required": [version]}
    for kind, key in _digests(kinds):
        found[kind.__name__]["properties"][key]["pattern"] = f"^{PREFIX}[0-9a-f]{{64}}$"
    if name == "lock":
        found["Record"]["properties"]["request"] |= _request()
    definitions = {"Header": _header(header, version), **found}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"One line of contentops.{name}",
        "description": "JSON Lines: a header, then sorted lines. Each line is one JSON object with sorted keys; empty "
        f"optional keys are left out. Unknown keys are ignored; a higher `{version}` is refused.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("Header", *(kind.__name__ for kind in kinds))],
        "definitions": {kind.lower(): _without_default(one) for kind, one in definitions.items()},
    }
    return re.sub(r"#/\$defs/(\w+)", lambda found: f"#/definitions/{found[1].lower()}", _json(schema))


def _header(kind: type[FileHeader], version: str) -> Schema:
    """Return the schema of the first line of a state file."""
    keys: dict[str, Schema] = {version: {"description": "Version of this format.", "const": kind.newest}}
    if kind is not ApprovalsHeader:
        keys["lineage"] = {
            "description": "The UUID of the project that these lines belong to.",
            "type": "string",
            "format": "uuid",
        }
    if kind is Header:
        keys["digest"] = {"description": "Version of the digest of requests.", "type": "integer", "minimum": 1}
    return {
        "type": "object",
        "required": [*keys],
        "properties": keys,
        "not": {"anyOf": [{"required": [key]} for key in ("id", "item")]},
    }


def _digests(kinds: Iterable[type[msgspec.Struct]]) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """Yield each type that has a digest, and the name of the digest's key. Fields of `Saved` are included."""
    each: list[type[msgspec.Struct]] = [*kinds, *([Saved] if Record in kinds else [])]
    for kind in each:
        yield from ((kind, one.encode_name) for one in structs.fields(kind) if Digest in get_args(one.type))


def _without_default(schema: Schema) -> Schema:
    """Return a schema without titles and defaults, because state files omit default values."""
    keys = {
        key: {word: said for word, said in one.items() if word != "default"}
        for key, one in schema.get("properties", {}).items()
    }
    said = {"description": " ".join(schema["description"].split())} if "description" in schema else {}
    kept = {word: one for word, one in schema.items() if word != "title"}
    return {**kept, **said, **({"properties": keys} if keys else {})}


def _request() -> Schema:
    """Return the schema of a rendered request. It has the keys of a manifest, without templates."""
    definitions = load_schema("manifest")["definitions"]
    keys: dict[str, Schema] = {}
    for name in ("inputs", *REQUEST_FIELDS):
        kinds = definitions[name].get("type", ())
        kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
        keys[name] = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    keys["mode"] = {"enum": ["quick", "standard", "premium"]}
    keys["revision"] = {"type": ["integer", "string"]}
    return {"required": ["template", "style", "mode", "inputs"], "properties": keys}


# --- the documents that commands print -------------------------------------------------------------------------

STEP_NAMES: Final = sorted({name_of(kind) for kind in get_args(Step)})
"""The names of all steps."""
_DOCUMENTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "plan": PlanFile,
    "report": ApplyReport,
    "event": Event,
    "diagnostics": Findings,
}
"""By the name of its schema, the type of a document; the schema file itself has the title and the description."""
_ABSENT: Final[Mapping[type[msgspec.Struct], tuple[str, ...]]] = {
    PlanFile: ("writer", "spent", "approves"),
    PlanOptions: PlanOptions.__struct_fields__,
    PlanSummary: ("credits_worst",),
    Note: ("items", "credits"),
    Outcome: ("credits_at_most",),
    RunReport: ("credits_at_most", "credits_unknown"),
}
"""The keys that may be absent, beside those that a type omits."""
_SEALED: Final = {Budget, MonthSpend, Writer}
"""The types whose other keys are refused."""
_CLOSED: Final = {JobState.NEVER, JobState.GIVEN_UP, JobState.SETTLED}
_APPROVAL: Final[Schema] = {"enum": [state for state in ApprovalState if state is not ApprovalState.NONE]}
_NARROWER: Final[Mapping[type[msgspec.Struct], Mapping[str, Schema]]] = {
    PlanFile: {"approves": {"minItems": 1}},
    PlanSummary: {
        "approvals": {"propertyNames": _APPROVAL},
        "actions": {"propertyNames": {"$ref": "#/$defs/Action"}},
    },
    # In the settings, the price has the currency.
    Budget: {"currency": {"description": "The currency of the limits in money."}},
    MonthSpend: {"credits_unsure": {"minimum": 1}},
    Outcome: {"credits_at_most": {"const": True}, "steps": {"items": {"enum": STEP_NAMES}}},
    RunReport: {"credits_at_most": {"const": True}},
    ReviewedChange: {
        "steps": {"items": {"enum": STEP_NAMES}},
        "approval": _APPROVAL,
        "waits": {"items": {"allOf": [{"$ref": "#/$defs/Reference"}, {"required": ["wait"]}]}},
    },
    ReviewedJob: {"state": {"enum": [state for state in JobState if state not in _CLOSED]}},
}
"""What a type cannot say of its keys."""


def _document(name: str) -> str:
    """Return the schema of a document that a command prints, made from the document's type."""
    kind = _DOCUMENTS[name]
    schema = json.loads(_read(SCHEMAS / f"{name}.schema.json"))
    head = {key: schema[key] for key in ("$schema", "$id", "title", "description")}
    _, found = msgspec.json.schema_components([kind, *([WrittenSum] if kind is ApplyReport else [])])
    types = {one.__name__: one for one in _structs(msgspec.inspect.type_info(kind))}
    parts = {
        part: _part(types[part], one, found) if part in types else _without_default(one) for part, one in found.items()
    }
    top = parts.pop(kind.__name__)
    if kind is Event:
        version = msgspec.json.schema(FormatVersion)
        keys = {"format_version": version, **top["properties"]}
        top = {**top, "required": ["format_version", *top["required"]], "properties": keys}
    definitions = {part.lower(): one for part, one in parts.items() if f'"#/$defs/{part}"' in _json({**top, **parts})}
    whole = {**head, **top, **({"definitions": definitions} if definitions else {})}
    return re.sub(r"#/\$defs/(\w+)", lambda found: f"#/definitions/{found[1].lower()}", _json(whole))


def _structs(info: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield all struct types inside a type, and the type itself if it is a struct."""
    if isinstance(info, msgspec.inspect.StructType):
        yield info.cls
    for name in getattr(info, "__struct_fields__", ()):
        value = getattr(info, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, msgspec.inspect.Type | msgspec.inspect.Field):
                yield from _structs(one)


def _part(kind: type[msgspec.Struct], schema: Schema, all_parts: Mapping[str, Schema]) -> dict[str, Any]:
    """Return the schema of a part of a document.

    A key may be absent if the part's type omits it, or if `_ABSENT` lists it.
    """
    omits, absent = kind.__struct_config__.omit_defaults, _ABSENT.get(kind, ())
    keys: dict[str, Schema] = dict(_without_default(schema)["properties"])
    required = []
    for one in structs.fields(kind):
        key = one.encode_name
        if one.type is TokenSum:
            # It is written as these keys.
            del keys[key]
            keys |= _part(WrittenSum, all_parts["WrittenSum"], all_parts)["properties"]
            continue
        if key not in absent and (not omits or one.required):
            required.append(key)
        elif one.default is None and kind is not PlanOptions:
            # The file leaves the key out.
            (kept, _) = keys[key]["anyOf"]
            keys[key] = {"description": keys[key]["description"], **kept}
        elif one.default is False and omits:
            keys[key] = {"description": keys[key]["description"], "const": True}
        if more := _NARROWER.get(kind, {}).get(key):
            # What stands next to a `$ref` does not count.
            keys[key] = {**{word: said for word, said in keys[key].items() if word != "$ref"}, **more}
    sealed = {"additionalProperties": False} if kind in _SEALED else {}
    return {"type": "object", **sealed, **({"required": required} if required else {}), "properties": keys}


def _with_item_names(text: str) -> str:
    """Return the page of templates with the current list of `item.NAME` values."""
    names = ", ".join(f"`item.{name}`" for name in ITEM_FIELDS)
    return re.sub(r"(\| `item` \|.*, rendered: ).*( \|)", rf"\1{names}\2", text)


# --- the file formats ------------------------------------------------------------------------------------------

_MANIFEST_INTRODUCTION = """\
A manifest is a YAML file that declares items. `contentops schema manifest` prints its JSON Schema.
For editors, put `# yaml-language-server: $schema=...` at the top of a manifest.
Values of an item may be [templates](templates.md). contentops checks rendered values again.
Most values can also be `null`, which removes an inherited value."""

_PROJECT_INTRODUCTION = """\
`contentops.yaml` marks the root of a project.
`contentops schema project` prints its JSON Schema."""

_SCALARS: Final = (str, int, float, bool)


_TOP: Final = "The first table"


@dataclass
class _Seen:
    """The table rows and objects that a page has already explained. Each row has a link to its section."""

    rows: dict[str, str]
    shapes: set[str]

    def from_page(self, page: str) -> _Seen:
        """Return a copy of what a page explained, with links that work from another page."""
        links = {row: link.replace("(#", f"({page}#") for row, link in self.rows.items()}
        top = f"[The first table of manifests]({page})"
        links = {row: top if link == _TOP else link for row, link in links.items()}
        return _Seen(links, self.shapes)


def _schema(schema: Schema, seen: _Seen) -> Iterator[str]:
    """Yield a table of the top-level keys, then a section for each object that is not yet explained."""
    yield from _object(schema, schema, "", seen)


def _object(root: Schema, schema: Schema, path: str, seen: _Seen) -> Iterator[str]:
    keys = {key: _resolve(root, found) for key, found in schema.get("properties", {}).items()}
    rows = {key: _row(root, key, found, key in schema.get("required", [])) for key, found in keys.items()}
    linked = {key: seen.rows[row] for key, row in rows.items() if row in seen.rows}
    if path:
        yield f"## `{path}`"
        yield ""
        said = str(schema.get("description", ""))
        yield from prose(said) if not any(cell(said) in row for row in seen.rows) else ()
    link = f"[`{path}`](#{re.sub(r'[^a-z_-]', '', path.lower())})" if path else _TOP
    seen.rows.update({row: link for row in rows.values() if row not in seen.rows})
    for section in dict.fromkeys(linked.values()):
        names = ", ".join(f"`{key}`" for key, where in linked.items() if where == section)
        every = len(linked) == len(rows) and set(linked.values()) == {section}
        yield from (f"{section} explains {'these keys' if every else names}.", "")
    shown = [row for key, row in rows.items() if key not in linked]
    yield from ("| Key | Value | Meaning |", "|---|---|---|", *shown, "") if shown else ()
    for key, found in keys.items():
        for suffix, nested in _nested(root, found):
            where = f"{path}.{key}{suffix}" if path else f"{key}{suffix}"
            shape = json.dumps(_whole(root, nested["properties"]), sort_keys=True)
            if shape not in seen.shapes:
                seen.shapes.add(shape)
                yield from _object(root, nested, where, seen)


def _row(root: Schema, key: str, found: Schema, required: bool) -> str:
    needed = " Required." if required else ""
    return f"| `{key}` | {cell(_kind(root, found))} | {cell(_explain(found) + needed)} |"


def _nested(root: Schema, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each object with named keys that a schema contains, and the object's path."""
    if schema.get("properties"):
        yield "", schema
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _nested(root, _resolve(root, branch))
    if isinstance(schema.get("items"), dict):
        yield from ((f"[]{suffix}", found) for suffix, found in _nested(root, _resolve(root, schema["items"])))
    if isinstance(schema.get("additionalProperties"), dict):
        inner = _resolve(root, schema["additionalProperties"])
        yield from ((f".NAME{suffix}", found) for suffix, found in _nested(root, inner))


def _resolve(root: Schema, schema: Any) -> Schema:
    """Return a schema without `$ref`. Keys beside the reference override the referenced schema."""
    if not isinstance(schema, dict):
        return {}
    if "$ref" not in schema:
        return schema
    found: Any = root
    for part in str(schema["$ref"]).removeprefix("#/").split("/"):
        found = found[part]
    return {**_resolve(root, found), **{key: value for key, value in schema.items() if key != "$ref"}}


def _whole(root: Schema, value: Any) -> Any:
    """Return a part of a schema in which each reference is replaced by its target."""
    if isinstance(value, dict):
        return {key: _whole(root, one) for key, one in _resolve(root, value).items()}
    return value


def _kind(root: Schema, schema: Schema) -> str:
    if "const" in schema:
        return f"`{_yaml(schema['const'])}`"
    if "enum" in schema:
        return " \\| ".join(f"`{_yaml(value)}`" for value in schema["enum"])
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if branches:
        kinds = dict.fromkeys(_kind(root, _resolve(root, branch)) for branch in branches)
        return " or ".join(kind for kind in kinds if kind not in {"", "`{{ ... }}`"})
    if "{{" in str(schema.get("pattern", "")).replace("\\", ""):
        return "`{{ ... }}`"
    types = schema.get("type", "any value")
    names = [_TYPES.get(name, name) for name in ([types] if isinstance(types, str) else types) if name != "null"]
    inner = _resolve(root, schema.get("items"))
    if inner and "properties" not in inner:
        names = [f"list of {_kind(root, inner)}" if name == "list" else name for name in names]
    return " or ".join(names)


_TYPES: Final = {
    "array": "list",
    "boolean": "`true` \\| `false`",
    "integer": "whole number",
    "object": "map",
    "string": "text",
}


def _explain(schema: Schema) -> str:
    text = str(schema.get("description", schema.get("title", ""))).strip()
    default = schema.get("default")
    if isinstance(default, _SCALARS) and default != "":
        text += f" Default: `{_yaml(default)}`."
    elif default:
        text += f" Default: `{json.dumps(default, ensure_ascii=False)}`."
    examples = [example for example in schema.get("examples", ()) if isinstance(example, _SCALARS)]
    if examples and examples[0] != default:
        text += f" Example: `{_yaml(examples[0])}`."
    return text.strip()


def _yaml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
