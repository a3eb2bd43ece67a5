"""Serve the page of `contentops queue --serve`, which only reads, on this machine alone unless a host is named."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.routing import Route

from contentops.errors import ContentopsError
from contentops.loopback import is_loopback
from contentops.reporting.queue_page import HEADERS, STYLE, error_page, queue_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from contentops.model import Queue


def page(read: Callable[[], Queue], host: str) -> Starlette:
    """Return an application that shows the queue that `read` returns.

    On this machine alone, it answers only requests for the name of this machine.
    """

    def show(_: Request) -> Response:
        try:
            return Response(queue_page(read()), media_type="text/html", headers=HEADERS)
        except ContentopsError as error:
            return Response(error_page(error.message), 503, media_type="text/html", headers=HEADERS)

    def style(_: Request) -> Response:
        return Response(STYLE, media_type="text/css", headers=HEADERS)

    names = [host, "localhost", "127.0.0.1", "[::1]"] if is_loopback(host) else ["*"]
    return Starlette(
        routes=[Route("/", show), Route("/style.css", style)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)],
    )


def serve(app: Starlette, host: str, port: int, listening: Callable[[str], object]) -> None:
    """Serve until a signal ends it; `listening` gets the address. Raises ContentopsError where it cannot listen."""
    try:
        import uvicorn

        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.create_server(address[:2], family=family)
    except ImportError:
        hint = "`pip install '.[serve]'` in the clone of contentops"
        raise ContentopsError("to show a page over HTTP needs uvicorn", code="serve", hint=hint) from None
    except OSError as error:
        hint = "choose another with `--port` or `--host`"
        raise ContentopsError(f"port {port} on `{host}` cannot be opened: {error}", code="serve", hint=hint) from error
    with opened:
        name = f"[{host}]" if ":" in host else host
        listening(f"http://{name}:{opened.getsockname()[1]}/")
        uvicorn.run(app, fd=opened.fileno(), log_level="warning", server_header=False)
