"""A server that takes only so many jobs at once: it is kept busy, and not stormed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from contentops.execution.outbox import AT_ONCE
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog, results

if TYPE_CHECKING:
    from pathlib import Path


def _learned(root: Path, api: FakeApi, *, rpm: int) -> Harness:
    """A harness whose server is known, with the durations of three jobs learned."""
    harness = Harness(root, api, rpm=rpm)
    harness.write("content/first.yaml", blog("first", "second", "third"))
    harness.apply()
    harness.timeline.now += 120.0
    return harness


def _statuses(api: FakeApi, name: str, since: int) -> Counter[int | None]:
    return Counter(seen.status for seen in api.requests[since:] if seen.name == name)


def test_a_slot_that_is_likely_free_is_tried_with_the_next_submit(tmp_path: Path) -> None:
    """Each slot is taken soon after it is free; after the first burst, no more submits are refused than accepted.

    A job is taken for done at the median of those known: half of the guesses are too early.
    """
    api = FakeApi(duration=100.0, max_active=4, auto_save=False)
    harness = _learned(tmp_path, api, rpm=0)
    harness.write("content/batch.yaml", blog(*(f"i{n:02}" for n in range(40))))
    began, before = harness.timeline.now, len(api.requests)
    assert set(results(harness.apply()).values()) == {"done"}
    # The server asks for 30 s of patience with each refusal.
    assert harness.timeline.now - began < 1.25 * 40 / 4 * 100.0
    assert _statuses(api, "submit", before)[202] == 40
    refused = [seen.time for seen in api.requests[before:] if seen.name == "submit" and seen.status == 429]
    at_once = sum(time - refused[0] < 1.0 for time in refused)
    assert at_once <= AT_ONCE
    assert len(refused) - at_once <= 40 - 4


@pytest.mark.parametrize("retry_after", ["none", "seconds"])
def test_a_server_slower_than_ever_is_not_stormed(tmp_path: Path, retry_after: str) -> None:
    """A refused submit says that nothing has ended: the next one waits until something may have."""
    slow = iter([10.0] * 4 + [900.0] * 99)
    api = FakeApi(duration=lambda _: next(slow), max_active=2, auto_save=False, retry_after=retry_after)
    harness = _learned(tmp_path, api, rpm=0)
    harness.write("content/batch.yaml", blog(*(f"i{n}" for n in range(6))))
    before = len(api.requests)
    harness.apply()
    assert api.credits == 4 * len(api.generations) == 4 * 9
    assert _statuses(api, "submit", before)[429] < 60
