"""A budget for a month: what all environments have spent is counted once, and an apply that goes beyond it is held."""

import contextlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contentops.errors import LockHeld, Refused
from contentops.model import MonthSpend, Plan
from contentops.operations.plan import spent_this_month
from contentops.operations.workspace import hold_lock
from contentops.planning.guards import Overrides
from contentops.reporting.summary import month_sentence
from tests.clones import git
from tests.fakes.api import FakeApi, on
from tests.fakes.clock import EPOCH
from tests.fakes.harness import Harness, blog, results
from tests.fakes.kills import Death
from tests.running import Build, Run
from tests.test_promote import Room

STAGING = "environments: {staging: {output: 'staging/{{ item.id }}.md'}}"
MARCH = datetime(2026, 3, 1, tzinfo=UTC).timestamp() - EPOCH
"""When March begins, on the clock of a harness."""


def site(folder: Path, limit: int = 8, *, extra: str = "", at: float = 0, **server: Any) -> Harness:
    """A repository without texts yet, on the 25th of February."""
    harness = Harness(
        folder, FakeApi(**{"duration": 30} | server), extra=f"budget: {{credits_per_month: {limit}}}\n{extra}"
    )
    harness.timeline.now = at
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder)
    return harness


def commit(folder: Path) -> None:
    """Commits everything, though it may be nothing."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Work")


def spent(harness: Harness) -> MonthSpend:
    """What the month has cost."""
    found = spent_this_month(harness.project, harness.runtime())
    assert found is not None
    return found


def guards(plan: Plan) -> list[str]:
    """What refuses a plan."""
    return [refusal.guard for refusal in plan.refusals]


def month_message(plan: Plan) -> str:
    """Why the budget of the month refuses it."""
    return next(refusal.message for refusal in plan.refusals if refusal.guard == "budget-month")


@pytest.mark.parametrize("committed", [False, True])
def test_two_applies_share_the_budget_of_a_month(tmp_path: Path, *, committed: bool) -> None:
    """With a commit between them or without one; an approved price is more than the budget."""
    harness = site(tmp_path)
    harness.applied("a")
    if committed:
        commit(tmp_path)
    harness.declared("a", "b")
    plan = harness.plan()
    assert plan.spent is not None
    assert (plan.spent.month, plan.spent.credits, guards(plan)) == ("2026-02", 4, [])
    harness.apply()
    harness.declared("a", "b", "c")
    plan = harness.plan()
    assert [(one.guard, one.flag) for one in plan.refusals] == [("budget-month", "--approve-credits 4")]
    assert month_message(plan) == (
        "it costs 4 credits, and 8 credits of 2026-02 are spent; `budget.credits_per_month` is 8"
    )
    with pytest.raises(Refused) as refused:
        harness.apply()
    assert (refused.value.code, harness.api.credits) == ("budget-month", 8)
    harness.apply(overrides=Overrides(credits=4))
    assert (harness.api.credits, spent(harness).credits) == (12, 12)


def test_a_plan_that_costs_nothing_asks_nothing(tmp_path: Path) -> None:
    """Whatever was spent, and where the git directory is gone."""
    harness = site(tmp_path, 4)
    harness.applied("a")
    harness.edit("contentops.yaml", "credits_per_month: 4", "credits_per_month: 0")
    shutil.rmtree(tmp_path / ".git")
    plan = harness.plan()
    assert (plan.spent, plan.refusals, plan.empty) == (None, (), True)
    harness.edit("content/blog.yaml", "items:\n", "items:\n  - {id: z, inputs: {topic: z, target_audience: z}}\n")
    assert guards(harness.plan()) == ["budget-month"]


def test_a_month_begins_anew(tmp_path: Path) -> None:
    """In UTC; a text that was ordered in the old month counts there, though it was made in the new one."""
    harness = site(tmp_path, 8, at=MARCH - 100)
    harness.applied("a")
    harness.timeline.now = MARCH - 10
    harness.applied("a", "b")
    assert harness.made_by("b").generated_at.startswith("2026-03-01T00:00")
    commit(tmp_path)
    assert (spent(harness).month, spent(harness).credits) == ("2026-03", 0)
    # The clock was put back: what has a later time counts, and is shown.
    harness.timeline.now = MARCH - 5
    assert (spent(harness).credits, spent(harness).ahead) == (8, 0)
    harness.timeline.now = MARCH - 40 * 86400
    assert (spent(harness).month, spent(harness).credits, spent(harness).ahead) == ("2026-01", 8, 2)


def test_a_clock_that_is_behind_is_named(tmp_path: Path, invoke: Run) -> None:
    """The texts of later months count, so that nothing is spent twice; the plan says why."""
    harness = site(tmp_path, 8)
    harness.applied("a")
    harness.write("contentops.jobs", harness.read("contentops.jobs").replace(':"2026-', ':"2099-'))
    shutil.rmtree(tmp_path / ".git" / "contentops")
    harness.declared("a", "b")
    told = invoke("status", cwd=tmp_path).stdout
    assert "Spent: 4 of 8 credits of this month" in told
    assert "1 text of later months is included: check the clock of this machine." in told


# --- every generation once ----------------------------------------------------------------------------------------


def _rename(harness: Harness) -> None:
    harness.write("content/blog.yaml", f"moved: [{{from: a, to: z}}]\n{blog('z').replace('about z', 'about a')}")
    harness.apply()


def _branch(harness: Harness) -> None:
    commit(harness.root)
    git(harness.root, "switch", "--quiet", "--create", "other")
    harness.applied("a", year=2027)
    commit(harness.root)
    git(harness.root, "switch", "--quiet", "main")


def _reset(harness: Harness) -> None:
    commit(harness.root)
    harness.applied("a", year=2027)
    commit(harness.root)
    git(harness.root, "reset", "--quiet", "--hard", "HEAD~1")


STORIES: dict[str, Callable[[Harness], object]] = {
    "rename": _rename, "remove": lambda harness: harness.declared("other").apply(prune=True),
    "replace": lambda harness: harness.apply(replace=("a",)), "branch": _branch, "reset": _reset,
}  # fmt: skip


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_every_generation_counts_once(tmp_path: Path, story: Callable[[Harness], object], *, forgets: bool) -> None:
    """Whatever became of its text since, and where only git is left to tell."""
    harness = site(tmp_path, 100)
    harness.applied("a")
    if forgets:
        commit(tmp_path)
    story(harness)
    if forgets:
        commit(tmp_path)
        shutil.rmtree(tmp_path / ".contentops")
    assert spent(harness).credits == harness.api.credits > 0


def test_environments_share_the_budget(tmp_path: Path) -> None:
    """A text that one takes from another counts once; the settings of each may say what it allows."""
    harness = site(tmp_path, 8, extra=STAGING)
    harness.applied("a")
    staging = Room(tmp_path, "staging", harness.api, extra=f"budget: {{credits_per_month: 8}}\n{STAGING}")
    staging.timeline = harness.timeline
    staging.apply()
    assert spent(staging).credits == spent(harness).credits == 4
    staging.applied("a", "b")
    assert spent(staging).credits == spent(harness).credits == harness.api.credits == 8
    harness.write("content/blog.yaml", blog("a", "b", "c"))
    assert "8 credits of 2026-02 are spent" in month_message(harness.plan())
    # Its lock is gone, and git knows what it has paid for.
    commit(tmp_path)
    (tmp_path / "contentops.staging.lock").unlink()
    shutil.rmtree(tmp_path / ".contentops")
    assert spent(harness).credits == 8


def test_one_environment_at_a_time_spends(tmp_path: Path) -> None:
    """Two would each see the same rest of the budget."""
    harness = site(tmp_path, 8, extra=STAGING)
    staging = Room(tmp_path, "staging", harness.api, extra=f"budget: {{credits_per_month: 8}}\n{STAGING}")
    with hold_lock(staging.project, staging.runtime()), pytest.raises(LockHeld):
        harness.apply()


# --- what is not known counts in full -----------------------------------------------------------------------------


def test_a_lost_answer_counts_where_it_may_have_been_accepted(tmp_path: Path, invoke: Run) -> None:
    """Five minutes before its intent and the timeout of a job after it, by the server's clock: at most, not for sure."""
    harness = site(tmp_path, 8, at=MARCH - 200, request_ids="ignore", auto_save=False)
    harness.api.fault(on("submit", 1), "504")
    harness.declared("a")
    assert results(harness.apply()) == {"a": "unknown"}
    for at, credits_ in ((MARCH - 100, 4), (MARCH + 100, 4), (MARCH + 40 * 86400, 0)):
        harness.timeline.now = at
        found = spent(harness)
        assert (found.credits, found.credits_unsure) == (credits_, credits_)
    harness.timeline.now = MARCH + 100
    assert "Sure: 0 credits; the rest is for lost answers" in month_sentence(spent(harness), harness.project.budget)
    report = invoke("report", "--json", cwd=tmp_path).json
    assert (report["credits"], report["credits_sure"], report["credits_at_most"]) == (0, 0, 4)


