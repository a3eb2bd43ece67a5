"""Says fast whether a value fits a JSON Schema (draft-07), without saying why not.

Nearly every file is valid, and nearly every command only needs to know that: this is a tenth of the time of
jsonschema per item, and spares importing it. `schema` asks jsonschema about the few values that do not fit.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Schema = Mapping[str, Any]
    Test = Callable[[Any], bool]

_ANNOTATIONS: Final = frozenset(
    {"$schema", "title", "description", "default", "examples", "definitions", "errorMessage", "writeOnly"}
)
_TYPES: Final[dict[str, type]] = {
    "string": str,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_BOUNDS: Final[dict[str, tuple[type | tuple[type, ...], Callable[[Any, Any], bool]]]] = {
    "minimum": ((int, float), operator.ge),
    "maximum": ((int, float), operator.le),
    "exclusiveMinimum": ((int, float), operator.gt),
    "minLength": (str, operator.ge),
    "maxLength": (str, operator.le),
    "minItems": (list, operator.ge),
    "minProperties": (dict, operator.ge),
}


class UnknownKeywordError(ValueError):
    """The schema uses a keyword this module does not know."""


def compile_schema(schema: Schema, root: Schema | None = None) -> Test:
    """A function that says whether a value fits `schema`; `$ref` is looked up in `root`.

    Raises UnknownKeywordError for keywords outside the subset that the shipped schemas use.
    """
    root = schema if root is None else root
    schema = resolve(schema, root)
    tests = [
        _test(key, value, root)
        for key, value in schema.items()
        if key not in _ANNOTATIONS and key not in {"properties", "additionalProperties"}
    ]
    if "properties" in schema or "additionalProperties" in schema:
        tests.append(_members(schema, root))
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def resolve(schema: Schema, root: Schema) -> Schema:
    """`schema` itself, or the definition of `root` that its `$ref` names."""
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    return schema


def is_type(value: Any, name: str) -> bool:
    """Whether a value has a JSON Schema type; `true` is no number, and `1.0` is an integer."""
    if name == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, _TYPES[name])


def _same(left: Any, right: Any) -> bool:
    """JSON equality: `true` is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _test(keyword: str, argument: Any, root: Schema) -> Test:
    """The test of one keyword that looks at a value alone."""
    match keyword:
        case "type":
            return _type([argument] if isinstance(argument, str) else argument)
        case "enum" | "const":
            known = argument if keyword == "enum" else [argument]
            return lambda value: any(_same(value, each) for each in known)
        case "pattern":
            search = re.compile(argument).search
            return lambda value: not isinstance(value, str) or search(value) is not None
        case "required":
            return lambda value: not isinstance(value, dict) or all(name in value for name in argument)
        case "items" | "propertyNames":
            kind, inner = (list if keyword == "items" else dict), compile_schema(argument, root)
            return lambda value: not isinstance(value, kind) or all(map(inner, value))
        case "anyOf":
            options = [compile_schema(option, root) for option in argument]
            return lambda value: any(option(value) for option in options)
        case "not":
            refused = compile_schema(argument, root)
            return lambda value: not refused(value)
        case _:
            return _bound(keyword, argument)


def _type(names: list[str]) -> Test:
    if not {"integer", "number"} & set(names):
        kinds = tuple(_TYPES[name] for name in names)
        return lambda value: isinstance(value, kinds)
    return lambda value: any(is_type(value, name) for name in names)


def _bound(keyword: str, bound: Any) -> Test:
    if keyword not in _BOUNDS:
        raise UnknownKeywordError(keyword)
    kinds: Any
    kinds, holds = _BOUNDS[keyword]
    if keyword.endswith("imum"):
        return lambda value: not isinstance(value, kinds) or isinstance(value, bool) or holds(value, bound)
    return lambda value: not isinstance(value, kinds) or holds(len(value), bound)


def _members(schema: Schema, root: Schema) -> Test:
    """`properties` and `additionalProperties` in one walk over the members of a map."""
    named = {name: compile_schema(entry, root) for name, entry in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties", True)
    rest: Test = (lambda _: others) if isinstance(others, bool) else compile_schema(others, root)

    def fits(value: Any) -> bool:
        return not isinstance(value, dict) or all(named.get(key, rest)(entry) for key, entry in value.items())

    return fits
