"""Checks values against a JSON Schema, and explains each violation in plain words.

A file is checked as it was written, and the fields of an item again after rendering, against the same definitions
without templates. The values of most files fit: only others are given to jsonschema, which is slower.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from contentops.documents.preset import NEUTRAL
from contentops.errors import Diagnostic, did_you_mean, nearest
from contentops.manifests.values import entry_hint, in_order, misspelt
from contentops.model import Json
from contentops.schema_files import load_schema
from contentops.yaml.positions import Pointer, YamlDocument, finding
from contentops.yaml.read import MAX_FINDINGS, is_secret, masked
from contentops.yaml.syntax import number_hint

if TYPE_CHECKING:
    Schema = Mapping[str, Any]

_SHOWN: Final = 60
_LISTED: Final = 10
"""The most values that a message lists."""
_KINDS: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}
_BOOLEANS: Final = {
    **dict.fromkeys(("yes", "on", "y", "true", "1"), "true"),
    **dict.fromkeys(("no", "off", "n", "false", "0"), "false"),
}
_NOT_EMPTY: Final = r"\S"
"""The pattern of texts that are not only spaces."""
_BOUNDS: Final = {
    "minimum": "must be at least {bound}, not {value}",
    "exclusiveMinimum": "must be more than {bound}, not {value}",
    "maximum": "must be at most {bound}, not {value}",
    "minLength": "is an empty text",
    "minItems": "is an empty list",
    "maxItems": "has more than {bound} entries",
    "minProperties": "is an empty map",
    "maxLength": "is longer than {bound} characters",
}


class Violation(Struct, frozen=True):
    """A value that a schema does not allow, with a message. If `key` is set, `pointer` leads to a key instead."""

    pointer: Pointer
    code: str
    message: str
    hint: str = ""
    key: bool = False


class _Problem(Struct, frozen=True, kw_only=True):
    """A keyword of a JSON Schema that is violated, and the value that violates it."""

    pointer: Pointer
    keyword: str
    argument: Any
    value: Any
    schema: Schema
    name: str
    """The name of the whole schema; empty for a rendered field."""


# --- the schemas -------------------------------------------------------------------------------------------


@functools.cache
def _schema(name: str) -> Schema:
    """Return the JSON Schema with this name.

    Its references are resolved once: doing that in each check takes two thirds of the time.
    """
    schema = load_schema(name)
    resolved: Schema = _without_references(schema, schema.get("definitions", {}))
    return resolved


def _without_references(part: Any, definitions: Schema) -> Any:
    if isinstance(part, list):
        return [_without_references(inner, definitions) for inner in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _without_references(definitions[part["$ref"].removeprefix("#/definitions/")], definitions)
    return {key: _without_references(inner, definitions) for key, inner in part.items()}


@functools.cache
def _fields() -> Mapping[str, Schema]:
    """Return the JSON Schema of each field of a rendered item.

    It is the schema of manifests, but it allows neither templates nor null. Only settings may state the `commands` of
    `checks`.
    """
    item = _schema("manifest")["definitions"]["item"]
    settings = _schema("project")["definitions"]["defaults"]
    fields = {**item["properties"], "checks": settings["properties"]["checks"]}
    return {name: _without_null(_without_templates(part)) for name, part in fields.items()}


def _without_templates(part: Any) -> Any:
    if isinstance(part, list):
        expression = load_schema("manifest")["definitions"]["expression"]
        return [_without_templates(inner) for inner in part if inner != expression]
    return {key: _without_templates(inner) for key, inner in part.items()} if isinstance(part, dict) else part


def _without_null(part: Schema) -> Schema:
    alternatives = {key: part[key] for key in ("type", "anyOf") if isinstance(part.get(key), list)}
    null = ("null", {"type": "null"})
    return {**part, **{key: [one for one in kinds if one not in null] for key, kinds in alternatives.items()}}


# --- checks ------------------------------------------------------------------------------------------------


def fits_schema(value: Json, name: str) -> bool:
    """Return whether a value fits the JSON Schema with this name."""
    return _fits(name)(value)


@functools.cache
def _fits(name: str) -> Test:
    return test_of(_schema(name))


@functools.cache
def field_tests() -> Mapping[str, Test]:
    """Return a function for each field of an item that tests the field's rendered value."""
    return {name: test_of(part) for name, part in _fields().items()}


