"""Jinja's immutable sandbox for manifests: the same text every time, within limits of time and memory.

Templates reach only what is listed: JSON values, their harmless methods, macros, `range`, and the filters and tests
below. There is no clock, random number, environment or file, and no filter that shows Python's own representation or
makes HTML. Some filters differ from Jinja's: `int` and `float` refuse what is no number unless a default is given,
`tojson` writes plain JSON, `join` and `string` refuse lists and nulls.
"""

from __future__ import annotations

import functools
import operator
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from itertools import islice
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateSyntaxError, UndefinedError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.lexer import TokenStream
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import missing
from markupsafe import escape
from msgspec import Struct

from contentops.digest import canonical
from contentops.errors import suggest
from contentops.manifests.values import (
    MAX_TEXT,
    MISSING,
    UNKNOWN,
    Guesses,
    Lazy,
    TemplateError,
    Unknown,
    as_json,
    kind_of,
    slug_of,
    text_of,
)
from contentops.manifests.words import Day, day_of, first_words, plain_text, plural_of, written_day
from contentops.yaml.syntax import JINJA

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
    """abs batch capitalize center count d default dictsort filesizeformat first groupby indent items last length
        list lower map max min reject rejectattr reverse round select selectattr slice sort striptags title trim
        truncate unique upper urlencode wordcount wordwrap"""
)
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
_REQUIRED: Any = object()

BOUNDED, CHARGED = "each entry", "each operand"
"""Filters for what `{% for %}` runs over, and for what is compared, sliced or a key; no template can write a space."""


class MissingError(UndefinedError):
    """An undefined value was used: `name` of `obj`, which is `missing` for a variable."""

    def __init__(self, message: str | None = None, *, obj: Any = missing, name: Any = None) -> None:
        super().__init__(message)
        self.obj = obj
        self.name = name


class _Undefined(StrictUndefined):
    """An undefined value whose error keeps the name."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name)
        self._undefined_exception = functools.partial(exc or MissingError, obj=obj, name=name)  # type: ignore[assignment]


def _at_characters(source: str, tokens: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """Tokens with the number of their first character (from 1) instead of that of their line."""
    at = 0
    try:
        for _, kind, text in tokens:
            start = source.find(text, at)  # white space that `-` removes is in no token
            at = max(at, start)
            yield at + 1, kind, text
            at += len(text)
    except TemplateSyntaxError as error:
        raise TemplateSyntaxError(error.message or "", at + 1) from None


class Generator(CodeGenerator):
    """Jinja's code generator with a charge for `~`. `names` are those that a tree looks up outside itself."""

    def __init__(self, environment: Sandbox, filename: str) -> None:
        self.code = StringIO()
        super().__init__(environment, None, filename, self.code, optimized=False)
        self.names: set[str] = set()

    def enter_frame(self, frame: Frame) -> None:
        """Note what is looked up."""
        super().enter_frame(frame)
        loads = frame.symbols.loads.values()
        self.names.update(name for action, name in loads if action == "resolve" and isinstance(name, str))

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        """Write `a ~ b`."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _UnknownText(str):
    """What an unknown value is inside a text."""

    __slots__ = ()

    def __str__(self) -> str:
        return self  # or it would become a text like any other


class _UnknownList(list[Any]):
    """What a loop over an unknown value runs over."""


def _are_unknown(*values: Any) -> bool:
    """Whether one of some values is unknown; an undefined one raises Jinja's error."""
    for value in values:
        if isinstance(value, Undefined):
            str(value)
    return any(isinstance(value, Unknown) for value in values)


def _is_unknown(value: Any) -> bool:
    """Whether a value or an entry of it is unknown, which is so only while it is found out what a template reads."""
    if Guesses.now is None:
        return False
    return isinstance(value, Unknown) or (isinstance(value, list | tuple) and any(map(_is_unknown, value)))


