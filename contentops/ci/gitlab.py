"""Who approved merged merge requests, as GitLab knows it.

An approval of GitLab names no commit. One counts if it was given after the last push to the merge request: GitLab keeps
a version for each push, with the time and the commit. The token of a job (`CI_JOB_TOKEN`) may read none of that.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from contentops.ci.git import failure
from contentops.ci.host import Host, HostError, checked_api, client
from contentops.ci.reviews import HostApproval, MergedPull, is_login, is_object, time_of
from contentops.ci.runner import as_map, as_number, as_text
from contentops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contentops.ci.git import Clone

TOKEN: Final = "GITLAB_TOKEN"  # noqa: S105 - the name of a variable
_RIGHTS: Final = f"`{TOKEN}` must be a project access token with the scope `read_api` and the role Reporter or above"
_PROJECT: Final = re.compile(r"[1-9][0-9]{0,17}")
_NO_TIME: Final = "this GitLab does not report when a merge request was approved (`approved_at`); newer ones do"


def connect_gitlab(environ: Mapping[str, str], *, pause: Callable[[float], None]) -> Host:
    """Return the API for a job of GitLab. Raises UsageError where token, project or address are missing."""
    token = environ.get(TOKEN, "").strip()
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        hint = f"a job token cannot read approvals: {_RIGHTS}"
        raise UsageError(f"there is no GitLab token in `{TOKEN}`", code="no-token", hint=hint)
    project, api = environ.get("CI_PROJECT_ID", ""), environ.get("CI_API_V4_URL", "")
    if not _PROJECT.fullmatch(project) or not api or not environ.get("CI_PROJECT_URL"):
        hint = "run it in a job of GitLab, which sets `CI_PROJECT_ID`, `CI_PROJECT_URL` and `CI_API_V4_URL`"
        raise UsageError("this GitLab project is unknown", code="no-gitlab-project", hint=hint)
    return Host(
        name="GitLab",
        api=checked_api("CI_API_V4_URL", api),
        below=f"/projects/{project}/",
        token=token,
        rights=_RIGHTS,
        http=client("GitLab", {"PRIVATE-TOKEN": token}),
        pause=pause,
    )


def gitlab_merges(gitlab: Host, clone: Clone, page: str, branch: str, commits: Sequence[str]) -> tuple[MergedPull, ...]:
    """Return the merge requests whose merges into a branch made these commits, the oldest first.

    `page` is the address of the project. Files are compared in `clone`, which fetches what it lacks.
    Raises HostError, GitFailed.
    """
    found: dict[int, MergedPull] = {}
    for commit in reversed(commits):
        path = f"repository/commits/{commit}/merge_requests"
        for request in gitlab.whole(path):
            number, head = as_number(request.get("iid")), as_text(request.get("sha"))
            if not _is_merge(request, branch, commit) or number in found:
                continue
            if not number or not is_object(head):
                raise gitlab.nonsense(path, "has a merge request without a number or a head commit")
            opener = as_text(as_map(request.get("author")).get("username")).casefold()
            address = f"{page.rstrip('/')}/-/merge_requests/{number}"
            pull = MergedPull(number=number, address=address, authors=frozenset({opener}), head=head, commit=commit)
            found[number] = _approved(gitlab, clone, pull)
    return tuple(found.values())


def _is_merge(request: Mapping[str, Any], branch: str, commit: str) -> bool:
    """Whether a merge made a commit: a merge commit, a squashed one, or (fast-forward) the head commit itself."""
    made = {request.get("merge_commit_sha"), request.get("squash_commit_sha")} - {None, ""}
    return (
        request.get("state") == "merged"
        and request.get("target_branch") == branch
        and commit in (made or {request.get("sha")})
    )


def _approved(gitlab: Host, clone: Clone, pull: MergedPull) -> MergedPull:
    base, pushed = _last_version(gitlab, pull)
    path = f"merge_requests/{pull.number}/approvals"
    entries = as_map(gitlab.call("GET", path)).get("approved_by")
    if not isinstance(entries, list):
        raise gitlab.nonsense(path, "does not report who approved")
    approvals, notes = [], []
    for entry in entries:
        user = as_map(as_map(entry).get("user"))
        login, number = as_text(user.get("username")), as_number(user.get("id"))
        if not is_login(login) or not number:
            notes.append("the account of someone who approved it is deleted")
            continue
        at = _moment(gitlab, path, as_map(entry).get("approved_at"), _NO_TIME)
        if at <= pushed:
            notes.append(f"`{login}` approved before the last push")
        elif _is_bot(gitlab, number):
            notes.append(f"`{login}` is not a person")
        else:
            approvals.append(HostApproval(login, time_of(at.isoformat())))
    if not approvals:
        return structs.replace(pull, notes=tuple(notes))
    files = _files(clone, pull, base)
    if files is None:
        return structs.replace(pull, notes=(*notes, f"its commit {pull.head[:12]} is no longer on GitLab"))
    pull = structs.replace(pull, approvals=tuple(sorted(approvals)), files=files, notes=tuple(notes))
    return structs.replace(pull, base=base) if pull.commit == pull.head else pull


def _last_version(gitlab: Host, pull: MergedPull) -> tuple[str, datetime]:
    """Return the commit that the last version of a merge request is compared with, and when it was pushed."""
    path = f"merge_requests/{pull.number}/versions"
    versions = [(_moment(gitlab, path, one.get("created_at"), ""), one) for one in gitlab.whole(path)]
    if not versions:
        raise gitlab.nonsense(path, "has no version")
    pushed, last = max(versions, key=lambda version: version[0])
    base = as_text(last.get("base_commit_sha"))
    if last.get("head_commit_sha") != pull.head or not is_object(base):
        raise gitlab.nonsense(path, f"does not end with {pull.head[:12]}, the head commit")
    return base, pushed


def _moment(gitlab: Host, path: str, text: Any, problem: str) -> datetime:
    try:
        moment = datetime.fromisoformat(as_text(text))
    except ValueError:
        raise gitlab.nonsense(path, "has no time") if not problem else HostError(problem, code="gitlab") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_bot(gitlab: Host, number: int) -> bool:
    """Whether an account is of a token or a service: only the page of the user says so."""
    path = f"/users/{number}"
    bot = as_map(gitlab.call("GET", path)).get("bot", False)
    if not isinstance(bot, bool):
        raise gitlab.nonsense(path, "does not report whether that is a person")
    return bot


def _files(clone: Clone, pull: MergedPull, base: str) -> dict[str, str] | None:
    """Return the files that differ between two commits with their ids at the head; None where GitLab lacks the head.

    Raises GitFailed.
    """
    if not _has(clone, base, pull.head):
        ref = f"refs/merge-requests/{pull.number}/head"
        fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.source, ref)
        ended = clone.reach(*fetch)
        if ended.code and "couldn't find remote ref" not in ended.errors:
            raise failure(clone.root, fetch, ended)
        if not _has(clone, base, pull.head):
            return None
    changes = clone.changes(base, pull.head)
    return {path: after.oid for path, (_, after) in changes.items() if after.oid}


def _has(clone: Clone, *commits: str) -> bool:
    return not any(clone.attempt("cat-file", "-e", f"{commit}^{{commit}}").code for commit in commits)
