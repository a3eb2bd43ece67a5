"""Splits and composes Markdown files with YAML front matter; `front_edits` edits them in place.

A file is an optional byte order mark, a block between two `---` lines at its very start, and a body. Reading never
fails: `MarkdownFile.problem` says what cannot be read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field, structs

from contentops.documents.clean import FRONT, FRONT_END, clean_body, clean_title
from contentops.sanitize import without_bom
from contentops.yaml.mapping import Block, YamlProblem, read_mapping
from contentops.yaml.write import write_pair

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

TITLE_KEY: Final = "title"
PROVENANCE_KEY: Final = "contentops"
"""The front matter key of the block that says where the text comes from."""
MAX_FRONT_MATTER: Final = 1 << 20
"""The longest front matter that is read, in characters."""

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


def provenance(
    *, item: str, digest: str, job: str = "", generated_at: str = "", promoted_from: str = "", model: str = ""
) -> dict[str, Any]:
    """The `contentops` block: item, spec, job, time, environment and model of a text, where they are known."""
    block = {
        "item": item,
        "digest": digest,
        "job": job,
        "generated_at": generated_at,
        "promoted_from": promoted_from,
        "model": model,
    }
    return {key: value for key, value in block.items() if value}


def split(text: str) -> MarkdownFile:
    """Take a file's text apart; never raises."""
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
    )


def line_numbers(text: str) -> tuple[int, dict[str, int]]:
    """The line of a file (from 1) on which its body begins, and those of its front matter's keys; never raises."""
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
    """Take apart a text that a model wrote; never raises.

    Its front matter may be TOML, or no proper YAML: where each line could be part of some, the lines are read as
    texts by their keys, so that `title: AI: what next` is a title. Blank lines may stand before it.
    """
    text = clean_body(text)
    document, match = split(text), _LOOSE.match(text)
    pairs = _loose_pairs(match["block"], _LOOSE_KEYS[match["fence"]]) if match and document.problem else {}
    if match is None or not pairs:
        return document
    title = clean_title(pairs.pop(TITLE_KEY, ""))
    return structs.replace(document, front=pairs, title=title, body=clean_body(text[match.end() :]), problem="")


def compose(title: str, metadata: Mapping[str, Any], provenance: Mapping[str, Any] | None, body: str) -> str:
    """A new file: `title`, `metadata` in its order, the `contentops` block, a blank line and the body.

    Title and body are cleaned. The keys `title` and `contentops` of `metadata`, keys whose value is None, and an empty
    title are left out. A body that would be read as front matter always has some before it.
    Raises TypeError for metadata that is not JSON, ValueError for numbers that are not finite.
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
    """Whether a text under a key that is a date is meant as one."""
    return key not in (TITLE_KEY, PROVENANCE_KEY)


class Parts(Struct, frozen=True, kw_only=True):
    """The offsets of the parts of a file: the block's lines between the fences, and the body."""

    newline: str
    """The line ending most lines have."""
    block: Block = field(default_factory=Block)
    fenced: bool = False
    start: int = 0
    end: int = 0
    body: int = 0
    problem: str = ""


def parts(text: str) -> Parts:
    """The offsets of the parts of a file; never raises.

    Blank lines may stand before front matter, as Hugo allows; there, what cannot be read is the text of the file.
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
    block, problem = Block(), f"front matter starts on line {line} and never ends; close it with a line `---`"
    if closed:
        block, problem = _read(text[start : closed.start()], line + 1)
    if line > 1 and not block.values:
        return Parts(newline=newline, body=first)
    if not closed:
        return Parts(newline=newline, body=first, problem=problem)
    body = min(closed.end() + 1, len(text))
    end = closed.start()
    return Parts(newline=newline, block=block, fenced=True, start=start, end=end, body=body, problem=problem)


def looks_like_front_matter(body: str) -> bool:
    """Whether a body at the start of a file would be taken for front matter."""
    return any(sign.match(body) for sign in (FRONT, _TOML, _JSON))


def _read(text: str, first_line: int) -> tuple[Block, str]:
    if len(text) > MAX_FRONT_MATTER:
        return Block(), f"front matter is longer than {MAX_FRONT_MATTER:,} characters"
    try:
        block = read_mapping(text, first_line=first_line)
    except YamlProblem as problem:
        return Block(), f"front matter cannot be read on line {problem.line}: {problem.message}"
    if isinstance(block.values.get(title_key := _title_key(block.values)), dict | list):
        return Block(), f"the front matter key `{title_key}` is not text"
    seen: dict[str, str] = {}
    for key in block.values:
        if (other := seen.setdefault(key.casefold(), key)) != key:
            return Block(), f"the front matter has `{other}` and `{key}`, which sites read as one key; keep one of them"
    return block, ""


def _title_key(values: Collection[str]) -> str:
    """The key of the title: in any letters, as Hugo reads it."""
    return TITLE_KEY if TITLE_KEY in values else next((key for key in values if key.casefold() == TITLE_KEY), TITLE_KEY)


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


def fenced(lines: Iterable[str]) -> str:
    """A block of front matter with these lines."""
    return "".join(f"{line}\n" for line in (FENCE, *lines, FENCE))
