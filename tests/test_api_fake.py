"""The client and the in-memory server together, hours in milliseconds: what one says the other understands."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contentops.api.calls import (
    Accepted,
    Call,
    CatalogReply,
    ContentList,
    DashboardStats,
    Failure,
    Generate,
    GetContent,
    GetStatus,
    JobStatus,
    ListContent,
    ListStyles,
    ListTemplates,
    ListVerticals,
    PutContent,
    Reply,
    SaveContent,
    SavedReply,
    Stats,
)
from contentops.api.dialects import DIALECTS
from contentops.api.outcomes import is_absent
from contentops.api.session import ApiEndpoint, Client
from contentops.model import ApiSettings
from tests.fakes.api import FakeApi, FaultName, Killed, on
from tests.fakes.clock import EPOCH, Stuck, Timeline, run

KEY = "wr-secret-0123456789"


def submit(topic: str = "Cafés", request_id: str = "r1", mode: str = "standard") -> Generate:
    """One submit of a topic."""
    return Generate({"template": "blog", "style": "s", "mode": mode, "inputs": {"topic": topic}}, request_id)


def talk(api: FakeApi, *steps: Call | float, dialect: str = "v1", timeline: Timeline | None = None) -> list[Any]:
    """Send calls, and sleep for numbers, one after another; gives the answers."""

    async def story() -> list[Any]:
        settings = ApiSettings(base_url="https://api.example.com", dialect=dialect)
        clock = asyncio.get_running_loop().time
        endpoint = ApiEndpoint(
            base="https://api.example.com" + ("/api" if dialect == "sdk" else ""), enveloped=dialect == "sdk"
        )
        client = Client(settings, key=KEY, user="u-1", transport=api, wall=lambda: EPOCH + clock(), endpoint=endpoint)
        answers: list[Any] = []
        for step in steps:
            if isinstance(step, (int, float)):
                await asyncio.sleep(step)
            else:
                answers.append(await client.send(step))
        await client.aclose()
        return answers

    return run(story(), timeline)


@pytest.mark.parametrize("envelope", [False, True], ids=["flat", "enveloped"])
@pytest.mark.parametrize("front_matter", [False, True], ids=["bare", "front matter"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_job_from_submit_to_save(dialect: str, front_matter: bool, envelope: bool) -> None:
    """In every dialect and shape the same text comes back, is stored, listed and fetched."""
    api = FakeApi(duration=90, envelope=envelope, front_matter=front_matter, key=KEY)
    accepted, half, done, listed = talk(
        api, submit(), 45, GetStatus("r1"), 46, GetStatus("r1"), ListContent(), dialect=dialect
    )
    assert accepted == Accepted("r1", True)
    assert half.state == "running"
    assert half.progress == pytest.approx(0.5, abs=0.02)
    assert half.body is None
    assert (done.state, done.title) == ("completed", "On Cafés")
    assert done.body is not None
    assert done.body.startswith("## Introduction\n\nAll about Cafés.")
    assert done.content_id == ("" if envelope else listed.entries[0].id)
    (content,) = talk(api, GetContent(listed.entries[0].id))
    assert content.body == done.body
    assert content.metadata == {"request_id": "r1"}
    assert api.charged("Cafés") == 1
    assert api.credits == 4
    expected = ["submit", "status", "status", "list content", "get content"]
    assert [seen.name for seen in api.requests if seen.name != "list templates"] == expected
    assert api.count("list templates") == 0
    assert [seen.n for seen in api.requests if seen.name == "status"] == [1, 2]


@pytest.mark.parametrize(
    ("habit", "second", "generations"),
    [
        ("replay", Accepted("r1", True), 1),
        ("overwrite", Accepted("r1", True), 2),
        ("ignore", Accepted("job_000002", False), 2),
        ("reject", "ambiguous", 1),
    ],
)
def test_the_same_id_twice(habit: str, second: Reply | str, generations: int) -> None:
    """Each habit with our request id is what the server does with a second submit."""
    api = FakeApi(request_ids=habit)
    _, reply = talk(api, submit(), submit())
    assert (reply.kind if isinstance(reply, Failure) else reply) == second
    assert api.charged("Cafés") == generations


FAULTS: list[tuple[FaultName | int, str, int]] = [
    ("refuse", "not-sent", 0),
    ("drop", "ambiguous", 0),
    ("reset", "ambiguous", 1),
    ("504", "ambiguous", 1),
    ("500-after", "ambiguous", 1),
    ("html", "ambiguous", 0),
    ("truncated", "ambiguous", 1),
    ("slow", "ambiguous", 1),
    (401, "unauthorized", 0),
    (402, "quota", 0),
    (403, "forbidden", 0),
    (422, "rejected", 0),
    (429, "throttled", 0),
    (500, "ambiguous", 0),
]


@pytest.mark.parametrize(("fault", "kind", "charged"), FAULTS)
def test_faults(fault: FaultName | int, kind: str, charged: int) -> None:
    """Each fault is classified, and charges only if the submit was carried out."""
    api = FakeApi()
    api.fault(on("submit", 1), fault)
    reply, again = talk(api, submit(), submit(request_id="r2"))
    assert reply.kind == kind
    assert isinstance(again, Accepted)
    assert api.charged("Cafés") == charged + 1
    api.fault(on("submit"), 500)
    api.heal()
    (healed,) = talk(api, submit(request_id="r3"))
    assert isinstance(healed, Accepted)


@pytest.mark.parametrize(("fault", "charged"), [("kill", 0), ("kill-after", 1)])
def test_a_killed_client(fault: FaultName, charged: int) -> None:
    """A death in the middle of a submit is no outcome: it ends the run, before or after the server took it."""
    api, timeline = FakeApi(), Timeline()
    api.fault(on("submit"), fault)
    with pytest.raises(Killed):
        talk(api, submit(), timeline=timeline)
    assert len(api.charges) == charged
    (reply,) = talk(api, GetStatus("r1"), timeline=timeline)
    assert isinstance(reply, JobStatus if charged else Failure)


@pytest.mark.parametrize(("hint", "wait"), [("seconds", 60), ("date", 60), ("none", None), ("garbage", None)])
def test_rate_limits(hint: str, wait: float | None) -> None:
    """Over the limit is a 429 with the hint asked for; after the window there is room again."""
    api = FakeApi(per_minute=2, retry_after=hint, latency=0.0)
    _, _, over, later = talk(api, ListContent(), GetStatus("x"), ListContent(), 60.1, ListContent())
    assert over.kind == "throttled"
    assert over.retry_after == (pytest.approx(wait, abs=1.1) if wait else None)
    assert isinstance(later, ContentList)
    free = FakeApi(per_minute=1, count_polls=False)
    assert [each.kind for each in talk(free, GetStatus("x"), GetStatus("x"))] == ["not-found", "not-found"]


def test_job_habits() -> None:
    """Early 404s, failures, active job limits, balances and lost jobs look as they should."""
    api = FakeApi(early_404=5, duration=10, max_active=1, balance=9, fails=lambda inputs: inputs.get("topic", "")[3:])
    accepted, early, full, failed, ok, poor = talk(
        api,
        submit("bad: no luck", "r1"),
        GetStatus("r1"),
        submit("x", "r2"),
        10,
        GetStatus("r1"),
        submit("y", "r3", "premium"),
        10,
        submit("z", "r4", "premium"),
    )
    assert isinstance(accepted, Accepted)
    assert early.kind == "not-found"
    assert full.kind == "throttled"
    assert failed == JobStatus("failed", 1.0, "publisher", error=": no luck", request_id="r1")
    assert isinstance(ok, Accepted)
    assert poor.kind == "quota"
    assert [job.topic for job in api.charges] == ["y"]
    api.restart()
    assert talk(api, GetStatus("r3"))[0].kind == "not-found"


def test_saves() -> None:
    """Saves update or only create, `PUT` exists or not, and people edit in between."""
    kind = FakeApi(auto_save=False)
    (new,) = talk(kind, SaveContent("T", "B", metadata={"k": 1}))
    over, put, gone, listed = talk(
        kind, SaveContent("T2", "B2", new.content_id), PutContent(new.content_id, "T3", "B3"), PutContent("x", "T", "B"),
        ListContent(),
    )  # fmt: skip
    assert over == new
    assert put.content_id == new.content_id
    assert put.stamp == listed.entries[0].stamp
    assert gone.kind == "not-found"
    assert [entry.title for entry in listed.entries] == ["T3"]
    kind.edit(new.content_id, "B4")
    (edited,) = talk(kind, GetContent(new.content_id))
    assert (edited.title, edited.body, edited.metadata) == ("T3", "B4", {"k": 1})
    bare = FakeApi(create_only=True, put=False)
    (first,) = talk(bare, SaveContent("T", "B"))
    second, missing = talk(bare, SaveContent("T", "B", first.content_id), PutContent(first.content_id, "T", "B"))
    assert isinstance(second, SavedReply)
    assert second != first
    assert (is_absent(missing), missing.status) == (True, 405)


def test_other_calls() -> None:
    """Lists, numbers and what the server does not have."""
    api = FakeApi(key="another")
    assert talk(api, ListContent())[0].kind == "unauthorized"
    templates, styles, stats, verticals, nothing = talk(
        FakeApi(), ListTemplates(), ListStyles(), DashboardStats(), ListVerticals(), GetContent("x")
    )
    assert isinstance(templates, CatalogReply)
    assert isinstance(styles, CatalogReply)
    assert stats == Stats({"total_content": 0})
    assert verticals.kind == nothing.kind == "not-found"


# --- the clock ---------------------------------------------------------------------------------------------


def test_time_jumps_and_goes_on() -> None:
    """An hour passes at once, timers fire in order, and a second run goes on where the first ended."""
    timeline = Timeline()
    order: list[str] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    async def story() -> None:
        await asyncio.gather(nap("late", 3600), nap("early", 60), nap("now", 0))

    run(story(), timeline)
    assert order == ["now", "early", "late"]
    assert timeline.now == pytest.approx(3600)
    run(story(), timeline)
    assert timeline.now == pytest.approx(7200)
    assert timeline.wall() == EPOCH + timeline.now


def test_threads_stop_virtual_time() -> None:
    """While a thread works, no timer jumps ahead of it."""
    timeline = Timeline()

    async def story() -> float:
        async with asyncio.timeout(1.0):
            return await asyncio.to_thread(sum, range(100_000))

    assert run(story(), timeline) == sum(range(100_000))
    assert timeline.now < 1.0


def test_a_wait_without_end_is_told() -> None:
    """Where nothing can ever happen the loop says so instead of hanging."""

    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(story())
