"""Checks between a text and its file: what fails is kept, never written or saved, and paid for again only as planned."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from contentops.errors import Refused
from contentops.execution.primitives import Stop
from contentops.model import Action, ItemId, JobState
from contentops.operations.apply import Approval
from contentops.operations.history import history
from contentops.operations.records import resolve
from contentops.operations.workspace import open_workspace
from contentops.planning.plan_inputs import Choice
from contentops.planning.review import check_ceiling, compare_file
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.reporting.run import exit_code_of, run_json, run_text
from contentops.schema_files import load_schema
from tests.fakes.api import FakeApi, on
from tests.fakes.death import witnessed
from tests.fakes.scene import Scene, blog, results
from tests.plans import plan_document
from tests.reviewing import apply_file, review

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Change, Event, Run
    from tests.fakes.api import Generation


class Writing(FakeApi):
    """A server whose texts about one item are drafts until a take that is good."""

    good = 99

    def _written(self, job: Generation) -> tuple[str, str]:
        title, text = super()._written(job)
        draft = "about one" in job.topic and job.take < self.good
        return title, f"Draft outline {job.take}.\n\n{text}" if draft else text


NO_DRAFTS = "checks: {excludes: [Draft outline]}"


def _scene(root: Path, checks: str = NO_DRAFTS, *items: str, good: int = 99, **kwargs: Any) -> Scene:
    """Items with these checks; the text of `one` is a draft until its `good` take."""
    api = Writing(duration=30, **kwargs.pop("habits", {}))
    api.good = good
    scene = Scene(root, api, **kwargs)
    scene.write("content/blog.yaml", f"defaults: {{{checks}}}\n{blog(*(items or ('one', 'two')))}")
    return scene


def _from_take(scene: Scene, take: int) -> None:
    """From now on the texts of `one` are good from that take on."""
    assert isinstance(scene.api, Writing)
    scene.api.good = take


def _loosen(scene: Scene, checks: str = "", was: str = NO_DRAFTS) -> None:
    scene.edit("content/blog.yaml", f"defaults: {{{was}}}", f"defaults: {{{checks}}}")


def _one(scene: Scene, **choice: Any) -> Change:
    return next(change for change in scene.plan(**choice).changes if change.id == "one")


def _end(run: Run | None, item: str = "one") -> Any:
    assert run is not None
    return next(outcome for outcome in run.outcomes if outcome.id == item)


# --- block and warn --------------------------------------------------------------------------------------------


def test_a_text_that_fails_is_kept_and_never_paid_again(root: Path) -> None:
    """Not written, not saved, its entry paid; the others go on; plans and applies after it cost nothing."""
    scene = _scene(root, habits={"auto_save": False})
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "blocked", "two": "done"}
    assert exit_code_of(run) == 3
    outcome = _end(run)
    assert outcome.error == "its text fails its checks: excludes: says `Draft outline` (line 1 of the text)"
    assert [(each.check, each.level, each.line) for each in outcome.findings] == [("excludes", "block", 1)]
    assert set(scene.tree()) == {"out/two.md"}
    assert len(scene.api.contents) == 1
    entry = scene.entry("one")
    assert (entry.state, bool(entry.body)) == (JobState.PAID, True)
    for _ in range(2):
        change = _one(scene)
        assert (change.action, change.blocked, change.steps) == (Action.BLOCKED, "checks-failed", ())
        assert [reason.detail for reason in change.reasons if reason.kind == "checks-failed"] == [
            "says `Draft outline` (line 1 of the text)"
        ]
        assert "loosen `checks`, or `--replace one`" in change.hint
        assert results(scene.apply()) == {"one": "blocked"}
    assert scene.api.credits == 8


def test_a_text_that_passes_by_now_is_written_for_nothing(root: Path) -> None:
    """The checks were loosened: finished without a submit."""
    scene = _scene(root)
    scene.apply()
    _loosen(scene)
    assert (_one(scene).action, _one(scene).credits_worst) == (Action.FINISH, 0)
    assert results(scene.apply()) == {"one": "done"}
    assert "Draft outline 1." in scene.read("out/one.md")
    assert scene.plan().empty
    assert scene.api.credits == 8


def test_what_a_text_links_to_may_come_later(root: Path) -> None:
    """A link to an item's output is fine before that is written; one to a file is fine once that is there."""

    class Linking(FakeApi):
        def _written(self, job: Generation) -> tuple[str, str]:
            return job.title, f"See [two](two.md) and [a picture](img/a.png).\n\nTake {job.take}.\n"

    scene = Scene(root, Linking(duration=30))
    scene.write("content/blog.yaml", f"defaults: {{checks: {{links: block}}}}\n{blog('one')}")
    scene.write("content/more.yaml", blog("two"))
    run = scene.apply(select=("one",))
    assert [each.message for each in _end(run).findings] == ["the link `img/a.png` leads to no file of the project"]
    scene.write("out/img/a.png", "")
    assert _one(scene).action is Action.FINISH
    scene.apply()
    assert scene.plan().empty
    assert scene.api.credits == 8


