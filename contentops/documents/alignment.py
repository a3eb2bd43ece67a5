"""Sequences set side by side: which elements of one are those of another, and where three of them agree."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")


def chunks(
    base: tuple[T, ...], ours: tuple[T, ...], theirs: tuple[T, ...]
) -> Iterator[tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]]:
    """Three lists side by side, cut where all of them agree: what stands between is one piece on each side."""
    mine, others = _matched(base, ours), _matched(base, theirs)
    start = (0, 0, 0)
    ends = [(place, mine[place], others[place]) for place in sorted(mine.keys() & others.keys())]
    for end in (*ends, (len(base), len(ours), len(theirs))):
        was, here, there = (side[a:b] for side, a, b in zip((base, ours, theirs), start, end, strict=True))
        if len(was) == len(here) == len(there):
            for one in range(len(was)):
                yield was[one : one + 1], here[one : one + 1], there[one : one + 1]
        else:
            yield was, here, there
        if end[0] < len(base):
            yield (base[end[0] : end[0] + 1],) * 3
        start = (end[0] + 1, end[1] + 1, end[2] + 1)


def _matched(base: tuple[T, ...], side: tuple[T, ...]) -> dict[int, int]:
    """Where the elements of `base` stand in `side`, in order: those that are there once, and their equal neighbours."""
    once = [{each for each, count in Counter(sequence).items() if count == 1} for sequence in (base, side)]
    both = once[0] & once[1]
    place = {each: number for number, each in enumerate(base) if each in both}
    pairs = [(place[each], number) for number, each in enumerate(side) if each in place]
    pairs = [pairs[number] for number in rising([one for one, _ in pairs])]
    found = dict(pairs)
    for (low, left), (high, right) in pairwise([(-1, -1), *pairs, (len(base), len(side))]):
        one, other = low + 1, left + 1
        while one < high and other < right and base[one] == side[other]:
            found[one] = other
            one, other = one + 1, other + 1
        last, end = high - 1, right - 1
        while last >= one and end >= other and base[last] == side[end]:
            found[last] = end
            last, end = last - 1, end - 1
    return found


def rising(numbers: Sequence[int]) -> list[int]:
    """The places of a longest run of numbers that rises; none of them comes twice."""
    tails: list[int] = []
    places: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        at = bisect_left(tails, number)
        tails[at : at + 1] = [number]
        places[at : at + 1] = [place]
        before.append(places[at - 1] if at else -1)
    found: list[int] = []
    place = places[-1] if places else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]