def test_a_lost_answer_is_priced_once(tmp_path: Path) -> None:
    """Wherever an apply is killed: as a submit that was sent, or as one to send again, not as both."""
    harness = site(tmp_path, 4)
    harness.declared("a")
    for number in range(1, 60, 7):
        copied = harness.copied(tmp_path.parent / f"{tmp_path.name}-{number}")
        copied.death = Death(number)
        with contextlib.suppress(BaseException):
            copied.apply()
        copied.death = None
        if not copied.state.open_jobs:
            continue
        assert (guards(copied.plan()), spent(copied).credits) == ([], 4)
        copied.apply()
        assert copied.api.credits <= spent(copied).credits == 4


# --- how it is said -----------------------------------------------------------------------------------------------


def test_plan_and_status_say_what_is_left(project: Build, invoke: Run) -> None:
    """With the bundled server all is free, so the month is told by `status` alone."""
    root = project(
        {
            "contentops.yaml": "version: 1\nproject: x\napi: {base_url: local}\nbudget: {credits_per_month: 1e9}\n",
            "content/a.yaml": "defaults: {template: blog_article_generator, style: general_blog}\n" + blog("a"),
        }
    )
    git(root, "init", "--quiet")
    assert "budget 1,000,000,000 credits a month" in invoke("plan", cwd=root).stdout
    assert invoke("apply", "--yes", cwd=root).code == 0
    assert "Spent: 0 of 1,000,000,000 credits of this month (20" in invoke("status", cwd=root).stdout
    found = invoke("status", "--json", cwd=root).json
    assert found["budget"]["credits_per_month"] == 1_000_000_000
    assert (found["spent"]["credits"], found["spent"]["gaps"]) == (0, [])
