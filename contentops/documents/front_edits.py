"""Edits front matter in place: only the bytes of the named keys change.

Each edit checks its own result, so that no comment, unknown key or line ending of a person is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.digest import canonical
from contentops.documents.clean import clean_body, clean_title
from contentops.documents.front_matter import (
    FENCE,
    PROVENANCE_KEY,
    TITLE_KEY,
    Parts,
    fenced,
    has_dates,
    looks_like_front_matter,
    parts,
)
from contentops.documents.list_edits import element_edit
from contentops.errors import OutputError
from contentops.yaml.write import write_pair, write_value

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from contentops.yaml.mapping import Entry


def update(text: str, changes: Mapping[str, Any]) -> str:
    """`text` with the front matter keys of `changes` set, or removed where the value is None.

    Every other byte stays: comments, order, unknown keys, body, line endings, byte order mark. A key whose value is
    equal already is not touched. New keys go before the `contentops` block, or to the end; a new title goes first.
    A file without front matter gets some. Front matter written in braces is written again, one key a line.
    Raises OutputError where the front matter cannot be read, or a key cannot be changed without touching another;
    TypeError and ValueError like `compose`.
    """
    parsed = parts(text)
    if parsed.problem:
        raise _uneditable(parsed.problem)
    current = {entry.key: entry for entry in parsed.block.entries}
    wanted = {key: clean_title(value) if key == TITLE_KEY and value else value for key, value in changes.items()}
    wanted = {key: value for key, value in wanted.items() if not _has_value(current.get(key), value)}
    if not wanted:
        return text
    # Sites read a key in any letters: as it is written now, it replaces the same one in others.
    names = {key.casefold() for key in wanted}
    wanted |= dict.fromkeys(key for key in current if key not in changes and key.casefold() in names)
    for keeps_elements in (True, False):
        edited = _edited(text, parsed, wanted, keeps_elements=keeps_elements)
        if _as_wanted(parsed, edited, wanted):
            return edited
    raise _uneditable("a key is written in a form that cannot be edited separately")


def replace_body(text: str, body: str) -> str:
    """`text` with another body (cleaned, in the file's line endings); the front matter keeps its bytes.

    Where there is no front matter and the body looks like some, an empty block keeps the two apart.
    Raises OutputError where the front matter cannot be read.
    """
    parsed = parts(text)
    if parsed.problem:
        raise _uneditable(parsed.problem)
    cleaned = clean_body(body)
    new = cleaned if parsed.newline == "\n" else cleaned.replace("\n", parsed.newline)
    head = text[: parsed.body]
    if not parsed.fenced:
        looks_fenced = looks_like_front_matter(cleaned)
        return f"{head}{FENCE}{parsed.newline}{FENCE}{parsed.newline}{new}" if looks_fenced else head + new
    if not cleaned:
        return head
    old = text[parsed.body :]
    gap = old[: len(old) - len(old.lstrip("\r\n"))] or parsed.newline
    if not head.endswith("\n"):
        head += parsed.newline
    return f"{head}{gap}{new}"


class WrittenEntry(Struct, frozen=True):
    """A key of a file's front matter, with its lines."""

    key: str
    value: Any
    lines: str
    """With their line endings; empty where it is not on lines of its own."""


def written_entries(text: str, keys: Container[str]) -> tuple[WrittenEntry, ...]:
    """The entries of a file's front matter with these keys, in their order."""
    parsed = parts(text)
    block = text[parsed.start : parsed.end]
    entries = [entry for entry in parsed.block.entries if entry.key in keys]
    return tuple(WrittenEntry(each.key, each.value, _lines_of(block, parsed, each)) for each in entries)


def _lines_of(block: str, parsed: Parts, entry: Entry) -> str:
    start, end, _ = _removal(block, entry)
    return "" if parsed.block.flow or _indent(block, entry) else block[start:end]


def carry(text: str, entries: Iterable[WrittenEntry]) -> str:
    """`text` with the entries that its front matter lacks, each as it was written where that is possible.

    Raises OutputError like `update`.
    """
    for entry in entries:
        parsed = parts(text)
        if any(other.key.casefold() == entry.key.casefold() for other in parsed.block.entries):
            continue
        if parsed.fenced and not parsed.block.flow and entry.lines.strip():
            lines = entry.lines.replace("\r\n", "\n").removesuffix("\n").replace("\n", parsed.newline) + parsed.newline
            at = parsed.start + _insertion(text[parsed.start : parsed.end], parsed.block.entries, entry.key)
            edited = text[:at] + lines + text[at:]
            if _as_wanted(parsed, edited, {entry.key: entry.value}, nulls=True):
                text = edited
                continue
        text = _written_null(text, entry.key) if entry.value is None else update(text, {entry.key: entry.value})
    return text


def _written_null(text: str, key: str) -> str:
    """`text` with `key: null`. An empty text is written first, because `update` places a new key where it belongs."""
    edited = update(text, {key: ""})
    written = next(entry for entry in parts(edited).block.entries if entry.key == key)
    start = parts(edited).start
    return edited[: start + written.value_start] + "null" + edited[start + written.value_end :]


def _has_value(entry: Entry | None, value: Any) -> bool:
    """Return whether the file has this value already."""
    if entry is None:
        return value is None
    if value is None:
        return False
    if entry.key == TITLE_KEY and entry.value is not None:
        return bool(clean_title(entry.raw or "") == value)
    return canonical(entry.value) == canonical(value)


def _edited(text: str, parsed: Parts, wanted: Mapping[str, Any], *, keeps_elements: bool) -> str:
    if not parsed.fenced:
        block = fenced(
            line
            for key in sorted(wanted, key=_rank(wanted))
            for line in write_pair(key, wanted[key], dates=has_dates(key))
        )
        gap = "" if not text[parsed.body :] or text[parsed.body] in "\r\n" else "\n"
        return text[: parsed.body] + (block + gap).replace("\n", parsed.newline) + text[parsed.body :]
    if parsed.block.flow:
        values = {entry.key: entry.value for entry in parsed.block.entries} | dict(wanted)
        pairs = {key: value for key, value in values.items() if value is not None or key not in wanted}
        lines = [line for key, value in pairs.items() for line in write_pair(key, value, dates=has_dates(key))]
        block = "".join(line + parsed.newline for line in lines)
    else:
        block = _edited_block(text[parsed.start : parsed.end], parsed, wanted, keeps_elements=keeps_elements)
    return text[: parsed.start] + block + text[parsed.end :]


def _edited_block(block: str, parsed: Parts, wanted: Mapping[str, Any], *, keeps_elements: bool) -> str:
    entries = parsed.block.entries
    edits: list[tuple[int, int, str]] = []
    for entry in entries:
        if entry.key in wanted:
            value = wanted[entry.key]
            edit = element_edit(block, entry, value, parsed.newline) if keeps_elements else None
            if edit is None:
                edit = _removal(block, entry) if value is None else _replacement(block, entry, value, parsed.newline)
            edits.append(edit)
    present = {entry.key for entry in entries}
    indent = _indent(block, entries[0]) if entries else ""
    for key in sorted(wanted.keys() - present, key=_rank(wanted)):
        lines = [f"{indent}{line}{parsed.newline}" for line in write_pair(key, wanted[key], dates=has_dates(key))]
        at = _insertion(block, entries, key)
        edits.append((at, at, "".join(lines)))
    # From the back, so that earlier offsets stay true; at one offset, later keys come behind earlier ones.
    for _, (start, end, new) in sorted(enumerate(edits), key=lambda pair: (*pair[1][:2], pair[0]), reverse=True):
        block = block[:start] + new + block[end:]
    return block


def _removal(block: str, entry: Entry) -> tuple[int, int, str]:
    return _line_start(block, entry.key_start), _line_end(block, max(entry.key_end, entry.value_end)) + 1, ""


def _replacement(block: str, entry: Entry, value: Any, newline: str) -> tuple[int, int, str]:
    colon = block.find(":", entry.key_end)
    start = colon + 1
    lines, below = write_value(value, dates=has_dates(entry.key))
    line_end = _line_end(block, start)
    # On the key's own line, all that is not the value is a comment, and stays there.
    comment = block[start:line_end].rstrip("\r") if entry.value_start > line_end else ""
    end = max(start, entry.value_end)
    if entry.block:
        # A comment behind the last line of a list belongs to that line.
        end += len(block[end : _line_end(block, end)].rstrip("\r"))
    if not below:
        tail = f" {comment.strip()}" if comment.strip() else ""
        return start, end, f" {lines[0]}{tail}"
    if not comment:
        comment = block[end : _line_end(block, end)].rstrip("\r")
        end += len(comment)
    indent = _indent(block, entry)
    return start, end, "".join([comment.rstrip(), *(f"{newline}{indent}{line}" for line in lines)])


def _rank(wanted: Mapping[str, Any]) -> Callable[[str], tuple[int, int]]:
    """The order of new keys: a title first, the provenance block last, the others as given."""
    given = {key: number for number, key in enumerate(wanted)}
    ends = {TITLE_KEY: 0, PROVENANCE_KEY: 2}
    return lambda key: (ends.get(key, 1), given[key])


def _insertion(block: str, entries: tuple[Entry, ...], key: str) -> int:
    """The offset of a new key: a title first, the provenance block last, all others before that block."""
    if key == TITLE_KEY and entries:
        return _line_start(block, entries[0].key_start)
    own = next((entry for entry in entries if entry.key == PROVENANCE_KEY), None)
    if own is None:
        return len(block)
    at = _line_start(block, own.key_start)
    while at and block[(above := _line_start(block, at - 1)) : at].lstrip().startswith("#"):
        at = above
    return at


def _indent(block: str, entry: Entry) -> str:
    line = block[_line_start(block, entry.key_start) : entry.key_start]
    return line[: len(line) - len(line.lstrip(" "))]


def _line_start(block: str, at: int) -> int:
    return block.rfind("\n", 0, at) + 1


def _line_end(block: str, at: int) -> int:
    end = block.find("\n", at)
    return len(block) if end < 0 else end


def _as_wanted(before: Parts, edited: str, wanted: Mapping[str, Any], *, nulls: bool = False) -> bool:
    """Whether an edit set the wanted keys and changed no other; `nulls`: None is a value like others."""
    after = parts(edited)
    unchanged = {entry.key: entry.value for entry in before.block.entries if entry.key not in wanted}
    asked = {key: value for key, value in wanted.items() if nulls or value is not None}
    result = {entry.key: entry.value for entry in after.block.entries}
    return not after.problem and canonical(result) == canonical(unchanged | asked)


def _uneditable(problem: str) -> OutputError:
    return OutputError(
        f"front matter cannot be edited: {problem}",
        code="front-matter",
        hint="correct the front matter by hand, one `key: value` a line",
    )
