"""Runs in CI: the files for GitLab, Jenkins and cron, and what has to be true before a run pays."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from contentops.ci.runner import branch_of_run
from tests import warm
from tests.clones import PROJECT, PROTECTED, WHO, Machine, World, manifest, posix
from tests.models import MODEL_PROJECT
from tests.running import Completed, Run

ROOT = Path(__file__).parents[1]
GITLAB = ROOT / "examples/ci/gitlab/.gitlab-ci.yml"
JENKINS = ROOT / "examples/ci/jenkins/Jenkinsfile"
CRON = ROOT / "examples/ci/cron/contentops-apply.sh"
SYSTEMS = ("GitLab", "Jenkins", "cron")
pytestmark = posix


def jobs() -> dict[str, Any]:
    """The jobs of GitLab's file, each with what it extends."""
    found = yaml.safe_load(GITLAB.read_text("utf-8"))
    return {name: {**found.get(job.get("extends"), {}), **job} for name, job in found.items()}


def shell_of(stage: str) -> str:
    """The script of a stage of the Jenkinsfile."""
    found = re.search(rf"stage\('{stage}'\).*?sh '''\n(.*?)'''", JENKINS.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[1])


def script(system: str, what: str) -> list[str]:
    """The command that runs the part of a system's file that plans or applies."""
    if system == "cron":
        return [str(CRON), "."]
    if system == "Jenkins":
        return ["sh", "-xec", shell_of(what)]
    return ["bash", "-eo", "pipefail", "-c", "\n".join(jobs()[f"contentops {what}"]["script"])]


@pytest.fixture
def tools(tmp_path: Path) -> dict[str, str]:
    """An environment with `contentops` on the path, as an installation leaves it."""
    shim = tmp_path / "tools/contentops/bin/contentops"
    shim.parent.mkdir(parents=True)
    shim.write_text(warm.script())
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **WHO, "PATH": path, "CONTENTOPS_FOLDER": ".", "WORKSPACE_TMP": str(tmp_path / "tools")}


def start(system: str, what: str, machine: Machine, tools: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a part of a file in a clone, with what the system tells it."""
    told = {
        "GitLab": {"CI": "true", "GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"},
        "Jenkins": {"JENKINS_URL": "http://j/", "BRANCH_NAME": "main"},
        "cron": {},
    }
    command, env = script(system, what), {**tools, **told[system]}
    return subprocess.run(command, cwd=machine.root, env=env, capture_output=True, text=True, check=False, timeout=120)


def checkout(system: str, world: World, name: str) -> Machine:
    """A clone as the system has it: a commit alone, but for the one that cron keeps."""
    machine = world.clone(name)
    if system != "cron":
        machine.git("checkout", "--quiet", "--detach")
    return machine


@pytest.mark.parametrize("system", SYSTEMS)
def test_results_come_back(system: str, world: World, tools: dict[str, str]) -> None:
    """A run that was queued before another one pushed makes nothing again, and a later one finds nothing to do."""
    late = checkout(system, world, "late")
    ended = start(system, "apply", checkout(system, world, "runner"), tools)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ("Pushed to `main`." in ended.stdout, world.clone("fresh").changes()) == (True, [])
    ended = start(system, "apply", late, tools)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ("Nothing to commit" in ended.stdout, world.subjects()[0]) == (True, "content: 3 created")


@pytest.mark.parametrize("system", SYSTEMS)
def test_results_that_wait_are_not_made_again(system: str, world: World, tools: dict[str, str]) -> None:
    """Where the branch takes no push they are on one of their own; the next run says so, and fails."""
    world.hook("pre-receive", PROTECTED)
    assert start(system, "apply", checkout(system, world, "runner"), tools).returncode == 0
    ended = start(system, "apply", checkout(system, world, "second"), tools)
    assert ended.returncode == 4, ended.stdout + ended.stderr
    assert "error[results-waiting]" in ended.stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_apply_that_fails_commits_all_the_same(system: str, world: World, tools: dict[str, str]) -> None:
    """The exit code is that of the apply."""
    world.other("content/wrong.yaml", "items: [{id: wrong, inputs: {}}]\n")
    ended = start(system, "apply", checkout(system, world, "runner"), tools)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Nothing to commit" in ended.stdout


@pytest.mark.parametrize("system", ["GitLab", "Jenkins"])
def test_a_plan_is_shown(system: str, world: World, tools: dict[str, str]) -> None:
    """Without the key; a mistake fails it."""
    machine = checkout(system, world, "runner")
    ended = start(system, "plan", machine, tools)
    assert (ended.returncode, "3 to create" in ended.stdout) == (0, True)
    machine.write("content/wrong.yaml", "items: [{id: wrong, inputs: {}}]\n")
    assert start(system, "plan", machine, tools).returncode == 1


def test_cron_pushes_first_what_could_not_be_pushed(world: World, tools: dict[str, str]) -> None:
    """The next run brings home what the last one made, whatever is new on the branch."""
    machine = world.clone("kept")
    world.hook("pre-receive", "exit 1")
    assert start("cron", "apply", machine, tools).returncode == 1
    (world.remote / "hooks/pre-receive").unlink()
    world.other("content/more.yaml", manifest("four"))
    ended = start("cron", "apply", machine, tools)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    made = [subject for subject in world.subjects() if subject != "content: jobs of an apply"]
    assert made[:2] == ["content: 1 created", "content: 3 created"]


def test_the_key_is_where_an_apply_is() -> None:
    """One at a time, not cancelled, and in an environment; a plan knows nothing of it."""
    apply, plan = jobs()["contentops apply"], jobs()["contentops plan"]
    assert (apply["resource_group"], apply["interruptible"], apply["environment"]) == (
        "contentops-apply",
        False,
        "contentops",
    )
    assert "environment" not in plan
    text = JENKINS.read_text("utf-8")
    assert text.index("stage('plan')") < text.index("stage('apply')") < text.index("WRITERZROOM_API_KEY")


def test_they_are_what_the_systems_read(processes: None) -> None:
    """GitLab's own schema; scripts that a shell can parse; a Jenkinsfile in which every bracket and quote is closed."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema=vendor.gitlab-ci", str(GITLAB)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for text in (CRON.read_text("utf-8"), *(shell_of(stage) for stage in ("install", "plan", "apply"))):
        assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(CRON)], check=True)
    rest = re.sub(r"'''.*?'''|//[^\n]*|'[^'\n]*'", "", JENKINS.read_text("utf-8"), flags=re.DOTALL)
    while rest != (rest := re.sub(r"\([^(){}\[\]]*\)|\[[^(){}\[\]]*\]|\{[^(){}\[\]]*\}", "", rest)):
        pass
    assert re.fullmatch(r"\s*pipeline\s*", rest), rest


