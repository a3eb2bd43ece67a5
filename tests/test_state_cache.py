"""The cache: it may be lost, must not lie, cannot run what someone planted, and never loses a paid text silently."""

import os
import pickle
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import structs

from contentops.digest import Digest, canonical, digest_text
from contentops.documents.clean import body_digest
from contentops.errors import StateError
from contentops.state.cache import Cache, StoredText

SERVER = "https://api.example.com:443"
ONE, TWO = digest_text("one"), digest_text("two")
TEXT = StoredText(
    title="Title", body="# Body\n\nä \U0001f600 \0 \x1b[31m\n", content_id="cnt", job_id="job", request_id="r",
    item="a", credits=4, generated_at="2026-01-01T00:00:00Z",
)  # fmt: skip
posix = pytest.mark.skipif(os.name == "nt", reason="modes and links of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a project keeps its cache; not there yet."""
    return tmp_path / ".contentops" / "cache"


def kept(folder: Path) -> None:
    """Put one text into the cache."""
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)


def texts_for(cache: Cache, server: str) -> set[Digest]:
    """The request digests of a server's paid texts."""
    return {one.digest for one in cache.paid_texts() if one.server == server}


def texts(folder: Path, server: str = SERVER) -> set[Digest]:
    """The digests of the texts that a new reader finds."""
    with Cache(folder, write=False) as cache:
        return texts_for(cache, server)


def cached_text(folder: Path) -> StoredText | None:
    """What a new reader finds for the first digest."""
    with Cache(folder, write=False) as cache:
        return cache.get_text(SERVER, ONE, "r")


def change(folder: Path, sql: str, *values: object) -> None:
    """Do something to the database behind the cache's back."""
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        connection.execute(sql, values)


def test_texts_come_back_as_they_were(folder: Path) -> None:
    """By server and digest, in this run and the next, whatever others hold."""
    with Cache(folder) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        cache.put_text(SERVER, ONE, TEXT)
        assert cache.get_text(SERVER, ONE, "r") == TEXT
        assert cache.get_text("local", ONE, "r") is None
        cache.put_text(SERVER, ONE, structs.replace(TEXT, body="new"))
        cache.put_text(SERVER, TWO, TEXT)
        cache.put_text("local", TWO, TEXT)
        assert cache.problem == ""

    with Cache(folder) as cache:
        assert cache.get_text(SERVER, ONE, "r") == structs.replace(TEXT, body="new")
        assert (texts_for(cache, SERVER), texts_for(cache, "local")) == ({ONE, TWO}, {TWO})
        assert texts_for(cache, "https://api.example.com:44") == set()


def test_a_text_is_kept_once_and_so_are_those_before_it(folder: Path) -> None:
    """Its words stand in one row, whatever asks for them; another text of the same request takes no one's place."""
    second = structs.replace(TEXT, body="second\n", request_id="r2", generated_at="2026-02-01T00:00:00Z")
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)
        cache.put_text(SERVER, ONE, second)
        cache.put_text(SERVER, ONE, second)
        cache.put_text(SERVER, TWO, structs.replace(TEXT, item="b"))
    with Cache(folder, write=False) as cache:
        cached_text = [(one.digest, one.body, one.about.item, one.about.request_id) for one in cache.paid_texts()]
        assert sorted(cached_text) == sorted(
            [
                (ONE, body_digest(TEXT.body), "a", "r"),
                (ONE, body_digest(second.body), "a", "r2"),
                (TWO, body_digest(TEXT.body), "b", "r"),
            ]
        )
        assert (cache.get_text(SERVER, ONE, "r"), cache.get_text(SERVER, ONE, "r2")) == (TEXT, second)
        assert cache.get_text(SERVER, TWO, "r2") is None
        assert cache.body(body_digest(TEXT.body)) == TEXT.body
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("SELECT count(*) FROM Cache WHERE value LIKE '%second%'").fetchone() == (1,)


