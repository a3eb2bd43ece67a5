"""Checks between a text and its file: what fails is kept, never written or saved, and paid for again only as planned."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator

from contentops.errors import Refused
from contentops.execution.primitives import Stop
from contentops.model import Action, Change, JobState, Plan, Run
from contentops.model.plan_file import PlanFile, plan_file
from contentops.operations.spend import history
from contentops.operations.state import resolve
from contentops.operations.workspace import open_workspace
from contentops.planning.guards import Overrides
from contentops.planning.review import check_ceiling, compare_file
from contentops.planning.sides import Choice
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import exit_code_of, run_json, run_text
from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi, Generation, on
from tests.fakes.harness import Harness, before, blog, results
from tests.fakes.kills import EachKill
from tests.plans import plan_document, read_back
from tests.reviewing import apply_file, review


class Writing(FakeApi):
    """A server whose texts about one item are drafts until a take that is good."""

    good = 99
    quoted = ""

    def _written(self, job: Generation) -> tuple[str, str]:
        title, text = super()._written(job)
        draft = "about one" in job.topic and job.take < self.good
        text = f"{self.quoted}\n\n{text}" if "about one" in job.topic else text
        return title, f"Draft outline {job.take}.\n\n{text}" if draft else text


NO_DRAFTS = "checks: {excludes: [Draft outline]}"


class Drafting(Harness):
    """A harness on such a server."""

    api: Writing


def _harness(root: Path, checks: str = NO_DRAFTS, *items: str, good: int = 99, **kwargs: Any) -> Drafting:
    """Items with these checks; the text of `one` is a draft until its `good` take."""
    api = Writing(duration=30, **kwargs.pop("habits", {}))
    api.good = good
    harness = Drafting(root, api, **kwargs)
    harness.write("content/blog.yaml", f"defaults: {{{checks}}}\n{blog(*(items or ('one', 'two')))}")
    return harness


def _loosen(harness: Harness, checks: str = "", was: str = NO_DRAFTS) -> None:
    harness.edit("content/blog.yaml", f"defaults: {{{was}}}", f"defaults: {{{checks}}}")


def _one(harness: Harness, **choice: Any) -> Change:
    return next(change for change in harness.plan(**choice).changes if change.id == "one")


def _end(run: Run | None, item: str = "one") -> Any:
    assert run is not None
    return next(outcome for outcome in run.outcomes if outcome.id == item)


def test_a_text_that_fails_is_kept_and_never_paid_again(root: Path) -> None:
    """Not written, not saved, its entry paid; the others go on; plans and applies after it cost nothing."""
    harness = _harness(root, habits={"auto_save": False})
    run = harness.ran()
    assert (results(run), exit_code_of(run)) == ({"one": "blocked", "two": "done"}, 3)
    outcome = _end(run)
    assert outcome.error == "its text failed its checks: excludes: says `Draft outline` (line 1 of the text)"
    assert [(each.check, each.level, each.line) for each in outcome.findings] == [("excludes", "block", 1)]
    assert (set(harness.tree()), len(harness.api.contents)) == ({"out/two.md"}, 1)
    entry = harness.open_job("one")
    assert (entry.state, bool(entry.body)) == (JobState.PAID, True)
    for _ in range(2):
        change = _one(harness)
        assert (change.action, change.blocked, change.steps) == (Action.BLOCKED, "checks-failed", ())
        assert [reason.detail for reason in change.reasons if reason.kind == "checks-failed"] == [
            "says `Draft outline` (line 1 of the text)"
        ]
        assert "or pay for another text with `--replace one`" in change.hint
        assert results(harness.apply()) == {"one": "blocked"}
    assert harness.api.credits == 8


@pytest.mark.parametrize("checks", ["", "checks: {words: {min: 1}}"])
def test_a_text_that_is_nested_too_deeply_is_kept_and_not_written(root: Path, checks: str) -> None:
    """Also where the item has no checks: in its file it would block the item, and no command would show it."""
    harness = _harness(root, checks, good=1)
    harness.api.quoted = ">" * 50_000
    run = harness.ran()
    assert results(run) == {"one": "blocked", "two": "done"}
    assert "has lists or quotations that are nested too deeply to be checked" in _end(run).error
    change = _one(harness)
    assert (change.blocked, set(harness.tree()), harness.open_job("one").state) == (
        "checks-failed", {"out/two.md"}, JobState.PAID,
    )  # fmt: skip
    assert ("loosen" in change.hint, "`--replace one`" in change.hint) == (bool(checks), True)
    assert (results(harness.apply()), harness.api.credits) == ({"one": "blocked"}, 8)
    harness.api.quoted = ""
    assert results(harness.apply(replace=("one",))) == {"one": "done"}
    assert (harness.plan().empty, harness.api.credits) == (True, 12)


@pytest.mark.parametrize("loosened", [False, True])
def test_a_take_that_was_given_up_does_not_come_back(root: Path, *, loosened: bool) -> None:
    """Another request and back: the text that was written before is brought, and nothing is paid for."""
    harness = _harness(root, NO_DRAFTS, "one", good=1)
    harness.apply()
    harness.api.good = 99
    assert results(harness.apply(replace=("one",))) == {"one": "blocked"}
    resolve(harness.project, "one", request=harness.open_job("one").short, forget=True)
    harness.api.good = 1
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    harness.apply()
    paid = harness.api.credits
    if loosened:
        _loosen(harness)
    harness.edit("content/blog.yaml", "in 2027", "in 2026")
    assert (results(harness.apply()), "Take 1." in harness.read("out/one.md")) == ({"one": "done"}, True)
    assert (harness.api.credits, harness.plan().empty) == (paid, True)


def test_a_first_take_that_was_given_up_is_paid_for_again_as_another_one(root: Path, processes: None) -> None:
    """The server would answer its own id with the same text; a person may still bring it by hand."""
    harness = _harness(root, NO_DRAFTS, "one")
    assert results(harness.apply()) == {"one": "blocked"}
    first = harness.open_job("one")
    resolve(harness.project, "one", request=first.short, forget=True)
    change = _one(harness)
    assert (change.action, change.credits, change.attempt) == (Action.CREATE, 4, 2)
    harness.api.good = 2
    assert (results(harness.apply()), "Take 2." in harness.read("out/one.md")) == ({"one": "done"}, True)
    assert first.body in {text.job.body for text in history(harness.project, "one").texts}


def test_a_section_that_fails_leaves_the_text_as_it_is(root: Path) -> None:
    """Its retries are sections too; given up, the server has the file's text again."""
    checks = "checks: {excludes: [Section], retries: 1}"  # what the server of the tests makes of a section
    harness = _harness(root, checks, "one", good=1)
    harness.apply()
    before = harness.read("out/one.md")
    asked: dict[str, Any] = {"sections": {"one": "Closing"}}
    assert (_one(harness, **asked).credits, _one(harness, **asked).credits_worst) == (4, 8)
    assert results(harness.apply(**asked)) == {"one": "blocked"}
    assert (harness.api.credits, harness.api.count("section"), harness.read("out/one.md")) == (12, 2, before)
    assert (_one(harness).blocked, harness.open_job("one").section) == ("checks-failed", "Closing")
    assert _one(harness, refresh=True).blocked == "checks-failed"
    assert (results(harness.apply(refresh=True)), harness.read("out/one.md")) == ({"one": "blocked"}, before)
    resolve(harness.project, "one", request=harness.open_job("one").short, forget=True)
    assert harness.actions(refresh=True) == {"one": "save"}
    assert results(harness.apply(refresh=True)) == {"one": "done"}
    (stored,) = harness.api.contents.values()
    assert (before.endswith(stored.body), harness.plan(refresh=True).empty) == (True, True)


