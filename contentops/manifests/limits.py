"""What templates may compute with: Jinja's filters, operators and calls behind a budget.

Each use is charged before it runs, so neither loops, padding, powers nor doubling can take long or fill memory.
Left out are the filters that read a clock, a random number or Python's own representation, and those that make
HTML. Some differ from Jinja's on purpose: `int` and `float` refuse what is no number unless a default is given,
`tojson` writes plain JSON, `join` and `string` refuse lists and nulls where texts belong.
"""

from __future__ import annotations

import functools
import operator
import re
import threading
from typing import TYPE_CHECKING, Any

from jinja2 import pass_environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.runtime import Undefined
from markupsafe import escape

from contentops.digest import canonical
from contentops.manifests.values import MAX_TEXT, TemplateError, as_json, kind_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2 import Environment

WORK = 200_000
"""What one template may spend: about a unit per loop pass, filter, call, and 16 characters or 4 entries it is about."""

MAX_WIDTH = 1_000
"""Widest padding, indentation, and largest batch."""

MAX_BITS = 4_096
"""Widest whole number on the way to a result."""

_ENTRY = 4
_FORMAT = re.compile(r"%(?:\(\w+\))?[-+ #0]*(\*|\d*)(?:\.(\*|\d*))?")


class _Budget(threading.local):
    """What the template being rendered in this thread may still spend."""

    left = WORK


_budget = _Budget()


def spent(amount: int) -> None:
    """Charge the template being rendered. Raises TemplateError when it has used up its budget."""
    _budget.left -= amount
    if _budget.left < 0:
        hint = "loop over less, or prepare the list in a data file"
        raise TemplateError("template-limit", "takes too many steps", hint=hint)


def begin() -> int:
    """Give the template about to be rendered a budget of its own; `end` takes what this returns."""
    left, _budget.left = _budget.left, WORK
    return left


def end(left: int) -> None:
    """Return to the budget of the template around the one just rendered."""
    _budget.left = left


def charge_for(value: object) -> None:
    """Charge for handling a value once, by its size; a list that stands in another many times counts each time."""
    spent(1 + (_size(value, (_budget.left + 1) << 4) >> 4))


def _size(value: object, limit: int) -> int:
    """The characters of a value, an entry of a list or map counted as several; at most a little over `limit`."""
    if isinstance(value, str):
        return len(value)
    size = 0
    todo: list[Iterable[object]] = [value.values() if isinstance(value, dict) else value] if _holds(value) else []  # type: ignore[list-item]
    while todo and size <= limit:
        for entry in todo.pop():
            size += _ENTRY + (len(entry) if isinstance(entry, str) else 0)
            if _holds(entry):
                todo.append(entry.values() if isinstance(entry, dict) else entry)  # type: ignore[arg-type]
            if size > limit:
                break
    return size


def _holds(value: object) -> bool:
    return isinstance(value, list | tuple | dict)


def _room(size: int) -> None:
    if size > MAX_TEXT:
        raise TemplateError("template-limit", f"makes a text or list of more than {MAX_TEXT} characters or entries")


def _narrow(width: object) -> None:
    if not isinstance(width, int) or abs(width) > MAX_WIDTH:
        raise TemplateError("template-limit", f"asks for a width or count that is not within {MAX_WIDTH}")


def bounded_range(*args: int) -> list[int]:
    """`range`, charged for its length."""
    found = range(*args)
    spent(len(found) + 1)
    return list(found)


# --- operators -------------------------------------------------------------------------------------------


def apply(sign: str, left: Any, right: Any) -> Any:
    """One of the operators that can make much out of little: `+`, `*`, `**`, `%`."""
    return _OPERATORS[sign](left, right)


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _room(len(left) + len(right))
        spent(1 + ((len(left) + len(right)) >> 4))
    return left + right


