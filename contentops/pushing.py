"""A commit on its way to a remote: on top of what is there, or on a branch of its own.

Only results travel: never another commit that lies below ours here, and none that the remote has dropped. Nothing is
ever forced, and the clone is brought to the pushed commit only where that loses and changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from contentops.errors import ContentopsError, UsageError
from contentops.git import Ended, failure, masked, said, try_git
from contentops.grafting import gather, graft, make_commit
from contentops.report.commit_text import is_subject
from contentops.results import lock_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from contentops.git import Clone
    from contentops.grafting import Results

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
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_WORDS = 300
_NAME = 60


class NotPublished(ContentopsError):
    """The commit was made, but could be pushed nowhere."""

    code = "not-published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
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
    """Where the commit is now: its name there, the branch, why not the one meant, and how often it was tried."""

    commit: str
    branch: str
    why: str
    attempts: int
    files: tuple[str, ...]
    """The results in it, as paths of the project."""
    new: bool = True
    """Whether the branch did not hold the results already."""
    left: bool = False
    """Whether the branch of the clone could not be brought to the commit."""


# --- who, and with which key -------------------------------------------------------------------------------


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


def credentials(address: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The token of the workflow as settings of the child alone: never in an argument, a file, or for another server."""
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or ""
    server = environ.get("GITHUB_SERVER_URL", "").rstrip("/")
    if not token or not server or not address.startswith(f"{server}/") or not _is_safe(server):
        return {}
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    settings = (
        # An empty value drops a header that a checkout may have left behind: the server refuses two.
        (f"http.{server}/.extraheader", ""),
        (f"http.{server}/.extraheader", f"AUTHORIZATION: basic {basic}"),
        (f"http.{server}/.followRedirects", "false"),
    )
    stated = environ.get("GIT_CONFIG_COUNT", "")
    start = int(stated) if stated.isdecimal() else 0
    found = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for at, (key, value) in enumerate(settings, start):
        found |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    return found


