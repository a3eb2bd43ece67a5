"""The state on disk: durable when it says so, untouched when nothing happened, and whole after a kill anywhere."""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contentops.atomic_io import Disk
from contentops.digest import Digest
from contentops.errors import StateError
from contentops.model import ItemId, Job, JobState, Record, RequestId, State
from contentops.model.jobs import stage
from contentops.state import jobs, lock, state_dir
from contentops.state.codec import Drop, Fact, Forget, add_rules, line_of
from contentops.state.store import StateStore
from tests import state_facts as facts
from tests.fakes.api import Killed

A, B = ItemId("a"), ItemId("b")
posix = pytest.mark.skipif(os.name == "nt", reason="owners, modes and links of POSIX")


def opened(root: Path, *, write: bool = True, environment: str = "", disk: Disk | None = None) -> StateStore:
    """The store of project `acme` in `root`."""
    return StateStore(root, environment=environment, lineage=lambda: facts.LINEAGE, write=write, disk=disk)


def written(root: Path, *values: Record | Job) -> bytes:
    """A lock with these records, and jobs if there are any, on disk as a pull would leave them; returns the lock."""
    state = State(lineage=facts.LINEAGE, records={value.id: value for value in values if isinstance(value, Record)})
    data = facts.rendered(state)
    (root / "contentops.lock").write_bytes(data)
    if lines := sorted(line_of(value) for value in values if isinstance(value, Job)):
        (root / "contentops.jobs").write_bytes(jobs.join(facts.LINEAGE, lines))
    return data


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below `root` with its bytes and time of change."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_a_first_apply_leaves_lock_and_jobs_and_an_empty_journal(tmp_path: Path) -> None:
    """Lock, jobs, attributes for merging, and a folder that git does not see and its owner alone can read."""
    store = opened(tmp_path)
    assert (store.was_interrupted, store.lineage) == (False, facts.LINEAGE)

    store.note("submit", facts.job(state=JobState.SUBMITTING))
    store.flush()
    store.note("write", *facts.written(rev=0))
    assert store.checkpoint()
    store.close()

    assert sorted(tree(tmp_path)) == [
        ".contentops/.gitignore", ".contentops/jobs.jsonl", ".contentops/journal.jsonl", ".gitattributes",
        "contentops.jobs", "contentops.lock",
    ]  # fmt: skip
    assert sorted((tmp_path / ".gitattributes").read_text().splitlines()) == [
        "contentops*.jobs text eol=lf merge=union",
        "contentops*.lock text eol=lf merge=union",
    ]
    assert (tmp_path / ".contentops/.gitignore").read_text() == "*\n"
    assert (tmp_path / ".contentops/journal.jsonl").read_bytes() == b""
    if os.name != "nt":
        (tmp_path / "plain").write_text("")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
        assert (modes[".contentops"], modes["journal.jsonl"], modes["jobs.jsonl"]) == (0o700, 0o600, 0o600)
        assert modes["contentops.lock"] == modes["contentops.jobs"] == modes["plain"]
    assert opened(tmp_path, write=False).state == store.state
    assert (store.state.records, store.state.open_jobs) == ({"a": facts.record(rev=1)}, {})
    assert [(job.state, job.body, job.job_id) for job in store.state.jobs] == [
        (JobState.SETTLED, facts.record().generated, facts.job().job_id)
    ]


def test_jobs_without_a_lock_keep_the_lineage(tmp_path: Path) -> None:
    """It is part of every request id: under another one, what the jobs paid for would be ordered again."""
    (tmp_path / "contentops.jobs").write_bytes(jobs.join(facts.LINEAGE, [line_of(facts.job())]))
    store = StateStore(tmp_path, environment="", lineage=lambda: facts.LINEAGE[::-1], write=False)
    assert (store.lineage, store.is_first) == (facts.LINEAGE, False)


def test_nothing_happened_nothing_is_touched(tmp_path: Path) -> None:
    """A no-op apply changes no byte, no time, and makes no file, also where the lock waits to be healed."""
    once = facts.rendered(State(lineage=facts.LINEAGE, records={A: facts.record()}))
    (tmp_path / "contentops.lock").write_bytes(once + once.replace(b"About a", b"Other a"))
    before = tree(tmp_path)

    store = opened(tmp_path)
    store.note("write", store.state.records[A])
    store.note("drop", Drop(RequestId("unknown")), Forget(B))
    store.flush()
    assert not store.checkpoint()
    store.close()

    assert tree(tmp_path) == before


