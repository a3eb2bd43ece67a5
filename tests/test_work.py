"""A worker over a real ledger, with a server in memory and a virtual clock: what it submits, leaves, and takes over."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec import structs, to_builtins

from contentops.errors import ExitCode, Refused, StateError, UsageError
from contentops.execution.primitives import Stop
from contentops.ledger.account import account_of, proven_fact, read_fact, sign_in, write_fact
from contentops.ledger.entries import EntryOwner, EntryWriter
from contentops.ledger.limiter import SharedLimiter
from contentops.ledger.live_runners import ALIVE, RUNNER
from contentops.ledger.maintenance import restored
from contentops.ledger.queue import (
    CHUNK,
    DEPOSITED,
    ClaimedSubmit,
    Deposited,
    QueuedWork,
    cancel,
    claim_work,
    deposit,
    read_queue,
)
from contentops.ledger.runner import Runner
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, ItemId, JobState, OpenEntry, Request, RequestId, request_id
from contentops.operations.opening import Runtime
from contentops.operations.worker.claims import FIRST
from contentops.operations.worker.work import WorkOptions, work
from contentops.operations.worker.worker_metrics import GATHERED
from contentops.reporting.work import exit_code_of_work
from contentops.state.codec import Drop, line_of
from contentops.state.lock import lineage_of
from tests.fakes.api import FakeApi, Killed, on
from tests.fakes.clock import Timeline
from tests.fakes.clock import run as run_virtually
from tests.fakes.wire import Wire
from tests.postgres import until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from contentops.model import AccountWork, Event, Queue

KEY = "wrk_live_of_a_test"
API = ApiSettings(base_url="https://api.example.test/v1", requests_per_minute=0, max_in_flight=4)
ENVIRON = {"WRITERZROOM_API_KEY": KEY, "CONTENTOPS_SERVERS": "https://api.example.test"}


class Room:
    """A ledger, a server, a clock, and what is deposited and worked on there."""

    def __init__(self, url: str, api: FakeApi) -> None:
        self.url, self.api, self.timeline = url, api, Timeline()
        self.events: list[Event] = []
        self.heard: Callable[[Event], None] = self.events.append
        self.beside: Callable[[], Coroutine[Any, Any, None]] | None = None
        """What another one does, while a worker works."""
        self.session = LedgerSession(url, patience=0)
        self.runner = Runner(self.session, kind="apply", who="ann@desk")
        self.account = account_of(API, KEY)
        sign_in(self.session, self.account)

    def owner(self, project: str = "blog") -> EntryOwner:
        """Whose rows those of a project are."""
        return EntryOwner(lineage=lineage_of(project), environment="", project=project, account=self.account.id)

    def deposit(self, *items: str, project: str = "blog", credits_: int = 4) -> None:
        """Queue a submit for each item."""
        rows = [_deposited(project, item, place, credits_) for place, item in enumerate(items)]
        deposit(self.runner, self.owner(project), rows)

    def begun(self, item: str, state: JobState, *, job_id: str = "") -> OpenEntry:
        """What an apply noted that has died since, at the time of the clock."""
        row = _deposited("blog", item, 0, 4)
        entry = OpenEntry(
            request_id=row.request_id,
            item=ItemId(item),
            digest=row.digest,
            attempt=1,
            state=state,
            server=API.server,
            dialect="v1",
            credits=4,
            job_id=job_id,
            submitted_at="2026-02-25T05:00:00Z",
        )
        with LedgerSession(self.session.url) as other:
            gone = Runner(other, kind="apply", who="bob@gone")
            writer = EntryWriter(gone)
            writer.note(self.owner(), (entry,))
            writer.flush()
        while self.session.run(f"SELECT 1 WHERE %s IN {ALIVE}", (gone.number,)):
            pass
        return entry

    def work(
        self, stop: Stop | None = None, environ: Mapping[str, str] = ENVIRON, **options: Any
    ) -> tuple[AccountWork, ...]:
        """A worker, to its end."""
        runtime = Runtime(
            environ=environ,
            wall=self.timeline.wall,
            random=random.Random(7),
            transport=self.api,
            run=lambda story: run_virtually(self._with_others(story), self.timeline),
        )
        return work(self.url, WorkOptions(**{"once": True, **options}), stop or Stop(), self.heard, runtime)

    async def _with_others(self, story: Coroutine[Any, Any, None]) -> None:
        other = asyncio.ensure_future(self.beside()) if self.beside is not None else None
        await story
        if other is not None:
            await other

    def queue(self) -> Queue:
        """What is queued and under way."""
        return read_queue(self.session)

    def states(self) -> dict[str, str]:
        """The state of every row, by item."""
        return dict(self.session.run("SELECT item, state FROM contentops.entry ORDER BY item"))

    def texts(self) -> list[str]:
        """The items whose texts are kept."""
        return [item for (item,) in self.session.run("SELECT item FROM contentops.text ORDER BY item")]

    def submits(self) -> list[Any]:
        """What was submitted, in order."""
        return [seen for seen in self.api.requests if seen.name == "submit"]

    def notes(self) -> str:
        """What the worker said."""
        return "\n".join(str(event.data.get("message")) for event in self.events if event.kind == "note")


def _deposited(project: str, item: str, place: int, credits_: int) -> Deposited:
    request = Request(template="blog_article_generator", style="general_blog", inputs={"topic": f"All about {item}"})
    return Deposited(
        request_id=request_id(lineage_of(project), "", ItemId(item), request.digest, 1),
        item=ItemId(item),
        digest=request.digest,
        work=QueuedWork(request=request, attempt=1, credits=credits_, output=f"out/{item}.md", job_timeout=900.0),
        credits=credits_,
        plan_id="sha256:plan",
        place=place,
    )


def _room(**habits: Any) -> Any:
    """A fixture: a ledger with an account, and a server with these habits."""

    @pytest.fixture
    def room(database: str) -> Iterator[Room]:
        made = Room(database, FakeApi(**habits))
        yield made
        made.session.close()

    return room


room, quick = _room(duration=20), _room(duration=5)
unnamed = _room(duration=20, request_ids="ignore", names_request=False)
"""A server that makes its own ids and stores no text under ours."""


def test_what_was_paid_for_is_not_queued_again(room: Room) -> None:
    """A plan may be older than an apply elsewhere, which let go of a text that failed its checks and paid for another."""
    room.deposit("a")
    room.work()
    (name,) = room.session.run("SELECT request_id FROM contentops.entry")[0]
    writer = EntryWriter(room.runner)
    writer.note(room.owner(), (Drop(RequestId(name)),))
    writer.flush()
    assert room.session.run("SELECT dropped FROM contentops.entry") == [(True,)]
    room.deposit("a")
    assert (room.states(), room.queue().submits) == ({"a": "paid"}, ())


def test_a_claim_whose_answer_was_lost_is_claimed_again(room: Room, database: str) -> None:
    """Else what it claimed would be held, and worked on by no one, for as long as the worker lives."""
    room.deposit("a", "b", "c")
    with Wire.to(database) as wire, LedgerSession(wire.url(database)) as session:
        runner = Runner(session, kind="worker")
        (known,) = claim_work(runner, room.account.id, API.server, 1)
        wire.lose_answer(after=2)  # to BEGIN and to the claim; that to COMMIT does not arrive
        (found,) = claim_work(runner, room.account.id, API.server, 1, [known.request_id])
        assert wire.connections == 2
        assert found.request_id == _deposited("blog", "b", 0, 4).request_id


def test_what_a_restored_queue_may_have_paid_for_waits_for_a_person(unnamed: Room) -> None:
    """The backup is older than the work, and the server makes its own ids: nothing is sent again, by name."""
    unnamed.deposit("a", "b", "c")
    unnamed.work()
    paid = len(unnamed.api.charges)
    unnamed.session.run("UPDATE contentops.entry SET state = 'queued', line = '', runner = NULL")
    for statement in ("DELETE FROM contentops.text", "DELETE FROM contentops.fact WHERE name <> 'database'"):
        unnamed.session.run(statement)
    assert restored(unnamed.session)
    done = unnamed.work()
    assert (exit_code_of_work(done), len(unnamed.api.charges), paid) == (ExitCode.INCOMPLETE, 3, 3)
    (waiting,) = [one for one in unnamed.queue().submits if one.state == "unknown"]
    assert "this server cannot tell" in waiting.error


UNUSABLE_SETTINGS: tuple[dict[str, object], ...] = (
    {"dialect": "klingon"},
    {"base_url": "https://[", "dialect": "auto"},
    {"base_url": "ftp://api.example.test/v1"},
    {"base_url": "https://api.example.test/v1\n"},
    {"requests_per_minute": -1},
    {"requests_per_minute": 10**30},
    {"max_in_flight": 0},
    {"job_timeout": 1e308},
    {"save": "now"},
    {"user_env": "A B"},
    {"key_env": ""},
    {"base_url": 7},
)


def test_accounts_that_cannot_be_used_are_named_and_skipped(room: Room) -> None:
    """Anyone who may write the ledger may have written them; all other accounts are served."""
    for at, said in enumerate(UNUSABLE_SETTINGS):
        room.session.run(
            "INSERT INTO contentops.account (id, server, fingerprint, settings) VALUES (%s, %s, %s, %s)",
            (f"bad {at}", API.server, room.account.fingerprint, json.dumps({**to_builtins(API), **said})),
        )
    room.deposit("a")
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.texts() == ["a"]
    named = [room.notes().count(f"account `bad {at}` is invalid") for at in range(len(UNUSABLE_SETTINGS))]
    assert named == [1] * len(UNUSABLE_SETTINGS)


def test_what_waits_for_a_rotated_key_is_queued_for_the_key_of_today(room: Room) -> None:
    """The same plan, deposited again with another key: its workers find it."""
    room.deposit("a")
    room.account = account_of(API, "another_key")
    sign_in(room.session, room.account)
    assert room.work(environ={**ENVIRON, "WRITERZROOM_API_KEY": "another_key"})[0].credits == 0
    room.deposit("a")
    room.work(environ={**ENVIRON, "WRITERZROOM_API_KEY": "another_key"})
    assert room.texts() == ["a"]


def test_a_running_job_whose_item_was_renamed_is_claimed(room: Room) -> None:
    """Its id follows from the name that it had when it was submitted; what no answer came for is left to an apply."""
    for state, job, fits in ((JobState.RUNNING, "job-1", True), (JobState.SUBMITTING, "", False)):
        entry = room.begun(state.value, state, job_id=job)
        room.session.run(
            "UPDATE contentops.entry SET item = 'z', line = %s WHERE item = %s",
            (line_of(structs.replace(entry, item=ItemId("z"))), state.value),
        )
        (claimed,) = claim_work(room.runner, room.account.id, API.server, 1)
        assert isinstance(claimed, ClaimedSubmit) is fits


def test_one_environment_is_taken_out_of_the_queue(room: Room) -> None:
    """The other ones keep what waits for them."""
    room.deposit("a", "b")
    room.session.run("UPDATE contentops.entry SET environment = 'staging' WHERE item = 'b'")
    assert cancel(room.session, ("a", "b"), environment="staging").removed == ("b",)
    assert cancel(room.session, (), environment="staging", everything=True).removed == ()
    assert cancel(room.session, ("a", "b"), environment="").removed == ("a",)


def test_projects_take_turns(room: Room) -> None:
    """However much one project has queued, another one's submits go out in between."""
    room.deposit("a1", "a2", "a3", "a4", project="a")
    room.deposit("b1", "b2", project="b")
    room.deposit("b3", project="b")
    done = room.work(concurrency=1)
    assert exit_code_of_work(done) is ExitCode.DONE
    topics = [str(seen.body["inputs"]["topic"]).split()[-1] for seen in room.submits()]
    assert topics == ["a1", "b1", "a2", "b2", "a3", "b3", "a4"]


