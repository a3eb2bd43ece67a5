"""Reads and writes `catalog.lock.json`, the catalogs of remote servers.

Checks items against a catalog, and compares two catalogs. The file is sorted and has no time, so that the same catalog
always gives the same bytes.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct, structs

from contentops.conflict_markers import SIDE
from contentops.digest import canonical
from contentops.errors import Diagnostic, InputError, Severity, nearest, suggest
from contentops.json_reader import load_json
from contentops.manifests.schema import Test, check_schema, fits_schema, test_of, violations
from contentops.manifests.values import Report
from contentops.model import Catalog, CatalogEntry, Json, Request, Template, TemplateInput
from contentops.yaml.positions import Source, finding_at
from contentops.yaml.read import decode, read_yaml

FILE: Final = "catalog.lock.json"
Kind = Literal["template", "style", "vertical", "brand_voice"]
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""The kinds of entries. A catalog has a field for each kind, named by its plural."""

_VERSION: Final = "1.0"
_HINT: Final = "restore it from git, or run `contentops catalog pull`, which writes it again"


# --- writing -----------------------------------------------------------------------------------------------


def encode(snapshots: Mapping[str, Catalog]) -> str:
    """Return the text of `catalog.lock.json`, with one catalog snapshot per server."""
    document = {"format_version": _VERSION, "servers": {name: as_json(snapshots[name]) for name in sorted(snapshots)}}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def as_json(snapshot: Catalog) -> dict[str, Json]:
    """Return one catalog snapshot as JSON, in the form that `catalog.lock.json` has.

    Default values are left out, but the kinds of inputs are always written.
    """
    voices = snapshot.brand_voices
    return {
        "templates": [_template_json(each) for _, each in sorted(snapshot.templates.items())],
        "styles": _entries_json(snapshot.styles),
        "verticals": None if snapshot.verticals is None else _entries_json(snapshot.verticals),
        **({} if voices is None else {"brand_voices": _entries_json(voices)}),
    }


def _entries_json(entries: Mapping[str, CatalogEntry]) -> list[Json]:
    return [msgspec.to_builtins(each) for _, each in sorted(entries.items())]


def _template_json(template: Template) -> dict[str, Json]:
    document: dict[str, Any] = msgspec.to_builtins(structs.replace(template, inputs=(), inputs_known=True))
    inputs = [{"name": each.name, "kind": each.kind, **msgspec.to_builtins(each)} for each in template.inputs]
    return {**document, "inputs": inputs if template.inputs_known else None}


# --- reading -----------------------------------------------------------------------------------------------


def parse(data: bytes) -> dict[str, Catalog]:
    """Return the catalog snapshots in `catalog.lock.json`, by server. Raises InputError with every finding."""
    source, findings = decode(FILE, data)
    if findings:
        raise InputError(findings)
    try:
        document = load_json(source.text)
        canonical(document).encode()  # refuses NaN and lone surrogates, which Python reads
    except json.JSONDecodeError as error:
        raise InputError([_broken(source, error)]) from error
    except ValueError as error:
        finding = finding_at(source, "damaged-catalog", f"the file is not usable JSON: {error}", (1, 1), hint=_HINT)
        raise InputError([finding]) from error
    _check(source, data, document)
    return {
        server: Catalog(
            templates={each["slug"]: _template(each) for each in snapshot["templates"]},
            styles=_entries(snapshot["styles"]) or {},
            verticals=_entries(snapshot.get("verticals")),
            brand_voices=_entries(snapshot.get("brand_voices")),
        )
        for server, snapshot in document["servers"].items()
    }


def _broken(source: Source, error: json.JSONDecodeError) -> Diagnostic:
    if marker := SIDE.search(source.text):
        message = "the file contains the conflict markers of an unfinished git merge"
        return finding_at(source, "damaged-catalog", message, source.mark(marker.start()), hint=_HINT)
    message = f"the file is cut off or is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
    return finding_at(source, "damaged-catalog", message, (error.lineno, error.colno), hint=_HINT)


def _check(source: Source, data: bytes, document: Json) -> None:
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, str) and re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", version) and not version.startswith("1."):
        message = f"the file has format {version}, written by a newer version of contentops"
        raise InputError([finding_at(source, "newer-catalog", message, (1, 1), hint="update contentops")])
    if fits_schema(document, "catalog"):
        return
    # JSON is YAML, and the YAML reader keeps the position of each value.
    read, findings = read_yaml(FILE, data)
    unknown = finding_at(source, "damaged-catalog", "the file does not have the expected keys", (1, 1), hint=_HINT)
    raise InputError([*findings, *check_schema(read, "catalog")] or [unknown])


def _entries(entries: Json) -> dict[str, CatalogEntry] | None:
    return None if entries is None else {each["slug"]: msgspec.convert(each, CatalogEntry) for each in entries}


