"""Compiles templates, with or without a file of macros, and renders them in the sandbox.

A template can also be explored. This finds the other items whose texts it reads, before these texts exist.
Errors name the character to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.runtime import Context, Undefined
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from contentops.errors import suggest
from contentops.manifests.sandbox import BOUNDED, CHARGED, JOINED, MAX_STEPS, Allowance, sandbox
from contentops.manifests.values import (
    FUNCTIONS,
    MACROS,
    MAX_TEXT,
    MISSING,
    TEMPLATE,
    Guesses,
    Lazy,
    SourceError,
    TemplateError,
    as_json,
    kind_of,
    reachable,
    text_of,
    unclear,
)
from contentops.model import Json
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    from contentops.manifests.values import Lookup


_RESULT = "__result__"
_EXPLORED = 4
"""To find what a template reads, contentops may take this many times the steps of one rendering."""
_OWNERS = ("each", "item", "inputs")
"""The maps that messages call by name."""
_MACROS_HINT = "put shared macros into the file that `macros` names in `contentops.yaml`"
_FORBIDDEN: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Include: ("{% include %}", _MACROS_HINT),
    nodes.Import: ("{% import %}", _MACROS_HINT),
    nodes.FromImport: ("{% from %}", _MACROS_HINT),
    nodes.Extends: ("{% extends %}", ""),
    nodes.Block: ("{% block %}", ""),
    nodes.NSRef: ("{% set name.attribute %}", ""),
    nodes.ScopedEvalContextModifier: ("{% autoescape %}", ""),
}
_CHARGED: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.For: ("iter", BOUNDED),
    nodes.Compare: ("expr", CHARGED),
    nodes.Operand: ("expr", CHARGED),
    nodes.Pair: ("key", CHARGED),
}
"""The parts of nodes that a filter charges for."""


class Macros:
    """A project's file of shared Jinja macros. Every template can call them by name."""

    def __init__(self, source: str, taken: Collection[str] = ()) -> None:
        """Compile the file of macros. Macros cannot have the names in `taken`. Raises TemplateError."""
        self.compiled = Compiled(source, filename=MACROS)
        body = self.compiled.tree.body
        self.names = frozenset(_declared_macros(body, taken))
        direct = {
            name: _compile(nodes.Template([node], lineno=1), MACROS)[0] for node in body for name in _assigned(node)
        }
        self.reads = {name: {*reachable([name], lambda step: direct.get(step, ()))} - direct.keys() for name in direct}
        """For each name that the file defines, the variables of the caller that it may read, directly or not."""


