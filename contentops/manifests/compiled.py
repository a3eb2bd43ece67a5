"""Compiles templates, with or without a file of macros, and renders them in the sandbox.

A template can also be cut down to the part that tells which texts of other items it reads.
"""

from __future__ import annotations

from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

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
    explain_failure,
    explain_syntax,
    sandbox,
    tag_offset,
    word_offset,
)
from contentops.manifests.values import (
    FUNCTIONS,
    MAX_TEXT,
    MISSING,
    REF,
    TEXTS,
    Lazy,
    TemplateError,
    as_json,
    kind_of,
    reachable,
)
from contentops.model.desired import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType

    from contentops.manifests.sandbox import TemplateLimits
    from contentops.manifests.values import Lookup
    from contentops.model import Json


_RESULT = "__result__"
_OWNERS = ("each", "item", "inputs")
"""Maps that messages name."""
_MACROS_HINT = "put shared macros into the file that `macros` names in `contentops.yaml`"
_TEMPLATE, _MACROS = "<template>", "<macros>"
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
        self.compiled = _Code(source, lambda whole: whole, _MACROS, tree)
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

    def __init__(
        self, text: str, change: Callable[[nodes.Template], nodes.Template], filename: str, tree: nodes.Template
    ) -> None:
        self.text = text
        self.filename = filename
        box = sandbox()
        outer, box.allowance = box.allowance, Allowance(LIMITS)  # Jinja evaluates constants now
        try:
            tree = change(tree)
            generator = Generator(box, filename)
            generator.visit(tree)
            code = compile(generator.code.getvalue(), filename, "exec")
        except TemplateSyntaxError as error:
            raise explain_syntax(error, text) from None
        except (RecursionError, SyntaxError, MemoryError, ValueError, OverflowError):
            raise TemplateError("template-limit", "the template is nested too deeply") from None
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
        change: Callable[[nodes.Template], nodes.Template] | None = None,
    ) -> None:
        """`change` the tree before it is compiled; a changed template gives a text.

        Raises TemplateError for invalid Jinja, and for Jinja that manifests may not use.
        """
        tree = _parse(source)
        self._typed = change is None and _whole(tree) is not None
        self._code = _Code(source, change or _typed, _TEMPLATE, tree)
        self._macros = macros
        self._limits = limits
        names = self._code.names
        self.names = tuple(
            sorted(names.union(*(macros.reads(name) for name in names & macros.names) if macros else ()))
        )

    def render(self, lookup: Lookup) -> Json:
        """The value, a text unless the template is one whole expression. Raises TemplateError."""
        box = sandbox()
        outer, box.allowance = box.allowance, Allowance(self._limits)
        outer.pause()
        try:
            return as_json(self._run(_Context(box, lookup, self._macros)))
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
    generator = Generator(sandbox(), _MACROS)
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


# --- which texts a template reads --------------------------------------------------------------------------


_ARGUMENTS: Final = {REF: ("name", "approved"), TEXTS: ("selector",)}
_UNSURE: Final = ("default", "d")
"""Filters whose value need not be defined."""


def cut(tree: nodes.Template, texts: frozenset[str]) -> nodes.Template:
    """Return the skeleton of a template; `texts`: the names, with dots, of values that are made from texts.

    Raises TemplateError for a part that texts do not have, and for a call whose arguments depend on texts.
    """
    for call in tree.find_all(nodes.Call):
        reader = call.node.name if isinstance(call.node, nodes.Name) and call.node.name in texts else ""
        for each in call.kwargs if reader in _ARGUMENTS else ():
            if each.key not in _ARGUMENTS[reader]:
                message = f"`{reader}` has no argument `{each.key[:60]}`"
                raise _wrong(message, suggest(each.key, _ARGUMENTS[reader]), call)
    made = nodes.Template(_Cutter(tree, texts).body(tree.body, sure=True), lineno=1)
    made.set_environment(sandbox())
    return made


