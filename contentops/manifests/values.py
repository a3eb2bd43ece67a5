"""Rules for values in templates: which values are allowed, how they become text, and how layers of values merge.

The layers are, from low to high: defaults of the project, of the manifest and of the environment, and the item itself.
A higher layer wins: maps merge key by key, lists are replaced as a whole, and a null removes what lower layers set.
`Problems` collects the problems of a file.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar
from unicodedata import ucd_3_2_0

from msgspec import Struct, field, structs

from contentops.errors import Diagnostic, Location, Severity, nearest
from contentops.model import Json
from contentops.yaml.positions import Pointer, YamlDocument, finding, locate
from contentops.yaml.read import MAX_DEPTH
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    Lookup = Callable[[str], Any]
    """Gives the value of a name, or MISSING."""

MAX_TEXT: Final = 1024 * 1024
"""Longest text a template may hold or give, in characters."""

MAX_NUMBER_BITS: Final = 64
"""Widest whole number a template may give."""

MAX_VALUES: Final = 100_000
"""Most entries of lists and maps a template may give."""


MISSING: Final[Any] = object()
"""The result of a look-up for a name that is not defined."""

UNSENDABLE: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]"
"""The pattern of characters that no request can have."""


def is_template(text: str) -> bool:
    """Return whether a text contains Jinja."""
    return "{" in text and JINJA.search(text) is not None


def texts_in(value: Json) -> Iterator[str]:
    """Yield every text inside a value, at any depth. The keys of maps are left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from (entry,) if isinstance(entry, str) else texts_in(entry)


def templates_in(value: Json) -> Iterator[str]:
    """Return every text with Jinja inside a value, at any depth."""
    return filter(is_template, texts_in(value))


def reachable(names: Iterable[str], direct: Callable[[str], Iterable[str]]) -> list[str]:
    """Return these names, and all names that they use, directly or through others. Each name appears once."""
    seen: dict[str, None] = {}
    todo = [*names]
    while todo:
        step = todo.pop()
        if step not in seen:
            seen[step] = None
            todo += direct(step)
    return [*seen]


_Name = TypeVar("_Name", bound=str)


def cycle_of(names: Iterable[_Name]) -> tuple[_Name, str]:
    """Return the smallest name of a cycle, and words that show the cycle from this name back to itself."""
    ring = [*names]
    first = ring.index(min(ring))
    return ring[first], " -> ".join(f"`{name}`" for name in (*ring[first:], *ring[: first + 1]))


class TemplateError(Exception):
    """The error for a template that cannot be rendered.

    `offset` is the character at which the problem is, in the template or, if `in_macros`, in the file of macros. `name`
    is the variable that is not defined, if that is the problem.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", offset: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.in_macros = False
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        self.name = name


class SourceError(TemplateError):
    """The error for a template that uses another item's text wrongly, whatever that text contains."""


def unclear() -> SourceError:
    """Return the error for a template that chooses which text to read by the content of another text."""
    message = "which text `ref` reads depends on another text"
    return SourceError("reference-unclear", message, hint="name the items: `uses: [ID, ...]`")


TEMPLATE, MACROS = "<template>", "<macros>"
"""The file names that templates and macros have for Python."""


