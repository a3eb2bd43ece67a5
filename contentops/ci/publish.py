"""Results back into git: one commit of lock and outputs, pushed without force, or offered as a branch.

What may be committed is decided by the lock: the paths that its records own now or owned in the last commit, where they
hold what an apply made or the server took, the lock itself, and its rule in `.gitattributes`. Nothing else that is
changed in the clone is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from contentops.ci.gather import touched
from contentops.ci.git import PATIENCE, Clone, GitFailed, run_git, try_git
from contentops.ci.github.event import run_page
from contentops.ci.github.token import credentials
from contentops.ci.push import Target, check_branch, identity, push, waiting
from contentops.ci.results import ledger, lock_at, lock_name, read_lock, settled
from contentops.ci.worktree import alone, missing, status_of
from contentops.errors import Refused, StateError, UsageError
from contentops.operations.apply import exclusively
from contentops.operations.workspace import World, open_store
from contentops.reporting.commit_text import commit_message, made
from contentops.state.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from contentops.ci.push import Message
    from contentops.model import Project

_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git leaves in its folder for as long as something goes on."""
_FROM_LIST = ("--pathspec-from-file=-", "--pathspec-file-nul")


class Where(Struct, frozen=True, kw_only=True):
    """Where a commit goes, and what goes along. `branch` empty: the one that is checked out."""

    remote: str = "origin"
    branch: str = ""
    push: bool = True
    skip: bool = True
    """Whether the push is marked to start no workflow."""
    edits: bool = False
    """Whether outputs that a person edited or removed are committed as well."""
    patience: float = PATIENCE
    """Seconds that a call of the remote may take."""


class Published(Struct, frozen=True, kw_only=True):
    """What became of the results. `commit` is empty where there was nothing to commit or to push."""

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
    earlier: bool = False
    """Whether an earlier run had committed it, and could not push it."""
    stays: bool = False
    """Whether the branch of the clone could not be brought to what was pushed."""
    unpushed: tuple[str, ...] = ()
    """Outputs that a person's own commits changed or removed, which are theirs to push."""
    overtaken: tuple[str, ...] = ()
    """Results that the branch has had and changed again, which stay as they are there."""
    ignored: tuple[str, ...] = ()
    """Outputs that git ignores, and so cannot come back."""
    outside: tuple[str, ...] = ()
    """Outputs that lie in another repository, such as a submodule."""
    edited: tuple[str, ...] = ()
    """Outputs that a person edited or removed, which were left alone."""
    others: int = 0
    """Other changed files, which were left alone."""

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


def publish(project: Project, where: Where, *, world: World | None = None, pause: Callable[[float], None]) -> Published:
    """Commits what applies have made and pushes it, with what an earlier run could not push.

    `pause` waits some seconds between two attempts. Raises UsageError outside a repository, on no branch, or for a
    remote there is none of; Refused in the middle of a merge, and for a lock that git ignores; LockHeld while another
    commit goes on; StateError for a lock that cannot be read; GitFailed where git refuses the commit; NotPublished
    where the commit was made but could be pushed nowhere.
    """
    world = world or World()
    with exclusively(project, world):
        clone = _open(project, where, world.environ)
        try:
            with alone(clone):
                return _publish(project, clone, where, world, pause)
        except GitFailed as error:
            error.hint = error.hint or "nothing that was made is lost: mend that, then run `contentops commit` again"
            raise


def _publish(project: Project, clone: Clone, where: Where, world: World, pause: Callable[[float], None]) -> Published:
    branch = _branch(clone, where, world.environ) if where.push else ""
    _refuse_unfinished(clone)
    with open_store(project, world, write=True) as store:
        # A killed apply has left facts in the journal alone, and only the lock travels.
        store.checkpoint()
    _refuse_ignored(clone, project)
    lock = _lock_on_disk(project)

    def message(base: str, *, skip: bool) -> str:
        what = made(settled(lock_at(clone, base, project.environment)), settled(lock))
        return commit_message(what, environment=project.environment, run=run_page(world.environ), skip=skip)

    before = clone.head()
    book = ledger(lock, lock_at(clone, before, project.environment))
    status = status_of(clone, project.environment, book, lock, edits=where.edits)
    text = message(before, skip=where.skip and where.push)
    commit = _commit(clone, status.results, text) if status.results else ""
    left = missing(clone, book, status.edited)
    found = Published(
        commit=commit,
        message=text if commit else "",
        files=tuple(sorted(status.results)),
        target=branch,
        ignored=left.ignored,
        outside=left.outside,
        edited=tuple(sorted((*status.edited, *(() if where.edits else left.gone)))),
        others=status.others,
    )
    return _pushed(project, clone, where, world.environ, found, message, pause)


def _pushed(
    project: Project,
    clone: Clone,
    where: Where,
    environ: Mapping[str, str],
    found: Published,
    message: Message,
    pause: Callable[[float], None],
) -> Published:
    """`found`, and what became of the push."""
    if not where.push or not clone.head():
        return found
    target = _target(project, found.target, environ)
    pushed = push(clone, target, message=message, skip=where.skip, pause=pause)
    found = structs.replace(found, unpushed=pushed.edited, overtaken=pushed.overtaken)
    if not pushed.commit or not (found.commit or pushed.new or pushed.why):
        return structs.replace(found, stays=pushed.stays and bool(pushed.overtaken))
    # A branch that had the results already has them in somebody else's commit.
    known = bool(found.commit) and not pushed.new and not pushed.why
    return structs.replace(
        found,
        commit=pushed.commit,
        message=found.message if known else _message_of(clone, pushed.commit),
        files=found.files if known else pushed.files,
        branch=pushed.branch,
        why=pushed.why,
        attempts=pushed.attempts,
        earlier=not found.commit,
        stays=pushed.stays,
    )


