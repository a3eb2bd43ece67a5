"""The embedded server's store: what holds for each kind of it, and what for a file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from contentops.server import EmbeddedServerError, accounts, contents, jobs
from contentops.server.accounts import KeyRing
from contentops.server.database import StoreError
from contentops.server.jobs import GenerationRequest, StoredJob
from contentops.server.store import Clock, iso, open_store


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=["file", "database"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store is: what the tests say of it holds for each kind."""
    return tmp_path / "store" / "db" if request.param == "file" else str(request.getfixturevalue("database"))


def test_store_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Folder, database, side files and runner locks can be read by no one else."""
    path = tmp_path / "deep" / "store" / "db"
    with open_store(path) as store:
        lock = store.runner_lock()
        lock.acquire()
        jobs.submit(store, StoredJob(id="r", request=GenerationRequest(), created_at=1.0))
        assert _mode(path.parent) == 0o700
        files = [file for file in path.parent.rglob("*") if file.is_file()]
        assert len(files) >= 4
        assert {_mode(file) for file in files} == {0o600}
        assert _mode(tmp_path / "deep" / "store" / "db.runners") == 0o700
        lock.release()


def test_a_readable_file_is_closed_to_others(tmp_path: Path) -> None:
    """An older file with wide permissions is narrowed when it is opened."""
    path = tmp_path / "db"
    open_store(path).close()
    path.chmod(0o644)
    open_store(path).close()
    assert _mode(path) == 0o600


def test_unusable_paths_say_what_to_do(tmp_path: Path) -> None:
    """A folder, a file in the way and a file that is no database are refused by name."""
    (tmp_path / "file").write_text("no database, but long enough to be read as the header of one" * 4)
    (tmp_path / "file").chmod(0o644)
    for path in (tmp_path, tmp_path / "file" / "db", tmp_path / "file"):
        with pytest.raises(StoreError, match="choose another path") as caught:
            open_store(path)
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, EmbeddedServerError)
    assert _mode(tmp_path / "file") == 0o644


def test_a_device_is_no_store_and_stays_as_it_is(tmp_path: Path) -> None:
    """Its mode would be changed for everyone; a pipe stands for one here."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o644)
    with pytest.raises(StoreError, match="is not a regular file"):
        open_store(path)
    assert _mode(path) == 0o644


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    """A database that is not ours is refused and not one byte of it changes."""
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("version", "words"), [(99, "newer release; upgrade"), (2, "earlier commit; move it away")])
def test_a_store_of_another_format_is_refused(tmp_path: Path, version: int, words: str) -> None:
    """Of a later one, or of one that no release had: it is not touched, and the message says what to do."""
    path = tmp_path / "db"
    with open_store(path) as store:
        store.run(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words):
        open_store(path)
    assert path.read_bytes() == before


def test_a_failed_write_changes_nothing(location: Path | str) -> None:
    """What happened in a transaction before an exception is undone."""
    with open_store(location) as store:
        with contextlib.suppress(ZeroDivisionError), store.write():
            store.run("INSERT INTO keys (id, digest, plan, created_at) VALUES ('k', 'd', 'p', 1)")
            raise ZeroDivisionError
        assert store.rows("SELECT * FROM keys") == []


def test_a_write_without_room_leaves_the_store_usable(tmp_path: Path) -> None:
    """The write that finds the disk full tells so, and the next one, with room again, is made."""
    insert = "INSERT INTO keys (id, digest, plan, created_at) VALUES (?, ?, ?, 1)"
    with open_store(tmp_path / "db") as store:
        pages = store.rows("PRAGMA page_count")[0][0]
        store.run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"), store.write():
            store.run(insert, ("big", "d", "p" * 100_000))
        store.run("PRAGMA max_page_count = 1000000")
        with store.write():
            store.run(insert, ("small", "e", "p"))
        assert [row["id"] for row in store.rows("SELECT id FROM keys")] == ["small"]


def test_contents_that_are_gone_cannot_be_changed(location: Path | str) -> None:
    """Updating or removing an unknown content says so instead of making one."""
    with open_store(location) as store:
        with pytest.raises(LookupError):
            contents.save(store, contents.ContentChange(id="none"), owner="", at=1.0)
        contents.remove(store, contents.ContentRow(id="none", owner="", created_at=1.0, updated_at=1.0), 1.0)
        assert contents.counts(store, "", "")["total"] == 0
        assert store.rows("SELECT * FROM contents") == store.rows("SELECT * FROM versions") == []


