"""The client against real sockets on this machine that misbehave in every way, and against in-memory servers."""

import asyncio
import contextlib
import gzip
import json
import shutil
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentops import __version__
from contentops.api.calls import (
    Accepted,
    Call,
    Failure,
    FailureKind,
    Generate,
    GetStatus,
    JobStatus,
    Reply,
    SaveContent,
)
from contentops.api.session import LARGEST, ApiEndpoint, Client, Patience
from contentops.errors import ApiError
from contentops.model import ApiSettings
from tests.test_api_outcomes import CALLS, json_values

KEY = "wr-secret-0123456789"
SUBMIT = Generate({"template": "blog", "style": "s", "mode": "standard", "inputs": {"topic": "Café"}}, "ours")
STATUS = GetStatus("ours")

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


@contextlib.asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A real server on this machine; gives its port and leaves nothing open."""
    tasks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError):
            try:
                await handler(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for task in filter(None, tasks):
            task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
        await asyncio.sleep(0)


def a_client(settings: ApiSettings, *, key: str = KEY, **options: Any) -> Client:
    """A client of a server that is known from an earlier run, so that nothing is searched for."""
    return Client(
        settings, key=key, endpoint=ApiEndpoint(base=settings.base_url.rstrip("/"), enveloped=False), **options
    )


async def send_all(base_url: str, *calls: Call, patience: Patience | None = None) -> list[Any]:
    """Send `calls` one after another with one client."""
    client = a_client(ApiSettings(base_url=base_url), patience=patience)
    answers = [await client.send(call) for call in calls]
    await client.aclose()
    return answers


def with_server(handler: Handler, *calls: Call, patience: Patience | None = None, path: str = "/v1") -> list[Any]:
    """Send `calls` one after another to a real server on this machine."""

    async def story() -> list[Any]:
        async with serving(handler) as port:
            return await send_all(f"http://127.0.0.1:{port}{path}", *calls, patience=patience)

    return asyncio.run(story())


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` lies about the body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "", ""]).encode() + body


GOOD = b'{"request_id": "ours", "status": "completed", "content": "Text"}'
TAKEN = b'{"request_id": "ours", "status": "pending"}'


def test_a_request_is_sent_as_documented() -> None:
    """The bytes on the wire carry key, user agent, our id, and the body, to the documented path."""
    seen: list[tuple[bytes, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(http(TAKEN, status="202 Accepted"))
        await writer.drain()

    assert with_server(serve, SUBMIT, path="/v1/") == [Accepted("ours", True)]
    (head, body), *_ = seen
    lines = head.decode().split("\r\n")
    assert (lines[0], f"Authorization: Bearer {KEY}" in lines) == ("POST /v1/generate HTTP/1.1", True)
    assert f"User-Agent: contentops/{__version__}" in lines
    assert "Idempotency-Key: ours" in lines
    assert "Content-Type: application/json" in lines
    assert json.loads(body)["inputs"] == {"topic": "Café"}


def chunked(*parts: bytes) -> bytes:
    """A body in chunks, without its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


BOMB = gzip.compress(b" " * (50 * 1024 * 1024), compresslevel=1)

