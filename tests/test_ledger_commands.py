"""`ledger migrate`, `ledger status` and what `doctor` says of a ledger."""

import threading
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from msgspec import structs

from contentops.errors import LockHeld, StateError
from contentops.ledger import session as schema
from contentops.ledger.jobs import LedgerScope, Runner
from contentops.ledger.limiter import account_of
from contentops.ledger.project import ReadLedger, lock_apply
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, JobState
from contentops.operations.connection import contents
from contentops.operations.doctor import doctor
from contentops.state.lock import lineage_of
from tests.fakes.api import FakeApi, on
from tests.fakes.harness import Harness, results
from tests.fakes.wire import Wire
from tests.ledger_rows import a_job, alone, fill
from tests.ledgers import Checkout, Go
from tests.postgres import Cluster
from tests.processes import KEY, PROJECT, Served, tree
from tests.running import Build, Completed, Run


def _env(database: str) -> dict[str, str]:
    return {"CONTENTOPS_LEDGER": database}


def _checked(invoke: Run, root: Path, database: str) -> tuple[bool | None, str]:
    """What `doctor` says of a ledger."""
    checks = invoke("doctor", "--json", cwd=root, env=_env(database)).json["checks"]
    ((ok, message),) = ((one["ok"], one["message"]) for one in checks if one["name"] == "ledger")
    return ok, message


@pytest.fixture
def site(project: Build) -> Path:
    """A project whose server is away."""
    return project({"contentops.yaml": PROJECT.format(base_url="http://127.0.0.1:9/v1", extra="")})


def test_migrate_makes_the_tables_once(invoke: Run, site: Path, empty_database: str) -> None:
    """Readers and `doctor` say that there are none, and make none."""
    status = invoke("ledger", "status", env=_env(empty_database))
    assert (status.code, "no tables yet" in status.stdout) == (0, True)
    ok, message = _checked(invoke, site, empty_database)
    assert (ok, "no tables yet" in message) == (None, True)
    made = invoke("ledger", "migrate", "--json", env=_env(empty_database))
    assert (made.code, made.json["from"], made.json["to"]) == (0, 0, schema.VERSION)
    again = invoke("ledger", "migrate", env=_env(empty_database))
    assert (again.code, again.stdout) == (0, f"Nothing to do: the tables are of version {schema.VERSION}.\n")


def test_many_that_come_first_make_the_tables_once(empty_database: str) -> None:
    """Whoever is later finds them made."""
    found: list[int] = []

    def come() -> None:
        with LedgerSession(empty_database, patience=0) as opened:
            found.append(schema.migrate(opened))

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, *[schema.VERSION] * 5]


def test_a_ledger_of_a_newer_version_is_refused(session: LedgerSession, invoke: Run, site: Path, database: str) -> None:
    """Nothing of it is used, and `migrate` does not go back."""
    session.run("UPDATE contentops.version SET number = number + 1")
    for command in (["ledger", "migrate"], ["ledger", "status"], ["apply", "--yes"], ["plan"]):
        refused = invoke(*command, cwd=site, env=_env(database))
        assert (refused.code, "error[ledger-newer]" in refused.stderr) == (1, True), command
    ok, message = _checked(invoke, site, database)
    assert (ok, "newer version" in message) == (False, True)


def test_a_command_needs_an_address(invoke: Run, site: Path) -> None:
    """Without one it says how to name it; one that cannot be reached is named without its password."""
    missing = invoke("ledger", "status")
    assert (missing.code, "error[no-ledger]" in missing.stderr) == (64, True)
    url = "postgresql://ann:planted-secret@127.0.0.1:1/nothing"
    away = invoke("ledger", "status", env=_env(url))
    assert (away.code, "error[ledger-away]" in away.stderr, "planted" in away.stderr) == (3, True, False)
    ok, message = _checked(invoke, site, url)
    assert (ok, "cannot be reached" in message, "planted" in message) == (False, True, False)
    wrong = invoke("ledger", "status", "--env", "nosuch", cwd=site, env=_env(url))
    assert (wrong.code, "declares no environment `nosuch`" in wrong.stderr) == (64, True)


