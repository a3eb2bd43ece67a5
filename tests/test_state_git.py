"""The lock in git: what real merges, pulls, checkouts and reverts make of it is read, and nothing paid is lost."""

import errno
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from contentops.atomic_io import Disk, refused
from contentops.digest import Digest
from contentops.errors import StateError
from contentops.model import Job, JobState, Record
from contentops.state import jobs, lock, state_dir
from contentops.state.codec import add_rules
from contentops.state.state_dir import is_tracked, repository_of
from contentops.state.store import StateStore
from tests import state_facts as facts
from tests.clones import NOBODY, git
from tests.processes import blog
from tests.running import Build, Run
from tests.test_state_store import written

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


class Repository:
    """A git repository with a lock, and nothing of the machine's own settings."""

    def __init__(self, root: Path, *, union: bool = True) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        if union:
            add_rules(root, Disk(), jobs.RULED)
            (root / ".gitignore").write_text(".contentops/\n")
        (root / "readme").write_text("")
        self.commit("start")

    def git(self, *words: str, fine: bool = True) -> str:
        """Run git; its output. Fails the test if git fails, unless that is fine."""
        done = subprocess.run(["git", *NOBODY, *words], cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not fine, done.stderr + done.stdout
        return done.stdout

    def commit(self, message: str = "change") -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)

    def write(self, *values: Record | Job) -> None:
        """Commit a lock of these records, these jobs if there are any, and the bodies the records name."""
        written(self.root, *values)
        for record in (value for value in values if isinstance(value, Record)):
            (self.root / record.output).parent.mkdir(exist_ok=True)
            (self.root / record.output).write_text(record.generated)
        self.commit()

    def branch(self, name: str, start: str = "main") -> None:
        """Go to a new branch."""
        self.git("checkout", "--quiet", "-b", name, start)

    def merge(self, ours: str, theirs: str) -> None:
        """Merge a branch into another, taking our side of outputs that both changed."""
        self.git("checkout", "--quiet", ours)
        self.git("merge", "--quiet", "-X", "ours", "--no-edit", theirs, fine=False)

    def open(self) -> StateStore:
        """The state in the working tree, told which bodies are on disk."""

        def body(path: str) -> Digest:
            return Digest(self.root.joinpath(path).read_text())

        return StateStore(self.root, environment="", lineage=lambda: facts.LINEAGE, write=False, body_on_disk=body)

    @property
    def lines(self) -> list[str]:
        """The lines of the lock."""
        return (self.root / "contentops.lock").read_text().splitlines()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository that merges locks by union."""
    return Repository(tmp_path)


def named(*names: str) -> list[Record]:
    """Records of these items."""
    return [facts.record(name) for name in names]


A2, B2 = facts.record("a", generation=2), facts.record("b", generation=2)
MERGES: dict[str, tuple[Sequence[Record | Job], ...]] = {
    "additions": (named("b"), named("a", "b"), named("b", "c", "d"), named(*"abcd")),
    "two first locks": ([], named("a", "b"), named("c"), named(*"abc")),
    "neighbours": (named("a", "b"), [A2, *named("b")], [*named("a"), B2], [A2, B2]),
    "deleted here, changed there": (named(*"abc"), named("a", "c"), [*named("a"), B2, *named("c")], [*named("a"), B2, *named("c")]),
    "an open job and its record": ([*named("a"), facts.job("b")], [A2, facts.job("b")], [*named("a", "b"), facts.job("b", state=JobState.SETTLED)], [A2, *named("b")]),
}  # fmt: skip
"""What a lock has before two branches, on each of them, and after their merge."""


@pytest.mark.parametrize(("before", "one", "two", "merged"), MERGES.values(), ids=MERGES)
def test_two_branches_merge(
    repository: Repository,
    before: Sequence[Record | Job],
    one: Sequence[Record | Job],
    two: Sequence[Record | Job],
    merged: Sequence[Record],
) -> None:
    """Additions and changes of both sides are kept, a deletion hides no change, and nothing that ended is open."""
    if before:
        repository.write(*before)
    for name, values in (("one", one), ("two", two)):
        repository.branch(name, "main")
        repository.write(*values)
    repository.merge("one", "two")
    state = repository.open().state
    assert (state.records, state.open_jobs) == ({record.id: record for record in merged}, {})


@pytest.mark.parametrize("way", ["merge again", "delete the marker lines"])
def test_without_the_attribute_a_merge_stops_and_says_how_to_go_on(tmp_path: Path, way: str) -> None:
    """Conflict markers in the lock are refused; both ways of the hint lead on."""
    repository = Repository(tmp_path, union=False)
    repository.write(*named("a", "c"))
    repository.branch("one")
    repository.write(*named("a", "b", "c"))
    repository.branch("two", "main")
    repository.write(A2, facts.record("c"))
    repository.git("merge", "--quiet", "one", fine=False)
    with pytest.raises(StateError, match="git conflict marker") as caught:
        repository.open()
    assert "git merge --abort" in caught.value.hint
    if way == "merge again":
        repository.git("merge", "--abort")
        add_rules(tmp_path, Disk(), (lock.FORMAT,))
        repository.commit()
        repository.merge("two", "one")
    else:
        kept = [line for line in repository.lines if line[:7] not in {"<<<<<<<", "=======", ">>>>>>>"}]
        (tmp_path / "contentops.lock").write_text("\n".join(kept))
    assert repository.open().state.records == {"a": A2, "b": facts.record("b"), "c": facts.record("c")}


SETTINGS = "version: 1\nproject: blog\napi: {base_url: local}\ndefaults: {template: blog_article_generator, style: general_blog}\n"
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "plain": (),
    "version 3": (("add", "-N", "-f", "new.txt"),),
    "version 4": (("update-index", "--index-version=4"),),
    "split": (("update-index", "--split-index"),),
}


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
        ("plan",), ("plan", "--json"), ("apply", "--yes"), ("status",), ("diff", "a"), ("show", "a"),
        ("report", "--runs"),
    ),
    *(("state", "list"), ("report",), ("commit", "--no-push"), ("check",), ("adopt", "x.md"), ("content", "list")),
)  # fmt: skip


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
    assert (refused, {ended.code for ended in said.values()}) == (set(COMMANDS), {1})
    assert invoke("validate", cwd=root).code == 0  # it goes on without what is remembered
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if ".git" not in path.parts} == before
    checks = {one["name"]: one for one in invoke("doctor", "--json", cwd=root).json["checks"]}
    assert (checks["state"]["ok"], checks["cache"]["ok"]) == (False, False)
    assert "is tracked by git" in checks["state"]["message"]
    git(root, "rm", "-r", "-q", "--cached", ".contentops")
    shutil.rmtree(root / ".contentops")
    assert invoke("plan", cwd=root).code == 0


def test_an_unreadable_git_folder_is_refused(tmp_path: Path) -> None:
    """It may list paid jobs: the project must not go on as one without git."""

    class Unreadable(Disk):
        def read(self, path: Path) -> bytes | None:
            raise refused("read", path, PermissionError(errno.EACCES, "Permission denied"))

    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").touch()
    with pytest.raises(StateError, match="cannot read `HEAD`: permission denied"):
        repository_of(tmp_path, Unreadable())


def test_a_git_file_names_the_repository_of_a_work_tree(tmp_path: Path) -> None:
    """One that names no folder, or has a zero byte, is that of no repository."""
    tree, own = tmp_path / "tree", tmp_path / "main/.git/worktrees/tree"
    tree.mkdir()
    own.mkdir(parents=True)
    (tmp_path / "main/.git/HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    (tree / ".git").write_text(f"gitdir: {own}\n")
    assert repository_of(tree, Disk()) == state_dir.Repository(tmp_path / "main/.git", "")
    for text in ("gitdir: nowhere\n", "gitdir: a\0b\n"):
        (tree / ".git").write_text(text)
        assert (repository_of(tree, Disk()), is_tracked(str(tree), ".contentops")) == (None, False)


@pytest.mark.parametrize("first", ["lock", "jobs"])
def test_first_applies_on_two_branches_add_the_same_rules(tmp_path: Path, first: str) -> None:
    """Whichever file is written first, so that git has nothing to merge in `.gitattributes`."""
    with StateStore(tmp_path, environment="", lineage=lambda: facts.LINEAGE, write=True) as store:
        if first == "lock":
            store.begin()
        else:
            store.jobs.known.put(facts.job("a"))
            store.jobs.checkpoint()
    lines = (tmp_path / ".gitattributes").read_text().splitlines()
    assert lines == [lock.FORMAT.rule, jobs.FORMAT.rule]
