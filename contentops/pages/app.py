"""The web application of `contentops review`: its routes, its error pages and its port."""

from __future__ import annotations

import contextlib
import functools
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from msgspec import structs
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from contentops.documents.files import Outputs
from contentops.documents.pictures import TYPES, picture_path, pictures_in
from contentops.errors import ContentopsError, ExitCode, UsageError
from contentops.operations.texts import text_of_file
from contentops.pages import lists, views
from contentops.pages.forms import FORMS, Form, confirm, has_token
from contentops.pages.security import FILES, Guard, Keys, body_of, hosts_of, parsed, refusal, typed
from contentops.pages.site import FOLDER, PageContent, Site, explained, render
from contentops.pages.views import events

ROUTES: Mapping[str, Callable[[Site, Mapping[str, str]], PageContent]] = {
    "/": views.overview,
    "/items": lists.items,
    "/item": views.item,
    "/edit": views.edit,
    "/restore": views.restore,
    "/plan": views.plan,
    "/spend": views.spend,
    "/run": views.run,
    "/today": views.today,
    "/send": views.send,
    "/confirm": confirm,
}
"""The view of each page."""


def create_app(site: Site, keys: Keys, host: str) -> ASGIApp:
    """Return the web application of the pages.

    It accepts requests only if their Host header names `host` or this machine.
    """
    routes = [
        *(Route(path, _served) for path in FILES),
        *(Route(path, _shown(site, view)) for path, view in ROUTES.items()),
        *(Route(path, _posted(site, form), methods=["POST"]) for path, form in FORMS.items()),
        Route("/run/events", functools.partial(events, site)),
        Route("/picture", lambda request: _picture(site, request.query_params)),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: _nothing, 500: _bug}), hosts_of(host), keys)


def _served(request: Request) -> Response:
    """Return the response with the stylesheet or a script."""
    path = request.url.path
    return Response((FOLDER / path.removeprefix("/")).read_text("utf-8"), media_type=FILES[path])


def _picture(site: Site, query: Mapping[str, str]) -> Response:
    """Return the response with an image file that an item's text shows.

    If a browser opens the image's own address, it downloads the file.
    """
    project, address = site.project(), query.get("name", "")
    try:
        one = site.review.snapshot().item(query.get("id", ""))
        text = text_of_file(project, one.file.path)
        path = picture_path(project.root, one.file.path, address) if text and address in pictures_in(text.body) else ""
        data = Outputs(project.root).data(path)
    except ContentopsError:
        return _nothing(None, None)
    return Response(data, media_type=TYPES[Path(path).suffix.lower()], headers={"Content-Disposition": "attachment"})


def _nothing(_: Request | None, __: Exception | None) -> Response:
    return refusal(404, "This page does not exist", "Check the address. Nothing was changed.")


def _bug(_: Request, __: Exception) -> Response:
    return refusal(500, "This is a bug in contentops", "The terminal shows what went wrong; please report it.")


def _shown(site: Site, view: Form) -> Callable[[Request], Response]:
    # Starlette calls what is not async in a thread: reading a project does not stop other pages.
    return lambda request: _answer(site, view, request.query_params)


def _posted(site: Site, form: Form) -> Callable[[Request], Awaitable[Response]]:
    async def post(request: Request) -> Response:
        data = await body_of(request)
        if data is None:
            return refusal(413, "This is too long", "A form takes a text of 1,000,000 characters. Nothing was changed.")
        fields = parsed(data)
        words = typed(fields)
        if not has_token(site, fields):
            message = "Nothing was changed. Open the page again, then repeat what you did."
            return refusal(403, "This form is from another page", message, words)
        return await run_in_threadpool(_answer, site, form, fields, words)

    return post


def _answer(site: Site, view: Form, fields: Mapping[str, str], words: Sequence[str] = ()) -> Response:
    """Call a view function or a form function, and return its page or a redirect as a response.

    `words` are the words that the person typed into the form. An error page shows them.
    """
    try:
        done = view(site, fields)
    except ContentopsError as error:
        done = structs.replace(problem(error), typed=words)
    if isinstance(done, PageContent):
        said = site.notices.get(fields.get("done", "")) or ""
        return Response(render(site, done, said), done.status, media_type="text/html")
    if not done.said:
        return RedirectResponse(done.to, 303) if done.to else Response(status_code=204)
    number = secrets.token_hex(6)
    site.notices.keep(number, done.said)
    at = f"#{done.at}" if done.at else ""
    return RedirectResponse(f"{done.to}{'&' if '?' in done.to else '?'}done={number}{at}", 303)


def problem(error: ContentopsError) -> PageContent:
    """Return the page that explains an error."""
    refused = 409 if error.exit_code is ExitCode.REFUSED else 500
    status = 404 if isinstance(error, UsageError) else refused
    return PageContent(template="problem.html", title="This did not work", model=explained(error), status=status)


# --- its port ----------------------------------------------------------------------------------------------


class OpenPort(NamedTuple):
    """An open port, its number, and its web address."""

    opened: socket.socket
    number: int
    address: str


@contextlib.contextmanager
def open_port(host: str, port: int) -> Iterator[OpenPort]:
    """Open a port, or any free port if `port` is 0. Raises ContentopsError if it cannot be opened."""
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
    """Serve the pages until Ctrl-C or SIGTERM.

    The signal calls `closing` at once. The server then waits for open requests.
    """
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
