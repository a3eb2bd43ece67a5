"""Compares two Markdown texts as a reader sees them: blocks are paired, then the words of each pair.

The time grows with the length of the texts alone, whatever they are: words that both have once are matched first, then
their neighbours, then the same between two matches. What has no match by then counts as replaced.
"""

from __future__ import annotations

import enum
import functools
from bisect import bisect_left
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.documents.alignment import matched
from contentops.documents.blocks import EDGE, TextBlock, Word, parse_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALIKE: Final = 0.35
"""The share of their words that two blocks have in common, from which on they are one block that changed."""
# Bounds for hostile texts. Between two equal blocks, up to so many pairs of blocks are all compared; of more, only near
# ones are; of so many blocks, none are: they count as replaced. Between two matches, words are matched again so often.
_ALL_PAIRS, _NEAR, _MOST, _ROUNDS = 4_000, 8, 10_000, 12
_SENTENCE_ENDS: Final = frozenset(".!?\u2026\u3002\uff01\uff1f")


class Side(enum.StrEnum):
    """Which of two texts has some words."""

    BOTH = "both"
    GONE = "gone"
    """The old one alone."""
    NEW = "new"


class Phrase(Struct, frozen=True):
    """Words that follow each other on one side; those of both sides are the new text's."""

    side: Side
    words: tuple[Word, ...]

    @property
    def count(self) -> int:
        """How many words a reader counts in it."""
        return sum(word.counts for word in self.words)


class BlockDiff(Struct, frozen=True, dict=True):
    """A block of both texts, or of one of them. The words of `parts` that a side has are its block, joined."""

    old: TextBlock | None
    new: TextBlock | None
    parts: tuple[Phrase, ...]

    @property
    def block(self) -> TextBlock:
        """The block as it is now, or was."""
        block = self.new if self.new is not None else self.old
        assert block is not None
        return block

    @functools.cached_property
    def is_same(self) -> bool:
        """Whether both texts have it with these words."""
        return self.old is not None and self.new is not None and all(part.side is Side.BOTH for part in self.parts)

    @property
    def edits(self) -> int:
        """How many edits a reader sees: words that are gone and those in their place are one."""
        if self.old is None or self.new is None:
            return 1
        return sum(not is_same for is_same, _ in groupby(self.parts, key=lambda part: part.side is Side.BOTH))


class TextDiff(Struct, frozen=True, dict=True):
    """Two texts side by side. `is_same`: in every character, marks of Markdown included."""

    blocks: tuple[BlockDiff, ...]
    is_same: bool

    @functools.cached_property
    def edits(self) -> int:
        """The same of all blocks. Without any, two texts may still differ in what Markdown does not show."""
        return sum(block.edits for block in self.blocks if not block.is_same)

    def count(self, side: Side) -> int:
        """How many words one side alone has."""
        return sum(part.count for block in self.blocks for part in block.parts if part.side == side)


def word_diff(old: str, new: str) -> TextDiff:
    """The difference of two cleaned bodies."""
    was = parse_blocks(old)
    now = was if old == new else parse_blocks(new)
    names: dict[tuple[object, ...], int] = {}
    ids = [tuple(names.setdefault((*block.shape, block.words), len(names)) for block in side) for side in (was, now)]
    diffs: list[BlockDiff] = []
    for (i, j), (k, m) in pairwise([(-1, -1), *_matches(*ids), (len(was), len(now))]):
        diffs += _between(was[i + 1 : k], now[j + 1 : m])
        if k < len(was):
            diffs.append(BlockDiff(was[k], now[m], (Phrase(Side.BOTH, now[m].words),)))
    return TextDiff(tuple(diffs), is_same=old == new)


def _matches(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[int, int]]:
    """The indexes of equal elements, rising on both sides."""
    found, gaps = {-1: -1, len(old): len(new)}, [(-1, -1, len(old), len(new))]
    for _ in range(_ROUNDS):
        again: list[tuple[int, int, int, int]] = []
        for low, left, high, right in gaps:
            inner = matched(old[low + 1 : high], new[left + 1 : right])
            pairs = [(low + 1 + one, left + 1 + other) for one, other in sorted(inner.items())]
            found.update(pairs)
            if pairs:
                ends = pairwise([(low, left), *pairs, (high, right)])
                again += [(a, b, c, d) for (a, b), (c, d) in ends if c - a > 1 and d - b > 1]
        gaps = again
    return [pair for pair in sorted(found.items()) if 0 <= pair[0] < len(old)]


