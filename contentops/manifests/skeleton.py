"""Which texts a template reads, found without these texts.

A template is cut down to what does not depend on texts: loops and conditions over known values stay, of everything
else only its calls of `ref` and `texts`, which name their sources then. What cannot be told so needs `uses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jinja2 import nodes

from contentops.errors import suggest
from contentops.manifests.sandbox import sandbox
from contentops.manifests.values import REF, TEXTS, TemplateError
from contentops.model.references import PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PART: Final = "part"
"""The argument that a skeleton adds to a call: which part of the text is read."""

_UNSURE: Final = ("default", "d")
"""Filters whose value need not be defined."""


def cut(tree: nodes.Template, texts: frozenset[str]) -> nodes.Template:
    """The skeleton of a template; `texts`: the names, with dots, of values that are made from texts.

    Raises TemplateError for a part that texts do not have, and for a call whose arguments depend on texts.
    """
    made = nodes.Template(_Cutter(texts).body(tree.body, sure=True), lineno=1)
    made.set_environment(sandbox())
    return made


class _Cutter:
    def __init__(self, texts: frozenset[str]) -> None:
        self._texts = texts
        self._local: set[str] = set()
        """Names of the template itself whose values depend on texts."""
        self._calls: dict[str, nodes.Call] = {}
        """The names among them that are one text, with the call that reads it."""

    def body(self, body: Iterable[nodes.Node], *, sure: bool) -> list[nodes.Node]:
        """What stays of statements. `sure`: they are carried out whatever the texts are."""
        return [kept for node in body for kept in self._statement(node, sure=sure)]

    def _statement(self, node: nodes.Node, *, sure: bool) -> Iterator[nodes.Node]:
        way = _WAYS.get(type(node))
        if way is not None and (isinstance(node, nodes.Output | nodes.If | nodes.With) or self._depends(node)):
            yield from way(self, node, sure)
        else:
            self._local -= _assigned_names(node)
            yield node

    def output(self, node: nodes.Output, sure: bool) -> Iterator[nodes.Node]:
        for part in node.nodes:
            if self._text_call(part) is not None:
                raise _wrong(
                    "a text as a whole cannot be part of a text", "name one of its parts, such as `.title`", part
                )
            if self._depends(part):
                yield from self._read(part, sure=sure)
            elif sure and not isinstance(part, nodes.TemplateData):
                yield nodes.Output([part], lineno=node.lineno)

    def branch(self, node: nodes.If, sure: bool) -> Iterator[nodes.Node]:
        following: list[nodes.Node] = node.else_
        if node.elif_:
            first, *others = node.elif_
            following = [nodes.If(first.test, first.body, others, node.else_, lineno=first.lineno)]
        if self._depends(node.test):
            yield from self._read(node.test, sure=sure)
            yield from self.body([*node.body, *following], sure=False)
        else:
            kept, rest = self.body(node.body, sure=sure), self.body(following, sure=sure)
            yield nodes.If(node.test, kept or _NOTHING, [], rest, lineno=node.lineno)

    def loop(self, node: nodes.For, sure: bool) -> Iterator[nodes.Node]:
        names, read = _names(node.target), self._text_call(node.iter)
        if self._depends(node.iter):
            self._local |= names | {"loop"}
            if read is not None and len(names) == 1:
                self._calls |= dict.fromkeys(names, read)
            else:
                yield from self._read(node.iter, sure=sure)
            yield from self.body([*node.body, *node.else_], sure=False)
            return
        self._local -= names
        test = node.test
        inner = list(self._read(test, sure=False)) if test is not None and self._depends(test) else []
        test, sure = (None, False) if inner else (test, sure)
        inner += self.body(node.body, sure=sure)
        rest = self.body(node.else_, sure=sure)
        yield nodes.For(node.target, node.iter, inner or _NOTHING, rest, test, False, lineno=node.lineno)

    def assign(self, node: nodes.Assign, sure: bool) -> Iterator[nodes.Node]:
        yield from self._bound(node.target, node.node, sure=sure)

    def bind(self, node: nodes.With, sure: bool) -> Iterator[nodes.Node]:
        pairs = list(zip(node.targets, node.values, strict=True))
        known = [(target, value) for target, value in pairs if not self._depends(value)]
        for target, value in pairs:
            if (target, value) in known:
                self._local -= _names(target)
            else:
                yield from self._bound(target, value, sure=sure)
        inner = self.body(node.body, sure=sure) or _NOTHING
        yield nodes.With([one for one, _ in known], [one for _, one in known], inner, lineno=node.lineno)

    def capture(self, node: nodes.AssignBlock, sure: bool) -> Iterator[nodes.Node]:
        self._local |= _names(node.target)
        yield from self.body(node.body, sure=sure)

    def macro(self, node: nodes.Macro, _sure: bool) -> Iterator[nodes.Node]:
        self._local |= {node.name, *(argument.name for argument in node.args)}
        yield from self.body(node.body, sure=False)

    def call(self, node: nodes.CallBlock | nodes.FilterBlock, _sure: bool) -> Iterator[nodes.Node]:
        yield from self._read(node.call if isinstance(node, nodes.CallBlock) else node.filter, sure=False)
        yield from self.body(node.body, sure=False)

    def expression(self, node: nodes.ExprStmt, sure: bool) -> Iterator[nodes.Node]:
        yield from self._read(node.node, sure=sure)

    def _bound(self, target: nodes.Node, value: nodes.Node, *, sure: bool) -> Iterator[nodes.Node]:
        """What names a value that depends on texts reads, whose target is a name of the template."""
        self._local |= _names(target)
        call = self._text_call(value)
        if call is not None and isinstance(target, nodes.Name):
            self._calls[target.name] = call
        else:
            yield from self._read(value, sure=sure)

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

    def _text_call(self, node: nodes.Node) -> nodes.Call | None:
        """The call that a value is, as written or by its name; None: it is none."""
        while isinstance(node, nodes.Filter) and " " in node.name and node.node is not None:
            node = node.node  # what counts the steps of a template
        if isinstance(node, nodes.Name):
            return self._calls.get(node.name) if node.ctx == "load" else None
        return node if isinstance(node, nodes.Call) and self._reader(node.node) else None

    def _reader(self, node: nodes.Node) -> str:
        """The function that a name is; empty: none that reads texts."""
        is_one = isinstance(node, nodes.Name) and node.ctx == "load" and node.name in {REF, TEXTS} & self._texts
        return node.name if is_one and isinstance(node, nodes.Name) else ""

    def _read(self, node: nodes.Node, *, sure: bool) -> Iterator[nodes.Node]:
        """The calls inside a value that depends on texts, and the names that it needs."""
        if (call := self._text_call(node)) is not None:
            yield self._noted(call, "")
            return
        if self._reader(node):
            raise _wrong("`ref` takes the id of an item", "write `ref('ID')`", node)
        if (made := self._part_read(node)) is not None:
            yield made
            return
        unsure = isinstance(node, nodes.CondExpr | nodes.And | nodes.Or | nodes.Test) or (
            isinstance(node, nodes.Filter) and node.name in _UNSURE
        )
        for child in node.iter_child_nodes():
            if self._depends(child):
                yield from self._read(child, sure=sure and not unsure)
            elif sure and not unsure and isinstance(child, nodes.Name) and child.ctx == "load":
                yield nodes.If(child, _NOTHING, [], [], lineno=child.lineno)  # an undefined value has no truth

    def _part_read(self, node: nodes.Node) -> nodes.Node | None:
        """The call of which an expression is a part; None: it is no part of one text."""
        part = _part(node)
        if part is None or not isinstance(node, nodes.Getattr | nodes.Getitem):
            return None
        call = self._text_call(node.node)
        if call is None or (self._reader(call.node) == TEXTS and not isinstance(node.node, nodes.Name)):
            return None
        return self._noted(call, _known(part, node))

    def _noted(self, call: nodes.Call, part: str) -> nodes.Node:
        values = [*call.args, *(each.value for each in call.kwargs)]
        if any(map(self._depends, values)) or call.dyn_args is not None or call.dyn_kwargs is not None:
            hint = "name the items: `uses: [ID, ...]`"
            raise _wrong(
                "which text `ref` reads depends on another text or on a macro", hint, call, "reference-unclear"
            )
        keywords = [*call.kwargs, nodes.Keyword(PART, nodes.Const(part))]
        made = nodes.Call(call.node, call.args, keywords, None, None, lineno=call.lineno)
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
    nodes.FilterBlock: _Cutter.call,
    nodes.ExprStmt: _Cutter.expression,
}
_NOTHING: Final[Any] = [nodes.Output([nodes.TemplateData("")], lineno=1)]


def _assigned_names(node: nodes.Node) -> set[str]:
    return _names(node.target) if isinstance(node, nodes.Assign | nodes.AssignBlock) else set()


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
