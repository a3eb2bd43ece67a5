"""The lock in git: what real merges, pulls, checkouts and reverts make of it is read, and nothing paid is lost."""

from __future__ import annotations

import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.digest import Digest
from contentops.errors import StateError
from contentops.model import ItemId, JobState, OpenEntry, Record, State
from contentops.state import jobs, lock
from contentops.state.codec import Forget, line_of
from contentops.state.store import StateStore
from tests import state_facts as facts
from tests.clones import NOBODY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

A, B = ItemId("a"), ItemId("b")


class Repository:
    """A git repository with a lock, and nothing of the machine's own settings."""

    def __init__(self, root: Path, *, union: bool = True) -> None:
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        if union:
            lock.add_rule(root, Disk())
            lock.add_rule(root, Disk(), jobs.PATTERN, jobs.RULE)
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

    def write(self, *values: Record | OpenEntry, project: str = "acme") -> None:
        """Commit a lock of these records, these jobs if there are any, and the bodies the records name."""
        lineage = lock.lineage_of(project)
        state = State(lineage=lineage, records={value.id: value for value in values if isinstance(value, Record)})
        (self.root / "contentops.lock").write_bytes(lock.render(state))
        if lines := sorted(line_of(value) for value in values if isinstance(value, OpenEntry)):
            (self.root / "contentops.jobs").write_bytes(jobs.join(lineage, lines))
        for record in state.records.values():
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

    def open(self, *, write: bool = False) -> StateStore:
        """The state in the working tree, told which bodies are on disk."""

        def body(path: str) -> Digest:
            return Digest(self.root.joinpath(path).read_text())

        return StateStore(
            self.root, environment="", lineage=lambda: lock.lineage_of("acme"), write=write, body_on_disk=body
        )

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
MERGES: dict[str, tuple[Sequence[Record | OpenEntry], ...]] = {
    "additions": (named("b"), named("a", "b"), named("b", "c", "d"), named(*"abcd")),
    "two first locks": ([], named("a", "b"), named("c"), named(*"abc")),
    "neighbours": (named("a", "b"), [A2, *named("b")], [*named("a"), B2], [A2, B2]),
    "deleted here, changed there": (
        named(*"abc"),
        named("a", "c"),
        [*named("a"), B2, *named("c")],
        [*named("a"), B2, *named("c")],
    ),
    "an open job and its record": (
        [*named("a"), facts.entry("b")],
        [A2, facts.entry("b")],
        [*named("a", "b"), facts.entry("b", state=JobState.SETTLED)],
        [A2, *named("b")],
    ),
}
"""What a lock has before two branches, on each of them, and after their merge."""