def _multiply(left: Any, right: Any) -> Any:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, str | list | tuple) and isinstance(times, int):
            _room(len(many) * max(times, 0))
            spent(1 + ((len(many) * max(times, 0)) >> 4))
    if _bits(left) + _bits(right) > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and _bits(left) * abs(right) > MAX_BITS:
        raise TemplateError("template-limit", "makes a number that is too large")
    return left**right


def _modulo(left: Any, right: Any) -> Any:
    return _format(left, right) if isinstance(left, str) else left % right


def _format(text: str, values: Any) -> str:
    """`%` on texts, without unbounded widths."""
    for width, digits in _FORMAT.findall(text):
        for number in (width, digits):
            if number == "*" or len(number) > 3:
                raise TemplateError("template-limit", f"formats with a width that is not within {MAX_WIDTH}")
    parts = values if isinstance(values, tuple) else tuple(values.values()) if isinstance(values, dict) else (values,)
    _room(len(text) * 500 + sum(len(part) for part in parts if isinstance(part, str)) * max(text.count("%"), 1))
    for part in parts:
        text_of(part)
    return str(text % values)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"+": _add, "*": _multiply, "**": _power, "%": _modulo}


def concat(values: tuple[Any, ...]) -> str:
    """The `~` operator."""
    texts = [_text(value) for value in values]
    size = sum(map(len, texts))
    _room(size)
    spent(1 + (size >> 4))
    return "".join(texts)


def _text(value: Any) -> str:
    """A value inside a text; an undefined one raises Jinja's error."""
    return str(value) if isinstance(value, Undefined) else text_of(value)


# --- calls -----------------------------------------------------------------------------------------------


def check_call(called: Any, args: tuple[Any, ...]) -> None:
    """Charge a call of a method, refusing the ones that would blow up."""
    owner = getattr(called, "__self__", None)
    charge_for(owner)
    for value in args:
        charge_for(value)
    name = getattr(called, "__name__", "")
    if isinstance(owner, str) and name == "replace" and len(args) > 1:
        _replaceable(owner, args[0], args[1])
    if isinstance(owner, str) and name == "join" and args:
        if not isinstance(args[0], list | tuple | dict | str):
            raise TemplateError("template-value", f"cannot join {kind_of(args[0])}", hint="add `| list`")
        _room(len(owner) * len(args[0]) + sum(len(text) for text in args[0] if isinstance(text, str)))


def _replaceable(text: str, old: Any, new: Any) -> None:
    _room(len(text) + text.count(old) * len(new))


# --- filters ---------------------------------------------------------------------------------------------

_KEPT = str.split(
    """abs batch capitalize center count d default dictsort filesizeformat first groupby indent items last length
        list lower map max min reject rejectattr reverse round select selectattr slice sort striptags sum title trim
        truncate unique upper urlencode wordcount wordwrap"""
)


def filters() -> dict[str, Callable[..., Any]]:
    """Every filter a template may use, each charged by the size of what it works on."""
    kept: dict[str, Callable[..., Any]] = {name: FILTERS[name] for name in _KEPT}
    for name, position in (("center", 0), ("indent", 0), ("batch", 0), ("slice", 0)):
        kept[name] = _within(kept[name], position)
    kept["wordwrap"] = _wrapped(kept["wordwrap"])
    kept["truncate"] = _truncated(kept["truncate"])
    kept["e"] = kept["escape"] = _escape
    kept["format"] = _format_filter
    kept["int"], kept["float"] = _int, _float
    kept["join"], kept["replace"] = _join, _replace
    kept["string"], kept["tojson"] = _text, _tojson
    return {name: _charged(name, function) for name, function in kept.items()}


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, paying for its subject, which comes first or second (after what Jinja passes in).

    Jinja's own filters take it for granted that the subject is of a kind they know.
    """
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        subject = args[place] if len(args) > place else None
        charge_for(subject)
        try:
            return function(*args, **kwargs)
        except AttributeError:
            raise TemplateError("template-value", f"`{name}` takes no such value: {kind_of(subject)}") from None

    return charged


def _within(function: Callable[..., Any], position: int) -> Callable[..., Any]:
    """The filter, refusing a width or count that is too large."""

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        shift = 2 if hasattr(function, "jinja_pass_arg") else 1
        for value in (*args[shift + position :][:1], *(kwargs.get(name) for name in ("width", "linecount", "slices"))):
            if isinstance(value, str):
                _narrow(len(value))
            elif value is not None:
                _narrow(value)
        subject = args[shift - 1]
        if isinstance(subject, str):
            _room(len(subject) + (subject.count("\n") + 1) * MAX_WIDTH if len(subject) > MAX_WIDTH else 0)
        return function(*args, **kwargs)

    return checked


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """`wordwrap` without a text of one's own between lines."""

    @functools.wraps(function)
    def checked(environment: Environment, text: str, width: int = 79, break_long_words: bool = True) -> Any:
        return function(environment, text, width, break_long_words)

    return checked