def test_a_warning_is_told_and_goes_on(root: Path) -> None:
    """The text is written and saved; outcome, report and text of the run tell what was found."""
    scene = _scene(root, "checks: {excludes: {values: [Draft outline], level: warn}, words: {min: 900, level: warn}}")
    run = scene.apply()
    assert run is not None
    assert results(run) == {"one": "done", "two": "done"}
    assert [each.check for each in _end(run).findings] == ["words", "excludes"]
    assert "one  excludes: says `Draft outline` (line 1 of the text)" in unpainted(run_text(run))
    told = run_json(run, scene.plan())["run"]["outcomes"]
    assert [each["level"] for each in told[0]["findings"]] == ["warn", "warn"]
    assert scene.plan().empty


def test_what_would_stand_in_the_file_is_checked(root: Path) -> None:
    """Title and front matter are those that would be written: the manifest's, and what a person has added."""
    schema = {"required": ["author"], "properties": {"title": {"maxLength": 12}}}
    scene = _scene(root, "checks: {front_matter: post.json}", "two")
    scene.write("post.json", json.dumps(schema))
    scene.edit("content/blog.yaml", "    inputs", "    metadata: {tags: [a]}\n    inputs")
    run = scene.apply()
    assert len(_end(run, "two").findings) == 2
    scene.edit("content/blog.yaml", "tags: [a]", "tags: [a], title: Short, author: Ann")
    assert scene.actions() == {"two": "finish"}
    scene.apply()
    assert scene.plan().empty
    assert scene.api.credits == 4


def test_where_the_text_is_not_at_hand_the_apply_finds_out(root: Path) -> None:
    """Without cache the plan says finish; the apply fetches the text, holds it back, and pays nothing."""
    scene = _scene(root)
    scene.apply()
    shutil.rmtree(scene.root / ".contentops")
    assert _one(scene).action is Action.FINISH
    assert results(scene.apply()) == {"one": "blocked"}
    assert _one(scene).blocked == "checks-failed"
    assert scene.api.credits == 8


def test_another_text_is_asked_for_by_name(root: Path) -> None:
    """`--replace` pays for one more, of an item that has no record yet as of one that has."""
    scene = _scene(root, good=2)
    scene.apply()
    assert (_one(scene, replace=("one",)).action, _one(scene, replace=("one",)).credits) == (Action.CREATE, 4)
    assert results(scene.apply(replace=("one",))) == {"one": "done"}
    assert scene.plan().empty
    assert scene.api.credits == 12
    _from_take(scene, 99)
    assert results(scene.apply(replace=("two", "one"))) == {"one": "blocked", "two": "done"}
    assert "Take 2." in scene.read("out/one.md")
    _from_take(scene, 1)
    assert results(scene.apply(replace=("one",))) == {"one": "done"}
    assert "Take 4." in scene.read("out/one.md")
    assert scene.state.entries == {}


