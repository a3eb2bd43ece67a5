"""A year of work in some hundred steps: no word is lost or goes astray, nothing is paid twice, all is counted.

`CONTENTOPS_TEST_YEARS` says how many stories are played (default: a few); one that fails is cut short and told.
"""

import functools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
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


class _Forgetful(FakeRoom):
    """A server that forgets what a person wrote in one content, once it is asked for anything."""

    forgets = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.forgets:
            self.contents[self.forgets].body = "Nothing.\n"
        return await super().handle_async_request(request)


def _strayed(year: Year) -> None:
    word, other = year.word(year.people[3], "", "K1"), year.people[0].root / "staging/id1.md"
    other.write_text(other.read_text("utf-8") + word, "utf-8")
    year.run(year.people[0], "staging", "status")


def _lost(year: Year) -> None:
    person, word = year.people[0], year.word(year.people[0], "staging", "K1")
    content = person.records("staging")["id1"].content_id
    assert isinstance(year.room, _Forgetful)
    year.room.change(content, "Mine", word)
    year.room.forgets = content
    year.run(person, "staging", "apply", "--yes", "--refresh")


def _paid(year: Year) -> None:
    person = year.people[0]
    assert isinstance(year.room, FakeRoom)
    year.room.restart()
    for name in ("staging", "contentops.staging.lock"):
        _remove(person.root / name)
    _forget(person.root)
    year.apply(person, "staging")


def _forget(root: Path) -> None:
    """Every line of jobs goes, here and in the git directory."""
    for name in (".contentops", ".git/contentops", "contentops.staging.jobs"):
        _remove(root / name)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _uncounted(year: Year) -> None:
    _remove(year.people[0].root / "contentops.staging.lock")
    _forget(year.people[0].root)
    year.close()


@pytest.mark.parametrize(
    ("act", "promise"),
    [(_strayed, "stray"), (_lost, "lost on the server"), (_paid, "paid twice"), (_uncounted, "count")],
)
def test_a_promise_that_is_broken_is_told(act: Callable[[Year], None], promise: str) -> None:
    """What a year is watched for is seen."""
    with quick_folder() as folder:
        year = Year(folder, _Forgetful, 0)
        year.apply(year.people[0], "staging")
        with pytest.raises(Fell, match=f"^{promise}: "):
            act(year)
