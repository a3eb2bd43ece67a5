"""The embedded server's store in PostgreSQL: how it is opened, what servers that share it ask, what its rows may hold."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from contentops.server import accounts, contents, jobs
from contentops.server.accounts import AccountLimits, KeyRing
from contentops.server.database import StoreError, StoreUnavailableError
from contentops.server.jobs import GenerationRequest, StoredJob
from contentops.server.postgres import PostgresSession, SessionLock, StatementWatch
from contentops.server.runner import AT_ONCE
from contentops.server.store import open_store
from tests.postgres import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.asgi import Bundled, InProcess, Reply
    from tests.running import Run

INPUTS = {"topic": "Tides", "audience": "sailors"}
BODY = {
    "template_id": "blog_article_generator",
    "style_profile_id": "general_blog",
    "inputs": INPUTS,
}
PATIENCE = 30.0


def replied(server: InProcess, path: str, done: Callable[[Reply], bool], body: Any = None) -> Reply:
    """The first reply that is what is waited for, to a GET or to the POST of a body."""
    give_up = time.monotonic() + PATIENCE
    while not done(reply := server("GET" if body is None else "POST", path, body)):
        assert time.monotonic() < give_up
        server.run(asyncio.sleep(0.01))
    return reply


def run_sql(address: str, *statements: str) -> list[Any]:
    """What a superuser gets for the last statement."""
    with psycopg.connect(address, autocommit=True) as connection:
        done = [connection.execute(statement) for statement in statements][-1]
        return done.fetchall() if done.description else []


# --- opening -------------------------------------------------------------------------------------------------------


def test_everything_is_in_a_schema_of_its_own(empty_database: str) -> None:
    """Nothing else is in the database afterwards, and another program's tables stay as they are."""
    run_sql(empty_database, "CREATE TABLE jobs (theirs text)", "INSERT INTO jobs VALUES ('kept')")
    for _ in range(2):
        open_store(empty_database).close()
    schemas = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    assert sorted(run_sql(empty_database, schemas)) == [("contentops_server",), ("public",)]
    assert run_sql(empty_database, "SELECT * FROM public.jobs") == [("kept",)]


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        pytest.param(
            ["UPDATE contentops_server.format SET version = 99"], "newer release; upgrade contentops", id="newer"
        ),
        pytest.param(
            [
                "DROP SCHEMA contentops_server CASCADE",
                "CREATE SCHEMA contentops_server",
                "CREATE TABLE contentops_server.theirs ()",
            ],
            "belongs to another program; choose another database",
            id="foreign",
        ),
    ],
)
def test_what_is_not_ours_is_refused(database: str, statements: list[str], message: str) -> None:
    """A later format and another program's schema of that name are left as they are."""
    open_store(database).close()
    run_sql(database, *statements)
    before = run_sql(database, "SELECT count(*) FROM pg_class")
    with pytest.raises(StoreError, match=message):
        open_store(database)
    assert run_sql(database, "SELECT count(*) FROM pg_class") == before


def test_a_role_needs_a_schema_of_its_own_and_no_more(database: str) -> None:
    """Where it may not make the schema the message says what to do, and that is enough."""
    mine = f"postgresql://cops_writer@{database.partition('@')[2]}"
    role = "DO $$ BEGIN CREATE ROLE cops_writer LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    run_sql(database, role)
    with pytest.raises(StoreError, match="`CREATE SCHEMA contentops_server AUTHORIZATION role`"):
        open_store(mine)
    run_sql(database, "CREATE SCHEMA contentops_server AUTHORIZATION cops_writer")
    with open_store(mine) as store:
        assert jobs.submit(store, StoredJob(id="r", request=GenerationRequest(), created_at=1.0))[1]
    run_sql(database, "DROP OWNED BY cops_writer", "DROP ROLE cops_writer")


