"""Results back into git: one commit of lock and outputs, pushed without force, or offered as a branch.

What may be committed is decided by the lock: the paths that its records own now or owned in the last commit, the lock
itself, and `.gitattributes`. Nothing else that is changed in the clone is touched.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from contentops.errors import Refused, StateError, UsageError
from contentops.git import git_bytes, run_git, try_git
from contentops.model import State
from contentops.pipeline import World, exclusively, open_store
from contentops.pushing import Clone, Target, check_branch, credentials, identity, push, waiting
from contentops.report.commit_text import commit_message, made
from contentops.state import lock as locks
from contentops.state.folder import named
from contentops.state.journal import nothing_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from contentops.model import Project
    from contentops.state.lock import Lock

_UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a commit goes. `branch` empty: the one that is checked out."""

    remote: str = "origin"
    branch: str = ""
    push: bool = True
    skip: bool = True
    """Whether the push is marked to start no workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of the results. `commit` is empty where there was nothing to commit."""

    commit: str = ""
    message: str = ""
    files: tuple[str, ...] = ()
    target: str = ""
    """The branch that was meant; empty without a push."""
    branch: str = ""
    """The branch of the remote that holds the commit, or empty."""
    why: str = ""
    """Why that is not the branch that was meant, or empty."""
    attempts: int = 0
    ignored: tuple[str, ...] = ()
    """Outputs that git ignores, and so can not come back."""
    left: int = 0
    """Other changed files, which were left alone."""

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


class _Status(NamedTuple):
    """What `git status` says about the project's folder."""

    owned: Mapping[str, str]
    """The two letters of git by path, of what may be committed."""
    others: int
    ignored: tuple[str, ...]


def publish(project: Project, where: Where, *, world: World | None = None, pause: Callable[[float], None]) -> Published:
    """Commits what applies have made and pushes it; `pause` waits some seconds between two attempts.

    Raises UsageError outside a repository, on no branch, or for a remote there is none of; Refused in the middle of a
    merge; StateError for a lock that can not be read; GitFailed where git refuses the commit; NotPublished where the
    commit was made but could be pushed nowhere.
    """
    world = world or World()
    with exclusively(project, world):
        clone = _open(project, where, world.environ)
        branch = _branch(clone, where, world.environ) if where.push else ""
        with open_store(project, world, write=True) as store:
            # A killed apply has left facts in the journal alone, and only the lock travels.
            store.checkpoint()
        lock, before = _lock_on_disk(project), _lock_at_head(project)
        status = _status(project, lock, before)
        found = Published(target=branch, left=status.others, ignored=status.ignored)
        if not status.owned:
            return found
        what = made(_settled(before), _settled(lock))

        def message(*, skip: bool) -> str:
            run = run_address(world.environ)
            return commit_message(what, environment=project.environment, run=run, skip=skip)

        text = message(skip=where.skip and where.push)
        commit = _commit(clone, status.owned, text)
        target = Target(branch=branch, environment=project.environment, run=run_name(world.environ, commit))
        pushed = push(clone, target, offer_message=message(skip=False), pause=pause) if where.push else None
    return Published(
        commit=pushed.commit if pushed else commit,
        message=text,
        files=tuple(sorted(status.owned)),
        target=branch,
        branch=pushed.branch if pushed else "",
        why=pushed.why if pushed else "",
        attempts=pushed.attempts if pushed else 0,
        ignored=status.ignored,
        left=status.others,
    )


def check_waiting(project: Project, where: Where, *, world: World | None = None) -> None:
    """Refuses while results of an earlier run wait on a branch: an apply from here would not know of them."""
    found = waiting(_open(project, where, (world or World()).environ), project.environment)
    if found:
        names = ", ".join(f"`{name}`" for name in found)
        hint = "merge its pull request and delete the branch; else what it holds is generated and paid for again"
        raise Refused(f"results of an earlier run wait on {names}", code="results-waiting", hint=hint)


def run_address(environ: Mapping[str, str]) -> str:
    """The page of the workflow run we are part of, or empty."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environ.get(name, "") for name in names)
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def run_name(environ: Mapping[str, str], commit: str) -> str:
    """What a branch of this run is called: the run's number and attempt, or the start of the commit."""
    run, attempt = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_RUN_ATTEMPT", "1")
    return f"{run}-{attempt}" if run.isdecimal() and attempt.isdecimal() else commit[:12]


# --- the clone ---------------------------------------------------------------------------------------------


def _open(project: Project, where: Where, environ: Mapping[str, str]) -> Clone:
    run_git(project.root, "rev-parse", "--git-dir")
    address = ""
    if where.push:
        address = remote_address(project.root, where.remote)
    return Clone(
        root=project.root,
        remote=where.remote,
        extra={**identity(project.root, environ), **credentials(address, environ)},
    )


