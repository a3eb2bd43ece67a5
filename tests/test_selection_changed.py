"""`--changed-from`: what differs from a commit, whatever file it was written in."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from contentops.ci import changed_since as history
from contentops.ci.git import GitFailed, git_bytes, run_git
from contentops.errors import UsageError
from contentops.execution import stop
from contentops.operations import apply as apply_operation
from contentops.operations import plan as plan_operation
from contentops.operations import workspace
from contentops.planning import inputs as planning_inputs

if TYPE_CHECKING:
    from pathlib import Path

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
NOBODY = ("-c", "user.name=Author", "-c", "user.email=author@example.com", "-c", "commit.gpgsign=false")


def git(root: Path, *arguments: str) -> str:
    """Runs git as a person would."""
    ended = subprocess.run(
        ["git", *NOBODY, *arguments], cwd=root, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return ended.stdout.strip()


def commit(root: Path, message: str = "Work") -> str:
    """Commits everything; returns the commit."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(project: Build) -> Path:
    """A repository with four items, all new, in one commit."""
    made = project(
        {
            "contentops.yaml": PROJECT,
            "content/blog.yaml": BLOG,
            "content/cities.yaml": CITIES,
            "data/cities.csv": ROWS,
        }
    )
    git(made, "init", "--quiet", "--initial-branch", "main")
    commit(made)
    return made


def edit(root: Path, path: str, old: str, new: str) -> None:
    """A person edits a file."""
    text = (root / path).read_text("utf-8")
    assert old in text
    (root / path).write_text(text.replace(old, new), encoding="utf-8")


def chosen(root: Path, ref: str = "HEAD", environment: str = "", **choice: Any) -> set[str]:
    """The ids in the plan of what differs from `ref`."""
    project = workspace.open_project(str(root), environment, ())
    plan = plan_operation.plan(project, planning_inputs.Choice(changed_from=ref, **choice))
    return {change.id for change in plan.changes}


@pytest.mark.parametrize(
    ("path", "old", "new", "ids"),
    [
        ("content/blog.yaml", "A guide", "The guide", {"guide"}),
        ("contentops.yaml", "year: 2026", "year: 2027", {"guide"}),
        ("contentops.yaml", "company: Acme", "company: Umbra", {"story"}),
        ("contentops.yaml", "style: general_blog", "style: content_marketing", ALL),
        ("data/cities.csv", "Lyon", "Lyons", {"city-lyon"}),
        ("data/cities.csv", "rome,Rome", "pisa,Pisa", {"city-pisa"}),
        ("content/blog.yaml", "The team", "Somebody", {"guide"}),
        ("content/blog.yaml", "  - id: guide\n", "  - id: guide\n    output: out/elsewhere.md\n", {"guide"}),
        ("content/blog.yaml", "  - id: guide\n", "  - id: guide\n    on_edit: overwrite\n", {"guide"}),
        ("content/blog.yaml", "items:\n", "# nothing but a comment\nitems:\n", set()),
        ("contentops.yaml", "project: acme", "project: acme\nbudget: {credits_per_apply: 5}", set()),
        ("contentops.yaml", "project: acme", "project: acme\npreset: hugo", ALL),
        ("contentops.yaml", "base_url: local", "base_url: local, save: 'off'", ALL),
    ],
    ids=[
        "manifest",
        "var of one",
        "var of another",
        "default of all",
        "row",
        "row replaced",
        "metadata",
        "output",
        "handling",
        "comment",
        "budget",
        "preset",
        "saving",
    ],
)
def test_only_what_differs_is_planned(root: Path, path: str, old: str, new: str, ids: set[str]) -> None:
    """Rendered items are compared, so it does not matter where the difference was written."""
    edit(root, path, old, new)
    assert chosen(root) == ids


def test_nothing_differs_from_itself(root: Path) -> None:
    """An untouched tree selects nothing and says so, though every item is new."""
    project = workspace.open_project(str(root), "", ())
    plan = plan_operation.plan(project, planning_inputs.Choice(changed_from="HEAD"))
    assert plan.empty
    (note,) = [note for note in plan.notes if note.kind == "changed-from"]
    assert note.message.startswith("0 items differ from `HEAD` (")


def test_selectors_choose_among_what_differs(root: Path) -> None:
    """`--select` and `--exclude` narrow it further."""
    edit(root, "contentops.yaml", "style: general_blog", "style: content_marketing")
    assert chosen(root, select=("city-*",)) == {"city-rome", "city-lyon"}
    assert chosen(root, exclude=("city-*",)) == {"guide", "story"}


