"""Markdown files with YAML front matter: taken apart, composed, and edited in place.

A file is an optional byte order mark, a block between two `---` lines at its very start, and a body. Reading never
fails: what cannot be understood is told in `MarkdownFile.problem`. Editing changes the bytes of the named keys alone
and checks its own result, so that a comment, an unknown key or a line ending that a person chose is there afterwards.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field, structs

from contentops.digest import canonical
from contentops.documents.clean import FRONT, FRONT_END, clean_body, clean_title
from contentops.errors import OutputError
from contentops.yaml.mapping import Block, Entry, YamlProblem, read_mapping
from contentops.yaml.write import write_pair, write_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TITLE_KEY: Final = "title"
PROVENANCE_KEY: Final = "contentops"
"""The front matter key of the block that says where the text comes from."""
MAX_FRONT_MATTER: Final = 1 << 20
"""The longest front matter that is read, in characters."""

_BOM: Final = "\ufeff"
_FENCE: Final = "---"
_LOOSE: Final = re.compile(
    r"(?P<fence>---|\+{3})[ \t]*\n(?P<block>.*?)^(?:(?P=fence)|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE
)
_LOOSE_KEYS: Final = {
    "---": re.compile(r"([A-Za-z_][\w-]*):(|[ \t].*)$"),
    "+++": re.compile(r"([A-Za-z_][\w-]*)[ \t]*=(.*)$"),
}
_TOML: Final = re.compile(r"\+\+\+[ \t]*\r?\n")


class MarkdownFile(Struct, frozen=True, kw_only=True):
    """A file taken apart. With a `problem`, `front`, `provenance` and `title` are empty.

    `front` holds JSON values without `title` and `contentops`; `title` and `body` are cleaned.
    """

    front: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    body: str = ""
    problem: str = ""
    """Why the front matter cannot be read, or empty."""

    @property
    def owner(self) -> str:
        """The item id the provenance block names, or empty."""
        item = self.provenance.get("item")
        return item if isinstance(item, str) else ""


def provenance(*, item: str, digest: str, job: str = "", generated_at: str = "") -> dict[str, Any]:
    """The `contentops` block: which item, spec, job and time a text comes from; what is not known is left out."""
    found = {"item": item, "digest": digest, "job": job, "generated_at": generated_at}
    return {key: value for key, value in found.items() if value}


def split(text: str) -> MarkdownFile:
    """Take a file's text apart; never raises."""
    found = _parts(text)
    entries = {entry.key: entry for entry in found.block.entries}
    title, own = entries.get(TITLE_KEY), entries[PROVENANCE_KEY].value if PROVENANCE_KEY in entries else None
    return MarkdownFile(
        front={e.key: e.value for e in found.block.entries if e.key not in {TITLE_KEY, PROVENANCE_KEY}},
        provenance=own if isinstance(own, dict) else {},
        # As written: `title: 1984` and `title: 1.10` are titles, not numbers.
        title=clean_title((title.raw or "") if title and title.value is not None else ""),
        body=clean_body(text[found.body :]),
        problem=found.problem,
    )


def line_numbers(text: str) -> tuple[int, dict[str, int]]:
    """The line of a file (from 1) on which its body begins, and those of its front matter's keys; never raises."""
    found = _parts(text)
    rest = text[found.body :]
    start = found.body + len(rest) - len(rest.lstrip(" \t\r\n"))
    keys: dict[str, int] = {}
    line, at = 1, 0
    for entry in found.block.entries:
        line, at = line + text.count("\n", at, found.start + entry.key_start), found.start + entry.key_start
        keys[entry.key] = line
    return 1 + text.count("\n", 0, start), keys


def split_loosely(text: str) -> MarkdownFile:
    """Take apart a text that a model wrote; never raises.

    Its front matter may be TOML, or no proper YAML: where each line could be part of some, the lines are read as
    texts by their keys, so that `title: AI: what next` is a title. Blank lines may stand before it.
    """
    text = clean_body(text)
    document, found = split(text), _LOOSE.match(text)
    pairs = _loose_pairs(found["block"], _LOOSE_KEYS[found["fence"]]) if found and document.problem else {}
    if found is None or not pairs:
        return document
    title = clean_title(pairs.pop(TITLE_KEY, ""))
    return structs.replace(document, front=pairs, title=title, body=clean_body(text[found.end() :]), problem="")


