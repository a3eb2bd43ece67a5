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
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import TemplateSyntaxError, UndefinedError
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.lexer import TokenStream
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import missing
from markupsafe import escape

from contentops.digest import canonical
from contentops.manifests.limits import LIMITS, MAX_WIDTH, Allowance, bits_of, check_bits, narrow
from contentops.manifests.values import MISSING, Lazy, TemplateError, as_json, kind_of, slug_of, text_of
from contentops.manifests.words import Day, day_of, first_words, plain_text, plural_of, written_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jinja2 import nodes
    from jinja2.compiler import Frame
    from jinja2.runtime import Context

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
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        value = obj.get(attribute) if isinstance(obj, Lazy) else MISSING
        if value is MISSING and any(isinstance(obj, kind) and attribute in names for kind, names in METHODS):
            value = getattr(obj, attribute, MISSING)
        return self.undefined(obj=obj, name=attribute) if value is MISSING else value

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An entry, never an attribute."""
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
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)
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
        if isinstance(arg, str | list | tuple | dict | None):
            raise TemplateError("template-value", f"cannot write `{operator}` before {kind_of(arg)}")
        return super().call_unop(context, operator, arg)

    def joined(self, values: Iterable[Any]) -> str:
        """The `~` operator."""
        return self.concat(list(map(_text, values)))

    def concat(self, parts: Iterable[str]) -> str:
        """The text of a macro, or of a block that is assigned or filtered."""
        texts = parts if isinstance(parts, list) else list(parts)
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

    def _join(self, value: Any, d: str = "", attribute: str | int | None = None) -> str:
        entries = value if attribute is None else map(make_attrgetter(self, attribute), value)
        texts = [_text(entry) for entry in entries]
        between = text_of(d)
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
