"""`--canary`, `result:failed` and `--max-credits`: paying in parts, again, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from contentops.errors import ExitCode
from contentops.planning.guards import review
from tests.fakes.api import FakeApi
from tests.fakes.harness import Harness, blog
from tests.plans import make_change, make_plan
from tests.reviewing import apply_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

LOCAL = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
"""
PRICED = LOCAL.replace("{base_url: local}", '{base_url: "https://api.example.test/v1"}')


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Four new items."""
    harness = Harness(tmp_path, FakeApi(duration=30))
    harness.write("content/blog.yaml", blog("a", "b", "c", "d"))
    return harness


def _canary(harness: Harness, **choice: Any) -> str:
    (note,) = [note for note in harness.plan(**choice).notes if note.kind == "canary"]
    return note.message


@pytest.mark.parametrize(("number", "ids"), [(1, "a"), (3, "abc"), (4, "abcd"), (9, "abcd")])
def test_a_canary_is_the_first_of_the_plan(harness: Harness, number: int, ids: str) -> None:
    """In plan order, with the credits of those alone; the note counts what waits."""
    plan = harness.plan(canary=number)
    assert "".join(change.id for change in plan.changes) == ids
    assert plan.credits == 4 * len(ids)
    assert _canary(harness, canary=number) == f"canary: {len(ids)} of 4 generations; {4 - len(ids)} wait"


def test_canaries_go_on_where_the_last_one_ended(harness: Harness) -> None:
    """Each apply takes the next, and together they are the whole."""
    for _ in range(4):
        harness.apply(canary=1)
    assert harness.plan().empty
    assert harness.api.credits == 16


def test_a_target_that_another_change_frees_is_not_free(harness: Harness) -> None:
    """An item that needs a waiting move is passed over, not blocked and not written over a file."""
    harness.apply(select=("d",))
    harness.edit("content/blog.yaml", "  - id: d\n", "  - id: d\n    output: out/elsewhere.md\n")
    harness.edit("content/blog.yaml", "  - id: a\n", "  - id: a\n    output: out/d.md\n")
    assert harness.actions() == {"a": "create", "b": "create", "c": "create", "d": "move"}
    assert harness.actions(canary=1) == {"b": "create"}
    assert _canary(harness, canary=1) == "canary: 1 of 3 generations; 2 wait, and so does 1 other change"


def test_budgets_bind_the_canary_alone(tmp_path: Path) -> None:
    """What waits costs nothing yet."""
    harness = Harness(tmp_path, extra="budget: {credits_per_apply: 5}")
    harness.write("content/blog.yaml", blog("a", "b"))
    assert [refusal.guard for refusal in harness.plan().refusals] == ["budget-credits"]
    assert harness.plan(canary=1).refusals == ()


def test_a_plan_file_of_a_canary_is_applied_once(harness: Harness, invoke: Run) -> None:
    """The file names its items: a new item that sorts before them changes nothing, and a second apply is refused."""
    assert invoke("plan", "--canary", "2", "--out", "plan.json", cwd=harness.root).code == 0
    reviewed = json.loads(harness.read("plan.json"))
    assert reviewed["inputs"]["canary"] == 2
    harness.write("content/early.yaml", blog("0a"))
    run = apply_file(harness, reviewed)
    assert run is not None
    assert [outcome.id for outcome in run.outcomes] == ["a", "b"]
    ended = invoke("plan", "--check", "plan.json", cwd=harness.root)
    assert (ended.code, "`0a`" in ended.stderr) == (4, True)


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_canary_is_at_least_one(harness: Harness, invoke: Run, number: str) -> None:
    """Anything else is a wrong command line."""
    assert invoke("plan", "--canary", number, cwd=harness.root).code == 64


def test_a_plan_file_takes_no_canary(harness: Harness, invoke: Run) -> None:
    """It says by itself what is chosen."""
    invoke("plan", "--out", "plan.json", cwd=harness.root)
    ended = invoke("apply", "plan.json", "--canary", "1", cwd=harness.root)
    assert (ended.code, "error[plan-file-and-flags]" in ended.stderr) == (64, True)


def _failing(*topics: str) -> Any:
    """A server whose jobs about these topics fail."""
    return lambda inputs: "the model gave up" if any(each in inputs["topic"] for each in topics) else ""


@pytest.fixture
def failed(harness: Harness) -> Harness:
    """The same four, of which `b` and `d` failed once."""
    harness.api.habits.fails = _failing("about b", "about d")
    harness.apply()
    return harness


@pytest.mark.parametrize("selector", ["result:failed", "state:failed"])
def test_failed_items_can_be_selected(failed: Harness, invoke: Run, selector: str) -> None:
    """By the last job for the request they have now; `status` selects alike."""
    assert set(failed.actions(select=(selector,))) == {"b", "d"}
    listed = invoke("status", "--select", selector, "--json", cwd=failed.root).json["items"]
    assert [item["id"] for item in listed] == ["b", "d"]
    failed.edit("content/blog.yaml", "about b in 2026", "about b in 2027")
    assert set(failed.actions(select=(selector,))) == {"d"}


def test_status_refuses_a_selector_there_is_none_of(harness: Harness, invoke: Run) -> None:
    """Like `plan`: a misspelt one is no empty answer."""
    ended = invoke("status", "--select", "reslut:failed", cwd=harness.root)
    assert (ended.code, "did you mean `result:`?" in ended.stderr) == (64, True)


@pytest.mark.parametrize(("limit", "refused"), [(8, False), (7, True), (0, True)])
def test_a_review_lets_pass_what_is_within(limit: int, *, refused: bool) -> None:
    """Its flag is the number that would let it pass."""
    plan = make_plan(make_change("a"), make_change("b"))
    found = review(plan, limit)
    assert (found is not None) is refused
    if found:
        assert (found.guard, found.flag) == ("review-credits", "--max-credits 8")


@pytest.fixture
def priced(project: Build) -> Path:
    """Two items at four credits each."""
    return project({"contentops.yaml": PRICED, "content/blog.yaml": blog("a", "b")})


def test_a_plan_over_the_limit_exits_with_4(priced: Path, invoke: Run) -> None:
    """It is shown whole, with the refusal and no advice to approve an apply that nothing refuses."""
    ended = invoke("plan", "--max-credits", "7", "--detailed-exitcode", cwd=priced)
    assert ended.code == ExitCode.REFUSED
    assert "Plan: 2 to create" in ended.stdout
    assert "this review refuses: the plan costs 8 credits; `--max-credits` is 7 (" in ended.stdout
    assert "Next: `contentops apply`" in ended.stdout


@pytest.mark.parametrize("form", ["json", "markdown"])
def test_every_form_says_so(priced: Path, invoke: Run, form: str) -> None:
    """A comment or a machine sees the same refusal."""
    ended = invoke("plan", "--max-credits", "7", "--format", form, "--out", "plan.json", cwd=priced)
    assert ended.code == ExitCode.REFUSED
    assert "the plan costs 8 credits" in ended.stdout.replace("\\", "")
    document = json.loads((priced / "plan.json").read_text("utf-8"))
    assert [one["guard"] for one in document["refusals"]] == ["review-credits"]
    if form == "markdown":
        assert "this review refuses" in ended.stdout
        assert "Next, if all of it is meant" not in ended.stdout


def test_the_limit_of_a_review_does_not_bind_apply(harness: Harness, invoke: Run) -> None:
    """A plan file made under a limit it passed is applied; `budget` is what binds apply."""
    invoke("plan", "--max-credits", "3", "--out", "plan.json", cwd=harness.root)
    assert apply_file(harness, json.loads(harness.read("plan.json"))) is not None
