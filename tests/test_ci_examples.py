"""The files for GitLab, Jenkins and cron: they are what those read, and their commands bring results back."""

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

from tests import warm
from tests.clones import PROTECTED, WHO, Machine, World, manifest, posix

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