def test_texts_need_an_encoding_that_holds_all_of_them(postgres: str) -> None:
    """A database of another encoding is refused by name."""
    name = "test_latin"
    run_sql(postgres, f"DROP DATABASE IF EXISTS {name}")
    run_sql(postgres, f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match="encoding UTF8"):
        open_store(postgres.rpartition("/")[0] + f"/{name}")
    run_sql(postgres, f"DROP DATABASE {name}")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:planted-secret@127.0.0.1/db",
        "postgresql://ann@127.0.0.1/db?password=planted-secret",
        "postgresql://ann:planted/secret@127.0.0.1/db",
        "postgres://ann:planted%secret@127.0.0.1/db",
        "postgresql://127.0.0.1/db?planted-secret",
        "postgresql://127.0.0.1/planted-secret\udcff",
    ],
)
def test_an_address_with_a_password_is_refused_without_a_word_of_it(address: str, invoke: Run) -> None:
    """Whatever is wrong with it: a list of processes and a log would show the password."""
    done = invoke("serve", "keys", "list", "--store", address)
    assert done.code == 1
    assert "password" in done.stderr or "its form is" in done.stderr
    assert "planted" not in done.stdout + done.stderr


def test_a_database_that_is_not_there_is_named(invoke: Run) -> None:
    """By host and name, with what the driver says."""
    done = invoke("serve", "keys", "list", "--store", "postgresql://ann@127.0.0.1:1/texts")
    assert done.code == 1
    assert "the database at 127.0.0.1:1/texts does not answer" in done.stderr


def test_without_psycopg_the_message_says_what_to_install() -> None:
    """An installation without the extra is told its name."""
    script = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "from contentops.__main__ import main\n"
        "main(['serve', 'keys', 'list', '--store', 'postgresql://localhost/db'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "a store in PostgreSQL needs psycopg: install `contentops[postgres]` instead of `contentops`" in done.stderr


def test_keys_on_the_command_line(database: str, invoke: Run) -> None:
    """They are made, changed, listed and revoked in the database as in a file."""
    made = invoke("serve", "keys", "create", "--credits", "9", "--store", database, "--json").json
    invoke("serve", "keys", "change", made["id"], "--credits", "12", "--store", database)
    invoke("serve", "keys", "revoke", made["id"], "--store", database)
    (listed,) = invoke("serve", "keys", "list", "--store", database, "--json").json["keys"]
    assert (listed["id"], listed["balance"], listed["revoked_at"] is None) == (made["id"], 12, False)


# --- several servers -----------------------------------------------------------------------------------------------


def at_once(count: int, work: Callable[[int], None]) -> None:
    """`work` in so many threads that begin together."""
    failed: list[BaseException] = []
    barrier = threading.Barrier(count)

    def begin(number: int) -> None:
        barrier.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_an_id_that_two_servers_get_at_once_is_one_job(database: str) -> None:
    """Of every pair one is new; the other gets the same job. So it is for an idempotency key under two ids."""
    new: list[str] = []

    def work(server: int) -> None:
        with open_store(database) as store:
            for number in range(30):
                generation = GenerationRequest()
                job, is_new = jobs.submit(store, StoredJob(id=f"r{number}", request=generation, created_at=1.0))
                keyed, also_new = jobs.submit(
                    store,
                    StoredJob(
                        id=f"s{server}-{number}", request=generation, created_at=1.0, idempotency_key=f"k{number}"
                    ),
                )
                new.extend([job.id] * is_new + [str(keyed.idempotency_key)] * also_new)

    at_once(3, work)
    assert sorted(new) == sorted([f"r{number}" for number in range(30)] + [f"k{number}" for number in range(30)])


def test_an_allowance_is_never_overdrawn_by_two_servers(database: str) -> None:
    """A key with credits for ten texts gets ten, however many servers it asks at once."""
    with open_store(database) as store:
        ring = KeyRing(store)
        key = ring.check(ring.create_key("professional", allowance=10))
    assert key is not None
    taken: list[int] = []

    def work(server: int) -> None:
        with open_store(database) as store:

            def admit() -> None:
                if (accounts.account(store, key).balance or 0) < 1:
                    raise LookupError

            for number in range(12):
                generation = GenerationRequest(mode="quick")
                new = StoredJob(id=f"{server}-{number}", request=generation, created_at=1.0, key_id=key.id)
                try:
                    jobs.submit(store, new, admit)
                except LookupError:
                    continue
                taken.append(1)

    at_once(3, work)
    assert len(taken) == 10


