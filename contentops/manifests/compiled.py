"""Compiles templates, with or without a file of macros, and renders them in the sandbox.

A template can also be explored: to find the texts of other items that it reads before these are there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from math import isfinite
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.utils import missing

from contentops.errors import suggest
from contentops.manifests.sandbox import (
    BOUNDED,
    CHARGED,
    LIMITS,
    Allowance,
    Generator,
    MissingError,
    Sandbox,
    TemplateLimits,
    explain_failure,
    explain_syntax,
    sandbox,
    tag_offset,
    word_offset,
)
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
    Unknown,
    as_json,
    kind_of,
    reachable,
    text_of,
    unclear,
)
from contentops.model import Json

if TYPE_CHECKING:
    from contentops.manifests.values import Lookup


_RESULT = "__result__"
_EXPLORED = 4
"""How many times the work of one template may be done to find what it reads."""
_OWNERS = ("each", "item", "inputs")
"""Maps that messages name."""
_MACROS_HINT = "put shared macros into the file that `macros` names in `contentops.yaml`"
_FORBIDDEN: dict[type[nodes.Node], str] = {
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.NSRef: "{% set name.attribute %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
}


class Macros:
    """A project's file of shared macros, which every template can call by name."""

    def __init__(self, source: str, taken: Collection[str] = ()) -> None:
        """`taken` are names that macros cannot have. Raises TemplateError."""
        tree = _parse(source)
        self.names = frozenset(_declared_macros(tree, taken))
        self.compiled = _Code(source, tree, MACROS)
        direct = {name: _names_of(node) for node in tree.body for name in _assigned(node)}
        self._reads = {
            name: frozenset(reachable(name, lambda step: direct.get(step, ())) - direct.keys()) for name in direct
        }

    def reads(self, name: str) -> frozenset[str]:
        """The variables of its caller that a macro may read, directly or not."""
        return self._reads.get(name, frozenset())

    def reads_any(self, variable: str) -> bool:
        """Whether anything of the file reads a variable of its caller."""
        return any(variable in names for names in self._reads.values())


class _Code:
    """A text, its compiled code, and the names that it looks up."""

    def __init__(self, text: str, tree: nodes.Template, filename: str) -> None:
        self.text = text
        self.filename = filename
        box = sandbox()
        outer, box.allowance = box.allowance, Allowance(LIMITS)  # Jinja evaluates constants now
        try:
            generator = Generator(box, filename)
            generator.visit(tree)
            code = compile(generator.code.getvalue(), filename, "exec")
        except TemplateSyntaxError as error:
            raise explain_syntax(error, text) from None
        except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError):
            raise TemplateError("template-limit", "the template is nested too deeply") from None
        except AssertionError:  # Jinja's, which does not look for names there
            message = "a name in the filter of a `{% set %}` block is used nowhere before"
            raise TemplateError("template-unsupported", message, hint="filter the value where it is used") from None
        finally:
            box.allowance = outer
        self.names = _parts_read(generator.names, tree)
        self.template = Template.from_code(box, code, box.globals)

    def offset(self, trace: TracebackType) -> int:
        """The character of the text that a frame of the code was at: of a word, else of the tag around it."""
        at = self.template.get_corresponding_lineno(trace.tb_lineno) - 1
        return at if self.text[at : at + 1].isalnum() else tag_offset(self.text, at)