@pytest.mark.parametrize(
    "change",
    ["account = 'another'", "priority = 5", "runner = 1", "cancelled = true", "taken = true", "error = 'no'"],
)
def test_a_project_that_joins_begins_beside_the_first_submit_that_waits(room: Room, change: str) -> None:
    """What waits for another account or priority, or waits for no worker, decides nothing."""
    room.deposit("a1", "a2", "a3", project="a")
    room.session.run(f"UPDATE contentops.entry SET {change} WHERE item IN ('a1', 'a2')")
    room.deposit("b1", "b2", project="b")
    ranks = room.session.run("SELECT rank FROM contentops.entry WHERE project = 'b' ORDER BY item")
    assert ranks == [(2,), (3,)]


def test_the_first_job_runs_alone(room: Room) -> None:
    """Until the account has completed a job, one runs; what another worker has seen counts for all."""
    room.deposit("a", "b", "c")
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    first, second, third = (seen.time for seen in room.submits())
    assert second - first >= 20
    assert third == second
    room.deposit("d", "e")
    room.work()
    fourth, fifth = (seen.time for seen in room.submits()[3:])
    assert fifth == fourth


def test_a_place_that_is_free_is_taken_at_once(room: Room) -> None:
    """What ends is followed within a moment, though one job ran alone and nothing could be claimed; so is the last one."""
    times: dict[str, list[float]] = {"item-started": [], "item-done": []}
    room.heard = lambda event: times.get(event.kind, []).append(room.timeline.now)
    room.deposit("a", "b", "c")
    room.work()
    assert times["item-started"][1] - times["item-done"][0] < 0.15
    assert room.timeline.now - times["item-done"][-1] < 0.15