class Unknown(str):
    """A placeholder for a value that depends on a text that does not exist yet.

    Every value made from it is unknown too. It is an empty text, so that templates can write it. There is only one
    instance, so that `is` recognises it.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return self  # or it would become a text like any other

    def __bool__(self) -> bool:
        return Guesses.now is None or Guesses.now.guess()

    def __contains__(self, _: object) -> bool:
        return bool(self)

    def _made(self, *_: object) -> Any:
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _made
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __pos__ = __neg__ = _made
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __pow__ = __rpow__ = _made
    __hash__ = object.__hash__


UNKNOWN: Final = Unknown()


class Guesses:
    """Decides whether tests on unknown values are true or false while a template runs.

    It also records which items the template reads. `ways` gives results for positions in the code; all other tests are
    true. The test at one position has the same result in the whole run, also in loops.
    """

    now: ClassVar[Guesses | None] = None
    """The guesses of the template that runs now to find what it reads."""

    def __init__(self, ways: dict[Any, bool]) -> None:
        self._ways = ways
        self.made: dict[Any, bool] = {}
        """By the position in the code, the result of its test."""
        self.read: dict[Any, set[str]] = {}
        """By the position in the code, the ids that it read."""

    def guess(self) -> bool:
        """Return whether the current test on an unknown value counts as true."""
        place = _place()
        return self.made.setdefault(place, self._ways.get(place, True))

    def note(self, id_: str) -> None:
        """Record that the template's code read the item `id_` at the position where it runs now."""
        self.read.setdefault(_place(), set()).add(id_)


def _place() -> object:
    """Return the position in the code of the template that runs now."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename not in (TEMPLATE, MACROS):
        frame = frame.f_back
    return (id(frame.f_code), frame.f_lasti) if frame is not None else None


class Lazy(Struct, frozen=True):
    """A map, such as `item`, that computes each value when a template reads it.

    With `is_open`, it also has values for names that are not in `names`.
    """

    names: tuple[str, ...]
    compute: Callable[[str], Any]
    is_open: bool = False

    def get(self, name: str, default: Any = MISSING) -> Any:
        """Return the value of a name, or `default` if the map does not have the name."""
        return self.compute(name) if self.is_open or name in self.names else default


def unsendable(value: Any) -> str | None:
    """Return why a text or number cannot be sent to a server, or None if it can be sent."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"gives a text longer than {MAX_TEXT} characters"
        if not (value.isascii() and value.isprintable()) and (match := re.search(UNSENDABLE, value)):
            return f"gives a text with the character U+{ord(match.group()):04X}"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "gives a number that is not finite"
    elif value.bit_length() > MAX_NUMBER_BITS:
        return f"gives a whole number of more than {MAX_NUMBER_BITS} bits"
    return None


