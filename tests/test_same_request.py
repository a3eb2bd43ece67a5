"""Several items with the very same request: one job would answer all of them, so that is an error by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from contentops.errors import InputError
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, results

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Run


def _items(*, revision: int = 0, **topics: str) -> str:
    listed = [{"id": id_, "inputs": {"topic": topic, "target_audience": "all"}} for id_, topic in topics.items()]
    if revision:
        listed[-1]["revision"] = revision  # type: ignore[assignment]
    return json.dumps({"items": listed})


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """No item yet."""
    return Harness(tmp_path, FakeApi(duration=30))


def test_equal_requests_are_an_error_with_a_way_out(harness: Harness, invoke: Run) -> None:
    """Nothing is paid for; a revision of its own makes it another request."""
    harness.write("content/a.yaml", _items(may="News", june="News", july="Other"))
    ended = invoke("validate", cwd=harness.root)
    assert ended.code == 1
    assert "error[same-request]: item `june` requests exactly the same text as `may` (content/a.yaml" in ended.stderr
    assert "hint: give one of them `revision: 2`" in ended.stderr
    with pytest.raises(InputError):
        harness.apply()
    assert harness.api.credits == 0
    harness.write("content/a.yaml", _items(july="Other", may="News", june="News", revision=2))
    assert results(harness.apply()) == {"july": "done", "june": "done", "may": "done"}
    assert harness.api.credits == 12


def test_rows_of_one_place_are_counted(harness: Harness, invoke: Run) -> None:
    """However many rows ask for the same, their place is named once."""
    rows = [{"slug": f"s{number}", "topic": "News"} for number in range(50)]
    item = {
        "id": "{{ each.slug }}",
        "for_each": rows,
        "inputs": {"topic": "{{ each.topic }}", "target_audience": "all"},
    }
    harness.write("content/a.yaml", json.dumps({"items": [item]}))
    ended = invoke("validate", cwd=harness.root)
    assert ended.stderr.count("error[same-request]") == 1
    assert "48 more items have the same problem" in ended.stderr


def test_what_was_removed_and_comes_back_is_there_for_nothing(harness: Harness) -> None:
    """Under any id: the text that was paid for answers its request."""
    harness.write("content/a.yaml", _items(may="News"))
    harness.apply()
    harness.write("content/a.yaml", _items(june="Other"))
    harness.apply(prune=True)
    assert not (harness.root / "out/may.md").exists()
    harness.write("content/a.yaml", _items(june="Other", august="News"))
    assert harness.actions() == {"august": "finish"}
    harness.apply()
    assert (harness.api.credits, (harness.root / "out/august.md").exists(), harness.plan().empty) == (8, True, True)
