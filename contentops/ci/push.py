"""A commit on its way to a remote: on top of what is there, or on a branch of its own.

Only results travel: never another commit that lies below ours here, and none that the remote has dropped. Nothing is
ever forced, and the clone is brought to the pushed commit only where that loses and changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.gather import gather, touched, unsettled
from contentops.ci.git import Ended, failure, masked, said, try_git
from contentops.ci.graft import graft, make_commit
from contentops.ci.results import lock_name
from contentops.ci.worktree import earlier, follow, is_ancestor, remember, taken_off
from contentops.errors import ContentopsError, UsageError
from contentops.reporting.commit_text import is_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from contentops.ci.gather import Results
    from contentops.ci.git import Clone

    class Message(Protocol):
        """The message of a commit of what was made since `base`."""

        def __call__(self, base: str, *, skip: bool) -> str:
            """`skip`: whether the push is to start no workflow."""


ATTEMPTS = 5
"""Pushes to the branch before the commit goes to a branch of its own."""
FOLDERS = ("contentops", "contentops-results")
"""The folders of branches with results nobody has merged yet; the second where a branch has the name of the first."""
_RACES = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")
"""What a push is rejected with where somebody else pushed at the same time; the rest are rules of the server."""
_RUN = re.compile(r"(?:[0-9]+-[0-9]+-)?[0-9a-f]{12}", re.ASCII)
_BOT = "github-actions[bot]"
_BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = 300
_NAME = 60


class NotPublished(ContentopsError):
    """The commit was made, but could be pushed nowhere."""

    code = "not-published"


class Target(Struct, frozen=True, kw_only=True):
    """The branch that is meant, and what a branch of its own would be named after."""

    branch: str
    project: str
    environment: str
    run: str = ""
    """The workflow run, or empty."""

    @property
    def place(self) -> str:
        """Project and environment as a part of the name of a branch."""
        return "/".join(_plain(name) for name in (self.project, self.environment) if name)

    def own(self, folder: str, commit: str) -> str:
        """The branch for a commit of results that the branch did not take."""
        run = f"{self.run}-{commit[:12]}" if self.run else commit[:12]
        return f"{folder}/{self.place}/{run}"

    def is_own(self, name: str) -> bool:
        """Whether `name` is a branch that some run gave results of this project and environment."""
        place, _, run = name.rpartition("/")
        return place in {f"{folder}/{self.place}" for folder in FOLDERS} and _RUN.fullmatch(run) is not None


def _plain(name: str) -> str:
    """`name` as a part of the name of a branch; another name is another part."""
    plain = _UNSAFE.sub("-", name).strip("-")[:_NAME]
    if plain == name:
        return plain
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else mark


class Pushed(NamedTuple):
    """Where the commit is now: its name there, the branch, why not the one meant, and how often it was tried.

    Without a commit there was nothing to push.
    """

    commit: str
    branch: str
    why: str
    attempts: int
    files: tuple[str, ...]
    """The results in it, as paths of the project."""
    edited: tuple[str, ...] = ()
    """Outputs that a person's own commits changed, which are theirs to push."""
    overtaken: tuple[str, ...] = ()
    """Results that the branch has had and changed again, which stay as they are there."""
    new: bool = True
    """Whether the branch did not hold the results already."""
    stays: bool = False
    """Whether the branch of the clone could not be brought to the commit."""


# --- who, and where --------------------------------------------------------------------------------------------