def test_items_that_went_count_as_touched(root: Path) -> None:
    """`--prune` of what the range took out, and of nothing that was gone before."""
    pipeline_apply(root)
    commit(root, "Made")
    (root / "content" / "cities.yaml").unlink()
    (root / "data" / "cities.csv").unlink()
    edit(root, "content/blog.yaml", BLOG[BLOG.index("  - id: story") :], "")
    commit(root, "Fewer")
    assert chosen(root, "HEAD~1", prune=True) == {"story", "city-rome", "city-lyon"}
    assert chosen(root, "HEAD", prune=True) == set()


def pipeline_apply(root: Path) -> None:
    """Applies everything with the embedded server."""
    apply_operation.apply(
        workspace.open_project(str(root), "", ()),
        planning_inputs.Choice(),
        apply_operation.Approval(),
        confirm=lambda _: True,
        emit=lambda _: None,
        stop=stop.Stop(),
    )


def test_dots_compare_with_where_the_branch_left(root: Path) -> None:
    """What the other branch did since is not ours."""
    git(root, "checkout", "--quiet", "-b", "work")
    edit(root, "content/blog.yaml", "A guide", "The guide")
    commit(root)
    git(root, "checkout", "--quiet", "main")
    edit(root, "data/cities.csv", "Lyon", "Lyons")
    commit(root)
    git(root, "checkout", "--quiet", "work")
    assert chosen(root, "main...") == {"guide"}
    assert chosen(root, "main") == {"guide", "city-lyon"}


def test_a_project_below_the_top_of_the_repository(root: Path) -> None:
    """Paths are those of the project, wherever it lies."""
    (root / "site").mkdir()
    for name in ("contentops.yaml", "content", "data"):
        (root / name).rename(root / "site" / name)
    commit(root)
    edit(root / "site", "data/cities.csv", "Lyon", "Lyons")
    assert chosen(root / "site") == {"city-lyon"}
    assert chosen(root / "site", "HEAD~1") == ALL


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (("content/blog.yaml", "items:", "itmes:"), "unknown key"),
        (("contentops.yaml", "version: 1", "version: ["), ""),
        (("content/blog.yaml", "{{ year }}", "{{ yaer }}"), "yaer"),
    ],
    ids=["manifest", "settings", "variable"],
)
def test_a_project_that_did_not_load_counts_as_a_whole(root: Path, before: tuple[str, str, str], message: str) -> None:
    """Nothing is left out because the old files were wrong; the note holds the first problem."""
    path, right, wrong = before
    edit(root, path, right, wrong)
    broken = commit(root)
    edit(root, path, wrong, right)
    plan = plan_operation.plan(workspace.open_project(str(root), "", ()), planning_inputs.Choice(changed_from=broken))
    assert {change.id for change in plan.changes} == ALL
    (note,) = [note for note in plan.notes if note.kind == "changed-from"]
    assert "every item counts as changed" in note.message
    assert message in note.message


def test_an_environment_that_was_not_there(root: Path) -> None:
    """It is new, and so is everything in it; one that was there is compared with itself."""
    assert chosen(root, environment="staging") == set()
    edit(root, "contentops.yaml", "staging: {", "live: {output: 'live/{{ item.id }}.md'}, staging: {")
    assert chosen(root, environment="live") == ALL


def test_manifests_of_any_ending_and_odd_names_are_read(root: Path) -> None:
    """The globs of that commit say what a manifest is; names in any script come back whole."""
    edit(root, "contentops.yaml", "project: acme", 'project: acme\nmanifests: ["content/**/*.yaml", "more/*"]')
    (root / "more").mkdir()
    (root / "more" / "öffnungs zeiten.list").write_text(BLOG.replace("id: ", "id: x-"), encoding="utf-8")
    commit(root)
    assert chosen(root) == set()
    edit(root, "more/öffnungs zeiten.list", "A guide", "The guide")
    assert chosen(root) == {"x-guide"}