class _Cutter:
    def __init__(self, tree: nodes.Template, texts: frozenset[str]) -> None:
        self._texts = texts
        self._local: Mapping[str, tuple[nodes.Call, ...]] = {}
        """The names of the template whose values depend on texts here, with the calls whose text such a value is."""
        self._bound = [(one.name, one.lineno) for one in tree.find_all(nodes.Name) if one.ctx != "load"]
        """The names that the template gives values, with the character of each."""
        self._used: set[str] = set()
        """The names in calls that names stand for."""
        self._free = {name for macro in tree.find_all(nodes.Macro) for name in _free_names(macro)}
        """The names that macros use, with the values that these have when a macro is called."""

    def body(self, body: Iterable[nodes.Node], *, sure: bool) -> list[nodes.Node]:
        """What stays of statements. `sure`: they are carried out whatever the texts are."""
        return [kept for node in body for kept in self._statement(node, sure=sure)]

    def _statement(self, node: nodes.Node, *, sure: bool) -> Iterator[nodes.Node]:
        yield from self._read_before(node)
        way = _WAYS.get(type(node))
        if way is not None and (isinstance(node, nodes.Output | nodes.If | nodes.With) or self._depends(node)):
            yield from way(self, node, sure)
        else:
            self._local = _without(self._local, _assigned_names(node))
            yield node

    def _read_before(self, node: nodes.Node) -> Iterator[nodes.Node]:
        """Read the texts that names stand for, if a statement replaces a value that such a call uses."""
        bound = {name.name for name in node.find_all(nodes.Name) if name.ctx != "load"} if self._used else set()
        if bound.isdisjoint(self._used):
            return
        for name, calls in self._local.items():
            if any(each.name in bound for call in calls for each in call.find_all(nodes.Name)):
                yield from (self._noted(call, "") for call in calls)
                self._local = {**self._local, name: ()}

    def _scoped(self, body: Iterable[nodes.Node], made: Iterable[str] = (), *, sure: bool) -> list[nodes.Node]:
        """Return what stays of statements that have names of their own; the names `made` depend on texts."""
        outer, self._local = self._local, {**self._local, **dict.fromkeys(made, ())}
        kept = self.body(body, sure=sure)
        self._local = outer
        return [nodes.Scope(kept)] if kept else []

    def output(self, node: nodes.Output, sure: bool) -> Iterator[nodes.Node]:
        for part in node.nodes:
            if self._text_calls(part):
                raise _wrong(
                    "a text as a whole cannot be part of a text", "name one of its parts, such as `.title`", part
                )
            if self._depends(part):
                yield from self._read(part, sure=sure)
            elif sure and not isinstance(part, nodes.TemplateData):
                yield nodes.Output([part], lineno=node.lineno)

    def branch(self, node: nodes.If, sure: bool) -> Iterator[nodes.Node]:
        """Keep the branches up to the first test that depends on texts; each of the others may be taken."""
        before, ends = self._local, []
        is_known = True
        kept: list[nodes.Node] = []
        into = kept

        def taken(body: list[nodes.Node]) -> list[nodes.Node]:
            made = self.body(body, sure=sure and is_known)
            end = self._local
            if not is_known:
                assigned = nodes.Scope(body).find_all((nodes.Assign, nodes.AssignBlock, nodes.Macro))
                end = {**end, **{name: end.get(name, ()) for name in _all_names(assigned)}}
                made = [nodes.Scope(made)]
            ends.append(end)
            self._local = before
            return made

        for known, group in groupby((node, *node.elif_), lambda each: not self._depends(each.test)):
            if known:
                first, *others = [
                    nodes.If(one.test, taken(one.body) or _NOTHING, [], [], lineno=one.lineno) for one in group
                ]
                first.elif_ = others
                into.append(first)
                into = first.else_
                continue
            for one in group:
                into += self._read(one.test, sure=sure and is_known)
                is_known = False
                into += taken(one.body)
        into += taken(node.else_)
        self._local = _joined(ends)
        yield from kept

    def loop(self, node: nodes.For, sure: bool) -> Iterator[nodes.Node]:
        outer, names, test = self._local, _names(node.target), node.test
        is_known, calls = not self._depends(node.iter), self._kept(node.target, node.iter)
        if not is_known and not calls:
            yield from self._read(node.iter, sure=sure)
        self._local = _without(outer, names | {"loop"})
        if not is_known:
            self._local = {**self._local, **dict.fromkeys(names, calls)}
        inner: list[nodes.Node] = []
        is_sure = is_known
        if test is not None and self._depends(test):
            inner, test, is_sure = [*self._read(test, sure=False)], None, False
        if not is_sure:
            self._local = {**self._local, "loop": ()}
        inner += self.body(node.body, sure=sure and is_sure)
        self._local = outer
        rest = self._scoped(node.else_, sure=sure and is_sure)
        if is_known:
            following = rest if is_sure else []
            yield nodes.For(node.target, node.iter, inner or _NOTHING, following, test, False, lineno=node.lineno)
        else:
            yield nodes.Scope(inner)
        if not is_sure:
            yield from rest

    def assign(self, node: nodes.Assign, sure: bool) -> Iterator[nodes.Node]:
        calls = self._kept(node.target, node.node)
        if not calls:
            yield from self._read(node.node, sure=sure)
        self._local = {**self._local, **dict.fromkeys(_names(node.target), calls)}

    def bind(self, node: nodes.With, sure: bool) -> Iterator[nodes.Node]:
        outer, inner = self._local, self._local
        known: list[tuple[nodes.Expr, nodes.Expr]] = []
        for target, value in zip(node.targets, node.values, strict=True):
            inner = _without(inner, _names(target))
            if not self._depends(value):
                known.append((target, value))
                continue
            calls = self._kept(target, value)
            if not calls:
                yield from self._read(value, sure=sure)
            inner = {**inner, **dict.fromkeys(_names(target), calls)}
        self._local = inner
        body = self.body(node.body, sure=sure) or _NOTHING
        self._local = outer
        yield nodes.With([one for one, _ in known], [one for _, one in known], body, lineno=node.lineno)

    def capture(self, node: nodes.AssignBlock, sure: bool) -> Iterator[nodes.Node]:
        if node.filter is not None:
            yield from self._read(node.filter, sure=sure)
        yield from self._scoped(node.body, sure=sure)
        self._local = {**self._local, **dict.fromkeys(_names(node.target), ())}

    def macro(self, node: nodes.Macro, _sure: bool) -> Iterator[nodes.Node]:
        """Read what a macro may read; it sees the values that names have when it is called."""
        yield from self._defaults(node)
        outer = self._local
        self._local = {**{name: () for name, at in self._bound if at > node.lineno}, **outer}
        yield from self._scoped(node.body, {*_arguments(node), "caller", "varargs", "kwargs"}, sure=False)
        self._local = {**outer, node.name: ()}

    def call(self, node: nodes.CallBlock, _sure: bool) -> Iterator[nodes.Node]:
        yield from self._read(node.call, sure=False)
        yield from self._defaults(node)
        yield from self._scoped(node.body, _arguments(node), sure=False)

    def filtered(self, node: nodes.FilterBlock, _sure: bool) -> Iterator[nodes.Node]:
        yield from self._read(node.filter, sure=False)
        yield from self._scoped(node.body, sure=False)

    def expression(self, node: nodes.ExprStmt, sure: bool) -> Iterator[nodes.Node]:
        yield from self._read(node.node, sure=sure)

    def _defaults(self, node: nodes.Macro | nodes.CallBlock) -> Iterator[nodes.Node]:
        for value in filter(self._depends, node.defaults):
            yield from self._read(value, sure=False)

    def _kept(self, target: nodes.Node, value: nodes.Node) -> tuple[nodes.Call, ...]:
        """Return the calls that a name stands for from now on; they are read where the name is used."""
        calls = self._text_calls(value) if isinstance(target, nodes.Name) else ()
        used = {one.name for call in calls for one in call.find_all(nodes.Name)}
        if not _names(target).isdisjoint(used | self._free):
            return ()
        self._used |= used
        return calls

    # --- expressions -----------------------------------------------------------------------------------------

    def _depends(self, node: nodes.Node) -> bool:
        """Whether a value depends on texts."""
        if isinstance(node, nodes.Name):
            return node.ctx == "load" and self._is_text(node.name)
        if path := _path(node):
            return self._is_text(path)
        return any(map(self._depends, node.iter_child_nodes()))

    def _is_text(self, path: str) -> bool:
        if path.partition(".")[0] in self._local:
            return True
        return any(name == path or name.startswith(f"{path}.") or path.startswith(f"{name}.") for name in self._texts)

    def _text_calls(self, node: nodes.Node) -> tuple[nodes.Call, ...]:
        """The calls that a value may be, as written or by its name; empty: it is none."""
        while isinstance(node, nodes.Filter) and " " in node.name and node.node is not None:
            node = node.node  # what counts the steps of a template
        if isinstance(node, nodes.Name):
            return self._local.get(node.name, ()) if node.ctx == "load" else ()
        return (node,) if isinstance(node, nodes.Call) and self._reader(node.node) else ()

    def _reader(self, node: nodes.Node) -> str:
        """The function that a name is; empty: none that reads texts."""
        is_one = isinstance(node, nodes.Name) and node.ctx == "load" and node.name in {REF, TEXTS} & self._texts
        return node.name if is_one and isinstance(node, nodes.Name) else ""

    def _read(self, node: nodes.Node, *, sure: bool) -> Iterator[nodes.Node]:
        """The calls inside a value that depends on texts, and the names that it needs."""
        if calls := self._text_calls(node):
            yield from (self._noted(call, "") for call in calls)
            return
        if self._reader(node):
            raise _wrong("`ref` takes the id of an item", "write `ref('ID')`", node)
        if made := self._part_read(node):
            yield from made
            return
        unsure = isinstance(node, nodes.CondExpr | nodes.And | nodes.Or | nodes.Test) or (
            isinstance(node, nodes.Filter) and node.name in _UNSURE
        )
        for child in node.iter_child_nodes():
            if self._depends(child):
                yield from self._read(child, sure=sure and not unsure)
            elif sure and not unsure and isinstance(child, nodes.Name) and child.ctx == "load":
                yield nodes.If(child, _NOTHING, [], [], lineno=child.lineno)  # an undefined value has no truth

    def _part_read(self, node: nodes.Node) -> list[nodes.Node]:
        """The calls of which an expression is a part; empty: it is no part of one text."""
        part = _part(node)
        if part is None or not isinstance(node, nodes.Getattr | nodes.Getitem):
            return []
        calls = self._text_calls(node.node)
        if not isinstance(node.node, nodes.Name) and any(self._reader(call.node) == TEXTS for call in calls):
            return []
        return [self._noted(call, _known(part, node)) for call in calls]

    def _noted(self, call: nodes.Call, part: str) -> nodes.Node:
        values = [*call.args, *(each.value for each in call.kwargs)]
        if any(map(self._depends, values)) or call.dyn_args is not None or call.dyn_kwargs is not None:
            hint = "name the items: `uses: [ID, ...]`"
            raise _wrong(
                "which text `ref` reads depends on another text or on a macro", hint, call, "reference-unclear"
            )
        made = nodes.Call(call.node, [nodes.Const(part), *call.args], call.kwargs, None, None, lineno=call.lineno)
        return nodes.Output([made], lineno=call.lineno)


