"""The page of `contentops queue --serve`, which only reads, on this machine alone unless a host is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from contentops.errors import ContentopsError
from contentops.loopback import is_loopback
from contentops.pages.app import served
from contentops.pages.security import Guard, hosts_of
from contentops.pages.site import render_bare
from contentops.reporting.queue import HEAD, cells, heading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from contentops.model import Queue

REFRESH = 5
"""Seconds after which a browser reloads the page."""


def create_app(read: Callable[[], Queue], host: str) -> ASGIApp:
    """Return an application that shows the queue that `read` returns.

    On this machine alone, it answers only requests for the name of this machine.
    """

    def show(_: Request) -> Response:
        try:
            page = queue_page(read())
        except ContentopsError as error:
            return Response(queue_page(None, error.message), 503, media_type="text/html")
        return Response(page, media_type="text/html")

    routes = [Route("/", show), Route("/style.css", served)]
    return Guard(Starlette(routes=routes), hosts_of(host) if is_loopback(host) else None, None)


def queue_page(queue: Queue | None, message: str = "") -> str:
    """Totals first, then a row for each submit; without a queue, the message why there is none."""
    tables: list[tuple[Sequence[str], list[tuple[str, ...]]]] = []
    if queue is not None and queue.totals:
        totals: list[tuple[str, ...]] = [
            (one.project, one.environment, one.state, f"{one.submits:,}", f"{one.credits:,}") for one in queue.totals
        ]
        tables.append((("Project", "Environment", "State", "Submits", "Credits"), totals))
        tables.append(([name.capitalize() for name in HEAD], [cells(one) for one in queue.submits]))
    if queue is not None and queue.workers:
        tables.append((("Workers",), [(who,) for who in queue.workers]))
    return render_bare(
        "queue.html",
        title="Queue",
        message=heading(queue) if queue is not None else message,
        tables=tables,
        more=queue.size - len(queue.submits) if queue is not None else 0,
        refresh=REFRESH,
    )