def test_only_the_key_s_accounts_are_served(room: Room) -> None:
    """A row never decides where a key goes: neither another key's account, nor a server that is on no list."""
    room.deposit("a")
    for key, said in (("wrk_live_of_another", "the key in"), ("", "is not set")):
        with pytest.raises(StateError, match="no account of this ledger uses") as unknown:
            room.work(environ={**ENVIRON, "WRITERZROOM_API_KEY": key})
        assert (unknown.value.exit_code, said in unknown.value.message) == (ExitCode.ERROR, True)
    with pytest.raises(Refused, match=r"https://api\.example\.test:443"):
        room.work(environ={**ENVIRON, "CONTENTOPS_SERVERS": "https://elsewhere.test"})
    assert not room.api.requests
    assert room.states() == {"a": "queued"}


def test_a_refused_submit_is_not_sent_again_and_again(room: Room) -> None:
    """It stands in the queue with the server's words, no worker takes it, and who asks for it again gets it tried again."""
    room.deposit("zero")
    room.work()
    room.deposit("bad", "good")
    room.api.fault(on("submit", 2), lambda: httpx.Response(400, json={"detail": "topic is too long"}))
    done = room.work()
    assert exit_code_of_work(done) is ExitCode.INCOMPLETE
    (left,) = room.queue().submits
    assert (left.item, left.state, left.runner) == ("bad", "refused", "")
    assert "topic is too long" in left.error
    submits = len(room.api.requests)
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert len(room.api.requests) == submits
    room.deposit("bad")
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.texts() == ["bad", "good", "zero"]


