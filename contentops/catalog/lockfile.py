"""`catalog.lock.json`: the catalog of every remote server a project uses, committed to git.

Sorted and byte-stable: two pulls of one catalog give one file, and a template that changed upstream is a small diff.
It holds no time of its own; git knows when it was pulled.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from contentops.catalog.offer import Offer, OfferedChoice, OfferedInput, OfferedTemplate
from contentops.errors import InputError
from contentops.manifests.schema import check_schema
from contentops.schema_files import load_schema
from contentops.yaml.positions import Source, place
from contentops.yaml.read import decode, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentops.errors import Diagnostic
    from contentops.model import Json

FILE: Final = "catalog.lock.json"
"""Its name, beside `contentops.yaml`."""

_VERSION: Final = "1.0"
_HINT: Final = "restore it from git, or run `contentops catalog pull`, which writes it anew"
_CONFLICT = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)


# --- writing -----------------------------------------------------------------------------------------------


def compose(offers: Mapping[str, Offer]) -> str:
    """The text of the file: one offer per server."""
    servers = {server: as_json(offers[server]) for server in sorted(offers)}
    document = {"format_version": _VERSION, "servers": servers}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def as_json(offer: Offer) -> dict[str, Json]:
    """One offer as the file holds it."""
    return {
        "templates": [_said(each) for each in _sorted(offer.templates.values())],
        "styles": [_said(each) for each in _sorted(offer.styles.values())],
        "verticals": None if offer.verticals is None else [_said(each) for each in _sorted(offer.verticals.values())],
    }


def _sorted(entries: Iterable[Any]) -> list[Any]:
    return sorted(entries, key=lambda each: each.slug)


def _said(entry: OfferedTemplate | OfferedChoice) -> dict[str, Json]:
    """The fields that say something; the inputs of a template always, since none and unknown differ."""
    found = _short(entry)
    if isinstance(entry, OfferedTemplate):
        found["inputs"] = None if entry.inputs is None else [_short(each) for each in entry.inputs]
    return found


def _short(entry: OfferedTemplate | OfferedChoice | OfferedInput) -> dict[str, Json]:
    values = ((name, getattr(entry, name)) for name in entry.__struct_fields__)
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values
        if name == "kind" or not (value is None or value is False or value in ("", ())) or _is_default(name, value)
    }


def _is_default(name: str, value: Json) -> bool:
    # `false` and 0 are defaults like any other; only None says that there is none.
    return name == "default" and value is not None


# --- reading -----------------------------------------------------------------------------------------------


def parse(data: bytes) -> dict[str, Offer]:
    """The offers the file holds, by server. Raises InputError with every finding where it cannot be used."""
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
    return {server: _read(said) for server, said in document["servers"].items()}


def _broken(source: Source, error: json.JSONDecodeError) -> Diagnostic:
    conflict = _CONFLICT.search(source.text)
    if conflict:
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


def _read(said: Mapping[str, Json]) -> Offer:
    verticals = said.get("verticals")
    return Offer(
        templates={each["slug"]: _template(each) for each in said["templates"]},
        styles={each["slug"]: _choice(each) for each in said["styles"]},
        verticals=None if verticals is None else {each["slug"]: _choice(each) for each in verticals},
    )


def _template(said: Mapping[str, Json]) -> OfferedTemplate:
    inputs = said.get("inputs")
    return OfferedTemplate(
        **_given(said, "slug", "name", "category", "description", "manner"),
        inputs=None if inputs is None else tuple(_input(each) for each in inputs),
    )


def _input(said: Mapping[str, Json]) -> OfferedInput:
    return OfferedInput(
        **_given(said, "name", "kind", "required", "default", "description"),
        options=tuple(said.get("options", ())),
        aliases=tuple(said.get("aliases", ())),
    )


def _choice(said: Mapping[str, Json]) -> OfferedChoice:
    return OfferedChoice(**_given(said, "slug", "name", "category", "description", "tone", "manner"))


def _given(said: Mapping[str, Json], *names: str) -> dict[str, Json]:
    return {name: said[name] for name in names if name in said}
