"""What a runner tells a job about the event that started it.

The event is GitHub's own word. An artifact is whatever the pull request's code put into it: which pull request a plan
belongs to is never read from there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from contentops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 32 << 20
"""Bytes of the largest event that is read."""
_QUEUED = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-([1-9][0-9]{0,17})-[0-9a-f]{40,64}", re.ASCII)


class Origin(Struct, frozen=True, kw_only=True):
    """Where a plan comes from: a pull request by its number, or (0) by the head of a workflow run."""

    number: int = 0
    owner: str = ""
    """Whose repository the head branch lies in."""
    branch: str = ""
    commit: str = ""
    """The commit the plan was made from, or empty where that is not known."""
    run: str = ""
    """The page of the run that made it, or empty."""


def read_event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The event's document; empty outside a workflow. Raises UsageError where it cannot be read."""
    name = environ.get("GITHUB_EVENT_PATH", "")
    if not name:
        return {}
    try:
        with Path(name).open("rb") as file:
            found = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        message = "the event in `GITHUB_EVENT_PATH` cannot be read"
        raise UsageError(message, code="no-pull-request", hint="name the pull request with `--pr`") from error
    return found if isinstance(found, dict) else {}


def origin_of(event: Mapping[str, Any]) -> Origin:
    """The pull request an event is about. Raises UsageError where it is about none."""
    run = _map(event, "workflow_run")
    if run:
        if run.get("event") not in {"pull_request", "pull_request_target"}:
            raise _none("the workflow run was not started by a pull request")
        # The list of pull requests in the event is empty for forks, so the head decides for all.
        owner, branch = _text(_map(_map(run, "head_repository"), "owner"), "login"), _text(run, "head_branch")
        if not owner or not branch:
            raise _none("the event does not say which branch it is about")
        return Origin(owner=owner, branch=branch, commit=_text(run, "head_sha"), run=_text(run, "html_url"))
    pull = _map(event, "pull_request")
    number = pull.get("number")
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return Origin(number=number, commit=_text(_map(pull, "head"), "sha"))
    raise _none("the event is about no pull request")


def run_page(environ: Mapping[str, str]) -> str:
    """The page of the run that a runner is in; empty elsewhere."""
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run = environ.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def queued(event: Mapping[str, Any]) -> int:
    """The number of the pull request that a merge queue is about to merge. Raises UsageError where it is about none.

    A group may hold several; its branch is named after the last, and each of the others has a group of its own.
    """
    found = _QUEUED.fullmatch(_text(_map(event, "merge_group"), "head_ref"))
    if found is None:
        raise _none("the event is about no pull request in a merge queue")
    return int(found[1])


def _none(message: str) -> UsageError:
    return UsageError(message, code="no-pull-request", hint="name the pull request with `--pr`")


def _map(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _text(document: Mapping[str, Any], key: str) -> str:
    found = document.get(key)
    return found if isinstance(found, str) else ""
