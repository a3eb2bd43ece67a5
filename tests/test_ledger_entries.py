"""Entries of a ledger: no row is written by a runner that does not hold it, and claims exclude each other."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import structs

from contentops.digest import Digest
from contentops.ledger import schema
from contentops.ledger.entries import ASSURED, EntryWriter, claim, release
from contentops.ledger.live_runners import ALIVE
from contentops.ledger.reading import DAMAGED, read_rows
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerAway, LedgerSession, WorkTaken
from contentops.model import ItemId, JobState, OpenEntry, RequestId
from contentops.state.codec import Drop
from tests.ledger_rows import OWNER, SERVER, entry, fill, text, write
from tests.postgres import Cluster, until
from tests.running import examples
from tests.state_facts import record

if TYPE_CHECKING:
    from contentops.ledger.session import Row

ITEMS = ("a", "b", "c")
ENDED = (JobState.PAID, JobState.FAILED)
RUNNERS = st.integers(0, 2)
SOME = st.sampled_from(ITEMS)


@dataclass
class Known:
    """A row as it should stand."""

    state: JobState
    holder: int
    """The number of a runner; 0: no one's."""
    taken: bool = False
    dropped: bool = False
    changed: int = field(default=0, compare=False)
    """By what was done last when it was written or let go of."""


@dataclass
class Process:
    """A runner, and what it has had."""

    session: LedgerSession
    runner: Runner
    writer: EntryWriter
    began: int
    ours: set[str] = field(default_factory=set)


class Interleaving(RuleBasedStateMachine):
    """Three runners over the same few rows, and what each of them may do according to a model."""

    def __init__(self, url: str, look: LedgerSession) -> None:
        super().__init__()
        self.url, self.look = url, look
        self.rows: dict[str, Known] = {}
        self.clock = itertools.count(1)
        look.run("TRUNCATE contentops.entry")
        self.processes = [self._begin() for _ in range(3)]

    def teardown(self) -> None:
        """All go."""
        for each in self.processes:
            each.session.close()

    def _begin(self) -> Process:
        session = LedgerSession(self.url)
        runner = Runner(session, who="someone@here")
        return Process(session, runner, EntryWriter(runner), next(self.clock))

    def _end(self, which: int) -> None:
        gone = self.processes[which]
        gone.session.close()
        until(lambda: (gone.runner.number,) not in self.look.run(f"SELECT * FROM {ALIVE} AS alive"))
        self.processes[which] = self._begin()

    def _alive(self, number: int) -> bool:
        return any(each.runner.number == number for each in self.processes)

    def _flush(self, which: int, *, may: bool) -> None:
        """It is durable where it may be, and else this runner is over."""
        if may:
            self.processes[which].writer.flush()
            return
        with pytest.raises(WorkTaken):
            self.processes[which].writer.flush()
        self._end(which)

    @rule(which=RUNNERS, item=SOME, state=st.sampled_from(JobState))
    def write(self, which: int, item: str, state: JobState) -> None:
        """A runner records how far a submit has come."""
        process, row = self.processes[which], self.rows.get(item)
        may = row is None or row.holder == process.runner.number
        # What was let go of before it began is in no one's way.
        may = may or (row is not None and row.dropped and not self._alive(row.holder) and row.changed < process.began)
        process.writer.note(OWNER, [entry(item, state)])
        self._flush(which, may=may)
        if may:
            process.ours.add(item)
            self.rows[item] = Known(state, process.runner.number, changed=next(self.clock))

    @rule(which=RUNNERS, item=SOME)
    def drop(self, which: int, item: str) -> None:
        """A runner lets go of a submit that never arrived."""
        process, row = self.processes[which], self.rows.get(item)
        free = row is not None and not row.holder and item not in process.ours
        mine = row is not None and row.holder == process.runner.number
        process.writer.note(OWNER, [Drop(RequestId(f"request-{item}"))])
        self._flush(which, may=row is None or mine or free or row.taken)
        if row is not None and (mine or free):
            row.taken = row.dropped = True
            row.changed = next(self.clock)
        process.ours.discard(item)

    @rule(which=RUNNERS, item=SOME)
    def take(self, which: int, item: str) -> None:
        """A checkout has it in a record."""
        process = self.processes[which]
        process.writer.note(OWNER, [record(item, request_id=RequestId(f"request-{item}"))])
        process.writer.flush()
        if item in self.rows and not self.rows[item].taken:
            self.rows[item].taken = True
            self.rows[item].changed = next(self.clock)

    @rule(which=RUNNERS, items=st.sets(SOME, min_size=1))
    def claim(self, which: int, items: set[str]) -> None:
        """A runner takes over what no one who lives has."""
        process, lost = self.processes[which], set()
        entries: list[OpenEntry] = []
        for item in sorted(items):
            row = self.rows.get(item)
            entries.append(entry(item, row.state if row else JobState.RUNNING))
            if row is None:
                self.rows[item] = Known(JobState.RUNNING, process.runner.number, changed=next(self.clock))
            elif row.holder == process.runner.number or row.state in ENDED or not self._alive(row.holder):
                row.holder = process.runner.number
            else:
                lost.add(item)
        found = claim(process.runner, OWNER, entries, ())
        assert found.lost == {f"request-{item}" for item in lost}
        if lost:
            # Nothing is done by who does not get all.
            self._end(which)
        else:
            process.writer.own(one.request_id for one in entries)
            process.ours |= items

    @rule(which=RUNNERS)
    def release(self, which: int) -> None:
        """A runner ends in good order."""
        number = self.processes[which].runner.number
        release(self.processes[which].runner)
        for row in self.rows.values():
            if row.holder == number and not row.taken and row.state is not JobState.UNKNOWN:
                row.holder = 0

    @rule(which=RUNNERS)
    def die(self, which: int) -> None:
        """A runner is gone, and another one begins."""
        self._end(which)

    @rule(which=RUNNERS)
    def break_down(self, which: int) -> None:
        """The connection of a runner breaks, and it comes back."""
        session = self.processes[which].session
        (pid,) = session.run("SELECT pg_backend_pid()")[0]
        self.look.run("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        session.run("SELECT 1")

    @invariant()
    def rows_are_as_they_should_be(self) -> None:
        """Nothing was written by who did not hold it."""
        found = self.look.run("SELECT item, state, coalesce(runner, 0), taken, dropped FROM contentops.entry")
        assert {item: Known(JobState(state), *rest) for item, state, *rest in found} == self.rows


def test_no_row_is_written_by_a_runner_that_does_not_hold_it(database: str) -> None:
    """Whatever three runners do, and however they end."""
    with LedgerSession(database) as look:
        schema.prepare(look)
        machine = cast("type[Interleaving]", functools.partial(Interleaving, database, look))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples(4),
                stateful_step_count=15,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )


