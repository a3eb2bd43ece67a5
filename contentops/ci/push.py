"""Pushes results to the target branch or to a separate branch, and never forces a push.

Trees and commits are made in a separate, temporary index. Only `follow` changes the index, folder and branch of the
clone, after a commit is pushed.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, structs

from contentops.ci.git import (
    REMOTE,
    Clone,
    GitFailed,
    GitResult,
    failure,
    in_repository,
    masked,
    read_blobs,
    reason_of,
    require_repository,
    run_git,
    try_git,
)
from contentops.ci.results import (
    RecordedOutputs,
    approvals_at,
    digest_of_body,
    nfc,
    requests_of,
    state_at,
    state_of,
)
from contentops.ci.runner import branch_of_run, git_credentials
from contentops.digest import plain_name
from contentops.documents.clean import known_bodies
from contentops.documents.files import Outputs
from contentops.errors import ContentopsError, LockHeld, Refused, StateError, UsageError, first_of
from contentops.model import RequestId
from contentops.state import approvals, jobs
from contentops.state import lock as locks
from contentops.state.lock import Lock
from contentops.state.state_dir import acquire, jobs_name, lock_name

# ---- A clone: what forbids a commit of results in it, which of its files are results, and their trees.

RULES = ".gitattributes"
MERGE_RULES: Mapping[str, str] = {form.rule: form.pattern for form in (locks.FORMAT, jobs.FORMAT, approvals.FORMAT)}
"""The lines that contentops adds to `.gitattributes`, with the files that each is for."""
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""The file or folder that git has in its own folder during each of these operations."""
_BOT = "github-actions[bot]"
_BOT_MAIL = "41898282+github-actions[bot]@users.noreply.github.com"


# --- opening -----------------------------------------------------------------------------------------------


def open_clone(root: str, environ: Mapping[str, str], *, push: bool, patience: float) -> Clone:
    """Return the clone that contains the folder `root`.

    Raises UsageError outside of a repository or without `origin`.
    """
    require_repository(root)
    pushed = fetched = ""
    if push:
        known = run_git(root, "remote").split("\n")
        if REMOTE not in known:
            listed = ", ".join(f"`{name}`" for name in known if name)
            hint = f"known: {listed}" if listed else "to commit without a push, use `--no-push`"
            raise UsageError(f"this clone has no remote `{REMOTE}`", code="no-remote", hint=hint)
        pushed = run_git(root, "remote", "get-url", "--push", "--", REMOTE).strip()
        fetched = run_git(root, "remote", "get-url", "--", REMOTE).strip()
    extra = {**_identity(root, environ), **git_credentials(pushed, environ)}
    address = "" if pushed == fetched else pushed
    return Clone(root=root, extra=extra, patience=patience, address=address)


@contextlib.contextmanager
def alone(clone: Clone) -> Iterator[None]:
    """Lock the clone while the `with` block runs, because all projects in a clone share its index and HEAD.

    Waits as long as a call of the remote may take. Raises LockHeld.
    """
    path = Path(clone.root) / clone.run("rev-parse", "--git-path", "contentops-commit")
    lock = acquire(path, timeout=clone.patience)
    if lock is None:
        hint = "wait for it to end, or end that process, then run it again"
        raise LockHeld("another `contentops commit` is running in this clone", hint=hint)
    with lock:
        yield