def _template(document: Mapping[str, Json]) -> Template:
    inputs = document.get("inputs")
    return msgspec.convert({**document, "inputs": inputs or (), "inputs_known": inputs is not None}, Template)


UNRENDERED: Final = object()
"""The value of an input that could not be rendered; only its name is checked."""


class CatalogCheck:
    """Checks whether the values of items exist in a catalog.

    It keeps the tests of each combination of names, so many similar items are checked quickly.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._tests: dict[tuple[str | None, ...], Sequence[Test] | None] = {}
        """The tests of inputs in order, by the names that items state. None: the catalog lacks one of the names."""

    def check(self, values: Mapping[str, Any], inputs: Mapping[str, Any], report: Report) -> None:
        """Report an item's template, style and inputs that do not fit the catalog. `inputs` may contain UNRENDERED."""
        names = (*map(values.get, _KINDS), *inputs)
        try:
            tests = self._tests[names]
        except KeyError:
            tests = self._tests[names] = self._tests_of(values, inputs)
        if tests is None or not all(map(operator.call, tests, inputs.values())):
            _check_with_catalog(values, inputs, self.catalog, report)

    def _tests_of(self, values: Mapping[str, Any], inputs: Iterable[str]) -> Sequence[Test] | None:
        found: list[object] = []
        names = dict.fromkeys(inputs, UNRENDERED)
        _check_with_catalog(values, names, self.catalog, lambda *problem, **_: found.append(problem))
        template = self.catalog.templates.get(values.get("template", ""))
        if found or template is None or not template.inputs_known:
            return None if found else ()
        entries = (template.by_name[name] for name in inputs)
        return [_input_test(entry.kind, entry.required, *entry.options) for entry in entries]


def _check_with_catalog(values: Mapping[str, Any], inputs: Mapping[str, Any], catalog: Catalog, report: Report) -> None:
    for name in _KINDS:
        value, known = values.get(name), getattr(catalog, f"{name}s")
        if value is not None and known is not None and value not in known:
            is_warning = name == "vertical" and catalog.takes_any_vertical
            hint = suggest(value, tuple(sorted(known))) or "`contentops catalog pull` updates the catalog"
            core = f"names the {name.replace('_', ' ')} `{value[:80]}`, which is not in the catalog"
            severity = Severity.WARNING if is_warning else Severity.ERROR
            report((name,), f"unknown-{name.replace('_', '-')}", core, hint=hint, severity=severity)
    template = catalog.templates.get(values.get("template", ""))
    if template is not None and template.inputs_known:
        _check_inputs(inputs, template, report)


def _check_inputs(inputs: Mapping[str, Any], template: Template, report: Report) -> None:
    by_name = template.by_name
    given: dict[str, str] = {}
    misspelt: set[str] = set()
    for name, value in inputs.items():
        entry = by_name.get(name)
        if entry is None:
            misspelt.add(_unknown_input(name, template, by_name, report))
        elif given.setdefault(entry.name, name) != name:
            core = f"sets `{given[entry.name]}` and `{name}`, which set the same input of template `{template.slug}`"
            report(("inputs", name), "duplicate-input", core, key=True, hint=f"keep `{entry.name}`")
        elif value is not UNRENDERED and not _input_test(entry.kind, entry.required, *entry.options)(value):
            _report_value(name, value, entry, template, report)
    for entry in template.inputs:
        if entry.required and entry.name not in given and entry.name not in misspelt:
            core = f"does not set `{entry.name}`, which template `{template.slug}` needs"
            report(("inputs",), "missing-input", core, key=True, hint=f"add `{entry.name}` under `inputs`")


def _unknown_input(name: str, template: Template, by_name: Mapping[str, TemplateInput], report: Report) -> str:
    """Report an input that the template does not have. Return the name that was probably meant, or an empty text."""
    close = nearest(name, by_name)
    name_meant = by_name[close].name if close else ""
    hint = f"did you mean `{name_meant}`?" if close else suggest("", tuple(entry.name for entry in template.inputs))
    core = f"sets `{name[:80]}`, which template `{template.slug}` does not take"
    report(("inputs", name), "unknown-input", core, key=True, hint=hint or "it takes no inputs")
    return name_meant


def _report_value(name: str, value: Json, entry: TemplateInput, template: Template, report: Report) -> None:
    if entry.required and not test_of(_FILLED)(value):
        core = f"has an empty `{name}`, which template `{template.slug}` needs"
        report(("inputs", name), "missing-input", core, hint="fill it in")
        return
    for each in violations(_input_schema(entry.kind, *entry.options), value, ("inputs", name)):
        # Catalogs also call lists `textarea`: in the API's own example `key_points` is a list.
        doubtful = entry.kind == "textarea" and isinstance(value, list)
        severity = Severity.WARNING if doubtful else Severity.ERROR
        hint = f"it is sent as a list; if the server refuses it, {each.hint}" if doubtful else each.hint
        report(("inputs", name), "wrong-input", f": {each.message}", hint=hint, severity=severity)


