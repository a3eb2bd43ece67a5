"""Someone pulls, or reverts the lock, while an apply runs: it stops, and the next one pays for nothing again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentops.errors import StateError
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Event


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """One item that is made, and two that are not; jobs take ten minutes, so that checkpoints come in between."""
    harness = Harness(tmp_path, FakeApi(duration=600, auto_save=False))
    harness.write("content/one.yaml", blog("one"))
    harness.apply()
    harness.write("content/more.yaml", blog("two", "three"))
    return harness


@pytest.mark.parametrize("seconds", [0, 300], ids=["before the first checkpoint", "after some"])
@pytest.mark.parametrize("removed", [False, True], ids=["pulled", "removed"])
def test_the_run_stops_and_the_next_one_goes_on(harness: Harness, *, seconds: float, removed: bool) -> None:
    """The lock stays as it was put there; what was begun is finished, once and for its price."""
    path = harness.root / "contentops.lock"
    before = path.read_bytes()
    theirs = before.replace(b'"title":"On ', b'"title":"About ')
    assert theirs != before
    at = harness.timeline.now + seconds
    changed = False

    def change(event: Event) -> None:
        nonlocal changed
        if event.kind == "waiting" and not changed and harness.timeline.now > at and harness.api.count("submit") > 2:
            changed = True
            path.unlink() if removed else path.write_bytes(theirs)

    with pytest.raises(StateError) as caught:
        harness.apply(emit=change)
    assert (caught.value.code, harness.api.count("submit")) == ("lock-changed", 3)
    assert "run `contentops apply` again" in caught.value.hint
    assert (path.read_bytes() if path.exists() else None) == (None if removed else theirs)

    if removed:
        path.write_bytes(before)
    harness.apply()
    assert {"out/two.md", "out/three.md"} <= set(harness.tree())
    assert harness.api.credits == 12
    assert harness.record("one").title.startswith("On" if removed else "About")
    assert harness.plan().empty
