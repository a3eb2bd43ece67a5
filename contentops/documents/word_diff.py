"""Compares Markdown texts by the words that a reader sees, and merges a new text with a person's edits.

The time grows only with the length of the texts. Words that both texts have exactly once are matched first, then their
neighbours, and then the same between two matches. All words without a match count as replaced.

To find similar texts, a text is the set of its runs of `RUN` words, each as a number. Two texts are compared exactly,
by the share of runs that both have (Jaccard).
"""

from __future__ import annotations

import enum
import functools
import itertools
import math
import re
import unicodedata
import zlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Final, TypeVar

from msgspec import Struct

from contentops.documents.blocks import EDGE, TextBlock, Word, parse_blocks
from contentops.documents.checks import UNSPACED, words_of
from contentops.documents.clean import clean_body
from contentops.sections import Key, cut

# ---- Aligns sequences: which elements of one are those of another.

T = TypeVar("T")


def matched(base: tuple[T, ...], side: tuple[T, ...]) -> dict[int, int]:
    """Return a map from the indexes of common elements in `base` to their indexes in `side`.

    Common elements are those that are unique in both sequences, and equal neighbours of these.
    """
    once = [{each for each, count in Counter(sequence).items() if count == 1} for sequence in (base, side)]
    both = once[0] & once[1]
    positions = {each: number for number, each in enumerate(base) if each in both}
    pairs = [(positions[each], number) for number, each in enumerate(side) if each in positions]
    pairs = [pairs[number] for number in rising([one for one, _ in pairs])]
    matched = dict(pairs)
    for (low, left), (high, right) in pairwise([(-1, -1), *pairs, (len(base), len(side))]):
        one, other = low + 1, left + 1
        while one < high and other < right and base[one] == side[other]:
            matched[one] = other
            one, other = one + 1, other + 1
        last, end = high - 1, right - 1
        while last >= one and end >= other and base[last] == side[end]:
            matched[last] = end
            last, end = last - 1, end - 1
    return matched


def rising(numbers: Sequence[int]) -> list[int]:
    """Return the indexes of a longest increasing subsequence. No number may come twice."""
    tails: list[int] = []
    tail_indexes: list[int] = []
    before: list[int] = []
    for index, number in enumerate(numbers):
        at = bisect_left(tails, number)
        tails[at : at + 1] = [number]
        tail_indexes[at : at + 1] = [index]
        before.append(tail_indexes[at - 1] if at else -1)
    run: list[int] = []
    index = tail_indexes[-1] if tail_indexes else -1
    while index >= 0:
        run.append(index)
        index = before[index]
    return run[::-1]


# ---- Compares two Markdown texts as a reader sees them: blocks are paired, then the words of each pair.

ALIKE: Final = 0.35
"""The share of common words from which on two blocks count as one block that changed."""
# Bounds for hostile texts. Between two equal blocks, up to so many pairs of blocks are all compared; of more, only near
# ones are; of so many blocks, none are: they count as replaced. Between two matches, words are matched again so often.
_ALL_PAIRS, _NEAR, _MOST, _ROUNDS = 4_000, 8, 10_000, 12
_SENTENCE_ENDS: Final = frozenset(".!?\u2026\u3002\uff01\uff1f")


class Side(enum.StrEnum):
    """Says where words occur: only in the old text, only in the new text, or in both."""

    BOTH = "both"
    GONE = "gone"
    """Only the old text has the words."""
    NEW = "new"


class Phrase(Struct, frozen=True):
    """Consecutive words that are only in the old text, only in the new text, or in both."""

    side: Side
    words: tuple[Word, ...]

    @property
    def count(self) -> int:
        """Return how many words of the phrase a reader would count."""
        return sum(word.counts for word in self.words)


class BlockDiff(Struct, frozen=True, dict=True):
    """A block of two compared texts. Both texts have it, or only one of them has it.

    The words of `parts` that one text has, joined, are its block.
    """

    old: TextBlock | None
    new: TextBlock | None
    parts: tuple[Phrase, ...]

    @property
    def block(self) -> TextBlock:
        """Return the block of the new text, or that of the old text if the block was removed."""
        block = self.new if self.new is not None else self.old
        assert block is not None
        return block

    @functools.cached_property
    def is_same(self) -> bool:
        """Return whether the block has the same words in both texts."""
        return self.old is not None and self.new is not None and all(part.side is Side.BOTH for part in self.parts)

    @property
    def edits(self) -> int:
        """Return the number of edits that a reader sees in this block. A replacement counts once."""
        if self.old is None or self.new is None:
            return 1
        return sum(not is_same for is_same, _ in groupby(self.parts, key=lambda part: part.side is Side.BOTH))