@pytest.mark.parametrize(
    ("status", "stopped", "code"), [(402, "credits", ExitCode.PAUSED), (401, "unauthorized", ExitCode.INCOMPLETE)]
)
def test_what_stops_an_apply_stops_a_worker(room: Room, status: int, stopped: str, code: ExitCode) -> None:
    """It says why and ends; what is queued stays queued, and free."""
    room.deposit("a", "b", "c")
    room.api.fault(on("submit"), lambda: httpx.Response(status, json={"detail": "no"}))
    done = room.work(once=False)
    assert done[0].stopped == stopped
    assert exit_code_of_work(done) is code
    assert [(one.state, one.runner) for one in room.queue().submits] == [("queued", "")] * 3


def test_an_account_that_stops_holds_nothing_while_others_go_on(room: Room) -> None:
    """Other workers may try its first job, and take what it had claimed."""
    other = structs.replace(room.account, id="slow")
    sign_in(room.session, other)
    room.deposit("a", "b")
    deposit(room.runner, structs.replace(room.owner("other"), account=other.id), [_deposited("other", "c", 0, 4)])
    room.api.fault(on("submit", 1), lambda: httpx.Response(402, json={"detail": "no"}))
    held: list[object] = []
    lock = "classid = %s AND objid::bigint = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    number = int.from_bytes(hashlib.sha256(room.account.id.encode()).digest()[:4], "big")

    def heard(event: Event) -> None:
        if event.kind == "item-started" and event.item == "blog/a":
            held.append(room.session.run(f"SELECT count(*) FROM pg_locks WHERE {lock}", (FIRST, number)))
        if event.kind == "item-done" and event.item == "other/c":
            held.append(room.session.run(f"SELECT count(*) FROM pg_locks WHERE {lock}", (FIRST, number)))
            held.append(room.session.run("SELECT item FROM contentops.entry WHERE runner IS NOT NULL"))

    room.heard = heard
    done = room.work()
    assert {one.account: one.stopped for one in done} == {room.account.id: "credits", "slow": ""}
    assert held == [[(1,)], [(0,)], [("c",)]]


