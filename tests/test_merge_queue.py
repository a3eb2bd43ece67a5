"""The merge queue: which plan was reviewed, and whether it is still what would happen."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contentops.ci.github import Shown, connect, reviewed_plan
from contentops.ci.runner import queued
from contentops.errors import ContentopsError
from contentops.reporting.plan_markdown import MARKED
from tests.clones import Machine, World, manifest, world  # noqa: F401 - one is a fixture
from tests.fakes.github import FakeGitHub
from tests.running import Run
from tests.workflows import ROOT, Ended, Runner, read, steps_of

SHA = "1234567890abcdef1234567890abcdef12345678"
ITEMS = ("one", "two", "three")
FOUR = manifest("four")
QUEUE = ROOT / "examples/ci/merge-queue.yml"
PLAN = ROOT / "examples/ci/plan.yml"
posix = pytest.mark.skipif(sys.platform == "win32", reason="the shim is a POSIX script")


def merge_group(number: int = 7, base: str = "main") -> dict[str, Any]:
    """The event of a queue that is about to merge a pull request."""
    return {"merge_group": {"head_ref": f"refs/heads/gh-readonly-queue/{base}/pr-{number}-{SHA}", "head_sha": "0" * 40}}


@pytest.fixture
def hub() -> Iterator[FakeGitHub]:
    """A GitHub with the pull request that is queued, and the run that planned it."""
    with FakeGitHub() as fake:
        fake.pull(7, SHA)
        fake.run(55, SHA, "contentops-plan")
        fake.show(55, SHA)
        yield fake


@pytest.mark.parametrize(
    ("event", "number"), [(merge_group(), 7), (merge_group(12, "release/pr-3-x"), 12), (merge_group(1234567), 1234567)]
)
def test_the_branch_of_a_queue_names_the_pull_request(event: dict[str, Any], number: int) -> None:
    """Whatever the base is called."""
    assert queued(event) == number


@pytest.mark.parametrize("event", [
    {}, {"merge_group": None}, {"merge_group": {"head_ref": 7}}, {"merge_group": {"head_ref": "refs/heads/main"}},
    {"merge_group": {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-0-{SHA}"}},
    {"merge_group": {"head_ref": f"refs/heads/gh-readonly-queue/main/pr-7-{SHA}\n"}},
    {"merge_group": {"head_ref": f"refs/heads/topic/pr-7-{SHA}"}}, {"pull_request": {"number": 7}},
])  # fmt: skip
def test_an_event_of_no_queue(event: dict[str, Any]) -> None:
    """A person is told to name the pull request."""
    with pytest.raises(ContentopsError) as failed:
        queued(event)
    assert failed.value.code == "no-pull-request"


def test_the_plan_that_was_shown_is_found(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """Not a newer one that another workflow uploaded under the same name; named as outputs of the step."""
    hub.run(60, SHA, "contentops-plan")
    hub.run(61, SHA, "coverage")
    (tmp_path / "event.json").write_text(json.dumps(merge_group()))
    env = hub.env(
        GITHUB_EVENT_PATH=str(tmp_path / "event.json"), GITHUB_OUTPUT=str(tmp_path / "out"), GITHUB_ACTIONS="true"
    )
    ended = invoke("find-plan", env=env)
    assert (ended.code, ended.stdout) == (0, "Pull request 7 was reviewed with the plan of run 55.\n")
    assert (tmp_path / "out").read_text() == f"run-id=55\nchecksum=sha256:{'c' * 64}\n"
    hub.show(61, SHA, f"sha256:{'d' * 64}", name="site")
    assert invoke("find-plan", "--pr", "7", "--artifact", "coverage", "--json", env=env).json == {
        "format_version": "1.0", "pull_request": 7, "run": 61, "checksum": f"sha256:{'d' * 64}",
    }  # fmt: skip


@pytest.mark.parametrize(
    "how", ["older commit", "no plan", "someone else", "another event", "another commit", "expired", "second line"]
)
def test_what_was_not_shown_was_not_reviewed(hub: FakeGitHub, how: str) -> None:
    """Only our own comment counts, on the last commit, with a run that keeps the plan; it is waited for a while."""
    hub.comments.clear()
    run, sha, checksum = 55, SHA, f"sha256:{'c' * 64}"
    if how == "older commit":
        sha = "0" * 40
    elif how in {"another event", "another commit", "expired"}:
        run = 62
        about = {"event": "push"} if how == "another event" else {"expired": how == "expired"}
        hub.run(62, "0" * 40 if how == "another commit" else SHA, "contentops-plan", **about)
    comment = hub.show(run, sha, "none" if how == "no plan" else checksum)
    if how == "someone else":
        comment["user"]["login"] = "someone"
    if how == "second line":
        comment["body"] = comment["body"].replace("-->\n", "-->\n\n", 1)
    pauses: list[float] = []
    github = connect(hub.env(), pause=pauses.append)
    assert reviewed_plan(github, 7, "contentops-plan", MARKED) == (Shown(), 55)
    assert sum(pauses) == 120

    def late(seconds: float) -> None:
        pauses.append(seconds)
        hub.show(55, SHA)

    pauses.clear()
    github = connect(hub.env(), pause=late)
    assert reviewed_plan(github, 7, "contentops-plan", MARKED) == (Shown(55, SHA, f"sha256:{'c' * 64}"), 55)
    assert len(pauses) == 1


def test_a_push_names_the_pull_request_whose_merge_it_is(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """Into this branch, and made by the merge itself; any other commit was reviewed with no plan."""

    def about(commit: str, ref: str = "refs/heads/main") -> Any:
        (tmp_path / "event.json").write_text(json.dumps({"ref": ref, "after": commit}))
        ended = invoke("find-plan", "--json", env=hub.env(GITHUB_EVENT_PATH=str(tmp_path / "event.json")))
        assert ended.code == 0, ended.stderr
        return ended.json["pull_request"], ended.json["run"]

    merged = "f" * 40
    assert about(SHA) == (None, None)  # pushed, and not merged
    hub.merge(7, merged)
    assert (about(merged), about(merged, "refs/heads/next")) == ((7, 55), (None, None))
    assert about(SHA) == (None, None)
    hub.faults.append(("commits/", lambda: (200, [{"merged_at": 1, "merge_commit_sha": merged}], {})))
    assert about(merged) == (None, None)


def test_no_plan_that_is_kept_is_no_failure(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """The output is empty, so that the workflow plans again."""
    hub.runs.clear()
    env = hub.env(GITHUB_OUTPUT=str(tmp_path / "out"), GITHUB_ACTIONS="true")
    ended = invoke("find-plan", "--pr", "7", env=env)
    assert (ended.code, ended.stdout) == (0, "No `contentops-plan` is kept for the last commit of pull request 7.\n")
    assert (tmp_path / "out").read_text() == "run-id=\nchecksum=\n"
    assert invoke("find-plan", "--pr", "7", "--json", env=hub.env()).json["run"] is None


def test_it_has_no_secret_and_writes_nothing() -> None:
    """It runs on what is not merged yet. A required check that reports under another name holds the queue for ever."""
    document = read(QUEUE)
    assert "secrets." not in QUEUE.read_text("utf-8")
    assert set(document["jobs"]["plan"]["permissions"].values()) == {"read"}
    assert {read(path)["jobs"]["plan"]["name"] for path in (QUEUE, PLAN)} == {"contentops plan"}


def test_it_takes_what_the_plan_workflow_leaves() -> None:
    """Artifact and file have one name in all the workflows."""
    steps = steps_of(read(ROOT / "action.yml"))
    (uploaded,) = (step["with"]["name"] for step in steps if step.get("name") == "keep the plan")
    downloads = [step["with"] for step in steps if "download-artifact" in step.get("uses", "")]
    assert [step["name"] for step in downloads] == [uploaded] * 2
    assert {step["path"] for step in downloads} == {"${{ runner.temp }}/contentops-artifact"}
    (file,) = (step["env"]["PLAN_FILE"] for step in steps if step.get("env", {}).get("COMMAND") == "comment")
    queue = {step.get("id"): step["with"] for step in steps_of(read(QUEUE))}
    assert queue["check"]["plan-file"] == file == "${{ runner.temp }}/contentops-artifact/contentops-plan.json"
    assert queue["artifact"]["name"] == "contentops-plan"


class Queue:
    """A clone, the plan of its pull request, and the queue that looks at it later."""

    def __init__(self, hub: FakeGitHub, world: World, folder: Path) -> None:  # noqa: F811 - the fixture
        self.machine: Machine = world.clone("runner")
        self._hub, self._folder = hub, folder

    def review(self) -> None:
        """Plans as the pull request does; what it uploads lies where the queue downloads it."""
        ended = Runner(self._folder / "plan", self.machine.root, {}, {}).job(PLAN)
        assert ended.codes == {"validate": 0, "plan": 0}, ended.printed
        artifact = self._folder / "queue/temp/contentops-artifact"
        artifact.mkdir(parents=True)
        file = Path(ended.outputs["plan"]["plan-file"]).rename(artifact / "contentops-plan.json")
        self._hub.comments.clear()
        self._hub.show(55, SHA, json.loads(file.read_bytes())["checksum"])

    def run(self, *failing: str, workflow: Path = QUEUE) -> Ended:
        """The workflow of the queue, step by step."""
        (self._folder / "event.json").write_text(json.dumps(merge_group()))
        env = self._hub.env(GITHUB_TOKEN="", GITHUB_EVENT_PATH=str(self._folder / "event.json"))
        runner = Runner(self._folder / "queue", self.machine.root, env, {"github.token": "ghs_token"})
        return runner.job(workflow, failing=failing)


@pytest.fixture
def queue(hub: FakeGitHub, world: World, tmp_path: Path) -> Queue:  # noqa: F811 - the fixture
    """Three new items, reviewed."""
    made = Queue(hub, world, tmp_path)
    made.review()
    return made


@posix
def test_what_was_reviewed_still_holds(queue: Queue) -> None:
    """And is on the page of the job."""
    ended = queue.run()
    assert ended.codes == {"reviewed": 0, "check": 0}, ended.printed
    assert ended.outcomes["plan"] == "skipped"
    assert "The plan is still valid: 3 changes, 0 credits." in ended.printed
    assert ended.outputs["check"] == {
        "has-changes": "true", "create": "3", "update": "0", "credits": "0", "exit-code": "0",
    }  # fmt: skip


@posix
def test_a_plan_that_was_not_shown_stops_it(queue: Queue, hub: FakeGitHub) -> None:
    """The run was started again, and what it uploads now is another plan."""
    hub.comments.clear()
    hub.show(55, SHA)
    ended = queue.run()
    assert (ended.codes, "error[not-shown]" in ended.printed) == ({"reviewed": 0, "check": 4}, True)


@posix
@pytest.mark.parametrize(("meanwhile", "code", "words"), [
    (lambda machine: machine.write("content/blog.yaml", manifest(*ITEMS, topic="More about {}")), 4, ["error[stale-plan]", "`one`: its request has changed"]),
    (lambda machine: machine.write("content/more.yaml", FOUR), 4, ["error[unreviewed]", "`four`: create, which is not in it"]),
    (lambda machine: (machine.write("content/more.yaml", FOUR), machine.edit("contentops.yaml", "max_changed_ratio: 1", "unreviewed: allow")), 0, ["The plan is still valid: 4 changes"]),
    (lambda machine: (machine.write("content/more.yaml", FOUR), machine.apply("--select", "four")), 0, ["The plan is still valid: 3 changes"]),
    (lambda machine: machine.apply(), 0, ["Nothing to do: the plan is already applied."]),
], ids=["another topic", "another item", "another item, allowed", "another item, applied", "all applied"])  # fmt: skip
def test_what_came_between_is_said(
    queue: Queue, meanwhile: Callable[[Machine], object], code: int, words: list[str]
) -> None:
    """It stops what is otherwise now or not reviewed, by name, and nothing is planned in its place."""
    meanwhile(queue.machine)
    ended = queue.run()
    assert ended.codes == {"reviewed": 0, "check": code}
    assert [one for one in words if one not in ended.printed] == []


@posix
@pytest.mark.parametrize("how", ["no run", "no download"])
def test_without_the_plan_it_plans_anew(queue: Queue, hub: FakeGitHub, how: str) -> None:
    """Where the artifact has expired, or is gone between look and download."""
    if how == "no run":
        hub.runs.clear()
    ended = queue.run(*(["artifact"] if how == "no download" else []))
    assert ended.codes == {"reviewed": 0, "plan": 0}, ended.printed
    assert ended.outcomes["artifact"] == ("skipped" if how == "no run" else "failure")
    assert "Plan: 3 to create" in ended.printed


@posix
def test_a_plan_anew_has_a_limit(queue: Queue, tmp_path: Path) -> None:
    """The one that the comment in the workflow names, once it is stated."""
    text = QUEUE.read_text("utf-8")
    assert text.count('# max-credits: "100"') == 2
    limited = tmp_path / "merge-queue.yml"
    limited.write_text(text.replace('# max-credits: "100"', 'max-credits: "0"'), encoding="utf-8")
    queue.machine.edit("contentops.yaml", "base_url: local", 'base_url: "http://127.0.0.1:1/v1"')
    ended = queue.run("artifact", workflow=limited)
    assert (ended.codes, "12 credits" in ended.printed) == ({"reviewed": 0, "plan": 4}, True)
