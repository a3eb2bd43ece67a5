"""Says fast whether a value fits a JSON Schema (draft-07), without saying why not.

Nearly every file is valid, and nearly every command only needs to know that: this is a tenth of the time of
jsonschema per item, and spares importing it. `schema` asks jsonschema about the few values that do not fit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ANNOTATIONS = frozenset(
    {"$schema", "title", "description", "default", "examples", "definitions", "errorMessage", "writeOnly"}
)


class UnknownKeywordError(ValueError):
    """The schema uses a keyword this module does not know."""


def compile_schema(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Callable[[Any], bool]:
    """A function that says whether a value fits `schema`; `$ref` is looked up in `root`.

    Raises UnknownKeywordError for keywords outside the subset that the shipped schemas use.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return compile_schema(resolve(schema, root), root)
    tests = [
        _KEYWORDS[key](value, schema, root)
        for key, value in schema.items()
        if key not in _ANNOTATIONS and _known(key) and key not in _COMBINED
    ]
    if "properties" in schema or "additionalProperties" in schema:
        tests.append(_members(schema, root))
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
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


def _known(key: str) -> bool:
    if key not in _KEYWORDS and key not in _COMBINED:
        raise UnknownKeywordError(key)
    return True


def _same(left: Any, right: Any) -> bool:
    """JSON equality: `true` is not 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _type(names: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
    if isinstance(names, str):
        names = (names,)
    if not {"integer", "number"} & set(names):
        kinds = tuple(_TYPES[name] for name in names)
        return lambda value: isinstance(value, kinds)
    return lambda value: any(is_type(value, name) for name in names)


def _enum(values: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
    return lambda value: any(_same(value, known) for known in values)


def _const(known: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
    return lambda value: _same(value, known)


def _bound(holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any, Any], Callable[[Any], bool]]:
    def keyword(bound: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
        return lambda value: not is_type(value, "number") or holds(value, bound)

    return keyword


def _size(kind: Any, holds: Callable[[int, int], bool]) -> Callable[[Any, Any, Any], Callable[[Any], bool]]:
    def keyword(bound: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
        return lambda value: not isinstance(value, kind) or holds(len(value), bound)

    return keyword


def _pattern(pattern: str, _schema: Any, _root: Any) -> Callable[[Any], bool]:
    search = re.compile(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _items(entry: Any, _schema: Any, root: Any) -> Callable[[Any], bool]:
    fits = compile_schema(entry, root)
    return lambda value: not isinstance(value, list) or all(map(fits, value))


def _required(names: Any, _schema: Any, _root: Any) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, dict) or all(name in value for name in names)


def _property_names(names: Any, _schema: Any, root: Any) -> Callable[[Any], bool]:
    fits = compile_schema(names, root)
    return lambda value: not isinstance(value, dict) or all(map(fits, value))


def _any_of(options: Any, _schema: Any, root: Any) -> Callable[[Any], bool]:
    tests = [compile_schema(option, root) for option in options]
    return lambda value: any(test(value) for test in tests)


def _not(option: Any, _schema: Any, root: Any) -> Callable[[Any], bool]:
    fits = compile_schema(option, root)
    return lambda value: not fits(value)


def _members(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Callable[[Any], bool]:
    """`properties` and `additionalProperties` in one walk over the members of a map."""
    named = {name: compile_schema(entry, root) for name, entry in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties", True)
    rest: Callable[[Any], bool]
    rest = (lambda _: others) if isinstance(others, bool) else compile_schema(others, root)

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        return all(named.get(key, rest)(entry) for key, entry in value.items())

    return fits


_TYPES: dict[str, type] = {
    "string": str,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
_COMBINED = frozenset({"properties", "additionalProperties"})
_KEYWORDS: dict[str, Callable[[Any, Any, Any], Callable[[Any], bool]]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound(lambda value, bound: bool(value >= bound)),
    "maximum": _bound(lambda value, bound: bool(value <= bound)),
    "exclusiveMinimum": _bound(lambda value, bound: bool(value > bound)),
    "minLength": _size(str, lambda size, bound: size >= bound),
    "maxLength": _size(str, lambda size, bound: size <= bound),
    "minItems": _size(list, lambda size, bound: size >= bound),
    "minProperties": _size(dict, lambda size, bound: size >= bound),
    "pattern": _pattern,
    "items": _items,
    "required": _required,
    "propertyNames": _property_names,
    "anyOf": _any_of,
    "not": _not,
}