def test_links_are_not_followed_into_the_past(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A link in an old commit is not laid out, so it cannot lead anywhere: the project counts as a whole."""
    target = tmp_path_factory.mktemp("outside") / "secret.csv"
    target.write_text(ROWS, encoding="utf-8")
    (root / "data" / "cities.csv").unlink()
    (root / "data" / "cities.csv").symlink_to(target)
    linked = commit(root)
    folder = tmp_path_factory.mktemp("old")
    history.lay_out(workspace.open_project(str(root), "", ()), linked, folder)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "content/blog.yaml",
        "content/cities.yaml",
        "contentops.yaml",
    ]
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["../escape.yaml", "..\\escape.yaml", "c:escape.yaml", "a/.. /b.yaml", "a\nb.yaml"])
def test_a_hostile_tree_writes_nothing_outside(root: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Names that git itself would not check out are left out."""
    oid = run_git(root, "hash-object", "-w", "--stdin", stdin=b"items: []\n").strip()
    settings = run_git(root, "rev-parse", "HEAD:contentops.yaml").strip()
    entries = f"100644 blob {settings}\tcontentops.yaml\0" + f"100644 blob {oid}\t{name.rpartition('/')[2]}\0"
    try:
        tree = run_git(root, "mktree", "-z", stdin=entries.encode()).strip()
    except GitFailed:
        pytest.skip("this git makes no such tree")
    for part in reversed(name.split("/")[:-1]):
        inner = f"100644 blob {settings}\tcontentops.yaml\0" + f"040000 tree {tree}\t{part}\0"
        tree = run_git(root, "mktree", "-z", stdin=inner.encode()).strip()
    folder = tmp_path_factory.mktemp("old") / "inside"
    folder.mkdir()
    history.lay_out(workspace.open_project(str(root), "", ()), tree, folder)
    assert not [path for path in folder.parent.rglob("*") if "escape" in path.name or path.name.endswith("b.yaml")]


def test_the_tree_is_left_alone(root: Path) -> None:
    """No checkout, no index: whatever git would say before, it says after."""
    edit(root, "content/blog.yaml", "A guide", "The guide")
    before = git(root, "status", "--porcelain")
    index = (root / ".git" / "index").read_bytes()
    chosen(root)
    assert git(root, "status", "--porcelain", "--ignored").replace("!! .contentops/", "").strip() == before.strip()
    assert (root / ".git" / "index").read_bytes() == index


def test_the_parse_cache_stays_todays(root: Path) -> None:
    """Looking back does not push out what the manifests come to now: the answer is the same, warm or cold."""
    edit(root, "data/cities.csv", "Lyon", "Lyons")
    assert [chosen(root) for _ in range(3)] == [{"city-lyon"}] * 3


# --- what can be wrong -------------------------------------------------------------------------------------


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


def test_without_git(root: Path, invoke: Run) -> None:
    """A machine that has none says so."""
    ended = invoke("plan", "--changed-from", "HEAD", cwd=root, env={"PATH": str(root)})
    assert (ended.code, "error[no-git]" in ended.stderr) == (1, True)


def test_gits_words_reach_the_message(root: Path) -> None:
    """Whatever else goes wrong is told in git's words."""
    with pytest.raises(GitFailed, match="cat-file"):
        run_git(root, "cat-file", "blob", "0" * 40)
    with pytest.raises(GitFailed, match="cannot be run"):
        run_git(root, "rev-parse", "a\0b")


def test_a_file_git_lacks_is_an_error(root: Path) -> None:
    """A partial clone is not asked for more over the network; an incomplete answer is never taken for the project."""
    oid = git(root, "rev-parse", "HEAD:content/blog.yaml")
    path = root / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(GitFailed, match="lacks a file"):
        chosen(root)


def test_hooks_do_not_lead_git_astray(root: Path, invoke: Run) -> None:
    """Inside a hook git's own variables point elsewhere."""
    edit(root, "data/cities.csv", "Lyon", "Lyons")
    ended = invoke("plan", "--changed-from", "HEAD", "--json", cwd=root, env={"GIT_DIR": "elsewhere/.git"})
    assert [change["id"] for change in ended.json["changes"]] == ["city-lyon"]


def test_bytes_come_back_as_they_are(root: Path) -> None:
    """File contents are not text."""
    oid = run_git(root, "hash-object", "-w", "--stdin", stdin=b"\xff\x00\r\n").strip()
    assert git_bytes(root, "cat-file", "blob", oid) == b"\xff\x00\r\n"


# --- on the command line -----------------------------------------------------------------------------------


def test_the_next_command_repeats_the_flags(root: Path, invoke: Run) -> None:
    """What was planned is what is offered."""
    edit(root, "contentops.yaml", "style: general_blog", "style: content_marketing")
    ended = invoke("plan", "--changed-from", "HEAD", "--canary", "2", cwd=root)
    assert "Next: `contentops apply --changed-from HEAD --canary 2`" in ended.stdout


def test_a_plan_file_names_its_items(root: Path, invoke: Run) -> None:
    """The ref may name another commit by the time the plan is applied; the file does not ask again."""
    edit(root, "data/cities.csv", "Lyon", "Lyons")
    invoke("plan", "--changed-from", "HEAD", "--out", "plan.json", cwd=root)
    commit(root)
    ended = invoke("apply", "plan.json", "--json", cwd=root)
    assert ended.code == 0, ended.stderr
    assert ended.json["run"]["counts"]["done"] == 1
    assert [path.name for path in (root / "out").iterdir()] == ["city-lyon.md"]
