"""Whether a value fits one of our own JSON Schemas, at a tenth of what it takes to load jsonschema alone.

Nearly all files fit. Where one does not, `schema` has jsonschema find everything that is wrong. Both agree on every
value (tests/test_schema.py); a schema with a keyword that is not known here is left to jsonschema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contentops.schema_files import load_schema

Test = Callable[[Any], bool]

_WORDS: Final = frozenset(
    {"$schema", "title", "description", "default", "examples", "errorMessage", "writeOnly", "definitions"}
)
"""Keywords that every value fits."""


@functools.cache
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
