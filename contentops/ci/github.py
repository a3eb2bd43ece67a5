"""The calls of GitHub's REST API that we need: comments, pull requests, and which run keeps a plan.

The token is sent to its own server alone: a redirect to another one is an error. Answers are not trusted.
"""

from __future__ import annotations

import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from contentops import __version__
from contentops.ci.runner import as_map, as_number, as_text, is_safe, token_of
from contentops.errors import ContentopsError, UsageError
from contentops.sanitize import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from contentops.ci.runner import PlanOrigin

T = TypeVar("T")

API = "https://api.github.com"
LARGEST = 16 << 20
"""Bytes of the largest answer that is read."""
TRIES = 4
_TIMEOUT = 30.0
_REDIRECTS = 3
_LONGEST_WAIT = 60.0
_MOVED = frozenset({301, 302, 307, 308})
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_ROOM = 300
_SECONDARY_WAIT = 60.0
"""Seconds that GitHub asks for where an answer names none."""
PAGE = 100
"""Entries of one page of a list."""
_PAGES = 50
"""Pages of a list that are read: 5,000 comments."""
_UNSURE = 3
_BOT = "[bot]"
"""How the names of apps end."""
_MAY_NOT_ASK = frozenset({401, 403, 404})


class GitHubError(ContentopsError):
    """GitHub cannot be reached, or refuses. `status` is 0 where there was no answer."""

    code = "github"

    def __init__(
        self, message: str, *, status: int = 0, hint: str = "", again: float | None = None, gone: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
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
    """One repository, and the token to reach it with. Make one with `connect`."""

    api: str
    repository: str
    token: str
    http: httpx.Client
    pause: Callable[[float], None]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON that answers `method` on `path` (below the repository, or below the API with a leading `/`).

        Reads are tried again; a change only where it certainly did nothing (429, and 403 for too many requests).
        Raises GitHubError.
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
        """Return the `data` of GraphQL's answer to `query`, which may be anything. Raises GitHubError."""
        # On a server of one's own, both versions of the API lie below `/api`.
        address = f"{self.api.removesuffix('/v3')}/graphql"
        return as_map(self._once("POST", address, {"query": query})).get("data")

    def listed(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield every entry of a list, page by page; a page that is no list ends it. Raises GitHubError."""
        for page in range(1, _PAGES + 1):
            entries = self.call("GET", f"{path}&per_page={PAGE}&page={page}")
            yield from as_maps(entries)
            if not isinstance(entries, list) or len(entries) < PAGE:
                return

    def _once(self, method: str, address: str, body: Mapping[str, Any] | None) -> Any:
        where = address
        for _ in range(_REDIRECTS):
            reply = self._send(method, where, body)
            if reply.status not in _MOVED:
                return self._read(method, address, reply)
            target = _joined(where, reply.headers.get("location", ""))
            if _origin(target) != _origin(self.api):
                raise GitHubError(f"{_shown(address)} points to another server, which gets no token of ours")
            where = target
        raise GitHubError(f"{_shown(address)} leads around in circles")

    def _send(self, method: str, address: str, body: Mapping[str, Any] | None) -> _Reply:
        import httpx

        data = bytearray()
        try:
            with self.http.stream(method, address, json=body) as reply:
                for part in reply.iter_bytes():
                    data += part
                    if len(data) > LARGEST:
                        raise GitHubError(f"the answer of {_shown(address)} is too large")
                return _Reply(reply.status_code, dict(reply.headers.multi_items()), bytes(data))
        except httpx.InvalidURL:
            raise GitHubError(f"{_shown(address)} is no address") from None
        except httpx.HTTPError as error:
            reason = redact(str(error), self.token, "***") or type(error).__name__
            raise GitHubError(f"{_shown(address)} cannot be reached: {reason}", again=1.0) from error

    def _read(self, method: str, address: str, reply: _Reply) -> Any:
        try:
            document = json.loads(reply.body) if reply.body else None
        except (ValueError, RecursionError):
            document = None
            if reply.status < 400:
                raise GitHubError(f"{_shown(address)} did not answer with JSON", status=reply.status) from None
        if reply.status < 400:
            return document
        message = str(as_map(document).get("message", ""))
        reason = f": {redact(message, self.token, '***')[:_ROOM].rstrip('.')}" if message else ""
        limit = _limit(reply, message)
        wait = 1.0 if limit is None and reply.status >= 500 else limit
        raise GitHubError(
            f"{method} {_shown(address)} was answered with {reply.status}{reason}",
            status=reply.status,
            hint=_hint(reply.status, limit),
            again=wait if wait is not None and wait <= _LONGEST_WAIT else None,
            gone=method == "PATCH" and reply.status == 404,
        )


def connect(environ: Mapping[str, str], *, pause: Callable[[float], None], repository: str = "") -> GitHub:
    """Return the API for a job on a runner. Raises UsageError where token, repository or address are missing."""
    token = token_of(environ)
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
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
    import httpx

    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "User-Agent": f"contentops/{__version__}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    try:
        http = httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=False)
    except (OSError, ValueError) as error:
        message = f"{error}; check `HTTPS_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"
        raise GitHubError(f"no connection to GitHub can be made: {message}") from error
    return GitHub(api=api, repository=name, token=token, http=http, pause=pause)


def _hint(status: int, limit: float | None) -> str:
    if limit is not None:
        seconds = max(1, round(limit))
        return f"GitHub takes no more requests of this token for about {seconds:,} seconds: run it again then"
    if status in {401, 403}:
        return "the token lacks a right: see `permissions` of the job"
    return "check the repository's name, and that the token may read it" if status == 404 else ""


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
    """Return the target of a redirect; empty where that is no address."""
    try:
        return urljoin(address, location)
    except ValueError:
        return ""


def _shown(address: str) -> str:
    parts = urlsplit(address)
    return f"`{parts.hostname}{parts.path}`"


# --- comments and pull requests ----------------------------------------------------------------------------


class Posted(NamedTuple):
    """A comment or a pull request: its page, and whether it is new."""

    address: str
    new: bool


def pull_request(github: GitHub, origin: PlanOrigin) -> int:
    """Return the number of the open pull request of a plan; 0 where it is closed, or its branch has moved on."""
    if origin.number:
        pull = github.call("GET", f"pulls/{origin.number}")
        return origin.number if not origin.commit or head_of(pull) == origin.commit else 0
    head = quote(f"{origin.owner}:{origin.branch}", safe="")
    pulls = github.listed(f"pulls?state=open&head={head}")
    return next((as_number(pull.get("number")) for pull in pulls if head_of(pull) == origin.commit), 0)


def head_of(pull: Any) -> str:
    """Return the last commit of a pull request; empty where its branch is deleted."""
    return as_text(as_map(as_map(pull).get("head")).get("sha"))


def until_sure(github: GitHub, put: Callable[[], T]) -> T:
    """Return what `put` returns, which reads and then changes; run again after a lost answer or others' deletion."""
    for attempt in range(1, _UNSURE + 1):
        try:
            return put()
        except GitHubError as error:
            if attempt == _UNSURE or not (error.again is not None or error.gone):
                raise
            github.pause(2.0 ** (attempt - 1))
    raise AssertionError("the last try raises")


def myself(github: GitHub) -> str:
    """Return the login under which we comment; empty: a bot that GitHub does not name."""
    try:
        return as_text(as_map(github.call("GET", "/user")).get("login"))
    except GitHubError as error:
        if error.status not in _MAY_NOT_ASK or error.again is not None:
            raise
    # Only GraphQL names the owner of the tokens of workflows and apps.
    try:
        return as_text(as_map(as_map(github.ask("query { viewer { login } }")).get("viewer")).get("login"))
    except GitHubError:
        return ""


def is_by(entry: Mapping[str, Any], author: str) -> bool:
    """Whether a comment or an issue is by `author`, as `myself` returns it."""
    login = as_text(as_map(entry.get("user")).get("login"))
    # No person can have a name with brackets.
    return bool(login) and (login == author if author else login.endswith(_BOT))


def first_line(entry: Mapping[str, Any]) -> str:
    """Return the first line of a comment or an issue."""
    return [*as_text(entry.get("body")).splitlines(), ""][0].strip()


def open_pull_request(github: GitHub, *, branch: str, base: str, title: str, body: str) -> Posted:
    """Open a pull request from `branch` into `base`, or return the one that is open. Raises GitHubError."""
    try:
        made = github.call("POST", "pulls", {"head": branch, "base": base, "title": title, "body": body})
    except GitHubError as error:
        if error.status != 422 and error.again is None:
            raise
        owner = github.repository.partition("/")[0]
        query = f"pulls?state=open&head={quote(f'{owner}:{branch}', safe='')}&base={quote(base, safe='')}"
        for pull in github.listed(query):
            return Posted(page_of(pull), new=False)
        raise
    return Posted(page_of(made), new=True)


def page_of(document: Any) -> str:
    """Return the page of a comment, an issue or a pull request; empty where the answer names none."""
    return as_text(as_map(document).get("html_url"))


def merged_pull(github: GitHub, branch: str, commit: str) -> int:
    """Return the pull request whose merge into a branch made a commit; 0 where none did. Raises GitHubError."""
    for pull in as_maps(github.call("GET", f"commits/{commit}/pulls?per_page={PAGE}")):
        into = as_text(as_map(pull.get("base")).get("ref"))
        if pull.get("merged_at") and pull.get("merge_commit_sha") == commit and into == branch:
            return as_number(pull.get("number"))
    return 0


def as_maps(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the maps in a JSON value that should be a list of them."""
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