def test_a_stored_text_is_held_against_checks_too(root: Path) -> None:
    """A spec that comes back finds its earlier text, which fails by now: held back, and paid for only by name."""
    harness = _harness(root, "checks: {words: {min: 1}}", "one", good=1)
    harness.apply()
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    harness.apply()
    harness.edit("content/blog.yaml", "in 2027", "in 2026")
    assert _one(harness).action is Action.FINISH
    _loosen(harness, "checks: {words: {min: 900}}", "checks: {words: {min: 1}}")
    assert (_one(harness).action, _one(harness).blocked) == (Action.BLOCKED, "checks-failed")
    assert ("2027" in harness.read("out/one.md"), _one(harness, replace=("one",)).credits) == (True, 4)


RETRIES = "checks: {excludes: [Draft outline], retries: 2}"


def test_a_text_that_fails_is_paid_for_again_within_the_plan(root: Path, processes: None) -> None:
    """The plan shows the worst case in all its forms; the run pays as often as it must."""
    harness = _harness(root, RETRIES, good=3)
    plan = harness.plan()
    assert (plan.credits, plan.credits_worst, plan.submits_worst) == (8, 24, 6)
    assert "4 credits, up to 12 with 2 retries" in plan_text(plan, verbose=False)
    assert "8 credits, up to 24 with every retry." in plan_text(plan, verbose=False)
    assert "4, up to 12" in plan_markdown(plan)
    document = plan_document(plan)
    assert document["summary"]["credits_worst"] == 24
    assert [(each["credits_worst"], each["retries"]) for each in document["changes"]] == [(12, 2), (12, 2)]
    assert plan_document(read_back(document)) | {"id": plan.id} == document | {"inputs": {}}
    run = harness.apply()
    assert results(run) == {"one": "done", "two": "done"}
    assert (_end(run).credits, _end(run, "two").credits) == (12, 4)
    assert ("Take 3." in harness.read("out/one.md"), harness.made_by("one").attempt) == (True, 3)
    made = history(harness.project, "one").generations
    assert [(one.credits, one.outcome) for one in made] == [(4, "generated"), (4, "unwritten"), (4, "unwritten")]
    assert (harness.plan().empty, harness.state.open_jobs) == (True, {})


