"""Serve an application on a port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from starlette.types import ASGIApp

from contentops.errors import ContentopsError
from contentops.operations.starting.installed_from import with_extra


class OpenPort(NamedTuple):
    """A port that is open, and the address of what is served on it."""

    opened: socket.socket
    number: int
    address: str


@contextlib.contextmanager
def open_port(host: str, port: int) -> Iterator[OpenPort]:
    """Open a port; 0 takes a free one. Raises ContentopsError where it cannot be opened, or nothing can serve."""
    if importlib.util.find_spec("uvicorn") is None:
        hint = f'install `"{with_extra("serve", "uvicorn>=0.34")}"` into the environment of contentops'
        raise ContentopsError("a page needs uvicorn", code="serve", hint=hint)
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.create_server(address[:2], family=family)
    except OSError as error:
        hint = "choose another with `--port` or `--host`"
        raise ContentopsError(f"port {port} on `{host}` cannot be opened: {error}", code="serve", hint=hint) from error
    with opened:
        number = opened.getsockname()[1]
        yield OpenPort(opened, number, f"http://{f'[{host}]' if ':' in host else host}:{number}/")


def serve(app: ASGIApp, port: OpenPort, closing: Callable[[], object] = lambda: None) -> None:
    """Serve until Ctrl-C or SIGTERM; `closing` is called at once then, before open requests are waited for."""
    import uvicorn

    class PageServer(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            closing()
            super().handle_exit(sig, frame)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # Otherwise the signal is raised again at the end, and what the caller has to end would not be.
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    PageServer(uvicorn.Config(app, log_level="warning", server_header=False)).run(sockets=[port.opened])
