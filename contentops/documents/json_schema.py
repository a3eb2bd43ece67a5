"""JSON Schemas that a repository brings, applied within a number of steps.

References can double the work at each level, and `patternProperties` searches with Python's `re`, which nothing can
stop. So every keyword is counted, and every pattern goes through `patterns.search`.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, Final

from contentops.documents.patterns import search

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jsonschema import ValidationError

    from contentops.model import Json

    Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

STEPS: Final = 500_000
"""The steps that one front matter may cost: about 3 seconds in keywords, 10 in patterns."""
_SEARCH: Final = 0.01
"""Seconds that one pattern of a schema may take on one text or key."""
_SEARCH_STEPS: Final = 500
_WHOLE: Final = frozenset({"const", "dependencies", "dependentRequired", "enum", "required"})
"""Keywords whose whole value is compared."""
_TOGETHER: Final = frozenset({"patternProperties", "unevaluatedProperties"})
_ROOM: Final = 200
"""Characters of a message of jsonschema that are shown."""

_CANNOT: Final = (re.error, RecursionError, ArithmeticError, LookupError, TypeError, ValueError)


class _TooManyStepsError(Exception):
    """A schema has used up its steps."""


class _Meter:
    """The steps that are left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooManyStepsError


def short(words: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(words.split())
    return line if len(line) <= _ROOM else f"{line[:_ROOM]}…"


def schema_errors(schema: str, instance: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The errors of an instance by a JSON Schema, given as JSON: the path of its keys, and a message.

    Raises nothing: a schema that cannot be applied, or takes too many steps, is the last message, with no path.
    """
    from referencing.exceptions import Unresolvable

    validator, meter = _validator(schema)
    meter.left = STEPS
    try:
        for error in validator.iter_errors(instance):
            yield tuple(str(part) for part in error.absolute_path), short(error.message)
    except _TooManyStepsError:
        yield (), "the schema is too slow: refer to each part once, and shorten lists of patterns"
    except (Unresolvable, *_CANNOT) as error:
        # It has a reference to nothing, or to itself without end.
        yield (), f"the schema cannot be applied: {short(str(error))}"


def schema_problem(text: str) -> str:
    """The problem of a JSON Schema, given as JSON; empty where it can be used."""
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        return "is not a JSON Schema: it must be a map, true or false"
    parts = list(_maps(schema))
    references = (part[key] for part in parts for key in ("$ref", "$dynamicRef") if isinstance(part.get(key), str))
    if any(not reference.startswith("#") for reference in references):
        return "refers to another file; copy that file under `$defs` and refer to `#/$defs/...`"
    if {key for part in parts for key in part} >= _TOGETHER:
        return "has both `patternProperties` and `unevaluatedProperties`; write `additionalProperties` for the latter"
    kind = _kind(schema)
    try:
        for error in _limited(kind, kind.META_SCHEMA, _Meter(), formats=kind.FORMAT_CHECKER).iter_errors(schema):
            at = "/".join(str(part) for part in error.absolute_path)
            return f"is not a JSON Schema: {f'`{short(at)}`: ' if at else ''}{short(error.message)}"
    except RecursionError:
        return "is nested too deeply"
    except _TooManyStepsError:
        return "is too large"
    return ""


def _maps(schema: Json) -> Iterator[Mapping[str, Json]]:
    """Every map of a schema, at any depth."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _kind(schema: Json) -> Any:
    import jsonschema

    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)


@functools.lru_cache(maxsize=64)
def _validator(text: str) -> tuple[Any, _Meter]:
    """The validator of a schema, made once, and the meter it runs by."""
    schema, meter = json.loads(text), _Meter()
    return _limited(_kind(schema), schema, meter), meter


def _limited(kind: Any, schema: Json, meter: _Meter, *, formats: Any = None) -> Any:
    """A validator of a draft that fetches nothing and counts what it does."""
    import jsonschema
    import referencing

    weight = max(len(json.dumps(schema)) >> 6, 1)  # a reference can look through the whole schema
    own = _pattern_keywords(meter)
    keywords = {name: _counted(name, look, meter, weight) for name, look in ({**kind.VALIDATORS, **own}).items()}
    extend: Any = jsonschema.validators.extend
    made = extend(kind, keywords)
    registry = referencing.Registry()

    def evolve(self: Any, **changes: Any) -> Any:
        # Also where a part states `$schema`: jsonschema would go on with a validator that counts nothing.
        meter.spend(1)
        given = {"schema": self.schema, "_resolver": self._resolver, **changes}
        return made(**given, registry=registry, format_checker=formats)

    made.evolve = evolve
    return made(schema, registry=registry, format_checker=formats)


def _counted(name: str, look: Keyword, meter: _Meter, weight: int) -> Keyword:
    """A keyword that spends steps for its value, the instance and its messages."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        steps = 1 + sum(len(part) for part in (value, instance) if isinstance(part, dict | list))
        steps += len(repr(value)) >> 3 if name in _WHOLE else weight if name.endswith(("Ref", "$ref")) else 0
        meter.spend(steps)
        for error in look(validator, value, instance, schema) or ():
            meter.spend(len(error.message) >> 3)
            yield error

    return check


def _pattern_keywords(meter: _Meter) -> dict[str, Keyword]:
    """The keywords whose own code can take longer than their size says."""
    patterns = _Patterns(meter)
    return {
        "pattern": patterns.pattern,
        "patternProperties": patterns.pattern_properties,
        "additionalProperties": patterns.additional_properties,
        "uniqueItems": _unique_items,
    }


class _PatternError(Exception):
    """A pattern that cannot be searched for."""


class _Patterns:
    """Keywords that search with patterns, each search within its time."""

    def __init__(self, meter: _Meter) -> None:
        self._meter = meter

    def _found(self, pattern: str, within: str, where: str = "") -> bool:
        self._meter.spend(_SEARCH_STEPS)
        at = search(pattern, within, _SEARCH)
        if isinstance(at, str):
            raise _PatternError(f"the pattern `{short(pattern)}` {at}{where}")
        return at >= 0

    def _fits(self, key: str, patterns: Iterable[str]) -> bool:
        return any(self._found(pattern, key, f" (the key `{short(key)}`)") for pattern in patterns)

    def pattern(self, _validator: Any, wanted: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        try:
            if isinstance(instance, str) and not self._found(wanted, instance):
                yield _error(f"{instance!r} does not match `{wanted}`")
        except _PatternError as problem:
            yield _error(str(problem))

    def pattern_properties(
        self, validator: Any, patterns: Any, instance: Any, _schema: Any
    ) -> Iterator[ValidationError]:
        keys = instance if isinstance(instance, dict) else ()
        try:
            matches = [(key, pattern) for pattern in patterns for key in keys if self._fits(key, (pattern,))]
        except _PatternError as problem:
            yield _error(str(problem))
            return
        for key, pattern in matches:
            yield from validator.descend(instance[key], patterns[pattern], path=key, schema_path=pattern)

    def additional_properties(self, validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        keys = [key for key in instance if key not in named] if isinstance(instance, dict) else []
        try:
            more = [key for key in keys if not self._fits(key, patterns)]
        except _PatternError as problem:
            yield _error(str(problem))
            return
        if part is False and more:
            verb = "was" if len(more) == 1 else "were"
            yield _error(f"Additional properties are not allowed ({', '.join(map(repr, more))} {verb} unexpected)")
            return
        for key in more:
            yield from validator.descend(instance[key], part, path=key)


def _unique_items(_validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list) and len({_frozen(part) for part in instance}) < len(instance):
        yield _error(f"{instance!r} has non-unique elements")


def _error(message: str) -> ValidationError:
    import jsonschema

    return jsonschema.ValidationError(message)


def _frozen(value: Json) -> Any:
    """A value that equals another one just where JSON Schema says so, and can be hashed."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return frozenset((key, _frozen(part)) for key, part in value.items())
    return (bool, value) if isinstance(value, bool) else value