def test_a_retry_whose_answer_is_lost_is_found_among_the_stored_contents(root: Path) -> None:
    """Its text is the one that is checked next, and no further one is paid for."""
    harness = _harness(root, RETRIES, "one", good=2)
    harness.api.fault(on("submit", 2), "reset")
    harness.api.fault(lambda name, _: name == "status" and len(harness.api.generations) == 2, 403)
    harness.api.habits.duration = 0
    assert results(harness.apply()) == {"one": "done"}
    assert "Draft outline" not in harness.read("out/one.md")
    assert harness.api.credits == 8


def test_a_paid_text_that_cannot_be_fetched_is_pending(root: Path) -> None:
    """The cache is gone and the server is away: no one is told that its job still runs."""
    harness = _harness(root, NO_DRAFTS, "one")
    assert results(harness.apply()) == {"one": "blocked"}
    _loosen(harness)
    shutil.rmtree(root / ".contentops")
    harness.api.fault(lambda _name, _n: True, "refuse")
    end = _end(harness.apply())
    assert (end.result, end.hint) == ("pending", "")
    harness.api.heal()
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 4)


def test_no_more_is_paid_than_stated(root: Path) -> None:
    """After the last retry the item is blocked, and stays so for nothing; more retries are planned for what is new."""
    harness = _harness(root, RETRIES, "one")
    assert (results(harness.apply()), harness.api.credits) == ({"one": "blocked"}, 12)
    assert harness.open_job("one").retry == 2
    assert (_one(harness).blocked, _one(harness).credits_worst) == ("checks-failed", 0)
    assert results(harness.apply()) == {"one": "blocked"}
    _loosen(harness, RETRIES.replace("2", "3"), RETRIES)
    change = _one(harness)
    assert (change.action, change.credits, change.credits_worst, change.submits) == (Action.FINISH, 4, 4, 1)
    assert (
        plan_document(read_back(plan_document(harness.plan())))["changes"] == plan_document(harness.plan())["changes"]
    )
    assert "checks-failed" in {reason.kind for reason in change.reasons}
    harness.api.good = 4
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 16)


def test_the_worst_case_has_to_fit_the_budget(root: Path) -> None:
    """Guards and approvals count it, before anything is paid."""
    harness = _harness(root, RETRIES, "one", extra="budget: {credits_per_apply: 11, items_per_apply: 2}")
    first, second = harness.plan().refusals
    assert "it costs 4 credits, up to 12 with every retry; `budget.credits_per_apply` is 11" in first.message
    assert "it generates 3 items" in second.message
    for overrides in (Overrides(), Overrides(credits=11)):
        with pytest.raises(Refused):
            harness.apply(overrides=overrides)
    assert harness.api.credits == 0
    assert results(harness.apply(overrides=Overrides(credits=12))) == {"one": "blocked"}
    assert harness.api.credits == 12


@pytest.mark.parametrize(("good", "clean"), [(3, False), (99, True)], ids=["third is good", "none, no .contentops"])
def test_a_stop_anywhere_in_a_retry_pays_no_more(
    root: Path, good: int, *, clean: bool, processes: None, each_kill: EachKill
) -> None:
    """Killed at any step and run again: the same end for the same credits."""
    harness = _harness(root / "undisturbed", RETRIES, "two", good=good)
    harness.apply()
    harness.write("content/more.yaml", f"defaults: {{{RETRIES}}}\n{blog('one')}")
    stops = each_kill(harness, root, harness.apply, 2)
    expected = harness.actions()
    assert harness.api.credits == 16
    assert len(stops) > 10
    for where, stop in stops.items():
        if clean:
            shutil.rmtree(stop.root / ".contentops", ignore_errors=True)
        left = {change.id: str(change.action) for change in stop.settle().changes}
        assert left == expected, where
        assert stop.api.credits == 16, where
        assert set(stop.tree()) == set(harness.tree()), where
        assert {job.retry for job in stop.state.open_jobs.values()} == ({2} if good == 99 else set()), where


