"""Jinja for untrusted templates: the same text every time, in bounded time and memory.

What a template can reach is listed, not what it cannot: JSON values, their harmless methods, `range`, and the
filters of `limits`. There is no clock, random number, environment, file or other template to reach.
"""

from __future__ import annotations

import functools
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from contentops.errors import suggest
from contentops.manifests import limits
from contentops.manifests.values import MAX_TEXT, MISSING, Lazy, TemplateError, as_json, kind_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from jinja2 import Template as JinjaTemplate
    from jinja2.compiler import Frame

    from contentops.manifests.values import Lookup
    from contentops.model import Json

_RESULT = "__result__"
_TEXT_METHODS = frozenset(
    str.split(
        """capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower
        isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace
        rfind rindex rpartition rsplit rstrip split splitlines startswith strip swapcase title upper"""
    )
)
_LOOP = frozenset(
    str.split("""index index0 revindex revindex0 first last length previtem nextitem depth depth0 cycle changed""")
)
_METHODS: tuple[tuple[type, frozenset[str]], ...] = (
    (dict, frozenset({"items", "keys", "values", "get"})),
    (str, _TEXT_METHODS),
    (list, frozenset({"index", "count"})),
    (LoopContext, _LOOP),
    (tuple, frozenset({"grouper", "list", "index", "count"})),
)
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.AssignBlock: "{% set %} with a body",
    nodes.NSRef: "{% set %} on an attribute",
    nodes.With: "{% with %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
}
_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_TAG = re.compile(r"\{[{%#]")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSING_TOKENS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


class _Undefined(StrictUndefined):
    """A missing value whose error keeps what was asked for."""

    __slots__ = ()

    def __init__(self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name)
        self._undefined_exception = functools.partial(exc or _UndefinedError, obj=obj, name=name)  # type: ignore[assignment]


class _UndefinedError(UndefinedError):
    """Something was used that is not there."""

    def __init__(self, message: str | None = None, *, obj: Any = missing, name: Any = None) -> None:
        super().__init__(message)
        self.obj = obj
        self.name = name