class TextDiff(Struct, frozen=True, dict=True):
    """The differences between two texts, block by block. `is_same`: the texts are equal in every character."""

    blocks: tuple[BlockDiff, ...]
    is_same: bool

    @functools.cached_property
    def edits(self) -> int:
        """Return the number of edits in all blocks.

        If it is 0, the texts may still differ in characters that Markdown does not show.
        """
        return sum(block.edits for block in self.blocks if not block.is_same)

    def count(self, side: Side) -> int:
        """Return the number of words that occur only in the old text, only in the new text, or in both."""
        return sum(part.count for block in self.blocks for part in block.parts if part.side == side)


def word_diff(old: str, new: str) -> TextDiff:
    """Return the differences between two cleaned bodies."""
    was = parse_blocks(old)
    now = was if old == new else parse_blocks(new)
    names: dict[tuple[object, ...], int] = {}
    ids = [tuple(names.setdefault((*block.shape, block.words), len(names)) for block in side) for side in (was, now)]
    diffs: list[BlockDiff] = []
    for (i, j), (k, m) in pairwise([(-1, -1), *equal_pairs(*ids), (len(was), len(now))]):
        diffs += _between(was[i + 1 : k], now[j + 1 : m])
        if k < len(was):
            diffs.append(BlockDiff(was[k], now[m], (Phrase(Side.BOTH, now[m].words),)))
    return TextDiff(tuple(diffs), is_same=old == new)


def equal_pairs(old: tuple[T, ...], new: tuple[T, ...]) -> list[tuple[int, int]]:
    """Return the pairs of indexes of equal elements in two sequences, in ascending order."""
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
    """Yield the differences between two lists of blocks, in text order. Similar blocks are paired."""
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
"""Equal words: where they start in the old text and in the new text, and where they end in the new text."""


def phrases(old: tuple[Word, ...], new: tuple[Word, ...]) -> Iterator[Phrase]:
    """Split the words of two texts into phrases, each from only the old text, only the new text, or both.

    Changes close to each other are one phrase.
    """
    names: dict[Word, int] = {}
    ids = [tuple(names.setdefault(word, len(names)) for word in side) for side in (old, new)]
    equal = equal_pairs(*ids)
    i = j = 0  # where what is neither equal nor written yet begins
    ends = [*_kept_apart(old, new, equal), (len(old), len(new), len(new))]
    for k, m, after in ends:
        for side, words in ((Side.GONE, old[i:k]), (Side.NEW, new[j:m]), (Side.BOTH, new[m:after])):
            if words:
                yield Phrase(side, words)
        i, j = k + after - m, after


def _kept_apart(old: Sequence[Word], new: Sequence[Word], equal: list[tuple[int, int]]) -> Iterator[Run]:
    """Yield the runs of equal words that separate two changes.

    A run that is too short is left out, so that the changes around it are shown as one.
    """
    start = 0
    for number, (i, j) in enumerate(equal, start=1):
        if number == len(equal) or equal[number] != (i + 1, j + 1):
            run = (*equal[start], j + 1)
            is_at_an_end = equal[start] == (0, 0) or (i + 1, j + 1) == (len(old), len(new))
            if is_at_an_end or _keeps_apart(new[run[1] : run[2]]):
                yield run
            start = number


def _keeps_apart(words: Sequence[Word]) -> bool:
    """Return whether equal words are enough to show the changes around them separately.

    There must be several, or the end of a sentence or cell.
    """
    return sum(word.counts for word in words) > 1 or any(word.text in _SENTENCE_ENDS or word == EDGE for word in words)


# ---- How much of a text is no more what it was: by words, in linear time.


def changed_share(before: str, after: str) -> float:
    """Return the share of words (0 to 1) that only one of two bodies has. The longer body counts as 1.

    Moved words, white space, and marks without a letter or digit do not count.
    """
    old, new = Counter(words_of(before)), Counter(words_of(after))
    most = max(old.total(), new.total())
    return round(1 - (old & new).total() / most, 4) if most else 0.0


