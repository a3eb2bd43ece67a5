"""Runs all checks of a text, except commands, before the text is written and saved.

Texts may be hostile. So nothing here raises, and the time of each check grows only with the length of the text. A
person's regular expressions stop after some time, and schemas after some steps; then this is a finding.

References in a schema can double the work at each level, so every keyword is counted. Python's `re` cannot be stopped,
so every pattern goes through `search`, and schemas with `patternProperties` are refused.
"""

from __future__ import annotations

import functools
import itertools
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from contentops.documents.claims import claims_without_source
from contentops.documents.clean import prose
from contentops.documents.front_matter import line_numbers, split
from contentops.errors import nearest, plural
from contentops.model import Checks, Finding, FrontMatterSchema, Grounded, Json, Level, WordLimits, level_of
from contentops.sanitize import clip, hidden_runs, one_line
from contentops.sections import bare, headings, nests_too_deep

if TYPE_CHECKING:
    import regex
    from jsonschema import ValidationError


# ---- Regular expressions that a person wrote: each search has a time limit.

MAX_PATTERN: Final = 1_000
"""The length of the longest regular expression, in characters."""


@functools.lru_cache(maxsize=1_000)
def compiled(pattern: str) -> regex.Pattern[str] | str:
    """Return a regular expression whose search can have a time limit.

    If it cannot be used, return the reason as a text.
    """
    import regex  # start-up: few projects have patterns

    if len(pattern) > MAX_PATTERN:
        return f"is longer than {MAX_PATTERN:,} characters"
    try:
        return regex.compile(pattern, regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError, IndexError, TypeError) as error:
        return f"is not a regular expression: {getattr(error, 'msg', None) or error}"


def search(pattern: str, within: str, seconds: float) -> int | str:
    """Return the offset of the first match of a pattern, or -1. If the search failed, return the reason as a text."""
    expression = compiled(pattern)
    if isinstance(expression, str):
        return expression
    try:
        match = expression.search(within, timeout=seconds)
    except TimeoutError:
        return f"takes more than {seconds:g} s for this text"
    except (MemoryError, RecursionError):
        return "needs more memory than available"
    return -1 if match is None else match.start()


# ---- JSON Schemas that a repository brings, applied within a number of steps.

if TYPE_CHECKING:
    Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]

STEPS: Final = 500_000
"""The steps that one front matter may cost: about 3 seconds in keywords, 10 in patterns."""
_SEARCH: Final = 0.01
"""Seconds that one pattern of a schema may take on one text or key."""
_SEARCH_STEPS: Final = 500
_WHOLE: Final = frozenset({"const", "dependencies", "dependentRequired", "enum", "required"})
"""Keywords for which the whole value is compared."""
_ROOM: Final = 200
"""The most characters of a message of jsonschema that are shown."""

_CANNOT: Final = (re.error, RecursionError, ArithmeticError, LookupError, TypeError, ValueError)


class _TooManyStepsError(Exception):
    """The error for a check against a schema that took too many steps."""


