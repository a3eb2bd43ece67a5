"""Jinja's complaints as ours, each at the character a person has to change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from contentops.errors import suggest
from contentops.manifests.sandbox import sandbox
from contentops.manifests.values import TemplateError

if TYPE_CHECKING:
    from jinja2 import TemplateSyntaxError

_NO_FILTER = re.compile(r"No (filter|test) named '([^']*)'")
_UNKNOWN_TAG = re.compile(r"unknown tag '(\w+)'")
_CALL = re.compile(r"^[\w.<>]+\(\) (?=got|missing|takes)")
_OPEN_BLOCK = re.compile(r"block that needs to be closed is '(\w+)'")
_TAG = re.compile(r"\{[{%#]")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_CLOSING_TOKENS = {"'end of print statement'": "`}}`", "'end of statement block'": "`%}`"}


def explain_syntax(error: TemplateSyntaxError, source: str) -> TemplateError:
    """Why a text is no Jinja, and what to write instead."""
    message = error.message or "is not Jinja"
    offset = tag_offset(source, error.lineno)
    if found := _NO_FILTER.search(message):
        unknown, at = _unknown(*found.groups()), word_offset(source, error.lineno, found.group(2))
        unknown.offset = offset if at is None else at
        return unknown
    if tag := _unclosed(source):
        hint = f"close it with `{_CLOSING[tag.group()]}`"
        return TemplateError("template-syntax", f"a `{tag.group()}` is not closed", hint=hint, offset=tag.start())
    block = _OPEN_BLOCK.search(message)
    hint = f"end it with `{{% end{block.group(1)} %}}`" if block else ""
    if block and message.startswith("Unexpected end of template"):
        message = f"the `{{% {block.group(1)} %}}` has no end"
    for token, closing in _CLOSING_TOKENS.items():
        message = message.replace(f"token {token}", closing).replace(token, closing)
    message = _UNKNOWN_TAG.sub(r"unknown tag `\1`", message)
    return TemplateError("template-syntax", _sentence(message), hint=hint, offset=offset)


def _unclosed(source: str) -> re.Match[str] | None:
    """The first tag whose end does not come before the next tag begins."""
    tags = list(_TAG.finditer(_COMMENT.sub(lambda found: " " * len(found[0]), source)))
    ends = (*(tag.start() for tag in tags[1:]), len(source))
    for tag, end in zip(tags, ends, strict=False):
        if source.find(_CLOSING[tag.group()], tag.end(), end) < 0:
            return tag
    return None


def explain_failure(error: Exception) -> TemplateError:
    """What went wrong while a template was rendered."""
    if isinstance(error, RecursionError):
        return TemplateError("template-limit", "goes too deep: a macro calls itself without end")
    message = _CALL.sub("a filter or call ", str(error) or type(error).__name__)
    found = _NO_FILTER.search(message)
    return _unknown(*found.groups()) if found else TemplateError("template-error", _sentence(message))


def _unknown(kind: str, name: str) -> TemplateError:
    known = sandbox().filters if kind == "filter" else sandbox().tests
    hint = suggest(name, tuple(sorted(entry for entry in known if entry.isidentifier())))
    return TemplateError("template-syntax", f"there is no {kind} `{name}`", hint=hint)


def _sentence(message: str) -> str:
    """Python's or Jinja's words as one short clause in our style."""
    first = message.splitlines()[0].rstrip(".")[:200]
    return first[:1].lower() + first[1:]


def _span(source: str, line: int) -> tuple[int, int]:
    """Where a 1-based line of a text starts and ends."""
    lines = source.split("\n")
    if line > len(lines):
        return 0, len(source)
    start = sum(len(text) + 1 for text in lines[: line - 1])
    return start, start + len(lines[line - 1])


def tag_offset(source: str, line: int) -> int:
    """The offset of what stands inside the first tag of a line."""
    start, end = _span(source, line)
    found = re.compile(r"\{[{%#][-+]?\s*").search(source, start, end)
    return found.end() if found and found.end() < end else found.start() if found else start


def word_offset(source: str, line: int, word: str) -> int | None:
    """The offset of a name inside the tags of a line, or None."""
    start, end = _span(source, line)
    tag = source.find("{", start, end)
    found = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)").search(source, max(tag, start), end)
    return found.start() if found else None
