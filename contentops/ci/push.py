"""Pushes results to a remote: on top of its branch, or to a separate branch; never by force."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.clone import alone, make_commits, refuse_unfinished, refuse_unfit_lock
from contentops.ci.git import failure, masked, reason_of
from contentops.ci.results import approvals_at, jobs_at, lock_at, requests_of, state_at
from contentops.errors import ContentopsError, Refused, StateError, first_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.ci.clone import ResultTree
    from contentops.ci.git import Clone, GitResult
    from contentops.model import RequestId

ATTEMPTS = 5
"""Pushes to the branch before the results go to a branch of their own."""
FOLDER = "contentops-results"
"""The folder of branches with unmerged results."""
_RACES = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")
"""Rejections of a push at the same time as another one; all others are rules of the server."""
_RUN = re.compile(r"(?:[0-9]+-[0-9]+-)?[0-9a-f]{12}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_ROOM = 300
_NAME = 60
_LIST = ("ls-remote", "--heads", "--")
_PATTERN = f"refs/heads/{FOLDER}/*"


class NotPublished(ContentopsError):
    """The results could not be pushed; they are in the folder as before."""

    code = "not-published"


class Target(Struct, frozen=True, kw_only=True):
    """The branch to push to, and the names that a separate branch for the results is named after."""

    branch: str
    project: str
    environment: str
    run: str = ""
    """The workflow run, or empty."""
    review: bool = False
    """Whether the results go to a separate branch, to be read before they are merged."""

    @property
    def folder(self) -> str:
        """The folder of the separate branches of this project and environment."""
        return "/".join((FOLDER, *(_plain(name) for name in (self.project, self.environment) if name)))

    def own(self, tree: str) -> str:
        """Return the separate branch for results that are not pushed to the branch itself."""
        return f"{self.folder}/{self.run}-{tree[:12]}" if self.run else f"{self.folder}/{tree[:12]}"

    def is_own(self, name: str) -> bool:
        """Whether `name` is a separate branch that a run made for results of this project and environment."""
        parent, _, run = name.rpartition("/")
        return parent == self.folder and _RUN.fullmatch(run) is not None


def _plain(name: str) -> str:
    """Return `name` in characters that a branch may have, different for each name."""
    plain = _UNSAFE.sub("-", name).strip("-")[:_NAME]
    if plain == name:
        return plain
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else mark


class Messages(NamedTuple):
    """The messages of the commit on the target branch, and of the commit on a separate branch."""

    meant: str
    own: str


class Pushed(NamedTuple):
    """The commit of the results, its branch, why that is not the target branch, and how often the push was tried."""

    commit: str
    branch: str
    why: str = ""
    attempts: int = 0
    new: bool = True
    """Whether the branch lacked the results before."""


def push(
    clone: Clone, target: Target, results: ResultTree, messages: Messages, *, pause: Callable[[float], None]
) -> Pushed:
    """Push one commit of the results on top of the target branch; for a review, or where that fails, to a separate one.

    Where the branch has moved, git merges. If it finds a conflict, the separate branch has the results alone, and a
    person merges. `pause` waits some seconds between two attempts. Raises Refused where the clone has commits that the
    branch lacks, NotPublished where nothing could be pushed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            pause(2.0 ** (attempt - 2))
        done = _pushed(clone, target, results, messages, last=attempt == ATTEMPTS)
        if done is not None:
            return done._replace(attempts=attempt)
    raise AssertionError("the last attempt ends")


def _pushed(clone: Clone, target: Target, results: ResultTree, messages: Messages, *, last: bool) -> Pushed | None:
    """Push once, and return where the results are; None where another attempt may succeed, unless it is the last."""
    tip, ended = _fetch(clone, target.branch)
    if ended.code:
        _give_up(ended, last=last)
        return None
    _refuse_unpushed(clone, target.branch, results.head, tip)
    jobs, tree = results.jobs, results.tree
    if tip != results.head:
        on_head = make_commits(clone, jobs, tree, results.head, messages.own)
        tree, why = _merged(clone, results, on_head, tip)
        if jobs and not why:
            jobs, why = _merged(clone, results, make_commits(clone, "", jobs, results.head, messages.own), tip)
        if why:
            return _own_branch(clone, target, results, on_head, f"`{target.branch}` moved, and {why}")
    if tree == clone.run("rev-parse", f"{tip}^{{tree}}"):
        return Pushed(tip, target.branch, new=False)
    why = "new texts are read before they are merged"
    if not target.review:
        ended = _push(clone, commit := make_commits(clone, jobs, tree, tip, messages.meant), target.branch, tip)
        if not ended.code:
            return Pushed(commit, target.branch)
        rejection = _rejection(ended)
        if not rejection:
            # No answer of the server: the network, a key that it refuses, or (without `fatal:`) a hook of the clone,
            # which would refuse again.
            _give_up(ended, last=last or "fatal: " not in ended.errors)
            return None
        raced = any(race in rejection for race in _RACES)
        if raced and not last:
            return None
        why = f"`{target.branch}` kept moving" if raced else f"`{target.branch}` rejects pushes: {rejection}"
    return _own_branch(clone, target, results, make_commits(clone, jobs, tree, tip, messages.own), why)


