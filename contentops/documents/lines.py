"""Which lines two texts share, in time that grows with their length however many of them differ."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST = 1 << 20
"""Pairs of lines that are compared at most between two lines that both texts have once; a larger gap is replaced."""


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
    # Loaded here: most commands compare no texts.
    from difflib import SequenceMatcher

    for match in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
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