class Compiled:
    """A compiled template. `names` are the variables it may use (see `templates.TextTemplate`)."""

    __slots__ = ("_is_typed", "_macros", "_steps", "filename", "names", "template", "text", "tree")

    def __init__(
        self, text: str, macros: Macros | None = None, steps: int = MAX_STEPS, filename: str = TEMPLATE
    ) -> None:
        """Compile a template. Raises TemplateError for invalid Jinja, and for Jinja that manifests may not use."""
        if len(text) > MAX_TEXT:
            raise TemplateError("template-limit", f"the template has more than {MAX_TEXT} characters")
        box = sandbox()
        self.text = text
        self.filename = filename
        self._macros = macros
        self._steps = steps
        try:
            self.tree = _Checked().visit(box.parse(text))
            self._is_typed = filename == TEMPLATE and _keep_type(self.tree)
            names, code = _compile(self.tree, filename)
        except TemplateSyntaxError as error:
            raise _explain_syntax(error, text) from None
        except ValueError:  # Python limits the digits of whole numbers
            raise TemplateError("template-limit", "a number has too many digits") from None
        except (RecursionError, SyntaxError, MemoryError, OverflowError):
            raise TemplateError("template-limit", "the template is nested too deeply") from None
        except AssertionError:  # Jinja's, which does not look for names there
            message = "a name in the filter of a `{% set %}` block is used nowhere before"
            raise TemplateError("template-unsupported", message, hint="filter the value where it is used") from None
        self.template = Template.from_code(box, code, box.globals)
        read = (macros.reads[name] for name in names & macros.names) if macros else ()
        self.names = tuple(sorted(names.union(*read)))

    def render(self, lookup: Lookup) -> Json:
        """Render the template. The result is a text; one whole expression keeps the type of its value.

        Raises TemplateError.
        """
        return self._guarded(lookup, as_json, Allowance(self._steps))

    def explore(self, lookup: Lookup) -> None:
        """Run the template several times to find every text that it reads.

        Each test on an unknown value is true in one run and false in another. Raises SourceError, and TemplateError if
        the template needs too many steps, or fails without any such test.
        """
        ways: list[dict[Any, bool]] = [{}]
        tried: set[tuple[Any, bool]] = set()
        read: dict[Any, set[str]] = {}
        allowance = Allowance(_EXPLORED * self._steps)
        while ways:
            way = ways.pop()
            guesses = Guesses.now = Guesses(way)
            try:
                self._guarded(lookup, _refuse_whole, allowance)
            except TemplateError as error:
                if isinstance(error, SourceError) or error.code == "template-limit" or not guesses.made:
                    raise
            finally:
                Guesses.now = None
            allowance.spend(len(guesses.made))
            for place, ids in guesses.read.items():
                if not ids <= read.setdefault(place, ids):
                    raise unclear()
            tried.update(guesses.made.items())
            for place, is_true in guesses.made.items():
                if (place, not is_true) not in tried:
                    tried.add((place, not is_true))
                    ways.append({**way, place: not is_true})

    def _guarded(self, lookup: Lookup, finish: Callable[[Any], Json], allowance: Allowance) -> Json:
        """Run the template within its limits. Return its value, converted by `finish`. Raises TemplateError."""
        box, context = sandbox(), _Context(lookup, self._macros)
        outer, box.allowance = box.allowance, allowance
        try:
            value: Any = box.concat(self.template.root_render_func(context))
            if self._is_typed:
                value = context.vars[_RESULT]
                # `{{ a if b }}` where b is false is null; a missing variable has another type.
                value = None if type(value) is Undefined else box.allowance.charge(value)  # a list may repeat a text
            return finish(value)
        except TemplateError as error:
            raise self._placed(error, error.__traceback__) from None
        except UndefinedError as error:
            raise self._undefined(error, lookup) from None
        except (TemplateRuntimeError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise self._placed(_explain_failure(error), error.__traceback__) from None
        finally:
            box.allowance = outer

    def _undefined(self, error: UndefinedError, lookup: Lookup) -> TemplateError:
        used: Any = error.args[0]
        if not isinstance(used, Undefined):  # a choice without an else
            return self._placed(_explain_failure(error), error.__traceback__)
        owner, name = used._undefined_obj, str(used._undefined_name)  # noqa: SLF001 - it has no other way to tell
        if owner is missing:
            problem = TemplateError("undefined-variable", f"`{name}` is not defined", name=name)
            passed = self._macros is not None and not any(name in read for read in self._macros.reads.values())
            return self._placed(problem, error.__traceback__, name, passed=passed)
        roots = {each.partition(".")[0] for each in self.names}  # `inputs` may ask for this very template
        found = {root: lookup(root) for root in _OWNERS if root in roots}
        # `item` is made again each time.
        same = (root for root, one in found.items() if one is owner or (isinstance(owner, Lazy) and one == owner))
        known = next((f"`{root}`" for root in same), "")
        names = tuple(owner.names if isinstance(owner, Lazy) else owner if isinstance(owner, dict) else ())
        message = f"{known} has no `{name}`" if known else f"{kind_of(owner)} has no `{name}` here"
        unset = "the item does not set it; write `default(...)` to state another value"
        hint = unset if name in names else suggest(name, names)
        return self._placed(TemplateError("undefined-variable", message, hint=hint), error.__traceback__, name)

    def _placed(
        self, error: TemplateError, trace: TracebackType | None, word: str = "", *, passed: bool = False
    ) -> TemplateError:
        """Return the error, with the position of the character that a person must change.

        This is the position of `word` in the innermost tag that contains the word. If a missing value was `passed` to
        a macro, only the tags of the template are searched, not those of the macros.
        """
        codes = [self, *([self._macros.compiled] if self._macros and not passed else [])]
        positions = [(self, _tag_offset(self.text))]  # a missing value may also be in the result
        while trace is not None:
            filename = trace.tb_frame.f_code.co_filename
            positions += [(code, code.offset(trace)) for code in codes if code.filename == filename]
            trace = trace.tb_next
        words = ((code, _word_offset(code.text, at, word)) for code, at in reversed(positions) if word)
        code, offset = next((one for one in words if one[1] is not None), positions[-1])
        error.offset, error.in_macros = offset or 0, code is not self
        return error.with_traceback(None)

    def offset(self, trace: TracebackType) -> int:
        """Return the offset in the template at which its code failed. It points to a word, otherwise to the tag."""
        at = self.template.get_corresponding_lineno(trace.tb_lineno) - 1
        return at if self.text[at : at + 1].isalnum() else _tag_offset(self.text, at)


def _refuse_whole(value: Any) -> Json:
    """Raise TemplateError if the value is a whole map such as `ref('a')`, instead of one of its entries."""
    return text_of(value) if isinstance(value, Lazy) else None


class _Context(Context):
    """A Jinja context that looks up a name only when the template reads it."""

    def __init__(self, lookup: Lookup, macros: Macros | None = None) -> None:
        super().__init__(sandbox(), {}, None, {})
        self._lookup = lookup
        self._macros = macros
        self._shared: dict[str, Any] | None = None

    def resolve_or_missing(self, key: str) -> Any:
        value = self._lookup(key)
        if value is not MISSING:
            return value
        if self._macros is not None and key in self._macros.names:
            if self._shared is None:
                shared = _Context(self._lookup)
                list(self._macros.compiled.template.root_render_func(shared))
                self._shared = shared.vars
            return self._shared[key]
        return self.environment.globals.get(key, missing)


# --- the syntax tree -----------------------------------------------------------------------------------------


class _Checked(NodeTransformer):
    """Refuses Jinja syntax that is not allowed in manifests, and adds filters that count the work of a template."""

    def visit(self, node: nodes.Node, *_: Any, **__: Any) -> Any:
        """Check a node of the template's syntax tree. Return the node, or a filter around it that counts its work.

        Raises TemplateError for a node that manifests may not use.
        """
        _refuse(node)
        self.generic_visit(node)
        part, charge = _CHARGED.get(type(node), ("", CHARGED))
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            part = "node"
        if part:
            setattr(node, part, _through(charge, getattr(node, part)))
        return _through(JOINED, nodes.List(node.nodes, lineno=node.lineno)) if isinstance(node, nodes.Concat) else node


def _through(name: str, value: Any) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno, environment=sandbox())