def test_a_lost_answer_is_found_by_the_next_worker(room: Room) -> None:
    """A submit of which only the intent is on record is looked up, and paid for once."""
    room.deposit("zero", "a")
    room.work(concurrency=1)
    room.deposit("b")
    room.api.fault(on("submit", 3), "kill-after")
    with pytest.raises(Killed):
        room.work()
    assert room.states()["b"] == "submitting"
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.api.charged("All about b") == 1
    assert room.texts() == ["a", "b", "zero"]


def test_what_an_apply_began_is_polled_and_never_submitted(room: Room) -> None:
    """A submit of an apply that died, and that never arrived, is taken out: what it asked for is not known here."""
    room.deposit("zero")
    room.work()
    room.begun("lost", JobState.SUBMITTING)
    submits = room.submits()
    done = room.work()
    assert exit_code_of_work(done) is ExitCode.INCOMPLETE
    assert room.submits() == submits
    assert room.queue().size == 0


def test_cancelled_submits_are_left_out(room: Room) -> None:
    """What no one holds is removed; what is held is marked; what was sent is named; and it can be requested again."""
    room.deposit("a", "b", "c")
    room.begun("sent", JobState.RUNNING, job_id="job-1")
    with LedgerSession(room.session.url) as other:
        holder = Runner(other, kind="worker", who="eve@node")
        room.session.run("UPDATE contentops.entry SET runner = %s WHERE item = 'b'", (holder.number,))
        found = cancel(room.session, ["a", "b", "sent"])
        assert (found.removed, found.told, found.under_way) == (("a",), ("b",), ("sent",))
        assert room.states() == {"b": "queued", "c": "queued", "sent": "running"}
        shown = {one.item: (one.state, one.runner) for one in room.queue().submits}
        assert shown["b"] == ("cancelled", "eve@node")
    room.deposit("a", "b")
    assert {one.item: one.state for one in room.queue().submits if one.state == "queued"}.keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    "change",
    [
        "lineage = '../..'",
        "digest = 'sha256:0'",
        "item = 'other'",
        "work = '{}'",
        "work = '[1, 2]'",
        "work = jsonb_set(work, '{request,mode}', '\"endless\"')",
        "work = jsonb_set(work, '{job_timeout}', '-1')",
        "state = 'running', line = '{\"open\": 1}'",
    ],
)
def test_rows_that_say_what_cannot_be_are_left_out(room: Room, change: str) -> None:
    """Nothing is sent for them, they crash no worker, and no one takes them again."""
    room.deposit("a")
    room.session.run(f"UPDATE contentops.entry SET {change}")
    for _ in range(2):
        assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.session.run("SELECT runner, error <> '' FROM contentops.entry") == [(None, True)]
    assert not room.submits()


def test_a_worker_that_is_asked_to_stop_lets_go(room: Room) -> None:
    """It submits nothing more and polls on for a while; what is open then is free for others, who pay for nothing twice."""
    room.deposit("zero")
    room.work()
    room.deposit("a", "b", "c", "d", "e", "f")
    stop = Stop()

    def stopping() -> httpx.Response:
        stop.request()
        return httpx.Response(503)

    room.api.fault(on("submit", 3), stopping)
    done = room.work(stop, once=False, concurrency=2)
    assert done[0].stopped == "interrupted"
    assert exit_code_of_work(done) is ExitCode.INTERRUPTED
    assert exit_code_of_work(done, endless=True) is ExitCode.DONE, "it has no other end"
    assert all(one.runner == "" for one in room.queue().submits)
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.texts() == ["a", "b", "c", "d", "e", "f", "zero"]
    assert all(room.api.charged(f"All about {item}") == 1 for item in "abcdef")


def test_a_dropped_submit_of_the_queue_is_queued_again(room: Room) -> None:
    """What never arrived costs nothing and is not lost."""
    room.deposit("a")
    room.api.fault(on("submit", 1), "refuse")
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert room.api.charged("All about a") == 1


