"""Our comments on a pull request: one for each mark, and which plan of which run it shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from contentops.ci.github import (
    PAGE,
    GitHubError,
    Posted,
    as_maps,
    first_line,
    head_of,
    is_by,
    myself,
    page_of,
    until_sure,
)
from contentops.ci.runner import as_map, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from contentops.ci.github import GitHub

_NOT_FOUND = 404
_SHOWN = re.compile(
    r"<!-- contentops:shown run=([1-9][0-9]{0,17}) commit=([0-9a-f]{40,64}) plan=(sha256:[0-9a-f]{64}|none) -->"
)
_UNTIL_SHOWN = (5.0, 10.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between looks for the comment of a plan that is there: its workflow begins when the plan's has ended."""


class Shown(NamedTuple):
    """Which plan a comment shows: the run that made it, its commit, and the checksum of the plan; empty: none."""

    run: int = 0
    commit: str = ""
    checksum: str = ""

    @property
    def line(self) -> str:
        """The hidden second line of that comment; empty where the run or the commit is not known."""
        about = f"run={self.run} commit={self.commit} plan={self.checksum or 'none'}"
        return f"<!-- contentops:shown {about} -->" if self.run and self.commit else ""


def shown_in(body: str) -> Shown:
    """What the second line of a comment of ours says."""
    found = _SHOWN.fullmatch([*body.splitlines()[:2], "", ""][1])
    return Shown(int(found[1]), found[2], found[3].replace("none", "")) if found else Shown()


def post_comment(github: GitHub, number: int, marker: str, body: str, *, instead: str = "") -> Posted:
    """Puts `body`, which starts with `marker`, into our comment on a pull request, or makes one.

    Where there is none, one of ours that starts with the line `instead` becomes it. A comment that someone else started
    with the same marker is left alone, and so is one that shows the plan of a newer run. Where it is not known whether
    a comment arrived, the list is looked at again before another is sent. Raises GitHubError.
    """
    author = myself(github)
    run = shown_in(body).run

    def put() -> Posted:
        found = dict(_ours(github, number, author))
        mine = found.get(marker) or found.get(instead)
        if mine is None:
            return Posted(page_of(github.call("POST", f"issues/{number}/comments", {"body": body})), new=True)
        if mine.get("body") == body or _run_of(mine) > run > 0:
            return Posted(page_of(mine), new=False)
        return Posted(page_of(github.call("PATCH", f"issues/comments/{mine['id']}", {"body": body})), new=False)

    posted = until_sure(github, put)
    kept = until_sure(github, lambda: _keep_one(github, number, author, marker, body))
    return posted if kept is None else kept._replace(new=posted.new)


def _keep_one(github: GitHub, number: int, author: str, marker: str, body: str) -> Posted | None:
    """Keep one comment where two runs posted at once: the oldest one, with the newest run's plan."""
    mine = [comment for line, comment in _ours(github, number, author) if line == marker]
    if not mine:
        return None
    *later, first = mine
    runs = {shown_in(body).run: body}
    for comment in (first, *later):
        runs.setdefault(_run_of(comment), as_text(comment.get("body")))
    newest = runs[max(runs)]
    if first.get("body") != newest:
        github.call("PATCH", f"issues/comments/{first['id']}", {"body": newest})
    for comment in later:
        try:
            github.call("DELETE", f"issues/comments/{comment['id']}")
        except GitHubError as error:
            if error.status != _NOT_FOUND:  # the other run has done so
                raise
    return Posted(page_of(first), new=False)


def _run_of(comment: Mapping[str, Any]) -> int:
    return shown_in(as_text(comment.get("body"))).run


def our_marks(github: GitHub, number: int, lead: str) -> list[str]:
    """The first lines of our comments on a pull request that begin with `lead`. Raises GitHubError."""
    return [first for first, _ in _ours(github, number, myself(github)) if first.startswith(lead)]


def _ours(github: GitHub, number: int, author: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Our comments on a pull request, each with its first line; newest first, so that the oldest of a line is last."""
    for comment in reversed(list(github.listed(f"issues/{number}/comments?sort=created"))):
        first = first_line(comment)
        if is_by(comment, author) and first and as_number(comment.get("id")):
            yield first, comment


def reviewed_plan(github: GitHub, number: int, artifact: str, lead: str) -> tuple[Shown, int]:
    """The plan of its last commit that our comment on a pull request shows, if its artifact is kept; else an empty one.

    And the newest run that keeps such an artifact, shown or not; 0 where there is none. Any workflow can upload an
    artifact of this name: what counts is what was shown. Where no comment is there yet, it is waited for a while.
    `lead`: how our comments begin. Raises GitHubError.
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
    """The runs on a commit of a pull request that keep an artifact of this name; one that has expired is none."""
    query = f"event=pull_request&head_sha={quote(commit, safe='')}&per_page={PAGE}"
    runs = as_maps(as_map(github.call("GET", f"actions/runs?{query}")).get("workflow_runs"))
    # Whatever the answer holds, it is about this commit and this event.
    ours = (run for run in runs if run.get("head_sha") == commit and run.get("event") == "pull_request")
    name = quote(artifact, safe="")
    found = []
    for run in {as_number(run.get("id")) for run in ours} - {0}:
        path = f"actions/runs/{run}/artifacts?name={name}&per_page={PAGE}"
        kept = as_maps(as_map(github.call("GET", path)).get("artifacts"))
        if any(one.get("name") == artifact and one.get("expired") is False for one in kept):
            found.append(run)
    return found
