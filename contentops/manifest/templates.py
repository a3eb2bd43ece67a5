"""Texts that may hold Jinja: what they are, which names they use, and what they give.

A text without `{{`, `{%` or `{#` is itself. A text of plain look-ups (`AI in {{ company }}`) is put together here,
without Jinja, wherever that gives exactly what Jinja would give; everything else, and every error, is Jinja's (see
`sandbox`), which is imported only then. Compiled texts are kept, so that a thousand rows compile theirs once.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, Final

from contentops.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contentops.manifest.sandbox import Compiled
    from contentops.model import Json

    Lookup = Callable[[str], Any]

MAX_TEXT: Final = 1024 * 1024
"""Longest text a template may hold or give, in characters."""

MAX_NUMBER_BITS: Final = 64
"""Widest whole number a template may give."""

MAX_DEPTH: Final = 100
"""Deepest nesting of lists and maps a template may give."""


MAX_VALUES: Final = 100_000
"""Most entries of lists and maps a template may give."""


class _Missing:
    """The type of MISSING."""

    __slots__ = ()


MISSING: Final = _Missing()
"""What a look-up gives for a name that is not defined."""

_PIECE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}\}")
_OPENING = re.compile(r"\{[{%#]")
# Names Jinja reads as something else than a variable.
_WORDS = frozenset(
    str.split(
        """and as block call caller do elif else extends false filter for from if import in include is kwargs
        loop macro none not or recursive self set super true varargs with without context False None True"""
    )
)
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class TemplateError(Exception):
    """A template that can not be rendered.

    `offset` is the character of the source the problem is at; `name` is the variable that is not defined, if that
    is the problem.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", offset: int = 0, name: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.offset = offset
        self.name = name


class Lazy:
    """A map whose values are made when a template asks for them; `item` is one."""

    __slots__ = ("_get", "names")

    def __init__(self, names: tuple[str, ...], get: Callable[[str], Any]) -> None:
        self.names = names
        self._get = get

    def get(self, name: str) -> Any:
        """The value, or MISSING."""
        return self._get(name) if name in self.names else MISSING