def test_a_runner_that_left_no_trace_is_dead(tmp_path: Path) -> None:
    """A runner without a lock file is gone; the owner of a store without jobs leaves nothing behind."""
    with open_store(tmp_path / "db") as store:
        assert not store.runner_lock().alive("0" * 32)
        assert not (tmp_path / "db.runners").exists()
    with open_store() as store:
        lock = store.runner_lock()
        assert lock.alive(lock.id)
        assert not lock.alive("another")


def test_many_processes_write_to_one_store(location: Path | str) -> None:
    """Four processes that open a new one at once and submit the same ids make each job exactly once."""
    script = (
        "import sys\n"
        "from contentops.server.jobs import GenerationRequest, StoredJob, submit\n"
        "from contentops.server.store import open_store\n"
        "job = lambda n: StoredJob(id=f'r{n}', request=GenerationRequest(), created_at=1.0, idempotency_key=f'k{n}')\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    print(sum(submit(store, job(n))[1] for n in range(40)))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(location)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    assert sum(map(int, printed)) == 40
    with open_store(location) as store:
        assert len(jobs.unfinished(store)) == 40
        assert isinstance(location, str) or store.rows("PRAGMA integrity_check")[0][0] == "ok"


def test_a_submission_survives_the_store(location: Path | str) -> None:
    """What was asked for comes back as it was, and equal asks have equal fingerprints."""
    generation = GenerationRequest(
        template="t", style="s", mode="quick", inputs={"b": [1, {"x": None}], "a": "ü"}, vertical="legal"
    )
    same = GenerationRequest(
        vertical="legal", inputs={"a": "ü", "b": [1, {"x": None}]}, mode="quick", style="s", template="t"
    )
    with open_store(location) as store:
        wanted = StoredJob(id="r", request=generation, created_at=5.0, owner="o", key_id="key", idempotency_key="k")
        wanted_now = replace(wanted, number=1)
        assert jobs.submit(store, wanted) == (wanted_now, True)
        job = jobs.find(store, "r", "key")
        assert job == wanted_now
        assert job.request == generation
        assert job.request.fingerprint == same.fingerprint
        assert (job.owner, job.key_id, job.created_at, job.open) == ("o", "key", 5.0, True)


def test_each_mode_has_its_price(location: Path | str) -> None:
    """Quick costs 1, standard 4, premium 5; charging a job twice charges it once."""
    with open_store(location) as store:
        for mode in ("quick", "standard", "premium", "premium"):
            with store.write():
                jobs.charge(store, f"job-{mode}", "", GenerationRequest(mode=mode), 1.0)
        assert accounts.usage(store) == {
            "used": 10,
            "generations": 3,
            "by_mode": {
                "premium": {"generations": 1, "credits": 5},
                "quick": {"generations": 1, "credits": 1},
                "standard": {"generations": 1, "credits": 4},
            },
        }
        assert [entry["credits"] for entry in accounts.history(store)] == [5, 4, 1]


def test_times_sort_as_text() -> None:
    """Two moments within a second keep their order as text."""
    assert iso(1_780_000_000.0) == "2026-05-28T20:26:40.000000Z"
    assert iso(1_780_000_000.25) < iso(1_780_000_000.5)


def test_a_key_is_seen_once(location: Path | str) -> None:
    """The store holds a fingerprint of the key, never its text; a key works until it is revoked."""
    with open_store(location) as store:
        ring = KeyRing(store, clock=Clock(now=lambda: 7.0))
        needed = [ring.required]
        key = ring.create_key("enterprise")
        assert [*needed, ring.required] == [False, True]
        file = ring.check(key)
        assert file is not None
        assert (file.plan, file.created_at, file.revoked_at) == ("enterprise", 7.0, None)
        assert ring.check(key + "x") is ring.check("\udcff") is None
        assert ring.revoke(file.id)
        assert not ring.revoke(file.id)
        assert ring.check(key) is None
        assert [entry.revoked_at for entry in ring.issued()] == [7.0]
        assert ring.required
        assert key not in repr([tuple(row) for row in store.rows("SELECT * FROM keys")])
    if isinstance(location, Path):
        assert key.encode() not in b"".join(file.read_bytes() for file in location.parent.iterdir())
