"""Values of templates (which are allowed, and their form inside a text), and values in layers.

The layers are the defaults of the project, of the manifest, of the environment, and the item itself; a higher one wins.
Maps merge key by key, lists replace as a whole, and a null removes what lower layers set.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final
from unicodedata import ucd_3_2_0

from msgspec import Struct

from contentops.yaml.positions import YamlDocument, locate
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from contentops.errors import Location
    from contentops.model import Json
    from contentops.yaml.positions import Pointer

    Lookup = Callable[[str], Any]
    """Gives the value of a name, or MISSING."""


MAX_TEXT: Final = 1024 * 1024
"""Longest text a template may hold or give, in characters."""

MAX_NUMBER_BITS: Final = 64
"""Widest whole number a template may give."""

MAX_DEPTH: Final = 100
"""Deepest nesting of lists and maps a template may give."""

MAX_VALUES: Final = 100_000
"""Most entries of lists and maps a template may give."""


MISSING: Final[Any] = object()
"""The result of a look-up for a name that is not defined."""

_UNSENDABLE = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]"


def is_template(text: str) -> bool:
    """Whether a text contains Jinja."""
    return "{" in text and JINJA.search(text) is not None


def reachable(name: str, direct: Callable[[str], Iterable[str]]) -> set[str]:
    """A name, and every name that it uses directly or through others."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        step = todo.pop()
        if step not in seen:
            seen.add(step)
            todo += direct(step)
    return seen


class TemplateError(Exception):
    """A template that cannot be rendered.

    `offset` is the character of the source the problem is at, of the file of macros if `in_macros`; `name` is the
    variable that is not defined, if that is the problem.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", offset: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.in_macros = False
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        self.name = name


class Lazy:
    """A map that computes a value when a template reads it, such as `item`."""

    __slots__ = ("_get", "names")

    def __init__(self, names: tuple[str, ...], get: Callable[[str], Any]) -> None:
        self.names = names
        self._get = get

    def get(self, name: str) -> Any:
        """The value, or MISSING."""
        return self._get(name) if name in self.names else MISSING


def unsendable(value: Any) -> str | None:
    """Why a text or number cannot be sent, or None."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"gives a text longer than {MAX_TEXT} characters"
        if not (value.isascii() and value.isprintable()) and (match := re.search(_UNSENDABLE, value)):
            return f"gives a text with the character U+{ord(match.group()):04X}"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "gives a number that is not finite"
    elif value.bit_length() > MAX_NUMBER_BITS:
        return f"gives a whole number of more than {MAX_NUMBER_BITS} bits"
    return None


def text_of(value: Any) -> str:
    """A value inside a text: `true` for a bool, digits for a number. Raises TemplateError for null, lists and maps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        hint = 'give another text with `default("...", true)`, or leave the part out with `{% if %}`'
        raise TemplateError("template-value", "null cannot be part of a text", hint=hint)
    hint = entry_hint(value) if isinstance(value, dict) else 'write `| join(", ")`, or pick one entry'
    raise TemplateError("template-value", f"{kind_of(value)} cannot be part of a text", hint=hint)


def entry_hint(value: Any) -> str:
    """A hint to name one entry of a map; empty for an empty map and other values."""
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
    """A text in small letters without accents, digits and single dashes for everything else.

    Every Python gives the same slug, from the tables of Unicode 3.2. Raises TemplateError for an empty slug.
    """
    plain = ucd_3_2_0.normalize("NFKD", text.translate(_SPELT))
    letters = "".join(char.lower() if char.isascii() else "-" for char in plain if not ucd_3_2_0.combining(char))
    slug = _BETWEEN.sub("-", letters).strip("-")
    if not slug:
        message = f"`{text[:40]}` has no letter or digit for a slug" if text.strip() else "an empty text"
        hint = "add a column with the slug"
        raise TemplateError("template-value", message if text.strip() else f"{message} gives no slug", hint=hint)
    return slug


def kind_of(value: Any) -> str:
    """The kind of a value in plain words, with an article."""
    if value is None:
        return "a null"
    kinds = {bool: "a bool", int: "a whole number", float: "a number", str: "a text", dict: "a map", Lazy: "a map"}
    kinds |= {list: "a list", tuple: "a list"}
    unknown = "a function" if callable(value) else f"a value that is not JSON ({type(value).__name__})"
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), unknown)


def as_json(value: Any) -> Json:
    """The value of a template as plain JSON types. Raises TemplateError where it is not JSON, or too large."""
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
    """A value with its layer and where it was written. `document` is None for a value in no file."""

    value: Json
    layer: str
    document: YamlDocument | None = None
    pointer: Pointer = ()

    @property
    def location(self) -> Location | None:
        """Where it was written."""
        return None if self.document is None else locate(self.document, self.pointer)

    def below(self, key: str | int) -> Written:
        """The value inside it, under a key or an index."""
        return Written(self.value[key], self.layer, self.document, (*self.pointer, key))


class Branch(Struct, frozen=True):
    """A map merged from several layers; `top` is the highest of them."""

    top: Written
    entries: dict[str, Tree]


Tree = Written | Branch


def tree(written: Written) -> Tree:
    """A written value with a Branch for each map, so that layers can merge."""
    if not isinstance(written.value, dict):
        return written
    return Branch(written, {key: tree(written.below(key)) for key in written.value})


def overlay(upper: Mapping[str, Tree], lower: Mapping[str, Tree]) -> dict[str, Tree]:
    """Two layers merged. A null in the upper one removes the key."""
    merged = dict(lower)
    for key, above in upper.items():
        below = merged.get(key)
        if isinstance(above, Branch):
            under = below.entries if isinstance(below, Branch) else {}
            merged[key] = Branch(above.top, overlay(above.entries, under))
        elif above.value is None:
            merged.pop(key, None)
        else:
            merged[key] = above
    return merged


def top(node: Tree) -> Written:
    """The written value of a tree: itself, or the highest of its maps."""
    return node.top if isinstance(node, Branch) else node
