"""Pushes results to a remote: on top of its branch, or to a separate branch; never by force."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.clone import (
    MERGE_RULES,
    RULES,
    added_rules,
    alone,
    make_commit,
    refuse_unfinished,
    refuse_unfit_lock,
    tree_with,
)
from contentops.ci.git import TreeEntry, failure, file_at, masked, reason_of
from contentops.ci.results import approvals_at, lock_at, lock_name, read_lock, requests_of, state_of
from contentops.errors import ContentopsError, Refused, StateError, first_of
from contentops.state import approvals
from contentops.state.lock import merge, with_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentops.ci.clone import ResultTree
    from contentops.ci.git import Clone, GitResult
    from contentops.model import RequestId

ATTEMPTS = 5
"""Pushes to the branch before the results go to a branch of their own."""
FOLDERS = ("contentops", "contentops-results")
"""The folders of branches with unmerged results; the second where a branch has the name of the first."""
_RACES = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")
"""Rejections of a push at the same time as another one; all others are rules of the server."""
_RUN = re.compile(r"(?:[0-9]+-[0-9]+-)?[0-9a-f]{12}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_ROOM = 300
_NAME = 60
_LINK = "120000"
"""Git's mode of a symbolic link."""
_LIST = ("ls-remote", "--heads", "--")
_PATTERNS = tuple(f"refs/heads/{folder}/*" for folder in FOLDERS)


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
    def owner(self) -> str:
        """Project and environment, as a part of the name of a separate branch."""
        return "/".join(_plain(name) for name in (self.project, self.environment) if name)

    def own(self, folder: str, tree: str) -> str:
        """Return the separate branch for results that could not be pushed to the branch itself."""
        run = f"{self.run}-{tree[:12]}" if self.run else tree[:12]
        return f"{folder}/{self.owner}/{run}"

    def is_own(self, name: str) -> bool:
        """Whether `name` is a separate branch that a run made for results of this project and environment."""
        parent, _, run = name.rpartition("/")
        return parent in {f"{folder}/{self.owner}" for folder in FOLDERS} and _RUN.fullmatch(run) is not None


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
    """Push one commit of the results to the target branch; else, or for a review, to a separate branch.

    Where the branch was deleted or set back since the checkout, that one lacks the commits that were removed.
    `pause` waits some seconds between two attempts. Raises Refused where the clone has commits that the branch lacks,
    NotPublished where nothing could be pushed.
    """
    was_pushed = _was_pushed(clone, target.branch, results.head)
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            pause(2.0 ** (attempt - 2))
        last = attempt == ATTEMPTS
        tip, ended = _fetch(clone, target.branch)
        if ended.code:
            _give_up(ended, last=last)
            continue
        if was_pushed and not _is_part(clone, results.head, tip):
            # Not on top of HEAD: what was removed from the branch stays removed.
            bare = tree_with(clone, tip, {path: mine for path, (_, mine) in results.changes.items()})
            why = f"`{target.branch}` was {'set back' if tip else 'deleted'} at `{clone.remote}` meanwhile"
            return _own_branch(clone, target, results, make_commit(clone, bare, tip, messages.own), why)
        _refuse_unpushed(clone, target.branch, results.head, tip)
        tree, conflicts = _on_top(clone, results, tip)
        if conflicts:
            on_head = make_commit(clone, results.tree, results.head, messages.own)
            return _own_branch(clone, target, results, on_head, _conflict(target.branch, results, conflicts))
        if (found := _unpushed(clone, target, results, tip, tree, messages)) is not None:
            return found
        ended = _push(clone, commit := make_commit(clone, tree, tip, messages.meant), target.branch, tip)
        if not ended.code:
            return Pushed(commit, target.branch, attempts=attempt)
        rejection = _rejection(ended)
        raced = any(race in rejection for race in _RACES)
        if rejection and (last or not raced):
            why = f"`{target.branch}` kept moving" if raced else f"`{target.branch}` rejects pushes: {rejection}"
            on_tip = make_commit(clone, tree, tip, messages.own)
            return _own_branch(clone, target, results, on_tip, why)._replace(attempts=attempt)
        if not rejection:
            # No answer of the server: the network, a key that it refuses, or (without `fatal:`) a hook of the clone,
            # which would refuse again.
            _give_up(ended, last=last or "fatal: " not in ended.errors)
    raise AssertionError("the last attempt ends")