@pytest.mark.parametrize("inline", [False, True], ids=["body of its own", "body in the row"])
def test_texts_of_an_earlier_version_are_listed(folder: Path, *, inline: bool) -> None:
    """Their rows had no request id in their names, and in the first versions the words in them, and no model."""
    kept(folder)
    change(folder, "UPDATE Cache SET key = ? WHERE key LIKE 'text %'", f"text {SERVER} {ONE}")
    if inline:
        old = canonical({key: value for key, value in structs.asdict(TEXT).items() if key != "model"})
        change(folder, "UPDATE Cache SET value = ? WHERE key LIKE 'text %'", old)
    with Cache(folder) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        (text,) = cache.paid_texts()
        assert text.about == structs.replace(TEXT, body=TEXT.body if inline else "", model="" if inline else TEXT.model)
        assert (text.server, text.digest, text.body) == (SERVER, ONE, body_digest(TEXT.body))


def test_what_is_dropped_takes_no_words_of_another(folder: Path) -> None:
    """The words go with the last text that has them."""
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)
        cache.put_text(SERVER, TWO, TEXT)
        for digest, kept in ((ONE, TEXT.body), (TWO, None)):
            cache.drop_texts([one for one in cache.paid_texts() if one.digest == digest])
            assert cache.get_text(SERVER, digest, "r") is None
            assert cache.body(body_digest(TEXT.body)) == kept
        assert cache.paid_texts() == ()


def test_other_values_come_back(folder: Path) -> None:
    """Facts and values that save time, each under a name of its own."""
    with Cache(folder) as cache:
        assert cache.learned("durations") == {}
        assert cache.recall("looked at", dict[str, int]) is None
        cache.remember("looked at", {"a": 1})
        cache.learn("durations", {"blog standard": [1.5, 2]})
        cache.put({"key": "value"})
        assert cache.get("key") == "value"

    with Cache(folder, write=False) as cache:
        assert cache.recall("looked at", dict[str, int]) == {"a": 1}
        assert cache.recall("looked at", dict[str, str]) is None
        assert (cache.learned("durations"), cache.get("key")) == ({"blog standard": [1.5, 2]}, "value")
        assert cache.get("other") is None
        assert (texts_for(cache, SERVER), cache.problem) == (set(), "")


def test_big_values_stay_in_the_database(folder: Path) -> None:
    """Nothing is put into files of its own, whatever its size, and nothing is thrown out to make room."""
    with Cache(folder) as cache:
        for number in range(30):
            cache.put_text(SERVER, digest_text(str(number)), structs.replace(TEXT, body="x" * 300_000))
        cache.put({"a": "y" * (9 << 20)})
        assert len(texts_for(cache, SERVER)) == 30

    assert {path.name for path in folder.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_values_that_only_save_time_are_deleted_after_a_week(folder: Path) -> None:
    """Those that no plan asks for any more do not pile up; paid texts stay."""
    kept(folder)
    with Cache(folder) as cache:
        cache.put({str(number): "x" for number in range(5)})
        cache.put_text(SERVER, TWO, TEXT)
    change(folder, "UPDATE Cache SET expire_time = expire_time - ?", 7 * 24 * 3600 + 1)

    with Cache(folder) as cache:
        assert cache.get("0") is None
        cache.put({"new": "x"})
        assert (cache.get("new"), texts_for(cache, SERVER)) == ("x", {ONE, TWO})
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("SELECT key FROM Cache WHERE key LIKE 'saved %'").fetchall() == [("saved new",)]


@posix
def test_only_the_owner_can_read_it(folder: Path) -> None:
    """The folder is 0700 and the files 0600, also while it is open and also if the folder was there before."""
    folder.mkdir(parents=True, mode=0o755)
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert (folder.parent / ".gitignore").read_text() == "*\n"


def test_reading_makes_nothing(folder: Path) -> None:
    """A cache for reading makes no folder and leaves no side files, and refuses to keep a text."""
    with Cache(folder, write=False) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        assert texts_for(cache, SERVER) == set()
        cache.put({"a": "b"})
        assert cache.get("a") is None
        cache.keep_body(ONE, "x")
        with pytest.raises(StateError, match="opened for reading only"):
            cache.put_text(SERVER, ONE, TEXT)
    assert not folder.parent.exists()

    kept(folder)
    with Cache(folder, write=False) as cache:
        assert cache.get_text(SERVER, ONE, "r") == TEXT
    assert [path.name for path in folder.iterdir()] == ["cache.db"]


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_is_read_only_counts_as_empty(folder: Path) -> None:
    """The library writes when it opens a cache, so one that it may not write is not used."""
    kept(folder)
    (folder / "cache.db").chmod(0o400)
    for write in (False, True):
        with Cache(folder, write=write) as cache:
            assert cache.get_text(SERVER, ONE, "r") is None
            assert cache.problem == "permission denied"


def test_a_reader_sees_what_another_process_writes(folder: Path) -> None:
    """`status` during an `apply`."""
    with Cache(folder) as writer:
        writer.put_text(SERVER, ONE, TEXT)
        with Cache(folder, write=False) as reader:
            assert reader.get_text(SERVER, ONE, "r") == TEXT
            writer.put_text(SERVER, TWO, TEXT)
            assert texts_for(reader, SERVER) == {ONE, TWO}


def test_a_folder_that_is_deleted_is_noticed(folder: Path) -> None:
    """A text must not go into a file without a name: the first one is refused, and the next goes into a new folder."""
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)
        shutil.rmtree(folder)
        with pytest.raises(StateError, match="it was deleted while it was in use"):
            cache.put_text(SERVER, TWO, TEXT)
        cache.put_text(SERVER, TWO, TEXT)
        assert texts_for(cache, SERVER) == {TWO}

    assert texts(folder) == {TWO}


