"""Jobs of a ledger: no runner orders what another one has claimed, claims exclude each other, no state is lost."""

import functools
import threading
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from msgspec import structs

from contentops.ledger import session as schema
from contentops.ledger.jobs import ALIVE, WORKING, JobKey, JobStage, Runner, fill, key_of, read, stage_of
from contentops.ledger.project import JobWriter
from contentops.ledger.session import LedgerSession, Row, WorkTaken
from contentops.model import JobState, RequestId
from tests.ledger_rows import SCOPE, SERVER, a_job, write
from tests.ledger_rows import fill as written_before
from tests.postgres import Cluster, until
from tests.running import examples

STATES = tuple(JobState)
ITEMS = ("a", "b", "c")
RUNNERS = st.integers(0, 2)
SOME = st.sampled_from(ITEMS)


def _request(item: str) -> tuple[str, RequestId]:
    return SERVER, RequestId(f"request-{item}")


def _states(session: LedgerSession) -> list[Row]:
    return session.run("SELECT line::jsonb->>'item', state FROM contentops.job ORDER BY request_id, at")


def _further(state: str | None, other: str | None) -> bool:
    return state is not None and (other is None or STATES.index(JobState(state)) > STATES.index(JobState(other)))


@dataclass
class Process:
    """A runner, what it has claimed, and what its checkout knows."""

    session: LedgerSession
    runner: Runner
    known: dict[JobKey, JobStage]
    writer: JobWriter
    ours: set[str] = field(default_factory=set)
    seen: dict[str, str] = field(default_factory=dict)