class _Generator(CodeGenerator):
    """Jinja's code generator with `~` behind the budget."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja finds it by this name
        self.write("environment.concat_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Environment(ImmutableSandboxedEnvironment):
    """A Jinja environment that reaches what is listed and nothing else."""

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=_Undefined, finalize=_finalize, keep_trailing_newline=True, cache_size=0, optimized=False
        )
        self.globals = {"range": limits.bounded_range}
        self.filters = limits.filters()
        self.filters |= {_BOUNDED: _bounded, _WEIGHED: _weighed}
        self.concat_texts = limits.concat
        self.policies["compiler.ascii_str"] = False

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)
        return limits.apply(operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj(*args)
        limits.check_call(obj, args)
        return context.call(obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Undefined):
            str(obj)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, Lazy):
            found = obj.get(attribute)
            return self.undefined(obj=obj, name=attribute) if found is MISSING else found
        for kind, names in _METHODS:
            if isinstance(obj, kind) and attribute in names:
                found = getattr(obj, attribute, MISSING)
                return self.undefined(obj=obj, name=attribute) if found is MISSING else found
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Lazy):
            return self.getattr(obj, str(argument))
        if isinstance(obj, dict | list | str | tuple | Undefined):
            try:
                return obj[argument]
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)


def _finalize(value: Any) -> str:
    return str(value) if isinstance(value, Undefined) else text_of(value)


_BOUNDED = "each entry"
"""The filter put around what `{% for %}` loops over; no template can write a name with a space."""


_WEIGHED = "each operand"
"""The filter put around what is compared, tested or cut."""


def _weighed(value: Any) -> Any:
    limits.charge_for(value)
    return value


def _bounded(value: Any) -> Any:
    """What a loop runs over, paid for beforehand."""
    if isinstance(value, str):
        raise TemplateError("template-value", "a text cannot be looped over", hint='split it first: `.split(",")`')
    entries = value if hasattr(value, "__len__") else list(islice(value, limits.WORK + 1))
    limits.spent(len(entries) + 1)
    return entries


@functools.cache
def _environment() -> _Environment:
    return _Environment()


class _Context(Context):
    """A context that asks for each name when the template first needs it."""

    def __init__(self, environment: _Environment, lookup: Lookup) -> None:
        super().__init__(environment, {}, None, {})
        self._lookup = lookup

    def resolve_or_missing(self, key: str) -> Any:
        value = self._lookup(key)
        return self.environment.globals.get(key, missing) if value is MISSING else value


class Compiled:
    """A compiled template. `names` are the variables it may use (see `templates.Template`)."""

    __slots__ = ("_source", "_template", "_typed", "names")

    def __init__(self, source: str, template: JinjaTemplate, names: tuple[str, ...], *, typed: bool) -> None:
        self._source = source
        self._template = template
        self._typed = typed
        self.names = names

    def render(self, lookup: Lookup) -> Json:
        """The value, a text unless the template is one whole expression. Raises TemplateError."""
        left = limits.begin()
        try:
            return as_json(self._run(_Context(_environment(), lookup)))
        except TemplateError as error:
            offset = error.offset or self._offset(error.__traceback__)
            raise TemplateError(error.code, error.message, hint=error.hint, offset=offset) from None
        except _UndefinedError as error:
            raise self._undefined(error, lookup) from None
        except (TemplateRuntimeError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise _explain(error, self._offset(error.__traceback__)) from None
        finally:
            limits.end(left)

    def _run(self, context: _Context) -> Any:
        parts: list[str] = []
        size = 0
        for part in self._template.root_render_func(context):
            size += len(part)
            if size > MAX_TEXT:
                raise TemplateError("template-limit", f"gives a text of more than {MAX_TEXT} characters")
            limits.spent(len(part) >> 8)
            parts.append(part)
        if not self._typed:
            return "".join(parts)
        return context.vars[_RESULT]

    def _line(self, trace: TracebackType | None) -> int:
        """The line of the template an exception came from."""
        line = 1
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line

    def _offset(self, trace: TracebackType | None) -> int:
        return tag_offset(self._source, self._line(trace))

    def _undefined(self, error: _UndefinedError, lookup: Lookup) -> TemplateError:
        name = str(error.name)
        offset = word_offset(self._source, self._line(error.__traceback__), name)
        if error.obj is missing:
            return TemplateError("undefined-variable", f"`{name}` is not defined", offset=offset, name=name)
        owner = next((owner for owner in ("each", "item") if lookup(owner) is error.obj), "")
        known = (
            error.obj.names if isinstance(error.obj, Lazy) else tuple(error.obj) if isinstance(error.obj, dict) else ()
        )
        message = f"`{owner}` has no `{name}`" if owner else f"{kind_of(error.obj)} has no `{name}` here"
        hint = (
            "the item does not set it; `default(...)` says what to use then" if name in known else suggest(name, known)
        )
        return TemplateError("undefined-variable", message, hint=hint, offset=offset)


def compile_template(source: str) -> Compiled:
    """Compile one text. Raises TemplateError for what is no Jinja, or more Jinja than a manifest may use."""
    environment = _environment()
    if len(source) > MAX_TEXT:
        raise TemplateError("template-limit", f"the template has more than {MAX_TEXT} characters")
    try:
        tree = environment.parse(source)
        _refuse(tree, source)
        names = tuple(sorted(set(_names(tree))))
        tree, typed = _prepare(tree, environment)
        return Compiled(source, environment.from_string(tree), names, typed=typed)
    except TemplateSyntaxError as error:
        raise _explain_syntax(error, source) from None
    except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError):
        raise TemplateError("template-limit", "the template is nested too deeply") from None


def _refuse(tree: nodes.Template, source: str) -> None:
    for node in _walk(tree):
        written = _FORBIDDEN.get(type(node))
        if isinstance(node, nodes.For) and node.recursive:
            written = "{% for … recursive %}"
        if isinstance(node, nodes.Name) and node.name in {"self", _RESULT}:
            written = node.name
        if written:
            raise TemplateError(
                "template-unsupported",
                f"`{written}` is not available in manifests",
                offset=tag_offset(source, node.lineno),
            )


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child)


def _names(node: nodes.Node) -> Iterator[str]:
    """The variables a tree may read; of `each` and `item` only the part that is read, where that is plain."""
    if isinstance(node, nodes.Getattr | nodes.Getitem) and isinstance(node.node, nodes.Name):
        owner = node.node.name
        part: Any = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if owner in {"each", "item"} and isinstance(part, str):
            yield f"{owner}.{part}"
            return
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in {"loop", "range"}:
        yield node.name
    for child in node.iter_child_nodes():
        yield from _names(child)


def _prepare(tree: nodes.Template, environment: _Environment) -> tuple[nodes.Template, bool]:
    """The tree with what it handles paid for; one whole expression becomes an assignment, which keeps its type."""
    for loop in tree.find_all(nodes.For):
        loop.iter = _through(_BOUNDED, loop.iter)
    for comparison in list(tree.find_all(nodes.Compare)):
        comparison.expr = _through(_WEIGHED, comparison.expr)
        for operand in comparison.ops:
            operand.expr = _through(_WEIGHED, operand.expr)
    for test in list(tree.find_all(nodes.Test)):
        test.node = _through(_WEIGHED, test.node)
        test.args = [_through(_WEIGHED, argument) for argument in test.args]
    for part in list(tree.find_all(nodes.Getitem)):
        if isinstance(part.arg, nodes.Slice):
            part.node = _through(_WEIGHED, part.node)
    tree.set_environment(environment)
    whole = _whole(tree)
    if whole is not None:
        target = nodes.Name(_RESULT, "store", lineno=whole.lineno)
        tree = nodes.Template([nodes.Assign(target, whole, lineno=whole.lineno)], lineno=1)
        tree.set_environment(environment)
    return tree, whole is not None


def _through(name: str, value: nodes.Node) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        node = tree.body[0].nodes[0]
        return None if isinstance(node, nodes.TemplateData) else node
    return None


def _explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    offset = tag_offset(source, error.lineno)
    unknown = _NO_FILTER.search(error.message or "")
    if unknown:
        return _unknown_filter(unknown, word_offset(source, error.lineno, unknown.group(2)))
    if tag := _unclosed(source):
        hint = f"close it with `{_CLOSING[tag.group()]}`"
        return TemplateError("template-syntax", f"a `{tag.group()}` is not closed", hint=hint, offset=tag.start())
    message = error.message or "is not Jinja"
    block = _OPEN_BLOCK.search(message)
    hint = f"end it with `{{% end{block.group(1)} %}}`" if block else ""
    if block and message.startswith("Unexpected end of template"):
        message = f"the `{{% {block.group(1)} %}}` has no end"
    for token, closing in _CLOSING_TOKENS.items():
        message = message.replace(f"token {token}", closing).replace(token, closing)
    return TemplateError("template-syntax", _sentence(message), hint=hint, offset=offset)


def _unclosed(source: str) -> re.Match[str] | None:
    """The first tag whose end does not come before the next tag begins."""
    tags = list(_TAG.finditer(_COMMENT.sub(lambda found: " " * len(found[0]), source)))
    ends = (*(tag.start() for tag in tags[1:]), len(source))
    for tag, end in zip(tags, ends, strict=False):
        if source.find(_CLOSING[tag.group()], tag.end(), end) < 0:
            return tag
    return None


def _explain(error: Exception, offset: int) -> TemplateError:
    unknown = _NO_FILTER.search(str(error))
    if unknown:
        return _unknown_filter(unknown, offset)
    return TemplateError("template-error", _sentence(str(error) or type(error).__name__), offset=offset)


def _unknown_filter(found: re.Match[str], offset: int) -> TemplateError:
    kind, name = found.groups()
    known = _environment().filters if kind == "filter" else _environment().tests
    hint = suggest(name, tuple(sorted(entry for entry in known if entry.isidentifier())))
    return TemplateError("template-syntax", f"there is no {kind} `{name}`", hint=hint, offset=offset)


def _sentence(message: str) -> str:
    """Python's or Jinja's words as one short clause in our style."""
    first = message.splitlines()[0].rstrip(".")[:200]
    return first[:1].lower() + first[1:]


def _span(source: str, line: int) -> tuple[int, int]:
    """Where a 1-based line of a text starts and ends."""
    start = 0
    for _ in range(line - 1):
        start = source.find("\n", start) + 1
        if not start:
            return 0, len(source)
    end = source.find("\n", start)
    return start, len(source) if end < 0 else end


def tag_offset(source: str, line: int) -> int:
    """The offset of what stands inside the first tag of a line."""
    start, end = _span(source, line)
    found = re.compile(r"\{[{%#][-+]?\s*").search(source, start, end)
    return found.end() if found and found.end() < end else found.start() if found else start


def word_offset(source: str, line: int, word: str) -> int:
    """The offset of a name inside the tags of a line, else of the first tag."""
    start, end = _span(source, line)
    tag = source.find("{", start, end)
    found = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)").search(source, max(tag, start), end)
    return found.start() if found else tag_offset(source, line)
