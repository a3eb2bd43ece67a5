"""What was ordered is one list and what lies in the tree another: cases in which one record for both went wrong."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from contentops.errors import InputError
from contentops.model import Job, JobState, Project
from contentops.model.jobs import fold_jobs
from contentops.operations import opening, state
from contentops.operations.adopt import Options, adopt
from contentops.operations.opening import jobs_by_environment
from contentops.state import jobs as files
from contentops.state.codec import line_of
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import Death, state_after_each_kill
from tests.test_merged_branches import git

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


@pytest.mark.usefixtures("processes")
def test_a_clean_before_the_first_commit_forgets_no_order(root: Path) -> None:
    """Neither in the environment that ordered it nor in another one, though no file in the tree names it any more."""
    harness = _two(root / "work", "one", duration=600, request_ids="ignore")
    git(harness, "init", "--quiet")
    git(harness, "add", "content", "contentops.yaml")
    git(harness, "commit", "--quiet", "-m", "x")
    harness.apply(deadline=60)
    git(harness, "clean", "-xfdq")
    assert not [*harness.root.glob("contentops*.jobs")]
    for environment in ("prod", "staging"):
        assert results(harness.within(environment).apply()) == {"one": "done"}
    assert harness.api.credits == 4


@pytest.mark.parametrize("order", [("staging", "prod"), ("prod", "staging")])
def test_two_environments_share_a_text_for_one_request(root: Path, order: tuple[str, str]) -> None:
    """One job answers both, and each has its own file; nothing is paid for a second time, and both count it once."""
    harness = _two(root, "one", "two")
    for environment in order:
        harness.within(environment).apply()
        assert harness.plan().empty
    assert harness.api.credits == 8
    assert [harness.read(f"{name}/one.md").splitlines()[-1] for name in order] == ["Take 1."] * 2
    jobs = jobs_by_environment(harness.project, harness.state)
    assert sum(job.cost for each in jobs.values() for job in each) == 8


def test_a_job_of_another_environment_is_waited_for(root: Path) -> None:
    """What staging has ordered and prod asks for too is polled there, and not ordered beside it."""
    harness = _two(root, "one", duration=600)
    harness.apply(deadline=60)
    assert harness.open_job("one").state is JobState.RUNNING
    assert results(harness.within("prod").apply()) == {"one": "done"}
    harness.within("staging").apply()
    assert harness.api.credits == 4
    assert sorted(harness.tree("staging", "prod")) == ["prod/one.md", "staging/one.md"]


def test_an_environment_that_promotes_takes_no_job(root: Path) -> None:
    """Prod waits for the reviewed text of staging: it neither polls nor orders."""
    harness = _two(root, "one", extra=PROMOTED, duration=600)
    harness.apply(deadline=60)
    asked = harness.api.count("status")
    (change,) = harness.within("prod").plan().changes
    assert (change.blocked, change.submits) == ("not-promoted", 0)
    harness.apply()
    assert (harness.api.count("status"), harness.api.credits) == (asked, 4)
    assert not harness.tree("prod")


def test_a_correction_after_a_promotion_is_promoted_again(root: Path) -> None:
    """Staging's file is edited twice; each time prod follows, for no credits."""
    harness = _two(root, "one", extra=PROMOTED)
    harness.apply()
    harness.within("prod").apply()
    for word in ("Corrected.", "Corrected again."):
        path = root / "staging/one.md"
        path.write_text(f"{path.read_text()}\n{word}\n")
        harness.within("staging").apply()
        assert harness.within("prod").actions() == {"one": "promote"}
        harness.apply()
        assert word in harness.read("prod/one.md")
        assert harness.plan().empty
    assert harness.api.credits == 4


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


def _replaced(root: Path, **habits: Any) -> dict[str, Harness]:
    harness = _one(root / "here", "one", **habits)
    harness.apply()
    return state_after_each_kill(harness, root / "left", lambda: harness.apply(replace=("one",)))


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_replacement_that_was_killed_and_is_requested_again_is_paid_for_once(root: Path, request_ids: str) -> None:
    """Wherever it died after its request left and before its text was in the file."""
    for where, harness in _replaced(root, request_ids=request_ids, auto_save=False).items():
        under_way = any(job.attempt == 2 for job in harness.state.open_jobs.values())
        paid = harness.api.credits
        harness.apply(replace=("one",))
        if under_way:
            assert harness.api.credits <= max(8, paid), where
        if not harness.plan().empty:
            harness.apply()
        assert harness.api.credits <= 8 or not under_way, where