_WAYS: Final[dict[type[nodes.Node], Callable[[_Cutter, Any, bool], Iterator[nodes.Node]]]] = {
    nodes.Output: _Cutter.output,
    nodes.If: _Cutter.branch,
    nodes.For: _Cutter.loop,
    nodes.Assign: _Cutter.assign,
    nodes.With: _Cutter.bind,
    nodes.AssignBlock: _Cutter.capture,
    nodes.Macro: _Cutter.macro,
    nodes.CallBlock: _Cutter.call,
    nodes.FilterBlock: _Cutter.filtered,
    nodes.ExprStmt: _Cutter.expression,
}
_NOTHING: Final[Any] = [nodes.Output([nodes.TemplateData("")], lineno=1)]


def _assigned_names(node: nodes.Node) -> set[str]:
    if isinstance(node, nodes.Macro):
        return {node.name}
    return _names(node.target) if isinstance(node, nodes.Assign | nodes.AssignBlock) else set()


def _all_names(assigned: Iterable[nodes.Node]) -> set[str]:
    return {name for node in assigned for name in _assigned_names(node)}


def _arguments(node: nodes.Macro | nodes.CallBlock) -> set[str]:
    return {argument.name for argument in node.args}


def _free_names(macro: nodes.Macro) -> set[str]:
    """The names of the template that a macro uses."""
    names = [*macro.find_all(nodes.Name)]
    return {one.name for one in names if one.ctx == "load"} - {one.name for one in names if one.ctx != "load"}