def _refuse(node: nodes.Node) -> None:
    written, hint = _FORBIDDEN.get(type(node), ("", ""))
    if isinstance(node, nodes.For) and node.recursive:
        written = "{% for … recursive %}"
    if isinstance(node, nodes.Name) and node.name in {"self", _RESULT}:
        written = node.name
    if written:
        message = f"`{written}` is not available in manifests"
        raise TemplateError("template-unsupported", message, hint=hint, offset=node.lineno - 1)
    keys = [each.key for each in node.kwargs] if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) else []
    if len({*keys}) < len(keys):
        raise TemplateError("template-syntax", "an argument is given twice", offset=node.lineno - 1)
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not isfinite(node.value):
        raise TemplateError("template-value", "a number is not finite", offset=node.lineno - 1)


def _keep_type(tree: nodes.Template) -> bool:
    """Return whether a template is a single expression. The value of an expression keeps its type.

    The tree then assigns the value instead of writing it.
    """
    match tree.body:
        case [nodes.Output(nodes=[nodes.Expr() as whole])] if not isinstance(whole, nodes.TemplateData):
            target = nodes.Name(_RESULT, "store", lineno=whole.lineno)
            tree.body = [nodes.Assign(target, whole, lineno=whole.lineno).set_environment(sandbox())]
            return True
    return False


