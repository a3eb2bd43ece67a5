"""The embedded server's store."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from contentops.server import EmbeddedServerError, contents, jobs
from contentops.server.jobs import GenerationRequest, StoredJob
from contentops.server.store import Clock, Store, StoreError
from tests.fakes.asgi import Bundled


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_store_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Folder, database, side files and runner locks can be read by no one else."""
    path = tmp_path / "deep" / "store" / "db"
    with Store(path) as store:
        lock = store.runner_lock()
        lock.acquire()
        jobs.submit(store, StoredJob(id="r", request=GenerationRequest(), created_at=1.0))
        assert _mode(path.parent) == 0o700
        files = [file for file in path.parent.rglob("*") if file.is_file()]
        assert len(files) >= 4
        assert {_mode(file) for file in files} == {0o600}
        assert _mode(tmp_path / "deep" / "store" / "db.runners") == 0o700
        lock.release()


def test_unusable_paths_say_what_to_do(tmp_path: Path) -> None:
    """A folder, a file in the way, a file that is no database and a pipe are refused by name, and keep their modes."""
    (tmp_path / "file").write_text("no database, but long enough to be read as the header of one" * 4)
    (tmp_path / "file").chmod(0o644)
    os.mkfifo(tmp_path / "pipe", 0o644)
    for name, words in {
        "": "choose another path", "file/db": "choose another path", "file": "choose another path",
        "pipe": "is not a regular file",
    }.items():  # fmt: skip
        with pytest.raises(StoreError, match=words) as caught:
            Store(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert isinstance(caught.value, EmbeddedServerError)
    assert (_mode(tmp_path / "file"), _mode(tmp_path / "pipe")) == (0o644, 0o644)


@pytest.mark.parametrize(("is_ours", "statement", "words"), [
    (False, "CREATE TABLE theirs (x)", "another program"),
    (True, "PRAGMA user_version = 99", "newer release; upgrade"),
    (True, "PRAGMA user_version = 3", "earlier commit; move it away"),
])  # fmt: skip
def test_a_store_of_another_format_is_refused(tmp_path: Path, statement: str, words: str, *, is_ours: bool) -> None:
    """Of another program, of a later format, or of one that no release had: not one byte of it changes."""
    path = tmp_path / "db"
    if is_ours:
        Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(statement)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words):
        Store(path)
    assert path.read_bytes() == before


def test_a_write_without_room_leaves_the_store_usable(tmp_path: Path) -> None:
    """The write that finds the disk full tells so, and the next one, with room again, is made."""
    with Store(tmp_path / "db") as store:
        pages = store.rows("PRAGMA page_count")[0][0]
        store.run(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"), store.write():
            contents.save(store, contents.ContentChange(body="p" * 100_000), at=1.0)
        store.run("PRAGMA max_page_count = 1000000")
        with store.write():
            contents.save(store, contents.ContentChange(title="small"), at=1.0)
        assert [row["title"] for row in contents.entries(store)] == ["small"]


def test_contents_that_are_gone_cannot_be_changed(tmp_path: Path) -> None:
    """Updating or removing an unknown content says so instead of making one."""
    with Store(tmp_path / "db") as store:
        with pytest.raises(LookupError):
            contents.save(store, contents.ContentChange(id="none"), at=1.0)
        contents.remove(store, "none")
        assert contents.counts(store)["total"] == 0


def test_a_runner_that_left_no_trace_is_dead(tmp_path: Path) -> None:
    """A runner without a lock file is gone; the owner of a store without jobs leaves nothing behind."""
    with Store(tmp_path / "db") as store:
        assert not store.runner_lock().alive("0" * 32)
        assert not (tmp_path / "db.runners").exists()
    with Store() as store:
        lock = store.runner_lock()
        assert lock.alive(lock.id)
        assert not lock.alive("another")


def test_many_processes_write_to_one_store(tmp_path: Path, processes: None) -> None:
    """Four processes that open a new one at once and submit the same ids make each job exactly once."""
    script = (
        "import sys\n"
        "from contentops.server.jobs import GenerationRequest, StoredJob, submit\n"
        "from contentops.server.store import Store\n"
        "job = lambda n: StoredJob(id=f'r{n}', request=GenerationRequest(), created_at=1.0)\n"
        "with Store(sys.argv[1]) as store:\n"
        "    print(sum(submit(store, job(n))[1] for n in range(40)))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "db")], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    printed = [process.communicate()[0] for process in started]
    assert ([process.returncode for process in started], sum(map(int, printed))) == ([0, 0, 0, 0], 40)
    with Store(tmp_path / "db") as store:
        assert (len(jobs.unfinished(store)), store.rows("PRAGMA integrity_check")[0][0]) == (40, "ok")


def test_each_mode_has_its_price() -> None:
    """Quick costs 1, standard 4, premium 5; a completed job is charged once, a failed one not at all."""
    with Store() as store:
        for number, mode in enumerate(("quick", "standard", "premium", "premium")):
            new = StoredJob(id=f"r{number}", request=GenerationRequest(mode=mode), created_at=1.0)
            job, _ = jobs.submit(store, new)
            for _ in range(2):
                with contextlib.suppress(jobs.JobLostError):
                    if number == 3:
                        jobs.fail(store, job, "no", 2.0)
                    else:
                        jobs.complete(store, job, contents.ContentChange, 2.0 + number)
        prices = {"premium": 5, "quick": 1, "standard": 4}
        by_mode = {mode: {"generations": 1, "credits": credits_} for mode, credits_ in prices.items()}
        assert jobs.usage(store) == {"used": 10, "generations": 3, "by_mode": by_mode}
        assert jobs.counts(store) == {"total": 4, "completed": 3, "failed": 1, "in_progress": 0}


def test_the_eleventh_request_in_a_minute_is_refused_in_both_shapes(bundled: Bundled) -> None:
    """A limit says how long to wait; a minute later it goes on. Health is not counted, nor is a wrong key."""
    at = [1_780_000_000.0]
    server = bundled(key="k-1", requests_per_minute=10, clock=Clock(now=lambda: at[0]))
    headers = {"Authorization": "Bearer k-1"}
    for number in range(10):
        at[0] += 1
        assert server.get("/v1/content", headers).status == 200, number
    refused = server.get("/v1/content", headers)
    assert (refused.status, refused.headers["retry-after"]) == (429, "51")
    message = "Rate limit exceeded: 10 per 1 minute"
    assert refused.json == {"error": {"code": "rate_limit_exceeded", "message": message}}
    assert server.get("/api/content", headers).json == {"error": message}
    assert server.get("/v1/health", headers).status == 200
    assert server.get("/v1/content", {"Authorization": "Bearer wrong"}).status == 401
    at[0] += 51
    assert server.get("/v1/content", headers).status == 200
    assert server.get("/v1/content", headers).status == 429


def test_contents_come_in_pages(bundled: Bundled) -> None:
    """`page` and `limit` give a part, newest first; without them a thousand contents."""
    server = bundled()
    for number in range(5):
        server.post("/v1/content/save", {"title": f"T{number}"})
    listed = server.get("/v1/content?page=2&limit=2").json
    assert [entry["title"] for entry in listed["content"]] == ["T2", "T1"]
    assert (listed["page"], listed["limit"], listed["stats"]["total"]) == (2, 2, 5)
    first = server.get("/v1/content").json
    assert (len(first["content"]), first["page"], first["limit"]) == (5, 1, 1000)
    wrong = server.get("/api/content?page=x").json
    assert wrong["detail"][0]["loc"] == ["query", "page"]