def test_an_account_that_another_server_holds_too_long_is_told(database: str) -> None:
    """Only that write fails, and nothing is left of it; another account is free all the time."""
    with open_store(database) as store, open_store(database) as other:
        store.run("SET lock_timeout = '50ms'")
        with other.write("ann"):
            with pytest.raises(StoreUnavailableError), store.write("ann"):
                pass
            with store.write("bob"):
                store.tally("bob", "kind", "name", 1)
        with store.write("ann"):
            store.tally("ann", "kind", "name", 1)
        assert store.tallied("ann", "kind") == store.tallied("bob", "kind") == {"name": 1}


def test_a_minute_has_one_limit_for_all_servers(database: str) -> None:
    """However the requests are spread, so many are counted; the others are told how long to wait."""
    waits: list[float] = []

    def work(_: int) -> None:
        with open_store(database) as store:
            assert store.replicas is not None
            waits.extend(store.replicas.count_request("key", 50, 60.0) for _ in range(30))

    at_once(3, work)
    assert waits.count(0.0) == 50
    assert all(55 < wait <= 60 for wait in waits if wait)
    with open_store(database) as store:
        assert store.replicas is not None
        assert store.replicas.count_request("another", 50, 60.0) == 0
        # With a limit that was lowered since, more than one has to leave.
        assert store.replicas.count_request("key", 5, 60.0) >= store.replicas.count_request("key", 45, 60.0)
        time.sleep(0.05)
        assert store.replicas.count_request("key", 1, 0.04) == 0


def test_what_one_server_has_no_room_for_another_takes(database: str) -> None:
    """Oldest first and as many as it has room for; each goes to one server."""
    with open_store(database) as store, open_store(database) as other:
        for number in range(10):
            jobs.submit(store, StoredJob(id=f"r{number}", request=GenerationRequest(), created_at=float(number)))
        first, second = store.runner_lock(), other.runner_lock()
        first.acquire()
        second.acquire()
        assert first.id != second.id
        assert store.replicas is not None
        assert other.replicas is not None
        assert store.replicas.adopt(first.id, [], 4) == [1, 2, 3, 4]
        assert other.replicas.adopt(second.id, [], 3) == [5, 6, 7]
        assert store.replicas.adopt(first.id, [1, 2, 3], 2) == [4, 8]
        assert store.replicas.adopt(first.id, [1, 2, 3, 4, 8], -1) == []
        store.close()
        until(lambda: not second.alive(first.id))
        assert other.replicas.adopt(second.id, [5, 6, 7], 99) == [1, 2, 3, 4, 8, 9, 10]


def test_a_server_that_falls_silent_counts_as_dead(database: str) -> None:
    """The database ends its session; what it writes then fails, and in a new session it is another runner."""
    with open_store(database) as other:
        session = PostgresSession(database)
        quiet = SessionLock(session, silent_seconds=0.2)
        quiet.acquire()
        was = quiet.id
        until(lambda: not other.runner_lock().alive(was))
        with pytest.raises(StoreUnavailableError), session.write(""):
            pass
        with pytest.raises(StoreUnavailableError):
            session.rows("SELECT 1", ())
        asyncio.run(session.reconnect())
        quiet.acquire()
        assert quiet.id != was
        assert other.runner_lock().alive(quiet.id)
        session.close()


def test_a_statement_that_does_not_end_ends_its_connection(database: str) -> None:
    """A database that stands still holds no one for longer than its time."""
    watch = StatementWatch(0.2)
    with psycopg.connect(database, autocommit=True) as connection:
        with pytest.raises(psycopg.OperationalError), watch.over(connection.fileno()):
            connection.execute("SELECT pg_sleep(30)")
        assert connection.closed
    watch.stop()


