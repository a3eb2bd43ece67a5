"""Connections to one server: TLS, proxy, and a stack of transports with one connection each.

The cost of one httpx pool grows with the square of its connections. A stack of pools of one stays cheap at any
number, keeps the warmest connection busy, and lets the others go idle.
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
"""Seconds a connection may have been idle and still carry a paid call: less than the five after which common servers
close one, since a close that crosses a request leaves its outcome unknown."""
_LEAVING = (".send_request_headers.started", ".send_request_body.started")


class HeldBack(Exception):
    """The fence did not let the bytes of a request leave."""


def fenced(may_leave: MayLeave, *, stops: bool) -> Callable[[str, Mapping[str, object]], Awaitable[None]]:
    """A trace for httpcore that asks `may_leave` before the bytes of a request leave.

    It raises HeldBack where they may not any more, if the fence `stops` this request.
    """

    async def traced(event: str, _: Mapping[str, object]) -> None:
        if event.endswith(_LEAVING) and not may_leave() and stops:
            raise HeldBack

    return traced


class Closable(Protocol):
    """What a stack can keep."""

    async def aclose(self) -> None:
        """Close every connection."""


T = TypeVar("T", bound=Closable)


class ConnectionStack(Generic[T]):
    """At most `limit` transports, made on demand; the last one used is the next one taken. For one event loop."""

    def __init__(self, make: Callable[[], T], *, limit: int = 64) -> None:
        self._make = make
        self._free = asyncio.Semaphore(limit)
        self._idle: list[tuple[T, float]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh: bool) -> AsyncIterator[T]:
        """Lend one transport; waits while `limit` are lent.

        `fresh` asks for one that is new or was used within `FRESH` seconds. A transport whose user raises is closed
        and not used again.
        """
        clock = asyncio.get_running_loop().time
        async with self._free:
            transport = await self._take(fresh=fresh, now=clock())
            try:
                yield transport
            except BaseException:
                await transport.aclose()
                raise
            if self._closed:
                await transport.aclose()
            else:
                self._idle.append((transport, clock()))

    async def _take(self, *, fresh: bool, now: float) -> T:
        if not self._idle:
            return self._make()
        transport, since = self._idle.pop()
        if fresh and now - since > FRESH:
            # The top of the stack is the one used last, so the others are at least as old.
            await transport.aclose()
            return self._make()
        return transport

    async def aclose(self) -> None:
        """Close every idle transport now, and each lent one when it comes back."""
        self._closed = True
        while self._idle:
            transport, _ = self._idle.pop()
            await transport.aclose()


def transports(base: str) -> Callable[[], httpx.AsyncHTTPTransport]:
    """A maker of one-connection transports that share one TLS context and one proxy.

    Raises ApiError for proxy or certificate settings of the environment that cannot be used.
    """
    import httpx

    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
    parts = urlsplit(base)
    if parts.scheme == "http":
        # Plain http only ever goes to this machine: no TLS, no proxy.
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return lambda: httpx.AsyncHTTPTransport(verify=unused, limits=limits)
    try:
        context = httpx.create_ssl_context()
        proxy = _proxy(parts.hostname or "", context)
        make = functools.partial(httpx.AsyncHTTPTransport, verify=context, limits=limits, proxy=proxy)
        make()
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        message = f"the proxy or certificate settings of the environment are not usable: {error}"
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
    """The words of the innermost error, or its kind where none has words."""
    texts = [text for each in chain(error) if not isinstance(each, BaseExceptionGroup) and (text := _words(each))]
    name = type(error).__name__
    return texts[-1] if texts else "timed out" if name.endswith("Timeout") else name


def _words(error: BaseException) -> str:
    """The words of the system alone: without its number, and without the address that asyncio adds."""
    if isinstance(error, OSError) and (type(error) is OSError or isinstance(error, ConnectionError | TimeoutError)):
        return os.strerror(error.errno).lower() if error.errno else str(error)
    if isinstance(error, socket.gaierror) and error.strerror:
        return error.strerror.lower()
    return str(error)
