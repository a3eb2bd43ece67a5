"""Reads unquoted YAML scalars, finds conflict markers and doubtful syntax, and explains errors of the parser.

The parser reports where it stopped. The usual causes (Jinja without quotes, a colon in a text, a tab, a text that
starts with `@`) are recognised by the text of the line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from contentops.conflict_markers import LINE, MARKERS, MIDDLE, SPLIT
from contentops.errors import Diagnostic
from contentops.yaml.positions import QUOTED, Mark, Source, events_of, finding_at

MAX_DIGITS: Final = 300
"""The longest number; Python refuses to print far longer ones."""

UNWANTED: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
"""A pattern for characters that are refused, also as escapes: controls, lone surrogates, non-characters."""


def unwanted(text: str) -> tuple[str, str] | None:
    """Return the message and hint for the first forbidden character of a text, or None."""
    match = None if text.isascii() and text.isprintable() else re.search(UNWANTED, text)
    if match is None:
        return None
    return f"the text contains the control character U+{ord(match.group()):04X}", "remove the escape sequence"


_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_START: Final = frozenset("+-.0123456789")
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_JSON: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted scalar: None, a bool, an int, a float or the text itself.

    Raises ValueError with a message for numbers that JSON cannot represent.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START:
        return text
    message = ""
    if _INT.fullmatch(text):
        if len(text) <= MAX_DIGITS:
            return int(text, 0 if text[1:2] in {"o", "x"} else 10)
        message = f"the number has {len(text)} digits, more than {MAX_DIGITS}"
    elif _FLOAT.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
        message = f"the number `{text[:40]}` is too large"
    elif _NOT_JSON.fullmatch(text):
        message = f"`{text}` is a number that JSON cannot represent"
    if message:
        raise ValueError(message)
    return text


_GROUPED: Final = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)+(?:\.[0-9]+)?")


def number_hint(text: str) -> str:
    """Return a hint about a number with grouped digits, such as `1_000`, or an empty text for other texts."""
    return f"write `{text.replace('_', '')}`: with `_` it is text, not a number" if _GROUPED.fullmatch(text) else ""


_DOUBTFUL: Final = re.compile(r"[\[{,]\s*\?[^\s]|&[A-Za-z0-9_-]+[^\sA-Za-z0-9_,\[\]{}-]")


def doubtful(source: Source) -> Diagnostic | None:
    """Return a finding for the first syntax that YAML parsers read in different ways, or None.

    It is a `?` in braces or brackets without a space after it, or an anchor whose name has other characters than
    letters, digits, `_` and `-`.
    """
    text = source.text
    for event in events_of(source) if ("?" in text or "&" in text) and _DOUBTFUL.search(text) else ():
        start, anchor = event.start_mark.index, getattr(event, "anchor", None)
        end = text.find(f"&{anchor}", start) + len(anchor) + 1 if anchor and text[start] != "*" else 0
        is_key = start > 0 and text[start - 1] == "?"
        if is_key or text[end : end + 1 if end else 0].strip(" \t\r\n,[]{}"):
            at, hint = start - is_key, "put it in quotes; the name of an anchor has letters, digits, `_` and `-`"
            return finding_at(source, CODE, f"a text cannot start with `{text[at]}`", source.mark(at), hint=hint)
    return None


def conflict(source: Source, kind: re.Pattern[str]) -> Diagnostic | None:
    """Return a finding for the first conflict marker that matches the pattern `kind`, or None."""
    if kind is not MIDDLE and not any(marker in source.text for marker in MARKERS if marker != SPLIT):
        return None
    match = kind.search(source.text)
    return None if match is None else _conflict_marker(source, source.mark(match.start())[0])


def conflict_at(source: Source, line: int) -> Diagnostic | None:
    """Return a finding if the line with this number (from 1) is a conflict marker, or None if it is not."""
    text = source.line(line)
    return _conflict_marker(source, line) if text[:1] in "<|=>" and LINE.fullmatch(text) else None


def _conflict_marker(source: Source, line: int) -> Diagnostic:
    message = "this line is a git conflict marker: a merge is unfinished"
    hint = "resolve the merge, then run the command again"
    return finding_at(source, "conflict-markers", message, (line, 1), width=len(source.line(line)), hint=hint)


CODE: Final = "yaml-syntax"

_SHOWN: Final = 60
_SEARCHED: Final = 2_000
"""How many characters of a line are searched for the cause of an error."""
_VALUE: Final = re.compile(r"""^\s*(?:-\s+)*(?:(?P<key>[^\s'"{\[#][^:#]*|"[^"]*"|'[^']*')\s*:\s+)?(?P<value>\S.*)$""")
JINJA: Final = re.compile(r"\{[{%#]")
"""What Jinja begins with."""

_HALVES: Final = r"\\u([dD][89abAB][0-9a-fA-F]{2})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|\\u([dD][c-fC-F][0-9a-fA-F]{2})"
_HALF: Final = "an escape sequence is only half of a character"

_Answer = tuple[str, Mark, str]
"""Message, position, hint."""


def explain(source: Source, error: Any, previous: Any) -> tuple[Diagnostic, bool]:
    """Turn a PyYAML error into a finding. Return it, and whether unquoted Jinja is the cause.

    The finding points to the text to change. `previous` is the event before the error, if there is one.
    """
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable text")
    at = _mark(source, getattr(error, "problem_mark", None)) or (1, 1)
    begun = _mark(source, getattr(error, "context_mark", None)) or at
    still_open = _still_open(source, previous, at, begun)
    jinja = None if still_open else _jinja(source, at, begun)
    message, at, hint = still_open or jinja or _known(source, problem, at, begun)
    return finding_at(source, CODE, message, at, hint=hint), jinja is not None


def _mark(source: Source, mark: Any) -> Mark | None:
    """Return the line and column of a parser's mark. A mark beyond the end moves to the last line with content."""
    if mark is None:
        return None
    line, column = mark.line + 1, mark.column + 1
    last = source.line_count
    while last > 1 and not source.line(last).strip():
        last -= 1
    if line > last:
        return last, len(source.line(last).rstrip()) + 1
    return line, min(column, len(source.line(line)) + 1)


def _still_open(source: Source, previous: Any, at: Mark, begun: Mark) -> _Answer | None:
    """Return the error for a quoted text that lacks its closing quote and ends at a quote in a later line."""
    style = getattr(previous, "style", None)
    if style not in {"'", '"'} or previous.start_mark.line == previous.end_mark.line:
        return None
    opened = (previous.start_mark.line + 1, previous.start_mark.column + 1)
    closed = (previous.end_mark.line + 1, previous.end_mark.column + 1)
    line = source.line(closed[0])
    if not any(mark[0] == closed[0] and not line[closed[1] - 1 : mark[1] - 1].strip() for mark in (at, begun)):
        return None
    inside = "`''`" if style == "'" else '`\\"`'
    message = f"the quoted text that starts here is not closed before line {closed[0]}, column {closed[1] - 1}"
    return message, opened, f"{_QUOTE}; write a quote inside the text as {inside}"


def _jinja(source: Source, at: Mark, begun: Mark) -> _Answer | None:
    """Return the error for unquoted Jinja, in the line of the problem or in the line where the problem starts."""
    for number, column in (at, begun):
        line = source.line(number)[:_SEARCHED]
        match = JINJA.search(QUOTED.sub(lambda text: " " * len(text.group()), line))
        entry = _VALUE.match(line)
        if not match or not entry or entry["value"][0] in "\"'#|>" or match.start() > max(column, at[1]):
            continue
        text = _started(entry["value"])
        message = "unquoted Jinja cannot be read as YAML"
        return message, (number, entry.start("value") + 1), f"quote Jinja: {_in_quotes(text)}"
    return None


def _started(text: str) -> str:
    """Return the beginning of a text without a comment at its end, short enough for a message."""
    return _cut(re.sub(r"\s+#.*$", "", text[:_SEARCHED]).rstrip())


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _in_quotes(text: str) -> str:
    """Return the text in YAML quotes. They are single if it has double quotes or backslashes, otherwise double."""
    doubled = text.replace("'", "''")
    return f"`'{doubled}'`" if {'"', "\\"} & set(text) else f'`"{text}"`'


def _known(source: Source, problem: str, at: Mark, begun: Mark) -> _Answer:
    """Return an explanation of a parser problem if it is known, otherwise the problem itself."""
    for pattern, mark, message, hint in _SAYINGS:
        if re.search(pattern, problem):
            return message.format(line=begun[0], column=begun[1]), begun if mark == "begun" else at, hint
    for pattern, answer in _ANSWERS:
        if re.search(pattern, problem):
            return answer(source, at, begun)
    return f"not valid YAML: {problem.partition(', but')[0][:_SHOWN]}", at, ""


def _bad_start(source: Source, at: Mark, _begun: Mark) -> _Answer:
    line = source.line(at[0])
    rest = line[at[1] - 1 :]
    if rest[:1] in {"", "\t"} or (not line[: at[1] - 1].strip(" ") and "\t" in line[: len(line) - len(line.lstrip())]):
        return _tab(source, at, at)
    first = "a backtick" if rest[:1] == "`" else f"`{rest[:1]}`"
    return f"a text cannot start with {first}", at, f"put it in quotes: {_in_quotes(_started(rest))}"


def _tab(source: Source, at: Mark, _begun: Mark = (0, 0)) -> _Answer:
    line = source.line(at[0])
    column = line.find("\t", at[1] - 1) + 1 or line.find("\t") + 1 or at[1]
    hint = "write a space instead" if line[: column - 1].strip() else "indent with spaces, two per level"
    return "a tab is used where YAML requires spaces", (at[0], column), hint


def _second_colon(source: Source, at: Mark, _begun: Mark) -> _Answer:
    line = source.line(at[0])
    entry = _VALUE.match(line)
    if entry and entry["key"] and entry.start("value") < at[1] - 1:
        text = _started(entry["value"])
        return "a second `: ` in one line", at, f"put the text in quotes: {_in_quotes(text)}"
    above = re.match(r"(\s*(?:- +)*)[\w-]+:[^\s:/]", source.line(at[0] - 1))
    if above:
        return "a space is missing after the colon", (at[0] - 1, above.end(1) + 1), "write `key: value`"
    return _indentation((at[0], len(line) - len(line.lstrip()) + 1))


def _indentation(at: Mark, line: str = "") -> _Answer:
    message = "the indentation of this line does not match the lines above it"
    if line.lstrip().startswith("- "):
        return message, at, "every entry of a list starts with `- `, the first one too"
    return message, at, "line it up with the entry it belongs to"


def _mixed(source: Source, at: Mark, begun: Mark) -> _Answer:
    """Return the error for a line that should start the next entry of a list."""
    if re.match(r"\s*id\s*:", source.line(at[0])):
        return (
            "`- ` is missing before `id`, which starts an item",
            at,
            "write `- id: ...`, lined up with the `- ` above",
        )
    message = f"this line is not an entry of the list that starts at line {begun[0]}"
    return message, at, "start it with `- `, or line it up with its key"


def _no_value(source: Source, at: Mark, _begun: Mark) -> _Answer:
    rest = source.line(at[0])[at[1] - 1 :]
    if not rest:
        return "a value or a closing bracket is missing here", at, ""
    return f"a value is missing before `{rest[0]}`", at, "put a text that starts with it in quotes"


def _escape(source: Source, at: Mark, _begun: Mark) -> _Answer:
    """Return the error for an escape sequence that YAML does not know, or that is only half of a character."""
    line = source.line(at[0])
    start = line.rfind("\\", 0, at[1])
    if match := re.match(_HALVES, line[max(start, 0) :]):
        halves = "".join(chr(int(half, 16)) for half in match.group().split("\\u")[1:])
        return _HALF, (at[0], start + 1), _whole_character(halves)
    return "unknown escape sequence in double quotes", at, "double the backslash, or use single quotes"


def _whole_character(halves: str) -> str:
    """Return a hint for writing a character that is given as one or two escaped surrogates."""
    text = halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    if len(text) == 1 and text > "\uffff":
        return f"write the character itself, `{text}`, or `\\U{ord(text):08X}`"
    return "remove it, or write the whole character"


def _no_key(source: Source, at: Mark, _begun: Mark) -> _Answer:
    line = source.line(at[0])
    entry = _VALUE.match(line)
    if entry and entry["value"][0] in "\"'" and entry.start("value") < at[1] - 1:
        hint = "double the quote inside the text (`'it''s'`), or put the text in double quotes"
        if entry["value"][0] == '"':
            hint = 'put the text in single quotes, or write the quote inside it as `\\"`'
        return "the text goes on after its closing quote", at, hint
    if line[: at[1] - 1].strip():
        return f"`{_cut(line[at[1] - 1 :].strip())}` does not belong in this line", at, "put the text in quotes"
    return _indentation(at, line)


def _no_colon(source: Source, _conflict_marker: Mark, begun: Mark) -> _Answer:
    hint = "write `key: value`; a text of several lines needs `|` after its key"
    if re.match(r"\s*[^\s:]+:\S", source.line(begun[0])):
        hint = "put a space after the colon"
    return "this line is neither `key: value` nor an entry of a list", begun, hint


def _anchor(source: Source, _conflict_marker: Mark, begun: Mark) -> _Answer:
    text = _started(source.line(begun[0])[begun[1] - 1 :])
    return f"a text cannot start with `{text[:1]}`", begun, f"put it in quotes: {_in_quotes(text)}"


_QUOTE: Final = "add the closing quote"
_NEXT_LINE: Final = "start it in the next line, or write `[a, b]`"
_BRACKET: Final = "the bracket opened at line {line}, column {column} is not closed before this"
_SAYINGS: Final[tuple[tuple[str, str, str, str], ...]] = (
    (r"unexpected (end of stream|document sep)", "begun", "the quoted text that starts here is never closed", _QUOTE),
    (r"expected ',' or", "at", _BRACKET, "close it, or put a comma between its entries"),
    (r"sequence entries are not allowed", "at", "a list cannot start in the line of its key", _NEXT_LINE),
    (r"document start", "at", "there is text after the end of the document", "a file has one map or one list"),
)
"""Answers that need no look at the line: pattern of the parser's problem, which mark, message, hint."""
_ANSWERS: Final[tuple[tuple[str, Callable[[Source, Mark, Mark], _Answer]], ...]] = (
    (r"'-' indicator|<block end>, but found '\?'", _mixed),
    (r"escape c", _escape),
    (r"node content", _no_value),
    (r"cannot start any token", _bad_start),
    (r"tab character", _tab),
    (r"mapping values are not allowed", _second_colon),
    (r"did not find expected key|expected <block end>", _no_key),
    (r"could not find expected ':'", _no_colon),
    (r"alphabetic or numeric", _anchor),
)
