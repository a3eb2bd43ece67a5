"""Splits, composes and edits Markdown files with YAML front matter.

A file is an optional byte order mark, a block between two `---` lines at its very start, and a body. Reading never
fails: `MarkdownFile.problem` says what cannot be read.

Each edit checks its own result, so that it loses no comment, unknown key or line ending of a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct, field, structs

from contentops.digest import canonical
from contentops.documents.clean import FRONT, FRONT_END, clean_body, clean_title
from contentops.errors import OutputError
from contentops.sanitize import without_bom
from contentops.yaml.mapping import Block, Entry, YamlProblem, read_mapping
from contentops.yaml.write import write_pair, write_scalar, write_value

# ---- Splits and composes Markdown files with YAML front matter.

TITLE_KEY: Final = "title"
PROVENANCE_KEY: Final = "contentops"
"""The front matter key of the block that says where the text comes from."""
MAX_FRONT_MATTER: Final = 1 << 20
"""The length of the longest front matter that is read, in characters."""

FENCE: Final = "---"
_LOOSE: Final = re.compile(
    r"(?P<fence>---|\+{3})[ \t]*\n(?P<block>.*?)^(?:(?P=fence)|\.\.\.)[ \t]*$", re.DOTALL | re.MULTILINE
)
_LOOSE_KEYS: Final = {
    "---": re.compile(r"([A-Za-z_][\w-]*):(|[ \t].*)$"),
    "+++": re.compile(r"([A-Za-z_][\w-]*)[ \t]*=(.*)$"),
}
TOML: Final = "between `+++` lines (TOML)"
_TOML: Final = re.compile(r"\+\+\+[ \t]*\r?\n")
_JSON: Final = re.compile(r"\{\s*(?:\"[^\"\n]*\"\s*:|\}\s*(?:\n|\Z))")
_FRONT_BELOW: Final = re.compile(r"\ufeff?(?:[ \t]*\r?\n)+---[ \t]*\r?\n")
"""The line that opens front matter, below blank lines."""


class MarkdownFile(Struct, frozen=True, kw_only=True):
    """A Markdown file, split into front matter and body.

    If it has a `problem`, `front`, `provenance` and `title` are empty. `front` has JSON values without `title` and
    `contentops`. `title` and `body` are cleaned.
    """

    front: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    body: str = ""
    problem: str = ""
    """Why the front matter cannot be read, or empty."""
    problem_line: int = 1

    @property
    def owner(self) -> str:
        """Return the item id in the provenance block, or an empty text if there is none."""
        item = self.provenance.get("item")
        return item if isinstance(item, str) else ""


def provenance(
    *,
    item: str,
    digest: str,
    job: str = "",
    generated_at: str = "",
    promoted_from: str = "",
    model: str = "",
    editor: str = "",
) -> dict[str, Any]:
    """Return the `contentops` block for the front matter of a text. It has only the facts that are known."""
    block = {
        "item": item,
        "digest": digest,
        "job": job,
        "generated_at": generated_at,
        "promoted_from": promoted_from,
        "model": model,
        "editor": editor,
    }
    return {key: value for key, value in block.items() if value}


def split(text: str) -> MarkdownFile:
    """Split the text of a file into front matter and body. It never raises."""
    parsed = parts(text)
    values = parsed.block.values
    title_key = _title_key(values)
    title, own = values.get(title_key), values.get(PROVENANCE_KEY)
    if title is not None and not isinstance(title, str):
        # As written: `title: 1984` and `title: 1.10` are titles, not numbers.
        title = next(entry.raw for entry in parsed.block.entries if entry.key == title_key)
    return MarkdownFile(
        front={key: value for key, value in values.items() if key not in {title_key, PROVENANCE_KEY}},
        provenance=own if isinstance(own, dict) else {},
        title=clean_title(title or ""),
        body=clean_body(text[parsed.body :]),
        problem=parsed.problem,
        problem_line=parsed.problem_line,
    )


def line_numbers(text: str) -> tuple[int, dict[str, int]]:
    """Return the line where the body begins, and the lines of the front matter keys. Lines count from 1.

    It never raises.
    """
    parsed = parts(text)
    rest = text[parsed.body :]
    start = parsed.body + len(rest) - len(rest.lstrip(" \t\r\n"))
    keys: dict[str, int] = {}
    line, at = 1, 0
    for entry in parsed.block.entries:
        line, at = line + text.count("\n", at, parsed.start + entry.key_start), parsed.start + entry.key_start
        keys[entry.key] = line
    return 1 + text.count("\n", 0, start), keys


def split_loosely(text: str) -> MarkdownFile:
    """Split a text that a model wrote into front matter and body. It never raises.

    The front matter may be TOML, or invalid YAML. If every line could be part of front matter, the values are read as
    texts by their keys, so that `title: AI: what next` is a title. Blank lines may come before it.
    """
    text = clean_body(text)
    document, match = split(text), _LOOSE.match(text)
    pairs = _loose_pairs(match["block"], _LOOSE_KEYS[match["fence"]]) if match and document.problem else {}
    if match is None or not pairs:
        return document
    title = clean_title(pairs.pop(TITLE_KEY, ""))
    return structs.replace(document, front=pairs, title=title, body=clean_body(text[match.end() :]), problem="")


def compose(title: str, metadata: Mapping[str, Any], provenance: Mapping[str, Any] | None, body: str) -> str:
    """Return the text of a new file: the front matter, a blank line and the body.

    The front matter has `title`, then `metadata` in its order, then the `contentops` block. Title and body are cleaned.
    The keys `title` and `contentops` of `metadata`, keys whose value is None, and an empty title are left out. A body
    that looks like front matter always gets front matter before it. Raises TypeError for metadata that is not JSON, and
    ValueError for numbers that are not finite.
    """
    pairs: list[tuple[str, Any]] = [(TITLE_KEY, clean_title(title))] if clean_title(title) else []
    pairs += [
        (key, value) for key, value in metadata.items() if value is not None and key not in {TITLE_KEY, PROVENANCE_KEY}
    ]
    if provenance:
        pairs.append((PROVENANCE_KEY, dict(provenance)))
    cleaned = clean_body(body)
    if not pairs and not looks_like_front_matter(cleaned):
        return cleaned
    text = fenced(line for key, value in pairs for line in write_pair(key, value, dates=has_dates(key)))
    return f"{text}\n{cleaned}" if cleaned else text


def has_dates(key: str) -> bool:
    """Return whether the values of a front matter key can be dates. The title and the provenance are texts."""
    return key not in (TITLE_KEY, PROVENANCE_KEY)


class Parts(Struct, frozen=True, kw_only=True):
    """The offsets of the parts of a file: its front matter and its body."""

    newline: str
    """The line ending that most lines have."""
    block: Block = field(default_factory=Block)
    fenced: bool = False
    start: int = 0
    end: int = 0
    body: int = 0
    problem: str = ""
    problem_line: int = 1


def parts(text: str) -> Parts:
    """Return the offsets of front matter and body in a file. It never raises.

    Blank lines may come before front matter, as Hugo allows. After blank lines, a block that cannot be read belongs to
    the body.
    """
    first = len(text) - len(without_bom(text))
    newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    opened = FRONT.match(text) or _FRONT_BELOW.match(text)
    if not opened:
        kind = TOML if _TOML.match(text, first) else ""
        kind = "in braces (JSON)" if _JSON.match(text, first) else kind
        problem = f"front matter {kind} is not supported; write it as YAML between `---` lines" if kind else ""
        return Parts(newline=newline, body=first, problem=problem)
    start = opened.end()
    closed = FRONT_END.search(text, start)
    line = text.count("\n", 0, start)
    block, problem, at = Block(), f"front matter starts on line {line} and never ends; close it with a line `---`", line
    if closed:
        block, problem, at = _read(text[start : closed.start()], line + 1)
    if line > 1 and not block.values:
        return Parts(newline=newline, body=first)
    if not closed:
        return Parts(newline=newline, body=first, problem=problem, problem_line=at)
    return Parts(
        newline=newline,
        block=block,
        fenced=True,
        start=start,
        end=closed.start(),
        body=min(closed.end() + 1, len(text)),
        problem=problem,
        problem_line=at,
    )


def looks_like_front_matter(body: str) -> bool:
    """Return whether a body would be read as front matter if it were at the start of a file."""
    return any(sign.match(body) for sign in (FRONT, _TOML, _JSON))


def _read(text: str, first_line: int) -> tuple[Block, str, int]:
    """Return the front matter in a text. If it cannot be read, return an empty one, the reason and its line."""
    if len(text) > MAX_FRONT_MATTER:
        return Block(), f"front matter is longer than {MAX_FRONT_MATTER:,} characters", first_line
    try:
        block = read_mapping(text, first_line=first_line)
    except YamlProblem as problem:
        return Block(), f"front matter cannot be read on line {problem.line}: {problem.message}", problem.line
    if isinstance(block.values.get(title_key := _title_key(block.values)), dict | list):
        return Block(), f"the front matter key `{title_key}` is not text", first_line
    seen: dict[str, str] = {}
    for key in block.values:
        if (other := seen.setdefault(key.casefold(), key)) != key:
            why = f"the front matter has `{other}` and `{key}`, which sites read as one key; keep one of them"
            return Block(), why, first_line
    return block, "", 1


def _title_key(values: Collection[str]) -> str:
    """Return the title's key as the front matter writes it, such as `Title`. Like Hugo, ignore upper and lower case."""
    return TITLE_KEY if TITLE_KEY in values else next((key for key in values if key.casefold() == TITLE_KEY), TITLE_KEY)