# ---- How similar the texts of a group are, once the values of their own rows are masked.

RUN: Final = 5
"""The number of words in a run. A shorter text is one run."""
LONGEST_NAME: Final = 12
"""The most words of a value that is masked. A longer value says something about its row."""

_WORDS: Final = re.compile(f"[^\\W_{UNSPACED}]+|[{UNSPACED}]")
_SPACES: Final = bytes(byte if chr(byte).isalnum() else 32 for byte in range(128)) + bytes(128)
"""The replacement of each byte of an ASCII text: all bytes except letters and digits become spaces."""
_MASK: Final = b" * "
_LONGEST: Final = 500
"""The most characters of a value that is masked."""


def words_in(text: str) -> list[bytes]:
    """Return the words of a text in lower case. In scripts without spaces, each character is a word."""
    if text.isascii():  # the same, in a third of the time
        return text.lower().encode().translate(_SPACES).split()
    return list(map(str.encode, _WORDS.findall(unicodedata.normalize("NFC", text).casefold())))


def names_in(row: object) -> tuple[str, ...]:
    """Return the values of a data row that are masked in a text before texts are compared.

    These are texts and numbers of at most `LONGEST_NAME` words, longer than a letter, also those inside of maps and
    lists. Each comes once, the longest first.
    """
    words = {value: words_in(value) for value in _values(row) if len(value) <= _LONGEST}
    names = {" ".join(map(bytes.decode, each)) for each in words.values() if len(each) <= LONGEST_NAME}
    return tuple(
        sorted((each for each in names if len(each) > 1 or each.isdigit()), key=lambda each: (-len(each), each))
    )


def _values(row: object) -> Iterator[str]:
    if isinstance(row, str):
        yield row
    elif isinstance(row, int | float) and not isinstance(row, bool):
        yield str(row)
    elif isinstance(row, Mapping | list):
        for value in row.values() if isinstance(row, Mapping) else row:
            yield from _values(value)


def masked(words: Sequence[bytes], names: Iterable[str]) -> Sequence[bytes]:
    """Return the words of a text with the same placeholder in place of each name. The names come from `names_in`."""
    # Each word has its own space on both sides, so that two names in a row are both found.
    text = before = b" %b " % b"  ".join(words)
    for name in names:
        text = text.replace(b" %b " % name.encode().replace(b" ", b"  "), _MASK)
    return words if text is before else text.split()


def runs_of(words: Sequence[bytes]) -> frozenset[int]:
    """Return the checksum of each sequence of `RUN` consecutive words in a text."""
    if len(words) < RUN:
        return frozenset([zlib.crc32(b" ".join(words))] if words else [])
    runs = zip(*(itertools.islice(words, start, None) for start in range(RUN)), strict=False)
    # All of this runs in C: a text of 800 words takes 0.3 ms.
    return frozenset(map(zlib.crc32, map(b" ".join, runs)))


def similar_pairs(texts: Mapping[str, frozenset[int]], most: float) -> Iterator[tuple[str, str, float]]:
    """Yield each pair of texts that are too similar, with the share of word runs that both have (up to 1).

    A pair is too similar if its share is higher than `most`.
    """
    counts = Counter(itertools.chain.from_iterable(texts.values()))
    having: defaultdict[int, list[str]] = defaultdict(list)
    for name, runs in texts.items():
        # Two texts with that share have one of these in common: without them, too few are left.
        rarest = sorted(runs, key=lambda run: (counts[run], run))[: len(runs) - math.ceil(most * len(runs)) + 1]
        for other in {other for run in rarest for other in having[run]}:
            both = len(runs & texts[other])
            share = both / (len(runs) + len(texts[other]) - both)
            if share > most:
                yield other, name, share
        for run in rarest:
            having[run].append(name)


# ---- Merges a new generation with a hand edit, section by section (see `sections`), without losing a person's words.


class KeptSection(Struct, frozen=True, kw_only=True):
    """A section that keeps a person's edit. It also has the new text that is not used for it."""

    key: Key
    new: str = ""
    """The section in the new text; empty if the new text does not have it."""


class Renewed(Struct, frozen=True, kw_only=True):
    """A new text with the edits that a person made in the earlier text."""

    body: str
    kept: tuple[KeptSection, ...] = ()
    """The sections of the person in the order of the file, then the sections that the person removed."""


