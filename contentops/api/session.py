"""Sends a call to the API and returns the server's reply or the failure.

Errors of the network and the server are returned, never raised.

Only this module imports httpx. It repeats nothing and follows no redirect. The caller decides when to send again, with
the policy `RETRY`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from msgspec import Struct, structs

from contentops.api.calls import (
    Call,
    Failure,
    FailureKind,
    Generate,
    ListStyles,
    ListTemplates,
    RegenerateSection,
    Reply,
)
from contentops.api.dialects import (
    AUTO,
    Dialect,
    Unsendable,
    Wire,
    base_address,
    candidates,
    contradiction,
    detected_dialect,
    dialect_named,
    headers_of,
    names_blamed,
    spell,
)
from contentops.api.outcomes import (
    CHECK_ADDRESS,
    Damage,
    HttpAnswer,
    ends_search,
    judge,
    lost,
    no_api,
    not_sent,
    unanswered,
)
from contentops.api.reading import is_enveloped
from contentops.errors import ApiError
from contentops.loopback import is_loopback
from contentops.model import ApiSettings, Json
from contentops.sanitize import message, redact

# ---- Connections to one server: TLS, proxy, and a check before the bytes of a request leave.

CONNECTIONS = 64
"""Connections to one server, at most: more than calls that a run sends at once."""
FRESH = 4.0
"""Seconds an idle connection is kept: common servers close one after five, and a close during a call that pays leaves
its outcome unknown."""
_LEAVING = (".send_request_headers.started", ".send_request_body.started")


class BlockedByFence(Exception):
    """The error for a request that was stopped before it was sent. `may_leave` did not allow it any more."""


def fenced(may_leave: MayLeave, *, stops: bool) -> Callable[[str, Mapping[str, object]], Awaitable[None]]:
    """Return a function that the library httpcore calls at each step of a request.

    It asks `may_leave` immediately before a request is sent.

    If the reply is False and `stops` is true, it raises BlockedByFence. If `stops` is false, the request is sent.
    """

    async def traced(event: str, _: Mapping[str, object]) -> None:
        if event.endswith(_LEAVING) and not may_leave() and stops:
            raise BlockedByFence

    return traced


def transport_in(app: Callable[..., Any]) -> httpx.AsyncBaseTransport:
    """Return the transport to a server that runs inside this process."""
    return httpx.ASGITransport(app)


def transport_to(base: str) -> httpx.AsyncHTTPTransport:
    """Return the transport to a remote server. Certificates and proxy come from the environment.

    Raises ApiError for settings of the environment that cannot be used.
    """
    limits = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=FRESH)
    parts = urlsplit(base)
    if parts.scheme == "http":
        # Plain http goes to this machine alone: no TLS, no proxy.
        return httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), limits=limits)
    try:
        context = httpx.create_ssl_context()
        return httpx.AsyncHTTPTransport(verify=context, limits=limits, proxy=_proxy(parts.hostname or "", context))
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        message = f"the proxy or certificate settings in the environment are invalid: {error}"
        hint = "check `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"
        raise ApiError(message, code="environment", hint=hint) from error


def _proxy(host: str, context: ssl.SSLContext) -> httpx.Proxy | None:
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all")
    if not url or is_loopback(host) or proxy_bypass(host):
        return None
    url = url if "://" in url else f"http://{url}"
    return httpx.Proxy(url, ssl_context=context if url.startswith("https://") else None)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and then its causes. The innermost cause comes last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def cause(error: Exception) -> str:
    """Return an error's message, taken from its innermost cause that has one.

    Without any message, return the name of the error's type.
    """
    texts = [text for each in chain(error) if not isinstance(each, BaseExceptionGroup) and (text := _words(each))]
    name = type(error).__name__
    return texts[-1] if texts else "timed out" if name.endswith("Timeout") else name


def _words(error: BaseException) -> str:
    """Return an error's message.

    A system error's message comes without its number and without the address that asyncio adds.
    """
    if isinstance(error, OSError) and (type(error) is OSError or isinstance(error, ConnectionError | TimeoutError)):
        return os.strerror(error.errno).lower() if error.errno else str(error)
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror.lower()
    return str(error)


# ---- Types of the check that runs directly before the bytes of a call leave.

MayLeave = Callable[[], bool]
"""Whether a call that is not repeatable may be sent.