def test_a_replacement_of_a_changed_item_is_paid_for_once(root: Path) -> None:
    """Also where the text to be replaced answers another request: the job under way is that of the new one."""
    harness = _one(root / "here", "one", request_ids="ignore")
    harness.apply()
    harness.write("content/blog.yaml", blog("one", year=2027))
    left = state_after_each_kill(harness, root / "left", lambda: harness.apply(replace=("one",)))
    for where, killed in left.items():
        is_ordered = any(job.attempt == 1 for job in killed.state.open_jobs.values())
        killed.apply(replace=("one",))
        assert killed.api.credits <= 8 or not is_ordered, where


def test_a_replacement_that_was_killed_is_finished_by_the_next_apply(root: Path) -> None:
    """A plain apply brings the text that was ordered, and orders nothing beside it."""
    for where, harness in _replaced(root).items():
        ordered = any(job.attempt == 2 for job in harness.state.jobs)
        paid = harness.api.credits
        harness.apply()
        assert harness.plan().empty, where
        assert harness.api.credits == max(paid, 8 if ordered else 4), where
        assert ("Take 2." in harness.read("out/one.md")) == ordered, where


def test_texts_that_fail_their_checks_are_not_paid_for_at_every_apply(root: Path) -> None:
    """Once the retries are used up, an item is blocked until a person decides."""
    harness = _one(root, "one")
    harness.write("content/blog.yaml", f"defaults: {{checks: {{excludes: [Closing], retries: 1}}}}\n{blog('one')}")
    for _ in range(4):
        harness.apply()
    assert harness.api.credits == 8
    (change,) = harness.plan().changes
    assert (change.blocked, change.submits) == ("checks-failed", 0)


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


def test_an_item_that_returns_costs_nothing(root: Path) -> None:
    """Its text was paid for, also where its file and its record were removed meanwhile."""
    harness = _one(root, "one", "two")
    harness.apply()
    harness.write("content/blog.yaml", blog("two"))
    harness.apply(prune=True)
    assert sorted(harness.tree()) == ["out/two.md"]
    harness.write("content/blog.yaml", blog("one", "two"))
    assert harness.plan().credits == 0
    harness.apply()
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


def test_adopted_files_without_a_template_request_nothing(root: Path) -> None:
    """Three of them have equal requests, and no job could answer them."""
    harness = _one(root, "one")
    harness.apply()
    for number in (1, 2, 3):
        harness.write(f"old/{number}.md", f"---\ntitle: Number {number}\n---\n\nText {number}.\n")
    adopt(harness.project, ["old"], Options(), confirm=lambda _: True, runtime=harness.runtime())
    harness.apply()
    plan = harness.plan()
    assert (plan.empty, [note.kind for note in plan.notes if note.kind == "same-request"]) == (True, [])
    assert harness.api.credits == 4


def test_two_items_with_one_request_are_refused(root: Path) -> None:
    """Before anything is paid for; `revision` makes it two requests."""
    harness = _one(root)
    harness.write("content/blog.yaml", _topics(one="apples", two="apples"))
    with pytest.raises(InputError) as refused:
        harness.apply()
    assert "same-request" in [each.code for each in refused.value.diagnostics()]
    harness.write("content/blog.yaml", _topics(one="apples", two="apples").replace("two\n", "two\n    revision: 2\n"))
    harness.apply()
    assert harness.api.credits == 8


# --- lines that merge ------------------------------------------------------------------------------------------------


def _with_lines(harness: Harness, *lines: Job) -> None:
    """Lines that a merge has brought into the committed file."""
    path = harness.root / "contentops.jobs"
    path.write_bytes(path.read_bytes() + b"".join(f"{line_of(line)}\n".encode() for line in lines))