def _is_safe(server: str) -> bool:
    parts = urlsplit(server)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def check_branch(clone: Clone, branch: str) -> str:
    """`branch`, if it can be the name of one. Raises UsageError."""
    if branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` can not be the name of a branch", code="no-branch")
    return branch


# --- pushing -----------------------------------------------------------------------------------------------


def push(
    clone: Clone, target: Target, *, message: Message, skip: bool, pause: Callable[[float], None]
) -> Pushed | None:
    """Pushes the results that HEAD has and the remote's branch has not; else puts them on a branch of their own.

    None where there are no such results. `pause` waits some seconds between two attempts; `skip`: whether the push is
    to start no workflow. Raises NotPublished.
    """
    head = clone.run("rev-parse", "HEAD")
    results = _known_results(clone, target, head)
    if results is not None and not results.changes:
        return None
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            pause(2.0 ** (attempt - 2))
        tip, ended = _fetch(clone, f"refs/heads/{target.branch}")
        if ended.code:
            _give_up(head, ended, last=attempt == ATTEMPTS)
            continue
        if results is None or not tip:
            results = gather(clone, target.environment, _meeting(clone, tip, head), head)
            if not results.changes:
                return None
        pushed = _try(_Job(clone, target, results, message, attempt), tip, skip=skip)
        if pushed is not None:
            return pushed
    raise AssertionError("the last attempt ends")


class _Job(NamedTuple):
    clone: Clone
    target: Target
    results: Results
    message: Message
    attempt: int

    def done(self, commit: str, branch: str, *, why: str = "", new: bool = True, left: bool = False) -> Pushed:
        return Pushed(commit, branch, why, self.attempt, self.results.files, new, left)


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
            return job.done(tip, branch, new=False, left=not _follow(job, tip, tip))
        if not results.ours or tip != results.base:
            commit = make_commit(clone, made.tree, tip, job.message(results.base, skip=skip))
    ended = _try_push(clone, commit, branch, tip)
    if not ended.code:
        return job.done(commit, branch, left=not _follow(job, tip, commit))
    rejection, last = _rejection(ended), job.attempt == ATTEMPTS
    if rejection and not any(race in rejection for race in _RACES):
        return _offer(job, tip or results.base, f"`{branch}` takes no push: {rejection}")
    if rejection and last:
        return _offer(job, tip or results.base, f"`{branch}` kept moving")
    if not rejection:
        # Not an answer of the server: the network, or a key that it does not take.
        _give_up(results.head, ended, last=last)
    return None


def _try_push(clone: Clone, commit: str, branch: str, tip: str) -> Ended:
    # `commit` is a child of `tip`, so nothing can be lost; that the branch still is at `tip` has to be said, or a push
    # would bring back what somebody has just taken off it.
    lease = f"--force-with-lease=refs/heads/{branch}:{tip}"
    refspec = f"{commit}:refs/heads/{branch}"
    return clone.reach("push", "--porcelain", "--no-follow-tags", lease, "--", clone.remote, refspec)


def _fetch(clone: Clone, ref: str) -> tuple[str, Ended]:
    """The commit of a ref of the remote, and how git ended; without an error and a commit there is no such ref."""
    ended = clone.reach("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.remote, ref)
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
    return gather(clone, target.environment, base, head) if base else None


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
    return results.base if results.base and _is_ancestor(clone, results.base, tip) else tip


def _is_ancestor(clone: Clone, commit: str, of: str) -> bool:
    return not clone.attempt("merge-base", "--is-ancestor", commit, of).code


def _follow(job: _Job, tip: str, commit: str) -> bool:
    """Brings the branch of the clone from our commit to the one that was pushed; whether it is where it should be."""
    clone, results = job.clone, job.results
    current = clone.attempt("symbolic-ref", "--quiet", "HEAD").stdout.decode("utf-8", "surrogateescape").strip()
    if commit == results.head or current not in {"", f"refs/heads/{job.target.branch}"}:
        return True
    if not results.ours or not results.base or not _is_ancestor(clone, results.base, tip):
        return False
    clone.attempt("update-index", "-q", "--refresh")
    # Git does the same for a checkout: all of it, or nothing where somebody's changes are in the way.
    if clone.attempt("read-tree", "-m", "-u", results.head, commit).code:
        return False
    return not clone.attempt("update-ref", "-m", "contentops commit", "HEAD", commit, results.head).code


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
    commit = make_commit(clone, tree, parent, job.message(results.base, skip=False))
    name = words = ""
    for folder in FOLDERS:
        name = target.own(folder, results.head)
        ended = _try_push(clone, commit, name, "")
        if not ended.code:
            return job.done(commit, name, why=why)
        words = _rejection(ended) or said(ended)
    raise NotPublished(f"{why}; and the branch `{name}` could not be pushed: {words}", hint=_by_hand(results.head))


def _branches(clone: Clone) -> dict[str, str]:
    """The branches of the remote that could hold results, with their commits; none where it does not say."""
    return _heads(clone.reach(*_LIST, clone.remote, *_PATTERNS))


_LIST = ("ls-remote", "--heads", "--")
_PATTERNS = tuple(f"refs/heads/{folder}/*" for folder in FOLDERS)


def _heads(ended: Ended) -> dict[str, str]:
    lines = ended.stdout.decode("utf-8", "surrogateescape").splitlines()
    pairs = (line.partition("\t") for line in lines)
    return {ref.removeprefix("refs/heads/"): commit for commit, _, ref in pairs}


def waiting(clone: Clone, target: Target) -> tuple[str, ...]:
    """The branches of the remote that hold results of this place which nobody has merged. Raises GitFailed."""
    arguments = (*_LIST, clone.remote, *_PATTERNS)
    ended = clone.reach(*arguments)
    if ended.code:
        raise failure(clone.root, arguments, ended)
    return tuple(sorted(filter(target.is_own, _heads(ended))))
