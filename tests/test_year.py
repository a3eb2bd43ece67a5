"""A year of work in some hundred steps: no word is lost or goes astray, nothing is paid twice, all is counted.

`CONTENTOPS_TEST_YEARS` says how many stories are played (default: a few); one that fails is cut short and told.
"""

import functools
import os
import random

import pytest

from tests.books import Fell
from tests.fakes.clock import Timeline
from tests.fakes.harness import quick_folder
from tests.fakes.room import FakeRoom, ServedRoom
from tests.year import Step, Year, draw

_STORIES = int(os.environ.get("CONTENTOPS_TEST_YEARS", "2"))
_LENGTH = 45


def _fake(timeline: Timeline, *, seed: int) -> FakeRoom:
    """The kindest server, and for later stories one with other habits."""
    rng, names = random.Random(seed), ("auto_save", "names_content", "put", "create_only")
    habits = {name: rng.random() < 0.5 for name in names} if seed > 0 else {}
    return FakeRoom(timeline, equal=seed == 0 or rng.random() < 0.5, **habits)


def _fell(seed: int, steps: list[Step]) -> tuple[Fell, list[str]] | None:
    """The promise that a story breaks, and what people did; None: it breaks none."""
    with quick_folder() as folder:
        year = Year(folder, ServedRoom if seed % 2 else functools.partial(_fake, seed=seed), seed)
        try:
            for step in steps:
                year.take(step)
            year.end()
        except Fell as fell:
            return fell, year.log
    return None


def _shortest(seed: int, steps: list[Step], promise: str) -> list[Step]:
    """A shorter story that breaks the same promise: no part of it can be left out."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            shorter = steps[:at] + steps[at + size :]
            fell = _fell(seed, shorter)
            if fell is not None and fell[0].promise == promise:
                steps = shorter
            else:
                at += size
        size //= 2
    return steps


@pytest.mark.parametrize("seed", range(_STORIES))
def test_a_year_of_work(seed: int) -> None:
    """Three people and three clones, two environments, a second project, one account: what they do keeps all promises."""
    steps = draw(seed, _LENGTH)
    if (fell := _fell(seed, steps)) is None:
        return
    shortest = _shortest(seed, steps, fell[0].promise)
    told = _fell(seed, shortest) or fell
    pytest.fail("\n".join([*told[1], str(told[0]), f"seed {seed}: {[tuple(step) for step in shortest]}"]))