def _merged(clone: Clone, results: ResultTree, ours: str, tip: str) -> tuple[str, str]:
    """Return the tree of git's own merge of `ours`, the results on top of HEAD, into `tip`; or why there is none."""
    ended = clone.attempt("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", tip, ours)
    tree, *paths = ended.stdout.decode("utf-8", "surrogateescape").rstrip("\0").split("\0")
    if ended.code == 1:
        names = sorted(path.removeprefix(results.folder) for path in paths)
        return "", f"others changed the same files: {first_of(names)}"
    if ended.code:
        return "", f"git cannot merge: {reason_of(ended)}"
    try:
        lock_at(clone.root, tree, results.environment, clone.extra)
        jobs_at(clone.root, tree, results.environment, clone.extra)
        approvals_at(clone.root, tree, clone.extra)
    except StateError as error:
        return "", f"the merge cannot be used: {error.message}"
    return tree, ""


def _push(clone: Clone, commit: str, branch: str, tip: str) -> GitResult:
    # `commit` is a child of `tip`, so nothing can be lost; but unless the branch is still at `tip`, a push would bring
    # back what someone has just removed.
    lease = f"--force-with-lease=refs/heads/{branch}:{tip}"
    refspec = f"{commit}:refs/heads/{branch}"
    return clone.reach("push", "--porcelain", "--no-follow-tags", lease, "--", clone.remote, refspec)


