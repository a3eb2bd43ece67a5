"""The workflows and the action that are shipped: their shell steps run here, and nothing in them is an open door."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from contentops.operations.init import WORKFLOWS, action_from, installed_action, workflows
from tests.clones import Machine, World, git, manifest, posix
from tests.fakes.github import TOKEN, FakeGitHub
from tests.hubs import SHA
from tests.merges import Desk, make_drafts
from tests.running import Run
from tests.workflows import FIRST, ROOT, Runner, read, steps_of, value_of

SHIPPED = sorted((ROOT / "examples/ci").glob("*.yml"))
SHARDS = ROOT / "examples/many-machines/github.yml"
USED = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCANNING = ROOT / "examples/ci/code-scanning/contentops-check.yml"
ACTION = ROOT / "action.yml"
DEPENDABOT = ROOT / ".github/dependabot.yml"
PLAN = ROOT / "examples/ci/plan.yml"
APPLY = ROOT / "examples/ci/apply.yml"
MANUAL = ROOT / "examples/ci/manual.yml"
CI = ("--ci", "github", "--action", f"acme/contentops@{SHA}")
DUE = ROOT / "examples/ci/due.yml"
DRIFT = ROOT / "examples/ci/drift.yml"
MERGED = "fedcba0987654321fedcba0987654321fedcba09"


def test_what_a_fork_can_start_has_no_secret_and_no_right_to_write() -> None:
    """The plan reads; the job that may write checks out nothing, and does not run for a fork."""
    assert "secrets." not in PLAN.read_text("utf-8")
    assert "token" not in PLAN.read_text("utf-8")
    jobs = read(PLAN)["jobs"]
    assert jobs["plan"]["permissions"] == {"contents": "read"}
    assert jobs["comment"]["permissions"] == {"pull-requests": "write"}
    assert "github.event.pull_request.head.repo.full_name == github.repository" in jobs["comment"]["if"]
    run: dict[str, list[dict[str, Any]]] = {
        name: [step for step in steps_of(read(ACTION))[FIRST:] if value_of(step["if"], defaultdict(str, known))]
        for name in ("plan", "comment")
        for known in [{"inputs.workflow": name, "steps.plan.outputs.plan-file": "x"}]
    }
    assert [step.get("id") for step in run["plan"]] == [None, "validate", "plan", None]
    assert [step.get("id") for step in run["comment"]] == ["planned", "comment"]
    assert [step for step in run["plan"] if {"TOKEN", "API_KEY"} & set(step.get("env", ()))] == []
    assert [step for step in run["comment"] if "checkout" in step.get("uses", "")] == []


def test_an_apply_is_never_cancelled() -> None:
    """It is one at a time, waits for those before it, in an environment, and commits whatever happened."""
    document = read(APPLY)
    assert document["concurrency"] == {"group": "contentops-apply", "cancel-in-progress": "false", "queue": "max"}
    # The environment of the apply may have required reviewers, which nothing that runs unattended waits for.
    assert document["jobs"]["apply"]["environment"] == "contentops"
    unattended = {job["environment"] for path in (DUE, DRIFT) for job in read(path)["jobs"].values()}
    assert unattended == {"contentops-unattended"}
    assert read(DRIFT)["jobs"]["drift"]["permissions"] == {"contents": "read"}
    (called,) = steps_of(document)
    # Without it, the runner would cancel all steps of the action together.
    assert (called["if"], called["with"]["servers"]) == ("always()", "${{ vars.CONTENTOPS_SERVERS }}")
    (commit,) = (step for step in steps_of(read(ACTION)) if step.get("id") == "commit")
    assert (commit["if"], commit["env"]["COMMAND"]) == ("always() && inputs.workflow == 'apply'", "commit")


ZIZMOR = (
    str(Path(sys.executable).with_name("zizmor")), "--offline", "--persona=pedantic", "--no-progress", "--format=plain",
)  # fmt: skip
SCHEMA = (sys.executable, "-m", "check_jsonschema", "--builtin-schema")


@pytest.mark.parametrize(("command", "paths"), [
    (ZIZMOR, [*SHIPPED, SHARDS, SCANNING, *USED, ACTION, DEPENDABOT]),
    ((*SCHEMA, "vendor.github-workflows"), [*SHIPPED, SHARDS, SCANNING, *USED]),
    ((*SCHEMA, "vendor.github-actions"), [ACTION]), ((*SCHEMA, "vendor.dependabot"), [DEPENDABOT]),
], ids=["weaknesses", "workflows", "action", "dependabot"])  # fmt: skip
def test_they_are_what_github_reads_and_have_no_weakness(command: Sequence[str], paths: list[Path]) -> None:
    """By every rule of zizmor, offline, and by the schemas of GitHub's formats."""
    ended = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_examples_are_what_init_writes(name: str) -> None:
    """One text, in two places."""
    made = workflows(action="", directory=".", branch="main")[f".github/workflows/contentops-{name}.yml"]
    assert (ROOT / "examples/ci" / f"{name}.yml").read_text("utf-8") == made


