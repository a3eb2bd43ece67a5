"""Checks a document against its JSON Schema and explains each violation with its location."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from contentops.documents.preset import NEUTRAL
from contentops.errors import Diagnostic, nearest
from contentops.manifests.values import in_order, misspelt
from contentops.model import Json
from contentops.schema_files import load_schema
from contentops.yaml.positions import Pointer, YamlDocument, finding
from contentops.yaml.read import is_secret, masked
from contentops.yaml.syntax import number_hint

if TYPE_CHECKING:
    Schema = Mapping[str, Any]

MAX_FINDINGS: Final = 1_000
"""After so many problems the check stops."""

_SHOWN: Final = 60
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
_BOUNDS: Final = {
    "minimum": "must be at least {bound}, not {value}",
    "exclusiveMinimum": "must be more than {bound}, not {value}",
    "maximum": "must be at most {bound}, not {value}",
    "minLength": "is an empty text",
    "minItems": "is an empty list",
    "minProperties": "is an empty map",
    "maxLength": "is longer than {bound} characters",
}


class _Problem(Struct, frozen=True, kw_only=True):
    """One violated keyword of a schema, and the value that violates it."""

    pointer: Pointer
    keyword: str
    argument: Any
    value: Any
    schema: Schema
    definitions: Schema
    """The definitions of the whole schema."""
    in_name: bool
    """Whether `value` is the name of a member."""


@functools.cache
def _validator(name: str) -> Any:
    from jsonschema import Draft7Validator

    schema = load_schema(name)
    return Draft7Validator(_without_references(schema, schema))


def _without_references(part: Any, schema: Schema) -> Any:
    """A part of a schema with its references resolved; resolving them in each check takes two thirds of the time."""
    if isinstance(part, list):
        return [_without_references(inner, schema) for inner in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _without_references(schema["definitions"][part["$ref"].removeprefix("#/definitions/")], schema)
    return {key: _without_references(inner, schema) for key, inner in part.items()}


def fits_schema(value: Json, name: str) -> bool:
    """Whether a value fits the schema with this name."""
    test = fits(name)
    return bool(_validator(name).is_valid(value) if test is None else test(value))


def check_schema(document: YamlDocument, name: str) -> list[Diagnostic]:
    """Every violation of the schema with this name, in the order of the file; none for a document without a root."""
    if document.root is None or fits_schema(document.root, name):
        return []
    definitions = load_schema(name).get("definitions", {})
    findings: dict[tuple[Any, ...], Diagnostic] = {}
    secrets: list[str] = []
    for error in _violations(_validator(name).iter_errors(document.root)):
        problem = _Problem(
            pointer=tuple(error.absolute_path),
            keyword=str(error.validator),
            argument=error.validator_value,
            value=error.instance,
            schema=error.schema,
            definitions=definitions,
            in_name="propertyNames" in error.absolute_schema_path,
        )
        secrets += _secrets(problem)
        for entry in itertools.islice(_explain(document, problem), MAX_FINDINGS):
            findings.setdefault((entry.location, entry.code, entry.message), entry)
        if len(findings) >= MAX_FINDINGS:
            break
    return in_order(masked(entry, secrets) for entry in findings.values())


def _violations(errors: Iterable[Any]) -> Iterator[Any]:
    """Violations; of a map that fits no alternative, those of the alternative that is a map with its own keys."""
    for error in errors:
        keyed = None
        if error.validator == "anyOf" and isinstance(error.instance, dict):
            keyed = next((at for at, one in enumerate(error.validator_value) if "properties" in one), None)
        if keyed is None:
            yield error
        else:
            yield from _violations(one for one in error.context if one.relative_schema_path[0] == keyed)


def _secrets(problem: _Problem) -> Iterator[str]:
    """Values that are API keys according to their schema or their key."""
    if problem.schema.get("writeOnly") and isinstance(problem.value, str):
        yield problem.value
    elif problem.keyword == "additionalProperties":
        allowed = problem.schema.get("properties", {})
        unknown = (key for key in problem.value if key not in allowed)
        yield from (str(problem.value[key]) for key in unknown if is_secret(key))


def _explain(document: YamlDocument, problem: _Problem) -> Iterator[Diagnostic]:
    """The findings of one violated keyword."""
    argument = problem.argument
    if problem.in_name:
        yield _bad_name(document, problem)
    elif problem.keyword == "additionalProperties":
        yield from _unknown_keys(document, problem)
    elif problem.keyword == "required":
        yield from _missing_keys(document, problem)
    elif problem.keyword == "anyOf":
        yield _no_branch(document, problem)
    elif problem.keyword == "type":
        yield _wrong_type(document, problem, [argument] if isinstance(argument, str) else argument)
    elif problem.keyword in {"enum", "const"}:
        yield _wrong_value(document, problem, argument if problem.keyword == "enum" else [argument])
    else:
        yield _out_of_bounds(document, problem)


# --- words -------------------------------------------------------------------------------------------------


def _item_prefix(document: YamlDocument, pointer: Sequence[str | int]) -> str:
    """The beginning of a message about a part of an item: its id; empty outside items."""
    if len(pointer) > 1 and pointer[0] == "items" and isinstance(pointer[1], int) and isinstance(document.root, dict):
        item = document.root["items"][pointer[1]]
        if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]:
            return f"item `{_short(item['id'])}`: "
    return ""


def _subject(pointer: Sequence[str | int]) -> str:
    """How messages name the value at a pointer: by its key."""
    names = [step for step in pointer if isinstance(step, str)]
    if not names:
        return "the file" if not pointer else "an entry of the list"
    return f"an entry of `{names[-1]}`" if isinstance(pointer[-1], int) else f"`{names[-1]}`"


def _short(value: Any) -> str:
    """A value as it could be written, cut to a readable length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.replace("\n", "\\n")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _kind(value: Any) -> str:
    """What a value is, in plain words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text `{_short(value)}`"
    return f"`{_short(value)}`" if isinstance(value, bool) else f"the number `{_short(value)}`"


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


# --- names -------------------------------------------------------------------------------------------------


def _unknown_keys(document: YamlDocument, problem: _Problem) -> Iterator[Diagnostic]:
    allowed = list(problem.schema.get("properties", {}))
    for key in problem.value:
        if key in allowed:
            continue
        pointer = (*problem.pointer, key)
        subject = _item_prefix(document, pointer)
        if key == "commands" and "not_matches" in allowed:
            # Otherwise anyone who may propose a manifest could run any program here.
            message = f"{subject}`checks.commands` is not allowed in a manifest"
            hint = "list programs under `defaults.checks.commands` in `contentops.yaml`"
            yield finding(document, "command-in-manifest", message, pointer, key=True, hint=hint)
            continue
        where = f" in {_subject(problem.pointer)}" if problem.pointer and isinstance(problem.pointer[-1], str) else ""
        message = f"{subject}unknown key `{_short(key)}`{where}"
        hint = _key_hint(key, allowed)
        if not problem.pointer and key in problem.definitions.get("item", {}).get("properties", ()):
            hint = "the keys of an item are indented under `items`, the first one after `- `: `- id: ...`"
        yield finding(document, "unknown-key", message, pointer, key=True, hint=hint)


def _key_hint(key: str, allowed: Sequence[str]) -> str:
    """What to write instead of an unknown key."""
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


def _missing_keys(document: YamlDocument, problem: _Problem) -> Iterator[Diagnostic]:
    subject = (
        "an item" if problem.pointer[:1] == ("items",) and len(problem.pointer) == 2 else _subject(problem.pointer)
    )
    typos = misspelt(problem.value, problem.schema.get("properties", {}))
    for key in problem.argument:
        if key not in problem.value and key not in typos:
            about = problem.schema.get("properties", {}).get(key, {})
            example = next((text for text in about.get("examples", []) if isinstance(text, str)), "...")
            message = f"{_item_prefix(document, problem.pointer)}{subject} has no `{key}`"
            yield finding(document, "missing-key", message, problem.pointer, hint=f"add `{key}: {example}`")


def _bad_name(document: YamlDocument, problem: _Problem) -> Diagnostic:
    name = str(problem.value)
    message = (
        f"{_item_prefix(document, problem.pointer)}`{_short(name)}` is not a valid name in {_subject(problem.pointer)}"
    )
    hint = str(problem.schema.get("errorMessage", ""))
    return finding(document, "bad-name", message, (*problem.pointer, name), key=True, hint=hint)


# --- values ------------------------------------------------------------------------------------------------


def _about_value(document: YamlDocument, problem: _Problem, code: str, statement: str, hint: str) -> Diagnostic:
    """A finding about the value of a problem; `statement` follows its name in the message."""
    message = f"{_item_prefix(document, problem.pointer)}{_subject(problem.pointer)} {statement}"
    return finding(document, code, message, problem.pointer, hint=hint)


def _wrong_type(document: YamlDocument, problem: _Problem, kinds: Sequence[str]) -> Diagnostic:
    """A value of another type than any of `kinds`."""
    value = problem.value
    wanted = [kind for kind in kinds if kind != "null"]
    statement = f"must be {_join([_KINDS[kind] for kind in wanted])}"
    statement += f", not {_kind(value)}" if value is not None else "; it is empty"
    return _about_value(document, problem, "wrong-type", statement, _type_hint(value, wanted))


def _type_hint(value: Any, wanted: Sequence[str]) -> str:
    """What to write instead; empty where that is not clear."""
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


def _wrong_value(document: YamlDocument, problem: _Problem, allowed: Sequence[Any]) -> Diagnostic:
    """A value that is none of the known ones."""
    value = problem.value
    allowed = [entry for entry in allowed if entry is not None]
    close = nearest(value.lower(), [str(entry) for entry in allowed]) if isinstance(value, str) else None
    hint = f"did you mean `{close}`?" if close else ""
    if isinstance(value, str) and any(not isinstance(entry, str) and str(entry) == value for entry in allowed):
        hint = "remove the quotes"
    if isinstance(value, bool) and "off" in allowed:
        hint = f"write `{'auto' if value else 'off'}`"
    hint = hint or str(problem.schema.get("errorMessage", ""))
    statement = f"must be {_join([f'`{_short(entry)}`' for entry in allowed])}, not {_kind(value)}"
    return _about_value(document, problem, "wrong-value", statement, hint)


def _no_branch(document: YamlDocument, problem: _Problem) -> Diagnostic:
    """A value that fits none of several alternatives, checked against those of its type."""
    from jsonschema import Draft7Validator

    value = problem.value
    if "errorMessage" in problem.schema:
        hint = str(problem.schema["errorMessage"])
        return _about_value(document, problem, "wrong-value", f"cannot be {_kind(value)}", hint)
    stated = [branch for branch in problem.argument if branch != problem.definitions.get("expression")]
    allowed = [entry for branch in stated for entry in branch.get("enum", [])]
    if allowed:
        return _wrong_value(document, problem, allowed)
    for branch in stated:
        if "type" in branch and Draft7Validator.TYPE_CHECKER.is_type(value, branch["type"]):
            first = next(key for key in branch if key not in {"type", "description"})
            broken = (error.validator for error in Draft7Validator(branch).iter_errors(value) if not error.path)
            keyword = next(broken, first)
            narrowed = structs.replace(problem, keyword=keyword, argument=branch[keyword], schema=branch)
            return _out_of_bounds(document, narrowed)
    return _wrong_type(document, problem, [branch["type"] for branch in stated if "type" in branch])


def _out_of_bounds(document: YamlDocument, problem: _Problem) -> Diagnostic:
    """A value of the right type that is too small, too large, too long, or of the wrong form."""
    hint = str(problem.schema.get("errorMessage", ""))
    if problem.keyword in _BOUNDS:
        statement = _BOUNDS[problem.keyword].format(bound=problem.argument, value=_short(problem.value))
        if not hint and statement.startswith("is an empty"):
            hint = "give it a value, or remove the key"
    else:
        secret = bool(problem.schema.get("writeOnly"))
        statement = "is not well-formed" + ("" if secret else f": `{_short(problem.value)}`")
    return _about_value(document, problem, "wrong-value", statement, hint)


Test = Callable[[Any], bool]

_WORDS: Final = frozenset(
    {"$schema", "title", "description", "default", "examples", "errorMessage", "writeOnly", "definitions"}
)
"""Keywords that every value fits."""


@functools.cache
# --- a quick test ------------------------------------------------------------------------------------------


def fits(name: str) -> Test | None:
    """The test for values of the schema with this name; None: it has a keyword that is not known here."""
    schema = load_schema(name)
    try:
        return _test(schema, schema.get("definitions", {}))
    except (LookupError, TypeError):
        return None


def _test(schema: Any, definitions: Mapping[str, Any]) -> Test:
    """The test for a part of a schema. Raises LookupError or TypeError for what is not known."""
    if isinstance(schema, bool):
        return lambda _value: schema
    if "$ref" in schema:
        return _test(definitions[schema["$ref"].removeprefix("#/definitions/")], definitions)
    # One test of an object covers both keywords.
    names = [
        key for key in schema if key not in _WORDS and not (key == "additionalProperties" and "properties" in schema)
    ]
    tests = [_KEYWORDS[key](schema, definitions) for key in names]
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Test]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def _type(schema: Any, _: Any) -> Test:
    kinds = schema["type"]
    tests = [_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _enum(schema: Any, _: Any) -> Test:
    return _one_of(schema["enum"])


def _const(schema: Any, _: Any) -> Test:
    return _one_of([schema["const"]])


def _one_of(values: Sequence[Any]) -> Test:
    """The test for equal values, where `true` is not `1`."""
    if any(isinstance(each, (list, dict)) for each in values):
        raise LookupError
    known = [(isinstance(each, bool), each) for each in values]
    return lambda value: (isinstance(value, bool), value) in known


def _all_properties(schema: Any, definitions: Any) -> Test:
    """Known properties, and what is to become of all others."""
    known = {name: _test(part, definitions) for name, part in schema.get("properties", {}).items()}
    other = _test(schema.get("additionalProperties", True), definitions)
    return lambda value: (
        not isinstance(value, dict) or all(known.get(name, other)(part) for name, part in value.items())
    )


def _names(schema: Any, definitions: Any) -> Test:
    test = _test(schema["propertyNames"], definitions)
    return lambda value: not isinstance(value, dict) or all(map(test, value))


def _required(schema: Any, _: Any) -> Test:
    names = schema["required"]
    return lambda value: not isinstance(value, dict) or all(name in value for name in names)


def _items(schema: Any, definitions: Any) -> Test:
    test = _test(schema["items"], definitions)
    return lambda value: not isinstance(value, list) or all(map(test, value))


def _any_of(schema: Any, definitions: Any) -> Test:
    tests = [_test(part, definitions) for part in schema["anyOf"]]
    return lambda value: any(test(value) for test in tests)


def _not(schema: Any, definitions: Any) -> Test:
    test = _test(schema["not"], definitions)
    return lambda value: not test(value)


def _pattern(schema: Any, _: Any) -> Test:
    pattern = schema["pattern"]  # compiled where a value is there
    return lambda value: not isinstance(value, str) or re.search(pattern, value) is not None


def _bound(key: str, kind: Test, measure: Callable[[Any], Any], holds: Callable[[Any, Any], bool]) -> Any:
    """The keyword for a bound of what `measure` makes of values of one kind."""

    def keyword(schema: Any, _: Any) -> Test:
        bound = schema[key]
        return lambda value: not kind(value) or holds(measure(value), bound)

    return keyword


def _itself(value: Any) -> Any:
    return value


_least, _most = (lambda value, bound: value >= bound), (lambda value, bound: value <= bound)
_KEYWORDS: Final[Mapping[str, Callable[[Any, Any], Test]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "properties": _all_properties,
    "additionalProperties": _all_properties,
    "propertyNames": _names,
    "required": _required,
    "items": _items,
    "anyOf": _any_of,
    "not": _not,
    "pattern": _pattern,
    "minLength": _bound("minLength", _TYPES["string"], len, _least),
    "maxLength": _bound("maxLength", _TYPES["string"], len, _most),
    "minItems": _bound("minItems", _TYPES["array"], len, _least),
    "maxItems": _bound("maxItems", _TYPES["array"], len, _most),
    "minProperties": _bound("minProperties", _TYPES["object"], len, _least),
    "minimum": _bound("minimum", _is_number, _itself, _least),
    "maximum": _bound("maximum", _is_number, _itself, _most),
    "exclusiveMinimum": _bound("exclusiveMinimum", _is_number, _itself, lambda value, bound: value > bound),
}
