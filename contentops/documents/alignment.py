"""Aligns sequences: which elements of one are those of another."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


def matched(base: tuple[T, ...], side: tuple[T, ...]) -> dict[int, int]:
    """The index in `side` of the elements of `base` that both have once, and of their equal neighbours."""
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
    """The indexes of a longest increasing subsequence, which need not be contiguous; no number comes twice."""
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
