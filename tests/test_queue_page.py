"""The queue as text, as JSON and as a page: what anyone wrote into a ledger is harmless there."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from contentops.errors import ContentopsError, StateError
from contentops.model import Queue, QueuedSubmit, QueueTotal, RequestId
from contentops.pages.queue import create_app
from contentops.pages.serving import open_port
from contentops.reporting.queue import age, queue_text

if TYPE_CHECKING:
    from collections.abc import Callable

NASTY = "<script>alert(1)</script>\x1b[31m\u202e&\"'"


def _queue(words: str = NASTY) -> Queue:
    one = QueuedSubmit(
        request_id=RequestId("r-1"),
        project=words,
        environment=words,
        item=words,
        state="running",
        credits=4,
        seconds=7_300,
        who=words,
        runner=words,
        kind="worker",
        error=words,
    )
    total = QueueTotal(project=words, environment=words, state="running", submits=2, credits=8)
    return Queue(totals=(total,), submits=(one,), workers=(words,), paid=3)


def _ask(
    read: Callable[[], Queue], *, host: str = "127.0.0.1", name: str = "127.0.0.1", path: str = "/", method: str = "GET"
) -> httpx.Response:
    async def story() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(read, host))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}:8766") as client:
            return await client.request(method, path)

    return asyncio.run(story())


def test_what_stands_in_a_ledger_is_escaped() -> None:
    """No word of a row becomes a tag, a sequence for a terminal, or turns a line around."""
    answer = _ask(_queue)
    text, policy = answer.text, answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "alert(1)" in text
    assert not re.search(r"<script|\x1b|\u202e", text)
    assert not re.search(r"<(form|script|img|iframe|input|button)", text)
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert not re.search(r"\x1b|\u202e", queue_text(_queue()))


def test_it_only_reads_and_only_for_this_machine() -> None:
    """Nothing can be posted, and a browser that was led to it under another name gets nothing."""
    assert _ask(_queue, name="rebound.example").status_code == 400
    assert _ask(_queue, host="0.0.0.0", name="rebound.example").status_code == 200  # noqa: S104 - as a person may want
    assert _ask(_queue, path="/style.css").status_code == 200
    assert _ask(_queue, method="POST").status_code == 403


def test_a_ledger_that_is_away_is_said_so() -> None:
    """The page stays, says why, and asks again by itself."""

    def away() -> Queue:
        raise StateError("the ledger <cannot> be reached")

    answer = _ask(away)
    assert answer.status_code == 503
    assert "&lt;cannot&gt;" in answer.text
    assert 'http-equiv="refresh"' in answer.text


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7_300, "2 h"), (90_000, "1 d")]
)
def test_age(seconds: int, words: str) -> None:
    """In the largest unit that fits."""
    assert age(seconds) == words


def test_totals_come_first_and_the_rest_is_counted() -> None:
    """A person sees how much there is before what it is."""
    lines = queue_text(_queue("x")).splitlines()
    assert lines[0] == "2 submits queued or running, 8 credits; 1 worker; 3 paid texts for `contentops apply` to write"
    assert lines[-1] == "and 1 more"
    assert queue_text(Queue()) == "0 submits queued or running, 0 credits; no worker is running"


def test_a_port_that_is_taken_is_told_of_before_anything_is_shown() -> None:
    """In our own words, with the exit code of an error, and no address is announced."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ContentopsError, match=f"port {port} on `127.0.0.1` cannot be opened") as refused,
            open_port("127.0.0.1", port),
        ):
            pytest.fail("it is open")
    assert (refused.value.code, refused.value.exit_code) == ("serve", 1)
