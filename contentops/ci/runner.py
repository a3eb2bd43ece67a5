"""Reads what a CI run provides: its event, its page and its token.

The event comes from GitHub, so it says which pull request a plan belongs to. The plan does not: the code of the pull
request may have made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from contentops.errors import UsageError
from contentops.json_reader import load_json
from contentops.loopback import is_loopback

_LARGEST = 32 << 20
"""Bytes of the largest event that is read."""
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_QUEUED = r"refs/heads/gh-readonly-queue/.+/pr-([1-9][0-9]{0,17})-[0-9a-f]{40,64}"
_HEADS = "refs/heads/"
_SYSTEMS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
"""What CI systems set; Azure, TeamCity and Jenkins do not set `CI`."""


def in_ci(environ: Mapping[str, str]) -> bool:
    """Return whether this process runs in CI."""
    return any(environ.get(name, "").lower() not in {"", "0", "false"} for name in _SYSTEMS)


def branch_of_run(environ: Mapping[str, str]) -> str:
    """Return the branch of this CI run; empty for tags, pull requests, and if it is unknown."""
    ref = environ.get("GITHUB_REF") or environ.get("BUILD_SOURCEBRANCH") or ""
    if ref:
        return ref.removeprefix(_HEADS) if ref.startswith(_HEADS) else ""
    names = ("CI_COMMIT_BRANCH", "GITHUB_REF_NAME", *(() if environ.get("CHANGE_ID") else ("BRANCH_NAME",)))
    return next(filter(None, (environ.get(name, "") for name in names)), "")


def for_pull_request(environ: Mapping[str, str]) -> bool:
    """Return whether this CI run is for a pull request."""
    ref = environ.get("GITHUB_REF") or environ.get("BUILD_SOURCEBRANCH") or ""
    return ref.startswith("refs/pull/") or bool(environ.get("CI_MERGE_REQUEST_IID") or environ.get("CHANGE_ID"))


class PlanOrigin(Struct, frozen=True, kw_only=True):
    """The pull request that a plan is for, and the run that made it. Values that are not known are empty or 0."""

    number: int
    commit: str = ""
    run: str = ""
    """The page of the run."""
    run_number: int = 0
    """GitHub's id of the run."""


def read_event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the event of the workflow as JSON; empty outside a workflow. Raises UsageError if it cannot be read."""
    # Start-up: most commands run where there is no runner.
    from pathlib import Path

    name = environ.get("GITHUB_EVENT_PATH", "")
    if not name:
        return {}
    try:
        with Path(name).open("rb") as file:
            found = load_json(file.read(_LARGEST))
    except (OSError, ValueError) as error:
        raise _no_pull_request("the event in `GITHUB_EVENT_PATH` cannot be read") from error
    return as_map(found)


def origin_of(environ: Mapping[str, str], number: int = 0) -> PlanOrigin:
    """Return this run with the pull request `number`; 0 means that of the event.

    Raises UsageError for an event that has none, or cannot be read.
    """
    run, id_ = run_page(environ), environ.get("GITHUB_RUN_ID", "")
    run_number = int(id_) if id_.isascii() and id_.isdecimal() else 0
    if number:
        return PlanOrigin(number=number, run=run, run_number=run_number)
    pull = as_map(read_event(environ).get("pull_request"))
    if number := as_number(pull.get("number")):
        commit = as_text(as_map(pull.get("head")).get("sha"))
        return PlanOrigin(number=number, commit=commit, run=run, run_number=run_number)
    raise _no_pull_request("the event is not about a pull request")


def queued(event: Mapping[str, Any]) -> int:
    """Return the number of the pull request that a merge queue is going to merge. Raises UsageError if it has none.

    The branch of a group is named after its last pull request; each of the others has its own group.
    """
    match = re.fullmatch(_QUEUED, as_text(as_map(event.get("merge_group")).get("head_ref")))
    if match is None:
        raise _no_pull_request("the event is not about a pull request in a merge queue")
    return int(match[1])


def pushed(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the branch of a push event and its new commit; None for other events."""
    branch, commit = as_text(event.get("ref")).removeprefix(_HEADS), as_text(event.get("after"))
    return (branch, commit) if branch and re.fullmatch(_COMMIT, commit) else None


def commit_before(event: Mapping[str, Any]) -> str:
    """Return the branch's commit before the push; empty if unknown."""
    stated = as_text(event.get("before"))
    return stated if re.fullmatch(_COMMIT, stated) and stated.strip("0") else ""


def _no_pull_request(message: str) -> UsageError:
    return UsageError(message, code="no-pull-request", hint="name the pull request with `--pr`")


def as_map(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is a map, otherwise an empty map."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """Return `value` if it is a text, otherwise an empty text."""
    return value if isinstance(value, str) else ""


def as_number(value: Any) -> int:
    """Return `value` if it is a positive integer, otherwise 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def has_base(environ: Mapping[str, str]) -> bool:
    """Return whether this job is for a pull request (GitHub or GitLab), which has a base to compare with."""
    return bool(environ.get("GITHUB_BASE_REF") or environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"))


def run_page(environ: Mapping[str, str]) -> str:
    """Return the page of the CI run; empty outside of CI."""
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run = environ.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def run_name(environ: Mapping[str, str]) -> str:
    """Return the number and the attempt of the workflow run, or empty."""
    run, attempt = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_RUN_ATTEMPT", "1")
    plain = all(number.isascii() and number.isdecimal() for number in (run, attempt))
    return f"{run}-{attempt}" if plain else ""


# --- the token ---------------------------------------------------------------------------------------------


def token_of(environ: Mapping[str, str]) -> str:
    """Return the token of the workflow, or empty."""
    return (environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "").strip()


def is_safe(address: str) -> bool:
    """Return whether a token may be sent to an address: the connection is encrypted or local."""
    try:
        from urllib.parse import urlsplit  # start-up: most commands run where there is no runner

        parts = urlsplit(address)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        return False


def git_credentials(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that give git the token of one server without writing it to arguments or files."""
    token = token_of(environ)
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/")
    if not token or not server or not address.startswith(f"{server}/") or not is_safe(server):
        return {}
    import base64  # start-up: the same

    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = (
        # An empty value removes a header that a checkout may have left: the server refuses two.
        (f"http.{server}/.extraheader", ""),
        (f"http.{server}/.extraheader", f"AUTHORIZATION: basic {basic}"),
        (f"http.{server}/.followRedirects", "false"),
    )
    stated = environ.get("GIT_CONFIG_COUNT", "")
    start = int(stated) if stated.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for at, (key, value) in enumerate(settings, start):
        variables |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return variables