class Sandbox(ImmutableSandboxedEnvironment):
    """A Jinja environment that reaches only what is listed."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)
    intercepted_unops = frozenset(ImmutableSandboxedEnvironment.default_unop_table)

    def __init__(self) -> None:
        super().__init__(
            undefined=_Undefined, finalize=_text, keep_trailing_newline=True, cache_size=0, optimized=False
        )
        own: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(("e", "escape"), lambda value: str(escape(_text(value)))),
            "float": functools.partial(_number, float, "a number"),
            "format": self._formatted,
            "int": functools.partial(_number, int, "a whole number"),
            "join": self._join,
            "markdown_text": self._markdown_text,
            "plural": lambda word, *args, **kwargs: plural_of(_text(word), *args, **kwargs),
            "replace": self._replace,
            **dict.fromkeys(("slug", "slugify"), lambda value: slug_of(_text(value))),
            "string": _text,
            "sum": self._sum,
            "tojson": _tojson,
            "truncate_words": lambda text, *args, **kwargs: first_words(_text(text), *args, **kwargs),
        }
        allowed = {name: FILTERS[name] for name in _FILTERS} | own
        self.allowance = Allowance(LIMITS)
        self.globals = {"date": self._date, "range": self._range}
        self.filters = {name: self._charged(name, function) for name, function in allowed.items()}
        self.filters |= {BOUNDED: self._bounded, CHARGED: self._charge}
        tests: Any = TESTS
        self.tests = {name: self._charged(name, tests[name]) for name in _TESTS}
        self.policies["compiler.ascii_str"] = False

    def _tokenize(self, source: str, name: str | None, filename: str | None = None, state: str | None = None) -> Any:
        """Tokens with the number of their character instead of their line."""
        tokens = self.lexer.tokeniter(source, name, filename, state)
        return TokenStream(self.lexer.wrap(_at_characters(source, tokens), name, filename), name, filename)

    # --- what is reached -------------------------------------------------------------------------------------

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A key of a map, else one of the listed methods."""
        if isinstance(obj, Undefined):
            str(obj)
        runs_over = vars(obj).get("_iterable") if isinstance(obj, LoopContext) else None
        if isinstance(obj, Unknown) or isinstance(runs_over, _UnknownList):
            return UNKNOWN
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        value = obj.get(attribute) if isinstance(obj, Lazy) else MISSING
        if value is MISSING and any(isinstance(obj, kind) and attribute in names for kind, names in METHODS):
            value = getattr(obj, attribute, MISSING)
        return self.undefined(obj=obj, name=attribute) if value is MISSING else value

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An entry, never an attribute."""
        if isinstance(obj, Unknown) or isinstance(argument, Unknown):
            return UNKNOWN
        if isinstance(obj, Lazy):
            return self.getattr(obj, str(argument))
        if isinstance(obj, dict | list | str | tuple | Undefined):
            try:
                return obj[self.allowance.charge(argument)]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, a macro or `range`, charged by the size of its arguments."""
        if isinstance(called, Undefined):
            return called(*args)
        owner = getattr(called, "__self__", None)
        is_own = isinstance(owner, str | list | dict | tuple | Sandbox)
        if isinstance(called, Unknown) or (is_own and any(map(_is_unknown, (*args, *kwargs.values())))):
            return UNKNOWN
        for value in (owner, *args, *kwargs.values()):
            self.allowance.charge(value)
        if isinstance(owner, str) and args:
            if called.__name__ == "replace" and len(args) > 1:
                self.allowance.room(len(owner) + owner.count(args[0]) * len(args[1]))
            if called.__name__ == "join":
                if not isinstance(args[0], list | tuple | dict | str):
                    raise TemplateError("template-value", f"cannot join {kind_of(args[0])}", hint="add `| list`")
                size = sum(len(text) for text in args[0] if isinstance(text, str))
                self.allowance.room(len(owner) * len(args[0]) + size)
        return super().call(context, called, *args, **kwargs)

    # --- what is computed ------------------------------------------------------------------------------------

    def call_binop(self, context: Context, sign: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's
        """One of the operators whose result can be much larger than its operands."""
        if _are_unknown(left, right):
            return UNKNOWN
        if sign == "%" and isinstance(left, str):
            return self._format(left, right)
        if sign == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            self.allowance.room(len(left) + len(right))
        if sign == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and isinstance(times, int):
                    self.allowance.room(len(many) * max(times, 0))
            check_bits(bits_of(left) + bits_of(right))
        if sign == "**" and isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
            check_bits(bits_of(left) * abs(right))
        try:
            return self.binop_table[sign](left, right)
        except TypeError:
            hint = "convert the text with `| int`" if isinstance(left, str) or isinstance(right, str) else ""
            hint += "; `~` joins texts" if hint and sign == "+" else ""
            message = f"cannot {_SIGNS[sign].format(kind_of(left), kind_of(right))}"
            raise TemplateError("template-value", message, hint=hint) from None

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        """A sign before a value."""
        if isinstance(arg, Unknown):
            return arg
        if isinstance(arg, str | list | tuple | dict | None):
            raise TemplateError("template-value", f"cannot write `{operator}` before {kind_of(arg)}")
        return super().call_unop(context, operator, arg)

    def joined(self, values: Iterable[Any]) -> Any:
        """The `~` operator."""
        return self.concat(list(map(_text, values)))

    def concat(self, parts: Iterable[str]) -> Any:
        """The text of a macro, or of a block that is assigned or filtered."""
        texts = parts if isinstance(parts, list) else list(parts)
        if any(isinstance(text, _UnknownText | Unknown) for text in texts):
            return UNKNOWN
        self.allowance.room(sum(map(len, texts)))
        return "".join(texts)

    def _format(self, text: str, values: Any) -> str:
        """`%` on texts, without unbounded widths."""
        for width, precision, kind in _FORMAT.findall(text):
            if "*" in (width, precision) or max(len(width), len(precision)) > 3:
                raise TemplateError("template-limit", f"uses a format with a width above {MAX_WIDTH}")
            if kind == "(":
                hint = "in `%(NAME)s`, NAME must not contain brackets"
                raise TemplateError("template-value", "uses a format with an invalid key", hint=hint)
        parts = (
            values if isinstance(values, tuple) else tuple(values.values()) if isinstance(values, dict) else (values,)
        )
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
        """The entries that a loop runs over, charged beforehand."""
        if isinstance(value, Unknown):
            return _UnknownList([value] if value else [])
        if isinstance(value, str):
            raise TemplateError("template-value", "a text cannot be looped over", hint='split it first: `.split(",")`')
        entries = value if hasattr(value, "__len__") else list(islice(value, LIMITS.work + 1))
        self.allowance.spend(len(entries) + 1)
        return entries

    def _charge(self, value: Any) -> Any:
        return self.allowance.charge(value)

    # --- filters and tests -----------------------------------------------------------------------------------

    def _charged(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter or test that charges for its arguments, and explains a subject of the wrong kind."""
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        growth = _GROWTH.get(name)

        @functools.wraps(function)
        def charged(*args: Any, **kwargs: Any) -> Any:
            for value in (*args[first:], *kwargs.values()):
                self.allowance.charge(value)
                if _is_unknown(value):
                    return UNKNOWN
            subject = args[first] if len(args) > first else None
            sized = subject if hasattr(subject, "__len__") else ""
            try:
                if growth:
                    self.allowance.room(growth(sized, *args[first + 1 :], **kwargs))
                return function(*args, **kwargs)
            except AttributeError:
                raise TemplateError(
                    "template-value", f"`{name}` does not accept this value: {kind_of(subject)}"
                ) from None
            except AssertionError as error:
                raise TemplateError("template-value", f"`{name}` does not accept this value: {error}") from None

        return charged

    def _join(self, value: Any, d: str = "", attribute: str | int | None = None) -> Any:
        entries = value if attribute is None else map(make_attrgetter(self, attribute), value)
        texts = [_text(entry) for entry in entries]
        between = text_of(d)
        if any(isinstance(text, _UnknownText) for text in texts):
            return UNKNOWN
        self.allowance.room(sum(map(len, texts)) + len(between) * len(texts))
        return between.join(texts)

    def _replace(self, value: Any, old: str, new: str, count: int = -1) -> str:
        text, new = _text(value), text_of(new)
        self.allowance.room(len(text) + text.count(old) * len(new))
        return text.replace(old, new, operator.index(count))

    def _sum(self, values: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
        entries = list(values if attribute is None else map(make_attrgetter(self, attribute), values))
        if not any(isinstance(entry, list | tuple) for entry in (start, *entries)):
            return sum(entries, start)
        for entry in entries:  # each sum of lists is a copy
            self.allowance.room(sum(len(part) for part in (start, entry) if isinstance(part, list | tuple)))
            start = start + entry
        return start


_GROWTH: dict[str, Callable[..., int]] = {
    "batch": lambda entries, linecount, *_, **__: len(entries) + narrow(linecount),
    "center": lambda text, width=80: len(text) + narrow(width),
    "indent": lambda text, width=4, *_, **__: len(text) + len(text.splitlines()) * narrow(width),
    "round": lambda _, precision=0, *__, **___: narrow(precision),
    "slice": lambda entries, slices, *_, **__: len(entries) + narrow(slices),
    "wordwrap": lambda text, _width=79, _long=True, wrapstring=" ", *_, **__: len(text) * len(wrapstring or " "),
}
"""By filter, the longest result for its arguments."""


def _text(value: Any) -> str:
    """A value inside a text; an undefined one raises Jinja's error."""
    if isinstance(value, Unknown):
        return _UnknownText()
    return str(value) if isinstance(value, Undefined) else text_of(value)


def _number(make: Callable[[Any], Any], wanted: str, value: Any, default: Any = _REQUIRED) -> Any:
    """A number from its digits; a whole one also by cutting off a fraction."""
    try:
        if isinstance(value, str | int | float):
            return make(value.strip() if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        pass
    if isinstance(value, Undefined):
        str(value)
    if default is not _REQUIRED:
        return default
    shown = f"`{value[:40]}`" if isinstance(value, str) and value.strip() else kind_of(value)
    shown = "an empty text" if isinstance(value, str) and not value.strip() else shown
    hint = f"correct the value, or state a default: `{make.__name__}(0)`"
    raise TemplateError("template-value", f"{shown} is not {wanted}", hint=hint)


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON on one line with sorted keys, characters as themselves."""
    if isinstance(value, Undefined):
        str(value)
    if indent is not None:
        raise TemplateError("template-value", "`tojson` writes one line and has no indent")
    return canonical(as_json(value))


@functools.cache
def sandbox() -> Sandbox:
    """The one sandbox; its allowance is set for each template."""
    return Sandbox()


# --- errors at the character to change ---------------------------------------------------------------------


_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
_UNLIKE = re.compile(r"not supported between instances of '(\w+)' and '(\w+)'")
_OBJECT = re.compile(r"'(\w+)' object")
_VALUES: tuple[Any, ...] = (None, True, 1, 1.5, "", {}, [], ())
_KINDS = {type(value).__name__: kind_of(value) for value in _VALUES}
_CALL = re.compile(r"^[\w.<>]+\(\) (?=got|missing|takes)")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_TAG = re.compile(r"\{[{%#][-+]?\s*")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSING_TOKENS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


def explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    """Return the error, with a hint, for a template that is not valid Jinja."""
    message = error.message or "is not Jinja"
    offset = min(error.lineno - 1, len(source))
    if match := _NO_FILTER.search(message):
        unknown = _unknown(*match.groups())
        unknown.offset = offset
        return unknown
    if tag := _unclosed(source):
        hint = f"close it with `{_CLOSING[tag.group()]}`"
        return TemplateError("template-syntax", f"a `{tag.group()}` is not closed", hint=hint, offset=tag.start())
    block = _OPEN_BLOCK.search(message)
    hint = f"end it with `{{% end{block.group(1)} %}}`" if block else ""
    if block and message.startswith("Unexpected end of template"):
        message = f"the `{{% {block.group(1)} %}}` is not closed"
        offset = _open_block(source, block.group(1))
    for token, closing in _CLOSING_TOKENS.items():
        message = message.replace(f"token {token}", closing).replace(token, closing)
    message = _UNKNOWN_TAG.sub(r"unknown tag `\1`", message)
    return TemplateError("template-syntax", _sentence(message), hint=hint, offset=offset)


def _open_block(source: str, name: str) -> int:
    """The offset of the innermost block of this name that is not closed."""
    opened: list[int] = []
    for match in re.finditer(rf"\{{%[-+]?\s*(end)?({name})\b", source):
        opened = opened[:-1] if match[1] else [*opened, match.start(2)]
    return opened[-1] if opened else 0


def _unclosed(source: str) -> re.Match[str] | None:
    """The first tag that is not closed before the next tag."""
    tags = list(JINJA.finditer(_COMMENT.sub(lambda match: " " * len(match[0]), source)))
    ends = (*(tag.start() for tag in tags[1:]), len(source))
    for tag, end in zip(tags, ends, strict=False):
        if source.find(_CLOSING[tag.group()], tag.end(), end) < 0:
            return tag
    return None


def explain_failure(error: Exception) -> TemplateError:
    """The error of a template that could not be rendered."""
    if isinstance(error, RecursionError):
        return TemplateError("template-limit", "is too deep: a macro calls itself endlessly")
    message = _CALL.sub("a filter or call ", str(error) or type(error).__name__)
    if match := _UNLIKE.search(message):
        left, right = (_KINDS.get(kind, kind) for kind in match.groups())
        return TemplateError("template-value", f"cannot compare {left} and {right}", hint="convert one of them")
    message = _OBJECT.sub(lambda match: _KINDS.get(match[1], match[0]), message)
    match = _NO_FILTER.search(message)
    return _unknown(*match.groups()) if match else TemplateError("template-error", _sentence(message))


def _unknown(kind: str, name: str) -> TemplateError:
    names = sandbox().filters if kind == "filter" else sandbox().tests
    hint = suggest(name, tuple(sorted(entry for entry in names if entry.isidentifier())))
    return TemplateError("template-syntax", f"there is no {kind} `{name}`", hint=hint)


def _sentence(message: str) -> str:
    """The first line of a message of Python or Jinja in our style."""
    first = message.splitlines()[0].rstrip(".")[:200]
    return first[:1].lower() + first[1:]


def tag_offset(source: str, at: int = 0) -> int:
    """The offset of the content of the tag around a character, else of the first tag."""
    tags = [match for match in _TAG.finditer(source) if match.start() <= at] or [*_TAG.finditer(source)][:1]
    if not tags:
        return 0
    return tags[-1].end() if tags[-1].end() < len(source) else tags[-1].start()


def word_offset(source: str, at: int, word: str) -> int | None:
    """The offset of a name in the tag around a character, else in the text from its first tag on; None without it."""
    name = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    end = next((tag.start() for tag in JINJA.finditer(source) if tag.start() > at), len(source))
    match = name.search(source, tag_offset(source, at), end) or name.search(source, tag_offset(source))
    return match.start() if match else None


# --- limits ------------------------------------------------------------------------------------------------

MAX_WIDTH: Final = 1_000
"""Widest padding or indentation, and largest batch."""

MAX_BITS: Final = 4_096
"""Widest whole number of an intermediate result."""

_ENTRY = 4
"""The size of an entry of a list or map, in characters."""

_UNTIMED = 2_000
"""Templates that spend less are not timed, since setting a timer costs more than rendering most of them."""


class TemplateLimits(Struct, frozen=True):
    """The limits of one template with its macros."""

    work: int = 200_000
    """About a unit per loop pass, filter, call, and 16 characters or 4 entries of their values."""
    seconds: float = 3.0
    """Processor time."""


LIMITS: Final = TemplateLimits()


class Allowance:
    """The rest of the limits of the template that is being rendered."""

    __slots__ = ("_handler", "_seconds", "_timed_below", "_work")

    def __init__(self, limits: TemplateLimits) -> None:
        self._work = limits.work
        self._seconds = limits.seconds
        self._timed_below = limits.work - _UNTIMED
        self._handler: Any = None

    def spend(self, amount: int) -> None:
        """Charge some work. Raises TemplateError when it is used up."""
        self._work -= amount
        if self._work < self._timed_below:
            if self._work < 0:
                hint = "loop over less, or prepare the list in a data file"
                raise TemplateError("template-limit", "needs too many steps", hint=hint)
            self._timed_below = 0
            self.resume()

    def charge(self, value: Any) -> Any:
        """Charge for handling a value once, by its size; returns the value."""
        self.spend(1 + (_size(value, (self._work + 1) << 4) >> 4))
        return value

    def room(self, size: int) -> None:
        """Charge for a text or list of this size before it is made. Raises TemplateError where it is too long."""
        if size > MAX_TEXT:
            message = f"makes a text or list longer than {MAX_TEXT} characters or entries"
            raise TemplateError("template-limit", message)
        self.spend(1 + (size >> 4))

    def pause(self) -> None:
        """Stop the clock, while another template is rendered or when this one is done."""
        if self._handler is not None:
            self._seconds = max(signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0], 0.001)
            signal.signal(signal.SIGVTALRM, self._handler)
            self._handler = None

    def resume(self) -> None:
        """Start the clock, if this template has spent so much that it is timed."""
        is_main = threading.current_thread() is threading.main_thread()
        if self._timed_below == 0 and is_main and hasattr(signal, "setitimer"):
            self._handler = signal.signal(signal.SIGVTALRM, _too_long) or signal.SIG_DFL
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, 0.1)


def _too_long(*_: object) -> NoReturn:
    raise TemplateError("template-limit", "takes too long", hint="prepare the text or list in a data file")


def narrow(width: object) -> int:
    """A width or count, or the length of a padding. Raises TemplateError where it is too large."""
    count = len(width) if isinstance(width, str) else width
    if not isinstance(count, int) or abs(count) > MAX_WIDTH:
        raise TemplateError("template-limit", f"uses a width or count above {MAX_WIDTH}")
    return count


def bits_of(value: object) -> int:
    """The bits of a number."""
    return value.bit_length() if isinstance(value, int) else 64


def check_bits(bits: int) -> None:
    """Raise TemplateError for a number that would be too wide."""
    if bits > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")


def _size(value: object, limit: int) -> int:
    """The characters of a value, with `_ENTRY` for each entry; a list that is contained twice counts twice.

    Counting stops a little over `limit`.
    """
    if isinstance(value, str):
        return len(value)
    size = 0
    todo: list[Iterable[object]] = []
    _open(value, todo)
    while todo and size <= limit:
        for entry in todo.pop():
            size += _ENTRY + (len(entry) if isinstance(entry, str) else 0)
            _open(entry, todo)
            if size > limit:
                break
    return size


def _open(value: object, todo: list[Iterable[object]]) -> None:
    if isinstance(value, dict):
        todo += (value, value.values())
    elif isinstance(value, list | tuple):
        todo.append(value)