def _without(local: Mapping[str, tuple[nodes.Call, ...]], names: set[str]) -> Mapping[str, tuple[nodes.Call, ...]]:
    return {name: calls for name, calls in local.items() if name not in names}


def _joined(ends: Iterable[Mapping[str, tuple[nodes.Call, ...]]]) -> Mapping[str, tuple[nodes.Call, ...]]:
    """What names may be after branches of which one is taken."""
    joined: dict[str, dict[nodes.Call, None]] = {}
    for end in ends:
        for name, calls in end.items():
            joined.setdefault(name, {}).update(dict.fromkeys(calls))
    return {name: tuple(calls) for name, calls in joined.items()}


def _names(target: nodes.Node) -> set[str]:
    names = {name.name for name in target.find_all(nodes.Name)}
    return names | ({target.name} if isinstance(target, nodes.Name) else set())


def _part(node: nodes.Node) -> str | None:
    """The part that an expression reads of another one, if that is constant."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    return None


def _path(node: nodes.Node) -> str:
    """The name with dots that an expression is; empty: it is more than that."""
    if isinstance(node, nodes.Name):
        return node.name
    part = _part(node)
    owner = _path(node.node) if part is not None and isinstance(node, nodes.Getattr | nodes.Getitem) else ""
    return f"{owner}.{part}" if owner else ""


def _known(part: str, node: nodes.Node) -> str:
    if part not in PARTS:
        raise _wrong(f"a text has no part `{part[:60]}`", suggest(part, PARTS), node, "unknown-part")
    return part


def _wrong(message: str, hint: str, node: nodes.Node, code: str = "template-value") -> TemplateError:
    return TemplateError(code, message, hint=hint, offset=node.lineno - 1)
