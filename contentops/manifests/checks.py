"""Reads the `checks` of a rendered item, with patterns that compile and schemas that exist.

What the JSON Schema of manifests refuses is skipped here, as it is reported there.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from contentops.digest import canonical
from contentops.json_reader import DeepJson, load_json
from contentops.manifests.values import kind_of
from contentops.model import NO_CHECKS, Checks, FrontMatterSchema, Grounded, Level, Listed, Similar, WordLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contentops.manifests.data import DataFile
    from contentops.manifests.problems import Report
    from contentops.model import Json

    FindFile = Callable[[str], DataFile | str]
    """Returns a file by its path as written, or why there is none."""

MAX_RETRIES: Final = 10
_LISTS: Final = ("contains", "excludes", "matches", "not_matches", "headings", "commands")
_LEVELS: Final = ("leftovers", "links")
_KINDS: Final = ("numbers", "urls")
MAX_PATTERNS: Final = 100
LEAST_SHARE: Final = 0.1
MOST_SHARE: Final = 0.99
"""The bounds of `checks.similar.at_most`: texts on one subject have some words in common, and no share is above 1."""
_PATTERNS: Final = frozenset({"matches", "not_matches"})


def read_checks(value: Json, report: Report, find: FindFile, brief: Iterable[Json] = ()) -> Checks:
    """The checks of a rendered item; those that cannot be used are reported and omitted.

    `brief`: inputs, metadata and data row of the item.
    """
    if not isinstance(value, dict) or not value:
        return NO_CHECKS
    lists: dict[str, Any] = {key: _listed(key, value[key], report) for key in _LISTS if key in value}
    lists |= {key: Level(value[key]) for key in _LEVELS if value.get(key) in tuple(Level)}
    words, front_matter, grounded = (value.get(key) for key in ("words", "front_matter", "grounded"))
    return Checks(
        **lists,
        words=_words(words, report) if isinstance(words, dict) else None,
        front_matter=None if front_matter is None else _schema(front_matter, report, find),
        similar=_similar(value["similar"], report) if isinstance(value.get("similar"), dict) else None,
        grounded=None if grounded is None else _grounded(grounded, report, brief),
        retries=whole_number(("checks", "retries"), value.get("retries"), report, most=MAX_RETRIES) or 0,
    )


def _level(value: Mapping[str, Any]) -> Level:
    return Level(value["level"]) if value.get("level") in tuple(Level) else Level.BLOCK


def _words(value: Mapping[str, Any], report: Report) -> WordLimits | None:
    at = ("checks", "words")
    fewest, most = (whole_number((*at, key), value.get(key), report) for key in ("min", "max"))
    if fewest is not None and most is not None and fewest > most:
        report(at, "wrong-value", f"asks for at least {fewest:,} words and at most {most:,}", hint="swap them")
    if fewest is None and most is None:
        return None
    return WordLimits(min=fewest, max=most, level=_level(value))


def _similar(value: Mapping[str, Any], report: Report) -> Similar | None:
    at = ("checks", "similar")
    stated = {key: value[key] for key in ("within", "at_most") if value.get(key) is not None}
    within, most = stated.get("within", ""), stated.get("at_most", LEAST_SHARE)
    tag = within.partition(":") if isinstance(within, str) else ("", "", "")
    if within not in ("", "for_each", "all") and not (tag[0] == "tag" and tag[2].strip()):
        shown = f"`{within[:60]}`" if isinstance(within, str) else kind_of(within)
        core = f"has {shown} as `checks.similar.within`"
        report((*at, "within"), "wrong-value", core, hint="`for_each`, `tag:NAME` or `all`")
        return None
    is_number = isinstance(most, int | float) and not isinstance(most, bool)
    if not is_number or not LEAST_SHARE <= most <= MOST_SHARE:
        core = f"has {most if is_number else kind_of(most)} as `checks.similar.at_most`"
        report((*at, "at_most"), "wrong-value", core, hint=f"a number from {LEAST_SHARE} to {MOST_SHARE}")
        return None
    return Similar(**stated, level=_level(value))


def names_of(row: Mapping[str, Json]) -> tuple[str, ...]:
    """The values of a row that `checks.similar` masks."""
    from contentops.documents.word_diff import names_in

    return names_in(row)


def whole_number(path: tuple[str, ...], value: Any, report: Report, *, most: int | None = None) -> int | None:
    """A whole number of at least 0, also one like `2.0` from a template; None where there is none."""
    if value is None:
        return None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 0:
        shown = f"{value}" if whole and not isinstance(value, bool) else kind_of(value)
        core = f"has {shown} as `{'.'.join(path)}`, which must be a whole number of at least 0"
        hint = "" if whole else "from a data file: `{{ each.column | int }}`"
        report(path, "wrong-type", core, hint=hint)
        return None
    if most is not None and value > most:
        report(path, "wrong-value", f"has {value} as `{'.'.join(path)}`, which takes {most} at most")
        return None
    return int(value)


def _listed(key: str, value: Json, report: Report) -> Listed | None:
    path: tuple[str, ...] = ("checks", key)
    level = Level.BLOCK
    if isinstance(value, dict):
        level, value = _level(value), value.get("values")
        if value is None:
            core = f"has `checks.{key}` without a list"
            report(
                path,
                "missing-key",
                core,
                hint="write it as `{values: [...], level: ...}`; lists are replaced, not merged",
            )
        path = (*path, "values")
    if not isinstance(value, list):
        return None
    from contentops.documents.checks import compiled

    if key in _PATTERNS and len(value) > MAX_PATTERNS:
        core = f"has {len(value):,} patterns in `checks.{key}`, which takes {MAX_PATTERNS} at most"
        report(path, "wrong-value", core, hint="combine some of them with `|`")
        return None
    for entry in value:
        if not isinstance(entry, str) or not entry.strip():
            shown = "an empty text" if isinstance(entry, str) else kind_of(entry)
            report(path, "wrong-type", f"has {shown} in `{'.'.join(path)}`, which takes a list of texts")
            return None
        if key in _PATTERNS and isinstance(problem := compiled(entry), str):
            hint = "`.` matches any character and `\\.` a full stop; single quotes leave backslashes unchanged"
            report(path, "bad-pattern", f"has the pattern `{entry[:60]}` in `checks.{key}`, which {problem}", hint=hint)
            return None
    return Listed(values=tuple(value), level=level)


def _schema(value: Json, report: Report, find: FindFile) -> FrontMatterSchema | None:
    path: tuple[str, ...] = ("checks", "front_matter")
    level = Level.BLOCK
    if isinstance(value, dict):
        level, value = _level(value), value.get("schema")
        if value is None:
            core = "has `checks.front_matter` without a schema"
            report(path, "missing-key", core, hint="write it as `{schema: FILE, level: ...}`")
        path = (*path, "schema")
    if not isinstance(value, str):
        return None
    file = find(value)
    if isinstance(file, str):
        hint = "paths are relative to the project root, or to the manifest's folder"
        report(path, "bad-schema", f"uses the schema `{value[:200]}`, which {file}", hint=hint)
        return None
    problem, text = ("cannot be read", "") if file.problem else _read(file.content)
    if problem:
        report(path, "bad-schema", f"uses the schema `{value[:200]}`, which {problem}")
        return None
    return FrontMatterSchema(path=file.path, text=text, level=level)


def _grounded(value: Json, report: Report, brief: Iterable[Json]) -> Grounded | None:
    path = ("checks", "grounded")
    if isinstance(value, str):
        value = {"level": value} if value in tuple(Level) else None
    if not isinstance(value, dict):
        return None
    kinds: dict[str, bool] = {}
    for key in _KINDS:
        chosen = value.get(key)
        if isinstance(chosen, bool):
            kinds[key] = chosen
        elif chosen is not None:
            hint = 'write true or false; from a data file: `{{ each.column == "true" }}`'
            core = f"has {kind_of(chosen)} as `checks.grounded.{key}`, which takes a bool"
            report((*path, key), "wrong-type", core, hint=hint)
    allow = value.get("allow") or []
    for entry in allow if isinstance(allow, list) else ():
        if isinstance(entry, bool) or not isinstance(entry, str | int | float) or not str(entry).strip():
            shown = "an empty text" if isinstance(entry, str) else kind_of(entry)
            core = f"has {shown} in `checks.grounded.allow`, which takes a list of texts and numbers"
            report((*path, "allow"), "wrong-type", core)
            return None
    allowed = tuple(map(str, allow)) if isinstance(allow, list) else ()
    return Grounded(**kinds, allow=allowed, level=_level(value), brief=_lines_of(brief))


def _lines_of(values: Iterable[Json]) -> str:
    """Every key, text and number in some values, each on a line and once."""
    lines: dict[str, None] = {}
    rest = list(values)[::-1]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest += [each for pair in reversed(value.items()) for each in reversed(pair)]
        elif isinstance(value, list):
            rest += reversed(value)
        elif value is not None and not isinstance(value, bool):
            lines[str(value)] = None
    return "\n".join(lines)


@functools.lru_cache(maxsize=64)
def _read(content: bytes) -> tuple[str, str]:
    """The problem of a schema's bytes, and its canonical text; one of the two is empty."""
    from contentops.documents.checks import schema_problem

    try:
        schema = load_json(content)
        text = canonical(schema)
    except DeepJson as error:
        return str(error), ""
    except (ValueError, TypeError):
        return "is not JSON", ""
    problem = schema_problem(text)
    return problem, "" if problem else text