def field_violations(name: str, value: Json) -> list[Violation]:
    """Return how the rendered value of a field violates its schema. Each pointer begins with the field."""
    return violations(_fields()[name], value, (name,))


def violations(schema: Schema, value: Json, at: Pointer) -> list[Violation]:
    """Return how a value violates a schema that has no references. `at` is the pointer of the value."""
    problems = (structs.replace(each, pointer=(*at, *each.pointer)) for each in _problems(schema, value))
    return list(dict.fromkeys(itertools.chain.from_iterable(map(_explain, problems))))


def check_schema(document: YamlDocument, name: str) -> list[Diagnostic]:
    """Return a finding for every violation of the schema `name`, in the order of the file.

    A document without a root has none.
    """
    if document.root is None or fits_schema(document.root, name):
        return []
    findings: dict[tuple[Any, ...], Diagnostic] = {}
    for problem in _problems(_schema(name), document.root, name):
        for each in itertools.islice(_explain(problem), MAX_FINDINGS):
            message = _item_prefix(document, each.pointer) + each.message
            entry = finding(document, each.code, message, each.pointer, key=each.key, hint=each.hint)
            if "disclosure" not in each.pointer:  # its `key` is a key of front matter
                entry = masked(document.source, entry)
            findings.setdefault((entry.location, entry.code, entry.message), entry)
        if len(findings) >= MAX_FINDINGS:
            break
    return in_order(findings.values())


def _problems(schema: Schema, value: Any, name: str = "") -> Iterator[_Problem]:
    from jsonschema import Draft7Validator

    for error in _violations(Draft7Validator(schema).iter_errors(value)):
        yield _Problem(
            pointer=tuple(error.absolute_path),
            keyword="propertyNames" if "propertyNames" in error.absolute_schema_path else str(error.validator),
            argument=error.validator_value,
            value=error.instance,
            schema=error.schema,
            name=name,
        )


def _violations(errors: Iterable[Any]) -> Iterator[Any]:
    """Yield the validation errors that explain best what is wrong.

    If a value fits no alternative of `anyOf`, these are the errors of the alternative for its type.
    """
    for error in errors:
        chosen = _alternative(error) if error.validator == "anyOf" else None
        if chosen is None:
            yield error
        else:
            yield from _violations(one for one in error.context if one.relative_schema_path[0] == chosen)


def _alternative(error: Any) -> int | None:
    """Return the index of the first alternative in `anyOf` that is for the type of the value.

    It is None if none fits, or if others may be meant.
    """
    value, stated = error.instance, error.validator_value
    if not isinstance(value, dict) and ("errorMessage" in error.schema or any("enum" in one for one in stated)):
        return None
    expression = load_schema("manifest")["definitions"]["expression"]
    typed = (at for at, one in enumerate(stated) if one != expression and "type" in one)
    return next((at for at in typed if _of_keyword("type", stated[at])(value)), None)


# --- words -------------------------------------------------------------------------------------------------


def _item_prefix(document: YamlDocument, pointer: Sequence[str | int]) -> str:
    """Return the item's id as the beginning of a message, or an empty text if the pointer leads to no item."""
    if len(pointer) > 1 and pointer[0] == "items" and isinstance(pointer[1], int) and isinstance(document.root, dict):
        item = document.root["items"][pointer[1]]
        if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]:
            return f"item `{_short(item['id'])}`: "
    return ""


def _subject(pointer: Sequence[str | int]) -> str:
    """Return the name that messages use for the value at a pointer."""
    names = [step for step in pointer if isinstance(step, str)]
    if not names:
        return "the file" if not pointer else "an entry of the list"
    return f"an entry of `{names[-1]}`" if isinstance(pointer[-1], int) else f"`{names[-1]}`"


