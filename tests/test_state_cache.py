"""The cache: it may be lost, must not lie, cannot run what someone planted, and never loses a paid text silently."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from contentops.digest import Digest
from contentops.documents.clean import body_digest
from contentops.errors import StateError
from contentops.model import text_digest
from contentops.state.cache import Cache

BODY, OTHER = "# Body\n\n\u00e4 \U0001f600 \0 \x1b[31m\n", "other\n"
ONE, TWO = body_digest(BODY), body_digest(OTHER)
FRONT = {"summary": "All of it", "tags": ["x"]}
posix = pytest.mark.skipif(os.name == "nt", reason="modes and links of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a project keeps its cache; not there yet."""
    return tmp_path / ".contentops" / "cache"


def keep(cache: Cache, body: str = BODY) -> None:
    """Put a paid text into the cache."""
    cache.put_text(body, FRONT, item="a")


def kept(folder: Path) -> None:
    """Put one text into the cache."""
    with Cache(folder) as cache:
        keep(cache)


def texts_in(cache: Cache) -> set[Digest]:
    """Which of two texts are there."""
    return {digest for digest in (ONE, TWO) if cache.body(digest) is not None}


def texts(folder: Path) -> set[Digest]:
    """The same, of a new reader."""
    with Cache(folder, write=False) as cache:
        return texts_in(cache)


def change(folder: Path, sql: str, *values: object) -> None:
    """Do something to the database behind the cache's back."""
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        connection.execute(sql, values)


def test_texts_come_back_as_they_were(folder: Path) -> None:
    """By the digest of their body, in this run and the next, each once, with the front matter that came along."""
    with Cache(folder) as cache:
        assert cache.body(ONE) is None
        keep(cache)
        cache.put_text(OTHER, {}, item="b")
        cache.put_text(OTHER, {}, item="c")
        assert (cache.body(ONE), cache.problem) == (BODY, "")

    with Cache(folder) as cache:
        assert (cache.body(ONE), cache.body(TWO)) == (BODY, OTHER)
        assert (cache.front(ONE), cache.front(TWO)) == (FRONT, {})
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("SELECT count(*) FROM Cache WHERE value LIKE '%other%'").fetchone() == (1,)


def test_words_that_someone_changed_in_the_cache_are_no_text(folder: Path) -> None:
    """A row counts only if its words have the digest by which it is asked for: no other words reach a file."""
    decided = text_digest("Title", ONE)
    with Cache(folder) as cache:
        keep(cache)
        cache.keep_decided("Title", BODY)
        assert (cache.body(ONE), cache.decided(decided)) == (BODY, ("Title", BODY))
    change(folder, "UPDATE Cache SET value = replace(value, 'Body', 'Lies')")
    with Cache(folder) as cache:
        assert (cache.body(ONE), cache.decided(decided)) == (None, None)


@posix
def test_only_the_owner_can_read_it(folder: Path) -> None:
    """The folder is 0700 and the files 0600, also while it is open and also if the folder was there before."""
    folder.mkdir(parents=True, mode=0o755)
    with Cache(folder) as cache:
        keep(cache)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert (folder.parent / ".gitignore").read_text() == "*\n"


def test_reading_makes_nothing(folder: Path) -> None:
    """A cache for reading makes no folder and leaves no side files, and refuses to keep a text."""
    with Cache(folder, write=False) as cache:
        assert cache.body(ONE) is None
        assert texts_in(cache) == set()
        cache.remember("a", "b")
        assert cache.recall("a", str) is None
        cache.keep_body(ONE, "x")
        with pytest.raises(StateError, match="opened for reading only"):
            keep(cache)
    assert not folder.parent.exists()

    kept(folder)
    with Cache(folder, write=False) as cache:
        assert cache.body(ONE) == BODY
    assert [path.name for path in folder.iterdir()] == ["cache.db"]


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_is_read_only_counts_as_empty(folder: Path) -> None:
    """The library writes when it opens a cache, so one that it may not write is not used."""
    kept(folder)
    (folder / "cache.db").chmod(0o400)
    for write in (False, True):
        with Cache(folder, write=write) as cache:
            assert cache.body(ONE) is None
            assert cache.problem == "permission denied"


def test_a_folder_that_is_deleted_is_noticed(folder: Path) -> None:
    """A text must not go into a file without a name: the first one is refused, and the next goes into a new folder."""
    with Cache(folder) as cache:
        keep(cache)
        shutil.rmtree(folder)
        with pytest.raises(StateError, match="it was deleted while it was in use"):
            keep(cache, OTHER)
        keep(cache, OTHER)
        assert texts_in(cache) == {TWO}

    assert texts(folder) == {TWO}


