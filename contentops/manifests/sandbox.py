"""A Jinja sandbox that limits what the templates of manifests can do.

A template gives the same text every time, and its size and its steps are limited.

Templates can use only JSON values, their harmless methods, macros, `range`, and the filters and tests below. There is
no clock, random number, environment or file, and no filter that shows Python's own representation or makes HTML. Some
filters differ from Jinja's: `int` and `float` refuse values that are no numbers if no default is given, `tojson` writes
plain JSON, filters of texts refuse lists and nulls, and lists are never generators.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import Any, Final

from jinja2 import StrictUndefined, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateSyntaxError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from markupsafe import escape

from contentops.digest import canonical
from contentops.manifests.values import (
    MAX_TEXT,
    MISSING,
    UNKNOWN,
    Guesses,
    Lazy,
    TemplateError,
    as_json,
    kind_of,
    shown,
    slug_of,
    text_of,
)
from contentops.manifests.words import Day, day_of, first_words, plain_text, plural_of, written_day

METHODS: tuple[tuple[type, list[str]], ...] = (
    (Day, ["day", "month", "year"]),
    (dict, ["items", "keys", "values", "get"]),
    (list, ["index", "count"]),
    (tuple, ["index", "count", "grouper", "list"]),
    (
        str,
        str.split(
            """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower
            isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind
            rindex rpartition rsplit rstrip split splitlines startswith strip swapcase title upper"""
        ),
    ),
    (
        LoopContext,
        str.split("cycle changed depth depth0 first index index0 last length nextitem previtem revindex revindex0"),
    ),
)
_FILTERS = str.split(
    """abs batch count d default dictsort filesizeformat first groupby items last length list map max min reject
        rejectattr reverse round select selectattr slice sort truncate unique urlencode wordwrap"""
)
_TEXT_FILTERS = str.split("capitalize center indent lower striptags title trim upper wordcount")
"""Filters that would write Python's representation of a value that is no text."""
_TESTS = str.split(
    """odd even divisibleby defined undefined filter test none boolean false true integer float lower upper string
        mapping number sequence iterable callable sameas escaped in == eq equalto != ne > gt greaterthan ge >=
        < lt lessthan <= le"""
)
_SIGNS = {
    "+": "add {} and {}",
    "-": "subtract {1} from {0}",
    "*": "multiply {} by {}",
    "/": "divide {} by {}",
    "//": "divide {} by {}",
    "%": "divide {} by {}",
    "**": "raise {} to the power of {}",
}
_FORMAT = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(\*|[0-9]*)(?:\.(\*|[0-9]*))?[hlL]?(.)", re.DOTALL)
"""A conversion of `%`: width, precision, kind. The kind is `(` where the key has brackets or no end."""

BOUNDED, CHARGED, JOINED = "each entry", "each operand", "each part"
"""Filters for what `{% for %}` runs over, for what is compared, sliced or a key, and for the parts of `~`.

No template can write their names, as these have a space.
"""

MAX_STEPS: Final = 200_000
"""Steps of a template with its macros: about one per loop pass, filter, call, and 16 characters of a value."""
MAX_WIDTH: Final = 1_000
"""Widest padding or indentation, and largest batch."""
MAX_BITS: Final = 4_096
"""Widest whole number of an intermediate result."""
_ENTRY = 4
"""The size of an entry of a list or map, in characters."""


class Allowance:
    """Counts the steps that a template may still take while it is rendered."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Subtract steps from the number that the template may still take. Raises TemplateError if too few are left."""
        self.left -= steps
        if self.left < 0:
            hint = "loop over less, or prepare the list in a data file"
            raise TemplateError("template-limit", "needs too many steps", hint=hint)

    def charge(self, value: Any) -> Any:
        """Subtract the steps that handling a value costs, by its size. Return the value."""
        self.spend(1 + (_size(value, (self.left + 1) << 4) >> 4))
        return value

    def room(self, size: int) -> None:
        """Subtract the steps for making a text or list of this size. Raises TemplateError if the size is too large."""
        if size > MAX_TEXT:
            raise TemplateError("template-limit", f"makes a text or list longer than {MAX_TEXT} characters or entries")
        self.spend(1 + (size >> 4))