def text_of(value: Any) -> str:
    """Return a value as text: `true` for a bool, digits for a number. Raises TemplateError for null, lists and maps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Lazy) and "title" in value.names:
        message, hint = "a text as a whole cannot be part of a text", "name one of its parts, such as `.title`"
        raise TemplateError("template-value", message, hint=hint)
    if value is None:
        hint = 'give another text with `default("...", true)`, or leave the part out with `{% if %}`'
        raise TemplateError("template-value", "null cannot be part of a text", hint=hint)
    hint = entry_hint(value) if isinstance(value, dict) else 'write `| join(", ")`, or pick one entry'
    raise TemplateError("template-value", f"{kind_of(value)} cannot be part of a text", hint=hint)


def shown(text: str) -> str:
    """Return the beginning of a text, put between backticks so that a message can quote it."""
    return f"`{text[:40]}`" if text.strip() else "an empty text"


def entry_hint(value: Any) -> str:
    """Return a hint that names one entry of a map, or an empty text for other values and empty maps."""
    if not isinstance(value, dict) or not value:
        return ""
    if value.keys() == {"value"}:
        return "for rows with plain values, write `each.value`"
    return f"name one of its entries, such as `.{str(next(iter(value)))[:40]}`"


_SPELT: Final = str.maketrans(
    {"ß": "ss", "ẞ": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d"}
    | {"ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "ł": "l", "Ł": "l", "ħ": "h", "Ħ": "h", "\u0131": "i"}
    | {"'": "", "\u2019": ""}
)
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")


def slug_of(text: str) -> str:
    """Return a slug of a text. It has only small letters without accents, digits and single dashes.

    Every Python version gives the same slug, because the tables of Unicode 3.2 are used. Raises TemplateError for an
    empty slug.
    """
    plain = ucd_3_2_0.normalize("NFKD", text.translate(_SPELT))
    letters = "".join(char.lower() if char.isascii() else "-" for char in plain if not ucd_3_2_0.combining(char))
    slug = _BETWEEN.sub("-", letters).strip("-")
    if not slug:
        why = "has no letter or digit for a slug" if text.strip() else "gives no slug"
        raise TemplateError("template-value", f"{shown(text)} {why}", hint="add a column with the slug")
    return slug


def kind_of(value: Any) -> str:
    """Return the type of a value in plain words with an article, such as `a list`."""
    if value is None:
        return "a null"
    kinds = {bool: "a bool", int: "a whole number", float: "a number", str: "a text", dict: "a map", Lazy: "a map"}
    kinds |= {list: "a list", tuple: "a list"}
    unknown = "a function" if callable(value) else f"a value that is not JSON ({type(value).__name__})"
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), unknown)


def as_json(value: Any) -> Json:
    """Convert the value of a template to plain JSON types. Raises TemplateError if it is not JSON, or too large."""
    return _as_json(value, 0, itertools.count())


def _as_json(value: Any, depth: int, counted: Iterator[int]) -> Json:
    if next(counted) > MAX_VALUES:
        raise TemplateError("template-limit", f"gives more than {MAX_VALUES} values")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        problem = unsendable(value)
        if problem:
            raise TemplateError("template-value", problem)
        return str(value) if isinstance(value, str) else value
    if depth > MAX_DEPTH:
        raise TemplateError("template-value", f"gives lists or maps nested more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_as_json(entry, depth + 1, counted) for entry in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TemplateError("template-value", "gives a map with a key that is not text")
        return {str(key): _as_json(value[key], depth + 1, counted) for key in value}
    str(value)  # raises Jinja's error for an undefined value inside a list
    hint = "add `| list`" if hasattr(value, "__iter__") else "only texts, numbers, bools, lists and maps can be sent"
    if isinstance(value, Lazy) and "title" in value.names:
        hint = "name one of its parts, such as `.title`"
    raise TemplateError("template-value", f"gives {kind_of(value)}", hint=hint)


# --- layers ------------------------------------------------------------------------------------------------


RESERVED: Final = frozenset({"item", "each", "project", "environment", "loop", "range", "self"})
"""Names with a meaning in every template, which variables and macros cannot have."""
REF: Final = "ref"
"""The function that reads the text of another item, unless a variable has the name."""
TEXTS: Final = "texts"
"""The function that reads the texts of all items with a tag, unless a variable has the name."""
ROWS: Final = "rows"
"""The function that reads the rows of a data file, unless a variable has the name."""
FUNCTIONS: Final = frozenset({"date"})
"""Functions of every template, which a variable or macro of the name hides."""

APPROVAL: Final = "approval"
MERGED: Final = frozenset({"inputs", "metadata", "checks", APPROVAL})
"""The item keys whose maps merge."""


class Written(Struct, frozen=True, gc=False):
    """A value, the layer that sets it, and where it is written. `document` is None for a value in no file."""

    value: Json
    layer: str
    document: YamlDocument | None = None
    pointer: Pointer = ()

    @property
    def location(self) -> Location | None:
        """Return the location at which the value was written."""
        return None if self.document is None else locate(self.document, self.pointer)

    def below(self, key: str | int) -> Written:
        """Return the value that this map or list has under a key or an index."""
        return Written(self.value[key], self.layer, self.document, (*self.pointer, key))

    def has(self, step: str | int) -> bool:
        """Return whether this value is a map or list that has this key or index."""
        value = self.value
        return step in (range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ())


def merge(above: Mapping[str, Json], below: Mapping[str, Json], maps: frozenset[str] | None = None) -> dict[str, Json]:
    """Return the map `above` merged over the map `below`. Null removes a key; lists and texts replace the lower value.

    `maps` are the keys whose maps merge; None means all keys.
    """
    values = dict(below)
    for key, value in above.items():
        if value is None:
            values.pop(key, None)
        elif isinstance(value, dict) and (maps is None or key in maps):
            under = values.get(key)
            values[key] = merge(value, under if isinstance(under, dict) else {})
        else:
            values[key] = value
    return values


def find(layers: Sequence[Written], path: Iterable[str | int]) -> tuple[Written, bool]:
    """Return the value at a path in the highest layer that has this path, and whether a layer has it.

    If no layer has the path, return the highest map that could have it. `layers` are the maps that were
    merged, the highest first.
    """
    for step in path:
        inside: list[Written] = []
        for below in [each.below(step) for each in layers if each.has(step)]:
            is_map = below.value is not None and (isinstance(below.value, dict) or step == APPROVAL)
            inside += [below] if is_map or (below.value is not None and not inside) else []
            if not is_map:
                break
        if not inside:
            return layers[0], False
        layers = inside
    return layers[0], True


# --- fields of items ---------------------------------------------------------------------------------------

OWN_KEYS: Final = frozenset({"vars", "for_each", "matrix"})
"""The keys of an item that are not fields."""


def merged(entries: Mapping[str, Json], below: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of one layer of settings, merged over the fields of the layers below it.

    Only the maps in MERGED are merged.
    """
    if not OWN_KEYS.isdisjoint(entries):
        entries = {key: value for key, value in entries.items() if key not in OWN_KEYS}
    if (rule := entries.get(APPROVAL)) is not None:
        # A word is the `required` of a map, so that all forms merge.
        rule = {"required": True, **rule} if isinstance(rule, dict) else {"required": rule}
        entries = {**entries, APPROVAL: rule}
    return merge(entries, below, MERGED)


