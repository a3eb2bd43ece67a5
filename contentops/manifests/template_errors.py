"""Explains errors of Jinja, each at the character to change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from contentops.errors import suggest
from contentops.manifests.sandbox import Generator, sandbox
from contentops.manifests.values import TemplateError, kind_of
from contentops.yaml.syntax import JINJA

if TYPE_CHECKING:
    from types import TracebackType

    from jinja2 import TemplateSyntaxError

_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
_UNLIKE = re.compile(r"not supported between instances of '(\w+)' and '(\w+)'")
_OBJECT = re.compile(r"'(\w+)' object")
_VALUES: tuple[Any, ...] = (None, True, 1, 1.5, "", {}, [], ())
_KINDS = {type(value).__name__: kind_of(value) for value in _VALUES}
_CALL = re.compile(r"^[\w.<>]+\(\) (?=got|missing|takes)")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSING_TOKENS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


def explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    """The error of a text that is not valid Jinja, with a hint."""
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


def tag_offset(source: str) -> int:
    """The offset of the content of the first tag of a text."""
    match = re.compile(r"\{[{%#][-+]?\s*").search(source)
    return 0 if match is None else match.end() if match.end() < len(source) else match.start()


def word_offset(source: str, at: int, word: str) -> int | None:
    """The offset of a name in the tag around a character, else in the text from its first tag on; None without it."""
    name = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    tags = [match.start() for match in JINJA.finditer(source)] or [0]
    start = max((tag for tag in tags if tag <= at), default=tags[0])
    end = min((tag for tag in tags if tag > at), default=len(source))
    match = name.search(source, start, end) or name.search(source, tags[0])
    return match.start() if match else None


class Spans(Generator):
    """Compiled code of a template, with the part of it that each expression became."""

    def __init__(self, tree: nodes.Template, filename: str) -> None:
        super().__init__(sandbox(), filename)
        self._expressions: list[tuple[int, int, nodes.Expr]] = []
        self.visit(tree)
        self._lines = self.code.getvalue().split("\n")

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Note where an expression begins and ends."""
        start = self.code.tell()
        code = super().visit(node, *args, **kwargs)
        if isinstance(node, nodes.Expr):
            self._expressions.append((start, self.code.tell(), node))
        return code

    def offset(self, trace: TracebackType) -> int | None:
        """The character of the template that a frame of its code was at, or None where Python does not know it."""
        first, last, start, end = list(trace.tb_frame.f_code.co_positions())[trace.tb_lasti // 2]
        if first is None or last is None or start is None or end is None:
            return None
        begin, finish = self._index(first, start), self._index(last, end)
        around = [one for one in self._expressions if one[0] <= begin and finish <= one[1]]
        inside = [one for one in self._expressions if begin <= one[0] and one[1] <= finish]
        if around:
            return _start(min(around, key=lambda one: one[1] - one[0])[2])
        return _start(max(inside, key=lambda one: one[1] - one[0])[2]) if inside else None

    def _index(self, line: int, column: int) -> int:
        """The index of a position that Python counts in lines and bytes."""
        before = sum(len(text) + 1 for text in self._lines[: line - 1])
        return before + len(self._lines[line - 1].encode()[:column].decode(errors="ignore"))


_NAMED = (nodes.Filter, nodes.Test, nodes.Getattr, nodes.Getitem)
_LED = (*_NAMED, nodes.Call, nodes.BinExpr, nodes.Compare, nodes.Concat)
"""Expressions that begin with another one; Jinja's positions of them differ."""


def _start(node: nodes.Node) -> int:
    """The offset of an expression: of the name of a filter, test, part or method, else of its beginning."""
    if isinstance(node, nodes.Call):
        node = node.node
    if not isinstance(node, _NAMED):
        while isinstance(node, _LED):
            node = next(node.iter_child_nodes())
    return node.lineno - (0 if isinstance(node, nodes.Getattr) else 1)
