"""Shows the words that differ between two texts, for a terminal or a plain stream.

Lines that only one text has are shown whole. In changed lines, removed and added words are marked. The output is
sanitized.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from contentops.documents.blocks import Word
from contentops.documents.word_diff import Side, equal_pairs, phrases
from contentops.model import Json
from contentops.reporting.layout import paint
from contentops.sanitize import ELLIPSIS, json_text, visible

_WORDS = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
_ALIKE = 0.4
"""Two passages are shown as a changed one if they have at least this share of words in common."""
_ROOM = 80
"""The number of unchanged characters that are shown on each side of a change."""
_SIGNS = {Side.BOTH: " ", Side.GONE: "-", Side.NEW: "+", None: "!"}
_STYLES = {" ": "plain", "-": "remove", "+": "add", "@": "dim"}


class Passage(NamedTuple):
    """A sequence of words that is in both texts, only in the old text, or only in the new text."""

    side: Side
    text: str


class Part(NamedTuple):
    """The old and new version of an item's text or of some of its fields. `name` is empty for the text itself."""

    name: str
    before: str
    after: str


def fields(name: str, pairs: Mapping[str, tuple[Json, Json]]) -> Part:
    """Return the old and the new values of some keys for a comparison, with one line for each key."""
    sides = ([f"{key}: {_value(pair[at])}" for key, pair in pairs.items() if pair[at] is not None] for at in (0, 1))
    before, after = map("\n".join, sides)
    return Part(name, before, after)


def _value(value: Json) -> str:
    return value if isinstance(value, str) and len(value.splitlines()) < 2 else json_text(value, indent=None)


def difference_text(parts: Sequence[Part], old: str, new: str, *, coloured: bool) -> Iterator[str]:
    """Yield lines that show differences with colours, or with the marks `[-removed-]` and `{+added+}`."""
    for line in _lines(parts, old, new, _painted if coloured else _marked):
        yield paint(line, _STYLES.get(line[:1], "plain")) if coloured else line


def _lines(parts: Sequence[Part], old: str, new: str, show: Callable[[Sequence[Passage]], str]) -> Iterator[str]:
    first = True
    for part in parts:
        for head, lines in _hunks(part.before.splitlines(), part.after.splitlines()):
            if first:
                yield from (f"--- {visible(old)}", f"+++ {visible(new)}")
            first = False
            yield f"@@ {part.name or head} @@"
            yield from map(show, lines)


def _hunks(before: list[str], after: list[str]) -> Iterator[tuple[str, list[list[Passage]]]]:
    """Yield a heading and the lines for each range of lines in which two texts differ."""
    for group in _Comparison(before, after).get_grouped_opcodes():
        (_, first, _, other_start, _), (_, _, last, _, end) = group[0], group[-1]
        lines: list[list[Passage]] = []
        for tag, i, j, k, other in group:
            if tag == "equal":
                lines += ([Passage(Side.BOTH, line)] for line in before[i:j])
            else:
                lines += _changed(before[i:j], after[k:other])
        yield f"-{_span(first, last)} +{_span(other_start, end)}", lines


class _Comparison(difflib.SequenceMatcher[str]):
    """A faster `SequenceMatcher`, because difflib's own takes minutes for a long text with many edits."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__()
        self._matches = shared(before, after)

    def get_matching_blocks(self) -> list[difflib.Match]:
        return self._matches


def _span(start: int, end: int) -> str:
    """Return a range of line numbers in the notation of a unified diff, such as `3,2`."""
    size = end - start
    return f"{start + 1}" if size == 1 else f"{start + bool(size)},{size}"


def _changed(before: Sequence[str], after: Sequence[str]) -> list[list[Passage]]:
    """Return the lines that show how old lines were replaced by new ones. Similar lines are compared word by word.

    Otherwise the old lines come first, then the new ones.
    """
    old, new = (_WORDS.findall("".join(f"{line}\n" for line in lines)) for lines in (before, after))
    parts = phrases(tuple(map(Word, old)), tuple(map(Word, new))) if before and after else ()
    passages = [Passage(part.side, "".join(word.text for word in part.words)) for part in parts]
    unchanged = sum(
        len(passage.text) for passage in passages if passage.side is Side.BOTH and not passage.text.isspace()
    )
    if unchanged < _ALIKE * max(sum(map(len, before)), sum(map(len, after))) or not passages:
        return [*([Passage(Side.GONE, line)] for line in before), *([Passage(Side.NEW, line)] for line in after)]
    lines: list[list[Passage]] = [[]]
    for side, text in passages:
        *whole, rest = text.split("\n")
        for line in whole:
            lines[-1].append(Passage(side, line))
            lines.append([])
        if rest:
            lines[-1].append(Passage(side, rest))
    return [line for line in lines if line]


# --- one line ----------------------------------------------------------------------------------------------


def _side(line: Sequence[Passage]) -> Side | None:
    """Return which text has all words of a line: the old one, the new one or both. Return None if the line is mixed."""
    sides = {passage.side for passage in line}
    return sides.pop() if len(sides) == 1 else None


def _cut(line: Sequence[Passage]) -> Iterator[Passage]:
    """Yield the passages of a line, with long unchanged passages shortened to the words next to a change."""
    for at, (side, text) in enumerate(line):
        ahead, behind = bool(at), at < len(line) - 1
        if side is Side.BOTH and len(text) > 2 * _ROOM:
            start, end = text[:_ROOM] if ahead or not behind else "", text[-_ROOM:] if behind else ""
            yield Passage(side, f"{start}{ELLIPSIS}{end}")
        else:
            yield Passage(side, text)


def _marked(line: Sequence[Passage]) -> str:
    whole = _side(line)
    return _SIGNS[whole] + "".join(_with_marks(whole, passage) for passage in _cut(line))


def _with_marks(whole: Side | None, passage: Passage) -> str:
    text = visible(passage.text)
    if whole is not None or passage.side is Side.BOTH or not text:
        return text
    return f"[-{text}-]" if passage.side is Side.GONE else f"{{+{text}+}}"


def _painted(line: Sequence[Passage]) -> str:
    if _side(line) is not None:
        return _marked(line)
    words = (_in_colour(passage) for passage in _cut(line))
    return paint(_SIGNS[None], "change") + "".join(words)


def _in_colour(passage: Passage) -> str:
    text = visible(passage.text)
    if passage.side is Side.BOTH:
        return text
    # Spaces have no colour.
    text = text if text.strip() else _with_marks(None, passage)
    return paint(text, "remove" if passage.side is Side.GONE else "add")


# --- what both texts have ----------------------------------------------------------------------------------


def shared(before: Sequence[str], after: Sequence[str]) -> list[difflib.Match]:
    """Return the ranges of elements that two sequences share, in order. The last range is empty, as difflib expects."""
    pairs = enumerate(equal_pairs(tuple(before), tuple(after)))
    # In a run, both positions grow with the number of the pair.
    runs = itertools.groupby(pairs, key=lambda pair: (pair[1][0] - pair[0], pair[1][1] - pair[0]))
    found = [[pair for _, pair in run] for _, run in runs]
    return [*(difflib.Match(*run[0], len(run)) for run in found), difflib.Match(len(before), len(after), 0)]