@pytest.mark.parametrize("path", [GITLAB, JENKINS], ids=["GitLab", "Jenkins"])
def test_they_install_a_commit_that_was_reviewed(path: Path) -> None:
    """No name of an index, which anyone may take who likes to run beside the key; until it is said, nothing runs."""
    text = path.read_text("utf-8")
    assert re.findall(r"pip install.*", text) == ['pip install --quiet "$CONTENTOPS"']
    assert f"contentops @ git+https://HOST/OWNER/contentops@{'0' * 40}" in text


# --- before a run pays: that its results can come back, and that no run before has paid for them ---

CI = {"CI": "true"}
PAID = PROJECT.replace("base_url: local", 'base_url: "https://api.example.test/v1"')


def apply(machine: Machine, *arguments: str, env: dict[str, str] | None = None) -> Completed:
    """`apply --yes` under CI, however it ends."""
    return machine._invoke("apply", "--yes", *arguments, cwd=machine.root, env={**CI, **WHO, **(env or {})})


def detached(world: World, name: str = "runner") -> Machine:
    """A clone as GitLab and Jenkins make it: the commit, and no branch."""
    machine = world.clone(name)
    machine.git("checkout", "--quiet", "--detach")
    return machine


def made(machine: Machine) -> list[Path]:
    """The outputs there are."""
    return list(machine.root.glob("out/*"))


@pytest.mark.parametrize("env", [
    {"CI_COMMIT_BRANCH": "main"}, {"BRANCH_NAME": "main"}, {"GITHUB_REF_NAME": "main"},
    {"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"}, {"BUILD_SOURCEBRANCH": "refs/heads/main"},
], ids=["GitLab", "Jenkins", "GitHub's name", "GitHub", "Azure"])  # fmt: skip
def test_a_known_branch_gets_the_results(world: World, env: dict[str, str]) -> None:
    """Of a detached checkout, so that the next pipeline pays for nothing again."""
    runner = detached(world)
    ended = apply(runner, env=env)
    assert ended.code == 0, ended.stderr
    assert "Pushed to `main`." in runner.commit(runner=env).stdout
    assert world.clone("fresh").changes() == []


@pytest.mark.parametrize("env", [{}, {"BRANCH_NAME": "HEAD"}, {"BRANCH_NAME": "refs/heads/HEAD"}], ids=str)
def test_without_a_branch_nothing_is_generated(world: World, env: dict[str, str]) -> None:
    """What could not be pushed is not made; the message says how to name the branch, which `HEAD` is not."""
    runner = detached(world)
    ended = apply(runner, env=env)
    assert (ended.code, made(runner), "error[no-branch]" in ended.stderr) == (64, [], True)
    assert env or "`BRANCH_NAME`" in ended.stderr
    if env:
        assert "error[no-branch]" in runner.commit("--branch", env["BRANCH_NAME"], code=64).stderr
    assert world.branches() == ["main"]


@pytest.mark.parametrize(("environ", "expected"), [
    ({}, ""), ({"GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1"}, ""),
    ({"GITHUB_REF": "refs/pull/7/merge", "GITHUB_REF_NAME": "7/merge"}, ""),
    ({"BUILD_SOURCEBRANCH": "refs/pull/7/merge"}, ""), ({"BRANCH_NAME": "PR-7", "CHANGE_ID": "7"}, ""),
    ({"GITHUB_REF": "refs/heads/a/b"}, "a/b"),
])  # fmt: skip
def test_a_tag_or_a_pull_request_is_no_branch(environ: dict[str, str], expected: str) -> None:
    """Whatever name it has."""
    assert branch_of_run(environ) == expected


