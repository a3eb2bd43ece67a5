"""One issue for each subject, found again by its label and its hidden first line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from contentops.ci.github import first_line, is_by, myself, page_of, until_sure
from contentops.ci.host import HostError
from contentops.ci.runner import as_map, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentops.ci.github import GitHub

LABEL = "contentops-drift"
"""The label that our issues are found by."""
_VALIDATION = 422


class Kept(NamedTuple):
    """Our issue: its number and page, and what was done to it, in one word."""

    number: int = 0
    address: str = ""
    done: str = "none"
    """opened, reopened, updated, closed, unchanged, or none: there is no issue, and none is needed."""


def keep_issue(github: GitHub, title: str, body: str, *, wanted: bool, word: str) -> Kept:
    """Write `body` into our one issue with its first line: open if `wanted`, else closed with the comment `word`.

    The oldest of ours counts; a second one, of a simultaneous run, is closed. Issues of others stay as they are. After
    a lost answer the list is read again. Raises HostError.
    """
    author = myself(github)
    return until_sure(github, lambda: _keep(github, author, title, body, wanted=wanted, word=word))


def _keep(github: GitHub, author: str, title: str, body: str, *, wanted: bool, word: str) -> Kept:
    mark = first_line({"body": body})
    ours, made = _ours(github, author, mark), 0
    if not ours and not wanted:
        return Kept()
    if not ours:
        opened = _open(github, title, body)
        made = as_number(opened.get("number"))
        # A simultaneous run may have opened another.
        ours = {made: opened} | _ours(github, author, mark)
    first, *more = sorted(ours)
    for number in more:
        if ours[number].get("state") == "open":
            _say(github, number, f"#{first} is about the same drift.")
            github.call("PATCH", f"issues/{number}", {"state": "closed", "state_reason": "not_planned"})
    issue, was_open = ours[first], ours[first].get("state") == "open"
    if made == first:
        return Kept(first, page_of(issue), "opened")
    if was_open is wanted and (not wanted or issue.get("body") == body):
        return Kept(first, page_of(issue), "unchanged")
    change = {"body": body, "state": "open" if wanted else "closed"}
    issue = as_map(github.call("PATCH", f"issues/{first}", change))
    if not wanted:
        _say(github, first, word)
    return Kept(first, page_of(issue), "updated" if was_open and wanted else "reopened" if wanted else "closed")


def _ours(github: GitHub, author: str, mark: str) -> dict[int, Mapping[str, Any]]:
    """Return our issues with this first line, by number. GitHub lists pull requests too."""
    listed = github.listed(f"issues?state=all&labels={LABEL}")
    ours = (one for one in listed if is_by(one, author) and first_line(one) == mark and not one.get("pull_request"))
    return {number: one for one in ours if (number := as_number(one.get("number")))}


def _open(github: GitHub, title: str, body: str) -> Mapping[str, Any]:
    try:
        github.call("POST", "labels", {"name": LABEL, "description": "opened, kept and closed by contentops"})
    except HostError as error:
        if error.status != _VALIDATION:  # it is there already
            raise
    made = as_map(github.call("POST", "issues", {"title": title, "body": body, "labels": [LABEL]}))
    names = [as_text(as_map(one).get("name")) for one in made.get("labels") or ()]
    if LABEL not in names:
        number = as_number(made.get("number"))
        github.call("PATCH", f"issues/{number}", {"state": "closed", "state_reason": "not_planned"})
        message = f"GitHub gave issue {number} no label `{LABEL}`, which is needed to find it again"
        raise HostError(message, hint="the token needs permission to write issues")
    return made


def _say(github: GitHub, number: int, words: str) -> None:
    github.call("POST", f"issues/{number}/comments", {"body": words})
