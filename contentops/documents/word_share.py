"""How much of a text is no more what it was: by words, in linear time."""

from __future__ import annotations

from collections import Counter

from contentops.documents.checks import words_of


def changed_share(before: str, after: str) -> float:
    """The share of words that only one of two bodies has, from 0 to 1: of the longer one, by how often each occurs.

    Words that only moved, white space, and marks without a letter or digit do not count.
    """
    old, new = Counter(words_of(before)), Counter(words_of(after))
    most = max(old.total(), new.total())
    return round(1 - (old & new).total() / most, 4) if most else 0.0
