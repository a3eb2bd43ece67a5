"""The page of `contentops queue --serve`: it only reads, and is for this machine alone unless a host is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from starlette.routing import Route

from contentops.errors import ContentopsError, StateError
from contentops.loopback import is_loopback
from contentops.reporting.queue_page import HEADERS, STYLE, error_page, queue_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from contentops.model import Queue


def page(read: Callable[[], Queue], host: str) -> Starlette:
    """An application that shows what `read` finds.

    Where it is for this machine alone, a browser that was led here under another name gets nothing.
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


def serve(app: Starlette, host: str, port: int, listening: Callable[[], object]) -> None:
    """Serve until a signal ends it; `listening` is called just before. Raises StateError without uvicorn."""
    try:
        import uvicorn
    except ImportError:
        hint = "`pip install 'contentops[serve]'`"
        raise StateError("to show a page over HTTP needs uvicorn", code="no-uvicorn", hint=hint) from None
    listening()
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)
