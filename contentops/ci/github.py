"""Calls GitHub's API for comments, pull requests and approvals, and to find the CI runs that store plans.

Redirects are not followed, so the token goes only to its own server. Replies are not trusted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
from msgspec import Struct, structs

from contentops import __version__
from contentops.ci.runner import PlanOrigin, as_map, as_number, as_text, is_safe, token_of
from contentops.errors import ContentopsError, UsageError
from contentops.json_reader import load_json
from contentops.model.approval import NOTE_LIMIT
from contentops.sanitize import clip, redact

# ---- Calls the API of GitHub.

API = "https://api.github.com"
TRIES = 4
_TIMEOUT = 30.0
_LONGEST_WAIT = 60.0
_ROOM = 300
_SECONDARY_WAIT = 60.0
"""Seconds that GitHub asks to wait if its reply does not say how long."""
PAGE = 100
"""The number of entries on one page of a list."""
_PAGES = 50
"""The most pages of a list that are read: 5,000 entries."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")


class HostError(ContentopsError):
    """The error if GitHub cannot be reached or refuses a call. `status` is 0 if there was no reply."""

    code = "github"

    def __init__(self, message: str, *, status: int = 0, hint: str = "", again: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.again = again
        """Seconds after which the same call may succeed; None if it will not."""


class GitHub(Struct, frozen=True, kw_only=True):
    """A client for one repository on GitHub, with its token. `github.connect` returns one."""

    repository: str
    graphql: str
    """The address of the other version of the API."""
    token: str
    http: httpx.Client
    """The HTTP client. Its addresses begin at the repository."""
    pause: Callable[[float], None]

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a request to GitHub and return the JSON of the reply.

        `path` is below the repository, or a whole address. Calls that only read are repeated. A change is repeated only
        if it certainly did nothing (429, and 403 for too many requests). Raises HostError.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._call_once(method, path, body)
            except HostError as error:
                harmless = method == "GET" or path == self.graphql or error.status in {403, 429}
                if error.again is None or not harmless or attempt == TRIES:
                    raise
                self.pause(max(error.again, 2.0 ** (attempt - 1)))
        raise AssertionError("the last try raises")

    def listed(self, path: str) -> list[Mapping[str, Any]]:
        """Return all entries of a list. Raises HostError if the reply is not a list, or if the list does not end."""
        found: list[Mapping[str, Any]] = []
        for page in range(1, _PAGES + 1):
            entries = self.call("GET", f"{path}{'&' if '?' in path else '?'}per_page={PAGE}&page={page}")
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise self.nonsense(path, "did not answer with a list")
            found += entries
            if len(entries) < PAGE:
                return found
        raise self.nonsense(path, f"has more than {_PAGES * PAGE:,} entries")

    def nonsense(self, path: str, problem: str) -> HostError:
        """Return the error for a reply that cannot be used."""
        return HostError(f"{_shown(self.http.build_request('GET', path))} {problem}")

    def _call_once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        request = self.http.build_request(method, path, json=body)
        try:
            reply = self.http.send(request)
        except httpx.HTTPError as error:
            reason = redact(str(error), self.token, "***") or type(error).__name__
            raise HostError(f"{_shown(request)} cannot be reached: {reason}", again=1.0) from error
        try:
            document = load_json(reply.content) if reply.content else None
        except ValueError:
            document = None
            if reply.is_success:
                raise HostError(f"{_shown(request)} did not answer with JSON", status=reply.status_code) from None
        if reply.is_success:
            return document
        message = str(as_map(document).get("message", ""))
        reason = f": {redact(message, self.token, '***')[:_ROOM].rstrip('.')}" if message else ""
        limit = _limit(reply, message)
        wait = 1.0 if limit is None and reply.is_server_error else limit
        raise HostError(
            f"{method} {_shown(request)} was answered with {reply.status_code}{reason}",
            status=reply.status_code,
            hint=_hint(reply.status_code, limit),
            again=wait if wait is not None and wait <= _LONGEST_WAIT else None,
        )


def connect(environ: Mapping[str, str], *, pause: Callable[[float], None], repository: str = "") -> GitHub:
    """Return a client for GitHub's API, with the token and repository of the CI job.

    Raises UsageError if the token or the repository is missing, or the address is not safe. Raises HostError if the
    settings of the machine allow no connection.
    """
    token = token_of(environ)
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        hint = "in a workflow: `env: {GITHUB_TOKEN: ${{ github.token }}}`"
        raise UsageError("there is no GitHub token in `GITHUB_TOKEN`", code="no-token", hint=hint)
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(name) or name.endswith(("/.", "/..")):
        message = f"`{name}` is not a GitHub repository" if name else "the name of this repository is unknown"
        raise UsageError(message, code="no-github-repository", hint="set `GITHUB_REPOSITORY` to `OWNER/NAME`")
    api = (environ.get("GITHUB_API_URL") or API).rstrip("/")
    if not is_safe(api):
        message = "`GITHUB_API_URL` would send the token unencrypted"
        raise UsageError(message, code="insecure-url", hint="use `https://`")
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "User-Agent": f"contentops/{__version__}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    try:
        http = httpx.Client(base_url=f"{api}/repos/{name}/", headers=headers, timeout=_TIMEOUT)
    except (OSError, ValueError, httpx.InvalidURL) as error:
        message = f"{error}; check `HTTPS_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`"
        raise HostError(f"no connection to GitHub: {message}") from error
    # On a server of one's own, both versions of the API lie below `/api`.
    graphql = f"{api.removesuffix('/v3')}/graphql"
    return GitHub(repository=name, graphql=graphql, token=token, http=http, pause=pause)


def _limit(reply: httpx.Response, message: str) -> float | None:
    """Return the seconds until a rate limit allows the call again, or None if no limit was reached."""
    if reply.status_code not in {403, 429}:
        return None
    wait = reply.headers.get("retry-after", "")
    if wait.isascii() and wait.isdecimal():
        return float(wait)
    if reply.headers.get("x-ratelimit-remaining") == "0":
        # It may take up to an hour.
        return math.inf
    if "rate limit" in message.lower():
        return _SECONDARY_WAIT
    return 1.0 if reply.status_code == 429 else None


def _hint(status: int, limit: float | None) -> str:
    if limit is not None:
        return "GitHub takes no more requests of this token for now: run it again later"
    if 300 <= status < 400:
        return "the repository may have been renamed: use its new name"
    if status in {401, 403}:
        return "the token lacks a permission: see `permissions` of the job"
    return "check the name of the repository and that the token can read it" if status == 404 else ""


def _shown(request: httpx.Request) -> str:
    return f"`{request.url.host}{request.url.path}`"


# ---- Comments and pull requests.

_BOT = "[bot]"
"""The end of the names of apps."""


class Posted(NamedTuple):
    """A comment or pull request that was created or changed: its web page, and whether it is new."""

    address: str
    new: bool


def is_newest(github: GitHub, origin: PlanOrigin) -> bool:
    """Return whether a plan was made for the newest commit of its pull request.

    It is also True if the plan's commit is unknown.
    """
    pull = github.call("GET", f"pulls/{origin.number}")
    return not origin.commit or head_of(pull) == origin.commit


def head_of(pull: Any) -> str:
    """Return the newest commit of a pull request. It is empty if the branch was deleted."""
    return as_text(as_map(as_map(pull).get("head")).get("sha"))


def myself(github: GitHub) -> str:
    """Return the account name that GitHub shows as the author of comments written with this token.

    It is empty if GitHub does not name the bot.
    """
    # Only GraphQL names the owner of the tokens of workflows and apps.
    try:
        answer = as_map(github.call("POST", github.graphql, {"query": "query { viewer { login } }"}))
    except HostError:
        return ""
    return as_text(as_map(as_map(answer.get("data")).get("viewer")).get("login"))


def open_pull_request(github: GitHub, *, branch: str, base: str, title: str, body: str) -> Posted:
    """Open a pull request from `branch` into `base`. If one is open already, return it. Raises HostError."""
    try:
        made = github.call("POST", "pulls", {"head": branch, "base": base, "title": title, "body": body})
    except HostError as error:
        if error.status != 422 and error.again is None:
            raise
        owner = github.repository.partition("/")[0]
        query = f"pulls?state=open&head={quote(f'{owner}:{branch}', safe='')}&base={quote(base, safe='')}"
        for pull in github.listed(query):
            return Posted(page_of(pull), new=False)
        raise
    return Posted(page_of(made), new=True)


def page_of(document: Any) -> str:
    """Return the web page of a comment, issue or pull request. It is empty if the reply has none."""
    return as_text(as_map(document).get("html_url"))


def merges_of(github: GitHub, branch: str, commit: str) -> list[Mapping[str, Any]]:
    """Return the pull requests that this commit merged into a branch, by a merge, squash or rebase."""
    return [
        pull
        for pull in github.listed(f"commits/{commit}/pulls")
        if pull.get("merged_at")
        and pull.get("merge_commit_sha") == commit
        and as_map(pull.get("base")).get("ref") == branch
    ]


def merged_pull(github: GitHub, branch: str, commit: str) -> int:
    """Return the number of the pull request that was merged into a branch by this commit, or 0. Raises HostError."""
    return next((as_number(pull.get("number")) for pull in merges_of(github, branch, commit)), 0)


# ---- Our comments on a pull request, one for each marker, and which plan of which run each shows.

_SHOWN = re.compile(
    r"<!-- contentops:shown run=([1-9][0-9]{0,17}) commit=([0-9a-f]{40,64}) plan=(sha256:[0-9a-f]{64}|none) -->"
)
_UNTIL_SHOWN = (5.0, 10.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between searches for a plan's comment. Its workflow begins when the workflow of the plan has ended."""


class Shown(NamedTuple):
    """The plan that a comment shows: its CI run, its commit and its checksum (empty if there is none)."""

    run: int = 0
    commit: str = ""
    checksum: str = ""

    @property
    def line(self) -> str:
        """Return the hidden second line of the comment. It is empty if the run or the commit is not known."""
        about = f"run={self.run} commit={self.commit} plan={self.checksum or 'none'}"
        return f"<!-- contentops:shown {about} -->" if self.run and self.commit else ""


def shown_in(body: str) -> Shown:
    """Return the plan that the hidden second line of a comment names."""
    match = _SHOWN.fullmatch([*body.splitlines()[:2], "", ""][1])
    return Shown(int(match[1]), match[2], match[3].replace("none", "")) if match else Shown()


def post_comment(github: GitHub, number: int, marker: str, body: str, *, instead: str = "") -> Posted:
    """Write `body` into contentops' comment on a pull request. Change the earlier comment, or create one.

    The first line of `body` is `marker`, which also finds the earlier comment. If there is none, our comment that
    starts with the line `instead` is changed. Comments of others, and a comment that shows the plan of a newer run,
    stay unchanged. Raises HostError, also if a reply is lost: the next call finds the comment.
    """
    ours = dict(_ours(github, number, myself(github)))
    mine = next((ours[mark] for mark in (marker, instead) if mark in ours), None)
    if mine is None:
        return Posted(page_of(github.call("POST", f"issues/{number}/comments", {"body": body})), new=True)
    before = as_text(mine.get("body"))
    if before == body or shown_in(before).run > shown_in(body).run > 0:
        return Posted(page_of(mine), new=False)
    return Posted(page_of(github.call("PATCH", f"issues/comments/{mine['id']}", {"body": body})), new=False)


def our_marks(github: GitHub, number: int, lead: str) -> list[str]:
    """Return the first lines of contentops' comments on a pull request, if they begin with `lead`. Raises HostError."""
    return [first for first, _ in _ours(github, number, myself(github)) if first.startswith(lead)]


def _ours(github: GitHub, number: int, author: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield contentops' comments on a pull request with their first lines, newest first. For `author`, see `myself`."""
    for comment in reversed(github.listed(f"issues/{number}/comments?sort=created")):
        login = as_text(as_map(comment.get("user")).get("login"))
        first = as_text(comment.get("body")).partition("\n")[0].strip()
        # No person can have a name with brackets.
        ours = bool(login) and (login == author if author else login.endswith(_BOT))
        if ours and first and as_number(comment.get("id")):
            yield first, comment


def reviewed_plan(github: GitHub, number: int, artifact: str, lead: str) -> tuple[Shown, int]:
    """Return the plan that a pull request's comment shows, and the newest CI run that stores a plan.

    The comment must be from contentops, and the plan must be for the last commit of the pull request. The plan is empty
    if its artifact was deleted. The newest run can be another run than that of the plan, and is 0 if there is none. Any
    workflow can upload an artifact of this name, so only a plan in our comment counts. The function waits for a missing
    comment. `lead` is the beginning of our comments. Raises HostError.
    """
    commit = head_of(github.call("GET", f"pulls/{number}"))
    kept = _runs_with(github, commit, artifact) if commit else []
    for pause in (*_UNTIL_SHOWN, 0.0) if kept else ():
        ours = _ours(github, number, myself(github))
        shown = [shown_in(as_text(one.get("body"))) for line, one in ours if line.startswith(lead)]
        fitting = [one for one in shown if one.commit == commit and one.checksum and one.run in kept]
        if fitting:
            return max(fitting), max(kept)
        if pause:
            github.pause(pause)
    return Shown(), max(kept, default=0)


def _runs_with(github: GitHub, commit: str, artifact: str) -> list[int]:
    """Return the CI runs for a commit; runs without an artifact of this name are left out."""
    query = f"event=pull_request&head_sha={quote(commit, safe='')}&per_page={PAGE}"
    runs = _entries(github.call("GET", f"actions/runs?{query}"), "workflow_runs")
    # Whatever the answer holds, it is about this commit and this event.
    ours = (run for run in runs if run.get("head_sha") == commit and run.get("event") == "pull_request")
    name = quote(artifact, safe="")
    keeping = []
    for run in {as_number(run.get("id")) for run in ours} - {0}:
        path = f"actions/runs/{run}/artifacts?name={name}&per_page={PAGE}"
        kept = _entries(github.call("GET", path), "artifacts")
        if any(one.get("name") == artifact and one.get("expired") is False for one in kept):
            keeping.append(run)
    return keeping


def _entries(answer: Any, key: str) -> list[Mapping[str, Any]]:
    """Return the entries of one list in a reply. `key` names the list. Entries that are not maps are left out."""
    entries = as_map(answer).get(key)
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []


# ---- Who approved merged pull requests at their head commits, as GitHub knows it. Answers are not trusted.

MOST_FILES: Final = 3_000
"""The most files of one pull request that GitHub lists."""
_LOGIN: Final = re.compile(r"(?!ghost$)[a-z0-9_.-]{1,255}", re.IGNORECASE)
"""The account name of a person. GitHub shows `ghost` for a deleted account, and the names of apps have brackets."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class MergedPull(Struct, frozen=True, kw_only=True):
    """A merged pull request, with the people who approved its newest commit."""

    number: int
    address: str
    """The web page of the pull request."""
    head: str
    """The last commit of its branch at the merge."""
    commit: str
    """The last commit that the merge made."""
    approvals: Mapping[str, tuple[str, str]] = {}
    """The time (UTC) and the words of each person's approval.

    A person's name has a form that no git identity has: `login (github.com)`.
    """
    files: Mapping[str, tuple[str, str]] = {}
    """The object id of each file at the head commit, and its earlier path; empty if no one approved."""
    notes: tuple[str, ...] = ()
    """The reasons why some reviews or files do not count, each a sentence."""


def merged_pulls(github: GitHub, server: str, branch: str, commits: Sequence[str]) -> tuple[MergedPull, ...]:
    """Return the pull requests that were merged into a branch by `commits`, in the order of the commits.

    `server` is the address of GitHub's pages. Raises HostError.
    """
    found: dict[int, MergedPull] = {}
    for commit in commits:
        for pull in merges_of(github, branch, commit):
            number = as_number(pull.get("number"))
            if number not in found:
                address = f"{server}/{github.repository}/pull/{number}"
                one = MergedPull(number=number, address=address, head=head_of(pull), commit=commit)
                found[number] = _reviewed(github, one)
    return tuple(found.values())


def merge_base(github: GitHub, base: str, head: str) -> str:
    """Return the newest commit that a pull request's branch and the base branch have in common."""
    path = f"compare/{base}...{quote(head, safe='')}"
    found = as_text(as_map(as_map(github.call("GET", f"{path}?per_page=1")).get("merge_base_commit")).get("sha"))
    if not _COMMIT.fullmatch(found):
        raise github.nonsense(path, "does not report where the branch began")
    return found


def _reviewed(github: GitHub, pull: MergedPull) -> MergedPull:
    """Return a pull request with its approvals and its changed files added. Raises HostError."""
    path, host = f"pulls/{pull.number}/reviews", urlsplit(pull.address).hostname
    approvals: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    # GitHub lists them by time: the last one of a person that is more than a comment is their word.
    said = [entry for entry in github.listed(path) if entry.get("state") not in {"COMMENTED", "PENDING"}]
    last = {as_text(as_map(entry.get("user")).get("login")).casefold(): entry for entry in said}
    for entry in (last[login] for login in sorted(last) if last[login].get("state") == "APPROVED"):
        login = as_text(as_map(entry.get("user")).get("login"))
        if not _LOGIN.fullmatch(login) or as_map(entry.get("user")).get("type") != "User":
            notes.append(f"`{login or 'ghost'}` is not a person")
        elif not pull.head or entry.get("commit_id") != pull.head:
            notes.append(f"`{login}` approved {as_text(entry.get('commit_id'))[:12]}, not the head commit")
        elif not _may_write(github, login):
            notes.append(f"`{login}` has no write access to the repository")
        else:
            words = " ".join(as_text(entry.get("body")).split())
            approvals[f"{login} ({host})"] = as_text(entry.get("submitted_at")), clip(words, NOTE_LIMIT)
    files = _files(github, pull.number) if approvals else {}
    if len(files) >= MOST_FILES:
        files, notes = {}, [*notes, f"GitHub lists {MOST_FILES:,} files of it at most, and there may be more"]
    return structs.replace(pull, approvals=approvals, files=files, notes=tuple(notes))


def _may_write(github: GitHub, login: str) -> bool:
    """Return whether a person may write to the repository.

    In a public repository, anyone may approve a pull request.
    """
    try:
        answer = github.call("GET", f"collaborators/{quote(login, safe='')}/permission")
    except HostError as error:
        if error.status == 404:
            return False
        raise
    return as_map(answer).get("permission") in {"admin", "maintain", "write"}


def _files(github: GitHub, number: int) -> dict[str, tuple[str, str]]:
    listed = github.listed(f"pulls/{number}/files")
    names = ((as_text(one.get("filename")), as_text(one.get("sha")), one.get("previous_filename")) for one in listed)
    return {name: (oid, as_text(before) or name) for name, oid, before in names}