Opened = tuple[str, Pointer, Json]
"""A value with templates: its name with dots, its path, and itself as it is written."""


def opened(
    values: Mapping[str, Json], prefix: str = "", at: Pointer = (), maps: frozenset[str] | None = MERGED
) -> list[Opened]:
    """Return those of the `values` that contain templates. A list, or a map that is not merged, counts as one value."""
    found: list[Opened] = []
    for key, value in values.items():
        if isinstance(value, str):
            if "{" in value and is_template(value):
                found.append((prefix + key, (*at, key), value))
        elif isinstance(value, dict) and (maps is None or key in maps):
            found += opened(value, f"{prefix}{key}.", (*at, key), None)
        elif isinstance(value, (list, dict)) and "{" in repr(value) and any(templates_in(value)):
            found.append((prefix + key, (*at, key), value))
    return found


def replaced(value: Any, path: Pointer, new: Json) -> Json:
    """Return a copy of a value in which the value at a path is replaced. None removes the key."""
    if not path:
        return new
    copy = {**value, path[0]: replaced(value[path[0]], path[1:], new)}
    if copy[path[0]] is None:
        del copy[path[0]]
    return copy


def leaves(value: Json, at: Pointer = ()) -> Iterator[tuple[Pointer, Json]]:
    """Yield every value in a map and in its inner maps, with its path. An empty map counts as a value."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*at, key))
    else:
        yield at, value


def paths(fields: Mapping[str, Json]) -> Iterator[Pointer]:
    """Yield the path of every field of an item. A map that is merged gives the paths of its entries, if it has any."""
    for name, value in fields.items():
        yield from [path for path, _ in leaves(value, (name,))] if name in MERGED else [(name,)]


# --- rows of data files ---------------------------------------------------------------------------------

MAX_FINDINGS: Final = 100
"""Reading stops after this many problems."""


TITLE_HINT: Final = "the first line must have the names of the columns: remove the lines above it, or name each column"


def header_problems(names: Mapping[int, str], label: Callable[[int], str] = str) -> Iterator[tuple[int, str, str]]:
    """Yield the column, message and hint of every problem with column names. `label` names a column in messages."""
    seen: dict[str, int] = {}
    for column, name in names.items():
        if not name.strip():
            yield column, f"column {label(column)} of the header has no name", "name it, or remove the column"
        elif name != name.strip():
            yield column, f"the column name `{name}` has spaces around it", f"write `{name.strip()}`"
        elif name in seen:
            columns = f"columns {label(seen[name])} and {label(column)}"
            yield column, f"{columns} have the same name: `{name}`", "rename one of them"
        else:
            seen[name] = column


class DataRow(Struct, frozen=True):
    """One row of a data file, or one value of a list in a manifest.

    It is a map or a scalar, with the location of its start.
    """

    value: Any
    location: Location | None
    is_inline: bool = False

    @property
    def label(self) -> str:
        """Return the name of the row in messages, such as `data/cities.csv:2`. For a list, the column is added."""
        at = self.location
        return f"{at}" if self.is_inline or at is None else f"{at.file}:{at.line}"

    @property
    def columns(self) -> Mapping[str, Json]:
        """Return the entries that `each` has for this row. A row that is not a map becomes `each.value`."""
        return self.value if isinstance(self.value, dict) else {"value": self.value}


class Each(Struct, frozen=True, gc=False):
    """The values of `each` for one combination of `for_each` and `matrix`, with their locations."""

    values: Mapping[str, Json]
    label: str
    """Names it in messages: `data/cities.csv:2`, the values of a matrix, or both."""
    location: Location | None = None
    locations: Mapping[str, Location | None] = field(default_factory=dict)
    """The locations of the values that differ from `location`, by key."""


# --- problems ----------------------------------------------------------------------------------------------


def misspelt(value: Any, allowed: Iterable[str]) -> frozenset[str]:
    """Return the known keys that the misspelt keys of a map probably mean."""
    if not isinstance(value, dict):
        return frozenset()
    allowed = frozenset(allowed)
    close = (nearest(key, allowed) for key in value if key not in allowed)
    return frozenset(name for name in close if name is not None and name not in value)


class Problems:
    """Collects findings, and counts repeated findings. `done` returns them in order."""

    def __init__(self) -> None:
        self._groups: dict[object, list[Diagnostic]] = {}
        """Groups of equal findings. A group has its first finding as often as a finding was added."""
        self.errors = 0
        """The number of errors that were added; equal ones count each time."""

    def add(self, problem: Diagnostic, group: object = None) -> None:
        """Add a finding. It is counted together with others of its `group`, or else with equal findings."""
        self.errors += problem.severity is Severity.ERROR
        group = group or (problem.code, problem.location, problem.message)
        alike = self._groups.setdefault(group, [])
        alike.append(alike[0] if alike else problem)

    def about(
        self,
        subject: str,
        written: Written,
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        offset: int = 0,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a finding about one item. Its message is `subject`, a space (but not before a colon) and `core`.

        Findings with the same location, code and core are counted as one, whatever their subjects.
        """
        group = (code, id(written.document), written.pointer, key, offset, core)
        if group in self._groups:
            problem = self._groups[group][0]
        else:
            message = f"{subject}{'' if core.startswith(':') else ' '}{core}".strip()
            if written.document is None:
                problem = Diagnostic(code=code, message=message, severity=severity, hint=hint)
            else:
                at = written.pointer
                problem = finding(
                    written.document, code, message, at, key=key, hint=hint, severity=severity, offset=offset
                )
        self.add(problem, group)

    def done(self, noun: str = "item") -> list[Diagnostic]:
        """Return every finding once, in order of location. For several equal findings, `noun` names what is counted."""
        found: list[Diagnostic] = []
        for first, *others in self._groups.values():
            more = f"; {len(others)} more {noun}{'s have' if others[1:] else ' has'} the same problem" if others else ""
            found.append(structs.replace(first, message=first.message + more))
        return in_order(found)


def in_order(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sort findings by location, then by code and message. Findings without a location come first."""
    nowhere = Location("", 0, 0)
    return sorted(findings, key=lambda problem: (problem.location or nowhere, problem.code, problem.message))


class Report(Protocol):
    """Reports a problem in one field of an item."""

    def __call__(
        self,
        path: Pointer,
        code: str,
        core: str,
        *,
        key: bool = False,
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Report the problem. In its message, `core` follows the name of the item."""
