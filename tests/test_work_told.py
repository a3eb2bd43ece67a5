"""What workers tell each other of a server, and when: the work of one that dies must not wait for it."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from contentops.ledger.account import proven_fact, read_fact, write_fact
from contentops.operations.worker.claims import FIRST
from tests.fakes.api import FakeApi, on
from tests.test_work import API, Room

if TYPE_CHECKING:
    from contentops.model import Event


def test_what_is_seen_of_a_server_is_told_at_once(database: str) -> None:
    """A worker that is killed before its first exchange leaves no one to wait for the longest that a server may take."""
    room = Room(database, FakeApi(duration=5))
    room.deposit("a", "b")
    told: list[object] = []

    def heard(event: Event) -> None:
        if event.kind == "item-done":
            told.append(read_fact(room.session, room.account.id, f"facts {API.server}").get("shows_after"))

    room.heard = heard
    room.work(concurrency=1)
    assert room.timeline.now < 15
    assert [isinstance(shown, float) for shown in told] == [True, True]
    room.session.close()


def test_what_the_first_job_has_shown_is_heard_before_others_go_out(database: str) -> None:
    """A submit that never arrived is sent again after seconds, by a worker that has seen no job of its own."""
    room = Room(database, FakeApi(duration=5))
    room.deposit("a")
    mark = hashlib.sha256(room.account.id.encode()).digest()[:4]
    assert room.session.lock(FIRST, int.from_bytes(mark, "big", signed=True)), "another one tries the first job"
    room.api.fault(on("submit", 1), "drop")

    async def other() -> None:
        await asyncio.sleep(2)
        facts = {"honours_ids": True, "shows_after": 1.0}
        write_fact(room.session, room.account.id, f"facts {API.server}", facts)
        write_fact(room.session, room.account.id, proven_fact(API.server, "v1"), {})

    room.beside = other
    room.work()
    first, second = (seen.time for seen in room.api.requests if seen.name == "submit")
    assert second - first < 30
    assert room.texts() == ["a"]
    room.session.close()
