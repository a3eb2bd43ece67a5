"""A clone: what forbids a commit of results in it, which of its files are results, and their trees.

Trees and commits are made in an index of our own. Only `follow` changes index, folder and branch of the clone, once a
commit is pushed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.git import Clone, GitFailed, TreeEntry, read_blobs, require_repository, run_git, try_git
from contentops.ci.results import body_of, jobs_name, lock_name, nfc, state_of
from contentops.ci.runner import branch_of_run, git_credentials
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.errors import LockHeld, Refused, StateError, UsageError, first_of
from contentops.state import approvals, jobs
from contentops.state.lock import LINE, OUT_OF_LFS, PATTERN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from contentops.ci.results import RecordedOutputs
    from contentops.state.lock import Lock

RULES = ".gitattributes"
MERGE_RULES: Mapping[str, str] = {LINE: PATTERN, jobs.RULE: jobs.PATTERN, approvals.RULE: approvals.FILE}
"""The lines that we add to it, with the files that each is for."""
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git keeps in its folder during each of these."""
_BOT = "github-actions[bot]"
_BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"


# --- opening -----------------------------------------------------------------------------------------------


def open_clone(root: str, environ: Mapping[str, str], *, remote: str, push: bool, patience: float) -> Clone:
    """Return the clone that has `root`. Raises UsageError outside a repository, and for an unknown remote."""
    require_repository(root)
    pushed = fetched = ""
    if push:
        known = run_git(root, "remote").split("\n")
        if not remote or remote not in known:
            listed = ", ".join(f"`{name}`" for name in known if name)
            hint = f"known: {listed}" if listed else "to commit without a push, use `--no-push`"
            raise UsageError(f"this clone has no remote `{remote}`", code="no-remote", hint=hint)
        pushed = run_git(root, "remote", "get-url", "--push", "--", remote).strip()
        fetched = run_git(root, "remote", "get-url", "--", remote).strip()
    extra = {**_identity(root, environ), **git_credentials(pushed, environ)}
    address = "" if pushed == fetched else pushed
    return Clone(root=root, remote=remote, extra=extra, patience=patience, address=address)


@contextlib.contextmanager
def alone(clone: Clone) -> Iterator[None]:
    """Hold the lock of the clone, as all its projects and environments share one index, HEAD and FETCH_HEAD.

    Waits as long as a call of the remote may take. Raises LockHeld.
    """
    import filelock

    path = Path(clone.root) / clone.run("rev-parse", "--git-path", "contentops-commit")
    lock = filelock.FileLock(path, timeout=clone.patience)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        hint = "wait for it to end, or end that process, then run it again"
        raise LockHeld("another `contentops commit` is running in this clone", hint=hint) from error
    except (OSError, NotImplementedError) as error:
        raise StateError(f"cannot lock `{path}`: {error}", hint="the clone must be writable") from error
    try:
        yield
    finally:
        lock.release()