def _states(session: LedgerSession) -> list[Row]:
    return session.run("SELECT item, state, taken, dropped FROM contentops.entry ORDER BY item")


def test_who_woke_up_lets_go_of_nothing_that_another_one_began(database: str) -> None:
    """It was frozen, another one went on with its submit and was stopped: what that one began is not dropped."""
    with LedgerSession(database) as first, LedgerSession(database) as second:
        schema.prepare(first)
        frozen, other = Runner(first), Runner(second)
        writer = EntryWriter(frozen)
        write(writer, entry("a", JobState.SUBMITTING))
        second.run("UPDATE contentops.entry SET runner = NULL")
        assert claim(other, OWNER, [entry("a", JobState.SUBMITTING)], ()).lost == set()
        going_on = EntryWriter(other)
        write(going_on, entry("a", JobState.RUNNING))
        release(other)
        writer.note(OWNER, [Drop(RequestId("request-a"))])
        with pytest.raises(WorkTaken):
            writer.flush()
        assert _states(second) == [("a", "running", False, False)]


@pytest.mark.parametrize("before", [False, True])
def test_what_was_let_go_of_may_be_written_by_who_began_later(database: str, *, before: bool) -> None:
    """One that stood still while another one began, sent it and let go of it does not send it once more."""
    with LedgerSession(database) as session:
        schema.prepare(session)
        early = Runner(session)
        with LedgerSession(database) as second:
            writer = EntryWriter(Runner(second))
            write(writer, entry("a", JobState.SUBMITTING))
            write(writer, Drop(RequestId("request-a")))
        intent = EntryWriter(Runner(session) if before else early)
        intent.note(OWNER, [entry("a", JobState.SUBMITTING)])
        if before:
            intent.flush()
        else:
            with pytest.raises(WorkTaken):
                intent.flush()
        assert _states(session) == [("a", "submitting", not before, not before)]


