"""`--changed-from`: what differs from a commit, whatever file it was written in."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from contentops.ci.git import GitFailed
from contentops.errors import StateError, UsageError
from contentops.model import Budget
from contentops.model.settings import NO_BUDGET
from contentops.operations.opening import open_project
from contentops.operations.plan import plan
from contentops.planning.sides import Choice
from contentops.reporting.layout import unpainted
from contentops.reporting.plan_markdown import plan_markdown
from contentops.reporting.plan_text import plan_text
from contentops.reporting.summary import SETTINGS
from tests.clones import commit, copy_once, git
from tests.plans import make_change, make_plan, plan_document, read_back
from tests.running import Build, Run

PROJECT = """\
version: 1
project: acme
api: {base_url: local}
defaults: {template: blog_article_generator, style: general_blog}
vars: {year: 2026, company: Acme}
environments: {staging: {output: "staging/{{ item.id }}.md"}}
"""
BLOG = """\
items:
  - id: guide
    inputs: {topic: "A guide for {{ year }}", target_audience: readers}
    metadata: {author: The team}
  - id: story
    inputs: {topic: "The story of {{ company }}", target_audience: readers}
"""
CITIES = """\
items:
  - id: "city-{{ each.slug }}"
    for_each: data/cities.csv
    inputs: {topic: "Work in {{ each.name }}", target_audience: readers}
"""
ROWS = "slug,name\nrome,Rome\nlyon,Lyon\n"
ALL = {"guide", "story", "city-rome", "city-lyon"}


FILES = {"contentops.yaml": PROJECT, "content/blog.yaml": BLOG, "content/cities.yaml": CITIES, "data/cities.csv": ROWS}


def build(root: Path) -> None:
    """A repository with four items, all new, in one commit."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with four items, all new, in one commit."""
    build(tmp_path)
    return tmp_path


def edit(root: Path, path: str, old: str, new: str) -> None:
    """A person edits a file."""
    text = (root / path).read_text("utf-8")
    assert old in text
    (root / path).write_text(text.replace(old, new), encoding="utf-8")


def chosen(root: Path, ref: str = "HEAD", **choice: Any) -> set[str]:
    """The ids in the plan of what differs from `ref`."""
    return {change.id for change in plan(open_project(str(root), "", ()), Choice(changed_from=ref, **choice)).changes}


def applied(root: Path, invoke: Run) -> str:
    """Applies everything with the embedded server, and commits it; returns the commit."""
    ended = invoke("apply", "--yes", "--approve-changes", cwd=root)
    assert ended.code == 0, ended.stderr
    return commit(root, "Made")


