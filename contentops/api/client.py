"""The client: one call out, one reply or failure back, and nothing raised for what network or server do.

The only module that imports httpx, but for the embedded server's way to a model, and only once a client is made. It
retries nothing and follows nothing: when to send again is the executor's decision alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import time
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contentops.api.address import base_address, headers_of, is_loopback
from contentops.api.calls import Generate, ListTemplates
from contentops.api.dialects import Unsendable, dialect_named, spell
from contentops.api.finding import (
    Place,
    candidates,
    ends_search,
    is_about_form,
    not_asked,
    not_found,
    refused_by_all,
    spellings,
)
from contentops.api.outcomes import Answer, Damage, Trouble, broken, judge
from contentops.api.reading import is_enveloped
from contentops.api.replies import Accepted, Failure, FailureKind
from contentops.api.slots import Slots
from contentops.api.words import speak
from contentops.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import httpx

    from contentops.api.calls import Call
    from contentops.api.dialects import Dialect, Wire
    from contentops.api.replies import Reply
    from contentops.model import ApiSettings

LARGEST = 20 * 1024 * 1024
"""Bytes an answer may have once decompressed."""

KEEP_ALIVE = 30.0
"""Seconds an idle connection is kept: less than common gateways keep theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds to wait. `submit` is longer than a gateway's own limit, so that its verdict is heard before ours."""

    connect: float = 10.0
    submit: float = 120.0
    other: float = 30.0

    def read(self, call: Call) -> float:
        """The longest silence to bear."""
        return self.other if call.repeatable else self.submit

    def total(self, call: Call) -> float:
        """The longest a whole call may take, however slowly its answer drips in."""
        return self.connect + 2 * self.read(call)