def test_a_killed_writer_leaves_what_it_kept(folder: Path, processes: None) -> None:
    """A text is durable when `put_text` returns, and the next process reads it from the log SQLite left."""
    code = (
        "import os, sys; from pathlib import Path; from contentops.state.cache import Cache;"
        f"c = Cache(Path(sys.argv[1])); c.put_text({OTHER!r}, {{}}, item='a'); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], check=False)

    assert done.returncode == 9
    for write in (False, True):
        with Cache(folder, write=write) as cache:
            assert (texts_in(cache), cache.problem) == ({TWO}, "")


# --- a cache in trouble ------------------------------------------------------------------------------------


def test_a_corrupt_database_degrades(folder: Path) -> None:
    """Reads give nothing and say why; a paid text that cannot be kept is an error that names the way out."""
    folder.mkdir(parents=True)
    (folder / "cache.db").write_bytes(b"not a database at all, but long enough to be looked at" * 30)

    with Cache(folder) as cache:
        assert cache.body(ONE) is None
        assert texts_in(cache) == set()
        assert cache.recall("x", str) is None
        assert cache.problem == "file is not a database"
        cache.remember("x", "y")
        cache.remember("durations", {})
        with pytest.raises(StateError, match="paid text of item `a` cannot be written") as caught:
            keep(cache)
    assert caught.value.code == "text-not-kept"
    assert f"delete {folder}" in caught.value.hint

    shutil.rmtree(folder)
    kept(folder)
    assert texts(folder) == {ONE}


def test_a_full_disk_is_said_when_a_text_is_paid(folder: Path) -> None:
    """SQLite's own limit stands for a full disk."""
    kept(folder)
    with Cache(folder) as cache:
        keep(cache)
        library = cache._opened
        assert library is not None
        library._sql("PRAGMA max_page_count = 20")
        with pytest.raises(StateError, match="full"):
            keep(cache, "x" * 500_000)
        cache.keep_body(TWO, OTHER)
    assert texts(folder) == {ONE, TWO}


@posix
def test_links_and_variables_are_refused(folder: Path, tmp_path: Path) -> None:
    """Neither the cache nor its parent may lead elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(outside)
    with Cache(folder) as cache, pytest.raises(StateError, match="symbolic link"):
        keep(cache)
    with Cache(folder, write=False) as cache:
        assert cache.body(ONE) is None
        assert cache.problem == "`cache` is a symbolic link"

    (tmp_path / "root").mkdir()
    inner = tmp_path / "root" / ".contentops" / "cache"
    inner.parent.symlink_to(outside)
    with Cache(inner) as cache, pytest.raises(StateError, match=r"`\.contentops` is a symbolic link"):
        keep(cache)
    assert list(outside.iterdir()) == []
    # The library would put the variable's value there and write elsewhere.
    inner = tmp_path / "$HOME" / ".contentops" / "cache"
    inner.parents[1].mkdir()
    with Cache(inner) as cache, pytest.raises(StateError, match="would be read as a variable"):
        keep(cache)


# --- what someone planted ---------------------------------------------------------------------------------


def pickled(mark: Path) -> bytes:
    """A pickle that makes a file where it is loaded."""
    return f"cbuiltins\nopen\n(S{str(mark)!r}\nS'w'\ntR.".encode()


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", [None, "a.val", "../../secret"], ids=["row", "file", "file outside"])
def test_a_planted_value_is_a_miss(folder: Path, tmp_path: Path, mode: int, name: str | None) -> None:
    """A pickle in a row or a file, under any mode of diskcache; no file outside is read, or removed with the row."""
    mark, secret = tmp_path / "mark", tmp_path / "secret"
    secret.write_text(BODY)
    kept(folder)
    (folder / "a.val").write_bytes(pickled(mark))
    change(folder, "UPDATE Cache SET mode = ?, filename = ?, value = ?", mode, name, None if name else pickled(mark))

    with Cache(folder) as cache:
        assert cache.body(ONE) is None
        assert cache.problem == ""
        keep(cache)
        assert cache.body(ONE) == BODY
    assert (mark.exists(), secret.exists()) == (False, True)


def test_a_planted_key_is_not_run(folder: Path, tmp_path: Path) -> None:
    """A pickled key is skipped by every listing, also by diskcache's own ones."""
    mark = tmp_path / "mark"
    kept(folder)
    change(folder, "DELETE FROM Cache WHERE key LIKE 'front %'")
    change(folder, "UPDATE Cache SET raw = 0, key = ?", pickled(mark))
    change(folder, "INSERT INTO Cache (key, raw, mode, value) VALUES (?, 1, 1, 'x')", b"body " + ONE.encode())

    with Cache(folder) as cache:
        assert texts_in(cache) == set()
        keep(cache, OTHER)
        assert texts_in(cache) == {TWO}
        library = cache._opened
        assert library is not None
        for listing in (iter, reversed, library.__class__.iterkeys):
            assert list(listing(library)).count("") == 2
    assert not mark.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("disk_hook", "x"), ("sqlite_synchronous", "1; DROP TABLE Cache"), ("set", 1), (b"x", 1)],
    ids=["unknown-argument", "sql-in-a-pragma", "name-of-a-method", "no-text"],
)
def test_planted_settings_make_the_cache_unusable(folder: Path, key: object, value: object) -> None:
    """The library puts names and values of its settings into SQL and calls, so it fails; nothing else happens."""
    kept(folder)
    change(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)

    with Cache(folder) as cache:
        with pytest.raises(StateError, match="the paid text of item `a` cannot be written"):
            keep(cache)
        assert cache.body(ONE) is None
        assert cache.problem


def test_a_cache_that_is_not_there_loads_no_diskcache(folder: Path, processes: None) -> None:
    """Start-up: a command in a new project does not pay for what it does not need."""
    code = (
        "import sys; from pathlib import Path; from contentops.state.cache import Cache;"
        "c = Cache(Path(sys.argv[1]), write=False); assert c.body('x') is None; c.close();"
        "assert 'diskcache' not in sys.modules and 'sqlite3' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