def test_the_version_of_the_actions_is_the_one_ci_uses() -> None:
    """Updates of ours are not forgotten in what we ship."""
    used = {line.strip().removeprefix("- ") for path in USED for line in path.read_text("utf-8").splitlines()}
    shipped = {line.strip() for line in ACTION.read_text("utf-8").splitlines() if "uses: actions/" in line}
    assert {line for line in shipped if "actions/cache@" not in line} <= used


COMMANDS = ("validate", "plan", "check", "apply", "approve", "comment", "find-plan", "commit")
"""What the action can be asked for."""


def test_every_shell_step_that_is_shipped_is_run_here() -> None:
    """The workflows have none but one that fails; those of the action are run below, with each of its commands."""
    assert [step["run"] for path in SHIPPED for step in steps_of(read(path)) if "run" in step] == ["exit 1"]
    _, install, *commands = (step["run"] for step in steps_of(read(ACTION)) if "run" in step)
    assert "pip install" in install  # run by test_action_install
    assert set(commands) == {'bash --noprofile --norc "$SOURCE/action.sh"'}
    command = (ROOT / "action.sh").read_text("utf-8")
    known = re.search(r'case "\$COMMAND" in\n(.*?)\n\s*\*\)', command, re.DOTALL)
    assert known is not None
    labels = re.findall(r"^ *([a-z-]+(?: \| [a-z-]+)*)\)", known[1], re.MULTILINE)
    assert sorted(label for found in labels for label in found.split(" | ")) == sorted(COMMANDS)