class Client:
    """Speaks one dialect to one server.

    `key` and `user` come from the environment variables the settings name; the key appears in no message and no
    `repr`. `app` is the embedded server for `base_url: local`. `transport` replaces the network. Proxies are taken
    from the usual environment variables (never for this machine's own addresses), certificate authorities from
    `SSL_CERT_FILE` or `SSL_CERT_DIR`. For one event loop.

    With the dialect `auto` the first call is preceded by up to three free ones that find the address, and a submit
    that is refused for its form is sent again under other names; what worked is kept for as long as the client lives.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        key: str,
        user: str = "",
        app: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], float] = time.time,
        patience: Patience | None = None,
    ) -> None:
        """Raises ApiError for a dialect, address, key or user id that cannot work."""
        import httpx

        self._httpx = httpx
        self._send_mode = settings.send_mode
        self._dialect = dialect_named(settings.dialect)
        self._base = base_address(settings, self._dialect)
        # The embedded server is reached directly and takes every name, so there is nothing to search for.
        searches = self._dialect.searches and settings.base_url != "local"
        self._found: Place | Failure | None = None if searches else Place(base=self._base)
        self._spelling = None if searches else self._dialect
        self._search = asyncio.Lock()
        self._searches = 0
        self._server = settings.server
        # The embedded server in process asks for no key; whatever stands in for one is no secret.
        secret = "" if settings.base_url == "local" else key
        self.requests = 0
        """Requests sent so far, those of a search included."""
        self._headers = headers_of(settings, self._dialect, secret, user)
        self._say: Callable[[str], str] = functools.partial(speak, secret=secret)
        self._wall = wall
        self._patience = patience or Patience()
        self._shared = transport
        self._slots: Slots[httpx.AsyncHTTPTransport] | None = None
        if transport is None and app is not None:
            self._shared = httpx.ASGITransport(app)
        elif transport is None:
            if settings.base_url == "local":
                raise ApiError("`api.base_url` is `local`, and no embedded server was given", code="no-server")
            self._slots = Slots(_transports(self._base))

    def __repr__(self) -> str:
        return f"Client({self._server!r})"

    @property
    def spelling(self) -> str:
        """The dialect whose names the server is known to take; empty while that is open."""
        return self._spelling.name if self._spelling is not None else ""

    async def send(self, call: Call) -> Reply | Failure:
        """Ask the server. Raises nothing but what cancels the task.

        One request, but for the dialect `auto` (see the class); a call that pays is accepted once at most.
        """
        place = await self.find()
        if isinstance(place, Failure):
            return not_asked(place, call)
        if isinstance(call, Generate) and self._spelling is None:
            return await self._submit(call, place)
        reply, _ = await self._ask(call, self._spelling or self._dialect, place.base)
        return reply

    async def find(self) -> Place | Failure:
        """Where the API is; free. Callers that come while a search runs share what it finds."""
        if isinstance(self._found, Place):
            return self._found
        searches = self._searches
        async with self._search:
            if self._found is None or searches == self._searches:
                self._found = await self._look()
                self._searches += 1
        return self._found

    async def _look(self) -> Place | Failure:
        tried: list[tuple[str, Failure]] = []
        for base in candidates(self._base):
            reply, answer = await self._ask(ListTemplates(), self._dialect, base)
            if not isinstance(reply, Failure):
                return Place(base=base, enveloped=answer is not None and is_enveloped(answer.body))
            tried.append((base, reply))
            if ends_search(reply):
                break
        return not_found(tried)

    async def _submit(self, call: Generate, place: Place) -> Reply | Failure:
        """A submit under every known name, and where the server refuses that, under those of one dialect."""
        refusals: list[tuple[str, Failure]] = []
        for dialect in spellings(place, self._dialect):
            reply, _ = await self._ask(call, dialect, place.base)
            if isinstance(reply, Accepted):
                self._spelling = dialect
            if not isinstance(reply, Failure) or not is_about_form(reply, call.request):
                return reply
            refusals.append((dialect.name, reply))
        return refused_by_all(refusals)

    async def _ask(self, call: Call, dialect: Dialect, base: str) -> tuple[Reply | Failure, Answer | None]:
        """What one request is answered with, and the answer itself where one came."""
        try:
            wire = spell(call, dialect, send_mode=self._send_mode)
        except Unsendable as error:
            return Failure(FailureKind.REJECTED, self._say(str(error)), call=call.name), None
        answer = None
        self.requests += 1
        try:
            answer = await self._exchange(call, wire, base)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong out there is an outcome, not an error of ours
            trouble, detail = self._diagnose(error, call)
            reply: Reply | Failure = broken(call, trouble, detail, say=self._say)
        else:
            reply = judge(call, answer, wall=self._wall(), say=self._say)
        if isinstance(reply, Failure):
            reply = replace(reply, endpoint=self._say(f"{wire.method} {base}{wire.path}"))
        return reply, answer

    async def aclose(self) -> None:
        """Close every connection."""
        if self._slots is not None:
            await self._slots.aclose()
        if self._shared is not None:
            await self._shared.aclose()

    async def _exchange(self, call: Call, wire: Wire, base: str) -> Answer:
        patience = self._patience
        read = patience.read(call)
        timeout = {"connect": patience.connect, "read": read, "write": read, "pool": patience.connect}
        request = self._httpx.Request(
            wire.method,
            base + wire.path,
            headers={**self._headers, **wire.headers},
            content=wire.body,
            extensions={"timeout": timeout},
        )
        # Waiting for a free slot is no fault of the server, so the clock starts after it.
        async with self._lease(call) as transport:
            response = None
            try:
                async with asyncio.timeout(patience.total(call)):
                    response = await transport.handle_async_request(request)
                    headers = _lower(response)
                    body, damage = await self._collect(response, headers)
            except TimeoutError:
                if response is None:
                    raise
                headers, body, damage = _lower(response), b"", Damage.LATE
        return Answer(response.status_code, headers, body, damage)

    @contextlib.asynccontextmanager
    async def _lease(self, call: Call) -> AsyncIterator[httpx.AsyncBaseTransport]:
        if self._slots is None:
            assert self._shared is not None
            yield self._shared
            return
        async with self._slots.lease(fresh=not call.repeatable) as transport:
            yield transport

    async def _collect(self, response: httpx.Response, headers: dict[str, str]) -> tuple[bytes, Damage]:
        """The body, or why there is none: once the status is here, nothing that follows may hide it."""
        stream: Any = response.stream
        try:
            return await _gather(stream, headers)
        except zlib.error:
            return b"", Damage.CODING
        except self._httpx.TimeoutException:
            return b"", Damage.LATE
        except self._httpx.TransportError:
            return b"", Damage.CUT
        finally:
            await stream.aclose()

    def _diagnose(self, error: Exception, call: Call) -> tuple[Trouble, str]:
        httpx = self._httpx
        host = urlsplit(self._base).netloc
        match error:
            case httpx.ProxyError():
                return Trouble.PROXY, f"the proxy does not let `{host}` through: {_cause(error)}"
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
                if any(isinstance(each, ssl.SSLCertVerificationError) for each in _chain(error)):
                    return Trouble.CERTIFICATE, f"the certificate of `{host}` does not hold: {_cause(error)}"
                return Trouble.UNREACHABLE, f"no connection to `{host}`: {_cause(error)}"
            case httpx.TimeoutException() | TimeoutError():
                return Trouble.SILENT, f"no answer from `{host}` within {self._patience.read(call):g} s"
            case httpx.TransportError():
                return Trouble.BROKEN, f"the connection to `{host}` broke: {_cause(error)}"
            case _:
                return Trouble.CRASHED, f"the call to `{host}` failed inside: {type(error).__name__}: {error}"


def _lower(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


async def _gather(stream: Any, headers: dict[str, str]) -> tuple[bytes, Damage]:
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
        return b"", Damage.CODING
    # Told to expect either header, zlib finds out by itself whether it is gzip or deflate.
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32) if coding not in {"", "identity"} else None
    parts = []
    size = 0
    async for chunk in stream:
        # Bounded while it is decompressed, so that a small bomb never becomes a large one.
        part = inflate.decompress(chunk, LARGEST + 1 - size) if inflate else chunk
        size += len(part)
        if size > LARGEST:
            return b"", Damage.LARGE
        parts.append(part)
    if inflate and size and not inflate.eof:
        return b"", Damage.CUT
    return b"".join(parts), Damage.NONE


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _cause(error: Exception) -> str:
    """The words of the innermost error, which are the system's own; else what kind of error it is."""
    words = [str(each) for each in _chain(error) if str(each) and not isinstance(each, BaseExceptionGroup)]
    name = type(error).__name__
    return words[-1] if words else "timed out" if name.endswith("Timeout") else name


# --- transports --------------------------------------------------------------------------------------------


def _transports(base: str) -> Callable[[], httpx.AsyncHTTPTransport]:
    """A maker of one-connection transports that share one TLS context and one proxy."""
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