def test_status_shows_who_applies_and_what_is_open(
    session: LedgerSession, invoke: Run, site: Path, database: str
) -> None:
    """As text, as JSON and in `doctor`, harmless whatever the rows say."""
    assert "No one applies now." in invoke("ledger", "status", env=_env(database)).stdout
    fill(session, [a_job(state.value, state) for state in JobState])
    with LedgerSession(database, patience=0) as other:
        Runner(other, who="ann@\x1b[2Jbuild-7", page="https://ci.example.com/7")
        shown = invoke("ledger", "status", env=_env(database)).stdout
        found = invoke("ledger", "status", "--json", env=_env(database)).json
        _, message = _checked(invoke, site, database)
    assert ("ann@" in shown, "https://ci.example.com/7" in shown, "\x1b[2J" in shown) == (True, True, False)
    assert (len(found["runners"]), found["entries"], found["texts"]) == (1, 3, 2)
    assert "applying now: ann@" in message
    alone(session)
    assert _checked(invoke, site, database)[1].endswith("applying now: no one")


def test_a_read_only_database_is_named(session: LedgerSession, invoke: Run, site: Path, cluster: Cluster) -> None:
    """By a setting, or as a real standby."""
    database = session.run("SELECT current_database()")[0][0]
    session.run(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    with LedgerSession(cluster.url(), patience=0) as opened:
        schema.migrate(opened)
    cluster.become_standby()
    for url in (session.url, cluster.url()):
        ok, message = _checked(invoke, site, url)
        assert (ok, "is read-only" in message) == (False, True)


def test_a_pooler_is_refused(invoke: Run, database: str) -> None:
    """It names another process at the start of a session than the one that answers."""
    with Wire.to(database) as wire:
        wire.pretend()
        with pytest.raises(StateError) as refused:
            LedgerSession(wire.url(database), patience=0)
        assert refused.value.code == "ledger-pooler"
        ended = invoke("ledger", "status", env=_env(wire.url(database)))
        assert (ended.code, "use the address of PostgreSQL itself" in ended.stderr) == (1, True)


API = ApiSettings(base_url="https://api.example.com/v1", account="acme")


def test_doctor_and_the_search_for_the_api_wait_for_their_turns(tmp_path: Path, session: LedgerSession) -> None:
    """Each request is counted with all others before it leaves, on a server whose API is found at the second look."""
    harness = Harness(tmp_path, FakeApi(), rpm=600, extra=f"ledger: '{session.url}'")
    counted: list[int] = []

    def arrived(_name: str, _n: int) -> bool:
        counted.append(_counted(session))
        return False

    harness.api.fault(arrived, 500)
    harness.api.fault(on("list templates", 1), 404)
    assert contents(harness.project, runtime=harness.runtime()) == ()
    looked = len(harness.api.requests)
    doctor(harness.project, harness.runtime())
    assert len(harness.api.requests) > looked > 2
    # Counted before it arrived, not after.
    assert counted == [*range(1, len(harness.api.requests) + 1)]


def test_an_account_is_of_one_server() -> None:
    """Keys under one name share a limit; the same name at a second server is another account."""
    one, two = account_of(API, "wrk_one"), account_of(API, "wrk_two")
    assert one == two
    other = account_of(ApiSettings(base_url="https://other.example.com/v1", account="acme"), "wrk_one")
    assert len({one, other, account_of(structs.replace(API, account=""), "wrk_one")}) == 3


def _counted(session: LedgerSession) -> int:
    return sum(len(sent) for (sent,) in session.run("SELECT state -> 'sent' FROM contentops.limiter"))


IDS = tuple(f"item-{number}" for number in range(8))


def _harness(root: Path, api: FakeApi, database: str, *ids: str, year: int = 2026) -> Harness:
    return Harness(root, api, extra=f"ledger: '{database}'").declared(*ids, year=year)


def _asked(api: FakeApi, harness: Harness) -> int:
    """How many submits of an apply asked for their id before it was sent."""
    before = len(api.requests)
    assert set(results(harness.apply()).values()) == {"done"}
    made, asked = set(), 0
    for one in api.requests[before:]:
        made |= {one.body.get("request_id")} if one.name == "submit" else set()
        asked += one.name == "status" and one.path.rsplit("/", 1)[1] not in made
    return asked


def test_an_account_that_is_new_to_the_ledger_asks_for_its_ids(tmp_path: Path, database: str) -> None:
    """The first run asks for five ids, as without a ledger; the next one, wherever it stands, asks for none."""
    api = FakeApi(duration=9)
    assert _asked(api, _harness(tmp_path / "one", api, database, *IDS)) == 5
    assert _asked(api, _harness(tmp_path / "two", api, database, *IDS, year=2027)) == 0


def test_what_another_machine_paid_for_proves_the_server(tmp_path: Path, database: str) -> None:
    """A checkout without a record submits all at once: the server has shown to others that it completes jobs."""
    api = FakeApi(duration=90)
    _harness(tmp_path / "one", api, database, "a").apply()
    _harness(tmp_path / "two", api, database, "b", "c", year=2027).apply()
    first, second = api.generations[1:]
    assert second.started - first.started < 1


def test_a_server_that_makes_its_own_ids_is_not_asked(tmp_path: Path) -> None:
    """Once a job has shown that, no submit asks for an id that the server cannot know."""
    api = FakeApi(duration=9, request_ids="ignore")
    harness = Harness(tmp_path, api).declared("a")
    harness.apply()
    before = len(api.requests)
    harness.declared(*IDS, year=2027).apply()
    names = [one.name for one in api.requests[before:]]
    assert "status" not in names[: names.index("submit")]


STAGE_SECONDS = 0.05
LIMIT = "budget: {credits_per_month: 8}"


def _spent(go: Go, root: Path) -> int:
    return int(go("status", "--json", cwd=root).json["spent"]["credits"])


def test_checkouts_share_the_budget_of_a_month(checkout: Checkout, go: Go) -> None:
    """What one has paid for, the other knows before any commit; no history of git is asked for."""
    one, two = checkout("{} (shared)", "a", extra=LIMIT), checkout("{} (shared)", "b", "c", at="two", extra=LIMIT)
    go("apply", "--yes", cwd=one)
    assert (_spent(go, one), _spent(go, two)) == (4, 4)
    refused = go("apply", "--yes", cwd=two, code=4)
    assert "error[budget-month]" in refused.stderr
    assert "it costs 8 credits, and 4 credits of 20" in refused.stderr
    go("apply", "--yes", "--select", "b", cwd=two)
    assert (_spent(go, one), _spent(go, two)) == (8, 8)


def test_one_command_at_a_time_spends(checkout: Checkout, go: Go, database: str) -> None:
    """Two would each see the same rest of the budget."""
    root = checkout("{} (alone)", "a", extra=LIMIT)
    go("apply", "--yes", cwd=root)
    lineage = (root / "contentops.lock").read_text().partition('"lineage":"')[2][:36]
    scope = LedgerScope(lineage=lineage, environment="", server="https://api.example.com/v1")
    with LedgerSession(database) as session, ReadLedger(session, scope).spending():
        ended = go("apply", "--yes", "--replace", "a", cwd=root, code=4)
        assert "spends from the budget of the month" in ended.stderr
        with LedgerSession(database) as another, pytest.raises(LockHeld), ReadLedger(another, scope).spending():
            pass


# --- hostile rows: nothing fails, nothing is sent elsewhere, and others go on --------------------------------------

ESC = "\x1b[2J\x1b]0;gone\x07"


def _write(database: str, statement: str, *values: object) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        assert connection.execute(statement.encode(), values).rowcount > 0


def _harmless(ended: Completed) -> Completed:
    """No traceback, no control character, no key."""
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    assert not [one for one in said if ord(one) < 32 and one not in "\n\t"], said
    assert KEY not in said
    return ended


ITEM = 'substring(line FROM \'"item":"([a-z0-9]+)"\')'
SUBMITS: dict[str, tuple[str, ...]] = {
    "a request id of another": ("request_id = 'r' || repeat('x', 200000)",),
    "another lineage": ("lineage = %s, environment = %s", ESC, ESC),
    "another environment": ("environment = %s", ESC),
    "a time that is none": ("at = %s", ESC),
    "another state": ("state = 'unknown'",),
    "a line of no job": ("line = %s", '{"id": "x"}'),
    "no line": ("state = 'running', line = ''",),
    "another server": ("server = 'https://evil.example:443'",),
    "running at another server": (
        "state = 'running', line = (line::jsonb || jsonb_build_object('state', 'running', 'server', 'https://evil.example:443', 'job', '../../account'))::text",
    ),
    "a job of another path": (
        "state = 'running', line = (line::jsonb || jsonb_build_object('state', 'running', 'job', '../../account'))::text",
    ),
    "a line of surrogates": ("line = %s", '{"id": "\\ud800", "item": "a"}'),
    "a huge line": ("state = 'unknown', line = repeat('[', 9000000)",),
}
"""What is written into the row of an item, with its values."""

SHARED: dict[str, tuple[str, ...]] = {
    "a limiter of no sense": ("UPDATE contentops.limiter SET state = '{\"sent\": \"x\"}'",),
    "a runner of strange words": ("INSERT INTO contentops.runner (number, who, page) VALUES (-1, %s, %s)", *(ESC,) * 2),
}  # fmt: skip
"""What is written into the rows that all items share, with its values."""


def _commands(invoke: Run, root: Path, env: Mapping[str, str]) -> None:
    for command in (("plan",), ("status",), ("ledger", "status"), ("content", "list"), ("apply", "--yes")):
        _harmless(invoke(*command, cwd=root, env=env))


def test_rows_of_submits(checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]) -> None:
    """Whatever is in them, every command ends in words, other items go on, and nothing is paid for again."""
    names = {f"i{number}": name for number, name in enumerate(SUBMITS)}
    topics = sorted(f"{item} (submits)" for item in ("well", *names))
    one, two = (checkout("{} (submits)", *names, "well", at=at) for at in ("one", "two"))
    assert invoke("apply", "--yes", cwd=one, env=env).code == 0
    for item, name in names.items():
        words, *values = SUBMITS[name]
        _write(database, f"UPDATE contentops.job SET {words} WHERE {ITEM} = '{item}'", *values)
    _commands(invoke, two, env)
    # Where a row is in the way of its own item, the others are there.
    assert "out/well.md" in tree(two)
    _write(database, f"DELETE FROM contentops.job WHERE {ITEM} IS DISTINCT FROM 'well'")
    _harmless(invoke("apply", "--yes", cwd=two, env=env))
    assert (served.charges("(submits)"), served.jobs("evil")) == (topics, [])
    assert list(tree(two)) == sorted(f"out/{item}.md" for item in ("well", *names))


@pytest.mark.parametrize("name", SHARED)
def test_rows_of_all_stop_no_one(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str], name: str
) -> None:
    """The same: nothing in them stops anyone."""
    root = checkout(f"{{}} ({name})", "a", "b")
    assert invoke("apply", "--yes", "--select", "a", cwd=root, env=env).code == 0
    _write(database, *SHARED[name])
    _commands(invoke, root, env)
    assert served.charges(f"({name})") == [f"a ({name})", f"b ({name})"]
    assert list(tree(root)) == ["out/a.md", "out/b.md"]


def test_a_strange_name_is_harmless(
    checkout: Checkout, invoke: Run, served: Served, database: str, env: dict[str, str]
) -> None:
    """The words of another machine are made harmless."""
    root = checkout("{} (name)", "a", "b")
    scope = LedgerScope(lineage=lineage_of("acme-blog"), environment="", server=served.base_url)
    with LedgerSession(database) as session:
        lock_apply(Runner(session, who=ESC, page=ESC), scope)
        assert _harmless(invoke("apply", "--yes", cwd=root, env=env)).code == 4