def _compile(tree: nodes.Template, filename: str) -> tuple[frozenset[str], Any]:
    """Compile the syntax tree of a template. Return the names that it looks up, and its code.

    A name of `each` or `item` includes the part that is read, if that is constant.
    """
    box = sandbox()
    box.names.clear()
    code = box.compile(tree, filename=filename)
    names = frozenset(box.names) - (box.globals.keys() - FUNCTIONS)
    if names.isdisjoint({"each", "item"}):
        return names, code
    return frozenset(name for name in _parts(tree) if name.partition(".")[0] in names), code


def _parts(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Getattr | nodes.Getitem) and isinstance(node.node, nodes.Name):
        owner = node.node.name
        part: Any = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if owner in {"each", "item"} and isinstance(part, str):
            yield f"{owner}.{part}"
            return
    if isinstance(node, nodes.Name) and node.ctx == "load":
        yield node.name
    for child in node.iter_child_nodes():
        yield from _parts(child)


def _declared_macros(body: list[nodes.Node], taken: Collection[str]) -> Iterator[str]:
    """Yield the names of a file's macros. Raises TemplateError if it has more than macros and values for them."""
    seen: set[str] = set()
    for node in body:
        offset = node.lineno - 1
        if isinstance(node, nodes.Macro):
            if node.name in taken or node.name in seen:
                problem = "is defined twice" if node.name in seen else "has the name of a variable"
                message = f"the macro `{node.name}` {problem}"
                raise TemplateError("bad-name", message, hint="give it another name", offset=offset)
            seen.add(node.name)
            if not node.name.startswith("_"):  # as in Jinja, such a macro is for the file itself
                yield node.name
        elif not isinstance(node, nodes.Assign | nodes.AssignBlock) and not _is_blank(node):
            message = "a file of macros may contain only `{% macro %}` and `{% set %}`"
            raise TemplateError("template-unsupported", message, offset=offset)


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def _assigned(node: nodes.Node) -> list[str]:
    """Return the names that one statement of a macro file defines."""
    if isinstance(node, nodes.Macro):
        return [node.name]
    return [name.name for name in node.find_all(nodes.Name) if name.ctx == "store"]


# --- errors at the character to change -----------------------------------------------------------------------


_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
_OBJECT = re.compile(r"'(\w+)' object")
_VALUES: tuple[Any, ...] = (None, True, 1, 1.5, "", {}, [], ())
_KINDS = {type(value).__name__: kind_of(value) for value in _VALUES} | {"Day": "a text", "Lazy": "a map"}
_OPERANDS = (
    (r"not supported between instances of '(\w+)' and '(\w+)'", "cannot compare {} and {}", "convert one of them"),
    (r"bad operand type for unary (.): '(\w+)'", "cannot write `{}` before {}", ""),
)
"""Patterns of Python's messages about operands of the wrong kind, our messages, and their hints."""
_CALL = re.compile(r"^[\w.<>]+\(\) (?=got|missing|takes)")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_TAG = re.compile(r"\{[{%#][-+]?\s*")
_UNCLOSED = re.compile(r"\{(?:\{(?!(?:(?!\{[{%#]).)*\}\})|%(?!(?:(?!\{[{%#]).)*%\})|#)", re.DOTALL)
"""Matches a tag that is not closed before the next tag. Comments must be replaced by spaces first."""
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_END_TOKEN = re.compile(r"(?:token )?'end of (?:(print)|statement) (?:statement|block)'")


