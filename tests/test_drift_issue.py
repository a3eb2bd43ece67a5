"""`contentops comment --issue`: what is drift, and the one issue that tells of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from contentops.ci.issue import LABEL, Kept, keep_issue
from contentops.errors import ContentopsError
from contentops.model import Action, ItemId, Note, Reason
from contentops.reporting.plan_markdown import LIMIT, drift_count, drift_markdown, drift_marker, drift_of, drift_title
from tests.hubs import client
from tests.plans import make_change, make_plan
from tests.running import Run  # noqa: TC001 - pytest reads annotations of fixtures
from tests.test_github_comment import plan_file

if TYPE_CHECKING:
    from pathlib import Path

    from contentops.model import Change, Plan
    from tests.fakes.github import FakeGitHub, Reply

MARK = "<!-- contentops:drift:acme-blog: -->"
RUNNER = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "5", "GITHUB_SHA": "12345678" * 5}


def edited(name: str = "guide", action: Action = Action.SAVE, kind: str = "edited") -> Change:
    """A change for this reason alone."""
    return make_change(name, action, reasons=(Reason(kind=kind, detail=f"`out/{name}.md` was edited by hand"),))


def note(kind: str, id_: str | None = "guide") -> Note:
    """A note about an item, or about none."""
    return Note(kind=kind, id=ItemId(id_) if id_ else None, message=f"`{id_}`: `tags` was changed in the file")


# --- what is drift -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["edited", "edited-there", "front-matter-drift", "missing", "save", "unknown-outcome", "later"]
)
def test_what_no_manifest_explains_is_drift(kind: str) -> None:
    """Also where a manifest was changed besides; and a kind that is not known."""
    both = make_change(reasons=(Reason(kind="changed", field="inputs.topic"), Reason(kind=kind)))
    assert [drift_count(make_plan(change)) for change in (edited(kind=kind), both)] == [1, 1]


@pytest.mark.parametrize("kind", ["new", "changed", "front-matter", "moved", "open-job", "stored", "failed-before"])
def test_what_waits_for_an_apply_is_no_drift(kind: str) -> None:
    """A manifest or an unfinished run explains it; the page of other drift counts it."""
    change = make_change("waits", Action.REGENERATE, reasons=(Reason(kind=kind),))
    assert drift_count(make_plan(change)) == 0
    page = drift_markdown(make_plan(change, edited()))
    assert "**1 item differs without a change in the manifests.**" in page
    assert "1 other change waits for an apply." in page
    assert "`waits`" not in page


def test_what_is_held_and_what_is_noted_of_an_item_is_drift() -> None:
    """An item that differs in two ways is one; what is known of no item, or explained by a manifest, is none."""
    held = make_change("held", Action.BLOCKED, blocked="foreign-file", reasons=(Reason(kind="new"),))
    notes = (
        note("kept-front-matter", "held"),
        note("kept-front-matter", "other"),
        note("orphan"),
        note("canary", None),
    )
    plan = make_plan(held, notes=notes)
    assert (drift_count(plan), [one.id for one in drift_of(plan).notes]) == (2, ["held", "other"])


def test_the_page_is_harmless_and_small() -> None:
    """Hostile names link to nothing and mention no one; ten thousand items fit, those that need a person first."""
    hostile = edited("</details> @team #1 <!-- x -->")
    changes = [edited(f"item-{at}") for at in range(10_000)]
    page = drift_markdown(
        make_plan(*changes, hostile, make_change("held", Action.BLOCKED, blocked="edited")), limit=LIMIT
    )
    assert len(page.encode()) <= LIMIT
    assert "| `!` | `held` |" in page
    assert "more items hidden" in page
    small = drift_markdown(make_plan(hostile, environment="@all"))
    assert "| `</details> @team #1 <!-- x -->` |" in small
    assert drift_title(make_plan(project="a\x1b[31m\n", environment="prod")).isprintable()


# --- one issue ---------------------------------------------------------------------------------------------


def test_an_issue_is_opened_kept_closed_and_opened_again(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """The same one, each time; nothing is opened where nothing differs."""

    def keep(plan: Plan) -> tuple[str, int]:
        path = str(plan_file(tmp_path, plan, refresh=True))
        ended = invoke("comment", "--issue", "--plan", path, "--json", env=hub.env(**RUNNER))
        assert ended.code == 0, ended.stderr
        return ended.json["done"], ended.json["drift"]

    calm = make_plan(make_change("new"), unchanged=3)
    assert keep(calm) == ("none", 0)
    assert keep(make_plan(edited("a"))) == ("opened", 1)
    (issue,) = hub.issues
    assert issue["labels"] == [{"name": LABEL}]
    assert keep(make_plan(edited("a"))) == ("unchanged", 1)
    assert keep(make_plan(edited("a"), edited("b"))) == ("updated", 2)
    assert "`b`" in issue["body"]
    assert "[The whole plan is in the run](https://github.example/acme/blog/actions/runs/5)." in issue["body"]
    assert keep(calm) == ("closed", 0)
    assert (issue["state"], len(hub.comments)) == ("closed", 1)
    assert "There is no drift any more." in issue["body"]
    assert hub.comments[0]["body"].startswith("There is no drift any more.\n<sub>Plan of commit `123456781234`.")
    assert keep(calm) == ("unchanged", 0)
    assert keep(make_plan(edited("c"))) == ("reopened", 1)
    assert (issue["state"], len(hub.issues), len(hub.comments)) == ("open", 1, 1)


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("ブログ", "блог")])
def test_each_project_and_environment_has_its_own_issue(
    hub: FakeGitHub, invoke: Run, tmp_path: Path, a: str, b: str
) -> None:
    """The drift of one closes no other's, also where the plain parts of their names are the same."""
    for fields in ({"project": a}, {"project": b}, {"project": a, "environment": "staging"}):
        path = str(plan_file(tmp_path, make_plan(edited(), **fields), refresh=True))
        said = invoke("comment", "--issue", "--plan", path, env=hub.env()).stdout
        assert said == f"Opened issue {len(hub.issues)}: https://gh/{len(hub.issues)}\n"
    path = str(plan_file(tmp_path, make_plan(project=b), refresh=True))
    assert invoke("comment", "--issue", "--plan", path, env=hub.env()).code == 0
    assert [issue["state"] for issue in hub.issues] == ["open", "closed", "open"]