@pytest.mark.parametrize(
    "env",
    [{"GITHUB_REF": "refs/pull/7/merge"}, {"CI_MERGE_REQUEST_IID": "7"}, {"BRANCH_NAME": "PR-7", "CHANGE_ID": "7"}],
)
def test_a_pull_request_may_try_what_is_free(world: World, env: dict[str, str]) -> None:
    """A preview, made by the embedded server and thrown away; what costs something is refused."""
    runner = detached(world)
    assert apply(runner, env=env).code == 0
    assert made(runner)
    paying = detached(world, "paying")
    paying.write("contentops.yaml", PAID)
    ended = apply(paying, env={**env, "WRITERZROOM_API_KEY": "k", "CONTENTOPS_SERVERS": "https://api.example.test"})
    assert (ended.code, "error[no-branch]" in ended.stderr) == (64, True)
    # The texts of a model cost no credits, and are not free.
    paying.write("contentops.yaml", MODEL_PROJECT)
    ended = apply(paying, env={**env, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert (ended.code, "error[no-branch]" in ended.stderr) == (64, True)


def test_a_branch_that_cannot_take_the_results(world: World) -> None:
    """One that the remote does not have, and one that lacks a commit of the checkout, such as a merge made here."""
    runner = detached(world)
    ended = apply(runner, env={"BRANCH_NAME": "other"})
    assert (ended.code, "`other` does not exist at `origin`" in ended.stderr) == (1, True)
    runner.write("README.md", "merged here\n")
    runner.git("add", "README.md")
    runner.git("commit", "--quiet", "--message=Merge")
    ended = apply(runner, env={"BRANCH_NAME": "main"})
    assert (ended.code, "error[unpushed-commits]" in ended.stderr, made(runner)) == (4, True, [])


def test_a_remote_that_does_not_answer(world: World) -> None:
    """Where it is not known whether anything waits, nothing is paid for."""
    runner = world.clone("runner")
    runner.git("remote", "set-url", "origin", (world.remote.parent / "gone.git").as_uri())
    ended = apply(runner)
    assert (ended.code, "error[git-failed]" in ended.stderr, made(runner)) == (1, True, [])
    assert "hint: nothing was submitted" in ended.stderr


def test_outside_of_ci_and_of_a_clone_no_remote_is_asked(world: World, invoke: Run) -> None:
    """A person's apply is not held by a network; a folder that is no clone has nowhere to push to."""
    runner = detached(world)
    runner.git("remote", "set-url", "origin", (world.remote.parent / "gone.git").as_uri())
    ended = invoke("apply", "--yes", cwd=runner.root)
    assert ended.code == 0, ended.stderr
    plain = detached(world, "plain")
    (plain.root / ".git").rename(plain.root.parent / "moved.git")
    assert apply(plain).code == 0


def test_results_that_wait_hold_the_next_apply(world: World, first: Machine) -> None:
    """On a branch of their own, until they are merged; the machine that made them knows them, and goes on."""
    world.hook("pre-receive", PROTECTED)
    (name,) = (line.split("`")[1] for line in first.commit().stdout.splitlines() if line.startswith("Pushed to"))
    runner = world.clone("runner")
    ended = apply(runner)
    assert (ended.code, made(runner)) == (4, [])
    assert f"error[results-waiting]: unmerged results of an earlier run are on `{name}`" in ended.stderr
    # With nothing to submit there is nothing to hold.
    runner.write("content/blog.yaml", "items: []\n")
    assert apply(runner, "--approve-empty").code == 0
    first.write("content/more.yaml", manifest("four"))
    assert apply(first).code == 0


def test_results_that_were_squashed_wait_no_more(world: World, first: Machine) -> None:
    """Though no one has deleted their branch."""
    world.hook("pre-receive", PROTECTED)
    name = first.commit("--json").json["branch"]
    (world.remote / "hooks/pre-receive").unlink()
    other = world.clone("other")
    other.git("fetch", "--quiet", "origin", name)
    other.git("merge", "--quiet", "--squash", "FETCH_HEAD")
    other.git("commit", "--quiet", "--message=Results")
    other.git("push", "--quiet")
    runner = world.clone("runner")
    runner.write("content/more.yaml", manifest("four"))
    ended = apply(runner)
    assert ended.code == 0, ended.stderr
    assert runner.waits() == ""


def test_a_checkout_that_was_overtaken_pays_for_nothing(world: World, first: Machine) -> None:
    """A pipeline that waited has the commit of when it was queued: the one before it has pushed its results since."""
    late = detached(world)
    first.commit()
    ended = apply(late, env={"CI_COMMIT_BRANCH": "main"})
    assert (ended.code, made(late)) == (4, [])
    assert "error[results-waiting]: this checkout lacks results that are on `main`" in ended.stderr
    late.git("pull", "--quiet", "origin", "main")
    assert apply(late, env={"CI_COMMIT_BRANCH": "main"}).code == 0
