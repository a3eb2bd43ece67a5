"""Our comments on a pull request, one for each marker, and which plan of which run each shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from contentops.ci.github import Posted, first_line, head_of, is_by, myself, page_of, until_sure
from contentops.ci.host import PAGE, as_maps
from contentops.ci.runner import as_map, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from contentops.ci.host import GitHub

_SHOWN = re.compile(
    r"<!-- contentops:shown run=([1-9][0-9]{0,17}) commit=([0-9a-f]{40,64}) plan=(sha256:[0-9a-f]{64}|none) -->"
)
_UNTIL_SHOWN = (5.0, 10.0, 15.0, 30.0, 30.0, 30.0)
"""Seconds between looks for the comment of a plan: its workflow begins when the plan's has ended."""


class Shown(NamedTuple):
    """The plan that a comment shows: its run, its commit, and its checksum; empty: none."""

    run: int = 0
    commit: str = ""
    checksum: str = ""

    @property
    def line(self) -> str:
        """The hidden second line of the comment; empty where the run or the commit is not known."""
        about = f"run={self.run} commit={self.commit} plan={self.checksum or 'none'}"
        return f"<!-- contentops:shown {about} -->" if self.run and self.commit else ""


def shown_in(body: str) -> Shown:
    """Return the plan that the second line of one of our comments names."""
    match = _SHOWN.fullmatch([*body.splitlines()[:2], "", ""][1])
    return Shown(int(match[1]), match[2], match[3].replace("none", "")) if match else Shown()


def post_comment(github: GitHub, number: int, marker: str, body: str, *, instead: str = "") -> Posted:
    """Write `body`, which starts with `marker`, into our comment on a pull request, or make one.

    Where there is none, one of ours that starts with the line `instead` is used. Comments of others, and one that shows
    the plan of a newer run, stay as they are. After a lost answer the list is read again. Raises HostError.
    """
    author = myself(github)
    run = shown_in(body).run

    def put() -> Posted:
        ours = dict(_ours(github, number, author))
        mine = ours.get(marker) or ours.get(instead)
        if mine is None:
            return Posted(page_of(github.call("POST", f"issues/{number}/comments", {"body": body})), new=True)
        if mine.get("body") == body or _run_of(mine) > run > 0:
            return Posted(page_of(mine), new=False)
        return Posted(page_of(github.call("PATCH", f"issues/comments/{mine['id']}", {"body": body})), new=False)

    return until_sure(github, put)


def _run_of(comment: Mapping[str, Any]) -> int:
    return shown_in(as_text(comment.get("body"))).run


def our_marks(github: GitHub, number: int, lead: str) -> list[str]:
    """Return the first lines of our comments on a pull request that begin with `lead`. Raises HostError."""
    return [first for first, _ in _ours(github, number, myself(github)) if first.startswith(lead)]


def _ours(github: GitHub, number: int, author: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield our comments on a pull request, newest first, each with its first line."""
    for comment in reversed(list(github.listed(f"issues/{number}/comments?sort=created"))):
        first = first_line(comment)
        if is_by(comment, author) and first and as_number(comment.get("id")):
            yield first, comment


def reviewed_plan(github: GitHub, number: int, artifact: str, lead: str) -> tuple[Shown, int]:
    """Return the plan that our comment shows for the last commit, if its artifact is kept (else an empty one).

    And the newest run that keeps such an artifact, shown or not; 0: none. Any workflow can upload an artifact of this
    name, so only what was shown counts. A missing comment is waited for. `lead`: how our comments begin.
    Raises HostError.
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
    """Return the runs on a commit of a pull request that keep an artifact of this name which has not expired."""
    query = f"event=pull_request&head_sha={quote(commit, safe='')}&per_page={PAGE}"
    runs = as_maps(as_map(github.call("GET", f"actions/runs?{query}")).get("workflow_runs"))
    # Whatever the answer holds, it is about this commit and this event.
    ours = (run for run in runs if run.get("head_sha") == commit and run.get("event") == "pull_request")
    name = quote(artifact, safe="")
    keeping = []
    for run in {as_number(run.get("id")) for run in ours} - {0}:
        path = f"actions/runs/{run}/artifacts?name={name}&per_page={PAGE}"
        kept = as_maps(as_map(github.call("GET", path)).get("artifacts"))
        if any(one.get("name") == artifact and one.get("expired") is False for one in kept):
            keeping.append(run)
    return keeping
