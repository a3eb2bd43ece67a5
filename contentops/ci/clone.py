"""The clone as it stands: what keeps results from being committed in it, which of its files are results, their trees.

Trees and commits are made from git's objects in an index of their own. Index, folder and branch of the clone are
changed at one place, `follow`, once a commit is where it belongs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from contentops.ci.git import Clone, GitFailed, TreeEntry, read_blobs, run_git, try_git
from contentops.ci.results import body_of, lock_name, nfc, state_of
from contentops.ci.runner import branch_of_run, git_credentials
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.errors import LockHeld, Refused, StateError, UsageError, first_of
from contentops.state.lock import OUT_OF_LFS, with_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentops.ci.results import RecordedOutputs
    from contentops.state.lock import Lock

RULES = ".gitattributes"
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git leaves in its folder for as long as something goes on."""
_BOT = "github-actions[bot]"
_BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"


# --- opening -----------------------------------------------------------------------------------------------


def open_clone(root: str, environ: Mapping[str, str], *, remote: str, push: bool, patience: float) -> Clone:
    """The clone that `root` lies in. Raises UsageError outside a repository, and for a remote that it does not have."""
    run_git(root, "rev-parse", "--git-dir")
    pushed = fetched = ""
    if push:
        known = run_git(root, "remote").split("\n")
        if not remote or remote not in known:
            listed = ", ".join(f"`{name}`" for name in known if name)
            hint = f"known: {listed}" if listed else "`--no-push` only commits"
            raise UsageError(f"this clone has no remote `{remote}`", code="no-remote", hint=hint)
        pushed = run_git(root, "remote", "get-url", "--push", "--", remote).strip()
        fetched = run_git(root, "remote", "get-url", "--", remote).strip()
    extra = {**_identity(root, environ), **git_credentials(pushed, environ)}
    address = "" if pushed == fetched else pushed
    return Clone(root=root, remote=remote, extra=extra, patience=patience, address=address)


@contextlib.contextmanager
def alone(clone: Clone) -> Iterator[None]:
    """The clone for ourselves: all projects and environments in it have one index, one HEAD, one FETCH_HEAD.

    Waits as long as a call of the remote may take. Raises LockHeld.
    """
    import filelock

    path = Path(clone.root) / clone.run("rev-parse", "--git-path", "contentops-commit")
    held = filelock.FileLock(path, timeout=clone.patience)
    try:
        held.acquire()
    except filelock.Timeout as error:
        hint = "wait for it to end, or end that process, then run it again"
        raise LockHeld("another `contentops commit` goes on in this clone", hint=hint) from error
    except (OSError, NotImplementedError) as error:
        raise StateError(f"cannot lock `{path}`: {error}", hint="the clone must be writable") from error
    try:
        yield
    finally:
        held.release()


