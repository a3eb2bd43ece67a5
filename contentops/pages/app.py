"""The application of `contentops review`: its routes, and what becomes of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from contentops.errors import ContentopsError, ExitCode, UsageError
from contentops.pages import item, overview, run
from contentops.pages.security import Guard, hosts_of
from contentops.pages.site import FOLDER, PageContent, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from contentops.pages.security import Keys
    from contentops.pages.site import Site

    View = Callable[[Site, Mapping[str, str]], PageContent]

ROUTES: Mapping[str, View] = {
    "/": overview.overview,
    "/items": overview.items,
    "/item": item.item,
    "/plan": overview.plan,
    "/run": run.run,
}
"""The view of each page."""
STYLE = FOLDER / "style.css"


def create_app(site: Site, keys: Keys, host: str) -> ASGIApp:
    """Return the application; `host` is where it listens, the only name besides those of this machine."""
    routes = [Route("/style.css", style), *(Route(path, _shown(site, view)) for path, view in ROUTES.items())]
    return Guard(Starlette(routes=routes), hosts_of(host), keys)


def style(_: Request) -> Response:
    """Serve the stylesheet."""
    return Response(STYLE.read_text("utf-8"), media_type="text/css")


def _shown(site: Site, view: View) -> Callable[[Request], Response]:
    # Starlette calls what is not async in a thread: reading a project does not stop other pages.
    def show(request: Request) -> Response:
        try:
            page = view(site, request.query_params)
        except ContentopsError as error:
            page = problem(error)
        return Response(render(site, page), page.status, media_type="text/html")

    return show


def problem(error: ContentopsError) -> PageContent:
    """Return the page of an error."""
    refused = 409 if error.exit_code is ExitCode.REFUSED else 500
    status = 404 if isinstance(error, UsageError) else refused
    return PageContent(template="problem.html", title="This did not work", model=error.diagnostics(), status=status)