# --- blocks ----------------------------------------------------------------------------------------------------


def _between(was: Sequence[TextBlock], now: Sequence[TextBlock]) -> Iterator[BlockDiff]:
    """The blocks between two equal ones: those that are alike are paired, in the order of the texts."""
    for (i, j), (k, m) in pairwise([(-1, -1), *_pairs(was, now), (len(was), len(now))]):
        yield from _replaced(was[i + 1 : k], now[j + 1 : m])
        if k < len(was):
            yield from _changed(was[k], now[m])


def _pairs(was: Sequence[TextBlock], now: Sequence[TextBlock]) -> list[tuple[int, int]]:
    if len(was) + len(now) > _MOST:
        return []
    sets = [[frozenset(word for word in block.words if word.counts) for block in side] for side in (was, now)]
    every = len(was) * len(now) <= _ALL_PAIRS
    scored: list[tuple[float, int, int]] = []
    for j, block in enumerate(now):
        at = j * len(was) // len(now)
        near = range(len(was)) if every else range(max(at - _NEAR, 0), min(at + _NEAR, len(was)))
        for i in near:
            one, other = sets[0][i], sets[1][j]
            alike = 2 * len(one & other) / ((len(one) + len(other)) or 1)
            if alike >= ALIKE and was[i].shape == block.shape:
                scored.append((-alike, i, j))
    taken: list[tuple[int, int]] = []
    for _, i, j in sorted(scored):
        at = bisect_left(taken, (i, j))
        before = taken[at - 1] if at else (-1, -1)
        after = taken[at] if at < len(taken) else (len(was), len(now))
        if before[0] < i < after[0] and before[1] < j < after[1]:
            taken.insert(at, (i, j))
    return taken


def _replaced(was: Sequence[TextBlock], now: Sequence[TextBlock]) -> Iterator[BlockDiff]:
    yield from (BlockDiff(block, None, (Phrase(Side.GONE, block.words),)) for block in was)
    yield from (BlockDiff(None, block, (Phrase(Side.NEW, block.words),)) for block in now)


def _changed(old: TextBlock, new: TextBlock) -> Iterator[BlockDiff]:
    parts = tuple(phrases(old.words, new.words))
    if all(EDGE not in part.words for part in parts if part.side is not Side.BOTH):
        yield BlockDiff(old, new, parts)
    else:  # cells came or went, so that the rows have no words in common cells
        yield from _replaced([old], [new])


# --- words -----------------------------------------------------------------------------------------------------

Run = tuple[int, int, int]
"""Words that are equal: where they start in the old and in the new text, and where they end in the new one."""


def phrases(old: tuple[Word, ...], new: tuple[Word, ...]) -> Iterator[Phrase]:
    """The words of both sides, with changes that lie close together as one."""
    names: dict[Word, int] = {}
    ids = [tuple(names.setdefault(word, len(names)) for word in side) for side in (old, new)]
    equal = _matches(*ids)
    i = j = 0  # where what is neither equal nor written yet begins
    ends = [*_kept_apart(old, new, equal), (len(old), len(new), len(new))]
    for k, m, after in ends:
        for side, words in ((Side.GONE, old[i:k]), (Side.NEW, new[j:m]), (Side.BOTH, new[m:after])):
            if words:
                yield Phrase(side, words)
        i, j = k + after - m, after


def _kept_apart(old: Sequence[Word], new: Sequence[Word], equal: list[tuple[int, int]]) -> Iterator[Run]:
    """The runs of equal words but for those that make one change of two."""
    start = 0
    for number, (i, j) in enumerate(equal, start=1):
        if number == len(equal) or equal[number] != (i + 1, j + 1):
            run = (*equal[start], j + 1)
            is_at_an_end = equal[start] == (0, 0) or (i + 1, j + 1) == (len(old), len(new))
            if is_at_an_end or _keeps_apart(new[run[1] : run[2]]):
                yield run
            start = number


def _keeps_apart(words: Sequence[Word]) -> bool:
    """Whether two changes with these words between them are two: several words, or the end of a sentence or cell."""
    return sum(word.counts for word in words) > 1 or any(word.text in _SENTENCE_ENDS or word == EDGE for word in words)