def _short(value: Any) -> str:
    """Return a value as a person could write it, cut to a readable length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _kind(value: Any) -> str:
    """Return words for the type of a value and for the value itself."""
    if isinstance(value, str):
        return f"the text `{_short(value)}`" if value else "an empty text"
    if isinstance(value, int | float):
        return f"`{_short(value)}`" if isinstance(value, bool) else f"the number `{_short(value)}`"
    return "nothing" if value is None else "a map" if isinstance(value, dict) else "a list"


def _join(words: Sequence[str]) -> str:
    shown = [*words[:_LISTED], f"{len(words) - _LISTED} others"] if len(words) > _LISTED + 1 else words
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


# --- names -------------------------------------------------------------------------------------------------


def _unknown_keys(problem: _Problem) -> Iterator[Violation]:
    allowed = list(problem.schema.get("properties", {}))
    for key in problem.value:
        if key in allowed:
            continue
        pointer = (*problem.pointer, key)
        if key == "commands" and "not_matches" in allowed:
            # Otherwise anyone who may propose a manifest could run any program here.
            message = "`checks.commands` is not allowed in a manifest"
            hint = "list programs under `defaults.checks.commands` in `contentops.yaml`"
            yield Violation(code="command-in-manifest", message=message, pointer=pointer, key=True, hint=hint)
            continue
        where = f" in {_subject(problem.pointer)}" if problem.pointer and isinstance(problem.pointer[-1], str) else ""
        hint = _key_hint(key, allowed)
        if not problem.pointer and problem.name == "manifest" and key in _fields():
            hint = "the keys of an item are indented under `items`, the first one after `- `: `- id: ...`"
        message = f"unknown key `{_short(key)}`{where}"
        yield Violation(code="unknown-key", message=message, pointer=pointer, key=True, hint=hint)


def _key_hint(key: str, allowed: Sequence[str]) -> str:
    """Return a hint about an unknown key, such as the key that was probably meant."""
    if is_secret(key) and "key_env" in allowed:
        return "keys come from the environment: set `key_env` to the name of a variable"
    if key in _FRONT_MATTER and "metadata" in allowed:
        return f"front matter goes under `metadata`: `metadata: {{{key}: ...}}`"
    if close := nearest(key, allowed):
        return f"did you mean `{close}`?"
    hint = f"known keys: {', '.join(f'`{name}`' for name in allowed if name != '$schema')}"
    if "inputs" in allowed and "for_each" in allowed:
        hint += "; inputs of the template go under `inputs`"
    return hint


_FRONT_MATTER: Final = frozenset({*NEUTRAL, "title", "description", "slug", "layout", "weight"})
"""Keys that people write beside `metadata` instead of in it."""


def _missing_keys(problem: _Problem) -> Iterator[Violation]:
    is_item = problem.pointer[:1] == ("items",) and len(problem.pointer) == 2
    subject = "an item" if is_item else _subject(problem.pointer)
    typos = misspelt(problem.value, problem.schema.get("properties", {}))
    for key in problem.argument:
        if key not in problem.value and key not in typos:
            about = problem.schema.get("properties", {}).get(key, {})
            example = next((text for text in about.get("examples", []) if isinstance(text, str)), "...")
            message, hint = f"{subject} has no `{key}`", f"add `{key}: {example}`"
            yield Violation(code="missing-key", message=message, pointer=problem.pointer, hint=hint)


def _bad_name(problem: _Problem) -> Iterator[Violation]:
    name = str(problem.value)
    message = f"`{_short(name)}` is not a valid name in {_subject(problem.pointer)}"
    hint = str(problem.schema.get("errorMessage", ""))
    yield Violation(code="bad-name", message=message, pointer=(*problem.pointer, name), key=True, hint=hint)


# --- values ------------------------------------------------------------------------------------------------


def _about(problem: _Problem, code: str, statement: str, hint: str = "") -> Iterator[Violation]:
    """Yield a violation that says what is wrong with a value.

    `statement` follows the name of the value in the message. Without `hint`, the hint of the schema is used.
    """
    hint = hint or str(problem.schema.get("errorMessage", ""))
    yield Violation(code=code, message=f"{_subject(problem.pointer)} {statement}", pointer=problem.pointer, hint=hint)


def _wrong_type(problem: _Problem) -> Iterator[Violation]:
    """Report a value that has none of the expected types."""
    value, kinds = problem.value, problem.argument
    wanted = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    statement = f"must be {_join([_KINDS[kind] for kind in wanted])}"
    statement += f", not {_kind(value)}" if value is not None else "; it is empty"
    hint = _type_hint(value, wanted) if problem.name else _template_hint(value, wanted)
    return _about(problem, "wrong-type", statement, hint)


def _type_hint(value: Any, wanted: Sequence[str]) -> str:
    """Return a hint for a value of the wrong type, or an empty text if no hint fits."""
    if value is None:
        return "give it a value, or remove the key"
    if isinstance(value, str):
        if "boolean" in wanted and value.lower() in _BOOLEANS:
            return f"write `{_BOOLEANS[value.lower()]}`, without quotes"
        if {"number", "integer"} & set(wanted) and value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
            return "remove the quotes"
        if {"number", "integer"} & set(wanted) and (hint := number_hint(value)):
            return hint
    if "array" in wanted:
        return "start each entry with `- `" if isinstance(value, dict) else f"write `[{_short(value)}]`"
    if "string" in wanted and not isinstance(value, (str, dict, list)):
        return f'put it in quotes: `"{_short(value)}"`'
    return ""


def _template_hint(value: Any, wanted: Sequence[str]) -> str:
    """Return a hint for a rendered value of the wrong type, or an empty text if no hint fits."""
    if "boolean" in wanted:
        hint = "write true or false without quotes"
        return f'{hint}; from a data file: `{{{{ each.column == "true" }}}}`' if isinstance(value, str) else hint
    if isinstance(value, str) and wanted[0] in {"number", "integer"}:
        return number_hint(value) or "convert it: `{{ each.column | int }}`, or write the number without quotes"
    if isinstance(value, int | float) and "string" in wanted:
        return "put it in quotes, or convert it: `{{ each.column | string }}`"
    if isinstance(value, list) and "string" in wanted:
        return 'write one text, or join it: `{{ list | join(", ") }}`'
    return "write it as `[...]`" if "array" in wanted else entry_hint(value)


def _wrong_value(problem: _Problem) -> Iterator[Violation]:
    """Report a value that is not one of the allowed values."""
    value = problem.value
    stated = problem.argument if isinstance(problem.argument, list) else [problem.argument]
    allowed = [entry for entry in stated if entry is not None]
    hint = did_you_mean(value.lower(), map(str, allowed)) if isinstance(value, str) else ""
    if isinstance(value, str) and any(not isinstance(entry, str) and str(entry) == value for entry in allowed):
        hint = "remove the quotes"
    if isinstance(value, bool) and "off" in allowed:
        hint = f"write `{'auto' if value else 'off'}`"
    if value == "" and not problem.name:
        hint = f'state a value for empty cells: `{{{{ each.column or "{allowed[0]}" }}}}`'
    statement = f"must be {_join([f'`{_short(entry)}`' for entry in allowed])}, not {_kind(value)}"
    return _about(problem, "wrong-value", statement, hint)


def _no_branch(problem: _Problem) -> Iterator[Violation]:
    """Report a value whose type fits no alternative of the schema."""
    if "errorMessage" in problem.schema:
        return _about(problem, "wrong-value", f"cannot be {_kind(problem.value)}")
    stated: list[Schema] = _without_templates(problem.argument)
    if allowed := [entry for branch in stated for entry in branch.get("enum", [])]:
        return _wrong_value(structs.replace(problem, argument=allowed))
    return _wrong_type(structs.replace(problem, argument=[branch["type"] for branch in stated if "type" in branch]))


def _out_of_bounds(problem: _Problem) -> Iterator[Violation]:
    """Report a value of the right type that is too small, too large, too long, or in the wrong form."""
    secret = bool(problem.schema.get("writeOnly"))
    statement = "is not well-formed" + ("" if secret else f": `{_short(problem.value)}`")
    if problem.keyword in _BOUNDS:
        statement = _BOUNDS[problem.keyword].format(bound=problem.argument, value=_short(problem.value))
    elif problem.argument == _NOT_EMPTY:
        statement = _BOUNDS["minLength"]
    hint = "give it a value, or remove the key" if statement.startswith("is an empty") else ""
    return _about(problem, "wrong-value", statement, str(problem.schema.get("errorMessage", "")) or hint)


_EXPLAINED: Final[Mapping[str, Callable[[_Problem], Iterator[Violation]]]] = {
    "propertyNames": _bad_name,
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "anyOf": _no_branch,
    "type": _wrong_type,
    "enum": _wrong_value,
    "const": _wrong_value,
}
"""The functions that explain a violation, by the violated keyword. All other keywords are bounds."""


def _explain(problem: _Problem) -> Iterator[Violation]:
    return _EXPLAINED.get(problem.keyword, _out_of_bounds)(problem)


# --- a quick test ------------------------------------------------------------------------------------------

Test = Callable[[Any], bool]

_WORDS: Final = frozenset(
    {"$schema", "title", "description", "default", "examples", "errorMessage", "writeOnly", "definitions"}
)
"""Keywords that put no limit on values."""


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _of_types(kinds: Sequence[str]) -> Test:
    """Return a function that tests the type of a value. A bool is not a number, and `30.0` is a whole number."""
    types = tuple(itertools.chain.from_iterable(_TYPES[kind] for kind in kinds))
    if int not in types or bool in types:
        return lambda value: isinstance(value, types)
    is_whole = "integer" in kinds and "number" not in kinds
    return lambda value: (
        not isinstance(value, bool)
        if isinstance(value, types)
        else is_whole and type(value) is float and value.is_integer()
    )


_BINDING: Final[Mapping[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "required": ("object", lambda value, names: all(name in value for name in names)),
    "pattern": ("string", lambda value, pattern: pattern.search(value) is not None),
    "minLength": ("string", lambda value, bound: len(value) >= bound),
    "maxLength": ("string", lambda value, bound: len(value) <= bound),
    "minItems": ("array", lambda value, bound: len(value) >= bound),
    "maxItems": ("array", lambda value, bound: len(value) <= bound),
    "minProperties": ("object", lambda value, bound: len(value) >= bound),
    "minimum": ("number", lambda value, bound: value >= bound),
    "maximum": ("number", lambda value, bound: value <= bound),
    "exclusiveMinimum": ("number", lambda value, bound: value > bound),
}
"""Keywords for values of one type, each with that type and a function that says whether a value fits."""


def test_of(schema: Any) -> Test:
    """Return a function that tests values against a schema that has no references.

    Raises LookupError for an unknown keyword.
    """
    if isinstance(schema, bool):
        return lambda _value: schema
    # One test of an object covers both keywords.
    names = [
        key for key in schema if key not in _WORDS and not (key == "additionalProperties" and "properties" in schema)
    ]
    return _all_of([_of_keyword(key, schema) for key in names])


def _all_of(tests: Sequence[Test]) -> Test:
    return functools.reduce(lambda one, other: lambda value: one(value) and other(value), tests or [lambda _: True])


def _any_of(tests: Sequence[Test]) -> Test:
    return functools.reduce(lambda one, other: lambda value: one(value) or other(value), tests)


def _of_keyword(key: str, schema: Any) -> Test:
    argument = schema[key]
    if key == "type":
        return _of_types([argument] if isinstance(argument, str) else argument)
    if key in {"enum", "const"}:
        # `true` is not `1`.
        known = [(isinstance(each, bool), each) for each in (argument if key == "enum" else [argument])]
        return lambda value: (isinstance(value, bool), value) in known
    if key in {"properties", "additionalProperties"}:
        properties = {name: test_of(part) for name, part in schema.get("properties", {}).items()}
        other = test_of(schema.get("additionalProperties", True))
        return lambda value: (
            not isinstance(value, dict) or all(properties.get(name, other)(part) for name, part in value.items())
        )
    if key in {"items", "propertyNames"}:
        inner, kind = test_of(argument), list if key == "items" else dict
        return lambda value: not isinstance(value, kind) or all(map(inner, value))
    if key in {"anyOf", "allOf"}:
        return (_any_of if key == "anyOf" else _all_of)([test_of(part) for part in argument])
    if key == "not":
        refused = test_of(argument)
        return lambda value: not refused(value)
    of_type, holds = _of_types([_BINDING[key][0]]), _BINDING[key][1]
    bound = re.compile(argument) if key == "pattern" else argument
    return lambda value: not of_type(value) or holds(value, bound)