def test_our_own_workflows_ask_for_what_there_is() -> None:
    """Every target of `make` is in the Makefile, and no job is left out of the last one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in USED:
        for step in steps_of(read(path)):
            if "make " in step.get("run", ""):
                words = step["run"].split()[1:]
                assert {word for word in words if not word.startswith("-") and "=" not in word} <= targets
    jobs = read(ROOT / ".github/workflows/ci.yml")["jobs"]
    assert set(jobs["done"]["needs"]) == set(jobs) - {"done"}


@posix
@pytest.mark.parametrize(
    ("results", "code"), [("success success", 0), ("success failure", 1), ("cancelled success", 1), ("skipped", 1)]
)
def test_all_checks_are_green_only_if_each_is(results: str, code: int) -> None:
    """The one check that the branch requires."""
    (step,) = read(ROOT / ".github/workflows/ci.yml")["jobs"]["done"]["steps"]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    env = {**os.environ, "RESULTS": results}
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == code


def applying(
    hub: FakeGitHub,
    folder: Path,
    clone: Machine,
    env: dict[str, str],
    *,
    event: str = "push",
    credits_: str = "0",
    key: str = "wrk_key",
) -> Runner:
    """The runner of the apply workflow, started by the merge of the pull request or by hand."""
    (folder / "push.json").write_text(json.dumps({"ref": "refs/heads/main", "after": MERGED}))
    contexts = {
        "github.token": TOKEN,
        "github.event_name": event,
        "inputs.credits": credits_,
        "secrets.WRITERZROOM_API_KEY": key,
    }
    env = hub.env(GITHUB_TOKEN="", GITHUB_EVENT_PATH=str(folder / "push.json")) | env
    return Runner(folder / "apply", clone.root, env, contexts)


@posix
def test_from_pull_request_to_results(world: World, hub: FakeGitHub, tmp_path: Path) -> None:
    """Plan without rights, comment from the artifact, apply and commit on the branch: as shipped, step by step."""
    clone = world.clone("runner")
    plan = Runner(tmp_path / "plan", clone.root, {}, {}).job(PLAN)
    assert plan.codes == {"validate": 0, "plan": 0}
    outputs = plan.outputs["plan"]
    expected = {"has-changes": "true", "create": "3", "update": "0", "credits": "0", "exit-code": "0"}
    assert {key: outputs[key] for key in expected} == expected
    assert (tmp_path / "plan/summary.md").read_text().count("3 to create") == 1
    page = Path(outputs["page-file"])
    assert (page.name, "<html" in page.read_text("utf-8")) == ("contentops-plan.html", True)

    comment = Runner(tmp_path / "comment", tmp_path, {}, {})
    artifact = comment.temp / "contentops-artifact"
    artifact.mkdir()
    Path(outputs["plan-file"]).rename(artifact / "contentops-plan.json")
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": SHA}}}))
    env = hub.env(GITHUB_TOKEN="", GITHUB_EVENT_PATH=str(tmp_path / "event.json"), GITHUB_RUN_ID="55")
    ended = Runner(tmp_path / "comment", tmp_path, env, {"github.token": TOKEN}).job(PLAN, "comment")
    assert ended.codes == {"comment": 0}, ended.printed
    assert "3 to create" in hub.comments[0]["body"]
    shown = hub.comments[0]["body"]
    (artifact / "contentops-plan.json").rename(tmp_path / "plan.json")
    comment = Runner(tmp_path / "comment", tmp_path, env, {"github.token": TOKEN})
    ended = comment.job(PLAN, "comment", failing=["planned"])
    assert ended.codes == {"comment": 0}, ended.printed
    assert "There is no plan for commit `1234567890ab`" in hub.comments[0]["body"]
    assert "3 to create" not in hub.comments[0]["body"]

    hub.merge(7, MERGED)
    hub.run(55, SHA, "contentops-plan")
    hub.run(56, SHA, "contentops-plan")  # of another workflow
    hub.comments[0]["body"] = shown
    runner = applying(hub, tmp_path, clone, {"GITHUB_RUN_ID": "5", "GITHUB_SERVER_URL": "https://github.example"})
    (runner.temp / "contentops-artifact").mkdir()
    (tmp_path / "plan.json").rename(runner.temp / "contentops-artifact/contentops-plan.json")
    applied = runner.job(APPLY)
    assert applied.codes == {"approve": 0, "reviewed": 0, "apply": 0, "commit": 0}, applied.printed
    assert "3 done" in (tmp_path / "apply/summary.md").read_text()
    assert TOKEN not in applied.printed
    # The texts are read in a pull request, and its merge brings them onto the branch.
    (name,) = (one for one in world.branches() if one.startswith("contentops-results/"))
    assert hub.pulls[-1]["head"]["label"] == f"acme:{name}"
    fresh = world.clone("fresh", f"--branch={name}")
    assert (fresh.changes(), fresh.git("log", "-1", "--format=%an").strip()) == ([], "github-actions[bot]")
    assert "actions/runs/5" in fresh.git("log", "-1", "--format=%B")


@posix
def test_approvals_of_the_merged_pull_request_come_home(
    invoke: Run, hub: FakeGitHub, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of a text that someone edited and that was reviewed with its plan: recorded, saved, without its mark, committed."""
    world = make_drafts(invoke, tmp_path, tmp_path_factory, save="auto")
    desk = Desk(world, hub, invoke)
    head = desk.propose(7, lambda author: author.edit("out/one.md", "## Introduction", "## A start"))
    hub.review(7, "maria")
    plan = tmp_path / "apply/temp/contentops-artifact/contentops-plan.json"
    plan.parent.mkdir(parents=True)
    desk.merge(7)
    clone = desk.runner("applied")
    ended = invoke("plan", "--out", str(plan), cwd=clone.root)
    assert ended.code == 0, ended.stderr
    hub.run(55, head, "contentops-plan")
    hub.show(55, head, json.loads(plan.read_bytes())["checksum"])
    job = {**desk.job(clone), "GITHUB_TOKEN": ""}
    contexts = {
        "github.token": TOKEN, "github.event_name": "push", "inputs.credits": "", "secrets.WRITERZROOM_API_KEY": "",
    }  # fmt: skip
    applied = Runner(tmp_path / "apply", clone.root, job, contexts).job(APPLY)
    assert applied.codes == {"approve": 0, "reviewed": 0, "apply": 0, "commit": 0}, applied.printed
    assert TOKEN not in applied.printed
    assert "maria (github.example)" in world.content("contentops.approvals")
    text = world.content("out/one.md")
    assert ("## A start" in text, "draft: true" in text) == (True, False)
    assert "draft: true" in world.content("out/two.md")
    assert desk.runner("fresh").changes() == []