def _identity(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return git's variables for the bot of GitHub, where its runner has no identity; otherwise none."""
    variables: dict[str, str] = {}
    if environ.get("GITHUB_ACTIONS") != "true":
        return variables
    for who in ("AUTHOR", "COMMITTER"):
        stated = {name: value for name, value in environ.items() if name.startswith(f"GIT_{who}_")}
        # A name that git makes up from the machine's does not count.
        if try_git(root, "-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT", extra=stated).code:
            for what, value in (("NAME", _BOT), ("EMAIL", _BOT_MAIL)):
                name = f"GIT_{who}_{what}"
                variables[name] = environ.get(name) or value
    return variables


def in_repository(root: str) -> bool:
    """Whether `root` seems to be in a repository, without running git."""
    return any((folder / ".git").exists() for folder in (Path(root), *Path(root).parents))


def branch_of(clone: Clone, branch: str, environ: Mapping[str, str]) -> str:
    """Return the branch to push to: `branch`, else the one checked out, else the CI run's. Raises UsageError."""
    if not branch:
        ref = clone.attempt("symbolic-ref", "--quiet", "HEAD").text
        branch = ref if ref.startswith("refs/heads/") else branch_of_run(environ)
    if not branch:
        hint = "check out a branch, or name one in `BRANCH_NAME`"
        message = "no branch is checked out to push results to"
        raise UsageError(message, code="no-branch", hint=hint)
    branch = branch.removeprefix("refs/heads/")
    if branch == "HEAD" or branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` cannot be the name of a branch", code="no-branch")
    return branch


# --- refusing ----------------------------------------------------------------------------------------------


def refuse_unfinished(clone: Clone) -> None:
    """Raise Refused during a merge or the like, and if something is staged, as that is a person's work."""
    asked = [word for name in _UNFINISHED for word in ("--git-path", name)]
    paths = clone.run("rev-parse", *asked).split("\n")
    going = (kind for path, kind in zip(paths, _UNFINISHED.values(), strict=True) if (Path(clone.root) / path).exists())
    kind = next(going, "")
    unmerged = clone.names("diff", "--name-only", "--diff-filter=U", "--relative", "-z")
    if kind or unmerged:
        what = f"merged `{unmerged[0]}`" if unmerged else f"done all of a {kind}"
        leave = "git bisect reset" if kind == "bisect" else f"git {kind} --abort"
        hint = f"finish it{f', or leave it with `{leave}`' if kind else ''}, then run it again"
        raise Refused(f"git has not {what} yet", code="unmerged", hint=hint)
    staged = clone.names("diff", "--cached", "--name-only", "--no-renames", "--no-ext-diff", "-z")
    if staged:
        hint = "commit that and push it, or unstage it with `git restore --staged .`, then run it again"
        raise Refused(f"you have staged changes: {first_of(staged)}", code="staged-changes", hint=hint)


def refuse_unfit_lock(clone: Clone, environment: str) -> None:
    """Raise Refused where git ignores the lock or the jobs, or would store a pointer instead."""
    refuse_ignored_lock(clone.root, environment)
    refuse_lock_in_lfs(clone.root, environment)


def refuse_ignored_lock(root: str, environment: str) -> None:
    """Raise Refused where git ignores the lock or the jobs; does nothing outside a repository."""
    if not in_repository(root):
        return
    for name in (lock_name(environment), jobs_name(environment)):
        with contextlib.suppress(GitFailed):
            # A file that git tracks is not ignored, whatever the rules say.
            if not try_git(root, "check-ignore", "--quiet", "--", name).code:
                hint = f"add `!{name}` to `.gitignore`: without the file, the next clone pays for everything again"
                raise Refused(f"git ignores `{name}`", code="ignored-lock", hint=hint)


def refuse_lock_in_lfs(root: str, environment: str) -> None:
    """Raise Refused where git would store a pointer of Git LFS for lock or jobs; does nothing outside a repository."""
    if not in_repository(root):
        return
    for name, rule in ((lock_name(environment), OUT_OF_LFS), (jobs_name(environment), jobs.OUT_OF_LFS)):
        with contextlib.suppress(GitFailed):
            said = try_git(root, "check-attr", "-z", "filter", "--", name).text.split("\0")
            if "lfs" in said[2:3]:
                hint = f"put `{rule}` at the end of `.gitattributes`: git merges the file line by line, not pointers"
                raise Refused(f"`.gitattributes` gives `{name}` to Git LFS", code="lock-in-lfs", hint=hint)


# --- what is changed ---------------------------------------------------------------------------------------


class ChangedFiles(NamedTuple):
    """The files below the project's folder that differ from the last commit. Paths are the project's."""

    results: tuple[str, ...]
    edited: tuple[str, ...]
    """Outputs that a person edited or removed: not committed."""
    others: int


def changed_files(clone: Clone, environment: str, known: RecordedOutputs, lock: Lock, *, edits: bool) -> ChangedFiles:
    """Return the changed files of a clone that has nothing staged; `edits`: a person's edits are results too."""
    own = {lock_name(environment), jobs_name(environment)}
    folder = clone.read("rev-parse", "--show-prefix").rstrip("\n")
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    lines = clone.names("--no-optional-locks", "status", *options, "--", ".")
    paths = [line[3:].removeprefix(folder) for line in lines]
    outputs = [path for path in paths if nfc(path) in known.owned]
    edited = set(_edited(clone, known, lock, outputs, edits=edits))
    results = {path for path in outputs if path not in edited} | (own & set(paths))
    if approvals.FILE in paths:
        (results if _has_approvals(clone.root) else edited).add(approvals.FILE)
    # The rules for merges are not committed by themselves: they come with the first results.
    rule = {RULES} if RULES in paths and _adds_rules(clone) else set()
    others = len(paths) - len(results) - len(edited) - len(rule)
    return ChangedFiles(tuple(sorted(results | rule)) if results else (), tuple(sorted(edited)), others)


def _has_approvals(root: str) -> bool:
    """Whether the approvals on disk can be read; a damaged or removed file is a person's to put right."""
    path = Path(root) / approvals.FILE
    try:
        return not path.is_symlink() and bool(approvals.parse(path.read_bytes()))
    except (OSError, StateError):
        return False


def _adds_rules(clone: Clone) -> bool:
    """Whether merge rules are the only change of `.gitattributes`."""
    path, name = Path(clone.root) / RULES, f"HEAD:./{RULES}"
    if path.is_symlink() or not path.is_file():
        return False
    before = read_blobs(clone.root, [name], clone.extra).get(name, b"")
    return bool(added_rules(before, path.read_bytes()))


def added_rules(before: bytes, after: bytes) -> tuple[str, ...]:
    """Return the merge rules that `after` has at its end and `before` lacks; empty where anything else differs."""
    old, new = before.splitlines(), after.splitlines()
    added = tuple(line.decode("utf-8", "replace") for line in new[len(old) :])
    return added if new[: len(old)] == old and MERGE_RULES.keys() >= set(added) else ()


def _edited(clone: Clone, known: RecordedOutputs, lock: Lock, paths: list[str], *, edits: bool) -> Iterator[str]:
    """Yield the changed outputs that are not committed; with `edits`, only those that are not texts, such as links."""
    files = Outputs(clone.root, whole=known_bodies(state_of(lock)))
    # A body that was committed before is no edit, wherever an apply moved it and whatever front matter it wrote.
    names = read_blobs(clone.root, [f"HEAD:./{path}" for path in paths if "\n" not in path], clone.extra)
    before = {body_of(data) for data in names.values()}
    for path in paths:
        file = files.observe(path)
        if file.problem or not edits:
            removed = not file.exists and nfc(path) in known.bodies
            written = file.exists and not known.is_recorded(path, file.body) and not (file.body and file.body in before)
            if removed or written:
                yield path


# --- trees -------------------------------------------------------------------------------------------------


class ResultTree(Struct, frozen=True, kw_only=True):
    """The commit that is checked out, and its tree with the results in the folder."""

    head: str
    """Empty before the first commit."""
    tree: str
    changes: Mapping[str, tuple[TreeEntry, TreeEntry]]
    """What the results change, by path in the repository: before and after."""
    folder: str
    """Of the project in the repository: empty, or with a slash at its end."""
    environment: str
    jobs: str = ""
    """HEAD's tree with the new jobs alone; empty: there are none. They are committed first, so that who reverts the
    results reverts no payment."""

    @property
    def approvals(self) -> str:
        """The path of the approvals in the repository."""
        return self.folder + approvals.FILE

    @property
    def files(self) -> tuple[str, ...]:
        """The results as paths of the project."""
        return tuple(sorted(path.removeprefix(self.folder) for path in self.changes))


def result_tree(clone: Clone, environment: str, paths: Collection[str]) -> ResultTree:
    """Return HEAD's tree with `paths` as they are on disk, through git's filters. Raises GitFailed."""
    head = clone.head()
    base = head or clone.run("hash-object", "-t", "tree", "--stdin")
    tree = _tree(clone, base, paths)
    name = jobs_name(environment)
    return ResultTree(
        head=head,
        tree=tree,
        changes=clone.changes(base, tree),
        folder=clone.read("rev-parse", "--show-prefix").rstrip("\n"),
        environment=environment,
        jobs=_tree(clone, base, {name, RULES} & set(paths)) if name in paths else "",
    )


def _tree(clone: Clone, base: str, paths: Iterable[str]) -> str:
    """Return a tree with `paths` as they are on disk."""
    listed = "".join(f":(literal){path}\0" for path in paths).encode("utf-8", "surrogateescape")
    with _index(clone, base) as index:
        if listed:
            arguments = ("--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
            clone.run(*_WHOLE, "add", *arguments, stdin=listed, extra=index)
        return clone.run(*_WHOLE, "write-tree", extra=index)


_WHOLE = ("-c", "core.splitIndex=false", "-c", "index.sparse=false")
"""A temporary index must be whole by itself."""


@contextlib.contextmanager
def _index(clone: Clone, base: str) -> Iterator[dict[str, str]]:
    """Make a temporary index of a tree, and yield the variable that makes git use it."""
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        clone.run(*_WHOLE, "read-tree", base, extra=index)
        yield index


def _index_info(entries: Mapping[str, TreeEntry], oid: str) -> bytes:
    """Return the entries in the form that `update-index` reads; `oid` is any object id, for the length of ids."""
    # Removals first: a file may become a folder.
    ordered = sorted(entries.items(), key=lambda entry: bool(entry[1].mode))
    lines = (f"{entry.mode or '0'} {entry.oid or '0' * len(oid)}\t{path}\0" for path, entry in ordered)
    return "".join(lines).encode("utf-8", "surrogateescape")


def make_commit(clone: Clone, tree: str, parent: str, message: str) -> str:
    """Make a commit of a tree on no branch, signed where the clone's own are. Raises GitFailed."""
    signs = clone.attempt("config", "--type=bool", "--get", "commit.gpgsign").text == "true"
    options = [*(["-S"] if signs else []), *(["-p", parent] if parent else [])]
    return clone.run("commit-tree", tree, *options, "-F", "-", stdin=message.encode("utf-8", "replace"))


JOBS_SUBJECT = "content: jobs of an apply"
"""The message of the commit that has the jobs alone."""


def make_commits(clone: Clone, jobs: str, tree: str, parent: str, message: str) -> str:
    """Make a commit of the tree with the new jobs alone, and one of the results after it; return the last one.

    `jobs` empty: there are none. Raises GitFailed.
    """
    if jobs and jobs not in {tree, parent and clone.run("rev-parse", f"{parent}^{{tree}}")}:
        parent = make_commit(clone, jobs, parent, f"{JOBS_SUBJECT}\n")
    return make_commit(clone, tree, parent, message)


def follow(clone: Clone, results: ResultTree, commit: str) -> bool:
    """Move index, folder and branch of the clone to a commit that adds the results to HEAD.

    False where someone's changes are in the way; then the clone is unchanged.
    """
    staged = _index_info({path: after for path, (_, after) in results.changes.items()}, commit)
    unstaged = _index_info({path: before for path, (before, _) in results.changes.items()}, commit)
    if clone.attempt("update-index", "-z", "--index-info", stdin=staged).code:
        return False
    clone.attempt("update-index", "-q", "--refresh")
    # As in a checkout: all of it, or nothing where someone's changes are in the way.
    moved = not clone.attempt("read-tree", "-m", "-u", results.tree, commit).code
    if moved and not clone.attempt("update-ref", "-m", "contentops commit", "HEAD", commit, results.head).code:
        return True
    if moved:
        clone.attempt("read-tree", "-m", "-u", commit, results.tree)
    clone.attempt("update-index", "-z", "--index-info", stdin=unstaged)
    return False


# --- outputs that do not come along ------------------------------------------------------------------------


def uncommitted(
    clone: Clone, known: RecordedOutputs, tree: str, edited: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the outputs that a tree lacks, without `edited`: those on disk (ignored, of another clone), and others."""
    listed = {nfc(path) for path in clone.names("ls-tree", "-r", "-z", "--name-only", tree, "--", ".")}
    said = {approvals.FILE} if os.path.lexists(Path(clone.root) / approvals.FILE) else set()
    left = sorted((known.bodies.keys() | said) - listed - set(map(nfc, edited)))
    on_disk = tuple(path for path in left if os.path.lexists(Path(clone.root) / path))
    return on_disk, tuple(path for path in left if path not in on_disk)
