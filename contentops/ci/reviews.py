"""Who approved merged pull requests at their head commits, as their hosts know it.

What counts is decided by pure functions; GitHub is asked here, GitLab in `gitlab`. Answers are not trusted: one that
makes no sense is an error, as a verdict that is overlooked could be the one that takes an approval back.
"""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from msgspec import Struct, structs

from contentops.ci.git import LOOK, run_git, try_git
from contentops.ci.github import head_of, is_merge
from contentops.ci.host import HostError, as_maps
from contentops.ci.runner import as_map, as_number, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from contentops.ci.git import Clone
    from contentops.ci.github import GitHub

COMMITS: Final = 100
"""Commits of one push whose pull requests are asked for, the newest ones."""
_MOST_OF_PULL: Final = 250
"""Commits of one pull request that GitHub lists."""
MOST_FILES: Final = 3_000
"""Files of one pull request that GitHub lists."""
_MAY_WRITE: Final = frozenset({"admin", "maintain", "write"})
_COUNTING: Final = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
_SILENT: Final = frozenset({"COMMENTED", "PENDING"})
_LOGIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_OBJECT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GHOST: Final = "ghost"
"""The account that GitHub and GitLab show in place of a deleted one."""


class HostReview(NamedTuple):
    """One review of a person: the login, `APPROVED`, `CHANGES_REQUESTED` or `DISMISSED`, of which commit, and when."""

    login: str
    verdict: str
    commit: str
    at: str


class HostApproval(NamedTuple):
    """An approval of a pull request at its head commit: the login of a person, and when, in UTC."""

    login: str
    at: str


class Authored(NamedTuple):
    """What a rebase keeps of a commit: the e-mail address of its author, and when it was written, in seconds."""

    email: str
    at: int


class MergedPull(Struct, frozen=True, kw_only=True):
    """A merged pull request (on GitLab: merge request), and who approved its head commit."""

    number: int
    address: str
    """Its page."""
    authors: frozenset[str]
    """Who opened it or committed to it, in small letters."""
    head: str
    """The last commit of its branch at the merge."""
    commit: str
    """The last commit that the merge made."""
    base: str = ""
    """The commit before its first one, where the merge made no commit (fast-forward); otherwise empty."""
    authored: frozenset[Authored] = frozenset()
    """Its commits, to find them again after a rebase."""
    approvals: tuple[HostApproval, ...] = ()
    files: Mapping[str, str] = {}
    """The files that it added or changed, by path in the repository: their object ids at the head commit.

    Empty where no one approved it, as no one asks then. An empty id: the host does not say.
    """
    notes: tuple[str, ...] = ()
    """Why some reviews or files do not count, each a sentence."""

    @property
    def people(self) -> tuple[str, ...]:
        """Those whose approvals count, as `who` names them."""
        return tuple(self.who(approval.login) for approval in self.approvals)

    def who(self, login: str) -> str:
        """Return a person of the host in a form that no git identity has: `login (github.com)`."""
        return f"{login} ({urlsplit(self.address).hostname})"


# --- what counts -------------------------------------------------------------------------------------------


def last_words(reviews: Iterable[HostReview]) -> tuple[HostReview, ...]:
    """Return the last review of each person that approves, asks for changes or was dismissed, in order of logins."""
    last: dict[str, HostReview] = {}
    for review in sorted(reviews, key=lambda review: review.at):
        last[review.login.casefold()] = review
    return tuple(last[login] for login in sorted(last))


def at_head(reviews: Iterable[HostReview], head: str) -> tuple[tuple[HostApproval, ...], tuple[str, ...]]:
    """Return who approved the head commit as their last word, and why the approvals of others do not count."""
    words = [review for review in last_words(reviews) if review.verdict == "APPROVED"]
    counting = tuple(HostApproval(review.login, review.at) for review in words if review.commit == head)
    stale = (
        f"`{review.login}` approved {review.commit[:12]}, not the head commit"
        for review in words
        if review.commit != head
    )
    return counting, tuple(stale)