def take_new(base: str, edited: str, new: str) -> Renewed | None:
    """Return the new text with the edits that a person made from `base` to `edited`.

    Sections that the person changed, added, removed, renamed or moved stay. Every other section comes from the new
    text, in its order if the person did not move sections. A kept section that the new text lacks stays behind the one
    that it followed. The result is None if a section leaves a code block or comment open that would take in the next
    section.
    """
    if clean_body(edited) == clean_body(base):
        return Renewed(body=new)
    was, now, generated = _sections(base), _sections(edited), _sections(new)
    persons, put, removed = _of_a_person(was, now)
    kept = [KeptSection(key=key, new=generated.get(key, "")) for key in now if key in persons]
    kept += [KeptSection(key=key, new=generated[key]) for key in removed if key in generated]
    if clean_body(new) == clean_body(base):
        return Renewed(body=edited, kept=tuple(kept))
    before, after = _counted(was), _counted(now)
    free = {key for key in generated if key not in persons and before[key[:2]] == after[key[:2]]}
    frame = [key for key in generated if key in free or (key in persons and key not in put)]
    order = _placed(frame, now, [key for key in now if key in persons])
    body = _joined((now[key] if key in persons else generated[key] for key in order), now, generated)
    if [section.key[:2] for section in cut(body)] != [key[:2] for key in order]:
        return None
    return Renewed(body=body, kept=tuple(kept))


def touched(base: str, edited: str) -> tuple[Key, ...]:
    """Return the sections that a person changed, added or moved, and then those that the person removed."""
    now = _sections(edited)
    persons, _, removed = _of_a_person(_sections(base), now)
    return (*(key for key in now if key in persons), *removed)


def _of_a_person(was: Mapping[Key, str], now: Mapping[Key, str]) -> tuple[set[Key], set[Key], list[Key]]:
    """Return the sections that a person changed, those that were moved or added, and those that were removed.

    The first group contains the second.
    """
    before, after = _counted(was), _counted(now)
    positions = {key: number for number, key in enumerate(was)}
    common = [key for key in now if key in positions]
    put = set(now) - {common[number] for number in rising([positions[key] for key in common])}
    # If one of several sections with one heading was removed or added, no one knows which: all of them are a person's.
    persons = {key for key in now if before[key[:2]] != after[key[:2]] or was[key].strip() != now[key].strip()}
    removed = [key for key in was if before[key[:2]] != after[key[:2]] and key not in now]
    return persons | put, put, removed


def _counted(sections: Iterable[Key]) -> Counter[tuple[int, str]]:
    return Counter(key[:2] for key in sections)


def _placed(frame: list[Key], now: Iterable[Key], persons: Iterable[Key]) -> list[Key]:
    """Return the sections of `frame`, and between them the person's sections that it lacks.

    Each of the person's sections is put after the section that it follows in `now`.
    """
    placed, wanted, edited = set(frame), set(persons), set(now)
    behind: dict[Key | None, list[Key]] = defaultdict(list)
    # The text before the first heading stays first.
    anchor = frame[0] if frame and frame[0].level == 0 else None
    for key in now:
        if key in placed:
            anchor = key
        elif key in wanted:
            behind[anchor].append(key)
    order, waiting = [*behind[None]], list[Key]()
    for key in frame:
        # New sections below the one before it belong to that one.
        if waiting and (key in edited or key.level <= waiting[0].level):
            order += waiting
            waiting = []
        order.append(key)
        waiting = behind[key] or waiting
    return order + waiting


def _sections(body: str) -> dict[Key, str]:
    """Return the sections of a body by their keys. The last section also ends with a blank line."""
    return {section.key: section.text for section in cut(_padded(body))}


def _padded(body: str) -> str:
    text = body.rstrip("\n")
    return f"{text}\n\n" if text else ""


def _joined(texts: Iterable[str], *sources: Mapping[Key, str]) -> str:
    """Join sections into one body. A blank line is added where a heading would merge with the line before it.

    Sections that are neighbours in one of the `sources` get no blank line.
    """
    joined: list[str] = []
    beside = {pair for source in sources for pair in pairwise(source.values())}
    for text in filter(None, texts):
        if joined and not joined[-1].endswith("\n\n") and not text.startswith("#") and (joined[-1], text) not in beside:
            joined.append("\n")
        joined.append(text)
    return clean_body("".join(joined))