def test_a_retry_whose_job_fails_is_tried_once_more(root: Path) -> None:
    """As any other job; it counts as the same retry."""
    harness = _harness(root, "checks: {excludes: [Draft outline], retries: 1}", "one", good=3)
    harness.api.habits.fails = lambda _: "model overloaded" if len(harness.api.generations) == 1 else ""
    assert (results(harness.apply()), harness.api.credits) == ({"one": "failed"}, 4)
    change = _one(harness)
    assert (change.action, change.credits, change.credits_worst) == (Action.CREATE, 4, 4)
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 8)


def test_a_retry_that_is_refused_is_made_by_the_next_apply(root: Path) -> None:
    """The failed text stays open until the job that replaces it is recorded."""
    harness = _harness(root, RETRIES, "one", good=2)
    harness.api.fault(on("submit", 2), lambda: httpx.Response(402, json={"detail": "no credits"}))
    assert (results(harness.apply()), harness.api.credits) == ({"one": "pending"}, 4)
    assert (results(harness.apply()), harness.api.credits) == ({"one": "done"}, 8)


def test_a_plan_file_covers_its_retries_and_no_more(root: Path) -> None:
    """Retries that were not reviewed are refused; a run of the file that is blocked may be run again."""
    harness = _harness(root, NO_DRAFTS, "one", good=3)
    narrow = plan_file(review(harness))
    _loosen(harness, RETRIES)
    document = review(harness)
    wide = plan_file(document)

    def compared(file: PlanFile) -> Plan:
        with open_workspace(harness.project) as workspace:
            return compare_file(workspace.plan_inputs(Choice()), file)

    with pytest.raises(Refused, match="it would retry, which is not in the plan"):
        compared(narrow)
    with pytest.raises(Refused, match="retry"):
        check_ceiling(harness.plan(), harness.project.guards, narrow)
    check_ceiling(harness.plan(), harness.project.guards, wide)
    _loosen(harness, RETRIES.replace("2", "4"), RETRIES)
    with pytest.raises(Refused, match="it costs 4 credits, up to 20 with every retry now, not 12"):
        compared(wide)
    with pytest.raises(Refused, match="up to 20"):
        check_ceiling(harness.plan(), harness.project.guards, wide)
    _loosen(harness, RETRIES, RETRIES.replace("2", "4"))
    harness.api.good = 99
    for _ in range(2):
        assert (results(apply_file(harness, document)), harness.api.credits) == ({"one": "blocked"}, 12)
    check_ceiling(harness.plan(), harness.project.guards, wide)


def _merging(root: Path, old: str, new: str, *, good: int) -> Drafting:
    """A text in which a person put `new` for `old`, and whose request changed since; from then on it is checked."""
    harness = _harness(root, "on_edit: merge", "one")
    harness.apply()
    harness.edit("out/one.md", old, new)
    harness.apply()
    harness.api.good = good
    harness.edit("content/blog.yaml", "in 2026", "in 2027")
    _loosen(harness, f"on_edit: merge, {RETRIES}", "on_edit: merge")
    return harness


def test_what_a_person_wrote_is_no_reason_to_pay_again(root: Path) -> None:
    """The merged text fails for a person's words alone: held back, paid once, and written once that is fine."""
    harness = _merging(root, "Take 1.", "Draft outline by me.", good=1)
    harness.edit("out/one.md", "Draft outline 1.", "Mine.")
    assert (_one(harness).credits_worst, results(harness.apply())) == (12, {"one": "blocked"})
    assert harness.api.credits == 8
    assert (_one(harness).blocked, _one(harness).credits_worst) == ("checks-failed", 0)
    harness.edit("out/one.md", "Draft outline by me.", "My outline.")
    assert (_one(harness).action, _one(harness).credits) == (Action.FINISH, 0)
    assert (results(harness.apply()), "My outline." in harness.read("out/one.md")) == ({"one": "done"}, True)
    assert "in 2027" in harness.read("out/one.md")
    assert (harness.plan().empty, harness.api.credits) == (True, 8)