def _message_of(clone: Clone, commit: str) -> str:
    data = clone.read("cat-file", "commit", commit)
    return data.partition(b"\n\n")[2].decode("utf-8", "replace")


def check_waiting(project: Project, where: Where, *, world: World | None = None) -> None:
    """Refuses where an apply from here would be paid for twice.

    That is while results of an earlier run wait on a branch that it would not know of, and where git ignores the lock
    that it would write.
    """
    environ = (world or World()).environ
    clone = _open(project, where, environ)
    _refuse_ignored(clone, project)
    found = waiting(clone, _target(project, "", environ))
    if found:
        names = ", ".join(f"`{name}`" for name in found)
        hint = "merge its pull request and delete the branch; else what it holds is generated and paid for again"
        raise Refused(f"results of an earlier run wait on {names}", code="results-waiting", hint=hint)


def run_name(environ: Mapping[str, str]) -> str:
    """The number and the attempt of the workflow run we are part of, or empty."""
    run, attempt = environ.get("GITHUB_RUN_ID", ""), environ.get("GITHUB_RUN_ATTEMPT", "1")
    plain = all(number.isascii() and number.isdecimal() for number in (run, attempt))
    return f"{run}-{attempt}" if plain else ""


def _target(project: Project, branch: str, environ: Mapping[str, str]) -> Target:
    return Target(branch=branch, project=project.name, environment=project.environment, run=run_name(environ))


# --- the clone ---------------------------------------------------------------------------------------------


def _open(project: Project, where: Where, environ: Mapping[str, str]) -> Clone:
    run_git(project.root, "rev-parse", "--git-dir")
    address = remote_address(project.root, where.remote) if where.push else ""
    same = not address or address == run_git(project.root, "remote", "get-url", "--", where.remote).strip()
    return Clone(
        root=project.root,
        remote=where.remote,
        extra={**identity(project.root, environ), **credentials(address, environ)},
        patience=where.patience,
        address="" if same else address,
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


def _refuse_unfinished(clone: Clone) -> None:
    """A commit now would become a part of what a person is in the middle of."""
    asked = [word for name in _UNFINISHED for word in ("--git-path", name)]
    paths = clone.run("rev-parse", *asked).split("\n")
    going = next((kind for path, kind in zip(paths, _UNFINISHED.values(), strict=True) if _is_there(clone, path)), "")
    if going:
        leave = "git bisect reset" if going == "bisect" else f"git {going} --abort"
        unmerged = clone.read("diff", "--name-only", "--diff-filter=U", "--relative", "-z").split(b"\0")[0]
        what = f"`{unmerged.decode('utf-8', 'replace')}`" if unmerged else f"all of a {going}"
        hint = f"finish it, or leave it with `{leave}`, then run it again"
        raise Refused(f"git has not {'merged' if unmerged else 'done'} {what} yet", code="unmerged", hint=hint)


def _is_there(clone: Clone, path: str) -> bool:
    return (Path(clone.root) / path).exists()


def _refuse_ignored(clone: Clone, project: Project) -> None:
    name = lock_name(project.environment)
    # A file that is in git already is not ignored, whatever the rules say.
    if not clone.attempt("check-ignore", "--quiet", "--", name).code:
        hint = f"add `!{name}` to `.gitignore`: without the lock, the next clone pays for everything again"
        raise Refused(f"git ignores `{name}`", code="ignored-lock", hint=hint)


def _lock_on_disk(project: Project) -> Lock:
    name = lock_name(project.environment)
    try:
        return read_lock((Path(project.root) / name).read_bytes(), name)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise StateError(f"`{name}` cannot be read: {error}") from error


# --- the commit --------------------------------------------------------------------------------------------


def _commit(clone: Clone, changed: Mapping[str, str], message: str) -> str:
    """The commit of exactly these paths; whatever else is staged stays staged. Raises GitFailed."""

    def listed(paths: Iterable[str]) -> bytes:
        return "".join(f":(literal){path}\0" for path in paths).encode("utf-8", "surrogateescape")

    # Staged and then removed, a path is in no commit, and git knows nothing to commit of it.
    never = [path for path, letters in changed.items() if letters == "AD"]
    rest = [path for path in changed if path not in never]
    to_add = [path for path in rest if changed[path] != "D "]
    if never:
        clone.run("rm", "--quiet", "--cached", "--sparse", *_FROM_LIST, stdin=listed(never))
    if to_add:
        clone.run("add", "--sparse", *_FROM_LIST, stdin=listed(to_add))
    if not rest:
        return ""
    before = clone.head()
    clone.run("commit", "--quiet", "--only", f"--message={message}", *_FROM_LIST, stdin=listed(rest))
    _refuse_losses(clone, before, set(rest))
    return clone.head()


def _refuse_losses(clone: Clone, before: str, asked: set[str]) -> None:
    """A commit that removes more than it was to is taken back. A hook may add to it; that is never pushed."""
    lost = touched(clone, before, "HEAD", "--relative", "--diff-filter=D") if before else ()
    strange = [path for path in lost if path not in asked]
    if strange:
        clone.run("update-ref", "-m", "contentops commit: taken back", "HEAD", before)
        hint = "look at `git status`: a hook removes files, or the index is damaged, which `git reset` mends"
        more = f" and {len(strange) - 1:,} more" if strange[1:] else ""
        raise GitFailed(f"git's commit would have removed `{strange[0]}`{more}, which is no result", hint=hint)
