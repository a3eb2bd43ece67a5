"""The client against real sockets on this machine that misbehave in every way, and against in-memory servers."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import shutil
import ssl
import subprocess
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops import __version__
from contentops.api.calls import Call, GetContent, ListContent, Save, Status, Submit
from contentops.api.client import LARGEST, Client, Patience
from contentops.api.replies import Accepted, Content, ContentList, Failure, FailureKind, JobStatus, Reply, SavedReply
from contentops.errors import ApiError
from contentops.model import ApiSettings
from tests.test_api_reading import CALLS, json_values

if TYPE_CHECKING:
    from pathlib import Path

KEY = "wr-secret-0123456789"
SUBMIT = Submit({"template": "blog", "style": "s", "mode": "standard", "inputs": {"topic": "Café"}}, "ours")
STATUS = Status("job")
HASTE = Patience(connect=2.0, submit=0.3, other=0.3)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request; the head is empty once the client is gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b"", b""
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


def answer(raw: bytes, *, close: bool = True) -> Handler:
    """A server that reads a request and answers with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await read_request(reader))[0]:
            writer.write(raw)
            await writer.drain()
            if close:
                return

    return serve


def with_server(handler: Handler, *calls: Call, patience: Patience = HASTE, path: str = "/v1") -> list[Reply | Failure]:
    """Send `calls` one after another to a real server on this machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def story() -> list[Reply | Failure]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            client = Client(ApiSettings(base_url=f"http://127.0.0.1:{port}{path}"), key=KEY, patience=patience)
            found = [await client.send(call) for call in calls]
            await client.aclose()
        return found

    return asyncio.run(story())


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` lies about the body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


GOOD = b'{"request_id": "ours", "status": "completed", "content": "Text"}'


def test_a_request_is_sent_as_documented() -> None:
    """The bytes on the wire carry key, user agent, our id, and the body, to the documented path."""
    seen: list[tuple[bytes, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(http(GOOD, status="202 Accepted"))
        await writer.drain()

    assert with_server(serve, SUBMIT, path="/v1/") == [Accepted("ours", True)]
    (head, body), *_ = seen
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/generate HTTP/1.1"
    assert f"Authorization: Bearer {KEY}" in lines
    assert f"User-Agent: contentops/{__version__}" in lines
    assert "Idempotency-Key: ours" in lines
    assert "Content-Type: application/json" in lines
    assert json.loads(body)["inputs"] == {"topic": "Café"}


def chunked(*parts: bytes) -> bytes:
    """A body in chunks, without its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


BOMB = gzip.compress(b" " * (50 * 1024 * 1024))

HOSTILE: list[tuple[str, bytes, str, str, str]] = [
    ("closed at once", b"", "ambiguous", "unavailable", "broke"),
    ("not http", b"220 smtp.example.com ESMTP\r\n\r\n", "ambiguous", "unavailable", "broke"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-", "ambiguous", "unavailable", "broke"),
    ("half a body", http(GOOD, length=500), "ambiguous", "unavailable", "before the answer was whole"),
    ("half a json", http(GOOD[:20]), "ambiguous", "unavailable", "not whole JSON"),
    ("length too short", http(GOOD, length=10), "ambiguous", "unavailable", "not whole JSON"),
    ("negative length", http(GOOD, length=-1), "ambiguous", "unavailable", "broke"),
    ("open chunks", chunked(GOOD), "ambiguous", "unavailable", "before the answer was whole"),
    ("bad chunk", chunked() + b"zz\r\n", "ambiguous", "unavailable", "before the answer was whole"),
    ("huge", chunked(*[b" " * 1_000_000] * 50), "ambiguous", "unusable", "larger than 20 MiB"),
    ("bomb", http(BOMB, "Content-Encoding: gzip"), "ambiguous", "unusable", "larger than 20 MiB"),
    ("cut gzip", http(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), "ambiguous", "unavailable", "whole"),
    ("no gzip", http(GOOD, "Content-Encoding: gzip"), "ambiguous", "unavailable", "compressed"),
    ("unasked coding", http(GOOD, "Content-Encoding: br"), "ambiguous", "unavailable", "compressed"),
    ("redirect", http(b"", "Location: https://x.example/", status="302 Found"), "unusable", "unusable", "x.example"),
    ("page", http(b"<html>", "Content-Type: text/html"), "ambiguous", "unusable", "HTML page"),
    ("huge 401", http(b" " * (LARGEST + 1), status="401 No"), "unauthorized", "unauthorized", "401"),
    ("latin header", http(GOOD, "X-Note: caf\xe9", "Retry-After: \xb2", status="429 No"), "throttled", "throttled", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "paid", "free", "words"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_hostile_answers(raw: bytes, paid: str, free: str, words: str) -> None:
    """Whatever the socket says, a call ends as a failure of the right kind with words that tell what happened."""
    for call, kind in ((SUBMIT, paid), (STATUS, free)):
        (found,) = with_server(answer(raw), call, patience=Patience(submit=5, other=5))
        assert isinstance(found, Failure)
        assert found.kind == kind
        assert words in found.message
        assert KEY not in repr(found)


@pytest.mark.parametrize(
    "raw",
    [
        http(GOOD),
        chunked(GOOD) + b"0\r\n\r\n",
        http(gzip.compress(GOOD), "Content-Encoding: gzip"),
        http(zlib.compress(GOOD), "Content-Encoding: deflate"),
        http(GOOD, "Content-Encoding: identity"),
        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(GOOD),
    ],
    ids=["plain", "chunked", "gzip", "deflate", "identity", "http/1.0", "early hints"],
)
def test_sound_answers(raw: bytes) -> None:
    """Every legal way to send a body is read."""
    assert with_server(answer(raw), STATUS) == [JobStatus("completed", body="Text", request_id="ours")]


@pytest.mark.parametrize("after", [0, 60], ids=["before the answer", "inside the answer"])
def test_resets(after: int) -> None:
    """A reset connection leaves a submit's outcome open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(http(GOOD)[:after])
        await writer.drain()
        writer.transport.abort()

    paid, free = with_server(serve, SUBMIT, STATUS)
    assert isinstance(paid, Failure)
    assert isinstance(free, Failure)
    assert (paid.kind, free.kind) == ("ambiguous", "unavailable")


@pytest.mark.parametrize(
    ("first", "words"),
    [(b"", "no answer from"), (http(GOOD)[:-5], "too long"), (b"HTTP/1.1 100 Continue\r\n\r\n", "no answer from")],
    ids=["silence", "stalled body", "informational"],
)
@pytest.mark.parametrize("drip", [b"", b" "], ids=["then silence", "then drops"])
def test_slow_servers(first: bytes, words: str, drip: bytes) -> None:
    """Neither silence nor an endless trickle holds a call for longer than its patience."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        more = drip if first.endswith(b"}"[:0]) and words == "too long" else first if drip else b""
        while not writer.is_closing():
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(more)

    patience = Patience(connect=0.1, submit=0.1, other=0.1)
    paid, free = with_server(serve, SUBMIT, STATUS, patience=patience)
    assert isinstance(paid, Failure)
    assert isinstance(free, Failure)
    assert (paid.kind, free.kind) == ("ambiguous", "unavailable")
    assert words in paid.message