class Compiled:
    """A compiled template. `names` are the variables it may use (see `templates.TextTemplate`)."""

    __slots__ = ("_code", "_limits", "_macros", "_typed", "names")

    def __init__(
        self,
        source: str,
        macros: Macros | None = None,
        limits: TemplateLimits = LIMITS,
    ) -> None:
        """Raises TemplateError for invalid Jinja, and for Jinja that manifests may not use."""
        tree = _parse(source)
        self._typed = _whole(tree) is not None
        self._code = _Code(source, _typed(tree), TEMPLATE)
        self._macros = macros
        self._limits = limits
        names = self._code.names
        self.names = tuple(
            sorted(names.union(*(macros.reads(name) for name in names & macros.names) if macros else ()))
        )

    def render(self, lookup: Lookup) -> Json:
        """The value, a text unless the template is one whole expression. Raises TemplateError."""
        return self._guarded(lookup, as_json, Allowance(self._limits))

    def explore(self, lookup: Lookup) -> None:
        """Run it for each way in which a test of an unknown value can end, so that all that it reads is read.

        Raises TemplateError where it fails whatever these values are, and SourceError.
        """
        ways: list[dict[Any, bool]] = [{}]
        tried: set[tuple[Any, bool]] = set()
        read: dict[Any, set[str]] = {}
        allowance = Allowance(TemplateLimits(_EXPLORED * self._limits.work, self._limits.seconds))
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
        """What `finish` makes of the value, within the limits. Raises TemplateError."""
        box = sandbox()
        outer, box.allowance = box.allowance, allowance
        outer.pause()
        allowance.resume()
        try:
            return finish(self._run(_Context(box, lookup, self._macros)))
        except TemplateError as error:
            raise self._placed(error, error.__traceback__) from None
        except MissingError as error:
            raise self._undefined(error, lookup) from None
        except (TemplateRuntimeError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise self._placed(explain_failure(error), error.__traceback__) from None
        finally:
            box.allowance.pause()
            box.allowance = outer
            outer.resume()

    def _run(self, context: _Context) -> Any:
        parts: list[str] = []
        size = 0
        for part in self._code.template.root_render_func(context):
            if isinstance(part, Unknown):
                continue
            size += len(part)
            if size > MAX_TEXT:
                raise TemplateError("template-limit", f"gives a text longer than {MAX_TEXT} characters")
            context.environment.allowance.spend(len(part) >> 8)
            parts.append(part)
        if self._typed:
            value = context.vars[_RESULT]
            if type(value) is Undefined:  # `{{ a if b }}` where b is false; a missing variable has another type
                return None
            return context.environment.allowance.charge(value)  # it can hold one long text many times
        return "".join(parts)

    def _undefined(self, error: MissingError, lookup: Lookup) -> TemplateError:
        name = str(error.name)
        if error.obj is missing:
            problem = TemplateError("undefined-variable", f"`{name}` is not defined", name=name)
            passed = self._macros is not None and not self._macros.reads_any(name)
            return self._placed(problem, error.__traceback__, name, passed=passed)
        roots = {name.partition(".")[0] for name in self.names}  # `inputs` may ask for this very template
        owner = next((owner for owner in _OWNERS if owner in roots and lookup(owner) is error.obj), "")
        names = tuple(
            error.obj.names if isinstance(error.obj, Lazy) else error.obj if isinstance(error.obj, dict) else ()
        )
        message = f"`{owner}` has no `{name}`" if owner else f"{kind_of(error.obj)} has no `{name}` here"
        unset = "the item does not set it; write `default(...)` to state another value"
        hint = unset if name in names else suggest(name, names)
        return self._placed(TemplateError("undefined-variable", message, hint=hint), error.__traceback__, name)

    def _placed(
        self, error: TemplateError, trace: TracebackType | None, word: str = "", *, passed: bool = False
    ) -> TemplateError:
        """The error with its offset: of `word` in the innermost tag that has it.

        Only tags of the template count if the error was `passed`: a missing value as an argument of a macro.
        """
        codes = [self._code, *([self._macros.compiled] if self._macros and not passed else [])]
        positions = [(self._code, tag_offset(self._code.text))]  # a missing value may also be in the result
        while trace is not None:
            filename = trace.tb_frame.f_code.co_filename
            positions += [(code, code.offset(trace)) for code in codes if code.filename == filename]
            trace = trace.tb_next
        words = ((code, word_offset(code.text, at, word)) for code, at in reversed(positions) if word)
        code, offset = next((one for one in words if one[1] is not None), positions[-1])
        error.offset, error.in_macros = offset or 0, code is not self._code
        return error.with_traceback(None)


def _refuse_whole(value: Any) -> Json:
    """Raise TemplateError for a text of another item as a whole."""
    return text_of(value) if isinstance(value, Lazy) else None


class _Context(Context):
    """A context that looks up each name when the template first reads it."""

    environment: Sandbox

    def __init__(self, box: Sandbox, lookup: Lookup, macros: Macros | None = None) -> None:
        super().__init__(box, {}, None, {})
        self._lookup = lookup
        self._macros = macros
        self._shared: dict[str, Any] | None = None

    def resolve_or_missing(self, key: str) -> Any:
        value = self._lookup(key)
        if value is not MISSING:
            return value
        if self._macros is not None and key in self._macros.names:
            if self._shared is None:
                shared = _Context(self.environment, self._lookup)
                list(self._macros.compiled.template.root_render_func(shared))
                self._shared = shared.vars
            return self._shared[key]
        return self.environment.globals.get(key, missing)


def _parse(source: str) -> nodes.Template:
    """The syntax tree of a text, with charges added. Raises TemplateError."""
    if len(source) > MAX_TEXT:
        raise TemplateError("template-limit", f"the template has more than {MAX_TEXT} characters")
    try:
        tree = Parser(sandbox(), source).parse()
        for node in tree.find_all(nodes.Node):
            _refuse(node)
        _add_charges(tree)
        tree.set_environment(sandbox())
    except TemplateSyntaxError as error:
        raise explain_syntax(error, source) from None
    except ValueError:  # Python limits the digits of whole numbers
        raise TemplateError("template-limit", "a number has too many digits") from None
    except (RecursionError, SyntaxError, MemoryError, OverflowError):
        raise TemplateError("template-limit", "the template is nested too deeply") from None
    return tree


def _refuse(node: nodes.Node) -> None:
    written = _FORBIDDEN.get(type(node))
    if isinstance(node, nodes.For) and node.recursive:
        written = "{% for … recursive %}"
    if isinstance(node, nodes.Name) and node.name in {"self", _RESULT}:
        written = node.name
    if written:
        message = f"`{written}` is not available in manifests"
        hint = _MACROS_HINT if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport) else ""
        raise TemplateError("template-unsupported", message, hint=hint, offset=node.lineno - 1)
    keys = [each.key for each in node.kwargs] if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) else []
    if len({*keys}) < len(keys):
        message = "an argument is given twice"
        raise TemplateError("template-syntax", message, offset=node.lineno - 1)
    if isinstance(node, nodes.Const) and isinstance(node.value, float) and not isfinite(node.value):
        message = "a number is not finite"
        raise TemplateError("template-value", message, offset=node.lineno - 1)