@posix
@pytest.mark.parametrize("missing", ["pull request", "artifact", ""])
def test_what_was_not_reviewed_is_not_applied(
    world: World, hub: FakeGitHub, invoke: Run, tmp_path: Path, missing: str
) -> None:
    """Pushed past the review, a plan that is not kept, or one that was made before another merge brought more."""
    clone = world.clone("runner")
    runner = applying(hub, tmp_path, clone, {})
    plan = runner.temp / "contentops-artifact/contentops-plan.json"
    plan.parent.mkdir()
    if missing != "pull request":
        hub.merge(7, MERGED)
    if not missing:
        hub.run(55, SHA, "contentops-plan")
        ended = invoke("plan", "--out", str(plan), cwd=clone.root)
        assert ended.code == 0, ended.stderr
        hub.show(55, SHA, json.loads(plan.read_bytes())["checksum"])
        clone.write("content/more.yaml", manifest("four"))
    applied = runner.job(APPLY)
    assert applied.codes == {"approve": 0, "reviewed": 0, "apply": 4, "commit": 0}, applied.printed
    assert "error[unreviewed]" in applied.printed
    assert ("`four`: create" in applied.printed, "`one`: create" in applied.printed) == (not missing, bool(missing))
    assert not list(clone.root.glob("out/*"))


@posix
@pytest.mark.parametrize(("credits_", "code", "error"), [("11", 4, "approved-credits"), ("12", 1, "no-key")])
def test_whoever_starts_an_apply_by_hand_says_what_it_may_cost(
    world: World, hub: FakeGitHub, tmp_path: Path, credits_: str, code: int, error: str
) -> None:
    """That number is the ceiling, without a plan; what was paid for before the failure comes back, and the job fails."""
    clone = world.clone("runner")
    clone.apply("--select", "one")
    clone.edit("contentops.yaml", "base_url: local", 'base_url: "https://api.example.test/v1"')
    ended = applying(hub, tmp_path, clone, {}, event="workflow_dispatch", credits_=credits_, key="").job(MANUAL)
    assert (ended.codes, f"error[{error}]" in ended.printed) == ({"approve": 0, "apply": code, "commit": 0}, True)
    assert (ended.outputs["apply"]["exit-code"], ended.outcomes["keep"]) == (str(code), "success")
    (name,) = (one for one in world.branches() if one.startswith("contentops-results/"))
    assert "contentops.lock" in world.clone("fresh", f"--branch={name}").files()


def test_results_are_kept_before_anything_can_cut_the_commit_off() -> None:
    """The whole clone, as an artifact of each attempt, whatever the apply did; a cancelled job may get no further."""
    steps = steps_of(read(ACTION))
    names = [step.get("id") for step in steps]
    assert names.index("apply") < names.index("keep") < names.index("commit")
    keep = steps[names.index("keep")]
    assert "always()" in keep["if"]
    assert "commit" not in keep["if"]
    assert keep["uses"].startswith("actions/upload-artifact@")
    assert (keep["with"]["path"], keep["with"]["include-hidden-files"]) == (".", "true")


@posix
def test_results_are_kept_where_an_apply_may_have_made_some(world: World, hub: FakeGitHub, tmp_path: Path) -> None:
    """Not where an earlier run's results wait, and not where there was nothing to do."""
    clone = world.clone("runner")
    world.hook("pre-receive", "exit 1")
    ended = applying(hub, tmp_path, clone, {}, event="workflow_dispatch").job(MANUAL)
    assert (ended.codes, ended.outcomes["keep"]) == ({"approve": 0, "apply": 0, "commit": 1}, "success")
    ended = applying(hub, tmp_path, clone, {}, event="workflow_dispatch").job(MANUAL)
    assert (ended.codes["apply"], ended.outcomes["keep"]) == (0, "skipped")


