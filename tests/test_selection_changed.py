"""`--changed-from`: what differs from a commit, whatever file it was written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contentops.ci.git import GitFailed
from contentops.errors import StateError, UsageError
from contentops.operations.opening import open_project
from contentops.operations.plan import plan
from contentops.planning.sides import Choice
from tests.clones import commit, copy_once, git
from tests.running import Run  # noqa: TC001 - pytest reads annotations of fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build

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


def chosen(root: Path, ref: str = "HEAD", environment: str = "", **choice: Any) -> set[str]:
    """The ids in the plan of what differs from `ref`."""
    project = open_project(str(root), environment, ())
    return {change.id for change in plan(project, Choice(changed_from=ref, **choice)).changes}


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


@pytest.mark.parametrize(
    ("path", "old", "new", "ids"),
    [
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
    ],
    ids=[
        *("manifest", "var of one", "var of another", "default of all", "row", "row replaced", "metadata", "output"),
        *("title", "comment", "budget"),
    ],
)
def test_only_what_differs_is_planned(made: Path, path: str, old: str, new: str, ids: set[str]) -> None:
    """Rendered items are compared with records, so it does not matter where the difference was written."""
    edit(made, path, old, new)
    commit(made)
    assert chosen(made, "HEAD~1") == ids


def test_nothing_differs_from_what_was_applied(root: Path, invoke: Run) -> None:
    """The note says so; what was not applied by then is new, whatever was declared."""
    assert chosen(root) == ALL
    applied(root, invoke)
    assert chosen(root, "HEAD~1") == set()
    found = plan(open_project(str(root), "", ()), Choice(changed_from="HEAD"))
    (note,) = [note for note in found.notes if note.kind == "changed-from"]
    assert note.message.startswith("0 items differ from `contentops.lock` at `HEAD` (")


def test_items_that_went_count_too(made: Path) -> None:
    """`--prune` of what the range took out, and of nothing that was gone before."""
    edit(made, "content/blog.yaml", BLOG[BLOG.index("  - id: story") :], "")
    (made / "content/cities.yaml").unlink()
    assert chosen(made, prune=True) == {"story", "city-rome", "city-lyon"}
    assert chosen(made, "HEAD~1", prune=True) == set()


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


def test_unrelated_histories_have_no_common_commit(root: Path) -> None:
    """Nothing to compare with is an error, not an empty selection."""
    git(root, "checkout", "--quiet", "--orphan", "other")
    commit(root, "Another beginning")
    with pytest.raises(UsageError, match="no common commit"):
        chosen(root, "main...")


def test_outside_a_repository(project: Build, invoke: Run) -> None:
    """The message says so; nothing is planned."""
    root = project({"contentops.yaml": PROJECT, "content/blog.yaml": BLOG})
    ended = invoke("plan", "--changed-from", "main", cwd=root, env={"GIT_CEILING_DIRECTORIES": str(root.parent)})
    assert ended.code == 64
    assert "error[no-repository]" in ended.stderr
    assert ended.stdout == ""


def test_a_lock_git_lacks_is_an_error(made: Path) -> None:
    """A partial clone is not asked for more over the network; an incomplete answer is never taken for no lock."""
    oid = git(made, "rev-parse", "HEAD:contentops.lock")
    path = made / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(GitFailed, match="does not have a file"):
        chosen(made)


def test_a_lock_that_was_committed_damaged_is_an_error(made: Path) -> None:
    """Nothing is guessed; the message names the commit."""
    whole = (made / "contentops.lock").read_text("utf-8")
    (made / "contentops.lock").write_text("{", encoding="utf-8")
    commit(made)
    (made / "contentops.lock").write_text(whole, encoding="utf-8")
    with pytest.raises(StateError, match="in commit"):
        chosen(made)


def test_hooks_do_not_lead_git_astray(made: Path, invoke: Run) -> None:
    """Inside a hook git's own variables point elsewhere."""
    edit(made, "data/cities.csv", "Lyon", "Lyons")
    ended = invoke("plan", "--changed-from", "HEAD", "--json", cwd=made, env={"GIT_DIR": "elsewhere/.git"})
    assert [change["id"] for change in ended.json["changes"]] == ["city-lyon"]


def test_the_next_command_makes_a_plan_file(root: Path, invoke: Run) -> None:
    """`apply` has no `--changed-from`: it carries out the file of a plan that has."""
    edit(root, "contentops.yaml", "style: general_blog", "style: content_marketing")
    ended = invoke("plan", "--changed-from", "HEAD", "--canary", "2", cwd=root)
    line = "contentops plan --changed-from HEAD --canary 2 --out plan.json && contentops apply plan.json"
    assert f"Next: `{line}`" in ended.stdout
    assert invoke("apply", "--changed-from", "HEAD", cwd=root).code == 64


def test_a_plan_file_names_its_items(made: Path, invoke: Run) -> None:
    """The ref may name another commit by the time the plan is applied; the file does not ask again."""
    edit(made, "data/cities.csv", "Lyon", "Lyons")
    invoke("plan", "--changed-from", "HEAD", "--out", "plan.json", cwd=made)
    commit(made)
    ended = invoke("apply", "plan.json", "--json", cwd=made)
    assert ended.code == 0, ended.stderr
    assert ended.json["run"]["counts"]["done"] == 1
    assert git(made, "status", "--porcelain", "--", "out") == "M out/city-lyon.md"