def _unpushed(
    clone: Clone, target: Target, results: ResultTree, tip: str, tree: str, messages: Messages
) -> Pushed | None:
    """Return where results are that the target branch, at `tip`, has already or is not to get; None for all others."""
    if tree == clone.run("rev-parse", f"{tip}^{{tree}}"):
        return Pushed(tip, target.branch, new=False)
    if target.review:
        return _for_review(clone, target, results, make_commit(clone, tree, tip, messages.own), tip, messages.own)
    return None


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


def _was_pushed(clone: Clone, branch: str, head: str) -> bool:
    """Whether the branch had HEAD at the last fetch; call it before the next fetch."""
    return bool(head) and _is_part(clone, head, f"refs/remotes/{clone.remote}/{branch}")


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
            f"push them first, `git push {clone.remote} HEAD:{branch}` (where that is refused, "
            f"`git pull --rebase --autostash {clone.remote} {branch}` before it), then run the command again"
        )
        message = f"commits of this clone are not on `{branch}` at `{clone.remote}`: {first_of(log)}"
        raise Refused(message, code="unpushed-commits", hint=hint)


# --- on top of the branch ----------------------------------------------------------------------------------


def _on_top(clone: Clone, results: ResultTree, tip: str) -> tuple[str, list[str]]:
    """Return the tree of `tip`, a descendant of HEAD, with the results in it, and the paths in conflict.

    A file that someone changed since HEAD is theirs, even where it is as before: they may have restored it.
    """
    theirs = clone.changes(results.head, tip)
    commits = clone.run("rev-list", f"{results.head}..{tip}", "--").encode("ascii")
    listed = clone.read(
        "diff-tree", "--stdin", "--no-commit-id", "--name-only", "-r", "-z", "--no-renames", stdin=commits
    )
    touched = theirs.keys() | set(listed.split("\0"))
    rules = results.folder + RULES
    conflicts: list[str] = []
    entries: dict[str, TreeEntry] = {}
    for path, (before, mine) in results.changes.items():
        if theirs.get(path, (before, before))[1] == mine or path == rules:
            continue
        if path not in touched:
            entries[path] = mine
        elif (merged := _merged(clone, results, path, tip)) is not None:
            entries[path] = merged
        else:
            conflicts.append(path)
    if rules in results.changes:
        present = theirs.get(rules, (results.changes[rules][0],) * 2)[1]
        if present.mode != _LINK:
            wanted = file_at(clone.root, tip, RULES, clone.extra) or b""
            for rule in added_rules(*(_rules_at(clone, commit) for commit in (results.head, results.tree))):
                wanted = with_line(wanted, MERGE_RULES[rule], rule)
            entries[rules] = TreeEntry(present.mode or "100644", _blob(clone, wanted))
    tree = tree_with(clone, tip, entries)
    # A file of theirs may be where ours needs a folder, or the other way round.
    displaced = clone.changes(tip, tree).keys() - entries.keys()
    return tree, conflicts + sorted(displaced)


def _merged(clone: Clone, results: ResultTree, path: str, tip: str) -> TreeEntry | None:
    """Return a file of state with both sides' facts; None for other files, and where they cannot be merged."""
    sides = (results.head, results.tree, tip)
    try:
        if path == results.lock:
            data = merge(*(lock_at(clone.root, commit, results.environment, clone.extra) for commit in sides))
            if data:
                read_lock(data, lock_name(results.environment))
        elif path == results.approvals:
            said = (approvals_at(clone.root, commit, clone.extra) for commit in sides)
            data = approvals.render(approvals.merge(*said))
        else:
            return None
    except StateError:
        return None
    return TreeEntry("100644", _blob(clone, data)) if data else TreeEntry()


