"""The embedded server on a port: binding, keys, signals, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
from typing import TYPE_CHECKING, Any

from contentops.server import LocalError
from contentops.server.app import create_app
from contentops.server.keys import KeyRing
from contentops.server.refusal import Refusal, surface
from contentops.server.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import uvicorn
    from starlette.types import ASGIApp, Receive, Scope, Send

    from contentops.server.engines import Engine
    from contentops.server.limits import Limits

_LAST_PORT = 65_535
_GRACE = 3
"""Seconds open requests get at shutdown."""


class ServeError(LocalError):
    """The port cannot be opened; the message says why and what to do."""


def run(
    host: str,
    port: int,
    store_path: Path,
    *,
    engine: Engine,
    stage_seconds: float = 0.0,
    limits: Limits | None = None,
    log: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM, then return. Port 0 takes a free one; `log` is told the address once it listens.

    Keys are asked for when the store has any, or when `host` is not this machine alone.
    Raises ImportError without uvicorn, ServeError, StoreError.
    """

    async def until_signalled() -> None:
        stop = asyncio.Event()
        with _signals(stop):
            await serve(
                host,
                port,
                store_path,
                engine=engine,
                stage_seconds=stage_seconds,
                limits=limits,
                log=log,
                stop=stop,
            )

    asyncio.run(until_signalled())


async def serve(
    host: str,
    port: int,
    store_path: Path,
    *,
    engine: Engine,
    stage_seconds: float = 0.0,
    limits: Limits | None = None,
    log: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """As `run`, on the running loop, until `stop` is set."""
    alone = _is_loopback(host)
    with _listening(host, port) as sock, Store(store_path) as store:
        keys = KeyRing(store, required=not alone)
        app = create_app(store, engine=engine, keys=keys, stage_seconds=stage_seconds, limits=limits)
        address = _address(host, sock.getsockname()[1])
        server = _server(_guarded(app) if alone else app, lambda: _announce(log, address, keys))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving
            await app.state.close()


def _announce(log: Callable[[str], None], address: str, keys: KeyRing) -> None:
    log(f"listening on {address}/v1 (and {address}/api)")
    if keys.required and not any(key.revoked_at is None for key in keys.issued()):
        log("every request needs a key and there is none yet: make one with `contentops serve keys create`")


def _server(app: ASGIApp, started: Callable[[], None]) -> uvicorn.Server:
    try:
        import uvicorn
    except ImportError as error:
        message = "serving over HTTP needs uvicorn: `pip install 'contentops[serve]'`"
        raise ImportError(message) from error

    class Server(uvicorn.Server):
        """Tells when it listens, and leaves signals to `run`."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                started()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    settings: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
    return Server(uvicorn.Config(app, lifespan="on", timeout_graceful_shutdown=_GRACE, **settings))


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port <= _LAST_PORT:
        # The system would take such a number modulo 65536.
        message = f"port {port} is not between 0 and {_LAST_PORT}; choose another with `--port` or `--host`"
        raise ServeError(message)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        message = f"port {port} on `{host}` cannot be opened: {error}; choose another with `--port` or `--host`"
        raise ServeError(message) from error
    with sock:
        yield sock


def _address(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded(app: ASGIApp) -> ASGIApp:
    """Answer only requests that name this machine: a web page that points its own name here is turned away."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_loopback(_host_named(scope)):
            refusal = Refusal(403, "this server answers only under a loopback name, such as `localhost`")
            await refusal.response(surface(scope["path"]))(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded


def _host_named(scope: Scope) -> str:
    named = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    if named.startswith("["):
        return named[1:].partition("]")[0]
    return named.partition(":")[0].lower()


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop` instead of ending the process at once."""
    loop = asyncio.get_running_loop()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