def _loose_pairs(block: str, pair: re.Pattern[str]) -> dict[str, str]:
    """Return the values of a front matter block as texts, by key.

    There are none if a line is neither a key nor a continuation.
    """
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


def fenced(lines: Iterable[str]) -> str:
    """Return lines as a block of front matter, between two `---` lines."""
    return "".join(f"{line}\n" for line in (FENCE, *lines, FENCE))


# ---- Edits front matter in place: only the bytes of the named keys change.


def update(text: str, changes: Mapping[str, Any]) -> str:
    """Return the text of a file with changed front matter keys. A key whose new value is None is removed.

    Every other byte stays: comments, order, unknown keys, body, line endings, byte order mark. A key that has the value
    already is not touched. New keys go before the `contentops` block, or to the end; a new title goes first. A file
    without front matter gets some. Front matter in braces is written again, with one key on each line. Raises
    OutputError if the front matter cannot be read, or a key cannot be changed without touching another. Raises
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
    edited = _edited(text, parsed, wanted)
    if _as_wanted(parsed, edited, wanted):
        return edited
    raise _uneditable("a key is written in a form that cannot be edited separately")


def replace_body(text: str, body: str) -> str:
    """Return the text of a file with a new body. The front matter keeps its bytes.

    The body is cleaned and gets the file's line endings. If there is no front matter and the body looks like some, an
    empty block separates the two. Raises OutputError if the front matter cannot be read.
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
    """A key of a file's front matter, with its value and its lines."""

    key: str
    value: Any
    lines: str
    """The lines with their line endings; empty if the key shares a line with others."""