After this process was frozen, another process may have given up on the call.
"""
Send = Callable[["Call", MayLeave], Awaitable["Reply | Failure"]]
"""Sends a call and returns the reply or the failure."""


def always() -> bool:
    """Return True: a call may be sent at any time."""
    return True


# ---- The record of one request for the log of requests: the result, never the content.

Exchange = Mapping[str, Json]
"""One request and its result: its time, method and path (with its query, without the server), its status (null: no
answer came), milliseconds, bytes sent and received (once decompressed), our id of a submit, and the kind of an error.
"""


async def traced(
    exchange: Awaitable[HttpAnswer], report: Callable[[Exchange], None], call: Call, wire: Wire, path: str, *, at: float
) -> HttpAnswer:
    """Wait for one HTTP exchange, return its response, and report the response or the error.

    `path` contains no secret.
    """
    clock = asyncio.get_running_loop().time
    began, answer, error = clock(), None, ""
    try:
        answer = await exchange
        error = answer.damage.name.lower() if answer.damage else ""
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        report(
            {
                "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                "method": wire.method,
                "path": path,
                "status": None if answer is None else answer.status,
                "ms": round((clock() - began) * 1000),
                "sent": len(wire.body or b""),
                "received": 0 if answer is None else len(answer.body),
                "request_id": call.request_id if isinstance(call, Generate | RegenerateSection) else "",
                "error": error,
            }
        )
    return answer


# ---- The one transport.

if TYPE_CHECKING:
    Turn = Callable[[], Awaitable[bool]]
    """Waits until one more request may go; False where that takes too long."""


LARGEST = 20 * 1024 * 1024
"""The most bytes of an answer after decompression."""
_ADDRESSES = 256
"""The number of addresses that are kept parsed, as each job is polled more than once."""
_FINAL = frozenset({FailureKind.UNAUTHORIZED, FailureKind.FORBIDDEN, FailureKind.UNUSABLE})
"""Failures of a search that another search of this client would have too."""
_REDIRECT = 300


class ApiEndpoint(Struct, frozen=True, kw_only=True):
    """The base address of an API, and whether its lists are inside an envelope `{"success", "data"}`.

    `enveloped` is None if no list could be read.
    """

    base: str
    enveloped: bool | None


class Patience(Struct, frozen=True, kw_only=True):
    """The time limits for waiting for the server, in seconds.

    `submit` is longer than the time limit of common gateways, so that the gateway's response comes first.
    """

    connect: float = 10.0
    submit: float = 120.0
    other: float = 30.0

    def read(self, call: Call) -> float:
        """Return the longest wait for more bytes of a response."""
        return self.other if call.repeatable else self.submit

    def total(self, call: Call) -> float:
        """Return the longest time that a whole call may take."""
        return self.connect + 2 * self.read(call)


class Client:
    """A client for the API of one server, used in one event loop.

    `key` and `user` come from the environment variables that the settings name. The key is in no message and no `repr`.
    `transport` replaces the network; for `base_url: local` it is the bundled server. Proxies come from the common
    environment variables (never for addresses of this machine), certificate authorities from `SSL_CERT_FILE` or
    `SSL_CERT_DIR`.

    `endpoint` was found by an earlier run. Without it, the dialect `auto` sends up to three free requests before the
    first call. A stated dialect sends one before the first call that pays. `learned` gets the endpoint that they find,
    or None if something else answers there. `trace` gets every request.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        key: str,
        user: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], float] = time.time,
        patience: Patience | None = None,
        endpoint: ApiEndpoint | None = None,
        learned: Callable[[ApiEndpoint | None], None] = lambda _: None,
        trace: Callable[[Exchange], None] | None = None,
    ) -> None:
        """Create the client. Raises ApiError for a dialect, address, key or user id that cannot work."""
        local = settings.base_url == "local"
        self._send_mode = settings.send_mode
        self._stated = dialect_named(settings.dialect)
        self._base = base_address(settings, self._stated)
        self._server = settings.server
        self.local_store = ""
        """The id of the bundled server's file; empty for every other server."""
        # The bundled server is called directly and reads every name, so no search is needed.
        self._api: ApiEndpoint | Failure | None = ApiEndpoint(base=self._base, enveloped=False) if local else None
        if endpoint is not None and endpoint.base in self._candidates():
            self._api = endpoint
        self._check = not local
        self._learned = learned
        self._search = asyncio.Lock()
        self._searches = 0
        self.requests = 0
        """The number of requests sent, those of a search included."""
        # The bundled server in this process needs no key.
        secret = "" if local else key
        # Made once, as making them takes half as long as a request.
        self._headers = httpx.Headers(headers_of(settings, self._stated, secret, user))
        self._url = functools.lru_cache(maxsize=_ADDRESSES)(httpx.URL)
        self._clean: Callable[[str], str] = functools.partial(message, secret=secret)
        self._wall = wall
        self._trace = trace
        self._secrets = (secret, user)
        self._patience = patience or Patience()
        if transport is None and local:
            raise ApiError("`api.base_url` is `local`, and no bundled server was given", code="no-server")
        self._transport = transport or transport_to(self._base)

    def __repr__(self) -> str:
        return f"Client({self._server!r})"

    @property
    def dialect(self) -> str:
        """Return the name of the API dialect in use. It is `auto` until the API is found."""
        return self._spoken.name

    @property
    def input_names(self) -> tuple[str, ...]:
        """Return the names under which a request for a text sends the template's inputs."""
        return self._spoken.names_of("inputs")

    @property
    def _spoken(self) -> Dialect:
        if not isinstance(self._api, ApiEndpoint) or self._api.enveloped is None:
            return self._stated
        return detected_dialect(self._stated, enveloped=self._api.enveloped)

    async def send(self, call: Call, may_leave: MayLeave = always) -> Reply | Failure:
        """Send one call and return its reply or failure. The only errors it raises are those that cancel the task.

        `may_leave` may stop a call that is not repeatable. A call that pays is sent once at most, and never in a
        dialect that the server does not speak.
        """
        api = ApiEndpoint(base=self._base, enveloped=None)
        pays = call.pays
        if pays or self._stated.name == AUTO:
            searched = await self.find()
            if isinstance(searched, Failure):
                return not_sent(searched, call)
            api = searched
        if pays and (failure := self.contradiction(api)):
            return structs.replace(failure, call=call.name)
        reply = await self._ask(call, self._spoken, api.base, may_leave)
        if not isinstance(reply, Failure):
            return reply
        if reply.kind is FailureKind.UNUSABLE:
            self._learned(None)
        return _with_hint(reply, self._spoken) if pays and self._stated.name == AUTO else reply

    @property
    def is_found(self) -> bool:
        """Return whether the search for the API has a final result. Then `find` sends no request."""
        return isinstance(self._api, ApiEndpoint) or (self._api is not None and _is_final(self._api))

    async def find(self, *, again: bool = False, turn: Turn | None = None) -> ApiEndpoint | Failure:
        """Find the address of the API with requests that cost nothing.

        Callers share the result of a search that is running.

        `again` searches even if the address is known. Each request after the first waits for `turn`. With a stated
        dialect, only its own address is tried, and a reply that is not a list proves nothing about the dialect.
        """
        if again or not self.is_found:
            searches = self._searches
            async with self._search:
                if searches == self._searches:
                    self._api = await self._look(turn)
                    self._searches += 1
        assert self._api is not None
        return self._api

    def contradiction(self, api: ApiEndpoint) -> Failure | None:
        """Return a failure if the server cannot use the API dialect from the settings. Otherwise return None."""
        if api.enveloped is None or not self._check:
            return None
        text = contradiction(self._stated, enveloped=api.enveloped)
        return Failure(FailureKind.UNUSABLE, text) if text else None

    def _candidates(self) -> tuple[str, ...]:
        return candidates(self._base) if self._stated.name == AUTO else (self._base,)

    async def _look(self, turn: Turn | None) -> ApiEndpoint | Failure:
        stated = self._stated.name != AUTO
        tried: list[tuple[str, Failure]] = []
        for base in self._candidates():
            if tried and turn is not None and not await turn():
                break
            reply = await self._ask(ListTemplates(), self._stated, base)
            if not isinstance(reply, Failure):
                assert isinstance(self._api, ApiEndpoint)
                return self._api
            tried.append((base, reply))
            if ends_search(reply):
                break
        failure = no_api(tried)
        if stated and not (ends_search(failure) or failure.kind in (FailureKind.UNAUTHORIZED, FailureKind.UNAVAILABLE)):
            return ApiEndpoint(base=self._base, enveloped=None)
        return failure

    async def _ask(self, call: Call, dialect: Dialect, base: str, may_leave: MayLeave = always) -> Reply | Failure:
        """Send one request and return the reply or the failure."""
        try:
            wire = spell(call, dialect, send_mode=self._send_mode)
        except Unsendable as error:
            return Failure(FailureKind.REJECTED, self._clean(str(error)), call=call.name)
        self.requests += 1
        try:
            exchange = self._exchange(call, wire, base, may_leave)
            if self._trace is not None:
                path = functools.reduce(redact, self._secrets, f"{urlsplit(base).path}{wire.path}")
                exchange = traced(exchange, self._trace, call, wire, path, at=self._wall())
            answer = await exchange
        except Exception as error:  # noqa: BLE001 - whatever network or server raise is an outcome of the call
            reply: Reply | Failure = self._diagnosed(error, call)
        else:
            reply = judge(call, answer, wall=self._wall(), clean=self._clean)
            if isinstance(call, ListTemplates | ListStyles) and not isinstance(reply, Failure) and self._check:
                self._remember(ApiEndpoint(base=base, enveloped=is_enveloped(answer.body)))
        if isinstance(reply, Failure):
            return structs.replace(reply, endpoint=self._clean(f"{wire.method} {base}{wire.path}"))
        return reply

    def _remember(self, api: ApiEndpoint) -> None:
        if api != self._api:
            self._api = api
            self._learned(api)

    async def aclose(self) -> None:
        """Close all connections to the server."""
        await self._transport.aclose()

    async def _exchange(self, call: Call, wire: Wire, base: str, may_leave: MayLeave) -> HttpAnswer:
        patience = self._patience
        read = patience.read(call)
        timeout = {"connect": patience.connect, "read": read, "write": read, "pool": patience.connect}
        extensions: dict[str, Any] = {"timeout": timeout}
        if may_leave is not always:
            extensions["trace"] = fenced(may_leave, stops=not call.repeatable)
        headers = self._headers.copy()
        headers.update(wire.headers)
        url = self._url(base + wire.path)
        request = httpx.Request(wire.method, url, headers=headers, content=wire.body, extensions=extensions)
        response = None
        try:
            async with asyncio.timeout(patience.total(call)):
                response = await self._transport.handle_async_request(request)
                body, damage = await self._collect(response)
        except TimeoutError:
            if response is None:
                raise
            body, damage = b"", Damage.LATE
        return HttpAnswer(response.status_code, dict(response.headers.items()), body, damage)

    async def _collect(self, response: httpx.Response) -> tuple[bytes, Damage]:
        """Return the body of a response, or the reason why it is incomplete.

        An error in the body must not hide the status.
        """
        stream: Any = response.stream
        try:
            return await _gather(stream, response.headers.get("content-encoding", "").strip().lower())
        except zlib.error:
            return b"", Damage.CODING
        except httpx.TimeoutException:
            return b"", Damage.LATE
        except httpx.TransportError:
            return b"", Damage.CUT
        finally:
            await stream.aclose()

    def _diagnosed(self, error: Exception, call: Call) -> Failure:
        """Return the failure for a call that raised an error."""
        host, kind, hint = urlsplit(self._base).netloc, FailureKind.NOT_SENT, ""
        match error:
            case BlockedByFence():
                detail = f"not sent to `{host}`: too much time passed after it was recorded"
            case httpx.ProxyError():
                kind, hint = FailureKind.UNUSABLE, "; check `HTTPS_PROXY` and `NO_PROXY`"
                detail = f"the proxy refused the connection to `{host}`: {cause(error)}"
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
                detail = f"no connection to `{host}`: {cause(error)}"
                if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain(error)):
                    kind, hint = FailureKind.UNUSABLE, _CERTIFICATE
                    detail = f"the certificate of `{host}` is not valid: {cause(error)}"
            case httpx.TimeoutException() | TimeoutError():
                kind, detail = lost(call), f"no answer from `{host}` within {self._patience.read(call):g} s"
            case httpx.TransportError():
                kind, detail = lost(call), f"the connection to `{host}` broke: {cause(error)}"
            case _:
                # The bundled server or the transport raised it.
                kind, detail = lost(call), f"the call to `{host}` failed inside: {type(error).__name__}: {error}"
        return unanswered(call, kind, detail, hint, clean=self._clean)


