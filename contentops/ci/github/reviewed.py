"""Which plan a pull request was reviewed with: the artifact that its own plan workflow left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentops.ci.github.client import GitHub

RUNS = 100
"""How many runs of one commit are looked through, the newest first."""


def reviewed_run(github: GitHub, number: int, artifact: str) -> int:
    """The newest run on the last commit of a pull request that keeps an artifact of this name; 0 where there is none.

    An artifact that has expired counts as none. Raises GitHubError.
    """
    head = _map(github.call("GET", f"pulls/{number}")).get("head")
    commit = _map(head).get("sha")
    if not isinstance(commit, str) or not commit:
        return 0
    query = f"event=pull_request&head_sha={quote(commit, safe='')}&per_page={RUNS}"
    runs = _entries(github.call("GET", f"actions/runs?{query}"), "workflow_runs")
    # Whatever the answer holds, it is about this commit and this event.
    found = {_id(run) for run in runs if run.get("head_sha") == commit and run.get("event") == "pull_request"}
    name = quote(artifact, safe="")
    for run in sorted(found - {0}, reverse=True):
        kept = _entries(github.call("GET", f"actions/runs/{run}/artifacts?name={name}&per_page={RUNS}"), "artifacts")
        if any(one.get("name") == artifact and one.get("expired") is False for one in kept):
            return run
    return 0


def _id(run: Mapping[str, Any]) -> int:
    number = run.get("id")
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0


def _map(document: Any) -> Mapping[str, Any]:
    return document if isinstance(document, dict) else {}


def _entries(document: Any, key: str) -> Iterator[Mapping[str, Any]]:
    found = _map(document).get(key)
    return (each for each in found if isinstance(each, dict)) if isinstance(found, list) else iter(())
