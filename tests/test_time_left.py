"""What a person is told of the time a run still takes."""

from pathlib import Path

import pytest

from contentops.model import Event
from contentops.reporting.run import Progress
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog


def test_a_limited_run_says_how_long_the_rest_takes(tmp_path: Path) -> None:
    """Twenty items at ten requests a minute take about six minutes; the estimate falls as they are done."""
    harness = Harness(tmp_path, FakeApi(duration=60, per_minute=10), rpm=10)
    harness.write("content/first.yaml", blog("first"))
    harness.apply()
    harness.write("content/more.yaml", blog(*(f"item-{number}" for number in range(20))))
    harness.events.clear()
    harness.apply()
    waits = [event.data for event in harness.events if event.kind == "waiting"]
    left = [wait["left"] for wait in waits if wait.get("left")]
    assert (left[0], left) == (pytest.approx(360, rel=0.05), sorted(left, reverse=True))
    assert left[-1] < 120


@pytest.mark.parametrize(("left", "words"), [
    (360, "waiting for the rate limit (5 s); about 6 min left"),
    (20, "waiting for the rate limit (5 s); about 20 s left"),
    (None, "waiting for the rate limit (5 s)"),
    ("soon", "waiting for the rate limit (5 s)"),
], ids=str)  # fmt: skip
def test_the_display_says_it(left: object, words: str) -> None:
    """In minutes, or in seconds where there are few; nothing where no one knows."""
    progress = Progress()
    progress.take(Event(kind="waiting", at="2026-03-01T10:00:00Z", data={"on": "limit", "seconds": 5.0, "left": left}))
    assert progress.waits == words


def test_a_server_of_this_machine_is_estimated_once_a_job_is_done(tmp_path: Path) -> None:
    """An outline takes no time and a model may take minutes: before the first job nothing is said."""
    harness = Harness(tmp_path, FakeApi(duration=60), rpm=0, base_url="http://127.0.0.1:8787/v1")
    harness.write("content/more.yaml", blog("a", "b", "c"))
    harness.apply()
    left = [event.data["left"] for event in harness.events if event.kind == "waiting" and not event.item]
    assert left[0] is None
    assert any(left)