def test_a_replacement_that_fails_can_be_given_up(root: Path) -> None:
    """Its item stays as it is on disk, and nothing is left to do."""
    scene = _scene(root, good=1)
    scene.apply()
    _from_take(scene, 99)
    assert results(scene.apply(replace=("one",))) == {"one": "blocked"}
    change = _one(scene)
    assert "state resolve one --forget --request" in change.hint
    resolve(scene.project, "one", request=scene.entry("one").short, forget=True)
    assert scene.plan().empty
    assert "Take 1." in scene.read("out/one.md")


@pytest.mark.parametrize("loosened", [False, True])
def test_a_take_that_was_given_up_does_not_come_back(root: Path, *, loosened: bool) -> None:
    """Another request and back: the text that was written before is brought, and nothing is paid for."""
    scene = _scene(root, NO_DRAFTS, "one", good=1)
    scene.apply()
    _from_take(scene, 99)
    assert results(scene.apply(replace=("one",))) == {"one": "blocked"}
    resolve(scene.project, "one", request=scene.entry("one").short, forget=True)
    _from_take(scene, 1)
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    scene.apply()
    paid = scene.api.credits
    if loosened:
        _loosen(scene)
    scene.edit("content/blog.yaml", "in 2027", "in 2026")
    assert results(scene.apply()) == {"one": "done"}
    assert "Take 1." in scene.read("out/one.md")
    assert scene.api.credits == paid
    assert scene.plan().empty


def test_a_first_take_that_was_given_up_is_paid_for_again_as_another_one(root: Path) -> None:
    """The server would answer its own id with the same text; a person may still bring it by hand."""
    scene = _scene(root, NO_DRAFTS, "one")
    assert results(scene.apply()) == {"one": "blocked"}
    first = scene.entry("one")
    resolve(scene.project, "one", request=first.short, forget=True)
    change = _one(scene)
    assert (change.action, change.credits, change.attempt) == (Action.CREATE, 4, 2)
    _from_take(scene, 2)
    assert results(scene.apply()) == {"one": "done"}
    assert "Take 2." in scene.read("out/one.md")
    assert first.body in {text.body for text in history(scene.project, "one").texts}


def test_a_draft_of_the_embedded_server_answers_no_request(root: Path) -> None:
    """An apply, like the plan after it, does not advise to keep a draft in place of a text that fails its checks."""
    scene = _scene(root, NO_DRAFTS, "one", good=1)
    scene.apply()
    record = scene.state.records[ItemId("one")]
    scene.edit("contentops.lock", f'"server":"{record.server}"', '"server":"local"')
    _from_take(scene, 99)
    outcome = _end(scene.apply(replace=("one",)))
    assert outcome.result == "blocked"
    assert (outcome.hint, "--forget" in outcome.hint) == (_one(scene).hint, False)


def test_a_section_that_fails_leaves_the_text_as_it_is(root: Path) -> None:
    """Its retries are sections too; given up, the server has the file's text again."""
    checks = "checks: {excludes: [Section], retries: 1}"  # what the server of the tests makes of a section
    scene = _scene(root, checks, "one", good=1)
    scene.apply()
    before = scene.read("out/one.md")
    asked: dict[str, Any] = {"sections": {"one": "Closing"}}
    assert (_one(scene, **asked).credits, _one(scene, **asked).credits_worst) == (4, 8)
    assert results(scene.apply(**asked)) == {"one": "blocked"}
    assert (scene.api.credits, scene.api.count("section"), scene.read("out/one.md")) == (12, 2, before)
    assert (_one(scene).blocked, scene.entry("one").section) == ("checks-failed", "Closing")
    assert _one(scene, refresh=True).blocked == "checks-failed"
    assert results(scene.apply(refresh=True)) == {"one": "blocked"}
    assert scene.read("out/one.md") == before
    resolve(scene.project, "one", request=scene.entry("one").short, forget=True)
    assert scene.actions(refresh=True) == {"one": "save"}
    assert results(scene.apply(refresh=True)) == {"one": "done"}
    (stored,) = scene.api.contents.values()
    assert (before.endswith(stored.body), scene.plan(refresh=True).empty) == (True, True)