def compose(title: str, metadata: Mapping[str, Any], provenance: Mapping[str, Any] | None, body: str) -> str:
    """A new file: `title`, `metadata` in its order, the `contentops` block, a blank line and the body.

    Title and body are cleaned. The keys `title` and `contentops` of `metadata`, and keys whose value is None, are left
    out. There is always front matter, so that a body that starts with `---` is never read as such.
    Raises TypeError for metadata that is not JSON, ValueError for numbers that are not finite.
    """
    pairs: list[tuple[str, Any]] = [(TITLE_KEY, clean_title(title))]
    pairs += [
        (key, value) for key, value in metadata.items() if value is not None and key not in {TITLE_KEY, PROVENANCE_KEY}
    ]
    if provenance:
        pairs.append((PROVENANCE_KEY, dict(provenance)))
    cleaned = clean_body(body)
    text = _fenced(line for key, value in pairs for line in write_pair(key, value))
    return f"{text}\n{cleaned}" if cleaned else text


def update(text: str, changes: Mapping[str, Any]) -> str:
    """`text` with the front matter keys of `changes` set, or removed where the value is None.

    Every other byte stays: comments, order, unknown keys, body, line endings, byte order mark. A key whose value is
    equal already is not touched. New keys go before the `contentops` block, or to the end; a new title goes first.
    A file without front matter gets some. Front matter written in braces is written again, one key a line.
    Raises OutputError where the front matter cannot be read, or a key cannot be changed without touching another;
    TypeError and ValueError like `compose`.
    """
    found = _parts(text)
    if found.problem:
        raise _uneditable(found.problem)
    current = {entry.key: entry for entry in found.block.entries}
    wanted = {key: clean_title(value) if key == TITLE_KEY and value else value for key, value in changes.items()}
    wanted = {key: value for key, value in wanted.items() if not _holds(current.get(key), value)}
    if not wanted:
        return text
    edited = _edited(text, found, wanted)
    if not _as_wanted(found, edited, wanted):
        raise _uneditable("a key is written in a way that cannot be changed by itself")
    return edited


def replace_body(text: str, body: str) -> str:
    """`text` with another body (cleaned, in the file's line endings); the front matter keeps its bytes.

    Where there is no front matter and the body looks like some, an empty block keeps the two apart.
    Raises OutputError where the front matter cannot be read.
    """
    found = _parts(text)
    if found.problem:
        raise _uneditable(found.problem)
    cleaned = clean_body(body)
    new = cleaned if found.newline == "\n" else cleaned.replace("\n", found.newline)
    head = text[: found.body]
    if not found.fenced:
        looks_fenced = FRONT.match(cleaned) or _TOML.match(cleaned)
        return f"{head}{_FENCE}{found.newline}{_FENCE}{found.newline}{new}" if looks_fenced else head + new
    if not cleaned:
        return head
    old = text[found.body :]
    gap = old[: len(old) - len(old.lstrip("\r\n"))] or found.newline
    if not head.endswith("\n"):
        head += found.newline
    return f"{head}{gap}{new}"


class _Parts(Struct, frozen=True, kw_only=True):
    """Where the parts of a file are, as offsets: the block's lines between the fences, and the body."""

    newline: str
    """The line ending most lines have."""
    block: Block = field(default_factory=Block)
    fenced: bool = False
    start: int = 0
    end: int = 0
    body: int = 0
    problem: str = ""


def _parts(text: str) -> _Parts:
    first = len(_BOM) if text.startswith(_BOM) else 0
    newline = _newline(text)
    opened = FRONT.match(text)
    if not opened:
        toml = bool(_TOML.match(text, first))
        problem = "front matter between `+++` lines (TOML) is not supported; write it as YAML" if toml else ""
        return _Parts(newline=newline, body=first, problem=problem)
    start = opened.end()
    closed = FRONT_END.search(text, start)
    if not closed:
        problem = "front matter starts on line 1 and never ends; close it with a line `---`"
        return _Parts(newline=newline, body=first, problem=problem)
    body = min(closed.end() + 1, len(text))
    end = closed.start()
    block, problem = _read(text[start:end])
    return _Parts(newline=newline, block=block, fenced=True, start=start, end=end, body=body, problem=problem)


def _read(text: str) -> tuple[Block, str]:
    if len(text) > MAX_FRONT_MATTER:
        return Block(), f"front matter is longer than {MAX_FRONT_MATTER:,} characters"
    try:
        block = read_mapping(text, first_line=2)
    except YamlProblem as problem:
        return Block(), f"front matter cannot be read on line {problem.line}: {problem.message}"
    title = next((entry for entry in block.entries if entry.key == TITLE_KEY), None)
    if title and title.raw is None:
        return Block(), "the front matter key `title` is not a text"
    return block, ""