def _explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    """Return the error for a template that is not valid Jinja, with a hint."""
    message = error.message or "is not Jinja"
    offset = min(error.lineno - 1, len(source))
    if match := _NO_FILTER.search(message):
        return _no_filter(match, offset)
    if tag := _UNCLOSED.search(_COMMENT.sub(lambda match: " " * len(match[0]), source)):
        opening = source[tag.start() : tag.start() + 2]
        hint = f"close it with `{_CLOSING[opening]}`"
        return TemplateError("template-syntax", f"a `{opening}` is not closed", hint=hint, offset=tag.start())
    block = _OPEN_BLOCK.search(message)
    hint = f"end it with `{{% end{block.group(1)} %}}`" if block else ""
    if block and message.startswith("Unexpected end of template"):
        message = f"the `{{% {block.group(1)} %}}` is not closed"
        offset = _open_block(source, block.group(1))
    message = _END_TOKEN.sub(lambda match: "`}}`" if match[1] else "`%}`", message)
    message = _UNKNOWN_TAG.sub(r"unknown tag `\1`", message)
    return TemplateError("template-syntax", _sentence(message), hint=hint, offset=offset)


def _open_block(source: str, name: str) -> int:
    """Return the offset of the innermost unclosed Jinja block with this name."""
    opened: list[int] = []
    for match in re.finditer(rf"\{{%[-+]?\s*(end)?({name})\b", source):
        opened = opened[:-1] if match[1] else [*opened, match.start(2)]
    return opened[-1] if opened else 0


def _explain_failure(error: Exception) -> TemplateError:
    """Return the error for a template that could not be rendered."""
    if isinstance(error, RecursionError):
        return TemplateError("template-limit", "is too deep: a macro calls itself endlessly")
    message = str(error) or type(error).__name__
    for pattern, ours, hint in _OPERANDS:
        if match := re.search(pattern, message):
            kinds = (_KINDS.get(kind, kind) for kind in match.groups())
            return TemplateError("template-value", ours.format(*kinds), hint=hint)
    if match := _NO_FILTER.search(message):
        return _no_filter(match)
    message = _OBJECT.sub(lambda match: _KINDS.get(match[1], match[0]), _CALL.sub("a filter or call ", message))
    return TemplateError("template-error", _sentence(message))


def _no_filter(match: re.Match[str], offset: int = 0) -> TemplateError:
    kind, name = match.groups()
    names = sandbox().filters if kind == "filter" else sandbox().tests
    hint = suggest(name, tuple(sorted(entry for entry in names if entry.isidentifier())))
    return TemplateError("template-syntax", f"there is no {kind} `{name}`", hint=hint, offset=offset)


def _sentence(message: str) -> str:
    """Return the first line of a message from Python or Jinja, in the style of our own messages."""
    first = message.splitlines()[0].rstrip(".")[:200]
    return first[:1].lower() + first[1:]


def _tag_offset(source: str, at: int = 0) -> int:
    """Return the offset at which the content of a Jinja tag starts. The tag is around the offset `at`.

    If there is no such tag, the first tag counts.
    """
    tags = [*_TAG.finditer(source)]
    tag = ([match for match in tags if match.start() <= at] or tags[:1])[-1]
    return tag.end() if tag.end() < len(source) else tag.start()


def _word_offset(source: str, at: int, word: str) -> int | None:
    """Return the offset of a name in a template, or None if the name is not found.

    The tag around the offset `at` is searched first.
    """
    name = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    end = next((tag.start() for tag in JINJA.finditer(source) if tag.start() > at), len(source))
    match = name.search(source, _tag_offset(source, at), end) or name.search(source, _tag_offset(source))
    return match.start() if match else None
