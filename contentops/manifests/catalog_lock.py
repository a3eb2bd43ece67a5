"""`catalog.lock.json`: the catalog of every remote server a project uses, committed to git.

Sorted and byte-stable: two pulls of one catalog give one file, and a template that changed upstream is a small diff.
It holds no time of its own; git knows when it was pulled.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from contentops.errors import InputError
from contentops.manifests.schema import check_schema
from contentops.model import CatalogEntry, CatalogSnapshot, Template
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, place
from contentops.yaml.read import decode, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.errors import Diagnostic
    from contentops.model import Json

FILE: Final = "catalog.lock.json"
"""Its name, beside `contentops.yaml`."""

_VERSION: Final = "1.0"
_HINT: Final = "restore it from git, or run `contentops catalog pull`, which writes it again"
_CONFLICT = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)


# --- writing -----------------------------------------------------------------------------------------------


def encode(snapshots: Mapping[str, CatalogSnapshot]) -> str:
    """The text of the file: one snapshot per server."""
    document = {"format_version": _VERSION, "servers": {name: as_json(snapshots[name]) for name in sorted(snapshots)}}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def as_json(snapshot: CatalogSnapshot) -> dict[str, Json]:
    """One snapshot as the file holds it: what is not the default, and always the kind and whether inputs are known."""
    return {
        "templates": [_template_json(each) for _, each in sorted(snapshot.templates.items())],
        "styles": _entries_json(snapshot.styles),
        "verticals": None if snapshot.verticals is None else _entries_json(snapshot.verticals),
    }


def _entries_json(entries: Mapping[str, CatalogEntry]) -> list[Json]:
    return [msgspec.to_builtins(each) for _, each in sorted(entries.items())]


def _template_json(template: Template) -> dict[str, Json]:
    found: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(template, inputs=(), inputs_known=True))
    inputs = [{"name": each.name, "kind": each.kind, **msgspec.to_builtins(each)} for each in template.inputs]
    return {**found, "inputs": inputs if template.inputs_known else None}


# --- reading -----------------------------------------------------------------------------------------------


def parse(data: bytes) -> dict[str, CatalogSnapshot]:
    """The snapshots the file holds, by server. Raises InputError with every finding where it cannot be used."""
    source, findings = decode(FILE, data)
    if findings:
        raise InputError(findings)
    try:
        document = json.loads(source.text)
    except json.JSONDecodeError as error:
        raise InputError([_broken(source, error)]) from error
    except (RecursionError, ValueError) as error:
        finding = place(source, "damaged-catalog", f"the file is no usable JSON: {error}", (1, 1), hint=_HINT)
        raise InputError([finding]) from error
    _check(source, data, document)
    return {server: _snapshot(found) for server, found in document["servers"].items()}


def _broken(source: Source, error: json.JSONDecodeError) -> Diagnostic:
    if conflict := _CONFLICT.search(source.text):
        message = "the file holds the marks of an unfinished git merge"
        return place(source, "damaged-catalog", message, source.mark(conflict.start()), hint=_HINT)
    message = f"the file is not whole JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    return place(source, "damaged-catalog", message, (error.lineno, error.colno), hint=_HINT)


def _check(source: Source, data: bytes, document: Json) -> None:
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, str) and re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", version) and not version.startswith("1."):
        message = f"the file has format {version}, which a newer version of contentops wrote"
        raise InputError([place(source, "newer-catalog", message, (1, 1), hint="update contentops")])
    schema = load_schema("catalog")
    from contentops.manifests.schema_match import compile_schema

    if compile_schema(schema)(document):
        return
    # JSON is YAML, and the YAML reader knows where each value stands; only a file with problems is read twice.
    read, findings = read_yaml(FILE, data)
    found = [*findings, *check_schema(read, schema)]
    raise InputError(found or [place(source, "damaged-catalog", "the file has an unknown form", (1, 1), hint=_HINT)])


def _snapshot(found: Mapping[str, Json]) -> CatalogSnapshot:
    verticals = found.get("verticals")
    return CatalogSnapshot(
        templates={each["slug"]: _template(each) for each in found["templates"]},
        styles={each["slug"]: msgspec.convert(each, CatalogEntry) for each in found["styles"]},
        verticals=(
            None if verticals is None else {each["slug"]: msgspec.convert(each, CatalogEntry) for each in verticals}
        ),
    )


def _template(found: Mapping[str, Json]) -> Template:
    inputs = found.get("inputs")
    return msgspec.convert({**found, "inputs": inputs or (), "inputs_known": inputs is not None}, Template)