@posix
@pytest.mark.parametrize("inputs", [
    {"command": "plan", "environment": "$(touch pwned)"}, {"command": "plan", "environment": "--out=pwned"},
    {"command": "plan", "select": "`touch pwned`\n--out=pwned\n; touch pwned"},
    {"command": "plan", "variables": 'a="; touch pwned; "'}, {"command": "plan; touch pwned"},
    {"command": "plan", "directory": "--version"},
    {"command": "apply", "deadline": "10m; touch pwned", "plan-file": "$(touch pwned)"},
    {"command": "plan", "plan-file": "x\nhas-changes=false"}, {"command": "check", "plan-file": "--out=pwned"},
    {"command": "find-plan", "directory": "$(touch pwned)"},
])  # fmt: skip
def test_inputs_of_the_action_are_words(world: World, tmp_path: Path, inputs: dict[str, str]) -> None:
    """Whatever they hold: no command, no other option, no output of their own."""
    clone = world.clone("runner")
    ended = Runner(tmp_path / "run", clone.root, {}, {}).action(inputs)
    assert not list(tmp_path.rglob("pwned"))
    assert "\nhas-changes=false" not in inputs.get("plan-file", "") or ended.outputs["step"]["has-changes"] == "true"


@posix
def test_variables_and_selection_have_a_line_each(world: World, tmp_path: Path) -> None:
    """Empty lines and line ends of Windows are no values."""
    clone = world.clone("runner")
    inputs = {"command": "plan", "select": "one\r\n\ntwo\nthree", "variables": "a=b c\n", "max-credits": "0"}
    ended = Runner(tmp_path / "run", clone.root, {}, {}).action(inputs)
    document = json.loads(Path(ended.outputs["step"]["plan-file"]).read_text())
    assert document["inputs"]["select"] == ["one", "two", "three"]
    assert document["inputs"]["variables"] == ["a=b c"]


@posix
def test_the_key_goes_to_apply_and_the_token_to_what_writes(tmp_path: Path) -> None:
    """No command sees more than it needs."""
    runner = Runner(tmp_path / "run", tmp_path, {}, {})
    shim = runner.temp / "contentops/bin/contentops"
    shim.write_text(
        '#!/bin/sh\necho "$3 key=${WRITERZROOM_API_KEY-}${CONTENTOPS_SERVERS-}" '
        '"token=${GITHUB_TOKEN-}${TOKEN-}${API_KEY-}"\n'
    )
    given = {"api-key": "K", "token": "T", "servers": "@S"}
    seen = [runner.action({"command": command, **given}).printed.strip() for command in COMMANDS]
    assert seen == [
        "validate key= token=", "plan key= token=", "plan key= token=", "apply key=K@S token=T",
        "approve key= token=T", "comment key= token=T", "find-plan key= token=T", "commit key= token=T",
    ]  # fmt: skip
    assert runner.action({"command": "plan", "refresh": "true", **given}).printed.strip() == "plan key=K@S token="


@posix
def test_a_look_for_drift_fails_where_there_is_something_to_do(world: World, tmp_path: Path) -> None:
    """Edited by hand and committed: the job fails; put back: it does not. A plan that cannot be made fails too."""
    clone = world.clone("runner")
    clone.apply()
    text = (clone.root / "out/one.md").read_text("utf-8")
    runner = Runner(tmp_path / "drift", clone.root, {}, {})
    clone.write("out/one.md", text + "\nBy hand.\n")
    assert runner.job(DRIFT).codes == {"plan": 0, "drift": 1}
    clone.write("out/one.md", text)
    assert runner.job(DRIFT).codes == {"plan": 0}
    clone.write("content/blog.yaml", "items: 3\n")
    assert runner.job(DRIFT).codes == {"plan": 1}


LOCAL = {"api": {"base_url": "local"}}
SEVERAL = {"version": 1, "project": "Acme: blog", "environments": {"staging": LOCAL, "production": LOCAL}}