class _Meter:
    """Counts the steps that a check against a schema may still take."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise _TooManyStepsError


def short(words: str) -> str:
    """Return the beginning of a text as one line."""
    return clip(one_line(words), _ROOM)


def schema_errors(schema: str, instance: Mapping[str, Json]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the errors from validating data against a JSON Schema. Each error has the path of its keys and a message.

    Raises nothing. If a schema cannot be applied, or takes too many steps, the last message says so and has no path.
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
    """Return what is wrong with a JSON Schema (as JSON), or an empty text if the schema can be used."""
    schema = json.loads(text)
    if not isinstance(schema, dict | bool):
        return "is not a JSON Schema: it must be a map, true or false"
    parts = list(_maps(schema))
    references = (part[key] for part in parts for key in ("$ref", "$dynamicRef") if isinstance(part.get(key), str))
    if any(not reference.startswith("#") for reference in references):
        return "refers to another file; copy that file under `$defs` and refer to `#/$defs/...`"
    if any("patternProperties" in part for part in parts):
        return "has `patternProperties`; write `propertyNames` with a `pattern`, and `additionalProperties`"
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
    """Yield every map inside a JSON Schema, at any depth."""
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
    """Return the validator of a schema, and the meter that limits its steps. Both are cached."""
    schema, meter = json.loads(text), _Meter()
    return _limited(_kind(schema), schema, meter), meter


def _limited(kind: Any, schema: Json, meter: _Meter, *, formats: Any = None) -> Any:
    """Return a validator that fetches nothing from outside and counts its steps."""
    import jsonschema
    import referencing

    weight = max(len(json.dumps(schema)) >> 6, 1)  # a reference can look through the whole schema
    own = {**kind.VALIDATORS, "pattern": functools.partial(_pattern, meter)}
    keywords = {name: _counted(name, look, meter, weight) for name, look in own.items()}
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
    """Return the function of a JSON Schema keyword with a step counter added.

    It counts steps for the keyword's value, the data and the messages.
    """

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        steps = 1 + sum(len(part) for part in (value, instance) if isinstance(part, dict | list))
        steps += len(repr(value)) >> 3 if name in _WHOLE else weight if name.endswith(("Ref", "$ref")) else 0
        if name == "uniqueItems" and isinstance(instance, list) and not all(isinstance(one, str) for one in instance):
            # Each may be compared with each.
            steps += len(instance) ** 2 // 10
        meter.spend(steps)
        for error in look(validator, value, instance, schema) or ():
            meter.spend(len(error.message) >> 3)
            yield error

    return check


def _pattern(meter: _Meter, _validator: Any, wanted: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Yield the errors of the JSON Schema keyword `pattern`.

    The search has a time limit, which Python's `re` does not have.
    """
    import jsonschema

    if not isinstance(instance, str):
        return
    meter.spend(_SEARCH_STEPS)
    at = search(wanted, instance, _SEARCH)
    if isinstance(at, str):
        yield jsonschema.ValidationError(f"the pattern `{short(wanted)}` {at}")
    elif at < 0:
        yield jsonschema.ValidationError(f"{instance!r} does not match `{wanted}`")


# ---- The checks of a text before it is written and saved: all of `Checks` but commands.

PATIENCE: Final = 1.0
"""Seconds that one regular expression may take on one text. In a long list, each gets its share of `LONGEST`."""
LONGEST: Final = 10.0
"""Seconds that all expressions of one list may take on one text."""
_SHOWN: Final = 20
"""The most findings of one check in one text that are shown. The others are only counted."""

Exists = Callable[[str], bool]
"""Whether a path (relative to the project root, with forward slashes) exists or will exist."""


class CheckedText(Struct, frozen=True, kw_only=True):
    """A text to check: a clean title and body, and the front matter without `title` and `contentops`."""

    title: str
    body: str
    front: Mapping[str, Json] = field(default_factory=dict)
    output: str = ""
    """The file's path relative to the project root. Relative links start from its folder."""
    first_line: int = 1
    """The line of the file on which the body begins."""
    key_lines: Mapping[str, int] = field(default_factory=dict)
    """The lines of the front matter's keys."""
    open: frozenset[str] = frozenset()
    """The front matter keys whose values are not known yet, because the texts that they are made from are missing."""


def checked_text(text: str, output: str) -> CheckedText:
    """Return the text of a file in the form that the checks need. It never raises.

    `output` is the path of the file, relative to the project root.
    """
    document = split(text)
    first, keys = line_numbers(text)
    return CheckedText(
        title=document.title, body=document.body, front=document.front, output=output, first_line=first, key_lines=keys
    )


def check_text(checks: Checks, text: CheckedText, exists: Exists) -> tuple[Finding, ...]:
    """Return all findings of the checks in a text, ordered by check and then by line. It never raises.

    Commands are not run here.
    """
    if nests_too_deep(text.body):
        message = "has lists or quotations that are nested too deeply to be checked"
        return (Finding(check="unreadable_file", level=Level.BLOCK, message=message, hint="flatten them"),)
    return tuple(
        finding
        for key, look in LOOKS.items()
        if (check := getattr(checks, key)) is not None
        for finding in _first(key, level_of(check) or Level.BLOCK, look(check, text, exists))
    )


