"""What was ordered is one list and what lies in the tree another: cases in which one record for both went wrong."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest

from contentops.model import Job, JobState, Project
from contentops.model.jobs import fold_jobs
from contentops.operations import opening
from contentops.state import jobs as files
from tests.fakes.api import FakeApi, Killed
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import Death, EachKill

SHARED = "environments: {staging: {output: 'staging/{{ item.id }}.md'}, prod: {output: 'prod/{{ item.id }}.md'}}"
PROMOTED = SHARED.replace("{output: 'prod", "{promote_from: staging, output: 'prod")


class Two(Harness):
    """A harness with two environments; a command is run in the one that is set."""

    environment = "staging"

    @property
    def project(self) -> Project:
        return opening.open_project(str(self.root), self.environment, ())

    def within(self, environment: str) -> Two:
        """It, in an environment."""
        self.environment = environment
        return self


def _two(root: Path, *items: str, extra: str = SHARED, **habits: Any) -> Two:
    harness = Two(root, FakeApi(**({"duration": 60, "auto_save": False} | habits)), extra=extra)
    harness.write("content/blog.yaml", blog(*items))
    return harness


def _one(root: Path, *items: str, extra: str = "", **habits: Any) -> Harness:
    return Harness(root, FakeApi(**({"duration": 60} | habits)), extra=extra).declared(*items)


def _topics(**topics: str) -> str:
    lines = (f"  - id: {id_}\n    inputs: {{topic: {topic}, target_audience: all}}\n" for id_, topic in topics.items())
    return "items:\n" + "".join(lines)


def _lines(root: Path) -> list[Job]:
    """Every line of jobs on disk, of all environments."""
    paths = [*root.glob("contentops*.jobs"), *root.glob(".contentops/**/jobs*.jsonl")]
    return [line for path in paths for line in files.read(path.read_bytes(), path.name, torn=True).lines.values()]


def _killed(harness: Harness, at: int, **choice: Any) -> None:
    """An apply that is killed at a step."""
    harness.death = Death(at)
    with contextlib.suppress(Killed):
        harness.apply(**choice)
    harness.death = None


# --- two environments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
@pytest.mark.parametrize("seed", range(4))
def test_kills_in_both_environments_forget_no_order(root: Path, seed: int, request_ids: str) -> None:
    """Whichever apply dies where, each charge is on one line, and each text is paid for once."""
    chosen = random.Random(seed)
    harness = _two(root, "one", "two", "three", request_ids=request_ids)
    for _ in range(6):
        _killed(harness.within(chosen.choice(["staging", "prod"])), chosen.randint(1, 90))
        jobs = fold_jobs(_lines(root))
        assert {job.request_id for job in harness.api.generations} <= {job.request_id for job in jobs}
        named = [job.job_id for job in jobs if job.job_id]
        assert len(named) == len(set(named))
    for environment in ("staging", "prod", "staging", "prod"):
        harness.within(environment).apply()
    lost = [job for job in fold_jobs(_lines(root)) if job.state is JobState.UNKNOWN]
    assert not lost or request_ids == "ignore"
    assert all(harness.api.charged(f"All about {id_} in 2026") <= 1 for id_ in ("one", "two", "three"))


def test_a_job_of_another_environment_is_waited_for(root: Path) -> None:
    """What staging has ordered and prod asks for too is polled there, and not ordered beside it."""
    harness = _two(root, "one", duration=600)
    harness.apply(deadline=60)
    assert harness.open_job("one").state is JobState.RUNNING
    assert results(harness.within("prod").apply()) == {"one": "done"}
    harness.within("staging").apply()
    assert harness.api.credits == 4
    assert sorted(harness.tree("staging", "prod")) == ["prod/one.md", "staging/one.md"]


def test_promoted_words_are_kept_when_another_text_comes(root: Path) -> None:
    """Staging's edited text is in prod; after staging's file was deleted and restored, prod has it or a copy of it."""
    harness = _two(root, "one", extra=PROMOTED)
    harness.apply()
    path = root / "staging/one.md"
    path.write_text(f"{path.read_text()}\nMine.\n")
    harness.apply()
    harness.within("prod").apply()
    path.unlink()
    for environment in ("staging", "prod", "staging", "prod"):
        harness.within(environment).apply()
    kept = [each.read_text() for each in (root / ".contentops").rglob("*.md")]
    assert any("Mine." in text for text in (harness.read("prod/one.md"), *kept))
    assert harness.api.credits == 4


# --- another text ----------------------------------------------------------------------------------------------------


def _replaced(each_kill: EachKill, root: Path, **habits: Any) -> dict[str, Harness]:
    harness = _one(root / "here", "one", **habits)
    harness.apply()
    return each_kill(harness, root / "left", lambda: harness.apply(replace=("one",)))


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_replacement_that_was_killed_and_is_requested_again_is_paid_for_once(
    root: Path, request_ids: str, each_kill: EachKill
) -> None:
    """Wherever it died after its request left and before its text was in the file."""
    for where, harness in _replaced(each_kill, root, request_ids=request_ids, auto_save=False).items():
        under_way = any(job.attempt == 2 for job in harness.state.open_jobs.values())
        paid = harness.api.credits
        harness.apply(replace=("one",))
        if under_way:
            assert harness.api.credits <= max(8, paid), where
        if not harness.plan().empty:
            harness.apply()
        assert harness.api.credits <= 8 or not under_way, where


# --- names -----------------------------------------------------------------------------------------------------------


def test_requests_that_are_swapped_cost_nothing(root: Path) -> None:
    """Both texts exist: each item gets that of its new request."""
    harness = _one(root, extra="guards: {max_changed_ratio: 1}")
    harness.write("content/blog.yaml", _topics(one="apples", two="pears"))
    harness.apply()
    harness.write("content/blog.yaml", _topics(one="pears", two="apples"))
    assert harness.plan().credits == 0
    harness.apply()
    assert "pears" in harness.read("out/one.md")
    assert "apples" in harness.read("out/two.md")
    assert (harness.plan().empty, harness.api.credits) == (True, 8)


@pytest.mark.parametrize("said", [True, False])
def test_renames_in_chains_cost_nothing(root: Path, *, said: bool) -> None:
    """`a` becomes `b` and `b` becomes `c`, at once or one after the other; edited files move along."""
    harness = _one(root)
    harness.write("content/blog.yaml", _topics(a="apples", b="pears"))
    harness.apply()
    for id_ in "ab":
        path = root / f"out/{id_}.md"
        path.write_text(f"{path.read_text()}\nWords in {id_}.\n")
    harness.apply()
    moved = "moved: [{from: a, to: b}, {from: b, to: c}]\n" if said else ""
    harness.write("content/blog.yaml", moved + _topics(b="apples", c="pears"))
    if not said:
        # Without a pair, `b` keeps its text until someone chooses, and nothing is ordered.
        assert harness.plan().credits == 0
        return
    for _ in range(2):
        harness.apply()
    assert "Words in a." in harness.read("out/b.md")
    assert "Words in b." in harness.read("out/c.md")
    assert (harness.plan().empty, harness.api.credits) == (True, 8)