def test_a_stored_text_is_held_against_checks_too(root: Path) -> None:
    """A spec that comes back finds its earlier text, which fails by now: held back, and paid for only by name."""
    scene = _scene(root, "checks: {words: {min: 1}}", "one", good=1)
    scene.apply()
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    scene.apply()
    scene.edit("content/blog.yaml", "in 2027", "in 2026")
    assert _one(scene).action is Action.FINISH
    _loosen(scene, "checks: {words: {min: 900}}", "checks: {words: {min: 1}}")
    assert (_one(scene).action, _one(scene).blocked) == (Action.BLOCKED, "checks-failed")
    assert "2027" in scene.read("out/one.md")
    assert _one(scene, replace=("one",)).credits == 4


def test_a_persons_text_is_saved_whatever_it_says(root: Path) -> None:
    """Checks hold back what a job wrote; what a person wrote is the person's."""
    scene = _scene(root, good=1)
    scene.apply()
    scene.edit("out/one.md", "Closing", "Draft outline by me")
    assert results(scene.apply()) == {"one": "done"}
    assert "Draft outline by me" in scene.api.contents[scene.record("one").content_id].body


# --- retries ---------------------------------------------------------------------------------------------------

RETRIES = "checks: {excludes: [Draft outline], retries: 2}"


def test_a_text_that_fails_is_paid_for_again_within_the_plan(root: Path) -> None:
    """The plan shows the worst case in all its forms; the run pays as often as it must."""
    scene = _scene(root, RETRIES, good=3)
    plan = scene.plan()
    assert (plan.credits, plan.credits_worst, plan.submits_worst) == (8, 24, 6)
    assert "4 credits, up to 12 with 2 retries" in plan_text(plan, verbose=False)
    assert "8 credits, up to 24 with every retry." in plan_text(plan, verbose=False)
    assert "4, up to 12" in plan_markdown(plan)
    document = plan_document(plan)
    assert document["summary"]["credits_worst"] == 24
    assert [(each["credits_worst"], each["retries"]) for each in document["changes"]] == [(12, 2), (12, 2)]
    assert plan_document(plan_of(document)) | {"id": plan.id} == document | {"inputs": {}}
    run = scene.apply()
    assert results(run) == {"one": "done", "two": "done"}
    assert (_end(run).credits, _end(run, "two").credits) == (12, 4)
    assert "Take 3." in scene.read("out/one.md")
    assert scene.record("one").attempt == 3
    made = history(scene.project, "one").generations
    assert [(one.credits, one.outcome) for one in made] == [(4, "generated"), (4, "unwritten"), (4, "unwritten")]
    assert scene.plan().empty
    assert scene.state.entries == {}


def test_no_more_is_paid_than_stated(root: Path) -> None:
    """After the last retry the item is blocked, and stays so for nothing; more retries are planned for what is new."""
    scene = _scene(root, RETRIES, "one")
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.api.credits == 12
    assert scene.entry("one").retry == 2
    assert (_one(scene).blocked, _one(scene).credits_worst) == ("checks-failed", 0)
    assert results(scene.apply()) == {"one": "blocked"}
    _loosen(scene, RETRIES.replace("2", "3"), RETRIES)
    change = _one(scene)
    assert (change.action, change.credits, change.credits_worst, change.submits) == (Action.FINISH, 4, 4, 1)
    assert plan_document(plan_of(plan_document(scene.plan())))["changes"] == plan_document(scene.plan())["changes"]
    assert "checks-failed" in {reason.kind for reason in change.reasons}
    _from_take(scene, 4)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 16


def test_warnings_are_never_paid_for_again(root: Path) -> None:
    """Retries are for what holds a text back."""
    scene = _scene(root, "checks: {excludes: {values: [Draft outline], level: warn}, retries: 2}", "one")
    assert scene.plan().credits_worst == 4
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 4


def test_the_worst_case_has_to_fit_the_budget(root: Path) -> None:
    """Guards and approvals count it, before anything is paid."""
    scene = _scene(root, RETRIES, "one", extra="budget: {credits_per_apply: 11, items_per_apply: 2}")
    first, second = scene.plan().refusals
    assert "it costs 4 credits, up to 12 with every retry; `budget.credits_per_apply` is 11" in first.message
    assert "it generates 3 items" in second.message
    for approval in (Approval(), Approval(credits=11)):
        with pytest.raises(Refused):
            scene.apply(approval=approval)
    assert scene.api.credits == 0
    assert results(scene.apply(approval=Approval(credits=12))) == {"one": "blocked"}
    assert scene.api.credits == 12


