"""Calls the REST API of GitHub.

The token is sent to its own server alone: a redirect to another one is an error. Answers are not trusted.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from contentops import __version__
from contentops.ci.runner import as_map
from contentops.errors import ContentopsError
from contentops.json_reader import load_json
from contentops.sanitize import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

LARGEST = 16 << 20
"""Bytes of the largest answer that is read."""
TRIES = 4
_TIMEOUT = 30.0
_REDIRECTS = 3
_LONGEST_WAIT = 60.0
_MOVED = frozenset({301, 302, 307, 308})
_ROOM = 300
_SECONDARY_WAIT = 60.0
"""Seconds that GitHub asks for where an answer names none."""
PAGE = 100
"""Entries of one page of a list."""
_PAGES = 50
"""Pages of a list that are read: 5,000 entries."""


class HostError(ContentopsError):
    """GitHub cannot be reached, or refuses. `status` is 0 where there was no answer."""

    code = "github"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        status: int = 0,
        hint: str = "",
        again: float | None = None,
        gone: bool = False,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.again = again
        """Seconds after which the same call may succeed; None: it will not."""
        self.gone = gone
        """Whether what it was to change does not exist any more."""


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class GitHub(Struct, frozen=True, kw_only=True):
    """One repository of GitHub, and the token to reach it with. Make one with `github.connect`."""

    api: str
    repository: str
    token: str
    http: httpx.Client
    pause: Callable[[float], None]

    @property
    def below(self) -> str:
        """The path of the repository below `api`, with a slash at both ends."""
        return f"/repos/{self.repository}/"

    def ask(self, query: str) -> Any:
        """Return the `data` of GraphQL's answer to `query`, which may be anything. Raises HostError."""
        # On a server of one's own, both versions of the API lie below `/api`.
        address = f"{self.api.removesuffix('/v3')}/graphql"
        return as_map(self.call_once("POST", address, {"query": query})).get("data")

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that answers `method` on `path` (below the repository, or below the API with a leading `/`).

        Reads are tried again; a change only where it certainly did nothing (429, and 403 for too many requests).
        Raises HostError.
        """
        address = f"{self.api}{path}" if path.startswith("/") else f"{self.api}{self.below}{path}"
        for attempt in range(1, TRIES + 1):
            try:
                return self.call_once(method, address, body)
            except HostError as error:
                harmless = method == "GET" or error.status in {403, 429}
                if error.again is None or not harmless or attempt == TRIES:
                    raise
                self.pause(max(error.again, 2.0 ** (attempt - 1)))
        raise AssertionError("the last try raises")

    def listed(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield every entry of a list, page by page; a page that is no list ends it. Raises HostError."""
        for page in range(1, _PAGES + 1):
            entries = self._page(path, page)
            yield from as_maps(entries)
            if not isinstance(entries, list) or len(entries) < PAGE:
                return

    def whole(self, path: str) -> list[Mapping[str, Any]]:
        """Return a list that is known to be whole. Raises HostError for other answers, and for one without an end."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, _PAGES + 1):
            entries = self._page(path, page)
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise self.nonsense(path, "did not answer with a list")
            found += entries
            if len(entries) < PAGE:
                return found
        raise self.nonsense(path, f"has more than {_PAGES * PAGE:,} entries")

    def nonsense(self, path: str, problem: str) -> HostError:
        """Return the error for an answer that cannot be used."""
        return self._error(f"{_shown(f'{self.api}{self.below}{path}')} {problem}")

    def _page(self, path: str, page: int) -> Any:
        return self.call("GET", f"{path}{'&' if '?' in path else '?'}per_page={PAGE}&page={page}")

    def call_once(self, method: str, address: str, body: Mapping[str, Any] | None) -> Any:
        """Return the JSON of one call of a whole address; follows redirects on the same server. Raises HostError."""
        where = address
        for _ in range(_REDIRECTS):
            reply = self._send(method, where, body)
            if reply.status not in _MOVED:
                return self._read(method, address, reply)
            target = _joined(where, reply.headers.get("location", ""))
            if _origin(target) != _origin(self.api):
                raise self._error(f"{_shown(address)} points to another server; the token is not sent there")
            where = target
        raise self._error(f"{_shown(address)} redirects in a loop")

    def _send(self, method: str, address: str, body: Mapping[str, Any] | None) -> _Reply:
        import httpx

        data = bytearray()
        try:
            with self.http.stream(method, address, json=body) as reply:
                for part in reply.iter_bytes():
                    data += part
                    if len(data) > LARGEST:
                        raise self._error(f"the answer of {_shown(address)} is too large")
                return _Reply(reply.status_code, dict(reply.headers.multi_items()), bytes(data))
        except httpx.InvalidURL:
            raise self._error(f"{_shown(address)} is not a URL") from None
        except httpx.HTTPError as error:
            reason = redact(str(error), self.token, "***") or type(error).__name__
            raise self._error(f"{_shown(address)} cannot be reached: {reason}", again=1.0) from error

    def _read(self, method: str, address: str, reply: _Reply) -> Any:
        try:
            document = load_json(reply.body) if reply.body else None
        except ValueError:
            document = None
            if reply.status < 400:
                raise self._error(f"{_shown(address)} did not answer with JSON", status=reply.status) from None
        if reply.status < 400:
            return document
        message = str(as_map(document).get("message", ""))
        reason = f": {redact(message, self.token, '***')[:_ROOM].rstrip('.')}" if message else ""
        limit = _limit(reply, message)
        wait = 1.0 if limit is None and reply.status >= 500 else limit
        raise self._error(
            f"{method} {_shown(address)} was answered with {reply.status}{reason}",
            status=reply.status,
            hint=self._hint(reply.status, limit),
            again=wait if wait is not None and wait <= _LONGEST_WAIT else None,
            gone=method == "PATCH" and reply.status == 404,
        )

    def _error(self, message: str, **about: Any) -> HostError:
        return HostError(message, **about)

    def _hint(self, status: int, limit: float | None) -> str:
        if limit is not None:
            seconds = max(1, round(limit))
            return f"GitHub takes no more requests of this token for about {seconds:,} seconds: run it again then"
        if status in {401, 403}:
            return "the token lacks a permission: see `permissions` of the job"
        return "check the name of the repository and that the token can read it" if status == 404 else ""


def client(headers: Mapping[str, str]) -> httpx.Client:
    """Return the connection to the API. Raises HostError where the settings of the machine do not allow one."""
    import httpx

    headers = {"User-Agent": f"contentops/{__version__}", **headers}
    try:
        return httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=False)
    except (OSError, ValueError) as error:
        message = f"{error}; check `HTTPS_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"
        raise HostError(f"no connection to GitHub: {message}") from error


def as_maps(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the maps in a JSON value that should be a list of them."""
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _limit(reply: _Reply, message: str) -> float | None:
    """Return the seconds until a rate limit allows the same call; None where no limit was reached."""
    if reply.status not in {403, 429}:
        return None
    wait = reply.headers.get("retry-after", "")
    if wait.isascii() and wait.isdecimal():
        return float(wait)
    if reply.headers.get("x-ratelimit-remaining") == "0":
        return _until(reply.headers)
    if "rate limit" in message.lower():
        return _SECONDARY_WAIT
    return 1.0 if reply.status == 429 else None


def _until(headers: Mapping[str, str]) -> float:
    """Return the seconds from the answer to the next window, both by the server's clock."""
    try:
        start = parsedate_to_datetime(headers.get("date", "")).timestamp()
        return max(1.0, float(headers.get("x-ratelimit-reset", "")) - start)
    except (ValueError, TypeError, OverflowError):
        return _SECONDARY_WAIT


def _origin(address: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "", "", None


def _joined(address: str, location: str) -> str:
    """Return the target of a redirect; empty where that is not a URL."""
    try:
        return urljoin(address, location)
    except ValueError:
        return ""


def _shown(address: str) -> str:
    parts = urlsplit(address)
    return f"`{parts.hostname}{parts.path}`"
