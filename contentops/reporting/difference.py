"""How one text differs from another, by words: for a terminal, for a plain stream and for Markdown; harmless in each.

Lines that stand in one text alone are shown whole. Of lines that were changed, the words that are gone and those that
are new are marked, and what is far from any change is left out.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from contentops.documents.alignment import rising
from contentops.reporting.layout import paint
from contentops.reporting.plan_markdown import code, fence
from contentops.sanitize import ELLIPSIS, json_text, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contentops.model import Json

_WORDS = re.compile(r"\n|[^\S\n]+|\w+|[^\w\s]")
_ALIKE = 0.4
"""The share of their words that two passages have in common, at least, to be shown as one that was changed."""
_ROOM = 80
"""Characters that stay of an unchanged stretch on either side of a change."""
_MOST = 1 << 20
"""Pairs of lines that are compared at most between two lines that both texts have once; a larger gap is replaced."""
_SIGNS = {"same": " ", "removed": "-", "added": "+", "changed": "!"}
_STYLES = {" ": "plain", "-": "remove", "+": "add", "@": "move"}


class Passage(NamedTuple):
    """Words that both texts have (`same`), that only the first (`removed`) or only the second (`added`) has."""

    kind: str
    text: str


class Part(NamedTuple):
    """Two texts that belong together, and what they are; empty: the text itself."""

    name: str
    before: str
    after: str


def fields(name: str, pairs: Mapping[str, tuple[Json, Json]]) -> Part:
    """Values before and after by their keys, as a part: a line for each key that a side has."""
    sides = ([f"{key}: {_value(pair[at])}" for key, pair in pairs.items() if pair[at] is not None] for at in (0, 1))
    before, after = map("\n".join, sides)
    return Part(name, before, after)


def _value(value: Json) -> str:
    return value if isinstance(value, str) and len(value.splitlines()) < 2 else json_text(value, indent=None)


def difference_text(parts: Sequence[Part], old: str, new: str, *, coloured: bool) -> Iterator[str]:
    """The lines for a terminal: signs and colours, or `[-gone-]` and `{+new+}` where there are none."""
    for line in _lines(parts, old, new, _painted if coloured else _marked):
        yield paint(line, _STYLES.get(line[:1], "plain")) if coloured else line


def difference_markdown(parts: Sequence[Part], old: str, new: str) -> Iterator[str]:
    """The same as a block of code that nothing in the texts can end, under a line that says what is compared."""
    lines = list(_lines(parts, old, new, _marked))
    if not lines:
        yield f"{code(new)} does not differ from {code(old)}."
        return
    ticks = fence(lines)
    yield from (f"{code(old)} → {code(new)}", "", f"{ticks}diff", *lines, ticks)


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
    """The places where two texts differ, each with its head and its lines."""
    for group in _Comparison(before, after).get_grouped_opcodes():
        (_, first, _, there, _), (_, _, last, _, end) = group[0], group[-1]
        lines: list[list[Passage]] = []
        for tag, i, j, k, other in group:
            if tag == "equal":
                lines += ([Passage("same", line)] for line in before[i:j])
            else:
                lines += _changed(before[i:j], after[k:other])
        yield f"-{_span(first, last)} +{_span(there, end)}", lines


class _Comparison(difflib.SequenceMatcher[str]):
    """Its own way to match takes minutes for a long text that was edited all over."""

    def __init__(self, before: list[str], after: list[str]) -> None:
        super().__init__()
        ends = difflib.Match(len(before), len(after), 0)
        self._matches = [*map(difflib.Match._make, shared(before, after)), ends]

    def get_matching_blocks(self) -> list[difflib.Match]:
        return self._matches


def _span(start: int, end: int) -> str:
    """A range of lines as a unified diff writes it; an empty range names the line before it."""
    size = end - start
    return f"{start + 1}" if size == 1 else f"{start + bool(size)},{size}"


def _changed(before: Sequence[str], after: Sequence[str]) -> list[list[Passage]]:
    """Lines that took the place of others: word by word where they are alike, else those before and those after."""
    old, new = (_WORDS.findall("".join(f"{line}\n" for line in lines)) for lines in (before, after))
    passages = passages_of(old, new) if before and after else []
    kept = sum(len(passage.text) for passage in passages if passage.kind == "same" and not passage.text.isspace())
    if kept < _ALIKE * max(sum(map(len, before)), sum(map(len, after))) or not passages:
        return [*([Passage("removed", line)] for line in before), *([Passage("added", line)] for line in after)]
    lines: list[list[Passage]] = [[]]
    for kind, text in passages:
        *whole, rest = text.split("\n")
        for line in whole:
            lines[-1].append(Passage(kind, line))
            lines.append([])
        if rest:
            lines[-1].append(Passage(kind, rest))
    return [line for line in lines if line]


def passages_of(old: Sequence[str], new: Sequence[str]) -> list[Passage]:
    """The words of two texts as passages, in order; no two of one kind follow each other."""
    found: list[Passage] = []
    here = there = 0
    for run in [*shared(old, new), (len(old), len(new), 0)]:
        one, other, size = run
        gone, come = "".join(old[here:one]), "".join(new[there:other])
        same = "".join(old[one : one + size])
        found += [Passage(kind, text) for kind, text in (("removed", gone), ("added", come), ("same", same)) if text]
        here, there = one + size, other + size
    return _joined(found)


def _joined(passages: Sequence[Passage]) -> list[Passage]:
    """Spaces and signs between two changes are part of one change: what is read are phrases."""
    found: list[Passage] = []
    gone = come = ""
    for at, (kind, text) in enumerate(passages):
        between = kind == "same" and 0 < at < len(passages) - 1 and not re.search(r"[\w\n]", text)
        gone += text if kind == "removed" or between else ""
        come += text if kind == "added" or between else ""
        if kind == "same" and not between:
            # A space that both end with is no part of the change.
            end = " " if gone.endswith(" ") and come.endswith(" ") else ""
            changes = (("removed", gone.removesuffix(end)), ("added", come.removesuffix(end)))
            found += [Passage(*each) for each in changes if each[1]]
            found.append(Passage(kind, end + text))
            gone = come = ""
    return [*found, *(Passage(*each) for each in (("removed", gone), ("added", come)) if each[1])]


# --- one line ----------------------------------------------------------------------------------------------


def _kind(line: Sequence[Passage]) -> str:
    kinds = {passage.kind for passage in line}
    return kinds.pop() if len(kinds) == 1 else "changed"


def _cut(line: Sequence[Passage]) -> Iterator[Passage]:
    """The line with its long unchanged stretches cut to what stands next to a change."""
    for at, (kind, text) in enumerate(line):
        ahead, behind = bool(at), at < len(line) - 1
        if kind == "same" and len(text) > 2 * _ROOM:
            start, end = text[:_ROOM] if ahead or not behind else "", text[-_ROOM:] if behind else ""
            yield Passage(kind, f"{start}{ELLIPSIS}{end}")
        else:
            yield Passage(kind, text)


def _marked(line: Sequence[Passage]) -> str:
    kind = _kind(line)
    return _SIGNS[kind] + "".join(_with_marks(kind, passage) for passage in _cut(line))


def _with_marks(whole: str, passage: Passage) -> str:
    kind, text = passage.kind, visible(passage.text)
    if whole != "changed" or kind == "same" or not text:
        return text
    return f"[-{text}-]" if kind == "removed" else f"{{+{text}+}}"


def _painted(line: Sequence[Passage]) -> str:
    kind = _kind(line)
    if kind != "changed":
        return _marked(line)
    words = (_in_colour(passage) for passage in _cut(line))
    return paint(_SIGNS[kind], "change") + "".join(words)


def _in_colour(passage: Passage) -> str:
    kind, text = passage.kind, visible(passage.text)
    if kind == "same":
        return text
    # Spaces have no colour.
    text = text if text.strip() else _with_marks("changed", passage)
    return paint(text, "remove" if kind == "removed" else "add")


# --- the lines that both have, in time that grows with their length however many differ ------------------------


class Shared(NamedTuple):
    """`size` lines that are the same from line `before` of the one text and line `after` of the other on (from 0)."""

    before: int
    after: int
    size: int


def shared(before: Sequence[str], after: Sequence[str]) -> list[Shared]:
    """The runs of lines that both texts have, in order; no run goes on where the one before it ends."""
    found: list[Shared] = []
    for run in _pieces(before, after):
        last = found[-1] if found else None
        if last is not None and (last.before + last.size, last.after + last.size) == run[:2]:
            found[-1] = last._replace(size=last.size + run.size)
        else:
            found.append(run)
    return found


def _pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[Shared]:
    """Line after line that both have once, and what is alike between two of them."""
    here = there = 0
    for one, other in [*_anchors(before, after), (len(before), len(after))]:
        for run in _alike(before[here:one], after[there:other]):
            yield Shared(here + run.before, there + run.after, run.size)
        if one < len(before):
            yield Shared(one, other, 1)
        here, there = one + 1, other + 1


def _alike(before: Sequence[str], after: Sequence[str]) -> Iterator[Shared]:
    if not before or not after:
        return
    if len(before) * len(after) > _MOST:
        yield from _ends(before, after)
        return
    for match in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        if match.size:
            yield Shared(*match)


def _ends(before: Sequence[str], after: Sequence[str]) -> Iterator[Shared]:
    """What two long passages begin and end with alike, and what is alike between, if that is not too long."""
    most = min(len(before), len(after))
    start = next((at for at in range(most) if before[at] != after[at]), most)
    end = next((at for at in range(most - start) if before[-1 - at] != after[-1 - at]), most - start)
    if start:
        yield Shared(0, 0, start)
    one, other = before[start : len(before) - end], after[start : len(after) - end]
    if len(one) * len(other) <= _MOST:
        yield from (Shared(start + run.before, start + run.after, run.size) for run in _alike(one, other))
    if end:
        yield Shared(len(before) - end, len(after) - end, end)


def _anchors(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """The places of lines that each text has once: the longest chain of them that comes in the same order in both."""
    counts, others = Counter(before), Counter(after)
    places = {line: number for number, line in enumerate(after) if others[line] == counts[line] == 1}
    pairs = [(number, places[line]) for number, line in enumerate(before) if line in places]
    return [pairs[at] for at in rising([place for _, place in pairs])]