def _loose_pairs(block: str, pair: re.Pattern[str]) -> dict[str, str]:
    """The texts of a block by their keys; empty where a line is neither a key nor could belong to one above it."""
    pairs: dict[str, list[str]] = {}
    key = ""
    for line in block.removesuffix("\n").split("\n"):
        if match := pair.match(line):
            key, value = match[1], match[2].strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            pairs[key] = [value[1:-1] if quoted else value]
        elif key and line[:1] in " \t-":
            pairs[key].append(line)
        elif not line.startswith("#"):
            return {}
    return {key: "\n".join(lines).strip("\n") for key, lines in pairs.items()}


def _newline(text: str) -> str:
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def _holds(entry: Entry | None, value: Any) -> bool:
    """Whether the file says `value` already."""
    if entry is None:
        return value is None
    if value is None:
        return False
    if entry.key == TITLE_KEY and entry.value is not None:
        return bool(clean_title(entry.raw or "") == value)
    return canonical(entry.value) == canonical(value)


def _fenced(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in (_FENCE, *lines, _FENCE))


def _edited(text: str, found: _Parts, wanted: Mapping[str, Any]) -> str:
    if not found.fenced:
        block = _fenced(line for key in sorted(wanted, key=_rank(wanted)) for line in write_pair(key, wanted[key]))
        gap = "" if not text[found.body :] or text[found.body] in "\r\n" else "\n"
        return text[: found.body] + (block + gap).replace("\n", found.newline) + text[found.body :]
    if found.block.flow:
        values = {entry.key: entry.value for entry in found.block.entries} | dict(wanted)
        kept = {key: value for key, value in values.items() if value is not None or key not in wanted}
        lines = [line for key, value in kept.items() for line in write_pair(key, value)]
        block = "".join(line + found.newline for line in lines)
    else:
        block = _edited_block(text[found.start : found.end], found, wanted)
    return text[: found.start] + block + text[found.end :]


def _edited_block(block: str, found: _Parts, wanted: Mapping[str, Any]) -> str:
    entries = found.block.entries
    edits: list[tuple[int, int, str]] = []
    for entry in entries:
        if entry.key in wanted:
            value = wanted[entry.key]
            edits.append(_removal(block, entry) if value is None else _replacement(block, entry, value, found.newline))
    known = {entry.key for entry in entries}
    indent = _indent(block, entries[0]) if entries else ""
    for key in sorted(wanted.keys() - known, key=_rank(wanted)):
        lines = [f"{indent}{line}{found.newline}" for line in write_pair(key, wanted[key])]
        at = _place(block, entries, key)
        edits.append((at, at, "".join(lines)))
    # From the back, so that earlier offsets stay true; at one place, later keys come behind earlier ones.
    for _, (start, end, new) in sorted(enumerate(edits), key=lambda pair: (pair[1][0], pair[0]), reverse=True):
        block = block[:start] + new + block[end:]
    return block


def _removal(block: str, entry: Entry) -> tuple[int, int, str]:
    return _line_start(block, entry.key_start), _line_end(block, max(entry.key_end, entry.value_end)) + 1, ""


def _replacement(block: str, entry: Entry, value: Any, newline: str) -> tuple[int, int, str]:
    colon = block.find(":", entry.key_end)
    start = colon + 1
    lines, below = write_value(value)
    line_end = _line_end(block, start)
    # Whatever stands on the key's own line without belonging to the value is a comment, and stays there.
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


def _place(block: str, entries: tuple[Entry, ...], key: str) -> int:
    """Where a new key goes: a title first, the provenance block last, all others before that block."""
    if key == TITLE_KEY and entries:
        return _line_start(block, entries[0].key_start)
    own = next((entry for entry in entries if entry.key == PROVENANCE_KEY), None)
    if own is None or key == PROVENANCE_KEY:
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


def _as_wanted(before: _Parts, edited: str, wanted: Mapping[str, Any]) -> bool:
    """Whether an edit did what it was for, and nothing else to any key."""
    after = _parts(edited)
    kept = {entry.key: entry.value for entry in before.block.entries if entry.key not in wanted}
    asked = {key: value for key, value in wanted.items() if value is not None}
    found = {entry.key: entry.value for entry in after.block.entries}
    return not after.problem and canonical(found) == canonical(kept | asked)


def _uneditable(problem: str) -> OutputError:
    return OutputError(
        f"front matter cannot be edited: {problem}",
        code="front-matter",
        hint="correct the front matter by hand, one `key: value` a line",
    )
