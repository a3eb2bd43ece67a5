"""Connections to one server: TLS, proxy, and a stack of transports with one connection each.

The cost of one httpx pool grows with the square of its connections. A stack of pools with one connection each stays
cheap at any number, and uses the connection that was used last.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from contentops.errors import ApiError
from contentops.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    import httpx

    from contentops.api.fence import MayLeave

KEEP_ALIVE = 30.0
"""Seconds an idle connection is kept: less than common gateways keep theirs."""
FRESH = 4.0
"""Seconds a connection may be idle before a paid call: common servers close one after five, and a close during a
request leaves its outcome unknown."""
_LEAVING = (".send_request_headers.started", ".send_request_body.started")


class BlockedByFence(Exception):
    """The fence did not let the bytes of a request leave."""


def fenced(may_leave: MayLeave, *, stops: bool) -> Callable[[str, Mapping[str, object]], Awaitable[None]]:
    """A trace for httpcore that asks `may_leave` before the bytes of a request leave.

    It raises BlockedByFence where they may not leave any more, if the fence `stops` this request.
    """

    async def traced(event: str, _: Mapping[str, object]) -> None:
        if event.endswith(_LEAVING) and not may_leave() and stops:
            raise BlockedByFence

    return traced


class Closable(Protocol):
    """A transport that a stack can keep."""

    async def aclose(self) -> None:
        """Close every connection."""


T = TypeVar("T", bound=Closable)


class ConnectionStack(Generic[T]):
    """At most `limit` transports, made on demand; the one used last is used next. For one event loop."""

    def __init__(self, make: Callable[[], T], *, limit: int = 64) -> None:
        self._make = make
        self._free = asyncio.Semaphore(limit)
        self._idle: list[tuple[T, float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool) -> AsyncIterator[T]:
        """A transport for one use; waits while `limit` are in use, and closes the transport if the user raises.

        `fresh` asks for one that is new or was used within `FRESH` seconds.
        """
        clock = asyncio.get_running_loop().time
        async with self._free:
            transport = await self._next(fresh=fresh, now=clock())
            try:
                yield transport
            except BaseException:
                await transport.aclose()
                raise
            if self._closed:
                await transport.aclose()
            else:
                self._idle.append((transport, clock()))

    async def _next(self, *, fresh: bool, now: float) -> T:
        if not self._idle:
            return self._make()
        transport, since = self._idle.pop()
        if fresh and now - since > FRESH:
            # The others on the stack are at least as old.
            await transport.aclose()
            return self._make()
        return transport

    async def aclose(self) -> None:
        """Close every idle transport now, and each one in use when its use ends."""
        self._closed = True
        while self._idle:
            transport, _ = self._idle.pop()
            await transport.aclose()


def transports(base: str) -> Callable[[], httpx.AsyncHTTPTransport]:
    """A function that makes one-connection transports with one TLS context and one proxy.

    Raises ApiError for proxy or certificate settings of the environment that cannot be used.
    """
    import httpx

    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
    parts = urlsplit(base)
    if parts.scheme == "http":
        # Plain http goes to this machine alone: no TLS, no proxy.
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return lambda: httpx.AsyncHTTPTransport(verify=unused, limits=limits)
    try:
        context = httpx.create_ssl_context()
        proxy = _proxy(parts.hostname or "", context)
        make = functools.partial(httpx.AsyncHTTPTransport, verify=context, limits=limits, proxy=proxy)
        make()
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        message = f"the proxy or certificate settings in the environment are invalid: {error}"
        hint = "check `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"
        raise ApiError(message, code="environment", hint=hint) from error
    return make


def _proxy(host: str, context: ssl.SSLContext) -> httpx.Proxy | None:
    from urllib.request import getproxies, proxy_bypass

    import httpx

    proxies = getproxies()
    url = proxies.get("https") or proxies.get("all")
    if not url or is_loopback(host) or proxy_bypass(host):
        return None
    url = url if "://" in url else f"http://{url}"
    return httpx.Proxy(url, ssl_context=context if url.startswith("https://") else None)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, the innermost last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def cause(error: Exception) -> str:
    """The message of the innermost error, or its kind where none has a message."""
    texts = [text for each in chain(error) if not isinstance(each, BaseExceptionGroup) and (text := _words(each))]
    name = type(error).__name__
    return texts[-1] if texts else "timed out" if name.endswith("Timeout") else name


def _words(error: BaseException) -> str:
    """The message of the system, without its number and without the address that asyncio adds."""
    if isinstance(error, OSError) and (type(error) is OSError or isinstance(error, ConnectionError | TimeoutError)):
        return os.strerror(error.errno).lower() if error.errno else str(error)
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror.lower()
    return str(error)
