"""Comments and pull requests: found again and updated in place, made where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from contentops.ci.github.client import GitHubError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.ci.github.client import GitHub
    from contentops.ci.github.event import Origin

PAGE = 100
PAGES = 50
"""Pages of a list that are looked through: 5,000 comments."""
_UNSURE = 3
_BOT = "[bot]"
"""How the names of apps end."""
_MAY_NOT_ASK = frozenset({401, 403, 404})


class Posted(NamedTuple):
    """What became of a comment or a pull request: its page, and whether it is new."""

    address: str
    new: bool


def pull_request(github: GitHub, origin: Origin) -> int:
    """The number of the open pull request a plan belongs to; 0 where it is closed, or its branch has moved on."""
    if origin.number:
        found = github.call("GET", f"pulls/{origin.number}")
        return origin.number if not origin.commit or _head(found) == origin.commit else 0
    head = quote(f"{origin.owner}:{origin.branch}", safe="")
    for pull in _listed(github, f"pulls?state=open&head={head}"):
        number = pull.get("number")
        if isinstance(number, int) and _head(pull) == origin.commit:
            return number
    return 0


def _head(pull: Any) -> str:
    head = pull.get("head") if isinstance(pull, dict) else None
    return str(head.get("sha", "")) if isinstance(head, dict) else ""


def post_comment(github: GitHub, number: int, marker: str, body: str) -> Posted:
    """Puts `body`, which starts with `marker`, into our comment on a pull request, or makes one.

    A comment that somebody else started with the same marker is left alone. Where it is not known whether a comment
    arrived, the list is looked at again before another is sent. Raises GitHubError.
    """
    author = _myself(github)
    for attempt in range(1, _UNSURE + 1):
        mine = _find(github, number, marker, author)
        try:
            if mine is None:
                return Posted(_address(github.call("POST", f"issues/{number}/comments", {"body": body})), new=True)
            if mine.get("body") == body:
                return Posted(_address(mine), new=False)
            return Posted(_address(github.call("PATCH", f"issues/comments/{mine['id']}", {"body": body})), new=False)
        except GitHubError as error:
            # Gone between look and update, or an answer that was lost: look again.
            gone = error.status == 404 and mine is not None
            if attempt == _UNSURE or not (gone or error.again is not None):
                raise
            github.pause(2.0 ** (attempt - 1))
    raise AssertionError("the last try raises")


def _myself(github: GitHub) -> str:
    """Whose comments are ours; empty: a bot's, and GitHub does not say which."""
    try:
        found = github.call("GET", "/user")
    except GitHubError as error:
        if error.status not in _MAY_NOT_ASK or error.again is not None:
            raise
        # The tokens of workflows and of apps are nobody's, and are told by the other API alone.
        return _viewer(github)
    return _login(found)


def _viewer(github: GitHub) -> str:
    try:
        found = github.ask("query { viewer { login } }")
    except GitHubError:
        return ""
    return _login(found.get("viewer")) if isinstance(found, dict) else ""


def _login(user: Any) -> str:
    found = user.get("login") if isinstance(user, dict) else None
    return found if isinstance(found, str) else ""


def _find(github: GitHub, number: int, marker: str, author: str) -> Mapping[str, Any] | None:
    for comment in _listed(github, f"issues/{number}/comments?sort=created"):
        login, text = _login(comment.get("user")), comment.get("body")
        # No person can have a name with brackets.
        mine = login == author if author else login.endswith(_BOT)
        first = text.splitlines()[0].strip() if isinstance(text, str) and text else ""
        if login and mine and first == marker and isinstance(comment.get("id"), int):
            return comment
    return None


def open_pull_request(github: GitHub, *, branch: str, base: str, title: str, body: str) -> Posted:
    """A pull request from `branch` into `base`; the one that is open already, if there is one. Raises GitHubError."""
    try:
        made = github.call("POST", "pulls", {"head": branch, "base": base, "title": title, "body": body})
    except GitHubError as error:
        if error.status != 422 and error.again is None:
            raise
        owner = github.repository.partition("/")[0]
        query = f"pulls?state=open&head={quote(f'{owner}:{branch}', safe='')}&base={quote(base, safe='')}"
        for pull in _listed(github, query):
            return Posted(_address(pull), new=False)
        raise
    return Posted(_address(made), new=True)


def _address(document: Any) -> str:
    found = document.get("html_url") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def _listed(github: GitHub, path: str) -> Iterator[Mapping[str, Any]]:
    """Every entry of a list, page by page. Anything that is no list ends it."""
    for page in range(1, PAGES + 1):
        found = github.call("GET", f"{path}&per_page={PAGE}&page={page}")
        if not isinstance(found, list):
            return
        yield from (each for each in found if isinstance(each, dict))
        if len(found) < PAGE:
            return