def _add_charges(tree: nodes.Template) -> None:
    """Add filters that charge for what loops run over, and for what is compared, sliced or a key."""
    for node in list(tree.find_all((nodes.For, nodes.Compare, nodes.Operand, nodes.Pair, nodes.Getitem))):
        if isinstance(node, nodes.For):
            node.iter = _through(BOUNDED, node.iter)
        elif isinstance(node, nodes.Compare | nodes.Operand):
            node.expr = _through(CHARGED, node.expr)
        elif isinstance(node, nodes.Pair):
            node.key = _through(CHARGED, node.key)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            node.node = _through(CHARGED, node.node)


def _through(name: str, value: Any) -> nodes.Filter:
    return nodes.Filter(value, name, [], [], None, None, lineno=value.lineno)


def _typed(tree: nodes.Template) -> nodes.Template:
    """A tree that assigns its value, which keeps its type, if it is one whole expression; else the same tree."""
    whole = _whole(tree)
    if whole is None:
        return tree
    target = nodes.Name(_RESULT, "store", lineno=whole.lineno)
    tree = nodes.Template([nodes.Assign(target, whole, lineno=whole.lineno)], lineno=1)
    tree.set_environment(sandbox())
    return tree


def _whole(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that is the whole template, or None."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        node = tree.body[0].nodes[0]
        return None if isinstance(node, nodes.TemplateData) else node
    return None


def _names_of(node: nodes.Node) -> frozenset[str]:
    """The names that a part of a file of macros looks up outside itself."""
    tree = nodes.Template([node], lineno=1)
    generator = Generator(sandbox(), MACROS)
    generator.visit(tree)
    return _parts_read(generator.names, tree)


def _parts_read(names: Collection[str], tree: nodes.Template) -> frozenset[str]:
    """Names that are looked up; for `each` and `item` with the part that is read, if that is constant."""
    names = frozenset(names) - (sandbox().globals.keys() - FUNCTIONS)
    if names.isdisjoint({"each", "item"}):
        return names
    return frozenset(name for name in _parts(tree) if name.partition(".")[0] in names)


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


def _declared_macros(tree: nodes.Template, taken: Collection[str]) -> Iterator[str]:
    """The names of the macros of a file. Raises TemplateError if it has more than macros and values for them."""
    seen: set[str] = set()
    for node in tree.body:
        offset = node.lineno - 1
        if isinstance(node, nodes.Macro):
            problem = (
                "has the name of a variable" if node.name in taken else "is defined twice" if node.name in seen else ""
            )
            if problem:
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


def _assigned(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Macro):
        yield node.name
    elif isinstance(node, nodes.Assign | nodes.AssignBlock):
        yield from (name.name for name in node.target.find_all(nodes.Name))
        if isinstance(node.target, nodes.Name):
            yield node.target.name