HOSTILE: list[tuple[str, bytes, str, str, str]] = [
    ("closed at once", b"", "ambiguous", "unavailable", "broke"),
    ("not http", b"220 smtp.example.com ESMTP\r\n\r\n", "ambiguous", "unavailable", "broke"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-", "ambiguous", "unavailable", "broke"),
    ("half a body", http(GOOD, length=500), "ambiguous", "unavailable", "before the answer was complete"),
    ("half a json", http(GOOD[:20]), "ambiguous", "unavailable", "incomplete or invalid JSON"),
    ("length too short", http(GOOD, length=10), "ambiguous", "unavailable", "incomplete or invalid JSON"),
    ("two lengths", http(GOOD, "Content-Length: 999"), "ambiguous", "unavailable", "broke"),
    ("two types", http(GOOD, "Content-Type: application/json", "Content-Type: text/html"), "ambiguous", "unusable", "HTML page"),
    ("negative length", http(GOOD, length=-1), "ambiguous", "unavailable", "broke"),
    ("two equal lengths", http(b'{"detail": "no"}', "Content-Length: 16", status="401 No"), "unauthorized", "unauthorized", "no"),
    ("two places", http(b"", "Location: https://a/", "Location: https://b/", status="302 Found"), "ambiguous", "unusable", "not followed"),
    ("open chunks", chunked(GOOD), "ambiguous", "unavailable", "before the answer was complete"),
    ("bad chunk", chunked() + b"zz\r\n", "ambiguous", "unavailable", "before the answer was complete"),
    ("huge", chunked(*[b" " * 1_000_000] * 50), "ambiguous", "unusable", "larger than 20 MiB"),
    ("bomb", http(BOMB, "Content-Encoding: gzip"), "ambiguous", "unusable", "larger than 20 MiB"),
    ("cut gzip", http(gzip.compress(GOOD)[:-9], "Content-Encoding: gzip"), "ambiguous", "unavailable", "complete"),
    ("no gzip", http(GOOD, "Content-Encoding: gzip"), "ambiguous", "unavailable", "compressed"),
    ("unasked coding", http(GOOD, "Content-Encoding: br"), "ambiguous", "unavailable", "compressed"),
    ("redirect", http(b"", "Location: https://x.example/", status="302 Found"), "ambiguous", "unusable", "x.example"),
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
        (reply,) = with_server(answer(raw), call, patience=Patience(submit=5, other=5))
        assert (reply.kind, words in reply.message) == (kind, True)
        assert KEY not in repr(reply)


@pytest.mark.parametrize("raw", [
    http(GOOD), chunked(GOOD) + b"0\r\n\r\n", http(gzip.compress(GOOD), "Content-Encoding: gzip"),
    http(zlib.compress(GOOD), "Content-Encoding: deflate"), http(GOOD, "Content-Encoding: identity"),
    b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + GOOD,
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(GOOD),
], ids=["plain", "chunked", "gzip", "deflate", "identity", "http/1.0", "early hints"])  # fmt: skip
def test_sound_answers(raw: bytes) -> None:
    """Every legal way to send a body is read."""
    assert with_server(answer(raw), STATUS) == [JobStatus("completed", body="Text")]


SLOW = {
    "silence": (b"", b"", "no answer from"),
    "informational for ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "no answer from"),
    "stalled body": (http(GOOD)[:-5], b"", "too long"),
    "trickle": (http(b"", length=10_000), b" ", "too long"),
}


def test_slow_servers() -> None:
    """Neither silence nor an endless trickle holds a call for longer than its patience; all are waited for at once."""

    async def ask(first: bytes, drip: bytes, call: Call) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(first)
            while not writer.is_closing():
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(drip)

        # Enough for a busy machine to connect and to send the first bytes.
        patience = Patience(connect=0.6, submit=0.4, other=0.4)
        async with serving(serve) as port:
            (reply,) = await send_all(f"http://127.0.0.1:{port}/v1", call, patience=patience)
        return reply

    async def story() -> list[Any]:
        return await asyncio.gather(
            *(ask(first, drip, call) for first, drip, _ in SLOW.values() for call in (SUBMIT, STATUS))
        )

    reply = iter(asyncio.run(story()))
    for name, (_, _, words) in SLOW.items():
        paid, free = next(reply), next(reply)
        assert (paid.kind, free.kind) == ("ambiguous", "unavailable"), name
        assert words in paid.message, name


def test_refused_connections_were_not_sent() -> None:
    """A closed port is certain not to have heard anything; the system's own words are told."""
    port = 0

    async def story() -> list[Any]:
        nonlocal port
        async with serving(answer(b"")) as port:
            pass
        return await send_all(f"http://127.0.0.1:{port}", SUBMIT)

    (failure,) = asyncio.run(story())
    assert failure.kind == "not-sent"
    assert failure.message.endswith(f"no connection to `127.0.0.1:{port}`: connection refused")


def test_connections_are_kept_and_bounded() -> None:
    """One connection serves calls in a row, and no more than 64 serve any number at once."""
    opened: list[int] = []
    steady = answer(http(GOOD), close=False)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        await steady(reader, writer)

    async def story() -> tuple[int, int]:
        async with serving(serve) as port:
            client = a_client(ApiSettings(base_url=f"http://127.0.0.1:{port}"), key="")
            for call in (SUBMIT, STATUS, SUBMIT):
                assert not isinstance(await client.send(call), Failure)
            in_a_row = len(opened)
            replies = await asyncio.gather(*(client.send(STATUS) for _ in range(200)))
            assert not any(isinstance(each, Failure) for each in replies)
            await client.aclose()
        return in_a_row, len(opened)

    in_a_row, at_once = asyncio.run(story())
    assert in_a_row == 1
    assert 1 < at_once <= 64


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not there to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *arguments, *names, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key


def over_tls(handler: Handler, context: ssl.SSLContext | None) -> Any:
    """A submit over https to this machine; without a context the server knows no TLS."""

    async def story() -> Any:
        async with serving(handler, context) as port:
            (reply,) = await send_all(f"https://127.0.0.1:{port}", SUBMIT)
        return reply

    return asyncio.run(story())


def test_tls_is_verified(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, processes: None) -> None:
    """An unknown certificate is refused before anything is sent, and what to check is named; `SSL_CERT_FILE` makes it known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    reply = over_tls(answer(http(GOOD)), context)
    assert (reply.kind, reply.endpoint.partition(" ")[0]) == ("unusable", "POST")
    assert all(word in reply.message for word in ("certificate", "`SSL_CERT_FILE`", "clock", "`api.base_url`"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert over_tls(answer(http(TAKEN)), context) == Accepted("ours", True)


def test_a_proxy_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's refusal never reached the server, and names the variables to check."""

    async def story() -> list[Any]:
        async with serving(answer(http(b"", status="407 Proxy Authentication Required"))) as port:
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
            return await send_all("https://api.example.invalid", SUBMIT)

    (failure,) = asyncio.run(story())
    assert (failure.kind, "HTTPS_PROXY" in failure.message) == ("unusable", True)
    assert "407" in failure.message


def test_proxies_are_never_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback addresses and `NO_PROXY` hosts are reached directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert with_server(answer(http(TAKEN)), SUBMIT) == [Accepted("ours", True)]
    monkeypatch.setenv("NO_PROXY", "api.example.invalid")
    (failure,) = asyncio.run(send_all("https://api.example.invalid", SUBMIT))
    assert failure.kind == "not-sent"
    assert "127.0.0.1:9" not in failure.message


@pytest.mark.parametrize(("name", "value"), [
    ("HTTPS_PROXY", "ftp://127.0.0.1"), ("HTTPS_PROXY", "socks5://127.0.0.1:1"), ("HTTPS_PROXY", "http://127.0.0.1:x"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem"),
])  # fmt: skip
def test_an_environment_that_cannot_work_is_told(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy or a certificate file that is none stops at once, with the names of the variables."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ApiError, match="environment are invalid") as raised:
        Client(ApiSettings(), key=KEY)
    assert "NO_PROXY" in raised.value.hint


def test_a_crash_of_the_embedded_server_is_an_outcome() -> None:
    """An error inside the app is told by its type, never raised."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("x")

    client = Client(ApiSettings(base_url="local", dialect="v1"), key="", transport=httpx.ASGITransport(app))
    paid, free = (asyncio.run(client.send(call)) for call in (SUBMIT, STATUS))
    assert isinstance(paid, Failure)
    assert isinstance(free, Failure)
    assert (paid.kind, free.kind, "KeyError: 'x'" in paid.message) == ("ambiguous", "unavailable", True)


def send(call: Call, outcome: httpx.Response | Exception, settings: ApiSettings | None = None) -> Any:
    """One call against a transport that does as told."""

    def answered(_: httpx.Request) -> httpx.Response:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    transport = httpx.MockTransport(answered)
    client = a_client(settings or ApiSettings(), user="u-1", transport=transport, wall=lambda: 0.0)
    return asyncio.run(client.send(call))


def bad_certificate() -> Exception:
    """A connection that was not made, as the certificate is not valid."""
    error = httpx.ConnectError("no connection")
    error.__cause__ = ssl.SSLCertVerificationError(1, "unknown authority")
    return error


@pytest.mark.parametrize(("error", "paid", "free"), [
    (bad_certificate(), "unusable", "unusable"), (httpx.ConnectError("no address"), "not-sent", "not-sent"), (httpx.ConnectTimeout(""), "not-sent", "not-sent"),
    (httpx.PoolTimeout(""), "not-sent", "not-sent"), (httpx.ProxyError("407"), "unusable", "unusable"),
    (httpx.WriteTimeout(""), "ambiguous", "unavailable"), (httpx.WriteError(""), "ambiguous", "unavailable"),
    (httpx.ReadTimeout(""), "ambiguous", "unavailable"), (httpx.ReadError(""), "ambiguous", "unavailable"),
    (httpx.CloseError(""), "ambiguous", "unavailable"),
    (httpx.RemoteProtocolError("disconnected"), "ambiguous", "unavailable"),
    (httpx.LocalProtocolError("bad"), "ambiguous", "unavailable"),
    (httpx.UnsupportedProtocol("x"), "ambiguous", "unavailable"), (TimeoutError(), "ambiguous", "unavailable"),
    (OSError(5, "odd"), "ambiguous", "unavailable"), (RecursionError("deep"), "ambiguous", "unavailable"),
    (ExceptionGroup("several", [ValueError("x")]), "ambiguous", "unavailable"),
], ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None)  # fmt: skip
def test_transport_errors(error: Exception, paid: str, free: str) -> None:
    """Each way a transport can fail is sure not to have arrived, or is not sure."""
    for call, kind in (
        (SUBMIT, paid),
        (SaveContent("T", "B"), paid),
        (STATUS, free),
        (SaveContent("T", "B", "c1"), free),
    ):
        failure = send(call, error)
        assert (failure.kind, failure.call, failure.status) == (kind, call.name, None)
        assert "api.writerzroom.com" in failure.message
        assert ("; check `" in failure.message) is (kind == "unusable")


def test_what_can_not_be_sent_is_a_failure() -> None:
    """A call that is no JSON, or that the settings forbid, fails without a request."""
    transport = httpx.MockTransport(lambda _: pytest.fail("it was sent"))
    client = a_client(ApiSettings(send_mode=False), transport=transport)
    premium = Generate({"template": "t", "style": "s", "mode": "premium", "inputs": {}}, "r")
    for call in (premium, GetStatus(""), Generate({"template": "t", "style": "s", "inputs": {"x": object()}}, "r")):
        failure: Any = asyncio.run(client.send(call))
        assert failure.kind is FailureKind.REJECTED


BAD_SETTINGS: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"dialect": "v9"}, KEY, "", "unknown-dialect", "`v9`"),
    ({"base_url": "http://api.example.com"}, KEY, "", "insecure-url", "plain http"),
    ({"base_url": "http://localhost.example.com"}, KEY, "", "insecure-url", "plain http"),
    ({"base_url": "http://128.0.0.1"}, KEY, "", "insecure-url", "plain http"),
    ({"base_url": "ftp://api.example.com"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "api.example.com"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": ""}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://host:99999"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://host:abc"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://[::1"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://host/v1?key=1"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://host/ v1"}, KEY, "", "bad-url", "not usable"),
    ({"base_url": "https://user:pass@host"}, KEY, "", "bad-url", "user name or password"),
    ({"base_url": "local"}, "", "", "no-server", "bundled server"),
    ({}, "", "", "no-key", "`WRITERZROOM_API_KEY` is not set"),
    ({"key_env": "MY_KEY"}, "two words", "", "bad-credentials", "`MY_KEY`"),
    ({}, "line\n", "", "bad-credentials", "`WRITERZROOM_API_KEY`"),
    ({}, "clé-de-clé", "", "bad-credentials", "`WRITERZROOM_API_KEY`"),
    ({}, KEY, "a\r\nX-Evil: 1", "bad-credentials", "`WRITERZROOM_USER_ID`"),
    ({"dialect": "sdk"}, KEY, "", "no-user", "`WRITERZROOM_USER_ID` is not set"),
]


@pytest.mark.parametrize(("settings", "key", "user", "code", "words"), BAD_SETTINGS)
def test_settings_that_can_not_work(settings: dict[str, Any], key: str, user: str, code: str, words: str) -> None:
    """Every unusable setting is refused before anything is sent, by name and never by value."""
    with pytest.raises(ApiError) as raised:
        Client(ApiSettings(**settings), key=key, user=user)
    assert (raised.value.code, words in raised.value.message) == (code, True)
    shown = raised.value.message + raised.value.hint
    assert "pass" not in shown.replace("password", "")
    assert "two words" not in shown
    assert "clé" not in shown


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1/v1", "http://[::1]:1", "https://host"])
def test_addresses_that_work(url: str) -> None:
    """Plain http is for this machine alone, which needs no key."""
    client = Client(ApiSettings(base_url=url), key="" if url.startswith("http:") else KEY)
    assert repr(client).startswith(f"Client('{url.partition(':')[0]}://")


@given(st.sampled_from(CALLS), st.integers(200, 599), json_values, st.sampled_from(["application/json", "text/html"]))
def test_send_never_raises(call: Call, status: int, value: Any, media: str) -> None:
    """Any JSON under any status for any call is a reply or a failure."""
    response = httpx.Response(status, content=json.dumps(value).encode(), headers={"content-type": media})
    assert isinstance(send(call, response), Reply | Failure)