def test_the_issue_is_about_no_pull_request(invoke: Run, tmp_path: Path) -> None:
    """A number would be of no use; and a plan that is missing says nothing of drift."""
    path = str(plan_file(tmp_path, make_plan()))
    assert invoke("comment", "--issue", "--plan", path, "--pr", "7").code == 64
    assert "error[no-plan-file]" in invoke("comment", "--issue", "--plan", "gone.json").stderr


@pytest.mark.parametrize(
    ("made_with", "words"),
    [({}, "without `--refresh`"), ({"refresh": True, "changed_from": "main"}, "with `--changed-from`")],
    ids=["no refresh", "a part"],
)
def test_a_plan_that_does_not_show_all_drift(
    hub: FakeGitHub, invoke: Run, tmp_path: Path, made_with: dict[str, Any], words: str
) -> None:
    """It would close the issue though something differs."""
    path = str(plan_file(tmp_path, make_plan(), **made_with))
    ended = invoke("comment", "--issue", "--plan", path, env=hub.env())
    assert (ended.code, hub.asked) == (64, [])
    assert "error[not-all-drift]" in ended.stderr
    assert words in ended.stderr


# --- two at once, strangers, lost answers ------------------------------------------------------------------


def keep(hub: FakeGitHub, *, wanted: bool = True, body: str = f"{MARK}\nnew") -> Kept:
    """What a run does."""
    return keep_issue(client(hub), "drift", body, wanted=wanted, word="bye")


def test_a_strangers_issue_is_left_alone(hub: FakeGitHub) -> None:
    """The mark and the label can be copied, and a pull request is listed beside issues."""
    hub.labels.add(LABEL)
    hub.issue(f"{MARK}\nfake", "stranger", LABEL)
    hub.issue(f"{MARK}\nfake", "github-actions[bot]", LABEL)["pull_request"] = {"url": "x"}
    assert keep(hub).done == "opened"
    assert keep(hub, wanted=False).number == 3
    assert [issue["body"] for issue in hub.issues[:2]] == [f"{MARK}\nfake"] * 2


def test_two_runs_at_once_leave_one_issue(hub: FakeGitHub) -> None:
    """Both find none and open one; the older stays, and the younger says which that is."""
    both = threading.Barrier(2, timeout=30)

    def meet() -> Reply | None:
        both.wait()
        return None

    hub.faults += [("POST /repos/acme/blog/issues", meet)] * 2
    runs = [threading.Thread(target=keep, args=(hub,)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(30)
    assert keep(hub) == Kept(1, "https://gh/1", "unchanged")
    assert [issue["state"] for issue in hub.issues] == ["open", "closed"]
    assert "#1 is about the same drift." in {comment["body"] for comment in hub.comments}


def test_a_lost_answer_opens_no_second_issue(hub: FakeGitHub) -> None:
    """What is there is looked at again."""

    def lost() -> Reply:
        hub.issue(f"{MARK}\nnew", "github-actions[bot]", LABEL)
        return 502, b"<html>", {}

    hub.faults.append(("POST /repos/acme/blog/issues$", lost))
    assert keep(hub) == Kept(1, "https://gh/1", "unchanged")
    assert len(hub.issues) == 1


def test_an_issue_that_could_not_be_found_again_is_not_left(hub: FakeGitHub) -> None:
    """A label that GitHub drops: the next run would open another, and the next."""
    hub.faults.append(("POST .*/labels$", lambda: (422, {"message": "it is there"}, {})))
    with pytest.raises(ContentopsError, match="gave issue 1 no label"):
        keep(hub)
    assert [issue["state"] for issue in hub.issues] == ["closed"]


def test_a_missing_right_is_said(hub: FakeGitHub) -> None:
    """Before anything is opened."""
    hub.faults.append(("POST .*/labels$", lambda: (403, {"message": "Resource not accessible"}, {})))
    with pytest.raises(ContentopsError) as failed:
        keep(hub)
    assert ("lacks a permission" in failed.value.hint, hub.issues) == (True, [])


def test_the_mark_is_of_the_drift_alone() -> None:
    """A comment with the plan has another."""
    assert drift_marker(make_plan()) == MARK
