"""`contentops comment` against a GitHub on loopback, and the client beneath it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contentops.ci.github import Shown, is_newest, open_pull_request, post_comment, shown_in
from contentops.ci.runner import PlanOrigin, origin_of, read_event
from contentops.cli.commands.github import page
from contentops.errors import ContentopsError
from contentops.model import Plan
from contentops.reporting.plan_markdown import marker
from contentops.sanitize import json_text
from tests.fakes.github import TOKEN, FakeGitHub, Reply
from tests.hubs import SHA, client, once
from tests.plans import make_change, make_plan, plan_document, plan_inputs, sealed
from tests.running import Run

MARK = "<!-- mark -->"


def plan_file(folder: Path, plan: Plan, **made_with: Any) -> Path:
    """A plan file as `plan --out` writes it."""
    path = folder / "plan.json"
    path.write_text(json_text(sealed(plan_document(plan, inputs=plan_inputs(**made_with)))), encoding="utf-8")
    return path


def event_file(folder: Path, event: Any) -> str:
    """An event as a runner writes it."""
    path = folder / "event.json"
    path.write_text(json.dumps(event), encoding="utf-8")
    return str(path)


RUN = {"GITHUB_SERVER_URL": "https://github.example", "GITHUB_RUN_ID": "5"}


def pull_event(**fields: Any) -> dict[str, Any]:
    """A push to a pull request."""
    return {"pull_request": {"number": 7, "head": {"sha": SHA}} | fields}


def test_a_plan_is_commented_once_and_updated_in_place(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """The second plan replaces the first; the third, without changes, says so in the same comment."""
    env = hub.env(GITHUB_EVENT_PATH=event_file(tmp_path, pull_event()))
    hub.comment("first!", "someone")
    for plan in (make_plan(make_change("a")), make_plan(make_change("b")), make_plan(unchanged=3)):
        ended = invoke("comment", "--plan", str(plan_file(tmp_path, plan)), env=env)
        assert ended.code == 0, ended.stderr
        assert "on pull request 7" in ended.stdout
    assert [comment["user"]["login"] for comment in hub.comments] == ["someone", "github-actions[bot]"]
    assert "No changes. All 3 items are up to date." in hub.comments[1]["body"]
    assert "Plan of commit `1234567890ab`." in hub.comments[1]["body"]


def test_a_plan_that_was_overtaken_is_not_posted(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """A newer push has its own plan coming; this one says nothing and is no failure."""
    env = hub.env(GITHUB_EVENT_PATH=event_file(tmp_path, pull_event(head={"sha": "0" * 40})))
    ended = invoke("comment", "--plan", str(plan_file(tmp_path, make_plan(make_change()))), env=env)
    assert (ended.code, hub.comments) == (0, [])
    assert ended.stdout.startswith("Nothing posted")


@pytest.mark.parametrize(("change", "code"), [
    (lambda document: document | {"project": "other"}, "edited-plan"),
    (lambda document: sealed(document | {"changes": [{"id": "x"}]}), "no-plan-file"),
    (lambda document: sealed(document | {"summary": []}), "no-plan-file"),
], ids=["edited", "another shape", "no summary"])  # fmt: skip
def test_what_is_no_plan_is_said(
    hub: FakeGitHub, invoke: Run, tmp_path: Path, change: Callable[[Any], Any], code: str
) -> None:
    """Whatever an artifact holds, nothing is posted but a plan; an older price does not stand there as today's."""
    hub.comment(f"{marker(make_plan())}\n**1 to create. 4 credits.**")
    path = plan_file(tmp_path, make_plan(make_change()))
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), encoding="utf-8")
    assert f"error[{code}]" in invoke("comment", "--plan", str(path), "--pr", "7", env=hub.env()).stderr
    assert [comment["body"].splitlines()[0] for comment in hub.comments] == [marker(make_plan())]
    assert ("There is no plan" in hub.comments[0]["body"], "4 credits" in hub.comments[0]["body"]) == (True, False)