_FILLED: Final = {"pattern": r"\S", "minItems": 1}
_TEXT: Final = {"type": ["string", "number"]}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    **dict.fromkeys(("text", "textarea", "select"), _TEXT),
    "number": {"type": "number"},
    "checkbox": {"type": "boolean"},
    **{kind: {"type": "array"} for kind in ("list", "multiselect")},
}


def _input_schema(kind: str, *options: Json) -> Mapping[str, Any]:
    """Return the JSON Schema for the values of an input that has this kind and these options."""
    schema: Mapping[str, Any] = _TYPES.get(kind, {})
    stated = {"enum": list(options)}
    if options and kind == "multiselect":
        return {**schema, "items": stated}
    return stated if options and kind == "select" else schema


@functools.lru_cache(maxsize=1_000, typed=True)
def _input_test(kind: str, required: bool, *options: Json) -> Callable[[Any], bool]:
    """Return a function that tests whether a value fits an input. A required input must not be empty."""
    return test_of({**_input_schema(kind, *options), **(_FILLED if required else {})})


# --- what a new catalog changes ----------------------------------------------------------------------------


class CatalogChange(Struct, frozen=True, kw_only=True):
    """A catalog entry that was added, removed or changed. `details` say what changed; `items` use the entry."""

    kind: Kind
    how: Literal["added", "removed", "changed"]
    slug: str
    details: tuple[str, ...] = ()
    items: tuple[str, ...] = ()


def changes_between(
    before: Catalog | None, after: Catalog, used: Iterable[tuple[str, Request]]
) -> tuple[CatalogChange, ...]:
    """Return the changes between two catalog snapshots, sorted by kind (templates first) and slug.

    Without an earlier snapshot there are no changes.

    `used`: the ids of items and their requests. Names and descriptions are not compared, since they have no effect.
    """
    if before is None:
        return ()
    users: defaultdict[tuple[Kind, str | None], set[str]] = defaultdict(set)
    for item, request in used:
        for kind in _KINDS:
            users[kind, getattr(request, kind)].add(item)
    changes: list[CatalogChange] = []
    for kind in _KINDS:
        old, new = getattr(before, f"{kind}s"), getattr(after, f"{kind}s")
        # What a server does not show is unknown, which is not the same as gone.
        changes += _compare(kind, old, new) if old is not None and new is not None else ()
    return tuple(structs.replace(each, items=tuple(sorted(users[each.kind, each.slug]))) for each in changes)


def _compare(
    kind: Kind, before: Mapping[str, Template | CatalogEntry], after: Mapping[str, Template | CatalogEntry]
) -> Iterator[CatalogChange]:
    for slug in sorted({*before, *after}):
        old, new = before.get(slug), after.get(slug)
        if old is None or new is None:
            yield CatalogChange(kind=kind, how="added" if old is None else "removed", slug=slug)
        elif details := tuple(_details(old, new)):
            yield CatalogChange(kind=kind, how="changed", slug=slug, details=details)


def _details(old: Template | CatalogEntry, new: Template | CatalogEntry) -> Iterator[str]:
    if isinstance(old, Template) and isinstance(new, Template):
        yield from _inputs(old, new)
    # A manner that is shown for the first time, or no more, is no change of it.
    if old.manner and new.manner and old.manner != new.manner:
        yield "its way of writing changed"


def _inputs(before: Template, after: Template) -> Iterator[str]:
    if not (before.inputs_known and after.inputs_known):
        if before.inputs_known != after.inputs_known:
            yield "its inputs are known now" if after.inputs_known else "its inputs are no longer listed"
        return
    old, new = {each.name: each for each in before.inputs}, {each.name: each for each in after.inputs}
    for name in sorted({*old, *new}):
        if name not in old:
            yield f"input `{name}` is new{', and required' if new[name].required else ''}"
        elif name not in new:
            yield f"input `{name}` is gone"
        else:
            yield from _input(old[name], new[name])


def _input(old: TemplateInput, new: TemplateInput) -> Iterator[str]:
    if old.required != new.required:
        yield f"input `{old.name}` is {'now required' if new.required else 'no longer required'}"
    if old.kind != new.kind:
        yield f"input `{old.name}` takes `{new.kind}` instead of `{old.kind}`"
    # Options are a set to choose from; `1`, `1.0` and `true` are three of them, so they are compared as written.
    if set(map(repr, old.options)) != set(map(repr, new.options)):
        yield f"input `{old.name}` has other options"
    if old.default != new.default:
        yield f"input `{old.name}` has another default"