def _fetch(clone: Clone, branch: str) -> tuple[str, GitResult]:
    """Return the commit of a remote branch, and git's result; without error and commit, there is no such branch."""
    ref = f"refs/heads/{branch}"
    ended = clone.reach("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.source, ref)
    if "couldn't find remote ref" in ended.errors:
        return "", ended._replace(code=0)
    return ("" if ended.code else clone.run("rev-parse", "FETCH_HEAD")), ended


def _rejection(ended: GitResult) -> str:
    """Return why the server (or git, knowing its answer) rejected a push; empty where there was no answer."""
    for line in ended.stdout.decode("utf-8", "replace").splitlines():
        parts = line.split("\t")
        if line.startswith("!") and len(parts) == 3:
            reason = re.search(r"\((.*)\)\s*$", parts[2])
            return masked(reason[1] if reason else parts[2])[:_ROOM]
    return ""


def _give_up(ended: GitResult, *, last: bool) -> None:
    """Raise NotPublished after the last attempt, and where the remote did not answer at all."""
    if last or ended.late:
        hint = "nothing is lost; the results are still in this folder: run `contentops commit` again"
        raise NotPublished(f"the results could not be pushed: {reason_of(ended)}", hint=hint)


def _is_part(clone: Clone, head: str, tip: str) -> bool:
    return bool(tip) and not clone.attempt("merge-base", "--is-ancestor", head, tip).code


def _refuse_unpushed(clone: Clone, branch: str, head: str, tip: str) -> None:
    """Raise Refused if the remote branch lacks HEAD: results never push a person's commits."""
    if not tip:
        hint = f"push it first: `git push {clone.remote} HEAD:{branch}`, then run the command again"
        raise NotPublished(f"`{branch}` does not exist at `{clone.remote}`", hint=hint)
    if not head:
        hint = f"`git pull {clone.remote} {branch}` fetches the remote commits"
        raise Refused("this clone has no commits yet", code="unpushed-commits", hint=hint)
    if not _is_part(clone, head, tip):
        log = clone.run("log", "--no-show-signature", "--reverse", "--format=%h %s", f"{tip}..{head}", "--").split("\n")
        hint = (
            f"push them first, `git push {clone.remote} HEAD:{branch}` (where that is refused, `git pull --rebase "
            f"--autostash {clone.remote} {branch}` before it), then run the command again; where someone removed them "
            f"from the branch, `git fetch {clone.remote} {branch}` and `git reset --keep FETCH_HEAD` remove them here"
        )
        message = f"commits of this clone are not on `{branch}` at `{clone.remote}`: {first_of(log)}"
        raise Refused(message, code="unpushed-commits", hint=hint)


# --- branches of their own ---------------------------------------------------------------------------------


def _own_branch(clone: Clone, target: Target, results: ResultTree, commit: str, why: str) -> Pushed:
    """Push a commit of the results to a separate branch, unless they are on one already."""
    for name, known in _heads(clone.reach(*_LIST, clone.source, _PATTERN)).items():
        if target.is_own(name) and name.endswith(results.tree[:12]):
            return Pushed(known, name, why, new=False)
    name = target.own(results.tree)
    ended = _push(clone, commit, name, "")
    if not ended.code:
        return Pushed(commit, name, why)
    reason = _rejection(ended) or reason_of(ended)
    hint = "nothing is lost; the results are still in this folder"
    raise NotPublished(f"{why}; and the branch `{name}` could not be pushed: {reason}", hint=hint)


def _heads(ended: GitResult) -> dict[str, str]:
    lines = ended.stdout.decode("utf-8", "surrogateescape").splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {ref.removeprefix("refs/heads/"): commit for commit, _, ref in pairs}


# --- before anything is paid for ---------------------------------------------------------------------------


def look_ahead(clone: Clone, target: Target, known: frozenset[RequestId]) -> None:
    """Refuse an apply whose results could not be pushed, or that would pay again for what an earlier run paid for.

    `known`: the requests whose results this checkout has. Raises Refused where something is staged or not pushed, for
    a lock or jobs that git ignores, and while other results are on the branch or on one of their own; NotPublished
    where the remote lacks the branch; GitFailed where it does not answer.
    """
    with alone(clone):
        refuse_unfinished(clone)
        refuse_unfit_lock(clone, target.environment)
        if waiting := _waiting(clone, target, known):
            hint = "merge its pull request and delete the branch; otherwise its texts are generated and paid for again"
            names = ", ".join(f"`{name}`" for name in waiting)
            raise Refused(f"unmerged results of an earlier run are on {names}", code="results-waiting", hint=hint)
        tip, ended = _fetch(clone, target.branch)
        if ended.code:
            raise _unanswered(clone, "fetch", ended)
        _refuse_unpushed(clone, target.branch, clone.head(), tip)
        if not _is_known(clone, target, tip, known):
            hint = f"pull them first: `git pull {clone.remote} {target.branch}`; otherwise they are paid for again"
            message = f"this checkout lacks results that are on `{target.branch}`"
            raise Refused(message, code="results-waiting", hint=hint)


def _waiting(clone: Clone, target: Target, known: frozenset[RequestId]) -> list[str]:
    """Return the remote branches with results of this target that this checkout lacks. Raises GitFailed."""
    ended = clone.reach(*_LIST, clone.source, _PATTERN)
    if ended.code:
        raise _unanswered(clone, _LIST[0], ended)
    waiting = []
    for name in sorted(filter(target.is_own, _heads(ended))):
        tip, fetched = _fetch(clone, name)
        gone = not tip and not fetched.code
        if not gone and (fetched.code or not _is_known(clone, target, tip, known)):
            waiting.append(name)
    return waiting


def _unanswered(clone: Clone, verb: str, ended: GitResult) -> ContentopsError:
    error = failure(clone.root, [verb], ended)
    error.hint = (
        f"nothing was submitted: `{clone.remote}` must first be checked for unmerged results; "
        "make sure that git can reach it, on GitHub with `GITHUB_TOKEN`"
    )
    return error


def _is_known(clone: Clone, target: Target, tip: str, known: frozenset[RequestId]) -> bool:
    """Whether this checkout has all results of a commit: it is a part of HEAD, or has no new request."""
    if _is_part(clone, tip, "HEAD"):
        return True
    try:
        state = state_at(clone.root, tip, target.environment, clone.extra)
    except StateError:
        return False
    return requests_of(state) <= known
