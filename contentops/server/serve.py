"""Runs the bundled server, either inside this process or on a port."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contentops.loopback import is_loopback
from contentops.server import EmbeddedServerError
from contentops.server.app import create_app
from contentops.server.engines.protocol import Engine
from contentops.server.store import Store, iso
from contentops.server.wire import Surface, refusal

if TYPE_CHECKING:
    import uvicorn

_LAST_PORT = 65_535
KEY_VARIABLE = "CONTENTOPS_SERVE_KEY"


class ServeError(EmbeddedServerError):
    """The server cannot start. The message says why and what to do."""


@contextlib.asynccontextmanager
async def running(path: Path, engine: Engine | None) -> AsyncIterator[Any]:
    """Yield the app of the bundled server with the store at `path`, which is created if necessary.

    Without an engine, no job is done. Another command may have left jobs for another engine, so a job is resumed only
    by a request for its status.
    """
    app = create_app(Store(path), engine=engine, on_request=True)
    try:
        yield app
    finally:
        await app.state.close()


class ServeOptions(Struct, frozen=True, kw_only=True):
    """The settings of a server that listens on a port. Port 0 means any free port.

    `log` gets the address when the server listens. If `key` is empty, requests need no key. `log_request` gets a line
    without the key for each request; with None, requests are not logged.
    """

    host: str
    port: int
    store: Path
    engine: Engine
    log: Callable[[str], None]
    key: str = ""
    requests_per_minute: int = 0
    stage_seconds: float = 0.0
    log_request: Callable[[str], None] | None = None


def run(options: ServeOptions) -> None:
    """Run the server until SIGINT or SIGTERM, then return.

    Raises ServeError and StoreError.
    """
    asyncio.run(serve(options, asyncio.Event()))


async def serve(options: ServeOptions, stop: asyncio.Event) -> None:
    """Run the server in the running event loop until SIGINT or SIGTERM, or until `stop` is set."""
    alone = is_loopback(options.host)
    if not alone and not options.key:
        raise ServeError(f"other machines can reach `{options.host}`, so requests need a key: set `{KEY_VARIABLE}`")
    with _listening(options.host, options.port) as sock, Store(options.store) as store:
        app = create_app(
            store,
            engine=options.engine,
            key=options.key,
            requests_per_minute=options.requests_per_minute,
            stage_seconds=options.stage_seconds,
        )
        address = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{sock.getsockname()[1]}"

        log = partial(options.log, f"listening on {address}/v1 (and {address}/api)")
        server = _server(_guarded(app, options, alone=alone), log)

        async def until_stopped() -> None:
            await stop.wait()
            server.should_exit = True

        stopping = asyncio.create_task(until_stopped())
        try:
            await server.serve(sockets=[sock])
        finally:
            stopping.cancel()
            await app.state.close()


def _server(app: ASGIApp, started: Callable[[], object]) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        """A uvicorn server that calls `started` when it listens. It does not raise a signal again at its end."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                started()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            numbers = (signal.SIGINT, signal.SIGTERM)
            before = {number: signal.signal(number, self.handle_exit) for number in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return Server(config)


def _listening(host: str, port: int) -> socket.socket:
    advice = "choose another with `--port` or `--host`"
    if not 0 <= port <= _LAST_PORT:
        # The system would take such a number modulo 65536.
        raise ServeError(f"port {port} is not between 0 and {_LAST_PORT}; {advice}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ServeError(f"port {port} on `{host}` cannot be opened: {error}; {advice}") from error


def _guarded(app: ASGIApp, options: ServeOptions, *, alone: bool) -> ASGIApp:
    """Return an app that logs each request: time, method, path, status (`-` without a response) and milliseconds.

    With `alone`, it refuses requests whose Host header is not a loopback name. So a web page cannot reach the server
    under a name of its own.
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        status, began = "-", time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        answer, host = app, Headers(scope=scope).get("host", "").lower()
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if alone and not is_loopback(name):
            refused = HTTPException(403, "this server answers only under a loopback name, such as `localhost`")
            answer = refusal(refused, Surface.of(scope["path"]))
        try:
            await answer(scope, receive, noted)
        finally:
            if options.log_request is not None:
                # A path may hold a key by mistake, and a query too: neither is shown.
                path = scope["path"].replace(options.key, "...") if options.key else scope["path"]
                path = quote(path[:200], safe="/:@!$&'()*+,;=~")
                ms = (time.perf_counter() - began) * 1000
                # The reader of the log may be gone; the request is answered anyway.
                with contextlib.suppress(OSError):
                    options.log_request(f"{iso(time.time())} {scope['method'][:20]} {path} {status} {ms:.1f} ms")

    return respond
