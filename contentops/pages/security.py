"""Protects the pages: only the browser that opened the one-time link may see them.

The link carries a token that works once and gives the browser a session cookie. Without the cookie every request gets
a bare page that names neither the project nor a person.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from markupsafe import Markup
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contentops.operations.texts import LONGEST
from contentops.pages.site import render_bare

POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
"""What a browser may load: the stylesheet, the scripts, the events and pictures of this server, and nothing else."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    # With `no-referrer`, browsers would send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of every response."""
LINK = "/open"
"""The path of the one-time link."""
FILES: Mapping[str, str] = {
    "/style.css": "text/css",
    **dict.fromkeys(("/live.js", "/keys.js", "/drafts.js"), "text/javascript"),
}
"""The media types of files that need no session, because they are equal in every project."""

MAX_BYTES = 2 * LONGEST * len("%F0%9F%98%80") + 1_000_000
"""Of a form: an edit carries its text twice, each character in at most 4 bytes, and each of those as 3."""
_FIELDS = 50
_LEADS_ON = Markup(
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}">'
    '<a href="{0}">Open the page</a>'
)


class Keys:
    """The secrets of one server: the tokens of its one-time link and its forms, and the session cookie."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.form_token = secrets.token_urlsafe(32)
        self.cookie = f"contentops-review-{port}"
        """The name of the cookie: browsers send cookies to every port of a host."""
        self._session = secrets.token_urlsafe(32)
        self.used = False

    def has_session(self, request: Request) -> bool:
        """Return whether a request has the session cookie."""
        return _same(request.cookies.get(self.cookie, ""), self._session)

    def opens(self, token: str) -> bool:
        """Return whether `token` is the token of the one-time link, even if the link was already used."""
        return _same(token, self.token)

    def open(self, response: Response) -> None:
        """Set the session cookie in a response, and mark the one-time link as used."""
        self.used = True
        response.set_cookie(self.cookie, self._session, httponly=True, samesite="strict", path="/")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


class Guard:
    """Refuses requests without permission to see the pages, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], keys: Keys) -> None:
        self._app, self._hosts, self._keys = app, hosts, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request to the application. The guard itself answers all other requests."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = await self._answer(Request(scope, receive))
        await (answer or self._app)(scope, receive, sent)

    async def _answer(self, request: Request) -> Response | None:
        """Return the response to the one-time link or to a refused request.

        None means that the application may answer the request.
        """
        if _host_of(request.headers) not in self._hosts:
            return refusal(400, "This is another address", "The page is served to this machine only.")
        if request.url.path == LINK:
            # Also from a file of this machine, which browsers call another site: the token is the secret.
            return _opened(request, self._keys)
        if not _same_site(request):
            return refusal(
                403,
                "This page opens only from itself",
                "Another site led here. It learned nothing, and nothing was changed. Open the page from its own tab.",
            )
        if request.url.path in FILES:
            return None
        if self._keys.has_session(request):
            return None
        # The server was started again while a person wrote.
        return _closed(words=typed(parsed(await body_of(request) or b"")))


def _opened(request: Request, keys: Keys) -> Response:
    if request.method != "GET" or not keys.opens(request.query_params.get("token", "")):
        return _closed()
    if keys.used and not keys.has_session(request):
        return _closed("The link was used already, in this browser or in another one: it opens the page once.")
    if _same_site(request):
        response: Response = RedirectResponse("/", 303)
    else:
        # A redirect would still count as coming from the file, and a strict cookie is not sent with that.
        response = refusal(200, "The page opens", "If it does not, open the address of this page without `/open`.")
        response.headers["Refresh"] = "0; url=/"
    keys.open(response)
    return response


@contextlib.contextmanager
def private_file(folder: Path, link: str) -> Iterator[str]:
    """Write a private HTML file that leads to the link, and yield the file's address. At the end, delete the file.

    The link is not an argument of the browser, because every user of the machine can read these. Raises OSError.
    """
    handle, name = tempfile.mkstemp(dir=folder, prefix="open-", suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_LEADS_ON.format(link))
        yield Path(name).as_uri()
    finally:
        Path(name).unlink(missing_ok=True)


async def body_of(request: Request) -> bytes | None:
    """Return the body of a request, or None if it is too long for a form."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MAX_BYTES:
            return None
    return bytes(data)


def parsed(data: bytes) -> Mapping[str, str]:
    """Return the fields of a form, with LF as line end. If the form cannot be read, return no fields."""
    try:
        pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
    except ValueError:
        return {}
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def typed(form: Mapping[str, str]) -> tuple[str, ...]:
    """Return the title, body and note that a person typed into a form, to show them on an error page."""
    return tuple(form[name] for name in ("title", "body", "note") if form.get(name))


def _closed(
    why: str = "Each start of `contentops review` makes a link that works once, in one browser.",
    words: Sequence[str] = (),
) -> Response:
    way = "Use the link that your terminal shows, or start `contentops review` again for a new one."
    return refusal(403, "This link does not open the page any more", f"{why} Nothing was changed. {way}", words)


def refusal(status: int, title: str, message: str, words: Sequence[str] = ()) -> Response:
    """Return an error page that names neither the project nor a person.

    `words` are the words that the person typed; the page shows them so that the person can copy them.
    """
    page = render_bare(typed=words, status=status, title=title, message=message)
    return Response(page, status, media_type="text/html")


def _host_of(headers: Headers) -> str:
    """Return the host name in the Host header, without the port."""
    host = headers.get("host", "").lower()
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def _same_site(request: Request) -> bool:
    """Return whether a request comes from a page of this server, or from an address that a person opened.

    A request that changes something must have an Origin header.
    """
    origin, fetched = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is not None and origin.lower() != f"http://{request.headers.get('host', '')}".lower():
        return False
    if request.method in {"GET", "HEAD"}:
        return fetched in {None, "none", "same-origin"}
    return origin is not None and fetched in {None, "same-origin"}


def hosts_of(host: str) -> frozenset[str]:
    """Return the host names that requests may use: `host` and the loopback names."""
    return frozenset({f"[{host}]" if ":" in host else host.lower(), "localhost", "127.0.0.1", "[::1]"})
