"""GitHub's REST API, as much of it as is needed, over the standard library.

The token goes to the server it is meant for alone: an answer that points to another one is an error. Every answer is
read with a limit, and may be anything.
"""

from __future__ import annotations

import http.client
import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from msgspec import Struct

from contentops import __version__
from contentops.ci.github.token import is_safe, token_of
from contentops.errors import ContentopsError, UsageError
from contentops.sanitize import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

API = "https://api.github.com"
LARGEST = 16 << 20
"""Bytes of the largest answer that is read."""
TRIES = 4
_TIMEOUT = 30.0
_REDIRECTS = 3
_LONGEST_WAIT = 60.0
_MOVED = frozenset({301, 302, 307, 308})
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_WORDS = 300
_SECONDARY_WAIT = 60.0
"""Seconds that GitHub asks for where a limit of its own names none."""


class GitHubError(ContentopsError):
    """GitHub cannot be reached, or refuses. `status` is 0 where there was no answer."""

    code = "github"

    def __init__(self, message: str, *, status: int = 0, hint: str = "", again: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.again = again
        """Seconds after which the same call may succeed; None: it will not."""


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class _NoRedirects(HTTPRedirectHandler):
    """Hands every redirect back to us, unread."""

    def http_error_302(self, *_args: Any, **_kwargs: Any) -> None:
        """Follow none."""
        return

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class GitHub(Struct, frozen=True, kw_only=True):
    """One repository, and the token to reach it with. Make one with `connect`."""

    api: str
    repository: str
    token: str
    opener: OpenerDirector
    pause: Callable[[float], None]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that answers `method` on `path` (below the repository, or below the API with a leading `/`).

        Looks are tried again for a while; a call that changes something only where it surely did nothing (429, and
        403 for too many requests). Raises GitHubError.
        """
        address = f"{self.api}{path}" if path.startswith("/") else f"{self.api}/repos/{self.repository}/{path}"
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(method, address, body)
            except GitHubError as error:
                harmless = method == "GET" or error.status in {403, 429}
                if error.again is None or not harmless or attempt == TRIES:
                    raise
                self.pause(max(error.again, 2.0 ** (attempt - 1)))
        raise AssertionError("the last try raises")

    def ask(self, query: str) -> Any:
        """What GraphQL answers to `query`: its `data`, which may be anything. Raises GitHubError."""
        # On a server of one's own, both versions of the API lie below `/api`.
        address = f"{self.api.removesuffix('/v3')}/graphql"
        found = self._once("POST", address, {"query": query})
        return found.get("data") if isinstance(found, dict) else None

    def _once(self, method: str, address: str, body: Mapping[str, Any] | None) -> Any:
        where = address
        for _ in range(_REDIRECTS):
            answer = self._send(method, where, body)
            if answer.status not in _MOVED:
                return self._read(method, address, answer)
            target = _joined(where, answer.headers.get("location", ""))
            if _origin(target) != _origin(self.api):
                raise GitHubError(f"{_shown(address)} points to another server, which gets no token of ours")
            where = target
        raise GitHubError(f"{_shown(address)} leads around in circles")

    def _send(self, method: str, address: str, body: Mapping[str, Any] | None) -> _Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": f"contentops/{__version__}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        request = Request(address, data=data, headers=headers, method=method)  # noqa: S310 - https, or loopback
        try:
            with self.opener.open(request, timeout=_TIMEOUT) as reply:
                return _Answer(reply.status, _lower(reply.headers.items()), _limited(reply.read(LARGEST + 1), address))
        except HTTPError as error:
            with error:
                return _Answer(error.code, _lower(error.headers.items()), _rest(error))
        except (OSError, http.client.HTTPException) as error:
            said = self._masked(str(getattr(error, "reason", error)) or type(error).__name__)
            raise GitHubError(f"{_shown(address)} cannot be reached: {said}", again=1.0) from error

    def _read(self, method: str, address: str, answer: _Answer) -> Any:
        try:
            found = json.loads(answer.body) if answer.body else None
        except (ValueError, RecursionError):
            found = None
            if answer.status < 400:
                raise GitHubError(f"{_shown(address)} did not answer with JSON", status=answer.status) from None
        if answer.status < 400:
            return found
        said = str(found.get("message", "")) if isinstance(found, dict) else ""
        words = f": {self._masked(said)[:_WORDS].rstrip('.')}" if said else ""
        limit = _limit(answer, said)
        wait = 1.0 if limit is None and answer.status >= 500 else limit
        raise GitHubError(
            f"{method} {_shown(address)} was answered with {answer.status}{words}",
            status=answer.status,
            hint=_hint(answer.status, limit),
            again=wait if wait is not None and wait <= _LONGEST_WAIT else None,
        )

    def _masked(self, text: str) -> str:
        return redact(text, self.token, "***")


def connect(environ: Mapping[str, str], *, pause: Callable[[float], None], repository: str = "") -> GitHub:
    """The API that a job on a runner is to use. Raises UsageError where token, repository or address are missing."""
    token = token_of(environ)
    if not token or not token.isprintable() or " " in token:
        hint = "in a workflow: `env: {GITHUB_TOKEN: ${{ github.token }}}`"
        raise UsageError("there is no token for GitHub in `GITHUB_TOKEN`", code="no-token", hint=hint)
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(name) or name.endswith(("/.", "/..")):
        message = f"`{name}` is no repository of GitHub" if name else "it is not known which repository this is"
        raise UsageError(message, code="no-github-repository", hint="set `GITHUB_REPOSITORY` to `OWNER/NAME`")
    api = (environ.get("GITHUB_API_URL") or API).rstrip("/")
    if not is_safe(api):
        raise UsageError(
            "`GITHUB_API_URL` would send the token unencrypted", code="insecure-url", hint="use `https://`"
        )
    return GitHub(api=api, repository=name, token=token, opener=build_opener(_NoRedirects), pause=pause)


def _hint(status: int, limit: float | None) -> str:
    if limit is not None:
        return (
            f"GitHub takes no more requests of this token for about {max(1, round(limit)):,} seconds: run it again then"
        )
    if status in {401, 403}:
        return "the token lacks a right: see `permissions` of the job"
    return "check the repository's name, and that the token may read it" if status == 404 else ""


def _limit(answer: _Answer, said: str) -> float | None:
    """Seconds until a limit of requests lets the same call through; None where no limit was met."""
    if answer.status not in {403, 429}:
        return None
    wait = answer.headers.get("retry-after", "")
    if wait.isascii() and wait.isdecimal():
        return float(wait)
    if answer.headers.get("x-ratelimit-remaining") == "0":
        return _until(answer.headers)
    if "rate limit" in said.lower():
        return _SECONDARY_WAIT
    return 1.0 if answer.status == 429 else None


def _until(headers: Mapping[str, str]) -> float:
    """Seconds from the answer to the start of the next window, both by the server's clock."""
    try:
        start = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(1.0, float(headers.get("x-ratelimit-reset", "")) - start)
    except (ValueError, TypeError, OverflowError):
        return _SECONDARY_WAIT


def _rest(error: HTTPError) -> bytes:
    """The words of a refusal; a refusal without them is one all the same."""
    try:
        return error.read(LARGEST)
    except (OSError, http.client.HTTPException):
        return b""


def _limited(body: bytes, address: str) -> bytes:
    if len(body) > LARGEST:
        raise GitHubError(f"the answer of {_shown(address)} is too large")
    return body


def _lower(headers: Any) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers}


def _origin(address: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "", "", None


def _joined(address: str, location: str) -> str:
    """Where a redirect leads; empty where that is no address."""
    try:
        return urljoin(address, location)
    except ValueError:
        return ""


def _shown(address: str) -> str:
    parts = urlsplit(address)
    return f"`{parts.hostname}{parts.path}`"
