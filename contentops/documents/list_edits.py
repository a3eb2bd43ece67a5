"""Edits a list in front matter; the elements that stay keep their bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from contentops.digest import canonical
from contentops.yaml.mapping import YamlProblem, read_mapping
from contentops.yaml.write import write_scalar, write_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.yaml.mapping import Entry

Edit = tuple[int, int, str]
"""Start and end of the replaced part of a block, and its new text."""


def element_edit(block: str, entry: Entry, value: Any, newline: str) -> Edit | None:
    """The edit that makes the list of `entry` another one and leaves its elements as they are written.

    None: one of the two is no list, none of its elements stay, or they cannot be told apart.
    """
    if not (isinstance(entry.value, list) and isinstance(value, list) and value):
        return None
    present = {canonical(each) for each in entry.value}
    if not any(canonical(each) in present for each in value):
        return None
    return _below(block, entry, value, newline) if entry.block else _beside(block, entry, value)


def _below(block: str, entry: Entry, value: list[Any], newline: str) -> Edit | None:
    """The edit of a list with a line for each element."""
    start = block.rfind("\n", 0, entry.value_start) + 1
    end = block.find("\n", entry.value_end)
    end = start + len(block[start : len(block) if end < 0 else end].rstrip("\r"))
    indent = block[start : entry.value_start]
    if indent.strip(" "):
        return None
    lines = block[start:end].split("\n")
    pieces: list[list[str]] = []
    above: list[str] = []
    for line in lines:
        bare = line.strip()
        if re.match(rf"{indent}-(?:\s|$)", line):
            pieces.append([*above, line])
            above = []
        elif not bare or bare.startswith("#"):
            # A comment belongs to the element below it.
            above.append(line)
        elif pieces:
            pieces[-1] += [*above, line]
            above = []
    texts = ["\n".join(piece).removesuffix("\r") for piece in pieces]
    if above or not _are(texts, entry.value, lambda text: f"k:\n{text}"):
        return None
    chosen = _chosen(entry.value, texts, value, lambda one: _written_below(one, indent, newline))
    return start, end, newline.join(chosen)


def _written_below(value: Any, indent: str, newline: str) -> str:
    lines, _ = write_value([value], dates=True)
    return newline.join(f"{indent}{line[2:]}" for line in lines)


def _beside(block: str, entry: Entry, value: list[Any]) -> Edit | None:
    """The edit of a list in brackets; elements that are lists or maps are not added there."""
    text = block[entry.value_start : entry.value_end]
    added = [each for each in value if canonical(each) not in {canonical(old) for old in entry.value}]
    if not (text[0] == "[" and text[-1] == "]") or "#" in text or any(isinstance(one, list | dict) for one in added):
        return None
    pieces = _split(text[1:-1])
    end = pieces.pop() if len(pieces) > 1 and not pieces[-1].strip() else None
    texts = [piece.strip() for piece in pieces]
    if not _are(texts, entry.value, lambda each: f"k: [{each}]"):
        return None
    first = pieces[0][: len(pieces[0]) - len(pieces[0].lstrip())]
    other = pieces[1][: len(pieces[1]) - len(pieces[1].lstrip())] if len(pieces) > 1 else first or " "
    last = pieces[-1][len(pieces[-1].rstrip()) :] if end is None else f",{end}"
    chosen = _chosen(entry.value, texts, value, lambda one: write_scalar(one, dates=True))
    return entry.value_start, entry.value_end, f"[{first}{f',{other}'.join(chosen)}{last}]"


def _split(text: str) -> list[str]:
    """A list without its brackets, cut at the commas that are in no quotes and no inner brackets."""
    pieces, depth, quote = [""], 0, ""
    escaped = False
    for char in text:
        if quote:
            escaped, was = char == "\\" and quote == '"' and not escaped, escaped
            quote = "" if char == quote and not was else quote
        elif char in "\"'" and not pieces[-1].strip():
            quote = char
        else:
            depth += (char in "[{") - (char in "]}")
        if char == "," and not depth and not quote:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces


def _are(texts: list[str], values: list[Any], wrapped: Callable[[str], str]) -> bool:
    """Whether each text is one element with its value."""
    if len(texts) != len(values):
        return False
    try:
        read = [next(iter(read_mapping(f"{wrapped(text)}\n").values.values())) for text in texts]
    except YamlProblem:
        return False
    return canonical(read) == canonical([[value] for value in values])


def _chosen(before: list[Any], texts: list[str], after: list[Any], write: Callable[[Any], str]) -> list[str]:
    """The texts of the elements of `after`: as they were written before, else written."""
    written: dict[str, list[str]] = {}
    for value, text in zip(before, texts, strict=True):
        written.setdefault(canonical(value), []).append(text)
    return [written[key].pop(0) if written.get(key := canonical(value)) else write(value) for value in after]