def _truncated(function: Callable[..., Any]) -> Callable[..., Any]:
    """`truncate`, refusing a length below that of the mark it ends with, which Jinja only asserts."""

    @functools.wraps(function)
    def checked(
        environment: Environment,
        text: Any,
        length: int = 255,
        killwords: bool = False,
        end: str = "...",
        leeway: int | None = None,
    ) -> Any:
        if length < len(end) or (leeway or 0) < 0:
            message = f"`truncate` to {length} leaves no room for the `{end[:20]}` it ends with"
            hint = "take more, or say what it ends with: `truncate(2, true, '')`"
            raise TemplateError("template-value", message, hint=hint)
        return function(environment, text, length, killwords, end, leeway)

    return checked


def _format_filter(text: Any, *args: Any, **kwargs: Any) -> str:
    return _format(text_of(text), kwargs or args)


def _escape(value: Any) -> str:
    return str(escape(_text(value)))


_REQUIRED: Any = object()


def _int(value: Any, default: Any = _REQUIRED) -> Any:
    """A whole number, from digits or by cutting off a fraction."""
    try:
        if isinstance(value, str | int | float):
            return int(value.strip() if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        pass
    return _otherwise(value, default, "a whole number", "int")


def _float(value: Any, default: Any = _REQUIRED) -> Any:
    """A number, from its digits."""
    try:
        if isinstance(value, str | int | float):
            return float(value)
    except (ValueError, OverflowError):
        pass
    return _otherwise(value, default, "a number", "float")


def _otherwise(value: Any, default: Any, wanted: str, name: str) -> Any:
    if isinstance(value, Undefined):
        str(value)
    if default is not _REQUIRED:
        return default
    shown = f"`{value[:40]}`" if isinstance(value, str) and value.strip() else kind_of(value)
    shown = "an empty text" if isinstance(value, str) and not value.strip() else shown
    hint = f"correct the value, or say what to use instead: `{name}(0)`"
    raise TemplateError("template-value", f"{shown} is not {wanted}", hint=hint)


@pass_environment
def _join(environment: Environment, value: Any, d: str = "", attribute: str | int | None = None) -> str:
    entries = list(value) if attribute is None else list(map(make_attrgetter(environment, attribute), value))
    texts = [_text(entry) for entry in entries]
    between = text_of(d)
    size = sum(map(len, texts)) + len(between) * len(texts)
    _room(size)
    spent(1 + (size >> 4))
    return between.join(texts)


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text, new = _text(value), text_of(new)
    _replaceable(text, old, new)
    return text.replace(old, new, operator.index(count))


def _tojson(value: Any, indent: int | None = None) -> str:
    """JSON on one line with sorted keys, characters as themselves."""
    if isinstance(value, Undefined):
        str(value)
    if indent is not None:
        raise TemplateError("template-value", "`tojson` writes one line and takes no indent")
    return canonical(as_json(value))