def test_hostile_words_in_findings_do_no_harm(root: Path) -> None:
    """No escape reaches a terminal, no mark a page; the report fits its schema."""
    evil = "\x1b[31m<script>\n::error::x|`y` @team"

    class Hostile(FakeApi):
        def _written(self, job: Generation) -> tuple[str, str]:
            words = f"[a]({'x' * 900}<img>) [b](::error::%0A|`y`@team)\n\n[c](\x1b[2Jd.md)\n"
            return evil, f"{words}\nTake {job.take}.\n"

    harness = Harness(root, Hostile(duration=30))
    harness.write("content/blog.yaml", f"defaults: {{checks: {{links: block, excludes: ['`y`']}}}}\n{blog('one')}")
    run = harness.ran()
    plan = harness.plan()
    for text in (run_text(run), plan_text(plan, verbose=False), plan_markdown(plan), json.dumps(run_json(run, plan))):
        assert "\x1b[2J" not in text
        assert "\n::error" not in text
    Draft7Validator(load_schema("report")).validate(run_json(run, plan))
    Draft7Validator(load_schema("plan")).validate({**plan_document(plan), "checksum": plan.id})
    assert len(run_text(run)) < 4000


needs_shell = pytest.mark.skipif(os.name == "nt", reason="the command is a shell script")


def _with_command(root: Path, **kwargs: Any) -> Drafting:
    """A project whose settings name a command that finds fault with drafts, and counts how often it ran."""
    harness = _harness(root, "save: true", **kwargs)
    harness.edit("contentops.yaml", "general_blog}", "general_blog, checks: {commands: [bin/lint]}}")
    lint = harness.write(
        "bin/lint",
        """\
        #!/bin/sh
        echo ran >> runs.txt
        grep -n "$(cat words.txt)" "$1" | sed "s|^\\([0-9]*\\):.*|$1:\\1: a draft|" | grep . && exit 1
        exit 0
        """,
    )
    lint.chmod(0o755)
    harness.write("words.txt", "Draft outline")
    return harness


@needs_shell
def test_a_command_holds_a_text_back_until_it_is_content(root: Path, processes: None) -> None:
    """It runs in applies alone; plans tell what it said; nothing is paid for again."""
    harness = _with_command(root)
    harness.plan()
    assert not (root / "runs.txt").exists()
    run = harness.apply()
    assert results(run) == {"one": "blocked", "two": "done"}
    assert [(each.check, each.message, each.line) for each in _end(run).findings] == [
        ("commands", "`bin/lint`: a draft", 1)
    ]
    assert (harness.read("runs.txt"), set(harness.tree())) == ("ran\nran\n", {"out/two.md"})
    change = _one(harness)
    assert (change.action, change.credits_worst) == (Action.FINISH, 0)
    assert "commands: `bin/lint`: a draft (line 1 of the text)" in {reason.detail for reason in change.reasons}
    assert change.hint.startswith("apply checks it again")
    assert results(harness.apply()) == {"one": "blocked"}
    harness.write("words.txt", "something else")
    assert (results(harness.apply()), harness.plan().empty, harness.api.credits) == ({"one": "done"}, True, 8)


def test_a_text_that_a_killed_run_left_for_a_command_goes(root: Path) -> None:
    """Once it is old: another environment's apply may be at work."""
    harness = _harness(root, NO_DRAFTS, "two")
    for name, age in (("check-old", 7200), ("check-new", 60)):
        folder = harness.write(f".contentops/{name}/out/one.md", "Left.").parents[1]
        os.utime(folder, (harness.timeline.wall() - age,) * 2)
    harness.apply()
    assert [path.name for path in (root / ".contentops").glob("check-*")] == ["check-new"]


@needs_shell
def test_a_stop_while_a_command_runs_loses_nothing(root: Path, processes: None) -> None:
    """The run ends; the next one goes on for nothing."""
    harness = _with_command(root, good=1)
    stop = Stop()

    run = harness.ran(stop=stop, emit=before("write", stop.request))
    assert (run.stopped, exit_code_of(run), set(results(run))) == ("interrupted", 130, {"one", "two"})
    paid = harness.api.credits
    harness.apply()
    assert harness.plan().empty
    assert harness.api.credits == 8 >= paid


def test_what_a_text_links_to_may_come_later(root: Path) -> None:
    """A link to an item's output is fine before that is written; one to a file is fine once that is there."""

    class Linking(FakeApi):
        def _written(self, job: Generation) -> tuple[str, str]:
            return job.title, f"See [two](two.md) and [a picture](img/a.png).\n\nTake {job.take}.\n"

    harness = Harness(root, Linking(duration=30))
    harness.write("content/blog.yaml", f"defaults: {{checks: {{links: block}}}}\n{blog('one')}")
    harness.write("content/more.yaml", blog("two"))
    run = harness.apply(select=("one",))
    assert [each.message for each in _end(run).findings] == ["the link `img/a.png` points to no file of the project"]
    harness.write("out/img/a.png", "")
    assert _one(harness).action is Action.FINISH
    harness.apply()
    assert (harness.plan().empty, harness.api.credits) == (True, 8)
