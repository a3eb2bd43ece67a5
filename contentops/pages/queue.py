"""The page of `contentops queue --serve`, which only reads, on this machine alone unless a host is named."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from contentops.errors import ContentopsError
from contentops.loopback import is_loopback
from contentops.model import Queue
from contentops.pages.app import served
from contentops.pages.security import Guard, hosts_of
from contentops.pages.site import render_bare
from contentops.reporting.queue import HEAD, cells, heading

REFRESH = 5
"""Seconds after which a browser reloads the page."""


def create_app(read: Callable[[], Queue], host: str) -> ASGIApp:
    """Return an application that shows what `read` returns, on this machine only under a name of this machine."""

    def show(_: Request) -> Response:
        queue, status = None, 200
        try:
            queue = read()
            message = heading(queue)
        except ContentopsError as error:
            message, status = error.message, 503
        shown = {"queue": queue, "head": HEAD, "cells": cells}
        page = render_bare("queue.html", title="Queue", message=message, refresh=REFRESH, **shown)
        return Response(page, status, media_type="text/html")

    routes = [Route("/", show), Route("/style.css", served)]
    return Guard(Starlette(routes=routes), hosts_of(host) if is_loopback(host) else None, None)
