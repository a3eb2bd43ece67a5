"""A `.contentops` that a branch brought: whoever may write a branch could plant what is paid and written."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from contentops.state.state_dir import is_tracked
from tests.processes import blog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running import Build, Run

SETTINGS = "version: 1\nproject: blog\napi: {base_url: local}\ndefaults: {template: blog_article_generator, style: general_blog}\n"
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "plain": (),
    "version 3": (("add", "-N", "-f", "new.txt"),),
    "version 4": (("update-index", "--index-version=4"),),
    "split": (("update-index", "--split-index"),),
}


def git(folder: Path, *arguments: str) -> None:
    """Runs git, without settings of the machine."""
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with some files, and a project in a folder of it."""
    root = tmp_path / "clone"
    for path in (".contentops-notes/a.md", ".contento", "other/site/.contentops/journal.jsonl", "site/a.md"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path, encoding="utf-8")
    (root / "new.txt").write_text("new", encoding="utf-8")
    git(root, "init", "-q", ".")
    git(root, "add", ".contentops-notes", ".contento", "other", "site")
    return root


@pytest.mark.parametrize("steps", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("below", [".contentops/journal.jsonl", f".contentops/{'x' * 240}/{'y' * 240}/" + "z" * 200])
def test_git_is_asked_whether_it_has_the_folder(clone: Path, below: str, steps: tuple[tuple[str, ...], ...]) -> None:
    """Whatever form its index has, and also for a project in a folder; a folder of another project is none of ours."""
    for step in steps:
        git(clone, *step)
    assert not is_tracked(str(clone), ".contentops")
    assert not is_tracked(str(clone / "site"), ".contentops")
    for folder in (clone, clone / "site"):
        path = folder / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("planted", encoding="utf-8")
        assert not is_tracked(str(folder), ".contentops")
        git(folder, "add", "-f", below)
        assert is_tracked(str(folder), ".contentops")
        git(folder, "rm", "-r", "-q", "--cached", ".contentops")
        assert not is_tracked(str(folder), ".contentops")


def test_a_link_a_module_or_a_work_tree_is_seen_too(clone: Path, tmp_path: Path) -> None:
    """The folder itself may be what is tracked, and `.git` may be a file."""
    (clone / ".contentops").symlink_to("other")
    git(clone, "add", "-f", ".contentops")
    assert is_tracked(str(clone), ".contentops")
    git(clone, "commit", "-q", "-m", "all")
    git(clone, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert is_tracked(str(tmp_path / "tree"), ".contentops")
    git(tmp_path / "tree", "rm", "-q", ".contentops")
    assert not is_tracked(str(tmp_path / "tree"), ".contentops")
    assert is_tracked(str(clone), ".contentops")
    assert not is_tracked(str(tmp_path), ".contentops")


COMMANDS = (
    *(
        ("plan",),
        ("plan", "--json"),
        ("apply", "--yes"),
        ("status",),
        ("diff", "a"),
        ("show", "a"),
        ("report", "--runs"),
    ),
    *(("state", "list"), ("report",), ("commit", "--no-push"), ("check",), ("adopt", "x.md"), ("content", "list")),
)


def test_a_folder_from_a_branch_is_refused_by_every_command(project: Build, invoke: Run) -> None:
    """A plan made beforehand, parsed manifests and all: nothing in it is read, and nothing is written."""
    root = project({"contentops.yaml": SETTINGS, "content/a.yaml": blog("a"), "x.md": "# X\n"}, at="site")
    git(root, "init", "-q", ".")
    assert invoke("apply", "--yes", cwd=root).code == 0
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    assert invoke("plan", cwd=root).code == 0
    assert invoke("plan", cwd=root).code == 0  # said again from what is remembered
    git(root, "add", "-f", ".contentops")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".git" not in path.parts}
    said = {command: invoke(*command, cwd=root) for command in COMMANDS}
    refused = {command for command, ended in said.items() if "git rm -r .contentops" in ended.stdout + ended.stderr}
    assert refused == set(COMMANDS)
    assert {ended.code for ended in said.values()} == {1}
    assert invoke("validate", cwd=root).code == 0  # it goes on without what is remembered
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".git" not in path.parts} == before
    checks = {one["name"]: one for one in invoke("doctor", "--json", cwd=root).json["checks"]}
    assert (checks["state"]["ok"], checks["cache"]["ok"]) == (False, False)
    assert "is tracked by git" in checks["state"]["message"]
    git(root, "rm", "-r", "-q", "--cached", ".contentops")
    shutil.rmtree(root / ".contentops")
    assert invoke("plan", cwd=root).code == 0
