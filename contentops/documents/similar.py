"""How similar the texts of a group are, once the values of their own rows are masked; in bounded time and memory.

A text is the set of its runs of `RUN` words, each as a number. Two texts are compared exactly, by the share of their
runs that both have (Jaccard). Which ones are compared is found in an index of the `SAMPLE` smallest numbers of each
text: similar texts have many of these in common. The numbers are CRC-32, so that every process finds the same.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
import unicodedata
import zlib
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from contentops.documents.checks import UNSPACED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RUN: Final = 5
"""Words of a run; a shorter text is one run."""
SAMPLE: Final = 32
"""Numbers of each text in the index."""
FULL: Final = 64
"""Texts that the index keeps for one number: a run that more of them have tells little."""
COMPARED: Final = 8
"""Texts that one text is compared with exactly: those with most numbers in common."""
LONGEST_NAME: Final = 12
"""Words of a value that is masked, at most; a longer one says something about its row."""

_WORDS: Final = re.compile(f"[^\\W_{UNSPACED}]+|[{UNSPACED}]")
_SPACES: Final = bytes(byte if chr(byte).isalnum() else 32 for byte in range(128)) + bytes(128)
"""What becomes of each byte of a text in ASCII: all but letters and digits are spaces."""
_MASK: Final = b" * "
_LONGEST: Final = 500
"""Characters of a value that is masked, at most."""
_NUMBERS: Final = 2**32


def words_in(text: str) -> list[bytes]:
    """The words of a text in order, without case; each character of scripts without spaces is one."""
    if text.isascii():  # the same, in a third of the time
        return text.lower().encode().translate(_SPACES).split()
    return list(map(str.encode, _WORDS.findall(unicodedata.normalize("NFC", text).casefold())))


def names_in(row: object) -> tuple[str, ...]:
    """The values of a row that are masked: texts and numbers of `LONGEST_NAME` words at most, but no single letter.

    Also those inside of its maps and lists; each once, the longest first.
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
    """The words with each of `names` (see `names_in`) replaced by one mark."""
    # Each word has its own space on both sides, so that two names in a row are both found.
    text = before = b" %b " % b"  ".join(words)
    for name in names:
        text = text.replace(b" %b " % name.encode().replace(b" ", b"  "), _MASK)
    return words if text is before else text.split()


class Runs(Struct, frozen=True):
    """The runs of a text as numbers, each once, in no order; and the smallest of them."""

    numbers: array[int]
    sample: array[int]


def runs_of(words: Sequence[bytes]) -> Runs:
    """The runs of a text with these words."""
    if len(words) < RUN:
        numbers = array("I", [zlib.crc32(b" ".join(words))] if words else [])
    else:
        runs = zip(*(itertools.islice(words, start, None) for start in range(RUN)), strict=False)
        # All of this runs in C: a text of 800 words takes 0.3 ms.
        numbers = array("I", set(map(zlib.crc32, map(b" ".join, runs))))
    # Twice as many as needed are sorted, which takes a third of the time.
    limit = 2 * SAMPLE * _NUMBERS // max(len(numbers), 1)
    small = [number for number in numbers if number < limit]
    return Runs(numbers, array("I", heapq.nsmallest(SAMPLE, small if len(small) >= SAMPLE else numbers)))


class Nearest(Struct, frozen=True, kw_only=True):
    """The most similar text above a limit."""

    name: str
    share: float
    """The share of their runs that both have, from 0 to 1."""
    others: int = 0
    """How many more texts are above the limit, of those that were compared."""
    is_least: bool = False
    """Whether there may be still more of them."""


class SimilarTexts:
    """The texts of a group by name, each with its runs."""

    def __init__(self) -> None:
        self._runs: dict[str, Runs] = {}
        self._index: dict[int, list[str]] = {}

    def add(self, name: str, runs: Runs) -> None:
        """Add a text, once."""
        self._runs[name] = runs
        for number in runs.sample:
            names = self._index.setdefault(number, [])
            if len(names) < FULL:
                names.append(name)

    def runs(self, name: str) -> Runs:
        """The runs of a text that was added."""
        return self._runs[name]

    def nearest(self, runs: Runs, most: float, *, but: str = "") -> Nearest | None:
        """The nearest text with a share of more than `most`; `but`: a name that is left out."""
        close = self._close(runs, most, but)
        own = set(runs.numbers) if close else set()
        above = [(share, name) for name in close if (share := _share(own, self._runs[name])) > most]
        if not above:
            return None
        share, name = min(above, key=lambda each: (-each[0], each[1]))
        return Nearest(name=name, share=share, others=len(above) - 1, is_least=len(above) == COMPARED)

    def _close(self, runs: Runs, most: float, but: str) -> list[str]:
        """The texts that may have a share of more than `most`, those with most numbers in common."""
        size = len(runs.numbers)
        if not size:
            return []
        lists = [self._index.get(number, ()) for number in runs.sample]
        rare = [names for names in lists if len(names) < FULL]
        # Paragraphs that all texts share tell little, unless texts are too similar for these alone.
        common = len(lists) - len(rare)
        common = common if _fewest(size, size, most) > common else 0
        found = Counter(itertools.chain.from_iterable(rare if common else lists))
        del found[but]
        return [
            name
            for name, count in found.most_common(COMPARED)
            if count >= max(1, _fewest(size, len(self._runs[name].numbers), most) - common)
        ]


def _fewest(one: int, other: int, share: float) -> float:
    """The fewest numbers that the samples of two texts with so many runs have in common, if they have that share.

    One pair in 30,000 has fewer: that is four standard deviations from the mean.
    """
    both = share * (one + other) / (1 + share)
    part, size = both / max(one, other), min(SAMPLE, max(one, other))
    return math.inf if both > min(one, other) else size * part - 4 * math.sqrt(size * part * (1 - part))


def _share(own: set[int], other: Runs) -> float:
    both = len(own.intersection(other.numbers))
    return both / (len(own) + len(other.numbers) - both)