class Template:
    """One text with Jinja in it.

    `names` are the variables it may use: `company`, `each.city` where only that part is used, `item.id`.
    """

    __slots__ = ("_compiled", "_names", "_pieces", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._pieces = _split(source)
        self._compiled: Compiled | TemplateError | None = None
        self._names: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The variables it may use, sorted; none where it can not be compiled."""
        if self._names is None:
            if self._pieces is not None:
                found = {_used(path) for path in self._pieces[1]}
                self._names = tuple(sorted(found))
            else:
                compiled = self._compile()
                self._names = () if isinstance(compiled, TemplateError) else compiled.names
        return self._names

    def render(self, lookup: Lookup) -> Json:
        """What the text gives: a JSON value if it is one whole expression, else a text.

        `lookup` gives the value of a name or MISSING. Raises TemplateError; what `lookup` raises passes through.
        """
        if self._pieces is not None:
            value = _assemble(*self._pieces, lookup)
            if value is not MISSING:
                return value
        compiled = self._compile()
        if isinstance(compiled, TemplateError):
            raise compiled
        return compiled.render(lookup)

    def _compile(self) -> Compiled | TemplateError:
        if self._compiled is None:
            from contentops.manifest.sandbox import compile_template

            try:
                self._compiled = compile_template(self.source)
            except TemplateError as error:
                self._compiled = error
        return self._compiled


class Templates:
    """Compiled templates by source text; the oldest are dropped when there are many."""

    __slots__ = ("_kept", "_limit")

    def __init__(self, limit: int = 10_000) -> None:
        self._kept: dict[str, Template] = {}
        self._limit = limit

    def get(self, source: str) -> Template:
        """The template of this text."""
        found = self._kept.get(source)
        if found is None:
            if len(self._kept) >= self._limit:
                del self._kept[next(iter(self._kept))]
            found = self._kept[source] = Template(source)
        return found


@functools.lru_cache(maxsize=1_000)
def suggest(name: str, known: tuple[str, ...]) -> str:
    """A hint that names the nearest known name, else all of them; kept, as thousands of rows share one mistake."""
    close = nearest(name, known)
    if close:
        return f"did you mean `{close}`?"
    shown = ", ".join(f"`{entry}`" for entry in known[:12])
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there are {shown}{more}" if shown else ""


def is_template(text: str) -> bool:
    """Whether a text holds Jinja."""
    return "{" in text and _OPENING.search(text) is not None


def templates_in(value: Json) -> Iterator[str]:
    """Every text with Jinja inside a value, at any depth; the keys of maps are not templates."""
    if isinstance(value, str):
        if is_template(value):
            yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from templates_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from templates_in(entry)


def plain(value: Json) -> Json:
    """A written value as plain lists and maps, without its places."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def _used(path: tuple[str, ...]) -> str:
    """The name to remember for a look-up: only rows and items are told apart by their parts."""
    return ".".join(path[:2]) if path[0] in {"each", "item"} else path[0]


Paths = tuple[tuple[str, ...], ...]


def _split(source: str) -> tuple[tuple[str, ...], Paths] | None:
    """Literal texts and the look-ups between them; None if the text holds any other Jinja.

    A `{` directly before `{{` and a carriage return are left to Jinja, which reads them its own way.
    """
    parts = _PIECE.split(source)
    literals, paths = parts[0::2], tuple(tuple(path.split(".")) for path in parts[1::2])
    if "\r" in source or len(source) > MAX_TEXT or any(path[0] in _WORDS for path in paths):
        return None
    if any(_OPENING.search(text) for text in literals) or any(text.endswith("{") for text in literals[:-1]):
        return None
    return tuple(literals), paths


def _assemble(literals: tuple[str, ...], paths: Paths, lookup: Lookup) -> Json:
    """The value of a split text; MISSING where Jinja has to say what is wrong, or how it would read it."""
    if len(paths) == 1 and not literals[0] and not literals[1]:
        value = _follow(paths[0], lookup)
        return value if type(value) in {str, int, float, bool} and _sendable(value) else MISSING
    parts = [literals[0]]
    for path, literal in zip(paths, literals[1:], strict=True):
        value = _follow(path, lookup)
        if type(value) is not str:
            if type(value) is not int:
                return MISSING
            value = str(value)
        parts += (value, literal)
    text = "".join(parts)
    return text if _sendable(text) else MISSING


def _follow(path: tuple[str, ...], lookup: Lookup) -> Any:
    value = lookup(path[0])
    for name in path[1:]:
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif isinstance(value, Lazy):
            value = value.get(name)
        else:
            return MISSING
    return value


def _sendable(value: Any) -> bool:
    return _unsendable(value) is None


def _unsendable(value: Any) -> str | None:
    """Why a text or number can not be sent, or None."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            return f"gives a text of more than {MAX_TEXT} characters"
        if found := _UNSENDABLE.search(value):
            return f"gives a text with the character U+{ord(found.group()):04X}"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "gives a number that is not finite"
    elif value.bit_length() > MAX_NUMBER_BITS:
        return f"gives a whole number of more than {MAX_NUMBER_BITS} bits"
    return None


def text_of(value: Any) -> str:
    """A value as it reads inside a text: `true` for a bool, digits for a number. Raises TemplateError for others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        hint = 'give another text with `default("...", true)`, or leave the part out with `{% if %}`'
        raise TemplateError("template-value", "a null can not stand inside a text", hint=hint)
    hint = 'write `| join(", ")`, or pick one entry'
    raise TemplateError("template-value", f"{kind_of(value)} can not stand inside a text", hint=hint)


def kind_of(value: Any) -> str:
    """What a value is, in plain words with its article."""
    if value is None:
        return "a null"
    for kinds, words in _KINDS:
        if isinstance(value, kinds):
            return words
    return f"something that is no JSON value ({type(value).__name__})"


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a bool"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
    ((list, tuple), "a list"),
    ((dict, Lazy), "a map"),
)


def as_json(value: Any) -> Json:
    """A value a template gave, as plain JSON types. Raises TemplateError where it is none, or is too large."""
    return _as_json(value, 0, itertools.count())


def _as_json(value: Any, depth: int, counted: Iterator[int]) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        problem = _unsendable(value)
        if problem:
            raise TemplateError("template-value", problem)
        return str(value) if isinstance(value, str) else value
    if depth > MAX_DEPTH:
        raise TemplateError("template-value", f"gives lists or maps nested more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return [_as_json(entry, depth + 1, counted) for entry in _counted(value, counted)]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TemplateError("template-value", "gives a map with a key that is no text")
        return {str(key): _as_json(value[key], depth + 1, counted) for key in _counted(value, counted)}
    str(value)  # a missing value deep inside a list says here, in Jinja's way, what it misses
    hint = "add `| list`" if hasattr(value, "__iter__") else "only texts, numbers, bools, lists and maps can be sent"
    raise TemplateError("template-value", f"gives {kind_of(value)}", hint=hint)


def _counted(entries: Iterable[Any], counted: Iterator[int]) -> Iterator[Any]:
    for entry in entries:
        if next(counted) >= MAX_VALUES:
            raise TemplateError("template-limit", f"gives more than {MAX_VALUES} values")
        yield entry