def remote_address(root: str, remote: str) -> str:
    """Where pushes to `remote` go. Raises UsageError where the clone has no remote of this name."""
    known = run_git(root, "remote").split("\n")
    if not remote or remote not in known:
        listed = ", ".join(f"`{name}`" for name in known if name)
        hint = f"known: {listed}" if listed else "`--no-push` only commits"
        raise UsageError(f"this clone has no remote `{remote}`", code="no-remote", hint=hint)
    return run_git(root, "remote", "get-url", "--push", "--", remote).strip()


def _branch(clone: Clone, where: Where, environ: Mapping[str, str]) -> str:
    branch = where.branch
    if not branch:
        head = try_git(clone.root, "symbolic-ref", "--quiet", "HEAD").stdout.decode("utf-8", "surrogateescape").strip()
        ref = head or environ.get("GITHUB_REF", "")
        branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
    if not branch:
        hint = "check a branch out, or name one with `--branch`"
        raise UsageError("no branch is checked out, so there is none to push to", code="no-branch", hint=hint)
    return check_branch(clone, branch)


# --- the locks ---------------------------------------------------------------------------------------------


def _lock_name(project: Project) -> str:
    return named("contentops", project.environment, "lock")


def _lock_on_disk(project: Project) -> Lock:
    name = _lock_name(project)
    try:
        return locks.read((Path(project.root) / name).read_text("utf-8"), name)
    except FileNotFoundError:
        return locks.Lock()
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"`{name}` can not be read: {error}") from error


def _lock_at_head(project: Project) -> Lock:
    name = _lock_name(project)
    ended = try_git(project.root, "--no-optional-locks", "cat-file", "blob", f"HEAD:./{name}")
    return locks.Lock() if ended.code else locks.read(ended.stdout.decode("utf-8", "replace"), f"{name} at HEAD")


def _settled(lock: Lock) -> State:
    records = {id_: locks.settle([one.value for one in lines], nothing_on_disk) for id_, lines in lock.records.items()}
    entries = {id_: locks.furthest(one.value for one in lines) for id_, lines in lock.entries.items()}
    return State(lineage=lock.header.lineage if lock.header else "", records=records, entries=entries)


def _owned(project: Project, *versions: Lock) -> frozenset[str]:
    """Every path that may be committed, in NFC. A lock is a file like any other: no hidden folder comes from it."""
    paths = {one.value.output for lock in versions for lines in lock.records.values() for one in lines}
    plain = {unicodedata.normalize("NFC", path) for path in paths if _is_plain(path)}
    return frozenset({*plain, _lock_name(project), _ATTRIBUTES})


def _is_plain(path: str) -> bool:
    return bool(path) and not any(part.startswith(".") or not part for part in path.split("/"))


# --- the commit --------------------------------------------------------------------------------------------


def _status(project: Project, *versions: Lock) -> _Status:
    owned = _owned(project, *versions)
    prefix = git_bytes(project.root, "rev-parse", "--show-prefix").rstrip(b"\n").decode("utf-8", "surrogateescape")
    found: dict[str, str] = {}
    ignored: list[str] = []
    others = 0
    for letters, path in _lines(project, prefix):
        mine = unicodedata.normalize("NFC", path) in owned
        if letters == "!!":
            ignored += [path] if mine else []
        elif not mine:
            others += 1
        elif letters in _UNMERGED:
            hint = "finish the merge, or leave it with `git merge --abort`, then run it again"
            raise Refused(f"git has not merged `{path}` yet", code="unmerged", hint=hint)
        else:
            found[path] = letters
    # The rule for locks alone is worth no commit: it comes with the first results.
    return _Status({} if set(found) == {_ATTRIBUTES} else found, others, tuple(ignored))


def _lines(project: Project, prefix: str) -> Iterator[tuple[str, str]]:
    arguments = ("--porcelain=v1", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames", "--", ".")
    said = git_bytes(project.root, "--no-optional-locks", "status", *arguments)
    for line in said.decode("utf-8", "surrogateescape").split("\0"):
        if line:
            yield line[:2], line[3:].removeprefix(prefix)


def _commit(clone: Clone, changed: Mapping[str, str], message: str) -> str:
    """The commit of exactly these paths; whatever else is staged stays staged. Raises GitFailed."""

    def listed(paths: list[str]) -> bytes:
        return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")

    from_list = ("--pathspec-from-file=-", "--pathspec-file-nul")
    literal = {"GIT_LITERAL_PATHSPECS": "1"}
    to_add = [path for path, letters in changed.items() if letters != "D "]
    if to_add:
        clone.run("add", *from_list, stdin=listed(to_add), extra=literal)
    paths = listed(list(changed))
    clone.run("commit", "--quiet", "--only", f"--message={message}", *from_list, stdin=paths, extra=literal)
    return clone.run("rev-parse", "HEAD")