def test_a_worker_whose_work_was_taken_begins_again(room: Room) -> None:
    """It stood still for so long that its locks went to another one: nothing more leaves, and it goes on as a new runner."""
    room.deposit("zero")
    room.work()
    room.deposit("a", "b")
    thief = LedgerSession(room.session.url)

    def rob() -> httpx.Response:
        (number,) = room.session.run("SELECT max(number) FROM contentops.runner")[0]
        held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s"
        room.session.run(f"SELECT pg_terminate_backend(pid) FROM ({held}) AS holding", (RUNNER, number))
        while not thief.lock(RUNNER, number):
            pass
        return httpx.Response(429, headers={"Retry-After": "1"}, json={})

    def heard(event: Event) -> None:
        room.events.append(event)
        if "starts again" in str(event.data.get("message")):
            thief.close()

    room.heard = heard
    room.api.fault(on("submit", 2), rob)
    assert exit_code_of_work(room.work()) is ExitCode.DONE
    assert "starts again" in room.notes()
    assert [room.api.charged(f"All about {item}") for item in "ab"] == [1, 1]
    assert room.texts() == ["a", "b", "zero"]


def test_what_no_one_can_say_stays_for_a_person(unnamed: Room) -> None:
    """A lost submit on a server that ignores our ids is looked for, then left as unknown: no worker takes it again."""
    unnamed.deposit("zero")
    unnamed.work()
    unnamed.deposit("a", "b")
    unnamed.api.fault(on("submit", 2), "kill-after")
    with pytest.raises(Killed):
        unnamed.work(concurrency=1)
    done = unnamed.work(concurrency=1)
    assert exit_code_of_work(done) is ExitCode.INCOMPLETE
    assert done[0].results == {"done": 1, "unknown": 1}
    assert [(one.item, one.state, one.runner) for one in unnamed.queue().submits] == [("a", "unknown", "")]
    submits = unnamed.api.count("submit")
    assert exit_code_of_work(unnamed.work()) is ExitCode.DONE
    assert (unnamed.api.count("submit"), unnamed.api.charged("All about a")) == (submits, 1)


def test_another_limit_holds_for_workers_that_run(room: Room) -> None:
    """What the last deposit says of the account counts from then on, for everyone."""
    room.deposit("a", "b", "c")

    def heard(event: Event) -> None:
        if event.kind == "item-started":
            sign_in(room.session, structs.replace(room.account, api=structs.replace(API, requests_per_minute=60_000)))

    room.heard = heard
    room.work(concurrency=1)
    ((log,),) = room.session.run("SELECT state->'log' FROM contentops.limiter")
    sent = sum(log[1::2])
    assert 0 < sent < len(room.api.requests)


def test_an_account_that_was_asked_to_wait_is_worked_for_later(room: Room) -> None:
    """Whichever process was asked: for longer than a job may take, no one stands there waiting."""
    with LedgerSession(room.session.url) as limiting:
        SharedLimiter(limiting, room.account.id, 0).throttled(0.0, 3600.0)
    room.deposit("a")
    done = room.work()
    assert (done[0].stopped, exit_code_of_work(done)) == ("throttled", ExitCode.PAUSED)
    assert "asked another process of this account to wait" in done[0].message
    assert "contentops work" in done[0].hint
    assert room.states() == {"a": "queued"}
    assert not room.api.generations


def test_what_only_an_apply_can_be_told_is_said_of_it(unnamed: Room) -> None:
    """A worker has no `--resubmit-unknown`."""
    unnamed.deposit("a")
    unnamed.api.fault(on("submit", 1), "reset")
    (done,) = unnamed.work()
    assert "`contentops apply --resubmit-unknown`" in done.hint


def test_a_worker_touches_a_file_while_it_goes_on(room: Room, tmp_path: Path) -> None:
    """What watches over it looks at how old that file is; one that cannot be made ends it at once."""
    room.deposit("a")
    room.work(alive=str(tmp_path / "alive"))
    assert (tmp_path / "alive").exists()
    with pytest.raises(StateError, match="cannot touch"):
        room.work(alive=str(tmp_path / "missing" / "alive"))


