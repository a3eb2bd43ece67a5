"""Who approved merged pull requests at their head commits, as GitHub knows it. Answers are not trusted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from msgspec import Struct, structs

from contentops.ci.github import head_of, is_merge
from contentops.ci.host import HostError
from contentops.ci.runner import as_map, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contentops.ci.host import GitHub

MOST_FILES: Final = 3_000
"""Files of one pull request that GitHub lists."""
_LOGIN: Final = re.compile(r"(?!ghost$)[a-z0-9_.-]{1,255}", re.IGNORECASE)
"""The account of a person: GitHub shows `ghost` for a deleted one, and apps have brackets."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class MergedPull(Struct, frozen=True, kw_only=True):
    """A merged pull request, and who approved its head commit."""

    number: int
    address: str
    """Its page."""
    head: str
    """The last commit of its branch at the merge."""
    commit: str
    """The last commit that the merge made."""
    approvals: Mapping[str, str] = {}
    """When each person approved, in UTC. They are named as no git identity is: `login (github.com)`."""
    files: Mapping[str, tuple[str, str]] = {}
    """The object id of each file at the head commit, and its path before; empty where no one approved."""
    notes: tuple[str, ...] = ()
    """Why some reviews or files do not count, each a sentence."""


def merged_pulls(github: GitHub, server: str, branch: str, commits: Sequence[str]) -> tuple[MergedPull, ...]:
    """Return the pull requests whose merges into a branch made these commits, in their order. Raises HostError.

    `server` is the address of GitHub's pages.
    """
    found: dict[int, MergedPull] = {}
    for commit in commits:
        for pull in github.whole(f"commits/{commit}/pulls"):
            number = as_number(pull.get("number"))
            if is_merge(pull, branch, commit) and number not in found:
                address = f"{server}/{github.repository}/pull/{number}"
                one = MergedPull(number=number, address=address, head=head_of(pull), commit=commit)
                found[number] = _reviewed(github, one)
    return tuple(found.values())


def merge_base(github: GitHub, base: str, head: str) -> str:
    """Return the commit of the branch at `base` that a pull request's branch began with, or took over last."""
    path = f"compare/{base}...{quote(head, safe='')}"
    found = as_text(as_map(as_map(github.call("GET", f"{path}?per_page=1")).get("merge_base_commit")).get("sha"))
    if not _COMMIT.fullmatch(found):
        raise github.nonsense(path, "does not report where the branch began")
    return found


def _reviewed(github: GitHub, pull: MergedPull) -> MergedPull:
    """Return a pull request with its approvals and files. Raises HostError."""
    path, host = f"pulls/{pull.number}/reviews", urlsplit(pull.address).hostname
    approvals: dict[str, str] = {}
    notes: list[str] = []
    # GitHub lists them by time: the last one of a person that is more than a comment is their word.
    said = [entry for entry in github.whole(path) if entry.get("state") not in {"COMMENTED", "PENDING"}]
    last = {as_text(as_map(entry.get("user")).get("login")).casefold(): entry for entry in said}
    for entry in (last[login] for login in sorted(last) if last[login].get("state") == "APPROVED"):
        login = as_text(as_map(entry.get("user")).get("login"))
        if not _LOGIN.fullmatch(login) or as_map(entry.get("user")).get("type") != "User":
            notes.append(f"`{login or 'ghost'}` is not a person")
        elif not pull.head or entry.get("commit_id") != pull.head:
            notes.append(f"`{login}` approved {as_text(entry.get('commit_id'))[:12]}, not the head commit")
        elif not _may_write(github, login):
            notes.append(f"`{login}` has no write access to the repository")
        else:
            approvals[f"{login} ({host})"] = as_text(entry.get("submitted_at"))
    files = _files(github, pull.number) if approvals else {}
    if len(files) >= MOST_FILES:
        files, notes = {}, [*notes, f"GitHub lists {MOST_FILES:,} files of it at most, and there may be more"]
    return structs.replace(pull, approvals=approvals, files=files, notes=tuple(notes))


def _may_write(github: GitHub, login: str) -> bool:
    """Whether a person may write to the repository: anyone may approve a pull request of a public one."""
    try:
        answer = github.call("GET", f"collaborators/{quote(login, safe='')}/permission")
    except HostError as error:
        if error.status == 404:
            return False
        raise
    return as_map(answer).get("permission") in {"admin", "maintain", "write"}


def _files(github: GitHub, number: int) -> dict[str, tuple[str, str]]:
    listed = github.whole(f"pulls/{number}/files")
    names = ((as_text(one.get("filename")), as_text(one.get("sha")), one.get("previous_filename")) for one in listed)
    return {name: (oid, as_text(before) or name) for name, oid, before in names}