def test_reading_makes_nothing(tmp_path: Path) -> None:
    """A store for reading never writes; no environment has the name of another place, and no folder is made for one."""
    store = opened(tmp_path, write=False)
    for act in (store.flush, store.checkpoint, lambda: store.note("x", facts.record())):
        with pytest.raises(RuntimeError, match="for reading only"):
            act()
    store.close()
    for name in ("../x", "a/b", ".", "-x", "a\nb", "x" * 101):
        with pytest.raises(StateError, match="is not a valid name for an environment"):
            opened(tmp_path, environment=name)
    with pytest.raises(StateError, match="no such file or directory"):
        state_dir.make(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_the_revision_counts_checkpoints_not_steps(tmp_path: Path) -> None:
    """A run that was killed between two steps ends with the same revision as one that was not."""
    written(tmp_path, facts.record(rev=4))
    store = opened(tmp_path)
    store.note("write", facts.record(generation=2, rev=4))
    store.note("save", facts.record(generation=2, saved_at="2026-01-03", rev=4))
    store.flush()
    assert store.state.records[A].rev == 5

    again = opened(tmp_path)
    again.note("move", structs.replace(again.state.records[A], output="x.md"))
    again.checkpoint()
    assert again.state.records[A].rev == 5

    again.note("move", structs.replace(again.state.records[A], output="y.md"))
    assert again.state.records[A].rev == 6


def test_a_new_submit_gives_up_the_lost_one_of_its_request(tmp_path: Path) -> None:
    """It was perhaps paid for, and is on a line of its own."""
    store = opened(tmp_path)
    store.note("submit", facts.job(state=JobState.UNKNOWN))
    store.note("submit", facts.job(state=JobState.SUBMITTING, submitted_at="2026-01-02T00:00:00Z"))
    assert [(job.state, job.submitted_at[:10]) for job in store.state.jobs] == [
        (JobState.GIVEN_UP, "2026-01-01"), (JobState.SUBMITTING, "2026-01-02"),
    ]  # fmt: skip


def test_a_fact_that_can_not_be_written_is_refused_before_it_is_taken_in(tmp_path: Path) -> None:
    """Half a character in a title stops that note as a whole and leaves memory and journal as they were."""
    store = opened(tmp_path)

    for bad in (
        facts.record(title="\ud800"),
        facts.record(metadata={"a": float("nan")}),
        facts.record(metadata={"a": {1, 2}}),
        facts.job(error="\ud800"),
        Forget(ItemId("\ud800")),
    ):
        with pytest.raises(StateError, match="cannot be written down"):
            store.note("write", facts.record("b"), bad)
    store.close()

    assert (store.state.records, store.state.jobs, list(tmp_path.iterdir())) == ({}, (), [])


def test_what_is_healed_is_written_with_the_next_change(tmp_path: Path) -> None:
    """Healing alone writes nothing: one stored content belongs to the item that was saved last."""
    both = facts.record("a", content_id="c"), facts.record("b", content_id="c", saved_at="2026-01-08")
    data = written(tmp_path, *both)
    store = opened(tmp_path)

    assert [record.content_id for record in store.state.records.values()] == ["", "c"]
    assert not store.checkpoint()
    assert (tmp_path / "contentops.lock").read_bytes() == data
    store.note("save", facts.record("b", content_id="c", saved_at="2026-01-09"))
    store.checkpoint()
    assert opened(tmp_path, write=False).state == store.state
    assert data not in (tmp_path / "contentops.lock").read_bytes()
    assert store.state.records[A].content_id == ""


# --- someone else writes the lock meanwhile ----------------------------------------------------------------


def test_the_body_on_disk_settles_duplicates(tmp_path: Path) -> None:
    """The store asks for the body of the output, and only where two lines claim one id."""
    paths = []

    def body(path: str) -> Digest:
        paths.append(path)
        return facts.text("a 1")

    one = written(tmp_path, facts.record(generation=1), facts.record("b"))
    two = written(tmp_path, facts.record(generation=2))
    (tmp_path / "contentops.lock").write_bytes(one + two)

    store = StateStore(tmp_path, environment="", lineage=lambda: facts.LINEAGE, write=False, body_on_disk=body)

    assert (store.state.records[A], set(paths)) == (facts.record(generation=1), {"out/a.md"})


@pytest.mark.parametrize(("data", "words"), [
    pytest.param(None, "was removed during this apply", id="removed"),
    pytest.param(b"<<<<<<< HEAD\n", "was changed during this apply", id="merging"),
    pytest.param(b"\xff", "was changed during this apply", id="not-text"),
    pytest.param(facts.rendered(State(lineage=facts.LINEAGE)), "was changed during this apply", id="other"),
])  # fmt: skip
def test_a_lock_that_changed_under_a_run_is_left_as_it_is(tmp_path: Path, data: bytes | None, words: str) -> None:
    """Nothing is folded into it: the journal holds everything, and the next run decides."""
    good = written(tmp_path, facts.record("a"))
    store = opened(tmp_path)
    store.note("write", facts.record("a", generation=2))
    path = tmp_path / "contentops.lock"
    path.unlink() if data is None else path.write_bytes(data)

    for _ in range(2):
        with pytest.raises(StateError, match=words) as caught:
            store.checkpoint()
        assert caught.value.code == "lock-changed"
        assert "run `contentops apply` again" in caught.value.hint
        assert (path.read_bytes() if path.exists() else None) == data
    store.close()

    path.write_bytes(good)
    again = opened(tmp_path)
    assert again.state == store.state
    assert again.checkpoint()
    assert opened(tmp_path, write=False).state == store.state


# --- lines that no one changed -----------------------------------------------------------------------------


def with_more(line: bytes) -> bytes:
    """The line of a record with a key that this version does not know."""
    return line.replace(b'"dialect"', b'"definitions":{"style.manner":"c0ffee"},"dialect"')


def test_a_line_keeps_its_bytes_until_its_item_changes(tmp_path: Path) -> None:
    """Keys of other versions included, of records and of jobs, through any number of checkpoints."""
    values = (facts.record("a"), facts.record("b"), facts.job("c"), facts.job("e"))
    header, a, b, _ = written(tmp_path, *values).split(b"\n")
    path, list_ = tmp_path / "contentops.lock", tmp_path / "contentops.jobs"
    path.write_bytes(b"\n".join([header, with_more(a), with_more(b), b""]))
    list_.write_bytes(with_more(list_.read_bytes()))
    store = opened(tmp_path)
    store.note("write", facts.record("d"))
    store.checkpoint()
    store.note("save", facts.record("b", saved_at="2026-01-09"))
    store.checkpoint()

    lines = path.read_bytes().split(b"\n")
    assert lines[:2] == [header, with_more(a)]
    assert b"definitions" not in lines[2]
    assert list_.read_bytes().count(b"definitions") == 2
    with opened(tmp_path) as again:
        again.note("drop", Drop(facts.job("c").request_id))
        again.checkpoint()
    changed, kept = sorted(list_.read_bytes().split(b"\n")[1:3], key=len)
    assert kept == with_more(line_of(facts.job("e")).encode())
    assert b"definitions" not in changed
    assert path.read_bytes().split(b"\n") == lines


@pytest.mark.parametrize("count", [50, 400])
def test_a_checkpoint_handles_only_what_changed(tmp_path: Path, count: int) -> None:
    """However long lock and jobs: no function of ours is called once for each line, so that a long run is not quadratic."""
    names = [f"item-{number}" for number in range(count)]
    written(tmp_path, *map(facts.record, names), *map(facts.job, names))
    store = opened(tmp_path)
    store.note("write", facts.record("x"), facts.job("x"))
    store.checkpoint()
    calls = 0

    def count_calls(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call" and "contentops" in frame.f_code.co_filename

    sys.setprofile(count_calls)
    try:
        store.note("submit", facts.job("y", state=JobState.SUBMITTING))
        store.note("accepted", facts.job("y"))
        store.note("write", facts.record("y"))
        assert store.checkpoint()
    finally:
        sys.setprofile(None)
    assert calls < 300
    state = opened(tmp_path, write=False).state
    assert (len(state.records), len(state.jobs)) == (count + 2, count + 2)


# --- kills -------------------------------------------------------------------------------------------------


class Ram(Disk):
    """A disk in memory that dies at its `last` write, having done `cut` bytes of it, or all of it and no more."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}
        self.last = -1
        self.cut = 0
        self.writes = 0

    def read(self, path: Path) -> bytes | None:
        return self.files.get(path)

    def size(self, path: Path) -> int:
        return len(self.files.get(path, b""))

    def append(self, path: Path, data: bytes, at: int) -> None:
        part = data[: self.cut] if self._dying() else data
        self.files[path] = self.files.get(path, b"")[:at] + part
        self._die()

    def replace(self, path: Path, data: bytes, mode: int) -> None:
        del mode
        if not (self._dying() and self.cut % 2):
            self.files[path] = data
        self._die()

    def _dying(self) -> bool:
        return self.writes == self.last

    def _die(self) -> None:
        self.writes += 1
        if self.writes == self.last + 1:
            raise Killed


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that exists; its state files are in memory."""
    return tmp_path_factory.mktemp("ram")


acts = st.lists(
    st.lists(facts.facts, min_size=1, max_size=3) | st.sampled_from(["flush", "checkpoint"]), min_size=1, max_size=12
)


def act_on(store: StateStore, act: list[Fact] | str) -> None:
    """Does what a run does: notes facts, flushes or makes a checkpoint."""
    if isinstance(act, list):
        store.note("step", *act)
    else:
        store.flush() if act == "flush" else store.checkpoint()


def has(state: State, jobs: Sequence[Job]) -> bool:
    """Whether a state knows these jobs, as they were or further."""
    known = {(job.request_id, job.submitted_at): job for job in state.jobs}
    return all(
        (found := known.get((job.request_id, job.submitted_at))) is not None and stage(job) <= stage(found)
        for job in jobs
    )


@given(acts, st.integers(0, 14), st.integers(0, 3000))
def test_a_kill_anywhere_leaves_a_state_that_was(root: Path, acts: list[list[Fact] | str], last: int, cut: int) -> None:
    """The next run finds the records as they were after one of the notes since the last flush, and no job less."""
    disk = Ram()
    disk.last, disk.cut = last, cut
    store = opened(root, disk=disk)
    allowed = [store.state]
    try:
        for act in acts:
            act_on(store, act)
            allowed = [*allowed, store.state] if isinstance(act, list) else allowed[-1:]
        store.close()
        allowed = allowed[-1:]
    except Killed:
        pass

    disk.last = -1
    again = opened(root, disk=disk)
    assert again.state.records in [state.records for state in allowed]
    assert has(again.state, allowed[0].jobs)
    # A record that became durable settles its job, whatever else was lost.
    assert has(allowed[-1], [job for job in again.state.jobs if job.state is not JobState.SETTLED])
    again.checkpoint()
    assert opened(root, write=False, disk=disk).state == again.state
    assert not opened(root, write=False, disk=disk).was_interrupted
    disk.files.pop(root / "contentops.jobs", None)
    assert opened(root, write=False, disk=disk).state == again.state


@given(acts, acts, st.lists(st.lists(facts.facts, max_size=3), min_size=1, max_size=2))
def test_a_run_that_loses_its_lock_loses_nothing_paid(
    root: Path, before: list[list[Fact] | str], after: list[list[Fact] | str], theirs: list[list[Fact]]
) -> None:
    """Wherever a lock of someone else appears: the run stops, and the next one knows all its orders."""
    disk, other = Ram(), Ram()
    pulled = opened(root, disk=other)
    for group in theirs:
        pulled.note("pulled", *group)
    pulled.note("pulled", facts.record("z"))
    pulled.checkpoint()
    store = opened(root, disk=disk)
    for act in before:
        act_on(store, act)
    disk.files[store.lock_path] = other.files[store.lock_path]
    later: list[list[Fact] | str] = [*after, [facts.record("y")], "checkpoint"]
    with contextlib.suppress(StateError):
        for act in later:
            act_on(store, act)
    store.close()

    read_state = opened(root, write=False, disk=disk).state
    assert has(read_state, store.state.jobs)
    assert "z" in read_state.records


def test_every_kill_of_one_apply_ends_alike(root: Path) -> None:
    """One item from submit to save, killed at each write, whole or torn, and run again: the same lock and jobs."""

    def run(disk: Ram) -> tuple[bytes, bytes]:
        store = opened(root, disk=disk)
        if not store.state.records:
            if not store.state.open_jobs:
                store.note("submit", facts.job(state=JobState.SUBMITTING))
                store.flush()
            store.note("accepted", facts.job(state=JobState.RUNNING))
            store.flush()
            store.note("paid", facts.job(state=JobState.PAID))
            store.flush()
            store.note("write", facts.record(rev=0))
            store.flush()
        store.note("save", facts.record(saved_at="2026-01-02", rev=0))
        store.checkpoint()
        return disk.files[store.lock_path], disk.files[root / "contentops.jobs"]

    whole = Ram()
    wanted = run(whole)
    assert whole.writes > 6
    for last in range(whole.writes):
        for cut in (0, 1, 7, 200, 5000):
            disk = Ram()
            disk.last, disk.cut = last, cut
            with pytest.raises(Killed):
                run(disk)
            disk.last = -1
            assert run(disk) == wanted


def test_a_kill_between_lock_and_journal_and_then_a_pull_loses_nothing(tmp_path: Path) -> None:
    """The journal that was not emptied meets a lock that is not the one it was for."""
    written(tmp_path, facts.record("a"))
    store = opened(tmp_path)
    store.note("submit", facts.job("a", generation=2))
    store.note("write", *facts.written("a", generation=2))
    store.note("submit", facts.job("b"))
    store.flush()
    journal = store.journal_path.read_bytes()
    store.checkpoint()
    store.journal_path.write_bytes(journal)
    written(tmp_path, facts.record("a", generation=3))

    after = opened(tmp_path, write=False).state

    assert after.records == {"a": facts.record("a", generation=3)}
    assert {job.job_id: job.state for job in after.jobs} == {"job-a-2": JobState.SETTLED, "job-b-1": JobState.RUNNING}


# --- the disk ----------------------------------------------------------------------------------------------


class Full(Disk):
    """A disk that takes half of an append and then is full, once."""

    def __init__(self) -> None:
        self.full = False

    def append(self, path: Path, data: bytes, at: int) -> None:
        if self.full:
            self.full = False
            super().append(path, data[: len(data) // 2], at)
            message = "no space"
            raise StateError(message)
        super().append(path, data, at)


@pytest.mark.parametrize("noted", [facts.job, facts.record])
def test_a_full_disk_keeps_what_was_noted(tmp_path: Path, noted: Callable[[str], Fact]) -> None:
    """A refused flush says so, and the next one writes everything, in place of the torn half."""
    disk = Full()
    store = opened(tmp_path, disk=disk)
    store.note("submit", noted("a"))
    store.flush()
    disk.full = True
    store.note("submit", noted("b"))
    with pytest.raises(StateError, match="no space"):
        store.flush()
    store.note("submit", noted("c"))
    store.flush()

    assert opened(tmp_path, write=False).state == store.state
    assert len(store.state.open_jobs) + len(store.state.records) == 3


class NoJournal(Disk):
    """A disk on which the system refuses to write the journal."""

    def append(self, path: Path, data: bytes, at: int) -> None:
        if path.name == "journal.jsonl":
            message = "killed"
            raise StateError(message)
        super().append(path, data, at)


def test_a_text_is_recorded_before_the_file_that_has_it(tmp_path: Path) -> None:
    """After a kill between them, the text is paid for and in no file; its file would otherwise be no one's."""
    store = opened(tmp_path, disk=NoJournal())
    store.note("write", *facts.written())
    with pytest.raises(StateError, match="killed"):
        store.flush()
    state = opened(tmp_path, write=False).state
    assert ([job.state for job in state.jobs], state.records) == ([JobState.PAID], {})


LOCK, JOURNAL, FOLDER = "contentops.lock", ".contentops/journal.jsonl", ".contentops"
JOBS, KEPT = "contentops.jobs", ".contentops/jobs.jsonl"


@posix
@pytest.mark.parametrize(("place", "put", "words"), [
    (LOCK, lambda path: path.symlink_to("../outside"), "`contentops.lock` is a symbolic link"),
    (JOURNAL, lambda path: path.symlink_to("../../outside"), "`journal.jsonl` is a symbolic link"),
    (JOBS, lambda path: path.symlink_to("../outside"), "`contentops.jobs` is a symbolic link"),
    (KEPT, lambda path: path.symlink_to("../../outside"), "`jobs.jsonl` is a symbolic link"),
    (JOBS, os.mkfifo, "is not a file"),
    (LOCK, os.mkfifo, "is not a file"),
    (LOCK, Path.mkdir, "is not a file"),
    (FOLDER, lambda path: path.symlink_to("../outside"), "`.contentops` is a symbolic link"),
    (FOLDER, lambda path: path.symlink_to("nowhere"), "`.contentops` is a symbolic link"),
    (FOLDER, Path.touch, "is not a folder"),
])  # fmt: skip
def test_unsafe_state_files_and_folders_are_refused(
    tmp_path: Path, place: str, put: Callable[[Path], object], words: str
) -> None:
    """A link could make us read or write outside the project, and reading a pipe would wait for ever."""
    root = tmp_path / "root"
    (tmp_path / "outside").mkdir()
    (root / place).parent.mkdir(parents=True)
    put(root / place)
    with pytest.raises(StateError, match=words):
        opened(root, write=False)


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Whoever owns the folder could plant facts and texts in it."""
    (tmp_path / ".contentops").mkdir()
    os.chown(tmp_path / ".contentops", 12345, 12345)

    with pytest.raises(StateError, match="belongs to another user"):
        opened(tmp_path, write=False)


@posix
@pytest.mark.parametrize("target", ["mine", "nowhere"])
def test_files_for_git_are_written_through_no_link(tmp_path: Path, target: str) -> None:
    """A file takes the place of a link that would let git in; linked attributes, which git passes over, are left."""
    (tmp_path / "mine").write_text("words\n")
    (tmp_path / ".contentops").mkdir()
    (tmp_path / ".contentops/.gitignore").symlink_to(tmp_path / target)
    (tmp_path / ".gitattributes").symlink_to(tmp_path / target)
    add_rules(tmp_path, Disk(), (lock.FORMAT,))
    state_dir.make(tmp_path)
    ignore = tmp_path / ".contentops/.gitignore"
    assert (ignore.is_symlink(), ignore.read_text()) == (False, "*\n")
    assert (tmp_path / "mine").read_text() == "words\n"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is denied to root")
def test_a_folder_that_takes_no_files_is_named(tmp_path: Path) -> None:
    """Where `.contentops` itself is read-only, that folder is what to look at."""
    (tmp_path / ".contentops").mkdir(mode=0o500)
    with pytest.raises(StateError, match="cannot write in") as caught:
        state_dir.make(tmp_path)
    assert str(tmp_path / ".contentops") in str(caught.value.hint)


@posix
def test_refusals_of_the_system_are_said_in_words(tmp_path: Path) -> None:
    """Each failing call names the file and the reason."""
    disk = Disk()
    missing = tmp_path / "no" / "where"

    with pytest.raises(StateError, match="cannot write `where`: no such file or directory"):
        disk.append(missing, b"x", 0)
    with pytest.raises(StateError, match="cannot write `where`: no such file or directory"):
        disk.replace(missing, b"x", 0o600)
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot read `x`: not a directory"):
        disk.read(tmp_path / "file" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError, match="cannot write `folder`: is a directory") as caught:
        disk.replace(tmp_path / "folder", b"x", 0o600)
    assert caught.value.hint.startswith("move the folder")
    assert (sorted(path.name for path in tmp_path.iterdir()), disk.size(missing)) == (["file", "folder"], 0)


def test_a_failed_append_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Where the system takes only a part, the part is taken back."""
    path = tmp_path / "journal"
    path.write_bytes(b"good\n")
    limit = pytest.importorskip("resource")
    before = limit.getrlimit(limit.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        limit.setrlimit(limit.RLIMIT_FSIZE, (9, before[1]))
        with pytest.raises(StateError, match="cannot write `journal`: file too large"):
            Disk().append(path, b"more than fits\n", 5)
    finally:
        limit.setrlimit(limit.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_bytes() == b"good\n"