def test_what_is_urgent_goes_first(room: Room) -> None:
    """A deposit with a higher priority goes before what waits; among its own it keeps its order."""
    room.deposit("a", "b")
    rows = [_deposited("shop", item, place, 4) for place, item in enumerate(("c", "d"))]
    deposit(room.runner, room.owner("shop"), rows, priority=5)
    assert [one.item for one in room.queue().submits] == ["c", "d", "a", "b"]
    room.work(concurrency=1)
    assert [row[0] for row in room.session.run("SELECT item FROM contentops.text ORDER BY made_at")] == [*"cdab"]


def test_a_deposit_goes_in_chunks(room: Room) -> None:
    """In the order of the plan all the same, and twice adds nothing."""
    rows = [_deposited("blog", f"item-{place}", place, 4) for place in range(2 * CHUNK + 1)]
    assert len(deposit(room.runner, room.owner(), rows)) == len(rows)
    assert deposit(room.runner, room.owner(), rows) == frozenset()
    found = room.session.run("SELECT item, rank FROM contentops.entry ORDER BY rank")
    assert found == [(row.item, place) for place, row in enumerate(rows)]


def test_a_session_hears_of_deposits_also_over_a_new_connection(room: Room) -> None:
    """What comes is heard once; what broke listens again."""
    with LedgerSession(room.url) as session:
        session.listen(DEPOSITED)
        assert not session.heard()
        for item in ("a", "b"):
            room.deposit(item)
            until(session.heard)
            assert not session.heard()
            ((process,),) = session.run("SELECT pg_backend_pid()")
            room.session.run("SELECT pg_terminate_backend(%s, 5000)", (process,))
            session.run("SELECT 1")


def test_the_numbers_of_a_worker(room: Room) -> None:
    """What waits and what was done, as Prometheus reads it, while it works; and nothing is shown afterwards."""
    pytest.importorskip("prometheus_client", reason="`pip install prometheus-client`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    room.deposit("a", "b")
    pages: list[str] = []

    async def beside() -> None:
        await asyncio.sleep(2 * GATHERED)
        page = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/metrics", trust_env=False)
        pages.append(page.text)

    room.beside = beside
    room.work(metrics=str(port))
    for line in ('contentops_queued{account="', "contentops_submits_total{", "contentops_in_flight{"):
        assert line in pages[-1]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    with pytest.raises(UsageError, match="metrics cannot be shown"):
        room.work(metrics="nowhere")


def test_one_submit_at_most_is_lost_at_first_contact(unnamed: Room) -> None:
    """Workers that are started again and again pay for one job, not for each, where no job has completed yet."""
    unnamed.deposit("a", "b", "c")
    unnamed.api.fault(on("submit", 1), "reset")
    for _ in range(3):
        (done,) = unnamed.work()
        assert (done.stopped, exit_code_of_work((done,))) == ("first-contact", ExitCode.INCOMPLETE)
        assert "state resolve" in done.hint
    assert unnamed.states() == {"a": "unknown", "b": "queued", "c": "queued"}
    assert len(unnamed.submits()) == 1


def test_what_is_seen_of_a_server_is_told_at_once(quick: Room) -> None:
    """A worker that is killed before its first exchange leaves no one to wait for the longest that a server may take."""
    quick.deposit("a", "b")
    told: list[object] = []

    def heard(event: Event) -> None:
        if event.kind == "item-done":
            told.append(read_fact(quick.session, quick.account.id, f"facts {API.server}").get("shows_after"))

    quick.heard = heard
    quick.work(concurrency=1)
    assert quick.timeline.now < 15
    assert [isinstance(shown, float) for shown in told] == [True, True]


def test_what_the_first_job_has_shown_is_heard_before_others_go_out(quick: Room) -> None:
    """A submit that never arrived is sent again after seconds, by a worker that has seen no job of its own."""
    quick.deposit("a")
    mark = hashlib.sha256(quick.account.id.encode()).digest()[:4]
    assert quick.session.lock(FIRST, int.from_bytes(mark, "big", signed=True)), "another one tries the first job"
    quick.api.fault(on("submit", 1), "drop")

    async def other() -> None:
        await asyncio.sleep(2)
        facts = {"honours_ids": True, "shows_after": 1.0}
        write_fact(quick.session, quick.account.id, f"facts {API.server}", facts)
        write_fact(quick.session, quick.account.id, proven_fact(API.server, "v1"), {})

    quick.beside = other
    quick.work()
    first, second = (seen.time for seen in quick.submits())
    assert second - first < 30
    assert quick.texts() == ["a"]
