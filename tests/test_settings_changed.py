"""What a pull request changes of `api`, `budget`, `guards` and `environments` stands at the top of its plan."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from contentops.model import Budget
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_json import plan_of
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import SETTINGS
from tests.plans import make_change, make_plan, plan_document
from tests.running import Build, Run  # noqa: TC001 - pytest reads annotations of fixtures

if TYPE_CHECKING:
    from pathlib import Path

BASE = """\
version: 1
project: acme
api: {base_url: local}
budget: {credits_per_apply: 100}
vars: {year: 2026}
environments: {prod: {api: {base_url: 'https://api.example.com/v1'}}}
"""
HEAD = """\
version: 1
project: acme
api: {base_url: 'https://elsewhere.example/v1', key_env: WRITERZROOM_OTHER}
guards: {max_changed_ratio: 1}
ledger: postgresql://elsewhere.example/acme
vars: {year: 2027}
default_environment: prod
environments: {prod: {api: {base_url: 'https://elsewhere.example/v1'}}, new: {}}
"""
GITHUB = {"GITHUB_BASE_REF": "main"}
CHANGED = [
    '`api.base_url` changes from `"local"` to `"https://elsewhere.example/v1"`',
    '`api.key_env` changes from nothing to `"WRITERZROOM_OTHER"`',
    "`budget.credits_per_apply` changes from `100` to nothing",
    '`default_environment` changes from nothing to `"prod"`',
    "`environments.new` changes from nothing to `{}`",
    '`environments.prod.api.base_url` changes from `"https://api.example.com/v1"` to `"https://elsewhere.example/v1"`',
    "`guards.max_changed_ratio` changes from nothing to `1`",
    '`ledger` changes from nothing to `"postgresql://elsewhere.example/acme"`',
]


def git(root: Path, *arguments: str) -> str:
    """Runs git in a repository."""
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    ended = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return ended.stdout.strip()


@pytest.fixture
def pull(project: Build) -> Any:
    """Builds the checkout that a runner of GitHub has: the merge of a pull request that makes BASE into something."""

    def build(base: str | None, head: str) -> Path:
        root = project({"site/content/a.yaml": "items: []\n"})
        git(root, "init", "--quiet", "--initial-branch=main")
        for text, branch in ((base, "main"), (head, "topic")):
            git(root, "checkout", "--quiet", "-B", branch)
            if text is not None:
                (root / "site/contentops.yaml").write_text(text, encoding="utf-8")
            git(root, "add", ".")
            git(root, "commit", "--quiet", "--allow-empty", "--message=x")
        git(root, "checkout", "--quiet", "main")
        git(root, "merge", "--quiet", "--no-ff", "--message=Merge", "topic")
        return root / "site"

    return build


def told(plan: dict[str, Any]) -> list[str]:
    """What a plan says of settings."""
    return [note["message"] for note in plan["notes"] if note["kind"] == SETTINGS]


def test_what_changes_is_named(invoke: Run, pull: Any) -> None:
    """In every form of the plan, above everything else; a variable is no such setting."""
    root = pull(BASE, HEAD)
    assert told(invoke("plan", "--json", cwd=root, env=GITHUB).json) == CHANGED
    lines = invoke("plan", cwd=root, env=GITHUB).stdout.splitlines()
    assert lines[0] == "Project `acme`, environment `prod`, server `https://elsewhere.example:443`, no budget"
    assert lines[1 : 1 + len(CHANGED)] == [f"  ! {message}" for message in CHANGED]
    page = invoke("plan", "--format", "markdown", cwd=root, env=GITHUB).stdout
    assert "\nServer `https://elsewhere.example:443`, no budget.\n" in page
    assert '- :warning: **settings:** `api.base_url` changes from `"local"` to `"https://elsewhere.example/v1"`' in page
    assert page.count("**settings:**") == len(CHANGED)
    assert "**settings:**" not in invoke("plan", "--format", "markdown", cwd=root).stdout


def test_a_plan_file_carries_it_to_the_comment(invoke: Run, pull: Any) -> None:
    """The comment is made where there is no checkout."""
    root = pull(BASE, HEAD)
    invoke("plan", "--out", "plan.json", cwd=root, env=GITHUB)
    document = json.loads((root / "plan.json").read_text("utf-8"))
    assert document["budget"] == {"credits_per_apply": None, "items_per_apply": None}
    assert plan_markdown(plan_of(document)).count("**settings:**") == len(CHANGED)


UNREAD = "`contentops.yaml` was not compared with the base: "


@pytest.mark.parametrize(
    ("base", "head", "lines"),
    [
        (BASE, BASE.replace("year: 2026", "year: 2027").replace("'", '"'), []),
        (None, HEAD, ["`contentops.yaml` is not in the base: every setting is new"]),
        ("typo: 1\n", HEAD, [UNREAD]),
        ("api: {\n", HEAD, [UNREAD]),
        ("api: {base_url: 'https://me:hunter22@x.y'}\n", HEAD, [UNREAD]),
    ],
    ids=["the same", "new", "a typo", "half", "a secret"],
)
def test_other_bases(invoke: Run, pull: Any, base: str | None, head: str, lines: list[str]) -> None:
    """The same settings written another way are no news; no base, or one that cannot be read, is said without its secrets."""
    ended = invoke("plan", "--json", cwd=pull(base, head), env=GITHUB)
    assert [line[: len(UNREAD)] if line.startswith(UNREAD) else line for line in told(ended.json)] == lines
    assert "hunter22" not in ended.stdout


def test_a_checkout_without_the_base(invoke: Run, project: Build) -> None:
    """No repository, or not the merge: nothing is taken for the base that is none."""
    root = project({"contentops.yaml": HEAD})
    (line,) = told(invoke("plan", "--json", cwd=root, env=GITHUB).json)
    assert "was not compared with the base" in line
    git(root, "init", "--quiet")
    for _ in range(2):
        git(root, "commit", "--quiet", "--allow-empty", "--message=x")
    (line,) = told(invoke("plan", "--json", cwd=root, env=GITHUB).json)
    assert "was not compared with the base" in line
    assert "(check out the base too" in invoke("plan", cwd=root, env=GITHUB).stdout.splitlines()[1]


def test_the_servers_are_not_lost_among_many_settings(invoke: Run, pull: Any) -> None:
    """Of each part ten are listed, those of `api` first."""
    many = ", ".join(f"a{number}: 1" for number in range(30))
    more = f"environments: {{prod: {{vars: {{{many}}}, api: {{base_url: 'https://elsewhere.example/v1'}}}}}}\n"
    root = pull(BASE, BASE.rpartition("environments")[0] + more)
    found = told(invoke("plan", "--json", cwd=root, env=GITHUB).json)
    assert len(found) == 11
    assert any("`environments.prod.api.base_url`" in line for line in found)
    assert "`environments` changes 21 more settings" in found


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(), ", no budget"),
        (Budget(credits_per_apply=200, items_per_apply=1), ", budget 200 credits and 1 item"),
        (Budget(items_per_apply=1000), ", budget 1,000 items"),
    ],
)
def test_every_plan_names_server_environment_and_budget(budget: Budget, words: str) -> None:
    """At its top."""
    plan = make_plan(make_change("a"), environment="prod", budget=budget)
    assert unpainted(plan_text(plan, verbose=False)).startswith(
        f"Project `acme-blog`, environment `prod`, server `local`{words}\n"
    )
    assert f"`acme-blog`, environment `prod`\n\nServer `local`{words}.\n\n" in plan_markdown(plan)
    assert plan_of(plan_document(plan, inputs={})).budget == budget


def test_a_value_can_not_leave_its_quotes(invoke: Run, pull: Any) -> None:
    """It is text of a stranger, and stays in its code span."""
    hostile = "environments: {prod: {vars: {y: '```</details> @team [x](https://evil.example)'}}}\n"
    root = pull(BASE, BASE.rpartition("environments")[0] + hostile)
    page = invoke("plan", "--format", "markdown", cwd=root, env=GITHUB).stdout
    assert "to `\"'''</details> @team [x](https://evil.example)\"`\n" in page