def refused_words(checks: Checks, title: str, body: str) -> tuple[re.Pattern[str], ...]:
    """Return patterns that find the refused words in a text. `excludes`, `leftovers` and `grounded` refuse words."""
    excluded = checks.excludes.values if checks.excludes is not None else ()
    found = claims_without_source(checks.grounded, title, body) if checks.grounded is not None else []
    return (
        *map(_spaced, excluded),
        *(_KINDS.values() if checks.leftovers is not None else ()),
        *(re.compile(rf"(?<![\w.,]){_spaced(one.words).pattern}(?!\w)") for one in found[:_SHOWN]),
    )


def blocks(findings: Iterable[Finding]) -> bool:
    """Return whether one of these findings forbids writing and saving the text."""
    return any(finding.level is Level.BLOCK for finding in findings)


Hit = tuple[str, int, str]
"""One result of a check: the message, the line of the file or 0, and a hint."""
Look = Callable[[Any, CheckedText, Exists], "Iterator[Hit]"]
"""A function that returns the results of one declared check in a text."""


def _first(check: str, level: Level, hits: Iterable[Hit]) -> Iterator[Finding]:
    """Yield the first results of a check as findings, then one finding with the number of the others."""
    rest = iter(hits)
    for message, line, hint in itertools.islice(rest, _SHOWN):
        yield Finding(check=check, level=level, message=message, line=line, hint=hint)
    if more := sum(1 for _ in rest):
        yield Finding(check=check, level=level, message=f"{plural(more, 'more place')} of the same kind")


def _line(text: CheckedText, offset: int) -> int:
    """Return the line number in the file for an offset in the body."""
    return text.first_line + text.body.count("\n", 0, offset)


def _shown(words: str) -> str:
    return clip(words, _ROOM)


# --- words -----------------------------------------------------------------------------------------------------

# Scripts that put no spaces between words: Thai, Lao, Tibetan, Burmese, Khmer, kana, ideographs.
UNSPACED: Final = (
    "\u0e01-\u0e30\u0e40-\u0e46\u0e81-\u0eb0\u0ec0-\u0edf\u0f40-\u0f6c\u1000-\u102a\u1780-\u17b3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003fffd"
)
_CHARACTERS: Final = re.compile(f"[{UNSPACED}]")
_APART: Final = re.compile(f"[^\\s\u2013\u2014/|{UNSPACED}]+")
_ADDRESS: Final = re.compile(r"\]\([^()\s]*")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>|<!--|-->")


def count_words(body: str) -> int:
    """Return the number of words in a body, as `words_of` defines them."""
    return len(words_of(body))


def words_of(body: str) -> list[str]:
    """Return the words of a body. A word is a run with letters or digits.

    In scripts without spaces, each character is a word. Addresses of links and HTML tags do not count; headings and
    code do.
    """
    plain = _TAG.sub(" ", _ADDRESS.sub("] ", body))
    apart = [run for run in _APART.findall(plain) if any(map(str.isalnum, run))]
    return apart + _CHARACTERS.findall(plain)


def _words(limits: WordLimits, text: CheckedText) -> Iterator[Hit]:
    count = count_words(text.body)
    if limits.min is not None and count < limits.min:
        yield f"{plural(count, 'word')}, fewer than {limits.min:,}", 0, ""
    elif limits.max is not None and count > limits.max:
        yield f"{plural(count, 'word')}, more than {limits.max:,}", 0, ""


# --- texts and patterns ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _spaced(value: str) -> re.Pattern[str]:
    """Return a pattern that finds a phrase, with any white space between its words."""
    return re.compile(r"\s++".join(map(re.escape, value.split())))


def _contains(values: Sequence[str], text: CheckedText) -> Iterator[Hit]:
    for value in values:
        wanted = _spaced(value)
        if not wanted.search(text.body) and not wanted.search(text.title):
            yield f"does not say `{_shown(value)}`", 0, ""