def test_all_or_nothing_is_written(database: str) -> None:
    """One row that is another's keeps all that was noted with it out, the text too."""
    with LedgerSession(database) as session, LedgerSession(database) as second:
        schema.prepare(session)
        fill(session, [entry("a", JobState.RUNNING)])
        writer = EntryWriter(Runner(second))
        writer.note(OWNER, [entry("b", JobState.PAID), entry("a", JobState.PAID)])
        writer.keep_text(OWNER, "server", entry("b", JobState.PAID).digest, text("b"))
        with pytest.raises(WorkTaken):
            writer.flush()
        assert _states(session) == [("a", "running", False, False)]
        assert session.run("SELECT count(*) FROM contentops.text") == [(0,)]


def test_a_text_that_names_no_submit_is_not_kept(database: str) -> None:
    """Its row would be that of every other such text, whatever project it is of."""
    with LedgerSession(database) as session:
        writer = EntryWriter(Runner(session))
        for lineage in ("L", "another"):
            owner = structs.replace(OWNER, lineage=lineage)
            writer.keep_text(owner, SERVER, Digest(f"sha256:{lineage}"), structs.replace(text("a"), request_id=""))
        writer.flush()
        assert session.run("SELECT request_id FROM contentops.text") == []


def test_a_flush_of_nothing_asks_only_now_and_then_whether_the_session_lives(database: str) -> None:
    """Within `ASSURED` seconds of the last answer nothing is asked; an answer counts from when it was asked for."""
    now = [0.0]
    with LedgerSession(database, patience=0) as session:
        writer = EntryWriter(Runner(session, clock=lambda: now[0]))
        now[0] = ASSURED + 0.1
        writer.flush()
        assert writer.flushed == now[0]
        session.close()
        now[0] += ASSURED
        writer.flush()
        now[0] += 0.1
        with pytest.raises(LedgerAway):
            writer.flush()


def test_a_submit_goes_on_from_what_is_known_of_it(database: str) -> None:
    """Whoever knows less of a submit than the ledger gets it, and is told that it has gone on."""
    with LedgerSession(database) as session:
        schema.prepare(session)
        fill(session, [entry("a", JobState.RUNNING), entry("b", JobState.RUNNING)])
        session.run("UPDATE contentops.entry SET runner = NULL")
        runner = Runner(session)
        known = [entry("a", JobState.SUBMITTING), entry("b", JobState.RUNNING)]
        assert claim(runner, OWNER, known, ()).lost == {"request-a"}
        assert claim(runner, OWNER, [], [RequestId("request-b"), RequestId("request-c")]).lost == {"request-b"}


def test_a_row_with_the_line_of_another_submit_cannot_be_used(session: LedgerSession) -> None:
    """Its item is left alone, since no one can say how far it has come."""
    fill(session, [entry("a", JobState.RUNNING), entry("b", JobState.RUNNING)])
    session.run("UPDATE contentops.entry SET line = (SELECT line FROM contentops.entry WHERE item = 'b')")
    rows = read_rows(session, OWNER)
    assert [one.item for one in rows.entries] == ["b"]
    assert {id_: one.holder for id_, one in rows.pending.items()} == {"request-a": DAMAGED}


def test_two_that_claim_at_once(database: str) -> None:
    """The second waits for the first, and gets nothing of what that one has."""
    with LedgerSession(database) as first, LedgerSession(database) as second:
        schema.prepare(first)
        fill(first, [entry(item, JobState.RUNNING) for item in ITEMS])
        first.run("UPDATE contentops.entry SET runner = NULL")
        mine, theirs = Runner(first), Runner(second)
        known = [structs.replace(entry(item, JobState.RUNNING), item=ItemId(item)) for item in ITEMS]
        with contextlib.ExitStack() as both:
            found: list[frozenset[RequestId]] = []
            threads = [
                threading.Thread(target=lambda one=one: found.append(claim(one, OWNER, known, ()).lost))
                for one in (mine, theirs)
            ]
            for thread in threads:
                thread.start()
                both.callback(thread.join)
        assert sorted(map(len, found)) == [0, 3]


def test_after_the_database_was_away_each_comes_back_for_its_own(processes: None) -> None:
    """Locks are gone with the database: what those who worked before have is left to them for a moment."""
    with Cluster() as cluster, LedgerSession(cluster.url()) as session, LedgerSession(cluster.url()) as second:
        schema.prepare(session)
        runner, other = Runner(session), Runner(second)
        writer = EntryWriter(runner)
        write(writer, entry("a", JobState.RUNNING))
        cluster.kill()
        cluster.start()
        assert claim(other, OWNER, [entry("a", JobState.RUNNING)], ()).lost == {"request-a"}
        write(writer, entry("a", JobState.PAID))
        assert _states(second) == [("a", "paid", False, False)]