def test_a_killed_writer_leaves_what_it_kept(folder: Path, processes: None) -> None:
    """A text is durable when `put_text` returns, and the next process reads it from the log SQLite left."""
    code = (
        "import os, sys; from pathlib import Path; from contentops.state.cache import Cache, StoredText;"
        "c = Cache(Path(sys.argv[1])); c.put_text('local', 'd', StoredText(title='t', body='b', request_id='r')); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], check=False)

    assert done.returncode == 9
    for write in (False, True):
        with Cache(folder, write=write) as cache:
            assert (texts_for(cache, "local"), cache.problem) == ({"d"}, "")


# --- a cache in trouble ------------------------------------------------------------------------------------


def test_a_corrupt_database_degrades(folder: Path) -> None:
    """Reads give nothing and say why; a paid text that cannot be kept is an error that names the way out."""
    folder.mkdir(parents=True)
    (folder / "cache.db").write_bytes(b"not a database at all, but long enough to be looked at" * 30)

    with Cache(folder) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        assert texts_for(cache, SERVER) == set()
        assert cache.get("x") is None
        assert cache.problem == "file is not a database"
        cache.put({"x": "y"})
        cache.learn("durations", {})
        with pytest.raises(StateError, match="paid text of item `a` cannot be written") as caught:
            cache.put_text(SERVER, ONE, TEXT)
    assert caught.value.code == "text-not-kept"
    assert f"delete {folder}" in caught.value.hint

    shutil.rmtree(folder)
    kept(folder)
    assert texts(folder) == {ONE}


def test_a_full_disk_is_said_when_a_text_is_paid(folder: Path) -> None:
    """SQLite's own limit stands for a full disk."""
    kept(folder)
    with Cache(folder) as cache:
        cache.put_text(SERVER, ONE, TEXT)
        library = cache._opened
        assert library is not None
        library._sql("PRAGMA max_page_count = 20")
        with pytest.raises(StateError, match="full"):
            cache.put_text(SERVER, TWO, structs.replace(TEXT, body="x" * 500_000))
        cache.keep_body(ONE, "small")
    assert texts(folder) == {ONE}


@pytest.mark.parametrize(
    "stored", ["", "{", "[]", "null", '{"title":1,"body":"b"}', '{"title":"t"}', '{"x":1}', "[" * 99999]
)
def test_a_value_of_another_shape_is_none(folder: Path, stored: str) -> None:
    """A row that is not ours in shape counts as absent."""
    kept(folder)
    change(folder, "UPDATE Cache SET value = ?", stored)

    assert cached_text(folder) is None


@posix
def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    """Neither the cache nor its parent may lead elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(outside)
    with Cache(folder) as cache, pytest.raises(StateError, match="symbolic link"):
        cache.put_text(SERVER, ONE, TEXT)
    with Cache(folder, write=False) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        assert cache.problem == "`cache` is a symbolic link"

    (tmp_path / "root").mkdir()
    inner = tmp_path / "root" / ".contentops" / "cache"
    inner.parent.symlink_to(outside)
    with Cache(inner) as cache, pytest.raises(StateError, match="points outside the project"):
        cache.put_text(SERVER, ONE, TEXT)
    assert list(outside.iterdir()) == []


def test_a_folder_named_like_a_variable_is_refused(tmp_path: Path) -> None:
    """The library would put the variable's value there and write elsewhere."""
    folder = tmp_path / "$HOME" / ".contentops" / "cache"
    folder.parents[1].mkdir()

    with Cache(folder) as cache, pytest.raises(StateError, match="would be read as a variable"):
        cache.put_text(SERVER, ONE, TEXT)


def test_a_folder_outside_of_a_project_is_made(tmp_path: Path) -> None:
    """The cache may live anywhere the caller says."""
    kept(tmp_path / "x" / "y")

    assert texts(tmp_path / "x" / "y") == {ONE}


# --- what someone planted ---------------------------------------------------------------------------------


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def pickled(mark: Path) -> bytes:
    """A pickle that leaves a mark where it is loaded."""
    return pickle.dumps(Bomb(mark))


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("as_file", [False, True], ids=["row", "file"])
def test_a_planted_value_is_a_miss(folder: Path, tmp_path: Path, mode: int, *, as_file: bool) -> None:
    """A pickle in place of a text, in a row or as a file, under any mode of diskcache; the key can be written again."""
    mark = tmp_path / "mark"
    kept(folder)
    (folder / "a.val").write_bytes(pickled(mark))
    name, value = ("a.val", None) if as_file else (None, pickled(mark))
    change(folder, "UPDATE Cache SET mode = ?, filename = ?, value = ?", mode, name, value)

    with Cache(folder) as cache:
        assert cache.get_text(SERVER, ONE, "r") is None
        assert cache.paid_texts() == ()
        assert cache.problem == ""
        cache.put_text(SERVER, ONE, TEXT)
        assert cache.get_text(SERVER, ONE, "r") == TEXT
    assert not mark.exists()


def test_a_planted_key_is_not_run(folder: Path, tmp_path: Path) -> None:
    """A pickled key is skipped by every listing, also by diskcache's own ones."""
    mark = tmp_path / "mark"
    kept(folder)
    change(folder, "DELETE FROM Cache WHERE key LIKE 'body %'")
    change(folder, "UPDATE Cache SET raw = 0, key = ?", pickled(mark))
    change(folder, "INSERT INTO Cache (key, raw, mode, value) VALUES (?, 1, 1, 'x')", b"text " + SERVER.encode())

    with Cache(folder) as cache:
        assert texts_for(cache, SERVER) == set()
        cache.put_text(SERVER, TWO, TEXT)
        assert texts_for(cache, SERVER) == {TWO}
        library = cache._opened
        assert library is not None
        for listing in (iter, reversed, library.__class__.iterkeys):
            assert list(listing(library)).count("") == 2
    assert not mark.exists()


def test_a_planted_file_name_is_neither_read_nor_removed(folder: Path, tmp_path: Path) -> None:
    """A row that names a file outside the cache cannot make us read it, or delete it when the row is replaced."""
    secret = tmp_path / "secret"
    secret.write_text(TEXT.body)
    kept(folder)
    for mode in (2, 3, 4):
        change(folder, "UPDATE Cache SET mode = ?, filename = '../../secret', value = NULL", mode)
        with Cache(folder) as cache:
            assert cache.get_text(SERVER, ONE, "r") is None
            assert cache.body(body_digest(TEXT.body)) is None
            cache.put_text(SERVER, ONE, TEXT)
            assert cache.get_text(SERVER, ONE, "r") == TEXT
    assert secret.exists()


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
            cache.put_text(SERVER, ONE, TEXT)
        assert cache.get_text(SERVER, ONE, "r") is None
        assert cache.problem


def test_a_cache_that_is_not_there_loads_no_diskcache(folder: Path, processes: None) -> None:
    """Start-up: a command in a new project does not pay for what it does not need."""
    code = (
        "import sys; from pathlib import Path; from contentops.state.cache import Cache;"
        "c = Cache(Path(sys.argv[1]), write=False); assert not c.paid_texts(); c.close();"
        "assert 'diskcache' not in sys.modules and 'sqlite3' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