def test_a_lost_connection_is_told_and_mended(
    bundled: Bundled, postgres: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests get 503 and when to ask again, in both shapes, without a word of the database; then all goes on."""
    server = bundled(open_store(database))
    assert server.submit({**BODY, "request_id": "r1"}).status == 202
    assert server.finished("r1")["status"] == "completed"
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    run_sql(database, f"{others} AND pid <> pg_backend_pid()")
    name = database.rpartition("/")[2]
    run_sql(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    body = {**BODY, "request_id": "r2"}
    for prefix in ("/v1", "/api"):
        lost = server.post(f"{prefix}/generate", body)
        assert (lost.status, lost.headers["retry-after"]) == (503, "1")
        assert b"postgres" not in lost.raw
    assert server.get("/health").status == 503
    with caplog.at_level("DEBUG", "contentops.server.runner"):
        replied(server, "/health", lambda _: "no jobs are adopted" in caplog.text)
    run_sql(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    replied(server, "/v1/generate", lambda reply: reply.status == 202, body)
    assert server.finished("r2")["status"] == "completed"
    assert server.get("/v1/credits/usage").json["generations"] == 2


# --- hostile rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "request = '{'",
        "request = '[]'",
        'request = \'{"mode": "free"}\'',
        "request = '{\"mode\": 3}'",
        "request = repeat('[', 100000)",
        "status = 'hacked'",
        "finished_at = 'NaN', status = 'failed'",
        "created_at = 'Infinity'",
    ],
)
def test_a_job_that_another_program_wrote_stops_no_one(bundled: Bundled, database: str, change: str) -> None:
    """It is given up or told about, never a traceback, and the other jobs are done."""
    with open_store(database) as store:
        for name in ("bad", "good"):
            generation = GenerationRequest(template="blog_article_generator", mode="quick", inputs=INPUTS)
            jobs.submit(store, StoredJob(id=name, request=generation, created_at=1.0))
        run_sql(database, f"UPDATE contentops_server.jobs SET {change} WHERE id = 'bad'")
    server = bundled(open_store(database))
    replied(server, "/v1/generate/status/good", lambda reply: reply.json["status"] == "completed")
    damaged = server.get("/v1/generate/status/bad")
    assert damaged.status in {200, 500}
    assert damaged.status == 200 or "table `jobs`" in damaged.json["error"]["message"]
    assert run_sql(database, "SELECT count(*) FROM contentops_server.jobs WHERE finished_at IS NULL") == [(0,)]


def test_keys_and_contents_that_another_program_wrote(bundled: Bundled, database: str) -> None:
    """An unknown plan opens nothing; times and metadata that are none are no traceback."""
    server = bundled(open_store(database), keys=True, limits=AccountLimits(requests_per_minute=0))
    headers, store = server.bearer(), server.store
    paths = ["/v1/content", "/v1/dashboard/stats"]
    for change in ("metadata = '[1]', updated_at = '-Infinity'", "metadata = '{' WHERE metadata = '{}'"):
        with store.write():
            saved = contents.save(store, contents.ContentChange(title="T"), owner="", at=1.0)
        run_sql(database, f"UPDATE contentops_server.contents SET {change}")
        paths.append(f"/v1/content/{saved}")
    run_sql(database, "UPDATE contentops_server.keys SET plan = 'root'")
    assert [server.get(path, headers).status for path in paths] == [403] * 4
    assert [bundled(store).get(path).status for path in paths] == [200, 200, 500, 500]


def test_a_server_takes_no_more_than_it_has_room_for(bundled: Bundled, database: str) -> None:
    """Of more jobs than are worked on at once the rest stay for others, and all are done in the end."""
    with open_store(database) as store:
        request = GenerationRequest(template="blog_article_generator", mode="quick", inputs=INPUTS)
        with store.write():
            store.run(
                "INSERT INTO jobs (id, kind, owner, key_id, request, fingerprint, status, created_at, credits)"
                " SELECT 'r' || n, 'content', '', '', ?, '', 'pending', n, 1 FROM generate_series(1, ?) AS n",
                (request.encoded(), AT_ONCE + 5),
            )
    path = "/v1/dashboard/stats"
    server = bundled(open_store(database))
    stats = replied(server, path, lambda reply: reply.json["generations"]["in_progress"] == 0)
    assert stats.json["generations"]["completed"] == AT_ONCE + 5