def _excludes(values: Sequence[str], text: CheckedText) -> Iterator[Hit]:
    for value in values:
        refused = _spaced(value)
        offsets = [match.start() for match in refused.finditer(text.body)]
        if offsets:
            times = f" ({len(offsets):,} times)" if len(offsets) > 1 else ""
            yield f"says `{_shown(value)}`{times}", _line(text, offsets[0]), ""
        elif refused.search(text.title):
            yield f"says `{_shown(value)}` in its title", text.key_lines.get("title", 0), ""


_SIMPLER: Final = "nested repetitions are slow: write the pattern without them"


def _patterns(values: Sequence[str], text: CheckedText, *, wanted: bool) -> Iterator[Hit]:
    """Yield the wanted patterns that are missing, or the unwanted patterns that are found."""
    for value in values:
        offset = search(value, text.body, min(PATIENCE, LONGEST / len(values)))
        if isinstance(offset, str):
            yield f"the pattern `{_shown(value)}` {offset}", 0, _SIMPLER
        elif wanted and offset < 0:
            yield f"no text matches `{_shown(value)}`", 0, ""
        elif offset >= 0 and not wanted:
            yield f"some text matches `{_shown(value)}`", _line(text, offset), ""


def _headings(values: Sequence[str], text: CheckedText) -> Iterator[Hit]:
    present = {bare(heading): heading for heading in headings(text.body)}
    for value in values:
        if bare(value) not in present:
            close = nearest(bare(value), present)
            yield f"has no heading `{_shown(value)}`", 0, f"it has `{_shown(present[close])}`" if close else ""


# --- leftovers -----------------------------------------------------------------------------------------------------

_LEFTOVERS: Final = {
    "draft placeholder text": r"^\W{0,9}draft outline\b"
    r"|^\W{0,9}(?:insert|add|write) (?:your )?(?:text|content|copy) here\b",
    "words a model wrote about itself": r"\bas an ai (?:language )?(?:model|assistant)\b|\bas a large language model\b"
    r"|\bi(?:'m| am) (?:just )?an ai\b|\b(?:my|of my) (?:last )?knowledge (?:cut-?off|update)\b"
    r"|\bi(?:'m| am) sorry,? but i (?:can|am|'m)|\bi can(?:no|')t (?:assist|help|fulfill|comply) with (?:that|this)\b",
    "words a model wrote to its user": r"^\W{0,9}(?:sure|certainly|of course|absolutely|okay)[,!.:]{0,2} {1,3}"
    r"(?:here(?:'s| is| are)|i(?:'ll|'d| can| will))\b|\bi hope this (?:helps|meets your|is what you)\b"
    r"|^\W{0,9}here(?:'s| is) (?:the|your|a) (?:revised |updated |rewritten |full |complete |final |finished )?"
    r"(?:article|blog post|post|draft|text|version|rewrite|response)\b[^\n]{0,120}:\W{0,9}$"
    r"|\blet me know if you(?:'d| would) like me to\b|^\W{0,9}would you like me to\b",
    "an unfilled placeholder": r"\blorem ipsum\b|<(?:your|insert|enter)[ _-][^<>\n]{1,60}>"
    r"|\[(?:your|insert|enter|add|replace|todo|tbd|placeholder|(?:company|client|product|brand|author|customer|contact)"
    r"[ _-]?name)\b[^\[\]\n]{0,80}\](?![(\[:])|\{\{ {0,9}[\w.]{1,80} {0,9}(?:\|[^{}\n]{0,120})?\}\}"
    r"|(?-i:\b(?:TODO|FIXME|TBD)\b)",
}
_KINDS: Final = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _LEFTOVERS.items()}
_CODE: Final = re.compile(r"(?<!`)(`++)[^`]++\1(?!`)")


def _leftovers(text: CheckedText) -> Iterator[Hit]:
    lines = itertools.chain([(0, text.title)], prose(text.body))
    for number, line in lines:
        plain = _CODE.sub(" ", line.replace("\u2019", "'"))
        for kind, pattern in _KINDS.items():
            if match := pattern.search(plain):
                at = text.first_line + number - 1 if number else text.key_lines.get("title", 0)
                yield f"contains {kind}: `{_shown(match[0].strip())}`", at, ""
    for offset, count in hidden_runs(text.body):
        yield (
            f"contains {count:,} characters in a row that no one sees",
            _line(text, offset),
            "delete that line, and write it again",
        )