def _identity(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Who commits: whoever git says; on a runner of GitHub that has no one, the forge's own bot."""
    found: dict[str, str] = {}
    if environ.get("GITHUB_ACTIONS") != "true":
        return found
    for who in ("AUTHOR", "COMMITTER"):
        stated = {name: value for name, value in environ.items() if name.startswith(f"GIT_{who}_")}
        # A name that is made up from the machine's is no one's.
        if try_git(root, "-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT", extra=stated).code:
            for what, value in (("NAME", _BOT), ("EMAIL", _BOT_MAIL)):
                name = f"GIT_{who}_{what}"
                found[name] = environ.get(name) or value
    return found


def in_repository(root: str) -> bool:
    """Whether `root` seems to lie in a repository; git itself is not asked."""
    return any((folder / ".git").exists() for folder in (Path(root), *Path(root).parents))


def branch_of(clone: Clone, branch: str, environ: Mapping[str, str]) -> str:
    """The branch to push to: `branch`, else the one that is checked out, else the CI run's. Raises UsageError."""
    if not branch:
        ref = clone.attempt("symbolic-ref", "--quiet", "HEAD").text
        branch = ref if ref.startswith("refs/heads/") else branch_of_run(environ)
    if not branch:
        hint = "check a branch out, or name one with `--branch`"
        message = "no branch is checked out, so there is none to push results to"
        raise UsageError(message, code="no-branch", hint=hint)
    branch = branch.removeprefix("refs/heads/")
    if branch == "HEAD" or branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` cannot be the name of a branch", code="no-branch")
    return branch


# --- refusing ----------------------------------------------------------------------------------------------


def refuse_unfinished(clone: Clone) -> None:
    """Raises Refused in the middle of a merge or the like, and where something is staged, which is a person's work."""
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
        raise Refused(f"staged for a commit of yours: {first_of(staged)}", code="staged-changes", hint=hint)


def refuse_unfit_lock(clone: Clone, environment: str) -> None:
    """Raises Refused where git ignores the lock, or keeps a pointer in its place."""
    refuse_ignored_lock(clone.root, environment)
    refuse_lock_in_lfs(clone.root, environment)


def refuse_ignored_lock(root: str, environment: str) -> None:
    """Raises Refused where git ignores the lock; nothing outside a repository."""
    if not in_repository(root):
        return
    name = lock_name(environment)
    with contextlib.suppress(GitFailed):
        # A file that is in git already is not ignored, whatever the rules say.
        if not try_git(root, "check-ignore", "--quiet", "--", name).code:
            hint = f"add `!{name}` to `.gitignore`: without the lock, the next clone pays for everything again"
            raise Refused(f"git ignores `{name}`", code="ignored-lock", hint=hint)


def refuse_lock_in_lfs(root: str, environment: str) -> None:
    """Raises Refused where git would keep a pointer of Git LFS in place of the lock; nothing outside a repository."""
    if not in_repository(root):
        return
    name = lock_name(environment)
    with contextlib.suppress(GitFailed):
        said = try_git(root, "check-attr", "-z", "filter", "--", name).text.split("\0")
        if "lfs" in said[2:3]:
            hint = f"put `{OUT_OF_LFS}` at the end of `.gitattributes`: git merges locks line by line, not pointers"
            raise Refused(f"`.gitattributes` gives `{name}` to Git LFS", code="lock-in-lfs", hint=hint)


# --- what is changed ---------------------------------------------------------------------------------------


class ChangedFiles(NamedTuple):
    """What differs from the last commit below the project's folder. Paths are the project's."""

    results: tuple[str, ...]
    edited: tuple[str, ...]
    """Outputs that hold a person's words, or that a person removed: left alone."""
    others: int


def changed_files(clone: Clone, environment: str, known: RecordedOutputs, lock: Lock, *, edits: bool) -> ChangedFiles:
    """What is changed in the folder of a clone that has nothing staged; `edits`: what a person did is a result too."""
    own = lock_name(environment)
    folder = clone.read("rev-parse", "--show-prefix").rstrip("\n")
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    lines = clone.names("--no-optional-locks", "status", *options, "--", ".")
    paths = [line[3:].removeprefix(folder) for line in lines]
    outputs = [path for path in paths if nfc(path) in known.owned]
    edited = set(_edited(clone, known, lock, outputs, edits=edits))
    results = {path for path in outputs if path not in edited} | ({own} & set(paths))
    # The rule for locks alone is worth no commit: it comes with the first results.
    rule = {RULES} if RULES in paths and _is_rule(clone) else set()
    others = len(paths) - len(results) - len(edited) - len(rule)
    return ChangedFiles(tuple(sorted(results | rule)) if results else (), tuple(sorted(edited)), others)


def _is_rule(clone: Clone) -> bool:
    """Whether the line for locks is all that is new in `.gitattributes`."""
    path, name = Path(clone.root) / RULES, f"HEAD:./{RULES}"
    if path.is_symlink() or not path.is_file():
        return False
    before = read_blobs(clone.root, [name], clone.extra).get(name, b"")
    return path.read_bytes().splitlines() == with_line(before).splitlines()


def _edited(clone: Clone, known: RecordedOutputs, lock: Lock, paths: list[str], *, edits: bool) -> Iterator[str]:
    """The outputs that are left alone; with `edits` those alone that are no text, such as links."""
    files = Outputs(clone.root, whole=known_bodies(state_of(lock)))
    # A text that was there before is not news, wherever an apply moved it and whatever it wrote above it.
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
    """The commit that is checked out, and the tree of it with the results of the folder."""

    head: str
    """Empty before the first commit."""
    tree: str
    changes: Mapping[str, tuple[TreeEntry, TreeEntry]]
    """What the results change, by path in the repository: before and after."""
    folder: str
    """Of the project in the repository: empty, or with a slash at its end."""
    environment: str

    @property
    def lock(self) -> str:
        """Where the lock lies in the repository."""
        return self.folder + lock_name(self.environment)

    @property
    def files(self) -> tuple[str, ...]:
        """The results as paths of the project."""
        return tuple(sorted(path.removeprefix(self.folder) for path in self.changes))


def result_tree(clone: Clone, environment: str, paths: Iterable[str]) -> ResultTree:
    """The tree of HEAD with these files as they stand in the folder, through git's filters. Raises GitFailed."""
    head = clone.head()
    base = head or clone.run("hash-object", "-t", "tree", "--stdin")
    listed = "".join(f":(literal){path}\0" for path in paths).encode("utf-8", "surrogateescape")
    with _index(clone, base) as index:
        if listed:
            arguments = ("--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
            clone.run(*_WHOLE, "add", *arguments, stdin=listed, extra=index)
        tree = clone.run(*_WHOLE, "write-tree", extra=index)
    folder = clone.read("rev-parse", "--show-prefix").rstrip("\n")
    return ResultTree(head=head, tree=tree, changes=clone.changes(base, tree), folder=folder, environment=environment)


def tree_with(clone: Clone, base: str, entries: Mapping[str, TreeEntry]) -> str:
    """The tree of the commit `base`, or of none, with other entries at these paths of the repository.

    Raises GitFailed.
    """
    oid = base or next((entry.oid for entry in entries.values() if entry.oid), "")
    with _index(clone, base or "--empty") as index:
        clone.run(*_WHOLE, "update-index", "-z", "--index-info", stdin=_index_info(entries, oid), extra=index)
        return clone.run(*_WHOLE, "write-tree", extra=index)


_WHOLE = ("-c", "core.splitIndex=false", "-c", "index.sparse=false")
"""An index that is whole by itself, as it is gone in a moment."""


@contextlib.contextmanager
def _index(clone: Clone, base: str) -> Iterator[dict[str, str]]:
    """An index of our own that holds a tree, as the variable that names it to git."""
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        clone.run(*_WHOLE, "read-tree", base, extra=index)
        yield index


def _index_info(entries: Mapping[str, TreeEntry], oid: str) -> bytes:
    """The entries as `update-index` reads them; any `oid` tells how long such names are here."""
    # What goes first makes room: a file may become a folder.
    ordered = sorted(entries.items(), key=lambda entry: bool(entry[1].mode))
    lines = (f"{entry.mode or '0'} {entry.oid or '0' * len(oid)}\t{path}\0" for path, entry in ordered)
    return "".join(lines).encode("utf-8", "surrogateescape")


def make_commit(clone: Clone, tree: str, parent: str, message: str) -> str:
    """A commit with this tree, signed where the clone's own are, on no branch yet. Raises GitFailed."""
    signs = clone.attempt("config", "--type=bool", "--get", "commit.gpgsign").text == "true"
    options = [*(["-S"] if signs else []), *(["-p", parent] if parent else [])]
    return clone.run("commit-tree", tree, *options, "-F", "-", stdin=message.encode("utf-8", "replace"))


def follow(clone: Clone, results: ResultTree, commit: str) -> bool:
    """Brings index, folder and branch of the clone to a commit that stands on HEAD and has the results.

    Whether that was possible; if not, all is as it was: someone's changes are in the way.
    """
    staged = _index_info({path: after for path, (_, after) in results.changes.items()}, commit)
    unstaged = _index_info({path: before for path, (before, _) in results.changes.items()}, commit)
    if clone.attempt("update-index", "-z", "--index-info", stdin=staged).code:
        return False
    clone.attempt("update-index", "-q", "--refresh")
    # Git does the same for a checkout: all of it, or nothing where someone's changes are in the way.
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
    """Outputs of records that a tree does not have: those that git ignores or another repository holds, those nowhere.

    `edited` are known not to be in it.
    """
    listed = {nfc(path) for path in clone.names("ls-tree", "-r", "-z", "--name-only", tree, "--", ".")}
    left = sorted(known.bodies.keys() - listed - set(map(nfc, edited)))
    here = tuple(path for path in left if os.path.lexists(Path(clone.root) / path))
    return here, tuple(path for path in left if path not in here)