class Interleaving(RuleBasedStateMachine):
    """Three runners over the same few requests, and what each of them may do according to a model."""

    def __init__(self, url: str, look: LedgerSession) -> None:
        super().__init__()
        self.url, self.look = url, look
        self.rows: dict[str, str] = {}
        self.claims: dict[str, int] = {}
        """The number of the runner; 0: it has released it."""
        look.run("TRUNCATE contentops.job, contentops.claim")
        self.processes = [self._begin() for _ in range(3)]

    def teardown(self) -> None:
        """All go."""
        for each in self.processes:
            each.session.close()

    def _begin(self) -> Process:
        session = LedgerSession(self.url)
        runner, known = Runner(session, who="someone@here"), dict[JobKey, JobStage]()
        return Process(session, runner, known, JobWriter(runner, SCOPE, known))

    def _end(self, which: int) -> None:
        gone = self.processes[which]
        gone.session.close()
        until(lambda: (gone.runner.number,) not in self.look.run(f"SELECT * FROM {ALIVE} AS alive"))
        self.processes[which] = self._begin()

    def _is_free(self, item: str, number: int) -> bool:
        live = {each.runner.number for each in self.processes} - {number}
        return self.claims.get(item, 0) not in live

    def _may_write(self, process: Process, item: str, state: str) -> bool:
        number, row = process.runner.number, self.rows.get(item)
        if item in process.ours:
            may = self.claims.get(item) == number
        elif JobState(state) in WORKING:
            may = self._is_free(item, number) and not _further(row, process.seen.get(item))
        else:
            may = True
        return may and not (state == "submitting" and _further(row, state))

    @rule(which=RUNNERS, item=SOME, state=st.sampled_from(JobState))
    def write(self, which: int, item: str, state: JobState) -> None:
        """A runner records how far a job has come: what it has to order or poll is claimed by it."""
        process = self.processes[which]
        may = self._may_write(process, item, state.value)
        process.writer.note([a_job(item, state)])
        if not may:
            with pytest.raises(WorkTaken):
                process.writer.flush()
            self._end(which)
            return
        process.writer.flush()
        if state in WORKING:
            process.ours.add(item)
            self.claims[item] = process.runner.number
        for known in (self.rows, process.seen):
            if not _further(known.get(item), state.value):
                known[item] = state.value

    @rule(which=RUNNERS)
    def read(self, which: int) -> None:
        """A checkout takes what the ledger knows."""
        process = self.processes[which]
        found = read(process.session, SCOPE, process.known)
        for jobs in found.jobs.values():
            process.known.update((key_of(job), stage_of(job)) for job in jobs)
        process.seen |= {item: row for item, row in self.rows.items() if _further(row, process.seen.get(item))}
        assert {STATES[number // 2].value for number, _ in process.known.values()} == {*process.seen.values()}

    @rule(which=RUNNERS, item=SOME, state=st.sampled_from(JobState))
    def fill(self, which: int, item: str, state: JobState) -> None:
        """A checkout knows from git how far a job has come."""
        process, job = self.processes[which], a_job(item, state)
        fill(process.session, SCOPE, {}, {"": [job]})
        if _further(state.value, self.rows.get(item)):
            self.rows[item] = state.value

    @rule(which=RUNNERS, items=st.sets(SOME, min_size=1))
    def claim(self, which: int, items: set[str]) -> None:
        """A runner claims what no one who lives has; what went on since it was read is not for it."""
        process, lost = self.processes[which], set[str]()
        number = process.runner.number
        for item in items:
            if not self._is_free(item, number):
                lost.add(item)
            elif self.claims.get(item) != number and _further(self.rows.get(item), process.seen.get(item)):
                lost.add(item)
                self.claims[item] = 0
            else:
                self.claims[item] = number
        assert process.writer.claim(map(_request, items)) == {f"request-{item}" for item in lost}
        process.ours |= items - lost

    @rule(which=RUNNERS)
    def release(self, which: int) -> None:
        """A runner ends in good order."""
        self.processes[which].writer.close()
        for item, number in self.claims.items():
            if number == self.processes[which].runner.number:
                self.claims[item] = 0

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
        """Nothing was ordered by who had not claimed it, and no state was lost."""
        assert dict(_states(self.look)) == self.rows
        claims = self.look.run("SELECT substr(request_id, 9), coalesce(runner, 0) FROM contentops.claim")
        assert dict(claims) == self.claims


def test_no_runner_orders_what_another_one_has_claimed(database: str) -> None:
    """Whatever three runners do, and however they end."""
    with LedgerSession(database) as look:
        schema.migrate(look)
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


@pytest.mark.parametrize("ended", [JobState.RUNNING, JobState.NEVER, JobState.SETTLED])
def test_who_woke_up_sends_nothing_that_another_one_went_on_with(database: str, ended: JobState) -> None:
    """It was frozen, another one took its claim, went on and is gone: neither its order nor a new one is recorded."""
    with LedgerSession(database) as first, LedgerSession(database) as second:
        schema.migrate(first)
        order = a_job("a", JobState.SUBMITTING)
        frozen = JobWriter(Runner(first), SCOPE)
        write(frozen, order)
        second.run("UPDATE contentops.claim SET runner = NULL")
        going_on = JobWriter(Runner(second), SCOPE, {key_of(order): stage_of(order)})
        assert going_on.claim([_request("a")]) == frozenset()
        write(going_on, structs.replace(order, state=ended))
        going_on.close()
        for job in (order, structs.replace(order, submitted_at="2026-02-25T09:00:00Z")):
            frozen.note([job])
            with pytest.raises(WorkTaken):
                frozen.flush()
        assert _states(second) == [("a", ended.value)]


def test_an_order_of_an_id_that_another_one_ordered_is_not_recorded(database: str) -> None:
    """Whoever inserts the first row orders it, at whatever time: the other one takes its text later."""
    with LedgerSession(database) as first, LedgerSession(database) as second:
        schema.migrate(first)
        quick, slow = JobWriter(Runner(first), SCOPE), JobWriter(Runner(second), SCOPE)
        write(quick, a_job("a", JobState.SUBMITTING))
        slow.note([structs.replace(a_job("a", JobState.SUBMITTING), submitted_at="2026-02-25T07:00:00Z")])
        with pytest.raises(WorkTaken):
            slow.flush()
        write(quick, a_job("a", JobState.PAID))
        with LedgerSession(database) as third:
            assert JobWriter(Runner(third), SCOPE).claim([_request("a")]) == {"request-a"}
        assert _states(first) == [("a", "paid")]


def test_what_never_arrived_may_be_ordered_again(database: str) -> None:
    """Under its own id, by whoever knows that: both orders have a row."""
    with LedgerSession(database) as session:
        schema.migrate(session)
        never = a_job("a", JobState.NEVER)
        written_before(session, [never])
        writer = JobWriter(Runner(session), SCOPE, {key_of(never): stage_of(never)})
        write(writer, structs.replace(a_job("a", JobState.SUBMITTING), submitted_at="2026-02-25T09:00:00Z"))
        assert _states(session) == [("a", "never"), ("a", "submitting")]


def test_all_or_nothing_is_written(database: str) -> None:
    """One job that is another's keeps all that was noted with it out."""
    with LedgerSession(database) as session, LedgerSession(database) as second:
        schema.migrate(session)
        write(JobWriter(Runner(session), SCOPE), a_job("a", JobState.RUNNING))
        writer = JobWriter(Runner(second), SCOPE)
        writer.note([a_job("b", JobState.PAID), a_job("a", JobState.RUNNING)])
        with pytest.raises(WorkTaken):
            writer.flush()
        assert _states(session) == [("a", "running")]


def test_ledger_and_checkout_get_what_the_other_one_lacks(session: LedgerSession) -> None:
    """Only what is missing or further, of all environments; a second look has nothing new."""
    staging = structs.replace(SCOPE, environment="staging")
    written_before(session, [a_job("a", JobState.RUNNING), a_job("b", JobState.PAID)])
    written_before(session, [a_job("c", JobState.SETTLED)], staging)
    here = {"": [a_job("a", JobState.PAID), a_job("b", JobState.RUNNING)], "prod": [a_job("d", JobState.FAILED)]}
    known = {key_of(job): stage_of(job) for jobs in here.values() for job in jobs}
    found = read(session, SCOPE, known)
    assert {name: [(job.item, job.state.value) for job in jobs] for name, jobs in found.jobs.items()} == {
        "": [("b", "paid")],
        "staging": [("c", "settled")],
    }
    fill(session, SCOPE, found.stages, here)
    assert _states(session) == [("a", "paid"), ("b", "paid"), ("c", "settled"), ("d", "failed")]
    assert session.run("SELECT environment FROM contentops.job ORDER BY request_id") == [
        ("",), ("",), ("staging",), ("prod",),
    ]  # fmt: skip
    known |= {key_of(job): stage_of(job) for jobs in found.jobs.values() for job in jobs}
    assert read(session, SCOPE, known).jobs == {}


@pytest.mark.parametrize("state", [None, *JobState])
def test_what_a_live_runner_has_is_left_to_it(database: str, session: LedgerSession, state: JobState | None) -> None:
    """A claim says who works on it, also before anything was sent; a text that was paid for is free for anyone."""
    with LedgerSession(database) as other:
        runner = Runner(other, who="ann@build-7")
        writer = JobWriter(runner, SCOPE)
        assert writer.claim([_request("a")]) == frozenset()
        if state is not None:
            write(writer, a_job("a", state))
        pending = read(session, SCOPE, {}).pending
        is_open = state is None or state in WORKING or state in {JobState.NEVER, JobState.GIVEN_UP}
        assert pending == ({"request-a": "apply on build-7"} if is_open else {})
        assert read(session, SCOPE, {}, but=runner.number).pending == {}
        assert read(session, structs.replace(SCOPE, server="https://other"), {}).pending == {}


def test_two_that_claim_at_once(database: str) -> None:
    """The second waits for the first, and gets nothing of what that one has."""
    with LedgerSession(database) as first, LedgerSession(database) as second:
        schema.migrate(first)
        found: list[frozenset[RequestId]] = []
        writers = [JobWriter(Runner(each), SCOPE) for each in (first, second)]
        threads = [
            threading.Thread(target=lambda one=one: found.append(one.claim(map(_request, ITEMS)))) for one in writers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(len, found)) == [0, 3]


def test_after_the_database_was_away_each_comes_back_for_its_own(processes: None) -> None:
    """Locks are gone with the database: what those who worked before have is left to them for a moment."""
    with Cluster() as cluster, LedgerSession(cluster.url()) as session, LedgerSession(cluster.url()) as second:
        schema.migrate(session)
        writer, other = JobWriter(Runner(session), SCOPE), JobWriter(Runner(second), SCOPE)
        write(writer, a_job("a", JobState.RUNNING))
        cluster.kill()
        cluster.start()
        assert other.claim([_request("a")]) == {"request-a"}
        write(writer, a_job("a", JobState.PAID))
        assert _states(second) == [("a", "paid")]
