"""The application of `contentops review`: its routes, and what becomes of an error."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from contentops.errors import ContentopsError, ExitCode, UsageError
from contentops.pages import edit, item, items, overview, plan, run
from contentops.pages.forms import FORMS, MAX_BYTES, confirm, fields_of
from contentops.pages.run import events
from contentops.pages.security import Guard, hosts_of, refusal
from contentops.pages.site import FOLDER, PageContent, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from contentops.pages.forms import Form, FormResult
    from contentops.pages.security import Keys
    from contentops.pages.site import Site

    View = Callable[[Site, Mapping[str, str]], PageContent]

ROUTES: Mapping[str, View] = {
    "/": overview.overview,
    "/items": items.items,
    "/item": item.item,
    "/edit": edit.edit,
    "/plan": plan.plan,
    "/run": run.run,
    "/confirm": confirm,
}
"""The view of each page."""
FILES: Mapping[str, str] = {"style.css": "text/css", "live.js": "text/javascript"}
"""What is served as it is, with its type."""


def create_app(site: Site, keys: Keys, host: str) -> ASGIApp:
    """Return the application; `host` is where it listens, the only name besides those of this machine."""
    routes = [Route(f"/{name}", served) for name in FILES]
    routes += [Route(path, _shown(site, view)) for path, view in ROUTES.items()]
    routes += [Route(path, _posted(site, form), methods=["POST"]) for path, form in FORMS.items()]
    routes.append(Route("/run/events", functools.partial(events, site)))
    return Guard(Starlette(routes=routes, exception_handlers={404: _nothing, 500: _bug}), hosts_of(host), keys)


def served(request: Request) -> Response:
    """Serve the stylesheet or the script."""
    name = request.url.path.removeprefix("/")
    return Response((FOLDER / name).read_text("utf-8"), media_type=FILES[name])


def _nothing(_: Request, __: Exception) -> Response:
    return refusal(404, "There is no such page", "The address leads nowhere. Nothing was changed.")


def _bug(_: Request, __: Exception) -> Response:
    return refusal(500, "This is a bug in contentops", "The terminal shows what went wrong; please report it.")


def _shown(site: Site, view: View) -> Callable[[Request], Response]:
    # Starlette calls what is not async in a thread: reading a project does not stop other pages.
    def show(request: Request) -> Response:
        query = request.query_params
        return _answer(site, lambda: view(site, query), site.notices.get(query.get("done", "")))

    return show


def _answer(site: Site, view: Callable[[], PageContent], said: str = "") -> Response:
    try:
        page = view()
    except ContentopsError as error:
        page = problem(error)
    return Response(render(site, page, said), page.status, media_type="text/html")


def _posted(site: Site, form: Form) -> Callable[[Request], Awaitable[Response]]:
    def act(fields: Mapping[str, str]) -> Response:
        try:
            done = form(site, fields)
        except ContentopsError as error:
            return _answer(site, functools.partial(problem, error))
        if isinstance(done, PageContent):
            return _answer(site, lambda: done)
        return RedirectResponse(_with_message(site, done), 303)

    async def post(request: Request) -> Response:
        data = b""
        async for part in request.stream():
            data += part
            if len(data) > MAX_BYTES:
                return refusal(413, "This is too long", "A form takes a text of about 2 MB. Nothing was changed.")
        fields = fields_of(site, data)
        if fields is None:
            return refusal(403, "This form is from another page", "Open the page again, then repeat what you did.")
        return await run_in_threadpool(act, fields)

    return post


def _with_message(site: Site, done: FormResult) -> str:
    if not done.said:
        return done.to
    return f"{done.to}{'&' if '?' in done.to else '?'}done={site.notices.add(done.said)}"


def problem(error: ContentopsError) -> PageContent:
    """Return the page of an error."""
    refused = 409 if error.exit_code is ExitCode.REFUSED else 500
    status = 404 if isinstance(error, UsageError) else refused
    return PageContent(template="problem.html", title="This did not work", model=error.diagnostics(), status=status)
