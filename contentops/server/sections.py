"""Sections of a Markdown text: from a heading line to the next heading of its level or above.

Headings are lines that start with `#`; those inside code fences or front matter are text.
"""

from __future__ import annotations

import re

from msgspec import Struct

_HEADING = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"^ {0,3}(?:(=)=*|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r"^ {0,3}(?:[#>|]|[-+*][ \t]|\d{1,9}[.)][ \t]|(?:[-*_][ \t]*){3,}$)|^(?: {4}|\t)")
_DEEPEST = 6


class SectionRange(Struct, frozen=True):
    """Where a section is: its heading's text and level, and the lines of its text as a half-open range."""

    heading: str
    level: int
    start: int
    end: int


def find(text: str, heading: str) -> SectionRange | None:
    """The first section with that heading, or None. `## Why now` and `why  now` name the same one."""
    lines = text.split("\n")
    wanted = _name(heading)
    headings = _headings(lines)
    for position, (line, level, name) in enumerate(headings):
        if _name(name) != wanted:
            continue
        ends = (other for other, depth, _ in headings[position + 1 :] if depth <= level)
        return SectionRange(name, level, line + 1, next(ends, len(lines)))
    return None


def body(text: str, found: SectionRange) -> str:
    """The text under the heading, without blank lines around it."""
    return "\n".join(text.split("\n")[found.start : found.end]).strip("\n")


def replace(text: str, found: SectionRange, new: str) -> str:
    """`text` with another text under the heading; everything outside the section stays as it is."""
    lines = text.split("\n")
    after = lines[found.end :]
    middle = ["", *new.strip("\n").split("\n"), ""] if new.strip("\n") else [""]
    # The end of the text keeps its single newline.
    return "\n".join([*lines[: found.start], *middle, *after])


def nested(text: str, level: int) -> str:
    """`text` made fit to stand under a heading of `level`: its own headings are deeper, its fences are closed.

    Headings keep their order of depth as far as there is room; where there is none they become bold lines.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    _unframed(lines)
    _underlined(lines)
    headings = _headings(lines)
    down = level + 1 - min((depth for _, depth, _ in headings), default=level + 1)
    for number, depth, name in headings:
        wanted = depth + max(0, down)
        lines[number] = f"{'#' * wanted} {name}".rstrip() if wanted <= _DEEPEST else f"**{name}**" if name else ""
    if fence := _read(lines)[1]:
        lines.append(fence)
    return "\n".join(lines)


def _unframed(lines: list[str]) -> None:
    """A first line that would start front matter, or hide what follows in it, is dropped."""
    while lines and lines[0].rstrip() in {"---", ""}:
        del lines[0]
    if not lines:
        lines.append("")


def _underlined(lines: list[str]) -> None:
    """Headings marked by a line of `=` or `-` under them, written with `#` instead."""
    outside = _read(lines)[0]
    for number in outside:
        mark = _UNDERLINE.match(lines[number])
        above = lines[number - 1] if number else ""
        if mark is None or number - 1 not in outside or not above.strip() or _NO_PARAGRAPH.match(above):
            continue
        lines[number - 1] = f"{'#' if mark[1] == '=' else '##'} {above.strip()}"
        lines[number] = ""


def _headings(lines: list[str]) -> list[tuple[int, int, str]]:
    found = []
    for number, line in _read(lines)[0].items():
        if heading := _HEADING.match(line):
            found.append((number, len(heading[1]), heading[2] or ""))
    return found


def _read(lines: list[str]) -> tuple[dict[int, str], str]:
    """The lines that are neither code nor front matter, by number; and the fence that is open at the end, or empty."""
    found: dict[int, str] = {}
    fence = ""
    for number in range(_after_front_matter(lines), len(lines)):
        line = lines[number].removesuffix("\r")
        mark = _FENCE.match(line)
        if fence:
            closes = mark is not None and mark[1].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
        elif mark is not None:
            fence = mark[1]
        else:
            found[number] = line
    return found, fence


def _after_front_matter(lines: list[str]) -> int:
    if lines[0].rstrip() != "---":
        return 0
    return next((number + 1 for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), 0)


def _name(heading: str) -> str:
    bare = _HEADING.match(heading.strip())
    name = bare[2] or "" if bare else heading
    # Escapes differ between writers: `R\&D` and `R&D` are one heading to a reader.
    return " ".join(re.sub(r"\\(?=[^\w\s])", "", name).split()).casefold()
