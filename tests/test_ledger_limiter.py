"""One limiter for all processes of an account: the rules of a limiter, exact over all who share its row."""

import math
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contentops.execution.limiter import WINDOW, Limiter
from contentops.ledger import session as schema
from contentops.ledger.limiter import HELD, SPREAD, SharedLimiter
from contentops.ledger.session import LedgerSession
from tests import postgres as clusters
from tests.running import examples

ACCOUNT = "acme"


class Row:
    """One account's row, its time in a table, and how many limiters share it."""

    def __init__(self, url: str, users: int = 3) -> None:
        self.sessions = [LedgerSession(url) for _ in range(users)]
        schema.migrate(self.sessions[0])
        self.sessions[0].run("CREATE TABLE IF NOT EXISTS time (now float8)")
        self.sessions[0].run("INSERT INTO time VALUES (0)")

    def limiters(self, per_minute: int, start: float = 1e9) -> list[SharedLimiter]:
        """Fresh ones over an empty row."""
        self.state("{}")
        self.pass_to(start)
        clock = "(SELECT now FROM time)"
        return [SharedLimiter(each, ACCOUNT, per_minute, clock=clock) for each in self.sessions]

    def pass_to(self, now: float) -> None:
        """Set the time."""
        self.sessions[0].run("UPDATE time SET now = %s", (now,))

    def state(self, text: str) -> None:
        """Write the row."""
        self.sessions[0].run(
            "INSERT INTO contentops.limiter VALUES (%s, %s) ON CONFLICT (account) DO UPDATE SET state = excluded.state",
            (ACCOUNT, text),
        )

    def close(self) -> None:
        """Let go."""
        for each in self.sessions:
            each.close()


@pytest.fixture(scope="module")
def row(postgres: str) -> Iterator[Row]:
    """One row for the module."""
    with clusters.database(postgres) as url:
        made = Row(url)
        yield made
        made.close()


def _most_in(sent: list[float], window: float) -> int:
    return max((sum(first <= each <= first + window for each in sent) for first in sent), default=0)


PAUSES = st.sampled_from([0.0, 0.01, 0.4, 1.0, 7.0, 29.0, 61.0])
TURNS = st.lists(st.tuples(st.permutations(range(3)), *[st.integers(0, 40)] * 3, PAUSES), min_size=1, max_size=12)


@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_minute=st.sampled_from([1, 3, 10, 60, 130]), turns=TURNS, late=st.sampled_from([0.0, 0.6, 2.5]))
def test_never_more_than_the_limit_over_all(
    row: Row, per_minute: int, turns: list[tuple[list[int], int, int, int, float]], late: float
) -> None:
    """Whoever asks, and however long after its stamp each request leaves: never more in any 60 s, or in any second."""
    limiters, now = row.limiters(per_minute), 1e9
    left: list[float] = []
    for order, *most, pause in turns:
        granted: dict[int, int] = {}
        for user in order:
            granted[user] = limiters[user].take(most[user], now)
            now += late
            row.pass_to(now)
        for user, count in granted.items():
            limiters[user].leaving(count, now)
            left += [now] * count
            now += late
            row.pass_to(now)
        now += pause
        row.pass_to(now)
    assert _most_in(left, WINDOW) <= per_minute
    if per_minute > WINDOW and not late:
        assert _most_in(left, 1.0) <= math.ceil(per_minute / WINDOW)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "late", "429"]),
        st.integers(1, 12),
        st.sampled_from([0.0, 0.5, 3.0, 20.0, 70.0]),
    ),
    max_size=25,
)


@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(per_minute=st.sampled_from([0, 1, 10, 90]), steps=STEPS)
def test_one_user_sees_no_difference(row: Row, per_minute: int, steps: list[tuple[str, int, float]]) -> None:
    """Step by step it grants what a limiter in memory grants, and says when to ask again as that does."""
    (shared, *_), own, now = row.limiters(per_minute), Limiter(per_minute, spread=SPREAD), 1e9
    for step, count, pause in steps:
        now += pause
        row.pass_to(now)
        match step:
            case "take" | "late":
                granted = own.take(count, now)
                assert shared.take(count, now) == granted
                if step == "late":
                    now += 1.0
                    row.pass_to(now)
                    own.leaving(granted, now)
                    shared.leaving(granted, now)
            case _:
                own.throttled(now, float(count))
                shared.throttled(now, float(count))
    assert shared.take(99, now) == own.take(99, now)
    ready = own.ready_at(now)
    assert (shared.ready_at(now) <= now) == (ready <= now)
    if ready > now:
        assert shared.ready_at(now) == pytest.approx(ready)