@pytest.mark.parametrize("clean", [False, True], ids=["", "without .contentops"])
@pytest.mark.parametrize("good", [3, 99], ids=["third is good", "none is good"])
def test_a_stop_anywhere_in_a_retry_pays_no_more(root: Path, good: int, *, clean: bool) -> None:
    """Killed at any step and run again: the same end for the same credits."""
    scene = _scene(root / "undisturbed", RETRIES, "two", good=good)
    scene.apply()
    scene.write("content/more.yaml", f"defaults: {{{RETRIES}}}\n{blog('one')}")
    stops = witnessed(scene, root, scene.apply)
    assert scene.api.credits == 16
    assert len(stops) > 20
    for where, stop in stops.items():
        if clean:
            shutil.rmtree(stop.root / ".contentops", ignore_errors=True)
        runs = [stop.apply() for _ in range(2)]
        assert stop.api.credits == 16, (where, runs)
        assert set(stop.tree()) == set(scene.tree()), where
        assert stop.actions() == scene.actions(), where
        assert {entry.retry for entry in stop.state.entries.values()} == ({2} if good == 99 else set()), where


def test_a_retry_whose_job_fails_is_tried_once_more(root: Path) -> None:
    """As any other job; it counts as the same retry."""

    class Failing(Writing):
        def _submit(self, seen: Any) -> Any:
            answer = super()._submit(seen)
            if len(self.generations) == 2:
                self.generations[1].error = "model overloaded"
            return answer

    scene = _scene(root, "checks: {excludes: [Draft outline], retries: 1}", "one", good=3)
    scene.api.__class__ = Failing
    run = scene.apply()
    assert results(run) == {"one": "failed"}
    assert scene.api.credits == 4
    change = _one(scene)
    assert (change.action, change.credits, change.credits_worst) == (Action.CREATE, 4, 4)
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 8


def test_an_account_that_is_empty_pauses_between_retries(root: Path) -> None:
    """What was paid for is kept; with credits again the same number of retries is left."""
    scene = _scene(root, RETRIES, "one", good=3, habits={"balance": 8})
    run = scene.apply()
    assert run is not None
    assert (results(run), exit_code_of(run)) == ({"one": "pending"}, 5)
    assert scene.api.credits == 8
    assert (_one(scene).action, _one(scene).credits_worst) == (Action.FINISH, 4)
    scene.api.habits.balance = None
    assert results(scene.apply()) == {"one": "done"}
    assert scene.api.credits == 12


def test_a_lost_answer_to_a_retry_is_looked_for(root: Path) -> None:
    """Never sent again blindly."""
    scene = _scene(root, RETRIES, "one", good=2)
    scene.api.fault(on("submit", 2), "504")
    for _ in range(2):
        scene.apply()
    assert scene.plan().empty
    assert scene.api.credits == 8


def test_a_plan_file_covers_its_retries_and_no_more(root: Path) -> None:
    """Retries that were not reviewed are refused; a run of the file that is blocked may be run again."""
    scene = _scene(root, NO_DRAFTS, "one", good=3)
    narrow = review(scene)
    _loosen(scene, RETRIES)
    wide = review(scene)

    def compared(document: Any) -> Any:
        with open_workspace(scene.project) as workspace:
            return compare_file(workspace.plan_inputs(Choice()), document)

    with pytest.raises(Refused, match="it would retry, which the plan does not say"):
        compared(narrow)
    with pytest.raises(Refused, match="retry"):
        check_ceiling(scene.plan(), scene.project.guards, narrow)
    check_ceiling(scene.plan(), scene.project.guards, wide)
    _loosen(scene, RETRIES.replace("2", "4"), RETRIES)
    with pytest.raises(Refused, match="it costs 4 credits, up to 20 with every retry now, not 12"):
        compared(wide)
    with pytest.raises(Refused, match="up to 20"):
        check_ceiling(scene.plan(), scene.project.guards, wide)
    _loosen(scene, RETRIES, RETRIES.replace("2", "4"))
    _from_take(scene, 99)
    for _ in range(2):
        assert results(apply_file(scene, wide)) == {"one": "blocked"}
        assert scene.api.credits == 12
    check_ceiling(scene.plan(), scene.project.guards, wide)