# --- links ---------------------------------------------------------------------------------------------------------

_TARGETS: Final = re.compile(
    r"\]\(\s{0,9}(?:<([^<>\n]*)>|([^()\s<>]+))|^ {0,3}\[(?!\^)[^\]\n]{1,999}\]:\s{0,9}<?([^\s<>]+)"
)
_ELSEWHERE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/#?\\]")
_TEMPLATE: Final = re.compile(r"\{[{%]")
_ENDINGS: Final = ("", ".md", "/index.md")


def _links(text: CheckedText, exists: Exists) -> Iterator[Hit]:
    from urllib.parse import unquote  # start-up: most commands look at no link

    folder = posixpath.dirname(text.output)
    for number, line in prose(text.body):
        for match in _TARGETS.finditer(_CODE.sub(" ", line)):
            target = next(filter(None, match.groups()), "")
            path = re.split("[#?]", target, maxsplit=1)[0]
            if not path or _ELSEWHERE.match(target) or _TEMPLATE.search(target):
                continue
            path = unquote(path)
            target_path = posixpath.normpath(posixpath.join(folder, path))
            at = text.first_line + number - 1
            if target_path.startswith(("../", "/")) or target_path == ".." or "\\" in path:
                yield f"the link `{_shown(target)}` points outside the project", at, ""
            elif "\0" in target_path or not any(exists(target_path + ending) for ending in _ENDINGS):
                hint = f"looked for `{_shown(target_path)}` below the project root"
                yield f"the link `{_shown(target)}` points to no file of the project", at, hint


# --- front matter ----------------------------------------------------------------------------------------------------


def _front_matter(schema: FrontMatterSchema, text: CheckedText) -> Iterator[Hit]:
    whole = {"title": text.title, **text.front} if text.title else dict(text.front)
    for keys, message in schema_errors(_until_known(schema.text, text.open), whole):
        where = f"`{_shown('.'.join(keys))}`: " if keys else ""
        yield f"{where}{message}", text.key_lines.get(keys[0], 0) if keys else 0, f"see `{schema.path}`"


def _until_known(schema: str, open_: frozenset[str]) -> str:
    """Return a schema that does not require the keys in `open_`, because their values are not known yet."""
    if not open_:
        return schema
    document = json.loads(schema)
    if isinstance(document, dict) and isinstance(required := document.get("required"), list):
        document["required"] = [key for key in required if key not in open_]
    return json.dumps(document)


# --- grounded ------------------------------------------------------------------------------------------------------

_ALLOW: Final = "if it is right, state it in an input or list it in `checks.grounded.allow`"


def _grounded(check: Grounded, text: CheckedText) -> Iterator[Hit]:
    for line, kind, words, times in claims_without_source(check, text.title, text.body):
        where = "" if line else " of its title"
        more = f" ({times:,} times)" if times > 1 else ""
        at = text.first_line + line - 1 if line else text.key_lines.get("title", 0)
        yield f"the {kind} `{_shown(words)}`{where}{more} is not in its brief", at, _ALLOW


# --- the table -------------------------------------------------------------------------------------------------------


def _each(look: Callable[[Sequence[str], CheckedText], Iterator[Hit]]) -> Look:
    """Return a check function that passes a person's list of values and the text to `look`."""
    return lambda listed, text, _: look(listed.values, text)


LOOKS: Final[Mapping[str, Look]] = {
    "words": lambda limits, text, _: _words(limits, text),
    "contains": _each(_contains),
    "excludes": _each(_excludes),
    "matches": _each(functools.partial(_patterns, wanted=True)),
    "not_matches": _each(functools.partial(_patterns, wanted=False)),
    "headings": _each(_headings),
    "leftovers": lambda _, text, __: _leftovers(text),
    "links": lambda _, text, exists: _links(text, exists),
    "front_matter": lambda schema, text, _: _front_matter(schema, text),
    "grounded": lambda check, text, _: _grounded(check, text),
}
"""The function of each check, by its key, in the order of the findings."""