_CERTIFICATE = f"; {CHECK_ADDRESS} and this machine's clock, and set `SSL_CERT_FILE` for your own certificate authority"


def _is_final(failure: Failure) -> bool:
    """Return whether a new search for the API would fail again.

    A web page in place of a list may be temporary.
    """
    is_page = failure.not_from_api and failure.status is not None and failure.status < _REDIRECT
    return failure.kind in _FINAL and not is_page


def _with_hint(failure: Failure, dialect: Dialect) -> Failure:
    """Return the failure, and add a hint to its message if the server refused the second name of a field.

    A request for a text sends some fields under two names.
    """
    if failure.kind is not FailureKind.REJECTED or not names_blamed(dialect, failure.message):
        return failure
    hint = "; if it accepts only one name, set `api.dialect` to its dialect"
    return structs.replace(failure, message=failure.message + hint)


async def _gather(stream: Any, coding: str) -> tuple[bytes, Damage]:
    if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        return b"", Damage.CODING
    # With this setting zlib reads both gzip and deflate.
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if coding not in {"", "identity"} else None
    parts = []
    size = 0
    async for chunk in stream:
        # Bounded while it is decompressed, as a small answer may become a very large one.
        part = inflate.decompress(chunk, LARGEST + 1 - size) if inflate else chunk
        size += len(part)
        if size > LARGEST:
            return b"", Damage.LARGE
        parts.append(part)
    if inflate and size and not inflate.eof:
        return b"", Damage.CUT
    return b"".join(parts), Damage.NONE