# --- merges ----------------------------------------------------------------------------------------------------


def _merging(root: Path, old: str, new: str, *, good: int) -> Scene:
    """A text in which a person put `new` for `old`, and whose request changed since; from then on it is checked."""
    scene = _scene(root, "on_edit: merge", "one")
    scene.apply()
    scene.edit("out/one.md", old, new)
    scene.apply()
    _from_take(scene, good)
    scene.edit("content/blog.yaml", "in 2026", "in 2027")
    _loosen(scene, f"on_edit: merge, {RETRIES}", "on_edit: merge")
    return scene


def test_what_a_person_wrote_is_no_reason_to_pay_again(root: Path) -> None:
    """The merged text fails for a person's words alone: held back, paid once, and written once that is fine."""
    scene = _merging(root, "Take 1.", "Draft outline by me.", good=1)
    scene.edit("out/one.md", "Draft outline 1.", "Mine.")
    assert _one(scene).credits_worst == 12
    assert results(scene.apply()) == {"one": "blocked"}
    assert scene.api.credits == 8
    assert (_one(scene).blocked, _one(scene).credits_worst) == ("checks-failed", 0)
    scene.edit("out/one.md", "Draft outline by me.", "My outline.")
    assert (_one(scene).action, _one(scene).credits) == (Action.FINISH, 0)
    assert results(scene.apply()) == {"one": "done"}
    assert "My outline." in scene.read("out/one.md")
    assert "in 2027" in scene.read("out/one.md")
    assert scene.plan().empty
    assert scene.api.credits == 8


def test_what_will_be_written_decides(root: Path) -> None:
    """A new text fails only where a person's words take the place of what does: it is written, and not paid again."""
    scene = _merging(root, "Draft outline 1.", "My own beginning.", good=99)
    assert results(scene.apply()) == {"one": "done"}
    assert ("My own beginning." in scene.read("out/one.md"), scene.api.credits) == (True, 8)
    assert scene.plan().empty


def test_a_new_text_that_fails_beside_a_persons_words_is_paid_for_again(root: Path) -> None:
    """What stays of a person stays in the next one too."""
    scene = _merging(root, "Take 1.", "My own end.", good=2)
    assert results(scene.apply()) == {"one": "done"}
    text = scene.read("out/one.md")
    assert ("My own end." in text, "Draft outline" in text, scene.api.credits) == (True, False, 12)
    assert scene.plan().empty


# --- told harmlessly -------------------------------------------------------------------------------------------


def test_hostile_words_in_findings_do_no_harm(root: Path) -> None:
    """No escape reaches a terminal, no mark a page; the report fits its schema."""
    evil = "\x1b[31m<script>\n::error::x|`y` @team"

    class Hostile(FakeApi):
        def _written(self, job: Generation) -> tuple[str, str]:
            words = f"[a]({'x' * 900}<img>) [b](::error::%0A|`y`@team)\n\n[c](\x1b[2Jd.md)\n"
            return evil, f"{words}\nTake {job.take}.\n"

    scene = Scene(root, Hostile(duration=30))
    scene.write("content/blog.yaml", f"defaults: {{checks: {{links: block, excludes: ['`y`']}}}}\n{blog('one')}")
    run = scene.apply()
    assert run is not None
    plan = scene.plan()
    for text in (run_text(run), plan_text(plan, verbose=False), plan_markdown(plan), json.dumps(run_json(run, plan))):
        assert "\x1b[2J" not in text
        assert "\n::error" not in text
    Draft7Validator(load_schema("report")).validate(run_json(run, plan))
    Draft7Validator(load_schema("plan")).validate({**plan_document(plan), "checksum": plan.id})
    assert len(run_text(run)) < 4000


