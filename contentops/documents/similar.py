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


def runs_of(words: Sequence[bytes]) -> array[int]:
    """The numbers of a text's runs, each once, in no order."""
    if len(words) < RUN:
        return array("I", [zlib.crc32(b" ".join(words))] if words else [])
    runs = zip(*(itertools.islice(words, start, None) for start in range(RUN)), strict=False)
    # All of this runs in C: a text of 800 words takes 0.3 ms.
    return array("I", set(map(zlib.crc32, map(b" ".join, runs))))


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
        self._runs: dict[str, array[int]] = {}
        self._index: dict[int, list[str]] = {}

    def add(self, name: str, runs: array[int]) -> None:
        """Add a text, once."""
        self._runs[name] = runs
        for number in _sample(runs):
            names = self._index.setdefault(number, [])
            if len(names) < FULL:
                names.append(name)

    def runs(self, name: str) -> array[int]:
        """The runs of a text that was added; empty for another name."""
        return self._runs.get(name, array("I"))

    def nearest(self, runs: array[int], most: float, *, but: str = "") -> Nearest | None:
        """The nearest text with a share of more than `most`; `but`: a name that is left out."""
        sample = _sample(runs)
        found = Counter(itertools.chain.from_iterable(self._index.get(number, ()) for number in sample))
        del found[but]
        # A pair at the limit has fewer in one of 30,000 cases: four standard deviations.
        fewest = max(1.0, most * len(sample) - 4 * math.sqrt(most * (1 - most) * len(sample)))
        close = [name for name, count in found.most_common(COMPARED) if count >= fewest]
        own = set(runs) if close else set()
        above = [(share, name) for name in close if (share := _share(own, self._runs[name])) > most]
        if not above:
            return None
        share, name = min(above, key=lambda each: (-each[0], each[1]))
        return Nearest(name=name, share=share, others=len(above) - 1, is_least=len(above) == COMPARED)


def _share(own: set[int], other: array[int]) -> float:
    both = len(own.intersection(other))
    return both / (len(own) + len(other) - both)


def _sample(runs: array[int]) -> list[int]:
    """The smallest numbers, in order; twice as many as needed are sorted, which takes a third of the time."""
    limit = 2 * SAMPLE * _NUMBERS // max(len(runs), 1)
    small = [number for number in runs if number < limit]
    return heapq.nsmallest(SAMPLE, small if len(small) >= SAMPLE else runs)