def identity(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Who commits: whoever git says; on a runner of GitHub that has nobody, the forge's own bot."""
    found: dict[str, str] = {}
    if environ.get("GITHUB_ACTIONS") != "true":
        return found
    for who in ("AUTHOR", "COMMITTER"):
        stated = {name: value for name, value in environ.items() if name.startswith(f"GIT_{who}_")}
        # A name that is made up from the machine's is nobody's.
        if try_git(root, "-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT", extra=stated).code:
            for what, value in (("NAME", _BOT), ("EMAIL", _BOT_MAIL)):
                name = f"GIT_{who}_{what}"
                found[name] = environ.get(name) or value
    return found


def check_branch(clone: Clone, branch: str) -> str:
    """The branch of this name, `refs/heads/` before it or not. Raises UsageError where there can be none."""
    branch = branch.removeprefix("refs/heads/")
    if branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` cannot be the name of a branch", code="no-branch")
    return branch


# --- pushing -----------------------------------------------------------------------------------------------


def push(clone: Clone, target: Target, *, message: Message, skip: bool, pause: Callable[[float], None]) -> Pushed:
    """Pushes the results that HEAD has and the remote's branch has not; else puts them on a branch of their own.

    `pause` waits some seconds between two attempts; `skip`: whether the push is
    to start no workflow. Raises NotPublished.
    """
    head = clone.run("rev-parse", "HEAD")
    results = _known_results(clone, target, head)
    if results is not None and not results.changes:
        return _nothing(results)
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            pause(2.0 ** (attempt - 2))
        tip, ended = _fetch(clone, f"refs/heads/{target.branch}")
        if ended.code:
            _give_up(head, ended, last=attempt == ATTEMPTS)
            continue
        if results is None or not tip:
            results = gather(clone, target.environment, _meeting(clone, tip, head), head, _earlier(clone, target)[0])
        fresh = _fresh(clone, target, results, tip) if tip else results
        if not fresh.changes:
            return _nothing(fresh, stays=bool(tip) and not follow(clone, fresh, target.branch, tip, tip))
        pushed = _try(_Job(clone, target, fresh, message, attempt), tip, skip=skip)
        if pushed is not None:
            return pushed
    raise AssertionError("the last attempt ends")


def _fresh(clone: Clone, target: Target, results: Results, tip: str) -> Results:
    off = taken_off(clone, target.branch, results.base)
    return unsettled(clone, results, tip, _earlier(clone, target), off)


def _earlier(clone: Clone, target: Target) -> tuple[str, str]:
    return earlier(clone, target.branch, clone.folder() + lock_name(target.environment))


def _nothing(results: Results, *, stays: bool = False) -> Pushed:
    return Pushed("", "", "", 0, (), results.edited, results.overtaken, new=False, stays=stays)


class _Job(NamedTuple):
    clone: Clone
    target: Target
    results: Results
    message: Message
    attempt: int

    def done(
        self, commit: str, branch: str, *, below: str = "", why: str = "", new: bool = True, stays: bool = False
    ) -> Pushed:
        """`below`: the commit that this one was put on, or empty."""
        found = self.results
        paths = touched(self.clone, below, commit) if below else found.changes
        files = tuple(sorted(path.removeprefix(found.folder) for path in paths))
        return Pushed(commit, branch, why, self.attempt, files, found.edited, found.overtaken, new=new, stays=stays)


def _try(job: _Job, tip: str, *, skip: bool) -> Pushed | None:
    """The results on the branch whose commit is `tip` (empty: there is no such branch yet).

    None where it is worth another attempt. Raises NotPublished.
    """
    clone, results, branch = job.clone, job.results, job.target.branch
    if not tip and not results.ours:
        return _homeless(job)
    commit = results.head
    if tip:
        made = graft(clone, results, tip)
        if made.conflicts:
            return _offer(job, _shared(clone, results, tip), _conflict(branch, results, made.conflicts))
        if made.tree == clone.run("rev-parse", f"{tip}^{{tree}}"):
            return job.done(tip, branch, new=False, stays=not follow(clone, results, branch, tip, tip))
        if not results.ours or tip != results.base:
            commit = make_commit(clone, made.tree, tip, job.message(results.told, skip=skip))
    ended = _try_push(clone, commit, branch, tip)
    if not ended.code:
        stays = not follow(clone, results, branch, tip, commit)
        if stays:
            remember(clone, results, branch, commit)
        below = tip or results.base or clone.run("hash-object", "-t", "tree", "--stdin")
        return job.done(commit, branch, below=below, stays=stays)
    rejection, last = _rejection(ended), job.attempt == ATTEMPTS
    raced = any(race in rejection for race in _RACES)
    if rejection and (last or not raced):
        why = f"`{branch}` kept moving" if raced else f"`{branch}` takes no push: {rejection}"
        return _offer(job, tip or results.base, why)
    if not rejection:
        # Not an answer of the server: the network, a key that it does not take, or (git itself had no trouble) a hook
        # of the clone, which would say the same again.
        _give_up(results.head, ended, last=last or "fatal: " not in ended.words)
    return None


def _try_push(clone: Clone, commit: str, branch: str, tip: str) -> Ended:
    # `commit` is a child of `tip`, so nothing can be lost; that the branch still is at `tip` has to be said, or a push
    # would bring back what somebody has just taken off it.
    lease = f"--force-with-lease=refs/heads/{branch}:{tip}"
    refspec = f"{commit}:refs/heads/{branch}"
    return clone.reach("push", "--porcelain", "--no-follow-tags", lease, "--", clone.remote, refspec)


def _fetch(clone: Clone, ref: str) -> tuple[str, Ended]:
    """The commit of a ref of the remote, and how git ended; without an error and a commit there is no such ref."""
    ended = clone.reach("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.source, ref)
    if "couldn't find remote ref" in ended.words:
        return "", Ended(0, b"", "")
    return ("" if ended.code else clone.run("rev-parse", "FETCH_HEAD")), ended


def _rejection(ended: Ended) -> str:
    """Why the server (or git, knowing its answer) took no push; empty where there was no answer."""
    for line in ended.stdout.decode("utf-8", "replace").splitlines():
        parts = line.split("\t")
        if line.startswith("!") and len(parts) == 3:
            found = re.search(r"\((.*)\)\s*$", parts[2])
            return masked(found[1] if found else parts[2])[:_WORDS]
    return ""


def _give_up(head: str, ended: Ended, *, last: bool) -> None:
    """Raises NotPublished after the last attempt, and where the remote did not answer at all."""
    if last or ended.late:
        raise NotPublished(f"the commit could not be pushed: {said(ended)}", hint=_by_hand(head))


def _by_hand(head: str) -> str:
    return f"the results are committed here as {head[:12]}: run `contentops commit` again, or push it yourself"


# --- what is new, and where it can stand -------------------------------------------------------------------


def _known_results(clone: Clone, target: Target, head: str) -> Results | None:
    """The results since what the clone knows to have been at the remote, or None where it knows nothing of that."""
    # The log of that branch counts as well: what somebody took off it by force is not new because of that.
    tracking = f"refs/remotes/{clone.remote}/{target.branch}"
    fork = clone.attempt("merge-base", "--fork-point", tracking, head)
    base = fork.stdout.decode("ascii").strip()
    if not base and clone.attempt("cat-file", "-e", f"{head}:./{lock_name(target.environment)}").code:
        base = head
    return gather(clone, target.environment, base, head, _earlier(clone, target)[0]) if base else None


def _meeting(clone: Clone, tip: str, head: str) -> str:
    """The last commit that the remote has too, as far as is known; without `tip` on the branch its HEAD names."""
    other = tip or _fetch(clone, "HEAD")[0]
    found = clone.attempt("merge-base", other, head) if other else None
    if found is not None and not found.code:
        return found.stdout.decode("ascii").split()[0]
    parents, _, subject = clone.run("log", "-1", "--no-show-signature", "--format=%P%x09%s", head).partition("\t")
    return parents if is_subject(subject) and " " not in parents and tip else ""


def _conflict(branch: str, results: Results, paths: tuple[str, ...]) -> str:
    names = sorted(path.removeprefix(results.folder) for path in paths)
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"`{branch}` moved, and others changed the same files: `{names[0]}`{more}"


def _shared(clone: Clone, results: Results, tip: str) -> str:
    """Where a merge of the results would start from: what both sides have, else what is at the remote."""
    return results.base if results.base and is_ancestor(clone, results.base, tip) else tip


# --- branches of their own ---------------------------------------------------------------------------------


def _homeless(job: _Job) -> Pushed:
    """Results for a branch that is not at the remote, above commits that are not there either."""
    clone, target = job.clone, job.target
    why = f"`{target.branch}` is not at `{clone.remote}`, and neither are the commits that the results stand on"
    tip, _ = _fetch(clone, "HEAD")
    if tip and target.run:
        # A runner is gone in a minute, and with it the results.
        return _offer(job, _shared(clone, job.results, tip), why)
    hint = f"push the branch first, `git push {clone.remote} HEAD:{target.branch}`: the results are in it"
    raise NotPublished(why, hint=hint)


def _offer(job: _Job, parent: str, why: str) -> Pushed:
    """The results on a branch of their own, without the mark that would keep its checks from running."""
    clone, target, results = job.clone, job.target, job.results
    for name, commit in _branches(clone).items():
        if target.is_own(name) and name.endswith(results.head[:12]):
            return job.done(commit, name, why=why, new=False)
    tree = (
        graft(clone, results, parent, force=True).tree if parent else clone.run("rev-parse", f"{results.head}^{{tree}}")
    )
    commit = make_commit(clone, tree, parent, job.message(results.told, skip=False))
    name = words = ""
    for folder in FOLDERS:
        name = target.own(folder, results.head)
        ended = _try_push(clone, commit, name, "")
        if not ended.code:
            return job.done(commit, name, below=parent, why=why)
        words = _rejection(ended) or said(ended)
    raise NotPublished(f"{why}; and the branch `{name}` could not be pushed: {words}", hint=_by_hand(results.head))


def _branches(clone: Clone) -> dict[str, str]:
    """The branches of the remote that could hold results, with their commits; none where it does not say."""
    return _heads(clone.reach(*_LIST, clone.source, *_PATTERNS))


_LIST = ("ls-remote", "--heads", "--")
_PATTERNS = tuple(f"refs/heads/{folder}/*" for folder in FOLDERS)


def _heads(ended: Ended) -> dict[str, str]:
    lines = ended.stdout.decode("utf-8", "surrogateescape").splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {ref.removeprefix("refs/heads/"): commit for commit, _, ref in pairs}


def waiting(clone: Clone, target: Target) -> tuple[str, ...]:
    """The branches of the remote that hold results of this place which nobody has merged. Raises GitFailed."""
    arguments = (*_LIST, clone.source, *_PATTERNS)
    ended = clone.reach(*arguments)
    if ended.code:
        raise failure(clone.root, arguments, ended)
    return tuple(sorted(filter(target.is_own, _heads(ended))))