# --- commands --------------------------------------------------------------------------------------------------

needs_shell = pytest.mark.skipif(os.name == "nt", reason="the command is a shell script")


def _with_command(root: Path, **kwargs: Any) -> Scene:
    """A project whose settings name a command that finds fault with drafts, and counts how often it ran."""
    scene = _scene(
        root, "save: true", extra="defaults: {checks: {commands: [bin/lint]}, template: t, style: s}", **kwargs
    )
    settings = scene.read("contentops.yaml").replace("defaults: {template: blog_article_generator", "defaults: {#")
    lines = [line for line in settings.splitlines() if "{#" not in line]
    text = "\n".join(lines).replace("template: t, style: s", "template: blog_article_generator, style: general_blog")
    scene.write("contentops.yaml", text + "\n")
    lint = scene.write(
        "bin/lint",
        """\
        #!/bin/sh
        echo ran >> runs.txt
        grep -n "$(cat words.txt)" "$1" | sed "s|^\\([0-9]*\\):.*|$1:\\1: a draft|" | grep . && exit 1
        exit 0
        """,
    )
    lint.chmod(0o755)
    scene.write("words.txt", "Draft outline")
    return scene


@needs_shell
def test_a_command_holds_a_text_back_until_it_is_content(root: Path) -> None:
    """It runs in applies alone; plans tell what it said; nothing is paid for again."""
    scene = _with_command(root)
    scene.plan()
    assert not (root / "runs.txt").exists()
    run = scene.apply()
    assert results(run) == {"one": "blocked", "two": "done"}
    assert [(each.check, each.message, each.line) for each in _end(run).findings] == [
        ("commands", "`bin/lint`: a draft", 1)
    ]
    assert scene.read("runs.txt") == "ran\nran\n"
    assert set(scene.tree()) == {"out/two.md"}
    change = _one(scene)
    assert (change.action, change.credits_worst) == (Action.FINISH, 0)
    assert "`bin/lint`: a draft (line 1 of the text)" in {reason.detail for reason in change.reasons}
    assert change.hint.startswith("apply runs them again")
    assert results(scene.apply()) == {"one": "blocked"}
    scene.write("words.txt", "something else")
    assert results(scene.apply()) == {"one": "done"}
    assert scene.plan().empty
    assert scene.api.credits == 8


@needs_shell
def test_what_a_command_finds_is_paid_for_again_as_planned(root: Path) -> None:
    """As what any other check finds."""
    scene = _with_command(root, good=2)
    scene.edit("contentops.yaml", "commands: [bin/lint]", "commands: [bin/lint], retries: 1")
    assert scene.plan().credits_worst == 16
    assert results(scene.apply()) == {"one": "done", "two": "done"}
    assert scene.api.credits == 12
    assert scene.read("runs.txt") == "ran\n" * 3


def test_a_text_that_a_killed_run_left_for_a_command_goes(root: Path) -> None:
    """Once it is old: another environment's apply may be at work."""
    scene = _scene(root, NO_DRAFTS, "two")
    for name, age in (("check-old", 7200), ("check-new", 60)):
        folder = scene.write(f".contentops/{name}/out/one.md", "Left.").parents[1]
        os.utime(folder, (scene.timeline.wall() - age,) * 2)
    scene.apply()
    assert [path.name for path in (root / ".contentops").glob("check-*")] == ["check-new"]


@needs_shell
def test_a_stop_while_a_command_runs_loses_nothing(root: Path) -> None:
    """The run ends; the next one goes on for nothing."""
    scene = _with_command(root, good=1)
    stop = Stop()

    def emit(event: Event) -> None:
        if (event.kind, event.step) == ("step-started", "write"):
            stop.request()

    run = scene.apply(stop=stop, emit=emit)
    assert run is not None
    assert (run.stopped, exit_code_of(run)) == ("interrupted", 130)
    assert set(results(run)) == {"one", "two"}
    paid = scene.api.credits
    scene.apply()
    assert scene.plan().empty
    assert scene.api.credits == 8 >= paid