def _identity(root: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables that give git the identity of GitHub's bot.

    If the CI runner has an identity, return none.
    """
    # A name that git makes up from the machine's does not count.
    asked = ("-c", "user.useConfigOnly=true", "var")
    if environ.get("GITHUB_ACTIONS") != "true" or not try_git(root, *asked, "GIT_COMMITTER_IDENT").code:
        return {}
    names = [(f"GIT_{who}_NAME", f"GIT_{who}_EMAIL") for who in ("AUTHOR", "COMMITTER")]
    return {
        each: environ.get(each) or value for pair in names for each, value in zip(pair, (_BOT, _BOT_MAIL), strict=True)
    }


def branch_of(clone: Clone, branch: str, environ: Mapping[str, str]) -> str:
    """Return the branch to push to. It is `branch`, or the one that is checked out, or the CI run's.

    Raises UsageError.
    """
    if not branch:
        ref = clone.attempt("symbolic-ref", "--quiet", "HEAD").text
        branch = ref if ref.startswith("refs/heads/") else branch_of_run(environ)
    if not branch:
        hint = (
            "check out a branch, pass `--branch` to `commit`, or set `BRANCH_NAME`; a pull request and a tag have none"
        )
        raise UsageError("no branch is checked out", code="no-branch", hint=hint)
    branch = branch.removeprefix("refs/heads/")
    if branch == "HEAD" or branch.startswith("-") or clone.attempt("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageError(f"`{branch}` cannot be the name of a branch", code="no-branch")
    return branch


# --- refusing ----------------------------------------------------------------------------------------------


def unfinished(root: str) -> str:
    """Return the name of a git operation that is unfinished in a clone, such as `merge`.

    It is empty if there is none.
    """
    asked = [word for name in _UNFINISHED for word in ("--git-path", name)]
    paths = run_git(root, "rev-parse", *asked).splitlines()
    begun = (kind for path, kind in zip(paths, _UNFINISHED.values(), strict=True) if Path(root, path).exists())
    return next(begun, "")


def refuse_unfinished(clone: Clone) -> None:
    """Raise Refused during an unfinished merge or rebase, or if a person has staged changes."""
    kind = unfinished(clone.root)
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


def refuse_unfit_lock(root: str, environment: str, *, ignored: bool = True) -> None:
    """Raise Refused if git would ignore the lock or the jobs, or would commit only Git LFS pointers to them.

    The reason is that Git LFS would store a pointer for it, or (with `ignored`) that git ignores it. Does nothing
    outside of a repository, or if git cannot answer.
    """
    if not in_repository(root):
        return
    for name, form in ((lock_name(environment), locks.FORMAT), (jobs_name(environment), jobs.FORMAT)):
        with contextlib.suppress(GitFailed):
            if "lfs" in try_git(root, "check-attr", "-z", "filter", "--", name).text.split("\0")[2:3]:
                hint = f"put `{form.out_of_lfs}` at the end of `.gitattributes`: git merges lines, not pointers"
                raise Refused(f"`.gitattributes` gives `{name}` to Git LFS", code="lock-in-lfs", hint=hint)
            # A file that git tracks is not ignored, whatever the rules say.
            if ignored and not try_git(root, "check-ignore", "--quiet", "--", name).code:
                hint = f"add `!{name}` to `.gitignore`: without the file, the next clone pays for everything again"
                raise Refused(f"git ignores `{name}`", code="ignored-lock", hint=hint)


# --- what is changed ---------------------------------------------------------------------------------------


class ChangedFiles(NamedTuple):
    """The files of a project that differ from the last commit. Paths are relative to the project."""

    results: tuple[str, ...]
    edited: tuple[str, ...]
    """Outputs that a person edited or removed. They are not committed."""
    others: int


def changed_files(clone: Clone, environment: str, known: RecordedOutputs, lock: Lock, *, edits: bool) -> ChangedFiles:
    """Return the changed files of a clone in which nothing is staged.

    With `edits`, a person's edits count as results.
    """
    folder = clone.read("rev-parse", "--show-prefix").rstrip("\n")
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    lines = clone.names("--no-optional-locks", "status", *options, "--", ".")
    paths = [line[3:].removeprefix(folder) for line in lines]
    outputs = [path for path in paths if nfc(path) in known.owned]
    own = {lock_name(environment), jobs_name(environment)}.intersection(paths)
    removed = {name for name in own if not Path(clone.root, name).exists()}
    edited = removed.union(_edited(clone, known, lock, outputs, edits=edits))
    results = own.union(outputs) - edited
    if approvals.FILE in paths:
        (results if _has_approvals(clone.root) else edited).add(approvals.FILE)
    # The rules for merges are not committed by themselves: they come with the first results.
    rule = {RULES} if RULES in paths and _adds_rules(clone) else set()
    others = len(paths) - len(results) - len(edited) - len(rule)
    return ChangedFiles(tuple(sorted(results | rule)) if results else (), tuple(sorted(edited)), others)


def _has_approvals(root: str) -> bool:
    """Return whether the file `contentops.approvals` can be read. Otherwise a person must repair it."""
    path = Path(root) / approvals.FILE
    try:
        return not path.is_symlink() and bool(approvals.parse(path.read_bytes()))
    except (OSError, StateError):
        return False


def _adds_rules(clone: Clone) -> bool:
    """Return whether the only changes in `.gitattributes` are new merge rules."""
    path, name = Path(clone.root) / RULES, f"HEAD:./{RULES}"
    if path.is_symlink() or not path.is_file():
        return False
    before = read_blobs(clone.root, [name], clone.extra).get(name, b"")
    return bool(added_rules(before, path.read_bytes()))


def added_rules(before: bytes, after: bytes) -> tuple[str, ...]:
    """Compare two versions of `.gitattributes`, and return the merge rules that were added at the end.

    There are none if anything else was changed.
    """
    old, new = before.splitlines(), after.splitlines()
    added = tuple(line.decode("utf-8", "replace") for line in new[len(old) :])
    return added if new[: len(old)] == old and MERGE_RULES.keys() >= set(added) else ()


def _edited(clone: Clone, known: RecordedOutputs, lock: Lock, paths: list[str], *, edits: bool) -> Iterator[str]:
    """Yield the changed output files that a person edited or removed.

    With `edits`, yield only those that cannot be read as texts.
    """
    files = Outputs(clone.root, whole=known_bodies(state_of(lock)))
    # A body that was committed before is no edit, wherever an apply moved it and whatever front matter it wrote.
    names = read_blobs(clone.root, [f"HEAD:./{path}" for path in paths if "\n" not in path], clone.extra)
    before = {digest_of_body(data) for data in names.values()}
    for path in paths:
        file = files.observe(path)
        if file.problem or not edits:
            removed = not file.exists and nfc(path) in known.bodies
            written = file.exists and not known.is_recorded(path, file.body) and not (file.body and file.body in before)
            if removed or written:
                yield path


# --- trees -------------------------------------------------------------------------------------------------


class ResultTree(Struct, frozen=True, kw_only=True):
    """The commit that is checked out, and the git tree that it would have with the results of runs."""

    head: str
    """Empty before the first commit."""
    base: str
    """The tree of `head`."""
    tree: str
    changes: tuple[str, ...]
    """The files that the results change, as paths in the repository."""
    folder: str
    """The folder of the project in the repository: empty, or with a slash at its end."""
    environment: str
    jobs: str = ""
    """The tree of HEAD with only the new jobs; empty if there are none.

    They are committed first, so that a revert of the results reverts no payment.
    """

    @property
    def approvals(self) -> str:
        """Return the path of the project's `contentops.approvals` in the repository."""
        return self.folder + approvals.FILE

    @property
    def files(self) -> tuple[str, ...]:
        """Return the paths of the changed files, relative to the project's folder."""
        return tuple(sorted(path.removeprefix(self.folder) for path in self.changes))


def result_tree(clone: Clone, environment: str, paths: Collection[str]) -> ResultTree:
    """Return the git tree of HEAD in which the files at `paths` are replaced by those on disk. Raises GitFailed."""
    head, base = clone.head(), clone.base()
    tree = _tree(clone, base, paths)
    name = jobs_name(environment)
    return ResultTree(
        head=head,
        base=base,
        tree=tree,
        changes=tuple(clone.names("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, tree)),
        folder=clone.read("rev-parse", "--show-prefix").rstrip("\n"),
        environment=environment,
        jobs=_tree(clone, base, {name, RULES} & set(paths)) if name in paths else "",
    )


def _tree(clone: Clone, base: str, paths: Iterable[str]) -> str:
    """Return the git tree `base`, with the given files replaced by those on disk."""
    listed = "".join(f":(literal){path}\0" for path in paths).encode("utf-8", "surrogateescape")
    with apart(clone, base) as own:
        if listed:
            own.run(*_WHOLE, "add", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul", stdin=listed)
        return own.run(*_WHOLE, "write-tree")


_WHOLE = ("-c", "core.splitIndex=false", "-c", "index.sparse=false")
"""A temporary index must be complete."""


@contextlib.contextmanager
def apart(clone: Clone, base: str) -> Iterator[Clone]:
    """Yield the clone with a temporary git index, which contains the tree `base`."""
    with tempfile.TemporaryDirectory(prefix="contentops-") as folder:
        own = structs.replace(clone, extra={**clone.extra, "GIT_INDEX_FILE": str(Path(folder) / "index")})
        own.run(*_WHOLE, "read-tree", base)
        yield own


def make_commit(clone: Clone, tree: str, parent: str, message: str) -> str:
    """Make a commit that belongs to no branch yet. It is signed if this clone signs commits. Raises GitFailed."""
    signs = clone.attempt("config", "--type=bool", "--get", "commit.gpgsign").text == "true"
    options = [*(["-S"] if signs else []), *(["-p", parent] if parent else [])]
    return clone.run("commit-tree", tree, *options, "-F", "-", stdin=message.encode("utf-8", "replace"))


JOBS_SUBJECT = "content: jobs of an apply"
"""The message of the commit that has only the jobs."""


def make_commits(clone: Clone, jobs: str, tree: str, parent: str, message: str) -> str:
    """Make a commit with only the new jobs, then a commit with the results. Return the second commit.

    If `jobs` is empty, only the second is made. Raises GitFailed.
    """
    if jobs and jobs not in {tree, parent and clone.run("rev-parse", f"{parent}^{{tree}}")}:
        parent = make_commit(clone, jobs, parent, f"{JOBS_SUBJECT}\n")
    return make_commit(clone, tree, parent, message)


def follow(clone: Clone, results: ResultTree, commit: str) -> bool:
    """Move the clone's branch, index and files to `commit`, which adds the results to HEAD.

    The result is False if someone's changes prevent this; then the clone is unchanged.
    """
    if clone.attempt("read-tree", "-m", "-i", results.base, results.tree).code:
        return False
    clone.attempt("update-index", "-q", "--refresh")
    # As in a checkout: all of it, or nothing where someone's changes are in the way.
    moved = not clone.attempt("read-tree", "-m", "-u", results.tree, commit).code
    if moved and not clone.attempt("update-ref", "-m", "contentops commit", "HEAD", commit, results.head).code:
        return True
    if moved:
        clone.attempt("read-tree", "-m", "-u", commit, results.tree)
    clone.attempt("read-tree", "-m", "-i", results.tree, results.base)
    return False


# --- outputs that do not come along ------------------------------------------------------------------------


def uncommitted(
    clone: Clone, known: RecordedOutputs, tree: str, edited: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the recorded output files that a git tree lacks: first those on disk, then those not on disk.

    The outputs in `edited` are left out.
    """
    listed = {nfc(path) for path in clone.names("ls-tree", "-r", "-z", "--name-only", tree, "--", ".")}
    said = {approvals.FILE} if os.path.lexists(Path(clone.root) / approvals.FILE) else set()
    left = sorted((known.bodies.keys() | said) - listed - set(map(nfc, edited)))
    on_disk = tuple(path for path in left if os.path.lexists(Path(clone.root) / path))
    return on_disk, tuple(path for path in left if path not in on_disk)


# ---- Pushes results to a remote: on top of its branch, or to a separate branch; never by force.

ATTEMPTS = 5
"""The number of pushes to the branch before the results go to a separate branch."""
FOLDER = "contentops-results"
"""The folder of branches with unmerged results."""
_RACES = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")
"""Rejections of a push because of another push at the same time. All other rejections are rules of the server."""
_RUN = re.compile(r"(?:[0-9]+-[0-9]+-)?[0-9a-f]{12}", re.ASCII)
_ROOM = 300
_LIST = ("ls-remote", "--heads", "--")
_PATTERN = f"refs/heads/{FOLDER}/*"


class NotPublished(ContentopsError):
    """The error for results that could not be pushed. They are unchanged in the folder."""

    code = "not-published"


class Target(Struct, frozen=True, kw_only=True):
    """The branch to push to, and the parts of the name of a separate branch."""

    branch: str
    project: str
    environment: str
    run: str = ""
    """The workflow run, or empty."""
    review: bool = False
    """Whether the results go to a separate branch, to be read before they are merged."""

    @property
    def folder(self) -> str:
        """Return how the names of all separate branches for this project and environment begin."""
        return "/".join((FOLDER, *(plain_name(name) for name in (self.project, self.environment) if name)))

    def own(self, tree: str) -> str:
        """Return the name of the separate branch for results that cannot go to the target branch."""
        return f"{self.folder}/{self.run}-{tree[:12]}" if self.run else f"{self.folder}/{tree[:12]}"

    def is_own(self, name: str) -> bool:
        """Return whether a branch is a separate branch for results of this project and environment."""
        parent, _, run = name.rpartition("/")
        return parent == self.folder and _RUN.fullmatch(run) is not None


class Messages(NamedTuple):
    """The commit messages for the target branch and for a separate branch."""

    meant: str
    own: str


class Pushed(NamedTuple):
    """The result of a push: the commit, its branch, why a separate branch was used, and the number of attempts."""

    commit: str
    branch: str
    why: str = ""
    attempts: int = 0
    new: bool = True
    """Whether the branch lacked the results before."""


def push(
    clone: Clone, target: Target, results: ResultTree, messages: Messages, *, pause: Callable[[float], None]
) -> Pushed:
    """Push the results to the target branch. For a review, or if that fails, push to a separate branch.

    If the branch has moved, git merges. If git finds a conflict, the separate branch has only the results, and a person
    merges. `pause` waits some seconds between two attempts. Raises Refused if the clone has commits that the branch
    lacks, and NotPublished if nothing could be pushed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if attempt > 1:
            pause(2.0 ** (attempt - 2))
        done = _pushed(clone, target, results, messages, last=attempt == ATTEMPTS)
        if done is not None:
            return done._replace(attempts=attempt)
    raise AssertionError("the last attempt ends")


def _pushed(clone: Clone, target: Target, results: ResultTree, messages: Messages, *, last: bool) -> Pushed | None:
    """Try once to push, and return the result.

    None means that another attempt may succeed; it is never the result of the `last` one.
    """
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
    """Merge the results into the remote branch, and return the git tree of the merge.

    If git cannot merge, return the reason.

    `ours` is the commit with the results, and `tip` the last commit of the remote branch.
    """
    ended = clone.attempt("merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", tip, ours)
    tree, *paths = ended.stdout.decode("utf-8", "surrogateescape").rstrip("\0").split("\0")
    if ended.code == 1:
        names = sorted(path.removeprefix(results.folder) for path in paths)
        return "", f"others changed the same files: {first_of(names)}"
    if ended.code:
        return "", f"git cannot merge: {reason_of(ended)}"
    try:
        state_at(clone.root, tree, results.environment, clone.extra)
        approvals_at(clone.root, tree, clone.extra)
    except StateError as error:
        return "", f"the merge cannot be used: {error.message}"
    return tree, ""


def _push(clone: Clone, commit: str, branch: str, tip: str) -> GitResult:
    # `commit` is a child of `tip`, so nothing can be lost; but unless the branch is still at `tip`, a push would bring
    # back what someone has just removed.
    lease = f"--force-with-lease=refs/heads/{branch}:{tip}"
    refspec = f"{commit}:refs/heads/{branch}"
    return clone.reach("push", "--porcelain", "--no-follow-tags", lease, "--", REMOTE, refspec)


def _fetch(clone: Clone, branch: str) -> tuple[str, GitResult]:
    """Fetch a remote branch, and return its last commit and git's result.

    The commit is empty if the branch does not exist.
    """
    ref = f"refs/heads/{branch}"
    ended = clone.reach("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", clone.source, ref)
    if "couldn't find remote ref" in ended.errors:
        return "", ended._replace(code=0)
    return ("" if ended.code else clone.run("rev-parse", "FETCH_HEAD")), ended


def _rejection(ended: GitResult) -> str:
    """Return the reason why a push was rejected. It is empty if the server did not answer."""
    for line in ended.stdout.decode("utf-8", "replace").splitlines():
        parts = line.split("\t")
        if line.startswith("!") and len(parts) == 3:
            reason = re.search(r"\((.*)\)\s*$", parts[2])
            return masked(reason[1] if reason else parts[2])[:_ROOM]
    return ""


def _give_up(ended: GitResult, *, last: bool) -> None:
    """Raise NotPublished if this was the last attempt to push, or if the remote did not answer."""
    if last or ended.late:
        hint = "nothing is lost; the results are still in this folder: run `contentops commit` again"
        raise NotPublished(f"the results could not be pushed: {reason_of(ended)}", hint=hint)


def _is_part(clone: Clone, head: str, tip: str) -> bool:
    return bool(tip) and not clone.attempt("merge-base", "--is-ancestor", head, tip).code


def _refuse_unpushed(clone: Clone, branch: str, head: str, tip: str) -> None:
    """Raise Refused if the remote branch does not contain HEAD, because a person's commits are never pushed.

    Raises NotPublished if there is no such branch.
    """
    if not tip:
        hint = f"push it first: `git push {REMOTE} HEAD:{branch}`, then run the command again"
        raise NotPublished(f"`{branch}` does not exist at `{REMOTE}`", hint=hint)
    if not head:
        hint = f"`git pull {REMOTE} {branch}` fetches the remote commits"
        raise Refused("this clone has no commits yet", code="unpushed-commits", hint=hint)
    if not _is_part(clone, head, tip):
        log = clone.run("log", "--no-show-signature", "--reverse", "--format=%h %s", f"{tip}..{head}", "--").split("\n")
        hint = (
            f"push them first, `git push {REMOTE} HEAD:{branch}` (where that is refused, `git pull --rebase "
            f"--autostash {REMOTE} {branch}` before it), then run the command again; where someone removed them "
            f"from the branch, `git fetch {REMOTE} {branch}` and `git reset --keep FETCH_HEAD` remove them here"
        )
        message = f"commits of this clone are not on `{branch}` at `{REMOTE}`: {first_of(log)}"
        raise Refused(message, code="unpushed-commits", hint=hint)


# --- branches of their own ---------------------------------------------------------------------------------


def _own_branch(clone: Clone, target: Target, results: ResultTree, commit: str, why: str) -> Pushed:
    """Push the results as a commit to a separate branch, unless a separate branch already has these results."""
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
    """Refuse an apply if its results could not be pushed, or if it would pay again for earlier results.

    `known` has the requests whose results this checkout has. Raises Refused if something is staged or not pushed, if
    git ignores the lock or the jobs, or if other results are not merged yet. Raises NotPublished if the remote lacks
    the branch, and GitFailed if it does not answer.
    """
    with alone(clone):
        refuse_unfinished(clone)
        refuse_unfit_lock(clone.root, target.environment)
        if waiting := _waiting(clone, target, known):
            hint = "merge its pull request and delete the branch; otherwise its texts are generated and paid for again"
            names = ", ".join(f"`{name}`" for name in waiting)
            raise Refused(f"unmerged results of an earlier run are on {names}", code="results-waiting", hint=hint)
        tip, ended = _fetch(clone, target.branch)
        if ended.code:
            raise _unanswered(clone, "fetch", ended)
        _refuse_unpushed(clone, target.branch, clone.head(), tip)
        if not _is_known(clone, target, tip, known):
            hint = f"pull them first: `git pull {REMOTE} {target.branch}`; otherwise they are paid for again"
            message = f"this checkout lacks results that are on `{target.branch}`"
            raise Refused(message, code="results-waiting", hint=hint)


def _waiting(clone: Clone, target: Target, known: frozenset[RequestId]) -> list[str]:
    """Return the remote's separate branches that have results which this checkout lacks. Raises GitFailed."""
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
        f"nothing was submitted: `{REMOTE}` must first be checked for unmerged results; "
        "make sure that git can reach it, on GitHub with `GITHUB_TOKEN`"
    )
    return error


def _is_known(clone: Clone, target: Target, tip: str, known: frozenset[RequestId]) -> bool:
    """Return whether this checkout has all results that a commit contains.

    It has them if HEAD contains the commit, or if this checkout knows every request of the commit.
    """
    if _is_part(clone, tip, "HEAD"):
        return True
    try:
        state = state_at(clone.root, tip, target.environment, clone.extra)
    except StateError:
        return False
    return requests_of(state) <= known