def time_of(text: str) -> str:
    """Return a time of a host in UTC, as approvals have it. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = "it has no time zone"
        raise ValueError(message)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_login(login: str) -> bool:
    """Whether a name can be that of an account which was not deleted."""
    return bool(_LOGIN.fullmatch(login)) and login.casefold() != _GHOST


def is_object(name: str) -> bool:
    """Whether a name can be the id of a commit or a file in git."""
    return bool(_OBJECT.fullmatch(name))


# --- which commits -----------------------------------------------------------------------------------------


def pushed_commits(root: str, before: str) -> tuple[tuple[str, ...], str]:
    """Return the commits on the branch since `before`, the newest first, and a sentence where some are left out.

    Only those that the branch itself went through, which are the merges. `before` empty: the last commit alone.
    Raises UsageError outside a repository, GitFailed before the first commit.
    """
    head = run_git(root, "rev-parse", "--verify", "HEAD^{commit}").strip()
    if not before:
        return (head,), ""
    since = ("rev-list", "--first-parent", f"--max-count={COMMITS + 1}", "HEAD", f"^{before}", "--")
    listed = try_git(root, *since, extra=LOOK)
    if listed.code:
        why = f"this clone lacks {before[:12]}, where the push began, so only the last commit was checked"
        return (head,), why
    # A run that is repeated may find nothing new: its results were pushed on top.
    commits = tuple(listed.text.split()) or (head,)
    why = f"more than {COMMITS} commits were pushed, so only the last ones were checked"
    return commits[:COMMITS], why if len(commits) > COMMITS else ""


def before_merge(clone: Clone, pull: MergedPull) -> str:
    """Return the last commit of the branch before a merge; empty where a shallow clone lacks it. Raises GitFailed.

    The first parent of a merge commit or a squashed one; after a rebase, the commit before the first one of the pull
    request.
    """
    if pull.base:
        return pull.base
    options = ("--first-parent", "--no-show-signature", f"--max-count={_MOST_OF_PULL + 1}", "--format=%H %at %ae")
    commits = [line.split(" ", 2) for line in clone.run("log", *options, pull.commit, "--").split("\n")]
    rebased = itertools.takewhile(lambda commit: Authored(commit[2], int(commit[1])) in pull.authored, commits)
    earlier = commits[max(len(list(rebased)), 1) :]
    return earlier[0][0] if earlier else ""


# --- GitHub ------------------------------------------------------------------------------------------------


def github_merges(github: GitHub, server: str, branch: str, commits: Sequence[str]) -> tuple[MergedPull, ...]:
    """Return the pull requests whose merges into a branch made these commits, the oldest first. Raises HostError.

    `server` is the address of GitHub's pages.
    """
    found: dict[int, MergedPull] = {}
    for commit in reversed(commits):
        path = f"commits/{commit}/pulls"
        for pull in github.whole(path):
            number = as_number(pull.get("number"))
            if not is_merge(pull, branch, commit) or number in found:
                continue
            head = head_of(pull)
            if not number or not is_object(head):
                raise github.nonsense(path, "has a pull request without a number or a head commit")
            address, opener = f"{server}/{github.repository}/pull/{number}", _login(pull.get("user"))
            one = MergedPull(number=number, address=address, authors=frozenset({opener}), head=head, commit=commit)
            found[number] = _reviewed(github, one)
    return tuple(found.values())


def _reviewed(github: GitHub, pull: MergedPull) -> MergedPull:
    """Return a pull request with its approvals and files. Raises HostError."""
    reviews, notes = _reviews(github, pull.number)
    approvals, stale = at_head(reviews, pull.head)
    may = tuple(approval for approval in approvals if _may_write(github, approval.login))
    strangers = (f"`{one.login}` has no write access to the repository" for one in approvals if one not in may)
    if not may:
        return structs.replace(pull, notes=(*notes, *stale, *strangers))
    logins, authored = _committers(github, pull.number)
    pull = structs.replace(pull, authors=pull.authors | logins, authored=authored)
    files, count = _files(github, pull.number)
    if count >= MOST_FILES:
        files, notes = {}, [*notes, f"GitHub lists {MOST_FILES:,} files of it at most, and there may be more"]
    return structs.replace(pull, approvals=may, files=files, notes=(*notes, *stale, *strangers))


def _reviews(github: GitHub, number: int) -> tuple[list[HostReview], list[str]]:
    """Return the reviews of people, and why others do not count. Raises HostError."""
    path = f"pulls/{number}/reviews"
    reviews: list[HostReview] = []
    notes: dict[str, None] = {}
    for entry in github.whole(path):
        verdict, user = as_text(entry.get("state")), as_map(entry.get("user"))
        login = as_text(user.get("login"))
        if verdict in _SILENT:
            continue
        if verdict not in _COUNTING:
            raise github.nonsense(path, "has a review in an unknown state")
        if not login or login.casefold() == _GHOST:
            notes["the account of someone who reviewed it is deleted"] = None
        elif as_text(user.get("type")) != "User" or login.endswith("[bot]"):
            notes[f"`{login}` is not a person"] = None
        else:
            reviews.append(_review(github, path, entry, login, verdict))
    return reviews, list(notes)


def _review(github: GitHub, path: str, entry: Mapping[str, Any], login: str, verdict: str) -> HostReview:
    try:
        at = time_of(as_text(entry.get("submitted_at")))
    except ValueError:
        raise github.nonsense(path, "has a review without a time") from None
    if not is_login(login):
        raise github.nonsense(path, "has a review without a valid user name")
    # The commit of a review can be gone after a forced push: then it is not the head commit.
    return HostReview(login, verdict, as_text(entry.get("commit_id")), at)


def _committers(github: GitHub, number: int) -> tuple[frozenset[str], frozenset[Authored]]:
    """Return who wrote the commits of a pull request, as far as GitHub knows their accounts, and the commits.

    The first 250 commits. Merges are left out: whoever brings it up to date with its base writes none of its words.
    Raises HostError.
    """
    listed = github.whole(f"pulls/{number}/commits")
    commits = [one for one in listed if len(list(as_maps(one.get("parents")))) < 2]
    authored = (_authored(as_map(as_map(one.get("commit")).get("author"))) for one in commits)
    logins = {_login(one.get(who)) for one in commits for who in ("author", "committer")}
    return frozenset(logins - {""}), frozenset(one for one in authored if one is not None)


def _authored(author: Mapping[str, Any]) -> Authored | None:
    """Return the author of a commit and the time; None where GitHub does not say, so that it is not found again."""
    try:
        return Authored(
            as_text(author.get("email")), int(datetime.fromisoformat(as_text(author.get("date"))).timestamp())
        )
    except (ValueError, OverflowError):
        return None


def _login(user: Any) -> str:
    """Return the login of an account in small letters; empty for none."""
    return as_text(as_map(user).get("login")).casefold()


def _may_write(github: GitHub, login: str) -> bool:
    """Whether a person may write to the repository: anyone may approve a pull request of a public one."""
    path = f"collaborators/{quote(login, safe='')}/permission"
    try:
        permission = as_map(github.call("GET", path)).get("permission")
    except HostError as error:
        if error.status == 404:
            return False
        raise
    if not isinstance(permission, str):
        raise github.nonsense(path, "does not report a person's permissions")
    return permission in _MAY_WRITE


def _files(github: GitHub, number: int) -> tuple[dict[str, str], int]:
    """Return the files that a pull request added or changed with their ids at its head commit, and how many it lists.

    Raises HostError.
    """
    path = f"pulls/{number}/files"
    files: dict[str, str] = {}
    listed = github.whole(path)
    for entry in listed:
        name, oid = as_text(entry.get("filename")), entry.get("sha")
        if not name or (oid is not None and not (isinstance(oid, str) and is_object(oid))):
            raise github.nonsense(path, "has a file without a name or with an invalid id")
        if entry.get("status") != "removed":
            files[name] = oid or ""
    return files, len(listed)
