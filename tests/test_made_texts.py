"""Whose a text is: what a known job made is a machine's, every other body is a person's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from contentops.documents.clean import body_digest
from contentops.documents.front_matter import split
from contentops.errors import Refused
from contentops.operations.state import move_server
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness

if TYPE_CHECKING:
    from pathlib import Path

ONE = "items: [{id: a, inputs: {topic: A, target_audience: readers}}]\n"
NONE = "items: [{id: b, inputs: {topic: B, target_audience: readers}}]\n"


@pytest.fixture
def made(tmp_path: Path) -> Harness:
    """A project with one text."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/b.yaml", ONE)
    harness.apply()
    return harness


@pytest.mark.parametrize("removed", [False, True], ids=["replaced", "removed"])
def test_words_that_the_lock_calls_generated_are_kept(made: Harness, *, removed: bool) -> None:
    """A merge, a script or a hostile branch may write any digest into the lock: the jobs say what a machine made."""
    made.edit("out/a.md", "Closing", "MINE")
    mine = made.read("out/a.md")
    header, line = made.read("contentops.lock").splitlines()
    forged = json.loads(line) | {"generated": body_digest(split(mine).body)}
    made.write("contentops.lock", f"{header}\n{json.dumps(forged, separators=(',', ':'), sort_keys=True)}\n")
    if removed:
        made.write("content/b.yaml", NONE)
        made.apply(prune=True)
        assert not (made.root / "out/a.md").exists()
    else:
        made.edit("content/b.yaml", "topic: A", "topic: B")
        made.apply()
        assert "MINE" not in made.read("out/a.md")
    (copy,) = made.root.glob(".contentops/replaced/*/out/a.md")
    assert copy.read_text() == mine


def test_an_earlier_text_of_a_job_is_no_edit(made: Harness) -> None:
    """It was put back from git: a new request replaces it without a question, and without a copy."""
    before = made.read("out/a.md")
    made.edit("content/b.yaml", "topic: A", "topic: B")
    made.apply()
    made.write("out/a.md", before)
    made.edit("content/b.yaml", "topic: B", "topic: C")
    (change,) = made.plan().changes
    assert change.action == "regenerate"
    made.apply()
    assert not list(made.root.glob(".contentops/replaced/*/out/a.md"))
    assert made.api.credits == 12


def test_without_a_lock_the_jobs_know_their_server(made: Harness) -> None:
    """A new address is refused until someone says that it is the same server; then nothing is paid again."""
    old, new = made.project.api.server, "https://other.example:443"
    made.root.joinpath("contentops.lock").unlink()
    made.write("contentops.yaml", made.read("contentops.yaml").replace(made.project.api.base_url, new))
    (refusal,) = made.plan().refusals
    assert (refusal.guard, refusal.flag) == ("server-changed", f"contentops state mv --server {old} {new}")
    with pytest.raises(Refused):
        made.apply()
    move_server(made.project, old, new)
    assert made.plan().refusals == ()
    assert made.plan().submits == 0