def test_several_projects_and_environments_have_a_file_for_each_event(invoke: Run, tmp_path: Path) -> None:
    """Short ones, with a job for each environment; names, artifacts and queues of a project are its own."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(tmp_path)], check=True)
    of = {".": (), "site": (), "apps/[blog]": ("staging", "production"), "日本": ()}
    for place, environments in of.items():
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "contentops.yaml").write_text(json.dumps(SEVERAL))
        ended = invoke("init", place, *CI, *(word for one in environments for word in ("--env", one)))
        assert ended.code == 0, ended.stderr
    paths = list((tmp_path / ".github/workflows").iterdir())
    made = {path.stem: read(path) for path in paths}
    assert len(made) == len(of) * len(WORKFLOWS)
    assert max(len(path.read_text("utf-8").splitlines()) for path in paths) <= 50
    assert len({document["name"] for document in made.values()}) == len(made)
    # What is started by hand is applied in the queue of the other applies.
    groups = {document["concurrency"]["group"] for document in made.values()}
    assert len(groups) == len(made) - len(of)

    stem = "contentops-apps-blog"
    start = made[f"{stem}-plan"]["on"]["pull_request"]
    assert start["paths"] == [r"apps/\[blog\]/**", f".github/workflows/{stem}-*.yml"]
    assert made[f"{stem}-apply"]["on"]["push"]["paths"] == start["paths"]
    for kind in WORKFLOWS:
        for name, job in made[f"{stem}-{kind}"]["jobs"].items():
            (called,) = (step["with"] for step in job["steps"])
            assert (called["workflow"], called["environment"]) == (name, "${{ matrix.environment }}")
            assert job["strategy"]["matrix"] == {"environment": ["staging", "production"]}
            assert job.get("environment", "") == ("contentops-${{ matrix.environment }}" if name == "apply" else "")
            assert called["name"] == stem
            assert called.get("project", "") == ("Acme: blog" if name == "comment" else "")
            # One after the other: an environment may take its texts from the one before it.
            assert job["strategy"].get("max-parallel", "") == ("1" if name == "apply" else "")
    subprocess.run([*ZIZMOR, *paths], check=True)


def test_more_environments_are_added_by_hand(invoke: Run, tmp_path: Path) -> None:
    """Twice is refused, and so is an environment that there is none of."""
    (tmp_path / "contentops.yaml").write_text(json.dumps(SEVERAL))
    named = ("init", *CI, "--env")
    assert "error[unknown-environment]" in invoke(*named, "staging", "--env", "prod").stderr
    ended = invoke(*named, "staging", "--env", "production")
    assert "make environments `contentops-staging` and `contentops-production` with the secret" in ended.stdout
    assert "add its name to `matrix`" in invoke(*named, "staging").stderr
    assert invoke("init", "new", *CI, "--env", "prod").code == 64


def test_the_reviewed_plan_is_that_of_the_environment(hub: FakeGitHub, invoke: Run, tmp_path: Path) -> None:
    """One run has made them all, and each has a comment of its own."""
    (tmp_path / "contentops.yaml").write_text(json.dumps(SEVERAL))
    hub.run(55, SHA, "contentops-staging-plan", "contentops-production-plan")
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": SHA}}}))
    for environment in ("staging", "production"):
        invoke("plan", "--env", environment, "--out", f"{environment}.json")
        env = hub.env(GITHUB_EVENT_PATH=str(tmp_path / "event.json"), GITHUB_RUN_ID="55")
        ended = invoke("comment", "--plan", f"{environment}.json", env=env)
        assert ended.code == 0, ended.stderr
    for environment in ("staging", "production"):
        expected = json.loads((tmp_path / f"{environment}.json").read_bytes())["checksum"]
        named = ("--env", environment, "--artifact", f"contentops-{environment}-plan")
        ended = invoke("find-plan", "--pr", "7", *named, "--json", env=hub.env())
        assert (ended.json["run"], ended.json["checksum"]) == (55, expected)


def test_init_applies_the_default_branch(invoke: Run, tmp_path: Path) -> None:
    """Not the one someone stands on to add the workflows; a name that YAML would read as a number stays one."""
    git(tmp_path, "init", "--quiet", "--initial-branch=add-contentops")
    git(tmp_path, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/1.10")
    ended = invoke("init", "--ci", "github", "--action", f"acme/contentops@{SHA}")
    edit = "to change the branch, edit contentops-apply.yml and contentops-manual.yml."
    assert f"Every push to `1.10` is applied; {edit}" in " ".join(ended.stdout.split())
    apply = yaml.safe_load((tmp_path / ".github/workflows/contentops-apply.yml").read_text())
    assert apply[True]["push"]["branches"] == ["1.10"]
    assert apply["jobs"]["apply"]["if"] == "github.ref == 'refs/heads/1.10'"


def test_init_adds_workflows_to_a_project_that_is_there(invoke: Run, tmp_path: Path) -> None:
    """Nothing else is written; twice is refused; without a commit of an action nothing is, and a person names one."""
    (tmp_path / "contentops.yaml").write_text("version: 1\nproject: x\n")
    # The tests may run in a clone that is on GitHub.
    if not installed_action():
        ended = invoke("init", "--ci", "github")
        assert (ended.code, "`--action OWNER/REPO@COMMIT` names the repository" in ended.stderr) == (64, True)
    for action in ("acme/contentops@v1", "acme/contentops", f"x y/z@{SHA}", f"a/b@{SHA}\nrun: x"):
        assert "error[bad-action]" in invoke("init", "--ci", "github", "--action", action).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["contentops.yaml"]
    ended = invoke("init", *CI)
    assert f"The workflows run `{CI[-1]}`." in ended.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [".github", "contentops.yaml"]
    assert "error[exists]" in invoke("init", *CI).stderr


@pytest.mark.parametrize(("there", "file", "added"), [
    ({}, ".github/CODEOWNERS", "# /contentops.approvals @OWNER\n"),
    ({"CODEOWNERS": "*.css @acme/design"}, "CODEOWNERS", "# /contentops.approvals @OWNER\n"),
    ({"docs/CODEOWNERS": "x @y\n"}, "docs/CODEOWNERS", "# /contentops.approvals @OWNER\n"),
    ({".github/CODEOWNERS": "* @acme/all\n", "CODEOWNERS": ""}, ".github/CODEOWNERS", ""),
    ({"CODEOWNERS": "# /contentops.approvals @OWNER\n"}, "CODEOWNERS", ""),
])  # fmt: skip
def test_init_proposes_an_owner_of_the_approvals(
    invoke: Run, tmp_path: Path, there: dict[str, str], file: str, added: str
) -> None:
    """In the file that GitHub reads, below what is there, and without inventing a team; nothing where one is named."""
    (tmp_path / "contentops.yaml").write_text("version: 1\nproject: x\n")
    for path, text in there.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    ended = invoke("init", *CI)
    before, after = there.get(file, ""), (tmp_path / file).read_text()
    assert after.startswith(before)
    assert (after.endswith(added), after == before) == (True, not added)
    assert (f"Say in {file} who may change `contentops.approvals`" in ended.stdout) is bool(added)
    assert (f"  + {file}\n" in ended.stdout) is bool(added)
    assert sorted(tmp_path.rglob("CODEOWNERS")) == sorted(tmp_path / one for one in {file, *there})


@pytest.mark.parametrize(("url", "commit", "expected"), [
    ("https://github.com/acme/contentops.git", SHA, f"acme/contentops@{SHA}"),
    ("https://user:secret@github.com/acme/contentops", SHA, f"acme/contentops@{SHA}"),
    ("ssh://git@github.com/acme/contentops.git", SHA, f"acme/contentops@{SHA}"),
    ("git@github.com:acme/contentops.git", SHA, f"acme/contentops@{SHA}"),
    ("https://gitlab.com/acme/contentops", SHA, ""),
    ("https://github.com.example/acme/contentops", SHA, ""),
    ("https://github.com/acme/contentops", "v1", ""),
])  # fmt: skip
def test_the_action_is_the_commit_that_was_installed(url: str, commit: str, expected: str) -> None:
    """As pip, pipx and uv note it; nothing of another host, and no secret."""
    assert action_from(json.dumps({"url": url, "vcs_info": {"vcs": "git", "commit_id": commit}})) == expected


@pytest.mark.parametrize(
    "hook", yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")), ids=lambda hook: hook["id"]
)
def test_hooks_run_offline(hook: dict[str, Any], invoke: Run, tmp_path: Path) -> None:
    """Each hook's command passes on a good project and fails on a broken one."""
    invoke("init", "--name", "x")
    words = hook["entry"].split()[1:]
    assert invoke(*words).code == 0
    assert re.search(hook["files"], "content/articles.yaml")
    (tmp_path / "content/articles.yaml").write_text("items: [{id: a, inputs: {audiance: x}}]")
    assert invoke(*words).code == 1