def _rules_at(clone: Clone, commit: str) -> bytes:
    return (file_at(clone.root, commit, RULES, clone.extra) if commit else None) or b""


def _blob(clone: Clone, data: bytes) -> str:
    return clone.run("hash-object", "-w", "--stdin", stdin=data)


def _conflict(branch: str, results: ResultTree, paths: list[str]) -> str:
    names = sorted(path.removeprefix(results.folder) for path in paths)
    return f"`{branch}` moved, and others changed the same files: {first_of(names)}"


# --- branches of their own ---------------------------------------------------------------------------------


def _own_branch(clone: Clone, target: Target, results: ResultTree, commit: str, why: str) -> Pushed:
    """Push a commit of the results to a separate branch, unless they are on one already."""
    for name, known in _heads(clone.reach(*_LIST, clone.source, *_PATTERNS)).items():
        if target.is_own(name) and name.endswith(results.tree[:12]):
            return Pushed(known, name, why, new=False)
    name = reason = ""
    for folder in FOLDERS:
        name = target.own(folder, results.tree)
        ended = _push(clone, commit, name, "")
        if not ended.code:
            return Pushed(commit, name, why)
        reason = _rejection(ended) or reason_of(ended)
    hint = "nothing is lost; the results are still in this folder"
    raise NotPublished(f"{why}; and the branch `{name}` could not be pushed: {reason}", hint=hint)


def _for_review(clone: Clone, target: Target, results: ResultTree, commit: str, base: str, message: str) -> Pushed:
    """Push results on top of a separate branch that waits already, so that one pull request has them all.

    `commit` has them on top of `base`. It is pushed to a new branch where none waits or others changed the same files.
    """
    why = "new texts are read before they are merged"
    merged = requests_of(state_of(lock_at(clone.root, base, target.environment, clone.extra)))
    for name in sorted(filter(target.is_own, _heads(clone.reach(*_LIST, clone.source, *_PATTERNS)))):
        tip, _ = _fetch(clone, name)
        if not _is_part(clone, results.head, tip) or _is_known(clone, target, tip, merged):
            continue
        tree, conflicts = _on_top(clone, results, tip)
        if not conflicts and tree == clone.run("rev-parse", f"{tip}^{{tree}}"):
            return Pushed(tip, name, why, new=False)
        if not conflicts and not _push(clone, more := make_commit(clone, tree, tip, message), name, tip).code:
            return Pushed(more, name, why)
    return _own_branch(clone, target, results, commit, why)


def _heads(ended: GitResult) -> dict[str, str]:
    lines = ended.stdout.decode("utf-8", "surrogateescape").splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {ref.removeprefix("refs/heads/"): commit for commit, _, ref in pairs}


# --- before anything is paid for ---------------------------------------------------------------------------


def look_ahead(clone: Clone, target: Target, known: frozenset[RequestId]) -> None:
    """Refuse an apply whose results could not be pushed, or that would pay again for what an earlier run paid for.

    `known`: the requests whose results this checkout has. Raises Refused where something is staged or not pushed, for
    a lock that git ignores, and while other results are on the branch or on one of their own; NotPublished where the
    remote lacks the branch; GitFailed where it does not answer.
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
    ended = clone.reach(*_LIST, clone.source, *_PATTERNS)
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
    """Whether this checkout has all results of a commit: it is a part of HEAD, or its lock has nothing new."""
    if _is_part(clone, tip, "HEAD"):
        return True
    try:
        lock = lock_at(clone.root, tip, target.environment, clone.extra)
    except StateError:
        return False
    return requests_of(state_of(lock)) <= known