@pytest.mark.parametrize(("before", "one", "two", "merged"), MERGES.values(), ids=MERGES)
def test_two_branches_merge(
    repository: Repository,
    before: Sequence[Record | OpenEntry],
    one: Sequence[Record | OpenEntry],
    two: Sequence[Record | OpenEntry],
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
    assert state.records == {record.id: record for record in merged}
    assert state.entries == {}


def test_two_projects_do_not_merge(repository: Repository) -> None:
    """A lock of another lineage is an error that names both."""
    repository.branch("one")
    repository.write(*named("a"))
    repository.branch("two", "main")
    repository.write(*named("c"), project="other")
    repository.merge("one", "two")

    with pytest.raises(StateError, match="has lines of different projects"):
        repository.open()


@pytest.mark.parametrize("ours", ["one", "two"])
def test_one_item_changed_on_two_branches_follows_the_text(repository: Repository, ours: str) -> None:
    """The union leaves both lines; the one whose text the merge kept counts, and the repair is not written by itself."""
    repository.write(*named("a", "b", "c"))
    sides = {"one": facts.record("b", generation=2, rev=2), "two": facts.record("b", generation=3, rev=2)}
    for name, record in sides.items():
        repository.branch(name, "main")
        repository.write(facts.record("a"), record, facts.record("c"))
    repository.merge(ours, "two" if ours == "one" else "one")
    merged = list(repository.lines)

    store = repository.open(write=True)
    assert store.state.records[B] == sides[ours]
    assert not store.checkpoint()
    assert repository.lines == merged
    assert len(merged) == 5

    store.note("save", structs.replace(store.state.records[A], saved_at="2026-02-01"))
    store.checkpoint()
    assert len(repository.lines) == 4
    assert repository.open().state.records[B] == sides[ours]


@pytest.mark.parametrize("ours", ["one", "two"])
def test_an_item_renamed_here_and_changed_there_has_one_content(repository: Repository, ours: str) -> None:
    """The old line comes back beside the new one; the stored content belongs to the one that was saved last."""
    repository.write(*named("a", "b", "c"))
    repository.branch("one")
    repository.write(
        facts.record("a"), facts.record("c"), structs.replace(facts.record("b"), id=ItemId("d"), output="out/d.md")
    )
    repository.branch("two", "main")
    changed = structs.replace(facts.record("b"), saved_at="2026-02-01", rev=2)
    repository.write(facts.record("a"), changed, facts.record("c"))
    repository.merge(ours, "two" if ours == "one" else "one")

    store = repository.open(write=True)
    assert {id_: record.content_id for id_, record in store.state.records.items()} == {
        "a": "cnt-a",
        "b": "cnt-b",
        "c": "cnt-c",
        "d": "",
    }
    store.note("save", structs.replace(store.state.records[A], saved_at="2026-02-02"))
    store.checkpoint()
    assert repository.open().state == store.state


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
        lock.add_rule(tmp_path, Disk())
        repository.commit()
        repository.merge("two", "one")
    else:
        kept = [line for line in repository.lines if line[:7] not in {"<<<<<<<", "=======", ">>>>>>>"}]
        (tmp_path / "contentops.lock").write_text("\n".join(kept))
    assert repository.open().state.records == {"a": A2, "b": facts.record("b"), "c": facts.record("c")}


def test_applies_of_two_environments_may_write_the_line_at_the_same_time(tmp_path: Path) -> None:
    """Neither takes away what the other is about to put in place."""
    attributes = tmp_path / ".gitattributes"

    def apply(_: int) -> bytes:
        together.wait()
        lock.add_rule(tmp_path, Disk())
        return attributes.read_bytes()

    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as environments:
        for _ in range(10):
            attributes.write_bytes(b"*.png binary\n")
            assert set(environments.map(apply, range(4))) == {f"*.png binary\n{lock.LINE}\n".encode()}
    assert [path.name for path in tmp_path.iterdir()] == [".gitattributes"]


# --- a journal that was not checkpointed meets another lock -------------------------------------------------


PAID = {"job-a-2": JobState.SETTLED, "job-b-2": JobState.RUNNING}


def states(store: StateStore) -> dict[str, JobState]:
    """The state of each job of the server."""
    return {job.job_id: job.state for job in store.state.jobs}


def killed_after_paying(repository: Repository) -> StateStore:
    """An apply that wrote `a` again and had a job for `b` running when it was killed."""
    store = repository.open(write=True)
    store.note("submit", facts.entry("a", generation=2, state=JobState.RUNNING))
    store.note("write", *facts.written("a", generation=2))
    store.note("submit", facts.entry("b", generation=2))
    store.close()
    return store


def test_a_pull_of_other_items_keeps_what_the_journal_says(repository: Repository) -> None:
    """The lines the journal started from are still there."""
    repository.write(*named("a", "b"))
    repository.branch("ci")
    repository.write(*named("a", "b", "c"))
    repository.git("checkout", "--quiet", "main")
    store = killed_after_paying(repository)
    repository.git("merge", "--quiet", "ci")

    state = repository.open().state
    assert state.records == {**store.state.records, ItemId("c"): facts.record("c")}
    assert state.jobs == store.state.jobs


def test_a_pull_of_the_same_item_wins_and_the_text_stays_paid(repository: Repository) -> None:
    """The pulled line counts, and what was paid here stays on the list."""
    repository.write(*named("a", "b"))
    repository.branch("ci")
    repository.write(facts.record("a", generation=3), facts.record("b"))
    repository.git("checkout", "--quiet", "main")
    killed_after_paying(repository)
    repository.git("merge", "--quiet", "ci")

    store = repository.open(write=True)
    assert store.state.records[A] == facts.record("a", generation=3)
    assert states(store) == PAID
    store.checkpoint()
    assert repository.open().state == store.state
    assert not store.journal_path.read_bytes()


def test_a_checkout_of_another_branch_and_back_changes_nothing(repository: Repository) -> None:
    """While away the lock wins; back on the branch, the journal holds again. What was paid is known on both."""
    repository.write(*named("b"))
    repository.branch("other")
    repository.git("checkout", "--quiet", "main")
    repository.write(*named("a", "b"))
    store = killed_after_paying(repository)

    repository.git("checkout", "--quiet", "other")
    away = repository.open()
    assert away.state.records == {"b": facts.record("b")}
    assert states(away) == PAID

    repository.git("checkout", "--quiet", "main")
    assert repository.open().state == store.state


def test_a_revert_under_the_journal_forgets_nothing_paid(repository: Repository) -> None:
    """The commit that brought the item is reverted: the item is new again, and its paid text answers it."""
    repository.write(*named("b"))
    repository.write(*named("a", "b"))
    killed_after_paying(repository)
    repository.git("revert", "--no-edit", "HEAD")

    store = repository.open()
    assert store.state.records == {"b": facts.record("b")}
    assert states(store) == PAID


def test_a_rename_under_a_pull_keeps_both_records(repository: Repository) -> None:
    """The forgotten id comes back with its change, and the new id stands: the content belongs to one of them."""
    repository.write(*named("a", "b"))
    repository.branch("ci")
    repository.write(structs.replace(facts.record("a"), saved_at="2026-02-01", rev=2), facts.record("b"))
    repository.git("checkout", "--quiet", "main")
    store = repository.open(write=True)
    store.note("rename", structs.replace(facts.record("a"), id=ItemId("c")), Forget(A))
    store.close()
    repository.git("merge", "--quiet", "ci")

    again = repository.open().state.records
    assert {id_: record.content_id for id_, record in again.items()} == {"a": "cnt-a", "b": "cnt-b", "c": ""}


def test_a_checkout_with_other_line_ends_is_the_same_lock(tmp_path: Path) -> None:
    """A clone that turns LF into CRLF folds the same journal into the same state."""
    repository = Repository(tmp_path, union=False)
    repository.write(*named("a", "b"))
    store = killed_after_paying(repository)
    repository.git("config", "core.autocrlf", "true")
    (tmp_path / "contentops.lock").unlink()
    repository.git("checkout", "--", "contentops.lock")

    assert b"\r\n" in (tmp_path / "contentops.lock").read_bytes()
    assert repository.open().state == store.state


def test_git_sees_nothing_of_the_folder(tmp_path: Path) -> None:
    """Without any `.gitignore` of the project, the journal is never offered for a commit."""
    repository = Repository(tmp_path, union=False)
    killed_after_paying(repository)

    assert repository.git("status", "--porcelain") == ""
