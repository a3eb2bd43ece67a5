"""Reads the data of a CI run: its event, its web page and its token.

The event comes from GitHub, so it names the right pull request for a plan. The plan itself cannot be trusted for this:
the code of the pull request may have made it.
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
"""The size of the largest event that is read, in bytes."""
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"
_QUEUED = r"refs/heads/gh-readonly-queue/.+/pr-([1-9][0-9]{0,17})-[0-9a-f]{40,64}"
_HEADS = "refs/heads/"
_SYSTEMS = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
"""The variables that CI systems set. Azure, TeamCity and Jenkins do not set `CI`."""


def in_ci(environ: Mapping[str, str]) -> bool:
    """Return whether this process runs in CI."""
    return any(environ.get(name, "").lower() not in {"", "0", "false"} for name in _SYSTEMS)


def branch_of_run(environ: Mapping[str, str]) -> str:
    """Return the branch of this CI run. It is empty for tags and pull requests, and if it is unknown."""
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
    """The pull request that a plan is for, and the CI run that made the plan. Unknown values are empty or 0."""

    number: int
    commit: str = ""
    run: str = ""
    """The web page of the run."""
    run_number: int = 0
    """GitHub's id of the run."""


def read_event(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the event that started the workflow, as JSON. It is empty outside of a workflow.

    Raises UsageError if it cannot be read.
    """
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
    """Return this process's pull request and CI run. If `number` is 0, the event names the pull request.

    Raises UsageError for an event without a pull request, and for one that cannot be read.
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
    """Return the number of the pull request that a merge queue will merge. Raises UsageError if there is none.

    The branch of a group is named after its last pull request; each of the others has its own group.
    """
    match = re.fullmatch(_QUEUED, as_text(as_map(event.get("merge_group")).get("head_ref")))
    if match is None:
        raise _no_pull_request("the event is not about a pull request in a merge queue")
    return int(match[1])


def pushed(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the branch and the new commit of a push event, or None for other events."""
    branch, commit = as_text(event.get("ref")).removeprefix(_HEADS), as_text(event.get("after"))
    return (branch, commit) if branch and re.fullmatch(_COMMIT, commit) else None


def commit_before(event: Mapping[str, Any]) -> str:
    """Return the commit that the branch had before the push. It is empty if unknown."""
    stated = as_text(event.get("before"))
    return stated if re.fullmatch(_COMMIT, stated) and stated.strip("0") else ""


def _no_pull_request(message: str) -> UsageError:
    return UsageError(message, code="no-pull-request", hint="name the pull request with `--pr`")


def as_map(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a map, otherwise an empty map."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """Return the value if it is a string, otherwise an empty string."""
    return value if isinstance(value, str) else ""


def as_number(value: Any) -> int:
    """Return the value if it is a positive integer, otherwise 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def has_base(environ: Mapping[str, str]) -> bool:
    """Return whether this CI job on GitHub or GitLab has a base commit, because it is for a pull request."""
    return bool(environ.get("GITHUB_BASE_REF") or environ.get("CI_MERGE_REQUEST_DIFF_BASE_SHA"))


def run_page(environ: Mapping[str, str]) -> str:
    """Return the web page of the CI run. It is empty outside of GitHub's CI."""
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    run = environ.get("GITHUB_RUN_ID", "")
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def run_name(environ: Mapping[str, str]) -> str:
    """Return a name for the workflow run, made of its number and its attempt.

    The name is empty outside of a workflow.
    """
    run, attempt = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_RUN_ATTEMPT", "1")
    plain = all(number.isascii() and number.isdecimal() for number in (run, attempt))
    return f"{run}-{attempt}" if plain else ""


# --- the token ---------------------------------------------------------------------------------------------


def token_of(environ: Mapping[str, str]) -> str:
    """Return the GitHub token of the workflow. It is empty if there is none."""
    return (environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or "").strip()


def is_safe(address: str) -> bool:
    """Return whether it is safe to send a token to an address. The connection must be encrypted or to this machine."""
    try:
        from urllib.parse import urlsplit  # start-up: most commands run where there is no runner

        parts = urlsplit(address)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        return False


def git_credentials(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables through which git logs in to one server with the token.

    The token is then in no argument and no file.
    """
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
