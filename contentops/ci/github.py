"""The calls of GitHub's REST API that we need: comments, pull requests, and which run keeps a plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

from contentops.ci.host import PAGE, GitHub, HostError, as_maps, client
from contentops.ci.runner import as_map, as_number, as_text, is_safe, token_of
from contentops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentops.ci.runner import PlanOrigin

T = TypeVar("T")

API = "https://api.github.com"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_UNSURE = 3
_BOT = "[bot]"
"""How the names of apps end."""
_MAY_NOT_ASK = frozenset({401, 403, 404})


def connect(environ: Mapping[str, str], *, pause: Callable[[float], None], repository: str = "") -> GitHub:
    """Return the API for a job on a runner. Raises UsageError where token, repository or address are missing."""
    token = token_of(environ)
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        hint = "in a workflow: `env: {GITHUB_TOKEN: ${{ github.token }}}`"
        raise UsageError("there is no GitHub token in `GITHUB_TOKEN`", code="no-token", hint=hint)
    name = repository or environ.get("GITHUB_REPOSITORY", "")
    if not _REPOSITORY.fullmatch(name) or name.endswith(("/.", "/..")):
        message = f"`{name}` is not a GitHub repository" if name else "the name of this repository is unknown"
        raise UsageError(message, code="no-github-repository", hint="set `GITHUB_REPOSITORY` to `OWNER/NAME`")
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {token}",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    api = environ.get("GITHUB_API_URL") or API
    if not is_safe(api):
        message = "`GITHUB_API_URL` would send the token unencrypted"
        raise UsageError(message, code="insecure-url", hint="use `https://`")
    return GitHub(api=api.rstrip("/"), repository=name, token=token, http=client(headers), pause=pause)


# --- comments and pull requests ----------------------------------------------------------------------------


class Posted(NamedTuple):
    """A comment or a pull request: its page, and whether it is new."""

    address: str
    new: bool


def is_newest(github: GitHub, origin: PlanOrigin) -> bool:
    """Whether a plan is that of the last commit of its pull request, as far as its commit is known."""
    pull = github.call("GET", f"pulls/{origin.number}")
    return not origin.commit or head_of(pull) == origin.commit


def head_of(pull: Any) -> str:
    """Return the last commit of a pull request; empty where its branch is deleted."""
    return as_text(as_map(as_map(pull).get("head")).get("sha"))


def until_sure(github: GitHub, put: Callable[[], T]) -> T:
    """Return what `put` returns, which reads and then changes; run again after a lost answer or others' deletion."""
    for attempt in range(1, _UNSURE + 1):
        try:
            return put()
        except HostError as error:
            if attempt == _UNSURE or not (error.again is not None or error.gone):
                raise
            github.pause(2.0 ** (attempt - 1))
    raise AssertionError("the last try raises")


def myself(github: GitHub) -> str:
    """Return the login under which we comment; empty: a bot that GitHub does not name."""
    try:
        return as_text(as_map(github.call("GET", "/user")).get("login"))
    except HostError as error:
        if error.status not in _MAY_NOT_ASK or error.again is not None:
            raise
    # Only GraphQL names the owner of the tokens of workflows and apps.
    try:
        return as_text(as_map(as_map(github.ask("query { viewer { login } }")).get("viewer")).get("login"))
    except HostError:
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
    """Open a pull request from `branch` into `base`, or return the one that is open. Raises HostError."""
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
    """Return the page of a comment, an issue or a pull request; empty where the answer names none."""
    return as_text(as_map(document).get("html_url"))


def merged_pull(github: GitHub, branch: str, commit: str) -> int:
    """Return the pull request whose merge into a branch made a commit; 0 where none did. Raises HostError."""
    pulls = as_maps(github.call("GET", f"commits/{commit}/pulls?per_page={PAGE}"))
    return next((as_number(pull.get("number")) for pull in pulls if is_merge(pull, branch, commit)), 0)


def is_merge(pull: Mapping[str, Any], branch: str, commit: str) -> bool:
    """Whether the merge of a pull request into a branch made a commit: with a merge commit, a squash or a rebase."""
    into = as_text(as_map(pull.get("base")).get("ref"))
    return bool(pull.get("merged_at")) and pull.get("merge_commit_sha") == commit and into == branch