def written_entries(text: str, keys: Container[str]) -> tuple[WrittenEntry, ...]:
    """Return the front matter entries that have one of the keys, in the order of the file."""
    parsed = parts(text)
    block = text[parsed.start : parsed.end]
    entries = [entry for entry in parsed.block.entries if entry.key in keys]
    return tuple(WrittenEntry(each.key, each.value, _lines_of(block, parsed, each)) for each in entries)


def _lines_of(block: str, parsed: Parts, entry: Entry) -> str:
    start, end, _ = _removal(block, entry)
    return "" if parsed.block.flow or _indent(block, entry) else block[start:end]


def carry(text: str, entries: Iterable[WrittenEntry]) -> str:
    """Return a text with missing front matter entries added. If possible, they are added exactly as they were written.

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
    """Return a text with `key: null` added to its front matter.

    An empty value is written first, because `update` puts a new key where it belongs.
    """
    edited = update(text, {key: ""})
    written = next(entry for entry in parts(edited).block.entries if entry.key == key)
    start = parts(edited).start
    return edited[: start + written.value_start] + "null" + edited[start + written.value_end :]


def _has_value(entry: Entry | None, value: Any) -> bool:
    """Return whether a front matter key has this value already."""
    if entry is None:
        return value is None
    if value is None:
        return False
    if entry.key == TITLE_KEY and entry.value is not None:
        return bool(clean_title(entry.raw or "") == value)
    return canonical(entry.value) == canonical(value)


def _edited(text: str, parsed: Parts, wanted: Mapping[str, Any]) -> str:
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
        block = _edited_block(text[parsed.start : parsed.end], parsed, wanted)
    return text[: parsed.start] + block + text[parsed.end :]


def _edited_block(block: str, parsed: Parts, wanted: Mapping[str, Any]) -> str:
    entries = parsed.block.entries
    edits: list[tuple[int, int, str]] = []
    for entry in entries:
        value = wanted.get(entry.key)
        if value is not None:
            edits.append(_replacement(block, entry, value, parsed.newline))
        elif entry.key in wanted:
            edits.append(_removal(block, entry))
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


_COMMENT: Final = re.compile(r"\s#")


def _removal(block: str, entry: Entry) -> tuple[int, int, str]:
    return _line_start(block, entry.key_start), _line_end(block, max(entry.key_end, entry.value_end)) + 1, ""


def _replacement(block: str, entry: Entry, value: Any, newline: str) -> tuple[int, int, str]:
    start = block.find(":", entry.key_end) + 1
    within = _line_end(block, entry.value_end) if entry.block else entry.value_end
    if isinstance(entry.value, list | dict) and _COMMENT.search(block, _line_end(block, start), within):
        raise _uneditable(f"there is a comment within the value of `{entry.key}`")
    if block.startswith("[", entry.value_start) and (line := _in_brackets(value)):
        return entry.value_start, entry.value_end, line
    lines, below = write_value(value, dates=has_dates(entry.key))
    line_end = _line_end(block, start)
    # On the key's own line, all that is not the value is a comment, and stays there.
    comment = block[start:line_end].rstrip("\r") if entry.value_start > line_end else ""
    end = max(start, entry.value_end)
    if not below:
        tail = f" {comment.strip()}" if comment.strip() else ""
        return start, end, f" {lines[0]}{tail}"
    if not comment:
        comment = block[end : _line_end(block, end)].rstrip("\r")
        end += len(comment)
    indent = _indent(block, entry)
    return start, end, "".join([comment.rstrip(), *(f"{newline}{indent}{line}" for line in lines)])


def _in_brackets(value: Any) -> str:
    """Return a list of plain values on one line, in brackets. It is empty if the value is not such a list."""
    if not isinstance(value, list) or any(isinstance(one, list | dict) for one in value):
        return ""
    written = [write_scalar(one, dates=True) for one in value]
    return "" if any(set(",[]{}") & set(one) for one in written) else f"[{', '.join(written)}]"


def _rank(wanted: Mapping[str, Any]) -> Callable[[str], tuple[int, int]]:
    """Return a function that gives the position of a new key in front matter.

    The title is first, the provenance last, others keep their order.
    """
    given = {key: number for number, key in enumerate(wanted)}
    ends = {TITLE_KEY: 0, PROVENANCE_KEY: 2}
    return lambda key: (ends.get(key, 1), given[key])


def _insertion(block: str, entries: tuple[Entry, ...], key: str) -> int:
    """Return the offset for a new key: the title first, the provenance block last, all others before that block."""
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
    """Return whether an edit changed exactly the wanted keys. With `nulls`, None counts as a value."""
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