def test_a_plan_that_failed_takes_the_place_of_the_older_ones(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """Of each environment, with the commit and the run that says why; the next plan takes its place."""
    env = hub.env(GITHUB_EVENT_PATH=event_file(tmp_path, pull_event()), **RUN)
    hub.comment(f"{marker(make_plan())}\nfake", "someone")
    for environment in ("", "staging"):
        path = str(plan_file(tmp_path, make_plan(make_change(credits=4), environment=environment)))
        assert invoke("comment", "--plan", path, env=env).code == 0
    for _ in range(2):
        ended = invoke("comment", "--plan", str(tmp_path / "none.json"), env=env)
        assert (ended.code, ended.stderr) == (0, "")
        assert ended.stdout.startswith("Said on pull request 7 that there is no plan")
    someone, *ours = (comment["body"] for comment in hub.comments)
    assert {shown_in(body) for body in ours} == {Shown(5, SHA, "")}
    assert (someone.endswith("fake"), len(ours)) == (True, 2)
    why = "[The run says why](https://github.example/acme/blog/actions/runs/5)."
    for body in ours:
        assert ("There is no plan for commit `1234567890ab`" in body, why in body, "credits" in body) == (
            True,
            True,
            False,
        )
    path = str(plan_file(tmp_path, make_plan(make_change())))
    assert invoke("comment", "--plan", path, env=env).code == 0
    assert ("to create" in hub.comments[1]["body"], len(hub.comments)) == (True, 3)
    assert shown_in(hub.comments[1]["body"]) == Shown(5, SHA, json.loads(Path(path).read_bytes())["checksum"])


@pytest.mark.parametrize(("env", "code"), [
    ({"GITHUB_TOKEN": ""}, "no-token"), ({"GITHUB_TOKEN": "two words"}, "no-token"),
    ({"GITHUB_REPOSITORY": ""}, "no-github-repository"),
    ({"GITHUB_REPOSITORY": "acme/blog/../../user"}, "no-github-repository"),
    ({"GITHUB_REPOSITORY": "acme/.."}, "no-github-repository"),
    ({"GITHUB_API_URL": "http://api.example"}, "insecure-url"), ({"GITHUB_API_URL": "file:///etc"}, "insecure-url"),
])  # fmt: skip
def test_what_is_missing_is_said(hub: FakeGitHub, invoke: Run, tmp_path: Path, env: dict[str, str], code: str) -> None:
    """Token, repository and address are checked before anything is sent."""
    path = plan_file(tmp_path, make_plan(make_change()))
    ended = invoke("comment", "--plan", str(path), "--pr", "7", env=hub.env(**env))
    assert (ended.code, hub.asked, f"error[{code}]" in ended.stderr) == (64, [], True)


@pytest.mark.parametrize("event", [
    {}, {"push": 1}, {"pull_request": {"number": True}}, {"pull_request": {"number": "7"}},
    {"workflow_run": {"event": "pull_request"}},
])  # fmt: skip
def test_an_event_without_a_pull_request(tmp_path: Path, event: dict[str, Any]) -> None:
    """A person is told to name one."""
    with pytest.raises(ContentopsError) as failed:
        origin_of({"GITHUB_EVENT_PATH": event_file(tmp_path, event)})
    assert failed.value.code == "no-pull-request"


def test_an_event_that_can_not_be_read(tmp_path: Path) -> None:
    """Broken files are said; no file and no map are no event."""
    (tmp_path / "event").write_text("{")
    for name in (tmp_path / "event", tmp_path / "none"):
        with pytest.raises(ContentopsError, match="cannot be read"):
            read_event({"GITHUB_EVENT_PATH": str(name)})
    (tmp_path / "event").write_text("[]")
    assert read_event({"GITHUB_EVENT_PATH": str(tmp_path / "event")}) == read_event({}) == {}


def test_a_person_with_a_token_updates_their_own(hub: FakeGitHub) -> None:
    """A token that may ask who it is does not touch the bot's comment."""
    hub.login = "someone"
    hub.comment(f"{MARK}\nold")
    assert post_comment(client(hub), 7, MARK, f"{MARK}\nmine").new
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nmine").new
    assert [method for method, path in hub.asked if method == "PATCH"] == []


def test_a_comment_beyond_the_first_page(hub: FakeGitHub) -> None:
    """All pages are looked through before a new one is made."""
    for _ in range(250):
        hub.comment("chat", "someone")
    hub.comment(f"{MARK}\nold")
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nnew").new
    assert hub.comments[-1]["body"] == f"{MARK}\nnew"


def test_a_lost_answer_makes_no_second_comment(hub: FakeGitHub) -> None:
    """After a failure that may have been a success, the next run finds the comment."""

    def lost() -> Reply:
        hub.comment(f"{MARK}\nmine")
        return 502, b"<html>", {}

    hub.faults.append(("^POST.*comments", lost))
    with pytest.raises(ContentopsError, match="502"):
        post_comment(client(hub), 7, MARK, f"{MARK}\nmine")
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nmine").new
    assert len(hub.comments) == 1


USED_UP = "API rate limit exceeded for installation"


def used_up(**headers: str) -> Callable[[], Reply]:
    """No request is left for the next minutes."""
    return once(403, USED_UP, x_ratelimit_remaining="0", **headers)


@pytest.mark.parametrize(("faults", "pauses"), [
    ([once(502), once(503)], [1, 2]), ([once(429, retry_after="7")], [7]),
    ([once(403, "secondary rate limit", retry_after="5")], [5]),
    ([once(403, "You have exceeded a secondary rate limit. Please wait")], [60]),
    ([once(429, "Too many requests")], [1]), ([used_up(retry_after="9")], [9]),
], ids=[*("down", "too many", "secondary limit", "secondary", "no words", "its own wait first")])  # fmt: skip
def test_a_look_is_tried_again(hub: FakeGitHub, faults: list[Callable[[], Reply]], pauses: list[float]) -> None:
    """For as long as the server asks for, or for the minute that GitHub asks for."""
    waited: list[float] = []
    hub.faults += [("pulls/7", fault) for fault in faults]
    assert is_newest(client(hub, waited), PlanOrigin(number=7, commit=SHA))
    assert waited == pauses


@pytest.mark.parametrize(("fault", "words"), [
    (once(403, "Resource not accessible by integration"), "Resource not accessible"),
    (once(403, "Resource not accessible", x_ratelimit_remaining="4999"), "the token lacks a permission"),
    (used_up(), f"{USED_UP} GitHub takes no more requests of this token for now"),
    (once(429, "later", retry_after="3600"), "429: later"),
    (lambda: (200, b"<html>", {}), "did not answer with JSON"),
    (lambda: (500, b"[" * 100_000, {}), "answered with 500"),
    (once(301, "Moved Permanently", location="http://127.0.0.1:1/steal"), "may have been renamed: use its new name"),
    (once(401, f"bad token {TOKEN}"), "bad token ***"),
], ids=[
    "no right", "no right, said so", "a limit that lasts", "too long to wait", "no JSON", "deep", "moved", "the token",
])  # fmt: skip
def test_a_refusal_is_told(hub: FakeGitHub, fault: Callable[[], Reply], words: str) -> None:
    """With the server's words and without the token, which no other server gets."""
    hub.faults += [("pulls/7", fault)] * 4
    with pytest.raises(ContentopsError) as failed:
        is_newest(client(hub), PlanOrigin(number=7))
    assert words in f"{failed.value.message} {failed.value.hint}"
    assert TOKEN not in failed.value.message


def test_a_server_that_is_not_there() -> None:
    """Tried again a few times, then told."""
    waited: list[float] = []
    with FakeGitHub() as hub:
        github = client(hub, waited)
    with pytest.raises(ContentopsError, match="cannot be reached"):
        github.call("GET", "pulls/7")
    assert len(waited) == 3


@pytest.mark.parametrize("answer", [[1, None, {"user": 3, "body": None}], {"message": "hello"}, None])
def test_a_list_that_is_none(hub: FakeGitHub, answer: Any) -> None:
    """Nothing is posted: one of the entries may be our comment."""
    hub.faults.append(("GET .*comments", lambda: (200, answer, {})))
    with pytest.raises(ContentopsError, match="comments` did not answer with a list"):
        post_comment(client(hub), 7, MARK, f"{MARK}\nnew")
    assert hub.comments == []


def test_a_pull_request_is_opened_once(hub: FakeGitHub) -> None:
    """The one that is open already is found."""
    asked = {"branch": "contentops/5-1", "base": "main", "title": "content", "body": "text"}
    assert open_pull_request(client(hub), **asked).new
    assert not open_pull_request(client(hub), **asked).new
    hub.faults.append(("^POST", once(403, "not permitted to create pull requests")))
    with pytest.raises(ContentopsError, match="not permitted"):
        open_pull_request(client(hub), **asked)
    hub.pulls.clear()
    hub.faults.append(("^POST", once(422, "no commits between")))
    with pytest.raises(ContentopsError, match="no commits between"):
        open_pull_request(client(hub), **asked)


def viewer(login: Any) -> Callable[[], Reply]:
    """An answer of the other API."""
    return lambda: (200, {"data": {"viewer": {"login": login}}}, {})


def test_an_app_updates_its_own_comment(hub: FakeGitHub) -> None:
    """Its token may not ask for a user, but for the viewer; another bot's comment with the mark is left alone."""
    hub.comment(f"{MARK}\nother")
    mine = hub.comment(f"{MARK}\nold", "acme-content[bot]")
    hub.faults.append(("POST /graphql", viewer("acme-content[bot]")))
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nnew").new
    assert (mine["body"], hub.comments[0]["body"]) == (f"{MARK}\nnew", f"{MARK}\nother")


@pytest.mark.parametrize("answer", [once(403), viewer(None), viewer(3), lambda: (200, [], {}), lambda: (200, b"<", {})])
def test_a_bot_that_is_not_told_its_name(hub: FakeGitHub, answer: Callable[[], Reply]) -> None:
    """A bot's comment with the very mark is ours; a person's never is."""
    hub.comment(f"{MARK}\nfake", "stranger")
    hub.comment(f"{MARK} \nold", "acme-content[bot]")
    hub.faults.append(("POST /graphql", answer))
    assert not post_comment(client(hub), 7, MARK, f"{MARK}\nnew").new
    assert [one["body"] for one in hub.comments] == [f"{MARK}\nfake", f"{MARK}\nnew"]


@pytest.mark.parametrize("run", ["javascript:alert(1)", "https://x/) [evil](http://y", "https://" + "x" * 400, ""])
def test_only_a_plain_address_becomes_a_link(run: str) -> None:
    """Whatever the event says."""
    assert "](" not in page(make_plan(), PlanOrigin(number=7, commit=SHA, run=run)).splitlines()[-1]
