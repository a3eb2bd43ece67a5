"""How similar the texts of a group are, once the values of their own rows are masked.

A text is the set of its runs of `RUN` words, each as a number. Two texts are compared exactly, by the share of their
runs that both have (Jaccard).
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from contentops.documents.checks import UNSPACED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RUN: Final = 5
"""Words of a run; a shorter text is one run."""
LONGEST_NAME: Final = 12
"""Words of a value that is masked, at most; a longer one says something about its row."""

_WORDS: Final = re.compile(f"[^\\W_{UNSPACED}]+|[{UNSPACED}]")
_SPACES: Final = bytes(byte if chr(byte).isalnum() else 32 for byte in range(128)) + bytes(128)
"""What becomes of each byte of a text in ASCII: all but letters and digits are spaces."""
_MASK: Final = b" * "
_LONGEST: Final = 500
"""Characters of a value that is masked, at most."""


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


def runs_of(words: Sequence[bytes]) -> frozenset[int]:
    """The runs of a text with these words."""
    if len(words) < RUN:
        return frozenset([zlib.crc32(b" ".join(words))] if words else [])
    runs = zip(*(itertools.islice(words, start, None) for start in range(RUN)), strict=False)
    # All of this runs in C: a text of 800 words takes 0.3 ms.
    return frozenset(map(zlib.crc32, map(b" ".join, runs)))


def similar_pairs(texts: Mapping[str, frozenset[int]], most: float) -> Iterator[tuple[str, str, float]]:
    """Each two texts that have a share of more than `most` of their runs in common, and that share (up to 1)."""
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
