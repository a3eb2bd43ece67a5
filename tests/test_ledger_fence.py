"""The fence: what was recorded too long ago does not leave, not one byte of it, and counts as not sent."""

import asyncio
import contextlib
import math
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

import pytest

from contentops.api.calls import (
    Accepted,
    Call,
    Failure,
    FailureKind,
    Generate,
    GetStatus,
    JobStatus,
    RegenerateSection,
    Reply,
    SaveContent,
    SavedReply,
)
from contentops.api.session import MayLeave
from contentops.execution.durable_run import DurableRun
from contentops.execution.limiter import Admission, Limiter, Limits, Outage
from contentops.execution.primitives import Durations, Priority
from contentops.ledger.jobs import Runner
from contentops.ledger.project import FENCE, JobWriter
from contentops.ledger.session import LedgerSession
from contentops.model import ApiSettings, Job, JobState
from tests.fakes.clock import run as run_virtually
from tests.ledger_rows import SCOPE, a_job, write
from tests.postgres import until
from tests.test_api_client import a_client

PAYS = Generate({"template": "t", "style": "s", "mode": "standard", "inputs": {"topic": "tea"}}, "r-1")
CREATES = SaveContent("A title", "A text.")


class Ear:
    """A socket on loopback that hears every byte and answers each whole request with a job or a content."""

    def __init__(self) -> None:
        self.heard = b""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection:
                    self._hear(connection)

    def _hear(self, connection: socket.socket) -> None:
        body = b'{"job_id":"r-1","status":"processing","content_id":"c-1"}'
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        request = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                self.heard += data
                request += data
                if b"\r\n\r\n" in request and (request.startswith(b"GET") or request.endswith(b"}")):
                    connection.sendall(head + body)
                    request = b""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits for a client is not woken by the end of its socket.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def _send(ear: Ear, *calls: tuple[Call, MayLeave]) -> list[Reply | Failure]:
    async def story() -> list[Reply | Failure]:
        client = a_client(ApiSettings(base_url=ear.base_url))
        found = [await client.send(call, may_leave) for call, may_leave in calls]
        await client.aclose()
        return found

    return asyncio.run(story())


def _never() -> bool:
    return False


@pytest.mark.parametrize(
    "call", [PAYS, CREATES, RegenerateSection("c-1", "Intro", "standard", "r-1")], ids=lambda call: call.name
)
def test_what_is_held_back_sends_no_byte(call: Call) -> None:
    """On a new connection and on a warm one: nothing is heard, it counts as not sent, and it can be sent again."""
    with Ear() as ear:
        (first,) = _send(ear, (call, _never))
        assert ear.heard == b""
        asked, second, third = _send(ear, (GetStatus("r-1"), _never), (call, _never), (call, lambda: True))
    assert isinstance(asked, JobStatus), "what only asks is never held back"
    for held in (first, second):
        assert isinstance(held, Failure)
        assert (held.kind, "too much time passed after it was recorded" in held.message) == (FailureKind.NOT_SENT, True)
    assert isinstance(third, Accepted | SavedReply)
    assert ear.heard.count(b" HTTP/1.1\r\n") == 2, "what was asked, and what was sent again"


def test_the_fence_is_asked_again_before_the_body() -> None:
    """Whoever stands still between the two sends a head without a body, which no server carries out."""
    answers = iter([True, False])
    with Ear() as ear:
        (held,) = _send(ear, (PAYS, lambda: next(answers)))
        until(lambda: ear.heard.endswith(b"\r\n\r\n"))
    assert isinstance(held, Failure)
    assert held.kind is FailureKind.NOT_SENT
    assert b"tea" not in ear.heard


def test_a_connection_that_takes_long_counts() -> None:
    """The fence is asked when the connection stands, not when the request began."""
    with Ear() as ear:
        clock = [0.0]

        def may_leave() -> bool:
            until(lambda: ear.connections == 1)
            clock[0] += FENCE + 1
            return clock[0] <= FENCE

        (held,) = _send(ear, (PAYS, may_leave))
        assert isinstance(held, Failure)
        assert held.kind is FailureKind.NOT_SENT
        assert ear.heard == b""


class Frozen(Limiter):
    """A limiter whose process stands still once, after records were made durable and before their requests leave."""

    def __init__(self, freeze: Callable[[], None]) -> None:
        super().__init__(0)
        self._freeze: Callable[[], None] | None = freeze

    def leaving(self, count: int, now: float, *, taken: float = math.inf) -> None:
        freeze, self._freeze = self._freeze, None
        if freeze is not None:
            freeze()
        super().leaving(count, now, taken=taken)


class Rows:
    """A run's state in rows alone."""

    def __init__(self, writer: JobWriter) -> None:
        self._writer = writer
        self.flush, self.fence = writer.flush, writer.fence

    def note(self, _: str, *jobs: Job) -> None:
        self._writer.note(jobs)

    def open_job(self, _: str) -> None:
        return None

    record = open_job


def _run(rows: Any, limiter: Limiter, send: Any, *programs: Callable[[DurableRun], Coroutine[Any, Any, None]]) -> None:
    async def story() -> None:
        made = DurableRun(
            rows,
            Limits(limiter, Admission(max_in_flight=50, proven=True), Outage(random.Random(7))),
            Durations(),
            send=send,
            fence=rows.fence,
        )
        await made.carry_out((program(made) for program in programs), most=100)

    run_virtually(story())


def test_who_froze_sends_nothing_of_what_was_recorded_before(database: str) -> None:
    """Also if the session has come back and more was made durable since: each request has its own time."""
    now = [0.0]
    with LedgerSession(database) as session:
        writer = JobWriter(Runner(session, clock=lambda: now[0]), SCOPE)
        left: list[tuple[str, bool]] = []

        async def send(call: Any, may_leave: MayLeave) -> Reply | Failure:
            left.append((call.request_id, may_leave()))
            return Accepted("job", echoed=True) if left[-1][1] else Failure(FailureKind.NOT_SENT, "held back")

        def program(name: str) -> Callable[[DurableRun], Coroutine[Any, Any, None]]:
            async def submits(run: DurableRun) -> None:
                answer: Any = None
                while not isinstance(answer, Accepted):
                    answer = await run.send(
                        Generate({}, name),
                        Priority.SUBMIT,
                        lambda: run.record("submit", a_job(name, JobState.SUBMITTING)),
                    )
                run.record("accepted", a_job(name, JobState.RUNNING))

            return submits

        def freeze() -> None:
            now[0] += 40.0

        _run(Rows(writer), Frozen(freeze), send, program("a"), program("b"))
        assert left == [("a", False), ("b", False), ("a", True), ("b", True)]
        rows = session.run("SELECT request_id, state::text FROM contentops.job ORDER BY request_id")
        assert rows == [("request-a", "running"), ("request-b", "running")]


def test_a_fence_knows_when_its_flush_began(database: str) -> None:
    """What leaves within the time that a successor waits may leave; a later flush changes nothing for it."""
    now = [0.0]
    with LedgerSession(database) as session:
        writer = JobWriter(Runner(session, clock=lambda: now[0]), SCOPE)
        write(writer, a_job("a", JobState.SUBMITTING))
        first = writer.fence()
        now[0] = FENCE
        assert first()
        now[0] = FENCE + 0.1
        writer.flush()
        assert not first()
        assert writer.fence()()