@pytest.mark.parametrize("per_minute", [0, 10])
def test_a_429_holds_everybody(row: Row, per_minute: int) -> None:
    """Who got it says so, and no one sends until it is over; also where there is no limit."""
    told, *others = row.limiters(per_minute)
    assert told.take(1, 0.0) == 1
    told.throttled(0.0, 30.0)
    for now, free in ((29.0, 0), (31.0, 1)):
        row.pass_to(1e9 + now)
        assert [each.take(1, now) for each in others] == [free] * 2


def test_a_crash_of_the_database_forgets_nothing(processes: None) -> None:
    """What was counted is on disk before it is granted."""
    with clusters.Cluster() as cluster, LedgerSession(cluster.url()) as session:
        schema.migrate(session)
        with LedgerSession(session.url) as own:
            limiter = SharedLimiter(own, ACCOUNT, 5)
            assert limiter.take(3, 0.0) == 3
            cluster.kill()
            cluster.start()
            assert limiter.take(9, 0.0) == 2


HOSTILE = {
    "no object": "7", "empty": "null", "texts": '{"sent": ["now"]}',
    "other types": '{"sent": {"a": 1}, "open_at": "never"}', "deep": '{"sent": ' + "[" * 3000 + "]" * 3000 + "}",
    "deep elsewhere": '{"other": ' + "[" * 3000 + "]" * 3000 + "}", "out of range": '{"open_at": 1e999}',
    "negative": '{"sent": [-1000, -5, -1e300], "allowed": -4, "open_at": -1e18, "shrunk_at": -1e300, "pause": -1e18}',
    "unsorted": '{"sent": [999999990, 999999960, 999999955, 7]}', "ranks": '{"waiting": {"-5": 1e18, "x": 1}}',
    "a rank to come": '{"waiting": {"-5": 1e18}}',
    "to come": '{"sent": [1000000000000], "open_at": 1e18, "shrunk_at": 1e18, "pause": 1e18, "allowed": 1e18}',
    "many": '{"sent": [999999999' + ",999999999" * 200_000 + "]}",
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_row_that_anybody_may_have_written(row: Row, text: str) -> None:
    """No row makes a process fail, lets more through than the limit, or holds everyone back for ever."""
    first, other, _ = row.limiters(3)
    row.state(text)
    now = 1e9
    assert first.take(9, now) + other.take(9, now) <= 3
    first.throttled(now, 1.0)
    now += HELD + 2
    row.pass_to(now)
    granted = 0
    for _ in range(4):
        granted += first.take(9, now)
        now += WINDOW + 1
        row.pass_to(now)
    assert granted >= 3


def test_who_stands_still_with_the_row_stops_others_for_a_moment(database: str) -> None:
    """The database ends its transaction; who waited gets its turn then, by the time of then, and nothing is lost."""
    with LedgerSession(database) as still, LedgerSession(database) as quick:
        schema.migrate(still)
        limiter = SharedLimiter(quick, ACCOUNT, 10)
        holds, over, held = threading.Event(), threading.Event(), list[Any]()

        def stand(cursor: psycopg.Cursor[tuple[object, ...]]) -> None:
            if over.is_set():
                return
            row = "SELECT extract(epoch FROM clock_timestamp())::float8 FROM contentops.limiter WHERE account = %s FOR UPDATE"
            held.extend(cursor.execute(row, (ACCOUNT,)).fetchone() or ())
            # As the session's own setting, only sooner.
            cursor.execute("SET idle_in_transaction_session_timeout = '400ms'")
            holds.set()
            over.wait(20)
            cursor.execute("SELECT 1")

        thread = threading.Thread(target=still.transaction, args=(stand,))
        thread.start()
        holds.wait(20)
        assert limiter.take(10, 0.0) == 10
        ((state,),) = quick.run("SELECT (state->'sent'->>0)::float8 FROM contentops.limiter")
        assert state - held[0] >= 0.4, "stamped when the row was ours, not when it was asked for"
        over.set()
        thread.join()
