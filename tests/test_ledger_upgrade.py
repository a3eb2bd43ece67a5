"""A ledger of any earlier version is brought up to date without a loss, and then is as a new one.

`tests/ledger_versions/NNNN.sql` holds rows as that version wrote them. A new version adds its own file:
`python -m tests.test_ledger_upgrade ADDRESS > tests/ledger_versions/NNNN.sql`, with the address of an empty database.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentops.ledger import schema
from contentops.ledger.account import account_of, history_of, sign_in, write_fact
from contentops.ledger.applying import applying
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.queue import Deposited, QueuedWork, deposit, read_queue
from contentops.ledger.reading import read_rows, read_text
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, ItemId, JobState, Request, RequestId
from tests.ledger_rows import OWNER, SERVER, entry, fill, text
from tests.postgres import database

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "ledger_versions"
VERSIONS = sorted(schema.steps())
NEXT = {
    **schema.steps(),
    schema.newest() + 1: "ALTER TABLE contentops.entry ADD COLUMN colour text NOT NULL DEFAULT 'none';"
    " CREATE TABLE contentops.shade (name text PRIMARY KEY)",
}
"""One more version, so that there is always something to do."""


def populate(session: LedgerSession) -> None:
    """Writes rows of every table, with entries in all states: what runs of this version leave."""
    schema.prepare(session)
    account = account_of(ApiSettings(base_url=SERVER, account=OWNER.account), "key")
    sign_in(session, account)
    write_fact(session, OWNER.account, "durations", {"standard": [1.0, 2.0]})
    SharedLimiter(session, OWNER.account, 10).sent(0.0)
    fill(session, [entry(state.value, state) for state in JobState])
    fill(session, [entry(item, JobState.PAID) for item in ("recorded", "dropped")])
    session.run(
        "UPDATE contentops.entry SET taken = true, dropped = item = 'dropped' WHERE item IN ('recorded', 'dropped')"
    )
    with LedgerSession(session.url) as other:
        runner = Runner(other, kind="apply", who="ann@build-7", page="https://ci.example.com/7")
        with applying(runner, OWNER):
            deposit(runner, OWNER, [_queued(place, item) for place, item in enumerate(("queued", "cancelled"))])
    session.run("UPDATE contentops.entry SET cancelled = true WHERE item = 'cancelled'")


def _queued(place: int, item: str) -> Deposited:
    request = Request(template="blog", style="plain", inputs={"topic": item})
    return Deposited(
        request_id=RequestId(f"request-{item}"),
        item=ItemId(item),
        digest=request.digest,
        work=QueuedWork(request=request, attempt=1, credits=4, job_timeout=900.0),
        credits=4,
        plan_id="plan",
        place=place,
    )


# --- rows and tables ---------------------------------------------------------------------------------------


def _tables(session: LedgerSession) -> list[str]:
    rows = session.run(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'contentops' AND table_type = 'BASE TABLE'"
        " AND table_name <> 'version' ORDER BY 1"
    )
    return [name for (name,) in rows]


def _rows(session: LedgerSession) -> dict[str, list[dict[str, Any]]]:
    """All that the tables hold."""
    return {
        table: [
            row for (row,) in session.run(f"SELECT to_jsonb(t) FROM contentops.{table} t ORDER BY to_jsonb(t)::text")
        ]
        for table in _tables(session)
    }


def _shape(session: LedgerSession) -> list[tuple[Any, ...]]:
    """Everything that makes the tables what they are, in no order."""
    columns = session.run(
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'contentops'"
    )
    indexes = session.run("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'contentops'")
    views = session.run("SELECT viewname, definition FROM pg_views WHERE schemaname = 'contentops'")
    rules = session.run(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'contentops'::regnamespace"
    )
    things = session.run(
        "SELECT relname, relkind::text, reloptions, obj_description(oid) FROM pg_class"
        " WHERE relnamespace = 'contentops'::regnamespace"
    )
    return sorted((*columns, *indexes, *views, *rules, *things), key=repr)


def dump(session: LedgerSession) -> Iterator[str]:
    """Statements that write the rows again."""
    for table in _tables(session):
        statement = f"INSERT INTO contentops.{table} SELECT * FROM jsonb_populate_record(NULL::contentops.{table}, "
        rows = session.run(f"SELECT quote_literal(to_jsonb(t)) FROM contentops.{table} t ORDER BY to_jsonb(t)::text")
        yield from (f"{statement}{row});" for (row,) in rows)


@pytest.fixture
def session(empty_database: str) -> Iterator[LedgerSession]:
    """A session with an empty database."""
    with LedgerSession(empty_database, patience=0) as opened:
        yield opened


def test_every_version_has_rows_of_its_own() -> None:
    """Whoever adds a version adds what it writes."""
    assert [int(path.stem) for path in sorted(FOLDER.glob("*.sql"))] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_an_earlier_version_are_kept(session: LedgerSession, version: int) -> None:
    """Each value of each row is there afterwards, and runs read all of it."""
    schema.migrate(session, {number: text for number, text in schema.steps().items() if number <= version})
    _load(session, version)
    before = _rows(session)
    assert schema.migrate(session, NEXT) == (version, schema.newest() + 1)
    after = _rows(session)
    for table, rows in before.items():
        kept = [{name: value for name, value in row.items() if name in rows[0]} for row in after[table]]
        assert kept == rows, table
        assert rows, table


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_that_was_migrated_is_as_a_new_one(session: LedgerSession, version: int, postgres: str) -> None:
    """Columns, defaults, rules, indexes, views and what explains them."""
    schema.migrate(session, {number: text for number, text in NEXT.items() if number <= version})
    schema.migrate(session, NEXT)
    with database(postgres) as empty, LedgerSession(empty, patience=0) as fresh:
        schema.migrate(fresh, NEXT)
        assert _shape(session) == _shape(fresh)


@pytest.mark.parametrize("version", VERSIONS)
def test_runs_go_on_with_rows_of_an_earlier_version(session: LedgerSession, version: int) -> None:
    """What is open, what is held in the queue, what was paid for and what was learned."""
    schema.migrate(session, {number: text for number, text in schema.steps().items() if number <= version})
    _load(session, version)
    schema.migrate(session)
    found = read_rows(session, OWNER, [RequestId("request-dropped")])
    assert {one.item: one.state for one in found.entries} == {state.value: state for state in JobState}
    assert list(found.dropped) == ["request-dropped"]
    queued = {one.item: one.state for one in read_queue(session).submits}
    assert (queued["queued"], queued["cancelled"]) == ("queued", "cancelled")
    paid = entry("paid", JobState.PAID)
    assert read_text(session, OWNER.lineage, SERVER, paid.digest) == text("paid")
    assert (SERVER, "v1") in history_of(session, OWNER.account).proven
    assert session.run("SELECT sum(credits), sum(uncertain_credits) FROM contentops.spend") == [(16, 8)]
    schema.prepare(session)


def _load(session: LedgerSession, version: int) -> None:
    for line in (FOLDER / f"{version:04}.sql").read_text("utf-8").splitlines():
        session.run(line.replace("%", "%%"))
    # The runners of then would count as coming back, while the PostgreSQL of the tests has only just started.
    session.run("UPDATE contentops.runner SET started_at = now()")


if __name__ == "__main__":
    with LedgerSession(sys.argv[1], patience=0) as _session:
        populate(_session)
        sys.stdout.writelines(f"{line}\n" for line in dump(_session))