def _size(value: object, limit: int) -> int:
    """Return the size of a value: its characters, and `_ENTRY` for each entry of a list or map.

    A list that occurs twice counts twice. Counting stops a little over `limit`.
    """
    if isinstance(value, str):
        return len(value)
    size = 0
    todo = [value]
    while todo and size <= limit:
        entry = todo.pop()
        if isinstance(entry, str):
            size += len(entry)
        elif isinstance(entry, dict | list | tuple):
            size += _ENTRY * len(entry)
            todo += (*entry, *entry.values()) if isinstance(entry, dict) else entry
    return size


class _Undefined(StrictUndefined):
    """An undefined value; using it raises an error."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> Any:
        return self


class _Generator(CodeGenerator):
    """Jinja's code generator, extended to record the names that a template looks up outside itself."""

    def enter_frame(self, frame: Frame) -> None:
        """Record the names that one scope of the generated code looks up."""
        super().enter_frame(frame)
        names = (name for action, name in frame.symbols.loads.values() if action == "resolve")
        sandbox().names.update(filter(None, names))


def _at_characters(source: str, tokens: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """Yield tokens with the number of their first character (from 1) instead of their line number."""
    at = 0
    try:
        for _, kind, text in tokens:
            start = source.find(text, at)  # white space that `-` removes is in no token
            at = max(at, start)
            yield at + 1, kind, text
            at += len(text)
    except TemplateSyntaxError as error:
        raise TemplateSyntaxError(error.message or "", at + 1) from None


def _is_unknown(value: Any) -> bool:
    """Return whether a value, or an entry of it, is UNKNOWN.

    This happens only while contentops finds out what a template reads.
    """
    if Guesses.now is None:
        return False
    return value is UNKNOWN or (isinstance(value, list | tuple) and any(map(_is_unknown, value)))


class Sandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment in which templates can use only listed names and methods."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            undefined=_Undefined, finalize=_finalize, keep_trailing_newline=True, cache_size=0, optimized=False
        )
        own: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(("e", "escape"), lambda value: str(escape(_text(value)))),
            "float": functools.partial(_number, float, "a number"),
            "format": self._formatted,
            "int": functools.partial(_number, int, "a whole number"),
            "join": self._join,
            "markdown_text": self._markdown_text,
            "plural": _of_text(plural_of),
            "replace": self._replace,
            **dict.fromkeys(("slug", "slugify"), _of_text(slug_of)),
            "string": _text,
            "sum": self._sum,
            "tojson": lambda value: canonical(as_json(value)),
            "truncate_words": _of_text(first_words),
        }
        allowed = {name: FILTERS[name] for name in _FILTERS} | own
        allowed |= {name: _of_text(FILTERS[name]) for name in _TEXT_FILTERS}
        self.allowance = Allowance()
        self.names: set[str] = set()
        """The names that templates look up, of all templates that were compiled since this set was emptied."""
        self.globals = {"date": self._date, "range": self._range}
        self.filters = {name: self._charged(name, function) for name, function in allowed.items()}
        self.filters |= {BOUNDED: self._bounded, CHARGED: self._charge}
        self.filters[JOINED] = lambda values: self.concat(map(_text, values))
        tests: Any = TESTS
        self.tests = {name: self._charged(name, tests[name]) for name in _TESTS}
        self.policies["compiler.ascii_str"] = False

    def _tokenize(self, source: str, name: str | None, filename: str | None = None, state: str | None = None) -> Any:
        """Return the tokens of a template. Each has the number of its first character instead of its line number."""
        tokens = self.lexer.tokeniter(source, name, filename, state)
        return TokenStream(self.lexer.wrap(_at_characters(source, tokens), name, filename), name, filename)

    # --- what is reached -------------------------------------------------------------------------------------

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return the value of a map's key, or a method that templates may use."""
        if isinstance(obj, Undefined):
            str(obj)
        if obj is UNKNOWN or (isinstance(obj, LoopContext) and _is_unknown(vars(obj)["_iterable"])):
            return UNKNOWN
        value = obj.get(attribute, MISSING) if isinstance(obj, dict | Lazy) else MISSING
        if value is MISSING and any(isinstance(obj, kind) and attribute in names for kind, names in METHODS):
            value = getattr(obj, attribute, MISSING)
        return self.undefined(obj=obj, name=attribute) if value is MISSING else value

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an entry of a list or map, never an attribute."""
        if argument is UNKNOWN or isinstance(argument, Undefined):
            return argument
        if isinstance(obj, Lazy):
            return self.getattr(obj, str(argument))
        if isinstance(obj, dict | list | str | tuple | Undefined):
            with contextlib.suppress(TypeError, LookupError):
                return obj[self.allowance.charge(argument)]
        return self.undefined(obj=obj, name=argument)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, a macro or `range`. The size of its arguments counts against the allowance."""
        owner = getattr(called, "__self__", None)
        for value in (owner, *args, *kwargs.values()):
            self.allowance.charge(value)
        is_own = isinstance(owner, str | list | dict | tuple | Sandbox)
        if called is UNKNOWN or (is_own and any(map(_is_unknown, (*args, *kwargs.values())))):
            return UNKNOWN
        if isinstance(owner, str) and called.__name__ == "join" and len(args) == 1:
            return self._join(args[0], owner)
        if isinstance(owner, str) and called.__name__ == "replace":
            return self._replace(owner, *args)
        return _listed(super().call(context, called, *args, **kwargs))

    # --- what is computed ------------------------------------------------------------------------------------

    def call_binop(self, context: Context, sign: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's
        """Return the result of an operator such as `+`. A result that would be too large is refused."""
        if sign == "%" and isinstance(left, str) and right is not UNKNOWN:
            return self._format(left, right)
        many, times = (left, right) if isinstance(right, int) else (right, left)
        if sign == "*" and isinstance(many, str | list | tuple) and isinstance(times, int):
            self.allowance.room(len(many) * max(times, 0))
        if sign == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
        try:
            value = self.binop_table[sign](left, right)
        except TypeError:
            hint = "convert the text with `| int`" if isinstance(left, str) or isinstance(right, str) else ""
            hint += "; `~` joins texts" if hint and sign == "+" else ""
            message = f"cannot {_SIGNS[sign].format(kind_of(left), kind_of(right))}"
            raise TemplateError("template-value", message, hint=hint) from None
        if isinstance(value, str | list | tuple):
            self.allowance.room(len(value))
        elif isinstance(value, int):
            _check_bits(value.bit_length())
        return value

    def concat(self, parts: Iterable[str]) -> Any:
        """Join the parts of a template, a macro or a block into one text."""
        texts = list(parts)
        if any(text is UNKNOWN for text in texts):
            return UNKNOWN
        self.allowance.room(sum(map(len, texts)))
        return "".join(texts)

    def _format(self, text: str, values: Any) -> str:
        """Return the result of the operator `%` on a text. The widths in its format are limited."""
        for width, precision, kind in _FORMAT.findall(text):
            if kind == "(" or "*" in (width, precision) or max(len(width), len(precision)) > 3:
                message = f"uses a format with a width above {MAX_WIDTH}, or with brackets in the NAME of `%(NAME)s`"
                raise TemplateError("template-limit", message)
        parts = values.values() if isinstance(values, dict) else values if isinstance(values, tuple) else [values]
        self.allowance.room(len(text) + text.count("%") * (MAX_WIDTH + sum(len(_text(part)) for part in parts)))
        return str(text % values)

    def _formatted(self, text: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(text, Day):
            self.allowance.room(7 * sum(map(len, map(_text, (*args, *kwargs.values())))))
            return written_day(text, *args, **kwargs)
        return self._format(text_of(text), kwargs or args)

    def _date(self, text: Any, form: str = "%Y-%m-%d") -> Day:
        return day_of(_text(text), form)

    def _markdown_text(self, text: Any) -> str:
        self.allowance.spend(len(markdown := _text(text)) >> 1)  # to parse takes much longer than to copy
        return plain_text(markdown)

    def _range(self, *args: int) -> list[int]:
        numbers = range(*args)
        self.allowance.spend(len(numbers) + 1)
        return list(numbers)

    def _bounded(self, value: Any) -> Any:
        """Return the entries that a loop runs over, and subtract them from the template's remaining steps."""
        if value is UNKNOWN:
            return [value] if value else []
        if isinstance(value, str):
            raise TemplateError("template-value", "a text cannot be looped over", hint='split it first: `.split(",")`')
        entries = list(value)
        self.allowance.spend(len(entries) + 1)
        return entries

    def _charge(self, value: Any) -> Any:
        return self.allowance.charge(value)

    # --- filters and tests -----------------------------------------------------------------------------------

    def _charged(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a filter or test that counts steps for its arguments, and explains an input of the wrong type."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        growth = _GROWTH.get(name)

        @functools.wraps(function)
        def charged(*args: Any, **kwargs: Any) -> Any:
            for value in (*args[first:], *kwargs.values()):
                self.allowance.charge(value)
                if _is_unknown(value):
                    return UNKNOWN
            subject = args[first] if len(args) > first else None
            try:
                if growth:
                    sized = subject if hasattr(subject, "__len__") else ""
                    self.allowance.room(growth(sized, *args[first + 1 :], **kwargs))
                return _listed(function(*args, **kwargs))
            except (AttributeError, AssertionError) as error:
                why = str(error) if isinstance(error, AssertionError) else kind_of(subject)
                raise TemplateError("template-value", f"`{name}` does not accept this value: {why}") from None

        return charged

    def _join(self, value: Any, d: str = "", attribute: str | int | None = None) -> Any:
        texts = [_text(entry) for entry in self._entries(value, attribute)]
        between = text_of(d)
        self.allowance.room(sum(map(len, texts)) + len(between) * len(texts))
        return between.join(texts)

    def _replace(self, value: Any, old: str, new: str, count: int = -1) -> str:
        text, new = _text(value), text_of(new)
        self.allowance.room(len(text) + text.count(old) * len(new))
        return text.replace(old, new, operator.index(count))

    def _sum(self, values: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
        entries = self._entries(values, attribute)
        if isinstance(start, list | tuple):  # Python would copy the list for each entry
            return [one for part in (start, *entries) for one in self._bounded(part)]
        return sum(entries, start)

    def _entries(self, values: Any, attribute: str | int | None) -> Iterable[Any]:
        return values if attribute is None else map(make_attrgetter(self, attribute), values)


def _narrow(width: object) -> int:
    """Return the width or count that a filter's argument means. For a text, this is its length.

    Raises TemplateError if it is too large.
    """
    count = len(width) if isinstance(width, str) else width
    if not isinstance(count, int) or abs(count) > MAX_WIDTH:
        raise TemplateError("template-limit", f"uses a width or count above {MAX_WIDTH}")
    return count


_GROWTH: dict[str, Callable[..., int]] = {
    "batch": lambda entries, linecount, *_, **__: len(entries) + _narrow(linecount),
    "center": lambda text, width=80: len(text) + _narrow(width),
    "indent": lambda text, width=4, *_, **__: len(text) + len(text.splitlines()) * _narrow(width),
    "round": lambda _, precision=0, *__, **___: _narrow(precision),
    "slice": lambda entries, slices, *_, **__: len(entries) + _narrow(slices),
    "striptags": lambda text: len(text) * (1 + text.count("<!--")),
    "wordwrap": lambda text, _width=79, _long=True, wrapstring=" ", *_, **__: len(text) * len(wrapstring or " "),
}
"""The length of the longest result of a filter for its arguments, by the name of the filter."""


def _check_bits(bits: int) -> None:
    """Raise TemplateError for a number with too many bits."""
    if bits > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")


def _listed(value: Any) -> Any:
    """Return a value, with an iterator turned into a list."""
    return list(value) if isinstance(value, Iterator | KeysView | ValuesView | ItemsView) else value


def _text(value: Any) -> str:
    """Return the text that a template writes for a value. An undefined value raises Jinja's error."""
    return str(value) if isinstance(value, Undefined) else text_of(value)


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that accepts only values that can be part of a text."""

    @functools.wraps(function)
    def of_text(value: Any, *args: Any, **kwargs: Any) -> Any:
        return function(_text(value), *args, **kwargs)

    return of_text


@pass_context
def _finalize(_: Context, value: Any) -> str:
    """Return the text that an expression in double braces writes.

    The context is an argument, so that Jinja computes nothing before the template is rendered.
    """
    return _text(value)


_REQUIRED: Any = object()


def _number(make: Callable[[Any], Any], wanted: str, value: Any, default: Any = _REQUIRED) -> Any:
    """Convert a value to a number with `make` (`int` or `float`). `int` cuts off a fraction."""
    if type(value) is Undefined:  # a choice without an else
        value = None
    try:
        return make(value)
    except (TypeError, ValueError, OverflowError):
        if default is not _REQUIRED:
            return default
    hint = f"correct the value, or state a default: `{make.__name__}(0)`"
    what = shown(value) if isinstance(value, str) else kind_of(value)
    raise TemplateError("template-value", f"{what} is not {wanted}", hint=hint)


@functools.cache
def sandbox() -> Sandbox:
    """Return the sandbox that all templates share. Its allowance is set for each template."""
    return Sandbox()