@pytest.fixture
def made(project: Build, invoke: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, applied and committed."""
    target = project({}, at="made")

    def make(folder: Path) -> None:
        build(folder)
        applied(folder, invoke)

    copy_once("changed", target, make, tmp_path_factory)
    git(target, "update-index", "--refresh")
    return target


@pytest.mark.parametrize(("path", "old", "new", "ids"), [
    ("content/blog.yaml", "A guide", "The guide", {"guide"}),
    ("contentops.yaml", "year: 2026", "year: 2027", {"guide"}),
    ("contentops.yaml", "company: Acme", "company: Umbra", {"story"}),
    ("contentops.yaml", "style: general_blog", "style: content_marketing", ALL),
    ("data/cities.csv", "Lyon", "Lyons", {"city-lyon"}),
    ("data/cities.csv", "rome,Rome", "pisa,Pisa", {"city-pisa"}),
    ("content/blog.yaml", "The team", "Someone", {"guide"}),
    ("content/blog.yaml", "  - id: guide\n", "  - id: guide\n    output: out/elsewhere.md\n", {"guide"}),
    ("content/blog.yaml", "{author: The team}", "{author: The team, title: Mine}", {"guide"}),
    ("content/blog.yaml", "items:\n", "# nothing but a comment\nitems:\n", set()),
    ("contentops.yaml", "project: acme", "project: acme\nbudget: {credits_per_apply: 5}", set()),
], ids=[
    *("manifest", "var of one", "var of another", "default of all", "row", "row replaced", "metadata", "output"),
    *("title", "comment", "budget"),
])  # fmt: skip
def test_only_what_differs_is_planned(made: Path, path: str, old: str, new: str, ids: set[str]) -> None:
    """Rendered items are compared with records, so it does not matter where the difference was written."""
    edit(made, path, old, new)
    commit(made)
    assert chosen(made, "HEAD~1") == ids


def test_nothing_differs_from_what_was_applied(root: Path, invoke: Run) -> None:
    """The note says so; what was not applied by then is new, and `--prune` takes what the range took out."""
    assert chosen(root) == ALL
    applied(root, invoke)
    assert chosen(root, "HEAD~1") == set()
    found = plan(open_project(str(root), "", ()), Choice(changed_from="HEAD"))
    (note,) = [note for note in found.notes if note.kind == "changed-from"]
    assert note.message.startswith("0 items differ from `contentops.lock` at `HEAD` (")
    edit(root, "content/blog.yaml", BLOG[BLOG.index("  - id: story") :], "")
    (root / "content/cities.yaml").unlink()
    assert chosen(root, prune=True) == {"story", "city-rome", "city-lyon"}
    assert chosen(root, "HEAD~1", prune=True) == set()


def test_dots_compare_with_where_the_branch_left(root: Path, invoke: Run) -> None:
    """What the other branch did since is not ours."""
    applied(root, invoke)
    git(root, "checkout", "--quiet", "-b", "work")
    edit(root, "content/blog.yaml", "A guide", "The guide")
    commit(root)
    git(root, "checkout", "--quiet", "main")
    edit(root, "data/cities.csv", "Lyon", "Lyons")
    applied(root, invoke)
    git(root, "checkout", "--quiet", "work")
    assert chosen(root, "main...") == {"guide"}
    assert chosen(root, "main", replace=("city-lyon",)) == {"guide", "city-lyon"}


def test_a_project_below_the_top_of_the_repository(root: Path, invoke: Run) -> None:
    """Paths are those of the project, wherever it lies."""
    (root / "site").mkdir()
    for name in ("contentops.yaml", "content", "data"):
        (root / name).rename(root / "site" / name)
    applied(root / "site", invoke)
    edit(root / "site", "data/cities.csv", "Lyon", "Lyons")
    assert chosen(root / "site") == {"city-lyon"}
    assert chosen(root / "site", "HEAD~1", replace=("guide",)) == {"guide", "city-lyon"}


def test_the_tree_is_left_alone(root: Path) -> None:
    """No checkout, no index: whatever git would say before, it says after."""
    edit(root, "content/blog.yaml", "A guide", "The guide")
    before = git(root, "status", "--porcelain")
    index = (root / ".git" / "index").read_bytes()
    chosen(root)
    assert git(root, "status", "--porcelain", "--ignored").replace("!! .contentops/", "").strip() == before.strip()
    assert (root / ".git" / "index").read_bytes() == index


@pytest.mark.parametrize("ref", ["nowhere", "--all", "HEAD~99", "nowhere...", "HEAD:contentops.yaml", "a b", "-"])
def test_an_unknown_ref_is_an_error(root: Path, ref: str) -> None:
    """Named, with what to do, and never taken for an option."""
    with pytest.raises(UsageError) as caught:
        chosen(root, ref)
    assert caught.value.code == "unknown-ref"


def test_where_there_is_nothing_to_compare_with_nothing_is_planned(root: Path, invoke: Run) -> None:
    """Unrelated histories, and no repository: an error, and not an empty selection."""
    git(root, "checkout", "--quiet", "--orphan", "other")
    commit(root, "Another beginning")
    with pytest.raises(UsageError, match="no common commit"):
        chosen(root, "main...")
    shutil.rmtree(root / ".git")
    ended = invoke("plan", "--changed-from", "main", cwd=root, env={"GIT_CEILING_DIRECTORIES": str(root.parent)})
    assert (ended.code, "error[no-repository]" in ended.stderr, ended.stdout) == (64, True, "")


def test_a_lock_that_git_has_damaged_or_not_at_all_is_an_error(made: Path) -> None:
    """Nothing is guessed or asked for over the network; an incomplete answer is never taken for no lock."""
    whole = (made / "contentops.lock").read_text("utf-8")
    for text in ("{", whole):
        (made / "contentops.lock").write_text(text, encoding="utf-8")
        commit(made)
    with pytest.raises(StateError, match="in commit"):
        chosen(made, "HEAD~1")
    oid = git(made, "rev-parse", "HEAD:contentops.lock")
    path = made / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(GitFailed, match="does not have a file"):
        chosen(made)


def test_a_plan_file_names_its_items(made: Path, invoke: Run) -> None:
    """`apply` has no `--changed-from`: the next command makes a file, which does not ask what the ref names by then."""
    edit(made, "data/cities.csv", "Lyon", "Lyons")
    ended = invoke("plan", "--changed-from", "HEAD", "--canary", "2", cwd=made)
    line = "contentops plan --changed-from HEAD --canary 2 --out plan.json && contentops apply plan.json"
    assert f"Next: `{line}`" in ended.stdout
    assert invoke("apply", "--changed-from", "HEAD", cwd=made).code == 64
    invoke("plan", "--changed-from", "HEAD", "--out", "plan.json", cwd=made)
    commit(made)
    ended = invoke("apply", "plan.json", "--json", cwd=made)
    assert ended.code == 0, ended.stderr
    assert ended.json["run"]["counts"]["done"] == 1
    assert git(made, "status", "--porcelain", "--", "out") == "M out/city-lyon.md"


def test_only_changed_words_are_listed(made: Path, invoke: Run) -> None:
    """An edit, a new title, a new text and a new path count; front matter, a save and what is gone do not."""

    def listed(ref: str = "HEAD") -> str:
        ended = invoke("plan", "--changed-from", ref, "--format", "paths", cwd=made)
        assert ended.code == 0, ended.stderr
        return ended.stdout

    assert listed() == ""
    edit(made, "out/guide.md", "## Conclusion", "## My words")
    edit(made, "out/story.md", "---\ntitle: ", "---\ntags: [new]\ntitle: ")
    assert listed() == "out/guide.md\n"
    edit(made, "out/story.md", "title: ", "title: New ")
    (made / "out/city-rome.md").unlink()
    assert listed() == "out/guide.md\nout/story.md\n"
    commit(made)
    assert (listed(), listed("HEAD~1")) == ("", "out/guide.md\nout/story.md\n")
    (made / "out/guide.md").write_text("---\ntitle: [\n---\n\x00")
    assert "out/story.md" not in listed()


@pytest.mark.parametrize(("arguments", "words"), [
    ((), "needs `--changed-from REF`"), (("--changed-from", "HEAD", "--select", "guide"), "leave out `--select`"),
    (("--changed-from", "nowhere"), "nowhere"),
])  # fmt: skip
def test_mistakes_in_a_list_of_changed_words_are_named(
    root: Path, invoke: Run, arguments: tuple[str, ...], words: str
) -> None:
    """No plan is made, so that nothing else can be asked for."""
    ended = invoke("plan", "--format", "paths", *arguments, cwd=root)
    assert (ended.code, words in ended.stderr) == (64, True)


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


def test_the_servers_are_not_lost_among_many_settings(invoke: Run, pull: Any) -> None:
    """Of each part ten are listed, those of `api` first."""
    many = ", ".join(f"a{number}: 1" for number in range(30))
    prod = f"{{vars: {{{many}}}, api: {{base_url: 'https://elsewhere.example/v1'}}}}"
    root = pull(BASE, f"{BASE.rpartition('environments')[0]}environments: {{prod: {prod}}}\n")
    found = told(invoke("plan", "--json", cwd=root, env=GITHUB).json)
    assert (len(found), "`environments` changes 21 more settings" in found) == (11, True)
    assert any("`environments.prod.api.base_url`" in line for line in found)


UNREAD = "`contentops.yaml` was not compared with the base: "


@pytest.mark.parametrize(("base", "head", "lines"), [
    (BASE, BASE.replace("year: 2026", "year: 2027").replace("'", '"'), []),
    (None, HEAD, ["`contentops.yaml` is not in the base: every setting is new"]), ("typo: 1\n", HEAD, [UNREAD]),
    ("api: {\n", HEAD, [UNREAD]), ("api: {base_url: 'https://me:hunter22@x.y'}\n", HEAD, [UNREAD]),
], ids=["the same", "new", "a typo", "half", "a secret"])  # fmt: skip
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


@pytest.mark.parametrize(("budget", "words"), [
    (NO_BUDGET, ", no budget"),
    (Budget(credits_per_apply=200, items_per_apply=1), ", budget 200 credits and 1 item"),
    (Budget(credits_per_apply=None, items_per_apply=1000), ", budget 1,000 items"),
])  # fmt: skip
def test_every_plan_names_server_environment_and_budget(budget: Budget, words: str) -> None:
    """At its top."""
    plan = make_plan(make_change("a"), environment="prod", budget=budget)
    assert unpainted(plan_text(plan, verbose=False)).startswith(
        f"Project `acme-blog`, environment `prod`, server `local`{words}\n"
    )
    assert f"`acme-blog`, environment `prod`\n\nServer `local`{words}.\n\n" in plan_markdown(plan)
    assert read_back(plan_document(plan, inputs={})).budget == budget