def test_the_running_order_of_two_is_polled(root: Path) -> None:
    """Two clones sent one id: one job failed, the other one runs; both stay, and the text of the latter comes."""
    harness = _one(root, "one", "two", duration=600, request_ids="ignore")
    harness.apply(deadline=60)
    order = harness.open_job("one")
    failed = structs.replace(order, state=JobState.FAILED, job_id="job_of_another", submitted_at="2026-02-25T06:00:00Z")
    _with_lines(harness, failed)
    paid = harness.api.credits
    assert (results(harness.apply())["one"], harness.api.charged("All about one in 2026")) == ("done", 1)
    assert harness.api.credits == paid + 4
    states = {job.job_id: job.state for job in harness.state.jobs if job.item == "one"}
    assert states == {"job_of_another": JobState.FAILED, order.job_id: JobState.SETTLED}


def test_a_lost_order_is_not_closed_by_that_of_another_clone(root: Path) -> None:
    """Two orders of one id, one lost and one paid: both stay, since both may have been charged."""
    harness = _one(root, "one", request_ids="ignore")
    harness.apply()
    (job,) = harness.state.jobs
    lost = structs.replace(
        job, state=JobState.UNKNOWN, job_id="", content_id="", body=job.body[:0], submitted_at="2026-02-25T06:00:00Z"
    )
    _with_lines(harness, lost)
    states = sorted(job.state for job in harness.state.jobs)
    assert (states, harness.plan().credits) == ([JobState.SETTLED, JobState.UNKNOWN], 0)
    harness.apply()
    assert harness.api.credits == 4


def test_what_a_person_gave_up_stays_given_up_after_a_merge(root: Path) -> None:
    """Another branch still has the line from before."""
    harness = _one(root, "zero", request_ids="ignore")
    harness.apply()
    harness.write("content/blog.yaml", blog("zero", "one"))
    harness.api.fault(on("submit", 2), "504")
    harness.api.fault(on("list content"), 503)
    harness.apply()
    harness.api.heal()
    assert harness.open_job("one").state is JobState.UNKNOWN
    before = (root / "contentops.jobs").read_bytes()
    state.resolve(harness.project, "one", forget=True)
    path = root / "contentops.jobs"
    path.write_bytes(path.read_bytes() + before)
    assert not harness.state.open_jobs
    assert [job.state for job in harness.state.jobs if job.item == "one"] == [JobState.GIVEN_UP]


def test_both_charges_of_two_clones_count(root: Path) -> None:
    """At a server that ignores our ids each clone pays; once both lists are one, so is the sum."""
    one = _one(root / "one", "first", request_ids="ignore")
    one.apply()
    two = Harness(root / "two", one.api, timeline=one.timeline)
    for harness in (one, two):
        harness.write("content/blog.yaml", blog("first", "second"))
    two.write("contentops.lock", one.read("contentops.lock"))
    two.write("contentops.jobs", one.read("contentops.jobs"))
    two.write("out/first.md", one.read("out/first.md"))
    for harness in (one, two):
        harness.apply()
    assert one.api.credits == 12
    _with_lines(one, *_lines(two.root))
    assert sum(job.cost for job in one.state.jobs) == 12


def test_an_interrupted_apply_goes_on_within_its_own_budget(root: Path) -> None:
    """An open job is not counted as spent and as still to come."""
    harness = _one(root, "one", duration=600, extra="budget: {credits_per_month: 4}")
    harness.apply(deadline=60)
    assert (harness.api.credits, results(harness.apply()), harness.api.credits) == (4, {"one": "done"}, 4)


@pytest.mark.parametrize("request_ids", ["replay", "ignore"])
def test_a_lock_without_its_jobs_and_jobs_without_their_lock(root: Path, request_ids: str) -> None:
    """Either table alone says enough that nothing is paid for again."""
    harness = _one(root, "one", "two", request_ids=request_ids)
    harness.apply()
    lock, jobs = root / "contentops.lock", root / "contentops.jobs"
    for gone, stays in ((jobs, lock), (lock, jobs)):
        saved = gone.read_bytes()
        gone.unlink()
        assert stays.exists()
        assert harness.plan().credits == 0
        harness.apply()
        gone.write_bytes(saved)
    assert (harness.api.credits, harness.settle().empty) == (8, True)
