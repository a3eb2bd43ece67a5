"""Findings about the shape of a file: what its JSON Schema allows, said in our words and at its place.

`fits` decides; jsonschema is imported, and asked for every error, only where something does not fit.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from msgspec import structs

from contentops.errors import Location, nearest
from contentops.manifests.fits import compile_schema, is_type, resolve
from contentops.manifests.places import Document, Map, finding, masked
from contentops.manifests.secrets import SECRET_KEYS
from contentops.manifests.slips import meant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.errors import Diagnostic

MAX_FINDINGS = 1_000
"""After so many problems the rest of a file is not looked at."""

_SHOWN = 60
_PREPARED = 16
_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "array": "a list",
    "object": "a map",
    "null": "nothing",
}
_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "true": "true", "1": "true"} | {
    "no": "false",
    "off": "false",
    "n": "false",
    "false": "false",
    "0": "false",
}

_Pointer = tuple[str | int, ...]
_compiled: dict[int, tuple[Mapping[str, Any], Callable[[Any], bool], Any]] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class _Problem:
    """One violated keyword: where, which, its argument, what stands there, and the schema around it."""

    pointer: _Pointer
    keyword: str
    argument: Any
    value: Any
    schema: Mapping[str, Any]
    root: Mapping[str, Any]
    """The schema as a whole, for its definitions."""
    in_name: bool
    """Whether it is about the name of a member, which is then `value`."""
    branches: tuple[Mapping[str, Any], ...] = ()
    """The alternatives of an anyOf."""


def check_schema(document: Document, schema: Mapping[str, Any]) -> list[Diagnostic]:
    """Every way in which a document does not fit a draft-07 schema, in the order of the file.

    An empty or unreadable document (no root) has no findings. The same schema object should be passed each time
    (`schema_files.load_schema` gives it): it is prepared once.
    """
    root = document.root
    if root is None:
        return []
    fits, validator = _prepare(schema)
    if fits(root):
        return []
    findings: dict[tuple[Any, ...], Diagnostic] = {}
    secrets: list[str] = []
    for problem in _problems(root, schema, validator):
        secrets += _secrets(problem)
        for found in _explain(document, problem):
            findings.setdefault((found.location, found.code, found.message), found)
        if len(findings) >= MAX_FINDINGS:
            break
    shown = [masked(found, secrets) for found in findings.values()]
    return sorted(shown, key=lambda found: (found.location or Location(""), found.code, found.message))


def _prepare(schema: Mapping[str, Any]) -> tuple[Callable[[Any], bool], Callable[[], Any]]:
    """The fast test of a schema and a function that makes its jsonschema validator."""
    known = _compiled.get(id(schema))
    if known is None:
        if len(_compiled) >= _PREPARED:
            _compiled.clear()
        known = _compiled[id(schema)] = (schema, compile_schema(schema), [])
    _, fits, made = known

    def validator() -> Any:
        if not made:
            import jsonschema  # start-up: only files with problems need it

            made.append(jsonschema.Draft7Validator(schema))
        return made[0]

    return fits, validator


def _problems(root: Any, schema: Mapping[str, Any], validator: Callable[[], Any]) -> Iterator[_Problem]:
    """Every violated keyword. Entries of a long list that fit are not looked at again."""
    checker = validator()
    parts = dict(schema.get("properties", {}))
    for name, part in schema.get("properties", {}).items():
        entries = root.get(name) if isinstance(root, dict) else None
        if not isinstance(entries, list) or "items" not in part:
            continue
        parts[name] = {key: value for key, value in part.items() if key != "items"}
        entry_schema = resolve(part["items"], schema)
        fits = compile_schema(entry_schema, schema)
        inner = checker.evolve(schema={**entry_schema, "definitions": schema.get("definitions", {})})
        for index, entry in enumerate(entries):
            if not fits(entry):
                yield from (_problem(error, (name, index), schema) for error in inner.iter_errors(entry))
    outer = checker.evolve(schema={**schema, "properties": parts})
    yield from (_problem(error, (), schema) for error in outer.iter_errors(root))


def _problem(error: Any, prefix: _Pointer, root: Mapping[str, Any]) -> _Problem:
    branches = tuple(error.validator_value) if error.validator in {"anyOf", "oneOf"} else ()
    return _Problem(
        pointer=(*prefix, *error.absolute_path),
        keyword=str(error.validator),
        argument=error.validator_value,
        value=error.instance,
        schema=error.schema,
        root=root,
        in_name="propertyNames" in error.absolute_schema_path,
        branches=branches,
    )


def _explain(document: Document, problem: _Problem) -> Iterator[Diagnostic]:
    """The findings of one violated keyword."""
    if problem.in_name:
        yield _bad_name(document, problem)
    elif problem.keyword == "additionalProperties":
        yield from _unknown_keys(document, problem)
    elif problem.keyword == "required":
        yield from _missing_keys(document, problem)
    elif problem.branches:
        yield _no_branch(document, problem)
    elif problem.keyword == "type":
        kinds = [problem.argument] if isinstance(problem.argument, str) else list(problem.argument)
        yield _wrong_type(document, problem, kinds)
    elif problem.keyword in {"enum", "const"}:
        known = problem.argument if problem.keyword == "enum" else [problem.argument]
        yield _wrong_value(document, problem, known)
    else:
        yield _out_of_bounds(document, problem)


def _whose(document: Document, pointer: Sequence[str | int]) -> str:
    """The item a problem is in, as the beginning of a message."""
    if len(pointer) > 1 and pointer[0] == "items" and isinstance(pointer[1], int) and isinstance(document.root, Map):
        item = document.root["items"][pointer[1]]
        if isinstance(item, Map) and isinstance(item.get("id"), str) and item["id"]:
            return f"item `{_short(item['id'])}`: "
    return ""


def _subject(pointer: Sequence[str | int]) -> str:
    """A value by the key it belongs to."""
    names = [step for step in pointer if isinstance(step, str)]
    if not names:
        return "the file" if not pointer else "an entry of the list"
    if isinstance(pointer[-1], int):
        return f"an entry of `{names[-1]}`"
    return f"`{names[-1]}`"


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
    if isinstance(value, bool):
        return f"`{_short(value)}`"
    return f"the number `{_short(value)}`"


def _join(words: Sequence[str], last: str = "or") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _unknown_keys(document: Document, problem: _Problem) -> Iterator[Diagnostic]:
    known = list(problem.schema.get("properties", {}))
    for key in problem.value:
        if key in known:
            continue
        pointer = (*problem.pointer, key)
        close = nearest(key, known)
        if _is_secret(key, known):
            hint = "keys come from the environment: set `key_env` to the name of a variable"
        elif close:
            hint = f"did you mean `{close}`?"
        else:
            hint = f"known keys: {', '.join(f'`{name}`' for name in known if name != '$schema')}"
            if "inputs" in known and "for_each" in known:
                hint += "; what a template takes goes under `inputs`"
        where = f" in {_subject(problem.pointer)}" if problem.pointer and isinstance(problem.pointer[-1], str) else ""
        message = f"{_whose(document, pointer)}unknown key `{_short(key)}`{where}"
        yield finding(document, "unknown-key", message, pointer, key=True, hint=hint)


def _missing_keys(document: Document, problem: _Problem) -> Iterator[Diagnostic]:
    whose = _whose(document, problem.pointer)
    subject = "an item" if problem.pointer[:1] == ("items",) else _subject(problem.pointer)
    slips = meant(problem.value, problem.schema.get("properties", {}))
    for key in problem.argument:
        if key not in problem.value and key not in slips:
            about = resolve(problem.schema.get("properties", {}).get(key, {}), problem.root)
            example = next((text for text in about.get("examples", []) if isinstance(text, str)), "...")
            message = f"{whose}{subject} has no `{key}`"
            yield finding(document, "missing-key", message, problem.pointer, hint=f"add `{key}: {example}`")


def _bad_name(document: Document, problem: _Problem) -> Diagnostic:
    name = str(problem.value)
    message = f"{_whose(document, problem.pointer)}`{_short(name)}` cannot be a name in {_subject(problem.pointer)}"
    hint = str(problem.schema.get("errorMessage", ""))
    return finding(document, "bad-name", message, (*problem.pointer, name), key=True, hint=hint)


def _wrong_type(document: Document, problem: _Problem, kinds: Sequence[str]) -> Diagnostic:
    """A value of another type than any of `kinds`."""
    value, pointer = problem.value, problem.pointer
    wanted = [kind for kind in kinds if kind != "null"]
    message = f"{_whose(document, pointer)}{_subject(pointer)} must be {_join([_KINDS[kind] for kind in wanted])}"
    message = f"{message}, not {_kind(value)}" if value is not None else f"{message}; it is empty"
    return finding(document, "wrong-type", message, pointer, hint=_type_hint(value, wanted))


def _type_hint(value: Any, wanted: Sequence[str]) -> str:
    """What to write instead, where that is clear."""
    if value is None:
        return "give it a value, or remove the key"
    if isinstance(value, str):
        if "boolean" in wanted and value.lower() in _BOOLEANS:
            return f"write `{_BOOLEANS[value.lower()]}`, without quotes"
        if {"number", "integer"} & set(wanted) and value.strip().lstrip("+-").replace(".", "", 1).isdecimal():
            return "remove the quotes"
        if "array" in wanted:
            return f"write `[{_short(value)}]`"
    elif "string" in wanted and not isinstance(value, (dict, list)):
        return f'put it in quotes: `"{_short(value)}"`'
    return ""


def _wrong_value(document: Document, problem: _Problem, known: Sequence[Any]) -> Diagnostic:
    """A value that is none of the known ones."""
    value, pointer = problem.value, problem.pointer
    known = [entry for entry in known if entry is not None]
    choice = [f"`{_short(entry)}`" for entry in known]
    message = f"{_whose(document, pointer)}{_subject(pointer)} must be {_join(choice)}, not {_kind(value)}"
    close = nearest(value.lower(), [str(entry) for entry in known]) if isinstance(value, str) else None
    hint = f"did you mean `{close}`?" if close else ""
    if isinstance(value, str) and any(not isinstance(entry, str) and str(entry) == value for entry in known):
        hint = "remove the quotes"
    if isinstance(value, bool) and "off" in known:
        hint = f"write `{'auto' if value else 'off'}`"
    return finding(document, "wrong-value", message, pointer, hint=hint)


def _no_branch(document: Document, problem: _Problem) -> Diagnostic:
    """A value that fits none of several alternatives, measured against the ones it could have been meant for."""
    value = problem.value
    stated = [branch for branch in problem.branches if "$ref" not in branch]
    if "errorMessage" in problem.schema:
        message = f"{_whose(document, problem.pointer)}{_subject(problem.pointer)} cannot be {_kind(value)}"
        return finding(document, "wrong-value", message, problem.pointer, hint=str(problem.schema["errorMessage"]))
    known = [entry for branch in stated for entry in branch.get("enum", [])]
    if known:
        return _wrong_value(document, problem, known)
    for branch in stated:
        if "type" in branch and is_type(value, branch["type"]):
            keyword = next(key for key in branch if key not in {"type", "description"})
            return _out_of_bounds(
                document,
                dataclasses.replace(problem, keyword=keyword, argument=branch[keyword], schema=branch, branches=()),
            )
    return _wrong_type(document, problem, [branch["type"] for branch in stated if "type" in branch])


def _out_of_bounds(document: Document, problem: _Problem) -> Diagnostic:
    """A value of the right type that is too small, too large, too long, or of the wrong form."""
    pointer = problem.pointer
    subject = f"{_whose(document, pointer)}{_subject(pointer)}"
    hint = str(problem.schema.get("errorMessage", ""))
    code = "wrong-value"
    bound = problem.argument
    said = {
        "minimum": f"must be at least {bound}",
        "exclusiveMinimum": f"must be more than {bound}",
        "maximum": f"must be at most {bound}",
        "minLength": "is an empty text",
        "minItems": "is an empty list",
        "minProperties": "is an empty map",
        "maxLength": f"is longer than {bound} characters",
    }.get(problem.keyword)
    secret = bool(problem.schema.get("writeOnly"))
    if said is None and problem.keyword == "not":
        found = finding(document, "contradiction", f"{subject} contradicts itself", pointer, hint=hint)
        return structs.replace(found, message=f"{_whose(document, pointer)}{hint}", hint="") if hint else found
    if said is None:
        said = "is not well-formed" + ("" if secret else f": `{_short(problem.value)}`")
    elif problem.keyword.endswith("imum"):
        said = f"{said}, not {_short(problem.value)}"
    if not hint and problem.keyword.startswith("min") and problem.keyword != "minimum":
        hint = "give it a value, or remove the key"
    return finding(document, code, f"{subject} {said}", pointer, hint=hint)


def _is_secret(key: str, known: Sequence[str]) -> bool:
    """Whether an unknown key was meant to hold an API key."""
    return key.lower() in SECRET_KEYS and "key_env" in known


def _secrets(problem: _Problem) -> Iterator[str]:
    """Texts of the file that are API keys by the look of where they stand."""
    if problem.schema.get("writeOnly") and isinstance(problem.value, str):
        yield problem.value
    elif problem.keyword == "additionalProperties":
        known = problem.schema.get("properties", {})
        unknown = (key for key in problem.value if key not in known)
        yield from (str(problem.value[key]) for key in unknown if key.lower() in SECRET_KEYS)
